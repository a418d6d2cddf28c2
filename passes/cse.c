/* cse.c: nodes that compute the same, and constants of the same content, become one. A node may be
 * replaced by an equal one before it in its own region or in one around it; what the graph returns
 * under a name of its own stays. */
#include "passes/rewrite.h"

#include <string.h>

enum { BUCKETS = 1 << 12 };

typedef struct entry {
    struct entry *next;
    uint32_t hash, id; /* of a node or a constant value */
} entry;

typedef struct {
    graph *g;
    value_id *same; /* of every value: what stands for it; 0: itself */
    bool *pinned;   /* results of the graph */
    entry *buckets[BUCKETS];
    long merged;
} merger;

static uint32_t mix(uint32_t h, uint64_t v) {
    h ^= (uint32_t)v ^ (uint32_t)(v >> 32);
    h *= 0x9e3779b1u;
    return h ^ (h >> 15);
}

static uint32_t mix_bytes(uint32_t h, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

static value_id resolve(const merger *m, value_id v) {
    return m->same[v] ? m->same[v] : v;
}

static void add_entry(merger *m, uint32_t hash, uint32_t id) {
    entry *e = ARENA_NEW(m->g->memory, entry);
    *e = (entry){m->buckets[hash % BUCKETS], hash, id};
    m->buckets[hash % BUCKETS] = e;
}

/* ---- constants ---- */

/* A few bytes of both ends tell nearly all apart; equal hashes are compared in full. */
static uint32_t hash_constant(const value *v) {
    enum { SAMPLE = 256 };
    const unsigned char *p = v->constant->data;
    size_t n = v->constant->bytes, k = n < SAMPLE ? n : SAMPLE;
    uint32_t h = mix(mix(mix(1, v->type.dtype), n), (uint64_t)v->type.rank);
    h = mix_bytes(h, p, k);
    return mix_bytes(h, p + n - k, k);
}

static bool same_constant(const value *a, const value *b) {
    return a->constant->bytes == b->constant->bytes && a->constant->splat == b->constant->splat &&
           type_equal(&a->type, &b->type) &&
           memcmp(a->constant->data, b->constant->data, a->constant->bytes) == 0;
}

static void merge_constants(merger *m) {
    for (value_id v = 1; v < m->g->values.count; v++) {
        const value *val = graph_value(m->g, v);
        if (!val->constant || val->type.dtype == DTYPE_STRING) continue;
        uint32_t h = hash_constant(val);
        const entry *e = m->buckets[h % BUCKETS];
        while (e && (e->hash != h || !same_constant(graph_value(m->g, e->id), val))) e = e->next;
        if (!e)
            add_entry(m, h, v);
        else if (!m->pinned[v])
            m->same[v] = e->id;
    }
}

/* ---- nodes ---- */

static bool same_strings(const attr *a, const attr *b) {
    for (size_t i = 0; i < a->count; i++)
        if (a->strings[i].length != b->strings[i].length ||
            memcmp(a->strings[i].data, b->strings[i].data, a->strings[i].length) != 0)
            return false;
    return true;
}

static bool same_attr(const merger *m, const attr *a, const attr *b) {
    if (a->kind != b->kind || a->count != b->count) return false;
    switch (a->kind) {
    case ATTR_INT: return a->i == b->i;
    case ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTR_STRING: return memcmp(a->string, b->string, a->count) == 0;
    case ATTR_INTS: return !a->count || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0;
    case ATTR_FLOATS:
        return !a->count || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0;
    case ATTR_STRINGS: return same_strings(a, b);
    case ATTR_TENSOR:
    case ATTR_TENSORS:
        for (size_t i = 0; i < a->count; i++)
            if (resolve(m, a->tensors[i]) != resolve(m, b->tensors[i])) return false;
        return true;
    case ATTR_TYPE: return type_equal(a->type, b->type);
    default: return false;
    }
}

static bool same_inputs(const node *a, const node *b) {
    if (a->input_count != b->input_count) return false;
    if ((a->op->flags & OP_COMMUTATIVE) && a->input_count == 2)
        return (a->inputs[0] == b->inputs[0] && a->inputs[1] == b->inputs[1]) ||
               (a->inputs[0] == b->inputs[1] && a->inputs[1] == b->inputs[0]);
    return !a->input_count || memcmp(a->inputs, b->inputs, a->input_count * sizeof *a->inputs) == 0;
}

/* Whether a's results can stand for b's. */
static bool same_node(const merger *m, const node *a, const node *b) {
    if (a->op != b->op || a->attr_count != b->attr_count || a->output_count < b->output_count ||
        !same_inputs(a, b))
        return false;
    for (uint32_t i = 0; i < a->attr_count; i++) {
        const attr *other = node_attr(b, a->attrs[i].name);
        if (!other || !same_attr(m, &a->attrs[i], other)) return false;
    }
    for (uint32_t i = 0; i < b->output_count; i++)
        if (b->outputs[i] && (!a->outputs[i] || !type_equal(graph_type(m->g, a->outputs[i]),
                                                            graph_type(m->g, b->outputs[i]))))
            return false;
    return true;
}

/* 0 for nodes that are merged with no other. */
static uint32_t hash_node(const merger *m, const node *n) {
    uint32_t h = mix(2, (uint64_t)(uintptr_t)n->op), inputs = 0;
    if (n->op->flags & OP_EFFECT || !n->output_count) return 0;
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i] && m->pinned[n->outputs[i]]) return 0;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (n->attrs[i].kind == ATTR_REGION) return 0;
    /* A sum, for it must not depend on the order of commutative operands. */
    for (uint32_t i = 0; i < n->input_count; i++) inputs += mix(3, n->inputs[i]);
    h = mix(h, inputs);
    return h ? h : 1;
}

