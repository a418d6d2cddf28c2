/* emit_tile.c: which buffers live where, and tiles in registers. A tile whose indices are all
 * constant after unrolling and vectorising is cut into slots of one vector each; LLVM promotes the
 * slots. A vector access that is narrower than a slot, or lies across two, is put together from
 * them. */
#include "codegen/llvm/emit_access.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LANES = 256, MAX_SLOTS = 1024 };

/* ---- loops, as far as places depend on them ---- */

bool emit_is_unrolled(const kernel_emitter *e, const loop_stmt *s, int64_t *count) {
    if (!loop_is_int(e->k, s->extent, count)) return false;
    if (s->loop == LOOP_VECTOR) return *count <= 1;
    return s->loop == LOOP_UNROLL || *count <= 1;
}

/* Whether the block means the same when all lanes run at once. */
static bool vectorizes(const kernel_emitter *e, const loop_stmt *s, loop_var lane) {
    for (; s; s = s->next) {
        bool moves = false;
        switch (s->kind) {
        case LOOP_STMT_FOR:
            if (s->loop == LOOP_VECTOR || s->active || loop_uses_var(e->k, s->extent, lane))
                return false;
            break;
        case LOOP_STMT_STORE:
            for (uint32_t i = 0; i < s->index_count; i++)
                moves |= loop_uses_var(e->k, s->indices[i], lane);
            if (!moves) return false;
            break;
        default:
            if (s->kind == LOOP_STMT_CHECK || loop_uses_var(e->k, s->condition, lane)) return false;
        }
        if (!vectorizes(e, s->body, lane) || !vectorizes(e, s->otherwise, lane)) return false;
    }
    return true;
}

bool emit_runs_as_vector(const kernel_emitter *e, const loop_stmt *s, int64_t *lanes) {
    if (s->loop != LOOP_VECTOR || !loop_is_int(e->k, s->extent, lanes)) return false;
    if (*lanes < 2 || *lanes > MAX_LANES || e->lanes) return false;
    if (s->active && loop_uses_var(e->k, s->active, s->var)) return false;
    return vectorizes(e, s->body, s->var);
}

/* ---- places ---- */

typedef enum { SCAN_LOOP, SCAN_UNROLLED, SCAN_LANE } scan_kind;

typedef struct {
    kernel_emitter *e;
    scan_kind *vars;
    int64_t *extents; /* of unrolled variables and lanes */
    uint32_t *seen;   /* of every expression: the statement that looked at it last */
    size_t seen_count;
    uint32_t statement;
} place_scan;

static bool is_fixed(const place_scan *p, loop_expr x, bool *lane, int64_t *lanes) {
    const loop_node *n = loop_get(p->e->k, x);
    if (n->op == LOOP_LOAD || n->op == LOOP_DIM) return false;
    if (n->op == LOOP_VAR) {
        if (p->vars[n->i] == SCAN_LANE) {
            *lane = true;
            *lanes = p->extents[n->i];
        }
        return p->vars[n->i] != SCAN_LOOP;
    }
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (!is_fixed(p, n->args[i], lane, lanes)) return false;
    return true;
}

static void scan_access(place_scan *p, loop_buf buf, const loop_expr *indices, uint32_t count) {
    emit_buffer *b = &p->e->buffers[buf];
    bool lane = false;
    int64_t lanes = 1;
    for (uint32_t i = 0; i < count && b->in_slots; i++)
        b->in_slots = is_fixed(p, indices[i], &lane, &lanes);
    if (lane && lanes > b->width) b->width = (int)lanes;
}

static void scan_expr(place_scan *p, loop_expr x) {
    if (!x || p->seen[x] == p->statement) return;
    p->seen[x] = p->statement;
    const loop_node *n = loop_get(p->e->k, x);
    if (n->op == LOOP_LOAD) scan_access(p, (loop_buf)n->i, n->args, n->arg_count);
    for (uint32_t i = 0; i < n->arg_count; i++) scan_expr(p, n->args[i]);
}

static void scan_block(place_scan *p, const loop_stmt *s) {
    for (; s; s = s->next) {
        int64_t count = 0, lanes = 0;
        p->statement++;
        if (s->kind == LOOP_STMT_FOR) {
            int saved = p->e->lanes;
            bool vector = emit_runs_as_vector(p->e, s, &lanes);
            p->vars[s->var] = vector                              ? SCAN_LANE
                              : emit_is_unrolled(p->e, s, &count) ? SCAN_UNROLLED
                                                                  : SCAN_LOOP;
            p->extents[s->var] = vector ? lanes : count;
            scan_expr(p, s->extent);
            scan_expr(p, s->active);
            if (vector) p->e->lanes = (int)lanes;
            scan_block(p, s->body);
            p->e->lanes = saved;
            continue;
        }
        scan_expr(p, s->condition);
        scan_expr(p, s->value);
        for (uint32_t i = 0; i < s->index_count; i++) scan_expr(p, s->indices[i]);
        if (s->kind == LOOP_STMT_STORE) scan_access(p, s->buf, s->indices, s->index_count);
        scan_block(p, s->body);
        scan_block(p, s->otherwise);
    }
}

