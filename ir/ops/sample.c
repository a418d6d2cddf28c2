/* sample.c: interpolation between elements, as GridSample, DeformConv and Resize use it. Here are
 * GridSample, AffineGrid and DeformConv too. */
#include "ir/ops/sample.h"
#include "ir/ops/window.h"

#include <assert.h>
#include <string.h>

/* ---- taps ---- */

sample_taps sample_linear(lower *l, loop_expr x) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, x);
    loop_expr base = kit_op1(l, LOOP_FLOOR, x), part = loop_sub(k, x, base);
    loop_expr first = loop_cast(k, DTYPE_I64, base);
    return (sample_taps){.count = 2,
                         .at = {first, loop_add(k, first, loop_int(k, 1))},
                         .weight = {loop_sub(k, loop_const(k, t, 1), part), part}};
}

/* Keys' kernel: (a+2)|d|^3 - (a+3)|d|^2 + 1 within 1, a|d|^3 - 5a|d|^2 + 8a|d| - 4a within 2. */
static loop_expr near_weight(lower *l, loop_expr d, double a) {
    loop_binding b[] = {{"d", d},
                        {"a", loop_const(lower_kernel(l), loop_type(lower_kernel(l), d), a)}};
    return loop_formula(lower_kernel(l), "((a + 2) * d - (a + 3)) * d * d + 1",
                        loop_type(lower_kernel(l), d), b, 2);
}

static loop_expr far_weight(lower *l, loop_expr d, double a) {
    loop_binding b[] = {{"d", d},
                        {"a", loop_const(lower_kernel(l), loop_type(lower_kernel(l), d), a)}};
    return loop_formula(lower_kernel(l), "((a * d - 5 * a) * d + 8 * a) * d - 4 * a",
                        loop_type(lower_kernel(l), d), b, 2);
}

sample_taps sample_cubic(lower *l, loop_expr x, double a) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, x);
    loop_expr base = kit_op1(l, LOOP_FLOOR, x), part = loop_sub(k, x, base);
    loop_expr first = loop_cast(k, DTYPE_I64, base), one = loop_const(k, t, 1);
    loop_expr rest = loop_sub(k, one, part);
    sample_taps s = {.count = 4};
    for (int i = 0; i < 4; i++) s.at[i] = loop_add(k, first, loop_int(k, i - 1));
    s.weight[0] = far_weight(l, loop_add(k, part, one), a);
    s.weight[1] = near_weight(l, part, a);
    s.weight[2] = near_weight(l, rest, a);
    s.weight[3] = far_weight(l, loop_add(k, rest, one), a);
    return s;
}

loop_expr sample_sum(lower *l, int count, const int *axis, const sample_taps *taps, loop_expr *at,
                     loop_expr (*read)(lower *l, const void *what, const loop_expr *at),
                     const void *what) {
    loop_kernel *k = lower_kernel(l);
    if (!count) return read(l, what, at);
    loop_expr sum = 0;
    for (int i = 0; i < taps[0].count; i++) {
        at[axis[0]] = taps[0].at[i];
        loop_expr e = sample_sum(l, count - 1, axis + 1, taps + 1, at, read, what);
        if (taps[0].weight[i]) e = loop_mul(k, e, taps[0].weight[i]);
        sum = sum ? loop_add(k, sum, e) : e;
    }
    return sum;
}

loop_expr sample_clamp(lower *l, loop_expr at, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    loop_expr last = loop_sub(k, size, loop_int(k, 1));
    return loop_max(k, loop_int(k, 0), loop_min(k, at, last));
}

/* ---- GridSample ---- */

typedef enum { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } grid_mode;
typedef enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } grid_padding;

typedef struct {
    value_id x;
    grid_mode mode;
    grid_padding padding;
    bool align_corners;
    dtype sum;
} grid_sample;

