/* generate.c: tensors made from shapes, numbers and indices rather than from the elements of
 * another: Shape, Size, ConstantOfShape, EyeLike, Range, OneHot, and Trilu, which keeps a triangle.
 */
#include "ir/ops/kit.h"

#include <math.h>
#include <string.h>

static value_id input(lower *l, node_id n, uint32_t i) {
    return graph_input(lower_graph(l), n, i);
}

/* ---- Shape, Size, ConstantOfShape ---- */

static bool infer_shape(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int64_t first = node_attr_int(graph_node(g, n), "start", 0),
            last = node_attr_int(graph_node(g, n), "end", x.rank);
    first = first < 0 ? first + x.rank : first;
    last = last < 0 ? last + x.rank : last;
    first = first < 0 ? 0 : first;
    last = last > x.rank ? x.rank : last;
    dim size = dim_const(g->dims, last > first ? last - first : 0);
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, 1, &size));
    return true;
}

static bool infer_size(graph *g, node_id n) {
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, 0, NULL));
    return true;
}

/* Dimension index[0] of the shape: a choice among the axes. */
static loop_expr element_shape(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_kernel *k = lower_kernel(l);
    const type x = *lower_type(l, input(l, n, 0));
    int64_t first = node_attr_int(graph_node(lower_graph(l), n), "start", 0);
    if (first < 0) first = first + x.rank < 0 ? 0 : first + x.rank;
    loop_expr value = loop_int(k, 0);
    for (int i = x.rank; i-- > (int)first;)
        value = loop_select(k, loop_make(k, LOOP_EQ, index[0], loop_int(k, i - first), 0),
                            loop_dim(k, x.dims[i]), value);
    return value;
}

static loop_expr element_size(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    (void)index;
    graph *g = lower_graph(l);
    return loop_dim(lower_kernel(l), type_elements(g->dims, lower_type(l, input(l, n, 0))));
}

static bool infer_constant_of_shape(graph *g, node_id n) {
    size_t count;
    const attr *a = node_attr(graph_node(g, n), "value");
    const dim *shape = graph_elements(g, graph_input(g, n, 0), &count);
    dtype t = a && a->kind == ATTR_TENSOR ? graph_type(g, a->tensors[0])->dtype : DTYPE_F32;
    int rank;
    if (!kit_need(g, n, 0, 1, 1)) return false;
    if (!shape)
        return kit_list_length(g, n, 0, "dimensions", &rank) &&
               kit_set_told(g, n, t, rank, DIM_NONE);
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    for (size_t i = 0; i < count; i++)
        if (dim_high(g->dims, shape[i]) < 0)
            return op_error(g, n, NULL, "dimension %zu is negative", i);
    op_set_type(g, n, 0, type_tensor(t, (int)count, shape));
    return true;
}

static loop_expr size_constant_of_shape(lower *l, node_id n, int axis) {
    return kit_read_int(l, input(l, n, 0), axis);
}

static bool expand_constant_of_shape(graph *g, node_id n) {
    size_t count;
    return !graph_elements(g, graph_input(g, n, 0), &count) && kit_expand_sizes(g, n);
}

static loop_expr element_constant_of_shape(lower *l, node_id n, uint32_t output,
                                           const loop_expr *index) {
    (void)index;
    graph *g = lower_graph(l);
    const attr *a = node_attr(graph_node(g, n), "value");
    loop_expr zero = loop_int(lower_kernel(l), 0);
    if (a && a->kind == ATTR_TENSOR) return lower_read(l, a->tensors[0], &zero);
    return loop_const(lower_kernel(l), lower_type(l, graph_output(g, n, output))->dtype, 0);
}

/* ---- EyeLike, Trilu ---- */

static bool infer_eye_like(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, 2)) return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    int64_t t = node_attr_int(graph_node(g, n), "dtype", x.dtype);
    if (t <= 0 || t >= DTYPE_COUNT)
        return op_error(g, n, NULL, "attribute dtype is %lld, which is no type", (long long)t);
    op_set_type(g, n, 0, type_tensor((dtype)t, 2, x.dims));
    return true;
}

static loop_expr element_eye_like(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dtype t = lower_type(l, graph_output(g, n, output))->dtype;
    int64_t shift = node_attr_int(graph_node(g, n), "k", 0);
    loop_expr diagonal = kit_op2(l, LOOP_EQ, loop_sub(k, index[1], index[0]), loop_int(k, shift));
    return loop_select(k, diagonal, loop_const(k, t, 1), loop_const(k, t, 0));
}

static bool infer_trilu(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK) || !kit_may(g, n, 1, 0, 1)) return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

static loop_expr element_trilu(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const type y = *lower_type(l, graph_output(g, n, output));
    loop_expr shift = input(l, n, 1) ? kit_read_int(l, input(l, n, 1), 0) : loop_int(k, 0);
    loop_expr distance = loop_sub(k, index[y.rank - 1], index[y.rank - 2]);
    bool upper = node_attr_int(graph_node(g, n), "upper", 1);
    loop_expr keep =
        upper ? kit_op2(l, LOOP_LE, shift, distance) : kit_op2(l, LOOP_LE, distance, shift);
    return loop_select(k, keep, lower_read(l, input(l, n, 0), index), loop_const(k, y.dtype, 0));
}

