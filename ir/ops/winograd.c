/* winograd.c: convolutions by Winograd's algorithm (Lavin & Gray 2015), of one along the rows and
 * one along the columns (winograd_axis.h): F(4x4, 3x3) takes tiles of 4x4 results from tiles of 6x6
 * data with 36 products a channel pair in place of 144. WinogradWeights transforms weights (once,
 * when they are constant), WinogradInput the data; WinogradProduct multiplies them block by block
 * and transforms each block back at once. WinogradConv is the latter two in one kernel, where a
 * block of transformed data is small enough for the stack. Tiles are numbered through the batch,
 * row by row, and cut into blocks of `tiles`; the last block repeats its last tile, and nobody
 * stores what comes of that. The attribute `size` is that of a tile of results. A convolution along
 * one axis has one row. One with dilations d has d * d dense ones within: those of the results that
 * lie d apart, and each tile is of one of these. A convolution of volumes is a sum of those of
 * planes, over the taps along the first axis (the depth): the planes of data are transformed, each
 * in blocks of its own, and the products of a plane of results add up channels and planes. */
#include "ir/ops/kit.h"
#include "ir/ops/window.h"
#include "ir/ops/winograd_axis.h"

#include <assert.h>

enum { LANES = 16 };

/* ---- algorithms ---- */

/* One along the rows and one along the columns, and what they make of a tile. */
typedef struct {
    const winograd_axis *axes[2];
    int data[2], products[2], points; /* points: products of a tile */
} algorithm;

/* Attribute `name` along the rows and the columns, the last two axes. */
static bool read_pair(graph *g, node_id n, const char *name, int64_t *pair) {
    size_t count;
    const int64_t *given = node_attr_ints(graph_node(g, n), name, &count);
    if (count < 1 || count > 3)
        return op_error(g, n, NULL, "attribute %s has not one to three numbers", name);
    pair[0] = count > 1 ? given[count - 2] : 1;
    pair[1] = given[count - 1];
    return true;
}

static bool read_algorithm(graph *g, node_id n, algorithm *a) {
    int64_t size[2], taps[2], strides[2];
    if (!read_pair(g, n, "size", size) || !read_pair(g, n, "kernel_shape", taps) ||
        !read_pair(g, n, "strides", strides))
        return false;
    a->points = 1;
    for (int i = 0; i < 2; i++) {
        a->axes[i] = winograd_find(taps[i], strides[i], size[i]);
        if (!a->axes[i])
            return op_error(g, n, NULL, "no algorithm has %lld results of a window of %lld",
                            (long long)size[i], (long long)taps[i]);
        a->data[i] = winograd_data(a->axes[i]);
        a->products[i] = winograd_products(a->axes[i]);
        a->points *= a->products[i];
    }
    return true;
}

/* ---- the grid of tiles ---- */

typedef struct {
    algorithm a;
    window w;      /* of the input */
    int64_t tiles; /* a block */
    int rank;      /* of the result: 3 with columns alone, 4 with rows too, 5 with depth */
    dim images;
    dim depth;           /* planes of an image: of data or of results; rank 5 */
    dim out[2];          /* rows and columns of the result */
    int64_t dilation[2]; /* along the rows and the columns */
    dim each[2];         /* tiles along an axis, of those results that lie a dilation apart */
    dim down, across;    /* tiles of one image or plane */
    dim total;           /* tiles that share blocks: of the batch, or of a plane */
    dim plane_blocks, blocks;
} grid;

