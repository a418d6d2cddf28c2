/* slice.c: parts of a tensor, and a tensor with a border around it: Split, Slice, Pad,
 * CenterCropPad. Where they begin may be an expression over symbols, or data. */
#include "ir/ops/kit.h"

#include <string.h>

static value_id input(lower *l, node_id n, uint32_t i) {
    return graph_input(lower_graph(l), n, i);
}

/* ---- Split ---- */

/* Sizes of the parts: given, or as even as they can be. */
static bool split_sizes(graph *g, node_id n, int axis, dim *sizes) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    uint32_t parts = graph_node(g, n)->output_count;
    size_t count;
    if (graph_input(g, n, 1)) {
        const dim *given = graph_elements(g, graph_input(g, n, 1), &count);
        if (!given) {
            for (uint32_t i = 0; i < parts; i++) {
                const type *y = graph_type(g, graph_output(g, n, i));
                if (!graph_output(g, n, i) || y->kind != TYPE_TENSOR || y->rank != x.rank)
                    return op_error(g, n, "declare the shapes of the outputs",
                                    "the sizes of the parts are not known at compile time");
                sizes[i] = y->dims[axis];
            }
            return true;
        }
        if (count != parts)
            return op_error(g, n, NULL, "there are %zu sizes for %u parts", count, parts);
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

/* Each part by loops of its own: they need not be of one size. */
static void nest_split(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dim sizes[256];
    int rank = lower_type(l, input(l, n, 0))->rank, axis;
    loop_expr start = loop_int(k, 0), index[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis) ||
        !split_sizes(g, n, axis, sizes))
        return;
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++) {
        value_id y = graph_output(g, n, i);
        if (y) {
            lower_loops(l, y, index);
            memcpy(own, index, sizeof own);
            own[axis] = loop_add(k, index[axis], start);
            lower_write(l, y, index, lower_read(l, input(l, n, 0), own));
            lower_end_loops(l);
        }
        start = loop_add(k, start, loop_dim(k, sizes[i]));
    }
}

/* With sizes that are numbers every part is a Slice, which goes into the kernel of whoever reads
 * it.
 */
static bool expand_split(graph *g, node_id n) {
    dim sizes[256];
    int axis;
    value_id x = graph_input(g, n, 0);
    int64_t from = 0, size;
    uint32_t parts = graph_node(g, n)->output_count;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), graph_type(g, x)->rank, &axis) ||
        !split_sizes(g, n, axis, sizes))
        return false;
    for (uint32_t i = 0; i < parts; i++)
        if (!dim_is_const(g->dims, sizes[i], NULL)) return false;
    for (uint32_t i = 0; i < parts; i++) {
        dim_is_const(g->dims, sizes[i], &size);
        value_id y = graph_output(g, n, i);
        value_id made = y ? kit_build_slice(g, n, x, axis, from, from + size) : 0;
        if (y && !made) return false;
        if (y) kit_replace(g, y, made);
        from += size;
    }
    graph_remove_node(g, n);
    return true;
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

/* Whether only the data say what is taken. */
static bool slice_open(graph *g, node_id n) {
    const int64_t *ints;
    size_t count;
    for (uint32_t i = 1; i <= 4; i++) {
        if (!graph_input(g, n, i) || op_const_ints(g, n, i, NULL, &ints, &count)) continue;
        if (i > 2 || !graph_elements(g, graph_input(g, n, i), &count)) return true;
    }
    return false;
}

