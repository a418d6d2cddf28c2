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
    bool exact;               /* `finish` is for integers too */
} reduction;

static const reduction reductions[] = {
    {"ReduceSum", LOOP_ADD, NULL, NULL, true},
    {"ReduceMean", LOOP_ADD, NULL, "a / count", true},
    {"ReduceMax", LOOP_MAX, NULL, NULL, true},
    {"ReduceMin", LOOP_MIN, NULL, NULL, true},
    {"ReduceProd", LOOP_MUL, NULL, NULL, true},
    {"ReduceL1", LOOP_ADD, "abs(a)", NULL, true},
    {"ReduceL2", LOOP_ADD, "a * a", "sqrt(a)", false},
    {"ReduceLogSum", LOOP_ADD, NULL, "log(a)", false},
    {"ReduceSumSquare", LOOP_ADD, "a * a", NULL, true},
};

static const reduction *reduction_of(const node *n) {
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, n->op->name) == 0) return &reductions[i];
    return NULL;
}

/* Which axes go. `open`: only the data say, and `reduced` has all of them. */
typedef struct {
    bool reduced[TENSOR_MAX_RANK], open;
} axis_set;

/* Axes that only the data name. */
static bool open_set(graph *g, node_id n, axis_set *s) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    s->open = true;
    for (int i = 0; i < x.rank; i++) s->reduced[i] = true;
    return true;
}

/* The axes of input 1 or the attribute; all of them if none are named (or none, by
 * noop_with_empty_axes). */
static bool reduced_axes(graph *g, node_id n, axis_set *s) {
    int rank = graph_type(g, graph_input(g, n, 0))->rank;
    const int64_t *axes = NULL;
    size_t count = 0;
    *s = (axis_set){.open = false};
    if (!kit_may(g, n, 1, 0, 1)) return false;
    bool empty = graph_input(g, n, 1) && graph_type(g, graph_input(g, n, 1))->rank == 1 &&
                 dim_equals_const(g->dims, graph_type(g, graph_input(g, n, 1))->dims[0], 0);
    bool given = !empty && (graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes"));
    if (given && !op_const_ints(g, n, 1, "axes", &axes, &count)) return open_set(g, n, s);
    bool all = count == 0 && !node_attr_int(graph_node(g, n), "noop_with_empty_axes", 0);
    for (int i = 0; i < rank; i++) s->reduced[i] = all;
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], rank, &axis)) return false;
        s->reduced[axis] = true;
    }
    return true;
}

static bool infer_open_reduction(graph *g, node_id n, const type *x) {
    int count;
    dim most = kit_dim(g, 1);
    if (!kit_list_length(g, n, 1, "axes", &count)) return false;
    if (count > x->rank) return op_error(g, n, NULL, "there are %d axes", count);
    for (int i = 0; i < x->rank; i++) most = dim_max(g->dims, most, x->dims[i]);
    bool keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    return kit_set_told(g, n, x->dtype, keep ? x->rank : x->rank - count, most);
}

/* Whether the data name the axis among those that go. */
static loop_expr axis_goes(lower *l, node_id n, int axis) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id axes = graph_input(g, n, 1);
    const type t = *lower_type(l, axes);
    int rank = lower_type(l, graph_input(g, n, 0))->rank;
    int64_t named = t.rank ? dim_value(g->dims, t.dims[0]) : 1;
    loop_expr goes = loop_const_int(k, DTYPE_BOOL, 0);
    for (int64_t j = 0; j < named; j++) {
        loop_expr at = kit_check_index(l, kit_read_int(l, axes, j), loop_int(k, rank));
        goes = kit_op2(l, LOOP_OR, goes, kit_op2(l, LOOP_EQ, at, loop_int(k, axis)));
    }
    return goes;
}

/* With keepdims one where the axis goes, else the size of the axis-th that stays. */
static loop_expr size_reduction(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(lower_graph(l), n, 0);
    loop_expr one = loop_int(k, 1), at = loop_int(k, 0), size = loop_int(k, -1);
    if (node_attr_int(graph_node(lower_graph(l), n), "keepdims", 1))
        return loop_select(k, axis_goes(l, n, axis), one, lower_dim(l, x, axis));
    for (int i = 0; i < lower_type(l, x)->rank; i++) {
        loop_expr goes = axis_goes(l, n, i), here = kit_op2(l, LOOP_EQ, at, loop_int(k, axis));
        size =
            loop_select(k, loop_and(k, here, kit_op1(l, LOOP_NOT, goes)), lower_dim(l, x, i), size);
        at = loop_select(k, goes, at, loop_add(k, at, one));
    }
    return size;
}

static bool expand_reduction(graph *g, node_id n) {
    axis_set s;
    return reduced_axes(g, n, &s) && s.open && kit_expand_sizes(g, n);
}

