"""What stored configs say in old words – checkpoints, runs, sums, searches – and how it is said now.

Every stored config is read through `as_now`, so that nothing else knows that there were other words.
"""

import re
from typing import Any

from nowcast.config.grouped import in_groups, name_now
from nowcast.config.mistakes import UsageError

TARGETS = {
    "nowcast.callbacks.BestCheckpoint": "nowcast.training.callbacks.checkpoints.BestCheckpoint",
    "nowcast.callbacks.EarlyStopping": "nowcast.training.callbacks.stopping.EarlyStopping",
    "nowcast.callbacks.LastCheckpoint": "nowcast.training.callbacks.checkpoints.LastCheckpoint",
    "nowcast.callbacks.StopOnDivergence": "nowcast.training.callbacks.stopping.StopOnDivergence",
    "nowcast.data.days.ArchiveDays": "nowcast.data.paper.days.ArchiveDays",
    "nowcast.data.hko.HkoTree": "nowcast.data.paper.hko.HkoTree",
    "nowcast.data.moving_mnist.MovingMnist": "nowcast.data.mnist.moving_mnist.MovingMnist",
    "nowcast.data.paper_archives.PaperArchives": "nowcast.data.paper.archives.PaperArchives",
    "nowcast.data.synthetic.SyntheticRain": "nowcast.data.synthetic.rain.SyntheticRain",
    "nowcast.data.synthetic_archives.SyntheticArchives": "nowcast.data.synthetic.archives.SyntheticArchives",
    "nowcast.frame_metrics.FrameScores": "nowcast.verification.per_frame.frame_metrics.FrameScores",
    "nowcast.losses.BalancedError": "nowcast.training.losses.cells.BalancedError",
    "nowcast.losses.CrossEntropy": "nowcast.training.losses.cells.CrossEntropy",
    "nowcast.losses.MeanAbsoluteError": "nowcast.training.losses.cells.MeanAbsoluteError",
    "nowcast.losses.MeanSquaredError": "nowcast.training.losses.cells.MeanSquaredError",
    "nowcast.models.convlstm.ConvLSTM": "nowcast.models.networks.convlstm.ConvLSTM",
    "nowcast.models.extrapolation.Extrapolation": "nowcast.models.baselines.extrapolation.Extrapolation",
    "nowcast.models.fc_lstm.FCLSTM": "nowcast.models.networks.fc_lstm.FCLSTM",
    "nowcast.models.lagrangian_probability.LagrangianProbability": (
        "nowcast.models.baselines.lagrangian_probability.LagrangianProbability"
    ),
    "nowcast.models.persistence.Persistence": "nowcast.models.baselines.persistence.Persistence",
    "nowcast.models.rover.Rover": "nowcast.models.baselines.rover.Rover",
    "nowcast.models.unet.UNet": "nowcast.models.networks.unet.UNet",
    "nowcast.optimizers.PaperRMSProp": "nowcast.training.optimizers.PaperRMSProp",
    "nowcast.optimizers.warmup_cosine": "nowcast.training.optimizers.warmup_cosine",
    "nowcast.paper_metrics.PaperScores": "nowcast.verification.per_frame.paper_metrics.PaperScores",
    "nowcast.scores.bootstrap.Bootstrap": "nowcast.verification.bootstrap.Bootstrap",
    "nowcast.scores.categorical.Categorical": "nowcast.verification.scores.categorical.Categorical",
    "nowcast.scores.categorical.MaxPooled": "nowcast.verification.scores.categorical.MaxPooled",
    "nowcast.scores.continuous.Balanced": "nowcast.verification.scores.continuous.Balanced",
    "nowcast.scores.continuous.Continuous": "nowcast.verification.scores.continuous.Continuous",
    "nowcast.scores.ensemble.EnsembleErrors": "nowcast.verification.scores.ensemble.EnsembleErrors",
    "nowcast.scores.ensemble.Probabilities": "nowcast.verification.scores.probability.Probabilities",
    "nowcast.scores.ensemble.RankHistogram": "nowcast.verification.scores.ensemble.RankHistogram",
    "nowcast.scores.sal.StructureAmplitudeLocation": "nowcast.verification.scores.sal.StructureAmplitudeLocation",
    "nowcast.scores.spatial.Fractions": "nowcast.verification.scores.spatial.Fractions",
    "nowcast.scores.spatial.Spectrum": "nowcast.verification.scores.spatial.Spectrum",
    "nowcast.search.samplers.Grid": "nowcast.studies.search.samplers.Grid",
    "nowcast.strata.Strata": "nowcast.verification.strata.Strata",
    "nowcast.studies.summary.SummaryAtEnd": "nowcast.studies.multirun_end.SummaryAtEnd",
    "nowcast.summary.SummaryAtEnd": "nowcast.studies.multirun_end.SummaryAtEnd",
    "nowcast.tensorboard_logger.tensorboard_logger": "nowcast.training.loggers.tensorboard.tensorboard_logger",
    "nowcast.unused.RemoveUnused": "nowcast.config.run_folder.RemoveUnused",
    "nowcast.training.losses.BalancedError": "nowcast.training.losses.cells.BalancedError",
    "nowcast.training.losses.CrossEntropy": "nowcast.training.losses.cells.CrossEntropy",
    "nowcast.training.losses.ExceedanceLoss": "nowcast.training.losses.events.ExceedanceLoss",
    "nowcast.training.losses.MeanAbsoluteError": "nowcast.training.losses.cells.MeanAbsoluteError",
    "nowcast.training.losses.MeanSquaredError": "nowcast.training.losses.cells.MeanSquaredError",
    "nowcast.verification.scores.ensemble.Probabilities": "nowcast.verification.scores.probability.Probabilities",
    "nowcast.wandb_logger.PatientWandbLogger": "nowcast.training.loggers.wandb.PatientWandbLogger",
    "nowcast.watch.TrainingBar": "nowcast.training.callbacks.watch.TrainingBar",
    "nowcast.watch.Watch": "nowcast.training.callbacks.watch.Watch",
}
GONE = {"cuda_graphs": "it had never run on a CUDA device (docs/performance.md): leave it out"}
DEFAULTS = {"experiment=lagrangian"}  # choices that are what a training does without them
KEYS = {"metrics": "frame_scores"}  # groups of the config of a training
# What was a word, or not said, and is a node.
FREQUENCY = "nowcast.forecasting.calibration.method.Frequency"
COST_LOSS = [0.02, 0.05, 0.1, 0.2, 0.5]
CALIBRATIONS = {
    "none": None,
    "frequency": {"_target_": FREQUENCY, "levels": 1024, "cost_loss": COST_LOSS, "decide": "bias"},
}
GREY_HEAD = {"_target_": "nowcast.forecasting.heads.GreyHead"}
# Settings that a class did not have, and what it does now: scores of the same sums stay comparable.
SINCE: dict[str, dict[str, Any]] = {
    FREQUENCY: {"cost_loss": COST_LOSS, "decide": "bias"},
    "nowcast.data.datamodule.RadarDataModule": {"index": None, "mask": None},
    "nowcast.models.lagrangian.Lagrangian": {"local_slope": False, "turns": 1},
    "nowcast.data.windows.settings.SplitSettings": {"train_archives": []},
    "nowcast.data.windows.settings.SamplingSettings": {
        "archive_weights": None,
        "rain_factor_sigma": 0.0,
        "zoom": 1.0,
        "crops_per_window": 1,
        "season_weights": None,
    },
    "nowcast.verification.scores.probability.Probabilities": {
        "cost_loss_ratios": [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "reference": "lagrangian_probability",
    },
}


def as_now(values: Any) -> Any:  # noqa: ANN401 (plain values)
    """Plain values of a stored config as the configs say them now."""
    if isinstance(values, dict):
        of_training = "baselines" in values
        found = {
            KEYS[key] if of_training and key in KEYS else key: _value_now(key, value)
            for key, value in values.items()
            if not (of_training and key in GONE)
        }
        since = SINCE.get(str(found.get("_target_")), {})
        return _searched_now(_with_nodes(_with_since(in_groups(since | found))))
    return [as_now(value) for value in values] if isinstance(values, (list, tuple)) else values


def _with_since(values: dict[Any, Any]) -> dict[Any, Any]:
    """Groups of settings, just made of single ones, with the settings that they have since."""
    return {
        key: SINCE.get(str(value.get("_target_")), {}) | value if isinstance(value, dict) else value
        for key, value in values.items()
    }


def _value_now(key: str, value: Any) -> Any:  # noqa: ANN401
    return TARGETS.get(value, value) if key == "_target_" and isinstance(value, str) else as_now(value)


def _with_nodes(values: dict[str, Any]) -> dict[str, Any]:
    """A config of a training with a head and a calibration; anything else as it is."""
    if not {"model", "loss", "optimizer"} <= values.keys():
        return values
    calibration = values.get("calibration", "none")
    known = CALIBRATIONS.get(calibration, calibration) if isinstance(calibration, str) else calibration
    return {"head": GREY_HEAD} | values | {"calibration": known}


def _searched_now(values: dict[Any, Any]) -> dict[Any, Any]:
    """The config of a study, whose space names settings by their keys; anything else as it is."""
    data, tune = values.get("data"), values.get("tune")
    target = data.get("_target_") if isinstance(data, dict) else None
    space = tune.get("space") if isinstance(tune, dict) else None
    for parameter in space.values() if isinstance(space, dict) else ():
        group, _, name = str(parameter.get("key")).partition(".") if isinstance(parameter, dict) else ("", "", "")
        if group == "data" and (now := name_now(target, name)):
            parameter["key"] = f"data.{now}"
    return values


def calibration_now(stored: dict[str, Any], identity: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its calibration; before it named what is applied, it named how that was fitted.

    Levels of decision were those of bias 1 alone.

    Args:
        stored: What the checkpoint holds of it: "state", and "applied", or "lead_times" (minutes, or their number).
        identity: Its config and the facts of its data, as they are said now.
    """
    if "applied" in stored:
        return _with_decisions(stored)
    table, lead_times = stored["state"]["table"], stored["lead_times"]
    steps = identity["data"].get("timesteps_seconds", [60])  # frames where the data is no rain
    if isinstance(lead_times, int) and len(steps) == 1:
        lead_times = [steps[0] * (k + 1) / 60 for k in range(lead_times)]
    rows: dict[str, Any] = {"lead_times": lead_times}
    if not identity["config"]["head"].get("thresholds"):
        kind, rows["levels"] = "frequency.FrequencyCalibration", table.shape[1] - 1
    else:
        kind, rows["thresholds"] = "probability.LevelCalibration", table.shape[1]
        if table.ndim == 3:
            kind, rows["levels"] = "probability.ReliabilityCalibration", table.shape[2] - 1
    applied = {"_target_": f"nowcast.forecasting.calibration.{kind}"} | rows
    return _with_decisions({"applied": applied, "state": stored["state"]})


def _with_decisions(stored: dict[str, Any]) -> dict[str, Any]:
    """Levels (T, K) of one decision as those (T, 1, K) of all; anything else as it is."""
    applied, state = stored["applied"], stored["state"]
    if not applied["_target_"].endswith(".LevelCalibration") or "decisions" in applied:
        return stored
    return {"applied": applied | {"decisions": ["bias"]}, "state": state | {"table": state["table"].unsqueeze(1)}}


def refuse_old_keys(overrides: list[str]) -> None:
    """Refuse settings that are called otherwise now.

    Raises:
        UsageError: One is; the message says how.
    """
    for text in overrides:
        sign, first, rest = re.fullmatch(r"([+~]*)([^@.=]*)(.*)", text, flags=re.DOTALL).groups()  # type: ignore[union-attr]
        if text in DEFAULTS:
            raise UsageError(f"{text} is the default now: leave it out")
        if first in GONE:
            raise UsageError(f"{first} is no setting any more: {GONE[first]}")
        if first in KEYS:
            raise UsageError(f"{first} is called {KEYS[first]} now: type {sign}{KEYS[first]}{rest}")
