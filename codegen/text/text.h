/* text.h: scheduled kernels as source text of the C family. One printer serves all dialects: what
 * differs between them is a table of words. A module gathers kernels and the helper functions that
 * they turn out to need. */
#ifndef ONNXCC_CODEGEN_TEXT_TEXT_H
#define ONNXCC_CODEGEN_TEXT_TEXT_H

#include "ir/loop.h"

/* The axes of a grid of threads, as an index: LOOP_GPU_BLOCK_X is 0, ... LOOP_GPU_THREAD_Z is 5. */
enum { TEXT_GRID_AXES = 6 };

/* How one language of the family says things. Strings may be NULL where a language has nothing to
 * say, but for those of every kernel. */
typedef struct {
    const char *headers;       /* the text that a file begins with */
    const char *kernel_prefix; /* "void " */
    const char *helper_prefix; /* "static inline " */
    const char *restrict_word; /* of pointers that nothing else overlaps */
    bool frame;                /* arguments come in a frame (onnxcc_task); else as parameters */
    bool fused;                /* has fma and fmaf; else a product and a sum */
    bool widened;              /* the sum in double precision, or fmaf where that is fast */
    const char *grid[TEXT_GRID_AXES]; /* the thread's place; NULL: a loop instead */
    const char *geometry_prefix;  /* of NAME_geometry(symbols, grid, block), which a launch needs */
    const char *shared_prefix;    /* of declarations in SHARED space */
    const char *barrier;          /* behind loops over threads, where there is SHARED space */
    const char *array_pragma;     /* behind a local array in registers; %s is its name */
    const char *parameter_pragma; /* in the function for every buffer; %s is its name */
    const char *loop_pragma[LOOP_KIND_COUNT]; /* in front of the loop */
    const char *body_pragma[LOOP_KIND_COUNT]; /* at the start of its body */
    const char *fail; /* a failed check; %d is the code, `status` an int32_t pointer */
} text_dialect;

/* C99: a kernel is an onnxcc_task. */
extern const text_dialect text_dialect_c99;

typedef LIST(char) text_buffer;

typedef struct {
    arena *memory;
    const text_dialect *dialect;
    text_buffer helpers, kernels;
    LIST(const char *) helper_names;
    const bool *used_buffers; /* by the kernel added last, element i its buffer i */
} text_module;

void text_begin(text_module *m, arena *a, const text_dialect *dialect);
/* Adds the function `name`. The kernel has been decomposed (loop_math.h). Parameters, where the
 * dialect has them: the status, the buffers in their order, the symbols of loop_symbols. Returns
 * the bytes of its arrays on the stack. */
int64_t text_add_kernel(text_module *m, loop_kernel *k, const char *name);
/* Text as it is, behind the kernels so far. */
void text_add(text_module *m, const char *text);
void text_addf(text_module *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The file: headers, helpers, kernels. NUL-terminated, in the module's arena. */
const char *text_finish(text_module *m);

#endif
