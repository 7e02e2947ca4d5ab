/* Tiles of channels-last images to and from Winograd's points, where a convolution is a matrix product for each of 6·6
 * points (winograd.py makes the products and says where the polynomials come from).
 *
 * A tile has `side` cells a side: 6 of inputs, overlapping; 4 or 2 of outputs, for kernels of 3 or 5. Points are laid out
 * (36, tiles, channels), always float; images are float, or bfloat16 with -DBFLOAT16. Channels are a multiple of LANES.
 */
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define POINTS 6
#define LANES 16
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));

#ifdef BFLOAT16
typedef uint16_t real;
INLINE lanes get(const real *at)
{
    uint32_t bits[LANES];
    lanes x;
    for (int k = 0; k < LANES; k++)
        bits[k] = (uint32_t)at[k] << 16;
    memcpy(&x, bits, sizeof x);
    return x;
}
INLINE void put(real *at, lanes x) /* round to nearest, ties to even; NaN stays NaN */
{
    uint32_t bits[LANES];
    memcpy(bits, &x, sizeof x);
    for (int k = 0; k < LANES; k++)
        at[k] = (bits[k] & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (real)((bits[k] + 0x7fff + ((bits[k] >> 16) & 1)) >> 16);
}
#else
typedef float real;
INLINE lanes get(const real *at) { return *(const lanes *)at; }
INLINE void put(real *at, lanes x) { *(lanes *)at = x; }
#endif

/* The points are 0, A, -A, B, -B and infinity; A·B = 1 makes the first and the last polynomial short. */
#define A (2.f / 3)
#define B (3.f / 2)

/* Of inputs d[0..5] along one axis; s and t are strides. */
INLINE void input_points(const lanes *d, int s, lanes *p, int t)
{
    lanes even_a = d[4 * s] - B * B * d[2 * s], odd_a = d[3 * s] - B * B * d[s];
    lanes even_b = d[4 * s] - A * A * d[2 * s], odd_b = d[3 * s] - A * A * d[s];
    p[0] = d[0] - (A * A + B * B) * d[2 * s] + d[4 * s];
    p[t] = even_a + A * odd_a;
    p[2 * t] = even_a - A * odd_a;
    p[3 * t] = even_b + B * odd_b;
    p[4 * t] = even_b - B * odd_b;
    p[5 * t] = d[s] - (A * A + B * B) * d[3 * s] + d[5 * s];
}

/* Of gradients of 4 or 2 outputs: the transpose of `outputs`. */
INLINE void gradient_points(int side, const lanes *y, int s, lanes *p, int t)
{
    lanes even_a = y[0], odd_a = A * y[s], even_b = y[0], odd_b = B * y[s];
    if (side == 4) {
        even_a += A * A * y[2 * s];
        even_b += B * B * y[2 * s];
        odd_a += A * A * A * y[3 * s];
        odd_b += B * B * B * y[3 * s];
    }
    p[0] = y[0];
    p[t] = even_a + odd_a;
    p[2 * t] = even_a - odd_a;
    p[3 * t] = even_b + odd_b;
    p[4 * t] = even_b - odd_b;
    p[5 * t] = y[(side - 1) * s];
}

INLINE void outputs(int side, const lanes *p, int s, lanes *y, int t)
{
    lanes sum_a = p[s] + p[2 * s], difference_a = p[s] - p[2 * s];
    lanes sum_b = p[3 * s] + p[4 * s], difference_b = p[3 * s] - p[4 * s];
    y[0] = p[0] + sum_a + sum_b;
    y[t] = A * difference_a + B * difference_b;
    if (side == 4) {
        y[2 * t] = A * A * sum_a + B * B * sum_b;
        y[3 * t] = A * A * A * difference_a + B * B * B * difference_b;
    }
    y[(side - 1) * t] += p[5 * s];
}

INLINE void points_of(int side, const lanes *p, int s, lanes *y, int t)
{
    if (side == POINTS)
        input_points(p, s, y, t);
    else
        gradient_points(side, p, s, y, t);
}

INLINE void gather_tiles(
    int side, const real *images, long channels, long height, long width, long step, long margin, long first,
    long count, int threads, float *points)
{
    long down = (height + step - 1) / step, across = (width + step - 1) / step;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long t = 0; t < count; t++) {
        long tile = first + t, image = tile / (down * across), place = tile % (down * across);
        long y = place / across * step - margin, x = place % across * step - margin;
        int whole = y >= 0 && x >= 0 && y + side <= height && x + side <= width;
        for (long c = 0; c < channels; c += LANES) {
            const real *corner = images + ((image * height + y) * width + x) * channels + c;
            lanes in[POINTS * POINTS], half[POINTS * POINTS], out[POINTS];
#pragma GCC unroll 6
            for (int a = 0; a < side; a++)
#pragma GCC unroll 6
                for (int b = 0; b < side; b++) {
                    int inside = whole || (y + a >= 0 && y + a < height && x + b >= 0 && x + b < width);
                    in[a * side + b] = inside ? get(corner + (a * width + b) * channels) : (lanes){0};
                }
#pragma GCC unroll 6
            for (int b = 0; b < side; b++)
                points_of(side, in + b, side, half + b, side);
#pragma GCC unroll 6
            for (int a = 0; a < POINTS; a++) {
                points_of(side, half + a * side, 1, out, 1);
#pragma GCC unroll 6
                for (int b = 0; b < POINTS; b++)
                    *(lanes *)(points + ((a * POINTS + b) * count + t) * channels + c) = out[b];
            }
        }
    }
}

