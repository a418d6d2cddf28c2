/* op.c: the operator table over all families, attribute defaults from the schema, and what infer
 * hooks share. */
#include "ir/op.h"
#include "ir/ops/families.h"
#include "ir/schema.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define DECLARE(family)                                                                            \
    extern const op_def ops_##family[];                                                            \
    extern const size_t ops_##family##_count;
OP_FAMILIES(DECLARE)
#undef DECLARE

typedef struct {
    const op_def *rows;
    const size_t *count;
} family;

#define ROW(name) {ops_##name, &ops_##name##_count},
static const family families[] = {OP_FAMILIES(ROW)};
#undef ROW

enum { FAMILY_COUNT = sizeof families / sizeof *families };

size_t op_count(void) {
    size_t n = 0;
    for (int i = 0; i < FAMILY_COUNT; i++) n += *families[i].count;
    return n;
}

const op_def *op_at(size_t i) {
    for (int f = 0; f < FAMILY_COUNT; f++) {
        if (i < *families[f].count) return &families[f].rows[i];
        i -= *families[f].count;
    }
    return NULL;
}

const op_def *op_find(const char *domain, const char *name) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (int f = 0; f < FAMILY_COUNT; f++)
        for (size_t i = 0; i < *families[f].count; i++) {
            const op_def *op = &families[f].rows[i];
            if (strcmp(op->name, name) == 0 && strcmp(op->domain, domain) == 0) return op;
        }
    return NULL;
}

/* ---- attribute defaults ---- */

static attr default_attr(arena *a, const schema_attribute *s) {
    attr out = {.name = s->name};
    switch ((schema_kind)s->kind) {
    case SCHEMA_INT:
        out.kind = ATTR_INT;
        out.i = s->value.i;
        break;
    case SCHEMA_FLOAT:
        out.kind = ATTR_FLOAT;
        out.f = s->value.f;
        break;
    case SCHEMA_STRING:
        out.kind = ATTR_STRING;
        out.string = s->value.s;
        out.count = strlen(s->value.s);
        break;
    case SCHEMA_INTS:
        out.kind = ATTR_INTS;
        out.ints = s->value.ints;
        out.count = s->count;
        break;
    case SCHEMA_FLOATS:
        out.kind = ATTR_FLOATS;
        out.floats = s->value.floats;
        out.count = s->count;
        break;
    default: {
        assert(s->kind == SCHEMA_STRINGS);
        blob_string *strings = ARENA_ARRAY(a, blob_string, s->count);
        for (int i = 0; i < s->count; i++)
            strings[i] = (blob_string){s->value.strings[i], strlen(s->value.strings[i])};
        out.kind = ATTR_STRINGS;
        out.strings = strings;
        out.count = s->count;
    }
    }
    return out;
}

static const schema_version *newest_schema(const op_def *op) {
    const schema_op *s = schema_find(op->domain, op->name);
    return s ? &s->versions[s->version_count - 1] : NULL;
}

static bool has_attr(const node *n, const char *name) {
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return true;
    return false;
}

void op_add_defaults(graph *g, node *n) {
    const schema_version *s = newest_schema(n->op);
    uint32_t missing = 0;
    for (int i = 0; s && i < s->attribute_count; i++)
        missing += s->attributes[i].has_default && !has_attr(n, s->attributes[i].name);
    if (!missing) return;
    attr *all = ARENA_ARRAY(g->memory, attr, n->attr_count + missing);
    uint32_t count = n->attr_count;
    if (count) memcpy(all, n->attrs, count * sizeof *all);
    for (int i = 0; i < s->attribute_count; i++)
        if (s->attributes[i].has_default && !has_attr(n, s->attributes[i].name))
            all[count++] = default_attr(g->memory, &s->attributes[i]);
    n->attrs = all;
    n->attr_count = count;
}

/* ---- inference ---- */

