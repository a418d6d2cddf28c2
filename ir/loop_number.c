/* loop_number.c: arithmetic on scalars of every element type, and their bits in memory. The narrow
 * floats are described by one table: exponent and mantissa bits, bias, and what they have for
 * infinity and NaN (IEEE 754, OCP 8-bit and microscaling formats, and the FNUZ variants of
 * arXiv:2206.02915). */
#include "ir/loop_number.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- formats ---- */

typedef struct {
    int exponent, mantissa, bias;
    bool sign, infinity; /* infinity: the largest exponent is set aside, as in IEEE 754 */
    uint32_t nan;        /* bits of the NaN; 0 if there is none (FNUZ have it at minus zero) */
    double largest;
} float_format;

static const float_format *format_of(dtype t) {
    static const float_format formats[DTYPE_COUNT] = {
        [DTYPE_F16] = {5, 10, 15, true, true, 0x7e00, 65504},
        [DTYPE_BF16] = {8, 7, 127, true, true, 0x7fc0, 0x1.fep127},
        [DTYPE_F8E4M3FN] = {4, 3, 7, true, false, 0x7f, 448},
        [DTYPE_F8E4M3FNUZ] = {4, 3, 8, true, false, 0x80, 240},
        [DTYPE_F8E5M2] = {5, 2, 15, true, true, 0x7e, 57344},
        [DTYPE_F8E5M2FNUZ] = {5, 2, 16, true, false, 0x80, 57344},
        [DTYPE_F4E2M1] = {2, 1, 1, true, false, 0, 6},
        [DTYPE_F8E8M0] = {8, 0, 127, false, false, 0xff, 0x1p127},
    };
    return &formats[t];
}

static bool is_unsigned_zero(dtype t) {
    return t == DTYPE_F8E4M3FNUZ || t == DTYPE_F8E5M2FNUZ;
}

/* e8m0 holds powers of two from 2^-127 to 2^127 and nothing else. */
static double round_to_power(double v) {
    if (isnan(v) || v < 0 || isinf(v)) return NAN;
    if (v <= 0x1p-127) return 0x1p-127;
    int e;
    double m = frexp(v, &e); /* v = m * 2^e, m in [0.5, 1) */
    e = m >= 0.75 ? e : e - 1;
    return e > 127 ? NAN : ldexp(1, e);
}

double loop_round_float(dtype t, double v) {
    if (t == DTYPE_F64) return v;
    if (t == DTYPE_F32) return (float)v;
    if (t == DTYPE_F8E8M0) return round_to_power(v);
    const float_format *f = format_of(t);
    if (isnan(v)) return f->nan ? v : 0;
    double big = f->infinity ? INFINITY : f->nan ? NAN : f->largest;
    if (isinf(v)) return copysign(big, v);
    int e;
    frexp(v, &e);
    int lowest = 2 - f->bias; /* exponent, as frexp has it, of the smallest normal number */
    int unit = (e > lowest ? e : lowest) - 1 - f->mantissa;
    double r = v == 0 ? v : ldexp(nearbyint(ldexp(v, -unit)), unit);
    if (fabs(r) > f->largest) return copysign(big, v);
    return r == 0 && is_unsigned_zero(t) ? 0 : r;
}

int64_t loop_wrap_int(dtype t, int64_t v) {
    int bits = dtype_bits(t);
    if (t == DTYPE_BOOL) return v != 0;
    if (bits >= 64) return v;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    if (dtype_class_of(t) == DTYPE_CLASS_INT && low >> (bits - 1)) low |= ~(uint64_t)0 << bits;
    return (int64_t)low;
}

static uint64_t encode_narrow(dtype t, double v) {
    const float_format *f = format_of(t);
    if (isnan(v)) return f->nan;
    if (t == DTYPE_F8E8M0) return (uint64_t)(ilogb(v) + f->bias);
    uint64_t sign = (uint64_t)(signbit(v) != 0) << (f->exponent + f->mantissa);
    double size = fabs(v);
    if (isinf(v)) return sign | ((((uint64_t)1 << f->exponent) - 1) << f->mantissa);
    if (size < ldexp(1, 1 - f->bias)) /* subnormal or zero: a multiple of the smallest step */
        return sign | (uint64_t)ldexp(size, f->bias - 1 + f->mantissa);
    int e;
    double m = frexp(size, &e);
    uint64_t mantissa = (uint64_t)ldexp(m, f->mantissa + 1) - ((uint64_t)1 << f->mantissa);
    return sign | (uint64_t)(e - 1 + f->bias) << f->mantissa | mantissa;
}

