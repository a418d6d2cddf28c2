/* fuse.c: puts nodes that one kernel can compute into Group nodes. Pointwise nodes join the group
 * that makes their operand (an epilogue); cheap groups join the only node that reads them (a
 * prologue). A group holds at most one anchor, and all that leaves it has the same dimensions. What
 * fusion means is ir/lower.h's business; here it is only decided. */
#include "passes/rewrite.h"

#include <assert.h>
#include <string.h>

enum { MAX_GROUP_NODES = 48, MAX_GROUP_INPUTS = 64 };
enum { REACH_OUTSIDE, REACH_UNKNOWN, REACH_NO, REACH_YES };

/* A group under construction, named by one of its nodes. */
typedef struct {
    node_id anchor;      /* 0: none */
    node_id first, last; /* members, chained through `next` */
    uint32_t size;       /* nodes */
    uint32_t inputs;     /* of all its nodes: at least what the group will have */
    bool computes;       /* holds more than movements */
    bool alone;          /* takes nobody in and joins nobody */
} group_info;

typedef struct {
    graph *g;
    const pass_options *options;
    region_id region;
    uint32_t *group_of; /* node to group (a node id); 0: not in this region */
    group_info *info;   /* by group */
    uint32_t *uses;     /* of every value */
    uint32_t *position; /* of every node in the region */
    node_id *next;      /* the next member of a node's group */
    bool *visited;      /* groups, while looking for cycles */
    uint8_t *reach;     /* nodes, while looking for what an anchor reaches: one of REACH_* */
    bool readers_widen; /* narrow elements are stored, and made wide where they are read */
} fuser;

static bool is_pointwise(const node *n) {
    return (n->op->flags & OP_POINTWISE) && (n->op->formula || n->op->element);
}

static bool is_movement(const node *n) {
    return (n->op->flags & OP_MOVEMENT) && n->op->element;
}

static bool is_anchor(const node *n) {
    return (n->op->flags & OP_ANCHOR) && n->op->nest && !n->op->element && !n->op->formula;
}

