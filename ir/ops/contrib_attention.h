/* contrib_attention.h: what ONNX Runtime's forms of attention share. */
#ifndef ONNXCC_IR_OPS_CONTRIB_ATTENTION_H
#define ONNXCC_IR_OPS_CONTRIB_ATTENTION_H

#include "ir/ops/spell.h"

/* Operands of the standard's Attention; all but `bias` are [batch, heads, sequence, size]. */
typedef struct {
    value_id q, k, v;
    value_id bias; /* added to the scores, or a bool: 0 if there is none */
    value_id past_k, past_v;
    bool causal;
} contrib_operands;

/* The standard's Attention, scaled as node n says. Makes the output [batch, sequence, heads *
 * size], the present keys and values, and the scores as they go into the softmax. */
bool contrib_attend(graph *g, node_id n, const contrib_operands *o, value_id *made);
/* [batch, sequence, heads * size] as [batch, heads, sequence, size]. */
value_id contrib_split_heads(graph *g, node_id n, value_id v, int64_t heads);
value_id contrib_unsqueezed(graph *g, node_id n, value_id v, int64_t count, const int64_t *axes);
/* Pairs of x [batch, heads, sequence, size] turned by the angles of their positions [batch,
 * sequence]. */
value_id contrib_rotate(graph *g, node_id n, value_id x, value_id cosine, value_id sine,
                        value_id positions, int64_t interleaved);

#endif
