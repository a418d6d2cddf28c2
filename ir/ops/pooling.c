/* pooling.c: pooling by a sliding window and over whole images, and MaxUnpool. Pooling of regions
 * of interest is in roi.c. */
#include "ir/ops/window.h"

#include <assert.h>

/* ---- shapes ---- */

static bool read_pool(graph *g, node_id n, window *w) {
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK)) return false;
    w->axes = kit_input(g, n, 0)->rank - 2;
    return window_kernel_attr(g, n, w) &&
           window_read(g, n, graph_input(g, n, 0),
                       node_attr_int(graph_node(g, n), "ceil_mode", 0) != 0, w);
}

static bool infer_pool(graph *g, node_id n) {
    window w;
    if (!read_pool(g, n, &w)) return false;
    const type t = *kit_input(g, n, 0);
    dim dims[TENSOR_MAX_RANK] = {t.dims[0], t.dims[1]};
    for (int i = 0; i < w.axes; i++) dims[i + 2] = w.out[i];
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, dims));
    op_set_type(g, n, 1, type_tensor(DTYPE_I64, t.rank, dims)); /* MaxPool's Indices */
    return true;
}

/* Where the taps of the window at `index` read. */
static void tap_index(lower *l, const window *w, const loop_expr *index, const loop_expr *taps,
                      loop_expr *at) {
    at[0] = index[0];
    at[1] = index[1];
    for (int i = 0; i < w->axes; i++) at[i + 2] = window_tap(l, w, i, index[i + 2], taps[i]);
}

/* ---- MaxPool ---- */

/* Whether a tap outside of the input may read the nearest element instead: in a window without
 * dilation that reaches the input, that element is in the window too. */
static bool may_clamp(const graph *g, const window *w) {
    for (int i = 0; i < w->axes; i++) {
        int64_t kernel, before, after;
        if (w->dilation[i] != 1 || !dim_is_const(g->dims, w->kernel[i], &kernel) ||
            !dim_is_const(g->dims, w->before[i], &before) ||
            !dim_is_const(g->dims, w->after[i], &after) || before >= kernel || after >= kernel)
            return false;
    }
    return true;
}

static loop_expr read_clamped(lower *l, value_id x, loop_expr *at) {
    loop_kernel *k = lower_kernel(l);
    for (int i = 2; i < lower_type(l, x)->rank; i++) {
        loop_expr last = loop_sub(k, lower_dim(l, x, i), loop_int(k, 1));
        at[i] = loop_max(k, loop_int(k, 0), loop_min(k, at[i], last));
    }
    return lower_read(l, x, at);
}

