/* load.c: opens and maps files, and keeps external data within the model's folder. What is in the
 * tensors is load_tensor.c's. See load.h. */
#include "frontend/load.h"

#include <onnx/onnx-data.pb-c.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The resolved folder of a file; NULL if there is none. */
static const char *folder_of(arena *a, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *folder = !slash          ? "."
                         : slash == path ? "/"
                                         : arena_strndup(a, path, (size_t)(slash - path));
    char *resolved = realpath(folder, NULL);
    if (!resolved) return NULL;
    folder = arena_strdup(a, resolved);
    free(resolved);
    return folder;
}

/* ---- models ---- */

static load_model_result *parse_model(wire_span bytes, arena *a, diag *d) {
    const char *error = "the file is empty";
    ProtobufCMessage *message =
        bytes.size ? wire_parse(&onnx__model_proto__descriptor, bytes, a, &error) : NULL;
    if (!message) {
        diag_error(d, NULL, NULL, NULL, "not an ONNX model: %s", error);
        return NULL;
    }
    const Onnx__ModelProto *proto = (const Onnx__ModelProto *)message;
    if (!proto->graph) {
        diag_error(d, NULL, NULL, NULL, "not an ONNX model: it has no graph");
        return NULL;
    }
    load_model_result *m = ARENA_NEW(a, load_model_result);
    m->proto = proto;
    m->files.memory = a;
    m->files.diag = d;
    return m;
}

load_model_result *load_model_bytes(wire_span bytes, const char *folder, arena *a, diag *d) {
    load_model_result *m = parse_model(bytes, a, d);
    if (!m || !folder) return m;
    m->files.folder = folder_of(a, arena_printf(a, "%s/", folder));
    return m;
}

load_model_result *load_model(const char *path, arena *a, diag *d) {
    wire_span bytes;
    const char *error;
    if (!file_map(path, &bytes, &error)) {
        diag_error(d, NULL, NULL, NULL, "cannot read the model: %s", error);
        return NULL;
    }
    load_model_result *m = parse_model(bytes, a, d);
    if (!m) {
        file_unmap(bytes);
        return NULL;
    }
    m->files.folder = folder_of(a, path);
    load_mapping mapping = {.path = arena_strdup(a, path), .bytes = bytes};
    list_push(a, &m->files.mappings, mapping);
    return m;
}

void load_close(load_model_result *m) {
    if (!m) return;
    for (size_t i = 0; i < m->files.mappings.count; i++)
        file_unmap(m->files.mappings.data[i].bytes);
    m->files.mappings.count = 0;
}

const Onnx__FunctionProto *load_function(wire_span bytes, arena *a, diag *d) {
    const char *error;
    ProtobufCMessage *message = wire_parse(&onnx__function_proto__descriptor, bytes, a, &error);
    if (!message) diag_error(d, NULL, NULL, NULL, "not an ONNX function: %s", error);
    return (const Onnx__FunctionProto *)message;
}

/* ---- external data ---- */

static const char LEAVES[] = "external data must lie in the model's folder or below it";

/* True if the location cannot name a file below the folder. Links are seen to by realpath. */
static bool is_unsafe(const char *location) {
    if (!*location || *location == '/') return true;
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2])) return true;
    }
    return false;
}

static bool is_below(const char *folder, const char *path) {
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(folder, path, n) == 0 && path[n] == '/';
}

static const load_mapping *find_mapping(const load_files *files, const char *location,
                                        const char *path) {
    for (size_t i = 0; i < files->mappings.count; i++) {
        const load_mapping *m = &files->mappings.data[i];
        if (m->location &&
            strcmp(location ? m->location : m->path, location ? location : path) == 0)
            return m;
    }
    return NULL;
}

