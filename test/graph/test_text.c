/* test_text.c: the text form of the graph IR: print, parse, print gives the same bytes; what is
 * wrong is refused with its place; mutated text is refused or read, never fatal. */
#include "ir/graph.h"
#include "ir/op.h"
#include "test/unit.h"

#include <stdlib.h>

static const char sample[] =
    "graph sample\n"
    "dim N in 1..8\n"
    "dim 'seq len' in 0..\n"
    "const %w: f32[2, 3] = [1, -0.5, 1e-07, 0, -0, 3]\n"
    "const %bits: f16[3] = hex \"003c00bc017c\"\n"
    "const %odd: f32[1] = hex \"0100c07f\"\n"
    "const %ones: i64[1000] = splat [1]\n"
    "const %\"two words\": string[2] = [\"a\\\"b\", \"\\x00\\xff\"]\n"
    "const %c: bool[] = [1]\n"
    "(%x: f32[N, 3, 'seq len'], %onnx::y: f32[N, 48, 14, 14] {block 1:16, halo 2:1:1, halo 3:0:2}) "
    "{\n"
    "  %a: f32[N, 3, 'seq len'] = Identity(%x) @\"first node\"\n"
    "  %s: i64[3] of [N, 3, 'seq len'] = Shape(%a) {start = 0}\n"
    "  %t: f32[2, 3] = If(%c) {then_branch = () {\n"
    "      %u: f32[2, 3] = Identity(%w)\n"
    "      return %u\n"
    "    }, else_branch = () {\n"
    "      return %w\n"
    "    }}\n"
    "  %p: f32[N, 3, ('seq len' + 1) // 2] = AveragePool(%a) {ceil_mode = 1, kernel_shape = [2], "
    "strides = [2], auto_pad = \"VALID\", count_include_pad = 0, dilations = [1], "
    "pads = [0, 0]}\n"
    "  %z: f32[1000] = ConstantOfShape(%ones) {value = t %odd}\n"
    "  return %a, %s, %t, %onnx::y, %p, %bits, %\"two words\", %z\n"
    "}\n";

typedef struct {
    arena *a;
    LIST(char) text;
} output;

static void collect(void *user, const char *text, size_t n) {
    output *o = user;
    for (size_t i = 0; i < n; i++) list_push(o->a, &o->text, text[i]);
}

static const char *print(arena *a, const graph *g, size_t elide_above) {
    output o = {.a = a};
    graph_print(g, (graph_print_options){.elide_above = elide_above}, collect, &o);
    list_push(a, &o.text, '\0');
    return o.text.data;
}

static graph *parse(arena *a, diag *d, const char *text) {
    diag_init(d, a, "test.ir");
    return graph_parse(a, d, text, strlen(text));
}

static void test_round_trip(void) {
    arena *a = arena_create();
    diag d;
    graph *g = parse(a, &d, sample);
    for (size_t i = 0; i < d.items.count; i++) puts(diag_text(&d, &d.items.data[i]));
    CHECK(g);
    if (g) {
        const char *once = print(a, g, SIZE_MAX);
        graph *again = parse(a, &d, once);
        CHECK(again);
        CHECK_STR(again ? print(a, again, SIZE_MAX) : NULL, once);
        CHECK(strstr(once, "%s: i64[3] of [N, 3, 'seq len'] = Shape(%a) {start = 0}"));
        CHECK(strstr(once, "const %w: f32[2, 3] = [1, -0.5, 1e-07, 0, -0, 3]"));
        CHECK(strstr(once, "const %odd: f32[1] = hex \"0100c07f\""));
    }
    arena_destroy(a);
}

static void test_elided(void) {
    arena *a = arena_create();
    diag d;
    const char *text = "graph g\nconst %w: f32[20] = hex "
                       "\"0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f"
                       "0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f"
                       "0000803f0000803f\"\n() {\n  return %w\n}\n";
    graph *g = parse(a, &d, text);
    CHECK(g);
    CHECK_STR(g ? print(a, g, SIZE_MAX) : NULL, text);
    const char *small = g ? print(a, g, 16) : "";
    CHECK(strstr(small, "elided 80 bytes"));
    graph *again = parse(a, &d, small);
    CHECK(again && d.items.count == 1 && !d.error_count);
    arena_destroy(a);
}

