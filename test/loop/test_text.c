/* test_text.c: kernels as text: reading back gives the same bytes, errors are reported with their
 * line, and the verifier finds what is wrong. */
#include "ir/loop_math.h"
#include "test/unit.h"

typedef struct {
    arena *memory;
    dim_table *dims;
    diag d;
} fixture;

static fixture begin(void) {
    fixture f = {.memory = arena_create()};
    f.dims = dim_table_create(f.memory);
    diag_init(&f.d, f.memory, "kernel.ir");
    return f;
}

static loop_kernel *parse(fixture *f, const char *text) {
    loop_kernel *k = loop_parse(f->memory, f->dims, &f->d, text, strlen(text));
    for (size_t i = 0; i < f->d.items.count; i++)
        printf("%s\n", diag_text(&f->d, &f->d.items.data[i]));
    return k;
}

static const char matmul[] = "kernel matmul {\n"
                             "  output %y: f32[$M, 32]\n"
                             "  input %a: f32[$M, $K] strides [$K, 1]\n"
                             "  input %b: f32[$K, 32] alias 1\n"
                             "  tile %acc: f32[4, 16]\n"
                             "  for i0 in ($M + 3) // 4 parallel {\n"
                             "    for j1 in 2 serial {\n"
                             "      for u2 in 4 unroll {\n"
                             "        for l3 in 16 vector {\n"
                             "          %acc[u2, l3] = 0.0\n"
                             "        }\n"
                             "      }\n"
                             "      for k4 in $K reduce {\n"
                             "        for u5 in 4 unroll {\n"
                             "          for l6 in 16 vector active $M - 4*i0 {\n"
                             "            %acc[u5, l6] = fma(%a[min(4*i0 + u5, $M - 1), k4], "
                             "%b[k4, 16*j1 + l6], %acc[u5, l6])\n"
                             "          }\n"
                             "        }\n"
                             "      }\n"
                             "      if 4*i0 < $M - 3 {\n"
                             "        check i0 == 3 | !(%acc[0, 0] < -1.5e-07), 7\n"
                             "      } else {\n"
                             "        %y[i0, j1] = select(%a[0, 0] == nan, -%a[0, 0], inf)\n"
                             "      }\n"
                             "    }\n"
                             "  }\n"
                             "}\n";

static void test_round_trip(void) {
    fixture f = begin();
    loop_kernel *k = parse(&f, matmul);
    CHECK(k != NULL);
    if (k) {
        CHECK_STR(loop_text(k, f.memory), matmul);
        CHECK(loop_verify(k, &f.d, "test"));
    }
    arena_destroy(f.memory);
}

