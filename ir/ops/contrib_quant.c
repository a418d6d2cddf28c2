/* contrib_quant.c: operators on 8-bit tensors that ONNX Runtime's quantiser writes, each between
 * DequantizeLinear and QuantizeLinear, and products of integers that end in floats. */
#include "ir/ops/spell.h"

#include <string.h>

/* (x - zero point) * scale, for the three inputs of the node that begin at `first`. */
static value_id dequantised(graph *g, node_id n, uint32_t first) {
    value_id inputs[] = {graph_input(g, n, first), graph_input(g, n, first + 1),
                         graph_input(g, n, first + 2)};
    return spell_value(g, n, "DequantizeLinear", 3, inputs, 0, NULL);
}

/* y in the type of x, with the scale and zero point of the inputs at `scale`. */
static value_id quantised(graph *g, node_id n, value_id y, uint32_t scale, dtype t) {
    attr to = attr_int("output_dtype", t);
    value_id inputs[] = {y, graph_input(g, n, scale), graph_input(g, n, scale + 1)};
    return spell_value(g, n, "QuantizeLinear", 3, inputs, inputs[2] ? 0 : 1, &to);
}

static dtype own_type(graph *g, node_id n) {
    return kit_input(g, n, 0)->dtype;
}

/* ---- elementwise ---- */

static bool expand_binary(graph *g, node_id n, const char *op) {
    value_id y = kit_build2(g, n, op, dequantised(g, n, 0), dequantised(g, n, 3));
    return spell_result(g, n, quantised(g, n, y, 6, own_type(g, n)));
}

static bool expand_add(graph *g, node_id n) {
    return expand_binary(g, n, "Add");
}

static bool expand_mul(graph *g, node_id n) {
    return expand_binary(g, n, "Mul");
}

/* An operator on x alone, with those of the node's attributes that are its own. */
static bool expand_unary(graph *g, node_id n, const char *op, const char *const *names) {
    attr attrs[8];
    value_id x = dequantised(g, n, 0);
    uint32_t count = spell_attrs(g, n, names, attrs);
    bool last = node_attr_int(graph_node(g, n), "channels_last", 0) != 0;
    if (last) x = spell_channels_first(g, n, x);
    value_id y = kit_build(g, n, op, 1, &x, count, attrs);
    if (last) y = spell_channels_last(g, n, y);
    return spell_result(g, n, quantised(g, n, y, 3, own_type(g, n)));
}

static bool expand_sigmoid(graph *g, node_id n) {
    static const char *const none[] = {NULL};
    return expand_unary(g, n, "Sigmoid", none);
}

static bool expand_leaky_relu(graph *g, node_id n) {
    static const char *const names[] = {"alpha", NULL};
    return expand_unary(g, n, "LeakyRelu", names);
}

static bool expand_average_pool(graph *g, node_id n) {
    static const char *const names[] = {
        "auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides", NULL};
    return expand_unary(g, n, "AveragePool", names);
}

static bool expand_global_average_pool(graph *g, node_id n) {
    static const char *const none[] = {NULL};
    return expand_unary(g, n, "GlobalAveragePool", none);
}

static bool expand_reduce_mean(graph *g, node_id n) {
    attr keep = attr_int("keepdims", node_attr_int(graph_node(g, n), "keepdims", 1));
    size_t count;
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &count);
    value_id inputs[] = {dequantised(g, n, 0), count ? kit_ints(g, axes, (int64_t)count) : 0};
    value_id y = spell_value(g, n, "ReduceMean", 2, inputs, 1, &keep);
    return spell_result(g, n, quantised(g, n, y, 3, own_type(g, n)));
}

/* `opset` says whose Softmax is meant: before 13, all axes from `axis` on go together. */
static bool expand_softmax(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    attr axis = attr_int("axis", node_attr_int(&nd, "axis", -1));
    value_id x = dequantised(g, n, 0);
    value_id y = node_attr_int(&nd, "opset", 13) < 13 ? spell_softmax_rows(g, n, x, axis.i)
                                                      : kit_build(g, n, "Softmax", 1, &x, 1, &axis);
    return spell_result(g, n, quantised(g, n, y, 3, own_type(g, n)));
}

static bool expand_where(graph *g, node_id n) {
    value_id inputs[] = {graph_input(g, n, 0), dequantised(g, n, 1), dequantised(g, n, 4)};
    value_id y = kit_build(g, n, "Where", 3, inputs, 0, NULL);
    return spell_result(g, n, quantised(g, n, y, 7, kit_input(g, n, 1)->dtype));
}

