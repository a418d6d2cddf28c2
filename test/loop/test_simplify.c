/* test_simplify.c: index arithmetic. Named identities that generated code relies on, and random
 * expressions whose simplified form must have the value of the plain one. */
#include "ir/loop.h"
#include "ir/loop_number.h"
#include "test/unit.h"

#include <stdlib.h>

typedef struct {
    arena *memory;
    dim_table *dims;
    loop_kernel *k;
} fixture;

static fixture begin(void) {
    fixture f = {.memory = arena_create()};
    f.dims = dim_table_create(f.memory);
    f.k = loop_kernel_create(f.memory, f.dims, "k");
    return f;
}

/* Loop variables i (extent 10), j (16), l (4), w (W), h (H); symbols H and W from 1, N from 0. */
static void check_formula(const char *formula, const char *wanted) {
    fixture f = begin();
    loop_kernel *k = f.k;
    loop_expr W = loop_dim(k, dim_make_symbol(f.dims, "W", 1, DIM_MAX));
    loop_expr H = loop_dim(k, dim_make_symbol(f.dims, "H", 1, DIM_MAX));
    loop_expr N = loop_dim(k, dim_make_symbol(f.dims, "N", 0, DIM_MAX));
    loop_expr C = loop_dim(k, dim_make_symbol(f.dims, "C", 1, 64));
    loop_binding b[16] = {{"W", W}, {"H", H}, {"N", N}, {"C", C}};
    struct {
        const char *name;
        loop_expr extent;
    } vars[] = {{"i", loop_int(k, 10)},
                {"j", loop_int(k, 16)},
                {"l", loop_int(k, 4)},
                {"w", W},
                {"h", H},
                {"n", N},
                {"b", loop_floordiv(k, loop_add(k, C, loop_int(k, 15)), loop_int(k, 16))}};
    size_t count = 4;
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++)
        b[count++] = (loop_binding){
            vars[i].name, loop_var_expr(k, loop_add_var(k, vars[i].name, vars[i].extent))};
    loop_expr base = loop_mul(k, b[10].expr, loop_int(k, 16));
    loop_expr short_extent = loop_min(k, loop_int(k, 16), loop_sub(k, C, base));
    b[count++] = (loop_binding){"s", loop_var_expr(k, loop_add_var(k, "s", short_extent))};
    loop_buf x = loop_add_buffer(k, (loop_buffer){.name = "x", .type = DTYPE_I64});
    b[count++] = (loop_binding){"x", loop_load(k, x, NULL)};
    loop_buf y = loop_add_buffer(k, (loop_buffer){.name = "y", .type = DTYPE_F32});
    b[count++] = (loop_binding){"y", loop_load(k, y, NULL)};
    loop_expr e = loop_formula(k, formula, DTYPE_I64, b, count);
    CHECK_STR(loop_expr_text(k, f.memory, e), wanted);
    arena_destroy(f.memory);
}

static void test_sums(void) {
    check_formula("j + i + 3 + 2*i - 1", "3*i0 + j1 + 2");
    check_formula("i - i", "0");
    check_formula("(i + j)*(i - j)", "i0*i0 - j1*j1");
    check_formula("4*(i + 2*j) - 8*j", "4*i0");
    check_formula("-i", "-i0");
    check_formula("5 - i", "-i0 + 5");
    check_formula("h*W + w - w", "$W*h4");
    check_formula("x + 1 - x", "1");
}

static void test_quotients(void) {
    check_formula("(16*i + j) // 16", "i0");
    check_formula("(16*i + j) % 16", "j1");
    check_formula("(16*i + j + 35) // 16", "i0 + (j1 + 3) // 16 + 2");
    check_formula("(j // 4)*4 + j % 4", "j1");
    check_formula("((j + i) // 3)*3 + (j + i) % 3", "i0 + j1");
    check_formula("2*(j // 4)*4 + 2*(j % 4) + i", "i0 + 2*j1");
    check_formula("(4*i + l) // 16", "i0 // 4");
    check_formula("(4*i + l) % 16", "4*(i0 % 4) + l2");
    check_formula("(j // 2) // 4", "j1 // 8");
    check_formula("(i // 2 + 1) // 4", "(i0 + 2) // 8");
    check_formula("j % 16", "j1");
    check_formula("j // 16", "0");
    check_formula("(x*16) // 16", "16*%x[] // 16"); /* may wrap */
    check_formula("x // 1", "%x[]");
    check_formula("x % 1", "0");
}

