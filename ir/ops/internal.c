/* internal.c: operators that only passes make. Linear is a matrix product whose second operand is
 * stored with its columns (N) before its rows (K), so that a layout with N in blocks packs it as
 * [N/16][K][16]. Reorder is the identity between layouts. */
#include "ir/ops/product.h"

static bool infer_linear(graph *g, node_id n) {
    int rank;
    dim dims[2 * TENSOR_MAX_RANK];
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 2, TENSOR_MAX_RANK) ||
        !product_dims(g, n, 0, 1, true, &rank, dims))
        return false;
    if (!kit_vector(g, n, 2, dims[rank - 1], "the bias")) return false;
    op_set_type(g, n, 0, type_tensor(kit_input(g, n, 0)->dtype, rank, dims));
    return true;
}

static void nest_linear(lower *l, node_id n) {
    graph *g = lower_graph(l);
    value_id y = graph_output(g, n, 0), bias = graph_input(g, n, 2);
    product_operands p = {.a = graph_input(g, n, 0), .b = graph_input(g, n, 1), .transposed = true};
    p.sum = kit_sum_type(lower_type(l, p.a)->dtype);
    loop_expr index[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", p.sum);
    loop_expr column = index[lower_type(l, y)->rank - 1];
    lower_assign(l, acc, NULL, kit_read_parameter(l, p.sum, bias, column, 0));
    product_accumulate(l, &p, y, index, acc);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* The pass that makes a Reorder gives its output a layout; that stays. */
static bool infer_reorder(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 0, TENSOR_MAX_RANK)) return false;
    type t = *kit_input(g, n, 0);
    t.layout = graph_type(g, graph_output(g, n, 0))->layout;
    op_set_type(g, n, 0, t);
    return true;
}

static loop_expr element_reorder(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return lower_read(l, graph_input(lower_graph(l), n, 0), index);
}

/* The first elements of a vector, under another shape; whoever makes the node says which. */
static bool infer_front(graph *g, node_id n) {
    const type *y = graph_type(g, graph_output(g, n, 0));
    return kit_need(g, n, 0, 1, 1) &&
           (y->kind == TYPE_TENSOR || op_error(g, n, NULL, "the result has no type"));
}

const op_def ops_internal[] = {
    {.domain = OP_INTERNAL, .name = "Front", .flags = OP_OPAQUE, .infer = infer_front},
    {.domain = OP_INTERNAL,
     .name = "Linear",
     .flags = OP_ANCHOR,
     .infer = infer_linear,
     .nest = nest_linear},
    {.domain = OP_INTERNAL,
     .name = "Reorder",
     .flags = OP_MOVEMENT | OP_OPAQUE,
     .infer = infer_reorder,
     .element = element_reorder},
};
const size_t ops_internal_count = sizeof ops_internal / sizeof *ops_internal;
