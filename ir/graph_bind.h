/* graph_bind.h: what graph.c needs to know of values that bind symbols; nobody else includes it. */
#ifndef ONNXCC_IR_GRAPH_BIND_H
#define ONNXCC_IR_GRAPH_BIND_H

#include "ir/graph.h"

/* What the data of `from` told, those of `to` tell from now on; what is known of `to` is known of
 * the symbols of `from`. */
void graph_bind_move(graph *g, value_id from, value_id to);
/* Adds uses to every value that gives a symbol its value which some node's result has in its
 * dimensions, or whose data are to be checked. */
void graph_bind_count_uses(graph *g, uint32_t *uses);

#endif
