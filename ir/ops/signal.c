/* signal.c: window functions, the mel scale's weights, and Fourier transforms. A transform is a
 * call of the runtime, in double precision whatever the type: results near zero are differences of
 * large numbers. STFT is spelt as the frames of the signal and a DFT of each. */
#include "ir/ops/spell.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* ---- windows ---- */

/* The number that a scalar input holds, if it follows from shapes and constants; 0 if not. */
static dim known_number(graph *g, node_id n, uint32_t i) {
    size_t count;
    const dim *elements = graph_elements(g, graph_input(g, n, i), &count);
    return elements && count == 1 ? elements[0] : 0;
}

static bool read_output_type(graph *g, node_id n, dtype *t) {
    int64_t v = node_attr_int(graph_node(g, n), "output_datatype", DTYPE_F32);
    if (v <= 0 || v >= DTYPE_COUNT || v == DTYPE_STRING)
        return op_error(g, n, NULL, "attribute output_datatype is %lld, which is no number's type",
                        (long long)v);
    *t = (dtype)v;
    return true;
}

static bool infer_window(graph *g, node_id n) {
    dtype t;
    if (!kit_need(g, n, 0, 0, 1) || !read_output_type(g, n, &t)) return false;
    dim size = known_number(g, n, 0);
    if (!size) return kit_set_told(g, n, t, 1, DIM_NONE);
    size = dim_max(g->dims, kit_dim(g, 0), size);
    op_set_type(g, n, 0, type_tensor(t, 1, &size));
    return true;
}

static loop_expr size_window(lower *l, node_id n, int axis) {
    return kit_read_int(l, graph_input(lower_graph(l), n, 0), axis);
}

static bool expand_window(graph *g, node_id n) {
    return !known_number(g, n, 0) && kit_expand_sizes(g, n);
}

/* A formula of x = 2 pi i / N, with N one less where the window is symmetric. */
static loop_expr window_element(lower *l, node_id n, const loop_expr *index, const char *formula) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0);
    loop_expr size = lower_dim(l, y, 0);
    if (!node_attr_int(graph_node(g, n), "periodic", 1)) size = loop_sub(k, size, loop_int(k, 1));
    loop_expr x = loop_mul(k, loop_cast(k, DTYPE_F64, index[0]), kit_float(l, DTYPE_F64, 2 * pi));
    x = kit_op2(l, LOOP_DIV, x, loop_cast(k, DTYPE_F64, size));
    const loop_binding names[] = {{"x", x}};
    return loop_cast(k, lower_type(l, y)->dtype, loop_formula(k, formula, DTYPE_F64, names, 1));
}

static loop_expr element_hann(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return window_element(l, n, index, "sin(x * 0.5) * sin(x * 0.5)");
}

static loop_expr element_hamming(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return window_element(l, n, index, "0.5434782608695652 - 0.45652173913043476 * cos(x)");
}

static loop_expr element_blackman(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    return window_element(l, n, index, "0.42 - 0.5 * cos(x) + 0.08 * cos(2 * x)");
}

/* ---- MelWeightMatrix ---- */

enum { MEL_BINS, MEL_LENGTH, MEL_RATE, MEL_LOW, MEL_HIGH };

static bool infer_mel(graph *g, node_id n) {
    dtype t;
    for (uint32_t i = MEL_BINS; i <= MEL_HIGH; i++)
        if (!kit_need(g, n, i, 0, 1)) return false;
    if (!read_output_type(g, n, &t)) return false;
    dim bins = known_number(g, n, MEL_BINS), length = known_number(g, n, MEL_LENGTH);
    if (!bins || !length) return kit_set_told(g, n, t, 2, DIM_NONE);
    if (dim_high(g->dims, bins) < 0 || dim_high(g->dims, length) < 0)
        return op_error(g, n, NULL, "the number of bins or the length is negative");
    dim half = dim_floordiv(g->dims, length, kit_dim(g, 2));
    dim dims[] = {dim_add(g->dims, half, kit_dim(g, 1)), bins};
    op_set_type(g, n, 0, type_tensor(t, 2, dims));
    return true;
}

static loop_expr size_mel(lower *l, node_id n, int axis) {
    loop_kernel *k = lower_kernel(l);
    loop_expr v = kit_read_int(l, graph_input(lower_graph(l), n, axis ? MEL_BINS : MEL_LENGTH), 0);
    return axis ? v : loop_add(k, loop_floordiv(k, v, loop_int(k, 2)), loop_int(k, 1));
}

