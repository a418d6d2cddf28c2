/* recognise.c: operators that exporters write out as chains get their name back, so that one kernel
 * computes them: HardSwish, Swish and Gelu from products, RMSNormalization and LayerNormalization
 * from means. Which node of a chain comes first, how it associates, and whether a scalar divides or
 * multiplies, does not matter. */
#include "passes/rewrite.h"

#include <math.h>
#include <string.h>

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-4 * fabs(b);
}

static bool become(graph *g, node_id n, value_id made) {
    if (!made) return false;
    graph_value(g, made)->type = *graph_type(g, graph_output(g, n, 0));
    if (!rewrite_replace(g, graph_output(g, n, 0), made)) return false;
    graph_remove_node(g, n);
    return true;
}

static value_id build(graph *g, node_id n, const char *op, uint32_t count, const value_id *inputs,
                      uint32_t attr_count, const attr *attrs) {
    return graph_build(g, graph_node(g, n)->region, n, "", op, count, inputs, attr_count, attrs);
}

/* ---- products: scale * factors[0] * factors[1] * ... ---- */

enum { MOST_FACTORS = 4 };

typedef struct {
    double scale;
    size_t count;
    value_id factors[MOST_FACTORS];
} product;

/* Takes v apart as far as it is made of Mul, of Div by a scalar, and of small powers. */
static bool take_apart(const graph *g, value_id v, int depth, product *p) {
    double c;
    node_id n = graph_value(g, v)->producer;
    if (rewrite_scalar(g, v, &c)) {
        p->scale *= c;
        return true;
    }
    if (n && depth) {
        value_id a = graph_input(g, n, 0), b = graph_input(g, n, 1);
        if (rewrite_is(g, n, "Mul"))
            return take_apart(g, a, depth - 1, p) && take_apart(g, b, depth - 1, p);
        if (rewrite_is(g, n, "Div") && rewrite_scalar(g, b, &c)) {
            p->scale /= c;
            return take_apart(g, a, depth - 1, p);
        }
        if (rewrite_is(g, n, "Pow") && rewrite_scalar(g, b, &c) && (c == 2 || c == 3)) {
            for (int i = 0; i < (int)c; i++)
                if (!take_apart(g, a, depth - 1, p)) return false;
            return true;
        }
    }
    if (p->count == MOST_FACTORS) return false;
    p->factors[p->count++] = v;
    return true;
}

static bool product_of(const graph *g, value_id v, product *p) {
    *p = (product){.scale = 1};
    return take_apart(g, v, 4, p);
}

/* Whether v is x + scalar. */
static bool sum_with_scalar(const graph *g, value_id v, value_id *x, double *c) {
    node_id n = rewrite_producer(g, v, "Add");
    for (uint32_t side = 0; n && side < 2; side++)
        if (rewrite_scalar(g, graph_input(g, n, 1 - side), c)) {
            *x = graph_input(g, n, side);
            return true;
        }
    return false;
}

/* ---- activations x * f(x): what f is ---- */

static bool is_clip_0_6(const graph *g, value_id v, value_id *x) {
    double low, high;
    node_id n = rewrite_producer(g, v, "Clip");
    if (!n || !rewrite_scalar(g, graph_input(g, n, 1), &low) ||
        !rewrite_scalar(g, graph_input(g, n, 2), &high))
        return false;
    *x = graph_input(g, n, 0);
    return low == 0 && high == 6;
}

/* Clip(x + 3, 0, 6), or HardSigmoid of a sixth, which is a sixth of it: *scale is 1/6 or 1. */
static bool is_hard_sigmoid(const graph *g, value_id v, value_id x, double *scale) {
    value_id inner, base;
    double c;
    *scale = 1.0 / 6;
    if (is_clip_0_6(g, v, &inner))
        return sum_with_scalar(g, inner, &base, &c) && base == x && c == 3;
    node_id n = rewrite_producer(g, v, "HardSigmoid");
    *scale = 1;
    return n && graph_input(g, n, 0) == x &&
           near(node_attr_float(graph_node(g, n), "alpha", 0), 1.0 / 6) &&
           node_attr_float(graph_node(g, n), "beta", 0) == 0.5;
}

static bool is_sigmoid(const graph *g, value_id v, value_id x) {
    node_id n = rewrite_producer(g, v, "Sigmoid");
    return n && graph_input(g, n, 0) == x;
}

