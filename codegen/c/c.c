/* c.c: the parts of NAME.c and how they are put together. Weights are strings of their bytes, which
 * C compilers read several times faster than lists of numbers, within a union that has the
 * alignment and the types of elements. Their bytes are little-endian, as in ONNX files. */
#include "codegen/c/c.h"
#include "codegen/package/runtime_files.h"
#include "codegen/text/text.h"

#include <assert.h>
#include <string.h>

enum { LINE_BYTES = 512 }; /* of weights */

/* ---- weights ---- */

static bool is_plain(unsigned char c) {
    return c >= 32 && c < 127 && c != '"' && c != '\\' && c != '?' && (c < '0' || c > '9');
}

/* The string literals that hold the bytes; only their length if `out` is NULL. No digit and no
 * question mark stands for itself, so that octal numbers may be short and there are no trigraphs.
 */
static size_t put_bytes(const program_buffer *b, size_t bytes, char *out) {
    size_t n = 0;
    for (size_t at = 0; at < bytes; at++) {
        char piece[8];
        size_t length = 0;
        unsigned char c = ((const unsigned char *)b->data)[b->splat ? at % b->element_bytes : at];
        if (at % LINE_BYTES == 0) piece[length++] = '"';
        if (is_plain(c)) {
            piece[length++] = (char)c;
        } else {
            piece[length++] = '\\';
            if (c >= 64) piece[length++] = (char)('0' + (c >> 6));
            if (c >= 8) piece[length++] = (char)('0' + (c >> 3 & 7));
            piece[length++] = (char)('0' + (c & 7));
        }
        if (at % LINE_BYTES == LINE_BYTES - 1 || at + 1 == bytes) {
            piece[length++] = '"';
            piece[length++] = '\n';
        }
        if (out) memcpy(out + n, piece, length);
        n += length;
    }
    return n;
}

static const char weight_macro[] =
    "\n#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n"
    "#error \"the weights are stored little-endian\"\n"
    "#endif\n"
    "#define WEIGHT(n)            \\\n"
    "    static const union {     \\\n"
    "        char bytes[n + 1];   \\\n"
    "        bool elements_b;     \\\n"
    "        int8_t elements_i8;  \\\n"
    "        int16_t elements_i16; \\\n"
    "        int32_t elements_i32; \\\n"
    "        int64_t elements_i64; \\\n"
    "        float elements_f32;  \\\n"
    "        double elements_f64; \\\n"
    "    }\n";

/* A zero splat needs no bytes: the rest of an array is zero. */
static size_t written_bytes(const program_buffer *b, size_t bytes) {
    bool zero = b->splat;
    for (size_t i = 0; zero && i < b->element_bytes; i++)
        zero = ((const unsigned char *)b->data)[i] == 0;
    return zero ? 0 : bytes;
}

/* ---- what is used ---- */

static void mark_steps(const program *p, const program_step *s, const bool *const *used,
                       bool *needed) {
    for (; s; s = s->next) {
        const loop_kernel *k = s->kind == STEP_CALL ? p->kernels.data[s->kernel].loops : NULL;
        loop_buf parameter = 0;
        for (uint32_t i = 0; i < s->arg_count; i++, parameter++) {
            while (k && k->buffers.data[parameter].space > LOOP_SPACE_OUTPUT) parameter++;
            if (s->args[i] != PROGRAM_NO_BUFFER)
                needed[s->args[i]] |= !k || used[s->kernel][parameter];
        }
        if (s->condition != UINT32_MAX) needed[s->condition] = true;
        if (s->trip_count != UINT32_MAX) needed[s->trip_count] = true;
        mark_steps(p, s->body, used, needed);
        mark_steps(p, s->otherwise, used, needed);
    }
}

/* ---- the file ---- */

typedef struct {
    const char *text; /* NULL: the bytes of `weight` */
    const program_buffer *weight;
    size_t weight_bytes, length;
} part;

typedef LIST(part) part_list;

static void add_text(arena *a, part_list *parts, const char *text) {
    list_push(a, parts, ((part){.text = text, .length = strlen(text)}));
}