/* Every opcode and type, built by hand. */
static void test_all_opcodes(void) {
    fixture f = begin();
    loop_kernel *k = loop_kernel_create(f.memory, f.dims, "Model 1/\"conv\"\\");
    loop_var v = loop_add_var(k, "i", loop_int(k, 8));
    loop_expr extents[] = {loop_int(k, 8)}, at[] = {loop_var_expr(k, v)};
    loop_stmt *body = NULL;
    for (dtype t = DTYPE_F32; t < DTYPE_COUNT; t++) {
        if (t == DTYPE_STRING || t == DTYPE_C64 || t == DTYPE_C128) continue;
        loop_buf b = loop_add_buffer(
            k,
            (loop_buffer){
                .name = "b", .type = t, .space = LOOP_SPACE_OUTPUT, .rank = 1, .extents = extents});
        loop_expr x = loop_load(k, b, at), sum = x;
        for (int op = LOOP_ADD; op < LOOP_OP_COUNT; op++) {
            if (op == LOOP_DOT4 && t != DTYPE_U32) continue;
            bool ints = op >= LOOP_AND && op <= LOOP_SHR, floats = op >= LOOP_EXP;
            if (op == LOOP_SELECT || op == LOOP_CAST || op == LOOP_BITCAST) continue;
            if (t == DTYPE_BOOL && op != LOOP_EQ && op != LOOP_NE &&
                !(op >= LOOP_AND && op <= LOOP_NOT))
                continue;
            if ((floats || op == LOOP_SQRT) && !dtype_is_float(t)) continue;
            if (ints && dtype_is_float(t)) continue;
            loop_expr y = loop_cast(k, t, loop_const(k, DTYPE_F32, op % 7 - 0.25));
            loop_expr e = loop_make(k, (loop_op)op, x, y, y);
            if (loop_type(k, e) == DTYPE_BOOL && t != DTYPE_BOOL)
                sum = loop_select(k, e, sum, y);
            else if (op == LOOP_DOT4)
                sum = loop_add(k, sum, loop_cast(k, t, e));
            else
                sum = t == DTYPE_BOOL ? loop_make(k, LOOP_XOR, sum, e, 0) : loop_add(k, sum, e);
        }
        body = loop_join(body, loop_store(k, b, at, loop_cast(k, t, loop_cast(k, DTYPE_F16, sum))));
        if (dtype_bits(t) == 32)
            body = loop_join(
                body, loop_store(k, b, at, loop_bitcast(k, t, loop_bitcast(k, DTYPE_U32, sum))));
    }
    loop_dim(k, dim_make_symbol(f.dims, "batch size\n", 0, DIM_MAX));
    k->body = loop_for(k, LOOP_INDEPENDENT, v, loop_int(k, 8), body);
    CHECK(loop_verify(k, &f.d, "test"));
    const char *text = loop_text(k, f.memory);
    loop_kernel *again = parse(&f, text);
    CHECK(again != NULL);
    if (again) CHECK_STR(loop_text(again, f.memory), text);
    arena_destroy(f.memory);
}

/* A statement in which each step uses the last one twice prints in linear size. */
static void test_sharing(void) {
    fixture f = begin();
    loop_kernel *k = loop_kernel_create(f.memory, f.dims, "k");
    loop_buf b = loop_add_buffer(
        k, (loop_buffer){.name = "x", .type = DTYPE_F32, .space = LOOP_SPACE_OUTPUT});
    loop_expr e = loop_load(k, b, NULL);
    for (int i = 0; i < 500; i++)
        e = loop_mul(k, loop_make(k, LOOP_EXP, loop_add(k, e, loop_const(k, DTYPE_F32, i)), 0, 0),
                     e);
    for (int i = 0; i < 500; i++)
        e = loop_max(k, loop_const(k, DTYPE_F32, i), loop_make(k, LOOP_SQRT, e, 0, 0));
    k->body = loop_store(k, b, NULL, e);
    const char *text = loop_text(k, f.memory);
    CHECK(strlen(text) < 60000);
    loop_kernel *again = parse(&f, text);
    CHECK(again != NULL);
    if (again) CHECK_STR(loop_text(again, f.memory), text);
    arena_destroy(f.memory);
}

static void check_error(const char *text, const char *wanted) {
    fixture f = begin();
    CHECK(!loop_parse(f.memory, f.dims, &f.d, text, strlen(text)));
    CHECK(f.d.items.count == 1);
    if (f.d.items.count == 1)
        CHECK(strstr(diag_text(&f.d, &f.d.items.data[0]), wanted) != NULL ||
              (printf("%s\n", diag_text(&f.d, &f.d.items.data[0])), 0));
    arena_destroy(f.memory);
}

static void test_errors(void) {
    check_error("", "\"kernel\" is missing");
    check_error("kernel k {\n  input %x: f33[]\n}", "line 2: an element type is missing");
    check_error("kernel k {\n output %x: f32[2]\n\n %x[0] = 1 + true\n}", "line 4");
    check_error("kernel k {\n output %x: f32[2]\n %x[0] = %y[0]\n}", "no buffer %y");
    check_error("kernel k {\n output %x: f32[2]\n %x[0, 1] = 1.0\n}", "another number of axes");
    check_error("kernel k {\n output %x: f32[2]\n %x[0] = i\n}", "\"i\" is not defined");
    check_error("kernel k {\n output %x: f32[2]\n %x[0] = exp(i64(1))\n}", "exp takes floats");
    check_error("kernel k {\n output %x: f32[2]\n %x[0] = @3\n}", "no expression of this number");
    check_error("kernel k {\n for i in 4 sideways {\n}\n}", "a kind of loop is missing");
    check_error("kernel k {\n for i in 99999999999999999999 serial {\n}\n}", "does not fit");
    char deep[2000] = "kernel k {\n output %x: f32[]\n %x[] = ";
    size_t n = strlen(deep);
    memset(deep + n, '(', sizeof deep - n - 1);
    check_error(deep, "nested too deep");
}

