/* attention.c: Attention and RotaryEmbedding. Attention becomes two products with the internal
 * operator AttentionSoftmax between them, which masks, caps and normalises the scores of a row.
 * Heads that share a key are rows of one product. */
#include "ir/ops/kit.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- Attention: shapes ---- */

enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_K, IN_PAST_V, IN_LENGTHS };

/* Sizes of one node; the heads are numbers. */
typedef struct {
    bool flat; /* inputs are [batch, sequence, heads * size] */
    int64_t q_heads, kv_heads;
    dim batch, rows, added, past, total, size, v_size;
} attention;

static bool heads_of(graph *g, node_id n, const char *name, const type *t, bool flat,
                     int64_t *heads) {
    *heads = node_attr_int(graph_node(g, n), name, 0);
    if (!flat && !dim_is_const(g->dims, t->dims[1], heads))
        return op_error(g, n, NULL, "the number of heads must be a constant");
    if (*heads < 1 || *heads > INT32_MAX)
        return op_error(g, n, NULL, "attribute %s is missing or not positive", name);
    int64_t width;
    if (flat && dim_is_const(g->dims, t->dims[2], &width) && width % *heads)
        return op_error(g, n, NULL, "%lld columns cannot be split into %lld heads",
                        (long long)width, (long long)*heads);
    return true;
}

static dim head_size(graph *g, const type *t, bool flat, int64_t heads) {
    return flat ? dim_floordiv(g->dims, t->dims[2], kit_dim(g, heads)) : t->dims[3];
}

static bool check_past(graph *g, node_id n, uint32_t i, const attention *a, dim size) {
    const type *t = kit_input(g, n, i);
    if (!t) return true;
    return kit_need(g, n, i, 4, 4) && kit_agree(g, n, t->dims[0], a->batch, "batches") &&
           kit_agree(g, n, t->dims[1], kit_dim(g, a->kv_heads), "heads of the past") &&
           kit_agree(g, n, t->dims[2], a->past, "length of the past") &&
           kit_agree(g, n, t->dims[3], size, "size of the past's heads");
}

static bool read_attention(graph *g, node_id n, attention *a) {
    for (uint32_t i = IN_Q; i <= IN_V; i++)
        if (!kit_need(g, n, i, 3, 4)) return false;
    const type q = *kit_input(g, n, IN_Q), k = *kit_input(g, n, IN_K), v = *kit_input(g, n, IN_V);
    if (q.rank != k.rank || q.rank != v.rank)
        return op_error(g, n, NULL, "queries, keys and values have different numbers of axes");
    a->flat = q.rank == 3;
    int64_t v_heads;
    if (!heads_of(g, n, "q_num_heads", &q, a->flat, &a->q_heads) ||
        !heads_of(g, n, "kv_num_heads", &k, a->flat, &a->kv_heads) ||
        !heads_of(g, n, "kv_num_heads", &v, a->flat, &v_heads))
        return false;
    if (a->q_heads % a->kv_heads || v_heads != a->kv_heads)
        return op_error(g, n, NULL, "%lld query heads do not fit %lld key and %lld value heads",
                        (long long)a->q_heads, (long long)a->kv_heads, (long long)v_heads);
    int sequence = a->flat ? 1 : 2;
    a->batch = q.dims[0];
    a->rows = q.dims[sequence];
    a->added = k.dims[sequence];
    a->size = head_size(g, &q, a->flat, a->q_heads);
    a->v_size = head_size(g, &v, a->flat, a->kv_heads);
    const type *past = kit_input(g, n, IN_PAST_K);
    if (!past != !kit_input(g, n, IN_PAST_V))
        return op_error(g, n, NULL, "past_key and past_value must be given together");
    if (past && !kit_need(g, n, IN_PAST_K, 4, 4)) return false;
    a->past = past ? past->dims[2] : kit_dim(g, 0);
    a->total = dim_add(g->dims, a->past, a->added);
    return kit_agree(g, n, a->size, head_size(g, &k, a->flat, a->kv_heads), "size of the heads") &&
           kit_agree(g, n, a->added, v.dims[sequence], "lengths of keys and values") &&
           check_past(g, n, IN_PAST_K, a, a->size) && check_past(g, n, IN_PAST_V, a, a->v_size) &&
           kit_may(g, n, IN_MASK, 1, 4) && kit_vector(g, n, IN_LENGTHS, a->batch, "lengths");
}

