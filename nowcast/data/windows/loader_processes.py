"""The process that loader processes are forked from. It has imported PyTorch and the readers once, for all of them."""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker


def start_worker_server(module: str) -> None:
    """Start it, if it does not run yet; its imports go on while the caller does other things.

    It and the loader processes are deaf to Ctrl-C, which is the caller's to deal with: it may need them to end well.

    Args:
        module: What it imports: where the class of the data is defined.
    """
    multiprocessing.set_forkserver_preload([module])
    resource_tracker.ensure_running()  # which the next would start, and that ends with all signals let through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # processes that are started inherit it
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
