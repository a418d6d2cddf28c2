/* ml_tree.c: ensembles of decision trees. The trees are data: one loop nest walks down the tables
 * of all of them, so that the code and the time to compile it do not depend on their number. What
 * comes behind the sums over the trees is spelt in other operators. */
#include "ir/ops/tree_table.h"

#include <float.h>
#include <string.h>

/* Inputs of onnxcc.TreeWalk behind X. NODES: feature and code, bits of a 32-bit threshold, places
 * of the true and of the false branch. Leaves are numbered behind the nodes. */
enum { NODES = 1, ROOTS, STEPS, FIRST, TARGETS, WEIGHTS, VALUES };
enum { LANES = 8, ROWS = 64, CODE_SHIFT = 26 };
typedef enum { AVERAGE, SUM, MIN, MAX } aggregate;

/* ---- tables ---- */

static value_id add_ints(graph *g, int64_t rows, int64_t columns, const int32_t *data) {
    const int64_t dims[] = {rows, columns};
    const size_t bytes = (size_t)(rows * columns) * sizeof *data;
    return graph_add_constant(g, NULL, type_tensor_const(g, DTYPE_I32, columns > 1 ? 2 : 1, dims),
                              (blob){data, bytes, false});
}

static int32_t float_bits(double v) {
    float f = (float)v;
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* A node or leaf as the walk numbers it. */
static int32_t place(const tree_table *t, int32_t at) {
    return at >= 0 ? at : (int32_t)t->nodes.count + ~at;
}

static value_id add_nodes(graph *g, const tree_table *t) {
    size_t count = t->nodes.count;
    int32_t *words = ARENA_ARRAY(g->memory, int32_t, 4 * (count + 1));
    for (size_t i = 0; i < count; i++) {
        const tree_node *n = &t->nodes.data[i];
        words[4 * i] = (int32_t)((uint32_t)n->feature | (uint32_t)n->code << CODE_SHIFT);
        words[4 * i + 1] = float_bits(n->value);
        for (int j = 0; j < 2; j++) words[4 * i + 2 + (size_t)j] = place(t, n->next[j]);
    }
    /* Trees of a leaf alone have no nodes; a table has one at least. */
    return add_ints(g, count ? (int64_t)count : 1, 4, words);
}

static value_id add_floats(graph *g, dtype type, size_t count, const double *data) {
    const int64_t dims[] = {(int64_t)count};
    return graph_add_constant_floats(g, NULL, type, 1, dims, data);
}

/* How many steps a group of trees that are walked together needs. */
static value_id add_steps(graph *g, const tree_table *t, size_t group) {
    size_t count = (t->roots.count + group - 1) / group;
    int32_t *steps = ARENA_ARRAY(g->memory, int32_t, count);
    for (size_t i = 0; i < t->roots.count; i++)
        if (t->heights.data[i] > steps[i / group]) steps[i / group] = t->heights.data[i];
    return add_ints(g, (int64_t)count, 1, steps);
}

static void add_weights(graph *g, const tree_table *t, dtype type, value_id *inputs) {
    size_t count = t->weights.count, leaves = (size_t)t->leaves;
    int32_t *first = ARENA_ARRAY(g->memory, int32_t, leaves + 1);
    int32_t *targets = ARENA_ARRAY(g->memory, int32_t, count + 1);
    double *weights = ARENA_ARRAY(g->memory, double, count + 1);
    for (size_t i = 0; i < count; i++) {
        first[t->weights.data[i].leaf + 1]++;
        targets[i] = t->weights.data[i].target;
        weights[i] = t->weights.data[i].weight;
    }
    for (size_t i = 0; i < leaves; i++) first[i + 1] += first[i];
    inputs[FIRST] = add_ints(g, (int64_t)leaves + 1, 1, first);
    inputs[TARGETS] = add_ints(g, (int64_t)count + 1, 1, targets);
    inputs[WEIGHTS] = add_floats(g, type, count + 1, weights);
}

static value_id add_values(graph *g, const tree_table *t) {
    double *values = ARENA_ARRAY(g->memory, double, t->nodes.count + 1);
    for (size_t i = 0; i < t->nodes.count; i++) values[i] = t->nodes.data[i].value;
    return add_floats(g, DTYPE_F64, t->nodes.count + 1, values);
}

/* The code that all nodes share but for NaN; -1 if they differ. */
static int64_t common_code(const tree_table *t, bool *nan) {
    int32_t code = t->nodes.count ? t->nodes.data[0].code & ~TREE_NAN : TREE_LESS;
    *nan = false;
    for (size_t i = 0; i < t->nodes.count; i++) {
        *nan |= (t->nodes.data[i].code & TREE_NAN) != 0;
        if ((t->nodes.data[i].code & ~TREE_NAN) != code) return -1;
    }
    return code;
}

/* What the trees sum up (or take the least or most of) for each row of x. */
static value_id walk(graph *g, node_id n, value_id x, const tree_table *t, int64_t targets,
                     aggregate how) {
    dtype type = graph_type(g, x)->dtype;
    bool nan, one_row = dim_equals_const(g->dims, graph_type(g, x)->dims[0], 1);
    value_id inputs[VALUES + 1] = {x};
    int32_t *roots = ARENA_ARRAY(g->memory, int32_t, t->roots.count);
    int64_t features = ml_feature_count(g, x), code = common_code(t, &nan);
    if (features >= 0 && features < t->features) {
        op_error(g, n, NULL, "the trees test feature %d of %lld", t->features - 1,
                 (long long)features);
        return 0;
    }
    for (size_t i = 0; i < t->roots.count; i++) roots[i] = place(t, t->roots.data[i]);
    inputs[NODES] = add_nodes(g, t);
    inputs[ROOTS] = add_ints(g, (int64_t)t->roots.count, 1, roots);
    inputs[STEPS] = add_steps(g, t, one_row ? LANES : 1);
    add_weights(g, t, type, inputs);
    if (type == DTYPE_F64) inputs[VALUES] = add_values(g, t);
    attr attrs[] = {attr_int("targets", targets),
                    attr_int("features", t->features),
                    attr_int("how", how),
                    attr_int("code", code),
                    attr_int("nan", nan),
                    attr_int("one_row", one_row),
                    attr_int("nodes", (int64_t)t->nodes.count)};
    return spell_value(g, n, "onnxcc.TreeWalk", VALUES + 1, inputs, 7, attrs);
}

/* ---- the nest ---- */

static bool infer_walk(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 2, 2)) return false;
    for (uint32_t i = NODES; i < VALUES; i++)
        if (!kit_need(g, n, i, 1, 2)) return false;
    const type x = *kit_input(g, n, 0);
    dim dims[] = {x.dims[0], kit_dim(g, node_attr_int(graph_node(g, n), "targets", 1))};
    op_set_type(g, n, 0, type_tensor(x.dtype, 2, dims));
    return true;
}

