"""Table and figure of `advise.py`, from its rows: what each rule loses against the best."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from kdtheory.files import write_whole
from kdtheory.palette import BLUE, GREY, VERMILION
from kdtheory.report.figures import render
from kdtheory.statistics.correlations import rank_correlation

USUAL = "final teacher, τ = 4"
#: What `kdtheory advise` ranks by.
ADVISED = "prequential error, kernel at initialisation"
RANDOM = "a candidate at random"
#: Rules of the theory by name: the column that is to be smallest, and one that decides ties.
THEORY = {
    ADVISED: ("prequential, initial", "leave-one-out, initial"),
    "prequential error, after a short training": ("prequential, short", "leave-one-out, short"),
    "adjusted complexity over rms, after a short training": (
        "complexity over rms, short", "prequential, short",
    ),
}  # fmt: skip
PLAIN_COLUMNS = {
    "leave-one-out, kernel at initialisation": ("leave-one-out, initial", "prequential, initial"),
    "leave-one-out, after a short training": ("leave-one-out, short", "prequential, short"),
    "smallest adjusted complexity at initialisation": (
        "complexity, initial", "prequential, initial",
    ),
}  # fmt: skip
#: Resamplings of the cells.
RESAMPLES = 10_000


def _smallest(*columns: str) -> Callable[[pl.DataFrame], str]:
    return lambda rows: str(rows.sort(*columns, maintain_order=True)["candidate"][0])


def _at_tau_4(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.col("temperature") == 4) & (pl.col("weight") == 1))


def _first(rows: pl.DataFrame) -> str:
    return str(rows["candidate"][0])


PLAIN: dict[str, Callable[[pl.DataFrame], str]] = {
    "labels alone": lambda rows: _first(rows.filter(pl.col("teacher").is_null())),
    USUAL: lambda rows: _first(
        _at_tau_4(rows).filter((pl.col("teacher") == "resnet8") & pl.col("final"))
    ),
    "most accurate teacher, τ = 4": lambda rows: _first(
        _at_tau_4(rows).sort("teacher accuracy", descending=True, maintain_order=True)
    ),
    "each trained for a tenth of the time": lambda rows: _first(
        rows.sort("validation accuracy, tenth", descending=True, maintain_order=True)
    ),
    "each trained to the end, by validation": lambda rows: _first(
        rows.sort("validation accuracy, end", descending=True, maintain_order=True)
    ),
    **{name: _smallest(*columns) for name, columns in PLAIN_COLUMNS.items()},
}
RULES = {**{name: _smallest(*columns) for name, columns in THEORY.items()}, **PLAIN}
#: What a rule ranks by, for the rank correlation with the truth; the sign makes larger better.
SCORES = {
    **{name: (columns[0], -1) for name, columns in {**THEORY, **PLAIN_COLUMNS}.items()},
    "each trained for a tenth of the time": ("validation accuracy, tenth", 1),
    "each trained to the end, by validation": ("validation accuracy, end", 1),
}


def regrets(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each rule's regret in points for each task and student, its mean over seeds."""
    found = []
    for (task, student), of_cell in rows.group_by(["task", "student"], maintain_order=True):
        truth = dict(
            of_cell.group_by("candidate").agg(pl.col("test accuracy, end").mean()).iter_rows()
        )
        best = max(truth.values())
        for rule, choose in RULES.items():
            lost, ranks = [], []
            for _, of_seed in of_cell.group_by(["seed"], maintain_order=True):
                lost.append(100 * (best - truth[choose(of_seed)]))
                if rule in SCORES:
                    column, sign = SCORES[rule]
                    pairs = [
                        (sign * float(value), truth[name])
                        for name, value in of_seed.select("candidate", column).iter_rows()
                    ]
                    ranks.append(rank_correlation(pairs))
            known = [value for value in ranks if value is not None]
            found.append({
                "rule": rule, "task": task, "student": student, "regret": float(np.mean(lost)),
                "rank correlation": float(np.mean(known)) if known else None,
            })  # fmt: skip
        found.append({
            "rule": RANDOM, "task": task, "student": student,
            "regret": 100 * (best - float(np.mean(list(truth.values())))),
            "rank correlation": None,
        })  # fmt: skip
    return pl.DataFrame(found, infer_schema_length=None)


def compared(found: pl.DataFrame) -> pl.DataFrame:
    """Return rules by mean regret over cells, with 95 % intervals of it less that of the usual."""
    usual = found.filter(pl.col("rule") == USUAL)["regret"].to_numpy()
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(usual), size=(RESAMPLES, len(usual)))
    lines = []
    for (rule,), some in found.group_by(["rule"], maintain_order=True):
        values = some["regret"].to_numpy()
        difference = (values - usual)[drawn].mean(axis=1)
        ranks = [value for value in some["rank correlation"].to_list() if value is not None]
        lines.append({
            "rule": rule, "of theory": rule in THEORY, "regret": values.mean(),
            "less the usual": (values - usual).mean(),
            "from": np.quantile(difference, 0.025), "to": np.quantile(difference, 0.975),
            "rank correlation": float(np.mean(ranks)) if ranks else None,
        })  # fmt: skip
    return pl.DataFrame(lines, infer_schema_length=None).sort("regret")


