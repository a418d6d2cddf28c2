/* op_check.c: whether a node is what the newest schema of its operator asks for. The importer
 * checks files against the schema of their own opset; this is for graphs that come as text. */
#include "ir/op.h"
#include "ir/schema.h"

#include <string.h>

static bool kind_fits(const schema_attribute *s, const attr *a) {
    static const schema_kind kinds[] = {
        [ATTR_INT] = SCHEMA_INT,        [ATTR_FLOAT] = SCHEMA_FLOAT,
        [ATTR_STRING] = SCHEMA_STRING,  [ATTR_INTS] = SCHEMA_INTS,
        [ATTR_FLOATS] = SCHEMA_FLOATS,  [ATTR_STRINGS] = SCHEMA_STRINGS,
        [ATTR_TENSOR] = SCHEMA_TENSOR,  [ATTR_REGION] = SCHEMA_GRAPH,
        [ATTR_TYPE] = SCHEMA_TYPE,      [ATTR_TENSORS] = SCHEMA_TENSORS,
        [ATTR_REGIONS] = SCHEMA_GRAPHS,
    };
    return s->kind == kinds[a->kind] || (s->kind == SCHEMA_SPARSE_TENSOR && a->kind == ATTR_TENSOR);
}

static bool check_attributes(graph *g, node_id n, const schema_version *s) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->attr_count; i++) {
        const schema_attribute *want = schema_find_attribute(s, nd->attrs[i].name);
        if (!want)
            return op_error(g, n, NULL, "the operator has no attribute %s", nd->attrs[i].name);
        if (!kind_fits(want, &nd->attrs[i]))
            return op_error(g, n, NULL, "attribute %s has the wrong kind", nd->attrs[i].name);
    }
    for (int i = 0; i < s->attribute_count; i++)
        if (s->attributes[i].required && !node_attr(nd, s->attributes[i].name))
            return op_error(g, n, NULL, "the required attribute %s is missing",
                            s->attributes[i].name);
    return true;
}

bool op_check(graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    const schema_op *op = schema_find(nd->op->domain, nd->op->name);
    if (!op) return true; /* not of the standard: its row checks it */
    const schema_version *s = &op->versions[op->version_count - 1];
    if (nd->input_count < s->min_input ||
        (s->max_input != UINT16_MAX && nd->input_count > s->max_input))
        return op_error(g, n, NULL, "it has %u inputs, the operator takes %u to %u",
                        nd->input_count, s->min_input, s->max_input);
    for (uint32_t i = 0; i < nd->input_count && i < s->input_count; i++)
        if (!nd->inputs[i] && s->inputs[i].option == SCHEMA_SINGLE)
            return op_error(g, n, NULL, "its input %s is left out", s->inputs[i].name);
    if (nd->output_count < s->min_output ||
        (s->max_output != UINT16_MAX && nd->output_count > s->max_output))
        return op_error(g, n, NULL, "it has %u outputs, the operator has %u to %u",
                        nd->output_count, s->min_output, s->max_output);
    return check_attributes(g, n, s);
}

/* The parameter of input i: the last one stands for all that follow, if it is variadic. */
static const schema_param *parameter(const schema_version *s, uint32_t i) {
    if (i < s->input_count) return &s->inputs[i];
    const schema_param *last = s->input_count ? &s->inputs[s->input_count - 1] : NULL;
    return last && last->option == SCHEMA_VARIADIC ? last : NULL;
}

/* The first input in front of input i that must have its type; 0 if there is none. */
static value_id same_type(const node *n, const schema_version *s, uint32_t i) {
    const schema_param *own = parameter(s, i);
    for (uint32_t j = 0; j < i; j++) {
        const schema_param *other = parameter(s, j);
        bool free = own->option == SCHEMA_VARIADIC && !own->homogeneous;
        if (n->inputs[j] && !free && strcmp(own->type, other->type) == 0) return n->inputs[j];
    }
    return 0;
}

static bool takes_lists(const schema_types *t) {
    for (int i = SCHEMA_IS_TENSOR + 1; i < SCHEMA_CONTAINER_COUNT; i++)
        if (t->elements[i]) return true;
    return false;
}

bool op_check_types(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const schema_op *op = schema_find(nd.op->domain, nd.op->name);
    const schema_version *s = op ? &op->versions[op->version_count - 1] : NULL;
    for (uint32_t i = 0; s && i < nd.input_count; i++) {
        const schema_param *p = parameter(s, i);
        if (!nd.inputs[i] || !p) continue;
        const type t = *graph_type(g, nd.inputs[i]);
        if (t.kind == TYPE_NONE || (t.kind != TYPE_TENSOR && takes_lists(p->types))) continue;
        if (t.kind != TYPE_TENSOR) return op_error(g, n, NULL, "input %s is not a tensor", p->name);
        if (!(p->types->elements[SCHEMA_IS_TENSOR] >> t.dtype & 1))
            return op_error(g, n, NULL, "input %s has elements of type %s", p->name,
                            dtype_name(t.dtype));
        value_id other = same_type(&nd, s, i);
        const type *o = other ? graph_type(g, other) : NULL;
        if (o && o->kind == TYPE_TENSOR && o->dtype != t.dtype)
            return op_error(g, n, NULL, "input %s has elements of type %s, another one of %s",
                            p->name, dtype_name(t.dtype), dtype_name(o->dtype));
    }
    return true;
}
