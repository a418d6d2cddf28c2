/* schedule.c: a plain schedule for high-level synthesis. A loop without loops in it is a pipeline;
 * where it is short and constant it is replicated, and the loop around it is the pipeline. */
#include "codegen/hls/hls.h"

enum { MAX_COPIES = 8 };

static bool holds_loop(const loop_stmt *s) {
    for (; s; s = s->next)
        if (s->kind == LOOP_STMT_FOR || holds_loop(s->body) || holds_loop(s->otherwise))
            return true;
    return false;
}

/* Whether every loop in the block is replicated: then the loop around it can be a pipeline. */
static bool all_replicated(const loop_stmt *s) {
    for (; s; s = s->next) {
        if (s->kind == LOOP_STMT_FOR && s->loop != LOOP_HLS_UNROLL) return false;
        if (!all_replicated(s->body) || !all_replicated(s->otherwise)) return false;
    }
    return true;
}

static void schedule_block(loop_kernel *k, loop_stmt *s, bool outermost) {
    for (; s; s = s->next) {
        bool innermost = !holds_loop(s->body);
        schedule_block(k, s->body, outermost && s->kind != LOOP_STMT_FOR);
        schedule_block(k, s->otherwise, outermost);
        if (s->kind != LOOP_STMT_FOR || s->active) continue;
        int64_t n;
        bool is_short = loop_is_int(k, s->extent, &n) && n <= MAX_COPIES;
        if (innermost && is_short && !outermost)
            s->loop = LOOP_HLS_UNROLL;
        else
            s->loop = all_replicated(s->body) ? LOOP_HLS_PIPELINE : LOOP_SERIAL;
    }
}

void schedule_hls(loop_kernel *k, const target_machine *m, int rank) {
    (void)m, (void)rank;
    k->body = loop_copy(k, k->body, NULL, false);
    schedule_block(k, k->body, true);
}
