/* gradient.c: Gradient of ai.onnx.preview.training, spelt as the derivative of the nodes between
 * its tensors: the chain rule from y back to each x. The importer has looked the names up that the
 * node has for tensors: behind its own inputs stand the values of xs, of zs, and y. */
#include "ir/ops/spell.h"

#include <assert.h>
#include <string.h>

/* The derivative by each input, in reverse Polish notation: g is the derivative by the result, y
 * the result, a and b the inputs; + - * / take two, n negates, @ is a matrix product, t a
 * transposition, p 1 where positive and else 0, s the sigmoid, c the cosine, S the sine. */
static const struct {
    const char *op;
    const char *by[2];
} rules[] = {
    {"Add", {"g", "g"}},
    {"Cos", {"gaS*n"}},
    {"Div", {"gb/", "gy*b/n"}},
    {"Exp", {"gy*"}},
    {"Identity", {"g"}},
    {"Log", {"ga/"}},
    {"MatMul", {"gbt@", "atg@"}},
    {"Mul", {"gb*", "ga*"}},
    {"Neg", {"gn"}},
    {"Reciprocal", {"gy*y*n"}},
    {"Relu", {"gap*"}},
    {"Sigmoid", {"gy*1y-*"}},
    {"Sin", {"gac*"}},
    {"Softplus", {"gas*"}},
    {"Sqrt", {"gyy+/"}},
    {"Sub", {"g", "gn"}},
    {"Tanh", {"g1yy*-*"}},
};

static const struct {
    char token;
    const char *op;
    int inputs;
} operators[] = {{'+', "Add", 2},     {'-', "Sub", 2},    {'*', "Mul", 2},
                 {'/', "Div", 2},     {'@', "MatMul", 2}, {'n', "Neg", 1},
                 {'s', "Sigmoid", 1}, {'c', "Cos", 1},    {'S', "Sin", 1}};

/* What the work on one node keeps of each value. */
typedef struct {
    node_id n;        /* the Gradient */
    value_id *stands; /* the value that it is in the copy: itself if nothing was copied */
    value_id *slope;  /* derivative of y by it, as far as it is summed up; 0: none yet */
    bool *varies;     /* depends on an x or z */
    bool *needed;     /* y depends on it */
    size_t count;
} chain;

static value_id push_token(graph *g, node_id n, const node *f, value_id slope, char token,
                           value_id *stack, int *depth) {
    dtype t = graph_type(g, slope)->dtype;
    switch (token) {
    case 'g': return slope;
    case 'y': return f->outputs[0];
    case 'a': return f->inputs[0];
    case 'b': return f->inputs[1];
    case '1': return kit_build_cast(g, n, spell_number(g, DTYPE_F32, 1), t);
    case 't': return spell_transposed(g, n, stack[--*depth]);
    case 'p': {
        value_id zero = kit_build_cast(g, n, spell_number(g, DTYPE_F32, 0), t);
        return kit_build_cast(g, n, kit_build2(g, n, "Greater", stack[--*depth], zero), t);
    }
    default: break;
    }
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (operators[i].token != token) continue;
        *depth -= operators[i].inputs;
        return kit_build(g, n, operators[i].op, (uint32_t)operators[i].inputs, stack + *depth, 0,
                         NULL);
    }
    assert(!"a rule is wrong");
    return 0;
}

static value_id evaluate(graph *g, node_id n, const node *f, value_id slope, const char *rule) {
    value_id stack[8];
    int depth = 0;
    for (; *rule; rule++) {
        value_id v = push_token(g, n, f, slope, *rule, stack, &depth);
        if (!v) return 0;
        stack[depth++] = v;
    }
    return stack[0];
}

