/* text_expr.c: expressions in C. A subexpression that a statement uses more than once becomes a
 * temporary, so that text and work stay linear in the kernel. Integer arithmetic whose result may
 * overflow goes by unsigned types, which wrap; index arithmetic, whose range is known, does not. */
#include "codegen/text/text_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_COMPARE = 1, LEVEL_SUM = 2, LEVEL_PRODUCT = 3, LEVEL_UNARY = 4 };
enum { NAMED_SIZE = 3, NAMED_HEIGHT = 30 };

/* ---- constants ---- */

static void put_float(text_printer *p, dtype t, double v) {
    const char *suffix = t == DTYPE_F32 ? "f" : "";
    if (isnan(v) || isinf(v)) {
        text_putf(p, "(%s)%s%s", text_type(t), v < 0 ? "-" : "", isnan(v) ? "NAN" : "INFINITY");
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if ((t == DTYPE_F64 ? back : (double)(float)back) == v) break;
    }
    text_putf(p, "%s%s%s", text, strpbrk(text, ".e") ? "" : ".0", suffix);
}

static void put_integer(text_printer *p, dtype t, int64_t v) {
    if (t == DTYPE_BOOL)
        text_put(p, v ? "true" : "false");
    else if (t == DTYPE_U64)
        text_putf(p, "UINT64_C(%" PRIu64 ")", (uint64_t)v);
    else if (t == DTYPE_U32)
        text_putf(p, "%" PRId64 "u", v);
    else if (v == INT64_MIN)
        text_put(p, "INT64_MIN");
    else if (t == DTYPE_I32 && v == INT32_MIN)
        text_put(p, "INT32_MIN");
    else if (v > INT32_MAX || v < -INT32_MAX)
        text_putf(p, v < 0 ? "(INT64_C(%" PRId64 "))" : "INT64_C(%" PRId64 ")", v);
    else
        text_putf(p, v < 0 ? "(%" PRId64 ")" : "%" PRId64, v);
}

static void put_const(text_printer *p, const loop_node *n) {
    if (n->type == DTYPE_F16) { /* its bits: the double's exponent and mantissa, cut short */
        int e;
        double size = fabs(n->f), m = frexp(size, &e);
        uint32_t sign = signbit(n->f) ? 0x8000u : 0, bits;
        if (isnan(n->f))
            bits = 0x7e00u;
        else if (isinf(n->f))
            bits = 0x7c00u;
        else if (size < 0x1p-14)
            bits = (uint32_t)(size * 0x1p24);
        else
            bits = (uint32_t)(e + 14) << 10 | ((uint32_t)(m * 2048) - 1024u);
        text_putf(p, "0x%04x", sign | bits);
    } else if (dtype_is_float(n->type)) {
        bool negative = signbit(n->f) && !isnan(n->f) && !isinf(n->f);
        text_put(p, negative ? "(" : "");
        put_float(p, n->type, n->f);
        text_put(p, negative ? ")" : "");
    } else {
        put_integer(p, n->type, n->i);
    }
}

/* ---- operations ---- */

static bool is_wide(const loop_kernel *k, loop_expr e) { /* a node that is not atomic text */
    return loop_get(k, e)->arg_count > 0;
}

static void put_call(text_printer *p, const char *name, const loop_node *n) {
    text_putf(p, "%s(", name);
    for (uint32_t i = 0; i < n->arg_count; i++) {
        if (i) text_put(p, ", ");
        text_put_expr(p, n->args[i], 0);
    }
    text_put(p, ")");
}

/* The function of <math.h> for the type. */
static void put_math(text_printer *p, const char *name, const loop_node *n) {
    put_call(p, n->type == DTYPE_F32 ? arena_printf(p->m->memory, "%sf", name) : name, n);
}

static void put_infix(text_printer *p, const loop_node *n, const char *token, int level) {
    text_put_expr(p, n->args[0], level);
    text_put(p, token);
    text_put_expr(p, n->args[1], level + 1);
}

static const char *infix_token(loop_op op) {
    switch (op) {
    case LOOP_ADD: return " + ";
    case LOOP_SUB: return " - ";
    case LOOP_MUL: return " * ";
    case LOOP_AND: return " & ";
    case LOOP_OR: return " | ";
    case LOOP_XOR: return " ^ ";
    case LOOP_EQ: return " == ";
    case LOOP_NE: return " != ";
    case LOOP_LT: return " < ";
    case LOOP_LE: return " <= ";
    default: return NULL;
    }
}