bool load_open_external(load_files *files, const char *location, const char *node, wire_span *out) {
    arena *a = files->memory;
    const load_mapping *known = find_mapping(files, location, NULL);
    if (known) {
        *out = known->bytes;
        return true;
    }
    if (!files->folder)
        return diag_error(files->diag, node, NULL, NULL,
                          "external data \"%s\" of a model that is not a file", location);
    if (is_unsafe(location))
        return diag_error(files->diag, node, NULL, LEAVES,
                          "external data path \"%s\" leaves the model's folder", location);
    char *resolved = realpath(arena_printf(a, "%s/%s", files->folder, location), NULL);
    if (!resolved)
        return diag_error(files->diag, node, NULL, NULL, "cannot read external data \"%s\": %s",
                          location, strerror(errno));
    const char *path = arena_strdup(a, resolved);
    free(resolved);
    if (!is_below(files->folder, path))
        return diag_error(files->diag, node, NULL, LEAVES,
                          "external data path \"%s\" leads out of the model's folder, to %s",
                          location, path);
    load_mapping mapping = {.location = arena_strdup(a, location), .path = path};
    known = find_mapping(files, NULL, path);
    if (known) {
        *out = known->bytes; /* another spelling of a name that is known */
        return true;
    }
    const char *error;
    if (!file_map(path, &mapping.bytes, &error))
        return diag_error(files->diag, node, NULL, NULL, "cannot read external data \"%s\": %s",
                          location, error);
    list_push(a, &files->mappings, mapping);
    *out = mapping.bytes;
    return true;
}

/* ---- test data ---- */

static bool read_sequence(load_files *files, const Onnx__SequenceProto *s, load_value *out);
static bool read_optional(load_files *files, const Onnx__OptionalProto *o, load_value *out);
static bool read_map(load_files *files, const Onnx__MapProto *m, load_value *out);

static bool read_tensor(load_files *files, const Onnx__TensorProto *t, load_value *out) {
    out->kind = TYPE_TENSOR;
    return load_tensor(files, t, NULL, &out->tensor);
}

static bool read_sparse(load_files *files, const Onnx__SparseTensorProto *t, load_value *out) {
    out->kind = TYPE_TENSOR;
    return load_sparse_tensor(files, t, NULL, &out->tensor);
}

static bool read_sequence(load_files *files, const Onnx__SequenceProto *s, load_value *out) {
    load_value *items =
        ARENA_ARRAY(files->memory, load_value,
                    s->n_tensor_values + s->n_sparse_tensor_values + s->n_sequence_values +
                        s->n_map_values + s->n_optional_values);
    *out = (load_value){.kind = TYPE_SEQUENCE, .items = items};
    bool ok = true;
    for (size_t i = 0; ok && i < s->n_tensor_values; i++)
        ok = read_tensor(files, s->tensor_values[i], &items[out->count++]);
    for (size_t i = 0; ok && i < s->n_sparse_tensor_values; i++)
        ok = read_sparse(files, s->sparse_tensor_values[i], &items[out->count++]);
    for (size_t i = 0; ok && i < s->n_sequence_values; i++)
        ok = read_sequence(files, s->sequence_values[i], &items[out->count++]);
    for (size_t i = 0; ok && i < s->n_map_values; i++)
        ok = read_map(files, s->map_values[i], &items[out->count++]);
    for (size_t i = 0; ok && i < s->n_optional_values; i++)
        ok = read_optional(files, s->optional_values[i], &items[out->count++]);
    return ok;
}

static bool read_optional(load_files *files, const Onnx__OptionalProto *o, load_value *out) {
    load_value *item = ARENA_NEW(files->memory, load_value);
    *out = (load_value){.kind = TYPE_OPTIONAL, .count = 1, .items = item};
    if (o->tensor_value) return read_tensor(files, o->tensor_value, item);
    if (o->sparse_tensor_value) return read_sparse(files, o->sparse_tensor_value, item);
    if (o->sequence_value) return read_sequence(files, o->sequence_value, item);
    if (o->map_value) return read_map(files, o->map_value, item);
    if (o->optional_value) return read_optional(files, o->optional_value, item);
    out->count = 0;
    return true;
}

