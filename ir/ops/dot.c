/* dot.c: products and convolutions of 8-bit integers that a pass makes, four steps of the sum at a
 * time. Weights come as words of four signed bytes along the summed axis; data are bytes, and
 * signed ones are moved up by 128 on the way, so that they are unsigned: the result counts each of
 * them 128 too high. Zero points are the business of the pass. */
#include "ir/ops/window.h"

enum { WORD = 4 };

/* ---- DotWords: four bytes of an axis become one word; zeros beyond its end ---- */

static int axis_of(graph *g, node_id n) {
    return (int)node_attr_int(graph_node(g, n), "axis", 0);
}

static bool infer_words(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    dim dims[TENSOR_MAX_RANK];
    int axis;
    if (!op_axis(g, n, axis_of(g, n), x.rank, &axis)) return false;
    for (int i = 0; i < x.rank; i++)
        dims[i] = i == axis ? dim_ceildiv(g->dims, x.dims[i], kit_dim(g, WORD)) : x.dims[i];
    op_set_type(g, n, 0, type_tensor(DTYPE_U32, x.rank, dims));
    return true;
}

static loop_expr element_words(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    value_id x = graph_input(lower_graph(l), n, 0);
    int rank = lower_type(l, x)->rank, axis = axis_of(lower_graph(l), n);
    loop_expr at[LOOP_MAX_RANK];
    for (int i = 0; i < rank; i++) at[i] = index[i];
    at[axis] = loop_mul(lower_kernel(l), index[axis], loop_int(lower_kernel(l), WORD));
    return lower_read_word(l, x, axis, at);
}

/* ---- both kinds of sums ---- */

/* The word of x at an index, its bytes as unsigned numbers. */
static loop_expr read_data(lower *l, value_id x, int axis, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    loop_expr word = lower_read_word(l, x, axis, index);
    if (lower_type(l, x)->dtype == DTYPE_U8) return word;
    return loop_make(k, LOOP_XOR, word, loop_const_int(k, DTYPE_U32, 0x80808080), 0);
}

/* ---- DotLinear: x [..., K], weights [N, K / 4], bias [N] ---- */

static bool infer_linear(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 2, 2)) return false;
    const type x = *kit_input(g, n, 0), w = *kit_input(g, n, 1);
    dim dims[TENSOR_MAX_RANK], words = dim_ceildiv(g->dims, x.dims[x.rank - 1], kit_dim(g, WORD));
    if (!kit_agree(g, n, words, w.dims[1], "words of the product")) return false;
    for (int i = 0; i + 1 < x.rank; i++) dims[i] = x.dims[i];
    dims[x.rank - 1] = w.dims[0];
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, x.rank, dims));
    return kit_vector(g, n, 2, w.dims[0], "the bias");
}

static void nest_linear(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0), x = graph_input(g, n, 0), w = graph_input(g, n, 1);
    int last = lower_type(l, y)->rank - 1;
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL,
                 kit_read_parameter(l, DTYPE_I32, graph_input(g, n, 2), index[last], 0));
    loop_expr q = lower_reduce_axis(l, w, 1), w_at[] = {index[last], q};
    for (int i = 0; i < last; i++) at[i] = index[i];
    at[last] = loop_mul(k, q, loop_int(k, WORD));
    loop_expr a = read_data(l, x, last, at), b = lower_read(l, w, w_at);
    lower_accumulate(l, acc, LOOP_ADD, loop_make(k, LOOP_DOT4, a, b, 0));
    lower_end_reduce(l);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* ---- DotMatMul: x [..., M, K], words [..., K / 4, N] of signed bytes; the axes before are equal
 * ---- */

static bool infer_matmul(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    int rank = x.rank;
    if (!kit_need(g, n, 1, rank, rank)) return false;
    const type w = *kit_input(g, n, 1);
    dim dims[TENSOR_MAX_RANK], words = dim_ceildiv(g->dims, x.dims[rank - 1], kit_dim(g, WORD));
    if (!kit_agree(g, n, words, w.dims[rank - 2], "words of the product")) return false;
    for (int i = 0; i + 2 < rank; i++)
        if (!kit_agree(g, n, x.dims[i], w.dims[i], "matrices")) return false;
    for (int i = 0; i + 1 < rank; i++) dims[i] = x.dims[i];
    dims[rank - 1] = w.dims[rank - 1];
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, rank, dims));
    return true;
}

