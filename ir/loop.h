/* loop.h: the loop IR. One function is one kernel: buffers, structured loops, stores of typed
 * scalar expressions. An operator's arithmetic is written once in it; schedules rewrite its loops,
 * and emitters print it as LLVM IR, C, CUDA or HLS C++. Expressions are hash-consed ids in their
 * kernel; statements are a tree in the arena and are rewritten by building new ones. */
#ifndef ONNXCC_IR_LOOP_H
#define ONNXCC_IR_LOOP_H

#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/dim.h"
#include "ir/dtype.h"

typedef uint32_t loop_expr; /* id in the kernel; 0 is none */
typedef uint32_t loop_var;  /* index of a loop variable in the kernel */
typedef uint32_t loop_buf;  /* index of a buffer in the kernel */

enum { LOOP_MAX_RANK = 14 };

/* Opcodes. Operands have the type of the result unless said otherwise. Index arithmetic is in i64.
 * Integers wrap. Shifts are logical for unsigned types, arithmetic for signed ones; a shift by the
 * width or more gives 0 (or the sign). Integer division by zero gives 0. DIV, REM and CAST of
 * floats to integers truncate; such a CAST saturates, NaN gives 0. */
typedef enum {
    LOOP_NONE,
    /* leaves */
    LOOP_CONST, /* i or f */
    LOOP_DIM,   /* value of dimension symbol i, an i64 >= 0, passed to the kernel */
    LOOP_VAR,   /* loop variable i */
    LOOP_LOAD,  /* buffer i at args as indices */
    /* arithmetic */
    LOOP_ADD,
    LOOP_SUB,
    LOOP_MUL,
    LOOP_DIV,      /* truncating for integers */
    LOOP_REM,      /* sign of the dividend; C's fmod for floats */
    LOOP_FLOORDIV, /* integers: towards minus infinity */
    LOOP_MOD,      /* integers: sign of the divisor */
    LOOP_MIN,
    LOOP_MAX, /* floats: a NaN operand gives NaN */
    LOOP_NEG,
    LOOP_ABS,
    LOOP_FMA, /* a * b + c, one rounding where the target has it, else two */
    LOOP_SQRT,
    LOOP_FLOOR,
    LOOP_CEIL,
    LOOP_TRUNC,
    LOOP_ROUND, /* ROUND: half to even */
    /* bits and booleans */
    LOOP_AND,
    LOOP_OR,
    LOOP_XOR,
    LOOP_NOT,
    LOOP_SHL,
    LOOP_SHR,
    LOOP_DOT4, /* of u32 words: unsigned bytes of a times signed bytes of b, their sum as i32 */
    /* comparisons: operands of one type, result bool; ordered (false on NaN) but NE */
    LOOP_EQ,
    LOOP_NE,
    LOOP_LT,
    LOOP_LE,
    LOOP_SELECT, /* a (bool) ? b : c; both sides may be evaluated, so loads on both sides must be in
                    bounds */
    LOOP_CAST,   /* operand of any number type or bool */
    LOOP_BITCAST, /* operand of the same width */
    /* functions: emitters never see these, loop_math.h decomposes them; the interpreter takes
       libm's as the truth */
    LOOP_EXP,
    LOOP_EXP2, /* 2^a for a <= 127, whatever above it */
    LOOP_EXPM1,
    LOOP_LOG,
    LOOP_LOG1P,
    LOOP_SIN,
    LOOP_COS,
    LOOP_TAN,
    LOOP_ASIN,
    LOOP_ACOS,
    LOOP_ATAN,
    LOOP_SINH,
    LOOP_COSH,
    LOOP_TANH,
    LOOP_ASINH,
    LOOP_ACOSH,
    LOOP_ATANH,
    LOOP_ERF,
    LOOP_GELU,
    LOOP_SIGMOID,
    LOOP_POW,
    LOOP_OP_COUNT
} loop_op;

