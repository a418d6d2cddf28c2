/* loop_linear.c: i64 index arithmetic as polynomials over atoms (variables, dimensions, loads,
 * quotients, remainders, minima and maxima). Sums are kept expanded, collected and sorted;
 * quotients and remainders are found by polynomial division whose remainder part is shown to be in
 * range; a small prover shows inequalities by replacing variables with the end of their range.
 * Polynomials live on the stack; what is too large for them is left as it is. */
#include "ir/loop_internal.h"

#include <assert.h>
#include <string.h>

enum { MAX_DEGREE = 6, MAX_TERMS = 40, MAX_STEPS = 48 };

/* c times the product of the atoms, which are sorted. */
typedef struct {
    int64_t c;
    uint32_t count;
    loop_expr atoms[MAX_DEGREE];
} term;

typedef struct {
    uint32_t count;
    term terms[MAX_TERMS];
} poly;

/* Products and sums of coefficients wrap, as the arithmetic that they stand for does. */
static int64_t wrap_mul(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t wrap_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* ---- order ---- */

/* Atoms of outer loops first, so that what is invariant in an inner loop is one subexpression; then
 * by structure, not by id: the order survives printing and parsing. */
static int compare_atoms(const loop_kernel *k, loop_expr a, loop_expr b) {
    if (a == b) return 0;
    const expr_info *x = loop_info(k, a), *y = loop_info(k, b);
    if (x->depth != y->depth) return x->depth < y->depth ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return a < b ? -1 : 1;
}

/* Terms by their last atom first; the constant comes last. */
static int compare_terms(const loop_kernel *k, const term *a, const term *b) {
    if (!a->count || !b->count) return (a->count == 0) - (b->count == 0);
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        int c = compare_atoms(k, a->atoms[a->count - 1 - i], b->atoms[b->count - 1 - i]);
        if (c) return c;
    }
    return a->count < b->count ? -1 : a->count > b->count;
}

/* ---- arithmetic: false where the result does not fit ---- */

static bool poly_add_term(const loop_kernel *k, poly *p, const term *t) {
    if (!t->c) return true;
    uint32_t at = 0;
    int c = 1;
    while (at < p->count && (c = compare_terms(k, &p->terms[at], t)) < 0) at++;
    if (at < p->count && c == 0) {
        p->terms[at].c = wrap_add(p->terms[at].c, t->c);
        if (p->terms[at].c) return true;
        p->count--;
        memmove(&p->terms[at], &p->terms[at + 1], (p->count - at) * sizeof *t);
        return true;
    }
    if (p->count == MAX_TERMS) return false;
    memmove(&p->terms[at + 1], &p->terms[at], (p->count - at) * sizeof *t);
    p->terms[at] = *t;
    p->count++;
    return true;
}

static bool multiply_terms(const loop_kernel *k, const term *a, const term *b, term *out) {
    if (a->count + b->count > MAX_DEGREE) return false;
    term r = {.c = wrap_mul(a->c, b->c)};
    uint32_t i = 0, j = 0;
    while (i < a->count || j < b->count) {
        bool first =
            j == b->count || (i < a->count && compare_atoms(k, a->atoms[i], b->atoms[j]) <= 0);
        r.atoms[r.count++] = first ? a->atoms[i++] : b->atoms[j++];
    }
    *out = r;
    return true;
}

/* p += t * q */
static bool poly_add_product(const loop_kernel *k, poly *p, const term *t, const poly *q) {
    for (uint32_t i = 0; i < q->count; i++) {
        term product;
        if (!multiply_terms(k, t, &q->terms[i], &product) || !poly_add_term(k, p, &product))
            return false;
    }
    return true;
}

static bool poly_add_scaled(const loop_kernel *k, poly *p, int64_t c, const poly *q) {
    return poly_add_product(k, p, &(term){.c = c}, q);
}

static bool poly_multiply(const loop_kernel *k, poly *out, const poly *a, const poly *b) {
    out->count = 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (!poly_add_product(k, out, &a->terms[i], b)) return false;
    return true;
}

