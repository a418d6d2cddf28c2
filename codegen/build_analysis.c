/* build_analysis.c: what build.c needs to know before it decides: who reads a value last, which
 * results are views, which inputs a kernel may overwrite, and what a kernel costs. */
#include "codegen/build_internal.h"
#include "ir/op.h"

#include <string.h>

/* ---- views ---- */

/* Whether blocks of channels and rows of channels are the same order: nothing lies behind the
 * channels. */
static bool blocks_are_rows(const graph *g, const type *t) {
    const tensor_layout *y = t->layout;
    int64_t n;
    if (!y) return true;
    for (int i = 0; i < t->rank; i++) {
        if (y->halo_before[i] || y->halo_after[i]) return false;
        if (i > y->block_axis && !dim_equals_const(g->dims, t->dims[i], 1)) return false;
    }
    return y->block_axis < 0 ||
           (dim_is_const(g->dims, t->dims[y->block_axis], &n) && n % y->block == 0);
}

bool build_is_view(const graph *g, node_id n) {
    static const char *const reshapes[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten",
                                           "Identity"};
    const node *nd = graph_node(g, n);
    if (!nd->input_count || !nd->inputs[0] || nd->output_count != 1) return false;
    const type *from = graph_type(g, nd->inputs[0]), *to = graph_type(g, nd->outputs[0]);
    if (from->kind != TYPE_TENSOR || to->kind != TYPE_TENSOR) return false;
    if (strcmp(nd->op->domain, OP_INTERNAL) == 0 && strcmp(nd->op->name, "Reorder") == 0)
        return blocks_are_rows(g, from) && blocks_are_rows(g, to);
    if (strcmp(nd->op->domain, OP_INTERNAL) == 0 && strcmp(nd->op->name, "Front") == 0) return true;
    bool reshape = false;
    for (size_t i = 0; i < sizeof reshapes / sizeof *reshapes; i++)
        reshape |= !*nd->op->domain && strcmp(nd->op->name, reshapes[i]) == 0;
    return reshape && !from->layout && !to->layout;
}

/* ---- last uses ---- */

static void record_region(builder *b, region_id r, uint32_t *last, uint32_t *count);

/* Whether the region, or one within it, makes v. */
static bool made_within(const graph *g, value_id v, region_id r) {
    node_id p = graph_value(g, v)->producer;
    region_id at = p ? graph_node(g, p)->region : 0;
    while (at && at != r) at = graph_region(g, at)->parent;
    return at == r;
}

/* What a body reads from outside of it is read again in the next iteration: its last reader is the
 * node around the body. */
static void record_body(builder *b, region_id r, uint32_t *last, uint32_t *count) {
    uint32_t begin = *count;
    record_region(b, r, last, count);
    if (!graph_region(b->g, r)->inputs.count) return;
    for (value_id v = 1; v < b->g->values.count; v++)
        if (last[v] >= begin && last[v] < *count && !made_within(b->g, v, r)) last[v] = *count;
}

/* Numbers the nodes of a region and those within, and records each read. */
static void record_region(builder *b, region_id r, uint32_t *last, uint32_t *count) {
    const graph *g = b->g;
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++) {
        node_id n = graph_region(g, r)->nodes.data[i];
        const node *nd = graph_node(g, n);
        for (uint32_t j = 0; j < nd->attr_count; j++)
            if (nd->attrs[j].kind == ATTR_REGION)
                record_body(b, (region_id)nd->attrs[j].i, last, count);
        uint32_t at = b->position[n] = (*count)++;
        for (uint32_t j = 0; j < nd->input_count; j++)
            if (nd->inputs[j]) last[nd->inputs[j]] = at;
    }
    const region *done = graph_region(g, r);
    for (size_t i = 0; i < done->outputs.count; i++)
        last[done->outputs.data[i]] = r == GRAPH_MAIN ? UINT32_MAX : *count;
    (*count)++;
}

/* A view keeps its source alive: from the last node backwards, sources take over the last use of
 * their views. */