typedef struct {
    lower *l;
    loop_kernel *k;
    node_id n;
    dtype type;
    loop_buf at; /* where each lane stands */
    loop_buf y;  /* sums */
    value_id in[VALUES + 1];
    loop_expr rows, features, inner;
    bool one_row;
} walker;

static int64_t setting(const walker *w, const char *name) {
    return node_attr_int(graph_node(lower_graph(w->l), w->n), name, 0);
}

static loop_expr read1(const walker *w, int input, loop_expr i) {
    return lower_read(w->l, w->in[input], &i);
}

static loop_expr read_place(const walker *w, int input, loop_expr i) {
    return loop_cast(w->k, DTYPE_I64, read1(w, input, i));
}

static loop_expr read_word(const walker *w, loop_expr node, loop_expr word) {
    const loop_expr index[] = {node, word};
    return lower_read(w->l, w->in[NODES], index);
}

static loop_expr bit(const walker *w, loop_expr code, loop_expr number) {
    loop_kernel *k = w->k;
    loop_expr one = loop_const_int(k, DTYPE_I32, 1);
    loop_expr masked = loop_and(k, kit_op2(w->l, LOOP_SHR, code, number), one);
    return kit_op2(w->l, LOOP_NE, masked, loop_const_int(k, DTYPE_I32, 0));
}

/* Whether the true branch is taken: one comparison where all nodes have the same, else the bit of
 * the node's code for how x compares. */
