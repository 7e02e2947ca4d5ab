"""`nowcast train -m`: parallel jobs, jobs that are queued again, what is refused, and the table over the runs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from wandb import wandb_agent

from nowcast.config.program import CONFIGS
from nowcast.forecasting import checkpoint
from nowcast.studies.summary import summarise
from nowcast.training.multirun import refuse_processes
from tests.programs import TINY, run

SETTINGS = [*TINY, "calibration=none"]
SWEEP = Path(__file__).parents[2] / "scripts" / "wandb_sweep.yaml"


def multirun(folder, *overrides, **environment):
    command = [
        sys.executable,
        "-m",
        "nowcast.commands.train",
        "-m",
        *SETTINGS,
        f"data.archives.folder={folder / 'data'}",
    ]
    command += [f"hydra.sweep.dir={folder / 'sweep'}", *overrides]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


# -- distributed training is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trainer", [{"devices": 2}, {"devices": "auto"}, {"devices": [0, 1]}, {"devices": 1, "num_nodes": 2}]
)
def test_several_processes_are_refused_with_the_reason(trainer):
    with pytest.raises(ValueError, match=r"would start this whole multirun again.*nowcast tune tune/sampler=grid"):
        refuse_processes(OmegaConf.create({"trainer": trainer}))


def test_a_multirun_under_torchrun_is_refused(monkeypatch):
    refuse_processes(OmegaConf.create({"trainer": {"devices": 1}}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="multirun"):
        refuse_processes(OmegaConf.create({"trainer": {"devices": 1}}))


def test_the_command_refuses_ddp_in_a_multirun_before_any_run_begins(tmp_path, capsys):
    code, _ = run("train", "-m", "trainer=ddp", "trainer.accelerator=cpu", f"hydra.sweep.dir={tmp_path}", "seed=0,1")
    assert code == 1
    assert "each would start this whole multirun again" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/config.yaml"))


# -- jobs that are queued again ------------------------------------------------------------------------------


def children(pattern):
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if pattern in line]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_pre_empted_job_is_queued_again_and_continues(tmp_path):
    process = multirun(
        tmp_path, "hydra/launcher=submitit_local", "seed=5", "trainer.max_epochs=30", "optimizer=rmsprop_paper"
    )
    try:
        last = tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt"
        end = time.monotonic() + 120
        while not last.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert last.exists(), process.communicate()[0]
        (worker,) = children(f"submitit.core._submit {tmp_path / 'sweep'}")[-1:]
        os.kill(worker, signal.SIGUSR2)  # what SLURM sends before it takes the machine away
        out, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, out
    facts = json.loads((tmp_path / "sweep" / "0" / "provenance.json").read_text())
    assert [entry["from"] for entry in facts["resumed"]] == ["last.ckpt"]
    assert checkpoint.read(last)["epoch"] == 29
    epochs = [int(row["epoch"]) for row in rows(tmp_path / "sweep" / "0" / "metrics.csv") if row["val/loss"]]
    assert epochs == list(range(30))
    assert (tmp_path / "sweep" / "0" / "evaluation" / "scores.csv").exists()


# -- a grid in parallel --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_grid_runs_in_parallel_and_a_failing_job_does_not_take_the_others_with_it(tmp_path):
    process = multirun(
        tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model.hidden=[4,4],[4]", "seed=0,1",
        "trainer.max_epochs=1",
    )  # fmt: skip
    out, _ = process.communicate(timeout=380)
    assert process.returncode == 2  # a job's setting was wrong
    assert "mean ± standard deviation over seeds" in out
    table = rows(tmp_path / "sweep" / "summary.csv")
    assert [row["runs"] for row in table] == ["2"]
    for job in ("0", "1"):
        folder = tmp_path / "sweep" / job
        assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == int(job)
        assert (folder / "checkpoints" / "best.ckpt").exists()
    assert not (tmp_path / "sweep" / "2" / "checkpoints").exists()


def fake_run(folder, name, hidden, seed, values, csi=None):
    run_folder = folder / name
    (run_folder / "evaluation").mkdir(parents=True)
    config = {
        "name": "x", "seed": seed, "output": f"there/{name}", "evaluate": True, "resume": False,
        "data": {"seed": seed, "crop": 64}, "model": {"_target_": "nowcast.models.ConvLSTM", "hidden": hidden},
        "callbacks": {"checkpoint": {"monitor": "val/loss", "mode": "min", "dirpath": f"there/{name}/checkpoints"}},
        "verification": {"main_threshold": 0.5},
    }  # fmt: skip
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config))
    (run_folder / "metrics.csv").write_text("epoch,val/loss\n" + "".join(f"0,{value}\n" for value in values))
    if csi is not None:
        lines = [f"convlstm,0.5,{lead},{value}" for lead, value in enumerate(csi)] + ["convlstm,2.0,0,0.9"]
        (run_folder / "evaluation" / "scores.csv").write_text("model,threshold,lead,csi\n" + "\n".join(lines) + "\n")


def test_the_summary_against_a_table_worked_by_hand(tmp_path, capsys):
    fake_run(tmp_path, "0", [8, 8], 0, [0.5, 0.3, 0.4], [0.2, 0.4])
    fake_run(tmp_path, "1", [8, 8], 1, [0.5], [0.5, 0.5])
    fake_run(tmp_path, "2", [16, 16], 0, [0.2], [0.6, "nan"])
    fake_run(tmp_path, "3", [16, 16], 1, [0.1])  # unfinished
    summarise(tmp_path)
    small, large = rows(tmp_path / "summary.csv")
    assert (tmp_path / "summary.csv").read_bytes().endswith(b',2,\n"[16, 16]",1,1,0.2,,0.6,,,,1,\n')
    assert [row["model.hidden"] for row in (small, large)] == ["[8, 8]", "[16, 16]"]
    assert set(small) == {"model.hidden", "runs", "unfinished"} | {
        f"{score}_{part}" for score in ("val_best", "test_csi", "test_csi_calibrated") for part in ("mean", "sd")
    } | {"test_csi_lead_times", "test_csi_calibrated_lead_times"}
    assert (small["runs"], small["unfinished"], large["runs"], large["unfinished"]) == ("2", "0", "1", "1")
    assert float(small["val_best_mean"]) == pytest.approx(0.4)  # of 0.3 and 0.5
    assert float(small["val_best_sd"]) == pytest.approx(0.1 * 2**0.5)
    assert float(small["test_csi_mean"]) == pytest.approx(0.4)  # of 0.3 and 0.5
    assert float(large["test_csi_mean"]) == pytest.approx(0.6)  # undefined at one lead time
    assert (small["test_csi_lead_times"], large["test_csi_lead_times"]) == ("2", "1")
    assert (large["val_best_sd"], large["test_csi_calibrated_lead_times"]) == ("", "")
    assert small["test_csi_calibrated_mean"] == ""
    printed = capsys.readouterr().out
    assert "0.400 ± 0.141" in printed
    assert "0.600*" in printed
    assert "* over fewer lead times than there are" in printed
    assert "unfinished" in printed


def test_runs_whose_directory_is_called_like_a_setting_are_not_averaged(tmp_path):
    """Runs with the output "1" and crops of 10 and 100 cells."""
    for name, crop in (("0", 10), ("1", 100)):
        fake_run(tmp_path, name, [1], 1, [0.5], [0.2])
        path = tmp_path / name / "config.yaml"
        config = yaml.safe_load(path.read_text())
        config["output"], config["data"]["crop"], config["data"]["archives"] = "1", crop, f"rain/1/{name}.nc"
        config["callbacks"]["checkpoint"]["dirpath"] = "1/checkpoints"
        path.write_text(yaml.safe_dump(config))
    summarise(tmp_path)
    assert [(row["data.crop"], row["data.archives"], row["runs"]) for row in rows(tmp_path / "summary.csv")] == [
        ("10", "rain/1/0.nc", "1"), ("100", "rain/1/1.nc", "1"),
    ]  # fmt: skip


def test_a_multirun_without_a_best_checkpoint_ends_with_its_table(tmp_path, capsys):
    folder = tmp_path / "sweep"
    code, message = run(
        "train", "-m", *SETTINGS, "seed=0,1", "callbacks.checkpoint=null", "evaluate=false", "trainer.max_epochs=1",
        f"data.archives.folder={tmp_path / 'data'}", f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert (code, message) == (0, ""), capsys.readouterr().err
    summarise(folder)  # what the process does at its end
    (row,) = rows(folder / "summary.csv")
    assert (row["runs"], row["unfinished"], row["val_best_mean"]) == ("2", "0", "")


def test_a_folder_without_runs_is_refused_by_the_command(tmp_path):
    code, message = run("summary", f"runs={tmp_path}")
    assert code == 1
    assert "has no run" in message


# -- W&B -----------------------------------------------------------------------------------------------------


def agent_command(monkeypatch, tmp_path, values):
    """What `wandb agent` executes for a run with these values, from its own code and our sweep file."""
    started = []
    monkeypatch.setattr(wandb_agent, "AgentProcess", lambda command, env, **rest: started.append(command) or rest_of())
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")
    agent = wandb_agent.Agent.__new__(wandb_agent.Agent)
    agent.__dict__.update(
        _function=None, _in_jupyter=False, _forward_signals=False, _run_processes={}, _sweep_command=yaml.safe_load(
            SWEEP.read_text())["command"],
    )  # fmt: skip
    chosen = {key: {"value": value} for key, value in values.items()}
    agent._command_run({"run_id": "abc", "program": "nowcast/commands/train.py", "args": chosen})
    return started[0]


def rest_of():
    return type("Process", (), {})()


@pytest.mark.thorough
def test_the_sweeps_command_is_understood_whatever_value_the_agent_chooses(monkeypatch, tmp_path):
    parameters = yaml.safe_load(SWEEP.read_text())["parameters"]
    for last in (False, True):
        values = {
            key: node["values"][-1 if last else 0] if "values" in node else node["max" if last else "min"]
            for key, node in parameters.items()
        }
        command = agent_command(monkeypatch, tmp_path, values)
        assert command[:3] == ["/usr/bin/env", "nowcast", "train"]
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose("train", command[3:])
        for key, value in values.items():
            assert OmegaConf.select(config, key) == value
        assert config.logger.wandb.mode == "online"


def test_the_sweeps_metric_is_one_that_is_logged():
    from nowcast.training.validate import logged

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train")
    assert yaml.safe_load(SWEEP.read_text())["metric"]["name"] in logged(config.verification)


@pytest.mark.parametrize(
    ("variables", "group"),
    [({}, None), ({"WANDB_SWEEP_ID": "s1"}, "s1"), ({"WANDB_SWEEP_ID": "s1", "WANDB_RUN_GROUP": "study"}, "study")],
)
def test_runs_are_grouped_by_study_or_sweep(monkeypatch, variables, group):
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose("train", ["logger=wandb"]).logger.wandb.group == group


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_run_of_a_process_is_a_run_of_its_own_in_wandb_and_finished(tmp_path):
    """Also when the first fails: two jobs, one process, W&B offline."""
    process = multirun(
        tmp_path, "logger=wandb", "trainer.max_epochs=1", "seed=0,1", "evaluate=false", WANDB_MODE="offline"
    )
    out, _ = process.communicate(timeout=380)
    assert process.returncode == 0, out
    for job in ("0", "1"):
        (offline,) = (tmp_path / "sweep" / job / "wandb").glob("offline-run-*")
        assert list(offline.glob("run-*.wandb"))
        log = (offline / "logs" / "debug.log").read_text()
        assert "finish" in log
