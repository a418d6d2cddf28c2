/* kit.h: what several operator families share: checks of inputs with a diagnostic, dimensions that
 * the model declares, numbers in the type that sums are kept in, quantisation. */
#ifndef ONNXCC_IR_OPS_KIT_H
#define ONNXCC_IR_OPS_KIT_H

#include "ir/op.h"

/* ---- infer hooks ---- */
/* The type of input `i`; NULL where the input is left out. */
const type *kit_input(graph *g, node_id n, uint32_t i);
/* Whether input `i` is a tensor of a rank in [low, high]; false and a diagnostic otherwise. */
bool kit_need(graph *g, node_id n, uint32_t i, int low, int high);
/* As kit_need, but an input that is left out is well too. */
bool kit_may(graph *g, node_id n, uint32_t i, int low, int high);
/* Whether two dimensions can be equal; false and a diagnostic naming `what` if they cannot. */
bool kit_agree(graph *g, node_id n, dim a, dim b, const char *what);
/* A vector input (rank 1, or left out) of `length` elements. */
bool kit_vector(graph *g, node_id n, uint32_t i, dim length, const char *what);
/* Whether output `i` exists. */
bool kit_has_output(graph *g, node_id n, uint32_t i);
/* A type that covers both; dimensions that differ take that of `old` (what the value had before, or
 * NULL) if it is a symbol already, else become new symbols. False if there is none. */
bool kit_cover(graph *g, const type *a, const type *b, const type *old, type *out);
/* The same for items of a sequence: what differs is open altogether, the number of axes too. */
bool kit_cover_items(graph *g, const type *a, const type *b, const type *old, type *out);
dim kit_dim(graph *g, int64_t value);
/* Dimension `axis` of an output of `rank` axes whose size the data tell: what the model declares
 * for it (the run checks it), else a symbol that is at most `limit` (DIM_NONE: the user has to give
 * a bound). Whatever computes the size must bind it (graph.h: value.binds). */
dim kit_told_dim(graph *g, node_id n, uint32_t output, int rank, int axis, dim limit);
/* Bounds a size that is a symbol which the data tell. */
void kit_narrow(graph *g, dim size, int64_t high);
/* Gives output 0 the element type t and `rank` dimensions that the data tell. */
bool kit_set_told(graph *g, node_id n, dtype t, int rank, dim limit);
/* The number of elements of a list input (a scalar is one), which may be no more than axes. */
bool kit_list_length(graph *g, node_id n, uint32_t input, const char *what, int *length);
/* A list attribute of `count` positive integers (1 where it is absent) up to 2^31 - 1. */
bool kit_positive_ints(graph *g, node_id n, const char *name, int count, int64_t *out);

/* ---- expanding ---- */
/* Makes `made` take over from `old`: its uses and its name. */
void kit_replace(graph *g, value_id old, value_id made);
/* As kit_replace, where the dimensions of `made` are symbols that the data tell: they become those
 * of `old`. */
void kit_replace_told(graph *g, value_id old, value_id made);
/* A node of the domain of operators that only the compiler makes, put before node n, its results'
 * types given; its results go to `outputs`. */
void kit_build_internal(graph *g, node_id n, const char *op, uint32_t input_count,
                        const value_id *inputs, uint32_t output_count, const type *types,
                        value_id *outputs, uint32_t attr_count, const attr *attrs);
/* The first elements of `flat` as a tensor of another type; `count` (i64 scalar or vector) tells
 * the symbols in its dimensions. */
value_id kit_build_front(graph *g, node_id n, value_id flat, value_id count, type t);
/* Whether some dimension of output 0 is not told yet; for expand hooks: puts a node before n that
 * computes the sizes by the `size` hook of its row, and makes them what n's dimensions are. False
 * if they are computed already. */
bool kit_expand_sizes(graph *g, node_id n);
/* The result of an operator of the standard with one output, put before node n; 0 (and a
 * diagnostic) if that fails or an input is 0. */
