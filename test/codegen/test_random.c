/* test_random.c: random scheduled kernels, LLVM against the interpreter, bit for bit (machines
 * without fused multiply-add, so that both round alike). A kernel is a nest of serial, unrolled and
 * vector loops, some with masks, around stores of random expressions over random accesses; values
 * also pass through tiles. The argument is the number of kernels; a second one is the first seed.
 */
#include "test/codegen/kernel_run.h"

enum { MAX_VARS = 6 };

typedef struct {
    loop_kernel *k;
    unsigned seed;
    loop_expr vars[MAX_VARS]; /* of the loops around, outermost first */
    int64_t extents[MAX_VARS];
    int var_count;
    bool in_vector, to_tile; /* to_tile: lanes must not read what other lanes write */
    loop_buf tile;           /* [4][8] of f32 */
} generator;

static int64_t pick(generator *g, int64_t n) {
    return (int64_t)(run_random(&g->seed) % (uint32_t)n);
}

static const dtype types[] = {DTYPE_F32, DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_I64, DTYPE_U8,
                              DTYPE_I8,  DTYPE_I16, DTYPE_U32, DTYPE_U64, DTYPE_BOOL};

static dtype pick_type(generator *g) {
    return types[pick(g, sizeof types / sizeof *types)];
}

/* ---- indices: never negative ---- */

static loop_expr make_index(generator *g) {
    loop_kernel *k = g->k;
    loop_expr at = loop_int(k, pick(g, 5));
    for (int i = 0; i < g->var_count; i++) {
        int64_t factor = pick(g, 3) ? pick(g, 4) : g->extents[i];
        loop_expr v = g->vars[i];
        switch (pick(g, 6)) {
        case 0: v = loop_floordiv(k, v, loop_int(k, 1 + pick(g, 3))); break;
        case 1: v = loop_mod(k, v, loop_int(k, 1 + pick(g, 5))); break;
        case 2: v = loop_sub(k, loop_int(k, g->extents[i] - 1), v); break;
        default: break;
        }
        at = loop_add(k, at, loop_mul(k, v, loop_int(k, factor)));
    }
    if (!pick(g, 6)) at = loop_min(k, at, loop_int(k, 7 + pick(g, 20)));
    return at;
}

/* A buffer that the index fits into. */
static loop_buf make_buffer(generator *g, dtype t, loop_space space, loop_expr at) {
    int64_t low, high;
    loop_range(g->k, at, &low, &high);
    loop_expr extent = loop_int(g->k, high + 1);
    const char *name = space == LOOP_SPACE_INPUT ? "x" : "y";
    return loop_add_buffer(
        g->k,
        (loop_buffer){.name = name, .type = t, .space = space, .rank = 1, .extents = &extent});
}

/* ---- expressions ---- */

static loop_expr make_expr(generator *g, dtype t, int depth);

static loop_expr make_leaf(generator *g, dtype t) {
    loop_kernel *k = g->k;
    switch (pick(g, 5)) {
    case 0: return loop_const(k, t, (double)(pick(g, 9) - (dtype_is_float(t) ? 4 : 0)));
    case 1:
        if (g->var_count && t != DTYPE_BOOL) return loop_cast(k, t, g->vars[pick(g, g->var_count)]);
        break;
    case 2:
        if (t == DTYPE_F32) {
            loop_expr index[] = {loop_int(k, pick(g, 4)), loop_int(k, pick(g, 8))};
            if (g->in_vector && (g->to_tile || pick(g, 2))) index[1] = g->vars[g->var_count - 1];
            return loop_load(k, g->tile, index);
        }
        break;
    default: break;
    }
    loop_expr at = make_index(g);
    return loop_load(k, make_buffer(g, t, LOOP_SPACE_INPUT, at), &at);
}

static loop_expr make_bool(generator *g, int depth) {
    loop_kernel *k = g->k;
    if (pick(g, 3) == 0) {
        loop_op op = (loop_op)(LOOP_AND + pick(g, 3));
        return loop_make(k, op, make_expr(g, DTYPE_BOOL, depth - 1),
                         make_expr(g, DTYPE_BOOL, depth - 1), 0);
    }
    loop_op op = (loop_op)(LOOP_EQ + pick(g, 4));
    if (pick(g, 2)) return loop_make(k, op, make_index(g), make_index(g), 0);
    dtype t = pick_type(g);
    if (t == DTYPE_BOOL) t = DTYPE_I32;
    return loop_make(k, op, make_expr(g, t, depth - 1), make_expr(g, t, depth - 1), 0);
}