static int64_t element_count(const kernel_emitter *e, const loop_buffer *b) {
    int64_t total = 1, n;
    for (int i = 0; i < b->rank; i++) {
        bool constant = loop_is_int(e->k, b->extents[i], &n);
        assert(constant && n >= 0);
        (void)constant;
        total *= n;
    }
    return total;
}

static LLVMValueRef make_alloca(kernel_emitter *e, LLVMTypeRef type, const char *name) {
    LLVMBuilderRef b = e->m->builder;
    LLVMPositionBuilderBefore(b, LLVMGetBasicBlockTerminator(e->levels[0].prologue));
    LLVMValueRef v = LLVMBuildAlloca(b, type, name);
    LLVMPositionBuilderAtEnd(b, e->block);
    return v;
}

static void place_local(kernel_emitter *e, loop_buf buf) {
    const loop_buffer *source = loop_buffer_of(e->k, buf);
    emit_buffer *b = &e->buffers[buf];
    int64_t count = element_count(e, source);
    LLVMTypeRef type = emit_memory_type(e->m, source->type);
    if (b->in_slots && !source->strides && (count + b->width - 1) / b->width <= MAX_SLOTS) {
        b->slot_count = (size_t)((count + b->width - 1) / b->width);
        b->slots = ARENA_ARRAY(e->m->scratch, LLVMValueRef, b->slot_count);
        b->slot_type = b->width > 1 ? LLVMVectorType(type, (unsigned)b->width) : type;
        for (size_t i = 0; i < b->slot_count; i++)
            b->slots[i] = make_alloca(e, b->slot_type, source->name);
        return;
    }
    b->in_slots = false;
    b->base = make_alloca(e, LLVMArrayType2(type, (uint64_t)(count ? count : 1)), source->name);
    LLVMSetAlignment(b->base, 64);
    e->stack_bytes += (count * (int64_t)dtype_bytes(source->type) + 63) / 64 * 64;
}

/* A list of one scope for every parameter but those of alias group `group` (itself, if 0). */
static void describe_aliases(kernel_emitter *e) {
    LLVMContextRef c = e->m->context;
    size_t n = e->k->buffers.count, length;
    const char *name = LLVMGetValueName2(e->fn, &length);
    LLVMMetadataRef text = LLVMMDStringInContext2(c, name, length);
    LLVMMetadataRef domain = LLVMMDNodeInContext2(c, &text, 1);
    LLVMMetadataRef *scopes = ARENA_ARRAY(e->m->scratch, LLVMMetadataRef, n + 1);
    LLVMMetadataRef *list = ARENA_ARRAY(e->m->scratch, LLVMMetadataRef, n + 1);
    for (size_t i = 0; i < n; i++) {
        const loop_buffer *b = &e->k->buffers.data[i];
        if (b->space > LOOP_SPACE_OUTPUT) continue;
        const char *scope =
            arena_printf(e->m->scratch, "%s.%s", name,
                         b->alias ? arena_printf(e->m->scratch, "#%u", b->alias) : b->name);
        LLVMMetadataRef parts[] = {LLVMMDStringInContext2(c, scope, strlen(scope)), domain};
        scopes[i] = LLVMMDNodeInContext2(c, parts, 2);
    }
    for (size_t i = 0; i < n; i++) {
        if (!scopes[i]) continue;
        size_t count = 0;
        for (size_t j = 0; j < n; j++)
            if (scopes[j] && scopes[j] != scopes[i]) list[count++] = scopes[j];
        e->buffers[i].scope = LLVMMDNodeInContext2(c, &scopes[i], 1);
        e->buffers[i].others = LLVMMDNodeInContext2(c, list, count);
    }
}

static void place_parameter(kernel_emitter *e, loop_buf buf, int64_t word) {
    const loop_buffer *source = loop_buffer_of(e->k, buf);
    emit_value at = emit_int(e, e->m->i64, word * 8), frame = {e->frame, false, 0};
    emit_value p = emit_make(e, PRIM_OFFSET, 0, e->m->pointer, (emit_value[]){frame, at}, 2);
    e->buffers[buf].base = emit_make(e, PRIM_LOAD, 0, e->m->pointer, &p, 1).v;
    e->buffers[buf].invariant = source->space == LOOP_SPACE_INPUT && !source->alias;
}

void emit_place_buffers(kernel_emitter *e) {
    loop_kernel *k = e->k;
    int64_t word = 1;
    place_scan p = {.e = e};
    p.vars = ARENA_ARRAY(e->m->scratch, scan_kind, k->vars.count + 1);
    p.extents = ARENA_ARRAY(e->m->scratch, int64_t, k->vars.count + 1);
    p.seen = ARENA_ARRAY(e->m->scratch, uint32_t, k->nodes.count);
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        e->buffers[b].in_slots = k->buffers.data[b].space == LOOP_SPACE_TILE;
        e->buffers[b].width = 1;
    }
    scan_block(&p, k->body);
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        if (k->buffers.data[b].space <= LOOP_SPACE_OUTPUT)
            place_parameter(e, b, word++);
        else
            place_local(e, b);
    }
    describe_aliases(e);
}

