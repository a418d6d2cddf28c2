/* proto.h: writes protobuf messages by hand, the malformed ones too: tests of the loader build
 * their models with it. */
#ifndef ONNXCC_TEST_PROTO_H
#define ONNXCC_TEST_PROTO_H

#include "frontend/wire.h"

#include <string.h>

typedef struct {
    uint8_t data[1 << 16];
    size_t size;
} proto;

static inline void proto_byte(proto *p, unsigned v) {
    p->data[p->size++] = (uint8_t)v;
}

static inline void proto_varint(proto *p, uint64_t v) {
    for (; v >= 0x80; v >>= 7) proto_byte(p, (v & 0x7f) | 0x80);
    proto_byte(p, (unsigned)v);
}

static inline void proto_int(proto *p, uint32_t tag, uint64_t v) {
    proto_varint(p, tag << 3);
    proto_varint(p, v);
}

static inline void proto_bytes(proto *p, uint32_t tag, const void *data, size_t size) {
    proto_varint(p, tag << 3 | 2);
    proto_varint(p, size);
    if (size) memcpy(p->data + p->size, data, size);
    p->size += size;
}

static inline void proto_string(proto *p, uint32_t tag, const char *text) {
    proto_bytes(p, tag, text, strlen(text));
}

static inline void proto_message(proto *p, uint32_t tag, const proto *message) {
    proto_bytes(p, tag, message->data, message->size);
}

static inline wire_span proto_span(const proto *p) {
    return (wire_span){p->data, p->size};
}

/* The fields that the tests use. */
enum {
    MODEL_GRAPH = 7,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_SPARSE_INITIALIZER = 15,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_GRAPH = 6,
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_STRINGS = 6,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_UINT64S = 11,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    SPARSE_VALUES = 1,
    SPARSE_INDICES = 2,
    SPARSE_DIMS = 3
};

/* The beginning of a tensor: type and at most two dimensions, -1 for none. */
static inline proto proto_tensor(int type, int64_t first, int64_t second) {
    proto t = {.size = 0};
    if (first >= 0) proto_int(&t, TENSOR_DIMS, (uint64_t)first);
    if (second >= 0) proto_int(&t, TENSOR_DIMS, (uint64_t)second);
    proto_int(&t, TENSOR_TYPE, (uint64_t)type);
    return t;
}

#endif
