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

/* What input 1 asks for on axis i of a Reshape; -1 is open. */
static loop_expr asked_size(lower *l, node_id n, int i) {
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0);
    loop_expr asked = kit_read_int(l, input(l, n, 1), i);
    if (node_attr_int(graph_node(lower_graph(l), n), "allowzero", 0)) return asked;
    loop_expr kept = i < lower_type(l, x)->rank ? lower_dim(l, x, i) : loop_int(k, -2);
    return loop_select(k, kit_op2(l, LOOP_EQ, asked, loop_int(k, 0)), kept, asked);
}

static loop_expr size_reshape(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    const type shape = *lower_type(l, input(l, n, 1)), *x = lower_type(l, input(l, n, 0));
    int64_t rank = shape.rank ? dim_value(g->dims, shape.dims[0]) : 1;
    loop_expr zero = loop_int(k, 0), one = loop_int(k, 1), open = loop_int(k, -1);
    loop_expr known = one, opens = zero, most = loop_int(k, INT64_C(1) << 31);
    for (int i = 0; i < rank; i++) {
        loop_expr asked = asked_size(l, n, i), is_open = kit_op2(l, LOOP_EQ, asked, open);
        loop_expr factor = loop_max(k, zero, loop_min(k, asked, most));
        known = loop_min(k, most, loop_mul(k, known, loop_select(k, is_open, one, factor)));
        opens = loop_add(k, opens, loop_select(k, is_open, one, zero));
    }
    loop_expr total = loop_dim(k, type_elements(g->dims, x)), asked = asked_size(l, n, axis);
    loop_expr rest = loop_select(k, loop_lt(k, zero, known),
                                 loop_floordiv(k, total, loop_max(k, known, one)), zero);
    rest = loop_select(k, loop_lt(k, one, opens), loop_int(k, -2), rest);
    return loop_select(k, kit_op2(l, LOOP_EQ, asked, open), rest, asked);
}

static bool infer_open_reshape(graph *g, node_id n, const type *x) {
    int rank;
    return kit_list_length(g, n, 1, "dimensions", &rank) &&
           kit_set_told(g, n, x->dtype, rank, type_elements(g->dims, x));
}

static bool expand_reshape(graph *g, node_id n) {
    size_t count;
    return !graph_elements(g, graph_input(g, n, 1), &count) && kit_expand_sizes(g, n);
}

/* Takes factor f off a product; whether it was there. */
static bool take_factor(dim_table *t, dim *product, dim f) {
    if (*product == f) {
        *product = dim_const(t, 1);
        return true;
    }
    if (dim_is_const(t, *product, NULL) || dim_op_of(t, *product) != DIM_MUL) return false;
    for (int i = 0; i < 2; i++) {
        dim part = dim_operand(t, *product, i), other = dim_operand(t, *product, 1 - i);
        if (!take_factor(t, &part, f)) continue;
        *product = dim_mul(t, part, other);
        return true;
    }
    return false;
}

/* The dimension that a shape leaves open: total over known. Factors of both go first: where one is
 * zero at run time there are no elements, and any size does. */
static dim open_dimension(dim_table *t, dim total, dim known) {
    if (dim_equals_const(t, known, 0)) return known;
    dim divisor = dim_const(t, 1);
    while (!dim_is_const(t, known, NULL)) {
        dim factor = known;
        while (dim_op_of(t, factor) == DIM_MUL)
            factor = dim_is_const(t, dim_operand(t, factor, 0), NULL) ? dim_operand(t, factor, 1)
                                                                      : dim_operand(t, factor, 0);
        if (!take_factor(t, &known, factor)) break;
        if (!take_factor(t, &total, factor)) divisor = dim_mul(t, divisor, factor);
    }
    return dim_floordiv(t, total, dim_mul(t, divisor, known));
}

