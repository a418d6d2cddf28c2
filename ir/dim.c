/* dim.c: dimension expressions. Every expression is kept as a polynomial over atoms (symbols,
 * quotients, remainders, minima, maxima), interned by content, so that equal expressions have equal
 * ids. The binary structure that readers see is derived from it. */
#include "ir/dim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The most nodes that an expression may have, written out as a tree. Everything that walks one is
 * bounded by it; what would be larger becomes a symbol of its own. Models that mean well stay far
 * below. */
enum { MAX_SIZE = 20000 };

/* coefficient * product of atoms; atoms are ids in ascending order. */
typedef struct {
    int64_t coefficient;
    uint32_t count;
    const dim *atoms;
} term;

typedef struct {
    dim_op op;
    dim a, b;          /* operands of the binary structure */
    int64_t value;     /* CONST: value; SYMBOL: index */
    uint32_t count;    /* terms; an atom is one term of itself */
    const term *terms; /* sorted by atoms, the constant last */
    uint32_t hash;
    uint32_t size; /* nodes of the tree, at most MAX_SIZE */
} expression;

typedef struct {
    const char *name;
    dim expr;
    int64_t low, high;
    dim limit;
    bool reserved;
} symbol;

struct dim_table {
    arena *memory;
    LIST(expression) items;
    LIST(symbol) symbols;
    uint32_t *slots;
    size_t slot_count;
};

/* ---- saturating arithmetic ---- */

static int64_t clamp(int64_t v) {
    return v > DIM_MAX ? DIM_MAX : v < -DIM_MAX ? -DIM_MAX : v;
}

static int64_t add_sat(int64_t a, int64_t b) {
    return clamp(a + b);
}

static int64_t mul_sat(int64_t a, int64_t b) {
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return (a < 0) == (b < 0) ? DIM_MAX : -DIM_MAX;
    return clamp(r);
}

