/* Software quadrature decoder with a glitch filter, for a board whose timer has none. Not needed beside a timer. */
#ifndef ENCODER_H
#define ENCODER_H
#include "core.h"

struct core_encoder {
    uint32_t filter; /* a level must hold this long, in the ticks that the board passes */
    uint8_t ab;      /* bit 1 = A, bit 0 = B, as believed */
    uint8_t next;    /* as read last */
    uint32_t since;  /* tick of the last reading that changed; may wrap */
    int64_t counts;  /* four per period, forward = A leads B */
    uint32_t glitches; /* levels that did not hold */
    uint32_t errors;   /* both inputs changed at once: a transition was missed; for core_inputs.encoder_errors */
};

/* Start at the level that the inputs have now. */
CORE_API void encoder_start(struct core_encoder *e, uint32_t filter, uint32_t tick, uint8_t ab);
/* Take the inputs' level: at each change of one, and again before `counts` is read. */
CORE_API void encoder_sample(struct core_encoder *e, uint32_t tick, uint8_t ab);
#endif