static loop_expr make_expr(generator *g, dtype t, int depth) {
    static const loop_op arithmetic[] = {LOOP_ADD,   LOOP_SUB, LOOP_MUL,     LOOP_MIN,   LOOP_MAX,
                                         LOOP_NEG,   LOOP_ABS, LOOP_DIV,     LOOP_FLOOR, LOOP_TRUNC,
                                         LOOP_ROUND, LOOP_REM, LOOP_FLOORDIV};
    static const loop_op bits[] = {LOOP_AND, LOOP_OR,  LOOP_XOR,      LOOP_NOT,
                                   LOOP_SHL, LOOP_SHR, LOOP_FLOORDIV, LOOP_MOD};
    loop_kernel *k = g->k;
    if (depth <= 0) return make_leaf(g, t);
    if (t == DTYPE_BOOL) return make_bool(g, depth);
    int kind = (int)pick(g, 10);
    if (kind == 0) return make_leaf(g, t);
    if (kind == 1)
        return loop_select(k, make_bool(g, depth - 1), make_expr(g, t, depth - 1),
                           make_expr(g, t, depth - 1));
    if (kind == 2) return loop_cast(k, t, make_expr(g, pick_type(g), depth - 1));
    if (t == DTYPE_I32 && pick(g, 4) == 0) {
        loop_expr dot = loop_make(k, LOOP_DOT4, make_expr(g, DTYPE_U32, depth - 1),
                                  make_expr(g, DTYPE_U32, depth - 1), 0);
        return pick(g, 2) ? dot : loop_add(k, make_expr(g, t, depth - 1), dot);
    }
    loop_op op = arithmetic[pick(g, sizeof arithmetic / sizeof *arithmetic)];
    if (!dtype_is_float(t) && pick(g, 2)) op = bits[pick(g, sizeof bits / sizeof *bits)];
    /* The interpreter divides by floats in more digits before it rounds down. */
    if (dtype_is_float(t) && op == LOOP_FLOORDIV) op = LOOP_ADD;
    int arity = loop_ops[op].arity;
    loop_expr a = make_expr(g, t, depth - 1);
    loop_expr b = arity > 1 ? make_expr(g, t, depth - 1) : 0;

    if (dtype_is_float(t) && op == LOOP_DIV) /* the sign of a zero is not kept by minima */
        b = loop_add(k, loop_make(k, LOOP_ABS, b, 0, 0), loop_const(k, t, 1));
    return loop_make(k, op, a, b, 0);
}

/* ---- statements ---- */

/* Every iteration of the loops around stores to a place of its own. */
static loop_stmt *make_store(generator *g) {
    loop_kernel *k = g->k;
    loop_expr at = loop_int(k, 0);
    int64_t size = 1 + pick(g, 2);
    if (g->in_vector && pick(g, 3) == 0) {
        loop_expr index[] = {loop_int(k, pick(g, 4)), g->vars[g->var_count - 1]};
        g->to_tile = true;
        loop_expr value = make_expr(g, DTYPE_F32, 3);
        g->to_tile = false;
        return loop_store(k, g->tile, index, value);
    }
    for (int i = g->var_count; i-- > 0;) {
        loop_expr v = g->vars[i];
        if (!pick(g, 4)) v = loop_sub(k, loop_int(k, g->extents[i] - 1), v);
        at = loop_add(k, at, loop_mul(k, v, loop_int(k, size)));
        size *= g->extents[i];
    }
    dtype t = pick_type(g);
    loop_expr value = make_expr(g, t, 4);
    return loop_store(k, make_buffer(g, t, LOOP_SPACE_OUTPUT, at), &at, value);
}

static loop_stmt *make_block(generator *g, int depth);

