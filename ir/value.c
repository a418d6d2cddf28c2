/* value.c: reading the numbers of constants, whatever their element type. */
#include "ir/graph.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static double decode_half(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double m = exponent ? mantissa + 1024 : mantissa;
    double v = exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                              : ldexp(m, (exponent ? exponent : 1) - 25);
    return h & 0x8000 ? -v : v;
}

/* An 8- or 4-bit float with `exponent` and `mantissa` bits: OCP 8-bit and MX formats; `infinite`:
 * the top exponent holds infinities and NaN as in IEEE; `unsigned_zero`: the FNUZ variants, where
 * only the pattern of negative zero is NaN. */
static double decode_small(unsigned bits, int exponent_bits, int mantissa_bits, int bias,
                           bool infinite, bool unsigned_zero) {
    int width = exponent_bits + mantissa_bits;
    unsigned sign = bits >> width & 1, top = (1u << exponent_bits) - 1;
    unsigned e = bits >> mantissa_bits & top, m = bits & ((1u << mantissa_bits) - 1);
    if (unsigned_zero && sign && !e && !m) return (double)NAN;
    if (infinite && e == top) return m ? (double)NAN : sign ? -(double)INFINITY : (double)INFINITY;
    if (!infinite && !unsigned_zero && exponent_bits == 4 && e == top && m == 7) return (double)NAN;
    double v = ldexp(e ? m + (1u << mantissa_bits) : m, (int)(e ? e : 1) - bias - mantissa_bits);
    return sign ? -v : v;
}

static double decode(dtype t, const unsigned char *p) {
    switch (t) {
    case DTYPE_F32: {
        float f;
        memcpy(&f, p, 4);
        return (double)f;
    }
    case DTYPE_F64: {
        double f;
        memcpy(&f, p, 8);
        return f;
    }
    case DTYPE_F16: {
        uint16_t h;
        memcpy(&h, p, 2);
        return decode_half(h);
    }
    case DTYPE_BF16: {
        uint32_t u = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
        float f;
        memcpy(&f, &u, 4);
        return (double)f;
    }
    case DTYPE_F8E4M3FN: return decode_small(*p, 4, 3, 7, false, false);
    case DTYPE_F8E4M3FNUZ: return decode_small(*p, 4, 3, 8, false, true);
    case DTYPE_F8E5M2: return decode_small(*p, 5, 2, 15, true, false);
    case DTYPE_F8E5M2FNUZ: return decode_small(*p, 5, 2, 16, false, true);
    case DTYPE_F4E2M1: return decode_small(*p & 15, 2, 1, 1, false, false);
    case DTYPE_F8E8M0: return *p == 255 ? (double)NAN : ldexp(1, *p - 127);
    case DTYPE_U64: {
        uint64_t u;
        memcpy(&u, p, 8);
        return (double)u;
    }
    default: return 0;
    }
}

static int64_t decode_integer(dtype t, const unsigned char *p) {
    int64_t v = 0;
    size_t n = dtype_bytes(t);
    memcpy(&v, p, n);
    bool is_signed = dtype_class_of(t) == DTYPE_CLASS_INT;
    if (is_signed && n < 8 && v >> (8 * n - 1) & 1) v -= (int64_t)1 << (8 * n);
    return v;
}

static const unsigned char *element(const value *v, size_t i) {
    size_t n = dtype_bytes(v->type.dtype);
    size_t at = v->constant->splat ? 0 : i * n;
    assert(at + n <= v->constant->bytes);
    return (const unsigned char *)v->constant->data + at;
}

double value_float(const value *v, const dim_table *t, size_t i) {
    (void)t;
    dtype d = v->type.dtype;
    if (dtype_is_float(d) || d == DTYPE_U64) return decode(d, element(v, i));
    return (double)decode_integer(d, element(v, i));
}

int64_t value_int(const value *v, const dim_table *t, size_t i) {
    (void)t;
    dtype d = v->type.dtype;
    return dtype_is_float(d) ? (int64_t)decode(d, element(v, i)) : decode_integer(d, element(v, i));
}

blob blob_string_table(arena *a, const blob_string *strings, size_t count) {
    uint64_t at = (count + 1) * sizeof at, bytes = at;
    for (size_t i = 0; i < count; i++) bytes += strings[i].length;
    uint64_t *table = arena_alloc(a, (size_t)bytes);
    for (size_t i = 0; i < count; i++) {
        table[i] = at;
        if (strings[i].length) memcpy((char *)table + at, strings[i].data, strings[i].length);
        at += strings[i].length;
    }
    table[count] = at;
    return (blob){.data = table, .bytes = (size_t)bytes};
}
