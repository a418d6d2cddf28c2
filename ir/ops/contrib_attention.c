/* contrib_attention.c: ONNX Runtime's forms of attention but for grouped queries: Attention with
 * its input projection, QAttention, MultiHeadAttention, and RotaryEmbedding. Projections, packed
 * heads and the many kinds of mask become products, views and one bias of the scores; what remains
 * is the standard's Attention. */
#include "ir/ops/contrib_attention.h"

#include <math.h>

static const int64_t heads_first[] = {0, 2, 1, 3};

value_id contrib_split_heads(graph *g, node_id n, value_id v, int64_t heads) {
    int64_t shape[] = {0, 0, heads, -1};
    return kit_build_transpose(g, n, kit_build_reshape(g, n, v, shape, 4), heads_first, 4);
}

value_id contrib_unsqueezed(graph *g, node_id n, value_id v, int64_t count, const int64_t *axes) {
    return kit_build2(g, n, "Unsqueeze", v, kit_ints(g, axes, count));
}

bool contrib_attend(graph *g, node_id n, const contrib_operands *o, value_id *made) {
    const node nd = *graph_node(g, n);
    double scale = node_attr_float(&nd, "scale", 0);
    attr attrs[4];
    uint32_t count = 0;
    attrs[count++] = attr_int("is_causal", o->causal);
    attrs[count++] = attr_float("softcap", node_attr_float(&nd, "softcap", 0));
    attrs[count++] = attr_int("qk_matmul_output_mode", 2);
    if (scale != 0) attrs[count++] = attr_float("scale", scale);
    value_id inputs[] = {o->q, o->k, o->v, o->bias, o->past_k, o->past_v}, out[4];
    if (!o->q || !o->k || !o->v) return false;
    if (!spell_node(g, n, "Attention", 6, inputs, count, attrs, 4, out)) return false;
    int64_t joined[] = {0, 0, -1};
    made[0] = kit_build_reshape(g, n, kit_build_transpose(g, n, out[0], heads_first, 4), joined, 3);
    for (int i = 1; i < 4; i++) made[i] = out[i];
    return made[0] != 0;
}

/* ---- masks ---- */

/* Where a mask of integers shows keys: a bool that broadcasts against [batch, heads, rows, keys].
 * Vectors hold lengths, or ends and then starts. */
static value_id visible_keys(graph *g, node_id n, value_id mask, value_id keys, dim batch) {
    const int64_t column[] = {1}, of_heads[] = {1, 2}, of_rows[] = {1};
    const type t = *graph_type(g, mask);
    value_id zero = spell_number(g, t.dtype, 0);
    int64_t size, length;
    if (t.rank == 4) return kit_build2(g, n, "Greater", mask, zero);
    if (t.rank > 1)
        return contrib_unsqueezed(g, n, kit_build2(g, n, "Greater", mask, zero),
                                  t.rank == 2 ? 2 : 1, t.rank == 2 ? of_heads : of_rows);
    bool is_length = t.dims[0] == batch;
    if (!is_length && (!dim_is_const(g->dims, batch, &size) ||
                       !dim_is_const(g->dims, t.dims[0], &length) || length < size)) {
        op_error(g, n, "fix the batch with --dim", "a mask of %s elements is of no known kind",
                 dim_text(g->dims, g->memory, t.dims[0]));
        return 0;
    }
    value_id at = kit_build_cast(g, n, spell_range(g, n, keys, 2), t.dtype);
    value_id end = is_length ? mask : kit_build_slice(g, n, mask, 0, 0, size);
    value_id seen = kit_build2(g, n, "Less", at, contrib_unsqueezed(g, n, end, 1, column));
    if (!is_length && length == 2 * size) {
        value_id start = kit_build_slice(g, n, mask, 0, size, length);
        start = contrib_unsqueezed(g, n, start, 1, column);
        seen = kit_build2(g, n, "And", seen, kit_build2(g, n, "GreaterOrEqual", at, start));
    }
    return contrib_unsqueezed(g, n, seen, 2, of_heads);
}

/* What is added to the scores for a mask and a bias, of type t; 0 where there is neither. A masked
 * key is made unlikely, not impossible: where all are masked, it counts for nothing. */
