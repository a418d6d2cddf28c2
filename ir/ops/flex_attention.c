/* flex_attention.c: FlexAttention of ai.onnx.preview: attention whose scores and probabilities pass
 * through graphs that the node carries. It is spelt in products and a softmax, and the graphs'
 * nodes take their place among them, so that they fuse with what is around. */
#include "ir/ops/spell.h"

#include <math.h>

enum { FLEX_Q, FLEX_K, FLEX_V };

/* The nodes of a graph with one input and one output, put before n and applied to x; x itself if
 * the node has no such graph. */
static value_id apply_graph(graph *g, node_id n, const char *name, value_id x) {
    region_id r = node_attr_region(graph_node(g, n), name);
    if (!r || !x) return x;
    const region *body = graph_region(g, r);
    if (body->inputs.count != 1 || body->outputs.count != 1) {
        op_error(g, n, NULL, "graph %s has %zu inputs and %zu outputs, must have one of each", name,
                 body->inputs.count, body->outputs.count);
        return 0;
    }
    dtype t = graph_type(g, x)->dtype;
    graph_replace_uses(g, body->inputs.data[0], x);
    value_id made = graph_region(g, r)->outputs.data[0];
    bool ok = true;
    while (graph_region(g, r)->nodes.count) {
        node_id moved = graph_region(g, r)->nodes.data[0];
        graph_move_node_before(g, moved, graph_node(g, n)->region, n);
        ok = ok && op_infer(g, moved);
    }
    return ok ? kit_build_cast(g, n, made, t) : 0;
}

/* The type in which scores become probabilities. */
static dtype softmax_type(graph *g, node_id n, dtype t) {
    int64_t given = node_attr_int(graph_node(g, n), "softmax_precision", 0);
    if (!given) return kit_sum_type(t);
    if (given > 0 && given < DTYPE_COUNT && dtype_is_float((dtype)given) &&
        dtype_bits((dtype)given) >= 16)
        return (dtype)given;
    op_error(g, n, NULL, "attribute softmax_precision is %lld", (long long)given);
    return DTYPE_COUNT;
}

/* Groups of query heads that share a head of keys, as rows of that head. */
static value_id group_rows(graph *g, node_id n, value_id x, value_id like, value_id columns_of) {
    int64_t all = -1;
    value_id shape[] = {spell_size(g, n, x, 0), spell_size(g, n, like, 1), kit_ints(g, &all, 1),
                        spell_size(g, n, columns_of, -1)};
    return spell_reshape(g, n, x, 4, shape);
}

static bool check_shapes(graph *g, node_id n, int64_t *size, bool *grouped) {
    for (uint32_t i = FLEX_Q; i <= FLEX_V; i++)
        if (!kit_need(g, n, i, 4, 4)) return false;
    const type q = *kit_input(g, n, FLEX_Q), k = *kit_input(g, n, FLEX_K);
    const type v = *kit_input(g, n, FLEX_V);
    int64_t q_heads, heads;
    if (!dim_is_const(g->dims, q.dims[1], &q_heads) || !dim_is_const(g->dims, k.dims[1], &heads) ||
        !dim_is_const(g->dims, q.dims[3], size) || *size < 1)
        return op_error(g, n, NULL, "the number and size of the heads must be constants");
    if (heads < 1 || q_heads % heads)
        return op_error(g, n, NULL, "%lld heads of queries cannot share %lld of keys",
                        (long long)q_heads, (long long)heads);
    *grouped = q_heads != heads;
    return kit_agree(g, n, k.dims[1], v.dims[1], "heads of keys and values") &&
           kit_agree(g, n, k.dims[2], v.dims[2], "keys and values") &&
           kit_agree(g, n, q.dims[3], k.dims[3], "the size of queries and keys");
}

static bool expand_flex_attention(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    int64_t size = 0;
    bool grouped = false;
    if (!check_shapes(g, n, &size, &grouped)) return false;
    value_id q = nd.inputs[FLEX_Q], k = nd.inputs[FLEX_K], v = nd.inputs[FLEX_V];
    dtype t = graph_type(g, q)->dtype, wide = softmax_type(g, n, t);
    if (wide == DTYPE_COUNT) return false;
    double scale = sqrt(node_attr_float(&nd, "scale", 1 / sqrt((double)size)));
    dtype number = t == DTYPE_F64 ? t : DTYPE_F32;
    value_id factor = kit_build_cast(g, n, spell_number(g, number, scale), t);
    value_id rows = kit_build2(g, n, "Mul", q, factor), keys = kit_build2(g, n, "Mul", k, factor);
    if (grouped && rows) rows = group_rows(g, n, rows, k, q);
    value_id scores = kit_build2(g, n, "MatMul", rows, spell_transposed(g, n, keys));
    if (grouped && scores) scores = group_rows(g, n, scores, q, scores);
    scores = apply_graph(g, n, "score_mod", kit_build_cast(g, n, scores, wide));
    attr last = attr_int("axis", -1);
    value_id p = kit_build(g, n, "Softmax", 1, &scores, 1, &last);
    p = apply_graph(g, n, "prob_mod", p);
    if (grouped && p) p = group_rows(g, n, p, k, p);
    value_id y = kit_build2(g, n, "MatMul", p, kit_build_cast(g, n, v, wide));
    if (grouped && y) y = group_rows(g, n, y, q, v);
    return spell_result(g, n, kit_build_cast(g, n, y, t));
}

const op_def ops_flex_attention[] = {
    {.domain = "ai.onnx.preview", .name = "FlexAttention", .expand = expand_flex_attention},
};
const size_t ops_flex_attention_count = sizeof ops_flex_attention / sizeof *ops_flex_attention;
