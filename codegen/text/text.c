/* text.c: modules, functions and statements of the text printer. A function's body is printed
 * first: what it turned out to use is declared in front of it, so that no compiler finds anything
 * unused. */
#include "codegen/text/text_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

const text_dialect text_dialect_c99 = {
    .headers =
        "#include <math.h>\n#include <stdbool.h>\n#include <stdint.h>\n#include <string.h>\n\n",
    .kernel_prefix = "static void ",
    .helper_prefix = "static inline ",
    .restrict_word = "restrict ",
    .frame = true,
    .widened = true,
    .fail = "if (!*status) *status = %d;",
};

/* ---- output ---- */

static void append(arena *a, text_buffer *b, const char *s) {
    while (*s) list_push(a, b, *s++);
}

void text_put(text_printer *p, const char *s) {
    append(p->m->memory, &p->body, s);
}

void text_putf(text_printer *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    text_put(p, arena_vprintf(p->m->memory, format, args));
    va_end(args);
}

void text_put_indent(text_printer *p) {
    for (int i = 0; i < p->indent; i++) text_put(p, "    ");
}

static void put_line(text_printer *p, const char *s) {
    text_put_indent(p);
    text_put(p, s);
    text_put(p, "\n");
}

void text_add(text_module *m, const char *text) {
    append(m->memory, &m->kernels, text);
}

void text_addf(text_module *m, const char *format, ...) {
    va_list args;
    va_start(args, format);
    text_add(m, arena_vprintf(m->memory, format, args));
    va_end(args);
}

void text_begin(text_module *m, arena *a, const text_dialect *dialect) {
    *m = (text_module){.memory = a, .dialect = dialect};
}

const char *text_finish(text_module *m) {
    text_buffer all = {0};
    append(m->memory, &all, m->dialect->headers);
    for (size_t i = 0; i < m->helpers.count; i++) list_push(m->memory, &all, m->helpers.data[i]);
    for (size_t i = 0; i < m->kernels.count; i++) list_push(m->memory, &all, m->kernels.data[i]);
    list_push(m->memory, &all, '\0');
    return all.data;
}

/* ---- names ---- */

const char *text_type(dtype t) {
    return t == DTYPE_BOOL ? "bool" : dtype_c_name(t);
}

/* A suffix keeps buffers apart from variables and from the words of the language. */
const char *text_buffer_name(text_printer *p, loop_buf b) {
    return arena_printf(p->m->memory, "%s_p", loop_buffer_of(p->k, b)->name);
}

const char *text_var_name(text_printer *p, loop_var v) {
    const char *name = p->k->vars.data[v].name;
    bool numbered = isdigit((unsigned char)name[strlen(name) - 1]);
    return numbered ? name : arena_printf(p->m->memory, "%s_v", name);
}

const char *text_symbol_name(const text_module *m, const loop_kernel *k, dim_symbol s) {
    char *name = arena_printf(m->memory, "n%u_%s", (unsigned)s, dim_symbol_name(k->dims, s));
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    return name;
}

static bool is_parameter(const loop_buffer *b) {
    return b->space == LOOP_SPACE_INPUT || b->space == LOOP_SPACE_OUTPUT;
}

/* Elements of a local buffer. */
static int64_t local_size(const text_printer *p, const loop_buffer *b) {
    int64_t size = 1, extent, stride;
    bool known = true;
    for (int i = 0; i < b->rank; i++) {
        known &= loop_is_int(p->k, b->extents[i], &extent);
        if (b->strides) {
            known &= loop_is_int(p->k, b->strides[i], &stride);
            size += (extent - 1) * stride;
        } else {
            size *= extent;
        }
    }
    assert(known && "local memory has constant extents");
    return size > 0 ? size : 1;
}

bool text_is_scalar(const text_printer *p, loop_buf b) {
    const loop_buffer *x = loop_buffer_of(p->k, b);
    return (x->space == LOOP_SPACE_TILE || x->space == LOOP_SPACE_STACK) && local_size(p, x) == 1;
}

/* ---- statements ---- */

static void put_block(text_printer *p, const loop_stmt *s);

static int grid_axis(const text_printer *p, const loop_stmt *s) {
    int axis = (int)s->loop - LOOP_GPU_BLOCK_X;
    bool on_grid = axis >= 0 && axis < TEXT_GRID_AXES && p->m->dialect->grid[axis];
    return on_grid ? axis : -1;
}

