/* gather.c: operators whose indices are data: gathering is a function from the result's index to
 * the input's, scattering copies the data and then stores the updates one by one. An index outside
 * of its axis is an error of the run; what is read or written then is a clamped place. */
#include "ir/ops/kit.h"

#include <string.h>

static value_id input(lower *l, node_id n, uint32_t i) {
    return graph_input(lower_graph(l), n, i);
}

/* ---- Gather, GatherElements, GatherND ---- */

static bool need_indices(graph *g, node_id n, const type *i) {
    return dtype_is_integer(i->dtype) || op_error(g, n, NULL, "its indices are no integers");
}

static bool infer_gather(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0)), i = *graph_type(g, graph_input(g, n, 1));
    dim dims[2 * TENSOR_MAX_RANK];
    int axis, rank = 0;
    if (!need_indices(g, n, &i)) return false;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    for (int j = 0; j < axis; j++) dims[rank++] = x.dims[j];
    for (int j = 0; j < i.rank; j++) dims[rank++] = i.dims[j];
    for (int j = axis + 1; j < x.rank; j++) dims[rank++] = x.dims[j];
    if (rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static loop_expr element_gather(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), i = input(l, n, 1);
    int rank = lower_type(l, x)->rank, more = lower_type(l, i)->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis)) return 0;
    for (int j = 0; j < rank; j++)
        own[j] = j < axis ? index[j] : j > axis ? index[j + more - 1] : 0;
    own[axis] = kit_check_index(l, lower_read(l, i, index + axis), lower_dim(l, x, axis));
    return lower_read(l, x, own);
}

static bool infer_gather_elements(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0)), i = *graph_type(g, graph_input(g, n, 1));
    int axis;
    if (!need_indices(g, n, &i) || !kit_need(g, n, 1, x.rank, x.rank)) return false;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    for (int j = 0; j < x.rank; j++)
        if (j != axis && dim_low(g->dims, i.dims[j]) > dim_high(g->dims, x.dims[j]))
            return op_error(g, n, NULL, "there are more indices than elements along axis %d", j);
    op_set_type(g, n, 0, type_tensor(x.dtype, i.rank, i.dims));
    return true;
}

static loop_expr element_gather_elements(lower *l, node_id n, uint32_t output,
                                         const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0);
    int rank = lower_type(l, x)->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis)) return 0;
    memcpy(own, index, (size_t)rank * sizeof *own);
    own[axis] = kit_check_index(l, lower_read(l, input(l, n, 1), index), lower_dim(l, x, axis));
    return lower_read(l, x, own);
}

/* The length of the index vectors, the last axis of input 1: a constant of at most `limit`. */
static bool vector_length(graph *g, node_id n, int limit, int *out) {
    int64_t length;
    if (!kit_need(g, n, 1, 1, TENSOR_MAX_RANK)) return false;
    const type i = *graph_type(g, graph_input(g, n, 1));
    if (!need_indices(g, n, &i)) return false;
    if (!dim_is_const(g->dims, i.dims[i.rank - 1], &length) || length < 0 || length > limit)
        return op_error(g, n, NULL, "the last axis of the indices is not of 0 to %d elements",
                        limit);
    *out = (int)length;
    return true;
}

static bool infer_gather_nd(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int64_t batch = node_attr_int(graph_node(g, n), "batch_dims", 0);
    dim dims[2 * TENSOR_MAX_RANK];
    int length, rank = 0;
    if (batch < 0 || batch >= x.rank)
        return op_error(g, n, NULL, "attribute batch_dims is %lld", (long long)batch);
    if (!vector_length(g, n, x.rank - (int)batch, &length)) return false;
    const type i = *graph_type(g, graph_input(g, n, 1));
    if (batch >= i.rank)
        return op_error(g, n, NULL, "attribute batch_dims is %lld, the indices have %d axes",
                        (long long)batch, i.rank);
    for (int j = 0; j < batch; j++)
        if (!kit_agree(g, n, x.dims[j], i.dims[j], "the batch axes")) return false;
    for (int j = 0; j < i.rank - 1; j++) dims[rank++] = i.dims[j];
    for (int j = (int)batch + length; j < x.rank; j++) dims[rank++] = x.dims[j];
    if (rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %d is over the %d supported", rank, TENSOR_MAX_RANK);
    op_set_type(g, n, 0, type_tensor(x.dtype, rank, dims));
    return true;
}

static loop_expr element_gather_nd(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), i = input(l, n, 1);
    int rank = lower_type(l, x)->rank, lists = lower_type(l, i)->rank - 1, length = 0;
    int batch = (int)node_attr_int(graph_node(g, n), "batch_dims", 0);
    loop_expr own[TENSOR_MAX_RANK], at[TENSOR_MAX_RANK];
    if (!vector_length(g, n, rank - batch, &length)) return 0;
    memcpy(own, index, (size_t)batch * sizeof *own);
    memcpy(at, index, (size_t)lists * sizeof *at);
    for (int j = 0; j < length; j++) {
        at[lists] = loop_int(lower_kernel(l), j);
        own[batch + j] = kit_check_index(l, lower_read(l, i, at), lower_dim(l, x, batch + j));
    }
    for (int j = batch + length; j < rank; j++) own[j] = index[lists + j - batch - length];
    return lower_read(l, x, own);
}

