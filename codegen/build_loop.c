/* build_loop.c: Loop becomes a loop step. Every state has one buffer, which the body reads and
 * which takes the body's result at the end of an iteration; what an iteration adds to a stacked
 * result is stored by a small kernel. The plan sees one pass over the body: what lives across
 * iterations is made to live through all of it. */
#include "codegen/build_internal.h"
#include "ir/op.h"
#include "runtime/onnxcc_runtime.h"

#include <assert.h>

/* onnxcc_status: ONNXCC_ERROR_BAD_SHAPE. */

/* A buffer of the arena that no value names. */
static uint32_t make_buffer(builder *b, const char *name, const type *t) {
    program_buffer made = {.name = name,
                           .place = PLACE_ARENA,
                           .bytes = type_bytes(b->g->dims, t),
                           .element_bytes = dtype_bytes(t->dtype)};
    return build_add_buffer(b, made);
}

/* The bool that is true. */
static uint32_t make_true(builder *b) {
    static const unsigned char yes = 1;
    const type flag = type_tensor(DTYPE_BOOL, 0, NULL);
    uint32_t index = make_buffer(b, "true", &flag);
    b->p->buffers.data[index].place = PLACE_WEIGHT;
    b->p->buffers.data[index].data = &yes;
    return index;
}

static void copy(builder *b, uint32_t to, uint32_t from) {
    uint32_t args[] = {to, from};
    if (to != from) build_step(b, STEP_COPY, "copy", args, 2);
}

/* The kernel that stores x as element `iteration` of y along axis 0. */
static loop_kernel *stack_kernel(builder *b, const char *name, value_id y, value_id x,
                                 value_id iteration) {
    loop_kernel *k = loop_kernel_create(b->a, b->g->dims, name);
    const type ty = *graph_type(b->g, y), tx = *graph_type(b->g, x);
    loop_expr extents[LOOP_MAX_RANK], index[LOOP_MAX_RANK];
    loop_var vars[LOOP_MAX_RANK];
    for (int i = 0; i < ty.rank; i++) extents[i] = loop_dim(k, ty.dims[i]);
    loop_buf out = loop_add_buffer(k, (loop_buffer){.name = "y",
                                                    .type = ty.dtype,
                                                    .space = LOOP_SPACE_OUTPUT,
                                                    .rank = ty.rank,
                                                    .extents = extents,
                                                    .value = y});
    for (int i = 0; i < tx.rank; i++) extents[i] = loop_dim(k, tx.dims[i]);
    loop_buf in = loop_add_buffer(k, (loop_buffer){.name = "x",
                                                   .type = tx.dtype,
                                                   .space = LOOP_SPACE_INPUT,
                                                   .rank = tx.rank,
                                                   .extents = extents,
                                                   .value = x});
    loop_buf at = loop_add_buffer(
        k, (loop_buffer){
               .name = "i", .type = DTYPE_I64, .space = LOOP_SPACE_INPUT, .value = iteration});
    loop_expr i = loop_load(k, at, NULL), count = loop_dim(k, ty.dims[0]);
    loop_stmt *check = loop_check(k, loop_lt(k, i, count), ONNXCC_ERROR_BAD_SHAPE);
    loop_expr last = loop_sub(k, count, loop_int(k, 1));
    index[0] = loop_max(k, loop_int(k, 0), loop_min(k, i, last));
    for (int a = 0; a < tx.rank; a++) {
        vars[a] = loop_add_var(k, "i", extents[a]);
        index[a + 1] = loop_var_expr(k, vars[a]);
    }
    loop_stmt *s = loop_store(k, out, index, loop_load(k, in, index + 1));
    for (int a = tx.rank; a-- > 0;) s = loop_for(k, LOOP_INDEPENDENT, vars[a], extents[a], s);
    k->body = loop_join(check, s);
    return k;
}

/* The body's results become the states of the next iteration. One that is itself a state goes
 * through a copy, as that state may have been replaced by then. */
static void advance_states(builder *b, const uint32_t *states, const value_id *results,
                           const type *types, size_t count) {
    uint32_t *from = ARENA_ARRAY(b->a, uint32_t, count);
    for (size_t i = 0; i < count; i++) {
        from[i] = build_buffer(b, results[i]);
        for (size_t j = 0; j < count; j++) {
            if (from[i] != states[j] || i == j) continue;
            uint32_t kept = make_buffer(b, "kept", &types[i]);
            copy(b, kept, from[i]);
            from[i] = kept;
            break;
        }
    }
    for (size_t i = 0; i < count; i++) copy(b, states[i], from[i]);
}

