/* einsum.c: Einsum as one nest: letters of the result are its loops, the others a reduction over
 * the product of all operands. */
#include "ir/ops/kit.h"

#include <ctype.h>
#include <string.h>

enum { MAX_OPERANDS = 16, MAX_LETTERS = 52 + TENSOR_MAX_RANK };

/* A parsed equation. Letters are numbered a-z 0..25, A-Z 26..51; the axes behind an ellipsis, seen
 * from their end, are 52 and up. */
typedef struct {
    int operands;
    int rank[MAX_OPERANDS];
    int letter[MAX_OPERANDS][TENSOR_MAX_RANK];
    int result_rank;
    int result[TENSOR_MAX_RANK];
    int ellipsis; /* most axes that an ellipsis stands for */
    bool used[MAX_LETTERS];
    int seen[MAX_LETTERS]; /* how often a letter stands in the operands */
} equation;

static int letter_of(char c) {
    return islower((unsigned char)c) ? c - 'a' : isupper((unsigned char)c) ? c - 'A' + 26 : -1;
}

static bool bad(graph *g, node_id n, const char *why) {
    return op_error(g, n, NULL, "equation \"%s\" %s",
                    node_attr_string(graph_node(g, n), "equation", ""), why);
}

/* One term up to ',', '-' or the end. `dots` is the number of axes of its ellipsis. */
static bool parse_term(graph *g, node_id n, const char **text, int dots, int *rank, int *letters) {
    bool had_dots = false;
    *rank = 0;
    for (; **text && **text != ',' && **text != '-'; (*text)++) {
        if (**text == ' ') continue;
        if (**text == '.') {
            if (strncmp(*text, "...", 3) != 0 || had_dots) return bad(g, n, "has a bad ellipsis");
            *text += 2;
            had_dots = true;
            for (int i = dots; i > 0 && *rank < TENSOR_MAX_RANK; i--)
                letters[(*rank)++] = 52 + i - 1;
            continue;
        }
        int letter = letter_of(**text);
        if (letter < 0) return bad(g, n, "holds a character that is no letter");
        if (*rank >= TENSOR_MAX_RANK) return bad(g, n, "has a term of too many axes");
        letters[(*rank)++] = letter;
    }
    return true;
}

/* Letters, without an ellipsis, of the term that begins at `text`. */
static int count_letters(const char *text) {
    int count = 0;
    for (; *text && *text != ',' && *text != '-'; text++) count += letter_of(*text) >= 0;
    return count;
}

static bool has_dots(const char *text) {
    for (; *text && *text != ',' && *text != '-'; text++)
        if (*text == '.') return true;
    return false;
}

static bool parse_operands(graph *g, node_id n, const char **text, equation *e) {
    uint32_t inputs = graph_node(g, n)->input_count;
    if (inputs > MAX_OPERANDS) return bad(g, n, "has more than 16 operands");
    for (uint32_t i = 0; i < inputs; i++) {
        if (i && *(*text)++ != ',') return bad(g, n, "has fewer terms than the node has inputs");
        if (!kit_need(g, n, i, 0, TENSOR_MAX_RANK)) return false;
        int rank = kit_input(g, n, i)->rank, dots = rank - count_letters(*text);
        if (dots < 0 || (dots > 0 && !has_dots(*text)))
            return bad(g, n, "has a term that does not fit the axes of its input");
        if (dots > e->ellipsis) e->ellipsis = dots;
        if (!parse_term(g, n, text, dots, &e->rank[i], e->letter[i])) return false;
        for (int j = 0; j < e->rank[i]; j++) {
            e->used[e->letter[i][j]] = true;
            e->seen[e->letter[i][j]]++;
        }
    }
    e->operands = (int)inputs;
    return true;
}

/* Without "->" the result has the ellipsis, then all letters that stand once, in order (ONNX orders
 * capitals first, as numpy does). */
static void implicit_result(equation *e) {
    for (int i = e->ellipsis; i > 0; i--) e->result[e->result_rank++] = 52 + i - 1;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 26; i++) {
            int letter = pass == 0 ? 26 + i : i;
            if (e->seen[letter] == 1 && e->result_rank < TENSOR_MAX_RANK)
                e->result[e->result_rank++] = letter;
        }
}