static int64_t floordiv_int(int64_t a, int64_t b) {
    if (!b) return 0;
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* ---- interning ---- */

static uint32_t mix(uint32_t h, uint64_t v) {
    h ^= (uint32_t)v ^ (uint32_t)(v >> 32);
    h *= 0x9e3779b1u;
    return h ^ (h >> 15);
}

static uint32_t hash_of(const expression *e) {
    uint32_t h = mix(0, (uint64_t)e->op);
    if (e->op == DIM_ADD || e->op == DIM_MUL) {
        for (uint32_t i = 0; i < e->count; i++) {
            h = mix(h, (uint64_t)e->terms[i].coefficient);
            for (uint32_t j = 0; j < e->terms[i].count; j++) h = mix(h, e->terms[i].atoms[j]);
        }
        return h;
    }
    return mix(mix(mix(h, e->a), e->b), (uint64_t)e->value);
}

static bool same_terms(const expression *x, const expression *y) {
    if (x->count != y->count) return false;
    for (uint32_t i = 0; i < x->count; i++) {
        const term *p = &x->terms[i], *q = &y->terms[i];
        if (p->coefficient != q->coefficient || p->count != q->count ||
            (p->count && memcmp(p->atoms, q->atoms, p->count * sizeof *p->atoms) != 0))
            return false;
    }
    return true;
}

static bool same_expression(const expression *x, const expression *y) {
    if (x->op != y->op || x->hash != y->hash) return false;
    if (x->op == DIM_ADD || x->op == DIM_MUL) return same_terms(x, y);
    return x->a == y->a && x->b == y->b && x->value == y->value;
}

static void insert_slot(dim_table *t, dim d) {
    size_t at = t->items.data[d].hash & (t->slot_count - 1);
    while (t->slots[at]) at = (at + 1) & (t->slot_count - 1);
    t->slots[at] = d;
}

static void grow_slots(dim_table *t) {
    if (t->items.count * 2 < t->slot_count) return;
    t->slot_count = t->slot_count ? t->slot_count * 2 : 256;
    t->slots = ARENA_ARRAY(t->memory, uint32_t, t->slot_count);
    for (dim d = 1; d < t->items.count; d++) insert_slot(t, d);
}

/* The id of an equal expression, or 0. */
static dim lookup(const dim_table *t, const expression *e) {
    for (size_t at = e->hash & (t->slot_count - 1); t->slots[at];
         at = (at + 1) & (t->slot_count - 1))
        if (same_expression(&t->items.data[t->slots[at]], e)) return t->slots[at];
    return 0;
}

static dim append(dim_table *t, expression e) {
    list_push(t->memory, &t->items, e);
    dim d = (dim)(t->items.count - 1);
    grow_slots(t);
    insert_slot(t, d);
    return d;
}

/* What stands for an expression that nobody could handle: a value unknown until run time. */
static dim too_large(dim_table *t, int64_t low) {
    return dim_fresh_symbol(t, "large", low, DIM_MAX);
}

static dim intern_atom(dim_table *t, dim_op op, dim a, dim b, int64_t value) {
    expression e = {.op = op, .a = a, .b = b, .value = value};
    e.hash = hash_of(&e);
    dim found = lookup(t, &e);
    if (found) return found;
    term *own = ARENA_NEW(t->memory, term);
    if (op == DIM_CONST) {
        *own = (term){value, 0, NULL};
    } else {
        dim *self = ARENA_NEW(t->memory, dim);
        *self = (dim)t->items.count;
        *own = (term){1, 1, self};
    }
    e.terms = own;
    e.count = op == DIM_CONST && value == 0 ? 0 : 1;
    e.size = 1 + (a ? t->items.data[a].size + t->items.data[b].size : 0);
    if (e.size > MAX_SIZE) return too_large(t, -DIM_MAX);
    return append(t, e);
}

dim dim_const(dim_table *t, int64_t value) {
    return intern_atom(t, DIM_CONST, 0, 0, clamp(value));
}

dim_table *dim_table_create(arena *a) {
    dim_table *t = ARENA_NEW(a, dim_table);
    t->memory = a;
    list_push(a, &t->items, (expression){.op = DIM_CONST});
    grow_slots(t);
    return t;
}

/* ---- polynomials ---- */

static int compare_terms(const dim_table *t, const term *p, const term *q);

/* An order of expressions by content, so that it does not depend on which was made first: symbols
 * in the order of their table, then the others. */
static int compare(const dim_table *t, dim a, dim b) {
    if (a == b) return 0;
    const expression *x = &t->items.data[a], *y = &t->items.data[b];
    if (x->op != y->op) return x->op < y->op ? -1 : 1;
    if (x->op == DIM_CONST || x->op == DIM_SYMBOL) return x->value < y->value ? -1 : 1;
    if (x->op == DIM_ADD || x->op == DIM_MUL) {
        for (uint32_t i = 0; i < x->count && i < y->count; i++) {
            int order = compare_terms(t, &x->terms[i], &y->terms[i]);
            if (order) return order;
            int64_t p = x->terms[i].coefficient, q = y->terms[i].coefficient;
            if (p != q) return p < q ? -1 : 1;
        }
        return x->count < y->count ? -1 : 1;
    }
    int order = compare(t, x->a, y->a);
    return order ? order : compare(t, x->b, y->b);
}

/* By atoms, the constant last; 0 for terms that differ in their coefficient alone. */
static int compare_terms(const dim_table *t, const term *p, const term *q) {
    if (!p->count || !q->count) return (p->count == 0) - (q->count == 0);
    for (uint32_t i = 0; i < p->count && i < q->count; i++) {
        int order = compare(t, p->atoms[i], q->atoms[i]);
        if (order) return order;
    }
    return (p->count < q->count) - (p->count > q->count);
}

static int order_terms(const void *x, const void *y, void *t) {
    return compare_terms(t, x, y);
}

static int order_atoms(const void *x, const void *y, void *t) {
    return compare(t, *(const dim *)x, *(const dim *)y);
}

static uint32_t size_of_terms(const dim_table *t, const term *terms, uint32_t count) {
    uint32_t size = count;
    for (uint32_t i = 0; i < count && size <= MAX_SIZE; i++)
        for (uint32_t j = 0; j < terms[i].count && size <= MAX_SIZE; j++)
            size += t->items.data[terms[i].atoms[j]].size + 1;
    return size;
}

static dim intern_terms(dim_table *t, const term *terms, uint32_t count);

/* One term: a constant, an atom, or a product. */
static dim intern_term(dim_table *t, term s) {
    if (s.count == 0) return dim_const(t, s.coefficient);
    if (s.count == 1 && s.coefficient == 1) return s.atoms[0];
    expression e = {.op = DIM_MUL, .count = 1, .terms = &s};
    e.hash = hash_of(&e);
    dim found = lookup(t, &e);
    if (found) return found;
    if (s.coefficient != 1) {
        e.a = dim_const(t, s.coefficient);
        e.b = intern_term(t, (term){1, s.count, s.atoms});
    } else {
        e.a = intern_term(t, (term){1, s.count - 1, s.atoms});
        e.b = s.atoms[s.count - 1];
    }
    dim *atoms = ARENA_ARRAY(t->memory, dim, s.count);
    memcpy(atoms, s.atoms, s.count * sizeof *atoms);
    term *kept = ARENA_NEW(t->memory, term);
    *kept = (term){s.coefficient, s.count, atoms};
    e.terms = kept;
    e.size = size_of_terms(t, kept, 1);
    return append(t, e);
}

/* A sum of terms that are sorted, collected and not zero. */
static dim intern_terms(dim_table *t, const term *terms, uint32_t count) {
    if (count == 0) return dim_const(t, 0);
    if (count == 1) return intern_term(t, terms[0]);
    expression e = {.op = DIM_ADD, .count = count, .terms = terms};
    e.hash = hash_of(&e);
    dim found = lookup(t, &e);
    if (found) return found;
    e.a = intern_terms(t, terms, count - 1);
    e.b = intern_term(t, terms[count - 1]);
    term *kept = ARENA_ARRAY(t->memory, term, count);
    memcpy(kept, terms, count * sizeof *kept);
    e.terms = kept;
    e.size = size_of_terms(t, kept, count);
    return append(t, e);
}

static dim normalise(dim_table *t, term *terms, uint32_t count) {
    qsort_r(terms, count, sizeof *terms, order_terms, t);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept && compare_terms(t, &terms[kept - 1], &terms[i]) == 0)
            terms[kept - 1].coefficient =
                add_sat(terms[kept - 1].coefficient, terms[i].coefficient);
        else
            terms[kept++] = terms[i];
        if (kept && terms[kept - 1].coefficient == 0) kept--;
    }
    if (size_of_terms(t, terms, kept) > MAX_SIZE) return too_large(t, -DIM_MAX);
    return intern_terms(t, terms, kept);
}

