"""Linear distillation recovers the teacher once there are as many examples as dimensions."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-6


def check(*, quick: bool = False, seed: int = 0, start: float = 0.0) -> Outcome:
    """Distil linear students by gradient descent on the cross-entropy with the teacher's outputs.

    Args:
      quick: fewer draws.
      seed: of teacher and inputs.
      start: breaks the premise that the student starts at zero: the size of a start outside the
        span of the inputs.
    """
    dimension, draws = 12, (40 if quick else 200)
    sizes = np.array([1, 2, 4, 8, 11, 12, 16])
    rng = np.random.default_rng(seed)
    errors, risk = np.zeros((sizes.size, draws)), np.zeros((sizes.size, draws))
    for i, size in enumerate(sizes):
        for j in range(draws):
            teacher = rng.normal(size=dimension) / np.sqrt(dimension)
            x = rng.normal(size=(size, dimension))
            span = np.linalg.svd(x, full_matrices=False)[2]
            offset = rng.normal(size=dimension)
            offset -= span.T @ (span @ offset)
            student = distil(x, x @ teacher, start * offset)
            predicted = span.T @ (span @ teacher)
            errors[i, j] = np.linalg.norm(student - predicted) / np.linalg.norm(teacher)
            cosine = student @ teacher / (np.linalg.norm(student) * np.linalg.norm(teacher))
            # Gaussian inputs: two hyperplanes disagree on the share angle / pi.
            risk[i, j] = np.arccos(np.clip(cosine, -1, 1)) / np.pi
    worst = float(np.max(errors))
    mean = risk.mean(axis=1)
    rises = float(np.max(np.diff(mean[sizes <= dimension])))
    left = float(np.max(mean[sizes >= dimension]))
    return decided(
        min(_TOLERANCE - worst, 1e-3 - left, -rises),
        f"student off the projected teacher by {worst:.1e} (allowed {_TOLERANCE:.0e}); "
        f"disagreement {mean[0]:.2f} at n = {sizes[0]}, {left:.1e} from n = d on",
        examples=sizes,
        disagreement=mean,
        dimension=np.asarray(dimension),
    )


def distil(x: np.ndarray, logits: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the weights at which gradient descent from `start` on the soft labels' loss ends.

    Args:
      x: inputs, shape (n, d).
      logits: the teacher's, shape (n,).
      start: weights, shape (d,).

    Every gradient is a combination of the inputs, so gradient descent stays in start + span, where
    the cross-entropy with soft targets is strictly convex: Newton's method finds the one minimum.

    >>> distil(np.array([[1.0, 0.0]]), np.array([2.0]), np.zeros(2)).round(9)
    array([2., 0.])
    """
    u, singular, span = np.linalg.svd(x, full_matrices=False)
    features = u * singular
    target = 1 / (1 + np.exp(-logits))
    coordinates = np.zeros(singular.size)
    for _ in range(200):
        output = 1 / (1 + np.exp(-(features @ coordinates + x @ start)))
        gradient = features.T @ (output - target)
        curvature = features.T @ (features * (output * (1 - output))[:, None])
        step = np.linalg.solve(curvature, gradient)
        # Long steps of Newton's method can overshoot where the sigmoid is flat.
        length = float(np.linalg.norm(step))
        coordinates = coordinates - step / max(1.0, length)
        if length <= 1e-13 * (1 + float(np.linalg.norm(coordinates))):
            break
    return start + coordinates @ span


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the disagreement of student and teacher against the number of examples."""
    axes.plot(outcome.series["examples"], outcome.series["disagreement"], "o-")
    axes.axvline(float(outcome.series["dimension"]), color="grey", linestyle=":")
    axes.set(xlabel="examples", ylabel="disagreement with teacher", title="Linear distillation")


CLAIM = Claim(
    name="linear_distillation",
    statement=(
        "A linear student distilled by gradient descent from zero on soft labels ends at the "
        "projection of the teacher's weights on the span of the inputs, and so at the teacher "
        "itself from n = d on: its disagreement with the teacher falls to zero there."
    ),
    source="Phuong and Lampert 2019, Towards understanding knowledge distillation",
    varied="number of examples from 1 to beyond the dimension",
    check=check,
    draw=draw,
)
