/* resize.c: Resize: nearest, linear and cubic interpolation over any axes, in every coordinate
 * mode. With antialias it becomes one internal operator an axis. Formulas are those of the
 * standard; coordinates are computed in f64, because rounding them decides which element is
 * nearest. */
#include "ir/ops/sample.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { IN_X, IN_ROI, IN_SCALES, IN_SIZES };

typedef enum { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC } resize_mode;

typedef enum {
    COORD_HALF_PIXEL,
    COORD_HALF_PIXEL_SYMMETRIC,
    COORD_PYTORCH,
    COORD_ALIGN_CORNERS,
    COORD_ASYMMETRIC,
    COORD_CROP
} coordinate_mode;

typedef enum { ROUND_DOWN_HALF, ROUND_UP_HALF, ROUND_FLOOR, ROUND_CEIL } nearest_mode;

typedef enum { POLICY_STRETCH, POLICY_NOT_LARGER, POLICY_NOT_SMALLER } aspect_policy;

typedef struct {
    resize_mode mode;
    coordinate_mode coordinate;
    nearest_mode nearest;
    aspect_policy policy;
    double cubic_a, extrapolation;
    bool exclude_outside, antialias;
    int rank;
    int position[TENSOR_MAX_RANK]; /* of an axis in the lists of scales, sizes and roi; -1: kept */
    int listed;                    /* how many axes those lists have */
    value_id roi, scales, sizes;   /* 0 where absent or empty */
} resize;

/* ---- attributes ---- */

static bool pick(graph *g, node_id n, const char *attribute, const char *otherwise,
                 const char *const *names, int count, int *out) {
    const char *given = node_attr_string(graph_node(g, n), attribute, otherwise);
    for (int i = 0; i < count; i++)
        if (strcmp(given, names[i]) == 0) {
            *out = i;
            return true;
        }
    return op_error(g, n, NULL, "attribute %s is \"%s\"", attribute, given);
}

static bool read_modes(graph *g, node_id n, resize *r) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const coordinates[] = {"half_pixel",         "half_pixel_symmetric",
                                              "pytorch_half_pixel", "align_corners",
                                              "asymmetric",         "tf_crop_and_resize"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil"};
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    int mode = 0, coordinate = 0, round = 0, policy = 0;
    const node nd = *graph_node(g, n);
    if (!pick(g, n, "mode", modes[0], modes, 3, &mode) ||
        !pick(g, n, "coordinate_transformation_mode", coordinates[0], coordinates, 6,
              &coordinate) ||
        !pick(g, n, "nearest_mode", nearest[0], nearest, 4, &round) ||
        !pick(g, n, "keep_aspect_ratio_policy", policies[0], policies, 3, &policy))
        return false;
    r->mode = (resize_mode)mode;
    r->coordinate = (coordinate_mode)coordinate;
    r->nearest = (nearest_mode)round;
    r->policy = (aspect_policy)policy;
    r->cubic_a = node_attr_float(&nd, "cubic_coeff_a", -0.75);
    r->extrapolation = node_attr_float(&nd, "extrapolation_value", 0);
    r->exclude_outside = node_attr_int(&nd, "exclude_outside", 0) != 0;
    r->antialias = node_attr_int(&nd, "antialias", 0) != 0;
    return true;
}

/* A list input; 0 where it is left out or empty. */
static value_id list_input(graph *g, node_id n, uint32_t i) {
    const type *t = kit_input(g, n, i);
    if (!t || (t->rank == 1 && dim_equals_const(g->dims, t->dims[0], 0))) return 0;
    return graph_input(g, n, i);
}

static bool check_list(graph *g, node_id n, uint32_t i, int length, const char *what) {
    if (!list_input(g, n, i)) return true;
    return kit_need(g, n, i, 1, 1) && kit_vector(g, n, i, kit_dim(g, length), what);
}

