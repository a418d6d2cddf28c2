/* test_dim.c: dimension expressions against plain arithmetic: random expressions are built twice,
 * as a dim and as a tree of our own, and compared at random points within the symbols' bounds. */
#include "ir/dim.h"
#include "test/unit.h"

#include <stdlib.h>

enum { SYMBOLS = 4, CASES = 4000, POINTS = 12, DEPTH = 4 };

static const int64_t lows[SYMBOLS] = {0, 1, 1, 3}, highs[SYMBOLS] = {DIM_MAX, DIM_MAX, 64, 7};

static uint32_t state = 1;

static uint32_t random_below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state * n) >> 32);
}

typedef struct tree {
    int op; /* 0 constant, 1 symbol, 2 + ... as below */
    int64_t value;
    const struct tree *a, *b;
} tree;

enum { CONSTANT, SYMBOL, ADD, SUB, MUL, FLOORDIV, CEILDIV, MOD, MIN, MAX, OPS };

static const tree *random_tree(arena *a, int depth) {
    tree *t = ARENA_NEW(a, tree);
    t->op = (int)(depth ? random_below(OPS) : random_below(2));
    if (t->op == CONSTANT) t->value = (int64_t)random_below(12) - (depth ? 0 : 3);
    if (t->op == SYMBOL) t->value = random_below(SYMBOLS);
    if (t->op < ADD) return t;
    t->a = random_tree(a, depth - 1);
    t->b = random_tree(a, depth - 1);
    if (t->op == FLOORDIV || t->op == CEILDIV || t->op == MOD) {
        tree *divisor = ARENA_NEW(a, tree);
        bool plain = random_below(3) != 0;
        divisor->op = plain ? CONSTANT : SYMBOL;
        divisor->value = plain ? 1 + random_below(8) : 1 + random_below(SYMBOLS - 1);
        t->b = divisor;
    }
    return t;
}

static int64_t floor_quotient(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t eval_tree(const tree *t, const int64_t *values) {
    if (t->op == CONSTANT) return t->value;
    if (t->op == SYMBOL) return values[t->value];
    int64_t a = eval_tree(t->a, values), b = eval_tree(t->b, values);
    switch (t->op) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case FLOORDIV: return floor_quotient(a, b);
    case CEILDIV: return -floor_quotient(-a, b);
    case MOD: return a - floor_quotient(a, b) * b;
    case MIN: return a < b ? a : b;
    default: return a > b ? a : b;
    }
}

static dim build(dim_table *d, const tree *t, bool right_first) {
    static dim (*const make[])(dim_table *, dim, dim) = {
        [ADD] = dim_add,         [SUB] = dim_sub, [MUL] = dim_mul, [FLOORDIV] = dim_floordiv,
        [CEILDIV] = dim_ceildiv, [MOD] = dim_mod, [MIN] = dim_min, [MAX] = dim_max};
    if (t->op == CONSTANT) return dim_const(d, t->value);
    if (t->op == SYMBOL) return dim_from_symbol(d, (dim_symbol)t->value);
    dim b = right_first ? build(d, t->b, true) : 0;
    dim a = build(d, t->a, right_first);
    if (!right_first) b = build(d, t->b, false);
    return make[t->op](d, a, b);
}

static dim_table *make_table(arena *a) {
    static const char *const names[SYMBOLS] = {"N", "seq len", "K", "it's"};
    dim_table *d = dim_table_create(a);
    for (int i = 0; i < SYMBOLS; i++) dim_make_symbol(d, names[i], lows[i], highs[i]);
    return d;
}

static void random_point(int64_t *values) {
    for (int i = 0; i < SYMBOLS; i++) {
        int64_t span = highs[i] - lows[i];
        values[i] = lows[i] + random_below(span < 20 ? (uint32_t)span + 1 : 20);
    }
}

static void test_values_and_bounds(void) {
    for (int i = 0; i < CASES; i++) {
        arena *a = arena_create();
        dim_table *d = make_table(a);
        const tree *t = random_tree(a, DEPTH);
        dim e = build(d, t, false), same = dim_substitute(d, e, NULL);
        for (int j = 0; j < POINTS; j++) {
            int64_t values[SYMBOLS];
            random_point(values);
            int64_t wanted = eval_tree(t, values);
            bool ok = dim_eval(d, e, values) == wanted && dim_eval(d, same, values) == wanted &&
                      dim_low(d, e) <= wanted && wanted <= dim_high(d, e);
            if (!ok) printf("case %d: %s\n", i, dim_text(d, a, e));
            CHECK(ok);
        }
        arena_destroy(a);
    }
}

