/* load_tensor.c: the elements of one tensor, from raw_data, from the typed fields, or from a file
 * beside the model; every size is checked against the dimensions. Data that lies in the mapping as
 * the IR wants it is not copied. See load.h. */
#include "frontend/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data is read in place");

enum {
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
    /* A few bytes of a sparse tensor can ask for any amount of memory; this much is given. */
    MAX_SPARSE_BYTES = 1 << 30
};

/* What the messages need to know. */
typedef struct {
    load_files *files;
    const char *name;
    dtype dtype;
    size_t count; /* elements that the dimensions ask for */
} reading;

static bool fail(const reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const reading *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(r->files->memory, format, args);
    va_end(args);
    return diag_error(r->files->diag, r->name, NULL, NULL, "%s", message);
}

bool load_count_elements(int rank, const int64_t *dims, size_t *count) {
    bool empty = false;
    size_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0 || dims[i] > DIM_MAX) return false;
        if (dims[i] == 0) empty = true;
    }
    for (int i = 0; i < rank && !empty; i++)
        if (__builtin_mul_overflow(n, (size_t)dims[i], &n) || n > PTRDIFF_MAX / 16) return false;
    *count = empty ? 0 : n;
    return true;
}

/* ---- narrow types ---- */

/* Bytes of `count` elements as ONNX packs them. */
static size_t packed_bytes(dtype t, size_t count) {
    int bits = dtype_bits(t);
    if (bits == 4) return count / 2 + count % 2;
    if (bits == 2) return count / 4 + (count % 4 != 0);
    return count * dtype_bytes(t);
}

static bool is_narrow(dtype t) {
    int bits = dtype_bits(t);
    return bits == 4 || bits == 2;
}

