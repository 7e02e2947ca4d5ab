"""docs/pysteps.md: our forecast in the blending of pysteps, what its exporter writes in our scores."""

import re
import shlex
import subprocess
import sys
from contextlib import chdir
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
from scipy.ndimage import gaussian_filter

from nowcast import open_archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.as_xarray import as_dataset
from nowcast.data.results.forecast_reader import ForecastFiles
from tests.conftest import thinned
from tests.data.archives import START, frame, grid, write
from tests.programs import rows, run

pysteps = pytest.importorskip("pysteps", reason="pysteps is an optional extra: `make test-pysteps`")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pysteps.md").read_text(encoding="utf-8")
IMPORT, BLEND, EXPORT = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
(EVALUATE,) = re.findall(r"^nowcast evaluate (.*)$", PAGE, flags=re.M)
SHAPE = (48, 64)
INIT = 10  # frame from which is forecast
STEPS = 4
NO_RADAR = 8  # columns
METADATA = {
    "projection": "+proj=stere +lat_0=90 +lon_0=10 +lat_ts=60 +x_0=0 +y_0=0 +ellps=WGS84 +units=m", "x1": 100_000.0,
    "x2": 105_000.0, "y1": -3_004_000.0, "y2": -3_000_000.0, "unit": "mm/h", "yorigin": "upper", "cartesian_unit": "m",
}  # fmt: skip


def showers(seed):
    """(48, 200) mm/h: showers of some 10 km."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((SHAPE[0], 200)), 3, mode="wrap")
    return np.maximum(noise / noise.std() * 4 - 2, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An archive of showers that move eastwards, two cells a frame, and what `nowcast predict` makes of it."""
    folder = tmp_path_factory.mktemp("bridge")
    frames = []
    for k in range(INIT + STEPS + 1):
        rain = showers(1)[:, 100 - 2 * k :][:, : SHAPE[1]].copy()
        rain[:, -NO_RADAR:] = np.nan
        frames.append(frame(5 * k, rain, grid=grid(SHAPE), packing=None))
    (folder / "data").mkdir()
    archive = write(folder / "data" / "mine.nc", frames)
    arguments = [
        f"input={archive}",
        f"output={folder / 'nowcast.nc'}",
        f"init_time={START + np.timedelta64(INIT * 5, 'm')}",
    ]
    assert run("predict", "model=extrapolation", f"forecast_steps={STEPS}", *arguments) == (0, "")
    return folder


@pytest.fixture(scope="module")
def told(place):
    """What the names of the page stand for after its last block, with a model of other showers."""
    names = {"model": np.stack([showers(2)[:, 40 - k :][:, : SHAPE[1]] for k in range(STEPS + 1)])[None]}
    with chdir(place):
        exec(IMPORT, names)
        names["opened"] = names["nowcast"].copy()
        exec(BLEND.replace("n_cascade_levels=6", "n_cascade_levels=4, seed=1"), names)
        exec(EXPORT, names)
    return names


def test_pysteps_finds_the_importer_and_reads_what_predict_wrote(place, told):
    assert pysteps.io.get_method("nowcast_netcdf", "importer") is pysteps.io.importers.import_nowcast_netcdf
    assert told["opened"].dtype == np.float64
    written = as_dataset(place / "nowcast.nc")
    np.testing.assert_array_equal(told["opened"], written.rain_rate.values)
    assert (np.diff(written.y) < 0).all()
    assert told["metadata"]["timestamps"].tolist() == written.time.values.astype("datetime64[s]").tolist()
    assert np.isnan(told["opened"][:, :, -NO_RADAR:]).all()


def test_a_forecast_is_read_as_a_series_of_radar_frames(place):
    names = [str(place / "nowcast.nc")] * 2
    read = pysteps.io.read_timeseries((names, [1, 2]), pysteps.io.importers.import_nowcast_netcdf, lead_time=10.0)
    np.testing.assert_array_equal(read[0], as_dataset(place / "nowcast.nc").rain_rate.values[[1, 1]])