static bool score_bias(graph *g, node_id n, value_id mask, value_id bias, value_id keys, dim batch,
                       dtype t, value_id *out) {
    *out = bias;
    if (!mask) return true;
    if (graph_type(g, mask)->kind != TYPE_TENSOR || graph_type(g, mask)->rank < 1 ||
        graph_type(g, mask)->rank > 4)
        return op_error(g, n, NULL, "a mask of %d axes is of no known kind",
                        graph_type(g, mask)->rank);
    double filter = node_attr_float(graph_node(g, n), "mask_filter_value", -10000);
    value_id choice[] = {visible_keys(g, n, mask, keys, batch), spell_number(g, t, 0),
                         spell_number(g, t, filter)};
    value_id sum = kit_build(g, n, "Where", 3, choice, 0, NULL);
    *out = bias ? kit_build2(g, n, "Add", bias, sum) : sum;
    return *out != 0;
}

/* The past with what is new behind it: as long as the keys are. */
static value_id all_keys(graph *g, node_id n, const contrib_operands *o) {
    value_id parts[] = {o->past_k, o->k};
    return o->past_k ? spell_concat(g, n, 2, 2, parts) : o->k;
}

/* ---- Attention, QAttention: one product makes queries, keys and values ---- */

/* Columns of queries, keys and values in a product of `width` columns. */
static bool hidden_sizes(graph *g, node_id n, int64_t width, int64_t *sizes) {
    size_t count;
    const int64_t *given = node_attr_ints(graph_node(g, n), "qkv_hidden_sizes", &count);
    for (int i = 0; i < 3; i++) sizes[i] = count == 3 ? given[i] : width / 3;
    for (int i = 0; i < 3; i++)
        if (sizes[i] < 1 || sizes[i] > width)
            return op_error(g, n, NULL, "attribute qkv_hidden_sizes makes no sense");
    return sizes[0] + sizes[1] + sizes[2] == width ||
           op_error(g, n, NULL, "%lld columns are no queries, keys and values", (long long)width);
}

static bool split_projection(graph *g, node_id n, value_id y, value_id *parts) {
    int64_t width, sizes[3], heads = node_attr_int(graph_node(g, n), "num_heads", 0);
    if (!y) return false;
    const type t = *graph_type(g, y);
    if (t.rank != 3 || !dim_is_const(g->dims, t.dims[2], &width))
        return op_error(g, n, NULL, "the weights' columns must be a constant");
    if (!hidden_sizes(g, n, width, sizes)) return false;
    for (int64_t i = 0, at = 0; i < 3; at += sizes[i++]) {
        if (heads < 1 || sizes[i] % heads)
            return op_error(g, n, NULL, "%lld columns cannot be split into %lld heads",
                            (long long)sizes[i], (long long)heads);
        parts[i] = contrib_split_heads(g, n, kit_build_slice(g, n, y, 2, at, at + sizes[i]), heads);
        if (!parts[i]) return false;
    }
    return true;
}

/* Half `i` of the past: keys or values. */
static value_id past_part(graph *g, node_id n, value_id past, int64_t i) {
    return past ? kit_build2(g, n, "Gather", past, spell_number(g, DTYPE_I64, (double)i)) : 0;
}

