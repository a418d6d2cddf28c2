/* loop_parse_expr.c: the text form of expressions: infix with C's precedence (// is floordiv, %
 * mod), calls by opcode name, %buffer[indices], $symbol. Literals take the type of the other
 * operand. Formulas of operators and printed kernels are read by the same parser; the first are
 * simplified, the second kept as they stand. Text may be hostile: nothing here asserts on it. */
#include "ir/loop_parse.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 };

/* An operand that is not yet typed, if it is a literal. */
typedef struct {
    loop_expr e; /* 0: a literal */
    bool is_float;
    int64_t i;
    double f;
} operand;

/* ---- tokens ---- */

bool parse_fail(loop_parser *p, const char *message) {
    if (!p->error) {
        p->error = message;
        p->error_at = p->at;
    }
    return false;
}

void parse_skip_space(loop_parser *p) {
    for (;;) {
        while (isspace((unsigned char)*p->at)) p->at++;
        if (*p->at != '#') return;
        while (*p->at && *p->at != '\n') p->at++;
    }
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

bool parse_accept(loop_parser *p, const char *token) {
    const char *from = p->at;
    parse_skip_space(p);
    size_t n = strlen(token);
    bool found = strncmp(p->at, token, n) == 0 && !(is_word(token[n - 1]) && is_word(p->at[n]));
    p->at = found ? p->at + n : from;
    return found;
}

bool parse_expect(loop_parser *p, const char *token) {
    if (parse_accept(p, token)) return true;
    return parse_fail(p, arena_printf(p->k->memory, "\"%s\" is missing", token));
}

const char *parse_name(loop_parser *p) {
    parse_skip_space(p);
    size_t n = 0;
    if (!isdigit((unsigned char)*p->at))
        while (is_word(p->at[n])) n++;
    const char *name = arena_strndup(p->k->memory, p->at, n);
    p->at += n;
    return name;
}

const char *parse_quotable(loop_parser *p) {
    parse_skip_space(p);
    if (*p->at != '"') {
        const char *name = parse_name(p);
        if (!*name) parse_fail(p, "a name is missing");
        return name;
    }
    const char *begin = ++p->at;
    char *text = arena_alloc(p->k->memory, strcspn(begin, "\"\n") + 1), *to = text;
    for (; *p->at && *p->at != '"' && *p->at != '\n'; p->at++) {
        unsigned code; /* \\HH */
        if (*p->at == '\\' && isxdigit((unsigned char)p->at[1]) &&
            sscanf(p->at + 1, "%2x", &code) == 1 && code) {
            *to++ = (char)code;
            p->at += 1 + (isxdigit((unsigned char)p->at[2]) != 0);
        } else {
            *to++ = *p->at;
        }
    }
    if (*p->at != '"')
        parse_fail(p, "the string does not end");
    else
        p->at++;
    return text;
}

bool parse_integer(loop_parser *p, int64_t *value) {
    parse_skip_space(p);
    char *end;
    errno = 0;
    long long v = strtoll(p->at, &end, 10);
    if (end == p->at || errno) return parse_fail(p, "a whole number is missing");
    p->at = end;
    *value = v;
    return true;
}

/* ---- literals ---- */

static operand of_expr(loop_expr e) {
    return (operand){.e = e};
}

static bool parse_number(loop_parser *p, operand *out) {
    char *end;
    size_t n = strspn(p->at, "0123456789");
    bool is_float = p->at[n] == '.' || p->at[n] == 'e' || p->at[n] == 'E';
    errno = 0;
    if (is_float) {
        *out = (operand){.is_float = true, .f = strtod(p->at, &end)};
        errno = 0; /* what is too large or small is infinite or zero */
    } else {
        unsigned long long v = strtoull(p->at, &end, 10);
        *out = (operand){.i = (int64_t)v, .f = (double)v};
    }
    if (end == p->at || errno) return parse_fail(p, "a number that does not fit");
    p->at = end;
    return true;
}

static loop_expr literal_as(loop_parser *p, dtype t, operand o) {
    if (dtype_is_float(t)) return loop_const(p->k, t, o.f);
    if (o.is_float) {
        parse_fail(p, "a fraction where an integer is due");
        return loop_const_int(p->k, t, 0);
    }
    return loop_const_int(p->k, t, o.i);
}

static loop_expr typed(loop_parser *p, operand o) {
    if (o.e) return o.e;
    return literal_as(p, o.is_float ? p->float_literals : p->int_literals, o);
}

/* ---- operations ---- */

/* i64 sums and products as loop_linear.c writes them: constant factors last, differences as sums.
 */
static loop_expr exact_i64(loop_kernel *k, loop_op op, loop_expr a, loop_expr b) {
    int64_t c;
    loop_expr minus_one = loop_int(k, -1);
    if (op == LOOP_NEG) return loop_intern_op(k, LOOP_MUL, DTYPE_I64, a, minus_one, 0);
    if (op == LOOP_MUL && loop_is_int(k, a, &c) && !loop_is_int(k, b, &c))
        return loop_intern_op(k, LOOP_MUL, DTYPE_I64, b, a, 0);
    if (op != LOOP_SUB) return loop_intern_op(k, op, DTYPE_I64, a, b, 0);
    const loop_node n = *loop_get(k, b);
    if (n.op == LOOP_CONST)
        b = loop_int(k, (int64_t)(0 - (uint64_t)n.i));
    else if (n.op == LOOP_MUL && loop_is_int(k, n.args[1], &c))
        b = loop_intern_op(k, LOOP_MUL, DTYPE_I64, n.args[0],
                           loop_int(k, (int64_t)(0 - (uint64_t)c)), 0);
    else
        b = loop_intern_op(k, LOOP_MUL, DTYPE_I64, b, minus_one, 0);
    return loop_intern_op(k, LOOP_ADD, DTYPE_I64, a, b, 0);
}

static loop_expr make(loop_parser *p, loop_op op, dtype t, const loop_expr *args) {
    loop_kernel *k = p->k;
    if (t == DTYPE_NONE) t = loop_result_type(k, op, args[0], args[1]);
    const char *error = p->error ? p->error : loop_type_error(k, op, t, args);
    if (error) {
        parse_fail(p, arena_printf(k->memory, "%s %s", loop_ops[op].name, error));
        return loop_const_int(k, t == DTYPE_NONE ? DTYPE_I64 : t, 0);
    }
    bool constant = true; /* as no constructor leaves it: folded here too */
    for (int i = 0; i < loop_ops[op].arity; i++) constant &= loop_get(k, args[i])->op == LOOP_CONST;
    bool exact = p->exact && !constant;
    if (!exact && op == LOOP_CAST) return loop_cast(k, t, args[0]);
    if (!exact && op == LOOP_BITCAST) return loop_bitcast(k, t, args[0]);
    if (!exact) return loop_make(k, op, args[0], args[1], args[2]);
    if (t == DTYPE_I64 && (op == LOOP_ADD || op == LOOP_SUB || op == LOOP_MUL || op == LOOP_NEG))
        return exact_i64(k, op, args[0], args[1]);
    return loop_intern_op(k, op, t, args[0], args[1], args[2]);
}

/* Gives literals among the operands [from, count) the type of the others. */
static void unify(loop_parser *p, operand *o, int from, int count, loop_expr *args) {
    dtype t = DTYPE_NONE;
    bool any_float = false;
    for (int i = from; i < count; i++) {
        any_float |= o[i].is_float;
        if (o[i].e && t == DTYPE_NONE) t = loop_type(p->k, o[i].e);
    }
    if (t == DTYPE_NONE) t = any_float ? p->float_literals : p->int_literals;
    for (int i = from; i < count; i++) args[i] = o[i].e ? o[i].e : literal_as(p, t, o[i]);
}

static operand apply(loop_parser *p, loop_op op, operand a, operand b) {
    operand both[] = {a, b};
    loop_expr args[3] = {0};
    unify(p, both, 0, loop_ops[op].arity, args);
    return of_expr(make(p, op, DTYPE_NONE, args));
}

static operand parse_level(loop_parser *p, int level);

/* (a, b, c) of an operation by name. */
static operand parse_call(loop_parser *p, loop_op op, dtype t) {
    operand o[3] = {{0}};
    int arity = loop_ops[op].arity;
    for (int i = 0; i < arity; i++) {
        if (i) parse_expect(p, ",");
        o[i] = parse_level(p, 0);
    }
    parse_expect(p, ")");
    loop_expr args[3] = {0};
    unify(p, o, op == LOOP_SELECT, arity, args);
    if (op == LOOP_SELECT) args[0] = typed(p, o[0]);
    return of_expr(make(p, op, t, args));
}

static dtype type_after(const char *name, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 ? dtype_from_name(name + n, strlen(name + n)) : DTYPE_NONE;
}

static operand parse_function(loop_parser *p, const char *name) {
    for (int op = LOOP_ADD; op < LOOP_OP_COUNT; op++)
        if (op != LOOP_CAST && op != LOOP_BITCAST && strcmp(loop_ops[op].name, name) == 0)
            return parse_call(p, (loop_op)op, DTYPE_NONE);
    dtype t = type_after(name, "cast_");
    if (t) return parse_call(p, LOOP_CAST, t);
    t = type_after(name, "bitcast_");
    if (t) return parse_call(p, LOOP_BITCAST, t);
    t = type_after(name, "");
    if (!t || t == DTYPE_STRING || t == DTYPE_C64 || t == DTYPE_C128) {
        parse_fail(p, arena_printf(p->k->memory, "no function \"%s\"", name));
        return (operand){0};
    }
    operand literal = parse_level(p, 0);
    parse_expect(p, ")");
    if (literal.e) {
        parse_fail(p, "a type's name takes a literal; cast_ converts");
        return literal;
    }
    return of_expr(literal_as(p, t, literal));
}

static operand parse_word(loop_parser *p) {
    const char *name = parse_name(p);
    if (parse_accept(p, "(")) return parse_function(p, name);
    if (strcmp(name, "inf") == 0) return (operand){.is_float = true, .f = __builtin_inf()};
    if (strcmp(name, "nan") == 0) return (operand){.is_float = true, .f = __builtin_nan("")};
    if (strcmp(name, "true") == 0) return of_expr(loop_const_int(p->k, DTYPE_BOOL, 1));
    if (strcmp(name, "false") == 0) return of_expr(loop_const_int(p->k, DTYPE_BOOL, 0));
    for (size_t i = p->names.count; i-- > 0;)
        if (strcmp(p->names.data[i].name, name) == 0) return of_expr(p->names.data[i].expr);
    for (size_t i = 0; i < p->binding_count; i++)
        if (strcmp(p->bindings[i].name, name) == 0) return of_expr(p->bindings[i].expr);
    parse_fail(p, arena_printf(p->k->memory, "\"%s\" is not defined", name));
    return (operand){0};
}

bool parse_find_buffer(loop_parser *p, loop_buf *out) {
    if (!parse_expect(p, "%")) return false;
    const char *name = parse_name(p);
    for (loop_buf b = 0; b < p->k->buffers.count; b++)
        if (strcmp(p->k->buffers.data[b].name, name) == 0) {
            *out = b;
            return true;
        }
    return parse_fail(p, arena_printf(p->k->memory, "no buffer %%%s", name));
}

int parse_expr_list(loop_parser *p, loop_expr *out) {
    int count = 0;
    if (!parse_expect(p, "[")) return -1;
    while (!p->error && !parse_accept(p, "]")) {
        if (count && !parse_expect(p, ",")) return -1;
        if (count == LOOP_MAX_RANK) return parse_fail(p, "too many indices") - 1;
        out[count] = parse_expr(p);
        if (!p->error && loop_type(p->k, out[count]) != DTYPE_I64)
            parse_fail(p, "an index is an i64");
        count++;
    }
    return p->error ? -1 : count;
}

static operand parse_load(loop_parser *p) {
    loop_buf b;
    loop_expr indices[LOOP_MAX_RANK];
    if (!parse_find_buffer(p, &b)) return (operand){0};
    int count = parse_expr_list(p, indices);
    if (count >= 0 && count != loop_buffer_of(p->k, b)->rank)
        parse_fail(p, "the buffer has another number of axes");
    if (p->error) return (operand){0};
    return of_expr(loop_intern_load(p->k, b, indices));
}

static operand parse_symbol(loop_parser *p) {
    p->at++;
    const char *name = parse_quotable(p);
    if (p->error) return (operand){0};
    return of_expr(loop_dim(p->k, dim_make_symbol(p->k->dims, name, 0, DIM_MAX)));
}

/* @N, an expression that was named before. */
static operand parse_shared(loop_parser *p) {
    int64_t n;
    p->at++;
    if (!parse_integer(p, &n)) return (operand){0};
    if (n >= 0 && (uint64_t)n < p->shared.count) return of_expr(p->shared.data[n]);
    parse_fail(p, "no expression of this number");
    return (operand){0};
}

static operand negate(loop_parser *p, operand x) {
    if (x.e) return apply(p, LOOP_NEG, x, x);
    x.i = (int64_t)(0 - (uint64_t)x.i);
    x.f = -x.f;
    return x;
}

static operand parse_primary(loop_parser *p) {
    parse_skip_space(p);
    operand x = {0};
    if (p->error || ++p->depth > MAX_DEPTH) {
        parse_fail(p, "nested too deep");
        return x;
    }
    if (*p->at == '-') {
        p->at++;
        x = negate(p, parse_primary(p));
    } else if (*p->at == '!' || *p->at == '~') {
        p->at++;
        operand y = parse_primary(p);
        x = apply(p, LOOP_NOT, y, y);
    } else if (*p->at == '(') {
        p->at++;
        x = parse_level(p, 0);
        parse_expect(p, ")");
    } else if (*p->at == '%') {
        x = parse_load(p);
    } else if (*p->at == '$') {
        x = parse_symbol(p);
    } else if (*p->at == '@') {
        x = parse_shared(p);
    } else if (isdigit((unsigned char)*p->at) || *p->at == '.') {
        parse_number(p, &x);
    } else if (is_word(*p->at)) {
        x = parse_word(p);
    } else {
        parse_fail(p, "an expression is missing");
    }
    p->depth--;
    return x;
}

typedef struct {
    const char *token;
    int level;
    loop_op op;
    bool swapped;
} infix;

/* Longer tokens before their beginnings. */
static const infix infixes[] = {
    {"||", 0, LOOP_OR, false}, {"&&", 1, LOOP_AND, false},      {"==", 5, LOOP_EQ, false},
    {"!=", 5, LOOP_NE, false}, {"<<", 7, LOOP_SHL, false},      {">>", 7, LOOP_SHR, false},
    {"<=", 6, LOOP_LE, false}, {">=", 6, LOOP_LE, true},        {"<", 6, LOOP_LT, false},
    {">", 6, LOOP_LT, true},   {"|", 2, LOOP_OR, false},        {"^", 3, LOOP_XOR, false},
    {"&", 4, LOOP_AND, false}, {"+", 8, LOOP_ADD, false},       {"-", 8, LOOP_SUB, false},
    {"*", 9, LOOP_MUL, false}, {"//", 9, LOOP_FLOORDIV, false}, {"/", 9, LOOP_DIV, false},
    {"%", 9, LOOP_MOD, false},
};

/* Binary operators of this level and those that bind tighter, by precedence climbing. An operator
 * stands on the line of its left operand: what begins a line begins a statement. */
static operand parse_level(loop_parser *p, int level) {
    operand left = parse_primary(p);
    while (!p->error) {
        p->at += strspn(p->at, " \t");
        const infix *found = NULL;
        for (size_t i = 0; i < sizeof infixes / sizeof *infixes && !found; i++)
            if (strncmp(p->at, infixes[i].token, strlen(infixes[i].token)) == 0)
                found = &infixes[i];
        if (!found || found->level < level) break;
        p->at += strlen(found->token);
        operand right = parse_level(p, found->level + 1);
        if (p->error) break;
        left = found->swapped ? apply(p, found->op, right, left) : apply(p, found->op, left, right);
    }
    return left;
}

loop_expr parse_expr(loop_parser *p) {
    operand x = parse_level(p, 0);
    return p->error ? 0 : typed(p, x);
}

loop_expr loop_formula(loop_kernel *k, const char *formula, dtype literals,
                       const loop_binding *bindings, size_t count) {
    loop_parser p = {.k = k,
                     .start = formula,
                     .at = formula,
                     .int_literals = literals,
                     .float_literals = dtype_is_float(literals) ? literals : DTYPE_F32,
                     .bindings = bindings,
                     .binding_count = count};
    loop_expr e = parse_expr(&p);
    parse_skip_space(&p);
    assert(!p.error && "a formula of the operator table is wrong");
    assert(!*p.at && "a formula goes on behind its end");
    return e;
}
