/* roi.c: pooling of regions of interest: MaxRoiPool, RoiAlign and ONNX
 * Runtime's CropAndResize. Where a region lies only the data
 * say: the number of samples in a bin is a value, and the loops over them are as long as it. */
#include "ir/ops/sample.h"
#include "ir/ops/spell.h"

#include <string.h>

/* The most samples along one axis of a bin: a region may lie about its size. */
enum { MAX_SAMPLES = 4096 };

/* Local numbers of one bin. */
static loop_expr keep(lower *l, const char *stem, loop_expr e) {
    loop_buf b = kit_scalar(l, stem, loop_type(lower_kernel(l), e));
    lower_assign(l, b, NULL, e);
    return lower_value(l, b, NULL);
}

static loop_expr f32(lower *l, double v) {
    return loop_const(lower_kernel(l), DTYPE_F32, v);
}

static loop_expr to_i64(lower *l, loop_expr e) {
    return loop_cast(lower_kernel(l), DTYPE_I64, e);
}

/* Element `column` of region `n`. */
static loop_expr roi_number(lower *l, value_id rois, loop_expr n, int column) {
    loop_expr at[] = {n, loop_int(lower_kernel(l), column)};
    return kit_read(l, DTYPE_F32, rois, at);
}

/* ---- MaxRoiPool ---- */

static bool infer_max_roi_pool(graph *g, node_id n) {
    int64_t shape[2];
    size_t count;
    if (!kit_need(g, n, 0, 4, 4) || !kit_need(g, n, 1, 2, 2)) return false;
    if (!node_attr_ints(graph_node(g, n), "pooled_shape", &count) || !count)
        return op_error(g, n, NULL, "attribute pooled_shape is missing");
    if (!kit_positive_ints(g, n, "pooled_shape", 2, shape)) return false;
    const type x = *kit_input(g, n, 0), rois = *kit_input(g, n, 1);
    if (!kit_agree(g, n, rois.dims[1], kit_dim(g, 5), "columns of the regions")) return false;
    dim dims[] = {rois.dims[0], x.dims[1], kit_dim(g, shape[0]), kit_dim(g, shape[1])};
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

/* To the nearest whole number, halves away from zero: as C's round. */
static loop_expr round_away(lower *l, loop_expr e) {
    return loop_formula(lower_kernel(l), "select(e < 0, ceil(e - 0.5), floor(e + 0.5))", DTYPE_F32,
                        (const loop_binding[]){{"e", e}}, 1);
}

/* The first position of a bin and the one behind its last, kept inside of the image. */
static void bin_range(lower *l, loop_expr start, loop_expr size, loop_expr bin, loop_expr extent,
                      loop_expr *first, loop_expr *end) {
    loop_kernel *k = lower_kernel(l);
    loop_expr at = loop_cast(k, DTYPE_F32, bin), next = loop_add(k, at, f32(l, 1));
    loop_expr zero = loop_int(k, 0), offset = to_i64(l, start);
    loop_expr low = to_i64(l, kit_op1(l, LOOP_FLOOR, loop_mul(k, at, size)));
    loop_expr high = to_i64(l, kit_op1(l, LOOP_CEIL, loop_mul(k, next, size)));
    *first = keep(l, "first", loop_max(k, zero, loop_min(k, extent, loop_add(k, low, offset))));
    *end = keep(l, "end", loop_max(k, zero, loop_min(k, extent, loop_add(k, high, offset))));
}

static void nest_max_roi_pool(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], rois = nd.inputs[1], y = nd.outputs[0];
    dtype t = lower_type(l, x)->dtype;
    loop_expr scale = f32(l, node_attr_float(&nd, "spatial_scale", 1));
    loop_expr index[4], first[2], end[2], at[4];
    lower_loops(l, y, index);
    for (int i = 0; i < 2; i++) {
        loop_expr low = roi_number(l, rois, index[0], 2 - i);
        loop_expr high = roi_number(l, rois, index[0], 4 - i);
        low = round_away(l, loop_mul(k, low, scale));
        high = round_away(l, loop_mul(k, high, scale));
        loop_expr size = loop_max(k, loop_add(k, loop_sub(k, high, low), f32(l, 1)), f32(l, 1));
        size = kit_op2(l, LOOP_DIV, size, loop_cast(k, DTYPE_F32, lower_dim(l, y, i + 2)));
        bin_range(l, low, size, index[i + 2], lower_dim(l, x, i + 2), &first[i], &end[i]);
    }
    loop_buf acc = kit_scalar(l, "acc", t);
    lower_assign(l, acc, NULL, kit_lowest(l, t));
    at[0] = sample_clamp(l, to_i64(l, roi_number(l, rois, index[0], 0)), lower_dim(l, x, 0));
    at[1] = index[1];
    for (int i = 0; i < 2; i++) {
        loop_expr step = lower_begin(l, LOOP_REDUCE, "r", loop_sub(k, end[i], first[i]));
        at[i + 2] = sample_clamp(l, loop_add(k, first[i], step), lower_dim(l, x, i + 2));
    }
    lower_accumulate(l, acc, LOOP_MAX, lower_read(l, x, at));
    kit_end(l, 2);
    loop_expr empty = kit_op2(l, LOOP_OR, kit_op2(l, LOOP_LE, end[0], first[0]),
                              kit_op2(l, LOOP_LE, end[1], first[1]));
    lower_write(l, y, index, loop_select(k, empty, loop_const(k, t, 0), lower_value(l, acc, NULL)));
    lower_end_loops(l);
}

