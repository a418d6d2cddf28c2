/* select.c: operators whose results hold what the data select, so many elements as the data say:
 * NonZero, Compress, NonMaxSuppression, Unique. Each is expanded into one that computes how many
 * there are, or makes room for the most, and what takes that many. */
#include "ir/ops/kit.h"

#include <string.h>

/* The type of a number that tells a dimension. */
static type count_type(void) {
    return type_tensor(DTYPE_I64, 0, NULL);
}

static type vector_type(graph *g, dtype t, dim length) {
    dim *dims = ARENA_ARRAY(g->memory, dim, 1);
    *dims = length;
    return type_tensor(t, 1, dims);
}

/* The first result is what the others are made beside. */
static bool need_result(graph *g, node_id n) {
    return kit_has_output(g, n, 0) || op_error(g, n, NULL, "it has no result");
}

/* How many elements of v are not zero, as a number that tells `size`. */
static value_id build_count(graph *g, node_id n, value_id v, dim size) {
    value_id truth = kit_build_cast(g, n, v, DTYPE_BOOL);
    value_id number = truth ? kit_build_cast(g, n, truth, DTYPE_I64) : 0;
    attr keep = attr_int("keepdims", 0);
    value_id sum = kit_build(g, n, "ReduceSum", 1, &number, 1, &keep);
    if (sum) graph_bind(g, sum, &size, 1);
    return sum;
}

/* ---- NonZero ---- */

static bool infer_non_zero(graph *g, node_id n) {
    if (!need_result(g, n) || !kit_need(g, n, 0, 0, TENSOR_MAX_RANK)) return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim limit = type_elements(g->dims, &x);
    dim dims[] = {kit_dim(g, x.rank ? x.rank : 1), kit_told_dim(g, n, 0, 2, 1, limit)};
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, 2, dims));
    return true;
}

static bool expand_non_zero(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0), made;
    const type t = *graph_type(g, y);
    if (graph_type(g, x)->rank == 0) x = kit_build_reshape(g, n, x, (int64_t[]){1}, 1);
    value_id count = x ? build_count(g, n, x, t.dims[1]) : 0;
    if (!count) return false;
    const value_id inputs[] = {x, count};
    kit_build_internal(g, n, "NonZero", 2, inputs, 1, &t, &made, 0, NULL);
    kit_replace(g, y, made);
    graph_remove_node(g, n);
    return true;
}

static bool infer_counted(graph *g, node_id n) {
    const type *y = graph_type(g, graph_output(g, n, 0));
    return kit_need(g, n, 0, 1, TENSOR_MAX_RANK) &&
           (y->kind == TYPE_TENSOR || op_error(g, n, NULL, "the result has no type"));
}

/* In row-major order, each place goes to the next column. */
static void nest_non_zero(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    const type t = *lower_type(l, x);
    loop_expr index[TENSOR_MAX_RANK], to[2];
    loop_buf found = kit_scalar(l, "found", DTYPE_I64);
    lower_assign(l, found, NULL, loop_int(k, 0));
    for (int i = 0; i < t.rank; i++)
        index[i] = lower_begin(l, LOOP_SERIAL, "i", lower_dim(l, x, i));
    to[1] = lower_value(l, found, NULL);
    loop_expr v = lower_read(l, x, index), room = loop_lt(k, to[1], lower_dim(l, y, 1));
    loop_expr some = kit_op2(l, LOOP_NE, v, loop_const(k, t.dtype, 0));
    lower_begin_if(l, loop_and(k, some, room));
    for (int i = 0; i < t.rank; i++) {
        to[0] = loop_int(k, i);
        lower_write(l, y, to, index[i]);
    }
    lower_assign(l, found, NULL, loop_add(k, lower_value(l, found, NULL), loop_int(k, 1)));
    lower_end_if(l);
    for (int i = 0; i < t.rank; i++) lower_end(l);
}

/* ---- Compress ---- */

static bool compress_axis(graph *g, node_id n, bool *flat, int *axis) {
    const attr *given = node_attr(graph_node(g, n), "axis");
    *flat = !given;
    *axis = 0;
    return *flat || op_axis(g, n, given->i, graph_type(g, graph_input(g, n, 0))->rank, axis);
}

