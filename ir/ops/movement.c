/* movement.c: operators whose results are elements of their inputs in another place. Each is a
 * function from the result's index to that of the input, so that chains of them cost one index
 * calculation. */
#include "ir/ops/kit.h"

#include <assert.h>
#include <string.h>

static value_id input(lower *l, node_id n, uint32_t i) {
    return graph_input(lower_graph(l), n, i);
}

/* ---- transposition ---- */

/* The permutation: the attribute, or all axes reversed. */
static bool permutation(graph *g, node_id n, int rank, int *perm) {
    size_t count;
    const int64_t *given = node_attr_ints(graph_node(g, n), "perm", &count);
    bool seen[TENSOR_MAX_RANK] = {false};
    if (given && count != (size_t)rank)
        return op_error(g, n, NULL, "attribute perm has %zu axes, the input %d", count, rank);
    for (int i = 0; i < rank; i++) {
        int64_t p = given ? given[i] : rank - 1 - i;
        if (p < 0 || p >= rank || seen[p])
            return op_error(g, n, NULL, "attribute perm is no permutation");
        seen[p] = true;
        perm[i] = (int)p;
    }
    return true;
}

static bool infer_transpose(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int perm[TENSOR_MAX_RANK];
    dim dims[TENSOR_MAX_RANK];
    if (!permutation(g, n, x.rank, perm)) return false;
    for (int i = 0; i < x.rank; i++) dims[i] = x.dims[perm[i]];
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

static loop_expr element_transpose(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    int rank = lower_type(l, input(l, n, 0))->rank, perm[TENSOR_MAX_RANK];
    loop_expr own[TENSOR_MAX_RANK];
    bool ok = permutation(lower_graph(l), n, rank, perm);
    assert(ok);
    for (int i = 0; i < rank; i++) own[perm[i]] = index[i];
    return lower_read(l, input(l, n, 0), own);
}

/* ---- other shapes of the same elements ---- */

static bool infer_reshape(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    size_t count;
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    bool keep_zero = node_attr_int(graph_node(g, n), "allowzero", 0);
    dim dims[TENSOR_MAX_RANK], known = dim_const(t, 1);
    int open = -1;
    if (!shape)
        return op_error(g, n, "fix symbolic dimensions with --dim",
                        "the shape is not known at compile time");
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    for (size_t i = 0; i < count; i++) {
        dims[i] = shape[i];
        if (dim_equals_const(t, dims[i], 0) && !keep_zero) {
            if ((int)i >= x.rank)
                return op_error(g, n, NULL, "the shape keeps dimension %zu, which the input lacks",
                                i);
            dims[i] = x.dims[i];
        }
        if (dim_equals_const(t, dims[i], -1)) {
            if (open >= 0) return op_error(g, n, NULL, "the shape leaves two dimensions open");
            open = (int)i;
        } else if (dim_high(t, dims[i]) < 0) {
            return op_error(g, n, NULL, "the shape has a negative dimension");
        } else {
            known = dim_mul(t, known, dims[i]);
        }
    }
    dim total = type_elements(t, &x);
    if (open >= 0)
        dims[open] =
            dim_equals_const(t, known, 0) ? dim_const(t, 0) : dim_floordiv(t, total, known);
    int64_t have, want;
    if (dim_is_const(t, total, &have)) {
        dim product = open >= 0 ? dim_mul(t, known, dims[open]) : known;
        if (dim_is_const(t, product, &want) && have != want)
            return op_error(g, n, NULL, "%lld elements do not fit a shape of %lld", (long long)have,
                            (long long)want);
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, (int)count, dims));
    return true;
}

static bool infer_flatten(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int64_t axis = node_attr_int(graph_node(g, n), "axis", 1);
    if (axis < -x.rank || axis > x.rank)
        return op_error(g, n, NULL, "axis %lld is out of range", (long long)axis);
    if (axis < 0) axis += x.rank;
    dim dims[] = {dim_const(g->dims, 1), dim_const(g->dims, 1)};
    for (int i = 0; i < x.rank; i++) dims[i >= axis] = dim_mul(g->dims, dims[i >= axis], x.dims[i]);
    op_set_type(g, n, 0, type_tensor(x.dtype, 2, dims));
    return true;
}