/* The grid over a result of this type. */
static bool read_grid(graph *g, node_id n, const type *y, grid *r) {
    enum { MOST_TILES = 64 };
    dim_table *t = g->dims;
    r->tiles = node_attr_int(graph_node(g, n), "tiles", 0);
    if (r->tiles < 1 || r->tiles > MOST_TILES)
        return op_error(g, n, NULL, "attribute tiles is not in 1 to %d", MOST_TILES);
    r->dilation[0] = r->dilation[1] = 1;
    if (!read_algorithm(g, n, &r->a) ||
        (node_attr(graph_node(g, n), "dilations") && !read_pair(g, n, "dilations", r->dilation)))
        return false;
    r->rank = y->rank;
    r->images = y->dims[0];
    r->depth = r->rank == 5 ? y->dims[2] : dim_const(t, 1);
    r->out[0] = r->rank > 3 ? y->dims[r->rank - 2] : dim_const(t, 1);
    r->out[1] = y->dims[r->rank - 1];
    for (int i = 0; i < 2; i++) {
        dim apart = dim_const(t, r->dilation[i]);
        dim results = dim_ceildiv(t, r->out[i], apart);
        r->each[i] = dim_ceildiv(t, results, dim_const(t, r->a.axes[i]->out));
    }
    r->down = dim_mul(t, r->each[0], dim_const(t, r->dilation[0]));
    r->across = dim_mul(t, r->each[1], dim_const(t, r->dilation[1]));
    dim planes = r->rank == 5 ? dim_mul(t, r->images, r->depth) : dim_const(t, 1);
    r->total = dim_mul(t, r->down, r->across);
    if (r->rank < 5) r->total = dim_mul(t, r->images, r->total);
    r->plane_blocks = dim_ceildiv(t, r->total, dim_const(t, r->tiles));
    r->blocks = dim_mul(t, planes, r->plane_blocks);
    return true;
}

/* The grid over the result of a convolution of data of type x; its planes are those of the data. */
static bool read_input_grid(graph *g, node_id n, value_id x, grid *r) {
    const type t = *graph_type(g, x);
    dim dims[5] = {t.dims[0], t.dims[1]};
    r->w.axes = t.rank - 2;
    if (!window_kernel_attr(g, n, &r->w) || !window_read(g, n, x, false, &r->w)) return false;
    for (int i = 0; i < r->w.axes; i++) dims[2 + i] = r->w.out[i];
    if (t.rank == 5) dims[2] = t.dims[2];
    const type y = type_tensor(t.dtype, t.rank, dims);
    return read_grid(g, n, &y, r);
}

static dim channel_blocks(graph *g, dim channels) {
    return dim_ceildiv(g->dims, channels, dim_const(g->dims, LANES));
}

/* Where a tile lies: its image and plane, and the row and column of its first result. */
typedef struct {
    loop_expr image, plane, row, column;
} place;

/* The position of a channel, a row and a column of its plane in a tensor of this rank. */
static void set_place(const grid *r, const place *p, loop_expr channel, loop_expr row,
                      loop_expr column, loop_expr *at) {
    at[0] = p->image;
    at[1] = channel;
    if (r->rank == 5) at[2] = p->plane;
    if (r->rank > 3) at[r->rank - 2] = row;
    at[r->rank - 1] = column;
}

/* The first result along one axis of tile `at` of that axis. */
static loop_expr first_result(lower *l, const grid *r, int axis, loop_expr at) {
    loop_kernel *k = lower_kernel(l);
    loop_expr size = loop_int(k, r->a.axes[axis]->out), each = loop_dim(k, r->each[axis]);
    if (r->dilation[axis] == 1) return loop_mul(k, at, size);
    loop_expr apart = loop_int(k, r->dilation[axis]);
    loop_expr within = loop_mul(k, loop_mul(k, loop_mod(k, at, each), size), apart);
    return loop_add(k, loop_floordiv(k, at, each), within);
}

/* Of a tile of a block: blocks are of the batch, or of the plane that they are in. */
static place place_tile(lower *l, const grid *r, loop_expr block, loop_expr tile) {
    loop_kernel *k = lower_kernel(l);
    loop_expr across = loop_dim(k, r->across), down = loop_dim(k, r->down);
    loop_expr line = loop_floordiv(k, tile, across), depth = loop_dim(k, r->depth);
    loop_expr plane = loop_floordiv(k, block, loop_dim(k, r->plane_blocks));
    bool volumes = r->rank == 5, one = dim_equals_const(lower_graph(l)->dims, r->images, 1);
    place p = {.image = one ? loop_int(k, 0) : loop_floordiv(k, line, down),
               .row = first_result(l, r, 0, one || volumes ? line : loop_mod(k, line, down)),
               .column = first_result(l, r, 1, loop_mod(k, tile, across))};
    if (volumes) {
        p.image = loop_floordiv(k, plane, depth);
        p.plane = loop_mod(k, plane, depth);
    }
    return p;
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
    if (r->rank == 5) block = loop_mod(k, block, loop_dim(k, r->plane_blocks));
    loop_expr tile = loop_add(k, loop_mul(k, block, loop_int(k, r->tiles)), t);
    bool always = always_below(l, tile, total);
    *exists = always ? 0 : loop_lt(k, tile, total);
    return always ? tile : loop_min(k, tile, loop_sub(k, total, loop_int(k, 1)));
}

