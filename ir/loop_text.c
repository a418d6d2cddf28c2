/* loop_text.c: kernels as text (docs/loop-ir.md). One statement a line; a large expression that a
 * statement uses twice is named first, as "@0 = ...", so that the text is never much longer than
 * the kernel. What is printed, loop_parse reads back to the same nodes. */
#include "ir/loop_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMED_SIZE = 12,  /* a shared expression of more nodes gets a name */
    NAMED_HEIGHT = 40 /* and so does one nested deeper than that */
};

/* What the printer knows of an expression within the statement at hand. */
typedef struct {
    uint32_t round; /* number of the statement that the rest is about */
    uint32_t uses;
    uint32_t size, height; /* as printed, names counting as one */
    bool planned;
    uint32_t name; /* 1 + number of its "@"; 0: printed in place */
} mark;

typedef struct {
    const loop_kernel *k;
    arena *scratch;
    LIST(char) out;
    mark *marks;
    uint32_t round, names;
    int indent;
    const char *line_end; /* behind "@0 = ..." */
} printer;

static void put(printer *p, const char *s) {
    while (*s) list_push(p->scratch, &p->out, *s++);
}

static void put_format(printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(printer *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    put(p, arena_vprintf(p->scratch, format, args));
    va_end(args);
}

static void put_indent(printer *p) {
    for (int i = 0; i < p->indent; i++) put(p, "  ");
}

static void put_quotable(printer *p, const char *name) {
    bool plain = *name && !isdigit((unsigned char)*name);
    for (const char *c = name; *c; c++) plain &= isalnum((unsigned char)*c) || *c == '_';
    if (plain) {
        put(p, name);
        return;
    }
    put(p, "\"");
    for (const char *c = name; *c; c++) {
        bool escape = (unsigned char)*c < ' ' || *c == '"' || *c == '\\' || *c == 127;
        put_format(p, escape ? "\\%02x" : "%c", (unsigned char)*c);
    }
    put(p, "\"");
}

/* ---- constants ---- */

/* The shortest decimal that reads back as v, with a point or exponent. */
static const char *float_text(arena *a, dtype t, double v) {
    if (isnan(v)) return "nan";
    if (isinf(v)) return v < 0 ? "-inf" : "inf";
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if ((t == DTYPE_F64 ? back : (double)(float)back) == v) break;
    }
    if (!strpbrk(text, ".e")) strcat(text, ".0");
    return arena_strdup(a, text);
}

static void put_const(printer *p, const loop_node *n) {
    if (n->type == DTYPE_BOOL)
        put(p, n->i ? "true" : "false");
    else if (n->type == DTYPE_I64)
        put_format(p, "%lld", (long long)n->i);
    else if (n->type == DTYPE_U64)
        put_format(p, "u64(%llu)", (unsigned long long)n->i);
    else if (n->type == DTYPE_F32)
        put(p, float_text(p->scratch, n->type, n->f));
    else if (dtype_is_float(n->type))
        put_format(p, "%s(%s)", dtype_name(n->type), float_text(p->scratch, n->type, n->f));
    else
        put_format(p, "%s(%lld)", dtype_name(n->type), (long long)n->i);
}

/* ---- expressions ---- */

typedef struct {
    const char *token;
    int level;
} infix;

enum { LEVEL_UNARY = 10 };

/* Level 0: not an infix operation. Levels as in loop_parse_expr.c. */
static infix infix_of(loop_op op) {
    switch (op) {
    case LOOP_OR: return (infix){" | ", 2};
    case LOOP_XOR: return (infix){" ^ ", 3};
    case LOOP_AND: return (infix){" & ", 4};
    case LOOP_EQ: return (infix){" == ", 5};
    case LOOP_NE: return (infix){" != ", 5};
    case LOOP_LT: return (infix){" < ", 6};
    case LOOP_LE: return (infix){" <= ", 6};
    case LOOP_SHL: return (infix){" << ", 7};
    case LOOP_SHR: return (infix){" >> ", 7};
    case LOOP_ADD: return (infix){" + ", 8};
    case LOOP_SUB: return (infix){" - ", 8};
    case LOOP_MUL: return (infix){" * ", 9};
    case LOOP_FLOORDIV: return (infix){" // ", 9};
    case LOOP_DIV: return (infix){" / ", 9};
    case LOOP_MOD: return (infix){" % ", 9};
    default: return (infix){"", 0};
    }
}

static void put_expr(printer *p, loop_expr e, int level);

static void put_list(printer *p, const loop_expr *e, uint32_t count) {
    put(p, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i) put(p, ", ");
        put_expr(p, e[i], 0);
    }
    put(p, "]");
}

