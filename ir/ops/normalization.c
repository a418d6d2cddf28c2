/* normalization.c: normalisation by mean and variance over batches, channels, groups or rows, and
 * by norms. Variance is the mean of squared deviations (two passes), which keeps its digits where
 * the mean is large. */
#include "ir/ops/kit.h"

#include <assert.h>
#include <math.h>

static loop_expr reciprocal_root(lower *l, loop_expr variance, double epsilon) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, variance);
    loop_expr root = kit_op1(l, LOOP_SQRT, loop_add(k, variance, loop_const(k, t, epsilon)));
    return kit_op2(l, LOOP_DIV, loop_const(k, t, 1), root);
}

/* The type that statistics are kept in: attribute stash_type, 32-bit float where it is absent. */
static dtype stash_type(const node *n, dtype t) {
    return t == DTYPE_F64 || node_attr_int(n, "stash_type", DTYPE_F32) == DTYPE_F64 ? DTYPE_F64
                                                                                    : DTYPE_F32;
}

/* ---- statistics ---- */

/* A reduction over some axes of x, at a fixed index of the others. */
typedef struct {
    value_id x;
    dtype sum;
    int rank;
    bool reduced[TENSOR_MAX_RANK];
    /* A group of channels along axis 1: channel = channel_base + a variable below channel_count. */
    loop_expr channel_base, channel_count;
    loop_expr index[LOOP_MAX_RANK];
    int opened;
} statistic;

static void begin_statistic(lower *l, statistic *s) {
    loop_kernel *k = lower_kernel(l);
    s->opened = 0;
    for (int i = 0; i < s->rank; i++) {
        if (s->channel_base && i == 1) {
            loop_expr c = lower_begin(l, LOOP_REDUCE, "r", s->channel_count);
            s->index[1] = loop_add(k, s->channel_base, c);
            s->opened++;
        } else if (s->reduced[i]) {
            s->opened += kit_reduce(l, s->x, i, i + 1, s->index);
        }
    }
}

static loop_expr statistic_element(lower *l, statistic *s) {
    return kit_read(l, s->sum, s->x, s->index);
}

static loop_expr statistic_count(lower *l, statistic *s) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    dim count = kit_dim(g, 1);
    for (int i = 0; i < s->rank; i++)
        if (s->reduced[i]) count = dim_mul(g->dims, count, lower_type(l, s->x)->dims[i]);
    loop_expr e = loop_dim(k, count);
    if (s->channel_base) e = loop_mul(k, e, s->channel_count);
    int64_t known;
    if (loop_is_int(k, e, &known)) return loop_const(k, s->sum, (double)known);
    return loop_cast(k, s->sum, e);
}

/* mean of f(x), where f is the identity, the square, or the squared deviation from `mean`. */
static loop_buf mean_of(lower *l, statistic *s, const char *stem, bool squared, loop_buf mean,
                        bool has_mean) {
    loop_kernel *k = lower_kernel(l);
    loop_buf acc = kit_scalar(l, stem, s->sum);
    lower_assign(l, acc, NULL, loop_const(k, s->sum, 0));
    begin_statistic(l, s);
    loop_expr e = statistic_element(l, s);
    if (has_mean) e = loop_sub(k, e, lower_value(l, mean, NULL));
    lower_accumulate(l, acc, LOOP_ADD, squared ? loop_mul(k, e, e) : e);
    kit_end(l, s->opened);
    lower_assign(l, acc, NULL,
                 kit_op2(l, LOOP_DIV, lower_value(l, acc, NULL), statistic_count(l, s)));
    return acc;
}

static loop_buf mean_pass(lower *l, statistic *s) {
    return mean_of(l, s, "mean", false, 0, false);
}

static loop_buf variance_pass(lower *l, statistic *s, loop_buf mean) {
    return mean_of(l, s, "var", true, mean, true);
}

/* 1 / sqrt(var + epsilon), kept in a scalar. */
static loop_buf inverse_deviation(lower *l, loop_buf variance, dtype t, double epsilon) {
    loop_buf inverse = kit_scalar(l, "inv", t);
    lower_assign(l, inverse, NULL, reciprocal_root(l, lower_value(l, variance, NULL), epsilon));
    return inverse;
}