static void extend_views(const builder *b, region_id r, uint32_t *last) {
    const graph *g = b->g;
    const region *reg = graph_region(g, r);
    for (size_t i = reg->nodes.count; i-- > 0;) {
        const node *nd = graph_node(g, reg->nodes.data[i]);
        for (uint32_t j = 0; j < nd->attr_count; j++)
            if (nd->attrs[j].kind == ATTR_REGION) extend_views(b, (region_id)nd->attrs[j].i, last);
        if (!build_is_view(g, reg->nodes.data[i])) continue;
        if (last[nd->outputs[0]] > last[nd->inputs[0]]) last[nd->inputs[0]] = last[nd->outputs[0]];
    }
}

/* The memory of a view lives as long as its source: other views of it may be read later. */
static void share_last_uses(const builder *b, region_id r, uint32_t *last) {
    const graph *g = b->g;
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++) {
        node_id n = graph_region(g, r)->nodes.data[i];
        const node *nd = graph_node(g, n);
        if (build_is_view(g, n)) last[nd->outputs[0]] = last[nd->inputs[0]];
        for (uint32_t j = 0; j < nd->attr_count; j++)
            if (nd->attrs[j].kind == ATTR_REGION)
                share_last_uses(b, (region_id)nd->attrs[j].i, last);
    }
}

const uint32_t *build_last_uses(builder *b) {
    uint32_t *last = ARENA_ARRAY(b->a, uint32_t, b->g->values.count), count = 1;
    b->position = ARENA_ARRAY(b->a, uint32_t, b->g->nodes.count);
    record_region(b, GRAPH_MAIN, last, &count);
    extend_views(b, GRAPH_MAIN, last);
    share_last_uses(b, GRAPH_MAIN, last);
    return last;
}

/* ---- reuse in place ---- */

/* Facts on the accesses of one kernel: the only store to `output`, and whether all loads of `input`
 * are in that store at its index. */
typedef struct {
    const loop_kernel *k;
    loop_buf input, output;
    const loop_stmt *store;
    size_t output_stores;
    bool bad;
    bool *seen; /* expressions, of the statement at hand */
} access_scan;

static void scan_expr(access_scan *s, loop_expr e, const loop_stmt *at) {
    if (s->seen[e]) return;
    s->seen[e] = true;
    const loop_node *n = loop_get(s->k, e);
    if (n->op == LOOP_LOAD && (loop_buf)n->i == s->output) s->bad = true;
    if (n->op == LOOP_LOAD && (loop_buf)n->i == s->input) {
        bool same =
            at && at->kind == LOOP_STMT_STORE && at->buf == s->output &&
            n->arg_count == at->index_count &&
            (!n->arg_count || memcmp(n->args, at->indices, n->arg_count * sizeof *n->args) == 0);
        s->bad |= !same;
    }
    for (uint32_t i = 0; i < n->arg_count; i++) scan_expr(s, n->args[i], at);
}

static void scan_stmts(access_scan *s, const loop_stmt *st) {
    for (; st && !s->bad; st = st->next) {
        memset(s->seen, 0, s->k->nodes.count * sizeof *s->seen);
        if (st->kind == LOOP_STMT_STORE) {
            s->output_stores += loop_buffer_of(s->k, st->buf)->space == LOOP_SPACE_OUTPUT;
            scan_expr(s, st->value, st);
            memset(s->seen, 0, s->k->nodes.count * sizeof *s->seen);
            for (uint32_t i = 0; i < st->index_count; i++) scan_expr(s, st->indices[i], NULL);
        } else if (st->kind == LOOP_STMT_FOR) {
            scan_expr(s, st->extent, NULL);
        } else {
            scan_expr(s, st->condition, NULL);
        }
        scan_stmts(s, st->body);
        scan_stmts(s, st->otherwise);
    }
}