static bool may_overflow(const loop_kernel *k, loop_expr e) {
    int64_t low, high;
    loop_range(k, e, &low, &high);
    dtype t = loop_type(k, e);
    if (t == DTYPE_I64) return low == INT64_MIN || high == INT64_MAX;
    return t != DTYPE_I32 || (low == INT32_MIN && high == INT32_MAX);
}

/* a - b for sums with a negative constant or factor. */
static void put_sum(text_printer *p, const loop_node *n) {
    int64_t c;
    const loop_node y = *loop_get(p->k, n->args[1]);
    const text_mark *m = &p->marks[n->args[1]];
    bool named = m->round == p->round && m->name;
    text_put_expr(p, n->args[0], LEVEL_SUM);
    if (y.op == LOOP_CONST && y.i < 0 && y.i > -INT32_MAX) {
        text_putf(p, " - %" PRId64, -y.i);
    } else if (!named && y.op == LOOP_MUL && loop_is_int(p->k, y.args[1], &c) && c < 0 &&
               c > -INT32_MAX) {
        text_put(p, " - ");
        if (c != -1) text_putf(p, "%" PRId64 " * ", -c);
        text_put_expr(p, y.args[0], LEVEL_UNARY);
    } else {
        text_put(p, " + ");
        text_put_expr(p, n->args[1], LEVEL_SUM + 1);
    }
}

/* Sums and products of integers. */
static void put_integer_op(text_printer *p, loop_expr e, const loop_node *n) {
    if (!may_overflow(p->k, e)) {
        if (n->op == LOOP_ADD)
            put_sum(p, n);
        else
            put_infix(p, n, infix_token(n->op), n->op == LOOP_MUL ? LEVEL_PRODUCT : LEVEL_SUM);
        return;
    }
    const char *wide = dtype_bits(n->type) > 32 ? "uint64_t" : "uint32_t";
    text_putf(p, "(%s)((%s)", text_type(n->type), wide);
    text_put_expr(p, n->args[0], LEVEL_UNARY);
    text_putf(p, "%s(%s)", infix_token(n->op), wide);
    text_put_expr(p, n->args[1], LEVEL_UNARY);
    text_put(p, ")");
}

static void put_division(text_printer *p, const loop_node *n) {
    int64_t low, high, divisor_low;
    loop_range(p->k, n->args[1], &divisor_low, &high);
    loop_range(p->k, n->args[0], &low, &high);
    bool quotient = n->op == LOOP_DIV || n->op == LOOP_FLOORDIV;
    bool truncates = n->op == LOOP_DIV || n->op == LOOP_REM;
    bool is_signed = dtype_class_of(n->type) == DTYPE_CLASS_INT;
    if (n->type != DTYPE_U64 && divisor_low > 0 && (low >= 0 || truncates || !is_signed))
        put_infix(p, n, quotient ? " / " : " % ", LEVEL_PRODUCT);
    else
        put_call(p, text_helper_division(p->m, n->op, n->type), n);
}

static void put_shift(text_printer *p, const loop_node *n) {
    int64_t by;
    if (!loop_is_int(p->k, n->args[1], &by) || by < 0 || by >= dtype_bits(n->type)) {
        put_call(p, text_helper_shift(p->m, n->op, n->type), n);
        return;
    }
    const char *type = text_type(n->type);
    if (n->op == LOOP_SHL)
        text_putf(p, "(%s)((%s)", type, dtype_bits(n->type) > 32 ? "uint64_t" : "uint32_t");
    else
        text_putf(p, "(%s)(", type);
    text_put_expr(p, n->args[0], LEVEL_UNARY);
    text_putf(p, " %s %" PRId64 ")", n->op == LOOP_SHL ? "<<" : ">>", by);
}

static void put_extreme(text_printer *p, const loop_node *n) {
    if (dtype_is_float(n->type)) {
        put_call(p, text_helper_extreme(p->m, n->op, n->type), n);
        return;
    }
    text_put(p, "(");
    text_put_expr(p, n->args[0], LEVEL_SUM);
    text_put(p, n->op == LOOP_MIN ? " < " : " > ");
    text_put_expr(p, n->args[1], LEVEL_SUM);
    text_put(p, " ? ");
    text_put_expr(p, n->args[0], LEVEL_SUM);
    text_put(p, " : ");
    text_put_expr(p, n->args[1], LEVEL_SUM);
    text_put(p, ")");
}