static double decode_narrow(dtype t, uint64_t bits) {
    const float_format *f = format_of(t);
    if (t == DTYPE_F8E8M0) return bits == f->nan ? NAN : ldexp(1, (int)bits - f->bias);
    uint64_t size_bits = f->exponent + f->mantissa, sign = bits >> size_bits & 1;
    uint64_t size = bits & (((uint64_t)1 << size_bits) - 1);
    int e = (int)(size >> f->mantissa), top = (1 << f->exponent) - 1;
    uint64_t mantissa = size & (((uint64_t)1 << f->mantissa) - 1);
    if (f->nan && !f->infinity && (bits == f->nan || (f->nan == 0x7f && size == 0x7f))) return NAN;
    if (f->infinity && e == top) return mantissa ? NAN : sign ? -INFINITY : INFINITY;
    double v = e ? ldexp((double)(mantissa | (uint64_t)1 << f->mantissa), e - f->bias - f->mantissa)
                 : ldexp((double)mantissa, 1 - f->bias - f->mantissa);
    return sign ? -v : v;
}

uint64_t loop_encode(dtype t, loop_number v) {
    if (t == DTYPE_F64 || !dtype_is_float(t)) return (uint64_t)v.i;
    if (t != DTYPE_F32) return encode_narrow(t, v.f);
    float x = (float)v.f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

loop_number loop_decode(dtype t, uint64_t bits) {
    if (t == DTYPE_F64) return (loop_number){.i = (int64_t)bits};
    if (!dtype_is_float(t)) return (loop_number){.i = loop_wrap_int(t, (int64_t)bits)};
    if (t != DTYPE_F32) return (loop_number){.f = decode_narrow(t, bits)};
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, sizeof x);
    return (loop_number){.f = x};
}

/* ---- floats ---- */

static double float_min_max(bool max, double a, double b) {
    if (isnan(a) || isnan(b)) return NAN;
    if (a == b) return max == (signbit(a) != 0) ? b : a; /* of the zeros, -0 is the smaller */
    return (a < b) != max ? a : b;
}

static double float_function(loop_op op, double a, double b) {
    switch (op) {
    case LOOP_EXP: return exp(a);
    case LOOP_EXP2: return exp2(a);
    case LOOP_EXPM1: return expm1(a);
    case LOOP_LOG: return log(a);
    case LOOP_LOG1P: return log1p(a);
    case LOOP_SIN: return sin(a);
    case LOOP_COS: return cos(a);
    case LOOP_TAN: return tan(a);
    case LOOP_ASIN: return asin(a);
    case LOOP_ACOS: return acos(a);
    case LOOP_ATAN: return atan(a);
    case LOOP_SINH: return sinh(a);
    case LOOP_COSH: return cosh(a);
    case LOOP_TANH: return tanh(a);
    case LOOP_ASINH: return asinh(a);
    case LOOP_ACOSH: return acosh(a);
    case LOOP_ATANH: return atanh(a);
    case LOOP_ERF: return erf(a);
    case LOOP_GELU: return 0.5 * a * erfc(-a * 0.70710678118654752);
    case LOOP_SIGMOID: return 1 / (1 + exp(-a));
    default: assert(op == LOOP_POW); return pow(a, b);
    }
}

static double float_apply(loop_op op, dtype t, double a, double b, double c) {
    switch (op) {
    case LOOP_ADD: return a + b;
    case LOOP_SUB: return a - b;
    case LOOP_MUL: return a * b;
    case LOOP_DIV: return a / b;
    case LOOP_REM: return fmod(a, b);
    case LOOP_FLOORDIV: return floor(a / b);
    case LOOP_MOD: return a - b * floor(a / b);
    case LOOP_MIN: return float_min_max(false, a, b);
    case LOOP_MAX: return float_min_max(true, a, b);
    case LOOP_NEG: return -a;
    case LOOP_ABS: return fabs(a);
    case LOOP_FMA: return t == DTYPE_F64 ? fma(a, b, c) : fmaf((float)a, (float)b, (float)c);
    case LOOP_SQRT: return sqrt(a);
    case LOOP_FLOOR: return floor(a);
    case LOOP_CEIL: return ceil(a);
    case LOOP_TRUNC: return trunc(a);
    case LOOP_ROUND: return nearbyint(a);
    default: return float_function(op, a, b);
    }
}

/* ---- integers ---- */

static int64_t unsigned_apply(loop_op op, uint64_t a, uint64_t b) {
    switch (op) {
    case LOOP_DIV:
    case LOOP_FLOORDIV: return (int64_t)(b ? a / b : 0);
    case LOOP_REM:
    case LOOP_MOD: return (int64_t)(b ? a % b : 0);
    case LOOP_MIN: return (int64_t)(a < b ? a : b);
    case LOOP_MAX: return (int64_t)(a > b ? a : b);
    default: assert(op == LOOP_ABS); return (int64_t)a;
    }
}

