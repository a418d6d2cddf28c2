/* emit_expr.c: the meaning of every opcode, on scalars and on vectors alike. Index arithmetic that
 * moves with the lane is done on sums (emit_affine.c); conversions are in emit_convert.c. */
#include "codegen/llvm/emit.h"
#include "ir/loop_number.h"

#include <assert.h>
#include <string.h>

static bool is_signed(dtype t) {
    return dtype_class_of(t) == DTYPE_CLASS_INT;
}

/* ---- integers ---- */

/* Quotients or remainders lane by lane. Machines have no vector division of integers, and LLVM 19
 * takes a vector with one divisor of zero for undefined altogether, also where a select guards it.
 */
static emit_value divide_lanes(kernel_emitter *e, LLVMOpcode op, emit_value a, emit_value b) {
    LLVMBuilderRef builder = e->m->builder;
    a = emit_splat(e, a);
    b = emit_splat(e, b);
    LLVMValueRef all = LLVMGetPoison(LLVMTypeOf(a.v));
    for (int i = 0; i < e->lanes; i++) {
        LLVMValueRef at = LLVMConstInt(e->m->i32, (unsigned)i, false);
        LLVMValueRef x = LLVMBuildExtractElement(builder, a.v, at, "");
        LLVMValueRef y = LLVMBuildExtractElement(builder, b.v, at, "");
        all = LLVMBuildInsertElement(builder, all, LLVMBuildBinOp(builder, op, x, y, ""), at, "");
    }
    return (emit_value){all, true, LEVEL_HERE};
}

/* Division that never traps. `positive`: b is known to be a number above 0. */
static emit_value divide(kernel_emitter *e, dtype t, bool remainder, emit_value a, emit_value b,
                         bool positive) {
    LLVMOpcode op =
        is_signed(t) ? (remainder ? LLVMSRem : LLVMSDiv) : (remainder ? LLVMURem : LLVMUDiv);
    int64_t number;
    if (emit_is_int(b, &number) && number > 0) return emit_binary(e, op, a, b);
    if (positive) return a.wide || b.wide ? divide_lanes(e, op, a, b) : emit_binary(e, op, a, b);
    LLVMTypeRef type = emit_type(e->m, t);
    emit_value zero = emit_int(e, type, 0), one = emit_int(e, type, 1);
    emit_value by_zero = emit_compare(e, LLVMIntEQ, b, zero);
    emit_value unsafe = by_zero, negated = zero;
    if (is_signed(t)) {
        emit_value by_minus_one = emit_compare(e, LLVMIntEQ, b, emit_int(e, type, -1));
        unsafe = emit_binary(e, LLVMOr, by_zero, by_minus_one);
        if (!remainder) negated = emit_select(e, by_zero, zero, emit_binary(e, LLVMSub, zero, a));
    }
    emit_value safe = emit_select(e, unsafe, one, b);
    emit_value q = a.wide || b.wide ? divide_lanes(e, op, a, safe) : emit_binary(e, op, a, safe);
    return emit_select(e, unsafe, negated, q);
}

static emit_value divide_floor(kernel_emitter *e, dtype t, bool remainder, emit_value a,
                               emit_value b, bool positive, bool non_negative) {
    if (!is_signed(t) || (positive && non_negative)) return divide(e, t, remainder, a, b, positive);
    LLVMTypeRef type = emit_type(e->m, t);
    emit_value zero = emit_int(e, type, 0);
    emit_value r = divide(e, t, true, a, b, positive);
    emit_value inexact = emit_compare(e, LLVMIntNE, r, zero);
    emit_value opposite = emit_compare(e, LLVMIntSLT, emit_binary(e, LLVMXor, r, b), zero);
    emit_value adjust = emit_binary(e, LLVMAnd, inexact, opposite);
    if (remainder) return emit_binary(e, LLVMAdd, r, emit_select(e, adjust, b, zero));
    emit_value q = divide(e, t, false, a, b, positive);
    return emit_binary(e, LLVMSub, q, emit_cast(e, LLVMZExt, type, adjust));
}

