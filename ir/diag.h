/* diag.h: what onnxcc tells the user about a model or a command. Messages are collected, so that
 * import reports all that it cannot take at once; the tools print them. Library code returns a
 * status and never prints or exits. */
#ifndef ONNXCC_IR_DIAG_H
#define ONNXCC_IR_DIAG_H

#include "ir/arena.h"

#include <stdbool.h>

typedef enum {
    DIAG_ERROR,   /* the request cannot be carried out */
    DIAG_WARNING, /* it can, but the user should know */
    DIAG_NOTE     /* what was decided, for --verbose */
} diag_severity;

/* One message. Every string but `message` may be NULL; strings live in the arena of the list. */
typedef struct {
    diag_severity severity;
    const char *file;    /* model or IR file */
    const char *node;    /* name of the node or value, or its position */
    const char *op;      /* operator with domain and opset, as "Conv-22" or "com.microsoft.Foo-1" */
    const char *message; /* one sentence: what is wrong, what was found, what is supported */
    const char *hint;    /* what to do next */
} diag_item;

typedef struct diag {
    arena *memory;
    const char *file; /* put into items that name none */
    LIST(diag_item) items;
    size_t error_count;
} diag;

void diag_init(diag *d, arena *memory, const char *file);

/* Adds a message; returns false, so that `return diag_error(...)` reads well in functions that
 * return success. */
bool diag_add(diag *d, diag_item item);
bool diag_error(diag *d, const char *node, const char *op, const char *hint, const char *format,
                ...) __attribute__((format(printf, 5, 6)));
bool diag_warning(diag *d, const char *node, const char *op, const char *hint, const char *format,
                  ...) __attribute__((format(printf, 5, 6)));

/* The message as one line of text, "FILE: error: node NAME (Conv-22): MESSAGE; HINT". */
const char *diag_text(diag *d, const diag_item *item);

#endif
