/* string.h: what other families know of strings. */
#ifndef ONNXCC_IR_OPS_STRING_H
#define ONNXCC_IR_OPS_STRING_H

#include "ir/op.h"

/* The setting for the bytes that a made string may have, on the average of its tensor. */
#define STRING_BYTES "string_bytes"

/* Equal of strings as a function of the runtime; false for other types. */
bool string_expand_equal(graph *g, node_id n);

/* Cast and CastLike from strings or to strings; false for others. */
bool string_expand_cast(graph *g, node_id n);
/* A constant that holds strings as blob_string_table has them. */
value_id string_table(graph *g, const char *name, const blob_string *strings, size_t count);
/* A node of an operator that only the compiler makes, in the place of node n: its result 0 takes
 * over from n's. */
bool string_become(graph *g, node_id n, const char *op, uint32_t input_count,
                   const value_id *inputs, uint32_t output_count, const type *types,
                   uint32_t attr_count, const attr *attrs);

#endif
