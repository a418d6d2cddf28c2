/* string.c: operators on strings. All are functions of the runtime; what they need to know of their
 * attributes is made into tables here. Strings that a function makes lie in bytes of its own, the
 * last output of an operator that only the compiler makes, which live to the end of the call. */
#include "ir/ops/kit.h"
#include "ir/ops/regex.h"
#include "ir/ops/string.h"

#include <string.h>

static bool need_strings(graph *g, node_id n, uint32_t i) {
    if (!kit_need(g, n, i, 0, TENSOR_MAX_RANK)) return false;
    return kit_input(g, n, i)->dtype == DTYPE_STRING ||
           op_error(g, n, NULL, "input %u holds %s, not strings", i,
                    dtype_name(kit_input(g, n, i)->dtype));
}

/* Room for the bytes of as many strings as v holds. */
static type room_for(graph *g, const type *t) {
    enum { USUAL = 256 };
    dim_symbol s;
    int64_t low, each = USUAL;
    if (dim_find_symbol(g->dims, STRING_BYTES, &s)) dim_symbol_bounds(g->dims, s, &low, &each);
    dim *dims = ARENA_ARRAY(g->memory, dim, 1);
    dims[0] = dim_mul(g->dims, type_elements(g->dims, t), kit_dim(g, each));
    return type_tensor(DTYPE_U8, 1, dims);
}

bool string_become(graph *g, node_id n, const char *op, uint32_t input_count,
                   const value_id *inputs, uint32_t output_count, const type *types,
                   uint32_t attr_count, const attr *attrs) {
    const node nd = *graph_node(g, n);
    value_id outputs[3];
    for (uint32_t i = 0; i < output_count; i++)
        outputs[i] = graph_add_value(g, i ? "bytes" : NULL, types[i]);
    node_id made = graph_add_node(g, nd.region, n, op_find(OP_INTERNAL, op), nd.name, input_count,
                                  inputs, output_count, outputs, attr_count, attrs);
    graph_node(g, made)->source = nd.source;
    kit_replace(g, nd.outputs[0], outputs[0]);
    graph_remove_node(g, n);
    return true;
}

value_id string_table(graph *g, const char *name, const blob_string *strings, size_t count) {
    blob table = blob_string_table(g->memory, strings, count);
    int64_t bytes = (int64_t)table.bytes;
    return graph_add_constant(g, name, type_tensor_const(g, DTYPE_U8, 1, &bytes), table);
}

/* Internal operators keep the types that they were made with. */
static bool infer_made(graph *g, node_id n) {
    (void)g, (void)n;
    return true;
}

/* ---- pairs ---- */

bool string_expand_equal(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (kit_input(g, n, 0)->dtype != DTYPE_STRING) return false;
    return string_become(g, n, "StringPair", 2, nd.inputs, 1, graph_type(g, nd.outputs[0]), 0,
                         NULL);
}

static bool infer_concat(graph *g, node_id n) {
    const type *types[] = {kit_input(g, n, 0), kit_input(g, n, 1)};
    dim dims[TENSOR_MAX_RANK];
    int rank;
    if (!need_strings(g, n, 0) || !need_strings(g, n, 1) ||
        !op_broadcast(g, n, 2, types, &rank, dims))
        return false;
    op_set_type(g, n, 0, type_tensor(DTYPE_STRING, rank, dims));
    return true;
}

static bool expand_concat(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type y = *graph_type(g, nd.outputs[0]), types[] = {y, room_for(g, &y)};
    return string_become(g, n, "StringPair", 2, nd.inputs, 2, types, 0, NULL);
}

/* ---- numbers ---- */

/* The type of numbers near t that the runtime prints and reads. */
static dtype spoken_type(dtype t, bool read) {
    switch (t) {
    case DTYPE_F32:
    case DTYPE_F64:
    case DTYPE_I64:
    case DTYPE_U64:
    case DTYPE_BOOL: return t;
    case DTYPE_F16:
    case DTYPE_BF16: return read ? DTYPE_F32 : t;
    default:
        return dtype_is_float(t)                       ? DTYPE_F32
               : dtype_class_of(t) == DTYPE_CLASS_UINT ? DTYPE_U64
                                                       : DTYPE_I64;
    }
}

