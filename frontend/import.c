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
              t.rank <= TENSOR_MAX_RANK &&
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
        if (r == GRAPH_MAIN && t.kind == TYPE_TENSOR && t.rank < 0)
            ok = diag_error(im->g->diag, name, NULL, "give the input a shape in the model",
                            "the input has no rank");
        value_id v = graph_add_value(im->g, name, t);
        list_push(im->g->memory, &graph_region(im->g, r)->inputs, v);
        if (!import_add_name(im->g->memory, scope, name, v))
            ok = diag_error(im->g->diag, name, NULL, NULL, "the name is used twice");
    }
    return ok;
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

/* ---- dimension settings ---- */

static bool parse_size(const char **p, int64_t *out) {
    char *end;
    errno = 0;
    long long n = strtoll(*p, &end, 10);
    if (end == *p || errno || n < 0 || n > DIM_MAX) return false;
    *p = end;
    *out = n;
    return true;
}

/* "8", "1..512" or "1,8" as bounds. */
static bool parse_setting(const char *p, int64_t *low, int64_t *high) {
    if (!parse_size(&p, low)) return false;
    *high = *low;
    if (strncmp(p, "..", 2) == 0) {
        p += 2;
        return parse_size(&p, high) && !*p && *low <= *high;
    }
    while (*p == ',') {
        int64_t n;
        p++;
        if (!parse_size(&p, &n)) return false;
        *low = n < *low ? n : *low;
        *high = n > *high ? n : *high;
    }
    return !*p;
}

static const char *symbol_list(const graph *g) {
    const char *text = "";
    for (dim_symbol s = 0; s < dim_symbol_count(g->dims); s++)
        text = arena_printf(g->memory, "%s%s%s", text, s ? ", " : "", dim_symbol_name(g->dims, s));
    return *text ? text : "none";
}

static bool apply_setting(graph *g, const char *setting) {
    const char *equals = strchr(setting, '=');
    int64_t low, high;
    dim_symbol s;
    if (!equals || !parse_setting(equals + 1, &low, &high))
        return diag_error(g->diag, NULL, NULL, NULL,
                          "--dim %s: SYMBOL=8, SYMBOL=1..512 or SYMBOL=1,8 is wanted", setting);
    const char *name = arena_strndup(g->memory, setting, (size_t)(equals - setting));
    if (!dim_find_symbol(g->dims, name, &s))
        return diag_error(g->diag, NULL, NULL, NULL,
                          "--dim %s: the model has no symbol %s; it has: %s", setting, name,
                          symbol_list(g));
    dim_set_bounds(g->dims, s, low, high);
    return true;
}

static bool is_initializer(const Onnx__GraphProto *p, const char *name) {
    for (size_t i = 0; i < p->n_initializer; i++)
        if (strcmp(import_text(p->initializer[i]->name), name) == 0) return true;
    return false;
}

/* Fixes the symbols of an input to the dimensions of a tensor for it. */
static void apply_pin(graph *g, const type *t, const load_tensor_result *pin) {
    for (int i = 0; t->kind == TYPE_TENSOR && t->rank == pin->rank && i < t->rank; i++)
        if (dim_op_of(g->dims, t->dims[i]) == DIM_SYMBOL)
            dim_set_bounds(g->dims, dim_symbol_of(g->dims, t->dims[i]), pin->dims[i], pin->dims[i]);
}

/* Symbols that settings or tensors fix get bounds that meet, before anything is inferred from
 * them. */
static bool apply_settings(importer *im, const import_options *options, const Onnx__GraphProto *p) {
    graph *g = im->g;
    bool ok = true;
    size_t number = 0;
    for (size_t i = 0; i < p->n_input; i++) {
        type t;
        if (is_initializer(p, import_text(p->input[i]->name)) || !p->input[i]->type) continue;
        ok &= import_type(im, p->input[i]->type, import_text(p->input[i]->name), &t);
        if (ok && options && number < options->pin_count) apply_pin(g, &t, &options->pins[number]);
        number++;
    }
    for (size_t i = 0; ok && options && i < options->dim_count; i++)
        ok &= apply_setting(g, options->dims[i]);
    return ok;
}

static void fix_inputs(graph *g) {
    const region *main = graph_region(g, GRAPH_MAIN);
    for (size_t i = 0; i < main->inputs.count; i++) {
        type *t = &graph_value(g, main->inputs.data[i])->type;
        dim *dims = ARENA_ARRAY(g->memory, dim, t->rank > 0 ? (size_t)t->rank : 0);
        for (int j = 0; t->kind == TYPE_TENSOR && j < t->rank; j++)
            dims[j] = dim_substitute(g->dims, t->dims[j], NULL);
        if (t->kind == TYPE_TENSOR && t->rank > 0) t->dims = dims;
    }
}

/* Known elements for a small integer input. */
static void fix_value(graph *g, value_id v, const load_tensor_result *pin) {
    enum { MOST = 64 };
    const type *t = graph_type(g, v);
    size_t count;
    bool whole = t->kind == TYPE_TENSOR && (dtype_is_integer(t->dtype) || t->dtype == DTYPE_BOOL);
    if (!whole || t->rank > 1 || t->dtype != pin->dtype ||
        !load_count_elements(pin->rank, pin->dims, &count) || count > MOST)
        return;
    const value data = {.type = {.dtype = pin->dtype}, .constant = &pin->data};
    dim *elements = ARENA_ARRAY(g->memory, dim, count);
    for (size_t i = 0; i < count; i++) {
        int64_t n = value_int(&data, g->dims, i);
        if (n > DIM_MAX || n < -DIM_MAX) return;
        elements[i] = dim_const(g->dims, n);
    }
    graph_value(g, v)->elements = elements;
}

static void fix_values(graph *g, const import_options *options) {
    const region *main = graph_region(g, GRAPH_MAIN);
    for (size_t i = 0;
         options && options->pin_values && i < main->inputs.count && i < options->pin_count; i++)
        fix_value(g, main->inputs.data[i], &options->pins[i]);
}

graph *import_model(const char *path, const import_options *options, arena *a, diag *d,
                    void **files) {
    load_model_result *m = load_model(path, a, d);
    if (!m) return NULL;
    *files = m;
    const Onnx__GraphProto *p = m->proto->graph;
    import_scope scope = {.outer = NULL};
    importer im = {.model = m,
                   .opsets = (const Onnx__OperatorSetIdProto *const *)m->proto->opset_import,
                   .opset_count = m->proto->n_opset_import};
    im.g = graph_create(a, d, import_text(p->name));
    bool ok = apply_settings(&im, options, p) && import_initializers(&im, p, &scope) &&
              import_inputs(&im, p, GRAPH_MAIN, &scope);
    if (ok) fix_inputs(im.g);
    if (ok) fix_values(im.g, options);
    if (ok) import_nodes(&im, p, GRAPH_MAIN, &scope);
    ok = ok && !d->error_count && import_outputs(&im, p, GRAPH_MAIN, &scope);
    return ok && !d->error_count && graph_sort(im.g) ? im.g : NULL;
}

void import_close(void *files) {
    load_close(files);
}