static bool parse_equation(graph *g, node_id n, equation *e) {
    *e = (equation){0};
    const char *text = node_attr_string(graph_node(g, n), "equation", NULL);
    if (!text) return op_error(g, n, NULL, "attribute equation is missing");
    if (!parse_operands(g, n, &text, e)) return false;
    if (!*text) {
        implicit_result(e);
        return true;
    }
    if (strncmp(text, "->", 2) != 0) return bad(g, n, "has more terms than the node has inputs");
    text += 2;
    if (!parse_term(g, n, &text, e->ellipsis, &e->result_rank, e->result)) return false;
    if (*text) return bad(g, n, "goes on behind its result");
    bool twice[MAX_LETTERS] = {false};
    for (int i = 0; i < e->result_rank; i++) {
        if (!e->used[e->result[i]]) return bad(g, n, "has a letter in the result alone");
        if (twice[e->result[i]]) return bad(g, n, "has a letter twice in the result");
        twice[e->result[i]] = true;
    }
    return true;
}

/* The size of every letter: operands broadcast along it. */
static bool letter_dims(graph *g, node_id n, const equation *e, dim *dims) {
    for (int i = 0; i < e->operands; i++) {
        const type *t = kit_input(g, n, (uint32_t)i);
        for (int j = 0; j < e->rank[i]; j++) {
            dim *d = &dims[e->letter[i][j]];
            if (*d == DIM_NONE || dim_equals_const(g->dims, *d, 1)) *d = t->dims[j];
            if (dim_equals_const(g->dims, t->dims[j], 1)) continue;
            if (!kit_agree(g, n, *d, t->dims[j], "dimensions of one letter")) return false;
            if (dim_is_const(g->dims, t->dims[j], NULL)) *d = t->dims[j];
        }
    }
    return true;
}

static bool infer_einsum(graph *g, node_id n) {
    equation e;
    dim sizes[MAX_LETTERS] = {0}, dims[TENSOR_MAX_RANK];
    if (!parse_equation(g, n, &e) || !letter_dims(g, n, &e, sizes)) return false;
    for (int i = 0; i < e.result_rank; i++) dims[i] = sizes[e.result[i]];
    op_set_type(g, n, 0, type_tensor(kit_input(g, n, 0)->dtype, e.result_rank, dims));
    return true;
}

static loop_expr read_operand(lower *l, node_id n, const equation *e, int which, dtype sum,
                              const loop_expr *at) {
    graph *g = lower_graph(l);
    value_id v = graph_input(g, n, (uint32_t)which);
    loop_expr index[LOOP_MAX_RANK];
    for (int j = 0; j < e->rank[which]; j++)
        index[j] = dim_equals_const(g->dims, lower_type(l, v)->dims[j], 1)
                       ? loop_int(lower_kernel(l), 0)
                       : at[e->letter[which][j]];
    return kit_read(l, sum, v, index);
}

static void nest_einsum(lower *l, node_id n) {
    graph *g = lower_graph(l);
    loop_kernel *k = lower_kernel(l);
    value_id y = graph_output(g, n, 0);
    dtype t = lower_type(l, y)->dtype, sum = dtype_is_float(t) ? kit_sum_type(t) : t;
    equation e;
    dim sizes[MAX_LETTERS] = {0};
    bool ok = parse_equation(g, n, &e) && letter_dims(g, n, &e, sizes);
    if (!ok) return; /* inference has reported it */
    loop_expr at[MAX_LETTERS] = {0}, index[LOOP_MAX_RANK];
    lower_loops(l, y, index);
    for (int i = 0; i < e.result_rank; i++) at[e.result[i]] = index[i];
    loop_buf acc = kit_scalar(l, "acc", sum);
    lower_assign(l, acc, NULL, loop_const(k, sum, 0));
    int opened = 0;
    for (int i = 0; i < MAX_LETTERS; i++) {
        if (!e.used[i] || at[i]) continue;
        at[i] = lower_begin(l, LOOP_REDUCE, "r", loop_dim(k, sizes[i]));
        opened++;
    }
    loop_expr product = read_operand(l, n, &e, 0, sum, at);
    for (int i = 1; i < e.operands; i++)
        product = loop_mul(k, product, read_operand(l, n, &e, i, sum, at));
    lower_accumulate(l, acc, LOOP_ADD, product);
    kit_end(l, opened);
    lower_write(l, y, index, lower_value(l, acc, NULL));
    lower_end_loops(l);
}

const op_def ops_einsum[] = {
    {.domain = "",
     .name = "Einsum",
     .flags = OP_ANCHOR,
     .infer = infer_einsum,
     .nest = nest_einsum},
};
const size_t ops_einsum_count = sizeof ops_einsum / sizeof *ops_einsum;