/* ---- RoiAlign ---- */

static bool infer_roi_align(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (!kit_need(g, n, 0, 4, 4) || !kit_need(g, n, 1, 2, 2) || !kit_need(g, n, 2, 1, 1))
        return false;
    int64_t height = node_attr_int(&nd, "output_height", 1);
    int64_t width = node_attr_int(&nd, "output_width", 1);
    int64_t ratio = node_attr_int(&nd, "sampling_ratio", 0);
    const char *mode = node_attr_string(&nd, "mode", "avg");
    const char *coordinates = node_attr_string(&nd, "coordinate_transformation_mode", "half_pixel");
    if (height < 1 || height > INT32_MAX || width < 1 || width > INT32_MAX || ratio < 0 ||
        ratio > INT32_MAX)
        return op_error(g, n, NULL,
                        "attributes output_height, output_width and sampling_ratio must be "
                        "positive and below 2^31");
    if (strcmp(mode, "avg") != 0 && strcmp(mode, "max") != 0)
        return op_error(g, n, NULL, "attribute mode is \"%s\"", mode);
    if (strcmp(coordinates, "half_pixel") != 0 && strcmp(coordinates, "output_half_pixel") != 0)
        return op_error(g, n, NULL, "attribute coordinate_transformation_mode is \"%s\"",
                        coordinates);
    const type x = *kit_input(g, n, 0), rois = *kit_input(g, n, 1);
    if (!kit_agree(g, n, rois.dims[1], kit_dim(g, 4), "columns of the regions") ||
        !kit_vector(g, n, 2, rois.dims[0], "the batch indices"))
        return false;
    dim dims[] = {rois.dims[0], x.dims[1], kit_dim(g, height), kit_dim(g, width)};
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

/* Along one axis of a bin: where it begins, how large it is, how many samples it has. */
typedef struct {
    loop_expr begin, size, samples;
} align_bin;

static align_bin read_bin(lower *l, node_id n, int axis, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    value_id rois = nd.inputs[1];
    const char *mode = node_attr_string(&nd, "coordinate_transformation_mode", "half_pixel");
    bool half = strcmp(mode, "half_pixel") == 0;
    int64_t ratio = node_attr_int(&nd, "sampling_ratio", 0);
    loop_expr scale = f32(l, node_attr_float(&nd, "spatial_scale", 1));
    loop_expr shift = f32(l, half ? 0.5 : 0);
    loop_expr start =
        loop_sub(k, loop_mul(k, roi_number(l, rois, index[0], 1 - axis), scale), shift);
    loop_expr end = loop_sub(k, loop_mul(k, roi_number(l, rois, index[0], 3 - axis), scale), shift);
    loop_expr size = loop_sub(k, end, start);
    if (!half) size = loop_max(k, size, f32(l, 1));
    loop_expr bins = loop_cast(k, DTYPE_F32, lower_dim(l, nd.outputs[0], axis + 2));
    align_bin b;
    b.size = keep(l, "size", kit_op2(l, LOOP_DIV, size, bins));
    b.begin =
        keep(l, "begin",
             loop_add(k, start, loop_mul(k, loop_cast(k, DTYPE_F32, index[axis + 2]), b.size)));
    b.samples =
        ratio ? loop_int(k, ratio) : keep(l, "samples", to_i64(l, kit_op1(l, LOOP_CEIL, b.size)));
    return b;
}

/* The taps of sample `step` of a bin. Outside of the image by more than one they weigh nothing. */
static sample_taps bin_taps(lower *l, const align_bin *b, loop_expr step, loop_expr extent) {
    loop_kernel *k = lower_kernel(l);
    loop_expr part = loop_add(k, loop_cast(k, DTYPE_F32, step), f32(l, 0.5));
    part = kit_op2(l, LOOP_DIV, loop_mul(k, part, b->size), loop_cast(k, DTYPE_F32, b->samples));
    loop_expr at = loop_add(k, b->begin, part), size = loop_cast(k, DTYPE_F32, extent);
    loop_expr inside =
        loop_and(k, kit_op2(l, LOOP_LE, f32(l, -1), at), kit_op2(l, LOOP_LE, at, size));
    loop_expr last = loop_sub(k, size, f32(l, 1));
    sample_taps taps = sample_linear(l, loop_min(k, loop_max(k, at, f32(l, 0)), last));
    for (int i = 0; i < taps.count; i++) {
        taps.at[i] = sample_clamp(l, taps.at[i], extent);
        taps.weight[i] = loop_select(k, inside, taps.weight[i], f32(l, 0));
    }
    return taps;
}

/* The four weighted neighbours, added, or (as the standard's mode max has it) the largest. */
static loop_expr combine(lower *l, value_id x, const sample_taps *rows, const sample_taps *columns,
                         loop_expr *at, loop_op op) {
    loop_kernel *k = lower_kernel(l);
    loop_expr all = 0;
    for (int i = 0; i < rows->count; i++)
        for (int j = 0; j < columns->count; j++) {
            at[2] = rows->at[i];
            at[3] = columns->at[j];
            loop_expr e = loop_mul(k, loop_mul(k, rows->weight[i], columns->weight[j]),
                                   kit_read(l, DTYPE_F32, x, at));
            all = all ? kit_op2(l, op, all, e) : e;
        }
    return all;
}

static void nest_roi_align(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], y = nd.outputs[0];
    bool average = strcmp(node_attr_string(&nd, "mode", "avg"), "avg") == 0;
    loop_expr index[4], at[4];
    align_bin bins[2];
    sample_taps taps[2];
    lower_loops(l, y, index);
    for (int i = 0; i < 2; i++) bins[i] = read_bin(l, n, i, index);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_F32);
    lower_assign(l, acc, NULL, average ? f32(l, 0) : kit_lowest(l, DTYPE_F32));
    loop_expr batch = to_i64(l, lower_read(l, nd.inputs[2], &index[0]));
    at[0] = sample_clamp(l, batch, lower_dim(l, x, 0));
    at[1] = index[1];
    for (int i = 0; i < 2; i++) {
        loop_expr step = lower_begin(l, LOOP_REDUCE, "r", bins[i].samples);
        taps[i] = bin_taps(l, &bins[i], step, lower_dim(l, x, i + 2));
    }
    lower_accumulate(l, acc, average ? LOOP_ADD : LOOP_MAX,
                     combine(l, x, &taps[0], &taps[1], at, average ? LOOP_ADD : LOOP_MAX));
    kit_end(l, 2);
    loop_expr count = loop_mul(k, bins[0].samples, bins[1].samples), r = lower_value(l, acc, NULL);
    if (average)
        r = kit_op2(l, LOOP_DIV, r, loop_cast(k, DTYPE_F32, loop_max(k, count, loop_int(k, 1))));
    else
        r = loop_select(k, kit_op2(l, LOOP_LE, count, loop_int(k, 0)), f32(l, 0), r);
    lower_write(l, y, index, r);
    lower_end_loops(l);
}