static bool same_extents(const loop_buffer *x, const loop_buffer *y) {
    return x->rank == y->rank &&
           (!x->rank || memcmp(x->extents, y->extents, (size_t)x->rank * sizeof *x->extents) == 0);
}

static bool may_overwrite(builder *b, const loop_kernel *k, loop_buf input, loop_buf output) {
    if (!same_extents(loop_buffer_of(k, input), loop_buffer_of(k, output))) return false;
    access_scan s = {.k = k, .input = input, .output = output};
    s.seen = ARENA_ARRAY(b->a, bool, k->nodes.count);
    scan_stmts(&s, k->body);
    return !s.bad && s.output_stores == 1;
}

/* Whether another parameter of the kernel lies in the same program buffer. */
static bool shared_parameter(const builder *b, const loop_kernel *k, loop_buf input) {
    uint32_t buffer = b->buffer_of[k->buffers.data[input].value];
    for (loop_buf i = 0; i < k->buffers.count; i++)
        if (i != input && k->buffers.data[i].space == LOOP_SPACE_INPUT &&
            b->buffer_of[k->buffers.data[i].value] == buffer)
            return true;
    return false;
}

static bool input_dies(const builder *b, node_id n, value_id v) {
    uint32_t buffer = b->buffer_of[v];
    if (buffer == NO_BUFFER || b->last_use[v] != b->position[n]) return false;
    const program_buffer *memory = &b->p->buffers.data[buffer];
    return memory->place == PLACE_ARENA && memory->whole == PROGRAM_NO_BUFFER && !memory->has_parts;
}

void build_reuse_inputs(builder *b, node_id n, loop_kernel *k, const value_id *inner,
                        const value_id *outer, size_t count) {
    uint32_t group = 0;
    for (size_t o = 0; o < count; o++) {
        bool apart = b->parts && b->parts[outer[o]].whole;
        if (b->buffer_of[outer[o]] != NO_BUFFER || apart) continue;
        loop_buf output = 0;
        while (k->buffers.data[output].value != inner[o]) output++;
        for (loop_buf i = 0; i < k->buffers.count; i++) {
            loop_buffer *x = &k->buffers.data[i];
            if (x->space != LOOP_SPACE_INPUT || x->alias || !input_dies(b, n, x->value)) continue;
            const type *from = graph_type(b->g, x->value), *to = graph_type(b->g, outer[o]);
            if (dtype_bytes(from->dtype) != dtype_bytes(to->dtype) || shared_parameter(b, k, i) ||
                !may_overwrite(b, k, i, output))
                continue;
            x->alias = k->buffers.data[output].alias = ++group;
            b->buffer_of[outer[o]] = b->buffer_of[x->value];
            break;
        }
    }
}

/* ---- cost ---- */

dim build_dim_of(dim_table *t, const loop_kernel *k, loop_expr e) {
    const loop_node n = *loop_get(k, e);
    if (n.op == LOOP_CONST) return dim_const(t, n.i);
    if (n.op == LOOP_DIM) return dim_from_symbol(t, (dim_symbol)n.i);
    if (n.op == LOOP_LOAD || n.arg_count != 2) return dim_const(t, 0);
    dim x = build_dim_of(t, k, n.args[0]), y = build_dim_of(t, k, n.args[1]);
    switch (n.op) {
    case LOOP_ADD: return dim_add(t, x, y);
    case LOOP_SUB: return dim_sub(t, x, y);
    case LOOP_MUL: return dim_mul(t, x, y);
    case LOOP_FLOORDIV: return dim_low(t, y) > 0 ? dim_floordiv(t, x, y) : dim_const(t, 0);
    case LOOP_MOD: return dim_low(t, y) > 0 ? dim_mod(t, x, y) : dim_const(t, 0);
    case LOOP_MIN: return dim_min(t, x, y);
    case LOOP_MAX: return dim_max(t, x, y);
    default: return dim_const(t, 0);
    }
}

