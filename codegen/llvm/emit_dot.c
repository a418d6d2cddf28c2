/* emit_dot.c: four products of bytes and their sum. Where the machine has the instruction it is
 * one, accumulation included; other vectors multiply pairs of 16-bit numbers, whose sums 32 bits
 * hold, so that no width saturates; what is no whole vector is computed byte by byte. */
#include "codegen/llvm/emit.h"

#include <assert.h>
#include <string.h>

enum { WIDTHS = 3 };

/* The narrowest register that holds the lanes exactly: 0 of 16 bytes, 1 of 32, 2 of 64; -1: none.
 */
static int width_of(const kernel_emitter *e) {
    for (int i = 0; i < WIDTHS; i++)
        if (e->lanes * 4 == 16 << i) return 16 << i <= e->m->machine->vector_bytes ? i : -1;
    return -1;
}

/* Even or odd bytes of every word, each as a number of 16 bits, two a lane. */
static LLVMValueRef widened(kernel_emitter *e, LLVMValueRef words, bool is_signed, bool odd) {
    LLVMBuilderRef b = e->m->builder;
    LLVMTypeRef half = LLVMIntTypeInContext(e->m->context, 16), type;
    LLVMValueRef eight[64];
    unsigned n = (unsigned)e->lanes * 2;
    assert(n <= 64);
    for (unsigned i = 0; i < n; i++) eight[i] = LLVMConstInt(half, 8, false);
    LLVMValueRef by = LLVMConstVector(eight, n);
    type = LLVMTypeOf(by);
    LLVMValueRef v = LLVMBuildBitCast(b, words, type, "");
    if (!odd) v = LLVMBuildShl(b, v, by, "");
    return is_signed ? LLVMBuildAShr(b, v, by, "") : LLVMBuildLShr(b, v, by, "");
}

static LLVMValueRef pairs(kernel_emitter *e, int width, LLVMValueRef x, LLVMValueRef y, bool odd) {
    static const char *const names[WIDTHS] = {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                                              "llvm.x86.avx512.pmaddw.d.512"};
    unsigned id = LLVMLookupIntrinsicID(names[width], strlen(names[width]));
    assert(id);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->m->module, id, NULL, 0);
    LLVMValueRef args[] = {widened(e, x, false, odd), widened(e, y, true, odd)};
    return LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, 2, "");
}

static emit_value by_pairs(kernel_emitter *e, int width, emit_value a, emit_value b) {
    LLVMValueRef x = emit_splat(e, a).v, y = emit_splat(e, b).v;
    LLVMValueRef even = pairs(e, width, x, y, false), odd = pairs(e, width, x, y, true);
    return (emit_value){LLVMBuildAdd(e->m->builder, even, odd, ""), true, LEVEL_HERE};
}

static emit_value by_bytes(kernel_emitter *e, emit_value a, emit_value b) {
    emit_value sum = emit_int(e, e->m->i32, 0), mask = emit_int(e, e->m->i32, 255);
    emit_value top = emit_int(e, e->m->i32, 24);
    for (int i = 0; i < 32; i += 8) {
        emit_value down = emit_int(e, e->m->i32, i), up = emit_int(e, e->m->i32, 24 - i);
        emit_value x = emit_binary(e, LLVMAnd, emit_binary(e, LLVMLShr, a, down), mask);
        emit_value y = emit_binary(e, LLVMAShr, emit_binary(e, LLVMShl, b, up), top);
        sum = emit_binary(e, LLVMAdd, sum, emit_binary(e, LLVMMul, x, y));
    }
    return sum;
}

emit_value emit_dot4(kernel_emitter *e, emit_value a, emit_value b, emit_value sum) {
    static const char *const names[WIDTHS] = {"llvm.x86.avx512.vpdpbusd.128",
                                              "llvm.x86.avx512.vpdpbusd.256",
                                              "llvm.x86.avx512.vpdpbusd.512"};
    bool wide = a.wide || b.wide;
    int width = wide ? width_of(e) : -1;
    if (width >= 0 && e->m->machine->vnni) {
        unsigned id = LLVMLookupIntrinsicID(names[width], strlen(names[width]));
        assert(id);
        return emit_make(e, PRIM_CALL, id, e->m->i32, (emit_value[]){sum, a, b}, 3);
    }
    emit_value products = width >= 0 ? by_pairs(e, width, a, b) : by_bytes(e, a, b);
    return emit_binary(e, LLVMAdd, sum, products);
}