static emit_value shift(kernel_emitter *e, loop_op op, dtype t, emit_value a, emit_value by) {
    LLVMTypeRef type = emit_type(e->m, t);
    int bits = dtype_bits(t);
    int64_t amount;
    LLVMOpcode opcode = op == LOOP_SHL ? LLVMShl : is_signed(t) ? LLVMAShr : LLVMLShr;
    emit_value last = emit_int(e, type, bits - 1), zero = emit_int(e, type, 0);
    if (emit_is_int(by, &amount)) {
        if ((uint64_t)amount < (uint64_t)bits) return emit_binary(e, opcode, a, by);
        return opcode == LLVMAShr ? emit_binary(e, opcode, a, last) : zero;
    }
    emit_value inside = emit_compare(e, LLVMIntULE, by, last);
    if (opcode == LLVMAShr) return emit_binary(e, opcode, a, emit_select(e, inside, by, last));
    return emit_select(e, inside, emit_binary(e, opcode, a, emit_select(e, inside, by, zero)),
                       zero);
}

/* LLVM folds no intrinsics while they are made, and positions in tiles must be constants. */
static emit_value integer_extreme(kernel_emitter *e, bool max, dtype t, emit_value a,
                                  emit_value b) {
    static const char *const names[2][2] = {{"llvm.umin", "llvm.umax"}, {"llvm.smin", "llvm.smax"}};
    emit_value none = {0};
    if (LLVMIsConstant(a.v) && LLVMIsConstant(b.v)) {
        LLVMIntPredicate p = is_signed(t) ? LLVMIntSLT : LLVMIntULT;
        emit_value less = emit_compare(e, p, a, b);
        return emit_select(e, less, max ? b : a, max ? a : b);
    }
    return emit_intrinsic(e, names[is_signed(t)][max], a, b, none, 2);
}

static emit_value integer_op(kernel_emitter *e, const loop_node *n, dtype t, emit_value a,
                             emit_value b, emit_value c) {
    LLVMTypeRef type = emit_type(e->m, t);
    int64_t low = INT64_MIN, high, low_a = INT64_MIN;
    if (n->arg_count > 1) loop_range(e->k, n->args[1], &low, &high);
    loop_range(e->k, n->args[0], &low_a, &high);
    bool positive = low > 0 && t != DTYPE_U64;
    switch (n->op) {
    case LOOP_ADD: return emit_binary(e, LLVMAdd, a, b);
    case LOOP_SUB: return emit_binary(e, LLVMSub, a, b);
    case LOOP_MUL: return emit_binary(e, LLVMMul, a, b);
    case LOOP_FMA: return emit_binary(e, LLVMAdd, emit_binary(e, LLVMMul, a, b), c);
    case LOOP_NEG: return emit_binary(e, LLVMSub, emit_int(e, type, 0), a);
    case LOOP_DIV: return divide(e, t, false, a, b, positive);
    case LOOP_REM: return divide(e, t, true, a, b, positive);
    case LOOP_FLOORDIV: return divide_floor(e, t, false, a, b, positive, low_a >= 0);
    case LOOP_MOD: return divide_floor(e, t, true, a, b, positive, low_a >= 0);
    case LOOP_MIN:
    case LOOP_MAX: return integer_extreme(e, n->op == LOOP_MAX, t, a, b);
    case LOOP_ABS:
        if (!is_signed(t)) return a;
        if (LLVMIsConstant(a.v))
            return integer_extreme(e, true, t, a, emit_binary(e, LLVMSub, emit_int(e, type, 0), a));
        return emit_intrinsic(e, "llvm.abs", a, b, c, 1);
    case LOOP_AND: return emit_binary(e, LLVMAnd, a, b);
    case LOOP_OR: return emit_binary(e, LLVMOr, a, b);
    case LOOP_XOR: return emit_binary(e, LLVMXor, a, b);
    case LOOP_NOT: return emit_binary(e, LLVMXor, a, emit_int(e, type, -1));
    case LOOP_SHL:
    case LOOP_SHR: return shift(e, n->op, t, a, b);
    default: return a; /* roundings */
    }
}