static bool told_dims(graph *g, node_id n, const type *x, bool shrinks) {
    dim dims[TENSOR_MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        dims[i] = kit_told_dim(g, n, 0, x->rank, i, shrinks ? x->dims[i] : DIM_NONE);
    op_set_type(g, n, 0, type_tensor(x->dtype, x->rank, dims));
    return true;
}

static bool infer_open_slice(graph *g, node_id n, const type *x) {
    int64_t count = -1;
    for (uint32_t i = 1; i <= 4; i++) {
        int64_t own;
        if (!graph_input(g, n, i)) continue;
        if (!kit_need(g, n, i, 1, 1)) return false;
        if (!dim_is_const(g->dims, graph_type(g, graph_input(g, n, i))->dims[0], &own) ||
            own > x->rank || (count >= 0 && own != count))
            return op_error(g, n, NULL, "starts, ends, axes and steps do not fit together");
        count = own;
    }
    return told_dims(g, n, x, true);
}

static bool expand_slice(graph *g, node_id n) {
    return slice_open(g, n) && kit_expand_sizes(g, n);
}

/* What the data say of one axis of a slice, in bounds. */
typedef struct {
    loop_expr start, end, step, size; /* i64; `size` of the input */
} open_axis;

/* A bound counted from the end where negative, within [low, high]. */
static loop_expr open_bound(lower *l, loop_expr at, loop_expr size, loop_expr low, loop_expr high) {
    loop_kernel *k = lower_kernel(l);
    at = loop_select(k, loop_lt(k, at, loop_int(k, 0)), loop_add(k, at, size), at);
    return loop_max(k, low, loop_min(k, at, high));
}

/* The entry of the lists that names axis i. */
static open_axis read_open_axis(lower *l, node_id n, int i) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0), starts = input(l, n, 1), ends = input(l, n, 2),
             axes = input(l, n, 3), steps = input(l, n, 4);
    int rank = lower_type(l, x)->rank;
    int64_t count = dim_value(g->dims, lower_type(l, starts)->dims[0]);
    loop_expr zero = loop_int(k, 0), one = loop_int(k, 1);
    open_axis s = {.start = zero, .step = one, .size = lower_dim(l, x, i)};
    s.end = s.size;
    for (int64_t j = 0; j < count; j++) {
        loop_expr axis =
            axes ? kit_check_index(l, kit_read_int(l, axes, j), loop_int(k, rank)) : loop_int(k, j);
        loop_expr here = kit_op2(l, LOOP_EQ, axis, loop_int(k, i));
        s.start = loop_select(k, here, kit_read_int(l, starts, j), s.start);
        s.end = loop_select(k, here, kit_read_int(l, ends, j), s.end);
        if (steps) s.step = loop_select(k, here, kit_read_int(l, steps, j), s.step);
    }
    loop_expr down = loop_lt(k, s.step, zero), last = loop_sub(k, s.size, one);
    s.start = open_bound(l, s.start, s.size, zero, loop_select(k, down, last, s.size));
    s.end = open_bound(l, s.end, s.size, loop_select(k, down, loop_int(k, -1), zero), s.size);
    return s;
}

/* A step of zero is an error. */
static loop_expr size_slice(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), one = loop_int(k, 1), most = loop_int(k, DIM_MAX);
    const open_axis s = read_open_axis(l, n, axis);
    loop_expr down = loop_lt(k, s.step, zero);
    loop_expr span = loop_select(k, down, loop_sub(k, s.start, s.end), loop_sub(k, s.end, s.start));
    loop_expr step = loop_max(k, loop_int(k, -DIM_MAX), loop_min(k, s.step, most));
    loop_expr by = loop_max(k, one, loop_select(k, down, loop_sub(k, zero, step), step));
    loop_expr size = loop_floordiv(k, loop_add(k, span, loop_sub(k, by, one)), by);
    return loop_select(k, kit_op2(l, LOOP_EQ, s.step, zero), loop_int(k, -1),
                       loop_max(k, zero, size));
}

/* Where element `at` of axis i lies. One that the data lead outside of the input becomes one
 * inside. */
static loop_expr open_slice_index(lower *l, node_id n, int i, loop_expr at) {
    loop_kernel *k = lower_kernel(l);
    const open_axis s = read_open_axis(l, n, i);
    loop_expr place = loop_add(k, s.start, loop_mul(k, at, s.step));
    return loop_max(k, loop_int(k, 0), loop_min(k, place, loop_sub(k, s.size, loop_int(k, 1))));
}