static loop_stmt *make_loop(generator *g, int depth) {
    static const int64_t lanes[] = {8, 8, 4, 2, 7, 5};
    loop_kernel *k = g->k;
    loop_kind kind = depth <= 1 ? LOOP_VECTOR : pick(g, 2) ? LOOP_SERIAL : LOOP_UNROLL;
    int64_t extent = kind == LOOP_VECTOR ? lanes[pick(g, 6)] : 1 + pick(g, 4);
    loop_expr active = 0;
    if (kind == LOOP_VECTOR && !pick(g, 3)) {
        active = loop_int(k, pick(g, 9));
        if (g->var_count && pick(g, 2)) active = g->vars[pick(g, g->var_count)];
    }
    loop_var v = loop_add_var(k, "i", loop_int(k, extent));
    g->extents[g->var_count] = extent;
    g->vars[g->var_count++] = loop_var_expr(k, v);
    g->in_vector = kind == LOOP_VECTOR;
    loop_stmt *body = kind == LOOP_VECTOR ? make_store(g) : make_block(g, depth - 1);
    g->in_vector = false;
    g->var_count--;
    loop_stmt *s = loop_for(k, kind, v, loop_int(k, extent), body);
    s->active = active;
    return s;
}

static loop_stmt *make_block(generator *g, int depth) {
    loop_stmt *out = NULL;
    for (int n = 1 + (int)pick(g, 2); n > 0; n--) {
        loop_stmt *s;
        if (depth <= 0 || !pick(g, 5))
            s = make_store(g);
        else if (!pick(g, 5))
            s = loop_if(g->k, make_bool(g, 2), make_block(g, depth - 1),
                        pick(g, 2) ? make_block(g, depth - 1) : NULL);
        else
            s = make_loop(g, depth);
        out = loop_join(out, s);
    }
    return out;
}

static loop_kernel *make_kernel(arena *a, dim_table *dims, unsigned seed) {
    generator g = {.k = loop_kernel_create(a, dims, arena_printf(a, "random_%u", seed))};
    loop_kernel *k = g.k;
    g.seed = seed * 2654435761u + 12345;
    loop_expr extents[] = {loop_int(k, 4), loop_int(k, 8)};
    g.tile = loop_add_buffer(k, (loop_buffer){.name = "t",
                                              .type = DTYPE_F32,
                                              .space = LOOP_SPACE_TILE,
                                              .rank = 2,
                                              .extents = extents});
    loop_var u = loop_add_var(k, "u", extents[0]), v = loop_add_var(k, "v", extents[1]);
    loop_expr index[] = {loop_var_expr(k, u), loop_var_expr(k, v)};
    loop_stmt *fill = loop_store(k, g.tile, index, loop_const(k, DTYPE_F32, 1.5));
    fill = loop_for(k, LOOP_UNROLL, u, extents[0], loop_for(k, LOOP_VECTOR, v, extents[1], fill));
    loop_stmt *body = make_block(&g, 3);
    k->body = loop_join(fill, loop_join(body, make_block(&g, 2)));
    return k;
}

int main(int argc, char **argv) {
    enum { KERNELS = 60, MAX_BUFFERS = 60 };
    int passed = 0, failed = 0, skipped = 0;
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : KERNELS;
    unsigned first = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    for (unsigned seed = first; seed < first + count; seed++) {
        arena *a = arena_create();
        diag d;
        diag_init(&d, a, "random");
        loop_kernel *k = make_kernel(a, dim_table_create(a), seed);
        bool ok = loop_verify(k, &d, "random");
        if (ok && k->buffers.count > MAX_BUFFERS) {
            arena_destroy(a);
            continue;
        }
        int level = (int)(seed % RUN_LEVELS);
        target_machine m;
        if (!target_find(run_levels[level], &m) || !target_runs_here(&m)) {
            skipped++;
            printf("SKIP random_%u: this processor is no %s\n", seed, run_levels[level]);
            arena_destroy(a);
            continue;
        }
        m.fma = false;
        run_data r = {k, NULL, seed, seed % 2 == 0};
        llvm_options o = {.optimize = seed % 5 ? 2 : 0, .threads = 1, .verify = true};
        ok = ok && run_compare(k, &r, &m, o, RUN_EXACT, &d);
        if (!ok) printf("FAILED random_%u\n%s\n", seed, loop_text(k, a));
        ok ? passed++ : failed++;
        arena_destroy(a);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
