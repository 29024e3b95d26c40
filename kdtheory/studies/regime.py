"""The regime map: how the gains of teaching change with the examples and with the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdtheory.arms import LABELS, Supervision
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import complexity_points, differences, final_values, percent
from kdtheory.studies.regime_figure import GAINS, regime_figure
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values

#: The temperatures of the offline teacher; the online teacher has the last.
TEMPERATURES = (1.0, 4.0)


class Cell(NamedTuple):
    """A place of the map."""

    student: str
    examples: int
    epochs: int

    @property
    def name(self) -> str:
        """The name of its run.

        >>> Cell("lenet5x2", 3000, 18).name
        'lenet5x2-3000-18'
        """
        return f"{self.student}-{self.examples}-{self.epochs}"

    @classmethod
    def of(cls, name: str) -> "Cell":
        """Return the cell of a run's name."""
        student, examples, epochs = name.split("-")
        return cls(student, int(examples), int(epochs))


class _Grid(NamedTuple):
    students: tuple[str, ...]
    examples: tuple[int, ...]
    epochs: tuple[int, ...]


_GRIDS: dict[Size, _Grid] = {
    "smoke": _Grid(("mlp8x1",), (32,), (2,)),
    "small": _Grid(("lenet5x2",), (1_000, 3_000, 9_000), (6, 18, 54)),
    "full": _Grid(("lenet5x2", "lenet5x8"), (1_000, 5_000, 15_000, 45_000), (10, 40, 160, 600)),
}


