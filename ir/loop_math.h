/* loop_math.h: decomposition of functions and of element types that a target lacks into what every
 * emitter has. exp, log, tanh, erf and the others become polynomials of our own, so that generated
 * code needs no libm. */
#ifndef ONNXCC_IR_LOOP_MATH_H
#define ONNXCC_IR_LOOP_MATH_H

#include "ir/loop.h"

/* Rewrites every statement of the kernel: functions become arithmetic (each with its error bound in
 * loop_math.c), arithmetic on f16, bf16 and the 8- and 4-bit floats becomes arithmetic on f32 with
 * conversions at loads, stores and casts. What remains is in reach of every emitter: opcodes below
 * LOOP_EXP on bool, integers, f32, f64 (and loads, stores and bit operations on the 16-bit formats
 * as u16 bits). */
void loop_decompose(loop_kernel *k);

#endif
