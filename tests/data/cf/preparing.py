"""CF files through `nowcast prepare`: the archive, or the message and what it says to type."""

import re
import shlex

import numpy as np

from nowcast.data.archive.archive import Archive
from tests.data.cf_files import FRAMES, START, STEP
from tests.programs import run

AT = slice(None)


def prepare(path, *overrides):
    """The archive that `nowcast prepare` makes of a file, and its rain (T, H, W) in mm/h."""
    archive, message = attempt(path, *overrides)
    assert message == ""
    return archive, archive.read(AT, AT, AT)


def attempt(path, *overrides):
    """The archive, or why there is none."""
    output = path.with_name("archive.nc")
    output.unlink(missing_ok=True)
    code, message = run("prepare", "source=netcdf", f"input={path}", f"output={output}", "workers=0", *overrides)
    assert (code == 0) == (message == "")
    return (Archive(output) if code == 0 else None), message


def typed(message):
    """What a message says to type after "set"."""
    found = re.findall(r"set ('[^']*'|\S+=\S+)", message)
    assert found, message
    return shlex.split(found[-1])


def ends(count=FRAMES, step=STEP):
    return START + np.arange(count) * np.timedelta64(step, "s")
