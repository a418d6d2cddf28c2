/* ml_svm.c: support vector machines. The kernel of every row with every support vector is a matrix;
 * the decisions of all pairs of classes are its product with one that holds the coefficients, so
 * that there is no loop of its own but for the probabilities. */
#include "ir/ops/ml.h"

#include <strings.h>

typedef struct {
    graph *g;
    node_id n;
    value_id x;
    dtype type;
    int64_t features, vectors, classes;
    const double *coefficients;
    double rho;
} svm;

enum { MOST_CLASSES = 4096 };

static bool begin(graph *g, node_id n, svm *s) {
    dtype given = graph_type(g, graph_input(g, n, 0))->dtype;
    *s = (svm){.g = g, .n = n, .type = given == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32};
    const attr *c = node_attr(graph_node(g, n), "coefficients");
    const attr *rho = node_attr(graph_node(g, n), "rho");
    if (!(s->x = ml_rows(g, n, 0, s->type))) return false;
    if ((s->features = ml_feature_count(g, s->x)) < 1)
        return op_error(g, n, "fix it with --dim", "the number of features is not known");
    if (!c || !c->count || !rho || !rho->count)
        return op_error(g, n, NULL, "attribute %s is missing", c ? "rho" : "coefficients");
    s->coefficients = c->floats;
    s->rho = rho->floats[0];
    return true;
}

static value_id build2(const svm *s, const char *op, value_id a, value_id b) {
    return kit_build2(s->g, s->n, op, a, b);
}

static value_id matrix(const svm *s, int64_t rows, int64_t columns, const double *data) {
    const int64_t dims[] = {rows, columns};
    return graph_add_constant_floats(s->g, NULL, s->type, 2, dims, data);
}

/* The kernels times a matrix, plus a number or row. Its terms are large and cancel each other: they
 * are summed up in double precision. */
static value_id combine(const svm *s, value_id left, value_id right, value_id offset) {
    value_id operands[] = {left, right, offset};
    for (int i = 0; i < 3; i++)
        operands[i] = operands[i] ? kit_build_cast(s->g, s->n, operands[i], DTYPE_F64) : 0;
    value_id y = build2(s, "MatMul", operands[0], operands[1]);
    return kit_build_cast(s->g, s->n, build2(s, "Add", y, operands[2]), s->type);
}

/* x times the transpose of rows of numbers. */
static value_id product(const svm *s, value_id rows) {
    return build2(s, "MatMul", s->x, spell_transposed(s->g, s->n, rows));
}

/* The squared distances of the rows of x and the support vectors, from their differences: a
 * difference of large products would lose what is small. */
static value_id distances(const svm *s) {
    graph *g = s->g;
    const int64_t middle[] = {1}, first[] = {0}, last[] = {2};
    const int64_t shape[] = {s->vectors, s->features};
    value_id sv = ml_constant(g, s->n, "support_vectors", s->type, 2, shape);
    if (!sv) return 0;
    value_id difference = build2(s, "Sub", build2(s, "Unsqueeze", s->x, kit_ints(g, middle, 1)),
                                 build2(s, "Unsqueeze", sv, kit_ints(g, first, 1)));
    value_id along[] = {difference, kit_ints(g, last, 1)};
    attr keep = attr_int("keepdims", 0);
    return kit_build(g, s->n, "ReduceSumSquare", 2, along, 1, &keep);
}

/* One column a support vector. */
static value_id kernels(const svm *s) {
    graph *g = s->g;
    const node nd = *graph_node(g, s->n);
    const char *kind = node_attr_string(&nd, "kernel_type", "LINEAR");
    const attr *a = node_attr(&nd, "kernel_params");
    const int64_t shape[] = {s->vectors, s->features};
    double parameters[3] = {0}; /* gamma, coef0, degree */
    for (size_t i = 0; a && i < a->count && i < 3; i++) parameters[i] = a->floats[i];
    if (strcasecmp(kind, "RBF") == 0) {
        value_id d = distances(s);
        value_id scaled = d ? spell_scaled(g, s->n, d, -parameters[0]) : 0;
        return kit_build1(g, s->n, "Exp", scaled);
    }
    value_id sv = ml_constant(g, s->n, "support_vectors", s->type, 2, shape);
    value_id dot = sv ? product(s, sv) : 0;
    if (!dot || strcasecmp(kind, "LINEAR") == 0) return dot;
    dot = spell_scaled(g, s->n, dot, parameters[0]);
    dot = build2(s, "Add", dot, spell_number(g, s->type, parameters[1]));
    if (strcasecmp(kind, "SIGMOID") == 0) return kit_build1(g, s->n, "Tanh", dot);
    if (strcasecmp(kind, "POLY") == 0)
        return build2(s, "Pow", dot, spell_number(g, s->type, (double)(int64_t)parameters[2]));
    op_error(g, s->n, NULL, "there is no kernel %s", kind);
    return 0;
}

