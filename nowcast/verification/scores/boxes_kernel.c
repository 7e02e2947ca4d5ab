/* Counts of events in square windows, and sums of their products over all places (see boxes.py, whose PyTorch form the
 * tests compare with). An integral image holds at (y, x) the events above and left of it; it has a row and a column more
 * than its frame, and `margin` empty cells around that.
 */
#include <stdint.h>
#include <string.h>

/* integrals: (frames, K, height + 2·margin + 1, width + 2·margin + 1); any: (frames, K), 1 where there is an event, and
 * where it is 0 the integral is left unwritten. mask: 1 = the cell counts. */
void integrate(
    const float *rate, const uint8_t *mask, long frames, long height, long width, long margin, const float *thresholds,
    long K, int32_t *integrals, uint8_t *any)
{
    long rows = height + 2 * margin + 1, columns = width + 2 * margin + 1;
    for (long f = 0; f < frames; f++)
        for (long k = 0; k < K; k++) {
            const float *r = rate + f * height * width;
            const uint8_t *m = mask + f * height * width;
            int32_t *out = integrals + (f * K + k) * rows * columns;
            uint8_t found = 0;
            for (long i = 0; i < height * width; i++)
                found |= (r[i] >= thresholds[k]) & m[i];
            any[f * K + k] = found;
            if (!found)
                continue;
            memset(out, 0, (margin + 1) * columns * sizeof *out);
            for (long y = 0; y < height; y++) {
                int32_t *row = out + (y + margin + 1) * columns, *above = row - columns, sum = 0;
                memset(row, 0, (margin + 1) * sizeof *row);
                for (long x = 0; x < width; x++)
                    row[margin + 1 + x] = sum += (r[y * width + x] >= thresholds[k]) & m[y * width + x];
                for (long x = margin + 1 + width; x < columns; x++)
                    row[x] = sum;
                for (long x = 0; x < columns; x++)
                    row[x] += above[x];
            }
            for (long y = height + margin + 1; y < rows; y++)
                memcpy(out + y * columns, out + (height + margin) * columns, columns * sizeof *out);
        }
}

static inline int32_t box(const int32_t *top, const int32_t *bottom, long x, long side)
{
    return bottom[x + side] - bottom[x] - top[x + side] + top[x];
}

/* sums: (frames, K, windows, 2): of a², and of a·b, over all places of a window; of whole ones in `valid` only, an
 * integral of each frame's cells that count, or NULL. Windows begin `skips` cells from the edge. Sums of whole
 * numbers in double are exact up to 2^53, which floats would not be. */
void multiply(
    const int32_t *a, const int32_t *b, const uint8_t *any_a, const uint8_t *any_b, const int32_t *valid, long frames,
    long K, long rows, long columns, const long *windows, const long *skips, long count, double *sums)
{
    for (long f = 0; f < frames; f++)
        for (long k = 0; k < K; k++)
            for (long n = 0; n < count; n++) {
                long at = f * K + k, side = windows[n], skip = skips[n];
                const int32_t *ia = a + at * rows * columns, *iv = valid ? valid + f * rows * columns : ia;
                const int32_t *ib = any_b[at] ? b + at * rows * columns : ia;
                double squares = 0, products = 0;
                /* A row of 32-bit numbers is twice as fast, where it cannot overflow. */
                int small = side < 1 << 10 && side * side * side * side < INT32_MAX / columns;
                for (long y = skip; any_a[at] && y + side < rows - skip; y++) {
                    const int32_t *ta = ia + y * columns, *tb = ib + y * columns, *tv = iv + y * columns;
                    long end = columns - skip - side;
                    if (small) {
                        int32_t row_squares = 0, row_products = 0, full = side * side;
#pragma omp simd reduction(+ : row_squares, row_products)
                        for (long x = skip; x < end; x++) {
                            int32_t p = box(ta, ta + side * columns, x, side);
                            p = !valid || box(tv, tv + side * columns, x, side) == full ? p : 0;
                            row_squares += p * p;
                            row_products += p * box(tb, tb + side * columns, x, side);
                        }
                        squares += row_squares;
                        products += row_products;
                    } else if (valid) {
#pragma omp simd reduction(+ : squares, products)
                        for (long x = skip; x < end; x++) {
                            double whole = box(tv, tv + side * columns, x, side) == side * side;
                            double p = whole * box(ta, ta + side * columns, x, side);
                            squares += p * p;
                            products += p * box(tb, tb + side * columns, x, side);
                        }
                    } else {
#pragma omp simd reduction(+ : squares, products)
                        for (long x = skip; x < end; x++) {
                            double p = box(ta, ta + side * columns, x, side);
                            squares += p * p;
                            products += p * box(tb, tb + side * columns, x, side);
                        }
                    }
                }
                sums[(at * count + n) * 2] = squares;
                sums[(at * count + n) * 2 + 1] = any_b[at] ? products : 0;
            }
}
