/* dim_text.c: dimension expressions as text, as C, and back. The parser also reads the formulas
 * that exporters put into ONNX files, where
 * "/" is exact division under a floor: it works on fractions. */
#include "ir/dim.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* ---- printing ---- */

static bool plain_name(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_' && *s != '.') return false;
    return true;
}

/* 'name', where a quote within is doubled. */
static const char *quoted(arena *a, const char *name) {
    char *text = arena_alloc(a, 2 * strlen(name) + 3), *p = text;
    *p++ = '\'';
    for (; *name; name++) {
        if (*name == '\'') *p++ = '\'';
        *p++ = *name;
    }
    *p = '\'';
    return text;
}

/* How tightly the outermost operator binds: sums 1, products and quotients 2, the rest 3. */
static int binding(const dim_table *t, dim d) {
    switch (dim_op_of(t, d)) {
    case DIM_ADD: return 1;
    case DIM_MUL:
    case DIM_FLOORDIV:
    case DIM_MOD: return 2;
    case DIM_CONST: return dim_value(t, d) < 0 ? 1 : 3;
    default: return 3;
    }
}

static const char *print(const dim_table *t, arena *a, dim d, int least) {
    static const char *const operators[] = {[DIM_FLOORDIV] = "//", [DIM_MOD] = "%"};
    const char *text;
    int64_t c;
    switch (dim_op_of(t, d)) {
    case DIM_CONST: text = arena_printf(a, "%" PRId64, dim_value(t, d)); break;
    case DIM_SYMBOL: {
        const char *name = dim_symbol_name(t, dim_symbol_of(t, d));
        text = plain_name(name) ? name : quoted(a, name);
        break;
    }
    case DIM_ADD: {
        dim y = dim_operand(t, d, 1);
        const char *x = print(t, a, dim_operand(t, d, 0), 1);
        if (dim_is_const(t, y, &c) && c < 0)
            text = arena_printf(a, "%s - %" PRId64, x, -c);
        else if (dim_op_of(t, y) == DIM_MUL && dim_is_const(t, dim_operand(t, y, 0), &c) && c < 0)
            text = c == -1 ? arena_printf(a, "%s - %s", x, print(t, a, dim_operand(t, y, 1), 2))
                           : arena_printf(a, "%s - %" PRId64 "*%s", x, -c,
                                          print(t, a, dim_operand(t, y, 1), 3));
        else
            text = arena_printf(a, "%s + %s", x, print(t, a, y, 2));
        break;
    }
    case DIM_MUL:
        text = arena_printf(a, "%s*%s", print(t, a, dim_operand(t, d, 0), 2),
                            print(t, a, dim_operand(t, d, 1), 3));
        break;
    case DIM_FLOORDIV:
    case DIM_MOD:
        text = arena_printf(a, "%s %s %s", print(t, a, dim_operand(t, d, 0), 3),
                            operators[dim_op_of(t, d)], print(t, a, dim_operand(t, d, 1), 3));
        break;
    default:
        text = arena_printf(a, "%s(%s, %s)", dim_op_of(t, d) == DIM_MIN ? "min" : "max",
                            print(t, a, dim_operand(t, d, 0), 1),
                            print(t, a, dim_operand(t, d, 1), 1));
    }
    return binding(t, d) < least ? arena_printf(a, "(%s)", text) : text;
}

const char *dim_text(const dim_table *t, arena *a, dim d) {
    return print(t, a, d, 1);
}

