/* contrib_bits.c: weights of a few bits, several in a byte, with a scale for each block of them:
 * MatMulNBits, MatMulBnb4 and GatherBlockQuantized. They are unpacked and scaled, then multiplied
 * or gathered; where they are constants, the first part happens at compile time. */
#include "ir/ops/spell.h"

/* The elements of the bytes in v, the lowest bits first, along a new axis at the end. */
static value_id unpack_bytes(graph *g, node_id n, value_id v, int64_t bits) {
    enum { MOST = 4 };
    const int64_t end = -1;
    value_id parts[MOST];
    attr right = attr_string("direction", "RIGHT");
    for (int64_t i = 0; i < 8 / bits; i++) {
        value_id inputs[] = {v, spell_number(g, DTYPE_U8, (double)(i * bits))};
        value_id part = kit_build(g, n, "BitShift", 2, inputs, 1, &right);
        part = kit_build2(g, n, "BitwiseAnd", part,
                          spell_number(g, DTYPE_U8, (double)((1 << bits) - 1)));
        parts[i] = kit_build2(g, n, "Unsqueeze", part, kit_ints(g, &end, 1));
    }
    return spell_concat(g, n, -1, (uint32_t)(8 / bits), parts);
}

/* Elements of 2, 4 or 8 bits as a tensor of bytes of this shape. */
static value_id unpacked(graph *g, node_id n, value_id v, int64_t bits, const int64_t *shape,
                         int64_t rank) {
    if (bits != 8) v = unpack_bytes(g, n, v, bits);
    return kit_build_reshape(g, n, v, shape, rank);
}

static bool check_bits(graph *g, node_id n, int64_t bits) {
    return bits == 2 || bits == 4 || bits == 8 ||
           op_error(g, n, NULL, "%lld bits are not supported, only 2, 4 and 8", (long long)bits);
}

/* ---- MatMulNBits ---- */

enum { NB_A, NB_B, NB_SCALES, NB_ZEROS, NB_GROUPS, NB_BIAS };

typedef struct {
    int64_t k, n, bits, block, blocks;
} nbits;

static bool read_nbits(graph *g, node_id n, nbits *s) {
    const node nd = *graph_node(g, n);
    *s = (nbits){.k = node_attr_int(&nd, "K", 0),
                 .n = node_attr_int(&nd, "N", 0),
                 .bits = node_attr_int(&nd, "bits", 4),
                 .block = node_attr_int(&nd, "block_size", 0)};
    if (s->k < 1 || s->n < 1 || s->block < 1 || s->k > INT32_MAX || s->n > INT32_MAX ||
        s->block > INT32_MAX || s->block % 8)
        return op_error(g, n, NULL, "attributes K, N and block_size make no sense");
    if (node_attr_int(&nd, "weight_prepacked", 0))
        return op_error(g, n, "give the model as its exporter wrote it",
                        "weights that are packed for a device are not supported");
    if (graph_input(g, n, NB_GROUPS))
        return op_error(g, n, NULL, "the input g_idx is not supported");
    s->blocks = (s->k + s->block - 1) / s->block;
    return check_bits(g, n, s->bits);
}

/* Zero points [n, blocks, 1] as numbers: packed like the weights, or numbers already. */
static value_id zero_points(graph *g, node_id n, const nbits *s) {
    value_id v = graph_input(g, n, NB_ZEROS);
    int64_t each = 8 / s->bits, bytes = (s->blocks + each - 1) / each;
    int64_t wide[] = {s->n, bytes * each}, shape[] = {s->n, s->blocks, 1};
    if (!v) return spell_number(g, DTYPE_F32, (double)(1 << (s->bits - 1)));
    if (graph_type(g, v)->dtype == DTYPE_U8) {
        v = unpacked(g, n, v, s->bits, wide, 2);
        if (wide[1] != s->blocks) v = kit_build_slice(g, n, v, 1, 0, s->blocks);
    }
    return kit_build_cast(g, n, kit_build_reshape(g, n, v, shape, 3), DTYPE_F32);
}

