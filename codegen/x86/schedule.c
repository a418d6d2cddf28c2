/* schedule.c: how loops run on x86. A nest of independent loops gets a vector axis and, around
 * inner reductions, a register tile whose shape a small cost model chooses: as many vector
 * accumulators as the registers hold, as few loads a step as the accesses allow, and tiles split
 * evenly so that no short tile is left over. Rows that are contiguous along their reduction are
 * vectorised there. What the transformations do is transform.h's business. */
#include "codegen/target.h"
#include "codegen/x86/tile.h"

#include <assert.h>
#include <string.h>

typedef struct {
    loop_kernel *k;
    const target_machine *m;
    int rank;      /* even: of the register tile, twice; odd: and axes keep their order */
    bool parallel; /* the nest at hand is the whole kernel: its outermost loop may be split over
                      threads */
} scheduler;

enum { MAX_UNROLL = 25 };

/* ---- vectors ---- */

/* Bytes of the widest element that the body computes with, index arithmetic left out. */
static size_t widest_element(const scheduler *s, const loop_stmt *b) {
    size_t widest = 1;
    for (; b; b = b->next) {
        if (b->kind == LOOP_STMT_STORE) {
            size_t n = dtype_bytes(loop_type(s->k, b->value));
            if (n > widest) widest = n;
        }
        size_t inner = widest_element(s, b->body), other = widest_element(s, b->otherwise);
        widest = inner > widest ? inner : widest;
        widest = other > widest ? other : widest;
    }
    return widest;
}

static int lanes_for(const scheduler *s, const loop_stmt *body) {
    size_t widest = widest_element(s, body);
    /* Narrow results usually come out of 32-bit arithmetic. */
    return s->m->vector_bytes / (int)(widest < 4 ? 4 : widest);
}

static int deepest(const loop_access *a, size_t count) {
    int depth = 0;
    for (size_t i = 0; i < count; i++)
        if (a[i].depth > depth) depth = a[i].depth;
    return depth;
}

typedef struct {
    int contiguous, uniform, strided;
} vector_fit;

/* How the accesses of a body move with a variable that runs over the lanes of one vector. */
static vector_fit fit_of(scheduler *s, const loop_access *a, size_t count, loop_var var, int lanes,
                         bool deepest_only) {
    loop_kernel *k = s->k;
    int depth = deepest(a, count);
    loop_var block = loop_add_var(k, "q", loop_int(k, INT32_MAX));
    loop_var lane = loop_add_var(k, "v", loop_int(k, lanes));
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
    with[var] = loop_add(k, loop_mul(k, loop_var_expr(k, block), loop_int(k, lanes)),
                         loop_var_expr(k, lane));
    int64_t extent;
    if (loop_is_int(k, k->vars.data[var].extent, &extent) && extent <= lanes)
        with[var] = loop_var_expr(k, lane);
    vector_fit fit = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        if (deepest_only && a[i].depth < depth && !a[i].store) continue;
        loop_expr rest, flat = loop_substitute(k, a[i].flat, with);
        flat = transform_unclamped(k, flat, lane);
        int64_t c;
        bool linear = loop_linear_in(k, flat, lane, &c, &rest);
        if (linear && c == 1)
            fit.contiguous++;
        else if (linear && c == 0 && !a[i].store)
            fit.uniform++;
        else
            fit.strided++;
    }
    return fit;
}

/* ---- emission of a cut nest ---- */

/* A run of equal tiles along one axis: tile i covers [start + i * size, start + (i + 1) * size). */
typedef struct {
    loop_expr count, start;
    int64_t size;
    bool tail; /* the last, short vector of the vector axis */
} segment;

enum { MAX_SEGMENTS = 3 };

typedef struct {
    scheduler *s;
    const loop_stmt *body;      /* the vector axis replaced by vector * lanes + lane */
    const loop_stmt *tail_body; /* by the start of the short vector + lane */
    cut_axis axes[MAX_CUT];
    segment segments[MAX_CUT][MAX_SEGMENTS];
    int segment_count[MAX_CUT];
    int count;
    int lanes;
    loop_var lane, tail_lane;
    loop_expr active;
    int64_t unroll;
    int loads; /* of the innermost statements, as cut_axis.moves counts them */
    tile_axis tile[MAX_CUT + 1];
    bool in_tail;
} cut_nest;

