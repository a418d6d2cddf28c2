/* contrib_grouped.c: GroupQueryAttention. Every batch has a length of its own: the new keys stand
 * behind its past in the cache, and its queries see what stands before them. The cache is an
 * internal operator; rotation, masking and the products are the standard's. */
#include "ir/ops/contrib_attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    GQA_Q,
    GQA_K,
    GQA_V,
    GQA_PAST_K,
    GQA_PAST_V,
    GQA_LENGTHS,
    GQA_TOTAL,
    GQA_COSINE,
    GQA_SINE,
    GQA_POSITIONS,
    GQA_BIAS,
    GQA_SINK,
    GQA_K_SCALE,
    GQA_V_SCALE,
    GQA_Q_NORM,
    GQA_K_NORM,
    GQA_QUERY_LENGTHS
};

/* ---- KeyCache: past, new, the length of the past of each batch ---- */

enum { CACHE_PAST, CACHE_NEW, CACHE_LENGTHS };

/* Who makes it gives its output the length of the cache; that stays. */
static bool infer_cache(graph *g, node_id n) {
    if (!kit_may(g, n, CACHE_PAST, 4, 4) || !kit_need(g, n, CACHE_NEW, 4, 4) ||
        !kit_need(g, n, CACHE_LENGTHS, 1, 1))
        return false;
    const type made = *graph_type(g, graph_output(g, n, 0));
    type t = *kit_input(g, n, CACHE_NEW);
    dim dims[] = {t.dims[0], t.dims[1],
                  made.kind == TYPE_TENSOR && made.rank == 4 ? made.dims[2] : t.dims[2], t.dims[3]};
    op_set_type(g, n, 0, type_tensor(t.dtype, 4, dims));
    return true;
}

/* Rows before the past's length are the past's, then the new ones stand; zero behind them. */
static loop_expr element_cache(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id past = graph_input(g, n, CACHE_PAST), added = graph_input(g, n, CACHE_NEW);
    dtype t = lower_type(l, graph_output(g, n, output))->dtype;
    loop_expr length = kit_read(l, DTYPE_I64, graph_input(g, n, CACHE_LENGTHS), &index[0]);
    loop_expr at[] = {index[0], index[1], loop_sub(k, index[2], length), index[3]};
    loop_expr zero = dtype_is_float(t) ? loop_const(k, t, 0) : loop_const_int(k, t, 0);
    loop_expr fresh = lower_read_or(l, added, at, zero);
    if (!past) return fresh;
    at[2] = index[2];
    return loop_select(k, loop_lt(k, index[2], length), lower_read_or(l, past, at, zero), fresh);
}

/* How many keys the cache holds: its size, or the total length where that is more. */
static bool cache_length(graph *g, node_id n, value_id added, dim *out) {
    size_t count;
    value_id past = graph_input(g, n, GQA_PAST_K);
    const dim *total = graph_elements(g, graph_input(g, n, GQA_TOTAL), &count);
    dim rows = graph_type(g, added)->dims[2];
    if (!total || count != 1)
        return op_error(g, n, "compute it from the shape of a mask, or make it an initializer",
                        "total_sequence_length does not follow from shapes");
    *out = dim_max(g->dims, total[0], rows);
    if (past) *out = dim_max(g->dims, graph_type(g, past)->dims[2], *out);
    return true;
}

static value_id cache(graph *g, node_id n, value_id past, value_id added, value_id lengths) {
    if (!added || !lengths) return 0;
    const node nd = *graph_node(g, n);
    type t = *graph_type(g, added);
    dim dims[4] = {t.dims[0], t.dims[1], 0, t.dims[3]};
    if (!cache_length(g, n, added, &dims[2])) return 0;
    value_id out = graph_add_value(g, nd.name, type_tensor(t.dtype, 4, dims));
    value_id inputs[] = {past, added, lengths};
    node_id made = graph_add_node(g, nd.region, n, op_find(OP_INTERNAL, "KeyCache"), "", 3, inputs,
                                  1, &out, 0, NULL);
    return op_infer(g, made) ? out : 0;
}

/* ---- the node ---- */

/* What is computed of the lengths, each as i64. */
typedef struct {
    value_id total;     /* [batch], keys of each with the new ones */
    value_id past;      /* [batch], those before the new ones */
    value_id positions; /* [batch, rows], of the queries among the keys */
} lengths;

