/* upgrade.c: old opsets in the newest meaning: one row for each change of an operator. A node
 * passes the rows that are newer than its opset, in order, and is emitted with today's attributes
 * and inputs. Differences that only widened types need no row. */
#include "frontend/upgrade.h"

#include <string.h>

typedef struct {
    const char *op;
    int below; /* applies to nodes of an opset below this one */
    /* Rewrites the node. It may emit nodes in front; sets *done where it has emitted the node
     * itself. False after a diagnostic. */
    bool (*run)(importer *im, import_node *n, bool *done);
    const char *attribute; /* for the shared functions */
    uint32_t input;
} upgrade_row;

static void set_input(importer *im, import_node *n, uint32_t i, value_id v) {
    while (n->inputs.count <= i) list_push(im->g->memory, &n->inputs, 0);
    n->inputs.data[i] = v;
}

static int64_t int_of(import_node *n, const char *name, int64_t otherwise) {
    const attr *a = import_attr(n, name);
    return a && a->kind == ATTR_INT ? a->i : otherwise;
}

static const type *type_of(importer *im, const import_node *n, uint32_t i) {
    return i < n->inputs.count && n->inputs.data[i] ? graph_type(im->g, n->inputs.data[i]) : NULL;
}

/* ---- attributes that became inputs ---- */

/* A list or a number of integers. */
static bool ints_to_input(importer *im, import_node *n, const char *name, uint32_t input,
                          bool scalar) {
    const attr *a = import_attr(n, name);
    if (!a) return true;
    value_id v = scalar ? graph_add_constant_ints(im->g, NULL, DTYPE_I64, 0, NULL, &a->i)
                        : import_ints(im, a->kind == ATTR_INTS ? a->ints : &a->i,
                                      a->kind == ATTR_INTS ? a->count : 1);
    set_input(im, n, input, v);
    import_drop_attr(n, name);
    return true;
}

/* A number of the type of the first input, as a scalar. */
static bool float_to_input(importer *im, import_node *n, const char *name, uint32_t input) {
    const attr *a = import_attr(n, name);
    const type *x = type_of(im, n, 0);
    if (!a) return true;
    dtype t = x && x->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    value_id v = graph_add_constant_floats(im->g, NULL, t, 0, NULL, &a->f);
    if (x && x->dtype != t) {
        attr to = attr_int("to", (int64_t)x->dtype);
        v = import_helper(im, n, "Cast", 1, &v, 1, &to);
        if (!v) return false;
    }
    set_input(im, n, input, v);
    import_drop_attr(n, name);
    return true;
}

static bool up_slice(importer *im, import_node *n, bool *done) {
    (void)done;
    ints_to_input(im, n, "starts", 1, false);
    ints_to_input(im, n, "ends", 2, false);
    return ints_to_input(im, n, "axes", 3, false);
}

static bool up_pad(importer *im, import_node *n, bool *done) {
    (void)done;
    attr *old = import_attr(n, "paddings");
    if (old) old->name = "pads";
    ints_to_input(im, n, "pads", 1, false);
    return float_to_input(im, n, "value", 2);
}

static bool up_clip(importer *im, import_node *n, bool *done) {
    (void)done;
    import_drop_attr(n, "consumed_inputs");
    return float_to_input(im, n, "min", 1) && float_to_input(im, n, "max", 2);
}

static bool up_topk(importer *im, import_node *n, bool *done) {
    (void)done;
    const attr *k = import_attr(n, "k");
    return !k || ints_to_input(im, n, "k", 1, false);
}

static bool up_dropout(importer *im, import_node *n, bool *done) {
    (void)done;
    import_drop_attr(n, "consumed_inputs");
    import_drop_attr(n, "is_test");
    return float_to_input(im, n, "ratio", 1);
}

/* ---- attributes that went away or changed ---- */

static bool up_drop_consumed(importer *im, import_node *n, bool *done) {
    (void)im;
    (void)done;
    import_drop_attr(n, "consumed_inputs");
    return true;
}

static bool up_batch_norm(importer *im, import_node *n, bool *done) {
    (void)done;
    if (!int_of(n, "spatial", 1) && n->opset < 9) return upgrade_batch_norm_elements(im, n);
    static const char *const old[] = {"spatial", "is_test", "consumed_inputs"};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) import_drop_attr(n, old[i]);
    /* The optional outputs of old versions hold nothing at inference. */
    if (n->output_count > 1) n->output_count = 1;
    return true;
}