/* c * x of an i64, without the sign of c; `level` is that of x alone. */
static void put_scaled(printer *p, loop_expr x, int64_t c, int level) {
    unsigned long long size = (unsigned long long)c;
    if (c != 1 && c != -1) put_format(p, "%llu*", c < 0 ? 0 - size : size);
    put_expr(p, x, c == 1 || c == -1 ? level : LEVEL_UNARY);
}

/* i64 sums as people write them: 4*i + j - 1. True if it was one. */
static bool put_linear(printer *p, const loop_node *n) {
    int64_t c;
    if (n->type != DTYPE_I64) return false;
    if (n->op == LOOP_MUL && loop_is_int(p->k, n->args[1], &c)) {
        put(p, c < 0 ? "-" : c == 1 ? "1*" : "");
        put_scaled(p, n->args[0], c, LEVEL_UNARY);
        return true;
    }
    if (n->op != LOOP_ADD) return false;
    const loop_node *y = loop_get(p->k, n->args[1]);
    bool named = p->marks[n->args[1]].round == p->round && p->marks[n->args[1]].name;
    put_expr(p, n->args[0], 8);
    if (y->op == LOOP_CONST && y->i < 0 && y->i > INT64_MIN) {
        put_format(p, " - %lld", (long long)-y->i);
    } else if (!named && y->op == LOOP_MUL && loop_is_int(p->k, y->args[1], &c) && c < 0 &&
               c > INT64_MIN) {
        put(p, " - ");
        put_scaled(p, y->args[0], c, 9);
    } else {
        put(p, " + ");
        put_expr(p, n->args[1], 9);
    }
    return true;
}

static void put_call(printer *p, const loop_node *n) {
    put(p, loop_ops[n->op].name);
    if (n->op == LOOP_CAST || n->op == LOOP_BITCAST) put_format(p, "_%s", dtype_name(n->type));
    put(p, "(");
    for (uint32_t i = 0; i < n->arg_count; i++) {
        if (i) put(p, ", ");
        put_expr(p, n->args[i], 0);
    }
    put(p, ")");
}

/* The level of a node as printed: operands of a tighter context get parentheses. */
static int level_of(const loop_node *n) {
    int level = infix_of(n->op).level;
    return level ? level : LEVEL_UNARY;
}

static void put_node(printer *p, const loop_node *n) {
    infix x = infix_of(n->op);
    switch (n->op) {
    case LOOP_CONST: put_const(p, n); return;
    case LOOP_VAR: put(p, p->k->vars.data[n->i].name); return;
    case LOOP_DIM:
        put(p, "$");
        put_quotable(p, dim_symbol_name(p->k->dims, (dim_symbol)n->i));
        return;
    case LOOP_LOAD:
        put_format(p, "%%%s", p->k->buffers.data[n->i].name);
        put_list(p, n->args, n->arg_count);
        return;
    case LOOP_NEG:
    case LOOP_NOT:
        put(p, n->op == LOOP_NEG ? "-" : "!");
        put_expr(p, n->args[0], LEVEL_UNARY);
        return;
    default: break;
    }
    if (put_linear(p, n)) return;
    if (!x.level) {
        put_call(p, n);
        return;
    }
    put_expr(p, n->args[0], x.level);
    put(p, n->op == LOOP_MUL && n->type == DTYPE_I64 ? "*" : x.token);
    put_expr(p, n->args[1], x.level + 1);
}

static void put_expr(printer *p, loop_expr e, int level) {
    const mark *m = &p->marks[e];
    if (m->round == p->round && m->name) {
        put_format(p, "@%u", m->name - 1);
        return;
    }
    const loop_node *n = loop_get(p->k, e);
    bool parenthesis = level_of(n) < level;
    if (parenthesis) put(p, "(");
    put_node(p, n);
    if (parenthesis) put(p, ")");
}

/* ---- names for shared expressions ---- */

static void count_uses(printer *p, loop_expr e) {
    mark *m = &p->marks[e];
    if (m->round == p->round) {
        m->uses++;
        return;
    }
    *m = (mark){.round = p->round, .uses = 1};
    const loop_node *n = loop_get(p->k, e);
    for (uint32_t i = 0; i < n->arg_count; i++) count_uses(p, n->args[i]);
}

