/* loss.c: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, spelt in other operators. */
#include "ir/ops/kit.h"

#include <string.h>

static bool is_reduced(const graph *g, node_id n) {
    return strcmp(node_attr_string(graph_node(g, n), "reduction", "mean"), "none") != 0;
}

static bool infer_loss(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 1, TENSOR_MAX_RANK))
        return false;
    const type x = *kit_input(g, n, 0), t = *kit_input(g, n, 1);
    if (t.rank != x.rank - 1 || !dtype_is_integer(t.dtype))
        return op_error(g, n, NULL, "the labels are no integers of one axis less than the scores");
    if (!kit_agree(g, n, x.dims[0], t.dims[0], "scores and labels")) return false;
    for (int i = 1; i < t.rank; i++)
        if (!kit_agree(g, n, x.dims[i + 1], t.dims[i], "scores and labels")) return false;
    if (!kit_vector(g, n, 2, x.dims[1], "the weights")) return false;
    op_set_type(g, n, 0,
                is_reduced(g, n) ? type_tensor(x.dtype, 0, NULL)
                                 : type_tensor(x.dtype, t.rank, t.dims));
    op_set_type(g, n, 1, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

static value_id number(graph *g, dtype t, int64_t v) {
    return graph_add_constant_ints(g, "number", t, 0, NULL, &v);
}

/* A scalar of a floating type. */
static value_id real(graph *g, node_id n, dtype t, double v) {
    return kit_build_cast(g, n, graph_add_constant_floats(g, "number", DTYPE_F32, 0, NULL, &v), t);
}

static value_id total(graph *g, node_id n, value_id v) {
    attr keep = attr_int("keepdims", 0);
    return kit_build(g, n, "ReduceSum", 1, &v, 1, &keep);
}

static value_id select(graph *g, node_id n, value_id c, value_id a, value_id b) {
    value_id inputs[] = {c, a, b};
    return kit_build(g, n, "Where", 3, inputs, 0, NULL);
}

/* -x[n, label, ...], weighted by the label's weight (0 where the label is to be ignored), and
 * reduced; `x` holds logarithms of probabilities. */
static value_id build_loss(graph *g, node_id n, value_id x, value_id labels, value_id weights) {
    const type t = *graph_type(g, labels);
    dtype f = graph_type(g, x)->dtype;
    int64_t one[] = {1};
    attr axis = attr_int("axis", 1);
    const attr *ignored = node_attr(graph_node(g, n), "ignore_index");
    const char *reduction = node_attr_string(graph_node(g, n), "reduction", "mean");
    value_id skip = ignored ? kit_build2(g, n, "Equal", labels, number(g, t.dtype, ignored->i)) : 0;
    value_id safe = ignored ? select(g, n, skip, number(g, t.dtype, 0), labels) : labels;
    value_id gather[] = {x, kit_build2(g, n, "Unsqueeze", safe, kit_ints(g, one, 1))};
    value_id picked =
        kit_build2(g, n, "Squeeze", kit_build(g, n, "GatherElements", 2, gather, 1, &axis),
                   kit_ints(g, one, 1));
    value_id loss = kit_build1(g, n, "Neg", picked);
    value_id weight = weights ? kit_build2(g, n, "Gather", weights, safe) : 0;
    if (ignored) weight = select(g, n, skip, real(g, n, f, 0), weight ? weight : real(g, n, f, 1));
    if (weight) loss = kit_build2(g, n, "Mul", loss, weight);
    if (strcmp(reduction, "none") == 0) return loss;
    if (strcmp(reduction, "sum") == 0) return total(g, n, loss);
    attr keep = attr_int("keepdims", 0);
    if (!weight) return kit_build(g, n, "ReduceMean", 1, &loss, 1, &keep);
    return kit_build2(g, n, "Div", total(g, n, loss), total(g, n, weight));
}

static bool expand_nll(graph *g, node_id n) {
    value_id y = build_loss(g, n, graph_input(g, n, 0), graph_input(g, n, 1), graph_input(g, n, 2));
    if (!y) return false;
    kit_replace(g, graph_output(g, n, 0), y);
    graph_remove_node(g, n);
    return true;
}

static bool expand_cross_entropy(graph *g, node_id n) {
    value_id scores = graph_input(g, n, 0);
    attr axis = attr_int("axis", 1);
    value_id x = kit_build(g, n, "LogSoftmax", 1, &scores, 1, &axis);
    value_id y = build_loss(g, n, x, graph_input(g, n, 1), graph_input(g, n, 2));
    if (!y) return false;
    kit_replace(g, graph_output(g, n, 0), y);
    if (graph_output(g, n, 1)) kit_replace(g, graph_output(g, n, 1), x);
    graph_remove_node(g, n);
    return true;
}

const op_def ops_loss[] = {
    {.domain = "", .name = "NegativeLogLikelihoodLoss", .infer = infer_loss, .expand = expand_nll},
    {.domain = "",
     .name = "SoftmaxCrossEntropyLoss",
     .infer = infer_loss,
     .expand = expand_cross_entropy},
};
const size_t ops_loss_count = sizeof ops_loss / sizeof *ops_loss;
