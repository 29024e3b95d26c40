"""Where the runs of a sweep or a study are carried out: here, as processes, as a cluster's jobs."""

from dataclasses import field
from typing import Any, Literal, get_args

from kdtheory.settings import check_choices, check_minimum, settings_group

Kind = Literal["inline", "local", "slurm"]


@settings_group
class Launcher:
    """Where runs are carried out, and how many at a time."""

    launcher: Kind = "inline"
    """inline: one run after another; local: as processes on this machine; slurm: as a cluster's
    jobs (the last two need pip install 'kdtheory[sweep]')."""
    workers: int = 1
    """Runs at a time, with --launcher local or slurm."""
    slurm: dict[str, str] = field(default_factory=dict)
    """Settings of the Slurm jobs as submitit names them: --slurm slurm_partition gpu timeout_min
    120 gpus_per_node 1."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range."""
        check_choices(self, {"launcher": get_args(Kind)})
        check_minimum(self, workers=1)

    def slurm_settings(self) -> dict[str, Any]:
        """Return the settings of Slurm jobs, whole numbers as such.

        >>> Launcher(slurm={"slurm_partition": "gpu", "timeout_min": "120"}).slurm_settings()
        {'slurm_partition': 'gpu', 'timeout_min': 120}
        """
        return {k: int(v) if v.lstrip("-").isdigit() else v for k, v in self.slurm.items()}
