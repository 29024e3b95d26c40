"""What is certified of a kernel predictor of real images, beside its test error.

    python experiments/certificates.py --problems digits [--parts 1 0.75 0.5 --out DIR]
    KDTHEORY_DATA_DIR=... python experiments/certificates.py --problems digits pairs

digits: even against odd, the NTK of a network at initialisation, which saw no image. pairs: random
pairs of 50 classes of CIFAR-100 at 16x16; the NTK of a LeNet-5x2 that was trained on the other 50
classes and has a new head. Both kernels have a unit diagonal. A sample is n images, in an order
drawn at random (not stratified) from all images of the problem; the rest tests. Targets are the
labels, +-1. All are certificates at delta = 0.05, each on its own:

- certificate: `prequential_bound`, ridge by the past; of the fits to growing parts of the sample;
- held-out half: the fit to the first half, Clopper-Pearson on the second, ridge by leave-one-out;
- Gibbs, GP: a draw of the Gaussian process's posterior; beside it twice that, of its mean;
- PAC-Bayes, margin: `pac_bayes_bound` and `margin_bound` of a ridge fit, over all ridges.

Expected run time: digits 2 minutes, pairs 10 minutes on two quiet CPU cores.
Result seen: experiments/results/certificates/table.md.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.stats
import tyro

from kdtheory import models
from kdtheory.bounds import (
    gaussian_process_bound,
    held_out_bound,
    leave_one_out_predictions,
    margin_bound,
    pac_bayes_bound,
    prequential_bound,
    ridge_fit,
)
from kdtheory.complexity import Factor, eigendecompose, factorize
from kdtheory.datasets import load
from kdtheory.files import write_whole
from kdtheory.ntk import gram
from kdtheory.runs.provenance import provenance
from kdtheory.training import OptimizerConfig, fit

#: Of a kernel whose diagonal is 1; fixed beforehand.
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
NOISES = (0.1, 1.0, 10.0, 100.0)
SCALES = 2.0 ** np.arange(-3, 6)
GAMMAS = 2.0 ** np.arange(-5, 1)
FIXED = {"kernel_depends_on_sample": False}
COLUMNS = (
    "test error", "certified risk on test", "certificate", "held-out half", "Gibbs, GP",
    "mean, GP", "PAC-Bayes", "margin",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    problems: tuple[str, ...] = ("digits", "pairs")
    """digits, pairs."""
    sizes: tuple[int, ...] = (250, 500, 1_000)
    """Examples n."""
    draws: int = 5
    """Samples of the digits for each n."""
    parts: tuple[float, ...] = (1.0,)
    """Ends of the sequence that the certificate may be of, each paid for."""
    pairs: int = 60
    """Pairs of classes."""
    digits_model: str = "mlp512x1"
    """Taken at its initialisation."""
    pairs_model: str = "lenet5x2"
    """Trained on the other half of the classes."""
    epochs: int = 12
    """Of that training."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("experiments/results/certificates")
    """Folder for PROBLEM.json (config, seeds, versions, commit, rows), table.md and the figure."""


def unit(kernel: np.ndarray) -> np.ndarray:
    """Return k(x, x') / sqrt(k(x, x) k(x', x')), which is a fixed kernel where k is."""
    root = np.sqrt(kernel.diagonal())
    return kernel / root / root[:, None]


def by_leave_one_out(kernel: np.ndarray, y: np.ndarray) -> tuple[float, Factor]:
    """Return the ridge with the fewest leave-one-out errors, the largest of equals; its factor."""
    factors = [(ridge, factorize(kernel, ridge=ridge)) for ridge in reversed(RIDGES)]
    errors = [np.sum(y * leave_one_out_predictions(factor, y) <= 0) for _, factor in factors]
    return factors[int(np.argmin(errors))]


