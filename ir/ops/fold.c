/* fold.c: Col2Im, which adds the blocks of an image at their places. Written from the side of the
 * image: an element is the sum over the taps of the blocks that reach it. Shapes that are data bind
 * symbols. */
#include "ir/ops/window.h"

enum { FOLD_X, FOLD_IMAGE, FOLD_BLOCK };

/* The window of the blocks that slide over the image: w->in is the image, w->out the number of
 * places along each axis. */
static bool read_fold(graph *g, node_id n, window *w) {
    size_t axes, block_axes, pad_count;
    if (!kit_need(g, n, FOLD_X, 3, 3) || !kit_need(g, n, FOLD_IMAGE, 1, 1) ||
        !kit_need(g, n, FOLD_BLOCK, 1, 1))
        return false;
    value_id image_shape = graph_input(g, n, FOLD_IMAGE),
             block_shape = graph_input(g, n, FOLD_BLOCK);
    const dim *image = graph_bind_elements(g, image_shape, 0, DIM_NONE, &axes);
    const dim *block =
        graph_bind_elements(g, block_shape, 1, kit_input(g, n, FOLD_X)->dims[1], &block_axes);
    if (!image || !block)
        return op_error(g, n, NULL,
                        "the number of the image's axes or of the blocks' is not known");
    if (!axes || axes != block_axes || axes > WINDOW_MAX_AXES)
        return op_error(g, n, NULL, "%zu axes of the image and %zu of the blocks", axes,
                        block_axes);
    *w = (window){.axes = (int)axes};
    const int64_t *pads = node_attr_ints(graph_node(g, n), "pads", &pad_count);
    if (!kit_positive_ints(g, n, "strides", w->axes, w->stride) ||
        !kit_positive_ints(g, n, "dilations", w->axes, w->dilation))
        return false;
    if (pad_count && pad_count != 2 * axes)
        return op_error(g, n, NULL, "attribute pads has %zu elements, must have %zu", pad_count,
                        2 * axes);
    for (size_t i = 0; i < 2 * axes && pad_count; i++)
        if (pads[i] < 0 || pads[i] > INT32_MAX)
            return op_error(g, n, NULL, "attribute pads holds %lld", (long long)pads[i]);
    for (int i = 0; i < w->axes; i++) {
        int64_t before = pad_count ? pads[i] : 0, after = pad_count ? pads[i + w->axes] : 0;
        if (dim_high(g->dims, block[i]) < 1) return op_error(g, n, NULL, "a block has no elements");
        /* Products of all blocks fit 64 bits. */
        kit_narrow(g, block[i], (int64_t)1 << 60 / w->axes);
        w->kernel[i] = dim_max(g->dims, block[i], kit_dim(g, 1));
        w->before[i] = kit_dim(g, before);
        w->in[i] = image[i];
        /* (image + pads - ((block - 1) * dilation + 1)) / stride + 1 */
        dim reach = dim_mul(g->dims, dim_sub(g->dims, w->kernel[i], kit_dim(g, 1)),
                            kit_dim(g, w->dilation[i]));
        dim room =
            dim_sub(g->dims, dim_add(g->dims, image[i], kit_dim(g, before + after - 1)), reach);
        w->out[i] =
            dim_add(g->dims, kit_dim(g, 1), dim_floordiv(g->dims, room, kit_dim(g, w->stride[i])));
    }
    return true;
}

static dim count_of(graph *g, const dim *dims, int axes) {
    dim count = kit_dim(g, 1);
    for (int i = 0; i < axes; i++) count = dim_mul(g->dims, count, dims[i]);
    return count;
}

static bool infer_fold(graph *g, node_id n) {
    window w;
    if (!read_fold(g, n, &w)) return false;
    const type x = *kit_input(g, n, FOLD_X);
    dim taps = count_of(g, w.kernel, w.axes);
    dim dims[TENSOR_MAX_RANK] = {x.dims[0], dim_floordiv(g->dims, x.dims[1], taps)};
    if (!kit_agree(g, n, dim_mul(g->dims, dims[1], taps), x.dims[1], "rows of the blocks") ||
        !kit_agree(g, n, count_of(g, w.out, w.axes), x.dims[2], "places of the blocks"))
        return false;
    for (int i = 0; i < w.axes; i++) {
        if (dim_high(g->dims, w.in[i]) < 0 || dim_high(g->dims, w.out[i]) < 0)
            return op_error(g, n, NULL, "axis %d of the image is too short for a block", i);
        dims[i + 2] = w.in[i];
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, w.axes + 2, dims));
    return true;
}

static void nest_fold(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    window w;
    if (!read_fold(g, n, &w)) return;
    value_id x = graph_input(g, n, FOLD_X), y = graph_output(g, n, 0);
    dtype t = lower_type(l, x)->dtype, sum = kit_sum_type(t);
    loop_expr index[LOOP_MAX_RANK], taps[WINDOW_MAX_AXES], zero = loop_int(k, 0);
    loop_expr places = loop_dim(k, count_of(g, w.out, w.axes));
    loop_expr rows = loop_mul(k, loop_dim(k, lower_type(l, y)->dims[1]),
                              loop_dim(k, count_of(g, w.kernel, w.axes)));
    lower_check(l, kit_op2(l, LOOP_EQ, places, lower_dim(l, x, 2)), LOOP_STATUS_BAD_SHAPE);
    lower_check(l, kit_op2(l, LOOP_EQ, rows, lower_dim(l, x, 1)), LOOP_STATUS_BAD_SHAPE);
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, loop_const(k, sum, 0));
    int opened = window_begin_taps(l, &w, LOOP_REDUCE, taps);
    loop_expr row = index[1], place = zero, inside = loop_const_int(k, DTYPE_BOOL, 1);
    for (int i = 0; i < w.axes; i++) {
        loop_expr stride = loop_int(k, w.stride[i]), count = loop_dim(k, w.out[i]);
        loop_expr from = loop_sub(k, loop_add(k, index[i + 2], loop_dim(k, w.before[i])),
                                  loop_mul(k, taps[i], loop_int(k, w.dilation[i])));
        loop_expr at = loop_floordiv(k, from, stride);
        inside = loop_and(k, inside, kit_op2(l, LOOP_EQ, loop_mul(k, at, stride), from));
        inside = loop_and(k, inside, kit_op2(l, LOOP_LE, zero, at));
        inside = loop_and(k, inside, loop_lt(k, at, count));
        row = loop_add(k, loop_mul(k, row, loop_dim(k, w.kernel[i])), taps[i]);
        place = loop_add(k, loop_mul(k, place, count), at);
    }
    loop_expr own[] = {index[0], row, loop_select(k, inside, place, loop_int(k, -1))};
    loop_expr e = lower_read_or(l, x, own, loop_const(k, t, 0));
    lower_accumulate(l, acc, LOOP_ADD, loop_cast(k, sum, e));
    kit_end(l, opened);
    lower_write(l, y, index, loop_cast(k, t, lower_value(l, acc, NULL)));
    lower_end_loops(l);
}

const op_def ops_fold[] = {
    {.domain = "", .name = "Col2Im", .flags = OP_ANCHOR, .infer = infer_fold, .nest = nest_fold},
};
const size_t ops_fold_count = sizeof ops_fold / sizeof *ops_fold;