static loop_expr decide(const walker *w, loop_expr word, loop_expr x, loop_expr v) {
    loop_kernel *k = w->k;
    loop_expr number[4],
        code = kit_op2(w->l, LOOP_SHR, word, loop_const_int(k, DTYPE_I32, CODE_SHIFT));
    for (int i = 0; i < 4; i++) number[i] = loop_const_int(k, DTYPE_I32, i);
    int64_t common = setting(w, "code");
    loop_expr known = 0;
    if (common == TREE_LESS) known = kit_op2(w->l, LOOP_LT, x, v);
    if (common == (TREE_LESS | TREE_EQUAL)) known = kit_op2(w->l, LOOP_LE, x, v);
    if (known && !setting(w, "nan")) return known;
    loop_expr odd = kit_op2(w->l, LOOP_NE, x, x);
    if (known) return kit_op2(w->l, LOOP_OR, known, loop_and(k, odd, bit(w, code, number[3])));
    loop_expr greater = loop_select(k, kit_op2(w->l, LOOP_LT, v, x), number[2], number[3]);
    loop_expr which = loop_select(k, kit_op2(w->l, LOOP_EQ, x, v), number[1], greater);
    which = loop_select(k, kit_op2(w->l, LOOP_LT, x, v), number[0], which);
    return bit(w, code, which);
}

/* One step of a lane down its tree; a lane at a leaf stays there. */
static void step(const walker *w, loop_expr lane, loop_expr row) {
    loop_kernel *k = w->k;
    loop_expr at = lower_value(w->l, w->at, &lane), inside = loop_lt(k, at, w->inner);
    loop_expr last = loop_max(k, loop_sub(k, w->inner, loop_int(k, 1)), loop_int(k, 0));
    loop_expr node = loop_min(k, at, last), word = read_word(w, node, loop_int(k, 0));
    loop_expr mask = loop_const_int(k, DTYPE_I32, (1 << CODE_SHIFT) - 1);
    loop_expr feature = loop_cast(k, DTYPE_I64, loop_and(k, word, mask));
    loop_expr index[] = {row, loop_min(k, feature, loop_sub(k, w->features, loop_int(k, 1)))};
    loop_expr x = lower_read(w->l, w->in[0], index);
    loop_expr v = w->type == DTYPE_F64
                      ? read1(w, VALUES, node)
                      : loop_bitcast(k, DTYPE_F32, read_word(w, node, loop_int(k, 1)));
    loop_expr branch = loop_select(k, decide(w, word, x, v), loop_int(k, 2), loop_int(k, 3));
    loop_expr next = loop_cast(k, DTYPE_I64, read_word(w, node, branch));
    lower_assign(w->l, w->at, &lane, loop_select(k, inside, next, at));
}

/* Adds what the lane's leaf weighs to the sums of the row. */
static void add_leaf(const walker *w, loop_expr lane, loop_expr row) {
    loop_kernel *k = w->k;
    loop_expr leaf = loop_sub(k, lower_value(w->l, w->at, &lane), w->inner);
    loop_expr first = read_place(w, FIRST, leaf);
    loop_expr behind = read_place(w, FIRST, loop_add(k, leaf, loop_int(k, 1)));
    loop_expr i = lower_begin(w->l, LOOP_SERIAL, "i", loop_sub(k, behind, first));
    loop_expr from = loop_add(k, first, i);
    loop_expr to[] = {row, read_place(w, TARGETS, from)};
    int64_t how = setting(w, "how");
    loop_op op = how == MIN ? LOOP_MIN : how == MAX ? LOOP_MAX : LOOP_ADD;
    loop_expr sum = loop_make(k, op, lower_value(w->l, w->y, to), read1(w, WEIGHTS, from), 0);
    lower_assign(w->l, w->y, to, sum);
    lower_end(w->l);
}

static void clear_row(const walker *w, loop_expr row) {
    int64_t how = setting(w, "how");
    double most = w->type == DTYPE_F64 ? DBL_MAX : (double)FLT_MAX;
    loop_expr index[] = {
        row, lower_begin(w->l, LOOP_SERIAL, "c", loop_int(w->k, setting(w, "targets")))};
    lower_assign(w->l, w->y, index,
                 kit_float(w->l, w->type,
                           how == MIN   ? most
                           : how == MAX ? -most
                                        : 0));
    lower_end(w->l);
}

