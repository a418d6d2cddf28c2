/* test_load.c: model files, whole and broken, and the walls around external data. */
#include "frontend/load.h"
#include "test/unit.h"
#include "test/unit/proto.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static arena *memory;
static diag messages;
static char folder[] = "/tmp/onnxcc-test-XXXXXX";

static const char *in_folder(const char *name) {
    return arena_printf(memory, "%s/%s", folder, name);
}

static void put_file(const char *path, const void *data, size_t size) {
    diag d;
    diag_init(&d, memory, NULL);
    CHECK(file_write(path, data, size, memory, &d));
}

static load_model_result *load(const char *path) {
    diag_init(&messages, memory, path);
    return load_model(path, memory, &messages);
}

static load_model_result *load_bytes(const proto *p) {
    diag_init(&messages, memory, NULL);
    uint8_t *copy = malloc(p->size + 1); /* exact, so that a read behind the end is seen */
    memcpy(copy, p->data, p->size);
    load_model_result *m = load_model_bytes((wire_span){copy, p->size}, NULL, memory, &messages);
    if (m) {
        load_tensor_result t;
        for (size_t i = 0; i < m->proto->graph->n_initializer; i++)
            load_tensor(&m->files, m->proto->graph->initializer[i], NULL, &t);
    }
    free(copy);
    return m;
}

static bool said(const char *text) {
    return messages.error_count > 0 &&
           strstr(messages.items.data[messages.items.count - 1].message, text);
}

static proto small_model(void) {
    proto graph = {.size = 0}, model = {.size = 0}, tensor = proto_tensor(DTYPE_F32, 2, -1);
    proto_string(&tensor, TENSOR_NAME, "w");
    proto_bytes(&tensor, TENSOR_RAW, (float[]){1, 2}, 8);
    proto_message(&graph, GRAPH_INITIALIZER, &tensor);
    proto_int(&model, 1, 10);
    proto_message(&model, MODEL_GRAPH, &graph);
    return model;
}

static void test_model(void) {
    proto p = small_model();
    put_file(in_folder("small.onnx"), p.data, p.size);
    load_model_result *m = load(in_folder("small.onnx"));
    CHECK(m && m->proto->ir_version == 10 && m->proto->graph->n_initializer == 1);
    load_tensor_result t;
    CHECK(m && load_tensor(&m->files, m->proto->graph->initializer[0], NULL, &t));
    const uint8_t *file = m ? m->files.mappings.data[0].bytes.data : NULL;
    const uint8_t *data = t.data.data;
    CHECK(file && data > file && data < file + p.size); /* in place, not copied */
    CHECK(memcmp(data, (float[]){1, 2}, 8) == 0);
    load_close(m);
}

static void test_files_that_are_no_models(void) {
    CHECK(!load(in_folder("missing.onnx")) && said("No such file"));
    CHECK(!load(folder) && said("not a regular file"));
    put_file(in_folder("empty.onnx"), "", 0);
    CHECK(!load(in_folder("empty.onnx")) && said("empty"));
    put_file(in_folder("text.onnx"), "hello, world", 12);
    CHECK(!load(in_folder("text.onnx")) && said("not an ONNX model"));
    put_file(in_folder("nograph.onnx"), "\x08\x0a", 2);
    CHECK(!load(in_folder("nograph.onnx")) && said("no graph"));
}

static void test_every_truncation(void) {
    proto p = small_model();
    for (size_t n = 0; n < p.size; n++) {
        proto cut = p;
        cut.size = n;
        CHECK(!load_bytes(&cut));
    }
}

static void test_every_bit_flipped(void) {
    proto p = small_model();
    for (size_t bit = 0; bit < p.size * 8; bit++) {
        proto flipped = p;
        flipped.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        load_bytes(&flipped);
    }
    CHECK(p.size > 0);
}

