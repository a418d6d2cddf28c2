/* tfidf.c: TfIdfVectorizer. Its pool of n-grams becomes a sorted list of words and a tree over them
 * when the model is compiled; the runtime counts. */
#include "ir/ops/kit.h"
#include "ir/ops/string.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ITEMS = 1 << 24 };

typedef struct {
    int32_t column; /* of the result; -1: no n-gram ends here */
    int32_t parent, word;
} tree_node;

typedef struct {
    graph *g;
    const int64_t *numbers; /* the pool: one of the two */
    const blob_string *strings;
    int32_t *places; /* of the pool's items in the list of words */
    size_t items, words;
    tree_node *nodes; /* 0 is the root; there are fewer than items + 1 others */
    size_t node_count;
    int32_t *slots; /* nodes by parent and word, hashed; 0 is free */
    size_t slot_count;
} pool;

static const attr *list_attr(graph *g, node_id n, const char *name, attr_kind kind) {
    const attr *a = node_attr(graph_node(g, n), name);
    return a && a->kind == kind && a->count ? a : NULL;
}

static bool infer_tfidf(graph *g, node_id n) {
    const attr *columns = list_attr(g, n, "ngram_indexes", ATTR_INTS);
    int64_t most = -1;
    if (!kit_need(g, n, 0, 0, 2)) return false;
    for (size_t i = 0; columns && i < columns->count; i++) {
        if (columns->ints[i] < 0 || columns->ints[i] > MOST_ITEMS)
            return op_error(g, n, NULL, "ngram_indexes holds %lld", (long long)columns->ints[i]);
        if (columns->ints[i] > most) most = columns->ints[i];
    }
    if (most < 0) return op_error(g, n, NULL, "ngram_indexes is empty");
    const type *x = kit_input(g, n, 0);
    dim dims[] = {x->rank == 2 ? x->dims[0] : kit_dim(g, most + 1), kit_dim(g, most + 1)};
    op_set_type(g, n, 0, type_tensor(DTYPE_F32, x->rank == 2 ? 2 : 1, dims));
    return true;
}

/* ---- words ---- */

static int compare_items(const void *x, const void *y, void *user) {
    const pool *p = user;
    int32_t i = *(const int32_t *)x, j = *(const int32_t *)y;
    if (p->numbers) return p->numbers[i] < p->numbers[j] ? -1 : p->numbers[i] > p->numbers[j];
    const blob_string *a = &p->strings[i], *b = &p->strings[j];
    size_t least = a->length < b->length ? a->length : b->length;
    int order = least ? memcmp(a->data, b->data, least) : 0;
    return order ? order : a->length < b->length ? -1 : a->length > b->length;
}

/* The words of the pool as a constant, and every item's place among them. */
static value_id list_words(pool *p) {
    arena *a = p->g->memory;
    int32_t *order = ARENA_ARRAY(a, int32_t, p->items + 1);
    int64_t *numbers = ARENA_ARRAY(a, int64_t, p->items + 1);
    blob_string *strings = ARENA_ARRAY(a, blob_string, p->items + 1);
    p->places = ARENA_ARRAY(a, int32_t, p->items + 1);
    for (size_t i = 0; i < p->items; i++) order[i] = (int32_t)i;
    qsort_r(order, p->items, sizeof *order, compare_items, p);
    for (size_t i = 0; i < p->items; i++) {
        if (!i || compare_items(&order[i - 1], &order[i], p)) {
            if (p->numbers) numbers[p->words] = p->numbers[order[i]];
            if (p->strings) strings[p->words] = p->strings[order[i]];
            p->words++;
        }
        p->places[order[i]] = (int32_t)p->words - 1;
    }
    int64_t count = (int64_t)p->words;
    if (p->numbers) return graph_add_constant_ints(p->g, "words", DTYPE_I64, 1, &count, numbers);
    return string_table(p->g, "words", strings, p->words);
}

/* ---- the tree ---- */