static void put_cast(text_printer *p, const loop_node *n) {
    dtype from = loop_type(p->k, n->args[0]);
    bool to_int = !dtype_is_float(n->type) && n->type != DTYPE_BOOL;
    if (from == DTYPE_F16 && to_int) { /* by way of a single, which holds every half */
        text_putf(p, "%s(", text_helper_convert(p->m, n->type, DTYPE_F32));
        put_call(p, text_helper_convert(p->m, DTYPE_F32, from), n);
        text_put(p, ")");
        return;
    }
    if (from == DTYPE_F16 || n->type == DTYPE_F16 || (to_int && dtype_is_float(from))) {
        put_call(p, text_helper_convert(p->m, n->type, from), n);
        return;
    }
    text_putf(p, "(%s)", text_type(n->type));
    text_put_expr(p, n->args[0], LEVEL_UNARY);
}

static void put_bitcast(text_printer *p, const loop_node *n) {
    dtype from = loop_type(p->k, n->args[0]);
    if (strcmp(text_type(from), text_type(n->type)) == 0) {
        text_put_expr(p, n->args[0], LEVEL_UNARY);
    } else if (!dtype_is_float(from) && !dtype_is_float(n->type)) {
        text_putf(p, "(%s)", text_type(n->type));
        text_put_expr(p, n->args[0], LEVEL_UNARY);
    } else {
        put_call(p, text_helper_bits(p->m, n->type, from), n);
    }
}

static void put_fma(text_printer *p, const loop_node *n) {
    if (p->m->dialect->fused && dtype_is_float(n->type)) {
        put_math(p, "fma", n);
        return;
    }
    if (p->m->dialect->widened && n->type == DTYPE_F32) {
        put_call(p, text_helper_fma(p->m), n);
        return;
    }
    text_put_expr(p, n->args[0], LEVEL_PRODUCT);
    text_put(p, " * ");
    text_put_expr(p, n->args[1], LEVEL_PRODUCT + 1);
    text_put(p, " + ");
    text_put_expr(p, n->args[2], LEVEL_SUM + 1);
}

static void put_negation(text_printer *p, const loop_node *n) {
    if (dtype_is_float(n->type)) {
        text_put(p, "-");
        text_put_expr(p, n->args[0], LEVEL_UNARY + 1);
    } else if (n->op == LOOP_NEG) {
        const char *wide = dtype_bits(n->type) > 32 ? "uint64_t" : "uint32_t";
        text_putf(p, "(%s)(0 - (%s)", text_type(n->type), wide);
        text_put_expr(p, n->args[0], LEVEL_UNARY);
        text_put(p, ")");
    } else if (n->type == DTYPE_BOOL) {
        text_put(p, "!");
        text_put_expr(p, n->args[0], LEVEL_UNARY + 1);
    } else {
        text_putf(p, "(%s)~", text_type(n->type));
        text_put_expr(p, n->args[0], LEVEL_UNARY + 1);
    }
}

static void put_absolute(text_printer *p, const loop_node *n) {
    if (dtype_is_float(n->type)) {
        put_math(p, "fabs", n);
        return;
    }
    const char *wide = dtype_bits(n->type) > 32 ? "uint64_t" : "uint32_t";
    text_put(p, "(");
    text_put_expr(p, n->args[0], LEVEL_SUM);
    text_putf(p, " < 0 ? (%s)(0 - (%s)", text_type(n->type), wide);
    text_put_expr(p, n->args[0], LEVEL_UNARY);
    text_put(p, ") : ");
    text_put_expr(p, n->args[0], LEVEL_SUM);
    text_put(p, ")");
}

/* Bits, and booleans by operators that take them: always in parentheses. */
static void put_bitwise(text_printer *p, const loop_node *n) {
    bool is_bool = n->type == DTYPE_BOOL;
    const char *token = infix_token(n->op);
    if (is_bool && n->op == LOOP_AND) token = " && ";
    if (is_bool && n->op == LOOP_OR) token = " || ";
    if (is_bool && n->op == LOOP_XOR) token = " != ";
    if (!is_bool && dtype_bits(n->type) < 32) text_putf(p, "(%s)", text_type(n->type));
    int level = is_bool && n->op != LOOP_XOR ? LEVEL_COMPARE : LEVEL_UNARY;
    text_put(p, "(");
    text_put_expr(p, n->args[0], level);
    text_put(p, token);
    text_put_expr(p, n->args[1], level);
    text_put(p, ")");
}

