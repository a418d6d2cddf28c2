/* winograd.c: convolutions of 3x3 windows by Winograd's algorithms F(4x4, 3x3) and F(2x2, 3x3)
 * (Lavin & Gray 2015): tiles of 4x4 results come from tiles of 6x6 inputs with 36 products a
 * channel pair in place of 144; tiles of 2x2 from 4x4 with 16 in place of 36, whose weights are
 * less than half the size. The attribute `size` is that of a tile of results. WinogradWeights
 * transforms weights (once, when they are constant), WinogradInput the data; WinogradProduct
 * multiplies them block by block and transforms each block back at once. WinogradConv is the latter
 * two in one kernel, where a block of transformed data is small enough for the stack. Tiles are
 * numbered through the batch, row by row, and cut into blocks of `tiles`; the last block repeats
 * its last tile, and nobody stores what comes of that. */
#include "ir/ops/kit.h"

#include <assert.h>

enum { MOST_OUT = 4, MOST_IN = 6, LANES = 16, KERNEL = 3 };

/* ---- the transforms along one axis ---- */

/* The polynomials of F(4, 3) are interpolated at 0, +-NEAR, +-FAR and infinity, where FAR is
 * 1 / NEAR. With the integers that are usual, 1 and 2, errors are over twice as large. */
#define NEAR 0.70710678118654752440
#define FAR  1.41421356237309504880

static loop_expr times(loop_kernel *k, double factor, loop_expr a) {
    return loop_mul(k, loop_const(k, DTYPE_F32, factor), a);
}

/* factor * a + b */
static loop_expr plus_times(loop_kernel *k, double factor, loop_expr a, loop_expr b) {
    return loop_make(k, LOOP_FMA, loop_const(k, DTYPE_F32, factor), a, b);
}

/* t = B^T d of F(4, 3). */
static void transform_input_4(loop_kernel *k, const loop_expr *d, loop_expr *t) {
    loop_expr even_near = plus_times(k, -FAR * FAR, d[2], d[4]);
    loop_expr even_far = plus_times(k, -NEAR * NEAR, d[2], d[4]);
    loop_expr odd_near = plus_times(k, -FAR * FAR, d[1], d[3]);
    loop_expr odd_far = plus_times(k, -NEAR * NEAR, d[1], d[3]);
    t[0] = plus_times(k, -(NEAR * NEAR + FAR * FAR), d[2], loop_add(k, d[0], d[4]));
    t[1] = plus_times(k, NEAR, odd_near, even_near);
    t[2] = plus_times(k, -NEAR, odd_near, even_near);
    t[3] = plus_times(k, FAR, odd_far, even_far);
    t[4] = plus_times(k, -FAR, odd_far, even_far);
    t[5] = plus_times(k, -(NEAR * NEAR + FAR * FAR), d[3], loop_add(k, d[1], d[5]));
}

/* y = A^T m of F(4, 3). */
static void transform_output_4(loop_kernel *k, const loop_expr *m, loop_expr *y) {
    loop_expr sum_near = loop_add(k, m[1], m[2]), less_near = loop_sub(k, m[1], m[2]);
    loop_expr sum_far = loop_add(k, m[3], m[4]), less_far = loop_sub(k, m[3], m[4]);
    y[0] = loop_add(k, loop_add(k, m[0], sum_near), sum_far);
    y[1] = plus_times(k, FAR, less_far, times(k, NEAR, less_near));
    y[2] = plus_times(k, FAR * FAR, sum_far, times(k, NEAR * NEAR, sum_near));
    y[3] = plus_times(k, FAR * FAR * FAR, less_far,
                      plus_times(k, NEAR * NEAR * NEAR, less_near, m[5]));
}

/* F(2, 3) has the points 0, +-1 and infinity. */
static void transform_input_2(loop_kernel *k, const loop_expr *d, loop_expr *t) {
    t[0] = loop_sub(k, d[2], d[0]);
    t[1] = loop_add(k, d[1], d[2]);
    t[2] = loop_sub(k, d[2], d[1]);
    t[3] = loop_sub(k, d[3], d[1]);
}

