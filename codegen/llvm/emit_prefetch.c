/* emit_prefetch.c: operands that come from memory, and asking for them early. Processors look ahead
 * by themselves, but not beyond the end of a page. What a kernel reads once is asked for a page
 * ahead, vector by vector. What it reads a few times, panel by panel, is asked for at an even pace:
 * the whole operand in as many steps as the kernel has, one panel ahead. Asked for while its
 * predecessor is read for the first time, a panel would come no faster than the memory, and with
 * the buffers full that every other access needs too. */
#include "codegen/llvm/emit.h"

#include <math.h>
#include <string.h>

enum { PAGE_BYTES = 4096, LINE_BYTES = 64, PACE_BITS = 16 };

typedef struct {
    kernel_emitter *e;
    const loop_stmt *loops[EMIT_MAX_DEPTH]; /* around the statement at hand */
    int depth;
    double *reads;  /* of every buffer: elements; infinite if that is not known */
    uint32_t *seen; /* of every expression: the statement that looked at it last */
    uint32_t statement;
} read_count;

static bool is_copied(const loop_stmt *s) {
    return s->loop == LOOP_UNROLL || s->loop == LOOP_VECTOR;
}

/* Copies of an unrolled loop that do not move the access share one. */
static bool shares_access(const read_count *c, const loop_stmt *s, loop_expr load) {
    return is_copied(s) && !loop_uses_var(c->e->k, load, s->var);
}

static double times_read(const read_count *c, loop_expr load) {
    double times = 1;
    for (int i = 0; i < c->depth; i++) {
        int64_t extent;
        if (shares_access(c, c->loops[i], load)) continue;
        if (!loop_is_int(c->e->k, c->loops[i]->extent, &extent)) return INFINITY;
        times *= (double)extent;
    }
    return times;
}

/* Elements that the load walks before a loop around reads them again, or threads part. */
static int64_t panel_of(const read_count *c, loop_expr load) {
    int64_t elements = 1, extent;
    for (int i = c->depth; i-- > 0;) {
        const loop_stmt *s = c->loops[i];
        if (shares_access(c, s, load)) continue;
        if (s->loop == LOOP_PARALLEL || !loop_uses_var(c->e->k, load, s->var)) break;
        if (!loop_is_int(c->e->k, s->extent, &extent)) break;
        elements *= extent;
    }
    return elements;
}

static bool is_vector(const read_count *c, loop_expr load) {
    for (int i = 0; i < c->depth; i++)
        if (c->loops[i]->loop == LOOP_VECTOR && loop_uses_var(c->e->k, load, c->loops[i]->var))
            return true;
    return false;
}

/* Whether x goes on with v, and does not come round again and again. */
static bool goes_on_with(const loop_kernel *k, loop_expr x, loop_var v) {
    const loop_node *n = loop_get(k, x);
    if (n->op == LOOP_MOD || !loop_uses_var(k, x, v)) return false;
    if (n->op == LOOP_VAR) return (loop_var)n->i == v;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (goes_on_with(k, n->args[i], v)) return true;
    return false;
}

/* Notes the loops around a load of vectors: the innermost one is where its stream is asked for. */
static void add_stream(read_count *c, loop_buf buf, loop_expr load) {
    kernel_emitter *e = c->e;
    emit_stream s = {.buf = buf, .ahead = panel_of(c, load), .steps = 1};
    s.loops = ARENA_ARRAY(e->m->scratch, const loop_stmt *, (size_t)c->depth);
    for (int i = 0; i < c->depth; i++) {
        int64_t extent;
        if (is_copied(c->loops[i])) continue;
        if (!loop_is_int(e->k, c->loops[i]->extent, &extent)) return;
        if (extent == 1) continue;
        s.loops[s.depth++] = c->loops[i];
        s.steps *= (double)extent;
    }
    if (!s.depth) return;
    for (size_t i = 0; i < e->streams.count; i++) {
        const emit_stream *known = &e->streams.data[i];
        if (known->buf == buf && known->loops[known->depth - 1] == s.loops[s.depth - 1]) return;
    }
    s.in_order = goes_on_with(e->k, load, s.loops[0]->var);
    list_push(e->m->scratch, &e->streams, s);
}

static void count_expr(read_count *c, loop_expr x) {
    if (!x || c->seen[x] == c->statement) return;
    c->seen[x] = c->statement;
    const loop_node *n = loop_get(c->e->k, x);
    if (n->op == LOOP_LOAD) {
        c->reads[n->i] += times_read(c, x);
        if (c->e->buffers[n->i].invariant && is_vector(c, x)) add_stream(c, (loop_buf)n->i, x);
    }
    for (uint32_t i = 0; i < n->arg_count; i++) count_expr(c, n->args[i]);
}

static void count_block(read_count *c, const loop_stmt *s) {
    for (; s; s = s->next) {
        c->statement++;
        count_expr(c, s->condition);
        count_expr(c, s->value);
        for (uint32_t i = 0; i < s->index_count; i++) count_expr(c, s->indices[i]);
        bool loop = s->kind == LOOP_STMT_FOR;
        if (loop) c->loops[c->depth++] = s;
        count_block(c, s->body);
        c->depth -= loop;
        count_block(c, s->otherwise);
    }
}

