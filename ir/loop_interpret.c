/* loop_interpret.c: the reference meaning of kernels. A kernel is first compiled to flat lists of
 * instructions over one slot an expression: what loads nothing is evaluated once an iteration of
 * the innermost loop that it depends on, the rest with its statement. Then the tree of steps is
 * walked. Every access is checked against the extents of its buffer; arithmetic is that of
 * loop_number.c. */
#include "ir/loop_internal.h"

#include <assert.h>
#include <string.h>

typedef struct {
    loop_op op;
    dtype type; /* of the operands, as loop_apply takes it; CAST, BITCAST: of the result */
    dtype from; /* CAST, BITCAST: of the operand */
    uint32_t to, a, b, c; /* slots, that is expression ids */
} instruction;

typedef LIST(instruction) code;

typedef struct step {
    const loop_stmt *source;
    struct step *next, *body, *otherwise;
    code before;       /* the step's own expressions */
    code iteration;    /* FOR: at the beginning of each iteration */
    uint32_t var_slot; /* FOR; 0 if the variable is not used */
    uint32_t serial;
} step;

typedef struct {
    unsigned char *data;
    const loop_buffer *source;
    int64_t extents[LOOP_MAX_RANK], strides[LOOP_MAX_RANK];
    size_t bytes;
} memory;

enum { MAX_NEST = 256, LEVEL_STATEMENT = MAX_NEST + 1 };

typedef struct {
    const loop_kernel *k;
    arena *scratch;
    diag *d;
    loop_number *values; /* of every slot */
    memory *memories;
    uint32_t *var_slots;
    int code; /* of the first CHECK that failed */
    bool failed;
    /* while compiling */
    uint32_t serials;
    step once;            /* what depends on no loop */
    step *nest[MAX_NEST]; /* loops around, outermost first */
    int depth;
    uint32_t *seen, *done_in; /* statement that looked at a node last; list that computes it */
    int *level;               /* 0: no loop; i: nest[i - 1]; LEVEL_STATEMENT: it loads */
} machine;

/* ---- compiling ---- */

static int level_of_var(const machine *m, loop_var v) {
    for (int i = m->depth; i > 0; i--)
        if (m->nest[i - 1]->source->var == v) return i;
    return LEVEL_STATEMENT;
}

/* Appends the instructions that e needs: to the loop where its operands are known, or to `s`. */
static void compile_expr(machine *m, loop_expr e, step *s) {
    if (!e || m->seen[e] == s->serial) return;
    m->seen[e] = s->serial;
    const loop_node n = *loop_get(m->k, e);
    m->level[e] = n.op == LOOP_LOAD  ? LEVEL_STATEMENT
                  : n.op == LOOP_VAR ? level_of_var(m, (loop_var)n.i)
                                     : 0;
    for (uint32_t i = 0; i < n.arg_count; i++) {
        compile_expr(m, n.args[i], s);
        if (m->level[n.args[i]] > m->level[e]) m->level[e] = m->level[n.args[i]];
    }
    if (n.op <= LOOP_VAR) return;
    step *home = m->level[e] == LEVEL_STATEMENT ? s
                 : m->level[e]                  ? m->nest[m->level[e] - 1]
                                                : &m->once;
    if (m->done_in[e] == home->serial) return;
    m->done_in[e] = home->serial;
    bool converts = n.op == LOOP_CAST || n.op == LOOP_BITCAST;
    instruction x = {.op = n.op, .type = n.type, .to = e};
    if (n.op != LOOP_LOAD) {
        dtype operand = loop_type(m->k, n.args[n.arg_count - 1]);
        x.type = converts ? n.type : operand;
        x.from = operand;
        x.a = n.args[0];
        x.b = n.arg_count > 1 ? n.args[1] : 0;
        x.c = n.arg_count > 2 ? n.args[2] : 0;
    }
    code *list = home == s ? &s->before : &home->iteration;
    list_push(m->scratch, list, x);
}

