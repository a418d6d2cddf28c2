/* test_math.c: decomposed functions against libm in a wider type, with and without fused
 * multiply-add; decomposed storage types against the plain meaning, value by value. */
#include "ir/loop.h"
#include "ir/loop_math.h"
#include "ir/loop_number.h"
#include "test/unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { POINTS = 40000 };

typedef struct {
    arena *memory;
    dim_table *dims;
    diag d;
    loop_kernel *k;
} fixture;

/* A kernel that applies op, on type t, to the elements of %x (and %z). */
static fixture function_kernel(loop_op op, dtype t, int64_t count) {
    fixture f = {.memory = arena_create()};
    f.dims = dim_table_create(f.memory);
    diag_init(&f.d, f.memory, "test");
    loop_kernel *k = f.k = loop_kernel_create(f.memory, f.dims, "k");
    loop_expr extents[] = {loop_int(k, count)};
    loop_buf b[3];
    for (int i = 0; i < 3; i++)
        b[i] =
            loop_add_buffer(k, (loop_buffer){.name = i == 0 ? "y" : "x",
                                             .type = t,
                                             .space = i == 0 ? LOOP_SPACE_OUTPUT : LOOP_SPACE_INPUT,
                                             .rank = 1,
                                             .extents = extents});
    loop_var v = loop_add_var(k, "i", extents[0]);
    loop_expr at[] = {loop_var_expr(k, v)};
    loop_expr second = loop_ops[op].arity > 1 ? loop_load(k, b[2], at) : 0;
    loop_expr e = loop_make(k, op, loop_load(k, b[1], at), second, 0);
    k->body = loop_for(k, LOOP_SERIAL, v, extents[0], loop_store(k, b[0], at, e));
    loop_decompose(k);
    CHECK(loop_verify(k, &f.d, "decompose"));
    return f;
}

/* Every FMA as a product and a sum, as targets without it have it. */
static loop_expr without_fma(loop_kernel *k, loop_expr e, loop_expr *made) {
    if (made[e]) return made[e];
    loop_node n = *loop_get(k, e);
    loop_expr a[3] = {0}, r = e;
    for (uint32_t i = 0; i < n.arg_count && n.op != LOOP_LOAD; i++)
        a[i] = without_fma(k, n.args[i], made);
    if (n.op == LOOP_FMA)
        r = loop_add(k, loop_mul(k, a[0], a[1]), a[2]);
    else if (n.op == LOOP_CAST)
        r = loop_cast(k, n.type, a[0]);
    else if (n.op == LOOP_BITCAST)
        r = loop_bitcast(k, n.type, a[0]);
    else if (n.op > LOOP_LOAD)
        r = loop_make(k, n.op, a[0], a[1], a[2]);
    return made[e] = r;
}

static void split_fma(loop_kernel *k) {
    loop_expr *made = ARENA_ARRAY(k->memory, loop_expr, k->nodes.count);
    loop_stmt *store = k->body->body;
    store->value = without_fma(k, store->value, made);
}

static uint64_t random_bits(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 32 ^ state << 24;
}

/* Evenly spread, and spread over all exponents of the range. */
static double sample(int i, double low, double high) {
    double u = (double)(random_bits() >> 11) / 0x1p53;
    if (i % 2) return low + (high - low) * u;
    double size = exp2(-40 + u * (40 + log2(fmax(fabs(low), fabs(high)))));
    double v = i % 4 == 0 && low < 0 ? -size : size;
    return v < low ? low : v > high ? high : v;
}

/* The distance in units of the last place of f32, or as a relative error for f64. */
static double distance(dtype t, double got, long double wanted) {
    if (isnan(got) || isnan(wanted)) return isnan(got) && isnan(wanted) ? 0 : INFINITY;
    if ((long double)got == wanted) return 0;
    if (t == DTYPE_F64) {
        if (fabsl(wanted) < DBL_MIN) return fabs(got) <= DBL_MIN ? 0 : INFINITY;
        if (fabsl(wanted) > DBL_MAX) return isinf(got) ? 0 : INFINITY;
        return (double)fabsl((got - wanted) / wanted);
    }
    if (fabsl(wanted) < FLT_MIN) return fabs(got) <= FLT_MIN ? 0 : INFINITY;
    if ((float)wanted == (float)got) return 0.5;
    if (isinf((float)wanted) || isinf(got)) return INFINITY;
    return (double)(fabsl(got - wanted) / exp2l(ilogbl(wanted) - 23));
}

