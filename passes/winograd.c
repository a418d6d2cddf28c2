/* winograd.c: convolutions become the operators of ir/ops/winograd.c where a cost model expects
 * them to be well ahead of the direct sum: fewer products against the transforms, the tiles that
 * hang over, and weights of several times the size, which must come from memory. It counts vector
 * operations and bytes, a cycle each; the numbers below are of machines of today, and only their
 * ratios matter. Constant weights only: transforming them must cost nothing. */
#include "ir/ops/window.h"
#include "ir/ops/winograd_axis.h"
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

enum {
    LANES = 16,              /* of a block of channels */
    MEMORY_BYTES = 3,        /* a cycle, from memory */
    CACHE_BYTES = 16,        /* a cycle, from a cache */
    L2_BYTES = 1 << 20,      /* what stays near while the rest streams */
    STACK_BYTES = 144 << 10, /* most transformed data that a kernel keeps to itself */
    MOST_GROWN =
        16 << 20, /* bytes of weights that are over four times the size of the plain ones */
    MOST_DILATION = 64,
    MOST_PLANES = 4096,
    TYPICAL_SIZE = 64 /* of an axis of unknown length */
};

/* Axes of a convolution; it has the last ones, and those that it lacks have one position. */
enum { DEPTH, ROWS, COLUMNS, AXES };

/* What the costs depend on, and what is chosen. */
typedef struct {
    int axes;
    int64_t images, inputs, outputs, size[AXES]; /* of the result; symbols at a typical size */
    bool open;                                   /* some size is symbolic */
    int64_t weight_bytes;                        /* a cycle: from memory, or from a cache */
    int64_t taps[AXES], strides[AXES], dilations[AXES], pads[2 * AXES]; /* pads: the attribute */
    int64_t planes;                /* of the data, along the depth */
    double depth_taps;             /* of one plane of results, on average: those inside */
    const winograd_axis *along[2]; /* rows and columns */
    int64_t tiles, vectors;        /* of a block */
    bool fused, tiles_outside;
} shape;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static bool has_depth(const shape *s) {
    return s->axes == AXES;
}

/* Tiles that share blocks: of the batch, or of one plane. */
static int64_t tile_count(const shape *s) {
    int64_t tiles = has_depth(s) ? 1 : s->images;
    for (int i = 0; i < 2; i++) {
        int64_t size = s->size[ROWS + i], apart = s->dilations[ROWS + i];
        tiles *= apart * ceil_div(ceil_div(size, apart), s->along[i]->out);
    }
    return tiles;
}

static int64_t size_of(const graph *g, dim d, int64_t typical, bool *open) {
    int64_t n;
    if (dim_is_const(g->dims, d, &n)) return n;
    *open = true;
    return typical;
}

/* The planes of volumes, whose number must be known. */
static bool read_depth(const graph *g, const window *w, shape *s) {
    int64_t inside = window_inside(g, w, 0);
    if (inside < 0 || !dim_is_const(g->dims, w->in[0], &s->planes) || s->size[DEPTH] < 1 ||
        s->size[DEPTH] > MOST_PLANES)
        return false;
    s->depth_taps = (double)inside / (double)s->size[DEPTH];
    return true;
}

/* Taps, strides and padding, as far as they are constant. */
static bool read_window(graph *g, node_id n, shape *s) {
    const node *nd = graph_node(g, n);
    window w = {.axes = s->axes};
    if (!window_kernel_weights(g, n, nd->inputs[1], &w) ||
        !window_read(g, n, nd->inputs[0], false, &w))
        return false;
    for (int i = 0; i < AXES; i++) s->taps[i] = s->strides[i] = s->dilations[i] = s->size[i] = 1;
    for (int i = 0; i < s->axes; i++) {
        int at = AXES - s->axes + i;
        s->strides[at] = w.stride[i];
        s->dilations[at] = w.dilation[i];
        if (w.dilation[i] > MOST_DILATION || !dim_is_const(g->dims, w.kernel[i], &s->taps[at]) ||
            !dim_is_const(g->dims, w.before[i], &s->pads[i]) ||
            !dim_is_const(g->dims, w.after[i], &s->pads[s->axes + i]))
            return false;
        int64_t reach = (s->taps[at] - 1) * s->dilations[at];
        if (s->pads[i] > reach || s->pads[s->axes + i] > reach ||
            (s->dilations[at] > 1 && s->strides[at] > 1))
            return false;
        s->size[at] = size_of(g, w.out[i], TYPICAL_SIZE, &s->open);
    }
    s->planes = s->depth_taps = 1;
    return !has_depth(s) || read_depth(g, &w, s);
}

