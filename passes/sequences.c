/* sequences.c: sequences and optionals of known length become the tensors that they hold: what is
 * read from them is the item itself, loops that carry them are written out, and the graph's own
 * become one output a tensor. Behind this pass there are tensors alone; what stays open is an
 * error. */
#include "passes/rewrite.h"

#include <string.h>

typedef struct {
    graph *g;
    const uint32_t *uses;
    bool *gone; /* values that were replaced in this round: lists may still name them */
    size_t gone_count;
    long changes;
} resolver;

static bool is_list(const graph *g, value_id v) {
    type_kind kind = v ? graph_type(g, v)->kind : TYPE_TENSOR;
    return kind == TYPE_SEQUENCE || kind == TYPE_OPTIONAL;
}

/* The items of v, if they are known and stand. */
static const value_list *list_of(const resolver *r, value_id v) {
    const value_list *list = v ? graph_value(r->g, v)->list : NULL;
    for (size_t i = 0; list && i < list->count; i++)
        if (list->items[i] < r->gone_count && r->gone[list->items[i]]) return NULL;
    return list;
}

static bool is_used(const resolver *r, value_id v) {
    return v && v < r->gone_count && r->uses[v] && !r->gone[v];
}

/* Puts `made` in the place of y, a result of n. The node stays, for its lists; dce takes it. */
static void replace(resolver *r, node_id n, value_id y, value_id made) {
    rewrite_take_over(r->g, n, y, made);
    if (y < r->gone_count) r->gone[y] = true;
    r->changes++;
}

static bool any_list(const graph *g, const value_id *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (is_list(g, values[i])) return true;
    return false;
}

/* ---- reading items ---- */

/* An item at a position that only the run tells: all must be alike. */
static value_id gather_item(resolver *r, node_id n, const value_list *list, value_id at) {
    graph *g = r->g;
    region_id region = graph_node(g, n)->region;
    int64_t zero = 0, one = 1;
    value_id *parts = ARENA_ARRAY(g->memory, value_id, list->count);
    value_id axes = graph_add_constant_ints(g, NULL, DTYPE_I64, 1, &one, &zero);
    attr along = attr_int("axis", 0);
    for (size_t i = 0; i < list->count; i++) {
        const type *t = graph_type(g, list->items[i]);
        if (!type_is_known(t)) return 0;
        if (!type_equal(t, graph_type(g, list->items[0]))) {
            op_error(g, n, "positions that shapes and constants tell may differ in shape",
                     "the position is known at run time only, and items 0 and %zu have different "
                     "shapes",
                     i);
            return 0;
        }
        value_id both[] = {list->items[i], axes};
        parts[i] = graph_build(g, region, n, "", "Unsqueeze", 2, both, 0, NULL);
        if (!parts[i]) return 0;
    }
    value_id all = graph_build(g, region, n, "", "Concat", (uint32_t)list->count, parts, 1, &along);
    value_id both[] = {all, at};
    return all ? graph_build(g, region, n, "", "Gather", 2, both, 1, &along) : 0;
}

static void resolve_at(resolver *r, node_id n, bool last) {
    const node nd = *graph_node(r->g, n);
    const value_list *list = list_of(r, nd.inputs[0]);
    int64_t at;
    if (!list || !list->count) return;
    bool known = rewrite_known(r->g, nd.inputs[1], &at);
    int64_t count = (int64_t)list->count;
    if (known && at >= -count && at < count) {
        replace(r, n, nd.outputs[0], list->items[at < 0 ? at + count : at]);
    } else if (!known && last) {
        value_id made = gather_item(r, n, list, nd.inputs[1]);
        if (made) replace(r, n, nd.outputs[0], made);
    }
}

static void resolve_number(resolver *r, node_id n) {
    graph *g = r->g;
    value_id y = graph_output(g, n, 0);
    int64_t number;
    if (!rewrite_known(g, y, &number)) return;
    replace(r, n, y, graph_add_constant_ints(g, NULL, graph_type(g, y)->dtype, 0, NULL, &number));
}