/* What was there before the loop and is used in it lives until its end. */
static void stretch_lives(builder *b, uint32_t begin) {
    for (size_t i = 0; i < b->life.count; i++) {
        lifetime *l = &b->life.data[i];
        if (l->first != UINT32_MAX && l->first <= begin && l->last >= begin) l->last = b->now;
    }
}

/* A state keeps its size: its memory is planned once. */
static bool check_states(builder *b, node_id n, const region *body, size_t states) {
    const node nd = *graph_node(b->g, n);
    for (size_t i = 0; i < states; i++) {
        const type *first = graph_type(b->g, nd.inputs[2 + i]);
        const type *inside = graph_type(b->g, body->inputs.data[2 + i]);
        const type *next = graph_type(b->g, body->outputs.data[1 + i]);
        if (first->kind != TYPE_TENSOR)
            return op_error(b->g, n, NULL, "a state of a loop that is no tensor is not supported");
        if (!type_equal(first, inside) || !type_equal(inside, next))
            return op_error(b->g, n, NULL,
                            "a state of a loop that changes its size is not "
                            "supported");
    }
    return true;
}

bool build_loop(builder *b, node_id n) {
    graph *g = b->g;
    const node nd = *graph_node(g, n);
    region_id r = node_attr_region(&nd, "body");
    const region body = *graph_region(g, r);
    size_t states = nd.input_count > 2 ? nd.input_count - 2 : 0;
    const type flag = type_tensor(DTYPE_BOOL, 0, NULL);
    if (!check_states(b, n, &body, states)) return false;

    /* State 0 is the condition. */
    uint32_t *state = ARENA_ARRAY(b->a, uint32_t, states + 1);
    value_id *result = ARENA_ARRAY(b->a, value_id, states + 1);
    type *types = ARENA_ARRAY(b->a, type, states + 1);
    for (size_t i = 0; i <= states; i++) {
        value_id out = i ? nd.outputs[i - 1] : 0;
        types[i] = i ? *graph_type(g, nd.inputs[1 + i]) : flag;
        state[i] = out ? build_buffer(b, out) : make_buffer(b, "state", &types[i]);
        result[i] = body.outputs.data[i];
        value_id start = nd.input_count > 1 ? nd.inputs[1 + i] : 0;
        copy(b, state[i], start ? build_buffer(b, start) : make_true(b));
        b->buffer_of[body.inputs.data[1 + i]] = state[i];
    }
    uint32_t iteration = build_buffer(b, body.inputs.data[0]);
    bool counted = nd.inputs[0] != 0;
    uint32_t trips = counted ? build_buffer(b, nd.inputs[0]) : state[0];
    /* Stacked results grow in all iterations: they live from the start. */
    uint32_t *args = ARENA_ARRAY(b->a, uint32_t, nd.output_count + 3), arg_count = 0;
    args[arg_count++] = iteration;
    args[arg_count++] = state[0];
    args[arg_count++] = trips;
    for (uint32_t i = (uint32_t)states; i < nd.output_count; i++)
        if (nd.outputs[i]) args[arg_count++] = build_buffer(b, nd.outputs[i]);
    program_step *s = build_step(b, STEP_LOOP, nd.name, args, arg_count);
    uint32_t begin = b->now - 1;
    s->condition = state[0];
    s->trip_count = counted ? trips : UINT32_MAX;
    s->iteration = iteration;

    program_step **after = b->tail;
    b->tail = &s->body;
    bool ok = build_region(b, r);
    for (uint32_t i = (uint32_t)states; ok && i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        const char *name = arena_printf(b->a, "%s_%u_stack", b->p->name, b->p->profile_count);
        value_id x = body.outputs.data[i + 1];
        build_call(b, stack_kernel(b, name, nd.outputs[i], x, body.inputs.data[0]), "stack");
    }
    if (ok) advance_states(b, state, result, types, states + 1);
    b->tail = after;
    stretch_lives(b, begin);
    b->now++;
    return ok;
}
