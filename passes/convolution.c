/* convolution.c: convolutions in the form that is computed fastest. Taps that meet nothing but
 * padding go, which a wide dilation makes of most; groups that are no whole blocks of channels
 * become groups that are, whose weights between the groups are zeros: a vector meets one group
 * then. Constant weights only: what is done to them must cost nothing. */
#include "ir/ops/kit.h"
#include "ir/ops/window.h"
#include "passes/rewrite.h"

#include <string.h>

/* A convolution of these inputs (data, weights, bias or 0) beside node n, of whose work it is a
 * part or all. */
static value_id build(graph *g, node_id n, const value_id *inputs, const attr *attrs,
                      uint32_t count) {
    const node nd = *graph_node(g, n);
    value_id y = kit_build(g, n, "Conv", inputs[2] ? 3 : 2, inputs, count, attrs);
    if (!inputs[1] || !y) return 0;
    graph_node(g, graph_value(g, y)->producer)->source = nd.source;
    graph_node(g, graph_value(g, y)->producer)->name = nd.name;
    return y;
}

/* A new convolution in the place of node n, with these weights. */
static bool replace(graph *g, node_id n, value_id weights, const attr *attrs, uint32_t count) {
    value_id inputs[] = {graph_input(g, n, 0), weights, graph_input(g, n, 2)};
    value_id y = build(g, n, inputs, attrs, count);
    if (y) rewrite_take_over(g, n, graph_output(g, n, 0), y);
    return y != 0;
}

/* ---- taps ---- */

/* One axis of a convolution whose sizes are known, and the taps that meet data. */
typedef struct {
    int64_t in, out, taps, stride, dilation, before, after;
    int64_t first, last;
} window_axis;

static bool read_axis(const graph *g, const window *w, int i, window_axis *a) {
    a->stride = w->stride[i];
    a->dilation = w->dilation[i];
    return dim_is_const(g->dims, w->in[i], &a->in) && dim_is_const(g->dims, w->out[i], &a->out) &&
           dim_is_const(g->dims, w->kernel[i], &a->taps) &&
           dim_is_const(g->dims, w->before[i], &a->before) &&
           dim_is_const(g->dims, w->after[i], &a->after) && a->out > 0;
}

/* Whether some result reads data by way of a tap: those at steps of `stride` from `at` on. */
static bool meets_data(const window_axis *a, int64_t tap) {
    int64_t at = tap * a->dilation - a->before, end = at + (a->out - 1) * a->stride;
    if (at < 0) at += (-at + a->stride - 1) / a->stride * a->stride;
    return at < a->in && at <= end;
}

/* Takes off taps at both ends, as far as padding goes with them; whether there are any. */
static bool trim_axis(window_axis *a) {
    a->first = 0;
    a->last = a->taps - 1;
    while (a->first < a->last && !meets_data(a, a->first) && a->before >= a->dilation) {
        a->first++;
        a->before -= a->dilation;
    }
    while (a->last > a->first && !meets_data(a, a->last - a->first) && a->after >= a->dilation) {
        a->last--;
        a->after -= a->dilation;
    }
    return a->last - a->first + 1 < a->taps;
}

static long trim_taps(graph *g, node_id n) {
    value_id weights = graph_input(g, n, 1);
    window w = {.axes = graph_type(g, weights)->rank - 2};
    int64_t pads[2 * WINDOW_MAX_AXES], taps[WINDOW_MAX_AXES], dilations[WINDOW_MAX_AXES];
    bool some = false;
    window_axis axes[WINDOW_MAX_AXES];
    if (!window_kernel_weights(g, n, weights, &w) ||
        !window_read(g, n, graph_input(g, n, 0), false, &w))
        return -1;
    for (int i = 0; i < w.axes; i++) {
        if (!read_axis(g, &w, i, &axes[i])) return 0;
        some |= trim_axis(&axes[i]);
    }
    if (!some) return 0;
    for (int i = 0; i < w.axes; i++) {
        const window_axis *a = &axes[i];
        pads[i] = a->before;
        pads[w.axes + i] = a->after;
        taps[i] = a->last - a->first + 1;
        dilations[i] = taps[i] > 1 ? a->dilation : 1;
        weights = kit_build_slice(g, n, weights, i + 2, a->first, a->last + 1);
    }
    size_t count = (size_t)w.axes;
    attr attrs[] = {attr_int("group", node_attr_int(graph_node(g, n), "group", 1)),
                    attr_ints("kernel_shape", taps, count), attr_ints("pads", pads, 2 * count),
                    attr_ints("strides", w.stride, count),
                    attr_ints("dilations", dilations, count)};
    return replace(g, n, weights, attrs, sizeof attrs / sizeof *attrs) ? 1 : -1;
}

/* ---- groups ---- */

