/* test_schema.c: the generated operator-schema table and its look-ups. */
#include "ir/schema.h"
#include "test/unit.h"

enum { FLOAT = 1, INT64 = 7, STRING = 8 };

static void test_table_is_sorted(void) {
    CHECK(schema_op_count > 200);
    for (size_t i = 1; i < schema_op_count; i++) {
        int c = strcmp(schema_ops[i - 1].domain, schema_ops[i].domain);
        CHECK(c < 0 || (c == 0 && strcmp(schema_ops[i - 1].name, schema_ops[i].name) < 0));
    }
    for (size_t i = 0; i < schema_op_count; i++) {
        const schema_op *op = &schema_ops[i];
        CHECK(schema_find(op->domain, op->name) == op);
        CHECK(op->version_count > 0);
        for (size_t v = 1; v < op->version_count; v++)
            CHECK(op->versions[v - 1].since < op->versions[v].since);
    }
}

static void test_versions(void) {
    const schema_op *conv = schema_find("ai.onnx", "Conv");
    CHECK(conv == schema_find("", "Conv"));
    CHECK(schema_at(conv, 1)->since == 1);
    CHECK(schema_at(conv, 10)->since == 1);
    CHECK(schema_at(conv, 11)->since == 11);
    CHECK(schema_at(conv, schema_newest_opset)->since == 22);
    CHECK(schema_at(schema_find("", "Gelu"), 19) == NULL);
    CHECK(schema_at(schema_find("", "Upsample"), 28)->deprecated);
    CHECK(schema_find("", "NoSuchOperator") == NULL);
    CHECK(schema_find("com.example", "Conv") == NULL);
}

static void test_parameters(void) {
    const schema_version *conv = schema_at(schema_find("", "Conv"), 22);
    CHECK(conv->min_input == 2 && conv->max_input == 3 && conv->input_count == 3);
    CHECK(conv->inputs[0].option == SCHEMA_SINGLE && conv->inputs[2].option == SCHEMA_OPTIONAL);
    CHECK_STR(conv->inputs[1].type, "T");
    CHECK(conv->inputs[1].types->elements[SCHEMA_IS_TENSOR] & 1u << FLOAT);
    CHECK(!(conv->inputs[1].types->elements[SCHEMA_IS_TENSOR] & 1u << INT64));
    const schema_version *concat = schema_at(schema_find("", "Concat"), 13);
    CHECK(concat->inputs[0].option == SCHEMA_VARIADIC && concat->max_input == UINT16_MAX);
    CHECK(concat->inputs[0].min_arity == 1 && concat->inputs[0].homogeneous);
    const schema_version *shape = schema_at(schema_find("", "Reshape"), 14);
    CHECK_STR(shape->inputs[1].type, "tensor(int64)");
    CHECK(shape->inputs[1].types->elements[SCHEMA_IS_TENSOR] == 1u << INT64);
    const schema_version *loop = schema_at(schema_find("", "Loop"), 21);
    CHECK(!loop->inputs[2].homogeneous);
    CHECK(loop->inputs[2].types->elements[SCHEMA_IS_OPTIONAL_SEQ] & 1u << FLOAT);
}

static void test_attributes(void) {
    const schema_version *conv = schema_at(schema_find("", "Conv"), 22);
    CHECK(schema_find_attribute(conv, "group")->value.i == 1);
    CHECK_STR(schema_find_attribute(conv, "auto_pad")->value.s, "NOTSET");
    CHECK(schema_find_attribute(conv, "pads")->kind == SCHEMA_INTS);
    CHECK(!schema_find_attribute(conv, "pads")->has_default);
    CHECK(schema_find_attribute(conv, "axis") == NULL);
    const schema_version *bn = schema_at(schema_find("", "BatchNormalization"), 15);
    double epsilon = schema_find_attribute(bn, "epsilon")->value.f;
    CHECK((float)epsilon == 1e-5f);
    CHECK(schema_find_attribute(schema_at(schema_find("", "Concat"), 13), "axis")->required);
    const schema_attribute *lstm =
        schema_find_attribute(schema_at(schema_find("", "RNN"), 22), "activations");
    CHECK(lstm->kind == SCHEMA_STRINGS && lstm->count == 2);
    CHECK_STR(lstm->value.strings[1], "Tanh");
}

static void test_functions(void) {
    const schema_version *v = schema_at(schema_find("", "HardSwish"), 22);
    const schema_function *f = schema_find_function(v, 28);
    CHECK(f && f->size > 10 && f->bytes);
    CHECK(schema_find_function(schema_at(schema_find("", "Conv"), 22), 28) == NULL);
    CHECK(schema_at(schema_find("", "LayerNormalization"), 17)->context_function);
}

static void test_maps(void) {
    const schema_version *v = schema_at(schema_find("ai.onnx.ml", "ZipMap"), 1);
    CHECK(v->outputs[0].types->elements[SCHEMA_IS_SEQ_MAP_INT64] == 1u << FLOAT);
    CHECK(v->outputs[0].types->elements[SCHEMA_IS_SEQ_MAP_STRING] == 1u << FLOAT);
    v = schema_at(schema_find("ai.onnx.ml", "DictVectorizer"), 1);
    CHECK(v->inputs[0].types->elements[SCHEMA_IS_MAP_INT64] & 1u << STRING);
}

int main(void) {
    RUN(test_table_is_sorted);
    RUN(test_versions);
    RUN(test_parameters);
    RUN(test_attributes);
    RUN(test_functions);
    RUN(test_maps);
    return unit_finish();
}
