/* reduction.c: reductions along axes. Each is a row: what is accumulated, how, and what becomes of
 * the total. */
#include "ir/ops/kit.h"

#include <math.h>
#include <string.h>

/* total = op over map(a); result = finish(a = total, count = number of elements). */
typedef struct {
    const char *name;
    loop_op op;
    const char *map, *finish; /* formulas; NULL: as it is */
} reduction;

static const reduction reductions[] = {
    {"ReduceSum", LOOP_ADD, NULL, NULL},          {"ReduceMean", LOOP_ADD, NULL, "a / count"},
    {"ReduceMax", LOOP_MAX, NULL, NULL},          {"ReduceMin", LOOP_MIN, NULL, NULL},
    {"ReduceProd", LOOP_MUL, NULL, NULL},         {"ReduceL1", LOOP_ADD, "abs(a)", NULL},
    {"ReduceL2", LOOP_ADD, "a * a", "sqrt(a)"},   {"ReduceLogSum", LOOP_ADD, NULL, "log(a)"},
    {"ReduceSumSquare", LOOP_ADD, "a * a", NULL},
};

static const reduction *reduction_of(const node *n) {
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, n->op->name) == 0) return &reductions[i];
    return NULL;
}

/* Which axes go: those of input 1 or the attribute; all of them if none are named (or none, by
 * noop_with_empty_axes). */
static bool reduced_axes(graph *g, node_id n, bool *reduced) {
    int rank = graph_type(g, graph_input(g, n, 0))->rank;
    const int64_t *axes = NULL;
    size_t count = 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    if (given && !op_const_ints(g, n, 1, "axes", &axes, &count))
        return op_error(g, n, NULL, "the axes are not known at compile time");
    bool all = count == 0 && !node_attr_int(graph_node(g, n), "noop_with_empty_axes", 0);
    for (int i = 0; i < rank; i++) reduced[i] = all;
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], rank, &axis)) return false;
        reduced[axis] = true;
    }
    return true;
}

static bool infer_reduction(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool reduced[TENSOR_MAX_RANK], keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    dim dims[TENSOR_MAX_RANK];
    int rank = 0;
    if (!reduced_axes(g, n, reduced)) return false;
    for (int i = 0; i < x.rank; i++) {
        if (!reduced[i])
            dims[rank++] = x.dims[i];
        else if (keep)
            dims[rank++] = dim_const(g->dims, 1);
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* Opens the loops over the result, and says where each of its axes stands in the input. */
static void open_result(lower *l, node_id n, const bool *reduced, loop_expr *index,
                        loop_expr *own) {
    graph *g = lower_graph(l);
    int rank = lower_type(l, graph_input(g, n, 0))->rank, from = 0;
    bool keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    lower_loops(l, graph_output(g, n, 0), index);
    for (int i = 0; i < rank; i++) {
        own[i] = 0;
        if (!reduced[i])
            own[i] = index[from++];
        else if (keep)
            from++;
    }
}

static int open_reduced(lower *l, value_id x, const bool *reduced, loop_expr *own) {
    int opened = 0;
    for (int i = 0; i < lower_type(l, x)->rank; i++) {
        if (!reduced[i]) continue;
        own[i] = lower_reduce_axis(l, x, i);
        opened++;
    }
    return opened;
}

static void close_reduced(lower *l, int opened) {
    while (opened-- > 0) lower_end_reduce(l);
}

static loop_expr start_of(lower *l, loop_op op, dtype t) {
    loop_kernel *k = lower_kernel(l);
    if (op == LOOP_ADD || op == LOOP_OR) return loop_const(k, t, 0);
    if (op == LOOP_MUL || op == LOOP_AND) return loop_const(k, t, 1);
    if (op == LOOP_MAX) return kit_lowest(l, t);
    if (dtype_is_float(t)) return loop_const(k, t, (double)INFINITY);
    /* The largest integer: the complement of the lowest. */
    return loop_make(k, LOOP_NOT, kit_lowest(l, t), 0, 0);
}

static loop_expr apply(lower *l, const char *formula, loop_expr a, loop_expr count) {
    loop_binding bindings[] = {{"a", a}, {"count", count}};
    return formula
               ? loop_formula(lower_kernel(l), formula, loop_type(lower_kernel(l), a), bindings, 2)
               : a;
}

static dtype sum_type(lower *l, value_id x) {
    dtype t = lower_type(l, x)->dtype;
    return dtype_is_float(t) && dtype_bytes(t) < 4 ? DTYPE_F32 : t;
}

static void nest_reduction(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const reduction *r = reduction_of(graph_node(g, n));
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    bool reduced[TENSOR_MAX_RANK];
    loop_expr index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!reduced_axes(g, n, reduced)) return;
    dtype t = sum_type(l, x);
    loop_op op = t == DTYPE_BOOL ? (r->op == LOOP_MAX ? LOOP_OR : LOOP_AND) : r->op;
    loop_expr count = loop_int(k, 1);
    for (int i = 0; i < lower_type(l, x)->rank; i++)
        if (reduced[i]) count = loop_mul(k, count, lower_dim(l, x, i));
    open_result(l, n, reduced, index, own);
    loop_buf acc = kit_scalar(l, "acc", t);
    lower_assign(l, acc, NULL, start_of(l, op, t));
    int opened = open_reduced(l, x, reduced, own);
    lower_accumulate(l, acc, op, apply(l, r->map, loop_cast(k, t, lower_read(l, x, own)), 0));
    close_reduced(l, opened);
    loop_expr total = apply(l, r->finish, lower_value(l, acc, NULL), loop_cast(k, t, count));
    lower_write(l, y, index, total);
    lower_end_loops(l);
}

/* log(sum(exp(x - m))) + m, m the largest: no term overflows. */
static void nest_log_sum_exp(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    bool reduced[TENSOR_MAX_RANK];
    loop_expr index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!reduced_axes(g, n, reduced)) return;
    dtype t = sum_type(l, x);
    open_result(l, n, reduced, index, own);
    loop_buf top = kit_scalar(l, "top", t), sum = kit_scalar(l, "sum", t);
    lower_assign(l, top, NULL, kit_lowest(l, t));
    int opened = open_reduced(l, x, reduced, own);
    lower_accumulate(l, top, LOOP_MAX, loop_cast(k, t, lower_read(l, x, own)));
    close_reduced(l, opened);
    loop_expr largest = lower_value(l, top, NULL);
    loop_expr finite =
        loop_lt(k, loop_make(k, LOOP_ABS, largest, 0, 0), loop_const(k, t, (double)INFINITY));
    loop_expr shift = loop_select(k, finite, largest, loop_const(k, t, 0));
    lower_assign(l, sum, NULL, loop_const(k, t, 0));
    opened = open_reduced(l, x, reduced, own);
    loop_expr term = loop_sub(k, loop_cast(k, t, lower_read(l, x, own)), shift);
    lower_accumulate(l, sum, LOOP_ADD, loop_make(k, LOOP_EXP, term, 0, 0));
    close_reduced(l, opened);
    lower_write(l, y, index,
                loop_add(k, loop_make(k, LOOP_LOG, lower_value(l, sum, NULL), 0, 0), shift));
    lower_end_loops(l);
}

