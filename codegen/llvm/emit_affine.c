/* emit_affine.c: positions as sums: a constant, a multiple of the lane, and uniform values with
 * coefficients. The constant becomes the displacement of an address, so that the copies of an
 * unrolled access share one base. */
#include "codegen/llvm/emit.h"

#include <assert.h>

bool emit_uses_lane(const kernel_emitter *e, loop_expr x) {
    return e->lanes && loop_uses_var(e->k, x, e->lane_var);
}

static void add_term(emit_affine *a, emit_value v, int64_t coefficient, bool *ok) {
    int64_t number;
    if (emit_is_int(v, &number)) {
        a->constant += number * coefficient;
        return;
    }
    int i = 0;
    while (i < a->count && a->terms[i].value.v != v.v) i++;
    if (i == AFFINE_TERMS) {
        *ok = false;
        return;
    }
    if (i == a->count) {
        a->terms[a->count].value = v;
        a->terms[a->count++].coefficient = 0;
    }
    a->terms[i].coefficient += coefficient;
    if (a->terms[i].coefficient) return;
    for (a->count--; i < a->count; i++) a->terms[i] = a->terms[i + 1];
}

void emit_affine_add(emit_affine *a, const emit_affine *b, int64_t factor, bool *ok) {
    a->constant += b->constant * factor;
    a->lane += b->lane * factor;
    for (int i = 0; i < b->count && *ok; i++)
        add_term(a, b->terms[i].value, b->terms[i].coefficient * factor, ok);
}

static bool multiply(kernel_emitter *e, const emit_affine *x, const emit_affine *y,
                     emit_affine *out) {
    bool ok = true;
    if (x->count || x->lane) {
        if (!y->count && !y->lane) {
            emit_affine_add(out, x, y->constant, &ok);
            return ok;
        }
        if (x->lane || y->lane) return false;
        for (int i = 0; i < x->count; i++) {
            for (int j = 0; j < y->count && ok; j++) {
                emit_value v = emit_binary(e, LLVMMul, x->terms[i].value, y->terms[j].value);
                add_term(out, v, x->terms[i].coefficient * y->terms[j].coefficient, &ok);
            }
            add_term(out, x->terms[i].value, x->terms[i].coefficient * y->constant, &ok);
        }
        emit_affine only = {.constant = x->constant};
        emit_affine rest = *y;
        rest.constant = 0;
        emit_affine_add(out, &rest, only.constant, &ok);
        out->constant += x->constant * y->constant;
        return ok;
    }
    emit_affine_add(out, y, x->constant, &ok);
    return ok;
}

/* The sum as far as it is one of this node's form; false: it is not. */
static bool affine_of_sum(kernel_emitter *e, const loop_node *n, emit_affine *out) {
    emit_affine x, y;
    bool ok = true;
    if (!emit_affine_of(e, n->args[0], &x)) return false;
    if (n->op != LOOP_NEG && !emit_affine_of(e, n->args[1], &y)) return false;
    switch (n->op) {
    case LOOP_NEG: emit_affine_add(out, &x, -1, &ok); return ok;
    case LOOP_MUL: return multiply(e, &x, &y, out);
    default:
        *out = x;
        emit_affine_add(out, &y, n->op == LOOP_ADD ? 1 : -1, &ok);
        return ok;
    }
}

bool emit_affine_of(kernel_emitter *e, loop_expr x, emit_affine *out) {
    loop_node n = *loop_get(e->k, x);
    bool ok = true;
    *out = (emit_affine){.constant = 0};
    switch (n.op) {
    case LOOP_CONST: out->constant = n.i; return true;
    case LOOP_VAR:
        if (e->vars[n.i].kind == VAR_LANE) {
            out->lane = 1;
            return true;
        }
        break;
    case LOOP_ADD:
    case LOOP_SUB:
    case LOOP_MUL:
    case LOOP_NEG:
        if (affine_of_sum(e, &n, out)) return true;
        *out = (emit_affine){.constant = 0};
        break;
    default: break;
    }
    if (emit_uses_lane(e, x)) return false;
    add_term(out, emit_expr(e, x), 1, &ok);
    return ok;
}

/* Terms known outermost go first: their partial sums are hoisted. */
static void sort_terms(emit_affine *a) {
    for (int i = 1; i < a->count; i++)
        for (int j = i; j > 0 && a->terms[j].value.level < a->terms[j - 1].value.level; j--) {
            emit_value v = a->terms[j].value;
            int64_t c = a->terms[j].coefficient;
            a->terms[j] = a->terms[j - 1];
            a->terms[j - 1].value = v;
            a->terms[j - 1].coefficient = c;
        }
}

static emit_value scaled(kernel_emitter *e, emit_value v, int64_t by) {
    if (by == 1) return v;
    return emit_binary(e, LLVMMul, v, emit_int(e, e->m->i64, by));
}

emit_value emit_affine_uniform(kernel_emitter *e, const emit_affine *a) {
    emit_affine sorted = *a;
    sort_terms(&sorted);
    emit_value sum = emit_int(e, e->m->i64, 0);
    for (int i = 0; i < sorted.count; i++)
        sum = emit_binary(e, LLVMAdd, sum,
                          scaled(e, sorted.terms[i].value, sorted.terms[i].coefficient));
    return emit_binary(e, LLVMAdd, sum, emit_int(e, e->m->i64, a->constant));
}

emit_value emit_affine_pointer(kernel_emitter *e, emit_value base, const emit_affine *a,
                               int64_t bytes) {
    emit_affine sorted = *a;
    sort_terms(&sorted);
    emit_value p = base;
    for (int i = 0; i < sorted.count; i++) {
        emit_value by = scaled(e, sorted.terms[i].value, sorted.terms[i].coefficient * bytes);
        p = emit_make(e, PRIM_OFFSET, 0, e->m->pointer, (emit_value[]){p, by}, 2);
    }
    if (a->constant) {
        emit_value by = emit_int(e, e->m->i64, a->constant * bytes);
        p = emit_make(e, PRIM_OFFSET, 0, e->m->pointer, (emit_value[]){p, by}, 2);
    }
    return p;
}
