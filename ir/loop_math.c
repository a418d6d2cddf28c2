/* loop_math.c: elementary functions of f32 and f64 in loop IR, branch-free. Methods: argument
 * reduction after Cody and Waite ("Software Manual for the Elementary Functions", 1980), minimax
 * polynomials of our own (test/loop/fit.py), Kahan's log1p; each function says its error, which
 * test/loop/test_math.c measures. Subnormal results of exp become zero, and a zero may lose its
 * sign. Nothing here depends on the fusing of FMA. */
#include "ir/loop_internal.h"
#include "ir/loop_math_table.h"

#include <assert.h>
#include <math.h>

/* A formula over the expressions named behind it. */
#define FORMULA(k, t, text, ...)                                                                   \
    loop_formula((k), (text), (t), (const loop_binding[]){__VA_ARGS__},                            \
                 sizeof((const loop_binding[]){__VA_ARGS__}) / sizeof(loop_binding))

/* The polynomial NAME_f32 or NAME_f64 at x. */
#define POLYNOMIAL_F32(k, name, x)                                                                 \
    polynomial((k), DTYPE_F32, name##_f32, sizeof name##_f32 / sizeof *name##_f32, (x))
#define POLYNOMIAL(k, t, name, x)                                                                  \
    ((t) == DTYPE_F32                                                                              \
         ? POLYNOMIAL_F32(k, name, x)                                                              \
         : polynomial((k), (t), name##_f64, sizeof name##_f64 / sizeof *name##_f64, (x)))

/* Horner's rule: each step waits for the last one, but neighbouring elements fill the gaps. */
static loop_expr polynomial(loop_kernel *k, dtype t, const double *c, size_t count, loop_expr x) {
    loop_expr sum = loop_const(k, t, c[count - 1]);
    for (size_t i = count - 1; i-- > 0;)
        sum = loop_make(k, LOOP_FMA, sum, x, loop_const(k, t, c[i]));
    return sum;
}

static loop_expr number(loop_kernel *k, dtype t, double single, double twice) {
    return loop_const(k, t, t == DTYPE_F32 ? single : twice);
}

/* The integer type that has t's bits, and how many of them are the mantissa's. */
static dtype bits_type(dtype t) {
    return t == DTYPE_F32 ? DTYPE_I32 : DTYPE_I64;
}
static int mantissa_bits(dtype t) {
    return t == DTYPE_F32 ? 23 : 52;
}

static loop_expr bits_const(loop_kernel *k, dtype t, int64_t single, int64_t twice) {
    return loop_const_int(k, bits_type(t), t == DTYPE_F32 ? single : twice);
}

static loop_expr to_bits(loop_kernel *k, loop_expr x) {
    return loop_bitcast(k, bits_type(loop_type(k, x)), x);
}

/* The sign of x on a number that is not negative. */
static loop_expr with_sign_of(loop_kernel *k, loop_expr size, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr mask = bits_const(k, t, INT32_MIN, INT64_MIN);
    loop_expr sign = loop_and(k, to_bits(k, x), mask);
    return loop_bitcast(k, t, loop_make(k, LOOP_OR, to_bits(k, size), sign, 0));
}

static loop_expr absolute(loop_kernel *k, loop_expr x) {
    return loop_make(k, LOOP_ABS, x, 0, 0);
}

/* ---- exp and its kin ---- */

/* x = n * ln(2) + r with |r| <= ln(2) / 2. `shifted` is n in the low mantissa bits of a number of
 * fixed exponent: adding 1.5 * 2^mantissa_bits rounds to an integer. */
typedef struct {
    loop_expr shifted, minus_one, bits; /* exp(r) - 1; n in the place of the exponent */
} exponential;

/* The low bits of x's mantissa in the place of the exponent. */
static loop_expr exponent_place(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    return loop_make(k, LOOP_SHL, to_bits(k, x), loop_const_int(k, bits_type(t), mantissa_bits(t)),
                     0);
}

static exponential split_exp(loop_kernel *k, loop_expr x, bool precise_minus_one) {
    dtype t = loop_type(k, x);
    loop_expr magic = number(k, t, 0x1.8p23, 0x1.8p52);
    loop_expr shifted =
        FORMULA(k, t, "fma(x, 1.4426950408889634, magic)", {"x", x}, {"magic", magic});
    loop_expr n = loop_sub(k, shifted, magic);
    /* ln(2) in two parts, the first short enough for n * part to be exact. */
    double high = t == DTYPE_F32 ? 0x1.63p-1 : 0x1.62e42feep-1;
    double low = t == DTYPE_F32 ? -0x1.bd0105c610ca8p-13 : 0x1.a39ef35793c76p-33;
    loop_expr r = FORMULA(k, t, "fma(n, -low, fma(n, -high, x))", {"n", n}, {"x", x},
                          {"high", loop_const(k, t, high)}, {"low", loop_const(k, t, low)});
    loop_expr q =
        precise_minus_one ? POLYNOMIAL(k, t, expm1_table, r) : POLYNOMIAL(k, t, exp_table, r);
    exponential e = {.shifted = shifted};
    e.minus_one = FORMULA(k, t, "fma(r*r, q, r)", {"r", r}, {"q", q});
    e.bits = exponent_place(k, shifted);
    return e;
}

/* exp(x) * 2^scale for results that are normal numbers. */
static loop_expr exp_core(loop_kernel *k, loop_expr x, int scale) {
    dtype t = loop_type(k, x);
    exponential e = split_exp(k, x, false);
    loop_expr mantissa = FORMULA(k, t, "1 + p", {"p", e.minus_one});
    loop_expr up =
        loop_const_int(k, bits_type(t), (int64_t)scale * ((int64_t)1 << mantissa_bits(t)));
    loop_expr bits = loop_add(k, to_bits(k, mantissa), loop_add(k, e.bits, up));
    return loop_bitcast(k, t, bits);
}

/* exp(x) * 2^scale: 1 ulp; f64 1e-15. Infinite above the range, zero below it. */
static loop_expr expand_exp(loop_kernel *k, loop_expr x, int scale) {
    dtype t = loop_type(k, x);
    double ln2 = 0.69314718055994531;
    /* The last numbers whose results are finite, and normal. */
    double high = t == DTYPE_F32 ? 0x1.62e42ep6 : 0x1.62e42fefa39efp9;
    double low = t == DTYPE_F32 ? -0x1.5d589ep6 : -0x1.6232bdd7abcd2p9;
    return FORMULA(k, t, "select(x <= high, select(low <= x, e, 0), x + inf)", {"x", x},
                   {"e", exp_core(k, x, scale)}, {"high", loop_const(k, t, high - scale * ln2)},
                   {"low", loop_const(k, t, low - scale * ln2)});
}

/* exp(x) - 1 where nothing overflows. */
static loop_expr expm1_core(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    exponential e = split_exp(k, x, true);
    /* Half of 2^n, which is finite for the largest n too. */
    loop_expr half = bits_const(k, t, (int64_t)126 << 23, (int64_t)1022 << 52);
    loop_expr s = loop_bitcast(k, t, loop_add(k, e.bits, half));
    return FORMULA(k, t, "2*fma(s, p, s - 0.5)", {"s", s}, {"p", e.minus_one});
}

/* 2 ulp; f64 1e-15. */
static loop_expr expand_expm1(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    return FORMULA(k, t, "select(x <= high, select(low <= x, e, -1), x + inf)", {"x", x},
                   {"e", expm1_core(k, x)},
                   {"high", number(k, t, 0x1.62e42ep6, 0x1.62e42fefa39efp9)},
                   {"low", number(k, t, -30, -50)});
}

/* 2^y for y from -126 to 127, garbage elsewhere but for NaN. The exponent's bias is part of what
 * rounds y to an integer. */
static loop_expr exp2_core(loop_kernel *k, loop_expr y) {
    loop_expr magic = loop_const(k, DTYPE_F32, 0x1.8p23 + 127);
    loop_expr shifted = loop_add(k, y, magic);
    loop_expr r = loop_sub(k, y, loop_sub(k, shifted, magic));
    return loop_mul(k, POLYNOMIAL_F32(k, exp2_table, r),
                    loop_bitcast(k, DTYPE_F32, exponent_place(k, shifted)));
}

/* f32: 3 ulp. f64: 1e-15 (1 + |y|). */
static loop_expr expand_exp2(loop_kernel *k, loop_expr y) {
    dtype t = loop_type(k, y);
    if (t == DTYPE_F64) {
        return expand_exp(k, FORMULA(k, t, "y*0.69314718055994531", {"y", y}), 0);
    }
    return FORMULA(k, t, "select(y < -126, 0, e)", {"y", y}, {"e", exp2_core(k, y)});
}

/* x held within [-limit, limit]; NaN stays. */
static loop_expr clamp(loop_kernel *k, loop_expr x, double limit) {
    dtype t = loop_type(k, x);
    return FORMULA(k, t, "select(x < -limit, -limit, select(limit < x, limit, x))", {"x", x},
                   {"limit", loop_const(k, t, limit)});
}

/* x p(x^2) / q(x^2). */
static loop_expr rational(loop_kernel *k, loop_expr x, const double *p, size_t p_count,
                          const double *q, size_t q_count) {
    dtype t = loop_type(k, x);
    loop_expr z = loop_mul(k, x, x);
    return FORMULA(k, t, "x * p / q", {"x", x}, {"p", polynomial(k, t, p, p_count, z)},
                   {"q", polynomial(k, t, q, q_count, z)});
}

/* The rational function of the tables NAME_p_f32 and NAME_q_f32 at x. */
#define RATIONAL(k, name, x)                                                                       \
    rational((k), (x), name##_p_f32, sizeof name##_p_f32 / sizeof *name##_p_f32, name##_q_f32,     \
             sizeof name##_q_f32 / sizeof *name##_q_f32)

/* f32: 1.7e-7 absolute, the bits of the engines (see the table): a model that quantises its
 * activations at run time turns the last bit of a sigmoid into a whole step. f64 1e-15. */
static loop_expr expand_sigmoid(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    if (t == DTYPE_F32)
        return FORMULA(k, t, "max(0, min(1, r + 0.5))",
                       {"r", RATIONAL(k, logistic, clamp(k, x, 18))});
    loop_expr e = expand_exp(k, loop_make(k, LOOP_NEG, x, 0, 0), 0);
    return FORMULA(k, t, "1 / (1 + e)", {"e", e});
}

/* f32: 6 ulp, the bits of the engines. f64: tanh|x| = t / (t + 2), t = exp(2|x|) - 1:
 * 1e-15. */
static loop_expr expand_tanh(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    if (t == DTYPE_F32) return RATIONAL(k, tanh, clamp(k, x, 9));
    loop_expr twice = FORMULA(k, t, "2*select(19.5 < a, 19.5, a)", {"a", absolute(k, x)});
    return with_sign_of(k, FORMULA(k, t, "e / (e + 2)", {"e", expm1_core(k, twice)}), x);
}

/* sinh: x + x^3 p(x^2) up to 1, E - 1 / 4E with E = exp(x) / 2 beyond: 2 ulp; f64 1e-15. */
static loop_expr expand_sinh(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x), z = loop_mul(k, a, a);
    loop_expr size = FORMULA(k, t, "select(a < 1, fma(a*z, p, a), e - 0.25/e)", {"a", a}, {"z", z},
                             {"p", POLYNOMIAL(k, t, sinh_table, z)}, {"e", expand_exp(k, a, -1)});
    return with_sign_of(k, size, x);
}

/* 2 ulp; f64 1e-15. */
static loop_expr expand_cosh(loop_kernel *k, loop_expr x) {
    loop_expr e = expand_exp(k, absolute(k, x), -1);
    return FORMULA(k, loop_type(k, x), "e + 0.25/e", {"e", e});
}

/* ---- log and its kin ---- */

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log(x) = e * ln(2) + log(m): 1 ulp; f64 1e-15. */
static loop_expr expand_log(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x), b = bits_type(t);
    loop_expr small =
        FORMULA(k, t, "x < least", {"x", x}, {"least", number(k, t, 0x1p-126, 0x1p-1022)});
    loop_expr up = number(k, t, 0x1p23, 0x1p52);
    loop_expr scaled = loop_select(k, small, loop_mul(k, x, up), x);
    loop_expr root = bits_const(k, t, 0x3f3504f3, 0x3fe6a09e667f3bcd); /* of sqrt(1/2) */
    loop_expr i = loop_sub(k, to_bits(k, scaled), root);
    loop_expr mask = bits_const(k, t, 0x7fffff, 0xfffffffffffff);
    loop_expr m = loop_bitcast(k, t, loop_add(k, loop_and(k, i, mask), root));
    loop_expr e = loop_make(k, LOOP_SHR, i, loop_const_int(k, b, mantissa_bits(t)), 0);
    e = FORMULA(k, t, "e - select(small, places, 0)", {"e", loop_cast(k, t, e)}, {"small", small},
                {"places", number(k, t, 23, 52)});
    loop_expr f = FORMULA(k, t, "m - 1", {"m", m});
    double high = t == DTYPE_F32 ? 0x1.63p-1 : 0x1.62e42feep-1;
    double low = t == DTYPE_F32 ? -0x1.bd0105c610ca8p-13 : 0x1.a39ef35793c76p-33;
    loop_expr rest = FORMULA(k, t, "fma(e, low, f*f*fma(f, q, -0.5))", {"e", e}, {"f", f},
                             {"q", POLYNOMIAL(k, t, log_table, f)}, {"low", loop_const(k, t, low)});
    loop_expr sum = FORMULA(k, t, "fma(e, high, f + rest)", {"e", e}, {"f", f}, {"rest", rest},
                            {"high", loop_const(k, t, high)});
    return FORMULA(k, t, "select(x > 0, select(x < inf, sum, x), select(x == 0, -inf, nan))",
                   {"x", x}, {"sum", sum});
}

/* log(1 + x) = log(u) * x / (u - 1), u = 1 + x rounded (Kahan): 3 ulp; f64 1e-15. */
static loop_expr expand_log1p(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr u = FORMULA(k, t, "1 + x", {"x", x});
    return FORMULA(k, t, "select(u == 1, x, select(u - 1 == x, l, l*(x / (u - 1))))", {"u", u},
                   {"x", x}, {"l", expand_log(k, u)});
}

/* 4 ulp; f64 1e-15. Far out log(2a), whose square does not overflow. */
static loop_expr expand_asinh(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x);
    loop_expr far = FORMULA(k, t, "a > limit", {"a", a}, {"limit", number(k, t, 1e10, 1e20)});
    loop_expr y =
        FORMULA(k, t, "select(far, a, a + a*a / (1 + sqrt(a*a + 1)))", {"far", far}, {"a", a});
    loop_expr size = FORMULA(k, t, "l + select(far, 0.69314718055994531, 0)", {"far", far},
                             {"l", expand_log1p(k, y)});
    return with_sign_of(k, size, x);
}

static loop_expr expand_acosh(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr d = FORMULA(k, t, "x - 1", {"x", x});
    loop_expr far = FORMULA(k, t, "d > limit", {"d", d}, {"limit", number(k, t, 1e10, 1e20)});
    loop_expr y = FORMULA(k, t, "select(far, d, d + sqrt(d*d + 2*d))", {"far", far}, {"d", d});
    return FORMULA(k, t, "select(x < 1, nan, l + select(far, 0.69314718055994531, 0))",
                   {"far", far}, {"x", x}, {"l", expand_log1p(k, y)});
}

static loop_expr expand_atanh(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x);
    loop_expr l = expand_log1p(k, FORMULA(k, t, "2*a / (1 - a)", {"a", a}));
    return with_sign_of(k, FORMULA(k, t, "0.5*l", {"l", l}), x);
}