static int32_t child_of(pool *p, int32_t node, int32_t word) {
    uint64_t key = (uint64_t)(uint32_t)node << 32 | (uint32_t)word;
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (p->slot_count - 1);
    for (; p->slots[at]; at = (at + 1) & (p->slot_count - 1)) {
        const tree_node *there = &p->nodes[p->slots[at]];
        if (there->parent == node && there->word == word) return p->slots[at];
    }
    p->nodes[p->node_count] = (tree_node){.column = -1, .parent = node, .word = word};
    return p->slots[at] = (int32_t)p->node_count++;
}

static void begin_tree(pool *p) {
    p->nodes = ARENA_ARRAY(p->g->memory, tree_node, p->items + 1);
    p->nodes[0] = (tree_node){.column = -1, .parent = -1};
    p->node_count = 1;
    p->slot_count = 16;
    while (p->slot_count < 2 * p->items) p->slot_count *= 2;
    p->slots = ARENA_ARRAY(p->g->memory, int32_t, p->slot_count);
}

/* N-grams of the sizes that are asked for; `columns` by number of the n-gram. */
static bool plant(pool *p, node_id n, const attr *starts, const attr *columns, int64_t least,
                  int64_t most) {
    size_t number = 0;
    begin_tree(p);
    for (size_t s = 0; s < starts->count; s++) {
        int64_t from = starts->ints[s], size = (int64_t)s + 1;
        int64_t to = s + 1 < starts->count ? starts->ints[s + 1] : (int64_t)p->items;
        if (from < 0 || to < from || to > (int64_t)p->items)
            return op_error(p->g, n, NULL, "ngram_counts holds %lld", (long long)from);
        for (; from + size <= to; from += size, number++) {
            int32_t node = 0;
            if (number >= columns->count)
                return op_error(p->g, n, NULL, "ngram_indexes has too few elements");
            if (size < least || size > most) continue;
            for (int64_t i = 0; i < size; i++) node = child_of(p, node, p->places[from + i]);
            p->nodes[node].column = (int32_t)columns->ints[number];
        }
    }
    return true;
}

static int compare_nodes(const void *x, const void *y, void *user) {
    const tree_node *a = &((const pool *)user)->nodes[*(const int32_t *)x];
    const tree_node *b = &((const pool *)user)->nodes[*(const int32_t *)y];
    if (a->parent != b->parent) return a->parent < b->parent ? -1 : 1;
    return a->word < b->word ? -1 : a->word > b->word;
}

/* The tree as the runtime reads it: each node's edges stand together. */
static void print_tree(pool *p, value_id *nodes, value_id *edges) {
    arena *a = p->g->memory;
    size_t count = p->node_count;
    int64_t node_words = (int64_t)count * 3, edge_words = (int64_t)count * 2;
    int32_t *table = ARENA_ARRAY(a, int32_t, count * 3),
            *pairs = ARENA_ARRAY(a, int32_t, count * 2), *order = ARENA_ARRAY(a, int32_t, count);
    for (size_t i = 0; i < count; i++) {
        order[i] = (int32_t)i;
        table[i * 3] = p->nodes[i].column;
    }
    qsort_r(order, count, sizeof *order, compare_nodes, p); /* the root comes first */
    for (size_t i = 1; i < count; i++) {
        int32_t *parent = &table[p->nodes[order[i]].parent * 3];
        if (!parent[2]++) parent[1] = (int32_t)i;
        pairs[i * 2] = p->nodes[order[i]].word;
        pairs[i * 2 + 1] = order[i];
    }
    *nodes = graph_add_constant(p->g, "nodes", type_tensor_const(p->g, DTYPE_I32, 1, &node_words),
                                (blob){table, count * 3 * sizeof *table, false});
    *edges = graph_add_constant(p->g, "edges", type_tensor_const(p->g, DTYPE_I32, 1, &edge_words),
                                (blob){pairs, count * 2 * sizeof *pairs, false});
}

