/* state.c: operators that carry a state from one call to the next: CausalConvWithState, spelt as a
 * convolution of the state and the input, and LinearAttention, whose time steps are a nest: a
 * column of the state depends on no other, so columns are independent and time is in order. */
#include "ir/ops/spell.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- CausalConvWithState ---- */

enum { CAUSAL_X, CAUSAL_WEIGHT, CAUSAL_BIAS, CAUSAL_PAST };

/* The past in front of the input; zeros if there is none. */
static value_id causal_padded(graph *g, node_id n, int64_t before) {
    value_id x = graph_input(g, n, CAUSAL_X), past = graph_input(g, n, CAUSAL_PAST);
    value_id parts[] = {past, x};
    int64_t pads[] = {0, 0, before, 0, 0, 0};
    return past ? spell_concat(g, n, 2, 2, parts)
                : kit_build2(g, n, "Pad", x, kit_ints(g, pads, 6));
}

static bool expand_causal_conv(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const char *activation = node_attr_string(&nd, "activation", "none");
    int64_t taps, channels;
    if (!kit_need(g, n, CAUSAL_X, 3, 3) || !kit_need(g, n, CAUSAL_WEIGHT, 3, 3) ||
        !kit_may(g, n, CAUSAL_PAST, 3, 3))
        return false;
    const type w = *kit_input(g, n, CAUSAL_WEIGHT);
    if (!dim_is_const(g->dims, w.dims[0], &channels) || !dim_is_const(g->dims, w.dims[2], &taps) ||
        taps < 1)
        return op_error(g, n, NULL, "the weights' shape must be of positive constants");
    if (graph_input(g, n, CAUSAL_PAST) &&
        !kit_agree(g, n, kit_input(g, n, CAUSAL_PAST)->dims[2], kit_dim(g, taps - 1), "the state"))
        return false;
    value_id padded = causal_padded(g, n, taps - 1);
    value_id inputs[] = {padded, nd.inputs[CAUSAL_WEIGHT], graph_input(g, n, CAUSAL_BIAS)};
    attr group = attr_int("group", channels);
    value_id y = spell_value(g, n, "Conv", 3, inputs, 1, &group);
    if (strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0)
        y = kit_build1(g, n, "Swish", y);
    else if (strcmp(activation, "none") != 0)
        return op_error(g, n, NULL, "there is no activation %s", activation);
    int64_t end = INT64_MAX, axis = 2;
    value_id cut[] = {padded, spell_size(g, n, nd.inputs[CAUSAL_X], 2), kit_ints(g, &end, 1),
                      kit_ints(g, &axis, 1)};
    value_id made[] = {y, kit_build(g, n, "Slice", 4, cut, 0, NULL)};
    return spell_results(g, n, 2, made);
}

/* ---- LinearAttention ---- */

enum { LINEAR_Q, LINEAR_K, LINEAR_V, LINEAR_PAST, LINEAR_DECAY, LINEAR_BETA };

typedef struct {
    int64_t heads, groups;        /* of keys and values; of queries a head */
    int64_t key_size, value_size; /* of a head */
    bool decays, corrects;
    double scale;
} linear_settings;

static bool columns(graph *g, node_id n, uint32_t input, int64_t *out) {
    if (!kit_need(g, n, input, 3, 3)) return false;
    return dim_is_const(g->dims, kit_input(g, n, input)->dims[2], out) ||
           op_error(g, n, NULL, "the size of the heads must be a constant");
}

static bool read_rule(graph *g, node_id n, linear_settings *s) {
    const char *rule = node_attr_string(graph_node(g, n), "update_rule", "gated_delta");
    s->decays = strncmp(rule, "gated", 5) == 0;
    s->corrects = strstr(rule, "delta") != NULL;
    static const char *const names[] = {"linear", "delta", "gated", "gated_delta"};
    if (strcmp(rule, names[2 * s->decays + s->corrects]) != 0)
        return op_error(g, n, NULL, "there is no update rule %s", rule);
    if (s->decays != (graph_input(g, n, LINEAR_DECAY) != 0) ||
        s->corrects != (graph_input(g, n, LINEAR_BETA) != 0))
        return op_error(g, n, NULL, "inputs decay and beta do not fit the update rule %s", rule);
    return true;
}

