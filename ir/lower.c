/* lower.c: builds the kernel of one fusion group. It keeps the stack of open loops, the buffers of
 * the values that the group reads and writes, and the substitution that is fusion: a value computed
 * inside the group is its expression, not a buffer. Invariant: every load is in bounds, also in the
 * padding lanes of a blocked output. */
#include "ir/lower.h"
#include "ir/op.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

enum { WORD_BYTES = 4 };

/* An open loop or branch, and the statements of its block so far. */
typedef struct {
    enum { FRAME_ROOT, FRAME_LOOP, FRAME_THEN, FRAME_ELSE } kind;
    loop_kind loop;
    loop_var var;
    loop_expr extent, condition;
    loop_stmt *then;
    loop_stmt *head, *tail;
} frame;

/* An element that was computed already: value `v` at `index`. */
typedef struct {
    value_id v;
    int rank;
    const loop_expr *index;
    loop_expr result;
} memo_entry;

struct lower {
    graph *g;
    arena *a;
    loop_kernel *k;
    const node_id *nodes;
    size_t node_count;
    const value_id *outputs;
    size_t output_count;
    loop_buf *output_buffers;
    struct {
        value_id v;
        bool words; /* seen as u32, four elements each */
        loop_buf buffer;
    } * inputs;
    size_t input_count, input_capacity;
    LIST(frame) frames;
    LIST(int) opened; /* loops that each lower_loops or lower_reduce_axis left open */
    LIST(memo_entry) memo;
    LIST(loop_var) overhanging; /* lane variables that run past the end of a blocked axis */
    /* The anchor's result that lower_write is passing to the epilogue; 0 outside of it. */
    value_id bound;
    const loop_expr *bound_index;
    loop_expr bound_value;
};

graph *lower_graph(lower *l) {
    return l->g;
}

loop_kernel *lower_kernel(lower *l) {
    return l->k;
}

const type *lower_type(lower *l, value_id v) {
    return graph_type(l->g, v);
}

loop_expr lower_dim(lower *l, value_id v, int axis) {
    const type *t = lower_type(l, v);
    assert(axis >= 0 && axis < t->rank);
    return loop_dim(l->k, t->dims[axis]);
}

/* ---- statements ---- */

static void emit(lower *l, loop_stmt *s) {
    frame *top = &l->frames.data[l->frames.count - 1];
    if (top->tail)
        top->tail->next = s;
    else
        top->head = s;
    top->tail = s;
}

static void push_frame(lower *l, frame f) {
    list_push(l->a, &l->frames, f);
}

static frame pop_frame(lower *l) {
    assert(l->frames.count > 1);
    return l->frames.data[--l->frames.count];
}

loop_expr lower_begin(lower *l, loop_kind kind, const char *stem, loop_expr extent) {
    loop_var v = loop_add_var(l->k, stem, extent);
    push_frame(l, (frame){.kind = FRAME_LOOP, .loop = kind, .var = v, .extent = extent});
    return loop_var_expr(l->k, v);
}

void lower_end(lower *l) {
    frame f = pop_frame(l);
    assert(f.kind == FRAME_LOOP);
    emit(l, loop_for(l->k, f.loop, f.var, f.extent, f.head));
}

void lower_begin_if(lower *l, loop_expr condition) {
    push_frame(l, (frame){.kind = FRAME_THEN, .condition = condition});
}

void lower_else(lower *l) {
    frame f = pop_frame(l);
    assert(f.kind == FRAME_THEN);
    push_frame(l, (frame){.kind = FRAME_ELSE, .condition = f.condition, .then = f.head});
}

void lower_end_if(lower *l) {
    frame f = pop_frame(l);
    assert(f.kind == FRAME_THEN || f.kind == FRAME_ELSE);
    loop_stmt *then = f.kind == FRAME_THEN ? f.head : f.then;
    emit(l, loop_if(l->k, f.condition, then, f.kind == FRAME_ELSE ? f.head : NULL));
}

void lower_check(lower *l, loop_expr condition, int code) {
    loop_node c = *loop_get(l->k, condition);
    if (c.op == LOOP_CONST && c.i) return;
    emit(l, loop_check(l->k, condition, code));
}