/* ---- circular functions ---- */

/* x = n * pi/2 + r, |r| <= pi/4; sine and cosine of r, and n's lowest bits. f32 is reduced in f64.
 * Good to |x| = 2^28 (f32) and 10^6 (f64); from there the error grows with x, and from 2^45 on x
 * counts as zero. */
typedef struct {
    loop_expr sine, cosine, odd, upper; /* bools: n is odd; n is 2 or 3 modulo 4 */
} circle;

static circle reduce_circle(loop_kernel *k, loop_expr x, bool advance) {
    dtype t = loop_type(k, x), w = DTYPE_F64;
    loop_expr y = loop_cast(k, w, x);
    y = FORMULA(k, w, "select(abs(y) < 35184372088832, y, y*0)", {"y", y});
    loop_expr magic = loop_const(k, w, 0x1.8p52);
    loop_expr shifted =
        FORMULA(k, w, "fma(y, 0.63661977236758134, magic)", {"y", y}, {"magic", magic});
    loop_expr n = loop_sub(k, shifted, magic), r;
    if (t == DTYPE_F32) /* pi/2 in 25 and 53 bits */
        r = FORMULA(k, w, "fma(n, -1.58932547735281966916e-08, fma(n, -1.5707963109016418457, y))",
                    {"n", n}, {"y", y});
    else /* in 33, 33 and 53 bits */
        r = FORMULA(k, w,
                    "fma(n, -2.02226624879595063154e-21, fma(n, -6.0771005063039659766e-11, "
                    "fma(n, -1.57079632673412561417, y)))",
                    {"n", n}, {"y", y});
    r = loop_cast(k, t, r);
    loop_expr z = loop_mul(k, r, r);
    loop_expr quarter = loop_cast(
        k, DTYPE_I32,
        loop_and(k, loop_bitcast(k, DTYPE_U64, shifted), loop_const_int(k, DTYPE_U64, 3)));
    if (advance) quarter = FORMULA(k, DTYPE_I32, "q + 1", {"q", quarter});
    return (circle){
        .sine = FORMULA(k, t, "fma(r*z, p, r)", {"r", r}, {"z", z},
                        {"p", POLYNOMIAL(k, t, sin_table, z)}),
        .cosine = FORMULA(k, t, "fma(z*z, p, fma(z, -0.5, 1))", {"z", z},
                          {"p", POLYNOMIAL(k, t, cos_table, z)}),
        .odd = FORMULA(k, DTYPE_I32, "(q & 1) != 0", {"q", quarter}),
        .upper = FORMULA(k, DTYPE_I32, "(q & 2) != 0", {"q", quarter}),
    };
}

