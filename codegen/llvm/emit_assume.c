/* emit_assume.c: what a select's condition says about the indices of loads beneath it. Reading with
 * padding is lowered as select(0 <= i & i < n, x[min(max(i, 0), n - 1)], 0): in the lanes that
 * count the clamp does nothing, so that the access is contiguous, under a mask. */
#include "codegen/llvm/emit_access.h"

static bool has_conjunct(const kernel_emitter *e, loop_expr condition, loop_expr x) {
    if (condition == x) return true;
    const loop_node *n = loop_get(e->k, condition);
    return n->op == LOOP_AND && (has_conjunct(e, n->args[0], x) || has_conjunct(e, n->args[1], x));
}

/* Whether a <= b in all lanes that count. */
static bool is_below(kernel_emitter *e, loop_expr a, loop_expr b) {
    int64_t known;
    loop_expr forms[] = {
        loop_make(e->k, LOOP_LE, a, b, 0),
        loop_make(e->k, LOOP_LT, a, loop_add(e->k, b, loop_int(e->k, 1)), 0),
        loop_make(e->k, LOOP_NOT, loop_make(e->k, LOOP_LT, b, a, 0), 0, 0),
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (loop_is_int(e->k, forms[i], &known)) return known;
        for (const emit_assumption *s = e->assumed; s; s = s->outer)
            if (has_conjunct(e, s->condition, forms[i])) return true;
    }
    return false;
}

static bool is_sum(loop_op op) {
    return op == LOOP_ADD || op == LOOP_SUB || op == LOOP_MUL;
}

/* The index without its idle clamps. */
static loop_expr strip(kernel_emitter *e, loop_expr x) {
    if (!emit_uses_lane(e, x)) return x;
    loop_node n = *loop_get(e->k, x);
    if (is_sum(n.op)) {
        loop_expr a = strip(e, n.args[0]), b = strip(e, n.args[1]);
        return a == n.args[0] && b == n.args[1] ? x : loop_make(e->k, n.op, a, b, 0);
    }
    if (n.op != LOOP_MIN && n.op != LOOP_MAX) return x;
    bool first = emit_uses_lane(e, n.args[0]);
    loop_expr limit = n.args[first], inner = strip(e, n.args[!first]);
    if (emit_uses_lane(e, limit)) return x;
    bool idle = n.op == LOOP_MIN ? is_below(e, inner, limit) : is_below(e, limit, inner);
    return idle ? inner : x;
}

loop_expr assume_load(kernel_emitter *e, loop_expr load) {
    loop_node n = *loop_get(e->k, load);
    loop_expr indices[LOOP_MAX_RANK];
    for (uint32_t i = 0; i < n.arg_count; i++) indices[i] = strip(e, n.args[i]);
    return loop_load(e->k, (loop_buf)n.i, indices);
}

static bool clamps_lane(const kernel_emitter *e, loop_expr index) {
    if (!emit_uses_lane(e, index)) return false;
    const loop_node *n = loop_get(e->k, index);
    if (n->op == LOOP_MIN || n->op == LOOP_MAX) return true;
    return is_sum(n->op) && (clamps_lane(e, n->args[0]) || clamps_lane(e, n->args[1]));
}

static bool holds_clamped_load(const kernel_emitter *e, loop_expr x, int depth) {
    enum { MAX_DEPTH = 6 };
    const loop_node *n = loop_get(e->k, x);
    for (uint32_t i = 0; i < n->arg_count && depth < MAX_DEPTH; i++)
        if (n->op == LOOP_LOAD ? clamps_lane(e, n->args[i])
                               : holds_clamped_load(e, n->args[i], depth + 1))
            return true;
    return false;
}

bool emit_under(kernel_emitter *e, loop_expr condition, emit_value mask, loop_expr value,
                emit_value *out) {
    if (!e->lanes || !mask.wide || !holds_clamped_load(e, value, 0)) return false;
    emit_assumption s = {e->assumed, condition, mask};
    uint32_t stamp = e->stamp;
    if (s.outer) s.mask = emit_binary(e, LLVMAnd, mask, s.outer->mask);
    e->assumed = &s;
    e->stamp =
        ++e->stamps; /* other lanes hold anything: values are good beneath this select alone */
    *out = emit_expr(e, value);
    e->stamp = stamp;
    e->assumed = s.outer;
    return true;
}