static int find_name(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

static bool read_grid_sample(graph *g, node_id n, grid_sample *s) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    const node nd = *graph_node(g, n);
    const char *mode = node_attr_string(&nd, "mode", "linear");
    const char *padding = node_attr_string(&nd, "padding_mode", "zeros");
    if (strcmp(mode, "bilinear") == 0) mode = "linear"; /* before opset 20 */
    if (strcmp(mode, "bicubic") == 0) mode = "cubic";
    int m = find_name(mode, modes, 3), p = find_name(padding, paddings, 3);
    if (m < 0) return op_error(g, n, NULL, "attribute mode is \"%s\"", mode);
    if (p < 0) return op_error(g, n, NULL, "attribute padding_mode is \"%s\"", padding);
    *s = (grid_sample){.x = nd.inputs[0],
                       .mode = (grid_mode)m,
                       .padding = (grid_padding)p,
                       .align_corners = node_attr_int(&nd, "align_corners", 0) != 0};
    return true;
}

static bool infer_grid_sample(graph *g, node_id n) {
    grid_sample s;
    if (!kit_need(g, n, 0, 3, 5) || !kit_need(g, n, 1, 3, 5) || !read_grid_sample(g, n, &s))
        return false;
    const type x = *kit_input(g, n, 0), grid = *kit_input(g, n, 1);
    if (x.rank != grid.rank) return op_error(g, n, NULL, "the grid does not fit the input");
    if (!kit_agree(g, n, grid.dims[grid.rank - 1], kit_dim(g, x.rank - 2), "axes of the grid") ||
        !kit_agree(g, n, grid.dims[0], x.dims[0], "batches of the grid"))
        return false;
    dim dims[5] = {x.dims[0], x.dims[1]};
    for (int i = 2; i < x.rank; i++) dims[i] = grid.dims[i - 1];
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* Reflects x between `low` and `low + span`. */
static loop_expr reflect(lower *l, loop_expr x, loop_expr low, loop_expr span) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, x);
    loop_expr two = loop_const(k, t, 2), period = loop_mul(k, span, two);
    loop_expr d = kit_op1(l, LOOP_ABS, loop_sub(k, x, low));
    /* d mod period; a span of zero leaves 0. */
    loop_expr times = kit_op1(l, LOOP_FLOOR, kit_op2(l, LOOP_DIV, d, period));
    loop_expr rest = loop_sub(k, d, loop_mul(k, times, period));
    loop_expr back = loop_min(k, rest, loop_sub(k, period, rest));
    loop_expr flat = kit_op2(l, LOOP_LE, span, loop_const(k, t, 0));
    return loop_select(k, flat, low, loop_add(k, low, back));
}

/* The bounds that a reflection keeps to: of pixel centres or of pixel edges. */
static loop_expr reflect_position(lower *l, const grid_sample *s, loop_expr x, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, x);
    loop_expr f = loop_cast(k, t, size);
    if (s->align_corners)
        return reflect(l, x, loop_const(k, t, 0), loop_sub(k, f, loop_const(k, t, 1)));
    return reflect(l, x, loop_const(k, t, -0.5), f);
}

/* A coordinate of [-1, 1] as a position in pixels. */
static loop_expr grid_position(lower *l, const grid_sample *s, loop_expr c, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, c);
    loop_expr f = loop_cast(k, t, size), one = loop_const(k, t, 1), half = loop_const(k, t, 0.5);
    loop_expr x = loop_add(k, c, one);
    if (s->align_corners) return loop_mul(k, loop_mul(k, x, half), loop_sub(k, f, one));
    return loop_mul(k, loop_sub(k, loop_mul(k, x, f), one), half);
}

static loop_expr read_grid_pixel(lower *l, const void *what, const loop_expr *at) {
    const grid_sample *s = what;
    loop_kernel *k = lower_kernel(l);
    const type t = *lower_type(l, s->x);
    loop_expr own[LOOP_MAX_RANK];
    for (int i = 0; i < t.rank; i++) {
        own[i] = at[i];
        if (i < 2 || s->padding == GRID_ZEROS) continue;
        loop_expr size = lower_dim(l, s->x, i);
        if (s->padding == GRID_REFLECTION) {
            loop_expr x = reflect_position(l, s, loop_cast(k, DTYPE_F64, at[i]), size);
            own[i] = loop_cast(k, DTYPE_I64, kit_op1(l, LOOP_ROUND, x));
        }
        own[i] = sample_clamp(l, own[i], size);
    }
    if (s->padding != GRID_ZEROS) return kit_read(l, s->sum, s->x, own);
    return loop_cast(k, s->sum, lower_read_or(l, s->x, own, loop_const(k, t.dtype, 0)));
}

