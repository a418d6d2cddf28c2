/* build_chain.c: neighbouring calls that run without a barrier between them. Where the iterations
 * of several kernels fall into as many slices, and slice i of each touches slice i alone of what
 * they write, a thread takes a slice through all of them: images of a batch, heads of attention.
 * What an iteration touches is found by running its indices over the ranges of its loops, so that
 * only kernels of constant sizes are looked at. Buffers of a chain live from its first call to its
 * last; it ends where that would make the arena larger. */
#include "codegen/build_internal.h"

#include <string.h>

enum {
    FEWEST_SLICES = 8, /* for the threads to share */
    MOST_SLICES = 64,
    MOST_ITERATIONS = 1024,
    MOST_FLOPS = 16000000, /* of a call: longer ones have more parts than slices to share */
    MOST_TOUCHES = 200000, /* accesses times iterations that are looked at */
};

/* ---- what the iterations of a kernel touch ---- */

/* Elements of a buffer, both ends included; low > high: none. */
typedef struct {
    int64_t low, high;
} stretch;

typedef struct {
    int64_t iterations; /* 0: the kernel cannot be in a chain */
    int64_t *elements;  /* of every parameter */
    bool *writes;
    stretch **touched; /* by parameter and iteration */
} footprint;

/* A condition around accesses. */
typedef struct {
    loop_expr condition;
    bool holds;      /* whether they are where it holds, or where it does not */
    uint32_t around; /* number of the guard outside; 0: none */
} guard;

typedef struct {
    loop_buf buf;
    loop_expr flat;
    bool store;
    uint32_t guard;
} guarded_access;

typedef struct {
    loop_kernel *k;
    LIST(guard) guards; /* element 0 unused */
    LIST(guarded_access) accesses;
    loop_expr *with; /* lanes as variables of the active ones */
    bool *seen;
    size_t seen_count;
} footprint_scan;

static void add_access(footprint_scan *s, loop_buf buf, const loop_expr *indices, bool store,
                       uint32_t around) {
    if (loop_buffer_of(s->k, buf)->space > LOOP_SPACE_OUTPUT) return;
    loop_expr flat = loop_substitute(s->k, loop_flat_index(s->k, buf, indices), s->with);
    list_push(s->k->memory, &s->accesses, ((guarded_access){buf, flat, store, around}));
}

static void scan_loads(footprint_scan *s, loop_expr e, uint32_t around) {
    if (!e || s->seen[e]) return;
    s->seen[e] = true;
    const loop_node n = *loop_get(s->k, e);
    for (uint32_t i = 0; i < n.arg_count; i++) scan_loads(s, n.args[i], around);
    if (n.op == LOOP_LOAD) add_access(s, (loop_buf)n.i, n.args, false, around);
}

/* Lanes beyond the active ones touch nothing. */
static void bound_lanes(footprint_scan *s, const loop_stmt *loop) {
    int64_t active;
    if (!loop->active || !loop_is_int(s->k, loop->active, &active) || active < 1) return;
    s->with[loop->var] = loop_var_expr(s->k, loop_add_var(s->k, "a", loop->active));
}

static size_t count_masked(const loop_stmt *b) {
    size_t count = 0;
    for (; b; b = b->next)
        count += (b->kind == LOOP_STMT_FOR && b->active) + count_masked(b->body) +
                 count_masked(b->otherwise);
    return count;
}

static void scan_block(footprint_scan *s, const loop_stmt *b, uint32_t around) {
    for (; b; b = b->next) {
        memset(s->seen, 0, s->seen_count * sizeof *s->seen);
        if (b->kind == LOOP_STMT_FOR) bound_lanes(s, b);
        scan_loads(s, b->extent, around);
        scan_loads(s, b->condition, around);
        scan_loads(s, b->value, around);
        for (uint32_t i = 0; i < b->index_count; i++) scan_loads(s, b->indices[i], around);
        if (b->kind == LOOP_STMT_STORE) add_access(s, b->buf, b->indices, true, around);
        uint32_t inside = around;
        if (b->kind == LOOP_STMT_IF) {
            list_push(s->k->memory, &s->guards, ((guard){b->condition, true, around}));
            inside = (uint32_t)s->guards.count - 1;
        }
        scan_block(s, b->body, inside);
        if (!b->otherwise) continue;
        list_push(s->k->memory, &s->guards, ((guard){b->condition, false, around}));
        scan_block(s, b->otherwise, (uint32_t)s->guards.count - 1);
    }
}