static proto nested_model(int depth) {
    proto graph = {.size = 0}, model = {.size = 0};
    for (int i = 1; i < depth; i++) {
        proto attribute = {.size = 0}, node = {.size = 0}, outer = {.size = 0};
        proto_message(&attribute, ATTRIBUTE_GRAPH, &graph);
        proto_message(&node, NODE_ATTRIBUTE, &attribute);
        proto_message(&outer, GRAPH_NODE, &node);
        graph = outer;
    }
    proto_message(&model, MODEL_GRAPH, &graph);
    return model;
}

static void test_depth(void) {
    proto p = nested_model(64);
    CHECK(load_bytes(&p));
    p = nested_model(65);
    CHECK(!load_bytes(&p) && said("nested too deep"));
    p = nested_model(2000);
    CHECK(!load_bytes(&p) && said("nested too deep"));
}

static void test_malformed_fields(void) {
    proto p = small_model(), twice = p;
    proto_bytes(&twice, MODEL_GRAPH, "", 0);
    CHECK(!load_bytes(&twice) && said("malformed field ModelProto.graph"));
    proto wrong = p;
    proto_int(&wrong, MODEL_GRAPH, 1);
    CHECK(!load_bytes(&wrong) && said("malformed field"));
    proto group = p;
    proto_varint(&group, 99 << 3 | 3);
    CHECK(!load_bytes(&group) && said("malformed"));
    proto unknown = p;
    proto_string(&unknown, 4000, "from the future");
    CHECK(load_bytes(&unknown));
    proto endless = p;
    for (int i = 0; i < 11; i++) proto_byte(&endless, 0xff);
    CHECK(!load_bytes(&endless));
    proto huge = p;
    proto_varint(&huge, MODEL_GRAPH << 3 | 2);
    proto_varint(&huge, UINT64_MAX);
    CHECK(!load_bytes(&huge));
}

/* ---- external data ---- */

static void put_entry(proto *tensor, const char *key, const char *value) {
    proto entry = {.size = 0};
    proto_string(&entry, ENTRY_KEY, key);
    proto_string(&entry, ENTRY_VALUE, value);
    proto_message(tensor, TENSOR_EXTERNAL, &entry);
}

/* Loads a model whose one tensor (two floats) lies outside; NULL leaves an entry out. */
static bool load_external(const char *location, const char *offset, const char *length,
                          float *out) {
    proto tensor = proto_tensor(DTYPE_F32, 2, -1), graph = {.size = 0}, model = {.size = 0};
    if (location) put_entry(&tensor, "location", location);
    if (offset) put_entry(&tensor, "offset", offset);
    if (length) put_entry(&tensor, "length", length);
    proto_int(&tensor, TENSOR_LOCATION, 1);
    proto_message(&graph, GRAPH_INITIALIZER, &tensor);
    proto_message(&model, MODEL_GRAPH, &graph);
    put_file(in_folder("external.onnx"), model.data, model.size);
    load_model_result *m = load(in_folder("external.onnx"));
    load_tensor_result t;
    bool ok = m && load_tensor(&m->files, m->proto->graph->initializer[0], NULL, &t);
    if (ok) memcpy(out, t.data.data, 8);
    load_close(m);
    return ok;
}

static void test_external(void) {
    float out[2] = {0};
    const float data[] = {9, 1, 2};
    put_file(in_folder("data.bin"), data, sizeof data);
    CHECK(mkdir(in_folder("sub"), 0777) == 0);
    put_file(in_folder("sub/data.bin"), data, sizeof data);
    CHECK(load_external("data.bin", "4", "8", out) && out[0] == 1 && out[1] == 2);
    CHECK(load_external("data.bin", "4", NULL, out));
    CHECK(load_external("./sub/data.bin", NULL, NULL, out) && out[0] == 9);
    CHECK(!load_external("data.bin", "8", "8", out) && said("has 12 bytes"));
    CHECK(!load_external("data.bin", "0", "12", out) && said("ask for 8 bytes"));
    CHECK(!load_external("data.bin", "18446744073709551615", "8", out) && said("no number"));
    CHECK(!load_external("data.bin", "9223372036854775807", "8", out));
    CHECK(!load_external("data.bin", "-4", "8", out) && said("no number"));
    CHECK(!load_external("data.bin", "4x", "8", out) && said("no number"));
    CHECK(!load_external(NULL, NULL, NULL, out) && said("without a location"));
    CHECK(!load_external("missing.bin", NULL, NULL, out) && said("No such file"));
    CHECK(!load_external("sub", NULL, NULL, out) && said("not a regular file"));
}