/* Marks the axes that input 1 (or the attribute) names, of a tensor of this rank. */
static bool mark_axes(graph *g, node_id n, int rank, bool *marked) {
    const int64_t *axes;
    size_t count;
    memset(marked, 0, TENSOR_MAX_RANK * sizeof *marked);
    if (!op_const_ints(g, n, 1, "axes", &axes, &count))
        return op_error(g, n, NULL, "the axes are not known at compile time");
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], rank, &axis)) return false;
        if (marked[axis]) return op_error(g, n, NULL, "axis %d is named twice", axis);
        marked[axis] = true;
    }
    return true;
}

static bool infer_squeeze(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool drop[TENSOR_MAX_RANK] = {false};
    dim dims[TENSOR_MAX_RANK];
    int rank = 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    if (given && !mark_axes(g, n, x.rank, drop)) return false;
    for (int i = 0; i < x.rank; i++) {
        int64_t size;
        bool fixed = dim_is_const(g->dims, x.dims[i], &size);
        if (!given) drop[i] = fixed && size == 1;
        if (drop[i] && fixed && size != 1)
            return op_error(g, n, NULL, "axis %d has %lld elements, not one", i, (long long)size);
        if (!drop[i]) dims[rank++] = x.dims[i];
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static bool infer_unsqueeze(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool made[TENSOR_MAX_RANK];
    dim dims[TENSOR_MAX_RANK];
    const int64_t *axes;
    size_t count;
    if (!op_const_ints(g, n, 1, "axes", &axes, &count))
        return op_error(g, n, NULL, "the axes are not known at compile time");
    int rank = x.rank + (int)count;
    if (count > TENSOR_MAX_RANK || rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    if (!mark_axes(g, n, rank, made)) return false;
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = made[i] ? dim_const(g->dims, 1) : x.dims[from++];
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* The element at the same row-major position. */
static loop_expr element_reshape(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0), y = graph_output(lower_graph(l), n, output);
    int from = lower_type(l, x)->rank, to = lower_type(l, y)->rank;
    loop_expr at = loop_int(k, 0), own[TENSOR_MAX_RANK];
    for (int i = 0; i < to; i++) at = loop_add(k, loop_mul(k, at, lower_dim(l, y, i)), index[i]);
    for (int i = from; i-- > 0;) {
        loop_expr size = lower_dim(l, x, i);
        own[i] = i ? loop_mod(k, at, size) : at;
        at = loop_floordiv(k, at, size);
    }
    return lower_read(l, x, own);
}

/* Axes of one element come and go; the others keep their order, so indices need no arithmetic. */
static loop_expr element_ones(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), y = graph_output(g, n, output);
    const type from = *lower_type(l, x), to = *lower_type(l, y);
    bool marked[TENSOR_MAX_RANK];
    bool squeeze = strcmp(graph_node(g, n)->op->name, "Squeeze") == 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    int longer = squeeze ? from.rank : to.rank;
    loop_expr own[TENSOR_MAX_RANK];
    if (given && !mark_axes(g, n, longer, marked)) return 0;
    for (int i = 0; !given && i < longer; i++)
        marked[i] = dim_equals_const(g->dims, from.dims[i], 1);
    for (int i = 0, other = 0; i < longer; i++) {
        if (squeeze)
            own[i] = marked[i] ? loop_int(lower_kernel(l), 0) : index[other++];
        else if (!marked[i])
            own[other++] = index[i];
    }
    return lower_read(l, x, own);
}

/* ---- repetition ---- */

static bool infer_expand(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count;
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    dim dims[TENSOR_MAX_RANK];
    int rank;
    if (!shape)
        return op_error(g, n, "fix symbolic dimensions with --dim",
                        "the shape is not known at compile time");
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    type wanted = type_tensor(x.dtype, (int)count, shape);
    const type *types[] = {&x, &wanted};
    if (!op_broadcast(g, n, 2, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static loop_expr element_expand(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    int rank = lower_type(l, graph_output(lower_graph(l), n, output))->rank;
    return lower_read_broadcast(l, input(l, n, 0), rank, index);
}

static bool infer_tile(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count;
    const dim *times = graph_elements(g, graph_input(g, n, 1), &count);
    dim dims[TENSOR_MAX_RANK];
    if (!times || count != (size_t)x.rank)
        return op_error(g, n, NULL, "the repeats are not one known number an axis");
    for (int i = 0; i < x.rank; i++) dims[i] = dim_mul(g->dims, x.dims[i], times[i]);
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

static loop_expr element_tile(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    value_id x = input(l, n, 0);
    loop_expr own[TENSOR_MAX_RANK];
    for (int i = 0; i < lower_type(l, x)->rank; i++)
        own[i] = loop_mod(lower_kernel(l), index[i], lower_dim(l, x, i));
    return lower_read(l, x, own);
}

/* ---- joining and splitting ---- */

static bool infer_concat(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim dims[TENSOR_MAX_RANK];
    int axis;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    for (uint32_t i = 1; i < graph_node(g, n)->input_count; i++) {
        const type *t = graph_type(g, graph_input(g, n, i));
        if (t->rank != x.rank || t->dtype != x.dtype)
            return op_error(g, n, NULL, "input %u has another rank or type", i);
        for (int j = 0; j < x.rank; j++) {
            if (j == axis)
                dims[j] = dim_add(g->dims, dims[j], t->dims[j]);
            else if (!kit_agree(g, n, dims[j], t->dims[j], "the inputs"))
                return false;
            else if (dim_is_const(g->dims, t->dims[j], NULL))
                dims[j] = t->dims[j];
        }
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* One input behind the other: each is copied by loops of its own, so that none needs a choice per
 * element. */
static void nest_concat(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0);
    int64_t axis = node_attr_int(graph_node(g, n), "axis", 0);
    if (axis < 0) axis += lower_type(l, y)->rank;
    loop_expr start = loop_int(k, 0);
    for (uint32_t i = 0; i < graph_node(g, n)->input_count; i++) {
        value_id x = graph_input(g, n, i);
        loop_expr index[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
        lower_loops(l, x, index);
        memcpy(to, index, sizeof to);
        to[axis] = loop_add(k, start, index[axis]);
        lower_write(l, y, to, lower_read(l, x, index));
        lower_end_loops(l);
        start = loop_add(k, start, lower_dim(l, x, (int)axis));
    }
}

/* Sizes of the parts: given, or as even as they can be. */
static bool split_sizes(graph *g, node_id n, int axis, dim *sizes) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    uint32_t parts = graph_node(g, n)->output_count;
    size_t count;
    if (graph_input(g, n, 1)) {
        const dim *given = graph_elements(g, graph_input(g, n, 1), &count);
        if (!given || count != parts)
            return op_error(g, n, NULL, "the sizes are not one known number a part");
        for (uint32_t i = 0; i < parts; i++) sizes[i] = given[i];
        return true;
    }
    dim whole = x.dims[axis], each = dim_ceildiv(t, whole, dim_const(t, parts));
    for (uint32_t i = 0; i < parts; i++) {
        sizes[i] = dim_min(t, each, dim_sub(t, whole, dim_mul(t, each, dim_const(t, i))));
        if (i + 1 < parts && !dim_is_const(t, whole, NULL)) sizes[i] = each;
    }
    return true;
}

static bool infer_split(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim sizes[256], dims[TENSOR_MAX_RANK];
    int axis;
    if (graph_node(g, n)->output_count > 256)
        return op_error(g, n, NULL, "more than 256 parts are not supported");
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis) ||
        !split_sizes(g, n, axis, sizes))
        return false;
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++) {
        if (dim_high(g->dims, sizes[i]) < 0)
            return op_error(g, n, NULL, "part %u has a negative size", i);
        memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
        dims[axis] = sizes[i];
        op_set_type(g, n, i, type_tensor(x.dtype, x.rank, dims));
    }
    return true;
}

static loop_expr element_split(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dim sizes[256];
    int rank = lower_type(l, input(l, n, 0))->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis) ||
        !split_sizes(g, n, axis, sizes))
        return 0;
    memcpy(own, index, (size_t)rank * sizeof *own);
    for (uint32_t i = 0; i < output; i++) own[axis] = loop_add(k, own[axis], loop_dim(k, sizes[i]));
    return lower_read(l, input(l, n, 0), own);
}

/* ---- slices ---- */

typedef struct {
    dim start[TENSOR_MAX_RANK], size[TENSOR_MAX_RANK];
    int64_t step[TENSOR_MAX_RANK];
} slice;

/* A bound in [0, size] (or, with a negative step, [-1, size - 1]) as an expression. */
static dim slice_bound(dim_table *t, dim v, dim size, bool down) {
    int64_t n;
    if (dim_is_const(t, v, &n) && n >= DIM_MAX)
        return down ? dim_sub(t, size, dim_const(t, 1)) : size;
    if (dim_high(t, v) < 0) v = dim_add(t, v, size);
    dim low = dim_const(t, down ? -1 : 0), high = down ? dim_sub(t, size, dim_const(t, 1)) : size;
    return dim_max(t, low, dim_min(t, v, high));
}

static bool read_slice(graph *g, node_id n, slice *s) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    size_t count, end_count, axis_count, step_count;
    const int64_t *axes = NULL, *steps = NULL, *starts_given = NULL, *ends_given = NULL;
    for (int i = 0; i < x.rank; i++) {
        s->start[i] = dim_const(t, 0);
        s->size[i] = x.dims[i];
        s->step[i] = 1;
    }
    const dim *starts = graph_elements(g, graph_input(g, n, 1), &count);
    const dim *ends = graph_elements(g, graph_input(g, n, 2), &end_count);
    if (!starts && !op_const_ints(g, n, 1, NULL, &starts_given, &count))
        return op_error(g, n, "fix symbolic dimensions with --dim",
                        "the starts are not known at compile time");
    if (!ends && !op_const_ints(g, n, 2, NULL, &ends_given, &end_count))
        return op_error(g, n, "fix symbolic dimensions with --dim",
                        "the ends are not known at compile time");
    if (graph_input(g, n, 3) &&
        (!op_const_ints(g, n, 3, NULL, &axes, &axis_count) || axis_count != count))
        return op_error(g, n, NULL, "the axes are not one known number a start");
    if (graph_input(g, n, 4) &&
        (!op_const_ints(g, n, 4, NULL, &steps, &step_count) || step_count != count))
        return op_error(g, n, NULL, "the steps are not one known number a start");
    if (end_count != count || count > (size_t)x.rank)
        return op_error(g, n, NULL, "starts, ends and axes do not fit together");
    for (size_t i = 0; i < count; i++) {
        int axis;
        int64_t step = steps ? steps[i] : 1;
        if (!op_axis(g, n, axes ? axes[i] : (int64_t)i, x.rank, &axis)) return false;
        if (step == 0) return op_error(g, n, NULL, "a step is zero");
        if (step > DIM_MAX || step < -DIM_MAX) step = step > 0 ? DIM_MAX : -DIM_MAX;
        bool down = step < 0;
        dim size = x.dims[axis];
        dim start = slice_bound(t, starts ? starts[i] : dim_const(t, starts_given[i]), size, down);
        dim end = slice_bound(t, ends ? ends[i] : dim_const(t, ends_given[i]), size, down);
        if (down && ends_given && ends_given[i] < -DIM_MAX) end = dim_const(t, -1);
        dim span = down ? dim_sub(t, start, end) : dim_sub(t, end, start);
        s->start[axis] = start;
        s->step[axis] = step;
        s->size[axis] =
            dim_max(t, dim_const(t, 0), dim_ceildiv(t, span, dim_const(t, down ? -step : step)));
    }
    return true;
}

static bool infer_slice(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    slice s;
    if (!read_slice(g, n, &s)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, s.size));
    return true;
}

