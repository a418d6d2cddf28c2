/* inline_if.c: an If whose condition is known becomes its branch. Shapes and ranks decide many
 * conditions that exporters write down. */
#include "passes/rewrite.h"

#include <string.h>

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    (void)uses;
    if (!rewrite_is(g, n, "If")) return 0;
    value_id c = graph_input(g, n, 0);
    size_t count;
    const dim *known = graph_elements(g, c, &count);
    int64_t condition;
    if (!known || !count || !dim_is_const(g->dims, known[0], &condition)) return 0;
    region_id branch =
        node_attr_region(graph_node(g, n), condition ? "then_branch" : "else_branch");
    region_id into = graph_node(g, n)->region;
    while (graph_region(g, branch)->nodes.count)
        graph_move_node_before(g, graph_region(g, branch)->nodes.data[0], into, n);
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++) {
        value_id y = graph_output(g, n, i), made = graph_region(g, branch)->outputs.data[i];
        if (y) rewrite_take_over(g, n, y, made);
    }
    graph_remove_node(g, n);
    return 1;
}

static long run(graph *g, const pass_options *options) {
    long total = 0, now;
    do {
        now = rewrite_each(g, options, NULL, visit);
        /* What follows a branch has better types now. */
        if (now && !op_infer_all(g)) return -1;
        total += now;
    } while (now);
    return total;
}

const pass_def pass_inline_if = {"inline_if", "replace If nodes of known condition by their branch",
                                 run};
