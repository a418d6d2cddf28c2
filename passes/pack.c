/* pack.c: matrix products become Linear, whose second operand lies with its columns in blocks
 * ([N/32][K][32] where there are more rows than one): constant operands are packed at compile time
 * by the folding that follows, others by a small kernel at run time. Products that Linear does not
 * cover stay. */
#include "passes/rewrite.h"

#include <string.h>

typedef struct {
    graph *g;
    int block;
    long changes;
} packer;

static value_id build(packer *p, node_id before, const char *op, value_id x, uint32_t attr_count,
                      const attr *attrs) {
    return graph_build(p->g, graph_node(p->g, before)->region, before, "", op, 1, &x, attr_count,
                       attrs);
}

/* The last two axes swapped. */
static value_id transposed(packer *p, node_id before, value_id v) {
    int64_t perm[TENSOR_MAX_RANK];
    int rank = graph_type(p->g, v)->rank;
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
    attr a = attr_ints("perm", perm, (size_t)rank);
    return build(p, before, "Transpose", v, 1, &a);
}

/* Columns that fill up the last block. */
static int64_t wasted(int64_t columns, int64_t block) {
    return (block - columns % block) % block;
}

/* How many of `columns` lie side by side for a product with so many rows: what a register tile
 * takes at a step, two vectors, or four where a single row leaves it wide. Vectors of columns that
 * lie apart are a power of two apart as a rule, and would evict each other from the cache: to be
 * side by side is worth a few columns of zeros. */
static int column_block(const packer *p, dim rows, dim columns) {
    enum { MOST_WASTE = 32 }; /* one part of so many */
    int64_t n;
    if (!dim_is_const(p->g->dims, columns, &n)) return p->block;
    int vectors = dim_equals_const(p->g->dims, rows, 1) ? 4 : 2;
    while (vectors > 1 && wasted(n, vectors * p->block) * MOST_WASTE > n) vectors /= 2;
    return vectors * p->block;
}

/* v, of shape [..., N, K], with N in blocks. */
static value_id packed(packer *p, node_id before, value_id v, int block) {
    type t = *graph_type(p->g, v);
    tensor_layout *y = ARENA_NEW(p->g->memory, tensor_layout);
    y->block_axis = t.rank - 2;
    y->block = block;
    t.layout = y;
    value_id out = graph_add_value(p->g, graph_value(p->g, v)->name, t);
    graph_add_node(p->g, graph_node(p->g, before)->region, before, op_find(OP_INTERNAL, "Reorder"),
                   "", 1, &v, 1, &out, 0, NULL);
    return out;
}

/* Replaces node n by Linear(a, b, bias): b of shape [..., N, K]. */
static bool replace_by_linear(packer *p, node_id n, value_id a, value_id b, value_id bias) {
    const type *ta = graph_type(p->g, a), *tb = graph_type(p->g, b);
    int block = column_block(p, ta->dims[ta->rank - 2], tb->dims[tb->rank - 2]);
    const node nd = *graph_node(p->g, n);
    value_id inputs[] = {a, packed(p, n, b, block), bias};
    value_id made =
        graph_build(p->g, nd.region, n, OP_INTERNAL, "Linear", bias ? 3 : 2, inputs, 0, NULL);
    if (!made) return false;
    node *l = graph_node(p->g, graph_value(p->g, made)->producer);
    l->name = nd.name;
    l->source = nd.source;
    graph_replace_uses(p->g, nd.outputs[0], made);
    const char *name = graph_value(p->g, made)->name;
    graph_value(p->g, made)->name = graph_value(p->g, nd.outputs[0])->name;
    graph_value(p->g, nd.outputs[0])->name = name;
    graph_remove_node(p->g, n);
    p->changes++;
    return true;
}

static bool pack_matmul(packer *p, node_id n) {
    const node nd = *graph_node(p->g, n);
    const type *a = graph_type(p->g, nd.inputs[0]), *b = graph_type(p->g, nd.inputs[1]);
    if (a->rank < 2 || b->rank < 2 || (a->dtype != DTYPE_F32 && a->dtype != DTYPE_I32)) return true;
    return replace_by_linear(p, n, nd.inputs[0], transposed(p, n, nd.inputs[1]), 0);
}

