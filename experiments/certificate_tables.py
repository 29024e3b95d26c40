"""Tables and figure of `certificates.py`, from its rows."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from kdtheory.report.styles import plain_ticks
from kdtheory.statistics.correlations import RESAMPLES, pooled_correlation

BOUNDS = ("certificate", "certificate, end", "held-out half", "Gibbs PAC-Bayes", "margin bound")
COLUMNS = ("test error", "certified risk on test", *BOUNDS)
#: The issue's targets for labels on a trained kernel: problem, bound.
TO_REACH = {"digits": 0.10, "pairs": 0.13, "halves": 0.40, "halves32": 0.40}


def _cells(values: list[Any]) -> str:
    shown = [
        "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
        for value in values
    ]
    return "| " + " | ".join(shown) + " |"


def _markdown(columns: list[str], lines: list[list[Any]]) -> str:
    return "\n".join([_cells(list(columns)), "|---" * len(columns) + "|", *map(_cells, lines)])


def table(rows: pl.DataFrame) -> str:
    """Return the means over samples for labels as targets, in Markdown."""
    keys = ["problem", "kernel", "n"]
    means = (
        rows.filter(pl.col("arm") == "labels")
        .group_by(keys, maintain_order=True)
        .agg(pl.len().alias("samples"), *(pl.col(name).mean() for name in COLUMNS))
        .sort(["problem", "kernel", "n"])
    )
    return _markdown(means.columns, [list(line) for line in means.rows()])


def paired(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of teachers with their difference from labels on the same sample and n."""
    keys = ["problem", "sample", "kernel", "n"]
    columns = ["certificate", "certificate, end", "held-out half", "test error"]
    labels = rows.filter(pl.col("arm") == "labels").select(*keys, *columns)
    joined = rows.filter(pl.col("arm") != "labels").join(labels, on=keys, suffix=" of labels")
    return joined.with_columns(
        (pl.col(name) - pl.col(f"{name} of labels")).alias(f"{name} - labels") for name in columns
    )


def _largest_of_teachers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of teachers at the largest n that each problem and kernel has of them."""
    return rows.filter(pl.col("n") == pl.col("n").max().over("problem", "kernel"))


def table_of_arms(rows: pl.DataFrame) -> str:
    """Return each arm's certificate and test error less those of labels, in Markdown."""
    found = _largest_of_teachers(paired(rows))
    columns = [
        "problem", "kernel", "n", "arm", "samples", "certificate", "certificate - labels",
        "standard error", "larger in", "held-out half - labels", "test error - labels",
    ]  # fmt: skip
    lines = []
    for (problem, kernel, n, arm), some in found.group_by(
        ["problem", "kernel", "n", "arm"], maintain_order=True
    ):
        difference = some["certificate - labels"].to_numpy()
        error = difference.std(ddof=1) / np.sqrt(len(some)) if len(some) > 1 else None
        lines.append([
            problem, kernel, n, arm, len(some), _mean(some, "certificate"),
            _signed(difference.mean()), None if error is None else float(error),
            f"{np.mean(difference > 0):.0%}", _signed(_mean(some, "held-out half - labels")),
            _signed(_mean(some, "test error - labels")),
        ])  # fmt: skip
    return _markdown(columns, sorted(lines, key=lambda line: line[:3]))


def _mean(rows: pl.DataFrame, name: str) -> float:
    return float(rows[name].to_numpy().mean())


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def against_labels(rows: pl.DataFrame) -> str:
    """Return in a sentence a problem where a teacher makes the certificate worse, and better."""
    lines = _against_labels(rows)
    sentences = []
    for verdict, words in (
        ("worse", "Distillation makes the certificate worse than labels do"),
        ("better", "It makes it better"),
        ("undecided", "Within two standard errors, or of one sample alone"),
    ):
        of = [
            f"{problem}: " + ", ".join(arm for v, p, arm in lines if (v, p) == (verdict, problem))
            for problem in dict.fromkeys(p for v, p, _ in lines if v == verdict)
        ]
        sentences.append(f"{words}: {'; '.join(of) if of else 'nowhere'}.")
    return " ".join(sentences)


