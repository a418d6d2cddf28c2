/* contrib_norm.c: the normalisations of ONNX Runtime: of sums (skip connections, embeddings), by
 * the root of the mean square, and of groups with channels last. */
#include "ir/ops/spell.h"

/* ---- of rows ---- */

/* 1 / sqrt(mean of squares + epsilon) over the axes from `axis` on. */
static value_id inverse_root(graph *g, node_id n, value_id x, int64_t axis, double epsilon) {
    int64_t axes[TENSOR_MAX_RANK], count = 0;
    int rank = graph_type(g, x)->rank;
    for (int64_t i = axis < 0 ? axis + rank : axis; i < rank; i++) axes[count++] = i;
    dtype t = kit_sum_type(graph_type(g, x)->dtype);
    value_id wide = kit_build_cast(g, n, x, t);
    value_id square = kit_build2(g, n, "Mul", wide, wide);
    value_id mean = kit_build2(g, n, "ReduceMean", square, kit_ints(g, axes, count));
    value_id root =
        kit_build1(g, n, "Sqrt", kit_build2(g, n, "Add", mean, spell_number(g, t, epsilon)));
    return kit_build1(g, n, "Reciprocal", root);
}

static value_id rms_norm(graph *g, node_id n, value_id x, value_id scale, int64_t axis) {
    attr attrs[] = {attr_int("axis", axis),
                    attr_float("epsilon", node_attr_float(graph_node(g, n), "epsilon", 1e-5)),
                    attr_int("stash_type", node_attr_int(graph_node(g, n), "stash_type", 1))};
    value_id inputs[] = {x, scale};
    return kit_build(g, n, "RMSNormalization", 2, inputs, 3, attrs);
}

static bool expand_simplified(graph *g, node_id n) {
    int axis;
    value_id x = graph_input(g, n, 0);
    double epsilon = node_attr_float(graph_node(g, n), "epsilon", 1e-5);
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -1), graph_type(g, x)->rank, &axis))
        return false;
    value_id made[] = {rms_norm(g, n, x, graph_input(g, n, 1), axis), 0};
    if (kit_has_output(g, n, 1)) made[1] = inverse_root(g, n, x, axis, epsilon);
    return spell_results(g, n, 2, made);
}

/* LayerNormalization of the last axis, with its statistics. */
static bool layer_norm(graph *g, node_id n, value_id x, value_id gamma, value_id beta,
                       value_id *made) {
    attr attrs[] = {attr_float("epsilon", node_attr_float(graph_node(g, n), "epsilon", 1e-12))};
    value_id inputs[] = {x, gamma, beta};
    return x && spell_node(g, n, "LayerNormalization", 3, inputs, 1, attrs, 3, made);
}

enum { SKIP_OUTPUT, SKIP_MEAN, SKIP_INVERSE, SKIP_SUM, SKIP_OUTPUTS };

static value_id skip_sum(graph *g, node_id n, uint32_t bias) {
    value_id x = kit_build2(g, n, "Add", graph_input(g, n, 0), graph_input(g, n, 1));
    return spell_sum(g, n, x, graph_input(g, n, bias));
}

static bool expand_skip(graph *g, node_id n) {
    value_id made[SKIP_OUTPUTS], x = skip_sum(g, n, 4);
    if (!layer_norm(g, n, x, graph_input(g, n, 2), graph_input(g, n, 3), made)) return false;
    made[SKIP_SUM] = x;
    return spell_results(g, n, SKIP_OUTPUTS, made);
}

static bool expand_skip_simplified(graph *g, node_id n) {
    value_id x = skip_sum(g, n, 3);
    double epsilon = node_attr_float(graph_node(g, n), "epsilon", 1e-12);
    if (kit_has_output(g, n, SKIP_MEAN))
        return op_error(g, n, "leave the output out", "this normalisation has no mean");
    if (!x) return false;
    value_id made[] = {rms_norm(g, n, x, graph_input(g, n, 2), -1), 0, 0, x};
    if (kit_has_output(g, n, SKIP_INVERSE)) made[SKIP_INVERSE] = inverse_root(g, n, x, -1, epsilon);
    return spell_results(g, n, SKIP_OUTPUTS, made);
}

/* ---- EmbedLayerNormalization ---- */

enum {
    EMBED_IDS,
    EMBED_SEGMENTS,
    EMBED_WORD,
    EMBED_POSITION,
    EMBED_SEGMENT,
    EMBED_GAMMA,
    EMBED_BETA,
    EMBED_MASK,
    EMBED_POSITIONS
};

/* The position embedding of each word: its row's number where no positions are given. */
static value_id position_rows(graph *g, node_id n) {
    value_id table = graph_input(g, n, EMBED_POSITION), at = graph_input(g, n, EMBED_POSITIONS);
    const int64_t zero = 0;
    if (at) return kit_build2(g, n, "Gather", table, at);
    value_id slice[] = {table, kit_ints(g, &zero, 1),
                        spell_size(g, n, graph_input(g, n, EMBED_IDS), 1), kit_ints(g, &zero, 1)};
    return kit_build(g, n, "Slice", 4, slice, 0, NULL);
}