/* Attention behind the projection y. */
static bool attend_projection(graph *g, node_id n, value_id y, value_id mask, value_id past,
                              value_id bias) {
    const node nd = *graph_node(g, n);
    value_id parts[3], made[4], both[2];
    const int64_t front[] = {0};
    static const char *const refused[] = {"do_rotary", "past_present_share_buffer"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (node_attr_int(&nd, refused[i], 0))
            return op_error(g, n, NULL, "attribute %s is not supported", refused[i]);
    if (!split_projection(g, n, y, parts)) return false;
    contrib_operands o = {.q = parts[0], .k = parts[1], .v = parts[2]};
    o.past_k = past_part(g, n, past, 0);
    o.past_v = past_part(g, n, past, 1);
    o.causal = node_attr_int(&nd, "unidirectional", 0) != 0;
    const type t = *graph_type(g, y);
    if (!score_bias(g, n, mask, bias, mask ? all_keys(g, n, &o) : 0, t.dims[0], t.dtype, &o.bias) ||
        !contrib_attend(g, n, &o, made))
        return false;
    if (kit_has_output(g, n, 1)) {
        for (int i = 0; i < 2; i++) both[i] = contrib_unsqueezed(g, n, made[1 + i], 1, front);
        made[1] = spell_concat(g, n, 0, 2, both);
    }
    return spell_results(g, n, 2, made);
}

static bool expand_attention(graph *g, node_id n) {
    enum { X, WEIGHTS, BIAS, MASK, PAST, SCORE_BIAS, PAST_LENGTH };
    if (graph_input(g, n, PAST_LENGTH))
        return op_error(g, n, NULL, "a past that shares its buffer is not supported");
    value_id y = kit_build2(g, n, "MatMul", graph_input(g, n, X), graph_input(g, n, WEIGHTS));
    y = spell_sum(g, n, y, graph_input(g, n, BIAS));
    return attend_projection(g, n, y, graph_input(g, n, MASK), graph_input(g, n, PAST),
                             graph_input(g, n, SCORE_BIAS));
}

static bool expand_qattention(graph *g, node_id n) {
    enum { X, WEIGHTS, BIAS, X_SCALE, WEIGHT_SCALE, MASK, X_ZERO, WEIGHT_ZERO, PAST };
    value_id inputs[] = {graph_input(g, n, X),       graph_input(g, n, WEIGHTS),
                         graph_input(g, n, X_SCALE), graph_input(g, n, WEIGHT_SCALE),
                         graph_input(g, n, X_ZERO),  graph_input(g, n, WEIGHT_ZERO),
                         graph_input(g, n, BIAS)};
    value_id y = spell_value(g, n, SPELL_DOMAIN ".MatMulIntegerToFloat", 7, inputs, 0, NULL);
    return attend_projection(g, n, y, graph_input(g, n, MASK), graph_input(g, n, PAST), 0);
}

/* ---- MultiHeadAttention ---- */

enum {
    MHA_Q,
    MHA_K,
    MHA_V,
    MHA_BIAS,
    MHA_MASK,
    MHA_SCORE_BIAS,
    MHA_PAST_K,
    MHA_PAST_V,
    MHA_PAST_LENGTH,
    MHA_CACHE
};

/* Part `i` of [batch, sequence, heads, parts, size], heads first. */
static value_id unpacked(graph *g, node_id n, value_id v, int64_t i) {
    attr axis = attr_int("axis", 3);
    value_id inputs[] = {v, spell_number(g, DTYPE_I64, (double)i)};
    return kit_build_transpose(g, n, kit_build(g, n, "Gather", 2, inputs, 1, &axis), heads_first,
                               4);
}

/* Columns [at, at + width of v) of the bias added to v; moves `at` on. */
static value_id biased(graph *g, node_id n, value_id v, int64_t *at) {
    value_id bias = graph_input(g, n, MHA_BIAS);
    int64_t width;
    if (!bias) return v;
    if (!dim_is_const(g->dims, graph_type(g, v)->dims[2], &width)) {
        op_error(g, n, NULL, "the hidden size must be a constant");
        return 0;
    }
    *at += width;
    return kit_build2(g, n, "Add", v, kit_build_slice(g, n, bias, 0, *at - width, *at));
}

/* Queries, keys and values as [batch, heads, sequence, size], from whichever form they have. */
static bool read_heads(graph *g, node_id n, contrib_operands *o) {
    value_id q = graph_input(g, n, MHA_Q), k = graph_input(g, n, MHA_K);
    value_id v = graph_input(g, n, MHA_V);
    int64_t heads = node_attr_int(graph_node(g, n), "num_heads", 0), at = 0;
    int ranks[] = {graph_type(g, q)->rank, k ? graph_type(g, k)->rank : 0,
                   v ? graph_type(g, v)->rank : 0};
    if (heads < 1) return op_error(g, n, NULL, "attribute num_heads must be positive");
    if (ranks[0] == 5 && !k && !v && !graph_input(g, n, MHA_BIAS)) {
        o->q = unpacked(g, n, q, 0);
        o->k = unpacked(g, n, q, 1);
        o->v = unpacked(g, n, q, 2);
        return true;
    }
    if (ranks[0] != 3 || !k)
        return op_error(g, n, NULL, "queries of %d axes in this combination are not supported",
                        ranks[0]);
    o->q = contrib_split_heads(g, n, biased(g, n, q, &at), heads);
    if (ranks[1] == 5 && !v) {
        o->k = unpacked(g, n, k, 0);
        o->v = unpacked(g, n, k, 1);
    } else if (ranks[1] == 4 && ranks[2] == 4) {
        o->k = k;
        o->v = v;
    } else if (ranks[1] == 3 && ranks[2] == 3) {
        o->k = contrib_split_heads(g, n, biased(g, n, k, &at), heads);
        o->v = contrib_split_heads(g, n, biased(g, n, v, &at), heads);
    } else {
        return op_error(g, n, NULL, "keys of %d and values of %d axes are not supported", ranks[1],
                        ranks[2]);
    }
    return o->q && o->k && o->v;
}

static bool expand_multi_head(graph *g, node_id n) {
    contrib_operands o = {.past_k = graph_input(g, n, MHA_PAST_K),
                          .past_v = graph_input(g, n, MHA_PAST_V)};
    value_id made[4], mask = graph_input(g, n, MHA_MASK);
    o.causal = node_attr_int(graph_node(g, n), "unidirectional", 0) != 0;
    if (graph_input(g, n, MHA_PAST_LENGTH) || graph_input(g, n, MHA_CACHE))
        return op_error(g, n, NULL, "a past that shares its buffer is not supported");
    if (!read_heads(g, n, &o)) return false;
    const type t = *graph_type(g, o.q);
    if (!score_bias(g, n, mask, graph_input(g, n, MHA_SCORE_BIAS), mask ? all_keys(g, n, &o) : 0,
                    t.dims[0], t.dtype, &o.bias))
        return false;
    return contrib_attend(g, n, &o, made) && spell_results(g, n, 4, made);
}

/* ---- RotaryEmbedding ---- */

value_id contrib_rotate(graph *g, node_id n, value_id x, value_id cosine, value_id sine,
                        value_id positions, int64_t interleaved) {
    int64_t half;
    if (!x || !positions) return 0;
    if (graph_type(g, cosine)->rank != 2 ||
        !dim_is_const(g->dims, graph_type(g, cosine)->dims[1], &half)) {
        op_error(g, n, NULL, "the cache of cosines must be a matrix of a known width");
        return 0;
    }
    attr attrs[] = {attr_int("interleaved", interleaved),
                    attr_int("rotary_embedding_dim", 2 * half)};
    value_id inputs[] = {x, cosine, sine, positions};
    return spell_value(g, n, "RotaryEmbedding", 4, inputs, 2, attrs);
}

/* One position is that of the first row of every batch. */
static value_id row_positions(graph *g, node_id n, value_id x, value_id positions) {
    const type t = *graph_type(g, x), p = *graph_type(g, positions);
    if (p.rank == 2) return positions;
    value_id rows = kit_build2(g, n, "Add", spell_range(g, n, x, t.rank == 3 ? 1 : 2), positions);
    value_id shape[] = {spell_size(g, n, x, 0), spell_size(g, n, rows, 0)};
    return kit_build2(g, n, "Expand", rows, spell_concat(g, n, 0, 2, shape));
}

static bool expand_rotary(graph *g, node_id n) {
    enum { X, POSITIONS, COSINE, SINE };
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[X];
    int64_t heads = node_attr_int(&nd, "num_heads", 0), width, half;
    if (!kit_need(g, n, X, 3, 4) || !kit_need(g, n, COSINE, 2, 2) ||
        !kit_need(g, n, POSITIONS, 1, 2))
        return false;
    const type t = *graph_type(g, x);
    if (node_attr_int(&nd, "is_packed_batching", 0))
        return op_error(g, n, NULL, "attribute is_packed_batching is not supported");
    if (t.rank == 3 && !heads && dim_is_const(g->dims, t.dims[2], &width) &&
        dim_is_const(g->dims, kit_input(g, n, COSINE)->dims[1], &half) && half)
        heads = width / (2 * half);
    if (t.rank == 3) x = contrib_split_heads(g, n, x, heads > 0 ? heads : 1);
    value_id positions = row_positions(g, n, nd.inputs[X], nd.inputs[POSITIONS]);
    value_id y = contrib_rotate(g, n, x, nd.inputs[COSINE], nd.inputs[SINE], positions,
                                node_attr_int(&nd, "interleaved", 0));
    y = spell_scaled(g, n, y, node_attr_float(&nd, "scale", 1));
    int64_t joined[] = {0, 0, -1};
    if (t.rank == 3)
        y = kit_build_reshape(g, n, kit_build_transpose(g, n, y, heads_first, 4), joined, 3);
    return spell_result(g, n, y);
}

const op_def ops_contrib_attention[] = {
    SPELL_ROW("Attention", expand_attention),
    SPELL_ROW("QAttention", expand_qattention),
    SPELL_ROW("MultiHeadAttention", expand_multi_head),
    SPELL_ROW("RotaryEmbedding", expand_rotary),
};
const size_t ops_contrib_attention_count =
    sizeof ops_contrib_attention / sizeof *ops_contrib_attention;
