/* Feed the core nonsense: whole frames of the right session with any body, damaged ones, raw bytes, any level and any
 * count, resets, faults. The sanitizers and the checks below say when it goes wrong.
 *
 *   fuzz SEED BYTES     draws so many bytes of wishes from a seed, prints what was done
 * or, with a compiler that has libFuzzer, FUZZ_LIBFUZZER defined and no main: LLVMFuzzerTestOneInput.
 */
#include "core.h"
#include "frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOT 5u
#define SESSION 41u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct {
    unsigned long long inputs, bytes, frames, taken, parts, accepts, rejects, faults, armed, round_trips;
} done;

struct source {
    const uint8_t *at, *end;
};

static uint64_t take(struct source *s, unsigned n)
{
    uint64_t v = 0;
    while (n--) v = v << 8 | (s->at < s->end ? *s->at++ : 0u);
    return v;
}

static void must(int good, const char *what)
{
    if (good) return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

struct bench {
    struct core *core;
    struct core_inputs in;
    struct core_outputs out;
    struct core_retained kept;
};

static void step(struct bench *b)
{
    core_step(b->core, &b->in, &b->out);
    const struct core *c = b->core;
    must(c->part_count <= CORE_PARTS && c->first_part < CORE_PARTS, "part table out of bounds");
    must(c->tx_head - c->tx_tail <= CORE_TX, "send buffer out of bounds");
    must(c->rx_length <= sizeof c->rx, "receive buffer out of bounds");
    must(c->accepts + c->rejects <= c->last_number, "more gate events than parts");
    must(b->out.lane == LANE_REJECT || c->state == STATE_ARMED || c->test_active, "gate open while not armed");
    must(!b->out.run_permit || c->state == STATE_ARMED || c->test_active || c->purging, "run permit while not armed");
    for (unsigned k = 0; k < CORE_CAMERAS; k++)
        must(b->out.strobe_us[k] <= CORE_STROBE_MAX_US && (b->out.camera_line[k] || !b->out.strobe_us[k]), "lamp too long");
    done.armed += c->state == STATE_ARMED;
}

/* In a buffer of its own size, so that a byte read too far is found. */
static void receive(struct bench *b, const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    must(exact != NULL, "no memory");
    memcpy(exact, bytes, n);
    core_rx(b->core, exact, n);
    free(exact);
    step(b);
}

static size_t frame(struct bench *b, uint8_t *out, uint8_t id, uint8_t flags, const uint8_t *payload, size_t n)
{
    uint8_t raw[CORE_FRAME], *p = raw;
    *p++ = (uint8_t)(PROTOCOL_VERSION << 6 | id);
    *p++ = flags;
    *p++ = flags & FRAME_RELIABLE ? (uint8_t)(b->core->rx_seq + 1u) : 0; /* a host that lost count gets nowhere */
    *p++ = 0;
    p = put_uint(p, id == ID_HELLO ? SESSION : SESSION ^ BOOT, 4);
    if (n) memcpy(p, payload, n);
    p = put_uint(p + n, frame_crc32(raw, (size_t)(p + n - raw)), 4);
    size_t length = cobs_encode(raw, (size_t)(p - raw), out + 1) + 2;
    out[0] = out[length - 1] = 0;
    done.frames++;
    return length;
}

static void say(struct bench *b, uint8_t id, uint8_t flags, const uint8_t *payload, size_t n, struct source *harm)
{
    uint8_t bytes[CORE_ENCODED];
    size_t length = frame(b, bytes, id, flags, payload, n);
    if (harm)
        for (unsigned flips = 1 + (unsigned)take(harm, 1) % 3; flips; flips--)
            bytes[take(harm, 1) % length] ^= (uint8_t)(1u << take(harm, 1) % 8);
    receive(b, bytes, length);
}

static void say_configure(struct bench *b, struct source *s)
{
    uint8_t bytes[CONFIGURE_BYTES];
    struct configure wish = {.gate_counts = 5000, .lead_counts = 300, .camera_counts = {1000, -1}, .min_gap_counts = 200,
                             .gate_hold_counts = 200, .heartbeat_timeout_ms = 150, .tick_hz = CORE_TICK_HZ,
                             .gate_sensor_counts = -1, .encoder_back_counts = -1};
    configure_write(bytes, &wish);
    uint8_t changes = (uint8_t)take(s, 1);
    if (changes & 1) { /* a station with everything watched */
        wish.gate_sensor_counts = 4900;
        wish.gate_window_counts = 50;
        wish.encoder_max_hz = 100000;
        wish.shortest_part_counts = 20;
        wish.strobe_us[0] = 200;
        wish.host_lost_rejects = 3;
        wish.trigger_source = changes >> 1 & 1;
        configure_write(bytes, &wish);
    }
    if ((changes & 12) == 12) bytes[take(s, 1) % (CONFIGURE_BYTES - 4u)] = (uint8_t)take(s, 1);
    put_uint(bytes + CONFIGURE_BYTES - 4u, frame_crc32(bytes, CONFIGURE_BYTES - 4u), 4);
    say(b, ID_CONFIGURE, FRAME_RELIABLE, bytes, sizeof bytes, NULL);
}

static void say_well(struct bench *b, struct source *s)
{
    static const uint8_t ids[] = {ID_HELLO, ID_CONFIGURE, ID_ARM, ID_HEARTBEAT, ID_DECISION, ID_DECISION, ID_CLOCK_REQUEST,
                                  ID_EVENT_REQUEST, ID_RELEASE_FAULT, ID_DISARM, ID_TEST_OUTPUT, ID_HEARTBEAT};
    uint8_t id = ids[take(s, 1) % sizeof ids], bytes[64] = {0}, flags = FRAME_RELIABLE;
    size_t n = 0;
    if (id == ID_CONFIGURE) {
        say_configure(b, s);
        return;
    }
    if (id == ID_HELLO) n = HELLO_BYTES, flags = 0, put_uint(bytes, SESSION, 4);
    if (id == ID_ARM) n = ARM_BYTES, put_uint(bytes, SCHEMA_HASH, 4);
    if (id == ID_HEARTBEAT) n = HEARTBEAT_BYTES, flags = 0;
    if (id == ID_CLOCK_REQUEST) n = CLOCK_REQUEST_BYTES, flags = 0;
    if (id == ID_EVENT_REQUEST) {
        struct event_request wish = {b->core->next_event - (uint32_t)take(s, 2) % 300u, (uint16_t)take(s, 2)};
        event_request_write(bytes, &wish);
        n = EVENT_REQUEST_BYTES, flags = 0;
    }
    if (id == ID_DECISION) {
        struct decision wish = {b->core->last_number - (uint32_t)take(s, 1) % 5u, take(s, 1) < 200, (uint32_t)take(s, 2)};
        decision_write(bytes, &wish);
        n = DECISION_BYTES;
    }
    if (id == ID_TEST_OUTPUT) {
        struct test_output wish = {(uint8_t)take(s, 1) % 5u, (uint16_t)(take(s, 2) % 600u)};
        test_output_write(bytes, &wish);
        n = TEST_OUTPUT_BYTES;
    }
    say(b, id, flags, bytes, n, NULL);
}

static void move(struct bench *b, struct source *s)
{
    uint8_t how = (uint8_t)take(s, 1);
    b->in.tick += how & 1 ? take(s, 2) : take(s, 1) * 4u;
    b->in.counts = (int64_t)((uint64_t)b->in.counts + (how & 2 ? take(s, 1) * 4u : take(s, 1)));
    uint8_t rare = how >> 4 == 15 ? (uint8_t)take(s, 1) : 255;
    if (rare < 8) b->in.counts = (int64_t)take(s, 8);
    if (rare >= 8 && rare < 24) b->in.tick += take(s, 4);
    if (rare >= 24 && rare < 32) b->in.encoder_errors++;
    b->in.part_sensor = how >> 2 & 1;
    b->in.gate_sensor = how >> 3 & 1;
    step(b);
}

static void run_to_due(struct bench *b)
{
    int64_t due;
    if (!core_next_due(b->core, &due)) return;
    int64_t way = (int64_t)((uint64_t)due - (uint64_t)b->in.counts);
    if (way > 0) b->in.counts = due, b->in.tick += (uint64_t)way * 50u;
    step(b);
}

static void beat(struct bench *b)
{
    uint8_t bytes[HEARTBEAT_BYTES] = {0};
    say(b, ID_HEARTBEAT, 0, bytes, sizeof bytes, NULL);
}

/* A good host and a good part, so that what is behind an armed gate is reached too. */
static void live(struct bench *b, struct source *s)
{
    uint8_t bytes[DECISION_BYTES], arm[ARM_BYTES];
    beat(b);
    if (b->core->state == STATE_FAULT) say(b, ID_RELEASE_FAULT, FRAME_RELIABLE, NULL, 0, NULL);
    if (!b->core->configured) say_configure(b, s);
    put_uint(arm, SCHEMA_HASH, 4);
    if (b->core->state == STATE_CONFIGURED) say(b, ID_ARM, FRAME_RELIABLE, arm, sizeof arm, NULL);
    b->in.part_sensor = 0;
    b->in.counts = (int64_t)((uint64_t)b->in.counts + 300u);
    b->in.tick += 30000u;
    step(b);
    b->in.part_sensor = 1;
    step(b);
    b->in.part_sensor = 0;
    struct decision wish = {b->core->last_number, take(s, 1) < 200, (uint32_t)take(s, 1)};
    decision_write(bytes, &wish);
    say(b, ID_DECISION, FRAME_RELIABLE, bytes, sizeof bytes, NULL);
    for (uint8_t left = (uint8_t)take(s, 1) % 8u; left; left--) {
        run_to_due(b);
        beat(b);
    }
}

static void other(struct bench *b, struct source *s)
{
    uint8_t bytes[CORE_PAYLOAD], how = (uint8_t)take(s, 1);
    if (how < 8) core_fault(b->core, (uint8_t)take(s, 1) % 12u, (int64_t)take(s, 8));
    else if (how < 12) core_start(b->core, BOOT, (uint8_t)take(s, 1) % 6u, how & 1 ? &b->kept : NULL);
    else if (how < 16) ((uint8_t *)&b->kept)[take(s, 1) % sizeof b->kept] ^= (uint8_t)take(s, 1);
    else {
        core_alive(b->core, how);
        core_feed(b->core, CORE_ALIVE_ALL);
        core_encoder_filter_ns(b->core);
        for (size_t n = core_tx(b->core, bytes, sizeof bytes); n; n = core_tx(b->core, bytes, sizeof bytes)) { }
    }
    step(b);
}

static void nonsense(struct bench *b, struct source *s)
{
    uint8_t bytes[CORE_PAYLOAD - 4u], id = (uint8_t)take(s, 1) & 63u, flags = (uint8_t)take(s, 1);
    static const uint8_t lengths[64] = {[ID_HELLO] = HELLO_BYTES, [ID_CONFIGURE] = CONFIGURE_BYTES, [ID_ARM] = ARM_BYTES,
        [ID_HEARTBEAT] = HEARTBEAT_BYTES, [ID_DECISION] = DECISION_BYTES, [ID_EVENT_REQUEST] = EVENT_REQUEST_BYTES,
        [ID_TEST_OUTPUT] = TEST_OUTPUT_BYTES, [ID_CLOCK_REQUEST] = CLOCK_REQUEST_BYTES,
        [ID_SOFT_TRIGGER] = SOFT_TRIGGER_BYTES};
    size_t n = flags & 0x80 ? lengths[id] : take(s, 1) % sizeof bytes;
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)take(s, 1);
    say(b, id, flags & 7u, bytes, n, flags & 0x40 ? s : NULL);
}