/* ---- ScatterElements, ScatterND ---- */

static bool infer_scatter(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    const char *how = node_attr_string(graph_node(g, n), "reduction", "none");
    static const char *const known[] = {"none", "add", "mul", "max", "min"};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) found |= strcmp(known[i], how) == 0;
    if (!found) return op_error(g, n, NULL, "attribute reduction is \"%s\"", how);
    if (x.dtype == DTYPE_STRING && strcmp(how, "none") != 0)
        return op_error(g, n, NULL, "strings cannot be reduced (%s)", how);
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

static bool infer_scatter_elements(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int axis;
    if (!kit_need(g, n, 1, x.rank, x.rank) || !kit_need(g, n, 2, x.rank, x.rank)) return false;
    const type i = *graph_type(g, graph_input(g, n, 1)), u = *graph_type(g, graph_input(g, n, 2));
    if (!need_indices(g, n, &i)) return false;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    for (int j = 0; j < x.rank; j++) {
        if (!kit_agree(g, n, i.dims[j], u.dims[j], "indices and updates")) return false;
        if (j != axis && dim_low(g->dims, i.dims[j]) > dim_high(g->dims, x.dims[j]))
            return op_error(g, n, NULL, "there are more indices than elements along axis %d", j);
    }
    return infer_scatter(g, n);
}

static bool infer_scatter_nd(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int length;
    if (!vector_length(g, n, x.rank, &length)) return false;
    const type i = *graph_type(g, graph_input(g, n, 1));
    int rank = i.rank - 1 + x.rank - length;
    if (!kit_need(g, n, 2, rank, rank)) return false;
    const type u = *graph_type(g, graph_input(g, n, 2));
    for (int j = 0; j < rank; j++) {
        dim wanted = j < i.rank - 1 ? i.dims[j] : x.dims[length + j - (i.rank - 1)];
        if (!kit_agree(g, n, u.dims[j], wanted, "the updates")) return false;
    }
    return infer_scatter(g, n);
}

static void copy_data(lower *l, node_id n, loop_buf to) {
    loop_expr index[TENSOR_MAX_RANK];
    value_id x = input(l, n, 0);
    lower_loops(l, x, index);
    lower_assign(l, to, index, lower_read(l, x, index));
    lower_end_loops(l);
}

/* to[at] = update, or what the reduction makes of both. */
static void store_update(lower *l, node_id n, loop_buf to, const loop_expr *at, loop_expr update) {
    const char *how = node_attr_string(graph_node(lower_graph(l), n), "reduction", "none");
    loop_kernel *k = lower_kernel(l);
    bool boolean = loop_type(k, update) == DTYPE_BOOL;
    loop_op op = strcmp(how, "add") == 0   ? (boolean ? LOOP_OR : LOOP_ADD)
                 : strcmp(how, "mul") == 0 ? (boolean ? LOOP_AND : LOOP_MUL)
                 : strcmp(how, "max") == 0 ? (boolean ? LOOP_OR : LOOP_MAX)
                 : strcmp(how, "min") == 0 ? (boolean ? LOOP_AND : LOOP_MIN)
                                           : LOOP_NONE;
    if (op != LOOP_NONE) update = loop_make(k, op, lower_value(l, to, at), update, 0);
    lower_assign(l, to, at, update);
}

/* Updates along `axis` may meet in one place: they run in order. */
static void nest_scatter_elements(lower *l, node_id n) {
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), i = input(l, n, 1);
    loop_buf to = kit_result_buffer(l, graph_output(g, n, 0));
    int rank = lower_type(l, x)->rank, axis;
    loop_expr index[TENSOR_MAX_RANK], at[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), rank, &axis)) return;
    copy_data(l, n, to);
    for (int j = 0; j < rank; j++)
        at[j] = index[j] =
            lower_begin(l, j == axis ? LOOP_SERIAL : LOOP_INDEPENDENT, "u", lower_dim(l, i, j));
    at[axis] = kit_check_index(l, lower_read(l, i, index), lower_dim(l, x, axis));
    store_update(l, n, to, at, lower_read(l, input(l, n, 2), index));
    for (int j = 0; j < rank; j++) lower_end(l);
}