/* Checks that there are as many support vectors as the model says. */
static bool read_vectors(svm *s, int64_t count) {
    int64_t elements;
    if (count < 0 || __builtin_mul_overflow(count, s->features, &elements) ||
        elements != (int64_t)ml_count(s->g, s->n, "support_vectors"))
        return op_error(s->g, s->n, NULL,
                        "attribute support_vectors has %zu elements for %lld "
                        "vectors of %lld features",
                        ml_count(s->g, s->n, "support_vectors"), (long long)count,
                        (long long)s->features);
    s->vectors = count;
    return true;
}

/* ---- SVMRegressor ---- */

static bool expand_svm_regressor(graph *g, node_id n) {
    svm s;
    ml_transform transform;
    if (!begin(g, n, &s) || !ml_read_transform(g, n, &transform)) return false;
    const node nd = *graph_node(g, n);
    int64_t count = node_attr_int(&nd, "n_supports", 0);
    if (count > 0 && !read_vectors(&s, count)) return false;
    const int64_t shape[] = {1, count > 0 ? count : s.features};
    value_id c = ml_constant(g, n, "coefficients", s.type, 2, shape), y;
    if (!c) return false;
    value_id rho = spell_number(g, s.type, s.rho), columns = spell_transposed(g, n, c);
    y = combine(&s, count > 0 ? kernels(&s) : s.x, columns, rho);
    if (node_attr_int(&nd, "one_class", 0)) {
        value_id above = build2(&s, "Greater", y, spell_number(g, s.type, 0));
        value_id which[] = {above, spell_number(g, s.type, 1), spell_number(g, s.type, -1)};
        y = kit_build(g, n, "Where", 3, which, 0, NULL);
    }
    y = ml_apply_transform(g, n, transform, y);
    return spell_result(g, n, kit_build_cast(g, n, y, DTYPE_F32));
}

/* ---- SVMClassifier ---- */

static int64_t pairs_of(const svm *s) {
    return s->classes * (s->classes - 1) / 2;
}

/* The numbers of support vectors of each class add up to all of them. */
static bool read_classes(svm *s, const int64_t *sizes, size_t count) {
    int64_t total = 0;
    if ((int64_t)count != s->classes)
        return op_error(s->g, s->n, NULL,
                        "attribute vectors_per_class has %zu elements for %lld "
                        "classes",
                        count, (long long)s->classes);
    for (size_t i = 0; i < count; i++)
        if (sizes[i] < 0 || __builtin_add_overflow(total, sizes[i], &total))
            return op_error(s->g, s->n, NULL, "attribute vectors_per_class holds %lld",
                            (long long)sizes[i]);
    if (!read_vectors(s, total)) return false;
    if ((int64_t)ml_count(s->g, s->n, "coefficients") != total * (s->classes - 1) ||
        (int64_t)ml_count(s->g, s->n, "rho") < pairs_of(s))
        return op_error(s->g, s->n, NULL,
                        "coefficients and rho do not fit %lld vectors of %lld "
                        "classes",
                        (long long)total, (long long)s->classes);
    return true;
}

/* Column p of the matrix decides pair p, of classes i < j: row j - 1 of the coefficients for the
 * vectors of i, row i for those of j. A positive sum is a vote for i. */
static value_id decisions(const svm *s, const int64_t *sizes) {
    graph *g = s->g;
    int64_t pairs = pairs_of(s), p = 0, from = 0;
    const int64_t row[] = {1, pairs};
    double *c = ARENA_ARRAY(g->memory, double, (size_t)(s->vectors * pairs));
    int64_t *start = ARENA_ARRAY(g->memory, int64_t, (size_t)s->classes);
    for (int64_t i = 0; i < s->classes; from += sizes[i++]) start[i] = from;
    for (int64_t i = 0; i < s->classes; i++)
        for (int64_t j = i + 1; j < s->classes; j++, p++) {
            for (int64_t v = start[i]; v < start[i] + sizes[i]; v++)
                c[v * pairs + p] = s->coefficients[(j - 1) * s->vectors + v];
            for (int64_t v = start[j]; v < start[j] + sizes[j]; v++)
                c[v * pairs + p] = s->coefficients[i * s->vectors + v];
        }
    const attr *rho = node_attr(graph_node(g, s->n), "rho");
    value_id offsets = graph_add_constant_floats(g, NULL, s->type, 2, row, rho->floats);
    return combine(s, kernels(s), matrix(s, s->vectors, pairs, c), offsets);
}

