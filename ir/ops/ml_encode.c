/* ml_encode.c: the operators of ai.onnx.ml that look things up: LabelEncoder, CategoryMapper,
 * OneHotEncoder. Keys are sorted at compile time; numbers are found by a search that is one
 * expression, and fuses, strings by a function of the runtime. What belongs to the key found is
 * gathered from a table. */
#include "ir/ops/ml.h"
#include "ir/ops/string.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEYS = 1 << 24 };

/* One key, of whichever kind, and its place in the model. */
typedef struct {
    double f;
    int64_t i;
    blob_string s;
    size_t place;
    dtype kind; /* F64, I64 or STRING: which of the above */
} key;

typedef struct {
    key *data; /* sorted, different */
    size_t count;
    dtype kind;
} key_list;

/* NaN sorts last; equal keys by their place. */
static int order_keys(const key *a, const key *b) {
    if (a->kind == DTYPE_I64) return (a->i > b->i) - (a->i < b->i);
    if (a->kind == DTYPE_F64) {
        if (isnan(a->f) || isnan(b->f)) return isnan(a->f) - isnan(b->f);
        return (a->f > b->f) - (a->f < b->f);
    }
    size_t shared = a->s.length < b->s.length ? a->s.length : b->s.length;
    int order = shared ? memcmp(a->s.data, b->s.data, shared) : 0;
    return order ? order : (a->s.length > b->s.length) - (a->s.length < b->s.length);
}

static int compare_keys(const void *a, const void *b) {
    const key *x = a, *y = b;
    int order = order_keys(x, y);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* Sorts; of equal keys the last one counts, as in the reference. */
static void sort_keys(key_list *l) {
    size_t kept = 0;
    if (l->count) qsort(l->data, l->count, sizeof *l->data, compare_keys);
    for (size_t i = 0; i < l->count; i++) {
        if (kept && order_keys(&l->data[kept - 1], &l->data[i]) == 0) kept--;
        l->data[kept++] = l->data[i];
    }
    l->count = kept;
}

static void read_tensor_key(const graph *g, value_id v, size_t i, key *out) {
    const value *c = graph_value(g, v);
    if (out->kind == DTYPE_STRING)
        out->s = ((const blob_string *)c->constant->data)[c->constant->splat ? 0 : i];
    else if (out->kind == DTYPE_F64)
        out->f = value_float(c, g->dims, i);
    else
        out->i = value_int(c, g->dims, i);
}

static dtype kind_of(dtype t) {
    return t == DTYPE_STRING ? t : dtype_is_float(t) ? DTYPE_F64 : DTYPE_I64;
}

/* The keys of a constant vector. False and a diagnostic if they do not fit what is looked up. */
static bool read_keys(graph *g, node_id n, value_id keys, dtype wanted, key_list *out) {
    const type t = *graph_type(g, keys);
    int64_t count;
    *out = (key_list){.kind = kind_of(t.dtype)};
    if (kind_of(wanted) != out->kind)
        return op_error(g, n, NULL, "its input is %s, its keys are %s", dtype_name(wanted),
                        dtype_name(t.dtype));
    if (!dim_is_const(g->dims, type_elements(g->dims, &t), &count) || count > MOST_KEYS)
        return op_error(g, n, NULL, "it has too many keys");
    out->data = ARENA_ARRAY(g->memory, key, (size_t)count);
    out->count = (size_t)count;
    for (size_t i = 0; i < out->count; i++) {
        out->data[i] = (key){.place = i, .kind = out->kind};
        read_tensor_key(g, keys, i, &out->data[i]);
    }
    sort_keys(out);
    return true;
}

/* ---- searching ---- */

static value_id find_strings(graph *g, node_id n, value_id x, const key_list *l) {
    blob_string *strings = ARENA_ARRAY(g->memory, blob_string, l->count);
    for (size_t i = 0; i < l->count; i++) strings[i] = l->data[i].s;
    value_id inputs[] = {x, string_table(g, "keys", strings, l->count)};
    return spell_value(g, n, "onnxcc.StringLookup", 2, inputs, 0, NULL);
}

static value_id find_numbers(graph *g, node_id n, value_id x, const key_list *l) {
    dtype t = graph_type(g, x)->dtype;
    double *floats = ARENA_ARRAY(g->memory, double, l->count + 1);
    int64_t *ints = ARENA_ARRAY(g->memory, int64_t, l->count + 1);
    bool nan = l->count && l->kind == DTYPE_F64 && isnan(l->data[l->count - 1].f);
    int64_t count = (int64_t)l->count - nan, size = count ? count : 1;
    for (int64_t i = 0; i < count; i++) {
        floats[i] = l->data[i].f;
        ints[i] = l->data[i].i;
    }
    value_id keys = dtype_is_float(t) ? graph_add_constant_floats(g, NULL, t, 1, &size, floats)
                                      : graph_add_constant_ints(g, NULL, t, 1, &size, ints);
    value_id inputs[] = {x, keys};
    attr attrs[] = {attr_int("count", count), attr_int("nan", nan)};
    return spell_value(g, n, "onnxcc.Lookup", 2, inputs, 2, attrs);
}

value_id ml_find(graph *g, node_id n, value_id x, value_id keys, int64_t missing) {
    key_list l;
    if (!read_keys(g, n, keys, graph_type(g, x)->dtype, &l)) return 0;
    int64_t *places = ARENA_ARRAY(g->memory, int64_t, l.count + 1);
    for (size_t i = 0; i < l.count; i++) places[i] = (int64_t)l.data[i].place;
    places[l.count] = missing;
    value_id sorted =
        l.kind == DTYPE_STRING ? find_strings(g, n, x, &l) : find_numbers(g, n, x, &l);
    return kit_build2(g, n, "Gather", kit_ints(g, places, (int64_t)l.count + (missing >= 0)),
                      sorted);
}

/* ---- onnxcc.Lookup and onnxcc.StringLookup ---- */

static bool infer_lookup(graph *g, node_id n) {
    const type x = *kit_input(g, n, 0);
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, x.rank, x.dims));
    return true;
}