static loop_expr element_grid_sample(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id grid = graph_input(g, n, 1);
    grid_sample s;
    bool ok = read_grid_sample(g, n, &s);
    assert(ok), (void)ok, (void)output;
    const type x = *lower_type(l, s.x);
    s.sum = dtype_is_float(x.dtype) ? kit_sum_type(x.dtype) : DTYPE_F32;
    dtype pt = kit_sum_type(lower_type(l, grid)->dtype);
    loop_expr at[LOOP_MAX_RANK] = {index[0], index[1]}, point[LOOP_MAX_RANK] = {index[0]};
    int axes[3], spatial = x.rank - 2;
    sample_taps taps[3];
    for (int i = 0; i < spatial; i++) point[i + 1] = index[i + 2];
    for (int i = 0; i < spatial; i++) {
        axes[i] = i + 2;
        point[spatial + 1] = loop_int(k, spatial - 1 - i); /* the grid names x first */
        loop_expr size = lower_dim(l, s.x, i + 2);
        loop_expr p = grid_position(l, &s, kit_read(l, pt, grid, point), size);
        if (s.mode != GRID_CUBIC && s.padding == GRID_REFLECTION)
            p = reflect_position(l, &s, p, size);
        if (s.mode != GRID_CUBIC && s.padding == GRID_BORDER) {
            loop_expr last = loop_cast(k, pt, loop_sub(k, size, loop_int(k, 1)));
            p = loop_max(k, loop_const(k, pt, 0), loop_min(k, p, last));
        }
        p = loop_type(k, p) == s.sum ? p : loop_cast(k, s.sum, p);
        if (s.mode == GRID_LINEAR) taps[i] = sample_linear(l, p);
        if (s.mode == GRID_CUBIC) taps[i] = sample_cubic(l, p, -0.75);
        if (s.mode == GRID_NEAREST)
            taps[i] = (sample_taps){.count = 1,
                                    .at = {loop_cast(k, DTYPE_I64, kit_op1(l, LOOP_ROUND, p))}};
    }
    return sample_sum(l, spatial, axes, taps, at, read_grid_pixel, &s);
}

/* ---- AffineGrid ---- */

static bool infer_affine_grid(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 3, 3) || !kit_need(g, n, 1, 1, 1)) return false;
    const type theta = *kit_input(g, n, 0);
    int64_t rows;
    if (!dim_is_const(g->dims, theta.dims[1], &rows) || rows < 2 || rows > 3 ||
        !dim_equals_const(g->dims, theta.dims[2], rows + 1))
        return op_error(g, n, NULL, "theta must be of 2 by 3 or 3 by 4 matrices");
    int spatial = (int)rows, rank = spatial + 2;
    size_t count = 0;
    const dim *size = graph_elements(g, graph_input(g, n, 1), &count);
    if (size && count != (size_t)rank)
        return op_error(g, n, NULL, "size has %zu elements, must have %d", count, rank);
    dim dims[5] = {theta.dims[0]};
    for (int i = 0; i < spatial; i++)
        dims[i + 1] = size ? size[i + 2] : kit_told_dim(g, n, 0, rank, i + 1, DIM_NONE);
    dims[rank - 1] = kit_dim(g, spatial);
    op_set_type(g, n, 0, type_tensor(theta.dtype, rank, dims));
    return true;
}

static loop_expr size_affine_grid(lower *l, node_id n, int i) {
    graph *g = lower_graph(l);
    value_id theta = graph_input(g, n, 0);
    int64_t spatial = dim_value(g->dims, lower_type(l, theta)->dims[1]);
    if (i == 0) return lower_dim(l, theta, 0);
    if (i > spatial) return loop_int(lower_kernel(l), spatial);
    return kit_read_int(l, graph_input(lower_graph(l), n, 1), i + 1);
}

static bool expand_affine_grid(graph *g, node_id n) {
    size_t count;
    return !graph_elements(g, graph_input(g, n, 1), &count) && kit_expand_sizes(g, n);
}