static bool same_domain(const type *a, const type *b) {
    return a->kind == TYPE_TENSOR && b->kind == TYPE_TENSOR && a->rank == b->rank &&
           (!a->rank || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

static bool same_layout(const type *a, const type *b) {
    if (!a->layout || !b->layout) return a->layout == b->layout;
    return a->layout->block_axis == b->layout->block_axis && a->layout->block == b->layout->block;
}

/* ---- cycles ---- */

/* Whether some member of group `from` needs a result of group `target`, directly or through groups
 * other than `skip`. */
static bool depends_on_group(fuser *f, uint32_t from, uint32_t target, uint32_t skip) {
    for (node_id m = f->info[from].first; m; m = f->next[m]) {
        const node *n = graph_node(f->g, m);
        for (uint32_t j = 0; j < n->input_count; j++) {
            node_id p = n->inputs[j] ? graph_value(f->g, n->inputs[j])->producer : 0;
            uint32_t through = p ? f->group_of[p] : 0;
            if (!through || through == from || through == skip || f->visited[through]) continue;
            if (through == target) return true;
            f->visited[through] = true;
            if (depends_on_group(f, through, target, 0)) return true;
        }
    }
    return false;
}

/* Whether joining `a` (which makes an operand) and `b` leaves an order of execution: no path from a
 * to b through a third group. */
static bool can_join(fuser *f, uint32_t a, uint32_t b) {
    memset(f->visited, 0, f->g->nodes.count * sizeof *f->visited);
    return !depends_on_group(f, b, a, a);
}

static void join(fuser *f, uint32_t into, uint32_t from) {
    group_info *a = &f->info[into], *b = &f->info[from];
    for (node_id m = b->first; m; m = f->next[m]) f->group_of[m] = into;
    f->next[a->last] = b->first;
    a->last = b->last;
    a->size += b->size;
    a->inputs += b->inputs;
    a->anchor = a->anchor ? a->anchor : b->anchor;
    a->computes |= b->computes;
}

/* ---- decisions ---- */

/* Whether member m of the groups that `reach` was cleared for needs an anchor's result. */
static bool needs_anchor(fuser *f, node_id m) {
    const node *n = graph_node(f->g, m);
    if (f->reach[m] != REACH_UNKNOWN) return f->reach[m] == REACH_YES;
    f->reach[m] = is_anchor(n) ? REACH_YES : REACH_NO;
    for (uint32_t j = 0; j < n->input_count; j++) {
        node_id p = n->inputs[j] ? graph_value(f->g, n->inputs[j])->producer : 0;
        if (p && f->reach[p] != REACH_OUTSIDE && needs_anchor(f, p)) f->reach[m] = REACH_YES;
    }
    return f->reach[m] == REACH_YES;
}

static void set_reach(fuser *f, uint32_t group, uint8_t to) {
    for (node_id m = f->info[group].first; m; m = f->next[m]) f->reach[m] = to;
}

/* Uses of v by nodes of a group. */
static uint32_t uses_within(const fuser *f, value_id v, uint32_t group) {
    uint32_t count = 0;
    for (node_id m = f->info[group].first; m; m = f->next[m]) {
        const node *n = graph_node(f->g, m);
        for (uint32_t j = 0; j < n->input_count; j++) count += n->inputs[j] == v;
    }
    return count;
}

/* Whether everything that leaves group `a` is read by group `b` alone. */
static bool feeds_only(const fuser *f, uint32_t a, uint32_t b) {
    for (node_id m = f->info[a].first; m; m = f->next[m]) {
        const node *n = graph_node(f->g, m);
        for (uint32_t j = 0; j < n->output_count; j++) {
            value_id v = n->outputs[j];
            if (v && uses_within(f, v, a) + uses_within(f, v, b) != f->uses[v]) return false;
        }
    }
    return true;
}

/* Whether node m of group a fits behind the anchor's loops: what needs the anchor is computed at
 * its index, and what does not stays within groups a and b. */
static bool fits_anchor(fuser *f, node_id m, node_id anchor, uint32_t a, uint32_t b) {
    const node *n = graph_node(f->g, m);
    if (m == anchor) return true;
    if (needs_anchor(f, m)) {
        const type *from = graph_type(f->g, graph_output(f->g, anchor, 0));
        return is_pointwise(n) && same_domain(from, graph_type(f->g, n->outputs[0]));
    }
    for (uint32_t j = 0; j < n->output_count; j++) {
        value_id v = n->outputs[j];
        if (v && uses_within(f, v, a) + uses_within(f, v, b) != f->uses[v]) return false;
    }
    return true;
}

/* Whether groups a and b make one kernel: always without an anchor, which brings loops of its own.
 */
static bool is_kernel(fuser *f, uint32_t a, uint32_t b) {
    node_id anchor = f->info[a].anchor ? f->info[a].anchor : f->info[b].anchor;
    if (!anchor) return true;
    set_reach(f, a, REACH_UNKNOWN);
    set_reach(f, b, REACH_UNKNOWN);
    bool ok = true;
    for (node_id m = f->info[a].first; m; m = f->next[m]) ok &= fits_anchor(f, m, anchor, a, b);
    for (node_id m = f->info[b].first; m; m = f->next[m]) ok &= fits_anchor(f, m, anchor, b, a);
    set_reach(f, a, REACH_OUTSIDE);
    set_reach(f, b, REACH_OUTSIDE);
    return ok;
}

/* An anchor that reads blocks and writes plain rows computes one element at a time: what follows is
 * faster on its own. */
static bool computes_elements(const fuser *f, node_id anchor) {
    const type *x = graph_type(f->g, graph_input(f->g, anchor, 0));
    return x->layout && x->layout->block_axis >= 0 &&
           !graph_type(f->g, graph_output(f->g, anchor, 0))->layout;
}

/* Whether a pointwise node makes wide elements of narrow ones: DequantizeLinear, a Cast of masks.
 * Its readers make them as well, and fewer bytes go through memory. */
static bool widens(const graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    if (!is_pointwise(nd) || nd->output_count != 1) return false;
    const type *made = graph_type(g, nd->outputs[0]);
    for (uint32_t i = 0; i < nd->input_count; i++) {
        const type *from = nd->inputs[i] ? graph_type(g, nd->inputs[i]) : NULL;
        if (from && same_domain(from, made) && dtype_bytes(from->dtype) >= dtype_bytes(made->dtype))
            return false;
    }
    return true;
}

/* Whether all members of a group are pointwise, over the dimensions of node n. */
static bool is_uniform(const fuser *f, uint32_t group, node_id n) {
    const type *t = graph_type(f->g, graph_node(f->g, n)->outputs[0]);
    for (node_id m = f->info[group].first; m; m = f->next[m]) {
        const node *nd = graph_node(f->g, m);
        if (!is_pointwise(nd) || nd->output_count != 1) return false;
        const type *own = graph_type(f->g, nd->outputs[0]);
        if (!same_domain(t, own) || !same_layout(t, own)) return false;
    }
    return true;
}

/* A pointwise node joins the group of an operand of its own dimensions. */
static bool joins_as_epilogue(fuser *f, node_id n, uint32_t producer_group, value_id operand) {
    const node *nd = graph_node(f->g, n);
    const group_info *p = &f->info[producer_group];
    if (!is_pointwise(nd) || nd->output_count != 1) return false;
    if (f->readers_widen ? widens(f->g, n) : !is_uniform(f, f->group_of[n], n)) return false;
    if (p->anchor &&
        (graph_node(f->g, p->anchor)->output_count != 1 || computes_elements(f, p->anchor)))
        return false;
    const type *from = graph_type(f->g, operand), *to = graph_type(f->g, nd->outputs[0]);
    return same_domain(from, to) && same_layout(from, to);
}

/* How often an anchor may read each element of an input: 1 about once, 2 a few times, 3 many times.
 */
static int anchor_reuse(const node *anchor) {
    static const char *const many[] = {
        "Conv",   "ConvTranspose", "DotConv", "DotMatMul",     "DotDepthwise",  "DotLinear",
        "Linear", "MatMul",        "Gemm",    "ConvInteger",   "MatMulInteger", "LSTM",
        "GRU",    "RNN",           "Resize",  "WinogradInput", "WinogradConv",  "WinogradWeights"};
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        if (strcmp(anchor->op->name, many[i]) == 0) return 3;
    return 2;
}

/* Whether a group takes blocks apart: whoever reads it has no runs of neighbours to load. */
static bool has_reorder(const fuser *f, uint32_t group) {
    for (node_id m = f->info[group].first; m; m = f->next[m]) {
        const op_def *op = graph_node(f->g, m)->op;
        if (strcmp(op->domain, OP_INTERNAL) == 0 && strcmp(op->name, "Reorder") == 0) return true;
    }
    return false;
}

/* A group without an anchor joins its only reader: movements always, arithmetic where it is not
 * repeated. Loops that reduce get rows, which are summed in vectors. */
static bool joins_as_prologue(fuser *f, uint32_t producer_group, node_id n, value_id operand) {
    const node *nd = graph_node(f->g, n);
    const group_info *p = &f->info[producer_group];
    if (p->anchor || !feeds_only(f, producer_group, f->group_of[n])) return false;
    if (is_anchor(nd)) {
        bool once = (nd->op->flags & OP_ONCE) && operand == nd->inputs[0];
        return (!p->computes || once) && anchor_reuse(nd) < 3 && !has_reorder(f, producer_group);
    }
    if (is_movement(nd) || is_pointwise(nd)) {
        dim_table *d = f->g->dims;
        dim made = type_elements(d, graph_type(f->g, operand));
        dim read = type_elements(d, graph_type(f->g, nd->outputs[0]));
        return !p->computes || made == read || dim_high(d, read) <= dim_low(d, made);
    }
    return false;
}

static void consider(fuser *f, node_id n) {
    for (uint32_t i = graph_node(f->g, n)->input_count; i-- > 0;) {
        value_id v = graph_input(f->g, n, i);
        node_id p = v ? graph_value(f->g, v)->producer : 0;
        if (!p || !f->group_of[p] || f->group_of[p] == f->group_of[n]) continue;
        uint32_t from = f->group_of[p], own = f->group_of[n];
        if (f->info[from].alone || f->info[own].alone) continue;
        if (f->info[from].size + f->info[own].size > MAX_GROUP_NODES) continue;
        if (f->info[from].inputs + f->info[own].inputs > MAX_GROUP_INPUTS) continue;
        if (f->info[from].anchor && f->info[own].anchor) continue;
        if (!joins_as_epilogue(f, n, from, v) && !joins_as_prologue(f, from, n, v)) continue;
        if (is_kernel(f, from, own) && can_join(f, from, own)) join(f, from, own);
    }
}

/* ---- materialisation ---- */

static bool contains(const value_id *list, size_t count, value_id v) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == v) return true;
    return false;
}