static bool infer_attention(graph *g, node_id n) {
    attention a;
    if (!read_attention(g, n, &a)) return false;
    dtype t = kit_input(g, n, IN_Q)->dtype, tv = kit_input(g, n, IN_V)->dtype;
    dim q_heads = kit_dim(g, a.q_heads), kv_heads = kit_dim(g, a.kv_heads);
    dim flat[] = {a.batch, a.rows, dim_mul(g->dims, q_heads, a.v_size)};
    dim split[] = {a.batch, q_heads, a.rows, a.v_size};
    dim keys[] = {a.batch, kv_heads, a.total, a.size};
    dim values[] = {a.batch, kv_heads, a.total, a.v_size};
    dim scores[] = {a.batch, q_heads, a.rows, a.total};
    op_set_type(g, n, 0, a.flat ? type_tensor(t, 3, flat) : type_tensor(t, 4, split));
    op_set_type(g, n, 1, type_tensor(kit_input(g, n, IN_K)->dtype, 4, keys));
    op_set_type(g, n, 2, type_tensor(tv, 4, values));
    op_set_type(g, n, 3, type_tensor(t, 4, scores));
    return true;
}

/* ---- Attention: expansion ---- */

static const int64_t heads_first[] = {0, 2, 1, 3}, transposed[] = {0, 1, 3, 2};

/* [batch, sequence, heads * size] as [batch, heads, sequence, size]. */
static value_id split_heads(graph *g, node_id n, value_id v, int64_t heads) {
    int64_t shape[] = {0, 0, heads, -1};
    return kit_build_transpose(g, n, kit_build_reshape(g, n, v, shape, 4), heads_first, 4);
}

/* The present: the past with what is new behind it. */
static value_id append(graph *g, node_id n, value_id past, value_id added) {
    if (!past) return added;
    value_id both[] = {past, added};
    attr axis = attr_int("axis", 2);
    return kit_build(g, n, "Concat", 2, both, 1, &axis);
}

/* [batch, from, rows, x] with other heads: their rows stand one behind the other. */
static value_id regroup(graph *g, node_id n, value_id v, int64_t from, int64_t to) {
    int64_t shape[] = {0, to, -1, 0};
    return from == to ? v : kit_build_reshape(g, n, v, shape, 4);
}

static value_id scaled(graph *g, node_id n, value_id v, double by) {
    value_id factor = graph_add_constant_floats(g, "scale", DTYPE_F32, 0, NULL, &by);
    if (!v) return 0;
    return kit_build2(g, n, "Mul", v, kit_build_cast(g, n, factor, graph_type(g, v)->dtype));
}

static value_id softmax_rows(graph *g, node_id n, value_id scores, value_id *capped) {
    const node nd = *graph_node(g, n);
    value_id inputs[] = {scores, graph_input(g, n, IN_MASK), graph_input(g, n, IN_LENGTHS),
                         graph_input(g, n, IN_PAST_K)};
    value_id outputs[] = {graph_add_value(g, NULL, (type){0}),
                          capped ? graph_add_value(g, NULL, (type){0}) : 0};
    node_id made =
        graph_add_node(g, nd.region, n, op_find(OP_INTERNAL, "AttentionSoftmax"), nd.name, 4,
                       inputs, capped ? 2 : 1, outputs, nd.attr_count, nd.attrs);
    graph_node(g, made)->source = nd.source;
    if (capped) *capped = outputs[1];
    return op_infer(g, made) ? outputs[0] : 0;
}

