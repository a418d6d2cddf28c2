/* text_lexer.h: words, numbers and strings of the graph's text form. Errors stick: after the first,
 * everything fails. The text is NUL-terminated; nothing reads behind the NUL. */
#ifndef ONNXCC_IR_TEXT_LEXER_H
#define ONNXCC_IR_TEXT_LEXER_H

#include "ir/arena.h"
#include "ir/diag.h"

#include <stdint.h>

typedef struct {
    arena *memory;
    diag *diag;
    const char *start, *at;
    bool failed;
} text_lexer;

/* A diagnostic with line and column of the place reached, the first time; returns false. */
bool text_fail(text_lexer *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Moves over white space and comments (";" to the end of the line). */
void text_skip(text_lexer *x);
/* Whether the punctuation mark or word is next; a word ends where a name would. */
bool text_peek(text_lexer *x, const char *token);
/* Moves over it if it is next. */
bool text_accept(text_lexer *x, const char *token);
bool text_expect(text_lexer *x, const char *token);
/* A name: letters, digits, any of "_.$-/", or ":" inside; or anything in double quotes. NULL on an
 * error. */
const char *text_name(text_lexer *x);
/* A string in double quotes with \", \\ and \xNN; it may hold NULs. */
bool text_string(text_lexer *x, const char **out, size_t *length);
bool text_int(text_lexer *x, int64_t *out);
bool text_float(text_lexer *x, double *out);
/* hex "00ff": the bytes. */
bool text_hex(text_lexer *x, unsigned char **out, size_t *bytes);

#endif
