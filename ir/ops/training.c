/* training.c: the optimisers of ai.onnx.preview.training. A node holds the steps of several tensors
 * at once; each step is spelt in rows of our own, one formula a result. What is not per element
 * (the learning rate, corrected by the number of updates) is spelt in the standard's operators. */
#include "ir/ops/spell.h"

#include <string.h>

#define TRAINING_DOMAIN "ai.onnx.preview.training"

enum { RATE, UPDATES, TENSORS }; /* inputs; behind TENSORS come groups of equal size */

/* The number of tensors that the node updates: inputs and outputs come in `groups` and `results`
 * lists of that many. */
static bool read_count(graph *g, node_id n, uint32_t groups, uint32_t results, uint32_t *count) {
    const node nd = *graph_node(g, n);
    *count = nd.input_count > TENSORS ? (nd.input_count - TENSORS) / groups : 0;
    if (!*count || nd.input_count != TENSORS + *count * groups ||
        nd.output_count > *count * results)
        return op_error(g, n, NULL, "%u inputs and %u outputs are not groups of %u and of %u",
                        nd.input_count, nd.output_count, groups, results);
    if (!kit_need(g, n, RATE, 0, 1) || !kit_need(g, n, UPDATES, 0, 1)) return false;
    for (uint32_t i = 0; i < *count; i++) {
        const type x = *kit_input(g, n, TENSORS + i);
        for (uint32_t j = 0; j < groups; j++) {
            uint32_t at = TENSORS + j * *count + i;
            if (!kit_need(g, n, at, x.rank, x.rank)) return false;
            for (int a = 0; a < x.rank; a++)
                if (!kit_agree(g, n, kit_input(g, n, at)->dims[a], x.dims[a], "a tensor's state"))
                    return false;
        }
    }
    return true;
}

/* A result by a row of ours whose attributes have the names of those of n. */
static value_id step(graph *g, node_id n, const char *row, uint32_t count, const value_id *inputs) {
    static const char *const names[] = {
        "alpha", "beta", "decay_factor", "epsilon", "norm_coefficient", "norm_coefficient_post",
        NULL};
    attr attrs[6];
    for (uint32_t i = 0; i < count; i++)
        if (!inputs[i]) return 0;
    uint32_t given = spell_attrs(g, n, names, attrs);
    return spell_value(g, n, row, count, inputs, given, attrs);
}

/* The learning rate and the number of updates as numbers of type t, without axes. */
static value_id scalar(graph *g, node_id n, uint32_t input, dtype t) {
    value_id v = kit_build_cast(g, n, graph_input(g, n, input), t);
    return v ? kit_build_reshape(g, n, v, NULL, 0) : 0;
}

static bool expand_adagrad(graph *g, node_id n) {
    uint32_t count;
    if (!read_count(g, n, 3, 2, &count)) return false;
    const node nd = *graph_node(g, n);
    value_id *made = ARENA_ARRAY(g->memory, value_id, 2 * count);
    for (uint32_t i = 0; i < count; i++) {
        const value_id *at = nd.inputs + TENSORS + i;
        value_id x = at[0], slope = at[count], square = at[2 * count];
        dtype t = graph_type(g, x)->dtype;
        value_id rate[] = {scalar(g, n, RATE, t), scalar(g, n, UPDATES, t)};
        value_id squares[] = {square, x, slope};
        made[count + i] = step(g, n, "onnxcc.AdagradSquare", 3, squares);
        value_id all[] = {x, slope, made[count + i], step(g, n, "onnxcc.AdagradRate", 2, rate)};
        made[i] = step(g, n, "onnxcc.AdagradStep", 4, all);
    }
    return spell_results(g, n, 2 * count, made);
}