/* (x - mean) * inverse at s->index. */
static loop_expr normalised(lower *l, statistic *s, loop_buf mean, loop_buf inverse) {
    loop_kernel *k = lower_kernel(l);
    loop_expr e = loop_sub(k, statistic_element(l, s), lower_value(l, mean, NULL));
    return loop_mul(k, e, lower_value(l, inverse, NULL));
}

/* ---- BatchNormalization ---- */

/* Inputs, and whether the node computes the statistics of its batch. */
enum { BN_X, BN_SCALE, BN_BIAS, BN_MEAN, BN_VARIANCE };

static bool in_training(const graph *g, node_id n) {
    return node_attr_int(graph_node(g, n), "training_mode", 0) != 0;
}

static bool infer_batch(graph *g, node_id n) {
    if (!kit_need(g, n, BN_X, 2, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, BN_X);
    dim channels = t.dims[1];
    for (uint32_t i = BN_SCALE; i <= BN_VARIANCE; i++)
        if (!kit_need(g, n, i, 1, 1) || !kit_vector(g, n, i, channels, "a number per channel"))
            return false;
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, t.dims));
    for (uint32_t i = 1; i < 3; i++)
        op_set_type(g, n, i, type_tensor(kit_input(g, n, BN_MEAN)->dtype, 1, &channels));
    return true;
}

/* ---- in inference: y = x * scale + shift, two numbers a channel ---- */

/* From constants: computed here. */
static void fold_parameters(graph *g, const node *nd, dtype t, double epsilon, int64_t channels,
                            const int64_t *shape, int rank, value_id *scale, value_id *shift) {
    double *a = ARENA_ARRAY(g->memory, double, (size_t)channels);
    double *b = ARENA_ARRAY(g->memory, double, (size_t)channels);
    for (size_t i = 0; i < (size_t)channels; i++) {
        double p[BN_VARIANCE + 1];
        for (int j = BN_SCALE; j <= BN_VARIANCE; j++)
            p[j] = value_float(graph_value(g, nd->inputs[j]), g->dims, i);
        a[i] = p[BN_SCALE] / sqrt(p[BN_VARIANCE] + epsilon);
        b[i] = p[BN_BIAS] - p[BN_MEAN] * a[i];
    }
    *scale = graph_add_constant_floats(g, "scale", t, rank, shape, a);
    *shift = graph_add_constant_floats(g, "shift", t, rank, shape, b);
}

/* From values: computed by nodes. */
static void build_parameters(graph *g, node_id n, const node *nd, dtype t, double epsilon,
                             const int64_t *shape, int rank, value_id *scale, value_id *shift) {
    value_id p[BN_VARIANCE + 1], small = graph_add_constant_floats(g, NULL, t, 0, NULL, &epsilon);
    for (int i = BN_SCALE; i <= BN_VARIANCE; i++) p[i] = kit_build_cast(g, n, nd->inputs[i], t);
    value_id root = kit_build1(g, n, "Sqrt", kit_build2(g, n, "Add", p[BN_VARIANCE], small));
    value_id a = kit_build2(g, n, "Div", p[BN_SCALE], root);
    value_id b = kit_build2(g, n, "Sub", p[BN_BIAS], kit_build2(g, n, "Mul", p[BN_MEAN], a));
    *scale = kit_build_reshape(g, n, a, shape, rank);
    *shift = kit_build_reshape(g, n, b, shape, rank);
}

static bool expand_batch(graph *g, node_id n) {
    if (in_training(g, n)) return false;
    const node nd = *graph_node(g, n);
    const type t = *graph_type(g, nd.inputs[BN_X]);
    dtype sum = kit_sum_type(t.dtype);
    double epsilon = node_attr_float(&nd, "epsilon", 1e-5);
    int64_t channels, shape[TENSOR_MAX_RANK];
    int rank = t.rank - 1;
    bool constant = dim_is_const(g->dims, t.dims[1], &channels);
    for (int i = BN_SCALE; i <= BN_VARIANCE; i++)
        constant &= graph_value(g, nd.inputs[i])->constant != NULL;
    for (int i = 0; i < rank; i++) shape[i] = 1;
    shape[0] = constant ? channels : -1;
    value_id scale, shift;
    if (constant)
        fold_parameters(g, &nd, sum, epsilon, channels, shape, rank, &scale, &shift);
    else
        build_parameters(g, n, &nd, sum, epsilon, shape, rank, &scale, &shift);
    value_id x = kit_build_cast(g, n, nd.inputs[BN_X], sum);
    value_id y = kit_build2(g, n, "Add", kit_build2(g, n, "Mul", x, scale), shift);
    y = kit_build_cast(g, n, y, t.dtype);
    if (!y) return false;
    kit_replace(g, nd.outputs[0], y);
    graph_remove_node(g, n);
    return true;
}