static void test_external_stays_inside(void) {
    float out[2];
    const char *outside = arena_printf(memory, "%s-outside", folder);
    put_file(outside, "01234567", 8);
    const char *up = arena_printf(memory, "..%s", strrchr(outside, '/'));
    CHECK(!load_external(outside, NULL, NULL, out) && said("leaves the model's folder"));
    CHECK(!load_external(up, NULL, NULL, out) && said("leaves the model's folder"));
    CHECK(!load_external("sub/../data.bin", NULL, NULL, out) && said("leaves"));
    CHECK(!load_external("sub/..", NULL, NULL, out) && said("leaves"));
    CHECK(!load_external("", NULL, NULL, out) && said("leaves"));
    CHECK(symlink(outside, in_folder("link.bin")) == 0);
    CHECK(!load_external("link.bin", NULL, NULL, out) && said("leads out of"));
    CHECK(symlink("/tmp", in_folder("linked")) == 0);
    CHECK(!load_external(arena_printf(memory, "linked%s", strrchr(outside, '/')), NULL, NULL, out));
    CHECK(symlink("data.bin", in_folder("inner.bin")) == 0);
    CHECK(load_external("inner.bin", NULL, NULL, out));
    unlink(outside);
}

static void test_value_files(void) {
    load_value v;
    proto tensor = proto_tensor(DTYPE_F32, 1, -1), sequence = {.size = 0};
    proto_bytes(&tensor, TENSOR_RAW, (float[]){4}, 4);
    put_file(in_folder("tensor.pb"), tensor.data, tensor.size);
    diag_init(&messages, memory, NULL);
    CHECK(load_value_file(in_folder("tensor.pb"), TYPE_TENSOR, memory, &messages, &v));
    CHECK(v.kind == TYPE_TENSOR && v.tensor.rank == 1);
    proto_int(&sequence, 2, 1);
    proto_message(&sequence, 3, &tensor);
    proto_message(&sequence, 3, &tensor);
    put_file(in_folder("sequence.pb"), sequence.data, sequence.size);
    CHECK(load_value_file(in_folder("sequence.pb"), TYPE_SEQUENCE, memory, &messages, &v));
    CHECK(v.kind == TYPE_SEQUENCE && v.count == 2 && v.items[1].kind == TYPE_TENSOR);
    proto optional = {.size = 0};
    proto_message(&optional, 3, &tensor);
    put_file(in_folder("optional.pb"), optional.data, optional.size);
    CHECK(load_value_file(in_folder("optional.pb"), TYPE_OPTIONAL, memory, &messages, &v));
    CHECK(v.kind == TYPE_OPTIONAL && v.count == 1);
    put_file(in_folder("none.pb"), "", 0);
    CHECK(load_value_file(in_folder("none.pb"), TYPE_OPTIONAL, memory, &messages, &v));
    CHECK(v.kind == TYPE_OPTIONAL && v.count == 0);
    proto map = {.size = 0};
    proto_int(&map, 3, 7);
    CHECK(messages.error_count == 0);
    put_file(in_folder("map.pb"), map.data, map.size);
    CHECK(!load_value_file(in_folder("map.pb"), TYPE_MAP, memory, &messages, &v));
}

int main(void) {
    memory = arena_create();
    if (!mkdtemp(folder)) return 1;
    RUN(test_model);
    RUN(test_files_that_are_no_models);
    RUN(test_every_truncation);
    RUN(test_every_bit_flipped);
    RUN(test_depth);
    RUN(test_malformed_fields);
    RUN(test_external);
    RUN(test_external_stays_inside);
    RUN(test_value_files);
    int status = system(arena_printf(memory, "rm -rf %s", folder));
    arena_destroy(memory);
    return unit_finish() | status;
}
