/* dtype.h: element types. The values are those of ONNX TensorProto.DataType, so that no table
 * translates them. Behind the frontend an element narrower than a byte occupies a whole byte. */
#ifndef ONNXCC_IR_DTYPE_H
#define ONNXCC_IR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    DTYPE_NONE = 0,
    DTYPE_F32 = 1,
    DTYPE_U8 = 2,
    DTYPE_I8 = 3,
    DTYPE_U16 = 4,
    DTYPE_I16 = 5,
    DTYPE_I32 = 6,
    DTYPE_I64 = 7,
    DTYPE_STRING = 8,
    DTYPE_BOOL = 9,
    DTYPE_F16 = 10,
    DTYPE_F64 = 11,
    DTYPE_U32 = 12,
    DTYPE_U64 = 13,
    DTYPE_C64 = 14,
    DTYPE_C128 = 15,
    DTYPE_BF16 = 16,
    DTYPE_F8E4M3FN = 17,
    DTYPE_F8E4M3FNUZ = 18,
    DTYPE_F8E5M2 = 19,
    DTYPE_F8E5M2FNUZ = 20,
    DTYPE_U4 = 21,
    DTYPE_I4 = 22,
    DTYPE_F4E2M1 = 23,
    DTYPE_F8E8M0 = 24,
    DTYPE_U2 = 25,
    DTYPE_I2 = 26,
    DTYPE_COUNT
} dtype;

typedef enum {
    DTYPE_CLASS_OTHER,
    DTYPE_CLASS_BOOL,
    DTYPE_CLASS_INT,
    DTYPE_CLASS_UINT,
    DTYPE_CLASS_FLOAT
} dtype_class;

/* The name in every text form: "f32", "i64", "bool", "bf16", "f8e4m3fn", ... */
const char *dtype_name(dtype t);
/* The inverse of dtype_name; DTYPE_NONE if there is no such type. */
dtype dtype_from_name(const char *name, size_t length);
/* The C type of generated headers and portable C: "float", "int64_t", "uint16_t" for f16 and bf16,
 * ... */
const char *dtype_c_name(dtype t);
dtype_class dtype_class_of(dtype t);
/* Bytes of one element in memory; 1 for types narrower than a byte, 16 for strings (pointer and
 * length). */
size_t dtype_bytes(dtype t);
/* Significant bits: 1 for bool, 4 for i4, 16 for bf16. */
int dtype_bits(dtype t);
bool dtype_is_float(dtype t);   /* any floating type, the 8-bit and 4-bit ones included */
bool dtype_is_integer(dtype t); /* signed or unsigned, not bool */

#endif
