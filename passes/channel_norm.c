/* channel_norm.c: InstanceNormalization and GroupNormalization among convolutions, spelt in means
 * over the pixels of each channel. What is over a whole tensor then keeps channels apart, so it
 * computes on blocks of them as the convolutions do, and joins what comes before and behind; what
 * mixes the channels of a group has one number a channel. Groups also come as exporters write them:
 * InstanceNormalization between two Reshapes. */
#include "ir/ops/kit.h"
#include "passes/rewrite.h"

/* A normalisation of x in `groups` of its channels, before scale and bias. */
typedef struct {
    value_id x;
    int64_t channels, groups;
    double epsilon;
} channel_norm;

static bool has_pixels(const graph *g, value_id x, int64_t *channels) {
    const type *t = graph_type(g, x);
    return t->kind == TYPE_TENSOR && t->dtype == DTYPE_F32 && t->rank >= 3 && !t->layout &&
           dim_is_const(g->dims, t->dims[1], channels) && *channels > 0;
}

/* The mean of v over pixels and the channels of each group, [N, C, 1, ...]. */
static value_id mean_of_groups(graph *g, node_id n, const channel_norm *c, value_id v) {
    int64_t pixels[TENSOR_MAX_RANK], inside = 2, shape[TENSOR_MAX_RANK] = {0};
    int rank = graph_type(g, v)->rank;
    for (int i = 2; i < rank; i++) pixels[i - 2] = i;
    v = kit_build2(g, n, "ReduceMean", v, kit_ints(g, pixels, rank - 2));
    if (c->groups == c->channels || !v) return v;
    /* A 0 copies the size of the batch, which may be a symbol. */
    int64_t apart[] = {0, c->groups, c->channels / c->groups}, whole[] = {1, 1, apart[2]};
    v = kit_build_reshape(g, n, v, apart, 3);
    v = kit_build2(g, n, "ReduceMean", v, kit_ints(g, &inside, 1));
    v = kit_build2(g, n, "Expand", v, kit_ints(g, whole, 3));
    shape[1] = c->channels;
    for (int i = 2; i < rank; i++) shape[i] = 1;
    return kit_build_reshape(g, n, v, shape, rank);
}

/* (x - mean) / sqrt(variance + epsilon). The deviations are computed twice: once in the kernel that
 * sums their squares, once where they are scaled. */
static value_id spell(graph *g, node_id n, const channel_norm *c) {
    double epsilon = c->epsilon;
    value_id mean = mean_of_groups(g, n, c, c->x);
    value_id d = kit_build2(g, n, "Sub", c->x, mean);
    value_id variance = mean_of_groups(g, n, c, kit_build2(g, n, "Mul", d, d));
    value_id least = graph_add_constant_floats(g, "epsilon", DTYPE_F32, 0, NULL, &epsilon);
    value_id root = kit_build1(g, n, "Sqrt", kit_build2(g, n, "Add", variance, least));
    value_id inverse = kit_build1(g, n, "Reciprocal", root);
    return kit_build2(g, n, "Mul", kit_build2(g, n, "Sub", c->x, mean), inverse);
}

/* A vector over channels along axis 1 of x. */
static value_id along_channels(graph *g, node_id n, value_id v, int64_t channels, int rank) {
    int64_t shape[TENSOR_MAX_RANK];
    shape[0] = channels;
    for (int i = 1; i < rank - 1; i++) shape[i] = 1;
    return kit_build_reshape(g, n, v, shape, rank - 1);
}

/* The operator itself: scale and bias are numbers a channel. */
static long spell_node(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    bool instance = rewrite_is(g, n, "InstanceNormalization");
    channel_norm c = {.x = nd.inputs[0], .epsilon = node_attr_float(&nd, "epsilon", 1e-5)};
    if (!has_pixels(g, c.x, &c.channels) || graph_type(g, nd.outputs[0])->layout ||
        rewrite_producer(g, c.x, "Reshape"))
        return 0;
    c.groups = instance ? c.channels : node_attr_int(&nd, "num_groups", 1);
    int rank = graph_type(g, c.x)->rank;
    value_id y = spell(g, n, &c);
    y = kit_build2(g, n, "Mul", y, along_channels(g, n, nd.inputs[1], c.channels, rank));
    y = kit_build2(g, n, "Add", y, along_channels(g, n, nd.inputs[2], c.channels, rank));
    if (!y) return -1;
    rewrite_take_over(g, n, nd.outputs[0], y);
    return 1;
}

static bool same_shape(const type *a, const type *b) {
    bool same = a->kind == TYPE_TENSOR && b->kind == TYPE_TENSOR && a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++) same = a->dims[i] == b->dims[i];
    return same;
}

/* n is the second Reshape of Reshape(x, [N, groups, ...]), InstanceNormalization without scale and
 * bias, Reshape to the shape of x. */
static long spell_reshaped(graph *g, node_id n) {
    node_id norm = rewrite_producer(g, graph_input(g, n, 0), "InstanceNormalization");
    node_id first = norm ? rewrite_producer(g, graph_input(g, norm, 0), "Reshape") : 0;
    if (!first) return 0;
    channel_norm c = {.x = graph_input(g, first, 0),
                      .epsilon = node_attr_float(graph_node(g, norm), "epsilon", 1e-5)};
    const type *inside = graph_type(g, graph_input(g, norm, 0));
    double scale, bias;
    if (!has_pixels(g, c.x, &c.channels) || inside->rank < 3 ||
        !same_shape(graph_type(g, c.x), graph_type(g, graph_output(g, n, 0))) ||
        inside->dims[0] != graph_type(g, c.x)->dims[0] ||
        !dim_is_const(g->dims, inside->dims[1], &c.groups) || c.groups < 1 ||
        c.channels % c.groups || !rewrite_repeated(g, graph_input(g, norm, 1), &scale) ||
        !rewrite_repeated(g, graph_input(g, norm, 2), &bias) || scale != 1 || bias != 0)
        return 0;
    value_id y = spell(g, n, &c);
    if (!y) return -1;
    rewrite_take_over(g, n, graph_output(g, n, 0), y);
    return 1;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options, (void)uses;
    if (rewrite_is(g, n, "Reshape")) return spell_reshaped(g, n);
    if (rewrite_is(g, n, "InstanceNormalization") || rewrite_is(g, n, "GroupNormalization"))
        return spell_node(g, n);
    return 0;
}

static bool has_convolution(const graph *g, region_id r) {
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++)
        if (rewrite_is(g, graph_region(g, r)->nodes.data[i], "Conv")) return true;
    return false;
}

static long run(graph *g, const pass_options *options) {
    if (!options->vector_block || rewrite_has_groups(g) || !has_convolution(g, GRAPH_MAIN))
        return 0;
    return rewrite_each(g, options, NULL, visit);
}

const pass_def pass_channel_norm = {"channel_norm",
                                    "normalisation of channels, in means over their pixels", run};
