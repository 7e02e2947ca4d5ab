"""What was typed wrongly is refused with exit code 2 before anything is imported that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nowcast.__main__ import COMMANDS
from nowcast.config.program import CONFIGS
from tests.config import once

# Nothing but `plot`, which builds its relation of reflectivity and rain rate, needs NumPy for that: 0.06 s of --help.
NUMPY = """
import importlib, sys
for name in {names}:
    importlib.import_module("nowcast.commands." + name)
    assert "numpy" not in sys.modules, name
"""
# All commands in one process: of each, what was not imported by those before it.
LOOK = """
import importlib, io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from tests.config.once import once

heavy = {"torch", "lightning", "wandb", "optuna", "xarray", "netCDF4", "matplotlib", "cv2"}
answers = []
with once():
    for program, *typed in json.load(sys.stdin):
        sys.argv, code, said, before = ["nowcast", *typed], 0, io.StringIO(), set(sys.modules)
        with redirect_stderr(said), redirect_stdout(said):
            try:
                importlib.import_module("nowcast.commands." + program).main()
            except SystemExit as end:
                code = end.code
        answers.append([code, said.getvalue(), sorted(heavy & set(sys.modules) - before)])
json.dump(answers, sys.stdout)
"""
CASES = {
    "predict model=persistence input={here}/here.nc output=o.nc forecast_steps=0":
        "forecast_steps must be at least 1, got 0",
    "predict model=persistence input={here}/here.nc output=o.nc init_time=noon":
        "init_time='noon' is not a time such as 20",
    "predict model=persistence input=no.nc output=o.nc forecast_steps=2": "no archive at no.nc; make one with",
    "predict model=persistence input={here}/here.nc output=o.nc decide=csi":
        "decide=csi chooses among the levels that the calibration of a checkpoint holds",
    "predict checkpoint={here}/here.nc input={here}/here.nc output=o.nc calibrated=false decide=0.2":
        "it goes with checkpoint=<file> and, in predict, calibrated=true",
    "evaluate model=persistence decide=bias": "decide=bias chooses among the levels",
    "evaluate checkpoint={here}/here.nc decide=2": "decide must be bias, csi, area or a ratio of cost",
    "plot file=no.nc": "no file at no.nc; give a forecast or an archive: nowcast plot <file.nc>",
    "plot file={here}/here.nc unit=dbz": "unit must be mm/h or dBZ, got 'dbz'",
    "plot file={here}/here.nc init_time=noon": "init_time='noon' is not a time such as",
    "plot file={here}/here.nc observed=no.nc": "no archive at no.nc",
    "plot file={here}/here.nc zr=[200]": "zr must be [a, b]",
    "compare": "give two runs or more, of different names: nowcast compare <run> <run> …",
    "compare runs=[a]": "give two runs or more",
    "compare runs=[a,b]": "no statistics.nc in a or a/evaluation",
    "train trainer.max_epochs=two": "trainer.max_epochs must be",
    "train model._target_=nowcast.models.networks.convlst.Net": "there is no convlst",
    "train output={here}/run": "runs are never overwritten",
    "train modle=x": "did you mean model?",
    "train data.strid=3": "data.strid is unknown",
    "train trainer=[1]": "trainer=[1] chooses none of its configs: several are trainer=[<name>,<name>]; allowed: cpu,",
    "train trainer=[[cpu]]": "trainer=[[cpu]] chooses none of its configs",
    "train callbacks=[ema,null]": "callbacks=[ema,null] chooses none of its configs",
    "train calibration=null": "calibration=null chooses none of its configs: type calibration=none; allowed: freq",
    "train model@baselines.rover1=null": "none of its configs: ~model@baselines.rover1 takes it out; allowed: ",
    "train head=null": "leave head= out; allowed: exceedance, grey",
    "check model={{hidden:[4,4]}}": "settings of one are model.<name>=<value>; allowed: convgru, convlstm, ",
    "evaluate checkpoint={here}/none.ckpt head=grey":
        "error: head= is chosen in training: leave head= out; allowed: data, frame_scores, model, ",
    "train loss@head=mse": "error: loss@head= has no place in nowcast train; allowed: calibration, callbacks, ",
    "prepare source=nexrad input=a output=b": "source=nexrad is unknown; allowed: bom, eccc_gif, ",
    "check data.batch_size=x": "data.batch_size must be",
    "train data.batch_size=0": "data.batch_size must be at least 1, got 0",
    "predict model=persistence input=a.nc output=b.nc": "no archive at a.nc",
    "predict model=persistence input=a.nc output=b.nc forecast_steps=0": "forecast_steps must be at least 1",
    "tune tune.trials=x": "tune.trials",
    "evaluate": "nothing to score",
    "evaluate checkpoint={here}/none.ckpt": "no checkpoint at",
    "evaluate model=persistence data.archives=[a.nc] output={here}/scores": "choose another output=",
    "predict checkpoint={here}/none.ckpt input=a.nc output=b.nc": "no checkpoint at",
    "predict checkpoint={here}/none.ckpt input=a.nc output={here}/there.nc": "choose another output=",
    "prepare source=knmi input=a output={here}/there.nc": "there.nc exists",
    "prepare source=knmi input=a output=b.nc on_error=never": "on_error must be stop or skip, got 'never'",
    "compare runs=[a] output={here}/compared": "holds a comparison already; choose another output=",
    "plot file=a.nc frames=many": "frames: Value 'many' of type 'str' could not be converted to Integer",
}  # fmt: skip
THERE = {"here.nc", "run/config.yaml", "scores/scores.csv", "there.nc", "compared/statistics.nc"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit code, what was said and what was imported, by command; and the folder that they ran in."""
    folder = tmp_path_factory.mktemp("refusals")
    for name in THERE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    commands = [case.format(here=folder).split() for case in CASES]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path.append({str(Path(once.__file__).parents[2])!r}){LOOK}"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    return dict(zip(CASES, json.loads(result.stdout), strict=True)), folder


@pytest.mark.parametrize("case", CASES)
def test_a_usage_error_costs_no_import_of_what_is_slow(answers, case):
    """Hydra and the composition of the config take half a second; torch and Lightning six."""
    code, said, imported = answers[0][case]
    assert (code, imported) == (2, []), said
    assert CASES[case] in said
    assert "Traceback" not in said


def test_refusals_leave_nothing(answers):
    folder = answers[1]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == THERE


def test_help_waits_for_no_numpy():
    names = sorted(COMMANDS.keys() - {"plot"})
    subprocess.run([sys.executable, "-c", NUMPY.format(names=names)], check=True, timeout=100)


def test_what_hydra_calls_in_every_training_waits_for_no_numpy():
    """Its callbacks are made for --help and --cfg, too."""
    called = [node["_target_"] for node in composed_hydra("train").callbacks.values()]
    assert "nowcast.studies.multirun_end.SummaryAtEnd" in called
    look = "import sys; from hydra.utils import get_class; [*map(get_class, sys.argv[1:])]; "
    look += "assert not {'numpy', 'rich', 'matplotlib', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", look, *called], check=True, timeout=100)


def composed_hydra(program):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(program, ["output=x"], return_hydra_config=True).hydra