/* ---- transforms of tiles ---- */

typedef void along_axis(loop_kernel *k, const winograd_axis *a, const loop_expr *from,
                        loop_expr *to);

/* A tile in registers, transformed along its columns' length, then along its rows'. `fill` gives
 * element (i, j) of what goes in, `drain` takes that of what comes out. */
typedef struct {
    lower *l;
    dtype type;
    const algorithm *a;
    along_axis *along;
    int in[2], out[2];
    loop_expr (*fill)(void *user, int i, int j);
    void (*drain)(void *user, int i, int j, loop_expr value);
    void *user;
} tile_transform;

static void transform_tile(const tile_transform *t) {
    lower *l = t->l;
    loop_kernel *k = lower_kernel(l);
    int64_t size = (int64_t)t->out[0] * t->in[1];
    loop_buf half = lower_local(l, "half", t->type, LOOP_SPACE_TILE, 1, &size);
    loop_expr from[WINOGRAD_MOST_DATA], to[WINOGRAD_MOST_DATA];
    for (int j = 0; j < t->in[1]; j++) {
        for (int i = 0; i < t->in[0]; i++) from[i] = t->fill(t->user, i, j);
        t->along(k, t->a->axes[0], from, to);
        for (int i = 0; i < t->out[0]; i++) {
            loop_expr at = loop_int(k, (int64_t)i * t->in[1] + j);
            lower_assign(l, half, &at, to[i]);
        }
    }
    for (int i = 0; i < t->out[0]; i++) {
        for (int j = 0; j < t->in[1]; j++) {
            loop_expr at = loop_int(k, (int64_t)i * t->in[1] + j);
            from[j] = lower_value(l, half, &at);
        }
        t->along(k, t->a->axes[1], from, to);
        for (int j = 0; j < t->out[1]; j++) t->drain(t->user, i, j, to[j]);
    }
}

/* ---- weights ---- */

static bool infer_weights(graph *g, node_id n) {
    algorithm a;
    if (!kit_need(g, n, 0, 3, 5) || !read_algorithm(g, n, &a)) return false;
    const type w = *kit_input(g, n, 0);
    for (int i = w.rank == 5 ? 3 : 2; i < w.rank; i++)
        if (!dim_equals_const(g->dims, w.dims[i], a.axes[2 - w.rank + i]->taps))
            return op_error(g, n, NULL, "the window is not that of kernel_shape");
    dim inputs = w.rank == 5 ? dim_mul(g->dims, w.dims[2], w.dims[1]) : w.dims[1];
    dim dims[] = {channel_blocks(g, w.dims[0]), kit_dim(g, a.points), inputs, kit_dim(g, LANES)};
    op_set_type(g, n, 0, type_tensor(DTYPE_F32, 4, dims));
    return true;
}

typedef struct {
    lower *l;
    algorithm a;
    value_id from, to;
    loop_expr block, input, lane;
} weight_tile;

static loop_expr read_weight(void *user, int i, int j) {
    weight_tile *s = user;
    loop_kernel *k = lower_kernel(s->l);
    loop_expr output = loop_add(k, loop_mul(k, s->block, loop_int(k, LANES)), s->lane);
    loop_expr at[5] = {output, s->input}, inputs = lower_dim(s->l, s->from, 1);
    int rank = lower_type(s->l, s->from)->rank;
    if (rank == 5) {
        at[1] = loop_mod(k, s->input, inputs);
        at[2] = loop_floordiv(k, s->input, inputs);
    }
    if (rank > 3) at[rank - 2] = loop_int(k, i);
    at[rank - 1] = loop_int(k, j);
    return loop_cast(k, DTYPE_F64, lower_read_or(s->l, s->from, at, loop_const(k, DTYPE_F32, 0)));
}