bool string_expand_cast(graph *g, node_id n) {
    enum { MOST_BYTES = 32 }; /* of a printed number */
    const node nd = *graph_node(g, n);
    const type x = *kit_input(g, n, 0), y = *graph_type(g, nd.outputs[0]);
    if ((x.dtype == DTYPE_STRING) == (y.dtype == DTYPE_STRING)) return false;
    if (y.dtype == DTYPE_STRING) {
        dim room = dim_mul(g->dims, type_elements(g->dims, &x), kit_dim(g, MOST_BYTES));
        const type types[] = {y, type_tensor(DTYPE_U8, 1, &room)};
        value_id v = kit_build_cast(g, n, nd.inputs[0], spoken_type(x.dtype, false));
        return v && string_become(g, n, "StringCast", 1, &v, 2, types, 0, NULL);
    }
    type spoken = type_tensor(spoken_type(y.dtype, true), y.rank, y.dims);
    if (spoken.dtype == y.dtype)
        return string_become(g, n, "StringCast", 1, nd.inputs, 1, &y, 0, NULL);
    value_id read = graph_add_value(g, NULL, spoken);
    graph_add_node(g, nd.region, n, op_find(OP_INTERNAL, "StringCast"), nd.name, 1, nd.inputs, 1,
                   &read, 0, NULL);
    value_id made = kit_build_cast(g, n, read, y.dtype);
    if (!made) return false;
    kit_replace(g, nd.outputs[0], made);
    graph_remove_node(g, n);
    return true;
}

/* ---- patterns ---- */

static bool infer_regex(graph *g, node_id n) {
    if (!need_strings(g, n, 0)) return false;
    const type *x = kit_input(g, n, 0);
    op_set_type(g, n, 0, type_tensor(DTYPE_BOOL, x->rank, x->dims));
    return true;
}

/* What onnxcc_rt_regex is asked. */
typedef enum { MODE_WHOLE, MODE_SEPARATORS, MODE_TOKENS, MODE_CHARACTERS } regex_mode;

/* A constant of programs: how many, the instructions of each, then all of them. 0 and a diagnostic
 * if one cannot be compiled. */
static value_id compile_patterns(graph *g, node_id n, const blob_string *patterns, size_t count) {
    regex_program *programs = ARENA_ARRAY(g->memory, regex_program, count);
    int64_t words = 1 + (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        programs[i] = regex_compile(g->memory, patterns[i].data, patterns[i].length);
        if (programs[i].error) {
            op_error(g, n, "patterns have the syntax of RE2", "the pattern cannot be compiled: %s",
                     programs[i].error);
            return 0;
        }
        words += 3 * (int64_t)programs[i].count;
    }
    int32_t *data = ARENA_ARRAY(g->memory, int32_t, (size_t)words), *at = data;
    *at++ = (int32_t)count;
    for (size_t i = 0; i < count; i++) *at++ = (int32_t)programs[i].count;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, programs[i].words, 3 * programs[i].count * sizeof *at);
        at += 3 * programs[i].count;
    }
    return graph_add_constant(g, "patterns", type_tensor_const(g, DTYPE_I32, 1, &words),
                              (blob){data, (size_t)words * sizeof *data, false});
}

static bool expand_regex(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const attr *pattern = node_attr(&nd, "pattern");
    if (!pattern || pattern->kind != ATTR_STRING)
        return op_error(g, n, NULL, "the attribute pattern is missing");
    const blob_string text = {pattern->string, pattern->count};
    value_id inputs[] = {nd.inputs[0], compile_patterns(g, n, &text, 1)};
    const attr asked[] = {attr_int("mode", MODE_WHOLE), attr_int("shortest", 0),
                          attr_int("mark", 0)};
    return inputs[1] &&
           string_become(g, n, "Regex", 2, inputs, 1, graph_type(g, nd.outputs[0]), 3, asked);
}

/* 13 bytes an instruction. */
static dim regex_scratch(graph *g, node_id n) {
    return kit_dim(g, dim_value(g->dims, kit_input(g, n, 1)->dims[0]) / 3 * 13);
}

/* ---- parts ---- */

static type number_type(void) {
    return type_tensor(DTYPE_I64, 0, NULL);
}

static bool infer_split(graph *g, node_id n) {
    if (!need_strings(g, n, 0) || !kit_need(g, n, 0, 0, TENSOR_MAX_RANK - 1)) return false;
    const type x = *kit_input(g, n, 0);
    int64_t cuts = node_attr_int(graph_node(g, n), "maxsplit", -1);
    dim dims[TENSOR_MAX_RANK], count = type_elements(g->dims, &x);
    if (x.rank) memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    if (cuts >= DIM_MAX) cuts = -1;
    dim limit = dim_equals_const(g->dims, count, 0) ? kit_dim(g, 0)
                : cuts >= 0                         ? kit_dim(g, cuts + 1)
                                                    : DIM_NONE;
    dims[x.rank] = kit_told_dim(g, n, 0, x.rank + 1, x.rank, limit);
    op_set_type(g, n, 0, type_tensor(DTYPE_STRING, x.rank + 1, dims));
    op_set_type(g, n, 1, type_tensor(DTYPE_I64, x.rank, x.dims));
    return true;
}

