/* layout.c: chooses where the elements of tensors lie. Convolutions compute on blocks of channels,
 * so their inputs and outputs get the layout [N][C/16][H][W][16], and everything between
 * convolutions that can follows them; what cannot gets a Reorder in front. Padding convolutions
 * find their zeros in a halo around the input. Only types change, and Reorders are added: every
 * operator computes the same elements in any layout. */
#include "ir/ops/window.h"
#include "passes/rewrite.h"

#include <string.h>

/* Fewer channels than FEWEST_CHANNELS are not worth the unused lanes. */
enum { FEWEST_CHANNELS = 4, MOST_HALO = 64 };

typedef struct {
    graph *g;
    int block;
    value_id *plain;   /* of every value: its row-major copy, 0 if none was made */
    value_id *blocked; /* its blocked copy */
    size_t count;      /* values that existed at the start: those made since have no copies */
    long changes;
} layouter;

static bool is_blocked(const type *t) {
    return t->kind == TYPE_TENSOR && t->layout && t->layout->block_axis >= 0;
}

static const tensor_layout *blocked_layout(layouter *l, int axis) {
    tensor_layout *y = ARENA_NEW(l->g->memory, tensor_layout);
    y->block_axis = axis;
    y->block = l->block;
    return y;
}

/* A Reorder of v into another layout, in front of node `before` (0: at the end of its region). */
static value_id add_reorder(layouter *l, region_id r, node_id before, value_id v,
                            const tensor_layout *layout) {
    type t = *graph_type(l->g, v);
    t.layout = layout;
    value_id out = graph_add_value(l->g, graph_value(l->g, v)->name, t);
    graph_add_node(l->g, r, before, op_find(OP_INTERNAL, "Reorder"), "", 1, &v, 1, &out, 0, NULL);
    l->changes++;
    return out;
}

static value_id to_plain(layouter *l, region_id r, node_id before, value_id v) {
    if (!v || !graph_type(l->g, v)->layout) return v;
    if (v < l->count && l->plain[v]) return l->plain[v];
    value_id made = add_reorder(l, r, before, v, NULL);
    if (v < l->count && r == GRAPH_MAIN) l->plain[v] = made;
    return made;
}

/* v with its axis `axis` in blocks. */
static value_id to_blocked(layouter *l, region_id r, node_id before, value_id v, int axis) {
    if (!v || is_blocked(graph_type(l->g, v))) return v;
    if (v < l->count && l->blocked[v]) return l->blocked[v];
    value_id made = add_reorder(l, r, before, v, blocked_layout(l, axis));
    if (v < l->count && r == GRAPH_MAIN) l->blocked[v] = made;
    return made;
}

static int64_t constant_dim(const graph *g, const type *t, int axis) {
    int64_t n;
    return dim_is_const(g->dims, t->dims[axis], &n) ? n : -1;
}

static void set_input(layouter *l, node_id n, uint32_t i, value_id v) {
    graph_node(l->g, n)->inputs[i] = v;
}

static void block_output(layouter *l, node_id n, uint32_t i) {
    value_id v = graph_output(l->g, n, i);
    if (v) graph_value(l->g, v)->type.layout = blocked_layout(l, 1);
}

/* ---- convolutions ---- */

static bool named(const node *n, const char *domain, const char *name) {
    return strcmp(n->op->domain, domain) == 0 && strcmp(n->op->name, name) == 0;
}

/* One group, groups of whole blocks, or as many groups as channels: what the blocked layout is for.
 */
static bool wants_blocks(layouter *l, node_id n) {
    const node *nd = graph_node(l->g, n);
    const type *w = graph_type(l->g, nd->inputs[1]), *y = graph_type(l->g, nd->outputs[0]);
    int64_t groups = node_attr_int(nd, "group", 1), out = constant_dim(l->g, y, 1);
    if (y->rank < 3 || (y->dtype != DTYPE_F32 && y->dtype != DTYPE_I32) || out < FEWEST_CHANNELS)
        return false;
    if (groups == 1) return true;
    if (!named(nd, "", "Conv")) return false;
    if (constant_dim(l->g, w, 1) > 0 && constant_dim(l->g, w, 1) % l->block == 0)
        return out % groups == 0 && out / groups % l->block == 0;
    return groups == out && constant_dim(l->g, w, 1) == 1 &&
           constant_dim(l->g, graph_type(l->g, nd->inputs[0]), 1) == groups;
}