static const expression *get(const dim_table *t, dim d) {
    assert(d && d < t->items.count);
    return &t->items.data[d];
}

dim dim_add(dim_table *t, dim a, dim b) {
    expression x = *get(t, a), y = *get(t, b);
    term *terms = ARENA_ARRAY(t->memory, term, x.count + y.count);
    if (x.count) memcpy(terms, x.terms, x.count * sizeof *terms);
    if (y.count) memcpy(terms + x.count, y.terms, y.count * sizeof *terms);
    return normalise(t, terms, x.count + y.count);
}

dim dim_mul(dim_table *t, dim a, dim b) {
    expression x = *get(t, a), y = *get(t, b);
    if (x.count * y.count > MAX_SIZE || x.size + y.size > MAX_SIZE)
        return too_large(t, dim_low(t, a) >= 0 && dim_low(t, b) >= 0 ? 0 : -DIM_MAX);
    term *terms = ARENA_ARRAY(t->memory, term, (size_t)x.count * y.count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < x.count; i++)
        for (uint32_t j = 0; j < y.count; j++) {
            const term *p = &x.terms[i], *q = &y.terms[j];
            dim *atoms = ARENA_ARRAY(t->memory, dim, p->count + q->count);
            if (p->count) memcpy(atoms, p->atoms, p->count * sizeof *atoms);
            if (q->count) memcpy(atoms + p->count, q->atoms, q->count * sizeof *atoms);
            qsort_r(atoms, p->count + q->count, sizeof *atoms, order_atoms, t);
            terms[n++] =
                (term){mul_sat(p->coefficient, q->coefficient), p->count + q->count, atoms};
        }
    return normalise(t, terms, n);
}

