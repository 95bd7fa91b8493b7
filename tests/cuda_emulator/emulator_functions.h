// The functions that CUDA C++ has without including anything: of the warp, of the block, on bits and on numbers.
#pragma once
#include <string.h>

// C's header alone: std:: is not there for NVRTC either.
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS
#include <math.h>
#include <stdlib.h>

#include "emulator_types.h"

// ---------------------------------------------------------------------------- block

#define __syncthreads() emulator::barrier(__LINE__)
#define __syncthreads_count(predicate) emulator::barrier(__LINE__, (predicate) != 0)
#define __syncthreads_or(predicate) int(emulator::barrier(__LINE__, (predicate) != 0) != 0)
#define __syncthreads_and(predicate) int(emulator::barrier(__LINE__, !((predicate) != 0)) == 0)
static inline void __threadfence_block() {}
static inline void __threadfence() {}

// ---------------------------------------------------------------------------- warp

namespace emulator {

enum Direction : int { INDEX, UP, DOWN, XOR };

template <class V> V shuffle(Direction direction, int line, unsigned mask, V value, int by, int width = 32) {
    static_assert(std::is_arithmetic<V>::value && sizeof(V) <= 8, "shuffles take numbers");
    if (width < 1 || width > 32 || width & (width - 1)) fail("line %d: shuffle of width %d: not a power of 2", line, width);
    const int lane = int(current_index % 32), first = lane & ~(width - 1);
    int source = lane;
    if (direction == INDEX) source = first | (by & (width - 1));
    if (direction == UP && lane - by >= first) source = lane - by;
    if (direction == DOWN && lane + by < first + width) source = lane + by;
    if (direction == XOR && (lane ^ by) < first + width) source = lane ^ by;
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = in_warp(SHUFFLE, mask, line, bits, source);
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The reductions of sm_80, one shuffle for each lane of the mask; integers only, as there.
template <class V, class F> V reduce(int line, unsigned mask, V value, F combine) {
    static_assert(std::is_integral<V>::value && sizeof(V) == 4, "__reduce_*_sync takes int or unsigned");
    bool begun = false;
    V total = 0;
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        const V other = shuffle(INDEX, line, mask, value, lane);
        total = begun ? combine(total, other) : other;
        begun = true;
    }
    return total;
}

}  // namespace emulator

#define __shfl_sync(...) emulator::shuffle(emulator::INDEX, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emulator::shuffle(emulator::UP, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emulator::shuffle(emulator::DOWN, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) emulator::shuffle(emulator::XOR, __LINE__, __VA_ARGS__)
#define __ballot_sync(mask, predicate) \
    unsigned(emulator::in_warp(emulator::BALLOT, (mask), __LINE__, (predicate) != 0))
#define __any_sync(mask, predicate) int(__ballot_sync(mask, predicate) != 0)
#define __all_sync(mask, predicate) int(__ballot_sync(mask, !(predicate)) == 0)
#define __syncwarp(...) emulator::syncwarp(__LINE__ __VA_OPT__(,) __VA_ARGS__)
#define __reduce_add_sync(mask, value) emulator::reduce(__LINE__, mask, value, [](auto a, auto b) { return a + b; })
#define __reduce_min_sync(mask, value) emulator::reduce(__LINE__, mask, value, [](auto a, auto b) { return min(a, b); })
#define __reduce_max_sync(mask, value) emulator::reduce(__LINE__, mask, value, [](auto a, auto b) { return max(a, b); })

namespace emulator {
static inline void syncwarp(int line, unsigned mask = 0xffffffff) { in_warp(SYNCWARP, mask, line); }
}

// ---------------------------------------------------------------------------- memory

template <class V> static inline V __ldg(const V* p) { return *p; }
template <class V> static inline V __ldcg(const V* p) { return *p; }
template <class V> static inline V __ldca(const V* p) { return *p; }
template <class V> static inline V __ldcs(const V* p) { return *p; }
template <class V> static inline void __stcs(V* p, V value) { *p = value; }
template <class V> static inline void __stcg(V* p, V value) { *p = value; }

// Sums of floats depend on the order of their terms, so there is no atomicAdd for them here.
#define EMULATOR_ATOMIC(name, expression)                                                          \
    template <class V> static inline V name(V* address, std::common_type_t<V> value) {             \
        static_assert(std::is_integral<V>::value && sizeof(V) >= 4, #name " of integers only");    \
        const V old = *address;                                                                    \
        *address = expression;                                                                     \
        return old;                                                                                \
    }
EMULATOR_ATOMIC(atomicAdd, old + value)
EMULATOR_ATOMIC(atomicSub, old - value)
EMULATOR_ATOMIC(atomicMin, value < old ? value : old)
EMULATOR_ATOMIC(atomicMax, old < value ? value : old)
EMULATOR_ATOMIC(atomicAnd, old & value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicExch, value)
EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
template <class V> static inline V atomicCAS(V* address, std::common_type_t<V> compare, std::common_type_t<V> value) {
    const V old = *address;
    if (old == compare) *address = value;
    return old;
}

// ---------------------------------------------------------------------------- bits

static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __ffsll(long long v) { return __builtin_ffsll(v); }
static inline int __clz(int v) { return v ? __builtin_clz(unsigned(v)) : 32; }
static inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
static inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned __brev(unsigned v) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (v >> i & 1u) << (31 - i);
    return reversed;
}

