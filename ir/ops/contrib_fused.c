/* contrib_fused.c: operators that ONNX Runtime's optimizer makes of several: products, convolutions
 * and sums with an activation behind them, and the forms of Gelu. They are taken apart again; what
 * to fuse is for our own passes to say. */
#include "ir/ops/spell.h"

#include <math.h>
#include <string.h>

/* ---- convolutions ---- */

static const char *const conv_attrs[] = {"auto_pad", "dilations", "group", "kernel_shape",
                                         "pads",     "strides",   NULL};

/* Parameters of an activation from a list of numbers. */
static void listed_parameters(const graph *g, node_id n, double *out) {
    const attr *a = node_attr(graph_node(g, n), "activation_params");
    for (size_t i = 0; i < 2; i++)
        out[i] = a && a->kind == ATTR_FLOATS && i < a->count ? a->floats[i] : NAN;
}

/* Conv of x with the operands of n, the sum with Z if the operator has one, the activation. */
static value_id build_conv(graph *g, node_id n, value_id x, value_id w, value_id z) {
    const char *activation = node_attr_string(graph_node(g, n), "activation", "");
    attr attrs[6];
    double parameters[2];
    value_id inputs[] = {x, w, graph_input(g, n, 2)};
    uint32_t count = spell_attrs(g, n, conv_attrs, attrs);
    listed_parameters(g, n, parameters);
    value_id y = x && w ? spell_value(g, n, "Conv", 3, inputs, count, attrs) : 0;
    y = spell_sum(g, n, y, z);
    return *activation ? spell_activation(g, n, activation, y, parameters) : y;
}

static bool expand_conv(graph *g, node_id n) {
    return spell_result(
        g, n, build_conv(g, n, graph_input(g, n, 0), graph_input(g, n, 1), graph_input(g, n, 3)));
}

/* NhwcConv's weights have their channels last too, in the files of the tool that makes it, but
 * first in its documentation: the number of channels tells. */
static bool has_channels_last(graph *g, node_id n) {
    const type *x = kit_input(g, n, 0), *w = kit_input(g, n, 1);
    int64_t channels, own;
    if (strcmp(graph_node(g, n)->op->name, "NhwcConv") != 0 || w->rank < 3) return false;
    return dim_is_const(g->dims, x->dims[x->rank - 1], &channels) &&
           dim_is_const(g->dims, w->dims[w->rank - 1], &own) &&
           own * node_attr_int(graph_node(g, n), "group", 1) == channels;
}

static bool expand_nhwc_conv(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 3, TENSOR_MAX_RANK))
        return false;
    value_id z = graph_input(g, n, 3), w = graph_input(g, n, 1);
    if (has_channels_last(g, n)) w = spell_channels_first(g, n, w);
    value_id y = build_conv(g, n, spell_channels_first(g, n, graph_input(g, n, 0)), w,
                            z ? spell_channels_first(g, n, z) : 0);
    return spell_result(g, n, spell_channels_last(g, n, y));
}

static bool expand_nhwc_max_pool(graph *g, node_id n) {
    static const char *const names[] = {"auto_pad", "ceil_mode", "dilations", "kernel_shape",
                                        "pads",     "strides",   NULL};
    attr attrs[6];
    uint32_t count = spell_attrs(g, n, names, attrs);
    value_id x = spell_channels_first(g, n, graph_input(g, n, 0));
    return spell_result(g, n,
                        spell_channels_last(g, n, kit_build(g, n, "MaxPool", 1, &x, count, attrs)));
}

/* The pads come as data; the standard's operator has them as attribute. */
static bool expand_dynamic_pads(graph *g, node_id n) {
    static const char *const names[] = {"auto_pad",       "dilations", "group", "kernel_shape",
                                        "output_padding", "strides",   NULL};
    attr attrs[7];
    const int64_t *pads;
    size_t length;
    uint32_t count = spell_attrs(g, n, names, attrs);
    value_id inputs[] = {graph_input(g, n, 0), graph_input(g, n, 1), graph_input(g, n, 3)};
    if (graph_input(g, n, 2)) {
        if (!op_const_ints(g, n, 2, NULL, &pads, &length))
            return op_error(g, n, "make the pads an initializer",
                            "pads that are not known at compile time are not supported");
        attrs[count++] = attr_ints("pads", pads, length);
    }
    return spell_result(g, n, spell_value(g, n, "ConvTranspose", 3, inputs, count, attrs));
}

