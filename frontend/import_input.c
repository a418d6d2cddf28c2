/* import_input.c: what the model takes: its inputs, the settings of their dimensions, and tensors
 * that these are pinned to. A sequence is taken apart into as many inputs as it has tensors, a map
 * into its keys and its values; one node puts them together again for the nodes that read it. */
#include "frontend/import_internal.h"
#include "ir/ops/string.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One input of the file that no initializer gives a value. */
typedef struct {
    const char *name;
    const Onnx__TypeProto *proto;
    const load_value *pin; /* NULL: it is not pinned */
    graph_port port;
    type *types;     /* of its tensors: port.count */
    type all;        /* as the file says */
    value_id *items; /* the tensors */
} model_input;

typedef LIST(model_input) input_list;

/* ---- dimension settings ---- */

static bool parse_size(const char **p, int64_t *out) {
    char *end;
    errno = 0;
    long long n = strtoll(*p, &end, 10);
    if (end == *p || errno || n < 0 || n > DIM_MAX) return false;
    *p = end;
    *out = n;
    return true;
}

/* "8", "1..512" or "1,8" as bounds. */
static bool parse_setting(const char *p, int64_t *low, int64_t *high) {
    if (!parse_size(&p, low)) return false;
    *high = *low;
    if (strncmp(p, "..", 2) == 0) {
        p += 2;
        return parse_size(&p, high) && !*p && *low <= *high;
    }
    while (*p == ',') {
        int64_t n;
        p++;
        if (!parse_size(&p, &n)) return false;
        *low = n < *low ? n : *low;
        *high = n > *high ? n : *high;
    }
    return !*p;
}

static const char *symbol_list(const graph *g) {
    const char *text = "";
    for (dim_symbol s = 0; s < dim_symbol_count(g->dims); s++)
        if (!dim_symbol_is_reserved(g->dims, s))
            text = arena_printf(g->memory, "%s%s%s", text, *text ? ", " : "",
                                dim_symbol_name(g->dims, s));
    return *text ? text : "none";
}

/* Symbols that are not there yet are set aside once `all` of the inputs are: a size that only the
 * data tell, or what it is made of, may bear the name. */
static bool apply_setting(graph *g, const char *setting, bool all) {
    const char *equals = strchr(setting, '=');
    int64_t low, high;
    dim_symbol s;
    if (!equals || !parse_setting(equals + 1, &low, &high))
        return diag_error(g->diag, NULL, NULL, NULL,
                          "--dim %s: SYMBOL=8, SYMBOL=1..512 or SYMBOL=1,8 is wanted", setting);
    const char *name = arena_strndup(g->memory, setting, (size_t)(equals - setting));
    if (strcmp(name, STRING_BYTES) == 0) dim_make_symbol(g->dims, name, low, high);
    if (dim_find_symbol(g->dims, name, &s))
        dim_set_bounds(g->dims, s, low, high);
    else if (all)
        dim_reserve_symbol(g->dims, name, low, high);
    return true;
}

bool import_check_settings(importer *im) {
    const dim_table *t = im->g->dims;
    bool ok = true;
    for (dim_symbol s = 0; s < dim_symbol_count(t); s++)
        if (dim_symbol_is_reserved(t, s))
            ok = diag_error(im->g->diag, NULL, NULL, NULL,
                            "--dim %s: the model has no such symbol; it has: %s",
                            dim_symbol_name(t, s), symbol_list(im->g));
    return ok;
}

/* ---- pins ---- */

static type_kind kind_of(const Onnx__TypeProto *p) {
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: return TYPE_SEQUENCE;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: return TYPE_OPTIONAL;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: return TYPE_MAP;
    default: return TYPE_TENSOR;
    }
}

static bool has_initializer(const import_scope *scope, const char *name) {
    import_scope own = *scope;
    own.outer = NULL;
    return import_find_name(&own, name) != 0;
}

