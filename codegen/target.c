/* target.c: the machine table. A row says what generated code may use; "native" is the last row
 * whose instructions this processor has, with the sizes of its caches. */
#include "codegen/target.h"

#include <string.h>
#include <unistd.h>

enum { KILO = 1024 };

static const target_machine machines[] = {
    {.name = "c",
     .schedule = schedule_plain,
     .vector_registers = 16,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 512 * KILO},
    {.name = "x86-64-v2",
     .cpu = "x86-64-v2",
     .schedule = schedule_x86,
     .features = "",
     .vector_bytes = 16,
     .vector_registers = 16,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 256 * KILO},
    {.name = "x86-64-v3",
     .cpu = "x86-64-v3",
     .schedule = schedule_x86,
     .features = "",
     .vector_bytes = 32,
     .vector_registers = 16,
     .fma = true,
     .half = true,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 512 * KILO},
    {.name = "x86-64-v3-vnni",
     .cpu = "x86-64-v3",
     .schedule = schedule_x86,
     .features = "+avxvnni",
     .vector_bytes = 32,
     .vector_registers = 16,
     .fma = true,
     .half = true,
     .vnni = true,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 512 * KILO},
    {.name = "x86-64-v4",
     .cpu = "x86-64-v4",
     .schedule = schedule_x86,
     .features = "-prefer-256-bit",
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .half = true,
     .masked = true,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 1024 * KILO},
    {.name = "x86-64-v4-vnni",
     .cpu = "x86-64-v4",
     .schedule = schedule_x86,
     .features = "-prefer-256-bit,+avx512vnni",
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .half = true,
     .masked = true,
     .vnni = true,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 1024 * KILO},
    {.name = "x86-64-v4-vnni-bf16",
     .cpu = "x86-64-v4",
     .schedule = schedule_x86,
     .features = "-prefer-256-bit,+avx512vnni,+avx512bf16",
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .half = true,
     .masked = true,
     .vnni = true,
     .bf16 = true,
     .l1_bytes = 32 * KILO,
     .l2_bytes = 1024 * KILO},
};

#ifdef __x86_64__
bool target_runs_here(const target_machine *m) {
    if (!m->cpu) return true;
    __builtin_cpu_init();
    bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") &&
              __builtin_cpu_supports("ssse3");
    bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    if (m->bf16 && !__builtin_cpu_supports("avx512bf16")) return false;
    bool dots = m->vector_bytes == 64 ? __builtin_cpu_supports("avx512vnni")
                                      : __builtin_cpu_supports("avxvnni");
    if (m->vnni && !dots) return false;
    return m->vector_bytes == 64 ? v4 : m->vector_bytes == 32 ? v3 : v2;
}
#else
bool target_runs_here(const target_machine *m) {
    return !m->cpu;
}
#endif

static bool find_native(target_machine *out) {
    bool found = false;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].cpu && target_runs_here(&machines[i])) {
            *out = machines[i];
            found = true;
        }
    long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (l1 > 0) out->l1_bytes = l1;
    if (l2 > 0) out->l2_bytes = l2;
    return found;
}

static const char *const levels[TARGET_MAX_LEVELS] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};

static bool is_multi(const char *name) {
    return strcmp(name, "multi") == 0;
}

size_t target_levels(const char *name, target_machine *out) {
    if (!is_multi(name)) return target_find(name, out);
    for (size_t i = 0; i < TARGET_MAX_LEVELS; i++) target_find(levels[i], &out[i]);
    return TARGET_MAX_LEVELS;
}

/* The machine that the library would pick here. */
static bool find_multi(target_machine *out) {
    size_t i = TARGET_MAX_LEVELS;
    while (i-- > 0 && target_find(levels[i], out))
        if (i == 0 || target_runs_here(out)) return true;
    return false;
}

bool target_find(const char *name, target_machine *out) {
    if (strcmp(name, "native") == 0) return find_native(out);
    if (is_multi(name)) return find_multi(out);
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (strcmp(machines[i].name, name) == 0) {
            *out = machines[i];
            return true;
        }
    return false;
}