bool op_error(graph *g, node_id id, const char *hint, const char *format, ...) {
    const node *n = graph_node(g, id);
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(g->memory, format, args);
    va_end(args);
    const char *op = n->source        ? n->source
                     : *n->op->domain ? arena_printf(g->memory, "%s.%s", n->op->domain, n->op->name)
                                      : n->op->name;
    const char *name = *n->name ? n->name : NULL;
    if (!name && n->output_count && n->outputs[0]) name = graph_value(g, n->outputs[0])->name;
    if (!hint) hint = "docs/operators.md lists what is supported, the standard says what is valid";
    return diag_error(g->diag, name, op, hint, "%s", message);
}

/* A formula row without a hook: the broadcast dimensions, the element type of the first input. */
static bool infer_formula(graph *g, node_id n) {
    enum { MOST = 6 };
    const node *nd = graph_node(g, n);
    const type *types[MOST];
    uint32_t count = 0;
    dim dims[TENSOR_MAX_RANK];
    int rank;
    for (uint32_t i = 0; i < nd->input_count && count < MOST; i++)
        if (nd->inputs[i]) types[count++] = graph_type(g, nd->inputs[i]);
    if (!count) return op_error(g, n, NULL, "the operator has no input");
    dtype t = types[0]->dtype;
    if (!op_broadcast(g, n, count, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(t, rank, dims));
    return true;
}

/* Regions without inputs (branches, groups) are typed before their node; a hook types those with
 * inputs itself, by op_infer_region. */
static bool infer_regions(graph *g, node_id n) {
    bool ok = true;
    for (uint32_t i = 0; i < graph_node(g, n)->attr_count; i++) {
        attr a = graph_node(g, n)->attrs[i];
        if (a.kind == ATTR_REGION && !graph_region(g, (region_id)a.i)->inputs.count)
            ok &= op_infer_region(g, (region_id)a.i);
    }
    return ok;
}

/* Whether everything that the node reads has a type: what failed upstream is reported there, once.
 * Tensors in lists may be of unknown rank. */
static bool inputs_typed(const graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->input_count; i++) {
        if (!nd->inputs[i]) continue;
        const type *t = graph_type(g, nd->inputs[i]);
        if (nd->op->flags & OP_LISTS ? t->kind == TYPE_NONE : !type_is_known(t)) return false;
    }
    return true;
}

/* A row that is spelt in other operators: the new nodes go by the node's name, and so do complaints
 * about them. */
static bool spell(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    diag *d = g->diag;
    size_t nodes = g->nodes.count, items = d->items.count, errors = d->error_count;
    bool ok = op_check_types(g, n) && nd.op->expand(g, n);
    for (size_t i = nodes; i < g->nodes.count; i++) {
        if (!*g->nodes.data[i].name) g->nodes.data[i].name = nd.name;
        if (!g->nodes.data[i].source) g->nodes.data[i].source = nd.source;
    }
    for (size_t i = items; i < d->items.count; i++) {
        if (*nd.name) d->items.data[i].node = nd.name;
        if (nd.source) d->items.data[i].op = nd.source;
    }
    if (ok || d->error_count != errors) return ok;
    return op_error(g, n, NULL, "this form of the operator is not supported");
}

bool op_infer(graph *g, node_id n) {
    const op_def *op = graph_node(g, n)->op;
    if (op->flags & OP_LISTS) g->pending = true;
    if (!infer_regions(g, n)) return false;
    if (!inputs_typed(g, n))
        return g->pending             ? !g->diag->error_count
               : g->diag->error_count ? false
                                      : op_error(g, n, NULL, "the type of an input is not known");
    if (!op->infer && !op->formula) return spell(g, n);
    if (!(op->infer ? op->infer(g, n) : infer_formula(g, n))) return false;
    op_infer_elements(g, n);
    return true;
}

bool op_infer_region(graph *g, region_id r) {
    bool ok = true;
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++)
        ok &= op_infer(g, graph_region(g, r)->nodes.data[i]);
    return ok;
}

bool op_infer_all(graph *g) {
    return op_infer_region(g, GRAPH_MAIN);
}