static void transform_output_2(loop_kernel *k, const loop_expr *m, loop_expr *y) {
    y[0] = loop_add(k, m[0], loop_add(k, m[1], m[2]));
    y[1] = loop_add(k, m[3], loop_sub(k, m[1], m[2]));
}

typedef void along_axis(loop_kernel *k, const loop_expr *from, loop_expr *to);

typedef struct {
    int out, in;          /* results of a tile along an axis, and the data that they come from */
    const double *points; /* but infinity */
    along_axis *input, *output;
} algorithm;

static const algorithm algorithms[] = {
    {2, 4, (const double[]){0, 1, -1}, transform_input_2, transform_output_2},
    {4, 6, (const double[]){0, NEAR, -NEAR, FAR, -FAR}, transform_input_4, transform_output_4},
};

/* That of a node's attribute `size`; NULL if there is none. */
static const algorithm *find_algorithm(graph *g, node_id n) {
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (algorithms[i].out == node_attr_int(graph_node(g, n), "size", 0)) return &algorithms[i];
    op_error(g, n, NULL, "attribute size is neither 2 nor 4");
    return NULL;
}

static int point_count(const algorithm *a) {
    return a->in * a->in;
}

/* u = G w, in doubles: the polynomial of the weights at each point, over the product of its
 * distances from the others. */
static void transform_weights(loop_kernel *k, const algorithm *a, const loop_expr *w,
                              loop_expr *u) {
    const double *points = a->points;
    int finite = a->in - 1;
    for (int i = 0; i < finite; i++) {
        double factor = 1;
        for (int j = 0; j < finite; j++)
            if (j != i) factor /= points[i] - points[j];
        u[i] = loop_mul(k, loop_const(k, DTYPE_F64, factor), w[0]);
        for (int j = 1; j < KERNEL && points[i] != 0; j++) {
            factor *= points[i];
            u[i] = loop_add(k, u[i], loop_mul(k, loop_const(k, DTYPE_F64, factor), w[j]));
        }
    }
    u[finite] = w[KERNEL - 1];
}

/* ---- the grid of tiles ---- */

typedef struct {
    const algorithm *a;
    int64_t pads[4]; /* of the input: top, left, bottom, right */
    int64_t tiles;   /* a block */
    dim images;
    dim out[2];       /* rows and columns of the result */
    dim down, across; /* tiles of one image */
    dim total, blocks;
} grid;

/* The grid over a result of these sizes. */
static bool read_grid(graph *g, node_id n, const dim *y, grid *r) {
    enum { MOST_TILES = 64 };
    dim_table *t = g->dims;
    r->tiles = node_attr_int(graph_node(g, n), "tiles", 0);
    if (r->tiles < 1 || r->tiles > MOST_TILES)
        return op_error(g, n, NULL, "attribute tiles is not in 1 to %d", MOST_TILES);
    r->a = find_algorithm(g, n);
    if (!r->a) return false;
    r->images = y[0];
    for (int i = 0; i < 2; i++) r->out[i] = y[2 + i];
    r->down = dim_ceildiv(t, r->out[0], dim_const(t, r->a->out));
    r->across = dim_ceildiv(t, r->out[1], dim_const(t, r->a->out));
    r->total = dim_mul(t, r->images, dim_mul(t, r->down, r->across));
    r->blocks = dim_ceildiv(t, r->total, dim_const(t, r->tiles));
    return true;
}

/* The grid over the result of a convolution of data of type x. */
static bool read_input_grid(graph *g, node_id n, const type *x, grid *r) {
    size_t count;
    const int64_t *pads = node_attr_ints(graph_node(g, n), "pads", &count);
    dim y[] = {x->dims[0], x->dims[1], x->dims[2], x->dims[3]};
    if (count != 4) return op_error(g, n, NULL, "attribute pads has not four numbers");
    for (int i = 0; i < 4; i++) {
        if (pads[i] < 0 || pads[i] >= KERNEL)
            return op_error(g, n, NULL, "attribute pads is not in 0 to %d", KERNEL - 1);
        r->pads[i] = pads[i];
        y[2 + i % 2] = dim_add(g->dims, y[2 + i % 2], dim_const(g->dims, pads[i] - 1));
    }
    return read_grid(g, n, y, r);
}