static void plan_names(printer *p, loop_expr e) {
    mark *m = &p->marks[e];
    if (m->planned) return;
    m->planned = true;
    const loop_node *n = loop_get(p->k, e);
    m->size = m->height = 1;
    for (uint32_t i = 0; i < n->arg_count; i++) {
        plan_names(p, n->args[i]);
        const mark *x = &p->marks[n->args[i]];
        m->size += x->name ? 1 : x->size;
        if (!x->name && x->height >= m->height) m->height = x->height + 1;
    }
    if (!n->arg_count || ((m->uses < 2 || m->size <= NAMED_SIZE) && m->height < NAMED_HEIGHT))
        return;
    if (p->line_end[0] == '\n') put_indent(p);
    put_format(p, "@%u = ", p->names);
    put_expr(p, e, 0);
    put(p, p->line_end);
    m->name = ++p->names;
}

static void name_shared(printer *p, const loop_expr *roots, uint32_t count) {
    p->round++;
    p->names = 0;
    for (uint32_t i = 0; i < count; i++)
        if (roots[i]) count_uses(p, roots[i]);
    for (uint32_t i = 0; i < count; i++)
        if (roots[i]) plan_names(p, roots[i]);
}

/* ---- statements ---- */

static void put_block(printer *p, const loop_stmt *s);

static void put_stmt(printer *p, const loop_stmt *s) {
    loop_expr roots[LOOP_MAX_RANK + 4] = {s->extent, s->active, s->condition, s->value};
    for (uint32_t i = 0; i < s->index_count; i++) roots[4 + i] = s->indices[i];
    name_shared(p, roots, 4 + s->index_count);
    put_indent(p);
    switch (s->kind) {
    case LOOP_STMT_FOR:
        put_format(p, "for %s in ", p->k->vars.data[s->var].name);
        put_expr(p, s->extent, 0);
        put_format(p, " %s", loop_kind_names[s->loop]);
        if (s->active) {
            put(p, " active ");
            put_expr(p, s->active, 0);
        }
        break;
    case LOOP_STMT_IF:
        put(p, "if ");
        put_expr(p, s->condition, 0);
        break;
    case LOOP_STMT_CHECK:
        put(p, "check ");
        put_expr(p, s->condition, 0);
        put_format(p, ", %d\n", s->code);
        return;
    case LOOP_STMT_STORE:
        put_format(p, "%%%s", p->k->buffers.data[s->buf].name);
        put_list(p, s->indices, s->index_count);
        put(p, " = ");
        put_expr(p, s->value, 0);
        put(p, "\n");
        return;
    }
    put(p, " {\n");
    put_block(p, s->body);
    put_indent(p);
    if (s->otherwise) {
        put(p, "} else {\n");
        put_block(p, s->otherwise);
        put_indent(p);
    }
    put(p, "}\n");
}

static void put_block(printer *p, const loop_stmt *s) {
    p->indent++;
    for (; s; s = s->next) put_stmt(p, s);
    p->indent--;
}

static void put_buffer(printer *p, const loop_buffer *b) {
    put_format(p, "  %s %%%s: %s", loop_space_names[b->space], b->name, dtype_name(b->type));
    put_list(p, b->extents, (uint32_t)b->rank);
    if (b->strides) {
        put(p, " strides ");
        put_list(p, b->strides, (uint32_t)b->rank);
    }
    if (b->alias) put_format(p, " alias %u", b->alias);
    put(p, "\n");
}

/* ---- entry points ---- */

static printer begin(const loop_kernel *k) {
    arena *scratch = arena_create();
    return (printer){.k = k,
                     .scratch = scratch,
                     .marks = ARENA_ARRAY(scratch, mark, k->nodes.count),
                     .round = 1,
                     .line_end = "\n"};
}

static void put_kernel(printer *p) {
    put(p, "kernel ");
    put_quotable(p, p->k->name);
    put(p, " {\n");
    for (size_t i = 0; i < p->k->buffers.count; i++) put_buffer(p, &p->k->buffers.data[i]);
    put_block(p, p->k->body);
    put(p, "}\n");
}

void loop_print(const loop_kernel *k, void (*write)(void *user, const char *text, size_t n),
                void *user) {
    printer p = begin(k);
    put_kernel(&p);
    write(user, p.out.data, p.out.count);
    arena_destroy(p.scratch);
}

const char *loop_text(const loop_kernel *k, arena *a) {
    printer p = begin(k);
    put_kernel(&p);
    const char *text = arena_strndup(a, p.out.data, p.out.count);
    arena_destroy(p.scratch);
    return text;
}

const char *loop_expr_text(const loop_kernel *k, arena *a, loop_expr e) {
    printer p = begin(k);
    p.line_end = "; ";
    name_shared(&p, &e, 1);
    put_expr(&p, e, 0);
    const char *text = arena_strndup(a, p.out.data, p.out.count);
    arena_destroy(p.scratch);
    return text;
}