/* ---- CropAndResize: regions in parts of the image, their corners at the crop's ---- */

enum { CROP_X, CROP_ROIS, CROP_BATCH, CROP_SIZE };

static bool infer_crop(graph *g, node_id n) {
    const int64_t *size;
    size_t count;
    const char *mode = node_attr_string(graph_node(g, n), "mode", "bilinear");
    if (!kit_need(g, n, CROP_X, 4, 4) || !kit_need(g, n, CROP_ROIS, 2, 2)) return false;
    if (strcmp(mode, "bilinear") != 0 && strcmp(mode, "nearest") != 0)
        return op_error(g, n, NULL, "attribute mode is \"%s\"", mode);
    if (!op_const_ints(g, n, CROP_SIZE, NULL, &size, &count))
        return op_error(g, n, "make it an initializer", "input crop_size is not a constant");
    if (count != 2 || size[0] < 1 || size[1] < 1)
        return op_error(g, n, NULL, "input crop_size is not two positive numbers");
    const type x = *kit_input(g, n, CROP_X), rois = *kit_input(g, n, CROP_ROIS);
    if (!kit_agree(g, n, rois.dims[1], kit_dim(g, 4), "columns of the regions") ||
        !kit_vector(g, n, CROP_BATCH, rois.dims[0], "the batch indices"))
        return false;
    dim dims[] = {rois.dims[0], x.dims[1], kit_dim(g, size[0]), kit_dim(g, size[1])};
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, dims));
    return true;
}

