/* wire.c: copies a message without its tensors' data (the skeleton, a few per cent of a model),
 * checking it on the way, and hands that to protobuf-c, which copies all that it reads and recurses
 * as deep as the data tells it to. Each tensor's raw_data in the skeleton is a wire_span of the
 * tensor in the original bytes. See wire.h. */
#include "frontend/wire.h"

#include <onnx/onnx-ml.pb-c.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_GRAPH_DEPTH = 64,
    MAX_MESSAGE_DEPTH = 256,
    MAX_ITEMS = 1 << 24,
    RAW_DATA = 9, /* the number of TensorProto.raw_data */
    LENGTH_BYTES = 5
};

/* The fields of TensorProto that hold elements. */
static bool is_tensor_data(uint32_t tag) {
    return (tag >= 4 && tag <= 7) || (tag >= 9 && tag <= 11);
}

bool wire_varint(wire_span *rest, uint64_t *value) {
    uint64_t result = 0;
    for (size_t i = 0; i < 10 && i < rest->size; i++) {
        result |= (uint64_t)(rest->data[i] & 0x7f) << (7 * i);
        if (rest->data[i] & 0x80) continue;
        rest->data += i + 1;
        rest->size -= i + 1;
        *value = result;
        return true;
    }
    return false;
}

static bool take(wire_span *rest, uint64_t size, wire_span *out) {
    if (size > rest->size) return false;
    *out = (wire_span){rest->data, (size_t)size};
    rest->data += size;
    rest->size -= size;
    return true;
}

bool wire_next(wire_span *rest, wire_field *field) {
    uint64_t key, length;
    wire_span fixed;
    if (!wire_varint(rest, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff) return false;
    *field = (wire_field){.tag = (uint32_t)(key >> 3), .type = key & 7};
    switch (field->type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT: return wire_varint(rest, &field->number);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        if (!take(rest, 8, &fixed)) return false;
        memcpy(&field->number, fixed.data, 8);
        return true;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        if (!take(rest, 4, &fixed)) return false;
        memcpy(&field->number, fixed.data, 4);
        return true;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        return wire_varint(rest, &length) && take(rest, length, &field->bytes);
    default: return false; /* groups: no ONNX message has them */
    }
}

static ProtobufCWireType wire_type_of(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default: return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* Repeated numbers may come packed into one length-prefixed field. */
static bool is_packed(wire_span bytes, ProtobufCWireType type) {
    uint64_t ignored;
    if (type == PROTOBUF_C_WIRE_TYPE_32BIT) return bytes.size % 4 == 0;
    if (type == PROTOBUF_C_WIRE_TYPE_64BIT) return bytes.size % 8 == 0;
    while (bytes.size)
        if (!wire_varint(&bytes, &ignored)) return false;
    return true;
}

/* ---- the skeleton ---- */

typedef struct {
    uint8_t *data;
    size_t size, capacity;
    const uint8_t *origin; /* start of the original bytes, to give positions in messages */
    arena *memory;
    const char *error;
    size_t items;
    int graphs, depth;
} skeleton;

static bool fail(skeleton *s, const uint8_t *at, const char *what) {
    if (!s->error)
        s->error = arena_printf(s->memory, "%s at byte %zu", what, (size_t)(at - s->origin));
    return false;
}

static void append(skeleton *s, const void *data, size_t size) {
    if (s->size + size > s->capacity) {
        s->capacity = (s->size + size) * 2;
        s->data = realloc(s->data, s->capacity);
        if (!s->data) abort(); /* like the arena: there is no sensible way on */
    }
    memcpy(s->data + s->size, data, size);
    s->size += size;
}

/* A length as a varint of fixed width, to be filled in once it is known. */
static void put_length(uint8_t *at, uint64_t length) {
    for (int i = 0; i < LENGTH_BYTES; i++, length >>= 7)
        at[i] = (length & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0);
}

static bool copy_message(skeleton *s, const ProtobufCMessageDescriptor *d, wire_span bytes);

static bool copy_submessage(skeleton *s, const ProtobufCFieldDescriptor *f, wire_span bytes) {
    uint8_t head[5 + LENGTH_BYTES];
    size_t n = 0;
    uint32_t key = f->id << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    for (; key >= 0x80; key >>= 7) head[n++] = (key & 0x7f) | 0x80;
    head[n++] = key;
    append(s, head, n + LENGTH_BYTES);
    size_t start = s->size;
    if (!copy_message(s, f->descriptor, bytes)) return false;
    put_length(s->data + start - LENGTH_BYTES, s->size - start);
    return true;
}

/* Whether the field's form on the wire is one that its type can have. `seen` has a bit for every
 * field of the message: a message that is not repeated comes once (protobuf would merge two). */
static bool check_field(const ProtobufCFieldDescriptor *f, const wire_field *field, uint64_t bit,
                        uint64_t *seen) {
    ProtobufCWireType wanted = wire_type_of(f->type);
    bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (field->type != wanted)
        return repeated && field->type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
               is_packed(field->bytes, wanted);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && !repeated) {
        if (*seen & bit) return false;
        *seen |= bit;
    }
    return true;
}

static bool copy_fields(skeleton *s, const ProtobufCMessageDescriptor *d, wire_span bytes) {
    bool tensor = d == &onnx__tensor_proto__descriptor;
    uint64_t seen = 0;
    for (wire_span rest = bytes; rest.size;) {
        const uint8_t *start = rest.data;
        wire_field field;
        if (!wire_next(&rest, &field)) return fail(s, start, "truncated or malformed data");
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, field.tag);
        if (!f || (tensor && is_tensor_data(field.tag))) continue;
        if (!check_field(f, &field, UINT64_C(1) << (f - d->fields), &seen))
            return fail(s, start,
                        arena_printf(s->memory, "malformed field %s.%s", d->short_name, f->name));
        if (++s->items > MAX_ITEMS) return fail(s, start, "more than 2^24 items");
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            append(s, start, (size_t)(rest.data - start));
        else if (!copy_submessage(s, f, field.bytes))
            return false;
        if (s->size > INT_MAX) return fail(s, start, "more than 2 GB without the tensors");
    }
    if (tensor) {
        const uint8_t head[] = {RAW_DATA << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, sizeof bytes};
        append(s, head, sizeof head);
        append(s, &bytes, sizeof bytes);
    }
    return true;
}

