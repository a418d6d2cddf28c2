/* compile.c: object files and texts of programs. See compile.h. */
#include "codegen/llvm/compile.h"
#include "codegen/llvm/backend.h"

#include <llvm-c/Object.h>
#include <string.h>

/* Bytes of the sections of instructions. */
static size_t code_bytes(LLVMMemoryBufferRef object, LLVMContextRef context) {
    char *error = NULL;
    size_t total = 0;
    LLVMBinaryRef binary = LLVMCreateBinary(object, context, &error);
    if (!binary) {
        LLVMDisposeMessage(error);
        return 0;
    }
    LLVMSectionIteratorRef s = LLVMObjectFileCopySectionIterator(binary);
    for (; !LLVMObjectFileIsSectionIteratorAtEnd(binary, s); LLVMMoveToNextSection(s)) {
        const char *name = LLVMGetSectionName(s);
        if (name && strncmp(name, ".text", 5) == 0) total += LLVMGetSectionSize(s);
    }
    LLVMDisposeSectionIterator(s);
    LLVMDisposeBinary(binary);
    return total;
}

size_t backend_code_bytes(const backend_modules *b) {
    LLVMContextRef c = LLVMContextCreate();
    size_t total = 0;
    for (size_t i = 0; i < b->modules.count; i++)
        if (b->modules.data[i].object) total += code_bytes(b->modules.data[i].object, c);
    LLVMContextDispose(c);
    return total;
}

/* NAME_run of a library for several machines. */
static void emit_multi(backend_modules *b, const llvm_level *levels, size_t count,
                       const char *const *entries, arena *a) {
    emit_module e;
    const char *name = levels[0].program->name;
    const char *object = arena_printf(a, "%s_entry.o", name);
    emit_module_begin(&e, a, levels[0].machine, object);
    int bits[8];
    for (size_t i = 0; i < count; i++) bits[i] = levels[i].machine->vector_bytes;
    emit_dispatch(&e, arena_printf(a, "%s_run", name), entries, bits, count);
    backend_add(b, &e, object, a);
}

bool llvm_compile(const llvm_level *levels, size_t count, llvm_options o, arena *a, diag *d,
                  llvm_output *out) {
    backend_modules b = {.stack_bytes = 0};
    arena *scratch = arena_create();
    const char *entries[8];
    backend_begin();
    for (size_t i = 0; i < count; i++) {
        const program *p = levels[i].program;
        const char *suffix =
            count > 1 ? arena_printf(a, "_%d", levels[i].machine->vector_bytes * 8) : "";
        entries[i] = arena_printf(a, "%s_run%s", p->name, suffix);
        backend_emit(&b, p, levels[i].machine, &o, entries[i], suffix, scratch);
    }
    if (count > 1) emit_multi(&b, levels, count, entries, scratch);
    bool ok = backend_compile(&b, &o, false, d);
    if (ok) {
        archive_member *objects = ARENA_ARRAY(a, archive_member, b.modules.count);
        for (size_t i = 0; i < b.modules.count; i++) {
            LLVMMemoryBufferRef from = b.modules.data[i].object;
            size_t bytes = LLVMGetBufferSize(from);
            void *data = arena_alloc(a, bytes);
            memcpy(data, LLVMGetBufferStart(from), bytes);
            objects[i] = (archive_member){arena_strdup(a, b.modules.data[i].name), data, bytes};
        }
        *out =
            (llvm_output){objects, b.modules.count, backend_code_bytes(&b), (size_t)b.stack_bytes};
    }
    backend_free(&b);
    arena_destroy(scratch);
    return ok;
}

/* ---- texts ---- */

static const char *module_text(backend_module *m, const llvm_options *o, llvm_text_kind kind,
                               arena *a) {
    if (kind == LLVM_TEXT_ASSEMBLY)
        return arena_strndup(a, LLVMGetBufferStart(m->object), LLVMGetBufferSize(m->object));
    if (kind == LLVM_TEXT_OPTIMIZED && !backend_optimize(m, o)) return m->error;
    char *text = LLVMPrintModuleToString(m->module);
    const char *copy = arena_strdup(a, text);
    LLVMDisposeMessage(text);
    return copy;
}

static const char *all_text(backend_modules *b, const llvm_options *o, llvm_text_kind kind,
                            arena *a, diag *d) {
    const char *text = "";
    if (kind == LLVM_TEXT_ASSEMBLY && !backend_compile(b, o, true, d)) text = NULL;
    for (size_t i = 0; text && i < b->modules.count; i++) {
        const char *part = module_text(&b->modules.data[i], o, kind, a);
        text = *text ? arena_printf(a, "%s\n%s", text, part) : part;
    }
    backend_free(b);
    return text;
}

const char *llvm_text(const program *p, const target_machine *m, llvm_options o,
                      llvm_text_kind kind, arena *a, diag *d) {
    backend_modules b = {.stack_bytes = 0};
    backend_begin();
    backend_emit(&b, p, m, &o, arena_printf(a, "%s_run", p->name), "", a);
    return all_text(&b, &o, kind, a, d);
}

const char *llvm_kernel_text(loop_kernel *k, const target_machine *m, llvm_options o,
                             llvm_text_kind kind, arena *a, diag *d) {
    backend_modules b = {.stack_bytes = 0};
    backend_begin();
    backend_emit_kernel(&b, k, m, a);
    return all_text(&b, &o, kind, a, d);
}
