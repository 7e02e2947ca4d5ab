"""What was typed wrongly is refused with exit code 2 before PyTorch and what reads files and draws are imported."""

import subprocess
import sys

import pytest

LOOK = """
import sys
from importlib import import_module

sys.argv[0] = "nowcast"
try:
    import_module("nowcast.commands." + sys.argv.pop(1)).main()
finally:
    print(sorted({"torch", "matplotlib", "netCDF4"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            "predict model=persistence input={here} output=o.nc forecast_steps=0",
            "forecast_steps must be at least 1, got 0",
        ),
        (
            "predict model=persistence input={here} output=o.nc init_time=noon",
            "init_time='noon' is not a time such as 20",
        ),
        ("predict model=persistence input=no.nc output=o.nc forecast_steps=2", "no archive at no.nc; make one with"),
        ("plot file=no.nc", "no file at no.nc; give a forecast or an archive: nowcast plot <file.nc>"),
        ("plot file={here} unit=dbz", "unit must be mm/h or dBZ, got 'dbz'"),
        ("plot file={here} init_time=noon", "init_time='noon' is not a time such as"),
        ("plot file={here} observed=no.nc", "no archive at no.nc"),
        ("plot file={here} zr=[200]", "zr must be [a, b]"),
        ("compare", "give two runs or more, of different names: nowcast compare <run> <run> …"),
        ("compare runs=[a]", "give two runs or more"),
        ("compare runs=[a,b]", "no statistics.nc in a or a/evaluation"),
    ],
)
def test_what_needs_no_file_to_be_read_is_refused_before_the_imports(tmp_path, typed, words):
    (tmp_path / "here.nc").touch()
    arguments = typed.format(here=tmp_path / "here.nc").split()
    result = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert (result.returncode, result.stdout) == (2, "[]\n")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["here.nc"]