static long double sigmoidl(long double x) {
    return 1 / (1 + expl(-x));
}

static long double gelul(long double x) {
    return 0.5L * x * erfcl(-x / sqrtl(2));
}

typedef struct {
    loop_op op;
    long double (*truth)(long double);
    double low, high; /* f32 */
    double ulps;      /* of f32 */
    double low64, high64, relative;
    double absolute; /* of f32: counts in place of ulps where it is not 0 */
} claim;

static void check_function(const claim *c, dtype t, bool fma) {
    static float xf[POINTS], yf[POINTS];
    static double xd[POINTS], yd[POINTS];
    bool single = t == DTYPE_F32;
    for (int i = 0; i < POINTS; i++) {
        double v = single ? sample(i, c->low, c->high) : sample(i, c->low64, c->high64);
        xf[i] = (float)v;
        xd[i] = v;
    }
    fixture f = function_kernel(c->op, t, POINTS);
    if (!fma) split_fma(f.k);
    void *x = single ? (void *)xf : xd, *y = single ? (void *)yf : yd;
    CHECK(loop_interpret(f.k, (void *[]){y, x, x}, NULL, &f.d) == 0);
    double worst = 0, at = 0;
    for (int i = 0; i < POINTS; i++) {
        double in = single ? xf[i] : xd[i];
        bool by_size = single && c->absolute;
        double d = by_size ? (double)fabsl(yf[i] - c->truth(in))
                           : distance(t, single ? yf[i] : yd[i], c->truth(in));
        if (d > worst) {
            worst = d;
            at = in;
        }
    }
    bool good = worst <= (!single ? c->relative : c->absolute ? c->absolute : c->ulps);
    CHECK(good);
    if (!good || getenv("VERBOSE"))
        printf("%s %s%s: %.3g at %.9g\n", loop_ops[c->op].name, dtype_name(t),
               fma ? "" : " without fma", worst, at);
    arena_destroy(f.memory);
}

static const claim claims[] = {
    {LOOP_EXP, expl, -110, 90, 1.1, -720, 711, 1e-15, 0},
    {LOOP_EXP2, exp2l, -125, 127, 3.5, -1000, 1000, 2e-13, 0},
    {LOOP_EXP2, exp2l, -200, 0, 0, -1, 1, 1e-15, 1e-6},
    {LOOP_EXPM1, expm1l, -110, 90, 2, -720, 711, 1e-15, 0},
    {LOOP_LOG, logl, 1e-44, 3e38, 1.5, 1e-320, 1e308, 1e-15, 0},
    {LOOP_LOG, logl, 0.5, 2, 1.5, 0.5, 2, 1e-15, 0},
    {LOOP_LOG1P, log1pl, -1, 1e30, 3, -1, 1e300, 2e-15, 0},
    {LOOP_LOG1P, log1pl, -0.9, 2, 3, -0.9, 2, 2e-15, 0},
    {LOOP_SIN, sinl, -1e5, 1e5, 2, -1e5, 1e5, 1e-14, 0},
    {LOOP_SIN, sinl, -4, 4, 2, -4, 4, 1e-15, 0},
    {LOOP_COS, cosl, -1e5, 1e5, 2, -1e5, 1e5, 1e-14, 0},
    {LOOP_COS, cosl, -4, 4, 2, -4, 4, 1e-15, 0},
    {LOOP_TAN, tanl, -1e5, 1e5, 4, -1e5, 1e5, 1e-14, 0},
    {LOOP_ASIN, asinl, -1.01, 1.01, 3, -1.01, 1.01, 2e-15, 0},
    {LOOP_ACOS, acosl, -1.01, 1.01, 2, -1.01, 1.01, 2e-15, 0},
    {LOOP_ATAN, atanl, -20, 20, 3, -20, 20, 1e-15, 0},
    {LOOP_ATAN, atanl, -1e30, 1e30, 3, -1e300, 1e300, 1e-15, 0},
    {LOOP_SINH, sinhl, -90, 90, 2, -711, 711, 2e-15, 0},
    {LOOP_COSH, coshl, -90, 90, 2, -711, 711, 2e-15, 0},
    {LOOP_TANH, tanhl, -10, 10, 6, -21, 21, 1e-15, 0},
    {LOOP_ASINH, asinhl, -50, 50, 4, -50, 50, 2e-15, 0},
    {LOOP_ASINH, asinhl, -3e38, 3e38, 4, -1e308, 1e308, 2e-15, 0},
    {LOOP_ACOSH, acoshl, 0.9, 50, 4, 0.9, 50, 2e-15, 0},
    {LOOP_ACOSH, acoshl, 1, 3e38, 4, 1, 1e308, 2e-15, 0},
    {LOOP_ATANH, atanhl, -1, 1, 4, -1, 1, 2e-15, 0},
    {LOOP_ERF, erfl, -5, 5, 2, -7, 7, 1e-15, 0},
    {LOOP_GELU, gelul, -1, 10, 5.5, -1, 10, 1e-15, 0},
    {LOOP_GELU, gelul, -20, -1, 0, -1, 0, 1e-15, 6.5e-8},
    {LOOP_SIGMOID, sigmoidl, -87, 100, 0, -700, 720, 1e-15, 1.7e-7},
};

