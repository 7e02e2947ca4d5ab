"""`nowcast benchmark stores=[…]`: what it counts against counts by hand, and the server that it reads from."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.synthetic.archives import SyntheticArchives
from nowcast.data.zarr.opening import archive_at
from nowcast.data.zarr.yardstick import LAYOUTS, XarrayReader, write_store
from nowcast.studies.benchmarks.stores import measure as stores
from nowcast.studies.benchmarks.stores.server import served
from tests.data.synthetic.test_rain import RAIN
from tests.programs import run

EVERYTHING = (slice(None), slice(None), slice(None))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rain")
    return Archive(SyntheticArchives(replace(RAIN, shape=(40, 40), frames=24), str(folder), 1, 0, 0, 0).paths()[0])


def test_the_stores_hold_the_rain_of_the_archive(archive, tmp_path):
    for layout in LAYOUTS:
        path = write_store(archive, tmp_path / f"{layout}.zarr", layout)
        assert np.array_equal(archive_at(path).read(*EVERYTHING), archive.read(*EVERYTHING), equal_nan=True)
        assert archive_at(path).stored_type == ("u2" if layout == "shards" else "f4")
        np.testing.assert_allclose(XarrayReader(path).read(*EVERYTHING), archive.read(*EVERYTHING), rtol=1e-6)


def test_larger_rain_is_mirrored_and_goes_to_and_fro(archive, tmp_path):
    rates, larger = archive.read(*EVERYTHING), Archive(stores.enlarge(archive, tmp_path / "rain.nc"))
    found = larger.read(*EVERYTHING)
    assert found.shape == (5 * 24, 80, 80)
    assert np.array_equal(found[3, :40, :40], rates[3])
    assert np.array_equal(found[24 + 3, 79, 40:], rates[20, 0, ::-1])
    assert (np.diff(larger.times).astype(int) == larger.timestep).all()


def test_the_server_gives_ranges_late_and_counts(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    with served(tmp_path) as server:

        def asked(path, **headers):
            request = urllib.request.Request(f"{server.address}/{path}", headers=headers)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read()

        assert asked("a") == (200, bytes(range(100)))
        assert asked("a", Range="bytes=10-19") == (206, bytes(range(10, 20)))
        assert asked("a", Range="bytes=95-") == (206, bytes(range(95, 100)))
        assert asked("a", Range="bytes=-3") == (206, bytes(range(97, 100)))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            asked("b")
        assert (server.sent.value, server.answers.value) == (118, 5)
        server.delay.value = 0.2
        start = time.monotonic()
        asked("a")
        assert time.monotonic() - start >= 0.2


@pytest.mark.thorough
def test_the_command_measures_all_contenders(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stores, "WINDOWS", 4)
    monkeypatch.setattr(stores, "DELAYS_MS", (0, 1))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    output = tmp_path / "out.json"
    settings = ["run=[]", "stores=[32]", "archives.rain.shape=[40,40]", "archives.rain.frames=24", "rounds=1"]
    assert run("benchmark", *settings, f"archives.folder={tmp_path}", f"output={output}") == (0, "")
    rows = {row["label"]: row for row in json.loads(output.read_text())["stores"]}
    places = ("local", "http 0 ms", "http 1 ms")
    expected = ["nowcast netCDF local", "nowcast x8 netCDF local"]
    for layout in LAYOUTS:
        expected += [f"{reader} {layout} {at}" for at in places for reader in ("nowcast", "nowcast x8", "xarray+dask")]
        expected.append(f"nowcast {layout} http 1 ms cached")
    assert list(rows) == expected
    printed = capsys.readouterr().out
    for label, row in rows.items():
        assert label in printed
        assert row["cold_windows_per_second"] > 0
        assert row["warm_windows_per_processor_second"] > 0
    assert rows["nowcast 1xHxW http 1 ms cached"]["warm_fetched"] == 0
    for at in places:  # dask decodes each of the 20 frames of 80×80 for a window of 32×32, cold and warm
        found = rows[f"xarray+dask 1xHxW {at}"]
        assert found["cold_decoded"] == found["warm_decoded"] == 80 * 80 / 32**2
        assert found["cold_fetched"] > 0
        if at != "local":  # of files the process reads others, too
            assert found["cold_fetched"] == found["warm_fetched"] < found["cold_decoded"]
        # Eight crops of each window: of 4 there is one window, of which no frame is decoded twice.
        assert rows[f"nowcast x8 1xHxW {at}"]["cold_decoded"] == 80 * 80 / 32**2 / 4


def test_impossible_sides_are_refused(tmp_path):
    code, text = run("benchmark", "run=[]", "stores=[961]")
    assert code == 1
    assert "stores=[961]: sides must be 1 to 960 cells" in text
