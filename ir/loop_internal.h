/* loop_internal.h: what the files that implement loop.h share: the hash table of expressions, what
 * is known of each, and the simplification of index arithmetic. Nobody else includes it. */
#ifndef ONNXCC_IR_LOOP_INTERNAL_H
#define ONNXCC_IR_LOOP_INTERNAL_H

#include "ir/loop.h"
#include "ir/loop_number.h"

/* What is known of an expression, from its making on. */
typedef struct {
    int64_t low, high; /* inclusive range of an integer; INT64_MIN or INT64_MAX where unbounded */
    uint64_t hash;     /* of its structure, by names: the same after printing and parsing */
    uint64_t vars;     /* bit v % 64 is set if variable v may be in it */
    uint32_t depth;    /* largest number in the names of its variables plus one, 0 if it has none */
    /* Made of dimensions, loop variables and numbers clamped to their size alone: it indexes
     * memory, and so its arithmetic never overflows. */
    bool index;
} expr_info;

typedef struct {
    uint32_t *slots; /* open addressing over node ids */
    size_t slot_count;
    LIST(expr_info) info; /* of every node */
    /* Scratch of one traversal: memo[e] is valid if stamp[e] is the traversal's number. */
    uint32_t *stamp, *memo;
    size_t scratch_count;
    uint32_t traversal;
    bool foreign_names; /* some variable's name does not end in its index */
    uint32_t *dims;     /* expression of each dim; 0 while unknown */
    size_t dim_capacity;
} expr_table;

static inline expr_table *loop_table(const loop_kernel *k) {
    return k->table;
}
static inline const expr_info *loop_info(const loop_kernel *k, loop_expr e) {
    return &loop_table(k)->info.data[e];
}

/* Whether the value of an i64 never wrapped on the way: algebra that wrapping would break, such as
 * (16 * a) // 16 = a, needs it. */
static inline bool loop_is_tame(const loop_kernel *k, loop_expr e) {
    const expr_info *x = loop_info(k, e);
    return x->index || (x->low > INT64_MIN && x->high < INT64_MAX);
}

/* The node as given, without simplification. */
loop_expr loop_intern(loop_kernel *k, const loop_node *n);
loop_expr loop_intern_op(loop_kernel *k, loop_op op, dtype t, loop_expr a, loop_expr b,
                         loop_expr c);
loop_expr loop_intern_load(loop_kernel *k, loop_buf b, const loop_expr *indices);
/* The type of an operation on these operands (not CAST or BITCAST). */
dtype loop_result_type(const loop_kernel *k, loop_op op, loop_expr a, loop_expr b);
/* A variable of exactly this name, which must not be taken. */
loop_var loop_add_named_var(loop_kernel *k, const char *name, loop_expr extent);
/* Begins a traversal over the nodes that there are now. */
uint32_t loop_begin_traversal(const loop_kernel *k, uint32_t **stamp, uint32_t **memo);
/* Range and `index` of a new node from those of its operands. */
void loop_find_range(const loop_kernel *k, const loop_node *n, expr_info *info);

/* What is wrong with the types of an operation, as the end of a sentence; NULL if nothing is. */
const char *loop_type_error(const loop_kernel *k, loop_op op, dtype result, const loop_expr *args);

/* loop_math.c: a function (or REM, FLOORDIV, MOD) on f32 or f64 in arithmetic that every target
 * has. */
loop_expr loop_expand_function(loop_kernel *k, loop_op op, loop_expr a, loop_expr b);

/* ---- loop_linear.c: i64 index arithmetic as polynomials ---- */
/* Canonical a * x + b * y for numbers a and b (y may be 0). */
loop_expr linear_combine(loop_kernel *k, int64_t a, loop_expr x, int64_t b, loop_expr y);
loop_expr linear_multiply(loop_kernel *k, loop_expr x, loop_expr y);
loop_expr linear_floordiv(loop_kernel *k, loop_expr x, loop_expr y);
loop_expr linear_mod(loop_kernel *k, loop_expr x, loop_expr y);
/* Whether x + c <= y always holds, as far as can be shown. */
bool linear_below(loop_kernel *k, loop_expr x, int64_t c, loop_expr y);
/* A comparison of i64 in canonical form: common terms cancelled. */
loop_expr linear_compare(loop_kernel *k, loop_op op, loop_expr x, loop_expr y);
bool linear_split(loop_kernel *k, loop_expr e, loop_var v, int64_t *coefficient, loop_expr *rest);

#endif
