"""How fast windows come out of Zarr stores, beside the netCDF archive of the same rain and xarray with dask.

Each is read twice in the same order: cold, opened anew with nothing of its files in the system's page cache, and warm.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.sampling import EpochSampler
from nowcast.data.windows.stored import StoredWindows
from nowcast.data.windows.visits import training_loader
from nowcast.data.zarr.opening import archive_at
from nowcast.data.zarr.yardstick import LAYOUTS, XarrayReader, dask_is_there, decoding_counted, write_store
from nowcast.progress import track
from nowcast.studies.benchmarks.loading import WINDOW, windows_of
from nowcast.studies.benchmarks.stores.server import Served, served
from nowcast.units import Quantity

WINDOWS = 64  # of a pass
CROPS = (1, 8)  # of a window that is read
CACHE_GB = 10.0
BATCH = 8
DELAYS_MS = (0, 20)
REPEATS = 5  # the rain runs to and fro so often: far more than the caches of the readers hold


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        reader: nowcast, or xarray+dask.
        layout: Of the store; netCDF = the archive.
        delay_ms: None = local, else the server's.
        crops: Of a window that is read.
        cached: Whether chunks are kept on disk.
    """

    reader: str
    layout: str
    delay_ms: int | None
    crops: int = 1
    cached: bool = False

    @property
    def label(self) -> str:
        """As in tables."""
        where = "local" if self.delay_ms is None else f"http {self.delay_ms} ms"
        reader = self.reader if self.crops == 1 else f"{self.reader} x{self.crops}"
        return f"{reader} {self.layout} {where}{' cached' if self.cached else ''}"


def measure_stores(source: Path, sides: list[int], rounds: int, seed: int) -> list[dict[str, Any]]:
    """Make an archive and stores of it in a temporary folder, and read windows at random places and times.

    Args:
        source: An archive of rain, which is mirrored in space and runs to and fro in time.
        sides: Of the square windows, in cells.
        rounds: How often each contender is measured, in turns.
        seed: Of the order.

    Returns:
        A row for each side and contender: windows per second and per second of processor time, and bytes decoded and
        fetched per byte used, cold and warm, medians of the rounds. None = not known.

    Raises:
        ModuleNotFoundError: The extra `cloud` is not installed.
    """
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as server:
        folder = Path(name)
        archive = Archive(enlarge(Archive(source), folder / "rain.nc"))
        for layout in track(LAYOUTS, "writing stores", len(LAYOUTS)):
            write_store(archive, folder / f"{layout}.zarr", layout)
        everyone = contenders()
        jobs = [(side, one) for _ in range(rounds) for side in sides for one in everyone]
        found: dict[tuple[int, Contender], list[dict[str, Any]]] = {}
        for side, one in track(jobs, "loading from stores", len(jobs)):
            found.setdefault((side, one), []).append(_measure(one, folder, server, side, seed))
    return [
        {"side": side, **asdict(one), "label": one.label}
        | {key: _median([each[key] for each in each_round]) for key in each_round[0]}
        for (side, one), each_round in found.items()
    ]


def contenders() -> list[Contender]:
    """Who is measured; xarray only where dask is installed."""
    found = [Contender("nowcast", "netCDF", None, crops) for crops in CROPS]
    for layout in LAYOUTS:
        for at in (None, *DELAYS_MS):
            found += [Contender("nowcast", layout, at, crops) for crops in CROPS]
            found += [Contender("xarray+dask", layout, at)] if dask_is_there() else []
        found.append(Contender("nowcast", layout, DELAYS_MS[-1], cached=True))
    return found


def enlarge(archive: Archive, path: Path) -> Path:
    """Write an archive of the rain of another, mirrored at two edges and running to and fro: larger, and as smooth."""
    rates = archive.read(slice(None), slice(None), slice(None))
    height, width = (2 * side for side in archive.grid.shape)
    cell = float(archive.grid.x[1] - archive.grid.x[0])
    x, y = (np.arange(side, dtype=np.float64) * cell for side in (width, height))
    grid = Grid(np.asarray(x), np.asarray(y[::-1]), "")
    step = np.timedelta64(archive.timestep or 300, "s")
    packing = Packing(*archive.meaning[1:])
    order = [*range(len(rates)), *reversed(range(len(rates)))] * REPEATS

    def frames() -> Iterator[Frame]:
        for number, k in enumerate(order[: REPEATS * len(rates)]):
            wide = np.concatenate([rates[k], rates[k][:, ::-1]], axis=1)
            values = np.concatenate([wide, wide[::-1]], axis=0)
            yield Frame(archive.times[0] + number * step, Quantity.RAIN_RATE, values, grid, packing)

    every = frames()
    first = next(every)
    with ArchiveWriter(path, first, {"title": "Synthetic rain", "license": "CC0-1.0"}) as writer:
        writer.append(first)
        for frame in track(every, "enlarging rain", REPEATS * len(rates) - 1):
            writer.append(frame)
        writer.finish("mirrored and repeated for a benchmark")
    return path