/* (weight - zero point) * scale, as [n, k]. */
static value_id weights(graph *g, node_id n, const nbits *s) {
    int64_t blocks[] = {s->n, s->blocks, s->block}, one[] = {s->n, s->blocks, 1};
    int64_t rows[] = {s->n, s->blocks * s->block};
    value_id w = unpacked(g, n, graph_input(g, n, NB_B), s->bits, blocks, 3);
    w = kit_build2(g, n, "Sub", kit_build_cast(g, n, w, DTYPE_F32), zero_points(g, n, s));
    value_id scales = kit_build_reshape(g, n, graph_input(g, n, NB_SCALES), one, 3);
    w = kit_build2(g, n, "Mul", w, kit_build_cast(g, n, scales, DTYPE_F32));
    w = kit_build_reshape(g, n, w, rows, 2);
    return rows[1] == s->k ? w : kit_build_slice(g, n, w, 1, 0, s->k);
}

static bool expand_matmul_nbits(graph *g, node_id n) {
    nbits s;
    if (!read_nbits(g, n, &s)) return false;
    dtype t = kit_input(g, n, NB_A)->dtype;
    value_id a = kit_build_cast(g, n, graph_input(g, n, NB_A), DTYPE_F32);
    value_id y = kit_build2(g, n, "MatMul", a, spell_transposed(g, n, weights(g, n, &s)));
    y = spell_sum(g, n, y, kit_build_cast(g, n, graph_input(g, n, NB_BIAS), DTYPE_F32));
    return spell_result(g, n, kit_build_cast(g, n, y, t));
}

/* ---- MatMulBnb4: each half of a byte, the upper first, names one of 16 numbers ---- */

