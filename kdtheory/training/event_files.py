"""TensorBoard event files, by tensorboardX (extra `tensorboard`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError


def check_tensorboard() -> None:
    """Raise InputError, with the command that installs it, unless tensorboardX can be imported.

    >>> check_tensorboard()
    """
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError(
            "TensorBoard event files need tensorboardX: pip install 'kdtheory[tensorboard]'"
        ) from error
    return SummaryWriter


class EventFiles:
    """Scalars of one network by step, in a folder that `tensorboard --logdir` reads.

    Args:
      folder: made if missing; a network that goes on adds a file.
      purge_step: TensorBoard forgets what earlier files of the folder say of this step and later
        ones: those that a training went back behind when it continued from its saved state.

    Raises:
      InputError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, *, purge_step: int | None = None) -> None:
        # Files are named by the second: without a number, a quick restart would overwrite one.
        number = len(list(folder.glob("events.out.tfevents.*")))
        self._writer = _summary_writer()(
            str(folder), purge_step=purge_step, filename_suffix=f".{number:04d}"
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step, by tag."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """Write what is not yet on disk."""
        self._writer.close()
