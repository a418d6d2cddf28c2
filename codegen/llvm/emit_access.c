/* emit_access.c: loads and stores. An access of a vector loop is one scalar access if it stands
 * still, one vector access if it moves by one element a lane, two loads and a shuffle for stride 2,
 * and one access a lane otherwise. Tiles are in emit_tile.c. */
#include "codegen/llvm/emit_access.h"

#include <assert.h>
#include <string.h>

/* ---- positions ---- */

loop_expr access_flat(kernel_emitter *e, loop_expr load) {
    if (load >= e->flat_count) {
        size_t count = e->k->nodes.count * 2;
        loop_expr *grown = ARENA_ARRAY(e->m->scratch, loop_expr, count);
        if (e->flat_count) memcpy(grown, e->flat, e->flat_count * sizeof *grown);
        e->flat = grown;
        e->flat_count = count;
    }
    if (!e->flat[load]) {
        loop_node n = *loop_get(e->k, load);
        e->flat[load] = loop_flat_index(e->k, (loop_buf)n.i, n.args);
    }
    return e->flat[load];
}

lane_scope access_enter_lane(kernel_emitter *e, int lane) {
    lane_scope s = {e->vars[e->lane_var], e->lanes, e->mask, e->stamp};
    emit_var *v = &e->vars[e->lane_var];
    if (e->mask) {
        emit_value here = emit_int(e, e->m->i64, lane);
        emit_value inside = emit_compare(e, LLVMIntSLT, here, e->active);
        v->kind = VAR_VALUE;
        v->value = emit_select(e, inside, here, emit_int(e, e->m->i64, 0));
        if (lane == 0) v->kind = VAR_CONSTANT;
        v->constant = lane;
    } else {
        v->kind = VAR_CONSTANT;
        v->constant = lane;
    }
    e->lanes = 0;
    e->mask = NULL;
    e->stamp = ++e->stamps;
    return s;
}

void access_leave_lane(kernel_emitter *e, lane_scope s) {
    e->vars[e->lane_var] = s.var;
    e->lanes = s.lanes;
    e->mask = s.mask;
    e->stamp = s.stamp;
}

emit_value access_insert(kernel_emitter *e, emit_value into, emit_value scalar, int lane) {
    LLVMTypeRef vector = LLVMVectorType(LLVMTypeOf(scalar.v), (unsigned)e->lanes);
    LLVMValueRef v =
        LLVMBuildInsertElement(e->m->builder, into.v ? into.v : LLVMGetPoison(vector), scalar.v,
                               LLVMConstInt(e->m->i32, (unsigned)lane, false), "");
    return (emit_value){v, true, LEVEL_HERE};
}

emit_value access_extract(kernel_emitter *e, emit_value from, int lane) {
    if (!from.wide) return from;
    LLVMValueRef v = LLVMBuildExtractElement(e->m->builder, from.v,
                                             LLVMConstInt(e->m->i32, (unsigned)lane, false), "");
    return (emit_value){v, false, LEVEL_HERE};
}

emit_value access_shuffle(kernel_emitter *e, emit_value a, emit_value b, const int *lanes,
                          int count) {
    LLVMValueRef mask[256];
    assert(count <= 256);
    for (int i = 0; i < count; i++)
        mask[i] = lanes[i] < 0 ? LLVMGetPoison(e->m->i32)
                               : LLVMConstInt(e->m->i32, (unsigned)lanes[i], false);
    LLVMValueRef v =
        LLVMBuildShuffleVector(e->m->builder, a.v, b.v ? b.v : LLVMGetPoison(LLVMTypeOf(a.v)),
                               LLVMConstVector(mask, (unsigned)count), "");
    return (emit_value){v, true, LEVEL_HERE};
}

/* ---- between memory and values ---- */

emit_value access_from_memory(kernel_emitter *e, dtype t, emit_value v) {
    if (t == DTYPE_BOOL) return emit_compare(e, LLVMIntNE, v, emit_int(e, e->m->i8, 0));
    if (dtype_bits(t) < 8) return emit_cast(e, LLVMTrunc, emit_type(e->m, t), v);
    return v;
}

emit_value access_to_memory(kernel_emitter *e, dtype t, emit_value v) {
    if (dtype_bits(t) >= 8) return v;
    bool is_signed = dtype_class_of(t) == DTYPE_CLASS_INT;
    return emit_cast(e, is_signed ? LLVMSExt : LLVMZExt, e->m->i8, v);
}

