/* spell.c: the vocabulary of operators that are spelt in others; see spell.h. */
#include "ir/ops/spell.h"
#include "ir/loop_number.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MOST_OUTPUTS = 8 };

/* "NAME" or "DOMAIN.NAME" */
static const op_def *find_row(graph *g, const char *op) {
    const char *dot = strrchr(op, '.');
    if (!dot) return op_find("", op);
    return op_find(arena_strndup(g->memory, op, (size_t)(dot - op)), dot + 1);
}

bool spell_node(graph *g, node_id n, const char *op, uint32_t input_count, const value_id *inputs,
                uint32_t attr_count, const attr *attrs, uint32_t output_count, value_id *outputs) {
    const op_def *row = find_row(g, op);
    assert(row && output_count <= MOST_OUTPUTS);
    while (input_count && !inputs[input_count - 1]) input_count--;
    for (uint32_t i = 0; i < output_count; i++)
        outputs[i] = graph_add_value(g, graph_node(g, n)->name, (type){.rank = -1});
    node_id made = graph_add_node(g, graph_node(g, n)->region, n, row, "", input_count, inputs,
                                  output_count, outputs, attr_count, attrs);
    return op_check(g, made) && op_infer(g, made);
}

value_id spell_value(graph *g, node_id n, const char *op, uint32_t input_count,
                     const value_id *inputs, uint32_t attr_count, const attr *attrs) {
    value_id out;
    if (!inputs[0]) return 0;
    return spell_node(g, n, op, input_count, inputs, attr_count, attrs, 1, &out) ? out : 0;
}

bool spell_results(graph *g, node_id n, uint32_t count, const value_id *made) {
    const node nd = *graph_node(g, n);
    const op_def *identity = op_find("", "Identity");
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        if (i >= count || !made[i]) return false;
        node_id alias =
            graph_add_node(g, nd.region, n, identity, "", 1, &made[i], 1, &nd.outputs[i], 0, NULL);
        if (!op_infer(g, alias)) return false;
    }
    graph_remove_node(g, n);
    return true;
}

bool spell_result(graph *g, node_id n, value_id made) {
    return spell_results(g, n, 1, &made);
}

uint32_t spell_attrs(const graph *g, node_id n, const char *const *names, attr *out) {
    uint32_t count = 0;
    for (; *names; names++) {
        const attr *a = node_attr(graph_node(g, n), *names);
        if (a) out[count++] = *a;
    }
    return count;
}

value_id spell_number(graph *g, dtype t, double v) {
    if (!dtype_is_integer(t)) return graph_add_constant_floats(g, NULL, t, 0, NULL, &v);
    int64_t i = loop_convert(DTYPE_I64, DTYPE_F64, (loop_number){.f = v}).i;
    return graph_add_constant_ints(g, NULL, t, 0, NULL, &i);
}

value_id spell_scaled(graph *g, node_id n, value_id x, double factor) {
    if (!x || factor == 1) return x;
    dtype t = graph_type(g, x)->dtype;
    dtype wide = kit_sum_type(t);
    value_id y = kit_build_cast(g, n, x, wide);
    y = kit_build2(g, n, "Mul", y, spell_number(g, wide, factor));
    return kit_build_cast(g, n, y, t);
}

value_id spell_sum(graph *g, node_id n, value_id x, value_id y) {
    return y ? kit_build2(g, n, "Add", x, y) : x;
}

value_id spell_size(graph *g, node_id n, value_id v, int64_t axis) {
    attr range[] = {attr_int("start", axis), attr_int("end", axis + 1)};
    return kit_build(g, n, "Shape", 1, &v, axis == -1 ? 1 : 2, range);
}

value_id spell_range(graph *g, node_id n, value_id v, int64_t axis) {
    const int64_t zero = 0;
    value_id size = kit_build2(g, n, "Squeeze", spell_size(g, n, v, axis), kit_ints(g, &zero, 1));
    value_id inputs[] = {spell_number(g, DTYPE_I64, 0), size, spell_number(g, DTYPE_I64, 1)};
    return kit_build(g, n, "Range", 3, inputs, 0, NULL);
}