static void test_f32(void) {
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        check_function(&claims[i], DTYPE_F32, true);
        check_function(&claims[i], DTYPE_F32, false);
    }
}

static void test_f64(void) {
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        check_function(&claims[i], DTYPE_F64, true);
        check_function(&claims[i], DTYPE_F64, false);
    }
}

/* Infinities, NaN, zeros and the ends of ranges. */
static void test_special(void) {
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN,           1, -1, 1e-40,
                                     89,  -105, 3e38,     -3e38,     1.17549435e-38};
    enum { COUNT = sizeof special / sizeof *special };
    static const loop_op skipped_far[] = {LOOP_SIN, LOOP_COS, LOOP_TAN};
    for (size_t c = 0; c < sizeof claims / sizeof *claims; c++)
        for (int single = 0; single < 2; single++) {
            float xf[COUNT], yf[COUNT];
            double xd[COUNT], yd[COUNT];
            for (int i = 0; i < COUNT; i++) xf[i] = (float)(xd[i] = special[i]);
            dtype t = single ? DTYPE_F32 : DTYPE_F64;
            fixture f = function_kernel(claims[c].op, t, COUNT);
            void *x = single ? (void *)xf : xd, *y = single ? (void *)yf : yd;
            CHECK(loop_interpret(f.k, (void *[]){y, x, x}, NULL, &f.d) == 0);
            for (int i = 0; i < COUNT; i++) {
                double in = single ? xf[i] : xd[i], got = single ? yf[i] : yd[i];
                long double wanted = claims[c].truth(in);
                bool circular = false;
                for (int j = 0; j < 3; j++) circular |= claims[c].op == skipped_far[j];
                if (claims[c].op == LOOP_EXP2 && in > 127) continue;
                /* The formula says -inf * 0 where the limit is 0. */
                if (claims[c].op == LOOP_GELU && in < -10) {
                    CHECK(fabs(got) < 1e-30 || (isinf(in) && isnan(got)));
                    continue;
                }
                if (circular && fabs(in) > 1e30 && isfinite(in)) continue;
                /* Next to the least normal number, parts of a sum may have underflowed. */
                bool good = distance(t, got, wanted) <= (single ? 4 : 1e-14) ||
                            (single && fabsl(got - wanted) < 1e-5 * FLT_MIN);
                CHECK(good);
                if (!good)
                    printf("%s %s(%g) = %g, wanted %Lg\n", dtype_name(t),
                           loop_ops[claims[c].op].name, in, got, wanted);
            }
            arena_destroy(f.memory);
        }
}

