/* graph_parse.h: what the two files of the graph's parser share; nobody else includes it. */
#ifndef ONNXCC_IR_GRAPH_PARSE_H
#define ONNXCC_IR_GRAPH_PARSE_H

#include "ir/graph.h"
#include "ir/text_lexer.h"

typedef LIST(value_id) graph_parse_values;

typedef struct {
    text_lexer lex;
    graph *g;
    value_id *slots; /* values by the hash of their name */
    size_t slot_count, name_count;
    int depth, type_depth;
    size_t elided; /* constants without data */
} graph_parser;

bool graph_parse_dim(graph_parser *p, dim *out);
bool graph_parse_type(graph_parser *p, type *out);
/* ["a", "b"] */
bool graph_parse_strings(graph_parser *p, const blob_string **out, size_t *count);
/* The data of a constant of this type. */
bool graph_parse_data(graph_parser *p, const type *t, blob *out);

#endif
