/* transform.c: taking nests apart, merging axes, tiling a body, vectorising a reduction. See
 * transform.h. */
#include "codegen/transform.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- nests ---- */

loop_nest transform_nest(const loop_stmt *s) {
    loop_nest n = {.body = s};
    while (n.count < TRANSFORM_MAX_AXES && n.body && n.body->kind == LOOP_STMT_FOR &&
           !n.body->next && n.body->loop == LOOP_INDEPENDENT) {
        n.axes[n.count++] = (nest_axis){n.body->var, n.body->extent};
        n.body = n.body->body;
    }
    return n;
}

/* ---- accesses ---- */

typedef struct {
    loop_kernel *k;
    LIST(loop_access) found;
    bool *seen;
    size_t seen_count;
} access_walk;

static void walk_expr(access_walk *w, loop_expr e, int depth) {
    if (!e || (e < w->seen_count && w->seen[e])) return;
    if (e < w->seen_count) w->seen[e] = true;
    loop_node n = *loop_get(w->k, e);
    if (n.op == LOOP_LOAD && loop_buffer_of(w->k, (loop_buf)n.i)->rank > 0) {
        loop_expr flat = loop_flat_index(w->k, (loop_buf)n.i, n.args);
        list_push(w->k->memory, &w->found, ((loop_access){(loop_buf)n.i, flat, false, depth}));
    }
    for (uint32_t i = 0; i < n.arg_count; i++) walk_expr(w, n.args[i], depth);
}

static void walk_block(access_walk *w, const loop_stmt *s, int depth) {
    for (; s; s = s->next) {
        memset(w->seen, 0, w->seen_count);
        walk_expr(w, s->value, depth);
        walk_expr(w, s->condition, depth);
        for (uint32_t i = 0; i < s->index_count; i++) walk_expr(w, s->indices[i], depth);
        if (s->kind == LOOP_STMT_STORE && loop_buffer_of(w->k, s->buf)->rank > 0) {
            loop_expr flat = loop_flat_index(w->k, s->buf, s->indices);
            list_push(w->k->memory, &w->found, ((loop_access){s->buf, flat, true, depth}));
        }
        walk_block(w, s->body, depth + (s->kind == LOOP_STMT_FOR));
        walk_block(w, s->otherwise, depth);
    }
}

loop_expr transform_unclamped(loop_kernel *k, loop_expr flat, loop_var v) {
    loop_node n = *loop_get(k, flat);
    if (n.arg_count != 2 || !loop_uses_var(k, flat, v)) return flat;
    bool first = loop_uses_var(k, n.args[0], v), second = loop_uses_var(k, n.args[1], v);
    if ((n.op == LOOP_MIN || n.op == LOOP_MAX) && first != second)
        return transform_unclamped(k, n.args[first ? 0 : 1], v);
    if (n.op != LOOP_ADD && n.op != LOOP_MUL && n.op != LOOP_SUB) return flat;
    loop_expr a = transform_unclamped(k, n.args[0], v), b = transform_unclamped(k, n.args[1], v);
    return loop_make(k, n.op, a, b, 0);
}

loop_access *transform_accesses(loop_kernel *k, const loop_stmt *body, size_t *count) {
    access_walk w = {.k = k, .seen_count = k->nodes.count};
    w.seen = ARENA_ARRAY(k->memory, bool, w.seen_count);
    walk_block(&w, body, 0);
    *count = w.found.count;
    return w.found.data;
}

/* ---- collapsing ---- */

static bool holds_division_of(const loop_kernel *k, loop_expr e, loop_var v) {
    const loop_node *n = loop_get(k, e);
    if ((n->op == LOOP_FLOORDIV || n->op == LOOP_MOD) && loop_uses_var(k, e, v)) return true;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (holds_division_of(k, n->args[i], v)) return true;
    return false;
}

/* The same block with variables replaced. Loops keep their variables: the old block is dropped. */
static loop_stmt *substitute_block(loop_kernel *k, const loop_stmt *s, const loop_expr *with) {
    return loop_copy(k, s, with, false);
}