/* The inputs, with what the test data of a folder holds for them: input_0.pb, input_1.pb, ... */
static bool list_inputs(importer *im, const import_options *o, const Onnx__GraphProto *p,
                        const import_scope *scope, input_list *out) {
    arena *a = im->g->memory;
    for (size_t i = 0; i < p->n_input; i++) {
        model_input input = {.name = import_text(p->input[i]->name), .proto = p->input[i]->type};
        if (has_initializer(scope, input.name)) continue;
        if (!input.proto)
            return diag_error(im->g->diag, input.name, NULL, NULL, "the input has no type");
        const char *path = o && o->pin_folder
                               ? arena_printf(a, "%s/input_%zu.pb", o->pin_folder, out->count)
                               : NULL;
        if (path && access(path, R_OK) == 0) {
            load_value *pin = ARENA_NEW(a, load_value);
            if (!load_value_file(path, kind_of(input.proto), a, im->g->diag, pin)) return false;
            input.pin = pin;
        }
        list_push(a, out, input);
    }
    return true;
}

/* Fixes the symbols of an input to the dimensions of a tensor for it. */
static void apply_pin(graph *g, const type *t, const load_tensor_result *pin) {
    for (int i = 0; t->rank == pin->rank && i < t->rank; i++)
        if (dim_op_of(g->dims, t->dims[i]) == DIM_SYMBOL)
            dim_set_bounds(g->dims, dim_symbol_of(g->dims, t->dims[i]), pin->dims[i], pin->dims[i]);
}

/* ---- sequences and optionals ---- */

/* The number that the symbol NAME_what is set to; `otherwise` if it is open. */
static int64_t number_of(graph *g, const char *name, const char *what, int64_t otherwise) {
    dim_symbol s;
    int64_t low, high;
    if (!dim_find_symbol(g->dims, arena_printf(g->memory, "%s_%s", name, what), &s))
        return otherwise;
    dim_symbol_bounds(g->dims, s, &low, &high);
    return low == high && low >= 0 && low <= GRAPH_MOST_ITEMS ? low : otherwise;
}

static void make_number(graph *g, const char *name, const char *what, int64_t high, bool pinned,
                        int64_t pin) {
    dim d = dim_make_symbol(g->dims, arena_printf(g->memory, "%s_%s", name, what), 0, high);
    if (pinned) dim_set_bounds(g->dims, dim_symbol_of(g->dims, d), pin, pin);
}

/* The sequence within the input, or NULL. */
static const Onnx__TypeProto *sequence_in(const Onnx__TypeProto *p) {
    if (kind_of(p) == TYPE_OPTIONAL) p = p->optional_type->elem_type;
    return p && kind_of(p) == TYPE_SEQUENCE ? p : NULL;
}

static const load_value *pinned_sequence(const model_input *x) {
    const load_value *pin = x->pin;
    if (pin && pin->kind == TYPE_OPTIONAL) pin = pin->count ? pin->items : NULL;
    return pin && pin->kind == TYPE_SEQUENCE ? pin : NULL;
}

/* Symbols for the number of tensors, and of what is optional. */
static void make_numbers(graph *g, const model_input *x) {
    const load_value *list = pinned_sequence(x);
    if (kind_of(x->proto) == TYPE_OPTIONAL)
        make_number(g, x->name, "present", 1, x->pin != NULL, x->pin && x->pin->count);
    if (sequence_in(x->proto))
        make_number(g, x->name, "count", GRAPH_MOST_ITEMS, x->pin != NULL,
                    list ? (int64_t)list->count : 0);
}

/* The symbols of one tensor of a sequence are its own: N becomes N_0. */
static void separate_symbols(graph *g, type *t, uint32_t number) {
    size_t count = dim_symbol_count(g->dims);
    bool *used = ARENA_ARRAY(g->memory, bool, count + 1);
    dim *with = ARENA_ARRAY(g->memory, dim, count + 1);
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)t->rank);
    for (int i = 0; i < t->rank; i++) dim_mark_symbols(g->dims, t->dims[i], used);
    for (dim_symbol s = 0; s < count; s++) {
        if (!used[s]) continue;
        int64_t low, high;
        dim_symbol_bounds(g->dims, s, &low, &high);
        const char *name = arena_printf(g->memory, "%s_%u", dim_symbol_name(g->dims, s), number);
        with[s] = dim_make_symbol(g->dims, name, low, high);
    }
    for (int i = 0; i < t->rank; i++) dims[i] = dim_substitute(g->dims, t->dims[i], with);
    t->dims = dims;
}