static void write_weight(void *user, int i, int j, loop_expr value) {
    weight_tile *s = user;
    loop_kernel *k = lower_kernel(s->l);
    loop_expr point = loop_int(k, i * s->a.products[1] + j);
    loop_expr at[] = {s->block, point, s->input, s->lane};
    lower_write(s->l, s->to, at, loop_cast(k, DTYPE_F32, value));
}

static void nest_weights(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    weight_tile s = {.l = l, .from = graph_input(g, n, 0), .to = graph_output(g, n, 0)};
    bool ok = read_algorithm(g, n, &s.a);
    assert(ok), (void)ok;
    s.block = lower_begin(l, LOOP_INDEPENDENT, "b", lower_dim(l, s.to, 0));
    s.input = lower_begin(l, LOOP_INDEPENDENT, "c", lower_dim(l, s.to, 2));
    s.lane = lower_begin(l, LOOP_INDEPENDENT, "l", loop_int(k, LANES));
    tile_transform t = {.l = l,
                        .type = DTYPE_F64,
                        .a = &s.a,
                        .along = winograd_transform_weights,
                        .in = {s.a.axes[0]->taps, s.a.axes[1]->taps},
                        .out = {s.a.products[0], s.a.products[1]},
                        .fill = read_weight,
                        .drain = write_weight,
                        .user = &s};
    transform_tile(&t);
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
    window depth;     /* of volumes: the taps along the first axis */
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

static loop_expr load_data(winograd *c, loop_expr block, loop_expr point, loop_expr channel_block,
                           loop_expr lane) {
    loop_expr at[] = {block, point, channel_block, c->t, lane};
    return c->v ? lower_read(c->l, c->v, at) : lower_value(c->l, c->local, at + 1);
}

static loop_expr read_data(void *user, int i, int j) {
    winograd *c = user;
    loop_kernel *k = lower_kernel(c->l);
    const window *w = &c->r.w;
    loop_expr channel = loop_add(k, loop_mul(k, c->input_block, loop_int(k, LANES)), c->lane);
    loop_expr at[5], zero = loop_int(k, 0);
    int rows = w->axes - 2, columns = w->axes - 1;
    loop_expr row = rows < 0 ? zero : window_tap(c->l, w, rows, c->from.row, loop_int(k, i));
    loop_expr column = window_tap(c->l, w, columns, c->from.column, loop_int(k, j));
    set_place(&c->r, &c->from, channel, row, column, at);
    return lower_read_or(c->l, c->x, at, loop_const(k, DTYPE_F32, 0));
}

static void write_data(void *user, int i, int j, loop_expr value) {
    winograd *c = user;
    store_data(c, loop_int(lower_kernel(c->l), i * c->r.a.products[1] + j), value);
}

/* Transforms one block of tiles of 16 channels. */
static void transform_block(winograd *c) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    c->t = lower_begin(l, LOOP_SERIAL, "t", loop_int(k, c->r.tiles));
    loop_expr exists, tile = tile_number(l, &c->r, c->block, c->t, &exists);
    c->from = place_tile(l, &c->r, c->block, tile);
    c->lane = lower_begin_lanes(l, c->x, 1, c->input_block);
    const algorithm *a = &c->r.a;
    tile_transform t = {.l = l,
                        .type = DTYPE_F32,
                        .a = a,
                        .along = winograd_transform_input,
                        .in = {a->data[0], a->data[1]},
                        .out = {a->products[0], a->products[1]},
                        .fill = read_data,
                        .drain = write_data,
                        .user = c};
    transform_tile(&t);
    lower_end(l);
    lower_end(l);
}

static bool infer_input(graph *g, node_id n) {
    grid r;
    if (!kit_need(g, n, 0, 3, 5) || !read_input_grid(g, n, graph_input(g, n, 0), &r)) return false;
    const type x = *kit_input(g, n, 0);
    dim dims[] = {r.blocks, kit_dim(g, r.a.points), channel_blocks(g, x.dims[1]),
                  kit_dim(g, r.tiles), kit_dim(g, LANES)};
    op_set_type(g, n, 0, type_tensor(DTYPE_F32, 5, dims));
    return true;
}

