/* program.h: a whole model after lowering: kernels in loop IR, the buffers that they work on, and
 * the steps that call them. It is what emitters print: one function a kernel, and the entry that
 * runs the steps. */
#ifndef ONNXCC_CODEGEN_PROGRAM_H
#define ONNXCC_CODEGEN_PROGRAM_H

#include "ir/graph.h"
#include "ir/loop.h"

#define PROGRAM_NO_BUFFER UINT32_MAX

typedef enum {
    PLACE_INPUT,  /* caller's memory: element `index` of the inputs struct */
    PLACE_OUTPUT, /* caller's memory: element `index` of the outputs struct */
    PLACE_WEIGHT, /* offset in the constant section */
    PLACE_ARENA   /* offset in the arena; may depend on symbols */
} program_place;

/* Memory of one graph value (or of several that share it, as views). */
typedef struct {
    const char *name;
    value_id value;
    program_place place;
    uint32_t index;   /* INPUT, OUTPUT */
    dim offset;       /* WEIGHT, ARENA: bytes */
    dim bytes;        /* size, with blocks and halo */
    const void *data; /* WEIGHT: the bytes, laid out as the kernels read them */
    bool splat;       /* WEIGHT: data is one element of element_bytes, repeated */
    size_t element_bytes;
    uint32_t first,
        last; /* ARENA: steps, counted as they stand, between which it holds something */
    /* ARENA: a buffer within another has its offset from that one's beginning, in `within`. */
    uint32_t whole; /* PROGRAM_NO_BUFFER: it is none */
    dim within;
    bool has_parts;
} program_buffer;

/* One compiled function. Kernels with equal bodies share one entry. */
typedef struct {
    loop_kernel *loops;           /* scheduled */
    int64_t flops, bytes;         /* a call's, at nominal dimensions: for launch costs */
    dim exact_flops, exact_bytes; /* for any dimensions; operations as loop_kernel.work counts */
    const char *key;              /* of its tuning record; NULL where those were not asked */
} program_kernel;

typedef enum {
    STEP_CALL,   /* kernel on args */
    STEP_IF,     /* condition buffer (one bool): body or otherwise */
    STEP_LOOP,   /* trip count and condition buffers: body; see the fields */
    STEP_ZERO,   /* fills buffer args[0] with zero bytes */
    STEP_COPY,   /* args[1] to args[0], bytes of args[0] */
    STEP_SYMBOL, /* symbol := the i64 at position `element` of args[0], checked against its bounds
                    and its limit (a dimension that the data tell) */
    STEP_CHAIN, /* the CALLs in body, `iterations` slices of each: a slice needs of the calls before
                   it their slices of the same number alone, so that threads wait for nothing */
    STEP_RUNTIME /* function `callee` of the runtime on the tensors args; ends the run if it fails
                  */
} program_step_kind;

typedef struct program_step {
    program_step_kind kind;
    struct program_step *next;
    uint32_t number;   /* as the lives of buffers count steps */
    const char *label; /* node names of the model that it computes, for profiles */
    uint32_t kernel;   /* CALL */
    dim iterations; /* CALL: extent of the kernel's outermost parallel loop; DIM_NONE: it has none.
                       CHAIN: slices, a constant that divides those of the body */
    const uint32_t *args; /* buffers: of a CALL in the order of the kernel's parameter buffers */
    uint32_t arg_count;
    const type *types; /* RUNTIME: of the args, row-major; TYPE_NONE where the operand is left out
                          and its arg is PROGRAM_NO_BUFFER */
    uint32_t input_count;     /* RUNTIME: so many of the args are inputs; the others are outputs */
    dim_symbol symbol;        /* SYMBOL */
    uint32_t element;         /* SYMBOL */
    const char *callee;       /* RUNTIME */
    const int64_t *constants; /* RUNTIME: the attributes */
    uint32_t constant_count;
    uint32_t profile; /* CALL, RUNTIME: number of the step in profiles */
    struct program_step *body, *otherwise;
    uint32_t condition;  /* IF, LOOP: buffer; LOOP: UINT32_MAX for none */
    uint32_t trip_count; /* LOOP: buffer of an i64, or UINT32_MAX */
    uint32_t iteration;  /* LOOP: buffer that receives the iteration number (i64), or UINT32_MAX */
} program_step;

/* One input or output of the model, as the caller sees it (row-major). */
typedef struct {
    const char *name; /* of the ONNX file */
    value_id value;
    type type;
    uint32_t buffer;
    /* Outputs: how large they can be, over the symbols that the caller passes. */
    const dim *largest;
    dim largest_bytes;
    bool open; /* an output whose dimensions only the run tells */
} program_io;

typedef struct {
    arena *memory;
    dim_table *dims;
    const char *name; /* a C identifier; prefix of every symbol */
    LIST(program_buffer) buffers;
    LIST(program_kernel) kernels;
    program_step *steps;
    uint32_t profile_count; /* steps with a profile number */
    LIST(program_io) inputs;
    LIST(program_io) outputs;
    /* How these belong together in the file's inputs and outputs, in order. */
    LIST(graph_port) input_ports;
    LIST(graph_port) output_ports;
    dim arena_bytes;       /* expression over symbols */
    const dim *live_bytes; /* sums of live bytes: the largest is what no plan can beat */
    size_t live_count;
    int64_t weight_bytes;
    /* Symbols that the caller passes, in the order of the dims struct: those that inputs'
     * dimensions hold. */
    LIST(dim_symbol) symbols;
} program;

/* The function that every emitter makes is NAME_run of the generated header:
 *   int NAME_run(const NAME_inputs *inputs, const NAME_outputs *outputs, void *arena,
 *                const onnxcc_context *context);
 * The structs are arrays of pointers; the inputs' (of one element at least) is followed by one
 * int64_t for each of program.symbols, the outputs' by one pointer for each open output: to int64_t
 * that receive its dimensions, or NULL. It checks null pointers, the arena's alignment (64) and, if
 * the context gives it, size, and the bounds of the symbols; it returns an onnxcc_status. */

/* Whether work is worth the context's threads: some ten microseconds of arithmetic or of memory. */
static inline bool program_worth_threads(int64_t flops, int64_t bytes) {
    enum { FLOPS = 500000, BYTES = 200000 };
    return flops >= FLOPS || bytes >= BYTES;
}

/* Whether a call is split over them. */
bool program_is_split(const program *p, const program_step *call);

/* The largest sum of live bytes with these symbol values. */
int64_t program_arena_bound(const program *p, const int64_t *symbols);

/* Text of the whole program: buffers, steps, kernels. */
void program_print(const program *p, void (*write)(void *user, const char *text, size_t n),
                   void *user);

#endif