static void add_segment(cut_nest *c, int axis, segment g) {
    int64_t n;
    if (loop_is_int(c->s->k, g.count, &n) && n == 0) return;
    c->segments[axis][c->segment_count[axis]++] = g;
}

static void cut_axis_evenly(cut_nest *c, int axis) {
    loop_kernel *k = c->s->k;
    const cut_axis *a = &c->axes[axis];
    loop_expr zero = loop_int(k, 0);
    if (a->constant >= 0) {
        int64_t tiles = tile_ceil_div(a->constant, a->tile);
        int64_t base = tiles ? a->constant / tiles : 1, large = tiles ? a->constant % tiles : 0;
        add_segment(c, axis, (segment){loop_int(k, large), zero, base + 1, false});
        add_segment(
            c, axis,
            (segment){loop_int(k, tiles - large), loop_int(k, large * (base + 1)), base, false});
    } else if (a->tile == 1) {
        add_segment(c, axis, (segment){a->extent, zero, 1, false});
    } else {
        loop_expr whole = loop_floordiv(k, a->extent, loop_int(k, a->tile));
        loop_expr done = loop_mul(k, whole, loop_int(k, a->tile));
        add_segment(c, axis, (segment){whole, zero, a->tile, false});
        add_segment(c, axis, (segment){loop_sub(k, a->extent, done), done, 1, false});
    }
}

static loop_stmt *emit_tile(const cut_nest *c) {
    loop_kernel *k = c->s->k;
    const loop_stmt *body = c->in_tail ? c->tail_body : c->body;
    loop_expr *at = NULL; /* of axes that no tile is along */
    tile_axis tile[MAX_CUT + 1];
    tile_side sides[MAX_CUT_AXES];
    int n = 0, count = 0;
    for (int i = 0; i < c->count; i++) {
        if (c->in_tail && c->axes[i].vector_outer) continue;
        if (c->axes[i].single) {
            if (!at) at = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
            at[c->axes[i].var] = c->tile[i].base;
        } else if (c->tile[i].size > 1 && count < MAX_CUT_AXES) {
            sides[count++] = (tile_side){c->axes[i].moves, c->tile[i].size, i};
        } else {
            tile[n++] = c->tile[i];
        }
    }
    tile_order_sides(sides, 0, count, c->loads);
    for (int i = 0; i < count; i++) tile[n++] = c->tile[sides[i].axis];
    if (c->lanes)
        tile[n++] = (tile_axis){.kind = LOOP_VECTOR,
                                .size = c->lanes,
                                .var = c->in_tail ? c->tail_lane : c->lane,
                                .base = loop_int(k, 0),
                                .active = c->in_tail ? c->active : 0};
    if (at) body = loop_copy(k, body, at, true);
    return transform_tile(k, body, tile, n, c->unroll);
}

static void set_tile(cut_nest *c, int axis, const segment *g, loop_expr which) {
    loop_kernel *k = c->s->k;
    loop_expr base = loop_add(k, g->start, loop_mul(k, which, loop_int(k, g->size)));
    c->tile[axis] = (tile_axis){c->axes[axis].var, base, g->size, LOOP_UNROLL, 0};
    if (c->axes[axis].vector_outer) c->in_tail = g->tail;
}

/* The axes from `axis` on, as serial loops over their tiles. */
static loop_stmt *emit_serial(cut_nest *c, int axis) {
    loop_kernel *k = c->s->k;
    if (axis == c->count) return emit_tile(c);
    loop_stmt *out = NULL;
    for (int i = 0; i < c->segment_count[axis]; i++) {
        const segment *g = &c->segments[axis][i];
        int64_t n;
        if (loop_is_int(k, g->count, &n) && n == 1) {
            set_tile(c, axis, g, loop_int(k, 0));
            out = loop_join(out, emit_serial(c, axis + 1));
            continue;
        }
        loop_var v = loop_add_var(k, "o", g->count);
        set_tile(c, axis, g, loop_var_expr(k, v));
        out = loop_join(out, loop_for(k, LOOP_SERIAL, v, g->count, emit_serial(c, axis + 1)));
    }
    return out;
}

