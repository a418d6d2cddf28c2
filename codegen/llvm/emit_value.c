/* emit_value.c: operations on LLVM values, each made once while it is valid and as far outside as
 * its operands allow. It knows nothing of loop IR but types. */
#include "codegen/llvm/emit.h"

#include <assert.h>
#include <string.h>

/* ---- types ---- */

LLVMTypeRef emit_type(const emit_module *m, dtype t) {
    switch (t) {
    case DTYPE_BOOL: return m->i1;
    case DTYPE_F32: return m->f32;
    case DTYPE_F64: return m->f64;
    default: return LLVMIntTypeInContext(m->context, (unsigned)dtype_bits(t)); /* or bits */
    }
}

LLVMTypeRef emit_memory_type(const emit_module *m, dtype t) {
    return dtype_bits(t) < 8 ? m->i8 : emit_type(m, t);
}

LLVMTypeRef emit_lanes_type(const kernel_emitter *e, LLVMTypeRef scalar, bool wide) {
    return wide ? LLVMVectorType(scalar, (unsigned)e->lanes) : scalar;
}

LLVMTypeRef emit_scalar_type(emit_value a) {
    LLVMTypeRef t = LLVMTypeOf(a.v);
    return a.wide ? LLVMGetElementType(t) : t;
}

/* ---- places ---- */

LLVMBasicBlockRef emit_new_block(kernel_emitter *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->m->context, e->fn, name);
}

void emit_set_block(kernel_emitter *e, LLVMBasicBlockRef block) {
    e->block = block;
    e->epoch = ++e->serials;
    LLVMPositionBuilderAtEnd(e->m->builder, block);
}

/* ---- constants ---- */

emit_value emit_int(const kernel_emitter *e, LLVMTypeRef type, int64_t v) {
    (void)e;
    return (emit_value){LLVMConstInt(type, (unsigned long long)v, true), false, 0};
}

emit_value emit_real(const kernel_emitter *e, LLVMTypeRef type, double v) {
    (void)e;
    return (emit_value){LLVMConstReal(type, v), false, 0};
}

emit_value emit_iota(const kernel_emitter *e, LLVMTypeRef type, int64_t start, int64_t step) {
    LLVMValueRef lanes[256];
    assert(e->lanes <= 256);
    for (int i = 0; i < e->lanes; i++)
        lanes[i] = LLVMConstInt(type, (unsigned long long)(start + step * i), true);
    return (emit_value){LLVMConstVector(lanes, (unsigned)e->lanes), true, 0};
}

bool emit_is_int(emit_value a, int64_t *v) {
    if (a.wide || !LLVMIsAConstantInt(a.v)) return false;
    *v = LLVMConstIntGetSExtValue(a.v);
    return true;
}

/* ---- value numbers ---- */

static size_t hash_entry(const emit_made *n) {
    uint64_t h = (uint64_t)n->prim * 64 + n->sub;
    h = (h ^ (uint64_t)(uintptr_t)n->type) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 3; i++) {
        h ^= h >> 29;
        h = (h ^ (uint64_t)(uintptr_t)n->args[i]) * 0x9e3779b97f4a7c15u;
    }
    return (size_t)(h ^ (h >> 32));
}

static bool same_entry(const emit_made *a, const emit_made *b) {
    return a->prim == b->prim && a->sub == b->sub && a->type == b->type &&
           memcmp(a->args, b->args, sizeof a->args) == 0;
}

static emit_made *find_slot(emit_made *entries, size_t capacity, const emit_made *key) {
    size_t at = hash_entry(key) & (capacity - 1);
    while (entries[at].made && !same_entry(&entries[at], key)) at = (at + 1) & (capacity - 1);
    return &entries[at];
}

static void grow_entries(kernel_emitter *e) {
    size_t capacity = e->entry_capacity ? e->entry_capacity * 2 : 1024;
    emit_made *entries = ARENA_ARRAY(e->m->scratch, emit_made, capacity);
    for (size_t i = 0; i < e->entry_capacity; i++)
        if (e->entries[i].made) *find_slot(entries, capacity, &e->entries[i]) = e->entries[i];
    e->entries = entries;
    e->entry_capacity = capacity;
}