/* Whether a convolution with few results a pixel had better run along its rows, from plain data:
 * each element meets so many weights that the copy is worth it. Sums over lanes take an addition a
 * load, and rows as many as there are results. A transposed one has sums of few products. */
static bool runs_along_rows(layouter *l, node_id n) {
    enum { LEAST_PRODUCTS = 64 };
    const node *nd = graph_node(l->g, n);
    const type *w = graph_type(l->g, nd->inputs[1]), *y = graph_type(l->g, nd->outputs[0]);
    if (constant_dim(l->g, y, y->rank - 1) < l->block) return false;
    if (named(nd, "", "ConvTranspose")) return true;
    size_t axes;
    const int64_t *strides = node_attr_ints(nd, "strides", &axes);
    int64_t products = constant_dim(l->g, w, 0);
    for (int i = 2; i < w->rank; i++) products *= constant_dim(l->g, w, i);
    return products >= LEAST_PRODUCTS && (!axes || strides[axes - 1] == 1);
}

/* Few results a pixel: the sum runs over the lanes of the input, if that is in blocks, so the
 * weights have their input channels in blocks too. The result stays plain. */
static bool lay_narrow_convolution(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    bool forward = named(&nd, "", "Conv");
    if (!forward && !named(&nd, "", "ConvTranspose")) return false;
    const type *x = graph_type(l->g, nd.inputs[0]), *y = graph_type(l->g, nd.outputs[0]);
    if (!is_blocked(x) || y->dtype != DTYPE_F32 || node_attr_int(&nd, "group", 1) != 1 ||
        constant_dim(l->g, y, 1) >= FEWEST_CHANNELS || runs_along_rows(l, n))
        return false;
    set_input(l, n, 1, to_blocked(l, nd.region, n, nd.inputs[1], forward ? 1 : 0));
    l->changes++;
    return true;
}

static void lay_convolution(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    const type *x = graph_type(l->g, nd.inputs[0]);
    int weight_axis = named(&nd, "", "Conv") ? 0 : 1;
    if (constant_dim(l->g, x, 1) >= FEWEST_CHANNELS)
        set_input(l, n, 0, to_blocked(l, nd.region, n, nd.inputs[0], 1));
    set_input(l, n, 1, to_blocked(l, nd.region, n, nd.inputs[1], weight_axis));
    if (nd.input_count > 2 && nd.inputs[2])
        set_input(l, n, 2, to_blocked(l, nd.region, n, nd.inputs[2], 0));
    block_output(l, n, 0);
    l->changes++;
}

/* Winograd's operators: data and bias in blocks; their other operands are plain, with blocks as
 * axes of their own. */
static bool lay_winograd(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    bool from_data = named(&nd, OP_INTERNAL, "WinogradInput"),
         product = named(&nd, OP_INTERNAL, "WinogradProduct"),
         both = named(&nd, OP_INTERNAL, "WinogradConv");
    if (!from_data && !product && !both) return false;
    if (!product) set_input(l, n, 0, to_blocked(l, nd.region, n, nd.inputs[0], 1));
    if (nd.input_count > 2 && nd.inputs[2])
        set_input(l, n, 2, to_blocked(l, nd.region, n, nd.inputs[2], 0));
    if (!from_data) block_output(l, n, 0);
    l->changes++;
    return true;
}

/* Sums of bytes read their data in blocks, but not those in words; products make blocks too. */
static bool lay_dot(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    bool product = named(&nd, OP_INTERNAL, "DotConv") || named(&nd, OP_INTERNAL, "DotDepthwise");
    if (!product && !named(&nd, OP_INTERNAL, "DotSums")) return false;
    if (graph_type(l->g, nd.inputs[0])->dtype != DTYPE_U32)
        set_input(l, n, 0, to_blocked(l, nd.region, n, nd.inputs[0], 1));
    l->changes++;
    if (!product) return true;
    for (uint32_t i = 1; i < nd.input_count; i++)
        set_input(l, n, i, to_blocked(l, nd.region, n, nd.inputs[i], 0));
    block_output(l, n, 0);
    return true;
}