dim dim_sub(dim_table *t, dim a, dim b) {
    return dim_add(t, a, dim_mul(t, dim_const(t, -1), b));
}

/* ---- bounds ---- */

static void bounds(const dim_table *t, dim d, int64_t *low, int64_t *high);

static void widen(int64_t v, int64_t *low, int64_t *high) {
    if (v < *low) *low = v;
    if (v > *high) *high = v;
}

static void atom_bounds(const dim_table *t, dim d, int64_t *low, int64_t *high) {
    const expression *e = get(t, d);
    int64_t al, ah, bl, bh;
    *low = -DIM_MAX;
    *high = DIM_MAX;
    if (e->op == DIM_SYMBOL) {
        const symbol *s = &t->symbols.data[e->value];
        *low = s->low;
        *high = s->high;
        if (s->limit) bounds(t, s->limit, &al, &ah);
        if (s->limit && ah < *high) *high = ah < *low ? *low : ah;
        return;
    }
    bounds(t, e->a, &al, &ah);
    bounds(t, e->b, &bl, &bh);
    switch (e->op) {
    case DIM_MIN:
        *low = al < bl ? al : bl;
        *high = ah < bh ? ah : bh;
        break;
    case DIM_MAXIMUM:
        *low = al > bl ? al : bl;
        *high = ah > bh ? ah : bh;
        break;
    case DIM_MOD:
        if (bl > 0) {
            *low = 0;
            *high = bh - 1;
            if (al >= 0 && ah < *high) *high = ah;
        }
        break;
    default:
        if (bl <= 0) return;
        *low = INT64_MAX;
        *high = INT64_MIN;
        widen(ah == DIM_MAX ? DIM_MAX : floordiv_int(ah, bl), low, high);
        widen(floordiv_int(ah, bh), low, high);
        widen(al == -DIM_MAX ? -DIM_MAX : floordiv_int(al, bl), low, high);
        widen(floordiv_int(al, bh), low, high);
    }
}

static void bounds(const dim_table *t, dim d, int64_t *low, int64_t *high) {
    const expression *e = get(t, d);
    *low = *high = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        int64_t pl = e->terms[i].coefficient, ph = pl;
        for (uint32_t j = 0; j < e->terms[i].count; j++) {
            int64_t al, ah, nl = INT64_MAX, nh = INT64_MIN;
            atom_bounds(t, e->terms[i].atoms[j], &al, &ah);
            widen(mul_sat(pl, al), &nl, &nh);
            widen(mul_sat(pl, ah), &nl, &nh);
            widen(mul_sat(ph, al), &nl, &nh);
            widen(mul_sat(ph, ah), &nl, &nh);
            pl = nl;
            ph = nh;
        }
        *low = *low == -DIM_MAX || pl == -DIM_MAX ? -DIM_MAX : add_sat(*low, pl);
        *high = *high == DIM_MAX || ph == DIM_MAX ? DIM_MAX : add_sat(*high, ph);
    }
}

int64_t dim_low(const dim_table *t, dim d) {
    int64_t low, high;
    bounds(t, d, &low, &high);
    return low;
}

