/* Registers of the mps2-an385 board (Arm DAI 0385 and DDI 0479) and what the files of this board offer each other. */
#ifndef BOARD_H
#define BOARD_H
#include "core.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CLOCK_HZ 25000000u

enum uart { UART_SERIAL, UART_WIRES, UARTS }; /* UART0: the host; UART1: the plant's wires */

static inline void irq_off(void) { __asm volatile("cpsid i" ::: "memory"); }
static inline void irq_on(void) { __asm volatile("cpsie i" ::: "memory"); }

/* uart.c */
void uart_start(void);
size_t uart_waiting(enum uart which);
size_t uart_read(enum uart which, uint8_t *bytes, size_t cap);
/* Put out what the transmitter takes at once; gives the number taken. */
size_t uart_write(enum uart which, const uint8_t *bytes, size_t n);

/* clock.c */
void clock_start(void);
uint64_t clock_us(void);
/* Give 1 when the alarm rang since the last call. */
int clock_rang(void);
/* Start the watchdog: a loop that does not feed it within a second is reset in the next. */
void watchdog_start(void);
void watchdog_feed(void);

/* startup.c: what a reset leaves alone, and why the last one came. */
struct kept {
    struct core_retained core;
    uint32_t magic, reset; /* enum reset_reason */
};
extern struct kept kept;
uint8_t reset_reason(void);
void __attribute__((noreturn)) chip_reset(uint8_t reason);
/* Give 0 once the stack has grown into the data. */
int stack_sound(void);
#endif
