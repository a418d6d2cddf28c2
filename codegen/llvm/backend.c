/* backend.c: runs LLVM over finished modules. Each module has its own context, so that threads may
 * work on several at once; all modules are emitted before, on one thread, in one order. */
#include "codegen/llvm/backend.h"

#include <assert.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char triple[] = "x86_64-unknown-linux-gnu";

/* The emitter leaves little to do: slots become registers, what control flow still hides from it is
 * merged, invariant loads leave their loops. LLVM's vectorisers stay out, and so does instcombine:
 * instruction selection does what it would do here, and LLVM 19's has folds that are wrong (of
 * max(|x|, 0) with its test for NaN, for one). */
static const char passes[] =
    "function(mem2reg,early-cse,simplifycfg,loop-mssa(licm),early-cse<memssa>)";

void backend_begin(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static LLVMTargetMachineRef make_target(const backend_module *m, const llvm_options *o,
                                        char **error) {
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(triple, &target, error)) return NULL;
    LLVMCodeGenOptLevel level = o->optimize ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelNone;
    return LLVMCreateTargetMachine(target, triple, m->machine->cpu, m->machine->features, level,
                                   LLVMRelocPIC, LLVMCodeModelSmall);
}

static void set_layout(backend_module *m, LLVMTargetMachineRef t) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(t);
    LLVMSetModuleDataLayout(m->module, layout);
    LLVMSetTarget(m->module, triple);
    LLVMDisposeTargetData(layout);
}

static bool run_passes(backend_module *m, const llvm_options *o, LLVMTargetMachineRef t) {
    if (o->verify && LLVMVerifyModule(m->module, LLVMReturnStatusAction, &m->error)) return false;
    if (!o->optimize) return true;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(m->module, passes, t, options);
    LLVMDisposePassBuilderOptions(options);
    if (!e) return true;
    char *message = LLVMGetErrorMessage(e);
    m->error = strdup(message);
    LLVMDisposeErrorMessage(message);
    return false;
}

bool backend_optimize(backend_module *m, const llvm_options *o) {
    LLVMTargetMachineRef t = make_target(m, o, &m->error);
    if (!t) return false;
    set_layout(m, t);
    bool ok = run_passes(m, o, t);
    LLVMDisposeTargetMachine(t);
    return ok;
}

static void free_module(backend_module *m) {
    if (m->module) LLVMDisposeModule(m->module);
    if (m->context) LLVMContextDispose(m->context);
    m->module = NULL;
    m->context = NULL;
}

static void compile_module(backend_module *m, const llvm_options *o, bool assembly) {
    LLVMTargetMachineRef t = make_target(m, o, &m->error);
    if (!t) return;
    set_layout(m, t);
    if (run_passes(m, o, t)) {
        char *error = NULL;
        if (LLVMTargetMachineEmitToMemoryBuffer(
                t, m->module, assembly ? LLVMAssemblyFile : LLVMObjectFile, &error, &m->object))
            m->error = error;
        else
            free(m->error);
        if (m->object) m->error = NULL;
    }
    LLVMDisposeTargetMachine(t);
    free_module(m);
}

typedef struct {
    backend_modules *b;
    const llvm_options *o;
    bool assembly;
    pthread_mutex_t lock;
    size_t next;
} work_queue;

static void *work(void *user) {
    work_queue *q = user;
    for (;;) {
        pthread_mutex_lock(&q->lock);
        size_t i = q->next++;
        pthread_mutex_unlock(&q->lock);
        if (i >= q->b->modules.count) return NULL;
        compile_module(&q->b->modules.data[i], q->o, q->assembly);
    }
}

bool backend_compile(backend_modules *b, const llvm_options *o, bool assembly, diag *d) {
    enum { MAX_THREADS = 64 };
    pthread_t threads[MAX_THREADS];
    long wanted = o->threads ? o->threads : sysconf(_SC_NPROCESSORS_ONLN), started = 0;
    if (wanted > (long)b->modules.count) wanted = (long)b->modules.count;
    if (wanted > MAX_THREADS) wanted = MAX_THREADS;
    work_queue q = {.b = b, .o = o, .assembly = assembly};
    pthread_mutex_init(&q.lock, NULL);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, work, &q) == 0)
        started++;
    work(&q);
    while (started > 0) pthread_join(threads[--started], NULL);
    pthread_mutex_destroy(&q.lock);
    bool ok = true;
    for (size_t i = 0; i < b->modules.count; i++)
        if (b->modules.data[i].error)
            ok = diag_error(d, b->modules.data[i].name, NULL, NULL, "LLVM: %s",
                            b->modules.data[i].error);
    return ok;
}

void backend_free(backend_modules *b) {
    for (size_t i = 0; i < b->modules.count; i++) {
        backend_module *m = &b->modules.data[i];
        free_module(m);
        if (m->object) LLVMDisposeMemoryBuffer(m->object);
        free(m->error);
    }
    b->modules.count = 0;
}

/* ---- emission ---- */

void backend_add(backend_modules *out, emit_module *m, const char *name, arena *a) {
    LLVMDisposeBuilder(m->builder);
    backend_module made = {
        .name = name, .machine = m->machine, .context = m->context, .module = m->module};
    list_push(a, &out->modules, made);
}

static size_t instruction_count(LLVMValueRef fn) {
    size_t n = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(fn); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i)) n++;
    return n;
}

static void note_stack(backend_modules *out, int64_t bytes) {
    if (bytes > out->stack_bytes) out->stack_bytes = bytes;
}

void backend_emit_kernel(backend_modules *out, loop_kernel *k, const target_machine *m, arena *a) {
    emit_module e;
    emit_module_begin(&e, a, m, k->name);
    e.cold = true;
    note_stack(out, emit_kernel(&e, k, k->name));
    backend_add(out, &e, k->name, a);
}

void backend_emit(backend_modules *out, const program *p, const target_machine *m,
                  const llvm_options *o, const char *run_name, const char *suffix, arena *a) {
    enum { FULL = 1500 }; /* instructions of a module */
    const char **names = ARENA_ARRAY(a, const char *, p->kernels.count + 1);
    emit_module e;
    size_t size = 0, number = 0;
    for (size_t i = 0; i < p->kernels.count; i++) {
        loop_kernel *k = p->kernels.data[i].loops;
        const char *name = arena_printf(a, "%s%s", k->name, suffix);
        names[i] = name;
        const char *object = arena_printf(a, "%s_%zu%s.o", p->name, number, suffix);
        if (!size) emit_module_begin(&e, a, m, object);
        e.cold = p->weight_bytes > m->l2_bytes;
        note_stack(out, emit_kernel(&e, k, name));
        size += instruction_count(LLVMGetNamedFunction(e.module, name));
        if (size < FULL && i + 1 < p->kernels.count) continue;
        backend_add(out, &e, object, a);
        size = 0;
        number++;
    }
    const char *object = arena_printf(a, "%s_entry%s.o", p->name, suffix);
    emit_module_begin(&e, a, m, object);
    emit_entry(&e, p, names, run_name, o->weights_in_file);
    backend_add(out, &e, object, a);
}
