"""How long it takes to score forecasts, beside the models' own time, and how much memory.

python scripts/benchmark_scores.py --windows 10000 --threads 2
Windows of 15×100×100 cells of synthetic rain, three models, all scores of `scores=standard`, sums by block.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from nowcast.config.build import build, plain
from nowcast.config.program import CONFIGS
from nowcast.training.run import make_families
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import estimate
from nowcast.verification.plan import ScoringPlan
from nowcast.verification.score_models import score_models
from nowcast.verification.strata import Groups, Strata

STEPS, SIDE, DAYS = 15, 100, 500
DISTINCT = 128  # windows of different rain, used again and again


class Shifted(nn.Module):
    """A model without cost: windows of another time in place of a forecast."""

    def __init__(self, shift: int) -> None:
        """By how many frames."""
        super().__init__()
        self.shift, self.seconds = shift, 0.0

    def forward(self, inputs: Tensor, steps: int) -> Tensor:
        """(B, T, 1, H, W)."""
        began = time.monotonic()
        forecast = torch.roll(inputs[:, :steps], (self.shift, self.shift), dims=(3, 4))
        self.seconds += time.monotonic() - began
        return forecast


class Windows:
    """Batches of windows, made once and given out many times; every tenth cell is no data."""

    def __init__(self, windows: int, batch: int) -> None:
        """Draw smooth rain with a dry half."""
        self.batches, self.batch = -(-windows // batch), batch
        distinct = -(-DISTINCT // batch)
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn(distinct, batch * STEPS, 1, SIDE, SIDE, generator=draw)
        smooth = torch.stack([nn.functional.avg_pool2d(part, 9, 1, 4) for part in noise]) * 9
        rain = (torch.exp(1.5 * smooth) - 1).clamp(min=0).reshape(distinct, batch, STEPS, 1, SIDE, SIDE)
        self.rain = rain
        self.mask = torch.rand(distinct, batch, STEPS, 1, SIDE, SIDE, generator=draw) > 0.1

    def __len__(self) -> int:
        """Number of batches."""
        return self.batches

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches; the windows of one day come one after the other."""
        for number in range(self.batches):
            k = number % len(self.rain)
            day = min(DAYS - 1, number * DAYS // self.batches)
            yield {
                "inputs": self.rain[k],
                "targets": self.rain[k],
                "mask": self.mask[k],
                "init_time": torch.full((self.batch,), day * 86400),
                "archive": torch.zeros(self.batch, dtype=torch.int64),
            }


def main() -> None:
    """Score, and say how long it took."""
    settings = arguments()
    torch.set_num_threads(settings.threads)
    with initialize_config_dir(str(CONFIGS), version_base=None):
        config = compose("evaluate", overrides=["model=persistence", "data.archives=[]", f"scores={settings.scores}"])
    models = {"one": Shifted(0), "two": Shifted(1), "three": Shifted(5)}
    days = np.arange(DAYS).astype("datetime64[D]").astype("datetime64[s]")
    plan = ScoringPlan(
        main_threshold=config.verification.main_threshold,
        variants={name: build(node) for name, node in config.frame_scores.items()},
        lead_times=tuple(5.0 * (k + 1) for k in range(STEPS)),
        lead_unit="minutes",
        families=make_families(config.scores),
        family_settings=plain(config.scores),
        groups=Groups(Strata("day", [0.1, 0.5]), [("synthetic", days)]),
        map_shape=(SIDE, SIDE),
        common_mask=False,
    )
    windows, memory = Windows(settings.windows, settings.batch), []

    def watched(batches: Iterable[Any], text: str, total: int) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            if number in (total // 10, total - 1):
                memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            yield batch

    began = time.monotonic()
    scores = score_models(models, windows, plan, torch.device("cpu"), watched)  # type: ignore[arg-type]
    scored = time.monotonic() - began
    own = sum(model.seconds for model in models.values())
    began = time.monotonic()
    assert scores.statistics is not None
    estimate(scores.statistics, plan.families, Bootstrap(1000, 0.95, 10, 0))
    what = f"{len(windows) * windows.batch} windows of {STEPS}x{SIDE}x{SIDE} in batches of {windows.batch}"
    how = f"{len(models)} models, scores={settings.scores}, {settings.threads} threads"
    sys.stdout.write(
        f"{what}, {how}: {scored - own:.1f} s of scoring, {own:.1f} s in the models; intervals and differences over "
        f"{DAYS} blocks {time.monotonic() - began:.1f} s; largest memory after a tenth {memory[0]:.0f} MB, at the end "
        f"{memory[-1]:.0f} MB\n"
    )


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description="How long scoring takes beside the models' own time")
    parser.add_argument("--windows", type=int, default=10000)
    parser.add_argument("--batch", type=int, default=32, help="windows at once, as data.batch_size of evaluate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scores", default="standard", help="basic, standard, ensemble or full")
    return parser.parse_args()


if __name__ == "__main__":
    main()
