/* text_internal.h: what the files of the text printer share; nobody else includes it. */
#ifndef ONNXCC_CODEGEN_TEXT_TEXT_INTERNAL_H
#define ONNXCC_CODEGEN_TEXT_TEXT_INTERNAL_H

#include "codegen/text/text.h"

/* What is known of an expression within the statement at hand. */
typedef struct {
    uint32_t round, uses, size, height;
    bool planned;
    uint32_t name; /* number of its temporary; 0: printed in place */
} text_mark;

/* One function while it is printed. */
typedef struct {
    text_module *m;
    loop_kernel *k;
    text_buffer body;
    int indent;
    text_mark *marks;
    size_t mark_count;
    uint32_t round, temporaries;
    loop_expr *flat; /* position of every LOAD; 0 while not known */
    size_t flat_count;
    bool *used_buffers, *used_symbols;
    bool uses_status;
} text_printer;

void text_put(text_printer *p, const char *s);
void text_putf(text_printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_put_indent(text_printer *p);

const char *text_type(dtype t);
/* Names in the printed text, in the module's arena. */
const char *text_buffer_name(text_printer *p, loop_buf b);
const char *text_var_name(text_printer *p, loop_var v);
const char *text_symbol_name(const text_module *m, const loop_kernel *k, dim_symbol s);
bool text_is_scalar(const text_printer *p, loop_buf b); /* a local of one element */

/* Prints temporaries for what the expressions share, on lines of their own; the expressions are
 * printed behind them by text_put_expr. */
void text_put_shared(text_printer *p, const loop_expr *roots, uint32_t count);
/* `level`: operands of an operator that binds tighter than this get parentheses; 0: none do. */
void text_put_expr(text_printer *p, loop_expr e, int level);

/* ---- text_helpers.c: the name of a helper function, which is added to the module ---- */
const char *text_helper_extreme(text_module *m, loop_op op, dtype t);  /* MIN, MAX of floats */
const char *text_helper_division(text_module *m, loop_op op, dtype t); /* of integers */
const char *text_helper_fma(text_module *m);                           /* of f32 */
const char *text_helper_dot4(text_module *m);
const char *text_helper_shift(text_module *m, loop_op op, dtype t);
const char *text_helper_convert(text_module *m, dtype to, dtype from);
const char *text_helper_bits(text_module *m, dtype to, dtype from);

#endif