static dim channel_blocks(graph *g, dim channels) {
    return dim_ceildiv(g->dims, channels, dim_const(g->dims, LANES));
}

/* Where a tile lies: its image, and the row and column of its first result. */
typedef struct {
    loop_expr image, row, column;
} place;

static place place_tile(lower *l, const grid *r, loop_expr tile) {
    loop_kernel *k = lower_kernel(l);
    loop_expr across = loop_dim(k, r->across), down = loop_dim(k, r->down),
              size = loop_int(k, r->a->out);
    loop_expr line = loop_floordiv(k, tile, across);
    bool one = dim_equals_const(lower_graph(l)->dims, r->images, 1);
    return (place){one ? loop_int(k, 0) : loop_floordiv(k, line, down),
                   loop_mul(k, one ? line : loop_mod(k, line, down), size),
                   loop_mul(k, loop_mod(k, tile, across), size)};
}

/* Whether `index` is below `limit`, as far as is known. */
static bool always_below(lower *l, loop_expr index, loop_expr limit) {
    int64_t low, high;
    loop_range(lower_kernel(l), loop_sub(lower_kernel(l), index, limit), &low, &high);
    return high < 0;
}

/* The number of tile t of a block; the last one's where there are no more of them. `exists` says
 * whether there is one: 0 where there always is. */
static loop_expr tile_number(lower *l, const grid *r, loop_expr block, loop_expr t,
                             loop_expr *exists) {
    loop_kernel *k = lower_kernel(l);
    loop_expr total = loop_dim(k, r->total);
    loop_expr tile = loop_add(k, loop_mul(k, block, loop_int(k, r->tiles)), t);
    bool always = always_below(l, tile, total);
    *exists = always ? 0 : loop_lt(k, tile, total);
    return always ? tile : loop_min(k, tile, loop_sub(k, total, loop_int(k, 1)));
}

/* The rows, then the columns of a square in registers. `fill` gives element (i, j) of the square
 * that goes in, `drain` takes that of what comes out. */
typedef struct {
    lower *l;
    dtype type;
    int in, out;
    along_axis *along;
    loop_expr (*fill)(void *user, int i, int j);
    void (*drain)(void *user, int i, int j, loop_expr value);
    void *user;
} square;

static void transform_square(const square *s) {
    lower *l = s->l;
    loop_kernel *k = lower_kernel(l);
    int64_t size = (int64_t)s->out * s->in;
    loop_buf half = lower_local(l, "half", s->type, LOOP_SPACE_TILE, 1, &size);
    loop_expr from[MOST_IN], to[MOST_IN];
    for (int j = 0; j < s->in; j++) {
        for (int i = 0; i < s->in; i++) from[i] = s->fill(s->user, i, j);
        s->along(k, from, to);
        for (int i = 0; i < s->out; i++) {
            loop_expr at = loop_int(k, (int64_t)i * s->in + j);
            lower_assign(l, half, &at, to[i]);
        }
    }
    for (int i = 0; i < s->out; i++) {
        for (int j = 0; j < s->in; j++) {
            loop_expr at = loop_int(k, (int64_t)i * s->in + j);
            from[j] = lower_value(l, half, &at);
        }
        s->along(k, from, to);
        for (int j = 0; j < s->out; j++) s->drain(s->user, i, j, to[j]);
    }
}

/* ---- weights ---- */

static bool infer_weights(graph *g, node_id n) {
    const algorithm *a = find_algorithm(g, n);
    if (!a || !kit_need(g, n, 0, 4, 4)) return false;
    const type w = *kit_input(g, n, 0);
    for (int i = 2; i < 4; i++)
        if (!dim_equals_const(g->dims, w.dims[i], KERNEL))
            return op_error(g, n, NULL, "the window is not 3x3");
    dim dims[] = {channel_blocks(g, w.dims[0]), kit_dim(g, point_count(a)), w.dims[1],
                  kit_dim(g, LANES)};
    op_set_type(g, n, 0, type_tensor(DTYPE_F32, 4, dims));
    return true;
}

typedef struct {
    lower *l;
    const algorithm *a;
    value_id from, to;
    loop_expr block, input, lane;
} weight_square;