static void test_inference(void) {
    arena *a = arena_create();
    diag d;
    graph *g = parse(a, &d,
                     "graph g dim N in 0.. (%x: f32[N, 4]) { %y = Flatten(%x) {axis = 0} "
                     "%s = Shape(%y) return %s }");
    CHECK(g && strstr(print(a, g, 16), "%s: i64[2] of [1, 4*N] = Shape(%y)"));
    arena_destroy(a);
}

/* The message of the first error. */
static void check_error(const char *text, const char *wanted) {
    arena *a = arena_create();
    diag d;
    graph *g = parse(a, &d, text);
    CHECK(!g && d.items.count);
    const char *got = d.items.count ? diag_text(&d, &d.items.data[d.items.count - 1]) : "";
    if (!strstr(got, wanted)) printf("got %s\n", got);
    CHECK(strstr(got, wanted));
    arena_destroy(a);
}

static void test_errors(void) {
    check_error("", "line 1, column 1: \"graph\" is missing");
    check_error("graph g\n() { return %x }", "line 2, column 15: %x is defined nowhere before");
    check_error("graph g\n(%x: f32[2], %x: f32[2]) { return }", "there are two values %x");
    check_error("graph g\n() { %y = Nothing() return }", "there is no operator Nothing");
    check_error("graph g\n(%x: f32[2]) { %y = Identity() return }", "is not what its operator");
    check_error("graph g\n(%x: f32[2]) { %y = Identity(%x) {a = 1} return }", "is not what");
    check_error("graph g\nconst %w: f32[3] = [1, 2]\n() { return }", "its type asks for 12");
    check_error("graph g\nconst %w: f32[N] = [1, 2]\n() { return }", "fixed dimensions");
    check_error("graph g\n(%x: f32[-3]) { return }", "a dimension is negative");
    check_error("graph g\n(%x: f32[2] {block 1:16}) { return }", "a number from 0 to 0 is due");
    check_error("graph g\n(%x: seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq(seq("
                "f32[]))))))))))))))))))) { return }",
                "nested too deep");
    check_error("graph g\n() { return }\n)", "something stands behind");
}

static uint32_t state = 7;

static uint32_t random_below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state * n) >> 32);
}

/* Every operator of the table with too little, typed by inference. */
static void test_operators_without_operands(void) {
    for (size_t i = 0; i < op_count(); i++) {
        arena *a = arena_create();
        diag d;
        const op_def *op = op_at(i);
        for (int inputs = 0; inputs < 5; inputs++) {
            const char *text = arena_printf(
                a, "graph g (%%x: f32[2, 3], %%s: i64[]) { %%y = %s%s%s(%.*s) return %%y }",
                op->domain, *op->domain ? "::" : "", op->name, inputs ? inputs * 4 - 2 : 0,
                random_below(2) ? "%x, %x, %s, %x, %x" : "%x, %s, %s, %s, %s");
            graph *g = parse(a, &d, text);
            CHECK(g || d.error_count);
        }
        arena_destroy(a);
    }
}

static void test_mutants(void) {
    enum { MUTANTS = 3000 };
    for (int i = 0; i < MUTANTS; i++) {
        arena *a = arena_create();
        diag d;
        char text[sizeof sample];
        memcpy(text, sample, sizeof sample);
        size_t length = sizeof sample - 1;
        for (uint32_t changes = 1 + random_below(4); changes > 0; changes--) {
            size_t at = random_below((uint32_t)length), from = random_below((uint32_t)length);
            size_t n = 1 + random_below(12);
            if (n > length - at) n = length - at;
            if (n > length - from) n = length - from;
            switch (random_below(3)) {
            case 0: text[at] = (char)random_below(256); break;
            case 1: memmove(text + at, text + from, n); break;
            default: memmove(text + at, text + at + n, length - at - n); length -= n;
            }
        }
        diag_init(&d, a, "mutant.ir");
        graph *g = graph_parse(a, &d, text, length);
        CHECK(g || d.error_count);
        if (g) CHECK(print(a, g, 16));
        arena_destroy(a);
    }
}

int main(void) {
    RUN(test_round_trip);
    RUN(test_elided);
    RUN(test_inference);
    RUN(test_errors);
    RUN(test_operators_without_operands);
    RUN(test_mutants);
    return unit_finish();
}
