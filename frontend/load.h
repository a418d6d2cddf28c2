/* load.h: files into memory: ONNX models with their external data, test data (.pb), single tensors.
 * Big data is mapped, not copied. Leaves the meaning of the model to the importer. Whatever the
 * bytes are, the worst that comes of them is a diagnostic. */
#ifndef ONNXCC_FRONTEND_LOAD_H
#define ONNXCC_FRONTEND_LOAD_H

#include "frontend/wire.h"
#include "ir/graph.h"

#include <onnx/onnx-ml.pb-c.h>

/* The files that are mapped for one model. Data that was loaded lies in them, or in the arena. */
typedef struct {
    const char *location; /* as the model spells it; NULL for the model itself */
    const char *path;     /* resolved */
    wire_span bytes;
} load_mapping;

typedef struct {
    arena *memory;
    diag *diag;
    const char *folder; /* resolved; external data must lie below it. NULL: there can be none */
    LIST(load_mapping) mappings;
} load_files;

/* A model and the files under it. */
typedef struct {
    load_files files;
    const Onnx__ModelProto *proto; /* `graph` is never NULL; nor is any element of an array */
} load_model_result;

/* A tensor as the IR has it: row-major, little-endian, elements narrower than a byte one a byte
 * (signed ones sign-extended), bools 0 or 1, strings as blob_string. Of exactly the bytes that its
 * dimensions ask for, which fit PTRDIFF_MAX. `data` may be unaligned; a splat only where it says so
 * (a sparse tensor without values). */
typedef struct {
    const char *name; /* "" if it has none */
    dtype dtype;
    int rank;
    const int64_t *dims;
    blob data;
} load_tensor_result;

/* A value of a test-data file: a tree of tensors. */
typedef struct load_value {
    type_kind kind;
    load_tensor_result tensor; /* TENSOR */
    size_t count; /* of items. SEQUENCE; OPTIONAL: 0 or 1; MAP: 2, vectors of keys and values */
    const struct load_value *items;
} load_value;

/* Maps and parses the model file. NULL and a diagnostic if that fails. */
load_model_result *load_model(const char *path, arena *a, diag *d);
/* The same from bytes that outlive the result; external data only if `folder` is not NULL. */
load_model_result *load_model_bytes(wire_span bytes, const char *folder, arena *a, diag *d);
/* Unmaps the files: data that load_tensor gave out is gone. */
void load_close(load_model_result *m);

/* A serialised FunctionProto, as in the schema table; its tensors go through load_tensor with any
 * load_files. NULL and a diagnostic. */
const Onnx__FunctionProto *load_function(wire_span bytes, arena *a, diag *d);

/* The elements of a tensor, whatever field or file holds them. `node` is what diagnostics name;
 * NULL for the tensor's own name. */
bool load_tensor(load_files *files, const Onnx__TensorProto *tensor, const char *node,
                 load_tensor_result *out);
/* The same of a sparse tensor (COO), made dense. */
bool load_sparse_tensor(load_files *files, const Onnx__SparseTensorProto *sparse, const char *node,
                        load_tensor_result *out);

/* A TensorProto (kind TYPE_TENSOR), SequenceProto, OptionalProto or MapProto file. The data lies in
 * the arena. */
bool load_value_file(const char *path, type_kind kind, arena *a, diag *d, load_value *out);

/* Maps the file at `location`, relative to the model's folder, or finds it mapped already. */
bool load_open_external(load_files *files, const char *location, const char *node, wire_span *out);

/* The number of elements of a shape; false if it is negative somewhere or over PTRDIFF_MAX / 16. */
bool load_count_elements(int rank, const int64_t *dims, size_t *count);

#endif
