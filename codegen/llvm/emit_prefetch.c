/* emit_prefetch.c: operands that come from memory, and asking for them early. Processors look ahead
 * by themselves, but not beyond the end of a page. It pays for large buffers that a kernel reads a
 * few times: while it works on one panel, again and again, the next one is on its way to the second
 * cache; what is read once alone is asked for a page ahead. */
#include "codegen/llvm/emit.h"

#include <math.h>
#include <string.h>

enum { PAGE_BYTES = 4096 };

typedef struct {
    const kernel_emitter *e;
    const loop_stmt *loops[EMIT_MAX_DEPTH]; /* around the statement at hand */
    int depth;
    double *reads;  /* of every buffer: elements; infinite if that is not known */
    double *panel;  /* of every buffer: elements of the largest panel_of its loads */
    uint32_t *seen; /* of every expression: the statement that looked at it last */
    uint32_t statement;
} read_count;

/* Copies of an unrolled loop that do not move the access share one. */
static bool shares_access(const read_count *c, const loop_stmt *s, loop_expr load) {
    bool copies = s->loop == LOOP_UNROLL || s->loop == LOOP_VECTOR;
    return copies && !loop_uses_var(c->e->k, load, s->var);
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

/* Elements that the load walks until a loop around reads them again, or threads part. */
static double panel_of(const read_count *c, loop_expr load) {
    double elements = 1;
    for (int i = c->depth; i-- > 0;) {
        const loop_stmt *s = c->loops[i];
        int64_t extent;
        if (shares_access(c, s, load)) continue;
        if (s->loop == LOOP_PARALLEL || !loop_uses_var(c->e->k, load, s->var)) break;
        if (!loop_is_int(c->e->k, s->extent, &extent)) break;
        elements *= (double)extent;
    }
    return elements;
}

static void count_expr(read_count *c, loop_expr x) {
    if (!x || c->seen[x] == c->statement) return;
    c->seen[x] = c->statement;
    const loop_node *n = loop_get(c->e->k, x);
    if (n->op == LOOP_LOAD) {
        c->reads[n->i] += times_read(c, x);
        c->panel[n->i] = fmax(c->panel[n->i], panel_of(c, x));
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

/* How many bytes ahead the loads of a buffer ask for; 0: they leave that to the processor. */
static int64_t bytes_ahead(const kernel_emitter *e, const read_count *c, loop_buf buf) {
    enum { CACHE_BYTES = 1 << 20, MOST_READS = 32 };
    const loop_buffer *b = loop_buffer_of(e->k, buf);
    double elements = 1, bytes = (double)dtype_bytes(b->type);
    int64_t extent;
    if (!e->buffers[buf].invariant) return 0;
    for (int i = 0; i < b->rank; i++) {
        if (!loop_is_int(e->k, b->extents[i], &extent)) return 0;
        elements *= (double)extent;
    }
    if (elements * bytes < CACHE_BYTES || c->reads[buf] > MOST_READS * elements) return 0;
    double panel = c->panel[buf] * bytes;
    bool again = c->reads[buf] >= 1.5 * elements;
    bool fits = panel <= (double)e->m->machine->l2_bytes / 4;
    return again && fits && panel > PAGE_BYTES ? (int64_t)panel : PAGE_BYTES;
}

void emit_find_streams(kernel_emitter *e) {
    loop_kernel *k = e->k;
    read_count c = {.e = e};
    c.reads = ARENA_ARRAY(e->m->scratch, double, k->buffers.count);
    c.panel = ARENA_ARRAY(e->m->scratch, double, k->buffers.count);
    c.seen = ARENA_ARRAY(e->m->scratch, uint32_t, k->nodes.count);
    count_block(&c, k->body);
    for (loop_buf b = 0; b < k->buffers.count; b++) e->buffers[b].ahead = bytes_ahead(e, &c, b);
}

LLVMValueRef emit_prefetch(kernel_emitter *e, int64_t ahead, LLVMValueRef p) {
    enum { READ = 0, SECOND_CACHE = 2, DATA = 1 };
    static const char name[] = "llvm.prefetch";
    LLVMBuilderRef b = e->m->builder;
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(
        e->m->module, LLVMLookupIntrinsicID(name, strlen(name)), &e->m->pointer, 1);
    LLVMValueRef offset = LLVMConstInt(e->m->i64, (uint64_t)ahead, false);
    LLVMValueRef args[] = {
        LLVMBuildGEP2(b, e->m->i8, p, &offset, 1, ""), LLVMConstInt(e->m->i32, READ, false),
        LLVMConstInt(e->m->i32, SECOND_CACHE, false), LLVMConstInt(e->m->i32, DATA, false)};
    return LLVMBuildCall2(b, LLVMGlobalGetValueType(fn), fn, args, 4, "");
}