static loop_expr axis_tiles(const cut_nest *c, int axis) {
    loop_expr total = loop_int(c->s->k, 0);
    for (int i = 0; i < c->segment_count[axis]; i++)
        total = loop_add(c->s->k, total, c->segments[axis][i].count);
    return total;
}

/* Axes [axis, last) at the tile that index `at` names (row-major over their tiles), then the others
 * serially. */
static loop_stmt *emit_at(cut_nest *c, int axis, int last, loop_expr at);

static loop_stmt *emit_segments_at(cut_nest *c, int axis, int last, int which, loop_expr own,
                                   loop_expr rest) {
    loop_kernel *k = c->s->k;
    const segment *g = &c->segments[axis][which];
    if (which + 1 == c->segment_count[axis]) {
        set_tile(c, axis, g, own);
        return emit_at(c, axis + 1, last, rest);
    }
    set_tile(c, axis, g, own);
    loop_stmt *here = emit_at(c, axis + 1, last, rest);
    loop_stmt *there = emit_segments_at(c, axis, last, which + 1, loop_sub(k, own, g->count), rest);
    return loop_if(k, loop_lt(k, own, g->count), here, there);
}

static loop_stmt *emit_at(cut_nest *c, int axis, int last, loop_expr at) {
    loop_kernel *k = c->s->k;
    if (axis == last) return emit_serial(c, last);
    loop_expr inner = loop_int(k, 1);
    for (int i = axis + 1; i < last; i++) inner = loop_mul(k, inner, axis_tiles(c, i));
    return emit_segments_at(c, axis, last, 0, loop_floordiv(k, at, inner), loop_mod(k, at, inner));
}

/* How many of the outermost axes become the one parallel loop: enough for its iterations to be
 * shared out evenly. */
static int parallel_axes(const cut_nest *c) {
    enum { ENOUGH = 48 };
    int64_t total = 1, n;
    int axes = 0;
    while (axes < c->count && total < ENOUGH) {
        if (!loop_is_int(c->s->k, axis_tiles(c, axes), &n)) {
            if (axes == 0) axes++;
            break;
        }
        total *= n;
        axes++;
    }
    return axes;
}

static loop_stmt *emit_nest(cut_nest *c) {
    loop_kernel *k = c->s->k;
    int axes = c->s->parallel ? parallel_axes(c) : 0;
    if (!axes) return emit_serial(c, 0);
    loop_expr total = loop_int(k, 1);
    for (int i = 0; i < axes; i++) total = loop_mul(k, total, axis_tiles(c, i));
    loop_var p = loop_add_var(k, "p", total);
    return loop_for(k, LOOP_PARALLEL, p, total, emit_at(c, 0, axes, loop_var_expr(k, p)));
}

/* ---- decisions for one nest ---- */

static bool has_loops(const loop_stmt *s) {
    for (; s; s = s->next)
        if (s->kind == LOOP_STMT_FOR || has_loops(s->body) || has_loops(s->otherwise)) return true;
    return false;
}

static int64_t constant_or(const loop_kernel *k, loop_expr e, int64_t otherwise) {
    int64_t n;
    return loop_is_int(k, e, &n) ? n : otherwise;
}

/* The same of a loop whose length varies: the most that it can be, if there is a most. */
static int64_t longest_or(const loop_kernel *k, loop_expr extent, int64_t otherwise) {
    int64_t low, high;
    loop_range(k, extent, &low, &high);
    return high < otherwise ? high : constant_or(k, extent, otherwise);
}

