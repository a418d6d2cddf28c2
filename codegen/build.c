/* build.c: walks the graph in order of execution and makes the program. Every value gets a storage
 * class: values that share memory (views, in-place results) are one class; a class is an input, an
 * output, a weight or a piece of the arena. Lowering a group decides what is read and written;
 * lifetimes follow from the steps. The invariants of the plan are in plan.h. */
#include "codegen/build_internal.h"
#include "codegen/plan.h"
#include "ir/loop_math.h"
#include "ir/op.h"
#include "runtime/onnxcc_runtime.h"

#include <assert.h>
#include <string.h>

_Static_assert((int)LOOP_STATUS_BAD_SHAPE == (int)ONNXCC_ERROR_BAD_SHAPE &&
                   (int)LOOP_STATUS_INDEX_OUT_OF_RANGE == (int)ONNXCC_ERROR_INDEX_OUT_OF_RANGE &&
                   (int)LOOP_STATUS_UNSUPPORTED_VALUE == (int)ONNXCC_ERROR_UNSUPPORTED_VALUE,
               "checks in loops report the runtime's codes");

/* ---- buffers ---- */

uint32_t build_add_buffer(builder *b, program_buffer made) {
    if (!made.within) made.whole = PROGRAM_NO_BUFFER;
    list_push(b->a, &b->p->buffers, made);
    list_push(b->a, &b->life, ((lifetime){UINT32_MAX, 0}));
    return (uint32_t)b->p->buffers.count - 1;
}

uint32_t build_buffer(builder *b, value_id v) {
    if (b->buffer_of[v] != NO_BUFFER) return b->buffer_of[v];
    const value *val = graph_value(b->g, v);
    /* Strings point elsewhere: build_strings.c. */
    bool is_weight = val->constant && val->type.dtype != DTYPE_STRING;
    program_buffer made = {.name = val->name,
                           .value = v,
                           .place = is_weight ? PLACE_WEIGHT : PLACE_ARENA,
                           .bytes = type_bytes(b->g->dims, &val->type),
                           .element_bytes = dtype_bytes(val->type.dtype)};
    if (is_weight) {
        made.data = val->constant->data;
        made.splat = val->constant->splat;
    }
    if (b->parts && b->parts[v].whole) {
        made.whole = build_buffer(b, b->parts[v].whole);
        made.within = b->parts[v].offset;
        b->p->buffers.data[made.whole].has_parts = true;
    }
    return b->buffer_of[v] = build_add_buffer(b, made);
}

/* What is done with a part is done with the whole. */
static void touch(builder *b, uint32_t buffer) {
    for (; buffer != PROGRAM_NO_BUFFER; buffer = b->p->buffers.data[buffer].whole) {
        lifetime *l = &b->life.data[buffer];
        if (l->first == UINT32_MAX) l->first = b->now;
        l->last = b->now;
    }
}

/* ---- steps ---- */

program_step *build_step(builder *b, program_step_kind kind, const char *label,
                         const uint32_t *args, uint32_t arg_count) {
    program_step *s = ARENA_NEW(b->a, program_step);
    uint32_t *kept = ARENA_ARRAY(b->a, uint32_t, arg_count);
    if (arg_count) memcpy(kept, args, arg_count * sizeof *args);
    *s = (program_step){.kind = kind,
                        .number = b->now,
                        .label = label,
                        .args = kept,
                        .arg_count = arg_count,
                        .iterations = DIM_NONE,
                        .condition = UINT32_MAX,
                        .trip_count = UINT32_MAX,
                        .iteration = UINT32_MAX};
    if (kind == STEP_CALL || kind == STEP_RUNTIME) s->profile = b->p->profile_count++;
    for (uint32_t i = 0; i < arg_count; i++)
        if (args[i] != PROGRAM_NO_BUFFER) touch(b, args[i]);
    b->now++;
    *b->tail = s;
    b->tail = &s->next;
    return s;
}

static dim parallel_iterations(builder *b, const loop_kernel *k) {
    const loop_stmt *s = k->body;
    if (!s || s->next || s->kind != LOOP_STMT_FOR || s->loop != LOOP_PARALLEL) return DIM_NONE;
    return build_dim_of(b->g->dims, k, s->extent);
}

