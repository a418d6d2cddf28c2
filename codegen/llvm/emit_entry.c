/* emit_entry.c: NAME_run: checks what the caller gave, finds every buffer, and runs the steps.
 * Sizes and offsets that depend on dimensions are computed once, when their symbols are known. A
 * frame on the stack carries each kernel's arguments; kernels are called directly unless the call's
 * context splits them over threads. Beside the calls a step costs one test. */
#include "codegen/llvm/emit_entry.h"
#include "runtime/onnxcc_runtime.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* ---- small things ---- */

LLVMBasicBlockRef entry_new_block(entry_emitter *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->m->context, e->fn, name);
}

void entry_move_to(entry_emitter *e, LLVMBasicBlockRef b) {
    LLVMPositionBuilderAtEnd(e->m->builder, b);
}

LLVMValueRef entry_at(entry_emitter *e, LLVMValueRef p, LLVMValueRef bytes) {
    return LLVMBuildGEP2(e->m->builder, e->m->i8, p, &bytes, 1, "");
}

LLVMValueRef entry_field(entry_emitter *e, LLVMTypeRef type, LLVMValueRef p, size_t offset) {
    return LLVMBuildLoad2(e->m->builder, type, entry_at(e, p, entry_number(e, (int64_t)offset)),
                          "");
}

LLVMValueRef entry_is_null(entry_emitter *e, LLVMValueRef p) {
    return LLVMBuildICmp(e->m->builder, LLVMIntEQ, p, LLVMConstNull(e->m->pointer), "");
}

void entry_fail_if(entry_emitter *e, LLVMValueRef condition, LLVMValueRef status) {
    LLVMBuilderRef b = e->m->builder;
    LLVMBasicBlockRef bad = entry_new_block(e, "fail"), good = entry_new_block(e, "go_on");
    LLVMBuildCondBr(b, condition, bad, good);
    entry_move_to(e, bad);
    LLVMBuildStore(b, status, e->result);
    LLVMBuildBr(b, e->exit);
    entry_move_to(e, good);
}

static void fail_if(entry_emitter *e, LLVMValueRef condition, int status) {
    entry_fail_if(e, condition, LLVMConstInt(e->m->i32, (unsigned)status, false));
}

/* ---- buffers ---- */

LLVMValueRef entry_address(entry_emitter *e, uint32_t buffer) {
    const program_buffer *b = &e->p->buffers.data[buffer];
    switch (b->place) {
    case PLACE_INPUT: return entry_field(e, e->m->pointer, e->inputs, b->index * sizeof(void *));
    case PLACE_OUTPUT: return entry_field(e, e->m->pointer, e->outputs, b->index * sizeof(void *));
    case PLACE_WEIGHT: return entry_at(e, e->weights, entry_dim(e, b->offset));
    default:
        if (!b->offset) return e->arena; /* nobody ever reads it */
        return entry_at(e, e->arena, entry_dim(e, b->offset));
    }
}

static void declare_weights(entry_emitter *e, bool in_file) {
    emit_module *m = e->m;
    const char *name = e->p->name;
    if (!e->p->weight_bytes) {
        e->weights = LLVMConstNull(m->pointer);
        return;
    }
    LLVMTypeRef type = in_file ? m->pointer : LLVMArrayType2(m->i8, (uint64_t)e->p->weight_bytes);
    const char *symbol = arena_printf(m->scratch, in_file ? "%s_weights_data" : "%s_weights", name);
    LLVMValueRef global = LLVMGetNamedGlobal(m->module, symbol);
    if (!global) global = LLVMAddGlobal(m->module, type, symbol);
    if (in_file) {
        /* Set by the user before the first call, read only from then on. Every level's entry may
         * define it. */
        LLVMSetInitializer(global, LLVMConstNull(m->pointer));
        LLVMSetLinkage(global, LLVMWeakAnyLinkage);
        e->weights = LLVMBuildLoad2(m->builder, m->pointer, global, "weights");
        return;
    }
    LLVMSetVisibility(global, LLVMHiddenVisibility);
    LLVMSetGlobalConstant(global, true);
    LLVMSetAlignment(global, 64);
    e->weights = global;
}

/* ---- checks at the start ---- */

