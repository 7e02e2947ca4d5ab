"""Nothing that is loaded from disk is executed, and no key is written to it."""

import ast
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import nowcast
from nowcast.config.program import CONFIGS
from nowcast.config.secrets import refuse_secrets
from nowcast.config.trusted import trusted
from nowcast.forecasting import checkpoint
from tests.extension import declare
from tests.faults.runs import result, start
from tests.programs import TINY, composed, run

SENTINEL = "0123456789abcdef0123456789abcdef01234567"  # as long as a key of W&B
SOURCES = sorted(Path(nowcast.__file__).parent.rglob("*.py"))


@pytest.fixture
def best(trained):
    return trained / "checkpoints" / "best.ckpt"


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# -- pickles ---------------------------------------------------------------------------------------------------


def harmful(path, best, mark):
    """A checkpoint with a bomb inside."""
    torch.save(torch.load(best, weights_only=True) | {"extra": Bomb(mark)}, path)


def plain_pickle(path, best, mark):
    path.write_bytes(pickle.dumps({"nowcast": {}, "state_dict": {}, "extra": Bomb(mark)}))


@pytest.mark.parametrize("make", [harmful, plain_pickle])
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path, best, make):
    path, mark = tmp_path / "bad.ckpt", tmp_path / "executed"
    make(path, best, mark)
    with pytest.raises(ValueError, match=r"bad\.ckpt: not a readable checkpoint"):
        checkpoint.load(path)
    for program, key in (("evaluate", "checkpoint"), ("predict", "checkpoint"), ("train", "resume")):
        more = [f"input={__file__}"] if program == "predict" else TINY if program == "train" else []  # a file is there
        code, message = run(program, f"{key}={path}", f"output={tmp_path / 'out'}", *more)
        assert (code, "not a readable checkpoint" in message) == (1, True), message
    assert not mark.exists()
    mark.mkdir()
    with pytest.raises(FileExistsError):  # the bomb is live
        pickle.loads(pickle.dumps(Bomb(mark)))


# -- configs that come with a file -----------------------------------------------------------------------------

BAD = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "torch.load",
    "nowcast.models.networks.convlstm.torch.load",
    "nowcast.data.windows.dataset.np.load",
    "nowcast.verification.scores.spatial.np",
    "nowcast.studies.search.process.run_process",
    "nowcast.data.archive.writer.os.remove",
    "nowcast.data.mnist.moving_mnist.Path",
    "nowcast.models",
    "nowcast.modelsx.Y",
    "nowcast.data.prepare.netcdf.prepare_archive",
    "nowcast.data.archive.archive.Archive",
    "nowcast.data.archive.writer.ArchiveWriter",
    "nowcast.data.formats.knmi.KnmiReader",
    "nowcast.data.windows.index.NoWindowError",
    "ConvLSTM",
    "",
    "nowcast.models..ConvLSTM",
]


@pytest.mark.parametrize("name", [*BAD, 5, None])
def test_only_classes_of_this_project_are_built_from_a_file(name):
    for values in ({"_target_": name}, {"a": [{"b": {"_target_": name}}]}):
        with pytest.raises(ValueError, match=r"of x: .*_target_ is .*nor of an installed extension"):
            trusted(values, "of x")


@pytest.mark.parametrize("data", [path.stem for path in sorted((CONFIGS / "data").glob("*.yaml"))])
def test_every_data_of_ours_may_come_from_a_file_without_a_look_at_what_is_installed(data, monkeypatch):
    monkeypatch.setattr("nowcast.config.trusted.entry_points", None)
    given = ["data.archives=[a.nc]"] if data == "radar" else []
    trusted(OmegaConf.to_container(composed(f"data={data}", *given, program="check").data, resolve=True), "x")


@pytest.mark.parametrize("experiment", [path.stem for path in sorted((CONFIGS / "experiment").glob("*.yaml"))])
def test_so_may_the_data_of_every_experiment(experiment):
    given = ["model=convlstm"] if experiment.endswith("_base") else []  # which have none by themselves
    given += ["data.archives=[a.nc]"] if experiment == "fine_tune" else []
    trusted(OmegaConf.to_container(composed(f"experiment={experiment}", *given).data, resolve=True), "x")


def test_interpolations_of_a_file_are_refused():
    for text in ("${y}", "${oc.env:HOME}", "\\${y}"):
        with pytest.raises(ValueError, match="an interpolation"):
            trusted({"_target_": text, "y": "os.system"}, "x")
        with pytest.raises(ValueError, match="an interpolation"):
            trusted({"lr": [text]}, "x")


