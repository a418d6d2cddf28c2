/* elementwise.c: pointwise operators. Most are one row with their formula: inputs are a, b, c,
 * attributes go by their names. The others have a hook for what a formula cannot say: another
 * result type, any number of inputs. */
#include "ir/ops/kit.h"
#include "ir/ops/string.h"

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
    if (x->list) graph_value(g, graph_output(g, n, 0))->list = x->list;
    return true;
}

/* The result is of the input's type; its elements are others. */
static bool infer_like(graph *g, node_id n) {
    op_set_type(g, n, 0, *graph_type(g, graph_input(g, n, 0)));
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

static bool infer_bit_cast(graph *g, node_id n) {
    dtype from = graph_type(g, graph_input(g, n, 0))->dtype;
    if (!infer_cast(g, n)) return false;
    dtype to = graph_type(g, graph_output(g, n, 0))->dtype;
    return dtype_bytes(from) == dtype_bytes(to) ||
           op_error(g, n, NULL, "%s and %s are not of one width", dtype_name(from), dtype_name(to));
}

static bool infer_cast_like(graph *g, node_id n) {
    type t = *graph_type(g, graph_input(g, n, 0));
    t.dtype = graph_type(g, graph_input(g, n, 1))->dtype;
    op_set_type(g, n, 0, t);
    return true;
}

/* ---- elements ---- */

static loop_expr element_identity(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return lower_read(l, graph_input(lower_graph(l), n, 0), index);
}

/* A power of two, by the bits of x as f32: its exponent, one more where the mode rounds up. */
static loop_expr cast_power(lower *l, node_id n, loop_expr x) {
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(lower_graph(l), n);
    const char *mode = node_attr_string(nd, "round_mode", "up");
    loop_expr bits = loop_bitcast(k, DTYPE_U32, loop_cast(k, DTYPE_F32, x));
    loop_binding b[] = {{"bits", bits}, {"top", loop_const_int(k, DTYPE_U32, 254)}};
    loop_expr fraction = loop_formula(k, "and(bits, 8388607)", DTYPE_U32, b, 2);
    loop_expr exponent = loop_formula(k, "and(shr(bits, 23), 255)", DTYPE_U32, b, 2);
    loop_expr least = loop_const_int(k, DTYPE_U32, strcmp(mode, "nearest") == 0 ? 0x3fffff : 0);
    loop_expr up = loop_lt(k, least, fraction);
    if (node_attr_int(nd, "saturate", 1)) up = loop_and(k, up, loop_lt(k, exponent, b[1].expr));
    up = loop_and(k, up, kit_op2(l, LOOP_LE, exponent, b[1].expr));
    if (strcmp(mode, "down") == 0) up = loop_const_int(k, DTYPE_BOOL, 0);
    exponent = loop_add(k, exponent, loop_cast(k, DTYPE_U32, up));
    return loop_bitcast(k, DTYPE_F8E8M0, loop_cast(k, DTYPE_U8, exponent));
}

static loop_expr element_cast(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    dtype to = lower_type(l, graph_output(g, n, output))->dtype;
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    dtype from = loop_type(k, x);
    if (to == from) return x;
    if (to == DTYPE_BOOL && from != DTYPE_BOOL)
        return loop_make(k, LOOP_NE, x, loop_const(k, from, 0), 0);
    if (to == DTYPE_F8E8M0) return cast_power(l, n, x);
    /* Narrow integers take the low bits of a whole number. */
    if (dtype_is_float(from) && dtype_is_integer(to) && dtype_bits(to) < 8)
        return loop_cast(k, to, loop_cast(k, DTYPE_I32, x));
    return kit_cast_narrow(l, to, x, node_attr_int(graph_node(g, n), "saturate", 1));
}

/* The same bits as another type; bool is a byte of 0 or 1. */
static loop_expr element_bit_cast(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    graph *g = lower_graph(l);
    dtype to = lower_type(l, graph_output(g, n, output))->dtype;
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    dtype from = loop_type(k, x);
    if (to == from) return x;
    if (from == DTYPE_BOOL) {
        x = loop_cast(k, DTYPE_U8, x);
        return to == DTYPE_U8 ? x : loop_bitcast(k, to, x);
    }
    if (to == DTYPE_BOOL) {
        if (from != DTYPE_U8) x = loop_bitcast(k, DTYPE_U8, x);
        return kit_op2(l, LOOP_NE, x, loop_const_int(k, DTYPE_U8, 0));
    }
    return loop_bitcast(k, to, x);
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

static bool infer_clip(graph *g, node_id n) {
    const type x = *graph_type(g, graph_input(g, n, 0));
    for (uint32_t i = 1; i <= 2; i++) {
        value_id bound = graph_input(g, n, i);
        if (!bound) continue;
        if (!kit_need(g, n, i, 0, 1)) return false;
        dim count = type_elements(g->dims, graph_type(g, bound));
        if (!dim_equals_const(g->dims, count, 1) || graph_type(g, bound)->dtype != x.dtype)
            return op_error(g, n, NULL, "a bound is not one number of the input's type");
    }
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

/* min(max(a, low), high) with bounds that may be left out. */
static loop_expr element_clip(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_expr zero = loop_int(lower_kernel(l), 0);
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    if (graph_input(g, n, 1))
        x = loop_max(lower_kernel(l), x, lower_read(l, graph_input(g, n, 1), &zero));
    if (graph_input(g, n, 2))
        x = loop_min(lower_kernel(l), x, lower_read(l, graph_input(g, n, 2), &zero));
    return x;
}

/* b ** e for whole numbers, wrapping: by squaring, seven bits of the exponent. A larger exponent
 * does what its parity does: all that is left are 0, 1, -1 and products that have wrapped. */
static loop_expr whole_power(lower *l, loop_expr b, loop_expr e) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, b);
    loop_expr one = loop_const_int(k, t, 1), zero = loop_int(k, 0), power = one;
    loop_expr root = b, size = kit_op1(l, LOOP_ABS, e);
    loop_expr parity = kit_op2(l, LOOP_AND, size, loop_int(k, 1));
    size = loop_select(k, loop_lt(k, size, loop_int(k, 64)), size,
                       loop_add(k, loop_int(k, 64), parity));
    for (int i = 0; i < 7; i++) {
        loop_expr bit = kit_op2(l, LOOP_AND, size, loop_int(k, (int64_t)1 << i));
        power = loop_select(k, kit_op2(l, LOOP_EQ, bit, zero), power, loop_mul(k, power, root));
        root = loop_mul(k, root, root);
    }
    loop_expr unit = kit_op2(l, LOOP_EQ, loop_mul(k, b, b), one);
    loop_expr vanishes = loop_and(k, loop_lt(k, e, zero), kit_op1(l, LOOP_NOT, unit));
    return loop_select(k, vanishes, loop_const_int(k, t, 0), power);
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
    if (!dtype_is_float(t) && !dtype_is_float(e.type))
        return whole_power(l, a, loop_cast(k, DTYPE_I64, b));
    dtype as = dtype_is_float(t) ? t : DTYPE_F64;
    loop_expr base = loop_cast(k, as, a), up = loop_cast(k, as, b);
    loop_expr power = loop_make(k, LOOP_POW, base, up, 0);
    if (dtype_is_float(t)) return power;
    /* A whole exponent has an exact result, which a function that is a bit off would not give. */
    loop_expr whole = loop_cast(k, DTYPE_I64, b);
    loop_expr is_whole = kit_op2(l, LOOP_EQ, loop_cast(k, as, whole), up);
    return loop_select(k, is_whole, whole_power(l, a, whole), loop_cast(k, t, power));
}

/* Remainder with the sign of the divisor, or (fmod) of the dividend. */
static loop_expr element_mod(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    int rank = lower_type(l, graph_output(g, n, output))->rank;
    loop_expr a = lower_read_broadcast(l, graph_input(g, n, 0), rank, index);
    loop_expr b = lower_read_broadcast(l, graph_input(g, n, 1), rank, index);
    dtype t = loop_type(k, a);
    loop_expr rest = kit_op2(l, LOOP_REM, a, b);
    if (node_attr_int(graph_node(g, n), "fmod", 0)) return rest;
    if (!dtype_is_float(t)) return kit_op2(l, LOOP_MOD, a, b);
    /* The remainder moves by one divisor where its sign differs; a zero takes the divisor's sign.
     */
    loop_binding x[] = {{"r", rest}, {"b", b}};
    return loop_formula(k,
                        "select(r == 0, select(b < 0, neg(abs(r)), abs(r)), "
                        "select(xor(r < 0, b < 0), r + b, r))",
                        t, x, 2);
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
        tanh ? "0.5 * a * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a)))" : "gelu(a)",
        loop_type(k, x.expr), &x, 1);
}

