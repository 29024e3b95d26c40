"""How tight are the bounds? Each over the true risk, for n from 100 to 10,000.

    python experiments/bound_tightness.py [--sizes 100 300 1000 3000 10000] [--draws 20 10 5 2 1]

x is uniform on the unit circle; the class is the nearest of two (or three) equally spaced points,
replaced by another with probability 5 %. The kernel is the NTK of the first layer of a wide
two-layer ReLU network, k(x, x') = c (pi - arccos c) / (2 pi), c = x . x' (times I for three
classes), so Tr K = n / 2; the predictor its ridge fit, ridge 0.03 n. The kernel was fixed before
the sample: all bounds are certificates, with probability 0.95 each. The risk is computed on a grid
of 20,000 angles.
Expected run time: 4 minutes on two CPU cores, 4 GB of memory (n = 10,000).
Result seen: experiments/results/bound_tightness/table.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from kdtheory.analysis import margins
from kdtheory.bounds import (
    arora_bound,
    held_out_bound,
    leave_one_out_predictions,
    margin_bound,
    multiclass_margin_bound,
    multiclass_pac_bayes_bound,
    pac_bayes_bound,
    prequential_bound,
    ridge_fit,
    ridge_margin_bound,
    teacher_student_bound,
)
from kdtheory.claims.circle import FLIP, centres, draw_circle, ridge_weights, risk_on_circle
from kdtheory.complexity import Factor, factorize
from kdtheory.errors import InputError, KernelError
from kdtheory.files import write_whole
from kdtheory.runs.provenance import provenance

RIDGE = 0.03  # times n
GAMMAS = 2.0 ** np.arange(-6, 1)
FIXED = {"kernel_depends_on_sample": False}
ANGLES = 2 * np.pi * (np.arange(20_000) + 0.5) / 20_000
GRID = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)

COLUMNS = {
    "two classes": (
        "risk", "margin", "PAC-Bayes", "certificate", "teacher-student", "held-out half",
        "leave-one-out",
    ),
    "three classes": (
        "risk", "classical margin", "margin", "PAC-Bayes", "certificate", "held-out half",
        "leave-one-out",
    ),
    "interpolated function": ("expected loss", "Arora et al., leading term", "all constants"),
}  # fmt: skip

#: The same in every panel.
COLORS = {
    name: {"color": f"C{i}"}
    for i, name in enumerate(
        ("margin", "PAC-Bayes", "teacher-student", "held-out half", "leave-one-out",
         "classical margin", "Arora et al., leading term", "all constants", "certificate")
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to draw."""

    sizes: tuple[int, ...] = (100, 300, 1_000, 3_000, 10_000)
    """Examples n."""
    draws: tuple[int, ...] = (20, 10, 5, 2, 1)
    """Samples for each n; the table holds means."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("experiments/results/bound_tightness")
    """Folder for table.md, rows.json, tightness.png and provenance.json."""


def kernel(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the NTK of the first layer of a wide ReLU network between unit vectors."""
    cosine = np.clip(x @ z.T, -1, 1)
    return cosine * (np.pi - np.arccos(cosine)) / (2 * np.pi)


