"""Damaged files for every reader: flips, truncations, random headers, in processes of their own.

    python -m tests.faults.fuzz --inputs 10000 [reader …]

A reader may return what it read or raise DataFormatError, within SECONDS and MEMORY. An input is a number: the same
number makes the same bytes (`python -m tests.faults.fuzz --bytes netcdf 4711 file`).
"""

import argparse
import faulthandler
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import traceback
import zlib
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError

SECONDS = 30.0  # of one input, on a busy machine; sound ones take milliseconds
MEMORY = 4 << 30  # bytes that a process may have mapped beside what it begins with
COMMAND = ["-m", "tests.faults.fuzz", "--work"]
MOST = 20  # failures after which a reader is given up
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80")


def damaged(content, draw):
    """Some bytes made from sound ones."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        reach = len(content) if draw.random() < 0.4 else min(len(content), 4000)  # headers are where it hurts
        if reach < 8:
            break
        at = draw.randrange(reach)
        kind = draw.randrange(8)
        if kind <= 1:
            content[at] = draw.randrange(256)
        elif kind == 2:
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 3:
            content[at : at + 4] = draw.choice(EXTREMES)
        elif kind == 4:
            del content[draw.randrange(len(content)) :]
        elif kind == 5:
            content[: draw.randrange(1, 65)] = draw.randbytes(draw.randrange(65))
        elif kind == 6:
            del content[at : at + draw.randrange(1, 200)]
        else:
            content[at:at] = content[at : at + draw.randrange(1, 200)]
    return bytes(content)


# -- the readers -----------------------------------------------------------------------------------------------


def of_format(name):
    from tests.data.formats.readers import reader

    built = reader(name)

    def read(path):
        for frame in built.read(path):
            assert frame.values.shape == frame.grid.shape
            assert frame.values.dtype == np.float32

    return read


def of_archive(path):
    from nowcast.data.archive.archive import Archive

    everything = slice(None)
    archive = Archive(path)
    try:
        values = archive.read(everything, everything, everything)
        assert values.dtype == np.float32
    finally:
        archive.close()


def of_forecasts(path):
    from nowcast.data.results.forecast_reader import ForecastFiles
    from tests.data.archives import grid

    files = ForecastFiles([str(path)])
    for init in files.files:
        files.read(init, [300], grid())


def of_idx(path):
    from nowcast.data.mnist.files import read_idx

    read_idx(path)


def of_sequences(path):
    from nowcast.data.mnist.files import read_sequences

    np.asarray(read_sequences(path, 4)).sum()


def of_picture(path):
    from nowcast.data.paper.hko import _read_grey

    _read_grey(path)


def of_mask(path):
    from nowcast.data.paper.hko import _read_mask

    _read_mask(path, (8, 9))


def of_statistics(path):
    from nowcast.data.results.statistics_file import read_statistics

    read_statistics(path)


FORMATS = ("knmi", "odim", "fmi_pgm", "fmi_geotiff", "mch_gif", "eccc_gif", "radolan", "mrms", "netcdf", "bom",
           "ukmo_netcdf")  # fmt: skip
OTHERS = {
    "archive": of_archive, "forecasts": of_forecasts, "idx": of_idx, "npy": of_sequences, "npz": of_sequences,
    "hko_png": of_picture, "hko_mask": of_mask, "statistics": of_statistics,
}  # fmt: skip
READERS = (*FORMATS, *OTHERS)


def reader_of(name):
    return of_format(name) if name in FORMATS else OTHERS[name]


def sound(name, folder):
    """Sound little files that the damaged ones are made from; the name of the first is that of all."""
    from tests.faults.sound import FILES

    paths = FILES[name](folder)
    for path in paths:
        reader_of(name)(path)
    return paths


def input_of(name, number, contents):
    """The bytes of an input."""
    draw = random.Random(zlib.crc32(name.encode()) + number)
    return damaged(contents[number % len(contents)], draw)


# -- one process -----------------------------------------------------------------------------------------------


def work(name, first, last, state):
    """Read the inputs of these numbers; failures go to standard output, one JSON line each."""
    read = reader_of(name)
    with tempfile.TemporaryDirectory() as folder:
        paths = sound(name, Path(folder))
        contents = [path.read_bytes() for path in paths]
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
        failures = 0
        for number in range(first, last):
            os.pwrite(state, b"%12d" % number, 0)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            paths[0].write_bytes(input_of(name, number, contents))
            try:
                read(paths[0])
            except DataFormatError:
                pass
            except BaseException as error:
                say(json.dumps({"number": number, "what": repr(error)[:300], "where": last_lines(error)}))
                failures += 1
                if failures == MOST:
                    return
        faulthandler.cancel_dump_traceback_later()
    say(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def last_lines(error):
    return [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)[-4:]]


def fuzz(name, inputs, first=0):
    """What went wrong: exceptions of another type, hangs, crashes. And the largest memory in MB."""
    failures, peak, last = [], 0, first + inputs
    with tempfile.TemporaryFile() as state, tempfile.TemporaryFile("w+") as errors:
        while first < last and len(failures) < MOST:
            command = [sys.executable, *COMMAND, name, str(first), str(last)]
            ended = subprocess.run(
                [*command, str(state.fileno())], stdout=subprocess.PIPE, stderr=errors, text=True, check=False,
                pass_fds=[state.fileno()], cwd=Path(__file__).parents[2],
            )  # fmt: skip
            lines = [json.loads(line) for line in ended.stdout.splitlines() if line[:1] == "{"]  # GDAL prints, too
            failures += [line for line in lines if "number" in line]
            peak = max([peak, *(line["peak_mb"] for line in lines if "peak_mb" in line)])
            if ended.returncode == 0:
                break
            errors.seek(0)
            at = int(os.pread(state.fileno(), 12, 0) or -1)
            assert at >= 0, errors.read()[-2000:]
            failures.append({"number": at, "what": f"exit {ended.returncode}", "where": errors.read()[-600:]})
            first = at + 1
    return failures, peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", nargs=4)
    parser.add_argument("--bytes", nargs=3)
    parser.add_argument("readers", nargs="*", default=READERS)
    given = parser.parse_args()
    if given.work:
        name, first, last, state = given.work
        work(name, int(first), int(last), int(state))
    elif given.bytes:
        name, number, path = given.bytes
        with tempfile.TemporaryDirectory() as folder:
            contents = [one.read_bytes() for one in sound(name, Path(folder))]
        Path(path).write_bytes(input_of(name, int(number), contents))
    else:
        for name in given.readers:
            failures, peak = fuzz(name, given.inputs, given.first)
            say(f"{name}: {given.inputs} inputs, {len(failures)} failures, {peak} MB at most")
            for failure in failures:
                say(f"    {json.dumps(failure)}")


if __name__ == "__main__":
    main()