/* Where along an axis of the image the crop's `at`-th row or column lies. */
static loop_expr crop_position(lower *l, node_id n, int axis, const loop_expr *index) {
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    value_id rois = nd.inputs[CROP_ROIS];
    loop_expr start = roi_number(l, rois, index[0], axis);
    loop_expr end = roi_number(l, rois, index[0], axis + 2);
    loop_expr one = f32(l, 1), steps = lower_dim(l, nd.outputs[0], axis + 2);
    loop_expr last = loop_cast(k, DTYPE_F32, lower_dim(l, nd.inputs[CROP_X], axis + 2));
    last = loop_sub(k, last, one);
    steps = loop_sub(k, loop_cast(k, DTYPE_F32, steps), one);
    loop_expr step =
        kit_op2(l, LOOP_DIV, loop_mul(k, loop_sub(k, end, start), last), loop_max(k, steps, one));
    loop_expr at = loop_mul(k, loop_cast(k, DTYPE_F32, index[axis + 2]), step);
    at = loop_add(k, loop_mul(k, start, last), at);
    loop_expr middle = loop_mul(k, loop_mul(k, loop_add(k, start, end), last), f32(l, 0.5));
    return loop_select(k, kit_op2(l, LOOP_LT, steps, one), middle, at);
}

static loop_expr element_crop(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(lower_graph(l), n);
    value_id x = nd.inputs[CROP_X];
    dtype t = lower_type(l, x)->dtype;
    bool nearest = strcmp(node_attr_string(&nd, "mode", "bilinear"), "nearest") == 0;
    loop_expr batch = to_i64(l, lower_read(l, nd.inputs[CROP_BATCH], index)), inside = 0;
    loop_expr at[] = {kit_check_index(l, batch, lower_dim(l, x, 0)), index[1], 0, 0};
    sample_taps taps[2];
    for (int i = 0; i < 2; i++) {
        loop_expr p = crop_position(l, n, i, index), extent = lower_dim(l, x, i + 2);
        loop_expr last = loop_sub(k, loop_cast(k, DTYPE_F32, extent), f32(l, 1));
        loop_expr in = loop_and(k, kit_op2(l, LOOP_LE, f32(l, 0), p), kit_op2(l, LOOP_LE, p, last));
        inside = i ? loop_and(k, inside, in) : in;
        p = loop_min(k, loop_max(k, p, f32(l, 0)), last);
        taps[i] = sample_linear(l, nearest ? round_away(l, p) : p);
        for (int j = 0; j < taps[i].count; j++)
            taps[i].at[j] = sample_clamp(l, taps[i].at[j], extent);
    }
    loop_expr outside = f32(l, node_attr_float(&nd, "extrapolation_value", 0));
    loop_expr e = combine(l, x, &taps[0], &taps[1], at, LOOP_ADD);
    return loop_cast(k, t, loop_select(k, inside, e, outside));
}

const op_def ops_roi[] = {
    {.domain = "",
     .name = "MaxRoiPool",
     .flags = OP_ANCHOR,
     .infer = infer_max_roi_pool,
     .nest = nest_max_roi_pool},
    {.domain = "",
     .name = "RoiAlign",
     .flags = OP_ANCHOR,
     .infer = infer_roi_align,
     .nest = nest_roi_align},
    {.domain = SPELL_DOMAIN, .name = "CropAndResize", .infer = infer_crop, .element = element_crop},
};
const size_t ops_roi_count = sizeof ops_roi / sizeof *ops_roi;
