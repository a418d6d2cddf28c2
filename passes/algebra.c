/* algebra.c: cheaper spellings of the same: chains of transposes and of reshapes become one,
 * neutral operands go, scalars meet. What changes a result by more than the rounding of one
 * operation is left alone. */
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

/* `made` takes the place of the node's result. */
static bool become(graph *g, node_id n, value_id made) {
    if (!made || !rewrite_replace(g, graph_output(g, n, 0), made)) return false;
    graph_remove_node(g, n);
    return true;
}

static bool same_as_result(const graph *g, node_id n, value_id v) {
    return v && type_equal(graph_type(g, v), graph_type(g, graph_output(g, n, 0)));
}

/* ---- movement ---- */

static bool merge_transposes(graph *g, node_id n) {
    node_id first = rewrite_producer(g, graph_input(g, n, 0), "Transpose");
    size_t count, inner_count;
    if (!first) return false;
    const int64_t *outer = node_attr_ints(graph_node(g, n), "perm", &count);
    const int64_t *inner = node_attr_ints(graph_node(g, first), "perm", &inner_count);
    if (!outer || !inner || count != inner_count || count > TENSOR_MAX_RANK) return false;
    int64_t *perm = ARENA_ARRAY(g->memory, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        if (outer[i] < 0 || (size_t)outer[i] >= count) return false;
        perm[i] = inner[outer[i]];
    }
    attr a = attr_ints("perm", perm, count);
    value_id x = graph_input(g, first, 0);
    return become(g, n, graph_build(g, graph_node(g, n)->region, n, "", "Transpose", 1, &x, 1, &a));
}

static bool is_reshape(const graph *g, node_id n) {
    return rewrite_is(g, n, "Reshape") || rewrite_is(g, n, "Squeeze") ||
           rewrite_is(g, n, "Unsqueeze") || rewrite_is(g, n, "Flatten");
}

/* The shape operand that makes `to` of `from`: numbers, 0 for a dimension that stays in its place,
 * at most one -1. False if that is not enough. */
static bool shape_operand(const graph *g, const type *from, const type *to, int64_t *out) {
    bool open = false;
    for (int i = 0; i < to->rank; i++) {
        if (dim_is_const(g->dims, to->dims[i], &out[i])) {
            if (out[i] <= 0) return false;
        } else if (i < from->rank && from->dims[i] == to->dims[i]) {
            out[i] = 0;
        } else {
            if (open) return false;
            open = true;
            out[i] = -1;
        }
    }
    return true;
}

/* Reshapes of all kinds become one Reshape to a constant shape. */
static bool merge_reshapes(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    node_id first = graph_value(g, x)->producer;
    bool chain = first && is_reshape(g, first);
    if (chain) x = graph_input(g, first, 0);
    bool plain = rewrite_is(g, n, "Reshape") && rewrite_is_constant(g, graph_input(g, n, 1));
    if (plain && !chain) return false;
    int64_t shape[TENSOR_MAX_RANK];
    const type from = *graph_type(g, x), to = *graph_type(g, y);
    if (from.kind != TYPE_TENSOR || from.layout || to.layout ||
        !shape_operand(g, &from, &to, shape))
        return false;
    int64_t count[] = {to.rank};
    value_id inputs[] = {x, graph_add_constant_ints(g, "shape", DTYPE_I64, 1, count, shape)};
    value_id made = graph_build(g, graph_node(g, n)->region, n, "", "Reshape", 2, inputs, 0, NULL);
    if (!made) return false;
    graph_value(g, made)->type = to; /* the same, in the words of the old one */
    return become(g, n, made);
}

/* ---- arithmetic with scalars ---- */

static value_id float_scalar(graph *g, const type *like, double v) {
    if (like->dtype != DTYPE_F32 && like->dtype != DTYPE_F64) return 0;
    return graph_add_constant_floats(g, "scalar", like->dtype, 0, NULL, &v);
}