static void merge_node(merger *m, node_id id) {
    const node *n = graph_node(m->g, id);
    uint32_t h = hash_node(m, n);
    if (!h) return;
    const entry *e = m->buckets[h % BUCKETS];
    while (e && (e->hash != h || !same_node(m, graph_node(m->g, e->id), n))) e = e->next;
    if (!e) {
        add_entry(m, h, id);
        return;
    }
    const node *other = graph_node(m->g, e->id);
    for (uint32_t i = 0; i < n->output_count; i++)
        if (n->outputs[i]) m->same[n->outputs[i]] = other->outputs[i];
    m->merged++;
}

/* What a region adds to the table is dropped behind it. */
static void merge_region(merger *m, region_id r) {
    entry *saved[BUCKETS];
    memcpy(saved, m->buckets, sizeof saved);
    for (size_t i = 0; i < graph_region(m->g, r)->nodes.count; i++) {
        node_id id = graph_region(m->g, r)->nodes.data[i];
        node *n = graph_node(m->g, id);
        for (uint32_t j = 0; j < n->input_count; j++) n->inputs[j] = resolve(m, n->inputs[j]);
        for (uint32_t j = 0; j < n->attr_count; j++)
            if (n->attrs[j].kind == ATTR_REGION) merge_region(m, (region_id)n->attrs[j].i);
        merge_node(m, id);
    }
    region *reg = graph_region(m->g, r);
    for (size_t i = 0; i < reg->outputs.count; i++)
        reg->outputs.data[i] = resolve(m, reg->outputs.data[i]);
    memcpy(m->buckets, saved, sizeof saved);
}

static long run(graph *g, const pass_options *options) {
    (void)options;
    merger *m = ARENA_NEW(g->memory, merger);
    m->g = g;
    m->same = ARENA_ARRAY(g->memory, value_id, g->values.count);
    m->pinned = ARENA_ARRAY(g->memory, bool, g->values.count);
    const region *main = graph_region(g, GRAPH_MAIN);
    for (size_t i = 0; i < main->outputs.count; i++) m->pinned[main->outputs.data[i]] = true;
    merge_constants(m);
    memset(m->buckets, 0, sizeof m->buckets);
    merge_region(m, GRAPH_MAIN);
    graph_remove_dead(g);
    return m->merged;
}

const pass_def pass_cse = {"cse", "merge nodes that compute the same, and equal constants", run};