/* The number of words of each batch; zero where there is no mask. */
static value_id mask_index(graph *g, node_id n) {
    value_id mask = graph_input(g, n, EMBED_MASK);
    attr keep = attr_int("keepdims", 0);
    const int64_t one = 1;
    value_id ones =
        mask ? kit_build2(g, n, "Equal", mask, spell_number(g, DTYPE_I32, 1))
             : kit_build2(g, n, "Less", graph_input(g, n, EMBED_IDS), graph_input(g, n, EMBED_IDS));
    value_id inputs[] = {kit_build_cast(g, n, ones, DTYPE_I32), kit_ints(g, &one, 1)};
    return kit_build(g, n, "ReduceSum", 2, inputs, 1, &keep);
}

static bool expand_embed(graph *g, node_id n) {
    value_id made[3], segments = graph_input(g, n, EMBED_SEGMENTS);
    if (!kit_need(g, n, EMBED_IDS, 2, 2)) return false;
    value_id x =
        kit_build2(g, n, "Gather", graph_input(g, n, EMBED_WORD), graph_input(g, n, EMBED_IDS));
    x = kit_build2(g, n, "Add", x, position_rows(g, n));
    if (segments && graph_input(g, n, EMBED_SEGMENT))
        x = kit_build2(g, n, "Add", x,
                       kit_build2(g, n, "Gather", graph_input(g, n, EMBED_SEGMENT), segments));
    if (!layer_norm(g, n, x, graph_input(g, n, EMBED_GAMMA), graph_input(g, n, EMBED_BETA), made))
        return false;
    made[1] = kit_has_output(g, n, 1) ? mask_index(g, n) : 0;
    made[2] = x;
    return spell_results(g, n, 3, made);
}

/* ---- of groups ---- */

static value_id group_norm(graph *g, node_id n, value_id x) {
    const node nd = *graph_node(g, n);
    attr attrs[] = {attr_int("num_groups", node_attr_int(&nd, "groups", 1)),
                    attr_float("epsilon", node_attr_float(&nd, "epsilon", 1e-5))};
    int64_t activation = node_attr_int(&nd, "activation", 0);
    bool last = node_attr_int(&nd, "channels_last", 1) != 0;
    if (!x) return 0;
    dtype t = graph_type(g, x)->dtype;
    value_id inputs[] = {last ? spell_channels_first(g, n, x) : x,
                         kit_build_cast(g, n, nd.inputs[1], t),
                         kit_build_cast(g, n, nd.inputs[2], t)};
    value_id y = kit_build(g, n, "GroupNormalization", 3, inputs, 2, attrs);
    if (activation == 1) y = kit_build1(g, n, "Swish", y);
    if (activation < 0 || activation > 1) {
        op_error(g, n, NULL, "there is no activation %lld", (long long)activation);
        return 0;
    }
    return last ? spell_channels_last(g, n, y) : y;
}

static bool expand_group(graph *g, node_id n) {
    return spell_result(g, n, group_norm(g, n, graph_input(g, n, 0)));
}

/* A number per channel, or per batch and channel, laid along x. */
static value_id along_channels(graph *g, node_id n, value_id v) {
    bool last = node_attr_int(graph_node(g, n), "channels_last", 1) != 0;
    const type *t = graph_type(g, v);
    if (t->rank > 2 || (last && t->rank < 2)) return v;
    const int64_t per_channel[] = {1, 2}, by_batch[] = {2, 3}, middle[] = {1, 2};
    return kit_build2(g, n, "Unsqueeze", v,
                      kit_ints(g,
                               last           ? middle
                               : t->rank == 1 ? per_channel
                                              : by_batch,
                               2));
}

static bool expand_skip_group(graph *g, node_id n) {
    value_id bias = graph_input(g, n, 4);
    if (!kit_need(g, n, 0, 4, 4)) return false;
    value_id x =
        kit_build2(g, n, "Add", graph_input(g, n, 0), along_channels(g, n, graph_input(g, n, 3)));
    x = spell_sum(g, n, x, bias ? along_channels(g, n, bias) : 0);
    value_id made[] = {group_norm(g, n, x), x};
    return spell_results(g, n, 2, made);
}

const op_def ops_contrib_norm[] = {
    {.domain = "", .name = "SimplifiedLayerNormalization", .expand = expand_simplified},
    SPELL_ROW("SimplifiedLayerNormalization", expand_simplified),
    SPELL_ROW("SkipLayerNormalization", expand_skip),
    SPELL_ROW("SkipSimplifiedLayerNormalization", expand_skip_simplified),
    SPELL_ROW("EmbedLayerNormalization", expand_embed),
    SPELL_ROW("GroupNorm", expand_group),
    SPELL_ROW("SkipGroupNorm", expand_skip_group),
};
const size_t ops_contrib_norm_count = sizeof ops_contrib_norm / sizeof *ops_contrib_norm;