static bool infer_reshape(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    dim_table *t = g->dims;
    size_t count;
    const dim *shape = graph_elements(g, graph_input(g, n, 1), &count);
    bool keep_zero = node_attr_int(graph_node(g, n), "allowzero", 0);
    dim dims[TENSOR_MAX_RANK], known = dim_const(t, 1);
    int open = -1;
    if (!kit_need(g, n, 1, 0, 1)) return false;
    if (!shape) return infer_open_reshape(g, n, &x);
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
    if (open >= 0) dims[open] = open_dimension(t, total, known);
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

/* Axes that go or come, where only the data name them. */
static bool infer_open_axes(graph *g, node_id n, const type *x, bool come) {
    int count;
    if (!kit_list_length(g, n, 1, "axes", &count)) return false;
    if (!come && count > x->rank) return op_error(g, n, NULL, "there are too many axes");
    return kit_set_told(g, n, x->dtype, come ? x->rank + count : x->rank - count,
                        type_elements(g->dims, x));
}

/* Whether input 1 names the axis, of so many. */
static loop_expr is_named(lower *l, node_id n, int axis, int rank) {
    loop_kernel *k = lower_kernel(l);
    const type t = *lower_type(l, input(l, n, 1));
    int64_t count = t.rank ? dim_value(lower_graph(l)->dims, t.dims[0]) : 1;
    loop_expr yes = loop_const_int(k, DTYPE_BOOL, 0);
    for (int64_t i = 0; i < count; i++) {
        loop_expr named = kit_check_index(l, kit_read_int(l, input(l, n, 1), i), loop_int(k, rank));
        yes = kit_op2(l, LOOP_OR, yes, kit_op2(l, LOOP_EQ, named, loop_int(k, axis)));
    }
    return yes;
}

/* The size of the axis-th one that stays; fewer of them than the result has are an error. */
static loop_expr size_squeeze(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0);
    int rank = lower_type(l, x)->rank;
    loop_expr size = loop_int(k, -1), at = loop_int(k, 0), one = loop_int(k, 1);
    for (int i = 0; i < rank; i++) {
        loop_expr goes = is_named(l, n, i, rank);
        loop_expr here = kit_op2(l, LOOP_EQ, at, loop_int(k, axis));
        size =
            loop_select(k, loop_and(k, here, kit_op1(l, LOOP_NOT, goes)), lower_dim(l, x, i), size);
        at = loop_select(k, goes, at, loop_add(k, at, one));
    }
    return size;
}

static loop_expr size_unsqueeze(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0);
    const type axes = *lower_type(l, input(l, n, 1));
    int from = lower_type(l, x)->rank;
    int rank = from + (int)(axes.rank ? dim_value(g->dims, axes.dims[0]) : 1);
    loop_expr at = loop_int(k, 0), one = loop_int(k, 1), size = loop_int(k, -1);
    for (int i = 0; i < axis; i++)
        at = loop_select(k, is_named(l, n, i, rank), at, loop_add(k, at, one));
    for (int i = 0; i < from; i++)
        size = loop_select(k, kit_op2(l, LOOP_EQ, at, loop_int(k, i)), lower_dim(l, x, i), size);
    return loop_select(k, is_named(l, n, axis, rank), one, size);
}

static bool expand_axes(graph *g, node_id n) {
    return axes_open(g, n) && kit_expand_sizes(g, n);
}