/* The kernel's number in the program: an equal one if there is one already. */
static uint32_t intern_kernel(builder *b, loop_kernel *k, build_cost cost, const char *key) {
    const char *name = k->name;
    k->name = "k";
    const char *text = loop_text(k, b->a);
    k->name = name;
    for (size_t i = 0; i < b->kernel_texts.count; i++)
        if (strcmp(b->kernel_texts.data[i], text) == 0) return (uint32_t)i;
    list_push(b->a, &b->kernel_texts, text);
    program_kernel made = {k,
                           dim_eval(b->g->dims, cost.flops, b->nominal),
                           dim_eval(b->g->dims, cost.bytes, b->nominal),
                           k->work == DIM_NONE ? cost.flops : k->work,
                           cost.bytes,
                           key};
    list_push(b->a, &b->p->kernels, made);
    return (uint32_t)b->p->kernels.count - 1;
}

/* Schedules a kernel, by its record if there is one; returns its key where records are asked. */
static const char *schedule(builder *b, loop_kernel *k) {
    const build_options *o = b->options;
    const char *key = o->tuning ? tuning_key(k, o->machine, b->a) : NULL;
    const tuning_record *r = key ? tuning_find(o->tuning, key) : NULL;
    int rank = r ? r->rank : o->tuning ? o->tuning->rank : 0;
    (o->optimize ? o->machine->schedule : schedule_plain)(k, o->machine, rank);
    return key;
}

/* Schedules a lowered kernel and appends its call. `inner` and `outer` translate values inside of a
 * group to those outside. */
static void call_kernel(builder *b, loop_kernel *k, const char *label, const value_id *inner,
                        const value_id *outer, size_t count) {
    uint32_t *args = ARENA_ARRAY(b->a, uint32_t, k->buffers.count);
    uint32_t arg_count = 0;
    for (size_t i = 0; i < k->buffers.count; i++) {
        loop_buffer *buffer = &k->buffers.data[i];
        if (buffer->space > LOOP_SPACE_OUTPUT) continue;
        value_id v = buffer->value;
        for (size_t j = 0; j < count; j++)
            if (inner[j] == v) v = outer[j];
        args[arg_count++] = build_buffer(b, v);
    }
    if (b->options->inspect) b->options->inspect(b->options->user, k);
    build_cost cost = build_kernel_cost(k);
    const char *key = schedule(b, k);
    loop_decompose(k);
    dim iterations = parallel_iterations(b, k);
    uint32_t kernel = intern_kernel(b, k, cost, key);
    program_step *s = build_step(b, STEP_CALL, label, args, arg_count);
    s->kernel = kernel;
    s->iterations = iterations;
}

void build_call(builder *b, loop_kernel *k, const char *label) {
    call_kernel(b, k, label, NULL, NULL, 0);
}

static const char *kernel_name(builder *b, node_id n, const value_id *outputs) {
    const node *nd = graph_node(b->g, n);
    return arena_printf(b->a, "%s_%u_%s_%s", b->p->name, b->p->profile_count, nd->op->name,
                        dtype_name(graph_type(b->g, outputs[0])->dtype));
}

static bool has_halo(const type *t) {
    for (int i = 0; t->layout && i < t->rank; i++)
        if (t->layout->halo_before[i] || t->layout->halo_after[i]) return true;
    return false;
}

/* The nodes of a group, or the node itself, become one kernel. */
static bool build_kernel(builder *b, node_id n) {
    graph *g = b->g;
    const node *nd = graph_node(g, n);
    const attr *body = node_attr(nd, "body");
    node_id single[] = {n};
    const node_id *nodes = single;
    const value_id *inner = nd->outputs;
    size_t node_count = 1, output_count = 0;
    value_id *inner_used = ARENA_ARRAY(b->a, value_id, nd->output_count);
    value_id *outer_used = ARENA_ARRAY(b->a, value_id, nd->output_count);
    if (body && body->kind == ATTR_REGION) {
        const region *r = graph_region(g, (region_id)body->i);
        nodes = r->nodes.data;
        node_count = r->nodes.count;
        inner = r->outputs.data;
    }
    for (uint32_t i = 0; i < nd->output_count; i++) {
        if (!nd->outputs[i]) continue;
        inner_used[output_count] = inner[i];
        outer_used[output_count++] = nd->outputs[i];
    }
    node_id anchor = nodes[0];
    for (size_t i = 0; i < node_count; i++)
        if (graph_node(g, nodes[i])->op->flags & OP_ANCHOR) anchor = nodes[i];
    const char *name = kernel_name(b, anchor, outer_used);
    loop_kernel *k = lower_group(g, b->a, name, nodes, node_count, inner_used, output_count);
    if (!k) return false;
    for (size_t i = 0; i < output_count; i++)
        if (has_halo(graph_type(g, outer_used[i]))) {
            loop_kernel *border =
                lower_halo(g, b->a, arena_printf(b->a, "%s_halo", name), outer_used[i]);
            call_kernel(b, border, "halo", NULL, NULL, 0);
        }
    const char *label = graph_node(g, anchor)->name;
    build_reuse_inputs(b, n, k, inner_used, outer_used, output_count);
    call_kernel(b, k, *label ? label : name, inner_used, outer_used, output_count);
    return true;
}

