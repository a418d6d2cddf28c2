/* driver.h: the whole way of a model, step by step: import, passes, program, code. The tools are
 * thin over it, and so may be anybody who embeds the compiler. Every function that fails has left a
 * diagnostic. */
#ifndef ONNXCC_CODEGEN_DRIVER_H
#define ONNXCC_CODEGEN_DRIVER_H

#include "codegen/instance.h"
#include "codegen/tuning.h"
#include "passes/pass.h"

typedef struct {
    const char *target;      /* of the target table; NULL: "native" */
    const char *name;        /* prefix of the generated interface; NULL: from the file's name */
    const char *const *dims; /* settings "SYM=8", "SYM=1..512", "SYM=1,8" */
    size_t dim_count;
    const char *pin_folder; /* test data: symbols are fixed to the sizes in it; NULL */
    bool pin_values;        /* also the values of small integer inputs that shapes depend on */
    int optimize;           /* -O level, 0 to 3 */
    const char *passes;     /* a pipeline in place of the level's own; NULL */
    bool weights_in_file;   /* NAME.weights beside the library instead of inside */
    const tuning *tuning;   /* measured schedules; NULL: the cost model's */
    pass_report report;
    void (*inspect)(void *user, const loop_kernel *k); /* every kernel before its schedule; NULL */
    void *inspect_user;
} driver_options;

typedef struct {
    arena *memory;
    diag diag;
    const driver_options *options;
    target_machine machine;
    const char *name;
    void *files; /* what the constants are mapped from */
    graph *graph;
    program *program;
    double seconds;    /* spent in the steps so far */
    size_t code_bytes; /* of the machine code, once there is some */
} driver;

/* Before all else: an empty state with an arena and diagnostics. driver_close releases it. */
void driver_begin(driver *d);
/* Reads an .onnx model or an .ir file of the graph's text form. */
bool driver_open(driver *d, const char *path, const driver_options *options);
bool driver_optimize(driver *d);
bool driver_build(driver *d);
/* driver_begin, open, optimize and build in one. */
bool driver_compile(driver *d, const char *path, const driver_options *options);
/* Writes NAME.h, libNAME.a and their companions (or NAME.c for the target c) into a folder, which
 * is made. */
bool driver_write(driver *d, const char *folder);
/* The compiled model in this process: by the JIT, or by writing the library to a temporary folder,
 * linking it with the system's C compiler and loading it. NULL and a diagnostic if that fails. */
instance *driver_jit(driver *d);
instance *driver_library(driver *d);
void driver_close(driver *d);

#endif
