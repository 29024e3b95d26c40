"""The demo: both tasks of the digits, every arm, one table."""

from collections.abc import Sequence
from pathlib import Path

from kdtheory.errors import InputError
from kdtheory.files import locked_folder, read_json, write_json
from kdtheory.plain_text import say
from kdtheory.report import print_results, run_results, stdout_console, write_run
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.runs.execution import execute
from kdtheory.runs.store import delete_run, read_provenance
from kdtheory.statistics.stored_rows import ROWS_FILE, write_rows_file
from kdtheory.training import OptimizerConfig

#: The setting of the demo; why it is what it is stands in NOTES.
DEMO = RunConfig.of(
    dataset="digits",
    train_size=512,
    teacher="resnet8",
    student="lenet5x1",
    epochs=20,
    teacher_checkpoints=10,
    batch_size=64,
    student_optimizer=OptimizerConfig(learning_rate=0.01, gradient_clip=None),
    teacher_optimizer=OptimizerConfig(learning_rate=0.05, gradient_clip=None),
    # Small trainings: compiling several steps into one program takes longer than it saves.
    steps_per_dispatch=1,
    ntk_size=512,
)

#: The tasks, and at how many points of a student's training its kernel is measured: the kernel of
#: ten logits has 5,120 rows and takes seconds, that of one logit 512.
TASKS = {"ten": 3, "even_odd": 6}

NOTES = (
    "Data: the handwritten digits that scikit-learn carries (1,797 images of 8 x 8 pixels), real "
    "but easy. How hard the demo is was chosen so that the arms can be told apart: 512 of the "
    "training digits with clean labels, 20 epochs, and for the student a learning rate at which 20 "
    "epochs leave it short of fitting its labels. Tried before: 256 digits (the same picture, "
    "larger deviations), and 20 % label noise (the teacher learns the noise by heart and does "
    "worse than its student). The setting is the same for every arm; it was chosen by looking at "
    "the test accuracies of the teacher and of all arms together, and no arm was tuned.",
    "The 500 test digits give each accuracy a sampling error of about one percentage point, which "
    "the deviation over seeds, all on the same test digits, does not show.",
)


SMOKE_NOTES = (
    "A smoke run: everything is shrunk to seconds, to see that the command works. The numbers mean "
    "nothing.",
)


def run_demo(
    out: Path, *, seeds: int = 3, smoke: bool = False, fresh: bool = False, quiet: bool = False
) -> list[Row]:
    """Run the demo, or continue it; write its tables, figures and report; print the table.

    Each task is a run of its own in a folder of its name, and the table joins them.

    Args:
      out: the run folder.
      seeds: number of repetitions.
      smoke: shrink everything; for trying the command, not for its numbers.
      fresh: start over.
      quiet: show no progress.

    Returns:
      All rows of both tasks.
    """
    config = smoke_config(DEMO) if smoke else DEMO
    notes = SMOKE_NOTES if smoke else NOTES
    rows: list[Row] = []
    configs = {
        task: config.replace(task=task, points=points, seeds=seeds, out=str(out / task))
        for task, points in TASKS.items()
    }
    config_path = out / "config.json"
    if config_path.exists() and not (out / next(iter(TASKS)) / "config.json").exists():
        raise InputError(f"{out} holds a run that is not a demo; choose another --out")
    with locked_folder(out):
        if fresh:
            for task in TASKS:
                delete_run(out / task)
        for task_config in configs.values():
            rows += execute(task_config, notes=notes, quiet=quiet)
        settings = {task: read_json(out / task / "config.json") for task in TASKS}
        provenance = {task: read_provenance(out / task) for task in TASKS}
        write_rows_file(out / ROWS_FILE, rows)
        write_json(config_path, settings)
        write_json(out / "provenance.json", provenance)
        write_run(
            rows,
            out,
            config=settings,
            provenance=provenance,
            title="kdtheory demo: complexity of supervision and accuracy, on digits",
            notes=notes,
        )
    show(rows, out)
    return rows


def smoke_config(config: RunConfig) -> RunConfig:
    """Return a configuration shrunk to seconds: the same line, numbers without meaning."""
    return config.replace(
        teacher="mlp32x1",
        student="mlp16x1",
        train_size=64,
        test_size=64,
        epochs=2,
        teacher_checkpoints=2,
        batch_size=16,
        ntk_size=16,
    )


def show(rows: Sequence[Row], out: Path) -> None:
    """Print a run's table, and where the rest lies."""
    print_results(run_results(rows), stdout_console())
    say(f"report: {out}/report.html    table: {out}/table.md    every row: {out}/rows.jsonl")