def predict(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return f on the grid of angles, a chunk at a time; coefficients (n,) or (n, d)."""
    return np.concatenate([kernel(part, x) @ coefficients for part in np.split(GRID, 20)])


def risk_of(decisions: np.ndarray, classes: int) -> float:
    """Return the probability that the decisions on the grid are not the noisy label."""
    right = np.mean(decisions == (GRID @ centres(classes)).argmax(axis=1))
    return float(right * FLIP + (1 - right) * (1 - FLIP / (classes - 1)))


def held_out(x: np.ndarray, y: np.ndarray, targets: np.ndarray, classes: int) -> dict[str, float]:
    """Fit the first half and bound its risk by its errors on the second half."""
    half = len(x) // 2
    factor = factorize(kernel(x[:half], x[:half]), ridge=RIDGE * half)
    coefficients = factor.solve(np.ascontiguousarray(targets[:half].T)).T
    decide = (lambda f: f.argmax(axis=1)) if classes > 2 else (lambda f: (f > 0).astype(int))
    errors = int(np.sum(decide(kernel(x[half:], x[:half]) @ coefficients) != y[half:]))
    return {
        "held-out half": held_out_bound(errors, len(x) - half),
        "held-out half's risk": risk_of(decide(predict(x[:half], coefficients)), classes),
    }


def certificate(factor: Factor, targets: np.ndarray, y: np.ndarray) -> float:
    """Return the prequential bound: of the mean risk of the fits to the first i - 1 examples."""
    return prequential_bound(factor, targets, y, targets_depend_on_sample=False, **FIXED).bound


def two_classes(rng: np.random.Generator, n: int) -> dict[str, float]:
    """Return the true risk and every bound of the ridge fit to one sample of two classes."""
    x, y = draw_circle(rng, n, 2)
    signs = 2.0 * y - 1
    factor = factorize(kernel(x, x), ridge=RIDGE * n)
    fit = ridge_fit(factor, signs)
    left_out = leave_one_out_predictions(factor, signs)
    # A teacher trained on 1,000 other examples, linear in x; the student fits its outputs.
    weights = ridge_weights(*draw_circle(rng, 1_000, 2), 2, ridge=10.0)
    slope = weights[:, 1] - weights[:, 0]
    taught = x @ slope / np.linalg.norm(slope)
    student = ridge_margin_bound(
        factor, taught, (taught > 0).astype(int), gamma=GAMMAS, delta=0.05, **FIXED
    )
    distilled = teacher_student_bound(
        student,
        teacher_error=risk_on_circle(weights),
        teacher_error_on_sample=False,
        teacher_depends_on_sample=False,
    ).best()
    student_risk = risk_of((predict(x, factor.solve(taught)) > 0).astype(int), 2)
    norm = float(fit.squared_norm)
    return {
        "risk": risk_of((predict(x, fit.coefficients) > 0).astype(int), 2),
        "margin": margin_bound(
            signs * fit.predictions, squared_norm=norm, trace=factor.trace, gamma=GAMMAS, **FIXED
        ).best().bound,
        "PAC-Bayes": pac_bayes_bound(
            signs * fit.predictions, np.full(n, 0.5), squared_norm=norm, **FIXED
        ).best().bound,
        "certificate": certificate(factor, signs, y),
        "teacher-student": distilled.bound,
        "teacher-student's risk": student_risk,
        "leave-one-out": float(np.mean(signs * left_out <= 0)),
        **held_out(x, y, signs, 2),
    }  # fmt: skip


def three_classes(rng: np.random.Generator, n: int) -> dict[str, float]:
    """Return the true risk and every bound of the ridge fit to one sample of three classes."""
    x, y = draw_circle(rng, n, 3)
    targets = np.eye(3)[y] - 1 / 3
    # K = k I: the outputs are fits of their own, and norms and traces add up.
    factor = factorize(kernel(x, x), ridge=RIDGE * n)
    fit = ridge_fit(factor, np.ascontiguousarray(targets.T))
    logits, norm = fit.predictions.T, float(np.sum(fit.squared_norm))
    shared = {"squared_norm": norm, "trace": 3 * factor.trace, "gamma": GAMMAS, **FIXED}
    rho = margins(logits, y)
    left_out = leave_one_out_predictions(factor, np.ascontiguousarray(targets.T)).T
    return {
        "risk": risk_of(predict(x, fit.coefficients.T).argmax(axis=1), 3),
        "margin": multiclass_margin_bound(rho, **shared).best().bound,
        "classical margin": multiclass_margin_bound(
            rho, form="classical", num_outputs=3, **shared
        ).best().bound,
        "PAC-Bayes": multiclass_pac_bayes_bound(
            logits, y, np.full(n, 0.5), squared_norm=norm, **FIXED
        ).best().bound,
        "certificate": certificate(factor, targets, y),
        "leave-one-out": float(np.mean(margins(left_out, y) <= 0)),
        **held_out(x, y, targets, 3),
    }  # fmt: skip


def interpolated(rng: np.random.Generator, n: int) -> dict[str, float]:
    """Return E min(|f - y|, 1) and the bound of Arora et al. for the interpolant of y = x_1."""
    x, _ = draw_circle(rng, n, 2)
    factor = factorize(kernel(x, x))
    y = x[:, 0]
    terms = arora_bound(
        complexity=factor.complexity(y).complexity, trace=factor.trace, num_examples=n, **FIXED
    )
    loss = np.minimum(np.abs(predict(x, factor.solve(y)) - GRID[:, 0]), 1).mean()
    return {
        "expected loss": float(loss),
        "Arora et al., leading term": terms.leading_term,
        "all constants": terms.bound,
    }


PROBLEMS = {
    "two classes": two_classes,
    "three classes": three_classes,
    "interpolated function": interpolated,
}


def table(rows: list[dict]) -> str:
    """Return one Markdown table a problem: the mean of each value, in brackets over the risk."""
    lines = []
    for problem, columns in COLUMNS.items():
        lines += [
            f"**{problem.capitalize()}**",
            "",
            f"| n | {' | '.join(columns)} |",
            "|---|" + "---|" * len(columns),
        ]
        truth = columns[0]
        for row in rows:
            if row["problem"] != problem:
                continue
            if "refused" in row:
                refused = ["refused: the kernel is singular in float64", *[""] * (len(columns) - 1)]
                lines.append(f"| {row['n']:,} | {' | '.join(refused)} |")
                continue
            cells = [f"{row['n']:,}", _number(row[truth])]
            for name in columns[1:]:
                # A bound of another fit stands over the risk of that fit.
                risk = row.get(f"{name}'s risk", row[truth])
                ratio = row[name] / risk
                cells.append(f"{_number(row[name])} ({ratio:.3g})")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if value >= 1e-3 else f"{value:.1e}"


def figure(rows: list[dict], path: Path) -> None:
    """Draw values and bounds against n, one panel a problem."""
    import io

    from matplotlib.figure import Figure

    canvas = Figure(figsize=(12, 5), layout="constrained")
    for axes, (problem, columns) in zip(canvas.subplots(1, 3), COLUMNS.items(), strict=True):
        chosen = [row for row in rows if row["problem"] == problem and "refused" not in row]
        for name in columns:
            truth = name == columns[0]
            style = {"color": "black", "linestyle": ":"} if truth else {"marker": "o"}
            values = [row[name] for row in chosen]
            axes.loglog(
                [r["n"] for r in chosen], values, label=name, **COLORS.get(name, {}), **style
            )
        axes.axhline(1, color="grey", linewidth=0.5)
        axes.set(title=problem, xlabel="examples")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize="small")
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=90)
    write_whole(path, buffer.getvalue())


def main(options: Options) -> list[dict]:
    """Draw every problem at every size, print the tables and write them."""
    if len(options.draws) != len(options.sizes):
        raise InputError("draws must be one number a size")
    rows: list[dict] = []
    for i, (problem, measure) in enumerate(PROBLEMS.items()):
        for n, draws in zip(options.sizes, options.draws, strict=True):
            try:
                values = [
                    measure(np.random.default_rng([options.seed, i, n, j]), n) for j in range(draws)
                ]
            except KernelError as error:
                # The interpolant needs K^-1 itself; a ridge would make it another function.
                rows.append({"problem": problem, "n": n, "draws": draws, "refused": str(error)})
            else:
                means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
                rows.append({"problem": problem, "n": n, "draws": draws, **means})
            print(rows[-1], flush=True)
    text = table(rows)
    print(text)
    write_whole(options.out / "table.md", text)
    write_whole(options.out / "rows.json", json.dumps(rows, indent=1) + "\n")
    write_whole(options.out / "provenance.json", json.dumps(provenance(), indent=1) + "\n")
    figure(rows, options.out / "tightness.png")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