static bool may_be_empty(const entry_emitter *e, dim bytes) {
    return dim_low(e->p->dims, bytes) <= 0;
}

static void check_pointers(entry_emitter *e, LLVMValueRef table, bool inputs) {
    size_t count = inputs ? e->p->inputs.count : e->p->outputs.count;
    for (size_t i = 0; i < count; i++) {
        const program_io *io = inputs ? &e->p->inputs.data[i] : &e->p->outputs.data[i];
        LLVMValueRef p = entry_field(e, e->m->pointer, table, i * sizeof(void *));
        LLVMValueRef bad = entry_is_null(e, p);
        dim bytes = e->p->buffers.data[io->buffer].bytes;
        if (may_be_empty(e, bytes)) {
            int64_t size;
            if (dim_is_const(e->p->dims, bytes, &size) || entry_is_late(e, bytes)) continue;
            LLVMValueRef some = LLVMBuildICmp(e->m->builder, LLVMIntSGT, entry_dim(e, bytes),
                                              entry_number(e, 0), "");
            bad = LLVMBuildAnd(e->m->builder, bad, some, "");
        }
        fail_if(e, bad, ONNXCC_ERROR_NULL_POINTER);
    }
}

static void check_bounds(entry_emitter *e, dim_symbol s, LLVMValueRef v) {
    LLVMBuilderRef b = e->m->builder;
    int64_t low, high;
    dim_symbol_bounds(e->p->dims, s, &low, &high);
    LLVMValueRef below = LLVMBuildICmp(b, LLVMIntSLT, v, entry_number(e, low), "");
    LLVMValueRef above = LLVMBuildICmp(b, LLVMIntSGT, v, entry_number(e, high), "");
    fail_if(e, LLVMBuildOr(b, below, above, ""), ONNXCC_ERROR_BAD_SHAPE);
}

static void read_symbols(entry_emitter *e) {
    size_t at = e->p->inputs.count ? e->p->inputs.count : 1; /* a struct has one member at least */
    for (size_t i = 0; i < e->p->symbols.count; i++, at++) {
        dim_symbol s = e->p->symbols.data[i];
        LLVMValueRef v = entry_field(e, e->m->i64, e->inputs, at * 8);
        check_bounds(e, s, v);
        LLVMBuildStore(e->m->builder, v, e->symbols[s]);
    }
}

static void check_arena(entry_emitter *e) {
    LLVMBuilderRef b = e->m->builder;
    const program *p = e->p;
    if (!p->arena_bytes || dim_equals_const(p->dims, p->arena_bytes, 0)) return;
    fail_if(e, entry_is_null(e, e->arena), ONNXCC_ERROR_NULL_POINTER);
    LLVMValueRef bits = LLVMBuildPtrToInt(b, e->arena, e->m->i64, "");
    LLVMValueRef low = LLVMBuildAnd(b, bits, entry_number(e, 63), "");
    fail_if(e, LLVMBuildICmp(b, LLVMIntNE, low, entry_number(e, 0), ""),
            ONNXCC_ERROR_ARENA_MISALIGNED);
    if (entry_is_late(e, p->arena_bytes)) return; /* found as bounds of those symbols are kept */
    LLVMBasicBlockRef check = entry_new_block(e, "size"), after = entry_new_block(e, "go_on");
    LLVMValueRef needed = entry_dim(e, p->arena_bytes);
    LLVMBuildCondBr(b, entry_is_null(e, e->context), after, check);
    entry_move_to(e, check);
    LLVMValueRef given =
        entry_field(e, e->m->i64, e->context, offsetof(onnxcc_context, arena_bytes));
    LLVMValueRef known = LLVMBuildICmp(b, LLVMIntNE, given, entry_number(e, 0), "");
    LLVMValueRef small = LLVMBuildICmp(b, LLVMIntULT, given, needed, "");
    fail_if(e, LLVMBuildAnd(b, known, small, ""), ONNXCC_ERROR_ARENA_TOO_SMALL);
    LLVMBuildBr(b, after);
    entry_move_to(e, after);
}

/* ---- watching ---- */

