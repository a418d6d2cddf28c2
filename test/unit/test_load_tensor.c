/* test_load_tensor.c: every way in which a model can hold a tensor, right and wrong. */
#include "frontend/load.h"
#include "test/unit.h"
#include "test/unit/proto.h"

static arena *memory;
static diag messages;

/* Loads one tensor from its bytes, as the only initializer of a model would be. */
static bool load(const proto *tensor, load_tensor_result *out) {
    const char *error;
    diag_init(&messages, memory, NULL);
    uint8_t *copy = arena_alloc(memory, tensor->size);
    memcpy(copy, tensor->data, tensor->size);
    ProtobufCMessage *m = wire_parse(&onnx__tensor_proto__descriptor,
                                     (wire_span){copy, tensor->size}, memory, &error);
    load_files files = {.memory = memory, .diag = &messages};
    memset(out, 0, sizeof *out);
    return m && load_tensor(&files, (const Onnx__TensorProto *)m, NULL, out);
}

static bool loads_as(const proto *tensor, const void *bytes, size_t size) {
    load_tensor_result r;
    return load(tensor, &r) && r.data.bytes == size && memcmp(r.data.data, bytes, size) == 0;
}

static bool is_refused(const proto *tensor, const char *because) {
    load_tensor_result r;
    if (load(tensor, &r) || messages.error_count != 1) return false;
    return strstr(messages.items.data[0].message, because) != NULL;
}

static void test_raw(void) {
    const float values[] = {1, -2, 3.5f, 0};
    proto t = proto_tensor(DTYPE_F32, 2, 2);
    proto_string(&t, TENSOR_NAME, "weights");
    proto_bytes(&t, TENSOR_RAW, values, sizeof values);
    CHECK(loads_as(&t, values, sizeof values));
    load_tensor_result r;
    CHECK(load(&t, &r) && r.rank == 2 && r.dims[0] == 2 && r.dims[1] == 2);
    CHECK_STR(r.name, "weights");
    proto_bytes(&t, TENSOR_RAW, values, sizeof values - 4); /* the last one counts */
    CHECK(is_refused(&t, "ask for 16 bytes, its raw data has 12"));
}

static void test_scalar_and_empty(void) {
    const double one = 1;
    proto t = proto_tensor(DTYPE_F64, -1, -1);
    CHECK(is_refused(&t, "ask for 1 elements"));
    proto_bytes(&t, TENSOR_DOUBLES, &one, sizeof one);
    CHECK(loads_as(&t, &one, sizeof one));
    proto empty = proto_tensor(DTYPE_F32, 0, 7);
    CHECK(loads_as(&empty, "", 0));
    proto_bytes(&empty, TENSOR_FLOATS, "abcd", 4);
    CHECK(is_refused(&empty, "ask for 0 elements"));
}

static void test_floats_packed_and_not(void) {
    const float values[] = {1, 2, 3};
    proto t = proto_tensor(DTYPE_F32, 3, -1);
    proto_bytes(&t, TENSOR_FLOATS, values, 8);
    proto_varint(&t, TENSOR_FLOATS << 3 | 5);
    memcpy(t.data + t.size, &values[2], 4);
    t.size += 4;
    CHECK(loads_as(&t, values, sizeof values));
    proto_bytes(&t, TENSOR_FLOATS, values, 4);
    CHECK(is_refused(&t, "more"));
    proto odd = proto_tensor(DTYPE_F32, 3, -1);
    proto_bytes(&odd, TENSOR_FLOATS, values, 11);
    CHECK(is_refused(&odd, "another number"));
}

