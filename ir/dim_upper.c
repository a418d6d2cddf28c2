/* dim_upper.c: what a dimension can be at most, as an expression over some of its symbols: memory
 * is planned before the others are known. */
#include "ir/dim.h"

typedef struct {
    dim_table *t;
    const bool *kept;
} estimate;

static bool holds_others(const estimate *e, dim d) {
    if (dim_op_of(e->t, d) == DIM_CONST) return false;
    if (dim_op_of(e->t, d) == DIM_SYMBOL) return !e->kept[dim_symbol_of(e->t, d)];
    return holds_others(e, dim_operand(e->t, d, 0)) || holds_others(e, dim_operand(e->t, d, 1));
}

static dim lower(const estimate *e, dim d);

static dim upper_symbol(const estimate *e, dim_symbol s) {
    int64_t low, high;
    dim limit = dim_symbol_limit(e->t, s);
    dim_symbol_bounds(e->t, s, &low, &high);
    dim bound = dim_const(e->t, high);
    return limit ? dim_min(e->t, dim_upper(e->t, limit, e->kept), bound) : bound;
}

/* A product from above, or from below: where a factor may be negative only its bounds are known. */
static dim product(const estimate *e, dim d, bool up) {
    dim a = dim_operand(e->t, d, 0), b = dim_operand(e->t, d, 1);
    int64_t factor;
    if (dim_is_const(e->t, a, &factor)) {
        bool same = factor >= 0 ? up : !up;
        return dim_mul(e->t, a, same ? dim_upper(e->t, b, e->kept) : lower(e, b));
    }
    if (dim_low(e->t, a) < 0 || dim_low(e->t, b) < 0)
        return dim_const(e->t, up ? dim_high(e->t, d) : dim_low(e->t, d));
    if (!up) return dim_mul(e->t, lower(e, a), lower(e, b));
    return dim_mul(e->t, dim_upper(e->t, a, e->kept), dim_upper(e->t, b, e->kept));
}

static dim quotient(const estimate *e, dim d, bool up) {
    dim a = dim_operand(e->t, d, 0), b = dim_operand(e->t, d, 1);
    if (dim_low(e->t, a) < 0 || dim_low(e->t, b) < 1)
        return dim_const(e->t, up ? dim_high(e->t, d) : dim_low(e->t, d));
    return up ? dim_floordiv(e->t, dim_upper(e->t, a, e->kept), lower(e, b))
              : dim_floordiv(e->t, lower(e, a), dim_upper(e->t, b, e->kept));
}

static dim lower(const estimate *e, dim d) {
    if (!holds_others(e, d)) return d;
    dim_op op = dim_op_of(e->t, d);
    if (op == DIM_SYMBOL || op == DIM_MOD) return dim_const(e->t, dim_low(e->t, d));
    if (op == DIM_MUL) return product(e, d, false);
    if (op == DIM_FLOORDIV) return quotient(e, d, false);
    dim a = lower(e, dim_operand(e->t, d, 0)), b = lower(e, dim_operand(e->t, d, 1));
    return op == DIM_ADD   ? dim_add(e->t, a, b)
           : op == DIM_MIN ? dim_min(e->t, a, b)
                           : dim_max(e->t, a, b);
}

dim dim_upper(dim_table *t, dim d, const bool *kept) {
    const estimate e = {t, kept};
    if (!holds_others(&e, d)) return d;
    dim_op op = dim_op_of(t, d);
    if (op == DIM_SYMBOL) return upper_symbol(&e, dim_symbol_of(t, d));
    if (op == DIM_MUL) return product(&e, d, true);
    if (op == DIM_FLOORDIV) return quotient(&e, d, true);
    dim b = dim_upper(t, dim_operand(t, d, 1), kept);
    if (op == DIM_MOD) return dim_sub(t, b, dim_const(t, 1));
    dim a = dim_upper(t, dim_operand(t, d, 0), kept);
    return op == DIM_ADD ? dim_add(t, a, b) : op == DIM_MIN ? dim_min(t, a, b) : dim_max(t, a, b);
}

bool dim_has_upper(const dim_table *t, dim d, const bool *kept, dim_symbol *open) {
    dim_op op = dim_op_of(t, d);
    if (op == DIM_CONST) return true;
    if (op == DIM_SYMBOL) {
        dim_symbol s = dim_symbol_of(t, d);
        dim limit = dim_symbol_limit(t, s);
        int64_t low, high;
        dim_symbol_bounds(t, s, &low, &high);
        if (kept[s] || high < DIM_MAX || (limit && dim_has_upper(t, limit, kept, NULL)))
            return true;
        if (open) *open = s;
        return false;
    }
    return dim_has_upper(t, dim_operand(t, d, 0), kept, open) &&
           dim_has_upper(t, dim_operand(t, d, 1), kept, open);
}