static bool read_linear(graph *g, node_id n, linear_settings *s) {
    const node nd = *graph_node(g, n);
    int64_t q_heads = node_attr_int(&nd, "q_num_heads", 0), q, k, v, width;
    s->heads = node_attr_int(&nd, "kv_num_heads", 0);
    if (!columns(g, n, LINEAR_Q, &q) || !columns(g, n, LINEAR_K, &k) ||
        !columns(g, n, LINEAR_V, &v) || !read_rule(g, n, s))
        return false;
    if (s->heads < 1 || q_heads < s->heads || q_heads % s->heads || q % q_heads || v % s->heads ||
        k % s->heads || k / s->heads != q / q_heads || !q)
        return op_error(g, n, NULL,
                        "%lld, %lld and %lld columns cannot be split into %lld and "
                        "%lld heads",
                        (long long)q, (long long)k, (long long)v, (long long)q_heads,
                        (long long)s->heads);
    s->groups = q_heads / s->heads;
    s->key_size = q / q_heads;
    s->value_size = v / s->heads;
    s->scale = node_attr_float(&nd, "scale", 0);
    if (s->scale == 0) s->scale = 1 / sqrt((double)s->key_size);
    if (s->decays && (!columns(g, n, LINEAR_DECAY, &width) || (width != s->heads && width != k)))
        return op_error(g, n, NULL, "the decay is neither one a head nor one a column of the keys");
    if (s->corrects && (!columns(g, n, LINEAR_BETA, &width) || (width != s->heads && width != 1)))
        return op_error(g, n, NULL, "beta is neither one number nor one a head");
    return true;
}

static bool infer_linear_attention(graph *g, node_id n) {
    linear_settings s;
    if (!read_linear(g, n, &s)) return false;
    const type q = *kit_input(g, n, LINEAR_Q);
    dim state[] = {q.dims[0], kit_dim(g, s.heads), kit_dim(g, s.key_size),
                   kit_dim(g, s.value_size)};
    for (uint32_t i = LINEAR_K; i <= LINEAR_BETA; i++) {
        if (i == LINEAR_PAST || !graph_input(g, n, i)) continue;
        for (int a = 0; a < 2; a++)
            if (!kit_agree(g, n, kit_input(g, n, i)->dims[a], q.dims[a], "batches or time steps"))
                return false;
    }
    if (!kit_may(g, n, LINEAR_PAST, 4, 4)) return false;
    const type *past = kit_input(g, n, LINEAR_PAST);
    for (int a = 0; past && a < 4; a++)
        if (!kit_agree(g, n, past->dims[a], state[a], "the state")) return false;
    dim dims[] = {q.dims[0], q.dims[1], kit_dim(g, s.heads * s.groups * s.value_size)};
    op_set_type(g, n, 0, type_tensor(q.dtype, 3, dims));
    op_set_type(g, n, 1, type_tensor(past ? past->dtype : q.dtype, 4, state));
    return true;
}

/* One column of the state of one head. */
typedef struct {
    linear_settings s;
    value_id in[LINEAR_BETA + 1];
    loop_expr batch, head, column, step;
    loop_buf state; /* [key_size] */
} linear_column;

static loop_expr times(lower *l, loop_expr a, int64_t b) {
    return loop_mul(lower_kernel(l), a, loop_int(lower_kernel(l), b));
}

static loop_expr begin_keys(lower *l, const linear_column *c, loop_kind kind) {
    return lower_begin(l, kind, "d", loop_int(lower_kernel(l), c->s.key_size));
}

/* Column `at` of an input at this step. */
static loop_expr now(lower *l, const linear_column *c, int input, loop_expr at) {
    loop_expr index[] = {c->batch, c->step, at};
    return kit_read(l, DTYPE_F32, c->in[input], index);
}

static loop_expr key(lower *l, const linear_column *c, loop_expr d) {
    return now(l, c, LINEAR_K, loop_add(lower_kernel(l), times(l, c->head, c->s.key_size), d));
}

/* The state's column times a row vector; `of_query` >= 0: of that query of the group. */
static loop_buf product(lower *l, const linear_column *c, int64_t of_query) {
    loop_kernel *k = lower_kernel(l);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_F32);
    lower_assign(l, acc, NULL, kit_float(l, DTYPE_F32, 0));
    loop_expr d = begin_keys(l, c, LOOP_REDUCE), row = key(l, c, d);
    if (of_query >= 0) {
        loop_expr head = loop_add(k, times(l, c->head, c->s.groups), loop_int(k, of_query));
        row = now(l, c, LINEAR_Q, loop_add(k, times(l, head, c->s.key_size), d));
    }
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, row, lower_value(l, c->state, &d)));
    lower_end(l);
    return acc;
}

