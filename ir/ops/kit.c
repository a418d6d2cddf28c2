/* kit.c: helpers that the operator families share; see kit.h. */
#include "ir/ops/kit.h"

#include <math.h>
#include <string.h>

/* ---- infer hooks ---- */

const type *kit_input(graph *g, node_id n, uint32_t i) {
    value_id v = graph_input(g, n, i);
    return v ? graph_type(g, v) : NULL;
}

bool kit_need(graph *g, node_id n, uint32_t i, int low, int high) {
    const type *t = kit_input(g, n, i);
    if (!t) return op_error(g, n, NULL, "input %u is missing", i);
    if (t->kind != TYPE_TENSOR) return op_error(g, n, NULL, "input %u is not a tensor", i);
    if (t->rank < 0)
        return op_error(g, n, "give the input a shape in the model",
                        "the number of axes of input %u is not known", i);
    if (t->rank >= low && t->rank <= high) return true;
    if (low == high)
        return op_error(g, n, NULL, "input %u has %d axes, must have %d", i, t->rank, low);
    return op_error(g, n, NULL, "input %u has %d axes, must have %d to %d", i, t->rank, low, high);
}

bool kit_may(graph *g, node_id n, uint32_t i, int low, int high) {
    return !graph_input(g, n, i) || kit_need(g, n, i, low, high);
}

bool kit_agree(graph *g, node_id n, dim a, dim b, const char *what) {
    if (a == b) return true;
    if (dim_low(g->dims, a) <= dim_high(g->dims, b) && dim_low(g->dims, b) <= dim_high(g->dims, a))
        return true;
    return op_error(g, n, NULL, "%s: %s does not fit %s", what, dim_text(g->dims, g->memory, a),
                    dim_text(g->dims, g->memory, b));
}

bool kit_vector(graph *g, node_id n, uint32_t i, dim length, const char *what) {
    const type *t = kit_input(g, n, i);
    if (!t) return true;
    return kit_need(g, n, i, 1, 1) && kit_agree(g, n, t->dims[0], length, what);
}

bool kit_has_output(graph *g, node_id n, uint32_t i) {
    return graph_output(g, n, i) != 0;
}

/* A symbol made by kit_cover that any dimension can stand behind. */
static bool is_open(const graph *g, dim d) {
    return !dim_is_const(g->dims, d, NULL) && dim_op_of(g->dims, d) == DIM_SYMBOL &&
           dim_low(g->dims, d) <= 0 && dim_high(g->dims, d) == DIM_MAX;
}

/* One dimension of both; that of `old` if it is a symbol already. */
static dim cover_dim(graph *g, dim a, dim b, dim old) {
    if (a == b) return a;
    if (old && !dim_is_const(g->dims, old, NULL) && dim_op_of(g->dims, old) == DIM_SYMBOL)
        return old;
    int64_t low = dim_low(g->dims, a), high = dim_high(g->dims, a);
    if (dim_low(g->dims, b) < low) low = dim_low(g->dims, b);
    if (dim_high(g->dims, b) > high) high = dim_high(g->dims, b);
    return dim_fresh_symbol(g->dims, "varies", low < 0 ? 0 : low, high);
}

bool kit_cover_items(graph *g, const type *a, const type *b, const type *old, type *out) {
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR) return kit_cover(g, a, b, NULL, out);
    if (a->dtype != b->dtype) return false;
    type made = {.kind = TYPE_TENSOR, .dtype = a->dtype, .rank = a->rank == b->rank ? a->rank : -1};
    dim *dims = ARENA_ARRAY(g->memory, dim, made.rank > 0 ? (size_t)made.rank : 0);
    bool like = old && old->kind == TYPE_TENSOR && old->rank == made.rank;
    for (int i = 0; i < made.rank; i++) {
        bool same = a->dims[i] == b->dims[i];
        dims[i] = same || is_open(g, a->dims[i]) ? a->dims[i]
                  : is_open(g, b->dims[i])       ? b->dims[i]
                  : like && is_open(g, old->dims[i])
                      ? old->dims[i]
                      : dim_fresh_symbol(g->dims, "varies", 0, DIM_MAX);
    }
    made.dims = dims;
    *out = made;
    return true;
}