static step *compile_block(machine *m, const loop_stmt *source) {
    step *head = NULL, **at = &head;
    for (; source; source = source->next, at = &(*at)->next) {
        step *s = *at = ARENA_NEW(m->scratch, step);
        s->source = source;
        s->serial = ++m->serials;
        compile_expr(m, source->extent, s);
        compile_expr(m, source->active, s);
        compile_expr(m, source->condition, s);
        compile_expr(m, source->value, s);
        for (uint32_t i = 0; i < source->index_count; i++) compile_expr(m, source->indices[i], s);
        if (source->kind == LOOP_STMT_FOR) {
            assert(m->depth < MAX_NEST);
            s->var_slot = m->var_slots[source->var];
            m->nest[m->depth++] = s;
        }
        s->body = compile_block(m, source->body);
        s->otherwise = compile_block(m, source->otherwise);
        m->depth -= source->kind == LOOP_STMT_FOR;
    }
    return head;
}

/* ---- accesses ---- */

static void fail(machine *m, loop_buf b, const uint32_t *indices, int axis) {
    if (m->failed) return;
    m->failed = true;
    const memory *x = &m->memories[b];
    diag_error(m->d, m->k->name, NULL, NULL,
               "access out of bounds: %%%s axis %d, index %lld of %lld (%s)", x->source->name, axis,
               (long long)m->values[indices[axis]].i, (long long)x->extents[axis],
               loop_expr_text(m->k, m->d->memory, indices[axis]));
}

/* The address of an element, NULL if it is out of bounds. */
static unsigned char *element(machine *m, loop_buf b, const uint32_t *indices) {
    const memory *x = &m->memories[b];
    int64_t at = 0;
    for (int i = 0; i < x->source->rank; i++) {
        int64_t index = m->values[indices[i]].i;
        if (index < 0 || index >= x->extents[i]) {
            fail(m, b, indices, i);
            return NULL;
        }
        at += index * x->strides[i];
    }
    return x->data + (size_t)at * x->bytes;
}

static loop_number load(const unsigned char *from, dtype t, size_t bytes) {
    if (t == DTYPE_F32) {
        float f;
        memcpy(&f, from, sizeof f);
        return (loop_number){.f = f};
    }
    uint64_t bits = 0;
    memcpy(&bits, from, bytes); /* little-endian hosts */
    return loop_decode(t, bits);
}

static void store(unsigned char *to, dtype t, size_t bytes, loop_number v) {
    uint64_t bits = loop_encode(t, v);
    memcpy(to, &bits, bytes);
}

/* ---- running ---- */

static void run_instruction(machine *m, const instruction *x) {
    loop_number *v = m->values;
    switch (x->op) {
    case LOOP_LOAD: {
        const loop_node *n = loop_get(m->k, x->to);
        const unsigned char *from = element(m, (loop_buf)n->i, n->args);
        if (from) v[x->to] = load(from, x->type, m->memories[n->i].bytes);
        return;
    }
    case LOOP_CAST: v[x->to] = loop_convert(x->type, x->from, v[x->a]); return;
    case LOOP_BITCAST: v[x->to] = loop_decode(x->type, loop_encode(x->from, v[x->a])); return;
    case LOOP_SELECT: v[x->to] = v[x->a].i ? v[x->b] : v[x->c]; return;
    case LOOP_ADD:
        if (x->type == DTYPE_F32) {
            v[x->to].f = (float)v[x->a].f + (float)v[x->b].f;
            return;
        }
        break;
    case LOOP_MUL:
        if (x->type == DTYPE_F32) {
            v[x->to].f = (float)v[x->a].f * (float)v[x->b].f;
            return;
        }
        break;
    default: break;
    }
    v[x->to] = loop_apply(x->op, x->type, v[x->a], v[x->b], v[x->c]);
}

static void run_code(machine *m, const code *c) {
    for (size_t i = 0; i < c->count && !m->failed; i++) run_instruction(m, &c->data[i]);
}

static void run_block(machine *m, const step *s);

static void run_for(machine *m, const step *s) {
    int64_t n = m->values[s->source->extent].i;
    if (s->source->active && m->values[s->source->active].i < n) n = m->values[s->source->active].i;
    for (int64_t i = 0; i < n && !m->failed; i++) {
        m->values[s->var_slot].i = i;
        run_code(m, &s->iteration);
        run_block(m, s->body);
    }
}