/* One element a byte, first element in the low bits; signed ones get their sign. */
static blob unpack(arena *a, dtype t, size_t count, const uint8_t *packed) {
    int bits = dtype_bits(t), per_byte = 8 / bits;
    bool is_signed = dtype_class_of(t) == DTYPE_CLASS_INT;
    uint8_t *out = arena_alloc(a, count);
    for (size_t i = 0; i < count; i++) {
        int v = packed[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
        if (is_signed && v >> (bits - 1)) v -= 1 << bits;
        out[i] = (uint8_t)v;
    }
    return (blob){.data = out, .bytes = count};
}

/* Any byte but 0 is true; most files have only 0 and 1, and are used in place. */
static blob normalise_bools(arena *a, size_t count, const uint8_t *data) {
    bool clean = true;
    for (size_t i = 0; i < count; i++) clean &= data[i] <= 1;
    if (clean) return (blob){.data = data, .bytes = count};
    uint8_t *out = arena_alloc(a, count);
    for (size_t i = 0; i < count; i++) out[i] = data[i] != 0;
    return (blob){.data = out, .bytes = count};
}

/* Elements in the form of raw_data; `bytes` are exactly packed_bytes of them. */
static blob from_raw(const reading *r, const uint8_t *data) {
    arena *a = r->files->memory;
    if (is_narrow(r->dtype)) return unpack(a, r->dtype, r->count, data);
    if (r->dtype == DTYPE_BOOL) return normalise_bools(a, r->count, data);
    return (blob){.data = data, .bytes = packed_bytes(r->dtype, r->count)};
}

/* ---- typed fields ---- */

/* The field that holds elements of a type, and the bytes of one of its numbers in the result. */
static uint32_t field_of(dtype t) {
    switch (t) {
    case DTYPE_F32:
    case DTYPE_C64: return FLOAT_DATA;
    case DTYPE_F64:
    case DTYPE_C128: return DOUBLE_DATA;
    case DTYPE_I64: return INT64_DATA;
    case DTYPE_U32:
    case DTYPE_U64: return UINT64_DATA;
    case DTYPE_STRING: return STRING_DATA;
    default: return INT32_DATA;
    }
}

static size_t number_bytes(dtype t) {
    switch (t) {
    case DTYPE_C64: return 4;
    case DTYPE_C128: return 8;
    default: return dtype_bytes(t);
    }
}

/* The numbers of one field of a tensor: packed, one by one, or both. */
typedef struct {
    uint8_t *out;
    size_t width, count, capacity;
} numbers;

static bool put_number(numbers *n, uint64_t value) {
    if (n->count == n->capacity) return false;
    memcpy(n->out + n->count++ * n->width, &value, n->width);
    return true;
}

/* Adds one field. False if there are more numbers than fit. */
static bool put_field(numbers *n, const wire_field *field, uint32_t tag) {
    wire_span rest = field->bytes;
    if (field->type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) return put_number(n, field->number);
    if (tag == FLOAT_DATA || tag == DOUBLE_DATA) {
        size_t count = rest.size / n->width;
        if (rest.size % n->width || count > n->capacity - n->count) return false;
        if (count) memcpy(n->out + n->count * n->width, rest.data, rest.size);
        n->count += count;
        return true;
    }
    for (uint64_t value; rest.size;)
        if (!wire_varint(&rest, &value) || !put_number(n, value)) return false;
    return true;
}

static bool wire_type_fits(const wire_field *field, uint32_t tag) {
    switch (field->type) {
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: return true;
    case PROTOBUF_C_WIRE_TYPE_32BIT: return tag == FLOAT_DATA;
    case PROTOBUF_C_WIRE_TYPE_64BIT: return tag == DOUBLE_DATA;
    default: return tag != FLOAT_DATA && tag != DOUBLE_DATA && tag != STRING_DATA;
    }
}

static bool wrong_count(const reading *r, const char *what) {
    return fail(r, "the tensor's dimensions ask for %zu elements, its data has %s", r->count, what);
}

static bool read_strings(const reading *r, wire_span body, blob *out) {
    /* Each takes two bytes at least, so a short file cannot ask for much. */
    if (r->count > body.size / 2) return wrong_count(r, "fewer");
    blob_string *strings = ARENA_ARRAY(r->files->memory, blob_string, r->count);
    size_t n = 0;
    for (wire_field field; body.size && wire_next(&body, &field);) {
        if (field.tag != STRING_DATA) continue;
        if (!wire_type_fits(&field, STRING_DATA)) return fail(r, "malformed tensor data");
        if (n == r->count) return wrong_count(r, "more");
        strings[n++] = (blob_string){(const char *)field.bytes.data, field.bytes.size};
    }
    if (n < r->count) return wrong_count(r, "fewer");
    *out = (blob){.data = strings, .bytes = n * sizeof *strings};
    return true;
}

static bool read_numbers(const reading *r, wire_span body, blob *out) {
    bool narrow = is_narrow(r->dtype);
    uint32_t tag = field_of(r->dtype);
    numbers n = {.width = number_bytes(r->dtype)};
    n.capacity = packed_bytes(r->dtype, r->count) / n.width;
    /* A number takes a byte at least. */
    if (n.capacity > body.size) return wrong_count(r, "fewer");
    wire_field field, last = {0};
    size_t fields = 0;
    for (wire_span rest = body; rest.size && wire_next(&rest, &field);) {
        if (field.tag != tag) continue;
        if (!wire_type_fits(&field, tag)) return fail(r, "malformed tensor data");
        last = field;
        fields++;
    }
    if (fields == 1 && last.bytes.size && (tag == FLOAT_DATA || tag == DOUBLE_DATA)) {
        if (last.bytes.size != n.capacity * n.width) return wrong_count(r, "another number");
        *out = (blob){.data = last.bytes.data, .bytes = last.bytes.size};
        return true;
    }
    n.out = arena_alloc_array(r->files->memory, n.capacity, n.width);
    for (wire_span rest = body; rest.size && wire_next(&rest, &field);)
        if (field.tag == tag && !put_field(&n, &field, tag)) return wrong_count(r, "more");
    if (n.count < n.capacity) return wrong_count(r, "fewer");
    *out = narrow || r->dtype == DTYPE_BOOL ? from_raw(r, n.out)
                                            : (blob){.data = n.out, .bytes = n.count * n.width};
    return true;
}

static bool find_raw(wire_span body, wire_span *raw) {
    bool found = false;
    for (wire_field field; body.size && wire_next(&body, &field);) {
        if (field.tag != RAW_DATA || field.type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) continue;
        *raw = field.bytes;
        found = true;
    }
    return found;
}

/* ---- external data ---- */

static const char *external_entry(const Onnx__TensorProto *t, const char *key) {
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && strcmp(e->key, key) == 0) return e->value ? e->value : "";
    }
    return NULL;
}

static bool parse_size(const char *text, size_t *out) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || v > PTRDIFF_MAX) return false;
    *out = (size_t)v;
    return true;
}

static bool read_external(const reading *r, const Onnx__TensorProto *t, blob *out) {
    const char *location = external_entry(t, "location");
    const char *offset_text = external_entry(t, "offset");
    const char *length_text = external_entry(t, "length");
    size_t needed = packed_bytes(r->dtype, r->count), offset = 0, length = needed;
    wire_span file;
    if (!location) return fail(r, "external data without a location");
    if (r->dtype == DTYPE_STRING) return fail(r, "strings cannot be external data");
    if (offset_text && !parse_size(offset_text, &offset))
        return fail(r, "external data offset \"%s\" is no number", offset_text);
    if (length_text && !parse_size(length_text, &length))
        return fail(r, "external data length \"%s\" is no number", length_text);
    if (length != needed)
        return fail(r, "the tensor's dimensions ask for %zu bytes, its external data has %zu",
                    needed, length);
    if (!load_open_external(r->files, location, r->name, &file)) return false;
    if (offset > file.size || length > file.size - offset)
        return fail(r, "external data \"%s\" has %zu bytes, the tensor wants %zu at %zu", location,
                    file.size, length, offset);
    *out = from_raw(r, file.data + offset);
    return true;
}

/* ---- tensors ---- */

