"""Run directories as `nowcast train` leaves them, made by hand."""

import json

import numpy as np
import yaml

from nowcast.report.score_files import write_variant_csv
from nowcast.verification.per_frame.paper_metrics import PaperScores
from nowcast.verification.per_frame.variants import VariantScores

PRINTED = {
    "title": "Table 2",
    "printed_for": "the paper's radar",
    "variant": "paper",
    "scores": [
        {"score": "csi", "title": "CSI", "digits": 3},
        {"score": "rainfall_mse", "title": "Rainfall-MSE", "digits": 2},
    ],
    "loss_column": "val/loss",
    "pooled_threshold": 0.5,
    "settings": ["model", "trainer.max_epochs", "data.batch_size"],
    "rows": [
        {"name": "ConvLSTM(3x3)", "label": "ConvLSTM", "folder": "net", "model": "convlstm", "network": True,
         "printed": {"csi": 0.577}},
        {"name": "ROVER1", "folder": "net", "model": "rover1", "printed": {"csi": 0.516}},
        {"name": "FC-LSTM", "folder": "fc", "model": "fclstm", "network": True, "printed": {"csi": 0.286}},
        {"name": "elsewhere", "folder": "other", "trained_in": "net", "model": "convlstm", "network": True},
    ],
}  # fmt: skip
CONFIG = {
    "model": {"hidden": [64, 64]},
    "trainer": {"max_epochs": 200},
    "data": {"batch_size": 8, "split": {"method": "paper"}},
}
FACTS = {
    "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T01:00:00+00:00", "device": "cpu",
    "torch": "2.13.0", "nowcast": "0.1.0", "git_commit": "0123456789abcdef", "parameters": 1234567,
}  # fmt: skip


TIMES = ["2011-05-02T00:00:00", "2011-05-01T06:00:00", "2013-09-20T18:00:00"]


def variant(model, csi):
    """Scores of one model over two lead times."""
    values = {name: np.array([0.5, 0.25]) for name in PaperScores.best} | {"csi": np.array(csi)}
    overall = {name: float(np.mean(value)) for name, value in values.items()}
    return VariantScores("paper", model, (6.0, 12.0), "minutes", values, overall, dict(PaperScores.best))


def write_run(folder, config=CONFIG, facts=FACTS, models=None, pooled=True):
    """One run directory with evaluation."""
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "provenance.json").write_text(json.dumps(facts))
    (folder / "split.json").write_text(json.dumps({"day": {"train": TIMES[:2], "val": TIMES[2:], "test": []}}))
    (folder / "metrics.csv").write_text("epoch,step,train/loss,val/loss\n0,9,1.0,\n0,9,,8.5\n1,19,,7.25\n")
    write_variant_csv(evaluation / "paper.csv", models or [variant("convlstm", (0.6, 0.4)), variant("rover1", (0, 1))])
    if pooled:
        (evaluation / "scores.csv").write_text(
            "model,threshold,lead_time_minutes,csi\nconvlstm,0.5,6.0,0.3\nconvlstm,0.5,12.0,nan\nconvlstm,2.0,6.0,0.9\n"
            "rover1,0.5,6.0,nan\n"
        )
