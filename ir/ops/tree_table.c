/* tree_table.c: reads and checks decision trees; see tree_table.h. A test for membership in a set
 * becomes a binary search by comparisons, so that the walk down a tree knows comparisons alone. */
#include "ir/ops/tree_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 28, MOST_FEATURES = 1 << 26 };

/* ---- numbers of attributes ---- */

/* A list of numbers: an attribute of ints, floats or strings, or a tensor. */
typedef struct {
    const attr *a;
    const value *tensor;
    size_t count;
} numbers;

static numbers read_numbers(graph *g, node_id n, const char *name) {
    numbers x = {.a = node_attr(graph_node(g, n), name)};
    int64_t count;
    if (!x.a) return x;
    x.count = x.a->count;
    if (x.a->kind != ATTR_TENSOR) return x;
    x.tensor = graph_value(g, x.a->tensors[0]);
    x.count = dim_is_const(g->dims, type_elements(g->dims, &x.tensor->type), &count) &&
                      x.tensor->type.dtype != DTYPE_STRING
                  ? (size_t)count
                  : 0;
    return x;
}

/* The list, or the tensor that newer versions have in its place. */
static numbers read_either(graph *g, node_id n, const char *name) {
    numbers x = read_numbers(g, n, name);
    if (x.count) return x;
    return read_numbers(g, n, arena_printf(g->memory, "%s_as_tensor", name));
}

static double number(const graph *g, const numbers *x, size_t i) {
    if (x->tensor) return value_float(x->tensor, g->dims, i);
    return x->a->kind == ATTR_INTS ? (double)x->a->ints[i] : x->a->floats[i];
}

static int64_t whole(const graph *g, const numbers *x, size_t i) {
    return x->tensor ? value_int(x->tensor, g->dims, i) : x->a->ints[i];
}

/* Reads a list that must have `count` elements; with `optional` it may be missing. */
static bool need(graph *g, node_id n, const char *name, size_t count, bool optional, numbers *out) {
    *out = read_either(g, n, name);
    if (out->count == count || (optional && !out->count)) return true;
    return op_error(g, n, NULL, "attribute %s has %zu elements, must have %zu", name, out->count,
                    count);
}

/* ---- modes ---- */

enum { MODE_MEMBER = 6, MODE_LEAF = 7, MODE_COUNT = 8 };

static const struct {
    const char *name;
    int code;
} modes[MODE_COUNT] = {{"BRANCH_LEQ", TREE_LESS | TREE_EQUAL},
                       {"BRANCH_LT", TREE_LESS},
                       {"BRANCH_GTE", TREE_GREATER | TREE_EQUAL},
                       {"BRANCH_GT", TREE_GREATER},
                       {"BRANCH_EQ", TREE_EQUAL},
                       {"BRANCH_NEQ", TREE_LESS | TREE_GREATER | TREE_NAN},
                       {"BRANCH_MEMBER", 0},
                       {"LEAF", 0}};

static int mode_of(const blob_string *s) {
    for (int i = 0; i < MODE_COUNT; i++)
        if (strlen(modes[i].name) == s->length && memcmp(modes[i].name, s->data, s->length) == 0)
            return i;
    return -1;
}

static bool check_feature(graph *g, node_id n, int64_t feature, tree_table *t) {
    if (feature < 0 || feature >= MOST_FEATURES)
        return op_error(g, n, NULL, "a node of a tree tests feature %lld", (long long)feature);
    if (feature >= t->features) t->features = (int32_t)feature + 1;
    return true;
}

static bool check_target(graph *g, node_id n, int64_t target, int64_t targets) {
    return (target >= 0 && target < targets) ||
           op_error(g, n, NULL, "a leaf weighs for target %lld of %lld", (long long)target,
                    (long long)targets);
}

/* ---- membership ---- */

