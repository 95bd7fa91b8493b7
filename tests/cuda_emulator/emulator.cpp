// How `emulator.h` runs a kernel: fibers, barriers, warps, and a launch. A library of its own that all kernels use, so
// that a kernel's code can assume nothing about what happens while a thread waits, and all use the same stacks.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <utility>
#include <vector>

#include "emulator_types.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {

enum State : int { READY, BARRIER, WARP, DONE };
enum Order : int { ASCENDING, DESCENDING, SHUFFLED };

struct Fiber {
    void* context;           // where it goes on: its stack pointer, or a ucontext_t
    char* stack;             // nullptr before it begins and after it ends
    State state;
    int line;                // of the source, where it waits
    Kind kind;               // what it waits for in its warp, with whom, and what it brings
    unsigned mask;
    int source;              // lane whose value it wants; -1: none
    uint64_t value, result;
};

static std::vector<Fiber> fibers;
static std::vector<char*> free_stacks;
static Fiber* current;
unsigned current_index;
static void* scheduler;
static void (*body)(void**);
static void** arguments;
static char message[512];
static sigjmp_buf escape;

static const size_t STACK = 256 << 10, GUARD = 4096;

// ---------------------------------------------------------------------------- errors

void fail(const char* format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    snprintf(message, sizeof message, "%s [thread (%u, %u, %u) of block (%u, %u, %u)]", text,
             threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
    siglongjmp(escape, 1);
}

static void on_signal(int number) {
    if (number == SIGFPE) fail("division by zero");
    if (number == SIGILL) fail("illegal instruction");
    fail("access far outside any array, or more than %d KB of stack", int(STACK >> 10));
}

// ---------------------------------------------------------------------------- switching between fibers

static void finish();

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void emulator_switch(void** save, void* load);
asm(".text\n.globl emulator_switch\n.hidden emulator_switch\n.type emulator_switch, @function\nemulator_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size emulator_switch, .-emulator_switch\n");

static void* fresh_context(char* stack) {
    void** top = reinterpret_cast<void**>(stack + STACK);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(finish);
    for (int i = 3; i <= 8; i++) top[-i] = nullptr;     // the six registers that are popped first
    return top - 8;
}
#else
static void emulator_switch(void** save, void* load) {
    ucontext_t here;
    *save = &here;
    swapcontext(&here, static_cast<ucontext_t*>(load));
}

static void* fresh_context(char* stack) {
    ucontext_t* context = reinterpret_cast<ucontext_t*>(stack);
    getcontext(context);
    context->uc_stack.ss_sp = stack + sizeof(ucontext_t);
    context->uc_stack.ss_size = STACK - sizeof(ucontext_t);
    context->uc_link = nullptr;
    makecontext(context, finish, 0);
    return context;
}
#endif

static void finish() {
    body(arguments);
    current->state = DONE;
    void* never;
    emulator_switch(&never, scheduler);
    __builtin_unreachable();
}

__attribute__((noinline)) static void wait(State state, int line) {
    current->state = state;
    current->line = line;
    emulator_switch(&current->context, scheduler);
}

static char* new_stack() {
    if (!free_stacks.empty()) {
        char* stack = free_stacks.back();
        free_stacks.pop_back();
        return stack;
    }
    void* memory = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for the stack of a thread");
    mprotect(memory, GUARD, PROT_NONE);
    return static_cast<char*>(memory) + GUARD;
}

static void resume(unsigned t) {
    Fiber& fiber = fibers[t];
    if (!fiber.stack) {
        fiber.stack = new_stack();
        fiber.context = fresh_context(fiber.stack);
    }
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    current = &fiber;
    current_index = t;
    emulator_switch(&scheduler, fiber.context);
    if (fiber.state == DONE) {
        free_stacks.push_back(fiber.stack);
        fiber.stack = nullptr;
    }
}

// ---------------------------------------------------------------------------- what threads wait for

unsigned long long in_warp(Kind kind, unsigned mask, int line, unsigned long long value, int source) {
    if (!(mask >> (current_index % 32) & 1)) fail("line %d: mask %08x lacks the calling thread's own lane", line, mask);
    current->kind = kind;
    current->mask = mask;
    current->value = value;
    current->source = source;
    wait(WARP, line);
    return current->result;
}

int barrier(int line, bool predicate) {
    current->value = predicate;
    wait(BARRIER, line);
    return int(current->result);
}

// Release the lanes that wait with the lane of thread t, if all of its mask that still run have come.
static bool release_warp(unsigned t) {
    const unsigned first = t / 32 * 32, mask = fibers[t].mask;
    const Kind kind = fibers[t].kind;
    unsigned group = 0, ballot = 0;
    for (unsigned lane = 0; lane < 32 && first + lane < fibers.size(); lane++) {
        const Fiber& other = fibers[first + lane];
        if (!(mask >> lane & 1) || other.state == DONE) continue;
        if (other.state != WARP || other.mask != mask || other.kind != kind) return false;
        group |= 1u << lane;
        ballot |= unsigned(other.value != 0) << lane;
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(group >> lane & 1)) continue;
        Fiber& fiber = fibers[first + lane];
        const bool there = fiber.source >= 0 && group >> fiber.source & 1;     // else CUDA leaves the value undefined
        fiber.result = kind == BALLOT ? ballot : there ? fibers[first + fiber.source].value : ~uint64_t(0);
    }
    for (unsigned lane = 0; lane < 32; lane++)
        if (group >> lane & 1) fibers[first + lane].state = READY;
    return true;
}

