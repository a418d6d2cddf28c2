/* entry.c: NAME_run in C: the same checks, steps and hooks as the entry that is made through LLVM
 * (llvm/emit_entry.c), in the same order. Dimensions known from the start are computed once; those
 * that steps set are computed where a step needs them. */
#include "codegen/c/c.h"
#include "codegen/package/package.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

typedef LIST(char) text;

typedef struct {
    const program *p;
    arena *a;
    const char *const *kernels;
    const bool *const *used; /* by kernel and buffer */
    bool weights_in_file;
    const char **inputs, **outputs, **symbols;
    bool *late;              /* symbols that a step sets */
    LIST(const char *) dims; /* names of dimensions known from the start; NULL: not computed yet */
    text early, steps, chains;
    int indent;
    uint32_t late_names, frame_words, loops, chain_count;
    bool watches, launches, divides, mods, minima, maxima;
} entry_writer;

/* ---- output ---- */

static void put_text(entry_writer *w, text *t, const char *s) {
    for (; *s; s++) list_push(w->a, t, *s);
}

static void line_to(entry_writer *w, text *t, int indent, const char *format, va_list args) {
    for (int i = 0; i < indent; i++) put_text(w, t, "    ");
    put_text(w, t, arena_vprintf(w->a, format, args));
    put_text(w, t, "\n");
}