static bool expand_mel(graph *g, node_id n) {
    bool known = known_number(g, n, MEL_BINS) && known_number(g, n, MEL_LENGTH);
    return !known && kit_expand_sizes(g, n);
}

/* Triangles over the spectrum's bins: their corners lie at equal distances on the mel scale,
 * 2595 log10(1 + f / 700). `l`, `c` and `h` are the corners of bin index[1] as numbers of bins. */
static loop_expr element_mel(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    loop_expr zero = loop_int(k, 0), in[MEL_HIGH + 1];
    for (uint32_t i = MEL_BINS; i <= MEL_HIGH; i++)
        in[i] = kit_read(l, DTYPE_F64, graph_input(g, n, i), &zero);
    loop_binding names[] = {{"bins", in[MEL_BINS]},
                            {"length", in[MEL_LENGTH]},
                            {"rate", in[MEL_RATE]},
                            {"low", loop_formula(k, "log1p(f / 700)", DTYPE_F64,
                                                 (const loop_binding[]){{"f", in[MEL_LOW]}}, 1)},
                            {"high", loop_formula(k, "log1p(f / 700)", DTYPE_F64,
                                                  (const loop_binding[]){{"f", in[MEL_HIGH]}}, 1)},
                            {"i", 0}};
    loop_expr corners[3], bin = loop_cast(k, DTYPE_F64, index[1]);
    for (int i = 0; i < 3; i++) {
        names[5].expr = loop_add(k, bin, kit_float(l, DTYPE_F64, i));
        corners[i] = loop_formula(k,
                                  "floor((length + 1) * 700 * expm1(i * ((high - low) / (bins + 2))"
                                  " + low) / rate)",
                                  DTYPE_F64, names, 6);
    }
    const loop_binding triangle[] = {{"l", corners[0]},
                                     {"c", corners[1]},
                                     {"h", corners[2]},
                                     {"j", loop_cast(k, DTYPE_F64, index[0])}};
    loop_expr e =
        loop_formula(k,
                     "select(j >= c, select(j < h, (h - j) / max(h - c, 1), select(j == c, 1, 0)), "
                     "select(j >= l, (j - l) / max(c - l, 1), 0))",
                     DTYPE_F64, triangle, 4);
    return loop_cast(k, lower_type(l, graph_output(g, n, output))->dtype, e);
}

/* ---- DFT ---- */

enum { DFT_X, DFT_LENGTH, DFT_AXIS };

static bool dft_axis(graph *g, node_id n, int *axis) {
    const int64_t *given;
    size_t count;
    int64_t at = -2;
    if (!kit_need(g, n, DFT_X, 2, TENSOR_MAX_RANK)) return false;
    if (graph_input(g, n, DFT_AXIS)) {
        if (!op_const_ints(g, n, DFT_AXIS, NULL, &given, &count) || count != 1)
            return op_error(g, n, "make the axis a constant",
                            "the axis is not known at compile time");
        at = given[0];
    }
    int rank = kit_input(g, n, DFT_X)->rank;
    if (!op_axis(g, n, at, rank, axis)) return false;
    return *axis < rank - 1 || op_error(g, n, NULL, "the last axis holds real and imaginary parts");
}

/* Only the data tell the length. */
static bool infer_open_dft(graph *g, node_id n, const type *x, int axis) {
    const node *nd = graph_node(g, n);
    bool real = node_attr_int(nd, "inverse", 0) && node_attr_int(nd, "onesided", 0);
    dim dims[TENSOR_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    dims[axis] = kit_told_dim(g, n, 0, x->rank, axis, DIM_NONE);
    dims[x->rank - 1] = kit_dim(g, real ? 1 : 2);
    op_set_type(g, n, 0, type_tensor(x->dtype, x->rank, dims));
    return true;
}

static loop_expr size_dft(lower *l, node_id n, int i) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, DFT_X);
    bool inverse = node_attr_int(nd, "inverse", 0) != 0;
    bool onesided = node_attr_int(nd, "onesided", 0) != 0;
    int axis, rank = lower_type(l, x)->rank;
    if (!dft_axis(g, n, &axis)) return 0;
    if (i == rank - 1) return loop_int(k, inverse && onesided ? 1 : 2);
    if (i != axis) return lower_dim(l, x, i);
    loop_expr size = kit_read_int(l, graph_input(g, n, DFT_LENGTH), 0);
    if (!onesided || inverse) return size;
    return loop_add(k, loop_floordiv(k, size, loop_int(k, 2)), loop_int(k, 1));
}

