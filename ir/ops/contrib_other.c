/* contrib_other.c: what else ONNX Runtime adds that files hold: earlier forms of operators that
 * became the standard's, distances, word embeddings, n-grams, inverses, products of complex
 * numbers; and experimental operators of the first opsets, which it kept. */
#include "ir/ops/spell.h"

#include <math.h>
#include <string.h>

/* ---- earlier forms of the standard's ---- */

/* The operator of the standard that has the same name, inputs and attributes. */
static bool expand_same(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    return spell_result(
        g, n, spell_value(g, n, nd.op->name, nd.input_count, nd.inputs, nd.attr_count, nd.attrs));
}

static bool expand_gather_nd(graph *g, node_id n) {
    value_id at = kit_build_cast(g, n, graph_input(g, n, 1), DTYPE_I64);
    return spell_result(g, n, kit_build2(g, n, "GatherND", graph_input(g, n, 0), at));
}

static bool expand_embedding(graph *g, node_id n) {
    return spell_result(g, n,
                        kit_build2(g, n, "Gather", graph_input(g, n, 0), graph_input(g, n, 1)));
}

static bool expand_grid_sample(graph *g, node_id n) {
    static const char *const modes[][2] = {{"bilinear", "linear"}, {"bicubic", "cubic"}};
    const node nd = *graph_node(g, n);
    const char *mode = node_attr_string(&nd, "mode", "bilinear");
    for (int i = 0; i < 2; i++)
        if (strcmp(mode, modes[i][0]) == 0) mode = modes[i][1];
    attr attrs[] = {attr_string("mode", mode),
                    attr_string("padding_mode", node_attr_string(&nd, "padding_mode", "zeros")),
                    attr_int("align_corners", node_attr_int(&nd, "align_corners", 0))};
    return spell_result(g, n, kit_build(g, n, "GridSample", 2, nd.inputs, 3, attrs));
}

/* A tensor of one element as a scalar; a constant stays one. */
static value_id scalar(graph *g, node_id n, value_id v) {
    if (!v || graph_type(g, v)->rank == 0) return v;
    const type t = *graph_type(g, v);
    const blob *data = graph_value(g, v)->constant;
    if (data && dim_equals_const(g->dims, type_elements(g->dims, &t), 1))
        return graph_add_constant(g, NULL, type_tensor(t.dtype, 0, NULL), *data);
    return kit_build_reshape(g, n, v, NULL, 0);
}

static bool expand_range(graph *g, node_id n) {
    dtype t = kit_input(g, n, 0)->dtype;
    value_id step = graph_input(g, n, 2);
    value_id inputs[] = {scalar(g, n, graph_input(g, n, 0)), scalar(g, n, graph_input(g, n, 1)),
                         step ? scalar(g, n, step) : spell_number(g, t, 1)};
    return spell_result(g, n, kit_build(g, n, "Range", 3, inputs, 0, NULL));
}

static bool expand_pad(graph *g, node_id n) {
    const int64_t flat[] = {-1};
    attr mode = attr_string("mode", node_attr_string(graph_node(g, n), "mode", "constant"));
    value_id inputs[] = {graph_input(g, n, 0),
                         kit_build_reshape(g, n, graph_input(g, n, 1), flat, 1),
                         scalar(g, n, graph_input(g, n, 2))};
    return spell_result(g, n, spell_value(g, n, "Pad", 3, inputs, 1, &mode));
}

static bool expand_expand_dims(graph *g, node_id n) {
    const int64_t flat[] = {-1};
    value_id axis = kit_build_reshape(g, n, graph_input(g, n, 1), flat, 1);
    axis = kit_build_cast(g, n, axis, DTYPE_I64);
    return spell_result(g, n, kit_build2(g, n, "Unsqueeze", graph_input(g, n, 0), axis));
}

/* In the order in which they come first; of the standard's indices, those that make x again. */
static bool expand_unique(graph *g, node_id n) {
    attr sorted = attr_int("sorted", 0);
    value_id x = graph_input(g, n, 0), out[4];
    if (!spell_node(g, n, "Unique", 1, &x, 1, &sorted, 4, out)) return false;
    value_id made[] = {out[0], out[2], out[3]};
    return spell_results(g, n, 3, made);
}

/* Slices of `size` elements along an axis, `step` apart: that axis counts the slices, and a new
 * last one their elements. */
