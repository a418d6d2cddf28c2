/* fuzz_graph.c: any bytes as the graph's text form: read, and printed if that goes well. */
#include "ir/graph.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(void *user, const char *text, size_t n) {
    (void)user;
    (void)text;
    (void)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, NULL);
    const graph *g = graph_parse(a, &d, (const char *)data, size);
    if (g) graph_print(g, (graph_print_options){.elide_above = SIZE_MAX}, drop, NULL);
    arena_destroy(a);
    return 0;
}