/* Scale and zero point of the result, then of each part: the part, its scale, its zero point. */
static bool expand_concat(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    uint32_t count = nd.input_count > 2 ? (nd.input_count - 2) / 3 : 0;
    if (!count || nd.input_count != 2 + 3 * count)
        return op_error(g, n, NULL, "%u inputs are no scale, zero point and groups of three",
                        nd.input_count);
    value_id *parts = ARENA_ARRAY(g->memory, value_id, count);
    for (uint32_t i = 0; i < count; i++) parts[i] = dequantised(g, n, 2 + 3 * i);
    value_id y = spell_concat(g, n, node_attr_int(&nd, "axis", 0), count, parts);
    return spell_result(g, n, quantised(g, n, y, 0, graph_type(g, nd.inputs[1])->dtype));
}

/* ---- QuantizeLinear, DequantizeLinear: the standard's, for more types; no axis is all axes ----
 */

static bool expand_linear(graph *g, node_id n) {
    static const char *const names[] = {"axis", NULL};
    const node nd = *graph_node(g, n);
    attr attrs[1];
    uint32_t count = spell_attrs(g, n, names, attrs);
    return spell_result(g, n,
                        spell_value(g, n, nd.op->name, nd.input_count, nd.inputs, count, attrs));
}

/* ---- convolution ---- */

static bool expand_conv(graph *g, node_id n) {
    static const char *const names[] = {"auto_pad", "dilations", "group", "kernel_shape",
                                        "pads",     "strides",   NULL};
    enum { MOST = 9 };
    const node nd = *graph_node(g, n);
    bool last = node_attr_int(&nd, "channels_last", 0) != 0;
    attr attrs[6];
    value_id inputs[MOST] = {0};
    uint32_t count = spell_attrs(g, n, names, attrs);
    for (uint32_t i = 0; i < nd.input_count && i < MOST; i++) inputs[i] = nd.inputs[i];
    if (last) inputs[0] = spell_channels_first(g, n, inputs[0]);
    value_id y = spell_value(g, n, "QLinearConv", MOST, inputs, count, attrs);
    return spell_result(g, n, last ? spell_channels_last(g, n, y) : y);
}

/* ---- products ---- */

/* A vector of zero points or scales of the left matrix has one a row. */
static value_id by_row(graph *g, node_id n, value_id v) {
    const int64_t axis = 1;
    bool one = !v || graph_type(g, v)->rank == 0 ||
               dim_equals_const(g->dims, graph_type(g, v)->dims[0], 1);
    return one ? v : kit_build2(g, n, "Unsqueeze", v, kit_ints(g, &axis, 1));
}

static value_id integer_product(graph *g, node_id n, value_id a, value_id b, value_id a_zero,
                                value_id b_zero) {
    value_id inputs[] = {a, b, a_zero, b_zero};
    return a && b ? spell_value(g, n, "MatMulInteger", 4, inputs, 0, NULL) : 0;
}

/* The product of integers times the product of the scales, and the bias, in the scales' type. */
static value_id scaled_product(graph *g, node_id n, value_id y, value_id a_scale, value_id b_scale,
                               value_id bias) {
    if (!y || !a_scale) return 0;
    y = kit_build_cast(g, n, y, DTYPE_F32);
    value_id scale = kit_build2(g, n, "Mul", kit_build_cast(g, n, a_scale, DTYPE_F32),
                                kit_build_cast(g, n, b_scale, DTYPE_F32));
    y = kit_build2(g, n, "Mul", y, scale);
    y = spell_sum(g, n, y, kit_build_cast(g, n, bias, DTYPE_F32));
    return kit_build_cast(g, n, y, graph_type(g, a_scale)->dtype);
}

static bool expand_integer_to_float(graph *g, node_id n) {
    enum { A, B, A_SCALE, B_SCALE, A_ZERO, B_ZERO, BIAS };
    value_id y = integer_product(g, n, graph_input(g, n, A), graph_input(g, n, B),
                                 graph_input(g, n, A_ZERO), graph_input(g, n, B_ZERO));
    return spell_result(g, n,
                        scaled_product(g, n, y, by_row(g, n, graph_input(g, n, A_SCALE)),
                                       graph_input(g, n, B_SCALE), graph_input(g, n, BIAS)));
}

static bool expand_dynamic_matmul(graph *g, node_id n) {
    enum { A, B, B_SCALE, B_ZERO, BIAS };
    value_id a = graph_input(g, n, A), q[3];
    if (!spell_node(g, n, "DynamicQuantizeLinear", 1, &a, 0, NULL, 3, q)) return false;
    value_id y = integer_product(g, n, q[0], graph_input(g, n, B), q[2], graph_input(g, n, B_ZERO));
    return spell_result(
        g, n, scaled_product(g, n, y, q[1], graph_input(g, n, B_SCALE), graph_input(g, n, BIAS)));
}

/* alpha * a_scale * b_scale * (A * B + C), quantised where the result has a scale. C counts in
 * units of the scales' product. */
