/* A host of moods: it opens sessions, arms, decides in time, late, wrongly or not at all. */
#include "frame.h"
#include "storm.h"

#include <string.h>

#define MS 1000u
#define SILENCE (500u * MS)

static uint32_t frame(const struct host *h, uint8_t *out, uint8_t id, uint8_t flags, uint8_t seq, const uint8_t *payload,
                      uint32_t n)
{
    uint8_t raw[CORE_FRAME], *p = raw;
    *p++ = (uint8_t)(PROTOCOL_VERSION << 6 | id);
    *p++ = flags;
    *p++ = seq;
    *p++ = 0;
    p = put_uint(p, id == ID_HELLO ? h->session : h->session ^ h->boot, 4);
    if (n) memcpy(p, payload, n);
    p += n;
    p = put_uint(p, frame_crc32(raw, (size_t)(p - raw)), 4);
    uint32_t length = (uint32_t)cobs_encode(raw, (size_t)(p - raw), out + 1) + 2;
    out[0] = out[length - 1] = 0;
    return length;
}

static void push(struct host *h, uint8_t id, const uint8_t *payload, uint32_t n)
{
    if (h->flying_count == WINDOW) return;
    h->flying[h->flying_count].count = frame(h, h->flying[h->flying_count].bytes, id, FRAME_RELIABLE, ++h->seq, payload, n);
    h->flying_count++;
}

static void plan(struct host *h, uint64_t at, uint32_t part, uint32_t accept)
{
    if (h->agenda_count == AGENDA) return;
    h->agenda[h->agenda_count].at = at;
    h->agenda[h->agenda_count].part = part;
    h->agenda[h->agenda_count++].accept = accept;
}

static void decide(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, uint32_t part)
{
    uint64_t at = tick + draw(r, 60) * MS;
    uint32_t mood = draw(r, 100);
    if (mood < 62) plan(h, at, part, 1);
    else if (mood < 70) plan(h, at, part, 0);
    else if (mood < 75) return;
    else if (mood < 80) plan(h, tick + (80 + draw(r, 800)) * MS, part, 1);
    else if (mood < 85) {
        plan(h, at, part, 1);
        plan(h, at + draw(r, 200) * MS, part, 0);
    } else if (mood < 90) {
        plan(h, at, part, 0);
        plan(h, at + draw(r, 200) * MS, part, 1);
    } else if (wish->hostile) {
        plan(h, at, part + draw(r, 3) - 1, 1);
        plan(h, at, draw(r, 2) ? part + 40 : draw(r, 0x7FFFFFFF), 1);
        plan(h, at, part, draw(r, 256));
    }
}

void host_restart(struct host *h, struct random *r, uint64_t tick)
{
    uint64_t frozen = h->frozen_until;
    memset(h, 0, sizeof *h);
    h->frozen_until = frozen;
    h->session = 1 + draw(r, 0x7FFFFFFE);
    h->hello_due = tick;
    h->heard = tick;
}

static void heard_stats(struct host *h, struct random *r, const struct storm_wish *wish, const struct stats *s)
{
    uint8_t arm[4];
    if (h->flying_count) return;
    if (s->state == STATE_FAULT) push(h, ID_RELEASE_FAULT, NULL, 0);
    if (s->state != STATE_ARMED) {
        if (!s->config_crc || draw(r, 2)) push(h, ID_CONFIGURE, wish->configure, wish->configure_bytes);
        if (wish->hostile && !draw(r, 3)) {
            struct test_output test = {(uint8_t)draw(r, 5), (uint16_t)draw(r, 600)};
            uint8_t bytes[TEST_OUTPUT_BYTES];
            test_output_write(bytes, &test);
            push(h, ID_TEST_OUTPUT, bytes, sizeof bytes);
            if (draw(r, 2)) return;
        }
        put_uint(arm, SCHEMA_HASH ^ (wish->hostile && !draw(r, 10)), 4);
        push(h, ID_ARM, arm, sizeof arm);
    } else if (wish->hostile && !draw(r, 60)) {
        push(h, ID_DISARM, NULL, 0);
    }
}

