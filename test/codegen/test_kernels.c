/* test_kernels.c: kernels that LLVM compiles against the interpreter, at every level that this
 * processor has: each opcode on each type, each way to access memory, tiles, masks, loops. */
#include "test/codegen/kernel_run.h"

static int passed, failed, skipped;

typedef struct {
    arena *memory;
    dim_table *dims;
    diag d;
    loop_kernel *k;
} fixture;

static fixture begin(const char *text) {
    fixture f = {.memory = arena_create()};
    f.dims = dim_table_create(f.memory);
    diag_init(&f.d, f.memory, "kernel");
    f.k = text ? loop_parse(f.memory, f.dims, &f.d, text, strlen(text))
               : loop_kernel_create(f.memory, f.dims, "kernel");
    return f;
}

static void tally(bool ok, const char *name, const char *level) {
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAILED %s on %s\n", name, level);
}

/* All levels, with and without passes. */
static void run_everywhere(fixture *f, const char *name, const int64_t *symbols, bool specials,
                           run_match match) {
    bool sound = f->k && loop_verify(f->k, &f->d, "test");
    for (size_t i = 0; i < f->d.items.count; i++)
        printf("%s\n", diag_text(&f->d, &f->d.items.data[i]));
    for (int level = 0; level < RUN_LEVELS; level++) {
        target_machine m;
        bool known = target_find(run_levels[level], &m);
        if (known && !target_runs_here(&m)) {
            skipped++;
            printf("SKIP %s: this processor is no %s\n", name, run_levels[level]);
            continue;
        }
        bool ok = known && sound;
        if (match == RUN_EXACT) m.fma = false;
        for (int optimize = 0; optimize <= 2 && ok; optimize += 2) {
            run_data r = {f->k, symbols, 7, specials};
            llvm_options o = {.optimize = optimize, .verify = true};
            ok = run_compare(f->k, &r, &m, o, match, &f->d);
        }
        tally(ok, name, run_levels[level]);
    }
    arena_destroy(f->memory);
}

static void run_text(const char *name, const char *text, const int64_t *symbols, run_match match) {
    fixture f = begin(text);
    run_everywhere(&f, name, symbols, false, match);
}

/* ---- every opcode on every type ---- */

static bool takes(loop_op op, dtype t) {
    bool is_float = dtype_is_float(t);
    if (op == LOOP_SELECT || op == LOOP_EQ || op == LOOP_NE) return true;
    if (op == LOOP_CAST || op == LOOP_BITCAST) return false;
    if (op == LOOP_DOT4) return t == DTYPE_U32;
    if (t == DTYPE_BOOL) return op >= LOOP_AND && op <= LOOP_NOT;
    if (op == LOOP_SQRT) return is_float;
    return !(is_float && op >= LOOP_AND && op <= LOOP_SHR);
}

static loop_buf add_array(fixture *f, const char *name, dtype t, loop_space space, int64_t count) {
    loop_expr extent = loop_int(f->k, count);
    return loop_add_buffer(
        f->k,
        (loop_buffer){.name = name, .type = t, .space = space, .rank = 1, .extents = &extent});
}

enum { OPCODE_ROWS = 6 };