/* Iterations of the deepest loops of a body: what a tile's set-up is spread over. */
static double body_steps(const loop_kernel *k, const loop_stmt *s) {
    double most = 1;
    for (; s; s = s->next) {
        double inner = 1;
        if (s->kind == LOOP_STMT_FOR)
            inner = (double)longest_or(k, s->extent, 16) * body_steps(k, s->body);
        else if (s->kind == LOOP_STMT_IF)
            inner = body_steps(k, s->body) + body_steps(k, s->otherwise);
        if (inner > most) most = inner;
    }
    return most;
}

/* Splits the innermost axis into vectors: fills in body, lanes and tail, and makes the axis count
 * vectors (or drops it). */
static void cut_vectors(cut_nest *c, const loop_nest *n, int lanes) {
    loop_kernel *k = c->s->k;
    nest_axis v = n->axes[n->count - 1];
    int64_t extent = constant_or(k, v.extent, -1);
    c->lanes = lanes;
    loop_expr size = loop_int(k, lanes), vectors = loop_floordiv(k, v.extent, size);
    loop_expr done = loop_mul(k, vectors, size);
    loop_var outer = loop_add_var(k, "w", vectors);
    c->lane = loop_add_var(k, "v", size);
    c->tail_lane = loop_add_var(k, "v", size);
    c->active = loop_sub(k, v.extent, done);
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
    with[v.var] =
        loop_add(k, loop_mul(k, loop_var_expr(k, outer), size), loop_var_expr(k, c->lane));
    c->body = loop_copy(k, n->body, with, false);
    int axis = c->count++;
    c->axes[axis] = (cut_axis){.var = outer,
                               .extent = vectors,
                               .constant = extent < 0 ? -1 : extent / lanes,
                               .tile = 1,
                               .vector_outer = true};
    if (extent < 0 || extent % lanes) {
        with[v.var] = loop_add(k, done, loop_var_expr(k, c->tail_lane));
        c->tail_body = loop_copy(k, n->body, with, false);
    }
}

/* How many vectors of a load lie side by side, as blocks of columns have them: for how many steps
 * the axis of vectors moves it by one vector. 0 if there is no end of it. */
static int64_t vectors_beside(const cut_nest *c, const cut_axis *vectors, loop_expr flat) {
    enum { MOST = 8 };
    loop_kernel *k = c->s->k;
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
    loop_expr before = 0;
    for (int64_t i = 0; i < MOST && i < vectors->constant; i++) {
        int64_t distance;
        with[vectors->var] = loop_int(k, i);
        loop_expr at = loop_substitute(k, flat, with);
        bool known = before && loop_is_int(k, loop_sub(k, at, before), &distance);
        if (known && distance != c->lanes) return i;
        before = at;
    }
    return 0;
}

/* Fills in what the tile search needs to know of the innermost accesses. */
static void describe_loads(cut_nest *c, tile_search *t, const loop_stmt *body) {
    loop_kernel *k = c->s->k;
    size_t count;
    loop_access *a = transform_accesses(k, body, &count);
    int depth = deepest(a, count);
    for (size_t i = 0; i < count && t->loads < 64; i++) {
        if (a[i].store || a[i].depth < depth) continue;
        double operand = t->panel;
        for (int j = 0; j < c->count; j++) {
            if (!loop_uses_var(k, a[i].flat, c->axes[j].var)) continue;
            /* The window moves with it, which does not make other weights of them. */
            if (c->axes[j].single && loop_uses_var(k, a[i].flat, c->lane)) continue;
            t->axes[j].moves |= (uint64_t)1 << t->loads;
            if (c->axes[j].constant > 0) operand *= (double)c->axes[j].constant;
            int64_t beside =
                c->axes[j].vector_outer ? vectors_beside(c, &c->axes[j], a[i].flat) : 0;
            if (beside > 1) t->beside = beside;
        }
        bool vector = loop_uses_var(k, a[i].flat, c->lane);
        t->operand[t->loads] = operand;
        t->vector_load[t->loads++] = vector;
    }
}

/* Whether small weights meet so many data that the data had better be read once: no cache may hold
 * them, and threads then share rows of them, as they do in the kernels around. Data that are larger
 * than the second cache leave it to the weights. */
