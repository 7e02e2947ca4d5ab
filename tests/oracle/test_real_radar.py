"""`nowcast evaluate model=persistence` on real KNMI and FMI files, against a plain loop over the providers' bytes."""

import gzip
import math
from fractions import Fraction

import h5py
import numpy as np
import pytest

from tests.oracle.counts import COUNTS, scores_of
from tests.programs import rows, run

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]
THRESHOLDS = ("0.5", "2.0", "5.0", "10.0")
INPUTS, LEADS, STRIDE = 1, 3, 4


def knmi_pixels(path):
    """Stored numbers, and where there are any."""
    with h5py.File(path) as file:
        pixels = file["image1/image_data"][:]
    return pixels, pixels != 65535


def knmi_rate(pixels):
    """Hundredths of a millimetre in five minutes."""
    return pixels * 0.12


def knmi_least(threshold):
    """The least number that makes the rate, without rounding."""
    return math.ceil(Fraction(threshold) * 100 / 12)


def fmi_pixels(path):
    """The same of a PGM picture: magic, comments, width and height, largest value, bytes."""
    lines = gzip.decompress(path.read_bytes()).split(b"\n", 60)
    first = next(k for k, line in enumerate(lines) if k > 0 and not line.startswith(b"#"))
    width, height = map(int, lines[first].split())
    pixels = np.frombuffer(b"\n".join(lines[first + 2 :]), dtype=np.uint8).reshape(height, width)
    return pixels, pixels != 255


def fmi_rate(pixels):
    """dBZ = v/2 - 32 and Z = 223 R^1.53; 0 is no echo."""
    rate = (10 ** ((pixels / 2 - 32) / 10) / 223) ** (1 / 1.53)
    return np.where(pixels == 0, 0.0, rate)


def fmi_least(threshold):
    """The least number that makes the rate."""
    return next(v for v in range(1, 255) if fmi_rate(np.array(v)) >= float(threshold))


@pytest.mark.parametrize(
    ("source", "pattern", "pixels_of", "rate_of", "least"),
    [
        ("knmi", "knmi_hdf5/20100826/*.h5", knmi_pixels, knmi_rate, knmi_least),
        pytest.param(
            "fmi_pgm", "fmi_pgm/20160928/*.pgm.gz", fmi_pixels, fmi_rate, fmi_least, marks=pytest.mark.thorough
        ),
    ],
)
@pytest.mark.parametrize("frames", [8, pytest.param(None, marks=pytest.mark.slow)])  # the first ones, or all
def test_persistence_on_real_radar_to_the_last_count(
    real_data, tmp_path, source, pattern, pixels_of, rate_of, least, frames
):
    files = sorted(real_data.glob(pattern))[:frames]  # five minutes apart, without a gap
    (tmp_path / "in").mkdir()
    for path in files:
        (tmp_path / "in" / path.name).symlink_to(path)
    archive = tmp_path / "real.nc"
    given = [f"source={source}", f"input={tmp_path / 'in'}", f"output={archive}", "workers=0"]
    assert run("prepare", *given) == (0, "")
    windows = [
        f"data.input_steps={INPUTS}",
        f"data.forecast_steps={LEADS}",
        f"data.windows.stride={STRIDE}",
        "data.crop=null",
    ]
    more = ["data.split.method=all", "data.workers=0", "scores=basic", "html=false", f"output={tmp_path / 'out'}"]
    assert run("evaluate", "model=persistence", f"data.archives=[{archive}]", *windows, *more) == (0, "")

    counts = np.zeros((LEADS, len(THRESHOLDS), 4), dtype=np.int64)
    sums = np.zeros((LEADS, 5))  # n, missing, |f-o|, (f-o)², f-o
    numbers = [least(threshold) for threshold in THRESHOLDS]
    fields = [pixels_of(path) for path in files]
    for last in range(INPUTS - 1, len(files) - LEADS, STRIDE):
        forecast, known = fields[last]
        for lead in range(LEADS):
            observed, seen = fields[last + 1 + lead]
            for k, number in enumerate(numbers):
                f, o = (forecast >= number) & known & seen, (observed >= number) & seen
                hits, said, were = (int(part.sum()) for part in (f & o, f, o))
                counts[lead, k] += [hits, were - hits, said - hits, int(seen.sum()) - were - said + hits]
            f = np.where(known, rate_of(forecast.astype(np.float64)), 0.0)[seen]
            gap = f - rate_of(observed[seen].astype(np.float64))
            sums[lead] += [gap.size, int((seen & ~known).sum()), abs(gap).sum(), (gap**2).sum(), gap.sum()]

    found = rows(tmp_path / "out" / "scores.csv")
    assert len(found) == LEADS * len(THRESHOLDS)
    for k, threshold in enumerate(THRESHOLDS):
        for lead in range(LEADS):
            row = found[k * LEADS + lead]
            assert (row["threshold"], row["lead_time_minutes"]) == (threshold, f"{5.0 * (lead + 1)}")
            assert [int(row[name]) for name in COUNTS] == counts[lead, k].tolist()
            for name, value in scores_of(*counts[lead, k]).items():
                assert float(row[name]) == pytest.approx(value, rel=1e-12, nan_ok=True)
    assert counts[:, :2, 0].min() > 100  # there is something to count
    for lead, row in enumerate(rows(tmp_path / "out" / "errors.csv")):
        n, missing, absolute, squared, signed = sums[lead]
        assert (float(row["n"]), int(row["missing_forecasts"])) == (n, missing)
        assert float(row["mae"]) == pytest.approx(absolute / n, rel=1e-6)
        assert float(row["rmse"]) == pytest.approx(math.sqrt(squared / n), rel=1e-6)
        assert float(row["me"]) == pytest.approx(signed / n, rel=1e-4, abs=1e-9)
