"""What is to be known of archives beside their names: what was made of their values, and what is left out of them."""

import json
from collections.abc import Sequence
from typing import Any

from nowcast.data.archive.archive import Archive
from nowcast.data.windows.settings import SplitMethod

PAPER = "data.split.method=paper: test and training windows share days, as in the paper; by_day keeps them apart"
MOST_SHOWN = 3  # archives in a sentence


def facts_of(archives: Sequence[Archive]) -> dict[str, Any]:
    """Plain facts that only some archives have: limits of their values, the mask of each (a digest), its snapshot."""
    limits = {archive.attributes.get("limits", "") for archive in archives} - {""}
    masks = {archive.name: archive.mask.digest for archive in archives if archive.mask is not None}
    found: dict[str, Any] = {}
    if limits:
        found["limits"] = [json.loads(text) for text in sorted(limits)]
    if masks:
        found["masks"] = masks
    if snapshots := {archive.name: archive.snapshot for archive in archives if archive.snapshot is not None}:
        found["snapshots"] = snapshots
    return found


def caveat_of(split: SplitMethod, archives: Sequence[Archive]) -> str:
    """What a reader of scores must know of the split and of masks; "" where there is nothing."""
    said = [PAPER] if split == "paper" else []
    shares = [(archive.name, archive.mask.share) for archive in archives if archive.mask is not None]
    if shares:
        shown = ", ".join(f"{share:.2%} of {name}" for name, share in shares[:MOST_SHOWN])
        more = ", …" if len(shares) > MOST_SHOWN else ""
        said.append(f"data.mask leaves out cells, in inputs and in what is scored: {shown}{more}")
    return "; ".join(said)