typedef struct {
    const char *name; /* "add", in every text form */
    int arity;        /* -1: LOAD */
} loop_op_info;
extern const loop_op_info loop_ops[LOOP_OP_COUNT];

typedef struct {
    loop_op op;
    dtype type;
    int64_t i; /* CONST of an integer or bool; DIM: dim_symbol; VAR: loop_var; LOAD: loop_buf */
    double f;  /* CONST of a float */
    uint32_t arg_count;
    const loop_expr *args;
} loop_node;

/* How a loop runs. The first three are what lowering writes: what may be done. The others are what
 * a schedule decides: how it is done. The interpreter runs all of them in order. */
typedef enum {
    LOOP_SERIAL,      /* in order */
    LOOP_INDEPENDENT, /* iterations in any order or at once */
    LOOP_REDUCE,   /* iterations combine into accumulators by an associative operation, in any order
                    */
    LOOP_PARALLEL, /* split over threads; only the outermost statement of a kernel, which is then
                      this loop alone */
    LOOP_VECTOR,   /* constant extent, one vector operation; see `active` */
    LOOP_UNROLL,   /* constant extent, body repeated */
    LOOP_GPU_BLOCK_X,
    LOOP_GPU_BLOCK_Y,
    LOOP_GPU_BLOCK_Z,
    LOOP_GPU_THREAD_X,
    LOOP_GPU_THREAD_Y,
    LOOP_GPU_THREAD_Z,
    LOOP_HLS_PIPELINE,
    LOOP_HLS_UNROLL,
    LOOP_KIND_COUNT
} loop_kind;
extern const char *const loop_kind_names[LOOP_KIND_COUNT];

typedef enum {
    LOOP_SPACE_INPUT,  /* a parameter that is only read */
    LOOP_SPACE_OUTPUT, /* a parameter that is written (and may be read back) */
    LOOP_SPACE_STACK,  /* local, in memory; constant extents */
    LOOP_SPACE_TILE, /* local, in registers: constant extents, all indices constant after unrolling
                        and vectorising */
    LOOP_SPACE_SHARED, /* GPU shared memory */
    LOOP_SPACE_COUNT
} loop_space;
extern const char *const loop_space_names[LOOP_SPACE_COUNT];

typedef struct {
    const char *name; /* unique in the kernel */
    dtype type;
    loop_space space;
    int rank;                 /* physical rank; 0 for a scalar (of one element) */
    const loop_expr *extents; /* rank of them: CONST or expressions over DIMs */
    const loop_expr *strides; /* in elements; NULL for dense row-major */
    uint32_t value;           /* parameters: the graph value that it stands for, 0 if none */
    /* Two buffers with the same nonzero alias group may overlap exactly (in-place); others never
     * overlap. */
    uint32_t alias;
} loop_buffer;

typedef enum { LOOP_STMT_FOR, LOOP_STMT_STORE, LOOP_STMT_IF, LOOP_STMT_CHECK } loop_stmt_kind;

/* What a CHECK reports: the runtime's status codes (onnxcc_status), which the IR may not include.
 * codegen asserts that they agree. */
enum {
    LOOP_STATUS_BAD_SHAPE = 4,
    LOOP_STATUS_INDEX_OUT_OF_RANGE = 5,
    LOOP_STATUS_UNSUPPORTED_VALUE = 8
};

typedef struct loop_stmt {
    loop_stmt_kind kind;
    struct loop_stmt *next; /* the statement behind it in its block */
    /* FOR: var runs from 0 to extent - 1 */
    loop_kind loop;
    loop_var var;
    loop_expr extent;
    loop_expr active;            /* VECTOR: only lanes below it are loaded and stored; 0: all */
    struct loop_stmt *body;      /* FOR; IF: then */
    struct loop_stmt *otherwise; /* IF */
    /* IF, CHECK: a bool. A CHECK that fails stores `code` (an onnxcc_status) in the run's state and
     * goes on: what comes behind must be safe all the same (indices clamped). */
    loop_expr condition;
    int code;
    /* STORE */
    loop_buf buf;
    uint32_t index_count;
    const loop_expr *indices;
    loop_expr value;
} loop_stmt;

