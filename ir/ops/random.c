/* random.c: operators that draw numbers. Numbers come from a generator without a state of its own,
 * Philox 4x32-10: element i of a tensor is a function of i and of four words that RandomState, a
 * call of the runtime, makes of the seed. What draws is spelt in RandomState, Uniform and Normal.
 */
#include "ir/ops/random.h"

#include <math.h>
#include <string.h>

/* ---- RandomState ---- */

static bool infer_state(graph *g, node_id n) {
    dim words = kit_dim(g, 4);
    op_set_type(g, n, 0, type_tensor(DTYPE_U32, 1, &words));
    return true;
}

/* Tells the operators of a model from each other: a hash of the name of what it makes (FNV-1a),
 * which passes keep. */
static int64_t stream_of(const graph *g, node_id n) {
    uint32_t hash = 2166136261u;
    const node *nd = graph_node(g, n);
    value_id v = 0;
    for (uint32_t i = 0; i < nd->output_count && !v; i++) v = nd->outputs[i];
    const char *name = v ? graph_value(g, v)->name : "";
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (int64_t)hash;
}

/* The words for what node n draws. */
static value_id make_state(graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    const attr *seed = node_attr(nd, "seed");
    int64_t bits = 0;
    bool given = seed && !(seed->kind == ATTR_FLOAT && isnan(seed->f));
    if (given && seed->kind == ATTR_FLOAT)
        memcpy(&bits, &seed->f, sizeof bits);
    else if (given)
        bits = seed->i;
    attr attrs[] = {attr_int("seed", bits), attr_int("given", given),
                    attr_int("stream", given ? 0 : stream_of(g, n)),
                    attr_int("repeats", nd->region != GRAPH_MAIN)};
    value_id out;
    return spell_node(g, n, "onnxcc.RandomState", 0, NULL, 4, attrs, 1, &out) ? out : 0;
}

/* ---- Uniform and Normal: of a state, with the shape of another tensor or of an attribute ---- */

static bool infer_random(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    dim dims[TENSOR_MAX_RANK];
    size_t rank;
    int64_t t = node_attr_int(&nd, "dtype", DTYPE_F32);
    if (t <= 0 || t >= DTYPE_COUNT || !dtype_is_float((dtype)t) || dtype_bits((dtype)t) < 16)
        return op_error(g, n, NULL, "attribute dtype is %lld, which is not among the types",
                        (long long)t);
    if (graph_input(g, n, 1)) {
        type like = *kit_input(g, n, 1);
        if (!kit_need(g, n, 1, 0, TENSOR_MAX_RANK)) return false;
        op_set_type(g, n, 0, type_tensor((dtype)t, like.rank, like.dims));
        return true;
    }
    const int64_t *shape = node_attr_ints(&nd, "shape", &rank);
    if (rank > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "rank %zu is over the %d supported", rank, TENSOR_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] < 0 || shape[i] > DIM_MAX)
            return op_error(g, n, NULL, "dimension %zu is %lld", i, (long long)shape[i]);
        dims[i] = kit_dim(g, shape[i]);
    }
    op_set_type(g, n, 0, type_tensor((dtype)t, (int)rank, dims));
    return true;
}

/* The four words of element `index`. */
static void draw(lower *l, node_id n, const loop_expr *index, loop_expr *c) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id state = graph_input(g, n, 0), y = graph_output(g, n, 0);
    const dtype u32 = DTYPE_U32, u64 = DTYPE_U64;
    static const int64_t factors[] = {0xD2511F53, 0xCD9E8D57}, steps[] = {0x9E3779B9, 0xBB67AE85};
    loop_expr flat = loop_int(k, 0), words[4], half = loop_const_int(k, u64, 32);
    for (int i = 0; i < lower_type(l, y)->rank; i++)
        flat = loop_add(k, loop_mul(k, flat, lower_dim(l, y, i)), index[i]);
    for (int i = 0; i < 4; i++) {
        loop_expr at = loop_int(k, i);
        words[i] = lower_read(l, state, &at);
    }
    flat = loop_cast(k, u64, flat);
    c[0] = loop_cast(k, u32, flat);
    c[1] = loop_cast(k, u32, kit_op2(l, LOOP_SHR, flat, half));
    c[2] = words[2];
    c[3] = words[3];
    for (int64_t round = 0; round < 10; round++) {
        loop_expr next[4];
        for (int i = 0; i < 2; i++) {
            loop_expr wide =
                loop_mul(k, loop_cast(k, u64, c[2 * i]), loop_const_int(k, u64, factors[i]));
            loop_expr key = loop_add(
                k, words[i ^ 1], loop_const_int(k, u32, (int64_t)(uint32_t)(round * steps[i ^ 1])));
            loop_expr high = loop_cast(k, u32, kit_op2(l, LOOP_SHR, wide, half));
            next[2 - 2 * i] = kit_op2(l, LOOP_XOR, kit_op2(l, LOOP_XOR, high, c[3 - 2 * i]), key);
            next[3 - 2 * i] = loop_cast(k, u32, wide);
        }
        memcpy(c, next, sizeof next);
    }
}