static loop_expr read_weight(void *user, int i, int j) {
    weight_square *s = user;
    loop_kernel *k = lower_kernel(s->l);
    loop_expr output = loop_add(k, loop_mul(k, s->block, loop_int(k, LANES)), s->lane);
    loop_expr at[] = {output, s->input, loop_int(k, i), loop_int(k, j)};
    return loop_cast(k, DTYPE_F64, lower_read_or(s->l, s->from, at, loop_const(k, DTYPE_F32, 0)));
}

static void write_weight(void *user, int i, int j, loop_expr value) {
    weight_square *s = user;
    loop_kernel *k = lower_kernel(s->l);
    loop_expr at[] = {s->block, loop_int(k, i * s->a->in + j), s->input, s->lane};
    lower_write(s->l, s->to, at, loop_cast(k, DTYPE_F32, value));
}

/* The square of weights is smaller than that of the other transforms along both axes: its rows
 * are transformed, then its columns. */
static void nest_weights(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    weight_square s = {.l = l,
                       .a = find_algorithm(g, n),
                       .from = graph_input(g, n, 0),
                       .to = graph_output(g, n, 0)};
    s.block = lower_begin(l, LOOP_INDEPENDENT, "b", lower_dim(l, s.to, 0));
    s.input = lower_begin(l, LOOP_INDEPENDENT, "c", lower_dim(l, s.to, 2));
    s.lane = lower_begin(l, LOOP_INDEPENDENT, "l", loop_int(k, LANES));
    loop_expr half[MOST_IN][KERNEL], from[KERNEL], to[MOST_IN];
    for (int j = 0; j < KERNEL; j++) {
        for (int i = 0; i < KERNEL; i++) from[i] = read_weight(&s, i, j);
        transform_weights(k, s.a, from, to);
        for (int i = 0; i < s.a->in; i++) half[i][j] = to[i];
    }
    for (int i = 0; i < s.a->in; i++) {
        transform_weights(k, s.a, half[i], to);
        for (int j = 0; j < s.a->in; j++) write_weight(&s, i, j, to[j]);
    }
    for (int i = 0; i < 3; i++) lower_end(l);
}

/* ---- data ---- */

/* One convolution as it is lowered. Transformed data are a value of the graph,
 * [blocks][points][C/16] [tiles][16], or (v is 0) one block of them on the stack. */
typedef struct {
    lower *l;
    grid r;
    value_id x, v, weights, bias, y;
    loop_buf local;
    loop_expr inputs; /* channels */
    int64_t vectors;  /* of output channels at once */
    /* what the loops at hand stand at */
    loop_expr block, input_block, t, lane;
    place from;
    loop_buf products; /* [tile][vector][point][16] */
    loop_expr vector, channel;
} winograd;

static void store_data(winograd *c, loop_expr point, loop_expr value) {
    loop_expr at[] = {c->block, point, c->input_block, c->t, c->lane};
    if (c->v)
        lower_write(c->l, c->v, at, value);
    else
        lower_assign(c->l, c->local, at + 1, value);
}

static loop_expr load_data(winograd *c, loop_expr point, loop_expr channel_block, loop_expr lane) {
    loop_expr at[] = {c->block, point, channel_block, c->t, lane};
    return c->v ? lower_read(c->l, c->v, at) : lower_value(c->l, c->local, at + 1);
}

static loop_expr read_data(void *user, int i, int j) {
    winograd *c = user;
    loop_kernel *k = lower_kernel(c->l);
    loop_expr at[] = {c->from.image,
                      loop_add(k, loop_mul(k, c->input_block, loop_int(k, LANES)), c->lane),
                      loop_add(k, c->from.row, loop_int(k, i - c->r.pads[0])),
                      loop_add(k, c->from.column, loop_int(k, j - c->r.pads[1]))};
    return lower_read_or(c->l, c->x, at, loop_const(k, DTYPE_F32, 0));
}

static void write_data(void *user, int i, int j, loop_expr value) {
    winograd *c = user;
    store_data(c, loop_int(lower_kernel(c->l), i * c->r.a->in + j), value);
}

