/* header_write.c: the generated header: sizes, names, shapes and the one function, as constants
 * where they are constant and as functions of the dimensions where they are not. It holds the
 * runtime's declarations, so that it stands alone. */
#include "codegen/package/package.h"
#include "codegen/package/runtime_files.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

typedef struct {
    const package_content *p;
    const program *g;
    arena *a;
    const char *upper; /* the model's name in capitals */
    const char **inputs, **outputs, **symbols;
    LIST(char) text;
} writer;

static void put_text(writer *w, const char *s) {
    for (; *s; s++) list_push(w->a, &w->text, *s);
}

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_text(w, arena_vprintf(w->a, format, args));
    va_end(args);
}

/* ---- identifiers ---- */

/* Words of C and C++, macros that compilers and the standard headers bring, and the member `dims`.
 */
static bool is_reserved(arena *a, const char *s) {
    static const char words[] =
        " alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char "
        "char16_t char32_t char8_t class co_await co_return co_yield compl concept const "
        "const_cast consteval constexpr constinit continue decltype default delete dims "
        "do double dynamic_cast else EOF enum errno explicit export extern false float for "
        "friend goto HUGE_VAL if INFINITY inline int int16_t int32_t int64_t int8_t linux long "
        "mutable "
        "namespace NAN new noexcept not not_eq NULL nullptr offsetof operator or or_eq private "
        "protected public register reinterpret_cast requires restrict return short "
        "signed size_t sizeof static static_assert static_cast stderr stdin stdout "
        "struct switch template this thread_local throw true try typedef typeid typename "
        "typeof typeof_unqual uint16_t uint32_t uint64_t uint8_t union unix unsigned "
        "using virtual void volatile wchar_t while xor xor_eq ";
    return strstr(words, arena_printf(a, " %s ", s)) != NULL;
}

/* NAME_ARENA_BYTES and its like are not those of a tensor. */
static bool is_macro_stem(const char *s) {
    static const char *const stems[] = {"arena", "weights", "stack"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        if (strcasecmp(stems[i], s) == 0) return true;
    return false;
}

static const char *identifier(arena *a, const char *wanted) {
    char *s = arena_printf(a, "%.60s", *wanted ? wanted : "value");
    for (char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    if (isdigit((unsigned char)*s) || *s == '_' || is_reserved(a, s) || is_macro_stem(s))
        s = arena_printf(a, "t_%s", s);
    return s;
}

static bool is_taken(const char **names, size_t count, const char *s) {
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(names[i], s) == 0) return true;
    return false;
}

const char **package_names(arena *a, const char *const *wanted, size_t count) {
    const char **names = ARENA_ARRAY(a, const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *stem = identifier(a, wanted[i]), *name = stem;
        for (int n = 2; is_taken(names, i, name); n++) name = arena_printf(a, "%s_%d", stem, n);
        names[i] = name;
    }
    return names;
}

static const char *capitals(arena *a, const char *s) {
    char *out = arena_strdup(a, s);
    for (char *c = out; *c; c++) *c = (char)toupper((unsigned char)*c);
    return out;
}

/* Whether a port is an array of tensors. */
static bool is_array(const graph_port *port) {
    return port->kind == TYPE_SEQUENCE || port->list;
}

/* The names of all tensors, inputs first; behind them those of the arrays that ports are,
 * then what receives the dimensions of each output. */
static const char **all_names(const program *g, arena *a) {
    size_t most =
        g->inputs.count + 2 * g->outputs.count + g->input_ports.count + g->output_ports.count;
    const char **wanted = ARENA_ARRAY(a, const char *, most + 1);
    size_t count = 0;
    for (size_t i = 0; i < g->inputs.count; i++) wanted[count++] = g->inputs.data[i].name;
    for (size_t i = 0; i < g->outputs.count; i++) wanted[count++] = g->outputs.data[i].name;
    for (size_t i = 0; i < g->input_ports.count; i++) wanted[count++] = g->input_ports.data[i].name;
    for (size_t i = 0; i < g->output_ports.count; i++)
        wanted[count++] = g->output_ports.data[i].name;
    size_t named = count;
    for (size_t i = 0; i < g->outputs.count; i++)
        wanted[count++] = arena_printf(a, "%.50s_dims", g->outputs.data[i].name);
    /* Tensors that are ports of their own have the port's name. */
    size_t tensors = g->inputs.count + g->outputs.count;
    for (size_t i = tensors; i < named; i++) {
        size_t at = i - tensors;
        const graph_port *port = at < g->input_ports.count
                                     ? &g->input_ports.data[at]
                                     : &g->output_ports.data[at - g->input_ports.count];
        if (!is_array(port)) wanted[i] = "unused";
    }
    return package_names(a, wanted, count);
}

void package_tensor_names(const program *g, arena *a, const char ***inputs, const char ***outputs) {
    *inputs = all_names(g, a);
    *outputs = *inputs + g->inputs.count;
}

/* Members of the tensors of ports: items of arrays where they are such. */
static void name_members(arena *a, const graph_port *ports, size_t count, const char **arrays,
                         const char **members) {
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < ports[i].count; j++, members++)
            if (is_array(&ports[i])) *members = arena_printf(a, "%s[%u]", arrays[i], j);
}

