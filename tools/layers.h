/* layers.h: times of a compiled model, step by step. */
#ifndef ONNXCC_TOOLS_LAYERS_H
#define ONNXCC_TOOLS_LAYERS_H

#include "codegen/driver.h"

/* Per profiled step, in nanoseconds: the time of the run at hand, of all runs, and of that run
 * which took the least there. */
typedef struct {
    uint64_t *run, *total, *least;
    size_t count, runs;
} layer_times;

/* CLOCK_MONOTONIC in nanoseconds. */
double layers_now_ns(void);
/* Runs the model for so many seconds, at least three times. */
layer_times layers_measure(driver *d, instance_call *call, onnxcc_context context, double seconds);

#endif
