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

const op_def ops_fusion[] = {{.domain = OP_INTERNAL, .name = "Group", .infer = infer_group}};
const size_t ops_fusion_count = sizeof ops_fusion / sizeof *ops_fusion;