static loop_expr element_slice(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_kernel *k = lower_kernel(l);
    slice s;
    loop_expr own[TENSOR_MAX_RANK];
    if (!read_slice(lower_graph(l), n, &s)) return 0;
    for (int i = 0; i < lower_type(l, input(l, n, 0))->rank; i++)
        own[i] =
            loop_add(k, loop_dim(k, s.start[i]), loop_mul(k, index[i], loop_int(k, s.step[i])));
    return lower_read(l, input(l, n, 0), own);
}

/* ---- padding ---- */

static bool read_pads(graph *g, node_id n, dim *before, dim *after) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count, axis_count = (size_t)x.rank;
    const dim *pads = graph_elements(g, graph_input(g, n, 1), &count);
    const int64_t *axes = NULL;
    if (!pads) return op_error(g, n, NULL, "the pads are not known at compile time");
    if (graph_input(g, n, 3) && !op_const_ints(g, n, 3, NULL, &axes, &axis_count))
        return op_error(g, n, NULL, "the axes are not known at compile time");
    if (count != 2 * axis_count)
        return op_error(g, n, NULL, "there are %zu pads for %zu axes", count, axis_count);
    for (int i = 0; i < x.rank; i++) before[i] = after[i] = dim_const(g->dims, 0);
    for (size_t i = 0; i < axis_count; i++) {
        int axis;
        if (!op_axis(g, n, axes ? axes[i] : (int64_t)i, x.rank, &axis)) return false;
        before[axis] = pads[i];
        after[axis] = pads[axis_count + i];
    }
    return true;
}

