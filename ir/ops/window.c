/* window.c: sliding windows; see window.h. Attributes come from the model file and are checked
 * here; the sums stay far from overflow because every term is below 2^40. */
#include "ir/ops/window.h"

#include <string.h>

static dim add3(dim_table *t, dim a, dim b, dim c) {
    return dim_add(t, dim_add(t, a, b), c);
}

/* Extent of a dilated kernel: (kernel - 1) * dilation + 1. */
static dim reach(graph *g, const window *w, int i) {
    dim_table *t = g->dims;
    dim taps = dim_sub(t, w->kernel[i], kit_dim(g, 1));
    return dim_add(t, dim_mul(t, taps, kit_dim(g, w->dilation[i])), kit_dim(g, 1));
}

static bool read_strides(graph *g, node_id n, value_id x, window *w) {
    for (int i = 0; i < w->axes; i++) w->in[i] = graph_type(g, x)->dims[i + 2];
    return kit_positive_ints(g, n, "strides", w->axes, w->stride) &&
           kit_positive_ints(g, n, "dilations", w->axes, w->dilation);
}

static bool read_pads(graph *g, node_id n, window *w) {
    size_t count;
    const int64_t *pads = node_attr_ints(graph_node(g, n), "pads", &count);
    for (int i = 0; i < w->axes; i++) w->before[i] = w->after[i] = kit_dim(g, 0);
    if (!pads || !count) return true;
    if (count != (size_t)w->axes * 2)
        return op_error(g, n, NULL, "attribute pads has %zu elements, must have %d", count,
                        w->axes * 2);
    for (size_t i = 0; i < count; i++)
        if (pads[i] < 0 || pads[i] > INT32_MAX)
            return op_error(g, n, NULL, "attribute pads holds %lld, must be in [0, 2^31)",
                            (long long)pads[i]);
    for (int i = 0; i < w->axes; i++) {
        w->before[i] = kit_dim(g, pads[i]);
        w->after[i] = kit_dim(g, pads[w->axes + i]);
    }
    return true;
}

typedef enum { PAD_EXPLICIT, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID, PAD_BAD } pad_mode;

static pad_mode read_mode(graph *g, node_id n) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *mode = node_attr_string(graph_node(g, n), "auto_pad", "NOTSET");
    if (!*mode) return PAD_EXPLICIT;
    for (int i = 0; i < PAD_BAD; i++)
        if (strcmp(mode, names[i]) == 0) return (pad_mode)i;
    op_error(g, n, NULL, "attribute auto_pad is \"%s\", which is no mode", mode);
    return PAD_BAD;
}

/* Splits `total` padding; the odd one goes to the end, with `lower` to the beginning. */
static void split_padding(graph *g, window *w, int i, dim total, bool lower) {
    dim_table *t = g->dims;
    total = dim_max(t, total, kit_dim(g, 0));
    dim half = dim_floordiv(t, total, kit_dim(g, 2)), rest = dim_sub(t, total, half);
    w->before[i] = lower ? rest : half;
    w->after[i] = lower ? half : rest;
}

static bool positive(graph *g, node_id n, dim size) {
    if (dim_high(g->dims, size) >= 0) return true;
    return op_error(g, n, NULL, "the kernel is larger than the padded input");
}