def cases(size: Size) -> dict[str, RunConfig]:
    """Return three runs a cell: labels and offline; online; what complexity is measured in.

    The complexities are measured at the middle number of epochs alone, at one rate.
    """
    grid = _GRIDS[size]
    if size == "smoke":
        common: dict[str, Any] = {"tune": (0.01, 0.1), "online_until": 0.5}
        base = setting(size, **common)
    else:
        base = learnable_setting(size)
    found: dict[str, RunConfig] = {}
    middle = grid.epochs[len(grid.epochs) // 2]
    for examples in grid.examples:
        for student in grid.students:
            for epochs in grid.epochs:
                cell = Cell(student, examples, epochs)
                run = base.replace(
                    student=student, train_size=examples, epochs=epochs, kernel="none", points=2
                )
                found[cell.name] = run.replace(
                    arms=("labels", "offline"), temperatures=TEMPERATURES
                )
                found[f"{cell.name}-online"] = run.replace(
                    arms=("online",), temperatures=TEMPERATURES[-1:]
                )
                if epochs == middle:
                    found[f"{cell.name}-complexity"] = base.replace(
                        student=student, train_size=examples, epochs=epochs, tune=(),
                        arms=("labels",), temperatures=TEMPERATURES, kernel="trace", points=2,
                        ntk_size=min(base.measuring.ntk_size, 256),
                    )  # fmt: skip
    return found


def cells_of(case_rows: CaseRows) -> dict[str, list[Row]]:
    """Return the rows of each cell's arms, which lie in two runs, by its name.

    >>> cells_of({"mlp8x1-32-2": [], "mlp8x1-32-2-online": [], "mlp8x1-32-2-complexity": []})
    {'mlp8x1-32-2': []}
    """
    found: dict[str, list[Row]] = {}
    for case, rows in case_rows.items():
        cell, part = "-".join(case.split("-")[:3]), case.split("-")[3:]
        if part != ["complexity"]:
            found[cell] = [*found.get(cell, []), *rows]
    return found


class Measured(NamedTuple):
    """What a cell's students and teacher show, {seed: value} each, in per cent or points."""

    teacher_train: Values
    teacher_test: Values
    train: Values
    """Of the student on labels."""
    test: Values
    gains: Mapping[str, Values]
    """By the names of `GAINS`."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Measured":
        """Return what the rows of a cell show."""
        low, high = (Supervision("offline", tau) for tau in TEMPERATURES)
        online = Supervision("online", TEMPERATURES[-1])
        labels, first, last, along = (
            percent(final_values(rows, arm, "test_accuracy")) for arm in (LABELS, low, high, online)
        )
        pairs = ((last, labels), (along, last), (last, first))
        return cls(
            percent(final_values(rows, None, "train_accuracy")),
            percent(final_values(rows, None, "test_accuracy")),
            percent(final_values(rows, LABELS, "train_accuracy")),
            labels,
            {name: differences(a, b) for name, (a, b) in zip(GAINS, pairs, strict=True)},
        )  # fmt: skip

    @property
    def overfit(self) -> Values:
        """Training less test accuracy of the student on labels."""
        return differences(self.train, self.test)

    @property
    def teacher_overfit(self) -> Values:
        """The same of the teacher."""
        return differences(self.teacher_train, self.teacher_test)


def over_rms(rows: Sequence[Row], supervision: Supervision) -> Values:
    """Return {seed: adjusted complexity over the targets' root mean square} at the end.

    On the student on labels, after its training. It does not change with the targets' scale.
    """
    points = complexity_points(rows, LABELS, supervision, "over_rms")
    return {seed: along[max(along)] for seed, along in points.items()}


def analyse(case_rows: CaseRows) -> Results:
    """Draw the map, and hold against it when teaching gains."""
    cells = {Cell.of(name): Measured.of(rows) for name, rows in cells_of(case_rows).items()}
    measured_in = {
        Cell.of(case.removesuffix("-complexity")): rows
        for case, rows in case_rows.items()
        if case.endswith("-complexity")
    }
    caption = (
        "After the last epoch, in per cent and points, mean ± standard deviation over seeds; gains "
        "are paired by seed. Train and test are those of the student on labels, overfit their "
        "difference. Every arm has the learning rate that was best for it on the validation images "
        "at seed 0 (see the health table). The online teacher changes during the first half of the "
        "student's training. Complexity over rms: adjusted complexity of the targets over their "
        "root mean square, on the student on labels after its training."
    )
    lines = [_line(cell, found, measured_in.get(cell, [])) for cell, found in cells.items()]
    figure = CaptionedFigure(
        "regime",
        "Gains in test accuracy, in points, over training examples and epochs: mean ± half the "
        "95 % t-interval over seeds; blue gains, red loses, and a cell whose interval holds zero "
        "is hatched. In brackets, how much of its training set the student on labels has fitted. "
        "Right: the same gains against that fit, bars half the 95 % interval.",
        regime_figure({(cell.student, cell.examples, cell.epochs): (found.gains, found.train)
                       for cell, found in cells.items()}),
    )  # fmt: skip
    found = _in_cells(cells) + _along_epochs(cells) + _over_cells(cells, measured_in)
    return Results([Table.of_lines("table", caption, lines)], [figure], found)


def _line(cell: Cell, found: Measured, measured_in: Sequence[Row]) -> Line:
    line: dict[str, Any] = {
        "student": cell.student,
        "examples": cell.examples,
        "epochs": cell.epochs,
        "train": found.train,
        "test": found.test,
        "overfit": found.overfit,
        "teacher, test": found.teacher_test,
        "teacher's overfit": found.teacher_overfit,
        **found.gains,
    }
    for supervision in (LABELS, Supervision("offline", 1.0), Supervision("offline", 4.0)):
        line[f"complexity over rms, {supervision.label}"] = over_rms(measured_in, supervision)
    return line


def _rows_of(cells: Mapping[Cell, Measured]) -> dict[tuple[str, int], list[Cell]]:
    """Return the cells of each student and number of examples, by rising epochs."""
    found: dict[tuple[str, int], list[Cell]] = {}
    for cell in sorted(cells):
        found.setdefault((cell.student, cell.examples), []).append(cell)
    return found


def _in_cells(cells: Mapping[Cell, Measured]) -> list[Finding]:
    """Each gain at the most epochs, where the student has come furthest."""
    return [
        finding(
            f"{cell.student}, {cell.examples:,} examples, {cell.epochs} epochs: {name}",
            cells[cell].gains[name],
            unit=" points",
            settings=(cell.name,),
        )
        for cell in (along[-1] for along in _rows_of(cells).values())
        for name in GAINS
    ]


#: How each gain should change as students train for longer: of an effect of speed nothing stays.
_COURSE = {
    "offline τ = 4 over labels": (-1.0, "falls"),
    "online over offline, τ = 4": (1.0, "rises"),
    "offline, τ = 4 over τ = 1": (-1.0, "falls"),
}


def _along_epochs(cells: Mapping[Cell, Measured]) -> list[Finding]:
    """How each gain changes from the fewest to the most epochs, a mean over the examples."""
    along = [row for row in _rows_of(cells).values() if len(row) > 1]
    found = []
    for name, (sign, words) in _COURSE.items():
        changes = [differences(cells[r[-1]].gains[name], cells[r[0]].gains[name]) for r in along]
        seeds = set.intersection(*(set(change) for change in changes)) if changes else set()
        found.append(
            finding(
                f"course: {name} {words} from the fewest epochs to the most",
                {s: sign * sum(c[s] for c in changes) / len(changes) for s in sorted(seeds)},
                unit=" points",
                settings=tuple(cell.name for row in along for cell in (row[0], row[-1])),
            )
        )
    return found


def _over_cells(
    cells: Mapping[Cell, Measured], measured_in: Mapping[Cell, Sequence[Row]]
) -> list[Finding]:
    """What goes with the gain of offline over labels, and of online over offline, in rank."""
    offline, online = (
        {cell: found.gains[name] for cell, found in cells.items()} for name in list(GAINS)[:2]
    )
    fit = {cell: found.train for cell, found in cells.items()}
    overfit = {cell: found.overfit for cell, found in cells.items()}
    teacher = {cell: found.teacher_overfit for cell, found in cells.items()}
    rms = {cell: over_rms(rows, LABELS) for cell, rows in measured_in.items()}
    return [
        finding(
            f"over the cells: {words}",
            [sign * rho for rho in rank_correlations(first, second)],
            unit=f", {'minus ' if sign < 0 else ''}Spearman's correlation",
            settings=tuple(cell.name for cell in first),
        )
        for words, sign, first, second in (
            ("the more the student on labels has fitted, the larger online over offline",
             1.0, fit, online),
            ("the more the student on labels overfits, the larger offline over labels",
             1.0, overfit, offline),
            ("the more the teacher overfits, the smaller offline over labels",
             -1.0, teacher, offline),
            ("the more complex over rms the labels are, the larger offline over labels",
             1.0, rms, offline),
        )
    ]  # fmt: skip


REGIME = Study(
    name="regime",
    question="When does teaching gain: with how many examples, after how many epochs?",
    expected=(
        "A student that has not fitted its training set gains by whatever trains it faster; theory "
        "is about one that has. Offline distillation beats labels where the student can fit the "
        "labels and overfits; what is only speed goes with more epochs, and with each arm's own "
        "learning rate. Online distillation beats offline once the student has time to follow "
        "every change of its teacher."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "an hour of two cores",
        "full": "needs an accelerator; not measured",
    },
    analyse=analyse,
    settings=cells_of,
    varied={"fit": "how far the student on labels has fitted is what this study varies"},
    expectations=(
        Expectation("offline at τ = 4 above labels", ("epochs: offline τ = 4 over labels",)),
        Expectation("online above offline, after enough epochs", ("epochs: online over offline",)),
        Expectation(
            "online nears offline as students train for longer",
            ("course: online",),
            in_readme=False,
        ),
        Expectation(
            "τ = 4 above τ = 1, also after many epochs", ("epochs: offline, τ = 4 over τ = 1",)
        ),
    ),
)