static bool copy_message(skeleton *s, const ProtobufCMessageDescriptor *d, wire_span bytes) {
    int graph = d == &onnx__graph_proto__descriptor;
    s->graphs += graph;
    s->depth++;
    bool ok = s->graphs <= MAX_GRAPH_DEPTH && s->depth <= MAX_MESSAGE_DEPTH
                  ? copy_fields(s, d, bytes)
                  : fail(s, bytes.data, "graphs or types nested too deep");
    s->graphs -= graph;
    s->depth--;
    return ok;
}

/* ---- parsing ---- */

static void *allocate(void *memory, size_t size) {
    return arena_alloc(memory, size);
}

static void release(void *memory, void *pointer) {
    (void)memory;
    (void)pointer;
}

ProtobufCMessage *wire_parse(const ProtobufCMessageDescriptor *descriptor, wire_span bytes,
                             arena *a, const char **error) {
    skeleton s = {.origin = bytes.data, .memory = a};
    ProtobufCMessage *message = NULL;
    if (copy_message(&s, descriptor, bytes)) {
        ProtobufCAllocator allocator = {allocate, release, a};
        message = protobuf_c_message_unpack(descriptor, &allocator, s.size, s.data);
        if (!message) s.error = "malformed data";
    }
    free(s.data);
    *error = s.error;
    return message;
}

wire_span wire_tensor(const Onnx__TensorProto *tensor) {
    wire_span bytes = {NULL, 0};
    if (tensor->has_raw_data && tensor->raw_data.len == sizeof bytes)
        memcpy(&bytes, tensor->raw_data.data, sizeof bytes);
    return bytes;
}
