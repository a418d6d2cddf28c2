/* product.h: the matrix product as MatMul, Linear and the integer products share it. */
#ifndef ONNXCC_IR_OPS_PRODUCT_H
#define ONNXCC_IR_OPS_PRODUCT_H

#include "ir/ops/kit.h"

/* Dimensions of the product of inputs `a` and `b` by numpy's rules: leading axes are broadcast, an
 * operand of one axis is a row or a column and leaves no axis behind. With `transposed` the second
 * operand is stored with its columns before its rows. */
bool product_dims(graph *g, node_id n, uint32_t a, uint32_t b, bool transposed, int *rank,
                  dim *dims);

/* What one product reads; quantised operands have zero points, 0 where they have none. */
typedef struct {
    value_id a, b, a_zero, b_zero;
    bool transposed;
    dtype sum; /* the type of the accumulator */
} product_operands;

/* Accumulates the products over K for the element of `result` at `index` (all of its axes) into
 * `acc`. */
void product_accumulate(lower *l, const product_operands *p, value_id result,
                        const loop_expr *index, loop_buf acc);

/* A per-row or per-column parameter (a scale or zero point: a scalar, a vector along axis `last` of
 * `result` counted from its end, or a tensor that broadcasts against it with size 1 elsewhere). */
loop_expr product_parameter(lower *l, dtype as, value_id v, value_id result, int last,
                            const loop_expr *index);

#endif