/* The coordinate of pixel `at` of `size`, in [-1, 1]. */
static loop_expr base_coordinate(lower *l, dtype t, bool align, loop_expr at, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    loop_expr x = loop_cast(k, t, at), n = loop_cast(k, t, size);
    loop_expr one = loop_const(k, t, 1), two = loop_const(k, t, 2);
    if (!align) {
        x = loop_add(k, loop_mul(k, x, two), one);
        return loop_sub(k, kit_op2(l, LOOP_DIV, x, n), one);
    }
    loop_expr span = loop_max(k, loop_sub(k, n, one), one); /* one pixel alone is at -1 */
    return loop_sub(k, kit_op2(l, LOOP_DIV, loop_mul(k, x, two), span), one);
}

static loop_expr element_affine_grid(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id theta = graph_input(g, n, 0), y = graph_output(g, n, output);
    const type t = *lower_type(l, y);
    bool align = node_attr_int(graph_node(g, n), "align_corners", 0) != 0;
    dtype sum = kit_sum_type(t.dtype);
    int spatial = t.rank - 2;
    loop_expr at[] = {index[0], index[t.rank - 1], loop_int(k, spatial)};
    loop_expr e = kit_read(l, sum, theta, at);
    for (int i = 0; i < spatial; i++) {
        int axis = spatial - i; /* x, the last spatial axis, first */
        at[2] = loop_int(k, i);
        loop_expr c = base_coordinate(l, sum, align, index[axis], lower_dim(l, y, axis));
        e = loop_add(k, e, loop_mul(k, kit_read(l, sum, theta, at), c));
    }
    return e;
}

/* ---- DeformConv ---- */

enum { DEFORM_X, DEFORM_W, DEFORM_OFFSET, DEFORM_BIAS, DEFORM_MASK };

static bool read_deform(graph *g, node_id n, window *w) {
    if (!kit_need(g, n, DEFORM_X, 4, 4) || !kit_need(g, n, DEFORM_W, 4, 4)) return false;
    w->axes = 2;
    return window_kernel_weights(g, n, graph_input(g, n, DEFORM_W), w) &&
           window_read(g, n, graph_input(g, n, DEFORM_X), false, w);
}

/* Offsets and mask: [batch, groups * taps * each, result height, result width]. */
static bool check_field(graph *g, node_id n, uint32_t i, const window *w, int64_t groups,
                        int64_t each) {
    const type *t = kit_input(g, n, i);
    if (!t) return true;
    if (!kit_need(g, n, i, 4, 4)) return false;
    dim taps = dim_mul(g->dims, w->kernel[0], w->kernel[1]);
    return kit_agree(g, n, t->dims[0], kit_input(g, n, DEFORM_X)->dims[0], "batches") &&
           kit_agree(g, n, t->dims[1], dim_mul(g->dims, taps, kit_dim(g, groups * each)),
                     "channels of the offsets or mask") &&
           kit_agree(g, n, t->dims[2], w->out[0], "height of the offsets or mask") &&
           kit_agree(g, n, t->dims[3], w->out[1], "width of the offsets or mask");
}

