/* softmax.c: Softmax, LogSoftmax and Hardmax along any axis: a pass for the maximum, one for the
 * sum of exponentials, one that writes. Exponentials of a short row are kept in between. Rows that
 * lie side by side are spelt in reductions. */
#include "ir/ops/kit.h"

#include <string.h>

/* The longest row, in bytes, whose exponentials are kept on the stack. */
enum { KEPT_BYTES = 16384 };

static bool infer_softmax(graph *g, node_id n) {
    int axis;
    if (!kit_need(g, n, 0, 0, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0);
    if (t.rank && !op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -1), t.rank, &axis))
        return false;
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, t.dims));
    return true;
}

/* One row along an axis, inside of the loops over all others. */
typedef struct {
    value_id x, y;
    int axis, rank;
    dtype sum;
    loop_expr extent;
    loop_expr index[LOOP_MAX_RANK];
} row;

static row begin_rows(lower *l, node_id n) {
    graph *g = lower_graph(l);
    row r = {.x = graph_input(g, n, 0), .y = graph_output(g, n, 0)};
    const type t = *lower_type(l, r.x);
    int64_t axis = node_attr_int(graph_node(g, n), "axis", -1);
    r.rank = t.rank;
    r.axis = (int)(axis < 0 ? axis + t.rank : axis);
    r.sum = kit_sum_type(t.dtype);
    if (!t.rank) {
        r.axis = 0;
        r.extent = loop_int(lower_kernel(l), 1);
        return r;
    }
    r.extent = lower_dim(l, r.x, r.axis);
    lower_loops_axes(l, r.y, 0, r.axis, r.index);
    lower_loops_axes(l, r.y, r.axis + 1, r.rank, r.index);
    return r;
}

static void end_rows(lower *l, const row *r) {
    if (!r->rank) return;
    lower_end_loops(l);
    lower_end_loops(l);
}

/* A loop along the row. */
static loop_expr begin_row(lower *l, row *r, loop_kind kind) {
    return r->index[r->axis] = lower_begin(l, kind, "r", r->extent);
}

static loop_expr row_element(lower *l, const row *r) {
    return kit_read(l, r->sum, r->x, r->index);
}

static loop_buf row_maximum(lower *l, row *r) {
    loop_buf top = kit_scalar(l, "top", r->sum);
    lower_assign(l, top, NULL, kit_lowest(l, r->sum));
    begin_row(l, r, LOOP_REDUCE);
    /* What is NaN makes all of the row NaN, whatever the maximum of the others. */
    loop_expr e = row_element(l, r);
    lower_assign(l, top, NULL, loop_greater(lower_kernel(l), lower_value(l, top, NULL), e));
    lower_end(l);
    return top;
}

static loop_expr shifted(lower *l, const row *r, loop_buf top) {
    return loop_sub(lower_kernel(l), row_element(l, r), lower_value(l, top, NULL));
}

/* exp(x - top): a power of two where that is cheaper. */
static loop_expr power(lower *l, const row *r, loop_buf top) {
    loop_kernel *k = lower_kernel(l);
    loop_expr x = shifted(l, r, top);
    if (r->sum != DTYPE_F32) return kit_op1(l, LOOP_EXP, x);
    return kit_op1(l, LOOP_EXP2, loop_mul(k, x, loop_const(k, r->sum, 1.4426950408889634)));
}

static void nest_softmax(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    row r = begin_rows(l, n);
    int64_t length;
    bool keep =
        loop_is_int(k, r.extent, &length) && length * (int64_t)dtype_bytes(r.sum) <= KEPT_BYTES;
    loop_buf top = row_maximum(l, &r), kept = 0;
    if (keep) kept = lower_local(l, "e", r.sum, LOOP_SPACE_STACK, 1, &length);
    loop_buf total = kit_scalar(l, "total", r.sum);
    lower_assign(l, total, NULL, loop_const(k, r.sum, 0));
    if (keep) {
        loop_expr i = begin_row(l, &r, LOOP_INDEPENDENT);
        lower_assign(l, kept, &i, power(l, &r, top));
        lower_end(l);
    }
    loop_expr i = begin_row(l, &r, LOOP_REDUCE);
    lower_accumulate(l, total, LOOP_ADD, keep ? lower_value(l, kept, &i) : power(l, &r, top));
    lower_end(l);
    loop_buf scale = kit_scalar(l, "scale", r.sum);
    lower_assign(l, scale, NULL,
                 kit_op2(l, LOOP_DIV, loop_const(k, r.sum, 1), lower_value(l, total, NULL)));
    i = begin_row(l, &r, LOOP_INDEPENDENT);
    loop_expr e = keep ? lower_value(l, kept, &i) : power(l, &r, top);
    lower_write(l, r.y, r.index, loop_mul(k, e, lower_value(l, scale, NULL)));
    lower_end(l);
    end_rows(l, &r);
}