/* 2 ulp; f64 1e-15. cos(x) is the sine a quarter turn on. */
static loop_expr expand_sin(loop_kernel *k, loop_expr x, bool advance) {
    circle c = reduce_circle(k, x, advance);
    loop_expr v = loop_select(k, c.odd, c.cosine, c.sine);
    return loop_select(k, c.upper, loop_make(k, LOOP_NEG, v, 0, 0), v);
}

/* 4 ulp; f64 1e-15. */
static loop_expr expand_tan(loop_kernel *k, loop_expr x) {
    circle c = reduce_circle(k, x, false);
    return FORMULA(k, loop_type(k, x), "select(odd, -c, s) / select(odd, s, c)", {"odd", c.odd},
                   {"s", c.sine}, {"c", c.cosine});
}

/* asin(s) for s = |x| up to 1/2, else s = sqrt((1 - |x|) / 2): asin|x| is s's, or pi/2 - 2 times
 * it. */
typedef struct {
    loop_expr far, value;
} arc;

static arc expand_arc(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x);
    loop_expr far = FORMULA(k, t, "a > 0.5", {"a", a});
    loop_expr z = FORMULA(k, t, "select(far, (1 - a)*0.5, a*a)", {"far", far}, {"a", a});
    loop_expr s = FORMULA(k, t, "select(far, sqrt(z), a)", {"far", far}, {"z", z}, {"a", a});
    loop_expr p = POLYNOMIAL(k, t, asin_table, z);
    return (arc){far, FORMULA(k, t, "fma(s*z, p, s)", {"s", s}, {"z", z}, {"p", p})};
}