static bool has_many_rows(cut_nest *c, const loop_stmt *body) {
    loop_kernel *k = c->s->k;
    size_t count;
    double weights = 0, data = 0;
    const loop_access *a = transform_accesses(k, body, &count);
    int depth = deepest(a, count);
    for (size_t i = 0; i < count; i++) {
        if (a[i].store || a[i].depth < depth) continue;
        double bytes = loop_buffer_bytes(k, a[i].buf);
        double *largest = loop_uses_var(k, a[i].flat, c->lane) ? &weights : &data;
        if (bytes > *largest) *largest = bytes;
    }
    double cache = (double)c->s->m->l2_bytes, kept = data >= cache ? cache / 2 : cache / 4;
    return weights > 0 && weights <= kept && data >= 2 * weights;
}

/* Axes that the vector operand moves with go outside, in their order: its panel then stays in cache
 * while the others run. Where rows are outside it is the other way round. */
static void order_axes(cut_nest *c, const tile_search *t) {
    cut_axis sorted[MAX_CUT];
    int n = 0;
    for (int outside = 1; outside >= 0; outside--)
        for (int j = 0; j < c->count; j++) {
            bool weights = false;
            for (int i = 0; i < t->loads; i++)
                weights |= t->vector_load[i] && (c->axes[j].moves >> i & 1);
            if ((weights != t->rows_outside) == outside) sorted[n++] = c->axes[j];
        }
    memcpy(c->axes, sorted, sizeof sorted);
}

static int64_t tile_vectors(const cut_nest *c) {
    int64_t product = 1;
    for (int j = 0; j < c->count; j++) product *= c->axes[j].tile;
    return product;
}

/* Whether a reduction is a short one of vectors alone: the window of a depthwise convolution or of
 * pooling. */
static bool is_window(const tile_search *t) {
    for (int i = 0; i < t->loads; i++)
        if (!t->vector_load[i]) return false;
    return t->steps <= MAX_UNROLL;
}

/* Whether each iteration of the first axis has a stretch of every buffer that moves with it to
 * itself, as images of a batch have, and tiles may as well be along another axis. */
static bool has_slices(cut_nest *c, const tile_search *t, const loop_stmt *body) {
    loop_kernel *k = c->s->k;
    const cut_axis *first = &t->axes[0];
    size_t count;
    const loop_access *a = transform_accesses(k, body, &count);
    bool other = false;
    for (int j = 1; j < t->count; j++)
        other |=
            t->axes[j].moves == first->moves && t->axes[j].constant > 1 && !t->axes[j].vector_outer;
    for (size_t i = 0; i < count && other && first->constant > 1; i++) {
        loop_expr rest;
        int64_t distance, low, high;
        if (!loop_uses_var(k, a[i].flat, first->var)) continue;
        if (!loop_linear_in(k, a[i].flat, first->var, &distance, &rest)) return false;
        loop_range(k, rest, &low, &high);
        if (low < 0 || high >= distance) return false;
    }
    return other && first->constant > 1;
}

static void choose_reduction_tile(cut_nest *c) {
    int registers = c->s->m->vector_registers;
    tile_search t = {.machine = c->s->m,
                     .count = c->count,
                     .steps = body_steps(c->s->k, c->body),
                     .budget = registers >= 32 ? 28 : 12};
    t.panel = t.steps * (double)c->s->m->vector_bytes;
    t.rows_outside = c->s->rank % 2 == 0 && has_many_rows(c, c->body);
    memcpy(t.axes, c->axes, sizeof c->axes);
    describe_loads(c, &t, c->body);
    t.slices = c->s->parallel && has_slices(c, &t, c->body);
    /* Unrolled, a window keeps what it loads from tap to tap: as many registers again, or more. */
    if (is_window(&t)) t.budget = registers / 4;
    tile_choose(&t, c->s->rank / 2);
    memcpy(c->axes, t.axes, sizeof c->axes);
    c->loads = t.loads;
    c->unroll = 256 / tile_vectors(c);
    if (c->unroll > MAX_UNROLL) c->unroll = MAX_UNROLL;
    /* A tile that fills the registers has none left for what unrolled steps would share. */
    if (2 * tile_vectors(c) > registers) c->unroll = 1;
    if (c->s->rank % 2 == 0) order_axes(c, &t);
}

