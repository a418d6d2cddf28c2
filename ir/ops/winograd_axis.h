/* winograd_axis.h: Winograd's algorithms along one axis (Lavin & Gray 2015, section 4): `out`
 * results of a window of `taps` come from out + taps - 1 data with as many products, by polynomials
 * that are interpolated at that many points, infinity among them. With a stride of two, the even
 * data are convolved with the even taps and the odd ones with the odd taps, each with a stride of
 * one. An algorithm for planes is the product of one along the rows and one along the columns. */
#ifndef ONNXCC_IR_OPS_WINOGRAD_AXIS_H
#define ONNXCC_IR_OPS_WINOGRAD_AXIS_H

#include "ir/loop.h"

enum { WINOGRAD_MOST_OUT = 4, WINOGRAD_MOST_DATA = 9, WINOGRAD_MOST_TAPS = 5 };

typedef struct {
    int taps, stride, out;
    double finite[8]; /* points; each that is not zero and has its negative is followed by that */
    bool alone;       /* too inexact for both axes of a plane */
} winograd_axis;

extern const winograd_axis winograd_axes[];
extern const size_t winograd_axes_count;

/* NULL if there is none. */
const winograd_axis *winograd_find(int64_t taps, int64_t stride, int64_t out);

int winograd_data(const winograd_axis *a);     /* of a tile */
int winograd_products(const winograd_axis *a); /* of a tile */
/* Operations to transform data, and products back. */
int winograd_input_cost(const winograd_axis *a);
int winograd_output_cost(const winograd_axis *a);

/* The transforms of a tile along one axis: data to products' factors, products to results, in
 * 32-bit floats; taps to factors in 64-bit ones. */
void winograd_transform_input(loop_kernel *k, const winograd_axis *a, const loop_expr *data,
                              loop_expr *factors);
void winograd_transform_output(loop_kernel *k, const winograd_axis *a, const loop_expr *products,
                               loop_expr *results);
void winograd_transform_weights(loop_kernel *k, const winograd_axis *a, const loop_expr *taps,
                                loop_expr *factors);

#endif
