/* target.h: what a target can do and who schedules and emits for it. A target is one row in
 * target.c and one folder. */
#ifndef ONNXCC_CODEGEN_TARGET_H
#define ONNXCC_CODEGEN_TARGET_H

#include "codegen/program.h"

/* How many candidates a schedule ranks at most, and the number of the order that they are in: a
 * change of a cost model raises it, and makes tuning records void. */
enum { TARGET_RANKS = 8, TARGET_RANKING = 4 };

/* Facts that schedules and emitters go by. */
typedef struct target_machine target_machine;
struct target_machine {
    const char *name;     /* "x86-64-v4" */
    const char *cpu;      /* LLVM's -mcpu name; NULL for targets that LLVM does not print */
    const char *features; /* LLVM's feature string, "+avx2,+fma" */
    int vector_bytes;     /* of a register: 16, 32, 64; 0 without vectors */
    int vector_registers;
    bool fma;
    bool half;   /* converts between f16 and f32 */
    bool masked; /* masked loads and stores are cheap */
    bool vnni, bf16;
    int64_t l1_bytes, l2_bytes;
    /* Rewrites a kernel's loops for the machine: every INDEPENDENT and REDUCE loop becomes one of
     * the kinds that emitters know. */
    /* By the candidate of this rank in the cost model's order, the best one 0. */
    void (*schedule)(loop_kernel *k, const target_machine *m, int rank);
};

/* The machine of a target name ("x86-64-v2", "-v3", "-v4", "native", "c", ...). False if there is
 * none of this name. */
bool target_find(const char *name, target_machine *out);
/* The machines that a library for this target holds code for, lowest first: several for "multi",
 * which target_find knows as the highest of them that this processor runs; else one. Their number,
 * at most TARGET_MAX_LEVELS; 0 if there is no such target. */
enum { TARGET_MAX_LEVELS = 3 };
size_t target_levels(const char *name, target_machine *out);
/* Whether this processor has the machine's instructions. */
bool target_runs_here(const target_machine *m);

/* The schedules of the table. Plain: serial loops, the outermost one parallel; also that of -O0. */
void schedule_x86(loop_kernel *k, const target_machine *m, int rank);
void schedule_plain(loop_kernel *k, const target_machine *m, int rank);

#endif
