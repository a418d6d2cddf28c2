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

static bool never_negative(dim_table *t, dim d) {
    return dim_low(t, d) >= 0 || dim_max(t, d, dim_const(t, 0)) == d;
}

/* Division of integers truncates; a floor is the same where nothing is negative. */
static dim truncated(dim_table *t, dim a, dim b) {
    dim zero = dim_const(t, 0);
    if (never_negative(t, a)) return dim_floordiv(t, a, b);
    return dim_sub(t, dim_floordiv(t, dim_max(t, a, zero), b),
                   dim_floordiv(t, dim_max(t, dim_sub(t, zero, a), zero), b));
}

static bool rule_div(evaluation *e) {
    for (size_t i = 0; e->in[1] && i < e->count[1]; i++)
        if (dim_low(e->g->dims, e->in[1][i]) < 1) return false;
    return binary(e, truncated);
}

static bool rule_mod(evaluation *e) {
    for (size_t i = 0; e->in[0] && i < e->count[0]; i++)
        if (!never_negative(e->g->dims, e->in[0][i])) return false;
    for (size_t i = 0; e->in[1] && i < e->count[1]; i++)
        if (dim_low(e->g->dims, e->in[1][i]) < 1) return false;
    return binary(e, dim_mod);
}

static dim negative(dim_table *t, dim a, dim zero) {
    return dim_sub(t, zero, a);
}

static dim absolute(dim_table *t, dim a, dim zero) {
    return dim_max(t, a, dim_sub(t, zero, a));
}

/* A function of one operand. */
static bool unary(evaluation *e, dim (*op)(dim_table *t, dim a, dim zero)) {
    if (!e->in[0] || e->count[0] > MOST) return false;
    for (size_t i = 0; i < e->count[0]; i++)
        e->out[e->out_count++] = op(e->g->dims, e->in[0][i], dim_const(e->g->dims, 0));
    return true;
}

static bool rule_neg(evaluation *e) {
    return unary(e, negative);
}

