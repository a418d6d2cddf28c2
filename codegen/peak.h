/* peak.h: what one thread of this processor reaches, measured: the ceilings of the roofline
 * (Williams, Waterman, Patterson 2009) against which kernels are compared. */
#ifndef ONNXCC_CODEGEN_PEAK_H
#define ONNXCC_CODEGEN_PEAK_H

#include "codegen/target.h"
#include "ir/diag.h"

typedef struct {
    double gflops;        /* f32 multiply-adds on registers, 10^9 operations a second */
    double cache_gbytes;  /* reading an array that the L2 cache holds, 10^9 bytes a second */
    double memory_gbytes; /* reading one that no cache holds */
} peak_rates;

/* Takes about a quarter of a second. False and a diagnostic if nothing can be measured: the target
 * is text, or has instructions that this processor lacks. */
bool peak_measure(const target_machine *m, arena *a, diag *d, peak_rates *out);

#endif