/* The walk of LANES lanes at once hides the time that each takes for its loads. They are trees from
 * `first` on if there is one row, else rows from `first` on, down one tree. */
static void walk_lanes(const walker *w, loop_expr group, loop_expr first) {
    loop_kernel *k = w->k;
    lower *l = w->l;
    loop_expr lanes = loop_int(k, LANES), zero = loop_int(k, 0);
    loop_expr limit = w->one_row ? lower_dim(l, w->in[ROOTS], 0) : w->rows;
    loop_expr lane = lower_begin(l, LOOP_SERIAL, "lane", lanes);
    loop_expr item = loop_min(k, loop_add(k, first, lane), loop_sub(k, limit, loop_int(k, 1)));
    lower_assign(l, w->at, &lane, read_place(w, ROOTS, w->one_row ? item : group));
    lower_end(l);
    (void)lower_begin(l, LOOP_SERIAL, "step", read_place(w, STEPS, group));
    lane = lower_begin(l, LOOP_SERIAL, "lane", lanes);
    item = loop_min(k, loop_add(k, first, lane), loop_sub(k, limit, loop_int(k, 1)));
    step(w, lane, w->one_row ? zero : item);
    lower_end(l);
    lower_end(l);
    lane = lower_begin(l, LOOP_SERIAL, "lane", lanes);
    item = loop_add(k, first, lane);
    lower_begin_if(l, loop_lt(k, item, limit));
    add_leaf(w, lane, w->one_row ? zero : item);
    lower_end_if(l);
    lower_end(l);
}

static loop_expr groups_of(const walker *w, loop_expr count, int64_t size) {
    loop_kernel *k = w->k;
    return loop_floordiv(k, loop_add(k, count, loop_int(k, size - 1)), loop_int(k, size));
}

/* All rows of a block go down a tree before the next one's turn: a tree stays in the cache. */
static void walk_rows(const walker *w, loop_expr start) {
    loop_kernel *k = w->k;
    lower *l = w->l;
    loop_expr tree = lower_begin(l, LOOP_SERIAL, "tree", lower_dim(l, w->in[ROOTS], 0));
    loop_expr left = loop_min(k, loop_sub(k, w->rows, start), loop_int(k, ROWS));
    loop_expr group = lower_begin(l, LOOP_SERIAL, "group", groups_of(w, left, LANES));
    walk_lanes(w, tree, loop_add(k, start, loop_mul(k, group, loop_int(k, LANES))));
    lower_end(l);
    lower_end(l);
}

static void walk_row(const walker *w) {
    loop_kernel *k = w->k;
    loop_expr trees = lower_dim(w->l, w->in[ROOTS], 0);
    loop_expr group = lower_begin(w->l, LOOP_SERIAL, "trees", groups_of(w, trees, LANES));
    walk_lanes(w, group, loop_mul(k, group, loop_int(k, LANES)));
    lower_end(w->l);
}

static void clear_rows(const walker *w, loop_expr start) {
    loop_kernel *k = w->k;
    loop_expr left = loop_min(k, loop_sub(k, w->rows, start), loop_int(k, ROWS));
    loop_expr row = lower_begin(w->l, LOOP_SERIAL, "row", left);
    clear_row(w, loop_add(k, start, row));
    lower_end(w->l);
}

