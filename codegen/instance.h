/* instance.h: a compiled model that can be called in this process, from the JIT or from a library:
 * what run, test, bench and constant folding use. It allocates what a caller of the generated
 * library would: outputs and arena. */
#ifndef ONNXCC_CODEGEN_INSTANCE_H
#define ONNXCC_CODEGEN_INSTANCE_H

#include "codegen/program.h"
#include "frontend/load.h"
#include "runtime/onnxcc_runtime.h"

/* NAME_run of the generated header: the structs are arrays of pointers, the inputs' followed by the
 * dims as int64_t. */
typedef int (*instance_function)(const void *inputs, const void *outputs, void *arena,
                                 const onnxcc_context *context);

typedef struct instance {
    const program *program;
    instance_function run;
    void (*release)(struct instance *i); /* frees what `owner` is */
    void *owner;
} instance;

void instance_close(instance *i);

/* Everything that one call needs, bound to concrete tensors. It can be called again and again. */
typedef struct {
    const instance *instance;
    const int64_t *symbols; /* by dim_symbol */
    void *inputs, *outputs; /* the two structs */
    unsigned char *arena;
    size_t arena_bytes;
    load_tensor_result *results; /* one an output; the data is written by each call */
} instance_call;

/* Binds inputs, in the order of the program's inputs; dimensions give the symbols their values.
 * False and a diagnostic if types or shapes do not fit. Memory comes from `a`. */
bool instance_bind(const instance *i, const load_tensor_result *inputs, size_t count, arena *a,
                   diag *d, instance_call *out);

/* Runs the model; returns an onnxcc_status. */
int instance_run(instance_call *c, const onnxcc_context *context);

#endif