static bool poly_add_const(const loop_kernel *k, poly *p, int64_t c) {
    return poly_add_term(k, p, &(term){.c = c});
}

static bool poly_add_atom(const loop_kernel *k, poly *p, int64_t c, loop_expr e) {
    return poly_add_term(k, p, &(term){.c = c, .count = 1, .atoms = {e}});
}

/* p += c * e */
static bool poly_add_expr(const loop_kernel *k, poly *p, int64_t c, loop_expr e) {
    for (;;) {
        const loop_node *n = loop_get(k, e);
        if (n->op == LOOP_CONST) return poly_add_const(k, p, wrap_mul(c, n->i));
        if (n->op == LOOP_ADD || n->op == LOOP_SUB) {
            /* Sums lean to the left: the loop keeps long ones off the stack. */
            if (!poly_add_expr(k, p, n->op == LOOP_ADD ? c : wrap_mul(c, -1), n->args[1]))
                return false;
            e = n->args[0];
            continue;
        }
        int64_t factor;
        if (n->op == LOOP_MUL && loop_is_int(k, n->args[1], &factor)) {
            c = wrap_mul(c, factor);
            e = n->args[0];
            continue;
        }
        if (n->op != LOOP_MUL) return poly_add_atom(k, p, c, e);
        poly x, y, product;
        x.count = y.count = 0;
        return poly_add_expr(k, &x, c, n->args[0]) && poly_add_expr(k, &y, 1, n->args[1]) &&
               poly_multiply(k, &product, &x, &y) && poly_add_scaled(k, p, 1, &product);
    }
}

static bool poly_of(const loop_kernel *k, poly *p, loop_expr e) {
    p->count = 0;
    return poly_add_expr(k, p, 1, e);
}

static bool poly_difference(const loop_kernel *k, poly *p, const poly *a, const poly *b) {
    *p = *a;
    return poly_add_scaled(k, p, -1, b);
}

static int64_t poly_const(const poly *p) {
    return p->count && !p->terms[p->count - 1].count ? p->terms[p->count - 1].c : 0;
}

static bool poly_is_const(const poly *p) {
    return p->count == 0 || (p->count == 1 && !p->terms[0].count);
}

/* ---- back to expressions ---- */

static loop_expr i64_op(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    return loop_intern_op(k, op, DTYPE_I64, a, b, 0);
}

static loop_expr expr_of_term(loop_kernel *k, const term *t) {
    if (!t->count) return loop_int(k, t->c);
    loop_expr e = t->atoms[0];
    for (uint32_t i = 1; i < t->count; i++) e = i64_op(k, LOOP_MUL, e, t->atoms[i]);
    return t->c == 1 ? e : i64_op(k, LOOP_MUL, e, loop_int(k, t->c));
}

/* (x // d) * d * c + (x mod d) * c is c * x: true if p held such a pair, which is then merged. */
static bool merge_quotient(loop_kernel *k, poly *p) {
    for (uint32_t i = 0; i < p->count; i++) {
        term t = p->terms[i];
        if (t.count != 1 || loop_get(k, t.atoms[0])->op != LOOP_MOD) continue;
        loop_expr x = loop_get(k, t.atoms[0])->args[0], d = loop_get(k, t.atoms[0])->args[1];
        poly quotient, divisor, product, rest = *p;
        if (!poly_of(k, &quotient, linear_floordiv(k, x, d)) || !poly_of(k, &divisor, d) ||
            !poly_multiply(k, &product, &quotient, &divisor) || !product.count ||
            !poly_add_term(k, &rest,
                           &(term){.c = wrap_mul(t.c, -1), .count = 1, .atoms = {t.atoms[0]}}) ||
            !poly_add_scaled(k, &rest, wrap_mul(t.c, -1), &product))
            continue;
        /* Every term but the constant must have been there to cancel. */
        uint32_t variable = product.count - (poly_const(&product) != 0);
        uint32_t before = p->count - (poly_const(p) != 0);
        uint32_t after = rest.count - (poly_const(&rest) != 0);
        if (!variable || before != after + variable + 1 || !poly_add_expr(k, &rest, t.c, x))
            continue;
        *p = rest;
        return true;
    }
    return false;
}