static void resolve_element(resolver *r, node_id n) {
    value_id x = graph_input(r->g, n, 0), y = graph_output(r->g, n, 0);
    const value_list *list = list_of(r, x);
    if (graph_type(r->g, x)->kind != TYPE_OPTIONAL)
        replace(r, n, y, x);
    else if (list && list->count)
        replace(r, n, y, list->items[0]);
}

/* ---- bodies ---- */

static value_id build_sequence(graph *g, node_id n, size_t count, const value_id *items,
                               dtype element) {
    attr of = attr_int("dtype", element);
    region_id r = graph_node(g, n)->region;
    return count ? graph_build(g, r, n, "", "SequenceConstruct", (uint32_t)count, items, 0, NULL)
                 : graph_build(g, r, n, "", "SequenceEmpty", 0, NULL, 1, &of);
}

/* SequenceMap: a copy of the body for each item. */
static bool resolve_map(resolver *r, node_id n) {
    graph *g = r->g;
    const node nd = *graph_node(g, n);
    const value_list *first = list_of(r, nd.inputs[0]);
    if (!first) return true;
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, nd.input_count);
    value_id *results = ARENA_ARRAY(g->memory, value_id, nd.output_count);
    value_id *items = ARENA_ARRAY(g->memory, value_id, nd.output_count * first->count);
    for (uint32_t i = 0; i < nd.input_count; i++) {
        const value_list *list = list_of(r, nd.inputs[i]);
        if (!is_list(g, nd.inputs[i])) continue;
        if (!list) return true;
        if (list->count != first->count)
            return op_error(g, n, NULL, "its sequences have %zu and %zu items", first->count,
                            list->count);
    }
    region_id body = node_attr_region(&nd, "body");
    for (size_t at = 0; at < first->count; at++) {
        for (uint32_t i = 0; i < nd.input_count; i++)
            inputs[i] =
                is_list(g, nd.inputs[i]) ? list_of(r, nd.inputs[i])->items[at] : nd.inputs[i];
        if (!rewrite_copy_body(g, body, n, inputs, results)) return false;
        for (uint32_t j = 0; j < nd.output_count; j++) items[j * first->count + at] = results[j];
    }
    for (uint32_t j = 0; j < nd.output_count; j++) {
        if (!nd.outputs[j]) continue;
        dtype t = graph_type(g, nd.outputs[j])->element->dtype;
        value_id made = build_sequence(g, n, first->count, items + j * first->count, t);
        if (!made) return false;
        replace(r, n, nd.outputs[j], made);
    }
    return true;
}

static node_id node_behind(const graph *g, node_id n) {
    const region *r = graph_region(g, graph_node(g, n)->region);
    for (size_t i = 0; i + 1 < r->nodes.count; i++)
        if (r->nodes.data[i] == n) return r->nodes.data[i + 1];
    return 0;
}

/* The sequence or optional of these items in the place of y, behind node n. */
static bool rebuild_list(resolver *r, node_id n, value_id y, size_t count, const value_id *items) {
    graph *g = r->g;
    const type t = *graph_type(g, y);
    bool optional = t.kind == TYPE_OPTIONAL;
    const char *op = optional ? "Optional" : count ? "SequenceConstruct" : "SequenceEmpty";
    attr of = optional ? (attr){.name = "type", .kind = ATTR_TYPE, .type = t.element}
                       : attr_int("dtype", t.element->dtype);
    value_id made = graph_add_value(g, graph_value(g, y)->name, (type){.rank = -1});
    graph_add_node(g, graph_node(g, n)->region, node_behind(g, n), op_find("", op), "",
                   (uint32_t)count, items, 1, &made, !count, &of);
    graph_value(g, made)->type = t;
    graph_replace_uses(g, y, made);
    r->gone[y] = true;
    r->changes++;
    return true;
}

/* Whether a state of the loop has a shape of its own in each iteration. */
static bool changes_shape(const graph *g, const region *body) {
    bool unknown = false;
    for (size_t i = 2; i < body->inputs.count; i++) {
        const type *t = graph_type(g, body->inputs.data[i]);
        unknown |= t->kind == TYPE_TENSOR && t->rank < 0;
    }
    return unknown;
}

