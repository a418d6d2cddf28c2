/* plan.h: the memory plan. Given sizes and lifetimes of buffers it finds offsets in one arena such
 * that no two live buffers overlap, for every value that the symbols may take. It knows nothing of
 * graphs or kernels, so brute force can check it. */
#ifndef ONNXCC_CODEGEN_PLAN_H
#define ONNXCC_CODEGEN_PLAN_H

#include "ir/arena.h"
#include "ir/dim.h"

enum { PLAN_ALIGN = 64 };

/* One buffer: live from step `first` to step `last`, both included. */
typedef struct {
    dim bytes;
    uint32_t first, last;
    dim offset; /* result, a multiple of PLAN_ALIGN for all symbol values */
} plan_buffer;

typedef struct {
    dim arena_bytes;
    /* Sums of live bytes at the steps where they may be largest: their maximum is what no plan can
     * beat. */
    const dim *live;
    size_t live_count;
} plan_result;

/* Sets the offset of every buffer. Constant sizes are placed greedily, best of several orders and
 * fits (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020),
 * which are improved upon as long as they are above the bound. With symbols, buffers share slots
 * whose sizes are expressions; `nominal[s]` is the value of symbol s for which they are chosen
 * well; they are valid for all values. */
plan_result plan_make(arena *a, dim_table *dims, plan_buffer *buffers, size_t count,
                      const int64_t *nominal);

#endif
