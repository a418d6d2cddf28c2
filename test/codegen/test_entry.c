/* test_entry.c: NAME_run of small programs made by hand: what it refuses, control flow between
 * kernels, symbols that the data decide, threads, profiles, cancellation, and what an empty call
 * costs. */
#include "codegen/llvm/compile.h"
#include "test/unit.h"

#include <stdlib.h>
#include <time.h>

typedef struct {
    arena *memory;
    diag d;
    program *p;
    program_step **tail;
    target_machine machine;
    instance *run;
} fixture;

static fixture begin(const char *name) {
    fixture f = {.memory = arena_create()};
    diag_init(&f.d, f.memory, "program");
    f.p = ARENA_NEW(f.memory, program);
    *f.p = (program){.memory = f.memory, .dims = dim_table_create(f.memory), .name = name};
    f.p->arena_bytes = dim_const(f.p->dims, 0);
    CHECK(target_find("native", &f.machine));
    return f;
}

static void start(fixture *f) {
    f->tail = &f->p->steps;
}

static uint32_t add_buffer(fixture *f, program_place place, uint32_t index, dim bytes, dim offset) {
    program_buffer b = {
        .name = "b", .place = place, .index = index, .bytes = bytes, .offset = offset};
    list_push(f->memory, &f->p->buffers, b);
    return (uint32_t)f->p->buffers.count - 1;
}

static uint32_t add_io(fixture *f, bool input, dtype t, dim elements) {
    uint32_t index = (uint32_t)(input ? f->p->inputs.count : f->p->outputs.count);
    dim bytes = dim_mul(f->p->dims, elements, dim_const(f->p->dims, (int64_t)dtype_bytes(t)));
    uint32_t b = add_buffer(f, input ? PLACE_INPUT : PLACE_OUTPUT, index, bytes, 0);
    dim *dims = ARENA_ARRAY(f->memory, dim, 1);
    *dims = elements;
    program_io io = {.name = "io",
                     .type = type_tensor(t, 1, dims),
                     .buffer = b,
                     .largest = dims,
                     .largest_bytes = bytes};
    if (input)
        list_push(f->memory, &f->p->inputs, io);
    else
        list_push(f->memory, &f->p->outputs, io);
    return b;
}

static uint32_t add_kernel(fixture *f, const char *text, int64_t flops) {
    loop_kernel *k = loop_parse(f->memory, f->p->dims, &f->d, text, strlen(text));
    CHECK(k && loop_verify(k, &f->d, "test"));
    list_push(f->memory, &f->p->kernels, ((program_kernel){.loops = k, .flops = flops}));
    return (uint32_t)f->p->kernels.count - 1;
}

static program_step *add_step(fixture *f, program_step_kind kind, const uint32_t *args,
                              uint32_t count) {
    program_step *s = ARENA_NEW(f->memory, program_step);
    uint32_t *kept = ARENA_ARRAY(f->memory, uint32_t, count);
    if (count) memcpy(kept, args, count * sizeof *args);
    *s = (program_step){.kind = kind,
                        .args = kept,
                        .arg_count = count,
                        .condition = UINT32_MAX,
                        .trip_count = UINT32_MAX,
                        .iteration = UINT32_MAX};
    if (kind == STEP_CALL) s->profile = f->p->profile_count++;
    *f->tail = s;
    f->tail = &s->next;
    return s;
}

static program_step *add_call(fixture *f, uint32_t kernel, uint32_t a, uint32_t b) {
    program_step *s = add_step(f, STEP_CALL, (uint32_t[]){a, b}, 2);
    s->kernel = kernel;
    return s;
}

static bool compile(fixture *f) {
    f->run = llvm_jit_instance(f->p, &f->machine, (llvm_options){.optimize = 2, .verify = true},
                               f->memory, &f->d);
    for (size_t i = 0; i < f->d.items.count; i++)
        printf("%s\n", diag_text(&f->d, &f->d.items.data[i]));
    CHECK(f->run != NULL);
    return f->run != NULL;
}

static void end(fixture *f) {
    if (f->run) instance_close(f->run);
    arena_destroy(f->memory);
}

static const char add_one[] = "kernel add_one {\n output %y: f32[$N]\n input %x: f32[$N]\n"
                              " for i in $N parallel {\n  %y[i] = %x[i] + 1.0\n }\n}\n";