/* Transforms one block of tiles of 16 channels. */
static void transform_block(winograd *c) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    c->t = lower_begin(l, LOOP_SERIAL, "t", loop_int(k, c->r.tiles));
    loop_expr exists, tile = tile_number(l, &c->r, c->block, c->t, &exists);
    c->from = place_tile(l, &c->r, tile);
    c->lane = lower_begin_lanes(l, c->x, 1, c->input_block);
    const algorithm *a = c->r.a;
    square s = {l, DTYPE_F32, a->in, a->in, a->input, read_data, write_data, c};
    transform_square(&s);
    lower_end(l);
    lower_end(l);
}

static bool infer_input(graph *g, node_id n) {
    grid r;
    if (!kit_need(g, n, 0, 4, 4)) return false;
    const type x = *kit_input(g, n, 0);
    if (!read_input_grid(g, n, &x, &r)) return false;
    dim dims[] = {r.blocks, kit_dim(g, point_count(r.a)), channel_blocks(g, x.dims[1]),
                  kit_dim(g, r.tiles), kit_dim(g, LANES)};
    op_set_type(g, n, 0, type_tensor(DTYPE_F32, 5, dims));
    return true;
}

static void nest_input(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    winograd c = {.l = l, .x = graph_input(g, n, 0), .v = graph_output(g, n, 0)};
    bool ok = read_input_grid(g, n, lower_type(l, c.x), &c.r);
    assert(ok), (void)ok;
    loop_expr blocks = loop_dim(k, c.r.blocks), parts = lower_dim(l, c.v, 2);
    loop_expr p = lower_begin(l, LOOP_PARALLEL, "p", loop_mul(k, blocks, parts));
    c.block = loop_floordiv(k, p, parts);
    c.input_block = loop_mod(k, p, parts);
    transform_block(&c);
    lower_end(l);
    k->work = kit_dim(g, 0); /* the products count for all */
}

/* ---- products ---- */

/* Sums over the input channels, [tiles][vectors][points][16]. */
static void multiply_block(winograd *c, loop_expr group) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    loop_expr lanes = loop_int(k, LANES), vectors = loop_int(k, c->vectors);
    loop_expr point = lower_begin(l, LOOP_SERIAL, "p", loop_int(k, point_count(c->r.a)));
    c->t = lower_begin(l, LOOP_INDEPENDENT, "t", loop_int(k, c->r.tiles));
    loop_expr vector = lower_begin(l, LOOP_INDEPENDENT, "v", vectors);
    loop_expr lane = lower_begin(l, LOOP_INDEPENDENT, "l", lanes);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_F32);
    lower_assign(l, acc, NULL, loop_const(k, DTYPE_F32, 0));
    loop_expr parts = loop_floordiv(k, loop_add(k, c->inputs, loop_int(k, LANES - 1)), lanes);
    loop_expr part = lower_begin(l, LOOP_REDUCE, "rb", parts);
    loop_expr first = loop_mul(k, part, lanes);
    loop_expr left = loop_sub(k, c->inputs, first);
    int64_t inputs;
    bool whole = loop_is_int(k, c->inputs, &inputs) && inputs % LANES == 0;
    loop_expr inner = lower_begin(l, LOOP_REDUCE, "rl", whole ? lanes : loop_min(k, lanes, left));
    loop_expr at[] = {loop_add(k, loop_mul(k, group, vectors), vector), point,
                      loop_add(k, first, inner), lane};
    lower_accumulate(l, acc, LOOP_ADD,
                     loop_mul(k, load_data(c, point, part, inner), lower_read(l, c->weights, at)));
    lower_end(l);
    lower_end(l);
    loop_expr to[] = {c->t, vector, point, lane};
    lower_assign(l, c->products, to, lower_value(l, acc, NULL));
    for (int i = 0; i < 4; i++) lower_end(l);
}

static loop_expr read_product(void *user, int i, int j) {
    winograd *c = user;
    loop_expr at[] = {c->t, c->vector, loop_int(lower_kernel(c->l), i * c->r.a->in + j), c->lane};
    return lower_value(c->l, c->products, at);
}