static void copy_value(builder *b, uint32_t to, uint32_t from) {
    uint32_t args[] = {to, from};
    if (to != from) build_step(b, STEP_COPY, "copy", args, 2);
}

/* If: both branches write into the buffers of its outputs. */
static bool build_if(builder *b, node_id n) {
    const node nd = *graph_node(b->g, n);
    static const char *const names[] = {"then_branch", "else_branch"};
    uint32_t condition = build_buffer(b, nd.inputs[0]);
    program_step *s = build_step(b, STEP_IF, nd.name, &condition, 1);
    s->condition = condition;
    program_step **after = b->tail;
    bool ok = true;
    for (int branch = 0; branch < 2; branch++) {
        region_id r = (region_id)node_attr(&nd, names[branch])->i;
        b->tail = branch == 0 ? &s->body : &s->otherwise;
        ok &= build_region(b, r);
        for (uint32_t i = 0; i < nd.output_count; i++)
            if (nd.outputs[i])
                copy_value(b, build_buffer(b, nd.outputs[i]),
                           build_buffer(b, graph_region(b->g, r)->outputs.data[i]));
    }
    b->tail = after;
    return ok;
}

static bool build_steps(builder *b, node_id n) {
    const node *nd = graph_node(b->g, n);
    const op_def *op = nd->op;
    if (build_is_view(b->g, n)) {
        b->buffer_of[nd->outputs[0]] = build_buffer(b, nd->inputs[0]);
        return true;
    }
    if (b->joined && b->joined[n]) return true;
    if (strcmp(op->name, "If") == 0 && !*op->domain) return build_if(b, n);
    if (strcmp(op->name, "Loop") == 0 && !*op->domain) return build_loop(b, n);
    bool group = strcmp(op->domain, OP_INTERNAL) == 0 && node_attr(nd, "body");
    if (op->element || op->formula || op->nest || group) return build_kernel(b, n);
    if (op->call) return build_runtime(b, n);
    return op_error(b->g, n, "see docs/operators.md for what is supported",
                    "onnxcc cannot compile this operator");
}

static bool build_node(builder *b, node_id n) {
    if (!build_steps(b, n)) return false;
    for (uint32_t i = 0; i < graph_node(b->g, n)->output_count; i++) {
        value_id v = graph_output(b->g, n, i);
        if (v && (!build_bound(b, v) || !build_check_size(b, n, v))) return false;
    }
    return true;
}

bool build_region(builder *b, region_id r) {
    bool ok = true;
    for (size_t i = 0; i < graph_region(b->g, r)->nodes.count; i++)
        ok &= build_node(b, graph_region(b->g, r)->nodes.data[i]);
    return ok;
}

/* ---- inputs, outputs, weights, arena ---- */

static void add_symbols(builder *b, const type *t) {
    bool *used = ARENA_ARRAY(b->a, bool, dim_symbol_count(b->g->dims));
    for (int i = 0; i < t->rank; i++) dim_mark_symbols(b->g->dims, t->dims[i], used);
    for (dim_symbol s = 0; s < dim_symbol_count(b->g->dims); s++) {
        if (!used[s]) continue;
        bool known = false;
        for (size_t i = 0; i < b->p->symbols.count; i++) known |= b->p->symbols.data[i] == s;
        if (!known) list_push(b->a, &b->p->symbols, s);
        b->from_caller[s] = b->defined[s] = true;
    }
}

