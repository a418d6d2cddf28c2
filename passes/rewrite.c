/* rewrite.c: see rewrite.h. */
#include "passes/rewrite.h"

#include <string.h>

bool rewrite_is(const graph *g, node_id n, const char *op) {
    const op_def *row = graph_node(g, n)->op;
    return !*row->domain && strcmp(row->name, op) == 0;
}

bool rewrite_is_group(const node *n) {
    return strcmp(n->op->domain, OP_INTERNAL) == 0 && strcmp(n->op->name, "Group") == 0;
}

bool rewrite_has_groups(const graph *g) {
    for (node_id n = 1; n < g->nodes.count; n++)
        if (graph_node(g, n)->region && rewrite_is_group(graph_node(g, n))) return true;
    return false;
}

node_id rewrite_producer(const graph *g, value_id v, const char *op) {
    node_id n = v ? graph_value(g, v)->producer : 0;
    return n && rewrite_is(g, n, op) ? n : 0;
}

bool rewrite_is_constant(const graph *g, value_id v) {
    return v && graph_value(g, v)->constant != NULL;
}

static bool is_number(dtype t) {
    return dtype_is_float(t) || dtype_is_integer(t) || t == DTYPE_BOOL;
}

bool rewrite_scalar(const graph *g, value_id v, double *out) {
    if (!rewrite_is_constant(g, v) || !is_number(graph_type(g, v)->dtype)) return false;
    const type *t = graph_type(g, v);
    for (int i = 0; i < t->rank; i++)
        if (!dim_equals_const(g->dims, t->dims[i], 1)) return false;
    *out = value_float(graph_value(g, v), g->dims, 0);
    return true;
}

bool rewrite_repeated(const graph *g, value_id v, double *out) {
    enum { MOST = 4096 };
    if (!rewrite_is_constant(g, v) || !is_number(graph_type(g, v)->dtype)) return false;
    const value *c = graph_value(g, v);
    size_t count = c->constant->bytes / dtype_bytes(c->type.dtype);
    if (!count || count > MOST) return false;
    *out = value_float(c, g->dims, 0);
    for (size_t i = 1; i < count; i++)
        if (value_float(c, g->dims, i) != *out) return false;
    return true;
}

uint32_t *rewrite_count_uses(const graph *g) {
    uint32_t *uses = graph_count_uses(g);
    uses[0] = (uint32_t)g->values.count;
    return uses;
}

bool rewrite_used_once(const uint32_t *uses, value_id v) {
    return v && v < uses[0] && uses[v] == 1;
}

static bool is_listed(const value_id *list, size_t count, value_id v) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == v) return true;
    return false;
}

bool rewrite_replace(graph *g, value_id from, value_id to) {
    const region *main = graph_region(g, GRAPH_MAIN);
    if (is_listed(main->outputs.data, main->outputs.count, from)) {
        node_id p = graph_value(g, to)->producer;
        if (!p || graph_node(g, p)->region != GRAPH_MAIN ||
            is_listed(main->outputs.data, main->outputs.count, to))
            return false;
        const char *name = graph_value(g, from)->name;
        graph_value(g, from)->name = graph_value(g, to)->name;
        graph_value(g, to)->name = name;
    }
    graph_replace_uses(g, from, to);
    return true;
}

void rewrite_take_over(graph *g, node_id n, value_id y, value_id made) {
    type_kind kind = graph_type(g, y)->kind;
    if (kind == TYPE_SEQUENCE || kind == TYPE_OPTIONAL) {
        graph_replace_uses(g, y, made); /* outputs of the graph are no lists in the end */
        return;
    }
    if (rewrite_replace(g, y, made)) return;
    /* The graph's output keeps its name by way of an Identity. */
    const char *name = graph_value(g, y)->name;
    value_id out = graph_add_value(g, NULL, *graph_type(g, made));
    graph_value(g, y)->name = graph_value(g, out)->name;
    graph_value(g, out)->name = name;
    graph_add_node(g, graph_node(g, n)->region, n, op_find("", "Identity"), "", 1, &made, 1, &out,
                   0, NULL);
    graph_replace_uses(g, y, out);
}

node_id *rewrite_nodes(const graph *g, region_id r, size_t *count) {
    const region *reg = graph_region(g, r);
    node_id *nodes = ARENA_ARRAY(g->memory, node_id, reg->nodes.count);
    *count = reg->nodes.count;
    if (*count) memcpy(nodes, reg->nodes.data, *count * sizeof *nodes);
    return nodes;
}

static long visit_region(graph *g, region_id r, const pass_options *options, const uint32_t *uses,
                         long (*visit)(graph *g, const pass_options *options, const uint32_t *uses,
                                       node_id n)) {
    size_t count;
    const node_id *order = rewrite_nodes(g, r, &count);
    long total = 0;
    for (size_t i = 0; i < count; i++) {
        node_id n = order[i];
        if (graph_node(g, n)->region != r || rewrite_is_group(graph_node(g, n))) continue;
        for (uint32_t j = 0; j < graph_node(g, n)->attr_count; j++) {
            attr a = graph_node(g, n)->attrs[j];
            long inside =
                a.kind == ATTR_REGION ? visit_region(g, (region_id)a.i, options, uses, visit) : 0;
            if (inside < 0) return inside;
            total += inside;
        }
        long now = visit(g, options, uses, n);
        if (now < 0) return now;
        total += now;
    }
    return total;
}

long rewrite_each(graph *g, const pass_options *options, const uint32_t *uses,
                  long (*visit)(graph *g, const pass_options *options, const uint32_t *uses,
                                node_id n)) {
    return visit_region(g, GRAPH_MAIN, options, uses, visit);
}

bool rewrite_may_grow(int64_t bytes, int64_t made) {
    enum { MOST_GROWTH = 1 << 20, MOST_TIMES = 10 };
    return made <= MOST_GROWTH || made / MOST_TIMES <= bytes;
}