bool kit_cover(graph *g, const type *a, const type *b, const type *old, type *out) {
    bool like = old && old->kind == a->kind;
    if (type_equal(a, b)) {
        *out = *a;
        return true;
    }
    if (a->kind != b->kind || a->dtype != b->dtype) return false;
    type made = *a;
    if (a->kind != TYPE_TENSOR) {
        type *element = ARENA_NEW(g->memory, type);
        made.element = element;
        if (!a->element || !b->element ||
            !kit_cover_items(g, a->element, b->element, like ? old->element : NULL, element))
            return false;
        *out = made;
        return true;
    }
    if (a->rank != b->rank) return false;
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)a->rank);
    for (int i = 0; i < a->rank; i++)
        dims[i] = cover_dim(g, a->dims[i], b->dims[i],
                            like && old->rank == a->rank ? old->dims[i] : DIM_NONE);
    made.dims = dims;
    made.layout = NULL;
    *out = made;
    return true;
}

dim kit_dim(graph *g, int64_t value) {
    return dim_const(g->dims, value);
}

dim kit_told_dim(graph *g, node_id n, uint32_t output, int rank, int axis, dim limit) {
    value_id v = graph_output(g, n, output);
    const char *name = v ? graph_value(g, v)->name : "size";
    dim d = DIM_NONE;
    if (v && graph_type(g, v)->kind == TYPE_TENSOR && graph_type(g, v)->rank == rank)
        d = graph_type(g, v)->dims[axis];
    if (d && dim_is_const(g->dims, d, NULL)) return d;
    bool symbol = d && dim_op_of(g->dims, d) == DIM_SYMBOL;
    if (symbol && graph_is_from_caller(g, dim_symbol_of(g->dims, d))) return d;
    if (!symbol)
        d = dim_fresh_symbol(g->dims, arena_printf(g->memory, "%s_dim_%d", name, axis), 0, DIM_MAX);
    dim_symbol s = dim_symbol_of(g->dims, d);
    int64_t low, high;
    dim_symbol_bounds(g->dims, s, &low, &high);
    /* A model declares sizes as if they were one at least. */
    if (low == 1 && high == DIM_MAX) dim_set_bounds(g->dims, s, 0, DIM_MAX);
    if (limit && !dim_symbol_limit(g->dims, s)) dim_set_limit(g->dims, s, limit);
    return d;
}

void kit_narrow(graph *g, dim size, int64_t high) {
    if (dim_op_of(g->dims, size) != DIM_SYMBOL) return;
    dim_symbol s = dim_symbol_of(g->dims, size);
    int64_t low, old;
    dim_symbol_bounds(g->dims, s, &low, &old);
    if (old > high && low <= high && !graph_is_from_caller(g, s))
        dim_set_bounds(g->dims, s, low, high);
}