/* out[i] = op(a[i], b[i], c[i]) by vectors, and once more by scalars. */
static void run_opcode(loop_op op, dtype t, int lanes) {
    fixture f = begin(NULL);
    loop_kernel *k = f.k;
    bool to_bool = op >= LOOP_EQ && op <= LOOP_LE;
    dtype result = to_bool ? DTYPE_BOOL : op == LOOP_DOT4 ? DTYPE_I32 : t;
    loop_buf out = add_array(&f, "out", result, LOOP_SPACE_OUTPUT, OPCODE_ROWS * lanes);
    loop_buf a = add_array(&f, "a", t, LOOP_SPACE_INPUT, OPCODE_ROWS * lanes);
    loop_buf b = add_array(&f, "b", t, LOOP_SPACE_INPUT, OPCODE_ROWS * lanes);
    loop_buf c = add_array(&f, "c", t, LOOP_SPACE_INPUT, OPCODE_ROWS * lanes);
    loop_buf choice = add_array(&f, "choice", DTYPE_BOOL, LOOP_SPACE_INPUT, OPCODE_ROWS * lanes);
    loop_var i = loop_add_var(k, "i", loop_int(k, OPCODE_ROWS));
    loop_var v = loop_add_var(k, "v", loop_int(k, lanes));
    loop_expr at =
        loop_add(k, loop_mul(k, loop_var_expr(k, i), loop_int(k, lanes)), loop_var_expr(k, v));
    loop_expr x = loop_load(k, a, &at), y = loop_load(k, b, &at), z = loop_load(k, c, &at);
    int arity = loop_ops[op].arity;
    loop_expr e = op == LOOP_SELECT ? loop_make(k, op, loop_load(k, choice, &at), x, y)
                                    : loop_make(k, op, x, arity > 1 ? y : 0, arity > 2 ? z : 0);
    loop_stmt *s = loop_for(k, lanes > 1 ? LOOP_VECTOR : LOOP_UNROLL, v, loop_int(k, lanes),
                            loop_store(k, out, &at, e));
    k->body = loop_for(k, LOOP_SERIAL, i, loop_int(k, OPCODE_ROWS), s);
    const char *name = arena_printf(f.memory, "%s_%s_%d", loop_ops[op].name, dtype_name(t), lanes);
    k->name = arena_strdup(f.memory, name);
    char kept[64];
    snprintf(kept, sizeof kept, "%s", name);
    bool divides_floats = op == LOOP_MOD && dtype_is_float(t); /* rounded otherwise */
    run_everywhere(&f, kept, NULL, !divides_floats, divides_floats ? RUN_CLOSE : RUN_EXACT);
}

static void test_opcodes(void) {
    static const dtype types[] = {DTYPE_F32, DTYPE_F64, DTYPE_I8,  DTYPE_U8,  DTYPE_I16, DTYPE_U16,
                                  DTYPE_I32, DTYPE_U32, DTYPE_I64, DTYPE_U64, DTYPE_BOOL};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int op = LOOP_ADD; op < LOOP_EXP; op++)
            if (takes((loop_op)op, types[t])) {
                run_opcode((loop_op)op, types[t], t % 2 ? 8 : 16);
                if (types[t] == DTYPE_F32 || types[t] == DTYPE_I32)
                    run_opcode((loop_op)op, types[t], 1);
            }
}

/* ---- conversions: all pairs, in one kernel per source type ---- */

static void run_casts(dtype from) {
    static const dtype to[] = {DTYPE_F32,  DTYPE_F64, DTYPE_I8,   DTYPE_U8,  DTYPE_I16,
                               DTYPE_U16,  DTYPE_I32, DTYPE_U32,  DTYPE_I64, DTYPE_U64,
                               DTYPE_BOOL, DTYPE_F16, DTYPE_BF16, DTYPE_I4,  DTYPE_U4};
    enum { LANES = 16, ROWS = 40 };
    fixture f = begin(NULL);
    loop_kernel *k = f.k;
    loop_buf a = add_array(&f, "a", from, LOOP_SPACE_INPUT, ROWS * LANES);
    loop_var i = loop_add_var(k, "i", loop_int(k, ROWS));
    loop_stmt *body = NULL;
    for (size_t t = 0; t < sizeof to / sizeof *to; t++) {
        /* f64 goes to 16-bit floats by way of f32, as integers do. */
        if (from == DTYPE_F64 && (to[t] == DTYPE_F16 || to[t] == DTYPE_BF16)) continue;
        loop_var v = loop_add_var(k, "v", loop_int(k, LANES));
        loop_expr at =
            loop_add(k, loop_mul(k, loop_var_expr(k, i), loop_int(k, LANES)), loop_var_expr(k, v));
        loop_buf out = add_array(&f, "out", to[t], LOOP_SPACE_OUTPUT, ROWS * LANES);
        loop_expr e = loop_cast(k, to[t], loop_load(k, a, &at));
        body = loop_join(
            body, loop_for(k, LOOP_VECTOR, v, loop_int(k, LANES), loop_store(k, out, &at, e)));
    }
    k->body = loop_for(k, LOOP_SERIAL, i, loop_int(k, ROWS), body);
    char name[64];
    snprintf(name, sizeof name, "cast_%s", dtype_name(from));
    k->name = arena_strdup(f.memory, name);
    run_everywhere(&f, name, NULL, true, RUN_EXACT);
}

