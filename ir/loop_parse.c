/* loop_parse.c: reads the text form of a kernel back: buffers, then statements. Expressions are in
 * loop_parse_expr.c. Nodes come out exactly as printed, so that print, parse, print gives the same
 * bytes. Text may be hostile: an error is a diagnostic with its line. */
#include "ir/loop_parse.h"

#include <string.h>

enum { MAX_BLOCK_DEPTH = 200, MAX_VARIABLES = 1 << 16 };

/* ---- buffers ---- */

static bool parse_space(loop_parser *p, loop_space *out) {
    for (int i = 0; i < LOOP_SPACE_COUNT; i++)
        if (parse_accept(p, loop_space_names[i])) {
            *out = (loop_space)i;
            return true;
        }
    return false;
}

static bool parse_dtype(loop_parser *p, dtype *out) {
    const char *name = parse_name(p);
    *out = dtype_from_name(name, strlen(name));
    if (*out == DTYPE_NONE || *out == DTYPE_STRING || *out == DTYPE_C64 || *out == DTYPE_C128)
        return parse_fail(p, "an element type is missing");
    return true;
}

static bool parse_buffer(loop_parser *p, loop_space space) {
    loop_expr extents[LOOP_MAX_RANK], strides[LOOP_MAX_RANK];
    loop_buffer b = {.space = space, .extents = extents};
    if (!parse_expect(p, "%")) return false;
    b.name = parse_name(p);
    if (!*b.name) return parse_fail(p, "a name is missing");
    for (size_t i = 0; i < p->k->buffers.count; i++)
        if (strcmp(p->k->buffers.data[i].name, b.name) == 0)
            return parse_fail(p, "there are two buffers of this name");
    if (!parse_expect(p, ":") || !parse_dtype(p, &b.type)) return false;
    b.rank = parse_expr_list(p, extents);
    if (b.rank < 0) return false;
    if (parse_accept(p, "strides")) {
        b.strides = strides;
        int count = parse_expr_list(p, strides);
        if (count != b.rank) return parse_fail(p, "as many strides as axes are due");
    }
    int64_t alias = 0;
    if (parse_accept(p, "alias") && !parse_integer(p, &alias)) return false;
    if (alias < 0 || alias > UINT32_MAX) return parse_fail(p, "an alias group out of range");
    b.alias = (uint32_t)alias;
    loop_add_buffer(p->k, b);
    return true;
}

/* ---- statements ---- */

static loop_stmt *parse_block(loop_parser *p);

static loop_expr parse_typed(loop_parser *p, dtype t, const char *message) {
    loop_expr e = parse_expr(p);
    if (!p->error && loop_type(p->k, e) != t) parse_fail(p, message);
    return e;
}

/* The variable of a loop: a known one of this name and extent (a body that was copied), or a new
 * one. */
static loop_var loop_variable_of(loop_parser *p, const char *name, loop_expr extent) {
    for (loop_var v = 0; v < p->k->vars.count; v++)
        if (p->k->vars.data[v].extent == extent && strcmp(p->k->vars.data[v].name, name) == 0)
            return v;
    if (p->k->vars.count >= MAX_VARIABLES) parse_fail(p, "too many loop variables");
    return loop_add_named_var(p->k, name, extent);
}

static loop_stmt *parse_for(loop_parser *p) {
    const char *name = parse_name(p);
    if (!*name) parse_fail(p, "a variable is missing");
    parse_expect(p, "in");
    loop_expr extent = parse_typed(p, DTYPE_I64, "an extent is an i64");
    int kind = 0;
    while (kind < LOOP_KIND_COUNT && !parse_accept(p, loop_kind_names[kind])) kind++;
    if (kind == LOOP_KIND_COUNT) parse_fail(p, "a kind of loop is missing");
    loop_expr active = 0;
    if (parse_accept(p, "active")) active = parse_typed(p, DTYPE_I64, "active lanes are an i64");
    if (p->error) return NULL;
    loop_var v = loop_variable_of(p, name, extent);
    list_push(p->k->memory, &p->names, ((loop_binding){name, loop_var_expr(p->k, v)}));
    loop_stmt *s = loop_for(p->k, (loop_kind)kind, v, extent, parse_block(p));
    s->active = active;
    p->names.count--;
    return s;
}