/* Undamaged, and too short to be a frame. */
static void stub(struct bench *b, struct source *s)
{
    uint8_t bytes[16], coded[20] = {0};
    size_t n = take(s, 1) % 9u;
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)take(s, 1);
    if (n > 7) put_uint(bytes + 4, SESSION ^ BOOT, 4);
    put_uint(bytes + n, frame_crc32(bytes, n), 4);
    size_t length = cobs_encode(bytes, n + 4, coded + 1);
    receive(b, coded, length + 2);
}

/* More parts than the table holds, as fast as they can come. */
static void crowd(struct bench *b, struct source *s)
{
    for (unsigned n = 2u * (60u + (unsigned)take(s, 1) % 12u); n; n--) {
        b->in.part_sensor = n & 1;
        b->in.counts = (int64_t)((uint64_t)b->in.counts + 20u);
        b->in.tick += 300u;
        step(b);
    }
}

static void raw(struct bench *b, struct source *s)
{
    uint8_t bytes[700];
    size_t n = take(s, 2) % sizeof bytes;
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)take(s, 1);
    receive(b, bytes, n);
}

static void round_trip(struct source *s)
{
    uint8_t in[300], coded[304];
    size_t n = 1 + take(s, 2) % (sizeof in - 1u);
    for (size_t i = 0; i < n; i++) in[i] = (uint8_t)(take(s, 1) & take(s, 1));
    size_t length = cobs_encode(in, n, coded);
    must(length <= n + n / 254 + 1 && !memchr(coded, 0, length), "COBS left a zero");
    must(cobs_decode(coded, length) == n && !memcmp(coded, in, n), "COBS did not come back");
    done.round_trips++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct source s = {data, data + n};
    struct bench b = {.core = malloc(core_size())};
    must(b.core != NULL, "no memory");
    core_start(b.core, BOOT, RESET_REASON_POWER_ON, &b.kept);
    b.in.tick = take(&s, 4);
    b.in.counts = (int64_t)take(&s, 8);
    step(&b);
    uint8_t hello[HELLO_BYTES];
    put_uint(hello, SESSION, 4);
    say(&b, ID_HELLO, 0, hello, sizeof hello, NULL);
    while (s.at < s.end) {
        uint8_t what = (uint8_t)take(&s, 1);
        if (what < 70) say_well(&b, &s);
        else if (what < 130) move(&b, &s);
        else if (what < 180) live(&b, &s);
        else if (what < 190) run_to_due(&b);
        else if (what < 215) nonsense(&b, &s);
        else if (what < 223) raw(&b, &s);
        else if (what < 224) crowd(&b, &s);
        else if (what < 228) stub(&b, &s);
        else if (what < 250) other(&b, &s);
        else round_trip(&s);
    }
    done.inputs++;
    done.bytes += n;
    done.parts += b.core->last_number;
    done.accepts += b.core->accepts;
    done.rejects += b.core->rejects;
    done.faults += b.core->faults;
    free(b.core);
    return 0;
}

#ifndef FUZZ_LIBFUZZER
int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: fuzz SEED BYTES\n", stderr);
        return 2;
    }
    uint64_t state = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15ull | 1u;
    unsigned long long bytes = strtoull(argv[2], NULL, 10);
    static uint8_t data[16384];
    while (done.bytes < bytes) {
        for (size_t i = 0; i < sizeof data; i++) {
            state ^= state >> 12; /* xorshift64*, Vigna 2016 */
            state ^= state << 25;
            state ^= state >> 27;
            data[i] = (uint8_t)(state * 0x2545F4914F6CDD1Dull >> 56);
        }
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
    printf("inputs %llu bytes %llu frames %llu parts %llu accepts %llu rejects %llu faults %llu armed %llu round_trips %llu\n",
           done.inputs, done.bytes, done.frames, done.parts, done.accepts, done.rejects, done.faults, done.armed,
           done.round_trips);
    return 0;
}
#endif
