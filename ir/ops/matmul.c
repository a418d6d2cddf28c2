/* matmul.c: MatMul, Gemm and the quantised products. Einsum is in einsum.c, the packed form of a
 * product (Linear) in internal.c. */
#include "ir/ops/product.h"

/* ---- MatMul ---- */

static bool infer_matmul(graph *g, node_id n) {
    int rank;
    dim dims[2 * TENSOR_MAX_RANK];
    if (!product_dims(g, n, 0, 1, false, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(kit_input(g, n, 0)->dtype, rank, dims));
    return true;
}

static void nest_matmul(lower *l, node_id n) {
    const node nd = *graph_node(lower_graph(l), n);
    value_id y = nd.outputs[0];
    product_operands p = {.a = nd.inputs[0],
                          .b = nd.inputs[1],
                          .sum = kit_sum_type(lower_type(l, nd.inputs[0])->dtype)};
    loop_expr index[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", p.sum);
    lower_assign(l, acc, NULL, kit_float(l, p.sum, 0));
    product_accumulate(l, &p, y, index, acc);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* ---- Gemm ---- */

static bool infer_gemm(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, 2) || !kit_need(g, n, 1, 2, 2) || !kit_may(g, n, 2, 0, 2))
        return false;
    const node *nd = graph_node(g, n);
    int ta = node_attr_int(nd, "transA", 0) != 0, tb = node_attr_int(nd, "transB", 0) != 0;
    const type a = *kit_input(g, n, 0), b = *kit_input(g, n, 1);
    if (!kit_agree(g, n, a.dims[!ta], b.dims[tb], "inner dimensions of the product")) return false;
    dim dims[] = {a.dims[ta], b.dims[!tb]};
    const type *c = kit_input(g, n, 2);
    if (c) {
        for (int i = 0; i < c->rank; i++) {
            if (dim_equals_const(g->dims, c->dims[i], 1)) continue;
            if (!kit_agree(g, n, c->dims[i], dims[2 - c->rank + i], "third operand of the product"))
                return false;
        }
    }
    op_set_type(g, n, 0, type_tensor(a.dtype, 2, dims));
    return true;
}

static void nest_gemm(lower *l, node_id n) {
    const node nd = *graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    value_id y = nd.outputs[0], a = nd.inputs[0], b = nd.inputs[1];
    value_id c = graph_input(lower_graph(l), n, 2);
    bool ta = node_attr_int(&nd, "transA", 0) != 0, tb = node_attr_int(&nd, "transB", 0) != 0;
    dtype sum = kit_sum_type(lower_type(l, a)->dtype);
    double alpha = node_attr_float(&nd, "alpha", 1), beta = node_attr_float(&nd, "beta", 1);
    loop_expr index[2];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, kit_float(l, sum, 0));
    loop_expr inner = lower_reduce_axis(l, a, ta ? 0 : 1);
    loop_expr at[] = {ta ? inner : index[0], ta ? index[0] : inner};
    loop_expr x = kit_read(l, sum, a, at);
    at[0] = tb ? index[1] : inner;
    at[1] = tb ? inner : index[1];
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, x, kit_read(l, sum, b, at)));
    lower_end_reduce(l);
    loop_expr r = lower_value(l, acc, NULL);
    if (alpha != 1) r = loop_mul(k, r, kit_float(l, sum, alpha));
    if (c && beta != 0) {
        loop_expr bias = loop_cast(k, sum, lower_read_broadcast(l, c, 2, index));
        if (beta != 1) bias = loop_mul(k, bias, kit_float(l, sum, beta));
        r = loop_add(k, r, bias);
    }
    lower_write(l, y, index, r);
    lower_end_loops(l);
}

/* ---- quantised products ---- */

/* A scale or zero point: a scalar, or one a row or column. */
static bool check_parameter(graph *g, node_id n, uint32_t i, int operand_rank) {
    return kit_may(g, n, i, 0, operand_rank > 1 ? operand_rank : 1);
}

static bool infer_matmul_integer(graph *g, node_id n) {
    int rank;
    dim dims[2 * TENSOR_MAX_RANK];
    if (!product_dims(g, n, 0, 1, false, &rank, dims)) return false;
    if (!check_parameter(g, n, 2, rank) || !check_parameter(g, n, 3, rank)) return false;
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, rank, dims));
    return true;
}