/* How many pairs each class wins: what is won of the first, and what is not of the second. */
static value_id votes(const svm *s, value_id decided) {
    graph *g = s->g;
    int64_t pairs = pairs_of(s), p = 0;
    const int64_t row[] = {1, s->classes};
    double *sign = ARENA_ARRAY(g->memory, double, (size_t)(pairs * s->classes));
    double *base = ARENA_ARRAY(g->memory, double, (size_t)s->classes);
    for (int64_t i = 0; i < s->classes; i++)
        for (int64_t j = i + 1; j < s->classes; j++, p++) {
            sign[p * s->classes + i] = 1;
            sign[p * s->classes + j] = -1;
            base[j] += 1;
        }
    value_id won = build2(s, "Greater", decided, spell_number(g, s->type, 0));
    won = won ? kit_build_cast(g, s->n, won, s->type) : 0;
    value_id sums = build2(s, "MatMul", won, matrix(s, pairs, s->classes, sign));
    return build2(s, "Add", sums, graph_add_constant_floats(g, NULL, s->type, 2, row, base));
}

/* The probability of each class, from those of the pairs. */
static value_id probabilities(const svm *s, value_id decided) {
    graph *g = s->g;
    const int64_t row[] = {1, pairs_of(s)};
    value_id a = ml_constant(g, s->n, "prob_a", s->type, 2, row);
    value_id b = a ? ml_constant(g, s->n, "prob_b", s->type, 2, row) : 0;
    value_id inputs[] = {decided, a, b};
    if (!decided || !a || !b) return 0;
    value_id won = spell_value(g, s->n, "onnxcc.PairProbability", 3, inputs, 0, NULL);
    attr classes = attr_int("classes", s->classes);
    return won ? spell_value(g, s->n, "onnxcc.CoupledProbability", 1, &won, 1, &classes) : 0;
}

static value_id linear_decisions(const svm *s) {
    const int64_t shape[] = {s->classes, s->features};
    value_id c = ml_constant(s->g, s->n, "coefficients", s->type, 2, shape);
    return c ? build2(s, "Add", product(s, c), spell_number(s->g, s->type, s->rho)) : 0;
}

static bool expand_svm_classifier(graph *g, node_id n) {
    svm s;
    ml_transform transform;
    size_t count;
    if (!begin(g, n, &s) || !ml_read_transform(g, n, &transform)) return false;
    const int64_t *sizes = node_attr_ints(graph_node(g, n), "vectors_per_class", &count);
    value_id labels = ml_labels(g, n, "classlabels_ints", "classlabels_strings", &s.classes);
    value_id scores, ranked, made[2] = {0};
    bool pairs = ml_count(g, n, "support_vectors") > 0;
    if (s.classes < 1 || s.classes > MOST_CLASSES)
        return op_error(g, n, NULL, "it has %lld labels of classes", (long long)s.classes);
    if (pairs && (s.classes < 2 || !read_classes(&s, sizes, count)))
        return s.classes < 2 && op_error(g, n, NULL, "it has no two classes");
    scores = ranked = pairs ? decisions(&s, sizes) : linear_decisions(&s);
    if (!scores) return false;
    if (pairs) {
        ranked = votes(&s, scores);
        if (ml_count(g, n, "prob_a")) {
            scores = probabilities(&s, scores);
        } else if (s.classes == 2) {
            value_id both[] = {kit_build1(g, n, "Neg", scores), scores};
            scores = spell_concat(g, n, 1, 2, both);
        }
    }
    made[0] = ml_best_label(g, n, labels, ranked);
    made[1] = kit_build_cast(g, n, ml_apply_transform(g, n, transform, scores), DTYPE_F32);
    return spell_results(g, n, 2, made);
}

/* ---- coupling of the pairs' probabilities: the second method of Wu, Lin and Weng (2004) ---- */

