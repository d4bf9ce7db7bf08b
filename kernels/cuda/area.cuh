/* Area-exact averaging of raw pixels into input images: the part that preprocess.cu and tiles.cu share.
 *
 * All sums are whole numbers, so every result is the exact average rounded once, on every device and in any order of
 * threads. Boundaries are counted in units of 1/out of a source point: result i spans [i * points, (i + 1) * points)
 * and source point p spans [p * out, (p + 1) * out).
 *
 * A block streams the source rows under its results once, top to bottom, a few rows in flight; a row that two results
 * share is split between them in registers. Only rows and columns at the edge of a block are read by two blocks.
 */
#pragma once
#include "device.cuh"

struct area {
    int points_rows, points_cols; /* source points under the whole result */
    int out_rows, out_cols;
    int tile_rows, tile_cols; /* results of one block */
};

struct result {
    uint8 *bytes;        /* (rows, cols, 3) or null */
    float *planes;       /* (3, rows, cols) or null: (average - mean) * scale, not rounded */
    float mean[3], scale[3];
};

enum { AREA_THREADS = 128 };

/* Where a region begins in a frame. */
struct frame {
    const uint8 *pixels; /* (0, 0) */
    long long row_bytes;
    int rows, cols;
    int x, y; /* of the region */
};

/* Four bytes of a row, as one or two words where they lie so; bytes at `limit` and beyond are not read. */
__device__ __forceinline__ uint32 four_bytes(const uint8 *from, int limit)
{
    const uint64 place = reinterpret_cast<uint64>(from);
    if (limit >= 4 && (place & 3) == 0) return *reinterpret_cast<const uint32 *>(from);
    if (limit >= 4 && (place & 1) == 0) {
        const unsigned short *const half = reinterpret_cast<const unsigned short *>(from);
        return half[0] | static_cast<uint32>(half[1]) << 16;
    }
    uint32 word = 0;
    for (int i = 0; i < 4 && i < limit; i++) word |= static_cast<uint32>(from[i]) << 8 * i;
    return word;
}

/* Sources give the colours of POINTS neighbouring points, times SCALE. ROWS of `raw` are in flight. One
 * with STAGE_BYTES has the block bring its rows, and those beside them, to shared memory first. */

/* Quads of four samples as one point, the two greens averaged. */
struct bayer_quads {
    enum { CHANNELS = 3, POINTS = 2, SCALE = 2, ROWS = 4, STAGE_BYTES = 0 };
    struct raw { uint32 upper, lower; };
    const uint8 *pixels;
    long long row_bytes;
    int cols;

    __device__ __forceinline__ bayer_quads(const frame &in, int points_cols)
        : pixels(in.pixels + in.y * in.row_bytes + in.x), row_bytes(in.row_bytes), cols(points_cols) {}

    __device__ __forceinline__ void stage(uint8 *, int, int, int, int) const {}

    __device__ __forceinline__ raw load(const uint8 *, int row, int point) const
    {
        const uint8 *const upper = pixels + 2 * row * row_bytes + 2 * point;
        const raw taken = {four_bytes(upper, 2 * (cols - point)), four_bytes(upper + row_bytes, 2 * (cols - point))};
        return taken;
    }

    static __device__ __forceinline__ void values(const raw &taken, uint32 (&value)[POINTS][CHANNELS])
    {
        for (int i = 0; i < POINTS; i++) {
            const uint32 upper = taken.upper >> 16 * i, lower = taken.lower >> 16 * i;
            value[i][0] = 2 * (upper & 255);
            value[i][1] = (upper >> 8 & 255) + (lower & 255);
            value[i][2] = 2 * (lower >> 8 & 255);
        }
    }
};

struct mono {
    enum { CHANNELS = 1, POINTS = 4, SCALE = 1, ROWS = 4, STAGE_BYTES = 0 };
    struct raw { uint32 four; };
    const uint8 *pixels;
    long long row_bytes;
    int cols;

    __device__ __forceinline__ mono(const frame &in, int points_cols)
        : pixels(in.pixels + in.y * in.row_bytes + in.x), row_bytes(in.row_bytes), cols(points_cols) {}