/* 3 ulp; f64 1e-15. */
static loop_expr expand_asin(loop_kernel *k, loop_expr x) {
    arc r = expand_arc(k, x);
    loop_expr size = FORMULA(k, loop_type(k, x), "select(far, 1.5707963267948966 - 2*s, s)",
                             {"far", r.far}, {"s", r.value});
    return with_sign_of(k, size, x);
}

/* 2 ulp; f64 1e-15. */
static loop_expr expand_acos(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    arc r = expand_arc(k, x);
    return FORMULA(k, t,
                   "select(far, select(x < 0, 3.1415926535897932 - 2*s, 2*s), "
                   "1.5707963267948966 - select(x < 0, -s, s))",
                   {"far", r.far}, {"x", x}, {"s", r.value});
}

/* atan(a) = atan((a - 1) / (a + 1)) + pi/4 = atan(-1 / a) + pi/2: 3 ulp; f64 1e-15. */
static loop_expr expand_atan(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x);
    loop_expr far = FORMULA(k, t, "a > 2.4142135623730950", {"a", a});
    loop_expr middle = FORMULA(k, t, "a > 0.41421356237309505", {"a", a});
    loop_expr y = FORMULA(k, t,
                          "select(far, -1, select(middle, a - 1, a)) / "
                          "select(far, a, select(middle, a + 1, 1))",
                          {"far", far}, {"middle", middle}, {"a", a});
    loop_expr z = loop_mul(k, y, y);
    loop_expr size =
        FORMULA(k, t,
                "select(far, 1.5707963267948966, select(middle, 0.78539816339744831, 0)) + "
                "fma(y*z, p, y)",
                {"far", far}, {"middle", middle}, {"y", y}, {"z", z},
                {"p", POLYNOMIAL(k, t, atan_table, z)});
    return with_sign_of(k, size, x);
}