/* ---- floats ---- */

static bool is_number(const kernel_emitter *e, loop_expr x) {
    const loop_node *n = loop_get(e->k, x);
    return n->op == LOOP_CONST && n->f == n->f;
}

/* The extreme of a and b, NaN if one of them is: the form that is one instruction on x86 gives its
 * second operand for a NaN, so a number goes first. */
static emit_value extreme(kernel_emitter *e, const loop_node *n, emit_value a, emit_value b) {
    LLVMRealPredicate p = n->op == LOOP_MAX ? LLVMRealOGT : LLVMRealOLT;
    if (is_number(e, n->args[0])) return emit_select(e, emit_compare_float(e, p, a, b), a, b);
    emit_value m = emit_select(e, emit_compare_float(e, p, b, a), b, a);
    if (is_number(e, n->args[1])) return m;
    return emit_select(e, emit_compare_float(e, LLVMRealUNO, b, b), b, m);
}

static emit_value fma_of(kernel_emitter *e, emit_value a, emit_value b, emit_value c) {
    if (e->m->machine->fma) return emit_intrinsic(e, "llvm.fma", a, b, c, 3);
    return emit_binary(e, LLVMFAdd, emit_binary(e, LLVMFMul, a, b), c);
}

static emit_value negate(kernel_emitter *e, emit_value a) {
    return emit_make(e, PRIM_NEGATE, 0, emit_scalar_type(a), &a, 1);
}

/* An element of local memory: what a reduction has summed so far. */
static bool is_accumulator(const kernel_emitter *e, loop_expr x) {
    const loop_node *n = loop_get(e->k, x);
    return n->op == LOOP_LOAD && e->k->buffers.data[n->i].space >= LOOP_SPACE_STACK;
}

/* Products added to an accumulator, where the machine does both at once. Other sums round their
 * products as the operators that they come from do. */
static bool contract(kernel_emitter *e, const loop_node *n, emit_value *out) {
    if (!e->m->machine->fma || (n->op != LOOP_ADD && n->op != LOOP_SUB)) return false;
    for (int side = 1; side >= 0; side--) {
        loop_node product = *loop_get(e->k, n->args[side]);
        if (product.op != LOOP_MUL || !is_accumulator(e, n->args[1 - side])) continue;
        emit_value a = emit_expr(e, product.args[0]), b = emit_expr(e, product.args[1]);
        emit_value c = emit_expr(e, n->args[1 - side]);
        if (n->op == LOOP_SUB && side == 1) a = negate(e, a);
        if (n->op == LOOP_SUB && side == 0) c = negate(e, c);
        *out = fma_of(e, a, b, c);
        return true;
    }
    return false;
}

/* An accumulator and four products at once. */
static bool contract_dot(kernel_emitter *e, const loop_node *n, emit_value *out) {
    if (n->op == LOOP_DOT4) {
        emit_value a = emit_expr(e, n->args[0]), b = emit_expr(e, n->args[1]);
        *out = emit_dot4(e, a, b, emit_int(e, e->m->i32, 0));
        return true;
    }
    for (int side = 1; side >= 0 && n->op == LOOP_ADD; side--) {
        loop_node dot = *loop_get(e->k, n->args[side]);
        if (dot.op != LOOP_DOT4) continue;
        emit_value a = emit_expr(e, dot.args[0]), b = emit_expr(e, dot.args[1]);
        *out = emit_dot4(e, a, b, emit_expr(e, n->args[1 - side]));
        return true;
    }
    return false;
}

/* x / c for a number c and bounded x, as good as exact for rounding it: q = x * (1 / c) is off by
 * little, and q - (q * c - x) * (1 / c) is the rounded quotient (Markstein, IA-64 and Elementary
 * Functions, 2000, section 8.2). The remainder is exact unless it underflows, where both round to
 * zero. */
