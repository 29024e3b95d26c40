"""Carry out the runs of a sweep: here, in several processes, or as jobs of a Slurm cluster.

The jobs are submitit's; what this file adds is that a run which another sweep is working on is
waited for, that failures are collected and named, and that a job which the cluster takes back goes
on where it was.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.files import FolderBusyError
from kdtheory.runs.config import RunConfig, from_json, to_json
from kdtheory.runs.execution import execute
from kdtheory.runs.launcher import Launcher
from kdtheory.runs.own_code import import_code, imported, place_in_own_code
from kdtheory.runs.sweep import Case, Outcome, write_failures

#: Seconds between two looks at the jobs, or at a folder that another process works in.
_POLL = 0.5


class RunCase:
    """One run as a job: a value that can be sent to another process."""

    def __init__(self, config: RunConfig) -> None:
        self._config = json.dumps(to_json(config))
        self._imports = tuple(code.name for code in imported())

    def __call__(self) -> str | None:
        """Carry out the run; return one line if it fails."""
        while True:
            try:
                for name in self._imports:
                    import_code(name)
                execute(from_json(json.loads(self._config)), quiet=True)
            except FolderBusyError:
                # Another sweep is at this very run: once it ends, its rows are ours too.
                time.sleep(_POLL)
            except KdtheoryError as error:
                return " ".join(str(error).split())
            except Exception as error:
                place = place_in_own_code(error)
                if place is None:
                    raise
                return place
            else:
                return None

    def checkpoint(self) -> Any:
        """Return the job that continues this one when a cluster takes its machine back."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def launch(
    cases: Sequence[Case],
    out: Path,
    launcher: Launcher,
    on_end: Callable[[Outcome, int, int], None],
) -> list[Outcome]:
    """Carry out runs, each to its end or its failure; complete ones are only read.

    The folder then says which of them failed.

    Args:
      cases: the runs.
      out: the sweep's folder; jobs leave their logs in out/jobs.
      launcher: where they are carried out.
      on_end: called with each outcome, how many have ended, and how many there are.

    Returns:
      One outcome a run, in the order of the runs. A failure of one does not stop the others.

    Raises:
      InputError: submitit is wanted and not installed.
      RunError: the folder cannot be written.
    """
    outcomes: list[Outcome] = []
    if launcher.launcher != "inline":
        outcomes = _as_jobs(cases, out, launcher, on_end)
    else:
        for number, case in enumerate(cases, 1):
            outcomes.append(Outcome(case.name, RunCase(case.config)(), None))
            on_end(outcomes[-1], number, len(cases))
    write_failures(failed(outcomes), out)
    return outcomes


def failed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return those that did not come to their end."""
    return [outcome for outcome in outcomes if outcome.error is not None]


def told(outcome: Outcome, done: int, total: int) -> str:
    """Return the line about a run that has ended.

    >>> told(Outcome("epochs=2", None, None), 1, 4)
    '[1/4] epochs=2: done'
    """
    how = "done" if outcome.error is None else f"FAILED: {outcome.error}"
    return f"[{done}/{total}] {outcome.name}: {how}"


def _as_jobs(
    cases: Sequence[Case],
    out: Path,
    launcher: Launcher,
    on_end: Callable[[Outcome, int, int], None],
) -> list[Outcome]:
    kind, workers = launcher.launcher, launcher.workers
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            f"--launcher {kind} needs submitit: pip install 'kdtheory[sweep]'"
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=str(out / "jobs"), cluster=kind)
        if kind == "slurm":
            settings = launcher.slurm_settings()
            executor.update_parameters(slurm_array_parallelism=workers, **settings)
        else:
            # submitit stops a local job after its time limit; runs have none here.
            executor.update_parameters(timeout_min=60 * 24 * 365)
    except (RuntimeError, NameError, ValueError) as error:
        raise InputError(f"--launcher {kind}: {' '.join(str(error).split())}") from error
    if kind == "slurm":
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
