/* onnxcc_runtime.h: what generated code and its callers share: status codes, the context of a call,
 * the shape of a kernel. It stands alone, in C99 and C++, and is pasted into every generated
 * header. */
#ifndef ONNXCC_RUNTIME_H
#define ONNXCC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. */
typedef enum {
    ONNXCC_OK = 0,
    ONNXCC_ERROR_NULL_POINTER,     /* an input, an output, the arena or a struct is NULL */
    ONNXCC_ERROR_ARENA_TOO_SMALL,  /* the context's arena_bytes is less than the model needs */
    ONNXCC_ERROR_ARENA_MISALIGNED, /* the arena does not begin at a multiple of 64 */
    ONNXCC_ERROR_BAD_SHAPE,        /* a dimension is outside of its bounds, or dimensions do not fit
                                      together */
    ONNXCC_ERROR_INDEX_OUT_OF_RANGE, /* data used as an index points outside of its tensor */
    ONNXCC_ERROR_CANCELLED,          /* the context's cancellation flag was raised */
    ONNXCC_ERROR_UNSUPPORTED_CPU,    /* the library holds no code that this processor can run */
    ONNXCC_ERROR_UNSUPPORTED_VALUE,  /* an input asks for what compiled code does not do */
    ONNXCC_STATUS_COUNT
} onnxcc_status;

/* "ok", "null pointer", ...; never NULL. */
const char *onnxcc_status_name(int status);

/* An element of a string tensor: `length` bytes (UTF-8, no NUL at the end; NULs within are bytes
 * like others). `data` may be NULL where `length` is 0. What inputs point to stays the caller's;
 * what results point to lies in the inputs, in the library's constants or in the arena, and is good
 * until these change. */
typedef struct {
    const char *data;
    size_t length;
} onnxcc_string;

/* A tensor as the runtime's functions see it: row-major. `data` is NULL where an optional operand
 * is left out (then nothing else is set) and may be where there are no elements. */
typedef struct {
    void *data;
    int64_t element_type; /* in ONNX's numbering: 1 float, 7 int64, 8 string, ... */
    int64_t rank;
    int64_t dims[12];
} onnxcc_tensor;

/* What the kernels of one call share; the first word of every frame points to it. */
typedef struct {
    int32_t status; /* the first error that a kernel met */
    uint32_t draws; /* how often operators in loops drew random numbers */
} onnxcc_state;

/* A kernel: runs iterations [begin, end) of its outermost parallel loop. frame[0] is the address of
 * the onnxcc_state, then come the addresses of its buffers, then the values of the dimension
 * symbols that it needs. */
typedef void (*onnxcc_task)(const int64_t *frame, int64_t begin, int64_t end);

/* How a call runs; the last argument of MODEL_run. NULL, or all fields zero, is one thread. One
 * context serves one call at a time. */
typedef struct onnxcc_context {
    size_t arena_bytes; /* size of the arena, to be checked; 0: the caller vouches for it */
    /* Splits [0, count) among threads, calls task(frame, begin, end) on each part and returns when
     * all are done. NULL: one thread. onnxcc_pool_parallel_for is one; an application may bring its
     * own. */
    void (*parallel_for)(void *user, onnxcc_task task, const int64_t *frame, int64_t count);
    void *parallel_user;
    /* Called behind every step with its number (NAME_STEP_NAMES in the header) and its begin and
     * end in nanoseconds of a monotonic clock that `clock` returns. Both NULL: no profile. */
    void (*profile)(void *user, int step, uint64_t begin_ns, uint64_t end_ns);
    uint64_t (*clock)(void *user);
    void *profile_user;
    const volatile int *cancel; /* looked at between steps; nonzero ends the call. May be NULL */
    /* What random operators draw depends on the seed, on the offset and on nothing else: equal ones
     * give equal numbers, other offsets others. A caller that wants new numbers in every call
     * counts the offset up. A seed that the model gives an operator replaces this one. */
    uint64_t random_seed, random_offset;
} onnxcc_context;

/* What a function of the runtime is called with: the operands of one node, and the numbers of its
 * attributes (runtime/README.md says in which order). Functions return an onnxcc_status. */
typedef struct {
    const onnxcc_tensor *inputs, *outputs;
    const int64_t *attributes;
    const onnxcc_context *context; /* of the call; may be NULL */
    onnxcc_state *state;
} onnxcc_call;

/* ---- the pool: link libNAME.a's pool member by calling these ---- */

enum { ONNXCC_POOL_MAX_THREADS = 64 };

/* Threads that wait for work. The memory is the caller's; onnxcc never allocates. */
typedef struct onnxcc_pool {
    uint64_t opaque[8 * 80];
} onnxcc_pool;

/* Starts `threads` - 1 workers (the caller is one). 0 on success; the pool is unusable otherwise.
 */
int onnxcc_pool_create(onnxcc_pool *pool, int threads);
void onnxcc_pool_destroy(onnxcc_pool *pool);
/* For onnxcc_context.parallel_for, with the pool as parallel_user. A second caller at the same time
 * runs its work alone. */
void onnxcc_pool_parallel_for(void *pool, onnxcc_task task, const int64_t *frame, int64_t count);

#ifdef __cplusplus
}
#endif

#endif
