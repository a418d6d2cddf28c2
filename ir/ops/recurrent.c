/* recurrent.c: RNN, GRU, LSTM and DynamicQuantizeLSTM. Each is expanded into one product of all
 * time steps with the input weights, and an internal operator for the steps (recurrence.c). */
#include "ir/ops/recurrent.h"

#include <string.h>

/* The largest hidden size: a step keeps its state and gates on the stack. */
enum { MAX_HIDDEN = 4096 };

/* ---- settings ---- */

typedef struct {
    const char *name, *formula;
    bool has_alpha, has_beta;
    double alpha, beta; /* defaults */
} activation_row;

static const activation_row activation_rows[] = {
    {"Relu", "max(x, 0)", false, false, 0, 0},
    {"Tanh", "tanh(x)", false, false, 0, 0},
    {"Sigmoid", "sigmoid(x)", false, false, 0, 0},
    {"Affine", "alpha * x + beta", true, true, 1, 0},
    {"LeakyRelu", "select(x < 0, alpha * x, x)", true, false, 0.01, 0},
    {"ThresholdedRelu", "select(alpha < x, x, 0 * x)", true, false, 1, 0},
    {"ScaledTanh", "alpha * tanh(beta * x)", true, true, 1, 1},
    {"HardSigmoid", "min(max(alpha * x + beta, 0), 1)", true, true, 0.2, 0.5},
    {"Elu", "select(x < 0, alpha * expm1(x), x)", true, false, 1, 0},
    {"Softsign", "x / (abs(x) + 1)", false, false, 0, 0},
    {"Softplus", "max(x, 0) + log1p(exp(-abs(x)))", false, false, 0, 0},
};

static const activation_row *find_activation(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof activation_rows / sizeof *activation_rows; i++) {
        const char *own = activation_rows[i].name;
        if (strlen(own) == length && strncasecmp(own, name, length) == 0)
            return &activation_rows[i];
    }
    return NULL;
}

static const double *float_list(const node *n, const char *name, size_t *count) {
    const attr *a = node_attr(n, name);
    *count = a && a->kind == ATTR_FLOATS ? a->count : 0;
    return *count ? a->floats : NULL;
}

