/* backend.h: modules through LLVM's passes and code generator. compile.c and jit.c share it. */
#ifndef ONNXCC_CODEGEN_LLVM_BACKEND_H
#define ONNXCC_CODEGEN_LLVM_BACKEND_H

#include "codegen/llvm/compile.h"
#include "codegen/llvm/emit.h"

/* One module on its way to an object. */
typedef struct {
    const char *name; /* of the object file */
    const target_machine *machine;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMMemoryBufferRef object; /* the result, or assembly */
    char *error;                /* a malloc'd message; NULL: it went well */
} backend_module;

typedef struct {
    LIST(backend_module) modules;
    int64_t stack_bytes;
} backend_modules;

/* Registers the x86 code generator, once. */
void backend_begin(void);
/* Emits the program: kernels, then the entry `run_name`. */
void backend_emit(backend_modules *out, const program *p, const target_machine *m,
                  const llvm_options *o, const char *run_name, const char *suffix, arena *a);
void backend_emit_kernel(backend_modules *out, loop_kernel *k, const target_machine *m, arena *a);
/* Takes over a module that somebody built. */
void backend_add(backend_modules *out, emit_module *m, const char *name, arena *a);
/* Optimises and translates every module, in parallel. Nothing more is needed of the modules then;
 * they are freed. False and a diagnostic if one fails. */
bool backend_compile(backend_modules *b, const llvm_options *o, bool assembly, diag *d);
/* Runs the passes alone. */
bool backend_optimize(backend_module *m, const llvm_options *o);
void backend_free(backend_modules *b);
/* Bytes of machine code of the compiled objects. */
size_t backend_code_bytes(const backend_modules *b);

#endif