/* ---- positions of extremes ---- */

static bool infer_arg(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim dims[TENSOR_MAX_RANK];
    int axis, rank = 0;
    bool keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    for (int i = 0; i < x.rank; i++) {
        if (i != axis)
            dims[rank++] = x.dims[i];
        else if (keep)
            dims[rank++] = dim_const(g->dims, 1);
    }
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, rank, dims));
    return true;
}

static void nest_arg(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    bool last = node_attr_int(nd, "select_last_index", 0),
         largest = strcmp(nd->op->name, "ArgMax") == 0;
    const type tx = *lower_type(l, x);
    int axis;
    bool reduced[TENSOR_MAX_RANK] = {false};
    loop_expr index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(nd, "axis", 0), tx.rank, &axis)) return;
    reduced[axis] = true;
    open_result(l, n, reduced, index, own);
    loop_buf best = kit_scalar(l, "best", tx.dtype), at = kit_scalar(l, "at", DTYPE_I64);
    own[axis] = loop_int(k, 0);
    lower_assign(l, best, NULL, lower_read(l, x, own));
    lower_assign(l, at, NULL, loop_int(k, 0));
    own[axis] = lower_begin(l, LOOP_SERIAL, "r", lower_dim(l, x, axis));
    loop_expr v = lower_read(l, x, own), b = lower_value(l, best, NULL);
    loop_expr better = largest ? loop_make(k, last ? LOOP_LE : LOOP_LT, b, v, 0)
                               : loop_make(k, last ? LOOP_LE : LOOP_LT, v, b, 0);
    lower_assign(l, at, NULL, loop_select(k, better, own[axis], lower_value(l, at, NULL)));
    lower_assign(l, best, NULL, loop_select(k, better, v, b));
    lower_end(l);
    lower_write(l, y, index, lower_value(l, at, NULL));
    lower_end_loops(l);
}

#define REDUCTION(op, hook)                                                                        \
    { .domain = "", .name = op, .flags = OP_ANCHOR, .infer = infer_reduction, .nest = hook }
#define POSITION(op)                                                                               \
    { .domain = "", .name = op, .flags = OP_ANCHOR, .infer = infer_arg, .nest = nest_arg }

const op_def ops_reduction[] = {
    REDUCTION("ReduceSum", nest_reduction),
    REDUCTION("ReduceMean", nest_reduction),
    REDUCTION("ReduceMax", nest_reduction),
    REDUCTION("ReduceMin", nest_reduction),
    REDUCTION("ReduceProd", nest_reduction),
    REDUCTION("ReduceL1", nest_reduction),
    REDUCTION("ReduceL2", nest_reduction),
    REDUCTION("ReduceLogSum", nest_reduction),
    REDUCTION("ReduceLogSumExp", nest_log_sum_exp),
    REDUCTION("ReduceSumSquare", nest_reduction),
    POSITION("ArgMax"),
    POSITION("ArgMin"),
};
const size_t ops_reduction_count = sizeof ops_reduction / sizeof *ops_reduction;
