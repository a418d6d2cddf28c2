/* product.c: shapes and inner loop of matrix products. The accumulator's loop is the canonical form
 * that the schedules know: one accumulator, one reduction over K. */
#include "ir/ops/product.h"

/* The batch dimensions of both operands, broadcast. */
static bool batch_dims(graph *g, node_id n, const type *a, int a_batch, const type *b, int b_batch,
                       int *rank, dim *dims) {
    type ta = type_tensor(a->dtype, a_batch, a->dims), tb = type_tensor(b->dtype, b_batch, b->dims);
    const type *both[] = {&ta, &tb};
    return op_broadcast(g, n, 2, both, rank, dims);
}

bool product_dims(graph *g, node_id n, uint32_t a, uint32_t b, bool transposed, int *rank,
                  dim *dims) {
    if (!kit_need(g, n, a, 1, TENSOR_MAX_RANK) || !kit_need(g, n, b, 1, TENSOR_MAX_RANK))
        return false;
    const type ta = *kit_input(g, n, a), tb = *kit_input(g, n, b);
    int a_batch = ta.rank > 2 ? ta.rank - 2 : 0, b_batch = tb.rank > 2 ? tb.rank - 2 : 0;
    dim a_inner = ta.dims[ta.rank - 1];
    bool inner_last = transposed || tb.rank == 1;
    dim b_inner = tb.dims[inner_last ? tb.rank - 1 : tb.rank - 2];
    if (!kit_agree(g, n, a_inner, b_inner, "inner dimensions of the product")) return false;
    if (!batch_dims(g, n, &ta, a_batch, &tb, b_batch, rank, dims)) return false;
    if (ta.rank > 1) dims[(*rank)++] = ta.dims[ta.rank - 2];
    if (tb.rank > 1) dims[(*rank)++] = tb.dims[transposed ? tb.rank - 2 : tb.rank - 1];
    return true;
}

void product_accumulate(lower *l, const product_operands *p, value_id result,
                        const loop_expr *index, loop_buf acc) {
    loop_kernel *k = lower_kernel(l);
    const type a = *lower_type(l, p->a), b = *lower_type(l, p->b), y = *lower_type(l, result);
    int matrix = (a.rank > 1) + (b.rank > 1), batch = y.rank - matrix;
    loop_expr row = a.rank > 1 ? index[batch] : 0;
    loop_expr column = b.rank > 1 ? index[y.rank - 1] : 0;
    loop_expr inner = lower_reduce_axis(l, p->a, a.rank - 1);
    loop_expr at[LOOP_MAX_RANK];
    for (int i = 0; i < batch; i++) at[i] = index[i];
    int kept = 0;
    if (row) at[batch + kept++] = row;
    at[batch + kept++] = inner;
    loop_expr x = kit_read_batched(l, p->sum, p->a, batch, y.dims, kept, at);
    kept = 0;
    if (column && p->transposed) at[batch + kept++] = column;
    at[batch + kept++] = inner;
    if (column && !p->transposed) at[batch + kept++] = column;
    loop_expr w = kit_read_batched(l, p->sum, p->b, batch, y.dims, kept, at);
    if (p->a_zero)
        x = loop_sub(k, x, product_parameter(l, p->sum, p->a_zero, result, column ? 2 : 1, index));
    if (p->b_zero) w = loop_sub(k, w, product_parameter(l, p->sum, p->b_zero, result, 1, index));
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, x, w));
    lower_end_reduce(l);
}

loop_expr product_parameter(lower *l, dtype as, value_id v, value_id result, int last,
                            const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    const type t = *lower_type(l, v), y = *lower_type(l, result);
    if (t.rank > 1) {
        loop_expr e = lower_read_broadcast(l, v, y.rank, index);
        return loop_cast(k, as, e);
    }
    loop_expr at = y.rank >= last ? index[y.rank - last] : loop_int(k, 0);
    return kit_read_parameter(l, as, v, at, 0);
}
