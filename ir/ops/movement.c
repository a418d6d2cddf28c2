/* movement.c: operators whose results are elements of their inputs in another place. Each is a
 * function from the result's index to that of the input, so that chains of them cost one index
 * calculation. */
#include "ir/ops/kit.h"

#include <assert.h>
#include <string.h>

static value_id input(lower *l, node_id n, uint32_t i) {
    return graph_input(lower_graph(l), n, i);
}

/* ---- transposition ---- */

/* The permutation: the attribute, or all axes reversed. */
static bool permutation(graph *g, node_id n, int rank, int *perm) {
    size_t count;
    const int64_t *given = node_attr_ints(graph_node(g, n), "perm", &count);
    bool seen[TENSOR_MAX_RANK] = {false};
    if (given && count != (size_t)rank)
        return op_error(g, n, NULL, "attribute perm has %zu axes, the input %d", count, rank);
    for (int i = 0; i < rank; i++) {
        int64_t p = given ? given[i] : rank - 1 - i;
        if (p < 0 || p >= rank || seen[p])
            return op_error(g, n, NULL, "attribute perm is no permutation");
        seen[p] = true;
        perm[i] = (int)p;
    }
    return true;
}

static bool infer_transpose(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int perm[TENSOR_MAX_RANK];
    dim dims[TENSOR_MAX_RANK];
    if (!permutation(g, n, x.rank, perm)) return false;
    for (int i = 0; i < x.rank; i++) dims[i] = x.dims[perm[i]];
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

static loop_expr element_transpose(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    int rank = lower_type(l, input(l, n, 0))->rank, perm[TENSOR_MAX_RANK];
    loop_expr own[TENSOR_MAX_RANK];
    bool ok = permutation(lower_graph(l), n, rank, perm);
    assert(ok);
    for (int i = 0; i < rank; i++) own[perm[i]] = index[i];
    return lower_read(l, input(l, n, 0), own);
}

/* ---- other shapes of the same elements ---- */

static bool infer_reshape(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    size_t count;
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    bool keep_zero = node_attr_int(graph_node(g, n), "allowzero", 0);
    dim dims[TENSOR_MAX_RANK], known = dim_const(t, 1);
    int open = -1;
    if (!kit_need(g, n, 1, 0, 1)) return false;
    if (!shape) return kit_set_declared(g, n, x.dtype, "shape is");
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    for (size_t i = 0; i < count; i++) {
        dims[i] = shape[i];
        if (dim_equals_const(t, dims[i], 0) && !keep_zero) {
            if ((int)i >= x.rank)
                return op_error(g, n, NULL, "the shape keeps dimension %zu, which the input lacks",
                                i);
            dims[i] = x.dims[i];
        }
        if (dim_equals_const(t, dims[i], -1)) {
            if (open >= 0) return op_error(g, n, NULL, "the shape leaves two dimensions open");
            open = (int)i;
        } else if (dim_high(t, dims[i]) < 0) {
            return op_error(g, n, NULL, "the shape has a negative dimension");
        } else {
            known = dim_mul(t, known, dims[i]);
        }
    }
    dim total = type_elements(t, &x);
    if (open >= 0)
        dims[open] =
            dim_equals_const(t, known, 0) ? dim_const(t, 0) : dim_floordiv(t, total, known);
    int64_t have, want;
    if (dim_is_const(t, total, &have)) {
        dim product = open >= 0 ? dim_mul(t, known, dims[open]) : known;
        if (dim_is_const(t, product, &want) && have != want)
            return op_error(g, n, NULL, "%lld elements do not fit a shape of %lld", (long long)have,
                            (long long)want);
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, (int)count, dims));
    return true;
}

static bool infer_flatten(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int64_t axis = node_attr_int(graph_node(g, n), "axis", 1);
    if (axis < -x.rank || axis > x.rank)
        return op_error(g, n, NULL, "axis %lld is out of range", (long long)axis);
    if (axis < 0) axis += x.rank;
    dim dims[] = {dim_const(g->dims, 1), dim_const(g->dims, 1)};
    for (int i = 0; i < x.rank; i++) dims[i >= axis] = dim_mul(g->dims, dims[i >= axis], x.dims[i]);
    op_set_type(g, n, 0, type_tensor(x.dtype, 2, dims));
    return true;
}

/* Whether only the data name the axes. */
static bool axes_open(graph *g, node_id n) {
    const int64_t *axes;
    size_t count;
    return graph_input(g, n, 1) && !op_const_ints(g, n, 1, "axes", &axes, &count);
}

