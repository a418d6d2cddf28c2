/* pass.h: passes over the graph IR and the manager that runs them. A pass is one file and one row
 * in pass.c; a pipeline is a list of names. The manager alone does timing, dumping, statistics,
 * verification and stopping. */
#ifndef ONNXCC_PASSES_PASS_H
#define ONNXCC_PASSES_PASS_H

#include "ir/graph.h"

typedef struct {
    int optimize;     /* -O level, 0 to 3 */
    int vector_block; /* lanes of the blocked layout; 16 on x86, 0: keep row-major */
    /* Evaluates values whose producers' inputs are all constant, with the real code generator, at
     * compile time. Sets data[i] to their bytes (in their layout) in g->memory. Given by codegen;
     * NULL: no folding. */
    bool (*evaluate)(void *user, graph *g, const value_id *values, size_t count, blob *data);
    void *user;
} pass_options;

typedef struct pass_def {
    const char *name;
    const char *help; /* one line */
    /* Returns the number of changes, or -1 and a diagnostic. */
    long (*run)(graph *g, const pass_options *options);
} pass_def;

const pass_def *pass_find(const char *name);
size_t pass_count(void);
const pass_def *pass_at(size_t i);

/* What the manager does around passes. */
typedef struct {
    const char *print_before, *print_after; /* a pass name, or "all" */
    const char *stop_after;                 /* a pass name */
    const char *dump_dir; /* a numbered file after each pass that changed something */
    bool verify;          /* after each pass */
    bool time_passes;
    void (*write)(void *user, const char *text, size_t n); /* where prints and times go */
    void *user;
} pass_report;

/* Runs the passes named in `pipeline` ("canonicalise,fold,cse"; "(a,b)*" repeats to a fixed point,
 * at most 10 rounds). */
bool pass_run_pipeline(graph *g, const char *pipeline, const pass_options *options,
                       const pass_report *report);
/* The pipeline of an optimisation level. */
const char *pass_default_pipeline(int optimize);

#endif
