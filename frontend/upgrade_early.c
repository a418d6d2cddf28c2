/* upgrade_early.c: those rewrites of old operators that take more than moving an attribute: the
 * first versions of Tile, Upsample, LpPool and their like, statistics per element in
 * BatchNormalization, parameters per group in GroupNormalization. The table is in upgrade.c. */
#include "frontend/upgrade.h"

#include <string.h>

static const type *tensor_of(importer *im, const import_node *n, size_t i) {
    if (i >= n->inputs.count || !n->inputs.data[i]) return NULL;
    const type *t = graph_type(im->g, n->inputs.data[i]);
    return t->kind == TYPE_TENSOR && t->rank >= 0 ? t : NULL;
}

static value_id binary(importer *im, const import_node *n, const char *op, value_id a, value_id b) {
    value_id both[] = {a, b};
    return a && b ? import_helper(im, n, op, 2, both, 0, NULL) : 0;
}

/* The node becomes the identity of v. */
static bool become(import_node *n, value_id v) {
    if (!v) return false;
    n->op = "Identity";
    n->attrs.count = 0;
    n->inputs.data[0] = v;
    n->inputs.count = n->output_count = 1;
    return true;
}

bool upgrade_tile(importer *im, import_node *n, bool *done) {
    (void)done;
    const type *x = tensor_of(im, n, 0);
    int64_t numbers[2], repeats[TENSOR_MAX_RANK];
    for (size_t i = 0; i < 2; i++) {
        const type *t = tensor_of(im, n, i + 1);
        const value *v = t ? graph_value(im->g, n->inputs.data[i + 1]) : NULL;
        if (!x || !v || !v->constant)
            return import_error(im, n, "export with a newer opset",
                                "its number of tiles and its axis must be constants");
        numbers[i] = dtype_is_integer(t->dtype) ? value_int(v, im->g->dims, 0)
                                                : (int64_t)value_float(v, im->g->dims, 0);
    }
    if (numbers[0] < 0 || numbers[1] < 0 || numbers[1] >= x->rank)
        return import_error(im, n, NULL, "%lld tiles along axis %lld", (long long)numbers[0],
                            (long long)numbers[1]);
    for (int i = 0; i < x->rank; i++) repeats[i] = i == numbers[1] ? numbers[0] : 1;
    n->inputs.data[1] = import_ints(im, repeats, (size_t)x->rank);
    n->inputs.count = 2;
    return true;
}

bool upgrade_upsample(importer *im, import_node *n, bool *done) {
    (void)done;
    static const char *const names[] = {"height_scale", "width_scale"};
    double scales[] = {1, 1, 1, 1};
    int64_t count = 4;
    for (size_t i = 0; i < 2; i++) {
        const attr *a = import_attr(n, names[i]);
        if (a && a->kind == ATTR_FLOAT) scales[i + 2] = a->f;
        import_drop_attr(n, names[i]);
    }
    n->inputs.count = 1;
    list_push(im->g->memory, &n->inputs,
              graph_add_constant_floats(im->g, NULL, DTYPE_F32, 1, &count, scales));
    return true;
}

bool upgrade_norm_order(importer *im, import_node *n, bool *done) {
    (void)done;
    attr *p = import_attr(n, "p");
    if (!p || p->kind != ATTR_FLOAT) return true;
    if (!(p->f >= 1 && p->f <= 64) || p->f != (double)(int)p->f)
        return import_error(im, n, NULL, "attribute p is %g, must be a whole number", p->f);
    *p = attr_int("p", (int64_t)p->f);
    return true;
}

bool upgrade_roi_align(importer *im, import_node *n, bool *done) {
    (void)done;
    list_push(im->g->memory, &n->attrs,
              attr_string("coordinate_transformation_mode", "output_half_pixel"));
    return true;
}

/* The defaults had fewer digits. */
bool upgrade_selu(importer *im, import_node *n, bool *done) {
    (void)done;
    import_drop_attr(n, "consumed_inputs");
    if (!import_attr(n, "alpha")) list_push(im->g->memory, &n->attrs, attr_float("alpha", 1.6732));
    if (!import_attr(n, "gamma")) list_push(im->g->memory, &n->attrs, attr_float("gamma", 1.0507));
    return true;
}

/* Scale and bias were one number a group. */
bool upgrade_group_norm(importer *im, import_node *n, bool *done) {
    (void)done;
    const type *x = tensor_of(im, n, 0);
    const attr *groups = import_attr(n, "num_groups");
    int64_t channels, all = -1, one = 1;
    if (!x || x->rank < 2 || !dim_is_const(im->g->dims, x->dims[1], &channels) || !groups ||
        groups->i < 1 || channels % groups->i)
        return import_error(im, n, NULL, "its channels do not split into its groups");
    int64_t shape[] = {groups->i, channels / groups->i};
    for (uint32_t i = 1; i < 3; i++) {
        const type *t = tensor_of(im, n, i);
        if (!t || t->rank != 1) return import_error(im, n, NULL, "input %u is no vector", i);
        value_id v = binary(im, n, "Unsqueeze", n->inputs.data[i], import_ints(im, &one, 1));
        v = binary(im, n, "Expand", v, import_ints(im, shape, 2));
        n->inputs.data[i] = binary(im, n, "Reshape", v, import_ints(im, &all, 1));
        if (!n->inputs.data[i]) return false;
    }
    return true;
}

/* (x - mean) / sqrt(variance + epsilon) * scale + bias, all of the shape of one element of the
 * batch. */
bool upgrade_batch_norm_elements(importer *im, import_node *n) {
    const attr *epsilon = import_attr(n, "epsilon");
    double e = epsilon ? epsilon->f : 1e-5;
    if (n->inputs.count != 5 || n->output_count > 1)
        return import_error(im, n, NULL, "spatial=0 is supported for inference alone");
    const value_id *in = n->inputs.data;
    const type *x = tensor_of(im, n, 0);
    if (!x) return import_error(im, n, NULL, "its input is no tensor of a known rank");
    attr to = attr_int("to", (int64_t)x->dtype);
    value_id small = graph_add_constant_floats(im->g, NULL, DTYPE_F32, 0, NULL, &e);
    if (x->dtype != DTYPE_F32) small = import_helper(im, n, "Cast", 1, &small, 1, &to);
    value_id deviation = binary(im, n, "Add", in[4], small);
    deviation = deviation ? import_helper(im, n, "Sqrt", 1, &deviation, 0, NULL) : 0;
    value_id y = binary(im, n, "Div", binary(im, n, "Sub", in[0], in[3]), deviation);
    return become(n, binary(im, n, "Add", binary(im, n, "Mul", y, in[1]), in[2]));
}
