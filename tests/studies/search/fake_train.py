"""Stands in for `python -m nowcast.commands.train` where a test is about the search: writes metrics.csv only.

The score rises with the epochs to a best value that is highest at lr = 3e-3. NOWCAST_FAKE names, comma-separated, what
happens to which seed, such as "fail=1,nan=2,crash=3,sleep=4,slow=*".
"""

import math
import os
import signal
import sys
import time
from pathlib import Path

FAULTS = dict(text.split("=") for text in os.environ.get("NOWCAST_FAKE", "").split(",") if text)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an exit code that means nothing
    given = dict(text.split("=", 1) for text in sys.argv[1:])
    folder = Path(given["output"])
    folder.mkdir(parents=True)
    (folder / "overrides.txt").write_text("\n".join([*sys.argv[1:], str(os.environ.get("CUDA_VISIBLE_DEVICES"))]))
    fault = {kind for kind, seed in FAULTS.items() if seed in (given["seed"], "*")}
    best = 1 - abs(math.log10(float(given["optimizer.optimizer.lr"]) / 3e-3))
    with (folder / "metrics.csv").open("w") as file:
        file.write("epoch,step,train/loss,val/csi,val/loss\n")
        for epoch in range(int(given.get("trainer.max_epochs", 3))):
            time.sleep(0.5 if "slow" in fault else 0.02)
            if epoch == 1:
                misbehave(fault)
            score = best * (1 - 0.5 ** (epoch + 1))
            loss = "nan" if "nan" in fault and epoch else "0.5"
            file.write(f"{epoch},{epoch},{loss},,\n{epoch},{epoch},,{score},{loss}\n")
            file.flush()


def misbehave(fault: set[str]) -> None:
    if "fail" in fault:
        raise ValueError("a fault on purpose")
    if "crash" in fault:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "sleep" in fault:
        time.sleep(600)


main()