static int compare_doubles(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Puts the test for sorted members [first, last) at node `at`: the middle one cuts the set. Sets
 * are halved, so that this recurs no deeper than the width of a number. */
static void put_members(arena *a, tree_table *t, int32_t at, const double *members, size_t first,
                        size_t last) {
    tree_node made = t->nodes.data[at];
    if (last - first == 1) {
        t->nodes.data[at].value = members[first];
        t->nodes.data[at].code |= TREE_EQUAL;
        return;
    }
    size_t middle = first + (last - first) / 2;
    int32_t halves[2];
    for (int i = 0; i < 2; i++) {
        halves[i] = (int32_t)t->nodes.count;
        list_push(a, &t->nodes, made);
    }
    t->nodes.data[at] =
        (tree_node){members[middle], made.feature, TREE_LESS, {halves[0], halves[1]}};
    put_members(a, t, halves[0], members, first, middle);
    put_members(a, t, halves[1], members, middle, last);
}

/* The members of the next set, from *from to the NaN that ends it. */
static bool read_members(graph *g, node_id n, tree_table *t, int32_t at, const numbers *all,
                         size_t *from) {
    size_t first = *from, count;
    while (*from < all->count && !isnan(number(g, all, *from))) ++*from;
    count = *from - first;
    double *members = ARENA_ARRAY(g->memory, double, count + 1);
    for (size_t i = 0; i < count; i++) members[i] = number(g, all, first + i);
    if (*from == all->count)
        return op_error(g, n, NULL,
                        "attribute membership_values has fewer sets than there are tests "
                        "for membership");
    ++*from;
    qsort(members, count, sizeof *members, compare_doubles);
    /* No number is a member of the empty set; NaN may be let through all the same. */
    if (!count) return true;
    if (t->nodes.count + 2 * count > MOST) return op_error(g, n, NULL, "the sets are too large");
    put_members(g->memory, t, at, members, 0, count);
    return true;
}

/* ---- heights ---- */

/* The height of the node, from those of what it leads to; false if it leads to itself. Iterative:
 * trees of a hostile file may be as high as they have nodes. */
static bool measure(const tree_table *t, int32_t root, int32_t *height, int32_t *stack) {
    enum { NEW = 0, OPEN = -1 };
    size_t depth = 0;
    if (root >= 0) stack[depth++] = root;
    while (depth) {
        int32_t at = stack[depth - 1], most = 0, next = -1;
        const tree_node *nd = &t->nodes.data[at];
        height[at] = OPEN;
        for (int i = 0; i < 2 && next < 0; i++) {
            if (nd->next[i] < 0) continue;
            int32_t below = height[nd->next[i]];
            if (below == OPEN) return false;
            if (below == NEW) next = nd->next[i];
            if (below > most) most = below;
        }
        if (next >= 0) {
            stack[depth++] = next;
        } else {
            height[at] = most + 1;
            depth--;
        }
    }
    return true;
}

static bool finish(graph *g, node_id n, tree_table *t) {
    size_t count = t->nodes.count + 1;
    int32_t *height = ARENA_ARRAY(g->memory, int32_t, count);
    int32_t *stack = ARENA_ARRAY(g->memory, int32_t, count);
    for (size_t i = 0; i < t->roots.count; i++) {
        int32_t root = t->roots.data[i];
        if (!measure(t, root, height, stack))
            return op_error(g, n, NULL, "the nodes of tree %zu form a cycle", i);
        list_push(g->memory, &t->heights, root < 0 ? 0 : height[root]);
    }
    return t->roots.count || op_error(g, n, NULL, "it has no trees");
}

/* ---- TreeEnsemble ---- */

static bool read_branch(graph *g, node_id n, int64_t to, bool leaf, const tree_table *t,
                        size_t nodes, int32_t *out) {
    size_t limit = leaf ? (size_t)t->leaves : nodes;
    if (to < 0 || (size_t)to >= limit)
        return op_error(g, n, NULL, "a branch of a tree leads to %s %lld of %zu",
                        leaf ? "leaf" : "node", (long long)to, limit);
    *out = leaf ? ~(int32_t)to : (int32_t)to;
    return true;
}

static bool read_leaves(graph *g, node_id n, int64_t targets, tree_table *t) {
    numbers ids = read_numbers(g, n, "leaf_targetids"), weights;
    if (ids.count > MOST || !need(g, n, "leaf_weights", ids.count, false, &weights)) return false;
    for (size_t i = 0; i < ids.count; i++) {
        if (!check_target(g, n, whole(g, &ids, i), targets)) return false;
        tree_weight w = {number(g, &weights, i), (int32_t)i, (int32_t)whole(g, &ids, i)};
        list_push(g->memory, &t->weights, w);
    }
    t->leaves = (int32_t)ids.count;
    return true;
}

static bool read_nodes(graph *g, node_id n, tree_table *t, size_t count, numbers *mode) {
    numbers split, feature, nan, next[2], leaf[2];
    if (!need(g, n, "nodes_splits", count, false, &split) ||
        !need(g, n, "nodes_featureids", count, false, &feature) ||
        !need(g, n, "nodes_modes", count, false, mode) ||
        !need(g, n, "nodes_missing_value_tracks_true", count, true, &nan) ||
        !need(g, n, "nodes_truenodeids", count, false, &next[0]) ||
        !need(g, n, "nodes_falsenodeids", count, false, &next[1]) ||
        !need(g, n, "nodes_trueleafs", count, false, &leaf[0]) ||
        !need(g, n, "nodes_falseleafs", count, false, &leaf[1]))
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t m = whole(g, mode, i), f = whole(g, &feature, i);
        if (m < 0 || m > MODE_MEMBER)
            return op_error(g, n, NULL, "a node of a tree has mode %lld", (long long)m);
        tree_node made = {.value = number(g, &split, i), .feature = (int32_t)f};
        made.code = modes[m].code | (nan.count && whole(g, &nan, i) ? TREE_NAN : 0);
        if (!check_feature(g, n, f, t)) return false;
        for (int j = 0; j < 2; j++)
            if (!read_branch(g, n, whole(g, &next[j], i), whole(g, &leaf[j], i) != 0, t, count,
                             &made.next[j]))
                return false;
        list_push(g->memory, &t->nodes, made);
    }
    return true;
}