bool transform_extents_use(const loop_kernel *k, const loop_stmt *s, loop_var v) {
    for (; s; s = s->next) {
        if (s->kind == LOOP_STMT_FOR && loop_uses_var(k, s->extent, v)) return true;
        if (transform_extents_use(k, s->body, v) || transform_extents_use(k, s->otherwise, v))
            return true;
    }
    return false;
}

/* Whether any expression of the block, flat positions in place of indices, divides by way of v. */
static bool block_divides(loop_kernel *k, const loop_stmt *s, loop_var v) {
    size_t count;
    loop_access *a = transform_accesses(k, s, &count);
    for (size_t i = 0; i < count; i++)
        if (holds_division_of(k, a[i].flat, v)) return true;
    return false;
}

/* Uses of a variable in values rather than positions: a comparison with an index, say. */
static bool value_uses(const loop_kernel *k, loop_expr e, loop_var v) {
    if (!e) return false;
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_LOAD) return false;
    if (n->op == LOOP_VAR) return (loop_var)n->i == v;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (value_uses(k, n->args[i], v)) return true;
    return false;
}

static bool block_value_uses(const loop_kernel *k, const loop_stmt *s, loop_var v) {
    for (; s; s = s->next)
        if (value_uses(k, s->value, v) || value_uses(k, s->condition, v) ||
            block_value_uses(k, s->body, v) || block_value_uses(k, s->otherwise, v))
            return true;
    return false;
}

static bool collapse_pair(loop_kernel *k, loop_nest *n, int outer) {
    nest_axis i = n->axes[outer], j = n->axes[outer + 1];
    if (loop_uses_var(k, j.extent, i.var) || transform_extents_use(k, n->body, i.var) ||
        transform_extents_use(k, n->body, j.var) || block_value_uses(k, n->body, i.var) ||
        block_value_uses(k, n->body, j.var))
        return false;
    loop_expr extent = loop_mul(k, i.extent, j.extent);
    loop_var p = loop_add_var(k, "p", extent);
    loop_expr at = loop_var_expr(k, p);
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
    with[i.var] = loop_floordiv(k, at, j.extent);
    with[j.var] = loop_mod(k, at, j.extent);
    loop_stmt *body = substitute_block(k, n->body, with);
    if (block_divides(k, body, p)) return false;
    n->body = body;
    n->axes[outer] = (nest_axis){p, extent};
    n->count--;
    memmove(&n->axes[outer + 1], &n->axes[outer + 2],
            (size_t)(n->count - outer - 1) * sizeof *n->axes);
    return true;
}

void transform_collapse(loop_kernel *k, loop_nest *n) {
    for (int i = n->count - 2; i >= 0; i--)
        if (i + 1 < n->count) collapse_pair(k, n, i);
}

/* ---- tiling ---- */

typedef struct {
    loop_kernel *k;
    const tile_axis *axes;
    int count;
    int64_t unroll;
    bool keep_kinds;       /* of loops */
    LIST(loop_buf) locals; /* to be expanded, and what each becomes */
    LIST(loop_buf) expanded;
    loop_expr *with; /* renamed inner loop variables, and tile variables of the leaf at hand */
    size_t with_count;
    loop_expr tile_vars[TRANSFORM_MAX_AXES];
    loop_expr *memo; /* of the leaf at hand */
    size_t memo_count;
} tiler;

static void grow_with(tiler *t) {
    size_t count = t->k->vars.count + 64;
    if (count <= t->with_count) return;
    loop_expr *grown = ARENA_ARRAY(t->k->memory, loop_expr, count * 2);
    if (t->with_count) memcpy(grown, t->with, t->with_count * sizeof *grown);
    t->with = grown;
    t->with_count = count * 2;
}

static int local_index(const tiler *t, loop_buf b) {
    for (size_t i = 0; i < t->locals.count; i++)
        if (t->locals.data[i] == b) return (int)i;
    return -1;
}

static void append_tile(const tiler *t, loop_expr *index, uint32_t count) {
    for (int i = 0; i < t->count; i++) index[count + (uint32_t)i] = t->tile_vars[i];
}