static void check_invalid(const char *text, const char *wanted) {
    fixture f = begin();
    loop_kernel *k = parse(&f, text);
    CHECK(k && !loop_verify(k, &f.d, "test"));
    if (f.d.items.count)
        CHECK(strstr(diag_text(&f.d, &f.d.items.data[0]), wanted) != NULL ||
              (printf("%s\n", diag_text(&f.d, &f.d.items.data[0])), 0));
    arena_destroy(f.memory);
}

static void test_verifier(void) {
    check_invalid("kernel k {\n input %x: f32[2]\n %x[0] = 1.0\n}", "a store to input %x");
    check_invalid("kernel k {\n output %x: f32[2]\n for i in $N vector {\n %x[i] = 1.0\n}\n}",
                  "needs a constant extent");
    check_invalid("kernel k {\n output %x: f32[2]\n for i in 4 serial {\n for j in 2 parallel {\n "
                  "%x[i] = 1.0\n}\n}\n}",
                  "the whole of its kernel");
    check_invalid("kernel k {\n tile %x: f32[$N]\n}", "constant extents");
}

/* ---- mutants ---- */

static uint32_t next_random(uint32_t below) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

/* Changes a character, drops a few, repeats a few, or puts in a word. Returns the new length. */
static size_t mutate(char *text, size_t n, size_t room) {
    static const char *const words[] = {"f16",  "u8",  "bool",   "-1",       "99999999999", "(",
                                        ")",    "$M",  "nan",    "@0",       "i64(5)",      "bf16",
                                        "exp(", "0//", "active", "cast_u4(", "vector",      "%acc"};
    size_t at = next_random((uint32_t)n), from = next_random((uint32_t)n);
    size_t length = 1 + next_random(12);
    const char *put = text + from;
    switch (next_random(4)) {
    case 0: text[at] = (char)(' ' + next_random(95)); return n;
    case 1:
        if (at + length >= n) return n;
        memmove(text + at, text + at + length, n - at - length);
        return n - length;
    case 2:
        put = words[next_random(sizeof words / sizeof *words)];
        length = strlen(put);
        break;
    default:
        if (from + length > n) return n;
    }
    char piece[16];
    if (n + length > room) return n;
    memcpy(piece, put, length);
    memmove(text + at + length, text + at, n - at);
    memcpy(text + at, piece, length);
    return n + length;
}

/* What can be read prints to text that reads back to itself, and what the verifier lets pass can be
 * decomposed. */
static void test_mutants(void) {
    enum { MUTANTS = 20000 };
    for (int i = 0; i < MUTANTS && !unit_errors; i++) {
        fixture f = begin();
        char text[sizeof matmul + 64];
        memcpy(text, matmul, sizeof matmul);
        size_t n = sizeof matmul - 1;
        for (uint32_t j = next_random(2) + 1; j > 0; j--) n = mutate(text, n, sizeof text);
        loop_kernel *k = loop_parse(f.memory, f.dims, &f.d, text, n);
        if (k) {
            const char *first = loop_text(k, f.memory);
            loop_kernel *again = loop_parse(f.memory, f.dims, &f.d, first, strlen(first));
            CHECK(again != NULL);
            if (again) CHECK_STR(loop_text(again, f.memory), first);
            if (loop_verify(k, &f.d, "test")) {
                loop_decompose(k);
                CHECK(loop_verify(k, &f.d, "decompose"));
            }
        } else {
            CHECK(f.d.items.count > 0);
        }
        arena_destroy(f.memory);
    }
}

int main(void) {
    RUN(test_round_trip);
    RUN(test_all_opcodes);
    RUN(test_sharing);
    RUN(test_errors);
    RUN(test_verifier);
    RUN(test_mutants);
    return unit_finish();
}