void package_tensor_members(const program *g, arena *a, const char ***inputs,
                            const char ***outputs) {
    const char **names = all_names(g, a);
    const char **arrays = names + g->inputs.count + g->outputs.count;
    *inputs = names;
    *outputs = names + g->inputs.count;
    name_members(a, g->input_ports.data, g->input_ports.count, arrays, *inputs);
    name_members(a, g->output_ports.data, g->output_ports.count, arrays + g->input_ports.count,
                 *outputs);
}

const char **package_open_names(const program *g, arena *a) {
    const char **names = all_names(g, a) + g->inputs.count + g->outputs.count +
                         g->input_ports.count + g->output_ports.count;
    for (size_t i = 0; i < g->outputs.count; i++)
        if (!g->outputs.data[i].open) names[i] = NULL;
    return names;
}

/* ---- expressions ---- */

/* A dimension over the members of `dims->`. Symbols that the caller does not pass cannot occur in
 * what the header says. */
static const char *expression(const writer *w, dim d) {
    const program *g = w->g;
    if (dim_op_of(g->dims, d) == DIM_CONST)
        return arena_printf(w->a, "%" PRId64, dim_value(g->dims, d));
    if (dim_op_of(g->dims, d) == DIM_SYMBOL) {
        for (size_t i = 0; i < g->symbols.count; i++)
            if (g->symbols.data[i] == dim_symbol_of(g->dims, d))
                return arena_printf(w->a, "dims->%s", w->symbols[i]);
        return "0";
    }
    const char *x = expression(w, dim_operand(g->dims, d, 0)),
               *y = expression(w, dim_operand(g->dims, d, 1));
    switch (dim_op_of(g->dims, d)) {
    case DIM_ADD: return arena_printf(w->a, "(%s + %s)", x, y);
    case DIM_MUL: return arena_printf(w->a, "(%s * %s)", x, y);
    case DIM_FLOORDIV: return arena_printf(w->a, "onnxcc_floordiv(%s, %s)", x, y);
    case DIM_MOD: return arena_printf(w->a, "(%s - onnxcc_floordiv(%s, %s) * %s)", x, x, y, y);
    case DIM_MIN: return arena_printf(w->a, "onnxcc_min(%s, %s)", x, y);
    default: return arena_printf(w->a, "onnxcc_max(%s, %s)", x, y);
    }
}

static bool has_symbols(const writer *w) {
    return w->g->symbols.count > 0;
}

/* A comment's text: what would end the comment is spaced out. */
static const char *safe(writer *w, const char *s) {
    char *out = arena_printf(w->a, "%.120s", s);
    for (char *c = out; *c; c++)
        if (!isprint((unsigned char)*c) || strchr("*\\\"?", *c)) *c = '_';
    return out;
}

/* ---- parts ---- */

