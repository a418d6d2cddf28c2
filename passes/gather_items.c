/* gather_items.c: a loop that only puts one tensor behind a sequence in each iteration has these
 * tensors as a stacked result instead: neither the loop nor what reads the sequence needs to know
 * how many there are. */
#include "passes/rewrite.h"

#include <string.h>

/* Whether no iteration changes the size: dimensions are constants, or symbols of the graph's
 * inputs. */
static bool keeps_size(const graph *g, const type *t) {
    const region *main = graph_region(g, GRAPH_MAIN);
    size_t count = dim_symbol_count(g->dims);
    bool *given = ARENA_ARRAY(g->memory, bool, count + 1);
    bool *used = ARENA_ARRAY(g->memory, bool, count + 1);
    for (size_t i = 0; i < main->inputs.count; i++) {
        const type *x = graph_type(g, main->inputs.data[i]);
        for (int a = 0; a < x->rank; a++) dim_mark_symbols(g->dims, x->dims[a], given);
    }
    if (t->kind != TYPE_TENSOR || t->rank < 0 || t->rank >= TENSOR_MAX_RANK) return false;
    for (int a = 0; a < t->rank; a++) dim_mark_symbols(g->dims, t->dims[a], used);
    for (size_t s = 0; s < count; s++)
        if (used[s] && !given[s]) return false;
    return true;
}

/* The tensor that an iteration puts behind state i; 0 if that is not all it does with it. */
static value_id added_tensor(const graph *g, node_id loop, uint32_t i, const uint32_t *uses) {
    const region *body = graph_region(g, node_attr_region(graph_node(g, loop), "body"));
    value_id start = graph_input(g, loop, i + 2), state = body->inputs.data[i + 2];
    value_id result = body->outputs.data[i + 1];
    const value_list *list = start ? graph_value(g, start)->list : NULL;
    node_id insert = rewrite_producer(g, result, "SequenceInsert");
    if (!list || list->count || graph_type(g, start)->kind != TYPE_SEQUENCE || !insert) return 0;
    bool last = !graph_input(g, insert, 2);
    if (graph_node(g, insert)->region != node_attr_region(graph_node(g, loop), "body") || !last ||
        graph_input(g, insert, 0) != state || uses[state] != 1 || uses[result] != 1)
        return 0;
    value_id tensor = graph_input(g, insert, 1);
    return keeps_size(g, graph_type(g, tensor)) ? tensor : 0;
}

/* ---- readers ---- */

/* The axis along which a ConcatFromSequence puts its items; -1 if it cannot be done with a stack of
 * them. What stands behind the axis has to be constant where axes are joined. */
static int concat_axis(const graph *g, const node *n, const type *item) {
    bool stack = node_attr_int(n, "new_axis", 0) != 0;
    int64_t axis = node_attr_int(n, "axis", 0), rank = item->rank + stack;
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return -1;
    for (int i = (int)axis; !stack && i < item->rank; i++)
        if (!dim_is_const(g->dims, item->dims[i], NULL)) return -1;
    return (int)axis;
}

static bool can_read(const graph *g, node_id reader, const type *item) {
    const node *n = graph_node(g, reader);
    if (strcmp(n->op->name, "ConcatFromSequence") == 0) return concat_axis(g, n, item) >= 0;
    return strcmp(n->op->name, "SequenceAt") == 0 || strcmp(n->op->name, "SequenceLength") == 0;
}

/* Whether all that read v can read a stack instead. */
static bool readers_fit(const graph *g, value_id v, const type *item) {
    for (size_t i = 1; i < g->regions.count; i++)
        for (size_t j = 0; j < g->regions.data[i].outputs.count; j++)
            if (g->regions.data[i].outputs.data[j] == v) return false;
    for (node_id n = 1; n < g->nodes.count; n++) {
        const node *nd = graph_node(g, n);
        for (uint32_t j = 0; nd->region && j < nd->input_count; j++)
            if (nd->inputs[j] == v && (j || *nd->op->domain || !can_read(g, n, item))) return false;
    }
    return true;
}

static value_id build(graph *g, node_id n, const char *op, value_id x, value_id y, const attr *a) {
    value_id inputs[] = {x, y};
    if (!x) return 0;
    return graph_build(g, graph_node(g, n)->region, n, "", op, y ? 2 : 1, inputs, a != NULL, a);
}

static value_id constant_ints(graph *g, const int64_t *data, int64_t count) {
    return graph_add_constant_ints(g, NULL, DTYPE_I64, 1, &count, data);
}

