/* tree_table.h: decision trees as tables, from the attributes of any of the three operators that
 * hold them. What the file says is not trusted: every index is checked, and nodes that form a cycle
 * are refused. */
#ifndef ONNXCC_IR_OPS_TREE_TABLE_H
#define ONNXCC_IR_OPS_TREE_TABLE_H

#include "ir/ops/ml.h"

/* When the true branch is taken: the bits of a node's code. */
enum { TREE_LESS = 1, TREE_EQUAL = 2, TREE_GREATER = 4, TREE_NAN = 8 };

typedef struct {
    double value;
    int32_t feature;
    int32_t code;
    int32_t next[2]; /* true, false: a node, or the complement of a leaf */
} tree_node;

typedef struct {
    double weight;
    int32_t leaf, target;
} tree_weight;

typedef struct {
    LIST(tree_node) nodes;
    LIST(int32_t) roots;       /* as `next` */
    LIST(int32_t) heights;     /* of the trees: the most steps from root to leaf */
    LIST(tree_weight) weights; /* by leaf */
    int32_t leaves;
    int32_t features; /* one above the largest that is read */
} tree_table;

/* The trees of a TreeEnsemble. False and a diagnostic if they are none. */
bool tree_table_read(graph *g, node_id n, int64_t targets, tree_table *out);
/* Those of a TreeEnsembleClassifier or TreeEnsembleRegressor, whose attributes for the leaves begin
 * with `prefix` ("class" or "target"). */
bool tree_table_read_old(graph *g, node_id n, const char *prefix, int64_t targets, tree_table *out);

#endif
