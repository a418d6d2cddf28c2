/* graph_parse.c: reads the text form of the graph IR back (docs/graph-ir.md). The text may be
 * hostile: every count, size and depth is checked, and the graph is verified at the end. Where a
 * result has no type, it is inferred, which makes text easy to write by hand. */
#include "ir/graph_parse.h"
#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_REGION_DEPTH = 64, MAX_INT_ATTR = 1 << 20 };

/* ---- names ---- */

static uint32_t hash_name(const char *s) {
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* The slot of the name, or the empty one where it belongs. */
static value_id *find_slot(graph_parser *p, const char *name) {
    size_t mask = p->slot_count - 1, at = hash_name(name) & mask;
    while (p->slots[at] && strcmp(graph_value(p->g, p->slots[at])->name, name) != 0)
        at = (at + 1) & mask;
    return &p->slots[at];
}

static value_id define(graph_parser *p, const char *name, type t) {
    if (p->name_count * 2 >= p->slot_count) {
        value_id *old = p->slots;
        size_t count = p->slot_count;
        p->slot_count = count ? count * 2 : 256;
        p->slots = ARENA_ARRAY(p->lex.memory, value_id, p->slot_count);
        for (size_t i = 0; i < count; i++)
            if (old[i]) *find_slot(p, graph_value(p->g, old[i])->name) = old[i];
    }
    value_id *slot = find_slot(p, name);
    if (*slot) return text_fail(&p->lex, "there are two values %%%s", name);
    *slot = graph_add_value(p->g, name, t);
    p->name_count++;
    return *slot;
}

/* %NAME that is defined already; or, where that may be, _ for none. */
static bool parse_use(graph_parser *p, bool optional, value_id *out) {
    *out = 0;
    if (optional && text_accept(&p->lex, "_")) return true;
    if (!text_expect(&p->lex, "%")) return false;
    const char *name = text_name(&p->lex);
    if (!name) return false;
    *out = p->slot_count ? *find_slot(p, name) : 0;
    return *out || text_fail(&p->lex, "%%%s is defined nowhere before", name);
}

/* A, B, ... up to `end`. */
static bool parse_uses(graph_parser *p, bool optional, const char *end, graph_parse_values *out) {
    while (!text_accept(&p->lex, end)) {
        value_id v;
        if (out->count && !text_expect(&p->lex, ",")) return false;
        if (!parse_use(p, optional, &v)) return false;
        list_push(p->lex.memory, out, v);
    }
    return true;
}

/* ---- definitions ---- */

static bool parse_elements(graph_parser *p, value_id v) {
    LIST(dim) list = {0};
    dim_table *t = p->g->dims;
    const type ty = *graph_type(p->g, v);
    if (!text_expect(&p->lex, "[")) return false;
    while (!text_accept(&p->lex, "]")) {
        dim d;
        if (list.count && !text_expect(&p->lex, ",")) return false;
        if (!graph_parse_dim(p, &d)) return false;
        list_push(p->lex.memory, &list, d);
    }
    dim one = dim_const(t, 1);
    bool fits = ty.kind == TYPE_TENSOR && (dtype_is_integer(ty.dtype) || ty.dtype == DTYPE_BOOL) &&
                ty.rank >= 0 && ty.rank <= 2;
    for (int i = 0; fits && i < ty.rank; i++) one = dim_mul(t, one, ty.dims[i]);
    if (!fits || !dim_equals_const(t, one, (int64_t)list.count))
        return text_fail(&p->lex, "the elements do not fit the type");
    graph_value(p->g, v)->elements = list.data;
    return true;
}

/* %NAME: TYPE of [ELEMENTS], or binds [ELEMENTS]; the type may be left out where it can be
 * inferred. */
static bool parse_definition(graph_parser *p, bool typed, value_id *out) {
    type t = {.kind = TYPE_NONE, .rank = -1};
    if (!text_expect(&p->lex, "%")) return false;
    const char *name = text_name(&p->lex);
    if (!name) return false;
    if (typed && !text_peek(&p->lex, ":")) return text_fail(&p->lex, "a type is missing");
    bool given = text_accept(&p->lex, ":");
    if (given && !graph_parse_type(p, &t)) return false;
    *out = define(p, name, t);
    if (!*out) return false;
    bool binds = given && text_accept(&p->lex, "binds");
    graph_value(p->g, *out)->binds = binds;
    return !given || (!binds && !text_accept(&p->lex, "of")) || parse_elements(p, *out);
}

/* ---- attributes ---- */

static bool parse_int_list(graph_parser *p, attr *a) {
    LIST(int64_t) list = {0};
    while (!text_accept(&p->lex, "]")) {
        int64_t v;
        if (list.count && !text_expect(&p->lex, ",")) return false;
        if (!text_int(&p->lex, &v)) return false;
        list_push(p->lex.memory, &list, v);
    }
    *a = attr_ints(a->name, list.data, list.count);
    return true;
}

static bool parse_floats(graph_parser *p, attr *a) {
    LIST(double) list = {0};
    if (!text_accept(&p->lex, "[")) {
        a->kind = ATTR_FLOAT;
        return text_float(&p->lex, &a->f);
    }
    while (!text_accept(&p->lex, "]")) {
        double v;
        if (list.count && !text_expect(&p->lex, ",")) return false;
        if (!text_float(&p->lex, &v)) return false;
        list_push(p->lex.memory, &list, v);
    }
    a->kind = ATTR_FLOATS;
    a->floats = list.data;
    a->count = list.count;
    return true;
}

static bool parse_tensors(graph_parser *p, attr *a) {
    graph_parse_values list = {0};
    a->kind = ATTR_TENSOR;
    if (text_accept(&p->lex, "[")) {
        a->kind = ATTR_TENSORS;
        if (!parse_uses(p, false, "]", &list)) return false;
    } else {
        value_id v;
        if (!parse_use(p, false, &v)) return false;
        list_push(p->lex.memory, &list, v);
    }
    for (size_t i = 0; i < list.count; i++)
        if (!graph_value(p->g, list.data[i])->constant)
            return text_fail(&p->lex, "an attribute takes constants");
    a->tensors = list.data;
    a->count = list.count;
    return true;
}

static bool parse_region(graph_parser *p, region_id r);

static bool parse_inner_region(graph_parser *p, region_id parent, attr *a) {
    if (++p->depth > MAX_REGION_DEPTH) return text_fail(&p->lex, "regions are nested too deep");
    a->kind = ATTR_REGION;
    a->i = graph_add_region(p->g, parent);
    bool ok = parse_region(p, (region_id)a->i);
    p->depth--;
    return ok;
}

static bool parse_attr(graph_parser *p, region_id r, attr *a) {
    text_lexer *x = &p->lex;
    *a = (attr){.name = text_name(x)};
    if (!a->name || !text_expect(x, "=")) return false;
    if (text_accept(x, "f")) return parse_floats(p, a);
    if (text_accept(x, "t")) return parse_tensors(p, a);
    if (text_accept(x, "[")) return parse_int_list(p, a);
    if (text_peek(x, "(")) return parse_inner_region(p, r, a);
    if (text_peek(x, "\"")) {
        a->kind = ATTR_STRING;
        return text_string(x, &a->string, &a->count);
    }
    if (text_accept(x, "s")) {
        a->kind = ATTR_STRINGS;
        return graph_parse_strings(p, &a->strings, &a->count);
    }
    if (text_accept(x, "type")) {
        type *t = ARENA_NEW(x->memory, type);
        a->kind = ATTR_TYPE;
        a->type = t;
        return graph_parse_type(p, t);
    }
    a->kind = ATTR_INT;
    return text_int(x, &a->i);
}

typedef LIST(attr) attr_list;

static bool parse_attrs(graph_parser *p, region_id r, attr_list *list) {
    while (!text_accept(&p->lex, "}")) {
        attr a;
        if (list->count && !text_expect(&p->lex, ",")) return false;
        if (!parse_attr(p, r, &a)) return false;
        for (size_t i = 0; i < list->count; i++)
            if (strcmp(list->data[i].name, a.name) == 0)
                return text_fail(&p->lex, "attribute %s is given twice", a.name);
        list_push(p->lex.memory, list, a);
    }
    return true;
}

/* ---- nodes ---- */

static const op_def *parse_op(graph_parser *p) {
    const char *name = text_name(&p->lex), *domain = "";
    if (!name) return NULL;
    for (const char *c = name; *c; c++)
        if (c[0] == ':' && c[1] == ':') {
            domain = arena_strndup(p->lex.memory, name, (size_t)(c - name));
            name = c + 2;
            break;
        }
    const op_def *op = op_find(domain, name);
    if (!op) text_fail(&p->lex, "there is no operator %s", name);
    return op;
}

/* What was given no type gets it from the operator, which may then rely on what the schema asks
 * for. */
static bool complete_node(graph_parser *p, node_id n) {
    graph *g = p->g;
    bool typed = true;
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++)
        if (graph_output(g, n, i))
            typed = typed && graph_type(g, graph_output(g, n, i))->kind != TYPE_NONE;
    if (!op_check(g, n)) return text_fail(&p->lex, "the node above is not what its operator takes");
    if (typed) return true;
    if (strcmp(graph_node(g, n)->op->domain, OP_INTERNAL) == 0)
        return text_fail(&p->lex, "results of operators of the domain " OP_INTERNAL " need types");
    return op_infer(g, n) || text_fail(&p->lex, "the results of the node above have no type");
}