static bool read_data(const reading *r, const Onnx__TensorProto *t, blob *out) {
    wire_span raw, body = wire_tensor(t);
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return read_external(r, t, out);
    if (r->dtype == DTYPE_STRING) return read_strings(r, body, out);
    if (!find_raw(body, &raw)) return read_numbers(r, body, out);
    if (raw.size != packed_bytes(r->dtype, r->count))
        return fail(r, "the tensor's dimensions ask for %zu bytes, its raw data has %zu",
                    packed_bytes(r->dtype, r->count), raw.size);
    *out = from_raw(r, raw.data);
    return true;
}

static bool check_shape(const reading *r, size_t rank, const int64_t *dims, size_t *count) {
    if (rank > TENSOR_MAX_RANK)
        return fail(r, "a tensor of rank %zu; at most %d is supported", rank, TENSOR_MAX_RANK);
    if (!load_count_elements((int)rank, dims, count))
        return fail(r, "the tensor's dimensions are negative or too large");
    return true;
}

bool load_tensor(load_files *files, const Onnx__TensorProto *t, const char *node,
                 load_tensor_result *out) {
    const char *name = t->name ? t->name : "";
    reading r = {.files = files, .name = node ? node : *name ? name : NULL};
    int number = t->has_data_type ? t->data_type : 0;
    if (number <= DTYPE_NONE || number >= DTYPE_COUNT)
        return fail(&r, "element type %d of the tensor is unknown", number);
    r.dtype = (dtype)number;
    if (t->segment) return fail(&r, "a tensor in segments is not supported");
    if (!check_shape(&r, t->n_dims, t->dims, &r.count)) return false;
    *out = (load_tensor_result){
        .name = name, .dtype = r.dtype, .rank = (int)t->n_dims, .dims = t->dims};
    return read_data(&r, t, &out->data);
}

/* ---- sparse tensors ---- */

/* Position of element i in the dense tensor: `indices` are linear (rank 1) or one row of
 * coordinates an element (rank 2). False if it lies outside. */
static bool sparse_position(const load_tensor_result *indices, size_t rank, const int64_t *dims,
                            size_t count, size_t i, size_t *out) {
    const uint8_t *data = indices->data.data;
    size_t position = 0, columns = indices->rank == 1 ? 1 : rank;
    for (size_t c = 0; c < columns; c++) {
        int64_t v;
        memcpy(&v, data + (i * columns + c) * sizeof v, sizeof v);
        int64_t limit = indices->rank == 1 ? (int64_t)count : dims[c];
        if (v < 0 || v >= limit) return false;
        position = position * (size_t)limit + (size_t)v;
    }
    *out = position;
    return true;
}

static bool scatter(const reading *r, const Onnx__SparseTensorProto *s,
                    const load_tensor_result *values, const load_tensor_result *indices,
                    blob *out) {
    size_t width = dtype_bytes(r->dtype), stored = (size_t)values->dims[0];
    if (stored == 0) {
        *out = (blob){.data = arena_alloc(r->files->memory, width),
                      .bytes = r->count ? width : 0,
                      .splat = r->count > 0};
        return true;
    }
    if (r->count > MAX_SPARSE_BYTES / width)
        return fail(r, "a sparse tensor of %zu elements is too large to be made dense", r->count);
    uint8_t *dense = arena_alloc_array(r->files->memory, r->count, width);
    for (size_t i = 0; i < stored; i++) {
        size_t position;
        if (!sparse_position(indices, s->n_dims, s->dims, r->count, i, &position))
            return fail(r, "index %zu of the sparse tensor is out of range", i);
        memcpy(dense + position * width, (const uint8_t *)values->data.data + i * width, width);
    }
    *out = (blob){.data = dense, .bytes = r->count * width};
    return true;
}

bool load_sparse_tensor(load_files *files, const Onnx__SparseTensorProto *s, const char *node,
                        load_tensor_result *out) {
    load_tensor_result values, indices;
    reading r = {.files = files, .name = node};
    if (!s->values || !s->indices) return fail(&r, "a sparse tensor without values or indices");
    if (!load_tensor(files, s->values, node, &values) ||
        !load_tensor(files, s->indices, node, &indices))
        return false;
    if (!r.name) r.name = values.name;
    r.dtype = values.dtype;
    if (!check_shape(&r, s->n_dims, s->dims, &r.count)) return false;
    bool linear = indices.rank == 1;
    bool fits = values.rank == 1 && indices.dtype == DTYPE_I64 &&
                (linear || (indices.rank == 2 && indices.dims[1] == (int64_t)s->n_dims)) &&
                indices.dims[0] == values.dims[0];
    if (!fits) return fail(&r, "values and indices of the sparse tensor do not match");
    if (r.dtype == DTYPE_STRING) return fail(&r, "a sparse tensor of strings is not supported");
    *out = (load_tensor_result){
        .name = values.name, .dtype = r.dtype, .rank = (int)s->n_dims, .dims = s->dims};
    return scatter(&r, s, &values, &indices, &out->data);
}
