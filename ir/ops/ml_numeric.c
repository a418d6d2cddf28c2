/* ml_numeric.c: the operators of ai.onnx.ml that scale, fill in, pick and join features, and the
 * linear models. */
#include "ir/ops/ml.h"

#include <math.h>
#include <string.h>

static dtype input_type(const graph *g, node_id n) {
    return graph_type(g, graph_input(g, n, 0))->dtype;
}

/* The type in which a model computes: doubles stay what they are, all else is float. */
static dtype model_type(const graph *g, node_id n) {
    return input_type(g, n) == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* x op y; x if y is 0. */
static value_id maybe(graph *g, node_id n, const char *op, value_id x, value_id y) {
    return x && y ? kit_build2(g, n, op, x, y) : x;
}

static bool expand_scaler(graph *g, node_id n) {
    value_id offset, scale;
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    value_id x = kit_build_cast(g, n, graph_input(g, n, 0), model_type(g, n));
    if (!x || !ml_per_feature(g, n, "offset", x, &offset) ||
        !ml_per_feature(g, n, "scale", x, &scale))
        return false;
    value_id y = maybe(g, n, "Mul", maybe(g, n, "Sub", x, offset), scale);
    return spell_result(g, n, kit_build_cast(g, n, y, DTYPE_F32));
}

static bool expand_normalizer(graph *g, node_id n) {
    const char *norm = node_attr_string(graph_node(g, n), "norm", "MAX");
    const char *reduce = strcmp(norm, "MAX") == 0  ? "ReduceMax"
                         : strcmp(norm, "L1") == 0 ? "ReduceL1"
                         : strcmp(norm, "L2") == 0 ? "ReduceL2"
                                                   : NULL;
    const int64_t last = -1;
    if (!reduce) return op_error(g, n, NULL, "there is no norm %s", norm);
    value_id x = ml_rows(g, n, 0, model_type(g, n));
    if (!x) return false;
    value_id size = strcmp(norm, "MAX") == 0 ? kit_build1(g, n, "Abs", x) : x;
    value_id along[] = {size, kit_ints(g, &last, 1)};
    value_id sizes[] = {kit_build(g, n, reduce, 2, along, 0, NULL),
                        spell_number(g, graph_type(g, x)->dtype, 1e-30)};
    value_id y = kit_build2(g, n, "Div", x, kit_build(g, n, "Max", 2, sizes, 0, NULL));
    return spell_result(g, n, kit_build_cast(g, n, y, DTYPE_F32));
}

static bool expand_imputer(graph *g, node_id n) {
    dtype t = input_type(g, n);
    const node nd = *graph_node(g, n);
    bool floats = dtype_is_float(t);
    const char *list = floats ? "imputed_value_floats" : "imputed_value_int64s";
    value_id x = graph_input(g, n, 0), filling, missing;
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    if (!ml_count(g, n, list)) return op_error(g, n, NULL, "attribute %s is missing", list);
    if (!ml_per_feature(g, n, list, x, &filling)) return false;
    double replaced = node_attr_float(&nd, "replaced_value_float", 0);
    int64_t whole = node_attr_int(&nd, "replaced_value_int64", 0);
    if (floats && isnan(replaced))
        missing = kit_build1(g, n, "IsNaN", x);
    else
        missing = kit_build2(g, n, "Equal", x,
                             floats ? spell_number(g, t, replaced)
                                    : graph_add_constant_ints(g, NULL, t, 0, NULL, &whole));
    value_id all[] = {missing, filling, x};
    return spell_result(g, n, kit_build(g, n, "Where", 3, all, 0, NULL));
}

static bool expand_binarizer(graph *g, node_id n) {
    dtype t = input_type(g, n);
    double threshold = node_attr_float(graph_node(g, n), "threshold", 0);
    /* Above a threshold with a fraction is above its floor, for an integer. */
    if (!dtype_is_float(t)) threshold = floor(threshold);
    value_id above =
        kit_build2(g, n, "Greater", graph_input(g, n, 0), spell_number(g, t, threshold));
    return spell_result(g, n, kit_build_cast(g, n, above, t));
}

static bool expand_extractor(graph *g, node_id n) {
    const int64_t flat[] = {-1}, row[] = {1, -1};
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK) || !kit_need(g, n, 1, 0, TENSOR_MAX_RANK))
        return false;
    value_id x = graph_input(g, n, 0);
    attr last = attr_int("axis", graph_type(g, x)->rank - 1);
    value_id index = kit_build_reshape(g, n, graph_input(g, n, 1), flat, 1);
    value_id both[] = {x, index};
    value_id y = kit_build(g, n, "Gather", 2, both, 1, &last);
    if (y && graph_type(g, x)->rank == 1) y = kit_build_reshape(g, n, y, row, 2);
    return spell_result(g, n, y);
}