static void test_casts(void) {
    static const dtype from[] = {DTYPE_F32,  DTYPE_F64, DTYPE_I8,   DTYPE_U8,  DTYPE_I16,
                                 DTYPE_U16,  DTYPE_I32, DTYPE_U32,  DTYPE_I64, DTYPE_U64,
                                 DTYPE_BOOL, DTYPE_F16, DTYPE_BF16, DTYPE_I4,  DTYPE_U4};
    for (size_t t = 0; t < sizeof from / sizeof *from; t++) run_casts(from[t]);
}

/* ---- accesses ---- */

static void test_strides(void) {
    run_text("strides",
             "kernel k {\n output %y: f32[9, 8]\n input %x: f32[200]\n input %i: i32[8]\n"
             " for v in 8 vector {\n  %y[0, v] = %x[v + 3]\n }\n"
             " for v in 8 vector {\n  %y[1, v] = %x[2*v + 1]\n }\n"
             " for v in 8 vector {\n  %y[2, v] = %x[3*v]\n }\n"
             " for v in 8 vector {\n  %y[3, v] = %x[199 - v]\n }\n"
             " for v in 8 vector {\n  %y[4, v] = %x[v // 2] + %x[192 + v % 3]\n }\n"
             " for v in 8 vector {\n  %y[5, v] = %x[cast_i64(%i[v]) + 16]\n }\n"
             " for v in 8 vector {\n  %y[6, 7 - v] = %x[185 + 2*v]\n }\n"
             " for v in 8 vector {\n  %y[7, v] = cast_f32(5*v + 1) + cast_f32(v * v)\n }\n"
             " for v in 8 vector {\n  %y[8, v] = select(3*v < 10, %x[5], %x[0 - 4*v + 100])\n }\n"
             "}\n",
             NULL, RUN_EXACT);
}

static void test_masks(void) {
    for (int64_t n = 0; n <= 17; n++) {
        int64_t symbols[] = {n};
        run_text("masks",
                 "kernel k {\n output %y: f32[$N]\n output %z: i8[2 * $N + 1]\n"
                 " input %x: f32[$N]\n input %i: i8[$N]\n input %s: f32[1]\n"
                 " tile %t: f32[16]\n"
                 " for o in $N // 16 serial {\n  for v in 16 vector {\n"
                 "   %y[16*o + v] = %x[16*o + v] * 2.0\n  }\n }\n"
                 " for v in 16 vector {\n  %t[v] = 3.0\n }\n"
                 " for v in 16 vector active $N % 16 {\n"
                 "  %t[v] = %x[$N // 16 * 16 + v] * %s[0]\n }\n"
                 " for v in 16 vector active $N % 16 {\n"
                 "  %y[$N // 16 * 16 + v] = %t[v] + %x[$N - 1 - v]\n }\n"
                 " for v in 16 vector active $N % 16 {\n"
                 "  %z[2 * v] = %i[v]\n }\n"
                 "}\n",
                 symbols, RUN_EXACT);
    }
    run_text("constant_mask",
             "kernel k {\n output %y: u8[8]\n input %x: u8[5]\n output %q: f64[3]\n"
             " for v in 8 vector active 5 {\n  %y[v] = %x[v] + %x[4]\n }\n"
             " for v in 8 vector active 3 {\n  %q[v] = cast_f64(%x[v + 2])\n }\n"
             " for v in 8 vector active 0 {\n  %y[v] = %x[v + 100]\n }\n"
             " for u in 8 unroll {\n  for v in 4 vector active 8 {\n   %y[v] = %y[v] + 1\n  }\n }\n"
             "}\n",
             NULL, RUN_EXACT);
}

/* Reading with padding: clamped indices under a select that makes the clamp idle. */
static void test_padding(void) {
    for (int64_t n = 1; n <= 17; n += 4) {
        int64_t symbols[] = {n};
        run_text("padding",
                 "kernel k {\n output %y: f32[2, 8]\n output %z: u8[8]\n output %q: f32[$N + 2]\n"
                 " input %x: f32[9]\n input %x2: u8[$N]\n input %x3: u8[]\n input %x4: f32[$N]\n"
                 " for i0 in 2 serial {\n  for v1 in 8 vector {\n"
                 "   %y[i0, v1] = select(1 <= 8*i0 + v1 & 8*i0 + v1 < 10, "
                 "%x[min(max(8*i0 + v1 - 1, 0), 8)], 0.25)\n  }\n }\n"
                 " for v2 in 8 vector active ($N + 1) // 2 {\n"
                 "  %z[v2] = select(1 <= 2*v2 & 2*v2 < $N + 1, "
                 "%x2[max(min(2*v2 - 1, $N - 1), 0)], %x3[])\n }\n"
                 " for i3 in ($N + 2) // 8 serial {\n  for v4 in 8 vector {\n"
                 "   %q[8*i3 + v4] = select(1 <= 8*i3 + v4 & 8*i3 + v4 < $N + 1, "
                 "%x4[max(min(8*i3 + v4 - 1, $N - 1), 0)] * 2.0, 0.5)\n  }\n }\n"
                 "}\n",
                 symbols, RUN_EXACT);
    }
}