namespace emulator {
template <class To, class From> To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits as another type");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace emulator

static inline float __int_as_float(int v) { return emulator::bits<float>(v); }
static inline float __uint_as_float(unsigned v) { return emulator::bits<float>(v); }
static inline int __float_as_int(float v) { return emulator::bits<int>(v); }
static inline unsigned __float_as_uint(float v) { return emulator::bits<unsigned>(v); }
static inline double __longlong_as_double(long long v) { return emulator::bits<double>(v); }
static inline long long __double_as_longlong(double v) { return emulator::bits<long long>(v); }

// ---------------------------------------------------------------------------- numbers

// As in C++, a float has the functions of a float.
#define EMULATOR_FLOAT(name) static inline float name(float v) { return name##f(v); }
EMULATOR_FLOAT(exp) EMULATOR_FLOAT(exp2) EMULATOR_FLOAT(expm1) EMULATOR_FLOAT(log) EMULATOR_FLOAT(log2)
EMULATOR_FLOAT(log10) EMULATOR_FLOAT(log1p) EMULATOR_FLOAT(sqrt) EMULATOR_FLOAT(cbrt) EMULATOR_FLOAT(fabs)
EMULATOR_FLOAT(floor) EMULATOR_FLOAT(ceil) EMULATOR_FLOAT(trunc) EMULATOR_FLOAT(round) EMULATOR_FLOAT(rint)
EMULATOR_FLOAT(sin) EMULATOR_FLOAT(cos) EMULATOR_FLOAT(tan) EMULATOR_FLOAT(sinh) EMULATOR_FLOAT(cosh)
EMULATOR_FLOAT(tanh) EMULATOR_FLOAT(asin) EMULATOR_FLOAT(acos) EMULATOR_FLOAT(atan) EMULATOR_FLOAT(erf)
static inline float pow(float a, float b) { return powf(a, b); }
static inline float fmax(float a, float b) { return fmaxf(a, b); }
static inline float fmin(float a, float b) { return fminf(a, b); }
static inline float fmod(float a, float b) { return fmodf(a, b); }
static inline float atan2(float a, float b) { return atan2f(a, b); }
static inline float fma(float a, float b, float c) { return fmaf(a, b, c); }
static inline float abs(float v) { return fabsf(v); }
static inline double abs(double v) { return fabs(v); }
static inline long long abs(long long v) { return v < 0 ? -v : v; }
#undef isnan
#undef isinf
#undef isfinite
#undef signbit
template <class V> static inline bool isnan(V v) { return __builtin_isnan(v); }
template <class V> static inline bool isinf(V v) { return __builtin_isinf(v); }
template <class V> static inline bool isfinite(V v) { return __builtin_isfinite(v); }
template <class V> static inline bool signbit(V v) { return __builtin_signbit(v); }

// As CUDA's: of floats the one that is a number, of int and unsigned the unsigned one.
template <class A, class B> static inline std::common_type_t<A, B> max(A a, B b) {
    using V = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<V>::value) return fmax(V(a), V(b));
    return V(a) < V(b) ? V(b) : V(a);
}
template <class A, class B> static inline std::common_type_t<A, B> min(A a, B b) {
    using V = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<V>::value) return fmin(V(a), V(b));
    return V(b) < V(a) ? V(b) : V(a);
}
static inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
static inline double rsqrt(double v) { return 1.0 / sqrt(v); }
static inline float rsqrt(float v) { return 1.0f / sqrtf(v); }
static inline float __frcp_rn(float v) { return 1.0f / v; }
static inline float __fsqrt_rn(float v) { return sqrtf(v); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline float __fdividef(float a, float b) { return a / b; }
// Macros, since glibc has functions of these names.
#define __expf(v) expf(v)
#define __logf(v) logf(v)
#define __powf(a, b) powf(a, b)
#define __sinf(v) sinf(v)
#define __cosf(v) cosf(v)
static inline float __saturatef(float v) { return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f; }
static inline int __float2int_rn(float v) { return int(lrintf(v)); }
static inline int __float2int_rd(float v) { return int(floorf(v)); }
static inline int __float2int_rz(float v) { return int(v); }
static inline float __int2float_rn(int v) { return float(v); }
static inline float __uint2float_rn(unsigned v) { return float(v); }
static inline double __hiloint2double(int high, int low) {
    return emulator::bits<double>((long long)high << 32 | (unsigned)low);
}

#define __noinline__ __attribute__((noinline))     // last: the headers above use this name

// NVRTC, which compiles for CuPy, knows none of these without headers that it does not have.
#pragma GCC poison INFINITY NAN HUGE_VAL HUGE_VALF FLT_MAX FLT_MIN FLT_EPSILON DBL_MAX DBL_MIN DBL_EPSILON INT_MAX INT_MIN \
    UINT_MAX LLONG_MAX int8_t uint8_t int16_t uint16_t int32_t uint32_t int64_t uint64_t uintptr_t intptr_t assert