value_id spell_concat(graph *g, node_id n, int64_t axis, uint32_t count, const value_id *parts) {
    attr a = attr_int("axis", axis);
    return kit_build(g, n, "Concat", count, parts, 1, &a);
}

value_id spell_reshape(graph *g, node_id n, value_id v, uint32_t count, const value_id *parts) {
    return kit_build2(g, n, "Reshape", v, spell_concat(g, n, 0, count, parts));
}

value_id spell_transposed(graph *g, node_id n, value_id v) {
    int64_t perm[TENSOR_MAX_RANK];
    if (!v) return 0;
    int rank = graph_type(g, v)->rank;
    if (rank < 2) return v;
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return kit_build_transpose(g, n, v, perm, (size_t)rank);
}

value_id spell_channels_first(graph *g, node_id n, value_id v) {
    int64_t perm[TENSOR_MAX_RANK];
    int rank = v ? graph_type(g, v)->rank : 0;
    for (int i = 0; i < rank; i++) perm[i] = i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
    return rank > 2 ? kit_build_transpose(g, n, v, perm, (size_t)rank) : v;
}

value_id spell_channels_last(graph *g, node_id n, value_id v) {
    int64_t perm[TENSOR_MAX_RANK];
    int rank = v ? graph_type(g, v)->rank : 0;
    for (int i = 0; i < rank; i++) perm[i] = i == 0 ? 0 : i == rank - 1 ? 1 : i + 1;
    return rank > 2 ? kit_build_transpose(g, n, v, perm, (size_t)rank) : v;
}

value_id spell_softmax_rows(graph *g, node_id n, value_id v, int64_t axis) {
    attr at = attr_int("axis", axis), last = attr_int("axis", -1);
    value_id rows = kit_build(g, n, "Flatten", 1, &v, 1, &at);
    value_id shape = kit_build1(g, n, "Shape", v);
    return kit_build2(g, n, "Reshape", kit_build(g, n, "Softmax", 1, &rows, 1, &last), shape);
}

/* ---- activations ---- */

/* Of the standard's operators, with the names of what their parameters set. */
static const struct {
    const char *name;
    const char *parameters[2];
} activations[] = {
    {"Elu", {"alpha"}},
    {"HardSigmoid", {"alpha", "beta"}},
    {"LeakyRelu", {"alpha"}},
    {"Relu", {0}},
    {"Selu", {"alpha", "gamma"}},
    {"Sigmoid", {0}},
    {"Softplus", {0}},
    {"Softsign", {0}},
    {"Tanh", {0}},
    {"ThresholdedRelu", {"alpha"}},
    {"HardSwish", {0}},
};

/* Limits that are not given are none. */
static value_id clip(graph *g, node_id n, value_id x, const double *limits) {
    dtype t = graph_type(g, x)->dtype;
    value_id inputs[] = {x, isnan(limits[0]) ? 0 : spell_number(g, t, limits[0]),
                         isnan(limits[1]) ? 0 : spell_number(g, t, limits[1])};
    return spell_value(g, n, "Clip", 3, inputs, 0, NULL);
}

value_id spell_activation(graph *g, node_id n, const char *name, value_id x,
                          const double *parameters) {
    attr attrs[2];
    uint32_t count = 0;
    if (!x) return 0;
    if (strcmp(name, "Clip") == 0) return clip(g, n, x, parameters);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(activations[i].name, name) != 0) continue;
        for (int j = 0; j < 2; j++)
            if (activations[i].parameters[j] && !isnan(parameters[j]))
                attrs[count++] = attr_float(activations[i].parameters[j], parameters[j]);
        return kit_build(g, n, name, 1, &x, count, attrs);
    }
    op_error(g, n, NULL, "there is no activation %s", name);
    return 0;
}