bool window_read(graph *g, node_id n, value_id x, bool ceil_mode, window *w) {
    dim_table *t = g->dims;
    pad_mode mode = read_mode(g, n);
    if (mode == PAD_BAD || !read_strides(g, n, x, w) || !read_pads(g, n, w)) return false;
    for (int i = 0; i < w->axes; i++) {
        dim stride = kit_dim(g, w->stride[i]), one = kit_dim(g, 1), in = w->in[i];
        if (mode == PAD_SAME_UPPER || mode == PAD_SAME_LOWER) {
            w->out[i] = dim_ceildiv(t, in, stride);
            dim covered =
                dim_add(t, dim_mul(t, dim_sub(t, w->out[i], one), stride), reach(g, w, i));
            split_padding(g, w, i, dim_sub(t, covered, in), mode == PAD_SAME_LOWER);
            continue;
        }
        if (mode == PAD_VALID) w->before[i] = w->after[i] = kit_dim(g, 0);
        dim room = dim_sub(t, add3(t, in, w->before[i], w->after[i]), reach(g, w, i));
        if (ceil_mode) {
            dim last = dim_floordiv(t, dim_sub(t, dim_add(t, in, w->before[i]), one), stride);
            room = dim_min(t, dim_ceildiv(t, room, stride), last);
        } else {
            room = dim_floordiv(t, room, stride);
        }
        w->out[i] = dim_add(t, room, one);
        if (!positive(g, n, w->out[i])) return false;
    }
    return true;
}

static bool read_output_list(graph *g, node_id n, const char *name, int axes, int64_t low,
                             int64_t *out, bool *given) {
    size_t count;
    const int64_t *a = node_attr_ints(graph_node(g, n), name, &count);
    *given = a && count;
    if (!*given) return true;
    /* output_shape may name the batch and the channels too. */
    if (count == (size_t)axes + 2 && strcmp(name, "output_shape") == 0) {
        a += 2;
        count -= 2;
    }
    if (count != (size_t)axes)
        return op_error(g, n, NULL, "attribute %s has %zu elements, must have %d", name, count,
                        axes);
    for (int i = 0; i < axes; i++) {
        if (a[i] < low || a[i] > INT32_MAX)
            return op_error(g, n, NULL, "attribute %s holds %lld", name, (long long)a[i]);
        out[i] = a[i];
    }
    return true;
}

bool window_read_transposed(graph *g, node_id n, value_id x, window *w) {
    dim_table *t = g->dims;
    pad_mode mode = read_mode(g, n);
    int64_t extra[WINDOW_MAX_AXES] = {0}, shape[WINDOW_MAX_AXES];
    bool has_extra, has_shape;
    if (mode == PAD_BAD || !read_strides(g, n, x, w) || !read_pads(g, n, w) ||
        !read_output_list(g, n, "output_padding", w->axes, 0, extra, &has_extra) ||
        !read_output_list(g, n, "output_shape", w->axes, 1, shape, &has_shape))
        return false;
    for (int i = 0; i < w->axes; i++) {
        dim stride = kit_dim(g, w->stride[i]);
        dim steps = dim_mul(t, dim_sub(t, w->in[i], kit_dim(g, 1)), stride);
        dim full = add3(t, steps, reach(g, w, i), kit_dim(g, extra[i]));
        bool same = mode == PAD_SAME_UPPER || mode == PAD_SAME_LOWER;
        if (has_shape || same) {
            w->out[i] = has_shape ? kit_dim(g, shape[i]) : dim_mul(t, w->in[i], stride);
            split_padding(g, w, i, dim_sub(t, full, w->out[i]), mode != PAD_SAME_UPPER);
            continue;
        }
        if (mode == PAD_VALID) w->before[i] = w->after[i] = kit_dim(g, 0);
        w->out[i] = dim_sub(t, dim_sub(t, full, w->before[i]), w->after[i]);
        if (!positive(g, n, w->out[i])) return false;
    }
    return true;
}

bool window_kernel_attr(graph *g, node_id n, window *w) {
    size_t count;
    if (!node_attr_ints(graph_node(g, n), "kernel_shape", &count) || !count)
        return op_error(g, n, NULL, "attribute kernel_shape is missing");
    int64_t kernel[WINDOW_MAX_AXES];
    if (!kit_positive_ints(g, n, "kernel_shape", w->axes, kernel)) return false;
    for (int i = 0; i < w->axes; i++) w->kernel[i] = kit_dim(g, kernel[i]);
    return true;
}

