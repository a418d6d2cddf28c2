/* spell.h: for operators that have no types or loops of their own and are spelt in operators of the
 * standard as soon as their inputs have types: ONNX Runtime's. Their declarations stand in
 * ir/contrib.schema, their rows in the families contrib_*. A node's outputs are kept, since what
 * follows may already read them. */
#ifndef ONNXCC_IR_OPS_SPELL_H
#define ONNXCC_IR_OPS_SPELL_H

#include "ir/ops/kit.h"

/* The domain of these operators. */
#define SPELL_DOMAIN "com.microsoft"

/* A node put before n: of the standard, or "DOMAIN.NAME". Inputs may be 0: left out. Makes
 * `output_count` outputs. False and a diagnostic if the operator does not take these. */
bool spell_node(graph *g, node_id n, const char *op, uint32_t input_count, const value_id *inputs,
                uint32_t attr_count, const attr *attrs, uint32_t output_count, value_id *outputs);
/* The first output of such a node; 0 if it failed. */
value_id spell_value(graph *g, node_id n, const char *op, uint32_t input_count,
                     const value_id *inputs, uint32_t attr_count, const attr *attrs);
/* Gives the node's outputs their values and removes it. False if one that is wanted is 0: after a
 * diagnostic. */
bool spell_results(graph *g, node_id n, uint32_t count, const value_id *made);
/* The same, for an operator with one output. */
bool spell_result(graph *g, node_id n, value_id made);

/* Copies the attributes of n that stand in the list `names` (NULL at its end) and are given, and
 * returns how many. `out` has room for all. */
uint32_t spell_attrs(const graph *g, node_id n, const char *const *names, attr *out);

/* A scalar constant. */
value_id spell_number(graph *g, dtype t, double v);
/* x times a number; x if that is 1. */
value_id spell_scaled(graph *g, node_id n, value_id x, double factor);
/* x + y; x if y is left out. */
value_id spell_sum(graph *g, node_id n, value_id x, value_id y);
/* The size of axis `axis` of v, as an i64 tensor of one element. */
value_id spell_size(graph *g, node_id n, value_id v, int64_t axis);
/* 0, 1, ... up to the size of an axis of v, as i64. */
value_id spell_range(graph *g, node_id n, value_id v, int64_t axis);
/* Joins tensors along an axis. */
value_id spell_concat(graph *g, node_id n, int64_t axis, uint32_t count, const value_id *parts);
/* Reshapes to a shape given by `count` parts, of one i64 element each. */
value_id spell_reshape(graph *g, node_id n, value_id v, uint32_t count, const value_id *parts);
/* Exchanges the last two axes. */
value_id spell_transposed(graph *g, node_id n, value_id v);
/* From channels last to channels first, and back. */
value_id spell_channels_first(graph *g, node_id n, value_id v);
value_id spell_channels_last(graph *g, node_id n, value_id v);
/* Softmax over all axes from `axis` on together, as opsets before 13 have it. */
value_id spell_softmax_rows(graph *g, node_id n, value_id v, int64_t axis);
/* An activation by its name; `parameters` are its alpha, beta (or min, max), and NAN where not
 * given. 0 and a diagnostic if there is none of that name. */
value_id spell_activation(graph *g, node_id n, const char *name, value_id x,
                          const double *parameters);

/* A row of such an operator. */
#define SPELL_ROW(op, hook)                                                                        \
    { .domain = SPELL_DOMAIN, .name = op, .expand = hook }

#endif