static void nest_input(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    winograd c = {.l = l, .x = graph_input(g, n, 0), .v = graph_output(g, n, 0)};
    bool ok = read_input_grid(g, n, c.x, &c.r);
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

/* The loop over the planes of data that a plane of results takes: gives the tap, and the block that
 * has the plane's share of c->block. One, without a loop, where there is no depth. */
static loop_expr begin_depth(winograd *c, loop_expr *block) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    *block = c->block;
    if (c->r.rank < 5) return loop_int(k, 0);
    loop_expr blocks = loop_dim(k, c->r.plane_blocks), depth = loop_dim(k, c->r.depth);
    loop_expr plane = loop_floordiv(k, c->block, blocks), at = loop_mod(k, plane, depth);
    loop_expr tap = window_begin_inside(l, &c->depth, 0, at);
    loop_expr image = loop_mul(k, loop_floordiv(k, plane, depth), loop_dim(k, c->depth.in[0]));
    loop_expr from = loop_add(k, image, window_tap(l, &c->depth, 0, at, tap));
    *block = loop_add(k, loop_mul(k, from, blocks), loop_mod(k, c->block, blocks));
    return tap;
}

/* Sums over the input channels, [tiles][vectors][points][16]. */
static void multiply_block(winograd *c, loop_expr group) {
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    loop_expr lanes = loop_int(k, LANES), vectors = loop_int(k, c->vectors);
    loop_expr point = lower_begin(l, LOOP_SERIAL, "p", loop_int(k, c->r.a.points));
    c->t = lower_begin(l, LOOP_INDEPENDENT, "t", loop_int(k, c->r.tiles));
    loop_expr vector = lower_begin(l, LOOP_INDEPENDENT, "v", vectors);
    loop_expr lane = lower_begin(l, LOOP_INDEPENDENT, "l", lanes);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_F32);
    lower_assign(l, acc, NULL, loop_const(k, DTYPE_F32, 0));
    loop_expr parts = loop_floordiv(k, loop_add(k, c->inputs, loop_int(k, LANES - 1)), lanes);
    loop_expr block, tap = begin_depth(c, &block);
    loop_expr part = lower_begin(l, LOOP_REDUCE, "rb", parts);
    loop_expr first = loop_mul(k, part, lanes);
    loop_expr left = loop_sub(k, c->inputs, first);
    int64_t inputs;
    bool whole = loop_is_int(k, c->inputs, &inputs) && inputs % LANES == 0;
    loop_expr inner = lower_begin(l, LOOP_REDUCE, "rl", whole ? lanes : loop_min(k, lanes, left));
    loop_expr input = loop_add(k, loop_mul(k, tap, c->inputs), loop_add(k, first, inner));
    loop_expr at[] = {loop_add(k, loop_mul(k, group, vectors), vector), point, input, lane};
    loop_expr data = load_data(c, block, point, part, inner);
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, data, lower_read(l, c->weights, at)));
    kit_end(l, c->r.rank == 5 ? 3 : 2);
    loop_expr to[] = {c->t, vector, point, lane};
    lower_assign(l, c->products, to, lower_value(l, acc, NULL));
    for (int i = 0; i < 4; i++) lower_end(l);
}

static loop_expr read_product(void *user, int i, int j) {
    winograd *c = user;
    loop_expr at[] = {c->t, c->vector, loop_int(lower_kernel(c->l), i * c->r.a.products[1] + j),
                      c->lane};
    return lower_value(c->l, c->products, at);
}

/* Whether the result's row or column is one, as far as is not known. */
static loop_expr is_result(winograd *c, loop_expr at, dim count) {
    loop_expr limit = loop_dim(lower_kernel(c->l), count);
    return always_below(c->l, at, limit) ? 0 : loop_lt(lower_kernel(c->l), at, limit);
}