static void put_pragma(text_printer *p, const char *pragma) {
    if (pragma) text_putf(p, "%s\n", pragma);
}

static void put_for(text_printer *p, const loop_stmt *s) {
    const char *var = text_var_name(p, s->var);
    int axis = grid_axis(p, s);
    loop_expr bound = s->active ? loop_min(p->k, s->extent, s->active) : s->extent;
    if (s->loop != LOOP_PARALLEL || !p->m->dialect->frame) text_put_shared(p, &bound, 1);
    if (axis < 0) put_pragma(p, p->m->dialect->loop_pragma[s->loop]);
    text_put_indent(p);
    if (axis >= 0) {
        text_putf(p, "const int64_t %s = (int64_t)%s;\n", var, p->m->dialect->grid[axis]);
        text_put_indent(p);
        text_putf(p, "if (%s < ", var);
        text_put_expr(p, bound, 2);
        text_put(p, ") {\n");
    } else if (s->loop == LOOP_PARALLEL && p->m->dialect->frame) {
        text_putf(p, "for (int64_t %s = begin; %s < end; %s++) {\n", var, var, var);
    } else {
        text_putf(p, "for (int64_t %s = 0; %s < ", var, var);
        text_put_expr(p, bound, 2);
        text_putf(p, "; %s++) {\n", var);
    }
    put_pragma(p, p->m->dialect->body_pragma[s->loop]);
    put_block(p, s->body);
    put_line(p, "}");
}

static bool is_thread_loop(const loop_stmt *s) {
    return s->kind == LOOP_STMT_FOR && s->loop >= LOOP_GPU_THREAD_X && s->loop <= LOOP_GPU_THREAD_Z;
}

static bool has_shared_space(const loop_kernel *k) {
    for (size_t i = 0; i < k->buffers.count; i++)
        if (k->buffers.data[i].space == LOOP_SPACE_SHARED) return true;
    return false;
}

static void put_if(text_printer *p, const loop_stmt *s) {
    text_put_shared(p, &s->condition, 1);
    text_put_indent(p);
    text_put(p, "if (");
    text_put_expr(p, s->condition, 0);
    text_put(p, ") {\n");
    put_block(p, s->body);
    if (s->otherwise) {
        put_line(p, "} else {");
        put_block(p, s->otherwise);
    }
    put_line(p, "}");
}

static void put_check(text_printer *p, const loop_stmt *s) {
    text_put_shared(p, &s->condition, 1);
    text_put_indent(p);
    text_put(p, "if (!(");
    text_put_expr(p, s->condition, 0);
    text_put(p, ")) {\n");
    const char *fail = p->m->dialect->fail, *number = strstr(fail, "%d");
    p->indent++;
    text_put_indent(p);
    text_putf(p, "%.*s%d%s\n", (int)(number - fail), fail, s->code, number + 2);
    p->indent--;
    put_line(p, "}");
    p->uses_status = true;
}

static void put_store(text_printer *p, const loop_stmt *s) {
    bool scalar = text_is_scalar(p, s->buf);
    loop_expr position = scalar ? 0 : loop_flat_index(p->k, s->buf, s->indices);
    loop_expr roots[] = {position, s->value};
    text_put_shared(p, roots, 2);
    p->used_buffers[s->buf] = true;
    text_put_indent(p);
    text_put(p, text_buffer_name(p, s->buf));
    if (!scalar) {
        text_put(p, "[");
        text_put_expr(p, position, 0);
        text_put(p, "]");
    }
    text_put(p, " = ");
    text_put_expr(p, s->value, 0);
    text_put(p, ";\n");
}

static void put_block(text_printer *p, const loop_stmt *s) {
    p->indent++;
    for (; s; s = s->next) {
        switch (s->kind) {
        case LOOP_STMT_FOR: put_for(p, s); break;
        case LOOP_STMT_IF: put_if(p, s); break;
        case LOOP_STMT_CHECK: put_check(p, s); break;
        case LOOP_STMT_STORE: put_store(p, s); break;
        }
        if (is_thread_loop(s) && p->m->dialect->barrier && has_shared_space(p->k))
            put_line(p, p->m->dialect->barrier);
    }
    p->indent--;
}

/* ---- functions ---- */