/* erf(x / sqrt(2)) + 1 */
static bool is_error_function(const graph *g, value_id v, value_id x) {
    value_id e;
    double one;
    product p;
    node_id n = sum_with_scalar(g, v, &e, &one) ? rewrite_producer(g, e, "Erf") : 0;
    return n && one == 1 && product_of(g, graph_input(g, n, 0), &p) && p.count == 1 &&
           p.factors[0] == x && near(p.scale, 0.7071067811865476);
}

/* tanh(0.79788 * (x + 0.044715 * x^3)) + 1 */
static bool is_tanh_of_cubic(const graph *g, value_id v, value_id x) {
    value_id t;
    double one;
    product outer, cubic;
    node_id n = sum_with_scalar(g, v, &t, &one) ? rewrite_producer(g, t, "Tanh") : 0;
    if (!n || one != 1 || !product_of(g, graph_input(g, n, 0), &outer) || outer.count != 1 ||
        !near(outer.scale, 0.7978845608028654))
        return false;
    node_id sum = rewrite_producer(g, outer.factors[0], "Add");
    for (uint32_t side = 0; sum && side < 2; side++)
        if (graph_input(g, sum, side) == x &&
            product_of(g, graph_input(g, sum, 1 - side), &cubic) && cubic.count == 3 &&
            cubic.factors[0] == x && cubic.factors[1] == x && cubic.factors[2] == x &&
            near(cubic.scale, 0.044715))
            return true;
    return false;
}

static bool name_activation(graph *g, node_id n) {
    product p;
    value_id y = graph_output(g, n, 0);
    if (!dtype_is_float(graph_type(g, y)->dtype) || !product_of(g, y, &p) || p.count != 2)
        return false;
    for (int side = 0; side < 2; side++) {
        double scale;
        value_id x = p.factors[side], f = p.factors[1 - side];
        attr approximate = attr_string("approximate", "tanh");
        const char *op = NULL;
        uint32_t attrs = 0;
        if (!type_equal(graph_type(g, x), graph_type(g, y))) continue;
        if (is_hard_sigmoid(g, f, x, &scale) && near(p.scale, scale))
            op = "HardSwish";
        else if (is_sigmoid(g, f, x) && p.scale == 1)
            op = "Swish";
        else if (is_error_function(g, f, x) && p.scale == 0.5)
            op = "Gelu";
        else if (is_tanh_of_cubic(g, f, x) && p.scale == 0.5) {
            op = "Gelu";
            attrs = 1;
        }
        if (op) return become(g, n, build(g, n, op, 1, &x, attrs, &approximate));
    }
    return false;
}

/* ---- normalisation ---- */

/* Whether v is the mean of x over its last axes, kept as ones; *axis is the first of them. */
static bool is_mean(graph *g, value_id v, value_id *x, int *axis) {
    const int64_t *axes;
    size_t count;
    node_id n = rewrite_producer(g, v, "ReduceMean");
    if (!n || !node_attr_int(graph_node(g, n), "keepdims", 1) || !graph_input(g, n, 1) ||
        !op_const_ints(g, n, 1, NULL, &axes, &count) || !count)
        return false;
    *x = graph_input(g, n, 0);
    int rank = graph_type(g, *x)->rank;
    unsigned marked = 0;
    if (count > (size_t)rank) return false;
    for (size_t i = 0; i < count; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (a < 0 || a >= rank) return false;
        marked |= 1u << a;
    }
    *axis = rank - (int)count;
    return marked == ((1u << count) - 1) << *axis;
}

/* Whether v is sqrt(mean(x * x) + epsilon). */
static bool is_root_mean_square(graph *g, value_id v, value_id *x, int *axis, double *epsilon) {
    value_id mean, square;
    product p;
    node_id root = rewrite_producer(g, v, "Sqrt");
    if (!root || !sum_with_scalar(g, graph_input(g, root, 0), &mean, epsilon) ||
        !is_mean(g, mean, &square, axis) || !product_of(g, square, &p))
        return false;
    *x = p.factors[0];
    return p.count == 2 && p.scale == 1 && p.factors[0] == p.factors[1];
}

