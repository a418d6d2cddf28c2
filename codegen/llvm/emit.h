/* emit.h: what the files that turn one kernel into LLVM IR share. A kernel_emitter lives while one
 * function is built. Values that depend on no load are placed in the prologue of the outermost loop
 * where they are known, and every operation is made once while it is valid: code comes out of the
 * emitter with its invariants hoisted and its common subexpressions merged. */
#ifndef ONNXCC_CODEGEN_LLVM_EMIT_H
#define ONNXCC_CODEGEN_LLVM_EMIT_H

#include "codegen/target.h"
#include "ir/loop.h"

#include <limits.h>
#include <llvm-c/Core.h>

/* One LLVM module under construction, and types that are used everywhere. */
typedef struct {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    const target_machine *machine;
    arena *scratch; /* lives as long as the module is built */
    bool cold;      /* weights come from memory: together they are more than a cache holds */
    LLVMTypeRef i1, i8, i32, i64, f32, f64, pointer, none;
} emit_module;

void emit_module_begin(emit_module *m, arena *scratch, const target_machine *machine,
                       const char *name);
/* Emits the function `name` (hidden, or internal) of a scheduled kernel. Returns the bytes of its
 * arrays on the stack. */
int64_t emit_kernel(emit_module *m, loop_kernel *k, const char *name);
/* Attributes of every function that we define; those of the machine too if `m->machine` is set. */
void emit_function_attributes(emit_module *m, LLVMValueRef fn);
/* Emits NAME_run, as `run_name`, which runs the program's steps; `kernels[i]` is the name of kernel
 * i. */
void emit_entry(emit_module *m, const program *p, const char *const *kernels, const char *run_name,
                bool weights_in_file);
/* Emits `run_name`, which calls the last of `entries` whose vectors (of `vector_bytes[i]`) the
 * processor has. */
void emit_dispatch(emit_module *m, const char *run_name, const char *const *entries,
                   const int *vector_bytes, size_t count);

/* ---- values ---- */

/* `level` of a value that is known at its place in the current block alone. */
enum { LEVEL_HERE = INT_MAX };

typedef struct {
    LLVMValueRef v; /* a scalar, or a vector of all lanes of the vector loop at hand */
    bool wide;      /* a vector */
    int level;      /* loop whose prologue knows it; 0: the function's entry */
} emit_value;

typedef enum {
    PRIM_BINARY, /* sub: LLVMOpcode */
    PRIM_ICMP,   /* sub: LLVMIntPredicate */
    PRIM_FCMP,   /* sub: LLVMRealPredicate */
    PRIM_CAST,   /* sub: LLVMOpcode */
    PRIM_SELECT,
    PRIM_NEGATE, /* of a float */
    PRIM_CALL,   /* sub: an intrinsic's number; overloaded by `type`, and by the operand's for `sat`
                  */
    PRIM_SPLAT,
    PRIM_OFFSET,   /* pointer args[0] plus args[1] bytes */
    PRIM_LOAD,     /* of memory that nobody writes meanwhile; sub: 1 + buffer */
    PRIM_PREFETCH, /* of the page behind pointer args[0] */
    PRIM_SHUFFLE   /* sub: number of a mask in the emitter's table */
} emit_prim;

typedef struct {
    emit_prim prim;
    unsigned sub;
    LLVMTypeRef type;
    LLVMValueRef args[3];
    LLVMValueRef made; /* NULL: a free slot */
    int level;
    uint32_t serial; /* of that level when it was made */
} emit_made;

typedef struct {
    LLVMBasicBlockRef prologue; /* ends with a branch into the body */
    uint32_t serial;
} emit_level;

typedef enum { VAR_UNBOUND, VAR_VALUE, VAR_CONSTANT, VAR_LANE } emit_var_kind;
typedef struct {
    emit_var_kind kind;
    emit_value value; /* VALUE */
    int64_t constant; /* CONSTANT */
} emit_var;

/* Memory of a buffer. Tiles whose indices are all constant live in slots of `width` elements, one
 * variable each, that LLVM promotes to registers; everything else is behind `base`. */