bool tree_table_read(graph *g, node_id n, int64_t targets, tree_table *t) {
    *t = (tree_table){.leaves = 0};
    numbers roots = read_numbers(g, n, "tree_roots"), mode;
    numbers members = read_numbers(g, n, "membership_values");
    size_t count = read_numbers(g, n, "nodes_featureids").count, from = 0;
    if (count > MOST || roots.count > MOST || members.count > MOST)
        return op_error(g, n, NULL, "the trees are too large");
    if (!read_leaves(g, n, targets, t) || !read_nodes(g, n, t, count, &mode)) return false;
    for (size_t i = 0; i < count; i++)
        if (whole(g, &mode, i) == MODE_MEMBER &&
            !read_members(g, n, t, (int32_t)i, &members, &from))
            return false;
    for (size_t i = 0; i < roots.count; i++) {
        int32_t root = 0;
        if (!read_branch(g, n, whole(g, &roots, i), false, t, count, &root)) return false;
        list_push(g->memory, &t->roots, root);
    }
    return finish(g, n, t);
}

/* ---- the older operators: nodes go by the number of their tree and one within it ---- */

typedef struct {
    int64_t tree, id;
    size_t place;
} node_key;

static int compare_keys(const void *a, const void *b) {
    const node_key *x = a, *y = b;
    if (x->tree != y->tree) return (x->tree > y->tree) - (x->tree < y->tree);
    return (x->id > y->id) - (x->id < y->id);
}

typedef struct {
    graph *g;
    node_id n;
    size_t count;
    node_key *keys;  /* sorted */
    int32_t *places; /* of each node of the file: a node, or the complement of a leaf */
    const attr *modes;
    numbers tree, id;
} old_trees;

static const node_key *find_key(const old_trees *o, int64_t tree, int64_t id) {
    node_key wanted = {tree, id, 0};
    return bsearch(&wanted, o->keys, o->count, sizeof *o->keys, compare_keys);
}

static bool sort_keys(old_trees *o) {
    o->keys = ARENA_ARRAY(o->g->memory, node_key, o->count);
    for (size_t i = 0; i < o->count; i++)
        o->keys[i] = (node_key){whole(o->g, &o->tree, i), whole(o->g, &o->id, i), i};
    qsort(o->keys, o->count, sizeof *o->keys, compare_keys);
    for (size_t i = 1; i < o->count; i++)
        if (compare_keys(&o->keys[i - 1], &o->keys[i]) == 0)
            return op_error(o->g, o->n, NULL, "tree %lld has two nodes %lld",
                            (long long)o->keys[i].tree, (long long)o->keys[i].id);
    return true;
}

/* Inner nodes and leaves are numbered apart. */
static bool number_nodes(old_trees *o, tree_table *t) {
    int32_t inner = 0;
    o->places = ARENA_ARRAY(o->g->memory, int32_t, o->count);
    for (size_t i = 0; i < o->count; i++) {
        int mode = mode_of(&o->modes->strings[i]);
        if (mode < 0 || mode == MODE_MEMBER)
            return op_error(o->g, o->n, NULL, "a node of a tree has mode %.*s",
                            (int)(o->modes->strings[i].length & 255), o->modes->strings[i].data);
        o->places[i] = mode == MODE_LEAF ? ~t->leaves++ : inner++;
    }
    return true;
}