static const char *c_name(arena *a, const char *prefix, const char *name) {
    char *text = arena_printf(a, "%s%s", prefix, name);
    for (char *p = text + strlen(prefix); *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    return text;
}

const char *dim_c_text(const dim_table *t, arena *a, dim d, const char *prefix) {
    if (dim_op_of(t, d) == DIM_CONST)
        return arena_printf(a, "INT64_C(%" PRId64 ")", dim_value(t, d));
    if (dim_op_of(t, d) == DIM_SYMBOL)
        return c_name(a, prefix, dim_symbol_name(t, dim_symbol_of(t, d)));
    const char *x = dim_c_text(t, a, dim_operand(t, d, 0), prefix);
    const char *y = dim_c_text(t, a, dim_operand(t, d, 1), prefix);
    switch (dim_op_of(t, d)) {
    case DIM_ADD: return arena_printf(a, "(%s + %s)", x, y);
    case DIM_MUL: return arena_printf(a, "(%s * %s)", x, y);
    case DIM_FLOORDIV: return arena_printf(a, "(%s / %s)", x, y);
    case DIM_MOD: return arena_printf(a, "(%s %% %s)", x, y);
    case DIM_MIN: return arena_printf(a, "(%s < %s ? %s : %s)", x, y, x, y);
    default: return arena_printf(a, "(%s > %s ? %s : %s)", x, y, x, y);
    }
}

/* ---- parsing ---- */

enum { LONGEST_NAME = 255 };

/* numerator / denominator; a numerator of DIM_NONE is an error. */
typedef struct {
    dim numerator;
    int64_t denominator;
} fraction;

typedef struct {
    dim_table *t;
    const char *p;
    int depth;
} parser;

static const fraction bad = {DIM_NONE, 1};

static fraction parse_sum(parser *s);

static void skip_space(parser *s) {
    while (*s->p == ' ') s->p++;
}

static bool accept(parser *s, const char *word) {
    skip_space(s);
    size_t n = strlen(word);
    if (strncmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

static dim floor_of(parser *s, fraction f) {
    return dim_floordiv(s->t, f.numerator, dim_const(s->t, f.denominator));
}

static fraction parse_number(parser *s) {
    int64_t n = 0;
    while (isdigit((unsigned char)*s->p)) {
        if (n > DIM_MAX / 10) return bad;
        n = n * 10 + (*s->p++ - '0');
    }
    return (fraction){dim_const(s->t, n), 1};
}

/* NAME(a), NAME(a, b): floor, ceil, ceiling, min, max. */
static fraction parse_call(parser *s, const char *name, size_t length) {
    static const char *const names[] = {"floor", "ceil", "ceiling", "min", "max", "Min", "Max"};
    size_t which = 0, count = sizeof names / sizeof *names;
    while (which < count &&
           (strlen(names[which]) != length || strncmp(name, names[which], length) != 0))
        which++;
    fraction x = parse_sum(s), y = bad;
    if (which == count || !x.numerator) return bad;
    if (which >= 3) {
        if (!accept(s, ",")) return bad;
        y = parse_sum(s);
        if (!y.numerator || x.denominator != 1 || y.denominator != 1) return bad;
    }
    if (!accept(s, ")")) return bad;
    if (which == 0) return (fraction){floor_of(s, x), 1};
    if (which <= 2)
        return (fraction){dim_ceildiv(s->t, x.numerator, dim_const(s->t, x.denominator)), 1};
    bool least = which == 3 || which == 5;
    return (fraction){least ? dim_min(s->t, x.numerator, y.numerator)
                            : dim_max(s->t, x.numerator, y.numerator),
                      1};
}

static fraction make_symbol(parser *s, const char *name, size_t length) {
    char text[LONGEST_NAME + 1];
    if (!length || length > LONGEST_NAME) return bad;
    memcpy(text, name, length);
    text[length] = '\0';
    return (fraction){dim_make_symbol(s->t, text, 0, DIM_MAX), 1};
}

static fraction parse_quoted(parser *s) {
    char text[LONGEST_NAME];
    size_t n = 0;
    for (; *s->p && n < sizeof text; s->p++) {
        if (*s->p == '\'' && *++s->p != '\'') return make_symbol(s, text, n);
        text[n++] = *s->p;
    }
    return bad;
}

static fraction parse_primary(parser *s) {
    skip_space(s);
    if (isdigit((unsigned char)*s->p)) return parse_number(s);
    if (accept(s, "(")) {
        fraction f = parse_sum(s);
        return accept(s, ")") ? f : bad;
    }
    if (accept(s, "'")) return parse_quoted(s);
    const char *name = s->p;
    if (!isalpha((unsigned char)*name) && *name != '_') return bad;
    while (isalnum((unsigned char)*s->p) || *s->p == '_' || *s->p == '.') s->p++;
    size_t length = (size_t)(s->p - name);
    if (accept(s, "(")) return parse_call(s, name, length);
    return make_symbol(s, name, length);
}

static fraction parse_unary(parser *s) {
    enum { MAX_DEPTH = 64 };
    if (++s->depth > MAX_DEPTH) return bad;
    fraction f;
    if (accept(s, "-")) {
        f = parse_unary(s);
        if (f.numerator) f.numerator = dim_mul(s->t, dim_const(s->t, -1), f.numerator);
    } else {
        f = parse_primary(s);
    }
    s->depth--;
    return f;
}

static fraction divide(parser *s, fraction x, fraction y) {
    int64_t c;
    if (!dim_is_const(s->t, y.numerator, &c) || c < 1 || x.denominator > DIM_MAX / c) return bad;
    return (fraction){dim_mul(s->t, x.numerator, dim_const(s->t, y.denominator)),
                      x.denominator * c};
}

static fraction parse_product(parser *s) {
    fraction x = parse_unary(s);
    while (x.numerator) {
        char op = accept(s, "//")  ? 'f'
                  : accept(s, "*") ? '*'
                  : accept(s, "/") ? '/'
                  : accept(s, "%") ? '%'
                                   : 0;
        if (!op) break;
        fraction y = parse_unary(s);
        if (!y.numerator) return bad;
        bool whole = x.denominator == 1 && y.denominator == 1;
        if (op == '*') {
            if (x.denominator > DIM_MAX / y.denominator) return bad;
            x = (fraction){dim_mul(s->t, x.numerator, y.numerator), x.denominator * y.denominator};
        } else if (op == '/') {
            x = divide(s, x, y);
        } else {
            if (!whole || dim_equals_const(s->t, y.numerator, 0)) return bad;
            x.numerator = op == 'f' ? dim_floordiv(s->t, x.numerator, y.numerator)
                                    : dim_mod(s->t, x.numerator, y.numerator);
        }
    }
    return x;
}

static fraction parse_sum(parser *s) {
    enum { MAX_DEPTH = 64 };
    if (++s->depth > MAX_DEPTH) return bad;
    fraction x = parse_product(s);
    while (x.numerator) {
        bool minus = accept(s, "-");
        if (!minus && !accept(s, "+")) break;
        fraction y = parse_product(s);
        if (!y.numerator || x.denominator > DIM_MAX / y.denominator) return bad;
        dim p = dim_mul(s->t, x.numerator, dim_const(s->t, y.denominator));
        dim q = dim_mul(s->t, y.numerator, dim_const(s->t, x.denominator));
        x = (fraction){minus ? dim_sub(s->t, p, q) : dim_add(s->t, p, q),
                       x.denominator * y.denominator};
    }
    s->depth--;
    return x;
}

dim dim_parse(dim_table *t, const char **text) {
    parser s = {.t = t, .p = *text};
    fraction f = parse_sum(&s);
    if (!f.numerator || f.denominator != 1) return DIM_NONE;
    *text = s.p;
    return f.numerator;
}
