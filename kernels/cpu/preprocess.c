/* Fused preprocessing: raw camera frame -> area-averaged uint8 RGB, rows x cols x 3.
 *
 * Definition: kernels/reference/image.py. Error bound: 1 grey level, none at native resolution; 1/4 before rounding.
 * One thread, no allocation, no state.
 *
 * Each output row is one vertical pass (sum of its source rows with whole-number weights) and one horizontal pass over
 * running sums in wrapping uint32 arithmetic, so that an output pixel costs one boundary look-up whatever the shrink.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "debayer.h"
#include "multiversion.h"
#include "rows.h"

enum { MONO8 = 0, RGB8 = 1, BAYER_QUADS = 2, BAYER_PIXELS = 3 };

typedef struct {
    int32_t format;
    int32_t points;          /* source points per row after demosaicking: quads, pixels */
    int32_t out_rows;
    int32_t out_cols;
    int32_t rows, cols;      /* of the frame */
    int32_t native;          /* 1: a result is one point, and no step is needed */
    int32_t normalised;      /* 1: float32 planes, (grey level - mean) * gain; 0: uint8 pixels */
    float mean[3];
    float gain[3];
    int64_t row_bytes;       /* distance of two source rows; may be negative */
    const int32_t *first;    /* [out_rows] first source point row */
    const int32_t *count;    /* [out_rows] number of source point rows */
    const int32_t *offset;   /* [out_rows] start of this row's weights */
    const float *weight;     /* vertical weights, whole numbers */
    const float *row_scale;  /* [out_rows] 1 / (sum of vertical weights * horizontal extent * sample unit) */
    const int32_t *edge;     /* [out_cols + 1] whole part of each boundary */
    const float *fraction;   /* [out_cols + 1] fractional part of each boundary */
    int32_t bits;            /* a row that is covered whole weighs 2^bits */
    float *sums;             /* scratch [samples per row], full-resolution Bayer only */
    uint16_t *narrow;        /* scratch [samples per row], else */
    int32_t *even;           /* scratch [samples per row + 1] */
    int32_t *odd;            /* scratch [samples per row + 1], quads only */
    uint32_t *running;       /* scratch [(points + 2) * lanes]; lanes: 4 for colour, 1 for Mono8; from 0 */
    float *row;              /* scratch [out_cols][3], uint8 results only */
    debayer_memory debayer;  /* full-resolution Bayer only */
    int16_t *colours;        /* scratch [points][3], full-resolution Bayer only */
} preprocess_plan;

/* Colour sums travel as four lanes: red, green, blue and one unused, or for Bayer red, green, green, blue. */
typedef uint32_t lanes_u __attribute__((vector_size(16)));
typedef int32_t lanes_i __attribute__((vector_size(16)));
typedef int64_t pair_i __attribute__((vector_size(16)));
typedef float lanes_f __attribute__((vector_size(16)));

static inline lanes_u load(const uint32_t *from)
{
    lanes_u value;
    memcpy(&value, from, sizeof value);
    return value;
}

MULTIVERSION
static void run_bayer(uint32_t *restrict running, const int32_t *restrict even, const int32_t *restrict odd,
                      int32_t quads)
{
    lanes_u total = {0, 0, 0, 0};
    for (int32_t q = 0; q < quads; q++) {
        int64_t red_green, green_blue; /* joined in a register: in memory it would stall on store forwarding */
        memcpy(&red_green, even + 2 * q, sizeof red_green);
        memcpy(&green_blue, odd + 2 * q, sizeof green_blue);
        const pair_i sample = {red_green, green_blue};
        memcpy(running + 4 * q, &total, sizeof total);
        total += (lanes_u)sample;
    }
    memcpy(running + 4 * quads, &total, sizeof total);
}

MULTIVERSION
static void run_colour(uint32_t *restrict running, const int32_t *restrict sums, int32_t points)
{
    lanes_u total = {0, 0, 0, 0};
    for (int32_t i = 0; i < points; i++) {
        lanes_u sample;
        memcpy(&sample, sums + 3 * i, sizeof sample); /* the fourth lane is never read again */
        memcpy(running + 4 * i, &total, sizeof total);
        total += sample;
    }
    memcpy(running + 4 * points, &total, sizeof total);
}

MULTIVERSION
static void run_mono(uint32_t *restrict running, const int32_t *restrict sums, int32_t points)
{
    uint32_t total = 0;
    for (int32_t i = 0; i < points; i++) {
        running[i] = total;
        total += (uint32_t)sums[i];
    }
    running[points] = total;
}

/* A boundary between two results: the running sum before it, and the part of the next point that lies before it. Behind
 * the last boundary there is no next point: what is read there weighs nothing. */
typedef struct {
    lanes_u sum;
    lanes_f part;
} boundary;

