/* emit_convert.c: conversions between element types, and the float remainder, in ways that call no
 * library: casts to integers saturate, narrow floats are converted by their bits where the machine
 * has no instruction for it. */
#include "codegen/llvm/emit.h"

#include <assert.h>

static bool is_signed(dtype t) {
    return dtype_class_of(t) == DTYPE_CLASS_INT;
}

static bool is_plain_float(dtype t) {
    return t == DTYPE_F32 || t == DTYPE_F64;
}

static emit_value op(kernel_emitter *e, LLVMOpcode o, emit_value a, int64_t b) {
    return emit_binary(e, o, a, emit_int(e, emit_scalar_type(a), b));
}

/* ---- half and bfloat16 ---- */

/* Magnitudes as integers: a half's exponent and mantissa moved to where a float has them, scaled by
 * 2^112, which also makes subnormals right. */
static emit_value half_to_single(kernel_emitter *e, emit_value bits) {
    const emit_module *m = e->m;
    emit_value x = emit_cast(e, LLVMZExt, m->i32, bits);
    emit_value size = op(e, LLVMShl, op(e, LLVMAnd, x, 0x7fff), 13);
    emit_value scaled = emit_binary(e, LLVMFMul, emit_cast(e, LLVMBitCast, m->f32, size),
                                    emit_real(e, m->f32, 0x1p112));
    emit_value finite = emit_cast(e, LLVMBitCast, m->i32, scaled);
    emit_value special = op(e, LLVMOr, size, 0x7f800000); /* infinity or NaN */
    emit_value is_special = emit_compare(e, LLVMIntUGE, size, emit_int(e, m->i32, 0x0f800000));
    emit_value sign = op(e, LLVMShl, op(e, LLVMAnd, x, 0x8000), 16);
    emit_value all = emit_binary(e, LLVMOr, sign, emit_select(e, is_special, special, finite));
    return emit_cast(e, LLVMBitCast, m->f32, all);
}

static emit_value single_to_half(kernel_emitter *e, emit_value v) {
    const emit_module *m = e->m;
    emit_value x = emit_cast(e, LLVMBitCast, m->i32, v);
    emit_value sign = op(e, LLVMLShr, op(e, LLVMAnd, x, (int64_t)0x80000000), 16);
    emit_value size = op(e, LLVMAnd, x, 0x7fffffff);
    /* Normal: round the lower 13 bits half to even; a carry into the exponent is right, infinity
     * included. */
    emit_value odd = op(e, LLVMAnd, op(e, LLVMLShr, size, 13), 1);
    emit_value rounded = emit_binary(e, LLVMAdd, op(e, LLVMAdd, size, 0xfff), odd);
    emit_value normal = op(e, LLVMLShr, op(e, LLVMSub, rounded, (int64_t)112 << 23), 13);
    /* Subnormal: adding 0.5 leaves the value in units of 2^-24 in the lowest bits. */
    emit_value half = emit_real(e, m->f32, 0.5);
    emit_value sum = emit_binary(e, LLVMFAdd, emit_cast(e, LLVMBitCast, m->f32, size), half);
    emit_value tiny = op(e, LLVMSub, emit_cast(e, LLVMBitCast, m->i32, sum), 0x3f000000);
    emit_value is_tiny = emit_compare(e, LLVMIntULT, size, emit_int(e, m->i32, 0x38800000));
    emit_value finite = emit_select(e, is_tiny, tiny, normal);
    emit_value is_big = emit_compare(e, LLVMIntUGE, size, emit_int(e, m->i32, 0x47800000));
    emit_value is_nan = emit_compare(e, LLVMIntUGT, size, emit_int(e, m->i32, 0x7f800000));
    emit_value big =
        emit_select(e, is_nan, emit_int(e, m->i32, 0x7e00), emit_int(e, m->i32, 0x7c00));
    emit_value all = emit_binary(e, LLVMOr, sign, emit_select(e, is_big, big, finite));
    return emit_cast(e, LLVMTrunc, LLVMInt16TypeInContext(m->context), all);
}