/* The parts are counted first: the most of one string are the size of the result. */
static bool expand_split(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type x = *kit_input(g, n, 0), y = *graph_type(g, nd.outputs[0]);
    const type types[] = {type_tensor(DTYPE_I64, x.rank, x.dims), number_type()};
    const attr *given = node_attr(&nd, "delimiter");
    bool has = given && given->kind == ATTR_STRING;
    const blob_string delimiter = {has ? given->string : "", has ? given->count : 0};
    attr cuts = attr_int("maxsplit", node_attr_int(&nd, "maxsplit", -1));
    value_id inputs[] = {nd.inputs[0], string_table(g, "delimiter", &delimiter, 1), 0};
    value_id counts[2], parts;
    kit_build_internal(g, n, "StringSplit", 2, inputs, 2, types, counts, 1, &cuts);
    graph_bind(g, counts[1], &y.dims[x.rank], 1);
    inputs[2] = counts[1]; /* it has to run before */
    kit_build_internal(g, n, "StringSplit", 3, inputs, 1, &y, &parts, 1, &cuts);
    kit_replace(g, nd.outputs[0], parts);
    if (graph_output(g, n, 1)) kit_replace(g, nd.outputs[1], counts[0]);
    graph_remove_node(g, n);
    return true;
}

static bool infer_tokenizer(graph *g, node_id n) {
    if (!need_strings(g, n, 0) || !kit_need(g, n, 0, 1, 2)) return false;
    const type x = *kit_input(g, n, 0);
    dim dims[3];
    memcpy(dims, x.dims, (size_t)x.rank * sizeof *dims);
    /* Without strings no axis of tokens is added. */
    if (dim_equals_const(g->dims, type_elements(g->dims, &x), 0)) {
        op_set_type(g, n, 0, type_tensor(DTYPE_STRING, x.rank, dims));
        return true;
    }
    dims[x.rank] = kit_told_dim(g, n, 0, x.rank + 1, x.rank, DIM_NONE);
    op_set_type(g, n, 0, type_tensor(DTYPE_STRING, x.rank + 1, dims));
    return true;
}

/* The patterns of a Tokenizer, and what they are. */
static bool read_tokenizer(graph *g, node_id n, regex_mode *mode, const blob_string **patterns,
                           size_t *count) {
    const attr *separators = node_attr(graph_node(g, n), "separators");
    const attr *token = node_attr(graph_node(g, n), "tokenexp");
    bool separates = separators && separators->kind == ATTR_STRINGS && separators->count;
    if (separates == (token && token->kind == ATTR_STRING))
        return op_error(g, n, NULL, "it needs either separators or tokenexp");
    if (separates) {
        *patterns = separators->strings;
        *count = separators->count;
        *mode = *count == 1 && !(*patterns)->length ? MODE_CHARACTERS : MODE_SEPARATORS;
    } else {
        blob_string *one = ARENA_NEW(g->memory, blob_string);
        *one = (blob_string){token->string, token->count};
        *patterns = one;
        *count = 1;
        *mode = one->length == 1 && *one->data == '.' ? MODE_CHARACTERS : MODE_TOKENS;
    }
    for (size_t i = 0; *mode == MODE_SEPARATORS && i < *count; i++)
        if (!(*patterns)[i].length)
            return op_error(g, n, NULL, "an empty separator stands beside others");
    return true;
}

/* As StringSplit, the tokens of the longest row are counted first. */
static bool expand_tokenizer(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type y = *graph_type(g, nd.outputs[0]), number = number_type();
    const attr *pad = node_attr(&nd, "pad_value");
    const blob_string *patterns = NULL;
    size_t count = 0;
    regex_mode mode;
    if (y.rank == kit_input(g, n, 0)->rank) {
        kit_replace(g, nd.outputs[0], kit_build1(g, n, "Identity", nd.inputs[0]));
        graph_remove_node(g, n);
        return true;
    }
    if (!read_tokenizer(g, n, &mode, &patterns, &count)) return false;
    const blob_string texts[] = {
        {pad ? pad->string : "", pad ? pad->count : 0}, {"\2", 1}, {"\3", 1}};
    const attr asked[] = {attr_int("mode", mode),
                          attr_int("shortest", node_attr_int(&nd, "mincharnum", 1)),
                          attr_int("mark", node_attr_int(&nd, "mark", 0) != 0)};
    value_id inputs[] = {nd.inputs[0], compile_patterns(g, n, patterns, count),
                         string_table(g, "marks", texts, 3), 0};
    value_id longest, tokens;
    if (!inputs[1]) return false;
    kit_build_internal(g, n, "Regex", 3, inputs, 1, &number, &longest, 3, asked);
    graph_bind(g, longest, &y.dims[y.rank - 1], 1);
    inputs[3] = longest; /* it has to run before */
    kit_build_internal(g, n, "Regex", 4, inputs, 1, &y, &tokens, 3, asked);
    kit_replace(g, nd.outputs[0], tokens);
    graph_remove_node(g, n);
    return true;
}