static void nest_log_softmax(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    row r = begin_rows(l, n);
    loop_buf top = row_maximum(l, &r), total = kit_scalar(l, "total", r.sum);
    lower_assign(l, total, NULL, loop_const(k, r.sum, 0));
    begin_row(l, &r, LOOP_REDUCE);
    lower_accumulate(l, total, LOOP_ADD, kit_op1(l, LOOP_EXP, shifted(l, &r, top)));
    lower_end(l);
    loop_buf norm = kit_scalar(l, "norm", r.sum);
    lower_assign(l, norm, NULL, kit_op1(l, LOOP_LOG, lower_value(l, total, NULL)));
    begin_row(l, &r, LOOP_INDEPENDENT);
    lower_write(l, r.y, r.index, loop_sub(k, shifted(l, &r, top), lower_value(l, norm, NULL)));
    lower_end(l);
    end_rows(l, &r);
}

/* ---- along another axis than the last ---- */

/* Whether neighbours in memory are elements of different rows, enough of them for vectors. */
static bool has_rows_beside(const graph *g, const type *t, int axis) {
    enum { FEWEST = 4 };
    int64_t beside = 1, n;
    for (int i = axis + 1; i < t->rank; i++)
        beside *= dim_is_const(g->dims, t->dims[i], &n) && n < FEWEST ? n : FEWEST;
    return beside >= FEWEST;
}

/* Then rows are computed side by side: as a maximum, exponentials and a sum along the axis, each of
 * which has the other axes for its vectors. */
static bool expand_softmax(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type t = *graph_type(g, nd.inputs[0]);
    int64_t axis = node_attr_int(&nd, "axis", -1);
    if (axis < 0) axis += t.rank;
    if ((t.dtype != DTYPE_F32 && t.dtype != DTYPE_F64) || t.rank < 2 ||
        !has_rows_beside(g, &t, (int)axis))
        return false;
    value_id along = kit_ints(g, &axis, 1);
    value_id top = kit_build2(g, n, "ReduceMax", nd.inputs[0], along);
    value_id shifted = kit_build2(g, n, "Sub", nd.inputs[0], top);
    value_id powers = kit_build1(g, n, "Exp", shifted);
    value_id total = kit_build2(g, n, "ReduceSum", powers, along);
    value_id y = strcmp(nd.op->name, "Softmax") == 0
                     ? kit_build2(g, n, "Div", powers, total)
                     : kit_build2(g, n, "Sub", shifted, kit_build1(g, n, "Log", total));
    if (!y) return false;
    kit_replace(g, nd.outputs[0], y);
    graph_remove_node(g, n);
    return true;
}

/* One at the first of the largest elements. */
static void nest_hardmax(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    row r = begin_rows(l, n);
    loop_buf top = row_maximum(l, &r), first = kit_scalar(l, "first", DTYPE_I64);
    lower_assign(l, first, NULL, r.extent);
    loop_expr i = begin_row(l, &r, LOOP_REDUCE);
    loop_expr hit = kit_op2(l, LOOP_EQ, row_element(l, &r), lower_value(l, top, NULL));
    lower_accumulate(l, first, LOOP_MIN, loop_select(k, hit, i, r.extent));
    lower_end(l);
    i = begin_row(l, &r, LOOP_INDEPENDENT);
    loop_expr is_first = kit_op2(l, LOOP_EQ, i, lower_value(l, first, NULL));
    lower_write(l, r.y, r.index,
                loop_select(k, is_first, loop_const(k, r.sum, 1), loop_const(k, r.sum, 0)));
    lower_end(l);
    end_rows(l, &r);
}

const op_def ops_softmax[] = {
    {.domain = "",
     .name = "Softmax",
     .flags = OP_ANCHOR,
     .infer = infer_softmax,
     .expand = expand_softmax,
     .nest = nest_softmax},
    {.domain = "",
     .name = "LogSoftmax",
     .flags = OP_ANCHOR,
     .infer = infer_softmax,
     .expand = expand_softmax,
     .nest = nest_log_softmax},
    {.domain = "",
     .name = "Hardmax",
     .flags = OP_ANCHOR,
     .infer = infer_softmax,
     .nest = nest_hardmax},
};
const size_t ops_softmax_count = sizeof ops_softmax / sizeof *ops_softmax;