static bool expand_attention(graph *g, node_id n) {
    attention a;
    int64_t size;
    const node nd = *graph_node(g, n);
    if (!read_attention(g, n, &a)) return false;
    double scale = node_attr_float(&nd, "scale", 0);
    if (scale == 0) {
        if (!dim_is_const(g->dims, a.size, &size) || size < 1)
            return op_error(g, n, NULL, "the size of the heads must be a constant");
        scale = 1 / sqrt((double)size);
    }
    value_id q = nd.inputs[IN_Q], k = nd.inputs[IN_K], v = nd.inputs[IN_V];
    if (a.flat) {
        q = split_heads(g, n, q, a.q_heads);
        k = split_heads(g, n, k, a.kv_heads);
        v = split_heads(g, n, v, a.kv_heads);
    }
    if (!q || !k || !v) return false;
    k = append(g, n, graph_input(g, n, IN_PAST_K), k);
    v = append(g, n, graph_input(g, n, IN_PAST_V), v);
    if (!k || !v) return false;
    /* Narrow floats overflow less if both sides are scaled, as the standard's body has it. */
    bool narrow = dtype_bits(graph_type(g, q)->dtype) < 32;
    q = scaled(g, n, q, narrow ? sqrt(scale) : scale);
    value_id keys = narrow ? scaled(g, n, k, sqrt(scale)) : k;
    value_id scores = q ? regroup(g, n, q, a.q_heads, a.kv_heads) : 0;
    scores = kit_build2(g, n, "MatMul", scores, kit_build_transpose(g, n, keys, transposed, 4));
    scores = regroup(g, n, scores, a.kv_heads, a.q_heads);
    if (!scores) return false;
    value_id capped = 0;
    value_id p = softmax_rows(g, n, scores, kit_has_output(g, n, 3) ? &capped : NULL);
    p = p ? kit_build_cast(g, n, regroup(g, n, p, a.q_heads, a.kv_heads), graph_type(g, v)->dtype)
          : 0;
    value_id y = regroup(g, n, kit_build2(g, n, "MatMul", p, v), a.kv_heads, a.q_heads);
    y = y ? kit_build_cast(g, n, y, graph_type(g, nd.inputs[IN_Q])->dtype) : 0;
    int64_t joined[] = {0, 0, -1};
    if (a.flat)
        y = kit_build_reshape(g, n, kit_build_transpose(g, n, y, heads_first, 4), joined, 3);
    if (!y) return false;
    value_id made[] = {y, k, v, capped};
    for (uint32_t i = 0; i < nd.output_count && i < 4; i++) {
        if (!nd.outputs[i]) continue;
        /* A present that is its input as it came keeps that one's name. */
        value_id out = i == 1 || i == 2 ? kit_build1(g, n, "Identity", made[i]) : made[i];
        if (!out) return false;
        kit_replace(g, nd.outputs[i], out);
    }
    graph_remove_node(g, n);
    return true;
}

/* ---- AttentionSoftmax: scores, mask, lengths, past keys (of which only the length counts) ---- */

enum { ROW_SCORES, ROW_MASK, ROW_LENGTHS, ROW_PAST };

static bool infer_rows(graph *g, node_id n) {
    if (!kit_need(g, n, ROW_SCORES, 4, 4) || !kit_may(g, n, ROW_MASK, 1, 4)) return false;
    const type t = *kit_input(g, n, ROW_SCORES);
    for (uint32_t i = 0; i < 2; i++) op_set_type(g, n, i, type_tensor(t.dtype, 4, t.dims));
    return true;
}

/* One row of scores: keys are index[3]. */
typedef struct {
    node_id n;
    dtype sum;
    double softcap;
    int64_t left, right;
    bool causal;
    value_id scores, mask, lengths;
    loop_expr index[4], position, length; /* of the query among the keys; of the keys */
} score_row;

/* Whether the query may see the key, without the mask; 0: always. */
static loop_expr visible(lower *l, const score_row *r) {
    loop_kernel *k = lower_kernel(l);
    loop_expr all = 0, key = r->index[3], parts[4];
    int count = 0;
    loop_expr ahead = loop_sub(k, key, r->position);
    if (r->causal) parts[count++] = kit_op2(l, LOOP_LE, key, r->position);
    if (r->left >= 0) parts[count++] = kit_op2(l, LOOP_LE, loop_int(k, -r->left), ahead);
    if (r->right >= 0) parts[count++] = kit_op2(l, LOOP_LE, ahead, loop_int(k, r->right));
    if (r->lengths) parts[count++] = loop_lt(k, key, r->length);
    for (int i = 0; i < count; i++) all = all ? loop_and(k, all, parts[i]) : parts[i];
    return all;
}