/* ---- matrix products ---- */

/* Transposes as the flags say: the last two axes, and before that the batch axes, of which the
 * first moves next to the columns: [M, B.., K] is [B.., M, K]. */
static value_id turned(graph *g, node_id n, uint32_t i, const char *matrix, const char *batch) {
    const node nd = *graph_node(g, n);
    value_id v = graph_input(g, n, i);
    int64_t perm[TENSOR_MAX_RANK];
    int rank = graph_type(g, v)->rank;
    if (node_attr_int(&nd, batch, 0) && rank > 2) {
        for (int a = 0; a < rank; a++) perm[a] = a < rank - 2 ? a + 1 : a == rank - 2 ? 0 : a;
        v = kit_build_transpose(g, n, v, perm, (size_t)rank);
    }
    return node_attr_int(&nd, matrix, 0) ? spell_transposed(g, n, v) : v;
}

static void named_parameters(const graph *g, node_id n, double *out) {
    const node *nd = graph_node(g, n);
    out[0] = node_attr_float(nd, "activation_alpha", NAN);
    out[1] = node_attr_float(nd, "activation_beta", node_attr_float(nd, "activation_gamma", NAN));
}

static bool expand_matmul(graph *g, node_id n) {
    const char *activation = node_attr_string(graph_node(g, n), "activation", "");
    double parameters[2];
    value_id a = turned(g, n, 0, "transA", "transBatchA");
    value_id b = turned(g, n, 1, "transB", "transBatchB");
    value_id y = spell_scaled(g, n, kit_build2(g, n, "MatMul", a, b),
                              node_attr_float(graph_node(g, n), "alpha", 1));
    named_parameters(g, n, parameters);
    return spell_result(g, n, *activation ? spell_activation(g, n, activation, y, parameters) : y);
}

static bool expand_gemm(graph *g, node_id n) {
    static const char *const names[] = {"alpha", "beta", "transA", "transB", NULL};
    const char *activation = node_attr_string(graph_node(g, n), "activation", "");
    attr attrs[4];
    double parameters[2];
    uint32_t count = spell_attrs(g, n, names, attrs);
    value_id inputs[] = {graph_input(g, n, 0), graph_input(g, n, 1), graph_input(g, n, 2)};
    value_id y = spell_value(g, n, "Gemm", 3, inputs, count, attrs);
    named_parameters(g, n, parameters);
    return spell_result(g, n, *activation ? spell_activation(g, n, activation, y, parameters) : y);
}

/* ---- Gelu and its approximations ---- */

static value_id gelu(graph *g, node_id n, value_id x, const char *approximate) {
    attr a = attr_string("approximate", approximate);
    return kit_build(g, n, "Gelu", 1, &x, 1, &a);
}

/* Gelu, BiasGelu. */
static bool expand_gelu(graph *g, node_id n) {
    value_id x = spell_sum(g, n, graph_input(g, n, 0), graph_input(g, n, 1));
    return spell_result(g, n, gelu(g, n, x, "none"));
}

static bool expand_fast_gelu(graph *g, node_id n) {
    value_id x = spell_sum(g, n, graph_input(g, n, 0), graph_input(g, n, 1));
    return spell_result(g, n, gelu(g, n, x, "tanh"));
}

static bool expand_gemm_fast_gelu(graph *g, node_id n) {
    value_id x = kit_build2(g, n, "MatMul", graph_input(g, n, 0), graph_input(g, n, 1));
    return spell_result(g, n, gelu(g, n, spell_sum(g, n, x, graph_input(g, n, 2)), "tanh"));
}

/* x * sigmoid(alpha * x) */
static bool expand_quick_gelu(graph *g, node_id n) {
    attr alpha = attr_float("alpha", node_attr_float(graph_node(g, n), "alpha", 1.702));
    value_id x = graph_input(g, n, 0);
    return spell_result(g, n, kit_build(g, n, "Swish", 1, &x, 1, &alpha));
}