/* ---- tiles ---- */

static void test_tiles(void) {
    run_text("register_tile",
             "kernel k {\n output %y: f32[28, 32]\n input %a: f32[28, $K]\n input %b: f32[$K, 32]\n"
             " tile %acc: f32[7, 2, 16]\n"
             " for p in 4 parallel {\n"
             "  for t in 7 unroll {\n for u in 2 unroll {\n for v in 16 vector {\n"
             "   %acc[t, u, v] = 0.0\n  }\n }\n }\n"
             "  for r in $K serial {\n"
             "   for t in 7 unroll {\n for u in 2 unroll {\n for v in 16 vector {\n"
             "    %acc[t, u, v] = %acc[t, u, v] + %a[7*p + t, r] * %b[r, 16*u + v]\n"
             "   }\n }\n }\n  }\n"
             "  for t in 7 unroll {\n for u in 2 unroll {\n for v in 16 vector {\n"
             "   %y[7*p + t, 16*u + v] = max(%acc[t, u, v], 0.0)\n  }\n }\n }\n"
             " }\n}\n",
             (int64_t[]){19}, RUN_CLOSE);
    run_text("halving",
             "kernel k {\n output %y: f32[1]\n input %x: f32[16]\n tile %t: f32[1, 16]\n"
             " tile %s: f32[]\n"
             " for v in 16 vector {\n  %t[0, v] = %x[v]\n }\n"
             " for v in 8 vector {\n  %t[0, v] = %t[0, v] + %t[0, v + 8]\n }\n"
             " for v in 4 vector {\n  %t[0, v] = max(%t[0, v], %t[0, v + 4])\n }\n"
             " for v in 2 vector {\n  %t[0, v] = %t[0, v] + %t[0, v + 2]\n }\n"
             " for v in 1 unroll {\n  %t[0, v] = %t[0, v] + %t[0, v + 1]\n }\n"
             " %s[] = %t[0, 0]\n %y[0] = %s[]\n}\n",
             NULL, RUN_EXACT);
    run_text(
        "odd_tiles",
        "kernel k {\n output %y: i32[64]\n input %x: i32[64]\n tile %t: i32[3, 8]\n"
        " tile %m: i32[5]\n stack %s: i32[4, 4]\n tile %flag: bool[8]\n"
        " for i in 5 serial {\n  %m[i] = %x[i] * 3\n }\n"
        " for u in 3 unroll {\n  for v in 8 vector {\n   %t[u, v] = %x[8*u + v]\n  }\n }\n"
        " for v in 4 vector active 3 {\n  %t[1, 2*v] = %x[v + 40]\n }\n"
        " for v in 8 vector {\n  %t[2, v] = %t[v % 2, 7 - v] + %m[v // 2]\n }\n"
        " for v in 8 vector {\n  %flag[v] = %t[0, v] < %t[1, v]\n }\n"
        " for i in 4 serial {\n  for v in 4 vector {\n   %s[i, v] = %x[16*i + v]\n  }\n }\n"
        " for i in 16 serial {\n  %y[i] = %s[i % 4, i // 4]\n }\n"
        " for u in 3 unroll {\n  for v in 8 vector {\n   %y[8*u + v + 16] = %t[u, v]\n  }\n }\n"
        " for v in 8 vector {\n  %y[v + 50] = select(%flag[v], %t[1, 3], 7)\n }\n"
        "}\n",
        NULL, RUN_EXACT);
}

/* ---- statements ---- */