static emit_value single_to_bfloat(kernel_emitter *e, emit_value v) {
    const emit_module *m = e->m;
    emit_value x = emit_cast(e, LLVMBitCast, m->i32, v);
    emit_value odd = op(e, LLVMAnd, op(e, LLVMLShr, x, 16), 1);
    emit_value rounded = emit_binary(e, LLVMAdd, op(e, LLVMAdd, x, 0x7fff), odd);
    emit_value is_nan = emit_compare_float(e, LLVMRealUNO, v, v);
    emit_value all =
        emit_select(e, is_nan, emit_int(e, m->i32, 0x7fc0), op(e, LLVMLShr, rounded, 16));
    return emit_cast(e, LLVMTrunc, LLVMInt16TypeInContext(m->context), all);
}

emit_value emit_widen_float(kernel_emitter *e, dtype from, emit_value bits) {
    const emit_module *m = e->m;
    if (from == DTYPE_BF16) {
        emit_value x = op(e, LLVMShl, emit_cast(e, LLVMZExt, m->i32, bits), 16);
        return emit_cast(e, LLVMBitCast, m->f32, x);
    }
    assert(from == DTYPE_F16 && "8- and 4-bit floats are decomposed before");
    if (!m->machine->half) return half_to_single(e, bits);
    emit_value h = emit_cast(e, LLVMBitCast, LLVMHalfTypeInContext(m->context), bits);
    return emit_cast(e, LLVMFPExt, m->f32, h);
}

emit_value emit_narrow_float(kernel_emitter *e, dtype to, emit_value single) {
    const emit_module *m = e->m;
    if (to == DTYPE_BF16) return single_to_bfloat(e, single);
    assert(to == DTYPE_F16 && "8- and 4-bit floats are decomposed before");
    if (!m->machine->half) return single_to_half(e, single);
    emit_value h = emit_cast(e, LLVMFPTrunc, LLVMHalfTypeInContext(m->context), single);
    return emit_cast(e, LLVMBitCast, LLVMInt16TypeInContext(m->context), h);
}

/* ---- all conversions ---- */

emit_value emit_truncate(kernel_emitter *e, dtype to, emit_value v) {
    return emit_cast(e, LLVMTrunc, emit_type(e->m, to), emit_cast(e, LLVMFPToSI, e->m->i32, v));
}

/* Truncates and saturates; NaN gives 0. */
static emit_value float_to_int(kernel_emitter *e, dtype to, emit_value v) {
    const char *name = is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    LLVMTypeRef type = emit_type(e->m, to);
    int bits = dtype_bits(to);
    if (bits >= 32) {
        unsigned id = LLVMLookupIntrinsicID(name, 15);
        return emit_make(e, PRIM_CALL, id, type, &v, 1);
    }
    /* Narrow ones by way of i32: the bounds are exact in f32. */
    LLVMTypeRef f = emit_scalar_type(v);
    emit_value low = emit_real(e, f, is_signed(to) ? -(double)(1 << (bits - 1)) : 0);
    emit_value high = emit_real(e, f, (double)((1 << (is_signed(to) ? bits - 1 : bits)) - 1));
    emit_value is_nan = emit_compare_float(e, LLVMRealUNO, v, v);
    v = emit_select(e, is_nan, emit_real(e, f, 0), v);
    v = emit_select(e, emit_compare_float(e, LLVMRealOGT, low, v), low, v);
    v = emit_select(e, emit_compare_float(e, LLVMRealOLT, high, v), high, v);
    return emit_truncate(e, to, v);
}

static emit_value int_to_int(kernel_emitter *e, dtype to, dtype from, emit_value v) {
    LLVMTypeRef type = emit_type(e->m, to);
    int before = dtype_bits(from), after = dtype_bits(to);
    if (after == before) return v;
    if (after < before) return emit_cast(e, LLVMTrunc, type, v);
    return emit_cast(e, is_signed(from) ? LLVMSExt : LLVMZExt, type, v);
}