static bool read_activations(graph *g, node_id n, recurrent_settings *s) {
    static const char *const usual[][3] = {
        {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const node nd = *graph_node(g, n);
    const attr *names = node_attr(&nd, "activations");
    size_t alphas, betas, alpha_at = 0, beta_at = 0;
    const double *alpha = float_list(&nd, "activation_alpha", &alphas);
    const double *beta = float_list(&nd, "activation_beta", &betas);
    int count = s->functions * s->directions;
    /* RNN's default in the schema names both directions, whatever the node has. */
    bool given = names && names->kind == ATTR_STRINGS && names->count >= (size_t)count;
    if (names && names->count && !given)
        return op_error(g, n, NULL, "attribute activations has %zu elements, must have %d",
                        names->count, count);
    for (int i = 0; i < count; i++) {
        const char *name = usual[s->kind][i % s->functions];
        size_t length = strlen(name);
        if (given) {
            name = names->strings[i].data;
            length = names->strings[i].length;
        }
        const activation_row *row = find_activation(name, length);
        if (!row)
            return op_error(g, n, NULL, "activation \"%.*s\" is not known", (int)(length & 63),
                            name);
        recurrent_activation *a = &s->activations[i];
        *a = (recurrent_activation){row->formula, row->alpha, row->beta};
        if (row->has_alpha && alpha_at < alphas) a->alpha = alpha[alpha_at++];
        if (row->has_beta && beta_at < betas) a->beta = beta[beta_at++];
    }
    return true;
}

bool recurrent_read(graph *g, node_id n, recurrent_kind kind, recurrent_settings *s) {
    static const int gates[] = {1, 3, 4}, functions[] = {1, 2, 3};
    const node nd = *graph_node(g, n);
    const char *direction = node_attr_string(&nd, "direction", "forward");
    *s = (recurrent_settings){.kind = kind,
                              .gates = gates[kind],
                              .functions = functions[kind],
                              .directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1,
                              .reverse = strcmp(direction, "reverse") == 0,
                              .clip = node_attr_float(&nd, "clip", 0),
                              .input_forget = node_attr_int(&nd, "input_forget", 0) != 0,
                              .linear_before_reset =
                                  node_attr_int(&nd, "linear_before_reset", 0) != 0};
    if (s->directions == 1 && !s->reverse && strcmp(direction, "forward") != 0)
        return op_error(g, n, NULL, "attribute direction is \"%s\"", direction);
    return read_activations(g, n, s);
}

/* ---- shapes ---- */

/* Inputs of the standard's operators. */
enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P };

static bool hidden_size(graph *g, node_id n, dim from_weights, int64_t *hidden) {
    *hidden = node_attr_int(graph_node(g, n), "hidden_size", 0);
    if (!*hidden && !dim_is_const(g->dims, from_weights, hidden))
        return op_error(g, n, NULL, "attribute hidden_size is missing");
    if (*hidden < 1 || *hidden > MAX_HIDDEN)
        return op_error(g, n, NULL, "hidden size %lld is not in [1, %d]", (long long)*hidden,
                        MAX_HIDDEN);
    return kit_agree(g, n, kit_dim(g, *hidden), from_weights, "hidden_size and the weights");
}

static bool agree3(graph *g, node_id n, uint32_t input, dim a, dim b, dim c, const char *what) {
    const type *t = kit_input(g, n, input);
    if (!t) return true;
    if (!kit_need(g, n, input, 3, 3)) return false;
    return kit_agree(g, n, t->dims[0], a, what) && kit_agree(g, n, t->dims[1], b, what) &&
           kit_agree(g, n, t->dims[2], c, what);
}

static bool agree2(graph *g, node_id n, uint32_t input, dim a, dim b, const char *what) {
    const type *t = kit_input(g, n, input);
    if (!t) return true;
    return kit_need(g, n, input, 2, 2) && kit_agree(g, n, t->dims[0], a, what) &&
           kit_agree(g, n, t->dims[1], b, what);
}

/* Checks the inputs that all have in common and sets the results' types. */
static bool infer_states(graph *g, node_id n, const recurrent_settings *s, int64_t hidden) {
    const type x = *kit_input(g, n, IN_X);
    bool batch_first = node_attr_int(graph_node(g, n), "layout", 0) != 0;
    dim time = x.dims[batch_first], batch = x.dims[!batch_first];
    dim directions = kit_dim(g, s->directions), h = kit_dim(g, hidden);
    if (!agree2(g, n, IN_B, directions, kit_dim(g, 2 * s->gates * hidden), "the bias") ||
        !kit_vector(g, n, IN_LENGTHS, batch, "sequence_lens"))
        return false;
    dim state[] = {batch_first ? batch : directions, batch_first ? directions : batch, h};
    dim all[] = {batch_first ? batch : time, batch_first ? time : directions,
                 batch_first ? directions : batch, h};
    if (!agree3(g, n, IN_H, state[0], state[1], h, "initial_h") ||
        !agree3(g, n, IN_C, state[0], state[1], h, "initial_c") ||
        !agree2(g, n, IN_P, directions, kit_dim(g, 3 * hidden), "the peepholes"))
        return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, all));
    for (uint32_t i = 1; i < 3; i++) op_set_type(g, n, i, type_tensor(x.dtype, 3, state));
    return true;
}

static bool infer_recurrent(graph *g, node_id n, recurrent_kind kind) {
    recurrent_settings s;
    int64_t hidden;
    for (uint32_t i = IN_X; i <= IN_R; i++)
        if (!kit_need(g, n, i, 3, 3)) return false;
    if (!recurrent_read(g, n, kind, &s) ||
        !hidden_size(g, n, kit_input(g, n, IN_R)->dims[2], &hidden))
        return false;
    dim directions = kit_dim(g, s.directions), rows = kit_dim(g, s.gates * hidden);
    return agree3(g, n, IN_W, directions, rows, kit_input(g, n, IN_X)->dims[2], "weights W") &&
           agree3(g, n, IN_R, directions, rows, kit_dim(g, hidden), "weights R") &&
           infer_states(g, n, &s, hidden);
}

static bool infer_rnn(graph *g, node_id n) {
    return infer_recurrent(g, n, RECURRENT_RNN);
}

static bool infer_gru(graph *g, node_id n) {
    return infer_recurrent(g, n, RECURRENT_GRU);
}

static bool infer_lstm(graph *g, node_id n) {
    return infer_recurrent(g, n, RECURRENT_LSTM);
}

/* Behind the inputs of LSTM. */
enum { IN_W_SCALE = 8, IN_W_ZERO, IN_R_SCALE, IN_R_ZERO };

static bool check_quantisation(graph *g, node_id n, uint32_t i, dim directions, dim rows) {
    if (!kit_need(g, n, i, 1, 2)) return false;
    const type t = *kit_input(g, n, i);
    return kit_agree(g, n, t.dims[0], directions, "scale or zero point") &&
           (t.rank == 1 || kit_agree(g, n, t.dims[1], rows, "scale or zero point"));
}

/* Its weights are transposed: W is [directions, input, 4 * hidden], R [directions, hidden, 4 *
 * hidden]. */