/* The number of keys that are not above x, by halving steps; its predecessor is the place of x. */
static loop_expr element_lookup(lower *l, node_id n, uint32_t output, const loop_expr *index) {
    (void)output;
    const node *nd = graph_node(lower_graph(l), n);
    loop_kernel *k = lower_kernel(l);
    value_id keys = nd->inputs[1];
    int64_t count = node_attr_int(nd, "count", 0), step = 1;
    bool nan = node_attr_int(nd, "nan", 0);
    loop_expr x = lower_read(l, nd->inputs[0], index), at = loop_int(k, 0);
    loop_expr one = loop_int(k, 1), last = loop_int(k, count ? count - 1 : 0);
    while (step <= count / 2) step *= 2;
    for (; count && step; step /= 2) {
        loop_expr next = loop_add(k, at, loop_int(k, step));
        loop_expr place = loop_min(k, loop_sub(k, next, one), last);
        loop_expr below = kit_op2(l, LOOP_LE, lower_read(l, keys, &place), x);
        loop_expr inside = kit_op2(l, LOOP_LE, next, loop_int(k, count));
        at = loop_select(k, loop_and(k, below, inside), next, at);
    }
    loop_expr place = loop_max(k, loop_sub(k, at, one), loop_int(k, 0));
    loop_expr same = kit_op2(l, LOOP_EQ, lower_read(l, keys, &place), x);
    if (!count) same = loop_const_int(k, DTYPE_BOOL, 0);
    loop_expr found = loop_select(k, same, place, loop_int(k, count + nan));
    if (!nan) return found;
    return loop_select(k, kit_op2(l, LOOP_NE, x, x), loop_int(k, count), found);
}

/* ---- spelling ---- */

/* A constant with its elements in one row. */
static value_id flattened(graph *g, value_id v) {
    const value c = *graph_value(g, v);
    dim count = type_elements(g->dims, &c.type);
    return graph_add_constant(g, NULL, type_tensor(c.type.dtype, 1, &count), *c.constant);
}

/* A constant vector from attribute `name`, of whichever kind it is; 0 if it is absent or empty. */
static value_id vector_of(graph *g, node_id n, const char *name) {
    const int64_t flat[] = {-1};
    const attr *a = node_attr(graph_node(g, n), name);
    int64_t count = 0;
    if (!a || !a->count) return 0;
    if (a->kind == ATTR_TENSOR) return flattened(g, a->tensors[0]);
    if (a->kind == ATTR_STRINGS) return ml_labels(g, n, "", name, &count);
    return ml_constant(g, n, name, a->kind == ATTR_INTS ? DTYPE_I64 : DTYPE_F32, 1, flat);
}

/* The list that is given under one of four names. */
static value_id list_of(graph *g, node_id n, const char *const *names) {
    for (int i = 0; i < 4; i++) {
        value_id v = vector_of(g, n, names[i]);
        if (v) return v;
    }
    return 0;
}