def _against_labels(rows: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Return verdict, problem, and arm with its difference, of each arm on the trained kernel."""
    found = _largest_of_teachers(paired(rows)).filter(pl.col("kernel") == "trained")
    lines = []
    for (problem, arm), some in found.group_by(["problem", "arm"], maintain_order=True):
        difference = some["certificate - labels"].to_numpy()
        error = difference.std(ddof=1) / np.sqrt(len(some)) if len(some) > 1 else np.nan
        # One sample has no deviation: its sign decides nothing.
        sure = abs(difference.mean()) > 2 * error
        verdict = ("worse" if difference.mean() > 0 else "better") if sure else "undecided"
        lines.append((verdict, problem, f"{arm} ({difference.mean():+.3f})"))
    return lines


def notes(rows: pl.DataFrame) -> str:
    """Return what was to be reached, how often bounds held, and rank correlations."""
    lines = []
    for (problem, kernel, n), some in (
        rows.filter(pl.col("arm") == "labels")
        .sort("problem", "kernel", "n")
        .group_by(["problem", "kernel", "n"], maintain_order=True)
    ):
        ratios = [
            f"{name} {_mean(some, name) / _mean(some, 'held-out half'):.2f} of the held-out half, "
            f"below it in {np.mean((some[name] < some['held-out half']).to_numpy()):.0%}"
            for name in ("certificate", "certificate, end")
        ]
        lines.append(f"- {problem}, {kernel}, n = {n:,}: {'; '.join(ratios)}.")
    lines += [line for problem in TO_REACH for line in aims(rows, problem)]
    lines += correlations(rows)
    return "\n".join(lines)


def aims(rows: pl.DataFrame, problem: str) -> list[str]:
    """Return which aims for labels on a trained kernel were reached, with figures."""
    some = rows.filter(
        (pl.col("problem") == problem)
        & (pl.col("arm") == "labels")
        & (pl.col("kernel") == "trained")
    )
    if not len(some):
        return []
    last = some.filter(pl.col("n") == pl.col("n").max())
    first = some.filter(pl.col("n") == pl.col("n").min())
    asked = [
        (last, TO_REACH[problem], f"below {TO_REACH[problem]:.2f}"),
        (last, 1.25 * _mean(last, "held-out half"), "within 1.25 of the held-out half"),
    ]
    # Only where half of the sample is too few.
    if first["n"][0] == 250:
        asked.append((first, _mean(first, "held-out half"), "below the held-out half"))
    lines = []
    for size, bound, against in asked:
        whole, end = _mean(size, "certificate"), _mean(size, "certificate, end")
        verdict = "missed" if end >= bound else "reached by the end alone"
        verdict = "**reached**" if whole < bound else f"**{verdict}**"
        lines.append(
            f"- Aim for {problem}, labels, trained kernel, n = {size['n'][0]:,}: {against} "
            f"({bound:.3f}). Certificate {whole:.3f}, end {end:.3f}: {verdict}."
        )
    return lines


def finding(rows: pl.DataFrame) -> str:
    """Return the line of the tables of findings: what was expected and what was seen."""
    verdicts = [verdict for verdict, _, _ in _against_labels(rows)]
    parts = []
    for (problem,), some in (
        rows.filter((pl.col("arm") == "labels") & (pl.col("kernel") == "trained"))
        .sort("problem", "n")
        .group_by(["problem"], maintain_order=True)
    ):
        last = some.filter(pl.col("n") == some["n"].max())
        whole = _mean(last, "certificate")
        missed = "" if whole < TO_REACH[problem] else f", {TO_REACH[problem]:.2f} missed"
        parts.append(
            f"{problem} {whole:.3f} at n = {last['n'][0]:,} "
            f"({whole / _mean(last, 'held-out half'):.2f}{missed})"
        )
    return (
        "| certificates | certified test error, near that of half of the sample held out "
        f"(ratio) | labels: {', '.join(parts)}; distillation makes it worse in "
        f"{verdicts.count('worse')} of {len(verdicts)} cases, better in {verdicts.count('better')} "
        "| [page](docs/bounds.md#on-images) |\n"
    )


def correlations(rows: pl.DataFrame) -> list[str]:
    """Return the rank correlations of bounds and test error over pairs of classes and arms."""
    lines = []
    some = rows.filter((pl.col("problem") == "pairs") & (pl.col("kernel") == "trained"))
    for (n,), of_size in some.sort("n").group_by(["n"], maintain_order=True):
        for name in ("certificate", "held-out half", "margin bound"):
            by_sample = [
                [(float(x), float(y)) for x, y in zip(one[name], one["test error"], strict=True)]
                for _, one in of_size.group_by(["sample"], maintain_order=True)
            ]
            whole = pooled_correlation(by_sample)
            if whole is None:
                continue
            low, high = interval(by_sample)
            within = [r for one in by_sample if (r := pooled_correlation([one])) is not None]
            text = (
                f"- Pairs and arms ({of_size['arm'].n_unique()}), n = {n:,}: rank correlation of "
                f"{name} and test error {whole:.2f} (95 % {low:.2f} to {high:.2f})"
            )
            if within:
                text += f"; over the arms of one pair, mean {np.mean(within):.2f}"
            lines.append(f"{text}; {len(by_sample)} pairs.")
    return lines


def interval(by_sample: list[list[tuple[float, float]]]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the rank correlation, whole pairs of classes drawn."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(by_sample), size=(RESAMPLES, len(by_sample)))
    found = [pooled_correlation([by_sample[number] for number in one]) for one in drawn]
    low, high = np.quantile([r for r in found if r is not None], (0.025, 0.975))
    return float(low), float(high)


def figure(rows: pl.DataFrame) -> Figure:
    """Draw the bounds of labels on the trained kernel against n, a panel a problem."""
    # A whole sample alone is a point, and a panel needs a curve.
    names = list(dict.fromkeys(rows.filter(pl.col("sample") != "whole sample")["problem"]))
    canvas = Figure(figsize=(4.6 * len(names), 4.4), layout="constrained")
    for axes, problem in zip(canvas.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        some = rows.filter(
            (pl.col("problem") == problem)
            & (pl.col("arm") == "labels")
            & (pl.col("kernel") == "trained")
        )
        means = some.group_by("n").agg(pl.col(name).mean() for name in COLUMNS).sort("n")
        for name, marker in zip(COLUMNS, "Dxosv^P", strict=True):
            there = means.filter(pl.col(name).is_not_null())
            axes.loglog(there["n"], there[name], marker=marker, label=name, fillstyle="none")
        axes.axhline(1, color="grey", linewidth=0.5)
        axes.set(title=f"{problem}, labels", xlabel="examples n", ylabel="probability of error")
        axes.set_xticks(means["n"], [f"{n:,}" for n in means["n"]], minor=False)
        axes.set_xticks([], minor=True)
        plain_ticks(axes.yaxis)
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return canvas