/* x op c for the neutral c of each operator; `either`: c op x as well. */
static bool drop_neutral(graph *g, node_id n) {
    static const struct {
        const char *op;
        double neutral;
        bool either;
    } rules[] = {{"Mul", 1, true},  {"Add", 0, true}, {"Sub", 0, false}, {"Div", 1, false},
                 {"Pow", 1, false}, {"Or", 0, true},  {"And", 1, true},  {"Xor", 0, true}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rewrite_is(g, n, rules[i].op)) continue;
        for (uint32_t side = 0; side < (rules[i].either ? 2 : 1); side++) {
            double c;
            value_id x = graph_input(g, n, side);
            if (rewrite_repeated(g, graph_input(g, n, 1 - side), &c) && c == rules[i].neutral &&
                same_as_result(g, n, x) && rewrite_replace(g, graph_output(g, n, 0), x)) {
                graph_remove_node(g, n);
                return true;
            }
        }
    }
    return false;
}

/* x / 2^k is x * 2^-k; x^2 is x * x. */
static bool to_product(graph *g, node_id n) {
    double c;
    int exponent;
    value_id x = graph_input(g, n, 0), inputs[] = {x, x};
    if (!rewrite_is(g, n, "Div") && !rewrite_is(g, n, "Pow")) return false;
    const type t = *graph_type(g, x);
    if (!rewrite_scalar(g, graph_input(g, n, 1), &c) || !same_as_result(g, n, x)) return false;
    if (rewrite_is(g, n, "Div") && dtype_is_float(t.dtype)) {
        if (fabs(frexp(c, &exponent)) != 0.5 || exponent > 100 || exponent < -100) return false;
        inputs[1] = float_scalar(g, &t, 1 / c);
    } else if (!rewrite_is(g, n, "Pow") || c != 2) {
        return false;
    }
    if (!inputs[1]) return false;
    return become(g, n, graph_build(g, graph_node(g, n)->region, n, "", "Mul", 2, inputs, 0, NULL));
}

/* (x op a) op b is x op (a op b), for Mul and Add with scalars. */
static bool merge_scalars(graph *g, const uint32_t *uses, node_id n, const char *op) {
    double a, b;
    for (uint32_t side = 0; rewrite_is(g, n, op) && side < 2; side++) {
        value_id v = graph_input(g, n, side);
        node_id first = rewrite_producer(g, v, op);
        if (!first || !rewrite_used_once(uses, v) ||
            !rewrite_scalar(g, graph_input(g, n, 1 - side), &b))
            continue;
        for (uint32_t inner = 0; inner < 2; inner++) {
            value_id x = graph_input(g, first, inner);
            if (!rewrite_scalar(g, graph_input(g, first, 1 - inner), &a) ||
                !same_as_result(g, n, x))
                continue;
            double c = strcmp(op, "Mul") == 0 ? a * b : a + b;
            const type t = *graph_type(g, x);
            if (t.dtype != DTYPE_F32 || !isnormal((float)c)) return false;
            value_id inputs[] = {x, float_scalar(g, &t, c)};
            return become(g, n,
                          graph_build(g, graph_node(g, n)->region, n, "", op, 2, inputs, 0, NULL));
        }
    }
    return false;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    if (*graph_node(g, n)->op->domain || !graph_output(g, n, 0)) return 0;
    if (rewrite_is(g, n, "Transpose")) return merge_transposes(g, n);
    if (is_reshape(g, n)) return merge_reshapes(g, n);
    return drop_neutral(g, n) || to_product(g, n) || merge_scalars(g, uses, n, "Mul") ||
           merge_scalars(g, uses, n, "Add");
}

static long run(graph *g, const pass_options *options) {
    return rewrite_each(g, options, rewrite_count_uses(g), visit);
}

const pass_def pass_algebra = {"algebra", "cheaper spellings: chains of moves, neutral operands",
                               run};
