/* graph.c: building, reading and rewriting the graph IR. Text form and verifier are in files of
 * their own. */
#include "ir/graph.h"
#include "ir/graph_bind.h"
#include "ir/op.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- access ---- */

graph *graph_create(arena *a, diag *d, const char *name) {
    graph *g = ARENA_NEW(a, graph);
    g->memory = a;
    g->diag = d;
    g->dims = dim_table_create(a);
    g->name = arena_strdup(a, name);
    list_push(a, &g->values, (value){.name = ""});
    list_push(a, &g->nodes, (node){.name = ""});
    list_push(a, &g->regions, (region){.parent = 0});
    graph_add_region(g, 0);
    return g;
}

value *graph_value(const graph *g, value_id v) {
    assert(v && v < g->values.count);
    return &g->values.data[v];
}

node *graph_node(const graph *g, node_id n) {
    assert(n && n < g->nodes.count);
    return &g->nodes.data[n];
}

region *graph_region(const graph *g, region_id r) {
    assert(r && r < g->regions.count);
    return &g->regions.data[r];
}

const type *graph_type(const graph *g, value_id v) {
    return &graph_value(g, v)->type;
}

value_id graph_input(const graph *g, node_id n, uint32_t i) {
    const node *nd = graph_node(g, n);
    return i < nd->input_count ? nd->inputs[i] : 0;
}

value_id graph_output(const graph *g, node_id n, uint32_t i) {
    const node *nd = graph_node(g, n);
    return i < nd->output_count ? nd->outputs[i] : 0;
}

/* ---- names: a hash table of those taken ---- */

static uint32_t hash_name(const char *s) {
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

static bool name_taken(const graph *g, const char *name) {
    if (!g->names.slot_count) return false;
    size_t mask = g->names.slot_count - 1;
    for (size_t at = hash_name(name) & mask; g->names.slots[at]; at = (at + 1) & mask)
        if (strcmp(g->names.slots[at], name) == 0) return true;
    return false;
}

static void take_name(graph *g, const char *name) {
    graph_names *n = &g->names;
    if (n->count * 2 >= n->slot_count) {
        graph_names old = *n;
        n->slot_count = old.slot_count ? old.slot_count * 2 : 256;
        n->slots = ARENA_ARRAY(g->memory, const char *, n->slot_count);
        n->count = 0;
        for (size_t i = 0; i < old.slot_count; i++)
            if (old.slots[i]) take_name(g, old.slots[i]);
    }
    size_t at = hash_name(name) & (n->slot_count - 1);
    while (n->slots[at]) at = (at + 1) & (n->slot_count - 1);
    n->slots[at] = name;
    n->count++;
}

/* A free name: the one asked for, or that with a number behind it, in place of one that it has. */
static const char *free_name(graph *g, const char *wanted) {
    const char *name = wanted && *wanted ? wanted : "t";
    const char *made = wanted && *wanted ? arena_strdup(g->memory, name) : NULL;
    size_t stem = strlen(name), end = stem;
    while (end > 1 && name[end - 1] >= '0' && name[end - 1] <= '9') end--;
    if (end < stem && end > 1 && name[end - 1] == '.') stem = end - 1;
    while (!made || name_taken(g, made))
        made = arena_printf(g->memory, "%.*s.%zu", (int)stem, name, ++g->names.serial);
    take_name(g, made);
    return made;
}

/* ---- building ---- */

region_id graph_add_region(graph *g, region_id parent) {
    list_push(g->memory, &g->regions, (region){.parent = parent});
    return (region_id)g->regions.count - 1;
}

static type copy_type(graph *g, type t) {
    if (t.kind != TYPE_TENSOR || t.rank <= 0) return t;
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)t.rank);
    memcpy(dims, t.dims, (size_t)t.rank * sizeof *dims);
    t.dims = dims;
    return t;
}

value_id graph_add_value(graph *g, const char *name, type t) {
    value v = {.name = free_name(g, name), .type = copy_type(g, t)};
    list_push(g->memory, &g->values, v);
    return (value_id)g->values.count - 1;
}

value_id graph_add_constant(graph *g, const char *name, type t, blob data) {
    value_id v = graph_add_value(g, name, t);
    blob *kept = ARENA_NEW(g->memory, blob);
    *kept = data;
    graph_value(g, v)->constant = kept;
    return v;
}