static loop_expr expr_of_poly(loop_kernel *k, poly *p) {
    while (merge_quotient(k, p)) {
    }
    if (!p->count) return loop_int(k, 0);
    loop_expr e = expr_of_term(k, &p->terms[0]);
    for (uint32_t i = 1; i < p->count; i++)
        e = i64_op(k, LOOP_ADD, e, expr_of_term(k, &p->terms[i]));
    return e;
}

loop_expr linear_combine(loop_kernel *k, int64_t a, loop_expr x, int64_t b, loop_expr y) {
    poly p;
    p.count = 0;
    if (poly_add_expr(k, &p, a, x) && (!y || poly_add_expr(k, &p, b, y)))
        return expr_of_poly(k, &p);
    /* Too large: left as it stands. */
    if (a != 1) x = i64_op(k, LOOP_MUL, x, loop_int(k, a));
    if (!y) return x;
    if (b != 1) y = i64_op(k, LOOP_MUL, y, loop_int(k, b));
    return i64_op(k, LOOP_ADD, x, y);
}

loop_expr linear_multiply(loop_kernel *k, loop_expr x, loop_expr y) {
    int64_t c;
    if (loop_is_int(k, y, &c)) return linear_combine(k, c, x, 0, 0);
    if (loop_is_int(k, x, &c)) return linear_combine(k, c, y, 0, 0);
    poly a, b, product;
    if (poly_of(k, &a, x) && poly_of(k, &b, y) && poly_multiply(k, &product, &a, &b))
        return expr_of_poly(k, &product);
    return i64_op(k, LOOP_MUL, x, y);
}

bool linear_split(loop_kernel *k, loop_expr e, loop_var v, int64_t *coefficient, loop_expr *rest) {
    poly p;
    if (!poly_of(k, &p, e)) return false;
    loop_expr x = loop_var_expr(k, v);
    *coefficient = 0;
    poly others = {.count = 0};
    for (uint32_t i = 0; i < p.count; i++) {
        const term *t = &p.terms[i];
        if (t->count == 1 && t->atoms[0] == x) {
            *coefficient = t->c;
            continue;
        }
        for (uint32_t j = 0; j < t->count; j++)
            if (loop_uses_var(k, t->atoms[j], v)) return false;
        others.terms[others.count++] = *t;
    }
    *rest = expr_of_poly(k, &others);
    return true;
}

/* ---- ranges ---- */

static int64_t saturating_mul(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_mul_overflow(a, b, &r)) return r;
    return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}
/* Sums of lower and of upper bounds: an infinite one stays infinite. */
static int64_t add_low(int64_t a, int64_t b) {
    int64_t r;
    if (a == INT64_MIN || b == INT64_MIN) return INT64_MIN;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a < 0 ? INT64_MIN : INT64_MAX;
}
static int64_t add_high(int64_t a, int64_t b) {
    int64_t r;
    if (a == INT64_MAX || b == INT64_MAX) return INT64_MAX;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static void term_range(const loop_kernel *k, const term *t, int64_t *low, int64_t *high) {
    *low = *high = t->c;
    for (uint32_t i = 0; i < t->count; i++) {
        const expr_info *x = loop_info(k, t->atoms[i]);
        int64_t corners[] = {saturating_mul(*low, x->low), saturating_mul(*low, x->high),
                             saturating_mul(*high, x->low), saturating_mul(*high, x->high)};
        *low = *high = corners[0];
        for (int j = 1; j < 4; j++) {
            if (corners[j] < *low) *low = corners[j];
            if (corners[j] > *high) *high = corners[j];
        }
    }
}

static void poly_range(const loop_kernel *k, const poly *p, int64_t *low, int64_t *high) {
    *low = *high = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        int64_t l, h;
        term_range(k, &p->terms[i], &l, &h);
        *low = add_low(*low, l);
        *high = add_high(*high, h);
    }
}

/* ---- the prover ---- */

static bool prove(loop_kernel *k, const poly *p, int *steps);