static bool infer_dft(graph *g, node_id n) {
    int axis;
    if (!dft_axis(g, n, &axis)) return false;
    const node nd = *graph_node(g, n);
    const type x = *kit_input(g, n, DFT_X);
    bool inverse = node_attr_int(&nd, "inverse", 0) != 0;
    bool onesided = node_attr_int(&nd, "onesided", 0) != 0;
    dim_table *d = g->dims;
    dim parts = x.dims[x.rank - 1], size = x.dims[axis], dims[TENSOR_MAX_RANK];
    if (dim_low(d, parts) > 2 || dim_high(d, parts) < 1)
        return op_error(g, n, NULL, "the last axis must have one element, or two");
    if (graph_input(g, n, DFT_LENGTH)) {
        if (!kit_need(g, n, DFT_LENGTH, 0, 1)) return false;
        size = known_number(g, n, DFT_LENGTH);
        if (!size) return infer_open_dft(g, n, &x, axis);
    } else if (inverse && onesided) {
        size = dim_mul(d, kit_dim(g, 2), dim_sub(d, size, kit_dim(g, 1)));
    }
    if (dim_high(d, size) < 0) return op_error(g, n, NULL, "the length is negative");
    size = dim_max(d, size, kit_dim(g, 0));
    for (int i = 0; i < x.rank; i++) dims[i] = x.dims[i];
    dims[axis] = size;
    if (onesided && !inverse)
        dims[axis] = dim_add(d, dim_floordiv(d, size, kit_dim(g, 2)), kit_dim(g, 1));
    dims[x.rank - 1] = kit_dim(g, inverse && onesided ? 1 : 2);
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* What the runtime's function needs for a length: three arrays of complex numbers; with a prime
 * factor over 61 one of the length and four of the next power of two that holds twice the length.
 */
static dim scratch_dft(graph *g, node_id n) {
    int axis;
    int64_t size;
    if (!dft_axis(g, n, &axis)) return kit_dim(g, 0);
    dim_table *d = g->dims;
    const node nd = *graph_node(g, n);
    dim out = graph_type(g, nd.outputs[0])->dims[axis];
    if (node_attr_int(&nd, "onesided", 0) && !node_attr_int(&nd, "inverse", 0))
        out = dim_mul(d, out, kit_dim(g, 2)); /* n / 2 + 1 of n */
    int64_t bytes = 2 * sizeof(double);
    if (!dim_is_const(d, out, &size)) return dim_mul(d, out, kit_dim(g, 17 * bytes));
    int64_t most = 0;
    for (int64_t length = size > 2 ? size - 2 : 0; length <= size; length++) {
        int64_t rest = length, padded = 1, need = 3 * length;
        for (int64_t p = 2; p <= 61 && rest; p++)
            while (rest % p == 0) rest /= p;
        while (padded < 2 * length - 1) padded *= 2;
        if (rest > 1) need = length + 4 * padded;
        most = need > most ? need : most;
    }
    return kit_dim(g, most * bytes);
}

/* Half precision by way of single. */
static bool expand_dft(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    dtype t = graph_type(g, nd.inputs[DFT_X])->dtype;
    if (dtype_bits(t) >= 32)
        return graph_input(g, n, DFT_LENGTH) && !known_number(g, n, DFT_LENGTH) &&
               kit_expand_sizes(g, n);
    value_id inputs[3] = {kit_build_cast(g, n, nd.inputs[DFT_X], DTYPE_F32)};
    for (uint32_t i = 1; i < 3; i++) inputs[i] = graph_input(g, n, i);
    attr attrs[] = {attr_int("inverse", node_attr_int(&nd, "inverse", 0)),
                    attr_int("onesided", node_attr_int(&nd, "onesided", 0))};
    value_id y = spell_value(g, n, "DFT", 3, inputs, 2, attrs);
    kit_replace_told(g, nd.outputs[0], kit_build_cast(g, n, y, t));
    graph_remove_node(g, n);
    return true;
}

/* ---- STFT ---- */

enum { STFT_X, STFT_STEP, STFT_WINDOW, STFT_LENGTH };

/* The number that input `i` is, at least 1: what is known of it, or a symbol that it binds; 0 and a
 * diagnostic if it is none. */
static dim bound_number(graph *g, node_id n, uint32_t i, const char *what, dim limit) {
    size_t count;
    const dim *elements = graph_bind_elements(g, graph_input(g, n, i), 1, limit, &count);
    if (elements && count == 1 && dim_low(g->dims, *elements) >= 1) {
        kit_narrow(g, *elements, INT32_MAX);
        return *elements;
    }
    op_error(g, n, NULL, "%s is not one positive number", what);
    return DIM_NONE;
}

/* Frames [batch, frames, length, parts] of a signal [batch, samples, parts], times a window; input
 * 2 is the step from one to the next, input 3 their length: left out, it is that of the window, or
 * of the whole signal. */
static bool infer_frames(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 3, 3) || !kit_may(g, n, 1, 1, 1)) return false;
    const type x = *kit_input(g, n, 0);
    const type *window = kit_input(g, n, 1);
    dim step = bound_number(g, n, 2, "the step", DIM_NONE);
    dim size = window ? window->dims[0] : x.dims[1], length = size;
    if (graph_input(g, n, 3)) length = bound_number(g, n, 3, "the length of a frame", x.dims[1]);
    if (!step || !length) return false;
    if (window && !kit_agree(g, n, size, length, "the window")) return false;
    if (!window) size = length;
    dim room = dim_sub(g->dims, x.dims[1], size);
    if (dim_high(g->dims, room) < 0)
        return op_error(g, n, NULL, "the signal is shorter than a frame");
    dim frames = dim_add(g->dims, dim_floordiv(g->dims, room, step), kit_dim(g, 1));
    dim dims[] = {x.dims[0], dim_max(g->dims, frames, kit_dim(g, 0)), size, x.dims[2]};
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

