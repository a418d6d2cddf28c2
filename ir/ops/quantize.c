/* quantize.c: between numbers and small integers: QuantizeLinear, DequantizeLinear,
 * DynamicQuantizeLinear. */
#include "ir/ops/kit.h"

#include <math.h>
#include <string.h>

/* Where element `index` of x finds its scale and zero point: one for all, one along an axis, or one
 * a block along it. */
static void parameter_index(lower *l, node_id n, const loop_expr *index, loop_expr *out) {
    graph *g = lower_graph(l);
    const type x = *lower_type(l, graph_input(g, n, 0)), s = *lower_type(l, graph_input(g, n, 1));
    int64_t axis = node_attr_int(graph_node(g, n), "axis", 1),
            block = node_attr_int(graph_node(g, n), "block_size", 0);
    if (axis < 0) axis += x.rank;
    if (s.rank <= 1) {
        bool one = s.rank == 0 || dim_equals_const(g->dims, s.dims[0], 1);
        out[0] = one ? loop_int(lower_kernel(l), 0) : index[axis];
        return;
    }
    for (int i = 0; i < s.rank; i++)
        out[i] = i == axis && block
                     ? loop_floordiv(lower_kernel(l), index[i], loop_int(lower_kernel(l), block))
                     : index[i];
}

static bool check_parameters(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0)), s = *graph_type(g, graph_input(g, n, 1));
    int axis;
    if (s.rank == 0 || (s.rank == 1 && dim_equals_const(g->dims, s.dims[0], 1))) return true;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 1), x.rank, &axis)) return false;
    if (s.rank == 1) return kit_agree(g, n, s.dims[0], x.dims[axis], "the scales and the axis");
    return s.rank == x.rank ||
           op_error(g, n, NULL, "the scales have rank %d, the input %d", s.rank, x.rank);
}

static bool infer_quantize(graph *g, node_id n) {
    type x = *graph_type(g, graph_input(g, n, 0));
    int64_t given = node_attr_int(graph_node(g, n), "output_dtype", 0);
    if (!check_parameters(g, n)) return false;
    x.dtype = graph_input(g, n, 2) ? graph_type(g, graph_input(g, n, 2))->dtype
              : given              ? (dtype)given
                                   : DTYPE_U8;
    x.layout = NULL;
    op_set_type(g, n, 0, x);
    return true;
}

static bool infer_dequantize(graph *g, node_id n) {
    type x = *graph_type(g, graph_input(g, n, 0));
    int64_t given = node_attr_int(graph_node(g, n), "output_dtype", 0);
    if (!check_parameters(g, n)) return false;
    x.dtype = given ? (dtype)given : graph_type(g, graph_input(g, n, 1))->dtype;
    x.layout = NULL;
    op_set_type(g, n, 0, x);
    return true;
}

/* A constant scale of usual size, within which a division neither overflows nor underflows. */
static bool is_plain_scale(const loop_kernel *k, loop_expr e, double *scale) {
    const loop_node *n = loop_get(k, e);
    *scale = n->f;
    return n->op == LOOP_CONST && n->f > 0x1p-90 && n->f < 0x1p90;
}

/* x over a scale, where it is within what the result can hold: what is cut off would saturate, and
 * so would NaN, to the lowest. A bounded quotient by a constant is cheap (emit_expr.c). */
static loop_expr bounded_quotient(loop_kernel *k, dtype to, loop_expr x, loop_expr by,
                                  loop_expr zero) {
    double scale, low, high;
    const loop_node z = *loop_get(k, zero);
    if (z.op == LOOP_CONST && dtype_bits(to) <= 16 && is_plain_scale(k, by, &scale)) {
        kit_integer_range(to, &low, &high);
        x = loop_greater(k, loop_const(k, DTYPE_F32, (low - z.f) * scale), x);
        x = loop_lesser(k, loop_const(k, DTYPE_F32, (high - z.f) * scale), x);
    }
    return loop_make(k, LOOP_DIV, x, by, 0);
}