static bool used_outside(const fuser *f, value_id v, uint32_t group) {
    return uses_within(f, v, group) != f->uses[v];
}

/* A group's results get new outer values under the old names; inside, the old values get derived
 * names. */
static value_id make_outer(graph *g, value_id inner) {
    value_id outer = graph_add_value(g, graph_value(g, inner)->name, *graph_type(g, inner));
    value *in = graph_value(g, inner), *out = graph_value(g, outer);
    const char *name = in->name;
    in->name = out->name;
    out->name = name;
    out->elements = in->elements;
    return outer;
}

static void materialise(fuser *f, uint32_t group) {
    graph *g = f->g;
    node_id members[MAX_GROUP_NODES];
    value_id inputs[MAX_GROUP_INPUTS];
    size_t count = 0, input_count = 0, output_count = 0, output_limit = 0;
    for (node_id m = f->info[group].first; m; m = f->next[m]) {
        size_t at = count++;
        for (; at > 0 && f->position[members[at - 1]] > f->position[m]; at--)
            members[at] = members[at - 1];
        members[at] = m;
        output_limit += graph_node(g, m)->output_count;
    }
    value_id *inner = ARENA_ARRAY(g->memory, value_id, output_limit);
    value_id *outer = ARENA_ARRAY(g->memory, value_id, output_limit);
    for (size_t i = 0; i < count; i++) {
        const node *n = graph_node(g, members[i]);
        for (uint32_t j = 0; j < n->input_count; j++) {
            node_id p = n->inputs[j] ? graph_value(g, n->inputs[j])->producer : 0;
            if (!n->inputs[j] || (p && f->group_of[p] == group)) continue;
            if (!contains(inputs, input_count, n->inputs[j])) inputs[input_count++] = n->inputs[j];
        }
        for (uint32_t j = 0; j < n->output_count; j++)
            if (n->outputs[j] && used_outside(f, n->outputs[j], group))
                inner[output_count++] = n->outputs[j];
    }
    for (size_t i = 0; i < output_count; i++) {
        outer[i] = make_outer(g, inner[i]);
        graph_replace_uses(g, inner[i], outer[i]);
    }
    region_id body = graph_add_region(g, f->region);
    attr a = {.name = "body", .kind = ATTR_REGION, .i = body};
    const char *name =
        graph_node(g, f->info[group].anchor ? f->info[group].anchor : members[count - 1])->name;
    node_id made =
        graph_add_node(g, f->region, members[count - 1], op_find(OP_INTERNAL, "Group"), name,
                       (uint32_t)input_count, inputs, (uint32_t)output_count, outer, 1, &a);
    graph_region(g, body)->owner = made;
    for (size_t i = 0; i < count; i++) {
        graph_move_node(g, members[i], body);
        /* Uses inside the group were renamed with the others. */
        node *n = graph_node(g, members[i]);
        for (uint32_t j = 0; j < n->input_count; j++)
            for (size_t k = 0; k < output_count; k++)
                if (n->inputs[j] == outer[k]) n->inputs[j] = inner[k];
    }
    for (size_t i = 0; i < output_count; i++)
        list_push(g->memory, &graph_region(g, body)->outputs, inner[i]);
}