def test_the_forecast_comes_out_of_the_blending(told):
    blended, nowcast = told["blended"], told["opened"]
    model = 10 ** (told["model"][0, 1:] / 10)  # the page has it in dB by now
    assert blended.shape == (4, STEPS, *SHAPE)
    assert np.isfinite(blended).all()
    for k in range(STEPS):
        known = np.isfinite(nowcast[k])
        wet, dry = known & (nowcast[k] > 2) & (model[k] < 0.1), known & (nowcast[k] < 0.1) & (model[k] > 2)
        assert (blended[:, k, wet] >= 0.1).mean() > 0.7  # a forecast that became zeros would leave them dry
        assert blended[:, k, wet].mean() > 3 * blended[:, k, dry].mean()  # so early it says more than the model
        unseen = ~known & (model[k] > 2)
        assert (blended[:, k, unseen] >= 0.1).mean() > 0.5  # the model's rain, which zeros of ours would have dried


def test_the_command_of_the_page_scores_ensemble_and_field(place, told):
    """The blended ensemble as on the page, and beside it the observation itself as a single forecast."""
    later = open_archive(place / "data" / "mine.nc").rain_rate.values[INIT + 1 :]
    (place / "perfect").mkdir()
    exported(place / "perfect", later, told["metadata"], start=told["metadata"]["issuetime"])
    both = EVALUATE.replace("}", ", perfect: 'perfect/*.nc'}")
    small = [
        "data.split.method=all", "data.input_steps=3", f"data.forecast_steps={STEPS}", "data.workers=0",
        "data.crop=null", "data.eval_crop=null", "html=false", "uncertainty.resamples=20", "output=scores",
    ]  # fmt: skip
    with chdir(place):
        assert run("evaluate", *shlex.split(both), *small) == (0, "")
        errors, scores = rows(Path("scores") / "errors.csv"), rows(Path("scores") / "intervals.csv")
    assert {row["model"] for row in errors} == {"blended", "perfect", "extrapolation"}
    assert [float(row["mae"]) for row in errors if row["model"] == "perfect"] == pytest.approx([0] * STEPS, abs=1e-6)
    spread = {row["model"]: float(row["value"]) for row in scores if row["score"] == "spread"}
    assert spread["blended"] > 0
    assert np.isnan(spread["perfect"])  # of one field


# -- what pysteps' exporter writes -----------------------------------------------------------------------------------


def exported(folder, values, metadata, start=datetime(2024, 5, 1, 0, 10), **options):
    """A file of pysteps: (M, T, H, W) or (T, H, W) mm/h."""
    members = len(values) if values.ndim == 4 else 1
    exporter = pysteps.io.get_method("netcdf", "exporter")(
        str(folder), "theirs", start, 5, values.shape[-3], values.shape[-2:], metadata, members, **options
    )
    parts = {None: [values], "timestep": np.moveaxis(values, -3, 0), "member": values}[options.get("incremental")]
    for part in parts:
        pysteps.io.export_forecast_dataset(part, exporter)
    pysteps.io.close_forecast_files(exporter)
    return ForecastFiles([str(folder / "theirs.nc")])