static void nest_walk(lower *l, node_id n) {
    const int64_t lanes = LANES;
    walker w = {.l = l, .k = lower_kernel(l), .n = n};
    for (uint32_t i = 0; i <= VALUES; i++) w.in[i] = graph_input(lower_graph(l), n, i);
    w.type = lower_type(l, w.in[0])->dtype;
    w.one_row = setting(&w, "one_row");
    w.rows = lower_dim(l, w.in[0], 0);
    w.features = lower_dim(l, w.in[0], 1);
    w.inner = loop_int(w.k, setting(&w, "nodes"));
    w.y = kit_result_buffer(l, graph_output(lower_graph(l), n, 0));
    loop_expr needed = loop_int(w.k, setting(&w, "features"));
    loop_expr block = lower_begin(l, LOOP_INDEPENDENT, "block", groups_of(&w, w.rows, ROWS));
    lower_check(l, kit_op2(l, LOOP_LE, needed, w.features), LOOP_STATUS_BAD_SHAPE);
    w.at = lower_local(l, "at", DTYPE_I64, LOOP_SPACE_STACK, 1, &lanes);
    loop_expr start = loop_mul(w.k, block, loop_int(w.k, ROWS));
    clear_rows(&w, start);
    if (w.one_row)
        walk_row(&w);
    else
        walk_rows(&w, start);
    lower_end(l);
}

/* ---- spelling ---- */

static bool read_targets(graph *g, node_id n, int64_t *targets) {
    *targets = node_attr_int(graph_node(g, n), "n_targets", 1);
    return (*targets > 0 && *targets <= INT32_MAX) ||
           op_error(g, n, NULL, "attribute n_targets is %lld", (long long)*targets);
}

static bool read_aggregate(graph *g, node_id n, aggregate *out) {
    static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    const attr *a = node_attr(graph_node(g, n), "aggregate_function");
    *out = SUM;
    for (int i = 0; i < 4; i++)
        if (!a || (a->kind == ATTR_INT ? a->i == i : strcmp(a->string, names[i]) == 0)) {
            *out = a ? (aggregate)i : SUM;
            return true;
        }
    return op_error(g, n, NULL,
                    "attribute aggregate_function is none of AVERAGE, SUM, MIN and MAX");
}

static value_id rows_for_trees(graph *g, node_id n) {
    if (!graph_input(g, n, 0)) return 0;
    bool wide = graph_type(g, graph_input(g, n, 0))->dtype == DTYPE_F64;
    return ml_rows(g, n, 0, wide ? DTYPE_F64 : DTYPE_F32);
}

static value_id average(graph *g, node_id n, aggregate how, value_id sums, const tree_table *t) {
    if (how != AVERAGE || !sums) return sums;
    dtype type = graph_type(g, sums)->dtype;
    return kit_build2(g, n, "Div", sums, spell_number(g, type, (double)t->roots.count));
}

/* The base values, from the list or the tensor; *count of them, and 0 if there are none. */
static value_id base_values(graph *g, node_id n, dtype type, int64_t *count) {
    const int64_t any[] = {-1};
    const attr *tensor = node_attr(graph_node(g, n), "base_values_as_tensor");
    *count = (int64_t)ml_count(g, n, "base_values");
    if (*count) return ml_constant(g, n, "base_values", type, 1, any);
    if (!tensor) return 0;
    value_id flat = kit_build_reshape(g, n, tensor->tensors[0], any, 1);
    if (!flat || !dim_is_const(g->dims, graph_type(g, flat)->dims[0], count) || !*count) return 0;
    return kit_build_cast(g, n, flat, type);
}

static value_id add_base(graph *g, node_id n, value_id sums, int64_t targets) {
    int64_t count;
    value_id base = sums ? base_values(g, n, graph_type(g, sums)->dtype, &count) : 0;
    if (!base) return sums;
    if (count != 1 && count != targets) {
        op_error(g, n, NULL, "it has %lld base values for %lld scores", (long long)count,
                 (long long)targets);
        return 0;
    }
    return kit_build2(g, n, "Add", sums, base);
}

static bool expand_ensemble(graph *g, node_id n) {
    int64_t targets;
    aggregate how;
    ml_transform transform;
    tree_table t;
    value_id x = rows_for_trees(g, n);
    if (!x || !read_targets(g, n, &targets) || !read_aggregate(g, n, &how) ||
        !ml_read_transform(g, n, &transform) || !tree_table_read(g, n, targets, &t))
        return false;
    value_id y = average(g, n, how, walk(g, n, x, &t, targets, how), &t);
    y = ml_apply_transform(g, n, transform, y);
    return spell_result(g, n, kit_build_cast(g, n, y, graph_type(g, graph_input(g, n, 0))->dtype));
}

