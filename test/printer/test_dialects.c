/* test_dialects.c: kernels in every dialect of the text printer, compiled with warnings as errors
 * by the compilers that the machine has, and run against the interpreter. GPU code runs on the
 * host: a few lines stand for the grid. Where there is nvcc, it must accept the file too. */
#include "codegen/cuda/cuda.h"
#include "codegen/hls/hls.h"
#include "codegen/target.h"
#include "ir/loop_math.h"
#include "test/unit.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_BUFFERS = 8, MAX_SYMBOLS = 4, BUFFER_BYTES = 1 << 16 };

typedef struct {
    const char *text;
    int64_t symbols[MAX_SYMBOLS]; /* in the order in which the text names them */
    double tolerance;             /* relative; 0: the same bits */
    int status;
} sample;

static const sample samples[] = {
    {"kernel chain {\n output %y: f32[$N, 37]\n input %x: f32[$N, 37]\n input %z: f32[37]\n"
     " for i0 in $N independent {\n  for i1 in 37 independent {\n"
     "   %y[i0, i1] = tanh(%x[i0, i1]) * sigmoid(%z[i1]) + exp(-abs(%x[i0, i1])) * erf(%z[i1]) - "
     "select(%x[i0, i1] < 0.0, log(1.0 - %x[i0, i1]), sqrt(%x[i0, i1]))\n  }\n }\n}\n",
     {11},
     1e-5,
     0},
    {"kernel functions {\n output %y: f32[500]\n input %x: f32[500]\n"
     " for i0 in 500 independent {\n"
     "  %y[i0] = sin(%x[i0]) + cos(3.0 * %x[i0]) + atan(%x[i0]) + sinh(%x[i0] * 0.5) + "
     "pow(abs(%x[i0]), 1.7) + expm1(%x[i0]) + max(min(round(%x[i0]), 1.0), -0.5) + "
     "floor(%x[i0]) * ceil(%x[i0]) + trunc(%x[i0]) + rem(%x[i0], 0.75) + asinh(%x[i0])\n }\n}\n",
     {0},
     1e-5,
     0},
    {"kernel twice {\n output %y: f64[100]\n input %x: f64[100]\n"
     " for i0 in 100 independent {\n  %y[i0] = exp(%x[i0]) + log(abs(%x[i0]) + f64(1.0)) + "
     "tanh(%x[i0]) + sin(%x[i0])\n }\n}\n",
     {0},
     1e-14,
     0},
    {"kernel softmax {\n output %y: f32[6, $M]\n input %x: f32[6, $M]\n tile %m: f32[]\n"
     " tile %s: f32[]\n for i0 in 6 independent {\n  %m[] = -inf\n  for r1 in $M reduce {\n"
     "   %m[] = max(%m[], %x[i0, r1])\n  }\n  %s[] = 0.0\n  for r2 in $M reduce {\n"
     "   %s[] = %s[] + exp(%x[i0, r2] - %m[])\n  }\n  for i3 in $M independent {\n"
     "   %y[i0, i3] = exp(%x[i0, i3] - %m[]) / %s[]\n  }\n }\n}\n",
     {33},
     1e-5,
     0},
    {"kernel total {\n output %y: f32[]\n input %x: f32[1000]\n tile %s: f32[]\n %s[] = 0.0\n"
     " for r0 in 1000 reduce {\n  %s[] = %s[] + %x[r0]\n }\n %y[] = %s[] / 1000.0\n}\n",
     {0},
     1e-5,
     0},
    {"kernel product {\n output %y: f32[3, $M, 19]\n input %a: f32[3, $M, $K]\n"
     " input %b: f32[$K, 19]\n tile %s: f32[]\n for i0 in 3 independent {\n"
     "  for i1 in $M independent {\n   for i2 in 19 independent {\n    %s[] = 0.0\n"
     "    for r3 in $K reduce {\n     %s[] = fma(%a[i0, i1, r3], %b[r3, i2], %s[])\n    }\n"
     "    %y[i0, i1, i2] = max(%s[], 0.0)\n   }\n  }\n }\n}\n",
     {7, 23},
     1e-5,
     0},
    {"kernel convolution {\n output %y: f32[2, 4, 9, 11]\n input %x: f32[2, 3, 9, 11]\n"
     " input %w: f32[4, 3, 3, 3]\n input %b: f32[4]\n tile %s: f32[]\n"
     " for i0 in 2 independent {\n  for i1 in 4 independent {\n   for i2 in 9 independent {\n"
     "    for i3 in 11 independent {\n     %s[] = %b[i1]\n     for r4 in 3 reduce {\n"
     "      for r5 in 3 reduce {\n       for r6 in 3 reduce {\n"
     "        %s[] = fma(select(1 <= i2 + r5 & i2 + r5 < 10 & 1 <= i3 + r6 & i3 + r6 < 12, "
     "%x[i0, r4, max(min(i2 + r5 - 1, 8), 0), max(min(i3 + r6 - 1, 10), 0)], 0.0), "
     "%w[i1, r4, r5, r6], %s[])\n       }\n      }\n     }\n     %y[i0, i1, i2, i3] = %s[]\n"
     "    }\n   }\n  }\n }\n}\n",
     {0},
     1e-5,
     0},
    {"kernel integers {\n output %y: i32[60]\n input %x: i32[60]\n input %z: i32[60]\n"
     " for i0 in 60 independent {\n"
     "  %y[i0] = floordiv(%x[i0], %z[i0]) + mod(%x[i0], %z[i0]) * i32(3) + (%x[i0] / i32(7)) ^ "
     "rem(%x[i0], %z[i0]) + (%x[i0] << i32(5)) - (%x[i0] >> %z[i0]) + min(%x[i0], -%z[i0]) * "
     "%x[i0] + abs(%z[i0]) + select(%x[i0] < %z[i0] | %x[i0] == i32(4), ~%x[i0], i32(-2147483648))"
     " + cast_i32(cast_u8(%x[i0]) >> u8(2)) + cast_i32(cast_i8(%z[i0] * %x[i0]))\n }\n}\n",
     {0},
     0,
     0},
    {"kernel conversions {\n output %y: i64[200]\n output %h: f16[200]\n output %g: bf16[200]\n"
     " output %e: f8e4m3fn[200]\n input %x: f32[200]\n for i0 in 200 independent {\n"
     "  %y[i0] = cast_i64(cast_u8(%x[i0] * 100.0)) + cast_i64(cast_i16(%x[i0] * 20000.0)) * 1000 + "
     "cast_i64(%x[i0] * 1e30) // 4096 + cast_i64(%x[i0] != 0.0) + cast_i64(bitcast_i32(%x[i0]))\n"
     "  %h[i0] = cast_f16(%x[i0]) * f16(0.3) + f16(1e-05)\n"
     "  %g[i0] = cast_bf16(%x[i0] * 3.0) - bf16(1.5)\n"
     "  %e[i0] = cast_f8e4m3fn(%x[i0] * 0.01)\n }\n}\n",
     {0},
     0,
     0},
    {"kernel lanes {\n output %y: f32[$N, 20] strides [20, 1] alias 1\n input %x: f32[$N, 20] "
     "alias "
     "1\n tile %t: f32[4, 8]\n stack %w: f32[3]\n for i0 in $N independent {\n  %w[1] = 2.5\n"
     "  for i1 in 3 serial {\n   for u2 in 4 unroll {\n    for l3 in 8 vector active 20 - 8*i1 {\n"
     "     %t[u2, l3] = %x[i0, 8*i1 + l3] + cast_f32(u2)\n    }\n   }\n"
     "   for l4 in 8 vector active 20 - 8*i1 {\n"
     "    %y[i0, 8*i1 + l4] = %t[0, l4] * %t[3, l4] - %w[1]\n   }\n  }\n"
     "  check i0 < 3, 5\n }\n}\n",
     {5},
     1e-6,
     5},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

/* ---- one run of a kernel ---- */

typedef struct {
    arena *memory;
    dim_table *dims;
    diag d;
    loop_kernel *kernels[SAMPLES];
} fixture;

static fixture begin(void) {
    fixture f = {.memory = arena_create()};
    diag_init(&f.d, f.memory, "samples");
    for (int i = 0; i < SAMPLES; i++) {
        dim_table *dims = dim_table_create(f.memory);
        f.kernels[i] = loop_parse(f.memory, dims, &f.d, samples[i].text, strlen(samples[i].text));
        CHECK(f.kernels[i] && loop_verify(f.kernels[i], &f.d, "sample"));
    }
    for (size_t i = 0; i < f.d.items.count; i++)
        printf("%s\n", diag_text(&f.d, &f.d.items.data[i]));
    return f;
}

static void fill(unsigned char *bytes, dtype t, int seed) {
    uint32_t state = (uint32_t)seed * 77u + 12345u;
    for (size_t i = 0; i < BUFFER_BYTES / dtype_bytes(t); i++) {
        state = state * 1664525u + 1013904223u;
        float v = (float)(state >> 8) / (float)(1 << 22) - 2.0f;
        if (t == DTYPE_F32) ((float *)(void *)bytes)[i] = v;
        if (t == DTYPE_F64) ((double *)(void *)bytes)[i] = v;
        if (t == DTYPE_I32) ((int32_t *)(void *)bytes)[i] = (int32_t)(state >> 24) - 128;
    }
}

/* Memory of the parameters; aliased ones share it. */
static void make_buffers(const loop_kernel *k, void **buffers) {
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        const loop_buffer *x = &k->buffers.data[b];
        buffers[b] = NULL;
        if (x->space > LOOP_SPACE_OUTPUT) continue;
        for (loop_buf o = 0; o < b && x->alias; o++)
            if (k->buffers.data[o].alias == x->alias) buffers[b] = buffers[o];
        if (!buffers[b]) buffers[b] = calloc(1, BUFFER_BYTES);
        if (x->space == LOOP_SPACE_INPUT) fill(buffers[b], x->type, (int)b);
    }
}

