/* winograd.c: convolutions of 3x3 windows become the operators of ir/ops/winograd.c where a cost
 * model expects them to be well ahead of the direct sum: fewer products against the transforms, the
 * tiles that hang over, and weights of four times the size, which must come from memory. It counts
 * vector operations and bytes, a cycle each; the numbers below are of machines of today, and only
 * their ratios matter. Constant weights only: transforming them must cost nothing. */
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

enum {
    TAPS = 9,                /* of the window */
    LANES = 16,              /* of a block of channels */
    MEMORY_BYTES = 6,        /* a cycle, from memory */
    CACHE_BYTES = 16,        /* a cycle, from the last cache */
    L2_BYTES = 1 << 20,      /* what stays near while the rest streams */
    STACK_BYTES = 144 << 10, /* most transformed data that a kernel keeps to itself */
    TYPICAL_SIZE = 64        /* of an axis of unknown length */
};

/* A size of tiles: results along an axis, products, and the vector operations to transform a tile
 * of one block of channels, there and back. */
typedef struct {
    int64_t out, points, input_cost, output_cost;
} algorithm;

static const algorithm algorithms[] = {{2, 16, 70, 50}, {4, 36, 220, 170}};

/* What the costs depend on, and what is chosen. */
typedef struct {
    const algorithm *a;
    int64_t images, rows, columns, inputs, outputs; /* symbols at a typical size */
    bool open;                                      /* some size is symbolic */
    int64_t pads[4];
    int64_t tiles, vectors; /* of a block */
    bool fused, tiles_outside;
} shape;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t tile_count(const shape *s) {
    return s->images * ceil_div(s->rows, s->a->out) * ceil_div(s->columns, s->a->out);
}

static int64_t size_of(const graph *g, dim d, int64_t typical, bool *open) {
    int64_t n;
    if (dim_is_const(g->dims, d, &n)) return n;
    *open = true;
    return typical;
}

static bool all_are(const node *n, const char *name, int64_t wanted) {
    size_t count;
    const int64_t *list = node_attr_ints(n, name, &count);
    for (size_t i = 0; i < count; i++)
        if (list[i] != wanted) return false;
    return true;
}

static bool read_pads(const node *n, int64_t *pads) {
    size_t count;
    const int64_t *given = node_attr_ints(n, "pads", &count);
    const char *mode = node_attr_string(n, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++) {
        pads[i] = count == 4 ? given[i] : 0;
        if (strcmp(mode, "VALID") == 0) pads[i] = 0;
        if (strncmp(mode, "SAME", 4) == 0) pads[i] = 1;
        if (pads[i] < 0 || pads[i] > 2) return false;
    }
    return true;
}

static bool read_shape(const graph *g, const node *n, shape *s) {
    const type *x = graph_type(g, n->inputs[0]), *w = graph_type(g, n->inputs[1]);
    const type *y = graph_type(g, n->outputs[0]);
    *s = (shape){.open = false};
    if (x->rank != 4 || x->dtype != DTYPE_F32 || !rewrite_is_constant(g, n->inputs[1]) ||
        node_attr_int(n, "group", 1) != 1 || !all_are(n, "strides", 1) ||
        !all_are(n, "dilations", 1) || !dim_equals_const(g->dims, w->dims[2], 3) ||
        !dim_equals_const(g->dims, w->dims[3], 3) || !read_pads(n, s->pads) ||
        !dim_is_const(g->dims, w->dims[0], &s->outputs) ||
        !dim_is_const(g->dims, x->dims[1], &s->inputs))
        return false;
    s->images = size_of(g, y->dims[0], 1, &s->open);
    s->rows = size_of(g, y->dims[2], TYPICAL_SIZE, &s->open);
    s->columns = size_of(g, y->dims[3], TYPICAL_SIZE, &s->open);
    /* A block that is mostly empty would make the weights grow beyond what is folded. */
    return s->images > 0 && s->rows > 0 && s->columns > 0 && s->inputs > 0 &&
           s->outputs > LANES / 2;
}

/* ---- costs ---- */

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double direct_cost(const shape *s) {
    double blocks = (double)ceil_div(s->outputs, LANES);
    double products = (double)(s->images * s->rows * s->columns * TAPS * s->inputs) * blocks;
    double weights = (double)(TAPS * 4 * s->inputs * s->outputs);
    return larger(products * 1.1, weights / MEMORY_BYTES);
}

