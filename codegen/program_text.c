/* program_text.c: prints a program: buffers with their places, steps, kernels. For those who debug,
 * not to be read back. */
#include "codegen/program.h"

#include <string.h>

typedef struct {
    const program *p;
    arena *scratch;
    void (*write)(void *user, const char *text, size_t n);
    void *user;
} printer;

static void put(printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(printer *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(p->scratch, format, args);
    va_end(args);
    p->write(p->user, text, strlen(text));
}

static void put_buffers(printer *p) {
    static const char *const places[] = {"input", "output", "weight", "arena"};
    for (size_t i = 0; i < p->p->buffers.count; i++) {
        const program_buffer *b = &p->p->buffers.data[i];
        put(p, "buffer %zu %s: %s", i, b->name, places[b->place]);
        if (b->place == PLACE_INPUT || b->place == PLACE_OUTPUT)
            put(p, " %u", b->index);
        else if (b->offset)
            put(p, " at %s", dim_text(p->p->dims, p->scratch, b->offset));
        put(p, ", %s bytes\n", dim_text(p->p->dims, p->scratch, b->bytes));
    }
}

static void put_steps(printer *p, const program_step *s, int depth) {
    static const char *const kinds[] = {"call", "if",     "loop",  "zero",
                                        "copy", "symbol", "chain", "runtime"};
    for (; s; s = s->next) {
        put(p, "%*s%s", depth * 2, "", kinds[s->kind]);
        if (s->kind == STEP_CALL) put(p, " %s", p->p->kernels.data[s->kernel].loops->name);
        if (s->kind == STEP_RUNTIME) put(p, " %s", s->callee);
        for (uint32_t i = 0; i < s->arg_count; i++)
            put(p, s->args[i] == PROGRAM_NO_BUFFER ? " -" : " %u", s->args[i]);
        if (s->iterations) put(p, " over %s", dim_text(p->p->dims, p->scratch, s->iterations));
        put(p, s->label ? "  ; %s\n" : "\n", s->label);
        put_steps(p, s->body, depth + 1);
        if (s->otherwise) put(p, "%*selse\n", depth * 2, "");
        put_steps(p, s->otherwise, depth + 1);
    }
}

void program_print(const program *program, void (*write)(void *user, const char *text, size_t n),
                   void *user) {
    printer p = {program, arena_create(), write, user};
    put(&p, "program %s, arena %s bytes, weights %lld\n", program->name,
        dim_text(program->dims, p.scratch, program->arena_bytes), (long long)program->weight_bytes);
    put_buffers(&p);
    put_steps(&p, program->steps, 0);
    arena_destroy(p.scratch);
    for (size_t i = 0; i < program->kernels.count; i++)
        loop_print(program->kernels.data[i].loops, write, user);
}
