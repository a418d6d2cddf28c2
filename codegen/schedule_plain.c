/* schedule_plain.c: the schedule that decides nothing: loops run in order, and where the kernel is
 * one independent loop that loop may be split over threads. Portable C and -O0 use it; it is also
 * what optimised schedules are compared with. */
#include "codegen/target.h"

static loop_stmt *plain_block(loop_kernel *k, const loop_stmt *s) {
    loop_stmt *out = NULL;
    for (; s; s = s->next) {
        loop_stmt *made = ARENA_NEW(k->memory, loop_stmt);
        *made = *s;
        made->next = NULL;
        bool open = s->loop == LOOP_INDEPENDENT || s->loop == LOOP_REDUCE;
        if (s->kind == LOOP_STMT_FOR && open) made->loop = LOOP_SERIAL;
        made->body = plain_block(k, s->body);
        made->otherwise = plain_block(k, s->otherwise);
        out = loop_join(out, made);
    }
    return out;
}

void schedule_plain(loop_kernel *k, const target_machine *m, int rank) {
    (void)m, (void)rank;
    bool parallel = k->body && !k->body->next && k->body->kind == LOOP_STMT_FOR &&
                    k->body->loop == LOOP_INDEPENDENT;
    k->body = plain_block(k, k->body);
    if (parallel) k->body->loop = LOOP_PARALLEL;
}
