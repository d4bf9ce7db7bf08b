/* Latched faults: kept over a reset, left only by the host's word, and by some only with an empty belt. */
#include "frame.h"
#include "internal.h"

#include <string.h>

#define MAGIC 0x46534654u

static uint32_t kept_crc(const struct core_retained *kept)
{
    uint8_t bytes[20], *p = bytes;
    p = put_uint(p, kept->magic, 4);
    p = put_uint(p, kept->fault, 4);
    p = put_uint(p, (uint64_t)kept->detail, 8);
    put_uint(p, kept->count, 4);
    return frame_crc32(bytes, sizeof bytes);
}

static int kept_sound(const struct core_retained *kept)
{
    return kept->magic == MAGIC && kept->fault <= FAULT_MEMORY && kept->crc == kept_crc(kept); /* RULE kept-checked */
}

static void keep(struct core *c)
{
    if (!c->kept) return;
    c->kept->magic = MAGIC;
    c->kept->fault = c->fault;
    c->kept->detail = c->fault_detail;
    c->kept->count = c->faults;
    c->kept->crc = kept_crc(c->kept);
}

static void set(struct core *c, uint8_t fault, int64_t detail)
{
    c->fault = fault;
    c->fault_detail = detail;
    c->faults++;
    keep(c);
}

/* The reset is a fault itself when the program, the supply or the memory failed. */
static uint8_t fault_of_reset(const struct core *c, int sound)
{
    if (c->reset == RESET_REASON_WATCHDOG) return FAULT_WATCHDOG; /* RULE reset-is-fault */
    if (c->reset == RESET_REASON_BROWN_OUT) return FAULT_BROWN_OUT;
    if (c->reset == RESET_REASON_CRASH) return FAULT_CRASH;
    /* Without power memory holds noise; after any other reset noise may have been a fault. */
    return sound || c->reset == RESET_REASON_POWER_ON ? FAULT_NONE : FAULT_MEMORY; /* RULE kept-lost */
}

void core_start(struct core *c, uint32_t boot, uint8_t reset, struct core_retained *kept)
{
    memset(c, 0, sizeof *c);
    c->boot = boot;
    c->state = STATE_BOOT;
    c->lane = LANE_REJECT;
    c->next_event = 1;
    c->again_from = c->again_to = 1;
    c->reset = reset;
    c->kept = kept;
    int sound = !kept || kept_sound(kept);
    if (kept && sound) {
        c->faults = kept->count;
        c->fault_detail = kept->detail;
        c->latch_due = (uint8_t)kept->fault; /* RULE kept-over-reset */
    }
    c->fault = c->latch_due;
    keep(c);
    core_fault(c, fault_of_reset(c, sound), 0);
}

void core_init(struct core *c, uint32_t boot) { core_start(c, boot, RESET_REASON_POWER_ON, NULL); }

/* Enter the fault state: tell, bar what is on the belt, and begin to measure how far the belt ran empty. */
static void enter(struct core *c)
{
    uint8_t bytes[FAULT_EVENT_BYTES];
    struct fault_event event = {c->next_event, c->fault, c->fault_detail, c->tick};
    c->purging = 0;
    c->seen_at = c->counts;
    fault_event_write(bytes, &event);
    event_write(c, ID_FAULT_EVENT, bytes, sizeof bytes);
    state_set(c, STATE_FAULT, STATE_REASON_FAULT);
}

void fault_latch(struct core *c, uint8_t fault, int64_t detail)
{
    if (c->state == STATE_FAULT) return; /* the first one is the cause */
    set(c, fault, detail);
    enter(c);
}

void core_fault(struct core *c, uint8_t fault, int64_t detail)
{
    if (fault == FAULT_NONE || fault > FAULT_MEMORY) return;
    if (c->state != STATE_BOOT) {
        fault_latch(c, fault, detail);
    } else if (!c->latch_due) {
        set(c, fault, detail);
        c->latch_due = fault;
    }
}

void fault_start(struct core *c)
{
    c->state = STATE_UNCONFIGURED;
    if (!c->latch_due) return;
    c->latch_due = 0;
    enter(c);
}

/* Of these faults the positions of the parts are in doubt: only an empty belt ends them. */
static int needs_purge(const struct core *c)
{
    return c->fault == FAULT_SYNC_LOST || c->fault == FAULT_ENCODER; /* RULE purge-needed */
}

/* Give the travel until the fault may be left, 0 = the belt has run empty, -1 = the way to the gate is not known. */
int32_t purge_counts(const struct core *c)
{
    if (c->state != STATE_FAULT || !needs_purge(c)) return 0;
    return c->configured && configuration_sound(c) ? parts_way_left(c) : -1; /* RULE purge-way-sound */
}

static void leave(struct core *c)
{
    c->fault = FAULT_NONE;
    c->fault_detail = 0;
    c->purging = 0;
    keep(c);
    if (c->configured && !configuration_sound(c)) c->configured = 0; /* RULE damaged-is-none */
    state_set(c, c->configured ? STATE_CONFIGURED : STATE_UNCONFIGURED, STATE_REASON_HOST_REQUEST);
}

void fault_release(struct core *c)
{
    int32_t left = purge_counts(c);
    if (c->state != STATE_FAULT) {
        session_state_changed(c, STATE_REASON_NOT_ALLOWED_NOW);
    } else if (left) {
        c->purging = left > 0 && host_alive(c);
        session_state_changed(c, left < 0 ? STATE_REASON_NOT_CONFIGURED : STATE_REASON_NOT_PURGED);
    } else {
        leave(c);
    }
}

/* Let a wish to release wait for the empty belt, as long as the host that wished lives. */
void fault_step(struct core *c)
{
    if (c->state != STATE_FAULT || !c->purging) return;
    if (!host_alive(c)) c->purging = 0; /* RULE purge-host */
    else if (!purge_counts(c)) leave(c);
}
