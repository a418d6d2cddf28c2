/* sizes.c: Sizes, which computes the dimensions of another node's result from that node's inputs
 * when the model runs; the values bind the symbols in that result's dimensions. How an operator's
 * sizes follow from its inputs is the business of its `size` hook; here is what holds for all. */
#include "ir/ops/kit.h"
#include "ir/schema.h"

#include <assert.h>
#include <string.h>

/* Operators whose results have the elements of their inputs, and as many. */
static bool keeps_elements(const char *op) {
    static const char *const names[] = {"Reshape", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], op) == 0) return true;
    return false;
}

static const op_def *sized_op(graph *g, node_id n) {
    const op_def *op = op_find("", node_attr_string(graph_node(g, n), "of", ""));
    return op && op->size ? op : NULL;
}

static bool infer_sizes(graph *g, node_id n) {
    const type *y = graph_type(g, graph_output(g, n, 0));
    if (!sized_op(g, n)) return op_error(g, n, NULL, "attribute of names no operator with sizes");
    return (y->kind == TYPE_TENSOR && y->rank == 1 && dim_is_const(g->dims, y->dims[0], NULL)) ||
           op_error(g, n, NULL, "the result has no type");
}

/* All sizes are 0 where one of them cannot be. */
static void nest_sizes(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const op_def *op = sized_op(g, n);
    value_id y = graph_output(g, n, 0);
    int rank = (int)dim_value(g->dims, lower_type(l, y)->dims[0]);
    loop_expr sizes[TENSOR_MAX_RANK], good = loop_const_int(k, DTYPE_BOOL, 1);
    loop_expr product = loop_int(k, 1), zero = loop_int(k, 0);
    loop_expr most = loop_int(k, INT64_C(1) << 31); /* products of two fit 64 bits */
    assert(rank <= TENSOR_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        sizes[i] = op->size(l, n, i);
        loop_expr bounded = loop_max(k, zero, loop_min(k, sizes[i], most));
        product = loop_min(k, loop_mul(k, product, bounded), most);
        good = loop_and(k, good, kit_op2(l, LOOP_LE, zero, sizes[i]));
        good = loop_and(k, good, kit_op2(l, LOOP_LE, sizes[i], loop_int(k, DIM_MAX)));
    }
    if (keeps_elements(op->name)) {
        const type *x = lower_type(l, graph_input(g, n, 0));
        loop_expr total = loop_dim(k, type_elements(g->dims, x));
        good = loop_and(k, good, kit_op2(l, LOOP_EQ, product, total));
    }
    lower_check(l, good, LOOP_STATUS_BAD_SHAPE);
    for (int i = 0; i < rank; i++) {
        loop_expr at = loop_int(k, i);
        lower_write(l, y, &at, loop_select(k, good, sizes[i], zero));
    }
}

/* ---- nodes that need them ---- */

static uint32_t most_inputs(const node *n) {
    const schema_op *s = schema_find(n->op->domain, n->op->name);
    assert(s && "operators with sizes are of the standard");
    return s->versions[s->version_count - 1].max_input;
}

static void append_input(graph *g, node_id n, uint32_t at, value_id v) {
    node *nd = graph_node(g, n);
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, at + 1);
    if (nd->input_count) memcpy(inputs, nd->inputs, nd->input_count * sizeof *inputs);
    inputs[at] = v;
    nd->inputs = inputs;
    nd->input_count = at + 1;
}

bool kit_expand_sizes(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    uint32_t most = most_inputs(&nd);
    value_id y = graph_output(g, n, 0), first = y ? y : graph_output(g, n, 1), sizes;
    if (nd.input_count > most || !first) return false;
    const type t = *graph_type(g, first);
    attr *attrs = ARENA_ARRAY(g->memory, attr, nd.attr_count + 1);
    if (nd.attr_count) memcpy(attrs, nd.attrs, nd.attr_count * sizeof *attrs);
    attrs[nd.attr_count] = attr_string("of", nd.op->name);
    dim *rank = ARENA_NEW(g->memory, dim);
    *rank = kit_dim(g, t.rank);
    const type vector = type_tensor(DTYPE_I64, 1, rank);
    kit_build_internal(g, n, "Sizes", nd.input_count, nd.inputs, 1, &vector, &sizes,
                       nd.attr_count + 1, attrs);
    graph_bind(g, sizes, t.dims, (size_t)t.rank);
    append_input(g, n, most, sizes);
    return true;
}

const op_def ops_sizes[] = {{.domain = OP_INTERNAL,
                             .name = "Sizes",
                             .flags = OP_ANCHOR,
                             .infer = infer_sizes,
                             .nest = nest_sizes}};
const size_t ops_sizes_count = sizeof ops_sizes / sizeof *ops_sizes;
