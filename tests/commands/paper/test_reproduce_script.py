"""scripts/reproduce_paper.sh: what it asks of which program, with which data, and what it refuses."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.paper.test_paper_report import small_day

SCRIPT = Path(__file__).parents[3] / "scripts" / "reproduce_paper.sh"


def reproduce(*arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_command_reproduces_the_radar_experiment_and_goes_on_where_it_stopped(tmp_path):
    command = ["radar", "--quick", "--output", str(tmp_path / "out"), "--", *small_day(tmp_path)]
    first = reproduce(*command)
    assert first.returncode == 0, first.stderr
    report = tmp_path / "out" / "report_radar" / "report.md"
    text = report.read_text()
    assert "Not there yet" not in text
    (tmp_path / "out" / "paper_radar_fc_lstm").rename(tmp_path / "elsewhere")
    assert reproduce(*command).returncode == 0
    again = report.read_text()
    assert [line for line in text.splitlines() if line.startswith("| ")][:8] == [
        line for line in again.splitlines() if line.startswith("| ")
    ][:8]
    assert reproduce(*command).stdout.count("finished already") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--data", "x"], "--data belongs to an experiment"),
     (["radar", "--data", "no/such/place"], "--data no/such/place: no such folder"),
     (["rain"], "unknown argument rain"), (["mnist", "--data"], "--data needs a folder"),
     (["mnist", "--output"], "--output needs a folder"),
     (["mnist", "--output", "/dev/null"], "--output /dev/null: not a folder that can be written")],
)  # fmt: skip
def test_the_script_refuses_what_it_does_not_understand(arguments, said):
    ended = reproduce(*arguments)
    assert ended.returncode == 2
    assert f"reproduce_paper.sh: {said}" in ended.stderr
    assert "--quick" in ended.stderr  # the usage


STUBS = {
    "nowcast": """#!/usr/bin/env bash