static const float small_floats[] = {
    0.0f,  5.208333333e-03f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    -0.0f, -5.208333333e-03f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
/* Quantiles of the normal distribution, scaled to [-1, 1]. */
static const float quantiles[] = {-1.0f,        -0.6961928f,  -0.52507305f, -0.39491749f,
                                  -0.28444138f, -0.18477343f, -0.09105004f, 0.0f,
                                  0.0795803f,   0.1609302f,   0.2461123f,   0.33791524f,
                                  0.44070983f,  0.562617f,    0.72295684f,  1.0f};

/* The numbers that the bytes v name, in order. */
static value_id look_up(graph *g, node_id n, value_id v, const float *table) {
    enum { HALF = 4, SIZE = 16 };
    const int64_t end = -1, flat = -1;
    dim size = kit_dim(g, SIZE);
    blob data = {.data = (const unsigned char *)table, .bytes = SIZE * sizeof *table};
    attr right = attr_string("direction", "RIGHT");
    value_id shift[] = {v, spell_number(g, DTYPE_U8, HALF)};
    value_id halves[] = {kit_build(g, n, "BitShift", 2, shift, 1, &right),
                         kit_build2(g, n, "BitwiseAnd", v, spell_number(g, DTYPE_U8, SIZE - 1))};
    for (int i = 0; i < 2; i++)
        halves[i] = kit_build2(g, n, "Unsqueeze", halves[i], kit_ints(g, &end, 1));
    value_id at = kit_build_reshape(g, n, spell_concat(g, n, -1, 2, halves), &flat, 1);
    value_id numbers = graph_add_constant(g, NULL, type_tensor(DTYPE_F32, 1, &size), data);
    return kit_build2(g, n, "Gather", numbers, kit_build_cast(g, n, at, DTYPE_I32));
}

static bool expand_matmul_bnb4(graph *g, node_id n) {
    enum { A, B, ABSMAX };
    const node nd = *graph_node(g, n);
    int64_t k = node_attr_int(&nd, "K", 0), columns = node_attr_int(&nd, "N", 0);
    int64_t block = node_attr_int(&nd, "block_size", 0), kind = node_attr_int(&nd, "quant_type", 0);
    if (k < 1 || columns < 1 || block < 2 || k > INT32_MAX || columns > INT32_MAX ||
        block > INT32_MAX || block % 2 || kind < 0 || kind > 1)
        return op_error(g, n, NULL, "attributes K, N, block_size and quant_type make no sense");
    int64_t count = k * columns, blocks = (count + block - 1) / block;
    int64_t split[] = {blocks, block}, one[] = {blocks, 1}, shape[] = {columns, k}, row = -1;
    int64_t pads[] = {0, blocks * block - count};
    value_id w = look_up(g, n, nd.inputs[B], kind ? quantiles : small_floats);
    if (count % 2) w = kit_build_slice(g, n, w, 0, 0, count);
    if (pads[1]) w = w ? kit_build2(g, n, "Pad", w, kit_ints(g, pads, 2)) : 0;
    value_id scales = kit_build_cast(g, n, nd.inputs[ABSMAX], DTYPE_F32);
    w = kit_build2(g, n, "Mul", kit_build_reshape(g, n, w, split, 2),
                   kit_build_reshape(g, n, scales, one, 2));
    w = kit_build_reshape(g, n, w, &row, 1);
    if (pads[1]) w = kit_build_slice(g, n, w, 0, 0, count);
    w = kit_build_reshape(g, n, w, shape, 2);
    if (node_attr_int(&nd, "transB", 1)) w = spell_transposed(g, n, w);
    dtype t = kit_input(g, n, A)->dtype;
    value_id y = kit_build2(g, n, "MatMul", kit_build_cast(g, n, nd.inputs[A], DTYPE_F32), w);
    return spell_result(g, n, kit_build_cast(g, n, y, t));
}

/* ---- GatherBlockQuantized: data, scales and zero points are gathered alike, then scaled ---- */

enum { GB_DATA, GB_INDICES, GB_SCALES, GB_ZEROS };

/* The data, or the zero points, as one element a byte: those of bytes are packed along the last
 * axis. */
static value_id one_a_byte(graph *g, node_id n, value_id v, int64_t bits) {
    if (!v || graph_type(g, v)->dtype != DTYPE_U8 || bits == 8) return v;
    int64_t shape[TENSOR_MAX_RANK];
    int rank = graph_type(g, v)->rank;
    for (int i = 0; i < rank; i++) shape[i] = i < rank - 1 ? 0 : -1;
    return unpacked(g, n, v, bits, shape, rank);
}

static bool expand_gather_quantized(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type t = *graph_type(g, nd.inputs[GB_DATA]);
    int64_t bits = node_attr_int(&nd, "bits", 4), block = node_attr_int(&nd, "block_size", 128);
    int gather, quantize;
    if (!op_axis(g, n, node_attr_int(&nd, "gather_axis", 0), t.rank, &gather) ||
        !op_axis(g, n, node_attr_int(&nd, "quantize_axis", 1), t.rank, &quantize))
        return false;
    bool bytes = t.dtype == DTYPE_U8;
    if ((bytes && !check_bits(g, n, bits)) || block < 1)
        return block > 0 ? false : op_error(g, n, NULL, "attribute block_size must be positive");
    if (gather == quantize)
        return op_error(g, n, NULL, "gathering along the axis of the blocks is not supported");
    value_id parts[] = {one_a_byte(g, n, nd.inputs[GB_DATA], bits), nd.inputs[GB_SCALES],
                        one_a_byte(g, n, graph_input(g, n, GB_ZEROS), bits)};
    attr axis = attr_int("axis", gather);
    int moved = quantize > gather ? graph_type(g, nd.inputs[GB_INDICES])->rank - 1 : 0;
    for (int i = 0; i < 3; i++) {
        value_id inputs[] = {parts[i], nd.inputs[GB_INDICES]};
        if (parts[i]) parts[i] = kit_build(g, n, "Gather", 2, inputs, 1, &axis);
        if (!parts[i] && i < 2) return false;
    }
    value_id x = parts[0];
    if (bytes && !parts[2]) {
        /* Without zero points the middle of the range is zero. */
        x = kit_build_cast(g, n, x, DTYPE_I32);
        x = kit_build2(g, n, "Sub", x, spell_number(g, DTYPE_I32, (double)(1 << (bits - 1))));
    }
    attr attrs[] = {attr_int("axis", quantize + moved), attr_int("block_size", block)};
    value_id inputs[] = {x, parts[1], parts[2]};
    return spell_result(g, n, spell_value(g, n, "DequantizeLinear", 3, inputs, 2, attrs));
}

const op_def ops_contrib_bits[] = {
    SPELL_ROW("MatMulNBits", expand_matmul_nbits),
    SPELL_ROW("MatMulBnb4", expand_matmul_bnb4),
    SPELL_ROW("GatherBlockQuantized", expand_gather_quantized),
};
const size_t ops_contrib_bits_count = sizeof ops_contrib_bits / sizeof *ops_contrib_bits;