static inline boundary at(const preprocess_plan *plan, int32_t x)
{
    const uint32_t *running = plan->running + 4 * (size_t)plan->edge[x];
    const lanes_u sum = load(running), next = load(running + 4);
    return (boundary){sum, plan->fraction[x] * __builtin_convertvector((lanes_i)(next - sum), lanes_f)};
}

static inline lanes_f between(const boundary *from, const boundary *to)
{
    return __builtin_convertvector((lanes_i)(to->sum - from->sum), lanes_f) + to->part - from->part;
}

/* Where one row of results goes: its pixels, or its place in each plane. */
typedef struct {
    uint8_t *pixels;
    float *planes[3];
} target;

static target place_of(const preprocess_plan *plan, void *out, int32_t row)
{
    const size_t plane = (size_t)plan->out_rows * (size_t)plan->out_cols;
    const size_t place = (size_t)row * (size_t)plan->out_cols;
    target to = {0};
    if (plan->normalised)
        for (int32_t c = 0; c < 3; c++) to.planes[c] = (float *)out + (size_t)c * plane + place;
    else
        to.pixels = (uint8_t *)out + 3 * place;
    return to;
}

static inline void put(const preprocess_plan *plan, const target *to, int32_t x, float red, float green, float blue)
{
    if (plan->normalised) {
        to->planes[0][x] = (red - plan->mean[0]) * plan->gain[0];
        to->planes[1][x] = (green - plan->mean[1]) * plan->gain[1];
        to->planes[2][x] = (blue - plan->mean[2]) * plan->gain[2];
    } else {
        plan->row[3 * x] = red;
        plan->row[3 * x + 1] = green;
        plan->row[3 * x + 2] = blue;
    }
}

MULTIVERSION
static void round_row(const float *restrict row, int32_t length, uint8_t *restrict out)
{
    for (int32_t i = 0; i < length; i++) out[i] = (uint8_t)(int32_t)(row[i] + 0.5f); /* within 0.3 of 0 to 255 */
}

MULTIVERSION
static void write_colour(const preprocess_plan *plan, float scale, const target *to)
{
    boundary from = at(plan, 0);
    for (int32_t x = 0; x < plan->out_cols; x++) {
        const boundary end = at(plan, x + 1);
        const lanes_f mean = scale * between(&from, &end);
        put(plan, to, x, mean[0], mean[1], mean[2]);
        from = end;
    }
}

MULTIVERSION
static void write_quads(const preprocess_plan *plan, float scale, const target *to)
{
    boundary from = at(plan, 0);
    for (int32_t x = 0; x < plan->out_cols; x++) {
        const boundary end = at(plan, x + 1);
        const lanes_f mean = scale * between(&from, &end);
        put(plan, to, x, mean[0], 0.5f * (mean[1] + mean[2]), mean[3]);
        from = end;
    }
}

MULTIVERSION
static void write_mono(const preprocess_plan *plan, float scale, const target *to)
{
    const uint32_t *running = plan->running;
    for (int32_t x = 0; x < plan->out_cols; x++) {
        const int32_t a = plan->edge[x], b = plan->edge[x + 1];
        const float sum = (float)(int32_t)(running[b] - running[a])
            + plan->fraction[x + 1] * (float)(int32_t)(running[b + 1] - running[b])
            - plan->fraction[x] * (float)(int32_t)(running[a + 1] - running[a]);
        put(plan, to, x, sum * scale, sum * scale, sum * scale);
    }
}

MULTIVERSION
static void weave(const int16_t *restrict planes, int32_t width, int16_t *restrict colours)
{
    const int16_t *red = planes, *green = red + width, *blue = green + width;
    for (int32_t x = 0; x < width; x++) {
        colours[3 * x] = red[x];
        colours[3 * x + 1] = green[x];
        colours[3 * x + 2] = blue[x];
    }
}

/* Sum full-resolution rows likewise. Neighbouring results share a row at most, so the last one is kept. */
MULTIVERSION
static void add_row(float *restrict sums, const int16_t *restrict row, float weight, int32_t begin, int32_t length)
{
    if (begin)
        for (int32_t i = 0; i < length; i++) sums[i] = weight * row[i];
    else
        for (int32_t i = 0; i < length; i++) sums[i] += weight * row[i];
}

MULTIVERSION
static void make_whole(int32_t *restrict whole, const float *restrict sums, int32_t length)
{
    for (int32_t i = 0; i < length; i++) whole[i] = (int32_t)sums[i];
}

static void sum_debayered(const preprocess_plan *plan, const mosaic *frame, int32_t x, int32_t y, int32_t row,
                          int32_t *held)
{
    const float *weight = plan->weight + plan->offset[row];
    for (int32_t k = 0; k < plan->count[row]; k++) {
        const int32_t source = y + plan->first[row] + k;
        if (*held != source) {
            firstshift_debayer_row(frame, x, source, plan->points, &plan->debayer);
            weave(plan->debayer.planes, plan->points, plan->colours);
            *held = source;
        }
        add_row(plan->sums, plan->colours, weight[k], k == 0, 3 * plan->points);
    }
    make_whole(plan->even, plan->sums, 3 * plan->points);
}