static void write_result(void *user, int i, int j, loop_expr value) {
    winograd *c = user;
    lower *l = c->l;
    loop_kernel *k = lower_kernel(l);
    loop_expr row = loop_add(k, c->from.row, loop_int(k, i * c->r.dilation[0]));
    loop_expr column = loop_add(k, c->from.column, loop_int(k, j * c->r.dilation[1]));
    loop_expr inside = is_result(c, row, c->r.out[0]), also = is_result(c, column, c->r.out[1]);
    if (inside && also)
        inside = loop_and(k, inside, also);
    else if (also)
        inside = also;
    loop_expr at[5];
    set_place(&c->r, &c->from, c->channel, row, column, at);
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
    c->from = place_tile(l, &c->r, c->block, tile);
    c->vector = lower_begin(l, LOOP_SERIAL, "v", loop_int(k, c->vectors));
    loop_expr first = loop_add(k, loop_mul(k, group, loop_int(k, c->vectors)), c->vector);
    c->lane = lower_begin_lanes(l, c->y, 1, first);
    c->channel = loop_add(k, loop_mul(k, first, loop_int(k, LANES)), c->lane);
    const algorithm *a = &c->r.a;
    tile_transform t = {.l = l,
                        .type = DTYPE_F32,
                        .a = a,
                        .along = winograd_transform_output,
                        .in = {a->products[0], a->products[1]},
                        .out = {a->axes[0]->out, a->axes[1]->out},
                        .fill = read_product,
                        .drain = write_result,
                        .user = c};
    transform_tile(&t);
    lower_end(l);
    lower_end(l);
    if (exists) lower_end_if(l);
    lower_end(l);
}

/* The taps of a product of volumes along the first axis, from its attributes; `depth` has the
 * number of planes of the data and the padding before them. One tap where there is no depth. */
static bool read_depth(graph *g, node_id n, const grid *r, window *w) {
    const node *nd = graph_node(g, n);
    *w = (window){.axes = 1, .stride = {1}, .dilation = {1}, .kernel = {kit_dim(g, 1)}};
    if (r->rank < 5) return true;
    size_t planes, taps, strides, dilations;
    const int64_t *depth = node_attr_ints(nd, "depth", &planes);
    const int64_t *kernel = node_attr_ints(nd, "kernel_shape", &taps);
    const int64_t *stride = node_attr_ints(nd, "strides", &strides);
    const int64_t *dilation = node_attr_ints(nd, "dilations", &dilations);
    bool valid = planes == 2 && taps == 3 && strides == 3 && dilations == 3 && depth[0] > 0 &&
                 depth[1] >= 0 && kernel[0] > 0 && stride[0] > 0 && dilation[0] > 0;
    if (!valid) return op_error(g, n, NULL, "the attributes of the first axis are not valid");
    w->stride[0] = stride[0];
    w->dilation[0] = dilation[0];
    w->kernel[0] = kit_dim(g, kernel[0]);
    w->in[0] = kit_dim(g, depth[0]);
    w->before[0] = kit_dim(g, depth[1]);
    return true;
}

/* Channels that the transformed weights take from each plane. */
static dim input_channels(graph *g, const type *w, const window *depth) {
    return dim_floordiv(g->dims, w->dims[2], depth->kernel[0]);
}

/* Checks the weights and the bias of a convolution with `outputs` channels. */
static bool check_operands(graph *g, node_id n, const grid *r, dim inputs, dim outputs) {
    window depth;
    if (!kit_need(g, n, 1, 4, 4) || !read_depth(g, n, r, &depth)) return false;
    const type w = *kit_input(g, n, 1);
    int64_t vectors = node_attr_int(graph_node(g, n), "vectors", 0), blocks;
    if (!dim_is_const(g->dims, w.dims[0], &blocks) || vectors < 1 || blocks % vectors)
        return op_error(g, n, NULL, "attribute vectors does not divide the output channels");
    if (!dim_equals_const(g->dims, w.dims[1], r->a.points) ||
        !dim_equals_const(g->dims, w.dims[3], LANES))
        return op_error(g, n, NULL, "the weights are not transformed");
    return kit_agree(g, n, w.dims[0], channel_blocks(g, outputs), "output channels") &&
           kit_agree(g, n, channel_blocks(g, input_channels(g, &w, &depth)), inputs,
                     "input channels") &&
           kit_vector(g, n, 2, outputs, "the bias");
}