static bool infer_compress(graph *g, node_id n) {
    dim dims[TENSOR_MAX_RANK];
    bool flat;
    int axis;
    if (!need_result(g, n) || !kit_need(g, n, 0, 1, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 1, 1) ||
        !compress_axis(g, n, &flat, &axis))
        return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim limit = graph_type(g, graph_input(g, n, 1))->dims[0];
    int rank = flat ? 1 : x.rank;
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    dims[axis] = kit_told_dim(g, n, 0, rank, axis, limit);
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* The elements at the places where the condition holds; Gather checks that they exist. */
static bool expand_compress(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    bool flat;
    int axis;
    if (!compress_axis(g, n, &flat, &axis)) return false;
    dim size = graph_type(g, y)->dims[axis], two[] = {kit_dim(g, 1), size};
    value_id truth = graph_input(g, n, 1), places, count = build_count(g, n, truth, size);
    if (flat) x = kit_build_reshape(g, n, x, (int64_t[]){-1}, 1);
    if (!count || !x) return false;
    const value_id inputs[] = {truth, count};
    const type t = type_tensor(DTYPE_I64, 2, two);
    kit_build_internal(g, n, "NonZero", 2, inputs, 1, &t, &places, 0, NULL);
    places = kit_build2(g, n, "Squeeze", places, kit_ints(g, (int64_t[]){0}, 1));
    const value_id both[] = {x, places};
    attr a = attr_int("axis", axis);
    value_id made = kit_build(g, n, "Gather", 2, both, 1, &a);
    if (!made) return false;
    kit_replace(g, y, made);
    graph_remove_node(g, n);
    return true;
}

/* ---- NonMaxSuppression ---- */

/* The most boxes that can be selected. */
static dim most_boxes(graph *g, node_id n) {
    const type *scores = graph_type(g, graph_input(g, n, 1));
    size_t count;
    const dim *most = graph_elements(g, graph_input(g, n, 2), &count);
    dim each = scores->dims[2];
    if (most && count == 1 && dim_low(g->dims, most[0]) >= 0)
        each = dim_min(g->dims, each, most[0]);
    if (!graph_input(g, n, 2)) each = kit_dim(g, 0);
    return dim_mul(g->dims, dim_mul(g->dims, scores->dims[0], scores->dims[1]), each);
}

static bool infer_suppression(graph *g, node_id n) {
    if (!need_result(g, n) || !kit_need(g, n, 0, 3, 3) || !kit_need(g, n, 1, 3, 3)) return false;
    for (uint32_t i = 2; i < 5; i++)
        if (!kit_may(g, n, i, 0, 1)) return false;
    const type boxes = *graph_type(g, graph_input(g, n, 0)),
               scores = *graph_type(g, graph_input(g, n, 1));
    if (!kit_agree(g, n, boxes.dims[0], scores.dims[0], "the batches") ||
        !kit_agree(g, n, boxes.dims[1], scores.dims[2], "the numbers of boxes") ||
        !kit_agree(g, n, boxes.dims[2], kit_dim(g, 4), "the corners of a box"))
        return false;
    dim dims[] = {kit_told_dim(g, n, 0, 2, 0, most_boxes(g, n)), kit_dim(g, 3)};
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, 2, dims));
    return true;
}

static bool expand_suppression(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    value_id y = nd.outputs[0], made[2];
    const type t = *graph_type(g, y);
    dim room = dim_mul(g->dims, most_boxes(g, n), kit_dim(g, 3));
    const type types[] = {vector_type(g, DTYPE_I64, room), count_type()};
    attr centre = attr_int("center_point_box", node_attr_int(&nd, "center_point_box", 0));
    value_id inputs[5] = {0};
    for (uint32_t i = 0; i < 5; i++) inputs[i] = graph_input(g, n, i);
    kit_build_internal(g, n, "NonMaxSuppression", 5, inputs, 2, types, made, 1, &centre);
    graph_bind(g, made[1], t.dims, 1);
    kit_replace(g, y, kit_build_front(g, n, made[0], made[1], t));
    graph_remove_node(g, n);
    return true;
}