int64_t dim_high(const dim_table *t, dim d) {
    int64_t low, high;
    bounds(t, d, &low, &high);
    return high;
}

bool dim_is_bounded(const dim_table *t, dim d) {
    return dim_high(t, d) < DIM_MAX;
}

/* ---- quotients, minima ---- */

bool dim_is_const(const dim_table *t, dim d, int64_t *value) {
    const expression *e = get(t, d);
    if (e->op == DIM_CONST && value) *value = e->value;
    return e->op == DIM_CONST;
}

/* Divides one term by another if that leaves no rest. */
static bool divide_term(dim_table *t, const term *p, const term *q, term *out) {
    if (q->coefficient == 0 || p->coefficient % q->coefficient || p->count < q->count) return false;
    dim *rest = ARENA_ARRAY(t->memory, dim, p->count);
    uint32_t n = 0, j = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (j < q->count && p->atoms[i] == q->atoms[j])
            j++;
        else
            rest[n++] = p->atoms[i];
    }
    *out = (term){p->coefficient / q->coefficient, n, rest};
    return j == q->count;
}

/* a = b * quotient + rest, term by term; b has one term. A constant rest is brought into [0, b). */
static bool split_multiples(dim_table *t, dim a, dim b, dim *quotient, dim *rest) {
    expression x = *get(t, a), y = *get(t, b);
    if (y.count != 1 || (y.op != DIM_CONST && dim_low(t, b) < 1)) return false;
    term *whole = ARENA_ARRAY(t->memory, term, x.count + 1),
         *left = ARENA_ARRAY(t->memory, term, x.count + 1);
    uint32_t n = 0, m = 0;
    for (uint32_t i = 0; i < x.count; i++) {
        term s = x.terms[i];
        if (divide_term(t, &s, &y.terms[0], &whole[n])) {
            n++;
        } else if (y.op == DIM_CONST && y.value > 0) {
            int64_t q = floordiv_int(s.coefficient, y.value);
            if (q) whole[n++] = (term){q, s.count, s.atoms};
            left[m++] = (term){s.coefficient - q * y.value, s.count, s.atoms};
        } else {
            left[m++] = s;
        }
        assert(n <= x.count + 1);
    }
    *quotient = normalise(t, whole, n);
    *rest = normalise(t, left, m);
    return true;
}

/* Whether 0 <= a < b always. */
static bool within(dim_table *t, dim a, dim b) {
    return dim_low(t, a) >= 0 && dim_low(t, dim_sub(t, b, a)) >= 1;
}

/* floor((g*x + c) / (g*m)) is floor((x + floor(c/g)) / m): takes out the greatest such g. */
static void reduce_quotient(dim_table *t, dim *a, dim *b) {
    expression x = *get(t, *a);
    int64_t g = get(t, *b)->value, m = g;
    for (uint32_t i = 0; i < x.count; i++)
        for (int64_t c = x.terms[i].count ? x.terms[i].coefficient : 0; c;) {
            int64_t r = g % c;
            g = c;
            c = r;
        }
    if (g < 0) g = -g;
    if (g < 2) return;
    term *terms = ARENA_ARRAY(t->memory, term, x.count);
    for (uint32_t i = 0; i < x.count; i++)
        terms[i] =
            (term){floordiv_int(x.terms[i].coefficient, g), x.terms[i].count, x.terms[i].atoms};
    *a = normalise(t, terms, x.count);
    *b = dim_const(t, m / g);
}

/* The quotient of what holds no whole multiple of b. floor((floor(x/m) + c) / k) is
 * floor((x + c*m) / (m*k)). */