/* Adds what iteration `at` of the loop over v touches. */
static void touch_iteration(footprint_scan *s, footprint *f, loop_var v, int64_t at, bool *open) {
    int64_t low, high;
    open[0] = true;
    for (uint32_t i = 1; i < s->guards.count; i++) {
        const guard *g = &s->guards.data[i];
        loop_range_at(s->k, g->condition, v, at, &low, &high);
        open[i] = open[g->around] && low <= g->holds && g->holds <= high;
    }
    for (size_t i = 0; i < s->accesses.count; i++) {
        const guarded_access *a = &s->accesses.data[i];
        if (!open[a->guard]) continue;
        loop_range_at(s->k, a->flat, v, at, &low, &high);
        stretch *t = &f->touched[a->buf][at];
        if (low < t->low) t->low = low;
        if (high > t->high) t->high = high;
        f->writes[a->buf] |= a->store;
    }
}

/* Whether the kernel is one loop of enough iterations over threads, with constant sizes. */
static bool has_iterations(const program_kernel *kernel, int64_t *iterations) {
    const loop_kernel *k = kernel->loops;
    const loop_stmt *s = k->body;
    size_t symbols;
    if (!s || s->next || s->kind != LOOP_STMT_FOR || s->loop != LOOP_PARALLEL ||
        !loop_is_int(k, s->extent, iterations) || kernel->flops > MOST_FLOPS)
        return false;
    loop_symbols(k, &symbols);
    return !symbols && *iterations >= FEWEST_SLICES && *iterations <= MOST_ITERATIONS;
}

static footprint find_footprint(const builder *b, const program_kernel *kernel) {
    loop_kernel *k = kernel->loops;
    footprint f = {0}, none = {0};
    footprint_scan s = {.k = k};
    if (!has_iterations(kernel, &f.iterations)) return none;
    size_t buffers = k->buffers.count;
    f.elements = ARENA_ARRAY(b->a, int64_t, buffers);
    f.writes = ARENA_ARRAY(b->a, bool, buffers);
    f.touched = ARENA_ARRAY(b->a, stretch *, buffers);
    for (loop_buf i = 0; i < buffers; i++) {
        double bytes = loop_buffer_bytes(k, i);
        f.elements[i] = (int64_t)bytes / (int64_t)dtype_bytes(k->buffers.data[i].type);
        f.touched[i] = ARENA_ARRAY(b->a, stretch, f.iterations);
        for (int64_t p = 0; p < f.iterations; p++)
            f.touched[i][p] = (stretch){INT64_MAX, INT64_MIN};
    }
    list_push(k->memory, &s.guards, ((guard){0}));
    /* Each loop over active lanes alone adds a variable. */
    s.with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count + count_masked(k->body));
    s.seen_count = k->nodes.count;
    s.seen = ARENA_ARRAY(k->memory, bool, s.seen_count);
    scan_block(&s, k->body->body, 0);
    if ((int64_t)s.accesses.count > MOST_TOUCHES / f.iterations) return none;
    bool *open = ARENA_ARRAY(k->memory, bool, s.guards.count);
    for (int64_t p = 0; p < f.iterations; p++) touch_iteration(&s, &f, k->body->var, p, open);
    return f;
}

/* Whether each of `slices` touches its own part of a parameter alone. */
static bool is_sliced(const footprint *f, loop_buf parameter, int64_t slices) {
    int64_t part = f->elements[parameter] / slices, each = f->iterations / slices;
    if (f->elements[parameter] % slices) return false;
    for (int64_t p = 0; p < f->iterations; p++) {
        const stretch *t = &f->touched[parameter][p];
        int64_t begin = p / each * part;
        if (t->low <= t->high && (t->low < begin || t->high >= begin + part)) return false;
    }
    return true;
}

/* ---- chains ---- */

/* What the calls of a chain do with a buffer. */
typedef struct {
    uint32_t buffer;
    bool written, sliced;
} use;

typedef struct {
    builder *b;
    footprint *footprints; /* of every kernel */
    int64_t peak;          /* most bytes live at once without chains */
    LIST(use) uses;        /* of the chain at hand */
} chainer;

/* Bytes of the arena that a buffer takes while it lives. */
static int64_t arena_bytes(const builder *b, size_t buffer) {
    const program_buffer *x = &b->p->buffers.data[buffer];
    bool own = x->place == PLACE_ARENA && x->whole == PROGRAM_NO_BUFFER;
    return own && b->life.data[buffer].first != UINT32_MAX
               ? dim_eval(b->g->dims, x->bytes, b->nominal)
               : 0;
}

/* Bytes that live in some of these steps. */
static int64_t live_bytes(const builder *b, uint32_t first, uint32_t last) {
    int64_t total = 0;
    for (size_t i = 0; i < b->p->buffers.count; i++) {
        const lifetime *l = &b->life.data[i];
        if (l->first <= last && l->last >= first) total += arena_bytes(b, i);
    }
    return total;
}

