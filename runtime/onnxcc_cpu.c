/* onnxcc_cpu.c: which of a library's instruction sets this processor has. cpuid is slow where a
 * hypervisor traps it, so the answer is kept: the one datum of the runtime that changes, once, from
 * "not asked yet" to what every thread would find. */
#include "onnxcc_runtime.h"

#include <stdatomic.h>

/* Bytes of the widest vectors at the levels x86-64-v2, -v3 and -v4, in whole: 16, 32, 64; 0 for
 * less than v2. */
int onnxcc_cpu_vector_bytes(void);

#ifdef __x86_64__
#include <cpuid.h>

/* Bits of cpuid's leaves that a level needs, and register state that the system must save. */
enum {
    LEAF1_V2 = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B,
    LEAF1_V3 = bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C,
    LEAF7_V3 = bit_BMI | bit_AVX2 | bit_BMI2,
    EXTENDED_V3 = 1 << 5, /* LZCNT */
    SAVED_V3 = 0x6,       /* xmm and ymm */
    SAVED_V4 = 0xe6       /* and masks and zmm */
};
static const unsigned leaf7_v4 =
    bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;

static unsigned saved_state(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int ask(void) {
    unsigned a, b, c, d, b7 = 0, extended = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & LEAF1_V2) != LEAF1_V2) return 0;
    unsigned c1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) b7 = b;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) extended = c;
    if ((c1 & LEAF1_V3) != LEAF1_V3 || (b7 & LEAF7_V3) != LEAF7_V3 || !(extended & EXTENDED_V3))
        return 16;
    unsigned saved = saved_state();
    if ((saved & SAVED_V3) != SAVED_V3) return 16;
    return (b7 & leaf7_v4) == leaf7_v4 && (saved & SAVED_V4) == SAVED_V4 ? 64 : 32;
}
#else
static int ask(void) {
    return 0;
}
#endif

int onnxcc_cpu_vector_bytes(void) {
    static atomic_int known; /* the answer plus one */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        answer = ask() + 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer - 1;
}