typedef struct {
    LLVMValueRef base;
    bool in_slots;
    int width;
    size_t slot_count;
    LLVMValueRef *slots;
    LLVMTypeRef slot_type;
    LLVMMetadataRef scope, others; /* lists for alias.scope and noalias */
    bool invariant;                /* nobody writes it while the kernel runs */
    bool streams;                  /* loads ask for the next page: it comes from memory */
} emit_buffer;

/* A buffer whose panels are asked for at an even pace. */
typedef struct {
    loop_buf buf;
    const loop_stmt **loops; /* around its loads, unrolled ones left out; innermost last */
    int depth;
    double steps;  /* iterations of the loops */
    int64_t ahead; /* bytes */
    int64_t pace;  /* bytes a step, in fixed point */
    bool in_order; /* the outermost loop walks the panels */
} emit_stream;

typedef struct {
    uint32_t stamp;
    emit_value value;
} emit_memo;

/* Conditions that hold in the lanes whose values count, and those lanes; innermost first. */
typedef struct emit_assumption {
    const struct emit_assumption *outer;
    loop_expr condition; /* a bool: all conjuncts hold */
    emit_value mask;
} emit_assumption;

enum { EMIT_MAX_DEPTH = 200 };

typedef struct {
    emit_module *m;
    loop_kernel *k;
    LLVMValueRef fn, frame, begin, end;
    LLVMBasicBlockRef block;
    emit_level levels[EMIT_MAX_DEPTH];
    int depth;
    uint32_t serials, epoch;
    emit_made *entries; /* value numbers, open addressing */
    size_t entry_capacity, entry_count;
    emit_memo *memo; /* of every expression, valid within one statement */
    size_t memo_count;
    uint32_t stamp, stamps;
    loop_expr *flat; /* of every LOAD expression: its position; 0 if not known yet */
    size_t flat_count;
    emit_var *vars;
    size_t var_count;
    emit_buffer *buffers;
    LIST(emit_stream) streams;
    int64_t *dim_slot; /* of every symbol: its word in the frame */
    /* the vector loop at hand */
    int lanes; /* 0: none */
    loop_var lane_var;
    LLVMValueRef mask;              /* active lanes; NULL: all */
    emit_value active;              /* their number, at least 1; with a mask */
    const emit_assumption *assumed; /* NULL: nothing */
    LIST(LLVMValueRef) masks;
    int64_t stack_bytes;
} kernel_emitter;

/* ---- emit_value.c: operations ---- */
LLVMTypeRef emit_type(const emit_module *m, dtype t);        /* as a value */
LLVMTypeRef emit_memory_type(const emit_module *m, dtype t); /* as stored */
LLVMTypeRef emit_lanes_type(const kernel_emitter *e, LLVMTypeRef scalar, bool wide);
/* An operation on args, which are made equally wide first (but for CAST, LOAD, OFFSET, SPLAT).
 * `type` is the scalar type of the result. */
emit_value emit_make(kernel_emitter *e, emit_prim prim, unsigned sub, LLVMTypeRef type,
                     const emit_value *args, int count);
emit_value emit_binary(kernel_emitter *e, LLVMOpcode op, emit_value a, emit_value b);
emit_value emit_compare(kernel_emitter *e, LLVMIntPredicate p, emit_value a, emit_value b);
emit_value emit_compare_float(kernel_emitter *e, LLVMRealPredicate p, emit_value a, emit_value b);
emit_value emit_select(kernel_emitter *e, emit_value c, emit_value a, emit_value b);
emit_value emit_cast(kernel_emitter *e, LLVMOpcode op, LLVMTypeRef scalar, emit_value a);
/* An intrinsic whose operands have the type of the result; `name` as "llvm.fma". */
emit_value emit_intrinsic(kernel_emitter *e, const char *name, emit_value a, emit_value b,
                          emit_value c, int count);
emit_value emit_splat(kernel_emitter *e, emit_value a);

