/* ml_map.c: the operators of ai.onnx.ml that read a map: CastMap and DictVectorizer. A map that the
 * model takes is two vectors, its keys and as many values; one node stands for both under the name
 * of the input and is gone once its readers are spelt. */
#include "ir/ops/ml.h"

#include <string.h>

/* ---- onnxcc.Map ---- */

static bool infer_map(graph *g, node_id n) {
    const type keys = *kit_input(g, n, 0), values = *kit_input(g, n, 1);
    type *element = ARENA_NEW(g->memory, type);
    *element = type_tensor(values.dtype, 0, NULL);
    op_set_type(g, n, 0,
                (type){.kind = TYPE_MAP, .dtype = keys.dtype, .rank = -1, .element = element});
    return true;
}

/* The keys and the values of input 0. */
static bool read_map(graph *g, node_id n, value_id *keys, value_id *values) {
    const node *made = graph_node(g, graph_value(g, graph_input(g, n, 0))->producer);
    if (strcmp(made->op->domain, OP_INTERNAL) != 0 || strcmp(made->op->name, "Map") != 0)
        return op_error(g, n, "only a map that is an input of the model is supported",
                        "its map is made by %s", made->op->name);
    *keys = made->inputs[0];
    *values = made->inputs[1];
    return true;
}

/* ---- spelling ---- */

/* What stands where a map has no key: 0 or an empty string, of the type of `values`. */
static value_id nothing(graph *g, value_id values) {
    const int64_t one = 1, zero = 0;
    const double none = 0;
    dtype t = graph_type(g, values)->dtype;
    if (t == DTYPE_STRING) {
        blob_string *empty = ARENA_NEW(g->memory, blob_string);
        *empty = (blob_string){"", 0};
        return graph_add_constant(g, NULL, type_tensor_const(g, t, 1, &one),
                                  (blob){empty, sizeof *empty, false});
    }
    if (dtype_is_float(t)) return graph_add_constant_floats(g, NULL, t, 1, &one, &none);
    return graph_add_constant_ints(g, NULL, t, 1, &one, &zero);
}

/* A vector of `size` elements: values[i] at places[i], nothing elsewhere. A place of `size` is left
 * out; others that are out of range end the run. */
static value_id place(graph *g, node_id n, value_id values, value_id places, int64_t size) {
    const int64_t room = size + 1, start = 0;
    value_id count = spell_size(g, n, values, 0);
    value_id table[] = {kit_build2(g, n, "Expand", count, kit_ints(g, &room, 1)), places,
                        spell_range(g, n, values, 0)};
    value_id from = kit_build(g, n, "ScatterElements", 3, table, 0, NULL);
    value_id slice[] = {from, kit_ints(g, &start, 1), kit_ints(g, &size, 1)};
    from = kit_build(g, n, "Slice", 3, slice, 0, NULL);
    value_id parts[] = {values, nothing(g, values)};
    return kit_build2(g, n, "Gather", spell_concat(g, n, 0, 2, parts), from);
}

/* The vector, or one row of a table where the model declares that (ONNX Runtime's shape). */
static bool become_vector(graph *g, node_id n, value_id v) {
    const int64_t first = 0;
    const type *declared = graph_type(g, graph_output(g, n, 0));
    if (v && declared->kind == TYPE_TENSOR && declared->rank == 2)
        v = kit_build2(g, n, "Unsqueeze", v, kit_ints(g, &first, 1));
    return spell_result(g, n, v);
}

static bool expand_dict_vectorizer(graph *g, node_id n) {
    value_id keys, values;
    int64_t count = 0;
    if (!read_map(g, n, &keys, &values)) return false;
    bool text = graph_type(g, keys)->dtype == DTYPE_STRING;
    const char *vocabulary = text ? "string_vocabulary" : "int64_vocabulary";
    if (!ml_count(g, n, vocabulary)) return op_error(g, n, NULL, "it has no %s", vocabulary);
    value_id words = ml_labels(g, n, text ? "" : vocabulary, text ? vocabulary : "", &count);
    value_id places = words ? ml_find(g, n, keys, words, count) : 0;
    return become_vector(g, n, places ? place(g, n, values, places, count) : 0);
}

/* Values in the order of their keys. */
static value_id pack(graph *g, node_id n, value_id keys, value_id values) {
    const attr smallest[] = {attr_int("axis", 0), attr_int("largest", 0), attr_int("sorted", 1)};
    value_id inputs[] = {keys, spell_size(g, n, keys, 0)}, sorted[2];
    if (!spell_node(g, n, "TopK", 2, inputs, 3, smallest, 2, sorted)) return 0;
    return kit_build2(g, n, "Gather", values, sorted[1]);
}

/* values[i] at keys[i] of `size`; a negative key is out of range. */
static value_id spread(graph *g, node_id n, value_id keys, value_id values, int64_t size) {
    const int64_t zero = 0, outside = size + 1;
    value_id choice[] = {kit_build2(g, n, "Less", keys, kit_ints(g, &zero, 1)),
                         kit_ints(g, &outside, 1), keys};
    return place(g, n, values, kit_build(g, n, "Where", 3, choice, 0, NULL), size);
}

static bool expand_cast_map(graph *g, node_id n) {
    static const struct {
        const char *name;
        dtype to;
    } casts[] = {{"TO_FLOAT", DTYPE_F32}, {"TO_STRING", DTYPE_STRING}, {"TO_INT64", DTYPE_I64}};
    const char *to = node_attr_string(graph_node(g, n), "cast_to", "TO_FLOAT");
    const char *form = node_attr_string(graph_node(g, n), "map_form", "DENSE");
    int64_t size = node_attr_int(graph_node(g, n), "max_map", 1);
    value_id keys, values, cast = 0;
    if (!read_map(g, n, &keys, &values)) return false;
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++)
        if (strcmp(to, casts[i].name) == 0) cast = kit_build_cast(g, n, values, casts[i].to);
    if (!cast) return op_error(g, n, NULL, "attribute cast_to is %s", to);
    bool sparse = strcmp(form, "SPARSE") == 0;
    if (!sparse && strcmp(form, "DENSE") != 0)
        return op_error(g, n, NULL, "attribute map_form is %s", form);
    if (sparse && (size < 1 || size > INT32_MAX))
        return op_error(g, n, NULL, "attribute max_map is %lld", (long long)size);
    return become_vector(g, n, sparse ? spread(g, n, keys, cast, size) : pack(g, n, keys, cast));
}

const op_def ops_ml_map[] = {
    ML_ROW("CastMap", expand_cast_map),
    ML_ROW("DictVectorizer", expand_dict_vectorizer),
    {.domain = OP_INTERNAL, .name = "Map", .infer = infer_map},
};
const size_t ops_ml_map_count = sizeof ops_ml_map / sizeof *ops_ml_map;