/* y = x + 1 + 1 by way of the arena, N from the caller. */
static fixture two_steps(int64_t flops) {
    fixture f = begin("two");
    dim_table *t = f.p->dims;
    dim n = dim_make_symbol(t, "N", 1, 1000), bytes = dim_mul(t, n, dim_const(t, 4));
    list_push(f.memory, &f.p->symbols, dim_symbol_of(t, n));
    f.p->arena_bytes = bytes;
    start(&f);
    uint32_t x = add_io(&f, true, DTYPE_F32, n), y = add_io(&f, false, DTYPE_F32, n);
    uint32_t between = add_buffer(&f, PLACE_ARENA, 0, bytes, dim_const(t, 0));
    uint32_t k = add_kernel(&f, add_one, flops);
    add_call(&f, k, between, x)->iterations = n;
    add_call(&f, k, y, between)->iterations = n;
    return f;
}

typedef struct {
    const void *x;
    int64_t n;
} inputs;

static _Alignas(64) unsigned char memory[8192];

static void test_refusals(void) {
    fixture f = two_steps(0);
    if (!compile(&f)) return;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {0};
    inputs in = {x, 8};
    void *out = y, *none = NULL;
    CHECK(f.run->run(&in, &out, memory, NULL) == ONNXCC_OK);
    for (int i = 0; i < 8; i++) CHECK(y[i] == x[i] + 2);
    CHECK(f.run->run(NULL, &out, memory, NULL) == ONNXCC_ERROR_NULL_POINTER);
    CHECK(f.run->run(&in, NULL, memory, NULL) == ONNXCC_ERROR_NULL_POINTER);
    CHECK(f.run->run(&in, &none, memory, NULL) == ONNXCC_ERROR_NULL_POINTER);
    CHECK(f.run->run(&in, &out, NULL, NULL) == ONNXCC_ERROR_NULL_POINTER);
    CHECK(f.run->run(&(inputs){NULL, 8}, &out, memory, NULL) == ONNXCC_ERROR_NULL_POINTER);
    CHECK(f.run->run(&in, &out, memory + 4, NULL) == ONNXCC_ERROR_ARENA_MISALIGNED);
    CHECK(f.run->run(&(inputs){x, 0}, &out, memory, NULL) == ONNXCC_ERROR_BAD_SHAPE);
    CHECK(f.run->run(&(inputs){x, -1}, &out, memory, NULL) == ONNXCC_ERROR_BAD_SHAPE);
    CHECK(f.run->run(&(inputs){x, 1001}, &out, memory, NULL) == ONNXCC_ERROR_BAD_SHAPE);
    onnxcc_context context = {.arena_bytes = 31};
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_ERROR_ARENA_TOO_SMALL);
    context.arena_bytes = 32;
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_OK);
    end(&f);
}

/* ---- what a context brings ---- */

typedef struct {
    int calls, steps[8];
    uint64_t time;
    int cancel;
} witness;

static uint64_t tick(void *user) {
    return ++((witness *)user)->time;
}

static void note(void *user, int step, uint64_t begin_ns, uint64_t end_ns) {
    witness *w = user;
    CHECK(end_ns > begin_ns);
    if (w->calls < 8) w->steps[w->calls] = step;
    w->calls++;
}

static void in_thirds(void *user, onnxcc_task task, const int64_t *frame, int64_t count) {
    ((witness *)user)->calls++;
    for (int64_t i = 0; i < 3; i++) task(frame, count * i / 3, count * (i + 1) / 3);
}

static void test_context(void) {
    fixture f = two_steps(1000000);
    if (!compile(&f)) return;
    float x[10] = {0}, y[10];
    inputs in = {x, 10};
    void *out = y;
    witness profile = {0}, threads = {0};
    onnxcc_context context = {.profile = note, .clock = tick, .profile_user = &profile};
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_OK);
    CHECK(profile.calls == 2 && profile.steps[0] == 0 && profile.steps[1] == 1);
    context = (onnxcc_context){.parallel_for = in_thirds, .parallel_user = &threads};
    memset(y, 0, sizeof y);
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_OK);
    CHECK(threads.calls == 2 && y[0] == 2 && y[4] == 2 && y[9] == 2);
    int stop = 1;
    context = (onnxcc_context){.cancel = &stop};
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_ERROR_CANCELLED);
    stop = 0;
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_OK);
    end(&f);
}