static void free_buffers(const loop_kernel *k, void **buffers) {
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        bool shared = false;
        for (loop_buf o = 0; o < b; o++) shared |= buffers[o] == buffers[b];
        if (!shared) free(buffers[b]);
    }
}

static bool same_numbers(dtype t, const void *got, const void *wanted, double tolerance) {
    if (tolerance == 0) return memcmp(got, wanted, BUFFER_BYTES) == 0;
    for (size_t i = 0; i < BUFFER_BYTES / dtype_bytes(t); i++) {
        double a = t == DTYPE_F64 ? ((const double *)got)[i] : ((const float *)got)[i];
        double b = t == DTYPE_F64 ? ((const double *)wanted)[i] : ((const float *)wanted)[i];
        if (!(fabs(a - b) <= tolerance * (1 + fabs(b)))) {
            printf("element %zu: %.9g, wanted %.9g\n", i, a, b);
            return false;
        }
    }
    return true;
}

/* Runs sample i by `run` and by the interpreter on its plain form. */
static void compare(const fixture *f, int i,
                    void (*run)(int32_t *status, void **buffers, const int64_t *symbols)) {
    const loop_kernel *k = f->kernels[i];
    void *got[MAX_BUFFERS], *wanted[MAX_BUFFERS];
    make_buffers(k, got);
    make_buffers(k, wanted);
    int32_t status = 0;
    run(&status, got, samples[i].symbols);
    diag d = f->d;
    CHECK(loop_interpret(k, wanted, samples[i].symbols, &d) == samples[i].status);
    CHECK(status == samples[i].status);
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        if (k->buffers.data[b].space != LOOP_SPACE_OUTPUT) continue;
        bool same = same_numbers(k->buffers.data[b].type, got[b], wanted[b], samples[i].tolerance);
        CHECK(same);
        if (!same) printf("kernel %s buffer %s\n", k->name, k->buffers.data[b].name);
    }
    free_buffers(k, got);
    free_buffers(k, wanted);
}

