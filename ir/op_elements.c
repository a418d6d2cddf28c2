/* op_elements.c: the values of small integer tensors as dimension expressions, carried through the
 * operators that exporters do arithmetic on shapes with. One row an operator. What is not known
 * stays unknown; nothing here is needed for correctness, but without it a Reshape to a computed
 * shape would have no type. */
#include "ir/op.h"

#include <string.h>

enum { MOST = 64 };

typedef struct {
    graph *g;
    node_id n;
    const dim *in[3]; /* elements of the first operands; NULL where not known */
    size_t count[3];
    dim out[MOST];
    size_t out_count;
} evaluation;

typedef bool (*rule)(evaluation *e);

static const node *node_of(const evaluation *e) {
    return graph_node(e->g, e->n);
}

/* Element i of operand `which`, scalars repeated. */
static dim operand(const evaluation *e, int which, size_t i) {
    return e->in[which][e->count[which] == 1 ? 0 : i];
}

static bool binary(evaluation *e, dim (*op)(dim_table *t, dim a, dim b)) {
    if (!e->in[0] || !e->in[1]) return false;
    e->out_count = e->count[0] > e->count[1] ? e->count[0] : e->count[1];
    if (e->count[0] == 0 || e->count[1] == 0) e->out_count = 0;
    for (size_t i = 0; i < e->out_count; i++)
        e->out[i] = op(e->g->dims, operand(e, 0, i), operand(e, 1, i));
    return true;
}

static bool rule_add(evaluation *e) {
    return binary(e, dim_add);
}

static bool rule_sub(evaluation *e) {
    return binary(e, dim_sub);
}

static bool rule_mul(evaluation *e) {
    return binary(e, dim_mul);
}

/* Division of integers truncates; a floor is the same where nothing is negative. */
static bool rule_div(evaluation *e) {
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; e->in[k] && i < e->count[k]; i++)
            if (dim_low(e->g->dims, e->in[k][i]) < k) return false;
    return binary(e, dim_floordiv);
}

static bool rule_mod(evaluation *e) {
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; e->in[k] && i < e->count[k]; i++)
            if (dim_low(e->g->dims, e->in[k][i]) < k) return false;
    return binary(e, dim_mod);
}

static bool rule_min(evaluation *e) {
    return node_of(e)->input_count == 2 && binary(e, dim_min);
}

static bool rule_max(evaluation *e) {
    return node_of(e)->input_count == 2 && binary(e, dim_max);
}

static bool rule_copy(evaluation *e) {
    if (!e->in[0] || e->count[0] > MOST) return false;
    e->out_count = e->count[0];
    memcpy(e->out, e->in[0], e->out_count * sizeof *e->out);
    return true;
}

/* 1 or 0 where the difference says so for all values of the symbols. */
static bool compare(evaluation *e, int (*decide)(int64_t low, int64_t high)) {
    if (!e->in[0] || !e->in[1]) return false;
    e->out_count = e->count[0] > e->count[1] ? e->count[0] : e->count[1];
    for (size_t i = 0; i < e->out_count; i++) {
        dim difference = dim_sub(e->g->dims, operand(e, 0, i), operand(e, 1, i));
        int yes = decide(dim_low(e->g->dims, difference), dim_high(e->g->dims, difference));
        if (yes < 0) return false;
        e->out[i] = dim_const(e->g->dims, yes);
    }
    return true;
}

static int is_equal(int64_t low, int64_t high) {
    return low == 0 && high == 0 ? 1 : low > 0 || high < 0 ? 0 : -1;
}

static int is_less(int64_t low, int64_t high) {
    return high < 0 ? 1 : low >= 0 ? 0 : -1;
}

static int is_greater(int64_t low, int64_t high) {
    return low > 0 ? 1 : high <= 0 ? 0 : -1;
}

static bool rule_equal(evaluation *e) {
    return compare(e, is_equal);
}

static bool rule_less(evaluation *e) {
    return compare(e, is_less);
}

static bool rule_greater(evaluation *e) {
    return compare(e, is_greater);
}