/* Threads are not asked for small work. */
static void test_small_work(void) {
    fixture f = two_steps(1000);
    if (!compile(&f)) return;
    float x[10] = {0}, y[10];
    inputs in = {x, 10};
    void *out = y;
    witness threads = {0};
    onnxcc_context context = {.parallel_for = in_thirds, .parallel_user = &threads};
    CHECK(f.run->run(&in, &out, memory, &context) == ONNXCC_OK);
    CHECK(threads.calls == 0 && y[9] == 2);
    end(&f);
}

/* y = x + 1 + 1 in a chain of slices. Threads run it as one task, and may be given none of it; a
 * profile and one thread see two steps. */
static void test_chain(void) {
    enum { N = 12, SLICES = 4 };
    fixture f = begin("chain");
    dim_table *t = f.p->dims;
    dim n = dim_const(t, N), bytes = dim_const(t, 4 * N);
    f.p->arena_bytes = bytes;
    start(&f);
    uint32_t x = add_io(&f, true, DTYPE_F32, n), y = add_io(&f, false, DTYPE_F32, n);
    uint32_t between = add_buffer(&f, PLACE_ARENA, 0, bytes, dim_const(t, 0));
    uint32_t k = add_kernel(&f,
                            "kernel add_one {\n output %y: f32[12]\n input %x: f32[12]\n"
                            " for i in 12 parallel {\n  %y[i] = %x[i] + 1.0\n }\n}\n",
                            1000000);
    program_step *s = add_step(&f, STEP_CHAIN, NULL, 0);
    s->iterations = dim_const(t, SLICES);
    f.tail = &s->body;
    add_call(&f, k, between, x)->iterations = n;
    add_call(&f, k, y, between)->iterations = n;
    if (!compile(&f)) return;
    float in_x[N] = {0}, out_y[N];
    const void *in[] = {in_x};
    void *out[] = {out_y};
    for (int i = 0; i < N; i++) in_x[i] = (float)i;
    witness threads = {0}, profile = {0};
    int stop = 1;
    onnxcc_context contexts[] = {
        {.parallel_for = in_thirds, .parallel_user = &threads},
        {.parallel_for = in_thirds, .parallel_user = &profile, .profile_user = &profile},
        {.clock = tick, .profile = note, .profile_user = &profile}};
    contexts[1].clock = tick;
    for (size_t c = 0; c < sizeof contexts / sizeof *contexts; c++) {
        memset(out_y, 0, sizeof out_y);
        CHECK(f.run->run(in, out, memory, &contexts[c]) == ONNXCC_OK);
        for (int i = 0; i < N; i++) CHECK(out_y[i] == (float)i + 2);
    }
    CHECK(threads.calls == 1);
    CHECK(profile.calls == 3 && profile.steps[1] == 0 && profile.steps[2] == 1);
    contexts[0].cancel = &stop;
    CHECK(f.run->run(in, out, memory, &contexts[0]) == ONNXCC_ERROR_CANCELLED);
    end(&f);
}

/* ---- steps ---- */

static void test_branches(void) {
    fixture f = begin("branches");
    dim_table *t = f.p->dims;
    dim four = dim_const(t, 4), one = dim_const(t, 1);
    start(&f);
    uint32_t x = add_io(&f, true, DTYPE_F32, four), c = add_io(&f, true, DTYPE_BOOL, one);
    uint32_t y = add_io(&f, false, DTYPE_F32, four);
    uint32_t k = add_kernel(&f,
                            "kernel twice {\n output %y: f32[4]\n input %x: f32[4]\n"
                            " for v in 4 vector {\n  %y[v] = %x[v] * 2.0\n }\n}\n",
                            0);
    program_step *s = add_step(&f, STEP_IF, &c, 1), **after = f.tail;
    s->condition = c;
    f.tail = &s->body;
    add_call(&f, k, y, x);
    f.tail = &s->otherwise;
    add_step(&f, STEP_ZERO, &y, 1);
    f.tail = after;
    uint32_t z = add_io(&f, false, DTYPE_F32, four);
    add_step(&f, STEP_COPY, (uint32_t[]){z, y}, 2);
    if (!compile(&f)) return;
    float in_x[4] = {1, 2, 3, 4}, out_y[4], out_z[4];
    unsigned char yes = 1, no = 0;
    const void *in[] = {in_x, &yes};
    void *out[] = {out_y, out_z};
    CHECK(f.run->run(in, out, NULL, NULL) == ONNXCC_OK);
    CHECK(out_y[3] == 8 && out_z[0] == 2);
    in[1] = &no;
    CHECK(f.run->run(in, out, NULL, NULL) == ONNXCC_OK);
    CHECK(out_y[3] == 0 && out_z[0] == 0);
    end(&f);
}