static loop_expr element_frames(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(g, n, 0), window = graph_input(g, n, 1);
    dtype t = lower_type(l, graph_output(g, n, output))->dtype;
    size_t count;
    loop_expr step = loop_dim(k, *graph_elements(g, graph_input(g, n, 2), &count));
    loop_expr at[] = {index[0], loop_add(k, loop_mul(k, index[1], step), index[2]), index[3]};
    loop_expr e = lower_read(l, x, at), zero = loop_const(k, t, 0);
    return window ? loop_mul(k, e, lower_read_or(l, window, &index[2], zero)) : e;
}

static bool expand_stft(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    dtype t = graph_type(g, nd.inputs[STFT_X])->dtype, wide = kit_sum_type(t);
    value_id window = graph_input(g, n, STFT_WINDOW);
    const int64_t *known;
    size_t count;
    value_id length = graph_input(g, n, STFT_LENGTH);
    /* A length that only the run tells is that of the window. */
    if (window && length && !op_const_ints(g, n, STFT_LENGTH, NULL, &known, &count)) length = 0;
    value_id inputs[] = {kit_build_cast(g, n, nd.inputs[STFT_X], wide),
                         window ? kit_build_cast(g, n, window, wide) : 0,
                         kit_build_cast(g, n, nd.inputs[STFT_STEP], DTYPE_I64),
                         length ? kit_build_cast(g, n, length, DTYPE_I64) : 0};
    value_id frames = spell_value(g, n, "onnxcc.Frames", 4, inputs, 0, NULL);
    attr sided = attr_int("onesided", node_attr_int(&nd, "onesided", 1));
    value_id y = frames ? spell_value(g, n, "DFT", 1, &frames, 1, &sided) : 0;
    return spell_result(g, n, kit_build_cast(g, n, y, t));
}

#define WINDOW(op, element_hook)                                                                   \
    {                                                                                              \
        .domain = "", .name = op, .flags = OP_OPEN, .infer = infer_window,                         \
        .element = element_hook, .size = size_window, .expand = expand_window                      \
    }

const op_def ops_signal[] = {
    WINDOW("HannWindow", element_hann),
    WINDOW("HammingWindow", element_hamming),
    WINDOW("BlackmanWindow", element_blackman),
    {.domain = "",
     .name = "MelWeightMatrix",
     .flags = OP_OPEN,
     .infer = infer_mel,
     .element = element_mel,
     .size = size_mel,
     .expand = expand_mel},
    {.domain = "",
     .name = "DFT",
     .flags = OP_OPEN,
     .infer = infer_dft,
     .size = size_dft,
     .expand = expand_dft,
     .call = "dft",
     .call_attributes = "inverse onesided",
     .scratch = scratch_dft},
    {.domain = "", .name = "STFT", .expand = expand_stft},
    {.domain = OP_INTERNAL, .name = "Frames", .infer = infer_frames, .element = element_frames},
};
const size_t ops_signal_count = sizeof ops_signal / sizeof *ops_signal;