static void put_tensor(writer *w, const program_io *io, const char *name) {
    const program *g = w->g;
    const char *upper = capitals(w->a, name);
    put(w, "/* %s: %s[", safe(w, io->name), dtype_name(io->type.dtype));
    for (int i = 0; i < io->type.rank; i++)
        put(w, "%s%s", i ? ", " : "", safe(w, dim_text(g->dims, w->a, io->type.dims[i])));
    put(w, "], row-major%s */\n#define %s_%s_RANK %d\n",
        io->open ? "; how large it is the run tells, its bytes are the most" : "", w->upper, upper,
        io->type.rank);
    for (int i = 0; i < io->type.rank; i++)
        if (dim_is_const(g->dims, io->type.dims[i], NULL))
            put(w, "#define %s_%s_DIM_%d %" PRId64 "\n", w->upper, upper, i,
                dim_value(g->dims, io->type.dims[i]));
    dim bytes = io->largest ? io->largest_bytes : g->buffers.data[io->buffer].bytes;
    if (dim_is_const(g->dims, bytes, NULL))
        put(w, "#define %s_%s_BYTES %" PRId64 "\n", w->upper, upper, dim_value(g->dims, bytes));
}

/* What the header says of a sequence or an optional. */
static void put_port(writer *w, const graph_port *port, const char *array) {
    if (port->kind == TYPE_TENSOR) return;
    const char *name = is_array(port) ? array : package_names(w->a, &port->name, 1)[0];
    const char *upper = capitals(w->a, name);
    if (port->kind == TYPE_MAP)
        put(w, "/* %s: a map, as vectors of its keys and of their values */\n",
            safe(w, port->name));
    if (port->kind == TYPE_OPTIONAL)
        put(w, "/* %s: optional */\n#define %s_%s_PRESENT %d\n", safe(w, port->name), w->upper,
            upper, port->present);
    if (is_array(port))
        put(w, "/* %s: a sequence of tensors */\n#define %s_%s_COUNT %u\n", safe(w, port->name),
            w->upper, upper, port->count);
}

static void put_struct(writer *w, bool input) {
    const program *g = w->g;
    const program_io *io = input ? g->inputs.data : g->outputs.data;
    size_t tensors = input ? g->inputs.count : g->outputs.count;
    size_t ports = input ? g->input_ports.count : g->output_ports.count;
    const char **names = input ? w->inputs : w->outputs;
    const char **arrays =
        w->inputs + g->inputs.count + g->outputs.count + (input ? 0 : g->input_ports.count);
    const char *constant = input ? "const " : "";
    put(w, "typedef struct {\n");
    for (size_t i = 0; i < ports; i++) {
        const graph_port *port = input ? &g->input_ports.data[i] : &g->output_ports.data[i];
        if (!port->count) continue;
        if (is_array(port))
            put(w, "    %s%s *%s[%u];\n", constant, dtype_c_name(io->type.dtype), arrays[i],
                port->count);
        for (uint32_t j = 0; !is_array(port) && j < port->count; j++)
            put(w, "    %s%s *%s;\n", constant, dtype_c_name(io[j].type.dtype), names[j]);
        io += port->count;
        names += port->count;
    }
    if (!tensors) put(w, "    %svoid *unused;\n", constant);
    if (input && has_symbols(w)) put(w, "    %s_dims dims;\n", g->name);
    const char **open = package_open_names(g, w->a);
    for (size_t i = 0; !input && i < g->outputs.count; i++)
        if (open[i])
            put(w, "    int64_t *%s; /* NULL, or where the run writes the dimensions of %s */\n",
                open[i], w->outputs[i]);
    put(w, "} %s_%s;\n\n", g->name, input ? "inputs" : "outputs");
}

static void put_dims(writer *w) {
    const program *g = w->g;
    put(w, "/* The symbolic dimensions, by name. */\ntypedef struct {\n");
    for (size_t i = 0; i < g->symbols.count; i++) {
        int64_t low, high;
        dim_symbol_bounds(g->dims, g->symbols.data[i], &low, &high);
        put(w, "    int64_t %s; /* %s, at least %" PRId64, w->symbols[i],
            safe(w, dim_symbol_name(g->dims, g->symbols.data[i])), low);
        if (high < DIM_MAX) put(w, ", at most %" PRId64, high);
        put(w, " */\n");
    }
    put(w, "} %s_dims;\n\n", g->name);
}

static void collect_steps(const program *g, const program_step *s, const program_step **steps) {
    for (; s; s = s->next) {
        if (s->kind == STEP_CALL || s->kind == STEP_RUNTIME) steps[s->profile] = s;
        collect_steps(g, s->body, steps);
        collect_steps(g, s->otherwise, steps);
    }
}

static const program_kernel *kernel_of(const program *g, const program_step *s) {
    return s && s->kind == STEP_CALL ? &g->kernels.data[s->kernel] : NULL;
}