static size_t count_elements(int rank, const int64_t *dims) {
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)dims[i];
    return n;
}

value_id graph_add_constant_ints(graph *g, const char *name, dtype t, int rank, const int64_t *dims,
                                 const int64_t *data) {
    size_t n = count_elements(rank, dims), width = dtype_bytes(t);
    unsigned char *bytes = arena_alloc_array(g->memory, n, width);
    /* Little-endian: the low bytes of a number are its narrow form. */
    for (size_t i = 0; i < n; i++) memcpy(bytes + i * width, &data[i], width);
    return graph_add_constant(g, name, type_tensor_const(g, t, rank, dims),
                              (blob){bytes, n * width, false});
}

value_id graph_add_constant_floats(graph *g, const char *name, dtype t, int rank,
                                   const int64_t *dims, const double *data) {
    size_t n = count_elements(rank, dims), width = dtype_bytes(t);
    assert(t == DTYPE_F32 || t == DTYPE_F64);
    unsigned char *bytes = arena_alloc_array(g->memory, n, width);
    for (size_t i = 0; i < n; i++) {
        float f = (float)data[i];
        memcpy(bytes + i * width, t == DTYPE_F32 ? (const void *)&f : &data[i], width);
    }
    return graph_add_constant(g, name, type_tensor_const(g, t, rank, dims),
                              (blob){bytes, n * width, false});
}

static void insert_node(graph *g, region_id r, node_id before, node_id n) {
    region *reg = graph_region(g, r);
    list_push(g->memory, &reg->nodes, n);
    if (!before) return;
    size_t at = 0;
    while (reg->nodes.data[at] != before) at++;
    memmove(&reg->nodes.data[at + 1], &reg->nodes.data[at],
            (reg->nodes.count - 1 - at) * sizeof *reg->nodes.data);
    reg->nodes.data[at] = n;
}

/* Lists that an attribute points to may live on a caller's stack. */
static attr copy_attr(graph *g, attr a) {
    if (a.ints && a.count) {
        int64_t *ints = ARENA_ARRAY(g->memory, int64_t, a.count);
        memcpy(ints, a.ints, a.count * sizeof *ints);
        a.ints = ints;
    }
    if (a.floats && a.count) {
        double *floats = ARENA_ARRAY(g->memory, double, a.count);
        memcpy(floats, a.floats, a.count * sizeof *floats);
        a.floats = floats;
    }
    return a;
}

node_id graph_add_node(graph *g, region_id r, node_id before, const op_def *op, const char *name,
                       uint32_t input_count, const value_id *inputs, uint32_t output_count,
                       const value_id *outputs, uint32_t attr_count, const attr *attrs) {
    node n = {.op = op,
              .name = arena_strdup(g->memory, name ? name : ""),
              .inputs = ARENA_ARRAY(g->memory, value_id, input_count),
              .outputs = ARENA_ARRAY(g->memory, value_id, output_count),
              .attrs = ARENA_ARRAY(g->memory, attr, attr_count),
              .input_count = input_count,
              .output_count = output_count,
              .attr_count = attr_count,
              .region = r};
    assert(op);
    if (input_count) memcpy(n.inputs, inputs, input_count * sizeof *inputs);
    if (output_count) memcpy(n.outputs, outputs, output_count * sizeof *outputs);
    for (uint32_t i = 0; i < attr_count; i++) n.attrs[i] = copy_attr(g, attrs[i]);
    op_add_defaults(g, &n);
    list_push(g->memory, &g->nodes, n);
    node_id id = (node_id)g->nodes.count - 1;
    for (uint32_t i = 0; i < output_count; i++)
        if (outputs[i]) graph_value(g, outputs[i])->producer = id;
    insert_node(g, r, before, id);
    return id;
}

value_id graph_build(graph *g, region_id r, node_id before, const char *domain, const char *op,
                     uint32_t input_count, const value_id *inputs, uint32_t attr_count,
                     const attr *attrs) {
    const op_def *row = op_find(domain, op);
    assert(row && "passes build operators that exist");
    value_id out =
        graph_add_value(g, input_count && inputs[0] ? graph_value(g, inputs[0])->name : NULL,
                        (type){.kind = TYPE_NONE, .rank = -1});
    node_id n =
        graph_add_node(g, r, before, row, "", input_count, inputs, 1, &out, attr_count, attrs);
    return op_infer(g, n) ? out : 0;
}

