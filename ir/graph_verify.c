/* graph_verify.c: the invariants of the graph IR, checked one by one; each violation is a
 * diagnostic that names the stage behind which it was found. */
#include "ir/graph.h"
#include "ir/op.h"

#include <string.h>

typedef struct {
    const graph *g;
    diag *d;
    const char *stage;
    bool ok;
    bool *made;    /* values that are there at the point reached */
    bool *defined; /* symbols that have values at the point reached */
} verifier;

static void complain(verifier *v, node_id n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(verifier *v, node_id n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(v->d->memory, format, args);
    va_end(args);
    const node *nd = n ? graph_node(v->g, n) : NULL;
    v->ok = diag_error(v->d, nd ? nd->name : NULL, nd ? nd->op->name : NULL, NULL, "after %s: %s",
                       v->stage, message);
}

static void verify_type(verifier *v, node_id n, value_id id) {
    const value *val = graph_value(v->g, id);
    const type *t = &val->type;
    if (!type_is_known(t)) {
        if (v->g->pending) return;
        complain(v, n, "value %s has no type", val->name);
        return;
    }
    if (t->kind != TYPE_TENSOR) return;
    for (int i = 0; i < t->rank; i++)
        if (!t->dims[i]) complain(v, n, "dimension %d of value %s is missing", i, val->name);
    if (t->layout &&
        (t->layout->block_axis >= t->rank || (t->layout->block_axis >= 0 && t->layout->block < 1)))
        complain(v, n, "value %s has a layout that does not fit its rank", val->name);
    int64_t bytes;
    if (val->constant && !val->constant->splat &&
        dim_is_const(v->g->dims, type_bytes(v->g->dims, t), &bytes) &&
        (size_t)bytes != val->constant->bytes)
        complain(v, n, "constant %s has %zu bytes where its type asks for %lld", val->name,
                 val->constant->bytes, (long long)bytes);
}

/* ---- symbols ---- */

static void define_dims(verifier *v, const type *t) {
    for (int i = 0; t->kind == TYPE_TENSOR && i < t->rank; i++)
        if (t->dims[i]) dim_mark_symbols(v->g->dims, t->dims[i], v->defined);
}

/* The value is there: symbols that it gives their values are, too. */
static void define_bound(verifier *v, value_id id) {
    size_t count;
    const dim *e = graph_value(v->g, id)->binds ? graph_elements((graph *)v->g, id, &count) : NULL;
    for (size_t i = 0; e && i < count; i++)
        if (dim_op_of(v->g->dims, e[i]) == DIM_SYMBOL)
            v->defined[dim_symbol_of(v->g->dims, e[i])] = true;
}

/* Whether the sizes of a value are known when it is made. */
static void verify_symbols(verifier *v, node_id n, value_id id) {
    const graph *g = v->g;
    const type *t = graph_type(g, id);
    if (t->kind != TYPE_TENSOR || t->rank < 0) return;
    bool *used = ARENA_ARRAY(g->memory, bool, dim_symbol_count(g->dims) + 1);
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i]) dim_mark_symbols(g->dims, t->dims[i], used);
    for (dim_symbol s = 0; s < dim_symbol_count(g->dims); s++)
        if (used[s] && !v->defined[s])
            complain(v, n, "the size of %s depends on %s, which nothing gives a value",
                     graph_value(g, id)->name, dim_symbol_name(g->dims, s));
}

static void verify_region(verifier *v, region_id r);

static void verify_node(verifier *v, region_id r, node_id id) {
    const node *n = graph_node(v->g, id);
    if (n->region != r) complain(v, id, "the node stands in another region than it says");
    for (uint32_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] && !v->made[n->inputs[i]] && !graph_value(v->g, n->inputs[i])->constant)
            complain(v, id, "input %s is read before it is made",
                     graph_value(v->g, n->inputs[i])->name);
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (n->attrs[i].kind == ATTR_REGION) {
            if (graph_region(v->g, (region_id)n->attrs[i].i)->owner != id)
                complain(v, id, "a region of the node has another owner");
            verify_region(v, (region_id)n->attrs[i].i);
        }
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i]) define_bound(v, n->outputs[i]);
    for (uint32_t i = 0; i < n->output_count; i++) {
        if (!n->outputs[i]) continue;
        if (n->op->flags & OP_OPEN)
            define_dims(v, graph_type(v->g, n->outputs[i]));
        else
            verify_symbols(v, id, n->outputs[i]);
        if (graph_value(v->g, n->outputs[i])->producer != id)
            complain(v, id, "output %s names another producer",
                     graph_value(v->g, n->outputs[i])->name);
        if (v->made[n->outputs[i]])
            complain(v, id, "value %s is made twice", graph_value(v->g, n->outputs[i])->name);
        v->made[n->outputs[i]] = true;
        verify_type(v, id, n->outputs[i]);
    }
}

static void verify_region(verifier *v, region_id r) {
    const region *reg = graph_region(v->g, r);
    for (size_t i = 0; i < reg->inputs.count; i++) {
        v->made[reg->inputs.data[i]] = true;
        define_dims(v, graph_type(v->g, reg->inputs.data[i]));
        define_bound(v, reg->inputs.data[i]);
    }
    for (size_t i = 0; i < reg->nodes.count; i++) verify_node(v, r, reg->nodes.data[i]);
    for (size_t i = 0; i < reg->outputs.count; i++)
        if (!v->made[reg->outputs.data[i]] && !graph_value(v->g, reg->outputs.data[i])->constant)
            complain(v, 0, "result %s of a region is made nowhere",
                     graph_value(v->g, reg->outputs.data[i])->name);
    if (r == GRAPH_MAIN) return;
    /* What a region makes is not seen outside of it. */
    for (size_t i = 0; i < reg->inputs.count; i++) v->made[reg->inputs.data[i]] = false;
    for (size_t i = 0; i < reg->nodes.count; i++) {
        const node *n = graph_node(v->g, reg->nodes.data[i]);
        for (uint32_t j = 0; j < n->output_count; j++) v->made[n->outputs[j]] = false;
    }
}

bool graph_verify(const graph *g, diag *d, const char *stage) {
    verifier v = {.g = g, .d = d, .stage = stage, .ok = true};
    v.made = ARENA_ARRAY(g->memory, bool, g->values.count);
    v.defined = ARENA_ARRAY(g->memory, bool, dim_symbol_count(g->dims) + 1);
    for (value_id c = 1; c < g->values.count; c++) {
        if (!graph_value(g, c)->constant) continue;
        verify_type(&v, 0, c);
        define_bound(&v, c);
    }
    verify_region(&v, GRAPH_MAIN);
    return v.ok;
}