static dim quotient_atom(dim_table *t, dim a, dim b) {
    expression x = *get(t, a);
    int64_t m, k;
    bool single = x.count == 1 || (x.count == 2 && !x.terms[1].count);
    if (single && x.terms[0].count == 1 && x.terms[0].coefficient == 1 && dim_is_const(t, b, &k)) {
        expression inner = *get(t, x.terms[0].atoms[0]);
        int64_t c = x.count == 2 ? x.terms[1].coefficient : 0;
        if (inner.op == DIM_FLOORDIV && dim_is_const(t, inner.b, &m) && m > 0 && k > 0 &&
            mul_sat(m, k) < DIM_MAX && mul_sat(c, m) < DIM_MAX)
            return dim_floordiv(t, dim_add(t, inner.a, dim_const(t, c * m)), dim_const(t, m * k));
    }
    return intern_atom(t, DIM_FLOORDIV, a, b, 0);
}

dim dim_floordiv(dim_table *t, dim a, dim b) {
    int64_t x, y;
    dim quotient, rest;
    if (dim_is_const(t, a, &x) && dim_is_const(t, b, &y)) return dim_const(t, floordiv_int(x, y));
    if (dim_is_const(t, b, &y) && y > 1) reduce_quotient(t, &a, &b);
    if (dim_equals_const(t, b, 1)) return a;
    if (a == b && dim_low(t, b) >= 1) return dim_const(t, 1);
    if (split_multiples(t, a, b, &quotient, &rest))
        return within(t, rest, b) ? quotient : dim_add(t, quotient, quotient_atom(t, rest, b));
    if (within(t, a, b)) return dim_const(t, 0);
    return intern_atom(t, DIM_FLOORDIV, a, b, 0);
}

dim dim_ceildiv(dim_table *t, dim a, dim b) {
    return dim_floordiv(t, dim_add(t, a, dim_sub(t, b, dim_const(t, 1))), b);
}

dim dim_mod(dim_table *t, dim a, dim b) {
    int64_t x, y;
    dim quotient, rest;
    if (dim_is_const(t, a, &x) && dim_is_const(t, b, &y))
        return dim_const(t, y ? x - floordiv_int(x, y) * y : 0);
    if (!split_multiples(t, a, b, &quotient, &rest)) rest = a;
    if (within(t, rest, b)) return rest;
    return intern_atom(t, DIM_MOD, rest, b, 0);
}

/* A quotient by a positive constant, alone in its term: the divisor, else 0. */
static int64_t divisor_of(const dim_table *t, const term *p) {
    int64_t k;
    if (p->count != 1 || get(t, p->atoms[0])->op != DIM_FLOORDIV) return 0;
    return dim_is_const(t, get(t, p->atoms[0])->b, &k) && k > 0 ? k : 0;
}

/* scale * p from below: a quotient e // k lies in [(e - k + 1) / k, e / k]. */
static dim term_from_below(dim_table *t, const term *p, int64_t scale) {
    int64_t k = divisor_of(t, p), by = mul_sat(p->coefficient, k ? scale / k : scale);
    dim product = dim_const(t, 1);
    for (uint32_t i = 0; i < p->count; i++)
        product = dim_mul(t, product, k ? get(t, p->atoms[i])->a : p->atoms[i]);
    if (k && by > 0) product = dim_sub(t, product, dim_const(t, k - 1));
    return dim_mul(t, dim_const(t, by), product);
}

/* Whether d >= 0 for all values of the symbols, as far as can be shown: quotients are replaced by
 * fractions, so that quotients by different numbers cancel, as in 2 * ((N + 31) // 32) - (N + 15)
 * // 16. The whole number d is not negative if it is above -1. */
static bool never_negative(dim_table *t, dim d) {
    enum { MAX_ROUNDS = 3, MAX_SCALE = 1 << 20 };
    int64_t total = 1;
    if (dim_low(t, d) >= 0) return true;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        expression x = *get(t, d);
        int64_t scale = 1;
        for (uint32_t i = 0; i < x.count; i++) {
            int64_t k = divisor_of(t, &x.terms[i]), rest = scale, by = k;
            if (!k) continue;
            while (rest) { /* greatest common divisor */
                int64_t r = by % rest;
                by = rest;
                rest = r;
            }
            if (k > MAX_SCALE || scale / by > MAX_SCALE / k) return false;
            scale = scale / by * k;
        }
        if (scale == 1 || total > MAX_SCALE / scale) return false;
        total *= scale;
        dim below = dim_const(t, 0);
        for (uint32_t i = 0; i < x.count; i++)
            below = dim_add(t, below, term_from_below(t, &x.terms[i], scale));
        if (dim_low(t, below) > -total) return true;
        d = below;
    }
    return false;
}