loop_buf lower_local(lower *l, const char *stem, dtype t, loop_space space, int rank,
                     const int64_t *extents) {
    loop_expr e[LOOP_MAX_RANK];
    assert(rank <= LOOP_MAX_RANK);
    for (int i = 0; i < rank; i++) e[i] = loop_int(l->k, extents[i]);
    return loop_add_buffer(
        l->k, (loop_buffer){.name = stem, .type = t, .space = space, .rank = rank, .extents = e});
}

void lower_assign(lower *l, loop_buf b, const loop_expr *index, loop_expr value) {
    emit(l, loop_store(l->k, b, index, value));
}

loop_expr lower_value(lower *l, loop_buf b, const loop_expr *index) {
    return loop_load(l->k, b, index);
}

void lower_accumulate(lower *l, loop_buf acc, loop_op op, loop_expr value) {
    loop_expr sum = loop_make(l->k, op, loop_load(l->k, acc, NULL), value, 0);
    lower_assign(l, acc, NULL, sum);
}

/* ---- loops over values ---- */

/* One loop of `extent`, or just index 0 where the extent is one. */
static loop_expr open_axis(lower *l, loop_kind kind, const char *stem, loop_expr extent,
                           int *open) {
    int64_t n;
    if (loop_is_int(l->k, extent, &n) && n == 1) return loop_int(l->k, 0);
    (*open)++;
    return lower_begin(l, kind, stem, extent);
}

/* Whether the lanes of the blocked axis run past its dimension, as far as is known. */
static bool lanes_overhang(lower *l, const type *t) {
    int64_t n;
    return !dim_is_const(l->g->dims, t->dims[t->layout->block_axis], &n) || n % t->layout->block;
}

/* Opens the loops of lower_loops_axes and lower_loops_strided: axis i in steps of step[i] from an
 * index that a loop outside of all others counts. */
static void open_loops(lower *l, value_id v, int first, int last, const int64_t *step,
                       loop_expr *index) {
    type t = *lower_type(l, v);
    loop_expr phase[LOOP_MAX_RANK] = {0};
    int open = 0, blocked = -1;
    for (int i = first; step && i < last; i++)
        if (step[i] > 1)
            phase[i] = open_axis(l, LOOP_INDEPENDENT, "s", loop_int(l->k, step[i]), &open);
    for (int i = first; i < last; i++) {
        loop_expr extent = loop_dim(l->k, t.dims[i]);
        if (t.layout && t.layout->block_axis == i) {
            blocked = i;
            loop_expr size = loop_int(l->k, t.layout->block);
            extent = loop_dim(
                l->k, dim_ceildiv(l->g->dims, t.dims[i], dim_const(l->g->dims, t.layout->block)));
            index[i] = loop_mul(l->k, open_axis(l, LOOP_INDEPENDENT, "b", extent, &open), size);
        } else if (phase[i]) {
            loop_expr size = loop_int(l->k, step[i]);
            extent = loop_floordiv(l->k, extent, size);
            loop_expr at = open_axis(l, LOOP_INDEPENDENT, "i", extent, &open);
            index[i] = loop_add(l->k, loop_mul(l->k, at, size), phase[i]);
        } else {
            index[i] = open_axis(l, LOOP_INDEPENDENT, "i", extent, &open);
        }
    }
    if (blocked >= 0) {
        loop_expr lane =
            open_axis(l, LOOP_INDEPENDENT, "l", loop_int(l->k, t.layout->block), &open);
        if (lanes_overhang(l, &t))
            list_push(l->a, &l->overhanging, (loop_var)loop_get(l->k, lane)->i);
        index[blocked] = loop_add(l->k, index[blocked], lane);
    }
    list_push(l->a, &l->opened, open);
}

void lower_loops_axes(lower *l, value_id v, int first, int last, loop_expr *index) {
    open_loops(l, v, first, last, NULL, index);
}

void lower_loops_strided(lower *l, value_id v, const int64_t *step, loop_expr *index) {
    open_loops(l, v, 0, lower_type(l, v)->rank, step, index);
}