LLVMValueRef entry_helper(entry_emitter *e, const char *name, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMAddFunction(e->m->module, name, type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    emit_function_attributes(e->m, fn);
    return fn;
}

/* i64 step_begin(context): the time, if there is a clock. */
static void make_before(entry_emitter *e) {
    emit_module *m = e->m;
    LLVMTypeRef type = LLVMFunctionType(m->i64, &m->pointer, 1, false);
    LLVMValueRef saved = e->fn, fn = e->fn = entry_helper(e, "step_begin", type);
    LLVMValueRef context = LLVMGetParam(fn, 0);
    LLVMBasicBlockRef entry = entry_new_block(e, "entry"), ask = entry_new_block(e, "clock");
    LLVMBasicBlockRef none = entry_new_block(e, "none");
    entry_move_to(e, entry);
    LLVMValueRef clock = entry_field(e, m->pointer, context, offsetof(onnxcc_context, clock));
    LLVMBuildCondBr(m->builder, entry_is_null(e, clock), none, ask);
    entry_move_to(e, ask);
    LLVMValueRef user = entry_field(e, m->pointer, context, offsetof(onnxcc_context, profile_user));
    LLVMTypeRef clock_type = LLVMFunctionType(m->i64, &m->pointer, 1, false);
    LLVMBuildRet(m->builder, LLVMBuildCall2(m->builder, clock_type, clock, &user, 1, ""));
    entry_move_to(e, none);
    LLVMBuildRet(m->builder, entry_number(e, 0));
    e->before = fn;
    e->fn = saved;
}

/* i32 step_end(context, step, begin): reports to the profiler; nonzero if the call was cancelled.
 */
static void make_behind(entry_emitter *e) {
    emit_module *m = e->m;
    LLVMBuilderRef b = m->builder;
    LLVMTypeRef params[] = {m->pointer, m->i32, m->i64};
    LLVMTypeRef type = LLVMFunctionType(m->i32, params, 3, false);
    LLVMValueRef saved = e->fn, fn = e->fn = entry_helper(e, "step_end", type);
    LLVMValueRef context = LLVMGetParam(fn, 0);
    LLVMBasicBlockRef entry = entry_new_block(e, "entry"), report = entry_new_block(e, "report");
    LLVMBasicBlockRef cancel = entry_new_block(e, "cancel"), look = entry_new_block(e, "look");
    LLVMBasicBlockRef none = entry_new_block(e, "none");
    entry_move_to(e, entry);
    LLVMValueRef profile = entry_field(e, m->pointer, context, offsetof(onnxcc_context, profile));
    LLVMBuildCondBr(b, entry_is_null(e, profile), cancel, report);
    entry_move_to(e, report);
    LLVMValueRef user = entry_field(e, m->pointer, context, offsetof(onnxcc_context, profile_user));
    LLVMTypeRef before = LLVMFunctionType(m->i64, &m->pointer, 1, false);
    LLVMValueRef end = LLVMBuildCall2(b, before, e->before, &context, 1, "");
    LLVMTypeRef kinds[] = {m->pointer, m->i32, m->i64, m->i64};
    LLVMValueRef args[] = {user, LLVMGetParam(fn, 1), LLVMGetParam(fn, 2), end};
    LLVMBuildCall2(b, LLVMFunctionType(m->none, kinds, 4, false), profile, args, 4, "");
    LLVMBuildBr(b, cancel);
    entry_move_to(e, cancel);
    LLVMValueRef flag = entry_field(e, m->pointer, context, offsetof(onnxcc_context, cancel));
    LLVMBuildCondBr(b, entry_is_null(e, flag), none, look);
    entry_move_to(e, look);
    LLVMValueRef raised = LLVMBuildLoad2(b, m->i32, flag, "");
    LLVMSetVolatile(raised, true);
    LLVMBuildRet(b, raised);
    entry_move_to(e, none);
    LLVMBuildRet(b, LLVMConstInt(m->i32, 0, false));
    e->behind = fn;
    e->fn = saved;
}

/* Begin time of a watched step, 0 of others. */
static LLVMValueRef watch_begin(entry_emitter *e) {
    LLVMBuilderRef b = e->m->builder;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b), watch = entry_new_block(e, "watch");
    LLVMBasicBlockRef step = entry_new_block(e, "step");
    LLVMBuildCondBr(b, entry_is_null(e, e->context), step, watch);
    entry_move_to(e, watch);
    LLVMTypeRef type = LLVMFunctionType(e->m->i64, &e->m->pointer, 1, false);
    LLVMValueRef begin = LLVMBuildCall2(b, type, e->before, &e->context, 1, "");
    LLVMBuildBr(b, step);
    entry_move_to(e, step);
    LLVMValueRef time = LLVMBuildPhi(b, e->m->i64, "");
    LLVMValueRef values[] = {entry_number(e, 0), begin};
    LLVMBasicBlockRef blocks[] = {here, watch};
    LLVMAddIncoming(time, values, blocks, 2);
    return time;
}