static bool read_resize(graph *g, node_id n, resize *r) {
    *r = (resize){0};
    if (!kit_need(g, n, IN_X, 1, TENSOR_MAX_RANK) || !read_modes(g, n, r)) return false;
    r->rank = kit_input(g, n, IN_X)->rank;
    size_t count;
    const int64_t *axes = node_attr_ints(graph_node(g, n), "axes", &count);
    for (int i = 0; i < r->rank; i++) r->position[i] = axes && count ? -1 : i;
    r->listed = axes && count ? (int)count : r->rank;
    for (size_t i = 0; axes && i < count; i++) {
        int axis;
        if (!op_axis(g, n, axes[i], r->rank, &axis)) return false;
        if (r->position[axis] >= 0) return op_error(g, n, NULL, "attribute axes repeats an axis");
        r->position[axis] = (int)i;
    }
    r->roi = list_input(g, n, IN_ROI);
    r->scales = list_input(g, n, IN_SCALES);
    r->sizes = list_input(g, n, IN_SIZES);
    if (!r->scales == !r->sizes)
        return op_error(g, n, NULL, "there must be either scales or sizes");
    if (r->coordinate == COORD_CROP && !r->roi)
        return op_error(g, n, NULL, "mode tf_crop_and_resize needs the input roi");
    return check_list(g, n, IN_ROI, 2 * r->listed, "elements of roi") &&
           check_list(g, n, IN_SCALES, r->listed, "elements of scales") &&
           check_list(g, n, IN_SIZES, r->listed, "elements of sizes");
}

/* ---- shapes ---- */

/* The scale of an axis, where it is known. */
static bool known_scale(graph *g, const resize *r, int axis, double *scale) {
    const value *v = r->scales ? graph_value(g, r->scales) : NULL;
    *scale = 1;
    if (r->position[axis] < 0) return true;
    if (!v || !v->constant) return false;
    *scale = value_float(v, g->dims, (size_t)r->position[axis]);
    return true;
}

/* A scale as a fraction of small numbers: exporters mean 1/2 and 2/3, and write floats. */
static bool as_fraction(double scale, int64_t *top, int64_t *bottom) {
    enum { MAX_BOTTOM = 64 };
    for (*bottom = 1; *bottom <= MAX_BOTTOM; ++*bottom) {
        *top = (int64_t)floor(scale * (double)*bottom + 0.5);
        if (fabs((double)*top - scale * (double)*bottom) < 1e-6 * (double)*bottom) return true;
    }
    return false;
}

static bool scaled_dim(graph *g, node_id n, dim in, double scale, dim *out) {
    int64_t size, top, bottom;
    if (!(scale > 0) || scale > 1e6)
        return op_error(g, n, NULL, "scale %g is not positive, or is too large", scale);
    if (dim_is_const(g->dims, in, &size)) {
        float product = (float)size * (float)scale;
        if (product >= (float)DIM_MAX) return op_error(g, n, NULL, "the result is too large");
        *out = kit_dim(g, (int64_t)product);
        return true;
    }
    if (!as_fraction(scale, &top, &bottom))
        return op_error(g, n, "fix the dimension with --dim",
                        "scale %g of a symbolic dimension is no simple fraction", scale);
    *out = dim_floordiv(g->dims, dim_mul(g->dims, in, kit_dim(g, top)), kit_dim(g, bottom));
    return true;
}

/* The common scale of a policy that keeps the aspect ratio; false if it is not known. */
static bool policy_scale(graph *g, const resize *r, const dim *in, const dim *sizes,
                         double *scale) {
    *scale = 0;
    for (int i = 0; i < r->rank; i++) {
        int64_t from, to;
        if (r->position[i] < 0) continue;
        if (!dim_is_const(g->dims, in[i], &from) || from < 1 ||
            !dim_is_const(g->dims, sizes[r->position[i]], &to))
            return false;
        double own = (double)to / (double)from;
        bool better = r->policy == POLICY_NOT_LARGER ? own < *scale : own > *scale;
        if (*scale == 0 || better) *scale = own;
    }
    return true;
}

