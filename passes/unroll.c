/* unroll.c: copies of regions, and loops written out iteration by iteration: what carries a
 * sequence needs its length in each of them. */
#include "passes/rewrite.h"

#include <string.h>

enum { MOST_ITERATIONS = 4096, MOST_NODES = 1 << 20 };

static value_id mapped(const value_id *map, value_id v) {
    return v && map[v] ? map[v] : v;
}

static region_id copy_region(graph *g, region_id r, region_id parent, value_id *map) {
    region_id made = graph_add_region(g, parent);
    for (size_t i = 0; i < graph_region(g, r)->inputs.count; i++) {
        value_id from = graph_region(g, r)->inputs.data[i];
        map[from] = graph_add_value(g, graph_value(g, from)->name, (type){.rank = -1});
        list_push(g->memory, &graph_region(g, made)->inputs, map[from]);
    }
    rewrite_copy_nodes(g, r, made, 0, map);
    for (size_t i = 0; i < graph_region(g, r)->outputs.count; i++)
        list_push(g->memory, &graph_region(g, made)->outputs,
                  mapped(map, graph_region(g, r)->outputs.data[i]));
    return made;
}

static void copy_node(graph *g, node_id id, region_id to, node_id before, value_id *map) {
    const node n = *graph_node(g, id);
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, n.input_count);
    value_id *outputs = ARENA_ARRAY(g->memory, value_id, n.output_count);
    attr *attrs = ARENA_ARRAY(g->memory, attr, n.attr_count);
    for (uint32_t i = 0; i < n.input_count; i++) inputs[i] = mapped(map, n.inputs[i]);
    for (uint32_t i = 0; i < n.attr_count; i++) {
        attrs[i] = n.attrs[i];
        if (attrs[i].kind == ATTR_REGION)
            attrs[i].i = copy_region(g, (region_id)attrs[i].i, to, map);
    }
    for (uint32_t i = 0; i < n.output_count; i++) {
        if (!n.outputs[i]) continue;
        const char *name = graph_value(g, n.outputs[i])->name;
        outputs[i] = map[n.outputs[i]] = graph_add_value(g, name, (type){.rank = -1});
    }
    node_id made = graph_add_node(g, to, before, n.op, n.name, n.input_count, inputs,
                                  n.output_count, outputs, n.attr_count, attrs);
    graph_node(g, made)->source = n.source;
    for (uint32_t i = 0; i < n.attr_count; i++)
        if (attrs[i].kind == ATTR_REGION) graph_region(g, (region_id)attrs[i].i)->owner = made;
}

void rewrite_copy_nodes(graph *g, region_id from, region_id to, node_id before, value_id *map) {
    size_t count;
    const node_id *nodes = rewrite_nodes(g, from, &count);
    for (size_t i = 0; i < count; i++) copy_node(g, nodes[i], to, before, map);
}

bool rewrite_copy_body(graph *g, region_id body, node_id n, const value_id *inputs,
                       value_id *outputs) {
    const region r = *graph_region(g, body);
    region_id into = graph_node(g, n)->region;
    node_id first = (node_id)g->nodes.count;
    value_id *map = ARENA_ARRAY(g->memory, value_id, g->values.count);
    for (size_t i = 0; i < r.inputs.count; i++) map[r.inputs.data[i]] = inputs[i];
    rewrite_copy_nodes(g, body, into, n, map);
    for (size_t i = 0; i < r.outputs.count; i++) outputs[i] = mapped(map, r.outputs.data[i]);
    if (g->nodes.count > MOST_NODES)
        return op_error(g, n, NULL, "written out it makes over %d nodes", MOST_NODES);
    bool ok = true;
    for (node_id made = first; made < g->nodes.count; made++)
        if (graph_node(g, made)->region == into) ok &= op_infer(g, made);
    return ok;
}

bool rewrite_known(graph *g, value_id v, int64_t *out) {
    size_t count;
    const dim *known = graph_elements(g, v, &count);
    return known && count == 1 && dim_is_const(g->dims, known[0], out);
}

/* ---- loops ---- */

typedef LIST(value_id) value_ids;

/* The stacked result of a body's: an axis in front, along which they are put together. */
static value_id stack(graph *g, node_id n, const value_ids *pieces, value_id like) {
    region_id r = graph_node(g, n)->region;
    int64_t zero = 0, one = 1, dims[TENSOR_MAX_RANK];
    attr along = attr_int("axis", 0);
    if (!pieces->count) {
        const type *t = graph_type(g, like);
        if (t->kind != TYPE_TENSOR || t->rank < 0 || t->rank >= TENSOR_MAX_RANK ||
            !type_static_dims(g->dims, t, dims + 1)) {
            op_error(g, n, NULL, "a loop without an iteration has a result of unknown shape");
            return 0;
        }
        dims[0] = 0;
        return graph_add_constant(g, NULL, type_tensor_const(g, t->dtype, t->rank + 1, dims),
                                  (blob){"", 0, false});
    }
    value_id axes = graph_add_constant_ints(g, NULL, DTYPE_I64, 1, &one, &zero);
    value_id *parts = ARENA_ARRAY(g->memory, value_id, pieces->count);
    for (size_t i = 0; i < pieces->count; i++) {
        value_id both[] = {pieces->data[i], axes};
        parts[i] = graph_build(g, r, n, "", "Unsqueeze", 2, both, 0, NULL);
        if (!parts[i]) return 0;
    }
    return graph_build(g, r, n, "", "Concat", (uint32_t)pieces->count, parts, 1, &along);
}

bool rewrite_unroll(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    const region r = *graph_region(g, body);
    size_t states = nd.input_count > 2 ? nd.input_count - 2 : 0;
    int64_t trips = INT64_MAX, go_on = 1;
    const char *hint = "a number of iterations that shapes and constants tell is needed";
    if (nd.inputs[0] && !rewrite_known(g, nd.inputs[0], &trips))
        return op_error(g, n, hint, "a loop that is written out, of unknown trip count");
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, states + 2);
    value_id *results = ARENA_ARRAY(g->memory, value_id, r.outputs.count);
    value_ids *stacks = ARENA_ARRAY(g->memory, value_ids, nd.output_count);
    inputs[1] = nd.input_count > 1 ? nd.inputs[1] : 0;
    if (!inputs[1]) inputs[1] = graph_add_constant_ints(g, NULL, DTYPE_BOOL, 0, NULL, &go_on);
    for (size_t i = 0; i < states; i++) inputs[i + 2] = nd.inputs[i + 2];
    for (int64_t i = 0; i < trips; i++) {
        if (!rewrite_known(g, inputs[1], &go_on))
            return op_error(g, n, hint, "a loop that is written out, of unknown condition");
        if (!go_on) break;
        if (i >= MOST_ITERATIONS)
            return op_error(g, n, NULL, "a loop that is written out, of over %d iterations",
                            MOST_ITERATIONS);
        inputs[0] = graph_add_constant_ints(g, NULL, DTYPE_I64, 0, NULL, &i);
        if (!rewrite_copy_body(g, body, n, inputs, results)) return false;
        memcpy(inputs + 1, results, (states + 1) * sizeof *inputs);
        for (uint32_t j = (uint32_t)states; j < nd.output_count; j++)
            list_push(g->memory, &stacks[j], results[j + 1]);
    }
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        value_id made = i < states ? inputs[i + 2] : stack(g, n, &stacks[i], r.outputs.data[i + 1]);
        if (!made) return false;
        rewrite_take_over(g, n, nd.outputs[i], made);
    }
    return true;
}