/* ---- others ---- */

/* x + x p(x^2) up to 1, 1 - exp(q(x)) beyond: 2 ulp; f64 1e-15. */
static loop_expr expand_erf(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    loop_expr a = absolute(k, x), z = loop_mul(k, a, a);
    loop_expr y = FORMULA(k, t, "select(a > top, top, a) - centre", {"a", a},
                          {"top", number(k, t, 3.95, 6)}, {"centre", number(k, t, 2.475, 3.5)});
    loop_expr e = exp_core(k, POLYNOMIAL(k, t, erfc_table, y), 0);
    loop_expr size = FORMULA(k, t, "select(a < 1, fma(a, p, a), 1 - e)", {"a", a}, {"e", e},
                             {"p", POLYNOMIAL(k, t, erf_table, z)});
    return with_sign_of(k, size, x);
}

/* x times the probability that a normal variable is below x (Hendrycks, Gimpel: Gaussian Error
 * Linear Units, 2016). f32: x or 0, less |x| times the tail erfc(|x| / sqrt(2)) / 2, which is one
 * power of two, so that nothing cancels where x is negative: 5.5 ulp above -1, 6.5e-8 below it,
 * nearing 0 with the function up to -6e-31, which it stays at. f64: 1e-15 |x|. */
static loop_expr expand_gelu(loop_kernel *k, loop_expr x) {
    dtype t = loop_type(k, x);
    if (t == DTYPE_F64) {
        loop_expr e = expand_erf(k, FORMULA(k, t, "x*0.70710678118654752", {"x", x}));
        return FORMULA(k, t, "x*fma(0.5, e, 0.5)", {"x", x}, {"e", e});
    }
    loop_expr a = FORMULA(k, t, "select(a > 10, 10, a)", {"a", absolute(k, x)});
    loop_expr tail = exp2_core(k, POLYNOMIAL_F32(k, normal_tail_table, a));
    return FORMULA(k, t, "fma(-a, tail, select(x > 0, x, 0))", {"a", a}, {"tail", tail}, {"x", x});
}

