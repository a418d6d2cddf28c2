/* peak.c: two kernels in loop IR, multiply-adds on registers and a sum over an array, compiled like
 * any other kernel and timed alone: the best of several runs. */
#include "codegen/peak.h"

#include "codegen/llvm/compile.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    CHAINS = 10, /* independent accumulators: covers four cycles at two instructions each */
    STEPS = 200000,
    MEMORY_BYTES = 256 << 20,
    RUNS = 7
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds of the fastest run of a kernel whose buffers are x and y; negative after a diagnostic. */
static double time_kernel(const char *text, void *y, void *x, const target_machine *m, arena *a,
                          diag *d) {
    loop_kernel *k = loop_parse(a, dim_table_create(a), d, text, strlen(text));
    onnxcc_task task;
    llvm_jit *j = k ? llvm_jit_kernel(k, m, (llvm_options){.optimize = 2}, d, &task) : NULL;
    if (!j) return -1;
    onnxcc_state state = {0};
    int64_t frame[] = {(int64_t)(intptr_t)&state, (int64_t)(intptr_t)y, (int64_t)(intptr_t)x};
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        double begin = now();
        task(frame, 0, 1);
        double seconds = now() - begin;
        if (seconds < best) best = seconds;
    }
    llvm_jit_free(j);
    return best;
}

static const char *sum_kernel(arena *a, int lanes, int64_t rounds, int64_t repeats) {
    return arena_printf(a,
                        "kernel sum {\n"
                        "  output %%y: f32[%d, %d]\n"
                        "  input %%x: f32[%lld, %d, %d]\n"
                        "  tile %%acc: f32[%d, %d]\n"
                        "  for c in %d unroll { for l in %d vector { %%acc[c, l] = 0.0 } }\n"
                        "  for n in %lld serial {\n"
                        "    for i in %lld serial { for c in %d unroll { for l in %d vector {\n"
                        "      %%acc[c, l] = %%acc[c, l] + %%x[i, c, l]\n"
                        "    } } }\n"
                        "  }\n"
                        "  for c in %d unroll { for l in %d vector { %%y[c, l] = %%acc[c, l] } }\n"
                        "}\n",
                        CHAINS, lanes, (long long)rounds, CHAINS, lanes, CHAINS, lanes, CHAINS,
                        lanes, (long long)repeats, (long long)rounds, CHAINS, lanes, CHAINS, lanes);
}

static double bytes_a_second(const target_machine *m, void *y, void *x, int64_t bytes,
                             int64_t repeats, arena *a, diag *d) {
    int lanes = (int)(m->vector_bytes / 4);
    int64_t rounds = bytes / (CHAINS * m->vector_bytes);
    double seconds = time_kernel(sum_kernel(a, lanes, rounds, repeats), y, x, m, a, d);
    return (double)(rounds * repeats * CHAINS * m->vector_bytes) / seconds;
}

static double flops_a_second(const target_machine *m, void *y, arena *a, diag *d) {
    int lanes = (int)(m->vector_bytes / 4);
    const char *text = arena_printf(
        a,
        "kernel multiply_add {\n"
        "  output %%y: f32[%d, %d]\n"
        "  input %%x: f32[1]\n"
        "  tile %%acc: f32[%d, %d]\n"
        "  for c in %d unroll { for l in %d vector { %%acc[c, l] = 1.0 } }\n"
        "  for n in %d serial { for c in %d unroll { for l in %d vector {\n"
        "    %%acc[c, l] = fma(%%acc[c, l], 0.999, 0.001)\n"
        "  } } }\n"
        "  for c in %d unroll { for l in %d vector { %%y[c, l] = %%acc[c, l] } }\n"
        "}\n",
        CHAINS, lanes, CHAINS, lanes, CHAINS, lanes, STEPS, CHAINS, lanes, CHAINS, lanes);
    return 2.0 * CHAINS * lanes * STEPS / time_kernel(text, y, y, m, a, d);
}

bool peak_measure(const target_machine *m, arena *a, diag *d, peak_rates *out) {
    if (!m->cpu || !target_runs_here(m))
        return diag_error(d, NULL, NULL, "use --target native",
                          "there is no peak to measure for %s here", m->name);
    unsigned char *x =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (x == MAP_FAILED)
        return diag_error(d, NULL, NULL, NULL, "there is no memory to measure its speed");
    memset(x, 1, MEMORY_BYTES); /* pages of their own, not the shared zero page */
    void *y = arena_alloc(a, CHAINS * 64);
    *out = (peak_rates){flops_a_second(m, y, a, d) * 1e-9,
                        bytes_a_second(m, y, x, m->l2_bytes / 2, 200, a, d) * 1e-9,
                        bytes_a_second(m, y, x, MEMORY_BYTES, 1, a, d) * 1e-9};
    munmap(x, MEMORY_BYTES);
    return out->gflops > 0 && out->cache_gbytes > 0 && out->memory_gbytes > 0;
}