static bool read_lengths(graph *g, node_id n, value_id q, lengths *out) {
    const int64_t flat[] = {-1}, column[] = {1};
    value_id given = graph_input(g, n, GQA_QUERY_LENGTHS);
    value_id last = kit_build_reshape(g, n, graph_input(g, n, GQA_LENGTHS), flat, 1);
    last = kit_build_cast(g, n, last, DTYPE_I64);
    out->total = kit_build2(g, n, "Add", last, spell_number(g, DTYPE_I64, 1));
    value_id added = given ? kit_build_cast(g, n, given, DTYPE_I64) : spell_size(g, n, q, 2);
    out->past = kit_build2(g, n, "Max", kit_build2(g, n, "Sub", out->total, added),
                           spell_number(g, DTYPE_I64, 0));
    if (!out->past) return false;
    out->positions = kit_build2(g, n, "Add", contrib_unsqueezed(g, n, out->past, 1, column),
                                spell_range(g, n, q, 2));
    return out->positions != 0;
}

/* Whether a query sees a key: a bool [batch, 1, rows, keys]. */
static value_id visible(graph *g, node_id n, const lengths *at, value_id keys) {
    const node nd = *graph_node(g, n);
    const int64_t of_query[] = {1, 3}, of_batch[] = {1, 2, 3};
    int64_t window = node_attr_int(&nd, "local_window_size", -1);
    value_id key = spell_range(g, n, keys, 2);
    value_id position = contrib_unsqueezed(g, n, at->positions, 2, of_query);
    if (!node_attr_int(&nd, "causal", 1))
        return kit_build2(g, n, "Less", key, contrib_unsqueezed(g, n, at->total, 3, of_batch));
    value_id seen = kit_build2(g, n, "LessOrEqual", key, position);
    if (window < 0) return seen;
    value_id first = kit_build2(g, n, "Sub", position, spell_number(g, DTYPE_I64, (double)window));
    return kit_build2(g, n, "And", seen, kit_build2(g, n, "Greater", key, first));
}

/* Another key, of zeros, whose score is the sink of its head (0 if there is none): it takes part
 * of the probabilities and gives nothing. */
static bool add_sink(graph *g, node_id n, contrib_operands *o, value_id sink) {
    const int64_t to_scores[] = {0, 2, 3}, one = 1, pads[] = {0, 0, 0, 0, 0, 0, 1, 0};
    dtype t = graph_type(g, o->q)->dtype;
    value_id shape[] = {spell_size(g, n, o->q, 0), spell_size(g, n, o->q, 1),
                        spell_size(g, n, o->q, 2), spell_size(g, n, o->k, 2)};
    value_id all = kit_build2(g, n, "Expand", o->bias, spell_concat(g, n, 0, 4, shape));
    shape[3] = kit_ints(g, &one, 1);
    value_id column = sink ? contrib_unsqueezed(g, n, kit_build_cast(g, n, sink, t), 3, to_scores)
                           : spell_number(g, t, 0);
    column = kit_build2(g, n, "Expand", column, spell_concat(g, n, 0, 4, shape));
    value_id parts[] = {all, column};
    if (!all || !column) return false;
    o->bias = spell_concat(g, n, 3, 2, parts);
    o->k = kit_build2(g, n, "Pad", o->k, kit_ints(g, pads, 8));
    o->v = kit_build2(g, n, "Pad", o->v, kit_ints(g, pads, 8));
    return o->bias && o->k && o->v;
}

/* Masks, biases and sinks as the bias of the scores. */
static bool set_bias(graph *g, node_id n, const lengths *at, contrib_operands *o) {
    value_id given = graph_input(g, n, GQA_BIAS), sink = graph_input(g, n, GQA_SINK);
    bool smooth = sink || node_attr_int(graph_node(g, n), "smooth_softmax", 0) > 0;
    dtype t = graph_type(g, o->q)->dtype;
    o->bias = visible(g, n, at, o->k);
    if (!o->bias) return false;
    if (!given && !smooth) return true;
    value_id choice[] = {o->bias, given ? given : spell_number(g, t, 0),
                         spell_number(g, t, -INFINITY)};
    o->bias = kit_build(g, n, "Where", 3, choice, 0, NULL);
    return o->bias && (!smooth || add_sink(g, n, o, sink));
}

static bool check_settings(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const struct {
        bool used;
        const char *what;
    } refused[] = {
        {strcmp(node_attr_string(&nd, "k_quant_type", "NONE"), "NONE") != 0, "a quantised cache"},
        {strcmp(node_attr_string(&nd, "v_quant_type", "NONE"), "NONE") != 0, "a quantised cache"},
        {node_attr_int(&nd, "sliding_window_cache", 0) != 0, "a cache of the size of its window"},
        {node_attr_int(&nd, "qk_output", 0) != 0 || kit_has_output(g, n, 3),
         "the output of scores"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].used) return op_error(g, n, NULL, "%s is not supported", refused[i].what);
    if (!graph_input(g, n, GQA_PAST_K) != !graph_input(g, n, GQA_PAST_V))
        return op_error(g, n, NULL, "past_key and past_value must be given together");
    return kit_need(g, n, GQA_Q, 3, 3) && kit_may(g, n, GQA_K, 3, 3) && kit_may(g, n, GQA_V, 3, 3);
}