def measure(
    kernel: np.ndarray, labels: np.ndarray, n: int, *, parts: tuple[float, ...]
) -> dict[str, float]:
    """Return every bound for the first n examples, and errors on the others."""
    y = 2.0 * labels - 1
    sample, test, half = slice(0, n), slice(n, None), n // 2
    inner, cross = kernel[sample, sample], kernel[test, sample]
    factors = [factorize(inner, ridge=ridge) for ridge in RIDGES]
    terms = prequential_bound(
        factors, y[sample], labels[sample], part=parts, targets_depend_on_sample=False, **FIXED
    )
    fits = [ridge_fit(factor, y[sample]) for factor in factors]
    process = gaussian_process_bound(
        eigendecompose(inner), y[sample], labels[sample], ridges=RIDGES, noises=NOISES,
        scales=SCALES, **FIXED,
    )  # fmt: skip
    isotropic = [
        pac_bayes_bound(
            y[sample] * one.predictions, np.ones(n), squared_norm=float(one.squared_norm),
            scales=SCALES, **FIXED,
        ).best().bound
        for one in fits
    ]  # fmt: skip
    margin = [
        margin_bound(
            y[sample] * one.predictions, squared_norm=float(one.squared_norm), trace=float(n),
            gamma=GAMMAS, **FIXED,
        ).best().bound
        for one in fits
    ]  # fmt: skip
    _, chosen = by_leave_one_out(inner, y[sample])
    wrong = y[test] * (cross @ chosen.solve(y[sample])) <= 0
    first = slice(0, half)
    _, of_half = by_leave_one_out(inner[first, first], y[first])
    missed = y[half:n] * (inner[half:, first] @ of_half.solve(y[first])) <= 0
    return {
        "test error": float(np.mean(wrong)),
        "certified risk on test": risk_of_iterates(factors, cross, y, n, terms.weights),
        "certificate": terms.bound,
        "held-out half": held_out_bound(int(missed.sum()), n - half),
        "Gibbs, GP": process.gibbs_bound,
        "mean, GP": process.bound,
        "PAC-Bayes": min(isotropic),
        "margin": min(margin),
        "prequential error": terms.error,
    }


def risk_of_iterates(
    factors: list[Factor], cross: np.ndarray, y: np.ndarray, n: int, weights: np.ndarray
) -> float:
    """Return the weighted test error of the last f_{i-1}, each with the ridge that the past chose.

    f_i(x) is the sum over j <= i of (L^-1 k(X, x))_j z_j.
    """
    errors, mistakes = [], []
    for factor in factors:
        half = factor.half_solve(y[:n])
        steps = factor.half_solve(np.ascontiguousarray(cross)) * half
        values = np.cumsum(steps, axis=1) - steps
        errors.append(np.mean(y[n:, None] * values <= 0, axis=0))
        mistakes.append(y[:n] * (y[:n] - factor.pivots * half) <= 0)
    before = np.cumsum(mistakes, axis=1) - np.array(mistakes)
    chosen = np.array(errors)[before.argmin(axis=0), np.arange(n)]
    return float(weights @ chosen[n - len(weights) :])


def digits(options: Options) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield one kernel and its labels for each draw: all 1,797 digits in a random order."""
    data = load("digits", task="even_odd", validation_size=0)
    images = np.concatenate([data.train.images, data.test.images])
    labels = np.concatenate([data.train.labels, data.test.labels])
    model = models.create(options.digits_model, 1)
    variables = models.init(model, jax.random.key(options.seed), data.image_shape)
    # Pixels by constants: the sample has no part in them.
    kernel = unit(gram(model.apply, variables, _scaled(images), dtype="float64"))
    for draw in range(options.draws):
        order = np.random.default_rng([options.seed, draw]).permutation(len(labels))
        yield f"draw {draw}", kernel[np.ix_(order, order)], labels[order]


def pairs(options: Options) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield one kernel and its labels for each pair of classes 50 to 99, 1,200 images each."""
    shape = {"image_size": (16, 16), "validation_size": 0}
    old = load("cifar100", task="classes:0-49", **shape)
    trained = fit(
        options.pairs_model, old, epochs=options.epochs, key=jax.random.key(options.seed),
        optimizer=OptimizerConfig(gradient_clip=None),
        on_epoch=lambda record: print(f"epoch {record.epoch}, loss {record.loss:.3f}", flush=True),
    )  # fmt: skip
    model = models.create(options.pairs_model, 1)
    fresh = models.init(model, jax.random.key(options.seed + 1), old.image_shape)
    # The head of 50 outputs does not fit one: it stays at its initialisation.
    variables = jax.tree.map(
        lambda mine, theirs: theirs if mine.shape == theirs.shape else mine,
        fresh,
        trained.variables,
    )
    new = load("cifar100", task="classes:50-99", **shape)
    images = np.concatenate([new.train.images, new.test.images])
    labels = np.concatenate([new.train.labels, new.test.labels])
    mean, std = (np.asarray(value, np.float32) for value in (old.mean, old.std))
    for index in range(options.pairs):
        rng = np.random.default_rng([options.seed, index])
        one, other = rng.choice(50, 2, replace=False)
        chosen = rng.permutation(np.flatnonzero((labels == one) | (labels == other)))
        x = (images[chosen].astype(np.float32) / 255 - mean) / std
        kernel = unit(gram(model.apply, variables, x).astype(np.float64))
        yield f"{one + 50} against {other + 50}", kernel, (labels[chosen] == other).astype(int)