/* Whether a bias of this type is one number a column. */
static bool is_row(const graph *g, const type *t, dim columns) {
    for (int i = 0; i + 1 < t->rank; i++)
        if (!dim_equals_const(g->dims, t->dims[i], 1)) return false;
    return t->rank >= 1 && t->dims[t->rank - 1] == columns;
}

static bool pack_gemm(packer *p, node_id n) {
    const node nd = *graph_node(p->g, n);
    const type *y = graph_type(p->g, nd.outputs[0]);
    value_id a = nd.inputs[0], b = nd.inputs[1], c = nd.input_count > 2 ? nd.inputs[2] : 0;
    bool scaled =
        node_attr_float(&nd, "alpha", 1) != 1 || (c && node_attr_float(&nd, "beta", 1) != 1);
    if (y->dtype != DTYPE_F32 || y->rank != 2 || scaled) return true;
    if (c && !is_row(p->g, graph_type(p->g, c), y->dims[1])) return true;
    if (node_attr_int(&nd, "transA", 0)) a = transposed(p, n, a);
    if (!node_attr_int(&nd, "transB", 0)) b = transposed(p, n, b);
    if (c && graph_type(p->g, c)->rank == 2) {
        int64_t shape[] = {-1}, one[] = {1};
        value_id inputs[] = {c, graph_add_constant_ints(p->g, "shape", DTYPE_I64, 1, one, shape)};
        c = graph_build(p->g, nd.region, n, "", "Reshape", 2, inputs, 0, NULL);
    }
    return replace_by_linear(p, n, a, b, c);
}

/* Internal operators have their weights in rows already: Linear, and the steps of the recurrent
 * operators. */
static void pack_weights(packer *p, node_id n) {
    static const char *const names[] = {"Linear", "LstmRecurrence", "GruRecurrence",
                                        "RnnRecurrence"};
    const node nd = *graph_node(p->g, n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(nd.op->name, names[i]) != 0) continue;
        const type *t = graph_type(p->g, nd.inputs[1]);
        if (t->layout || t->dtype != DTYPE_F32) return;
        const type *x = graph_type(p->g, nd.inputs[0]);
        /* A recurrent step has a row for each entry of a batch that is constant, and takes its
         * weights gate by gate. */
        dim rows = x->dims[x->rank - 2];
        if (i && !dim_is_const(p->g->dims, rows, NULL)) rows = dim_const(p->g->dims, 1);
        int block = column_block(p, rows, t->dims[t->rank - (i ? 1 : 2)]);
        value_id made = packed(p, n, nd.inputs[1], block);
        graph_node(p->g, n)->inputs[1] = made;
        p->changes++;
    }
}

static bool pack_region(packer *p, region_id r) {
    size_t count;
    const node_id *order = rewrite_nodes(p->g, r, &count);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        const node nd = *graph_node(p->g, order[i]);
        for (uint32_t j = 0; j < nd.attr_count; j++)
            if (nd.attrs[j].kind == ATTR_REGION) ok &= pack_region(p, (region_id)nd.attrs[j].i);
        if (strcmp(nd.op->domain, OP_INTERNAL) == 0) pack_weights(p, order[i]);
        if (*nd.op->domain) continue;
        if (strcmp(nd.op->name, "MatMul") == 0) ok &= pack_matmul(p, order[i]);
        if (strcmp(nd.op->name, "Gemm") == 0) ok &= pack_gemm(p, order[i]);
    }
    return ok;
}

static long run(graph *g, const pass_options *options) {
    if (!options->vector_block || rewrite_has_groups(g)) return 0;
    packer p = {.g = g, .block = options->vector_block};
    return pack_region(&p, GRAPH_MAIN) ? p.changes : -1;
}

const pass_def pass_pack = {"pack",
                            "matrix products with their second operand in blocks of columns", run};