static loop_expr rewrite(tiler *t, loop_expr e) {
    if (!e) return 0;
    if (e < t->memo_count && t->memo[e]) return t->memo[e];
    loop_node n = *loop_get(t->k, e);
    loop_expr args[LOOP_MAX_RANK + TRANSFORM_MAX_AXES], result;
    for (uint32_t i = 0; i < n.arg_count; i++) args[i] = rewrite(t, n.args[i]);
    int local = n.op == LOOP_LOAD ? local_index(t, (loop_buf)n.i) : -1;
    switch (n.op) {
    case LOOP_CONST:
    case LOOP_DIM: result = e; break;
    case LOOP_VAR: result = (size_t)n.i < t->with_count && t->with[n.i] ? t->with[n.i] : e; break;
    case LOOP_LOAD:
        if (local >= 0) append_tile(t, args, n.arg_count);
        result = loop_load(t->k, local >= 0 ? t->expanded.data[local] : (loop_buf)n.i, args);
        break;
    case LOOP_CAST: result = loop_cast(t->k, n.type, args[0]); break;
    case LOOP_BITCAST: result = loop_bitcast(t->k, n.type, args[0]); break;
    default:
        result = loop_make(t->k, n.op, args[0], n.arg_count > 1 ? args[1] : 0,
                           n.arg_count > 2 ? args[2] : 0);
    }
    if (e < t->memo_count) t->memo[e] = result;
    return result;
}

static void begin_leaf(tiler *t) {
    t->memo_count = t->k->nodes.count;
    t->memo = ARENA_ARRAY(t->k->memory, loop_expr, t->memo_count);
}

static loop_stmt *tile_leaf(tiler *t, const loop_stmt *s) {
    loop_kernel *k = t->k;
    loop_var vars[TRANSFORM_MAX_AXES];
    for (int i = 0; i < t->count; i++) {
        vars[i] = loop_add_var(k, "t", loop_int(k, t->axes[i].size));
        t->tile_vars[i] = loop_var_expr(k, vars[i]);
    }
    grow_with(t);
    for (int i = 0; i < t->count; i++)
        t->with[t->axes[i].var] = loop_add(k, t->axes[i].base, t->tile_vars[i]);
    begin_leaf(t);
    loop_stmt *leaf;
    if (s->kind == LOOP_STMT_STORE) {
        loop_expr index[LOOP_MAX_RANK + TRANSFORM_MAX_AXES];
        for (uint32_t i = 0; i < s->index_count; i++) index[i] = rewrite(t, s->indices[i]);
        int local = local_index(t, s->buf);
        if (local >= 0) append_tile(t, index, s->index_count);
        leaf = loop_store(k, local >= 0 ? t->expanded.data[local] : s->buf, index,
                          rewrite(t, s->value));
    } else {
        leaf = loop_check(k, rewrite(t, s->condition), s->code);
    }
    for (int i = t->count; i-- > 0;) {
        loop_kind kind = t->axes[i].kind;
        if (s->kind == LOOP_STMT_CHECK && kind == LOOP_VECTOR) kind = LOOP_SERIAL;
        loop_expr extent = loop_int(k, t->axes[i].size);
        if (kind == LOOP_SERIAL && t->axes[i].active)
            extent = loop_min(k, extent, t->axes[i].active);
        leaf = loop_for(k, kind, vars[i], extent, leaf);
        if (kind == LOOP_VECTOR) leaf->active = t->axes[i].active;
    }
    return leaf;
}

static int64_t loop_iterations(const loop_kernel *k, const loop_stmt *s);

/* The iterations of all loops of a block; negative if some are not known. */
static int64_t block_iterations(const loop_kernel *k, const loop_stmt *s) {
    int64_t total = 0;
    for (; s && total >= 0; s = s->next) {
        int64_t here = 0, other = block_iterations(k, s->otherwise);
        if (s->kind == LOOP_STMT_FOR)
            here = loop_iterations(k, s);
        else
            here = block_iterations(k, s->body);
        total = here < 0 || other < 0 ? -1 : total + here + other;
    }
    return total;
}