static void test_text(void) {
    for (int i = 0; i < CASES; i++) {
        arena *a = arena_create();
        dim_table *d = make_table(a), *other = make_table(a);
        const tree *t = random_tree(a, DEPTH);
        dim e = build(d, t, false);
        const char *text = dim_text(d, a, e), *at = text;
        CHECK_STR(dim_text(other, a, build(other, t, true)), text);
        dim back = dim_parse(d, &at);
        if (back != e) printf("%s\n", text);
        CHECK(back == e && *at == '\0');
        dim_table *third = make_table(a);
        at = text;
        CHECK_STR(dim_text(third, a, dim_parse(third, &at)), text);
        arena_destroy(a);
    }
}

static const char *simplify(arena *a, const char *text) {
    dim_table *d = dim_table_create(a);
    dim_make_symbol(d, "N", 1, DIM_MAX);
    dim_make_symbol(d, "a", 0, DIM_MAX);
    dim_make_symbol(d, "b", 0, 3);
    dim e = dim_parse(d, &text);
    return e && !*text ? dim_text(d, a, e) : NULL;
}

static void test_simplification(void) {
    arena *a = arena_create();
    CHECK_STR(simplify(a, "(4*N) // 4"), "N");
    CHECK_STR(simplify(a, "(N*a + 6) // N"), "a + 6 // N");
    CHECK_STR(simplify(a, "(12*a + 9) // 4"), "3*a + 2");
    CHECK_STR(simplify(a, "(12*a + 9) % 4"), "1");
    CHECK_STR(simplify(a, "(4*a + b) // 4"), "a");
    CHECK_STR(simplify(a, "(4*a + b) % 4"), "b");
    CHECK_STR(simplify(a, "(a // 2) // 3"), "a // 6");
    CHECK_STR(simplify(a, "min(N, 0)"), "0");
    CHECK_STR(simplify(a, "max(N + 3, N)"), "N + 3");
    CHECK_STR(simplify(a, "max(b, 3)"), "3");
    CHECK_STR(simplify(a, "max(a, min(a, 9))"), "a");
    CHECK_STR(simplify(a, "max(max(a, 9), a)"), "max(9, a)");
    CHECK_STR(simplify(a, "(a + 1)*(a - 1) - a*a"), "-1");
    CHECK_STR(simplify(a, "N // N"), "1");
    arena_destroy(a);
}

static void test_formulas(void) {
    arena *a = arena_create();
    CHECK_STR(simplify(a, "floor(a/2 - 1/2)"), "(a + 1) // 2 - 1");
    CHECK_STR(simplify(a, "floor(floor(a/2 - 1/2)/2) + 1"), "(a + 3) // 4");
    CHECK_STR(simplify(a, "ceiling(a/2)"), "(a + 1) // 2");
    CHECK_STR(simplify(a, "Max(1, N)"), "N");
    CHECK(!simplify(a, "a/2"));
    CHECK(!simplify(a, "a // 0"));
    CHECK(!simplify(a, "floor("));
    CHECK(!simplify(a, "99999999999999999999"));
    CHECK(!simplify(a, "'"));
    arena_destroy(a);
}

/* Text that asks for more than anybody can hold ends, one way or another. */
static void test_hostile(void) {
    arena *a = arena_create();
    dim_table *d = dim_table_create(a);
    dim product = dim_const(d, 1), square = dim_make_symbol(d, "N", 0, DIM_MAX), nest = square;
    for (int i = 0; i < 60; i++) {
        dim x = dim_make_symbol(d, arena_printf(a, "x%d", i), 0, DIM_MAX);
        product = dim_mul(d, product, dim_add(d, x, square));
        square = dim_add(d, dim_mul(d, square, square), x);
        nest = dim_min(d, dim_add(d, nest, x), dim_mul(d, nest, x));
    }
    CHECK(strlen(dim_text(d, a, dim_add(d, product, dim_add(d, square, nest)))) < 100000);
    char deep[4096];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    CHECK(!simplify(a, deep));
    memset(deep, '-', sizeof deep - 1);
    CHECK(!simplify(a, deep));
    arena_destroy(a);
}

int main(void) {
    RUN(test_values_and_bounds);
    RUN(test_text);
    RUN(test_simplification);
    RUN(test_formulas);
    RUN(test_hostile);
    return unit_finish();
}
