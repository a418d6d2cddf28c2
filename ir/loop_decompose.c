/* loop_decompose.c: rewrites a kernel into what every emitter has. Functions go to loop_math.c. A
 * value of a narrow type is carried in a wider one, f32 or i32, always rounded or wrapped to what
 * the narrow type can hold; it is narrow in memory only, where buffers of the 8- and 4-bit floats,
 * of bf16 and of integers beneath a byte become buffers of their bits. f16 stays a type of buffers,
 * and CAST between it and f32 an operation: processors have it. */
#include "ir/loop_internal.h"
#include "ir/loop_math.h"

#include <assert.h>
#include <string.h>

typedef struct {
    loop_kernel *k;
    uint32_t *made;          /* what an expression became; 0 while unknown */
    size_t count;            /* expressions that there were at the start */
    dtype *types;            /* of the buffers, before */
    LIST(loop_expr) encoded; /* by expression: the bits that it was decoded from, 0 if unknown */
} decomposer;

/* ---- types ---- */

static bool is_narrow_float(dtype t) {
    return dtype_is_float(t) && t != DTYPE_F32 && t != DTYPE_F64;
}
static bool is_narrow_int(dtype t) {
    return dtype_is_integer(t) && dtype_bits(t) < 8;
}

/* The type that carries values of t. */
static dtype carrier(dtype t) {
    return is_narrow_float(t) ? DTYPE_F32 : is_narrow_int(t) ? DTYPE_I32 : t;
}

/* The type of t's elements in memory. */
static dtype storage(dtype t) {
    if (t == DTYPE_BF16) return DTYPE_U16;
    if (t == DTYPE_F16) return t;
    if (is_narrow_float(t)) return DTYPE_U8;
    if (is_narrow_int(t)) return dtype_class_of(t) == DTYPE_CLASS_INT ? DTYPE_I8 : DTYPE_U8;
    return t;
}

/* ---- narrow floats as bits ---- */

/* Exponent and mantissa bits, bias, and the codes of what is not finite. Codes are without sign. */
typedef struct {
    int exponent, mantissa, bias;
    int largest; /* code of the largest finite value */
    int over;    /* what a finite value too large becomes, and infinity */
    int nan;
    bool zero_has_no_sign; /* the code of minus zero is the NaN */
} float_code;

static float_code code_of(dtype t) {
    switch (t) {
    case DTYPE_F8E4M3FN: return (float_code){4, 3, 7, 0x7e, 0x7f, 0x7f, false};
    case DTYPE_F8E4M3FNUZ: return (float_code){4, 3, 8, 0x7f, 0x80, 0x80, true};
    case DTYPE_F8E5M2: return (float_code){5, 2, 15, 0x7b, 0x7c, 0x7e, false};
    case DTYPE_F8E5M2FNUZ: return (float_code){5, 2, 16, 0x7f, 0x80, 0x80, true};
    default: assert(t == DTYPE_F4E2M1); return (float_code){2, 1, 1, 7, 7, 0, false};
    }
}

static double power_of_two(int n) {
    return n >= 0 ? (double)((uint64_t)1 << n) : 1 / (double)((uint64_t)1 << -n);
}

#define FORMULA(k, t, text, ...)                                                                   \
    loop_formula((k), (text), (t), (const loop_binding[]){__VA_ARGS__},                            \
                 sizeof((const loop_binding[]){__VA_ARGS__}) / sizeof(loop_binding))

static loop_expr u32(loop_kernel *k, int64_t v) {
    return loop_const_int(k, DTYPE_U32, v);
}

/* The f32 that a code stands for. The code moved to the top of an f32 is the value with a wrong
 * bias; a multiplication by a power of two sets it right, also for subnormal codes. */
