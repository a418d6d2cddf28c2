/* test_schedule.c: what a schedule must not change. Operators of random shapes are lowered, with
 * and without the blocked layout, and the loop-IR interpreter runs the kernel as lowered and as
 * scheduled for machines of several vector widths: the results must agree. */
#include "codegen/target.h"
#include "ir/lower.h"
#include "ir/op.h"
#include "test/unit.h"

#include <math.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

static int64_t random_in(int64_t low, int64_t high) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + (int64_t)(state % (uint64_t)(high - low + 1));
}

static const tensor_layout *layout(graph *g, int axis, int block, int halo) {
    tensor_layout *y = ARENA_NEW(g->memory, tensor_layout);
    y->block_axis = axis;
    y->block = block;
    for (int i = 2; halo && i < 4; i++) y->halo_before[i] = y->halo_after[i] = halo;
    return y;
}

static value_id add_input(graph *g, int rank, const int64_t *dims, const tensor_layout *y) {
    type t = type_tensor_const(g, DTYPE_F32, rank, dims);
    t.layout = y;
    value_id v = graph_add_value(g, "x", t);
    list_push(g->memory, &graph_region(g, GRAPH_MAIN)->inputs, v);
    return v;
}

static const target_machine machines[] = {
    {.name = "v4", .vector_bytes = 64, .vector_registers = 32, .fma = true, .masked = true},
    {.name = "v3", .vector_bytes = 32, .vector_registers = 16, .fma = true},
    {.name = "v2", .vector_bytes = 16, .vector_registers = 16}};

/* Elements of a parameter buffer. */
static size_t buffer_elements(const loop_kernel *k, const loop_buffer *b) {
    size_t n = 1;
    int64_t e;
    for (int i = 0; i < b->rank; i++) n *= loop_is_int(k, b->extents[i], &e) ? (size_t)e : 0;
    return n;
}

/* Fills every input buffer with the same pseudo-random numbers for the same graph value; halos as
 * zeros, as their makers leave them. */
static float *make_buffer(graph *g, const loop_kernel *k, const loop_buffer *b, arena *a) {
    size_t n = buffer_elements(k, b);
    float *p = ARENA_ARRAY(a, float, n);
    const type *t = graph_type(g, b->value);
    for (size_t i = 0; i < n && b->space == LOOP_SPACE_INPUT; i++) {
        bool border = false;
        size_t rest = i;
        for (int j = b->rank; j-- > 0;) {
            int64_t e = 1;
            loop_is_int(k, b->extents[j], &e);
            int64_t at = (int64_t)(rest % (size_t)e);
            rest /= (size_t)e;
            if (t->layout && j < t->rank && j != t->layout->block_axis)
                border |= at < t->layout->halo_before[j] || at >= e - t->layout->halo_after[j];
        }
        p[i] = border ? 0
                      : (float)((int)((i * 2654435761u + b->value * 40503u) >> 7 & 255) - 128) / 64;
    }
    return p;
}

/* Runs kernel k; returns its output buffers' contents behind each other. */
static float *run_kernel(graph *g, loop_kernel *k, arena *a, diag *d, size_t *count) {
    void **buffers = ARENA_ARRAY(a, void *, k->buffers.count);
    *count = 0;
    for (size_t i = 0; i < k->buffers.count; i++) {
        loop_buffer *b = &k->buffers.data[i];
        if (b->space > LOOP_SPACE_OUTPUT) continue;
        buffers[i] = make_buffer(g, k, b, a);
        if (b->space == LOOP_SPACE_OUTPUT) *count += buffer_elements(k, b);
    }
    int64_t symbols[8] = {0};
    CHECK(loop_verify(k, d, "test"));
    CHECK(loop_interpret(k, buffers, symbols, d) == 0);
    float *out = ARENA_ARRAY(a, float, *count);
    size_t at = 0;
    for (size_t i = 0; i < k->buffers.count; i++) {
        loop_buffer *b = &k->buffers.data[i];
        if (b->space != LOOP_SPACE_OUTPUT) continue;
        memcpy(out + at, buffers[i], buffer_elements(k, b) * sizeof(float));
        at += buffer_elements(k, b);
    }
    return out;
}

/* Lowers node n alone and compares its schedules with the kernel as lowered. */
static void check_node(graph *g, node_id n, diag *d) {
    value_id y = graph_output(g, n, 0);
    size_t count, again;
    loop_kernel *plain = lower_group(g, g->memory, "k", &n, 1, &y, 1);
    CHECK(plain != NULL);
    if (!plain) return;
    float *want = run_kernel(g, plain, g->memory, d, &count);
    enum { RANKS = 3 }; /* tiles that tuning may choose, too */
    for (size_t m = 0; m < RANKS * sizeof machines / sizeof *machines; m++) {
        const target_machine *machine = &machines[m / RANKS];
        loop_kernel *k = lower_group(g, g->memory, "k", &n, 1, &y, 1);
        schedule_x86(k, machine, (int)(m % RANKS) * 3);
        float *got = run_kernel(g, k, g->memory, d, &again);
        size_t wrong = 0;
        for (size_t i = 0; i < count; i++)
            wrong += !(fabsf(got[i] - want[i]) <= 1e-4f * (1 + fabsf(want[i])));
        CHECK(again == count && wrong == 0);
        if (wrong && getenv("SHOW")) printf("%s\n", loop_text(k, g->memory));
        if (wrong)
            printf("%s on %s: %zu of %zu differ\n", graph_node(g, n)->op->name, machine->name,
                   wrong, count);
    }
    for (size_t i = 0; i < d->items.count; i++) printf("%s\n", diag_text(d, &d->items.data[i]));
}

