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
    if (!size) return kit_set_declared(g, n, t, "size is");
    size = dim_max(g->dims, kit_dim(g, 0), size);
    op_set_type(g, n, 0, type_tensor(t, 1, &size));
    return true;
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
    if (!bins || !length) return kit_set_declared(g, n, t, "number of bins or the length is");
    if (dim_high(g->dims, bins) < 0 || dim_high(g->dims, length) < 0)
        return op_error(g, n, NULL, "the number of bins or the length is negative");
    dim half = dim_floordiv(g->dims, length, kit_dim(g, 2));
    dim dims[] = {dim_add(g->dims, half, kit_dim(g, 1)), bins};
    op_set_type(g, n, 0, type_tensor(t, 2, dims));
    return true;
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

const op_def ops_signal[] = {
    {.domain = "", .name = "HannWindow", .infer = infer_window, .element = element_hann},
    {.domain = "", .name = "HammingWindow", .infer = infer_window, .element = element_hamming},
    {.domain = "", .name = "BlackmanWindow", .infer = infer_window, .element = element_blackman},
    {.domain = "", .name = "MelWeightMatrix", .infer = infer_mel, .element = element_mel},
};
const size_t ops_signal_count = sizeof ops_signal / sizeof *ops_signal;
