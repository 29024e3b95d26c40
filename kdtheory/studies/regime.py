"""The regime map: how the gains of teaching change with the examples and with the epochs."""

from typing import Any, NamedTuple

from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import CaseRows, Size

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

        >>> Cell("lenet5x2", 3000, 24).name
        'lenet5x2-3000-24'
        """
        return f"{self.student}-{self.examples}-{self.epochs}"


class _Grid(NamedTuple):
    students: tuple[str, ...]
    examples: tuple[int, ...]
    epochs: tuple[int, ...]
    task: str


_GRIDS: dict[Size, _Grid] = {
    "smoke": _Grid(("mlp8x1",), (32,), (2,), "odd_even"),
    "small": _Grid(("lenet5x2",), (1_000, 3_000, 9_000), (8, 24, 72), "classes:0-19"),
    "full": _Grid(
        ("lenet5x2", "lenet5x8"), (1_000, 5_000, 15_000, 45_000), (10, 40, 160, 600),
        "coarse_label",
    ),
}  # fmt: skip


def cases(size: Size) -> dict[str, RunConfig]:
    """Return three runs a cell: labels and offline; online; what complexity is measured in.

    The complexities are measured at the middle number of epochs alone, at one rate.
    """
    grid = _GRIDS[size]
    if size == "smoke":
        common: dict[str, Any] = {"tune": (0.01, 0.1), "online_until": 0.5}
        base = setting(size, **common)
    else:
        base = learnable_setting(size, task=grid.task)
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


def cells_of(case_rows: CaseRows) -> dict[Cell, list[Row]]:
    """Return the rows of each cell's arms, which lie in two runs.

    >>> list(cells_of({"mlp8x1-32-2": [], "mlp8x1-32-2-online": []}))
    [Cell(student='mlp8x1', examples=32, epochs=2)]
    """
    found: dict[Cell, list[Row]] = {}
    for case, rows in case_rows.items():
        student, examples, epochs, *part = case.split("-")
        if part != ["complexity"]:
            found.setdefault(Cell(student, int(examples), int(epochs)), []).extend(rows)
    return found