static bool rule_abs(evaluation *e) {
    return unary(e, absolute);
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

static int is_not_less(int64_t low, int64_t high) {
    return low >= 0 ? 1 : high < 0 ? 0 : -1;
}

static int is_not_greater(int64_t low, int64_t high) {
    return high <= 0 ? 1 : low > 0 ? 0 : -1;
}

static bool rule_not_less(evaluation *e) {
    return compare(e, is_not_less);
}

static bool rule_not_greater(evaluation *e) {
    return compare(e, is_not_greater);
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

/* Bounds that are left out do not bind; those that are not known leave nothing known. */
static bool rule_clip(evaluation *e) {
    if (!rule_copy(e)) return false;
    for (int k = 1; k < 3; k++) {
        if (!graph_input(e->g, e->n, (uint32_t)k)) continue;
        if (!e->in[k] || e->count[k] != 1) return false;
        for (size_t i = 0; i < e->out_count; i++)
            e->out[i] = (k == 1 ? dim_max : dim_min)(e->g->dims, e->out[i], e->in[k][0]);
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

/* Start, step and size of a slice along one axis. */
typedef struct {
    int64_t start, step, size;
} axis_slice;

static bool slice_axis(int64_t count, int64_t start, int64_t end, int64_t step, axis_slice *out) {
    if (!step) return false;
    if (start < 0) start += count;
    if (end < 0 && end >= -count) end += count;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    int64_t span = step > 0 ? end - start : start - end, by = step > 0 ? step : -step;
    *out = (axis_slice){start, step, span > 0 ? (span + by - 1) / by : 0};
    return true;
}

/* Copies element positions given by one slice an axis, row-major. */
static void copy_slices(evaluation *e, const type *x, const axis_slice *s) {
    int64_t at[TENSOR_MAX_RANK] = {0}, total = 1;
    for (int i = 0; i < x->rank; i++) total *= s[i].size;
    for (int64_t n = 0; n < total && n < MOST; n++) {
        int64_t flat = 0;
        for (int i = 0; i < x->rank; i++)
            flat = flat * dim_value(e->g->dims, x->dims[i]) + s[i].start + at[i] * s[i].step;
        e->out[e->out_count++] = e->in[0][flat];
        for (int i = x->rank; i-- > 0 && ++at[i] == s[i].size;) at[i] = 0;
    }
}

static bool rule_slice(evaluation *e) {
    const type x = *graph_type(e->g, graph_input(e->g, e->n, 0));
    const int64_t *lists[4] = {NULL};
    size_t counts[4] = {0};
    axis_slice s[TENSOR_MAX_RANK];
    if (!e->in[0]) return false;
    for (uint32_t k = 0; k < 4; k++)
        if (graph_input(e->g, e->n, k + 1) &&
            !op_const_ints(e->g, e->n, k + 1, NULL, &lists[k], &counts[k]))
            return false;
    if (!lists[0] || !lists[1] || counts[0] != counts[1]) return false;
    for (int i = 0; i < x.rank; i++) s[i] = (axis_slice){0, 1, dim_value(e->g->dims, x.dims[i])};
    for (size_t i = 0; i < counts[0]; i++) {
        int64_t axis = lists[2] ? lists[2][i] : (int64_t)i, step = lists[3] ? lists[3][i] : 1;
        if (axis < 0) axis += x.rank;
        if (axis < 0 || axis >= x.rank ||
            !slice_axis(dim_value(e->g->dims, x.dims[axis]), lists[0][i], lists[1][i], step,
                        &s[axis]))
            return false;
    }
    copy_slices(e, &x, s);
    return true;
}

static bool rule_transpose(evaluation *e) {
    const type x = *graph_type(e->g, graph_input(e->g, e->n, 0));
    size_t count;
    const int64_t *perm = node_attr_ints(node_of(e), "perm", &count);
    int64_t dims[TENSOR_MAX_RANK], strides[TENSOR_MAX_RANK], at[TENSOR_MAX_RANK] = {0};
    if (!e->in[0] || (perm && count != (size_t)x.rank) || !type_static_dims(e->g->dims, &x, dims))
        return false;
    int64_t stride = 1;
    for (int i = x.rank; i-- > 0; stride *= dims[i]) strides[i] = stride;
    for (size_t n = 0; n < e->count[0] && n < MOST; n++) {
        int64_t flat = 0;
        for (int i = 0; i < x.rank; i++) flat += at[i] * strides[perm ? perm[i] : x.rank - 1 - i];
        e->out[e->out_count++] = e->in[0][flat];
        for (int i = x.rank; i-- > 0 && ++at[i] == dims[perm ? perm[i] : x.rank - 1 - i];)
            at[i] = 0;
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
    if (!dim_is_const(e->g->dims, type_elements(e->g->dims, y), &n) || n > MOST) return false;
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
    bool any_rank; /* else of scalars and vectors only */
} rules[] = {{"Shape", rule_shape, false},
             {"Size", rule_size, true},
             {"Gather", rule_gather, false},
             {"Concat", rule_concat, false},
             {"Slice", rule_slice, true},
             {"Transpose", rule_transpose, true},
             {"Add", rule_add, false},
             {"Sub", rule_sub, false},
             {"Mul", rule_mul, false},
             {"Div", rule_div, false},
             {"Mod", rule_mod, false},
             {"Min", rule_min, false},
             {"Max", rule_max, false},
             {"Cast", rule_copy, true},
             {"Neg", rule_neg, false},
             {"Abs", rule_abs, false},
             {"CastLike", rule_copy, true},
             {"GreaterOrEqual", rule_not_less, false},
             {"LessOrEqual", rule_not_greater, false},
             {"Identity", rule_copy, true},
             {"Squeeze", rule_copy, true},
             {"Unsqueeze", rule_copy, true},
             {"Reshape", rule_copy, true},
             {"Flatten", rule_copy, true},
             {"Equal", rule_equal, false},
             {"Less", rule_less, false},
             {"Greater", rule_greater, false},
             {"Not", rule_not, false},
             {"And", rule_and, false},
             {"Or", rule_or, false},
             {"Where", rule_where, false},
             {"Range", rule_range, false},
             {"ReduceProd", rule_reduce_prod, false},
             {"Expand", rule_expand, false},
             {"ConstantOfShape", rule_constant_of_shape, true},
             {"Clip", rule_clip, false}};

/* Whether all operands that matter are scalars or vectors. */
static bool flat_operands(const graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    for (uint32_t i = 0; i < nd->input_count; i++)
        if (nd->inputs[i] && graph_type(g, nd->inputs[i])->rank > 1 &&
            strcmp(nd->op->name, "Shape") != 0)
            return false;
    return true;
}

/* Split is the one operator with several results here: each has the elements behind those of the
 * one before it. */
static void split_elements(graph *g, node_id n) {
    size_t count, at = 0;
    int64_t size;
    const dim *all = graph_elements(g, graph_input(g, n, 0), &count);
    if (!all || count > MOST || graph_type(g, graph_input(g, n, 0))->rank != 1) return;
    for (uint32_t i = 0; i < graph_node(g, n)->output_count; i++) {
        value_id y = graph_output(g, n, i);
        const type *t = y ? graph_type(g, y) : NULL;
        if (!t || t->kind != TYPE_TENSOR || t->rank != 1 ||
            !dim_is_const(g->dims, t->dims[0], &size) || size < 0 || (size_t)size > count - at)
            return;
        op_set_elements(g, n, i, all + at, (size_t)size);
        at += (size_t)size;
    }
}

void op_infer_elements(graph *g, node_id n) {
    evaluation e = {.g = g, .n = n};
    const op_def *op = graph_node(g, n)->op;
    value_id y = graph_output(g, n, 0);
    int64_t expected;
    if (!*op->domain && strcmp(op->name, "Split") == 0) split_elements(g, n);
    if (*op->domain || !y) return;
    const type t = *graph_type(g, y);
    bool whole = t.kind == TYPE_TENSOR && (dtype_is_integer(t.dtype) || t.dtype == DTYPE_BOOL);
    if (!whole || !dim_is_const(g->dims, type_elements(g->dims, &t), &expected) || expected > MOST)
        return;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].op, op->name) != 0) continue;
        if (!rules[i].any_rank && (t.rank > 1 || !flat_operands(g, n))) return;
        for (uint32_t k = 0; k < 3; k++) {
            e.in[k] =
                graph_input(g, n, k) ? graph_elements(g, graph_input(g, n, k), &e.count[k]) : NULL;
            if (e.in[k] && e.count[k] > MOST) e.in[k] = NULL;
        }
        if (rules[i].run(&e) && (int64_t)e.out_count == expected)
            op_set_elements(g, n, 0, e.out, e.out_count);
        return;
    }
}
