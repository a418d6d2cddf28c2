/* fuzz_load.c: any bytes as a model file: parsed, and every tensor of the main graph read. */
#include "frontend/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, NULL);
    load_model_result *m = load_model_bytes((wire_span){data, size}, NULL, a, &d);
    if (m) {
        const Onnx__GraphProto *g = m->proto->graph;
        load_tensor_result t;
        for (size_t i = 0; i < g->n_initializer; i++)
            load_tensor(&m->files, g->initializer[i], NULL, &t);
        for (size_t i = 0; i < g->n_sparse_initializer; i++)
            load_sparse_tensor(&m->files, g->sparse_initializer[i], NULL, &t);
    }
    load_close(m);
    arena_destroy(a);
    return 0;
}