static bool infer_pad(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim before[TENSOR_MAX_RANK], after[TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
    if (!read_pads(g, n, before, after)) return false;
    for (int i = 0; i < x.rank; i++) {
        dims[i] = dim_add(g->dims, x.dims[i], dim_add(g->dims, before[i], after[i]));
        if (dim_high(g->dims, dims[i]) < 0)
            return op_error(g, n, NULL, "axis %d would have a negative size", i);
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* Where an index beside [0, size) finds its element: mirrored, at the edge, or around the other
 * end. */
static loop_expr fold_index(lower *l, const char *mode, loop_expr at, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), one = loop_int(k, 1), last = loop_sub(k, size, one);
    if (strcmp(mode, "edge") == 0) return loop_max(k, zero, loop_min(k, at, last));
    if (strcmp(mode, "wrap") == 0) return loop_mod(k, at, size);
    loop_expr period = loop_max(k, one, loop_mul(k, last, loop_int(k, 2)));
    loop_expr around = loop_mod(k, at, period);
    return loop_min(k, around, loop_sub(k, period, around));
}

static loop_expr element_pad(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0), fill = input(l, n, 2);
    const char *mode = node_attr_string(graph_node(g, n), "mode", "constant");
    dtype t = lower_type(l, graph_output(g, n, output))->dtype;
    dim before[TENSOR_MAX_RANK], after[TENSOR_MAX_RANK];
    loop_expr own[TENSOR_MAX_RANK];
    bool constant = strcmp(mode, "constant") == 0;
    if (!read_pads(g, n, before, after)) return 0;
    for (int i = 0; i < lower_type(l, x)->rank; i++) {
        own[i] = loop_sub(k, index[i], loop_dim(k, before[i]));
        bool padded =
            !dim_equals_const(g->dims, before[i], 0) || !dim_equals_const(g->dims, after[i], 0);
        if (!constant && padded) own[i] = fold_index(l, mode, own[i], lower_dim(l, x, i));
    }
    if (!constant) return lower_read(l, x, own);
    loop_expr zero = loop_int(k, 0);
    loop_expr otherwise = fill ? lower_read(l, fill, &zero) : loop_const(k, t, 0);
    return lower_read_or(l, x, own, otherwise);
}

/* ---- gathering ---- */

static bool infer_gather(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0)), i = *graph_type(g, graph_input(g, n, 1));
    dim dims[2 * TENSOR_MAX_RANK];
    int axis, rank = 0;
    if (!dtype_is_integer(i.dtype)) return op_error(g, n, NULL, "its indices are no integers");
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    for (int j = 0; j < axis; j++) dims[rank++] = x.dims[j];
    for (int j = 0; j < i.rank; j++) dims[rank++] = i.dims[j];
    for (int j = axis + 1; j < x.rank; j++) dims[rank++] = x.dims[j];
    if (rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* An index of the data, counted from the end where negative; one outside is an error of the run and
 * reads a clamped place. */
static loop_expr checked_index(lower *l, loop_expr at, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0);
    at = loop_cast(k, DTYPE_I64, at);
    loop_expr positive = loop_select(k, loop_lt(k, at, zero), loop_add(k, at, size), at);
    loop_expr last = loop_sub(k, size, loop_int(k, 1));
    loop_expr inside = loop_and(k, loop_make(k, LOOP_LE, zero, positive, 0),
                                loop_make(k, LOOP_LE, positive, last, 0));
    lower_check(l, inside, 5); /* ONNXCC_ERROR_INDEX_OUT_OF_RANGE */
    return loop_max(k, zero, loop_min(k, positive, last));
}

