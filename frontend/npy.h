/* npy.h: NumPy's .npy files, one tensor each: the form in which the tools read inputs and write
 * outputs. Types that NumPy lacks are raw bytes there: bfloat16 is "V2", an 8-bit float "V1". */
#ifndef ONNXCC_FRONTEND_NPY_H
#define ONNXCC_FRONTEND_NPY_H

#include "frontend/load.h"

/* Reads versions 1 to 3, C or Fortran order, little-endian numbers, bools, and strings (U and S).
 * `wanted` is what raw or narrow elements are taken for, where the width is right; DTYPE_NONE: what
 * the file says. The data lies in the arena. */
bool npy_read(const char *path, dtype wanted, arena *a, diag *d, load_tensor_result *out);

/* Writes version 1, C order; integers narrower than a byte as int8 or uint8. The file appears whole
 * or not at all. */
bool npy_write(const char *path, const load_tensor_result *t, arena *a, diag *d);

#endif
