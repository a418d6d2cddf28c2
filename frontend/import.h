/* import.h: ONNX models to graph IR. What comes out has the newest opset's meaning: nothing behind
 * the frontend knows an opset. Everything that cannot be taken is reported, all of it at once. */
#ifndef ONNXCC_FRONTEND_IMPORT_H
#define ONNXCC_FRONTEND_IMPORT_H

#include "frontend/load.h"
#include "ir/graph.h"

typedef struct {
    /* Settings of symbolic dimensions: "N=8" fixes N, "N=1..512" bounds it, "N=1,8" bounds it by
     * the least and the largest. */
    const char *const *dims;
    size_t dim_count;
    /* A folder of test data (input_0.pb, ...): symbols that are dimensions of inputs are fixed to
     * the sizes of its tensors, the numbers of tensors in sequences to those that it has. NULL. */
    const char *pin_folder;
    /* The values of small integer inputs are fixed as well, for models whose shapes depend on them
     * (axes or a shape as an input): the compiled model checks that it is given these. */
    bool pin_values;
} import_options;

/* Reads a model file. NULL after diagnostics. Constants of the graph lie in the mapped files, which
 * *files keeps until import_close. */
graph *import_model(const char *path, const import_options *options, arena *a, diag *d,
                    void **files);
/* The same from bytes that outlive the graph; external data is refused. */
graph *import_model_bytes(wire_span bytes, const import_options *options, arena *a, diag *d,
                          void **files);
void import_close(void *files);

#endif