/* Sums a derivative over the axes along which x was repeated. */
static value_id sum_to(graph *g, node_id n, value_id v, value_id x) {
    const type from = *graph_type(g, v), to = *graph_type(g, x);
    int64_t axes[TENSOR_MAX_RANK], count = 0;
    int missing = from.rank - to.rank;
    for (int i = 0; i < from.rank; i++) {
        dim own = i < missing ? 0 : to.dims[i - missing];
        if (own && (own == from.dims[i] || dim_low(g->dims, own) > 1)) continue;
        if (own && !dim_equals_const(g->dims, own, 1)) {
            op_error(g, n, "fix symbolic dimensions with --dim",
                     "whether an operand is repeated along axis %d is not known", i);
            return 0;
        }
        axes[count++] = i;
    }
    if (!count) return v;
    value_id inputs[] = {v, kit_ints(g, axes, count)};
    v = kit_build(g, n, "ReduceSum", 2, inputs, 0, NULL);
    return kit_build2(g, n, "Reshape", v, kit_build1(g, n, "Shape", x));
}

/* A tensor of x's shape and type that holds one number. */
static value_id filled(graph *g, node_id n, value_id x, double number) {
    int64_t one = 1;
    value_id *v = ARENA_NEW(g->memory, value_id);
    *v = graph_add_constant_floats(g, NULL, DTYPE_F32, 1, &one, &number);
    attr value = {.name = "value", .kind = ATTR_TENSOR, .count = 1, .tensors = v};
    value_id shape = kit_build1(g, n, "Shape", x);
    value_id made = kit_build(g, n, "ConstantOfShape", 1, &shape, 1, &value);
    return kit_build_cast(g, n, made, graph_type(g, x)->dtype);
}

/* Adds what node f contributes to the derivatives by its inputs. */
static bool step_back(graph *g, chain *c, node_id f) {
    node nd = *graph_node(g, f);
    value_id slope = c->slope[nd.outputs[0]], own[2] = {0}, given[2] = {0}, out;
    if (!slope) return true;
    size_t row = 0, rows = sizeof rules / sizeof *rules;
    while (row < rows && (*nd.op->domain || strcmp(rules[row].op, nd.op->name) != 0)) row++;
    if (row == rows || nd.input_count > 2)
        return op_error(g, c->n, NULL, "there is no rule for the derivative of %s", nd.op->name);
    for (uint32_t i = 0; i < nd.input_count; i++) {
        given[i] = nd.inputs[i];
        own[i] = c->stands[nd.inputs[i]];
    }
    out = c->stands[nd.outputs[0]];
    nd.inputs = own;
    nd.outputs = &out;
    for (uint32_t i = 0; i < nd.input_count; i++) {
        if (!c->varies[given[i]]) continue;
        if (strcmp(nd.op->name, "MatMul") == 0 && graph_type(g, own[i])->rank < 2)
            return op_error(g, c->n, NULL, "the derivative of a product with a vector");
        value_id part = evaluate(g, c->n, &nd, slope, rules[row].by[i]);
        part = part ? sum_to(g, c->n, part, own[i]) : 0;
        value_id *sum = &c->slope[given[i]];
        *sum = *sum ? kit_build2(g, c->n, "Add", *sum, part) : part;
        if (!*sum) return false;
    }
    return true;
}

/* A copy of f whose inputs are those of the copy. */
static bool copy_node(graph *g, chain *c, node_id f) {
    const node nd = *graph_node(g, f);
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, nd.input_count);
    value_id *outputs = ARENA_ARRAY(g->memory, value_id, nd.output_count);
    for (uint32_t i = 0; i < nd.input_count; i++) inputs[i] = c->stands[nd.inputs[i]];
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        outputs[i] = graph_add_value(g, NULL, (type){.kind = TYPE_NONE, .rank = -1});
        c->stands[nd.outputs[i]] = outputs[i];
    }
    node_id made = graph_add_node(g, graph_node(g, c->n)->region, c->n, nd.op, "", nd.input_count,
                                  inputs, nd.output_count, outputs, nd.attr_count, nd.attrs);
    return op_infer(g, made);
}

