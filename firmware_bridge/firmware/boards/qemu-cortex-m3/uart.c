/* The two CMSDK UARTs: bytes in by interrupt into rings, bytes out as the transmitter takes them. */
#include "board.h"

#define RING 8192u /* power of two; the receiver has no FIFO, so a burst waits here */

static const uint32_t base[UARTS] = {0x40004000u, 0x40005000u};
#define DATA 0x00u
#define STATE 0x04u
#define CONTROL 0x08u
#define CLEAR 0x0Cu
#define DIVIDER 0x10u
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CONTROL_TX_RX_RXINT (1u | 2u | 8u)
#define CLEAR_RX 2u
#define NVIC_ENABLE REGISTER(0xE000E100u)

static struct ring {
    uint8_t bytes[RING];
    volatile uint32_t head, tail; /* free-running; the interrupt moves head, the loop tail */
} rings[UARTS];

void serial_received(void);
void wires_received(void);

void uart_start(void)
{
    for (unsigned i = 0; i < UARTS; i++) {
        REGISTER(base[i] + DIVIDER) = CLOCK_HZ / 1000000u; /* 1 Mbaud */
        REGISTER(base[i] + CONTROL) = CONTROL_TX_RX_RXINT;
    }
    NVIC_ENABLE = 1u << 0 | 1u << 2; /* received, UART0 and UART1 */
}

static void received(enum uart which)
{
    struct ring *r = &rings[which];
    REGISTER(base[which] + CLEAR) = CLEAR_RX;
    while (REGISTER(base[which] + STATE) & STATE_RX_FULL) {
        uint8_t byte = (uint8_t)REGISTER(base[which] + DATA);
        if (r->head - r->tail < RING) r->bytes[r->head++ % RING] = byte; /* else lost: the link sends it again */
    }
}

void serial_received(void) { received(UART_SERIAL); }
void wires_received(void) { received(UART_WIRES); }

size_t uart_waiting(enum uart which) { return rings[which].head - rings[which].tail; }

size_t uart_read(enum uart which, uint8_t *bytes, size_t cap)
{
    struct ring *r = &rings[which];
    size_t n = 0;
    while (n < cap && r->tail != r->head) bytes[n++] = r->bytes[r->tail++ % RING];
    return n;
}

size_t uart_write(enum uart which, const uint8_t *bytes, size_t n)
{
    size_t sent = 0;
    while (sent < n && !(REGISTER(base[which] + STATE) & STATE_TX_FULL)) REGISTER(base[which] + DATA) = bytes[sent++];
    return sent;
}