/* ---- what follows ---- */

/* Pointwise: all operands of the result's dimensions take its layout; those with a channel axis
 * alone are blocked along it. */
static bool lay_pointwise(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    const type y = *graph_type(l->g, nd.outputs[0]);
    bool follows = false;
    for (uint32_t i = 0; i < nd.input_count; i++) {
        const type *x = nd.inputs[i] ? graph_type(l->g, nd.inputs[i]) : NULL;
        follows |= x && is_blocked(x) && x->layout->block_axis == 1 && x->rank == y.rank &&
                   x->dims[1] == y.dims[1];
    }
    if (!follows || nd.output_count != 1 || dtype_bytes(y.dtype) > 4) return false;
    for (uint32_t i = 0; i < nd.input_count; i++) {
        if (!nd.inputs[i]) continue;
        const type *x = graph_type(l->g, nd.inputs[i]);
        int channel = x->rank - (y.rank - 1);
        if (channel < 0 || dim_equals_const(l->g->dims, x->dims[channel], 1)) {
            set_input(l, n, i, to_plain(l, nd.region, n, nd.inputs[i]));
            continue;
        }
        bool other = is_blocked(x) && x->layout->block_axis != channel;
        value_id v = other ? to_plain(l, nd.region, n, nd.inputs[i]) : nd.inputs[i];
        set_input(l, n, i, to_blocked(l, nd.region, n, v, channel));
    }
    block_output(l, n, 0);
    return true;
}

/* Padding around whole channels. */
static bool pads_around(layouter *l, const node *n) {
    size_t count;
    if (!named(n, "", "Pad") || (n->input_count > 3 && n->inputs[3])) return false;
    const dim *pads = graph_elements(l->g, n->inputs[1], &count);
    size_t rank = (size_t)graph_type(l->g, n->inputs[0])->rank;
    if (!pads || count != 2 * rank) return false;
    return dim_equals_const(l->g->dims, pads[1], 0) &&
           dim_equals_const(l->g->dims, pads[rank + 1], 0);
}

/* Operators that keep channels apart: they compute each lane on its own. */
static bool keeps_channels(layouter *l, const node *n) {
    static const char *const names[] = {"MaxPool",           "AveragePool",   "LpPool",
                                        "GlobalAveragePool", "GlobalMaxPool", "Resize",
                                        "BatchNormalization"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (named(n, "", names[i])) return n->output_count == 1 || !n->outputs[1];
    if (!named(n, "", "ReduceMean") && !named(n, "", "ReduceSum") && !named(n, "", "ReduceMax"))
        return false;
    if (!node_attr_int(n, "keepdims", 1)) return false;
    size_t count = 0;
    const dim *axes =
        n->input_count > 1 && n->inputs[1] ? graph_elements(l->g, n->inputs[1], &count) : NULL;
    int rank = graph_type(l->g, n->inputs[0])->rank;
    for (size_t i = 0; i < count; i++) {
        int64_t axis;
        if (!dim_is_const(l->g->dims, axes[i], &axis)) return false;
        if (axis < 0) axis += rank;
        if (axis < 2) return false;
    }
    return axes && count;
}

/* Concatenation keeps the layout along another axis than that of channels, and along that one where
 * whole vectors, if short ones, go from block to block. */
static bool concat_keeps(layouter *l, const node *n) {
    enum { SHORTEST_VECTOR = 4 };
    if (!named(n, "", "Concat")) return false;
    int64_t axis = node_attr_int(n, "axis", 0);
    int rank = graph_type(l->g, n->outputs[0])->rank;
    if (axis < 0) axis += rank;
    if (axis == 0) return false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        const type *x = graph_type(l->g, n->inputs[i]);
        if (!is_blocked(x) || x->layout->block_axis != 1) return false;
        if (axis == 1 && (rank < 3 || constant_dim(l->g, x, 1) % SHORTEST_VECTOR)) return false;
    }
    return true;
}