/* The number of output channels and the size of the result are those of the convolution that the
 * node came from: its output has them, with a layout that stays. */
static bool check_result(graph *g, node_id n) {
    const type *y = graph_type(g, graph_output(g, n, 0));
    return (y->kind == TYPE_TENSOR && y->rank >= 3 && y->rank <= 5) ||
           op_error(g, n, NULL, "the type of its result is not declared");
}

static bool infer_product(graph *g, node_id n) {
    grid r;
    window depth;
    if (!kit_need(g, n, 0, 5, 5) || !check_result(g, n)) return false;
    const type y = *graph_type(g, graph_output(g, n, 0)), v = *kit_input(g, n, 0);
    if (!read_grid(g, n, &y, &r) || !read_depth(g, n, &r, &depth)) return false;
    dim blocks = dim_mul(g->dims, r.images, r.plane_blocks);
    if (r.rank == 5 &&
        !kit_agree(g, n, v.dims[0], dim_mul(g->dims, blocks, depth.in[0]), "planes of the data"))
        return false;
    return kit_agree(g, n, v.dims[3], kit_dim(g, r.tiles), "tiles of a block") &&
           check_operands(g, n, &r, v.dims[2], y.dims[1]);
}

static bool infer_winograd(graph *g, node_id n) {
    grid r;
    if (!kit_need(g, n, 0, 3, 4) || !check_result(g, n)) return false;
    const type y = *graph_type(g, graph_output(g, n, 0)), x = *kit_input(g, n, 0);
    if (x.rank != y.rank) return op_error(g, n, NULL, "its result has another rank");
    if (!read_input_grid(g, n, graph_input(g, n, 0), &r)) return false;
    for (int i = 2; i < y.rank; i++)
        if (!kit_agree(g, n, y.dims[i], r.w.out[i - 2], "the result")) return false;
    return check_operands(g, n, &r, channel_blocks(g, x.dims[1]), y.dims[1]);
}

/* `fused`: the data are transformed in the kernel. */
static winograd begin_products(lower *l, node_id n, bool fused) {
    graph *g = lower_graph(l);
    value_id x = graph_input(g, n, 0);
    winograd c = {.l = l,
                  .x = fused ? x : 0,
                  .v = fused ? 0 : x,
                  .weights = graph_input(g, n, 1),
                  .bias = graph_input(g, n, 2),
                  .y = graph_output(g, n, 0),
                  .vectors = node_attr_int(graph_node(g, n), "vectors", 1)};
    bool ok = fused ? read_input_grid(g, n, x, &c.r) : read_grid(g, n, lower_type(l, c.y), &c.r);
    assert(ok), (void)ok;
    ok = read_depth(g, n, &c.r, &c.depth);
    assert(ok);
    c.inputs = loop_dim(lower_kernel(l), input_channels(g, lower_type(l, c.weights), &c.depth));
    dim inputs = lower_type(l, c.weights)->dims[2],
        results = type_elements(g->dims, lower_type(l, c.y));
    int64_t taps = (int64_t)c.r.a.axes[0]->taps * c.r.a.axes[1]->taps;
    lower_kernel(l)->work =
        dim_mul(g->dims, kit_dim(g, 2 * taps), dim_mul(g->dims, inputs, results));
    int64_t extents[] = {c.r.tiles, c.vectors, c.r.a.points, LANES};
    c.products = lower_local(l, "products", DTYPE_F32, LOOP_SPACE_STACK, 4, extents);
    return c;
}

/* Blocks of tiles times groups of output channels, in the order that reads less: the operand of the
 * outer loop stays in cache while the other streams past it. */
static void nest_product(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    winograd c = begin_products(l, n, false);
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
    winograd c = begin_products(l, n, true);
    dim parts = channel_blocks(g, lower_type(l, c.x)->dims[1]);
    int64_t extents[] = {c.r.a.points, dim_value(g->dims, parts), c.r.tiles, LANES};
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