/* y doubles until the trip count or until it is 100 or more. */
static void test_loops(void) {
    fixture f = begin("loops");
    dim_table *t = f.p->dims;
    dim one = dim_const(t, 1);
    f.p->arena_bytes = dim_const(t, 128);
    start(&f);
    uint32_t trips = add_io(&f, true, DTYPE_I64, one), y = add_io(&f, false, DTYPE_F32, one);
    uint32_t last = add_io(&f, false, DTYPE_I64, one);
    uint32_t go = add_buffer(&f, PLACE_ARENA, 0, one, dim_const(t, 64));
    uint32_t fill = add_kernel(&f,
                               "kernel fill {\n output %go: bool[1]\n output %y: f32[1]\n"
                               " %go[0] = true\n %y[0] = 1.0\n}\n",
                               0);
    uint32_t step = add_kernel(&f,
                               "kernel step {\n output %go: bool[1]\n output %y: f32[1]\n"
                               " %y[0] = %y[0] * 2.0\n %go[0] = %y[0] < 100.0\n}\n",
                               0);
    add_call(&f, fill, go, y);
    program_step *s = add_step(&f, STEP_LOOP, NULL, 0);
    s->trip_count = trips;
    s->condition = go;
    s->iteration = last;
    f.tail = &s->body;
    add_call(&f, step, go, y);
    if (!compile(&f)) return;
    int64_t n = 3, i = -1;
    float out_y = 0;
    const void *in[] = {&n};
    void *out[] = {&out_y, &i};
    CHECK(f.run->run(in, out, memory, NULL) == ONNXCC_OK);
    CHECK(out_y == 8 && i == 2);
    n = 50;
    CHECK(f.run->run(in, out, memory, NULL) == ONNXCC_OK);
    CHECK(out_y == 128 && i == 6);
    n = i = 0;
    CHECK(f.run->run(in, out, memory, NULL) == ONNXCC_OK);
    CHECK(out_y == 1 && i == 0);
    end(&f);
}

/* The data say how many elements there are. */
static void test_symbols(void) {
    fixture f = begin("symbols");
    dim_table *t = f.p->dims;
    dim one = dim_const(t, 1), n = dim_make_symbol(t, "N", 0, 8);
    start(&f);
    uint32_t count = add_io(&f, true, DTYPE_I64, one);
    uint32_t x = add_io(&f, true, DTYPE_F32, dim_const(t, 8));
    uint32_t y = add_io(&f, false, DTYPE_F32, n);
    program_step *s = add_step(&f, STEP_SYMBOL, &count, 1);
    s->symbol = dim_symbol_of(t, n);
    uint32_t k = add_kernel(&f,
                            "kernel some {\n output %y: f32[$N]\n input %x: f32[8]\n"
                            " for i in $N parallel {\n  %y[i] = %x[$N - 1 - i]\n"
                            "  check %x[i] < 6.0, 5\n }\n}\n",
                            0);
    add_call(&f, k, y, x)->iterations = n;
    if (!compile(&f)) return;
    float in_x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, out_y[8];
    int64_t number = 4;
    const void *in[] = {&number, in_x};
    void *out[] = {out_y};
    for (int i = 0; i < 8; i++) out_y[i] = -1;
    CHECK(f.run->run(in, out, NULL, NULL) == ONNXCC_OK);
    CHECK(out_y[0] == 3 && out_y[3] == 0 && out_y[4] == -1);
    number = 9;
    CHECK(f.run->run(in, out, NULL, NULL) == ONNXCC_ERROR_BAD_SHAPE);
    number = 8;
    CHECK(f.run->run(in, out, NULL, NULL) == ONNXCC_ERROR_INDEX_OUT_OF_RANGE);
    end(&f);
}