/* Splits p into factor * x + rest. False if x appears squared. */
static bool split_atom(const poly *p, loop_expr x, poly *factor, poly *rest) {
    factor->count = rest->count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const term *t = &p->terms[i];
        term reduced = {.c = t->c};
        for (uint32_t j = 0; j < t->count; j++)
            if (t->atoms[j] != x) reduced.atoms[reduced.count++] = t->atoms[j];
        if (reduced.count + 1 < t->count) return false;
        if (reduced.count == t->count)
            rest->terms[rest->count++] = *t;
        else
            factor->terms[factor->count++] = reduced;
    }
    return true;
}

/* rest + factor * bound >= 0 */
static bool prove_with(loop_kernel *k, const poly *factor, const poly *rest, loop_expr bound,
                       int64_t offset, int *steps) {
    poly b, product, p = *rest;
    /* Factors lose the order of terms when an atom is taken out: the product sorts again. */
    return poly_of(k, &b, bound) && poly_add_const(k, &b, offset) &&
           poly_multiply(k, &product, factor, &b) && poly_add_scaled(k, &p, 1, &product) &&
           prove(k, &p, steps);
}

/* x = n // d in factor * x + rest: since d * x is within n - (d - 1) and n, multiplies by d. */
static bool prove_quotient(loop_kernel *k, const poly *factor, const poly *rest, loop_expr n,
                           loop_expr d, bool at_most, int *steps) {
    poly divisor, scaled;
    if (loop_info(k, d)->low < 1 || !poly_of(k, &divisor, d) ||
        !poly_multiply(k, &scaled, rest, &divisor))
        return false;
    loop_expr bound = at_most ? n : linear_combine(k, 1, n, -1, d);
    return prove_with(k, factor, &scaled, bound, at_most ? 0 : 1, steps);
}

/* Shows p >= 0 by putting the worst value of atom x in its place. `at_most`: x's factor is not
 * positive, so that its largest value is the worst. */
static bool prove_without(loop_kernel *k, const poly *factor, const poly *rest, loop_expr x,
                          bool at_most, int *steps) {
    const loop_node n = *loop_get(k, x);
    switch (n.op) {
    case LOOP_VAR: {
        loop_expr extent = k->vars.data[n.i].extent;
        if (at_most) return extent && prove_with(k, factor, rest, extent, -1, steps);
        return prove_with(k, factor, rest, loop_int(k, 0), 0, steps);
    }
    case LOOP_MOD:
        if (loop_info(k, n.args[1])->low < 1) return false;
        if (!at_most) return prove_with(k, factor, rest, loop_int(k, 0), 0, steps);
        return prove_with(k, factor, rest, n.args[1], -1, steps) ||
               (loop_info(k, n.args[0])->low >= 0 &&
                prove_with(k, factor, rest, n.args[0], 0, steps));
    case LOOP_MIN:
    case LOOP_MAX:
        if ((n.op == LOOP_MIN) == at_most)
            return prove_with(k, factor, rest, n.args[0], 0, steps) ||
                   prove_with(k, factor, rest, n.args[1], 0, steps);
        return prove_with(k, factor, rest, n.args[0], 0, steps) &&
               prove_with(k, factor, rest, n.args[1], 0, steps);
    case LOOP_SELECT:
        return prove_with(k, factor, rest, n.args[1], 0, steps) &&
               prove_with(k, factor, rest, n.args[2], 0, steps);
    case LOOP_FLOORDIV:
        return prove_quotient(k, factor, rest, n.args[0], n.args[1], at_most, steps);
    default: return false;
    }
}

static bool is_bounded_atom(const loop_kernel *k, loop_expr e) {
    loop_op op = loop_get(k, e)->op;
    return op == LOOP_VAR || op == LOOP_MOD || op == LOOP_MIN || op == LOOP_MAX ||
           op == LOOP_SELECT || op == LOOP_FLOORDIV;
}

/* The bounded atom to be replaced next: of the innermost loop, compound before plain, since
 * compound ones hold the plain. 0: none. */