/* The cost of s->a with blocks of s->tiles tiles; fills in what else is chosen. */
static double cost_of_blocks(shape *s) {
    enum { REGISTERS = 14, POINT_COST = 12 };
    int64_t in_blocks = ceil_div(s->inputs, LANES), out_blocks = ceil_div(s->outputs, LANES);
    s->vectors = s->tiles <= REGISTERS && out_blocks % 2 == 0 ? 2 : 1;
    int64_t blocks = ceil_div(tile_count(s), s->tiles), tiles = blocks * s->tiles;
    int64_t groups = out_blocks / s->vectors, points = s->a->points;
    double products = (double)(tiles * points * s->inputs * out_blocks);
    double transforms =
        (double)(tiles * (s->a->input_cost * in_blocks + s->a->output_cost * out_blocks));
    double weights = (double)(points * 4 * LANES * out_blocks * s->inputs);
    double data = (double)(points * 4 * LANES * in_blocks * tiles);
    double cost = larger(products, weights / MEMORY_BYTES) + transforms +
                  (double)(blocks * groups * points * POINT_COST);
    s->fused = blocks > 1 && data / (double)blocks <= STACK_BYTES && weights <= L2_BYTES;
    if (s->fused) return cost;
    double tiles_outside = data + (weights > L2_BYTES ? weights * (double)blocks : weights);
    double weights_outside = weights + (data > L2_BYTES ? data * (double)groups : data);
    s->tiles_outside = tiles_outside < weights_outside;
    return cost + 2 * data / CACHE_BYTES;
}

/* Chooses the tiles of a block, where that costs less than *least: those that leave little of the
 * last block unused, and blocks that a kernel can keep to itself where that is worth more. */
static void choose_blocks(const shape *s, shape *best, double *least) {
    enum { FEWEST = 7, MOST = 16, USUAL = 14 };
    int64_t total = tile_count(s);
    for (int64_t tiles = total < FEWEST ? total : FEWEST; tiles <= MOST && tiles <= total;
         tiles++) {
        shape tried = *s;
        tried.tiles = tiles;
        /* What is left over cannot be known where sizes are open. */
        if (s->open && tiles > USUAL) break;
        double cost = cost_of_blocks(&tried);
        if (cost > *least) continue;
        *least = cost;
        *best = tried;
    }
}

static double winograd_cost(shape *s) {
    shape best = *s;
    double least = INFINITY;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        s->a = &algorithms[i];
        choose_blocks(s, &best, &least);
    }
    *s = best;
    return least;
}

/* ---- the rewriting ---- */

static bool replace(graph *g, node_id n, const shape *s) {
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], w = nd.inputs[1], bias = nd.input_count > 2 ? nd.inputs[2] : 0;
    attr size = attr_int("size", s->a->out), tiles = attr_int("tiles", s->tiles);
    attr pads = attr_ints("pads", s->pads, 4);
    value_id u = graph_build(g, nd.region, n, OP_INTERNAL, "WinogradWeights", 1, &w, 1, &size);
    if (!u) return false;
    if (!s->fused) {
        attr attrs[] = {size, tiles, pads};
        x = graph_build(g, nd.region, n, OP_INTERNAL, "WinogradInput", 1, &x, 3, attrs);
        if (!x) return false;
    }
    attr attrs[] = {size, tiles, attr_int("vectors", s->vectors),
                    s->fused ? pads : attr_int("tiles_outside", s->tiles_outside)};
    value_id inputs[] = {x, u, bias}, old = nd.outputs[0];
    value_id y = graph_add_value(g, graph_value(g, old)->name, *graph_type(g, old));
    node_id made = graph_add_node(
        g, nd.region, n, op_find(OP_INTERNAL, s->fused ? "WinogradConv" : "WinogradProduct"),
        nd.name, bias ? 3 : 2, inputs, 1, &y, 4, attrs);
    graph_node(g, made)->source = nd.source;
    graph_replace_uses(g, old, y);
    const char *name = graph_value(g, y)->name;
    graph_value(g, y)->name = graph_value(g, old)->name;
    graph_value(g, old)->name = name;
    graph_remove_node(g, n);
    return true;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    shape s;
    (void)options, (void)uses;
    if (!rewrite_is(g, n, "Conv") || !read_shape(g, graph_node(g, n), &s)) return 0;
    /* Weights of four times the size are four times the traffic when threads share the memory:
     * a small gain is none. */
    if (winograd_cost(&s) > 0.75 * direct_cost(&s)) return 0;
    return replace(g, n, &s) ? 1 : -1;
}

static long run(graph *g, const pass_options *options) {
    if (options->vector_block != LANES || rewrite_has_groups(g)) return 0;
    return rewrite_each(g, options, NULL, visit);
}

const pass_def pass_winograd = {"winograd", "3x3 convolutions by Winograd's algorithm", run};
