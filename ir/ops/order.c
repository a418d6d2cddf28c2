/* order.c: operators that go along an axis in order: CumSum, CumProd, TopK. */
#include "ir/ops/kit.h"

#include <string.h>

/* ---- CumSum, CumProd ---- */

static bool infer_cumulate(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    const int64_t *axes;
    size_t count;
    int axis;
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 0, 1)) return false;
    if (op_const_ints(g, n, 1, NULL, &axes, &count)) {
        if (count != 1) return op_error(g, n, NULL, "it has %zu axes, must have one", count);
        if (!op_axis(g, n, axes[0], x.rank, &axis)) return false;
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

/* The totals before or behind each element, one after the other. */
static void cumulate_along(lower *l, node_id n, int axis, loop_op op, dtype t) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    int rank = lower_type(l, x)->rank;
    loop_expr index[TENSOR_MAX_RANK];
    bool exclusive = node_attr_int(nd, "exclusive", 0), reverse = node_attr_int(nd, "reverse", 0);
    lower_loops_axes(l, y, 0, axis, index);
    lower_loops_axes(l, y, axis + 1, rank, index);
    loop_buf acc = kit_scalar(l, "acc", t);
    lower_assign(l, acc, NULL, loop_const(k, t, op == LOOP_MUL));
    loop_expr size = lower_dim(l, x, axis), at = lower_begin(l, LOOP_SERIAL, "r", size);
    index[axis] = reverse ? loop_sub(k, loop_sub(k, size, loop_int(k, 1)), at) : at;
    loop_expr term = kit_read(l, t, x, index);
    if (exclusive) lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_accumulate(l, acc, op, term);
    if (!exclusive) lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end(l);
    lower_end_loops(l);
    lower_end_loops(l);
}

/* As above where only the data name the axis: each total is made anew from the elements that count
 * for it. */
static void cumulate_anywhere(lower *l, node_id n, loop_op op, dtype t) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    int rank = lower_type(l, x)->rank;
    loop_expr index[TENSOR_MAX_RANK], from[TENSOR_MAX_RANK];
    loop_op order = node_attr_int(nd, "exclusive", 0) ? LOOP_LT : LOOP_LE;
    bool reverse = node_attr_int(nd, "reverse", 0);
    loop_expr axis =
        kit_check_index(l, kit_read_int(l, graph_input(g, n, 1), 0), loop_int(k, rank));
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", t);
    loop_expr neutral = loop_const(k, t, op == LOOP_MUL), counts = loop_const_int(k, DTYPE_BOOL, 1);
    lower_assign(l, acc, NULL, neutral);
    int opened = kit_reduce(l, x, 0, rank, from);
    for (int i = 0; i < rank; i++) {
        loop_expr along = kit_op2(l, LOOP_EQ, axis, loop_int(k, i));
        loop_expr before =
            reverse ? kit_op2(l, order, index[i], from[i]) : kit_op2(l, order, from[i], index[i]);
        loop_expr here = kit_op2(l, LOOP_EQ, from[i], index[i]);
        counts = loop_and(k, counts, loop_select(k, along, before, here));
    }
    lower_accumulate(l, acc, op, loop_select(k, counts, kit_read(l, t, x, from), neutral));
    kit_end(l, opened);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

static void nest_cumulate(lower *l, node_id n) {
    graph *g = lower_graph(l);
    const type x = *lower_type(l, graph_input(g, n, 0));
    loop_op op = strcmp(graph_node(g, n)->op->name, "CumProd") == 0 ? LOOP_MUL : LOOP_ADD;
    dtype t = dtype_is_float(x.dtype) ? kit_sum_type(x.dtype) : x.dtype;
    const int64_t *axes;
    size_t count;
    int axis;
    if (!op_const_ints(g, n, 1, NULL, &axes, &count))
        cumulate_anywhere(l, n, op, t);
    else if (op_axis(g, n, axes[0], x.rank, &axis))
        cumulate_along(l, n, axis, op, t);
}

/* ---- TopK ---- */

static bool infer_top_k(graph *g, node_id n) {
    dim dims[TENSOR_MAX_RANK];
    size_t count;
    int axis;
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 0, 1)) return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -1), x.rank, &axis)) return false;
    const dim *k = graph_elements(g, graph_input(g, n, 1), &count);
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    if (k && count == 1) {
        dims[axis] = k[0];
    } else {
        dims[axis] = kit_told_dim(g, n, graph_output(g, n, 0) ? 0 : 1, x.rank, axis, x.dims[axis]);
    }
    if (dim_high(g->dims, dims[axis]) < 0 ||
        dim_low(g->dims, dims[axis]) > dim_high(g->dims, x.dims[axis]))
        return op_error(g, n, NULL, "it selects %s of %s elements",
                        dim_text(g->dims, g->memory, dims[axis]),
                        dim_text(g->dims, g->memory, x.dims[axis]));
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    op_set_type(g, n, 1, type_tensor(DTYPE_I64, x.rank, dims));
    return true;
}

