/* loop_simplify.c: the constructors of operations. They fold constants, apply identities that are
 * exact in the type at hand (for floats: to the bit, NaN payloads aside), and hand i64 index
 * arithmetic to loop_linear.c. The range of an integer is found once, when its node is made. */
#include "ir/loop_internal.h"

#include <assert.h>
#include <math.h>

/* ---- ranges ---- */

static void type_range(dtype t, int64_t *low, int64_t *high) {
    int bits = dtype_bits(t);
    *low = INT64_MIN;
    *high = INT64_MAX;
    if (bits >= 64 || dtype_is_float(t)) return;
    bool is_signed = dtype_class_of(t) == DTYPE_CLASS_INT;
    *low = is_signed ? -((int64_t)1 << (bits - 1)) : 0;
    *high = ((int64_t)1 << (is_signed ? bits - 1 : bits)) - 1;
}

typedef struct {
    int64_t low, high;
} span;

static int64_t clamp_overflow(bool overflow, int64_t value, bool negative) {
    return !overflow ? value : negative ? INT64_MIN : INT64_MAX;
}

static span span_add(span a, span b) {
    span r;
    bool under = __builtin_add_overflow(a.low, b.low, &r.low);
    bool over = __builtin_add_overflow(a.high, b.high, &r.high);
    r.low = a.low == INT64_MIN || b.low == INT64_MIN ? INT64_MIN
                                                     : clamp_overflow(under, r.low, a.low < 0);
    r.high = a.high == INT64_MAX || b.high == INT64_MAX ? INT64_MAX
                                                        : clamp_overflow(over, r.high, a.high < 0);
    return r;
}

static int64_t negate(int64_t v) {
    return v == INT64_MIN ? INT64_MAX : v == INT64_MAX ? INT64_MIN : -v;
}

static span span_negate(span a) {
    return (span){negate(a.high), negate(a.low)};
}

static span span_multiply(span a, span b) {
    int64_t x[] = {a.low, a.low, a.high, a.high}, y[] = {b.low, b.high, b.low, b.high};
    span r = {INT64_MAX, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        int64_t p;
        bool over = __builtin_mul_overflow(x[i], y[i], &p);
        p = clamp_overflow(over, p, (x[i] < 0) != (y[i] < 0));
        if (p < r.low) r.low = p;
        if (p > r.high) r.high = p;
    }
    return r;
}