static loop_expr decode_float(loop_kernel *k, dtype t, loop_expr stored) {
    if (t == DTYPE_F16) return loop_cast(k, DTYPE_F32, stored);
    loop_expr b = loop_cast(k, DTYPE_U32, stored);
    if (t == DTYPE_BF16) return FORMULA(k, DTYPE_U32, "bitcast_f32(b << 16)", {"b", b});
    if (t == DTYPE_F8E8M0)
        return FORMULA(
            k, DTYPE_U32,
            "bitcast_f32(select(b == 0, 4194304, select(b == 255, 2143289344, b << 23)))",
            {"b", b});
    float_code c = code_of(t);
    int sign = 1 << (c.exponent + c.mantissa);
    loop_binding names[] = {{"b", b},
                            {"size", loop_and(k, b, u32(k, sign - 1))},
                            {"sign", u32(k, sign)},
                            {"up", u32(k, 23 - c.mantissa)},
                            {"signup", u32(k, 31 - c.exponent - c.mantissa)},
                            {"scale", loop_const(k, DTYPE_F32, power_of_two(127 - c.bias - 63))},
                            {"rest", loop_const(k, DTYPE_F32, power_of_two(63))},
                            {"over", u32(k, c.over)},
                            {"nan_code", u32(k, c.nan)}};
    size_t n = sizeof names / sizeof *names;
    loop_expr v = loop_formula(k, "bitcast_f32(size << up) * scale * rest", DTYPE_F32, names, n);
    loop_binding named = {"v", v};
    const char *text =
        t == DTYPE_F4E2M1 ? "v" : "select(size > over, nan, select(size == over, inf, v))";
    if (t == DTYPE_F8E4M3FN) text = "select(size == over, nan, v)";
    if (c.zero_has_no_sign) text = "v";
    names[0] = named;
    v = loop_formula(k, text, DTYPE_F32, names, n);
    names[0] = (loop_binding){"v", loop_bitcast(k, DTYPE_U32, v)};
    names[1] = (loop_binding){"b", b};
    v = loop_formula(k, "bitcast_f32(v | (b & sign) << signup)", DTYPE_U32, names, n);
    if (!c.zero_has_no_sign) return v;
    names[0] = (loop_binding){"v", v};
    return loop_formula(k, "select(b == nan_code, nan, v)", DTYPE_F32, names, n);
}

/* The code of an f32, rounded half to even. Normal codes by rounding the bits, subnormal ones by
 * adding a number whose last place is their step. */
static loop_expr encode_float(loop_kernel *k, dtype t, loop_expr x) {
    if (t == DTYPE_F16) return loop_cast(k, DTYPE_F16, x);
    loop_expr u = loop_bitcast(k, DTYPE_U32, x);
    if (t == DTYPE_BF16) {
        loop_expr code =
            FORMULA(k, DTYPE_U32, "select(x != x, 32704, (u + 32767 + (u >> 16 & 1)) >> 16)",
                    {"x", x}, {"u", u});
        return loop_cast(k, DTYPE_U16, code);
    }
    if (t == DTYPE_F8E8M0) {
        loop_expr code = FORMULA(
            k, DTYPE_U32,
            "select(x < 0 | x != x, 255, select(u < 6291456 | x == 0, 0, (u + 4194304) >> 23))",
            {"x", x}, {"u", u});
        return loop_cast(k, DTYPE_U8, code);
    }
    float_code c = code_of(t);
    int sign = 1 << (c.exponent + c.mantissa), shift = 23 - c.mantissa;
    double step = power_of_two(1 - c.bias - c.mantissa);
    loop_expr magic = loop_const(k, DTYPE_F32, step * power_of_two(23));
    loop_binding names[] = {
        {"x", x},
        {"a", loop_make(k, LOOP_ABS, x, 0, 0)},
        {"ua", loop_and(k, u, u32(k, 0x7fffffff))},
        {"shift", u32(k, shift)},
        {"half", u32(k, (1 << (shift - 1)) - 1)},
        {"rebias", u32(k, (127 - c.bias) << c.mantissa)},
        {"least", loop_const(k, DTYPE_F32, power_of_two(1 - c.bias))},
        {"magic", magic},
        {"umagic", loop_bitcast(k, DTYPE_U32, magic)},
        {"largest", u32(k, c.largest)},
        {"over", u32(k, c.over)},
        {"nan_code", u32(k, c.nan)},
        {"sign", loop_and(k, loop_make(k, LOOP_SHR, u, u32(k, 31 - c.exponent - c.mantissa), 0),
                          u32(k, sign))},
        {"code", 0}};
    size_t n = sizeof names / sizeof *names;
    loop_expr *code = &names[n - 1].expr;
    *code = loop_formula(k,
                         "select(a < least, bitcast_u32(a + magic) - umagic, "
                         "((ua + half + (ua >> shift & 1)) >> shift) - rebias)",
                         DTYPE_U32, names, n);
    *code = loop_formula(k, "select(code > largest, over, code)", DTYPE_U32, names, n);
    const char *sign_of_code = "code | sign"; /* NaN and a zero without a sign have none */
    if (c.zero_has_no_sign)
        sign_of_code = "select(code == 0 | code == over, code, code | sign)";
    else if (c.over == c.nan)
        sign_of_code = "select(code == over, code, code | sign)";
    *code = loop_formula(k, sign_of_code, DTYPE_U32, names, n);
    return loop_cast(k, DTYPE_U8,
                     loop_formula(k, "select(x != x, nan_code, code)", DTYPE_U32, names, n));
}