emit_value emit_convert(kernel_emitter *e, dtype to, dtype from, emit_value v) {
    const emit_module *m = e->m;
    if (to == from) return v;
    if (dtype_is_float(from) && !is_plain_float(from)) {
        v = emit_widen_float(e, from, v);
        from = DTYPE_F32;
        if (to == from) return v;
    }
    if (to == DTYPE_BOOL) {
        if (is_plain_float(from))
            return emit_compare_float(e, LLVMRealUNE, v, emit_real(e, emit_type(m, from), 0));
        return emit_compare(e, LLVMIntNE, v, emit_int(e, emit_type(m, from), 0));
    }
    if (dtype_is_float(to) && !is_plain_float(to))
        return emit_narrow_float(e, to, emit_convert(e, DTYPE_F32, from, v));
    LLVMTypeRef type = emit_type(m, to);
    if (is_plain_float(from) && is_plain_float(to))
        return emit_cast(e, to == DTYPE_F64 ? LLVMFPExt : LLVMFPTrunc, type, v);
    if (is_plain_float(from)) return float_to_int(e, to, v);
    if (!is_plain_float(to)) return int_to_int(e, to, from, v);
    if (dtype_bits(from) < 32) { /* conversions of 32 bits are what machines have */
        v = emit_cast(e, is_signed(from) ? LLVMSExt : LLVMZExt, m->i32, v);
        return emit_cast(e, LLVMSIToFP, type, v);
    }
    return emit_cast(e, is_signed(from) ? LLVMSIToFP : LLVMUIToFP, type, v);
}

/* ---- remainder ---- */

/* The exact remainder of doubles by long division: subtracts the largest b * 2^n that fits until
 * what is left is smaller than b (each difference is exact). A function of its own in the module,
 * made when first used. */
static LLVMValueRef remainder_function(kernel_emitter *e) {
    emit_module *m = e->m;
    LLVMValueRef fn = LLVMGetNamedFunction(m->module, "float_remainder");
    if (fn) return fn;
    LLVMTypeRef params[] = {m->f64, m->f64};
    LLVMTypeRef type = LLVMFunctionType(m->f64, params, 2, false);
    fn = LLVMAddFunction(m->module, "float_remainder", type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_function_attributes(m, fn);
    LLVMContextRef c = m->context;
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, fn, "entry");
    LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(c, fn, "loop");
    LLVMBasicBlockRef step = LLVMAppendBasicBlockInContext(c, fn, "step");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c, fn, "done");
    LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
    LLVMValueRef sign_bit = LLVMConstInt(m->i64, (unsigned long long)1 << 63, false);
    LLVMValueRef size_bits = LLVMConstInt(m->i64, ~((unsigned long long)1 << 63), false);
    LLVMValueRef exponent = LLVMConstInt(m->i64, (unsigned long long)0x7ff << 52, false);
    LLVMValueRef one = LLVMConstInt(m->i64, (unsigned long long)1 << 52, false);
    LLVMPositionBuilderAtEnd(b, entry);
    LLVMValueRef a_bits = LLVMBuildBitCast(b, LLVMGetParam(fn, 0), m->i64, "");
    LLVMValueRef b_bits = LLVMBuildBitCast(b, LLVMGetParam(fn, 1), m->i64, "");
    LLVMValueRef sign = LLVMBuildAnd(b, a_bits, sign_bit, "");
    LLVMValueRef a_size = LLVMBuildAnd(b, a_bits, size_bits, "");
    LLVMValueRef b_size = LLVMBuildAnd(b, b_bits, size_bits, "");
    LLVMValueRef divisor = LLVMBuildBitCast(b, b_size, m->f64, "");
    LLVMBuildBr(b, loop);
    LLVMPositionBuilderAtEnd(b, loop);
    LLVMValueRef left = LLVMBuildPhi(b, m->i64, "left");
    /* Goes on while divisor <= left < infinity and divisor > 0. */
    LLVMValueRef more = LLVMBuildICmp(b, LLVMIntUGE, left, b_size, "");
    LLVMValueRef finite = LLVMBuildICmp(b, LLVMIntULT, left, exponent, "");
    LLVMValueRef real = LLVMBuildICmp(b, LLVMIntNE, b_size, LLVMConstInt(m->i64, 0, false), "");
    more = LLVMBuildAnd(b, LLVMBuildAnd(b, more, finite, ""), real, "");
    LLVMBuildCondBr(b, more, step, done);
    LLVMPositionBuilderAtEnd(b, step);
    LLVMValueRef left_power = LLVMBuildAnd(b, left, exponent, "");
    /* A subnormal divisor is made normal before its exponent is looked at. */
    LLVMValueRef subnormal = LLVMBuildICmp(b, LLVMIntULT, b_size, one, "");
    LLVMValueRef normal = LLVMBuildBitCast(
        b, LLVMBuildFMul(b, divisor, LLVMConstReal(m->f64, 0x1p54), ""), m->i64, "");
    normal = LLVMBuildSelect(b, subnormal, normal, b_size, "");
    LLVMValueRef up = LLVMBuildSub(b, left_power, LLVMBuildAnd(b, normal, exponent, ""), "");
    LLVMValueRef scaled = LLVMBuildAdd(b, normal, up, "");
    LLVMValueRef above = LLVMBuildICmp(b, LLVMIntUGT, scaled, left, "");
    scaled = LLVMBuildSelect(b, above, LLVMBuildSub(b, scaled, one, ""), scaled, "");
    LLVMValueRef less = LLVMBuildFSub(b, LLVMBuildBitCast(b, left, m->f64, ""),
                                      LLVMBuildBitCast(b, scaled, m->f64, ""), "");
    /* In the lowest binades bits are integers in one unit. */
    LLVMValueRef tiny = LLVMBuildICmp(b, LLVMIntULE, left_power, one, "");
    LLVMValueRef next = LLVMBuildSelect(b, tiny, LLVMBuildURem(b, left, b_size, ""),
                                        LLVMBuildBitCast(b, less, m->i64, ""), "");
    LLVMBuildBr(b, loop);
    LLVMValueRef values[] = {a_size, next};
    LLVMBasicBlockRef blocks[] = {entry, step};
    LLVMAddIncoming(left, values, blocks, 2);
    LLVMPositionBuilderAtEnd(b, done);
    LLVMValueRef rest = LLVMBuildBitCast(b, LLVMBuildOr(b, left, sign, ""), m->f64, "");
    /* NaN for an infinite or NaN dividend, a zero or NaN divisor. */
    LLVMValueRef bad = LLVMBuildNot(b, finite, "");
    bad = LLVMBuildOr(b, bad, LLVMBuildNot(b, real, ""), "");
    bad = LLVMBuildOr(b, bad, LLVMBuildFCmp(b, LLVMRealUNO, divisor, divisor, ""), "");
    LLVMValueRef nan = LLVMBuildBitCast(
        b, LLVMConstInt(m->i64, (unsigned long long)0x7ff8 << 48, false), m->f64, "");
    LLVMBuildRet(b, LLVMBuildSelect(b, bad, nan, rest, ""));
    LLVMDisposeBuilder(b);
    return fn;
}