/* The stack with its first axis at `axis`, and joined with the one behind it if `join`. */
static value_id concatenate(graph *g, node_id n, value_id stack, int axis, bool join) {
    int rank = graph_type(g, stack)->rank;
    int64_t perm[TENSOR_MAX_RANK], shape[TENSOR_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    attr order = attr_ints("perm", perm, (size_t)rank);
    value_id y = axis ? build(g, n, "Transpose", stack, 0, &order) : stack;
    if (!join || !y) return y;
    for (int i = 0; i < rank - 1; i++) {
        shape[i] = i < axis ? 0 : -1; /* 0 keeps the axis */
        if (i > axis) dim_is_const(g->dims, graph_type(g, y)->dims[i + 1], &shape[i]);
    }
    return build(g, n, "Reshape", y, constant_ints(g, shape, rank - 1), NULL);
}

static value_id length_of(graph *g, node_id n, value_id stack) {
    attr range[] = {attr_int("start", 0), attr_int("end", 1)};
    value_id shape = graph_build(g, graph_node(g, n)->region, n, "", "Shape", 1, &stack, 2, range);
    return build(g, n, "Reshape", shape, constant_ints(g, NULL, 0), NULL);
}

static bool replace_reader(graph *g, node_id n, value_id stack) {
    const node nd = *graph_node(g, n);
    attr first = attr_int("axis", 0);
    value_id made;
    if (strcmp(nd.op->name, "SequenceLength") == 0) {
        made = length_of(g, n, stack);
    } else if (strcmp(nd.op->name, "SequenceAt") == 0) {
        made = build(g, n, "Gather", stack, nd.inputs[1], &first);
    } else {
        type item = *graph_type(g, stack);
        item.rank--;
        item.dims++;
        bool join = !node_attr_int(&nd, "new_axis", 0);
        made = concatenate(g, n, stack, concat_axis(g, &nd, &item), join);
    }
    if (!made) return false;
    rewrite_take_over(g, n, nd.outputs[0], made);
    graph_remove_node(g, n);
    return true;
}

static bool replace_readers(graph *g, value_id v, value_id stack) {
    const size_t count = g->nodes.count;
    for (node_id n = 1; n < count; n++) {
        const node *nd = graph_node(g, n);
        if (nd->region && nd->input_count && nd->inputs[0] == v && !replace_reader(g, n, stack))
            return false;
    }
    return true;
}

/* ---- the loop ---- */

static void drop(value_id *list, size_t *count, size_t at) {
    for (size_t i = at; i + 1 < *count; i++) list[i] = list[i + 1];
    --*count;
}

/* State i leaves the loop; `tensor` of its body is stacked instead. Returns the stack. */
static value_id stack_state(graph *g, node_id loop, uint32_t i, value_id tensor) {
    node *n = graph_node(g, loop);
    region_id b = node_attr_region(n, "body");
    size_t inputs = n->input_count, outputs = n->output_count;
    value_id *grown = ARENA_ARRAY(g->memory, value_id, outputs);
    value_id old = n->outputs[i];
    region *body = graph_region(g, b);
    memcpy(grown, n->outputs, outputs * sizeof *grown);
    drop(n->inputs, &inputs, i + 2);
    drop(grown, &outputs, i);
    drop(body->inputs.data, &body->inputs.count, i + 2);
    drop(body->outputs.data, &body->outputs.count, i + 1);
    list_push(g->memory, &body->outputs, tensor);
    n->input_count = (uint32_t)inputs;
    n->outputs = grown;
    value_id stack = graph_add_value(g, graph_value(g, old)->name, (type){.rank = -1});
    n = graph_node(g, loop);
    n->outputs[outputs] = stack;
    graph_value(g, stack)->producer = loop;
    graph_value(g, old)->producer = 0;
    return stack;
}

bool rewrite_gather_items(graph *g, node_id loop, long *changes) {
    const uint32_t *uses = graph_count_uses(g);
    uint32_t states =
        graph_node(g, loop)->input_count > 2 ? graph_node(g, loop)->input_count - 2 : 0;
    for (uint32_t i = states; i-- > 0;) {
        value_id y = graph_output(g, loop, i), tensor = added_tensor(g, loop, i, uses);
        if (!tensor || !y || !readers_fit(g, y, graph_type(g, tensor))) continue;
        value_id stack = stack_state(g, loop, i, tensor);
        ++*changes;
        if (!op_infer(g, loop) || !replace_readers(g, y, stack)) return false;
    }
    return true;
}