/* The first half of the columns times the Gelu of the second. */
static bool expand_bias_split_gelu(graph *g, node_id n) {
    attr axis[] = {attr_int("axis", -1), attr_int("num_outputs", 2)};
    value_id x = kit_build2(g, n, "Add", graph_input(g, n, 0), graph_input(g, n, 1)), half[2];
    if (!x || !spell_node(g, n, "Split", 1, &x, 2, axis, 2, half)) return false;
    return spell_result(g, n, kit_build2(g, n, "Mul", half[0], gelu(g, n, half[1], "none")));
}

/* ---- sums ---- */

static bool expand_bias_add(graph *g, node_id n) {
    value_id x = kit_build2(g, n, "Add", graph_input(g, n, 0), graph_input(g, n, 1));
    return spell_result(g, n, spell_sum(g, n, x, graph_input(g, n, 2)));
}

static bool expand_bias_dropout(graph *g, node_id n) {
    static const char *const names[] = {"seed", NULL};
    attr seed[1];
    uint32_t count = spell_attrs(g, n, names, seed);
    value_id made[2], x = kit_build2(g, n, "Add", graph_input(g, n, 0), graph_input(g, n, 1));
    value_id inputs[] = {x, graph_input(g, n, 3), graph_input(g, n, 4)};
    if (!x || !spell_node(g, n, "Dropout", 3, inputs, count, seed, 2, made)) return false;
    made[0] = spell_sum(g, n, made[0], graph_input(g, n, 2));
    return spell_results(g, n, 2, made);
}

/* Softmax over the axes from `axis` on, of data + bias. Without inner broadcast the bias repeats
 * over the axes in front: its own leading axes stand in blocks. */
static bool expand_bias_softmax(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type t = *graph_type(g, nd.inputs[0]);
    int axis;
    if (!op_axis(g, n, node_attr_int(&nd, "axis", 1), t.rank, &axis)) return false;
    value_id bias = nd.inputs[1];
    if (node_attr_int(&nd, "is_inner_broadcast", 0)) {
        /* [B.., rows] against [B.., repeats.., rows]: axes of one element in the middle. */
        int64_t axes[TENSOR_MAX_RANK], count = 0;
        int missing = t.rank - graph_type(g, bias)->rank;
        for (int i = axis - missing; i < axis; i++) axes[count++] = i < 0 ? 0 : i;
        if (missing > 0) bias = kit_build2(g, n, "Unsqueeze", bias, kit_ints(g, axes, count));
    }
    value_id x = kit_build2(g, n, "Add", nd.inputs[0], bias);
    if (axis == t.rank - 1) {
        attr last = attr_int("axis", -1);
        return spell_result(g, n, kit_build(g, n, "Softmax", 1, &x, 1, &last));
    }
    return spell_result(g, n, spell_softmax_rows(g, n, x, axis));
}

const op_def ops_contrib_fused[] = {
    SPELL_ROW("FusedConv", expand_conv),
    SPELL_ROW("NhwcConv", expand_nhwc_conv),
    SPELL_ROW("NhwcFusedConv", expand_nhwc_conv),
    SPELL_ROW("NhwcMaxPool", expand_nhwc_max_pool),
    SPELL_ROW("ConvTransposeWithDynamicPads", expand_dynamic_pads),
    SPELL_ROW("FusedMatMul", expand_matmul),
    SPELL_ROW("FusedMatMulActivation", expand_matmul),
    SPELL_ROW("TransposeMatMul", expand_matmul),
    SPELL_ROW("FusedGemm", expand_gemm),
    SPELL_ROW("Gelu", expand_gelu),
    SPELL_ROW("BiasGelu", expand_gelu),
    SPELL_ROW("FastGelu", expand_fast_gelu),
    SPELL_ROW("GemmFastGelu", expand_gemm_fast_gelu),
    SPELL_ROW("QuickGelu", expand_quick_gelu),
    SPELL_ROW("BiasSplitGelu", expand_bias_split_gelu),
    SPELL_ROW("BiasAdd", expand_bias_add),
    SPELL_ROW("BiasDropout", expand_bias_dropout),
    SPELL_ROW("BiasSoftmax", expand_bias_softmax),
};
const size_t ops_contrib_fused_count = sizeof ops_contrib_fused / sizeof *ops_contrib_fused;