/* Marks the axes that input 1 (or the attribute) names, of a tensor of this rank. */
static bool mark_axes(graph *g, node_id n, int rank, bool *marked) {
    const int64_t *axes;
    size_t count;
    memset(marked, 0, TENSOR_MAX_RANK * sizeof *marked);
    if (!op_const_ints(g, n, 1, "axes", &axes, &count))
        return op_error(g, n, NULL, "the axes are not known at compile time");
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], rank, &axis)) return false;
        if (marked[axis]) return op_error(g, n, NULL, "axis %d is named twice", axis);
        marked[axis] = true;
    }
    return true;
}

static bool infer_squeeze(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool drop[TENSOR_MAX_RANK] = {false};
    dim dims[TENSOR_MAX_RANK];
    int rank = 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    if (axes_open(g, n)) return kit_set_declared(g, n, x.dtype, "axes are");
    if (given && !mark_axes(g, n, x.rank, drop)) return false;
    for (int i = 0; i < x.rank; i++) {
        int64_t size;
        bool fixed = dim_is_const(g->dims, x.dims[i], &size);
        if (!given) drop[i] = fixed && size == 1;
        if (drop[i] && fixed && size != 1)
            return op_error(g, n, NULL, "axis %d has %lld elements, not one", i, (long long)size);
        if (!drop[i]) dims[rank++] = x.dims[i];
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static bool infer_unsqueeze(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool made[TENSOR_MAX_RANK];
    dim dims[TENSOR_MAX_RANK];
    const int64_t *axes;
    size_t count;
    if (axes_open(g, n)) return kit_set_declared(g, n, x.dtype, "axes are");
    if (!op_const_ints(g, n, 1, "axes", &axes, &count))
        return op_error(g, n, NULL, "it has no axes");
    int rank = x.rank + (int)count;
    if (count > TENSOR_MAX_RANK || rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    if (!mark_axes(g, n, rank, made)) return false;
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = made[i] ? dim_const(g->dims, 1) : x.dims[from++];
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* The element at the same row-major position. Where the products of the leading dimensions of both
 * meet, the axes before and behind have nothing to do with each other: each such group has a
 * position of its own, and an axis that is alone in it keeps its index. */
static loop_expr element_reshape(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    dim_table *t = lower_graph(l)->dims;
    value_id x = input(l, n, 0);
    const type from = *lower_type(l, x),
               to = *lower_type(l, graph_output(lower_graph(l), n, output));
    loop_expr own[TENSOR_MAX_RANK];
    dim have = dim_const(t, 1), want = have;
    for (int i = 0, j = 0, first_i = 0, first_j = 0; i < from.rank || j < to.rank;) {
        bool take_from = j == to.rank || (i < from.rank && dim_high(t, have) <= dim_high(t, want));
        if (take_from)
            have = dim_mul(t, have, from.dims[i++]);
        else
            want = dim_mul(t, want, to.dims[j++]);
        if (have != want && (i < from.rank || j < to.rank)) continue;
        loop_expr at = loop_int(k, 0);
        for (int a = first_j; a < j; a++)
            at = loop_add(k, loop_mul(k, at, loop_dim(k, to.dims[a])), index[a]);
        for (int a = i; a-- > first_i;) {
            loop_expr size = loop_dim(k, from.dims[a]);
            own[a] = a > first_i ? loop_mod(k, at, size) : at;
            at = loop_floordiv(k, at, size);
        }
        first_i = i;
        first_j = j;
        have = want = dim_const(t, 1);
    }
    return lower_read(l, x, own);
}

/* Axes of one element come and go; the others keep their order, so indices need no arithmetic. */
static loop_expr element_ones(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), y = graph_output(g, n, output);
    const type from = *lower_type(l, x), to = *lower_type(l, y);
    bool marked[TENSOR_MAX_RANK];
    if (axes_open(g, n)) return element_reshape(l, n, output, index);
    bool squeeze = strcmp(graph_node(g, n)->op->name, "Squeeze") == 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    int longer = squeeze ? from.rank : to.rank;
    loop_expr own[TENSOR_MAX_RANK];
    if (given && !mark_axes(g, n, longer, marked)) return 0;
    for (int i = 0; !given && i < longer; i++)
        marked[i] = dim_equals_const(g->dims, from.dims[i], 1);
    for (int i = 0, other = 0; i < longer; i++) {
        if (squeeze)
            own[i] = marked[i] ? loop_int(lower_kernel(l), 0) : index[other++];
        else if (!marked[i])
            own[other++] = index[i];
    }
    return lower_read(l, x, own);
}

/* ---- repetition ---- */

static bool infer_expand(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count;
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    dim dims[TENSOR_MAX_RANK];
    int rank;
    if (!kit_need(g, n, 1, 0, 1)) return false;
    if (!shape)
        return kit_set_declared(g, n, x.dtype, "shape is") &&
               (graph_type(g, graph_output(g, n, 0))->rank >= x.rank ||
                op_error(g, n, NULL, "the declared output has too few axes"));
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    type wanted = type_tensor(x.dtype, (int)count, shape);
    const type *types[] = {&x, &wanted};
    if (!op_broadcast(g, n, 2, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static loop_expr element_expand(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    int rank = lower_type(l, graph_output(lower_graph(l), n, output))->rank;
    return lower_read_broadcast(l, input(l, n, 0), rank, index);
}

static bool infer_tile(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    size_t count;
    const dim *times = graph_elements(g, graph_input(g, n, 1), &count);
    dim dims[TENSOR_MAX_RANK];
    if (!times)
        return kit_set_declared(g, n, x.dtype, "repeats are") &&
               kit_agree(g, n, kit_dim(g, graph_type(g, graph_output(g, n, 0))->rank),
                         kit_dim(g, x.rank), "the ranks");
    if (count != (size_t)x.rank)
        return op_error(g, n, NULL, "there are %zu repeats for %d axes", count, x.rank);
    for (int i = 0; i < x.rank; i++) dims[i] = dim_mul(g->dims, x.dims[i], times[i]);
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

static loop_expr element_tile(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    value_id x = input(l, n, 0);
    loop_expr own[TENSOR_MAX_RANK];
    for (int i = 0; i < lower_type(l, x)->rank; i++)
        own[i] = loop_mod(lower_kernel(l), index[i], lower_dim(l, x, i));
    return lower_read(l, x, own);
}

/* ---- joining ---- */

static bool infer_concat(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim dims[TENSOR_MAX_RANK];
    int axis;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    for (uint32_t i = 1; i < graph_node(g, n)->input_count; i++) {
        const type *t = graph_type(g, graph_input(g, n, i));
        if (t->rank != x.rank || t->dtype != x.dtype)
            return op_error(g, n, NULL, "input %u has another rank or type", i);
        for (int j = 0; j < x.rank; j++) {
            if (j == axis)
                dims[j] = dim_add(g->dims, dims[j], t->dims[j]);
            else if (!kit_agree(g, n, dims[j], t->dims[j], "the inputs"))
                return false;
            else if (dim_is_const(g->dims, t->dims[j], NULL))
                dims[j] = t->dims[j];
        }
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* One input behind the other: each is copied by loops of its own, so that none needs a choice per
 * element. */
static void nest_concat(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0);
    int64_t axis = node_attr_int(graph_node(g, n), "axis", 0);
    if (axis < 0) axis += lower_type(l, y)->rank;
    loop_expr start = loop_int(k, 0);
    for (uint32_t i = 0; i < graph_node(g, n)->input_count; i++) {
        value_id x = graph_input(g, n, i);
        loop_expr index[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
        lower_loops(l, x, index);
        memcpy(to, index, sizeof to);
        to[axis] = loop_add(k, start, index[axis]);
        lower_write(l, y, to, lower_read(l, x, index));
        lower_end_loops(l);
        start = loop_add(k, start, lower_dim(l, x, (int)axis));
    }
}

/* ---- DepthToSpace, SpaceToDepth ---- */

typedef struct {
    int64_t block;
    bool to_space, depth_last; /* mode CRD: a channel's blocks lie beside each other */
} depth_mode;

static bool read_depth_mode(graph *g, node_id n, depth_mode *m) {
    const node *nd = graph_node(g, n);
    const char *mode = node_attr_string(nd, "mode", "DCR");
    m->block = node_attr_int(nd, "blocksize", 0);
    m->to_space = strcmp(nd->op->name, "DepthToSpace") == 0;
    m->depth_last = strcmp(mode, "CRD") == 0;
    if (!m->depth_last && strcmp(mode, "DCR") != 0)
        return op_error(g, n, NULL, "attribute mode is \"%s\", must be DCR or CRD", mode);
    return (m->block > 0 && m->block <= INT32_MAX) ||
           op_error(g, n, NULL, "attribute blocksize is %lld", (long long)m->block);
}

static bool infer_depth(graph *g, node_id n) {
    depth_mode m;
    if (!kit_need(g, n, 0, 4, 4) || !read_depth_mode(g, n, &m)) return false;
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim b = kit_dim(g, m.block), bb = dim_mul(g->dims, b, b), dims[4] = {x.dims[0]};
    dim divided[] = {m.to_space ? x.dims[1] : x.dims[2], m.to_space ? x.dims[1] : x.dims[3]};
    for (int i = 0; i < 2; i++) {
        dim rest = dim_mod(g->dims, divided[i], m.to_space ? bb : b);
        if (dim_low(g->dims, rest) > 0)
            return op_error(g, n, NULL, "blocks of %lld do not divide the input",
                            (long long)m.block);
    }
    dims[1] = m.to_space ? dim_floordiv(g->dims, x.dims[1], bb) : dim_mul(g->dims, x.dims[1], bb);
    for (int i = 2; i < 4; i++)
        dims[i] = m.to_space ? dim_mul(g->dims, x.dims[i], b) : dim_floordiv(g->dims, x.dims[i], b);
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

/* The channels of the deep tensor are [by][bx][channel] or, depth last, [channel][by][bx]. */
static loop_expr element_depth(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    depth_mode m;
    if (!read_depth_mode(g, n, &m)) return 0;
    loop_expr b = loop_int(k, m.block), own[4] = {index[0]};
    value_id flat = m.to_space ? graph_output(g, n, output) : input(l, n, 0);
    loop_expr channels = lower_dim(l, flat, 1);
    if (m.to_space) {
        loop_expr by = loop_mod(k, index[2], b), bx = loop_mod(k, index[3], b);
        loop_expr inner = loop_add(k, loop_mul(k, by, b), bx);
        own[1] = m.depth_last
                     ? loop_add(k, loop_mul(k, index[1], loop_int(k, m.block * m.block)), inner)
                     : loop_add(k, loop_mul(k, inner, channels), index[1]);
        own[2] = loop_floordiv(k, index[2], b);
        own[3] = loop_floordiv(k, index[3], b);
    } else {
        loop_expr blocks = loop_int(k, m.block * m.block);
        loop_expr inner =
            m.depth_last ? loop_mod(k, index[1], blocks) : loop_floordiv(k, index[1], channels);
        own[1] =
            m.depth_last ? loop_floordiv(k, index[1], blocks) : loop_mod(k, index[1], channels);
        own[2] = loop_add(k, loop_mul(k, index[2], b), loop_floordiv(k, inner, b));
        own[3] = loop_add(k, loop_mul(k, index[3], b), loop_mod(k, inner, b));
    }
    return lower_read(l, input(l, n, 0), own);
}

/* Very many inputs in groups: the time to compile one kernel grows faster than its parameters. */
static bool expand_concat(graph *g, node_id n) {
    enum { MOST = 64 };
    const node nd = *graph_node(g, n);
    const attr *axis = node_attr(&nd, "axis");
    if (nd.input_count <= MOST || !axis) return false;
    uint32_t groups = (nd.input_count + MOST - 1) / MOST;
    value_id *parts = ARENA_ARRAY(g->memory, value_id, groups);
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t from = i * MOST, left = nd.input_count - from;
        parts[i] = kit_build(g, n, "Concat", left < MOST ? left : MOST, nd.inputs + from, 1, axis);
    }
    value_id made = kit_build(g, n, "Concat", groups, parts, 1, axis);
    if (!made) return false;
    kit_replace(g, nd.outputs[0], made);
    graph_remove_node(g, n);
    return true;
}

#define MOVE(op, infer_hook, element_hook)                                                         \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_MOVEMENT | OP_OPAQUE, .infer = infer_hook,           \
        .element = element_hook                                                                    \
    }

const op_def ops_movement[] = {
    {.domain = "",
     .name = "Concat",
     .flags = OP_ANCHOR | OP_OPAQUE,
     .infer = infer_concat,
     .nest = nest_concat,
     .expand = expand_concat},
    MOVE("DepthToSpace", infer_depth, element_depth),
    MOVE("SpaceToDepth", infer_depth, element_depth),
    MOVE("Expand", infer_expand, element_expand),
    MOVE("Flatten", infer_flatten, element_reshape),
    MOVE("Reshape", infer_reshape, element_reshape),
    MOVE("Squeeze", infer_squeeze, element_ones),
    MOVE("Tile", infer_tile, element_tile),
    MOVE("Transpose", infer_transpose, element_transpose),
    MOVE("Unsqueeze", infer_unsqueeze, element_ones),
};
const size_t ops_movement_count = sizeof ops_movement / sizeof *ops_movement;
