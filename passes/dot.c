/* dot.c: products and convolutions of bytes, and those of floats that DequantizeLinear makes of
 * them, become sums of four products a step (DotLinear, DotMatMul, DotConv), or of one where every
 * channel is apart (DotDepthwise), where blocks of vectors are wanted. Weights are packed once;
 * zero points are taken off by way of sums that do not depend on the other operand: with data x and
 * weights w, sum (x - a)(w - b) is sum xw, less a * sum w, less b * sum (x - a). What is not
 * covered (groups, one zero point a row) stays as it is.
 */
#include "ir/ops/kit.h"
#include "passes/rewrite.h"

#include <string.h>

enum { WORD = 4, FEWEST_COLUMNS = 4, SIGN = 128, FEW_CHANNELS = 8 };

/* One sum: data x, weights w, the zero points of both (0: none), a bias of i32 (0: none). */
typedef struct {
    graph *g;
    node_id n;
    int block;
    value_id x, x_zero, w, w_zero, bias;
} product;

/* ---- building ---- */

static value_id scalar(graph *g, dtype t, int64_t v) {
    return graph_add_constant_ints(g, "number", t, 0, NULL, &v);
}

static value_id build2(const product *p, const char *op, value_id a, value_id b) {
    return kit_build2(p->g, p->n, op, a, b);
}

static value_id internal(const product *p, const char *op, uint32_t count, const value_id *inputs,
                         uint32_t attr_count, const attr *attrs) {
    for (uint32_t i = 0; i < 2 && i < count; i++)
        if (!inputs[i]) return 0;
    return graph_build(p->g, graph_node(p->g, p->n)->region, p->n, OP_INTERNAL, op, count, inputs,
                       attr_count, attrs);
}

/* The sum of v along some axes, which stay with one element or go. */
static value_id summed(const product *p, value_id v, const int64_t *axes, int64_t count,
                       bool keep) {
    attr a = attr_int("keepdims", keep);
    value_id inputs[] = {v, kit_ints(p->g, axes, count)};
    return v ? kit_build(p->g, p->n, "ReduceSum", 2, inputs, 1, &a) : 0;
}

static int64_t constant_dim(const graph *g, value_id v, int axis) {
    int64_t n;
    return dim_is_const(g->dims, graph_type(g, v)->dims[axis], &n) ? n : -1;
}

/* ---- operands ---- */

static bool is_byte(const graph *g, value_id v) {
    dtype t = graph_type(g, v)->dtype;
    return t == DTYPE_U8 || t == DTYPE_I8;
}

static bool is_single(const graph *g, value_id v) {
    const type *t = graph_type(g, v);
    return t->rank == 0 || (t->rank == 1 && dim_equals_const(g->dims, t->dims[0], 1));
}

/* Whether the weights' zero point is left out, one number, or one of `columns`. */
static bool is_weight_zero(const graph *g, value_id v, int64_t columns) {
    return !v || is_single(g, v) ||
           (graph_type(g, v)->rank == 1 && constant_dim(g, v, 0) == columns);
}

/* A zero point as i32, moved by `by`; 0 where it is known to be zero then. */
static value_id moved_zero(const product *p, value_id v, int64_t by) {
    double known;
    if (!v) return by ? scalar(p->g, DTYPE_I32, by) : 0;
    if (rewrite_repeated(p->g, v, &known) && known + (double)by == 0) return 0;
    value_id z = kit_build_cast(p->g, p->n, v, DTYPE_I32);
    if (is_single(p->g, v)) z = kit_build_reshape(p->g, p->n, z, NULL, 0);
    return by ? build2(p, "Add", z, scalar(p->g, DTYPE_I32, by)) : z;
}

static value_id data_zero(const product *p) {
    return moved_zero(p, p->x_zero, graph_type(p->g, p->x)->dtype == DTYPE_I8 ? SIGN : 0);
}

static value_id weight_zero(const product *p) {
    return moved_zero(p, p->w_zero, graph_type(p->g, p->w)->dtype == DTYPE_U8 ? -SIGN : 0);
}

/* The bytes of the weights as signed numbers, in words along an axis. */
static value_id weight_words(const product *p, value_id w, int along) {
    attr axis = attr_int("axis", along);
    if (graph_type(p->g, w)->dtype == DTYPE_U8)
        w = build2(p, "BitwiseXor", w, scalar(p->g, DTYPE_U8, SIGN));
    return internal(p, "DotWords", 1, &w, 1, &axis);
}

