/* ml.h: what the operators of ai.onnx.ml share: lists of numbers as constants, the transforms
 * behind scores, labels of classes. All of them are spelt in operators of the standard and in a few
 * rows of our own (spell.h), so that a pipeline of encoders and models fuses like any other graph.
 */
#ifndef ONNXCC_IR_OPS_ML_H
#define ONNXCC_IR_OPS_ML_H

#include "ir/ops/spell.h"

#define ML_DOMAIN "ai.onnx.ml"
#define ML_ROW(op, hook)                                                                           \
    { .domain = ML_DOMAIN, .name = op, .expand = hook }

/* Input i as rows of features of type t: a vector is one row. 0 and a diagnostic for other ranks.
 */
value_id ml_rows(graph *g, node_id n, uint32_t i, dtype t);
/* The number of features, where it is known; else -1. */
int64_t ml_feature_count(const graph *g, value_id rows);
/* The elements of a list attribute; 0 where it is absent. */
size_t ml_count(const graph *g, node_id n, const char *name);
/* A list attribute of floats or ints as a constant of type t, with the given shape (one dimension
 * may be -1: what remains); 0 if it is absent, and a diagnostic if it has another size. */
value_id ml_constant(graph *g, node_id n, const char *name, dtype t, int rank,
                     const int64_t *shape);
/* A list of floats of one element, or one a feature of `rows`, as a constant to broadcast against
 * it; 0 if it is absent or empty. False and a diagnostic if it has another size. */
bool ml_per_feature(graph *g, node_id n, const char *name, value_id rows, value_id *out);

typedef enum { ML_NONE, ML_SOFTMAX, ML_LOGISTIC, ML_SOFTMAX_ZERO, ML_PROBIT } ml_transform;
/* The attribute post_transform; false and a diagnostic if it has no such value. */
bool ml_read_transform(graph *g, node_id n, ml_transform *out);
/* The transform of rows of scores. */
value_id ml_apply_transform(graph *g, node_id n, ml_transform t, value_id scores);

/* The labels of a classifier: a constant vector from one of two attributes, the first of integers;
 * without both, 0 to `count` - 1. Sets *count to their number if there are any. */
value_id ml_labels(graph *g, node_id n, const char *ints, const char *strings, int64_t *count);
/* Where the elements of x stand in a constant vector of keys: `missing` for those that do not; if
 * that is negative, such an element is an error of the run. */
value_id ml_find(graph *g, node_id n, value_id x, value_id keys, int64_t missing);
/* The label of the largest score of each row (the first of equal ones). */
value_id ml_best_label(graph *g, node_id n, value_id labels, value_id scores);
/* Of two labels, the second where the column `score` is above the threshold. */
value_id ml_binary_label(graph *g, node_id n, value_id labels, value_id score, double threshold);

#endif