void graph_set_attr(graph *g, node_id n, attr a) {
    node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->attr_count; i++)
        if (strcmp(nd->attrs[i].name, a.name) == 0) {
            nd->attrs[i] = copy_attr(g, a);
            return;
        }
    attr *grown = ARENA_ARRAY(g->memory, attr, nd->attr_count + 1);
    if (nd->attr_count) memcpy(grown, nd->attrs, nd->attr_count * sizeof *grown);
    grown[nd->attr_count++] = copy_attr(g, a);
    nd->attrs = grown;
}

attr attr_int(const char *name, int64_t v) {
    return (attr){.name = name, .kind = ATTR_INT, .i = v};
}

attr attr_float(const char *name, double v) {
    return (attr){.name = name, .kind = ATTR_FLOAT, .f = v};
}

attr attr_ints(const char *name, const int64_t *v, size_t n) {
    return (attr){.name = name, .kind = ATTR_INTS, .ints = v, .count = n};
}

attr attr_string(const char *name, const char *v) {
    return (attr){.name = name, .kind = ATTR_STRING, .string = v, .count = strlen(v)};
}

/* ---- types ---- */

type type_tensor(dtype t, int rank, const dim *dims) {
    return (type){.kind = TYPE_TENSOR, .dtype = t, .rank = rank, .dims = dims};
}

type type_tensor_const(graph *g, dtype t, int rank, const int64_t *dims) {
    dim *d = ARENA_ARRAY(g->memory, dim, (size_t)rank);
    for (int i = 0; i < rank; i++) d[i] = dim_const(g->dims, dims[i]);
    return type_tensor(t, rank, d);
}

bool layout_equal(const tensor_layout *x, const tensor_layout *y, int rank) {
    if (!x || !y) return x == y;
    bool same = x->block_axis == y->block_axis && (x->block_axis < 0 || x->block == y->block);
    for (int i = 0; i < rank; i++)
        same =
            same && x->halo_before[i] == y->halo_before[i] && x->halo_after[i] == y->halo_after[i];
    return same;
}

bool type_equal(const type *a, const type *b) {
    if (a->kind != b->kind || a->dtype != b->dtype) return false;
    if (a->kind == TYPE_TENSOR)
        return a->rank == b->rank &&
               (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0) &&
               layout_equal(a->layout, b->layout, a->rank);
    if (!a->element || !b->element) return a->element == b->element;
    return type_equal(a->element, b->element);
}

dim type_elements(dim_table *t, const type *ty) {
    dim n = dim_const(t, 1);
    for (int i = 0; i < ty->rank; i++) n = dim_mul(t, n, ty->dims[i]);
    return n;
}

dim type_bytes(dim_table *t, const type *ty) {
    dim n = dim_const(t, (int64_t)dtype_bytes(ty->dtype));
    for (int i = 0; i < ty->rank; i++) {
        dim d = ty->dims[i];
        if (ty->layout && ty->layout->block_axis == i) {
            dim size = dim_const(t, ty->layout->block);
            d = dim_mul(t, dim_ceildiv(t, d, size), size);
        } else if (ty->layout) {
            d = dim_add(t, d, dim_const(t, ty->layout->halo_before[i] + ty->layout->halo_after[i]));
        }
        n = dim_mul(t, n, d);
    }
    return n;
}

bool type_static_dims(const dim_table *t, const type *ty, int64_t *dims) {
    for (int i = 0; i < ty->rank; i++)
        if (!dim_is_const(t, ty->dims[i], &dims[i])) return false;
    return ty->rank >= 0;
}

bool type_is_known(const type *t) {
    return t->kind != TYPE_NONE && !(t->kind == TYPE_TENSOR && t->rank < 0);
}

/* ---- attributes ---- */

const attr *node_attr(const node *n, const char *name) {
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}

int64_t node_attr_int(const node *n, const char *name, int64_t otherwise) {
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_INT ? a->i : otherwise;
}

double node_attr_float(const node *n, const char *name, double otherwise) {
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_FLOAT ? a->f : otherwise;
}

const char *node_attr_string(const node *n, const char *name, const char *otherwise) {
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_STRING ? a->string : otherwise;
}

region_id node_attr_region(const node *n, const char *name) {
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_REGION ? (region_id)a->i : 0;
}