@pytest.mark.parametrize("incremental", [None, "timestep", "member"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("yorigin", ["upper", "lower"])
def test_members_rows_and_times(tmp_path, incremental, members, yorigin):
    values = np.random.default_rng(0).random((members, 3, 4, 5)).astype(np.float32)
    values[:, 1, 2, 3] = np.nan
    one_field = members == 1 and incremental != "member"
    given = values[0] if one_field else values
    files = exported(tmp_path, given, METADATA | {"yorigin": yorigin}, incremental=incremental)
    (init,) = files.files
    assert np.datetime64(init, "s") == np.datetime64("2024-05-01T00:10:00")
    leads, where = files.layout(init)
    assert leads == [300, 600, 900]
    assert (where.y[0], where.y[-1], where.x[0]) == (-3_000_500, -3_003_500, 100_500)
    north_first = values if yorigin == "upper" else values[:, :, ::-1]
    np.testing.assert_array_equal(files.read(init, leads, where), north_first)


def test_packed_values(tmp_path):
    values = np.arange(60, dtype=np.float64).reshape(3, 4, 5) / 10
    files = exported(tmp_path, values, METADATA, datatype=np.int16, scale_factor=0.1, offset=0.0, fill_value=-1)
    (init,) = files.files
    np.testing.assert_allclose(files.read(init, [300, 600, 900], files.layout(init)[1])[0], values, atol=1e-5)


@pytest.mark.parametrize(
    "place",
    [
        {"projection": "+proj=longlat +datum=WGS84", "cartesian_unit": "degrees",
         "x1": 5.0, "x2": 6.0, "y1": 45.0, "y2": 46.0},
        {"projection": METADATA["projection"].replace("units=m", "units=km"), "cartesian_unit": "km",
         "x1": 100.0, "x2": 105.0, "y1": -3004.0, "y2": -3000.0},
        {"projection": "+proj=laea +lat_0=54.9 +lon_0=-2.5 +x_0=0 +y_0=0 +ellps=WGS84 +units=m"},
        {"projection": "+proj=lcc +lat_1=49.8 +lat_2=51.2 +lat_0=50.8 +lon_0=4.4 +x_0=0 +y_0=0 +ellps=GRS80 +units=m"},
        {"projection": "+proj=aea +lat_1=-18 +lat_2=-36 +lat_0=-26 +lon_0=153 +x_0=0 +y_0=0 +ellps=GRS80 +units=m"},
    ],
)  # fmt: skip
def test_the_place_on_earth(tmp_path, place):
    """CF's words for the projection are given of some, the figure of the earth of fewer; the PROJ string says both."""
    metadata = METADATA | place
    files = exported(tmp_path, np.zeros((3, 4, 5)), metadata)
    (init,) = files.files
    where = files.layout(init)[1]
    theirs = pyproj.Proj(metadata["projection"])
    width, height = (metadata["x2"] - metadata["x1"]) / 5, (metadata["y2"] - metadata["y1"]) / 4
    corner = metadata["x1"] + width / 2, metadata["y2"] - height / 2
    expected = corner if "longlat" in metadata["projection"] else theirs(*corner, inverse=True)
    ours = pyproj.Transformer.from_crs(where.crs, "EPSG:4326", always_xy=True).transform(where.x[0], where.y[0])
    assert ours == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("unit", ["mm", "dBZ"])
def test_what_is_no_rate_is_refused(tmp_path, unit):
    with pytest.raises(DataFormatError, match="has one field of rain rate"):
        exported(tmp_path, np.ones((3, 4, 5)), METADATA | {"unit": unit})


def test_a_forecast_of_pysteps_is_drawn_on_the_grid_of_its_metadata(place, told):
    """The metadata that our importer gives make the exporter write the grid that our file has."""
    files = ForecastFiles([str(place / "steps" / "*.nc")])
    (init,) = files.files
    archive = open_archive(place / "data" / "mine.nc")
    leads, where = files.layout(init)
    np.testing.assert_allclose(where.y, archive.y.values)
    np.testing.assert_allclose(where.x, archive.x.values)
    np.testing.assert_allclose(files.read(init, leads, where), told["blended"], rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "members"), thinned([("steps", (2,)), ("sprog", ()), ("linda", ())], fast=[0])
)  # `make test-pysteps` runs all
def test_the_script_forecasts_the_windows_by_each_method(tmp_path, place, method, members):
    if method == "linda":
        pytest.importorskip("skimage", reason="LINDA finds its features by scikit-image: `make test-pysteps`")
    typed = f"--method {method} --output {tmp_path} --inputs 5 --steps {STEPS} --every 3 --members 2 --seed 3"
    script = ROOT / "scripts" / "pysteps_forecasts.py"
    command = [sys.executable, script, place / "data" / "mine.nc", *typed.split()]
    subprocess.run(command, check=True, capture_output=True)
    files = sorted(tmp_path.glob("*.nc"))
    assert [path.name[-7:-3] for path in files] == ["0020", "0035", "0050"]  # the last inputs
    with netCDF4.Dataset(files[-1]) as dataset:
        rain = dataset["rain_rate"][:].filled(np.nan)
    assert rain.shape == (*members, STEPS, *SHAPE)
    assert np.isnan(rain[..., -NO_RADAR:]).all()  # nothing where the last frame saw nothing
    assert np.nanmax(rain) > 2  # the showers' order of size
