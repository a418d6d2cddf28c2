/* tile.h: which register tile a reduction gets: how many vector accumulators along which axes, and
 * in which order a step walks them. A cost model decides, from what a step loads and what the
 * machine's registers hold; schedule.c describes the nest and emits the tile. */
#ifndef ONNXCC_CODEGEN_X86_TILE_H
#define ONNXCC_CODEGEN_X86_TILE_H

#include "codegen/target.h"
#include "codegen/transform.h"

/* An axis of a nest as the schedule cuts it. A constant extent is cut evenly: `large` tiles of size
 * + 1, then the rest of size; a symbolic one into whole tiles and a rest of single iterations. */
typedef struct {
    loop_var var;
    loop_expr extent;
    int64_t constant;  /* the extent, or -1 */
    int64_t tile;      /* largest tile size */
    bool vector_outer; /* counts vectors of the vector axis */
    bool single;       /* inner loops are as long as its variable says: no tile along it */
    uint64_t moves;    /* loads of the innermost statements that move with it, one bit each */
} cut_axis;

enum { MAX_CUT = TRANSFORM_MAX_AXES + 1, MAX_CUT_AXES = 3 };

typedef struct {
    cut_axis axes[MAX_CUT];
    int count;
    int loads;
    bool vector_load[64];
    double operand[64]; /* bytes of a load over the whole nest */
    int64_t beside;     /* vectors that lie side by side in the vector operands; 0: all */
    double steps;       /* reduction steps a tile */
    double panel;       /* bytes of a vector over all steps */
    bool rows_outside;  /* the axes that no vector operand moves with are the outer loops */
    bool slices;        /* the first axis is one of slices that threads had better own: of images */
    int budget;         /* vector accumulators at most */
    const target_machine *machine;
} tile_search;

/* An axis of a tile that is longer than one. */
typedef struct {
    uint64_t moves;
    int64_t size;
    int axis;
} tile_side;

/* ceil(a / b) of positive numbers. */
static inline int64_t tile_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Sets the tile of every axis of the search: the best one by the cost model; for a rank above 0 the
 * best with another number of vectors, and so on, or the best of all where there are not so many.
 */
void tile_choose(tile_search *t, int rank);
/* Puts the sides from `first` on into the order that keeps the fewest operands in registers;
 * returns how many those are. */
int64_t tile_order_sides(tile_side *sides, int first, int count, int loads);

#endif
