/* Vector table and start-up: memory as C expects it, then main. A fault of the processor is a reset that says so. */
#include "board.h"

#define AIRCR REGISTER(0xE000ED0Cu)
#define AIRCR_RESET 0x05FA0004u
#define MAGIC 0x4B455054u
#define CANARY 0x5AFE57ACu

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_end[], stack_top[];
_Static_assert(sizeof(struct kept) <= 64, "more than link.ld keeps");
int main(void);
void reset_handler(void);
void serial_received(void);
void wires_received(void);
void alarm_rang(void);

void chip_reset(uint8_t reason)
{
    kept.magic = MAGIC;
    kept.reset = reason;
    __asm volatile("dsb" ::: "memory");
    AIRCR = AIRCR_RESET;
    for (;;) { }
}

/* This chip has no register that tells; memory without the mark is memory that lost its power. */
uint8_t reset_reason(void)
{
    uint8_t reason = kept.magic == MAGIC ? (uint8_t)kept.reset : RESET_REASON_POWER_ON;
    kept.magic = MAGIC;
    kept.reset = RESET_REASON_PIN; /* unless something says otherwise first */
    return reason;
}

int stack_sound(void) { return *(volatile uint32_t *)stack_end == CANARY; }

static void crashed(void) { chip_reset(RESET_REASON_CRASH); }
/* The watchdog interrupts a second before it resets. */
static void watchdog_barked(void) { chip_reset(RESET_REASON_WATCHDOG); }

void reset_handler(void)
{
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    *(volatile uint32_t *)stack_end = CANARY;
    main();
    crashed();
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16 + 16] = {
    (handler)(uintptr_t)stack_top,
    reset_handler,
    [2] = watchdog_barked, /* NMI */
    [3] = crashed,         /* hard fault */
    [4] = crashed,         /* memory management */
    [5] = crashed,         /* bus fault */
    [6] = crashed,         /* usage fault */
    [11] = crashed,        /* SVC */
    [12] = crashed,
    [14] = crashed,
    [15] = crashed,
    [16] = serial_received,
    [16 + 2] = wires_received,
    [16 + 8] = alarm_rang,
};
