/* compile.h: programs to machine code, by LLVM: object files for an archive, or code in this
 * process. Both ways give the same bytes. Kernels are spread over modules that are compiled on all
 * processors; the result does not depend on how many there are. */
#ifndef ONNXCC_CODEGEN_LLVM_COMPILE_H
#define ONNXCC_CODEGEN_LLVM_COMPILE_H

#include "codegen/instance.h"
#include "codegen/package/archive_write.h"
#include "codegen/program.h"
#include "codegen/target.h"

typedef struct {
    int optimize;         /* 0: no passes at all */
    int threads;          /* 0: as many as there are processors */
    bool weights_in_file; /* the constants are where NAME_weights_data points to, not at
                             NAME_weights */
    bool verify;          /* checks every module before it is optimised; for tests */
} llvm_options;

/* One program of the model for one machine. A library for several machines holds one program each;
 * they share weights, inputs and outputs. */
typedef struct {
    const program *program;
    const target_machine *machine;
} llvm_level;

typedef struct {
    const archive_member *objects;
    size_t object_count;
    size_t code_bytes;  /* of all objects' instructions */
    size_t stack_bytes; /* the largest kernel's arrays on the stack */
} llvm_output;

/* Compiles the levels, lowest first. With one level NAME_run is its entry; with several NAME_run
 * picks the highest that the processor has. The objects refer to NAME_weights, memcpy, memmove,
 * memset and runtime functions and nothing else. False and a diagnostic if LLVM fails. */
bool llvm_compile(const llvm_level *levels, size_t count, llvm_options o, arena *a, diag *d,
                  llvm_output *out);

/* The program as code in this process. Its memory is freed by instance_close. */
instance *llvm_jit_instance(const program *p, const target_machine *m, llvm_options o, arena *a,
                            diag *d);
/* Bytes of machine code of such an instance. */
size_t llvm_jit_code_bytes(const instance *i);

/* The address of one kernel (and the bytes of its stack arrays), compiled alone: for tests and for
 * measuring. Free it with llvm_jit_free. */
typedef struct llvm_jit llvm_jit;
llvm_jit *llvm_jit_kernel(loop_kernel *k, const target_machine *m, llvm_options o, diag *d,
                          onnxcc_task *out);
void llvm_jit_free(llvm_jit *j);

/* What the program becomes, as text in the arena: LLVM IR as emitted, LLVM IR behind the passes, or
 * assembly. */
typedef enum { LLVM_TEXT_EMITTED, LLVM_TEXT_OPTIMIZED, LLVM_TEXT_ASSEMBLY } llvm_text_kind;
const char *llvm_text(const program *p, const target_machine *m, llvm_options o,
                      llvm_text_kind kind, arena *a, diag *d);
const char *llvm_kernel_text(loop_kernel *k, const target_machine *m, llvm_options o,
                             llvm_text_kind kind, arena *a, diag *d);

#endif