static bool bounded_quotient(kernel_emitter *e, loop_expr x, emit_value *out) {
    loop_node n = *loop_get(e->k, x);
    if (!e->m->machine->fma || n.op != LOOP_DIV || n.type != DTYPE_F32) return false;
    const loop_node *by = loop_get(e->k, n.args[1]);
    double c = by->f;
    loop_real a = loop_real_of(e->k, n.args[0]), q = loop_real_of(e->k, x);
    if (by->op != LOOP_CONST || !(c > 0x1p-90 && c < 0x1p90)) return false;
    if (a.nan || !(q.low > -0x1p24 && q.high < 0x1p24)) return false;
    emit_value v = emit_expr(e, n.args[0]), inverse = emit_real(e, e->m->f32, 1 / c);
    emit_value near = emit_binary(e, LLVMFMul, v, inverse);
    emit_value over = fma_of(e, near, emit_real(e, e->m->f32, c), negate(e, v));
    *out = fma_of(e, negate(e, over), inverse, near);
    return true;
}

/* What is to be rounded. */
static emit_value unrounded(kernel_emitter *e, loop_expr x) {
    emit_value out;
    return bounded_quotient(e, x, &out) ? out : emit_expr(e, x);
}

/* A float that is known to be within the range of a narrow integer, as that. A rounded one, plus a
 * whole number perhaps, is converted with the rounding. */
static emit_value fitting_integer(kernel_emitter *e, dtype to, loop_expr x) {
    loop_node n = *loop_get(e->k, x);
    double offset = 0;
    if (n.op == LOOP_ADD && loop_get(e->k, n.args[1])->op == LOOP_CONST) {
        offset = loop_get(e->k, n.args[1])->f;
        n = *loop_get(e->k, n.args[0]);
    }
    if (n.op != LOOP_ROUND || n.type != DTYPE_F32 || offset != (double)(int32_t)offset)
        return emit_truncate(e, to, emit_expr(e, x));
    emit_value v = unrounded(e, n.args[0]);
    unsigned nearest = LLVMLookupIntrinsicID("llvm.lrint", strlen("llvm.lrint"));
    v = emit_make(e, PRIM_CALL, nearest, e->m->i32, &v, 1);
    if (offset != 0) v = emit_binary(e, LLVMAdd, v, emit_int(e, e->m->i32, (int64_t)offset));
    return emit_cast(e, LLVMTrunc, emit_type(e->m, to), v);
}

static emit_value float_op(kernel_emitter *e, const loop_node *n, emit_value a, emit_value b,
                           emit_value c) {
    switch (n->op) {
    case LOOP_ADD: return emit_binary(e, LLVMFAdd, a, b);
    case LOOP_SUB: return emit_binary(e, LLVMFSub, a, b);
    case LOOP_MUL: return emit_binary(e, LLVMFMul, a, b);
    case LOOP_DIV: return emit_binary(e, LLVMFDiv, a, b);
    case LOOP_FLOORDIV:
        return emit_intrinsic(e, "llvm.floor", emit_binary(e, LLVMFDiv, a, b), c, c, 1);
    case LOOP_MOD: {
        emit_value q = emit_intrinsic(e, "llvm.floor", emit_binary(e, LLVMFDiv, a, b), c, c, 1);
        return fma_of(e, negate(e, b), q, a);
    }
    case LOOP_REM: return emit_float_remainder(e, a, b);
    case LOOP_MIN:
    case LOOP_MAX: return extreme(e, n, a, b);
    case LOOP_NEG: return negate(e, a);
    case LOOP_ABS: return emit_intrinsic(e, "llvm.fabs", a, b, c, 1);
    case LOOP_FMA: return fma_of(e, a, b, c);
    case LOOP_SQRT: return emit_intrinsic(e, "llvm.sqrt", a, b, c, 1);
    case LOOP_FLOOR: return emit_intrinsic(e, "llvm.floor", a, b, c, 1);
    case LOOP_CEIL: return emit_intrinsic(e, "llvm.ceil", a, b, c, 1);
    case LOOP_TRUNC: return emit_intrinsic(e, "llvm.trunc", a, b, c, 1);
    default:
        assert(n->op == LOOP_ROUND && "functions are decomposed before");
        return emit_intrinsic(e, "llvm.roundeven", a, b, c, 1);
    }
}