static bool resized_dims(graph *g, node_id n, const resize *r, dim *dims) {
    const type x = *kit_input(g, n, IN_X);
    size_t count = 0;
    const dim *sizes = r->sizes ? graph_elements(g, r->sizes, &count) : NULL;
    double common = 0;
    bool has_common =
        sizes && r->policy != POLICY_STRETCH && policy_scale(g, r, x.dims, sizes, &common);
    for (int i = 0; i < r->rank; i++) {
        double scale;
        dims[i] = x.dims[i];
        if (r->position[i] < 0) continue;
        if (known_scale(g, r, i, &scale)) {
            if (!scaled_dim(g, n, x.dims[i], scale, &dims[i])) return false;
        } else if (sizes && r->policy == POLICY_STRETCH) {
            dims[i] = sizes[r->position[i]];
        } else if (has_common) {
            double size = floor(common * (double)dim_value(g->dims, x.dims[i]) + 0.5);
            dims[i] = kit_dim(g, (int64_t)size);
        } else {
            dims[i] = kit_told_dim(g, n, 0, r->rank, i, DIM_NONE);
        }
        if (dim_high(g->dims, dims[i]) < 0)
            return op_error(g, n, NULL, "size %s is negative",
                            dim_text(g->dims, g->memory, dims[i]));
    }
    return true;
}

static bool infer_resize(graph *g, node_id n) {
    resize r;
    dim dims[TENSOR_MAX_RANK];
    if (!read_resize(g, n, &r) || !resized_dims(g, n, &r, dims)) return false;
    op_set_type(g, n, 0, type_tensor(kit_input(g, n, IN_X)->dtype, r.rank, dims));
    return true;
}

/* ---- coordinates ---- */

/* What one axis is resized by. */
typedef struct {
    loop_expr scale, in, out; /* f64, i64, i64 */
    loop_expr roi_start, roi_end;
} axis_scale;

static loop_expr f64(lower *l, double v) {
    return loop_const(lower_kernel(l), DTYPE_F64, v);
}

static loop_expr to_f64(lower *l, loop_expr e) {
    return loop_cast(lower_kernel(l), DTYPE_F64, e);
}

static loop_expr divide(lower *l, loop_expr a, loop_expr b) {
    return kit_op2(l, LOOP_DIV, a, b);
}

/* The position in the input of position `o` of the result. */
static loop_expr source_position(lower *l, const resize *r, const axis_scale *s, loop_expr o) {
    loop_kernel *k = lower_kernel(l);
    loop_expr x = to_f64(l, o), one = f64(l, 1), half = f64(l, 0.5), in = to_f64(l, s->in);
    loop_expr width = loop_mul(k, s->scale, in), span = loop_sub(k, in, one);
    loop_expr alone = kit_op2(l, LOOP_EQ, width, one);
    loop_expr centred = loop_sub(k, divide(l, loop_add(k, x, half), s->scale), half);
    switch (r->coordinate) {
    case COORD_HALF_PIXEL: return centred;
    case COORD_PYTORCH: return loop_select(k, alone, f64(l, -0.5), centred);
    case COORD_ASYMMETRIC: return divide(l, x, s->scale);
    case COORD_ALIGN_CORNERS: {
        loop_expr steps = loop_select(k, alone, one, loop_sub(k, width, one));
        return loop_select(k, alone, f64(l, 0), divide(l, loop_mul(k, x, span), steps));
    }
    case COORD_HALF_PIXEL_SYMMETRIC: {
        loop_expr adjustment = divide(l, to_f64(l, s->out), width);
        loop_expr offset = loop_mul(k, loop_mul(k, in, half), loop_sub(k, one, adjustment));
        return loop_add(k, offset, centred);
    }
    case COORD_CROP: {
        loop_expr size = loop_mul(k, loop_sub(k, s->roi_end, s->roi_start), span);
        loop_expr steps = loop_select(k, alone, one, loop_sub(k, width, one));
        loop_expr middle = loop_mul(k, size, half);
        loop_expr at = divide(l, loop_mul(k, x, size), steps);
        return loop_add(k, loop_select(k, alone, middle, at), loop_mul(k, s->roi_start, span));
    }
    }
    return 0;
}

static loop_expr read_list(lower *l, value_id v, int i) {
    loop_expr at = loop_int(lower_kernel(l), i);
    return to_f64(l, lower_read(l, v, &at));
}