static loop_expr element_gather(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), i = input(l, n, 1);
    int rank = lower_type(l, x)->rank, more = lower_type(l, i)->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis)) return 0;
    for (int j = 0; j < rank; j++)
        own[j] = j < axis ? index[j] : j > axis ? index[j + more - 1] : 0;
    own[axis] = checked_index(l, lower_read(l, i, index + axis), lower_dim(l, x, axis));
    return lower_read(l, x, own);
}

static bool infer_gather_elements(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    type i = *graph_type(g, graph_input(g, n, 1));
    int axis;
    if (i.rank != x.rank || !dtype_is_integer(i.dtype))
        return op_error(g, n, NULL, "its indices are no integers of the data's rank");
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, i.rank, i.dims));
    return true;
}

static loop_expr element_gather_elements(lower *l, node_id n, uint32_t output,
                                         const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0);
    int rank = lower_type(l, x)->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis)) return 0;
    memcpy(own, index, (size_t)rank * sizeof *own);
    own[axis] = checked_index(l, lower_read(l, input(l, n, 1), index), lower_dim(l, x, axis));
    return lower_read(l, x, own);
}

/* ---- made from shapes ---- */

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
    if (!shape || count > TENSOR_MAX_RANK)
        return op_error(g, n, "fix symbolic dimensions with --dim",
                        "the shape is not known at compile time");
    dtype t = a && a->kind == ATTR_TENSOR ? graph_type(g, a->tensors[0])->dtype : DTYPE_F32;
    op_set_type(g, n, 0, type_tensor(t, (int)count, shape));
    return true;
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