static bool resolve_loop(resolver *r, node_id n, bool last) {
    graph *g = r->g;
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    const region b = *graph_region(g, body);
    bool carries = nd.input_count > 2 && any_list(g, nd.inputs + 2, nd.input_count - 2);
    if (!carries && !any_list(g, b.outputs.data, b.outputs.count) && !changes_shape(g, &b))
        return true;
    long gathered = 0;
    bool ok = rewrite_gather_items(g, n, &gathered);
    r->changes += gathered;
    if (!ok || gathered) return ok;
    int64_t trips, go_on;
    bool ready = (!nd.inputs[0] || rewrite_known(g, nd.inputs[0], &trips)) &&
                 (!graph_input(g, n, 1) || rewrite_known(g, nd.inputs[1], &go_on));
    for (uint32_t i = 2; i < nd.input_count; i++)
        ready &= !is_list(g, nd.inputs[i]) || list_of(r, nd.inputs[i]);
    if (!ready && !last) return true;
    if (!ready) {
        value_id y, *items;
        size_t count;
        if (!rewrite_split_state(g, n, &y, &count, &items)) return false;
        if (count) return y ? rebuild_list(r, n, y, count, items) : (r->changes++, true);
    }
    if (!rewrite_unroll(g, n)) return false;
    for (uint32_t i = 0; i < nd.output_count; i++)
        if (nd.outputs[i] && nd.outputs[i] < r->gone_count) r->gone[nd.outputs[i]] = true;
    r->changes++;
    return true;
}

/* ---- If ---- */

/* The items of both branches' result i, if they are as many; NULL otherwise. */
static const value_list *branch_items(const resolver *r, const node *nd, uint32_t i, int branch) {
    static const char *const names[] = {"then_branch", "else_branch"};
    const value_list *lists[2];
    for (int b = 0; b < 2; b++) {
        region_id region = node_attr_region(nd, names[b]);
        lists[b] = list_of(r, graph_region(r->g, region)->outputs.data[i]);
    }
    return lists[0] && lists[1] && lists[0]->count == lists[1]->count ? lists[branch] : NULL;
}

/* Result `at` of an If of unknown condition: its items in its place. */
static bool split_result(resolver *r, node_id n, uint32_t at) {
    static const char *const names[] = {"then_branch", "else_branch"};
    graph *g = r->g;
    const node nd = *graph_node(g, n);
    const value_list *items[] = {branch_items(r, &nd, at, 0), branch_items(r, &nd, at, 1)};
    if (!items[0]) return true;
    size_t count = items[0]->count;
    value_id *outputs = ARENA_ARRAY(g->memory, value_id, nd.output_count + count);
    value_id *made = outputs + nd.output_count - 1;
    for (uint32_t i = 0, to = 0; i < nd.output_count; i++)
        if (i != at) outputs[to++] = nd.outputs[i];
    const char *name = graph_value(g, nd.outputs[at])->name;
    for (size_t i = 0; i < count; i++) {
        made[i] = graph_add_value(g, name, *graph_type(g, items[0]->items[i]));
        graph_value(g, made[i])->producer = n;
    }
    for (int b = 0; b < 2; b++) {
        region *branch = graph_region(g, node_attr_region(&nd, names[b]));
        for (size_t i = at; i + 1 < branch->outputs.count; i++)
            branch->outputs.data[i] = branch->outputs.data[i + 1];
        branch->outputs.count--;
        for (size_t i = 0; i < count; i++)
            list_push(g->memory, &branch->outputs, items[b]->items[i]);
    }
    graph_node(g, n)->outputs = outputs;
    graph_node(g, n)->output_count = (uint32_t)(nd.output_count - 1 + count);
    graph_value(g, nd.outputs[at])->producer = 0;
    return rebuild_list(r, n, nd.outputs[at], count, made);
}