/* ---- printing and compiling ---- */

typedef struct {
    const text_dialect *dialect;
    void (*schedule)(loop_kernel *k, const target_machine *m, int rank);
    const char *file, *support; /* SUPPORT goes in front of the file when it is run on the host */
} language;

static const char grid_on_host[] =
    "#include <stdint.h>\n"
    "typedef struct { unsigned x, y, z; } place;\n"
    "static place blockIdx, threadIdx;\n"
    "#define __global__\n#define __device__\n"
    "static inline int atomicCAS(int *p, int from, int to) {\n"
    "    int was = *p;\n    if (was == from) *p = to;\n    return was;\n}\n";

static const language languages[] = {
    {&text_dialect_c99, schedule_plain, "kernels.c", ""},
    {&text_dialect_hls, schedule_hls, "kernels.cpp", ""},
    {&text_dialect_cuda, schedule_cuda, "kernels.cu", grid_on_host},
};

/* run_I(status, buffers, symbols) around kernel I. */
static void add_run(text_module *m, const language *l, const loop_kernel *k, int index,
                    size_t symbol_count) {
    bool frame = l->dialect->frame;
    text_addf(m, "\n%svoid run_%d(int32_t *status, void **buffers, const int64_t *symbols);\n",
              frame ? "" : "extern \"C\" ", index);
    text_addf(m, "void run_%d(int32_t *status, void **buffers, const int64_t *symbols) {\n", index);
    text_add(m, "    (void)symbols;\n");
    if (frame) {
        text_add(m, "    int64_t frame[32] = {(int64_t)(intptr_t)status}, word = 1;\n");
        for (loop_buf b = 0; b < k->buffers.count; b++)
            if (k->buffers.data[b].space <= LOOP_SPACE_OUTPUT)
                text_addf(m, "    frame[word++] = (int64_t)(intptr_t)buffers[%u];\n", b);
        for (size_t i = 0; i < symbol_count; i++)
            text_addf(m, "    frame[word++] = symbols[%zu];\n", i);
        const loop_stmt *s = k->body;
        bool parallel = s->kind == LOOP_STMT_FOR && s->loop == LOOP_PARALLEL;
        int64_t n = 0;
        if (!parallel || loop_is_int(k, s->extent, &n))
            text_addf(m, "    const int64_t count = %lld;\n", (long long)n);
        else
            text_add(m, "    const int64_t count = symbols[0];\n");
        text_addf(m, "    k%d(frame, 0, count / 2);\n", index);
        if (parallel) text_addf(m, "    k%d(frame, count / 2, count);\n", index);
        text_add(m, "}\n");
        return;
    }
    bool grid = l->dialect->geometry_prefix != NULL;
    if (grid) {
        text_addf(m, "    unsigned grid[3], block[3];\n    k%d_geometry(symbols, grid, block);\n",
                  index);
        text_add(m,
                 "    for (unsigned i = 0; i < grid[0] * grid[1] * grid[2]; i++)\n"
                 "        for (unsigned j = 0; j < block[0] * block[1] * block[2]; j++) {\n"
                 "            blockIdx = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / "
                 "grid[1]};\n"
                 "            threadIdx = {j % block[0], j / block[0] % block[1], j / block[0] / "
                 "block[1]};\n");
    }
    text_addf(m, "    k%d(status", index);
    for (loop_buf b = 0; b < k->buffers.count; b++)
        if (k->buffers.data[b].space <= LOOP_SPACE_OUTPUT)
            text_addf(m, ", (%s *)buffers[%u]", dtype_c_name(k->buffers.data[b].type), b);
    for (size_t i = 0; i < symbol_count; i++) text_addf(m, ", symbols[%zu]", i);
    text_addf(m, ");\n%s}\n", grid ? "        }\n" : "");
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (!file) return;
    fputs(text, file);
    fclose(file);
}