/* A slice keeps the layout if it takes channels, one after the other, from the start of a block. */
static bool slice_keeps(layouter *l, const node *n) {
    if (!named(n, "", "Slice")) return false;
    int rank = graph_type(l->g, n->inputs[0])->rank;
    size_t count, axis_count = 0, step_count = 0;
    bool has_axes = n->input_count > 3 && n->inputs[3],
         has_steps = n->input_count > 4 && n->inputs[4];
    const dim *starts = graph_elements(l->g, n->inputs[1], &count);
    const dim *axes = has_axes ? graph_elements(l->g, n->inputs[3], &axis_count) : NULL;
    const dim *steps = has_steps ? graph_elements(l->g, n->inputs[4], &step_count) : NULL;
    if (!starts || (has_axes && axis_count != count) || (has_steps && step_count != count))
        return false;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = (int64_t)i, start;
        if (axes && !dim_is_const(l->g->dims, axes[i], &axis)) return false;
        if ((axis < 0 ? axis + rank : axis) != 1) continue;
        if (steps && !dim_equals_const(l->g->dims, steps[i], 1)) return false;
        if (!dim_is_const(l->g->dims, starts[i], &start) || start < 0 || start % l->block)
            return false;
    }
    return true;
}

/* Interpolation finds places and weights once for all channels of a block, and once for each
 * element of rows: that is worth the Reorders. */
static bool interpolates_channels(layouter *l, const node *n) {
    if (!named(n, "", "Resize") || strcmp(node_attr_string(n, "mode", "nearest"), "nearest") == 0)
        return false;
    const type *x = graph_type(l->g, n->inputs[0]), *y = graph_type(l->g, n->outputs[0]);
    return x->rank >= 3 && x->dtype == DTYPE_F32 && x->dims[1] == y->dims[1] &&
           constant_dim(l->g, x, 1) >= l->block / 2;
}

static void lay_node(layouter *l, node_id n) {
    if (interpolates_channels(l, graph_node(l->g, n))) {
        const node *resize = graph_node(l->g, n);
        set_input(l, n, 0, to_blocked(l, resize->region, n, resize->inputs[0], 1));
    }
    const node nd = *graph_node(l->g, n);
    if (named(&nd, OP_INTERNAL, "Reorder")) return;
    if ((named(&nd, "", "Conv") || named(&nd, "", "ConvTranspose")) && wants_blocks(l, n)) {
        lay_convolution(l, n);
        return;
    }
    if (lay_winograd(l, n) || lay_narrow_convolution(l, n) || lay_dot(l, n)) return;
    if ((nd.op->flags & OP_POINTWISE) && lay_pointwise(l, n)) return;
    const type *x = nd.input_count && nd.inputs[0] ? graph_type(l->g, nd.inputs[0]) : NULL;
    bool follows = x && is_blocked(x) && x->layout->block_axis == 1 &&
                   (keeps_channels(l, &nd) || concat_keeps(l, &nd) || pads_around(l, &nd) ||
                    slice_keeps(l, &nd));
    for (uint32_t i = 0; i < nd.input_count; i++) {
        if (follows && (i == 0 || named(&nd, "", "Concat"))) continue;
        if (follows && named(&nd, "", "BatchNormalization"))
            set_input(l, n, i, to_blocked(l, nd.region, n, nd.inputs[i], 0));
        else if (nd.inputs[i] && is_blocked(graph_type(l->g, nd.inputs[i])) &&
                 !(strcmp(nd.op->domain, OP_INTERNAL) == 0 && i > 0))
            set_input(l, n, i, to_plain(l, nd.region, n, nd.inputs[i]));
    }
    if (follows) block_output(l, n, 0);
}