static void nest_matmul(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0), x = graph_input(g, n, 0), w = graph_input(g, n, 1);
    int last = lower_type(l, y)->rank - 1;
    loop_expr index[LOOP_MAX_RANK], x_at[LOOP_MAX_RANK], w_at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL, loop_const_int(k, DTYPE_I32, 0));
    loop_expr q = lower_reduce_axis(l, w, last - 1);
    for (int i = 0; i <= last; i++) x_at[i] = w_at[i] = index[i];
    x_at[last] = loop_mul(k, q, loop_int(k, WORD));
    w_at[last - 1] = q;
    loop_expr a = read_data(l, x, last, x_at), b = lower_read(l, w, w_at);
    lower_accumulate(l, acc, LOOP_ADD, loop_make(k, LOOP_DOT4, a, b, 0));
    lower_end_reduce(l);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* ---- DotConv: x [N, C, ...] in bytes or [N, C / 4, ...] in words of unsigned ones, weights
 * [M, C / 4, kernel...], bias [M]; no padding ---- */

static bool read_window(graph *g, node_id n, window *win) {
    win->axes = kit_input(g, n, 0)->rank - 2;
    return window_kernel_weights(g, n, graph_input(g, n, 1), win) &&
           window_read(g, n, graph_input(g, n, 0), false, win);
}

static bool infer_conv(graph *g, node_id n) {
    window win;
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    if (!kit_need(g, n, 1, x.rank, x.rank)) return false;
    const type w = *kit_input(g, n, 1);
    dim words =
        x.dtype == DTYPE_U32 ? x.dims[1] : dim_ceildiv(g->dims, x.dims[1], kit_dim(g, WORD));
    if (!kit_agree(g, n, words, w.dims[1], "words of the channels") || !read_window(g, n, &win))
        return false;
    dim dims[TENSOR_MAX_RANK] = {x.dims[0], w.dims[0]};
    for (int i = 0; i < win.axes; i++) dims[i + 2] = win.out[i];
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, x.rank, dims));
    return kit_vector(g, n, 2, w.dims[0], "the bias");
}

/* The loops over words of channels, by blocks where x lies in blocks; returns how many. */
static int begin_words(lower *l, value_id x, value_id w, loop_expr *q) {
    loop_kernel *k = lower_kernel(l);
    const type t = *lower_type(l, x);
    loop_expr words = lower_dim(l, w, 1);
    if (!t.layout || t.layout->block_axis != 1) {
        *q = lower_begin(l, LOOP_REDUCE, "r", words);
        return 1;
    }
    dim_table *d = lower_graph(l)->dims;
    int64_t n, each = t.layout->block / WORD;
    dim blocks = dim_ceildiv(d, lower_type(l, w)->dims[1], dim_const(d, each));
    loop_expr size = loop_int(k, each),
              outer = lower_begin(l, LOOP_REDUCE, "rb", loop_dim(k, blocks));
    loop_expr base = loop_mul(k, outer, size);
    bool whole = dim_is_const(d, lower_type(l, w)->dims[1], &n) && n % each == 0;
    loop_expr inside = whole ? size : loop_min(k, size, loop_sub(k, words, base));
    *q = loop_add(k, base, lower_begin(l, LOOP_REDUCE, "rl", inside));
    return 2;
}

static void nest_conv(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0), x = graph_input(g, n, 0), w = graph_input(g, n, 1);
    window win;
    if (!read_window(g, n, &win)) return;
    loop_expr index[LOOP_MAX_RANK], x_at[LOOP_MAX_RANK], w_at[LOOP_MAX_RANK], q;
    loop_expr taps[WINDOW_MAX_AXES];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL, kit_read_parameter(l, DTYPE_I32, graph_input(g, n, 2), index[1], 0));
    int opened = begin_words(l, x, w, &q);
    opened += window_begin_taps(l, &win, LOOP_REDUCE, taps);
    bool in_words = lower_type(l, x)->dtype == DTYPE_U32;
    x_at[0] = index[0];
    x_at[1] = in_words ? q : loop_mul(k, q, loop_int(k, WORD));
    w_at[0] = index[1];
    w_at[1] = q;
    for (int i = 0; i < win.axes; i++) {
        x_at[i + 2] = window_tap(l, &win, i, index[i + 2], taps[i]);
        w_at[i + 2] = taps[i];
    }
    loop_expr a = in_words ? lower_read(l, x, x_at) : read_data(l, x, 1, x_at);
    loop_expr b = lower_read(l, w, w_at);
    lower_accumulate(l, acc, LOOP_ADD, loop_make(k, LOOP_DOT4, a, b, 0));
    kit_end(l, opened);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* ---- DotDepthwise: x [N, C, ...] in bytes, weights [C, 1, kernel...] of i16, bias [C]; no
 * padding. Products of 16-bit numbers, and of pairs of them, are what machines have. ---- */

