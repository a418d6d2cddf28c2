/* import.c: the model, its graphs, types and dimension settings. Nodes are import_node.c's
 * business. */
#include "frontend/import_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GRAPH_DEPTH = 32 };

int import_opset(const importer *im, const char *domain) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t i = 0; i < im->opset_count; i++) {
        const char *own = import_text(im->opsets[i]->domain);
        if (strcmp(own, "ai.onnx") == 0) own = "";
        if (strcmp(own, domain) == 0 && im->opsets[i]->version > 0 &&
            im->opsets[i]->version < 10000)
            return (int)im->opsets[i]->version;
    }
    return *domain ? 1 : 0;
}

/* ---- types ---- */

static dim import_dim(importer *im, const Onnx__TensorShapeProto__Dimension *p, const char *name,
                      int axis) {
    dim_table *t = im->g->dims;
    if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        p->dim_value >= 0 && p->dim_value <= DIM_MAX)
        return dim_const(t, p->dim_value);
    if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
        const char *text = import_text(p->dim_param);
        if (*text && strcmp(text, "-1") != 0 && strcmp(text, "?") != 0 && strlen(text) < 200) {
            const char *at = text;
            dim d = strpbrk(text, "+-*/(") ? dim_parse(t, &at) : DIM_NONE;
            if (d && !*at) return d;
            return dim_make_symbol(t, text, 1, DIM_MAX);
        }
    }
    return dim_make_symbol(t, arena_printf(im->g->memory, "%s_dim_%d", name, axis), 1, DIM_MAX);
}

static bool import_tensor_type(importer *im, const Onnx__TypeProto__Tensor *p, const char *name,
                               type *out) {
    if (p->elem_type <= 0 || p->elem_type >= DTYPE_COUNT)
        return diag_error(im->g->diag, name, NULL, NULL, "element type %d is unknown",
                          p->elem_type);
    *out = (type){.kind = TYPE_TENSOR, .dtype = (dtype)p->elem_type, .rank = -1};
    if (!p->shape) return true;
    if (p->shape->n_dim > TENSOR_MAX_RANK)
        return diag_error(im->g->diag, name, NULL, NULL, "rank %zu is over the %d supported",
                          p->shape->n_dim, TENSOR_MAX_RANK);
    dim *dims = ARENA_ARRAY(im->g->memory, dim, p->shape->n_dim);
    for (size_t i = 0; i < p->shape->n_dim; i++)
        dims[i] = import_dim(im, p->shape->dim[i], name, (int)i);
    out->rank = (int)p->shape->n_dim;
    out->dims = dims;
    return true;
}

bool import_type(importer *im, const Onnx__TypeProto *p, const char *name, type *out) {
    enum { MAX_NESTING = 8 };
    type *inner = ARENA_NEW(im->g->memory, type);
    const Onnx__TypeProto *element = NULL;
    if (im->depth > MAX_GRAPH_DEPTH + MAX_NESTING)
        return diag_error(im->g->diag, name, NULL, NULL, "the type is nested too deeply");
    *out = (type){.kind = TYPE_NONE, .rank = -1};
    if (!p) return true;
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        return import_tensor_type(im, p->tensor_type, name, out);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        out->kind = TYPE_SEQUENCE;
        element = p->sequence_type->elem_type;
        break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        out->kind = TYPE_OPTIONAL;
        element = p->optional_type->elem_type;
        break;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        out->kind = TYPE_MAP;
        out->dtype = (dtype)p->map_type->key_type;
        element = p->map_type->value_type;
        break;
    default: return diag_error(im->g->diag, name, NULL, NULL, "its kind of type is not supported");
    }
    im->depth++;
    bool ok = import_type(im, element, name, inner);
    im->depth--;
    out->element = inner;
    return ok;
}

/* ---- graphs ---- */

/* A large constant of one repeated element is kept as that element. */
static void find_splat(blob *b, size_t width) {
    enum { LEAST = 64 };
    const unsigned char *p = b->data;
    if (b->splat || b->bytes < LEAST * width || b->bytes % width) return;
    if (memcmp(p, p + width, b->bytes - width) != 0) return;
    b->splat = true;
    b->bytes = width;
}

static bool import_initializer(importer *im, const char *name, const load_tensor_result *t,
                               import_scope *scope) {
    blob data = t->data;
    if (t->rank > TENSOR_MAX_RANK)
        return diag_error(im->g->diag, name, NULL, NULL, "rank %d is over the %d supported",
                          t->rank, TENSOR_MAX_RANK);
    if (t->dtype != DTYPE_STRING) find_splat(&data, dtype_bytes(t->dtype));
    value_id v =
        graph_add_constant(im->g, name, type_tensor_const(im->g, t->dtype, t->rank, t->dims), data);
    return import_add_name(im->g->memory, scope, name, v) ||
           diag_error(im->g->diag, name, NULL, NULL, "the name is used twice");
}

static bool import_initializers(importer *im, const Onnx__GraphProto *p, import_scope *scope) {
    bool ok = true;
    load_tensor_result t;
    for (size_t i = 0; i < p->n_initializer; i++)
        ok &= load_tensor(&im->model->files, p->initializer[i], NULL, &t) &&
              import_initializer(im, import_text(p->initializer[i]->name), &t, scope);
    for (size_t i = 0; i < p->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = p->sparse_initializer[i]->values;
        const char *name = import_text(values ? values->name : NULL);
        ok &= load_sparse_tensor(&im->model->files, p->sparse_initializer[i], NULL, &t) &&
              t.rank <= TENSOR_MAX_RANK && import_initializer(im, name, &t, scope);
    }
    return ok;
}