static void test_ints(void) {
    proto t = proto_tensor(DTYPE_I64, 2, -1);
    proto_int(&t, TENSOR_INT64S, UINT64_MAX);
    proto_int(&t, TENSOR_INT64S, 300);
    CHECK(loads_as(&t, (int64_t[]){-1, 300}, 16));
    t = proto_tensor(DTYPE_U32, 1, -1);
    proto_int(&t, TENSOR_UINT64S, 4000000000u);
    CHECK(loads_as(&t, (uint32_t[]){4000000000u}, 4));
    t = proto_tensor(DTYPE_I16, 3, -1);
    proto_bytes(&t, TENSOR_INT32S, "\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x07", 12);
    CHECK(loads_as(&t, (int16_t[]){5, -1, 7}, 6));
    t = proto_tensor(DTYPE_F16, 1, -1);
    proto_int(&t, TENSOR_INT32S, 0x3c00);
    CHECK(loads_as(&t, (uint16_t[]){0x3c00}, 2));
    t = proto_tensor(DTYPE_F8E4M3FN, 2, -1);
    proto_bytes(&t, TENSOR_INT32S, "\x38\xc0\x01", 3);
    CHECK(loads_as(&t, (uint8_t[]){0x38, 0xc0}, 2));
    t = proto_tensor(DTYPE_I32, 1, -1);
    proto_bytes(&t, TENSOR_INT32S, "\x80", 1); /* a varint without end */
    CHECK(is_refused(&t, "more"));
}

static void test_bools(void) {
    proto t = proto_tensor(DTYPE_BOOL, 3, -1);
    proto_bytes(&t, TENSOR_RAW, "\x00\x02\x01", 3);
    CHECK(loads_as(&t, "\x00\x01\x01", 3));
    t = proto_tensor(DTYPE_BOOL, 2, -1);
    proto_bytes(&t, TENSOR_INT32S, "\x01\x00", 2);
    CHECK(loads_as(&t, "\x01\x00", 2));
}

static void test_narrow(void) {
    proto t = proto_tensor(DTYPE_I4, 3, -1);
    proto_bytes(&t, TENSOR_RAW, "\x8f\x07", 2);
    CHECK(loads_as(&t, "\xff\xf8\x07", 3));
    t = proto_tensor(DTYPE_U4, 3, -1);
    proto_bytes(&t, TENSOR_INT32S, "\x8f\x01\x07", 3); /* the varint 143, then 7 */
    CHECK(loads_as(&t, "\x0f\x08\x07", 3));
    t = proto_tensor(DTYPE_U2, 5, -1);
    proto_bytes(&t, TENSOR_RAW, "\xe4\x02", 2);
    CHECK(loads_as(&t, "\x00\x01\x02\x03\x02", 5));
    t = proto_tensor(DTYPE_I2, 4, -1);
    proto_bytes(&t, TENSOR_RAW, "\xe4", 1);
    CHECK(loads_as(&t, "\x00\x01\xfe\xff", 4));
    t = proto_tensor(DTYPE_F4E2M1, 1, -1);
    proto_bytes(&t, TENSOR_RAW, "\x2f", 1);
    CHECK(loads_as(&t, "\x0f", 1));
    t = proto_tensor(DTYPE_U4, 3, -1);
    proto_bytes(&t, TENSOR_RAW, "\x21", 1);
    CHECK(is_refused(&t, "ask for 2 bytes"));
}

static void test_strings(void) {
    proto t = proto_tensor(DTYPE_STRING, 2, -1);
    proto_string(&t, TENSOR_STRINGS, "one");
    proto_bytes(&t, TENSOR_STRINGS, "\0x", 2);
    load_tensor_result r;
    CHECK(load(&t, &r));
    const blob_string *s = r.data.data;
    CHECK(s[0].length == 3 && memcmp(s[0].data, "one", 3) == 0);
    CHECK(s[1].length == 2 && s[1].data[1] == 'x');
    proto_string(&t, TENSOR_STRINGS, "three");
    CHECK(is_refused(&t, "more"));
    t = proto_tensor(DTYPE_STRING, INT64_C(1) << 39, -1);
    CHECK(is_refused(&t, "fewer"));
}