static void write_result(void *user, int i, int j, loop_expr value) {
    winograd *c = user;
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    loop_expr at[] = {c->from.image, c->channel, loop_add(k, c->from.row, loop_int(k, i)),
                      loop_add(k, c->from.column, loop_int(k, j))};
    loop_expr inside = 0;
    for (int axis = 0; axis < 2; axis++) {
        loop_expr limit = loop_dim(k, c->r.out[axis]);
        if (always_below(l, at[2 + axis], limit)) continue;
        loop_expr ok = loop_lt(k, at[2 + axis], limit);
        inside = inside ? loop_and(k, inside, ok) : ok;
    }
    if (inside) lower_begin_if(l, inside);
    loop_expr bias = kit_read_parameter(l, DTYPE_F32, c->bias, c->channel, 0);
    lower_write(l, c->y, at, c->bias ? loop_add(k, value, bias) : value);
    if (inside) lower_end_if(l);
}

/* Transforms the products of a block back, tile by tile. */
static void finish_block(winograd *c, loop_expr group) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    c->t = lower_begin(l, LOOP_SERIAL, "t", loop_int(k, c->r.tiles));
    loop_expr exists, tile = tile_number(l, &c->r, c->block, c->t, &exists);
    if (exists) lower_begin_if(l, exists);
    c->from = place_tile(l, &c->r, tile);
    c->vector = lower_begin(l, LOOP_SERIAL, "v", loop_int(k, c->vectors));
    loop_expr first = loop_add(k, loop_mul(k, group, loop_int(k, c->vectors)), c->vector);
    c->lane = lower_begin_lanes(l, c->y, 1, first);
    c->channel = loop_add(k, loop_mul(k, first, loop_int(k, LANES)), c->lane);
    const algorithm *a = c->r.a;
    square s = {l, DTYPE_F32, a->in, a->out, a->output, read_product, write_result, c};
    transform_square(&s);
    lower_end(l);
    lower_end(l);
    if (exists) lower_end_if(l);
    lower_end(l);
}

/* Checks the weights and the bias of a convolution with `outputs` channels. */
static bool check_operands(graph *g, node_id n, dim inputs, dim outputs) {
    if (!kit_need(g, n, 1, 4, 4)) return false;
    const type w = *kit_input(g, n, 1);
    int64_t vectors = node_attr_int(graph_node(g, n), "vectors", 0), blocks;
    if (!dim_is_const(g->dims, w.dims[0], &blocks) || vectors < 1 || blocks % vectors)
        return op_error(g, n, NULL, "attribute vectors does not divide the output channels");
    const algorithm *a = find_algorithm(g, n);
    if (!a) return false;
    if (!dim_equals_const(g->dims, w.dims[1], point_count(a)) ||
        !dim_equals_const(g->dims, w.dims[3], LANES))
        return op_error(g, n, NULL, "the weights are not transformed");
    return kit_agree(g, n, w.dims[0], channel_blocks(g, outputs), "output channels") &&
           kit_agree(g, n, channel_blocks(g, w.dims[2]), inputs, "input channels") &&
           kit_vector(g, n, 2, outputs, "the bias");
}

/* The number of output channels and the size of the result are those of the convolution that the
 * node came from: its output has them, with a layout that stays. */
static bool infer_product(graph *g, node_id n) {
    const type y = *graph_type(g, graph_output(g, n, 0));
    grid r;
    if (y.kind != TYPE_TENSOR || y.rank != 4)
        return op_error(g, n, NULL, "the type of its result is not declared");
    if (!kit_need(g, n, 0, 5, 5) || !read_grid(g, n, y.dims, &r)) return false;
    const type v = *kit_input(g, n, 0);
    return kit_agree(g, n, v.dims[3], kit_dim(g, r.tiles), "tiles of a block") &&
           check_operands(g, n, v.dims[2], y.dims[1]);
}

static bool infer_winograd(graph *g, node_id n) {
    const type y = *graph_type(g, graph_output(g, n, 0));
    grid r;
    if (!kit_need(g, n, 0, 4, 4)) return false;
    const type x = *kit_input(g, n, 0);
    if (y.kind != TYPE_TENSOR || y.rank != 4)
        return op_error(g, n, NULL, "the type of its result is not declared");
    return read_input_grid(g, n, &x, &r) && kit_agree(g, n, y.dims[2], r.out[0], "rows") &&
           kit_agree(g, n, y.dims[3], r.out[1], "columns") &&
           check_operands(g, n, channel_blocks(g, x.dims[1]), y.dims[1]);
}

