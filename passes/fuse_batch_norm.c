/* fuse_batch_norm.c: scales and shifts along the channels go into the weights and bias of the
 * convolution before them: BatchNormalization, and Mul and Add by one constant a channel. The
 * arithmetic is built as nodes on constants; folding does it. */
#include "passes/rewrite.h"

#include <string.h>

static value_id build(graph *g, node_id before, const char *op, value_id a, value_id b) {
    value_id inputs[] = {a, b};
    if (!a || (!b && strcmp(op, "Sqrt") != 0)) return 0;
    return graph_build(g, graph_node(g, before)->region, before, "", op, b ? 2 : 1, inputs, 0,
                       NULL);
}

/* v, one number a channel, with `channels` along axis `axis` of `rank` and ones elsewhere; v may be
 * of any shape of so many elements. */
static value_id along_axis(graph *g, node_id before, value_id v, int rank, int axis) {
    int64_t dims[TENSOR_MAX_RANK], count[] = {rank};
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? -1 : 1;
    return build(g, before, "Reshape", v,
                 graph_add_constant_ints(g, "shape", DTYPE_I64, 1, count, dims));
}

static bool is_convolution(const graph *g, node_id n) {
    return n && (rewrite_is(g, n, "Conv") || rewrite_is(g, n, "ConvTranspose"));
}

/* The convolution whose only reader is node n, by way of v; its weights constant, its channels
 * known. */
static node_id convolution_of(const graph *g, const uint32_t *uses, value_id v) {
    node_id c = v ? graph_value(g, v)->producer : 0;
    if (!is_convolution(g, c) || !rewrite_used_once(uses, v)) return 0;
    if (!rewrite_is_constant(g, graph_input(g, c, 1))) return 0;
    if (graph_input(g, c, 2) && !rewrite_is_constant(g, graph_input(g, c, 2))) return 0;
    if (rewrite_is(g, c, "ConvTranspose") && node_attr_int(graph_node(g, c), "group", 1) != 1)
        return 0;
    return c;
}

/* weights * scale and bias * scale + shift, both one a channel (0: none), in the place of the
 * convolution's own. */
static bool absorb(graph *g, node_id conv, value_id scale, value_id shift) {
    value_id w = graph_input(g, conv, 1), b = graph_input(g, conv, 2);
    int rank = graph_type(g, w)->rank, axis = rewrite_is(g, conv, "Conv") ? 0 : 1;
    if (scale) w = build(g, conv, "Mul", w, along_axis(g, conv, scale, rank, axis));
    if (scale && b) b = build(g, conv, "Mul", b, along_axis(g, conv, scale, 1, 0));
    if (shift) {
        value_id flat = along_axis(g, conv, shift, 1, 0);
        b = b ? build(g, conv, "Add", b, flat) : flat;
    }
    if (!w) return false;
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, 3);
    inputs[0] = graph_input(g, conv, 0);
    inputs[1] = w;
    inputs[2] = b;
    graph_node(g, conv)->inputs = inputs;
    graph_node(g, conv)->input_count = b ? 3 : 2;
    return true;
}

/* A constant of one number a channel, in any shape that broadcasts to [N, C, ...]: [C, 1, 1], [1,
 * C, 1, 1], or [C] where rank is 1 + its own. */
static bool is_per_channel(const graph *g, value_id v, const type *y) {
    const type *t = graph_type(g, v);
    if (!rewrite_is_constant(g, v) || t->rank > y->rank) return false;
    for (int i = 0; i < t->rank; i++) {
        int axis = y->rank - t->rank + i;
        if (axis == 1 ? t->dims[i] != y->dims[1] : !dim_equals_const(g->dims, t->dims[i], 1))
            return false;
    }
    return t->rank >= y->rank - 1 && dim_is_const(g->dims, y->dims[1], NULL);
}

static bool finish(graph *g, node_id n, node_id conv) {
    if (!rewrite_replace(g, graph_output(g, n, 0), graph_output(g, conv, 0))) return false;
    graph_remove_node(g, n);
    return true;
}

/* A constant of one element, once for each channel. */
static value_id for_all_channels(graph *g, node_id before, value_id c, const type *y) {
    int64_t channels[1], one[] = {1};
    if (!dim_is_const(g->dims, y->dims[1], channels)) return 0;
    return build(g, before, "Expand", along_axis(g, before, c, 1, 0),
                 graph_add_constant_ints(g, "shape", DTYPE_I64, 1, one, channels));
}

static long fuse_pointwise(graph *g, const uint32_t *uses, node_id n, bool multiply) {
    for (int side = 0; side < 2; side++) {
        double scalar;
        value_id x = graph_input(g, n, (uint32_t)side), c = graph_input(g, n, 1 - (uint32_t)side);
        node_id conv = convolution_of(g, uses, x);
        if (!conv || !type_equal(graph_type(g, x), graph_type(g, graph_output(g, n, 0)))) continue;
        const type y = *graph_type(g, x);
        if (rewrite_scalar(g, c, &scalar))
            c = for_all_channels(g, conv, c, &y);
        else if (!is_per_channel(g, c, &y))
            continue;
        return c && absorb(g, conv, multiply ? c : 0, multiply ? 0 : c) && finish(g, n, conv);
    }
    return 0;
}

/* scale / sqrt(var + epsilon), and B - mean * that. */
static long fuse_normalization(graph *g, const uint32_t *uses, node_id n) {
    for (uint32_t i = 1; i < 5; i++)
        if (!rewrite_is_constant(g, graph_input(g, n, i))) return 0;
    if (graph_output(g, n, 1) || node_attr_int(graph_node(g, n), "training_mode", 0)) return 0;
    value_id x = graph_input(g, n, 0);
    const type t = *graph_type(g, x);
    if (t.dtype != DTYPE_F32 || t.rank < 2) return 0;
    double epsilon = node_attr_float(graph_node(g, n), "epsilon", 1e-5);
    value_id e = graph_add_constant_floats(g, "epsilon", DTYPE_F32, 0, NULL, &epsilon);
    node_id conv = convolution_of(g, uses, x), at = conv ? conv : n;
    value_id deviation = build(g, at, "Sqrt", build(g, at, "Add", graph_input(g, n, 4), e), 0);
    value_id scale = build(g, at, "Div", graph_input(g, n, 1), deviation);
    value_id shift =
        build(g, at, "Sub", graph_input(g, n, 2), build(g, at, "Mul", graph_input(g, n, 3), scale));
    if (!shift) return -1;
    if (conv) return absorb(g, conv, scale, shift) && finish(g, n, conv);
    value_id scaled = build(g, n, "Mul", x, along_axis(g, n, scale, t.rank, 1));
    value_id y = build(g, n, "Add", scaled, along_axis(g, n, shift, t.rank, 1));
    if (!y || !rewrite_replace(g, graph_output(g, n, 0), y)) return -1;
    graph_remove_node(g, n);
    return 1;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    if (rewrite_is(g, n, "BatchNormalization")) return fuse_normalization(g, uses, n);
    if (rewrite_is(g, n, "Mul")) return fuse_pointwise(g, uses, n, true);
    if (rewrite_is(g, n, "Add")) return fuse_pointwise(g, uses, n, false);
    return 0;
}

/* Weights that were scaled are constants again only once folded: a second Mul behind a convolution
 * waits for the pipeline's next round. */
static long run(graph *g, const pass_options *options) {
    return rewrite_each(g, options, rewrite_count_uses(g), visit);
}

const pass_def pass_fuse_batch_norm = {
    "fuse_batch_norm", "scales and shifts of channels go into the convolution before", run};