/* The types of the tensors of a sequence or optional: those of the pins, or as the file says. */
static bool split_type(importer *im, model_input *x) {
    graph *g = im->g;
    const Onnx__TypeProto *list = sequence_in(x->proto);
    const Onnx__TypeProto *element = list ? list->sequence_type->elem_type
                                     : kind_of(x->proto) == TYPE_OPTIONAL
                                         ? x->proto->optional_type->elem_type
                                         : NULL;
    const load_value *pins = list ? pinned_sequence(x) : x->pin;
    x->port.present = kind_of(x->proto) != TYPE_OPTIONAL || number_of(g, x->name, "present", 1);
    int64_t count = list ? number_of(g, x->name, "count", -1) : 1;
    if (!x->port.present) count = 0;
    if (!element || kind_of(element) != TYPE_TENSOR)
        return diag_error(g->diag, x->name, NULL, NULL,
                          "an input of this type (nested sequences or maps) is not supported");
    if (count < 0)
        return diag_error(g->diag, x->name, NULL,
                          arena_printf(g->memory, "set it with --dim %s_count=3, say", x->name),
                          "the number of tensors in the sequence is not known");
    x->port.count = (uint32_t)count;
    x->types = ARENA_ARRAY(g->memory, type, x->port.count);
    for (uint32_t i = 0; i < x->port.count; i++) {
        const char *name = list ? arena_printf(g->memory, "%s_%u", x->name, i) : x->name;
        if (!import_type(im, element, name, &x->types[i])) return false;
        const load_tensor_result *pin = pins && i < pins->count ? &pins->items[i].tensor : NULL;
        if (pin && pin->dtype == x->types[i].dtype)
            x->types[i] = type_tensor_const(g, pin->dtype, pin->rank, pin->dims);
        else if (list && x->types[i].rank > 0)
            separate_symbols(g, &x->types[i], i);
    }
    return true;
}

/* ---- maps ---- */

enum { MAP_KEYS, MAP_VALUES, MAP_PARTS };
static const char *const map_parts[MAP_PARTS] = {"keys", "values"};

static bool split_map(graph *g, model_input *x) {
    const type *value = x->all.element;
    const char *name = arena_printf(g->memory, "%s_count", x->name);
    dim count = dim_make_symbol(g->dims, name, 0, DIM_MAX);
    x->port.count = MAP_PARTS;
    x->types = ARENA_ARRAY(g->memory, type, MAP_PARTS);
    if (value->kind != TYPE_TENSOR || value->rank > 0)
        return diag_error(g->diag, x->name, NULL, NULL,
                          "a map to anything but single numbers or strings is not supported");
    x->types[MAP_KEYS] = type_tensor(x->all.dtype, 1, &count);
    x->types[MAP_VALUES] = type_tensor(value->dtype, 1, &count);
    for (int i = 0; x->pin && i < MAP_PARTS; i++)
        apply_pin(g, &x->types[i], &x->pin->items[i].tensor);
    return true;
}

/* ---- the inputs ---- */

static bool apply_settings(graph *g, const import_options *o, bool all) {
    bool ok = true;
    for (size_t i = 0; o && i < o->dim_count; i++) ok &= apply_setting(g, o->dims[i], all);
    return ok;
}

static bool is_set(const import_options *o, const char *symbol) {
    size_t length = strlen(symbol);
    for (size_t i = 0; o && i < o->dim_count; i++)
        if (strncmp(o->dims[i], symbol, length) == 0 && o->dims[i][length] == '=') return true;
    return false;
}

/* Formulas are taken at their word where other dimensions, or settings, give their symbols values;
 * else they are names as good as any. */