static void run_store(machine *m, const loop_stmt *s) {
    const memory *x = &m->memories[s->buf];
    unsigned char *to = m->failed ? NULL : element(m, s->buf, s->indices);
    if (to) store(to, x->source->type, x->bytes, m->values[s->value]);
}

static void run_block(machine *m, const step *s) {
    for (; s && !m->failed; s = s->next) {
        run_code(m, &s->before);
        const loop_stmt *source = s->source;
        switch (source->kind) {
        case LOOP_STMT_FOR: run_for(m, s); break;
        case LOOP_STMT_STORE: run_store(m, source); break;
        case LOOP_STMT_IF:
            run_block(m, m->values[source->condition].i ? s->body : s->otherwise);
            break;
        case LOOP_STMT_CHECK:
            if (!m->values[source->condition].i && !m->code) m->code = source->code;
            break;
        }
    }
}

/* ---- set-up ---- */

/* The value of an expression over constants and symbols. */
static int64_t constant_value(machine *m, loop_expr e) {
    m->once.iteration.count = 0;
    step s = {.serial = ++m->serials};
    compile_expr(m, e, &s);
    run_code(m, &m->once.iteration);
    return m->values[e].i;
}

static void place_buffers(machine *m, void *const *buffers) {
    m->memories = ARENA_ARRAY(m->scratch, memory, m->k->buffers.count);
    for (size_t b = 0; b < m->k->buffers.count; b++) {
        memory *x = &m->memories[b];
        const loop_buffer *source = x->source = &m->k->buffers.data[b];
        int64_t dense = 1;
        x->bytes = dtype_bytes(source->type);
        for (int i = source->rank - 1; i >= 0; i--) {
            x->extents[i] = constant_value(m, source->extents[i]);
            x->strides[i] = source->strides ? constant_value(m, source->strides[i]) : dense;
            dense *= x->extents[i];
        }
        if (source->space <= LOOP_SPACE_OUTPUT) {
            x->data = buffers[b];
            continue;
        }
        int64_t count = dense < 0 ? 0 : 1; /* of local memory, with given strides */
        for (int i = 0; i < source->rank && dense > 0; i++)
            count += (x->extents[i] - 1) * x->strides[i];
        x->data = ARENA_ARRAY(m->scratch, unsigned char, (size_t)count * x->bytes + 8);
        memset(x->data, 0xff, (size_t)count * x->bytes); /* NaN: nothing may rely on it */
    }
}

int loop_interpret(const loop_kernel *k, void *const *buffers, const int64_t *symbols, diag *d) {
    machine *m = &(machine){.k = k, .scratch = arena_create(), .d = d};
    m->values = ARENA_ARRAY(m->scratch, loop_number, k->nodes.count);
    m->seen = ARENA_ARRAY(m->scratch, uint32_t, k->nodes.count);
    m->done_in = ARENA_ARRAY(m->scratch, uint32_t, k->nodes.count);
    m->level = ARENA_ARRAY(m->scratch, int, k->nodes.count);
    m->once.serial = ++m->serials;
    m->var_slots = ARENA_ARRAY(m->scratch, uint32_t, k->vars.count);
    for (uint32_t e = 1; e < k->nodes.count; e++) {
        const loop_node *n = loop_get(k, e);
        if (n->op == LOOP_CONST && dtype_is_float(n->type)) m->values[e].f = n->f;
        if (n->op == LOOP_CONST && !dtype_is_float(n->type)) m->values[e].i = n->i;
        if (n->op == LOOP_DIM) m->values[e].i = symbols[n->i];
        if (n->op == LOOP_VAR) m->var_slots[n->i] = e;
    }
    place_buffers(m, buffers);
    m->once.iteration.count = 0;
    step *body = compile_block(m, k->body);
    run_code(m, &m->once.iteration);
    run_block(m, body);
    int code = m->failed ? -1 : m->code;
    arena_destroy(m->scratch);
    return code;
}