static void test_symbolic_quotients(void) {
    check_formula("(h*W + w) // W", "h4");
    check_formula("(h*W + w) % W", "w3");
    check_formula("(i*H*W + h*W + w) // (H*W)", "i0");
    check_formula("(i*H*W + h*W + w) % (H*W)", "w3 + $W*h4");
    check_formula("((i*H*W + h*W + w) // W) % H", "h4");
    check_formula("(i*(W + 1) + w) // (W + 1)", "i0");
    check_formula("(h*W) // W", "h4");
    check_formula("(i*N + n) // N", "i0"); /* n < N: so N is not zero */
    check_formula("(i*N) // N", "$N*i0 // $N");
}

static void test_comparisons(void) {
    check_formula("i < 10", "true");
    check_formula("i >= 10", "false");
    check_formula("w < W", "true");
    check_formula("h*W + w < H*W", "true");
    check_formula("w == W", "false");
    check_formula("16*b + s < C", "true");
    check_formula("16*b + j < C", "j1 + 16*b6 < $C");
    check_formula("16*i + l < 16*i + 3", "l2 < 3");
    check_formula("4*i < 14", "i0 < 4");
    check_formula("i <= 3", "i0 < 4");
    check_formula("i > 3", "4 <= i0");
    check_formula("i == 3", "i0 == 3");
    check_formula("2*i == 3", "false");
    check_formula("!(i == 3)", "i0 != 3");
    check_formula("x < x + 1", "%x[] < %x[] + 1"); /* may wrap */
}

static void test_extremes(void) {
    check_formula("min(i, 9)", "i0");
    check_formula("min(i, 8)", "min(i0, 8)");
    check_formula("max(0, min(w, W - 1))", "w3");
    check_formula("min(min(x, 3), 5)", "min(%x[], 3)");
    check_formula("min(s + 16*b, C - 1)", "16*b6 + s7");
    check_formula("select(i < 10, j, l)", "j1");
    check_formula("max(-1, max(0, x)) % 16", "max(%x[], 0) % 16");
}

static void test_floats(void) {
    check_formula("y * 1", "%y[]");
    check_formula("y + 0", "%y[] + 0.0");
    check_formula("y - 0", "%y[]");
    check_formula("--y", "%y[]");
    check_formula("y / 4", "%y[] * 0.25");
    check_formula("y / 3", "%y[] / 3.0");
    check_formula("y < 0", "%y[] < 0.0");
    check_formula("!(y < 0)", "!(%y[] < 0.0)");
    check_formula("select(y < 0, 0.1*y, y)", "select(%y[] < 0.0, %y[] * 0.1, %y[])");
    check_formula("cast_i64(cast_f64(y))", "cast_i64(%y[])");
    check_formula("max(max(y, 0), 1)", "max(%y[], 1.0)");
    check_formula("1.5 + 2", "3.5");
    check_formula("y + nan", "%y[] + nan");
    check_formula("y > -inf", "-inf < %y[]");
    /* A rounded number that fits survives being an integer; minus zero and NaN do not. */
    check_formula("cast_f32(cast_u8(round(select(y < 9.5, y, 9.5)) + 0.0))",
                  "cast_f32(cast_u8(round(select(%y[] < 9.5, %y[], 9.5))))");
    check_formula("cast_f32(cast_u8(round(select(0.0 < select(y < 9.5, y, 9.5), select(y < 9.5, y, "
                  "9.5), 0.0)) + 0.0))",
                  "round(select(0.0 < select(%y[] < 9.5, %y[], 9.5), select(%y[] < 9.5, %y[], "
                  "9.5), 0.0)) + 0.0");
    check_formula("cast_u8(y + 0.0)", "cast_u8(%y[])");
}

/* ---- random expressions ---- */

enum { VARS = 4, SYMBOLS = 2, NODES = 24 };

static uint64_t random_state;
static uint32_t next_random(uint32_t below) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

/* Value of an expression, node by node. */
static loop_number evaluate(const loop_kernel *k, loop_expr e, const int64_t *vars,
                            const int64_t *symbols) {
    loop_node n = *loop_get(k, e);
    loop_number args[3] = {{0}};
    switch (n.op) {
    case LOOP_CONST: return (loop_number){.i = n.i};
    case LOOP_VAR: return (loop_number){.i = vars[n.i]};
    case LOOP_DIM: return (loop_number){.i = symbols[n.i]};
    default: break;
    }
    for (uint32_t i = 0; i < n.arg_count; i++) args[i] = evaluate(k, n.args[i], vars, symbols);
    dtype t = loop_type(k, n.args[n.arg_count - 1]);
    if (n.op == LOOP_CAST) return loop_convert(n.type, t, args[0]);
    return loop_apply(n.op, t, args[0], args[1], args[2]);
}