    __device__ __forceinline__ void stage(uint8 *, int, int, int, int) const {}

    __device__ __forceinline__ raw load(const uint8 *, int row, int point) const
    {
        const raw taken = {four_bytes(pixels + row * row_bytes + point, cols - point)};
        return taken;
    }

    static __device__ __forceinline__ void values(const raw &taken, uint32 (&value)[POINTS][CHANNELS])
    {
        for (int i = 0; i < POINTS; i++) value[i][0] = taken.four >> 8 * i & 255;
    }
};

struct rgb {
    enum { CHANNELS = 3, POINTS = 4, SCALE = 1, ROWS = 2, STAGE_BYTES = 0 };
    struct raw { uint32 word[3]; };
    const uint8 *pixels;
    long long row_bytes;
    int cols;

    __device__ __forceinline__ rgb(const frame &in, int points_cols)
        : pixels(in.pixels + in.y * in.row_bytes + 3 * in.x), row_bytes(in.row_bytes), cols(points_cols) {}

    __device__ __forceinline__ void stage(uint8 *, int, int, int, int) const {}

    __device__ __forceinline__ raw load(const uint8 *, int row, int point) const
    {
        const uint8 *const from = pixels + row * row_bytes + 3 * point;
        const int limit = 3 * (cols - point);
        const raw taken = {{four_bytes(from, limit), four_bytes(from + 4, limit - 4), four_bytes(from + 8, limit - 8)}};
        return taken;
    }

    static __device__ __forceinline__ void values(const raw &taken, uint32 (&value)[POINTS][CHANNELS])
    {
        for (int byte = 0; byte < POINTS * CHANNELS; byte++)
            value[byte / 3][byte % 3] = taken.word[byte / 4] >> 8 * (byte % 4) & 255;
    }
};

/* Every pixel a point, its two missing colours interpolated linearly with a correction by the gradient of its own
 * (`debayer` of the reference). Neighbours outside the region are the frame's; the frame's edge is mirrored. */
struct bayer_pixels {
    enum { CHANNELS = 3, POINTS = 1, SCALE = 16, ROWS = 4, HALO = 2 };
    enum { STAGE_ROWS = ROWS + 2 * HALO, PITCH = AREA_THREADS + 2 * HALO, STAGE_BYTES = STAGE_ROWS * PITCH };
    struct raw { uint32 colour[CHANNELS]; };
    const frame in;

    __device__ __forceinline__ bayer_pixels(const frame &whole, int) : in(whole) {}

    static __device__ __forceinline__ int mirrored(int place, int length)
    {
        while (place < 0 || place >= length) place = place < 0 ? -place : 2 * (length - 1) - place;
        return place;
    }

    static __device__ __forceinline__ uint32 clipped(int value)
    {
        return static_cast<uint32>(smaller(larger(value, 0), 255 * SCALE));
    }

    static __device__ __forceinline__ int slot(int row) { return (row + HALO) % STAGE_ROWS * PITCH; }

    /* Bring rows first to end - 1 of the chunk's columns, and HALO on both sides. */
    __device__ __forceinline__ void stage(uint8 *staged, int first, int end, int chunk, int right) const
    {
        const int cols = smaller(AREA_THREADS, right - chunk) + 2 * HALO;
        for (int row = first; row < end; row++) {
            const uint8 *const from = in.pixels + mirrored(in.y + row, in.rows) * in.row_bytes;
            for (int col = threadIdx.x; col < cols; col += AREA_THREADS)
                staged[slot(row) + col] = from[mirrored(in.x + chunk - HALO + col, in.cols)];
        }
    }