/* ---- plain memory ---- */

/* Elements of more than a word (strings) are aligned to a word. */
static unsigned alignment(dtype t) {
    return dtype_bytes(t) < 8 ? (unsigned)dtype_bytes(t) : 8;
}

static void describe(kernel_emitter *e, LLVMValueRef access, const emit_buffer *b, dtype t) {
    LLVMContextRef c = e->m->context;
    if (LLVMIsALoadInst(access) || LLVMIsAStoreInst(access)) LLVMSetAlignment(access, alignment(t));
    if (!b->scope) return;
    LLVMSetMetadata(access, LLVMGetMDKindIDInContext(c, "alias.scope", 11),
                    LLVMMetadataAsValue(c, b->scope));
    LLVMSetMetadata(access, LLVMGetMDKindIDInContext(c, "noalias", 7),
                    LLVMMetadataAsValue(c, b->others));
    if (b->invariant && LLVMIsALoadInst(access))
        LLVMSetMetadata(access, LLVMGetMDKindIDInContext(c, "invariant.load", 14),
                        LLVMMetadataAsValue(c, LLVMMDNodeInContext2(c, NULL, 0)));
}

static emit_value base_of(const emit_buffer *b) {
    return (emit_value){b->base, false, 0};
}

static emit_value load_plain(kernel_emitter *e, loop_buf buf, LLVMTypeRef type, emit_value p) {
    const emit_buffer *b = &e->buffers[buf];
    if (b->invariant) return emit_make(e, PRIM_LOAD, 1 + buf, type, &p, 1);
    LLVMValueRef v = LLVMBuildLoad2(e->m->builder, type, p.v, "");
    describe(e, v, b, loop_buffer_of(e->k, buf)->type);
    return (emit_value){v, LLVMGetTypeKind(type) == LLVMVectorTypeKind, LEVEL_HERE};
}

/* A masked load or store. Newer LLVMs take the alignment as an attribute of the pointer. */
static LLVMValueRef call_masked(kernel_emitter *e, const char *name, LLVMTypeRef vector,
                                LLVMValueRef first, LLVMValueRef p, LLVMValueRef mask,
                                LLVMValueRef last, unsigned align) {
    LLVMTypeRef types[] = {vector, e->m->pointer};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->m->module, id, types, 2);
    LLVMValueRef args[4];
    unsigned n = 0, at;
    bool attribute = LLVMCountParams(fn) == 3;
    if (first) args[n++] = first;
    at = n;
    args[n++] = p;
    if (!attribute) args[n++] = LLVMConstInt(e->m->i32, align, false);
    args[n++] = mask;
    if (last) args[n++] = last;
    LLVMValueRef call = LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, n, "");
    if (attribute) LLVMSetInstrParamAlignment(call, at + 1, align);
    return call;
}

static emit_value load_masked(kernel_emitter *e, loop_buf buf, emit_value p, LLVMValueRef mask) {
    dtype t = loop_buffer_of(e->k, buf)->type;
    LLVMTypeRef vector = emit_lanes_type(e, emit_memory_type(e->m, t), true);
    LLVMValueRef v = call_masked(e, "llvm.masked.load", vector, NULL, p.v, mask,
                                 LLVMConstNull(vector), alignment(t));
    describe(e, v, &e->buffers[buf], t);
    return (emit_value){v, true, LEVEL_HERE};
}

static emit_value load_contiguous(kernel_emitter *e, loop_buf buf, emit_value p) {
    dtype t = loop_buffer_of(e->k, buf)->type;
    if (e->mask) return load_masked(e, buf, p, e->mask);
    if (e->buffers[buf].streams) emit_make(e, PRIM_PREFETCH, 0, e->m->none, &p, 1);
    return load_plain(e, buf, emit_lanes_type(e, emit_memory_type(e->m, t), true), p);
}

static emit_value load_by_lane(kernel_emitter *e, loop_expr load) {
    emit_value v = {0};
    for (int i = 0; i < e->lanes; i++) {
        lane_scope s = access_enter_lane(e, i);
        emit_value one = emit_load(e, load);
        access_leave_lane(e, s);
        v = access_insert(e, v, one, i);
    }
    return v;
}