static loop_stmt *parse_if(loop_parser *p) {
    loop_expr condition = parse_typed(p, DTYPE_BOOL, "a condition is a bool");
    loop_stmt *then = parse_block(p), *otherwise = NULL;
    if (parse_accept(p, "else")) otherwise = parse_block(p);
    return p->error ? NULL : loop_if(p->k, condition, then, otherwise);
}

static loop_stmt *parse_check(loop_parser *p) {
    loop_expr condition = parse_typed(p, DTYPE_BOOL, "a condition is a bool");
    int64_t code = 0;
    if (!parse_expect(p, ",") || !parse_integer(p, &code)) return NULL;
    if (code < INT32_MIN || code > INT32_MAX) parse_fail(p, "a code out of range");
    return p->error ? NULL : loop_check(p->k, condition, (int)code);
}

static loop_stmt *parse_store(loop_parser *p) {
    loop_buf b;
    loop_expr indices[LOOP_MAX_RANK];
    if (!parse_find_buffer(p, &b)) return NULL;
    int count = parse_expr_list(p, indices);
    const loop_buffer *buffer = loop_buffer_of(p->k, b);
    dtype t = buffer->type;
    if (count >= 0 && count != buffer->rank) parse_fail(p, "the buffer has another number of axes");
    if (!parse_expect(p, "=")) return NULL;
    loop_expr value = parse_typed(p, t, "the value has another type than the buffer");
    return p->error ? NULL : loop_store(p->k, b, indices, value);
}

/* @N = expression */
static void parse_named(loop_parser *p) {
    int64_t n;
    if (!parse_integer(p, &n) || !parse_expect(p, "=")) return;
    if (n < 0 || (uint64_t)n > p->shared.count) parse_fail(p, "numbers go up by one");
    loop_expr e = parse_expr(p);
    if (p->error) return;
    p->shared.count = (size_t)n;
    list_push(p->k->memory, &p->shared, e);
}

static loop_stmt *parse_statement(loop_parser *p) {
    while (!p->error && parse_accept(p, "@")) parse_named(p);
    if (parse_accept(p, "for")) return parse_for(p);
    if (parse_accept(p, "if")) return parse_if(p);
    if (parse_accept(p, "check")) return parse_check(p);
    return parse_store(p);
}

static loop_stmt *parse_block(loop_parser *p) {
    loop_stmt *head = NULL, **at = &head;
    if (++p->block_depth > MAX_BLOCK_DEPTH) parse_fail(p, "nested too deep");
    parse_expect(p, "{");
    while (!p->error && !parse_accept(p, "}")) {
        *at = parse_statement(p);
        if (*at) at = &(*at)->next;
    }
    p->block_depth--;
    return head;
}

static void parse_kernel(loop_parser *p) {
    loop_space space;
    parse_expect(p, "kernel");
    const char *name = parse_quotable(p);
    p->k->name = name;
    if (!parse_expect(p, "{")) return;
    while (!p->error && parse_space(p, &space)) parse_buffer(p, space);
    loop_stmt **at = &p->k->body;
    while (!p->error && !parse_accept(p, "}")) {
        *at = parse_statement(p);
        if (*at) at = &(*at)->next;
    }
    parse_skip_space(p);
    if (!p->error && *p->at) parse_fail(p, "text behind the kernel");
}

static int line_of(const loop_parser *p) {
    int line = 1;
    for (const char *c = p->start; c < p->error_at; c++) line += *c == '\n';
    return line;
}

loop_kernel *loop_parse(arena *a, dim_table *dims, diag *d, const char *text, size_t length) {
    loop_parser p = {.k = loop_kernel_create(a, dims, ""),
                     .start = arena_strndup(a, text, length),
                     .exact = true,
                     .int_literals = DTYPE_I64,
                     .float_literals = DTYPE_F32};
    p.at = p.start;
    parse_kernel(&p);
    if (!p.error) return p.k;
    diag_error(d, arena_printf(a, "line %d", line_of(&p)), NULL, NULL, "%s, at \"%.20s\"", p.error,
               p.error_at);
    return NULL;
}