/* The mask at the row's key: keys behind its end are masked. */
static loop_expr read_mask(lower *l, const score_row *r, loop_expr otherwise) {
    loop_kernel *k = lower_kernel(l);
    const type t = *lower_type(l, r->mask), s = *lower_type(l, r->scores);
    dim_table *d = lower_graph(l)->dims;
    loop_expr at[4];
    for (int i = 0; i < t.rank; i++) {
        int from = 4 - t.rank + i;
        at[i] = r->index[from];
        if (i == t.rank - 1 || t.dims[i] == s.dims[from]) continue;
        at[i] = dim_equals_const(d, t.dims[i], 1)
                    ? loop_int(k, 0)
                    : loop_min(k, at[i], loop_sub(k, loop_dim(k, t.dims[i]), loop_int(k, 1)));
    }
    return lower_read_or(l, r->mask, at, otherwise);
}

/* What is added to the score: -inf where the key is masked; 0 (no expression) if nothing is. */
static loop_expr bias(lower *l, const score_row *r) {
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_const(k, r->sum, 0), low = kit_lowest(l, r->sum), e = 0;
    loop_expr see = visible(l, r);
    if (r->mask && lower_type(l, r->mask)->dtype == DTYPE_BOOL) {
        loop_expr m = read_mask(l, r, loop_const_int(k, DTYPE_BOOL, 0));
        see = see ? loop_and(k, see, m) : m;
    } else if (r->mask) {
        e = loop_cast(k, r->sum, read_mask(l, r, kit_lowest(l, lower_type(l, r->mask)->dtype)));
    }
    return see ? loop_select(k, see, e ? e : zero, low) : e;
}

static loop_expr capped_score(lower *l, const score_row *r) {
    loop_kernel *k = lower_kernel(l);
    loop_expr e = kit_read(l, r->sum, r->scores, r->index);
    if (!(r->softcap > 0)) return e;
    loop_expr cap = loop_const(k, r->sum, r->softcap);
    return loop_mul(k, kit_op1(l, LOOP_TANH, kit_op2(l, LOOP_DIV, e, cap)), cap);
}

static loop_expr biased_score(lower *l, const score_row *r) {
    loop_kernel *k = lower_kernel(l);
    loop_expr b = bias(l, r), e = capped_score(l, r);
    if (!b) return e;
    /* A masked score counts for nothing, whatever it is. */
    loop_expr low = kit_lowest(l, r->sum), masked = kit_op2(l, LOOP_EQ, b, low);
    return loop_select(k, masked, low, loop_add(k, e, b));
}

static score_row begin_score_row(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    score_row r = {.n = n,
                   .scores = nd.inputs[ROW_SCORES],
                   .mask = graph_input(g, n, ROW_MASK),
                   .lengths = graph_input(g, n, ROW_LENGTHS),
                   .softcap = node_attr_float(&nd, "softcap", 0),
                   .left = node_attr_int(&nd, "left_window_size", -1),
                   .right = node_attr_int(&nd, "right_window_size", -1),
                   .causal = node_attr_int(&nd, "is_causal", 0) != 0};
    r.sum = kit_sum_type(lower_type(l, r.scores)->dtype);
    lower_loops_axes(l, nd.outputs[0], 0, 3, r.index);
    value_id past = graph_input(g, n, ROW_PAST);
    if (r.lengths) r.length = kit_read(l, DTYPE_I64, r.lengths, &r.index[0]);
    loop_expr offset = past        ? lower_dim(l, past, 2)
                       : r.lengths ? loop_sub(k, r.length, lower_dim(l, r.scores, 2))
                                   : loop_int(k, 0);
    r.position = loop_add(k, r.index[2], offset);
    return r;
}

static loop_expr begin_keys(lower *l, score_row *r, loop_kind kind) {
    return r->index[3] = lower_begin(l, kind, "t", lower_dim(l, r->scores, 3));
}

