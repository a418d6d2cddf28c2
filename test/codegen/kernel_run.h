/* kernel_run.h: runs one kernel through the interpreter and through LLVM on the same data and
 * compares all of its buffers. Every buffer ends at a page that may not be touched. */
#ifndef ONNXCC_TEST_KERNEL_RUN_H
#define ONNXCC_TEST_KERNEL_RUN_H

#include "codegen/llvm/compile.h"
#include "ir/loop_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How numbers may differ: not at all (zeros and NaNs aside), or by rounding of products. */
typedef enum { RUN_EXACT, RUN_CLOSE } run_match;

typedef struct {
    const loop_kernel *k;
    const int64_t *symbols; /* by dim_symbol */
    unsigned seed;
    bool specials; /* infinities, NaN and extremes among the data */
} run_data;

typedef struct {
    unsigned char *pages, *data;
    size_t mapped, bytes, count;
    dtype type;
} run_buffer;

static inline uint32_t run_random(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static inline int64_t run_extent(const loop_kernel *k, loop_expr e, const int64_t *symbols) {
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_CONST) return n->i;
    if (n->op == LOOP_DIM) return symbols[n->i];
    int64_t x = run_extent(k, n->args[0], symbols), y = run_extent(k, n->args[1], symbols);
    return loop_apply(n->op, DTYPE_I64, (loop_number){.i = x}, (loop_number){.i = y},
                      (loop_number){.i = 0})
        .i;
}

static inline run_buffer run_allocate(size_t count, dtype t) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = count * dtype_bytes(t);
    size_t room = (bytes + page - 1) / page * page;
    run_buffer b = {.mapped = room + page, .bytes = bytes, .count = count, .type = t};
    b.pages = mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.pages == MAP_FAILED || mprotect(b.pages + room, page, PROT_NONE)) abort();
    b.data = b.pages + room - bytes;
    return b;
}

static inline loop_number run_value(dtype t, unsigned *seed, bool specials) {
    static const double odd[] = {INFINITY, -INFINITY, NAN, -0.0,        1e-40,
                                 3e38,     -1e10,     0.5, 2147483648.0};
    uint32_t r = run_random(seed);
    bool special = specials && r % 5 == 0;
    if (dtype_is_float(t))
        return (loop_number){.f = loop_round_float(t, special ? odd[run_random(seed) % 9]
                                                              : (double)(int)(r % 17) - 8)};
    if (t == DTYPE_BOOL) return (loop_number){.i = r & 1};
    int64_t wide =
        (int64_t)((uint64_t)run_random(seed) << 40 ^ (uint64_t)run_random(seed) << 20 ^ r);
    return (loop_number){
        .i = loop_wrap_int(t, special ? wide
                                      : (int64_t)(r % 17) -
                                            (dtype_class_of(t) == DTYPE_CLASS_INT ? 8 : 0))};
}

static inline void run_fill(run_buffer b, unsigned *seed, bool specials) {
    for (size_t i = 0; i < b.count; i++) {
        loop_number v = run_value(b.type, seed, specials);
        uint64_t bits = loop_encode(b.type, v);
        memcpy(b.data + i * dtype_bytes(b.type), &bits, dtype_bytes(b.type));
    }
}

static inline size_t run_elements(const run_data *r, const loop_buffer *b) {
    size_t last = 1;
    if (!b->strides) {
        for (int i = 0; i < b->rank; i++)
            last *= (size_t)run_extent(r->k, b->extents[i], r->symbols);
        return last;
    }
    for (int i = 0; i < b->rank; i++)
        last += (size_t)((run_extent(r->k, b->extents[i], r->symbols) - 1) *
                         run_extent(r->k, b->strides[i], r->symbols));
    return last;
}