static bool infer_coupled(graph *g, node_id n) {
    int64_t classes = node_attr_int(graph_node(g, n), "classes", 0);
    if (!kit_need(g, n, 0, 2, 2)) return false;
    if (classes < 2 || classes > MOST_CLASSES)
        return op_error(g, n, NULL, "attribute classes is %lld", (long long)classes);
    const type x = *kit_input(g, n, 0);
    dim dims[] = {x.dims[0], kit_dim(g, classes)};
    if (!kit_agree(g, n, x.dims[1], kit_dim(g, classes * (classes - 1) / 2), "the pairs"))
        return false;
    op_set_type(g, n, 0, type_tensor(x.dtype, 2, dims));
    return true;
}

/* The matrix Q of the method is not stored: off its diagonal it follows from one pair. */
typedef struct {
    lower *l;
    loop_kernel *k;
    value_id pairs;
    dtype type;
    int64_t classes;
    loop_expr row, count;
    loop_buf p; /* the result: a row of probabilities */
    loop_buf qp, diagonal, total, error, step, running;
} coupling;

static loop_expr at1(const coupling *c, loop_buf b, loop_expr i) {
    return lower_value(c->l, b, &i);
}

static loop_expr share(const coupling *c, loop_expr i) {
    const loop_expr index[] = {c->row, i};
    return lower_value(c->l, c->p, index);
}

static void set_share(const coupling *c, loop_expr i, loop_expr v) {
    const loop_expr index[] = {c->row, i};
    lower_assign(c->l, c->p, index, v);
}

/* The probability of the first of two classes in their order; some number if they are the same. */
static loop_expr read_pair(const coupling *c, loop_expr a, loop_expr b) {
    loop_kernel *k = c->k;
    loop_expr one = loop_int(k, 1), low = loop_min(k, a, b), high = loop_max(k, a, b);
    loop_expr skipped = loop_floordiv(k, loop_mul(k, low, loop_add(k, low, one)), loop_int(k, 2));
    loop_expr at = loop_sub(k, loop_mul(k, low, c->count), skipped);
    at = loop_add(k, at, loop_sub(k, loop_sub(k, high, low), one));
    at = loop_min(k, at, loop_int(k, c->classes * (c->classes - 1) / 2 - 1));
    const loop_expr index[] = {c->row, loop_max(k, at, loop_int(k, 0))};
    return lower_read(c->l, c->pairs, index);
}

static loop_expr q_element(const coupling *c, loop_expr t, loop_expr j) {
    loop_kernel *k = c->k;
    loop_expr w = read_pair(c, t, j), one = kit_float(c->l, c->type, 1);
    loop_expr off = kit_op1(c->l, LOOP_NEG, loop_mul(k, w, loop_sub(k, one, w)));
    return loop_select(k, kit_op2(c->l, LOOP_EQ, t, j), at1(c, c->diagonal, t), off);
}

static void begin_row(const coupling *c) {
    loop_kernel *k = c->k;
    lower *l = c->l;
    loop_expr one = kit_float(l, c->type, 1), zero = kit_float(l, c->type, 0);
    loop_expr t = lower_begin(l, LOOP_SERIAL, "t", c->count);
    set_share(c, t, kit_float(l, c->type, 1.0 / (double)c->classes));
    lower_assign(l, c->diagonal, &t, zero);
    loop_expr j = lower_begin(l, LOOP_SERIAL, "j", c->count), w = read_pair(c, j, t);
    loop_expr r = loop_select(k, loop_lt(k, j, t), w, loop_sub(k, one, w));
    r = loop_select(k, kit_op2(l, LOOP_EQ, j, t), zero, r);
    lower_assign(l, c->diagonal, &t, loop_add(k, at1(c, c->diagonal, t), loop_mul(k, r, r)));
    lower_end(l);
    lower_end(l);
    lower_assign(l, c->running, NULL, loop_const_int(k, DTYPE_BOOL, 1));
}