def _measure(one: Contender, folder: Path, server: Served, side: int, seed: int) -> dict[str, Any]:
    local: Path = folder / ("rain.nc" if one.layout == "netCDF" else f"{one.layout}.zarr")
    place = local if one.delay_ms is None else f"{server.address}/{local.name}"
    server.delay.value = (one.delay_ms or 0) / 1000
    _forget(local)
    shutil.rmtree(caches := folder / "caches", ignore_errors=True)
    with (
        _environment("XDG_CACHE_HOME", str(caches)),
        nullcontext() if one.layout == "netCDF" else decoding_counted() as counted,
    ):
        read = _reader(one, place, folder, side, seed)
        found: dict[str, Any] = {}
        for name in ("cold", "warm"):
            before = _counters(server, counted)
            wall, processor = time.perf_counter(), time.process_time()
            used = read()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            after = _counters(server, counted)
            from_file, from_server, decoded = (_passed(*pair) for pair in zip(before, after, strict=True))
            fetched = from_file if one.delay_ms is None else from_server
            if one.layout == "netCDF" and fetched is not None:
                decoded = fetched * _ratio(local)
            found |= {
                f"{name}_windows_per_second": WINDOWS / wall,
                f"{name}_windows_per_processor_second": WINDOWS / processor,
                f"{name}_decoded": None if decoded is None else decoded / used,
                f"{name}_fetched": None if fetched is None else fetched / used,
            }
    return found


def _reader(one: Contender, place: Path | str, folder: Path, side: int, seed: int) -> Callable[[], int]:
    """Opens an archive and returns what reads the windows and says how many stored bytes they have."""
    archive = archive_at(place, CACHE_GB * one.cached)
    archive._summaries = Archive(
        folder / "rain.nc"
    )._tile_shares()  # which would be computed once; not what is measured
    windows = windows_of(archive, side, seed)
    bytes_used = WINDOWS * WINDOW * side**2 * archive.stored_type.itemsize
    if one.reader != "nowcast":
        return _by_xarray(windows, EpochSampler(len(windows), WINDOWS, None, seed), place, bytes_used)
    dataset = StoredWindows(windows) if StoredWindows.are_possible(windows) else windows
    loader = training_loader(windows, dataset, one.crops, BATCH, 0, samples=WINDOWS, weights=None, seed=seed)

    def read() -> int:
        for _ in loader:
            pass
        return bytes_used

    return read


def _by_xarray(windows: RadarDataset, sampler: EpochSampler, place: Path | str, bytes_used: int) -> Callable[[], int]:
    reader = XarrayReader(place)

    def read() -> int:
        for index in sampler:
            reader.read(*windows.slices(windows.cut(index)))
        return bytes_used

    return read


def _counters(server: Served, counted: Any) -> tuple[int | None, int, int | None]:  # noqa: ANN401
    """Bytes read from files by this process (None where the system does not say), sent by the server, and decoded."""
    told = Path("/proc/self/io")
    read = int(told.read_text().split()[1]) if told.exists() else None
    return read, server.sent.value, None if counted is None else counted.total


def _passed(before: int | None, after: int | None) -> float | None:
    return None if before is None or after is None else float(after - before)


def _ratio(path: Path) -> float:
    """Bytes of an archive's values per byte of its file."""
    archive = Archive(path)
    rows, columns = archive.grid.shape
    return len(archive.times) * rows * columns * archive.stored_type.itemsize / path.stat().st_size


def _forget(place: Path) -> None:
    """Have the system drop what it holds of files in its memory."""
    for path in [place] if place.is_file() else [each for each in place.rglob("*") if each.is_file()]:
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})


def _median(values: list[Any]) -> float | None:
    return None if None in values else statistics.median(values)