/* ---- in training: statistics of the batch ---- */

/* new * (1 - momentum) + old * momentum, for a running statistic. */
static void write_running(lower *l, node_id n, uint32_t output, uint32_t input, loop_expr c,
                          loop_buf now) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    if (!kit_has_output(lower_graph(l), n, output)) return;
    dtype t = loop_type(k, lower_value(l, now, NULL));
    double momentum = node_attr_float(&nd, "momentum", 0.9);
    loop_expr old = kit_read_parameter(l, t, nd.inputs[input], c, 0);
    loop_expr e = loop_add(k, loop_mul(k, old, loop_const(k, t, momentum)),
                           loop_mul(k, lower_value(l, now, NULL), loop_const(k, t, 1 - momentum)));
    lower_write(l, nd.outputs[output], &c, e);
}

static void nest_training(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    const type t = *lower_type(l, nd.inputs[BN_X]);
    statistic s = {.x = nd.inputs[BN_X], .sum = kit_sum_type(t.dtype), .rank = t.rank};
    for (int i = 0; i < t.rank; i++) s.reduced[i] = i != 1;
    loop_expr c = lower_begin(l, LOOP_INDEPENDENT, "c", lower_dim(l, s.x, 1));
    s.index[1] = c;
    loop_buf mean = mean_pass(l, &s), variance = variance_pass(l, &s, mean);
    loop_buf inverse = inverse_deviation(l, variance, s.sum, node_attr_float(&nd, "epsilon", 1e-5));
    write_running(l, n, 1, BN_MEAN, c, mean);
    write_running(l, n, 2, BN_VARIANCE, c, variance);
    value_id y = nd.outputs[0];
    lower_loops_axes(l, y, 0, 1, s.index);
    if (t.rank > 2) lower_loops_axes(l, y, 2, t.rank, s.index);
    loop_expr e = loop_mul(k, normalised(l, &s, mean, inverse),
                           kit_read_parameter(l, s.sum, nd.inputs[BN_SCALE], c, 1));
    e = loop_add(k, e, kit_read_parameter(l, s.sum, nd.inputs[BN_BIAS], c, 0));
    lower_write(l, y, s.index, e);
    if (t.rank > 2) lower_end_loops(l);
    lower_end_loops(l);
    lower_end(l);
}

/* ---- InstanceNormalization, GroupNormalization ---- */

static bool infer_channels(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0);
    int64_t groups = node_attr_int(graph_node(g, n), "num_groups", 1), channels;
    if (groups < 1) return op_error(g, n, NULL, "attribute num_groups must be positive");
    if (dim_is_const(g->dims, t.dims[1], &channels) && channels % groups)
        return op_error(g, n, NULL, "%lld channels cannot be split into %lld groups",
                        (long long)channels, (long long)groups);
    for (uint32_t i = 1; i < 3; i++)
        if (!kit_need(g, n, i, 1, 1) || !kit_vector(g, n, i, t.dims[1], "a number per channel"))
            return false;
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, t.dims));
    return true;
}

/* Groups of `size` channels are normalised together. */
static void nest_channel_groups(lower *l, node_id n, loop_expr groups, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    const type t = *lower_type(l, nd.inputs[0]);
    value_id y = nd.outputs[0];
    statistic s = {.x = nd.inputs[0], .sum = stash_type(&nd, t.dtype), .rank = t.rank};
    for (int i = 2; i < t.rank; i++) s.reduced[i] = true;
    s.index[0] = lower_begin(l, LOOP_INDEPENDENT, "n", lower_dim(l, s.x, 0));
    s.channel_base = loop_mul(k, lower_begin(l, LOOP_INDEPENDENT, "g", groups), size);
    s.channel_count = size;
    loop_buf mean = mean_pass(l, &s), variance = variance_pass(l, &s, mean);
    loop_buf inverse = inverse_deviation(l, variance, s.sum, node_attr_float(&nd, "epsilon", 1e-5));
    loop_expr c = loop_add(k, s.channel_base, lower_begin(l, LOOP_INDEPENDENT, "c", size));
    s.index[1] = c;
    if (t.rank > 2) lower_loops_axes(l, y, 2, t.rank, s.index);
    loop_expr e = loop_mul(k, normalised(l, &s, mean, inverse),
                           kit_read_parameter(l, s.sum, nd.inputs[1], c, 1));
    lower_write(l, y, s.index, loop_add(k, e, kit_read_parameter(l, s.sum, nd.inputs[2], c, 0)));
    if (t.rank > 2) lower_end_loops(l);
    kit_end(l, 3);
}