static void test_pow(void) {
    static const float edges[] = {0.0f, -0.0f, 1,     -1,   2,    -2,        0.5f,     -0.5f,
                                  3,    -3,    1e30f, 2.5f, 1e9f, -INFINITY, INFINITY, NAN};
    enum { EDGES = sizeof edges / sizeof *edges, COUNT = EDGES * EDGES + 20000 };
    static float x[COUNT], z[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = i < EDGES * EDGES ? edges[i / EDGES] : (float)exp2(sample(1, -20, 20));
        z[i] = i < EDGES * EDGES ? edges[i % EDGES] : (float)sample(1, -7, 7);
    }
    fixture f = function_kernel(LOOP_POW, DTYPE_F32, COUNT);
    CHECK(loop_interpret(f.k, (void *[]){y, x, z}, NULL, &f.d) == 0);
    for (int i = 0; i < COUNT; i++) {
        bool good = distance(DTYPE_F32, y[i], powl(x[i], z[i])) <= 1;
        CHECK(good);
        if (!good) printf("pow(%g, %g) = %g, wanted %g\n", x[i], z[i], y[i], powf(x[i], z[i]));
    }
    arena_destroy(f.memory);
}

static void test_fmod(void) {
    enum { COUNT = 20000 };
    static float x[COUNT], z[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)sample(i, -1000, 1000);
        z[i] = i % 3 ? (float)sample(i + 1, -10, 10) : (float)(1 + i % 7) * 0.5f;
        if (i % 5 == 0) x[i] = z[i] * (float)(i % 100);
        if (fabsf(x[i] / z[i]) > 5e8f) x[i] = z[i];
    }
    x[0] = 5, z[0] = INFINITY;
    x[1] = INFINITY, z[1] = 5;
    x[2] = 5, z[2] = 0;
    fixture f = function_kernel(LOOP_REM, DTYPE_F32, COUNT);
    split_fma(f.k);
    CHECK(loop_interpret(f.k, (void *[]){y, x, z}, NULL, &f.d) == 0);
    for (int i = 0; i < COUNT; i++) {
        float wanted = fmodf(x[i], z[i]);
        bool good = y[i] == wanted || (isnan(wanted) && isnan(y[i]));
        CHECK(good);
        if (!good) printf("fmod(%g, %g) = %g, wanted %g\n", x[i], z[i], y[i], wanted);
    }
    arena_destroy(f.memory);
}

/* ---- storage types ---- */

static const dtype stored[] = {DTYPE_F16,    DTYPE_BF16,       DTYPE_F8E4M3FN, DTYPE_F8E4M3FNUZ,
                               DTYPE_F8E5M2, DTYPE_F8E5M2FNUZ, DTYPE_F4E2M1,   DTYPE_F8E8M0,
                               DTYPE_I4,     DTYPE_U4,         DTYPE_I2,       DTYPE_U2};

/* One kernel run plain and decomposed on the same input must give the same bytes. */
static void check_same(const char *text, const void *x, size_t out_bytes, const char *what) {
    unsigned char *y[2] = {calloc(1, out_bytes), calloc(1, out_bytes)};
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, "test");
    for (int i = 0; i < 2; i++) {
        loop_kernel *k = loop_parse(a, dim_table_create(a), &d, text, strlen(text));
        CHECK(k != NULL);
        if (!k) break;
        if (i) loop_decompose(k);
        CHECK(loop_verify(k, &d, "test"));
        CHECK(loop_interpret(k, (void *[]){y[i], (void *)x}, NULL, &d) == 0);
    }
    bool same = memcmp(y[0], y[1], out_bytes) == 0;
    CHECK(same);
    for (size_t i = 0; i < out_bytes && !same; i++)
        if (y[0][i] != y[1][i]) {
            printf("%s: byte %zu: %02x, wanted %02x\n", what, i, y[1][i], y[0][i]);
            break;
        }
    for (size_t i = 0; i < d.items.count; i++) printf("%s\n", diag_text(&d, &d.items.data[i]));
    free(y[0]);
    free(y[1]);
    arena_destroy(a);
}