static bool resolve_if(resolver *r, node_id n) {
    for (uint32_t i = 0; i < graph_node(r->g, n)->output_count; i++) {
        value_id y = graph_output(r->g, n, i);
        if (is_list(r->g, y) && is_used(r, y)) return split_result(r, n, i);
    }
    return true;
}

/* ---- one node, one region ---- */

static bool has_used_output(const resolver *r, const node *n) {
    for (uint32_t i = 0; i < n->output_count; i++)
        if (is_used(r, n->outputs[i])) return true;
    return false;
}

static bool resolve_node(resolver *r, node_id n, bool last) {
    graph *g = r->g;
    const node nd = *graph_node(g, n);
    const char *op = nd.op->name;
    if (*nd.op->domain || !has_used_output(r, &nd)) return true;
    size_t errors = g->diag->error_count;
    last &= !r->changes; /* what stays open in a round without other changes is final */
    if (strcmp(op, "If") == 0) return resolve_if(r, n);
    if (strcmp(op, "Loop") == 0) return resolve_loop(r, n, last);
    if (strcmp(op, "Identity") == 0 && is_list(g, nd.inputs[0]))
        replace(r, n, nd.outputs[0], nd.inputs[0]);
    if (!(nd.op->flags & OP_LISTS)) return true;
    if (strcmp(op, "SequenceMap") == 0) return resolve_map(r, n);
    if (strcmp(op, "SequenceAt") == 0)
        resolve_at(r, n, last);
    else if (strcmp(op, "SequenceLength") == 0 || strcmp(op, "OptionalHasElement") == 0)
        resolve_number(r, n);
    else if (strcmp(op, "OptionalGetElement") == 0)
        resolve_element(r, n);
    else if (nd.op->expand && (!is_list(g, nd.inputs[0]) || list_of(r, nd.inputs[0])) &&
             nd.op->expand(g, n)) {
        r->gone[nd.outputs[0]] = true;
        r->changes++;
    }
    return g->diag->error_count == errors;
}

static bool resolve_region(resolver *r, region_id region, bool last) {
    size_t count;
    const node_id *nodes = rewrite_nodes(r->g, region, &count);
    for (size_t i = 0; i < count; i++) {
        node_id n = nodes[i];
        if (!graph_node(r->g, n)->region) continue;
        for (uint32_t j = 0; j < graph_node(r->g, n)->attr_count; j++) {
            attr a = graph_node(r->g, n)->attrs[j];
            if (a.kind == ATTR_REGION && !resolve_region(r, (region_id)a.i, last)) return false;
        }
        if (!resolve_node(r, n, last)) return false;
    }
    return true;
}

/* The number of changes of one round, or -1. */
static long resolve_round(graph *g, bool last) {
    resolver r = {.g = g, .uses = graph_count_uses(g), .gone_count = g->values.count};
    r.gone = ARENA_ARRAY(g->memory, bool, r.gone_count);
    if (!resolve_region(&r, GRAPH_MAIN, last)) return -1;
    graph_remove_dead(g);
    return !r.changes || op_infer_all(g) ? r.changes : -1;
}

/* ---- outputs of the graph ---- */

typedef LIST(value_id) value_ids;

/* Adds a result of the graph under a name of its own; `whole` gives up that name. */
static void add_result(graph *g, const char *name, value_id whole, value_id item,
                       value_ids *outputs) {
    value_id out = graph_add_value(g, name, *graph_type(g, item));
    if (strcmp(graph_value(g, whole)->name, name) == 0) {
        graph_value(g, whole)->name = graph_value(g, out)->name;
        graph_value(g, out)->name = name;
    }
    graph_add_node(g, GRAPH_MAIN, 0, op_find("", "Identity"), "", 1, &item, 1, &out, 0, NULL);
    list_push(g->memory, outputs, out);
}

