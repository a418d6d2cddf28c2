/* jit.c: compiled objects, linked into this process by ORC. */
#include "codegen/llvm/backend.h"
#include "codegen/llvm/compile.h"
#include "codegen/package/runtime_files.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_ALIGN = 64 };

struct llvm_jit {
    LLVMOrcLLJITRef lljit;
    unsigned char *weights; /* malloc'd */
    size_t code_bytes;
};

static bool report(diag *d, LLVMErrorRef e) {
    if (!e) return true;
    char *message = LLVMGetErrorMessage(e);
    bool ok = diag_error(d, NULL, NULL, NULL, "LLVM: %s", message);
    LLVMDisposeErrorMessage(message);
    return ok;
}

void llvm_jit_free(llvm_jit *j) {
    if (!j) return;
    if (j->lljit) LLVMConsumeError(LLVMOrcDisposeLLJIT(j->lljit));
    free(j->weights);
    free(j);
}

/* What generated code may call comes from this process. */
static bool begin_jit(llvm_jit *j, diag *d) {
    if (!report(d, LLVMOrcCreateLLJIT(&j->lljit, NULL))) return false;
    LLVMOrcDefinitionGeneratorRef process;
    LLVMErrorRef e = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
        &process, LLVMOrcLLJITGetGlobalPrefix(j->lljit), NULL, NULL);
    if (!report(d, e)) return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(j->lljit), process);
    return true;
}

static bool add_object(llvm_jit *j, LLVMMemoryBufferRef object, diag *d) {
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    return report(d, LLVMOrcLLJITAddObjectFile(j->lljit, library, object));
}

/* The objects of the runtime that a library would hold. */
static bool add_runtime(llvm_jit *j, const backend_modules *b, diag *d) {
    bool ok = true;
    for (size_t f = 0; f < runtime_file_count; f++) {
        const runtime_file *file = &runtime_files[f];
        bool needed = false;
        for (size_t i = 0; i < b->modules.count; i++) {
            LLVMMemoryBufferRef object = b->modules.data[i].object;
            needed |=
                runtime_file_is_needed(file, LLVMGetBufferStart(object), LLVMGetBufferSize(object));
        }
        if (needed)
            ok &= add_object(j,
                             LLVMCreateMemoryBufferWithMemoryRangeCopy(
                                 (const char *)file->object,
                                 (size_t)(file->object_end - file->object), file->name),
                             d);
    }
    return ok;
}

/* Compiles the modules and links them; frees them in any case. */
static bool link_modules(llvm_jit *j, backend_modules *b, const llvm_options *o, diag *d) {
    bool ok = backend_compile(b, o, false, d) && begin_jit(j, d);
    if (ok) j->code_bytes = backend_code_bytes(b);
    ok = ok && add_runtime(j, b, d);
    for (size_t i = 0; ok && i < b->modules.count; i++) {
        LLVMMemoryBufferRef object = b->modules.data[i].object;
        b->modules.data[i].object = NULL;
        ok = add_object(j, object, d);
    }
    backend_free(b);
    return ok;
}

static bool look_up(llvm_jit *j, const char *name, void **out, diag *d) {
    LLVMOrcExecutorAddress address = 0;
    if (!report(d, LLVMOrcLLJITLookup(j->lljit, &address, name))) return false;
    *out = (void *)(uintptr_t)address;
    return true;
}

/* The constants as the generated library has them, at 64 bytes' alignment within the allocation. */
static const unsigned char *copy_weights(llvm_jit *j, const program *p) {
    j->weights = calloc(1, (size_t)p->weight_bytes + WEIGHT_ALIGN);
    if (!j->weights) abort();
    uintptr_t at = (uintptr_t)j->weights + WEIGHT_ALIGN - 1;
    unsigned char *base = (unsigned char *)(at - at % WEIGHT_ALIGN);
    for (size_t i = 0; i < p->buffers.count; i++) {
        const program_buffer *b = &p->buffers.data[i];
        if (b->place != PLACE_WEIGHT) continue;
        unsigned char *to = base + dim_value(p->dims, b->offset);
        size_t bytes = (size_t)dim_value(p->dims, b->bytes);
        if (!b->splat && bytes) memcpy(to, b->data, bytes);
        for (size_t k = 0; b->splat && k + b->element_bytes <= bytes; k += b->element_bytes)
            memcpy(to + k, b->data, b->element_bytes);
    }
    return base;
}

static void release(instance *i) {
    llvm_jit_free(i->owner);
    i->owner = NULL;
}

size_t llvm_jit_code_bytes(const instance *i) {
    return ((const llvm_jit *)i->owner)->code_bytes;
}

instance *llvm_jit_instance(const program *p, const target_machine *m, llvm_options o, arena *a,
                            diag *d) {
    llvm_jit *j = calloc(1, sizeof *j);
    if (!j) abort();
    backend_modules b = {.stack_bytes = 0};
    arena *scratch = arena_create();
    const char *run = arena_printf(a, "%s_run", p->name);
    void *address = NULL;
    void *weights = NULL;
    /* The constants may lie farther away than code can reach directly: a pointer beside the code
     * leads there. */
    o.weights_in_file = true;
    backend_begin();
    backend_emit(&b, p, m, &o, run, "", scratch);
    bool ok = link_modules(j, &b, &o, d) &&
              (!p->weight_bytes ||
               look_up(j, arena_printf(a, "%s_weights_data", p->name), &weights, d)) &&
              look_up(j, run, &address, d);
    if (ok && weights) *(const unsigned char **)weights = copy_weights(j, p);
    arena_destroy(scratch);
    if (!ok) {
        llvm_jit_free(j);
        return NULL;
    }
    instance *i = ARENA_NEW(a, instance);
    *i = (instance){.program = p, .release = release, .owner = j};
    memcpy(&i->run, &address, sizeof address);
    return i;
}

llvm_jit *llvm_jit_kernel(loop_kernel *k, const target_machine *m, llvm_options o, diag *d,
                          onnxcc_task *out) {
    llvm_jit *j = calloc(1, sizeof *j);
    if (!j) abort();
    backend_modules b = {.stack_bytes = 0};
    arena *scratch = arena_create();
    void *address = NULL;
    backend_begin();
    backend_emit_kernel(&b, k, m, scratch);
    bool ok = link_modules(j, &b, &o, d) && look_up(j, k->name, &address, d);
    arena_destroy(scratch);
    if (!ok) {
        llvm_jit_free(j);
        return NULL;
    }
    memcpy(out, &address, sizeof address);
    return j;
}