static loop_expr next_atom(const loop_kernel *k, const poly *p, const loop_expr *tried,
                           uint32_t tried_count) {
    loop_expr best = 0;
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t j = 0; j < p->terms[i].count; j++) {
            loop_expr e = p->terms[i].atoms[j];
            bool skip = e == best || !is_bounded_atom(k, e);
            for (uint32_t m = 0; m < tried_count; m++) skip |= tried[m] == e;
            if (skip) continue;
            uint32_t depth = loop_info(k, e)->depth, other = best ? loop_info(k, best)->depth : 0;
            bool is_var = loop_get(k, e)->op == LOOP_VAR;
            if (!best || depth > other ||
                (depth == other && !is_var && loop_get(k, best)->op == LOOP_VAR))
                best = e;
        }
    return best;
}

/* With every atom written as its least value plus what it is above that, no coefficient is
 * negative. */
static bool prove_by_shift(loop_kernel *k, const poly *p) {
    poly sum = {.count = 0};
    for (uint32_t i = 0; i < p->count; i++) {
        poly product = {.count = 1, .terms = {{.c = p->terms[i].c}}};
        for (uint32_t j = 0; j < p->terms[i].count; j++) {
            loop_expr e = p->terms[i].atoms[j];
            int64_t low = loop_info(k, e)->low;
            poly shifted = {.count = 0}, next;
            if (low == INT64_MIN || low > DIM_MAX || low < -DIM_MAX ||
                !poly_add_atom(k, &shifted, 1, e) || !poly_add_const(k, &shifted, low) ||
                !poly_multiply(k, &next, &product, &shifted))
                return false;
            product = next;
        }
        if (!poly_add_scaled(k, &sum, 1, &product)) return false;
    }
    for (uint32_t i = 0; i < sum.count; i++)
        if (sum.terms[i].c < 0) return false;
    return true;
}

/* Whether p >= 0 for all values of its atoms, as far as `steps` more steps show. */
static bool prove(loop_kernel *k, const poly *p, int *steps) {
    int64_t low, high;
    poly_range(k, p, &low, &high);
    if (low >= 0) return true;
    if (high < 0 || poly_is_const(p) || --*steps < 0) return false;
    loop_expr tried[4];
    for (uint32_t n = 0; n < 4; n++) {
        loop_expr x = next_atom(k, p, tried, n);
        if (!x) break;
        tried[n] = x;
        poly factor, rest;
        if (!split_atom(p, x, &factor, &rest)) continue;
        poly_range(k, &factor, &low, &high);
        if (low < 0 && high > 0) continue;
        if (prove_without(k, &factor, &rest, x, high <= 0, steps)) return true;
    }
    return prove_by_shift(k, p);
}

/* ---- what was asked before: the same bounds are asked for again at every access ---- */

/* A polynomial by two independent hashes of its terms, and the answer. */
typedef struct {
    uint64_t first, second; /* both 0: empty */
    bool holds;
} proof;

typedef struct {
    proof *slots;
    size_t size, count; /* size: a power of two */
} proof_table;

static uint64_t mix(uint64_t h, uint64_t word, uint64_t factor) {
    h = (h ^ word) * factor;
    return h ^ h >> 29;
}

static proof proof_key(const poly *p) {
    proof key = {1, 2, false};
    for (uint32_t i = 0; i < p->count; i++) {
        const term *t = &p->terms[i];
        uint64_t words[MAX_DEGREE + 1] = {(uint64_t)t->c};
        for (uint32_t j = 0; j < t->count; j++) words[j + 1] = t->atoms[j] + 1;
        for (uint32_t j = 0; j <= t->count; j++) {
            key.first = mix(key.first, words[j], 0x9e3779b97f4a7c15u);
            key.second = mix(key.second, words[j] + t->count, 0xc2b2ae3d27d4eb4fu);
        }
    }
    key.first += !key.first;
    return key;
}

/* The slot of the key, or the empty one where it belongs. */
static proof *find_proof(const proof_table *t, const proof *key) {
    size_t at = (size_t)key->first & (t->size - 1);
    while (t->slots[at].first &&
           (t->slots[at].first != key->first || t->slots[at].second != key->second))
        at = (at + 1) & (t->size - 1);
    return &t->slots[at];
}