/* The scale of axis `i` by sizes: its own, or the one that keeps the aspect ratio. */
static loop_expr size_scale(lower *l, const resize *r, value_id x, value_id y, int i) {
    loop_kernel *k = lower_kernel(l);
    if (r->policy == POLICY_STRETCH)
        return divide(l, to_f64(l, lower_dim(l, y, i)), to_f64(l, lower_dim(l, x, i)));
    loop_expr common = 0;
    for (int a = 0; a < r->rank; a++) {
        if (r->position[a] < 0) continue;
        loop_expr own =
            divide(l, read_list(l, r->sizes, r->position[a]), to_f64(l, lower_dim(l, x, a)));
        common = !common                          ? own
                 : r->policy == POLICY_NOT_LARGER ? loop_min(k, common, own)
                                                  : loop_max(k, common, own);
    }
    return common;
}

static loop_expr size_resize(lower *l, node_id n, int i) {
    loop_kernel *k = lower_kernel(l);
    value_id x = graph_input(lower_graph(l), n, IN_X);
    resize r;
    if (!read_resize(lower_graph(l), n, &r)) return 0;
    if (r.position[i] < 0) return lower_dim(l, x, i);
    if (r.sizes && r.policy == POLICY_STRETCH) return kit_read_int(l, r.sizes, r.position[i]);
    loop_expr scale = r.scales ? read_list(l, r.scales, r.position[i]) : size_scale(l, &r, x, 0, i);
    loop_expr size = loop_mul(k, to_f64(l, lower_dim(l, x, i)), scale);
    if (!r.scales) size = loop_add(k, size, f64(l, 0.5));
    size = kit_op1(l, LOOP_FLOOR, size);
    loop_expr fits = kit_op2(l, LOOP_LE, kit_op1(l, LOOP_ABS, size), f64(l, DIM_MAX));
    return loop_cast(k, DTYPE_I64, loop_select(k, fits, size, f64(l, -1)));
}

/* Whether only the data tell how large the result is. */
static bool is_open(graph *g, const resize *r, const dim *in) {
    size_t count;
    double scale;
    const dim *sizes = r->sizes ? graph_elements(g, r->sizes, &count) : NULL;
    if (r->sizes)
        return !sizes || (r->policy != POLICY_STRETCH && !policy_scale(g, r, in, sizes, &scale));
    for (int i = 0; i < r->rank; i++)
        if (!known_scale(g, r, i, &scale)) return true;
    return false;
}

static axis_scale find_scale(lower *l, node_id n, const resize *r, int i) {
    graph *g = lower_graph(l);
    value_id x = graph_input(g, n, IN_X), y = graph_output(g, n, 0);
    axis_scale s = {.in = lower_dim(l, x, i), .out = lower_dim(l, y, i)};
    double known;
    if (known_scale(g, r, i, &known))
        s.scale = f64(l, known);
    else if (r->scales)
        s.scale = read_list(l, r->scales, r->position[i]);
    else
        s.scale = size_scale(l, r, x, y, i);
    if (r->coordinate == COORD_CROP) {
        bool listed = r->position[i] >= 0;
        s.roi_start = listed ? read_list(l, r->roi, r->position[i]) : f64(l, 0);
        s.roi_end = listed ? read_list(l, r->roi, r->listed + r->position[i]) : f64(l, 1);
    }
    return s;
}

/* ---- elements ---- */

/* The whole number that an axis grows by, or 0: found from dimensions alone, so that positions stay
 * integer arithmetic. */
static int64_t whole_factor(graph *g, node_id n, const resize *r, int i) {
    enum { MAX_FACTOR = 32 };
    dim in = graph_type(g, graph_input(g, n, IN_X))->dims[i];
    dim out = graph_type(g, graph_output(g, n, 0))->dims[i];
    double scale;
    bool known = known_scale(g, r, i, &scale);
    if (!known && (r->scales || r->policy != POLICY_STRETCH)) return 0;
    for (int64_t factor = 1; factor <= MAX_FACTOR; factor++) {
        if (known && scale != (double)factor) continue;
        if (dim_mul(g->dims, in, kit_dim(g, factor)) == out) return factor;
    }
    return 0;
}

