/* graph_bind.c: values whose data give dimension symbols their values (value.binds), and what
 * becomes of that when values are replaced or removed. */
#include "ir/graph_bind.h"

#include <string.h>

void graph_bind(graph *g, value_id v, const dim *elements, size_t count) {
    dim *kept = ARENA_ARRAY(g->memory, dim, count);
    if (count) memcpy(kept, elements, count * sizeof *kept);
    graph_value(g, v)->elements = kept;
    graph_value(g, v)->binds = true;
}

bool graph_is_from_caller(const graph *g, dim_symbol s) {
    const region *main = graph_region(g, GRAPH_MAIN);
    bool *used = ARENA_ARRAY(g->memory, bool, dim_symbol_count(g->dims) + 1);
    for (size_t i = 0; i < main->inputs.count; i++) {
        const type *t = graph_type(g, main->inputs.data[i]);
        for (int a = 0; t->kind == TYPE_TENSOR && a < t->rank; a++)
            dim_mark_symbols(g->dims, t->dims[a], used);
    }
    return used[s];
}

const dim *graph_bind_elements(graph *g, value_id v, int64_t low, dim limit, size_t *count) {
    enum { MOST = 64 };
    const dim *known = graph_elements(g, v, count);
    if (known || !v) return known;
    const type *t = graph_type(g, v);
    int64_t n = 1;
    if (t->kind != TYPE_TENSOR || t->dtype != DTYPE_I64 || t->rank < 0 || t->rank > 1 ||
        (t->rank == 1 && !dim_is_const(g->dims, t->dims[0], &n)) || n > MOST ||
        graph_value(g, v)->constant)
        return NULL;
    dim elements[MOST];
    for (int64_t i = 0; i < n; i++) {
        const char *name = graph_value(g, v)->name;
        if (t->rank) name = arena_printf(g->memory, "%s_%lld", name, (long long)i);
        elements[i] = dim_fresh_symbol(g->dims, name, low, DIM_MAX);
        if (limit) dim_set_limit(g->dims, dim_symbol_of(g->dims, elements[i]), limit);
    }
    graph_bind(g, v, elements, (size_t)n);
    *count = (size_t)n;
    return graph_value(g, v)->elements;
}

/* ---- replacing ---- */

static const dim *substitute_all(graph *g, const dim *list, size_t count, const dim *with) {
    dim *made = ARENA_ARRAY(g->memory, dim, count);
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        made[i] = dim_substitute(g->dims, list[i], with);
        same &= made[i] == list[i];
    }
    return same ? list : made;
}

void graph_substitute(graph *g, const dim *with) {
    for (value_id v = 1; v < g->values.count; v++) {
        value *val = graph_value(g, v);
        size_t count;
        const dim *elements = val->elements ? graph_elements(g, v, &count) : NULL;
        if (elements) val->elements = substitute_all(g, elements, count, with);
        if (val->type.kind == TYPE_TENSOR && val->type.rank > 0)
            val->type.dims = substitute_all(g, val->type.dims, (size_t)val->type.rank, with);
    }
}

void graph_bind_move(graph *g, value_id from, value_id to) {
    size_t count, other;
    const dim *told = graph_elements(g, from, &count), *known = graph_elements(g, to, &other);
    graph_value(g, from)->binds = false;
    if (!told) return;
    if (!known || other != count) {
        graph_bind(g, to, told, count);
        return;
    }
    dim *with = ARENA_ARRAY(g->memory, dim, dim_symbol_count(g->dims) + 1);
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        same &= told[i] == known[i];
        if (dim_op_of(g->dims, told[i]) == DIM_SYMBOL)
            with[dim_symbol_of(g->dims, told[i])] = known[i];
    }
    if (same)
        graph_value(g, to)->binds = true;
    else
        graph_substitute(g, with);
}

/* ---- uses ---- */

/* Symbols that dimensions of nodes' results hold. */
static bool *used_symbols(const graph *g) {
    bool *used = ARENA_ARRAY(g->memory, bool, dim_symbol_count(g->dims) + 1);
    for (size_t i = 1; i < g->nodes.count; i++) {
        const node *n = &g->nodes.data[i];
        for (uint32_t j = 0; n->region && j < n->output_count; j++) {
            if (!n->outputs[j]) continue;
            const type *t = graph_type(g, n->outputs[j]);
            for (int a = 0; t->kind == TYPE_TENSOR && a < t->rank; a++)
                dim_mark_symbols(g->dims, t->dims[a], used);
        }
    }
    return used;
}

void graph_bind_count_uses(graph *g, uint32_t *uses) {
    const bool *used = used_symbols(g);
    for (value_id v = 1; v < g->values.count; v++) {
        size_t count;
        const dim *e = graph_value(g, v)->binds ? graph_elements(g, v, &count) : NULL;
        for (size_t i = 0; e && i < count; i++)
            if (dim_op_of(g->dims, e[i]) != DIM_SYMBOL || used[dim_symbol_of(g->dims, e[i])])
                uses[v]++;
    }
}