static void nest_matmul_integer(lower *l, node_id n) {
    graph *g = lower_graph(l);
    value_id y = graph_output(g, n, 0);
    product_operands p = {.a = graph_input(g, n, 0),
                          .b = graph_input(g, n, 1),
                          .a_zero = graph_input(g, n, 2),
                          .b_zero = graph_input(g, n, 3),
                          .sum = DTYPE_I32};
    loop_expr index[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", p.sum);
    lower_assign(l, acc, NULL, loop_const_int(lower_kernel(l), p.sum, 0));
    product_accumulate(l, &p, y, index, acc);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* Inputs of QLinearMatMul. */
enum { QL_A, QL_A_SCALE, QL_A_ZERO, QL_B, QL_B_SCALE, QL_B_ZERO, QL_Y_SCALE, QL_Y_ZERO };

static bool infer_qlinear_matmul(graph *g, node_id n) {
    int rank;
    dim dims[2 * TENSOR_MAX_RANK];
    if (!product_dims(g, n, QL_A, QL_B, false, &rank, dims)) return false;
    static const uint32_t parameters[] = {QL_A_SCALE, QL_A_ZERO,  QL_B_SCALE,
                                          QL_B_ZERO,  QL_Y_SCALE, QL_Y_ZERO};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (!kit_need(g, n, parameters[i], 0, rank > 1 ? rank : 1)) return false;
    dtype t = kit_input(g, n, QL_Y_ZERO)->dtype;
    if (!dtype_is_integer(t))
        return op_error(g, n, NULL, "results of type %s are not supported, only 8-bit integers",
                        dtype_name(t));
    op_set_type(g, n, 0, type_tensor(t, rank, dims));
    return true;
}

static void nest_qlinear_matmul(lower *l, node_id n) {
    const node nd = *graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    value_id y = nd.outputs[0];
    product_operands p = {.a = nd.inputs[QL_A],
                          .b = nd.inputs[QL_B],
                          .a_zero = nd.inputs[QL_A_ZERO],
                          .b_zero = nd.inputs[QL_B_ZERO],
                          .sum = DTYPE_I32};
    loop_expr index[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", p.sum);
    lower_assign(l, acc, NULL, loop_const_int(k, p.sum, 0));
    product_accumulate(l, &p, y, index, acc);
    int rows = lower_type(l, p.b)->rank > 1 ? 2 : 1;
    dtype f = DTYPE_F32;
    loop_expr scale = loop_mul(k, product_parameter(l, f, nd.inputs[QL_A_SCALE], y, rows, index),
                               product_parameter(l, f, nd.inputs[QL_B_SCALE], y, 1, index));
    scale =
        kit_op2(l, LOOP_DIV, scale, product_parameter(l, f, nd.inputs[QL_Y_SCALE], y, rows, index));
    loop_expr zero = product_parameter(l, f, nd.inputs[QL_Y_ZERO], y, rows, index);
    loop_expr r = loop_mul(k, loop_cast(k, f, lower_value(l, acc, NULL)), scale);
    lower_write(l, y, index, kit_quantise(l, lower_type(l, y)->dtype, r, zero));
    lower_end_loops(l);
}

/* MatMulInteger is a product of i32 matrices that are centred already. */
static bool expand_matmul_integer(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    int ranks[] = {graph_type(g, nd.inputs[0])->rank, graph_type(g, nd.inputs[1])->rank};
    if (ranks[0] < 2 || ranks[1] < 2) return false;
    value_id a =
        kit_build_centred(g, n, nd.inputs[0], graph_input(g, n, 2), ranks[0], ranks[0] - 2);
    value_id b =
        kit_build_centred(g, n, nd.inputs[1], graph_input(g, n, 3), ranks[1], ranks[1] - 1);
    value_id y = kit_build2(g, n, "MatMul", a, b);
    if (!y) return false;
    kit_replace(g, nd.outputs[0], y);
    graph_remove_node(g, n);
    return true;
}

/* ---- Det ---- */

static bool infer_det(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    if (!kit_agree(g, n, x.dims[x.rank - 2], x.dims[x.rank - 1], "rows and columns")) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank - 2, x.dims));
    return true;
}

/* Half precision by way of single. */
static bool expand_det(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0);
    dtype t = graph_type(g, x)->dtype;
    if (dtype_bits(t) >= 32) return false;
    value_id y = kit_build1(g, n, "Det", kit_build_cast(g, n, x, DTYPE_F32));
    kit_replace(g, graph_output(g, n, 0), kit_build_cast(g, n, y, t));
    graph_remove_node(g, n);
    return true;
}

static dim scratch_det(graph *g, node_id n) {
    const type x = *kit_input(g, n, 0);
    dim size = x.dims[x.rank - 1];
    return dim_mul(g->dims, dim_mul(g->dims, size, size), kit_dim(g, sizeof(double)));
}

const op_def ops_matmul[] = {
    {.domain = "",
     .name = "Det",
     .infer = infer_det,
     .expand = expand_det,
     .call = "det",
     .scratch = scratch_det},
    {.domain = "",
     .name = "MatMul",
     .flags = OP_ANCHOR,
     .infer = infer_matmul,
     .nest = nest_matmul},
    {.domain = "", .name = "Gemm", .flags = OP_ANCHOR, .infer = infer_gemm, .nest = nest_gemm},
    {.domain = "",
     .name = "MatMulInteger",
     .flags = OP_ANCHOR,
     .infer = infer_matmul_integer,
     .nest = nest_matmul_integer,
     .expand = expand_matmul_integer},
    {.domain = "",
     .name = "QLinearMatMul",
     .flags = OP_ANCHOR,
     .infer = infer_qlinear_matmul,
     .nest = nest_qlinear_matmul},
};
const size_t ops_matmul_count = sizeof ops_matmul / sizeof *ops_matmul;