/* One input's columns: cut off, or filled up with zeros, to as many as the model says. */
static value_id vectorizer_part(graph *g, node_id n, uint32_t i, int64_t wanted) {
    if (!kit_need(g, n, i, 1, 2)) return 0;
    const int64_t column[] = {-1, 1};
    value_id x = kit_build_cast(g, n, graph_input(g, n, i), DTYPE_F32);
    if (x && graph_type(g, x)->rank == 1) x = kit_build_reshape(g, n, x, column, 2);
    if (!x || wanted < 0) return x;
    int64_t have = ml_feature_count(g, x);
    if (have < 0 || wanted > INT32_MAX) {
        op_error(g, n, "fix it with --dim", "the number of columns of input %u is not known", i);
        return 0;
    }
    if (wanted < have) return kit_build_slice(g, n, x, 1, 0, wanted);
    if (wanted == have) return x;
    const int64_t more[] = {0, 0, 0, wanted - have};
    return kit_build2(g, n, "Pad", x, kit_ints(g, more, 4));
}

static bool expand_vectorizer(graph *g, node_id n) {
    size_t count;
    const int64_t *sizes = node_attr_ints(graph_node(g, n), "inputdimensions", &count);
    uint32_t inputs = graph_node(g, n)->input_count;
    if (sizes && count && count != inputs)
        return op_error(g, n, NULL, "attribute inputdimensions has %zu elements for %u inputs",
                        count, inputs);
    value_id *parts = ARENA_ARRAY(g->memory, value_id, inputs);
    for (uint32_t i = 0; i < inputs; i++) {
        if (sizes && count && sizes[i] < 0)
            return op_error(g, n, NULL, "attribute inputdimensions holds a negative size");
        parts[i] = vectorizer_part(g, n, i, sizes && count ? sizes[i] : -1);
        if (!parts[i]) return false;
    }
    return spell_result(g, n, spell_concat(g, n, 1, inputs, parts));
}

/* A sequence of maps that all have the same constant keys is the table of their values: a row a
 * map, a column a key, in the order of the labels. */
static bool expand_zip_map(graph *g, node_id n) {
    int64_t labels =
        (int64_t)(ml_count(g, n, "classlabels_int64s") + ml_count(g, n, "classlabels_strings"));
    value_id x = ml_rows(g, n, 0, DTYPE_F32);
    int64_t columns = x ? ml_feature_count(g, x) : -1;
    if (x && columns >= 0 && columns != labels)
        return op_error(g, n, NULL, "it has %lld labels for %lld columns", (long long)labels,
                        (long long)columns);
    return spell_result(g, n, x);
}

/* ---- linear models ---- */

/* Rows of scores: `targets` of them, coefficients of one behind those of the other. */
static value_id linear_scores(graph *g, node_id n, int64_t targets) {
    const int64_t shape[] = {targets, -1}, vector[] = {targets}, one[] = {1};
    dtype t = model_type(g, n);
    value_id x = ml_rows(g, n, 0, t);
    value_id w = x ? ml_constant(g, n, "coefficients", t, 2, shape) : 0;
    if (!w) {
        if (x && !ml_count(g, n, "coefficients"))
            op_error(g, n, NULL, "attribute coefficients is missing");
        return 0;
    }
    bool single = ml_count(g, n, "intercepts") == 1;
    value_id b = ml_constant(g, n, "intercepts", t, 1, single ? one : vector);
    if (!b && ml_count(g, n, "intercepts")) return 0;
    value_id y = kit_build2(g, n, "MatMul", x, spell_transposed(g, n, w));
    return maybe(g, n, "Add", y, b);
}