typedef struct {
    const char *name; /* "v3", unique in the kernel */
    loop_expr extent; /* of its loop, for ranges; 0 if not known */
} loop_variable;

typedef struct loop_kernel {
    arena *memory;
    dim_table *dims;
    const char *name;      /* MODEL_N_OP_DTYPE */
    LIST(loop_node) nodes; /* expressions; element 0 unused */
    LIST(loop_buffer) buffers;
    LIST(loop_variable) vars;
    loop_stmt *body;
    /* Floating-point operations of the operator as its definition has them, where the loops take a
     * shorter way: what reports count. DIM_NONE: those of the loops. */
    dim work;
    void *table;  /* of hash-consing; loop.c alone knows it */
    void *proofs; /* inequalities shown or not; loop_linear.c alone knows it */
} loop_kernel;

loop_kernel *loop_kernel_create(arena *a, dim_table *dims, const char *name);

/* ---- expressions: constructors fold constants and simplify. Index arithmetic (i64) is simplified
 * with the ranges of variables and dimensions: (16*a + b) // 16 with 0 <= b < 16 is a, and sums are
 * kept sorted and collected. ---- */
loop_expr loop_int(loop_kernel *k, int64_t v); /* i64 */
loop_expr loop_const(loop_kernel *k, dtype t, double v);
loop_expr loop_const_int(loop_kernel *k, dtype t, int64_t v);
loop_expr loop_dim(loop_kernel *k,
                   dim d); /* any dimension expression, as i64 arithmetic over DIM leaves */
loop_expr loop_var_expr(loop_kernel *k, loop_var v);
loop_expr loop_load(loop_kernel *k, loop_buf b, const loop_expr *indices);
/* Unary, binary and ternary operations; unused operands are 0. The type follows from the operands;
 * CAST and BITCAST have their own. */
loop_expr loop_make(loop_kernel *k, loop_op op, loop_expr a, loop_expr b, loop_expr c);
loop_expr loop_cast(loop_kernel *k, dtype t, loop_expr a);
loop_expr loop_bitcast(loop_kernel *k, dtype t, loop_expr a);
static inline loop_expr loop_add(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_ADD, a, b, 0);
}
static inline loop_expr loop_sub(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_SUB, a, b, 0);
}
static inline loop_expr loop_mul(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_MUL, a, b, 0);
}
static inline loop_expr loop_floordiv(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_FLOORDIV, a, b, 0);
}
static inline loop_expr loop_mod(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_MOD, a, b, 0);
}
static inline loop_expr loop_min(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_MIN, a, b, 0);
}
static inline loop_expr loop_max(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_MAX, a, b, 0);
}
static inline loop_expr loop_lt(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_LT, a, b, 0);
}
static inline loop_expr loop_and(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_AND, a, b, 0);
}
static inline loop_expr loop_select(loop_kernel *k, loop_expr c, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_SELECT, c, a, b);
}

const loop_node *loop_get(const loop_kernel *k,
                          loop_expr e); /* valid until the next expression is made */
dtype loop_type(const loop_kernel *k, loop_expr e);
bool loop_is_int(const loop_kernel *k, loop_expr e, int64_t *value); /* an integer constant */
/* Inclusive range of an integer expression, from constants, extents and symbol bounds. */
void loop_range(const loop_kernel *k, loop_expr e, int64_t *low, int64_t *high);
/* The same where v is `value`; a bool's is 0, 1 or both. */
void loop_range_at(const loop_kernel *k, loop_expr e, loop_var v, int64_t value, int64_t *low,
                   int64_t *high);
/* What is known of a float: inclusive range of what is no NaN, whether it may be a NaN or minus
 * zero, whether it has no fraction. */
