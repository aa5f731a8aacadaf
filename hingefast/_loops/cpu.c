/* cpu.c - which instruction-set levels this machine can run, by CPUID and XGETBV.
 *
 * Written out because __builtin_cpu_supports does not link with every toolchain (clang's compiler-rt,
 * musl, Windows). Register bits: Intel SDM vol. 2A, CPUID; the levels are those of the x86-64 psABI.
 */
#include "table.h"

#if HF_HAVE_X86_LEVELS
#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(int leaf, int subleaf, unsigned out[4]) { __cpuidex((int *)out, leaf, subleaf); }
static unsigned long long xgetbv0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(int leaf, int subleaf, unsigned out[4]) {
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}
static unsigned long long xgetbv0(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((unsigned long long)high << 32) | low;
}
#endif

static int has(unsigned word, unsigned bits) { return (word & bits) == bits; }

static int x86_level(void) {
    unsigned leaf0[4], leaf1[4], leaf7[4] = {0}, extended[4], features[4] = {0};
    cpuid(0, 0, leaf0);
    cpuid(1, 0, leaf1);
    cpuid((int)0x80000000u, 0, extended);
    if (leaf0[0] >= 7)
        cpuid(7, 0, leaf7);
    if (extended[0] >= 0x80000001u)
        cpuid((int)0x80000001u, 0, features);
    /* SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT OSXSAVE AVX F16C */
    const unsigned v3_leaf1 = 1u | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 |
                              1u << 27 | 1u << 28 | 1u << 29;
    const unsigned v3_leaf7 = 1u << 3 | 1u << 5 | 1u << 8; /* BMI1 AVX2 BMI2 */
    const unsigned v3_features = 1u | 1u << 5;             /* LAHF LZCNT */
    const unsigned v4_leaf7 =
        1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* AVX-512 F DQ CD BW VL */
    if (!has(leaf1[2], v3_leaf1) || !has(leaf7[1], v3_leaf7) || !has(features[2], v3_features))
        return 0;
    unsigned long long saved = xgetbv0(); /* registers the operating system saves: 0x6 ymm, 0xE6 zmm too */
    if ((saved & 0x6) != 0x6)
        return 0;
    return has(leaf7[1], v4_leaf7) && (saved & 0xE6) == 0xE6 ? 4 : 3;
}
#endif

int hf_cpu_supports(const char *level) {
    if (strcmp(level, "base") == 0)
        return 1;
#if HF_HAVE_X86_LEVELS
    if (strcmp(level, "x86_v3") == 0)
        return x86_level() >= 3;
    if (strcmp(level, "x86_v4") == 0)
        return x86_level() >= 4;
#endif
    return 0;
}
