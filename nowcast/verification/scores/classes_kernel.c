/* Joint counts of intensity classes of forecasts and observations (see classes.py, whose PyTorch form the tests compare
 * with). */
#include <stdint.h>
#include <string.h>

#define AT_ONCE 1024 /* cells that stay in the innermost cache */

/* counts: (samples, K + 1, K + 2), forecast × observed class, to be zero; observed class K + 1 = does not count. */
void count_classes(
    const float *forecast, const uint8_t *observed, long samples, long cells, const float *thresholds, long K,
    int64_t *counts)
{
    uint8_t classes[AT_ONCE];
    for (long s = 0; s < samples; s++)
        for (long start = 0; start < cells; start += AT_ONCE) {
            long count = cells - start < AT_ONCE ? cells - start : AT_ONCE;
            const float *rate = forecast + s * cells + start;
            memset(classes, 0, count);
            for (long k = 0; k < K; k++)
                for (long i = 0; i < count; i++)
                    classes[i] += rate[i] >= thresholds[k];
            for (long i = 0; i < count; i++)
                counts[(s * (K + 1) + classes[i]) * (K + 2) + observed[s * cells + start + i]]++;
        }
}