static const struct {
    const char *name;
    dtype type;
} cast_names[] = {{"FLOAT", DTYPE_F32},    {"FLOAT16", DTYPE_F16}, {"DOUBLE", DTYPE_F64},
                  {"INT8", DTYPE_I8},      {"INT16", DTYPE_I16},   {"INT32", DTYPE_I32},
                  {"INT64", DTYPE_I64},    {"UINT8", DTYPE_U8},    {"UINT16", DTYPE_U16},
                  {"UINT32", DTYPE_U32},   {"UINT64", DTYPE_U64},  {"BOOL", DTYPE_BOOL},
                  {"STRING", DTYPE_STRING}};

static bool up_cast(importer *im, import_node *n, bool *done) {
    (void)done;
    attr *to = import_attr(n, "to");
    for (size_t i = 0; to && to->kind == ATTR_STRING && i < sizeof cast_names / sizeof *cast_names;
         i++)
        if (strcmp(to->string, cast_names[i].name) == 0) {
            *to = attr_int("to", (int64_t)cast_names[i].type);
            return true;
        }
    return to && to->kind == ATTR_INT ? true
                                      : import_error(im, n, NULL, "attribute \"to\" names no type");
}

static bool up_concat(importer *im, import_node *n, bool *done) {
    (void)done;
    if (!import_attr(n, "axis")) list_push(im->g->memory, &n->attrs, attr_int("axis", 1));
    return true;
}

/* Gives the second operand axes of one element at its end, so that its first lies on axis `first`
 * of the other operand. */
static bool align_second(importer *im, import_node *n, int64_t first) {
    const type *x = type_of(im, n, 0), *y = type_of(im, n, 1);
    int64_t axes[TENSOR_MAX_RANK];
    if (first < 0 || first + y->rank > x->rank)
        return import_error(im, n, NULL, "attribute axis does not fit the operands");
    size_t count = (size_t)(x->rank - first - y->rank);
    if (!count) return true;
    for (size_t i = 0; i < count; i++) axes[i] = y->rank + (int64_t)i;
    value_id inputs[] = {n->inputs.data[1], import_ints(im, axes, count)};
    return (n->inputs.data[1] = import_helper(im, n, "Unsqueeze", 2, inputs, 0, NULL)) != 0;
}

/* Broadcasting before opset 7: the second operand is aligned with `axis` of the first. */
static bool up_broadcast(importer *im, import_node *n, bool *done) {
    (void)done;
    const type *x = type_of(im, n, 0), *y = type_of(im, n, 1);
    const attr *axis = import_attr(n, "axis");
    if (axis && x && y && int_of(n, "broadcast", 0) &&
        !align_second(im, n, axis->i < 0 ? axis->i + x->rank : axis->i))
        return false;
    import_drop_attr(n, "axis");
    import_drop_attr(n, "broadcast");
    import_drop_attr(n, "consumed_inputs");
    return true;
}

/* The slopes of PRelu before opset 7 are one a channel. */
static bool up_prelu(importer *im, import_node *n, bool *done) {
    (void)done;
    import_drop_attr(n, "consumed_inputs");
    const type *x = type_of(im, n, 0), *slope = type_of(im, n, 1);
    return !x || !slope || slope->rank != 1 || x->rank < 2 || align_second(im, n, 1);
}

/* Softmax and its kin before opset 13 work on the tensor as a matrix that is split at `axis`. */
static bool up_softmax(importer *im, import_node *n, bool *done) {
    const type *x = type_of(im, n, 0);
    int64_t axis = int_of(n, "axis", 1);
    if (!x || x->kind != TYPE_TENSOR) return import_error(im, n, NULL, "its input is no tensor");
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis > x->rank)
        return import_error(im, n, NULL, "attribute axis is out of range");
    import_drop_attr(n, "axis");
    list_push(im->g->memory, &n->attrs, attr_int("axis", -1));
    if (axis == x->rank - 1) return true;
    attr split = attr_int("axis", axis), last = attr_int("axis", -1);
    value_id shape = import_helper(im, n, "Shape", 1, &n->inputs.data[0], 0, NULL);
    value_id flat = import_helper(im, n, "Flatten", 1, &n->inputs.data[0], 1, &split);
    value_id soft = shape && flat ? import_helper(im, n, n->op, 1, &flat, 1, &last) : 0;
    if (!soft) return false;
    n->op = "Reshape";
    n->attrs.count = n->inputs.count = 0;
    list_push(im->g->memory, &n->inputs, soft);
    list_push(im->g->memory, &n->inputs, shape);
    *done = true;
    return import_emit(im, n);
}