/* What the data's zero point adds to a product: zero * (the sum of the weights along some axes). */
static value_id zero_share(const product *p, value_id w, const int64_t *axes, int count, bool keep,
                           value_id zero) {
    value_id v = kit_build_cast(p->g, p->n, w, DTYPE_I32);
    if (graph_type(p->g, w)->dtype == DTYPE_U8)
        v = build2(p, "Sub", v, scalar(p->g, DTYPE_I32, SIGN));
    return build2(p, "Mul", summed(p, v, axes, count, keep), zero);
}

/* The bias less what the data's zero point adds. */
static value_id corrected_bias(const product *p, value_id w, value_id zero) {
    if (!zero) return p->bias;
    int64_t axes[TENSOR_MAX_RANK];
    int rank = graph_type(p->g, w)->rank;
    for (int i = 1; i < rank; i++) axes[i - 1] = i;
    value_id extra = zero_share(p, w, axes, rank - 1, false, zero);
    return p->bias ? build2(p, "Sub", p->bias, extra) : kit_build1(p->g, p->n, "Neg", extra);
}

/* y less zero * sums, where the weights' zero point may be one a column, along `axis` of y. */
static value_id less_sums(const product *p, value_id y, int axis, value_id zero, value_id sums) {
    if (graph_type(p->g, zero)->rank) {
        int64_t shape[TENSOR_MAX_RANK];
        int rank = graph_type(p->g, y)->rank;
        for (int i = axis; i < rank; i++) shape[i - axis] = i == axis ? -1 : 1;
        zero = kit_build_reshape(p->g, p->n, zero, shape, rank - axis);
    }
    return build2(p, "Sub", y, build2(p, "Mul", sums, zero));
}

/* Sums over `count` elements of x, each less its zero point. */
static value_id centred_sums(const product *p, value_id sums, int64_t count) {
    if (!p->x_zero) return sums;
    value_id zero = moved_zero(p, p->x_zero, 0);
    if (!zero) return sums;
    return build2(p, "Sub", sums, build2(p, "Mul", zero, scalar(p->g, DTYPE_I32, count)));
}

/* ---- products ---- */

static bool can_multiply(const product *p) {
    const graph *g = p->g;
    const type *x = graph_type(g, p->x), *w = graph_type(g, p->w);
    if (!is_byte(g, p->x) || !is_byte(g, p->w) || x->rank < 2 || w->rank != 2) return false;
    int64_t k = constant_dim(g, p->w, 0), n = constant_dim(g, p->w, 1);
    return k > 0 && n >= FEWEST_COLUMNS && constant_dim(g, p->x, x->rank - 1) == k &&
           (!p->x_zero || is_single(g, p->x_zero)) && is_weight_zero(g, p->w_zero, n);
}

/* x with its last axis in whole words. */
static value_id whole_words(const product *p, int64_t k) {
    if (k % WORD == 0) return p->x;
    int64_t pads[2 * TENSOR_MAX_RANK] = {0};
    int rank = graph_type(p->g, p->x)->rank;
    pads[2 * rank - 1] = WORD - k % WORD;
    return build2(p, "Pad", p->x, kit_ints(p->g, pads, 2 * rank));
}

static value_id in_blocks(const product *p, value_id v) {
    if (!v) return 0;
    type t = *graph_type(p->g, v);
    tensor_layout *y = ARENA_NEW(p->g->memory, tensor_layout);
    y->block_axis = 0;
    y->block = p->block;
    t.layout = y;
    value_id out = graph_add_value(p->g, NULL, t);
    graph_add_node(p->g, graph_node(p->g, p->n)->region, p->n, op_find(OP_INTERNAL, "Reorder"), "",
                   1, &v, 1, &out, 0, NULL);
    return out;
}

/* Both operands are data: matrices of one count each, by one zero point each. */
static bool can_multiply_data(const product *p) {
    const graph *g = p->g;
    const type *x = graph_type(g, p->x), *w = graph_type(g, p->w);
    int rank = x->rank;
    if (!is_byte(g, p->x) || !is_byte(g, p->w) || rank < 2 || w->rank != rank) return false;
    for (int i = 0; i + 2 < rank; i++)
        if (x->dims[i] != w->dims[i]) return false;
    int64_t k = constant_dim(g, p->x, rank - 1), n = constant_dim(g, p->w, rank - 1);
    return k > 0 && k == constant_dim(g, p->w, rank - 2) && n >= FEWEST_COLUMNS &&
           (!p->x_zero || is_single(g, p->x_zero)) && (!p->w_zero || is_single(g, p->w_zero));
}