/* ---- weights, objects, cost of a call ---- */

static void test_weights(void) {
    fixture f = begin("weights");
    dim_table *t = f.p->dims;
    static const float two = 2, numbers[4] = {10, 20, 30, 40};
    start(&f);
    uint32_t y = add_io(&f, false, DTYPE_F32, dim_const(t, 4));
    uint32_t w = add_buffer(&f, PLACE_WEIGHT, 0, dim_const(t, 16), dim_const(t, 0));
    uint32_t s = add_buffer(&f, PLACE_WEIGHT, 0, dim_const(t, 16), dim_const(t, 64));
    f.p->buffers.data[w].data = numbers;
    f.p->buffers.data[s].data = &two;
    f.p->buffers.data[s].splat = true;
    f.p->buffers.data[s].element_bytes = 4;
    f.p->weight_bytes = 128;
    uint32_t k = add_kernel(&f,
                            "kernel product {\n output %y: f32[4]\n input %a: f32[4]\n"
                            " input %b: f32[4]\n for v in 4 vector {\n"
                            "  %y[v] = %a[v] * %b[v]\n }\n}\n",
                            0);
    add_step(&f, STEP_CALL, (uint32_t[]){y, w, s}, 3)->kernel = k;
    if (!compile(&f)) return;
    float out_y[4];
    void *out[] = {out_y};
    CHECK(f.run->run(NULL, out, NULL, NULL) == ONNXCC_OK);
    CHECK(out_y[0] == 20 && out_y[3] == 80);
    end(&f);
}

static bool same_output(const llvm_output *a, const llvm_output *b) {
    bool same = a->object_count == b->object_count && a->object_count > 0;
    for (size_t i = 0; same && i < a->object_count; i++)
        same = strcmp(a->objects[i].name, b->objects[i].name) == 0 &&
               a->objects[i].bytes == b->objects[i].bytes &&
               memcmp(a->objects[i].data, b->objects[i].data, a->objects[i].bytes) == 0;
    return same;
}

/* The same bytes, whatever the number of threads. */
static void test_objects(void) {
    fixture f = two_steps(0);
    target_machine low;
    CHECK(target_find("x86-64-v2", &low));
    llvm_level levels[] = {{f.p, &low}, {f.p, &f.machine}};
    llvm_output one, other;
    llvm_options o = {.optimize = 2, .threads = 1};
    CHECK(llvm_compile(levels + 1, 1, o, f.memory, &f.d, &one));
    o.threads = 3;
    CHECK(llvm_compile(levels + 1, 1, o, f.memory, &f.d, &other));
    CHECK(same_output(&one, &other) && one.code_bytes > 0);
    CHECK(llvm_compile(levels, 2, o, f.memory, &f.d, &other));
    CHECK(other.object_count > 2 * one.object_count);
    CHECK(strstr(llvm_text(f.p, &f.machine, o, LLVM_TEXT_EMITTED, f.memory, &f.d), "@two_run("));
    CHECK(strstr(llvm_text(f.p, &f.machine, o, LLVM_TEXT_OPTIMIZED, f.memory, &f.d), "@add_one("));
    CHECK(strstr(llvm_text(f.p, &f.machine, o, LLVM_TEXT_ASSEMBLY, f.memory, &f.d), "add_one:"));
    end(&f);
}

/* Well under a microsecond; a tenth of one would do on most machines. */
static void test_cost_of_a_call(void) {
    enum { CALLS = 20000 };
    fixture f = two_steps(0);
    if (!compile(&f)) return;
    float x[1] = {0}, y[1];
    inputs in = {x, 1};
    void *out = y;
    double best = 1;
    for (int round = 0; round < 5; round++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < CALLS; i++) f.run->run(&in, &out, memory, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double each =
            ((double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec)) / CALLS;
        if (each < best) best = each;
    }
    CHECK(best < 1e-6);
    end(&f);
}

int main(void) {
    RUN(test_refusals);
    RUN(test_context);
    RUN(test_small_work);
    RUN(test_chain);
    RUN(test_branches);
    RUN(test_loops);
    RUN(test_symbols);
    RUN(test_weights);
    RUN(test_objects);
    RUN(test_cost_of_a_call);
    return unit_finish();
}