/* ---- Range ---- */

/* The number of steps from constants; -1 if they are none. */
static int64_t range_count(graph *g, node_id n) {
    double v[3];
    for (uint32_t i = 0; i < 3; i++) {
        const value *x = graph_value(g, graph_input(g, n, i));
        if (!x->constant) return -1;
        v[i] = dtype_is_integer(x->type.dtype) ? (double)value_int(x, g->dims, 0)
                                               : value_float(x, g->dims, 0);
    }
    double count = ceil((v[1] - v[0]) / v[2]);
    return count > 0 && count < (double)DIM_MAX ? (int64_t)count : 0;
}

/* The whole number that a scalar is, as a dimension: exporters cast sizes to floats, and count by
 * 1.0. DIM_NONE if it is not known. */
static dim whole_number(graph *g, value_id v) {
    const value *x = graph_value(g, v);
    size_t count;
    if (x->constant && dtype_is_float(x->type.dtype)) {
        double number = value_float(x, g->dims, 0);
        bool whole = number == floor(number) && fabs(number) < 1 << 24;
        return whole ? dim_const(g->dims, (int64_t)number) : DIM_NONE;
    }
    const dim *elements = graph_elements(g, v, &count);
    if (elements && count) return elements[0];
    const node *n = x->producer ? graph_node(g, x->producer) : NULL;
    bool cast = n && strcmp(n->op->name, "Cast") == 0 && dtype_is_float(x->type.dtype);
    return cast ? whole_number(g, n->inputs[0]) : DIM_NONE;
}

static bool infer_range(graph *g, node_id n) {
    dtype t = graph_type(g, graph_input(g, n, 0))->dtype;
    dim in[3];
    int64_t step;
    for (uint32_t i = 0; i < 3; i++) {
        if (!kit_need(g, n, i, 0, 1)) return false;
        const type *x = graph_type(g, graph_input(g, n, i));
        if (x->rank == 1 && dim_equals_const(g->dims, x->dims[0], 0))
            return op_error(g, n, NULL, "input %u is empty", i);
        in[i] = whole_number(g, graph_input(g, n, i));
    }
    dim length;
    if (in[0] && in[1] && in[2] && dim_is_const(g->dims, in[2], &step) && step) {
        dim span = step > 0 ? dim_sub(g->dims, in[1], in[0]) : dim_sub(g->dims, in[0], in[1]);
        length = dim_max(g->dims, kit_dim(g, 0),
                         dim_ceildiv(g->dims, span, kit_dim(g, step > 0 ? step : -step)));
    } else if (range_count(g, n) >= 0) {
        length = kit_dim(g, range_count(g, n));
    } else {
        length = kit_told_dim(g, n, 0, 1, 0, DIM_NONE);
    }
    op_set_type(g, n, 0, type_tensor(t, 1, &length));
    return true;
}

/* ceil((limit - start) / step), none where that is negative; a step of zero gives no number. */
static loop_expr size_range(lower *l, node_id n, int axis) {
    (void)axis;
    loop_kernel *k = lower_kernel(l);
    dtype t = lower_type(l, input(l, n, 0))->dtype,
          wide = dtype_is_float(t) ? DTYPE_F64 : DTYPE_I64;
    loop_expr v[3], at = loop_int(k, 0);
    for (uint32_t i = 0; i < 3; i++) v[i] = kit_read(l, wide, input(l, n, i), &at);
    loop_expr span = loop_cast(k, DTYPE_F64, loop_sub(k, v[1], v[0]));
    loop_expr steps = kit_op2(l, LOOP_DIV, span, loop_cast(k, DTYPE_F64, v[2]));
    loop_expr count = kit_op1(l, LOOP_CEIL, steps), most = kit_float(l, DTYPE_F64, DIM_MAX);
    loop_expr is_number = kit_op2(l, LOOP_LE, kit_op1(l, LOOP_ABS, count), most);
    loop_expr bounded = loop_max(k, kit_float(l, DTYPE_F64, 0), loop_min(k, count, most));
    loop_expr whole = loop_cast(k, DTYPE_I64, loop_select(k, is_number, bounded, most));
    return loop_select(k, is_number, whole, loop_int(k, -1));
}

static bool expand_range(graph *g, node_id n) {
    size_t count;
    int64_t step;
    if (range_count(g, n) >= 0) return false;
    const dim *by = graph_elements(g, graph_input(g, n, 2), &count);
    bool known = by && dim_is_const(g->dims, by[0], &step) && step;
    for (uint32_t i = 0; i < 2; i++) known &= graph_elements(g, graph_input(g, n, i), &count) != 0;
    return !known && kit_expand_sizes(g, n);
}

