/* rewrite.h: small things that several passes do to a graph. */
#ifndef ONNXCC_PASSES_REWRITE_H
#define ONNXCC_PASSES_REWRITE_H

#include "ir/op.h"
#include "passes/passes.h"

/* Whether the node is of this ai.onnx operator. */
bool rewrite_is(const graph *g, node_id n, const char *op);
/* Whether the node is a fusion group. What is in it is done: graphs that come as text may hold
 * some, and no pass looks inside. */
bool rewrite_is_group(const node *n);
/* Whether some node is one: then layouts are settled. */
bool rewrite_has_groups(const graph *g);
/* The node that makes v, if it is of this operator; 0 otherwise. */
node_id rewrite_producer(const graph *g, value_id v, const char *op);
/* The constant data behind v; NULL if it has none. */
bool rewrite_is_constant(const graph *g, value_id v);
/* The number that a constant of one element holds. */
bool rewrite_scalar(const graph *g, value_id v, double *out);
/* The number that all elements of a small constant, or of one that is kept as a splat, are. */
bool rewrite_repeated(const graph *g, value_id v, double *out);
/* graph_count_uses, for rewrite_used_once; element 0 holds how many values there were. */
uint32_t *rewrite_count_uses(const graph *g);
/* Whether the value was read once when uses were counted. False for values made since. */
bool rewrite_used_once(const uint32_t *uses, value_id v);
/* Every use of `from` becomes `to`. The name of a graph output stays with the output: `to` takes
 * it. False if that cannot be: `to` is an input or an output of the graph under its own name, or a
 * constant. */
bool rewrite_replace(graph *g, value_id from, value_id to);
/* The nodes that a region holds now, in order, for a pass that changes it as it goes. In g->memory.
 */
node_id *rewrite_nodes(const graph *g, region_id r, size_t *count);
/* Calls `visit` on every node of every region that is there at the start, but those in groups; sums
 * up what it returns. A negative result ends it. */
long rewrite_each(graph *g, const pass_options *options, const uint32_t *uses,
                  long (*visit)(graph *g, const pass_options *options, const uint32_t *uses,
                                node_id n));

#endif