static void early(entry_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(entry_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void early(entry_writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    line_to(w, &w->early, 1, format, args);
    va_end(args);
}

static void line(entry_writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    line_to(w, &w->steps, w->indent, format, args);
    va_end(args);
}

/* ---- dimensions ---- */

static bool is_late(entry_writer *w, dim d) {
    size_t n = dim_symbol_count(w->p->dims);
    bool *used = ARENA_ARRAY(w->a, bool, n + 1), late = false;
    dim_mark_symbols(w->p->dims, d, used);
    for (size_t s = 0; s < n; s++) late |= used[s] && w->late[s];
    return late;
}

static const char *name_dim(entry_writer *w, dim d);

/* Sums and products wrap instead of overflowing. */
static const char *dim_expression(entry_writer *w, dim d) {
    const dim_table *t = w->p->dims;
    const char *x = name_dim(w, dim_operand(t, d, 0)), *y = name_dim(w, dim_operand(t, d, 1));
    switch (dim_op_of(t, d)) {
    case DIM_ADD: return arena_printf(w->a, "(int64_t)((uint64_t)%s + (uint64_t)%s)", x, y);
    case DIM_MUL: return arena_printf(w->a, "(int64_t)((uint64_t)%s * (uint64_t)%s)", x, y);
    case DIM_FLOORDIV: w->divides = true; return arena_printf(w->a, "dim_floordiv(%s, %s)", x, y);
    case DIM_MOD: w->mods = true; return arena_printf(w->a, "dim_mod(%s, %s)", x, y);
    case DIM_MIN: w->minima = true; return arena_printf(w->a, "dim_min(%s, %s)", x, y);
    default: w->maxima = true; return arena_printf(w->a, "dim_max(%s, %s)", x, y);
    }
}

static const char *number(const entry_writer *w, int64_t v) {
    if (v == INT64_MIN) return "INT64_MIN";
    return arena_printf(w->a, v < 0 ? "INT64_C(%" PRId64 ")" : "%" PRId64, v);
}

/* The name of a variable that holds it, or a number. */
static const char *name_dim(entry_writer *w, dim d) {
    int64_t v;
    if (dim_is_const(w->p->dims, d, &v)) return number(w, v);
    if (dim_op_of(w->p->dims, d) == DIM_SYMBOL)
        return arena_printf(w->a, "s%" PRIu32, dim_symbol_of(w->p->dims, d));
    while (w->dims.count <= d) list_push(w->a, &w->dims, NULL);
    if (w->dims.data[d]) return w->dims.data[d];
    const char *text = dim_expression(w, d);
    if (is_late(w, d)) {
        const char *name = arena_printf(w->a, "late_%" PRIu32, w->late_names++);
        line(w, "const int64_t %s = %s;", name, text);
        return name;
    }
    const char *name = arena_printf(w->a, "d%" PRIu32, d);
    early(w, "const int64_t %s = %s;", name, text);
    while (w->dims.count <= d) list_push(w->a, &w->dims, NULL);
    return w->dims.data[d] = name;
}

/* ---- buffers ---- */

static const char *address(entry_writer *w, uint32_t buffer) {
    const program_buffer *b = &w->p->buffers.data[buffer];
    switch (b->place) {
    case PLACE_INPUT: return arena_printf(w->a, "inputs->%s", w->inputs[b->index]);
    case PLACE_OUTPUT: return arena_printf(w->a, "outputs->%s", w->outputs[b->index]);
    case PLACE_WEIGHT:
        if (w->weights_in_file)
            return arena_printf(w->a, "(%s_weights_data + %s)", w->p->name, name_dim(w, b->offset));
        return arena_printf(w->a, "%s_weight_%" PRIu32 ".bytes", w->p->name, buffer);
    default:
        if (!b->offset) return "memory"; /* nobody ever reads it */
        return arena_printf(w->a, "(memory + %s)", name_dim(w, b->offset));
    }
}

/* ---- checks at the start ---- */

static void check_pointers(entry_writer *w, bool inputs) {
    const program *p = w->p;
    size_t count = inputs ? p->inputs.count : p->outputs.count;
    for (size_t i = 0; i < count; i++) {
        const program_io *io = inputs ? &p->inputs.data[i] : &p->outputs.data[i];
        const char *pointer = arena_printf(w->a, inputs ? "inputs->%s" : "outputs->%s",
                                           inputs ? w->inputs[i] : w->outputs[i]);
        dim bytes = p->buffers.data[io->buffer].bytes;
        const char *some = "";
        if (dim_low(p->dims, bytes) <= 0) {
            if (dim_is_const(p->dims, bytes, NULL) || is_late(w, bytes)) continue;
            some = arena_printf(w->a, " && %s > 0", name_dim(w, bytes));
        }
        line(w, "if (!%s%s) return ONNXCC_ERROR_NULL_POINTER;", pointer, some);
    }
}

/* "s3 < 1 || s3 > 512"; bounds that no number breaks are left out. */
static const char *out_of_bounds(entry_writer *w, dim_symbol s) {
    int64_t low, high;
    dim_symbol_bounds(w->p->dims, s, &low, &high);
    return arena_printf(
        w->a, "s%" PRIu32 " < INT64_C(%" PRId64 ") || s%" PRIu32 " > INT64_C(%" PRId64 ")", s, low,
        s, high);
}

/* Symbols begin at their lower bounds. */
static void read_symbols(entry_writer *w) {
    for (dim_symbol s = 0; s < dim_symbol_count(w->p->dims); s++) {
        int64_t low, high;
        dim_symbol_bounds(w->p->dims, s, &low, &high);
        early(w, "int64_t s%" PRIu32 " = INT64_C(%" PRId64 ");", s, low);
        early(w, "(void)s%" PRIu32 ";", s);
    }
    for (size_t i = 0; i < w->p->symbols.count; i++) {
        dim_symbol s = w->p->symbols.data[i];
        early(w, "s%" PRIu32 " = inputs->dims.%s;", s, w->symbols[i]);
        early(w, "if (%s) return ONNXCC_ERROR_BAD_SHAPE;", out_of_bounds(w, s));
    }
}

static void check_arena(entry_writer *w) {
    const program *p = w->p;
    if (!p->arena_bytes || dim_equals_const(p->dims, p->arena_bytes, 0)) return;
    line(w, "if (!memory) return ONNXCC_ERROR_NULL_POINTER;");
    line(w, "if ((uintptr_t)memory %% 64) return ONNXCC_ERROR_ARENA_MISALIGNED;");
    if (is_late(w, p->arena_bytes)) return; /* found as bounds of those symbols are kept */
    line(w, "if (context && context->arena_bytes && context->arena_bytes < (uint64_t)%s)",
         name_dim(w, p->arena_bytes));
    line(w, "    return ONNXCC_ERROR_ARENA_TOO_SMALL;");
}

/* ---- steps ---- */

static void put_pointer(entry_writer *w, uint32_t word, const char *pointer) {
    line(w, "frame[%" PRIu32 "] = (int64_t)(intptr_t)%s;", word, pointer);
}

/* The words of a call's frame from `word` on; returns the word behind them. */
static uint32_t put_frame(entry_writer *w, const program_step *s, uint32_t word) {
    const program_kernel *k = &w->p->kernels.data[s->kernel];
    size_t count;
    loop_buf parameter = 0;
    put_pointer(w, word++, "&state");
    for (uint32_t i = 0; i < s->arg_count; i++, parameter++, word++) {
        while (k->loops->buffers.data[parameter].space > LOOP_SPACE_OUTPUT) parameter++;
        if (w->used[s->kernel][parameter]) put_pointer(w, word, address(w, s->args[i]));
    }
    const dim_symbol *symbols = loop_symbols(k->loops, &count);
    for (size_t i = 0; i < count; i++, word++)
        line(w, "frame[%" PRIu32 "] = s%" PRIu32 ";", word, symbols[i]);
    if (word > w->frame_words) w->frame_words = word;
    return word;
}

static void put_call(entry_writer *w, const program_step *s) {
    put_frame(w, s, 0);
    const char *n = s->iterations ? name_dim(w, s->iterations) : "1";
    if (program_is_split(w->p, s)) {
        w->launches = true;
        line(w, "launch(context, %s, frame, %s);", w->kernels[s->kernel], n);
    } else {
        line(w, "%s(frame, 0, %s);", w->kernels[s->kernel], n);
    }
}

static void put_steps(entry_writer *w, const program_step *s);

static void put_block(entry_writer *w, const program_step *s) {
    w->indent++;
    put_steps(w, s);
    w->indent--;
}

static void chain_line(entry_writer *w, int indent, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void chain_line(entry_writer *w, int indent, const char *format, ...) {
    va_list args;
    va_start(args, format);
    line_to(w, &w->chains, indent, format, args);
    va_end(args);
}

/* Beside the step: a function that runs slices through all kernels of the chain, whose frames lie
 * one behind the other. A profile asks for the time of each kernel: they run step by step. */
static void put_chain(entry_writer *w, const program_step *s) {
    const char *name = arena_printf(w->a, "chain_%" PRIu32, w->chain_count++);
    int64_t slices = dim_value(w->p->dims, s->iterations);
    uint32_t word = 0;
    w->watches = true;
    chain_line(w, 0, "\nstatic void %s(const int64_t *frame, int64_t begin, int64_t end) {", name);
    chain_line(w, 1, "for (; begin < end; begin++) {");
    line(w, "if (context && context->parallel_for && !context->profile) {");
    w->indent++;
    for (const program_step *call = s->body; call; call = call->next) {
        int64_t each = dim_value(w->p->dims, call->iterations) / slices;
        chain_line(w, 2, "%s(frame + %" PRIu32 ", begin * %" PRId64 ", (begin + 1) * %" PRId64 ");",
                   w->kernels[call->kernel], word, each, each);
        word = put_frame(w, call, word);
    }
    chain_line(w, 1, "}");
    chain_line(w, 0, "}");
    line(w, "context->parallel_for(context->parallel_user, %s, frame, %" PRId64 ");", name, slices);
    line(w, "if (step_end(context, 0, 0)) return ONNXCC_ERROR_CANCELLED;");
    w->indent--;
    line(w, "} else {");
    put_block(w, s->body);
    line(w, "}");
}

static void put_operand(entry_writer *w, uint32_t number, uint32_t buffer, const type *t) {
    if (t->kind == TYPE_NONE) {
        line(w, "operands[%" PRIu32 "].data = NULL;", number);
        return;
    }
    line(w, "operands[%" PRIu32 "].data = (void *)(uintptr_t)%s;", number, address(w, buffer));
    line(w, "operands[%" PRIu32 "].element_type = %d;", number, t->dtype);
    line(w, "operands[%" PRIu32 "].rank = %d;", number, t->rank);
    for (int i = 0; i < t->rank; i++)
        line(w, "operands[%" PRIu32 "].dims[%d] = %s;", number, i, name_dim(w, t->dims[i]));
}

static void put_runtime(entry_writer *w, const program_step *s) {
    line(w, "onnxcc_tensor operands[%" PRIu32 "];", s->arg_count + 1);
    const char *attributes = "NULL";
    for (uint32_t i = 0; i < s->arg_count; i++) put_operand(w, i, s->args[i], &s->types[i]);
    if (s->constant_count) {
        const char *list = "";
        for (uint32_t i = 0; i < s->constant_count; i++)
            list = arena_printf(w->a, "%s%s%s", list, i ? ", " : "", number(w, s->constants[i]));
        line(w, "static const int64_t attributes[] = {%s};", list);
        attributes = "attributes";
    }
    line(w, "const onnxcc_call call = {operands, operands + %" PRIu32 ", %s, context, &state};",
         s->input_count, attributes);
    line(w, "const int status = %s(&call);", s->callee);
    line(w, "if (status) return status;");
}

static const char *condition(entry_writer *w, uint32_t buffer) {
    return arena_printf(w->a, "*(const unsigned char *)%s", address(w, buffer));
}

static void put_if(entry_writer *w, const program_step *s) {
    line(w, "if (%s) {", condition(w, s->condition));
    put_block(w, s->body);
    if (s->otherwise) {
        line(w, "} else {");
        put_block(w, s->otherwise);
    }
    line(w, "}");
}

static void put_loop(entry_writer *w, const program_step *s) {
    uint32_t number = w->loops++;
    if (s->trip_count != UINT32_MAX) {
        line(w, "int64_t trips_%" PRIu32 ";", number);
        line(w, "memcpy(&trips_%" PRIu32 ", %s, 8);", number, address(w, s->trip_count));
        line(w,
             "for (int64_t i%" PRIu32 " = 0; i%" PRIu32 " < trips_%" PRIu32 "; i%" PRIu32 "++) {",
             number, number, number, number);
    } else {
        line(w, "for (int64_t i%" PRIu32 " = 0;; i%" PRIu32 "++) {", number, number);
    }
    w->indent++;
    if (s->condition != UINT32_MAX) line(w, "if (!%s) break;", condition(w, s->condition));
    if (s->iteration != UINT32_MAX)
        line(w, "memcpy(%s, &i%" PRIu32 ", 8);", address(w, s->iteration), number);
    put_steps(w, s->body);
    w->indent--;
    line(w, "}");
}

static void put_symbol(entry_writer *w, const program_step *s) {
    dim limit = dim_symbol_limit(w->p->dims, s->symbol);
    line(w, "memcpy(&s%" PRIu32 ", (const char *)%s + %" PRIu32 ", 8);", s->symbol,
         address(w, s->args[0]), s->element * 8);
    line(w, "if (%s) return ONNXCC_ERROR_BAD_SHAPE;", out_of_bounds(w, s->symbol));
    if (limit)
        line(w, "if (s%" PRIu32 " > %s) return ONNXCC_ERROR_BAD_SHAPE;", s->symbol,
             name_dim(w, limit));
}

static void put_step(entry_writer *w, const program_step *s) {
    bool watched = s->kind == STEP_CALL || s->kind == STEP_RUNTIME;
    const char *to = NULL, *bytes = NULL;
    w->watches |= watched;
    line(w, "{");
    w->indent++;
    if (watched) line(w, "const uint64_t begin = step_begin(context);");
    if (s->kind == STEP_ZERO || s->kind == STEP_COPY) {
        to = address(w, s->args[0]);
        bytes = name_dim(w, w->p->buffers.data[s->args[0]].bytes);
    }
    switch (s->kind) {
    case STEP_CALL: put_call(w, s); break;
    case STEP_CHAIN: put_chain(w, s); break;
    case STEP_RUNTIME: put_runtime(w, s); break;
    case STEP_IF: put_if(w, s); break;
    case STEP_LOOP: put_loop(w, s); break;
    case STEP_ZERO: line(w, "memset(%s, 0, (size_t)%s);", to, bytes); break;
    case STEP_COPY:
        line(w, "memcpy(%s, %s, (size_t)%s);", to, address(w, s->args[1]), bytes);
        break;
    case STEP_SYMBOL: put_symbol(w, s); break;
    }
    if (watched)
        line(w, "if (step_end(context, %" PRIu32 ", begin)) return ONNXCC_ERROR_CANCELLED;",
             s->profile);
    w->indent--;
    line(w, "}");
}

static void put_steps(entry_writer *w, const program_step *s) {
    for (; s; s = s->next) put_step(w, s);
}

/* Dimensions of outputs that only the run tells, for callers who want them. */
static void put_open_outputs(entry_writer *w) {
    const char **names = package_open_names(w->p, w->a);
    for (size_t i = 0; i < w->p->outputs.count; i++) {
        const program_io *io = &w->p->outputs.data[i];
        if (!io->open) continue;
        line(w, "if (outputs->%s) {", names[i]);
        w->indent++;
        for (int j = 0; j < io->type.rank; j++)
            line(w, "outputs->%s[%d] = %s;", names[i], j, name_dim(w, io->type.dims[j]));
        w->indent--;
        line(w, "}");
    }
}

static void find_late(entry_writer *w, const program_step *s) {
    for (; s; s = s->next) {
        if (s->kind == STEP_SYMBOL) w->late[s->symbol] = true;
        find_late(w, s->body);
        find_late(w, s->otherwise);
    }
}

/* ---- helper functions ---- */

static const char division[] =
    "\nstatic int64_t dim_floordiv(int64_t a, int64_t b) {\n"
    "    return b ? a / b - (a % b != 0 && (a < 0) != (b < 0)) : 0;\n}\n";
static const char modulo[] =
    "\nstatic int64_t dim_mod(int64_t a, int64_t b) {\n"
    "    return b ? a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0) : 0;\n}\n";
static const char minimum[] = "\nstatic int64_t dim_min(int64_t a, int64_t b) {\n"
                              "    return a < b ? a : b;\n}\n";
static const char maximum[] = "\nstatic int64_t dim_max(int64_t a, int64_t b) {\n"
                              "    return a > b ? a : b;\n}\n";
static const char watching[] =
    "\n/* The time, if there is a clock. */\n"
    "static uint64_t step_begin(const onnxcc_context *context) {\n"
    "    return context && context->clock ? context->clock(context->profile_user) : 0;\n"
    "}\n"
    "\n/* Reports to the profiler; nonzero if the call was cancelled. */\n"
    "static int step_end(const onnxcc_context *context, int step, uint64_t begin) {\n"
    "    if (!context) return 0;\n"
    "    if (context->profile)\n"
    "        context->profile(context->profile_user, step, begin, step_begin(context));\n"
    "    return context->cancel ? *context->cancel : 0;\n"
    "}\n";
static const char launching[] =
    "\n/* Over the context's threads, if it has some. */\n"
    "static void launch(const onnxcc_context *context, onnxcc_task task, const int64_t *frame,\n"
    "                   int64_t count) {\n"
    "    if (context && context->parallel_for)\n"
    "        context->parallel_for(context->parallel_user, task, frame, count);\n"
    "    else\n"
    "        task(frame, 0, count);\n"
    "}\n";

/* ---- the function ---- */

static void name_members(entry_writer *w) {
    const program *p = w->p;
    const char **wanted = ARENA_ARRAY(w->a, const char *, p->symbols.count + 1);
    package_tensor_members(p, w->a, &w->inputs, &w->outputs);
    for (size_t i = 0; i < p->symbols.count; i++)
        wanted[i] = dim_symbol_name(p->dims, p->symbols.data[i]);
    w->symbols = package_names(w->a, wanted, p->symbols.count);
}

static void put_start(entry_writer *w, text *out) {
    const program *p = w->p;
    const char *missing = "return ONNXCC_ERROR_NULL_POINTER;\n";
    if (w->weights_in_file)
        put_text(w, out, arena_printf(w->a, "\nconst unsigned char *%s_weights_data;\n", p->name));
    put_text(w, out,
             arena_printf(w->a,
                          "\nint %s_run(const %s_inputs *inputs, const %s_outputs *outputs, void "
                          "*arena,\n            const onnxcc_context *context) {\n"
                          "    onnxcc_state state = {ONNXCC_OK, 0};\n    int64_t frame[%" PRIu32
                          "];\n    unsigned char *const memory = arena;\n    (void)memory;\n"
                          "    (void)context;\n    (void)%s;\n    (void)%s;\n"
                          "    (void)frame;\n",
                          p->name, p->name, p->name, w->frame_words, "inputs", "outputs"));
    if (p->inputs.count || p->symbols.count)
        put_text(w, out, arena_printf(w->a, "    if (!inputs) %s", missing));
    if (p->outputs.count) put_text(w, out, arena_printf(w->a, "    if (!outputs) %s", missing));
    if (w->weights_in_file && p->weight_bytes)
        put_text(w, out, arena_printf(w->a, "    if (!%s_weights_data) %s", p->name, missing));
}

static void put_all(entry_writer *w, text *out, const text *part) {
    for (size_t i = 0; i < part->count; i++) list_push(w->a, out, part->data[i]);
}

const char *c_entry(const program *p, const char *const *kernels, const bool *const *used,
                    bool weights_in_file, arena *a) {
    entry_writer w = {.p = p,
                      .a = a,
                      .kernels = kernels,
                      .used = used,
                      .weights_in_file = weights_in_file,
                      .indent = 1,
                      .frame_words = 1};
    text out = {0};
    w.late = ARENA_ARRAY(a, bool, dim_symbol_count(p->dims) + 1);
    find_late(&w, p->steps);
    name_members(&w);
    read_symbols(&w);
    check_pointers(&w, true);
    check_pointers(&w, false);
    check_arena(&w);
    put_steps(&w, p->steps);
    put_open_outputs(&w);
    if (w.divides) put_text(&w, &out, division);
    if (w.mods) put_text(&w, &out, modulo);
    if (w.minima) put_text(&w, &out, minimum);
    if (w.maxima) put_text(&w, &out, maximum);
    if (w.watches) put_text(&w, &out, watching);
    if (w.launches) put_text(&w, &out, launching);
    put_all(&w, &out, &w.chains);
    put_start(&w, &out);
    put_all(&w, &out, &w.early);
    put_all(&w, &out, &w.steps);
    put_text(&w, &out, "    return state.status;\n}\n");
    list_push(a, &out, '\0');
    return out.data;
}
