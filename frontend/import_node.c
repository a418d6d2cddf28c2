/* import_node.c: one node of the file: its attributes, its check against the schema, its way
 * through the upgrades into the graph; and calls of functions, which are inlined. */
#include "frontend/import_internal.h"
#include "ir/evaluate.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NODES = 1 << 20, MAX_CALL_DEPTH = 32 };

bool import_error(importer *im, const import_node *n, const char *hint, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(im->g->memory, format, args);
    va_end(args);
    const char *name = *n->name ? n->name : NULL;
    if (!name && n->output_count && n->outputs && n->outputs[0])
        name = graph_value(im->g, n->outputs[0])->name;
    if (!hint) hint = "the file breaks the standard: onnx.checker says more";
    return diag_error(im->g->diag, name, n->source, hint, "%s", message);
}

/* ---- attributes ---- */

static const char *binary_text(importer *im, ProtobufCBinaryData s) {
    return arena_strndup(im->g->memory, s.data ? (const char *)s.data : "", s.len);
}

static bool add_constant(importer *im, const char *name, const load_tensor_result *t,
                         value_id *out) {
    if (t->rank > TENSOR_MAX_RANK)
        return diag_error(im->g->diag, name, NULL, NULL, "rank %d is over the %d supported",
                          t->rank, TENSOR_MAX_RANK);
    *out = graph_add_constant(im->g, *name ? name : NULL,
                              type_tensor_const(im->g, t->dtype, t->rank, t->dims), t->data);
    return true;
}

static bool import_constant(importer *im, const Onnx__TensorProto *p, const char *name,
                            value_id *out) {
    load_tensor_result t;
    return load_tensor(&im->model->files, p, name, &t) && add_constant(im, name, &t, out);
}

static bool is_if(const import_node *n) {
    return !*n->domain && strcmp(n->op, "If") == 0;
}

/* Errors within a branch of an If do not end the import yet: the other branch may be well
 * (check_branches). */
static void take_complaints(importer *im, import_node *n, const char *attribute, size_t items,
                            size_t errors) {
    diag *d = im->g->diag;
    int which = strcmp(attribute, "else_branch") == 0;
    for (size_t i = items; i < d->items.count; i++)
        list_push(im->g->memory, &n->complaints[which], d->items.data[i]);
    d->items.count = items;
    d->error_count = errors;
}

static bool import_region(importer *im, const Onnx__GraphProto *p, import_node *n,
                          const import_scope *scope, attr *out) {
    import_scope inner = {.outer = scope};
    region_id r = graph_add_region(im->g, n->region);
    out->kind = ATTR_REGION;
    out->i = r;
    const size_t items = im->g->diag->items.count, errors = im->g->diag->error_count;
    im->bodies += p->n_input > 0;
    bool ok = import_graph(im, p, r, &inner);
    im->bodies -= p->n_input > 0;
    if (!is_if(n) || im->g->diag->error_count == errors) return ok;
    take_complaints(im, n, out->name, items, errors);
    return true;
}

/* Whether the message is there that the attribute's kind asks for. */
static bool has_value(const Onnx__AttributeProto *p) {
    switch (p->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: return p->t;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH: return p->g;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR: return p->sparse_tensor;
    default: return true;
    }
}

