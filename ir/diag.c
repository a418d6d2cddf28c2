/* diag.c: the list of messages of one compilation, and their text form. See diag.h. */
#include "ir/diag.h"

#include <stdio.h>
#include <string.h>

static const char *const severity_names[] = {
    [DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_NOTE] = "note"};

void diag_init(diag *d, arena *memory, const char *file) {
    memset(d, 0, sizeof *d);
    d->memory = memory;
    d->file = file ? arena_strdup(memory, file) : NULL;
}

bool diag_add(diag *d, diag_item item) {
    if (!item.file) item.file = d->file;
    if (item.severity == DIAG_ERROR) d->error_count++;
    list_push(d->memory, &d->items, item);
    return false;
}

static bool add_formatted(diag *d, diag_severity severity, const char *node, const char *op,
                          const char *hint, const char *format, va_list args) {
    arena *a = d->memory;
    diag_item item = {.severity = severity,
                      .node = node ? arena_strdup(a, node) : NULL,
                      .op = op ? arena_strdup(a, op) : NULL,
                      .hint = hint ? arena_strdup(a, hint) : NULL,
                      .message = arena_vprintf(a, format, args)};
    return diag_add(d, item);
}

bool diag_error(diag *d, const char *node, const char *op, const char *hint, const char *format,
                ...) {
    va_list args;
    va_start(args, format);
    add_formatted(d, DIAG_ERROR, node, op, hint, format, args);
    va_end(args);
    return false;
}

bool diag_warning(diag *d, const char *node, const char *op, const char *hint, const char *format,
                  ...) {
    va_list args;
    va_start(args, format);
    add_formatted(d, DIAG_WARNING, node, op, hint, format, args);
    va_end(args);
    return false;
}

const char *diag_text(diag *d, const diag_item *item) {
    arena *a = d->memory;
    const char *where = "";
    if (item->node && item->op)
        where = arena_printf(a, "node %s (%s): ", item->node, item->op);
    else if (item->node || item->op)
        where = arena_printf(a, "%s: ", item->node ? item->node : item->op);
    return arena_printf(a, "%s: %s: %s%s%s%s", item->file ? item->file : "onnxcc",
                        severity_names[item->severity], where, item->message,
                        item->hint ? "; " : "", item->hint ? item->hint : "");
}