static bool needs_restrict(const loop_kernel *k, const loop_buffer *b) {
    for (size_t i = 0; b->alias && i < k->buffers.count; i++)
        if (&k->buffers.data[i] != b && k->buffers.data[i].alias == b->alias) return false;
    return true;
}

/* "const float *restrict x_p" */
static const char *pointer_of(text_printer *p, loop_buf b) {
    const loop_buffer *x = loop_buffer_of(p->k, b);
    return arena_printf(p->m->memory, "%s%s *%s%s", x->space == LOOP_SPACE_INPUT ? "const " : "",
                        text_type(x->type),
                        needs_restrict(p->k, x) ? p->m->dialect->restrict_word : "",
                        text_buffer_name(p, b));
}

/* Declarations from the words of the frame: the status, the buffers, the symbols. */
static void put_frame(text_printer *p, const dim_symbol *symbols, size_t symbol_count) {
    size_t word = 1;
    if (p->uses_status) put_line(p, "int32_t *const status = (int32_t *)(intptr_t)frame[0];");
    for (loop_buf b = 0; b < p->k->buffers.count; b++) {
        const loop_buffer *x = loop_buffer_of(p->k, b);
        if (!is_parameter(x)) continue;
        if (p->used_buffers[b]) {
            text_put_indent(p);
            text_putf(p, "%s = (%s%s *)(intptr_t)frame[%zu];\n", pointer_of(p, b),
                      x->space == LOOP_SPACE_INPUT ? "const " : "", text_type(x->type), word);
        }
        word++;
    }
    for (size_t i = 0; i < symbol_count; i++, word++) {
        if (!p->used_symbols[symbols[i]]) continue;
        text_put_indent(p);
        text_putf(p, "const int64_t %s = frame[%zu];\n", text_symbol_name(p->m, p->k, symbols[i]),
                  word);
    }
    bool parallel =
        p->k->body && p->k->body->kind == LOOP_STMT_FOR && p->k->body->loop == LOOP_PARALLEL;
    if (!parallel) put_line(p, "(void)begin, (void)end;");
    if (word == 1 || !p->k->body) put_line(p, "(void)frame;");
}

/* Declares local buffers; returns their bytes. */
static int64_t put_locals(text_printer *p) {
    const text_dialect *d = p->m->dialect;
    int64_t bytes = 0;
    for (loop_buf b = 0; b < p->k->buffers.count; b++) {
        const loop_buffer *x = loop_buffer_of(p->k, b);
        if (is_parameter(x) || !p->used_buffers[b]) continue;
        int64_t size = local_size(p, x);
        const char *name = text_buffer_name(p, b);
        bool shared = x->space == LOOP_SPACE_SHARED;
        text_put_indent(p);
        if (shared && d->shared_prefix) text_put(p, d->shared_prefix);
        if (text_is_scalar(p, b))
            text_putf(p, "%s %s = %s;\n", text_type(x->type), name,
                      x->type == DTYPE_STRING ? "{0, 0}" : "0");
        else
            text_putf(p, "%s %s[%lld];\n", text_type(x->type), name, (long long)size);
        if (d->array_pragma && x->space == LOOP_SPACE_TILE && !text_is_scalar(p, b)) {
            const char *hole = strstr(d->array_pragma, "%s");
            text_putf(p, "%.*s%s%s\n", (int)(hole - d->array_pragma), d->array_pragma, name,
                      hole + 2);
        }
        bytes += size * (int64_t)dtype_bytes(x->type);
    }
    return bytes;
}

/* "(int32_t *status, float *y_p, ..., int64_t n0_N)" */
static void put_parameters(text_printer *p, const dim_symbol *symbols, size_t symbol_count) {
    text_put(p, "int32_t *status");
    for (loop_buf b = 0; b < p->k->buffers.count; b++)
        if (is_parameter(loop_buffer_of(p->k, b))) text_putf(p, ", %s", pointer_of(p, b));
    for (size_t i = 0; i < symbol_count; i++)
        text_putf(p, ", int64_t %s", text_symbol_name(p->m, p->k, symbols[i]));
}

