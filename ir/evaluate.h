/* evaluate.h: small values that follow from constants alone. */
#ifndef ONNXCC_IR_EVALUATE_H
#define ONNXCC_IR_EVALUATE_H

#include "ir/graph.h"

/* If the only result of node n is small and all that it depends on is constant, makes it a constant
 * and removes the node. Whether it did. */
bool graph_evaluate(graph *g, node_id n);

#endif