/* Nodes between the sources and y, in order. */
static node_id *find_path(graph *g, chain *c, const value_id *sources, size_t source_count,
                          value_id y, size_t *count) {
    const region *r = graph_region(g, graph_node(g, c->n)->region);
    node_id *path = ARENA_ARRAY(g->memory, node_id, r->nodes.count);
    for (size_t i = 0; i < source_count; i++) c->varies[sources[i]] = true;
    for (size_t i = 0; i < r->nodes.count && r->nodes.data[i] != c->n; i++) {
        const node *f = graph_node(g, r->nodes.data[i]);
        bool varies = false;
        for (uint32_t j = 0; j < f->input_count; j++)
            varies |= f->inputs[j] && c->varies[f->inputs[j]];
        for (uint32_t j = 0; j < f->output_count && varies; j++) c->varies[f->outputs[j]] = true;
    }
    c->needed[y] = true;
    *count = 0;
    size_t at = r->nodes.count;
    while (at-- > 0) {
        const node *f = graph_node(g, r->nodes.data[at]);
        bool source = false, wanted = false;
        for (uint32_t j = 0; j < f->output_count; j++) {
            if (!f->outputs[j]) continue;
            wanted |= c->needed[f->outputs[j]] && c->varies[f->outputs[j]];
            for (size_t s = 0; s < source_count; s++) source |= sources[s] == f->outputs[j];
        }
        if (!wanted || source) continue;
        path[(*count)++] = r->nodes.data[at];
        for (uint32_t j = 0; j < f->input_count; j++)
            if (f->inputs[j]) c->needed[f->inputs[j]] = true;
    }
    for (size_t i = 0; i < *count / 2; i++) {
        node_id kept = path[i];
        path[i] = path[*count - 1 - i];
        path[*count - 1 - i] = kept;
    }
    return path;
}

static bool expand_gradient(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const attr *xs = node_attr(&nd, "xs"), *zs = node_attr(&nd, "zs");
    size_t count = xs->count + (zs ? zs->count : 0), nodes, all = g->values.count;
    if (nd.input_count != 2 * count + 1 || nd.output_count > xs->count)
        return op_error(g, n, NULL, "%zu tensors are named, and it has %u inputs and %u outputs",
                        count, nd.input_count, nd.output_count);
    const value_id *sources = nd.inputs + count, y = nd.inputs[2 * count];
    chain c = {.n = n, .count = all};
    c.stands = ARENA_ARRAY(g->memory, value_id, all);
    c.slope = ARENA_ARRAY(g->memory, value_id, all);
    c.varies = ARENA_ARRAY(g->memory, bool, all);
    c.needed = ARENA_ARRAY(g->memory, bool, all);
    for (size_t i = 0; i < all; i++) c.stands[i] = (value_id)i;
    for (size_t i = 0; i < nd.input_count; i++)
        if (!nd.inputs[i]) return op_error(g, n, NULL, "input %zu is missing", i);
    const node_id *path = find_path(g, &c, sources, count, y, &nodes);
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        same &= nd.inputs[i] == sources[i];
        c.stands[sources[i]] = nd.inputs[i];
    }
    for (size_t i = 0; i < nodes && !same; i++)
        if (!copy_node(g, &c, path[i])) return false;
    c.slope[y] = filled(g, n, c.stands[y], 1);
    for (size_t i = nodes; i-- > 0;)
        if (!step_back(g, &c, path[i])) return false;
    value_id *made = ARENA_ARRAY(g->memory, value_id, nd.output_count);
    for (uint32_t i = 0; i < nd.output_count; i++) {
        made[i] = c.slope[sources[i]];
        if (!made[i]) made[i] = filled(g, n, nd.inputs[i], 0);
    }
    return spell_results(g, n, nd.output_count, made);
}

const op_def ops_gradient[] = {
    {.domain = "ai.onnx.preview.training", .name = "Gradient", .expand = expand_gradient},
};
const size_t ops_gradient_count = sizeof ops_gradient / sizeof *ops_gradient;