/* ---- moves with several readers ---- */

/* What reads a value that only moves elements. */
typedef struct {
    uint32_t count;   /* moves that read it as their first operand */
    uint32_t served;  /* of them */
    int64_t elements; /* that they take of it, in all; -1: not known */
} readers;

static int64_t known_elements(const graph *g, value_id v) {
    int64_t n;
    return dim_is_const(g->dims, type_elements(g->dims, graph_type(g, v)), &n) ? n : -1;
}

static void count_readers(graph *g, readers *of) {
    for (node_id i = 1; i < g->nodes.count; i++) {
        const node *n = graph_node(g, i);
        if (!n->region || !is_movement(n) || n->output_count != 1 || !graph_input(g, i, 0))
            continue;
        readers *r = &of[n->inputs[0]];
        int64_t taken = known_elements(g, n->outputs[0]);
        r->elements = r->elements < 0 || taken < 0 ? -1 : r->elements + taken;
        r->count++;
    }
}

/* Gives each of the moves that share what a Transpose makes a Transpose of its own, where together
 * they take no more than all of it: one kernel each then, and nothing stored in between. */
static void part_transposes(graph *g) {
    size_t nodes = g->nodes.count;
    const uint32_t *uses = graph_count_uses(g);
    if (rewrite_has_groups(g)) return;
    readers *of = ARENA_ARRAY(g->memory, readers, g->values.count);
    count_readers(g, of);
    for (node_id i = 1; i < nodes; i++) {
        const node reader = *graph_node(g, i);
        value_id v = reader.region && is_movement(&reader) ? graph_input(g, i, 0) : 0;
        node_id made = v ? rewrite_producer(g, v, "Transpose") : 0;
        if (!made || of[v].count < 2 || of[v].count != uses[v] || of[v].elements < 0 ||
            of[v].elements > known_elements(g, v) || graph_value(g, v)->binds ||
            ++of[v].served == of[v].count) /* the last one keeps the first */
            continue;
        const node first = *graph_node(g, made);
        value_id own = graph_add_value(g, graph_value(g, v)->name, *graph_type(g, v));
        node_id copy = graph_add_node(g, reader.region, i, first.op, first.name, first.input_count,
                                      first.inputs, 1, &own, first.attr_count, first.attrs);
        graph_node(g, copy)->source = first.source;
        graph_node(g, i)->inputs[0] = own;
    }
}