static bool parse_node(graph_parser *p, region_id r) {
    graph_parse_values outputs = {0}, inputs = {0};
    attr_list attrs = {0};
    text_lexer *x = &p->lex;
    while (text_peek(x, "%") || text_peek(x, "_")) {
        value_id v = 0;
        if (!text_accept(x, "_") && !parse_definition(p, false, &v)) return false;
        list_push(x->memory, &outputs, v);
        if (!text_accept(x, ",")) break;
    }
    if (outputs.count && !text_expect(x, "=")) return false;
    const op_def *op = parse_op(p);
    if (!op || !text_expect(x, "(") || !parse_uses(p, true, ")", &inputs)) return false;
    if (text_accept(x, "{") && !parse_attrs(p, r, &attrs)) return false;
    const char *name = "";
    size_t length;
    if (text_accept(x, "@") && !text_string(x, &name, &length)) return false;
    node_id n =
        graph_add_node(p->g, r, 0, op, name, (uint32_t)inputs.count, inputs.data,
                       (uint32_t)outputs.count, outputs.data, (uint32_t)attrs.count, attrs.data);
    for (size_t i = 0; i < attrs.count; i++)
        if (attrs.data[i].kind == ATTR_REGION)
            graph_region(p->g, (region_id)attrs.data[i].i)->owner = n;
    return complete_node(p, n);
}