static node_id add_node(graph *g, const char *domain, const char *op, uint32_t inputs,
                        const value_id *in, const tensor_layout *y, uint32_t attrs, const attr *a) {
    value_id out = graph_add_value(g, "y", (type){.kind = TYPE_NONE, .rank = -1});
    node_id n =
        graph_add_node(g, GRAPH_MAIN, 0, op_find(domain, op), "", inputs, in, 1, &out, attrs, a);
    CHECK(op_infer(g, n));
    graph_value(g, out)->type.layout = y;
    return n;
}

static void random_conv(bool blocked, bool depthwise) {
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, NULL);
    graph *g = graph_create(a, &d, "t");
    int64_t c = random_in(1, 40), o = depthwise ? c : random_in(1, 40), kernel = random_in(1, 3),
            stride = random_in(1, 2);
    int64_t pad = random_in(0, kernel - 1), h = random_in(kernel, 15), w = random_in(kernel, 30);
    int64_t x_dims[] = {random_in(1, 2), c, h, w},
            w_dims[] = {o, depthwise ? 1 : c, kernel, kernel}, b_dims[] = {o};
    int64_t pads[] = {pad, pad, pad, pad}, strides[] = {stride, stride};
    value_id in[] = {
        add_input(g, 4, x_dims, blocked ? layout(g, c >= 4 ? 1 : -1, 16, (int)pad) : NULL),
        add_input(g, 4, w_dims, blocked ? layout(g, 0, 16, 0) : NULL),
        add_input(g, 1, b_dims, blocked ? layout(g, 0, 16, 0) : NULL)};
    attr attrs[] = {attr_ints("pads", pads, 4), attr_ints("strides", strides, 2),
                    attr_int("group", depthwise ? c : 1)};
    check_node(g, add_node(g, "", "Conv", 3, in, blocked ? layout(g, 1, 16, 0) : NULL, 3, attrs),
               &d);
    arena_destroy(a);
}

static void test_conv(void) {
    for (int i = 0; i < 8; i++) random_conv(false, false);
}

static void test_conv_blocked(void) {
    for (int i = 0; i < 12; i++) random_conv(true, false);
}

static void test_conv_depthwise(void) {
    for (int i = 0; i < 8; i++) random_conv(true, true);
}

static void test_linear(void) {
    for (int i = 0; i < 12; i++) {
        arena *a = arena_create();
        diag d;
        diag_init(&d, a, NULL);
        graph *g = graph_create(a, &d, "t");
        int64_t m = random_in(1, 40), n = random_in(1, 70), k = random_in(1, 40),
                batch = random_in(1, 3);
        int64_t a_dims[] = {batch, m, k}, b_dims[] = {n, k}, bias[] = {n};
        value_id in[] = {add_input(g, 3, a_dims, NULL),
                         add_input(g, 2, b_dims, layout(g, 0, 16, 0)), add_input(g, 1, bias, NULL)};
        check_node(g, add_node(g, OP_INTERNAL, "Linear", 3, in, NULL, 0, NULL), &d);
        arena_destroy(a);
    }
}

static void test_rows(void) {
    static const char *const ops[] = {"Softmax", "LogSoftmax", "MaxPool", "AveragePool",
                                      "GlobalAveragePool"};
    for (int i = 0; i < 20; i++) {
        arena *a = arena_create();
        diag d;
        diag_init(&d, a, NULL);
        graph *g = graph_create(a, &d, "t");
        int which = i % 5;
        int64_t dims[] = {random_in(1, 3), random_in(1, 20), random_in(2, 9), random_in(2, 40)},
                kernel[] = {2, 2};
        bool blocked = i % 2 && which >= 2;
        value_id x = add_input(g, 4, dims, blocked ? layout(g, 1, 16, 0) : NULL);
        attr axis = attr_int("axis", random_in(-4, 3)),
             window = attr_ints("kernel_shape", kernel, 2);
        uint32_t attrs = which < 4;
        check_node(g,
                   add_node(g, "", ops[which], 1, &x, blocked ? layout(g, 1, 16, 0) : NULL, attrs,
                            which < 2 ? &axis : &window),
                   &d);
        arena_destroy(a);
    }
}

int main(void) {
    RUN(test_conv);
    RUN(test_conv_blocked);
    RUN(test_conv_depthwise);
    RUN(test_linear);
    RUN(test_rows);
    return unit_finish();
}
