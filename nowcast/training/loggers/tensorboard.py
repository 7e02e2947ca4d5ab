"""TensorBoard as a logger; an optional dependency."""

from lightning.pytorch.loggers import TensorBoardLogger


def tensorboard_logger(save_dir: str, name: str) -> TensorBoardLogger:
    """Scalars and pictures for `tensorboard --logdir=<save_dir>`.

    Args:
        save_dir: The run directory.
        name: Folder in it.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(save_dir, name=name, version="")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "logger=tensorboard needs TensorBoard: pip install -c constraints.txt -e '.[tensorboard]'; or leave "
            "logger=tensorboard out: pictures and numbers are in <run>/watch, too"
        ) from error
