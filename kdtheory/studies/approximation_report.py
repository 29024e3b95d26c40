"""Figures and tables of the approximations' errors."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: One measurement: column -> value.
Row: TypeAlias = dict[str, str | int | float]

# Okabe and Ito (2008), told apart under the common forms of colour blindness.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "X")


def sketch_figure(rows: Sequence[Row]) -> "matplotlib.figure.Figure":
    """Draw the error of random projections against columns and CPU time; medians over keys."""
    figure, axes = _panels(1)
    left, right = axes[0]
    for index, (model, epoch) in enumerate(_distinct(rows, "model", "epoch")):
        mine = _where(rows, model=model, epoch=epoch)
        color, marker = _COLORS[index], _MARKERS[index]
        label = f"{model}, {_state(epoch)}"
        sizes = _distinct(mine, "dimension")
        error = [_median(_where(mine, dimension=m), "error") for (m,) in sizes]
        stated = [_median(_where(mine, dimension=m), "stated_error") for (m,) in sizes]
        seconds = [_median(_where(mine, dimension=m), "cpu_seconds") for (m,) in sizes]
        numbers = [float(m) for (m,) in sizes]
        left.plot(numbers, error, color=color, marker=marker, label=label)
        left.plot(numbers, stated, color=color, linestyle=":", linewidth=2.5, alpha=0.6)
        right.plot(seconds, error, color=color, marker=marker)
        exact = _median(mine, "exact_cpu_seconds")
        right.axvline(exact, color=color, linestyle="--", linewidth=1)
    _decorate(left, "columns m of the sketch", "relative Frobenius error", "error against size")
    _ticks(left, sorted({row["dimension"] for row in rows}))
    left.plot([], [], color="#555555", linestyle=":", linewidth=2.5, label="stated by the sketch")
    _decorate(right, "CPU seconds", "", "error against time (dashed: the exact kernel)")
    left.legend(fontsize=8, frameon=False)
    figure.suptitle(
        f"Random projections of the Jacobian, {_rows_title(rows)}", fontsize=12, fontweight="bold"
    )
    return figure


def nystrom_figure(rows: Sequence[Row]) -> "matplotlib.figure.Figure":
    """Draw the Nystrom error against landmarks and CPU time, a line of panels a model."""
    names = [model for (model,) in _distinct(rows, "model")]
    figure, axes = _panels(len(names))
    for (left, right), model in zip(axes, names, strict=True):
        mine = _where(rows, model=model)
        for index, epoch in enumerate(epoch for (epoch,) in _distinct(mine, "epoch")):
            for selection, line, fill in (("uniform", "--", "none"), ("residual", "-", "full")):
                curve = _where(mine, epoch=epoch, selection=selection)
                sizes = [m for (m,) in _distinct(curve, "landmarks")]
                at = [_where(curve, landmarks=m) for m in sizes]
                error = [_median(part, "error") for part in at]
                look: dict[str, Any] = {
                    "color": _COLORS[index], "marker": _MARKERS[index],
                    "linestyle": line, "fillstyle": fill,
                }  # fmt: skip
                left.plot(
                    [float(m) for m in sizes], error, label=f"{_state(epoch)}, {selection}", **look
                )
                right.plot([_median(part, "cpu_seconds") for part in at], error, **look)
            trace = [
                _median(_where(mine, epoch=epoch, selection="residual", landmarks=m), "trace_error")
                for (m,) in _distinct(mine, "landmarks")
            ]
            left.plot(
                [float(m) for (m,) in _distinct(mine, "landmarks")],
                trace,
                color=_COLORS[index],
                linestyle=":",
                linewidth=2.5,
                alpha=0.6,
                label=f"{_state(epoch)}, residual: trace error / Tr K",
            )
            exact = _median(_where(mine, epoch=epoch), "exact_cpu_seconds")
            right.axvline(exact, color=_COLORS[index], linestyle="--", linewidth=1)
        _decorate(left, "landmark examples", "relative Frobenius error", f"{model}: against size")
        _decorate(right, "CPU seconds", "", f"{model}: against time (dashed: the exact kernel)")
        _ticks(left, [m for (m,) in _distinct(mine, "landmarks")])
        left.legend(fontsize=7, frameon=False)
    figure.suptitle(f"Nystrom approximation, {_rows_title(rows)}", fontsize=12, fontweight="bold")
    return figure


def sum_of_logits_figure(rows: Sequence[Row]) -> "matplotlib.figure.Figure":
    """Draw the errors of the sum-of-logits kernel along training; means and ranges over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    axes = figure.subplots(2, 2)
    quantities = (
        ("mean_error", "||K_sum - K_mean|| / ||K_mean||", "in place of the mean over outputs"),
        ("scale", "Tr K_sum / Tr K_mean", "its scale"),
        ("full_error", "||K - K_sum x I|| / ||K||", "in place of the full kernel (dotted: best)"),
        ("random_signs_error", "rms of ||K_v - K_mean|| / ||K_mean||", "random signs instead"),
    )
    for axis, (quantity, label, title) in zip(axes.ravel(), quantities, strict=True):
        for index, (model,) in enumerate(_distinct(rows, "model")):
            mine = _where(rows, model=model)
            epochs = [float(epoch) for (epoch,) in _distinct(mine, "epoch")]
            values = [
                [float(row[quantity]) for row in _where(mine, epoch=epoch)]
                for (epoch,) in _distinct(mine, "epoch")
            ]
            color = _COLORS[index % len(_COLORS)]
            axis.plot(
                epochs,
                [float(np.mean(found)) for found in values],
                color=color,
                marker=_MARKERS[index % len(_MARKERS)],
                label=str(model),
            )
            axis.fill_between(
                epochs,
                [min(found) for found in values],
                [max(found) for found in values],
                color=color,
                alpha=0.15,
                linewidth=0,
            )
            if quantity == "full_error":
                best = [
                    float(np.mean([row["best_full_error"] for row in _where(mine, epoch=epoch)]))
                    for (epoch,) in _distinct(mine, "epoch")
                ]
                axis.plot(epochs, best, color=color, linestyle=":")
        axis.set_xscale("symlog", linthresh=1)
        ticks = sorted({float(row["epoch"]) for row in rows})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("training epochs")
        axis.set_ylabel(label)
        axis.set_title(title, fontsize=10)
        axis.grid(True, color="#DDDDDD", linewidth=0.6)
    axes[0, 0].legend(fontsize=8, frameon=False)
    seeds = len(_distinct(rows, "seed"))
    figure.suptitle(
        "The sum-of-logits kernel along training, digits "
        f"({f'mean and range of {seeds} seeds' if seeds > 1 else 'one seed'})",
        fontsize=12,
        fontweight="bold",
    )
    return figure


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV."""
    import polars

    return polars.DataFrame(rows).write_csv()


def tables(rows: dict[str, list[Row]]) -> str:
    """Return the Markdown page: medians over keys, and for the sum of logits means over seeds."""
    sections = ["# Approximations of the kernel: digits, ten outputs\n"]
    sections.append(f"## Random projections ({_rows_title(rows['sketch'])}; medians over keys)\n")
    sections.append(
        _table(
            ["model", "training", "columns", "error", "stated", "within 2 s.e. (%)", "CPU s",
             "exact: CPU s"],
            [
                [model, _state(epoch), m, _median(at, "error"), _median(at, "stated_error"),
                 100 * _median(at, "within_two_errors"), _median(at, "cpu_seconds"),
                 _median(at, "exact_cpu_seconds")]
                for model, epoch, m in _distinct(rows["sketch"], "model", "epoch", "dimension")
                for at in [_where(rows["sketch"], model=model, epoch=epoch, dimension=m)]
            ],
        )
    )  # fmt: skip
    sections.append(f"## Nystrom ({_rows_title(rows['nystrom'])}; medians over keys)\n")
    sections.append(
        _table(
            ["model", "training", "landmarks", "chosen by", "error", "stated", "trace error",
             "CPU s", "exact: CPU s"],
            [
                [model, _state(epoch), m, how, _median(at, "error"), _median(at, "stated_error"),
                 _median(at, "trace_error"), _median(at, "cpu_seconds"),
                 _median(at, "exact_cpu_seconds")]
                for model, epoch, m, how in _distinct(
                    rows["nystrom"], "model", "epoch", "landmarks", "selection"
                )
                for at in [
                    _where(
                        rows["nystrom"], model=model, epoch=epoch, landmarks=m, selection=how
                    )
                ]
            ],
        )
    )  # fmt: skip
    sections.append("## Sum of logits (means over seeds)\n")
    names = ("train_accuracy", "mean_error", "mean_error_se", "full_error", "best_full_error",
             "random_signs_error", "scale", "cosine")  # fmt: skip
    sections.append(
        _table(
            ["model", "epochs", *(name.replace("_", " ") for name in names)],
            [
                [model, epoch, *(float(np.mean([row[name] for row in at])) for name in names)]
                for model, epoch in _distinct(rows["sum_of_logits"], "model", "epoch")
                for at in [_where(rows["sum_of_logits"], model=model, epoch=epoch)]
            ],
        )
    )
    return "\n".join(sections)


def _table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    out += ["| " + " | ".join(cell(value) for value in line) + " |" for line in lines]
    return "\n".join(out) + "\n"


def _panels(count: int) -> tuple["matplotlib.figure.Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.2 * count), layout="constrained")
    return figure, figure.subplots(count, 2, squeeze=False, sharey="row")


def _decorate(axis: "matplotlib.axes.Axes", x: str, y: str, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    axis.set_yscale("log")
    for one in (axis.xaxis, axis.yaxis):
        # Less than a decade is common here; matplotlib's own labels would overlap.
        one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one.set_minor_locator(NullLocator())
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title, fontsize=10)
    axis.grid(True, color="#DDDDDD", linewidth=0.6)


def _ticks(axis: "matplotlib.axes.Axes", sizes: Iterable[Any]) -> None:
    """Mark the sizes that were measured, and nothing between."""
    axis.set_xticks([float(size) for size in sizes], [f"{size:,}" for size in sizes])


def _state(epoch: Any) -> str:
    return "at initialisation" if epoch == 0 else f"after {epoch} epoch{'s' if epoch > 1 else ''}"


def _rows_title(rows: Sequence[Row]) -> str:
    return f"kernels of {rows[0]['rows']:,} rows, digits"


def _distinct(rows: Sequence[Row], *names: str) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def _where(rows: Sequence[Row], **values: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def _median(rows: Sequence[Row], name: str) -> float:
    return float(np.median([row[name] for row in rows]))