/* A vector of the single elements that a list of tensors holds. */
static bool join_elements(load_files *files, const load_value *list, dtype t, load_value *out) {
    size_t bytes = dtype_bytes(t);
    unsigned char *data = arena_alloc(files->memory, list->count * bytes + 1);
    for (size_t i = 0; i < list->count; i++) {
        const load_tensor_result *x = &list->items[i].tensor;
        if (list->items[i].kind != TYPE_TENSOR || x->dtype != t || x->data.bytes != bytes)
            return diag_error(files->diag, x->name, NULL, NULL,
                              "a value of the map is no single number or string");
        memcpy(data + i * bytes, x->data.data, bytes);
    }
    int64_t *dims = ARENA_ARRAY(files->memory, int64_t, 1);
    dims[0] = (int64_t)list->count;
    *out = (load_value){.kind = TYPE_TENSOR,
                        .tensor = {.name = "",
                                   .dtype = t,
                                   .rank = 1,
                                   .dims = dims,
                                   .data = {.data = data, .bytes = list->count * bytes}}};
    return true;
}

static load_value map_keys(load_files *files, const Onnx__MapProto *m, size_t count) {
    arena *a = files->memory;
    bool strings = m->n_string_keys > 0;
    load_tensor_result keys = {.name = "", .dtype = strings ? DTYPE_STRING : DTYPE_I64, .rank = 1};
    int64_t *dims = ARENA_ARRAY(a, int64_t, 1);
    dims[0] = (int64_t)count;
    keys.dims = dims;
    keys.data = (blob){.data = m->keys, .bytes = count * sizeof *m->keys};
    if (strings) {
        blob_string *texts = ARENA_ARRAY(a, blob_string, count);
        for (size_t i = 0; i < count; i++)
            texts[i] = (blob_string){(const char *)m->string_keys[i].data, m->string_keys[i].len};
        keys.data = (blob){.data = texts, .bytes = count * sizeof *texts};
    }
    return (load_value){.kind = TYPE_TENSOR, .tensor = keys};
}

/* Two vectors: the keys, and the values. */
static bool read_map(load_files *files, const Onnx__MapProto *m, load_value *out) {
    load_value list = {0}, *parts = ARENA_ARRAY(files->memory, load_value, 2);
    size_t n = m->n_string_keys ? m->n_string_keys : m->n_keys;
    if (m->values && !read_sequence(files, m->values, &list)) return false;
    if (n != list.count)
        return diag_error(files->diag, m->name, NULL, NULL, "a map of %zu keys and %zu values", n,
                          list.count);
    dtype t = n && list.items[0].kind == TYPE_TENSOR ? list.items[0].tensor.dtype : DTYPE_F32;
    parts[0] = map_keys(files, m, n);
    *out = (load_value){.kind = TYPE_MAP, .count = 2, .items = parts};
    return join_elements(files, &list, t, &parts[1]);
}

static const ProtobufCMessageDescriptor *value_descriptor(type_kind kind) {
    switch (kind) {
    case TYPE_SEQUENCE: return &onnx__sequence_proto__descriptor;
    case TYPE_OPTIONAL: return &onnx__optional_proto__descriptor;
    case TYPE_MAP: return &onnx__map_proto__descriptor;
    default: return &onnx__tensor_proto__descriptor;
    }
}

bool load_value_file(const char *path, type_kind kind, arena *a, diag *d, load_value *out) {
    wire_span file;
    const char *error;
    if (!file_map(path, &file, &error))
        return diag_error(d, path, NULL, NULL, "cannot read test data: %s", error);
    /* Test data is small: a copy in the arena spares its users a file to close. */
    uint8_t *bytes = arena_alloc(a, file.size);
    memcpy(bytes, file.data, file.size);
    size_t size = file.size;
    file_unmap(file);
    const ProtobufCMessageDescriptor *descriptor = value_descriptor(kind);
    ProtobufCMessage *message = wire_parse(descriptor, (wire_span){bytes, size}, a, &error);
    if (!message)
        return diag_error(d, path, NULL, NULL, "no %s: %s", descriptor->short_name, error);
    load_files files = {.memory = a, .diag = d};
    switch (kind) {
    case TYPE_SEQUENCE: return read_sequence(&files, (const Onnx__SequenceProto *)message, out);
    case TYPE_OPTIONAL: return read_optional(&files, (const Onnx__OptionalProto *)message, out);
    case TYPE_MAP: return read_map(&files, (const Onnx__MapProto *)message, out);
    default: return read_tensor(&files, (const Onnx__TensorProto *)message, out);
    }
}