#define MOVE(op, infer_hook, element_hook)                                                         \
    { .domain = "", .name = op, .flags = OP_MOVEMENT, .infer = infer_hook, .element = element_hook }

const op_def ops_movement[] = {
    {.domain = "",
     .name = "Concat",
     .flags = OP_ANCHOR,
     .infer = infer_concat,
     .nest = nest_concat},
    MOVE("ConstantOfShape", infer_constant_of_shape, element_constant_of_shape),
    MOVE("Expand", infer_expand, element_expand),
    MOVE("Flatten", infer_flatten, element_reshape),
    MOVE("Gather", infer_gather, element_gather),
    MOVE("GatherElements", infer_gather_elements, element_gather_elements),
    MOVE("Pad", infer_pad, element_pad),
    MOVE("Reshape", infer_reshape, element_reshape),
    MOVE("Shape", infer_shape, element_shape),
    MOVE("Size", infer_size, element_size),
    MOVE("Slice", infer_slice, element_slice),
    MOVE("Split", infer_split, element_split),
    MOVE("Squeeze", infer_squeeze, element_ones),
    MOVE("Tile", infer_tile, element_tile),
    MOVE("Transpose", infer_transpose, element_transpose),
    MOVE("Unsqueeze", infer_unsqueeze, element_ones),
};
const size_t ops_movement_count = sizeof ops_movement / sizeof *ops_movement;
