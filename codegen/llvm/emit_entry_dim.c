/* emit_entry_dim.c: values of dimension expressions in NAME_run. What depends on the caller's
 * symbols alone is computed once, at the start; what depends on the data, where it is used. */
#include "codegen/llvm/emit_entry.h"

#include <assert.h>
#include <string.h>

LLVMValueRef entry_number(const entry_emitter *e, int64_t v) {
    return LLVMConstInt(e->m->i64, (unsigned long long)v, true);
}

static LLVMValueRef call_intrinsic(entry_emitter *e, const char *name, LLVMValueRef x,
                                   LLVMValueRef y) {
    LLVMValueRef args[] = {x, y};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->m->module, id, &e->m->i64, 1);
    return LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, 2, "");
}

/* Floor division and modulo; 0 for a divisor of 0, as dim_eval has it. */
static LLVMValueRef build_division(entry_emitter *e, bool modulo, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = e->m->builder;
    LLVMValueRef zero = entry_number(e, 0);
    LLVMValueRef by_zero = LLVMBuildICmp(b, LLVMIntEQ, y, zero, "");
    LLVMValueRef safe = LLVMBuildSelect(b, by_zero, entry_number(e, 1), y, "");
    LLVMValueRef r = LLVMBuildSRem(b, x, safe, "");
    LLVMValueRef inexact = LLVMBuildICmp(b, LLVMIntNE, r, zero, "");
    LLVMValueRef opposite = LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, r, safe, ""), zero, "");
    LLVMValueRef adjust = LLVMBuildAnd(b, inexact, opposite, "");
    LLVMValueRef out;
    if (modulo)
        out = LLVMBuildAdd(b, r, LLVMBuildSelect(b, adjust, safe, zero, ""), "");
    else
        out = LLVMBuildSub(b, LLVMBuildSDiv(b, x, safe, ""),
                           LLVMBuildZExt(b, adjust, e->m->i64, ""), "");
    return LLVMBuildSelect(b, by_zero, zero, out, "");
}

static LLVMValueRef compute_dim(entry_emitter *e, dim d) {
    const dim_table *t = e->p->dims;
    LLVMBuilderRef b = e->m->builder;
    dim_op op = dim_op_of(t, d);
    if (op == DIM_SYMBOL) return LLVMBuildLoad2(b, e->m->i64, e->symbols[dim_symbol_of(t, d)], "");
    LLVMValueRef x = entry_dim(e, dim_operand(t, d, 0)), y = entry_dim(e, dim_operand(t, d, 1));
    switch (op) {
    case DIM_ADD: return LLVMBuildAdd(b, x, y, "");
    case DIM_MUL: return LLVMBuildMul(b, x, y, "");
    case DIM_FLOORDIV: return build_division(e, false, x, y);
    case DIM_MOD: return build_division(e, true, x, y);
    case DIM_MIN: return call_intrinsic(e, "llvm.smin", x, y);
    default: assert(op == DIM_MAXIMUM); return call_intrinsic(e, "llvm.smax", x, y);
    }
}

static void grow_dims(entry_emitter *e, dim d) {
    if (d < e->dim_count) return;
    size_t count = (size_t)d * 2 + 64;
    LLVMValueRef *dims = ARENA_ARRAY(e->m->scratch, LLVMValueRef, count);
    LLVMValueRef *late = ARENA_ARRAY(e->m->scratch, LLVMValueRef, count);
    uint32_t *serials = ARENA_ARRAY(e->m->scratch, uint32_t, count);
    if (e->dim_count) {
        memcpy(dims, e->dims, e->dim_count * sizeof *dims);
        memcpy(late, e->late_dims, e->dim_count * sizeof *late);
        memcpy(serials, e->late_serials, e->dim_count * sizeof *serials);
    }
    e->dims = dims;
    e->late_dims = late;
    e->late_serials = serials;
    e->dim_count = count;
}

bool entry_is_late(entry_emitter *e, dim d) {
    size_t n = dim_symbol_count(e->p->dims);
    bool *used = ARENA_ARRAY(e->m->scratch, bool, n + 1), late = false;
    dim_mark_symbols(e->p->dims, d, used);
    for (size_t s = 0; s < n; s++) late |= used[s] && e->late[s];
    return late;
}

LLVMValueRef entry_dim(entry_emitter *e, dim d) {
    int64_t v;
    if (dim_is_const(e->p->dims, d, &v)) return entry_number(e, v);
    grow_dims(e, d);
    if (e->dims[d]) return e->dims[d];
    if (e->late_serials[d] == e->serial && e->late_dims[d]) return e->late_dims[d];
    LLVMBuilderRef b = e->m->builder;
    LLVMValueRef made;
    if (entry_is_late(e, d)) {
        made = compute_dim(e, d);
        e->late_dims[d] = made;
        e->late_serials[d] = e->serial;
        return made;
    }
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b);
    LLVMPositionBuilderBefore(b, LLVMGetBasicBlockTerminator(e->early));
    made = compute_dim(e, d);
    if (here != e->early) LLVMPositionBuilderAtEnd(b, here);
    return e->dims[d] = made;
}