static void nest_rows(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    value_id y = nd.outputs[0], shown = graph_output(g, n, 1);
    int64_t mode = node_attr_int(&nd, "qk_matmul_output_mode", 0);
    score_row r = begin_score_row(l, n);
    loop_expr zero = loop_const(k, r.sum, 0), one = loop_const(k, r.sum, 1);
    loop_buf top = kit_scalar(l, "top", r.sum), total = kit_scalar(l, "total", r.sum);
    lower_assign(l, top, NULL, kit_lowest(l, r.sum));
    begin_keys(l, &r, LOOP_REDUCE);
    lower_accumulate(l, top, LOOP_MAX, biased_score(l, &r));
    lower_end(l);
    /* A row that sees no key has no maximum: all of it becomes zero. */
    loop_buf base = kit_scalar(l, "base", r.sum), scale = kit_scalar(l, "scale", r.sum);
    loop_expr none = kit_op2(l, LOOP_EQ, lower_value(l, top, NULL), kit_lowest(l, r.sum));
    lower_assign(l, base, NULL, loop_select(k, none, zero, lower_value(l, top, NULL)));
    lower_assign(l, total, NULL, zero);
    begin_keys(l, &r, LOOP_REDUCE);
    loop_expr shifted = loop_sub(k, biased_score(l, &r), lower_value(l, base, NULL));
    lower_accumulate(l, total, LOOP_ADD, kit_op1(l, LOOP_EXP, shifted));
    lower_end(l);
    loop_expr sum = lower_value(l, total, NULL), empty = kit_op2(l, LOOP_EQ, sum, zero);
    lower_assign(l, scale, NULL, loop_select(k, empty, zero, kit_op2(l, LOOP_DIV, one, sum)));
    begin_keys(l, &r, LOOP_INDEPENDENT);
    shifted = loop_sub(k, biased_score(l, &r), lower_value(l, base, NULL));
    loop_expr p = loop_mul(k, kit_op1(l, LOOP_EXP, shifted), lower_value(l, scale, NULL));
    lower_write(l, y, r.index, p);
    if (shown)
        lower_write(l, shown, r.index,
                    mode == 3   ? p
                    : mode == 2 ? biased_score(l, &r)
                                : capped_score(l, &r));
    lower_end(l);
    lower_end_loops(l);
}

/* ---- RotaryEmbedding ---- */

enum { ROTARY_X, ROTARY_COS, ROTARY_SIN, ROTARY_POSITIONS };

/* Numbers of one node: the size of a head, and how much of it is rotated. */
static bool read_rotary(graph *g, node_id n, int64_t *size, int64_t *rotated) {
    if (!kit_need(g, n, ROTARY_X, 3, 4)) return false;
    const type x = *kit_input(g, n, ROTARY_X);
    const node nd = *graph_node(g, n);
    int64_t heads = node_attr_int(&nd, "num_heads", 0);
    if (!dim_is_const(g->dims, x.dims[x.rank - 1], size))
        return op_error(g, n, NULL, "the size of the heads must be a constant");
    if (x.rank == 3) {
        if (heads < 1 || *size % heads)
            return op_error(g, n, NULL, "%lld columns cannot be split into %lld heads",
                            (long long)*size, (long long)heads);
        *size /= heads;
    }
    *rotated = node_attr_int(&nd, "rotary_embedding_dim", 0);
    if (!*rotated) *rotated = *size;
    if (*rotated < 2 || *rotated > *size || *rotated % 2)
        return op_error(g, n, NULL, "%lld of %lld numbers of a head cannot be rotated",
                        (long long)*rotated, (long long)*size);
    return true;
}