static loop_expr element_quantize(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dtype to = lower_type(l, graph_output(g, n, output))->dtype;
    loop_expr at[TENSOR_MAX_RANK];
    parameter_index(l, n, index, at);
    loop_expr x = loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 0), index));
    loop_expr scale = loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 1), at));
    if (dtype_is_float(to))
        return kit_cast_narrow(l, to, loop_make(k, LOOP_DIV, x, scale, 0),
                               node_attr_int(graph_node(g, n), "saturate", 1));
    loop_expr zero = graph_input(g, n, 2)
                         ? loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 2), at))
                         : loop_const(k, DTYPE_F32, 0);
    return kit_quantise(l, to, bounded_quotient(k, to, x, scale, zero), zero);
}

static loop_expr element_dequantize(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dtype to = lower_type(l, graph_output(g, n, output))->dtype;
    loop_expr at[TENSOR_MAX_RANK];
    parameter_index(l, n, index, at);
    loop_expr x = loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 0), index));
    if (graph_input(g, n, 2))
        x = loop_sub(k, x, loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 2), at)));
    loop_expr scale = loop_cast(k, DTYPE_F32, lower_read(l, graph_input(g, n, 1), at));
    return loop_cast(k, to, loop_mul(k, x, scale));
}

/* ---- DynamicQuantizeLinear: the range of the data sets scale and zero point. Spelt in standard
 * operators, so that each step is a kernel that may be fused with its neighbours. ---- */

static bool infer_dynamic(graph *g, node_id n) {
    type x = *graph_type(g, graph_input(g, n, 0));
    x.layout = NULL;
    x.dtype = DTYPE_U8;
    op_set_type(g, n, 0, x);
    op_set_type(g, n, 1, type_tensor(DTYPE_F32, 0, NULL));
    op_set_type(g, n, 2, type_tensor(DTYPE_U8, 0, NULL));
    return true;
}

static value_id number(graph *g, double v) {
    return graph_add_constant_floats(g, "number", DTYPE_F32, 0, NULL, &v);
}

static value_id extreme(graph *g, node_id n, const char *reduce, const char *combine) {
    attr keep = attr_int("keepdims", 0);
    value_id x = graph_input(g, n, 0);
    return kit_build2(g, n, combine, kit_build(g, n, reduce, 1, &x, 1, &keep), number(g, 0));
}

static bool expand_dynamic(graph *g, node_id n) {
    value_id low = extreme(g, n, "ReduceMin", "Min"), high = extreme(g, n, "ReduceMax", "Max");
    /* Data that are all zero have no range; any scale will do. */
    value_id range = kit_build2(g, n, "Sub", high, low);
    value_id choice[] = {kit_build2(g, n, "Equal", range, number(g, 0)), number(g, 1), range};
    value_id scale =
        kit_build2(g, n, "Div", kit_build(g, n, "Where", 3, choice, 0, NULL), number(g, 255));
    value_id zero =
        kit_build1(g, n, "Round", kit_build2(g, n, "Div", kit_build1(g, n, "Neg", low), scale));
    value_id bounds[] = {zero, number(g, 0), number(g, 255)};
    value_id point = kit_build_cast(g, n, kit_build(g, n, "Clip", 3, bounds, 0, NULL), DTYPE_U8);
    value_id operands[] = {graph_input(g, n, 0), scale, point};
    value_id y = kit_build(g, n, "QuantizeLinear", 3, operands, 0, NULL);
    if (!y) return false;
    value_id made[] = {y, scale, point};
    for (uint32_t i = 0; i < 3; i++)
        if (graph_output(g, n, i)) kit_replace(g, graph_output(g, n, i), made[i]);
    graph_remove_node(g, n);
    return true;
}

const op_def ops_quantize[] = {
    {.domain = "",
     .name = "QuantizeLinear",
     .flags = OP_POINTWISE,
     .infer = infer_quantize,
     .element = element_quantize},
    {.domain = "",
     .name = "DequantizeLinear",
     .flags = OP_POINTWISE,
     .infer = infer_dequantize,
     .element = element_dequantize},
    {.domain = "",
     .name = "DynamicQuantizeLinear",
     .infer = infer_dynamic,
     .expand = expand_dynamic},
};
const size_t ops_quantize_count = sizeof ops_quantize / sizeof *ops_quantize;