static void lay_region(layouter *l, region_id r) {
    size_t count;
    const node_id *order = rewrite_nodes(l->g, r, &count);
    for (size_t i = 0; i < count; i++) {
        const node nd = *graph_node(l->g, order[i]);
        for (uint32_t j = 0; j < nd.attr_count; j++)
            if (nd.attrs[j].kind == ATTR_REGION) lay_region(l, (region_id)nd.attrs[j].i);
        lay_node(l, order[i]);
    }
    for (size_t i = 0; i < graph_region(l->g, r)->outputs.count; i++) {
        value_id v = graph_region(l->g, r)->outputs.data[i];
        if (!graph_type(l->g, v)->layout) continue;
        value_id out = add_reorder(l, r, 0, v, NULL);
        graph_region(l->g, r)->outputs.data[i] = out;
        if (r != GRAPH_MAIN) continue;
        /* The caller knows the output by its name. */
        const char *name = graph_value(l->g, v)->name;
        graph_value(l->g, v)->name = graph_value(l->g, out)->name;
        graph_value(l->g, out)->name = name;
    }
}

/* ---- halos ---- */

/* Padding of a convolution along each spatial axis, as attributes or auto_pad give it; false if it
 * pads nothing. */
static bool padding_of(const graph *g, node_id n, int64_t *before, int64_t *after) {
    const node *nd = graph_node(g, n);
    const type *x = graph_type(g, nd->inputs[0]), *w = graph_type(g, nd->inputs[1]);
    const type *y = graph_type(g, nd->outputs[0]);
    size_t pad_count, stride_count, dilation_count;
    const int64_t *pads = node_attr_ints(nd, "pads", &pad_count);
    const int64_t *strides = node_attr_ints(nd, "strides", &stride_count);
    const int64_t *dilations = node_attr_ints(nd, "dilations", &dilation_count);
    const char *mode = node_attr_string(nd, "auto_pad", "NOTSET");
    int spatial = x->rank - 2;
    bool some = false;
    for (int i = 0; i < spatial; i++) {
        before[i] = pad_count == (size_t)spatial * 2 ? pads[i] : 0;
        after[i] = pad_count == (size_t)spatial * 2 ? pads[spatial + i] : 0;
        if (strcmp(mode, "VALID") == 0) before[i] = after[i] = 0;
        if (strncmp(mode, "SAME", 4) == 0) {
            int64_t in = constant_dim(g, x, i + 2), out = constant_dim(g, y, i + 2),
                    k = constant_dim(g, w, i + 2);
            if (in < 0 || out < 0 || k < 0) return false;
            int64_t stride = stride_count ? strides[i] : 1,
                    dilation = dilation_count ? dilations[i] : 1;
            int64_t total = (out - 1) * stride + (k - 1) * dilation + 1 - in;
            if (total < 0) total = 0;
            before[i] = strcmp(mode, "SAME_LOWER") == 0 ? total - total / 2 : total / 2;
            after[i] = total - before[i];
        }
        if (before[i] < 0 || after[i] < 0 || before[i] > MOST_HALO || after[i] > MOST_HALO)
            return false;
        some |= before[i] || after[i];
    }
    return some;
}

/* What Winograd's tiles read around their input: the last ones hang over the end. Of volumes they
 * read planes, all of which are inside. */
static bool border_of_tiles(const graph *g, node_id n, int64_t *before, int64_t *after) {
    const node *nd = graph_node(g, n);
    const type *x = graph_type(g, nd->inputs[0]);
    size_t axes, count;
    const int64_t *tile = node_attr_ints(nd, "size", &axes);
    const int64_t *taps = node_attr_ints(nd, "kernel_shape", &count);
    const int64_t *strides = node_attr_ints(nd, "strides", &count);
    const int64_t *pads = node_attr_ints(nd, "pads", &count);
    const int64_t *dilations = node_attr_ints(nd, "dilations", &count);
    bool some = false;
    for (size_t i = axes == 3; i < axes; i++) {
        int64_t in = constant_dim(g, x, (int)i + 2), apart = count ? dilations[i] : 1;
        int64_t most = pads[axes + i] + tile[i] * strides[i] * apart - 1;
        int64_t reach = (taps[i] - 1) * apart + 1;
        int64_t out = (in + pads[i] + pads[axes + i] - reach) / strides[i] + 1;
        int64_t whole = ((out + apart - 1) / apart + tile[i] - 1) / tile[i] * tile[i] * apart;
        int64_t end = (whole - 1) * strides[i] + reach - pads[i];
        before[i] = pads[i];
        after[i] = in < 0 ? most : end > in ? end - in : 0;
        some |= before[i] || after[i];
    }
    return some;
}