static bool expand_unfold(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type t = *graph_type(g, nd.inputs[0]);
    int64_t size = node_attr_int(&nd, "size", 0), step = node_attr_int(&nd, "step", 1);
    const int64_t column = 1, scalar_axis = 0;
    int64_t perm[TENSOR_MAX_RANK];
    int axis;
    if (!op_axis(g, n, node_attr_int(&nd, "dim", -1), t.rank, &axis)) return false;
    if (size < 1 || step < 1 || size > INT32_MAX || t.rank + 1 > TENSOR_MAX_RANK)
        return op_error(g, n, NULL, "attributes size and step must be positive");
    value_id end = kit_build2(g, n, "Squeeze", spell_size(g, n, nd.inputs[0], axis),
                              kit_ints(g, &scalar_axis, 1));
    end = kit_build2(g, n, "Sub", end, spell_number(g, DTYPE_I64, (double)(size - 1)));
    value_id first[] = {spell_number(g, DTYPE_I64, 0), end,
                        spell_number(g, DTYPE_I64, (double)step)};
    value_id within[] = {first[0], spell_number(g, DTYPE_I64, (double)size),
                         spell_number(g, DTYPE_I64, 1)};
    value_id at = kit_build2(g, n, "Unsqueeze", kit_build(g, n, "Range", 3, first, 0, NULL),
                             kit_ints(g, &column, 1));
    at = kit_build2(g, n, "Add", at, kit_build(g, n, "Range", 3, within, 0, NULL));
    attr along = attr_int("axis", axis);
    value_id inputs[] = {nd.inputs[0], at};
    value_id y = kit_build(g, n, "Gather", 2, inputs, 1, &along);
    for (int i = 0; i <= t.rank; i++) perm[i] = i <= axis ? i : i < t.rank ? i + 1 : axis + 1;
    return spell_result(g, n, kit_build_transpose(g, n, y, perm, (size_t)t.rank + 1));
}

/* ---- distances, complex numbers ---- */

/* Between all pairs of rows. */
static bool expand_distance(graph *g, node_id n) {
    const char *metric = node_attr_string(graph_node(g, n), "metric", "sqeuclidean");
    const int64_t rows = 1, columns = 0, last = 2;
    attr keep = attr_int("keepdims", 0);
    bool root = strcmp(metric, "euclidean") == 0;
    if (!root && strcmp(metric, "sqeuclidean") != 0)
        return op_error(g, n, NULL, "metric %s is not supported, only euclidean and sqeuclidean",
                        metric);
    if (!kit_need(g, n, 0, 2, 2) || !kit_need(g, n, 1, 2, 2)) return false;
    value_id d = kit_build2(
        g, n, "Sub", kit_build2(g, n, "Unsqueeze", graph_input(g, n, 0), kit_ints(g, &rows, 1)),
        kit_build2(g, n, "Unsqueeze", graph_input(g, n, 1), kit_ints(g, &columns, 1)));
    value_id inputs[] = {kit_build2(g, n, "Mul", d, d), kit_ints(g, &last, 1)};
    value_id sum = kit_build(g, n, "ReduceSum", 2, inputs, 1, &keep);
    return spell_result(g, n, root ? kit_build1(g, n, "Sqrt", sum) : sum);
}

/* Real and imaginary parts stand on the last axis. */
static bool expand_complex_mul(graph *g, node_id n) {
    bool conjugate = strcmp(graph_node(g, n)->op->name, "ComplexMulConj") == 0;
    attr parts[] = {attr_int("axis", -1), attr_int("num_outputs", 2)};
    value_id a = graph_input(g, n, 0), b = graph_input(g, n, 1), x[2], y[2];
    if (!spell_node(g, n, "Split", 1, &a, 2, parts, 2, x) ||
        !spell_node(g, n, "Split", 1, &b, 2, parts, 2, y))
        return false;
    value_id made[] = {
        kit_build2(g, n, conjugate ? "Add" : "Sub", kit_build2(g, n, "Mul", x[0], y[0]),
                   kit_build2(g, n, "Mul", x[1], y[1])),
        kit_build2(g, n, conjugate ? "Sub" : "Add", kit_build2(g, n, "Mul", x[1], y[0]),
                   kit_build2(g, n, "Mul", x[0], y[1]))};
    return spell_result(g, n, spell_concat(g, n, -1, 2, made));
}

/* ---- words ---- */

/* The convolution over the letters of each word, at its largest. Letters are positive; a word of
 * fewer than the window has is looked at once. */
static bool expand_word_conv(graph *g, node_id n) {
    enum { SEQUENCE, FILTERS, BIAS, TABLE };
    const int64_t channel = 1, letters = 1, windows = 2, of_window[] = {1, 3};
    attr drop = attr_int("keepdims", 0), keep = attr_int("keepdims", 1);
    int64_t width;
    value_id words = graph_input(g, n, SEQUENCE);
    if (!kit_need(g, n, SEQUENCE, 2, 2) || !kit_need(g, n, FILTERS, 4, 4)) return false;
    if (!dim_is_const(g->dims, kit_input(g, n, FILTERS)->dims[2], &width))
        return op_error(g, n, NULL, "the window must be a constant");
    value_id x = kit_build2(g, n, "Gather", graph_input(g, n, TABLE), words);
    value_id conv[] = {kit_build2(g, n, "Unsqueeze", x, kit_ints(g, &channel, 1)),
                       graph_input(g, n, FILTERS), graph_input(g, n, BIAS)};
    value_id y = kit_build1(g, n, "Tanh", kit_build(g, n, "Conv", 3, conv, 0, NULL));
    value_id used = kit_build2(g, n, "Greater", words, spell_number(g, DTYPE_I32, 0));
    value_id sum[] = {kit_build_cast(g, n, used, DTYPE_I64), kit_ints(g, &letters, 1)};
    value_id length = kit_build(g, n, "ReduceSum", 2, sum, 1, &keep);
    value_id last = kit_build2(g, n, "Sub", length, spell_number(g, DTYPE_I64, (double)width));
    last = kit_build2(g, n, "Max", last, spell_number(g, DTYPE_I64, 0));
    if (!y || !last) return false;
    value_id at = spell_range(g, n, y, 2);
    value_id inside = kit_build2(g, n, "LessOrEqual", at, last);
    value_id choice[] = {kit_build2(g, n, "Unsqueeze", inside, kit_ints(g, of_window, 2)), y,
                         spell_number(g, DTYPE_F32, -INFINITY)};
    value_id all[] = {kit_build(g, n, "Where", 3, choice, 0, NULL), kit_ints(g, &windows, 1)};
    value_id best = kit_build(g, n, "ReduceMax", 2, all, 1, &drop);
    const int64_t flat[] = {0, -1};
    return spell_result(g, n, best ? kit_build_reshape(g, n, best, flat, 2) : 0);
}