/* A place and its partner for each box of a class, to sort them. */
static dim suppression_scratch(graph *g, node_id n) {
    return dim_mul(g->dims, graph_type(g, graph_input(g, n, 1))->dims[2], kit_dim(g, 8));
}

/* ---- Unique ---- */

/* The number of the things that are compared: elements, or slices along an axis. */
static dim unique_most(graph *g, const type *x, bool flat, int axis) {
    return flat ? type_elements(g->dims, x) : x->dims[axis];
}

static bool infer_unique(graph *g, node_id n) {
    dim dims[TENSOR_MAX_RANK];
    bool flat;
    int axis;
    if (!need_result(g, n) || !kit_need(g, n, 0, 0, TENSOR_MAX_RANK) ||
        !compress_axis(g, n, &flat, &axis))
        return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    if (x.dtype == DTYPE_C64 || x.dtype == DTYPE_C128)
        return op_error(g, n, NULL, "elements of type %s have no order", dtype_name(x.dtype));
    dim most = unique_most(g, &x, flat, axis);
    int rank = flat ? 1 : x.rank;
    if (x.rank) memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    dim size = dims[axis] = kit_told_dim(g, n, 0, rank, axis, most);
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    for (uint32_t i = 1; i < 4; i++)
        op_set_type(g, n, i, vector_type(g, DTYPE_I64, i == 2 ? most : size));
    return true;
}

static bool expand_unique(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], made[5];
    bool flat;
    int axis;
    if (!compress_axis(g, n, &flat, &axis)) return false;
    const type tx = *graph_type(g, x), ty = *graph_type(g, nd.outputs[0]);
    dim most = unique_most(g, &tx, flat, axis), all = type_elements(g->dims, &tx);
    const type vector = vector_type(g, DTYPE_I64, most);
    const type types[] = {vector_type(g, tx.dtype, all), vector, vector, vector, count_type()};
    const attr attrs[] = {attr_int("axis", flat ? -1 : axis),
                          attr_int("sorted", node_attr_int(&nd, "sorted", 1))};
    kit_build_internal(g, n, "Unique", 1, &x, 5, types, made, 2, attrs);
    graph_bind(g, made[4], &ty.dims[axis], 1);
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        const type t = *graph_type(g, nd.outputs[i]);
        kit_replace(g, nd.outputs[i],
                    i == 2 ? made[2] : kit_build_front(g, n, made[i], made[4], t));
    }
    graph_remove_node(g, n);
    return true;
}

/* Two lists of places, and one of the first place of each value. */
static dim unique_scratch(graph *g, node_id n) {
    return dim_mul(g->dims, graph_type(g, graph_output(g, n, 1))->dims[0], kit_dim(g, 24));
}

#define OPEN(op, infer_hook, expand_hook)                                                          \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_OPEN | OP_OPAQUE, .infer = infer_hook,               \
        .expand = expand_hook                                                                      \
    }

const op_def ops_select[] = {
    OPEN("Compress", infer_compress, expand_compress),
    OPEN("NonMaxSuppression", infer_suppression, expand_suppression),
    OPEN("NonZero", infer_non_zero, expand_non_zero),
    OPEN("Unique", infer_unique, expand_unique),
    {.domain = OP_INTERNAL,
     .name = "NonMaxSuppression",
     .infer = infer_counted,
     .call = "suppress",
     .call_attributes = "center_point_box",
     .scratch = suppression_scratch},
    {.domain = OP_INTERNAL,
     .name = "NonZero",
     .flags = OP_ANCHOR,
     .infer = infer_counted,
     .nest = nest_non_zero},
    {.domain = OP_INTERNAL,
     .name = "Unique",
     .flags = OP_OPAQUE,
     .infer = infer_counted,
     .call = "unique",
     .call_attributes = "axis sorted",
     .scratch = unique_scratch},
};
const size_t ops_select_count = sizeof ops_select / sizeof *ops_select;