/* ---- tiles in slots ---- */

static LLVMValueRef slot_at(const kernel_emitter *e, loop_buf buf, int64_t at) {
    const emit_buffer *b = &e->buffers[buf];
    assert(at >= 0 && (size_t)(at / b->width) < b->slot_count);
    return b->slots[at / b->width];
}

static emit_value read_slot(kernel_emitter *e, loop_buf buf, int64_t at) {
    LLVMValueRef v =
        LLVMBuildLoad2(e->m->builder, e->buffers[buf].slot_type, slot_at(e, buf, at), "");
    return (emit_value){v, e->buffers[buf].width > 1, LEVEL_HERE};
}

static void write_slot(kernel_emitter *e, loop_buf buf, int64_t at, emit_value v) {
    LLVMBuildStore(e->m->builder, v.v, slot_at(e, buf, at));
}

static emit_value read_element(kernel_emitter *e, loop_buf buf, int64_t at) {
    emit_value v = access_extract(e, read_slot(e, buf, at), (int)(at % e->buffers[buf].width));
    v.wide = false;
    return v;
}

static void write_element(kernel_emitter *e, loop_buf buf, int64_t at, emit_value v) {
    int width = e->buffers[buf].width;
    if (width > 1) {
        emit_value whole = read_slot(e, buf, at);
        whole.v =
            LLVMBuildInsertElement(e->m->builder, whole.v, v.v,
                                   LLVMConstInt(e->m->i32, (unsigned)(at % width), false), "");
        v = whole;
    }
    write_slot(e, buf, at, v);
}

/* The constant position of one lane. */
static int64_t position_of_lane(kernel_emitter *e, loop_expr flat, int lane) {
    emit_affine a;
    LLVMValueRef mask = e->mask;
    e->mask = NULL; /* every lane has its place in a tile */
    lane_scope s = access_enter_lane(e, lane);
    bool known = emit_affine_of(e, flat, &a);
    access_leave_lane(e, s);
    e->mask = mask;
    assert(known && !a.count && !a.lane);
    (void)known;
    return a.constant;
}

emit_value tile_load_by_lane(kernel_emitter *e, loop_expr flat, loop_buf b) {
    emit_value v = {0};
    for (int i = 0; i < e->lanes; i++)
        v = access_insert(e, v, read_element(e, b, position_of_lane(e, flat, i)), i);
    return v;
}

emit_value tile_load(kernel_emitter *e, loop_buf b, const emit_affine *at) {
    int64_t first = at->constant;
    int width = e->buffers[b].width, offset = (int)(first % width), lanes[MAX_LANES];
    assert(!at->count);
    if (!at->lane) return read_element(e, b, first);
    if (at->lane != 1 || offset + e->lanes > width) {
        emit_value v = {0};
        for (int i = 0; i < e->lanes; i++)
            v = access_insert(e, v, read_element(e, b, first + i * at->lane), i);
        return v;
    }
    emit_value whole = read_slot(e, b, first);
    if (e->lanes == width) return whole;
    for (int i = 0; i < e->lanes; i++) lanes[i] = offset + i;
    return access_shuffle(e, whole, (emit_value){0}, lanes, e->lanes);
}

/* Position `at` takes lane i of v if that lane is active. */
static void store_tile_lane(kernel_emitter *e, loop_buf b, int64_t at, emit_value v, int i) {
    emit_value one = access_extract(e, v, i);
    if (e->mask) {
        emit_value inside = emit_compare(e, LLVMIntSLT, emit_int(e, e->m->i64, i), e->active);
        one = emit_select(e, inside, one, read_element(e, b, at));
    }
    write_element(e, b, at, one);
}

void tile_store_by_lane(kernel_emitter *e, loop_buf b, loop_expr flat, emit_value v) {
    v = emit_splat(e, v);
    for (int i = 0; i < e->lanes; i++) store_tile_lane(e, b, position_of_lane(e, flat, i), v, i);
}

void tile_store(kernel_emitter *e, loop_buf b, const emit_affine *at, emit_value v) {
    int64_t first = at->constant;
    int width = e->buffers[b].width, offset = (int)(first % width);
    assert(!at->count);
    if (!e->lanes) {
        write_element(e, b, first, v);
        return;
    }
    v = emit_splat(e, v);
    if (at->lane != 1 || offset + e->lanes > width) {
        for (int i = 0; i < e->lanes; i++) store_tile_lane(e, b, first + i * at->lane, v, i);
        return;
    }
    if (e->mask) {
        emit_value mask = {e->mask, true, LEVEL_HERE};
        v = emit_select(e, mask, v, tile_load(e, b, at));
    }
    if (e->lanes < width) {
        int lanes[MAX_LANES];
        for (int i = 0; i < width; i++) lanes[i] = i < e->lanes ? i : -1;
        emit_value spread = access_shuffle(e, v, (emit_value){0}, lanes, width);
        for (int i = 0; i < width; i++)
            lanes[i] = i >= offset && i < offset + e->lanes ? width + i - offset : i;
        v = access_shuffle(e, read_slot(e, b, first), spread, lanes, width);
    }
    write_slot(e, b, first, v);
}
