"""The tables of an evaluation, or of pooled ones, in Markdown: scores, differences with intervals, events won.

python scripts/report_tables.py outputs/report/pooled --model network_calibrated --scores csi brier
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"
TIMES_100 = {"brier"}  # of which the digits that differ stand far behind the point


def main() -> None:
    """Write the tables to the standard output."""
    parser = argparse.ArgumentParser(description="Tables of an evaluation")
    parser.add_argument("evaluation", type=Path, help="folder with intervals.csv and differences.csv")
    parser.add_argument("--model", default="network_calibrated", help="whose differences to all others are shown")
    parser.add_argument("--scores", nargs="+", default=["csi"])
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.5, 2.0, 5.0], help="mm/h")
    parser.add_argument("--leads", nargs="+", type=float, default=[30.0, 60.0], help="minutes")
    settings = parser.parse_args()
    columns = [(threshold, lead) for threshold in settings.thresholds for lead in settings.leads]
    folder = settings.evaluation
    values, differences = rows(folder / "intervals.csv"), rows(folder / "differences.csv")
    if not any(row["model"] == settings.model for row in values):
        parser.error(
            f"--model {settings.model}: scored were {', '.join(dict.fromkeys(row['model'] for row in values))}"
        )
    for score in settings.scores:
        say(score_table(values, score, columns))
        say(difference_table(differences, settings.model, score, columns))
    events = folder / "events.csv"
    if events.is_file():  # not of runs that scored other blocks
        say(event_table(rows(events), settings.model, columns))


def rows(path: Path) -> list[Row]:
    """The lines of a CSV file by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def score_table(values: Sequence[Row], score: str, columns: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A line for each model: its score and, of CSI, its frequency bias."""
    yield from header(f"{score.upper()}{unit(score)}{' (frequency bias)' if score == 'csi' else ''}", columns)
    for model in dict.fromkeys(row["model"] for row in values):
        ours = [row for row in values if row["model"] == model]
        found = at(ours, score, columns)
        bias = at(ours, "bias", columns) if score == "csi" else {}
        yield line(model, (number(found, "value", c, score) + shown_bias(bias.get(c)) for c in columns))


def difference_table(
    differences: Sequence[Row], model: str, score: str, columns: Sequence[tuple[float, float]]
) -> Iterator[str]:
    """A line for each other model: the difference and its interval."""
    yield from header(f"{model} {MINUS}", columns)
    ours = [row for row in differences if row["model"] == model]
    for other in dict.fromkeys(row["other"] for row in ours):
        found = at([_of_difference(row) for row in ours if row["other"] == other], score, columns)
        parts = [[number(found, name, c, score) for name in ("difference", "low", "high")] for c in columns]
        yield line(other, (f"{value} ({low} to {high})" for value, low, high in parts))


def _of_difference(row: Row) -> Row:
    """A line whose interval, which is that of the gain, is that of the difference: less is better of some scores."""
    if not row["gain"] or float(row["gain"]) * float(row["difference"]) >= 0:
        return row
    return {**row, "low": f"{-float(row['high'])}", "high": f"{-float(row['low'])}"}


def event_table(events: Sequence[Row], model: str, columns: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A line for each other model: in how many events the model is ahead, level, behind."""
    yield from header("ahead / level / behind", columns)
    ours = [row for row in events if row["model"] == model]
    for other in dict.fromkeys(row["other"] for row in ours):
        found = {(float(row["threshold_mmh"]), float(row["lead_time"])): row for row in ours if row["other"] == other}
        counts = (
            [found[c][name] for name in ("ahead", "level", "behind")] if c in found else [NOTHING] for c in columns
        )
        yield line(other, (" / ".join(of_column) for of_column in counts))


def at(values: Iterable[Row], score: str, columns: Sequence[tuple[float, float]]) -> dict[tuple[float, float], Row]:
    """The lines of a score at these thresholds and lead times, not means over lead times."""
    found = {
        (float(row["threshold_mmh"]), float(row["lead_time"])): row
        for row in values
        if row["score"] == score and not row["axis"] and row["threshold_mmh"] and row["lead_time"] not in ("", "mean")
    }
    return {column: found[column] for column in columns if column in found}


def number(found: Mapping[tuple[float, float], Row], name: str, column: tuple[float, float], score: str) -> str:
    """As it is printed: .123, Brier times 100 as 1.23; a dash where there is none."""
    text = found[column][name] if column in found else ""
    if text in ("", "nan"):
        return NOTHING
    value = float(text) * (100 if score in TIMES_100 else 1)
    written = f"{value:.2f}" if score in TIMES_100 else f"{value:.3f}".replace("0.", ".", 1)
    return written.replace("-", MINUS)


def shown_bias(row: Row | None) -> str:
    """In brackets behind a CSI."""
    return f" ({float(row['value']):.2f})" if row and row["value"] not in ("", "nan") else ""


def unit(score: str) -> str:
    """What a score was multiplied by."""
    return " \N{MULTIPLICATION SIGN} 100" if score in TIMES_100 else ""


def header(title: str, columns: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Two lines."""
    yield line(title, (f"≥ {threshold:g}, {lead:g} min" for threshold, lead in columns))
    yield line("---", ("---" for _ in columns))


def line(first: str, cells: Iterable[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join([first, *cells]) + " |"


def say(lines: Iterable[str]) -> None:
    """Write them, and an empty line."""
    sys.stdout.write("".join(f"{one}\n" for one in lines) + "\n")


if __name__ == "__main__":
    main()
