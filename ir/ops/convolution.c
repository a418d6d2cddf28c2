/* convolution.c: Conv, ConvTranspose and the quantised convolutions, for any number of spatial
 * axes. Every nest is the canonical one: an accumulator, a reduction over input channels and taps.
 * Padding is what lower_read_or gives outside of the input. DeformConv is in sample.c. */
#include "ir/ops/window.h"

#include <assert.h>

/* Channels of a grouped convolution, checked by infer. */
typedef struct {
    int64_t groups;
    dim out_per_group, in_per_group;
} grouping;

static bool read_groups(graph *g, node_id n, int64_t *groups) {
    *groups = node_attr_int(graph_node(g, n), "group", 1);
    if (*groups >= 1 && *groups <= INT32_MAX) return true;
    return op_error(g, n, NULL, "attribute group is %lld, must be positive", (long long)*groups);
}

/* A number of channels divided by the groups; false and a diagnostic if they do not divide it. */
static bool split_channels(graph *g, node_id n, dim channels, int64_t groups, dim *each) {
    int64_t count;
    if (dim_is_const(g->dims, channels, &count) && count % groups)
        return op_error(g, n, NULL, "%lld channels cannot be split into %lld groups",
                        (long long)count, (long long)groups);
    *each = dim_floordiv(g->dims, channels, kit_dim(g, groups));
    return true;
}

/* ---- shapes ---- */

/* Window and grouping of a convolution of input `x` by weights `w` [outputs, inputs / groups,
 * kernel...]. */
static bool read_conv(graph *g, node_id n, uint32_t x, uint32_t w, window *win, grouping *gr) {
    if (!kit_need(g, n, x, 3, TENSOR_MAX_RANK) || !kit_need(g, n, w, 3, TENSOR_MAX_RANK))
        return false;
    const type tx = *kit_input(g, n, x), tw = *kit_input(g, n, w);
    if (tx.rank != tw.rank)
        return op_error(g, n, NULL, "the input has %d axes, the weights have %d", tx.rank, tw.rank);
    dim inputs;
    if (!read_groups(g, n, &gr->groups) || !split_channels(g, n, tx.dims[1], gr->groups, &inputs) ||
        !split_channels(g, n, tw.dims[0], gr->groups, &gr->out_per_group) ||
        !kit_agree(g, n, inputs, tw.dims[1], "input channels of a group and the weights"))
        return false;
    gr->in_per_group = tw.dims[1];
    win->axes = tx.rank - 2;
    return window_kernel_weights(g, n, graph_input(g, n, w), win) &&
           window_read(g, n, graph_input(g, n, x), false, win);
}

static bool infer_window(graph *g, node_id n, uint32_t x, uint32_t w, dtype t) {
    window win;
    grouping gr;
    if (!read_conv(g, n, x, w, &win, &gr)) return false;
    dim dims[TENSOR_MAX_RANK] = {kit_input(g, n, x)->dims[0], kit_input(g, n, w)->dims[0]};
    for (int i = 0; i < win.axes; i++) dims[i + 2] = win.out[i];
    op_set_type(g, n, 0, type_tensor(t, win.axes + 2, dims));
    return true;
}

static bool infer_conv(graph *g, node_id n) {
    return infer_window(g, n, 0, 1, kit_input(g, n, 0) ? kit_input(g, n, 0)->dtype : DTYPE_NONE) &&
           kit_vector(g, n, 2, kit_input(g, n, 1)->dims[0], "the bias");
}

/* ---- the reduction ---- */

/* What one convolution reads; zero points are 0 where there are none. */
typedef struct {
    value_id x, w, x_zero, w_zero;
    dtype sum;
    window win;
    grouping group;
    bool skips[TENSOR_MAX_RANK]; /* axes of x along which taps that meet padding are left out */
} convolution;

/* Index of an input channel: `inner` counts within the group of output channel `channel`. */
static loop_expr input_channel(lower *l, const grouping *gr, loop_expr channel, loop_expr inner) {
    loop_kernel *k = lower_kernel(l);
    if (gr->groups == 1) return inner;
    loop_expr group = loop_floordiv(k, channel, loop_dim(k, gr->out_per_group));
    return loop_add(k, loop_mul(k, group, loop_dim(k, gr->in_per_group)), inner);
}