static bool up_upsample(importer *im, import_node *n, bool *done) {
    (void)done;
    const attr *scales = import_attr(n, "scales"), *mode = import_attr(n, "mode");
    value_id factors = n->inputs.count > 1 ? n->inputs.data[1] : 0;
    if (scales) {
        int64_t dims[] = {(int64_t)scales->count};
        factors = graph_add_constant_floats(im->g, NULL, DTYPE_F32, 1, dims, scales->floats);
    }
    const char *how = mode ? mode->string : "nearest";
    if (strcmp(how, "bilinear") == 0 || strcmp(how, "trilinear") == 0) how = "linear";
    n->op = "Resize";
    n->attrs.count = 0;
    list_push(im->g->memory, &n->attrs, attr_string("mode", how));
    list_push(im->g->memory, &n->attrs,
              attr_string("coordinate_transformation_mode", "asymmetric"));
    list_push(im->g->memory, &n->attrs, attr_string("nearest_mode", "floor"));
    set_input(im, n, 2, factors);
    n->inputs.data[1] = 0;
    return factors ? true : import_error(im, n, NULL, "it has no scales");
}

static bool up_resize_10(importer *im, import_node *n, bool *done) {
    (void)done;
    value_id factors = n->inputs.count > 1 ? n->inputs.data[1] : 0;
    list_push(im->g->memory, &n->attrs,
              attr_string("coordinate_transformation_mode", "asymmetric"));
    list_push(im->g->memory, &n->attrs, attr_string("nearest_mode", "floor"));
    set_input(im, n, 2, factors);
    n->inputs.data[1] = 0;
    return true;
}

/* Empty constant tensors stood for inputs left out. */
static bool up_resize_11(importer *im, import_node *n, bool *done) {
    (void)done;
    for (uint32_t i = 1; i < n->inputs.count; i++) {
        const type *t = type_of(im, n, i);
        if (t && t->kind == TYPE_TENSOR && t->rank == 1 &&
            dim_equals_const(im->g->dims, t->dims[0], 0))
            n->inputs.data[i] = 0;
    }
    return true;
}

static bool up_scatter(importer *im, import_node *n, bool *done) {
    (void)im;
    (void)done;
    n->op = "ScatterElements";
    return true;
}

static bool up_gemm(importer *im, import_node *n, bool *done) {
    (void)im;
    (void)done;
    import_drop_attr(n, "broadcast");
    return true;
}

/* The axis of DFT before opset 20 was an attribute, and 1 by default. */
static bool up_dft(importer *im, import_node *n, bool *done) {
    (void)done;
    if (!import_attr(n, "axis")) list_push(im->g->memory, &n->attrs, attr_int("axis", 1));
    return ints_to_input(im, n, "axis", 2, true);
}

/* Recurrent operators before opset 7 had output_sequence; the first output is there or not by its
 * name. */
static bool up_recurrent(importer *im, import_node *n, bool *done) {
    (void)im;
    (void)done;
    import_drop_attr(n, "output_sequence");
    return true;
}

/* ---- the table. Rows of one operator stand from old to new. ---- */

#define AXES(op, below)                                                                            \
    { op, below, NULL, "axes", 1 }
#define OLD_BROADCAST(op)                                                                          \
    { op, 7, up_broadcast, NULL, 0 }
#define CONSUMED(op)                                                                               \
    { op, 6, up_drop_consumed, NULL, 0 }

