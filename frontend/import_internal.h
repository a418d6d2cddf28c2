/* import_internal.h: what the files of the importer share; nobody else includes it. */
#ifndef ONNXCC_FRONTEND_IMPORT_INTERNAL_H
#define ONNXCC_FRONTEND_IMPORT_INTERNAL_H

#include "frontend/import.h"
#include "ir/op.h"
#include "ir/schema.h"

/* Names of values in one graph or function; what it lacks is looked up in the enclosing one. */
typedef struct import_scope {
    const struct import_scope *outer;
    struct import_name *slots;
    size_t slot_count, count;
} import_scope;

typedef struct import_name {
    const char *name;
    value_id value;
} import_name;

/* Attributes that a function's caller gave, for references from its body. */
typedef struct {
    const Onnx__FunctionProto *function;
    const attr *attrs;
    uint32_t count;
} import_call;

typedef struct {
    graph *g;
    load_model_result *model;
    const Onnx__OperatorSetIdProto *const
        *opsets; /* those of the model, or of the function at hand */
    size_t opset_count;
    const import_call *call; /* NULL in the model's own graphs */
    int depth;               /* of nested functions and graphs */
    /* The graph that the nodes stand in, and its outputs by name (their number, plus one). */
    const Onnx__GraphProto *proto;
    const import_scope *declared;
    size_t expanded; /* nodes made so far */
    int bodies;      /* how many bodies of loops the nodes stand in */
} importer;

/* A node on its way in: what upgrades rewrite. Inputs and attributes are the importer's own arrays.
 */
typedef struct {
    const char *domain, *op, *name;
    const char *source; /* operator and opset of the file */
    int opset;          /* of its domain in the file */
    LIST(value_id) inputs;
    LIST(attr) attrs;
    uint32_t output_count;
    value_id *outputs; /* values to define; upgrades may put nodes behind the node */
    region_id region;
    LIST(diag_item) complaints[2]; /* If: what is wrong with its branches, then and else */
} import_node;

static inline const char *import_text(const char *s) {
    return s ? s : "";
}

/* names (import_scope.c) */
value_id import_find_name(const import_scope *s, const char *name);
/* False if the name is taken in this very scope. */
bool import_add_name(arena *a, import_scope *s, const char *name, value_id v);

/* graphs (import.c) */
bool import_graph(importer *im, const Onnx__GraphProto *p, region_id r, import_scope *scope);
/* The initializers and nodes of a graph alone, into a region that may hold other nodes. */
bool import_graph_nodes(importer *im, const Onnx__GraphProto *p, region_id r, import_scope *scope);
bool import_type(importer *im, const Onnx__TypeProto *p, const char *name, type *out);
int import_opset(const importer *im, const char *domain);

/* inputs of the model (import_input.c) */
bool import_model_inputs(importer *im, const import_options *o, const Onnx__GraphProto *p,
                         import_scope *scope);

/* Whether every setting was of a symbol that the model turned out to have. */
bool import_check_settings(importer *im);

/* nodes (import_node.c) */
bool import_one_node(importer *im, const Onnx__NodeProto *p, region_id r, import_scope *scope);
/* Appends the finished node and infers its types. */
bool import_emit(importer *im, import_node *n);
bool import_function_call(importer *im, const import_node *n, const Onnx__FunctionProto *f);
bool import_error(importer *im, const import_node *n, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* upgrades (upgrade.c): rewrites the node into the newest meaning and emits it. */
bool import_upgrade(importer *im, import_node *n);
/* Whether an operator without a row of its own has an upgrade that turns it into others. */
bool import_has_upgrade(const import_node *n);

attr *import_attr(import_node *n, const char *name);
void import_drop_attr(import_node *n, const char *name);
/* A node on the way to another one; returns its only output, 0 on failure. */
value_id import_helper(importer *im, const import_node *like, const char *op, uint32_t input_count,
                       const value_id *inputs, uint32_t attr_count, const attr *attrs);
value_id import_ints(importer *im, const int64_t *data, size_t count);

#endif