static void open_formulas(graph *g, const import_options *o, input_list *inputs) {
    size_t count = dim_symbol_count(g->dims) + 1;
    bool *told = ARENA_ARRAY(g->memory, bool, count);
    for (dim_symbol s = 0; s + 1 < count; s++) told[s] = is_set(o, dim_symbol_name(g->dims, s));
    for (size_t i = 0; i < inputs->count; i++) {
        const type *t = &inputs->data[i].all;
        for (int a = 0; t->kind == TYPE_TENSOR && a < t->rank; a++)
            if (dim_op_of(g->dims, t->dims[a]) == DIM_SYMBOL)
                told[dim_symbol_of(g->dims, t->dims[a])] = true;
    }
    for (size_t i = 0; i < inputs->count; i++) {
        type *t = &inputs->data[i].all;
        dim *dims = ARENA_ARRAY(g->memory, dim, t->rank > 0 ? (size_t)t->rank : 0);
        for (int a = 0; t->kind == TYPE_TENSOR && a < t->rank; a++) {
            bool *used = ARENA_ARRAY(g->memory, bool, count), open = false;
            const char *name = arena_printf(g->memory, "%s_dim_%d", inputs->data[i].name, a);
            dim_mark_symbols(g->dims, t->dims[a], used);
            for (dim_symbol s = 0; s + 1 < count; s++) open |= used[s] && !told[s];
            dims[a] = open ? dim_make_symbol(g->dims, name, 1, DIM_MAX) : t->dims[a];
        }
        if (t->kind == TYPE_TENSOR) t->dims = dims;
    }
}

/* Types of all inputs. What settings or tensors fix gets bounds that meet, before anything is
 * inferred from it. */
static bool type_inputs(importer *im, const import_options *o, input_list *inputs) {
    graph *g = im->g;
    bool ok = true;
    for (size_t i = 0; i < inputs->count; i++) {
        model_input *x = &inputs->data[i];
        x->port =
            (graph_port){.name = x->name, .kind = kind_of(x->proto), .present = true, .count = 1};
        x->port.list = x->port.kind == TYPE_OPTIONAL && sequence_in(x->proto);
        ok &= import_type(im, x->proto, x->name, &x->all);
    }
    if (!ok) return false;
    open_formulas(g, o, inputs);
    for (size_t i = 0; i < inputs->count; i++) {
        model_input *x = &inputs->data[i];
        x->types = &x->all;
        if (x->port.kind == TYPE_MAP)
            ok &= split_map(g, x);
        else if (x->port.kind != TYPE_TENSOR)
            make_numbers(g, x);
        else if (x->pin)
            apply_pin(g, &x->all, &x->pin->tensor);
    }
    if (!ok || !apply_settings(g, o, false)) return false;
    for (size_t i = 0; i < inputs->count; i++) {
        type_kind kind = inputs->data[i].port.kind;
        if (kind == TYPE_SEQUENCE || kind == TYPE_OPTIONAL) ok &= split_type(im, &inputs->data[i]);
    }
    return ok && apply_settings(g, o, true);
}

/* With the symbols that are fixed as constants. */
static type fix_type(graph *g, type t) {
    dim *dims = ARENA_ARRAY(g->memory, dim, t.rank > 0 ? (size_t)t.rank : 0);
    for (int i = 0; i < t.rank; i++) dims[i] = dim_substitute(g->dims, t.dims[i], NULL);
    t.dims = dims;
    return t;
}

static bool add_tensors(importer *im, model_input *x) {
    graph *g = im->g;
    bool ok = true;
    x->items = ARENA_ARRAY(g->memory, value_id, x->port.count);
    for (uint32_t i = 0; i < x->port.count; i++) {
        bool item = x->port.kind == TYPE_SEQUENCE || x->port.list;
        const char *name = item ? arena_printf(g->memory, "%s_%u", x->name, i) : x->name;
        if (x->port.kind == TYPE_MAP)
            name = arena_printf(g->memory, "%s_%s", x->name, map_parts[i]);
        if (x->types[i].kind != TYPE_TENSOR || x->types[i].rank < 0)
            ok = diag_error(g->diag, name, NULL, "give the input a shape in the model",
                            x->types[i].kind == TYPE_TENSOR ? "the input has no rank"
                                                            : "the input is no tensor");
        x->items[i] = graph_add_value(g, name, fix_type(g, x->types[i]));
        list_push(g->memory, &graph_region(g, GRAPH_MAIN)->inputs, x->items[i]);
    }
    return ok;
}