static void nest_scatter_nd(lower *l, node_id n) {
    graph *g = lower_graph(l);
    value_id x = input(l, n, 0), i = input(l, n, 1), u = input(l, n, 2);
    loop_buf to = kit_result_buffer(l, graph_output(g, n, 0));
    int rank = lower_type(l, u)->rank, lists = lower_type(l, i)->rank - 1, length = 0;
    loop_expr index[TENSOR_MAX_RANK], list[TENSOR_MAX_RANK], at[TENSOR_MAX_RANK];
    if (!vector_length(g, n, lower_type(l, x)->rank, &length)) return;
    copy_data(l, n, to);
    for (int j = 0; j < lists; j++)
        list[j] = index[j] = lower_begin(l, LOOP_SERIAL, "u", lower_dim(l, u, j));
    for (int j = 0; j < length; j++) {
        list[lists] = loop_int(lower_kernel(l), j);
        at[j] = kit_check_index(l, lower_read(l, i, list), lower_dim(l, x, j));
    }
    for (int j = lists; j < rank; j++)
        at[length + j - lists] = index[j] =
            lower_begin(l, LOOP_INDEPENDENT, "u", lower_dim(l, u, j));
    store_update(l, n, to, at, lower_read(l, u, index));
    for (int j = 0; j < rank; j++) lower_end(l);
}

/* ---- ReverseSequence ---- */

static bool sequence_axes(graph *g, node_id n, int *batch, int *time) {
    const node *nd = graph_node(g, n);
    int64_t b = node_attr_int(nd, "batch_axis", 1), t = node_attr_int(nd, "time_axis", 0);
    int rank = graph_type(g, graph_input(g, n, 0))->rank;
    if (!op_axis(g, n, b, rank, batch) || !op_axis(g, n, t, rank, time)) return false;
    return *batch != *time || op_error(g, n, NULL, "batch and time are the same axis");
}

static bool infer_reverse(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int batch, time;
    if (!sequence_axes(g, n, &batch, &time) || !kit_need(g, n, 1, 1, 1)) return false;
    const type lengths = *graph_type(g, graph_input(g, n, 1));
    if (!kit_agree(g, n, lengths.dims[0], x.dims[batch], "the lengths and the batch")) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

static loop_expr element_reverse(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0);
    int batch, time;
    loop_expr own[TENSOR_MAX_RANK], one = loop_int(k, 1);
    if (!sequence_axes(lower_graph(l), n, &batch, &time)) return 0;
    memcpy(own, index, (size_t)lower_type(l, x)->rank * sizeof *own);
    loop_expr size = lower_dim(l, x, time);
    loop_expr last = loop_sub(k, kit_read(l, DTYPE_I64, input(l, n, 1), &index[batch]), one);
    last = loop_min(k, loop_max(k, last, loop_int(k, -1)), loop_sub(k, size, one));
    loop_expr mirrored = loop_max(k, loop_sub(k, last, index[time]), loop_int(k, 0));
    own[time] = loop_select(k, kit_op2(l, LOOP_LE, index[time], last), mirrored, index[time]);
    return lower_read(l, x, own);
}

/* ---- TensorScatter: updates of a cache, from a position of each batch on ---- */

static bool infer_tensor_scatter(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    int axis;
    if (!kit_need(g, n, 1, x.rank, x.rank)) return false;
    const type u = *graph_type(g, graph_input(g, n, 1));
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -2), x.rank, &axis)) return false;
    if (axis == 0) return op_error(g, n, NULL, "its axis is that of the batch");
    if (!kit_vector(g, n, 2, x.dims[0], "the positions")) return false;
    for (int i = 0; i < x.rank; i++)
        if (i != axis && !kit_agree(g, n, x.dims[i], u.dims[i], "cache and update")) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

static loop_expr element_tensor_scatter(lower *l, node_id n, uint32_t output,
                                        const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = input(l, n, 0), first = input(l, n, 2);
    int rank = lower_type(l, x)->rank, axis;
    loop_expr own[TENSOR_MAX_RANK];
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", -2), rank, &axis)) return 0;
    memcpy(own, index, (size_t)rank * sizeof *own);
    if (first) own[axis] = loop_sub(k, index[axis], kit_read(l, DTYPE_I64, first, index));
    if (strcmp(node_attr_string(graph_node(g, n), "mode", "linear"), "circular") == 0)
        own[axis] = loop_mod(k, own[axis], lower_dim(l, x, axis));
    return lower_read_or(l, input(l, n, 1), own, lower_read(l, x, index));
}

#define MOVE(op, infer_hook, element_hook)                                                         \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_MOVEMENT | OP_OPAQUE, .infer = infer_hook,           \
        .element = element_hook                                                                    \
    }
/* Not an anchor: the result is read back while it is made, so nothing may be fused into it. */
#define SCATTER(op, infer_hook, nest_hook)                                                         \
    { .domain = "", .name = op, .flags = OP_OPAQUE, .infer = infer_hook, .nest = nest_hook }

const op_def ops_gather[] = {
    MOVE("Gather", infer_gather, element_gather),
    MOVE("GatherElements", infer_gather_elements, element_gather_elements),
    MOVE("GatherND", infer_gather_nd, element_gather_nd),
    MOVE("ReverseSequence", infer_reverse, element_reverse),
    MOVE("TensorScatter", infer_tensor_scatter, element_tensor_scatter),
    SCATTER("ScatterElements", infer_scatter_elements, nest_scatter_elements),
    SCATTER("ScatterND", infer_scatter_nd, nest_scatter_nd),
};
const size_t ops_gather_count = sizeof ops_gather / sizeof *ops_gather;