/* Whether nearest in this mode is the division by a whole factor. */
static bool divides(const resize *r, graph *g, dim out, int64_t factor) {
    bool halves = r->nearest == ROUND_DOWN_HALF || r->nearest == ROUND_UP_HALF;
    if (r->coordinate == COORD_CROP) return false;
    if (factor == 1) return r->coordinate != COORD_PYTORCH || dim_low(g->dims, out) > 1;
    if (r->coordinate == COORD_PYTORCH) return halves && dim_low(g->dims, out) > 1;
    if (r->coordinate == COORD_HALF_PIXEL || r->coordinate == COORD_HALF_PIXEL_SYMMETRIC)
        return halves;
    return r->coordinate == COORD_ASYMMETRIC && r->nearest == ROUND_FLOOR;
}

static loop_expr nearest_index(lower *l, const resize *r, loop_expr x) {
    loop_kernel *k = lower_kernel(l);
    loop_expr half = f64(l, 0.5);
    switch (r->nearest) {
    case ROUND_DOWN_HALF: x = kit_op1(l, LOOP_CEIL, loop_sub(k, x, half)); break;
    case ROUND_UP_HALF: x = kit_op1(l, LOOP_FLOOR, loop_add(k, x, half)); break;
    case ROUND_FLOOR: x = kit_op1(l, LOOP_FLOOR, x); break;
    case ROUND_CEIL: x = kit_op1(l, LOOP_CEIL, x); break;
    }
    return loop_cast(k, DTYPE_I64, x);
}

/* Weights of taps outside of the input become zero, and the others grow to a sum of one. */
static void exclude_outside(lower *l, sample_taps *taps, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    dtype t = loop_type(k, taps->weight[0]);
    loop_expr sum = 0, zero = loop_const(k, t, 0);
    for (int i = 0; i < taps->count; i++) {
        loop_expr inside = loop_and(k, kit_op2(l, LOOP_LE, loop_int(k, 0), taps->at[i]),
                                    loop_lt(k, taps->at[i], size));
        taps->weight[i] = loop_select(k, inside, taps->weight[i], zero);
        sum = sum ? loop_add(k, sum, taps->weight[i]) : taps->weight[i];
    }
    for (int i = 0; i < taps->count; i++) taps->weight[i] = divide(l, taps->weight[i], sum);
}

static sample_taps resize_taps(lower *l, const resize *r, dtype sum, loop_expr x, loop_expr size) {
    loop_kernel *k = lower_kernel(l);
    sample_taps taps;
    if (r->mode == MODE_NEAREST)
        taps = (sample_taps){.count = 1, .at = {nearest_index(l, r, x)}};
    else if (r->mode == MODE_LINEAR)
        taps = sample_linear(l, x);
    else
        taps = sample_cubic(l, x, r->cubic_a);
    if (r->exclude_outside && r->mode != MODE_NEAREST) exclude_outside(l, &taps, size);
    for (int i = 0; i < taps.count; i++) {
        taps.at[i] = sample_clamp(l, taps.at[i], size);
        if (taps.weight[i]) taps.weight[i] = loop_cast(k, sum, taps.weight[i]);
    }
    return taps;
}

typedef struct {
    value_id x;
    dtype as;
} source;

static loop_expr read_source(lower *l, const void *what, const loop_expr *at) {
    const source *s = what;
    return kit_read(l, s->as, s->x, at);
}

static loop_expr element_resize(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    resize r;
    bool ok = read_resize(g, n, &r);
    assert(ok), (void)ok, (void)output;
    source from = {.x = graph_input(g, n, IN_X)};
    dtype t = lower_type(l, from.x)->dtype;
    dtype sum = dtype_is_float(t) ? kit_sum_type(t) : DTYPE_F32;
    from.as = r.mode == MODE_NEAREST ? t : sum;
    loop_expr at[LOOP_MAX_RANK], outside = 0;
    int axes[TENSOR_MAX_RANK], count = 0;
    sample_taps taps[TENSOR_MAX_RANK];
    for (int i = 0; i < r.rank; i++) {
        int64_t factor = whole_factor(g, n, &r, i);
        dim out = graph_type(g, graph_output(g, n, 0))->dims[i];
        if (factor && (factor == 1 || r.mode == MODE_NEAREST) && divides(&r, g, out, factor)) {
            at[i] = loop_floordiv(k, index[i], loop_int(k, factor));
            continue;
        }
        axis_scale s = find_scale(l, n, &r, i);
        loop_expr x = source_position(l, &r, &s, index[i]);
        if (r.coordinate == COORD_CROP) {
            loop_expr last = to_f64(l, loop_sub(k, s.in, loop_int(k, 1)));
            loop_expr out_here = kit_op2(l, LOOP_OR, loop_lt(k, x, f64(l, 0)), loop_lt(k, last, x));
            outside = outside ? kit_op2(l, LOOP_OR, outside, out_here) : out_here;
        }
        axes[count] = i;
        taps[count++] = resize_taps(l, &r, sum, x, s.in);
    }
    loop_expr e = sample_sum(l, count, axes, taps, at, read_source, &from);
    return outside ? loop_select(k, outside, loop_const(k, loop_type(k, e), r.extrapolation), e)
                   : e;
}