static void test_statements(void) {
    run_text("branches",
             "kernel k {\n output %y: i64[$N, 4]\n input %x: i64[$N]\n"
             " for i in $N parallel {\n"
             "  check %x[i] < 7, 5\n"
             "  if %x[i] < 0 {\n   for v in 4 vector {\n    %y[i, v] = -%x[i] // 3 + v\n   }\n"
             "  } else {\n   if i % 3 == 1 {\n    %y[i, 2] = $N * i\n   }\n  }\n"
             "  for j in min(%x[i], 3) serial {\n   %y[i, 3] = %y[i, 3] * 2 + j\n  }\n"
             " }\n}\n",
             (int64_t[]){23}, RUN_EXACT);
    run_text("lanes_one_by_one",
             "kernel k {\n output %y: f32[8]\n output %sum: f32[]\n input %x: f32[8]\n"
             " tile %acc: f32[]\n"
             " for v in 8 vector {\n  %acc[] = 0.0\n  for r in 3 serial {\n"
             "   %acc[] = %acc[] + %x[(v + r) % 8]\n  }\n  %y[v] = %acc[]\n }\n"
             " for v in 8 vector active 6 {\n  %sum[] = %sum[] + %x[v]\n }\n"
             " for v in 8 vector {\n  if %x[v] < 0.0 {\n   %y[v] = 0.0\n  }\n }\n"
             "}\n",
             NULL, RUN_EXACT);
    run_text("in_place",
             "kernel k {\n output %y: f32[$N] alias 1\n input %x: f32[$N]\n"
             " for o in $N // 8 serial {\n  for u in 2 unroll {\n   for v in 4 vector {\n"
             "    %y[8*o + 4*u + v] = %y[8*o + 4*u + v] * %x[8*o + 4*u + v] + 1.0\n"
             "   }\n  }\n }\n}\n",
             (int64_t[]){40}, RUN_EXACT);
}

/* ---- prefetches ---- */

static int count_of(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) n++;
    return n;
}

/* Products of tiles of four rows with panels of weights of 32 KB. Read again, panels are asked for
 * at an even pace, once a step and one panel ahead; read once, once for each vector of a step,
 * however often the tile uses it, and a page ahead; what a cache holds, not at all. */
static void test_prefetches(void) {
    static const struct {
        const char *name;
        long long tiles, panels;
        int expected;
        const char *ahead;
    } cases[] = {{"prefetch_paced", 3, 64, 1, ", 32768"},
                 {"prefetch_page", 1, 64, 2, "i64 4096"},
                 {"prefetch_none", 3, 2, 0, ""}};
    target_machine m;
    bool known = target_find("x86-64-v3", &m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        long long tiles = cases[i].tiles, panels = cases[i].panels;
        snprintf(text, sizeof text,
                 "kernel k {\n output %%y: f32[%lld, %lld]\n input %%x: f32[%lld, 512]\n"
                 " input %%w: f32[%lld, 512, 16]\n tile %%acc: f32[4, 2, 8]\n"
                 " for p in %lld parallel {\n  for q in %lld serial {\n"
                 "   for r in 512 serial {\n    for a in 4 unroll {\n     for b in 2 unroll {\n"
                 "      for v in 8 vector {\n       %%acc[a, b, v] = %%acc[a, b, v] + "
                 "%%x[4*q + a, r] * %%w[p, r, 8*b + v]\n      }\n     }\n    }\n   }\n"
                 "   for a in 4 unroll {\n    for b in 2 unroll {\n     for v in 8 vector {\n"
                 "      %%y[4*q + a, 16*p + 8*b + v] = %%acc[a, b, v]\n     }\n    }\n   }\n"
                 "  }\n }\n}\n",
                 4 * tiles, 16 * panels, 4 * tiles, panels, panels, tiles);
        fixture f = begin(text);
        llvm_options o = {.optimize = 2};
        bool sound = f.k && known;
        const char *made =
            sound ? llvm_kernel_text(f.k, &m, o, LLVM_TEXT_EMITTED, f.memory, &f.d) : "";
        bool ok = sound && count_of(made, "call void @llvm.prefetch") == cases[i].expected &&
                  strstr(made, cases[i].ahead);
        tally(ok, cases[i].name, "x86-64-v3");
        arena_destroy(f.memory);
    }
}

int main(void) {
    test_opcodes();
    test_casts();
    test_strides();
    test_masks();
    test_padding();
    test_tiles();
    test_statements();
    test_prefetches();
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