void entry_report(entry_emitter *e, const program_step *s, LLVMValueRef begin) {
    LLVMTypeRef params[] = {e->m->pointer, e->m->i32, e->m->i64};
    LLVMValueRef args[] = {e->context, LLVMConstInt(e->m->i32, s->profile, false), begin};
    LLVMTypeRef type = LLVMFunctionType(e->m->i32, params, 3, false);
    LLVMValueRef raised = LLVMBuildCall2(e->m->builder, type, e->behind, args, 3, "");
    fail_if(e,
            LLVMBuildICmp(e->m->builder, LLVMIntNE, raised, LLVMConstInt(e->m->i32, 0, false), ""),
            ONNXCC_ERROR_CANCELLED);
}

static void watch_end(entry_emitter *e, const program_step *s, LLVMValueRef begin) {
    LLVMBuilderRef b = e->m->builder;
    LLVMBasicBlockRef watch = entry_new_block(e, "watch"), after = entry_new_block(e, "after");
    LLVMBuildCondBr(b, entry_is_null(e, e->context), after, watch);
    entry_move_to(e, watch);
    entry_report(e, s, begin);
    LLVMBuildBr(b, after);
    entry_move_to(e, after);
}

/* ---- calls ---- */

static void put_word(entry_emitter *e, size_t word, LLVMValueRef v) {
    assert(word < e->frame_words);
    LLVMBuildStore(e->m->builder, v, entry_at(e, e->frame, entry_number(e, (int64_t)word * 8)));
}

size_t entry_call_words(const program *p, const program_step *s) {
    size_t symbols;
    loop_symbols(p->kernels.data[s->kernel].loops, &symbols);
    return 1 + s->arg_count + symbols;
}

void entry_put_frame(entry_emitter *e, const program_step *s, size_t base) {
    const program_kernel *k = &e->p->kernels.data[s->kernel];
    size_t word = base, count;
    put_word(e, word++, e->state);
    for (uint32_t i = 0; i < s->arg_count; i++) put_word(e, word++, entry_address(e, s->args[i]));
    const dim_symbol *symbols = loop_symbols(k->loops, &count);
    for (size_t i = 0; i < count; i++)
        put_word(e, word++, entry_dim(e, dim_from_symbol(e->p->dims, symbols[i])));
}

LLVMTypeRef entry_task_type(const emit_module *m) {
    LLVMTypeRef params[] = {m->pointer, m->i64, m->i64};
    return LLVMFunctionType(m->none, params, 3, false);
}

LLVMValueRef entry_task(entry_emitter *e, uint32_t kernel) {
    const char *name = e->kernels[kernel];
    LLVMValueRef fn = LLVMGetNamedFunction(e->m->module, name);
    if (fn) return fn;
    fn = LLVMAddFunction(e->m->module, name, entry_task_type(e->m));
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    return fn;
}

static void call_task(entry_emitter *e, LLVMValueRef fn, LLVMValueRef count) {
    LLVMValueRef args[] = {e->frame, entry_number(e, 0), count};
    LLVMBuildCall2(e->m->builder, entry_task_type(e->m), fn, args, 3, "");
}

LLVMValueRef entry_ask_threads(entry_emitter *e, LLVMBasicBlockRef alone) {
    emit_module *m = e->m;
    LLVMBasicBlockRef ask = entry_new_block(e, "ask"), split = entry_new_block(e, "split");
    LLVMBuildCondBr(m->builder, entry_is_null(e, e->context), alone, ask);
    entry_move_to(e, ask);
    LLVMValueRef parallel =
        entry_field(e, m->pointer, e->context, offsetof(onnxcc_context, parallel_for));
    LLVMBuildCondBr(m->builder, entry_is_null(e, parallel), alone, split);
    entry_move_to(e, split);
    return parallel;
}