static bool rule_not(evaluation *e) {
    if (!rule_copy(e)) return false;
    for (size_t i = 0; i < e->out_count; i++) {
        int64_t v;
        if (!dim_is_const(e->g->dims, e->out[i], &v)) return false;
        e->out[i] = dim_const(e->g->dims, !v);
    }
    return true;
}

static bool rule_and(evaluation *e) {
    return binary(e, dim_min);
}

static bool rule_or(evaluation *e) {
    return binary(e, dim_max);
}

static bool rule_where(evaluation *e) {
    if (!e->in[0] || !e->in[1] || !e->in[2]) return false;
    e->out_count = 0;
    for (int k = 0; k < 3; k++)
        if (e->count[k] > e->out_count) e->out_count = e->count[k];
    for (size_t i = 0; i < e->out_count; i++) {
        int64_t yes;
        if (!dim_is_const(e->g->dims, operand(e, 0, i), &yes)) return false;
        e->out[i] = operand(e, yes ? 1 : 2, i);
    }
    return true;
}

static bool rule_shape(evaluation *e) {
    const type *x = graph_type(e->g, graph_input(e->g, e->n, 0));
    int64_t first = node_attr_int(node_of(e), "start", 0),
            last = node_attr_int(node_of(e), "end", x->rank);
    if (first < 0) first += x->rank;
    if (last < 0) last += x->rank;
    if (first < 0) first = 0;
    if (last > x->rank) last = x->rank;
    for (int64_t i = first; i < last; i++) e->out[e->out_count++] = x->dims[i];
    return true;
}

static bool rule_size(evaluation *e) {
    e->out[0] = type_elements(e->g->dims, graph_type(e->g, graph_input(e->g, e->n, 0)));
    e->out_count = 1;
    return true;
}

static bool rule_gather(evaluation *e) {
    if (!e->in[0] || !e->in[1] || e->count[1] > MOST) return false;
    e->out_count = e->count[1];
    for (size_t i = 0; i < e->out_count; i++) {
        int64_t at;
        if (!dim_is_const(e->g->dims, e->in[1][i], &at)) return false;
        if (at < 0) at += (int64_t)e->count[0];
        if (at < 0 || at >= (int64_t)e->count[0]) return false;
        e->out[i] = e->in[0][at];
    }
    return true;
}

static bool rule_concat(evaluation *e) {
    for (uint32_t i = 0; i < node_of(e)->input_count; i++) {
        size_t count;
        const dim *part = graph_elements(e->g, graph_input(e->g, e->n, i), &count);
        if (!part || e->out_count + count > MOST) return false;
        for (size_t j = 0; j < count; j++) e->out[e->out_count++] = part[j];
    }
    return true;
}

static bool constant_at(evaluation *e, uint32_t input, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    if (!graph_input(e->g, e->n, input)) return true;
    const int64_t *data;
    size_t count;
    if (!op_const_ints(e->g, e->n, input, NULL, &data, &count) || count != 1) return false;
    *out = data[0];
    return true;
}

static bool rule_slice(evaluation *e) {
    int64_t start, end, axis, step, count = (int64_t)e->count[0];
    if (!e->in[0] || !constant_at(e, 1, 0, &start) || !constant_at(e, 2, INT64_MAX, &end) ||
        !constant_at(e, 3, 0, &axis) || !constant_at(e, 4, 1, &step) || step == 0)
        return false;
    if (start < 0) start += count;
    if (end < 0 && end > -count - 1) end += count;
    if (step > 0) {
        start = start < 0 ? 0 : start;
        end = end > count ? count : end;
        for (int64_t i = start; i < end && e->out_count < MOST; i += step)
            e->out[e->out_count++] = e->in[0][i];
    } else {
        start = start >= count ? count - 1 : start;
        end = end < -1 ? -1 : end;
        for (int64_t i = start; i > end && i >= 0 && e->out_count < MOST; i += step)
            e->out[e->out_count++] = e->in[0][i];
    }
    return true;
}

static bool rule_reduce_prod(evaluation *e) {
    if (!e->in[0]) return false;
    dim total = dim_const(e->g->dims, 1);
    for (size_t i = 0; i < e->count[0]; i++) total = dim_mul(e->g->dims, total, e->in[0][i]);
    e->out[0] = total;
    e->out_count = 1;
    return true;
}

