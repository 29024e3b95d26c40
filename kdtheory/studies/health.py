"""The health of a study's settings: read off its rows, told before anything is judged."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdtheory.errors import RunError
from kdtheory.files import read_json
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.sweep import Case
from kdtheory.statistics.seeds import percent
from kdtheory.statistics.setting_health import SettingHealth, setting_health
from kdtheory.studies.study import Study


def healths_of(
    study: Study, cases: Sequence[Case], case_rows: Mapping[str, list[Row]]
) -> dict[str, SettingHealth]:
    """Return the health of each setting of a study that has a student on labels.

    Args:
      study: says which rows are a setting's.
      cases: its runs, whose folders say how large the test set is.
      case_rows: the rows of each.

    Raises:
      RunError: what a run says of its data is damaged.
    """
    configs = {case.name: case.config for case in cases}
    found: dict[str, SettingHealth] = {}
    for name, rows in study.settings(case_rows).items():
        config = configs[name]
        test_examples, num_classes = _of_data(Path(config.output.out) / "data.json")
        given = config.teaching.teacher_logits or config.teaching.teacher_variables
        health = setting_health(
            name,
            rows,
            test_examples=test_examples,
            num_classes=num_classes,
            rate=config.training.student_optimizer.learning_rate,
            teacher_rate=None if given else config.teaching.teacher_optimizer.learning_rate,
            looked_for=study.looked_for,
        )
        if health is not None:
            found[name] = health
    return found


def health_table(healths: Sequence[SettingHealth]) -> Table:
    """Return a line a setting: how far its networks came, and what it fails."""
    caption = (
        "After the last epoch, in per cent, mean ± standard deviation over seeds; the student is "
        "that on labels. Resolved by the test set: one standard error of a difference of two "
        "accuracies on it, as if errors were independent, in points. Seeds needed: to tell the "
        "difference that is looked for, at the deviation of the paired gains over labels that was "
        "measured."
    )
    lines: list[Line] = [
        {
            "setting": health.name,
            "gate": f"fails {', '.join(health.faults)}" if health.faults else "passed",
            "teacher, train": percent(health.teacher_train),
            "teacher, test": percent(health.teacher_test),
            "student, train": percent(health.student_train),
            "student, test": percent(health.student_test),
            "teacher's updates": health.teacher_updates,
            "student's updates": health.student_updates,
            "learning rates": health.rates,
            "test examples": health.test_examples,
            "resolved by the test set": 100 * health.difference_error,
            f"seeds needed for {100 * health.looked_for:g} points": health.seeds_needed,
        }
        for health in healths
    ]
    notes = [f"{one.name}: {words}" for one in healths for words in one.faults.values()]
    return dataclasses.replace(Table.of_lines("health", caption, lines), notes=notes)


def _of_data(path: Path) -> tuple[int, int | None]:
    """Return the test examples and the classes of a run's data; classes of old runs are None."""
    try:
        read = read_json(path)
        classes = read.get("num_classes")
        return int(read["sizes"]["test"]), None if classes is None else int(classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); start over with --fresh") from error
