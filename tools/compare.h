/* compare.h: whether a computed tensor is the expected one, by the tolerances of the ONNX backend
 * tests. */
#ifndef ONNXCC_TOOLS_COMPARE_H
#define ONNXCC_TOOLS_COMPARE_H

#include "frontend/load.h"

/* NULL if every element of `got` is within atol + rtol * |expected| (both NaN or both the same
 * infinity is equal; integers, bools and strings must be the same); atol below 0 stands for a
 * millionth of the largest expected element, at least 2^-22; else a sentence on the first or the
 * worst difference. bfloat16 and narrower floats are compared at one unit in their last place at
 * least. */
const char *compare_tensors(const load_tensor_result *expected, const load_tensor_result *got,
                            double rtol, double atol, arena *a);

#endif