static bool expand_regressor(graph *g, node_id n) {
    int64_t targets;
    aggregate how;
    ml_transform transform;
    tree_table t;
    value_id x = rows_for_trees(g, n);
    if (!x || !read_targets(g, n, &targets) || !read_aggregate(g, n, &how) ||
        !ml_read_transform(g, n, &transform) || !tree_table_read_old(g, n, "target", targets, &t))
        return false;
    value_id y = average(g, n, how, walk(g, n, x, &t, targets, how), &t);
    y = ml_apply_transform(g, n, transform, add_base(g, n, y, targets));
    return spell_result(g, n, kit_build_cast(g, n, y, DTYPE_F32));
}

/* ---- classifiers ---- */

/* Whether all weights are for one class, and all at least zero. */
static bool one_class(const tree_table *t, bool *positive) {
    *positive = true;
    for (size_t i = 0; i < t->weights.count; i++) {
        if (t->weights.data[i].target != t->weights.data[0].target) return false;
        *positive &= t->weights.data[i].weight >= 0;
    }
    return true;
}

/* Two classes whose weights are all for one of them: its score s is that of the second class, by
 * the convention of ONNX Runtime, which all exporters follow. The first one's is 1 - s where
 * weights are shares of votes (all positive), else -s. */
static bool classify_two(graph *g, node_id n, value_id labels, value_id sums, bool votes,
                         value_id *made) {
    ml_transform transform;
    dtype type = graph_type(g, sums)->dtype;
    if (!ml_read_transform(g, n, &transform)) return false;
    votes = transform == ML_PROBIT || (transform == ML_NONE && votes);
    value_id other = votes ? kit_build2(g, n, "Sub", spell_number(g, type, 1), sums)
                           : kit_build1(g, n, "Neg", sums);
    value_id both[] = {other, sums};
    made[0] = ml_binary_label(g, n, labels, sums, votes ? 0.5 : 0);
    made[1] = ml_apply_transform(g, n, transform, spell_concat(g, n, 1, 2, both));
    return true;
}

static bool expand_classifier(graph *g, node_id n) {
    int64_t classes = 0, bases = 0;
    bool positive = false;
    ml_transform transform;
    tree_table t;
    value_id made[2] = {0}, x = rows_for_trees(g, n);
    value_id labels = ml_labels(g, n, "classlabels_int64s", "classlabels_strings", &classes);
    if (!x || !ml_read_transform(g, n, &transform)) return false;
    if (!classes || classes > INT32_MAX) return op_error(g, n, NULL, "it has no labels of classes");
    if (!tree_table_read_old(g, n, "class", classes, &t)) return false;
    bool two = classes == 2 && one_class(&t, &positive);
    for (size_t i = 0; two && i < t.weights.count; i++) t.weights.data[i].target = 0;
    value_id sums = walk(g, n, x, &t, two ? 1 : classes, SUM);
    if (!sums) return false;
    value_id base = base_values(g, n, graph_type(g, sums)->dtype, &bases);
    /* Of two base values the second is that of the score. */
    if (two && bases == 2) base = kit_build_slice(g, n, base, 0, 1, 2);
    if (bases > 1 && bases != classes)
        return op_error(g, n, NULL, "it has %lld base values for %lld classes", (long long)bases,
                        (long long)classes);
    if (base) sums = kit_build2(g, n, "Add", sums, base);
    if (two) {
        if (!sums || !classify_two(g, n, labels, sums, positive, made)) return false;
    } else {
        made[0] = ml_best_label(g, n, labels, sums);
        made[1] = ml_apply_transform(g, n, transform, sums);
    }
    made[1] = kit_build_cast(g, n, made[1], DTYPE_F32);
    return spell_results(g, n, 2, made);
}

const op_def ops_ml_tree[] = {
    ML_ROW("TreeEnsemble", expand_ensemble),
    ML_ROW("TreeEnsembleClassifier", expand_classifier),
    ML_ROW("TreeEnsembleRegressor", expand_regressor),
    {.domain = OP_INTERNAL, .name = "TreeWalk", .infer = infer_walk, .nest = nest_walk},
};
const size_t ops_ml_tree_count = sizeof ops_ml_tree / sizeof *ops_ml_tree;