void entry_launch(entry_emitter *e, LLVMValueRef parallel, LLVMValueRef fn, LLVMValueRef count) {
    emit_module *m = e->m;
    LLVMValueRef user =
        entry_field(e, m->pointer, e->context, offsetof(onnxcc_context, parallel_user));
    LLVMTypeRef params[] = {m->pointer, m->pointer, m->pointer, m->i64};
    LLVMValueRef args[] = {user, fn, e->frame, count};
    LLVMBuildCall2(m->builder, LLVMFunctionType(m->none, params, 4, false), parallel, args, 4, "");
}

/* context->parallel_for(user, kernel, frame, count) if there is one. */
static void call_split(entry_emitter *e, LLVMValueRef fn, LLVMValueRef count) {
    LLVMBasicBlockRef alone = entry_new_block(e, "alone"), after = entry_new_block(e, "after");
    entry_launch(e, entry_ask_threads(e, alone), fn, count);
    LLVMBuildBr(e->m->builder, after);
    entry_move_to(e, alone);
    call_task(e, fn, count);
    LLVMBuildBr(e->m->builder, after);
    entry_move_to(e, after);
}

static void emit_call(entry_emitter *e, const program_step *s) {
    entry_put_frame(e, s, 0);
    LLVMValueRef fn = entry_task(e, s->kernel);
    LLVMValueRef n = s->iterations ? entry_dim(e, s->iterations) : entry_number(e, 1);
    if (program_is_split(e->p, s))
        call_split(e, fn, n);
    else
        call_task(e, fn, n);
}

/* ---- steps ---- */

static LLVMValueRef load_bool(entry_emitter *e, uint32_t buffer) {
    LLVMValueRef v = LLVMBuildLoad2(e->m->builder, e->m->i8, entry_address(e, buffer), "");
    return LLVMBuildICmp(e->m->builder, LLVMIntNE, v, LLVMConstInt(e->m->i8, 0, false), "");
}

static LLVMValueRef load_word(entry_emitter *e, uint32_t buffer, uint32_t element) {
    return entry_field(e, e->m->i64, entry_address(e, buffer), element * sizeof(int64_t));
}

static void emit_if(entry_emitter *e, const program_step *s) {
    LLVMBasicBlockRef then = entry_new_block(e, "then"), otherwise = entry_new_block(e, "else");
    LLVMBasicBlockRef after = entry_new_block(e, "after");
    LLVMBuildCondBr(e->m->builder, load_bool(e, s->condition), then, otherwise);
    entry_move_to(e, then);
    e->serial++;
    entry_steps(e, s->body);
    LLVMBuildBr(e->m->builder, after);
    entry_move_to(e, otherwise);
    e->serial++;
    entry_steps(e, s->otherwise);
    LLVMBuildBr(e->m->builder, after);
    entry_move_to(e, after);
    e->serial++;
}

static void emit_loop(entry_emitter *e, const program_step *s) {
    emit_module *m = e->m;
    LLVMBuilderRef b = m->builder;
    LLVMValueRef trips = s->trip_count == UINT32_MAX ? NULL : load_word(e, s->trip_count, 0);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b), head = entry_new_block(e, "head");
    LLVMBasicBlockRef test = entry_new_block(e, "test"), body = entry_new_block(e, "body");
    LLVMBasicBlockRef after = entry_new_block(e, "after");
    LLVMBuildBr(b, head);
    entry_move_to(e, head);
    LLVMValueRef i = LLVMBuildPhi(b, m->i64, "i");
    if (trips)
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, i, trips, ""), test, after);
    else
        LLVMBuildBr(b, test);
    entry_move_to(e, test);
    e->serial++;
    if (s->condition != UINT32_MAX)
        LLVMBuildCondBr(b, load_bool(e, s->condition), body, after);
    else
        LLVMBuildBr(b, body);
    entry_move_to(e, body);
    if (s->iteration != UINT32_MAX) LLVMBuildStore(b, i, entry_address(e, s->iteration));
    e->serial++;
    entry_steps(e, s->body);
    LLVMValueRef next = LLVMBuildAdd(b, i, entry_number(e, 1), "");
    LLVMValueRef values[] = {entry_number(e, 0), next};
    LLVMBasicBlockRef blocks[] = {here, LLVMGetInsertBlock(b)};
    LLVMBuildBr(b, head);
    LLVMAddIncoming(i, values, blocks, 2);
    entry_move_to(e, after);
    e->serial++;
}

