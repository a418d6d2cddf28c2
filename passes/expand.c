/* expand.c: replaces operators that are spelt in other operators by their spelling, until none is
 * left. */
#include "ir/op.h"
#include "passes/rewrite.h"

enum { MAX_ROUNDS = 16 };

/* One round over a region: the nodes that were there at its start. */
static long expand_region(graph *g, region_id r, bool *ok) {
    long changes = 0;
    size_t count;
    const node_id *order = rewrite_nodes(g, r, &count);
    for (size_t i = 0; i < count && *ok; i++) {
        node_id n = order[i];
        for (uint32_t j = 0; j < graph_node(g, n)->attr_count; j++) {
            attr a = graph_node(g, n)->attrs[j];
            if (a.kind == ATTR_REGION) changes += expand_region(g, (region_id)a.i, ok);
        }
        size_t errors = g->diag->error_count;
        if (graph_node(g, n)->op->expand && graph_node(g, n)->op->expand(g, n)) changes++;
        *ok = g->diag->error_count == errors;
    }
    return changes;
}

static long run(graph *g, const pass_options *options) {
    (void)options;
    long changes = 0, now = 1;
    bool ok = true;
    for (int round = 0; now && round < MAX_ROUNDS && ok; round++) {
        now = expand_region(g, GRAPH_MAIN, &ok);
        changes += now;
    }
    return ok ? changes : -1;
}

const pass_def pass_expand = {"expand", "spell operators in other operators", run};