static void nest_instance(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    loop_expr channels = lower_dim(l, graph_input(lower_graph(l), n, 0), 1);
    nest_channel_groups(l, n, channels, loop_int(k, 1));
}

static void nest_group(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    int64_t groups = node_attr_int(graph_node(g, n), "num_groups", 1);
    dim channels = lower_type(l, graph_input(g, n, 0))->dims[1];
    dim size = dim_floordiv(g->dims, channels, kit_dim(g, groups));
    nest_channel_groups(l, n, loop_int(k, groups), loop_dim(k, size));
}

/* ---- LayerNormalization, RMSNormalization ---- */

/* Operands that broadcast against the input. */
static bool check_operand(graph *g, node_id n, uint32_t i, const type *x) {
    const type *t = kit_input(g, n, i);
    if (!t) return true;
    if (!kit_need(g, n, i, 0, x->rank)) return false;
    for (int a = 0; a < t->rank; a++)
        if (!dim_equals_const(g->dims, t->dims[a], 1) &&
            !kit_agree(g, n, t->dims[a], x->dims[x->rank - t->rank + a], "scale or bias"))
            return false;
    return true;
}

static bool infer_layer(graph *g, node_id n) {
    int axis;
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0);
    const node nd = *graph_node(g, n);
    if (!op_axis(g, n, node_attr_int(&nd, "axis", -1), t.rank, &axis)) return false;
    if (!check_operand(g, n, 1, &t) || !check_operand(g, n, 2, &t)) return false;
    const type *scale = kit_input(g, n, 1);
    op_set_type(g, n, 0, type_tensor(scale ? scale->dtype : t.dtype, t.rank, t.dims));
    dim dims[TENSOR_MAX_RANK];
    for (int i = 0; i < t.rank; i++) dims[i] = i < axis ? t.dims[i] : kit_dim(g, 1);
    for (uint32_t i = 1; i < 3; i++)
        op_set_type(g, n, i, type_tensor(stash_type(&nd, t.dtype), t.rank, dims));
    return true;
}

static void write_statistic(lower *l, value_id v, int axis, const statistic *s, loop_buf from) {
    if (!v) return;
    loop_expr index[LOOP_MAX_RANK];
    for (int i = 0; i < s->rank; i++)
        index[i] = i < axis ? s->index[i] : loop_int(lower_kernel(l), 0);
    lower_write(l, v, index, lower_value(l, from, NULL));
}

/* Rows end at `axis`: what is behind it is normalised together. */
static statistic begin_layer(lower *l, node_id n, int *axis) {
    const node nd = *graph_node(lower_graph(l), n);
    const type t = *lower_type(l, nd.inputs[0]);
    int64_t a = node_attr_int(&nd, "axis", -1);
    *axis = (int)(a < 0 ? a + t.rank : a);
    statistic s = {.x = nd.inputs[0], .sum = stash_type(&nd, t.dtype), .rank = t.rank};
    for (int i = *axis; i < t.rank; i++) s.reduced[i] = true;
    lower_loops_axes(l, nd.outputs[0], 0, *axis, s.index);
    return s;
}

static loop_expr scaled(lower *l, node_id n, const statistic *s, loop_expr e) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id scale = graph_input(g, n, 1), bias = graph_input(g, n, 2);
    if (scale)
        e = loop_mul(k, e, loop_cast(k, s->sum, lower_read_broadcast(l, scale, s->rank, s->index)));
    if (bias)
        e = loop_add(k, e, loop_cast(k, s->sum, lower_read_broadcast(l, bias, s->rank, s->index)));
    return e;
}