/* Where b is a minimum or maximum over a: max(a, min(a, c)) is a, max(a, max(a, c)) is the latter.
 * DIM_NONE elsewhere. */
static dim absorb(const dim_table *t, dim_op op, dim a, dim b) {
    const expression *e = get(t, b);
    if ((e->op != DIM_MIN && e->op != DIM_MAXIMUM) || (e->a != a && e->b != a)) return DIM_NONE;
    return e->op == op ? b : a;
}

static dim extreme(dim_table *t, dim_op op, dim a, dim b) {
    if (a == b) return a;
    dim absorbed = absorb(t, op, a, b);
    if (!absorbed) absorbed = absorb(t, op, b, a);
    if (absorbed) return absorbed;
    /* No dimension is above DIM_MAX, bounded or not. */
    if (dim_equals_const(t, a, DIM_MAX)) return op == DIM_MIN ? b : a;
    if (dim_equals_const(t, b, DIM_MAX)) return op == DIM_MIN ? a : b;
    dim difference = dim_sub(t, a, b);
    if (never_negative(t, dim_sub(t, b, a))) return op == DIM_MIN ? a : b;
    if (never_negative(t, difference)) return op == DIM_MIN ? b : a;
    return compare(t, a, b) < 0 ? intern_atom(t, op, a, b, 0) : intern_atom(t, op, b, a, 0);
}

dim dim_min(dim_table *t, dim a, dim b) {
    return extreme(t, DIM_MIN, a, b);
}

dim dim_max(dim_table *t, dim a, dim b) {
    return extreme(t, DIM_MAXIMUM, a, b);
}

/* ---- symbols ---- */

bool dim_find_symbol(const dim_table *t, const char *name, dim_symbol *out) {
    for (size_t i = 0; i < t->symbols.count; i++)
        if (strcmp(t->symbols.data[i].name, name) == 0) {
            *out = (dim_symbol)i;
            return true;
        }
    return false;
}

dim dim_make_symbol(dim_table *t, const char *name, int64_t low, int64_t high) {
    dim_symbol s;
    if (dim_find_symbol(t, name, &s)) {
        t->symbols.data[s].reserved = false;
        return t->symbols.data[s].expr;
    }
    dim d = intern_atom(t, DIM_SYMBOL, 0, 0, (int64_t)t->symbols.count);
    symbol made = {
        .name = arena_strdup(t->memory, name), .expr = d, .low = clamp(low), .high = clamp(high)};
    list_push(t->memory, &t->symbols, made);
    return d;
}

dim dim_fresh_symbol(dim_table *t, const char *stem, int64_t low, int64_t high) {
    dim_symbol s;
    const char *name = stem;
    if (dim_find_symbol(t, stem, &s) && t->symbols.data[s].reserved) {
        symbol *own = &t->symbols.data[s];
        own->reserved = false;
        if (low > own->low) own->low = low;
        if (high < own->high) own->high = high < own->low ? own->low : high;
        return own->expr;
    }
    for (size_t n = t->symbols.count; dim_find_symbol(t, name, &s); n++)
        name = arena_printf(t->memory, "%s_%zu", stem, n);
    return dim_make_symbol(t, name, low, high);
}

size_t dim_symbol_count(const dim_table *t) {
    return t->symbols.count;
}

const char *dim_symbol_name(const dim_table *t, dim_symbol s) {
    return t->symbols.data[s].name;
}