/* Iterations of a loop, each as many as those of the loops within it; at most MOST, and negative if
 * they are not known. */
static int64_t loop_iterations(const loop_kernel *k, const loop_stmt *s) {
    enum { MOST = 1 << 20 };
    int64_t n, inside = block_iterations(k, s->body);
    if (inside < 0 || !loop_is_int(k, s->extent, &n)) return -1;
    if (inside == 0) inside = 1;
    return n < MOST / inside ? n * inside : MOST;
}

static loop_stmt *tile_block(tiler *t, const loop_stmt *s, bool unrolling) {
    loop_stmt *out = NULL;
    for (; s; s = s->next) {
        loop_stmt *made;
        if (s->kind == LOOP_STMT_FOR) {
            int64_t iterations = loop_iterations(t->k, s);
            bool unroll = unrolling || (iterations > 0 && iterations <= t->unroll);
            begin_leaf(t);
            loop_expr extent = rewrite(t, s->extent);
            loop_var v = loop_add_var(t->k, "r", extent);
            grow_with(t);
            t->with[s->var] = loop_var_expr(t->k, v);
            loop_kind kind = t->keep_kinds ? s->loop : unroll ? LOOP_UNROLL : LOOP_SERIAL;
            made = loop_for(t->k, kind, v, extent, tile_block(t, s->body, unroll));
        } else if (s->kind == LOOP_STMT_IF) {
            begin_leaf(t);
            made = loop_if(t->k, rewrite(t, s->condition), NULL, NULL);
            made->body = tile_block(t, s->body, false);
            made->otherwise = tile_block(t, s->otherwise, false);
        } else {
            made = tile_leaf(t, s);
        }
        out = loop_join(out, made);
    }
    return out;
}

/* Number of statements of a block that name buffer b. */
static size_t count_buffer_uses(loop_kernel *k, const loop_stmt *s, loop_buf b);

static size_t expr_names(const loop_kernel *k, loop_expr e, loop_buf b) {
    if (!e) return 0;
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_LOAD && (loop_buf)n->i == b) return 1;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (expr_names(k, n->args[i], b)) return 1;
    return 0;
}

static size_t count_buffer_uses(loop_kernel *k, const loop_stmt *s, loop_buf b) {
    size_t count = 0;
    for (; s; s = s->next) {
        bool uses = (s->kind == LOOP_STMT_STORE && s->buf == b) || expr_names(k, s->value, b) ||
                    expr_names(k, s->condition, b);
        for (uint32_t i = 0; i < s->index_count && !uses; i++)
            uses = expr_names(k, s->indices[i], b);
        count += uses + count_buffer_uses(k, s->body, b) + count_buffer_uses(k, s->otherwise, b);
    }
    return count;
}

/* Locals that the body alone uses belong to one iteration: a tile needs one of each a position. */
static void expand_locals(tiler *t, const loop_stmt *body) {
    loop_kernel *k = t->k;
    size_t buffers = k->buffers.count;
    for (loop_buf b = 0; b < buffers; b++) {
        loop_buffer old = *loop_buffer_of(k, b);
        if (old.space != LOOP_SPACE_TILE && old.space != LOOP_SPACE_STACK) continue;
        size_t inside = count_buffer_uses(k, body, b);
        if (!inside || inside != count_buffer_uses(k, k->body, b)) continue;
        loop_expr extents[LOOP_MAX_RANK + TRANSFORM_MAX_AXES];
        for (int i = 0; i < old.rank; i++) extents[i] = old.extents[i];
        for (int i = 0; i < t->count; i++) extents[old.rank + i] = loop_int(k, t->axes[i].size);
        old.rank += t->count;
        assert(old.rank <= LOOP_MAX_RANK);
        old.extents = extents;
        old.strides = NULL;
        list_push(k->memory, &t->locals, b);
        list_push(k->memory, &t->expanded, loop_add_buffer(k, old));
    }
}