static loop_expr size_top_k(lower *l, node_id n, int i) {
    graph *g = lower_graph(l);
    value_id x = graph_input(g, n, 0);
    int axis;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -1), lower_type(l, x)->rank, &axis))
        return 0;
    return i == axis ? kit_read_int(l, graph_input(g, n, 1), 0) : lower_dim(l, x, i);
}

static bool expand_top_k(graph *g, node_id n) {
    size_t count;
    return !graph_elements(g, graph_input(g, n, 1), &count) && kit_expand_sizes(g, n);
}

/* Whether v goes before w. A NaN is above all numbers. */
static loop_expr goes_before(lower *l, bool largest, loop_expr v, loop_expr w) {
    loop_kernel *k = lower_kernel(l);
    loop_expr high = largest ? v : w, low = largest ? w : v;
    loop_expr above = loop_lt(k, low, high);
    if (!dtype_is_float(loop_type(k, v))) return above;
    loop_expr beyond = loop_and(k, kit_op2(l, LOOP_NE, high, high), kit_op2(l, LOOP_EQ, low, low));
    return kit_op2(l, LOOP_OR, above, beyond);
}

static void write_selected(lower *l, node_id n, const loop_expr *index, loop_expr v, loop_expr at) {
    graph *g = lower_graph(l);
    if (graph_output(g, n, 0)) lower_write(l, graph_output(g, n, 0), index, v);
    if (graph_output(g, n, 1)) lower_write(l, graph_output(g, n, 1), index, at);
}

typedef struct {
    loop_buf values, places; /* the best so far, in order; a place of -1: none yet */
    loop_buf value, place;   /* what is to be put in */
    loop_buf moved;          /* whether it is one that gave up its slot: it goes before the rest */
    loop_expr size;
    bool largest;
} selection;

static selection begin_selection(lower *l, dtype t, int64_t size, bool largest) {
    selection s = {.values = lower_local(l, "best", t, LOOP_SPACE_STACK, 1, &size),
                   .places = lower_local(l, "place", DTYPE_I64, LOOP_SPACE_STACK, 1, &size),
                   .value = kit_scalar(l, "v", t),
                   .place = kit_scalar(l, "p", DTYPE_I64),
                   .moved = kit_scalar(l, "moved", DTYPE_BOOL),
                   .size = loop_int(lower_kernel(l), size),
                   .largest = largest};
    loop_expr slot = lower_begin(l, LOOP_SERIAL, "s", s.size);
    lower_assign(l, s.values, &slot, loop_const(lower_kernel(l), t, 0));
    lower_assign(l, s.places, &slot, loop_int(lower_kernel(l), -1));
    lower_end(l);
    return s;
}

/* Whether v belongs before what the slot holds. */
static loop_expr fits_slot(lower *l, const selection *s, loop_expr v, loop_expr slot) {
    loop_kernel *k = lower_kernel(l);
    loop_expr empty = loop_lt(k, lower_value(l, s->places, &slot), loop_int(k, 0));
    return kit_op2(l, LOOP_OR, empty,
                   goes_before(l, s->largest, v, lower_value(l, s->values, &slot)));
}

/* Puts in v at its slot; what stood there and behind moves on by one, the last falls out. */
static void insert(lower *l, const selection *s, loop_expr v, loop_expr place) {
    loop_kernel *k = lower_kernel(l);
    loop_expr last = loop_sub(k, s->size, loop_int(k, 1));
    lower_begin_if(l, fits_slot(l, s, v, last));
    lower_assign(l, s->value, NULL, v);
    lower_assign(l, s->place, NULL, place);
    lower_assign(l, s->moved, NULL, loop_const_int(k, DTYPE_BOOL, 0));
    loop_expr slot = lower_begin(l, LOOP_SERIAL, "s", s->size);
    loop_expr value = lower_value(l, s->value, NULL);
    loop_expr takes =
        kit_op2(l, LOOP_OR, lower_value(l, s->moved, NULL), fits_slot(l, s, value, slot));
    lower_begin_if(l, takes);
    loop_buf old_value = kit_scalar(l, "ov", loop_type(k, v)),
             old_place = kit_scalar(l, "op", DTYPE_I64);
    lower_assign(l, old_value, NULL, lower_value(l, s->values, &slot));
    lower_assign(l, old_place, NULL, lower_value(l, s->places, &slot));
    lower_assign(l, s->values, &slot, value);
    lower_assign(l, s->places, &slot, lower_value(l, s->place, NULL));
    lower_assign(l, s->value, NULL, lower_value(l, old_value, NULL));
    lower_assign(l, s->place, NULL, lower_value(l, old_place, NULL));
    lower_assign(l, s->moved, NULL, loop_const_int(k, DTYPE_BOOL, 1));
    lower_end_if(l);
    lower_end(l);
    lower_end_if(l);
}