static void grow_proofs(loop_kernel *k, proof_table *t) {
    proof_table old = *t;
    t->size = old.size ? 2 * old.size : 256;
    t->slots = ARENA_ARRAY(k->memory, proof, t->size);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].first) *find_proof(t, &old.slots[i]) = old.slots[i];
}

static bool prove_not_negative(loop_kernel *k, const poly *p) {
    if (!k->proofs) k->proofs = ARENA_NEW(k->memory, proof_table);
    proof_table *t = k->proofs;
    if (2 * t->count >= t->size) grow_proofs(k, t);
    proof key = proof_key(p), *found = find_proof(t, &key);
    if (found->first) return found->holds;
    int steps = MAX_STEPS;
    key.holds = prove(k, p, &steps);
    t->count++;
    *find_proof(t, &key) = key;
    return key.holds;
}

/* a + c <= b */
static bool poly_below(loop_kernel *k, const poly *a, int64_t c, const poly *b) {
    poly p;
    return poly_difference(k, &p, b, a) && poly_add_const(k, &p, -c) && prove_not_negative(k, &p);
}

bool linear_below(loop_kernel *k, loop_expr x, int64_t c, loop_expr y) {
    const expr_info *a = loop_info(k, x), *b = loop_info(k, y);
    if (a->high < INT64_MAX && add_high(a->high, c) <= b->low) return true;
    if (!loop_is_tame(k, x) || !loop_is_tame(k, y)) return false;
    if (a->low > INT64_MIN && add_low(a->low, c) > b->high) return false;
    poly p, q;
    return poly_of(k, &p, x) && poly_of(k, &q, y) && poly_below(k, &p, c, &q);
}

/* ---- comparisons ---- */

static int64_t gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static int64_t floor_quotient(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* p without its constant, as positive terms minus negative ones; divided by the common factor g of
 * their coefficients. */
static int64_t separate(const poly *p, poly *positive, poly *negative) {
    int64_t g = 0;
    positive->count = negative->count = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->terms[i].count) g = gcd(g, p->terms[i].c);
    for (uint32_t i = 0; i < p->count; i++) {
        term t = p->terms[i];
        if (!t.count) continue;
        t.c /= g;
        poly *side = t.c > 0 ? positive : negative;
        if (t.c < 0) t.c = -t.c;
        side->terms[side->count++] = t;
    }
    return g;
}

static loop_expr bool_op(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    return loop_intern_op(k, op, DTYPE_BOOL, a, b, 0);
}

/* p >= 0 with every common factor taken out: "c <= terms" where no term is negative, else "negative
 * terms < positive terms + c". */
static loop_expr compare_with_zero(loop_kernel *k, const poly *p) {
    poly positive, negative;
    int64_t g = separate(p, &positive, &negative), c = floor_quotient(poly_const(p), g);
    if (!negative.count) return bool_op(k, LOOP_LE, loop_int(k, -c), expr_of_poly(k, &positive));
    if (!poly_add_const(k, &positive, c + 1)) return 0;
    return bool_op(k, LOOP_LT, expr_of_poly(k, &negative), expr_of_poly(k, &positive));
}

static loop_expr equal_to_zero(loop_kernel *k, loop_op op, const poly *p) {
    poly positive, negative;
    int64_t g = separate(p, &positive, &negative), c = poly_const(p);
    if (c % g) return loop_const_int(k, DTYPE_BOOL, op == LOOP_NE);
    if (!positive.count) { /* x == c rather than 0 == x - c */
        positive = negative;
        negative.count = 0;
        c = -c;
    }
    if (!negative.count) return bool_op(k, op, expr_of_poly(k, &positive), loop_int(k, -(c / g)));
    if (!poly_add_const(k, &positive, c / g)) return 0;
    return bool_op(k, op, expr_of_poly(k, &negative), expr_of_poly(k, &positive));
}