const int64_t *node_attr_ints(const node *n, const char *name, size_t *count) {
    const attr *a = node_attr(n, name);
    *count = a && a->kind == ATTR_INTS ? a->count : 0;
    return *count ? a->ints : NULL;
}

/* ---- constants ---- */

const dim *graph_elements(graph *g, value_id v, size_t *count) {
    enum { MOST = 4096, MOST_OF_MATRIX = 64 };
    *count = 0;
    if (!v) return NULL;
    const type *t = graph_type(g, v);
    int64_t n;
    bool whole = t->kind == TYPE_TENSOR && (dtype_is_integer(t->dtype) || t->dtype == DTYPE_BOOL);
    if (!whole || t->rank < 0 || !dim_is_const(g->dims, type_elements(g->dims, t), &n)) return NULL;
    if (n > (t->rank > 1 ? MOST_OF_MATRIX : MOST)) return NULL;
    if (!graph_value(g, v)->elements) {
        if (!graph_value(g, v)->constant) return NULL;
        dim *elements = ARENA_ARRAY(g->memory, dim, (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            int64_t e = value_int(graph_value(g, v), g->dims, (size_t)i);
            if (e > DIM_MAX || e < -DIM_MAX) return NULL;
            elements[i] = dim_const(g->dims, e);
        }
        graph_value(g, v)->elements = elements;
    }
    *count = (size_t)n;
    return graph_value(g, v)->elements;
}

/* ---- rewriting ---- */

void graph_replace_uses(graph *g, value_id from, value_id to) {
    if (from != to && graph_value(g, from)->binds) graph_bind_move(g, from, to);
    for (size_t i = 1; i < g->nodes.count; i++) {
        node *n = &g->nodes.data[i];
        if (!n->region) continue;
        for (uint32_t j = 0; j < n->input_count; j++)
            if (n->inputs[j] == from) n->inputs[j] = to;
    }
    for (size_t i = 1; i < g->regions.count; i++)
        for (size_t j = 0; j < g->regions.data[i].outputs.count; j++)
            if (g->regions.data[i].outputs.data[j] == from) g->regions.data[i].outputs.data[j] = to;
}

static void take_out(graph *g, node_id n) {
    region *r = graph_region(g, graph_node(g, n)->region);
    size_t at = 0;
    while (r->nodes.data[at] != n) at++;
    memmove(&r->nodes.data[at], &r->nodes.data[at + 1],
            (r->nodes.count - 1 - at) * sizeof *r->nodes.data);
    r->nodes.count--;
    graph_node(g, n)->region = 0;
}

/* The regions of a removed node go with it: their nodes no longer count. */
static void remove_regions(graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->attr_count; i++) {
        if (nd->attrs[i].kind != ATTR_REGION) continue;
        region *r = graph_region(g, (region_id)nd->attrs[i].i);
        if (r->owner != n) continue;
        for (size_t j = 0; j < r->nodes.count; j++) {
            remove_regions(g, r->nodes.data[j]);
            graph_node(g, r->nodes.data[j])->region = 0;
        }
        r->nodes.count = r->outputs.count = 0;
    }
}

void graph_remove_node(graph *g, node_id n) {
    take_out(g, n);
    remove_regions(g, n);
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->output_count; i++)
        if (nd->outputs[i] && graph_value(g, nd->outputs[i])->producer == n)
            graph_value(g, nd->outputs[i])->producer = 0;
}

void graph_move_node_before(graph *g, node_id n, region_id to, node_id before) {
    take_out(g, n);
    insert_node(g, to, before, n);
    graph_node(g, n)->region = to;
    /* Regions that it owns are now nested where it stands. */
    for (uint32_t i = 0; i < graph_node(g, n)->attr_count; i++)
        if (graph_node(g, n)->attrs[i].kind == ATTR_REGION)
            graph_region(g, (region_id)graph_node(g, n)->attrs[i].i)->parent = to;
}

void graph_move_node(graph *g, node_id n, region_id to) {
    graph_move_node_before(g, n, to, 0);
}

