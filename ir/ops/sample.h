/* sample.h: reading a tensor between its elements. */
#ifndef ONNXCC_IR_OPS_SAMPLE_H
#define ONNXCC_IR_OPS_SAMPLE_H

#include "ir/ops/kit.h"

enum { SAMPLE_MAX_TAPS = 4 };

/* The taps along one axis: positions (i64) and weights. */
typedef struct {
    int count;
    loop_expr at[SAMPLE_MAX_TAPS];
    loop_expr weight[SAMPLE_MAX_TAPS];
} sample_taps;

/* The two neighbours of position x, a float. */
sample_taps sample_linear(lower *l, loop_expr x);
/* The four neighbours, weighted by the cubic convolution kernel of parameter `a`. */
sample_taps sample_cubic(lower *l, loop_expr x, double a);
/* The sum over all combinations of the taps of axes `axis[0..count)` of v: their weights times the
 * element read by `read`, with at[axis[i]] set. */
loop_expr sample_sum(lower *l, int count, const int *axis, const sample_taps *taps, loop_expr *at,
                     loop_expr (*read)(lower *l, const void *what, const loop_expr *at),
                     const void *what);
/* Position `at` (i64) kept in [0, size). */
loop_expr sample_clamp(lower *l, loop_expr at, loop_expr size);

#endif