static bool flatten_output(graph *g, value_id v, graph_port *port, value_ids *outputs) {
    const type t = *graph_type(g, v);
    if (t.kind == TYPE_TENSOR) {
        list_push(g->memory, outputs, v);
        return true;
    }
    port->kind = t.kind;
    port->list = t.kind == TYPE_OPTIONAL && t.element->kind == TYPE_SEQUENCE;
    const value_list *list = graph_value(g, v)->list;
    if (list && t.kind == TYPE_OPTIONAL) port->present = list->count;
    if (list && list->count && port->list) list = graph_value(g, list->items[0])->list;
    if (!list)
        return diag_error(g->diag, port->name, NULL,
                          "what decides it must follow from shapes and constants",
                          "what this result holds is not known at compile time: %s",
                          t.kind == TYPE_OPTIONAL ? "whether there is a value"
                                                  : "the number of tensors in the sequence");
    port->count = (uint32_t)list->count;
    for (size_t i = 0; i < list->count; i++) {
        if (graph_type(g, list->items[i])->kind != TYPE_TENSOR)
            return diag_error(g->diag, port->name, NULL, NULL, "its items are no tensors");
        bool item = t.kind == TYPE_SEQUENCE || port->list;
        const char *name = item ? arena_printf(g->memory, "%s_%zu", port->name, i) : port->name;
        add_result(g, name, v, list->items[i], outputs);
    }
    return true;
}

/* A graph that came as text has no ports yet. */
static void make_ports(graph *g) {
    const region *main = graph_region(g, GRAPH_MAIN);
    graph_port own = {.kind = TYPE_TENSOR, .present = true, .count = 1};
    if (g->output_ports.count || g->input_ports.count) return;
    for (size_t i = 0; i < main->outputs.count; i++) {
        own.name = graph_value(g, main->outputs.data[i])->name;
        list_push(g->memory, &g->output_ports, own);
    }
    for (size_t i = 0; i < main->inputs.count; i++) {
        own.name = graph_value(g, main->inputs.data[i])->name;
        list_push(g->memory, &g->input_ports, own);
    }
}

static bool flatten_outputs(graph *g) {
    value_ids outputs = {0};
    bool ok = true;
    for (size_t i = 0; i < graph_region(g, GRAPH_MAIN)->outputs.count; i++)
        ok &= flatten_output(g, graph_region(g, GRAPH_MAIN)->outputs.data[i],
                             &g->output_ports.data[i], &outputs);
    graph_region(g, GRAPH_MAIN)->outputs.count = 0;
    for (size_t i = 0; i < outputs.count; i++)
        list_push(g->memory, &graph_region(g, GRAPH_MAIN)->outputs, outputs.data[i]);
    return ok;
}

/* ---- the pass ---- */

/* What could not be resolved. */
static bool check_region(graph *g, region_id r) {
    bool ok = true;
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++) {
        node_id n = graph_region(g, r)->nodes.data[i];
        const node nd = *graph_node(g, n);
        for (uint32_t j = 0; j < nd.attr_count; j++)
            if (nd.attrs[j].kind == ATTR_REGION) ok &= check_region(g, (region_id)nd.attrs[j].i);
        if (any_list(g, nd.inputs, nd.input_count) || any_list(g, nd.outputs, nd.output_count))
            ok = op_error(g, n, "what decides it must follow from shapes and constants",
                          "the length of its sequence, a position in it, or whether its optional "
                          "holds something is not known at compile time");
    }
    return ok;
}

static long run(graph *g, const pass_options *options) {
    enum { MOST_ROUNDS = 1000 };
    long total = 0;
    if (!g->pending) return 0;
    make_ports(g);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        long now = resolve_round(g, false), inlined;
        if (now < 0) return -1;
        inlined = pass_inline_if.run(g, options);
        if (inlined < 0) return -1;
        if (!now && !inlined) now = resolve_round(g, true);
        if (now < 0) return -1;
        if (!now && !inlined) break;
        total += now + inlined;
    }
    if (!flatten_outputs(g)) return -1;
    graph_remove_dead(g);
    if (!check_region(g, GRAPH_MAIN)) return -1;
    g->pending = false;
    return op_infer_all(g) ? total + 1 : -1;
}

const pass_def pass_sequences = {"sequences", "put tensors in the place of sequences and optionals",
                                 run};