/* Tokens that would repeat an n-gram of their row get the score -inf: those that followed an
 * occurrence of its last size - 1 tokens. In front of the row stand tokens that there are not. */
static bool expand_ngram(graph *g, node_id n) {
    enum { MOST = 64 };
    int64_t size = node_attr_int(graph_node(g, n), "ngram_size", 0);
    value_id ids = graph_input(g, n, 0);
    if (size < 1 || size > MOST)
        return op_error(g, n, NULL, "attribute ngram_size is not in [1, %d]", MOST);
    if (!kit_need(g, n, 0, 2, 2) || !kit_need(g, n, 1, 2, 2)) return false;
    int64_t front[] = {0, size - 1, 0, 0};
    value_id pad[] = {ids, kit_ints(g, front, 4), spell_number(g, DTYPE_I64, -1)};
    value_id row = kit_build(g, n, "Pad", 3, pad, 0, NULL);
    value_id match = kit_build2(g, n, "Equal", ids, ids);
    for (int64_t i = 0; i < size - 1; i++) {
        value_id window = kit_build_slice(g, n, row, 1, i, i - (size - 1));
        value_id end = kit_build_slice(g, n, row, 1, i - (size - 1),
                                       i == size - 2 ? INT64_MAX : i - (size - 2));
        if (!i) match = kit_build2(g, n, "GreaterOrEqual", window, spell_number(g, DTYPE_I64, 0));
        match = kit_build2(g, n, "And", match, kit_build2(g, n, "Equal", window, end));
    }
    value_id choice[] = {match, spell_number(g, DTYPE_F32, -INFINITY),
                         spell_number(g, DTYPE_F32, INFINITY)};
    value_id inputs[] = {graph_input(g, n, 1), ids, kit_build(g, n, "Where", 3, choice, 0, NULL)};
    attr attrs[] = {attr_int("axis", 1), attr_string("reduction", "min")};
    return spell_result(g, n, kit_build(g, n, "ScatterElements", 3, inputs, 2, attrs));
}

/* ---- Inverse ---- */

static bool infer_inverse(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    if (!kit_agree(g, n, x.dims[x.rank - 2], x.dims[x.rank - 1], "rows and columns")) return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, x.dims));
    return true;
}

/* Half precision by way of single. */
static bool expand_inverse(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0);
    dtype t = graph_type(g, x)->dtype;
    if (dtype_bits(t) >= 32) return false;
    x = kit_build_cast(g, n, x, DTYPE_F32);
    value_id y = spell_value(g, n, SPELL_DOMAIN ".Inverse", 1, &x, 0, NULL);
    return spell_result(g, n, kit_build_cast(g, n, y, t));
}

static dim scratch_inverse(graph *g, node_id n) {
    const type x = *kit_input(g, n, 0);
    dim size = x.dims[x.rank - 1];
    return dim_mul(g->dims, dim_mul(g->dims, size, size), kit_dim(g, 2 * sizeof(double)));
}

const op_def ops_contrib_other[] = {
    SPELL_ROW("Trilu", expand_same),
    SPELL_ROW("GatherND", expand_gather_nd),
    SPELL_ROW("TorchEmbedding", expand_embedding),
    SPELL_ROW("GridSample", expand_grid_sample),
    SPELL_ROW("Range", expand_range),
    SPELL_ROW("Pad", expand_pad),
    SPELL_ROW("ExpandDims", expand_expand_dims),
    SPELL_ROW("Unique", expand_unique),
    SPELL_ROW("UnfoldTensor", expand_unfold),
    SPELL_ROW("CDist", expand_distance),
    SPELL_ROW("ComplexMul", expand_complex_mul),
    SPELL_ROW("ComplexMulConj", expand_complex_mul),
    SPELL_ROW("WordConvEmbedding", expand_word_conv),
    SPELL_ROW("NGramRepeatBlock", expand_ngram),
    {.domain = SPELL_DOMAIN,
     .name = "Inverse",
     .infer = infer_inverse,
     .expand = expand_inverse,
     .call = "inverse",
     .scratch = scratch_inverse},
};
const size_t ops_contrib_other_count = sizeof ops_contrib_other / sizeof *ops_contrib_other;