static bool import_attribute_value(importer *im, const Onnx__AttributeProto *p, import_node *n,
                                   const import_scope *scope, attr *out) {
    arena *a = im->g->memory;
    *out = (attr){.name = import_text(p->name)};
    if (!has_value(p)) return import_error(im, n, NULL, "attribute %s has no value", out->name);
    switch (p->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        *out = attr_float(out->name, (double)p->f);
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT: *out = attr_int(out->name, p->i); return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        out->kind = ATTR_STRING;
        out->string = binary_text(im, p->s);
        out->count = p->s.len;
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        *out = attr_ints(out->name, p->ints, p->n_ints);
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS: {
        double *floats = ARENA_ARRAY(a, double, p->n_floats);
        for (size_t i = 0; i < p->n_floats; i++) floats[i] = (double)p->floats[i];
        out->kind = ATTR_FLOATS;
        out->floats = floats;
        out->count = p->n_floats;
        return true;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS: {
        blob_string *strings = ARENA_ARRAY(a, blob_string, p->n_strings);
        for (size_t i = 0; i < p->n_strings; i++)
            strings[i] = (blob_string){binary_text(im, p->strings[i]), p->strings[i].len};
        out->kind = ATTR_STRINGS;
        out->strings = strings;
        out->count = p->n_strings;
        return true;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: {
        value_id *v = ARENA_NEW(a, value_id);
        out->kind = ATTR_TENSOR;
        out->tensors = v;
        out->count = 1;
        return import_constant(im, p->t, "", v);
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
        return import_region(im, p->g, n, scope, out);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO: {
        type *t = ARENA_NEW(a, type);
        out->kind = ATTR_TYPE;
        out->type = t;
        return import_type(im, p->tp, out->name, t);
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR: {
        value_id *v = ARENA_NEW(a, value_id);
        load_tensor_result t;
        out->kind = ATTR_TENSOR;
        out->tensors = v;
        out->count = 1;
        return load_sparse_tensor(&im->model->files, p->sparse_tensor, n->name, &t) &&
               add_constant(im, "", &t, v);
    }
    default:
        return import_error(im, n, NULL, "attribute %s has kind %d, which is not supported",
                            out->name, p->type);
    }
}

/* An attribute, or what a function's caller gave under the name that it refers to. Sets *given to
 * false if the caller gave nothing. */
static bool import_attribute(importer *im, const Onnx__AttributeProto *p, import_node *n,
                             const import_scope *scope, attr *out, bool *given) {
    const char *reference = import_text(p->ref_attr_name);
    *given = true;
    if (!*reference) return import_attribute_value(im, p, n, scope, out);
    for (uint32_t i = 0; im->call && i < im->call->count; i++)
        if (strcmp(im->call->attrs[i].name, reference) == 0) {
            *out = im->call->attrs[i];
            out->name = import_text(p->name);
            return true;
        }
    const Onnx__FunctionProto *f = im->call ? im->call->function : NULL;
    for (size_t i = 0; f && i < f->n_attribute_proto; i++)
        if (strcmp(import_text(f->attribute_proto[i]->name), reference) == 0) {
            bool ok = import_attribute_value(im, f->attribute_proto[i], n, scope, out);
            out->name = import_text(p->name);
            return ok;
        }
    *given = false;
    return true;
}

attr *import_attr(import_node *n, const char *name) {
    for (size_t i = 0; i < n->attrs.count; i++)
        if (strcmp(n->attrs.data[i].name, name) == 0) return &n->attrs.data[i];
    return NULL;
}

void import_drop_attr(import_node *n, const char *name) {
    attr *a = import_attr(n, name);
    if (!a) return;
    size_t at = (size_t)(a - n->attrs.data);
    memmove(a, a + 1, (n->attrs.count - 1 - at) * sizeof *a);
    n->attrs.count--;
}

/* ---- checks ---- */

static int schema_kind_of(attr_kind k) {
    static const int kinds[] = {[ATTR_INT] = SCHEMA_INT,       [ATTR_FLOAT] = SCHEMA_FLOAT,
                                [ATTR_STRING] = SCHEMA_STRING, [ATTR_INTS] = SCHEMA_INTS,
                                [ATTR_FLOATS] = SCHEMA_FLOATS, [ATTR_STRINGS] = SCHEMA_STRINGS,
                                [ATTR_TENSOR] = SCHEMA_TENSOR, [ATTR_REGION] = SCHEMA_GRAPH,
                                [ATTR_TYPE] = SCHEMA_TYPE,     [ATTR_TENSORS] = SCHEMA_TENSORS,
                                [ATTR_REGIONS] = SCHEMA_GRAPHS};
    return kinds[k];
}

static bool check_attributes(importer *im, const import_node *n, const schema_version *s) {
    bool ok = true;
    for (size_t i = 0; i < n->attrs.count; i++) {
        const attr *a = &n->attrs.data[i];
        const schema_attribute *want = schema_find_attribute(s, a->name);
        if (!want) {
            ok = import_error(im, n, NULL, "the operator has no attribute %s", a->name);
        } else if (want->kind != schema_kind_of(a->kind) &&
                   !(want->kind == SCHEMA_SPARSE_TENSOR && a->kind == ATTR_TENSOR)) {
            bool empty = a->count == 0 && (a->kind == ATTR_INTS || a->kind == ATTR_FLOATS ||
                                           a->kind == ATTR_STRINGS);
            if (!empty) ok = import_error(im, n, NULL, "attribute %s has the wrong kind", a->name);
        }
    }
    for (int i = 0; i < s->attribute_count; i++)
        if (s->attributes[i].required && !import_attr((import_node *)n, s->attributes[i].name))
            ok = import_error(im, n, NULL, "the required attribute %s is missing",
                              s->attributes[i].name);
    return ok;
}

static bool check_schema(importer *im, const import_node *n) {
    const schema_op *op = schema_find(n->domain, n->op);
    const schema_version *s = op ? schema_at(op, n->opset) : NULL;
    if (!op) return true; /* not of the standard: its row checks it */
    if (!s)
        return import_error(im, n, "raise the opset of the file",
                            "the operator is not part of opset %d", n->opset);
    bool ok = check_attributes(im, n, s);
    if (n->inputs.count < s->min_input ||
        (s->max_input != UINT16_MAX && n->inputs.count > s->max_input))
        ok = import_error(im, n, NULL, "it has %zu inputs, the operator takes %u to %u",
                          n->inputs.count, s->min_input, s->max_input);
    for (size_t i = 0; i < n->inputs.count && i < s->input_count; i++)
        if (!n->inputs.data[i] && s->inputs[i].option == SCHEMA_SINGLE)
            ok = import_error(im, n, NULL, "its input %s is left out", s->inputs[i].name);
    if (n->output_count < s->min_output ||
        (s->max_output != UINT16_MAX && n->output_count > s->max_output))
        ok = import_error(im, n, NULL, "it has %u outputs, the operator has %u to %u",
                          n->output_count, s->min_output, s->max_output);
    return ok;
}

/* ---- emission ---- */

value_id import_helper(importer *im, const import_node *like, const char *op, uint32_t input_count,
                       const value_id *inputs, uint32_t attr_count, const attr *attrs) {
    value_id out =
        graph_build(im->g, like->region, 0, "", op, input_count, inputs, attr_count, attrs);
    if (out) {
        node *made = graph_node(im->g, graph_value(im->g, out)->producer);
        made->name = like->name;
        made->source = like->source;
    }
    return out;
}

value_id import_ints(importer *im, const int64_t *data, size_t count) {
    int64_t dims[] = {(int64_t)count};
    return graph_add_constant_ints(im->g, NULL, DTYPE_I64, 1, dims, data);
}

/* Whether an input has no type yet, as it comes from an input of the body that the node stands in:
 * the operator that has the body gives it one. */
static bool waits_for_type(const importer *im, const import_node *n) {
    for (size_t i = 0; n->region != GRAPH_MAIN && i < n->inputs.count; i++) {
        if (!n->inputs.data[i]) continue;
        const type *t = graph_type(im->g, n->inputs.data[i]);
        if (t->kind == TYPE_NONE || (t->kind == TYPE_TENSOR && t->rank < 0)) return true;
    }
    return false;
}

/* A body belongs to its node, which types its inputs: what the model declares was for upgrades. */
static void adopt_region(graph *g, region_id r, node_id owner) {
    graph_region(g, r)->owner = owner;
    for (size_t i = 0; i < graph_region(g, r)->inputs.count; i++)
        graph_value(g, graph_region(g, r)->inputs.data[i])->type =
            (type){.kind = TYPE_NONE, .rank = -1};
}

/* Types of the node's results. In the body of a loop they are a first guess: the loop gives its
 * body better ones, and complains then. */
static bool infer_node(importer *im, node_id id) {
    diag *d = im->g->diag;
    const size_t items = d->items.count, errors = d->error_count;
    if (op_infer(im->g, id)) return true;
    if (!im->bodies) return false;
    d->items.count = items;
    d->error_count = errors;
    return true;
}

bool import_emit(importer *im, import_node *n) {
    const op_def *op = op_find(n->domain, n->op);
    assert(op);
    while (n->inputs.count && !n->inputs.data[n->inputs.count - 1]) n->inputs.count--;
    node_id id =
        graph_add_node(im->g, n->region, 0, op, n->name, (uint32_t)n->inputs.count, n->inputs.data,
                       n->output_count, n->outputs, (uint32_t)n->attrs.count, n->attrs.data);
    node *made = graph_node(im->g, id);
    made->source = n->source;
    for (uint32_t i = 0; i < made->attr_count; i++)
        if (made->attrs[i].kind == ATTR_REGION)
            adopt_region(im->g, (region_id)made->attrs[i].i, id);
    if (waits_for_type(im, n)) return true;
    if (!op_check_types(im->g, id) || !infer_node(im, id)) return false;
    graph_evaluate(im->g, id);
    return true;
}

/* Constant: the value itself, under the output's name. */
static bool take_constant(importer *im, import_node *n) {
    graph *g = im->g;
    if (n->attrs.count != 1 || n->output_count != 1)
        return import_error(im, n, NULL, "a Constant has one attribute and one output");
    const attr *a = &n->attrs.data[0];
    value *v = graph_value(g, n->outputs[0]);
    int64_t count[] = {(int64_t)a->count};
    value_id made = 0;
    if (a->kind == ATTR_TENSOR)
        made = a->tensors[0];
    else if (a->kind == ATTR_INT)
        made = graph_add_constant_ints(g, NULL, DTYPE_I64, 0, NULL, &a->i);
    else if (a->kind == ATTR_FLOAT)
        made = graph_add_constant_floats(g, NULL, DTYPE_F32, 0, NULL, &a->f);
    else if (a->kind == ATTR_INTS)
        made = graph_add_constant_ints(g, NULL, DTYPE_I64, 1, count, a->ints);
    else if (a->kind == ATTR_FLOATS)
        made = graph_add_constant_floats(g, NULL, DTYPE_F32, 1, count, a->floats);
    if (made) {
        v = graph_value(g, n->outputs[0]);
        v->type = *graph_type(g, made);
        v->constant = graph_value(g, made)->constant;
        return true;
    }
    blob_string *one = ARENA_NEW(g->memory, blob_string);
    *one = (blob_string){a->string, a->count};
    bool list = a->kind == ATTR_STRINGS;
    blob *b = ARENA_NEW(g->memory, blob);
    *b = (blob){list ? a->strings : one, (list ? a->count : 1) * sizeof *one, false};
    v->type = type_tensor_const(g, DTYPE_STRING, list, count);
    v->constant = b;
    return true;
}

/* ---- functions ---- */

static bool add_identity(importer *im, const import_node *like, value_id from, value_id to) {
    import_node identity = *like;
    value_id in[] = {from}, out[] = {to};
    identity.domain = "";
    identity.op = "Identity";
    identity.inputs.data = in;
    identity.inputs.count = identity.inputs.capacity = 1;
    identity.attrs.count = 0;
    identity.outputs = out;
    identity.output_count = 1;
    return import_emit(im, &identity);
}

static const Onnx__FunctionProto *find_function(const importer *im, const char *domain,
                                                const char *op) {
    const Onnx__ModelProto *m = im->model->proto;
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(import_text(m->functions[i]->name), op) == 0 &&
            strcmp(import_text(m->functions[i]->domain), domain) == 0)
            return m->functions[i];
    return NULL;
}

static const Onnx__FunctionProto *standard_function(importer *im, const import_node *n) {
    const schema_op *op = schema_find(n->domain, n->op);
    const schema_version *s = op ? schema_at(op, n->opset) : NULL;
    const schema_function *f = s ? schema_find_function(s, n->opset) : NULL;
    return f ? load_function((wire_span){f->bytes, f->size}, im->g->memory, im->g->diag) : NULL;
}

/* The body's nodes take the place of the call; its names are its own. */
bool import_function_call(importer *im, const import_node *n, const Onnx__FunctionProto *f) {
    import_scope scope = {.outer = NULL};
    import_call call = {f, n->attrs.data, (uint32_t)n->attrs.count};
    importer inner = *im;
    bool ok = true;
    if (im->depth >= MAX_CALL_DEPTH)
        return import_error(im, n, NULL, "functions call each other deeper than %d, or themselves",
                            MAX_CALL_DEPTH);
    if (n->inputs.count > f->n_input || n->output_count > f->n_output)
        return import_error(im, n, NULL, "the function takes %zu inputs and has %zu outputs",
                            f->n_input, f->n_output);
    inner.depth++;
    inner.call = &call;
    inner.opsets = (const Onnx__OperatorSetIdProto *const *)f->opset_import;
    inner.opset_count = f->n_opset_import;
    for (size_t i = 0; i < f->n_input; i++)
        ok &= import_add_name(im->g->memory, &scope, import_text(f->input[i]),
                              i < n->inputs.count ? n->inputs.data[i] : 0);
    for (size_t i = 0; i < f->n_node; i++)
        ok &= import_one_node(&inner, f->node[i], n->region, &scope);
    im->expanded = inner.expanded;
    for (uint32_t i = 0; ok && i < n->output_count; i++) {
        value_id made = import_find_name(&scope, import_text(f->output[i]));
        if (!made) return import_error(im, n, NULL, "the function does not make its output %u", i);
        if (!n->outputs[i]) continue;
        ok &= add_identity(im, n, made, n->outputs[i]);
    }
    return ok;
}

/* ---- branches ---- */

/* The branch that an If takes, where its condition follows from shapes and constants: the other
 * one, which may not even fit the shapes, is never looked at. NULL if the condition is open. */
static const Onnx__GraphProto *taken_branch(importer *im, const Onnx__NodeProto *p,
                                            const import_node *n) {
    size_t count;
    int64_t condition;
    if (*n->domain || strcmp(n->op, "If") != 0 || n->inputs.count != 1) return NULL;
    const dim *known = graph_elements(im->g, n->inputs.data[0], &count);
    if (!known || count != 1 || !dim_is_const(im->g->dims, known[0], &condition)) return NULL;
    const char *name = condition ? "then_branch" : "else_branch";
    for (size_t i = 0; i < p->n_attribute; i++)
        if (strcmp(import_text(p->attribute[i]->name), name) == 0) return p->attribute[i]->g;
    return NULL;
}

static size_t branch_results(importer *im, region_id r, int *rank) {
    const region *reg = graph_region(im->g, r);
    const type *t = reg->outputs.count ? graph_type(im->g, reg->outputs.data[0]) : NULL;
    *rank = t && t->kind == TYPE_TENSOR ? t->rank : -1;
    return reg->outputs.count;
}

/* A branch that cannot be run with these shapes becomes a run-time error, with results of the other
 * branch's types. */
static void make_unreachable(importer *im, region_id bad, region_id good) {
    graph *g = im->g;
    region *r = graph_region(g, bad);
    for (size_t i = 0; i < r->nodes.count; i++) graph_node(g, r->nodes.data[i])->region = 0;
    r->nodes.count = r->outputs.count = 0;
    for (size_t i = 0; i < graph_region(g, good)->outputs.count; i++) {
        value_id out = graph_add_value(g, "unreachable",
                                       *graph_type(g, graph_region(g, good)->outputs.data[i]));
        graph_add_node(g, bad, 0, op_find(OP_INTERNAL, "Unreachable"), "", 0, NULL, 1, &out, 0,
                       NULL);
        list_push(g->memory, &graph_region(g, bad)->outputs, out);
    }
}

/* An If is well if one of its branches is: the other one then is an error of the run. So it is
 * where the branches have results of different ranks, as exporters write a squeeze of an axis that
 * may have one element: the first branch is meant. */
static bool check_branches(importer *im, import_node *n) {
    diag *d = im->g->diag;
    const attr *then = import_attr(n, "then_branch"), *other = import_attr(n, "else_branch");
    int ranks[2];
    if (!then || !other || then->kind != ATTR_REGION || other->kind != ATTR_REGION) return true;
    region_id branches[] = {(region_id)then->i, (region_id)other->i};
    bool bad[] = {n->complaints[0].count > 0, n->complaints[1].count > 0};
    if (bad[0] && bad[1]) {
        for (size_t i = 0; i < n->complaints[0].count; i++) diag_add(d, n->complaints[0].data[i]);
        return false;
    }
    if (!bad[0] && !bad[1]) {
        size_t results = branch_results(im, branches[0], &ranks[0]);
        bad[1] = branch_results(im, branches[1], &ranks[1]) == results && ranks[0] != ranks[1];
    }
    if (!bad[0] && !bad[1]) return true;
    make_unreachable(im, branches[bad[1]], branches[bad[0]]);
    return true;
}

static bool import_taken_branch(importer *im, const import_node *n, const Onnx__GraphProto *p,
                                const import_scope *outer) {
    import_scope scope = {.outer = outer};
    if (p->n_output != n->output_count || p->n_input)
        return import_error(im, n, NULL, "a branch has %zu results, the node %u", p->n_output,
                            n->output_count);
    bool ok = import_graph_nodes(im, p, n->region, &scope);
    for (uint32_t i = 0; ok && i < n->output_count; i++) {
        value_id made = import_find_name(&scope, import_text(p->output[i]->name));
        if (!made) return import_error(im, n, NULL, "result %u of a branch is made by no node", i);
        if (n->outputs[i]) ok &= add_identity(im, n, made, n->outputs[i]);
    }
    return ok;
}

/* ---- the node ---- */

static bool import_operands(importer *im, const Onnx__NodeProto *p, import_node *n,
                            import_scope *scope) {
    arena *a = im->g->memory;
    bool ok = true;
    for (size_t i = 0; i < p->n_input; i++) {
        const char *name = import_text(p->input[i]);
        value_id v = *name ? import_find_name(scope, name) : 0;
        /* In a function's body a name without a value is an input that the caller left out. */
        if (*name && !v && !im->call)
            ok = import_error(im, n, "nodes must stand behind those whose results they read",
                              "its input %s is made by no node before it", name);
        list_push(a, &n->inputs, v);
    }
    n->output_count = (uint32_t)p->n_output;
    n->outputs = ARENA_ARRAY(a, value_id, p->n_output);
    return ok;
}

/* The type that the graph declares for a result, if it is one of its outputs and its dimensions are
 * constants: inference falls back on it where only the data would tell a dimension. */
static type declared_type(importer *im, const char *name) {
    const type none = {.kind = TYPE_NONE, .rank = -1};
    value_id i = im->call ? 0 : import_find_name(im->declared, name);
    const Onnx__TypeProto *p = i ? im->proto->output[i - 1]->type : NULL;
    if (!p || p->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return none;
    const Onnx__TensorShapeProto *shape = p->tensor_type->shape;
    if (!shape || p->tensor_type->elem_type <= 0) return none;
    for (size_t a = 0; a < shape->n_dim; a++)
        if (shape->dim[a]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
            shape->dim[a]->dim_value < 0 || shape->dim[a]->dim_value > DIM_MAX)
            return none;
    type t;
    return import_type(im, p, name, &t) ? t : none;
}

static bool import_results(importer *im, const Onnx__NodeProto *p, import_node *n,
                           import_scope *scope) {
    bool ok = true;
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = import_text(p->output[i]);
        if (!*name) continue;
        n->outputs[i] = graph_add_value(im->g, name, declared_type(im, name));
        if (!import_add_name(im->g->memory, scope, name, n->outputs[i]))
            ok = import_error(im, n, NULL, "its output %s has the name of another value", name);
    }
    return ok;
}

static bool import_attributes(importer *im, const Onnx__NodeProto *p, import_node *n,
                              const import_scope *scope) {
    bool ok = true;
    for (size_t i = 0; i < p->n_attribute; i++) {
        attr a;
        bool given;
        if (!import_attribute(im, p->attribute[i], n, scope, &a, &given))
            ok = false;
        else if (given && import_attr(n, a.name))
            ok = import_error(im, n, NULL, "attribute %s is given twice", a.name);
        else if (given)
            list_push(im->g->memory, &n->attrs, a);
    }
    return ok;
}

/* Gradient names tensors of the graph in attributes: their values become inputs, behind its own. */
static bool add_named_operands(importer *im, import_node *n, const import_scope *scope) {
    static const char *const lists[] = {"xs", "zs", "y"};
    if (strcmp(n->domain, "ai.onnx.preview.training") != 0 || strcmp(n->op, "Gradient") != 0)
        return true;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const attr *a = import_attr(n, lists[i]);
        const blob_string one = {a ? a->string : NULL, a ? a->count : 0};
        const blob_string *names = a && a->kind == ATTR_STRINGS ? a->strings : &one;
        size_t count = !a ? 0 : a->kind == ATTR_STRINGS ? a->count : 1;
        for (size_t j = 0; j < count; j++) {
            const char *name = arena_strndup(im->g->memory, names[j].data, names[j].length);
            value_id v = import_find_name(scope, name);
            if (!v)
                return import_error(im, n, NULL,
                                    "attribute %s names %s, which no node before it "
                                    "makes",
                                    lists[i], name);
            list_push(im->g->memory, &n->inputs, v);
        }
    }
    return true;
}

/* What to do about an operator that is not known. */
static const char *hint_for_domain(const char *domain) {
    static const char *const for_one_machine[] = {"com.microsoft.nchwc", "com.ms.internal.nhwc",
                                                  "com.microsoft.dml", "com.ms.internal.nhwc.dml"};
    for (size_t i = 0; i < sizeof for_one_machine / sizeof *for_one_machine; i++)
        if (strcmp(domain, for_one_machine[i]) == 0)
            return "the file was optimised for one processor: write it anew with ONNX Runtime's "
                   "optimization level ORT_ENABLE_EXTENDED, or give the original model";
    return "docs/operators.md lists what is supported";
}

bool import_one_node(importer *im, const Onnx__NodeProto *p, region_id r, import_scope *scope) {
    arena *a = im->g->memory;
    const char *domain = import_text(p->domain);
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    import_node n = {
        .domain = domain, .op = import_text(p->op_type), .name = import_text(p->name), .region = r};
    n.opset = import_opset(im, domain);
    n.source = arena_printf(a, "%s%s%s-%d", domain, *domain ? "." : "", n.op, n.opset);
    if (++im->expanded > MAX_NODES)
        return import_error(im, &n, NULL, "the model has over %d nodes", MAX_NODES);
    bool ok = import_operands(im, p, &n, scope);
    const Onnx__GraphProto *branch = ok ? taken_branch(im, p, &n) : NULL;
    if (branch)
        return import_results(im, p, &n, scope) && import_taken_branch(im, &n, branch, scope);
    ok &= import_attributes(im, p, &n, scope);
    ok &= import_results(im, p, &n, scope);
    if (ok && is_if(&n) && !check_branches(im, &n)) return false;
    const Onnx__FunctionProto *f = find_function(im, domain, n.op);
    if (f) return ok && import_function_call(im, &n, f);
    if (!n.opset)
        return import_error(im, &n, NULL, "the model imports no opset of the operator's domain");
    if (!ok || !check_schema(im, &n) || !add_named_operands(im, &n, scope)) return false;
    if (!*domain && strcmp(n.op, "Constant") == 0) return take_constant(im, &n);
    if (op_find(domain, n.op) || import_has_upgrade(&n)) return import_upgrade(im, &n);
    f = standard_function(im, &n);
    if (f) return import_function_call(im, &n, f);
    return import_error(im, &n, hint_for_domain(domain), "the operator is not supported");
}
