/* random.h: numbers for operators that draw some besides their work; see random.c. */
#ifndef ONNXCC_IR_OPS_RANDOM_H
#define ONNXCC_IR_OPS_RANDOM_H

#include "ir/ops/spell.h"

/* Uniform numbers in [0, 1) of type t, of the shape of `like`, for node n, whose seed they use. */
value_id random_uniform(graph *g, node_id n, value_id like, dtype t);

#endif