/* Exponents that a few operations do, to 2 ulp. 0: not one of them. */
static loop_expr power_by_constant(loop_kernel *k, loop_expr x, double y) {
    static const struct {
        double y;
        const char *formula;
    } known[] = {{1, "x"},         {2, "x*x"},    {3, "x*x*x"},      {4, "(x*x)*(x*x)"},
                 {0.5, "sqrt(x)"}, {-1, "1 / x"}, {-2, "1 / (x*x)"}, {-0.5, "1 / sqrt(x)"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].y == y) return FORMULA(k, loop_type(k, x), known[i].formula, {"x", x});
    return 0;
}

/* x^y = exp(y log|x|), in f64 for f32: 1 ulp there; f64 (1 + |y log x|) 2e-16. Special cases as C
 * has them. */
static loop_expr expand_pow(loop_kernel *k, loop_expr x, loop_expr y) {
    dtype t = loop_type(k, x), w = DTYPE_F64;
    const loop_node n = *loop_get(k, y);
    loop_expr easy = n.op == LOOP_CONST ? power_by_constant(k, x, n.f) : 0;
    if (easy) return easy;
    loop_expr l = expand_log(k, loop_cast(k, w, absolute(k, x)));
    loop_expr size = loop_cast(k, t, expand_exp(k, loop_mul(k, loop_cast(k, w, y), l), 0));
    loop_expr whole = FORMULA(k, t, "floor(y) == y", {"y", y});
    loop_expr odd = FORMULA(k, t, "whole & floor(y*0.5) != y*0.5", {"whole", whole}, {"y", y});
    loop_expr power = loop_select(k, odd, with_sign_of(k, size, x), size);
    return FORMULA(k, t,
                   "select(y == 0 | x == 1 | x == -1 & abs(y) == inf, 1, "
                   "select(x < 0 & x > -inf & !whole, nan, power))",
                   {"x", x}, {"y", y}, {"whole", whole}, {"power", power});
}