void lower_loops(lower *l, value_id v, loop_expr *index) {
    lower_loops_axes(l, v, 0, lower_type(l, v)->rank, index);
}

loop_expr lower_begin_lanes(lower *l, value_id v, int axis, loop_expr block) {
    enum { LANES = 16 };
    type t = *lower_type(l, v);
    loop_expr size = loop_int(l->k, LANES);
    if (t.layout && t.layout->block_axis == axis) {
        assert(t.layout->block == LANES);
        loop_expr lane = lower_begin(l, LOOP_INDEPENDENT, "l", size);
        if (lanes_overhang(l, &t))
            list_push(l->a, &l->overhanging, (loop_var)loop_get(l->k, lane)->i);
        return lane;
    }
    loop_expr left = loop_sub(l->k, lower_dim(l, v, axis), loop_mul(l->k, block, size));
    return lower_begin(l, LOOP_INDEPENDENT, "l", loop_min(l->k, size, left));
}

void lower_end_loops(lower *l) {
    assert(l->opened.count);
    for (int n = l->opened.data[--l->opened.count]; n > 0; n--) lower_end(l);
}

loop_expr lower_reduce_axis(lower *l, value_id v, int axis) {
    type t = *lower_type(l, v);
    loop_expr extent = lower_dim(l, v, axis), index;
    int open = 0;
    if (t.layout && t.layout->block_axis == axis) {
        loop_expr size = loop_int(l->k, t.layout->block);
        dim blocks = dim_ceildiv(l->g->dims, t.dims[axis], dim_const(l->g->dims, t.layout->block));
        loop_expr base =
            loop_mul(l->k, open_axis(l, LOOP_REDUCE, "rb", loop_dim(l->k, blocks), &open), size);
        loop_expr lanes =
            lanes_overhang(l, &t) ? loop_min(l->k, size, loop_sub(l->k, extent, base)) : size;
        index = loop_add(l->k, base, open_axis(l, LOOP_REDUCE, "rl", lanes, &open));
    } else {
        index = open_axis(l, LOOP_REDUCE, "r", extent, &open);
    }
    list_push(l->a, &l->opened, open);
    return index;
}

void lower_end_reduce(lower *l) {
    lower_end_loops(l);
}

/* ---- buffers ---- */

/* The physical extents of a type: blocks in place of the blocked axis, halo added, lanes last.
 * Returns the physical rank. */
static int physical_extents(lower *l, const type *t, loop_expr *extents) {
    const tensor_layout *y = t->layout;
    dim_table *d = l->g->dims;
    for (int i = 0; i < t->rank; i++) {
        dim n = t->dims[i];
        if (y && y->block_axis == i)
            n = dim_ceildiv(d, n, dim_const(d, y->block));
        else if (y)
            n = dim_add(d, n, dim_const(d, y->halo_before[i] + y->halo_after[i]));
        extents[i] = loop_dim(l->k, n);
    }
    if (!y || y->block_axis < 0) return t->rank;
    extents[t->rank] = loop_int(l->k, y->block);
    return t->rank + 1;
}

static loop_buf add_parameter(lower *l, value_id v, bool words, loop_space space) {
    type t = *lower_type(l, v);
    loop_expr extents[LOOP_MAX_RANK];
    int rank = physical_extents(l, &t, extents);
    if (words)
        extents[rank - 1] = loop_floordiv(l->k, extents[rank - 1], loop_int(l->k, WORD_BYTES));
    return loop_add_buffer(l->k, (loop_buffer){.name = space == LOOP_SPACE_INPUT ? "x" : "y",
                                               .type = words ? DTYPE_U32 : t.dtype,
                                               .space = space,
                                               .rank = rank,
                                               .extents = extents,
                                               .value = v});
}

static loop_buf input_buffer(lower *l, value_id v, bool words) {
    for (size_t i = 0; i < l->input_count; i++)
        if (l->inputs[i].v == v && l->inputs[i].words == words) return l->inputs[i].buffer;
    l->inputs = arena_grow(l->a, l->inputs, l->input_count, &l->input_capacity, sizeof *l->inputs);
    loop_buf b = add_parameter(l, v, words, LOOP_SPACE_INPUT);
    l->inputs[l->input_count].v = v;
    l->inputs[l->input_count].words = words;
    l->inputs[l->input_count++].buffer = b;
    return b;
}

