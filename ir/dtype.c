/* dtype.c: the table of element types. See dtype.h. */
#include "ir/dtype.h"

#include <string.h>

static const struct {
    const char *name, *c_name;
    dtype_class class;
    unsigned char bits;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_NONE] = {"none", "void", DTYPE_CLASS_OTHER, 0},
    [DTYPE_F32] = {"f32", "float", DTYPE_CLASS_FLOAT, 32},
    [DTYPE_U8] = {"u8", "uint8_t", DTYPE_CLASS_UINT, 8},
    [DTYPE_I8] = {"i8", "int8_t", DTYPE_CLASS_INT, 8},
    [DTYPE_U16] = {"u16", "uint16_t", DTYPE_CLASS_UINT, 16},
    [DTYPE_I16] = {"i16", "int16_t", DTYPE_CLASS_INT, 16},
    [DTYPE_I32] = {"i32", "int32_t", DTYPE_CLASS_INT, 32},
    [DTYPE_I64] = {"i64", "int64_t", DTYPE_CLASS_INT, 64},
    [DTYPE_STRING] = {"string", "onnxcc_string", DTYPE_CLASS_OTHER, 128},
    [DTYPE_BOOL] = {"bool", "bool", DTYPE_CLASS_BOOL, 1},
    [DTYPE_F16] = {"f16", "uint16_t", DTYPE_CLASS_FLOAT, 16},
    [DTYPE_F64] = {"f64", "double", DTYPE_CLASS_FLOAT, 64},
    [DTYPE_U32] = {"u32", "uint32_t", DTYPE_CLASS_UINT, 32},
    [DTYPE_U64] = {"u64", "uint64_t", DTYPE_CLASS_UINT, 64},
    [DTYPE_C64] = {"c64", "onnxcc_complex64", DTYPE_CLASS_OTHER, 64},
    [DTYPE_C128] = {"c128", "onnxcc_complex128", DTYPE_CLASS_OTHER, 128},
    [DTYPE_BF16] = {"bf16", "uint16_t", DTYPE_CLASS_FLOAT, 16},
    [DTYPE_F8E4M3FN] = {"f8e4m3fn", "uint8_t", DTYPE_CLASS_FLOAT, 8},
    [DTYPE_F8E4M3FNUZ] = {"f8e4m3fnuz", "uint8_t", DTYPE_CLASS_FLOAT, 8},
    [DTYPE_F8E5M2] = {"f8e5m2", "uint8_t", DTYPE_CLASS_FLOAT, 8},
    [DTYPE_F8E5M2FNUZ] = {"f8e5m2fnuz", "uint8_t", DTYPE_CLASS_FLOAT, 8},
    [DTYPE_U4] = {"u4", "uint8_t", DTYPE_CLASS_UINT, 4},
    [DTYPE_I4] = {"i4", "int8_t", DTYPE_CLASS_INT, 4},
    [DTYPE_F4E2M1] = {"f4e2m1", "uint8_t", DTYPE_CLASS_FLOAT, 4},
    [DTYPE_F8E8M0] = {"f8e8m0", "uint8_t", DTYPE_CLASS_FLOAT, 8},
    [DTYPE_U2] = {"u2", "uint8_t", DTYPE_CLASS_UINT, 2},
    [DTYPE_I2] = {"i2", "int8_t", DTYPE_CLASS_INT, 2},
};

const char *dtype_name(dtype t) {
    return dtypes[t].name;
}

dtype dtype_from_name(const char *name, size_t length) {
    for (int t = DTYPE_NONE + 1; t < DTYPE_COUNT; t++)
        if (strlen(dtypes[t].name) == length && memcmp(dtypes[t].name, name, length) == 0) return t;
    return DTYPE_NONE;
}

const char *dtype_c_name(dtype t) {
    return dtypes[t].c_name;
}

dtype_class dtype_class_of(dtype t) {
    return dtypes[t].class;
}

size_t dtype_bytes(dtype t) {
    return (dtypes[t].bits + 7u) / 8;
}

int dtype_bits(dtype t) {
    return dtypes[t].bits;
}

bool dtype_is_float(dtype t) {
    return dtypes[t].class == DTYPE_CLASS_FLOAT;
}

bool dtype_is_integer(dtype t) {
    return dtypes[t].class == DTYPE_CLASS_INT || dtypes[t].class == DTYPE_CLASS_UINT;
}