static void add_weights(const program *p, const bool *needed, arena *a, part_list *parts) {
    bool first = true;
    for (size_t i = 0; i < p->buffers.count; i++) {
        const program_buffer *b = &p->buffers.data[i];
        if (b->place != PLACE_WEIGHT || !needed[i]) continue;
        if (first) add_text(a, parts, weight_macro);
        first = false;
        size_t bytes = (size_t)dim_value(p->dims, b->bytes), written = written_bytes(b, bytes);
        add_text(a, parts,
                 arena_printf(a, "WEIGHT(%zu) %s_weight_%zu = {\n%s", bytes, p->name, i,
                              written ? "" : "\"\"\n"));
        list_push(a, parts, ((part){NULL, b, written, put_bytes(b, written, NULL)}));
        add_text(a, parts, "};\n");
    }
}

static const char *join(const part_list *parts, arena *a, size_t *length) {
    size_t total = 0;
    for (size_t i = 0; i < parts->count; i++) total += parts->data[i].length;
    char *text = arena_alloc(a, total + 1), *at = text;
    for (size_t i = 0; i < parts->count; at += parts->data[i++].length) {
        const part *x = &parts->data[i];
        if (x->text)
            memcpy(at, x->text, x->length);
        else
            put_bytes(x->weight, x->weight_bytes, at);
    }
    *length = total;
    return text;
}

/* A file of the runtime, weak where the compiler can say so: several models' files may be linked
 * together. `function` is what it defines. */
static void add_runtime(arena *a, part_list *parts, const char *file, const char *function) {
    size_t i = 0;
    while (i < runtime_file_count && strcmp(runtime_files[i].name, file) != 0) i++;
    assert(i < runtime_file_count && "the runtime has the file");
    add_text(a, parts, arena_printf(a, "\n#ifdef __GNUC__\n#pragma weak %s\n#endif\n", function));
    add_text(a, parts, runtime_files[i].source);
}

/* The runtime functions that the steps call, each once. */
static void add_callees(const program_step *s, arena *a, part_list *parts, bool *added) {
    for (; s; s = s->next) {
        for (size_t i = 0; s->kind == STEP_RUNTIME && i < runtime_file_count; i++) {
            const char *file = arena_printf(a, "%s.o", s->callee);
            if (added[i] || strcmp(runtime_files[i].name, file) != 0) continue;
            added[i] = true;
            add_runtime(a, parts, file, s->callee);
        }
        add_callees(s->body, a, parts, added);
        add_callees(s->otherwise, a, parts, added);
    }
}

c_source c_write(const program *p, bool weights_in_file, arena *a) {
    c_source out = {.stack_bytes = 0};
    text_module m;
    part_list parts = {0};
    const char **names = ARENA_ARRAY(a, const char *, p->kernels.count + 1);
    const bool **used = ARENA_ARRAY(a, const bool *, p->kernels.count + 1);
    bool *needed = ARENA_ARRAY(a, bool, p->buffers.count + 1);
    text_begin(&m, a, &text_dialect_c99);
    for (size_t i = 0; i < p->kernels.count; i++) {
        names[i] = p->kernels.data[i].loops->name;
        int64_t stack = text_add_kernel(&m, p->kernels.data[i].loops, names[i]);
        if ((size_t)stack > out.stack_bytes) out.stack_bytes = (size_t)stack;
        used[i] = m.used_buffers;
    }
    mark_steps(p, p->steps, used, needed);
    add_text(a, &parts,
             arena_printf(a,
                          "/* %s.c: made by onnxcc. Portable C99; see %s.h. Compile it with -O2 or "
                          "more. */\n#include \"%s.h\"\n\n",
                          p->name, p->name, p->name));
    add_text(a, &parts, text_finish(&m));
    if (!weights_in_file) add_weights(p, needed, a, &parts);
    add_callees(p->steps, a, &parts, ARENA_ARRAY(a, bool, runtime_file_count));
    add_text(a, &parts, c_entry(p, names, used, weights_in_file, a));
    add_runtime(a, &parts, "onnxcc_status.o", "onnxcc_status_name");
    out.text = join(&parts, a, &out.bytes);
    return out;
}