    /* staged: at the column of `point` less HALO. */
    __device__ __forceinline__ raw load(const uint8 *staged, int row, int point) const
    {
        const uint8 *const at = staged + HALO, *const own = at + slot(row);
        const uint8 *const above = at + slot(row - 1), *const below = at + slot(row + 1);
        const int centre = own[0], near = above[0] + below[0], far = at[slot(row - 2)] + at[slot(row + 2)];
        const int beside = own[-1] + own[1], beyond = own[-2] + own[2];
        const int corners = above[-1] + above[1] + below[-1] + below[1];
        const int y = in.y + row, x = in.x + point;
        const bool on_red = (y & 1) == 0, on_green = ((x ^ y) & 1) == 1;
        const uint32 whole = static_cast<uint32>(SCALE * centre);
        const uint32 across = clipped(10 * centre + 8 * beside - 2 * corners - 2 * beyond + far);
        const uint32 along = clipped(10 * centre + 8 * near - 2 * corners - 2 * far + beyond);
        const uint32 opposite = clipped(12 * centre + 4 * corners - 3 * (far + beyond));
        const uint32 same = on_green ? across : whole, other = on_green ? along : opposite;
        const uint32 green = on_green ? whole : clipped(8 * centre + 4 * (near + beside) - 2 * (far + beyond));
        const raw taken = {{on_red ? same : other, green, on_red ? other : same}};
        return taken;
    }

    static __device__ __forceinline__ void values(const raw &taken, uint32 (&value)[POINTS][CHANNELS])
    {
        for (int c = 0; c < CHANNELS; c++) value[0][c] = taken.colour[c];
    }
};

/* Nearest whole number to total / whole, halves up: a float guess is at most one off, whole numbers decide. */
__device__ __forceinline__ uint32 rounded(uint64 total, uint64 whole)
{
    uint32 value = static_cast<uint32>(static_cast<float>(total) / static_cast<float>(whole) + 0.5f);
    const uint64 twice = 2 * total + whole;
    if (twice < 2 * whole * value) value--;
    else if (twice >= 2 * whole * (value + 1)) value++;
    return value;
}

/* Add the chunk's share of one row of results to their totals.
 * columns: [CHANNELS][chunk_points], totals: [tile_cols][CHANNELS]. */
template <int CHANNELS>
__device__ __forceinline__ void add_row(const area &shape, const uint32 *columns, uint64 *totals, int first_col,
                                        int cols, int chunk, int chunk_points)
{
    for (int k = threadIdx.x; k < cols * CHANNELS; k += AREA_THREADS) {
        const int channel = k % CHANNELS, from = (first_col + k / CHANNELS) * shape.points_cols;
        const int to = from + shape.points_cols, out = shape.out_cols;
        const int end = smaller((to - 1) / out + 1, chunk + chunk_points);
        uint64 total = 0;
        for (int p = larger(from / out, chunk); p < end; p++) {
            const int weight = smaller(to, (p + 1) * out) - larger(from, p * out);
            total += static_cast<uint64>(columns[channel * chunk_points + p - chunk]) * static_cast<uint32>(weight);
        }
        totals[k] += total;
    }
}

/* An element of a kernel argument without an address of it, which would cost local memory. */
__device__ __forceinline__ float pick(const float (&values)[3], int i)
{
    return i == 0 ? values[0] : i == 1 ? values[1] : values[2];
}

/* Write a block's results, neighbours by neighbouring threads. */
template <class Source>
__device__ __forceinline__ void write(const area &shape, const result &out, const uint64 *totals, int first_row,
                                      int rows, int first_col, int cols)
{
    const uint64 points = static_cast<uint64>(shape.points_rows) * static_cast<uint32>(shape.points_cols);
    const uint64 whole = points * Source::SCALE;
    const long long plane = static_cast<long long>(shape.out_rows) * shape.out_cols;
    for (int k = threadIdx.x; k < rows * cols * 3; k += AREA_THREADS) {
        if (out.bytes) {
            const int channel = k % 3, col = k / 3 % cols, row = k / (3 * cols);
            const int cell = (row * shape.tile_cols + col) * Source::CHANNELS + channel % Source::CHANNELS;
            const long long place = static_cast<long long>(first_row + row) * shape.out_cols + first_col + col;
            out.bytes[3 * place + channel] = static_cast<uint8>(rounded(totals[cell], whole));
        }
        if (out.planes) {
            const int col = k % cols, row = k / cols % rows, channel = k / (cols * rows);
            const int cell = (row * shape.tile_cols + col) * Source::CHANNELS + channel % Source::CHANNELS;
            const long long place = static_cast<long long>(first_row + row) * shape.out_cols + first_col + col;
            const float value = static_cast<float>(totals[cell]) / static_cast<float>(whole);
            out.planes[channel * plane + place] = (value - pick(out.mean, channel)) * pick(out.scale, channel);
        }
    }
}

