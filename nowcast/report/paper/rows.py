"""What finished runs say of each row of a printed table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nowcast.config.differences import differences
from nowcast.config.moved import as_now
from nowcast.data.archive.frame import DataFormatError
from nowcast.report.csv_files import read_records
from nowcast.report.mean_csi import MeanScore, mean_csi
from nowcast.report.score_files import read_variant_csv
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.scores.family import Best

ARCHIVES_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Run:
    """A run directory.

    Args:
        folder: Where it is.
        config: Its resolved config.
        facts: Its provenance.json.
        split: Split → number of samples.
        data: The data in words: which archives, from when to when, or how many sequences.
        losses: (epoch, value) of the column asked for, in order.
        departures: "setting: the experiment's value → this run's" for every setting that matters and differs.
    """

    folder: Path
    config: dict[str, Any]
    facts: dict[str, Any]
    split: dict[str, int]
    data: str
    losses: list[tuple[int, float]]
    departures: list[str]

    @property
    def epochs(self) -> int:
        """Epochs that were validated."""
        return len(self.losses)


@dataclass(frozen=True, eq=False)
class PaperRow:
    """One row of the table.

    Args:
        name: As the paper calls it.
        label: Short name for figures.
        folder: Name of the folder of its scores.
        is_network: It was trained; else a baseline.
        printed: Score → the paper's number.
        scores: What came out, None = not scored yet.
        pooled_csi: CSI of pooled counts over lead times; None = not scored so.
        run: The run that scored it, None = not begun.
    """

    name: str
    label: str
    folder: str
    is_network: bool
    printed: dict[str, float]
    scores: VariantScores | None
    pooled_csi: MeanScore | None
    run: Run | None


def read_rows(
    runs: Path, printed: Mapping[str, Any], best: Mapping[str, Best], experiments: Mapping[str, dict[str, Any]]
) -> list[PaperRow]:
    """Every row of a printed table.

    Args:
        runs: Folder of run directories.
        printed: configs/printed/*.yaml as plain values.
        best: Score → "highest" or "lowest", the scores of the variant.
        experiments: Name of a run → config of the paper's experiment of that name.

    Raises:
        DataFormatError: A file of a run is damaged.
    """
    found: dict[str, Run | None] = {}
    rows = []
    for row in printed["rows"]:
        folder = row["folder"]
        if folder not in found:
            trained = runs / folder
            if not (trained / "config.yaml").is_file() and "trained_in" in row:
                trained = runs / row["trained_in"]
            found[folder] = read_run(trained, runs / folder, experiments[folder], printed)
        evaluation = runs / folder / "evaluation"
        scores = {each.model: each for each in _variant(evaluation / f"{printed['variant']}.csv", best)}
        rows.append(
            PaperRow(
                name=row["name"],
                label=row.get("label", row["name"]),
                folder=folder,
                is_network=row.get("network", False),
                printed=row.get("printed", {}),
                scores=scores.get(row["model"]),
                pooled_csi=mean_csi(evaluation / "scores.csv", row["model"], printed["pooled_threshold"]),
                run=found[folder],
            )
        )
    return rows


def read_run(trained: Path, scored: Path, experiment: dict[str, Any], printed: Mapping[str, Any]) -> Run | None:
    """A run, None if none was begun.

    Args:
        trained: Its directory.
        scored: The same, or where its checkpoint was scored on other data.
        experiment: Config of the paper's experiment.
        printed: configs/printed/*.yaml, for the settings to compare and the column of the losses.

    Raises:
        DataFormatError: One of its files is damaged.
    """
    if not (trained / "config.yaml").is_file():
        return None
    config = as_now(_read(trained / "config.yaml", yaml.safe_load))
    if scored != trained and (scored / "evaluation" / "settings.yaml").is_file():
        config["data"] = as_now(_read(scored / "evaluation" / "settings.yaml", yaml.safe_load)["data"])
    split = _read(trained / "split.json", json.loads)
    return Run(
        folder=trained,
        config=config,
        facts=_read(trained / "provenance.json", json.loads),
        split=_sizes(split),
        data=_in_words(split),
        losses=_losses(trained / "metrics.csv", printed["loss_column"]),
        departures=differences(_chosen(experiment, printed["settings"]), _chosen(config, printed["settings"])),
    )


def _variant(path: Path, best: Mapping[str, Best]) -> list[VariantScores]:
    return read_variant_csv(path, best) if path.is_file() else []


def _read(path: Path, parse: Any) -> Any:  # noqa: ANN401
    try:
        return parse(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataFormatError(path, f"cannot be read: {error}") from error


def _losses(path: Path, column: str) -> list[tuple[int, float]]:
    rows = read_records(path) if path.is_file() else []
    return [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column)]


def _sizes(split: dict[str, Any]) -> dict[str, int]:
    """Samples by split out of split.json: {split: {count}} of sequences, or {archive: {split: [times]}}."""
    if all("count" in entry for entry in split.values()):
        return {name: int(entry["count"]) for name, entry in split.items()}
    sizes: dict[str, int] = {}
    for archive in split.values():
        for name, times in archive.items():
            sizes[name] = sizes.get(name, 0) + len(times)
    return sizes


def _in_words(split: dict[str, Any]) -> str:
    """Such as "12 archives (hko_20110501, …), 2011-05-01 to 2013-09-20", or "10,000 training sequences"."""
    if all("count" in entry for entry in split.values()):
        return f"{int(split['train']['count']):,} training and {int(split['test']['count']):,} test sequences"
    times = sorted(time[:10] for archive in split.values() for starts in archive.values() for time in starts)
    names = ", ".join(list(split)[:ARCHIVES_SHOWN]) + (", …" if len(split) > ARCHIVES_SHOWN else "")
    return f"{len(split)} archives ({names}), {f'{times[0]} to {times[-1]}' if times else 'without a window'}"


def _chosen(config: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    return {key: _select(config, key) for key in settings}


def _select(config: Any, key: str) -> Any:  # noqa: ANN401
    for name in key.split("."):
        if not isinstance(config, dict) or name not in config:
            return "absent"
        config = config[name]
    return config
