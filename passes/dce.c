/* dce.c: removes nodes whose results nobody uses. */
#include "passes/passes.h"

static long run(graph *g, const pass_options *options) {
    (void)options;
    return (long)graph_remove_dead(g);
}

const pass_def pass_dce = {"dce", "remove nodes whose results nobody uses", run};
