"""What the system does to a run: full disks, dead workers, files that vanish, too little memory."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from nowcast.data.archive import writer as archive_writer
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.sampling import EPOCHS
from nowcast.forecasting import checkpoint
from nowcast.training.loggers.metrics import MetricsWriter
from nowcast.training.task import NowcastTask
from tests.data.archives import frame, write
from tests.faults.runs import SMALL, result, start, wait_for
from tests.programs import rows, run

HINT = "resume=auto"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("system")


def train(folder, name, *overrides):
    where = [f"data.archives.folder={folder / 'data'}", f"output={folder / name}"]
    return run("train", *SMALL, "trainer.max_epochs=3", *where, *overrides)


def last(folder, name):
    return checkpoint.read(folder / name / "checkpoints" / "last.ckpt")


# -- full disks ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_may_not_grow_ends_the_run_in_words_and_it_goes_on_with_room(folder):
    """The real thing: the system refuses to write more than 8 kB into a file; a checkpoint is larger."""
    assert train(folder, "room", "trainer.max_epochs=1", "evaluate=false") == (0, "")
    size = (folder / "room" / "checkpoints" / "last.ckpt").stat().st_size
    code, out = result(start(folder / "tight", "trainer.max_epochs=3", limit=size // 2))
    assert code == 1
    assert "Traceback" not in out
    assert "nowcast train: error: [Errno 27] File too large" in out
    assert HINT in out
    assert list((folder / "tight" / "checkpoints").iterdir()) == []
    assert result(start(folder / "tight", "trainer.max_epochs=3", "resume=auto"))[0] == 0
    assert last(folder, "tight")["epoch"] == 2


def test_metrics_stay_whole_on_a_full_disk(tmp_path, monkeypatch):
    writer = MetricsWriter(str(tmp_path))
    writer.log_metrics({"loss": 1.0}, 0)
    writer.save()
    before = (tmp_path / "metrics.csv").read_bytes()
    opened = type(tmp_path).open

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, text):
            self.file.write(text[: len(text) // 2])
            self.file.flush()
            raise OSError(28, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            self.file.close()

    def full(path, mode="r", **how):
        file = opened(path, mode, **how)
        return Full(file) if mode in "aw" else file

    monkeypatch.setattr(type(tmp_path), "open", full)
    for values in ({"loss": 2.0}, {"score": 3.0}):  # a line more; a column more
        writer.log_metrics(values, 1)
        with pytest.raises(OSError, match="No space left"):
            writer.save()
        assert (tmp_path / "metrics.csv").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    monkeypatch.undo()
    writer.save()
    assert [row["loss"] for row in rows(tmp_path / "metrics.csv")] == ["1.0", "2.0", ""]


def test_a_full_disk_while_logging_ends_the_run_with_its_checkpoint(folder, monkeypatch):
    save = MetricsWriter.save

    def full(writer):
        if any("epoch" in row and row["epoch"] == 1 for row in writer.metrics):
            raise OSError(28, "No space left on device", writer.metrics_file_path)
        save(writer)

    monkeypatch.setattr(MetricsWriter, "save", full)
    code, message = train(folder, "log")
    assert code == 1
    assert "No space left on device: files that were whole before are as they were" in message
    assert "metrics.csv" in message
    assert HINT in message
    assert last(folder, "log")["epoch"] in (0, 1)
    assert {row["epoch"] for row in rows(folder / "log" / "metrics.csv")} <= {"", "0"}


@pytest.mark.slow
def test_an_archive_that_does_not_fit_is_not_there_and_the_message_says_so(tmp_path):
    noise = np.random.default_rng(0).uniform(0, 50, (40, 64, 64))
    source = write(tmp_path / "source.nc", [frame(5 * k, field) for k, field in enumerate(noise)])
    before = source.read_bytes()
    prepare = ["source=netcdf", f"input={source}", f"output={tmp_path / 'new.nc'}", "source.variable=rain_rate"]
    code, out = result(start(tmp_path, *prepare, settings=[], program="prepare", limit=60_000))
    assert code == 1, out
    assert "new.nc: cannot be written" in out
    assert "MB are free" in out
    assert "Traceback" not in out
    assert [path.name for path in tmp_path.iterdir()] == ["source.nc"]
    assert source.read_bytes() == before
    assert result(start(tmp_path, *prepare, settings=[], program="prepare"))[0] == 0


# -- data ------------------------------------------------------------------------------------------------------


class Dying(RadarDataset):
    """Samples whose loading ends the process that loads them, in the second epoch."""

    def cut(self, index):
        if index // len(self) % EPOCHS:  # 1 and later
            os.kill(os.getpid(), signal.SIGKILL)
        return super().cut(index)


@pytest.mark.slow  # processes that load data take seconds to begin
@pytest.mark.timeout(300)
def test_a_worker_that_dies_is_told_with_what_to_lower(folder, monkeypatch):
    monkeypatch.setattr("nowcast.data.datamodule.RadarDataset", Dying)
    code, message = train(folder, "worker", "data.workers=1")
    assert code == 1
    assert "a process that loads data died" in message
    assert "lower data.workers, now 1" in message
    assert HINT in message
    assert last(folder, "worker")["epoch"] == 0
    monkeypatch.undo()
    assert train(folder, "worker", "data.workers=0", "resume=auto") == (0, "")
    assert last(folder, "worker")["epoch"] == 2


def own_data(folder, name):
    """Settings of a run with archives that no other test needs."""
    return [f"data.archives.folder={folder / name}_data", "trainer.max_epochs=3"]


def spoil(monkeypatch, archives, harm):
    """Do harm to the archives after the first epoch."""

    def after(task):
        if task.current_epoch == 0:
            for path in archives.rglob("*.n*"):
                harm(path)

    monkeypatch.setattr(NowcastTask, "on_train_epoch_end", after)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_an_archive_cut_short_in_mid_run_is_named(folder, monkeypatch, workers):
    name = f"cut_{workers}"
    spoil(monkeypatch, folder / f"{name}_data", lambda path: os.truncate(path, 3000))
    code, message = train(folder, name, *own_data(folder, name), f"data.workers={workers}")
    assert code == 1
    assert f"{name}_data" in message
    assert ".nc: c" in message  # cannot be opened, cannot read
    assert last(folder, name)["epoch"] in range(3)  # what the library has in memory lasts for a while


@pytest.mark.slow  # processes that load data take seconds to begin
@pytest.mark.timeout(300)
def test_an_archive_that_vanishes_in_mid_run_is_named_when_it_is_opened_next(folder, monkeypatch):
    spoil(monkeypatch, folder / "gone_data", lambda path: path.unlink())
    code, message = train(folder, "gone", *own_data(folder, "gone"), "data.workers=1")
    # Workers that have a file open keep it; those that score open it anew.
    assert code == 1
    assert "gone_data" in message
    assert ".nc: cannot be opened any more" in message
    assert last(folder, "gone")["epoch"] == 2


def test_an_unpacked_copy_cut_short_is_named_and_does_not_kill_the_process(folder, monkeypatch):
    def harm(path):
        if path.suffix == ".npy":
            os.truncate(path, 500)

    spoil(monkeypatch, folder / "mapped_data", harm)
    code, message = train(folder, "mapped", *own_data(folder, "mapped"), "data.cache=memmap")
    assert code == 1
    assert ".npy: cannot read frames" in message
    assert "the file was cut short" in message


# -- memory ----------------------------------------------------------------------------------------------------

CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.02 GiB is free."
    " Including non-PyTorch memory, this process has 22.60 GiB memory in use. If reserved but unallocated memory is "
    "large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation. See documentation."
)
CPU = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
CASES = [(torch.OutOfMemoryError(CUDA), "Tried to allocate 2.50 GiB"), (RuntimeError(CPU), "to allocate 8 bytes")]


@pytest.mark.parametrize(
    ("error", "numbers"),
    [
        (torch.OutOfMemoryError(CUDA), "Tried to allocate 2.50 GiB"),
        (RuntimeError(CPU), "you tried to allocate 8 bytes"),
    ],
)
def test_out_of_memory_says_the_numbers_and_what_to_lower(folder, monkeypatch, error, numbers):
    def forward(task, *arguments):
        raise error

    monkeypatch.setattr(NowcastTask, "forward", forward)
    code, message = train(folder, f"memory_{type(error).__name__}")
    assert code == 1
    assert numbers in message
    assert "batches of 4 x (3 + 4) frames" in message
    assert "data.batch_size=2 trainer.accumulate_grad_batches=2" in message
    assert "model.recompute=true" in message
    assert "trainer.precision=bf16-mixed" in message
    assert "model.hidden, now [4, 4]" in message
    assert "PYTORCH_ALLOC_CONF" not in message


def test_another_error_of_the_program_is_not_dressed_up(folder, monkeypatch):
    def forward(task, *arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(NowcastTask, "forward", forward)
    with pytest.raises(RuntimeError, match="a bug"):
        train(folder, "bug")


def test_an_archive_on_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(archive_writer.ArchiveWriter, "_write_buffer", full)
    with pytest.raises(OSError, match=r"a\.nc: cannot be written \(NetCDF: HDF error\)"):
        write(tmp_path / "a.nc", [frame(0)])
    assert list(tmp_path.iterdir()) == []


def children_of(process, name):
    """Numbers of its child processes with a name in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == process.pid and name in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.mark.slow  # W&B's processes and ours take seconds to begin
def test_a_training_survives_the_death_of_the_process_of_wandb(tmp_path):
    """W&B sends everything through a process of its own; it is killed while the training runs."""
    folder = tmp_path / "run"
    process = start(folder, "logger=wandb", "trainer.max_epochs=20", "callbacks.watch=null")
    last = folder / "checkpoints" / "last.ckpt"
    assert wait_for(last.exists, process), result(process)
    (number,) = children_of(process, "wandb-core")
    os.kill(number, signal.SIGKILL)
    code, out = result(process)
    assert code == 0, out
    assert out.count("W&B's process is gone") == 1
    assert "Traceback" not in out
    epochs = [row for row in rows(folder / "metrics.csv") if row["val/loss"]]
    assert len(epochs) == 20
    assert (folder / "evaluation" / "scores.csv").exists()