static void add_inputs(builder *b) {
    const region *main = graph_region(b->g, GRAPH_MAIN);
    for (size_t i = 0; i < main->inputs.count; i++) {
        value_id v = main->inputs.data[i];
        uint32_t buffer = build_buffer(b, v);
        b->p->buffers.data[buffer].place = PLACE_INPUT;
        b->p->buffers.data[buffer].index = (uint32_t)i;
        program_io io = {.name = graph_value(b->g, v)->name,
                         .value = v,
                         .type = *graph_type(b->g, v),
                         .buffer = buffer};
        list_push(b->a, &b->p->inputs, io);
        add_symbols(b, &io.type);
    }
}

/* Outputs that a kernel computes live in the caller's memory from the start; the others (inputs,
 * weights, views of them, the same value twice) are copied at the end. */
static void add_outputs(builder *b, const value_id *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        value_id v = outputs[i];
        uint32_t buffer = build_buffer(b, v), own = buffer;
        if (b->p->buffers.data[buffer].place == PLACE_ARENA) {
            b->p->buffers.data[buffer].place = PLACE_OUTPUT;
            b->p->buffers.data[buffer].index = (uint32_t)i;
        } else {
            program_buffer made = b->p->buffers.data[buffer];
            made.place = PLACE_OUTPUT;
            made.index = (uint32_t)i;
            own = build_add_buffer(b, made);
            copy_value(b, own, buffer);
        }
        program_io io = {
            .name = graph_value(b->g, v)->name, .value = v, .type = *graph_type(b->g, v)};
        io.buffer = own;
        build_largest(b, &io);
        list_push(b->a, &b->p->outputs, io);
    }
}

