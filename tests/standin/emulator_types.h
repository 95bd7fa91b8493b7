// The types and keywords of CUDA C++ for the emulator, and names of parameter types that Python can compare.
#pragma once
#include <math.h>
#include <stdlib.h>

#include <string>
#include <type_traits>

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

namespace emulator {

// NumPy's name of a number's type, such as i4.
template <class V> std::string number() {
    if (std::is_same<V, bool>::value) return "b1";
    if (!std::is_arithmetic<V>::value) return "other";
    return (std::is_floating_point<V>::value ? "f" : std::is_signed<V>::value ? "i" : "u") + std::to_string(sizeof(V));
}
template <> inline std::string number<void>() { return "any"; }

// "i4" for int, "*f4" for float*, "const *f4" for const float*; a float4* counts as a float* that is aligned to 16.
template <class P> std::string parameter() {
    using V = std::remove_cv_t<std::remove_pointer_t<P>>;
    using E = typename element<V>::type;
    if (!std::is_pointer<P>::value) return number<V>();
    const std::string alignment = std::is_same<E, V>::value ? "" : "@" + std::to_string(alignof(
        std::conditional_t<std::is_void<V>::value, char, V>));
    return (std::is_const<std::remove_pointer_t<P>>::value ? "const *" : "*") + number<E>() + alignment;
}

template <class... P> const char* signature(void (*)(P...)) {
    static const std::string text = (std::string() + ... + (parameter<P>() + ","));
    return text.c_str();
}

template <class... P, size_t... I> void unpack(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<P>*>(args[I])...);
}

template <class... P> void call(void (*kernel)(P...), void** args) {
    unpack(kernel, args, std::index_sequence_for<P...>());
}

}  // namespace emulator

// What Python calls: the parameters of a kernel, and the kernel.
#define EMULATOR_KERNEL(name)                                                                                   \
    extern "C" const char* signature_##name() { return emulator::signature(&name); }                           \
    static void thunk_##name(void** emulator_args) { emulator::call(&name, emulator_args); }                    \
    extern "C" const char* launch_##name(void** emulator_args, const unsigned* emulator_dims, int emulator_order) { \
        return emulator::launch(&thunk_##name, emulator_args, emulator_dims, emulator_order);                   \
    }