loop_stmt *transform_tile(loop_kernel *k, const loop_stmt *body, const tile_axis *axes, int count,
                          int64_t unroll) {
    tiler t = {.k = k, .axes = axes, .count = count, .unroll = unroll};
    grow_with(&t);
    expand_locals(&t, body);
    return tile_block(&t, body, false);
}

loop_stmt *transform_instance(loop_kernel *k, const loop_stmt *body, loop_var var, loop_expr at) {
    tiler t = {.k = k, .keep_kinds = true};
    grow_with(&t);
    t.with[var] = at;
    expand_locals(&t, body);
    return tile_block(&t, body, false);
}

/* Whether an extent or a condition differs from one tile position to another: it has one of the
 * variables, or reads a local, of which every position has its own. */
static bool differs_in_tile(const loop_kernel *k, loop_expr e, const loop_var *vars, int count) {
    if (!e) return false;
    for (int i = 0; i < count; i++)
        if (loop_uses_var(k, e, vars[i])) return true;
    const loop_node n = *loop_get(k, e);
    if (n.op == LOOP_LOAD && loop_buffer_of(k, (loop_buf)n.i)->space >= LOOP_SPACE_STACK)
        return true;
    for (uint32_t i = 0; i < n.arg_count; i++)
        if (differs_in_tile(k, n.args[i], vars, count)) return true;
    return false;
}

bool transform_can_tile(const loop_kernel *k, const loop_stmt *s, const loop_var *vars, int count) {
    for (; s; s = s->next) {
        if (s->kind == LOOP_STMT_FOR && differs_in_tile(k, s->extent, vars, count)) return false;
        if (s->kind == LOOP_STMT_IF && differs_in_tile(k, s->condition, vars, count)) return false;
        if (s->kind == LOOP_STMT_FOR && s->loop != LOOP_SERIAL && s->loop != LOOP_INDEPENDENT &&
            s->loop != LOOP_REDUCE)
            return false;
        if (!transform_can_tile(k, s->body, vars, count) ||
            !transform_can_tile(k, s->otherwise, vars, count))
            return false;
    }
    return true;
}

/* ---- vector reductions ---- */

/* acc = op(acc, e) on a scalar local. */
typedef struct {
    loop_buf acc;
    loop_op op; /* SELECT: the greater one, the accumulator where e is NaN */
    loop_expr e;
    loop_buf lanes; /* its vector accumulators, [ways][lanes] */
} accumulation;

static loop_expr accumulate(loop_kernel *k, const accumulation *a, loop_expr sum, loop_expr e) {
    return a->op == LOOP_SELECT ? loop_greater(k, sum, e) : loop_make(k, a->op, sum, e, 0);
}

static bool is_load_of(const loop_kernel *k, loop_expr e, loop_buf b) {
    const loop_node *n = loop_get(k, e);
    return n->op == LOOP_LOAD && (loop_buf)n->i == b && n->arg_count == 0;
}

static bool match_accumulation(loop_kernel *k, const loop_stmt *s, accumulation *out) {
    if (s->kind != LOOP_STMT_STORE || s->index_count) return false;
    loop_node n = *loop_get(k, s->value);
    if (n.op == LOOP_SELECT && is_load_of(k, n.args[2], s->buf) &&
        s->value == loop_greater(k, n.args[2], n.args[1])) {
        *out = (accumulation){.acc = s->buf, .op = n.op, .e = n.args[1]};
        return !expr_names(k, n.args[1], s->buf);
    }
    bool known = n.op == LOOP_ADD || n.op == LOOP_MUL || n.op == LOOP_MAX || n.op == LOOP_MIN ||
                 n.op == LOOP_AND || n.op == LOOP_OR;
    if (!known || n.arg_count != 2) return false;
    int own = is_load_of(k, n.args[0], s->buf) ? 0 : is_load_of(k, n.args[1], s->buf) ? 1 : -1;
    if (own < 0 || expr_names(k, n.args[1 - own], s->buf)) return false;
    *out = (accumulation){.acc = s->buf, .op = n.op, .e = n.args[1 - own]};
    return true;
}

