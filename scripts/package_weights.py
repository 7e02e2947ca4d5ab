"""Make of a checkpoint the weights that come with the project.

python scripts/package_weights.py outputs/pretrained/<date_time>/checkpoints/best.ckpt
"""

import sys
from pathlib import Path

from nowcast.config.command_line.arguments import PRETRAINED
from nowcast.forecasting import checkpoint
from nowcast.forecasting.weights_file import write_weights

MOST_BYTES = 4_000_000  # they lie in the repository


def main() -> None:
    """Write nowcast/weights/pretrained.safetensors and .json, and read them again."""
    given = Path(sys.argv[1])
    content = checkpoint.read(given)
    if "calibration" not in content:
        sys.exit(f"{given} holds no calibration, which evaluate=true fits after the training")
    written = write_weights(content, PRETRAINED)
    checkpoint.load(PRETRAINED)
    size = sum(path.stat().st_size for path in written)
    sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    if size > MOST_BYTES:
        sys.exit(f"{size:,} bytes are more than {MOST_BYTES:,}")


if __name__ == "__main__":
    main()