static void emit_symbol(entry_emitter *e, const program_step *s) {
    LLVMValueRef v = load_word(e, s->args[0], s->element);
    dim limit = dim_symbol_limit(e->p->dims, s->symbol);
    check_bounds(e, s->symbol, v);
    if (limit)
        fail_if(e, LLVMBuildICmp(e->m->builder, LLVMIntSGT, v, entry_dim(e, limit), ""),
                ONNXCC_ERROR_BAD_SHAPE);
    LLVMBuildStore(e->m->builder, v, e->symbols[s->symbol]);
    e->serial++;
}

static void emit_step(entry_emitter *e, const program_step *s) {
    LLVMBuilderRef b = e->m->builder;
    LLVMValueRef begin = NULL, bytes;
    bool watched = s->kind == STEP_CALL || s->kind == STEP_RUNTIME;
    e->serial++;
    if (watched) begin = watch_begin(e);
    switch (s->kind) {
    case STEP_CALL: emit_call(e, s); break;
    case STEP_RUNTIME: entry_runtime(e, s); break;
    case STEP_IF: emit_if(e, s); break;
    case STEP_LOOP: emit_loop(e, s); break;
    case STEP_ZERO:
        bytes = entry_dim(e, e->p->buffers.data[s->args[0]].bytes);
        LLVMBuildMemSet(b, entry_address(e, s->args[0]), LLVMConstInt(e->m->i8, 0, false), bytes,
                        1);
        break;
    case STEP_COPY:
        bytes = entry_dim(e, e->p->buffers.data[s->args[0]].bytes);
        LLVMBuildMemCpy(b, entry_address(e, s->args[0]), 1, entry_address(e, s->args[1]), 1, bytes);
        break;
    case STEP_SYMBOL: emit_symbol(e, s); break;
    case STEP_CHAIN: entry_chain(e, s); break;
    }
    if (watched) watch_end(e, s, begin);
}

void entry_steps(entry_emitter *e, const program_step *s) {
    for (; s; s = s->next) emit_step(e, s);
}

/* Dimensions of outputs that only the run tells, for callers who want them. */
static void emit_open_outputs(entry_emitter *e) {
    emit_module *m = e->m;
    size_t at = e->p->outputs.count;
    for (size_t i = 0; i < e->p->outputs.count; i++) {
        const program_io *io = &e->p->outputs.data[i];
        if (!io->open) continue;
        LLVMValueRef dims = entry_field(e, m->pointer, e->outputs, at++ * sizeof(void *));
        LLVMBasicBlockRef write = entry_new_block(e, "dims"), after = entry_new_block(e, "after");
        LLVMBuildCondBr(m->builder, entry_is_null(e, dims), after, write);
        entry_move_to(e, write);
        e->serial++;
        for (int j = 0; j < io->type.rank; j++)
            LLVMBuildStore(m->builder, entry_dim(e, io->type.dims[j]),
                           entry_at(e, dims, entry_number(e, j * (int64_t)sizeof(int64_t))));
        LLVMBuildBr(m->builder, after);
        entry_move_to(e, after);
        e->serial++;
    }
}

static void grow(size_t *most, size_t wanted) {
    if (wanted > *most) *most = wanted;
}

/* Which symbols steps set, and how large the frame and the operands of a call must be. */
static void survey_steps(entry_emitter *e, const program_step *s) {
    for (; s; s = s->next) {
        if (s->kind == STEP_SYMBOL) e->late[s->symbol] = true;
        if (s->kind == STEP_CALL) grow(&e->frame_words, entry_call_words(e->p, s));
        if (s->kind == STEP_CHAIN) grow(&e->frame_words, entry_chain_words(e->p, s));
        if (s->kind == STEP_RUNTIME) grow(&e->operand_count, s->arg_count);
        survey_steps(e, s->body);
        survey_steps(e, s->otherwise);
    }
}