static bool expand_adam(graph *g, node_id n) {
    uint32_t count;
    if (!read_count(g, n, 4, 3, &count)) return false;
    const node nd = *graph_node(g, n);
    value_id *made = ARENA_ARRAY(g->memory, value_id, 3 * count);
    for (uint32_t i = 0; i < count; i++) {
        const value_id *at = nd.inputs + TENSORS + i;
        value_id x = at[0], slope = at[count], mean = at[2 * count], square = at[3 * count];
        dtype t = graph_type(g, x)->dtype;
        value_id rate[] = {scalar(g, n, RATE, t), scalar(g, n, UPDATES, t)};
        value_id means[] = {mean, x, slope}, squares[] = {square, x, slope};
        made[count + i] = step(g, n, "onnxcc.AdamMean", 3, means);
        made[2 * count + i] = step(g, n, "onnxcc.AdamSquare", 3, squares);
        value_id all[] = {x, made[count + i], made[2 * count + i],
                          step(g, n, "onnxcc.AdamRate", 2, rate)};
        made[i] = step(g, n, "onnxcc.AdamStep", 4, all);
    }
    return spell_results(g, n, 3 * count, made);
}

static bool expand_momentum(graph *g, node_id n) {
    uint32_t count;
    if (!read_count(g, n, 3, 2, &count)) return false;
    const node nd = *graph_node(g, n);
    const char *mode = node_attr_string(&nd, "mode", "");
    bool nesterov = strcmp(mode, "nesterov") == 0;
    if (!nesterov && strcmp(mode, "standard") != 0)
        return op_error(g, n, NULL, "there is no mode %s", mode);
    value_id *made = ARENA_ARRAY(g->memory, value_id, 2 * count);
    for (uint32_t i = 0; i < count; i++) {
        const value_id *at = nd.inputs + TENSORS + i;
        value_id x = at[0], slope = at[count], mean = at[2 * count];
        dtype t = graph_type(g, x)->dtype;
        value_id rate = scalar(g, n, RATE, t), updates = scalar(g, n, UPDATES, t);
        value_id means[] = {mean, x, slope, updates};
        made[count + i] = step(g, n, "onnxcc.MomentumMean", 4, means);
        value_id all[] = {x, made[count + i], rate, slope};
        made[i] = nesterov ? step(g, n, "onnxcc.NesterovStep", 4, all)
                           : step(g, n, "onnxcc.MomentumStep", 3, all);
    }
    return spell_results(g, n, 2 * count, made);
}

#define OPTIMISER(op, hook)                                                                        \
    { .domain = TRAINING_DOMAIN, .name = op, .expand = hook }
#define STEP(op, text)                                                                             \
    { .domain = OP_INTERNAL, .name = op, .flags = OP_POINTWISE, .formula = text }
/* The gradient with the derivative of the regularisation. */
#define SLOPE "(norm_coefficient * b + c)"

const op_def ops_training[] = {
    OPTIMISER("Adagrad", expand_adagrad),
    OPTIMISER("Adam", expand_adam),
    OPTIMISER("Momentum", expand_momentum),
    STEP("AdagradRate", "a / (1 + b * decay_factor)"),
    STEP("AdagradSquare", "a + " SLOPE " * " SLOPE),
    STEP("AdagradStep", "a - d * (norm_coefficient * a + b) / (sqrt(c) + epsilon)"),
    /* The moving averages begin at zero, which the rate makes up for. */
    STEP("AdamRate", "select(b > 0, a * sqrt(1 - pow(beta, b)) / (1 - pow(alpha, b)), a)"),
    STEP("AdamMean", "alpha * a + (1 - alpha) * " SLOPE),
    STEP("AdamSquare", "beta * a + (1 - beta) * " SLOPE " * " SLOPE),
    STEP("AdamStep", "(1 - norm_coefficient_post) * (a - d * b / (sqrt(c) + epsilon))"),
    STEP("MomentumMean", "alpha * a + select(d > 0, beta, 1) * " SLOPE),
    STEP("MomentumStep", "a - c * b"),
    STEP("NesterovStep", "a - c * (norm_coefficient * a + d + alpha * b)"),
};
const size_t ops_training_count = sizeof ops_training / sizeof *ops_training;