static bool parse_region(graph_parser *p, region_id r) {
    text_lexer *x = &p->lex;
    if (!text_expect(x, "(")) return false;
    while (!text_accept(x, ")")) {
        value_id v;
        if (graph_region(p->g, r)->inputs.count && !text_expect(x, ",")) return false;
        if (!parse_definition(p, true, &v)) return false;
        list_push(x->memory, &graph_region(p->g, r)->inputs, v);
    }
    if (!text_expect(x, "{")) return false;
    while (!text_accept(x, "return"))
        if (!parse_node(p, r)) return false;
    graph_parse_values results = {0};
    if (!parse_uses(p, false, "}", &results)) return false;
    for (size_t i = 0; i < results.count; i++)
        list_push(x->memory, &graph_region(p->g, r)->outputs, results.data[i]);
    return true;
}

/* ---- the whole ---- */

/* dim NAME in LOW..HIGH up to LIMIT; no HIGH: unbounded. */
static bool parse_symbol(graph_parser *p) {
    text_lexer *x = &p->lex;
    dim d, limit;
    int64_t low, high = DIM_MAX;
    if (!graph_parse_dim(p, &d)) return false;
    if (dim_op_of(p->g->dims, d) != DIM_SYMBOL) return text_fail(x, "a symbol is missing");
    if (!text_expect(x, "in") || !text_int(x, &low) || !text_expect(x, "..")) return false;
    text_skip(x);
    if (strchr("-0123456789", *x->at) && *x->at && !text_int(x, &high)) return false;
    if (low > high || low < -DIM_MAX || high > DIM_MAX)
        return text_fail(x, "the bounds of a symbol make no sense");
    dim_set_bounds(p->g->dims, dim_symbol_of(p->g->dims, d), low, high);
    if (!text_accept(x, "up")) return true;
    if (!text_expect(x, "to") || !graph_parse_dim(p, &limit)) return false;
    bool *used = ARENA_ARRAY(x->memory, bool, dim_symbol_count(p->g->dims) + 1);
    dim_mark_symbols(p->g->dims, limit, used);
    for (dim_symbol s = dim_symbol_of(p->g->dims, d); s < dim_symbol_count(p->g->dims); s++)
        if (used[s]) return text_fail(x, "a limit is made of symbols that are declared before");
    dim_set_limit(p->g->dims, dim_symbol_of(p->g->dims, d), limit);
    return true;
}

