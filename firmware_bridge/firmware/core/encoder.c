#include "encoder.h"

#include <string.h>

void encoder_start(struct core_encoder *e, uint32_t filter, uint32_t tick, uint8_t ab)
{
    memset(e, 0, sizeof *e);
    e->filter = filter;
    e->ab = e->next = ab & 3u;
    e->since = tick;
}

/* Believe the level that held: one input changed is a count, both are a transition missed. */
static void believe(struct core_encoder *e)
{
    static const int8_t step[16] = {0, -1, 1, 2, 1, 0, 2, -1, -1, 2, 0, 1, 2, 1, -1, 0}; /* [before << 2 | after] */
    int8_t way = step[e->ab << 2 | e->next];
    if (way == 2) e->errors++;
    else e->counts += way;
    e->ab = e->next;
}

void encoder_sample(struct core_encoder *e, uint32_t tick, uint8_t ab)
{
    ab &= 3u;
    if (e->next != e->ab && tick - e->since >= e->filter) believe(e);
    if (ab == e->next) return;
    if (e->next != e->ab) e->glitches++; /* RULE encoder-glitch: it did not hold, so it never was */
    e->next = ab;
    e->since = tick;
}