static const char *step_name(writer *w, const program_step *s) {
    const program_kernel *k = kernel_of(w->g, s);
    return arena_printf(w->a, "\"%s\"", k ? k->loops->name : s ? s->callee : "");
}

static const char *step_node(writer *w, const program_step *s) {
    return arena_printf(w->a, "\"%s\"", s && s->label ? safe(w, s->label) : "");
}

/* A count as a number: 0 for what only a call tells. */
static const char *count_text(writer *w, dim count) {
    int64_t n;
    return arena_printf(w->a, "%" PRId64, dim_is_const(w->g->dims, count, &n) ? n : 0);
}

static const char *step_operations(writer *w, const program_step *s) {
    const program_kernel *k = kernel_of(w->g, s);
    return k ? count_text(w, k->exact_flops) : "0";
}

static const char *step_bytes(writer *w, const program_step *s) {
    const program_kernel *k = kernel_of(w->g, s);
    return k ? count_text(w, k->exact_bytes) : "0";
}

/* What a profile's step numbers stand for, as initialisers of arrays. */
static void put_steps(writer *w) {
    static const struct {
        const char *name, *comment;
        const char *(*text)(writer *w, const program_step *s);
    } tables[] = {
        {"NAMES", "Kernels and runtime calls, as strings", step_name},
        {"NODES", "Nodes of the model that they compute, as strings", step_node},
        {"OPERATIONS", "Their operations, as numbers; 0: none, or a call's sizes decide",
         step_operations},
        {"BYTES", "Bytes that they read and write; 0: none, or a call's sizes decide", step_bytes},
    };
    const program *g = w->g;
    const program_step **steps = ARENA_ARRAY(w->a, const program_step *, g->profile_count + 1);
    collect_steps(g, g->steps, steps);
    put(w, "#define %s_STEP_COUNT %u\n", w->upper, g->profile_count);
    for (size_t t = 0; g->profile_count && t < sizeof tables / sizeof *tables; t++) {
        put(w, "/* %s. */\n#define %s_STEP_%s", tables[t].comment, w->upper, tables[t].name);
        for (uint32_t i = 0; i < g->profile_count; i++)
            put(w, "%s \\\n    %s", i ? "," : " {", tables[t].text(w, steps[i]));
        put(w, " }\n");
    }
    put(w, "\n");
}

static void put_arena(writer *w) {
    const program *g = w->g;
    put(w, "#define %s_ARENA_ALIGN 64\n", w->upper);
    if (dim_is_const(g->dims, g->arena_bytes, NULL)) {
        int64_t bytes = dim_value(g->dims, g->arena_bytes);
        put(w, "#define %s_ARENA_BYTES %" PRId64 "\n", w->upper, bytes ? bytes : 64);
    } else if (dim_is_bounded(g->dims, g->arena_bytes)) {
        put(w,
            "/* Enough for all dimensions within their bounds. */\n#define %s_ARENA_BYTES %" PRId64
            "\n",
            w->upper, dim_high(g->dims, g->arena_bytes));
    }
    put(w, "#define %s_WEIGHTS_BYTES %" PRId64 "\n#define %s_STACK_BYTES %zu\n", w->upper,
        g->weight_bytes, w->upper, w->p->stack_bytes);
    put_steps(w);
}

static void put_functions(writer *w) {
    const program *g = w->g;
    if (!has_symbols(w)) return;
    put(w,
        "/* Bytes of arena that a call with these dimensions needs. */\nstatic inline size_t "
        "%s_arena_bytes(const %s_dims *dims) {\n"
        "    (void)dims;\n    return (size_t)%s;\n}\n\n",
        g->name, g->name, expression(w, g->arena_bytes));
    for (size_t i = 0; i < g->outputs.count; i++) {
        const program_io *io = &g->outputs.data[i];
        put(w,
            "/* %s of output %s; returns its number of elements. */\nstatic inline int64_t "
            "%s_shape_of_%s(const %s_dims *dims, int64_t *shape) {\n"
            "    int64_t count = 1;\n    (void)dims;\n    (void)shape;\n",
            io->open ? "The largest shape" : "Shape", safe(w, io->name), g->name, w->outputs[i],
            g->name);
        for (int j = 0; j < io->type.rank; j++)
            put(w, "    shape[%d] = %s;\n    count *= shape[%d];\n", j,
                expression(w, io->largest[j]), j);
        put(w, "    return count;\n}\n\n");
        if (!io->open) continue;
        put(w,
            "/* The most bytes that output %s takes. */\nstatic inline size_t "
            "%s_bytes_of_%s(const %s_dims *dims) {\n    (void)dims;\n    return (size_t)%s;\n}\n\n",
            safe(w, io->name), g->name, w->outputs[i], g->name, expression(w, io->largest_bytes));
    }
}

