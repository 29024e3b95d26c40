"""What is certified of kernel predictors of images, for labels and teachers, beside the test error.

    KDTHEORY_DATA_DIR=... OPENBLAS_NUM_THREADS=1 python experiments/certificates.py

digits: even against odd, 500 images train the teacher (ResNet-8) and the network of the trained
kernel (an MLP); samples are drawn from the rest. pairs: random pairs of classes 50 to 99 of
CIFAR-100 at 16x16; the trained kernel is that of a LeNet-5x2 that learnt classes 0 to 49, with a
new head; the teacher, a ResNet-8, saw 200 images of each of the other classes, and no image of a
sample up to n = 500. halves: classes 0 to 49 against 50 to 99 at 16x16; one half of the training
images trains teacher and LeNet-5x2, the other is the sample, the test split checks. At n = 25,000
halves' kernel is that of 2,048 random features. halves32: that alone, for labels, at 32x32.

A sample's order is random, not stratified. Kernels have a unit diagonal. Each column is a bound by
itself, delta = 0.05, from `kdtheory.bounds.certified_fit`: the certificate; the same of the end of
the sequence (the best of three parts, paid for); Gibbs PAC-Bayes; margin bound; half held out.

The same command continues what was cut off. Expected run time: 40 minutes of one core.
Result seen: experiments/results/certificates/table.md.
"""

import io
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import tyro
from certificate_samples import PROBLEMS, SIDES, Options, Sample, halves_data, scaled
from certificate_tables import COLUMNS, against_labels, figure, finding, notes, table, table_of_arms

from kdtheory.bounds import certified_fit, held_out_bound, kernel_sample, prequential_bound
from kdtheory.bounds.kernel_sample import RIDGES
from kdtheory.complexity import prequential_fit_of_features
from kdtheory.complexity.prequential import PrequentialFit
from kdtheory.errors import InputError, unknown_name
from kdtheory.files import json_text, write_json, write_whole
from kdtheory.ntk import sketch_features
from kdtheory.runs.provenance import provenance

Rows = list[dict[str, Any]]

PREMISES = {"kernel_depends_on_sample": False, "targets_depend_on_sample": False}
#: Ends of the sequence; the best of them is certified at delta / 3.
PARTS = (1.0, 0.75, 0.5)
#: Above this the eigenvalues for Gibbs PAC-Bayes would cost more than all the rest.
PROCESS_UP_TO = 1_000