/* Fill one block's tile of results. Dynamic shared memory: totals, tile_rows * tile_cols * CHANNELS of 8 bytes, then
 * columns, CHANNELS * AREA_THREADS * POINTS of 4 bytes, then STAGE_BYTES. */
template <class Source>
__device__ __forceinline__ void average(const Source &source, const area &shape, const result &out)
{
    enum { CHANNELS = Source::CHANNELS, POINTS = Source::POINTS, CHUNK = AREA_THREADS * POINTS };
    uint64 *const totals = reinterpret_cast<uint64 *>(dynamic_shared);
    uint32 *const columns = reinterpret_cast<uint32 *>(totals + shape.tile_rows * shape.tile_cols * CHANNELS);
    uint8 *const staged = reinterpret_cast<uint8 *>(columns + CHANNELS * CHUNK);

    const int first_col = blockIdx.x * shape.tile_cols, cols = smaller(shape.tile_cols, shape.out_cols - first_col);
    const int first_row = blockIdx.y * shape.tile_rows, rows = smaller(shape.tile_rows, shape.out_rows - first_row);
    const int left = first_col * shape.points_cols / shape.out_cols & ~(POINTS - 1);
    const int right = ((first_col + cols) * shape.points_cols - 1) / shape.out_cols + 1;
    const int top = first_row * shape.points_rows / shape.out_rows;
    const int bottom = ((first_row + rows) * shape.points_rows - 1) / shape.out_rows + 1;

    /* A barrier follows before they are added to. */
    for (int k = threadIdx.x; k < shape.tile_rows * shape.tile_cols * CHANNELS; k += AREA_THREADS) totals[k] = 0;
    for (int chunk = left; chunk < right; chunk += CHUNK) {
        const int point = chunk + static_cast<int>(threadIdx.x) * POINTS;
        uint32 sum[POINTS][CHANNELS] = {};
        int row_out = 0, position = first_row * shape.points_rows, bound = position + shape.points_rows;
        for (int first = top; first < bottom; first += Source::ROWS) {
            if (Source::STAGE_BYTES > 0) {
                __syncthreads();
                const int last = smaller(first + Source::ROWS, bottom) - 1;
                source.stage(staged, first == top ? first - 2 : first + 2, last + 3, chunk, right);
                __syncthreads();
            }
            typename Source::raw raw[Source::ROWS] = {};
#pragma unroll
            for (int i = 0; i < Source::ROWS; i++)
                if (first + i < bottom && point < right)
                    raw[i] = source.load(staged + threadIdx.x, first + i, point);
#pragma unroll
            for (int i = 0; i < Source::ROWS; i++) {
                if (first + i >= bottom) break;
                uint32 value[POINTS][CHANNELS];
                Source::values(raw[i], value);
                const int end = (first + i + 1) * shape.out_rows;
                while (row_out < rows) {
                    const int upto = smaller(end, bound);
                    const uint32 weight = static_cast<uint32>(upto - position);
                    for (int p = 0; p < POINTS; p++)
                        for (int c = 0; c < CHANNELS; c++) sum[p][c] += weight * value[p][c];
                    position = upto;
                    if (upto < bound) break;
                    for (int p = 0; p < POINTS; p++)
                        for (int c = 0; c < CHANNELS; c++) {
                            columns[c * CHUNK + static_cast<int>(threadIdx.x) * POINTS + p] = sum[p][c];
                            sum[p][c] = 0;
                        }
                    __syncthreads();
                    uint64 *const row_totals = totals + row_out * shape.tile_cols * CHANNELS;
                    add_row<CHANNELS>(shape, columns, row_totals, first_col, cols, chunk, CHUNK);
                    __syncthreads();
                    bound += shape.points_rows;
                    row_out++;
                }
            }
        }
    }
    write<Source>(shape, out, totals, first_row, rows, first_col, cols);
}
