/* Fused preprocessing: raw camera frame -> area-averaged uint8 RGB, rows x cols x 3.
 *
 * Definition: kernels/reference.py. Error bound: 1 grey level. One thread, no allocation, no state.
 *
 * Each output row is one vertical pass (weighted sum of its source rows; float sums of 8-bit pixels with integer
 * weights) and one horizontal pass over running sums in wrapping uint32 arithmetic, so that an output pixel costs two
 * boundary look-ups whatever the shrink factor.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && defined(__gnu_linux__)
#define MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MULTIVERSION
#endif

enum { MONO8 = 0, RGB8 = 1, BAYER_RG8 = 2 };

typedef struct {
    int32_t format;
    int32_t points;          /* source points per row after demosaicking: quads, pixels */
    int32_t out_rows;
    int32_t out_cols;
    int64_t row_bytes;       /* distance of two source rows; may be negative */
    const int32_t *first;    /* [out_rows] first source point row */
    const int32_t *count;    /* [out_rows] number of source point rows */
    const int32_t *offset;   /* [out_rows] start of this row's weights */
    const float *weight;     /* vertical weights, whole numbers */
    const float *row_scale;  /* [out_rows] 1 / (sum of vertical weights * horizontal extent) */
    const int32_t *edge;     /* [out_cols + 1] whole part of each boundary */
    const float *fraction;   /* [out_cols + 1] fractional part of each boundary */
    float *sums;             /* scratch [bytes per row] */
    int32_t *even;           /* scratch [bytes per row + 1] */
    int32_t *odd;            /* scratch [bytes per row + 1], Bayer only */
    uint32_t *running;       /* scratch [(points + 2) * lanes]; lanes: 4 for colour, 1 for Mono8 */
} preprocess_plan;

/* Colour sums travel as four lanes: red, green, blue and one unused, or for Bayer red, green, green, blue. */
typedef uint32_t lanes_u __attribute__((vector_size(16)));
typedef int32_t lanes_i __attribute__((vector_size(16)));
typedef int64_t pair_i __attribute__((vector_size(16)));
typedef float lanes_f __attribute__((vector_size(16)));

/* whole[i] = sum over k of weight[k] * row k; rows are `step` bytes apart. */
MULTIVERSION
static void sum_rows(float *restrict sums, int32_t *restrict whole, const uint8_t *restrict source, int64_t step,
                     int32_t rows, const float *restrict weight, int32_t length)
{
    int32_t k = 0;
    if (rows >= 4) {
        const uint8_t *a = source, *b = a + step, *c = b + step, *d = c + step;
        const float wa = weight[0], wb = weight[1], wc = weight[2], wd = weight[3];
        for (int32_t i = 0; i < length; i++) sums[i] = wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i]);
        k = 4;
    } else {
        for (int32_t i = 0; i < length; i++) sums[i] = 0.0f;
    }
    for (; k + 4 <= rows; k += 4) {
        const uint8_t *a = source + k * step, *b = a + step, *c = b + step, *d = c + step;
        const float wa = weight[k], wb = weight[k + 1], wc = weight[k + 2], wd = weight[k + 3];
        for (int32_t i = 0; i < length; i++) sums[i] += wa * a[i] + wb * b[i] + (wc * c[i] + wd * d[i]);
    }
    for (; k + 2 < rows; k += 2) {
        const uint8_t *a = source + k * step, *b = a + step;
        const float wa = weight[k], wb = weight[k + 1];
        for (int32_t i = 0; i < length; i++) sums[i] += wa * a[i] + wb * b[i];
    }
    if (k + 2 == rows) {
        const uint8_t *a = source + k * step, *b = a + step;
        const float wa = weight[k], wb = weight[k + 1];
        for (int32_t i = 0; i < length; i++) whole[i] = (int32_t)(sums[i] + wa * a[i] + wb * b[i]);
    } else if (k + 1 == rows) {
        const uint8_t *a = source + k * step;
        const float wa = weight[k];
        for (int32_t i = 0; i < length; i++) whole[i] = (int32_t)(sums[i] + wa * a[i]);
    } else {
        for (int32_t i = 0; i < length; i++) whole[i] = (int32_t)sums[i];
    }
}

static inline lanes_u load(const uint32_t *from)
{
    lanes_u value;
    memcpy(&value, from, sizeof value);
    return value;
}

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
    memcpy(running + 4 * (quads + 1), &total, sizeof total);
}

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
    memcpy(running + 4 * (points + 1), &total, sizeof total);
}