static bool infer_slice(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    slice s;
    if (slice_open(g, n)) return infer_open_slice(g, n, &x);
    if (!read_slice(g, n, &s)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, s.size));
    return true;
}

static loop_expr element_slice(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_kernel *k = lower_kernel(l);
    slice s;
    loop_expr own[TENSOR_MAX_RANK];
    if (slice_open(lower_graph(l), n)) {
        for (int i = 0; i < lower_type(l, input(l, n, 0))->rank; i++)
            own[i] = open_slice_index(l, n, i, index[i]);
        return lower_read(l, input(l, n, 0), own);
    }
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
    if (!pads) return op_error(g, n, NULL, "the pads are not known");
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

/* Whether only the data say how much is padded, or where. */
static bool pads_open(graph *g, node_id n) {
    const int64_t *axes;
    size_t count;
    return !graph_elements(g, graph_input(g, n, 1), &count) ||
           (graph_input(g, n, 3) && !op_const_ints(g, n, 3, NULL, &axes, &count));
}

/* What is padded before axis i, or behind it, by the data: the entry of the list that names it. */
static loop_expr open_pad(lower *l, node_id n, int i, bool behind) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id pads = input(l, n, 1), axes = input(l, n, 3);
    int rank = lower_type(l, input(l, n, 0))->rank;
    if (!axes) return kit_read_int(l, pads, behind ? rank + i : i);
    loop_expr before = loop_int(k, 0);
    int64_t count = dim_value(g->dims, lower_type(l, axes)->dims[0]);
    for (int64_t j = 0; j < count; j++) {
        loop_expr axis = kit_check_index(l, kit_read_int(l, axes, j), loop_int(k, rank));
        before = loop_select(k, kit_op2(l, LOOP_EQ, axis, loop_int(k, i)),
                             kit_read_int(l, pads, behind ? count + j : j), before);
    }
    return before;
}

static bool infer_open_pad(graph *g, node_id n, const type *x) {
    int64_t count, named = x->rank;
    if (!kit_need(g, n, 1, 1, 1) || !kit_may(g, n, 3, 1, 1)) return false;
    value_id axes = graph_input(g, n, 3);
    if (axes && !dim_is_const(g->dims, graph_type(g, axes)->dims[0], &named)) named = -1;
    const type *pads = graph_type(g, graph_input(g, n, 1));
    if (!dim_is_const(g->dims, pads->dims[0], &count) || count != 2 * named || named > x->rank)
        return op_error(g, n, NULL, "the pads are not two numbers an axis");
    return told_dims(g, n, x, false);
}

/* Pads beyond 2^40 are no sizes. */
static loop_expr bounded_pad(lower *l, node_id n, int axis, bool behind) {
    loop_kernel *k = lower_kernel(l);
    loop_expr pad = open_pad(l, n, axis, behind), most = loop_int(k, DIM_MAX + 1);
    return loop_max(k, loop_int(k, -DIM_MAX), loop_min(k, pad, most));
}

static loop_expr size_pad(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    loop_expr size = lower_dim(l, input(l, n, 0), axis);
    loop_expr both = loop_add(k, bounded_pad(l, n, axis, false), bounded_pad(l, n, axis, true));
    return loop_add(k, size, both);
}

static bool expand_pad(graph *g, node_id n) {
    return pads_open(g, n) && kit_expand_sizes(g, n);
}