bool kit_set_told(graph *g, node_id n, dtype t, int rank, dim limit) {
    dim dims[TENSOR_MAX_RANK];
    if (rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    for (int i = 0; i < rank; i++) dims[i] = kit_told_dim(g, n, 0, rank, i, limit);
    op_set_type(g, n, 0, type_tensor(t, rank, dims));
    return true;
}

bool kit_list_length(graph *g, node_id n, uint32_t input, const char *what, int *length) {
    int64_t count = 1;
    const type *t = kit_input(g, n, input);
    if (!kit_need(g, n, input, 0, 1)) return false;
    if (t->rank == 1 && !dim_is_const(g->dims, t->dims[0], &count))
        return op_error(g, n, "fix it with --dim", "the number of %s is not known", what);
    if (count > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "there are %lld %s, over the %d supported", (long long)count,
                        what, TENSOR_MAX_RANK);
    *length = (int)count;
    return true;
}

bool kit_positive_ints(graph *g, node_id n, const char *name, int count, int64_t *out) {
    size_t given;
    const int64_t *a = node_attr_ints(graph_node(g, n), name, &given);
    for (int i = 0; i < count; i++) out[i] = 1;
    if (!a || !given) return true;
    if (given != (size_t)count)
        return op_error(g, n, NULL, "attribute %s has %zu elements, must have %d", name, given,
                        count);
    for (int i = 0; i < count; i++) {
        if (a[i] < 1 || a[i] > INT32_MAX)
            return op_error(g, n, NULL, "attribute %s holds %lld, must be positive and below 2^31",
                            name, (long long)a[i]);
        out[i] = a[i];
    }
    return true;
}

/* ---- expanding ---- */

void kit_replace(graph *g, value_id old, value_id made) {
    graph_replace_uses(g, old, made);
    const char *name = graph_value(g, made)->name;
    graph_value(g, made)->name = graph_value(g, old)->name;
    graph_value(g, old)->name = name;
}

void kit_replace_told(graph *g, value_id old, value_id made) {
    const type *from = graph_type(g, old), *to = graph_type(g, made);
    dim *with = ARENA_ARRAY(g->memory, dim, dim_symbol_count(g->dims) + 1);
    for (int i = 0; i < to->rank && i < from->rank; i++)
        if (from->dims[i] != to->dims[i] && dim_op_of(g->dims, to->dims[i]) == DIM_SYMBOL &&
            !graph_is_from_caller(g, dim_symbol_of(g->dims, to->dims[i])))
            with[dim_symbol_of(g->dims, to->dims[i])] = from->dims[i];
    graph_substitute(g, with);
    kit_replace(g, old, made);
}

void kit_build_internal(graph *g, node_id n, const char *op, uint32_t input_count,
                        const value_id *inputs, uint32_t output_count, const type *types,
                        value_id *outputs, uint32_t attr_count, const attr *attrs) {
    for (uint32_t i = 0; i < output_count; i++) outputs[i] = graph_add_value(g, NULL, types[i]);
    graph_add_node(g, graph_node(g, n)->region, n, op_find(OP_INTERNAL, op), graph_node(g, n)->name,
                   input_count, inputs, output_count, outputs, attr_count, attrs);
}

value_id kit_build_front(graph *g, node_id n, value_id flat, value_id count, type t) {
    const value_id inputs[] = {flat, count};
    value_id out;
    kit_build_internal(g, n, "Front", 2, inputs, 1, &t, &out, 0, NULL);
    return out;
}

value_id kit_ints(graph *g, const int64_t *data, int64_t count) {
    return graph_add_constant_ints(g, NULL, DTYPE_I64, 1, &count, data);
}

value_id kit_build(graph *g, node_id n, const char *op, uint32_t input_count,
                   const value_id *inputs, uint32_t attr_count, const attr *attrs) {
    for (uint32_t i = 0; i < input_count; i++)
        if (!inputs[i]) return 0;
    return graph_build(g, graph_node(g, n)->region, n, "", op, input_count, inputs, attr_count,
                       attrs);
}

value_id kit_build1(graph *g, node_id n, const char *op, value_id a) {
    return kit_build(g, n, op, 1, &a, 0, NULL);
}

value_id kit_build2(graph *g, node_id n, const char *op, value_id a, value_id b) {
    value_id both[] = {a, b};
    return kit_build(g, n, op, 2, both, 0, NULL);
}

value_id kit_build_cast(graph *g, node_id n, value_id v, dtype t) {
    if (!v || graph_type(g, v)->dtype == t) return v;
    attr to = attr_int("to", t);
    return kit_build(g, n, "Cast", 1, &v, 1, &to);
}

value_id kit_build_reshape(graph *g, node_id n, value_id v, const int64_t *shape, int64_t rank) {
    return kit_build2(g, n, "Reshape", v, kit_ints(g, shape, rank));
}

value_id kit_build_transpose(graph *g, node_id n, value_id v, const int64_t *perm, size_t rank) {
    attr p = attr_ints("perm", perm, rank);
    return kit_build(g, n, "Transpose", 1, &v, 1, &p);
}

value_id kit_build_slice(graph *g, node_id n, value_id v, int64_t axis, int64_t first,
                         int64_t last) {
    value_id inputs[] = {v, kit_ints(g, &first, 1), kit_ints(g, &last, 1), kit_ints(g, &axis, 1)};
    return kit_build(g, n, "Slice", 4, inputs, 0, NULL);
}

value_id kit_build_centred(graph *g, node_id n, value_id v, value_id zero, int rank, int axis) {
    value_id x = kit_build_cast(g, n, v, DTYPE_I32);
    if (!zero) return x;
    value_id z = kit_build_cast(g, n, zero, DTYPE_I32);
    if (graph_type(g, zero)->rank == 1 &&
        !dim_equals_const(g->dims, graph_type(g, zero)->dims[0], 1)) {
        int64_t shape[TENSOR_MAX_RANK];
        for (int i = 0; i < rank; i++) shape[i] = i == axis ? -1 : 1;
        z = kit_build_reshape(g, n, z, shape, rank);
    }
    return kit_build2(g, n, "Sub", x, z);
}

/* ---- lowering ---- */

dtype kit_sum_type(dtype t) {
    if (dtype_is_float(t)) return dtype_bits(t) < 32 ? DTYPE_F32 : t;
    return dtype_bits(t) < 32 ? DTYPE_I32 : t;
}

loop_expr kit_read(lower *l, dtype as, value_id v, const loop_expr *index) {
    return loop_cast(lower_kernel(l), as, lower_read(l, v, index));
}

loop_expr kit_read_batched(lower *l, dtype as, value_id v, int rank, const dim *dims, int kept,
                           const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    dim_table *d = lower_graph(l)->dims;
    const type t = *lower_type(l, v);
    loop_expr own[LOOP_MAX_RANK];
    int batch = t.rank - kept;
    for (int i = 0; i < batch; i++) {
        int from = rank - batch + i;
        if (dim_equals_const(d, t.dims[i], 1))
            own[i] = loop_int(k, 0);
        else if (t.dims[i] == dims[from] || dim_low(d, t.dims[i]) > 1)
            own[i] = index[from];
        else /* may turn out to be one at run time, and repeats then */
            own[i] = loop_min(k, index[from], loop_sub(k, loop_dim(k, t.dims[i]), loop_int(k, 1)));
    }
    for (int i = 0; i < kept; i++) own[batch + i] = index[rank + i];
    return kit_read(l, as, v, own);
}

loop_expr kit_read_parameter(lower *l, dtype as, value_id v, loop_expr at, double otherwise) {
    loop_kernel *k = lower_kernel(l);
    if (!v)
        return dtype_is_float(as) ? loop_const(k, as, otherwise)
                                  : loop_const_int(k, as, (int64_t)otherwise);
    const type t = *lower_type(l, v);
    if (t.rank == 1 && dim_equals_const(lower_graph(l)->dims, t.dims[0], 1)) at = loop_int(k, 0);
    return kit_read(l, as, v, &at);
}

loop_expr kit_read_int(lower *l, value_id v, int64_t at) {
    loop_expr index = loop_int(lower_kernel(l), at);
    return kit_read(l, DTYPE_I64, v, &index);
}

loop_expr kit_check_index(lower *l, loop_expr at, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), last = loop_sub(k, size, loop_int(k, 1));
    at = loop_cast(k, DTYPE_I64, at);
    loop_expr positive = loop_select(k, loop_lt(k, at, zero), loop_add(k, at, size), at);
    loop_expr inside =
        loop_and(k, kit_op2(l, LOOP_LE, zero, positive), kit_op2(l, LOOP_LE, positive, last));
    lower_check(l, inside, LOOP_STATUS_INDEX_OUT_OF_RANGE);
    return loop_max(k, zero, loop_min(k, positive, last));
}

