// The types and keywords of CUDA C++ for the emulator, and names of parameter types that Python can compare.
#pragma once
#include <stddef.h>

#include <type_traits>
#include <utility>

#define __host__
#define __device__
#define __constant__
#define __global__ __attribute__((noinline, used))  // the marker by which Python finds the kernels of a source
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("emushared")))     // blocks run one after the other: one copy is enough

namespace emulator {
template <class V> struct element { using type = V; };          // of a vector type, the type of its parts
}

#define EMULATOR_VECTOR(name, part, align2, align4)                                                             \
    struct name##1 { part x; };                                                                                 \
    struct __attribute__((aligned(align2))) name##2 { part x, y; };                                             \
    struct name##3 { part x, y, z; };                                                                           \
    struct __attribute__((aligned(align4))) name##4 { part x, y, z, w; };                                       \
    static inline name##1 make_##name##1(part x) { return {x}; }                                                \
    static inline name##2 make_##name##2(part x, part y) { return {x, y}; }                                     \
    static inline name##3 make_##name##3(part x, part y, part z) { return {x, y, z}; }                          \
    static inline name##4 make_##name##4(part x, part y, part z, part w) { return {x, y, z, w}; }               \
    namespace emulator {                                                                                        \
    template <> struct element<name##1> { using type = part; };                                                 \
    template <> struct element<name##2> { using type = part; };                                                 \
    template <> struct element<name##3> { using type = part; };                                                 \
    template <> struct element<name##4> { using type = part; };                                                 \
    }

EMULATOR_VECTOR(char, signed char, 2, 4)
EMULATOR_VECTOR(uchar, unsigned char, 2, 4)
EMULATOR_VECTOR(short, short, 4, 8)
EMULATOR_VECTOR(ushort, unsigned short, 4, 8)
EMULATOR_VECTOR(int, int, 8, 16)
EMULATOR_VECTOR(uint, unsigned int, 8, 16)
EMULATOR_VECTOR(longlong, long long, 16, 16)
EMULATOR_VECTOR(ulonglong, unsigned long long, 16, 16)
EMULATOR_VECTOR(float, float, 8, 16)
EMULATOR_VECTOR(double, double, 16, 16)

struct dim3 {
    unsigned int x, y, z;
    dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace emulator {

enum Kind : int { SYNCWARP, SHUFFLE, BALLOT };

extern unsigned current_index;      // of the thread that runs, in its block

// Leave the launch with this error.
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char* format, ...);

// Wait for the block; the number of threads that came with a predicate.
int barrier(int line, bool predicate = false);

// Wait for the lanes of `mask`; the `value` of lane `source`, or the lanes whose value is not 0.
unsigned long long in_warp(Kind kind, unsigned mask, int line, unsigned long long value = 0, int source = -1);

// Run a kernel whose blocks share these bytes; nullptr, or what went wrong.
const char* launch(void (*kernel)(void**), void** args, const unsigned* dims, int order, char* shared, size_t bytes);

// ---------------------------------------------------------------------------- what Python asks

struct Type { char kind; int bytes, alignment; bool is_pointer, is_const; };      // kind: as NumPy's, v for void

template <class V> constexpr char kind_of() {
    return std::is_void<V>::value ? 'v' : std::is_same<V, bool>::value ? 'b' : !std::is_arithmetic<V>::value ? '?' :
        std::is_floating_point<V>::value ? 'f' : std::is_signed<V>::value ? 'i' : 'u';
}

// A float4* counts as a float* that is aligned to 16.
template <class P> constexpr Type type_of() {
    using V = std::remove_cv_t<std::remove_pointer_t<P>>;
    using E = typename element<V>::type;
    constexpr bool is_void = std::is_void<V>::value;
    return {kind_of<std::conditional_t<std::is_pointer<P>::value, E, V>>(),
            int(sizeof(std::conditional_t<is_void, char, E>)),
            std::is_same<E, V>::value ? 1 : int(alignof(std::conditional_t<is_void, char, V>)),
            std::is_pointer<P>::value, std::is_const<std::remove_pointer_t<P>>::value};
}

template <class... P> const Type* types(void (*)(P...)) {
    static const Type all[] = {type_of<P>()..., Type{0, 0, 0, false, false}};
    return all;
}

template <class... P, size_t... I> void unpack(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<P>*>(args[I])...);
}

template <class... P> void call(void (*kernel)(P...), void** args) {
    unpack(kernel, args, std::index_sequence_for<P...>());
}

}  // namespace emulator

// __start_ and __stop_ of a section are the linker's: all that kernels share lies between them.
extern "C" {
extern char __start_emushared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emushared[] __attribute__((weak, visibility("hidden")));
}

// What Python calls: the types of a kernel's parameters, and the kernel.
#define EMULATOR_KERNEL(name)                                                                                   \
    extern "C" const emulator::Type* types_##name() { return emulator::types(&name); }                          \
    static void thunk_##name(void** emulator_args) { emulator::call(&name, emulator_args); }                    \
    extern "C" const char* launch_##name(void** emulator_args, const unsigned* emulator_dims, int emulator_order) { \
        return emulator::launch(&thunk_##name, emulator_args, emulator_dims, emulator_order, __start_emushared, \
                                __start_emushared ? size_t(__stop_emushared - __start_emushared) : 0);          \
    }