static bool infer_squeeze(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    bool drop[TENSOR_MAX_RANK] = {false};
    dim dims[TENSOR_MAX_RANK];
    int rank = 0;
    bool given = graph_input(g, n, 1) || node_attr(graph_node(g, n), "axes");
    if (axes_open(g, n)) return infer_open_axes(g, n, &x, false);
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
    if (axes_open(g, n)) return infer_open_axes(g, n, &x, true);
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
        return kit_list_length(g, n, 1, "dimensions", &rank) &&
               kit_set_told(g, n, x.dtype, rank > x.rank ? rank : x.rank, DIM_NONE);
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", count, TENSOR_MAX_RANK);
    type wanted = type_tensor(x.dtype, (int)count, shape);
    const type *types[] = {&x, &wanted};
    if (!op_broadcast(g, n, 2, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

/* Of two sizes that are not one, both are the result's. */
static loop_expr size_expand(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), shape = input(l, n, 1);
    const type t = *lower_type(l, shape);
    int length = (int)(t.rank ? dim_value(g->dims, t.dims[0]) : 1);
    int rank = lower_type(l, x)->rank, most = rank > length ? rank : length;
    int own = axis - (most - rank), other = axis - (most - length);
    if (own < 0) return kit_read_int(l, shape, other);
    if (other < 0) return lower_dim(l, x, own);
    loop_expr a = lower_dim(l, x, own), b = kit_read_int(l, shape, other), one = loop_int(k, 1);
    loop_expr same = kit_op2(l, LOOP_EQ, a, b), bad = loop_int(k, -1);
    return loop_select(
        k, kit_op2(l, LOOP_EQ, a, one), b,
        loop_select(k, kit_op2(l, LOOP_OR, same, kit_op2(l, LOOP_EQ, b, one)), a, bad));
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
    int length;
    if (!times)
        return kit_list_length(g, n, 1, "repeats", &length) &&
               kit_agree(g, n, kit_dim(g, length), kit_dim(g, x.rank), "repeats and axes") &&
               kit_set_told(g, n, x.dtype, x.rank, DIM_NONE);
    if (count != (size_t)x.rank)
        return op_error(g, n, NULL, "there are %zu repeats for %d axes", count, x.rank);
    for (int i = 0; i < x.rank; i++) dims[i] = dim_mul(g->dims, x.dims[i], times[i]);
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* Repeats are cut to 2^22, so that the product with a dimension fits 64 bits. */
static loop_expr size_tile(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    loop_expr times = kit_read_int(l, input(l, n, 1), axis), most = loop_int(k, 1 << 22);
    loop_expr fits = kit_op2(l, LOOP_LE, times, most), bad = loop_int(k, -1);
    loop_expr bounded = loop_max(k, bad, loop_min(k, times, most));
    loop_expr size = lower_dim(l, input(l, n, 0), axis);
    loop_expr negative = loop_lt(k, times, loop_int(k, 0));
    return loop_select(k, kit_op2(l, LOOP_OR, negative, kit_op1(l, LOOP_NOT, fits)), bad,
                       loop_mul(k, bounded, size));
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
static void join_plain(lower *l, node_id n, int axis) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    loop_expr start = loop_int(k, 0);
    for (uint32_t i = 0; i < graph_node(g, n)->input_count; i++) {
        value_id x = graph_input(g, n, i);
        loop_expr index[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
        lower_loops(l, x, index);
        memcpy(to, index, sizeof to);
        to[axis] = loop_add(k, start, index[axis]);
        lower_write(l, graph_output(g, n, 0), to, lower_read(l, x, index));
        lower_end_loops(l);
        start = loop_add(k, start, lower_dim(l, x, axis));
    }
}

/* How many channels are copied together where they are blocked: as many as divide the channels of
 * every input, so that they stay within one block on both sides. */
static int64_t channels_together(lower *l, node_id n) {
    graph *g = lower_graph(l);
    int64_t together = lower_type(l, graph_output(g, n, 0))->layout->block, channels;
    for (uint32_t i = 0; i < graph_node(g, n)->input_count; i++) {
        bool known = dim_is_const(g->dims, lower_type(l, graph_input(g, n, i))->dims[1], &channels);
        assert(known), (void)known;
        while (channels % together) together /= 2;
    }
    return together;
}

/* Blocked channels, [n][c/16][h][...][16]: rows are shared among threads, and hold those of every
 * input. */
static void join_channels(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0);
    int rank = lower_type(l, y)->rank;
    loop_expr together = loop_int(k, channels_together(l, n)), rows = lower_dim(l, y, 2);
    loop_expr p = lower_begin(l, LOOP_PARALLEL, "p", loop_mul(k, lower_dim(l, y, 0), rows));
    loop_expr start = loop_int(k, 0);
    for (uint32_t i = 0; i < graph_node(g, n)->input_count; i++) {
        value_id x = graph_input(g, n, i);
        loop_expr index[TENSOR_MAX_RANK] = {loop_floordiv(k, p, rows), 0, loop_mod(k, p, rows)};
        loop_expr parts = loop_floordiv(k, lower_dim(l, x, 1), together);
        loop_expr part = lower_begin(l, LOOP_INDEPENDENT, "b", parts);
        for (int j = 3; j < rank; j++)
            index[j] = lower_begin(l, LOOP_INDEPENDENT, "i", lower_dim(l, y, j));
        loop_expr lane = lower_begin(l, LOOP_INDEPENDENT, "l", together);
        index[1] = loop_add(k, loop_mul(k, part, together), lane);
        loop_expr to[TENSOR_MAX_RANK];
        memcpy(to, index, sizeof to);
        to[1] = loop_add(k, start, index[1]);
        lower_write(l, y, to, lower_read(l, x, index));
        for (int j = 1; j < rank; j++) lower_end(l);
        start = loop_add(k, start, lower_dim(l, x, 1));
    }
    lower_end(l);
}

static void nest_concat(lower *l, node_id n) {
    const type *y = lower_type(l, graph_output(lower_graph(l), n, 0));
    int64_t axis = node_attr_int(graph_node(lower_graph(l), n), "axis", 0);
    if (axis < 0) axis += y->rank;
    if (axis == 1 && y->rank > 2 && y->layout && y->layout->block_axis == 1)
        join_channels(l, n);
    else
        join_plain(l, n, (int)axis);
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

/* Where the data tell the result's size. */
#define TOLD(op, infer_hook, element_hook, size_hook, expand_hook)                                 \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_MOVEMENT | OP_OPAQUE | OP_OPEN, .infer = infer_hook, \
        .element = element_hook, .size = size_hook, .expand = expand_hook                          \
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
    TOLD("Expand", infer_expand, element_expand, size_expand, expand_reshape),
    MOVE("Flatten", infer_flatten, element_reshape),
    TOLD("Reshape", infer_reshape, element_reshape, size_reshape, expand_reshape),
    TOLD("Squeeze", infer_squeeze, element_ones, size_squeeze, expand_axes),
    TOLD("Tile", infer_tile, element_tile, size_tile, expand_reshape),
    MOVE("Transpose", infer_transpose, element_transpose),
    TOLD("Unsqueeze", infer_unsqueeze, element_ones, size_unsqueeze, expand_axes),
};
const size_t ops_movement_count = sizeof ops_movement / sizeof *ops_movement;