static uint32_t level_serial(const kernel_emitter *e, int level) {
    return level == LEVEL_HERE ? e->epoch : e->levels[level].serial;
}

static bool is_valid(const kernel_emitter *e, const emit_made *n) {
    return (n->level == LEVEL_HERE || n->level <= e->depth) &&
           n->serial == level_serial(e, n->level);
}

/* ---- making ---- */

static LLVMValueRef build_splat(kernel_emitter *e, LLVMValueRef scalar) {
    LLVMBuilderRef b = e->m->builder;
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef lanes[256];
        for (int i = 0; i < e->lanes; i++) lanes[i] = scalar;
        return LLVMConstVector(lanes, (unsigned)e->lanes);
    }
    LLVMTypeRef vector = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)e->lanes);
    LLVMValueRef one = LLVMBuildInsertElement(b, LLVMGetPoison(vector), scalar,
                                              LLVMConstInt(e->m->i32, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->m->i32, (unsigned)e->lanes));
    return LLVMBuildShuffleVector(b, one, LLVMGetPoison(vector), zeros, "");
}

/* Some intrinsics are overloaded by more than their result. */
static LLVMValueRef build_call(kernel_emitter *e, const emit_made *n, int count) {
    LLVMTypeRef types[2] = {n->type, count ? LLVMTypeOf(n->args[0]) : NULL};
    LLVMValueRef args[4];
    memcpy(args, n->args, sizeof n->args);
    size_t length;
    const char *name = LLVMIntrinsicGetName(n->sub, &length);
    bool converts = length > 4 && memcmp(name + length - 4, ".sat", 4) == 0 && n->type != types[1];
    if (strcmp(name, "llvm.abs") == 0) args[count++] = LLVMConstInt(e->m->i1, 0, false);
    size_t overloads = !LLVMIntrinsicIsOverloaded(n->sub) ? 0 : converts ? 2 : 1;
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->m->module, n->sub, types, overloads);
    return LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, (unsigned)count, "");
}

static LLVMValueRef build_load(kernel_emitter *e, const emit_made *n) {
    LLVMContextRef c = e->m->context;
    LLVMValueRef v = LLVMBuildLoad2(e->m->builder, n->type, n->args[0], "");
    LLVMTypeRef scalar =
        LLVMGetTypeKind(n->type) == LLVMVectorTypeKind ? LLVMGetElementType(n->type) : n->type;
    unsigned bits = LLVMGetTypeKind(scalar) == LLVMIntegerTypeKind ? LLVMGetIntTypeWidth(scalar)
                    : scalar == e->m->f64                          ? 64
                                                                   : 32;
    if (scalar == e->m->pointer) bits = 64;
    LLVMSetAlignment(v, bits < 64 ? bits / 8 : 8); /* strings are aligned to a word */
    LLVMSetMetadata(v, LLVMGetMDKindIDInContext(c, "invariant.load", 14),
                    LLVMMetadataAsValue(c, LLVMMDNodeInContext2(c, NULL, 0)));
    return v;
}

static LLVMValueRef build_entry(kernel_emitter *e, const emit_made *n, int count) {
    LLVMBuilderRef b = e->m->builder;
    const LLVMValueRef *a = n->args;
    LLVMValueRef offset = count > 1 ? a[1] : NULL;
    switch (n->prim) {
    case PRIM_BINARY: return LLVMBuildBinOp(b, (LLVMOpcode)n->sub, a[0], a[1], "");
    case PRIM_ICMP: return LLVMBuildICmp(b, (LLVMIntPredicate)n->sub, a[0], a[1], "");
    case PRIM_FCMP: return LLVMBuildFCmp(b, (LLVMRealPredicate)n->sub, a[0], a[1], "");
    case PRIM_CAST: return LLVMBuildCast(b, (LLVMOpcode)n->sub, a[0], n->type, "");
    case PRIM_SELECT: return LLVMBuildSelect(b, a[0], a[1], a[2], "");
    case PRIM_NEGATE: return LLVMBuildFNeg(b, a[0], "");
    case PRIM_CALL: return build_call(e, n, count);
    case PRIM_SPLAT: return build_splat(e, a[0]);
    case PRIM_OFFSET: return LLVMBuildGEP2(b, e->m->i8, a[0], &offset, 1, "");
    case PRIM_LOAD: return build_load(e, n);
    case PRIM_PREFETCH: return emit_prefetch(e, a[0]);
    default:
        assert(n->prim == PRIM_SHUFFLE);
        return LLVMBuildShuffleVector(b, a[0], a[1], e->masks.data[n->sub], "");
    }
}

