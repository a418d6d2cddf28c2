/* lower.h: what an operator's family file sees while one fusion group becomes one kernel. Values
 * are functions from logical indices to expressions: reading a value that the group computes
 * substitutes its expression (that is fusion), reading another one is a load from its buffer,
 * wherever its layout puts the element. Writing a result runs the group's epilogue and stores what
 * leaves it. */
#ifndef ONNXCC_IR_LOWER_H
#define ONNXCC_IR_LOWER_H

#include "ir/graph.h"
#include "ir/loop.h"

typedef struct lower lower;

/* Builds the kernel of the nodes `nodes` (in order of execution, at most one of them an anchor, all
 * others with a formula or an `element`) whose results `outputs` leave the group. Without an anchor
 * all outputs have equal dimensions. Returns the unscheduled kernel: its parameter buffers name
 * graph values (outputs first, then inputs). NULL and a diagnostic if a node has no lowering. */
loop_kernel *lower_group(graph *g, arena *a, const char *name, const node_id *nodes,
                         size_t node_count, const value_id *outputs, size_t output_count);

/* The kernel that writes zeros into the halo of v, which is its only parameter. */
loop_kernel *lower_halo(graph *g, arena *a, const char *name, value_id v);

graph *lower_graph(lower *l);
loop_kernel *lower_kernel(lower *l);

/* ---- types, for short ---- */
const type *lower_type(lower *l, value_id v);
/* Dimension `axis` of v as an expression. */
loop_expr lower_dim(lower *l, value_id v, int axis);

/* ---- values ---- */
/* Element of v at a logical index (in bounds). */
loop_expr lower_read(lower *l, value_id v, const loop_expr *index);
/* Four elements of v, of one byte each, as a u32 word, the first one lowest: those at index[axis]
 * and the three behind it, zero past the end. index[axis] is a multiple of four. One load where
 * they lie side by side in memory. */
loop_expr lower_read_word(lower *l, value_id v, int axis, const loop_expr *index);
/* As lower_read, with the index broadcast from `rank` axes to those of v (numpy's rule: trailing
 * axes match, size 1 repeats). */
loop_expr lower_read_broadcast(lower *l, value_id v, int rank, const loop_expr *index);
/* As lower_read, but `otherwise` where the index is outside of v (indices clamped, then selected);
 * an index known to be inside costs nothing. If v has a halo that covers the index and `otherwise`
 * is zero, it is a plain load. */
loop_expr lower_read_or(lower *l, value_id v, const loop_expr *index, loop_expr otherwise);
/* The same where the index along some axes is known to be inside of v; `inside` has one bool an
 * axis. */
loop_expr lower_read_partly(lower *l, value_id v, const loop_expr *index, const bool *inside,
                            loop_expr otherwise);
/* The result of the group's anchor, or another output of a nest: `value` at a logical index, inside
 * the loops that lower_loops opened. Evaluates the epilogue and stores every output of the group
 * that depends on v. */
void lower_write(lower *l, value_id v, const loop_expr *index, loop_expr value);

/* ---- structure ---- */
/* Opens LOOP_INDEPENDENT loops over all elements of v in the order of its layout (blocked: lanes
 * innermost) and writes logical indices to index[0..rank). In a blocked layout the lanes run over
 * the whole block: indices may be past the dimension there; reads of blocked values and per-channel
 * constants with the same blocking stay in their padding. Close with lower_end(rank loops:
 * lower_end_loops). */
void lower_loops(lower *l, value_id v, loop_expr *index);
/* The same over the axes [first, last) only. */
void lower_loops_axes(lower *l, value_id v, int first, int last, loop_expr *index);
/* lower_loops with axis i in steps of step[i], which divides its length (1 for the blocked axis):
 * every result whose index has the same remainder, then those of the next. */
void lower_loops_strided(lower *l, value_id v, const int64_t *step, loop_expr *index);
/* One loop over the lanes of block `block` of v's axis `axis`: all of them if v is blocked there
 * (as with lower_loops), else those of 16 that are inside of v. Close with lower_end. */
loop_expr lower_begin_lanes(lower *l, value_id v, int axis, loop_expr block);
void lower_end_loops(lower *l); /* closes what the matching lower_loops opened */
/* One loop; returns its variable. */
loop_expr lower_begin(lower *l, loop_kind kind, const char *stem, loop_expr extent);
void lower_end(lower *l);
/* A reduction over axis `axis` of v, extent dim: if v is blocked along it, opens a loop over blocks
 * and one over lanes (the last block short) and returns block * size + lane, so that reads of v
 * simplify. Close with lower_end_reduce. */
loop_expr lower_reduce_axis(lower *l, value_id v, int axis);
void lower_end_reduce(lower *l);
void lower_begin_if(lower *l, loop_expr condition);
void lower_else(lower *l);
void lower_end_if(lower *l);
void lower_check(lower *l, loop_expr condition, int code);

/* A scalar or small array local to the current iteration, in registers (TILE) or memory (STACK). */
loop_buf lower_local(lower *l, const char *stem, dtype t, loop_space space, int rank,
                     const int64_t *extents);
void lower_assign(lower *l, loop_buf b, const loop_expr *index,
                  loop_expr value); /* index NULL for a scalar */
loop_expr lower_value(lower *l, loop_buf b, const loop_expr *index);
/* acc = op(acc, value), for scalars. */
void lower_accumulate(lower *l, loop_buf acc, loop_op op, loop_expr value);

#endif
