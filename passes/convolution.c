/* convolution.c: convolutions in the form that is computed fastest. Taps that meet nothing but
 * padding go, which a wide dilation makes of most; groups narrower than a block of channels become
 * groups as wide as one, whose weights between the groups are zeros: a vector holds whole groups
 * then. Constant weights only: what is done to them must cost nothing. */
#include "ir/ops/kit.h"
#include "ir/ops/window.h"
#include "passes/rewrite.h"

#include <string.h>

/* A new convolution in the place of node n, with these weights. */
static bool replace(graph *g, node_id n, value_id weights, const attr *attrs, uint32_t count) {
    const node nd = *graph_node(g, n);
    value_id inputs[] = {nd.inputs[0], weights, nd.input_count > 2 ? nd.inputs[2] : 0};
    value_id y = kit_build(g, n, "Conv", inputs[2] ? 3 : 2, inputs, count, attrs);
    if (!weights || !y) return false;
    graph_node(g, graph_value(g, y)->producer)->source = nd.source;
    graph_node(g, graph_value(g, y)->producer)->name = nd.name;
    rewrite_take_over(g, n, nd.outputs[0], y);
    return true;
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

static long merge_groups(graph *g, node_id n, int64_t block) {
    enum { NARROWEST = 4 }; /* below it most of the products would be with zeros */
    const type *w = graph_type(g, graph_input(g, n, 1));
    int64_t groups = node_attr_int(graph_node(g, n), "group", 1), outputs, narrow;
    if (groups == 1 || w->dtype != DTYPE_F32 || !dim_is_const(g->dims, w->dims[0], &outputs) ||
        !dim_is_const(g->dims, w->dims[1], &narrow) || narrow < NARROWEST || narrow >= block ||
        block % narrow || outputs % block || outputs / groups != narrow)
        return 0;
    attr attrs[8];
    const node nd = *graph_node(g, n);
    if (nd.attr_count > sizeof attrs / sizeof *attrs) return 0;
    for (uint32_t i = 0; i < nd.attr_count; i++) {
        attrs[i] = nd.attrs[i];
        if (strcmp(attrs[i].name, "group") == 0) attrs[i] = attr_int("group", outputs / block);
    }
    value_id wide = widen(g, n, graph_input(g, n, 1), narrow, block);
    return replace(g, n, wide, attrs, nd.attr_count) ? 1 : -1;
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
