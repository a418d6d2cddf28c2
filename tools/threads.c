/* threads.c: a pool and a clock for calls that the tools make: what an application with threads
 * would set up. */
#include "tools/tool.h"

#include <time.h>

struct tool_threads {
    onnxcc_pool pool;
    bool running;
};

static uint64_t read_clock(void *user) {
    (void)user;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

tool_threads *tool_threads_start(arena *a, long threads, onnxcc_context *context) {
    tool_threads *t = ARENA_NEW(a, tool_threads);
    context->clock = read_clock;
    t->running = threads > 1 && onnxcc_pool_create(&t->pool, (int)threads) == 0;
    if (t->running) {
        context->parallel_for = onnxcc_pool_parallel_for;
        context->parallel_user = &t->pool;
    }
    return t;
}

void tool_threads_stop(tool_threads *t) {
    if (t->running) onnxcc_pool_destroy(&t->pool);
    t->running = false;
}