/* ---- values ---- */

static loop_expr remember_bits(decomposer *d, loop_expr value, loop_expr bits) {
    while (d->encoded.count <= value) list_push(d->k->memory, &d->encoded, 0);
    d->encoded.data[value] = bits;
    return value;
}

/* From memory to the carrier, and back. */
static loop_expr decode(decomposer *d, dtype t, loop_expr stored) {
    if (is_narrow_int(t)) return loop_cast(d->k, DTYPE_I32, stored);
    if (!is_narrow_float(t)) return stored;
    loop_expr value = decode_float(d->k, t, stored);
    const loop_node *n = loop_get(d->k, value);
    return n->op == LOOP_CONST ? value : remember_bits(d, value, stored);
}

static loop_expr encode(decomposer *d, dtype t, loop_expr value) {
    if (!is_narrow_float(t)) return loop_cast(d->k, storage(t), value);
    if (value < d->encoded.count) {
        loop_expr bits = d->encoded.data[value];
        if (bits && loop_type(d->k, bits) == storage(t)) return bits;
    }
    return encode_float(d->k, t, value);
}

/* f64 to f32 such that a further rounding is right: inexact results get an odd last bit. */
static loop_expr round_to_odd(loop_kernel *k, loop_expr x) {
    loop_expr y = loop_cast(k, DTYPE_F32, x), back = loop_cast(k, DTYPE_F64, y);
    loop_expr u = loop_bitcast(k, DTYPE_U32, y);
    u = FORMULA(k, DTYPE_U32,
                "select(abs(back) > abs(x), u - 1, u) | select(back == x | x != x, u32(0), u32(1))",
                {"x", x}, {"back", back}, {"u", u});
    return FORMULA(k, DTYPE_F32, "select(abs(x) == inf, y, bitcast_f32(u))", {"x", x}, {"y", y},
                   {"u", u});
}

/* A value of the carrier, rounded or wrapped to what t holds. */
static loop_expr narrow(decomposer *d, dtype t, loop_expr x) {
    loop_kernel *k = d->k;
    if (is_narrow_int(t)) {
        int bits = dtype_bits(t);
        if (dtype_class_of(t) != DTYPE_CLASS_INT)
            return loop_and(k, x, loop_const_int(k, DTYPE_I32, (1 << bits) - 1));
        loop_expr up = loop_const_int(k, DTYPE_I32, 32 - bits);
        return loop_make(k, LOOP_SHR, loop_make(k, LOOP_SHL, x, up, 0), up, 0);
    }
    if (!is_narrow_float(t)) return x;
    const loop_node *n = loop_get(k, x);
    if (n->op == LOOP_CONST) return loop_const(k, DTYPE_F32, loop_round_float(t, n->f));
    return decode(d, t, encode(d, t, x));
}

/* Whether an operation on values that t holds gives one that t holds. */
static bool keeps_type(loop_op op) {
    return op == LOOP_MIN || op == LOOP_MAX || op == LOOP_NEG || op == LOOP_ABS ||
           op == LOOP_FLOOR || op == LOOP_CEIL || op == LOOP_TRUNC || op == LOOP_ROUND ||
           op == LOOP_SELECT;
}

static loop_expr convert(decomposer *d, dtype to, loop_expr x) {
    loop_kernel *k = d->k;
    if (is_narrow_int(to)) {
        dtype from = loop_type(k, x);
        if (!dtype_is_float(from)) return narrow(d, to, loop_cast(k, DTYPE_I32, x));
        loop_number low = loop_convert(to, DTYPE_F64, (loop_number){.f = -100});
        loop_number high = loop_convert(to, DTYPE_F64, (loop_number){.f = 100});
        return FORMULA(k, from, "cast_i32(select(x < low, low, select(x > high, high, x)))",
                       {"x", x}, {"low", loop_const_int(k, from, low.i)},
                       {"high", loop_const_int(k, from, high.i)});
    }
    if (!is_narrow_float(to)) return loop_cast(k, to, x);
    if (loop_type(k, x) == DTYPE_F64) return narrow(d, to, round_to_odd(k, x));
    return narrow(d, to, loop_cast(k, DTYPE_F32, x));
}

/* ---- expressions ---- */

static loop_expr rewrite(decomposer *d, loop_expr e);

static bool is_function(loop_op op, dtype t) {
    return op >= LOOP_EXP ||
           ((op == LOOP_REM || op == LOOP_FLOORDIV || op == LOOP_MOD) && dtype_is_float(t));
}