/* Where the element at a logical index lies. */
static void physical_index(lower *l, const type *t, const loop_expr *index, loop_expr *out) {
    const tensor_layout *y = t->layout;
    for (int i = 0; i < t->rank; i++) {
        if (y && y->block_axis == i) {
            loop_expr size = loop_int(l->k, y->block);
            out[i] = loop_floordiv(l->k, index[i], size);
            out[t->rank] = loop_mod(l->k, index[i], size);
        } else if (y && y->halo_before[i]) {
            out[i] = loop_add(l->k, index[i], loop_int(l->k, y->halo_before[i]));
        } else {
            out[i] = index[i];
        }
    }
}

/* Whether an index runs over the padding lanes of a blocked result. */
static bool overhangs(const lower *l, loop_expr index) {
    for (size_t i = 0; i < l->overhanging.count; i++)
        if (loop_uses_var(l->k, index, l->overhanging.data[i])) return true;
    return false;
}

/* Keeps an index that runs over padding lanes inside a value that has no such padding. */
static loop_expr clamp_overhang(lower *l, const type *t, int axis, loop_expr index) {
    if (!overhangs(l, index)) return index;
    if (t->layout && t->layout->block_axis == axis) {
        /* It has padding of its own, but a shifted index may run past that. */
        dim size = dim_const(l->g->dims, t->layout->block);
        dim padded = dim_mul(l->g->dims, dim_ceildiv(l->g->dims, t->dims[axis], size), size);
        int64_t low, high;
        loop_range(l->k, loop_sub(l->k, index, loop_dim(l->k, padded)), &low, &high);
        if (high < 0) return index;
    }
    return loop_min(l->k, index, loop_sub(l->k, loop_dim(l->k, t->dims[axis]), loop_int(l->k, 1)));
}

/* ---- reading ---- */

static node_id producer_in_group(const lower *l, value_id v, uint32_t *output) {
    node_id n = graph_value(l->g, v)->producer;
    for (size_t i = 0; n && i < l->node_count; i++) {
        if (l->nodes[i] != n) continue;
        const node *p = graph_node(l->g, n);
        for (uint32_t o = 0; o < p->output_count; o++)
            if (p->outputs[o] == v) {
                *output = o;
                return n;
            }
    }
    return 0;
}

/* The formula of a pointwise row: inputs are a, b, c, ...; other names are attributes. */
static loop_expr evaluate_formula(lower *l, node_id id, int rank, const loop_expr *index) {
    enum { MAX_BINDINGS = 16 };
    const node n = *graph_node(l->g, id);
    loop_binding bindings[MAX_BINDINGS];
    size_t count = 0;
    static const char input_names[] = "a\0b\0c\0d\0e\0f";
    for (uint32_t i = 0; i < n.input_count && i < 6; i++)
        if (n.inputs[i])
            bindings[count++] = (loop_binding){&input_names[2 * i],
                                               lower_read_broadcast(l, n.inputs[i], rank, index)};
    dtype literals = count ? loop_type(l->k, bindings[0].expr) : DTYPE_F32;
    if (literals == DTYPE_BOOL) literals = graph_type(l->g, n.outputs[0])->dtype;
    for (const char *p = n.op->formula; *p;) {
        size_t length = 0;
        while (isalnum((unsigned char)p[length]) || p[length] == '_') length++;
        if (length > 1 && isalpha((unsigned char)*p) && p[length] != '(' && count < MAX_BINDINGS) {
            const char *name = arena_strndup(l->a, p, length);
            const attr *at = node_attr(&n, name);
            if (at)
                bindings[count++] = (loop_binding){name, at->kind == ATTR_INT
                                                             ? loop_const_int(l->k, literals, at->i)
                                                             : loop_const(l->k, literals, at->f)};
        }
        p += length ? length : 1;
    }
    return loop_formula(l->k, n.op->formula, literals, bindings, count);
}