/* x [..., M, K] times w [..., K, N], as i32; 0 if it is not covered. */
static value_id multiplied_data(const product *p) {
    if (!can_multiply_data(p)) return 0;
    int last = graph_type(p->g, p->x)->rank - 1;
    int64_t k = constant_dim(p->g, p->x, last), along[] = {last - 1, last};
    value_id inputs[] = {whole_words(p, k), weight_words(p, p->w, last - 1)};
    value_id y = internal(p, "DotMatMul", 2, inputs, 0, NULL);
    value_id zero = data_zero(p), w_zero = weight_zero(p);
    if (y && zero) y = build2(p, "Sub", y, zero_share(p, p->w, &along[0], 1, true, zero));
    if (!y || !w_zero) return y;
    value_id sums = summed(p, kit_build_cast(p->g, p->n, p->x, DTYPE_I32), &along[1], 1, true);
    return less_sums(p, y, last, w_zero, centred_sums(p, sums, k));
}

/* x [..., K] times w [K, N], as i32; 0 if it is not covered. */
static value_id multiplied(const product *p) {
    static const int64_t swap[] = {1, 0};
    if (!can_multiply(p)) return multiplied_data(p);
    int64_t k = constant_dim(p->g, p->w, 0), last = graph_type(p->g, p->x)->rank - 1;
    value_id w = kit_build_transpose(p->g, p->n, p->w, swap, 2), zero = weight_zero(p);
    value_id inputs[] = {whole_words(p, k), in_blocks(p, weight_words(p, w, 1)),
                         corrected_bias(p, w, data_zero(p))};
    value_id y = internal(p, "DotLinear", inputs[2] ? 3 : 2, inputs, 0, NULL);
    if (!y || !zero) return y;
    value_id sums = summed(p, kit_build_cast(p->g, p->n, p->x, DTYPE_I32), &last, 1, true);
    return less_sums(p, y, (int)last, zero, centred_sums(p, sums, k));
}

/* ---- convolutions ---- */

static bool can_convolve(const product *p) {
    const graph *g = p->g;
    const type *x = graph_type(g, p->x), *w = graph_type(g, p->w);
    const node *nd = graph_node(g, p->n);
    const char *mode = node_attr_string(nd, "auto_pad", "NOTSET");
    if (!is_byte(g, p->x) || !is_byte(g, p->w) || x->rank < 3 || x->rank != w->rank) return false;
    if (strncmp(mode, "SAME", 4) == 0) return false;
    for (int i = 0; i < w->rank; i++)
        if (constant_dim(g, p->w, i) <= 0) return false;
    int64_t m = constant_dim(g, p->w, 0), c = constant_dim(g, p->x, 1);
    int64_t groups = node_attr_int(nd, "group", 1);
    if (groups != 1 && (groups != c || m != c)) return false;
    return m >= FEWEST_COLUMNS && c == constant_dim(g, p->w, 1) * groups &&
           (!p->x_zero || is_single(g, p->x_zero)) && is_weight_zero(g, p->w_zero, m);
}

/* x with its padding around it, which is its zero point. */
static value_id padded(const product *p) {
    const node *nd = graph_node(p->g, p->n);
    size_t count;
    const int64_t *pads = node_attr_ints(nd, "pads", &count);
    int64_t all[2 * TENSOR_MAX_RANK] = {0};
    int rank = graph_type(p->g, p->x)->rank;
    bool some = false;
    if (strcmp(node_attr_string(nd, "auto_pad", "NOTSET"), "VALID") == 0) return p->x;
    for (int i = 0; pads && i < rank - 2; i++) {
        all[2 + i] = pads[i];
        all[rank + 2 + i] = pads[rank - 2 + i];
        some |= pads[i] || pads[rank - 2 + i];
    }
    if (!some) return p->x;
    value_id zero = p->x_zero ? kit_build_reshape(p->g, p->n, p->x_zero, NULL, 0)
                              : scalar(p->g, graph_type(p->g, p->x)->dtype, 0);
    value_id inputs[] = {p->x, kit_ints(p->g, all, 2 * rank), zero};
    return kit_build(p->g, p->n, "Pad", 3, inputs, 0, NULL);
}

