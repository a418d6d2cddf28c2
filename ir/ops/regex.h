/* regex.h: regular expressions of RE2's syntax, compiled for the machine that runs them in
 * runtime/onnxcc_rt_regex.c: an automaton over bytes of UTF-8, three words an instruction. */
#ifndef ONNXCC_IR_OPS_REGEX_H
#define ONNXCC_IR_OPS_REGEX_H

#include "ir/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    REGEX_MATCH,
    REGEX_BYTE,   /* a byte in [x, y], then the next instruction */
    REGEX_SPLIT,  /* goes on at x and at y */
    REGEX_ASSERT, /* x is a regex_assertion; then the next instruction */
} regex_op;

typedef enum {
    REGEX_BEGIN_TEXT,
    REGEX_END_TEXT,
    REGEX_BEGIN_LINE,
    REGEX_END_LINE,
    REGEX_WORD,
    REGEX_NOT_WORD
} regex_assertion;

typedef struct {
    const int32_t *words; /* op, x, y of each instruction */
    size_t count;         /* of instructions */
    const char *error;    /* NULL if all is well */
} regex_program;

/* Of the whole text, from its beginning to its end. */
regex_program regex_compile(arena *a, const char *pattern, size_t length);

#endif
