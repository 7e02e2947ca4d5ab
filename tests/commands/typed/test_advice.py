"""What messages say to type works when it is typed as it stands.

Each case is a command that is refused, where the message holds the advice, and what the advice makes of the command.
"""

import re
import shlex

import pytest
import torch

from tests.data.archives import moving_rain
from tests.data.formats import fakes
from tests.programs import TINY, ended

SHORT = ["evaluate=false", "trainer.max_epochs=1", "calibration=none"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with blanks in its name, in which there are a run, an archive, a scored folder and provider files."""
    folder = tmp_path_factory.mktemp("advice") / "of one"
    folder.mkdir()
    moving_rain(folder / "rain.nc", frames=60)
    for name, times in (("a,b=c", (5,)), ("plain", (5,)), ("many", (5, 10, 15))):
        (folder / name).mkdir()
        fakes.cf(folder / name / "a.nc", [[[0.0, 1.0], [2.0, 3.0]]] * len(times), times=times)
    echoes = f"data.archives.folder={folder / 'echoes'}"
    assert ended("train", *TINY, *SHORT, f"output={folder / 'run'}", echoes) == (0, "")
    for name in ("one", "two"):
        assert ended("evaluate", *scored(folder), f"output={folder / name}") == (0, "")
    return folder


def scored(folder):
    """An evaluation that takes a second."""
    return [
        "model=persistence", f"data.archives=[{folder}/rain.nc]", "data.split.method=all", "data.crop=null",
        "data.input_steps=2", "data.forecast_steps=2", "data.workers=0", "data.windows.stride=20", "html=false",
        "scores=basic",
    ]  # fmt: skip


def train(*more, without=()):
    kept = [text for text in TINY if text.split("=")[0] not in without]
    return ["train", *kept, *SHORT, "output=<here>/new", "data.archives.folder=<here>/echoes", *more]


def predict(*more):
    return ["predict", "input=<here>/rain.nc", "output=<here>/new.nc", *more]


def evaluate(*more):
    return ["evaluate", *scored("<here>"), "output=<here>/new", *more]


CHECKPOINT = "checkpoint=<here>/run/checkpoints/best.ckpt"
# name: (command, advice in its message, what of the command it takes the place of, what it stands for in the new one)
CASES = {
    "a misspelt key": (train("nmae=x"), r"did you mean (name)\?", "nmae=x", "<advice>=x"),
    "a misspelt setting": (
        train("model.hiden=[4,4]"),
        r"did you mean (model\.hidden)\?", "model.hiden=[4,4]", "<advice>=[4,4]",
    ),
    "a misspelt choice": (train("loss=cros_entropy"), r"did you mean (loss=\S+)\?", "loss=cros_entropy", "<advice>"),
    "a setting that is not in the config": (
        train("trainer.benchmark=false"),
        r"may be added: (\+trainer\.benchmark)=<value>", "trainer.benchmark=false", "<advice>=false",
    ),
    "a misspelt setting that is added": (
        train("+trainer.benchmrk=false"),
        r"did you mean (trainer\.benchmark)\?", "+trainer.benchmrk=false", "+<advice>=false",
    ),
    "a misspelt class": (
        train("loss._target_=nowcast.training.losses.cells.CrosEntropy"), r"did you mean (\w+)\?",
        "loss._target_=nowcast.training.losses.cells.CrosEntropy",
        "loss._target_=nowcast.training.losses.cells.<advice>",
    ),
    "no GPU": (train("trainer=gpu"), r"use (trainer=cpu)", "trainer=gpu", "<advice>"),
    "a score that is not logged": (
        train("callbacks.checkpoint.monitor=val/acc"), r"choose one of ([^, ]+)",
        "callbacks.checkpoint.monitor=val/acc", "callbacks.checkpoint.monitor=<advice>",
    ),
    "a run that is there": (
        [*train()[:-2], "data.archives.folder=<here>/echoes", "output=<here>/run"], r"or (resume=auto) to go on", "",
        "<advice>",
    ),
    "a network called as a baseline": (
        train("+model@baselines.convlstm=persistence"), r"such as (\+model@baselines\.convlstm_2)=<model>",
        "+model@baselines.convlstm=persistence", "<advice>=persistence",
    ),
    "a crop that no grid holds": (
        train("data.crop=64", without=["data.crop"]),
        r"Give (data\.crop=\d+) or", "data.crop=64", "<advice>",
    ),
    "no window": (
        [
            "train", *SHORT, "experiment=convlstm", "data=radar", "data.archives=[<here>/rain.nc]", "data.crop=16",
            "data.workers=0", "model.hidden=[4,4]", "output=<here>/new", "data.sampling.min_rain_fraction=0",
        ],
        r"no split is empty: (.+)", "", "<advice>",
    ),
    "a format is missing": (
        ["prepare", "input=<here>/plain", "output=<here>/new.nc"], r"source= is missing; allowed: .*\b(netcdf)\b", "",
        "source=<advice>",
    ),
    "an input is missing": (
        ["prepare", "source=netcdf", "output=<here>/new.nc"], r"add (input=)<value>", "", "<advice><here>/plain",
    ),
    "a path that Hydra reads otherwise": (
        ["prepare", "source=netcdf", "input=<here>/a,b=c", "output=<here>/new.nc"], r"if it is a text, quote it: (.+)",
        "input=<here>/a,b=c", "<advice>",
    ),
    "nothing to score": (
        ["evaluate", *scored("<here>")[1:], "output=<here>/new"], r"(model=persistence)", "", "<advice>",
    ),
    "scores are there": (
        evaluate("output=<here>/one"),
        r"choose another (output=)", "output=<here>/one", "<advice><here>/new",
    ),
    "no CUDA device to score on": (evaluate("device=cuda"), r"use (device=cpu)", "device=cuda", "<advice>"),
    "one run to compare": (
        ["compare", "runs=[\"<here>/one\"]", "output=<here>/new", "html=false"], r"or (runs=)\{name: <run>, …\}",
        "runs=[\"<here>/one\"]", "<advice>{one: \"<here>/one\", two: \"<here>/two\"}",
    ),
    "how far": (predict("model=persistence"), r"such as (\d+)", "", "forecast_steps=<advice>"),
    "no such time": (
        predict("model=persistence", "forecast_steps=2", "init_time=2024-05-01T00:07"), r"the nearest: (init_time=\S+)",
        "init_time=2024-05-01T00:07", "<advice>",
    ),
    "a network that has no calibration": (predict(CHECKPOINT), r"use (calibrated=false)", "", "<advice>"),
    "a network and a model": (
        predict(CHECKPOINT, "model=persistence"),
        r"either (checkpoint=)<file>", "model=persistence", "calibrated=false",
    ),
    "a forecast that is there": (
        predict("model=persistence", "forecast_steps=2", "output=<here>/rain.nc"), r"choose another (output=)",
        "output=<here>/rain.nc", "<advice><here>/new.nc",
    ),
    "no archive": (
        ["predict", "model=persistence", "forecast_steps=1", "output=<here>/new.nc", "input=<here>/many"],
        r"add (source=)<format>", "", "<advice>netcdf",
    ),
}  # fmt: skip


@pytest.fixture
def new(here):
    """Nothing is where new things go."""
    for path in sorted(here.glob("new*")):
        for below in sorted(path.rglob("*"), reverse=True):
            below.rmdir() if below.is_dir() else below.unlink()
        path.rmdir() if path.is_dir() else path.unlink()


# One of each command here; each of these takes its command twice.
FAST = (
    "a misspelt setting", "no window", "a path that Hydra reads otherwise", "scores are there", "one run to compare",
    "no such time",
)  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=() if one in FAST else pytest.mark.thorough) for one in CASES]
)
@pytest.mark.usefixtures("new")
def test_advice_works_as_it_stands(here, case):
    command, pattern, instead_of, becomes = CASES[case]
    if "GPU" in case and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    program, *typed = [text.replace("<here>", str(here)) for text in command]
    code, message = ended(program, *typed)
    assert code in (1, 2), message
    found = re.search(pattern, message)
    assert found, message
    again = [text for text in typed if text != instead_of.replace("<here>", str(here))]
    assert len(again) == len(typed) - bool(instead_of)
    if becomes == "<advice>":
        again += shlex.split(found[1])
    else:
        again.append(becomes.replace("<advice>", found[1]).replace("<here>", str(here)))
    assert ended(program, *again) == (0, ""), (again, message)