/* The reduction over the channels of a group: blocks of x where it lies in blocks. Gives the number
 * within the group; close with lower_end, `opened` times. */
static loop_expr begin_channels(lower *l, const convolution *c, int *opened) {
    loop_kernel *k = lower_kernel(l);
    const tensor_layout *layout = lower_type(l, c->x)->layout;
    int64_t count;
    bool blocks = layout && layout->block_axis == 1 &&
                  dim_is_const(lower_graph(l)->dims, c->group.in_per_group, &count) &&
                  count % layout->block == 0;
    if (!blocks) {
        *opened = 1;
        return lower_begin(l, LOOP_REDUCE, "r", loop_dim(k, c->group.in_per_group));
    }
    *opened = 2;
    loop_expr block = lower_begin(l, LOOP_REDUCE, "rb", loop_int(k, count / layout->block));
    loop_expr lane = lower_begin(l, LOOP_REDUCE, "rl", loop_int(k, layout->block));
    return loop_add(k, loop_mul(k, block, loop_int(k, layout->block)), lane);
}

/* Opens the loops over the taps, those inside of the input alone where others are skipped. */
static int begin_taps(lower *l, const convolution *c, const loop_expr *index, loop_expr *taps) {
    int opened = 0;
    for (int i = 0; i < c->win.axes; i++) {
        taps[i] = c->skips[i + 2] ? window_begin_inside(l, &c->win, i, index[i + 2])
                                  : window_begin_tap(l, &c->win, i, LOOP_REDUCE, &opened);
        opened += c->skips[i + 2];
    }
    return opened;
}

/* Whether a tenth of the taps of axis i or more, over all results, meets padding. */
static bool meets_padding(const graph *g, const window *w, int i) {
    int64_t kernel, out, inside = window_inside(g, w, i);
    return inside >= 0 && dim_is_const(g->dims, w->kernel[i], &kernel) &&
           dim_is_const(g->dims, w->out[i], &out) &&
           (double)inside * 10 <= (double)kernel * (double)out * 9;
}

static void accumulate_conv(lower *l, const convolution *c, const loop_expr *index, loop_buf acc) {
    loop_kernel *k = lower_kernel(l);
    loop_expr taps[WINDOW_MAX_AXES], x_at[LOOP_MAX_RANK], w_at[LOOP_MAX_RANK];
    int channels = 0;
    loop_expr inner =
        c->group.groups == 1 ? lower_reduce_axis(l, c->x, 1) : begin_channels(l, c, &channels);
    int opened = begin_taps(l, c, index, taps);
    x_at[0] = index[0];
    x_at[1] = input_channel(l, &c->group, index[1], inner);
    w_at[0] = index[1];
    w_at[1] = inner;
    for (int i = 0; i < c->win.axes; i++) {
        x_at[i + 2] = window_tap(l, &c->win, i, index[i + 2], taps[i]);
        w_at[i + 2] = taps[i];
    }
    dtype xt = lower_type(l, c->x)->dtype;
    loop_expr zero_at = loop_int(k, 0);
    loop_expr padding =
        c->x_zero ? kit_read_parameter(l, xt, c->x_zero, zero_at, 0) : loop_const(k, xt, 0);
    loop_expr x = loop_cast(k, c->sum, lower_read_partly(l, c->x, x_at, c->skips, padding));
    loop_expr w = kit_read(l, c->sum, c->w, w_at);
    if (c->x_zero) x = loop_sub(k, x, loop_cast(k, c->sum, padding));
    if (c->w_zero) w = loop_sub(k, w, kit_read_parameter(l, c->sum, c->w_zero, index[1], 0));
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, x, w));
    kit_end(l, opened);
    if (c->group.groups == 1)
        lower_end_reduce(l);
    else
        kit_end(l, channels);
}

/* The whole nest of a convolution with a bias (input 2, which may be left out): each result is the
 * bias and what `accumulate` adds. Results run in steps along the axes: see lower_loops_strided. */
