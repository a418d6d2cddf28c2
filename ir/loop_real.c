/* loop_real.c: what is known of a float before it is computed: its range, whether it can be a NaN,
 * whether it is whole. Conversions to integers and back are cheaper for it. */
#include "ir/loop_internal.h"

#include <math.h>

enum { DEPTH = 16, WHOLE_BITS = 24 };

static const loop_real anything = {-INFINITY, INFINITY, true, false, true};

static double rounded(dtype t, double v) {
    return t == DTYPE_F32 ? (double)(float)v : v;
}

/* Whole numbers of this size are exact, and so are their sums. */
static bool is_small(loop_real r) {
    return fabs(r.low) < ldexp(1, WHOLE_BITS) && fabs(r.high) < ldexp(1, WHOLE_BITS);
}

static bool is_finite(loop_real r) {
    return isfinite(r.low) && isfinite(r.high);
}

static loop_real real_of(const loop_kernel *k, loop_expr e, int depth);

static loop_real constant(double v) {
    return isnan(v) ? anything : (loop_real){v, v, false, v == trunc(v), v == 0 && signbit(v)};
}

static loop_real integer(const loop_kernel *k, loop_expr e, dtype to) {
    int64_t low, high;
    if (dtype_is_float(loop_type(k, e))) return anything;
    loop_range(k, e, &low, &high);
    loop_real r = {rounded(to, (double)low), rounded(to, (double)high), false, true, false};
    r.whole = is_small(r);
    return r;
}

/* select(a < b, b, a) is the greater, and select(a < b, a, b) the lesser; where one of them is a
 * NaN, the last operand. */
static loop_real chosen(const loop_kernel *k, const loop_node *n, int depth) {
    const loop_node c = *loop_get(k, n->args[0]);
    bool greater = c.op == LOOP_LT && n->args[1] == c.args[1] && n->args[2] == c.args[0];
    bool lesser = c.op == LOOP_LT && n->args[1] == c.args[0] && n->args[2] == c.args[1];
    if (!greater && !lesser) return anything;
    loop_real x = real_of(k, n->args[1], depth), last = real_of(k, n->args[2], depth);
    loop_real r = {fmin(x.low, last.low), fmax(x.high, last.high), last.nan, x.whole && last.whole,
                   x.minus_zero || last.minus_zero};
    if (greater) r.low = x.nan ? last.low : fmax(x.low, last.low);
    if (lesser) r.high = x.nan ? last.high : fmin(x.high, last.high);
    return r;
}

static loop_real extreme(loop_op op, loop_real a, loop_real b) {
    bool max = op == LOOP_MAX;
    return (loop_real){max ? fmax(a.low, b.low) : fmin(a.low, b.low),
                       max ? fmax(a.high, b.high) : fmin(a.high, b.high), a.nan || b.nan,
                       a.whole && b.whole, a.minus_zero || b.minus_zero};
}

static loop_real sum(dtype t, loop_op op, loop_real a, loop_real b) {
    if (!is_finite(a) || !is_finite(b)) return anything;
    loop_real r = {rounded(t, op == LOOP_ADD ? a.low + b.low : a.low - b.high),
                   rounded(t, op == LOOP_ADD ? a.high + b.high : a.high - b.low), a.nan || b.nan,
                   false, a.minus_zero && (op == LOOP_SUB || b.minus_zero)};
    r.whole = a.whole && b.whole && is_small(a) && is_small(b) && is_small(r);
    return r;
}

/* a over one number. */
static loop_real quotient(dtype t, loop_real a, loop_real b) {
    if (b.nan || b.low != b.high || !(b.low > 0) || !is_finite(a)) return anything;
    return (loop_real){rounded(t, a.low / b.low), rounded(t, a.high / b.low), a.nan, false, true};
}

static loop_real product(dtype t, loop_real a, loop_real b) {
    if (b.nan || b.low != b.high || !(b.low > 0) || !is_finite(a)) return anything;
    return (loop_real){rounded(t, a.low * b.low), rounded(t, a.high * b.low), a.nan, false, true};
}

static loop_real whole(loop_op op, loop_real a) {
    double (*f)(double) = op == LOOP_FLOOR   ? floor
                          : op == LOOP_CEIL  ? ceil
                          : op == LOOP_TRUNC ? trunc
                                             : nearbyint;
    return (loop_real){f(a.low), f(a.high), a.nan, true, a.minus_zero || a.low < 0};
}

static loop_real real_of(const loop_kernel *k, loop_expr e, int depth) {
    const loop_node n = *loop_get(k, e);
    if (depth == 0 || (n.type != DTYPE_F32 && n.type != DTYPE_F64)) return anything;
    if (n.op == LOOP_CONST) return constant(n.f);
    if (n.op == LOOP_CAST) return integer(k, n.args[0], n.type);
    if (n.op == LOOP_SELECT) return chosen(k, &n, depth - 1);
    bool binary = n.op == LOOP_ADD || n.op == LOOP_SUB || n.op == LOOP_DIV || n.op == LOOP_MUL ||
                  n.op == LOOP_MIN || n.op == LOOP_MAX;
    bool rounds = n.op >= LOOP_FLOOR && n.op <= LOOP_ROUND;
    if (!binary && !rounds) return anything;
    loop_real a = real_of(k, n.args[0], depth - 1);
    loop_real b = binary ? real_of(k, n.args[1], depth - 1) : anything;
    switch (n.op) {
    case LOOP_ADD:
    case LOOP_SUB: return sum(n.type, n.op, a, b);
    case LOOP_DIV: return quotient(n.type, a, b);
    case LOOP_MUL: return product(n.type, a, b);
    case LOOP_MIN:
    case LOOP_MAX: return extreme(n.op, a, b);
    default: return whole(n.op, a);
    }
}

loop_real loop_real_of(const loop_kernel *k, loop_expr e) {
    return real_of(k, e, DEPTH);
}

bool loop_fits(const loop_kernel *k, loop_expr e, dtype t) {
    if (!dtype_is_integer(t) || dtype_bits(t) > WHOLE_BITS) return false;
    bool has_sign = dtype_class_of(t) == DTYPE_CLASS_INT;
    double low = has_sign ? -ldexp(1, dtype_bits(t) - 1) : 0;
    double high = ldexp(1, dtype_bits(t) - has_sign) - 1;
    loop_real r = loop_real_of(k, e);
    return !r.nan && r.low >= low && r.high <= high;
}