/* Whether an extent is the same in every iteration of the loops around it. */
static bool is_fixed(const loop_kernel *k, loop_expr e) {
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_VAR || n->op == LOOP_LOAD) return false;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (!is_fixed(k, n->args[i])) return false;
    return true;
}

typedef struct {
    const loop_kernel *k;
    bool *counted; /* expressions, of the statement at hand */
    dim flops;
    dim *accesses; /* of every buffer */
    bool exact;    /* no extent varies */
} cost_scan;

/* Adds the loads of one evaluation, `times` of each, and returns its operations on numbers, index
 * arithmetic left out; a fused multiply-add counts as two, four products and their sum as seven. */
static int64_t count_expr(cost_scan *c, loop_expr e, dim times, bool index) {
    if (!e || c->counted[e]) return 0;
    c->counted[e] = true;
    const loop_node n = *loop_get(c->k, e);
    int64_t flops = 0;
    bool sums = n.op == LOOP_ADD || n.op == LOOP_SUB || n.op == LOOP_MUL, load = n.op == LOOP_LOAD;
    if (load) c->accesses[n.i] = dim_add(c->k->dims, c->accesses[n.i], times);
    if (n.op > LOOP_LOAD && n.op != LOOP_SELECT && n.op != LOOP_CAST && n.op != LOOP_BITCAST &&
        (dtype_is_float(n.type) || (sums && n.type == DTYPE_I32)))
        flops = n.op == LOOP_FMA ? 2 : 1;
    if (n.op == LOOP_DOT4) flops = 7;
    for (uint32_t i = 0; i < n.arg_count; i++)
        flops += count_expr(c, n.args[i], times, index || load);
    return index ? 0 : flops;
}

static void cost_of_block(cost_scan *c, const loop_stmt *s, dim times) {
    dim_table *t = c->k->dims;
    for (; s; s = s->next) {
        memset(c->counted, 0, c->k->nodes.count * sizeof *c->counted);
        int64_t flops = count_expr(c, s->value, times, false);
        c->flops = dim_add(t, c->flops, dim_mul(t, times, dim_const(t, flops)));
        count_expr(c, s->condition, times, true);
        for (uint32_t i = 0; i < s->index_count; i++) count_expr(c, s->indices[i], times, true);
        if (s->kind == LOOP_STMT_STORE)
            c->accesses[s->buf] = dim_add(t, c->accesses[s->buf], times);
        dim inside = times;
        if (s->kind == LOOP_STMT_FOR) {
            count_expr(c, s->extent, times, true);
            c->exact &= is_fixed(c->k, s->extent);
            inside = dim_mul(t, times, build_dim_of(t, c->k, s->extent));
        }
        cost_of_block(c, s->body, inside);
        cost_of_block(c, s->otherwise, inside);
    }
}

/* A buffer counts whole, unless there are not so many accesses to it. */
build_cost build_kernel_cost(const loop_kernel *k) {
    dim_table *t = k->dims;
    dim none = dim_const(t, 0);
    cost_scan c = {.k = k, .flops = none, .exact = true};
    c.counted = ARENA_ARRAY(k->memory, bool, k->nodes.count);
    c.accesses = ARENA_ARRAY(k->memory, dim, k->buffers.count);
    for (size_t i = 0; i < k->buffers.count; i++) c.accesses[i] = none;
    cost_of_block(&c, k->body, dim_const(t, 1));
    build_cost cost = {c.flops, none};
    for (size_t i = 0; i < k->buffers.count; i++) {
        const loop_buffer *b = &k->buffers.data[i];
        if (b->space > LOOP_SPACE_OUTPUT) continue;
        dim elements = dim_const(t, 1);
        for (int j = 0; j < b->rank; j++)
            elements = dim_mul(t, elements, build_dim_of(t, k, b->extents[j]));
        if (c.exact) elements = dim_min(t, elements, c.accesses[i]);
        dim size = dim_const(t, (int64_t)dtype_bytes(b->type));
        cost.bytes = dim_add(t, cost.bytes, dim_mul(t, elements, size));
    }
    return cost;
}