static void sum_with_bias(lower *l, node_id n, const convolution *c, const int64_t *step,
                          void (*accumulate)(lower *l, const convolution *c, const loop_expr *index,
                                             loop_buf acc)) {
    value_id y = graph_output(lower_graph(l), n, 0), bias = graph_input(lower_graph(l), n, 2);
    loop_expr index[LOOP_MAX_RANK];
    lower_loops_strided(l, y, step, index);
    loop_buf acc = kit_scalar(l, "acc", c->sum);
    lower_assign(l, acc, NULL, kit_read_parameter(l, c->sum, bias, index[1], 0));
    accumulate(l, c, index, acc);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* Leaves out taps that meet padding where those are many and each position has much to add up: thin
 * volumes, windows with holes. Along the last axis they stay: its positions run side by side. The
 * results of a group are too few for that: they take rows together. */
static void skip_padding(lower *l, node_id n, convolution *c) {
    enum { FEWEST_CHANNELS = 16 };
    graph *g = lower_graph(l);
    int64_t channels;
    if (!lower_type(l, c->x)->layout || c->group.groups > 1 ||
        !dim_is_const(g->dims, c->group.in_per_group, &channels) || channels < FEWEST_CHANNELS)
        return;
    bool some = false;
    for (int i = 0; i + 1 < c->win.axes; i++)
        some |= c->skips[i + 2] = meets_padding(g, &c->win, i);
    if (!some) return;
    dim work = dim_mul(g->dims, kit_dim(g, 2 * channels),
                       type_elements(g->dims, lower_type(l, graph_output(g, n, 0))));
    for (int i = 0; i < c->win.axes; i++) work = dim_mul(g->dims, work, c->win.kernel[i]);
    lower_kernel(l)->work = work;
}

static void nest_conv(lower *l, node_id n) {
    graph *g = lower_graph(l);
    convolution c = {.x = graph_input(g, n, 0), .w = graph_input(g, n, 1)};
    bool ok = read_conv(g, n, 0, 1, &c.win, &c.group);
    assert(ok), (void)ok;
    c.sum = kit_sum_type(lower_type(l, c.x)->dtype);
    skip_padding(l, n, &c);
    sum_with_bias(l, n, &c, NULL, accumulate_conv);
}

/* ---- integers ---- */

static bool infer_conv_integer(graph *g, node_id n) {
    if (!kit_may(g, n, 2, 0, 1) || !kit_may(g, n, 3, 0, 1)) return false;
    return infer_window(g, n, 0, 1, DTYPE_I32);
}

/* Inputs of QLinearConv. */
enum { QC_X, QC_X_SCALE, QC_X_ZERO, QC_W, QC_W_SCALE, QC_W_ZERO, QC_Y_SCALE, QC_Y_ZERO, QC_BIAS };

static bool infer_qlinear_conv(graph *g, node_id n) {
    static const uint32_t parameters[] = {QC_X_SCALE, QC_X_ZERO,  QC_W_SCALE,
                                          QC_W_ZERO,  QC_Y_SCALE, QC_Y_ZERO};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (!kit_need(g, n, parameters[i], 0, 1)) return false;
    return infer_window(g, n, QC_X, QC_W, kit_input(g, n, QC_Y_ZERO)->dtype) &&
           kit_vector(g, n, QC_BIAS, kit_input(g, n, QC_W)->dims[0], "the bias");
}

static void nest_qlinear_conv(lower *l, node_id n) {
    const node nd = *graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    value_id y = nd.outputs[0];
    convolution c = {.x = nd.inputs[QC_X],
                     .w = nd.inputs[QC_W],
                     .x_zero = nd.inputs[QC_X_ZERO],
                     .w_zero = nd.inputs[QC_W_ZERO],
                     .sum = DTYPE_I32};
    bool ok = read_conv(lower_graph(l), n, QC_X, QC_W, &c.win, &c.group);
    assert(ok), (void)ok;
    loop_expr index[LOOP_MAX_RANK], zero = loop_int(k, 0);
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", c.sum);
    value_id bias = graph_input(lower_graph(l), n, QC_BIAS);
    lower_assign(l, acc, NULL, kit_read_parameter(l, c.sum, bias, index[1], 0));
    accumulate_conv(l, &c, index, acc);
    dtype f = DTYPE_F32;
    loop_expr scale = loop_mul(k, kit_read_parameter(l, f, nd.inputs[QC_X_SCALE], zero, 1),
                               kit_read_parameter(l, f, nd.inputs[QC_W_SCALE], index[1], 1));
    scale = kit_op2(l, LOOP_DIV, scale, kit_read_parameter(l, f, nd.inputs[QC_Y_SCALE], zero, 1));
    loop_expr r = loop_mul(k, loop_cast(k, f, lower_value(l, acc, NULL)), scale);
    loop_expr y_zero = kit_read_parameter(l, f, nd.inputs[QC_Y_ZERO], zero, 0);
    lower_write(l, y, index, kit_quantise(l, lower_type(l, y)->dtype, r, y_zero));
    lower_end_loops(l);
}

/* ---- transposed convolution ---- */

/* Weights are [inputs, outputs / groups, kernel...]. */
static bool read_transposed(graph *g, node_id n, window *win, grouping *gr) {
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 3, TENSOR_MAX_RANK))
        return false;
    const type tx = *kit_input(g, n, 0), tw = *kit_input(g, n, 1);
    if (tx.rank != tw.rank)
        return op_error(g, n, NULL, "the input has %d axes, the weights have %d", tx.rank, tw.rank);
    if (!read_groups(g, n, &gr->groups) ||
        !split_channels(g, n, tw.dims[0], gr->groups, &gr->in_per_group) ||
        !kit_agree(g, n, tx.dims[1], tw.dims[0], "input channels and the weights"))
        return false;
    gr->out_per_group = tw.dims[1];
    win->axes = tx.rank - 2;
    return window_kernel_weights(g, n, graph_input(g, n, 1), win) &&
           window_read_transposed(g, n, graph_input(g, n, 0), win);
}