def test_classes_that_an_installed_package_declares_are_known(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"nor of an installed extension \(there is none\).*docs/extending\.md"):
        trusted({"_target_": "collections.Counter"}, "x")
    declare(tmp_path, monkeypatch, "[nowcast.models]\ncounter = collections:Counter\ndict = collections:OrderedDict\n")
    trusted({"_target_": "collections.Counter"}, "x")
    with pytest.raises(ValueError, match=r"extension \(collections\.Counter, collections\.OrderedDict\)"):
        trusted({"_target_": "collections.deque"}, "x")


def test_a_checkpoint_whose_network_is_a_program_is_refused(tmp_path, best):
    content = torch.load(best, weights_only=True)
    mark = tmp_path / "executed"
    content["nowcast"]["config"]["model"] = {"_target_": "os.mkdir", "_args_": [str(mark)]}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad\.ckpt: model\._target_ is 'os\.mkdir'"):
        checkpoint.load(tmp_path / "bad.ckpt")
    content = torch.load(best, weights_only=True)
    content["nowcast"]["config"]["data"]["archives"] = {"_target_": "os.mkdir", "_args_": [str(mark)]}
    torch.save(content, tmp_path / "worse.ckpt")
    code, message = run("evaluate", f"checkpoint={tmp_path / 'worse.ckpt'}", f"output={tmp_path / 'out'}")
    assert (code, "archives._target_ is 'os.mkdir'" in message) == (1, True), message
    assert not mark.exists()


def test_a_network_that_could_not_be_read_back_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.config.trusted.PACKAGES", ("nowcast.scaling",))
    code, message = run("train", *TINY, f"output={tmp_path / 'run'}", f"data.archives.folder={tmp_path}")
    assert (code, "docs/extending.md" in message) == (1, True)


# -- the source ------------------------------------------------------------------------------------------------


def calls():
    """(file, name of the function, arguments by name) of every call in the package."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                yield path.name, ast.unparse(node.func), keywords


def test_the_package_neither_unpickles_nor_extracts_nor_evaluates():
    forbidden = ("pickle.load", "pickle.loads", "eval", "exec", "os.system", "yaml.load", "yaml.unsafe_load")
    for name, function, keywords in calls():
        assert function not in forbidden, (name, function)
        # Members of archives are read, never written to disk: no path in one can leave a folder.
        assert function.rpartition(".")[2] not in ("extractall", "extract", "unpack_archive"), (name, function)
        assert keywords.get("shell") != "True", (name, function)
        assert keywords.get("allow_pickle", "False") == "False", (name, function)
        if function == "torch.load":
            assert keywords["weights_only"] == "True", name
        if function == "np.load":
            assert keywords["allow_pickle"] == "False", name


# -- keys ------------------------------------------------------------------------------------------------------


def files_with(folder, text):
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_without_its_server_a_run_is_logged_offline_and_no_key_is_written(tmp_path):
    """W&B is told to be online at an address where nobody listens."""
    folder = tmp_path / "run"
    server = {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": SENTINEL}
    short = ["logger=wandb", "logger.wandb.settings.init_timeout=5", "logger.wandb.settings.finish_timeout=5"]
    code, out = result(start(folder, *short, "calibration=none", settings=TINY, **server))
    assert code == 0, out
    assert "W&B cannot be reached" in out
    assert "wandb sync" in out
    assert (folder / "evaluation" / "scores.csv").exists()
    kept = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 1
    assert kept[0].stat().st_size > 1000
    assert SENTINEL not in out
    assert files_with(tmp_path, "val/csi_0p5mmh")  # the search below finds what is there
    assert files_with(tmp_path, SENTINEL) == []


def test_a_key_in_the_config_or_on_the_command_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SENTINEL)
    for typed in (f"name={SENTINEL}", "name=${oc.env:WANDB_API_KEY}", f"+logger.wandb.settings.api_key={SENTINEL}"):
        code, message = run("train", *TINY, "logger=wandb", f"output={tmp_path / 'run'}", typed)
        assert (code, "written into run directories" in message) == (1, True), message
        assert SENTINEL not in message
        assert not (tmp_path / "run" / "config.yaml").exists()
    assert files_with(tmp_path, SENTINEL) == []


def test_ordinary_configs_are_no_secrets(monkeypatch, best):
    monkeypatch.setenv("SOME_TOKEN", "short")
    config = json.loads(json.dumps(torch.load(best, weights_only=True)["nowcast"]["config"]))
    refuse_secrets(config)
