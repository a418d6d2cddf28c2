/* elementwise.c: pointwise operators. Most are one row with their formula: inputs are a, b, c,
 * attributes go by their names. The others have a hook for what a formula cannot say: another
 * result type, any number of inputs. */
#include "ir/op.h"

#include <string.h>

/* ---- result types other than the first input's ---- */

static bool infer_broadcast_as(graph *g, node_id n, dtype t, uint32_t first) {
    const node *nd = graph_node(g, n);
    const type *types[64];
    uint32_t count = 0;
    dim dims[TENSOR_MAX_RANK];
    int rank;
    for (uint32_t i = 0; i < nd->input_count && count < 64; i++)
        if (nd->inputs[i]) types[count++] = graph_type(g, nd->inputs[i]);
    if (!count || nd->input_count > 64)
        return op_error(g, n, NULL, "it has %u inputs, 1 to 64 are supported", nd->input_count);
    for (uint32_t i = first; i < count; i++)
        if (types[i]->kind != TYPE_TENSOR || types[i]->dtype != types[first]->dtype)
            return op_error(g, n, NULL, "its inputs are of different types");
    if (!op_broadcast(g, n, count, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(t ? t : types[first]->dtype, rank, dims));
    return true;
}

static bool infer_bool(graph *g, node_id n) {
    return infer_broadcast_as(g, n, DTYPE_BOOL, 0);
}

static bool infer_same(graph *g, node_id n) {
    return infer_broadcast_as(g, n, DTYPE_NONE, 0);
}

/* The exponent may be of another type. */
static bool infer_pow(graph *g, node_id n) {
    const type *types[] = {graph_type(g, graph_input(g, n, 0)),
                           graph_type(g, graph_input(g, n, 1))};
    dim dims[TENSOR_MAX_RANK];
    int rank;
    if (!op_broadcast(g, n, 2, types, &rank, dims)) return false;
    op_set_type(g, n, 0, type_tensor(types[0]->dtype, rank, dims));
    return true;
}

static bool infer_where(graph *g, node_id n) {
    if (graph_node(g, n)->input_count != 3 ||
        graph_type(g, graph_input(g, n, 0))->dtype != DTYPE_BOOL)
        return op_error(g, n, NULL, "its condition is not of booleans");
    return infer_broadcast_as(g, n, DTYPE_NONE, 1);
}

static bool infer_identity(graph *g, node_id n) {
    op_set_type(g, n, 0, *graph_type(g, graph_input(g, n, 0)));
    const value *x = graph_value(g, graph_input(g, n, 0));
    if (x->elements) graph_value(g, graph_output(g, n, 0))->elements = x->elements;
    return true;
}

static bool infer_dropout(graph *g, node_id n) {
    type t = *graph_type(g, graph_input(g, n, 0));
    op_set_type(g, n, 0, t);
    t.dtype = DTYPE_BOOL;
    op_set_type(g, n, 1, t);
    return true;
}

static bool infer_cast(graph *g, node_id n) {
    int64_t to = node_attr_int(graph_node(g, n), "to", 0);
    type t = *graph_type(g, graph_input(g, n, 0));
    if (to <= 0 || to >= DTYPE_COUNT)
        return op_error(g, n, NULL, "attribute \"to\" is %lld, which is no type", (long long)to);
    t.dtype = (dtype)to;
    op_set_type(g, n, 0, t);
    return true;
}

static bool infer_cast_like(graph *g, node_id n) {
    type t = *graph_type(g, graph_input(g, n, 0));
    t.dtype = graph_type(g, graph_input(g, n, 1))->dtype;
    op_set_type(g, n, 0, t);
    return true;
}

/* ---- elements ---- */

static loop_expr element_identity(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    if (output == 1) return loop_const_int(lower_kernel(l), DTYPE_BOOL, 1);
    return lower_read(l, graph_input(lower_graph(l), n, 0), index);
}

static loop_expr element_cast(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    dtype to = lower_type(l, graph_output(lower_graph(l), n, output))->dtype;
    loop_expr x = lower_read(l, graph_input(lower_graph(l), n, 0), index);
    dtype from = loop_type(k, x);
    if (to == DTYPE_BOOL && from != DTYPE_BOOL)
        return loop_make(k, LOOP_NE, x, loop_const(k, from, 0), 0);
    return loop_cast(k, to, x);
}

/* Max, Min, Sum, Mean of any number of inputs. */
static loop_expr combine(lower *l, node_id n, const loop_expr *index, loop_op op) {
    graph *g = lower_graph(l);
    int rank = lower_type(l, graph_output(g, n, 0))->rank;
    loop_expr total = lower_read_broadcast(l, graph_input(g, n, 0), rank, index);
    for (uint32_t i = 1; i < graph_node(g, n)->input_count; i++)
        total = loop_make(lower_kernel(l), op, total,
                          lower_read_broadcast(l, graph_input(g, n, i), rank, index), 0);
    return total;
}

static loop_expr element_max(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return combine(l, n, index, LOOP_MAX);
}

static loop_expr element_min(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return combine(l, n, index, LOOP_MIN);
}

static loop_expr element_sum(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return combine(l, n, index, LOOP_ADD);
}

static loop_expr element_mean(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_expr sum = combine(l, n, index, LOOP_ADD);
    loop_kernel *k = lower_kernel(l);
    double count = graph_node(lower_graph(l), n)->input_count;
    return loop_make(k, LOOP_DIV, sum, loop_const(k, loop_type(k, sum), count), 0);
}

/* min(max(a, low), high) with bounds that may be left out. */
static loop_expr element_clip(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    if (graph_input(g, n, 1))
        x = loop_max(lower_kernel(l), x, lower_read_broadcast(l, graph_input(g, n, 1), 0, NULL));
    if (graph_input(g, n, 2))
        x = loop_min(lower_kernel(l), x, lower_read_broadcast(l, graph_input(g, n, 2), 0, NULL));
    return x;
}

/* a ** b: the exponent may be of another type than the base. Small whole exponents are products. */
static loop_expr element_pow(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    int rank = lower_type(l, graph_output(g, n, output))->rank;
    loop_expr a = lower_read_broadcast(l, graph_input(g, n, 0), rank, index);
    loop_expr b = lower_read_broadcast(l, graph_input(g, n, 1), rank, index);
    dtype t = loop_type(k, a);
    loop_node e = *loop_get(k, b);
    double c = e.op != LOOP_CONST ? 0 : dtype_is_float(e.type) ? e.f : (double)e.i;
    if (c == 1) return a;
    if (c == 2) return loop_mul(k, a, a);
    if (c == 3) return loop_mul(k, a, loop_mul(k, a, a));
    if (dtype_is_float(t) && c == 0.5) return loop_make(k, LOOP_SQRT, a, 0, 0);
    dtype as = dtype_is_float(t) ? t : DTYPE_F64;
    loop_expr power = loop_make(k, LOOP_POW, loop_cast(k, as, a), loop_cast(k, as, b), 0);
    return loop_cast(k, t, power);
}

/* Remainder with the sign of the divisor, or (fmod) of the dividend. */
static loop_expr element_mod(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    int rank = lower_type(l, graph_output(g, n, output))->rank;
    loop_expr a = lower_read_broadcast(l, graph_input(g, n, 0), rank, index);
    loop_expr b = lower_read_broadcast(l, graph_input(g, n, 1), rank, index);
    bool fmod = node_attr_int(graph_node(g, n), "fmod", 0) || dtype_is_float(loop_type(k, a));
    return loop_make(k, fmod ? LOOP_REM : LOOP_MOD, a, b, 0);
}

static loop_expr element_shift(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    int rank = lower_type(l, graph_output(g, n, output))->rank;
    loop_expr a = lower_read_broadcast(l, graph_input(g, n, 0), rank, index);
    loop_expr b = lower_read_broadcast(l, graph_input(g, n, 1), rank, index);
    bool left = strcmp(node_attr_string(graph_node(g, n), "direction", "LEFT"), "LEFT") == 0;
    return loop_make(lower_kernel(l), left ? LOOP_SHL : LOOP_SHR, a, b, 0);
}

static loop_expr element_gelu(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    loop_binding x = {"a", lower_read(l, graph_input(g, n, 0), index)};
    bool tanh = strcmp(node_attr_string(graph_node(g, n), "approximate", "none"), "tanh") == 0;
    return loop_formula(
        k,
        tanh ? "0.5 * a * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a)))"
             : "0.5 * a * (1 + erf(a * 0.7071067811865476))",
        loop_type(k, x.expr), &x, 1);
}

/* Infinity of either sign, as the attributes ask. */
static loop_expr element_isinf(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    loop_expr infinity = loop_const(k, loop_type(k, x), (double)__builtin_inf());
    loop_expr up = loop_make(k, LOOP_EQ, x, infinity, 0);
    loop_expr down = loop_make(k, LOOP_EQ, x, loop_make(k, LOOP_NEG, infinity, 0, 0), 0);
    loop_expr no = loop_const_int(k, DTYPE_BOOL, 0);
    if (!node_attr_int(nd, "detect_positive", 1)) up = no;
    if (!node_attr_int(nd, "detect_negative", 1)) down = no;
    return loop_make(k, LOOP_OR, up, down, 0);
}

/* ---- rows ---- */

#define UNARY(op, text)                                                                            \
    { .domain = "", .name = op, .flags = OP_POINTWISE, .formula = text }
#define BINARY(op, more, text)                                                                     \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_POINTWISE | (more), .infer = infer_same,             \
        .formula = text                                                                            \
    }