bool window_kernel_weights(graph *g, node_id n, value_id weights, window *w) {
    const type t = *graph_type(g, weights);
    for (int i = 0; i < w->axes; i++) w->kernel[i] = t.dims[i + 2];
    size_t count;
    if (!node_attr_ints(graph_node(g, n), "kernel_shape", &count) || !count) return true;
    int64_t kernel[WINDOW_MAX_AXES];
    if (!kit_positive_ints(g, n, "kernel_shape", w->axes, kernel)) return false;
    for (int i = 0; i < w->axes; i++)
        if (!kit_agree(g, n, kit_dim(g, kernel[i]), w->kernel[i],
                       "attribute kernel_shape and the weights"))
            return false;
    return true;
}

loop_expr window_tap(lower *l, const window *w, int i, loop_expr at, loop_expr tap) {
    loop_kernel *k = lower_kernel(l);
    loop_expr start =
        loop_sub(k, loop_mul(k, at, loop_int(k, w->stride[i])), loop_dim(k, w->before[i]));
    return loop_add(k, start, loop_mul(k, tap, loop_int(k, w->dilation[i])));
}

loop_expr window_begin_tap(lower *l, const window *w, int i, loop_kind kind, int *opened) {
    loop_kernel *k = lower_kernel(l);
    if (dim_equals_const(lower_graph(l)->dims, w->kernel[i], 1)) return loop_int(k, 0);
    ++*opened;
    return lower_begin(l, kind, "k", loop_dim(k, w->kernel[i]));
}

int window_begin_taps(lower *l, const window *w, loop_kind kind, loop_expr *taps) {
    int opened = 0;
    for (int i = 0; i < w->axes; i++) taps[i] = window_begin_tap(l, w, i, kind, &opened);
    return opened;
}

/* Taps before position 0: ceil(-start / dilation). */
static loop_expr first_inside(lower *l, const window *w, int i, loop_expr at) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), start = window_tap(l, w, i, at, zero);
    loop_expr before = loop_floordiv(k, start, loop_int(k, w->dilation[i]));
    return loop_max(k, zero, loop_sub(k, zero, before));
}

loop_expr window_begin_inside(lower *l, const window *w, int i, loop_expr at) {
    loop_kernel *k = lower_kernel(l);
    loop_expr count = loop_max(k, loop_int(k, 0), window_count(l, w, i, at, false));
    return loop_add(k, first_inside(l, w, i, at), lower_begin(l, LOOP_REDUCE, "k", count));
}

int64_t window_inside(const graph *g, const window *w, int i) {
    enum { MOST_TAPS = 1 << 16 };
    int64_t kernel, in, out, before, inside = 0;
    if (!dim_is_const(g->dims, w->kernel[i], &kernel) || !dim_is_const(g->dims, w->in[i], &in) ||
        !dim_is_const(g->dims, w->out[i], &out) || !dim_is_const(g->dims, w->before[i], &before) ||
        kernel > MOST_TAPS)
        return -1;
    for (int64_t tap = 0; tap < kernel; tap++) { /* of results first to last it is inside */
        int64_t from = tap * w->dilation[i] - before, stride = w->stride[i];
        int64_t first = from < 0 ? (stride - 1 - from) / stride : 0;
        int64_t last = from < in ? (in - 1 - from) / stride : -1;
        if (last > out - 1) last = out - 1;
        if (last >= first) inside += last - first + 1;
    }
    return inside;
}

loop_expr window_count(lower *l, const window *w, int i, loop_expr at, bool with_padding) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), dilation = loop_int(k, w->dilation[i]);
    loop_expr start = window_tap(l, w, i, at, zero), end = loop_dim(k, w->in[i]);
    loop_expr first = with_padding ? zero : first_inside(l, w, i, at);
    if (with_padding) /* windows begin inside of the padding */
        end = loop_add(k, end, loop_dim(k, w->after[i]));
    /* Taps below the end: ceil((end - start) / dilation). */
    loop_expr below = loop_sub(k, zero, loop_floordiv(k, loop_sub(k, start, end), dilation));
    loop_expr last = loop_min(k, loop_dim(k, w->kernel[i]), below);
    return loop_sub(k, last, first);
}