/* Whether the node is x / rms: a Div, or a Mul with 1 / rms. */
static bool is_normalised(graph *g, node_id n, value_id *x, int *axis, double *epsilon) {
    double one;
    if (rewrite_is(g, n, "Div"))
        return is_root_mean_square(g, graph_input(g, n, 1), x, axis, epsilon) &&
               *x == graph_input(g, n, 0);
    for (uint32_t side = 0; rewrite_is(g, n, "Mul") && side < 2; side++) {
        value_id v = graph_input(g, n, side), root = 0;
        node_id d = rewrite_producer(g, v, "Div"), r = rewrite_producer(g, v, "Reciprocal");
        if (r) root = graph_input(g, r, 0);
        if (d && rewrite_scalar(g, graph_input(g, d, 0), &one) && one == 1)
            root = graph_input(g, d, 1);
        if (root && is_root_mean_square(g, root, x, axis, epsilon) &&
            *x == graph_input(g, n, 1 - side))
            return true;
    }
    return false;
}

/* Ones for the axes from `axis` on: the scale of a normalisation that has none. */
static value_id ones(graph *g, const type *t, int axis) {
    int64_t dims[TENSOR_MAX_RANK];
    static const float one = 1;
    type scale = type_tensor(t->dtype, t->rank - axis, t->dims + axis);
    if (t->dtype != DTYPE_F32 || !type_static_dims(g->dims, &scale, dims)) return 0;
    return graph_add_constant(g, "ones", scale, (blob){&one, sizeof one, true});
}

static bool name_normalization(graph *g, node_id n) {
    value_id x, mean_of;
    int axis, mean_axis;
    double epsilon;
    if (!is_normalised(g, n, &x, &axis, &epsilon)) return false;
    const char *op = "RMSNormalization";
    node_id centre = rewrite_producer(g, x, "Sub");
    if (centre && is_mean(g, graph_input(g, centre, 1), &mean_of, &mean_axis) &&
        mean_of == graph_input(g, centre, 0) && mean_axis == axis) {
        op = "LayerNormalization";
        x = mean_of;
    }
    const type t = *graph_type(g, x);
    value_id inputs[] = {x, ones(g, &t, axis)};
    attr attrs[] = {attr_int("axis", axis), attr_float("epsilon", epsilon)};
    return inputs[1] && become(g, n, build(g, n, op, 2, inputs, 2, attrs));
}

/* Whether v lies along the normalised axes of the node as its scale does. */
static bool fits_scale(const graph *g, node_id norm, value_id v) {
    const type *scale = graph_type(g, graph_input(g, norm, 1)), *t = graph_type(g, v);
    return rewrite_is_constant(g, v) && type_equal(scale, t);
}

/* A Mul behind a normalisation without a scale is its scale; an Add its bias. */
static bool absorb_scale(graph *g, const uint32_t *uses, node_id n) {
    bool multiply = rewrite_is(g, n, "Mul");
    for (uint32_t side = 0; (multiply || rewrite_is(g, n, "Add")) && side < 2; side++) {
        value_id v = graph_input(g, n, side), w = graph_input(g, n, 1 - side);
        node_id norm = rewrite_producer(g, v, "LayerNormalization");
        double c;
        if (!norm && multiply) norm = rewrite_producer(g, v, "RMSNormalization");
        if (!norm || !rewrite_used_once(uses, v) || graph_input(g, norm, 2) ||
            graph_output(g, norm, 1) || !fits_scale(g, norm, w))
            continue;
        if (multiply && (!rewrite_repeated(g, graph_input(g, norm, 1), &c) || c != 1)) continue;
        const node old = *graph_node(g, norm);
        value_id inputs[] = {old.inputs[0], multiply ? w : old.inputs[1], w};
        return become(
            g, n, build(g, n, old.op->name, multiply ? 2 : 3, inputs, old.attr_count, old.attrs));
    }
    return false;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    if (!graph_node(g, n)->output_count || !graph_output(g, n, 0)) return 0;
    if (rewrite_is(g, n, "Add")) return absorb_scale(g, uses, n);
    if (!rewrite_is(g, n, "Mul") && !rewrite_is(g, n, "Div")) return 0;
    return name_normalization(g, n) || name_activation(g, n) || absorb_scale(g, uses, n);
}

static long run(graph *g, const pass_options *options) {
    return rewrite_each(g, options, rewrite_count_uses(g), visit);
}

const pass_def pass_recognise = {"recognise", "chains that exporters write out get their operator",
                                 run};