/* Lane i of the mask at element 2 * i - first, as far as `lanes` elements hold it. */
static LLVMValueRef spread_mask(kernel_emitter *e, LLVMValueRef mask, int first) {
    int lanes[256];
    for (int i = 0; i < e->lanes; i++) lanes[i] = (i + first) % 2 ? e->lanes : (i + first) / 2;
    emit_value own = {mask, true, LEVEL_HERE};
    emit_value none = {LLVMConstNull(LLVMTypeOf(mask)), true, 0};
    return access_shuffle(e, own, none, lanes, e->lanes).v;
}

/* Lanes 0, 2, 4, ... of 2 * lanes - 1 elements, from two overlapping vectors; `mask` NULL: all. */
static emit_value load_every_second(kernel_emitter *e, loop_buf buf, const emit_affine *a,
                                    int64_t bytes, LLVMValueRef mask) {
    LLVMTypeRef vector =
        emit_lanes_type(e, emit_memory_type(e->m, loop_buffer_of(e->k, buf)->type), true);
    emit_affine second = *a;
    int back = e->lanes - 1;
    second.constant += back;
    emit_value base = base_of(&e->buffers[buf]);
    emit_value p = emit_affine_pointer(e, base, a, bytes), low, high;
    emit_value q = emit_affine_pointer(e, base, &second, bytes);
    if (mask) {
        low = load_masked(e, buf, p, spread_mask(e, mask, 0));
        high = load_masked(e, buf, q, spread_mask(e, mask, back));
    } else {
        low = load_plain(e, buf, vector, p);
        high = load_plain(e, buf, vector, q);
    }
    int lanes[256];
    for (int i = 0; i < e->lanes; i++)
        lanes[i] = 2 * i < e->lanes ? 2 * i : e->lanes + 2 * i - back;
    return access_shuffle(e, low, high, lanes, e->lanes);
}

static emit_value load_reversed(kernel_emitter *e, loop_buf buf, const emit_affine *a,
                                int64_t bytes) {
    LLVMTypeRef vector =
        emit_lanes_type(e, emit_memory_type(e->m, loop_buffer_of(e->k, buf)->type), true);
    emit_affine first = *a;
    first.constant -= e->lanes - 1;
    emit_value p = emit_affine_pointer(e, base_of(&e->buffers[buf]), &first, bytes);
    int lanes[256];
    for (int i = 0; i < e->lanes; i++) lanes[i] = e->lanes - 1 - i;
    return access_shuffle(e, load_plain(e, buf, vector, p), (emit_value){0}, lanes, e->lanes);
}

/* A load whose index is clamped, where the select around it says that the clamp does nothing in
 * the lanes that count: their elements alone are loaded, by a mask. */
static bool load_assumed(kernel_emitter *e, loop_expr load, emit_value *out) {
    emit_affine a;
    loop_node n = *loop_get(e->k, load);
    int64_t bytes = (int64_t)dtype_bytes(n.type);
    const target_machine *m = e->m->machine;
    bool masks = m->masked || (m->vector_bytes == 32 && bytes >= 4);
    if (!e->assumed || !masks || e->buffers[n.i].in_slots) return false;
    loop_expr plain = assume_load(e, load);
    if (plain == load || !emit_affine_of(e, access_flat(e, plain), &a)) return false;
    if (a.lane != 1 && a.lane != 2) return false;
    emit_value mask = e->assumed->mask;
    if (e->mask) mask = emit_binary(e, LLVMAnd, mask, (emit_value){e->mask, true, LEVEL_HERE});
    loop_buf buf = (loop_buf)n.i;
    emit_value p = emit_affine_pointer(e, base_of(&e->buffers[buf]), &a, bytes);
    *out =
        a.lane == 1 ? load_masked(e, buf, p, mask.v) : load_every_second(e, buf, &a, bytes, mask.v);
    return true;
}