static const char helpers[] =
    "#ifndef ONNXCC_DIMENSION_HELPERS\n#define ONNXCC_DIMENSION_HELPERS\n"
    "static inline int64_t onnxcc_floordiv(int64_t a, int64_t b) {\n"
    "    return b ? a / b - (a % b != 0 && (a < 0) != (b < 0)) : 0;\n}\n"
    "static inline int64_t onnxcc_min(int64_t a, int64_t b) { return a < b ? a : b; }\n"
    "static inline int64_t onnxcc_max(int64_t a, int64_t b) { return a > b ? a : b; }\n#endif\n\n";

static bool has_bool(const program_io *io, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (io[i].type.dtype == DTYPE_BOOL) return true;
    return false;
}

const char *package_header(const package_content *p, arena *a) {
    const program *g = p->program;
    writer w = {.p = p, .g = g, .a = a, .upper = capitals(a, g->name)};
    const char **wanted = ARENA_ARRAY(a, const char *, g->symbols.count + 1);
    for (size_t i = 0; i < g->symbols.count; i++)
        wanted[i] = dim_symbol_name(g->dims, g->symbols.data[i]);
    w.symbols = package_names(a, wanted, g->symbols.count);
    package_tensor_names(g, a, &w.inputs, &w.outputs);
    put(&w,
        "/* %s.h: made by onnxcc for %s. Link libraries of the same name.\n *\n"
        " * A call allocates nothing, keeps no state and may run at once with others that have "
        "arenas of their own.\n"
        " * Undefined symbols of the library: memcpy, memmove, memset%s at most; pthreads "
        "too where the pool is used.\n"
        " * Outputs must not overlap inputs, the arena or each other. */\n#ifndef "
        "ONNXCC_MODEL_%s_H\n#define ONNXCC_MODEL_%s_H\n\n",
        g->name, p->target, p->c_source ? ", functions of math.h" : "", w.upper, w.upper);
    put_text(&w, runtime_header);
    if (has_bool(g->inputs.data, g->inputs.count) || has_bool(g->outputs.data, g->outputs.count))
        put(&w, "\n#ifndef __cplusplus\n#include <stdbool.h>\n#endif\n");
    put(&w, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    if (has_symbols(&w)) {
        put_text(&w, helpers);
        put_dims(&w);
    }
    const char **arrays = w.outputs + g->outputs.count;
    for (size_t i = 0; i < g->input_ports.count; i++)
        put_port(&w, &g->input_ports.data[i], *arrays++);
    for (size_t i = 0; i < g->output_ports.count; i++)
        put_port(&w, &g->output_ports.data[i], *arrays++);
    for (size_t i = 0; i < g->inputs.count; i++) put_tensor(&w, &g->inputs.data[i], w.inputs[i]);
    for (size_t i = 0; i < g->outputs.count; i++) put_tensor(&w, &g->outputs.data[i], w.outputs[i]);
    put(&w, "\n");
    put_struct(&w, true);
    put_struct(&w, false);
    put_arena(&w);
    put_functions(&w);
    if (p->weights_in_file)
        put(&w,
            "/* The weights: %s.weights in memory (mapped, say), aligned to 64; set before the "
            "first call. */\n"
            "extern const unsigned char *%s_weights_data;\n\n",
            g->name, g->name);
    put(&w,
        "/* Runs the model. `arena` is of %s_ARENA_BYTES%s, aligned to 64. `context` may be NULL. "
        "Returns an onnxcc_status. */\n"
        "int %s_run(const %s_inputs *inputs, const %s_outputs *outputs, void *arena, const "
        "onnxcc_context *context);\n\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
        w.upper, has_symbols(&w) ? " or what the function of the dimensions says" : "", g->name,
        g->name, g->name);
    list_push(a, &w.text, '\0');
    return w.text.data;
}
