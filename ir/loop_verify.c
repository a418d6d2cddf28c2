/* loop_verify.c: whether a kernel keeps the rules of loop.h: types of operands, variables used
 * inside their loops only, buffers with as many indices as axes, and loop kinds where they may
 * stand. What is reported names the statement by its text. */
#include "ir/loop_internal.h"

#include <string.h>

typedef struct {
    const loop_kernel *k;
    diag *d;
    const char *stage;
    bool *open;    /* variables of the loops around */
    uint8_t *fine; /* expressions whose own types were checked */
    bool ok;
} verifier;

static bool report(verifier *v, const char *format, const char *what) {
    v->ok = diag_error(v->d, v->k->name, v->stage, NULL, format, what);
    return false;
}

static const char *text_of(verifier *v, loop_expr e) {
    return loop_expr_text(v->k, v->d->memory, e);
}

/* The types of e and of all beneath it, each once in a kernel. */
static void check_expr(verifier *v, loop_expr e) {
    if (!e || e >= v->k->nodes.count) {
        report(v, "%s", "an expression is missing");
        return;
    }
    if (v->fine[e]) return;
    v->fine[e] = 1;
    const loop_node *n = loop_get(v->k, e);
    for (uint32_t i = 0; i < n->arg_count; i++) {
        if (!n->args[i] || n->args[i] >= e) {
            report(v, "%s", "an operand is made after its operation");
            return;
        }
        check_expr(v, n->args[i]);
    }
    if (n->op == LOOP_LOAD) {
        if ((size_t)n->i >= v->k->buffers.count ||
            v->k->buffers.data[n->i].rank != (int)n->arg_count ||
            v->k->buffers.data[n->i].type != n->type)
            report(v, "a load that does not fit its buffer: %s", text_of(v, e));
        for (uint32_t i = 0; i < n->arg_count; i++)
            if (loop_type(v->k, n->args[i]) != DTYPE_I64)
                report(v, "an index that is no i64: %s", text_of(v, e));
    } else if (n->op > LOOP_LOAD) {
        const char *error = loop_type_error(v->k, n->op, n->type, n->args);
        if (error) {
            report(v, "%s",
                   arena_printf(v->d->memory, "%s %s: %s", loop_ops[n->op].name, error,
                                text_of(v, e)));
        }
    }
}

/* Whether e holds a variable of no loop around. */
static bool uses_closed(const verifier *v, loop_expr e, uint32_t *stamp, uint32_t traversal) {
    if (stamp[e] == traversal || !loop_info(v->k, e)->vars) return false;
    stamp[e] = traversal;
    const loop_node *n = loop_get(v->k, e);
    if (n->op == LOOP_VAR) return (size_t)n->i >= v->k->vars.count || !v->open[n->i];
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (uses_closed(v, n->args[i], stamp, traversal)) return true;
    return false;
}

static void check_use(verifier *v, loop_expr e, dtype t) {
    check_expr(v, e);
    if (!v->ok) return;
    uint32_t *stamp, *memo, traversal = loop_begin_traversal(v->k, &stamp, &memo);
    if (uses_closed(v, e, stamp, traversal))
        report(v, "a variable outside of its loop: %s", text_of(v, e));
    if (t != DTYPE_NONE && loop_type(v->k, e) != t)
        report(v, "an expression of the wrong type: %s", text_of(v, e));
}

static void check_block(verifier *v, const loop_stmt *s, bool outermost);

static void check_for(verifier *v, const loop_stmt *s, bool outermost) {
    int64_t n;
    check_use(v, s->extent, DTYPE_I64);
    if (s->active) check_use(v, s->active, DTYPE_I64);
    if (!v->ok) return;
    if (s->var >= v->k->vars.count || v->open[s->var]) {
        report(v, "%s", "a loop over a variable of a loop around it");
        return;
    }
    const char *name = v->k->vars.data[s->var].name;
    if (s->active && s->loop != LOOP_VECTOR)
        report(v, "loop %s: only vector loops have active lanes", name);
    if ((s->loop == LOOP_VECTOR || s->loop == LOOP_UNROLL) && !loop_is_int(v->k, s->extent, &n))
        report(v, "loop %s: its kind needs a constant extent", name);
    if (s->loop == LOOP_PARALLEL && !outermost)
        report(v, "loop %s: a parallel loop is the whole of its kernel", name);
    v->open[s->var] = true;
    check_block(v, s->body, false);
    v->open[s->var] = false;
}

static void check_store(verifier *v, const loop_stmt *s) {
    if (s->buf >= v->k->buffers.count || v->k->buffers.data[s->buf].rank != (int)s->index_count) {
        report(v, "%s", "a store that does not fit its buffer");
        return;
    }
    const loop_buffer *b = &v->k->buffers.data[s->buf];
    if (b->space == LOOP_SPACE_INPUT) report(v, "a store to input %%%s", b->name);
    for (uint32_t i = 0; i < s->index_count; i++) check_use(v, s->indices[i], DTYPE_I64);
    check_use(v, s->value, b->type);
}

static void check_block(verifier *v, const loop_stmt *s, bool outermost) {
    outermost = outermost && s && !s->next;
    for (; s && v->ok; s = s->next) {
        switch (s->kind) {
        case LOOP_STMT_FOR: check_for(v, s, outermost); break;
        case LOOP_STMT_STORE: check_store(v, s); break;
        case LOOP_STMT_IF:
            check_use(v, s->condition, DTYPE_BOOL);
            check_block(v, s->body, false);
            check_block(v, s->otherwise, false);
            break;
        case LOOP_STMT_CHECK: check_use(v, s->condition, DTYPE_BOOL); break;
        }
    }
}

static void check_buffer(verifier *v, const loop_buffer *b) {
    int64_t n;
    if (b->rank < 0 || b->rank > LOOP_MAX_RANK) {
        report(v, "buffer %%%s: too many axes", b->name);
        return;
    }
    for (int i = 0; i < b->rank; i++) {
        check_use(v, b->extents[i], DTYPE_I64);
        if (b->strides) check_use(v, b->strides[i], DTYPE_I64);
        if (v->ok && b->space > LOOP_SPACE_OUTPUT &&
            (!loop_is_int(v->k, b->extents[i], &n) || n < 0))
            report(v, "buffer %%%s: local memory has constant extents", b->name);
    }
}

bool loop_verify(const loop_kernel *k, diag *d, const char *stage) {
    verifier v = {.k = k, .d = d, .stage = stage, .ok = true};
    v.open = ARENA_ARRAY(k->memory, bool, k->vars.count);
    v.fine = ARENA_ARRAY(k->memory, uint8_t, k->nodes.count);
    for (size_t i = 0; i < k->buffers.count && v.ok; i++) check_buffer(&v, &k->buffers.data[i]);
    check_block(&v, k->body, true);
    return v.ok;
}