static void put_load(text_printer *p, loop_expr e, const loop_node *n) {
    loop_buf b = (loop_buf)n->i;
    p->used_buffers[b] = true;
    text_put(p, text_buffer_name(p, b));
    if (text_is_scalar(p, b)) return;
    text_put(p, "[");
    text_put_expr(p, p->flat[e], 0);
    text_put(p, "]");
}

static void put_select(text_printer *p, const loop_node *n) {
    text_put(p, "(");
    text_put_expr(p, n->args[0], LEVEL_COMPARE);
    text_put(p, " ? ");
    text_put_expr(p, n->args[1], LEVEL_COMPARE);
    text_put(p, " : ");
    text_put_expr(p, n->args[2], LEVEL_COMPARE);
    text_put(p, ")");
}

/* How tightly the text of a node binds. */
static int level_of(const text_printer *p, loop_expr e, const loop_node *n) {
    switch (n->op) {
    case LOOP_EQ:
    case LOOP_NE:
    case LOOP_LT:
    case LOOP_LE: return LEVEL_COMPARE;
    case LOOP_ADD:
    case LOOP_SUB:
        return dtype_is_float(n->type) || !may_overflow(p->k, e) ? LEVEL_SUM : LEVEL_UNARY;
    case LOOP_FMA:
        return p->m->dialect->fused || (p->m->dialect->widened && n->type == DTYPE_F32)
                   ? LEVEL_UNARY
                   : LEVEL_SUM;
    case LOOP_MUL:
        return dtype_is_float(n->type) || !may_overflow(p->k, e) ? LEVEL_PRODUCT : LEVEL_UNARY;
    case LOOP_DIV:
    case LOOP_REM:
    case LOOP_FLOORDIV:
    case LOOP_MOD: return LEVEL_PRODUCT;
    default: return LEVEL_UNARY;
    }
}

static void put_node(text_printer *p, loop_expr e, const loop_node *n) {
    bool is_float = dtype_is_float(n->type);
    switch (n->op) {
    case LOOP_CONST: put_const(p, n); return;
    case LOOP_VAR: text_put(p, text_var_name(p, (loop_var)n->i)); return;
    case LOOP_DIM:
        p->used_symbols[n->i] = true;
        text_put(p, text_symbol_name(p->m, p->k, (dim_symbol)n->i));
        return;
    case LOOP_LOAD: put_load(p, e, n); return;
    case LOOP_ADD:
    case LOOP_SUB:
    case LOOP_MUL:
        if (is_float)
            put_infix(p, n, infix_token(n->op), n->op == LOOP_MUL ? LEVEL_PRODUCT : LEVEL_SUM);
        else
            put_integer_op(p, e, n);
        return;
    case LOOP_DIV:
    case LOOP_REM:
    case LOOP_FLOORDIV:
    case LOOP_MOD:
        if (is_float)
            put_infix(p, n, " / ", LEVEL_PRODUCT);
        else
            put_division(p, n);
        return;
    case LOOP_MIN:
    case LOOP_MAX: put_extreme(p, n); return;
    case LOOP_NEG:
    case LOOP_NOT: put_negation(p, n); return;
    case LOOP_ABS: put_absolute(p, n); return;
    case LOOP_FMA: put_fma(p, n); return;
    case LOOP_SQRT: put_math(p, "sqrt", n); return;
    case LOOP_FLOOR: put_math(p, "floor", n); return;
    case LOOP_CEIL: put_math(p, "ceil", n); return;
    case LOOP_TRUNC: put_math(p, "trunc", n); return;
    case LOOP_ROUND: put_math(p, "rint", n); return;
    case LOOP_AND:
    case LOOP_OR:
    case LOOP_XOR: put_bitwise(p, n); return;
    case LOOP_SHL:
    case LOOP_SHR: put_shift(p, n); return;
    case LOOP_DOT4: put_call(p, text_helper_dot4(p->m), n); return;
    case LOOP_EQ:
    case LOOP_NE:
    case LOOP_LT:
    case LOOP_LE:
        text_put_expr(p, n->args[0], LEVEL_SUM);
        text_put(p, infix_token(n->op));
        text_put_expr(p, n->args[1], LEVEL_SUM);
        return;
    case LOOP_SELECT: put_select(p, n); return;
    case LOOP_CAST: put_cast(p, n); return;
    case LOOP_BITCAST: put_bitcast(p, n); return;
    default: assert(!"functions are decomposed before they are printed");
    }
}