/* S *= exp(decay) along the keys. */
static void decay(lower *l, const linear_column *c) {
    loop_kernel *k = lower_kernel(l);
    int64_t width = 0;
    dim_is_const(lower_graph(l)->dims, lower_type(l, c->in[LINEAR_DECAY])->dims[2], &width);
    bool by_head = width == c->s.heads;
    loop_expr d = begin_keys(l, c, LOOP_INDEPENDENT);
    loop_expr at = by_head ? c->head : loop_add(k, times(l, c->head, c->s.key_size), d);
    loop_expr factor = kit_op1(l, LOOP_EXP, now(l, c, LINEAR_DECAY, at));
    lower_assign(l, c->state, &d, loop_mul(k, lower_value(l, c->state, &d), factor));
    lower_end(l);
}

/* S += k (x) v, where v is corrected by what S holds for k already. */
static void update(lower *l, const linear_column *c) {
    loop_kernel *k = lower_kernel(l);
    loop_expr at = loop_add(k, times(l, c->head, c->s.value_size), c->column);
    loop_buf v = kit_scalar(l, "v", DTYPE_F32);
    loop_expr e = now(l, c, LINEAR_V, at);
    if (c->s.corrects) {
        int64_t width = 0;
        dim_is_const(lower_graph(l)->dims, lower_type(l, c->in[LINEAR_BETA])->dims[2], &width);
        loop_buf held = product(l, c, -1);
        loop_expr beta = now(l, c, LINEAR_BETA, width == 1 ? loop_int(k, 0) : c->head);
        e = loop_mul(k, beta, loop_sub(k, e, lower_value(l, held, NULL)));
    }
    lower_assign(l, v, NULL, e);
    loop_expr d = begin_keys(l, c, LOOP_INDEPENDENT);
    loop_expr grown = loop_mul(k, key(l, c, d), lower_value(l, v, NULL));
    lower_assign(l, c->state, &d, loop_add(k, lower_value(l, c->state, &d), grown));
    lower_end(l);
}

static void write_queries(lower *l, const linear_column *c, value_id y) {
    loop_kernel *k = lower_kernel(l);
    for (int64_t i = 0; i < c->s.groups; i++) {
        loop_expr head = loop_add(k, times(l, c->head, c->s.groups), loop_int(k, i));
        loop_expr index[] = {c->batch, c->step,
                             loop_add(k, times(l, head, c->s.value_size), c->column)};
        loop_expr e = lower_value(l, product(l, c, i), NULL);
        e = loop_mul(k, e, kit_float(l, DTYPE_F32, c->s.scale));
        lower_write(l, y, index, loop_cast(k, lower_type(l, y)->dtype, e));
    }
}

static void nest_linear_attention(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    linear_column c = {0};
    bool ok = read_linear(g, n, &c.s);
    assert(ok), (void)ok;
    value_id y = graph_output(g, n, 0), present = graph_output(g, n, 1);
    for (uint32_t i = 0; i <= LINEAR_BETA; i++) c.in[i] = graph_input(g, n, i);
    c.batch = lower_begin(l, LOOP_INDEPENDENT, "b", lower_dim(l, c.in[LINEAR_Q], 0));
    c.head = lower_begin(l, LOOP_INDEPENDENT, "h", loop_int(k, c.s.heads));
    c.column = lower_begin(l, LOOP_INDEPENDENT, "m", loop_int(k, c.s.value_size));
    c.state = lower_local(l, "state", DTYPE_F32, LOOP_SPACE_STACK, 1, &c.s.key_size);
    loop_expr d = begin_keys(l, &c, LOOP_INDEPENDENT), from[] = {c.batch, c.head, d, c.column};
    value_id past = c.in[LINEAR_PAST];
    lower_assign(l, c.state, &d,
                 past ? kit_read(l, DTYPE_F32, past, from) : kit_float(l, DTYPE_F32, 0));
    lower_end(l);
    c.step = lower_begin(l, LOOP_SERIAL, "t", lower_dim(l, c.in[LINEAR_Q], 1));
    if (c.s.decays) decay(l, &c);
    update(l, &c);
    if (y) write_queries(l, &c, y);
    lower_end(l);
    if (present) {
        d = begin_keys(l, &c, LOOP_INDEPENDENT);
        loop_expr to[] = {c.batch, c.head, d, c.column};
        loop_expr e = lower_value(l, c.state, &d);
        lower_write(l, present, to, loop_cast(k, lower_type(l, present)->dtype, e));
        lower_end(l);
    }
    kit_end(l, 3);
}

const op_def ops_state[] = {
    {.domain = "", .name = "CausalConvWithState", .expand = expand_causal_conv},
    {.domain = "",
     .name = "LinearAttention",
     .flags = OP_ANCHOR,
     .infer = infer_linear_attention,
     .nest = nest_linear_attention},
};
const size_t ops_state_count = sizeof ops_state / sizeof *ops_state;