static emit_value remainder_of(kernel_emitter *e, emit_value a, emit_value b) {
    LLVMTypeRef type = emit_scalar_type(a);
    LLVMValueRef fn = remainder_function(e);
    LLVMValueRef args[] = {emit_cast(e, LLVMFPExt, e->m->f64, a).v,
                           emit_cast(e, LLVMFPExt, e->m->f64, b).v};
    LLVMValueRef r = LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, 2, "");
    return emit_cast(e, LLVMFPTrunc, type, (emit_value){r, false, LEVEL_HERE});
}

emit_value emit_float_remainder(kernel_emitter *e, emit_value a, emit_value b) {
    if (!a.wide && !b.wide) return remainder_of(e, a, b);
    a = emit_splat(e, a);
    b = emit_splat(e, b);
    LLVMBuilderRef builder = e->m->builder;
    LLVMValueRef all = LLVMGetPoison(LLVMTypeOf(a.v));
    for (int i = 0; i < e->lanes; i++) {
        LLVMValueRef at = LLVMConstInt(e->m->i32, (unsigned)i, false);
        emit_value x = {LLVMBuildExtractElement(builder, a.v, at, ""), false, LEVEL_HERE};
        emit_value y = {LLVMBuildExtractElement(builder, b.v, at, ""), false, LEVEL_HERE};
        all = LLVMBuildInsertElement(builder, all, remainder_of(e, x, y).v, at, "");
    }
    return (emit_value){all, true, LEVEL_HERE};
}