static bool infer_reduction(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    axis_set s;
    dim dims[TENSOR_MAX_RANK];
    int rank = 0;
    if (!reduced_axes(g, n, &s)) return false;
    if (s.open) return infer_open_reduction(g, n, &x);
    for (int i = 0; i < x.rank; i++) {
        if (!s.reduced[i])
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

/* The loops of one reduction, outermost first, and what each adds up. */
typedef struct {
    loop_buf sums[TENSOR_MAX_RANK];
    int count;
} reduction_loops;

/* Whether each loop gets a sum of its own. Where channels lie side by side a sum is of all pixels,
 * one behind the other: of a volume those may be 100,000, and the rounding of as many additions
 * shows. Other sums run in vectors, dozens of partial ones. */
static bool sums_apart(lower *l, value_id x, const bool *reduced, loop_op op, dtype t) {
    enum { FEW = 1024 };
    const type *from = lower_type(l, x);
    int64_t total = 1, n;
    if (op != LOOP_ADD || !dtype_is_float(t) || !from->layout || from->layout->block_axis < 0 ||
        reduced[from->layout->block_axis])
        return false;
    for (int i = 0; i < from->rank; i++) {
        if (!reduced[i]) continue;
        if (!dim_is_const(lower_graph(l)->dims, from->dims[i], &n) || n > FEW) return true;
        total *= n;
        if (total > FEW) return true;
    }
    return false;
}

/* Opens the loops; the innermost adds to the last of the sums, of which the first is `acc`. */
static reduction_loops open_reduced(lower *l, value_id x, const bool *reduced, loop_expr *own,
                                    loop_buf acc, bool apart) {
    reduction_loops loops = {.count = 0};
    dtype t = loop_buffer_of(lower_kernel(l), acc)->type;
    for (int i = 0; i < lower_type(l, x)->rank; i++) {
        if (!reduced[i]) continue;
        if (loops.count && apart) {
            acc = kit_scalar(l, "part", t);
            lower_assign(l, acc, NULL, loop_const(lower_kernel(l), t, 0));
        }
        own[i] = lower_reduce_axis(l, x, i);
        loops.sums[loops.count++] = acc;
    }
    return loops;
}

static void close_reduced(lower *l, const reduction_loops *loops) {
    for (int i = loops->count; i-- > 0;) {
        lower_end_reduce(l);
        if (i && loops->sums[i] != loops->sums[i - 1])
            lower_accumulate(l, loops->sums[i - 1], LOOP_ADD, lower_value(l, loops->sums[i], NULL));
    }
}

/* Whether the element at `own` belongs to the result at `index`, for axes that only the data name:
 * on every axis that stays the two agree. 0 where the loops see to it. */
static loop_expr belongs(lower *l, node_id n, const axis_set *s, const loop_expr *index,
                         const loop_expr *own) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    if (!s->open) return 0;
    bool keep = node_attr_int(graph_node(g, n), "keepdims", 1);
    int rank = lower_type(l, graph_input(g, n, 0))->rank;
    int kept = lower_type(l, graph_output(g, n, 0))->rank;
    loop_expr yes = loop_const_int(k, DTYPE_BOOL, 1), at = loop_int(k, 0);
    for (int i = 0; i < rank; i++) {
        loop_expr goes = axis_goes(l, n, i), here = loop_int(k, 0);
        for (int j = 0; j < kept; j++)
            here = loop_select(k, kit_op2(l, LOOP_EQ, at, loop_int(k, j)), index[j], here);
        if (keep) here = index[i];
        yes = loop_and(k, yes, kit_op2(l, LOOP_OR, goes, kit_op2(l, LOOP_EQ, own[i], here)));
        at = loop_select(k, goes, at, loop_add(k, at, loop_int(k, 1)));
    }
    return yes;
}

/* The number of elements that go into one result. */
static loop_expr count_reduced(lower *l, node_id n, const axis_set *s) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    loop_expr count = loop_int(k, 1);
    for (int i = 0; i < lower_type(l, x)->rank; i++)
        if (s->reduced[i]) count = loop_mul(k, count, lower_dim(l, x, i));
    for (int i = 0; s->open && i < lower_type(l, y)->rank; i++)
        count = loop_floordiv(k, count, lower_dim(l, y, i));
    return count;
}