static bool import_inputs(importer *im, const Onnx__GraphProto *p, region_id r,
                          import_scope *scope) {
    bool ok = true;
    import_scope own = *scope;
    own.outer = NULL;
    for (size_t i = 0; i < p->n_input; i++) {
        const char *name = import_text(p->input[i]->name);
        type t;
        if (import_find_name(&own, name)) continue; /* an initializer gives it its value */
        if (!import_type(im, p->input[i]->type, name, &t)) {
            ok = false;
            continue;
        }
        value_id v = graph_add_value(im->g, name, t);
        list_push(im->g->memory, &graph_region(im->g, r)->inputs, v);
        if (!import_add_name(im->g->memory, scope, name, v))
            ok = diag_error(im->g->diag, name, NULL, NULL, "the name is used twice");
    }
    return ok;
}

/* A constant dimension that the model declares for one of its results bounds a size that the data
 * tell. */
static void bound_by_declared(importer *im, const Onnx__TypeProto *p, value_id v) {
    const type *t = graph_type(im->g, v);
    if (!p || p->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || t->kind != TYPE_TENSOR)
        return;
    const Onnx__TensorShapeProto *shape = p->tensor_type->shape;
    if (!shape || shape->n_dim != (size_t)t->rank) return;
    for (int i = 0; i < t->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *size = shape->dim[i];
        int64_t low, high;
        if (size->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
            dim_op_of(im->g->dims, t->dims[i]) != DIM_SYMBOL)
            continue;
        dim_symbol s = dim_symbol_of(im->g->dims, t->dims[i]);
        dim_symbol_bounds(im->g->dims, s, &low, &high);
        if (!graph_is_from_caller(im->g, s) && high == DIM_MAX && size->dim_value >= low &&
            size->dim_value < high)
            dim_set_bounds(im->g->dims, s, low, size->dim_value);
    }
}

static bool import_outputs(importer *im, const Onnx__GraphProto *p, region_id r,
                           const import_scope *scope) {
    bool ok = true;
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = import_text(p->output[i]->name);
        value_id v = import_find_name(scope, name);
        if (!v)
            ok = diag_error(im->g->diag, name, NULL, NULL, "the graph's output is made by no node");
        else
            list_push(im->g->memory, &graph_region(im->g, r)->outputs, v);
        graph_port port = {.name = name, .kind = TYPE_TENSOR, .present = true, .count = 1};
        if (r != GRAPH_MAIN) continue;
        list_push(im->g->memory, &im->g->output_ports, port);
        if (v) bound_by_declared(im, p->output[i]->type, v);
    }
    return ok;
}

/* Goes on after a bad node, to report them all; its outputs have no type, and those who read them
 * keep still. */
static void import_nodes(importer *im, const Onnx__GraphProto *p, region_id r,
                         import_scope *scope) {
    import_scope declared = {.outer = NULL};
    const importer outer = *im;
    im->proto = p;
    im->declared = &declared;
    for (size_t i = 0; i < p->n_output; i++)
        import_add_name(im->g->memory, &declared, import_text(p->output[i]->name),
                        (value_id)(i + 1));
    for (size_t i = 0; i < p->n_node; i++) (void)import_one_node(im, p->node[i], r, scope);
    im->proto = outer.proto;
    im->declared = outer.declared;
}

bool import_graph_nodes(importer *im, const Onnx__GraphProto *p, region_id r, import_scope *scope) {
    if (++im->depth > MAX_GRAPH_DEPTH)
        return diag_error(im->g->diag, NULL, NULL, NULL, "graphs are nested deeper than %d",
                          MAX_GRAPH_DEPTH);
    bool ok = import_initializers(im, p, scope);
    if (ok) import_nodes(im, p, r, scope);
    im->depth--;
    return ok;
}

bool import_graph(importer *im, const Onnx__GraphProto *p, region_id r, import_scope *scope) {
    return import_inputs(im, p, r, scope) && import_graph_nodes(im, p, r, scope) &&
           import_outputs(im, p, r, scope);
}

/* ---- the model ---- */

/* Operators of an opset that is newer than the schema are taken in the newest meaning known. */
static void warn_of_newer_opset(const importer *im) {
    int opset = import_opset(im, "");
    if (opset > schema_newest_opset)
        diag_warning(im->g->diag, NULL, NULL, "export with an older opset if results differ",
                     "the model imports opset %d, the newest known is %d", opset,
                     schema_newest_opset);
}

static graph *import_loaded(load_model_result *m, const import_options *options, arena *a, diag *d,
                            void **files) {
    *files = m;
    if (!m) return NULL;
    const Onnx__GraphProto *p = m->proto->graph;
    import_scope scope = {.outer = NULL};
    importer im = {.model = m,
                   .opsets = (const Onnx__OperatorSetIdProto *const *)m->proto->opset_import,
                   .opset_count = m->proto->n_opset_import};
    im.g = graph_create(a, d, import_text(p->name));
    warn_of_newer_opset(&im);
    bool ok = import_initializers(&im, p, &scope) && import_model_inputs(&im, options, p, &scope);
    if (ok) import_nodes(&im, p, GRAPH_MAIN, &scope);
    ok = ok && (d->error_count || import_check_settings(&im));
    ok = ok && !d->error_count && import_outputs(&im, p, GRAPH_MAIN, &scope);
    return ok && !d->error_count && graph_sort(im.g) ? im.g : NULL;
}

graph *import_model(const char *path, const import_options *options, arena *a, diag *d,
                    void **files) {
    return import_loaded(load_model(path, a, d), options, a, d, files);
}

graph *import_model_bytes(wire_span bytes, const import_options *options, arena *a, diag *d,
                          void **files) {
    return import_loaded(load_model_bytes(bytes, NULL, a, d), options, a, d, files);
}

void import_close(void *files) {
    load_close(files);
}