uint32_t *graph_count_uses(const graph *g) {
    uint32_t *uses = ARENA_ARRAY(g->memory, uint32_t, g->values.count);
    for (size_t i = 1; i < g->nodes.count; i++) {
        const node *n = &g->nodes.data[i];
        for (uint32_t j = 0; n->region && j < n->input_count; j++) uses[n->inputs[j]]++;
    }
    for (size_t i = 1; i < g->regions.count; i++)
        for (size_t j = 0; j < g->regions.data[i].outputs.count; j++)
            uses[g->regions.data[i].outputs.data[j]]++;
    return uses;
}

static bool is_dead(const graph *g, node_id n, const uint32_t *uses) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->output_count; i++)
        if (nd->outputs[i] && uses[nd->outputs[i]]) return false;
    return true;
}

static size_t remove_dead_in(graph *g, region_id r, uint32_t *uses) {
    size_t removed = 0;
    for (size_t i = graph_region(g, r)->nodes.count; i-- > 0;) {
        node_id n = graph_region(g, r)->nodes.data[i];
        if (!is_dead(g, n, uses)) {
            for (uint32_t j = 0; j < graph_node(g, n)->attr_count; j++) {
                attr a = graph_node(g, n)->attrs[j];
                if (a.kind == ATTR_REGION) removed += remove_dead_in(g, (region_id)a.i, uses);
            }
            continue;
        }
        for (uint32_t j = 0; j < graph_node(g, n)->input_count; j++)
            uses[graph_node(g, n)->inputs[j]]--;
        graph_remove_node(g, n);
        removed++;
    }
    return removed;
}

size_t graph_remove_dead(graph *g) {
    size_t removed = 0, now;
    do {
        uint32_t *uses = graph_count_uses(g);
        graph_bind_count_uses(g, uses);
        now = remove_dead_in(g, GRAPH_MAIN, uses);
        removed += now;
    } while (now);
    return removed;
}

/* ---- order of execution ---- */

typedef struct {
    graph *g;
    unsigned char *state; /* of every node: 0 new, 1 open, 2 done */
    LIST(node_id) order;
    region_id region;
} sorter;

static bool visit(sorter *s, node_id n, int depth);

static bool visit_value(sorter *s, value_id v, int depth) {
    node_id p = v ? graph_value(s->g, v)->producer : 0;
    return !p || graph_node(s->g, p)->region != s->region || visit(s, p, depth + 1);
}

/* What the regions of a node capture counts as its inputs. */
static bool visit_regions(sorter *s, node_id n, int depth) {
    const node *nd = graph_node(s->g, n);
    for (uint32_t i = 0; i < nd->attr_count; i++) {
        if (nd->attrs[i].kind != ATTR_REGION) continue;
        const region *r = graph_region(s->g, (region_id)nd->attrs[i].i);
        for (size_t j = 0; j < r->outputs.count; j++)
            if (!visit_value(s, r->outputs.data[j], depth)) return false;
        for (size_t j = 0; j < r->nodes.count; j++) {
            const node *inner = graph_node(s->g, r->nodes.data[j]);
            for (uint32_t k = 0; k < inner->input_count; k++)
                if (!visit_value(s, inner->inputs[k], depth)) return false;
            if (!visit_regions(s, r->nodes.data[j], depth)) return false;
        }
    }
    return true;
}

static bool visit(sorter *s, node_id n, int depth) {
    enum { MAX_CHAIN = 100000 };
    if (s->state[n] == 2) return true;
    const node *nd = graph_node(s->g, n);
    if (s->state[n] == 1 || depth > MAX_CHAIN)
        return diag_error(s->g->diag, nd->name, nd->source, NULL,
                          "the node depends on its own result");
    s->state[n] = 1;
    for (uint32_t i = 0; i < nd->input_count; i++)
        if (!visit_value(s, nd->inputs[i], depth)) return false;
    if (!visit_regions(s, n, depth)) return false;
    s->state[n] = 2;
    list_push(s->g->memory, &s->order, n);
    return true;
}

bool graph_sort(graph *g) {
    sorter s = {.g = g};
    s.state = ARENA_ARRAY(g->memory, unsigned char, g->nodes.count);
    for (region_id r = GRAPH_MAIN; r < g->regions.count; r++) {
        s.region = r;
        s.order.count = 0;
        for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++)
            if (!visit(&s, graph_region(g, r)->nodes.data[i], 0)) return false;
        if (s.order.count)
            memcpy(graph_region(g, r)->nodes.data, s.order.data,
                   s.order.count * sizeof *s.order.data);
    }
    return true;
}