/* Opens the loops over the result, and says where each of its axes stands in the input. */
static void open_axes(lower *l, node_id n, const axis_set *s, loop_expr *index, loop_expr *own) {
    if (s->open)
        lower_loops(l, graph_output(lower_graph(l), n, 0), index);
    else
        open_result(l, n, s->reduced, index, own);
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

/* `real`: the total goes through a function that integers lack. */
static dtype sum_type(lower *l, value_id x, bool real) {
    dtype t = lower_type(l, x)->dtype;
    if (dtype_is_float(t)) return kit_sum_type(t);
    return real ? DTYPE_F64 : t;
}

/* One pass: acc = op over map(element), of those that belong to the result. */
static void accumulate(lower *l, node_id n, const axis_set *s, const loop_expr *index,
                       loop_expr *own, loop_buf acc, loop_op op,
                       loop_expr (*map)(lower *l, const void *with, loop_expr x),
                       const void *with) {
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(lower_graph(l), n, 0);
    dtype t = loop_buffer_of(k, acc)->type;
    loop_expr neutral = start_of(l, op, t);
    lower_assign(l, acc, NULL, neutral);
    bool apart = sums_apart(l, x, s->reduced, op, t);
    reduction_loops loops = open_reduced(l, x, s->reduced, own, acc, apart);
    loop_expr term = map(l, with, kit_read(l, t, x, own)), yes = belongs(l, n, s, index, own);
    loop_buf sum = loops.count ? loops.sums[loops.count - 1] : acc;
    lower_accumulate(l, sum, op, yes ? loop_select(k, yes, term, neutral) : term);
    close_reduced(l, &loops);
}

static loop_expr map_formula(lower *l, const void *with, loop_expr x) {
    return apply(l, with, x, 0);
}

static void nest_reduction(lower *l, node_id n) {
    graph *g = lower_graph(l);
    const reduction *r = reduction_of(graph_node(g, n));
    value_id x = graph_input(g, n, 0);
    axis_set s;
    loop_expr index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!reduced_axes(g, n, &s)) return;
    dtype t = sum_type(l, x, r->finish && !r->exact);
    loop_op op = t == DTYPE_BOOL ? (r->op == LOOP_MAX ? LOOP_OR : LOOP_AND) : r->op;
    loop_expr count = loop_cast(lower_kernel(l), t, count_reduced(l, n, &s));
    open_axes(l, n, &s, index, own);
    loop_buf acc = kit_scalar(l, "acc", t);
    accumulate(l, n, &s, index, own, acc, op, map_formula, r->map);
    lower_write(l, graph_output(g, n, 0), index,
                apply(l, r->finish, lower_value(l, acc, NULL), count));
    lower_end_loops(l);
}

/* exp(x - shift) */
static loop_expr map_exp(lower *l, const void *shift, loop_expr x) {
    loop_expr by = *(const loop_expr *)shift;
    return kit_op1(l, LOOP_EXP, loop_sub(lower_kernel(l), x, by));
}

/* log(sum(exp(x - m))) + m, m the largest: no term overflows. */
static void nest_log_sum_exp(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    axis_set s;
    loop_expr index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!reduced_axes(g, n, &s)) return;
    dtype t = sum_type(l, graph_input(g, n, 0), true);
    open_axes(l, n, &s, index, own);
    loop_buf top = kit_scalar(l, "top", t), sum = kit_scalar(l, "sum", t);
    accumulate(l, n, &s, index, own, top, LOOP_MAX, map_formula, NULL);
    loop_expr largest = lower_value(l, top, NULL);
    loop_expr finite =
        loop_lt(k, kit_op1(l, LOOP_ABS, largest), loop_const(k, t, (double)INFINITY));
    loop_expr shift = loop_select(k, finite, largest, loop_const(k, t, 0));
    accumulate(l, n, &s, index, own, sum, LOOP_ADD, map_exp, &shift);
    lower_write(l, graph_output(g, n, 0), index,
                loop_add(k, kit_op1(l, LOOP_LOG, lower_value(l, sum, NULL)), shift));
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
    if (dtype_is_float(tx.dtype)) { /* a NaN is the extreme; the first one, or the last */
        loop_expr nan = kit_op2(l, LOOP_NE, v, v), known = kit_op2(l, LOOP_EQ, b, b);
        better = kit_op2(l, LOOP_OR, better, last ? nan : loop_and(k, nan, known));
    }
    lower_assign(l, at, NULL, loop_select(k, better, own[axis], lower_value(l, at, NULL)));
    lower_assign(l, best, NULL, loop_select(k, better, v, b));
    lower_end(l);
    lower_write(l, y, index, lower_value(l, at, NULL));
    lower_end_loops(l);
}

#define REDUCTION(op, hook, more)                                                                  \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_ANCHOR | OP_OPEN | more, .infer = infer_reduction,   \
        .nest = hook, .size = size_reduction, .expand = expand_reduction                           \
    }
#define POSITION(op)                                                                               \
    { .domain = "", .name = op, .flags = OP_ANCHOR, .infer = infer_arg, .nest = nest_arg }

const op_def ops_reduction[] = {
    REDUCTION("ReduceSum", nest_reduction, OP_ONCE),
    REDUCTION("ReduceMean", nest_reduction, OP_ONCE),
    REDUCTION("ReduceMax", nest_reduction, OP_ONCE),
    REDUCTION("ReduceMin", nest_reduction, OP_ONCE),
    REDUCTION("ReduceProd", nest_reduction, OP_ONCE),
    REDUCTION("ReduceL1", nest_reduction, OP_ONCE),
    REDUCTION("ReduceL2", nest_reduction, OP_ONCE),
    REDUCTION("ReduceLogSum", nest_reduction, OP_ONCE),
    REDUCTION("ReduceLogSumExp", nest_log_sum_exp, 0),
    REDUCTION("ReduceSumSquare", nest_reduction, OP_ONCE),
    POSITION("ArgMax"),
    POSITION("ArgMin"),
};
const size_t ops_reduction_count = sizeof ops_reduction / sizeof *ops_reduction;