/* ---- antialias: one axis at a time ---- */

/* Resizes one axis after the other, in floats, by the internal operator ResizeAxis. Its attribute
 * scale is the least that the scale can be; where only the data tell it, it is element scale_at of
 * input 1. */
static bool expand_resize(graph *g, node_id n) {
    resize r;
    dim dims[TENSOR_MAX_RANK];
    const node nd = *graph_node(g, n);
    const type x = *graph_type(g, nd.inputs[IN_X]);
    if (!read_resize(g, n, &r) || !resized_dims(g, n, &r, dims)) return false;
    if (is_open(g, &r, x.dims) && kit_expand_sizes(g, n)) return true;
    if (!node_attr_int(&nd, "antialias", 0)) return false;
    dtype sum = dtype_is_float(x.dtype) ? kit_sum_type(x.dtype) : DTYPE_F32;
    if (r.mode == MODE_NEAREST)
        return op_error(g, n, NULL, "antialias is not defined for mode nearest");
    if (r.coordinate == COORD_CROP)
        return op_error(g, n, NULL, "antialias with tf_crop_and_resize is not supported");
    value_id at = kit_build_cast(g, n, nd.inputs[IN_X], sum);
    size_t count;
    const dim *sizes = r.sizes ? graph_elements(g, r.sizes, &count) : NULL;
    for (int i = 0; i < r.rank; i++) {
        double scale, common;
        int64_t in, out;
        if (r.position[i] < 0) continue;
        if (!dim_is_const(g->dims, x.dims[i], &in) || !dim_is_const(g->dims, dims[i], &out) ||
            in < 1)
            return op_error(g, n, "fix the dimensions with --dim",
                            "antialias needs constant dimensions");
        bool known = known_scale(g, &r, i, &scale);
        if (!known) {
            scale = (double)out / (double)in;
            if (r.sizes && r.policy != POLICY_STRETCH && sizes &&
                policy_scale(g, &r, x.dims, sizes, &common))
                scale = common;
        }
        known |= !r.scales;
        if (known && scale == 1 && in == out) continue;
        if (!(scale > 1e-4)) return op_error(g, n, NULL, "scale %g is too small", scale);
        attr *all = ARENA_ARRAY(g->memory, attr, nd.attr_count + 4);
        memcpy(all, nd.attrs, nd.attr_count * sizeof *all);
        all[nd.attr_count] = attr_int("axis", i);
        all[nd.attr_count + 1] = attr_int("size", out);
        all[nd.attr_count + 2] = attr_float("scale", scale);
        all[nd.attr_count + 3] = attr_int("scale_at", r.position[i]);
        value_id inputs[] = {at, r.scales};
        if (!at) return false;
        at = graph_build(g, nd.region, n, OP_INTERNAL, "ResizeAxis", known ? 1 : 2, inputs,
                         nd.attr_count + 4, all);
    }
    at = kit_build_cast(g, n, at, x.dtype);
    if (!at) return false;
    kit_replace(g, nd.outputs[0], at);
    graph_remove_node(g, n);
    return true;
}