loop_buf kit_result_buffer(lower *l, value_id v) {
    const loop_kernel *k = lower_kernel(l);
    loop_buf b = 0;
    while (k->buffers.data[b].value != v || k->buffers.data[b].space != LOOP_SPACE_OUTPUT) b++;
    return b;
}

loop_buf kit_scalar(lower *l, const char *stem, dtype t) {
    return lower_local(l, stem, t, LOOP_SPACE_TILE, 0, NULL);
}

loop_expr kit_lowest(lower *l, dtype t) {
    loop_kernel *k = lower_kernel(l);
    if (dtype_is_float(t)) return loop_const(k, t, -INFINITY);
    if (dtype_class_of(t) != DTYPE_CLASS_INT) return loop_const_int(k, t, 0);
    return loop_const_int(k, t, INT64_MIN >> (64 - dtype_bits(t)));
}

void kit_integer_range(dtype t, double *low, double *high) {
    bool has_sign = dtype_class_of(t) == DTYPE_CLASS_INT;
    *low = has_sign ? -ldexp(1, dtype_bits(t) - 1) : 0;
    *high = ldexp(1, dtype_bits(t) - has_sign) - 1;
}

loop_expr kit_quantise(lower *l, dtype to, loop_expr x, loop_expr zero) {
    loop_kernel *k = lower_kernel(l);
    dtype f = loop_type(k, x);
    double low, high;
    kit_integer_range(to, &low, &high);
    loop_expr r = loop_add(k, kit_op1(l, LOOP_ROUND, x), zero);
    if (loop_fits(k, r, to)) return loop_cast(k, to, r);
    r = loop_greater(k, loop_const(k, f, low), r);
    return loop_cast(k, to, loop_lesser(k, loop_const(k, f, high), r));
}