/* What a function with parameters says of them. */
static void put_parameter_uses(text_printer *p, const dim_symbol *symbols, size_t symbol_count) {
    const char *pragma = p->m->dialect->parameter_pragma;
    for (loop_buf b = 0; b < p->k->buffers.count; b++) {
        if (!is_parameter(loop_buffer_of(p->k, b))) continue;
        const char *name = text_buffer_name(p, b);
        const char *hole = pragma ? strstr(pragma, "%s") : NULL;
        if (hole) text_putf(p, "%.*s%s%s\n", (int)(hole - pragma), pragma, name, hole + 2);
        if (!p->used_buffers[b]) put_line(p, arena_printf(p->m->memory, "(void)%s;", name));
    }
    if (!p->uses_status) put_line(p, "(void)status;");
    for (size_t i = 0; i < symbol_count; i++)
        if (!p->used_symbols[symbols[i]])
            put_line(p, arena_printf(p->m->memory, "(void)%s;",
                                     text_symbol_name(p->m, p->k, symbols[i])));
}

/* ---- the grid of a launch ---- */

static void widen_grid(text_printer *p, const loop_stmt *s, loop_expr *extents) {
    for (; s; s = s->next) {
        int axis = s->kind == LOOP_STMT_FOR ? grid_axis(p, s) : -1;
        if (axis >= 0)
            extents[axis] = extents[axis] ? loop_max(p->k, extents[axis], s->extent) : s->extent;
        widen_grid(p, s->body, extents);
        widen_grid(p, s->otherwise, extents);
    }
}

/* NAME_geometry(symbols, grid, block): what a launch must cover. */
static void add_geometry(text_printer *p, const char *name, const dim_symbol *symbols,
                         size_t symbol_count) {
    static const char *const targets[TEXT_GRID_AXES] = {"grid[0]",  "grid[1]",  "grid[2]",
                                                        "block[0]", "block[1]", "block[2]"};
    loop_expr extents[TEXT_GRID_AXES] = {0};
    widen_grid(p, p->k->body, extents);
    p->body.count = 0;
    text_putf(
        p, "\n%svoid %s_geometry(const int64_t *symbols, unsigned grid[3], unsigned block[3]) {\n",
        p->m->dialect->geometry_prefix, name);
    p->indent = 1;
    for (size_t i = 0; i < symbol_count; i++) {
        text_put_indent(p);
        text_putf(p, "const int64_t %s = symbols[%zu];\n", text_symbol_name(p->m, p->k, symbols[i]),
                  i);
        put_line(p,
                 arena_printf(p->m->memory, "(void)%s;", text_symbol_name(p->m, p->k, symbols[i])));
    }
    if (!symbol_count) put_line(p, "(void)symbols;");
    for (int i = 0; i < TEXT_GRID_AXES; i++) {
        loop_expr extent = extents[i] ? extents[i] : loop_int(p->k, 1);
        text_put_shared(p, &extent, 1);
        text_put_indent(p);
        text_putf(p, "%s = (unsigned)(", targets[i]);
        text_put_expr(p, extent, 0);
        text_put(p, ");\n");
    }
    text_put(p, "}\n");
    for (size_t i = 0; i < p->body.count; i++)
        list_push(p->m->memory, &p->m->kernels, p->body.data[i]);
}

int64_t text_add_kernel(text_module *m, loop_kernel *k, const char *name) {
    text_printer p = {.m = m, .k = k};
    size_t symbol_count;
    const dim_symbol *symbols = loop_symbols(k, &symbol_count);
    p.used_buffers = ARENA_ARRAY(m->memory, bool, k->buffers.count);
    p.used_symbols = ARENA_ARRAY(m->memory, bool, dim_symbol_count(k->dims));
    put_block(&p, k->body);
    text_buffer body = p.body;
    p.body = (text_buffer){0};
    text_putf(&p, "\n%s%s(", m->dialect->kernel_prefix, name);
    if (m->dialect->frame)
        text_put(&p, "const int64_t *frame, int64_t begin, int64_t end");
    else
        put_parameters(&p, symbols, symbol_count);
    text_put(&p, ") {\n");
    p.indent = 1;
    if (m->dialect->frame)
        put_frame(&p, symbols, symbol_count);
    else
        put_parameter_uses(&p, symbols, symbol_count);
    int64_t bytes = put_locals(&p);
    for (size_t i = 0; i < p.body.count; i++) list_push(m->memory, &m->kernels, p.body.data[i]);
    for (size_t i = 0; i < body.count; i++) list_push(m->memory, &m->kernels, body.data[i]);
    text_add(m, "}\n");
    m->used_buffers = p.used_buffers;
    if (m->dialect->geometry_prefix) add_geometry(&p, name, symbols, symbol_count);
    return bytes;
}
