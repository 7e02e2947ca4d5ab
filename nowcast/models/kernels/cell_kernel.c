/* One step of the peephole LSTM equations in a single pass over memory, forward and backward (see cell_steps.py,
 * whose PyTorch functions say the same in the words of the paper and are what the tests compare with).
 *
 * Arrays are channels-last: one row of C or 4·C numbers for each pixel of each sequence. A stride of 0 repeats one
 * row, which is how an absent array is passed: as a row of zeros. REAL is float, or bfloat16 with -DBFLOAT16; cells
 * and sums are always float or wider.
 */
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static inline float from_bits(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t to_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

#ifdef BFLOAT16
typedef uint16_t real;
static inline float get(const real *at) { return from_bits((uint32_t)*at << 16); }
static inline void put(real *at, float x) /* round to nearest, ties to even */
{
    uint32_t bits = to_bits(x);
    *at = (real)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#else
typedef float real;
static inline float get(const real *at) { return *at; }
static inline void put(real *at, float x) { *at = x; }
#endif

/* e^x with relative error below 3e-7, without branches; |x| is cut at 40, where sigmoid and tanh are flat. The last
 * step multiplies, so that NaN stays NaN. */
static inline float exponential(float x)
{
    x = x > 40.f ? 40.f : x;
    x = x < -40.f ? -40.f : x;
    float t = x * 1.44269504f;
    float shifted = t + 12582912.f; /* 1.5 · 2^23: rounds to an integer, kept in the low bits */
    float r = t - (shifted - 12582912.f);
    float p = 1.54035304e-4f; /* 2^r for |r| <= 1/2: ln(2)^n / n! */
    p = p * r + 1.33335581e-3f;
    p = p * r + 9.61812911e-3f;
    p = p * r + 5.55041087e-2f;
    p = p * r + 2.40226507e-1f;
    p = p * r + 6.93147181e-1f;
    p = p * r + 1.f;
    return p * from_bits((to_bits(shifted) + 127u) << 23);
}

static void share_of(long pixels, long *first, long *last)
{
#ifdef _OPENMP
    long index = omp_get_thread_num(), count = omp_get_num_threads();
#else
    long index = 0, count = 1;
#endif
    *first = pixels * index / count;
    *last = pixels * (index + 1) / count;
}

static inline __attribute__((always_inline)) void forward_row(
    long C, int current, int keep, const real *a, const real *b, const float *cell, const float *w, long place,
    real *gates, float *new_cell, real *hidden)
{
    const float *wi = w, *wf = w + place, *wo = w + 2 * place;
#pragma omp simd
    for (long k = 0; k < C; k++) {
        float gi = get(a + k) + get(b + k), gf = get(a + C + k) + get(b + C + k);
        float gz = get(a + 2 * C + k) + get(b + 2 * C + k), go = get(a + 3 * C + k) + get(b + 3 * C + k);
        float c = cell[k];
        float i = exponential(-(gi + wi[k] * c)), f = exponential(-(gf + wf[k] * c)), z = exponential(-2 * gz);
        float n = c / (1 + f) + (1 - z) / ((1 + i) * (1 + z));
        float o = exponential(-(go + wo[k] * (current ? n : c))), t = exponential(-2 * n);
        new_cell[k] = n;
        put(hidden + k, (1 - t) / ((1 + o) * (1 + t)));
        if (keep) {
            put(gates + k, gi);
            put(gates + C + k, gf);
            put(gates + 2 * C + k, gz);
            put(gates + 3 * C + k, go);
        }
    }
}

/* peephole: (3, places, C), places = 1 or area; gates may be from_input, or NULL when they are not kept. */
void forward_step(
    long pixels, long C, long area, int threads, int current, const real *from_input, long input_stride,
    const real *from_state, long state_stride, const float *cell, long cell_stride, const float *peephole, long places,
    real *gates, float *new_cell, real *hidden)
{
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        long first, last;
        share_of(pixels, &first, &last);
        for (long q = first; q < last; q++) {
            const real *a = from_input + q * input_stride, *b = from_state + q * state_stride;
            const float *c = cell + q * cell_stride, *w = peephole + (places > 1 ? q % area * C : 0);
            if (gates)
                forward_row(C, current, 1, a, b, c, w, places * C, gates + q * 4 * C, new_cell + q * C, hidden + q * C);
            else
                forward_row(C, current, 0, a, b, c, w, places * C, 0, new_cell + q * C, hidden + q * C);
        }
    }
}

static inline __attribute__((always_inline)) void backward_row(
    long C, int current, const real *a, const real *b, const float *cell, const float *new_cell, const float *w,
    long place, const real *dh1, const real *dh2, const float *dc, real *dgates, float *dcell, float *sums)
{
    const float *wi = w, *wf = w + place, *wo = w + 2 * place;
#pragma omp simd
    for (long k = 0; k < C; k++) {
        float gi = get(a + k) + get(b + k), gf = get(a + C + k) + get(b + C + k);
        float gz = get(a + 2 * C + k) + get(b + 2 * C + k), go = get(a + 3 * C + k) + get(b + 3 * C + k);
        float c = cell[k], n = new_cell[k], seen = current ? n : c;
        float ei = exponential(-(gi + wi[k] * c)), ez = exponential(-2 * gz);
        float eo = exponential(-(go + wo[k] * seen)), et = exponential(-2 * n);
        float f = 1 / (1 + exponential(-(gf + wf[k] * c)));
        float r = 1 / ((1 + ei) * (1 + ez)), i = r * (1 + ez), z = r * (1 + ei) * (1 - ez);
        float s = 1 / ((1 + eo) * (1 + et)), o = s * (1 + et), t = s * (1 + eo) * (1 - et);
        float dh = get(dh1 + k) + get(dh2 + k);
        float d_o = dh * t * o * (1 - o);
        float dn = dc[k] + dh * o * (1 - t * t) + (current ? wo[k] * d_o : 0.f);
        float d_i = dn * z * i * (1 - i), d_f = dn * c * f * (1 - f), d_z = dn * i * (1 - z * z);
        dcell[k] = dn * f + wi[k] * d_i + wf[k] * d_f + (current ? 0.f : wo[k] * d_o);
        put(dgates + k, d_i);
        put(dgates + C + k, d_f);
        put(dgates + 2 * C + k, d_z);
        put(dgates + 3 * C + k, d_o);
        sums[k] += d_i;
        sums[C + k] += d_f;
        sums[2 * C + k] += d_z;
        sums[3 * C + k] += d_o;
        sums[4 * C + k] += d_i * c;
        sums[5 * C + k] += d_f * c;
        sums[6 * C + k] += d_o * seen;
    }
}

/* dgates may be from_input; dcell may be d_new_cell. totals: (threads, 7, C) gets the sums over pixels that the
 * gradients of biases (4) and of peepholes per channel (3) are made of, added to what is there; partial is scratch of
 * the same shape. Threads have fixed shares, so that the sums are the same in each run. */
void backward_step(
    long pixels, long C, long area, int threads, int current, const real *from_input, long input_stride,
    const real *from_state, long state_stride, const float *cell, long cell_stride, const float *new_cell,
    const float *peephole, long places, const real *d_hidden, long d_hidden_stride, const real *d_later,
    long d_later_stride, const float *d_new_cell, long d_new_cell_stride, real *dgates, float *dcell, float *partial,
    double *totals)
{
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        long first, last;
        share_of(pixels, &first, &last);
#ifdef _OPENMP
        long offset = omp_get_thread_num() * 7 * C;
#else
        long offset = 0;
#endif
        float *sums = partial + offset;
        for (long start = first; start < last; start += 256) { /* short float sums, then double */
            long end = start + 256 < last ? start + 256 : last;
            memset(sums, 0, 7 * C * sizeof(float));
            for (long q = start; q < end; q++)
                backward_row(
                    C, current, from_input + q * input_stride, from_state + q * state_stride, cell + q * cell_stride,
                    new_cell + q * C, peephole + (places > 1 ? q % area * C : 0), places * C,
                    d_hidden + q * d_hidden_stride, d_later + q * d_later_stride, d_new_cell + q * d_new_cell_stride,
                    dgates + q * 4 * C, dcell + q * C, sums);
            for (long k = 0; k < 7 * C; k++)
                totals[offset + k] += sums[k];
        }
    }
}