static void nest_max(lower *l, node_id n, const window *w) {
    graph *g = lower_graph(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    dtype t = lower_type(l, x)->dtype;
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK], taps[WINDOW_MAX_AXES];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", t);
    lower_assign(l, acc, NULL, kit_lowest(l, t));
    int opened = window_begin_taps(l, w, LOOP_REDUCE, taps);
    tap_index(l, w, index, taps, at);
    loop_expr e =
        may_clamp(g, w) ? read_clamped(l, x, at) : lower_read_or(l, x, at, kit_lowest(l, t));
    lower_accumulate(l, acc, LOOP_MAX, e);
    kit_end(l, opened);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* The position of an element among all of the tensor; with `column_major` the spatial axes are
 * counted the other way round. */
static loop_expr flat_position(lower *l, value_id x, const loop_expr *at, bool column_major) {
    loop_kernel *k = lower_kernel(l);
    int rank = lower_type(l, x)->rank;
    loop_expr e = loop_add(k, loop_mul(k, at[0], lower_dim(l, x, 1)), at[1]);
    for (int i = 2; i < rank; i++) {
        int axis = column_major ? rank + 1 - i : i;
        e = loop_add(k, loop_mul(k, e, lower_dim(l, x, axis)), at[axis]);
    }
    return e;
}

static loop_expr inside(lower *l, value_id x, const loop_expr *at) {
    loop_kernel *k = lower_kernel(l);
    loop_expr all = loop_const_int(k, DTYPE_BOOL, 1);
    for (int i = 2; i < lower_type(l, x)->rank; i++) {
        all = loop_and(k, all, kit_op2(l, LOOP_LE, loop_int(k, 0), at[i]));
        all = loop_and(k, all, loop_lt(k, at[i], lower_dim(l, x, i)));
    }
    return all;
}

/* With the indices: the first of the largest elements wins. */
static void nest_max_indices(lower *l, node_id n, const window *w) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0), z = graph_output(g, n, 1);
    bool column_major = node_attr_int(graph_node(g, n), "storage_order", 0) != 0;
    dtype t = lower_type(l, x)->dtype;
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK], taps[WINDOW_MAX_AXES];
    lower_loops(l, z, index);
    loop_buf best = kit_scalar(l, "best", t), where = kit_scalar(l, "where", DTYPE_I64);
    lower_assign(l, best, NULL, kit_lowest(l, t));
    lower_assign(l, where, NULL, loop_int(k, -1));
    int opened = window_begin_taps(l, w, LOOP_SERIAL, taps);
    tap_index(l, w, index, taps, at);
    loop_expr e = lower_read_or(l, x, at, kit_lowest(l, t));
    loop_expr old = lower_value(l, best, NULL), at_old = lower_value(l, where, NULL);
    loop_expr none = loop_lt(k, at_old, loop_int(k, 0));
    loop_expr better = kit_op2(l, LOOP_OR, none, loop_lt(k, old, e));
    better = loop_and(k, better, inside(l, x, at));
    loop_expr found = loop_select(k, better, flat_position(l, x, at, column_major), at_old);
    loop_buf step = kit_scalar(l, "step", DTYPE_I64);
    lower_assign(l, step, NULL, found);
    lower_assign(l, best, NULL, loop_select(k, better, e, old));
    lower_assign(l, where, NULL, lower_value(l, step, NULL));
    kit_end(l, opened);
    if (y) lower_write(l, y, index, lower_value(l, best, NULL));
    lower_write(l, z, index, lower_value(l, where, NULL));
    lower_end_loops(l);
}

static void nest_max_pool(lower *l, node_id n) {
    window w;
    bool ok = read_pool(lower_graph(l), n, &w);
    assert(ok), (void)ok;
    if (kit_has_output(lower_graph(l), n, 1))
        nest_max_indices(l, n, &w);
    else
        nest_max(l, n, &w);
}

/* ---- AveragePool ---- */

static void nest_average_pool(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    bool with_padding = node_attr_int(graph_node(g, n), "count_include_pad", 0) != 0;
    window w;
    bool ok = read_pool(g, n, &w);
    assert(ok), (void)ok;
    dtype t = lower_type(l, x)->dtype, sum = kit_sum_type(t);
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK], taps[WINDOW_MAX_AXES];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, loop_const(k, sum, 0));
    int opened = window_begin_taps(l, &w, LOOP_REDUCE, taps);
    tap_index(l, &w, index, taps, at);
    lower_accumulate(l, acc, LOOP_ADD,
                     loop_cast(k, sum, lower_read_or(l, x, at, loop_const(k, t, 0))));
    kit_end(l, opened);
    loop_expr count = loop_int(k, 1);
    for (int i = 0; i < w.axes; i++)
        count = loop_mul(k, count, window_count(l, &w, i, index[i + 2], with_padding));
    loop_expr divisor = loop_cast(k, sum, loop_max(k, count, loop_int(k, 1)));
    lower_write(l, y, index, kit_op2(l, LOOP_DIV, lower_value(l, acc, NULL), divisor));
    lower_end_loops(l);
}

/* ---- LpPool ---- */

static bool check_p(graph *g, node_id n) {
    int64_t p = node_attr_int(graph_node(g, n), "p", 2);
    return p >= 1 || op_error(g, n, NULL, "attribute p is %lld, must be positive", (long long)p);
}

static bool infer_lp_pool(graph *g, node_id n) {
    return check_p(g, n) && infer_pool(g, n);
}

static loop_expr to_power(lower *l, int64_t p, loop_expr e) {
    loop_kernel *k = lower_kernel(l);
    if (p == 2) return loop_mul(k, e, e);
    e = kit_op1(l, LOOP_ABS, e);
    return p == 1 ? e : kit_op2(l, LOOP_POW, e, loop_const(k, loop_type(k, e), (double)p));
}