dim dim_from_symbol(const dim_table *t, dim_symbol s) {
    return t->symbols.data[s].expr;
}

void dim_reserve_symbol(dim_table *t, const char *name, int64_t low, int64_t high) {
    dim d = dim_make_symbol(t, name, low, high);
    t->symbols.data[dim_symbol_of(t, d)].reserved = true;
}

bool dim_symbol_is_reserved(const dim_table *t, dim_symbol s) {
    return t->symbols.data[s].reserved;
}

void dim_set_limit(dim_table *t, dim_symbol s, dim limit) {
    t->symbols.data[s].limit = limit;
}

dim dim_symbol_limit(const dim_table *t, dim_symbol s) {
    return t->symbols.data[s].limit;
}

void dim_set_bounds(dim_table *t, dim_symbol s, int64_t low, int64_t high) {
    t->symbols.data[s].low = clamp(low);
    t->symbols.data[s].high = clamp(high);
}

void dim_symbol_bounds(const dim_table *t, dim_symbol s, int64_t *low, int64_t *high) {
    *low = t->symbols.data[s].low;
    *high = t->symbols.data[s].high;
}

/* ---- structure ---- */

dim_op dim_op_of(const dim_table *t, dim d) {
    return get(t, d)->op;
}

dim dim_operand(const dim_table *t, dim d, int which) {
    return which ? get(t, d)->b : get(t, d)->a;
}

dim_symbol dim_symbol_of(const dim_table *t, dim d) {
    assert(get(t, d)->op == DIM_SYMBOL);
    return (dim_symbol)get(t, d)->value;
}

int64_t dim_value(const dim_table *t, dim d) {
    assert(get(t, d)->op == DIM_CONST);
    return get(t, d)->value;
}

bool dim_equals_const(const dim_table *t, dim d, int64_t value) {
    return get(t, d)->op == DIM_CONST && get(t, d)->value == value;
}

static dim combine(dim_table *t, dim_op op, dim a, dim b) {
    switch (op) {
    case DIM_ADD: return dim_add(t, a, b);
    case DIM_MUL: return dim_mul(t, a, b);
    case DIM_FLOORDIV: return dim_floordiv(t, a, b);
    case DIM_MOD: return dim_mod(t, a, b);
    case DIM_MIN: return dim_min(t, a, b);
    default: return dim_max(t, a, b);
    }
}

dim dim_substitute(dim_table *t, dim d, const dim *with) {
    expression e = *get(t, d);
    if (e.op == DIM_CONST) return d;
    if (e.op == DIM_SYMBOL) {
        const symbol *s = &t->symbols.data[e.value];
        if (with && with[e.value]) return with[e.value];
        return s->low == s->high ? dim_const(t, s->low) : d;
    }
    return combine(t, e.op, dim_substitute(t, e.a, with), dim_substitute(t, e.b, with));
}

void dim_mark_symbols(const dim_table *t, dim d, bool *used) {
    const expression *e = get(t, d);
    if (e->op == DIM_CONST) return;
    if (e->op == DIM_SYMBOL) {
        used[e->value] = true;
        return;
    }
    dim_mark_symbols(t, e->a, used);
    dim_mark_symbols(t, e->b, used);
}

int64_t dim_eval(const dim_table *t, dim d, const int64_t *values) {
    const expression *e = get(t, d);
    if (e->op == DIM_CONST) return e->value;
    if (e->op == DIM_SYMBOL) return clamp(values[e->value]);
    int64_t a = dim_eval(t, e->a, values), b = dim_eval(t, e->b, values);
    switch (e->op) {
    case DIM_ADD: return add_sat(a, b);
    case DIM_MUL: return mul_sat(a, b);
    case DIM_FLOORDIV: return floordiv_int(a, b);
    case DIM_MOD: return b ? a - floordiv_int(a, b) * b : 0;
    case DIM_MIN: return a < b ? a : b;
    default: return a > b ? a : b;
    }
}