/* Pointwise work: a few vectors at a time hide the latency of long formulas. */
static void choose_pointwise_tile(cut_nest *c) {
    enum { AT_ONCE = 4 };
    for (int j = c->count; j-- > 0;) {
        cut_axis *a = &c->axes[j];
        if (a->constant == 0 || a->constant == 1) continue;
        a->tile = a->constant > 0 && a->constant < AT_ONCE ? a->constant : AT_ONCE;
        break;
    }
    c->unroll = 16;
}

/* Where the lanes of a vector come from one cache line each, and the `extent` of all vectors is
 * more lines than L1 holds, the axis whose neighbours share these lines runs inside of the vectors:
 * they are used up before they leave the cache. */
static void order_transposed(cut_nest *c, const loop_access *a, size_t count, int64_t extent) {
    enum { LINE_BYTES = 64 };
    cut_axis *axes = c->axes;
    if (extent <= c->s->m->l1_bytes / 2 / LINE_BYTES) return;
    for (int j = c->count - 1; j-- > 0;) {
        if (axes[j].constant == 1 ||
            !fit_of(c->s, a, count, axes[j].var, c->lanes, false).contiguous)
            continue;
        cut_axis inner = axes[j];
        memmove(&axes[j], &axes[j + 1], (size_t)(c->count - 1 - j) * sizeof *axes);
        axes[c->count - 1] = inner;
        return;
    }
}

static loop_stmt *schedule_block(scheduler *s, const loop_stmt *b);

static loop_stmt *schedule_statement(scheduler *s, const loop_stmt *b);

/* Whether a body of short rows waits for sums again and again: it reduces, by vectors, then does
 * something with the result. */
static bool waits_for_rows(scheduler *s, const loop_stmt *b) {
    enum { LONGEST = 2048 };
    for (; b && b->next; b = b->next) {
        if (b->kind != LOOP_STMT_FOR || b->loop != LOOP_REDUCE) continue;
        loop_stmt alone = *b;
        alone.next = NULL;
        if (constant_or(s->k, b->extent, LONGEST) < LONGEST &&
            transform_vector_reduce(s->k, &alone, lanes_for(s, b->body), 1))
            return true;
    }
    return false;
}

/* Rows 2p and 2p + 1, statement by statement: the processor works on one while the other waits for
 * its sum. */
static loop_stmt *schedule_pair(scheduler *s, const loop_stmt *body, nest_axis row, loop_var p) {
    loop_kernel *k = s->k;
    loop_expr first = loop_mul(k, loop_var_expr(k, p), loop_int(k, 2));
    loop_expr second = loop_add(k, first, loop_int(k, 1));
    const loop_stmt *a = transform_instance(k, body, row.var, first);
    const loop_stmt *b = transform_instance(k, body, row.var, second);
    loop_stmt *pair = NULL;
    for (; a; a = a->next, b = b->next)
        pair = loop_join(pair, loop_join(schedule_statement(s, a), schedule_statement(s, b)));
    if (constant_or(k, row.extent, 1) % 2 == 0) return pair;
    loop_stmt *alone = schedule_block(s, transform_instance(k, body, row.var, first));
    return loop_if(k, loop_lt(k, second, row.extent), pair, alone);
}