/* ---- the pass ---- */

/* What gives a dimension its value must be there before kernels that use the dimension begin. */
static bool stands_alone(const graph *g, const node *n) {
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] && graph_value(g, n->outputs[i])->binds) return true;
    return !is_pointwise(n) && !is_movement(n) && !is_anchor(n);
}

static long fuse_region(fuser *f, region_id region) {
    graph *g = f->g;
    f->region = region;
    size_t count;
    const node_id *order = rewrite_nodes(g, region, &count);
    long groups = 0;
    for (size_t i = 0; i < count; i++) {
        const node *n = graph_node(g, order[i]);
        if (rewrite_is_group(n)) continue;
        for (uint32_t j = 0; j < n->attr_count; j++)
            if (n->attrs[j].kind == ATTR_REGION) groups += fuse_region(f, (region_id)n->attrs[j].i);
    }
    f->region = region;
    for (size_t i = 0; i < count; i++) {
        const node *n = graph_node(g, order[i]);
        f->group_of[order[i]] = order[i];
        f->position[order[i]] = (uint32_t)i;
        f->info[order[i]] = (group_info){.anchor = is_anchor(n) ? order[i] : 0,
                                         .first = order[i],
                                         .last = order[i],
                                         .size = 1,
                                         .inputs = n->input_count,
                                         .computes = !is_movement(n),
                                         .alone = stands_alone(g, n)};
    }
    f->readers_widen = true;
    for (size_t i = 0; i < count; i++)
        if (f->group_of[order[i]]) consider(f, order[i]);
    f->readers_widen = false;
    for (size_t i = 0; i < count; i++)
        if (f->group_of[order[i]] && widens(g, order[i])) consider(f, order[i]);
    for (size_t i = 0; i < count; i++) {
        uint32_t group = order[i];
        if (f->group_of[group] != group || f->info[group].size < 2) continue;
        materialise(f, group);
        groups++;
    }
    return groups;
}

static long run(graph *g, const pass_options *options) {
    part_transposes(g);
    fuser f = {.g = g, .options = options};
    size_t nodes = g->nodes.count;
    f.group_of = ARENA_ARRAY(g->memory, uint32_t, nodes);
    f.info = ARENA_ARRAY(g->memory, group_info, nodes);
    f.position = ARENA_ARRAY(g->memory, uint32_t, nodes);
    f.next = ARENA_ARRAY(g->memory, node_id, nodes);
    f.visited = ARENA_ARRAY(g->memory, bool, nodes);
    f.reach = ARENA_ARRAY(g->memory, uint8_t, nodes);
    f.uses = graph_count_uses(g);
    long groups = fuse_region(&f, GRAPH_MAIN);
    return graph_sort(g) ? groups : -1;
}

const pass_def pass_fuse = {"fuse", "put nodes that one kernel computes into groups", run};