/* Prints all samples in the language to a file in the folder: alone, and with what runs them, in
 * host_FILE. */
static void print_samples(const language *l, const char *folder) {
    fixture f = begin();
    text_module m;
    text_begin(&m, f.memory, l->dialect);
    size_t symbol_counts[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        loop_kernel *k = f.kernels[i];
        l->schedule(k, NULL, 0);
        CHECK(loop_verify(k, &f.d, "schedule"));
        loop_decompose(k);
        CHECK(loop_verify(k, &f.d, "decompose"));
        char name[20];
        snprintf(name, sizeof name, "k%d", i);
        text_add_kernel(&m, k, name);
        loop_symbols(k, &symbol_counts[i]);
    }
    for (size_t i = 0; i < f.d.items.count; i++)
        printf("%s\n", diag_text(&f.d, &f.d.items.data[i]));
    size_t kernels_end = m.kernels.count;
    for (int i = 0; i < SAMPLES; i++) add_run(&m, l, f.kernels[i], i, symbol_counts[i]);
    char name[100];
    snprintf(name, sizeof name, "host_%s", l->file);
    write_file(folder, name, arena_printf(f.memory, "%s%s", l->support, text_finish(&m)));
    m.kernels.count = kernels_end;
    /* Alone, static kernels would count as unused: they are made visible. */
    if (!l->dialect->frame) write_file(folder, l->file, text_finish(&m));
    arena_destroy(f.memory);
}