static bool has_huge_coefficient(const poly *p) {
    for (uint32_t i = 0; i < p->count; i++)
        if (p->terms[i].c > INT64_MAX / 4 || p->terms[i].c < INT64_MIN / 4) return true;
    return false;
}

loop_expr linear_compare(loop_kernel *k, loop_op op, loop_expr x, loop_expr y) {
    poly a, b, p, q;
    if (!loop_is_tame(k, x) || !loop_is_tame(k, y) || !poly_of(k, &a, x) || !poly_of(k, &b, y) ||
        !poly_difference(k, &p, &b, &a) || !poly_difference(k, &q, &a, &b) ||
        has_huge_coefficient(&p))
        return bool_op(k, op, x, y);
    loop_expr yes = loop_const_int(k, DTYPE_BOOL, 1), no = loop_const_int(k, DTYPE_BOOL, 0);
    loop_expr result;
    if (op == LOOP_EQ || op == LOOP_NE) {
        if (!p.count) return op == LOOP_EQ ? yes : no;
        if (poly_below(k, &a, 1, &b) || poly_below(k, &b, 1, &a)) return op == LOOP_EQ ? no : yes;
        result = equal_to_zero(k, op, &p);
    } else {
        /* p = y - x - (1 if strict) >= 0 is true, and q = -p - 1 >= 0 the opposite. */
        int64_t strict = op == LOOP_LT;
        if (!poly_add_const(k, &p, -strict) || !poly_add_const(k, &q, strict - 1))
            return bool_op(k, op, x, y);
        if (prove_not_negative(k, &p)) return yes;
        if (prove_not_negative(k, &q)) return no;
        result = compare_with_zero(k, &p);
    }
    return result ? result : bool_op(k, op, x, y);
}

/* ---- division ---- */

/* The term of d that division eliminates: of the highest degree. */
static const term *leading_term(const poly *d) {
    const term *best = &d->terms[0];
    for (uint32_t i = 1; i < d->count; i++)
        if (d->terms[i].count > best->count) best = &d->terms[i];
    return best;
}

/* out = t / by, if it divides. A constant by a constant leaves a remainder. */
static bool divide_term(const term *t, const term *by, term *out) {
    if (!by->count && !t->count) {
        out->count = 0;
        return (out->c = floor_quotient(t->c, by->c)) != 0;
    }
    if (t->c % by->c) return false;
    *out = (term){.c = t->c / by->c};
    uint32_t j = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        if (j < by->count && t->atoms[i] == by->atoms[j])
            j++;
        else
            out->atoms[out->count++] = t->atoms[i];
    }
    return j == by->count;
}

/* n = q * d + r, with as much in q as polynomial division finds. */
static bool poly_divide(const loop_kernel *k, const poly *n, const poly *d, poly *q, poly *r) {
    *r = *n;
    q->count = 0;
    const term *lead = leading_term(d);
    for (int step = 0; step < MAX_TERMS; step++) {
        term part;
        uint32_t i = 0;
        while (i < r->count && !divide_term(&r->terms[i], lead, &part)) i++;
        if (i == r->count) return true;
        if (!poly_add_term(k, q, &part)) return false;
        part.c = wrap_mul(part.c, -1);
        if (!poly_add_product(k, r, &part, d)) return false;
    }
    return false;
}

static bool in_range(loop_kernel *k, const poly *r, const poly *d) {
    return prove_not_negative(k, r) && poly_below(k, r, 1, d);
}

/* r = g * whole + part with 0 <= part < g, for the largest g that divides the constant d and some
 * coefficient: then r // d = whole // (d / g), and r mod d = g * (whole mod (d / g)) + part. */