static const upgrade_row rows[] = {
    {"Slice", 10, up_slice, NULL, 0},
    {"Pad", 11, up_pad, NULL, 0},
    {"Clip", 11, up_clip, NULL, 0},
    {"TopK", 10, up_topk, NULL, 0},
    {"Dropout", 12, up_dropout, NULL, 0},
    {"Split", 13, NULL, "split", 1},
    {"Reshape", 5, NULL, "shape", 1},
    {"Tile", 6, upgrade_tile, NULL, 0},
    {"GlobalLpPool", 2, upgrade_norm_order, NULL, 0},
    {"LpPool", 2, upgrade_norm_order, NULL, 0},
    {"Scan", 9, upgrade_scan, NULL, 0},
    {"RoiAlign", 16, upgrade_roi_align, NULL, 0},
    {"GroupNormalization", 21, upgrade_group_norm, NULL, 0},
    AXES("Squeeze", 13),
    AXES("Unsqueeze", 13),
    AXES("ReduceSum", 13),
    AXES("ReduceMean", 18),
    AXES("ReduceMax", 18),
    AXES("ReduceMin", 18),
    AXES("ReduceProd", 18),
    AXES("ReduceL1", 18),
    AXES("ReduceL2", 18),
    AXES("ReduceLogSum", 18),
    AXES("ReduceLogSumExp", 18),
    AXES("ReduceSumSquare", 18),
    {"BatchNormalization", 14, up_batch_norm, NULL, 0},
    {"Cast", 6, up_cast, NULL, 0},
    {"Concat", 4, up_concat, NULL, 0},
    OLD_BROADCAST("Add"),
    OLD_BROADCAST("Sub"),
    OLD_BROADCAST("Mul"),
    OLD_BROADCAST("Div"),
    OLD_BROADCAST("Pow"),
    OLD_BROADCAST("And"),
    OLD_BROADCAST("Or"),
    OLD_BROADCAST("Xor"),
    OLD_BROADCAST("Equal"),
    OLD_BROADCAST("Greater"),
    OLD_BROADCAST("Less"),
    {"PRelu", 7, up_prelu, NULL, 0},
    {"Softmax", 13, up_softmax, NULL, 0},
    {"LogSoftmax", 13, up_softmax, NULL, 0},
    {"Hardmax", 13, up_softmax, NULL, 0},
    {"Upsample", 7, upgrade_upsample, NULL, 0},
    {"Upsample", 10, up_upsample, NULL, 0},
    {"Resize", 11, up_resize_10, NULL, 0},
    {"Resize", 13, up_resize_11, NULL, 0},
    {"Scatter", 11, up_scatter, NULL, 0},
    {"Gemm", 7, up_gemm, NULL, 0},
    {"DFT", 20, up_dft, NULL, 0},
    {"LSTM", 7, up_recurrent, NULL, 0},
    {"GRU", 7, up_recurrent, NULL, 0},
    {"RNN", 7, up_recurrent, NULL, 0},
    CONSUMED("Abs"),
    CONSUMED("Ceil"),
    CONSUMED("Elu"),
    CONSUMED("Exp"),
    CONSUMED("Floor"),
    CONSUMED("HardSigmoid"),
    CONSUMED("InstanceNormalization"),
    CONSUMED("LeakyRelu"),
    CONSUMED("Log"),
    CONSUMED("Max"),
    CONSUMED("Mean"),
    CONSUMED("Min"),
    CONSUMED("Neg"),
    CONSUMED("Reciprocal"),
    CONSUMED("Relu"),
    {"Selu", 6, upgrade_selu, NULL, 0},
    CONSUMED("Sigmoid"),
    CONSUMED("Sqrt"),
    CONSUMED("Sum"),
    CONSUMED("Tanh"),
};

static bool dispatch(importer *im, import_node *n, const upgrade_row *row, bool *done) {
    if (row->run) return row->run(im, n, done);
    return ints_to_input(im, n, row->attribute, row->input, false);
}

bool import_has_upgrade(const import_node *n) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!*n->domain && strcmp(rows[i].op, n->op) == 0 && n->opset < rows[i].below) return true;
    return false;
}

bool import_upgrade(importer *im, import_node *n) {
    bool done = false;
    const char *op = n->op;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !*n->domain; i++)
        if (strcmp(rows[i].op, op) == 0 && n->opset < rows[i].below) {
            if (!dispatch(im, n, &rows[i], &done)) return false;
            if (done) return true;
        }
    if (!op_find(n->domain, n->op))
        return import_error(im, n, "docs/operators.md lists what is supported",
                            "the operator is not supported");
    return import_emit(im, n);
}
