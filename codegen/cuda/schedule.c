/* schedule.c: a plain schedule for GPUs. Every iteration of the outermost independent loops becomes
 * a thread; what is inside runs in order. Loops beyond the last two are merged into one grid axis.
 */
#include "codegen/cuda/cuda.h"
#include "codegen/transform.h"

enum { LINE_THREADS = 256, SQUARE_THREADS = 16 };

static loop_stmt *serial_block(loop_kernel *k, const loop_stmt *s) {
    loop_stmt *out = loop_copy(k, s, NULL, false);
    for (loop_stmt *x = out; x; x = x->next) {
        bool open = x->loop == LOOP_INDEPENDENT || x->loop == LOOP_REDUCE;
        if (x->kind == LOOP_STMT_FOR && open) x->loop = LOOP_SERIAL;
        x->body = serial_block(k, x->body);
        x->otherwise = serial_block(k, x->otherwise);
    }
    return out;
}

/* An axis of the nest as block * threads + thread. */
typedef struct {
    loop_var block, thread;
    loop_expr blocks, threads;
    loop_expr index;  /* what replaces the axis's variable */
    loop_expr inside; /* false in threads past the end */
} grid_axis;

static grid_axis cut_axis(loop_kernel *k, loop_expr extent, int64_t threads) {
    grid_axis g = {.threads = loop_int(k, threads)};
    g.blocks = loop_floordiv(k, loop_add(k, extent, loop_int(k, threads - 1)), g.threads);
    g.block = loop_add_var(k, "b", g.blocks);
    g.thread = loop_add_var(k, "t", g.threads);
    g.index =
        loop_add(k, loop_mul(k, loop_var_expr(k, g.block), g.threads), loop_var_expr(k, g.thread));
    g.inside = loop_lt(k, g.index, extent);
    return g;
}

/* The variables of axes [0, count) from one index over all of them; returns its extent. */
static loop_expr merge_axes(loop_kernel *k, const loop_nest *n, int count, loop_expr *with,
                            loop_var *merged) {
    loop_expr all = loop_int(k, 1);
    for (int i = 0; i < count; i++) all = loop_mul(k, all, n->axes[i].extent);
    *merged = loop_add_var(k, "g", all);
    loop_expr rest = loop_var_expr(k, *merged);
    for (int i = count - 1; i >= 0; i--) {
        loop_expr extent = n->axes[i].extent;
        with[n->axes[i].var] = i ? loop_mod(k, rest, extent) : rest;
        rest = loop_floordiv(k, rest, extent);
    }
    return all;
}

static bool free_of_nest(const loop_kernel *k, const loop_nest *n) {
    for (int i = 0; i < n->count; i++)
        for (int j = 0; j < i; j++)
            if (loop_uses_var(k, n->axes[i].extent, n->axes[j].var)) return false;
    return true;
}

void schedule_cuda(loop_kernel *k, const target_machine *m, int rank) {
    (void)m, (void)rank;
    const loop_stmt *root = k->body;
    bool nest_alone =
        root && !root->next && root->kind == LOOP_STMT_FOR && root->loop == LOOP_INDEPENDENT;
    loop_nest n = {.count = 0};
    if (nest_alone) {
        n = transform_nest(root);
        transform_collapse(k, &n);
    }
    if (!n.count || !free_of_nest(k, &n)) {
        k->body = serial_block(k, k->body);
        return;
    }
    int inner = n.count > 1 ? 2 : 1, outer = n.count - inner;
    size_t variables = k->vars.count;
    loop_expr *with = ARENA_ARRAY(k->memory, loop_expr, variables + 8);
    loop_var merged = 0;
    loop_expr planes = outer ? merge_axes(k, &n, outer, with, &merged) : 0;
    grid_axis x =
        cut_axis(k, n.axes[n.count - 1].extent, inner == 1 ? LINE_THREADS : SQUARE_THREADS);
    with[n.axes[n.count - 1].var] = x.index;
    loop_expr inside = x.inside;
    grid_axis y = {0};
    if (inner > 1) {
        y = cut_axis(k, n.axes[n.count - 2].extent, SQUARE_THREADS);
        with[n.axes[n.count - 2].var] = y.index;
        inside = loop_and(k, y.inside, inside);
    }
    loop_stmt *body = loop_copy(k, n.body, with, false);
    int64_t always;
    body = serial_block(k, body);
    if (!loop_is_int(k, inside, &always)) body = loop_if(k, inside, body, NULL);
    body = loop_for(k, LOOP_GPU_THREAD_X, x.thread, x.threads, body);
    if (inner > 1) body = loop_for(k, LOOP_GPU_THREAD_Y, y.thread, y.threads, body);
    body = loop_for(k, LOOP_GPU_BLOCK_X, x.block, x.blocks, body);
    if (inner > 1) body = loop_for(k, LOOP_GPU_BLOCK_Y, y.block, y.blocks, body);
    if (outer) body = loop_for(k, LOOP_GPU_BLOCK_Z, merged, planes, body);
    k->body = body;
}