/* The plain form: a list of operations on earlier elements. */
typedef struct {
    loop_op op;
    uint32_t a, b;
    int64_t value;
} plain;

static int64_t plain_value(const plain *list, uint32_t at, const int64_t *vars,
                           const int64_t *symbols) {
    int64_t v[NODES] = {0};
    for (uint32_t i = 0; i <= at; i++) {
        const plain *p = &list[i];
        if (p->op == LOOP_CONST)
            v[i] = p->value;
        else if (p->op == LOOP_VAR)
            v[i] = vars[p->value];
        else if (p->op == LOOP_DIM)
            v[i] = symbols[p->value];
        else
            v[i] = loop_apply(p->op, DTYPE_I64, (loop_number){.i = v[p->a]},
                              (loop_number){.i = v[p->b]}, (loop_number){.i = 0})
                       .i;
    }
    return v[at];
}

static void check_random(uint64_t seed) {
    random_state = seed * 77777 + 5;
    fixture f = begin();
    loop_kernel *k = f.k;
    loop_expr e[NODES];
    plain list[NODES];
    loop_expr extents[VARS];
    int64_t low = next_random(2);
    loop_expr n = loop_dim(k, dim_make_symbol(f.dims, "N", low, DIM_MAX));
    loop_expr m = loop_dim(k, dim_make_symbol(f.dims, "M", 1, 8));
    extents[0] = n;
    extents[1] = loop_int(k, 1 + next_random(20));
    extents[2] = m;
    extents[3] = loop_min(k, loop_int(k, 4), loop_add(k, n, m));
    for (int v = 0; v < VARS; v++) loop_add_var(k, "v", extents[v]);
    static const loop_op ops[] = {
        LOOP_ADD, LOOP_ADD, LOOP_SUB, LOOP_MUL, LOOP_MUL, LOOP_FLOORDIV, LOOP_FLOORDIV, LOOP_MOD,
        LOOP_MOD, LOOP_MIN, LOOP_MAX, LOOP_DIV, LOOP_REM, LOOP_LT,       LOOP_LE,       LOOP_EQ};
    for (uint32_t i = 0; i < NODES; i++) {
        plain p = {.op = LOOP_CONST};
        if (i < VARS)
            p = (plain){.op = LOOP_VAR, .value = i};
        else if (i < VARS + SYMBOLS)
            p = (plain){.op = LOOP_DIM, .value = i - VARS};
        else if (i < VARS + SYMBOLS + 4)
            p.value = (next_random(3) ? (int64_t)1 << next_random(6) : next_random(40)) -
                      (next_random(4) == 0) * 20;
        else
            p = (plain){.op = ops[next_random(sizeof ops / sizeof *ops)],
                        .a = next_random(i),
                        .b = next_random(i)};
        list[i] = p;
        if (p.op == LOOP_CONST)
            e[i] = loop_int(k, p.value);
        else if (p.op == LOOP_VAR)
            e[i] = loop_var_expr(k, (loop_var)p.value);
        else if (p.op == LOOP_DIM)
            e[i] = p.value ? m : n;
        else
            e[i] = loop_make(k, p.op, e[p.a], e[p.b], 0);
        if (loop_type(k, e[i]) == DTYPE_BOOL) e[i] = loop_cast(k, DTYPE_I64, e[i]);
        /* What the rules assume of index arithmetic: that nothing overflows. */
        int64_t range_low, range_high;
        loop_range(k, e[i], &range_low, &range_high);
        if (range_low < -((int64_t)1 << 50) || range_high > (int64_t)1 << 50)
            e[i] = loop_int(k, list[i].value = 7), list[i].op = LOOP_CONST;
    }
    for (int round = 0; round < 40; round++) {
        int64_t symbols[SYMBOLS] = {low + next_random(9), 1 + next_random(8)}, vars[VARS];
        bool empty = false;
        for (int v = 0; v < VARS; v++) {
            int64_t extent = evaluate(k, extents[v], NULL, symbols).i;
            empty |= extent < 1;
            vars[v] = extent < 1 ? 0 : next_random((uint32_t)extent);
        }
        if (empty) continue;
        for (uint32_t i = 0; i < NODES; i++) {
            int64_t got = evaluate(k, e[i], vars, symbols).i;
            int64_t wanted = plain_value(list, i, vars, symbols);
            int64_t range_low, range_high;
            loop_range(k, e[i], &range_low, &range_high);
            CHECK(got == wanted);
            CHECK(range_low <= got && got <= range_high);
            loop_var fixed = (loop_var)(round % VARS);
            loop_range_at(k, e[i], fixed, vars[fixed], &range_low, &range_high);
            CHECK(range_low <= got && got <= range_high);
            if (unit_errors) {
                printf("seed %llu node %u: %s\n", (unsigned long long)seed, i,
                       loop_expr_text(k, f.memory, e[i]));
                arena_destroy(f.memory);
                return;
            }
        }
    }
    arena_destroy(f.memory);
}