static loop_expr compute_element(lower *l, node_id id, uint32_t output, const loop_expr *index) {
    const node n = *graph_node(l->g, id);
    const type *t = graph_type(l->g, n.outputs[output]);
    loop_expr e = n.op->element ? n.op->element(l, id, output, index)
                                : evaluate_formula(l, id, t->rank, index);
    return loop_type(l->k, e) == t->dtype ? e : loop_cast(l->k, t->dtype, e);
}

static bool same_index(int rank, const loop_expr *a, const loop_expr *b) {
    return !rank || memcmp(a, b, (size_t)rank * sizeof *a) == 0;
}

static loop_expr read_computed(lower *l, value_id v, node_id producer, uint32_t output,
                               const loop_expr *index) {
    int rank = lower_type(l, v)->rank;
    for (size_t i = 0; i < l->memo.count; i++)
        if (l->memo.data[i].v == v && same_index(rank, index, l->memo.data[i].index))
            return l->memo.data[i].result;
    loop_expr *kept = ARENA_ARRAY(l->a, loop_expr, (size_t)rank);
    if (rank) memcpy(kept, index, (size_t)rank * sizeof *index);
    loop_expr result = compute_element(l, producer, output, kept);
    list_push(l->a, &l->memo, ((memo_entry){v, rank, kept, result}));
    return result;
}

/* A constant that needs no load: one element, or a splat. 0 if it is not one. */
static loop_expr read_constant(lower *l, value_id v, const loop_expr *index) {
    const value *val = graph_value(l->g, v);
    const type *t = &val->type;
    int64_t at = 0;
    if (val->elements && dtype_is_integer(t->dtype) &&
        (t->rank == 0 || (t->rank == 1 && loop_is_int(l->k, index[0], &at)))) {
        loop_expr e = loop_dim(l->k, val->elements[at]);
        return t->dtype == DTYPE_I64 ? e : loop_cast(l->k, t->dtype, e);
    }
    if (!val->constant || t->kind != TYPE_TENSOR || t->dtype == DTYPE_STRING) return 0;
    if (!val->constant->splat && !dim_equals_const(l->g->dims, type_elements(l->g->dims, t), 1))
        return 0;
    if (t->layout && !val->constant->splat) return 0;
    if (dtype_is_float(t->dtype))
        return loop_const(l->k, t->dtype, value_float(val, l->g->dims, 0));
    if (dtype_is_integer(t->dtype) || t->dtype == DTYPE_BOOL)
        return loop_const_int(l->k, t->dtype, value_int(val, l->g->dims, 0));
    return 0;
}

