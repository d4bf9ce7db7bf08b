/* Time: a free-running 32-bit counter at 25 MHz, extended here; a 1 ms alarm that only wakes the loop; a watchdog. The
 * alarm keeps no time: counting its interrupts loses some under load. */
#include "board.h"

#define COUNTER 0x40002000u /* first half of the dual timer, counts down */
#define COUNTER_VALUE REGISTER(COUNTER + 4u)
#define COUNTER_CONTROL REGISTER(COUNTER + 8u)
#define COUNTER_FREE_RUNNING (1u << 7 | 1u << 1) /* enabled, 32 bits, no prescaler, no interrupt */
#define ALARM 0x40000000u
#define ALARM_CONTROL REGISTER(ALARM)
#define ALARM_RELOAD REGISTER(ALARM + 8u)
#define ALARM_CLEAR REGISTER(ALARM + 12u)
#define ALARM_WITH_INTERRUPT (1u | 8u)
#define WATCHDOG 0x40008000u
#define WATCHDOG_LOAD REGISTER(WATCHDOG)
#define WATCHDOG_CONTROL REGISTER(WATCHDOG + 8u)
#define WATCHDOG_CLEAR REGISTER(WATCHDOG + 12u)
#define WATCHDOG_INTERRUPT_AND_RESET 3u
#define NVIC_ENABLE REGISTER(0xE000E100u)

static uint32_t last;
static uint64_t elapsed;
static volatile uint8_t rang;

void alarm_rang(void);

void clock_start(void)
{
    COUNTER_CONTROL = COUNTER_FREE_RUNNING;
    last = COUNTER_VALUE;
    ALARM_RELOAD = CLOCK_HZ / 1000u;
    ALARM_CONTROL = ALARM_WITH_INTERRUPT;
    NVIC_ENABLE = 1u << 8;
}

/* Called from the loop alone and at least once in 171 s, the counter's period. */
uint64_t clock_us(void)
{
    uint32_t now = COUNTER_VALUE;
    elapsed += last - now;
    last = now;
    return elapsed / (CLOCK_HZ / 1000000u);
}

void alarm_rang(void)
{
    ALARM_CLEAR = 1u;
    rang = 1;
}

int clock_rang(void)
{
    uint8_t was = rang;
    rang = 0;
    return was;
}

void watchdog_start(void)
{
    WATCHDOG_LOAD = CLOCK_HZ;
    WATCHDOG_CONTROL = WATCHDOG_INTERRUPT_AND_RESET;
}

void watchdog_feed(void) { WATCHDOG_CLEAR = 1u; }