/* What a transposed convolution reads around its input along one axis: result `at` meets the
 * positions floor((at + pad) / stride) - step. */
static bool border_of_phases(graph *g, const window *w, int i, int64_t *before, int64_t *after) {
    dim_table *t = g->dims;
    int64_t kernel, pad, rest, stride = w->stride[i];
    dim one = dim_const(t, 1), last = dim_mul(t, dim_sub(t, w->in[i], one), dim_const(t, stride));
    last = dim_sub(t, dim_add(t, dim_sub(t, w->out[i], one), w->before[i]), last);
    if (!dim_is_const(t, w->kernel[i], &kernel) || !dim_is_const(t, w->before[i], &pad) ||
        !dim_is_const(t, last, &rest) || pad < 0 || (stride > 1 && w->dilation[i] > 1))
        return false;
    int64_t steps = stride > 1 ? (kernel - 1) / stride : (kernel - 1) * w->dilation[i];
    *before = steps > pad / stride ? steps - pad / stride : 0;
    *after = rest > 0 ? rest / stride : 0;
    return *before <= MOST_HALO && *after <= MOST_HALO;
}

static bool border_of_transposed(graph *g, node_id n, int64_t *before, int64_t *after) {
    const node nd = *graph_node(g, n);
    window w = {.axes = graph_type(g, nd.inputs[0])->rank - 2};
    bool some = false;
    if (!window_kernel_weights(g, n, nd.inputs[1], &w) ||
        !window_read_transposed(g, n, nd.inputs[0], &w))
        return false;
    for (int i = 0; i < w.axes; i++) {
        if (!border_of_phases(g, &w, i, &before[i], &after[i])) return false;
        some |= before[i] || after[i];
    }
    return some;
}

/* What node n reads around its first input; false if that is nothing, or not zeros. */
static bool border_of(graph *g, node_id n, int64_t *before, int64_t *after) {
    const node *nd = graph_node(g, n);
    if (named(nd, OP_INTERNAL, "WinogradInput") || named(nd, OP_INTERNAL, "WinogradConv"))
        return border_of_tiles(g, n, before, after);
    bool transposed = named(nd, "", "ConvTranspose");
    if (!transposed && !named(nd, "", "Conv")) return false;
    if (!is_blocked(graph_type(g, nd->inputs[0])) && !is_blocked(graph_type(g, nd->outputs[0])))
        return false;
    return transposed ? border_of_transposed(g, n, before, after) : padding_of(g, n, before, after);
}

/* Whether v's own memory can have a border: a kernel of this region writes it, and it is nobody's
 * output. */
static bool can_have_halo(layouter *l, value_id v, region_id r) {
    node_id p = graph_value(l->g, v)->producer;
    if (!p || graph_node(l->g, p)->region != r || !graph_type(l->g, v)->layout) return false;
    if (graph_node(l->g, p)->op->flags & OP_EFFECT) return false;
    const region *reg = graph_region(l->g, r);
    for (size_t i = 0; i < reg->outputs.count; i++)
        if (reg->outputs.data[i] == v) return false;
    return true;
}

static void add_halo(layouter *l, node_id n) {
    const node nd = *graph_node(l->g, n);
    int64_t before[TENSOR_MAX_RANK] = {0}, after[TENSOR_MAX_RANK] = {0};
    if (!border_of(l->g, n, before, after)) return;
    value_id v = nd.inputs[0];
    tensor_layout *y = ARENA_NEW(l->g->memory, tensor_layout);
    const type *t = graph_type(l->g, v);
    if (t->layout)
        *y = *t->layout;
    else
        y->block_axis = -1;
    for (int i = 2; i < t->rank; i++) {
        if (y->halo_before[i] < before[i - 2]) y->halo_before[i] = (int32_t)before[i - 2];
        if (y->halo_after[i] < after[i - 2]) y->halo_after[i] = (int32_t)after[i - 2];
    }
    if (can_have_halo(l, v, nd.region))
        graph_value(l->g, v)->type.layout = y;
    else
        set_input(l, n, 0, add_reorder(l, nd.region, n, v, y));
    l->changes++;
}