/* A few elements: they are kept in order while the axis is read once. */
static void select_by_insertion(lower *l, node_id n, int axis, int64_t size, bool largest,
                                loop_expr *index) {
    value_id x = graph_input(lower_graph(l), n, 0);
    selection s = begin_selection(l, lower_type(l, x)->dtype, size, largest);
    index[axis] = lower_begin(l, LOOP_SERIAL, "r", lower_dim(l, x, axis));
    insert(l, &s, lower_read(l, x, index), index[axis]);
    lower_end(l);
    loop_expr slot = lower_begin(l, LOOP_SERIAL, "s", s.size);
    index[axis] = slot;
    write_selected(l, n, index, lower_value(l, s.values, &slot), lower_value(l, s.places, &slot));
    lower_end(l);
}

/* Any number of them: an element's slot is the number of those that go before it. */
static void select_by_rank(lower *l, node_id n, int axis, loop_expr size, bool largest,
                           loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(lower_graph(l), n, 0);
    loop_buf rank = kit_scalar(l, "rank", DTYPE_I64);
    loop_expr at = index[axis] = lower_begin(l, LOOP_SERIAL, "i", lower_dim(l, x, axis));
    loop_expr v = lower_read(l, x, index);
    lower_assign(l, rank, NULL, loop_int(k, 0));
    loop_expr other = index[axis] = lower_begin(l, LOOP_REDUCE, "r", lower_dim(l, x, axis));
    loop_expr w = lower_read(l, x, index);
    loop_expr equal =
        kit_op1(l, LOOP_NOT,
                kit_op2(l, LOOP_OR, goes_before(l, largest, v, w), goes_before(l, largest, w, v)));
    loop_expr before = kit_op2(l, LOOP_OR, goes_before(l, largest, w, v),
                               loop_and(k, equal, loop_lt(k, other, at)));
    lower_accumulate(l, rank, LOOP_ADD, loop_cast(k, DTYPE_I64, before));
    lower_end(l);
    loop_expr slot = lower_value(l, rank, NULL);
    lower_begin_if(l, loop_lt(k, slot, size));
    index[axis] = slot;
    write_selected(l, n, index, v, at);
    lower_end_if(l);
    lower_end(l);
}

static void nest_top_k(lower *l, node_id n) {
    enum { MOST_INSERTED = 1024 };
    graph *g = lower_graph(l);
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, graph_output(g, n, 0) ? 0 : 1);
    bool largest = node_attr_int(nd, "largest", 1);
    int rank = lower_type(l, x)->rank, axis;
    int64_t size;
    loop_expr index[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(nd, "axis", -1), rank, &axis)) return;
    lower_loops_axes(l, y, 0, axis, index);
    lower_loops_axes(l, y, axis + 1, rank, index);
    bool fixed = dim_is_const(g->dims, lower_type(l, y)->dims[axis], &size);
    if (fixed && size > 0 && size <= MOST_INSERTED)
        select_by_insertion(l, n, axis, size, largest, index);
    else
        select_by_rank(l, n, axis, lower_dim(l, y, axis), largest, index);
    lower_end_loops(l);
    lower_end_loops(l);
}

const op_def ops_order[] = {
    {.domain = "",
     .name = "CumProd",
     .flags = OP_ANCHOR,
     .infer = infer_cumulate,
     .nest = nest_cumulate},
    {.domain = "",
     .name = "CumSum",
     .flags = OP_ANCHOR,
     .infer = infer_cumulate,
     .nest = nest_cumulate},
    {.domain = "",
     .name = "TopK",
     .flags = OP_ANCHOR | OP_OPEN,
     .infer = infer_top_k,
     .nest = nest_top_k,
     .size = size_top_k,
     .expand = expand_top_k},
};
const size_t ops_order_count = sizeof ops_order / sizeof *ops_order;