def best_rules(table: pl.DataFrame) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the best rule of the theory, the best plain one, and whether the first beats it."""
    # Training every candidate to its end is no rule before training.
    rules = table.filter(pl.col("rule") != "each trained to the end, by validation")
    theory, plain = (
        rules.filter(pl.col("of theory") == of).row(0, named=True) for of in (True, False)
    )
    return theory, plain, "it beats" if theory["regret"] < plain["regret"] else "it does not beat"


def verdict(table: pl.DataFrame) -> str:
    """Return in a sentence whether a rule of the theory beats the plain ones."""
    theory, plain, beats = best_rules(table)
    asked, random = (
        table.row(by_predicate=pl.col("rule") == rule, named=True)["regret"]
        for rule in (ADVISED, RANDOM)
    )
    # The interval of a difference decides its sign where it leaves out 0.
    decided = theory["from"] > 0 or theory["to"] < 0
    return (
        f"The best rule of the theory, {theory['rule']}, loses {theory['regret']:.2f} points of "
        f"test accuracy against the best candidate, the best plain one, {plain['rule']}, "
        f"{plain['regret']:.2f}: {beats} the plain rules. Its regret less that of {USUAL}: "
        f"{theory['less the usual']:+.2f} ({theory['from']:+.2f} to {theory['to']:+.2f}, "
        f"{'decided' if decided else 'undecided'}). What the command ranks by, {ADVISED}, loses "
        f"{asked:.2f}; {RANDOM} {random:.2f}."
    )


def finding(table: pl.DataFrame) -> str:
    """Return the line of the tables of findings."""
    theory, plain, beats = best_rules(table)
    return (
        "| advise | a rule of the theory chooses the supervision with less regret than plain rules "
        f"do | {theory['rule']}, loses {theory['regret']:.2f} points, {plain['rule']}, "
        f"{plain['regret']:.2f}: {beats} the plain rules | "
        "[page](docs/advise.md#is-it-any-good) |\n"
    )


def publish(folder: Path) -> None:
    """Make the table and the figure of the rows in a folder."""
    rows = pl.read_csv(folder / "rows.csv", infer_schema_length=None)
    found = regrets(rows)
    table = compared(found)
    tasks = list(dict.fromkeys(found["task"]))
    columns = ["rule", "theory", "regret", "less the usual", "95 %", *tasks, "rank correlation"]
    lines = ["| " + " | ".join(columns) + " |", "|:---" * 2 + "|---:" * (len(columns) - 2) + "|"]
    for line in table.iter_rows(named=True):
        of_tasks = [
            found.filter((pl.col("rule") == line["rule"]) & (pl.col("task") == task))["regret"]
            for task in tasks
        ]
        rank = line["rank correlation"]
        lines.append(
            "| " + " | ".join([
                line["rule"], "yes" if line["of theory"] else "", f"{line['regret']:.2f}",
                f"{line['less the usual']:+.2f}", f"{line['from']:+.2f} to {line['to']:+.2f}",
                *(f"{values.to_numpy().mean():.2f}" for values in of_tasks),
                "" if rank is None else f"{rank:.2f}",
            ]) + " |"
        )  # fmt: skip
    counts = rows.group_by("task", "student").agg(pl.col("seed").n_unique())["seed"]
    spread = rows.group_by("task", "student", "candidate").agg(pl.col("test accuracy, end").mean())
    ranges = spread.group_by("task", "student").agg(
        (pl.col("test accuracy, end").max() - pl.col("test accuracy, end").min()) * 100
    )["test accuracy, end"]
    seeds, candidates = (
        " to ".join(map(str, sorted({values.min(), values.max()})))
        for values in (counts, spread.group_by("task", "student").len()["len"])
    )
    note = (
        f"{len(counts)} pairs of task and student, {seeds} seeds, "
        f"{candidates} candidates each; the best and the worst candidate are "
        f"{ranges.to_numpy().mean():.1f} points apart on average. Regret in points of test "
        f"accuracy; the usual: {USUAL}; intervals from resampled pairs of task and student. The "
        "best candidate is the best of its own means, so that chance is part of every regret alike."
    )
    text = "\n".join([verdict(table), "", *lines, "", note]) + "\n"
    print(text)
    write_whole(folder / "table.md", text)
    write_whole(folder / "finding.md", finding(table))
    write_whole(folder / "regret.png", render(figure(found, table), "png"))


def figure(found: pl.DataFrame, table: pl.DataFrame) -> Figure:
    """Draw each rule's regret, a mark a pair of task and student, and their mean."""
    canvas = Figure(figsize=(9, 0.36 * len(table) + 1.2), layout="constrained")
    axes = canvas.subplots()
    for height, line in enumerate(table.reverse().iter_rows(named=True)):
        values = found.filter(pl.col("rule") == line["rule"])["regret"].to_numpy()
        color = VERMILION if line["of theory"] else BLUE
        axes.plot(values, [height] * len(values), "|", color=GREY, markersize=9)
        axes.plot(line["regret"], height, "o", color=color, markersize=7)
    axes.set_yticks(range(len(table)), table.reverse()["rule"].to_list())
    axes.set(xlabel="points of test accuracy lost against the best; red: of the theory")
    axes.grid(True, axis="x", color="#EEEEEE")
    axes.set_axisbelow(True)
    return canvas