static bool infer_depthwise(graph *g, node_id n) {
    window win;
    if (!kit_need(g, n, 0, 3, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    if (!kit_need(g, n, 1, x.rank, x.rank)) return false;
    const type w = *kit_input(g, n, 1);
    if (!kit_agree(g, n, x.dims[1], w.dims[0], "channels") || !read_window(g, n, &win))
        return false;
    dim dims[TENSOR_MAX_RANK] = {x.dims[0], x.dims[1]};
    for (int i = 0; i < win.axes; i++) dims[i + 2] = win.out[i];
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, x.rank, dims));
    return kit_vector(g, n, 2, w.dims[0], "the bias");
}

static void nest_depthwise(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0), x = graph_input(g, n, 0), w = graph_input(g, n, 1);
    window win;
    if (!read_window(g, n, &win)) return;
    loop_expr index[LOOP_MAX_RANK], x_at[LOOP_MAX_RANK], w_at[LOOP_MAX_RANK];
    loop_expr taps[WINDOW_MAX_AXES];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL, kit_read_parameter(l, DTYPE_I32, graph_input(g, n, 2), index[1], 0));
    int opened = window_begin_taps(l, &win, LOOP_REDUCE, taps);
    x_at[0] = index[0];
    x_at[1] = w_at[0] = index[1];
    w_at[1] = loop_int(k, 0);
    for (int i = 0; i < win.axes; i++) {
        x_at[i + 2] = window_tap(l, &win, i, index[i + 2], taps[i]);
        w_at[i + 2] = taps[i];
    }
    loop_expr a = kit_read(l, DTYPE_I32, x, x_at), b = kit_read(l, DTYPE_I32, w, w_at);
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, a, b));
    kit_end(l, opened);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

/* ---- DotSums: the sum over the channels, as axis 1 of one element ---- */

static bool infer_sums(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    type x = *kit_input(g, n, 0);
    dim dims[TENSOR_MAX_RANK];
    for (int i = 0; i < x.rank; i++) dims[i] = i == 1 ? kit_dim(g, 1) : x.dims[i];
    op_set_type(g, n, 0, type_tensor(DTYPE_I32, x.rank, dims));
    return true;
}

static void nest_sums(lower *l, node_id n) {
    graph *g = lower_graph(l);
    value_id y = graph_output(g, n, 0), x = graph_input(g, n, 0);
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL, loop_const_int(lower_kernel(l), DTYPE_I32, 0));
    for (int i = 0; i < lower_type(l, x)->rank; i++) at[i] = index[i];
    at[1] = lower_reduce_axis(l, x, 1);
    lower_accumulate(l, acc, LOOP_ADD, kit_read(l, DTYPE_I32, x, at));
    lower_end_reduce(l);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

const op_def ops_dot[] = {
    {.domain = OP_INTERNAL,
     .name = "DotDepthwise",
     .flags = OP_ANCHOR,
     .infer = infer_depthwise,
     .nest = nest_depthwise},
    {.domain = OP_INTERNAL,
     .name = "DotSums",
     .flags = OP_ANCHOR,
     .infer = infer_sums,
     .nest = nest_sums},
    {.domain = OP_INTERNAL,
     .name = "DotWords",
     .flags = OP_MOVEMENT,
     .infer = infer_words,
     .element = element_words},
    {.domain = OP_INTERNAL,
     .name = "DotLinear",
     .flags = OP_ANCHOR,
     .infer = infer_linear,
     .nest = nest_linear},
    {.domain = OP_INTERNAL,
     .name = "DotMatMul",
     .flags = OP_ANCHOR,
     .infer = infer_matmul,
     .nest = nest_matmul},
    {.domain = OP_INTERNAL,
     .name = "DotConv",
     .flags = OP_ANCHOR,
     .infer = infer_conv,
     .nest = nest_conv},
};
const size_t ops_dot_count = sizeof ops_dot / sizeof *ops_dot;