/* Few channels as words of unsigned bytes, which would leave a block nearly empty. */
static value_id few_as_words(const product *p, value_id x) {
    attr axis = attr_int("axis", 1);
    if (!x || constant_dim(p->g, x, 1) > FEW_CHANNELS) return x;
    value_id words = internal(p, "DotWords", 1, &x, 1, &axis);
    if (!words || graph_type(p->g, x)->dtype == DTYPE_U8) return words;
    return build2(p, "BitwiseXor", words, scalar(p->g, DTYPE_U32, 0x80808080));
}

/* The sum of each window of x, less its zero point, over all channels. */
static value_id window_sums(const product *p, value_id x, uint32_t attr_count, const attr *attrs) {
    int64_t shape[TENSOR_MAX_RANK] = {1, 1}, one = 1;
    const type *w = graph_type(p->g, p->w);
    int rank = w->rank;
    bool pointwise = true;
    for (int i = 2; i < rank; i++) {
        shape[i] = constant_dim(p->g, p->w, i);
        pointwise &= shape[i] == 1;
    }
    for (uint32_t i = 0; i < attr_count; i++)
        for (size_t j = 0; strcmp(attrs[i].name, "strides") == 0 && j < attrs[i].count; j++)
            pointwise &= attrs[i].ints[j] == 1;
    value_id sums =
        centred_sums(p, internal(p, "DotSums", 1, &x, 0, NULL), constant_dim(p->g, p->w, 1));
    if (pointwise || !sums) return sums;
    blob *data = ARENA_NEW(p->g->memory, blob);
    int32_t *ones = ARENA_NEW(p->g->memory, int32_t);
    *ones = (int32_t)one;
    *data = (blob){ones, sizeof *ones, true};
    value_id kernel =
        graph_add_constant(p->g, "ones", type_tensor_const(p->g, DTYPE_I32, rank, shape), *data);
    value_id inputs[] = {sums, kernel};
    return kit_build(p->g, p->n, "Conv", 2, inputs, attr_count, attrs);
}

/* The convolution of padded x, each channel by weights of its own, less their zero points. */
static value_id convolved_apart(const product *p, value_id x, uint32_t attr_count,
                                const attr *attrs) {
    int64_t axes[TENSOR_MAX_RANK];
    int rank = graph_type(p->g, p->w)->rank;
    for (int i = 1; i < rank; i++) axes[i - 1] = i;
    value_id w = kit_build_centred(p->g, p->n, p->w, p->w_zero, rank, 0), bias = p->bias;
    value_id zero = moved_zero(p, p->x_zero, 0);
    if (zero) {
        value_id share = build2(p, "Mul", summed(p, w, axes, rank - 1, false), zero);
        bias = bias ? build2(p, "Sub", bias, share) : kit_build1(p->g, p->n, "Neg", share);
    }
    value_id inputs[] = {x, kit_build_cast(p->g, p->n, w, DTYPE_I16), bias};
    return internal(p, "DotDepthwise", bias ? 3 : 2, inputs, attr_count, attrs);
}

/* The convolution of x by w, as i32; 0 if it is not covered. */
static value_id convolved(const product *p) {
    static const char *const kept[] = {"strides", "dilations", "kernel_shape"};
    const node nd = *graph_node(p->g, p->n);
    attr attrs[3];
    uint32_t count = 0;
    if (!can_convolve(p)) return 0;
    for (size_t i = 0; i < 3; i++)
        if (node_attr(&nd, kept[i])) attrs[count++] = *node_attr(&nd, kept[i]);
    value_id x = padded(p);
    if (node_attr_int(&nd, "group", 1) > 1) return convolved_apart(p, x, count, attrs);
    value_id zero = weight_zero(p);
    value_id inputs[] = {few_as_words(p, x), weight_words(p, p->w, 1),
                         corrected_bias(p, p->w, data_zero(p))};
    value_id y = internal(p, "DotConv", inputs[2] ? 3 : 2, inputs, count, attrs);
    if (!y || !zero) return y;
    return less_sums(p, y, 1, zero, window_sums(p, x, count, attrs));
}

/* ---- operators ---- */

static long take_over(graph *g, node_id n, value_id made) {
    if (!made) return g->diag->error_count ? -1 : 0;
    rewrite_take_over(g, n, graph_output(g, n, 0), made);
    graph_remove_node(g, n);
    return 1;
}

