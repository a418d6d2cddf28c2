/* text_helpers.c: the small functions that printed kernels call: what C leaves undefined, or has no
 * operator for. Each is added to the module the first time that it is asked for. */
#include "codegen/text/text_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

/* Adds "PREFIX RESULT NAME(PARAMETERS) { BODY }" unless there is a helper of this name. */
static const char *add(text_module *m, const char *name, const char *result, const char *parameters,
                       const char *body) {
    for (size_t i = 0; i < m->helper_names.count; i++)
        if (strcmp(m->helper_names.data[i], name) == 0) return m->helper_names.data[i];
    list_push(m->memory, &m->helper_names, name);
    const char *text = arena_printf(m->memory, "%s%s %s(%s) {\n%s}\n\n", m->dialect->helper_prefix,
                                    result, name, parameters, body);
    for (; *text; text++) list_push(m->memory, &m->helpers, *text);
    return name;
}

static const char *unsigned_type(dtype t) {
    return dtype_bits(t) > 32 ? "uint64_t" : "uint32_t";
}

static const char *two_of(text_module *m, dtype t) {
    return arena_printf(m->memory, "%s a, %s b", text_type(t), text_type(t));
}

const char *text_helper_extreme(text_module *m, loop_op op, dtype t) {
    const char *name = arena_printf(m->memory, "onnxcc_%s_%s", loop_ops[op].name, dtype_name(t));
    return add(m, name, text_type(t), two_of(m, t),
               op == LOOP_MIN ? "    return a < b || a != a ? a : b;\n"
                              : "    return a > b || a != a ? a : b;\n");
}

const char *text_helper_division(text_module *m, loop_op op, dtype t) {
    const char *name = arena_printf(m->memory, "onnxcc_%s_%s", loop_ops[op].name, dtype_name(t));
    const char *type = text_type(t), *wide = unsigned_type(t);
    bool is_signed = dtype_class_of(t) == DTYPE_CLASS_INT;
    bool quotient = op == LOOP_DIV || op == LOOP_FLOORDIV;
    const char *zero = "    if (b == 0) return 0;\n", *body;
    /* The one quotient that overflows wraps. */
    const char *minus =
        !is_signed ? ""
        : quotient
            ? arena_printf(m->memory, "    if (b == -1) return (%s)(0 - (%s)a);\n", type, wide)
            : "    if (b == -1) return 0;\n";
    if (!is_signed || op == LOOP_DIV || op == LOOP_REM)
        body = arena_printf(m->memory, "    return (%s)(a %c b);\n", type, quotient ? '/' : '%');
    else if (op == LOOP_FLOORDIV)
        body = arena_printf(
            m->memory, "    return (%s)(a / b - (a %% b != 0 && (a < 0) != (b < 0)));\n", type);
    else
        body = arena_printf(
            m->memory, "    return (%s)(a %% b + (a %% b != 0 && (a < 0) != (b < 0) ? b : 0));\n",
            type);
    return add(m, name, type, two_of(m, t), arena_printf(m->memory, "%s%s%s", zero, minus, body));
}

/* In double precision the product is exact; what is left is one rounding of the sum. Without it
 * sums of many products lose what the other targets keep. */
const char *text_helper_fma(text_module *m) {
    return add(m, "onnxcc_fma_f32", "float", "float a, float b, float c",
               "#ifdef FP_FAST_FMAF\n"
               "    return fmaf(a, b, c);\n"
               "#else\n"
               "    return (float)((double)a * b + c);\n"
               "#endif\n");
}

const char *text_helper_dot4(text_module *m) {
    return add(m, "onnxcc_dot4", "int32_t", "uint32_t a, uint32_t b",
               "    int32_t sum = 0;\n"
               "    for (int i = 0; i < 32; i += 8) {\n"
               "        int32_t x = (int32_t)(a >> i & 255), y = (int32_t)(b >> i & 255);\n"
               "        sum += x * (y - (y & 128) * 2);\n"
               "    }\n"
               "    return sum;\n");
}

const char *text_helper_shift(text_module *m, loop_op op, dtype t) {
    const char *name = arena_printf(m->memory, "onnxcc_%s_%s", loop_ops[op].name, dtype_name(t));
    const char *type = text_type(t), *wide = unsigned_type(t), *body;
    int bits = dtype_bits(t);
    const char *in_range = dtype_class_of(t) == DTYPE_CLASS_INT ? "b >= 0 && b < " : "b < ";
    if (op == LOOP_SHL)
        body = arena_printf(m->memory, "    return %s%d ? (%s)((%s)a << b) : 0;\n", in_range, bits,
                            type, wide);
    else
        body = arena_printf(m->memory, "    return %s%d ? (%s)(a >> b) : %s;\n", in_range, bits,
                            type, dtype_class_of(t) == DTYPE_CLASS_INT ? "a < 0 ? -1 : 0" : "0");
    return add(m, name, type, two_of(m, t), body);
}