value_id kit_build(graph *g, node_id n, const char *op, uint32_t input_count,
                   const value_id *inputs, uint32_t attr_count, const attr *attrs);
value_id kit_build1(graph *g, node_id n, const char *op, value_id a);
value_id kit_build2(graph *g, node_id n, const char *op, value_id a, value_id b);
/* v as elements of type t: v itself if it has that type. */
value_id kit_build_cast(graph *g, node_id n, value_id v, dtype t);
value_id kit_build_reshape(graph *g, node_id n, value_id v, const int64_t *shape, int64_t rank);
value_id kit_build_transpose(graph *g, node_id n, value_id v, const int64_t *perm, size_t rank);
value_id kit_build_slice(graph *g, node_id n, value_id v, int64_t axis, int64_t first,
                         int64_t last);
/* v minus its zero point, as i32; `axis` is where a vector of zero points runs in a tensor of
 * `rank` axes. */
value_id kit_build_centred(graph *g, node_id n, value_id v, value_id zero, int rank, int axis);
/* A one-dimensional i64 constant. */
value_id kit_ints(graph *g, const int64_t *data, int64_t count);

/* ---- lowering ---- */
/* The type in which sums of elements of `t` are kept: f32 for the narrower floats, i32 for 8-bit
 * and 16-bit integers, else t. */
dtype kit_sum_type(dtype t);
/* An element of v as a number of type `as`. */
loop_expr kit_read(lower *l, dtype as, value_id v, const loop_expr *index);
/* As kit_read, but v is broadcast over the leading `rank` axes of `index` by numpy's rule, with its
 * own trailing `kept` axes indexed by index[rank..rank+kept). `dims` are those that index[0..rank)
 * runs over. */
loop_expr kit_read_batched(lower *l, dtype as, value_id v, int rank, const dim *dims, int kept,
                           const loop_expr *index);
/* A per-tensor scalar or per-axis vector (a scale, a zero point) at index `at`; `otherwise` where
 * the input is left out. */
loop_expr kit_read_parameter(lower *l, dtype as, value_id v, loop_expr at, double otherwise);
/* Element `at` of an integer vector (or scalar), as i64. */
loop_expr kit_read_int(lower *l, value_id v, int64_t at);
/* An index from data, counted from the end where negative; one outside of [0, size) is an error of
 * the run and becomes one inside. */
loop_expr kit_check_index(lower *l, loop_expr at, loop_expr size);
/* The buffer of a result that is read back: the node is a kernel of its own. */
loop_buf kit_result_buffer(lower *l, value_id v);
/* A scalar in a register. */
loop_buf kit_scalar(lower *l, const char *stem, dtype t);
/* The lowest number of a type: -inf for floats. */
loop_expr kit_lowest(lower *l, dtype t);
/* What an integer type can hold, both ends included. */
void kit_integer_range(dtype t, double *low, double *high);
/* round(x) + zero, clamped to the integer type `to`, the lowest for NaN: x and zero are of one
 * float type. */
loop_expr kit_quantise(lower *l, dtype to, loop_expr x, loop_expr zero);
/* x as a number of a float type narrower than 16 bits; what is too large becomes the largest number
 * if `saturate`, else what the type has for it. */
loop_expr kit_cast_narrow(lower *l, dtype to, loop_expr x, bool saturate);
/* Opens LOOP_REDUCE loops over the axes [first, last) of v; close with kit_end. Returns how many it
 * opened. */
int kit_reduce(lower *l, value_id v, int first, int last, loop_expr *index);
void kit_end(lower *l, int count);
/* The product of the dimensions [first, last) of v, as a number of type t. */
loop_expr kit_count(lower *l, dtype t, value_id v, int first, int last);
/* A unary or binary operation, for short. */
loop_expr kit_op1(lower *l, loop_op op, loop_expr a);
loop_expr kit_op2(lower *l, loop_op op, loop_expr a, loop_expr b);
loop_expr kit_float(lower *l, dtype t, double v);

#endif