static loop_expr rewrite_bitcast(decomposer *d, dtype to, dtype from, loop_expr x) {
    loop_kernel *k = d->k;
    if (is_narrow_float(from)) x = encode(d, from, x);
    if (is_narrow_float(to)) {
        dtype bits = storage(to);
        if (bits == DTYPE_F16) return decode(d, to, loop_bitcast(k, bits, x));
        return decode(d, to, loop_cast(k, bits, x));
    }
    if (is_narrow_int(to) || is_narrow_int(from))
        return narrow(d, to, loop_cast(k, carrier(to), x));
    return loop_bitcast(k, to, x);
}

static loop_expr rewrite_operation(decomposer *d, const loop_node *n) {
    loop_kernel *k = d->k;
    loop_expr args[3] = {0};
    dtype from = loop_type(k, n->args[0]);
    for (uint32_t i = 0; i < n->arg_count; i++) args[i] = rewrite(d, n->args[i]);
    if (n->op == LOOP_CAST) return convert(d, n->type, args[0]);
    if (n->op == LOOP_BITCAST) return rewrite_bitcast(d, n->type, from, args[0]);
    if (n->op == LOOP_SHR && is_narrow_int(n->type) && dtype_class_of(n->type) != DTYPE_CLASS_INT)
        return loop_make(k, LOOP_SHR, args[0], args[1], 0); /* not negative in its carrier */
    loop_expr e = is_function(n->op, n->type) ? loop_expand_function(k, n->op, args[0], args[1])
                                              : loop_make(k, n->op, args[0], args[1], args[2]);
    bool kept = dtype_is_float(n->type) && keeps_type(n->op);
    return kept || n->type == DTYPE_BOOL ? e : narrow(d, n->type, e);
}

static bool is_local(const loop_buffer *b) {
    return b->space == LOOP_SPACE_STACK || b->space == LOOP_SPACE_TILE;
}

static loop_expr rewrite_load(decomposer *d, const loop_node *n) {
    loop_expr indices[LOOP_MAX_RANK];
    for (uint32_t i = 0; i < n->arg_count; i++) indices[i] = rewrite(d, n->args[i]);
    loop_expr stored = loop_load(d->k, (loop_buf)n->i, indices);
    return is_local(loop_buffer_of(d->k, (loop_buf)n->i)) ? stored
                                                          : decode(d, d->types[n->i], stored);
}

static loop_expr rewrite(decomposer *d, loop_expr e) {
    if (!e) return 0;
    assert(e < d->count);
    if (d->made[e]) return d->made[e];
    const loop_node n = *loop_get(d->k, e);
    loop_expr r = e;
    if (n.op == LOOP_CONST && carrier(n.type) != n.type)
        r = dtype_is_float(n.type) ? loop_const(d->k, DTYPE_F32, n.f)
                                   : loop_const_int(d->k, DTYPE_I32, n.i);
    else if (n.op == LOOP_LOAD)
        r = rewrite_load(d, &n);
    else if (n.op > LOOP_LOAD)
        r = rewrite_operation(d, &n);
    return d->made[e] = r;
}

/* ---- statements ---- */

static void rewrite_block(decomposer *d, loop_stmt *s) {
    for (; s; s = s->next) {
        s->extent = rewrite(d, s->extent);
        s->active = rewrite(d, s->active);
        s->condition = rewrite(d, s->condition);
        if (s->kind == LOOP_STMT_STORE) {
            loop_expr *indices = ARENA_ARRAY(d->k->memory, loop_expr, s->index_count);
            for (uint32_t i = 0; i < s->index_count; i++) indices[i] = rewrite(d, s->indices[i]);
            s->indices = indices;
            s->value = rewrite(d, s->value);
            if (!is_local(loop_buffer_of(d->k, s->buf)))
                s->value = encode(d, d->types[s->buf], s->value);
        }
        rewrite_block(d, s->body);
        rewrite_block(d, s->otherwise);
    }
}

void loop_decompose(loop_kernel *k) {
    decomposer d = {.k = k, .count = k->nodes.count};
    d.made = ARENA_ARRAY(k->memory, uint32_t, d.count);
    d.types = ARENA_ARRAY(k->memory, dtype, k->buffers.count);
    for (size_t i = 0; i < k->buffers.count; i++) {
        loop_buffer *b = &k->buffers.data[i];
        d.types[i] = b->type;
        b->type = is_local(b) ? carrier(b->type) : storage(b->type);
    }
    rewrite_block(&d, k->body);
}
