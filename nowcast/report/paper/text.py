"""The words and tables of the report, as Markdown."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nowcast.config.differences import flat
from nowcast.report.mean_csi import MeanScore
from nowcast.report.paper.rows import PaperRow, Run

MISSING = "\N{EN DASH}"
POOLING = (
    "The paper's CSI is taken of each frame and then averaged, so that a frame with a few rainy cells weighs as much "
    "as one full of rain, and a frame without rain in forecast and observation counts as perfect (CSI = POD = 1, "
    "FAR = 0). The pooled CSI sums the hits, misses and false alarms of all windows at a lead time first and divides "
    "once: rainy situations decide it, and dry ones add nothing."
)


def write_text(
    printed: Mapping[str, Any], rows: Sequence[PaperRow], figures: Mapping[str, Sequence[Path]], caveats: Sequence[str],
    quick: bool,
) -> str:  # fmt: skip
    """The whole report.

    Args:
        printed: configs/printed/*.yaml as plain values.
        rows: See read_rows.
        figures: Heading → pictures beside the report.
        caveats: What a reader of the scores must know.
        quick: Say above everything that the runs are reduced.
    """
    parts = [f"# {printed['title']}"]
    if quick:
        parts.append(
            "> **The runs behind this page are reduced** in data, network and epochs, so that the whole chain takes "
            "minutes. Its numbers show that the chain works, and nothing of how well the methods do."
        )
    parts += [
        "## Scores",
        score_table(printed, rows),
        f"Printed: {printed['printed_for']}. Ours: {_data_in_words(rows)}. Difference: ours - printed.",
    ]
    parts += [f"> {caveat}" for caveat in caveats]
    if printed["pooled_threshold"] is not None:
        parts += ["## Pooled scores", pooled_table(printed, rows), POOLING]
    for heading, paths in figures.items():
        parts += [f"## {heading}", *(f"![{heading}]({path.name})" for path in paths)]
    parts += ["## Data", *data_text(rows), "## Departures from the paper's settings", *departures_text(rows)]
    parts += ["## Runs", run_table(rows)]
    if lacking := [row for row in rows if row.scores is None]:
        parts += [
            "## Not there yet",
            "\n".join(f"- {row.name} (folder `{row.folder}`): {_why(row)}" for row in lacking),
        ]
    return "\n\n".join(parts) + "\n"


def score_table(printed: Mapping[str, Any], rows: Sequence[PaperRow]) -> str:
    """Ours, the paper's and the difference for each score that the paper prints; ours alone for the others."""
    header, printed_anywhere = ["model"], {score for row in rows for score in row.printed}
    for score in printed["scores"]:
        header.append(score["title"])
        header += ["printed", "difference"] if score["score"] in printed_anywhere else []
    lines = []
    for row in rows:
        cells = [row.name + _narrower(row)]
        for score in printed["scores"]:
            ours = math.nan if row.scores is None else row.scores.overall[score["score"]]
            theirs = row.printed.get(score["score"], math.nan)
            cells.append(_number(ours, score["digits"]))
            if score["score"] in printed_anywhere:
                cells += [_number(theirs, score["digits"]), _number(ours - theirs, score["digits"], sign="+")]
        lines.append(cells)
    return _table(header, lines)


def pooled_table(printed: Mapping[str, Any], rows: Sequence[PaperRow]) -> str:
    """The paper's CSI beside the pooled one, both means over lead times, with their number where not all have one."""
    lines = [
        [row.name, _number(math.nan if row.scores is None else row.scores.overall["csi"], 3),
         _pooled(row.pooled_csi)]
        for row in rows
    ]  # fmt: skip
    threshold = f"{printed['pooled_threshold']:g} mm h-1"
    return _table(["model", f"CSI, the paper's (> {threshold})", f"CSI, pooled (≥ {threshold})"], lines)


def _pooled(mean: MeanScore | None) -> str:
    if mean is None:
        return _number(math.nan, 3)
    return _number(mean.value, 3) + (f" ({mean.defined} of {mean.lead_times} lead times)" if mean.is_part else "")


def data_text(rows: Sequence[PaperRow]) -> list[str]:
    """What was trained and scored on, said once for runs that agree."""
    folders: dict[str, list[str]] = {}
    for folder, run in _runs(rows).items():
        folders.setdefault(_describe(run), []).append(folder)
    return [f"{', '.join(f'`{folder}`' for folder in names)}: {text}" for text, names in folders.items()]


def departures_text(rows: Sequence[PaperRow]) -> list[str]:
    """Every setting of a run that is not that of the paper's experiment."""
    texts = []
    for folder, run in _runs(rows).items():
        if run.departures:
            lines = "\n".join(f"- `{departure}`" for departure in run.departures)
            texts.append(f"`{folder}` (the paper's experiment → this run):\n\n{lines}")
        else:
            texts.append(f"`{folder}`: none of the settings compared.")
    return [
        *texts,
        "What the software itself does otherwise than the paper, and what cannot be known, is in docs/protocol.md.",
    ]


def run_table(rows: Sequence[PaperRow]) -> str:
    """When, where and with what each run was made."""
    header = ["run", "parameters", "epochs", "begun (UTC)", "finished", "taken up again", "device", "torch", "nowcast"]
    lines = []
    for folder, run in _runs(rows).items():
        lines.append([
            f"`{folder}`", f"{run.facts['parameters']:,}", str(run.epochs), run.facts["started"][:16],
            run.facts.get("finished", MISSING)[:16], str(len(run.facts.get("resumed", []))), run.facts["device"],
            run.facts["torch"], f"{run.facts['nowcast']} ({str(run.facts['git_commit'])[:10]})",
        ])  # fmt: skip
    return _table(header, lines)


def _narrower(row: PaperRow) -> str:
    """What the network behind a row has otherwise than the paper's."""
    departures = [] if row.run is None or not row.is_network else row.run.departures
    changed = [text.removeprefix("model.") for text in departures if text.startswith("model.")]
    return f" (ours: {'; '.join(changed)})" if changed else ""


def _runs(rows: Sequence[PaperRow]) -> dict[str, Run]:
    return {row.folder: row.run for row in rows if row.run is not None}


def _why(row: PaperRow) -> str:
    if row.run is None:
        return "not begun"
    return "its run is not finished" if "finished" not in row.run.facts else "not among the models it scored"


def _describe(run: Run) -> str:
    data, sizes = run.config["data"], ", ".join(f"{count:,} {split}" for split, count in run.split.items())
    settings = {key: value for key, value in flat(data).items() if _tells(key)}
    shown = ", ".join(f"{key}={_short(value)}" for key, value in settings.items())
    return f"{sizes} samples. Settings: `{shown}`."


def _data_in_words(rows: Sequence[PaperRow]) -> str:
    texts = list(dict.fromkeys(run.data for run in _runs(rows).values()))
    return "; ".join(texts) or "no run yet"


def _tells(key: str) -> bool:
    return key.startswith(
        (
            "archives.source",
            "split.method",
            "split.block_",
            "seed",
            "digits.",
            "test_digits.",
            "speed",
            "online",
            "files.",
        )
    ) and not key.endswith("_target_")


def _short(value: Any) -> str:  # noqa: ANN401
    return str(value).replace("`", "'")


def _number(value: float, digits: int, sign: str = "") -> str:
    return MISSING if math.isnan(value) else f"{value:{sign}.{digits}f}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "| --- |" + " ---: |" * (len(header) - 1)
    return "\n".join([line(header), rule, *(line(cells) for cells in lines)])
