/* loop_number.h: scalars of every element type, and what each opcode of the loop IR does to them.
 * Constant folding and the interpreter share it, so that both mean the same. */
#ifndef ONNXCC_IR_LOOP_NUMBER_H
#define ONNXCC_IR_LOOP_NUMBER_H

#include "ir/loop.h"

/* A value of a type: floats are in f, exact; integers and bool are in i, wrapped to the type's
 * width (u64 as its two's complement). */
typedef union {
    int64_t i;
    double f;
} loop_number;

/* Rounds half to even to the nearest value of a float type. Finite values too large become infinite
 * where the type has an infinity, NaN where it has a NaN, else the largest value. */
double loop_round_float(dtype t, double v);
/* The low bits as a value of an integer type or bool. */
int64_t loop_wrap_int(dtype t, int64_t v);

/* The bits of a value as stored in memory, and back; at most eight bytes. */
uint64_t loop_encode(dtype t, loop_number v);
loop_number loop_decode(dtype t, uint64_t bits);

/* The result of opcode `op` (from ADD on, not CAST or BITCAST) on operands of type t (SELECT: of
 * its last two; comparisons: of the operands, not the result). */
loop_number loop_apply(loop_op op, dtype t, loop_number a, loop_number b, loop_number c);
loop_number loop_convert(dtype to, dtype from, loop_number v);

#endif