static loop_expr root(lower *l, int64_t p, loop_expr e) {
    loop_kernel *k = lower_kernel(l);
    if (p == 1) return e;
    if (p == 2) return kit_op1(l, LOOP_SQRT, e);
    return kit_op2(l, LOOP_POW, e, loop_const(k, loop_type(k, e), 1.0 / (double)p));
}

static void nest_lp_pool(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    int64_t p = node_attr_int(graph_node(g, n), "p", 2);
    window w;
    bool ok = read_pool(g, n, &w);
    assert(ok), (void)ok;
    dtype t = lower_type(l, x)->dtype, sum = kit_sum_type(t);
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK], taps[WINDOW_MAX_AXES];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, loop_const(k, sum, 0));
    int opened = window_begin_taps(l, &w, LOOP_REDUCE, taps);
    tap_index(l, &w, index, taps, at);
    loop_expr e = loop_cast(k, sum, lower_read_or(l, x, at, loop_const(k, t, 0)));
    lower_accumulate(l, acc, LOOP_ADD, to_power(l, p, e));
    kit_end(l, opened);
    lower_write(l, y, index, root(l, p, lower_value(l, acc, NULL)));
    lower_end_loops(l);
}

/* ---- whole images ---- */

static bool infer_global(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK) || !check_p(g, n)) return false;
    const type t = *kit_input(g, n, 0);
    dim dims[TENSOR_MAX_RANK];
    for (int i = 0; i < t.rank; i++) dims[i] = i < 2 ? t.dims[i] : kit_dim(g, 1);
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, dims));
    return true;
}

typedef enum { GLOBAL_AVERAGE, GLOBAL_MAX, GLOBAL_LP } global_kind;

static void nest_global(lower *l, node_id n, global_kind kind) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    int64_t p = node_attr_int(graph_node(g, n), "p", 2);
    int rank = lower_type(l, x)->rank;
    dtype t = lower_type(l, x)->dtype, sum = kind == GLOBAL_MAX ? t : kit_sum_type(t);
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, kind == GLOBAL_MAX ? kit_lowest(l, t) : loop_const(k, sum, 0));
    at[0] = index[0];
    at[1] = index[1];
    int opened = kit_reduce(l, x, 2, rank, at);
    loop_expr e = kit_read(l, sum, x, at);
    lower_accumulate(l, acc, kind == GLOBAL_MAX ? LOOP_MAX : LOOP_ADD,
                     kind == GLOBAL_LP ? to_power(l, p, e) : e);
    kit_end(l, opened);
    loop_expr r = lower_value(l, acc, NULL);
    if (kind == GLOBAL_AVERAGE) r = kit_op2(l, LOOP_DIV, r, kit_count(l, sum, x, 2, rank));
    if (kind == GLOBAL_LP) r = root(l, p, r);
    lower_write(l, y, index, r);
    lower_end_loops(l);
}

static void nest_global_average(lower *l, node_id n) {
    nest_global(l, n, GLOBAL_AVERAGE);
}

static void nest_global_max(lower *l, node_id n) {
    nest_global(l, n, GLOBAL_MAX);
}

static void nest_global_lp(lower *l, node_id n) {
    nest_global(l, n, GLOBAL_LP);
}

/* ---- MaxUnpool ---- */

/* The result without output_shape: what the indices count in. */
static bool unpooled_dims(graph *g, node_id n, dim *dims) {
    window w;
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0);
    w.axes = t.rank - 2;
    if (!window_kernel_attr(g, n, &w) || !window_read_transposed(g, n, graph_input(g, n, 0), &w))
        return false;
    dims[0] = t.dims[0];
    dims[1] = t.dims[1];
    for (int i = 0; i < w.axes; i++) dims[i + 2] = w.out[i];
    return true;
}