static void nest_layer(lower *l, node_id n) {
    const node nd = *graph_node(lower_graph(l), n);
    int axis;
    statistic s = begin_layer(l, n, &axis);
    loop_buf mean = mean_pass(l, &s), variance = variance_pass(l, &s, mean);
    loop_buf inverse = inverse_deviation(l, variance, s.sum, node_attr_float(&nd, "epsilon", 1e-5));
    write_statistic(l, graph_output(lower_graph(l), n, 1), axis, &s, mean);
    write_statistic(l, graph_output(lower_graph(l), n, 2), axis, &s, inverse);
    lower_loops_axes(l, nd.outputs[0], axis, s.rank, s.index);
    loop_expr e = normalised(l, &s, mean, inverse);
    lower_write(l, nd.outputs[0], s.index, scaled(l, n, &s, e));
    lower_end_loops(l);
    lower_end_loops(l);
}

static void nest_rms(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    int axis;
    statistic s = begin_layer(l, n, &axis);
    loop_buf square = mean_of(l, &s, "square", true, 0, false);
    loop_buf inverse = inverse_deviation(l, square, s.sum, node_attr_float(&nd, "epsilon", 1e-5));
    lower_loops_axes(l, nd.outputs[0], axis, s.rank, s.index);
    loop_expr e = loop_mul(k, statistic_element(l, &s), lower_value(l, inverse, NULL));
    lower_write(l, nd.outputs[0], s.index, scaled(l, n, &s, e));
    lower_end_loops(l);
    lower_end_loops(l);
}

/* ---- LRN ---- */

static bool infer_same(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    const type t = *kit_input(g, n, 0);
    op_set_type(g, n, 0, type_tensor(t.dtype, t.rank, t.dims));
    return true;
}

static bool infer_lrn(graph *g, node_id n) {
    int64_t size = node_attr_int(graph_node(g, n), "size", 0);
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    if (size < 1 || size > INT32_MAX)
        return op_error(g, n, NULL, "attribute size is %lld, must be positive", (long long)size);
    return infer_same(g, n);
}

static void nest_lrn(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    value_id x = nd.inputs[0], y = nd.outputs[0];
    const type t = *lower_type(l, x);
    dtype sum = kit_sum_type(t.dtype);
    int64_t size = node_attr_int(&nd, "size", 1);
    double alpha = node_attr_float(&nd, "alpha", 0.0001), beta = node_attr_float(&nd, "beta", 0.75);
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, loop_const(k, sum, 0));
    loop_expr step = lower_begin(l, LOOP_REDUCE, "r", loop_int(k, size));
    for (int i = 0; i < t.rank; i++) at[i] = index[i];
    at[1] = loop_sub(k, loop_add(k, index[1], step), loop_int(k, (size - 1) / 2));
    loop_expr e = loop_cast(k, sum, lower_read_or(l, x, at, loop_const(k, t.dtype, 0)));
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, e, e));
    lower_end(l);
    loop_expr scale =
        loop_mul(k, lower_value(l, acc, NULL), loop_const(k, sum, alpha / (double)size));
    scale = loop_add(k, scale, loop_const(k, sum, node_attr_float(&nd, "bias", 1)));
    scale = kit_op2(l, LOOP_POW, scale, loop_const(k, sum, -beta));
    lower_write(l, y, index, loop_mul(k, kit_read(l, sum, x, index), scale));
    lower_end_loops(l);
}

/* ---- MeanVarianceNormalization ---- */

static bool mvn_axes(graph *g, node_id n, int rank, bool *reduced) {
    size_t count;
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &count);
    static const int64_t usual[] = {0, 2, 3};
    if (!axes) {
        axes = usual;
        count = 3;
    }
    for (int i = 0; i < rank; i++) reduced[i] = false;
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], rank, &axis)) return false;
        reduced[axis] = true;
    }
    return true;
}

static bool infer_mvn(graph *g, node_id n) {
    bool reduced[TENSOR_MAX_RANK];
    return infer_same(g, n) && mvn_axes(g, n, kit_input(g, n, 0)->rank, reduced);
}

/* The epsilon that the standard's function body adds to the deviation. */
static const double mvn_epsilon = 1e-9;

