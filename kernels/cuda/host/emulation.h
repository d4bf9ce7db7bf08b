/* Enough of CUDA to run the kernels of this folder on the host, one block after the other.
 *
 * Each thread of a block is a fiber with its own stack; `__syncthreads` gives the turn to the next one, so a missing
 * barrier shows as a difference between forward and backward order. Memory of the driver and dynamic shared memory end
 * at guard pages; a kernel that leaves them, or that trips the compiler's checks of bounds, alignment and overflow,
 * ends with a message like a real device's fault, not with the process.
 */
#pragma once
#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define dynamic_shared emulation::shared

struct dim3 {
    unsigned x, y, z;
};

static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

enum { MOST_THREADS = 1024, STACK_BYTES = 64 << 10, MOST_SHARED = 48 << 10, GUARD_BYTES = 64 << 10 };
enum { NEW, WAITING, DONE };

struct fiber {
    ucontext_t start;
    jmp_buf resume;
    int state;
};

static fiber fibers[MOST_THREADS];
static unsigned char *stacks, *arena, *shared;
static unsigned present;
static jmp_buf scheduler;
static sigjmp_buf fault;
static const char *fault_kind;
static void *fault_address;
static void (*body)(void **);
static void **body_arguments;

static void enter()
{
    body(body_arguments);
    fibers[present].state = DONE;
    _longjmp(scheduler, 1);
}

static inline void barrier()
{
    if (_setjmp(fibers[present].resume) == 0) {
        fibers[present].state = WAITING;
        _longjmp(scheduler, 1);
    }
}

static void turn(unsigned thread)
{
    fiber &next = fibers[thread];
    present = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
    if (_setjmp(scheduler)) return;
    if (next.state == WAITING) _longjmp(next.resume, 1);
    getcontext(&next.start);
    next.start.uc_stack.ss_sp = stacks + static_cast<size_t>(thread) * STACK_BYTES;
    next.start.uc_stack.ss_size = STACK_BYTES;
    next.start.uc_link = nullptr;
    makecontext(&next.start, enter, 0);
    setcontext(&next.start);
}

/* Give false when some threads wait at a barrier that others never reach. */
static bool run_block(unsigned threads, bool backward)
{
    for (unsigned i = 0; i < threads; i++) fibers[i].state = NEW;
    for (unsigned waiting = threads; waiting;) {
        waiting = 0;
        for (unsigned i = 0; i < threads; i++) {
            const unsigned thread = backward ? threads - 1 - i : i;
            turn(thread);
            waiting += fibers[thread].state == WAITING;
        }
        if (waiting && waiting != threads) return false;
    }
    return true;
}

static void on_fault(int signal, siginfo_t *info, void *)
{
    fault_kind = signal == SIGSEGV || signal == SIGBUS ? "illegal address" : "overflow, index or alignment";
    fault_address = info->si_addr;
    siglongjmp(fault, 1);
}

enum { SIGNALS = 5 };
static const int watched[SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

struct guard {
    struct sigaction before[SIGNALS];
    stack_t stack_before;
    guard()
    {
        static unsigned char own_stack[64 << 10];
        stack_t stack = {};
        stack.ss_sp = own_stack;
        stack.ss_size = sizeof own_stack;
        sigaltstack(&stack, &stack_before);
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int i = 0; i < SIGNALS; i++) sigaction(watched[i], &action, &before[i]);
    }
    void restore()
    {
        for (int i = 0; i < SIGNALS; i++) sigaction(watched[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

template <class T> struct code {
    static constexpr char letter = 'P';
    static_assert(std::is_pointer<T>::value, "give the type of this argument a letter");
};
template <> struct code<int> { static constexpr char letter = 'i'; };
template <> struct code<unsigned> { static constexpr char letter = 'I'; };
template <> struct code<float> { static constexpr char letter = 'f'; };
template <> struct code<double> { static constexpr char letter = 'd'; };
template <> struct code<long long> { static constexpr char letter = 'q'; };

template <auto Kernel> struct entry;
template <class... A, void (*Kernel)(A...)> struct entry<Kernel> {
    static constexpr char signature[] = {code<A>::letter..., 0};
    template <size_t... I> static void call(std::index_sequence<I...>, void **arguments)
    {
        Kernel(*static_cast<A *>(arguments[I])...);
    }
    static void run(void **arguments) { call(std::index_sequence_for<A...>{}, arguments); }
};

struct kernel {
    const char *name, *signature;
    void (*run)(void **);
};

static int launch(const kernel &chosen, const unsigned *grid, const unsigned *block, void **arguments,
                  unsigned shared_bytes, bool backward, char *message, size_t length)
{
    const uint64_t threads = uint64_t(block[0]) * block[1] * block[2], blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    if (!threads || threads > MOST_THREADS || block[2] > 64 || !blocks || grid[0] > 0x7FFFFFFF || grid[1] > 65535 ||
        grid[2] > 65535 || shared_bytes > MOST_SHARED) {
        snprintf(message, length, "invalid configuration: grid %u %u %u, block %u %u %u, %u shared bytes", grid[0],
                 grid[1], grid[2], block[0], block[1], block[2], shared_bytes);
        return 1;
    }
    if (!stacks) {
        stacks = static_cast<unsigned char *>(mmap(nullptr, size_t(MOST_THREADS) * STACK_BYTES, PROT_READ | PROT_WRITE,
                                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        arena = static_cast<unsigned char *>(mmap(nullptr, MOST_SHARED + GUARD_BYTES, PROT_NONE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(arena, MOST_SHARED, PROT_READ | PROT_WRITE);
    }
    shared = arena + MOST_SHARED - (shared_bytes + 15) / 16 * 16;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    body = chosen.run;
    body_arguments = arguments;
    guard watch;
    volatile bool complete = true;
    if (sigsetjmp(fault, 1) == 0) {
        for (uint64_t i = 0; i < blocks && complete; i++) {
            const uint64_t number = backward ? blocks - 1 - i : i;
            blockIdx = {unsigned(number % grid[0]), unsigned(number / grid[0] % grid[1]),
                        unsigned(number / grid[0] / grid[1])};
            memset(shared, 0xA5, arena + MOST_SHARED - shared); /* what nobody wrote is not zero */
            complete = run_block(unsigned(threads), backward);
        }
        watch.restore();
        if (complete) return 0;
        snprintf(message, length, "block %u %u %u: a barrier is not reached by all threads", blockIdx.x, blockIdx.y,
                 blockIdx.z);
        return 1;
    }
    watch.restore();
    snprintf(message, length, "%s at %p: block %u %u %u, thread %u %u %u", fault_kind, fault_address, blockIdx.x,
             blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    return 1;
}

} // namespace emulation

#define __syncthreads() emulation::barrier()

static inline int atomicAdd(int *to, int value)
{
    const int before = *to;
    *to += value;
    return before;
}

/* A product that no compiler may fuse into a sum. */
static inline double __dmul_rn(double a, double b)
{
    const volatile double product = a * b;
    return product;
}