static bool infer_max_unpool(graph *g, node_id n) {
    dim dims[TENSOR_MAX_RANK];
    if (!unpooled_dims(g, n, dims) || !kit_need(g, n, 1, 3, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0), i = *kit_input(g, n, 1);
    if (i.rank != t.rank) return op_error(g, n, NULL, "the indices do not fit the input");
    for (int a = 0; a < t.rank; a++)
        if (!kit_agree(g, n, t.dims[a], i.dims[a], "the input and its indices")) return false;
    if (graph_input(g, n, 2)) {
        size_t count = 0;
        const dim *given = graph_elements(g, graph_input(g, n, 2), &count);
        if (given && count != (size_t)t.rank)
            return op_error(g, n, NULL, "output_shape has %zu elements, must have %d", count,
                            t.rank);
        for (int a = 0; a < t.rank; a++)
            dims[a] = given ? given[a] : kit_told_dim(g, n, 0, t.rank, a, DIM_NONE);
    }
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, dims));
    return true;
}

static loop_expr size_max_unpool(lower *l, node_id n, int axis) {
    return kit_read_int(l, graph_input(lower_graph(l), n, 2), axis);
}

static bool expand_max_unpool(graph *g, node_id n) {
    value_id given = graph_input(g, n, 2);
    size_t count;
    return given && !graph_elements(g, given, &count) && kit_expand_sizes(g, n);
}

/* Zeros first, then every element at its place. Places may repeat, so the second pass is in order.
 */
static void nest_max_unpool(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), where = graph_input(g, n, 1), y = graph_output(g, n, 0);
    dim dims[TENSOR_MAX_RANK];
    bool ok = unpooled_dims(g, n, dims);
    assert(ok), (void)ok;
    int rank = lower_type(l, x)->rank;
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    lower_write(l, y, index, loop_const(k, lower_type(l, y)->dtype, 0));
    lower_end_loops(l);
    for (int i = 0; i < rank; i++) index[i] = lower_begin(l, LOOP_SERIAL, "i", lower_dim(l, x, i));
    loop_buf place = kit_scalar(l, "place", DTYPE_I64);
    lower_assign(l, place, NULL, lower_read(l, where, index));
    loop_expr rest = lower_value(l, place, NULL);
    for (int i = rank; i-- > 0;) {
        loop_expr size = loop_dim(k, dims[i]);
        at[i] = i ? loop_mod(k, rest, size) : rest;
        rest = loop_floordiv(k, rest, size);
    }
    loop_expr valid = loop_const_int(k, DTYPE_BOOL, 1);
    for (int i = 0; i < rank; i++) {
        valid = loop_and(k, valid, kit_op2(l, LOOP_LE, loop_int(k, 0), at[i]));
        valid = loop_and(k, valid, loop_lt(k, at[i], lower_dim(l, y, i)));
    }
    loop_expr value = lower_read(l, x, index);
    lower_begin_if(l, valid);
    lower_write(l, y, at, value);
    lower_end_if(l);
    for (int i = 0; i < rank; i++) lower_end(l);
}

const op_def ops_pooling[] = {
    {.domain = "",
     .name = "MaxPool",
     .flags = OP_ANCHOR,
     .infer = infer_pool,
     .nest = nest_max_pool},
    {.domain = "",
     .name = "AveragePool",
     .flags = OP_ANCHOR,
     .infer = infer_pool,
     .nest = nest_average_pool},
    {.domain = "",
     .name = "LpPool",
     .flags = OP_ANCHOR,
     .infer = infer_lp_pool,
     .nest = nest_lp_pool},
    {.domain = "",
     .name = "GlobalAveragePool",
     .flags = OP_ANCHOR,
     .infer = infer_global,
     .nest = nest_global_average},
    {.domain = "",
     .name = "GlobalMaxPool",
     .flags = OP_ANCHOR,
     .infer = infer_global,
     .nest = nest_global_max},
    {.domain = "",
     .name = "GlobalLpPool",
     .flags = OP_ANCHOR,
     .infer = infer_global,
     .nest = nest_global_lp},
    {.domain = "",
     .name = "MaxUnpool",
     .flags = OP_ANCHOR | OP_OPEN,
     .infer = infer_max_unpool,
     .nest = nest_max_unpool,
     .size = size_max_unpool,
     .expand = expand_max_unpool},
};
const size_t ops_pooling_count = sizeof ops_pooling / sizeof *ops_pooling;