/* ---- words ---- */

static const attr *stop_words(graph *g, node_id n) {
    const attr *a = node_attr(graph_node(g, n), "stopwords");
    return a && a->kind == ATTR_STRINGS && a->count ? a : NULL;
}

/* The elements of a row, or one that is empty if there is none. */
static dim words_most(graph *g, const type *x) {
    return dim_max(g->dims, x->dims[x->rank - 1], kit_dim(g, 1));
}

static bool infer_normalizer(graph *g, node_id n) {
    if (!need_strings(g, n, 0) || !kit_need(g, n, 0, 1, 2)) return false;
    const type x = *kit_input(g, n, 0);
    dim one = kit_dim(g, 1), most = words_most(g, &x);
    if (x.rank == 2 && !kit_agree(g, n, x.dims[0], one, "the first axis")) return false;
    dim kept = stop_words(g, n) ? kit_told_dim(g, n, 0, x.rank, x.rank - 1, most) : most;
    dim dims[] = {x.rank == 2 ? one : kept, kept};
    op_set_type(g, n, 0, type_tensor(DTYPE_STRING, x.rank, dims));
    return true;
}

static bool expand_normalizer(graph *g, node_id n) {
    static const char *const actions[] = {"NONE", "LOWER", "UPPER"};
    const node nd = *graph_node(g, n);
    const char *action = node_attr_string(&nd, "case_change_action", "NONE");
    const type x = *kit_input(g, n, 0), y = *graph_type(g, nd.outputs[0]);
    const attr *stop = stop_words(g, n);
    int which = 0;
    while (which < 3 && strcmp(actions[which], action) != 0) which++;
    if (which == 3) return op_error(g, n, NULL, "attribute case_change_action is \"%s\"", action);
    attr attrs[] = {attr_int("action", which),
                    attr_int("sensitive", node_attr_int(&nd, "is_case_sensitive", 0))};
    dim most = words_most(g, &x), none = kit_dim(g, 0);
    const type types[] = {type_tensor(DTYPE_STRING, 1, &most), number_type(),
                          which ? room_for(g, &x) : type_tensor(DTYPE_U8, 1, &none)};
    value_id inputs[] = {nd.inputs[0], string_table(g, "stopwords", stop ? stop->strings : NULL,
                                                    stop ? stop->count : 0)};
    value_id made[3];
    kit_build_internal(g, n, "StringNormalize", 2, inputs, 3, types, made, 2, attrs);
    if (stop) graph_bind(g, made[1], &y.dims[y.rank - 1], 1);
    int64_t row[] = {1, -1};
    value_id result = stop          ? kit_build_front(g, n, made[0], made[1], y)
                      : y.rank == 2 ? kit_build_reshape(g, n, made[0], row, 2)
                                    : made[0];
    if (!result) return false;
    kit_replace(g, nd.outputs[0], result);
    graph_remove_node(g, n);
    return true;
}

const op_def ops_string[] = {
    {.domain = "",
     .name = "StringNormalizer",
     .flags = OP_OPEN,
     .infer = infer_normalizer,
     .expand = expand_normalizer},
    {.domain = "",
     .name = "StringSplit",
     .flags = OP_OPEN,
     .infer = infer_split,
     .expand = expand_split},
    {.domain = OP_INTERNAL,
     .name = "StringNormalize",
     .flags = OP_POINTS,
     .infer = infer_made,
     .call = "string_normalize",
     .call_attributes = "action sensitive"},
    {.domain = OP_INTERNAL,
     .name = "StringSplit",
     .infer = infer_made,
     .call = "string_split",
     .call_attributes = "maxsplit"},
    {.domain = "", .name = "RegexFullMatch", .infer = infer_regex, .expand = expand_regex},
    {.domain = OP_INTERNAL,
     .name = "Regex",
     .infer = infer_made,
     .call = "regex",
     .call_attributes = "mode shortest mark",
     .scratch = regex_scratch},
    {.domain = "com.microsoft",
     .name = "Tokenizer",
     .infer = infer_tokenizer,
     .expand = expand_tokenizer},
    {.domain = "", .name = "StringConcat", .infer = infer_concat, .expand = expand_concat},
    {.domain = OP_INTERNAL,
     .name = "StringCast",
     .flags = OP_POINTS,
     .infer = infer_made,
     .call = "string_cast"},
    {.domain = OP_INTERNAL,
     .name = "StringPair",
     .flags = OP_POINTS,
     .infer = infer_made,
     .call = "string_pair"},
};
const size_t ops_string_count = sizeof ops_string / sizeof *ops_string;