static bool expand_linear_regressor(graph *g, node_id n) {
    int64_t targets = node_attr_int(graph_node(g, n), "targets", 1);
    ml_transform transform;
    if (!ml_read_transform(g, n, &transform)) return false;
    if (targets < 1 || targets > INT32_MAX)
        return op_error(g, n, NULL, "attribute targets is %lld", (long long)targets);
    value_id y = ml_apply_transform(g, n, transform, linear_scores(g, n, targets));
    return spell_result(g, n, kit_build_cast(g, n, y, DTYPE_F32));
}

/* The classes of a model without coefficients for each: one label, and nothing below it. */
static value_id labels_of_one(graph *g, node_id n, value_id label) {
    const int64_t one = 1, zero = 0;
    value_id none = kit_ints(g, &zero, 1);
    if (graph_type(g, label)->dtype == DTYPE_STRING) {
        blob_string *empty = ARENA_NEW(g->memory, blob_string);
        *empty = (blob_string){"", 0};
        none = graph_add_constant(g, NULL, type_tensor_const(g, DTYPE_STRING, 1, &one),
                                  (blob){empty, sizeof *empty, false});
    }
    value_id both[] = {none, label};
    return spell_concat(g, n, 0, 2, both);
}

/* How many rows of coefficients there are; -1 and a diagnostic if that is not a whole number. */
static int64_t linear_targets(graph *g, node_id n) {
    value_id x = ml_rows(g, n, 0, model_type(g, n));
    int64_t features = x ? ml_feature_count(g, x) : -1;
    int64_t coefficients = (int64_t)ml_count(g, n, "coefficients");
    if (features > 0 && coefficients && coefficients % features == 0)
        return coefficients / features;
    if (x)
        op_error(g, n, features < 0 ? "fix it with --dim" : NULL,
                 "attribute coefficients has %lld elements for %lld features",
                 (long long)coefficients, (long long)features);
    return -1;
}

/* With one row of coefficients for two classes the score is that of the second one. */
static bool expand_linear_classifier(graph *g, node_id n) {
    int64_t targets, classes;
    ml_transform transform;
    if (!ml_read_transform(g, n, &transform) || (targets = linear_targets(g, n)) < 0) return false;
    classes = targets;
    value_id labels = ml_labels(g, n, "classlabels_ints", "classlabels_strings", &classes);
    bool second = targets == 1 && classes == 2;
    if (classes != targets && !second)
        return op_error(g, n, NULL, "it has %lld labels for %lld scores", (long long)classes,
                        (long long)targets);
    value_id scores = linear_scores(g, n, targets);
    if (second) {
        value_id both[] = {kit_build1(g, n, "Neg", scores), scores};
        scores = spell_concat(g, n, 1, 2, both);
    }
    value_id made[] = {0, ml_apply_transform(g, n, transform, scores)};
    if (classes > 1)
        made[0] = ml_best_label(g, n, labels, scores);
    else
        made[0] = ml_binary_label(g, n, labels_of_one(g, n, labels), made[1],
                                  transform == ML_NONE ? 0 : 0.5);
    made[1] = kit_build_cast(g, n, made[1], DTYPE_F32);
    return spell_results(g, n, 2, made);
}

const op_def ops_ml_numeric[] = {
    ML_ROW("ArrayFeatureExtractor", expand_extractor),
    ML_ROW("Binarizer", expand_binarizer),
    ML_ROW("FeatureVectorizer", expand_vectorizer),
    ML_ROW("Imputer", expand_imputer),
    ML_ROW("LinearClassifier", expand_linear_classifier),
    ML_ROW("LinearRegressor", expand_linear_regressor),
    ML_ROW("Normalizer", expand_normalizer),
    ML_ROW("Scaler", expand_scaler),
    ML_ROW("ZipMap", expand_zip_map),
};
const size_t ops_ml_numeric_count = sizeof ops_ml_numeric / sizeof *ops_ml_numeric;