static bool expand_qgemm(graph *g, node_id n) {
    enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, C, Y_SCALE, Y_ZERO };
    const node nd = *graph_node(g, n);
    value_id a = nd.inputs[A], b = nd.inputs[B], c = graph_input(g, n, C);
    if (!kit_need(g, n, A, 2, 2) || !kit_need(g, n, B, 2, 2)) return false;
    if (node_attr_int(&nd, "transA", 0)) a = spell_transposed(g, n, a);
    if (node_attr_int(&nd, "transB", 0)) b = spell_transposed(g, n, b);
    value_id y = integer_product(g, n, a, b, nd.inputs[A_ZERO], nd.inputs[B_ZERO]);
    y = kit_build_cast(g, n, spell_sum(g, n, y, c), DTYPE_F32);
    value_id scale = kit_build2(g, n, "Mul", nd.inputs[A_SCALE], nd.inputs[B_SCALE]);
    scale = spell_scaled(g, n, scale, node_attr_float(&nd, "alpha", 1));
    value_id y_scale = graph_input(g, n, Y_SCALE), zero = graph_input(g, n, Y_ZERO);
    if (!y_scale) return spell_result(g, n, kit_build2(g, n, "Mul", y, scale));
    y = kit_build2(g, n, "Mul", y, kit_build2(g, n, "Div", scale, y_scale));
    value_id inputs[] = {y, spell_number(g, DTYPE_F32, 1), zero};
    attr to = attr_int("output_dtype", graph_type(g, a)->dtype);
    return spell_result(g, n, spell_value(g, n, "QuantizeLinear", 3, inputs, zero ? 0 : 1, &to));
}

/* (A - A zero) * (B - B zero), elementwise. */
static bool expand_mul_integer(graph *g, node_id n) {
    value_id a = kit_build_centred(g, n, graph_input(g, n, 0), graph_input(g, n, 1), 0, 0);
    value_id b = kit_build_centred(g, n, graph_input(g, n, 2), graph_input(g, n, 3), 0, 0);
    return spell_result(g, n, kit_build2(g, n, "Mul", a, b));
}

static bool expand_matmul_16(graph *g, node_id n) {
    bool positive = own_type(g, n) == DTYPE_U16 && kit_input(g, n, 1)->dtype == DTYPE_U16;
    dtype t = positive ? DTYPE_U32 : DTYPE_I32;
    return spell_result(g, n,
                        kit_build2(g, n, "MatMul", kit_build_cast(g, n, graph_input(g, n, 0), t),
                                   kit_build_cast(g, n, graph_input(g, n, 1), t)));
}

static bool expand_reduce_sum(graph *g, node_id n) {
    attr keep = attr_int("keepdims", node_attr_int(graph_node(g, n), "keepdims", 1));
    size_t count;
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &count);
    dtype t = own_type(g, n) == DTYPE_U8 ? DTYPE_U32 : DTYPE_I32;
    value_id inputs[] = {kit_build_cast(g, n, graph_input(g, n, 0), t),
                         count ? kit_ints(g, axes, (int64_t)count) : 0};
    return spell_result(g, n, spell_value(g, n, "ReduceSum", 2, inputs, 1, &keep));
}

const op_def ops_contrib_quant[] = {
    SPELL_ROW("QLinearAdd", expand_add),
    SPELL_ROW("QLinearMul", expand_mul),
    SPELL_ROW("QLinearSigmoid", expand_sigmoid),
    SPELL_ROW("QLinearLeakyRelu", expand_leaky_relu),
    SPELL_ROW("QLinearAveragePool", expand_average_pool),
    SPELL_ROW("QLinearGlobalAveragePool", expand_global_average_pool),
    SPELL_ROW("QLinearReduceMean", expand_reduce_mean),
    SPELL_ROW("QLinearSoftmax", expand_softmax),
    SPELL_ROW("QLinearWhere", expand_where),
    SPELL_ROW("QLinearConcat", expand_concat),
    SPELL_ROW("QLinearConv", expand_conv),
    SPELL_ROW("QuantizeLinear", expand_linear),
    SPELL_ROW("DequantizeLinear", expand_linear),
    SPELL_ROW("MatMulIntegerToFloat", expand_integer_to_float),
    SPELL_ROW("DynamicQuantizeMatMul", expand_dynamic_matmul),
    SPELL_ROW("QGemm", expand_qgemm),
    SPELL_ROW("MulInteger", expand_mul_integer),
    SPELL_ROW("MatMulInteger16", expand_matmul_16),
    SPELL_ROW("ReduceSumInteger", expand_reduce_sum),
};
const size_t ops_contrib_quant_count = sizeof ops_contrib_quant / sizeof *ops_contrib_quant;
