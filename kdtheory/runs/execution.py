"""Run a configuration to its end, or continue it: its seeds, then the report."""

from collections.abc import Sequence
from pathlib import Path

from kdtheory.analysis.health import marked_failures
from kdtheory.datasets import ImageDataset
from kdtheory.errors import Terminated
from kdtheory.plain_text import number_of
from kdtheory.report import write_run
from kdtheory.rows import Row, arm_of
from kdtheory.runs.config import RunConfig, to_json
from kdtheory.runs.events import Events
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.runner import Runner, networks_of_seed
from kdtheory.runs.store import open_store, read_provenance
from kdtheory.training import handle_sigterm
from kdtheory.training.compilation_cache import enable_compilation_cache


def _told_failures(rows: Sequence[Row], dataset: ImageDataset, events: Events) -> list[Row]:
    """Return rows, with the networks marked that their training did not train; tell of each."""
    marked = marked_failures(
        rows,
        num_classes=max(2, dataset.num_outputs),
        train_examples=len(dataset.train),
        test_examples=len(dataset.test),
    )
    for row in marked:
        if row["kind"] in ("teacher", "student") and "failure" in row:
            name = "teacher" if row["kind"] == "teacher" else f"student on {arm_of(row).slug}"
            events.told(f"NOT TRAINED: {name}, seed {row['seed']}: {row['failure']}")
    return marked


def plan(config: RunConfig, networks: int) -> str:
    """Return what a run will do, where it leaves it, and how to stop it: one paragraph.

    >>> plan(RunConfig.of(arms=("labels",), seeds=1), 2)  # doctest: +ELLIPSIS
    'digits, full: resnet20 to lenet5x1; labels; 1 seed, 2 networks, ...'
    """
    arms = ", ".join(arm.slug for arm in config.arm_list())
    kernels = (
        "no kernel"
        if config.measuring.kernel == "none"
        else f"a kernel of {config.measuring.ntk_size} examples at {config.measuring.points} points"
    )
    seeds, epochs = config.distillation.seeds, config.training.epochs
    return (
        f"{config.title}; {arms}; {number_of(seeds, 'seed')}, {number_of(networks, 'network')}, "
        f"{number_of(epochs, 'epoch')}, {kernels}. Results: {config.output.out}. How long it takes "
        "is said as soon as the first steps are timed. Ctrl-C stops it; the same command goes on "
        "where it was."
    )


def partial_note(done: int, seeds: int) -> str:
    """Return the sentence that marks an unfinished run's table.

    >>> partial_note(3, 4)
    'PARTIAL: 3 of 4 seeds are done; the run was interrupted.'
    """
    return f"PARTIAL: {done} of {seeds} seeds are done; the run was interrupted."


def session_notes(out: Path) -> list[str]:
    """Return a note where a run was continued by other software or on another machine."""
    sessions = read_provenance(out)["sessions"]
    differing = [
        name
        for name in ("versions", "git", "imports", "machine", "devices")
        # Sessions of earlier versions had no imports, and did not say so.
        if any((session.get(name) or []) != (sessions[0].get(name) or []) for session in sessions)
    ]
    if not differing:
        return []
    return [
        f"This run was continued with other {', '.join(differing)} than it began with; "
        "provenance.json has them all."
    ]


def execute(
    config: RunConfig,
    *,
    fresh: bool = False,
    title: str | None = None,
    notes: Sequence[str] = (),
    quiet: bool = False,
) -> list[Row]:
    """Run a configuration to its end, or continue it, and write its tables, figures and report.

    Args:
      config: what to run; `config.output.out` is the folder.
      fresh: start over: delete what is in the folder.
      title: heading of the report.
      notes: paragraphs for the report, such as how the setting was chosen.
      quiet: show no progress.

    Returns:
      All rows.

    Raises:
      InputError: data or configuration that cannot be used; nothing stored is changed.
      RunError: a non-finite loss, a damaged store, a full disk; what was stored stays.
      Terminated: SIGTERM; the state of the training is saved.
    """
    if config.output.compilation_cache:
        enable_compilation_cache()
    out = Path(config.output.out)
    events = RunProgress(
        quiet=quiet,
        batch_size=config.training.batch_size,
        events=out / "tensorboard" if config.output.tensorboard else None,
    )
    with handle_sigterm(), events:
        dataset = load_dataset(config, events)
        runner = Runner(config, dataset, events)
        data = runner.data_provenance()
        with open_store(config, data=data, fresh=fresh) as store:
            # The stored run may have more arms and seeds than were asked for.
            runner.config = config = store.config
            seeds = range(config.distillation.seeds)
            total = sum(networks_of_seed(config, seed) for seed in seeds)
            events.networks(total)
            if not quiet:
                events.told(plan(config, total))
                for given in (runner.given_teacher, runner.student_start):
                    if given is not None:
                        events.told(given.report)
            rows: list[Row] = []
            done = 0

            def write(notes: Sequence[str]) -> None:
                write_run(
                    rows,
                    out,
                    config={**to_json(config), "data": data},
                    provenance=read_provenance(store.out),
                    title=title or config.title,
                    notes=[*notes, *session_notes(store.out)],
                )

            try:
                # One after another unless they train together: a seed's teacher stays in memory.
                alone = config.training.together == "none"
                for group in [[seed] for seed in seeds] if alone else [seeds]:
                    found = runner.run_seeds(group, store)
                    measured = [row for seed in group for row in found[seed]]
                    rows += _told_failures(measured, dataset, events)
                    done += len(group)
                    store.write_rows(rows)
            except (KeyboardInterrupt, Terminated):
                if not alone:  # all seeds advance arm by arm: the arms that are done
                    found_so_far = [r for seed in seeds for r in runner.finished(seed, store)]
                    rows = _told_failures(found_so_far, dataset, events)
                    store.write_rows(rows)
                if any(row["kind"] == "student" for row in rows):
                    events.status("interrupted: writing the table of what is done")
                    write([*notes, partial_note(done, len(seeds))])
                    events.told(f"{partial_note(done, len(seeds))} Its table: {out}/table.md")
                raise
            cache = runner.teacher_cache
            if cache is not None and (cache.computed or cache.read):
                events.told(cache.summary())
            events.status("writing the report")
            write(notes)
    return rows