PROBLEMS: dict[str, Callable[[Options], Iterator[tuple[str, np.ndarray, np.ndarray]]]] = {
    "digits": digits,
    "pairs": pairs,
}


def _scaled(images: np.ndarray) -> np.ndarray:
    return (images.astype(np.float32) / 255 - 0.5) / 0.5


def table(rows: list[dict[str, Any]]) -> str:
    """Return means over draws or pairs, as Markdown, and what the means do not show."""
    lines = ["| problem | n | samples | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (3 + len(COLUMNS)) + "|")
    notes = []
    for problem, n in dict.fromkeys((row["problem"], row["n"]) for row in rows):
        some = [row for row in rows if (row["problem"], row["n"]) == (problem, n)]
        cells = [f"{np.mean([row[name] for row in some]):.3f}" for name in COLUMNS]
        lines.append(f"| {problem} | {n:,} | {len(some)} | " + " | ".join(cells) + " |")
        certified, half, error = (
            np.array([row[name] for row in some])
            for name in ("certificate", "held-out half", "test error")
        )
        held = np.mean([row["certificate"] >= row["certified risk on test"] for row in some])
        note = (
            f"{problem}, n = {n:,}: certificate / held-out half "
            f"{certified.mean() / half.mean():.2f}, below it in {np.mean(certified < half):.0%} "
            "of the samples; not below the certified predictors' error on test images in "
            f"{held:.0%}"
        )
        if problem == "pairs" and len(some) > 2:
            found = scipy.stats.spearmanr(certified, error)
            low, high = bootstrapped(certified, error)
            note += (
                f"; rank correlation with the test error over pairs {found.statistic:.2f} "
                f"(95 % {low:.2f} to {high:.2f})"
            )
        notes.append(f"- {note}.")
    return "\n".join([*lines, "", *notes]) + "\n"


def bootstrapped(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval of Spearman's rank correlation, by resampling."""
    rng = np.random.default_rng(0)
    found = [
        scipy.stats.spearmanr(one[chosen], other[chosen]).statistic
        for chosen in rng.integers(0, len(one), size=(1000, len(one)))
    ]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the bounds against n, one panel a problem, with the test error."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["problem"] for row in rows))
    canvas = Figure(figsize=(5 * len(names), 4.5), layout="constrained")
    for axes, problem in zip(canvas.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        sizes = sorted({row["n"] for row in rows if row["problem"] == problem})
        for name, marker in zip(COLUMNS, "Dxosv^P*", strict=True):
            means = [
                np.mean([r[name] for r in rows if (r["problem"], r["n"]) == (problem, n)])
                for n in sizes
            ]
            axes.loglog(sizes, means, marker=marker, label=name)
        axes.axhline(1, color="grey", linewidth=0.5)
        axes.set(title=problem, xlabel="examples", ylabel="probability of error")
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=90)
    write_whole(path, buffer.getvalue())


def main(options: Options) -> list[dict[str, Any]]:
    """Measure every problem at every size; write rows, table and figure."""
    for problem in options.problems:
        config = {**asdict(options), "out": str(options.out)}
        content: dict[str, Any] = {"config": config, "provenance": provenance(), "rows": []}
        for name, kernel, labels in PROBLEMS[problem](options):
            for n in options.sizes:
                row = {"problem": problem, "sample": name, "n": n}
                row |= measure(kernel, labels, n, parts=options.parts)
                content["rows"].append(row)
            print(json.dumps(content["rows"][-1]), flush=True)
            # After each sample: what is cut off leaves what it has.
            write_whole(options.out / f"{problem}.json", json.dumps(content, indent=1) + "\n")
    return publish(options.out)


def publish(folder: Path) -> list[dict[str, Any]]:
    """Make table and figure of all problems whose files are there; return their rows."""
    files = [folder / f"{problem}.json" for problem in PROBLEMS]
    rows = [row for file in files if file.exists() for row in json.loads(file.read_text())["rows"]]
    text = table(rows)
    print(text)
    write_whole(folder / "table.md", text)
    figure(rows, folder / "certificates.png")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
