/* schema.h: what the ONNX standard says of each operator, for every opset: inputs, outputs,
 * attributes with defaults, type constraints, function bodies. The table is generated at build time
 * by schema_table.py, from the onnx package and, for what ONNX Runtime adds, from contrib.schema;
 * it is constant and sorted. What onnxcc does with an operator stands elsewhere. */
#ifndef ONNXCC_IR_SCHEMA_H
#define ONNXCC_IR_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The newest opset of the default domain in the table. */
extern const int schema_newest_opset;

/* Numbered as ONNX numbers attribute kinds (AttributeProto.AttributeType). */
typedef enum {
    SCHEMA_FLOAT = 1,
    SCHEMA_INT = 2,
    SCHEMA_STRING = 3,
    SCHEMA_TENSOR = 4,
    SCHEMA_GRAPH = 5,
    SCHEMA_FLOATS = 6,
    SCHEMA_INTS = 7,
    SCHEMA_STRINGS = 8,
    SCHEMA_TENSORS = 9,
    SCHEMA_GRAPHS = 10,
    SCHEMA_SPARSE_TENSOR = 11,
    SCHEMA_SPARSE_TENSORS = 12,
    SCHEMA_TYPE = 13,
    SCHEMA_TYPES = 14
} schema_kind;

/* Shapes of type that a constraint can allow. */
typedef enum {
    SCHEMA_IS_TENSOR,
    SCHEMA_IS_SEQ,          /* seq(tensor(T)) */
    SCHEMA_IS_OPTIONAL,     /* optional(tensor(T)) */
    SCHEMA_IS_OPTIONAL_SEQ, /* optional(seq(tensor(T))) */
    SCHEMA_IS_MAP_INT64,    /* map(int64, T) */
    SCHEMA_IS_MAP_STRING,   /* map(string, T) */
    SCHEMA_IS_SEQ_MAP_INT64,
    SCHEMA_IS_SEQ_MAP_STRING,
    SCHEMA_CONTAINER_COUNT
} schema_container;

/* A set of types: in the mask of each container, bit E stands for element type E in ONNX's
 * numbering (TensorProto.DataType: 1 float, 2 uint8, ... 7 int64, 8 string, 9 bool, 10 float16,
 * ...). */
typedef struct {
    uint32_t elements[SCHEMA_CONTAINER_COUNT];
} schema_types;

typedef enum { SCHEMA_SINGLE, SCHEMA_OPTIONAL, SCHEMA_VARIADIC } schema_option;

/* A formal input or output. Parameters that name the same constraint have the same type, but for
 * variadic ones that are not homogeneous. */
typedef struct {
    const char *name;
    const char *type; /* name of a constraint ("T"), or a type ("tensor(int64)") */
    const schema_types *types;
    uint8_t option;    /* schema_option */
    uint8_t min_arity; /* of a variadic parameter */
    bool homogeneous;
} schema_param;

typedef struct {
    const char *name;
    const schema_types *types;
} schema_constraint;

typedef struct {
    const char *name;
    uint8_t kind; /* schema_kind */
    bool required;
    bool has_default;
    uint8_t count; /* elements of a default that is a list */
    union {
        int64_t i;
        double f;
        const char *s;
        const int64_t *ints;
        const double *floats;
        const char *const *strings;
    } value; /* valid if has_default */
} schema_attribute;

/* The operator spelt in other operators: a serialised FunctionProto. */
typedef struct {
    int opset; /* the body holds from this opset of the operator's domain on */
    uint32_t size;
    const uint8_t *bytes;
} schema_function;

/* One version of an operator. */
typedef struct {
    int since;
    bool deprecated;
    bool context_function; /* the standard has a body that depends on the node; it is not in here */
    uint16_t min_input, max_input, min_output, max_output; /* UINT16_MAX: any number */
    uint8_t input_count, output_count, attribute_count, constraint_count, function_count;
    const schema_param *inputs, *outputs;
    const schema_attribute *attributes; /* sorted by name */
    const schema_constraint *constraints;
    const schema_function *functions; /* ascending opset */
} schema_version;

typedef struct {
    const char *domain; /* "" is the default domain, ai.onnx */
    const char *name;
    size_t version_count;
    const schema_version *versions; /* ascending */
} schema_op;

/* All operators, sorted by domain, then name. */
extern const schema_op schema_ops[];
extern const size_t schema_op_count;

/* NULL if the standard has no such operator. "ai.onnx" is "" too. */
const schema_op *schema_find(const char *domain, const char *name);

/* The version that holds at `opset`: NULL if the operator is younger. */
const schema_version *schema_at(const schema_op *op, int opset);

/* NULL if that version has no such attribute. */
const schema_attribute *schema_find_attribute(const schema_version *v, const char *name);

/* The body that holds at `opset`: NULL if there is none. */
const schema_function *schema_find_function(const schema_version *v, int opset);

#endif