static void test_hostile_shapes(void) {
    proto t = proto_tensor(DTYPE_F32, INT64_C(1) << 39, INT64_C(1) << 39);
    CHECK(is_refused(&t, "too large"));
    t = proto_tensor(DTYPE_F32, INT64_C(1) << 36, -1);
    CHECK(is_refused(&t, "fewer"));
    t = proto_tensor(DTYPE_F32, -1, -1);
    proto_int(&t, TENSOR_DIMS, UINT64_MAX);
    CHECK(is_refused(&t, "negative"));
    t = proto_tensor(DTYPE_F32, 1, 1);
    for (int i = 0; i < 20; i++) proto_int(&t, TENSOR_DIMS, 1);
    CHECK(is_refused(&t, "rank 22"));
    t = proto_tensor(99, 1, -1);
    CHECK(is_refused(&t, "element type 99"));
    t = proto_tensor(DTYPE_F32, 0, -1);
    proto_bytes(&t, TENSOR_SEGMENT, "", 0);
    CHECK(is_refused(&t, "segments"));
    t = proto_tensor(DTYPE_F32, 1, -1);
    proto_int(&t, TENSOR_FLOATS, 1); /* a varint where floats are due */
    CHECK(is_refused(&t, "malformed"));
}

/* ---- sparse ---- */

static bool load_sparse(const proto *values, const proto *indices, int64_t rows, int64_t columns,
                        load_tensor_result *out) {
    proto s = {.size = 0};
    const char *error;
    diag_init(&messages, memory, NULL);
    proto_message(&s, SPARSE_VALUES, values);
    proto_message(&s, SPARSE_INDICES, indices);
    proto_int(&s, SPARSE_DIMS, (uint64_t)rows);
    proto_int(&s, SPARSE_DIMS, (uint64_t)columns);
    uint8_t *copy = arena_alloc(memory, s.size);
    memcpy(copy, s.data, s.size);
    ProtobufCMessage *m = wire_parse(&onnx__sparse_tensor_proto__descriptor,
                                     (wire_span){copy, s.size}, memory, &error);
    load_files files = {.memory = memory, .diag = &messages};
    return m && load_sparse_tensor(&files, (const Onnx__SparseTensorProto *)m, NULL, out);
}

static void test_sparse(void) {
    load_tensor_result r;
    proto values = proto_tensor(DTYPE_F32, 2, -1);
    proto_bytes(&values, TENSOR_FLOATS, (float[]){5, 6}, 8);
    proto linear = proto_tensor(DTYPE_I64, 2, -1);
    proto_bytes(&linear, TENSOR_INT64S, "\x01\x05", 2);
    CHECK(load_sparse(&values, &linear, 2, 3, &r) && r.data.bytes == 24);
    CHECK(memcmp(r.data.data, (float[]){0, 5, 0, 0, 0, 6}, 24) == 0);
    CHECK(!load_sparse(&values, &linear, 1, 3, &r));
    proto pairs = proto_tensor(DTYPE_I64, 2, 2);
    proto_bytes(&pairs, TENSOR_INT64S, "\x00\x01\x01\x02", 4);
    CHECK(load_sparse(&values, &pairs, 2, 3, &r));
    CHECK(memcmp(r.data.data, (float[]){0, 5, 0, 0, 0, 6}, 24) == 0);
    CHECK(!load_sparse(&values, &pairs, 3, 2, &r));
    CHECK(!load_sparse(&values, &linear, INT64_C(1) << 38, 1, &r)); /* no terabyte for ten bytes */
    proto none = proto_tensor(DTYPE_F32, 0, -1), nowhere = proto_tensor(DTYPE_I64, 0, -1);
    CHECK(load_sparse(&none, &nowhere, INT64_C(1) << 38, 1, &r) && r.data.splat);
    CHECK(!load_sparse(&none, &linear, 2, 3, &r));
}

int main(void) {
    memory = arena_create();
    RUN(test_raw);
    RUN(test_scalar_and_empty);
    RUN(test_floats_packed_and_not);
    RUN(test_ints);
    RUN(test_bools);
    RUN(test_narrow);
    RUN(test_strings);
    RUN(test_hostile_shapes);
    RUN(test_sparse);
    arena_destroy(memory);
    return unit_finish();
}