static void test_storage_decoding(void) {
    static uint16_t words[1 << 16];
    static uint8_t bytes[256];
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        int bits = dtype_bits(stored[i]), count = 1 << bits;
        for (int j = 0; j < count; j++) words[j] = (uint16_t)j;
        for (int j = 0; j < count && bits < 16; j++) bytes[j] = (uint8_t)j;
        if (bits < 8 && dtype_class_of(stored[i]) == DTYPE_CLASS_INT)
            for (int j = 0; j < count; j++) /* sign-extended in memory */
                bytes[j] = (uint8_t)(j >= count / 2 ? j - count : j);
        char text[400];
        snprintf(text, sizeof text,
                 "kernel k {\n output %%y: f32[%d]\n input %%x: %s[%d]\n for i in %d serial {\n"
                 "  %%y[i] = select(cast_f32(%%x[i]) == cast_f32(%%x[i]), cast_f32(%%x[i]), 77.0)\n"
                 " }\n}\n",
                 count, dtype_name(stored[i]), count, count);
        check_same(text, bits == 16 ? (void *)words : bytes, 4 * (size_t)count,
                   dtype_name(stored[i]));
    }
}

static void test_storage_encoding(void) {
    enum { COUNT = 60000 };
    static float x[COUNT];
    static double xd[COUNT];
    for (int i = 0; i < COUNT; i++) {
        /* Random values, and ties between neighbours of short mantissas. */
        uint32_t bits = (uint32_t)random_bits();
        if (i % 3) bits &= 0xffffffffu << (8 + i % 15);
        if (i % 2) bits = (bits & 0x807fffffu) | ((100u + bits % 50) << 23);
        memcpy(&x[i], &bits, 4);
        if (isnan(x[i])) x[i] = NAN;
        xd[i] = x[i];
        if (i % 4 == 0) xd[i] *= 1 + 0x1p-40;
    }
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++)
        for (int wide = 0; wide < 2; wide++) {
            char text[400];
            const char *name = dtype_name(stored[i]);
            snprintf(text, sizeof text,
                     "kernel k {\n output %%y: %s[%d]\n input %%x: %s[%d]\n for i in %d serial {\n"
                     "  %%y[i] = cast_%s(%%x[i])\n }\n}\n",
                     name, COUNT, wide ? "f64" : "f32", COUNT, COUNT, name);
            check_same(text, wide ? (void *)xd : x, COUNT * dtype_bytes(stored[i]), name);
        }
}

/* Arithmetic rounds after every operation; locals of a narrow type hold rounded values. */
static void test_storage_arithmetic(void) {
    enum { COUNT = 4000 };
    static uint16_t x[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (uint16_t)(random_bits() & 0x3fff);
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        dtype t = stored[i];
        const char *name = dtype_name(t), *sum = "%x[i] * %x[i] + %acc[]";
        if (t == DTYPE_F8E8M0) continue; /* a scale: nobody computes in it */
        char text[600];
        snprintf(text, sizeof text,
                 "kernel k {\n output %%y: %s[%d]\n input %%x: %s[%d]\n tile %%acc: %s[]\n"
                 " for i in %d serial {\n  %%acc[] = min(%%x[i], %%x[%d - i])\n"
                 "  %%acc[] = %s\n  %%y[i] = select(%%acc[] < %%x[i], %%acc[] - %%x[i], -%%acc[])\n"
                 " }\n}\n",
                 name, COUNT, name, COUNT, name, COUNT, COUNT - 1, sum);
        if (dtype_bytes(t) == 1)
            for (int j = 0; j < COUNT; j++) {
                uint64_t low = random_bits() & (((uint64_t)1 << dtype_bits(t)) - 1) & 0x77;
                if (!dtype_is_float(t)) low = (uint64_t)loop_wrap_int(t, (int64_t)low);
                ((uint8_t *)x)[j] = (uint8_t)low;
            }
        else
            for (int j = 0; j < COUNT; j++) x[j] = (uint16_t)(random_bits() & 0xbfff);
        check_same(text, x, COUNT * dtype_bytes(t), name);
    }
}

int main(void) {
    RUN(test_f32);
    RUN(test_f64);
    RUN(test_special);
    RUN(test_pow);
    RUN(test_fmod);
    RUN(test_storage_decoding);
    RUN(test_storage_encoding);
    RUN(test_storage_arithmetic);
    return unit_finish();
}