/* ---- the operator ---- */

static bool read_mode(graph *g, node_id n, bool *once, bool *weighted) {
    const char *mode = node_attr_string(graph_node(g, n), "mode", "");
    *once = strcmp(mode, "IDF") == 0;
    *weighted = *once || strcmp(mode, "TFIDF") == 0;
    return *weighted || strcmp(mode, "TF") == 0 ||
           op_error(g, n, NULL, "attribute mode is \"%s\"", mode);
}

static value_id weights_of(graph *g, node_id n, bool weighted, int64_t columns) {
    const attr *a = list_attr(g, n, "weights", ATTR_FLOATS);
    if (!a || !weighted) return 0;
    if ((int64_t)a->count < columns) {
        op_error(g, n, NULL, "weights has %zu elements, the result %lld columns", a->count,
                 (long long)columns);
        return 0;
    }
    return graph_add_constant_floats(g, "weights", DTYPE_F32, 1, &columns, a->floats);
}

static bool expand_tfidf(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const attr *numbers = list_attr(g, n, "pool_int64s", ATTR_INTS);
    const attr *strings = list_attr(g, n, "pool_strings", ATTR_STRINGS);
    const attr *starts = list_attr(g, n, "ngram_counts", ATTR_INTS);
    const attr *columns = list_attr(g, n, "ngram_indexes", ATTR_INTS);
    const type x = *kit_input(g, n, 0), y = *graph_type(g, nd.outputs[0]);
    bool once, weighted, text = x.dtype == DTYPE_STRING;
    int64_t least = node_attr_int(&nd, "min_gram_length", 1);
    int64_t most = node_attr_int(&nd, "max_gram_length", 1);
    int64_t skips = node_attr_int(&nd, "max_skip_count", 0);
    size_t errors = g->diag->error_count;
    if (!starts || !(text ? strings : numbers))
        return op_error(g, n, NULL, "the pool that fits the input, or ngram_counts, is missing");
    if (least < 1 || most < least || skips < 0 || skips > MOST_ITEMS)
        return op_error(g, n, NULL, "the lengths of n-grams or the skips make no sense");
    if (!read_mode(g, n, &once, &weighted)) return false;
    pool p = {.g = g, .items = text ? strings->count : numbers->count};
    if (text)
        p.strings = strings->strings;
    else
        p.numbers = numbers->ints;
    value_id inputs[5] = {nd.inputs[0], list_words(&p)};
    if (!plant(&p, n, starts, columns, least, most)) return false;
    print_tree(&p, &inputs[2], &inputs[3]);
    inputs[4] = weights_of(g, n, weighted, dim_value(g->dims, y.dims[y.rank - 1]));
    if (g->diag->error_count > errors) return false;
    attr attrs[] = {attr_int("least", least), attr_int("most", most), attr_int("skips", skips),
                    attr_int("words", (int64_t)p.words), attr_int("once", once)};
    return string_become(g, n, "NGrams", 5, inputs, 1, &y, 5, attrs);
}

static bool infer_made(graph *g, node_id n) {
    (void)g, (void)n;
    return true;
}

/* A word for each element of a row. */
static dim ngrams_scratch(graph *g, node_id n) {
    const type *x = kit_input(g, n, 0);
    dim length = x->rank ? x->dims[x->rank - 1] : kit_dim(g, 1);
    return dim_mul(g->dims, length, kit_dim(g, (int64_t)sizeof(int32_t)));
}

const op_def ops_tfidf[] = {
    {.domain = "", .name = "TfIdfVectorizer", .infer = infer_tfidf, .expand = expand_tfidf},
    {.domain = OP_INTERNAL,
     .name = "NGrams",
     .infer = infer_made,
     .call = "ngrams",
     .call_attributes = "least most skips words once",
     .scratch = ngrams_scratch},
};
const size_t ops_tfidf_count = sizeof ops_tfidf / sizeof *ops_tfidf;
