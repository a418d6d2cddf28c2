/* build.h: graph IR to program: one kernel a fusion group, buffers, steps, the memory plan and the
 * schedule of every kernel. */
#ifndef ONNXCC_CODEGEN_BUILD_H
#define ONNXCC_CODEGEN_BUILD_H

#include "codegen/program.h"
#include "codegen/tuning.h"

typedef struct {
    const char *name; /* prefix of every symbol, a C identifier */
    const target_machine *machine;
    int optimize;         /* 0: plain schedules */
    const tuning *tuning; /* measured schedules; NULL: none */
    /* Sees every kernel between lowering and scheduling, for dumps; NULL: nobody. */
    void (*inspect)(void *user, const loop_kernel *k);
    void *user;
} build_options;

/* NULL and a diagnostic if some node has no lowering. The program refers to the graph's constants;
 * it lives in `a`. */
program *program_build(graph *g, arena *a, const build_options *options);

/* A program without inputs that computes `values` (constants aside, from constants alone) and has
 * them as its outputs, in their layouts: what constant folding runs. */
program *program_build_values(graph *g, arena *a, const build_options *options,
                              const value_id *values, size_t count);

/* The symbol values at which plans and costs are made best: an upper bound where it is modest, else
 * a typical size. */
int64_t *program_nominal(const dim_table *dims, arena *a);

#endif