/* Queries, keys and values with their heads first; one tensor may hold all. */
static bool read_heads(graph *g, node_id n, contrib_operands *o) {
    const node nd = *graph_node(g, n);
    int64_t heads = node_attr_int(&nd, "num_heads", 0), kv = node_attr_int(&nd, "kv_num_heads", 0);
    value_id all = nd.inputs[GQA_Q], k = graph_input(g, n, GQA_K), v = graph_input(g, n, GQA_V);
    int64_t width;
    if (heads < 1 || kv < 1 || heads % kv || heads > INT32_MAX)
        return op_error(g, n, NULL, "%lld heads cannot share %lld", (long long)heads,
                        (long long)kv);
    o->q = all;
    if (!k != !v) return op_error(g, n, NULL, "key and value must be given together");
    if (!k) {
        if (!dim_is_const(g->dims, graph_type(g, all)->dims[2], &width) || width % (heads + 2 * kv))
            return op_error(g, n, NULL, "the columns cannot be split into %lld heads",
                            (long long)(heads + 2 * kv));
        int64_t size = width / (heads + 2 * kv), ends[] = {heads * size, (heads + kv) * size};
        o->q = kit_build_slice(g, n, all, 2, 0, ends[0]);
        k = kit_build_slice(g, n, all, 2, ends[0], ends[1]);
        v = kit_build_slice(g, n, all, 2, ends[1], width);
    }
    o->q = contrib_split_heads(g, n, o->q, heads);
    o->k = contrib_split_heads(g, n, k, kv);
    o->v = contrib_split_heads(g, n, v, kv);
    return o->q && o->k && o->v;
}

/* Heads divided by the root of their mean square, where the node says so. */
static value_id normalised(graph *g, node_id n, value_id v, uint32_t weight, const char *epsilon) {
    const node nd = *graph_node(g, n);
    value_id inputs[] = {v, graph_input(g, n, weight)};
    attr attrs[] = {
        attr_int("axis", -1),
        attr_float("epsilon",
                   node_attr_float(&nd, epsilon, node_attr_float(&nd, "qk_norm_epsilon", 1e-6)))};
    return inputs[1] ? kit_build(g, n, "RMSNormalization", 2, inputs, 2, attrs) : v;
}

static value_id rotated(graph *g, node_id n, value_id v, const lengths *at) {
    const node *nd = graph_node(g, n);
    value_id cosine = graph_input(g, n, GQA_COSINE), sine = graph_input(g, n, GQA_SINE);
    value_id given = graph_input(g, n, GQA_POSITIONS);
    if (!node_attr_int(nd, "do_rotary", 0)) return v;
    if (!cosine || !sine) {
        op_error(g, n, NULL, "do_rotary needs cos_cache and sin_cache");
        return 0;
    }
    return contrib_rotate(g, n, v, cosine, sine, given ? given : at->positions,
                          node_attr_int(nd, "rotary_interleaved", 0));
}

static bool expand_grouped(graph *g, node_id n) {
    contrib_operands o = {0};
    lengths at;
    value_id attended[4];
    if (!check_settings(g, n) || !read_heads(g, n, &o) || !read_lengths(g, n, o.q, &at))
        return false;
    o.q = rotated(g, n, normalised(g, n, o.q, GQA_Q_NORM, "q_norm_epsilon"), &at);
    o.k = rotated(g, n, normalised(g, n, o.k, GQA_K_NORM, "k_norm_epsilon"), &at);
    o.k = cache(g, n, graph_input(g, n, GQA_PAST_K), o.k, at.past);
    o.v = cache(g, n, graph_input(g, n, GQA_PAST_V), o.v, at.past);
    value_id made[] = {0, o.k, o.v};
    if (!o.q || !o.k || !o.v || !set_bias(g, n, &at, &o) || !contrib_attend(g, n, &o, attended))
        return false;
    made[0] = attended[0];
    return spell_results(g, n, 3, made);
}

const op_def ops_contrib_grouped[] = {
    SPELL_ROW("GroupQueryAttention", expand_grouped),
    {.domain = OP_INTERNAL, .name = "KeyCache", .infer = infer_cache, .element = element_cache},
};
const size_t ops_contrib_grouped_count = sizeof ops_contrib_grouped / sizeof *ops_contrib_grouped;
