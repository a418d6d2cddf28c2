/* onnxcc_rt_ngrams.c: counts of n-grams in rows of words or numbers (TfIdfVectorizer). The compiler
 * makes a sorted list of the words, and a tree of the n-grams over their places in it. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_ngrams(const onnxcc_call *call);

typedef struct {
    const int32_t *nodes; /* column of the result or -1, first edge, number of edges */
    const int32_t *edges; /* word, node: sorted by word in each node */
    int64_t least, most, skips;
} ngrams_tree;

static int ngrams_compare(const onnxcc_string *a, const char *data, uint64_t length) {
    uint64_t least = a->length < length ? a->length : length;
    for (uint64_t i = 0; i < least; i++) {
        int x = (unsigned char)a->data[i], y = (unsigned char)data[i];
        if (x != y) return x < y ? -1 : 1;
    }
    return a->length < length ? -1 : a->length > length;
}

static int ngrams_order(const onnxcc_tensor *x, int64_t at, const onnxcc_tensor *words,
                        int64_t place) {
    if (x->element_type == 8) {
        const char *table = words->data;
        const uint64_t *offsets = words->data;
        return ngrams_compare((const onnxcc_string *)x->data + at, table + offsets[place],
                              offsets[place + 1] - offsets[place]);
    }
    int64_t v =
        x->element_type == 6 ? ((const int32_t *)x->data)[at] : ((const int64_t *)x->data)[at];
    int64_t w = ((const int64_t *)words->data)[place];
    return v < w ? -1 : v > w;
}

/* The place of an element in the list of words; -1 if it is not there. */
static int32_t ngrams_find(const onnxcc_tensor *x, int64_t at, const onnxcc_tensor *words,
                           int64_t count) {
    int64_t low = 0;
    while (count > 0) {
        int64_t half = count / 2;
        int order = ngrams_order(x, at, words, low + half);
        if (order == 0) return (int32_t)(low + half);
        if (order > 0) low += half + 1;
        count = order > 0 ? count - half - 1 : half;
    }
    return -1;
}

static int32_t ngrams_child(const ngrams_tree *t, int32_t node, int32_t word) {
    int32_t low = t->nodes[node * 3 + 1], count = t->nodes[node * 3 + 2];
    while (count > 0) {
        int32_t half = count / 2, there = t->edges[(low + half) * 2];
        if (there == word) return t->edges[(low + half) * 2 + 1];
        if (there < word) low += half + 1;
        count = there < word ? count - half - 1 : half;
    }
    return -1;
}

static void ngrams_count(const ngrams_tree *t, const int32_t *row, int64_t length, float *counts) {
    int64_t least = t->least;
    for (int64_t distance = 1; distance <= t->skips + 1; distance++) {
        for (int64_t from = 0; from < length; from++) {
            int32_t node = 0;
            if (least > 1 && (length - 1 - from) / distance < least - 1) break;
            for (int64_t n = 1, at = from; n <= t->most && at < length; n++) {
                node = row[at] < 0 ? -1 : ngrams_child(t, node, row[at]);
                if (node < 0) break;
                if (n >= least && t->nodes[node * 3] >= 0) counts[t->nodes[node * 3]] += 1;
                if (distance > length - at) break;
                at += distance;
            }
        }
        /* Skips do not matter to single words: they are counted once. */
        if (least == 1 && ++least > t->most) break;
    }
}

/* Inputs: rows, words, nodes, edges, weights (may be left out). Outputs: counts; a word for each
 * element of a row to work with. Attributes: shortest and longest n-gram, skips, number of words,
 * whether to count each n-gram once. */
int onnxcc_rt_ngrams(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *words = &call->inputs[1], *y = &call->outputs[0];
    const int64_t *a = call->attributes;
    const ngrams_tree tree = {call->inputs[2].data, call->inputs[3].data, a[0], a[1], a[2]};
    const float *weights = call->inputs[4].data;
    int64_t length = x->rank ? x->dims[x->rank - 1] : 1, rows = x->rank == 2 ? x->dims[0] : 1;
    int64_t columns = y->dims[y->rank - 1];
    int32_t *row = call->outputs[1].data;
    for (int64_t r = 0; r < rows; r++) {
        float *counts = (float *)y->data + r * columns;
        memset(counts, 0, (size_t)columns * sizeof *counts);
        for (int64_t i = 0; i < length; i++) row[i] = ngrams_find(x, r * length + i, words, a[3]);
        ngrams_count(&tree, row, length, counts);
        for (int64_t c = 0; c < columns; c++) {
            if (a[4] && counts[c] > 1) counts[c] = 1;
            if (weights) counts[c] *= weights[c];
        }
    }
    return ONNXCC_OK;
}