loop_expr lower_read(lower *l, value_id v, const loop_expr *index) {
    type t = *lower_type(l, v);
    if (v == l->bound && l->bound) {
        assert(same_index(t.rank, index, l->bound_index) && "an epilogue must keep the index");
        return l->bound_value;
    }
    uint32_t output;
    node_id producer = producer_in_group(l, v, &output);
    if (producer &&
        (graph_node(l->g, producer)->op->element || graph_node(l->g, producer)->op->formula))
        return read_computed(l, v, producer, output, index);
    loop_expr constant = read_constant(l, v, index);
    if (constant) return constant;
    loop_expr logical[LOOP_MAX_RANK], physical[LOOP_MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        logical[i] = l->overhanging.count ? clamp_overhang(l, &t, i, index[i]) : index[i];
    physical_index(l, &t, logical, physical);
    return loop_load(l->k, input_buffer(l, v, false), physical);
}

/* Whether an index stands where lower_write stands along an axis of this length. */
static bool is_bound_at(lower *l, int rank, int axis, loop_expr at, dim length) {
    const type *t = l->bound ? lower_type(l, l->bound) : NULL;
    return t && t->rank == rank && t->dims[axis] == length && l->bound_index[axis] == at;
}

loop_expr lower_read_broadcast(lower *l, value_id v, int rank, const loop_expr *index) {
    type t = *lower_type(l, v);
    loop_expr own[LOOP_MAX_RANK];
    assert(t.rank <= rank);
    for (int i = 0; i < t.rank; i++) {
        int axis = rank - t.rank + i;
        loop_expr at = index[axis];
        if (dim_equals_const(l->g->dims, t.dims[i], 1))
            own[i] = loop_int(l->k, 0);
        else if (dim_low(l->g->dims, t.dims[i]) > 1 || dim_is_const(l->g->dims, t.dims[i], NULL) ||
                 is_bound_at(l, rank, axis, at, t.dims[i]))
            own[i] = at;
        else {
            /* A symbolic dimension may turn out to be one at run time and then repeats; where the
             * index is known to stay below it, it does not. */
            loop_expr d = loop_dim(l->k, t.dims[i]);
            own[i] = loop_min(l->k, at, loop_sub(l->k, d, loop_int(l->k, 1)));
        }
    }
    return lower_read(l, v, own);
}

/* Whether an index along `axis` is inside of v, halo included. A halo is made by the layout pass
 * for all readers of v at once, so where a symbolic extent defies a proof of the upper end it is
 * taken at its word. */
static bool index_is_inside(lower *l, const type *t, int axis, loop_expr index, bool zero) {
    int64_t before = 0, after = 0, low, high, n;
    if (zero && t->layout && t->layout->block_axis != axis) {
        before = t->layout->halo_before[axis];
        after = t->layout->halo_after[axis];
    }
    loop_range(l->k, index, &low, &high);
    if (low < -before) return false;
    if (dim_is_const(l->g->dims, t->dims[axis], &n)) {
        /* What padding lanes compute from padding nobody reads. */
        if (t->layout && t->layout->block_axis == axis && overhangs(l, index))
            after = (t->layout->block - n % t->layout->block) % t->layout->block;
        return high < n + after;
    }
    if (before || after) return true;
    loop_expr over = loop_sub(l->k, index, loop_dim(l->k, t->dims[axis]));
    loop_range(l->k, over, &low, &high);
    return high < 0;
}

loop_expr lower_read_partly(lower *l, value_id v, const loop_expr *index, const bool *known,
                            loop_expr otherwise) {
    type t = *lower_type(l, v);
    loop_kernel *k = l->k;
    loop_node o = *loop_get(k, otherwise);
    uint32_t output;
    bool zero = o.op == LOOP_CONST && (dtype_is_float(o.type) ? o.f == 0 : o.i == 0) &&
                !producer_in_group(l, v, &output);
    loop_expr inside = 0, own[LOOP_MAX_RANK];
    for (int i = 0; i < t.rank; i++) {
        own[i] = index[i];
        if (known[i] || index_is_inside(l, &t, i, index[i], zero)) continue;
        loop_expr last = loop_sub(k, loop_dim(k, t.dims[i]), loop_int(k, 1));
        loop_expr ok = loop_and(k, loop_make(k, LOOP_LE, loop_int(k, 0), index[i], 0),
                                loop_make(k, LOOP_LE, index[i], last, 0));
        own[i] = loop_max(k, loop_int(k, 0), loop_min(k, index[i], last));
        inside = inside ? loop_and(k, inside, ok) : ok;
    }
    loop_expr value = lower_read(l, v, own);
    return inside ? loop_select(k, inside, value, otherwise) : value;
}

loop_expr lower_read_or(lower *l, value_id v, const loop_expr *index, loop_expr otherwise) {
    static const bool unknown[TENSOR_MAX_RANK];
    return lower_read_partly(l, v, index, unknown, otherwise);
}

/* Whether the words of v along an axis are words of its memory. */
static bool has_words(lower *l, value_id v, int axis) {
    const value *val = graph_value(l->g, v);
    const tensor_layout *y = val->type.layout;
    uint32_t output;
    int64_t n;
    if (producer_in_group(l, v, &output) || v == l->bound || val->elements ||
        (val->constant && val->constant->splat))
        return false;
    if (y && y->block_axis >= 0) return y->block_axis == axis && y->block % WORD_BYTES == 0;
    return !y && axis == val->type.rank - 1 && dim_is_const(l->g->dims, val->type.dims[axis], &n) &&
           n % WORD_BYTES == 0;
}

loop_expr lower_read_word(lower *l, value_id v, int axis, const loop_expr *index) {
    loop_kernel *k = l->k;
    type t = *lower_type(l, v);
    loop_expr at[LOOP_MAX_RANK], word = 0, zero = loop_const_int(k, t.dtype, 0);
    assert(dtype_bytes(t.dtype) == 1);
    if (has_words(l, v, axis)) {
        physical_index(l, &t, index, at);
        int last = t.layout ? t.rank : t.rank - 1;
        at[last] = loop_floordiv(k, at[last], loop_int(k, WORD_BYTES));
        return loop_load(k, input_buffer(l, v, true), at);
    }
    for (int i = 0; i < t.rank; i++) at[i] = index[i];
    for (int i = 0; i < WORD_BYTES; i++) {
        at[axis] = loop_add(k, index[axis], loop_int(k, i));
        loop_expr byte = loop_cast(k, DTYPE_U8, lower_read_or(l, v, at, zero));
        byte = loop_make(k, LOOP_SHL, loop_cast(k, DTYPE_U32, byte),
                         loop_const_int(k, DTYPE_U32, 8 * i), 0);
        word = i ? loop_make(k, LOOP_OR, word, byte, 0) : byte;
    }
    return word;
}

/* ---- writing ---- */

static bool depends_on(const lower *l, value_id v, value_id on) {
    if (v == on) return true;
    uint32_t output;
    node_id n = producer_in_group(l, v, &output);
    if (!n || (graph_node(l->g, n)->op->nest && !graph_node(l->g, n)->op->element)) return false;
    const node *p = graph_node(l->g, n);
    for (uint32_t i = 0; i < p->input_count; i++)
        if (p->inputs[i] && depends_on(l, p->inputs[i], on)) return true;
    return false;
}

static void store_output(lower *l, size_t which, const loop_expr *index) {
    value_id v = l->outputs[which];
    type t = *lower_type(l, v);
    loop_expr physical[LOOP_MAX_RANK];
    loop_expr value = lower_read(l, v, index);
    physical_index(l, &t, index, physical);
    emit(l, loop_store(l->k, l->output_buffers[which], physical, value));
}

void lower_write(lower *l, value_id v, const loop_expr *index, loop_expr value) {
    const type t = *lower_type(l, v);
    /* On an axis of one element all readers say 0, as broadcasting does. */
    loop_expr at[LOOP_MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        at[i] = dim_equals_const(l->g->dims, t.dims[i], 1) ? loop_int(l->k, 0) : index[i];
    l->bound = v;
    l->bound_index = at;
    l->bound_value = loop_type(l->k, value) == t.dtype ? value : loop_cast(l->k, t.dtype, value);
    l->memo.count = 0;
    for (size_t i = 0; i < l->output_count; i++)
        if (depends_on(l, l->outputs[i], v)) store_output(l, i, at);
    l->memo.count = 0;
    l->bound = 0;
    l->bound_index = NULL;
}

/* Kernels work on numbers, and move strings; false and a diagnostic if the node reads or makes
 * something else. */
static bool is_lowerable(graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->input_count + nd->output_count; i++) {
        value_id v = i < nd->input_count ? nd->inputs[i] : nd->outputs[i - nd->input_count];
        if (!v) continue;
        const type *t = graph_type(g, v);
        bool moved = t->dtype == DTYPE_STRING && (nd->op->flags & OP_OPAQUE);
        if (t->kind == TYPE_TENSOR && (moved || dtype_class_of(t->dtype) != DTYPE_CLASS_OTHER))
            continue;
        return op_error(g, n, NULL, "it cannot be compiled for values of this type (%s)",
                        t->kind == TYPE_TENSOR ? dtype_name(t->dtype) : "no tensor");
    }
    return true;
}

loop_kernel *lower_group(graph *g, arena *a, const char *name, const node_id *nodes,
                         size_t node_count, const value_id *outputs, size_t output_count) {
    lower l = {.g = g,
               .a = a,
               .k = loop_kernel_create(a, g->dims, name),
               .nodes = nodes,
               .node_count = node_count,
               .outputs = outputs,
               .output_count = output_count,
               .output_buffers = ARENA_ARRAY(a, loop_buf, output_count)};
    for (size_t i = 0; i < node_count; i++)
        if (!is_lowerable(g, nodes[i])) return NULL;
    push_frame(&l, (frame){.kind = FRAME_ROOT});
    for (size_t i = 0; i < output_count; i++)
        l.output_buffers[i] = add_parameter(&l, outputs[i], false, LOOP_SPACE_OUTPUT);
    node_id anchor = 0;
    for (size_t i = 0; i < node_count; i++) {
        const op_def *op = graph_node(g, nodes[i])->op;
        if (op->element || op->formula) continue;
        if (!op->nest) {
            op_error(g, nodes[i], NULL, "the operator has no loops of its own");
            return NULL;
        }
        assert(!anchor && "a group holds one anchor");
        anchor = nodes[i];
    }
    if (anchor) {
        graph_node(g, anchor)->op->nest(&l, anchor);
    } else {
        loop_expr index[LOOP_MAX_RANK];
        lower_loops(&l, outputs[0], index);
        for (size_t i = 0; i < output_count; i++) store_output(&l, i, index);
        lower_end_loops(&l);
    }
    assert(l.frames.count == 1);
    l.k->body = l.frames.data[0].head;
    return l.k;
}

/* Zeros in the halo of `axis`, at one place of the axes before `first`, whose indices are given:
 * the axes up to it run over what lies inside of their halos, those behind it over everything, so
 * that every border element is written once. `from` and `count` are the physical range along the
 * axis. */
static loop_stmt *zero_slab(lower *l, loop_buf b, const type *t, int first, int axis,
                            loop_expr *index, loop_expr from, int64_t count) {
    loop_buffer buffer = *loop_buffer_of(l->k, b);
    loop_expr extents[LOOP_MAX_RANK];
    loop_var vars[LOOP_MAX_RANK];
    for (int i = first; i < buffer.rank; i++) {
        bool inner = i < axis && i != t->layout->block_axis;
        extents[i] = i == axis ? loop_int(l->k, count)
                     : inner   ? loop_dim(l->k, t->dims[i])
                               : buffer.extents[i];
        vars[i] = loop_add_var(l->k, "z", extents[i]);
        loop_expr start = i == axis ? from : loop_int(l->k, inner ? t->layout->halo_before[i] : 0);
        index[i] = loop_add(l->k, start, loop_var_expr(l->k, vars[i]));
    }
    loop_stmt *s = loop_store(l->k, b, index, loop_const(l->k, t->dtype, 0));
    for (int i = buffer.rank; i-- > first;)
        s = loop_for(l->k, LOOP_INDEPENDENT, vars[i], extents[i], s);
    return s;
}

/* Images of a batch one by one, so that threads may share them; of one image each side of all
 * channels at once, which makes longer loops. */
loop_kernel *lower_halo(graph *g, arena *a, const char *name, value_id v) {
    lower l = {.g = g, .a = a, .k = loop_kernel_create(a, g->dims, name)};
    type t = *graph_type(g, v);
    loop_buf b = add_parameter(&l, v, false, LOOP_SPACE_OUTPUT);
    const loop_expr *extents = loop_buffer_of(l.k, b)->extents;
    loop_expr index[LOOP_MAX_RANK], zero = loop_int(l.k, 0);
    loop_var vars[LOOP_MAX_RANK];
    loop_stmt *body = NULL;
    int first = 0;
    bool one = dim_equals_const(g->dims, t.dims[0], 1);
    for (; !one && !t.layout->halo_before[first] && !t.layout->halo_after[first]; first++) {
        vars[first] = loop_add_var(l.k, "z", extents[first]);
        index[first] = loop_var_expr(l.k, vars[first]);
    }
    for (int i = first; i < t.rank; i++) {
        int64_t before = t.layout->halo_before[i], after = t.layout->halo_after[i];
        loop_expr end = loop_add(l.k, loop_dim(l.k, t.dims[i]), loop_int(l.k, before));
        if (before) body = loop_join(body, zero_slab(&l, b, &t, first, i, index, zero, before));
        if (after) body = loop_join(body, zero_slab(&l, b, &t, first, i, index, end, after));
    }
    for (int i = first; i-- > 0;) body = loop_for(l.k, LOOP_INDEPENDENT, vars[i], extents[i], body);
    l.k->body = body;
    return l.k;
}