/* Bytes of weights that come a cycle: from a cache if one holds all constants of the model. */
static int64_t weight_bytes(const graph *g) {
    int64_t bytes, total = 0;
    for (size_t i = 1; i < g->nodes.count && total <= L2_BYTES; i++) {
        const node *n = &g->nodes.data[i];
        for (uint32_t j = 0; n->region && j < n->input_count; j++) {
            if (!n->inputs[j]) continue;
            const value *v = graph_value(g, n->inputs[j]);
            if (v->constant && dim_is_const(g->dims, type_bytes(g->dims, &v->type), &bytes))
                total += bytes;
        }
    }
    return total <= L2_BYTES ? CACHE_BYTES : MEMORY_BYTES;
}

static bool read_shape(graph *g, node_id n, shape *s) {
    const node nd = *graph_node(g, n);
    const type *x = graph_type(g, nd.inputs[0]), *w = graph_type(g, nd.inputs[1]);
    *s = (shape){.axes = x->rank - 2};
    if (x->rank < 3 || x->rank > 5 || x->dtype != DTYPE_F32 ||
        !rewrite_is_constant(g, nd.inputs[1]) || node_attr_int(&nd, "group", 1) != 1 ||
        !dim_is_const(g->dims, w->dims[0], &s->outputs) ||
        !dim_is_const(g->dims, x->dims[1], &s->inputs) || !read_window(g, n, s))
        return false;
    s->images = size_of(g, x->dims[0], 1, &s->open);
    s->weight_bytes = weight_bytes(g);
    /* A block that is mostly empty would make the weights grow beyond what is folded. */
    return s->images > 0 && s->size[ROWS] > 0 && s->size[COLUMNS] > 0 && s->inputs > 0 &&
           s->outputs > LANES / 2;
}

/* ---- costs ---- */

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double direct_cost(const shape *s) {
    double blocks = (double)ceil_div(s->outputs, LANES);
    int64_t taps = s->taps[ROWS] * s->taps[COLUMNS];
    int64_t results = s->images * s->size[DEPTH] * s->size[ROWS] * s->size[COLUMNS];
    double products = (double)(results * taps * s->inputs) * s->depth_taps * blocks;
    double weights = (double)(s->taps[DEPTH] * taps * 4 * s->inputs * s->outputs);
    return larger(products * 1.1, weights / (double)s->weight_bytes);
}

static int64_t point_count(const shape *s) {
    return (int64_t)winograd_products(s->along[0]) * winograd_products(s->along[1]);
}

/* Vector operations, loads and stores for a tile of one block of channels. */
static int64_t input_cost(const shape *s) {
    int rows = winograd_data(s->along[0]), columns = winograd_data(s->along[1]);
    return columns * winograd_input_cost(s->along[0]) + rows * columns +
           winograd_products(s->along[0]) * winograd_input_cost(s->along[1]) + point_count(s);
}

static int64_t output_cost(const shape *s) {
    return winograd_products(s->along[1]) * winograd_output_cost(s->along[0]) + point_count(s) +
           s->along[0]->out * winograd_output_cost(s->along[1]) +
           s->along[0]->out * s->along[1]->out;
}