static bool read_old_nodes(old_trees *o, tree_table *t) {
    graph *g = o->g;
    node_id n = o->n;
    numbers value, feature, nan, next[2];
    if (!need(g, n, "nodes_values", o->count, false, &value) ||
        !need(g, n, "nodes_featureids", o->count, false, &feature) ||
        !need(g, n, "nodes_missing_value_tracks_true", o->count, true, &nan) ||
        !need(g, n, "nodes_truenodeids", o->count, false, &next[0]) ||
        !need(g, n, "nodes_falsenodeids", o->count, false, &next[1]))
        return false;
    for (size_t i = 0; i < o->count; i++) {
        if (o->places[i] < 0) continue;
        int64_t f = whole(g, &feature, i), tree = whole(g, &o->tree, i);
        tree_node made = {.value = number(g, &value, i), .feature = (int32_t)f};
        made.code = modes[mode_of(&o->modes->strings[i])].code;
        if (nan.count && whole(g, &nan, i)) made.code |= TREE_NAN;
        if (!check_feature(g, n, f, t)) return false;
        for (int j = 0; j < 2; j++) {
            const node_key *to = find_key(o, tree, whole(g, &next[j], i));
            if (!to)
                return op_error(g, n, NULL,
                                "a branch of tree %lld leads to node %lld, which it "
                                "does not have",
                                (long long)tree, (long long)whole(g, &next[j], i));
            made.next[j] = o->places[to->place];
        }
        list_push(g->memory, &t->nodes, made);
    }
    return true;
}

/* A tree begins at its first node in the file. */
static void find_roots(const old_trees *o, tree_table *t) {
    size_t *first = ARENA_ARRAY(o->g->memory, size_t, o->count + 1);
    for (size_t i = 0; i < o->count; i++) first[i] = SIZE_MAX;
    for (size_t i = 0, j = 0; i < o->count; i = j) {
        size_t least = o->keys[i].place;
        for (j = i; j < o->count && o->keys[j].tree == o->keys[i].tree; j++)
            if (o->keys[j].place < least) least = o->keys[j].place;
        first[least] = least;
    }
    for (size_t i = 0; i < o->count; i++)
        if (first[i] == i) list_push(o->g->memory, &t->roots, o->places[i]);
}

static int compare_weights(const void *a, const void *b) {
    const tree_weight *x = a, *y = b;
    if (x->leaf != y->leaf) return (x->leaf > y->leaf) - (x->leaf < y->leaf);
    return (x->target > y->target) - (x->target < y->target);
}

static bool read_old_weights(old_trees *o, const char *prefix, int64_t targets, tree_table *t) {
    graph *g = o->g;
    node_id n = o->n;
    numbers ids = read_numbers(g, n, arena_printf(g->memory, "%s_ids", prefix)), tree, id, weight;
    if (ids.count > MOST) return op_error(g, n, NULL, "the trees are too large");
    if (!need(g, n, arena_printf(g->memory, "%s_treeids", prefix), ids.count, false, &tree) ||
        !need(g, n, arena_printf(g->memory, "%s_nodeids", prefix), ids.count, false, &id) ||
        !need(g, n, arena_printf(g->memory, "%s_weights", prefix), ids.count, false, &weight))
        return false;
    for (size_t i = 0; i < ids.count; i++) {
        const node_key *at = find_key(o, whole(g, &tree, i), whole(g, &id, i));
        if (!at)
            return op_error(g, n, NULL,
                            "a weight belongs to node %lld of tree %lld, which does not exist",
                            (long long)whole(g, &id, i), (long long)whole(g, &tree, i));
        if (!check_target(g, n, whole(g, &ids, i), targets)) return false;
        if (o->places[at->place] >= 0) continue; /* no leaf: the walk does not end there */
        tree_weight w = {number(g, &weight, i), ~o->places[at->place], (int32_t)whole(g, &ids, i)};
        list_push(g->memory, &t->weights, w);
    }
    if (t->weights.count)
        qsort(t->weights.data, t->weights.count, sizeof *t->weights.data, compare_weights);
    return true;
}

bool tree_table_read_old(graph *g, node_id n, const char *prefix, int64_t targets, tree_table *t) {
    *t = (tree_table){.leaves = 0};
    old_trees o = {.g = g, .n = n, .modes = node_attr(graph_node(g, n), "nodes_modes")};
    o.count = o.modes ? o.modes->count : 0;
    if (o.count > MOST) return op_error(g, n, NULL, "the trees are too large");
    if (!need(g, n, "nodes_treeids", o.count, false, &o.tree) ||
        !need(g, n, "nodes_nodeids", o.count, false, &o.id) || !sort_keys(&o) ||
        !number_nodes(&o, t) || !read_old_nodes(&o, t) || !read_old_weights(&o, prefix, targets, t))
        return false;
    find_roots(&o, t);
    return finish(g, n, t);
}