/* A value repeated to a known, small shape. */
static bool rule_expand(evaluation *e) {
    const type *y = graph_type(e->g, graph_output(e->g, e->n, 0));
    int64_t n = 1;
    if (!e->in[0] || (y->rank == 1 && !dim_is_const(e->g->dims, y->dims[0], &n)) || n > MOST)
        return false;
    if (e->count[0] != 1 && (int64_t)e->count[0] != n) return false;
    for (int64_t i = 0; i < n; i++) e->out[e->out_count++] = operand(e, 0, (size_t)i);
    return true;
}

static bool rule_constant_of_shape(evaluation *e) {
    const type *y = graph_type(e->g, graph_output(e->g, e->n, 0));
    const attr *a = node_attr(node_of(e), "value");
    int64_t n = 1;
    if ((y->rank == 1 && !dim_is_const(e->g->dims, y->dims[0], &n)) || n > MOST) return false;
    int64_t fill = a && a->kind == ATTR_TENSOR
                       ? value_int(graph_value(e->g, a->tensors[0]), e->g->dims, 0)
                       : 0;
    for (int64_t i = 0; i < n; i++) e->out[e->out_count++] = dim_const(e->g->dims, fill);
    return true;
}

static bool rule_range(evaluation *e) {
    int64_t first, last, step;
    for (int k = 0; k < 3; k++)
        if (!e->in[k] || !e->count[k]) return false;
    if (!dim_is_const(e->g->dims, e->in[0][0], &first) ||
        !dim_is_const(e->g->dims, e->in[1][0], &last) ||
        !dim_is_const(e->g->dims, e->in[2][0], &step) || step == 0)
        return false;
    for (int64_t v = first; step > 0 ? v < last : v > last; v += step) {
        if (e->out_count == MOST) return false;
        e->out[e->out_count++] = dim_const(e->g->dims, v);
    }
    return true;
}

static const struct {
    const char *op;
    rule run;
} rules[] = {{"Shape", rule_shape},
             {"Size", rule_size},
             {"Gather", rule_gather},
             {"Concat", rule_concat},
             {"Slice", rule_slice},
             {"Add", rule_add},
             {"Sub", rule_sub},
             {"Mul", rule_mul},
             {"Div", rule_div},
             {"Mod", rule_mod},
             {"Min", rule_min},
             {"Max", rule_max},
             {"Cast", rule_copy},
             {"Identity", rule_copy},
             {"Squeeze", rule_copy},
             {"Unsqueeze", rule_copy},
             {"Reshape", rule_copy},
             {"Flatten", rule_copy},
             {"Equal", rule_equal},
             {"Less", rule_less},
             {"Greater", rule_greater},
             {"Not", rule_not},
             {"And", rule_and},
             {"Or", rule_or},
             {"Where", rule_where},
             {"Range", rule_range},
             {"ReduceProd", rule_reduce_prod},
             {"Expand", rule_expand},
             {"ConstantOfShape", rule_constant_of_shape}};

void op_infer_elements(graph *g, node_id n) {
    evaluation e = {.g = g, .n = n};
    const op_def *op = graph_node(g, n)->op;
    value_id y = graph_output(g, n, 0);
    int64_t expected = 1;
    if (*op->domain || !y) return;
    const type t = *graph_type(g, y);
    bool whole = dtype_is_integer(t.dtype) || t.dtype == DTYPE_BOOL;
    if (t.kind != TYPE_TENSOR || !whole || t.rank > 1 ||
        (t.rank == 1 && !dim_is_const(g->dims, t.dims[0], &expected)))
        return;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].op, op->name) != 0) continue;
        for (uint32_t k = 0; k < 3; k++) {
            e.in[k] =
                graph_input(g, n, k) ? graph_elements(g, graph_input(g, n, k), &e.count[k]) : NULL;
            if (e.in[k] && e.count[k] > MOST) return;
        }
        if (rules[i].run(&e) && (int64_t)e.out_count == expected)
            op_set_elements(g, n, 0, e.out, e.out_count);
        return;
    }
}