typedef struct {
    double low, high;
    bool nan, whole, minus_zero;
} loop_real;
loop_real loop_real_of(const loop_kernel *k, loop_expr e);
/* Whether a float is always a number within the range of t, an integer type of up to 24 bits. */
bool loop_fits(const loop_kernel *k, loop_expr e, dtype t);
bool loop_uses_var(const loop_kernel *k, loop_expr e, loop_var v);
/* Writes e as coefficient * v + rest, if it is linear in v with a constant coefficient and a rest
 * that is free of v. */
bool loop_linear_in(loop_kernel *k, loop_expr e, loop_var v, int64_t *coefficient, loop_expr *rest);
/* The position of an access in elements from the start of its buffer: sum of index times stride. */
loop_expr loop_flat_index(loop_kernel *k, loop_buf b, const loop_expr *indices);
/* Element stride of axis i, dense or given. */
loop_expr loop_stride(loop_kernel *k, loop_buf b, int axis);
/* e with variables replaced, all at once: `with[v]` is 0 to keep v; one element for every variable.
 */
loop_expr loop_substitute(loop_kernel *k, loop_expr e, const loop_expr *with);

/* A formula in the text form of expressions, as "select(x < 0, alpha * x, x)", with names bound to
 * expressions. Number literals take the type of the other operand, f32 (or `literals`) where there
 * is none. Asserts on a bad formula: formulas are ours. */
typedef struct {
    const char *name;
    loop_expr expr;
} loop_binding;
loop_expr loop_formula(loop_kernel *k, const char *formula, dtype literals,
                       const loop_binding *bindings, size_t count);

/* ---- buffers and statements ---- */
loop_buf
loop_add_buffer(loop_kernel *k,
                loop_buffer b); /* extents and strides are copied; the name is made unique */
loop_buffer *loop_buffer_of(const loop_kernel *k, loop_buf b);
double loop_buffer_bytes(const loop_kernel *k, loop_buf b); /* 0 where they are not known */
loop_var loop_add_var(loop_kernel *k, const char *stem, loop_expr extent);
loop_stmt *loop_for(loop_kernel *k, loop_kind kind, loop_var v, loop_expr extent, loop_stmt *body);
loop_stmt *loop_store(loop_kernel *k, loop_buf b, const loop_expr *indices, loop_expr value);
loop_stmt *loop_if(loop_kernel *k, loop_expr condition, loop_stmt *then, loop_stmt *otherwise);
loop_stmt *loop_check(loop_kernel *k, loop_expr condition, int code);
/* Two blocks, one behind the other; either may be NULL. */
loop_stmt *loop_join(loop_stmt *first, loop_stmt *second);
/* The greater, the lesser of a and b; a where one of them is NaN: one instruction where LOOP_MAX is
 * three. */
loop_expr loop_greater(loop_kernel *k, loop_expr a, loop_expr b);
loop_expr loop_lesser(loop_kernel *k, loop_expr a, loop_expr b);
/* A deep copy with variables replaced; loops inside get fresh variables if `rename`. */
loop_stmt *loop_copy(loop_kernel *k, const loop_stmt *s, const loop_expr *with, bool rename);

/* The symbols that the kernel needs as parameters, ascending; array in the kernel's arena. */
const dim_symbol *loop_symbols(const loop_kernel *k, size_t *count);

/* ---- text, checking, running ---- */
void loop_print(const loop_kernel *k, void (*write)(void *user, const char *text, size_t n),
                void *user);
const char *loop_text(const loop_kernel *k, arena *a);
const char *loop_expr_text(const loop_kernel *k, arena *a, loop_expr e);
loop_kernel *loop_parse(arena *a, dim_table *dims, diag *d, const char *text, size_t length);
bool loop_verify(const loop_kernel *k, diag *d, const char *stage);
/* The reference meaning: runs the kernel. `buffers[b]` is the memory of parameter buffer b,
 * `symbols[s]` the value of symbol s. Every access is checked. Returns the state's code (0 well),
 * or -1 and a diagnostic for an access out of bounds. */
int loop_interpret(const loop_kernel *k, void *const *buffers, const int64_t *symbols, diag *d);

#endif