/* Weights of groups of `narrow` channels as those of groups of `wide`. */
static value_id widen(graph *g, node_id n, value_id weights, int64_t narrow, int64_t wide) {
    type w = *graph_type(g, weights);
    int64_t outputs = dim_value(g->dims, w.dims[0]), dims[TENSOR_MAX_RANK],
            repeats[TENSOR_MAX_RANK];
    for (int i = 0; i < w.rank; i++) dims[i] = repeats[i] = 1;
    dims[0] = outputs;
    dims[1] = wide;
    repeats[1] = wide / narrow;
    int64_t *same = ARENA_ARRAY(g->memory, int64_t, (size_t)(outputs * wide));
    for (int64_t i = 0; i < outputs * wide; i++)
        same[i] = i / wide % wide / narrow == i % wide / narrow;
    double zero = 0;
    value_id inputs[] = {
        graph_add_constant_ints(g, "same_group", DTYPE_BOOL, w.rank, dims, same),
        kit_build2(g, n, "Tile", weights, kit_ints(g, repeats, w.rank)),
        graph_add_constant_floats(g, "none", w.dtype, 0, NULL, &zero),
    };
    return inputs[1] ? kit_build(g, n, "Where", 3, inputs, 0, NULL) : 0;
}

static int64_t least_common_multiple(int64_t a, int64_t b) {
    int64_t x = a, y = b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* The attributes of a convolution, with another number of groups. */
static uint32_t with_groups(const node *nd, int64_t groups, attr *out) {
    for (uint32_t i = 0; i < nd->attr_count; i++)
        out[i] = strcmp(nd->attrs[i].name, "group") ? nd->attrs[i] : attr_int("group", groups);
    return nd->attr_count;
}

/* Two convolutions, of the first `whole` channels and of the rest. */
static long split_groups(graph *g, node_id n, int64_t narrow, int64_t whole, int64_t outputs) {
    const node nd = *graph_node(g, n);
    attr along = attr_int("axis", 1), *attrs = ARENA_ARRAY(g->memory, attr, nd.attr_count);
    int64_t ends[] = {0, whole, outputs};
    value_id parts[2];
    for (int i = 0; i < 2; i++) {
        value_id x[] = {kit_build_slice(g, n, nd.inputs[0], 1, ends[i], ends[i + 1]),
                        kit_build_slice(g, n, nd.inputs[1], 0, ends[i], ends[i + 1]), 0};
        value_id bias = graph_input(g, n, 2);
        if (bias) x[2] = kit_build_slice(g, n, bias, 0, ends[i], ends[i + 1]);
        if (!x[0] || (bias && !x[2])) return -1;
        uint32_t count = with_groups(&nd, (ends[i + 1] - ends[i]) / narrow, attrs);
        parts[i] = build(g, n, x, attrs, count);
        if (!parts[i]) return -1;
    }
    value_id y = kit_build(g, n, "Concat", 2, parts, 1, &along);
    if (y) rewrite_take_over(g, n, nd.outputs[0], y);
    return y ? 1 : -1;
}

/* Groups become wider, by zeros, until they are whole blocks, or all that there is; channels that
 * are no whole number of these are computed apart. */
static long merge_groups(graph *g, node_id n, int64_t block) {
    enum { NARROWEST = 4, MOST_TIMES = 4 }; /* else most of the products would be with zeros */
    const type *w = graph_type(g, graph_input(g, n, 1));
    int64_t groups = node_attr_int(graph_node(g, n), "group", 1), outputs, narrow;
    if (groups == 1 || w->dtype != DTYPE_F32 || !dim_is_const(g->dims, w->dims[0], &outputs) ||
        !dim_is_const(g->dims, w->dims[1], &narrow) || narrow < NARROWEST ||
        outputs / groups != narrow)
        return 0;
    int64_t wide = least_common_multiple(narrow, block);
    if (wide > outputs) wide = outputs;
    if (wide == narrow || wide / narrow > MOST_TIMES) return 0;
    if (outputs % wide) return split_groups(g, n, narrow, outputs / wide * wide, outputs);
    const node nd = *graph_node(g, n);
    attr *attrs = ARENA_ARRAY(g->memory, attr, nd.attr_count);
    uint32_t count = with_groups(&nd, outputs / wide, attrs);
    value_id weights = widen(g, n, graph_input(g, n, 1), narrow, wide);
    return replace(g, n, weights, attrs, count) ? 1 : -1;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)uses;
    if (!rewrite_is(g, n, "Conv") || !rewrite_is_constant(g, graph_input(g, n, 1)) ||
        graph_type(g, graph_input(g, n, 1))->rank < 3)
        return 0;
    long changes = trim_taps(g, n);
    return changes ? changes : merge_groups(g, n, options->vector_block);
}

static long run(graph *g, const pass_options *options) {
    if (!options->vector_block || rewrite_has_groups(g)) return 0;
    return rewrite_each(g, options, NULL, visit);
}

const pass_def pass_convolution = {"convolution", "no taps in padding, groups as wide as vectors",
                                   run};
