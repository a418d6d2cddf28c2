/* window.h: the sliding window of convolutions and pooling: kernel, strides, dilations and padding
 * along the spatial axes, from attributes and auto_pad, as dimension expressions. */
#ifndef ONNXCC_IR_OPS_WINDOW_H
#define ONNXCC_IR_OPS_WINDOW_H

#include "ir/ops/kit.h"

enum { WINDOW_MAX_AXES = TENSOR_MAX_RANK - 2 };

typedef struct {
    int axes; /* spatial ones; axis i of the window is axis i + 2 of the tensors */
    int64_t stride[WINDOW_MAX_AXES], dilation[WINDOW_MAX_AXES];
    dim kernel[WINDOW_MAX_AXES];
    dim in[WINDOW_MAX_AXES], out[WINDOW_MAX_AXES];
    dim before[WINDOW_MAX_AXES], after[WINDOW_MAX_AXES]; /* padding */
} window;

/* Reads attributes strides, dilations, pads and auto_pad of node n, whose input 0 has the spatial
 * axes 2 and on and whose kernel is w->kernel (w->axes and w->kernel are set by the caller), and
 * computes w->out. With `ceil_mode` the last window may hang over the end, but begins inside. */
bool window_read(graph *g, node_id n, value_id x, bool ceil_mode, window *w);
/* The same for a transposed convolution: attributes output_padding and output_shape too; `before`
 * and `after` are what is cut off the full result. */
bool window_read_transposed(graph *g, node_id n, value_id x, window *w);
/* Sets w->kernel from attribute kernel_shape. */
bool window_kernel_attr(graph *g, node_id n, window *w);
/* Sets w->kernel from the axes 2 and on of `weights`, and checks kernel_shape against it. */
bool window_kernel_weights(graph *g, node_id n, value_id weights, window *w);

/* Where tap `tap` of the window of result position `at` reads along spatial axis `i`: may be
 * outside.
 */
loop_expr window_tap(lower *l, const window *w, int i, loop_expr at, loop_expr tap);
/* Opens reduction loops over the taps. Returns how many it opened: close with kit_end. */
int window_begin_taps(lower *l, const window *w, loop_kind kind, loop_expr *taps);
/* The same along axis i alone: gives the tap, and counts the loop in *opened if there is one. */
loop_expr window_begin_tap(lower *l, const window *w, int i, loop_kind kind, int *opened);
/* Opens a reduction loop over those taps of axis i, of which there may be none, that are inside of
 * the input where the result is at `at`; gives the tap. Close with lower_end. */
loop_expr window_begin_inside(lower *l, const window *w, int i, loop_expr at);
/* Taps of axis i that are inside of the input, those of all results together; -1 where that is not
 * known. */
int64_t window_inside(const graph *g, const window *w, int i);
/* Taps of axis i inside of [-lead, in + trail): the number that an average divides by. */
loop_expr window_count(lower *l, const window *w, int i, loop_expr at, bool with_padding);

#endif