static winograd begin_products(lower *l, node_id n) {
    graph *g = lower_graph(l);
    winograd c = {.l = l,
                  .weights = graph_input(g, n, 1),
                  .bias = graph_input(g, n, 2),
                  .y = graph_output(g, n, 0),
                  .vectors = node_attr_int(graph_node(g, n), "vectors", 1)};
    c.inputs = lower_dim(l, c.weights, 2);
    dim inputs = lower_type(l, c.weights)->dims[2],
        results = type_elements(g->dims, lower_type(l, c.y));
    lower_kernel(l)->work =
        dim_mul(g->dims, kit_dim(g, 2 * KERNEL * KERNEL), dim_mul(g->dims, inputs, results));
    int64_t extents[] = {node_attr_int(graph_node(g, n), "tiles", 1), c.vectors,
                         point_count(find_algorithm(g, n)), LANES};
    c.products = lower_local(l, "products", DTYPE_F32, LOOP_SPACE_STACK, 4, extents);
    return c;
}

/* Blocks of tiles times groups of output channels, in the order that reads less: the operand of the
 * outer loop stays in cache while the other streams past it. */
static void nest_product(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    winograd c = begin_products(l, n);
    c.v = graph_input(g, n, 0);
    bool ok = read_grid(g, n, lower_type(l, c.y)->dims, &c.r);
    assert(ok), (void)ok;
    bool tiles_outside = node_attr_int(graph_node(g, n), "tiles_outside", 0);
    loop_expr groups = loop_floordiv(k, lower_dim(l, c.weights, 0), loop_int(k, c.vectors));
    loop_expr blocks = loop_dim(k, c.r.blocks), inner = tiles_outside ? groups : blocks;
    loop_expr p = lower_begin(l, LOOP_PARALLEL, "p", loop_mul(k, blocks, groups));
    loop_expr outer_at = loop_floordiv(k, p, inner), inner_at = loop_mod(k, p, inner);
    c.block = tiles_outside ? outer_at : inner_at;
    loop_expr group = tiles_outside ? inner_at : outer_at;
    multiply_block(&c, group);
    finish_block(&c, group);
    lower_end(l);
}

static void nest_winograd(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    winograd c = begin_products(l, n);
    c.x = graph_input(g, n, 0);
    bool ok = read_input_grid(g, n, lower_type(l, c.x), &c.r);
    assert(ok), (void)ok;
    dim parts = channel_blocks(g, lower_type(l, c.x)->dims[1]);
    int64_t extents[] = {point_count(c.r.a), dim_value(g->dims, parts), c.r.tiles, LANES};
    c.local = lower_local(l, "data", DTYPE_F32, LOOP_SPACE_STACK, 4, extents);
    c.block = lower_begin(l, LOOP_PARALLEL, "p", loop_dim(k, c.r.blocks));
    c.input_block = lower_begin(l, LOOP_SERIAL, "b", loop_dim(k, parts));
    transform_block(&c);
    lower_end(l);
    loop_expr groups = loop_floordiv(k, lower_dim(l, c.weights, 0), loop_int(k, c.vectors));
    loop_expr group = lower_begin(l, LOOP_SERIAL, "g", groups);
    multiply_block(&c, group);
    finish_block(&c, group);
    lower_end(l);
    lower_end(l);
}

const op_def ops_winograd[] = {
    {.domain = OP_INTERNAL,
     .name = "WinogradWeights",
     .flags = OP_ANCHOR,
     .infer = infer_weights,
     .nest = nest_weights},
    {.domain = OP_INTERNAL,
     .name = "WinogradInput",
     .flags = OP_ANCHOR,
     .infer = infer_input,
     .nest = nest_input},
    {.domain = OP_INTERNAL,
     .name = "WinogradProduct",
     .flags = OP_ANCHOR,
     .infer = infer_product,
     .nest = nest_product},
    {.domain = OP_INTERNAL,
     .name = "WinogradConv",
     .flags = OP_ANCHOR,
     .infer = infer_winograd,
     .nest = nest_winograd},
};
const size_t ops_winograd_count = sizeof ops_winograd / sizeof *ops_winograd;
