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
/* Lets `made` take the place of y, an output of node n: by way of an Identity in front of n where
 * an output of the graph must keep its name. */
void rewrite_take_over(graph *g, node_id n, value_id y, value_id made);
/* The one number that shapes and constants tell of a scalar. */
bool rewrite_known(graph *g, value_id v, int64_t *out);

/* ---- copies (unroll.c) ---- */
/* Copies the nodes of a region, and the regions in them, in front of `before`. map[v] stands for v;
 * it gets what is copied. Types are left to inference. */
void rewrite_copy_nodes(graph *g, region_id from, region_id to, node_id before, value_id *map);
/* Copies a body in front of node n, its inputs replaced by `inputs`, infers its types and says what
 * its results are. False after a diagnostic. */
bool rewrite_copy_body(graph *g, region_id body, node_id n, const value_id *inputs,
                       value_id *outputs);
/* Writes out a Loop node iteration by iteration; it is left without uses. False and a diagnostic
 * if the number of iterations is not known. */
bool rewrite_unroll(graph *g, node_id n);

/* Sequences that a Loop node only grows become stacked results of it (gather_items.c), where all
 * that reads them can read a stack. Adds to *changes. */
bool rewrite_gather_items(graph *g, node_id loop, long *changes);

/* A sequence that a Loop node carries becomes its tensors, if each iteration leaves as many
 * (split_states.c). *y is the result that was that sequence (or 0), *results are those that are its
 * tensors now, *count of them: 0 if the loop carries none. False after a diagnostic. */
bool rewrite_split_state(graph *g, node_id loop, value_id *y, size_t *count, value_id **results);

/* Calls `visit` on every node of every region that is there at the start, but those in groups; sums
 * up what it returns. A negative result ends it. */
long rewrite_each(graph *g, const pass_options *options, const uint32_t *uses,
                  long (*visit)(graph *g, const pass_options *options, const uint32_t *uses,
                                node_id n));

/* Whether constants of `bytes` may become constants of `made`: large ones that are over ten times
 * what they are made of stay computations. Bytes made words are four times the size, weights that
 * Winograd's algorithm transforms up to nine. */
bool rewrite_may_grow(int64_t bytes, int64_t made);

#endif