static void run_mono(uint32_t *restrict running, const int32_t *restrict sums, int32_t points)
{
    uint32_t total = 0;
    for (int32_t i = 0; i < points; i++) {
        running[i] = total;
        total += (uint32_t)sums[i];
    }
    running[points] = running[points + 1] = total;
}

/* Integral between two boundaries, each a whole and a fractional place. */
static inline lanes_f between(const uint32_t *running, int32_t a, float fa, int32_t b, float fb)
{
    const lanes_u at_a = load(running + 4 * (size_t)a), next_a = load(running + 4 * (size_t)a + 4);
    const lanes_u at_b = load(running + 4 * (size_t)b), next_b = load(running + 4 * (size_t)b + 4);
    return __builtin_convertvector((lanes_i)(at_b - at_a), lanes_f)
        + fb * __builtin_convertvector((lanes_i)(next_b - at_b), lanes_f)
        - fa * __builtin_convertvector((lanes_i)(next_a - at_a), lanes_f);
}

static inline uint8_t grey(int32_t rounded)
{
    return (uint8_t)(rounded < 0 ? 0 : rounded > 255 ? 255 : rounded);
}

static void write_colour(const preprocess_plan *plan, float scale, uint8_t *restrict out)
{
    for (int32_t x = 0; x < plan->out_cols; x++, out += 3) {
        const lanes_f sum = between(plan->running, plan->edge[x], plan->fraction[x], plan->edge[x + 1],
                                    plan->fraction[x + 1]);
        const lanes_i value = __builtin_convertvector(sum * scale + 0.5f, lanes_i);
        out[0] = grey(value[0]);
        out[1] = grey(value[1]);
        out[2] = grey(value[2]);
    }
}

static void write_bayer(const preprocess_plan *plan, float scale, uint8_t *restrict out)
{
    for (int32_t x = 0; x < plan->out_cols; x++, out += 3) {
        const lanes_f sum = scale * between(plan->running, plan->edge[x], plan->fraction[x], plan->edge[x + 1],
                                            plan->fraction[x + 1]);
        out[0] = grey((int32_t)(sum[0] + 0.5f));
        out[1] = grey((int32_t)(0.5f * (sum[1] + sum[2]) + 0.5f));
        out[2] = grey((int32_t)(sum[3] + 0.5f));
    }
}

static void write_mono(const preprocess_plan *plan, float scale, uint8_t *restrict out)
{
    const uint32_t *running = plan->running;
    for (int32_t x = 0; x < plan->out_cols; x++) {
        const int32_t a = plan->edge[x], b = plan->edge[x + 1];
        const float sum = (float)(int32_t)(running[b] - running[a])
            + plan->fraction[x + 1] * (float)(int32_t)(running[b + 1] - running[b])
            - plan->fraction[x] * (float)(int32_t)(running[a + 1] - running[a]);
        const uint8_t value = grey((int32_t)(sum * scale + 0.5f));
        out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = value;
    }
}

/* frame: first byte of the region of interest; out: out_rows * out_cols * 3 bytes. */
void firstshift_preprocess(const preprocess_plan *plan, const uint8_t *frame, uint8_t *out)
{
    const int64_t step = plan->row_bytes;
    for (int32_t y = 0; y < plan->out_rows; y++, out += (size_t)plan->out_cols * 3) {
        const float *weight = plan->weight + plan->offset[y];
        const float scale = plan->row_scale[y];
        const int32_t rows = plan->count[y];
        const int64_t first = plan->first[y];
        if (plan->format == BAYER_RG8) {
            const uint8_t *red_row = frame + 2 * first * step;
            sum_rows(plan->sums, plan->even, red_row, 2 * step, rows, weight, 2 * plan->points);
            sum_rows(plan->sums, plan->odd, red_row + step, 2 * step, rows, weight, 2 * plan->points);
            run_bayer(plan->running, plan->even, plan->odd, plan->points);
            write_bayer(plan, scale, out);
        } else if (plan->format == RGB8) {
            sum_rows(plan->sums, plan->even, frame + first * step, step, rows, weight, 3 * plan->points);
            run_colour(plan->running, plan->even, plan->points);
            write_colour(plan, scale, out);
        } else {
            sum_rows(plan->sums, plan->even, frame + first * step, step, rows, weight, plan->points);
            run_mono(plan->running, plan->even, plan->points);
            write_mono(plan, scale, out);
        }
    }
}

/* Layout check for the Python side. */
int32_t firstshift_preprocess_plan_bytes(void) { return (int32_t)sizeof(preprocess_plan); }