static bool infer_deform(graph *g, node_id n) {
    window w;
    const node nd = *graph_node(g, n);
    int64_t groups = node_attr_int(&nd, "group", 1), fields = node_attr_int(&nd, "offset_group", 1);
    if (!read_deform(g, n, &w) || !kit_need(g, n, DEFORM_OFFSET, 4, 4)) return false;
    const type x = *kit_input(g, n, DEFORM_X), weights = *kit_input(g, n, DEFORM_W);
    int64_t in, out;
    if (groups < 1 || groups > INT32_MAX || fields < 1 || fields > INT32_MAX)
        return op_error(g, n, NULL, "attributes group and offset_group must be positive");
    if ((dim_is_const(g->dims, x.dims[1], &in) && (in % groups || in % fields)) ||
        (dim_is_const(g->dims, weights.dims[0], &out) && out % groups))
        return op_error(g, n, NULL, "the channels cannot be split into the groups");
    if (!kit_agree(g, n, dim_mul(g->dims, weights.dims[1], kit_dim(g, groups)), x.dims[1],
                   "input channels and the weights") ||
        !kit_vector(g, n, DEFORM_BIAS, weights.dims[0], "the bias") ||
        !check_field(g, n, DEFORM_OFFSET, &w, fields, 2) ||
        !check_field(g, n, DEFORM_MASK, &w, fields, 1))
        return false;
    dim dims[] = {x.dims[0], weights.dims[0], w.out[0], w.out[1]};
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

static loop_expr read_or_zero(lower *l, const void *what, const loop_expr *at) {
    const grid_sample *s = what;
    dtype t = lower_type(l, s->x)->dtype;
    loop_kernel *k = lower_kernel(l);
    return loop_cast(k, s->sum, lower_read_or(l, s->x, at, loop_const(k, t, 0)));
}

/* The input at the tap, moved by its offset. `field` is the index of the tap among the offsets. */
static loop_expr deformed(lower *l, node_id n, const window *w, const grid_sample *s,
                          const loop_expr *index, loop_expr channel, const loop_expr *taps,
                          loop_expr field) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    static const int axes[] = {2, 3};
    loop_expr at[] = {index[0], channel, 0, 0};
    loop_expr offset_at[] = {index[0], 0, index[2], index[3]};
    sample_taps between[2];
    for (int i = 0; i < 2; i++) {
        offset_at[1] = loop_add(k, loop_mul(k, field, loop_int(k, 2)), loop_int(k, i));
        loop_expr p = loop_cast(k, s->sum, window_tap(l, w, i, index[i + 2], taps[i]));
        loop_expr offset = kit_read(l, s->sum, graph_input(g, n, DEFORM_OFFSET), offset_at);
        between[i] = sample_linear(l, loop_add(k, p, offset));
    }
    return sample_sum(l, 2, axes, between, at, read_or_zero, s);
}

static void nest_deform(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    window w;
    bool ok = read_deform(g, n, &w);
    assert(ok), (void)ok;
    grid_sample s = {.x = nd.inputs[DEFORM_X]};
    s.sum = kit_sum_type(lower_type(l, s.x)->dtype);
    value_id weights = nd.inputs[DEFORM_W], mask = graph_input(g, n, DEFORM_MASK);
    loop_expr per_group = lower_dim(l, weights, 1);
    loop_expr out_per_group =
        loop_floordiv(k, lower_dim(l, weights, 0), loop_int(k, node_attr_int(&nd, "group", 1)));
    loop_expr per_field =
        loop_floordiv(k, lower_dim(l, s.x, 1), loop_int(k, node_attr_int(&nd, "offset_group", 1)));
    loop_expr index[4], taps[2];
    lower_loops(l, nd.outputs[0], index);
    loop_buf acc = kit_scalar(l, "acc", s.sum);
    lower_assign(l, acc, NULL,
                 kit_read_parameter(l, s.sum, graph_input(g, n, DEFORM_BIAS), index[1], 0));
    loop_expr inner = lower_begin(l, LOOP_REDUCE, "r", per_group);
    int opened = window_begin_taps(l, &w, LOOP_REDUCE, taps);
    loop_expr group = loop_floordiv(k, index[1], out_per_group);
    loop_expr channel = loop_add(k, loop_mul(k, group, per_group), inner);
    loop_expr field = loop_floordiv(k, channel, per_field);
    for (int i = 0; i < 2; i++)
        field = loop_add(k, loop_mul(k, field, loop_dim(k, w.kernel[i])), taps[i]);
    loop_expr e = deformed(l, n, &w, &s, index, channel, taps, field);
    if (mask) {
        loop_expr at[] = {index[0], field, index[2], index[3]};
        e = loop_mul(k, e, kit_read(l, s.sum, mask, at));
    }
    loop_expr w_at[] = {index[1], inner, taps[0], taps[1]};
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, e, kit_read(l, s.sum, weights, w_at)));
    kit_end(l, opened);
    lower_end(l);
    lower_write(l, nd.outputs[0], index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

const op_def ops_sample[] = {
    {.domain = "",
     .name = "GridSample",
     .infer = infer_grid_sample,
     .element = element_grid_sample},
    {.domain = "",
     .name = "AffineGrid",
     .flags = OP_OPEN,
     .infer = infer_affine_grid,
     .element = element_affine_grid,
     .size = size_affine_grid,
     .expand = expand_affine_grid},
    {.domain = "",
     .name = "DeformConv",
     .flags = OP_ANCHOR,
     .infer = infer_deform,
     .nest = nest_deform},
};
const size_t ops_sample_count = sizeof ops_sample / sizeof *ops_sample;
