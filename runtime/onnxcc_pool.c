/* onnxcc_pool.c: a pool of threads for onnxcc_context.parallel_for. A job is cut into units, every
 * thread has a run of them, takes them from the front, and then helps the others from the back: a
 * thread that the machine keeps from running holds up one unit, not half of the job. An iteration
 * computes the same on every thread, so results do not depend on who ran it. Workers spin for some
 * 20 microseconds behind a job, since the next one of the same call follows soon, and sleep after
 * that: an idle pool costs nothing. */
#include "onnxcc_runtime.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SPINS = 2000, CACHE_LINE = 64, UNITS = 8 /* a thread */ };

/* The units [begin, end) that a thread has still to run, in one word: begin + (end << 32). Taking
 * one is a compare-and-swap. Where that succeeds, the job is under way, whatever job the thread had
 * in mind, and cannot end before the unit does. */
typedef struct {
    _Alignas(CACHE_LINE) atomic_uint_least64_t units;
} share;

typedef struct {
    /* the job: written before its shares are, read by who took a unit */
    onnxcc_task task;
    const int64_t *frame;
    int64_t count, units;
    int threads;
    pthread_t handles[ONNXCC_POOL_MAX_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_flag busy;                            /* a caller's job is under way */
    _Alignas(CACHE_LINE) atomic_uint generation; /* number of the newest job */
    atomic_int sleepers;
    atomic_int stop;
    _Alignas(CACHE_LINE) atomic_int remaining; /* units that have not been run to their end */
    atomic_int started;                        /* workers that know their number */
    share shares[ONNXCC_POOL_MAX_THREADS];
} pool;

_Static_assert(sizeof(pool) + CACHE_LINE <= sizeof(onnxcc_pool), "the opaque pool is large enough");

/* The pool lies at the first cache line within the caller's memory. */
static pool *pool_of(onnxcc_pool *p) {
    uintptr_t at = (uintptr_t)p;
    return (pool *)((at + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Where part `part` of `parts` begins: they differ by one at most, and no product could overflow.
 */
static int64_t begin_of(int64_t count, int64_t parts, int64_t part) {
    int64_t rest = count % parts;
    return count / parts * part + (part < rest ? part : rest);
}

/* Takes a unit of a share, its first or its last one; -1 if there is none. */
static int64_t take_unit(share *s, int last) {
    uint64_t seen = atomic_load_explicit(&s->units, memory_order_relaxed), left;
    uint64_t begin, end;
    do {
        begin = seen & UINT32_MAX;
        end = seen >> 32;
        if (begin == end) return -1;
        left = last ? begin | (end - 1) << 32 : (begin + 1) | end << 32;
    } while (!atomic_compare_exchange_weak(&s->units, &seen, left));
    return (int64_t)(last ? end - 1 : begin);
}

static void run_share(pool *p, int owner, int last) {
    for (int64_t unit; (unit = take_unit(&p->shares[owner], last)) >= 0;) {
        p->task(p->frame, begin_of(p->count, p->units, unit),
                begin_of(p->count, p->units, unit + 1));
        atomic_fetch_sub_explicit(&p->remaining, 1, memory_order_release);
    }
}

/* Runs the thread's own units, then those that others have not come to. */
static void run_units(pool *p, int thread) {
    run_share(p, thread, 0);
    for (int i = 1; i < p->threads; i++) run_share(p, (thread + i) % p->threads, 1);
}

/* Returns when there is a job newer than `seen`. */
static void wait_for_job(pool *p, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->generation, memory_order_acquire) != seen) return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *argument) {
    pool *p = argument;
    int thread = atomic_fetch_add(&p->started, 1) + 1;
    for (unsigned seen = 0;; seen++) {
        wait_for_job(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        run_units(p, thread);
    }
}

static void publish(pool *p) {
    atomic_fetch_add(&p->generation, 1);
    if (!atomic_load(&p->sleepers)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* A kernel may take some hundred kilobytes of stack: more than some C libraries give a thread. */
static int start_worker(pool *p, pthread_t *handle) {
    enum { LEAST_STACK = 1 << 20 };
    pthread_attr_t how;
    size_t bytes;
    if (pthread_attr_init(&how)) return 1;
    int failed = pthread_attr_getstacksize(&how, &bytes) ||
                 (bytes < LEAST_STACK && pthread_attr_setstacksize(&how, LEAST_STACK)) ||
                 pthread_create(handle, &how, work, p);
    pthread_attr_destroy(&how);
    return failed;
}

int onnxcc_pool_create(onnxcc_pool *memory, int threads) {
    pool *p = pool_of(memory);
    *p = (pool){.threads = 1};
    if (threads < 1 || threads > ONNXCC_POOL_MAX_THREADS) return 1;
    if (pthread_mutex_init(&p->lock, NULL) || pthread_cond_init(&p->wake, NULL)) return 1;
    atomic_flag_clear(&p->busy);
    for (int i = 1; i < threads; i++) {
        if (start_worker(p, &p->handles[i])) {
            onnxcc_pool_destroy(memory);
            return 1;
        }
        p->threads = i + 1;
    }
    return 0;
}

void onnxcc_pool_destroy(onnxcc_pool *memory) {
    pool *p = pool_of(memory);
    atomic_store(&p->stop, 1);
    publish(p);
    for (int i = 1; i < p->threads; i++) pthread_join(p->handles[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    p->threads = 1;
}

void onnxcc_pool_parallel_for(void *memory, onnxcc_task task, const int64_t *frame, int64_t count) {
    pool *p = pool_of((onnxcc_pool *)memory);
    if (p->threads == 1 || count < 2 || atomic_flag_test_and_set(&p->busy)) {
        task(frame, 0, count);
        return;
    }
    p->task = task;
    p->frame = frame;
    p->count = count;
    p->units = count < UNITS * p->threads ? count : UNITS * p->threads;
    atomic_store_explicit(&p->remaining, (int)p->units, memory_order_relaxed);
    for (int i = 0; i < p->threads; i++)
        atomic_store_explicit(&p->shares[i].units,
                              (uint64_t)begin_of(p->units, p->threads, i) |
                                  (uint64_t)begin_of(p->units, p->threads, i + 1) << 32,
                              memory_order_release);
    publish(p);
    run_units(p, 0);
    while (atomic_load_explicit(&p->remaining, memory_order_acquire)) pause_briefly();
    atomic_flag_clear(&p->busy);
}
