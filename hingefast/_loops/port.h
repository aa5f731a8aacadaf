/* port.h - everything that differs between compilers and instruction sets, with a plain C fallback.
 *
 * A "line" of lanes is 64 bytes: 16 float32 or 8 float64. Each level holds it in as many of its own
 * vector registers as that takes (one with AVX-512, two with AVX2, four with SSE2 or NEON), so the
 * number of lanes, and with it every bit of every sum, is the same at every level.
 */
#ifndef HF_PORT_H
#define HF_PORT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define HF_RESTRICT __restrict
#define HF_INLINE static __forceinline
#define HF_NOINLINE static __declspec(noinline)
#define HF_UNROLL
#define HF_UNROLL_BY_FOUR
#define HF_IVDEP
#define HF_VECTORISE
#elif defined(__clang__)
#define HF_RESTRICT restrict
#define HF_INLINE static inline __attribute__((always_inline))
#define HF_NOINLINE static __attribute__((noinline))
#define HF_UNROLL _Pragma("unroll")
#define HF_UNROLL_BY_FOUR _Pragma("unroll 4")
#define HF_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#define HF_VECTORISE
#else
#define HF_RESTRICT restrict
#define HF_INLINE static inline __attribute__((always_inline))
#define HF_NOINLINE static __attribute__((noinline))
#define HF_UNROLL _Pragma("GCC unroll 16")
#define HF_UNROLL_BY_FOUR _Pragma("GCC unroll 4")
#define HF_IVDEP _Pragma("GCC ivdep")
#define HF_VECTORISE _Pragma("GCC unroll 1") /* or a short loop is unrolled before it is vectorised */
#endif

/* Names put together; a and b may be macros. */
#define HF_PASTE(a, b) a##b
#define HF_JOIN(a, b) HF_JOIN_EXPANDED(a, b)
#define HF_JOIN_EXPANDED(a, b) a##_##b

#define HF_LINE_BYTES 64
#define HF_F64_LANES ((ptrdiff_t)(HF_LINE_BYTES / sizeof(double)))

/* Bytes of one vector register; 0: no vector types, plain arrays (MSVC). */
#if defined(_MSC_VER) && !defined(__clang__)
#define HF_VECTOR_BYTES 0
#elif defined(__AVX512F__)
#define HF_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define HF_VECTOR_BYTES 32
#else
#define HF_VECTOR_BYTES 16
#endif

/* Rows scored and accumulated together by the dense loops. Each row needs one line of accumulators: with
 * SSE2's sixteen 16-byte registers two rows fill half of them and four rows would spill. */
#if HF_VECTOR_BYTES >= 32 || defined(__aarch64__)
#define HF_TILE_ROWS 4
#else
#define HF_TILE_ROWS 2
#endif

/* Vector registers of the level. */
#if HF_VECTOR_BYTES == 64 || defined(__aarch64__)
#define HF_REGISTERS 32
#else
#define HF_REGISTERS 16
#endif

/* Lines of classes that the CSR loops take together: each is a line of sums or slopes, in half of the registers. */
#if HF_REGISTERS * HF_VECTOR_BYTES >= 512
#define HF_CSR_LINES 4
#else
#define HF_CSR_LINES 2
#endif

/* Fetches the cache line at an address, which need not be mapped; HF_PREFETCH_L2: into the second-level cache. */
#if defined(__GNUC__) || defined(__clang__)
#define HF_PREFETCH(address) __builtin_prefetch(address)
#define HF_PREFETCH_L2(address) __builtin_prefetch(address, 0, 2)
#elif defined(_M_X64)
#include <xmmintrin.h>
#define HF_PREFETCH(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#define HF_PREFETCH_L2(address) _mm_prefetch((const char *)(address), _MM_HINT_T1)
#else
#define HF_PREFETCH(address) ((void)(address))
#define HF_PREFETCH_L2(address) ((void)(address))
#endif

/* What was read from memory that others may change, and is now in a register: the compiler may not read it again. Without
 * that, gcc checks an index and then gathers with the one that stands there by then. MSVC has no such words; it is not
 * known to read twice. HF_READ_AGAIN: and here it must, what it has written. */
#if defined(__GNUC__) || defined(__clang__)
#define HF_PIN(number) __asm__("" : "+r"(number))
#define HF_READ_AGAIN() __asm__ volatile("" : : : "memory")
#else
#define HF_PIN(number) ((void)(number))
#define HF_READ_AGAIN() ((void)0)
#endif
HF_INLINE int64_t hf_pinned(int64_t x) {
    HF_PIN(x);
    return x;
}

/* A word that one thread writes and another waits for: what was written before it is there when it is read. HF_PAUSE: in a
 * short wait; hf_yield: in a long one, so that somebody else may have the processor. */
#if defined(__GNUC__) || defined(__clang__)
#define HF_LOAD(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
#define HF_STORE(word, x) __atomic_store_n(word, x, __ATOMIC_RELEASE)
#elif defined(_M_ARM64)
#include <intrin.h>
#define HF_LOAD(word) ((ptrdiff_t)__ldar64((const volatile unsigned __int64 *)(word)))
#define HF_STORE(word, x) __stlr64((volatile unsigned __int64 *)(word), (unsigned __int64)(x))
#else /* MSVC: there volatile means just that on x86, see /volatile:ms */
#define HF_LOAD(word) (*(const volatile ptrdiff_t *)(word))
#define HF_STORE(word, x) (*(volatile ptrdiff_t *)(word) = (x))
#endif
#if defined(__x86_64__) || defined(__i386__)
#define HF_PAUSE() __builtin_ia32_pause()
#elif defined(_M_X64)
#include <emmintrin.h>
#define HF_PAUSE() _mm_pause()
#else
#define HF_PAUSE() ((void)0)
#endif
#ifdef _WIN32
__declspec(dllimport) int __stdcall SwitchToThread(void);
HF_INLINE void hf_yield(void) { SwitchToThread(); }
#else
#include <sched.h>
HF_INLINE void hf_yield(void) { sched_yield(); }
#endif