/* Words as a number in [0, 1) of type t: as many bits as its mantissa holds. */
static loop_expr unit(lower *l, dtype t, loop_expr high, loop_expr low) {
    loop_kernel *k = lower_kernel(l);
    int bits = t == DTYPE_F64 ? 53 : t == DTYPE_F16 ? 11 : t == DTYPE_BF16 ? 8 : 24;
    dtype as = kit_sum_type(t), word = DTYPE_U32;
    loop_expr e = high;
    if (t == DTYPE_F64) {
        word = DTYPE_U64;
        e = kit_op2(l, LOOP_SHL, loop_cast(k, word, high), loop_const_int(k, word, 32));
        e = kit_op2(l, LOOP_OR, e, loop_cast(k, word, low));
    }
    e = kit_op2(l, LOOP_SHR, e, loop_const_int(k, word, dtype_bits(word) - bits));
    return loop_mul(k, loop_cast(k, as, e), kit_float(l, as, ldexp(1, -bits)));
}

static loop_expr element_uniform(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    const node nd = *graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    dtype t = lower_type(l, nd.outputs[output])->dtype, as = kit_sum_type(t);
    double low = node_attr_float(&nd, "low", 0), high = node_attr_float(&nd, "high", 1);
    loop_expr c[4];
    draw(l, n, index, c);
    loop_expr e = loop_mul(k, unit(l, t, c[0], c[1]), kit_float(l, as, high - low));
    return loop_add(k, e, kit_float(l, as, low));
}

/* Box and Muller's method. */
static loop_expr element_normal(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    const node nd = *graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    dtype as = kit_sum_type(lower_type(l, nd.outputs[output])->dtype);
    loop_expr c[4];
    draw(l, n, index, c);
    /* In (0, 1]: the logarithm of zero is none. */
    loop_expr u = loop_sub(k, kit_float(l, as, 1), unit(l, as, c[0], c[1]));
    const loop_binding names[] = {{"u", u},
                                  {"v", unit(l, as, c[2], c[3])},
                                  {"mean", kit_float(l, as, node_attr_float(&nd, "mean", 0))},
                                  {"scale", kit_float(l, as, node_attr_float(&nd, "scale", 1))}};
    return loop_formula(k, "mean + scale * sqrt(-2 * log(u)) * cos(6.283185307179586 * v)", as,
                        names, 4);
}

/* ---- the operators ---- */

value_id random_uniform(graph *g, node_id n, value_id like, dtype t) {
    value_id inputs[] = {make_state(g, n), like};
    attr type_attr = attr_int("dtype", t);
    return spell_value(g, n, "onnxcc.Uniform", 2, inputs, 1, &type_attr);
}

static bool expand_random(graph *g, node_id n) {
    static const char *const names[] = {"low", "high", "mean", "scale", "shape", NULL};
    attr attrs[6];
    uint32_t count = spell_attrs(g, n, names, attrs);
    const node nd = *graph_node(g, n);
    value_id like = graph_input(g, n, 0);
    dtype t = like ? graph_type(g, like)->dtype : DTYPE_F32;
    attrs[count++] = attr_int("dtype", node_attr_int(&nd, "dtype", t));
    bool normal = strncmp(nd.op->name, "RandomNormal", 12) == 0;
    value_id inputs[] = {make_state(g, n), like};
    return spell_result(
        g, n,
        spell_value(g, n, normal ? "onnxcc.Normal" : "onnxcc.Uniform", 2, inputs, count, attrs));
}

/* 1 with the probability that the input gives. */
static bool expand_bernoulli(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    dtype t = graph_type(g, nd.inputs[0])->dtype, as = kit_sum_type(t);
    int64_t to = node_attr_int(&nd, "dtype", t);
    value_id p = kit_build_cast(g, n, nd.inputs[0], as);
    value_id hit = kit_build2(g, n, "Less", random_uniform(g, n, nd.inputs[0], as), p);
    attr as_type = attr_int("to", to);
    return spell_result(g, n, hit ? kit_build(g, n, "Cast", 1, &hit, 1, &as_type) : 0);
}

