/* fold.c: computes what depends on constants alone, with the code that the model would run: all of
 * it in one program. */
#include "passes/rewrite.h"

#include <string.h>

typedef struct {
    graph *g;
    bool *foldable; /* of every value: made of constants alone */
} folder;

static bool static_bytes(const graph *g, value_id v, int64_t *bytes) {
    const type *t = graph_type(g, v);
    if (t->kind != TYPE_TENSOR || t->dtype == DTYPE_STRING || t->rank < 0) return false;
    return dim_is_const(g->dims, type_bytes(g->dims, t), bytes);
}

static bool can_compute(const node *n) {
    const op_def *op = n->op;
    if (op->flags & OP_EFFECT) return false;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (n->attrs[i].kind == ATTR_REGION) return false;
    return op->formula || op->element || op->nest;
}

static bool is_foldable(const folder *f, node_id id) {
    const node *n = graph_node(f->g, id);
    int64_t in = 0, out = 0, bytes;
    if (!can_compute(n) || !n->output_count) return false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        value_id v = n->inputs[i];
        if (!v) continue;
        if (!rewrite_is_constant(f->g, v) && !f->foldable[v]) return false;
        if (graph_type(f->g, v)->dtype == DTYPE_STRING || !static_bytes(f->g, v, &bytes))
            return false;
        in += bytes;
    }
    for (uint32_t i = 0; i < n->output_count; i++) {
        if (!n->outputs[i]) continue;
        if (!static_bytes(f->g, n->outputs[i], &bytes)) return false;
        out += bytes;
    }
    return rewrite_may_grow(in, out);
}

static void mark_region(folder *f, region_id r) {
    const region *reg = graph_region(f->g, r);
    for (size_t i = 0; i < reg->nodes.count; i++) {
        const node *n = graph_node(f->g, reg->nodes.data[i]);
        for (uint32_t j = 0; j < n->attr_count; j++)
            if (n->attrs[j].kind == ATTR_REGION) mark_region(f, (region_id)n->attrs[j].i);
        if (!is_foldable(f, reg->nodes.data[i])) continue;
        for (uint32_t j = 0; j < n->output_count; j++)
            if (n->outputs[j]) f->foldable[n->outputs[j]] = true;
    }
}

/* Foldable values that something else reads: only these are computed and kept. */
static value_id *wanted_values(const folder *f, size_t *count) {
    const graph *g = f->g;
    bool *wanted = ARENA_ARRAY(g->memory, bool, g->values.count);
    for (size_t i = 1; i < g->nodes.count; i++) {
        const node *n = &g->nodes.data[i];
        bool folds = n->region && n->output_count && n->outputs[0] && f->foldable[n->outputs[0]];
        for (uint32_t j = 0; n->region && !folds && j < n->input_count; j++)
            if (n->inputs[j] && f->foldable[n->inputs[j]]) wanted[n->inputs[j]] = true;
    }
    for (size_t i = 1; i < g->regions.count; i++)
        for (size_t j = 0; j < g->regions.data[i].outputs.count; j++)
            if (f->foldable[g->regions.data[i].outputs.data[j]])
                wanted[g->regions.data[i].outputs.data[j]] = true;
    value_id *list = ARENA_ARRAY(g->memory, value_id, g->values.count);
    *count = 0;
    for (value_id v = 1; v < g->values.count; v++)
        if (wanted[v]) list[(*count)++] = v;
    return list;
}

static long run(graph *g, const pass_options *options) {
    if (!options->evaluate) return 0;
    folder f = {.g = g, .foldable = ARENA_ARRAY(g->memory, bool, g->values.count)};
    mark_region(&f, GRAPH_MAIN);
    size_t count;
    const value_id *values = wanted_values(&f, &count);
    if (!count) return 0;
    blob *data = ARENA_ARRAY(g->memory, blob, count);
    if (!options->evaluate(options->user, g, values, count, data)) return -1;
    for (size_t i = 0; i < count; i++) {
        blob *kept = ARENA_NEW(g->memory, blob);
        *kept = data[i];
        value *v = graph_value(g, values[i]);
        v->constant = kept;
        /* Its maker now computes a value that nobody reads. */
        node *maker = graph_node(g, v->producer);
        for (uint32_t j = 0; j < maker->output_count; j++)
            if (maker->outputs[j] == values[i]) maker->outputs[j] = 0;
        v->producer = 0;
    }
    graph_remove_dead(g);
    return (long)count;
}

const pass_def pass_fold = {"fold", "compute what depends on constants alone", run};