INLINE void scatter_tiles(
    int side, const float *points, const float *bias, long channels, long height, long width, long first, long count,
    int threads, real *images)
{
    long down = (height + side - 1) / side, across = (width + side - 1) / side;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long t = 0; t < count; t++) {
        long tile = first + t, image = tile / (down * across), place = tile % (down * across);
        long y = place / across * side, x = place % across * side;
        for (long c = 0; c < channels; c += LANES) {
            real *corner = images + ((image * height + y) * width + x) * channels + c;
            lanes in[POINTS * POINTS], half[POINTS * POINTS], out[POINTS];
            lanes added = bias ? *(const lanes *)(bias + c) : (lanes){0};
#pragma GCC unroll 36
            for (int p = 0; p < POINTS * POINTS; p++)
                in[p] = *(const lanes *)(points + (p * count + t) * channels + c);
#pragma GCC unroll 6
            for (int b = 0; b < POINTS; b++)
                outputs(side, in + b, POINTS, half + b, POINTS);
#pragma GCC unroll 4
            for (int a = 0; a < side; a++) {
                outputs(side, half + a * POINTS, 1, out, 1);
                for (int b = 0; b < side && y + a < height && x + b < width; b++)
                    put(corner + (a * width + b) * channels, out[b] + added);
            }
        }
    }
}

/* Points (36, count, channels) of the tiles from `first` on; zeros lie around the images (N, height, width, channels). */
void gather(
    int side, const real *images, long channels, long height, long width, long step, long margin, long first,
    long count, int threads, float *points)
{
    if (side == POINTS)
        gather_tiles(POINTS, images, channels, height, width, step, margin, first, count, threads, points);
    else if (side == 4)
        gather_tiles(4, images, channels, height, width, step, margin, first, count, threads, points);
    else
        gather_tiles(2, images, channels, height, width, step, margin, first, count, threads, points);
}

/* The cells of those tiles that lie in the images; bias may be NULL. */
void scatter(
    int side, const float *points, const float *bias, long channels, long height, long width, long first, long count,
    int threads, real *images)
{
    if (side == 4)
        scatter_tiles(4, points, bias, channels, height, width, first, count, threads, images);
    else
        scatter_tiles(2, points, bias, channels, height, width, first, count, threads, images);
}
