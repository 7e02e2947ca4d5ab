"""Which losses, heads and data go together; others are refused before a training."""

from collections.abc import Sequence

from torch import nn

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.forecast import says_of
from nowcast.forecasting.heads import Head
from nowcast.training.losses.events import ExceedanceLoss


def refuse_head_without_rain(head: Head, quantity: str) -> None:
    """Refuse thresholds in mm/h for what is no rain.

    Raises:
        UsageError: With the head that fits.
    """
    if head.thresholds and quantity != "rain_rate":
        raise UsageError(
            f"head.thresholds={list(head.thresholds)} are mm/h, and the data is {quantity}: "
            "use model=convlstm head=grey loss=cross_entropy"
        )


def refuse_events_beyond_head(head: Head, thresholds: Sequence[float]) -> None:
    """Refuse to score events of more rain than a head says anything of: they would never be forecast.

    Raises:
        UsageError: With the events that are left, and how the head learns the others.
    """
    beyond = [one for one in thresholds if head.thresholds and not says_of(head.thresholds, one)]
    if beyond:
        left = ",".join(f"{one:g}" for one in thresholds if one not in beyond)
        more = ",".join(f"{one:g}" for one in (*head.thresholds, *beyond))
        raise UsageError(
            f"verification.thresholds={list(thresholds)}: head.thresholds={list(head.thresholds)} says nothing of at "
            f"least {', '.join(f'{one:g}' for one in beyond)} mm/h. Type verification.thresholds=[{left}], or "
            f"head.thresholds=[{more}] and loss.weights= with as many"
        )


def refuse_loss_of_another_head(loss: nn.Module, head: Head) -> None:
    """Refuse a loss that is not of what a head says; cross-entropy and errors are of either.

    Raises:
        UsageError: With what goes together.
    """
    wanted = getattr(loss, "of_thresholds", None)
    if wanted is not None and wanted != bool(head.thresholds):
        says, choose = (
            ("probabilities of exceedance", "loss=exceedance, or model=convlstm_small head=grey")
            if head.thresholds
            else ("amounts", "head=exceedance, or loss=cross_entropy")
        )
        raise UsageError(f"loss {type(loss).__name__} does not fit a head that says {says}: choose {choose}")
    if isinstance(loss, ExceedanceLoss) and len(loss.weights) != len(head.thresholds):  # type: ignore[arg-type]
        raise UsageError(
            f"loss.weights has {len(loss.weights)} entries, head.thresholds {len(head.thresholds)}: "  # type: ignore[arg-type]
            f"give one weight for each of {list(head.thresholds)} mm/h"
        )
