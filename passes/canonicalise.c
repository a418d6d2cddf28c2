/* canonicalise.c: takes away what does nothing: identities, casts and moves to what a value is
 * already; and gives constants the form of constants. */
#include "ir/schema.h"
#include "passes/rewrite.h"

#include <string.h>

static bool same_type(const type *a, const type *b) {
    return type_equal(a, b);
}

/* Transpose whose permutation keeps every axis of more than one element in order: only the shape
 * changes, if that. */
static bool keeps_order(const graph *g, node_id n) {
    size_t count;
    const int64_t *perm = node_attr_ints(graph_node(g, n), "perm", &count);
    const type *x = graph_type(g, graph_input(g, n, 0));
    int64_t last = -1;
    if (!perm || count != (size_t)x->rank) return false;
    for (size_t i = 0; i < count; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank) return false;
        if (dim_equals_const(g->dims, x->dims[perm[i]], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

static bool all_zero(graph *g, value_id v) {
    size_t count;
    const dim *e = graph_elements(g, v, &count);
    for (size_t i = 0; e && i < count; i++)
        if (!dim_equals_const(g->dims, e[i], 0)) return false;
    return e != NULL;
}

/* Whether the node's first output equals its first input. */
static bool does_nothing(graph *g, node_id n) {
    static const char *const shape_only[] = {"Reshape", "Expand", "Squeeze", "Unsqueeze",
                                             "Flatten", "Tile",   "Cast"};
    const node *nd = graph_node(g, n);
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    if (!x || !y || *nd->op->domain) return false;
    if (rewrite_is(g, n, "Identity")) return true;
    if (rewrite_is(g, n, "Dropout"))
        return !graph_output(g, n, 1) &&
               (!graph_input(g, n, 2) || all_zero(g, graph_input(g, n, 2)));
    if (!same_type(graph_type(g, x), graph_type(g, y))) return false;
    for (size_t i = 0; i < sizeof shape_only / sizeof *shape_only; i++)
        if (rewrite_is(g, n, shape_only[i])) return true;
    if (rewrite_is(g, n, "Transpose")) return keeps_order(g, n);
    if (rewrite_is(g, n, "Pad")) return all_zero(g, graph_input(g, n, 1));
    if (rewrite_is(g, n, "Concat") || rewrite_is(g, n, "Sum") || rewrite_is(g, n, "Max") ||
        rewrite_is(g, n, "Min") || rewrite_is(g, n, "Mean"))
        return nd->input_count == 1;
    if (rewrite_is(g, n, "Slice")) {
        size_t count;
        const int64_t *steps = NULL;
        if (graph_input(g, n, 4) && !op_const_ints(g, n, 4, NULL, &steps, &count)) return false;
        for (size_t i = 0; steps && i < count; i++)
            if (steps[i] != 1) return false;
        return true;
    }
    return false;
}

/* A transpose that moves no element is a reshape, which costs nothing. */
static bool transpose_to_reshape(graph *g, node_id n) {
    if (!rewrite_is(g, n, "Transpose") || !keeps_order(g, n)) return false;
    const type y = *graph_type(g, graph_output(g, n, 0));
    int64_t dims[TENSOR_MAX_RANK], count[] = {y.rank};
    if (!type_static_dims(g->dims, &y, dims) || graph_type(g, graph_output(g, n, 0))->layout)
        return false;
    value_id inputs[] = {graph_input(g, n, 0),
                         graph_add_constant_ints(g, "shape", DTYPE_I64, 1, count, dims)};
    value_id made = graph_build(g, graph_node(g, n)->region, n, "", "Reshape", 2, inputs, 0, NULL);
    if (!made || !rewrite_replace(g, graph_output(g, n, 0), made)) return false;
    graph_remove_node(g, n);
    return true;
}

/* ---- constants ---- */

static void become_constant(graph *g, value_id v, blob data) {
    blob *kept = ARENA_NEW(g->memory, blob);
    *kept = data;
    graph_value(g, v)->constant = kept;
}

/* A small integer tensor whose elements are all known numbers. */
static bool known_elements(graph *g, value_id v) {
    size_t count;
    const type t = *graph_type(g, v);
    const dim *e = graph_value(g, v)->elements ? graph_elements(g, v, &count) : NULL;
    if (!e) return false;
    size_t width = dtype_bytes(t.dtype);
    unsigned char *bytes = arena_alloc_array(g->memory, count, width);
    for (size_t i = 0; i < count; i++) {
        int64_t n;
        if (!dim_is_const(g->dims, e[i], &n)) return false;
        memcpy(bytes + i * width, &n, width);
    }
    become_constant(g, v, (blob){bytes, count * width, false});
    return true;
}

/* ConstantOfShape, and Expand of a splat, stay one element in memory. */
static bool known_splat(graph *g, node_id n) {
    const type *y = graph_type(g, graph_output(g, n, 0));
    int64_t dims[TENSOR_MAX_RANK];
    if (y->kind != TYPE_TENSOR || !type_static_dims(g->dims, y, dims)) return false;
    static const float zero = 0;
    blob data = {&zero, dtype_bytes(y->dtype), true};
    if (rewrite_is(g, n, "ConstantOfShape")) {
        const attr *a = node_attr(graph_node(g, n), "value");
        if (a && a->kind == ATTR_TENSOR) data.data = graph_value(g, a->tensors[0])->constant->data;
    } else if (rewrite_is(g, n, "Expand") && rewrite_is_constant(g, graph_input(g, n, 0))) {
        const value *x = graph_value(g, graph_input(g, n, 0));
        if (!x->constant->splat && !dim_equals_const(g->dims, type_elements(g->dims, &x->type), 1))
            return false;
        data.data = x->constant->data;
    } else {
        return false;
    }
    become_constant(g, graph_output(g, n, 0), data);
    return true;
}

/* Whether the run has to look at the data to tell, or to check, how large the result is: until the
 * node is expanded nothing else stands for that check. */
static bool size_is_open(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const schema_op *s = nd.op->size ? schema_find(nd.op->domain, nd.op->name) : NULL;
    size_t count;
    if (!s || nd.input_count > s->versions[s->version_count - 1].max_input) return false;
    for (uint32_t i = rewrite_is(g, n, "ConstantOfShape") ? 0 : 1; i < nd.input_count; i++) {
        value_id v = nd.inputs[i];
        if (v && !graph_value(g, v)->constant && dtype_is_integer(graph_type(g, v)->dtype) &&
            !graph_elements(g, v, &count))
            return true;
    }
    return false;
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    (void)uses;
    if (!graph_node(g, n)->output_count || (graph_node(g, n)->op->flags & OP_EFFECT)) return 0;
    value_id y = graph_output(g, n, 0);
    if (size_is_open(g, n) || (y && graph_value(g, y)->binds)) return 0;
    bool single = graph_node(g, n)->output_count == 1 && y && !rewrite_is(g, n, "If") &&
                  !rewrite_is(g, n, "Loop");
    if (single && (known_splat(g, n) || known_elements(g, y))) {
        graph_remove_node(g, n);
        return 1;
    }
    if (does_nothing(g, n) && rewrite_replace(g, y, graph_input(g, n, 0))) {
        graph_remove_node(g, n);
        return 1;
    }
    return transpose_to_reshape(g, n);
}

static long run(graph *g, const pass_options *options) {
    return rewrite_each(g, options, NULL, visit);
}

const pass_def pass_canonicalise = {"canonicalise",
                                    "remove what does nothing; known values become constants", run};