/* C's fmod: exact for |a / b| < 2^29 (f32, done in f64) or 2^53 (f64 with FMA). */
static loop_expr expand_rem(loop_kernel *k, loop_expr a, loop_expr b) {
    dtype t = loop_type(k, a), w = DTYPE_F64;
    loop_expr x = loop_cast(k, w, absolute(k, a)), y = loop_cast(k, w, absolute(k, b));
    loop_expr q = FORMULA(k, w, "trunc(x / y)", {"x", x}, {"y", y});
    loop_expr r = FORMULA(k, w, "fma(-q, y, x)", {"q", q}, {"x", x}, {"y", y});
    /* A quotient that was rounded up or down to an integer is one off. */
    r = FORMULA(k, w, "select(r < 0, r + y, select(r >= y, r - y, r))", {"r", r}, {"y", y});
    r = FORMULA(k, w, "select(y == inf & x < inf, x, select(r < 0 | r >= y, 0, r))", {"r", r},
                {"x", x}, {"y", y});
    return with_sign_of(k, loop_cast(k, t, r), a);
}

loop_expr loop_expand_function(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    dtype t = loop_type(k, a);
    assert(t == DTYPE_F32 || t == DTYPE_F64);
    switch (op) {
    case LOOP_EXP: return expand_exp(k, a, 0);
    case LOOP_EXP2: return expand_exp2(k, a);
    case LOOP_EXPM1: return expand_expm1(k, a);
    case LOOP_LOG: return expand_log(k, a);
    case LOOP_LOG1P: return expand_log1p(k, a);
    case LOOP_SIN: return expand_sin(k, a, false);
    case LOOP_COS: return expand_sin(k, a, true);
    case LOOP_TAN: return expand_tan(k, a);
    case LOOP_ASIN: return expand_asin(k, a);
    case LOOP_ACOS: return expand_acos(k, a);
    case LOOP_ATAN: return expand_atan(k, a);
    case LOOP_SINH: return expand_sinh(k, a);
    case LOOP_COSH: return expand_cosh(k, a);
    case LOOP_TANH: return expand_tanh(k, a);
    case LOOP_ASINH: return expand_asinh(k, a);
    case LOOP_ACOSH: return expand_acosh(k, a);
    case LOOP_ATANH: return expand_atanh(k, a);
    case LOOP_ERF: return expand_erf(k, a);
    case LOOP_GELU: return expand_gelu(k, a);
    case LOOP_SIGMOID: return expand_sigmoid(k, a);
    case LOOP_POW: return expand_pow(k, a, b);
    case LOOP_REM: return expand_rem(k, a, b);
    case LOOP_FLOORDIV: return FORMULA(k, t, "floor(a / b)", {"a", a}, {"b", b});
    default: assert(op == LOOP_MOD); return FORMULA(k, t, "a - b*floor(a / b)", {"a", a}, {"b", b});
    }
}