/* ---- comparisons ---- */

static emit_value compare(kernel_emitter *e, loop_op op, dtype t, emit_value a, emit_value b) {
    static const LLVMRealPredicate floats[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT, LLVMRealOLE};
    static const LLVMIntPredicate ints[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE};
    static const LLVMIntPredicate unsigned_ints[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE};
    int i = (int)op - LOOP_EQ;
    if (t == DTYPE_F32 || t == DTYPE_F64) return emit_compare_float(e, floats[i], a, b);
    return emit_compare(e, (is_signed(t) ? ints : unsigned_ints)[i], a, b);
}

static emit_value clamp(kernel_emitter *e, emit_value v, int64_t low, int64_t high) {
    v = integer_extreme(e, true, DTYPE_I64, v, emit_int(e, e->m->i64, low));
    return integer_extreme(e, false, DTYPE_I64, v, emit_int(e, e->m->i64, high));
}

/* x OP y where the difference is c * lane + u: the lanes, as narrow numbers, against -u. */
static bool compare_lanes(kernel_emitter *e, const loop_node *n, emit_value *out) {
    enum { MAX_STRIDE = 1 << 20 };
    emit_affine x, y;
    bool ok = true;
    if (!emit_uses_lane(e, n->args[0]) && !emit_uses_lane(e, n->args[1])) return false;
    if (!emit_affine_of(e, n->args[0], &x) || !emit_affine_of(e, n->args[1], &y)) return false;
    emit_affine_add(&x, &y, -1, &ok);
    int64_t stride = x.lane < 0 ? -x.lane : x.lane;
    if (!ok || stride > MAX_STRIDE) return false;
    emit_value u = emit_affine_uniform(e, &x), zero = emit_int(e, e->m->i64, 0);
    if (!x.lane) {
        *out = compare(e, n->op, DTYPE_I64, u, zero);
        return true;
    }
    int64_t limit = stride * e->lanes + 1;
    emit_value bound = clamp(e, emit_binary(e, LLVMSub, zero, u), -limit, limit);
    bound = emit_cast(e, LLVMTrunc, e->m->i32, bound);
    *out = compare(e, n->op, DTYPE_I32, emit_iota(e, e->m->i32, 0, x.lane), bound);
    return true;
}

/* ---- leaves and all ---- */

static emit_value constant(const kernel_emitter *e, const loop_node *n) {
    LLVMTypeRef type = emit_type(e->m, n->type);
    if (n->type == DTYPE_F32 || n->type == DTYPE_F64) return emit_real(e, type, n->f);
    if (!dtype_is_float(n->type)) return emit_int(e, type, n->i);
    return emit_int(e, type, (int64_t)loop_encode(n->type, (loop_number){.f = n->f}));
}

static emit_value variable(const kernel_emitter *e, loop_var v) {
    const emit_var *x = &e->vars[v];
    switch (x->kind) {
    case VAR_VALUE: return x->value;
    case VAR_CONSTANT: return emit_int(e, e->m->i64, x->constant);
    default: assert(x->kind == VAR_LANE); return emit_iota(e, e->m->i64, 0, 1);
    }
}

static emit_value symbol(kernel_emitter *e, dim_symbol s) {
    emit_value at = emit_int(e, e->m->i64, e->dim_slot[s] * 8), frame = {e->frame, false, 0};
    emit_value p = emit_make(e, PRIM_OFFSET, 0, e->m->pointer, (emit_value[]){frame, at}, 2);
    return emit_make(e, PRIM_LOAD, 0, e->m->i64, &p, 1);
}

static bool is_sum(loop_op op) {
    return op == LOOP_ADD || op == LOOP_SUB || op == LOOP_MUL || op == LOOP_NEG;
}