static bool infer_conv_transpose(graph *g, node_id n) {
    window win;
    grouping gr;
    if (!read_transposed(g, n, &win, &gr)) return false;
    dim channels = dim_mul(g->dims, gr.out_per_group, kit_dim(g, gr.groups));
    dim dims[TENSOR_MAX_RANK] = {kit_input(g, n, 0)->dims[0], channels};
    for (int i = 0; i < win.axes; i++) dims[i + 2] = win.out[i];
    op_set_type(g, n, 0, type_tensor(kit_input(g, n, 0)->dtype, win.axes + 2, dims));
    return kit_vector(g, n, 2, channels, "the bias");
}

/* Along one axis: the tap and the input position that meet at the result position `at`. */
typedef struct {
    loop_expr tap, from;
    loop_expr valid; /* 0: always */
} meeting;

static loop_expr both(loop_kernel *k, loop_expr a, loop_expr b) {
    return !a ? b : !b ? a : loop_and(k, a, b);
}

/* Taps that meet a position are `stride` apart (without dilation): the loop runs over those alone,
 * so that a kernel as large as the stride has one tap a position and nothing to select. */
static dim meeting_taps(graph *g, const window *w, int i) {
    if (w->dilation[i] > 1 && w->stride[i] > 1) return w->kernel[i];
    return dim_ceildiv(g->dims, w->kernel[i], kit_dim(g, w->stride[i]));
}

static meeting meet(lower *l, const window *w, int i, loop_expr at, loop_expr step) {
    loop_kernel *k = lower_kernel(l);
    meeting m = {0};
    loop_expr stride = loop_int(k, w->stride[i]), dilation = loop_int(k, w->dilation[i]);
    loop_expr place = loop_add(k, at, loop_dim(k, w->before[i]));
    if (w->stride[i] == 1) {
        m.tap = step;
        m.from = loop_sub(k, place, loop_mul(k, step, dilation));
    } else if (w->dilation[i] == 1) {
        loop_expr tap = loop_add(k, loop_mul(k, step, stride), loop_mod(k, place, stride));
        m.from = loop_sub(k, loop_floordiv(k, place, stride), step);
        int64_t kernel;
        bool exact =
            dim_is_const(lower_graph(l)->dims, w->kernel[i], &kernel) && kernel % w->stride[i] == 0;
        loop_expr taps = loop_dim(k, w->kernel[i]);
        m.tap = exact ? tap : loop_min(k, tap, loop_sub(k, taps, loop_int(k, 1)));
        m.valid = exact ? 0 : loop_lt(k, tap, taps);
    } else {
        loop_expr distance = loop_sub(k, place, loop_mul(k, step, dilation));
        m.tap = step;
        m.from = loop_floordiv(k, distance, stride);
        m.valid = kit_op2(l, LOOP_EQ, loop_mod(k, distance, stride), loop_int(k, 0));
    }
    return m;
}