static product operands(graph *g, node_id n, const pass_options *options, uint32_t x,
                        uint32_t x_zero, uint32_t w, uint32_t w_zero) {
    return (product){.g = g,
                     .n = n,
                     .block = options->vector_block,
                     .x = graph_input(g, n, x),
                     .x_zero = graph_input(g, n, x_zero),
                     .w = graph_input(g, n, w),
                     .w_zero = graph_input(g, n, w_zero)};
}

/* Inputs of QLinearConv and QLinearMatMul. */
enum { Q_X, Q_X_SCALE, Q_X_ZERO, Q_W, Q_W_SCALE, Q_W_ZERO, Q_Y_SCALE, Q_Y_ZERO, Q_BIAS };

static bool has_plain_scales(const graph *g, node_id n, int64_t columns) {
    return is_single(g, graph_input(g, n, Q_X_SCALE)) &&
           is_single(g, graph_input(g, n, Q_Y_SCALE)) &&
           is_single(g, graph_input(g, n, Q_Y_ZERO)) &&
           is_weight_zero(g, graph_input(g, n, Q_W_SCALE), columns) &&
           graph_type(g, graph_input(g, n, Q_X_SCALE))->dtype == DTYPE_F32;
}

/* round(sum * (x scale * w scale / y scale)) + y zero, saturated; columns run along `axis`. */
static value_id requantised(graph *g, node_id n, value_id sum, int axis) {
    int rank = graph_type(g, sum)->rank;
    int64_t shape[TENSOR_MAX_RANK];
    double one = 1;
    value_id w_scale = graph_input(g, n, Q_W_SCALE);
    value_id x_scale = kit_build_reshape(g, n, graph_input(g, n, Q_X_SCALE), NULL, 0);
    value_id y_scale = kit_build_reshape(g, n, graph_input(g, n, Q_Y_SCALE), NULL, 0);
    for (int i = axis; i < rank; i++) shape[i - axis] = i == axis ? -1 : 1;
    w_scale = kit_build_reshape(g, n, w_scale, shape, is_single(g, w_scale) ? 0 : rank - axis);
    value_id scale = kit_build2(g, n, "Div", kit_build2(g, n, "Mul", x_scale, w_scale), y_scale);
    value_id r = kit_build2(g, n, "Mul", kit_build_cast(g, n, sum, DTYPE_F32), scale);
    value_id inputs[] = {r, graph_add_constant_floats(g, "one", DTYPE_F32, 0, NULL, &one),
                         kit_build_reshape(g, n, graph_input(g, n, Q_Y_ZERO), NULL, 0)};
    return kit_build(g, n, "QuantizeLinear", 3, inputs, 0, NULL);
}

/* ---- float operators between DequantizeLinear and what follows ---- */

/* The node that makes f32 of the bytes behind v, one scale for all or one along `*axis`, which is
 * set; 0 if there is none. */
static node_id dequantised(const graph *g, value_id v, int64_t *axis) {
    node_id n = rewrite_producer(g, v, "DequantizeLinear");
    if (!n || !is_byte(g, graph_input(g, n, 0)) || graph_type(g, v)->dtype != DTYPE_F32) return 0;
    const node *nd = graph_node(g, n);
    const type *scale = graph_type(g, graph_input(g, n, 1));
    if (scale->rank > 1 || scale->dtype != DTYPE_F32 || node_attr_int(nd, "block_size", 0))
        return 0;
    *axis = node_attr_int(nd, "axis", 1);
    if (*axis < 0) *axis += graph_type(g, v)->rank;
    return n;
}

/* Data and weights of a product or convolution in floats, taken from in front of their scales.
 * False if they have none, or scales that do not leave the sum. */