def measure(sample: Sample, n: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each arm: every bound from the first n images, errors on the test images."""
    test = slice(n if sample.first_test is None else sample.first_test, None)
    fixed = kernel_sample(
        np.ascontiguousarray(sample.kernel[:n, :n]), sample.labels[:n],
        cross=sample.kernel[test, :n], test_labels=sample.labels[test],
        process=n <= PROCESS_UP_TO,
    )  # fmt: skip
    for arm, values in sample.targets.items():
        if arm != "labels" and n > sample.of_teacher:
            continue
        found = certified_fit(fixed, values[:n], **PREMISES)
        end = prequential_bound(
            fixed.factors, values[:n], sample.labels[:n], part=PARTS, **PREMISES
        )
        yield {
            "sample": sample.name, "kernel": sample.kernel_name, "arm": arm, "n": n,
            "test error": found.test_error, "certified risk on test": found.certified_test_error,
            "certificate": found.prequential.bound, "certificate, end": end.bound,
            "held-out half": found.held_out_half, "Gibbs PAC-Bayes": found.gibbs,
            "margin bound": found.margin, "prequential error": found.prequential.error,
        }  # fmt: skip


def whole_half(options: Options, problem: str) -> Rows:
    """Return the rows of the trained kernel on all 25,000 images, by random features."""
    data, kernels, targets = halves_data(options, problem)
    model, variables = kernels["trained"]
    assert data.sample is not None
    # The shares of the features are of images that trained the network.
    drawn = {
        "dimension": options.features, "key": jax.random.key(options.seed), "outputs": "sum",
        "pilot": scaled(data, data.train.images[:64]),
    }  # fmt: skip

    def features(images: np.ndarray) -> np.ndarray:
        parts = []
        for first in range(0, len(images), 5_000):
            found = sketch_features(
                model.apply, variables, scaled(data, images[first : first + 5_000]), **drawn
            )
            norms = np.sqrt(found.squared_norms.sum(axis=1, dtype=np.float64))
            parts.append(found.features / norms[:, None])
        return np.concatenate(parts)

    phi, checked = features(data.sample.images), features(data.test.images)
    labels, n = data.sample.labels, len(data.sample)
    together = np.concatenate(list(targets.values()), axis=1)
    fits = [
        prequential_fit_of_features(phi, together, ridge=ridge, block=options.features)
        for ridge in RIDGES[1:]
    ]
    rows = []
    for column, (arm, y) in enumerate(targets.items()):
        own = [_column(fit, y, column) for fit in fits]
        bounds = [prequential_bound(own, y, labels, part=part, **PREMISES) for part in (1.0, PARTS)]
        wrong = [(2 * labels - 1) * one.predictions[:, 0] <= 0 for one in own]
        # Ridges by the errors so far: of the first half for the fit to it, of all for the whole.
        half, whole = (
            RIDGES[1:][int(np.argmin([one[:size].sum() for one in wrong]))] for size in (n // 2, n)
        )
        missed = _errors(phi[: n // 2], y[: n // 2], half, phi[n // 2 :], labels[n // 2 :])
        test = _errors(phi, y, whole, checked, data.test.labels)
        rows.append({
            "sample": "whole sample", "kernel": "trained", "arm": arm, "n": n,
            "test error": float(test.mean()), "certified risk on test": None,
            "certificate": bounds[0].bound, "certificate, end": bounds[1].bound,
            "held-out half": held_out_bound(int(missed.sum()), n - n // 2),
            "Gibbs PAC-Bayes": None, "margin bound": None, "prequential error": bounds[0].error,
        })  # fmt: skip
    return rows


def _column(fit: PrequentialFit, y: np.ndarray, column: int) -> PrequentialFit:
    """Return the fit of one of several targets that were fitted together."""
    predictions = fit.predictions[:, [column]]
    losses = (y - predictions)[:, 0] ** 2 / fit.variance
    return fit._replace(predictions=predictions, losses=losses, complexity=float(losses.sum()))


def _errors(
    phi: np.ndarray, y: np.ndarray, ridge: float, at: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    inner = (phi.T @ phi).astype(np.float64)
    weights = np.linalg.solve(inner + ridge * np.eye(len(inner)), phi.T.astype(np.float64) @ y)
    return (2 * labels - 1) * (at @ weights)[:, 0] <= 0


def rows_of(problem: str, options: Options, done: Collection[tuple[str, str]]) -> Iterator[Rows]:
    """Yield the rows of each sample of a problem that is not done."""
    for sample in PROBLEMS[problem](options, done):
        yield [row for n in sample.sizes for row in measure(sample, n)]
    if problem in SIDES and ("whole sample", "trained") not in done:
        yield whole_half(options, problem)


def main(options: Options) -> None:
    """Measure what is missing; write rows, tables and the figure.

    Raises:
      InputError: an unknown problem, or a folder with the rows of other settings.
    """
    for problem in options.problems:
        if problem not in PROBLEMS:
            raise unknown_name("problem", problem, PROBLEMS)
        config = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(options).items()
            if name not in ("out", "work", "problems")
        }
        path, beside = options.out / f"{problem}.csv", options.out / f"{problem}.json"
        rows: Rows = []
        if path.exists():
            stored = json.loads(beside.read_text())["config"]
            if stored != json.loads(json_text(config)):
                raise InputError(f"{path} is of other settings; give another --out, or remove it")
            rows = pl.read_csv(path).to_dicts()
        done = {(row["sample"], row["kernel"]) for row in rows}
        if not rows:
            write_json(beside, {"config": config, "provenance": provenance()})
        for found in rows_of(problem, options, done):
            rows += found
            # After each sample: what is cut off leaves what it has.
            text = pl.DataFrame(rows, infer_schema_length=None).write_csv(float_precision=4)
            write_whole(path, text)
            print(problem, found[-1], flush=True)
    publish(options.out)


def publish(folder: Path) -> None:
    """Make tables and figure of all problems whose rows are there."""
    frames = [
        pl.read_csv(folder / f"{name}.csv", infer_schema_length=None)
        # A column of nothing has no type of its own.
        .with_columns(pl.col(*COLUMNS).cast(pl.Float64), problem=pl.lit(name))
        for name in PROBLEMS
        if (folder / f"{name}.csv").exists()
    ]
    rows = pl.concat(frames, how="vertical_relaxed")
    text = f"{against_labels(rows)}\n\n{table(rows)}\n\n{table_of_arms(rows)}\n\n{notes(rows)}\n"
    print(text)
    write_whole(folder / "table.md", text)
    write_whole(folder / "finding.md", finding(rows))
    buffer = io.BytesIO()
    figure(rows).savefig(buffer, format="png", dpi=90)
    write_whole(folder / "certificates.png", buffer.getvalue())


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