static bool infer_rotary(graph *g, node_id n) {
    int64_t size, rotated;
    if (!read_rotary(g, n, &size, &rotated)) return false;
    const type x = *kit_input(g, n, ROTARY_X);
    bool by_position = graph_input(g, n, ROTARY_POSITIONS) != 0;
    int rank = by_position ? 2 : 3;
    if (by_position && !kit_need(g, n, ROTARY_POSITIONS, 2, 2)) return false;
    for (uint32_t i = ROTARY_COS; i <= ROTARY_SIN; i++) {
        if (!kit_need(g, n, i, rank, rank) ||
            !kit_agree(g, n, kit_input(g, n, i)->dims[rank - 1], kit_dim(g, rotated / 2),
                       "columns of the cache"))
            return false;
        if (by_position) continue;
        if (!kit_agree(g, n, kit_input(g, n, i)->dims[0], x.dims[0], "batches of the cache") ||
            !kit_agree(g, n, kit_input(g, n, i)->dims[1], x.dims[x.rank == 3 ? 1 : 2],
                       "length of the cache"))
            return false;
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

/* The cache at a position of a sequence. */
static loop_expr read_cache(lower *l, node_id n, uint32_t input, dtype as, loop_expr batch,
                            loop_expr step, loop_expr column) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id cache = graph_input(g, n, input), positions = graph_input(g, n, ROTARY_POSITIONS);
    loop_expr at[] = {batch, step, column};
    if (!positions) return kit_read(l, as, cache, at);
    loop_expr row = kit_read(l, DTYPE_I64, positions, at);
    loop_expr last = loop_sub(k, lower_dim(l, cache, 0), loop_int(k, 1));
    loop_expr own[] = {loop_max(k, loop_int(k, 0), loop_min(k, row, last)), column};
    return kit_read(l, as, cache, own);
}

static loop_expr element_rotary(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    int64_t size, rotated;
    bool ok = read_rotary(g, n, &size, &rotated);
    assert(ok), (void)ok, (void)output;
    value_id x = graph_input(g, n, ROTARY_X);
    const type t = *lower_type(l, x);
    bool interleaved = node_attr_int(graph_node(g, n), "interleaved", 0) != 0;
    dtype sum = kit_sum_type(t.dtype);
    loop_expr column = index[t.rank - 1], step = index[t.rank == 3 ? 1 : 2];
    loop_expr d = t.rank == 3 ? loop_mod(k, column, loop_int(k, size)) : column;
    loop_expr half = loop_int(k, rotated / 2), two = loop_int(k, 2);
    /* Numbers are rotated in pairs: neighbours, or the two halves. */
    loop_expr first = interleaved ? kit_op2(l, LOOP_EQ, loop_mod(k, d, two), loop_int(k, 0))
                                  : loop_lt(k, d, half);
    loop_expr distance = interleaved ? loop_int(k, 1) : half;
    loop_expr pair = interleaved ? loop_floordiv(k, d, two) : loop_mod(k, d, half);
    pair = loop_min(k, pair, loop_sub(k, half, loop_int(k, 1)));
    loop_expr move = loop_select(k, first, distance, loop_sub(k, loop_int(k, 0), distance));
    loop_expr at[LOOP_MAX_RANK];
    for (int i = 0; i < t.rank; i++) at[i] = index[i];
    loop_expr own = kit_read(l, sum, x, at);
    loop_expr inside = loop_lt(k, d, loop_int(k, rotated));
    at[t.rank - 1] = loop_add(k, column, move);
    if (rotated < size) at[t.rank - 1] = loop_select(k, inside, at[t.rank - 1], column);
    loop_expr other = kit_read(l, sum, x, at);
    loop_expr cosine = read_cache(l, n, ROTARY_COS, sum, index[0], step, pair);
    loop_expr sine = read_cache(l, n, ROTARY_SIN, sum, index[0], step, pair);
    loop_expr turn = loop_mul(k, other, sine);
    turn = loop_select(k, first, kit_op1(l, LOOP_NEG, turn), turn);
    loop_expr e = loop_add(k, loop_mul(k, own, cosine), turn);
    return rotated < size ? loop_select(k, inside, e, own) : e;
}

const op_def ops_attention[] = {
    {.domain = "", .name = "Attention", .infer = infer_attention, .expand = expand_attention},
    {.domain = OP_INTERNAL,
     .name = "AttentionSoftmax",
     .flags = OP_ANCHOR,
     .infer = infer_rows,
     .nest = nest_rows},
    {.domain = "", .name = "RotaryEmbedding", .infer = infer_rotary, .element = element_rotary},
};
const size_t ops_attention_count = sizeof ops_attention / sizeof *ops_attention;