/* An index that moves with the lane in equal steps. */
static bool lane_index(kernel_emitter *e, loop_expr x, const loop_node *n, emit_value *out) {
    emit_affine a;
    if (n->type != DTYPE_I64 || !is_sum(n->op) || !emit_uses_lane(e, x)) return false;
    if (!emit_affine_of(e, x, &a)) return false;
    emit_value u = emit_affine_uniform(e, &a);
    *out = a.lane ? emit_binary(e, LLVMAdd, u, emit_iota(e, e->m->i64, 0, a.lane)) : u;
    return true;
}

/* On f16 and bf16: done in f32. */
static emit_value narrow_float_op(kernel_emitter *e, const loop_node *n, dtype t,
                                  emit_value *args) {
    for (uint32_t i = 0; i < n->arg_count; i++) args[i] = emit_convert(e, DTYPE_F32, t, args[i]);
    if (n->op >= LOOP_EQ && n->op <= LOOP_LE) return compare(e, n->op, DTYPE_F32, args[0], args[1]);
    return emit_narrow_float(e, t, float_op(e, n, args[0], args[1], args[2]));
}

static emit_value operation(kernel_emitter *e, loop_expr x, const loop_node *n) {
    emit_value args[3] = {{0}}, out;
    dtype t = loop_type(e->k, n->args[n->op == LOOP_SELECT ? 1 : 0]);
    if (lane_index(e, x, n, &out)) return out;
    if (n->op >= LOOP_EQ && n->op <= LOOP_LE && t == DTYPE_I64 && compare_lanes(e, n, &out))
        return out;
    bool is_float = t == DTYPE_F32 || t == DTYPE_F64;
    if (is_float && contract(e, n, &out)) return out;
    if (is_float && n->op == LOOP_CAST && loop_fits(e->k, n->args[0], n->type))
        return fitting_integer(e, n->type, n->args[0]);
    if (contract_dot(e, n, &out)) return out;
    for (uint32_t i = 0; i < n->arg_count; i++) {
        if (n->op == LOOP_SELECT && i == 1 &&
            emit_under(e, n->args[0], args[0], n->args[1], &args[1]))
            continue;
        args[i] = n->op == LOOP_ROUND ? unrounded(e, n->args[i]) : emit_expr(e, n->args[i]);
    }
    bool moves = n->op == LOOP_SELECT || n->op == LOOP_CAST || n->op == LOOP_BITCAST;
    if (dtype_is_float(t) && !is_float && !moves) return narrow_float_op(e, n, t, args);
    if (n->op >= LOOP_EQ && n->op <= LOOP_LE) return compare(e, n->op, t, args[0], args[1]);
    switch (n->op) {
    case LOOP_SELECT: return emit_select(e, args[0], args[1], args[2]);
    case LOOP_CAST: return emit_convert(e, n->type, t, args[0]);
    case LOOP_BITCAST: return emit_cast(e, LLVMBitCast, emit_type(e->m, n->type), args[0]);
    default: break;
    }
    return is_float ? float_op(e, n, args[0], args[1], args[2])
                    : integer_op(e, n, t, args[0], args[1], args[2]);
}

static void grow_memo(kernel_emitter *e, loop_expr x) {
    size_t count = e->k->nodes.count > x ? e->k->nodes.count * 2 : (size_t)x * 2;
    emit_memo *grown = ARENA_ARRAY(e->m->scratch, emit_memo, count);
    if (e->memo_count) memcpy(grown, e->memo, e->memo_count * sizeof *grown);
    e->memo = grown;
    e->memo_count = count;
}

emit_value emit_expr(kernel_emitter *e, loop_expr x) {
    if (x >= e->memo_count) grow_memo(e, x);
    if (e->memo[x].stamp == e->stamp) return e->memo[x].value;
    uint32_t stamp = e->stamp;
    loop_node n = *loop_get(e->k, x);
    emit_value v;
    switch (n.op) {
    case LOOP_CONST: v = constant(e, &n); break;
    case LOOP_DIM: v = symbol(e, (dim_symbol)n.i); break;
    case LOOP_VAR: v = variable(e, (loop_var)n.i); break;
    case LOOP_LOAD: v = emit_load(e, x); break;
    default: v = operation(e, x, &n);
    }
    e->memo[x] = (emit_memo){stamp, v};
    return v;
}