static loop_expr identity_of(loop_kernel *k, loop_op op, dtype t, loop_buf acc) {
    switch (op) {
    case LOOP_ADD:
    case LOOP_OR: return loop_const(k, t, 0);
    case LOOP_MUL: return loop_const(k, t, 1);
    default: return loop_load(k, acc, NULL); /* idempotent: begin with the accumulator itself */
    }
}

/* One vector step: lanes[way][v] = op(lanes[way][v], e at r = base + v). */
static loop_stmt *vector_step(loop_kernel *k, const accumulation *a, loop_var r, loop_expr base,
                              int lanes, int64_t way, loop_expr active) {
    loop_var v = loop_add_var(k, "v", loop_int(k, lanes));
    loop_expr at = loop_var_expr(k, v);
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, k->vars.count);
    with[r] = loop_add(k, base, at);
    loop_expr index[] = {loop_int(k, way), at};
    loop_expr value =
        accumulate(k, a, loop_load(k, a->lanes, index), loop_substitute(k, a->e, with));
    loop_stmt *s =
        loop_for(k, LOOP_VECTOR, v, loop_int(k, lanes), loop_store(k, a->lanes, index, value));
    s->active = active;
    return s;
}

/* Runs all accumulations for vectors from `start` on, `count` rounds of `ways` vectors each. */
static loop_stmt *vector_rounds(loop_kernel *k, const accumulation *a, size_t n, loop_var r,
                                loop_expr start, loop_expr count, int lanes, int ways) {
    int64_t none;
    if (loop_is_int(k, count, &none) && none == 0) return NULL;
    loop_var o = loop_add_var(k, "o", count);
    loop_stmt *body = NULL;
    for (size_t i = 0; i < n; i++)
        for (int w = 0; w < ways; w++) {
            loop_expr base =
                loop_add(k, start,
                         loop_add(k, loop_mul(k, loop_var_expr(k, o), loop_int(k, lanes * ways)),
                                  loop_int(k, w * lanes)));
            body = loop_join(body, vector_step(k, &a[i], r, base, lanes, w, 0));
        }
    return loop_for(k, LOOP_SERIAL, o, count, body);
}

static loop_stmt *fill_lanes(loop_kernel *k, const accumulation *a, int lanes, int ways) {
    loop_stmt *out = NULL;
    dtype t = loop_buffer_of(k, a->acc)->type;
    for (int w = 0; w < ways; w++) {
        loop_var v = loop_add_var(k, "v", loop_int(k, lanes));
        loop_expr index[] = {loop_int(k, w), loop_var_expr(k, v)};
        loop_stmt *s = loop_store(k, a->lanes, index, identity_of(k, a->op, t, a->acc));
        out = loop_join(out, loop_for(k, LOOP_VECTOR, v, loop_int(k, lanes), s));
    }
    return out;
}

/* Combines the ways, then halves the lanes until one is left, then the accumulator takes it in. */
static loop_stmt *combine_lanes(loop_kernel *k, const accumulation *a, int lanes, int ways) {
    loop_stmt *out = NULL;
    for (int step = 1; step < 2 * ways * lanes; step++) {
        /* Steps: way w into way 0, then lanes/2, lanes/4, ... into the lower half. */
        int w = step < ways ? step : 0, width = lanes;
        if (step >= ways) {
            width = lanes >> (step - ways + 1);
            if (!width) break;
        }
        loop_var v = loop_add_var(k, "v", loop_int(k, width));
        loop_expr at = loop_var_expr(k, v);
        loop_expr to[] = {loop_int(k, 0), at};
        loop_expr from[] = {loop_int(k, w), w ? at : loop_add(k, at, loop_int(k, width))};
        loop_expr value =
            accumulate(k, a, loop_load(k, a->lanes, to), loop_load(k, a->lanes, from));
        loop_stmt *s = loop_store(k, a->lanes, to, value);
        out = loop_join(out, width > 1 ? loop_for(k, LOOP_VECTOR, v, loop_int(k, width), s)
                                       : loop_for(k, LOOP_UNROLL, v, loop_int(k, 1), s));
    }
    loop_expr first[] = {loop_int(k, 0), loop_int(k, 0)};
    loop_expr total = accumulate(k, a, loop_load(k, a->acc, NULL), loop_load(k, a->lanes, first));
    return loop_join(out, loop_store(k, a->acc, NULL, total));
}