void text_put_expr(text_printer *p, loop_expr e, int level) {
    if (p->marks[e].round == p->round && p->marks[e].name) {
        text_putf(p, "_%u", p->marks[e].name);
        return;
    }
    const loop_node n = *loop_get(p->k, e);
    bool parenthesis = is_wide(p->k, e) && level_of(p, e, &n) < level;
    if (parenthesis) text_put(p, "(");
    put_node(p, e, &n);
    if (parenthesis) text_put(p, ")");
}

/* ---- temporaries ---- */

/* Room for expressions that positions of loads add to the kernel. */
static void grow_marks(text_printer *p) {
    size_t count = p->k->nodes.count;
    if (count <= p->mark_count) return;
    count *= 2;
    text_mark *marks = ARENA_ARRAY(p->m->memory, text_mark, count);
    loop_expr *flat = ARENA_ARRAY(p->m->memory, loop_expr, count);
    if (p->mark_count) {
        memcpy(marks, p->marks, p->mark_count * sizeof *marks);
        memcpy(flat, p->flat, p->mark_count * sizeof *flat);
    }
    p->marks = marks;
    p->flat = flat;
    p->mark_count = count;
}

/* The operands as printed: a load's is its position. */
static uint32_t operands(text_printer *p, loop_expr e, loop_expr *out) {
    const loop_node n = *loop_get(p->k, e);
    if (n.op != LOOP_LOAD) {
        if (n.arg_count) memcpy(out, n.args, n.arg_count * sizeof *out);
        return n.arg_count;
    }
    if (!p->flat[e]) {
        loop_expr position = loop_flat_index(p->k, (loop_buf)n.i, n.args);
        grow_marks(p);
        p->flat[e] = position;
    }
    out[0] = p->flat[e];
    return 1;
}

static void count_uses(text_printer *p, loop_expr e) {
    if (p->marks[e].round == p->round) {
        p->marks[e].uses++;
        return;
    }
    p->marks[e] = (text_mark){.round = p->round, .uses = 1};
    loop_expr args[LOOP_MAX_RANK];
    uint32_t count = operands(p, e, args);
    for (uint32_t i = 0; i < count; i++) count_uses(p, args[i]);
    /* Some operations print their operands twice. */
    const loop_node *n = loop_get(p->k, e);
    bool twice =
        (n->op == LOOP_MIN || n->op == LOOP_MAX || n->op == LOOP_ABS) && !dtype_is_float(n->type);
    for (uint32_t i = 0; i < n->arg_count && twice; i++) p->marks[n->args[i]].uses++;
}

static void plan(text_printer *p, loop_expr e) {
    text_mark *m = &p->marks[e];
    if (m->planned) return;
    m->planned = true;
    loop_expr args[LOOP_MAX_RANK];
    uint32_t count = operands(p, e, args);
    m->size = m->height = 1;
    for (uint32_t i = 0; i < count; i++) {
        plan(p, args[i]);
        const text_mark *x = &p->marks[args[i]];
        m->size += x->name ? 1 : x->size;
        if (!x->name && x->height >= m->height) m->height = x->height + 1;
    }
    const loop_node n = *loop_get(p->k, e);
    bool shared = m->uses > 1 && (m->size > NAMED_SIZE || n.op >= LOOP_DIV || n.op == LOOP_LOAD);
    if (!n.arg_count || !(shared || m->height >= NAMED_HEIGHT)) return;
    text_put_indent(p);
    text_putf(p, "const %s _%u = ", text_type(n.type), p->temporaries + 1);
    text_put_expr(p, e, 0);
    text_put(p, ";\n");
    m->name = ++p->temporaries;
}

void text_put_shared(text_printer *p, const loop_expr *roots, uint32_t count) {
    p->round++;
    grow_marks(p);
    for (uint32_t i = 0; i < count; i++)
        if (roots[i]) count_uses(p, roots[i]);
    for (uint32_t i = 0; i < count; i++)
        if (roots[i]) plan(p, roots[i]);
}