static bool read_quantised(product *p, bool conv, node_id *data, node_id *weights) {
    graph *g = p->g;
    const node nd = *graph_node(g, p->n);
    int64_t axis, columns = conv ? 0 : 1;
    value_id w = nd.inputs[1];
    node_id swap = conv ? 0 : rewrite_producer(g, w, "Transpose");
    bool turned = node_attr_int(&nd, "transB", 0) != 0;
    if (swap && graph_type(g, w)->rank == 2) {
        size_t count;
        const int64_t *perm = node_attr_ints(graph_node(g, swap), "perm", &count);
        turned ^= !perm || perm[0] == 1;
        w = graph_input(g, swap, 0);
    }
    *data = dequantised(g, nd.inputs[0], &axis);
    *weights = dequantised(g, w, &axis);
    if (!*data || !*weights || !is_single(g, graph_input(g, *data, 1))) return false;
    bool single = is_single(g, graph_input(g, *weights, 1));
    if (graph_type(g, w)->rank < 2 || (!conv && !single && graph_type(g, w)->rank != 2))
        return false;
    if (turned) columns = 0;
    if (!single && axis != columns) return false;
    p->x = graph_input(g, *data, 0);
    p->x_zero = graph_input(g, *data, 2);
    p->w = graph_input(g, *weights, 0);
    p->w_zero = graph_input(g, *weights, 2);
    static const int64_t both[] = {1, 0};
    if (turned) p->w = kit_build_transpose(g, p->n, p->w, both, 2);
    return true;
}

/* sum * (data scale * weight scale) + bias, for the operators of floats. */
static long convert_float(graph *g, node_id n, const pass_options *options) {
    bool conv = rewrite_is(g, n, "Conv"), gemm = rewrite_is(g, n, "Gemm");
    const node nd = *graph_node(g, n);
    product p = {.g = g, .n = n, .block = options->vector_block};
    node_id data, weights;
    if (gemm && (node_attr_float(&nd, "alpha", 1) != 1 || node_attr_float(&nd, "beta", 1) != 1 ||
                 node_attr_int(&nd, "transA", 0)))
        return 0;
    /* Each channel apart is faster in floats, which multiply and add at once. */
    if ((conv && node_attr_int(&nd, "group", 1) > 1) || !read_quantised(&p, conv, &data, &weights))
        return 0;
    value_id sum = conv ? convolved(&p) : multiplied(&p);
    if (!sum) return g->diag->error_count ? -1 : 0;
    int rank = graph_type(g, sum)->rank, axis = conv ? 1 : rank - 1;
    int64_t shape[TENSOR_MAX_RANK];
    for (int i = axis; i < rank; i++) shape[i - axis] = i == axis ? -1 : 1;
    value_id ws = graph_input(g, weights, 1), bias = graph_input(g, n, 2);
    ws = kit_build_reshape(g, n, ws, shape, is_single(g, ws) ? 0 : rank - axis);
    value_id xs = kit_build_reshape(g, n, graph_input(g, data, 1), NULL, 0);
    value_id y = kit_build2(g, n, "Mul", kit_build_cast(g, n, sum, DTYPE_F32),
                            kit_build2(g, n, "Mul", xs, ws));
    if (bias && conv) bias = kit_build_reshape(g, n, bias, shape, rank - axis);
    return take_over(g, n, bias ? kit_build2(g, n, "Add", y, bias) : y);
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)uses;
    bool qconv = rewrite_is(g, n, "QLinearConv"), qmatmul = rewrite_is(g, n, "QLinearMatMul");
    if (qconv || qmatmul) {
        product p = operands(g, n, options, Q_X, Q_X_ZERO, Q_W, Q_W_ZERO);
        const type *w = graph_type(g, p.w);
        if (w->rank < 2 || !has_plain_scales(g, n, constant_dim(g, p.w, qconv ? 0 : w->rank - 1)))
            return 0;
        if (qconv) p.bias = graph_input(g, n, Q_BIAS);
        value_id sum = qconv ? convolved(&p) : multiplied(&p);
        int axis = qconv || !sum ? 1 : graph_type(g, sum)->rank - 1;
        return take_over(g, n, sum ? requantised(g, n, sum, axis) : 0);
    }
    if (rewrite_is(g, n, "Conv") || rewrite_is(g, n, "MatMul") || rewrite_is(g, n, "Gemm"))
        return convert_float(g, n, options);
    bool conv = rewrite_is(g, n, "ConvInteger");
    if (!conv && !rewrite_is(g, n, "MatMulInteger")) return 0;
    product p = operands(g, n, options, 0, 2, 1, 3);
    return take_over(g, n, conv ? convolved(&p) : multiplied(&p));
}

static long run(graph *g, const pass_options *options) {
    if (!options->vector_block || rewrite_has_groups(g)) return 0;
    return rewrite_each(g, options, NULL, visit);
}

const pass_def pass_dot = {"dot", "8-bit products and convolutions by sums of four products", run};