static int64_t signed_apply(loop_op op, int64_t a, int64_t b) {
    switch (op) {
    case LOOP_DIV: return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
    case LOOP_REM: return b == 0 || b == -1 ? 0 : a % b;
    case LOOP_FLOORDIV:
        if (b == 0) return 0;
        if (b == -1) return (int64_t)(0 - (uint64_t)a);
        return a / b - (a % b != 0 && (a < 0) != (b < 0));
    case LOOP_MOD: {
        if (b == 0 || b == -1) return 0;
        int64_t r = a % b;
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
    case LOOP_MIN: return a < b ? a : b;
    case LOOP_MAX: return a > b ? a : b;
    default: assert(op == LOOP_ABS); return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
    }
}

static int64_t shift(loop_op op, dtype t, int64_t a, int64_t by) {
    uint64_t amount = (uint64_t)by; /* negative ones are beyond every width */
    bool over = amount >= (uint64_t)dtype_bits(t);
    if (op == LOOP_SHL) return over ? 0 : (int64_t)((uint64_t)a << amount);
    if (dtype_class_of(t) == DTYPE_CLASS_INT) return over ? (a < 0 ? -1 : 0) : a >> amount;
    return over ? 0 : (int64_t)((uint64_t)a >> amount);
}

static int64_t dot4(uint64_t a, uint64_t b) {
    int64_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (int64_t)(uint8_t)(a >> i) * (int8_t)(uint8_t)(b >> i);
    return sum;
}

static int64_t int_apply(loop_op op, dtype t, int64_t a, int64_t b, int64_t c) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (op) {
    case LOOP_ADD: return (int64_t)(x + y);
    case LOOP_SUB: return (int64_t)(x - y);
    case LOOP_MUL: return (int64_t)(x * y);
    case LOOP_FMA: return (int64_t)(x * y + (uint64_t)c);
    case LOOP_NEG: return (int64_t)(0 - x);
    case LOOP_AND: return a & b;
    case LOOP_OR: return a | b;
    case LOOP_XOR: return a ^ b;
    case LOOP_NOT: return t == DTYPE_BOOL ? !a : ~a;
    case LOOP_SHL:
    case LOOP_SHR: return shift(op, t, a, b);
    case LOOP_DOT4: return dot4(x, y);
    case LOOP_SQRT:
    case LOOP_FLOOR:
    case LOOP_CEIL:
    case LOOP_TRUNC:
    case LOOP_ROUND: return a;
    default: break;
    }
    return dtype_class_of(t) == DTYPE_CLASS_INT ? signed_apply(op, a, b) : unsigned_apply(op, x, y);
}

static bool compare(loop_op op, dtype t, loop_number a, loop_number b) {
    if (dtype_is_float(t)) {
        switch (op) {
        case LOOP_EQ: return a.f == b.f;
        case LOOP_NE: return a.f != b.f;
        case LOOP_LT: return a.f < b.f;
        default: return a.f <= b.f;
        }
    }
    bool less = t == DTYPE_U64 ? (uint64_t)a.i < (uint64_t)b.i : a.i < b.i;
    switch (op) {
    case LOOP_EQ: return a.i == b.i;
    case LOOP_NE: return a.i != b.i;
    case LOOP_LT: return less;
    default: return less || a.i == b.i;
    }
}

loop_number loop_apply(loop_op op, dtype t, loop_number a, loop_number b, loop_number c) {
    if (op == LOOP_SELECT) return a.i ? b : c;
    if (op >= LOOP_EQ && op <= LOOP_LE) return (loop_number){.i = compare(op, t, a, b)};
    if (dtype_is_float(t))
        return (loop_number){.f = loop_round_float(t, float_apply(op, t, a.f, b.f, c.f))};
    if (op == LOOP_DOT4) t = DTYPE_I32;
    return (loop_number){.i = loop_wrap_int(t, int_apply(op, t, a.i, b.i, c.i))};
}

/* ---- conversion ---- */

static int64_t saturate(dtype to, double v) {
    int bits = dtype_bits(to);
    bool is_signed = dtype_class_of(to) == DTYPE_CLASS_INT;
    double limit = ldexp(1, is_signed ? bits - 1 : bits);
    v = trunc(v);
    if (isnan(v)) return 0;
    if (v >= limit)
        return is_signed ? (int64_t)(((uint64_t)1 << (bits - 1)) - 1)
                         : (int64_t)(~(uint64_t)0 >> (64 - bits));
    if (v < (is_signed ? -limit : 0)) return is_signed ? (int64_t)(~(uint64_t)0 << (bits - 1)) : 0;
    return v >= 0x1p63 ? (int64_t)(uint64_t)v : (int64_t)v;
}

loop_number loop_convert(dtype to, dtype from, loop_number v) {
    bool from_float = dtype_is_float(from), to_float = dtype_is_float(to);
    if (from_float && to_float) return (loop_number){.f = loop_round_float(to, v.f)};
    if (from_float) return (loop_number){.i = to == DTYPE_BOOL ? v.f != 0 : saturate(to, v.f)};
    if (!to_float) return (loop_number){.i = loop_wrap_int(to, v.i)};
    if (to == DTYPE_F64)
        return (loop_number){.f = from == DTYPE_U64 ? (double)(uint64_t)v.i : (double)v.i};
    /* To f32 in one rounding, to narrower floats by way of f32, as targets do it. */
    float single = from == DTYPE_U64 ? (float)(uint64_t)v.i : (float)v.i;
    return (loop_number){.f = loop_round_float(to, single)};
}