static bool infer_quantised_lstm(graph *g, node_id n) {
    recurrent_settings s;
    int64_t hidden;
    for (uint32_t i = IN_X; i <= IN_R; i++)
        if (!kit_need(g, n, i, 3, 3)) return false;
    if (!recurrent_read(g, n, RECURRENT_LSTM, &s) ||
        !hidden_size(g, n, kit_input(g, n, IN_R)->dims[1], &hidden))
        return false;
    dim directions = kit_dim(g, s.directions), rows = kit_dim(g, s.gates * hidden);
    for (uint32_t i = IN_W_SCALE; i <= IN_R_ZERO; i++)
        if (!check_quantisation(g, n, i, directions, rows)) return false;
    return agree3(g, n, IN_W, directions, kit_input(g, n, IN_X)->dims[2], rows, "weights W") &&
           agree3(g, n, IN_R, directions, kit_dim(g, hidden), rows, "weights R") &&
           infer_states(g, n, &s, hidden);
}

/* ---- expansion ---- */

static const int64_t swap_first[] = {1, 0, 2};

/* An optional part of the bias [directions, 2 * rows]: that of W, then that of R. */
static value_id bias_part(graph *g, node_id n, int which, int64_t rows) {
    value_id b = graph_input(g, n, IN_B);
    return b ? kit_build_slice(g, n, b, 1, which * rows, (which + 1) * rows) : 0;
}

/* Results of the steps in the layout that the node has. */
static bool finish(graph *g, node_id n, const char *op, uint32_t input_count,
                   const value_id *inputs, bool batch_first) {
    const node nd = *graph_node(g, n);
    value_id made[3] = {0};
    /* States are needed inside whether somebody reads them or not. */
    uint32_t outputs = nd.output_count < 3 ? nd.output_count : 3;
    for (uint32_t i = 0; i < outputs; i++)
        if (nd.outputs[i]) made[i] = graph_add_value(g, NULL, (type){0});
    node_id steps = graph_add_node(g, nd.region, n, op_find(OP_INTERNAL, op), nd.name, input_count,
                                   inputs, outputs, made, nd.attr_count, nd.attrs);
    graph_node(g, steps)->source = nd.source;
    if (!op_infer(g, steps)) return false;
    static const int64_t to_batch_first[] = {2, 0, 1, 3};
    for (uint32_t i = 0; i < outputs; i++) {
        if (!made[i]) continue;
        value_id out = made[i];
        if (batch_first)
            out = kit_build_transpose(g, n, out, i ? swap_first : to_batch_first, i ? 3 : 4);
        if (!out) return false;
        kit_replace(g, nd.outputs[i], out);
    }
    graph_remove_node(g, n);
    return true;
}

/* The inputs of the steps that the node gives as they are. */
static void pass_states(graph *g, node_id n, bool batch_first, value_id *inputs) {
    inputs[RECURRENCE_LENGTHS] = graph_input(g, n, IN_LENGTHS);
    inputs[RECURRENCE_H] = graph_input(g, n, IN_H);
    inputs[RECURRENCE_C] = graph_input(g, n, IN_C);
    inputs[RECURRENCE_PEEPHOLES] = graph_input(g, n, IN_P);
    for (int i = RECURRENCE_H; batch_first && i <= RECURRENCE_C; i++)
        if (inputs[i]) inputs[i] = kit_build_transpose(g, n, inputs[i], swap_first, 3);
}

static value_id time_first(graph *g, node_id n, bool batch_first) {
    value_id x = graph_input(g, n, IN_X);
    return batch_first ? kit_build_transpose(g, n, x, swap_first, 3) : x;
}

static bool expand_recurrent(graph *g, node_id n, recurrent_kind kind, const char *op) {
    recurrent_settings s;
    const node nd = *graph_node(g, n);
    bool batch_first = node_attr_int(&nd, "layout", 0) != 0;
    int64_t hidden;
    if (!recurrent_read(g, n, kind, &s) ||
        !hidden_size(g, n, graph_type(g, nd.inputs[IN_R])->dims[2], &hidden))
        return false;
    int64_t rows = s.gates * hidden, width = s.directions * rows, flat[] = {width, -1};
    value_id inputs[RECURRENCE_INPUTS] = {0};
    value_id linear[] = {time_first(g, n, batch_first),
                         kit_build_reshape(g, n, nd.inputs[IN_W], flat, 2),
                         bias_part(g, n, 0, rows)};
    if (linear[2]) linear[2] = kit_build_reshape(g, n, linear[2], flat, 1);
    if (!linear[0] || !linear[1]) return false;
    inputs[RECURRENCE_X] =
        graph_build(g, nd.region, n, OP_INTERNAL, "Linear", linear[2] ? 3 : 2, linear, 0, NULL);
    if (!inputs[RECURRENCE_X]) return false;
    inputs[RECURRENCE_R] = nd.inputs[IN_R];
    inputs[RECURRENCE_BIAS] = bias_part(g, n, 1, rows);
    pass_states(g, n, batch_first, inputs);
    return finish(g, n, op, RECURRENCE_PEEPHOLES + 1, inputs, batch_first);
}