#define COMPARE(op, more, text)                                                                    \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_POINTWISE | (more), .infer = infer_bool,             \
        .formula = text                                                                            \
    }
#define COMPUTED(op, infer_hook, element_hook)                                                     \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_POINTWISE, .infer = infer_hook,                      \
        .element = element_hook                                                                    \
    }

const op_def ops_elementwise[] = {
    UNARY("Abs", "abs(a)"),
    UNARY("Acos", "acos(a)"),
    UNARY("Acosh", "acosh(a)"),
    UNARY("Asin", "asin(a)"),
    UNARY("Asinh", "asinh(a)"),
    UNARY("Atan", "atan(a)"),
    UNARY("Atanh", "atanh(a)"),
    UNARY("BitwiseNot", "not(a)"),
    UNARY("Ceil", "ceil(a)"),
    UNARY("Celu", "max(a, 0) + min(0, alpha * expm1(a / alpha))"),
    UNARY("Cos", "cos(a)"),
    UNARY("Cosh", "cosh(a)"),
    UNARY("Elu", "select(a < 0, alpha * expm1(a), a)"),
    UNARY("Erf", "erf(a)"),
    UNARY("Exp", "exp(a)"),
    UNARY("Floor", "floor(a)"),
    UNARY("HardSigmoid", "max(0, min(1, alpha * a + beta))"),
    UNARY("HardSwish", "a * max(0, min(1, a * 0.16666666666666666 + 0.5))"),
    UNARY("LeakyRelu", "select(a < 0, alpha * a, a)"),
    UNARY("Log", "log(a)"),
    UNARY("Mish", "a * tanh(log1p(exp(0 - abs(a))) + max(a, 0))"),
    UNARY("Neg", "neg(a)"),
    UNARY("Not", "not(a)"),
    UNARY("Reciprocal", "1 / a"),
    UNARY("Relu", "max(a, 0)"),
    UNARY("Round", "round(a)"),
    UNARY("Selu", "gamma * select(a > 0, a, alpha * expm1(a))"),
    UNARY("Shrink", "select(a < 0 - lambd, a + bias, select(a > lambd, a - bias, 0))"),
    UNARY("Sigmoid", "sigmoid(a)"),
    UNARY("Sign", "select(a > 0, 1, select(a < 0, 0 - 1, a))"),
    UNARY("Sin", "sin(a)"),
    UNARY("Sinh", "sinh(a)"),
    UNARY("Softplus", "log1p(exp(0 - abs(a))) + max(a, 0)"),
    UNARY("Softsign", "a / (1 + abs(a))"),
    UNARY("Sqrt", "sqrt(a)"),
    UNARY("Swish", "a * sigmoid(alpha * a)"),
    UNARY("Tan", "tan(a)"),
    UNARY("Tanh", "tanh(a)"),
    UNARY("ThresholdedRelu", "select(a > alpha, a, 0)"),
    BINARY("Add", OP_COMMUTATIVE, "a + b"),
    BINARY("And", OP_COMMUTATIVE, "and(a, b)"),
    BINARY("BitwiseAnd", OP_COMMUTATIVE, "and(a, b)"),
    BINARY("BitwiseOr", OP_COMMUTATIVE, "or(a, b)"),
    BINARY("BitwiseXor", OP_COMMUTATIVE, "xor(a, b)"),
    BINARY("Div", 0, "a / b"),
    BINARY("Mul", OP_COMMUTATIVE, "a * b"),
    BINARY("Or", OP_COMMUTATIVE, "or(a, b)"),
    BINARY("PRelu", 0, "select(a < 0, a * b, a)"),
    BINARY("Sub", 0, "a - b"),
    BINARY("Xor", OP_COMMUTATIVE, "xor(a, b)"),
    COMPARE("Equal", OP_COMMUTATIVE, "a == b"),
    COMPARE("Greater", 0, "a > b"),
    COMPARE("GreaterOrEqual", 0, "a >= b"),
    COMPARE("IsNaN", 0, "a != a"),
    COMPARE("Less", 0, "a < b"),
    COMPARE("LessOrEqual", 0, "a <= b"),
    {.domain = "",
     .name = "Where",
     .flags = OP_POINTWISE,
     .infer = infer_where,
     .formula = "select(a, b, c)"},
    COMPUTED("BitShift", infer_same, element_shift),
    COMPUTED("Cast", infer_cast, element_cast),
    COMPUTED("CastLike", infer_cast_like, element_cast),
    COMPUTED("Clip", infer_identity, element_clip),
    COMPUTED("Dropout", infer_dropout, element_identity),
    COMPUTED("Gelu", infer_identity, element_gelu),
    COMPUTED("Identity", infer_identity, element_identity),
    COMPUTED("IsInf", infer_bool, element_isinf),
    COMPUTED("Max", infer_same, element_max),
    COMPUTED("Mean", infer_same, element_mean),
    COMPUTED("Min", infer_same, element_min),
    COMPUTED("Mod", infer_same, element_mod),
    COMPUTED("Pow", infer_pow, element_pow),
    COMPUTED("Sum", infer_same, element_sum),
};
const size_t ops_elementwise_count = sizeof ops_elementwise / sizeof *ops_elementwise;