loop_expr kit_cast_narrow(lower *l, dtype to, loop_expr x, bool saturate) {
    loop_kernel *k = lower_kernel(l);
    double largest = to == DTYPE_F8E4M3FN     ? 448
                     : to == DTYPE_F8E4M3FNUZ ? 240
                     : to == DTYPE_F8E5M2     ? 57344
                     : to == DTYPE_F8E5M2FNUZ ? 57344
                                              : 0;
    dtype from = loop_type(k, x);
    if (saturate && largest > 0 && dtype_is_float(from) && dtype_bytes(from) > 1) {
        x = loop_min(k, x, loop_const(k, from, largest));
        x = loop_max(k, x, loop_const(k, from, -largest));
    }
    return loop_cast(k, to, x);
}

int kit_reduce(lower *l, value_id v, int first, int last, loop_expr *index) {
    int64_t one;
    int count = 0;
    for (int i = first; i < last; i++) {
        loop_expr extent = lower_dim(l, v, i);
        if (loop_is_int(lower_kernel(l), extent, &one) && one == 1) {
            index[i] = loop_int(lower_kernel(l), 0);
            continue;
        }
        index[i] = lower_begin(l, LOOP_REDUCE, "r", extent);
        count++;
    }
    return count;
}

void kit_end(lower *l, int count) {
    while (count-- > 0) lower_end(l);
}

loop_expr kit_count(lower *l, dtype t, value_id v, int first, int last) {
    loop_kernel *k = lower_kernel(l);
    dim_table *d = lower_graph(l)->dims;
    dim n = dim_const(d, 1);
    for (int i = first; i < last; i++) n = dim_mul(d, n, lower_type(l, v)->dims[i]);
    int64_t known;
    if (dim_is_const(d, n, &known)) return loop_const(k, t, (double)known);
    return loop_cast(k, t, loop_dim(k, n));
}

loop_expr kit_op1(lower *l, loop_op op, loop_expr a) {
    return loop_make(lower_kernel(l), op, a, 0, 0);
}

loop_expr kit_op2(lower *l, loop_op op, loop_expr a, loop_expr b) {
    return loop_make(lower_kernel(l), op, a, b, 0);
}

loop_expr kit_float(lower *l, dtype t, double v) {
    return loop_const(lower_kernel(l), t, v);
}