static bool expand_rnn(graph *g, node_id n) {
    return expand_recurrent(g, n, RECURRENT_RNN, "RnnRecurrence");
}

static bool expand_gru(graph *g, node_id n) {
    return expand_recurrent(g, n, RECURRENT_GRU, "GruRecurrence");
}

static bool expand_lstm(graph *g, node_id n) {
    return expand_recurrent(g, n, RECURRENT_LSTM, "LstmRecurrence");
}

/* The input quantised as a whole: values, scale, zero point. */
static bool quantise_input(graph *g, node_id n, value_id x, value_id *quantised) {
    if (!x) return false;
    for (int i = 0; i < 3; i++) quantised[i] = graph_add_value(g, NULL, (type){0});
    node_id made =
        graph_add_node(g, graph_node(g, n)->region, n, op_find("", "DynamicQuantizeLinear"), "", 1,
                       &x, 3, quantised, 0, NULL);
    return op_infer(g, made);
}

/* The part of direction `d` of a parameter [directions, ...], without that axis. */
static value_id direction_part(graph *g, node_id n, value_id v, int d, const int64_t *shape,
                               int64_t rank) {
    return kit_build_reshape(g, n, kit_build_slice(g, n, v, 0, d, d + 1), shape, rank);
}

/* x * W of one direction, as 32-bit floats. */
static value_id quantised_product(graph *g, node_id n, const value_id *x, int d, int64_t rows) {
    const node nd = *graph_node(g, n);
    int64_t matrix[] = {-1, rows}, flat[] = {-1};
    value_id inputs[] = {x[0], direction_part(g, n, nd.inputs[IN_W], d, matrix, 2), x[2],
                         direction_part(g, n, nd.inputs[IN_W_ZERO], d, flat, 1)};
    value_id y =
        kit_build_cast(g, n, kit_build(g, n, "MatMulInteger", 4, inputs, 0, NULL), DTYPE_F32);
    value_id scale =
        kit_build2(g, n, "Mul", x[1], direction_part(g, n, nd.inputs[IN_W_SCALE], d, flat, 1));
    return kit_build2(g, n, "Mul", y, scale);
}

static bool expand_quantised_lstm(graph *g, node_id n) {
    recurrent_settings s;
    const node nd = *graph_node(g, n);
    bool batch_first = node_attr_int(&nd, "layout", 0) != 0;
    int64_t hidden;
    if (!recurrent_read(g, n, RECURRENT_LSTM, &s) ||
        !hidden_size(g, n, graph_type(g, nd.inputs[IN_R])->dims[1], &hidden))
        return false;
    int64_t rows = s.gates * hidden;
    value_id inputs[RECURRENCE_INPUTS] = {0}, x[3], part[2];
    if (!quantise_input(g, n, time_first(g, n, batch_first), x)) return false;
    for (int d = 0; d < s.directions; d++)
        if (!(part[d] = quantised_product(g, n, x, d, rows))) return false;
    attr last = attr_int("axis", 2);
    inputs[RECURRENCE_X] =
        s.directions == 1 ? part[0] : kit_build(g, n, "Concat", 2, part, 1, &last);
    if (!inputs[RECURRENCE_X]) return false;
    inputs[RECURRENCE_R] = nd.inputs[IN_R];
    /* Both biases at once, behind both products: a step quantises what it gets, so that a last bit
     * counts, and this is the order of ONNX Runtime. */
    value_id of_input = bias_part(g, n, 0, rows), of_state = bias_part(g, n, 1, rows);
    if (of_input) inputs[RECURRENCE_BIAS] = kit_build2(g, n, "Add", of_input, of_state);
    pass_states(g, n, batch_first, inputs);
    inputs[RECURRENCE_SCALE] = nd.inputs[IN_R_SCALE];
    inputs[RECURRENCE_ZERO] = nd.inputs[IN_R_ZERO];
    return finish(g, n, "LstmRecurrenceInteger", RECURRENCE_INPUTS, inputs, batch_first);
}

const op_def ops_recurrent[] = {
    {.domain = "", .name = "RNN", .infer = infer_rnn, .expand = expand_rnn},
    {.domain = "", .name = "GRU", .infer = infer_gru, .expand = expand_gru},
    {.domain = "", .name = "LSTM", .infer = infer_lstm, .expand = expand_lstm},
    {.domain = "com.microsoft",
     .name = "DynamicQuantizeLSTM",
     .infer = infer_quantised_lstm,
     .expand = expand_quantised_lstm},
};
const size_t ops_recurrent_count = sizeof ops_recurrent / sizeof *ops_recurrent;