/* Whether every load of e moves by at most one element with r. */
static bool contiguous(loop_kernel *k, loop_expr e, loop_var r) {
    loop_node n = *loop_get(k, e);
    if (n.op == LOOP_LOAD && n.arg_count) {
        int64_t c;
        loop_expr rest;
        loop_expr flat = loop_flat_index(k, (loop_buf)n.i, n.args);
        return loop_linear_in(k, flat, r, &c, &rest) && (c == 0 || c == 1);
    }
    for (uint32_t i = 0; i < n.arg_count; i++)
        if (!contiguous(k, n.args[i], r)) return false;
    return true;
}

loop_stmt *transform_vector_reduce(loop_kernel *k, const loop_stmt *reduce, int lanes, int ways) {
    enum { MAX_ACCUMULATIONS = 4 };
    accumulation a[MAX_ACCUMULATIONS];
    const loop_stmt *outer[TRANSFORM_MAX_AXES], *s = reduce;
    size_t n = 0;
    int depth = 0;
    while (s && s->kind == LOOP_STMT_FOR && s->loop == LOOP_REDUCE && depth < TRANSFORM_MAX_AXES) {
        if (s != reduce && s->next) return NULL;
        outer[depth++] = s;
        s = s->body;
    }
    if (!depth) return NULL;
    loop_var r = outer[depth - 1]->var;
    for (; s; s = s->next) {
        if (n == MAX_ACCUMULATIONS || !match_accumulation(k, s, &a[n]) || !contiguous(k, a[n].e, r))
            return NULL;
        for (size_t i = 0; i < n; i++)
            if (a[i].acc == a[n].acc || expr_names(k, a[n].e, a[i].acc)) return NULL;
        n++;
    }
    loop_expr extent = outer[depth - 1]->extent;
    int64_t known;
    if (n > 1)
        ways = 1;
    else if (loop_is_int(k, extent, &known) && known < (int64_t)lanes * ways)
        ways = known < lanes ? 1 : (int)(known / lanes);
    loop_stmt *fill = NULL, *combine = NULL;
    for (size_t i = 0; i < n; i++) {
        loop_expr extents[] = {loop_int(k, ways), loop_int(k, lanes)};
        dtype t = loop_buffer_of(k, a[i].acc)->type;
        a[i].lanes = loop_add_buffer(k, (loop_buffer){.name = "lanes",
                                                      .type = t,
                                                      .space = LOOP_SPACE_TILE,
                                                      .rank = 2,
                                                      .extents = extents});
        fill = loop_join(fill, fill_lanes(k, &a[i], lanes, ways));
        combine = loop_join(combine, combine_lanes(k, &a[i], lanes, ways));
    }
    loop_expr round = loop_int(k, (int64_t)lanes * ways), one = loop_int(k, lanes);
    loop_expr rounds = loop_floordiv(k, extent, round), done = loop_mul(k, rounds, round);
    loop_expr singles = loop_floordiv(k, loop_sub(k, extent, done), one);
    loop_expr rest = loop_add(k, done, loop_mul(k, singles, one));
    loop_expr active = loop_sub(k, extent, rest);
    loop_stmt *body = vector_rounds(k, a, n, r, loop_int(k, 0), rounds, lanes, ways);
    if (ways > 1) body = loop_join(body, vector_rounds(k, a, n, r, done, singles, lanes, 1));
    int64_t left;
    if (!loop_is_int(k, active, &left) || left)
        for (size_t i = 0; i < n; i++)
            body = loop_join(body, vector_step(k, &a[i], r, rest, lanes, 0, active));
    for (int i = depth - 1; i-- > 0;)
        body = loop_for(k, LOOP_SERIAL, outer[i]->var, outer[i]->extent, body);
    return loop_join(fill, loop_join(body, combine));
}