static bool infer_axis(graph *g, node_id n) {
    int axis;
    dim dims[TENSOR_MAX_RANK];
    const node nd = *graph_node(g, n);
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0);
    int64_t size = node_attr_int(&nd, "size", -1);
    if (!op_axis(g, n, node_attr_int(&nd, "axis", 0), x.rank, &axis)) return false;
    if (size < 0 || size >= DIM_MAX || !(node_attr_float(&nd, "scale", 0) > 0))
        return op_error(g, n, NULL, "attributes size and scale must be positive");
    for (int i = 0; i < x.rank; i++) dims[i] = i == axis ? kit_dim(g, size) : x.dims[i];
    op_set_type(g, n, 0, type_tensor(x.dtype, x.rank, dims));
    return true;
}

/* The weight of a tap `distance` away (scaled, not negative). */
static loop_expr tap_weight(lower *l, const resize *r, loop_expr distance) {
    loop_kernel *k = lower_kernel(l);
    const loop_binding b[] = {{"d", distance}, {"a", f64(l, r->cubic_a)}};
    if (r->mode == MODE_LINEAR) return loop_formula(k, "max(1 - d, 0)", DTYPE_F64, b, 2);
    return loop_formula(k,
                        "select(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1, select(d < 2, ((a * "
                        "d - 5 * a) * d + 8 * a) * d - 4 * a, 0 * d))",
                        DTYPE_F64, b, 2);
}

static void nest_axis(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[0], y = nd.outputs[0];
    resize r = {0};
    bool ok = read_modes(g, n, &r);
    assert(ok), (void)ok;
    const type t = *lower_type(l, x);
    int axis = (int)node_attr_int(&nd, "axis", 0);
    double scale = node_attr_float(&nd, "scale", 1), reach = r.mode == MODE_LINEAR ? 1 : 2;
    /* Taps are as far apart as pixels of the result where that is the smaller one. */
    double shrink = scale < 1 ? scale : 1;
    int64_t first = (int64_t)floor(-reach / shrink) + 1, taps = 2 - 2 * first;
    axis_scale s = {.in = lower_dim(l, x, axis), .out = lower_dim(l, y, axis)};
    value_id scales = graph_input(g, n, 1);
    s.scale = scales ? read_list(l, scales, (int)node_attr_int(&nd, "scale_at", 0)) : f64(l, scale);
    loop_expr spread = loop_min(k, s.scale, f64(l, 1));
    loop_expr index[LOOP_MAX_RANK], at[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    loop_expr position = source_position(l, &r, &s, index[axis]);
    loop_expr base = loop_cast(k, DTYPE_I64, kit_op1(l, LOOP_FLOOR, position));
    loop_buf acc = kit_scalar(l, "acc", DTYPE_F64), total = kit_scalar(l, "total", DTYPE_F64);
    lower_assign(l, acc, NULL, f64(l, 0));
    lower_assign(l, total, NULL, f64(l, 0));
    loop_expr step = lower_begin(l, LOOP_REDUCE, "r", loop_int(k, taps));
    loop_expr tap = loop_add(k, loop_add(k, base, step), loop_int(k, first));
    loop_expr distance = kit_op1(l, LOOP_ABS, loop_sub(k, to_f64(l, tap), position));
    loop_expr weight = tap_weight(l, &r, loop_mul(k, distance, spread));
    if (r.exclude_outside) {
        loop_expr inside =
            loop_and(k, kit_op2(l, LOOP_LE, loop_int(k, 0), tap), loop_lt(k, tap, s.in));
        weight = loop_select(k, inside, weight, f64(l, 0));
    }
    for (int i = 0; i < t.rank; i++) at[i] = index[i];
    at[axis] = sample_clamp(l, tap, s.in);
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, weight, to_f64(l, lower_read(l, x, at))));
    lower_accumulate(l, total, LOOP_ADD, weight);
    lower_end(l);
    lower_write(l, y, index, divide(l, lower_value(l, acc, NULL), lower_value(l, total, NULL)));
    lower_end_loops(l);
}

const op_def ops_resize[] = {
    {.domain = "",
     .name = "Resize",
     .flags = OP_OPEN,
     .infer = infer_resize,
     .element = element_resize,
     .size = size_resize,
     .expand = expand_resize},
    {.domain = OP_INTERNAL,
     .name = "ResizeAxis",
     .flags = OP_ANCHOR,
     .infer = infer_axis,
     .nest = nest_axis},
};
const size_t ops_resize_count = sizeof ops_resize / sizeof *ops_resize;
