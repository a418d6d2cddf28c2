/* emit_prefetch.c: operands that come from memory, and asking for them early. Processors look ahead
 * by themselves, but not beyond the end of a page. It pays for buffers that no cache near the core
 * holds and that a kernel reads a few times at most: where an operand is read again and again, it
 * comes from a cache, and asking for it only costs. */
#include "codegen/llvm/emit.h"

#include <math.h>
#include <string.h>

typedef struct {
    const kernel_emitter *e;
    const loop_stmt *loops[EMIT_MAX_DEPTH]; /* around the statement at hand */
    int depth;
    double *reads;  /* of every buffer: elements; infinite if that is not known */
    uint32_t *seen; /* of every expression: the statement that looked at it last */
    uint32_t statement;
} read_count;

/* Copies of an unrolled loop that do not move the access share one. */
static double times_read(const read_count *c, loop_expr load) {
    const loop_kernel *k = c->e->k;
    double times = 1;
    for (int i = 0; i < c->depth; i++) {
        const loop_stmt *s = c->loops[i];
        bool copies = s->loop == LOOP_UNROLL || s->loop == LOOP_VECTOR;
        int64_t extent;
        if (copies && !loop_uses_var(k, load, s->var)) continue;
        if (!loop_is_int(k, s->extent, &extent)) return INFINITY;
        times *= (double)extent;
    }
    return times;
}

static void count_expr(read_count *c, loop_expr x) {
    if (!x || c->seen[x] == c->statement) return;
    c->seen[x] = c->statement;
    const loop_node *n = loop_get(c->e->k, x);
    if (n->op == LOOP_LOAD) c->reads[n->i] += times_read(c, x);
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

static bool streams(const kernel_emitter *e, const loop_buffer *b, double reads) {
    enum { CACHE_BYTES = 1 << 20, MOST_READS = 8 };
    double elements = 1;
    int64_t extent;
    for (int i = 0; i < b->rank; i++) {
        if (!loop_is_int(e->k, b->extents[i], &extent)) return false;
        elements *= (double)extent;
    }
    return elements * (double)dtype_bytes(b->type) >= CACHE_BYTES && reads <= MOST_READS * elements;
}

void emit_find_streams(kernel_emitter *e) {
    loop_kernel *k = e->k;
    read_count c = {.e = e};
    c.reads = ARENA_ARRAY(e->m->scratch, double, k->buffers.count);
    c.seen = ARENA_ARRAY(e->m->scratch, uint32_t, k->nodes.count);
    count_block(&c, k->body);
    for (loop_buf b = 0; b < k->buffers.count; b++)
        e->buffers[b].streams =
            e->buffers[b].invariant && streams(e, loop_buffer_of(k, b), c.reads[b]);
}

void emit_prefetch(kernel_emitter *e, emit_value p) {
    enum { PAGE = 4096, READ = 0, SECOND_CACHE = 2, DATA = 1 };
    static const char name[] = "llvm.prefetch";
    LLVMBuilderRef b = e->m->builder;
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(
        e->m->module, LLVMLookupIntrinsicID(name, strlen(name)), &e->m->pointer, 1);
    LLVMValueRef ahead = LLVMConstInt(e->m->i64, PAGE, false);
    LLVMValueRef args[] = {
        LLVMBuildGEP2(b, e->m->i8, p.v, &ahead, 1, ""), LLVMConstInt(e->m->i32, READ, false),
        LLVMConstInt(e->m->i32, SECOND_CACHE, false), LLVMConstInt(e->m->i32, DATA, false)};
    LLVMBuildCall2(b, LLVMGlobalGetValueType(fn), fn, args, 4, "");
}
