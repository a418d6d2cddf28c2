/* transform.h: the loop transformations that schedules are made of. Each changes how a kernel runs,
 * never what it computes; they build new statements and leave the old ones alone. Schedules of all
 * targets share them. */
#ifndef ONNXCC_CODEGEN_TRANSFORM_H
#define ONNXCC_CODEGEN_TRANSFORM_H

#include "ir/loop.h"

enum { TRANSFORM_MAX_AXES = 16 };

/* A loop of a nest, apart from its statement. */
typedef struct {
    loop_var var;
    loop_expr extent;
} nest_axis;

/* A perfect nest of INDEPENDENT loops, outermost first, and the block inside. */
typedef struct {
    nest_axis axes[TRANSFORM_MAX_AXES];
    int count;
    const loop_stmt *body;
} loop_nest;

/* Takes the nest that begins at a FOR statement apart. Loops beyond TRANSFORM_MAX_AXES stay in the
 * body. */
loop_nest transform_nest(const loop_stmt *s);

/* Merges neighbouring axes where every access of the body walks them as one: i * E + j becomes p.
 */
void transform_collapse(loop_kernel *k, loop_nest *n);

/* How one axis of a nest is cut for a tile: the tile covers var = base + [0, size). */
typedef struct {
    loop_var var;
    loop_expr base;
    int64_t size;
    loop_kind kind;   /* UNROLL or VECTOR (the last axis only) */
    loop_expr active; /* VECTOR: as in loop_stmt */
} tile_axis;

/* The body of a nest for a whole tile of iterations: loops over the tile go down to every store,
 * around inner loops they stay inside, and locals get one element a tile position. Inner loops
 * become SERIAL, those of at most `unroll` iterations in all UNROLL. Legal for INDEPENDENT axes;
 * the body must satisfy transform_can_tile. */
loop_stmt *transform_tile(loop_kernel *k, const loop_stmt *body, const tile_axis *axes, int count,
                          int64_t unroll);

/* The body of a nest for var = at, with locals and inner variables of its own. */
loop_stmt *transform_instance(loop_kernel *k, const loop_stmt *body, loop_var var, loop_expr at);

/* Whether some loop of the body is as long as the variable says. */
bool transform_extents_use(const loop_kernel *k, const loop_stmt *body, loop_var v);

/* Whether loop extents and branch conditions in the body are free of the variables and of locals.
 */
bool transform_can_tile(const loop_kernel *k, const loop_stmt *body, const loop_var *vars,
                        int count);

/* A REDUCE nest over scalars, acc = op(acc, e), with its innermost loop run by vectors of `lanes`
 * into `ways` independent vector accumulators that are combined at the end. NULL if the statement
 * has not this form or e is not contiguous along a loop. */
loop_stmt *transform_vector_reduce(loop_kernel *k, const loop_stmt *reduce, int lanes, int ways);

/* One access of a body to a parameter or a local array. */
typedef struct {
    loop_buf buf;
    loop_expr flat; /* position in elements */
    bool store;
    int depth; /* loops around it, within the body */
} loop_access;

/* A position without the bounds, free of v, that clamp what moves with v: where it is read under a
 * condition that makes them idle, as padding is, it is the position. */
loop_expr transform_unclamped(loop_kernel *k, loop_expr flat, loop_var v);

/* All accesses of a block, in the kernel's arena; scalars in registers are left out. */
loop_access *transform_accesses(loop_kernel *k, const loop_stmt *body, size_t *count);

#endif
