/* test_pool.c: every iteration of a job runs once, whatever the numbers of threads, iterations and
 * callers; a pool that sleeps wakes, an idle one costs nothing. Built with the thread sanitizer. */
#include "runtime/onnxcc_runtime.h"
#include "test/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_COUNT = 257, JOBS = 300, CALLERS = 3 };

/* frame[1] is the address of one counter for each iteration, frame[2] the iterations' number. */
static void count_iterations(const int64_t *frame, int64_t begin, int64_t end) {
    unsigned char *counters = (unsigned char *)(uintptr_t)frame[1];
    if (begin < 0 || end > frame[2] || begin > end) abort();
    for (int64_t i = begin; i < end; i++) counters[i]++;
}

static int run_job(onnxcc_pool *pool, int64_t count) {
    unsigned char counters[MAX_COUNT] = {0};
    int64_t frame[] = {0, (int64_t)(uintptr_t)counters, count};
    onnxcc_pool_parallel_for(pool, count_iterations, frame, count);
    int good = 1;
    for (int64_t i = 0; i < MAX_COUNT; i++) good &= counters[i] == (i < count);
    return good;
}

static void sleep_ms(long ms) {
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void test_counts(void) {
    static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 100, MAX_COUNT};
    for (int threads = 1; threads <= 5; threads++) {
        onnxcc_pool pool;
        CHECK(onnxcc_pool_create(&pool, threads) == 0);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            CHECK(run_job(&pool, counts[i]));
        onnxcc_pool_destroy(&pool);
    }
}

/* The parts of a job with more iterations than products of 64 bits allow. */
static void add_part(const int64_t *frame, int64_t begin, int64_t end) {
    atomic_llong *sum = (atomic_llong *)(uintptr_t)frame[1];
    atomic_fetch_add(sum, end - begin);
}

static void test_huge_count(void) {
    onnxcc_pool pool;
    CHECK(onnxcc_pool_create(&pool, 2) == 0);
    atomic_llong sum = 0;
    int64_t frame[] = {0, (int64_t)(uintptr_t)&sum};
    onnxcc_pool_parallel_for(&pool, add_part, frame, INT64_MAX);
    CHECK(sum == INT64_MAX);
    onnxcc_pool_destroy(&pool);
}

/* Iteration 0 ends when all the others have: they must not wait for the thread that runs it. */
static void wait_for_others(const int64_t *frame, int64_t begin, int64_t end) {
    enum { PATIENCE_MS = 20000 };
    atomic_llong *done = (atomic_llong *)(uintptr_t)frame[1];
    for (int i = 0; begin == 0 && *done < frame[2] - 1 && i < PATIENCE_MS; i++) sleep_ms(1);
    if (begin == 0 && *done < frame[2] - 1) abort();
    atomic_fetch_add(done, end - begin);
}

static void test_held_up(void) {
    for (int threads = 2; threads <= 4; threads++) {
        onnxcc_pool pool;
        CHECK(onnxcc_pool_create(&pool, threads) == 0);
        atomic_llong done = 0;
        int64_t frame[] = {0, (int64_t)(uintptr_t)&done, 8};
        onnxcc_pool_parallel_for(&pool, wait_for_others, frame, frame[2]);
        CHECK(done == frame[2]);
        onnxcc_pool_destroy(&pool);
    }
}

static void test_bad_thread_counts(void) {
    onnxcc_pool pool;
    CHECK(onnxcc_pool_create(&pool, 0) != 0);
    CHECK(onnxcc_pool_create(&pool, -1) != 0);
    CHECK(onnxcc_pool_create(&pool, ONNXCC_POOL_MAX_THREADS + 1) != 0);
}

/* The caller's memory may begin anywhere that the type allows. */
static void test_any_address(void) {
    static uint64_t memory[sizeof(onnxcc_pool) / 8 + 8];
    for (int shift = 0; shift < 8; shift++) {
        onnxcc_pool *pool = (onnxcc_pool *)(void *)(memory + shift);
        CHECK(onnxcc_pool_create(pool, 2) == 0);
        CHECK(run_job(pool, 10));
        onnxcc_pool_destroy(pool);
    }
}

/* Jobs at once, and jobs that find the workers asleep. */
static void test_sleep_and_wake(void) {
    onnxcc_pool pool;
    CHECK(onnxcc_pool_create(&pool, 3) == 0);
    for (int i = 0; i < JOBS; i++) {
        CHECK(run_job(&pool, i % MAX_COUNT));
        if (i % 20 == 0) sleep_ms(2);
    }
    onnxcc_pool_destroy(&pool);
}

static void test_idle_costs_nothing(void) {
    onnxcc_pool pool;
    CHECK(onnxcc_pool_create(&pool, 3) == 0);
    CHECK(run_job(&pool, 9));
    sleep_ms(50); /* time to fall asleep, on a busy machine too */
    double before = cpu_ms();
    sleep_ms(200);
    CHECK(cpu_ms() - before < 50);
    onnxcc_pool_destroy(&pool);
}

static void *call_often(void *pool) {
    intptr_t bad = 0;
    for (int i = 0; i < JOBS; i++) bad += !run_job(pool, 1 + i % (MAX_COUNT - 1));
    return (void *)bad;
}

/* Several callers of one pool: one has the workers, the others run alone; all get right results. */
static void test_callers_at_once(void) {
    onnxcc_pool pool;
    pthread_t callers[CALLERS];
    CHECK(onnxcc_pool_create(&pool, 3) == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&callers[i], NULL, call_often, &pool) == 0);
    for (int i = 0; i < CALLERS; i++) {
        void *bad = &pool;
        CHECK(pthread_join(callers[i], &bad) == 0);
        CHECK(bad == NULL);
    }
    onnxcc_pool_destroy(&pool);
}

/* A task that itself asks the pool: it runs its inner work alone, and nothing waits for itself. */
static void nest(const int64_t *frame, int64_t begin, int64_t end) {
    int *good = (int *)(uintptr_t)frame[1];
    onnxcc_pool *pool = (onnxcc_pool *)(uintptr_t)frame[2];
    for (int64_t i = begin; i < end; i++) good[i] = run_job(pool, 20);
}

static void test_nested(void) {
    onnxcc_pool pool;
    int good[4] = {0};
    int64_t frame[] = {0, (int64_t)(uintptr_t)good, (int64_t)(uintptr_t)&pool};
    CHECK(onnxcc_pool_create(&pool, 3) == 0);
    onnxcc_pool_parallel_for(&pool, nest, frame, 4);
    for (int i = 0; i < 4; i++) CHECK(good[i]);
    onnxcc_pool_destroy(&pool);
}

static void test_status_names(void) {
    CHECK_STR(onnxcc_status_name(ONNXCC_OK), "ok");
    CHECK_STR(onnxcc_status_name(-1), "unknown status");
    CHECK_STR(onnxcc_status_name(ONNXCC_STATUS_COUNT), "unknown status");
    for (int i = 0; i < ONNXCC_STATUS_COUNT; i++)
        for (int j = i + 1; j <= ONNXCC_STATUS_COUNT; j++)
            CHECK(strcmp(onnxcc_status_name(i), onnxcc_status_name(j)) != 0);
}

int main(void) {
    RUN(test_counts);
    RUN(test_huge_count);
    RUN(test_held_up);
    RUN(test_bad_thread_counts);
    RUN(test_any_address);
    RUN(test_sleep_and_wake);
    RUN(test_idle_costs_nothing);
    RUN(test_callers_at_once);
    RUN(test_nested);
    RUN(test_status_names);
    return unit_finish();
}