/* ---- the function ---- */

static void make_variables(entry_emitter *e) {
    emit_module *m = e->m;
    LLVMBuilderRef b = m->builder;
    size_t n = dim_symbol_count(e->p->dims);
    e->late = ARENA_ARRAY(m->scratch, bool, n + 1);
    e->symbols = ARENA_ARRAY(m->scratch, LLVMValueRef, n + 1);
    e->frame_words = 1;
    survey_steps(e, e->p->steps);
    for (size_t s = 0; s < n; s++) {
        int64_t low, high;
        dim_symbol_bounds(e->p->dims, (dim_symbol)s, &low, &high);
        e->symbols[s] = LLVMBuildAlloca(b, m->i64, "symbol");
        LLVMBuildStore(b, entry_number(e, low), e->symbols[s]);
    }
    e->result = LLVMBuildAlloca(b, m->i32, "result");
    e->state = LLVMBuildAlloca(b, LLVMArrayType2(m->i8, sizeof(onnxcc_state)), "state");
    LLVMSetAlignment(e->state, 8);
    e->frame = LLVMBuildAlloca(b, LLVMArrayType2(m->i64, e->frame_words), "frame");
    LLVMSetAlignment(e->frame, 16);
    entry_make_call(e);
    LLVMTypeRef bytes = LLVMArrayType2(m->i8, sizeof(onnxcc_state));
    LLVMBuildStore(b, LLVMConstNull(bytes), e->state); /* no error, no draws */
}

void emit_entry(emit_module *m, const program *p, const char *const *kernels, const char *run_name,
                bool weights_in_file) {
    entry_emitter e = {.m = m, .p = p, .kernels = kernels, .serial = 1};
    LLVMTypeRef params[] = {m->pointer, m->pointer, m->pointer, m->pointer};
    LLVMTypeRef type = LLVMFunctionType(m->i32, params, 4, false);
    make_before(&e);
    make_behind(&e);
    e.fn = LLVMAddFunction(m->module, run_name, type);
    emit_function_attributes(m, e.fn);
    e.inputs = LLVMGetParam(e.fn, 0);
    e.outputs = LLVMGetParam(e.fn, 1);
    e.arena = LLVMGetParam(e.fn, 2);
    e.context = LLVMGetParam(e.fn, 3);
    LLVMBasicBlockRef entry = entry_new_block(&e, "entry"), steps = entry_new_block(&e, "steps");
    e.exit = entry_new_block(&e, "exit");
    entry_move_to(&e, entry);
    make_variables(&e);
    declare_weights(&e, weights_in_file);
    if (p->inputs.count || p->symbols.count)
        fail_if(&e, entry_is_null(&e, e.inputs), ONNXCC_ERROR_NULL_POINTER);
    if (p->outputs.count) fail_if(&e, entry_is_null(&e, e.outputs), ONNXCC_ERROR_NULL_POINTER);
    if (weights_in_file && p->weight_bytes)
        fail_if(&e, entry_is_null(&e, e.weights), ONNXCC_ERROR_NULL_POINTER);
    read_symbols(&e);
    e.early = LLVMGetInsertBlock(m->builder);
    LLVMBasicBlockRef checks = entry_new_block(&e, "checks");
    LLVMBuildBr(m->builder, checks);
    entry_move_to(&e, checks);
    check_pointers(&e, e.inputs, true);
    check_pointers(&e, e.outputs, false);
    check_arena(&e);
    LLVMBuildBr(m->builder, steps);
    entry_move_to(&e, steps);
    entry_steps(&e, p->steps);
    emit_open_outputs(&e);
    LLVMValueRef status = LLVMBuildLoad2(m->builder, m->i32, e.state, "");
    LLVMBuildStore(m->builder, status, e.result);
    LLVMBuildBr(m->builder, e.exit);
    entry_move_to(&e, e.exit);
    LLVMBuildRet(m->builder, LLVMBuildLoad2(m->builder, m->i32, e.result, ""));
}