static bool split_common(loop_kernel *k, const poly *r, int64_t d, int64_t *out_g, poly *whole,
                         poly *part) {
    int64_t below = d;
    for (;;) {
        int64_t g = 1;
        for (uint32_t i = 0; i < r->count; i++) {
            int64_t c = r->terms[i].count ? gcd(r->terms[i].c, d) : 1;
            if (c < below && c > g) g = c;
        }
        if (g == 1) return false;
        whole->count = part->count = 0;
        for (uint32_t i = 0; i < r->count; i++) {
            term t = r->terms[i];
            int64_t left = 0;
            if (!t.count) left = t.c - floor_quotient(t.c, g) * g;
            if (t.c % g && t.count) {
                part->terms[part->count++] = t;
                continue;
            }
            t.c = (t.c - left) / g;
            if (t.c) whole->terms[whole->count++] = t;
            if (left && !poly_add_const(k, part, left)) return false;
        }
        int64_t low, high;
        poly_range(k, part, &low, &high);
        poly limit = {.count = 1, .terms = {{.c = g}}};
        *out_g = g;
        if ((low >= 0 && high < g) || in_range(k, part, &limit)) return true;
        below = g;
    }
}

/* quotient atom r // d, with (n // c) // d = n // (c * d) */
static loop_expr quotient_atom(loop_kernel *k, poly *r, loop_expr y, int64_t d) {
    int64_t c;
    uint32_t count = r->count - (poly_const(r) != 0);
    if (d > 0 && count == 1 && r->terms[0].count == 1 && r->terms[0].c == 1) {
        loop_node n = *loop_get(k, r->terms[0].atoms[0]);
        if (n.op == LOOP_FLOORDIV && loop_is_int(k, n.args[1], &c) && c > 0 && c < DIM_MAX / d &&
            poly_const(r) < DIM_MAX / c && poly_const(r) > -DIM_MAX / c) {
            loop_expr dividend = linear_combine(k, 1, n.args[0], poly_const(r) * c, loop_int(k, 1));
            return linear_floordiv(k, dividend, loop_int(k, c * d));
        }
    }
    return i64_op(k, LOOP_FLOORDIV, expr_of_poly(k, r), y);
}

/* Quotient or remainder of tame numbers, y >= 1 or shown to be by a remainder that is below it. */
static bool divide(loop_kernel *k, loop_expr x, loop_expr y, bool want_mod, loop_expr *out) {
    poly n, d, q, r, whole, part;
    int64_t g, divisor = 0;
    if (!loop_is_tame(k, x) || !loop_is_tame(k, y) || !poly_of(k, &n, x) || !poly_of(k, &d, y) ||
        !d.count || loop_info(k, y)->low < 0 || !poly_divide(k, &n, &d, &q, &r))
        return false;
    loop_is_int(k, y, &divisor);
    bool positive = loop_info(k, y)->low > 0;
    if ((positive && !r.count) || in_range(k, &r, &d)) {
        *out = expr_of_poly(k, want_mod ? &r : &q);
        return true;
    }
    if (!positive) return false;
    if (divisor > 1 && split_common(k, &r, divisor, &g, &whole, &part)) {
        loop_expr rest = expr_of_poly(k, &whole), smaller = loop_int(k, divisor / g);
        rest = want_mod ? linear_mod(k, rest, smaller) : linear_floordiv(k, rest, smaller);
        *out = linear_combine(k, want_mod ? g : 1, rest, 1, expr_of_poly(k, want_mod ? &part : &q));
        return true;
    }
    if (want_mod)
        *out = i64_op(k, LOOP_MOD, expr_of_poly(k, &r), y);
    else
        *out = linear_combine(k, 1, quotient_atom(k, &r, y, divisor), 1, expr_of_poly(k, &q));
    return true;
}

loop_expr linear_floordiv(loop_kernel *k, loop_expr x, loop_expr y) {
    int64_t c;
    loop_expr result;
    if (loop_is_int(k, y, &c)) {
        if (c == 0) return y;
        if (c == 1 || c == -1) return linear_combine(k, c, x, 0, 0);
    }
    return divide(k, x, y, false, &result) ? result : i64_op(k, LOOP_FLOORDIV, x, y);
}

loop_expr linear_mod(loop_kernel *k, loop_expr x, loop_expr y) {
    int64_t c;
    loop_expr result;
    if (loop_is_int(k, y, &c) && c >= -1 && c <= 1) return loop_int(k, 0);
    return divide(k, x, y, true, &result) ? result : i64_op(k, LOOP_MOD, x, y);
}