/* The number of classes whose cumulated probabilities are not above a uniform number. */
static bool expand_multinomial(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (!kit_need(g, n, 0, 2, 2)) return false;
    int64_t samples = node_attr_int(&nd, "sample_size", 1), to = node_attr_int(&nd, "dtype", 6);
    if (samples < 0 || samples > DIM_MAX || (to != DTYPE_I32 && to != DTYPE_I64))
        return op_error(g, n, NULL, "%lld samples of type %lld", (long long)samples, (long long)to);
    dtype as = kit_sum_type(graph_type(g, nd.inputs[0])->dtype);
    value_id x = kit_build_cast(g, n, nd.inputs[0], as);
    attr last = attr_int("axis", -1);
    value_id p = kit_build(g, n, "Softmax", 1, &x, 1, &last);
    value_id cumulated = kit_build2(g, n, "CumSum", p, spell_number(g, DTYPE_I64, 1));
    cumulated = kit_build2(g, n, "Unsqueeze", cumulated, kit_ints(g, &(int64_t){1}, 1));
    value_id shape[] = {spell_size(g, n, x, 0), kit_ints(g, &samples, 1)};
    value_id like = kit_build1(g, n, "ConstantOfShape", spell_concat(g, n, 0, 2, shape));
    value_id u = random_uniform(g, n, like, as);
    u = kit_build2(g, n, "Unsqueeze", u, kit_ints(g, &(int64_t){2}, 1));
    value_id below = kit_build2(g, n, "LessOrEqual", cumulated, u);
    below = kit_build_cast(g, n, below, DTYPE_I32);
    attr keep = attr_int("keepdims", 0);
    value_id inputs[] = {below, kit_ints(g, &(int64_t){2}, 1)};
    value_id count = kit_build(g, n, "ReduceSum", 2, inputs, 1, &keep);
    value_id top = kit_build2(g, n, "Sub", spell_size(g, n, x, 1), kit_ints(g, &(int64_t){1}, 1));
    count = kit_build2(g, n, "Min", count, kit_build_cast(g, n, top, DTYPE_I32));
    return spell_result(g, n, kit_build_cast(g, n, count, (dtype)to));
}

/* ---- Dropout ---- */

static bool is_zero_constant(const graph *g, value_id v) {
    const value *x = v ? graph_value(g, v) : NULL;
    return x && x->constant && value_float(x, g->dims, 0) == 0;
}

/* Whether elements may be dropped: training is asked for, or not ruled out, with a ratio that is
 * not known to be zero. */
static bool may_drop(const graph *g, node_id n) {
    value_id training = graph_input(g, n, 2);
    return training && !is_zero_constant(g, training) && !is_zero_constant(g, graph_input(g, n, 1));
}

static bool infer_dropout(graph *g, node_id n) {
    type t = *graph_type(g, graph_input(g, n, 0));
    op_set_type(g, n, 0, t);
    t.dtype = DTYPE_BOOL;
    op_set_type(g, n, 1, t);
    return true;
}

/* Without training: the input, and a mask that keeps all of it. */
static loop_expr element_dropout(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    if (output == 1) return loop_const_int(lower_kernel(l), DTYPE_BOOL, 1);
    return lower_read(l, graph_input(lower_graph(l), n, 0), index);
}

/* In training elements are kept with probability 1 - ratio and then divided by it. */
static bool expand_dropout(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (!may_drop(g, n)) return false;
    value_id x = nd.inputs[0], ratio = graph_input(g, n, 1), training = nd.inputs[2];
    dtype t = graph_type(g, x)->dtype, as = kit_sum_type(t);
    dtype number = as == DTYPE_F64 ? as : DTYPE_F32;
    value_id one = spell_number(g, number, 1), zero = spell_number(g, number, 0);
    value_id r = ratio ? kit_build_cast(g, n, ratio, number) : spell_number(g, number, 0.5);
    value_id keep = kit_build2(g, n, "GreaterOrEqual", random_uniform(g, n, x, number), r);
    value_id kept = kit_build2(g, n, "Sub", one, r);
    if (!graph_value(g, training)->constant) {
        value_id choice[] = {training, kept, one};
        keep = kit_build2(g, n, "Or", keep, kit_build1(g, n, "Not", training));
        kept = kit_build(g, n, "Where", 3, choice, 0, NULL);
    }
    value_id grown = kit_build2(g, n, "Div", kit_build_cast(g, n, x, number), kept);
    value_id choice[] = {keep, grown, zero};
    value_id y = kit_build_cast(g, n, kit_build(g, n, "Where", 3, choice, 0, NULL), t);
    if (!y) return false;
    if (nd.outputs[0]) kit_replace(g, nd.outputs[0], y);
    if (graph_output(g, n, 1)) kit_replace(g, graph_output(g, n, 1), keep);
    graph_remove_node(g, n);
    return true;
}

#define DRAWS(op, hook)                                                                            \
    { .domain = "", .name = op, .expand = hook }

const op_def ops_random[] = {
    DRAWS("RandomNormal", expand_random),
    DRAWS("RandomNormalLike", expand_random),
    DRAWS("RandomUniform", expand_random),
    DRAWS("RandomUniformLike", expand_random),
    DRAWS("Bernoulli", expand_bernoulli),
    {.domain = "",
     .name = "Dropout",
     .flags = OP_POINTWISE,
     .infer = infer_dropout,
     .element = element_dropout,
     .expand = expand_dropout},
    DRAWS("Multinomial", expand_multinomial),
    {.domain = OP_INTERNAL,
     .name = "RandomState",
     .flags = OP_EFFECT,
     .infer = infer_state,
     .call = "random_state",
     .call_attributes = "seed given stream repeats"},
    {.domain = OP_INTERNAL, .name = "Uniform", .infer = infer_random, .element = element_uniform},
    {.domain = OP_INTERNAL, .name = "Normal", .infer = infer_random, .element = element_normal},
};
const size_t ops_random_count = sizeof ops_random / sizeof *ops_random;