/* Q P and P Q P anew; goes on if some class is too far from the mean. */
static void measure(const coupling *c) {
    loop_kernel *k = c->k;
    lower *l = c->l;
    loop_expr zero = kit_float(l, c->type, 0);
    lower_assign(l, c->total, NULL, zero);
    lower_assign(l, c->error, NULL, zero);
    loop_expr t = lower_begin(l, LOOP_SERIAL, "t", c->count);
    lower_assign(l, c->qp, &t, zero);
    loop_expr j = lower_begin(l, LOOP_SERIAL, "j", c->count);
    loop_expr term = loop_mul(k, q_element(c, t, j), share(c, j));
    lower_assign(l, c->qp, &t, loop_add(k, at1(c, c->qp, t), term));
    lower_end(l);
    lower_accumulate(l, c->total, LOOP_ADD, loop_mul(k, share(c, t), at1(c, c->qp, t)));
    lower_end(l);
    t = lower_begin(l, LOOP_SERIAL, "t", c->count);
    loop_expr off = loop_sub(k, at1(c, c->qp, t), lower_value(l, c->total, NULL));
    lower_accumulate(l, c->error, LOOP_MAX, kit_op1(l, LOOP_ABS, off));
    lower_end(l);
    loop_expr limit = kit_float(l, c->type, 0.005 / (double)c->classes);
    lower_assign(l, c->running, NULL, kit_op2(l, LOOP_LE, limit, lower_value(l, c->error, NULL)));
}

static void improve(const coupling *c) {
    loop_kernel *k = c->k;
    lower *l = c->l;
    loop_expr one = kit_float(l, c->type, 1), two = kit_float(l, c->type, 2);
    loop_expr total = lower_value(l, c->total, NULL), step = lower_value(l, c->step, NULL);
    loop_expr t = lower_begin(l, LOOP_SERIAL, "t", c->count);
    loop_expr d = at1(c, c->diagonal, t), q = at1(c, c->qp, t);
    lower_assign(l, c->step, NULL, kit_op2(l, LOOP_DIV, loop_sub(k, total, q), d));
    set_share(c, t, loop_add(k, share(c, t), step));
    loop_expr more = loop_mul(k, step, loop_add(k, loop_mul(k, step, d), loop_mul(k, two, q)));
    loop_expr scale = loop_add(k, one, step);
    lower_assign(l, c->total, NULL,
                 kit_op2(l, LOOP_DIV, loop_add(k, total, more), loop_mul(k, scale, scale)));
    loop_expr j = lower_begin(l, LOOP_SERIAL, "j", c->count);
    set_share(c, j, kit_op2(l, LOOP_DIV, share(c, j), scale));
    loop_expr moved = loop_add(k, at1(c, c->qp, j), loop_mul(k, step, q_element(c, t, j)));
    lower_assign(l, c->qp, &j, kit_op2(l, LOOP_DIV, moved, scale));
    lower_end(l);
    lower_end(l);
}

static void nest_coupled(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    coupling c = {.l = l, .k = k, .pairs = graph_input(g, n, 0)};
    c.type = lower_type(l, c.pairs)->dtype;
    c.classes = node_attr_int(graph_node(g, n), "classes", 2);
    c.count = loop_int(k, c.classes);
    c.p = kit_result_buffer(l, graph_output(g, n, 0));
    c.row = lower_begin(l, LOOP_INDEPENDENT, "row", lower_dim(l, c.pairs, 0));
    c.qp = lower_local(l, "qp", c.type, LOOP_SPACE_STACK, 1, &c.classes);
    c.diagonal = lower_local(l, "d", c.type, LOOP_SPACE_STACK, 1, &c.classes);
    c.total = kit_scalar(l, "total", c.type);
    c.error = kit_scalar(l, "error", c.type);
    c.step = kit_scalar(l, "step", c.type);
    c.running = kit_scalar(l, "running", DTYPE_BOOL);
    begin_row(&c);
    (void)lower_begin(l, LOOP_SERIAL, "round", loop_int(k, c.classes > 100 ? c.classes : 100));
    for (int part = 0; part < 2; part++) {
        lower_begin_if(l, lower_value(l, c.running, NULL));
        part ? improve(&c) : measure(&c);
        lower_end_if(l);
    }
    lower_end(l);
    lower_end(l);
}

const op_def ops_ml_svm[] = {
    ML_ROW("SVMClassifier", expand_svm_classifier),
    ML_ROW("SVMRegressor", expand_svm_regressor),
    {.domain = OP_INTERNAL,
     .name = "PairProbability",
     .flags = OP_POINTWISE,
     .formula = "min(max(1 - sigmoid(a * b + c), 1e-7), 1 - 1e-7)"},
    {.domain = OP_INTERNAL,
     .name = "CoupledProbability",
     .infer = infer_coupled,
     .nest = nest_coupled},
};
const size_t ops_ml_svm_count = sizeof ops_ml_svm / sizeof *ops_ml_svm;