/* The cost of s->along with blocks of s->tiles tiles; fills in what else is chosen. */
static double cost_of_blocks(shape *s) {
    enum { REGISTERS = 14, POINT_COST = 12 };
    int64_t in_blocks = ceil_div(s->inputs, LANES), out_blocks = ceil_div(s->outputs, LANES);
    s->vectors = s->tiles <= REGISTERS && out_blocks % 2 == 0 ? 2 : 1;
    int64_t planes = has_depth(s) ? s->images * s->size[DEPTH] : 1;
    int64_t blocks = planes * ceil_div(tile_count(s), s->tiles), tiles = blocks * s->tiles;
    int64_t groups = out_blocks / s->vectors, points = point_count(s);
    double data_tiles = (double)tiles * (double)s->planes / (double)s->size[DEPTH];
    double products = (double)(tiles * points * s->inputs * out_blocks) * s->depth_taps;
    double transforms = data_tiles * (double)(input_cost(s) * in_blocks) +
                        (double)(tiles * output_cost(s) * out_blocks);
    double weights = (double)(s->taps[DEPTH] * points * 4 * LANES * out_blocks * s->inputs);
    double data = (double)(points * 4 * LANES * in_blocks) * data_tiles;
    double cost = larger(products, weights / (double)s->weight_bytes) + transforms +
                  (double)(blocks * groups * points * POINT_COST);
    s->fused =
        blocks > 1 && !has_depth(s) && data / (double)blocks <= STACK_BYTES && weights <= L2_BYTES;
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

/* Whether both may be chosen, and their weights be that large. */
static bool go_together(const shape *s) {
    bool line = s->along[0]->taps == 1 || s->along[1]->taps == 1;
    int64_t points = point_count(s), plain = s->taps[ROWS] * s->taps[COLUMNS];
    int64_t inputs = s->taps[DEPTH] * s->inputs;
    int64_t bytes = points * 4 * LANES * ceil_div(s->outputs, LANES) * inputs;
    return (line || !(s->along[0]->alone || s->along[1]->alone)) &&
           rewrite_may_grow(plain * 4 * s->outputs * inputs, bytes) &&
           (points <= 4 * plain || bytes <= MOST_GROWN);
}

/* Chooses the algorithms along both axes; infinite where there are none. */
static double winograd_cost(shape *s) {
    shape best = *s;
    double least = INFINITY;
    for (size_t i = 0; i < winograd_axes_count * winograd_axes_count; i++) {
        const winograd_axis *rows = &winograd_axes[i / winograd_axes_count];
        const winograd_axis *columns = &winograd_axes[i % winograd_axes_count];
        if (rows->taps != s->taps[ROWS] || rows->stride != s->strides[ROWS] ||
            columns->taps != s->taps[COLUMNS] || columns->stride != s->strides[COLUMNS])
            continue;
        s->along[0] = rows;
        s->along[1] = columns;
        if (go_together(s) && point_count(s) > 1) choose_blocks(s, &best, &least);
    }
    *s = best;
    return least;
}

/* ---- the rewriting ---- */

/* Whether a node transforms weights w by the algorithm of s. */
static bool transforms(const node *n, value_id w, const shape *s) {
    size_t axes;
    if (n->op != op_find(OP_INTERNAL, "WinogradWeights") || n->inputs[0] != w) return false;
    const int64_t *size = node_attr_ints(n, "size", &axes);
    const int64_t *strides = node_attr_ints(n, "strides", &axes);
    for (size_t i = axes == AXES; i < axes; i++)
        if (size[i] != s->along[2 - axes + i]->out || strides[i] != s->strides[AXES - axes + i])
            return false;
    return true;
}

static bool replace(graph *g, node_id n, const shape *s) {
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], w = nd.inputs[1], bias = nd.input_count > 2 ? nd.inputs[2] : 0;
    size_t axes = (size_t)s->axes, first = AXES - axes;
    int64_t out[] = {1, s->along[0]->out, s->along[1]->out}, depth[] = {s->planes, s->pads[0]};
    attr attrs[] = {attr_ints("size", out + first, axes),
                    attr_ints("kernel_shape", s->taps + first, axes),
                    attr_ints("strides", s->strides + first, axes),
                    attr_ints("dilations", s->dilations + first, axes),
                    attr_int("tiles", s->tiles),
                    attr_ints("pads", s->pads, 2 * axes),
                    attr_int("vectors", s->vectors),
                    attr_ints("depth", depth, 2)};
    enum { OF_WEIGHTS = 3, OF_DATA = 6, OF_PRODUCTS = 7, OF_VOLUMES = 8, PADS = 5 };
    value_id u = 0; /* that of another convolution with these weights, such as one of a pyramid */
    for (size_t i = 1; !u && i < g->nodes.count; i++)
        if (g->nodes.data[i].region == nd.region && transforms(&g->nodes.data[i], w, s))
            u = g->nodes.data[i].outputs[0];
    if (!u)
        u = graph_build(g, nd.region, n, OP_INTERNAL, "WinogradWeights", 1, &w, OF_WEIGHTS, attrs);
    if (!u) return false;
    if (!s->fused) {
        x = graph_build(g, nd.region, n, OP_INTERNAL, "WinogradInput", 1, &x, OF_DATA, attrs);
        if (!x) return false;
        attrs[PADS] = attr_int("tiles_outside", s->tiles_outside);
    }
    value_id inputs[] = {x, u, bias}, old = nd.outputs[0];
    value_id y = graph_add_value(g, graph_value(g, old)->name, *graph_type(g, old));
    node_id made = graph_add_node(
        g, nd.region, n, op_find(OP_INTERNAL, s->fused ? "WinogradConv" : "WinogradProduct"),
        nd.name, bias ? 3 : 2, inputs, 1, &y, has_depth(s) ? OF_VOLUMES : OF_PRODUCTS, attrs);
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
    if (!rewrite_is(g, n, "Conv") || !read_shape(g, n, &s)) return 0;
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
