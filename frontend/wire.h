/* wire.h: protobuf's wire format. Walks it, and parses messages through protobuf-c so that the
 * data of tensors is not copied: a model's weights stay in the mapped file. Everything is checked
 * before protobuf-c sees it; the bytes may be anybody's. */
#ifndef ONNXCC_FRONTEND_WIRE_H
#define ONNXCC_FRONTEND_WIRE_H

#include "ir/arena.h"
#include "ir/file.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of a file, or of a part of it. */
typedef file_view wire_span;

/* One field of a message. `number` is the value of a varint or a fixed-width field, `bytes` the
 * payload of a length-prefixed one. */
typedef struct {
    uint32_t tag;
    uint8_t type; /* ProtobufCWireType */
    uint64_t number;
    wire_span bytes;
} wire_field;

/* Takes one field off the front of `rest`. False if the bytes are no field. */
bool wire_next(wire_span *rest, wire_field *field);

/* Takes one varint off the front of `rest`. False if there is none of at most ten bytes. */
bool wire_varint(wire_span *rest, uint64_t *value);

/* Parses `bytes` as a message. In every TensorProto inside, the data fields (raw_data, float_data
 * and so on) are left out; wire_tensor gives the tensor's own bytes, which hold them. The result
 * lies in the arena and refers to `bytes`. NULL and a sentence in *error if it is no such message,
 * nests deeper than 64 graphs, or holds more than 2^24 items. */
ProtobufCMessage *wire_parse(const ProtobufCMessageDescriptor *descriptor, wire_span bytes,
                             arena *a, const char **error);

typedef struct Onnx__TensorProto Onnx__TensorProto;

/* The bytes of a TensorProto that wire_parse made. */
wire_span wire_tensor(const Onnx__TensorProto *tensor);

#endif
