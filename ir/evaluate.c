/* evaluate.c: small values that follow from constants alone, computed while a graph is built, by
 * the reference meaning of the operator's own loops. Exporters write sizes as chains of such
 * operators, by way of floats too, and what they size needs to know them at once; passes/fold.c
 * computes what is large, and later, with the code that the model would run. */
#include "ir/evaluate.h"

#include "ir/lower.h"
#include "ir/op.h"

#include <string.h>

enum { MOST_ELEMENTS = 256 };

/* The number of elements of a small tensor of numbers; -1 if v is none. */
static int64_t small_count(graph *g, value_id v) {
    const type *t = graph_type(g, v);
    int64_t count;
    if (t->kind != TYPE_TENSOR || t->rank < 0 || t->layout ||
        dtype_class_of(t->dtype) == DTYPE_CLASS_OTHER || dtype_bits(t->dtype) < 8 ||
        !dim_is_const(g->dims, type_elements(g->dims, t), &count))
        return -1;
    return count <= MOST_ELEMENTS ? count : -1;
}

/* The elements of v, native, if they are constants; NULL otherwise. */
static void *known_elements(graph *g, arena *a, value_id v) {
    const value *known = graph_value(g, v);
    int64_t count = small_count(g, v), number;
    if (count < 0) return NULL;
    size_t bytes = (size_t)dtype_bytes(known->type.dtype);
    unsigned char *data = arena_alloc(a, bytes * (size_t)count + 1);
    if (known->constant) {
        for (size_t i = 0; i < (size_t)count; i++) {
            size_t at = known->constant->splat ? 0 : i * bytes;
            memcpy(data + i * bytes, (const unsigned char *)known->constant->data + at, bytes);
        }
        return data;
    }
    if (!known->elements || known->binds || known->type.dtype != DTYPE_I64) return NULL;
    for (size_t i = 0; i < (size_t)count; i++) {
        if (!dim_is_const(g->dims, known->elements[i], &number)) return NULL;
        memcpy(data + i * bytes, &number, bytes);
    }
    return data;
}

/* Whether the node's only result is small, not known yet, and computed by loops. */
static bool may_evaluate(graph *g, const node *n) {
    const op_def *op = n->op;
    if ((op->flags & (OP_EFFECT | OP_LISTS | OP_POINTS)) ||
        !(op->formula || op->element || op->nest) || n->output_count != 1 || !n->outputs[0])
        return false;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (n->attrs[i].kind == ATTR_REGION) return false;
    const value *y = graph_value(g, n->outputs[0]);
    return !y->constant && !y->elements && small_count(g, n->outputs[0]) >= 0;
}

/* Runs the node's loops; its result in g->memory, NULL if something in it is not known. */
static void *run_node(graph *g, arena *a, node_id n) {
    const node nd = *graph_node(g, n);
    for (uint32_t i = 0; i < nd.input_count; i++)
        if (nd.inputs[i] && !known_elements(g, a, nd.inputs[i])) return NULL;
    diag *own = g->diag, silent;
    diag_init(&silent, a, NULL);
    g->diag = &silent;
    loop_kernel *k = lower_group(g, a, "constant", &n, 1, nd.outputs, 1);
    g->diag = own;
    size_t symbols;
    if (!k || (loop_symbols(k, &symbols), symbols)) return NULL;
    void **buffers = ARENA_ARRAY(a, void *, k->buffers.count);
    void *result = NULL;
    for (loop_buf b = 0; b < k->buffers.count; b++) {
        const loop_buffer *buffer = loop_buffer_of(k, b);
        if (buffer->space == LOOP_SPACE_INPUT) buffers[b] = known_elements(g, a, buffer->value);
        if (buffer->space != LOOP_SPACE_OUTPUT) continue;
        size_t bytes = (size_t)small_count(g, nd.outputs[0]) * dtype_bytes(buffer->type);
        result = buffers[b] = arena_alloc(g->memory, bytes + 1);
    }
    return loop_interpret(k, buffers, NULL, &silent) == 0 ? result : NULL;
}

bool graph_evaluate(graph *g, node_id n) {
    if (!may_evaluate(g, graph_node(g, n))) return false;
    arena *scratch = arena_create();
    void *data = run_node(g, scratch, n);
    arena_destroy(scratch);
    if (!data) return false;
    value_id y = graph_node(g, n)->outputs[0];
    blob *made = ARENA_NEW(g->memory, blob);
    made->data = data;
    made->bytes = (size_t)small_count(g, y) * dtype_bytes(graph_type(g, y)->dtype);
    graph_value(g, y)->constant = made;
    graph_value(g, y)->producer = 0;
    graph_node(g, n)->outputs[0] = 0;
    graph_remove_node(g, n);
    return true;
}