emit_value emit_load(kernel_emitter *e, loop_expr load) {
    loop_node n = *loop_get(e->k, load);
    loop_buf buf = (loop_buf)n.i;
    loop_expr flat = access_flat(e, load);
    emit_affine a;
    bool known = emit_affine_of(e, flat, &a);
    if (e->buffers[buf].in_slots)
        return access_from_memory(e, n.type,
                                  known ? tile_load(e, buf, &a) : tile_load_by_lane(e, flat, buf));
    int64_t bytes = (int64_t)dtype_bytes(n.type);
    emit_value v, base = base_of(&e->buffers[buf]);
    LLVMTypeRef scalar = emit_memory_type(e->m, n.type);
    if (known && a.lane == 0)
        v = load_plain(e, buf, scalar, emit_affine_pointer(e, base, &a, bytes));
    else if (known && a.lane == 1)
        v = load_contiguous(e, buf, emit_affine_pointer(e, base, &a, bytes));
    else if (known && a.lane == 2 && !e->mask && e->lanes > 2)
        v = load_every_second(e, buf, &a, bytes, NULL);
    else if (known && a.lane == -1 && !e->mask)
        v = load_reversed(e, buf, &a, bytes);
    else if (known || !load_assumed(e, load, &v))
        return load_by_lane(e, load);
    return access_from_memory(e, n.type, v);
}

/* ---- stores ---- */

static void store_plain(kernel_emitter *e, loop_buf buf, emit_value v, emit_value p) {
    LLVMValueRef s = LLVMBuildStore(e->m->builder, v.v, p.v);
    describe(e, s, &e->buffers[buf], loop_buffer_of(e->k, buf)->type);
}

static void store_lane(kernel_emitter *e, loop_buf buf, loop_expr flat, emit_value v) {
    emit_affine a;
    bool known = emit_affine_of(e, flat, &a);
    assert(known && !a.lane);
    (void)known;
    int64_t bytes = (int64_t)dtype_bytes(loop_buffer_of(e->k, buf)->type);
    store_plain(e, buf, v, emit_affine_pointer(e, base_of(&e->buffers[buf]), &a, bytes));
}

/* The active lanes, one after the other. */
static void store_by_lane(kernel_emitter *e, loop_buf buf, loop_expr flat, emit_value v) {
    bool masked = e->mask;
    for (int i = 0; i < e->lanes; i++) {
        emit_value one = access_extract(e, v, i);
        LLVMBasicBlockRef behind = NULL;
        if (masked && i > 0) {
            emit_value here = emit_int(e, e->m->i64, i);
            emit_value inside = emit_compare(e, LLVMIntSLT, here, e->active);
            LLVMBasicBlockRef store = emit_new_block(e, "lane");
            behind = emit_new_block(e, "behind");
            LLVMBuildCondBr(e->m->builder, inside.v, store, behind);
            emit_set_block(e, store);
        }
        lane_scope s = access_enter_lane(e, i);
        e->vars[e->lane_var].kind = VAR_CONSTANT;
        store_lane(e, buf, flat, one);
        access_leave_lane(e, s);
        if (!behind) continue;
        LLVMBuildBr(e->m->builder, behind);
        emit_set_block(e, behind);
    }
    e->stamp = ++e->stamps; /* what was memoised may stand in a branch */
}

void emit_store(kernel_emitter *e, const loop_stmt *s) {
    dtype t = loop_buffer_of(e->k, s->buf)->type;
    emit_value v = access_to_memory(e, t, emit_expr(e, s->value));
    loop_expr flat = access_flat(e, loop_load(e->k, s->buf, s->indices));
    emit_affine a;
    bool known = emit_affine_of(e, flat, &a);
    if (e->buffers[s->buf].in_slots) {
        if (known)
            tile_store(e, s->buf, &a, v);
        else
            tile_store_by_lane(e, s->buf, flat, v);
        return;
    }
    if (e->lanes) v = emit_splat(e, v);
    if (known && a.lane == 0 && e->lanes == 0) {
        store_lane(e, s->buf, flat, v);
    } else if (known && a.lane == 1) {
        int64_t bytes = (int64_t)dtype_bytes(t);
        emit_value p = emit_affine_pointer(e, base_of(&e->buffers[s->buf]), &a, bytes);
        if (!e->mask) {
            store_plain(e, s->buf, v, p);
            return;
        }
        LLVMValueRef call = call_masked(e, "llvm.masked.store", LLVMTypeOf(v.v), v.v, p.v, e->mask,
                                        NULL, alignment(t));
        describe(e, call, &e->buffers[s->buf], t);
    } else {
        store_by_lane(e, s->buf, flat, v);
    }
}