/* The most bytes that live in one step. */
static int64_t peak_bytes(const builder *b) {
    int64_t *change = ARENA_ARRAY(b->a, int64_t, (size_t)b->now + 2), live = 0, peak = 0;
    for (size_t i = 0; i < b->p->buffers.count; i++) {
        int64_t bytes = arena_bytes(b, i);
        if (!bytes) continue;
        change[b->life.data[i].first] += bytes;
        change[b->life.data[i].last + 1] -= bytes;
    }
    for (uint32_t s = 0; s < b->now; s++) {
        live += change[s];
        if (live > peak) peak = live;
    }
    return peak;
}

static bool add_use(chainer *c, uint32_t buffer, bool written, bool sliced) {
    const program_buffer *x = &c->b->p->buffers.data[buffer];
    if (written && (x->whole != PROGRAM_NO_BUFFER || x->has_parts)) return false;
    for (size_t i = 0; i < c->uses.count; i++) {
        use *u = &c->uses.data[i];
        if (u->buffer != buffer) continue;
        if ((u->written || written) && !(u->sliced && sliced)) return false;
        u->written |= written;
        u->sliced &= sliced;
        return true;
    }
    list_push(c->b->a, &c->uses, ((use){buffer, written, sliced}));
    return true;
}

/* Whether the call may be behind those of the chain, which begins at `first`. */
static bool joins(chainer *c, const program_step *first, const program_step *s, int64_t slices) {
    if (s->kind != STEP_CALL) return false;
    const footprint *f = &c->footprints[s->kernel];
    const loop_kernel *k = c->b->p->kernels.data[s->kernel].loops;
    if (!f->iterations || f->iterations % slices) return false;
    loop_buf parameter = 0;
    for (uint32_t i = 0; i < s->arg_count; i++, parameter++) {
        while (k->buffers.data[parameter].space > LOOP_SPACE_OUTPUT) parameter++;
        if (!add_use(c, s->args[i], f->writes[parameter], is_sliced(f, parameter, slices)))
            return false;
    }
    return live_bytes(c->b, first->number, s->number) <= c->peak;
}

/* The last call of the chain of so many slices that begins at `first`; NULL: none does. */
static program_step *chain_end(chainer *c, program_step *first, int64_t slices) {
    c->uses.count = 0;
    program_step *last = NULL;
    for (program_step *s = first; s && joins(c, first, s, slices); s = s->next) last = s;
    return last;
}

/* Makes the calls from *at to `last` the body of one step. */
static void make_chain(chainer *c, program_step **at, program_step *last, int64_t slices) {
    builder *b = c->b;
    program_step *first = *at, *chain = ARENA_NEW(b->a, program_step);
    *chain = (program_step){.kind = STEP_CHAIN,
                            .next = last->next,
                            .number = first->number,
                            .iterations = dim_const(b->g->dims, slices),
                            .condition = UINT32_MAX,
                            .trip_count = UINT32_MAX,
                            .iteration = UINT32_MAX,
                            .body = first};
    *at = chain;
    for (size_t i = 0; i < b->life.count; i++) {
        lifetime *l = &b->life.data[i];
        if (l->first == UINT32_MAX || l->first > last->number || l->last < first->number) continue;
        if (l->first > first->number) l->first = first->number;
        if (l->last < last->number) l->last = last->number;
    }
    last->next = NULL;
}

/* Whether the calls up to `last` are more than one, and worth the threads. */
static bool is_worth_it(const builder *b, const program_step *first, const program_step *last) {
    int64_t flops = 0, bytes = 0;
    for (const program_step *s = first;; s = s->next) {
        flops += b->p->kernels.data[s->kernel].flops;
        bytes += b->p->kernels.data[s->kernel].bytes;
        if (s == last) break;
    }
    return first != last && program_worth_threads(flops, bytes);
}

/* The longest chain that begins at *at, if there is one. */
static void try_chain(chainer *c, program_step **at) {
    if ((*at)->kind != STEP_CALL) return;
    int64_t iterations = c->footprints[(*at)->kernel].iterations, best = 0;
    program_step *end = NULL;
    for (int64_t slices = MOST_SLICES; iterations && slices >= FEWEST_SLICES; slices--) {
        program_step *last = iterations % slices ? NULL : chain_end(c, *at, slices);
        if (!last || (end && last->number <= end->number)) continue;
        end = last;
        best = slices;
    }
    if (end && is_worth_it(c->b, *at, end)) make_chain(c, at, end, best);
}

void build_chains(builder *b) {
    if (!b->options->optimize) return;
    chainer c = {.b = b, .footprints = ARENA_ARRAY(b->a, footprint, b->p->kernels.count + 1)};
    for (size_t i = 0; i < b->p->kernels.count; i++)
        c.footprints[i] = find_footprint(b, &b->p->kernels.data[i]);
    c.peak = peak_bytes(b);
    for (program_step **at = &b->p->steps; *at; at = &(*at)->next) try_chain(&c, at);
}