static bool infer_pad(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    if (pads_open(g, n)) return infer_open_pad(g, n, &x);
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
    bool open = pads_open(g, n);
    if (!open && !read_pads(g, n, before, after)) return 0;
    for (int i = 0; i < lower_type(l, x)->rank; i++) {
        own[i] = loop_sub(k, index[i], open ? open_pad(l, n, i, false) : loop_dim(k, before[i]));
        bool padded = open || !dim_equals_const(g->dims, before[i], 0) ||
                      !dim_equals_const(g->dims, after[i], 0);
        if (!constant && padded) own[i] = fold_index(l, mode, own[i], lower_dim(l, x, i));
    }
    if (!constant) return lower_read(l, x, own);
    loop_expr zero = loop_int(k, 0);
    loop_expr otherwise = fill ? lower_read(l, fill, &zero) : loop_const(k, t, 0);
    return lower_read_or(l, x, own, otherwise);
}

/* ---- CenterCropPad ---- */

static bool infer_center(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count, named;
    dim dims[TENSOR_MAX_RANK];
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &named);
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    int length;
    if (!shape)
        return kit_list_length(g, n, 1, "sizes", &length) &&
               kit_agree(g, n, kit_dim(g, length), kit_dim(g, axes ? (int64_t)named : x.rank),
                         "sizes and axes") &&
               told_dims(g, n, &x, false);
    if (count != (axes ? named : (size_t)x.rank))
        return op_error(g, n, NULL, "the shape has %zu sizes", count);
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes ? axes[i] : (int64_t)i, x.rank, &axis)) return false;
        if (dim_high(g->dims, shape[i]) < 0) return op_error(g, n, NULL, "a size is negative");
        dims[axis] = shape[i];
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

static loop_expr size_center(lower *l, node_id n, int axis) {
    graph *g = lower_graph(l);
    size_t named;
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &named);
    int rank = lower_type(l, input(l, n, 0))->rank;
    if (!axes) return kit_read_int(l, input(l, n, 1), axis);
    for (size_t i = 0; i < named; i++)
        if (axes[i] == axis || axes[i] + rank == axis)
            return kit_read_int(l, input(l, n, 1), (int64_t)i);
    return lower_dim(l, input(l, n, 0), axis);
}

static bool expand_center(graph *g, node_id n) {
    size_t count;
    return !graph_elements(g, graph_input(g, n, 1), &count) && kit_expand_sizes(g, n);
}

/* What is cut or added is halved, the smaller half before. */
static loop_expr element_center(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    dim_table *t = g->dims;
    const type x = *lower_type(l, input(l, n, 0)), y = *lower_type(l, graph_output(g, n, output));
    dim zero = kit_dim(g, 0), two = kit_dim(g, 2);
    loop_expr own[TENSOR_MAX_RANK];
    for (int i = 0; i < x.rank; i++) {
        dim cut = dim_max(t, dim_sub(t, x.dims[i], y.dims[i]), zero);
        dim added = dim_max(t, dim_sub(t, y.dims[i], x.dims[i]), zero);
        dim shift = dim_sub(t, dim_floordiv(t, cut, two), dim_floordiv(t, added, two));
        own[i] = loop_add(lower_kernel(l), index[i], loop_dim(lower_kernel(l), shift));
    }
    return lower_read_or(l, input(l, n, 0), own, loop_const(lower_kernel(l), x.dtype, 0));
}

/* Where the data tell the result's size. */
#define TOLD(op, more, infer_hook, element_hook, size_hook, expand_hook)                           \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_MOVEMENT | (more), .infer = infer_hook,              \
        .element = element_hook, .size = size_hook, .expand = expand_hook                          \
    }

const op_def ops_slice[] = {
    TOLD("CenterCropPad", OP_OPEN, infer_center, element_center, size_center, expand_center),
    TOLD("Pad", OP_OPEN, infer_pad, element_pad, size_pad, expand_pad),
    TOLD("Slice", OP_OPEN | OP_OPAQUE, infer_slice, element_slice, size_slice, expand_slice),
    {.domain = "",
     .name = "Split",
     .flags = OP_ANCHOR | OP_OPAQUE,
     .infer = infer_split,
     .nest = nest_split,
     .expand = expand_split},
};
const size_t ops_slice_count = sizeof ops_slice / sizeof *ops_slice;