static value_id add_head(graph *g, const char *name, const op_def *op, uint32_t count,
                         const value_id *items, const attr *a) {
    value_id v = graph_add_value(g, name, (type){.kind = TYPE_NONE, .rank = -1});
    node_id n = graph_add_node(g, GRAPH_MAIN, 0, op, "", count, items, 1, &v, a != NULL, a);
    return op_infer(g, n) ? v : 0;
}

static value_id add_sequence(graph *g, const char *name, const model_input *x) {
    const type *t = x->port.list ? x->all.element->element : x->all.element;
    attr of = attr_int("dtype", t->dtype);
    return x->port.count
               ? add_head(g, name, op_find("", "SequenceConstruct"), x->port.count, x->items, NULL)
               : add_head(g, name, op_find("", "SequenceEmpty"), 0, NULL, &of);
}

/* The value under the input's name, for the nodes that read it. */
static value_id make_head(graph *g, const model_input *x) {
    const attr of = {.name = "type", .kind = ATTR_TYPE, .type = x->all.element};
    if (x->port.kind == TYPE_TENSOR) return x->items[0];
    if (x->port.kind == TYPE_SEQUENCE) return add_sequence(g, x->name, x);
    if (x->port.kind == TYPE_MAP)
        return add_head(g, x->name, op_find(OP_INTERNAL, "Map"), MAP_PARTS, x->items, NULL);
    if (!x->port.present) return add_head(g, x->name, op_find("", "Optional"), 0, NULL, &of);
    value_id item = x->port.list ? add_sequence(g, NULL, x) : x->items[0];
    return item ? add_head(g, x->name, op_find("", "Optional"), 1, &item, NULL) : 0;
}

/* Known elements for a small integer input. */
static void fix_value(graph *g, value_id v, const load_tensor_result *pin) {
    enum { MOST = 64 };
    const type *t = graph_type(g, v);
    size_t count;
    bool whole = t->kind == TYPE_TENSOR && (dtype_is_integer(t->dtype) || t->dtype == DTYPE_BOOL);
    if (!whole || t->rank > 1 || t->dtype != pin->dtype ||
        !load_count_elements(pin->rank, pin->dims, &count) || count > MOST)
        return;
    const value data = {.type = {.dtype = pin->dtype}, .constant = &pin->data};
    dim *elements = ARENA_ARRAY(g->memory, dim, count);
    for (size_t i = 0; i < count; i++) {
        int64_t n = value_int(&data, g->dims, i);
        if (n > DIM_MAX || n < -DIM_MAX) return;
        elements[i] = dim_const(g->dims, n);
    }
    graph_bind(g, v, elements, count);
}

bool import_model_inputs(importer *im, const import_options *o, const Onnx__GraphProto *p,
                         import_scope *scope) {
    graph *g = im->g;
    input_list inputs = {0};
    bool ok = true;
    if (!list_inputs(im, o, p, scope, &inputs) || !type_inputs(im, o, &inputs)) return false;
    for (size_t i = 0; i < inputs.count; i++) ok &= add_tensors(im, &inputs.data[i]);
    for (size_t i = 0; ok && i < inputs.count; i++) {
        const model_input *x = &inputs.data[i];
        bool tensor = x->port.kind == TYPE_TENSOR;
        if (tensor && x->pin && o->pin_values) fix_value(g, x->items[0], &x->pin->tensor);
        value_id head = make_head(g, x);
        if (!head) return false;
        list_push(g->memory, &g->input_ports, x->port);
        if (!import_add_name(g->memory, scope, x->name, head))
            ok = diag_error(g->diag, x->name, NULL, NULL, "the name is used twice");
    }
    return ok;
}