/* Bytes of a buffer that nobody writes; 0 if they are not known. */
static double size_of(const kernel_emitter *e, loop_buf buf) {
    return e->buffers[buf].invariant ? loop_buffer_bytes(e->k, buf) : 0;
}

/* Whether the stream's operand is worth prefetches a step. */
static bool is_paced(const kernel_emitter *e, const emit_stream *s, double bytes, double reads) {
    enum { LEAST_BYTES = 128 << 10, MOST_READS = 64, MOST_LINES = 16 };
    bool fits = s->ahead <= e->m->machine->l2_bytes / 4;
    return e->m->cold && s->in_order && fits && bytes >= LEAST_BYTES && reads >= 1.5 &&
           reads <= MOST_READS && bytes / s->steps <= MOST_LINES * LINE_BYTES;
}

/* Whether loads of the operand ask for the next page themselves: it is read a few times at most, or
 * by panels that no cache near the core keeps. */
static bool is_streamed(const kernel_emitter *e, const emit_stream *s, double bytes, double reads) {
    enum { CACHE_BYTES = 1 << 20, FEW_READS = 8, MOST_READS = 32 };
    bool fits = s->ahead <= e->m->machine->l2_bytes / 4;
    return bytes >= CACHE_BYTES && reads <= (fits ? FEW_READS : MOST_READS);
}

void emit_find_streams(kernel_emitter *e) {
    loop_kernel *k = e->k;
    read_count c = {.e = e};
    size_t kept = 0;
    c.reads = ARENA_ARRAY(e->m->scratch, double, k->buffers.count);
    c.seen = ARENA_ARRAY(e->m->scratch, uint32_t, k->nodes.count);
    count_block(&c, k->body);
    for (size_t i = 0; i < e->streams.count; i++) {
        emit_stream s = e->streams.data[i];
        double element = (double)dtype_bytes(loop_buffer_of(k, s.buf)->type);
        double bytes = size_of(e, s.buf), reads = c.reads[s.buf] * element / bytes;
        s.ahead *= (int64_t)element;
        s.pace = (int64_t)(bytes / s.steps * (1 << PACE_BITS)) + 1;
        if (is_paced(e, &s, bytes, reads))
            e->streams.data[kept++] = s;
        else if (is_streamed(e, &s, bytes, reads))
            e->buffers[s.buf].streams = true;
    }
    e->streams.count = kept;
}

static LLVMValueRef prefetch(kernel_emitter *e, LLVMValueRef p) {
    enum { READ = 0, SECOND_CACHE = 2, DATA = 1 };
    static const char name[] = "llvm.prefetch";
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(
        e->m->module, LLVMLookupIntrinsicID(name, strlen(name)), &e->m->pointer, 1);
    LLVMValueRef args[] = {p, LLVMConstInt(e->m->i32, READ, false),
                           LLVMConstInt(e->m->i32, SECOND_CACHE, false),
                           LLVMConstInt(e->m->i32, DATA, false)};
    return LLVMBuildCall2(e->m->builder, LLVMGlobalGetValueType(fn), fn, args, 4, "");
}

LLVMValueRef emit_prefetch(kernel_emitter *e, LLVMValueRef p) {
    LLVMValueRef ahead = LLVMConstInt(e->m->i64, PAGE_BYTES, false);
    return prefetch(e, LLVMBuildGEP2(e->m->builder, e->m->i8, p, &ahead, 1, ""));
}

/* How many steps of the stream's loops came before this one. */
static emit_value steps_before(kernel_emitter *e, const emit_stream *s) {
    emit_value n = emit_int(e, e->m->i64, 0);
    for (int i = 0; i < s->depth; i++) {
        emit_value extent = emit_expr(e, s->loops[i]->extent);
        n = emit_binary(e, LLVMMul, n, extent);
        n = emit_binary(e, LLVMAdd, n, e->vars[s->loops[i]->var].value);
    }
    return n;
}

void emit_streams(kernel_emitter *e, const loop_stmt *loop) {
    for (size_t i = 0; i < e->streams.count; i++) {
        const emit_stream *s = &e->streams.data[i];
        if (s->loops[s->depth - 1] != loop) continue;
        e->stamp = ++e->stamps;
        emit_value n = steps_before(e, s);
        n = emit_binary(e, LLVMMul, n, emit_int(e, e->m->i64, s->pace));
        n = emit_binary(e, LLVMLShr, n, emit_int(e, e->m->i64, PACE_BITS));
        n = emit_binary(e, LLVMAdd, n, emit_int(e, e->m->i64, s->ahead));
        emit_value base = {e->buffers[s->buf].base, false, 0};
        for (int64_t line = 0; line << PACE_BITS < s->pace; line += LINE_BYTES) {
            emit_value at = emit_binary(e, LLVMAdd, n, emit_int(e, e->m->i64, line));
            prefetch(e, emit_make(e, PRIM_OFFSET, 0, e->m->pointer, (emit_value[]){base, at}, 2).v);
        }
    }
}