/* A nest that runs one element at a time, its inner loops scheduled on their own. */
static loop_stmt *scalar_nest(scheduler *s, const loop_nest *nest) {
    scheduler inner = *s;
    loop_nest copy = *nest, *n = &copy;
    loop_stmt *body;
    inner.parallel = false;
    if (n->count && waits_for_rows(&inner, n->body)) {
        nest_axis *last = &n->axes[n->count - 1];
        loop_expr two = loop_int(s->k, 2);
        loop_expr pairs = loop_floordiv(s->k, loop_add(s->k, last->extent, loop_int(s->k, 1)), two);
        loop_var p = loop_add_var(s->k, "p", pairs);
        body = schedule_pair(&inner, n->body, *last, p);
        *last = (nest_axis){p, pairs};
    } else {
        body = schedule_block(&inner, n->body);
    }
    int first = s->parallel && n->count ? 1 : 0;
    for (int i = n->count; i-- > first;)
        body = loop_for(s->k, LOOP_SERIAL, n->axes[i].var, n->axes[i].extent, body);
    if (first) body = loop_for(s->k, LOOP_PARALLEL, n->axes[0].var, n->axes[0].extent, body);
    return body;
}

/* Whether some reduction in the body is contiguous along its own loop. */
static bool reduces_along_vectors(scheduler *s, const loop_stmt *b, int lanes) {
    for (; b; b = b->next) {
        if (b->kind != LOOP_STMT_FOR) continue;
        if (b->loop == LOOP_REDUCE) {
            loop_stmt alone = *b;
            alone.next = NULL;
            if (transform_vector_reduce(s->k, &alone, lanes, 1)) return true;
        } else if (reduces_along_vectors(s, b->body, lanes)) {
            return true;
        }
    }
    return false;
}

static loop_stmt *schedule_nest(scheduler *s, const loop_stmt *first) {
    loop_kernel *k = s->k;
    loop_nest n = transform_nest(first);
    transform_collapse(k, &n);
    int lanes = lanes_for(s, n.body);
    bool loops = has_loops(n.body);
    loop_var vars[TRANSFORM_MAX_AXES];
    bool single[TRANSFORM_MAX_AXES];
    int tiled = 0;
    for (int i = 0; i < n.count; i++) {
        if (constant_or(k, n.axes[i].extent, 1) == 0) return NULL;
        single[i] = transform_extents_use(k, n.body, n.axes[i].var);
        if (!single[i]) vars[tiled++] = n.axes[i].var;
    }
    if (lanes < 2 || !n.count || single[n.count - 1] || !transform_can_tile(k, n.body, vars, tiled))
        return scalar_nest(s, &n);
    size_t count;
    loop_access *a = transform_accesses(k, n.body, &count);
    vector_fit fit = fit_of(s, a, count, n.axes[n.count - 1].var, lanes, loops);
    int64_t extent = constant_or(k, n.axes[n.count - 1].extent, INT64_MAX);
    bool fits = fit.strided == 0 && fit.contiguous > 0 && extent >= lanes / 2;
    if (loops && !fits && reduces_along_vectors(s, n.body, lanes)) return scalar_nest(s, &n);
    if (!fits && (fit.contiguous == 0 || fit.strided > fit.contiguous)) return scalar_nest(s, &n);
    cut_nest c = {.s = s};
    for (int i = 0; i + 1 < n.count; i++)
        c.axes[c.count++] = (cut_axis){.var = n.axes[i].var,
                                       .extent = n.axes[i].extent,
                                       .constant = constant_or(k, n.axes[i].extent, -1),
                                       .tile = 1,
                                       .single = single[i]};
    cut_vectors(&c, &n, lanes);
    if (loops)
        choose_reduction_tile(&c);
    else
        choose_pointwise_tile(&c);
    if (!loops && fit.strided) order_transposed(&c, a, count, extent);
    for (int j = 0; j < c.count; j++) {
        cut_axis_evenly(&c, j);
        if (c.axes[j].vector_outer && c.tail_body)
            add_segment(&c, j, (segment){loop_int(k, 1), loop_int(k, 0), 1, true});
    }
    return emit_nest(&c);
}

/* ---- blocks ---- */

/* Whether one of the accesses is of more than the second cache holds. */
static bool reads_from_afar(const scheduler *s, const loop_access *a, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (loop_buffer_bytes(s->k, a[i].buf) > (double)s->m->l2_bytes) return true;
    return false;
}

/* Runs the loops of a perfect REDUCE nest so that the innermost one walks the shortest stride: of
 * all operands or, where some come from afar, of those, since they had better come line by line. */
