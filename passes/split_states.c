/* split_states.c: a loop that carries a sequence of always as many tensors carries these tensors
 * instead, however often it runs. */
#include "passes/rewrite.h"

#include <string.h>

/* Element `at` of a list becomes `count` others. */
static void spread(graph *g, value_id **list, size_t *length, size_t at, const value_id *with,
                   size_t count) {
    value_id *made = ARENA_ARRAY(g->memory, value_id, *length - 1 + count);
    memcpy(made, *list, at * sizeof *made);
    memcpy(made + at, with, count * sizeof *made);
    memcpy(made + at + count, *list + at + 1, (*length - at - 1) * sizeof *made);
    *list = made;
    *length += count - 1;
}

/* In the body, state i becomes a sequence of new inputs. */
static void spread_input(graph *g, region_id body, uint32_t i, const value_list *start) {
    region *r = graph_region(g, body);
    value_id state = r->inputs.data[i + 2];
    const char *name = graph_value(g, state)->name;
    value_id *made = ARENA_ARRAY(g->memory, value_id, start->count);
    for (size_t j = 0; j < start->count; j++)
        made[j] = graph_add_value(g, name, *graph_type(g, start->items[j]));
    r = graph_region(g, body);
    spread(g, &r->inputs.data, &r->inputs.count, i + 2, made, start->count);
    r->inputs.capacity = r->inputs.count;
    value_id list = graph_add_value(g, name, *graph_type(g, state));
    node_id first = r->nodes.count ? r->nodes.data[0] : 0;
    graph_replace_uses(g, state, list);
    graph_add_node(g, body, first, op_find("", "SequenceConstruct"), "", (uint32_t)start->count,
                   made, 1, &list, 0, NULL);
}

/* The loop's state i, which begins as `start`, as its tensors; `y` is the result, or 0. */
static bool split_state(graph *g, node_id loop, uint32_t i, const value_list *start,
                        value_id *results) {
    node *n = graph_node(g, loop);
    region_id body = node_attr_region(n, "body");
    size_t inputs = n->input_count, outputs = n->output_count, count = start->count;
    spread_input(g, body, i, start);
    if (!op_infer_region(g, body)) return false;
    const value_list *next = graph_value(g, graph_region(g, body)->outputs.data[i + 1])->list;
    if (!next || next->count != count)
        return op_error(g, loop, "a sequence of always as many tensors can be carried, too",
                        "a loop of unknown trip count carries a sequence whose length changes, or "
                        "is not known");
    value_id y = graph_output(g, loop, i);
    for (size_t j = 0; j < count; j++) {
        results[j] = graph_add_value(g, y ? graph_value(g, y)->name : NULL, (type){.rank = -1});
        graph_value(g, results[j])->producer = loop;
    }
    n = graph_node(g, loop);
    region *r = graph_region(g, body);
    spread(g, &n->inputs, &inputs, i + 2, start->items, count);
    spread(g, &n->outputs, &outputs, i, results, count);
    spread(g, &r->outputs.data, &r->outputs.count, i + 1, next->items, count);
    r->outputs.capacity = r->outputs.count;
    n->input_count = (uint32_t)inputs;
    n->output_count = (uint32_t)outputs;
    if (y) graph_value(g, y)->producer = 0;
    return op_infer(g, loop);
}

bool rewrite_split_state(graph *g, node_id loop, value_id *y, size_t *count, value_id **results) {
    const node nd = *graph_node(g, loop);
    for (uint32_t i = 0; i + 2 < nd.input_count; i++) {
        value_id start = nd.inputs[i + 2];
        const value_list *list = graph_value(g, start)->list;
        if (graph_type(g, start)->kind != TYPE_SEQUENCE || !list || !list->count) continue;
        *y = nd.outputs[i];
        *count = list->count;
        *results = ARENA_ARRAY(g->memory, value_id, list->count);
        return split_state(g, loop, i, list, *results);
    }
    *count = 0;
    return true;
}