/* ---- conversions ---- */

static const char *widen_half(text_module *m) {
    /* Exponent and mantissa moved to where a float has them and scaled by 2^112, which also makes
     * subnormal numbers right. */
    return add(m, "onnxcc_f32_from_f16", "float", "uint16_t h",
               "    uint32_t size = (uint32_t)(h & 0x7fffu) << 13, bits;\n"
               "    float v;\n"
               "    memcpy(&v, &size, sizeof v);\n"
               "    v *= 5192296858534827628530496329220096.0f;\n"
               "    memcpy(&bits, &v, sizeof bits);\n"
               "    if (size >= 0x0f800000u) bits = size | 0x7f800000u;\n"
               "    bits |= (uint32_t)(h & 0x8000u) << 16;\n"
               "    memcpy(&v, &bits, sizeof v);\n"
               "    return v;\n");
}

static const char *narrow_half(text_module *m) {
    /* Half to even: normal numbers by their bits, subnormal ones by adding 0.5, whose last place is
     * their step. */
    return add(m, "onnxcc_f16_from_f32", "uint16_t", "float v",
               "    uint32_t bits, size, out;\n"
               "    memcpy(&bits, &v, sizeof bits);\n"
               "    size = bits & 0x7fffffffu;\n"
               "    if (size > 0x7f800000u) {\n"
               "        out = 0x7e00u;\n"
               "    } else if (size >= 0x47800000u) {\n"
               "        out = 0x7c00u;\n"
               "    } else if (size < 0x38800000u) {\n"
               "        float sum;\n"
               "        memcpy(&sum, &size, sizeof sum);\n"
               "        sum += 0.5f;\n"
               "        memcpy(&out, &sum, sizeof out);\n"
               "        out -= 0x3f000000u;\n"
               "    } else {\n"
               "        out = (size + 0xfffu + ((size >> 13) & 1u) - 0x38000000u) >> 13;\n"
               "    }\n"
               "    return (uint16_t)(out | (bits >> 16 & 0x8000u));\n");
}

/* To an integer: truncates, saturates, NaN gives zero. */
static const char *saturate(text_module *m, dtype to, dtype from) {
    const char *name =
        arena_printf(m->memory, "onnxcc_%s_from_%s", dtype_name(to), dtype_name(from));
    const char *type = text_type(to), *f = from == DTYPE_F32 ? "f" : "";
    bool is_signed = dtype_class_of(to) == DTYPE_CLASS_INT;
    int bits = dtype_bits(to);
    double limit = (double)((uint64_t)1 << (bits - 1)) * (is_signed ? 1 : 2);
    const char *body;
    if (is_signed)
        body = arena_printf(m->memory,
                            "    if (v != v) return 0;\n"
                            "    if (v <= -%.1f%s) return INT%d_MIN;\n"
                            "    if (v >= %.1f%s) return INT%d_MAX;\n"
                            "    return (%s)v;\n",
                            limit, f, bits, limit, f, bits, type);
    else
        body = arena_printf(m->memory,
                            "    if (!(v > 0)) return 0;\n"
                            "    if (v >= %.1f%s) return UINT%d_MAX;\n"
                            "    return (%s)v;\n",
                            limit, f, bits, type);
    return add(m, name, type, arena_printf(m->memory, "%s v", text_type(from)), body);
}

const char *text_helper_convert(text_module *m, dtype to, dtype from) {
    if (from == DTYPE_F16) return widen_half(m);
    return to == DTYPE_F16 ? narrow_half(m) : saturate(m, to, from);
}

const char *text_helper_bits(text_module *m, dtype to, dtype from) {
    const char *name =
        arena_printf(m->memory, "onnxcc_%s_bits_of_%s", dtype_name(to), dtype_name(from));
    const char *body = arena_printf(m->memory,
                                    "    %s out;\n"
                                    "    memcpy(&out, &v, sizeof out);\n"
                                    "    return out;\n",
                                    text_type(to));
    return add(m, name, text_type(to), arena_printf(m->memory, "%s v", text_type(from)), body);
}
