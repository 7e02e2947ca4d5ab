"""What is read out of run directories."""

import copy
import json
import math

import pytest
import yaml

from nowcast.data.archive.frame import DataFormatError
from nowcast.report.mean_csi import MeanScore
from nowcast.report.paper.rows import read_rows
from nowcast.verification.per_frame.paper_metrics import PaperScores
from tests.report.paper.runs import CONFIG, PRINTED, write_run

BEST = dict(PaperScores.best)
EXPERIMENTS = {name: CONFIG for name in ("net", "fc", "other")}


def test_rows_take_scores_settings_and_losses_from_their_run(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["model"]["hidden"], config["trainer"]["max_epochs"] = [8], 2
    write_run(tmp_path / "net", config)
    net, rover, fc, _ = read_rows(tmp_path, PRINTED, BEST, EXPERIMENTS)
    assert net.scores.overall["csi"] == 0.5
    assert list(net.scores.by_lead_time["csi"]) == [0.6, 0.4]
    assert net.pooled_csi == MeanScore(0.3, 1, 2)  # over the lead times where it is defined, at 0.5, not at 2 mm/h
    assert math.isnan(rover.pooled_csi.value)
    assert net.run is rover.run
    assert net.run.losses == [(0, 8.5), (1, 7.25)]
    assert net.run.split == {"train": 2, "val": 1, "test": 0}
    assert net.run.departures == ["model.hidden: [64, 64] → [8]", "trainer.max_epochs: 200 → 2"]
    assert (fc.run, fc.scores, fc.pooled_csi) == (None, None, None)
    assert net.printed == {"csi": 0.577}


def test_a_network_scored_on_other_data_is_compared_by_those(tmp_path):
    write_run(tmp_path / "net")
    write_run(tmp_path / "scored_apart")
    (tmp_path / "other").mkdir()
    (tmp_path / "scored_apart" / "evaluation").rename(tmp_path / "other" / "evaluation")
    settings = tmp_path / "other" / "evaluation" / "settings.yaml"
    settings.write_text(yaml.safe_dump({"data": {"batch_size": 3}}))
    row = read_rows(tmp_path, PRINTED, BEST, EXPERIMENTS)[3]
    assert row.run.folder == tmp_path / "net"
    assert row.run.departures == ["data.batch_size: 8 → 3"]
    assert row.scores.overall["csi"] == 0.5


def test_a_run_without_scores_is_a_row_without_them(tmp_path):
    write_run(tmp_path / "net")
    for path in (tmp_path / "net" / "evaluation").iterdir():
        path.unlink()
    (tmp_path / "net" / "metrics.csv").unlink()
    net = read_rows(tmp_path, PRINTED, BEST, EXPERIMENTS)[0]
    assert (net.scores, net.pooled_csi, net.run.losses, net.run.epochs) == (None, None, [], 0)


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json", "split.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    write_run(tmp_path / "net")
    (tmp_path / "net" / name).write_text("{")
    with pytest.raises(DataFormatError, match=name.replace(".", r"\.")):
        read_rows(tmp_path, PRINTED, BEST, EXPERIMENTS)


def test_sequences_are_counted_too(tmp_path):
    write_run(tmp_path / "net")
    counts = {split: {"count": number, "made": "generated"} for split, number in (("train", 10000), ("test", 3000))}
    (tmp_path / "net" / "split.json").write_text(json.dumps(counts))
    assert read_rows(tmp_path, PRINTED, BEST, EXPERIMENTS)[0].run.split == {"train": 10000, "test": 3000}
