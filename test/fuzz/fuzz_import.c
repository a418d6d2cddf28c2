/* fuzz_import.c: any bytes as a model file: imported, and taken through the passes up to the choice
 * of layouts, behind which all invariants hold. What is refused must say why. Constants are not
 * folded: code generation is no part of this. */
#include "frontend/import.h"
#include "passes/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 16, VECTOR_BLOCK = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A size without a bound is refused later, by what builds programs. */
static const char UNBOUND[] = "which nothing gives a value";

static void fail(const char *what) {
    fprintf(stderr, "fuzz_import: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > MOST_BYTES) return -1; /* of no interest */
    arena *a = arena_create();
    void *files = NULL;
    diag d;
    diag_init(&d, a, "fuzz");
    const import_options as_is = {.dim_count = 0};
    const pass_options options = {.optimize = 3, .vector_block = VECTOR_BLOCK};
    const pass_report report = {.stop_after = "layout"};
    graph *g = import_model_bytes((wire_span){data, size}, &as_is, a, &d, &files);
    bool ok = g && pass_run_pipeline(g, pass_default_pipeline(options.optimize), &options, &report);
    if (!ok && !d.error_count) fail("refused without a diagnostic");
    size_t refusals = d.items.count;
    if (ok) (void)graph_verify(g, &d, "layout");
    for (size_t i = 0; i < d.items.count; i++) {
        const char *text = diag_text(&d, &d.items.data[i]);
        if (i >= refusals && !strstr(text, UNBOUND)) fail(text);
    }
    if (files) import_close(files);
    arena_destroy(a);
    return 0;
}