static void place_weights(builder *b) {
    int64_t offset = 0;
    for (size_t i = 0; i < b->p->buffers.count; i++) {
        program_buffer *w = &b->p->buffers.data[i];
        if (w->place != PLACE_WEIGHT) continue;
        w->offset = dim_const(b->g->dims, offset);
        int64_t bytes = dim_value(b->g->dims, w->bytes);
        offset += (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    }
    b->p->weight_bytes = offset;
}

/* A part lies in its whole, which is an earlier buffer. */
static void place_part(builder *b, uint32_t i) {
    program_buffer *part = &b->p->buffers.data[i];
    if (part->whole == PROGRAM_NO_BUFFER) return;
    part->offset = dim_add(b->g->dims, b->p->buffers.data[part->whole].offset, part->within);
    part->first = b->life.data[i].first;
    part->last = b->life.data[i].last;
}

static void place_arena(builder *b) {
    program *p = b->p;
    for (size_t i = 0; i < b->kept.count; i++) b->life.data[b->kept.data[i]].last = b->now;
    plan_buffer *planned = ARENA_ARRAY(b->a, plan_buffer, p->buffers.count);
    uint32_t *which = ARENA_ARRAY(b->a, uint32_t, p->buffers.count);
    size_t count = 0;
    for (uint32_t i = 0; i < p->buffers.count; i++) {
        const program_buffer *buffer = &p->buffers.data[i];
        if (buffer->place != PLACE_ARENA || b->life.data[i].first == UINT32_MAX ||
            buffer->whole != PROGRAM_NO_BUFFER)
            continue;
        which[count] = i;
        planned[count++] = (plan_buffer){.bytes = build_upper(b, p->buffers.data[i].bytes),
                                         .first = b->life.data[i].first,
                                         .last = b->life.data[i].last};
    }
    plan_result r = plan_make(b->a, b->g->dims, planned, count, b->nominal);
    for (size_t i = 0; i < count; i++) {
        program_buffer *buffer = &p->buffers.data[which[i]];
        buffer->offset = planned[i].offset;
        buffer->first = planned[i].first;
        buffer->last = planned[i].last;
    }
    for (uint32_t i = 0; i < p->buffers.count; i++) place_part(b, i);
    p->arena_bytes = r.arena_bytes;
    p->live_bytes = r.live;
    p->live_count = r.live_count;
}

bool program_is_split(const program *p, const program_step *call) {
    const program_kernel *k = &p->kernels.data[call->kernel];
    int64_t n;
    if (!call->iterations || (dim_is_const(p->dims, call->iterations, &n) && n <= 1)) return false;
    return program_worth_threads(k->flops, k->bytes);
}

int64_t program_arena_bound(const program *p, const int64_t *symbols) {
    int64_t most = 0;
    for (size_t i = 0; i < p->live_count; i++) {
        int64_t live = dim_eval(p->dims, p->live_bytes[i], symbols);
        if (live > most) most = live;
    }
    return most;
}

int64_t *program_nominal(const dim_table *dims, arena *a) {
    enum { TYPICAL = 64, MODEST = 4096 };
    size_t count = dim_symbol_count(dims);
    int64_t *nominal = ARENA_ARRAY(a, int64_t, count + 1);
    for (dim_symbol s = 0; s < count; s++) {
        int64_t low, high;
        dim_symbol_bounds(dims, s, &low, &high);
        nominal[s] = high <= MODEST ? high : low > TYPICAL ? low : TYPICAL;
    }
    return nominal;
}

static builder begin_program(graph *g, arena *a, const build_options *options) {
    program *p = ARENA_NEW(a, program);
    *p = (program){.memory = a, .dims = g->dims, .name = options->name};
    builder b = {.g = g, .a = a, .p = p, .options = options};
    b.nominal = program_nominal(g->dims, a);
    b.from_caller = ARENA_ARRAY(a, bool, dim_symbol_count(g->dims) + 1);
    b.defined = ARENA_ARRAY(a, bool, dim_symbol_count(g->dims) + 1);
    b.buffer_of = ARENA_ARRAY(a, uint32_t, g->values.count);
    memset(b.buffer_of, 0xff, g->values.count * sizeof *b.buffer_of);
    return b;
}

/* Inputs and outputs as the file has them; of a graph from text, one for each tensor. */
static void add_ports(builder *b) {
    const graph *g = b->g;
    program *p = b->p;
    for (size_t i = 0; i < g->input_ports.count; i++)
        list_push(b->a, &p->input_ports, g->input_ports.data[i]);
    for (size_t i = 0; i < g->output_ports.count; i++)
        list_push(b->a, &p->output_ports, g->output_ports.data[i]);
    graph_port plain = {.kind = TYPE_TENSOR, .present = true, .count = 1};
    for (size_t i = 0; !g->input_ports.count && i < p->inputs.count; i++) {
        plain.name = p->inputs.data[i].name;
        list_push(b->a, &p->input_ports, plain);
    }
    for (size_t i = 0; !g->output_ports.count && i < p->outputs.count; i++) {
        plain.name = p->outputs.data[i].name;
        list_push(b->a, &p->output_ports, plain);
    }
}

program *program_build(graph *g, arena *a, const build_options *options) {
    builder b = begin_program(g, a, options);
    b.tail = &b.p->steps;
    b.last_use = build_last_uses(&b);
    build_find_parts(&b);
    add_inputs(&b);
    build_string_constants(&b);
    for (value_id v = 1; v < g->values.count; v++)
        if (graph_value(g, v)->constant && !build_bound(&b, v)) return NULL;
    const region *inputs = graph_region(g, GRAPH_MAIN);
    for (size_t i = 0; i < inputs->inputs.count; i++)
        if (!build_bound(&b, inputs->inputs.data[i])) return NULL;
    if (!build_region(&b, GRAPH_MAIN)) return NULL;
    const region *main = graph_region(g, GRAPH_MAIN);
    add_outputs(&b, main->outputs.data, main->outputs.count);
    add_ports(&b);
    build_chains(&b);
    place_weights(&b);
    place_arena(&b);
    return b.p;
}

/* The node behind those it depends on. */
static bool build_producers(builder *b, value_id v) {
    node_id n = graph_value(b->g, v)->producer;
    if (!n || b->buffer_of[v] != NO_BUFFER) return true;
    for (uint32_t i = 0; i < graph_node(b->g, n)->input_count; i++)
        if (graph_input(b->g, n, i) && !build_producers(b, graph_input(b->g, n, i))) return false;
    return build_node(b, n);
}

program *program_build_values(graph *g, arena *a, const build_options *options,
                              const value_id *values, size_t count) {
    builder b = begin_program(g, a, options);
    b.tail = &b.p->steps;
    uint32_t *never = ARENA_ARRAY(a, uint32_t, g->values.count);
    memset(never, 0xff, g->values.count * sizeof *never);
    b.last_use = never;
    b.position = ARENA_ARRAY(a, uint32_t, g->nodes.count);
    for (size_t i = 0; i < count; i++)
        if (!build_producers(&b, values[i])) return NULL;
    add_outputs(&b, values, count);
    place_weights(&b);
    place_arena(&b);
    return b.p;
}
