"""The process that loader processes are forked from. It has imported PyTorch and the readers once, for all of them."""

import multiprocessing
from multiprocessing import forkserver


def start_worker_server(module: str) -> None:
    """Start it, if it does not run yet; its imports go on while the caller does other things.

    Args:
        module: What it imports: where the class of the data is defined.
    """
    multiprocessing.set_forkserver_preload([module])
    forkserver.ensure_running()