printf '%s\\n' "nowcast $*" >> "$LOG"
[[ $1 != prepare ]] || { out=${*: -1}; out=${out#output=}; out=${out#\\'}; touch "${out%\\'}"; }
""",
    "python": """#!/usr/bin/env bash
[[ $1 != -c ]] || exit "${NO_GPU:-0}"
printf '%s\\n' "python $*" >> "$LOG"
for word in "$@"; do
    if [[ $word == output=* && $2 == nowcast.commands.tune_baseline ]]; then
        out=${word#output=}; out=${out#\\'}; out=${out%\\'}
        mkdir -p "$out"; echo baselines.rover1.alpha=7.0 > "$out/overrides.txt"
    fi
done
""",
}


@pytest.fixture
def commands(tmp_path):
    """Runs the script with programs that only write down what they were asked; returns that."""
    for name, text in STUBS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def ask(*arguments, gpu=False, code=0):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        given = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "LOG": str(log)}
        given["NO_GPU"] = "0" if gpu else "1"
        ended = subprocess.run(
            ["bash", str(SCRIPT), *arguments], env=os.environ | given, capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stderr
        return log.read_text().splitlines() if log.exists() else [ended.stderr]

    return ask


def test_without_a_name_both_experiments_run_and_the_one_without_network_first(commands, tmp_path):
    lines = commands("--output", str(tmp_path / "out"))
    trained = [line.split("experiment=")[1].split()[0] for line in lines if line.startswith("nowcast train")]
    assert trained[:2] == ["paper_radar_synthetic"] * 2
    assert trained[2:] == [
        "mnist_fc_lstm", "mnist_convlstm_1x256", "mnist_convlstm_2x128", "mnist_convlstm_9x9_2layers",
        "mnist_convlstm_3layers", "mnist_convlstm_9x9_3layers",
    ]  # fmt: skip
    first_run = f"output='{tmp_path}/out/paper_radar'"
    assert sum(first_run in line and "baselines.rover1.alpha=7.0" in line for line in lines) == 1
    assert [line.split("printed=")[1].split()[0] for line in lines if "paper_report" in line] == ["radar", "mnist"]
    evaluated = [line for line in lines if line.startswith("nowcast evaluate")]
    assert [line.rsplit("output=", 1)[1] for line in evaluated] == [f"'{tmp_path}/out/mnist_three_digits/evaluation'"]


@pytest.mark.parametrize(
    ("extra", "chosen"),
    [
        ([], "trainer=gpu trainer.precision=32-true"),
        (["--", "data.workers=8"], "trainer=gpu trainer.precision=32-true data.workers=8"),
        (["--", "trainer=cpu"], "trainer=cpu"),
    ],
)
def test_a_gpu_is_used_unless_another_trainer_is_asked_for(commands, tmp_path, extra, chosen):
    lines = commands("mnist", "--output", str(tmp_path / "o"), *extra, gpu=True)
    lines = [line for line in lines if line.startswith("nowcast train")]
    assert len(lines) == 6
    assert all(line.endswith(chosen) for line in lines)
    assert all(("trainer=gpu" in line) == (extra != ["--", "trainer=cpu"]) for line in lines)
    without = commands("mnist", "--output", str(tmp_path / "p"), *extra)
    assert not any("trainer=gpu" in line for line in without)


def test_each_radar_of_environment_canada_gets_an_archive_of_its_own(commands, tmp_path):
    data, out = tmp_path / "Radar (copy), it's", tmp_path / "out"
    for folder in ("CASCM/day1", "CASGO/day1"):
        (data / folder).mkdir(parents=True)
        (data / folder / "2024_Rain.gif").write_text("x")
    (tmp_path / "linked").symlink_to(data)
    lines = commands("radar", "--data", str(tmp_path / "linked"), "--output", str(out))
    made = [line for line in lines if line.startswith("nowcast prepare")]
    assert [line.rsplit("/", 1)[1] for line in made] == ["eccc_cascm_day1.nc'", "eccc_casgo_day1.nc'"]
    assert any("experiment=paper_radar_open" in line for line in lines)
    again = commands("radar", "--data", str(tmp_path / "linked"), "--output", str(out))
    assert not any(line.startswith("nowcast prepare") for line in again)
    (data / "CASGO/day1/2025_Rain.gif").write_text("x")
    said = commands("radar", "--data", str(tmp_path / "linked"), "--output", str(out), code=2)
    assert "eccc_casgo_day1.nc was made of other files" in said[0]
    quoted = commands("radar", "--data", str(data), "--output", str(tmp_path / "other"))[0]
    assert "input='" + str(data / "CASCM/day1").replace("'", "\\'") + "'" in quoted


def test_rover_is_tuned_for_each_kind_of_data(commands, tmp_path):
    out, hko = tmp_path / "out", tmp_path / "hko"
    (hko / "radarPNG").mkdir(parents=True)
    tuned = []
    for arguments in ([], ["--data", str(hko)]):
        lines = commands("radar", *arguments, "--output", str(out))
        tuned += [line.split("output=")[1] for line in lines if "tune_baseline" in line]
    assert tuned == [f"'{out}/tuned_rover_synthetic'", f"'{out}/tuned_rover'"]


def test_two_scripts_do_not_write_one_folder(commands, tmp_path):
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = commands("mnist", "--output", str(tmp_path / "out"), code=1)
    assert "another one is writing" in said[0]


@pytest.mark.thorough
def test_a_folder_without_radar_is_explained(tmp_path):
    given = ["--data", str(tmp_path), "--output", str(tmp_path / "out")]
    ended = reproduce("radar", *given, "--", "trainer=cpu")  # or else it asks torch for a GPU, which takes seconds
    assert ended.returncode == 2
    assert "expected radarPNG/2011/05/03/RAD110503000000.png" in ended.stderr
    assert "Hong Kong Observatory" in ended.stderr