static loop_expr element_range(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    dtype t = lower_type(l, graph_output(lower_graph(l), n, output))->dtype;
    dtype as = kit_sum_type(t);
    loop_expr zero = loop_int(k, 0);
    loop_expr start = kit_read(l, as, input(l, n, 0), &zero);
    loop_expr step = kit_read(l, as, input(l, n, 2), &zero);
    return loop_cast(k, t, loop_add(k, start, loop_mul(k, loop_cast(k, as, index[0]), step)));
}

/* ---- OneHot ---- */

static bool one_hot_axis(graph *g, node_id n, int *axis) {
    int rank = graph_type(g, graph_input(g, n, 0))->rank;
    return op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -1), rank + 1, axis);
}

static bool infer_one_hot(graph *g, node_id n) {
    int axis;
    dim dims[TENSOR_MAX_RANK];
    int64_t pair;
    if (!kit_need(g, n, 0, 0, TENSOR_MAX_RANK - 1) || !kit_need(g, n, 1, 0, 1) ||
        !kit_need(g, n, 2, 1, 1) || !one_hot_axis(g, n, &axis))
        return false;
    const type x = *graph_type(g, graph_input(g, n, 0)), v = *graph_type(g, graph_input(g, n, 2));
    if (!dim_is_const(g->dims, v.dims[0], &pair) || pair != 2)
        return op_error(g, n, NULL, "the values are not two");
    size_t count;
    const dim *elements = graph_elements(g, graph_input(g, n, 1), &count);
    const value *depth = graph_value(g, graph_input(g, n, 1));
    for (int i = 0; i < axis; i++) dims[i] = x.dims[i];
    for (int i = axis; i < x.rank; i++) dims[i + 1] = x.dims[i];
    if (elements && count)
        dims[axis] = elements[0];
    else if (depth->constant)
        dims[axis] = kit_dim(g, (int64_t)value_float(depth, g->dims, 0));
    else
        dims[axis] = kit_told_dim(g, n, 0, x.rank + 1, axis, DIM_NONE);
    op_set_type(g, n, 0, type_tensor(v.dtype, x.rank + 1, dims));
    return true;
}

static loop_expr size_one_hot(lower *l, node_id n, int i) {
    value_id x = input(l, n, 0);
    int axis;
    if (!one_hot_axis(lower_graph(l), n, &axis)) return 0;
    if (i == axis) return kit_read_int(l, input(l, n, 1), 0);
    return lower_dim(l, x, i < axis ? i : i - 1);
}

static bool expand_one_hot(graph *g, node_id n) {
    value_id depth = graph_input(g, n, 1);
    size_t count;
    return !graph_value(g, depth)->constant && !graph_elements(g, depth, &count) &&
           kit_expand_sizes(g, n);
}

static loop_expr element_one_hot(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0), values = input(l, n, 2);
    loop_expr own[TENSOR_MAX_RANK], zero = loop_int(k, 0), one = loop_int(k, 1);
    int axis;
    if (!one_hot_axis(g, n, &axis)) return 0;
    for (int i = 0; i < lower_type(l, x)->rank; i++) own[i] = index[i < axis ? i : i + 1];
    loop_expr depth = lower_dim(l, graph_output(g, n, output), axis);
    loop_expr at = kit_read(l, DTYPE_I64, x, own);
    at = loop_select(k, loop_lt(k, at, zero), loop_add(k, at, depth), at);
    return loop_select(k, kit_op2(l, LOOP_EQ, at, index[axis]), lower_read(l, values, &one),
                       lower_read(l, values, &zero));
}

#define MADE(op, more, infer_hook, element_hook)                                                   \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_MOVEMENT | (more), .infer = infer_hook,              \
        .element = element_hook                                                                    \
    }

const op_def ops_generate[] = {
    {.domain = "",
     .name = "ConstantOfShape",
     .flags = OP_MOVEMENT | OP_OPEN,
     .infer = infer_constant_of_shape,
     .element = element_constant_of_shape,
     .size = size_constant_of_shape,
     .expand = expand_constant_of_shape},
    MADE("EyeLike", 0, infer_eye_like, element_eye_like),
    {.domain = "",
     .name = "OneHot",
     .flags = OP_MOVEMENT | OP_OPAQUE | OP_OPEN,
     .infer = infer_one_hot,
     .element = element_one_hot,
     .size = size_one_hot,
     .expand = expand_one_hot},
    {.domain = "",
     .name = "Range",
     .flags = OP_MOVEMENT | OP_OPEN,
     .infer = infer_range,
     .element = element_range,
     .size = size_range,
     .expand = expand_range},
    MADE("Shape", OP_OPAQUE, infer_shape, element_shape),
    MADE("Size", OP_OPAQUE, infer_size, element_size),
    MADE("Trilu", 0, infer_trilu, element_trilu),
};
const size_t ops_generate_count = sizeof ops_generate / sizeof *ops_generate;
