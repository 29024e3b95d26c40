"""Carry out the runs of a sweep: here, in several processes, or as jobs of a Slurm cluster.

The jobs are submitit's; what this file adds is that a run which another sweep is working on is
waited for, that failures are collected and named, and that a job which the cluster takes back goes
on where it was.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError, KdtheoryError, unknown_name
from kdtheory.files import FolderBusyError
from kdtheory.runs.config import RunConfig, from_json, to_json
from kdtheory.runs.execution import execute
from kdtheory.runs.sweep import Case, Outcome

LAUNCHERS = ("inline", "local", "slurm")

#: Seconds between two looks at the jobs, or at a folder that another process works in.
_POLL = 0.5


def slurm_settings(flags: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of Slurm jobs that flags give: whole numbers as such.

    >>> slurm_settings({"slurm_partition": "gpu", "timeout_min": "120"})
    {'slurm_partition': 'gpu', 'timeout_min': 120}
    """
    return {k: int(v) if v.lstrip("-").isdigit() else v for k, v in flags.items()}


class RunCase:
    """One run as a job: a value that can be sent to another process."""

    def __init__(self, config: RunConfig) -> None:
        self._config = json.dumps(to_json(config))

    def __call__(self) -> str | None:
        """Carry out the run; return one line if it fails."""
        config = from_json(json.loads(self._config))
        while True:
            try:
                execute(config, quiet=True)
            except FolderBusyError:
                # Another sweep is at this very run: once it ends, its rows are ours too.
                time.sleep(_POLL)
            except KdtheoryError as error:
                return " ".join(str(error).split())
            else:
                return None

    def checkpoint(self) -> Any:
        """Return the job that continues this one when a cluster takes its machine back."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def launch(
    cases: Sequence[Case],
    out: Path,
    *,
    launcher: str = "inline",
    workers: int = 1,
    slurm: dict[str, Any] | None = None,
    on_end: Callable[[Outcome, int, int], None] | None = None,
) -> list[Outcome]:
    """Carry out runs, each to its end or its failure; complete ones are only read.

    Args:
      cases: the runs.
      out: the sweep's folder; jobs leave their logs in out/jobs.
      launcher: "inline" (in this process, one after another), "local" (as processes on this
        machine), "slurm" (as jobs of a cluster).
      workers: how many run at a time.
      slurm: settings of `submitit.AutoExecutor.update_parameters` for Slurm, such as
        {"slurm_partition": "gpu", "gpus_per_node": 1, "timeout_min": 120}.
      on_end: called with each outcome, how many have ended, and how many there are.

    Returns:
      One outcome a run, in the order of the runs. A failure of one does not stop the others.

    Raises:
      InputError: an unknown launcher, fewer than one worker, or submitit is not installed.
    """
    if launcher not in LAUNCHERS:
        raise unknown_name("launcher", launcher, LAUNCHERS)
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if launcher == "inline":
        outcomes = []
        for number, case in enumerate(cases, 1):
            outcomes.append(Outcome(case.name, RunCase(case.config)(), None))
            if on_end is not None:
                on_end(outcomes[-1], number, len(cases))
        return outcomes
    return _as_jobs(cases, out, launcher, workers, slurm or {}, on_end)


def _as_jobs(
    cases: Sequence[Case],
    out: Path,
    launcher: str,
    workers: int,
    slurm: dict[str, Any],
    on_end: Callable[[Outcome, int, int], None] | None,
) -> list[Outcome]:
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            f"--launcher {launcher} needs submitit: pip install 'kdtheory[sweep]'"
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=str(out / "jobs"), cluster=launcher)
        if launcher == "slurm":
            executor.update_parameters(slurm_array_parallelism=workers, **slurm)
        else:
            # submitit stops a local job after its time limit; runs have none here.
            executor.update_parameters(timeout_min=60 * 24 * 365)
    except (RuntimeError, NameError, ValueError) as error:
        raise InputError(f"--launcher {launcher}: {' '.join(str(error).split())}") from error
    if launcher == "slurm":
        with executor.batch():
            submitted = [executor.submit(RunCase(case.config)) for case in cases]
        running = dict(zip(range(len(cases)), submitted, strict=True))
        waiting: list[int] = []
    else:
        running, waiting = {}, list(range(len(cases)))
    ended: dict[int, Outcome] = {}
    try:
        while running or waiting:
            while waiting and len(running) < workers:
                index = waiting.pop(0)
                running[index] = executor.submit(RunCase(cases[index].config))
            for index, job in list(running.items()):
                if job.done():
                    del running[index]
                    ended[index] = _outcome(cases[index].name, job)
                    if on_end is not None:
                        on_end(ended[index], len(ended), len(cases))
            time.sleep(_POLL)
    finally:
        # After Ctrl-C: what was done stays, and the same command goes on with it.
        for job in running.values():
            job.cancel()
    return [ended[index] for index in range(len(cases))]


def _outcome(name: str, job: Any) -> Outcome:
    """Return how a job ended; a crash is told by its last line."""
    log = str(job.paths.stderr)
    error = job.exception()
    if error is None:
        return Outcome(name, job.result(), log)
    if type(error).__name__ == "UncompletedJobError":
        killed = "its process was killed before it had a result (out of memory, perhaps); its log"
        return Outcome(name, f"{killed} may say more", log)
    # submitit puts the job's traceback between two rules, and the paths of its logs after them.
    trace = re.split("-{10,}", str(error))
    told = trace[1] if len(trace) > 2 else trace[0]
    lines = [line for line in told.splitlines() if line.strip("- ")]
    return Outcome(name, lines[-1].strip() if lines else type(error).__name__, log)