/* "NAME" map 2, or "NAME" [optional | absent] tensor | sequence COUNT */
static bool parse_port(graph_parser *p, graph_port *port) {
    text_lexer *x = &p->lex;
    size_t length;
    int64_t count;
    *port = (graph_port){.kind = TYPE_TENSOR, .present = true};
    if (!text_string(x, &port->name, &length)) return false;
    bool absent = text_accept(x, "absent"), optional = absent || text_accept(x, "optional");
    bool map = !optional && text_accept(x, "map"), list = !map && text_accept(x, "sequence");
    if (!map && !list && !text_expect(x, "tensor")) return false;
    port->present = !absent;
    port->kind = optional ? TYPE_OPTIONAL : map ? TYPE_MAP : list ? TYPE_SEQUENCE : TYPE_TENSOR;
    port->list = optional && list;
    if (!text_int(x, &count)) return false;
    int64_t least = map ? 2 : list ? 0 : port->present, most = list ? GRAPH_MOST_ITEMS : least;
    if (count < least || count > most) return text_fail(x, "the number of tensors makes no sense");
    port->count = (uint32_t)count;
    return true;
}

/* The ports name all inputs and outputs, or there are none. */
static bool check_ports(graph_parser *p) {
    const region *main = graph_region(p->g, GRAPH_MAIN);
    size_t inputs = 0, outputs = 0;
    for (size_t i = 0; i < p->g->input_ports.count; i++) inputs += p->g->input_ports.data[i].count;
    for (size_t i = 0; i < p->g->output_ports.count; i++)
        outputs += p->g->output_ports.data[i].count;
    if (!p->g->input_ports.count && !p->g->output_ports.count) return true;
    return (inputs == main->inputs.count && outputs == main->outputs.count) ||
           text_fail(&p->lex, "the lines of inputs and outputs do not fit the graph's");
}

static bool parse_ports(graph_parser *p) {
    graph_port port;
    for (;;) {
        if (text_accept(&p->lex, "input")) {
            if (!parse_port(p, &port)) return false;
            list_push(p->lex.memory, &p->g->input_ports, port);
        } else if (text_accept(&p->lex, "output")) {
            if (!parse_port(p, &port)) return false;
            list_push(p->lex.memory, &p->g->output_ports, port);
        } else {
            return true;
        }
    }
}

static bool parse_constant(graph_parser *p) {
    value_id v;
    blob *b = ARENA_NEW(p->lex.memory, blob);
    if (!parse_definition(p, true, &v) || !text_expect(&p->lex, "=")) return false;
    const type t = *graph_type(p->g, v);
    if (!graph_parse_data(p, &t, b)) return false;
    graph_value(p->g, v)->constant = b;
    return true;
}

static bool parse_graph(graph_parser *p) {
    text_lexer *x = &p->lex;
    if (!text_expect(x, "graph")) return false;
    const char *name = text_name(x);
    if (!name) return false;
    p->g->name = name;
    while (text_accept(x, "dim"))
        if (!parse_symbol(p)) return false;
    if (!parse_ports(p)) return false;
    while (text_accept(x, "const"))
        if (!parse_constant(p)) return false;
    if (!parse_region(p, GRAPH_MAIN) || !check_ports(p)) return false;
    text_skip(x);
    return !*x->at || text_fail(x, "something stands behind the graph");
}

graph *graph_parse(arena *a, diag *d, const char *text, size_t length) {
    char *copy = arena_strndup(a, text, length);
    graph_parser p = {.lex = {.memory = a, .diag = d, .start = copy, .at = copy},
                      .g = graph_create(a, d, "")};
    if (!parse_graph(&p)) return NULL;
    if (p.elided)
        diag_warning(d, NULL, NULL, "print with whole constants to keep their data",
                     "%zu constants are elided: made-up numbers stand for them", p.elided);
    return graph_verify(p.g, d, "reading") ? p.g : NULL;
}