static bool widens_operands(emit_prim p) {
    return p == PRIM_BINARY || p == PRIM_ICMP || p == PRIM_FCMP || p == PRIM_SELECT ||
           p == PRIM_CALL;
}

emit_value emit_make(kernel_emitter *e, emit_prim prim, unsigned sub, LLVMTypeRef type,
                     const emit_value *given, int count) {
    emit_value args[3] = {{0}};
    bool wide = prim == PRIM_SPLAT;
    bool here = prim == PRIM_PREFETCH || (prim == PRIM_LOAD && sub);
    int level = here ? LEVEL_HERE : 0;
    for (int i = 0; i < count; i++) {
        args[i] = given[i];
        wide |= args[i].wide;
    }
    emit_made key = {.prim = prim, .sub = sub, .level = level};
    for (int i = 0; i < count; i++) {
        bool choice = prim == PRIM_SELECT && i == 0; /* one bool may choose whole vectors */
        if (wide && !args[i].wide && widens_operands(prim) && !choice)
            args[i] = emit_splat(e, args[i]);
        key.args[i] = args[i].v;
        if (args[i].level > key.level) key.level = args[i].level;
    }
    key.type = prim == PRIM_LOAD || prim == PRIM_SHUFFLE ? type : emit_lanes_type(e, type, wide);
    if (prim == PRIM_LOAD) wide = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    if (e->entry_count * 2 >= e->entry_capacity) grow_entries(e);
    emit_made *slot = find_slot(e->entries, e->entry_capacity, &key);
    if (slot->made && is_valid(e, slot)) return (emit_value){slot->made, wide, slot->level};
    if (!slot->made) e->entry_count++;
    LLVMBuilderRef b = e->m->builder;
    if (key.level != LEVEL_HERE)
        LLVMPositionBuilderBefore(b, LLVMGetBasicBlockTerminator(e->levels[key.level].prologue));
    key.made = build_entry(e, &key, count);
    if (key.level != LEVEL_HERE) LLVMPositionBuilderAtEnd(b, e->block);
    if (LLVMIsConstant(key.made)) key.level = 0;
    key.serial = level_serial(e, key.level);
    *slot = key;
    return (emit_value){key.made, wide, key.level};
}

emit_value emit_binary(kernel_emitter *e, LLVMOpcode op, emit_value a, emit_value b) {
    return emit_make(e, PRIM_BINARY, op, emit_scalar_type(a), (emit_value[]){a, b}, 2);
}

emit_value emit_compare(kernel_emitter *e, LLVMIntPredicate p, emit_value a, emit_value b) {
    return emit_make(e, PRIM_ICMP, p, e->m->i1, (emit_value[]){a, b}, 2);
}

emit_value emit_compare_float(kernel_emitter *e, LLVMRealPredicate p, emit_value a, emit_value b) {
    return emit_make(e, PRIM_FCMP, p, e->m->i1, (emit_value[]){a, b}, 2);
}

emit_value emit_select(kernel_emitter *e, emit_value c, emit_value a, emit_value b) {
    return emit_make(e, PRIM_SELECT, 0, emit_scalar_type(a), (emit_value[]){c, a, b}, 3);
}

emit_value emit_cast(kernel_emitter *e, LLVMOpcode op, LLVMTypeRef scalar, emit_value a) {
    if (emit_scalar_type(a) == scalar) return a;
    return emit_make(e, PRIM_CAST, op, scalar, &a, 1);
}

emit_value emit_intrinsic(kernel_emitter *e, const char *name, emit_value a, emit_value b,
                          emit_value c, int count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id);
    return emit_make(e, PRIM_CALL, id, emit_scalar_type(a), (emit_value[]){a, b, c}, count);
}

emit_value emit_splat(kernel_emitter *e, emit_value a) {
    if (a.wide) return a;
    return emit_make(e, PRIM_SPLAT, 0, emit_scalar_type(a), &a, 1);
}
