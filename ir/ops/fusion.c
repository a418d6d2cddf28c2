/* fusion.c: the operator that stands for a fusion group: its region "body" holds nodes that one
 * kernel computes. */
#include "ir/op.h"

static bool infer_group(graph *g, node_id n) {
    region_id body = node_attr_region(graph_node(g, n), "body");
    if (!body || graph_region(g, body)->outputs.count != graph_node(g, n)->output_count)
        return op_error(g, n, NULL, "a group needs a body with one result for each of its own");
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++)
        op_set_type(g, n, i, *graph_type(g, graph_region(g, body)->outputs.data[i]));
    return true;
}

/* The importer gives its result a type. */
static bool infer_unreachable(graph *g, node_id n) {
    if (graph_type(g, graph_output(g, n, 0))->kind == TYPE_TENSOR) return true;
    return op_error(g, n, NULL, "its result has no type");
}

/* Reports an error of the run, and zeros. */
static void nest_unreachable(lower *l, node_id n) {
    value_id y = graph_output(lower_graph(l), n, 0);
    loop_expr index[LOOP_MAX_RANK];
    lower_check(l, loop_const_int(lower_kernel(l), DTYPE_BOOL, 0), LOOP_STATUS_BAD_SHAPE);
    lower_loops(l, y, index);
    lower_write(l, y, index, loop_const(lower_kernel(l), lower_type(l, y)->dtype, 0));
    lower_end_loops(l);
}

const op_def ops_fusion[] = {{.domain = OP_INTERNAL, .name = "Group", .infer = infer_group},
                             {.domain = OP_INTERNAL,
                              .name = "Unreachable",
                              .flags = OP_ANCHOR | OP_EFFECT,
                              .infer = infer_unreachable,
                              .nest = nest_unreachable}};
const size_t ops_fusion_count = sizeof ops_fusion / sizeof *ops_fusion;