/* Integers are compared with the bounds as numbers with a fraction. */
static loop_expr element_shrink(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    loop_expr x = lower_read(l, graph_input(g, n, 0), index);
    dtype as = dtype_is_float(loop_type(k, x)) ? loop_type(k, x) : DTYPE_F64;
    loop_binding b[] = {{"a", loop_cast(k, as, x)},
                        {"bias", loop_const(k, as, node_attr_float(nd, "bias", 0))},
                        {"lambd", loop_const(k, as, node_attr_float(nd, "lambd", 0.5))}};
    return loop_formula(k, "select(a < 0 - lambd, a + bias, select(a > lambd, a - bias, 0))", as, b,
                        3);
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
    {.domain = "",
     .name = "Equal",
     .flags = OP_POINTWISE | OP_COMMUTATIVE,
     .infer = infer_bool,
     .formula = "a == b",
     .expand = string_expand_equal},
    COMPARE("Greater", 0, "a > b"),
    COMPARE("GreaterOrEqual", 0, "a >= b"),
    COMPARE("IsNaN", 0, "a != a"),
    COMPARE("Less", 0, "a < b"),
    COMPARE("LessOrEqual", 0, "a <= b"),
    {.domain = "",
     .name = "Where",
     .flags = OP_POINTWISE | OP_OPAQUE,
     .infer = infer_where,
     .formula = "select(a, b, c)"},
    COMPUTED("BitShift", infer_same, element_shift),
    {.domain = "",
     .name = "Cast",
     .flags = OP_POINTWISE,
     .infer = infer_cast,
     .element = element_cast,
     .expand = string_expand_cast},
    {.domain = "",
     .name = "CastLike",
     .flags = OP_POINTWISE,
     .infer = infer_cast_like,
     .element = element_cast,
     .expand = string_expand_cast},
    COMPUTED("BitCast", infer_bit_cast, element_bit_cast),
    COMPUTED("Clip", infer_clip, element_clip),
    COMPUTED("Shrink", infer_identity, element_shrink),
    COMPUTED("Gelu", infer_like, element_gelu),
    {.domain = "",
     .name = "Identity",
     .flags = OP_POINTWISE | OP_OPAQUE,
     .infer = infer_identity,
     .element = element_identity},
    COMPUTED("IsInf", infer_bool, element_isinf),
    COMPUTED("Max", infer_same, element_max),
    COMPUTED("Mean", infer_same, element_mean),
    COMPUTED("Min", infer_same, element_min),
    COMPUTED("Mod", infer_same, element_mod),
    COMPUTED("Pow", infer_pow, element_pow),
    COMPUTED("Sum", infer_same, element_sum),
};
const size_t ops_elementwise_count = sizeof ops_elementwise / sizeof *ops_elementwise;