/* With one variable known, quotients, remainders and comparisons of it are. */
static void test_range_at(void) {
    static const struct {
        const char *formula;
        int64_t at, low, high;
    } cases[] = {
        {"(16*i + j) // 64", 7, 1, 1},
        {"(16*i + j) % 64", 7, 48, 63},
        {"select(i < 3, i, 20 - i)", 2, 2, 2},
        {"select(i < 3, i, 20 - i)", 3, 17, 17},
        {"i < j", 15, 0, 0},
        {"i < j", 4, 0, 1},
        {"!(i <= 4) || i == j", 4, 0, 1},
        {"!(i <= 4) || i == j", 5, 1, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        fixture f = begin();
        loop_var i = loop_add_var(f.k, "i", loop_int(f.k, 20));
        loop_var j = loop_add_var(f.k, "j", loop_int(f.k, 16));
        loop_binding b[] = {{"i", loop_var_expr(f.k, i)}, {"j", loop_var_expr(f.k, j)}};
        loop_expr e = loop_formula(f.k, cases[c].formula, DTYPE_I64, b, 2);
        int64_t low, high;
        loop_range_at(f.k, e, i, cases[c].at, &low, &high);
        CHECK(low == cases[c].low && high == cases[c].high);
        arena_destroy(f.memory);
    }
}

/* An expression whose tree has 2^60 leaves. */
static void test_range_at_of_shared(void) {
    fixture f = begin();
    loop_buf x = loop_add_buffer(f.k, (loop_buffer){.name = "x", .type = DTYPE_I64});
    loop_var i = loop_add_var(f.k, "i", loop_int(f.k, 4));
    loop_expr e = loop_max(f.k, loop_var_expr(f.k, i), loop_load(f.k, x, NULL));
    for (int64_t n = 0; n < 60; n++)
        e = loop_max(f.k, loop_make(f.k, LOOP_XOR, e, loop_int(f.k, n), 0),
                     loop_make(f.k, LOOP_OR, e, loop_int(f.k, n), 0));
    int64_t low, high;
    loop_range_at(f.k, e, i, 2, &low, &high);
    CHECK(low <= high);
    arena_destroy(f.memory);
}

static void test_random(void) {
    for (uint64_t seed = 0; seed < 3000 && !unit_errors; seed++) check_random(seed);
}

/* A chain in which every step uses the last twice must stay linear in time and size. */
static void test_deep_sharing(void) {
    fixture f = begin();
    loop_kernel *k = f.k;
    loop_buf b = loop_add_buffer(k, (loop_buffer){.name = "x", .type = DTYPE_F32});
    loop_var v = loop_add_var(k, "v", loop_int(k, 8));
    loop_expr e = loop_add(k, loop_load(k, b, NULL), loop_cast(k, DTYPE_F32, loop_var_expr(k, v)));
    for (int i = 0; i < 2000; i++) e = loop_mul(k, loop_add(k, e, loop_const(k, DTYPE_F32, i)), e);
    CHECK(loop_uses_var(k, e, v));
    loop_expr with[] = {loop_int(k, 3)};
    loop_expr r = loop_substitute(k, e, with);
    CHECK(!loop_uses_var(k, r, v));
    CHECK(strlen(loop_expr_text(k, f.memory, r)) < 400000);
    arena_destroy(f.memory);
}

int main(void) {
    RUN(test_sums);
    RUN(test_quotients);
    RUN(test_symbolic_quotients);
    RUN(test_comparisons);
    RUN(test_extremes);
    RUN(test_floats);
    RUN(test_range_at);
    RUN(test_range_at_of_shared);
    RUN(test_random);
    RUN(test_deep_sharing);
    return unit_finish();
}