static void nest_mvn(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    value_id y = nd.outputs[0];
    const type t = *lower_type(l, nd.inputs[0]);
    statistic s = {.x = nd.inputs[0], .sum = kit_sum_type(t.dtype), .rank = t.rank};
    bool ok = mvn_axes(lower_graph(l), n, t.rank, s.reduced);
    assert(ok), (void)ok;
    for (int i = 0; i < t.rank; i++)
        if (!s.reduced[i]) lower_loops_axes(l, y, i, i + 1, s.index);
    loop_buf mean = mean_pass(l, &s), variance = variance_pass(l, &s, mean);
    loop_buf inverse = kit_scalar(l, "inv", s.sum);
    loop_expr deviation = loop_add(k, kit_op1(l, LOOP_SQRT, lower_value(l, variance, NULL)),
                                   loop_const(k, s.sum, mvn_epsilon));
    lower_assign(l, inverse, NULL, kit_op2(l, LOOP_DIV, loop_const(k, s.sum, 1), deviation));
    for (int i = 0; i < t.rank; i++)
        if (s.reduced[i]) lower_loops_axes(l, y, i, i + 1, s.index);
    lower_write(l, y, s.index, normalised(l, &s, mean, inverse));
    for (int i = 0; i < t.rank; i++) lower_end_loops(l);
}

/* ---- LpNormalization ---- */

static bool infer_lp(graph *g, node_id n) {
    int axis;
    const node nd = *graph_node(g, n);
    int64_t p = node_attr_int(&nd, "p", 2);
    if (p != 1 && p != 2)
        return op_error(g, n, NULL, "attribute p is %lld, must be 1 or 2", (long long)p);
    return infer_same(g, n) &&
           op_axis(g, n, node_attr_int(&nd, "axis", -1), kit_input(g, n, 0)->rank, &axis);
}

static void nest_lp(lower *l, node_id n) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    value_id y = nd.outputs[0];
    const type t = *lower_type(l, nd.inputs[0]);
    int64_t a = node_attr_int(&nd, "axis", -1), p = node_attr_int(&nd, "p", 2);
    int axis = (int)(a < 0 ? a + t.rank : a);
    statistic s = {.x = nd.inputs[0], .sum = kit_sum_type(t.dtype), .rank = t.rank};
    s.reduced[axis] = true;
    lower_loops_axes(l, y, 0, axis, s.index);
    lower_loops_axes(l, y, axis + 1, t.rank, s.index);
    loop_buf acc = kit_scalar(l, "norm", s.sum);
    lower_assign(l, acc, NULL, loop_const(k, s.sum, 0));
    begin_statistic(l, &s);
    loop_expr e = statistic_element(l, &s);
    lower_accumulate(l, acc, LOOP_ADD, p == 2 ? loop_mul(k, e, e) : kit_op1(l, LOOP_ABS, e));
    kit_end(l, s.opened);
    loop_expr norm = lower_value(l, acc, NULL), zero = loop_const(k, s.sum, 0);
    if (p == 2) norm = kit_op1(l, LOOP_SQRT, norm);
    loop_buf inverse = kit_scalar(l, "inv", s.sum);
    /* A row of zeros stays one. */
    loop_expr one_over = kit_op2(l, LOOP_DIV, loop_const(k, s.sum, 1), norm);
    lower_assign(l, inverse, NULL, loop_select(k, kit_op2(l, LOOP_EQ, norm, zero), zero, one_over));
    lower_loops_axes(l, y, axis, axis + 1, s.index);
    lower_write(l, y, s.index,
                loop_mul(k, statistic_element(l, &s), lower_value(l, inverse, NULL)));
    for (int i = 0; i < 3; i++) lower_end_loops(l);
}

const op_def ops_normalization[] = {
    {.domain = "",
     .name = "BatchNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_batch,
     .expand = expand_batch,
     .nest = nest_training},
    {.domain = "",
     .name = "InstanceNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_channels,
     .nest = nest_instance},
    {.domain = "",
     .name = "GroupNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_channels,
     .nest = nest_group},
    {.domain = "",
     .name = "LayerNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_layer,
     .nest = nest_layer},
    {.domain = "",
     .name = "RMSNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_layer,
     .nest = nest_rms},
    {.domain = "", .name = "LRN", .flags = OP_ANCHOR, .infer = infer_lrn, .nest = nest_lrn},
    {.domain = "",
     .name = "MeanVarianceNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_mvn,
     .nest = nest_mvn},
    {.domain = "",
     .name = "LpNormalization",
     .flags = OP_ANCHOR,
     .infer = infer_lp,
     .nest = nest_lp},
};
const size_t ops_normalization_count = sizeof ops_normalization / sizeof *ops_normalization;