void op_set_type(graph *g, node_id n, uint32_t output, type t) {
    value_id v = graph_output(g, n, output);
    if (!v) return;
    type *old = &graph_value(g, v)->type;
    g->pending |= t.kind == TYPE_SEQUENCE || t.kind == TYPE_OPTIONAL;
    if (t.kind == TYPE_TENSOR && t.rank > 0) {
        dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)t.rank);
        memcpy(dims, t.dims, (size_t)t.rank * sizeof *dims);
        bool same_rank = old->kind == TYPE_TENSOR && old->rank == t.rank;
        if (same_rank && !t.layout) t.layout = old->layout;
        t.dims = dims;
    }
    *old = t;
}

void op_set_elements(graph *g, node_id n, uint32_t output, const dim *elements, size_t count) {
    value_id v = graph_output(g, n, output);
    if (!v) return;
    dim *kept = ARENA_ARRAY(g->memory, dim, count);
    if (count) memcpy(kept, elements, count * sizeof *kept);
    graph_value(g, v)->elements = kept;
}

/* One dimension of a broadcast; DIM_NONE if the two do not go together. */
static dim broadcast_dim(dim_table *t, dim a, dim b) {
    if (a == b || dim_equals_const(t, b, 1)) return a;
    if (dim_equals_const(t, a, 1)) return b;
    bool a_const = dim_is_const(t, a, NULL), b_const = dim_is_const(t, b, NULL);
    if (a_const && b_const) return DIM_NONE;
    if (a_const) return a;
    if (b_const) return b;
    return dim_max(t, a, b);
}

bool op_broadcast(graph *g, node_id n, uint32_t count, const type *const *types, int *rank,
                  dim *dims) {
    *rank = 0;
    for (uint32_t i = 0; i < count; i++)
        if (types[i]->rank > *rank) *rank = types[i]->rank;
    for (int i = 0; i < *rank; i++) {
        dims[i] = dim_const(g->dims, 1);
        for (uint32_t j = 0; j < count; j++) {
            int own = i - (*rank - types[j]->rank);
            if (own < 0) continue;
            dim d = broadcast_dim(g->dims, dims[i], types[j]->dims[own]);
            if (!d)
                return op_error(g, n, NULL, "dimensions %s and %s of axis %d cannot be broadcast",
                                dim_text(g->dims, g->memory, dims[i]),
                                dim_text(g->dims, g->memory, types[j]->dims[own]), i);
            dims[i] = d;
        }
    }
    return true;
}

bool op_axis(graph *g, node_id n, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank)
        return op_error(g, n, NULL, "axis %lld is outside of [%d, %d)", (long long)axis, -rank,
                        rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

bool op_const_ints(graph *g, node_id n, uint32_t input, const char *attribute, const int64_t **data,
                   size_t *count) {
    value_id v = graph_input(g, n, input);
    const node *nd = graph_node(g, n);
    if (!v) {
        const attr *a = attribute ? node_attr(nd, attribute) : NULL;
        if (!a || a->kind != ATTR_INTS) return false;
        *data = a->ints;
        *count = a->count;
        return true;
    }
    const value *val = graph_value(g, v);
    const dim *elements = val->constant ? NULL : graph_elements(g, v, count);
    int64_t total_elements;
    if (val->constant) {
        /* Read directly: numbers here may be larger than any dimension. */
        dim total = type_elements(g->dims, &val->type);
        if (val->type.kind != TYPE_TENSOR || !dtype_is_integer(val->type.dtype) ||
            !dim_is_const(g->dims, total, &total_elements) || total_elements > 65536)
            return false;
        *count = (size_t)total_elements;
    } else if (!elements) {
        return false;
    }
    int64_t *ints = ARENA_ARRAY(g->memory, int64_t, *count);
    for (size_t i = 0; i < *count; i++) {
        if (val->constant)
            ints[i] = value_int(val, g->dims, i);
        else if (!dim_is_const(g->dims, elements[i], &ints[i]))
            return false;
    }
    *data = ints;
    return true;
}