static loop_stmt *sort_reduction(scheduler *s, const loop_stmt *first) {
    loop_kernel *k = s->k;
    const loop_stmt *chain[TRANSFORM_MAX_AXES];
    int64_t stride[TRANSFORM_MAX_AXES] = {0};
    int n = 0;
    const loop_stmt *body = first;
    while (body && n < TRANSFORM_MAX_AXES && body->kind == LOOP_STMT_FOR &&
           body->loop == LOOP_REDUCE && (n == 0 || !body->next)) {
        chain[n++] = body;
        body = body->body;
    }
    size_t count;
    loop_access *a = transform_accesses(k, body, &count);
    bool afar = reads_from_afar(s, a, count);
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < count; j++) {
            int64_t c;
            loop_expr rest;
            if (afar && !reads_from_afar(s, &a[j], 1)) continue;
            if (!loop_linear_in(k, a[j].flat, chain[i]->var, &c, &rest)) c = INT64_MAX / 2;
            if (c < 0) c = -c;
            if (c && (!stride[i] || c < stride[i])) stride[i] = c;
        }
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && stride[j] > stride[j - 1] &&
                        !loop_uses_var(k, chain[j]->extent, chain[j - 1]->var);
             j--) {
            const loop_stmt *t = chain[j];
            int64_t u = stride[j];
            chain[j] = chain[j - 1];
            chain[j - 1] = t;
            stride[j] = stride[j - 1];
            stride[j - 1] = u;
        }
    loop_stmt *out = (loop_stmt *)body;
    for (int i = n; i-- > 0;) out = loop_for(k, LOOP_REDUCE, chain[i]->var, chain[i]->extent, out);
    return out;
}

/* The same block with every reduction sorted. */
static loop_stmt *sort_reductions(scheduler *s, const loop_stmt *b) {
    loop_stmt *out = NULL;
    for (; b; b = b->next) {
        loop_stmt *made = ARENA_NEW(s->k->memory, loop_stmt);
        *made = *b;
        made->next = NULL;
        if (b->kind == LOOP_STMT_FOR && b->loop == LOOP_REDUCE) {
            made = sort_reduction(s, made);
        } else {
            made->body = sort_reductions(s, b->body);
            made->otherwise = sort_reductions(s, b->otherwise);
        }
        out = loop_join(out, made);
    }
    return out;
}

static loop_stmt *schedule_statement(scheduler *s, const loop_stmt *b) {
    enum { WAYS = 4 };
    loop_stmt alone = *b;
    alone.next = NULL;
    if (b->kind == LOOP_STMT_FOR && b->loop == LOOP_INDEPENDENT) return schedule_nest(s, &alone);
    if (b->kind == LOOP_STMT_FOR && b->loop == LOOP_REDUCE) {
        loop_stmt *v = transform_vector_reduce(s->k, &alone, lanes_for(s, b->body), WAYS);
        if (v) return v;
    }
    loop_stmt *made = ARENA_NEW(s->k->memory, loop_stmt);
    *made = alone;
    /* What lowering made parallel stays so: its iterations run one by one, loops inside on their
     * own. */
    if (b->kind == LOOP_STMT_FOR && b->loop != LOOP_PARALLEL) made->loop = LOOP_SERIAL;
    made->body = schedule_block(s, b->body);
    made->otherwise = schedule_block(s, b->otherwise);
    return made;
}

static loop_stmt *schedule_block(scheduler *s, const loop_stmt *b) {
    loop_stmt *out = NULL;
    for (; b; b = b->next) out = loop_join(out, schedule_statement(s, b));
    return out;
}

void schedule_x86(loop_kernel *k, const target_machine *m, int rank) {
    scheduler s = {.k = k, .m = m, .rank = rank};
    k->body = sort_reductions(&s, k->body);
    s.parallel = k->body && !k->body->next && k->body->kind == LOOP_STMT_FOR &&
                 k->body->loop == LOOP_INDEPENDENT;
    k->body = schedule_block(&s, k->body);
}
