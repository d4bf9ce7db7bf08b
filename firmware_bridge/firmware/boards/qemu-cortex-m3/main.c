/* The core on a Cortex-M3. UART0 is the host's serial line; UART1 stands for the wires of the plant, spoken to by the
 * program that plays it: sensor and encoder levels in, gate and camera lines out.
 *
 * Wires, little endian, one request at a time. Structs travel as the bytes that changed since the last one (all zero at
 * the start): a bit for each byte, then those bytes.
 *   R <sizes of core_inputs and answer, u8 each>  from the board after every start
 *   i <boot u32> <1 = own clock u8>               start the core; no answer
 *   s <core_inputs>                               step; the answer is a struct answer
 *   r <n u16>                                     hand the next n bytes of UART0 to the core; no answer
 *   t                                             answer: <n u16>, and n bytes for the host on UART0
 *   c                                             answer: <us of the hardware clock u64>
 *   f <fault u8> <detail i64>                     core_fault(); no answer
 *   x <enum reset_reason u8>                      reset the chip
 *   h                                             hang, with interrupts off
 * With the wires' clock the core steps on request only and at the tick given, so a run repeats exactly. With its own
 * clock the tick of `s` is not used, UART0 flows by itself, and the watchdog runs.
 */
#include "board.h"

#include <string.h>

#define CHUNK 8192u

struct answer {
    int64_t due;  /* counts of the next step, if due_found */
    struct core_outputs outputs;
    uint8_t due_found;
};

static struct core core;
static struct core_inputs inputs;
static struct answer answer;
static uint8_t chunk[CHUNK];
static uint8_t running, own_clock;
static size_t out_at, out_length;
static uint8_t why; /* enum reset_reason of this start */

static void put(enum uart which, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        size_t sent = uart_write(which, p, n);
        p += sent;
        n -= sent;
    }
}

/* Sleep until an interrupt; interrupts stay pending across the check, so that none is slept through. */
static void wait_for(enum uart which, size_t n)
{
    while (uart_waiting(which) < n) {
        irq_off();
        if (uart_waiting(which) < n) __asm volatile("wfi");
        irq_on();
    }
}

static void get(enum uart which, void *bytes, size_t n)
{
    uint8_t *p = bytes;
    for (size_t done = 0; done < n;) {
        wait_for(which, 1);
        done += uart_read(which, p + done, n - done);
    }
}

static void get_changes(void *object, size_t n)
{
    uint8_t *bytes = object, changed[32];
    get(UART_WIRES, changed, (n + 7) / 8);
    for (size_t i = 0; i < n; i++)
        if (changed[i / 8] >> i % 8 & 1u) get(UART_WIRES, bytes + i, 1);
}

static void put_changes(const void *object, const void *before, size_t n)
{
    const uint8_t *now = object, *old = before;
    uint8_t changed[32] = {0};
    for (size_t i = 0; i < n; i++)
        if (now[i] != old[i]) changed[i / 8] |= (uint8_t)(1u << i % 8);
    put(UART_WIRES, changed, (n + 7) / 8);
    for (size_t i = 0; i < n; i++)
        if (now[i] != old[i]) put(UART_WIRES, now + i, 1);
}

static struct core_outputs step(void)
{
    struct core_outputs out;
    if (own_clock) inputs.tick = clock_us();
    core_step(&core, &inputs, &out);
    if (own_clock && out.restart) chip_reset(RESET_REASON_HOST_REQUEST); /* else the wires' part */
    return out;
}

static void start(void)
{
    uint32_t boot;
    get(UART_WIRES, &boot, sizeof boot);
    get(UART_WIRES, &own_clock, 1);
    memset(&inputs, 0, sizeof inputs);
    memset(&answer, 0, sizeof answer);
    core_start(&core, boot, why, &kept.core);
    running = 1;
    if (own_clock) watchdog_start();
}

static void answer_step(void)
{
    struct answer now;
    memset(&now, 0, sizeof now);
    get_changes(&inputs, sizeof inputs);
    now.outputs = step();
    now.due_found = (uint8_t)core_next_due(&core, &now.due);
    put_changes(&now, &answer, sizeof now);
    answer = now;
}

static void take_serial(void)
{
    uint16_t n;
    get(UART_WIRES, &n, sizeof n);
    if (n > sizeof chunk) chip_reset(RESET_REASON_CRASH);
    get(UART_SERIAL, chunk, n);
    core_rx(&core, chunk, n);
}

static void give_serial(void)
{
    uint16_t n = (uint16_t)core_tx(&core, chunk, CHUNK);
    put(UART_WIRES, &n, sizeof n);
    put(UART_SERIAL, chunk, n);
}

static void answer_clock(void)
{
    uint64_t us = clock_us();
    put(UART_WIRES, &us, sizeof us);
}

static void take_fault(void)
{
    uint8_t fault;
    int64_t detail;
    get(UART_WIRES, &fault, sizeof fault);
    get(UART_WIRES, &detail, sizeof detail);
    core_fault(&core, fault, detail);
}

static void take_reset(void)
{
    uint8_t reason;
    get(UART_WIRES, &reason, sizeof reason);
    chip_reset(reason);
}

static void obey_wires(void)
{
    uint8_t wish;
    get(UART_WIRES, &wish, 1);
    if (wish == 'i') start();
    else if (wish == 's') answer_step();
    else if (wish == 'r') take_serial();
    else if (wish == 't') give_serial();
    else if (wish == 'c') answer_clock();
    else if (wish == 'f') take_fault();
    else if (wish == 'x') take_reset();
    else if (wish == 'h') for (irq_off();;) { }
    else chip_reset(RESET_REASON_CRASH);
}

/* One turn with the board's own clock: what came before what follows from it; nothing waits for a host that is slow. */
static void serve_serial(void)
{
    static uint8_t in[256], out[256];
    size_t n = uart_read(UART_SERIAL, in, sizeof in);
    step();
    if (n) {
        core_rx(&core, in, n);
        step();
    }
    for (;;) {
        if (out_at == out_length) {
            out_at = 0;
            out_length = core_tx(&core, out, sizeof out);
            if (!out_length) return;
        }
        size_t sent = uart_write(UART_SERIAL, out + out_at, out_length - out_at);
        if (!sent) return;
        out_at += sent;
    }
}

/* One turn of the loop; sleeps only if nothing has come since it looked, interrupts pending across the check. */
static void turn(void)
{
    irq_off();
    int rang = clock_rang();
    int serial = running && own_clock && (rang || uart_waiting(UART_SERIAL));
    if (!serial && !uart_waiting(UART_WIRES)) __asm volatile("wfi");
    irq_on();
    if (uart_waiting(UART_WIRES)) obey_wires();
    if (serial) serve_serial();
    if (!running || !own_clock) return;
    if (!stack_sound()) core_fault(&core, FAULT_STACK, 0);
    core_alive(&core, (uint8_t)(CORE_ALIVE_LOOP | (rang ? CORE_ALIVE_CAPTURE : 0u))); /* the alarm stands for capture */
    if (core_feed(&core, CORE_ALIVE_STEP | CORE_ALIVE_LOOP | CORE_ALIVE_CAPTURE)) watchdog_feed();
}

int main(void)
{
    static const uint8_t ready[] = {'R', sizeof(struct core_inputs), sizeof(struct answer)};
    why = reset_reason();
    uart_start();
    clock_start();
    irq_on();
    put(UART_WIRES, ready, sizeof ready);
    for (;;) turn();
}
