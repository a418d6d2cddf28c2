/* ml.c: the vocabulary of the classical models; see ml.h. The transforms have the meaning of the
 * onnx package's reference. */
#include "ir/ops/ml.h"

#include <math.h>
#include <string.h>

value_id ml_rows(graph *g, node_id n, uint32_t i, dtype t) {
    if (!kit_need(g, n, i, 1, 2)) return 0;
    value_id x = kit_build_cast(g, n, graph_input(g, n, i), t);
    const int64_t one_row[] = {1, -1};
    return x && graph_type(g, x)->rank == 1 ? kit_build_reshape(g, n, x, one_row, 2) : x;
}

int64_t ml_feature_count(const graph *g, value_id rows) {
    int64_t count;
    const type *t = graph_type(g, rows);
    return dim_is_const(g->dims, t->dims[t->rank - 1], &count) ? count : -1;
}

size_t ml_count(const graph *g, node_id n, const char *name) {
    const attr *a = node_attr(graph_node(g, n), name);
    return a ? a->count : 0;
}

/* Fills in the dimension that is -1; false if the elements do not fit. */
static bool fit_shape(size_t count, int rank, const int64_t *shape, int64_t *out) {
    int64_t known = 1, open = -1;
    for (int i = 0; i < rank; i++) {
        out[i] = shape[i];
        if (shape[i] < 0)
            open = i;
        else if (__builtin_mul_overflow(known, shape[i], &known))
            return false;
    }
    if (open < 0) return known == (int64_t)count;
    if (!known || (int64_t)count % known) return false;
    out[open] = (int64_t)count / known;
    return true;
}

value_id ml_constant(graph *g, node_id n, const char *name, dtype t, int rank,
                     const int64_t *shape) {
    const attr *a = node_attr(graph_node(g, n), name);
    int64_t dims[TENSOR_MAX_RANK];
    if (!a || !a->count) return 0;
    if (!fit_shape(a->count, rank, shape, dims)) {
        op_error(g, n, NULL, "attribute %s has %zu elements, which does not fit", name, a->count);
        return 0;
    }
    double *floats = ARENA_ARRAY(g->memory, double, a->count);
    for (size_t i = 0; i < a->count; i++)
        floats[i] = a->kind == ATTR_INTS ? (double)a->ints[i] : a->floats[i];
    if (dtype_is_float(t)) return graph_add_constant_floats(g, NULL, t, rank, dims, floats);
    int64_t *ints = ARENA_ARRAY(g->memory, int64_t, a->count);
    for (size_t i = 0; i < a->count; i++)
        ints[i] = a->kind == ATTR_INTS ? a->ints[i] : (int64_t)a->floats[i];
    return graph_add_constant_ints(g, NULL, t, rank, dims, ints);
}

bool ml_per_feature(graph *g, node_id n, const char *name, value_id rows, value_id *out) {
    const int64_t any[] = {-1};
    int64_t count = (int64_t)ml_count(g, n, name), features = ml_feature_count(g, rows);
    *out = ml_constant(g, n, name, graph_type(g, rows)->dtype, 1, any);
    if (count <= 1 || features < 0 || count == features) return true;
    return op_error(g, n, NULL, "attribute %s has %lld elements for %lld features", name,
                    (long long)count, (long long)features);
}

/* ---- transforms ---- */

bool ml_read_transform(graph *g, node_id n, ml_transform *out) {
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    const attr *a = node_attr(graph_node(g, n), "post_transform");
    for (int i = 0; i < 5; i++)
        if (a && (a->kind == ATTR_INT ? a->i == i : strcmp(a->string, names[i]) == 0)) {
            *out = (ml_transform)i;
            return true;
        }
    return op_error(g, n, NULL,
                    "attribute post_transform is none of NONE, SOFTMAX, LOGISTIC, "
                    "SOFTMAX_ZERO and PROBIT");
}

