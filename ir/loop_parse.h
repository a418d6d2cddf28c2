/* loop_parse.h: what the parsers of expressions and of kernels share; nobody else includes it. */
#ifndef ONNXCC_IR_LOOP_PARSE_H
#define ONNXCC_IR_LOOP_PARSE_H

#include "ir/loop_internal.h"

typedef struct {
    loop_kernel *k;
    const char *start, *at;             /* NUL-terminated text */
    bool exact;                         /* nodes exactly as written, without simplification */
    dtype int_literals, float_literals; /* where no operand says the type */
    const loop_binding *bindings;
    size_t binding_count;
    LIST(loop_binding) names; /* variables in scope, innermost last */
    LIST(loop_expr) shared;   /* those named @0, @1, ... last */
    int depth, block_depth;
    const char *error; /* the first; parsing goes on to no effect */
    const char *error_at;
} loop_parser;

/* Records an error at the current place; returns false. */
bool parse_fail(loop_parser *p, const char *message);
void parse_skip_space(loop_parser *p);
/* Moves over a punctuation mark or word if it is next. */
bool parse_accept(loop_parser *p, const char *token);
bool parse_expect(loop_parser *p, const char *token);
/* An identifier, or "" where there is none; in the kernel's arena. */
const char *parse_name(loop_parser *p);
/* A whole number with sign. */
bool parse_integer(loop_parser *p, int64_t *value);
/* A name, or any text in double quotes. */
const char *parse_quotable(loop_parser *p);
/* An expression of any type; 0 on an error. */
loop_expr parse_expr(loop_parser *p);
/* [a, b, c] with at most LOOP_MAX_RANK elements; their number, or -1. */
int parse_expr_list(loop_parser *p, loop_expr *out);
bool parse_find_buffer(loop_parser *p, loop_buf *out); /* %name */

#endif
