/* A serial line that loses, damages, doubles, holds and repeats what is put on it, and says things of its own. */
#include "storm.h"

#include <string.h>

uint32_t draw(struct random *r, uint32_t below)
{
    r->state ^= r->state >> 12; /* xorshift64*, Vigna 2016 */
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return below ? (uint32_t)((r->state * 0x2545F4914F6CDD1Dull) >> 33) % below : 0;
}

static void append(struct pipe *p, const uint8_t *bytes, uint32_t n)
{
    if (n > PIPE_BYTES - p->count) n = PIPE_BYTES - p->count;
    memcpy(p->bytes + p->count, bytes, n);
    p->count += n;
}

static void add_garbage(struct pipe *p, struct random *r)
{
    uint8_t garbage[300];
    uint32_t n = 1 + draw(r, draw(r, 4) ? 20 : sizeof garbage);
    uint32_t some_zero = draw(r, 2);
    for (uint32_t i = 0; i < n; i++) garbage[i] = (uint8_t)(some_zero ? draw(r, 256) : 1 + draw(r, 255));
    append(p, garbage, n);
}

void pipe_put(struct pipe *p, struct random *r, const struct storm_wish *wish, struct storm_log *log, uint64_t tick,
              const uint8_t *bytes, uint32_t n)
{
    uint8_t chunk[PIPE_CHUNK];
    while (n) {
        uint32_t size = n < PIPE_CHUNK ? n : PIPE_CHUNK;
        memcpy(chunk, bytes, size);
        bytes += size;
        n -= size;
        memcpy(p->history[p->history_count % PIPE_HISTORY].bytes, chunk, size);
        p->history[p->history_count++ % PIPE_HISTORY].count = size;
        uint32_t harm = draw(r, 10000) < wish->noise ? 1 + draw(r, 7) : 0;
        if (harm == 1) {
            log->chunks_lost++;
            continue;
        }
        if (harm == 2) {
            log->chunks_damaged++;
            for (uint32_t flips = 1 + draw(r, 3); flips; flips--) chunk[draw(r, size)] ^= (uint8_t)(1u << draw(r, 8));
        }
        if (harm == 3) {
            log->chunks_damaged++;
            size -= draw(r, size);
        }
        if (harm == 4) {
            log->garbage++;
            add_garbage(p, r);
        }
        append(p, chunk, size);
        if (harm == 5) {
            log->chunks_doubled++;
            append(p, chunk, size);
        }
        if (harm == 6) {
            log->chunks_held++;
            p->held_until = tick + 1000u * (1 + draw(r, draw(r, 3) ? 60 : 700));
        }
        if (harm == 7) {
            uint32_t reach = p->history_count < PIPE_HISTORY ? p->history_count : PIPE_HISTORY;
            log->chunks_replayed++;
            for (uint32_t back = 1 + draw(r, reach); back; back--) {
                uint32_t at = (p->history_count - back) % PIPE_HISTORY;
                append(p, p->history[at].bytes, p->history[at].count);
            }
        }
    }
}

uint32_t pipe_get(struct pipe *p, uint64_t tick, uint8_t *bytes)
{
    uint32_t n = tick < p->held_until ? 0 : p->count;
    memcpy(bytes, p->bytes, n);
    p->count -= n;
    return n;
}