static void heard_frame(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, uint8_t *bytes,
                        uint32_t n)
{
    n = (uint32_t)cobs_decode(bytes, n);
    if (n < 12) return;
    const uint8_t *crc = bytes + n - 4, *key_at = bytes + 4, *payload = bytes + 8;
    if (get_uint(&crc, 4) != frame_crc32(bytes, n - 4)) return;
    uint8_t id = bytes[0] & 63u;
    uint32_t key = (uint32_t)get_uint(&key_at, 4);
    if (id == ID_HELLO_ACK) {
        struct hello_ack ack;
        hello_ack_read(payload, &ack);
        if (key != h->session || h->connected) return;
        h->boot = ack.boot;
        h->connected = 1;
        h->heard = h->heartbeat_due = tick;
        return;
    }
    if (!h->connected || key != (h->session ^ h->boot)) return;
    h->heard = tick;
    uint8_t first = (uint8_t)(h->seq - h->flying_count + 1), done = (uint8_t)(bytes[3] - first + 1);
    if ((bytes[1] & FRAME_ACK) && done && done <= h->flying_count) {
        h->flying_count -= done;
        memmove(h->flying, h->flying + done, h->flying_count * sizeof h->flying[0]);
        h->resend_due = tick + 40 * MS;
    }
    if (id == ID_PART_EVENT) {
        struct part_event e;
        part_event_read(payload, &e);
        decide(h, r, wish, tick, e.part);
    }
    if (id == ID_STATS) {
        struct stats s;
        stats_read(payload, &s);
        heard_stats(h, r, wish, &s);
    }
}

void host_hear(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, const uint8_t *bytes,
               uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i]) {
            if (h->rx_count < sizeof h->rx) h->rx[h->rx_count++] = bytes[i];
            continue;
        }
        if (h->rx_count) heard_frame(h, r, wish, tick, h->rx, h->rx_count);
        h->rx_count = 0;
    }
}

static uint32_t speak_agenda(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, uint8_t *out)
{
    uint32_t n = 0, kept = 0, count = h->agenda_count;
    for (uint32_t i = 0; i < count; i++) {
        if (h->agenda[i].at > tick || (n > 2000)) {
            h->agenda[kept++] = h->agenda[i];
            continue;
        }
        struct decision d = {h->agenda[i].part, (uint8_t)h->agenda[i].accept, h->agenda[i].part * 3u};
        uint8_t bytes[DECISION_BYTES];
        decision_write(bytes, &d);
        if (wish->hostile && !draw(r, 20)) n += frame(h, out + n, ID_DECISION, 0, 0, bytes, sizeof bytes);
        else push(h, ID_DECISION, bytes, sizeof bytes);
    }
    h->agenda_count = kept;
    return n;
}

/* Frames that are whole and of this session, and full of nonsense. */
static uint32_t nonsense(const struct host *h, struct random *r, uint8_t *out)
{
    uint8_t bytes[64];
    uint8_t id = (uint8_t)draw(r, 64);
    uint32_t n = draw(r, sizeof bytes);
    if (id == ID_HELLO) n = 3;
    for (uint32_t i = 0; i < n; i++) bytes[i] = (uint8_t)draw(r, 256);
    return frame(h, out, id, (uint8_t)draw(r, 8), (uint8_t)(h->seq + draw(r, 3)), bytes, n);
}

uint32_t host_speak(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, uint8_t *out)
{
    uint32_t n = 0;
    if (h->connected && tick - h->heard >= SILENCE) host_restart(h, r, tick);
    if (!h->connected) {
        if (tick < h->hello_due) return 0;
        uint8_t hello[HELLO_BYTES];
        put_uint(hello, h->session, 4);
        h->hello_due = tick + 100 * MS;
        return frame(h, out, ID_HELLO, 0, 0, hello, sizeof hello);
    }
    uint32_t before = h->flying_count;
    n += speak_agenda(h, r, wish, tick, out);
    if (before > h->flying_count) before = h->flying_count;
    uint32_t from = h->flying_count && tick >= h->resend_due ? 0 : before;
    for (uint32_t i = from; i < h->flying_count; i++) {
        memcpy(out + n, h->flying[i].bytes, h->flying[i].count);
        n += h->flying[i].count;
    }
    if (n) h->resend_due = tick + 40 * MS;
    if (tick >= h->heartbeat_due) {
        uint8_t beat[HEARTBEAT_BYTES];
        put_uint(beat, tick * 1000u, 8);
        h->heartbeat_due = tick + 50 * MS;
        n += frame(h, out + n, ID_HEARTBEAT, 0, 0, beat, sizeof beat);
    }
    if (wish->hostile && !draw(r, 400)) n += nonsense(h, r, out + n);
    return n;
}