/* The bytes of a number in the other order; compilers know the pattern. */
HF_INLINE uint16_t hf_swap_16(uint16_t x) { return (uint16_t)(x << 8 | x >> 8); }
HF_INLINE uint32_t hf_swap_32(uint32_t x) {
    return x << 24 | (x & 0xFF00u) << 8 | (x >> 8 & 0xFF00u) | x >> 24;
}
HF_INLINE uint64_t hf_swap_64(uint64_t x) {
    return (uint64_t)hf_swap_32((uint32_t)x) << 32 | hf_swap_32((uint32_t)(x >> 32));
}

/* The bytes of an item of 1, 2, 4 or 8 (a constant where this is inlined) in the other order, at any alignment. */
HF_INLINE void hf_swap(void *item, const size_t bytes) {
    uint16_t x16;
    uint32_t x32;
    uint64_t x64;
    if (bytes == 2) {
        memcpy(&x16, item, 2);
        x16 = hf_swap_16(x16);
        memcpy(item, &x16, 2);
    } else if (bytes == 4) {
        memcpy(&x32, item, 4);
        x32 = hf_swap_32(x32);
        memcpy(item, &x32, 4);
    } else if (bytes == 8) {
        memcpy(&x64, item, 8);
        x64 = hf_swap_64(x64);
        memcpy(item, &x64, 8);
    }
}

/* The place of the lowest bit of a number that is not 0. */
HF_INLINE int hf_lowest_bit(unsigned x) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctz(x);
#else
    int at = 0;
    for (; !(x & 1); x >>= 1)
        at++;
    return at;
#endif
}

/* Whether vectors can be put together from numbers of two others, by names that gcc and clang share. */
#if HF_VECTOR_BYTES && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HF_HAVE_SHUFFLE 1
#endif
#endif
#ifndef HF_HAVE_SHUFFLE
#define HF_HAVE_SHUFFLE 0
#endif

/* One cache line written past the caches, in the level's longest stores: with shorter ones a core gives up
 * half-filled lines, which costs more than it saves. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define HF_CAN_STREAM 1
HF_INLINE void hf_stream_line(void *to, const void *from) {
    _mm512_stream_si512(to, _mm512_loadu_si512(from));
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define HF_CAN_STREAM 1
HF_INLINE void hf_stream_line(void *to, const void *from) {
    const __m256i *source = from;
    __m256i *target = to, low = _mm256_loadu_si256(source), high = _mm256_loadu_si256(source + 1);
    _mm256_stream_si256(target, low);
    _mm256_stream_si256(target + 1, high);
}
#else
#define HF_CAN_STREAM 0
HF_INLINE void hf_stream_line(void *to, const void *from) { memcpy(to, from, HF_LINE_BYTES); }
#endif

/* The floating-point environment. Only the control and status registers that SSE and NEON code obeys are
 * touched: on x86 a full fegetenv/fesetenv also saves the x87 unit and costs ten times as much; on arm64
 * glibc's FE_DFL_ENV leaves the bits of default NaNs and of the other float16 as the caller had them. */
#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
typedef unsigned int hf_fp_state;
/* Round to nearest, no flushing of subnormals, all exceptions masked, no flag raised. */
#define HF_FP_DEFAULT 0x1F80u
HF_INLINE hf_fp_state hf_fp_enter(void) {
    hf_fp_state caller = _mm_getcsr();
    if (caller != HF_FP_DEFAULT)
        _mm_setcsr(HF_FP_DEFAULT);
    return caller;
}
HF_INLINE void hf_fp_leave(hf_fp_state caller) { _mm_setcsr(caller); }
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
typedef struct {
    uint64_t control, status;
} hf_fp_state;
/* Round to nearest, no flushing of subnormals, NaNs handed on, IEEE's float16, no traps. */
#define HF_FP_DEFAULT UINT64_C(0)
HF_INLINE hf_fp_state hf_fp_enter(void) {
    hf_fp_state caller;
    __asm__ volatile("mrs %0, fpcr" : "=r"(caller.control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(caller.status));
    if (caller.control != HF_FP_DEFAULT)
        __asm__ volatile("msr fpcr, %0" : : "r"(HF_FP_DEFAULT));
    return caller;
}
HF_INLINE void hf_fp_leave(hf_fp_state caller) {
    if (caller.control != HF_FP_DEFAULT)
        __asm__ volatile("msr fpcr, %0" : : "r"(caller.control));
    __asm__ volatile("msr fpsr, %0" : : "r"(caller.status));
}
#else
#include <fenv.h>
typedef fenv_t hf_fp_state;
HF_INLINE hf_fp_state hf_fp_enter(void) {
    hf_fp_state caller;
    fegetenv(&caller);
    fesetenv(FE_DFL_ENV);
    return caller;
}
HF_INLINE void hf_fp_leave(hf_fp_state caller) { fesetenv(&caller); }
#endif

#endif