static void add_halos(layouter *l, region_id r) {
    size_t count;
    const node_id *order = rewrite_nodes(l->g, r, &count);
    for (size_t i = 0; i < count; i++) {
        const node nd = *graph_node(l->g, order[i]);
        for (uint32_t j = 0; j < nd.attr_count; j++)
            if (nd.attrs[j].kind == ATTR_REGION) add_halos(l, (region_id)nd.attrs[j].i);
        add_halo(l, order[i]);
    }
}

/* Whether a node joins whole blocks of channels of one image, each once, in memory of the region's
 * own. */
static bool joins_blocks(layouter *l, const node *n) {
    if (!named(n, "", "Concat")) return false;
    const type *y = graph_type(l->g, n->outputs[0]);
    int64_t axis = node_attr_int(n, "axis", 0);
    if (!is_blocked(y) || y->layout->block_axis != 1 || (axis != 1 && axis + y->rank != 1) ||
        constant_dim(l->g, y, 0) != 1 || !can_have_halo(l, n->outputs[0], n->region))
        return false;
    for (uint32_t i = 0; i < n->input_count; i++) {
        const type *x = graph_type(l->g, n->inputs[i]);
        int64_t channels = constant_dim(l->g, x, 1);
        if (!is_blocked(x) || x->layout->block_axis != 1 || channels < 0 || channels % l->block ||
            !can_have_halo(l, n->inputs[i], n->region))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (n->inputs[j] == n->inputs[i]) return false;
    }
    return true;
}

/* Makes the halo of v at least as wide as `wide`; whether it was not. */
static bool widen_halo(layouter *l, value_id v, const tensor_layout *wide) {
    tensor_layout *y = ARENA_NEW(l->g->memory, tensor_layout);
    bool wider = false;
    *y = *graph_type(l->g, v)->layout;
    for (int i = 0; i < TENSOR_MAX_RANK; i++) {
        wider |= y->halo_before[i] < wide->halo_before[i] || y->halo_after[i] < wide->halo_after[i];
        if (y->halo_before[i] < wide->halo_before[i]) y->halo_before[i] = wide->halo_before[i];
        if (y->halo_after[i] < wide->halo_after[i]) y->halo_after[i] = wide->halo_after[i];
    }
    if (wider) graph_value(l->g, v)->type.layout = y;
    return wider;
}

/* Operands of a concatenation and its result get the same halo: then they can lie in it from the
 * start (codegen/build_parts.c). A result may be an operand again. */
static bool join_halos(layouter *l, region_id r) {
    size_t count;
    bool changed = false;
    const node_id *order = rewrite_nodes(l->g, r, &count);
    for (size_t i = 0; i < count; i++) {
        const node nd = *graph_node(l->g, order[i]);
        if (!joins_blocks(l, &nd)) continue;
        for (uint32_t j = 0; j < nd.input_count; j++)
            changed |= widen_halo(l, nd.outputs[0], graph_type(l->g, nd.inputs[j])->layout);
        for (uint32_t j = 0; j < nd.input_count; j++)
            changed |= widen_halo(l, nd.inputs[j], graph_type(l->g, nd.outputs[0])->layout);
    }
    return changed;
}

static long run(graph *g, const pass_options *options) {
    if (!options->vector_block || rewrite_has_groups(g)) return 0;
    layouter l = {.g = g, .block = options->vector_block, .count = g->values.count};
    l.plain = ARENA_ARRAY(g->memory, value_id, l.count);
    l.blocked = ARENA_ARRAY(g->memory, value_id, l.count);
    lay_region(&l, GRAPH_MAIN);
    add_halos(&l, GRAPH_MAIN);
    while (join_halos(&l, GRAPH_MAIN)) l.changes++;
    return l.changes;
}

const pass_def pass_layout = {"layout", "choose blocked layouts and halos for convolutions", run};