/* Softmax that leaves scores of zero at zero; where all are zero, each is a half. */
static value_id softmax_zero(graph *g, node_id n, value_id scores) {
    attr last = attr_ints("axes", (const int64_t[]){-1}, 1);
    value_id axes = kit_ints(g, last.ints, 1), with_axes[] = {scores, axes};
    value_id most = kit_build(g, n, "ReduceMax", 2, with_axes, 0, NULL);
    value_id parts[] = {scores, most};
    value_id terms = spell_value(g, n, "onnxcc.SoftmaxZeroTerm", 2, parts, 0, NULL);
    value_id sum_of[] = {terms, axes};
    value_id all[] = {terms, kit_build(g, n, "ReduceSum", 2, sum_of, 0, NULL)};
    return spell_value(g, n, "onnxcc.SoftmaxZeroShare", 2, all, 0, NULL);
}

value_id ml_apply_transform(graph *g, node_id n, ml_transform t, value_id scores) {
    if (!scores) return 0;
    attr last = attr_int("axis", -1);
    switch (t) {
    case ML_SOFTMAX: return kit_build(g, n, "Softmax", 1, &scores, 1, &last);
    case ML_LOGISTIC: return kit_build1(g, n, "Sigmoid", scores);
    case ML_SOFTMAX_ZERO: return softmax_zero(g, n, scores);
    case ML_PROBIT: return spell_value(g, n, "onnxcc.Probit", 1, &scores, 0, NULL);
    default: return scores;
    }
}

/* ---- labels ---- */

value_id ml_labels(graph *g, node_id n, const char *ints, const char *strings, int64_t *count) {
    const attr *a = node_attr(graph_node(g, n), ints), *s = node_attr(graph_node(g, n), strings);
    if (a && a->count) {
        *count = (int64_t)a->count;
        return kit_ints(g, a->ints, *count);
    }
    if (s && s->count) {
        *count = (int64_t)s->count;
        const blob data = {s->strings, s->count * sizeof *s->strings, false};
        return graph_add_constant(g, NULL, type_tensor_const(g, DTYPE_STRING, 1, count), data);
    }
    int64_t *numbers = ARENA_ARRAY(g->memory, int64_t, *count > 0 ? *count : 1);
    for (int64_t i = 0; i < *count; i++) numbers[i] = i;
    return kit_ints(g, numbers, *count);
}

value_id ml_best_label(graph *g, node_id n, value_id labels, value_id scores) {
    attr how[] = {attr_int("axis", -1), attr_int("keepdims", 0)};
    value_id best = scores ? kit_build(g, n, "ArgMax", 1, &scores, 2, how) : 0;
    return kit_build2(g, n, "Gather", labels, best);
}

value_id ml_binary_label(graph *g, node_id n, value_id labels, value_id score, double threshold) {
    if (!score) return 0;
    const int64_t flat[] = {-1};
    value_id above =
        kit_build2(g, n, "Greater", score, spell_number(g, graph_type(g, score)->dtype, threshold));
    value_id which = above ? kit_build_cast(g, n, above, DTYPE_I64) : 0;
    which = which ? kit_build_reshape(g, n, which, flat, 1) : 0;
    return kit_build2(g, n, "Gather", labels, which);
}

#define STEP(op, text)                                                                             \
    { .domain = OP_INTERNAL, .name = op, .flags = OP_POINTWISE, .formula = text }
/* Winitzki's approximation of the inverse error function, which the standard's reference takes. */
#define PROBIT_LOG  "log((1 - (a * 2 - 1)) * (1 + (a * 2 - 1)))"
#define PROBIT_HALF "(4.3307467508 + 0.5 * " PROBIT_LOG ")"
#define PROBIT_ROOT                                                                                \
    "sqrt(sqrt(" PROBIT_HALF " * " PROBIT_HALF " - 6.8027210884 * " PROBIT_LOG ") - " PROBIT_HALF  \
    ")"

const op_def ops_ml[] = {
    STEP("SoftmaxZeroTerm", "select(abs(a) > 1e-7, exp(a - b), a * exp(-b))"),
    STEP("SoftmaxZeroShare", "select(b == 0, 0.5, a / select(b == 0, 1, b))"),
    STEP("Probit", "select((1 - (a * 2 - 1)) * (1 + (a * 2 - 1)) == 0, 0, 1.41421356 * "
                   "select(a < 0.5, -" PROBIT_ROOT ", " PROBIT_ROOT "))"),
};
const size_t ops_ml_count = sizeof ops_ml / sizeof *ops_ml;