static void accumulate_transposed(lower *l, const convolution *c, const loop_expr *index,
                                  loop_buf acc) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    loop_expr x_at[LOOP_MAX_RANK], w_at[LOOP_MAX_RANK], valid = 0;
    window steps = c->win;
    for (int i = 0; i < steps.axes; i++) steps.kernel[i] = meeting_taps(g, &c->win, i);
    loop_expr out_per_group = loop_dim(k, c->group.out_per_group);
    loop_expr inner;
    if (c->group.groups == 1)
        inner = lower_reduce_axis(l, c->x, 1);
    else
        inner = lower_begin(l, LOOP_REDUCE, "r", loop_dim(k, c->group.in_per_group));
    loop_expr step[WINDOW_MAX_AXES];
    int opened = window_begin_taps(l, &steps, LOOP_REDUCE, step);
    x_at[0] = index[0];
    x_at[1] = w_at[0] = input_channel(l, &c->group, index[1], inner);
    w_at[1] = c->group.groups == 1 ? index[1] : loop_mod(k, index[1], out_per_group);
    for (int i = 0; i < c->win.axes; i++) {
        meeting m = meet(l, &c->win, i, index[i + 2], step[i]);
        x_at[i + 2] = m.from;
        w_at[i + 2] = m.tap;
        valid = both(k, valid, m.valid);
    }
    loop_expr zero = loop_const(k, c->sum, 0);
    loop_expr x = loop_cast(
        k, c->sum, lower_read_or(l, c->x, x_at, loop_const(k, lower_type(l, c->x)->dtype, 0)));
    loop_expr product = loop_mul(k, x, kit_read(l, c->sum, c->w, w_at));
    lower_accumulate(l, acc, LOOP_ADD, valid ? loop_select(k, valid, product, zero) : product);
    kit_end(l, opened);
    if (c->group.groups == 1)
        lower_end_reduce(l);
    else
        lower_end(l);
}

static void nest_conv_transpose(lower *l, node_id n) {
    graph *g = lower_graph(l);
    convolution c = {.x = graph_input(g, n, 0), .w = graph_input(g, n, 1)};
    bool ok = read_transposed(g, n, &c.win, &c.group);
    assert(ok), (void)ok;
    c.sum = kit_sum_type(lower_type(l, c.x)->dtype);
    /* Results a stride apart meet the same taps: a product of pixels and channels for each phase.
     */
    const type *y = lower_type(l, graph_output(g, n, 0));
    int64_t step[TENSOR_MAX_RANK] = {0};
    for (int i = 0; i < c.win.axes; i++) {
        dim stride = kit_dim(g, c.win.stride[i]);
        bool whole = dim_equals_const(g->dims, dim_mod(g->dims, y->dims[i + 2], stride), 0);
        if (whole && c.win.dilation[i] == 1) step[i + 2] = c.win.stride[i];
    }
    sum_with_bias(l, n, &c, step, accumulate_transposed);
}

/* ConvInteger is a convolution of i32 numbers that are centred already: padding then is zero, and
 * the layouts of Conv serve it. */
static bool expand_conv_integer(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    int rank = graph_type(g, nd.inputs[0])->rank;
    value_id inputs[] = {kit_build_centred(g, n, nd.inputs[0], graph_input(g, n, 2), rank, 1),
                         kit_build_centred(g, n, nd.inputs[1], graph_input(g, n, 3), rank, 0)};
    value_id y = kit_build(g, n, "Conv", 2, inputs, nd.attr_count, nd.attrs);
    if (!y) return false;
    kit_replace(g, nd.outputs[0], y);
    graph_remove_node(g, n);
    return true;
}

const op_def ops_convolution[] = {
    {.domain = "", .name = "Conv", .flags = OP_ANCHOR, .infer = infer_conv, .nest = nest_conv},
    {.domain = "",
     .name = "ConvInteger",

     .infer = infer_conv_integer,
     .expand = expand_conv_integer},
    {.domain = "",
     .name = "QLinearConv",
     .flags = OP_ANCHOR,
     .infer = infer_qlinear_conv,
     .nest = nest_qlinear_conv},
    {.domain = "",
     .name = "ConvTranspose",
     .flags = OP_ANCHOR,
     .infer = infer_conv_transpose,
     .nest = nest_conv_transpose},
};
const size_t ops_convolution_count = sizeof ops_convolution / sizeof *ops_convolution;