static int64_t floor_quotient(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* By divisors of at least one; otherwise anything. */
static span span_divide(span a, span b) {
    if (b.low < 1)
        return a.low >= 0 && b.low >= 0 ? (span){0, a.high} : (span){INT64_MIN, INT64_MAX};
    span r = {floor_quotient(a.low, a.low < 0 ? b.low : b.high),
              floor_quotient(a.high, a.high < 0 ? b.high : b.low)};
    if (a.low == INT64_MIN) r.low = INT64_MIN;
    if (a.high == INT64_MAX) r.high = INT64_MAX;
    return r;
}

static span span_modulo(span a, span b) {
    if (b.low < 0) return (span){INT64_MIN, INT64_MAX};
    int64_t whole = b.low > 0 && b.low == b.high && a.low >= 0 ? a.low - a.low % b.low : -1;
    if (whole >= 0 && a.high - whole < b.low) return (span){a.low - whole, a.high - whole};
    span r = {0, b.high > 0 ? b.high - 1 : 0};
    if (a.low >= 0 && a.high < r.high) r.high = a.high;
    return r;
}

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t greater(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The span of an exact result; the whole of int64_t where nothing is known. */
static span op_span(loop_op op, span a, span b, span c) {
    switch (op) {
    case LOOP_ADD: return span_add(a, b);
    case LOOP_SUB: return span_add(a, span_negate(b));
    case LOOP_MUL: return span_multiply(a, b);
    case LOOP_NEG: return span_negate(a);
    case LOOP_FLOORDIV: return span_divide(a, b);
    case LOOP_MOD: return span_modulo(a, b);
    case LOOP_DIV: /* equal to the floor ones where nothing is negative */
        return a.low >= 0 && b.low >= 0 ? span_divide(a, b) : (span){INT64_MIN, INT64_MAX};
    case LOOP_REM:
        return a.low >= 0 && b.low >= 0 ? span_modulo(a, b) : (span){INT64_MIN, INT64_MAX};
    case LOOP_MIN: return (span){lesser(a.low, b.low), lesser(a.high, b.high)};
    case LOOP_MAX: return (span){greater(a.low, b.low), greater(a.high, b.high)};
    case LOOP_SELECT: return (span){lesser(b.low, c.low), greater(b.high, c.high)};
    case LOOP_AND:
        if (a.low >= 0) return (span){0, b.low >= 0 ? lesser(a.high, b.high) : a.high};
        return b.low >= 0 ? (span){0, b.high} : (span){INT64_MIN, INT64_MAX};
    case LOOP_SHR: return a.low >= 0 ? (span){0, a.high} : (span){INT64_MIN, INT64_MAX};
    default: return (span){INT64_MIN, INT64_MAX};
    }
}

static bool may_wrap(loop_op op) {
    return op == LOOP_ADD || op == LOOP_SUB || op == LOOP_MUL || op == LOOP_NEG || op == LOOP_DIV ||
           op == LOOP_FLOORDIV || op == LOOP_ABS || op == LOOP_FMA || op == LOOP_SHL;
}

static span span_of(const loop_kernel *k, const loop_node *n, uint32_t i) {
    if (i >= n->arg_count) return (span){0, 0};
    const expr_info *x = loop_info(k, n->args[i]);
    return (span){x->low, x->high};
}

static void leaf_range(const loop_kernel *k, const loop_node *n, expr_info *info) {
    if (n->op == LOOP_CONST && !dtype_is_float(n->type)) {
        info->low = info->high = n->i;
        info->index = n->type == DTYPE_I64;
    } else if (n->op == LOOP_DIM) {
        dim_symbol_bounds(k->dims, (dim_symbol)n->i, &info->low, &info->high);
        info->index = true;
    } else if (n->op == LOOP_VAR) {
        loop_expr extent = k->vars.data[n->i].extent;
        info->low = 0;
        if (extent) info->high = greater(loop_info(k, extent)->high, 1);
        if (info->high < INT64_MAX) info->high--;
        info->index = true;
    }
}

void loop_find_range(const loop_kernel *k, const loop_node *n, expr_info *info) {
    type_range(n->type, &info->low, &info->high);
    if (n->op <= LOOP_VAR) {
        leaf_range(k, n, info);
        return;
    }
    if (dtype_is_float(n->type) || n->op == LOOP_LOAD || n->op == LOOP_BITCAST) return;
    span whole = {info->low, info->high};
    if (n->op == LOOP_CAST) {
        dtype from = loop_type(k, n->args[0]);
        span x = span_of(k, n, 0);
        if (!dtype_is_float(from) && from != DTYPE_U64 && n->type != DTYPE_U64 &&
            x.low >= whole.low && x.high <= whole.high) {
            info->low = x.low;
            info->high = x.high;
        }
        return;
    }
    if (n->type == DTYPE_U64 || n->type == DTYPE_BOOL) return;
    bool all_index = true, all_tame = true;
    for (uint32_t i = n->op == LOOP_SELECT; i < n->arg_count; i++) {
        all_index &= loop_info(k, n->args[i])->index;
        all_tame &= loop_is_tame(k, n->args[i]);
    }
    if (may_wrap(n->op) && !all_tame) return;
    span r = op_span(n->op, span_of(k, n, 0), span_of(k, n, 1), span_of(k, n, 2));
    bool fits = r.low >= whole.low && r.high <= whole.high;
    bool infinite = r.low == INT64_MIN || r.high == INT64_MAX;
    if (n->type == DTYPE_I64) info->index = all_index && may_wrap(n->op);
    if (!fits || (infinite && may_wrap(n->op) && !info->index)) return;
    info->low = r.low;
    info->high = r.high;
    if (n->type == DTYPE_I64 && !may_wrap(n->op) && n->op != LOOP_AND && n->op != LOOP_SHR)
        info->index = all_index || (r.low >= -DIM_MAX && r.high <= DIM_MAX);
}

/* What a comparison of integers gives: 0, 1 or both. */
static span compare_spans(loop_op op, span a, span b) {
    bool apart = a.high < b.low || b.high < a.low;
    bool same = a.low == a.high && b.low == b.high && a.low == b.low;
    switch (op) {
    case LOOP_EQ: return (span){same, !apart};
    case LOOP_NE: return (span){apart, !same};
    case LOOP_LT: return (span){a.high < b.low, a.low < b.high};
    default: return (span){a.high <= b.low, a.low <= b.high};
    }
}

static span bool_span(loop_op op, span a, span b) {
    switch (op) {
    case LOOP_AND: return (span){a.low & b.low, a.high & b.high};
    case LOOP_OR: return (span){a.low | b.low, a.high | b.high};
    case LOOP_NOT: return (span){!a.high, !a.low};
    default: return (span){0, 1};
    }
}

/* A variable that has one value. Expressions share parts, so that their trees may be far larger
 * than they are: beyond `left` nodes only what holds for all values is said. */
typedef struct {
    const loop_kernel *k;
    loop_var var;
    int64_t value;
    int left;
} fixed_var;

static span span_at(fixed_var *f, loop_expr e) {
    const loop_kernel *k = f->k;
    const loop_node *n = loop_get(k, e);
    span known = {loop_info(k, e)->low, loop_info(k, e)->high}, args[3] = {{0, 0}};
    if (n->type == DTYPE_BOOL) known = n->op == LOOP_CONST ? (span){n->i, n->i} : (span){0, 1};
    if (n->op == LOOP_VAR && n->i == f->var) return (span){f->value, f->value};
    if (!(loop_info(k, e)->vars >> (f->var % 64) & 1) || n->op <= LOOP_LOAD ||
        (n->type != DTYPE_I64 && n->type != DTYPE_BOOL) || f->left-- <= 0)
        return known;
    dtype of = loop_type(k, n->args[n->arg_count - 1]);
    if (of != DTYPE_I64 && of != DTYPE_BOOL) return known;
    for (uint32_t i = 0; i < n->arg_count; i++) args[i] = span_at(f, n->args[i]);
    if (n->type == DTYPE_BOOL)
        return of == DTYPE_BOOL ? bool_span(n->op, args[0], args[1])
                                : compare_spans(n->op, args[0], args[1]);
    if (n->op == LOOP_SELECT && args[0].low == args[0].high) return args[args[0].low ? 1 : 2];
    if (may_wrap(n->op) && !loop_is_tame(k, e)) return known;
    span r = op_span(n->op, args[0], args[1], args[2]);
    return (span){greater(r.low, known.low), lesser(r.high, known.high)};
}

void loop_range_at(const loop_kernel *k, loop_expr e, loop_var v, int64_t value, int64_t *low,
                   int64_t *high) {
    enum { MOST_NODES = 2000 };
    fixed_var f = {k, v, value, MOST_NODES};
    span r = span_at(&f, e);
    *low = r.low;
    *high = r.high;
}

/* ---- helpers ---- */

static bool is_const(const loop_kernel *k, loop_expr e) {
    return loop_get(k, e)->op == LOOP_CONST;
}

static loop_number number_of(const loop_kernel *k, loop_expr e) {
    const loop_node *n = loop_get(k, e);
    return dtype_is_float(n->type) ? (loop_number){.f = n->f} : (loop_number){.i = n->i};
}

static loop_expr make_const(loop_kernel *k, dtype t, loop_number v) {
    return dtype_is_float(t) ? loop_const(k, t, v.f) : loop_const_int(k, t, v.i);
}

static bool is_number(const loop_kernel *k, loop_expr e, int64_t value) {
    const loop_node *n = loop_get(k, e);
    if (n->op != LOOP_CONST) return false;
    return dtype_is_float(n->type) ? n->f == (double)value && (value || !signbit(n->f))
                                   : n->i == loop_wrap_int(n->type, value);
}

static bool has_op(const loop_kernel *k, loop_expr e, loop_op op) {
    return loop_get(k, e)->op == op;
}

static loop_expr arg(const loop_kernel *k, loop_expr e, int i) {
    return loop_get(k, e)->args[i];
}

dtype loop_result_type(const loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    if (op >= LOOP_EQ && op <= LOOP_LE) return DTYPE_BOOL;
    if (op == LOOP_DOT4) return DTYPE_I32;
    return loop_type(k, op == LOOP_SELECT ? b : a);
}

/* ---- i64 ---- */

static loop_expr simplify_index(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    int64_t c;
    switch (op) {
    case LOOP_ADD: return linear_combine(k, 1, a, 1, b);
    case LOOP_SUB: return linear_combine(k, 1, a, -1, b);
    case LOOP_NEG: return linear_combine(k, -1, a, 0, 0);
    case LOOP_MUL: return linear_multiply(k, a, b);
    case LOOP_FLOORDIV: return linear_floordiv(k, a, b);
    case LOOP_MOD: return linear_mod(k, a, b);
    case LOOP_DIV:
    case LOOP_REM:
        if (loop_info(k, a)->low < 0 || loop_info(k, b)->low < 0) return 0;
        return op == LOOP_DIV ? linear_floordiv(k, a, b) : linear_mod(k, a, b);
    case LOOP_MIN:
    case LOOP_MAX:
        if (linear_below(k, a, 0, b)) return op == LOOP_MIN ? a : b;
        if (linear_below(k, b, 0, a)) return op == LOOP_MIN ? b : a;
        return 0;
    case LOOP_SHL:
        if (loop_is_int(k, b, &c) && c >= 0 && c < 63)
            return linear_combine(k, (int64_t)1 << c, a, 0, 0);
        return 0;
    case LOOP_SHR:
        if (loop_is_int(k, b, &c) && c >= 0 && c < 62 && loop_is_tame(k, a))
            return linear_floordiv(k, a, loop_int(k, (int64_t)1 << c));
        return 0;
    case LOOP_ABS: return loop_info(k, a)->low >= 0 ? a : 0;
    case LOOP_EQ:
    case LOOP_NE:
    case LOOP_LT:
    case LOOP_LE: return linear_compare(k, op, a, b);
    default: return 0;
    }
}

/* ---- all integers ---- */

/* Operations on one operand twice. */
static loop_expr simplify_same(loop_kernel *k, loop_op op, dtype t, loop_expr a) {
    bool is_float = dtype_is_float(loop_type(k, a));
    switch (op) {
    case LOOP_MIN:
    case LOOP_MAX:
    case LOOP_AND:
    case LOOP_OR: return a;
    case LOOP_SUB:
    case LOOP_XOR: return is_float ? 0 : loop_const_int(k, t, 0);
    case LOOP_LT: return loop_const_int(k, DTYPE_BOOL, 0);
    case LOOP_NE: return is_float ? 0 : loop_const_int(k, DTYPE_BOOL, 0);
    case LOOP_EQ:
    case LOOP_LE: return is_float ? 0 : loop_const_int(k, DTYPE_BOOL, 1);
    default: return 0;
    }
}

/* Comparisons and extremes of integers that their ranges decide. */
static loop_expr decide_by_range(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    const expr_info *x = loop_info(k, a), *y = loop_info(k, b);
    if (loop_type(k, a) == DTYPE_U64) return 0;
    bool below = x->high<y->low, above = x->low> y->high;
    bool not_above = x->high <= y->low, not_below = x->low >= y->high;
    int known = -1;
    switch (op) {
    case LOOP_MIN: return not_above ? a : not_below ? b : 0;
    case LOOP_MAX: return not_above ? b : not_below ? a : 0;
    case LOOP_LT: known = below ? 1 : not_below ? 0 : -1; break;
    case LOOP_LE: known = not_above ? 1 : above ? 0 : -1; break;
    case LOOP_EQ: known = below || above ? 0 : -1; break;
    case LOOP_NE: known = below || above ? 1 : -1; break;
    default: break;
    }
    return known < 0 ? 0 : loop_const_int(k, DTYPE_BOOL, known);
}

static loop_expr simplify_bool(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    bool zero = is_number(k, b, 0), one = is_number(k, b, 1);
    switch (op) {
    case LOOP_AND: return one ? a : zero ? b : 0;
    case LOOP_OR: return zero ? a : one ? b : 0;
    case LOOP_XOR:
    case LOOP_NE: return zero ? a : one ? loop_make(k, LOOP_NOT, a, 0, 0) : 0;
    case LOOP_EQ: return one ? a : zero ? loop_make(k, LOOP_NOT, a, 0, 0) : 0;
    default: return 0;
    }
}

static loop_expr simplify_int(loop_kernel *k, loop_op op, dtype t, loop_expr a, loop_expr b) {
    if (loop_type(k, a) == DTYPE_BOOL) return simplify_bool(k, op, a, b);
    bool zero = is_number(k, b, 0), one = is_number(k, b, 1);
    switch (op) {
    case LOOP_ADD:
    case LOOP_SUB:
    case LOOP_OR:
    case LOOP_XOR:
    case LOOP_SHL:
    case LOOP_SHR: return zero ? a : 0;
    case LOOP_MUL: return one ? a : zero ? b : 0;
    case LOOP_DIV:
    case LOOP_FLOORDIV: return one ? a : 0;
    case LOOP_REM:
    case LOOP_MOD: return one ? loop_const_int(k, t, 0) : 0;
    case LOOP_AND: return zero ? b : is_number(k, b, -1) ? a : 0;
    default: return decide_by_range(k, op, a, b);
    }
}

/* min(min(x, 3), 5) is min(x, 3). */
static loop_expr merge_extremes(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    if ((op != LOOP_MIN && op != LOOP_MAX) || !is_const(k, b) || !has_op(k, a, op) ||
        !is_const(k, arg(k, a, 1)))
        return 0;
    loop_expr limit = loop_make(k, op, arg(k, a, 1), b, 0);
    return loop_make(k, op, arg(k, a, 0), limit, 0);
}

static bool commutes(loop_op op) {
    return op == LOOP_ADD || op == LOOP_MUL || op == LOOP_MIN || op == LOOP_MAX || op == LOOP_AND ||
           op == LOOP_OR || op == LOOP_XOR || op == LOOP_EQ || op == LOOP_NE;
}

/* ---- floats ---- */

/* Whether 1 / v is exact and normal in t, so that x / v is x * (1 / v). */
static bool has_exact_reciprocal(dtype t, double v) {
    int e;
    return v != 0 && isfinite(v) && fabs(frexp(v, &e)) == 0.5 &&
           (t == DTYPE_F64 ? e > -1000 && e < 1000 : t == DTYPE_F32 && e > -120 && e < 120);
}

static loop_expr simplify_float(loop_kernel *k, loop_op op, dtype t, loop_expr a, loop_expr b) {
    bool one = b && is_number(k, b, 1);
    switch (op) {
    case LOOP_ADD: /* x + -0 is x; x + 0 is not for x = -0 */
        if (is_const(k, b) && number_of(k, b).f == 0 && signbit(number_of(k, b).f)) return a;
        if (has_op(k, b, LOOP_NEG)) return loop_make(k, LOOP_SUB, a, arg(k, b, 0), 0);
        return 0;
    case LOOP_SUB:
        if (is_number(k, b, 0)) return a;
        if (has_op(k, b, LOOP_NEG)) return loop_make(k, LOOP_ADD, a, arg(k, b, 0), 0);
        return 0;
    case LOOP_MUL:
        if (one) return a;
        if (is_number(k, b, -1)) return loop_make(k, LOOP_NEG, a, 0, 0);
        if (has_op(k, a, LOOP_NEG) && has_op(k, b, LOOP_NEG))
            return loop_make(k, LOOP_MUL, arg(k, a, 0), arg(k, b, 0), 0);
        return 0;
    case LOOP_DIV:
        if (one) return a;
        if (is_const(k, b) && has_exact_reciprocal(t, number_of(k, b).f))
            return loop_make(k, LOOP_MUL, a, loop_const(k, t, 1 / number_of(k, b).f), 0);
        return 0;
    case LOOP_NEG: return has_op(k, a, LOOP_NEG) ? arg(k, a, 0) : 0;
    case LOOP_ABS:
        if (has_op(k, a, LOOP_NEG)) return loop_make(k, LOOP_ABS, arg(k, a, 0), 0, 0);
        return has_op(k, a, LOOP_ABS) ? a : 0;
    case LOOP_FLOOR:
    case LOOP_CEIL:
    case LOOP_TRUNC:
    case LOOP_ROUND: {
        loop_op inner = loop_get(k, a)->op;
        return inner >= LOOP_FLOOR && inner <= LOOP_ROUND ? a : 0;
    }
    default: return 0;
    }
}

/* ---- the constructors ---- */

static loop_expr simplify_select(loop_kernel *k, loop_expr c, loop_expr a, loop_expr b) {
    if (is_const(k, c)) return number_of(k, c).i ? a : b;
    if (a == b) return a;
    if (has_op(k, c, LOOP_NOT)) return loop_make(k, LOOP_SELECT, arg(k, c, 0), b, a);
    if (loop_type(k, a) == DTYPE_BOOL) {
        if (is_number(k, a, 1)) return loop_make(k, LOOP_OR, c, b, 0);
        if (is_number(k, b, 0)) return loop_make(k, LOOP_AND, c, a, 0);
    }
    return 0;
}

static loop_expr simplify_unary(loop_kernel *k, loop_op op, dtype t, loop_expr a) {
    if (op == LOOP_NOT && has_op(k, a, LOOP_NOT)) return arg(k, a, 0);
    if (op == LOOP_NOT && t == DTYPE_BOOL) {
        const loop_node n = *loop_get(k, a);
        if (n.op == LOOP_EQ || n.op == LOOP_NE)
            return loop_make(k, n.op == LOOP_EQ ? LOOP_NE : LOOP_EQ, n.args[0], n.args[1], 0);
        bool floats = (n.op == LOOP_LT || n.op == LOOP_LE) &&
                      dtype_is_float(loop_type(k, n.args[0])); /* NaN: not the opposite */
        if ((n.op == LOOP_LT || n.op == LOOP_LE) && !floats)
            return loop_make(k, n.op == LOOP_LT ? LOOP_LE : LOOP_LT, n.args[1], n.args[0], 0);
        return 0;
    }
    if (dtype_is_float(t)) return simplify_float(k, op, t, a, 0);
    if (t == DTYPE_I64) return simplify_index(k, op, a, 0);
    if (op == LOOP_NEG && has_op(k, a, LOOP_NEG)) return arg(k, a, 0);
    bool rounds = op == LOOP_FLOOR || op == LOOP_CEIL || op == LOOP_TRUNC || op == LOOP_ROUND;
    return rounds || (op == LOOP_ABS && dtype_class_of(t) != DTYPE_CLASS_INT) ? a : 0;
}

loop_expr loop_make(loop_kernel *k, loop_op op, loop_expr a, loop_expr b, loop_expr c) {
    assert(op >= LOOP_ADD && op < LOOP_OP_COUNT && op != LOOP_CAST && op != LOOP_BITCAST);
    int arity = loop_ops[op].arity;
    assert(a && (arity < 2 || b) && (arity < 3 || c));
    dtype t = loop_result_type(k, op, a, b), of = op == LOOP_SELECT ? t : loop_type(k, a);
    assert(op == LOOP_SELECT
               ? loop_type(k, a) == DTYPE_BOOL && loop_type(k, c) == of
               : (arity < 2 || loop_type(k, b) == of) && (arity < 3 || loop_type(k, c) == of));
    if (is_const(k, a) && (arity < 2 || is_const(k, b)) && (arity < 3 || is_const(k, c)) &&
        op != LOOP_SELECT) {
        loop_number zero = {.i = 0};
        loop_number v = loop_apply(op, of, number_of(k, a), b ? number_of(k, b) : zero,
                                   c ? number_of(k, c) : zero);
        return make_const(k, t, v);
    }
    loop_expr e = 0;
    if (op == LOOP_SELECT) {
        e = simplify_select(k, a, b, c);
    } else if (arity == 1) {
        e = simplify_unary(k, op, t, a);
    } else if (arity == 2) {
        if (commutes(op) && is_const(k, a)) {
            loop_expr swap = a;
            a = b;
            b = swap;
        }
        if (a == b) e = simplify_same(k, op, t, a);
        if (!e) e = merge_extremes(k, op, a, b);
        if (!e && of == DTYPE_I64) e = simplify_index(k, op, a, b);
        if (!e && !dtype_is_float(of)) e = simplify_int(k, op, t, a, b);
        if (!e && dtype_is_float(of)) e = simplify_float(k, op, of, a, b);
    }
    return e ? e : loop_intern_op(k, op, t, a, b, c);
}

static bool is_wider(dtype wide, dtype narrow) {
    bool wide_float = dtype_is_float(wide), narrow_float = dtype_is_float(narrow);
    if (wide_float && narrow_float)
        return dtype_bits(wide) > dtype_bits(narrow) && (wide == DTYPE_F64 || wide == DTYPE_F32);
    if (narrow_float) return false;
    if (wide_float) return dtype_bits(narrow) <= 16 && (wide == DTYPE_F64 || wide == DTYPE_F32);
    bool wide_signed = dtype_class_of(wide) == DTYPE_CLASS_INT;
    bool narrow_signed = dtype_class_of(narrow) == DTYPE_CLASS_INT;
    if (wide_signed == narrow_signed) return dtype_bits(wide) >= dtype_bits(narrow);
    return wide_signed && dtype_bits(wide) > dtype_bits(narrow);
}

/* A float that became an integer of type t, and a float again: itself, but plus zero for minus
 * zero; 0 if more than that is lost. */
static loop_expr kept(loop_kernel *k, loop_expr real, dtype t) {
    dtype f = loop_type(k, real);
    if (!dtype_is_float(f) || !loop_fits(k, real, t)) return 0;
    loop_real r = loop_real_of(k, real);
    if (!r.whole) return 0;
    return r.minus_zero ? loop_make(k, LOOP_ADD, real, loop_const(k, f, 0), 0) : real;
}

/* Zero of either sign, which matters to no integer. */
static bool is_zero(const loop_kernel *k, loop_expr e) {
    const loop_node *n = loop_get(k, e);
    return n->op == LOOP_CONST && dtype_is_float(n->type) && n->f == 0;
}

loop_expr loop_cast(loop_kernel *k, dtype t, loop_expr a) {
    dtype from = loop_type(k, a);
    if (t == from) return a;
    if (is_const(k, a)) return make_const(k, t, loop_convert(t, from, number_of(k, a)));
    if (has_op(k, a, LOOP_CAST)) {
        /* What was widened without loss may be converted from where it came. */
        loop_expr inner = arg(k, a, 0);
        if (is_wider(from, loop_type(k, inner))) return loop_cast(k, t, inner);
        loop_expr same = t == loop_type(k, inner) ? kept(k, inner, from) : 0;
        if (same) return same;
    }
    if (dtype_is_integer(t) && has_op(k, a, LOOP_ADD) && is_zero(k, arg(k, a, 1)))
        return loop_cast(k, t, arg(k, a, 0));
    if (t == DTYPE_BOOL) {
        loop_expr zero = dtype_is_float(from) ? loop_const(k, from, 0) : loop_const_int(k, from, 0);
        return loop_make(k, LOOP_NE, a, zero, 0);
    }
    return loop_intern_op(k, LOOP_CAST, t, a, 0, 0);
}

loop_expr loop_bitcast(loop_kernel *k, dtype t, loop_expr a) {
    dtype from = loop_type(k, a);
    assert(dtype_bits(t) == dtype_bits(from));
    if (t == from) return a;
    if (has_op(k, a, LOOP_BITCAST)) return loop_bitcast(k, t, arg(k, a, 0));
    if (is_const(k, a)) return make_const(k, t, loop_decode(t, loop_encode(from, number_of(k, a))));
    return loop_intern_op(k, LOOP_BITCAST, t, a, 0, 0);
}