/* What a constant vector of type t has for keys that are not found. */
static value_id default_of(graph *g, node_id n, dtype t) {
    const node *nd = graph_node(g, n);
    const attr *tensor = node_attr(nd, "default_tensor");
    const attr *text = node_attr(nd, "default_string");
    const int64_t one = 1, whole = node_attr_int(nd, "default_int64", -1);
    const double number = node_attr_float(nd, "default_float", -0.0);
    if (tensor && graph_type(g, tensor->tensors[0])->dtype == t)
        return vector_of(g, n, "default_tensor");
    if (t == DTYPE_STRING) {
        blob_string *s = ARENA_NEW(g->memory, blob_string);
        *s = (blob_string){text ? text->string : "", text ? text->count : 0};
        return graph_add_constant(g, NULL, type_tensor_const(g, t, 1, &one),
                                  (blob){s, sizeof *s, false});
    }
    if (dtype_is_float(t)) return graph_add_constant_floats(g, NULL, t, 1, &one, &number);
    return graph_add_constant_ints(g, NULL, t, 1, &one, &whole);
}

/* The values of the keys that the elements of input 0 are. */
static bool map_keys(graph *g, node_id n, value_id keys, value_id values) {
    int64_t count, value_count;
    if (!keys || !values) return op_error(g, n, NULL, "it has no keys, or no values for them");
    if (!dim_is_const(g->dims, graph_type(g, keys)->dims[0], &count) ||
        !dim_is_const(g->dims, graph_type(g, values)->dims[0], &value_count) ||
        count != value_count)
        return op_error(g, n, NULL, "it does not have as many values as keys");
    value_id table[] = {values, default_of(g, n, graph_type(g, values)->dtype)};
    if (!table[1] || !dim_equals_const(g->dims, graph_type(g, table[1])->dims[0], 1))
        return op_error(g, n, NULL, "it has no single default value");
    value_id found = ml_find(g, n, graph_input(g, n, 0), keys, count);
    return spell_result(g, n, kit_build2(g, n, "Gather", spell_concat(g, n, 0, 2, table), found));
}

/* 0 to count - 1. */
static value_id count_up(graph *g, int64_t count) {
    int64_t *numbers = ARENA_ARRAY(g->memory, int64_t, (size_t)count + 1);
    for (int64_t i = 0; i < count; i++) numbers[i] = i;
    return kit_ints(g, numbers, count);
}

static bool expand_label_encoder(graph *g, node_id n) {
    static const char *const keys[] = {"keys_tensor", "keys_strings", "keys_int64s", "keys_floats"};
    static const char *const values[] = {"values_tensor", "values_strings", "values_int64s",
                                         "values_floats"};
    /* The first version has classes: strings that stand for their places, or the other way. */
    value_id classes = vector_of(g, n, "classes_strings");
    if (!classes) return map_keys(g, n, list_of(g, n, keys), list_of(g, n, values));
    value_id places = count_up(g, (int64_t)ml_count(g, n, "classes_strings"));
    bool text = kit_input(g, n, 0)->dtype == DTYPE_STRING;
    return map_keys(g, n, text ? classes : places, text ? places : classes);
}

static bool expand_category_mapper(graph *g, node_id n) {
    value_id ints = vector_of(g, n, "cats_int64s"), strings = vector_of(g, n, "cats_strings");
    bool text = kit_input(g, n, 0)->dtype == DTYPE_STRING;
    return map_keys(g, n, text ? strings : ints, text ? ints : strings);
}

/* Without zeros, an element that is no category is an error of the run. */
static bool expand_one_hot_encoder(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0), cats = vector_of(g, n, "cats_strings");
    bool text = graph_type(g, x)->dtype == DTYPE_STRING;
    const int64_t last[] = {-1};
    int64_t count;
    if (!text) {
        x = kit_build_cast(g, n, x, DTYPE_I64);
        cats = vector_of(g, n, "cats_int64s");
    }
    if (!cats || !dim_is_const(g->dims, graph_type(g, cats)->dims[0], &count))
        return op_error(g, n, NULL, "it has no categories");
    bool zeros = node_attr_int(graph_node(g, n), "zeros", 1) != 0;
    value_id found = ml_find(g, n, x, cats, zeros ? count : -1);
    found = found ? kit_build2(g, n, "Unsqueeze", found, kit_ints(g, last, 1)) : 0;
    value_id same = kit_build2(g, n, "Equal", found, count_up(g, count));
    return spell_result(g, n, same ? kit_build_cast(g, n, same, DTYPE_F32) : 0);
}

const op_def ops_ml_encode[] = {
    ML_ROW("CategoryMapper", expand_category_mapper),
    ML_ROW("LabelEncoder", expand_label_encoder),
    ML_ROW("OneHotEncoder", expand_one_hot_encoder),
    {.domain = OP_INTERNAL, .name = "Lookup", .infer = infer_lookup, .element = element_lookup},
    {.domain = OP_INTERNAL, .name = "StringLookup", .infer = infer_lookup, .call = "string_lookup"},
};
const size_t ops_ml_encode_count = sizeof ops_ml_encode / sizeof *ops_ml_encode;