static inline bool run_same(dtype t, const unsigned char *x, const unsigned char *y, run_match m) {
    uint64_t p = 0, q = 0;
    memcpy(&p, x, dtype_bytes(t));
    memcpy(&q, y, dtype_bytes(t));
    if (p == q || !dtype_is_float(t)) return p == q;
    double a = loop_decode(t, p).f, b = loop_decode(t, q).f;
    if (a == b || (isnan(a) && isnan(b))) return true;
    return m == RUN_CLOSE && fabs(a - b) <= 1e-5 * (1 + fabs(a));
}

/* Runs on one machine. True if all buffers come out alike; else says what differs. */
static inline bool run_compare(loop_kernel *k, const run_data *r, const target_machine *m,
                               llvm_options o, run_match match, diag *d) {
    size_t n = k->buffers.count, words = 1, symbol_count;
    void *reference[64] = {0};
    run_buffer mine[64] = {{0}}, theirs[64] = {{0}};
    int64_t frame[128];
    onnxcc_state state = {0};
    unsigned seed = r->seed;
    bool ok = true;
    frame[0] = (int64_t)(intptr_t)&state;
    for (size_t b = 0; b < n; b++) {
        const loop_buffer *source = &k->buffers.data[b];
        if (source->space > LOOP_SPACE_OUTPUT) continue;
        mine[b] = run_allocate(run_elements(r, source), source->type);
        theirs[b] = run_allocate(mine[b].count, source->type);
        run_fill(mine[b], &seed, r->specials);
        memcpy(theirs[b].data, mine[b].data, mine[b].bytes);
        reference[b] = theirs[b].data;
        frame[words++] = (int64_t)(intptr_t)mine[b].data;
    }
    const dim_symbol *symbols = loop_symbols(k, &symbol_count);
    for (size_t s = 0; s < symbol_count; s++) frame[words++] = r->symbols[symbols[s]];
    int64_t iterations = 1;
    bool parallel = k->body && k->body->kind == LOOP_STMT_FOR && k->body->loop == LOOP_PARALLEL;
    if (parallel) iterations = run_extent(k, k->body->extent, r->symbols);
    int status = loop_interpret(k, reference, r->symbols, d);
    onnxcc_task task;
    llvm_jit *j = llvm_jit_kernel(k, m, o, d, &task);
    if (!j || status < 0) {
        for (size_t i = 0; i < d->items.count; i++) printf("%s\n", diag_text(d, &d->items.data[i]));
        ok = false;
    } else {
        int64_t cut = parallel ? iterations / 2 : 0;
        if (cut) task(frame, 0, cut);
        task(frame, cut, iterations);
        if ((state.status != 0) != (status != 0)) {
            printf("%s on %s: status %d, wanted %d\n", k->name, m->name, state.status, status);
            ok = false;
        }
    }
    for (size_t b = 0; b < n && ok; b++)
        for (size_t i = 0; i < mine[b].count && ok; i++) {
            size_t at = i * dtype_bytes(mine[b].type);
            if (run_same(mine[b].type, mine[b].data + at, theirs[b].data + at, match)) continue;
            uint64_t p = 0, q = 0;
            memcpy(&p, mine[b].data + at, dtype_bytes(mine[b].type));
            memcpy(&q, theirs[b].data + at, dtype_bytes(mine[b].type));
            printf("%s on %s -O%d: %%%s[%zu] is %llx, wanted %llx\n", k->name, m->name, o.optimize,
                   k->buffers.data[b].name, i, (unsigned long long)p, (unsigned long long)q);
            ok = false;
        }
    llvm_jit_free(j);
    for (size_t b = 0; b < n; b++) {
        if (mine[b].pages) munmap(mine[b].pages, mine[b].mapped);
        if (theirs[b].pages) munmap(theirs[b].pages, theirs[b].mapped);
    }
    return ok;
}

static const char *const run_levels[] = {"x86-64-v2", "x86-64-v3", "x86-64-v3-vnni", "x86-64-v4",
                                         "x86-64-v4-vnni"};
enum { RUN_LEVELS = sizeof run_levels / sizeof *run_levels };

#endif