// Let go on who can; nobody is READY. An error if nobody can.
static void release() {
    const Fiber *at_barrier = nullptr, *in_warp = nullptr, *returned = nullptr;
    bool progress = false;
    uint64_t count = 0;
    for (unsigned t = 0; t < fibers.size(); t++) {
        if (fibers[t].state == WARP && !release_warp(t)) in_warp = &fibers[t];
        progress = progress || fibers[t].state == READY;
    }
    if (progress) return;
    for (const Fiber& fiber : fibers) {
        if (fiber.state == DONE) returned = &fiber;
        if (fiber.state != BARRIER) continue;
        if (at_barrier && at_barrier->line != fiber.line)
            fail("divergent __syncthreads: threads wait at line %d and at line %d", at_barrier->line, fiber.line);
        at_barrier = &fiber;
        count += fiber.value;
    }
    if (in_warp && at_barrier)
        fail("threads wait at the __syncthreads of line %d and, for lanes of mask %08x, at line %d",
             at_barrier->line, in_warp->mask, in_warp->line);
    if (in_warp)
        fail("line %d: lanes of mask %08x wait for each other at different operations or with different masks",
             in_warp->line, in_warp->mask);
    if (returned) fail("threads wait at the __syncthreads of line %d, but others have returned", at_barrier->line);
    for (Fiber& fiber : fibers) {
        fiber.result = count;
        fiber.state = READY;
    }
}

// ---------------------------------------------------------------------------- a launch

static std::vector<unsigned> ordered(unsigned n, int order) {
    std::vector<unsigned> indices(n);
    for (unsigned i = 0; i < n; i++) indices[i] = order == DESCENDING ? n - 1 - i : i;
    uint32_t random = 2463534242u;                                  // xorshift, Marsaglia 2003
    for (unsigned i = n; order == SHUFFLED && i > 1; i--) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        std::swap(indices[i - 1], indices[random % i]);
    }
    return indices;
}

static void run_block(const std::vector<unsigned>& order) {
    for (Fiber& fiber : fibers) fiber.state = READY;
    for (;;) {
        bool all_done = true;
        for (unsigned t : order) {
            if (fibers[t].state == READY) resume(t);
            all_done = all_done && fibers[t].state == DONE;
        }
        if (all_done) return;
        release();
    }
}

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

const char* launch(void (*kernel)(void**), void** args, const unsigned* dims, int order, char* shared, size_t bytes) {
    struct sigaction action = {}, before[4];
    static char handler_stack[64 << 10];
    stack_t alternate = {}, stack_before;
    alternate.ss_sp = handler_stack;
    alternate.ss_size = sizeof handler_stack;
    sigaltstack(&alternate, &stack_before);
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK;
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &action, &before[i]);

    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    body = kernel;
    arguments = args;
    message[0] = 0;
    fibers.assign(size_t(dims[3]) * dims[4] * dims[5], Fiber{});
    const std::vector<unsigned> threads = ordered(fibers.size(), order);
    const std::vector<unsigned> blocks = ordered(dims[0] * dims[1] * dims[2], order);
    if (sigsetjmp(escape, 1) == 0) {
        for (unsigned b : blocks) {
            blockIdx = {b % dims[0], b / dims[0] % dims[1], b / (dims[0] * dims[1])};
            if (bytes) memset(shared, order == ASCENDING ? 0xff : 0x7f, bytes);
            run_block(threads);
        }
    } else {
        for (Fiber& fiber : fibers)
            if (fiber.stack) free_stacks.push_back(fiber.stack);
    }
    for (int i = 0; i < 4; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
    return message[0] ? message : nullptr;
}

}  // namespace emulator

// ---------------------------------------------------------------------------- undefined behaviour
//
// g++ -fsanitize=bounds,alignment,shift,integer-divide-by-zero calls these; its own library would end the process.

extern "C" {
struct EmulatorLocation { const char* file; uint32_t line, column; };
#define EMULATOR_REPORT(name, text)                                                            \
    void name(EmulatorLocation* where, uintptr_t, uintptr_t) { \
        emulator::fail("line %u: " text, where->line);                                         \
    }
EMULATOR_REPORT(__ubsan_handle_out_of_bounds_abort, "index outside a local or shared array")
EMULATOR_REPORT(__ubsan_handle_type_mismatch_v1_abort, "misaligned address (a float4 must lie at a multiple of 16 bytes)")
EMULATOR_REPORT(__ubsan_handle_shift_out_of_bounds_abort, "shift by the width of the number or more, or of a negative one")
EMULATOR_REPORT(__ubsan_handle_divrem_overflow_abort, "division by zero")
}