/* ---- emit_dot.c ---- */
/* sum plus the products of the unsigned bytes of words a and the signed ones of words b. */
emit_value emit_dot4(kernel_emitter *e, emit_value a, emit_value b, emit_value sum);
emit_value emit_int(const kernel_emitter *e, LLVMTypeRef type, int64_t v);
emit_value emit_real(const kernel_emitter *e, LLVMTypeRef type, double v);
/* The integers start, start + step, ... in the lanes. */
emit_value emit_iota(const kernel_emitter *e, LLVMTypeRef type, int64_t start, int64_t step);
bool emit_is_int(emit_value a, int64_t *v); /* a scalar integer constant */
LLVMTypeRef emit_scalar_type(emit_value a);
void emit_set_block(kernel_emitter *e, LLVMBasicBlockRef block);
LLVMBasicBlockRef emit_new_block(kernel_emitter *e, const char *name);

/* ---- emit_expr.c: expressions ---- */
emit_value emit_expr(kernel_emitter *e, loop_expr x);
bool emit_uses_lane(const kernel_emitter *e, loop_expr x);

/* ---- emit_affine.c: positions as sums ---- */

enum { AFFINE_TERMS = 12 };

/* constant + lane * lane number + sum of coefficients times uniform values. */
typedef struct {
    int64_t constant, lane;
    int count;
    struct {
        emit_value value;
        int64_t coefficient;
    } terms[AFFINE_TERMS];
} emit_affine;

/* False if x is not of this form, which only lanes can bring about. */
bool emit_affine_of(kernel_emitter *e, loop_expr x, emit_affine *out);
void emit_affine_add(emit_affine *a, const emit_affine *b, int64_t factor, bool *ok);
/* The sum of the terms and the constant, without the lanes. */
emit_value emit_affine_uniform(kernel_emitter *e, const emit_affine *a);
/* The address of position `a` (lane 0) from `base` on, for elements of `bytes`. */
emit_value emit_affine_pointer(kernel_emitter *e, emit_value base, const emit_affine *a,
                               int64_t bytes);

/* ---- emit_assume.c: clamped indices under selects ---- */
/* The side `value` of a select, in lanes where `condition` (emitted as `mask`) holds; false if
 * nothing in it profits from knowing. */
bool emit_under(kernel_emitter *e, loop_expr condition, emit_value mask, loop_expr value,
                emit_value *out);

/* ---- emit_access.c: loads and stores ---- */
emit_value emit_load(kernel_emitter *e, loop_expr load);
void emit_store(kernel_emitter *e, const loop_stmt *s);
/* Decides for every buffer where it lives. */
void emit_place_buffers(kernel_emitter *e);
/* Whether a VECTOR loop can run as vectors; otherwise its lanes run one by one. */
bool emit_runs_as_vector(const kernel_emitter *e, const loop_stmt *s, int64_t *lanes);
/* Whether the loop is unrolled, and how often its body is repeated. */
bool emit_is_unrolled(const kernel_emitter *e, const loop_stmt *s, int64_t *count);

/* ---- emit_prefetch.c ---- */
/* Decides what is asked for ahead; after emit_place_buffers. */
void emit_find_streams(kernel_emitter *e);
/* Asks for what lies a page behind p, which may be outside of the buffer. */
LLVMValueRef emit_prefetch(kernel_emitter *e, LLVMValueRef p);
/* Asks for this step's share of the streams of the loop that begins an iteration. */
void emit_streams(kernel_emitter *e, const loop_stmt *loop);

/* ---- emit_convert.c ---- */
emit_value emit_convert(kernel_emitter *e, dtype to, dtype from, emit_value v);
/* A float that is within the range of `to`, an integer of less than 32 bits. */
emit_value emit_truncate(kernel_emitter *e, dtype to, emit_value v);
/* Between the bits of f16 or bf16 and f32. */
emit_value emit_widen_float(kernel_emitter *e, dtype from, emit_value bits);
emit_value emit_narrow_float(kernel_emitter *e, dtype to, emit_value single);
emit_value emit_float_remainder(kernel_emitter *e, emit_value a, emit_value b);

#endif