static bool has_program(const char *name) {
    char command[200];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", name);
    return system(command) == 0;
}

static void run_language(const language *l, const char *compiler, const char *flags) {
    char folder[] = "/tmp/onnxcc_printer_XXXXXX", command[1000], path[300];
    CHECK(mkdtemp(folder) != NULL);
    print_samples(l, folder);
    snprintf(
        command, sizeof command,
        "cd %s && %s %s -Wall -Wextra -Werror -Wno-unknown-pragmas -O1 -fPIC -shared host_%s -o "
        "host.so -lm",
        folder, compiler, flags, l->file);
    bool compiled = system(command) == 0;
    CHECK(compiled);
    snprintf(path, sizeof path, "%s/host.so", folder);
    void *library = compiled ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CHECK(library != NULL);
    fixture f = begin();
    for (int i = 0; i < SAMPLES && library; i++) {
        char name[20];
        snprintf(name, sizeof name, "run_%d", i);
        void (*run)(int32_t *, void **, const int64_t *);
        void *symbol = dlsym(library, name);
        memcpy(&run, &symbol, sizeof run);
        CHECK(run != NULL);
        if (run) compare(&f, i, run);
    }
    if (library) dlclose(library);
    arena_destroy(f.memory);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (!unit_errors) CHECK(system(command) == 0);
    if (unit_errors) printf("left in %s\n", folder);
}

static void test_c99(void) {
    run_language(&languages[0], "gcc", "-std=c99 -Wpedantic");
}

static void test_c99_clang(void) {
    static const char *const names[] = {"clang", "clang-19", "clang-14"};
    for (int i = 0; i < 3; i++)
        if (has_program(names[i])) {
            run_language(&languages[0], names[i], "-std=c99 -Wpedantic");
            return;
        }
    printf("SKIP: no clang\n");
}

static void test_hls(void) {
    run_language(&languages[1], "g++", "-std=c++14");
}

static void test_cuda_on_host(void) {
    run_language(&languages[2], "g++", "-std=c++17 -x c++");
}

static void test_cuda_compiles(void) {
    const char *nvcc = has_program("nvcc")                        ? "nvcc"
                       : access("/usr/local/cuda/bin/nvcc", X_OK) ? NULL
                                                                  : "/usr/local/cuda/bin/nvcc";
    if (!nvcc) {
        printf("SKIP: no nvcc\n");
        return;
    }
    char folder[] = "/tmp/onnxcc_printer_XXXXXX", command[600];
    CHECK(mkdtemp(folder) != NULL);
    print_samples(&languages[2], folder);
    snprintf(command, sizeof command, "cd %s && %s -std=c++17 -c %s -o kernels.o 2>&1", folder,
             nvcc, languages[2].file);
    CHECK(system(command) == 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0);
}

int main(void) {
    RUN(test_c99);
    RUN(test_c99_clang);
    RUN(test_hls);
    RUN(test_cuda_on_host);
    RUN(test_cuda_compiles);
    return unit_finish();
}