MULTIVERSION
static void weave_rounded(const int16_t *restrict planes, int32_t width, uint8_t *restrict out)
{
    const int16_t *red = planes, *green = red + width, *blue = green + width;
    for (int32_t x = 0; x < width; x++) {
        out[3 * x] = (uint8_t)((red[x] + DEBAYER_ONE / 2) / DEBAYER_ONE);
        out[3 * x + 1] = (uint8_t)((green[x] + DEBAYER_ONE / 2) / DEBAYER_ONE);
        out[3 * x + 2] = (uint8_t)((blue[x] + DEBAYER_ONE / 2) / DEBAYER_ONE);
    }
}

MULTIVERSION
static void repeat_row(const uint8_t *restrict row, int32_t length, uint8_t *restrict out)
{
    for (int32_t i = 0; i < length; i++) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = row[i];
}

/* One pixel of the region is one result: no sums. */
static void copy_region(const preprocess_plan *plan, const mosaic *frame, int32_t x, int32_t y, uint8_t *out)
{
    const int32_t pixel = plan->format == RGB8 ? 3 : 1;
    for (int32_t i = 0; i < plan->out_rows; i++, out += (size_t)plan->out_cols * 3) {
        const uint8_t *row = frame->first + (y + i) * frame->row_bytes + (int64_t)x * pixel;
        if (plan->format == RGB8) {
            memcpy(out, row, (size_t)plan->out_cols * 3);
        } else if (plan->format == MONO8) {
            repeat_row(row, plan->out_cols, out);
        } else {
            firstshift_debayer_row(frame, x, y + i, plan->points, &plan->debayer);
            weave_rounded(plan->debayer.planes, plan->points, out);
        }
    }
}

static void sum_bytes(const preprocess_plan *plan, int32_t row, const uint8_t *source, int64_t step, int32_t length,
                      int32_t *whole)
{
    firstshift_sum_rows(plan->narrow, whole, source, step, plan->count[row], plan->weight + plan->offset[row],
                        plan->bits, length);
}

static void average_region(const preprocess_plan *plan, const mosaic *frame, int32_t x, int32_t y, void *out)
{
    const int64_t step = frame->row_bytes;
    const uint8_t *region = frame->first + y * step + (int64_t)x * (plan->format == RGB8 ? 3 : 1);
    int32_t held = -1;
    for (int32_t i = 0; i < plan->out_rows; i++) {
        const float scale = plan->row_scale[i];
        const int64_t first = plan->first[i];
        const target to = place_of(plan, out, i);
        if (plan->format == BAYER_QUADS) {
            const uint8_t *red_row = region + 2 * first * step;
            sum_bytes(plan, i, red_row, 2 * step, 2 * plan->points, plan->even);
            sum_bytes(plan, i, red_row + step, 2 * step, 2 * plan->points, plan->odd);
            run_bayer(plan->running, plan->even, plan->odd, plan->points);
            write_quads(plan, scale, &to);
        } else if (plan->format == MONO8) {
            sum_bytes(plan, i, region + first * step, step, plan->points, plan->even);
            run_mono(plan->running, plan->even, plan->points);
            write_mono(plan, scale, &to);
        } else {
            if (plan->format == RGB8)
                sum_bytes(plan, i, region + first * step, step, 3 * plan->points, plan->even);
            else
                sum_debayered(plan, frame, x, y, i, &held);
            run_colour(plan->running, plan->even, plan->points);
            write_colour(plan, scale, &to);
        }
        if (!plan->normalised) round_row(plan->row, 3 * plan->out_cols, to.pixels);
    }
}

/* Turn regions of a frame into one batch. frame: its pixel (0, 0); places: [count][2], column and row of each region's
 * first pixel; out: [count][out_rows][out_cols][3] uint8, or [count][3][out_rows][out_cols] float32 when normalised. */
void firstshift_preprocess(const preprocess_plan *plan, const uint8_t *frame, const int32_t *places, int32_t count,
                           void *out)
{
    const mosaic source = {frame, plan->row_bytes, plan->rows, plan->cols};
    const size_t bytes = (size_t)plan->out_rows * (size_t)plan->out_cols * (plan->normalised ? 12 : 3);
    for (int32_t i = 0; i < count; i++) {
        void *to = (uint8_t *)out + (size_t)i * bytes;
        if (plan->native)
            copy_region(plan, &source, places[2 * i], places[2 * i + 1], to);
        else
            average_region(plan, &source, places[2 * i], places[2 * i + 1], to);
    }
}

/* Layout check for the Python side. */
int32_t firstshift_preprocess_plan_bytes(void) { return (int32_t)sizeof(preprocess_plan); }
