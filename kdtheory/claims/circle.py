"""A classification problem whose risk is known exactly: noisy sectors of the unit circle."""

import numpy as np

#: Probability that a label is replaced by another class, each with the same probability.
FLIP = 0.05


def draw_circle(rng: np.random.Generator, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x uniform on the unit circle, (n, 2), and noisy class indices, (n,).

    The class is that of the nearest of `classes` equally spaced points, the first at angle 0.
    """
    angle = rng.uniform(0, 2 * np.pi, size)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    other = rng.integers(1, classes, size) * (rng.uniform(size=size) < FLIP)
    return x, ((x @ centres(classes)).argmax(axis=1) + other) % classes


def centres(classes: int) -> np.ndarray:
    """Return the points that the classes belong to, one a column, shape (2, classes)."""
    angle = 2 * np.pi * np.arange(classes) / classes
    return np.stack([np.cos(angle), np.sin(angle)])


def ridge_weights(x: np.ndarray, y: np.ndarray, classes: int, *, ridge: float) -> np.ndarray:
    """Return the weights (2, classes) of the ridge fit to centred one-hot labels."""
    targets = np.eye(classes)[y] - 1 / classes
    return np.linalg.solve(x.T @ x + ridge * np.eye(2), x.T @ targets)


def risk_on_circle(weights: np.ndarray) -> float:
    """Return P(argmax of x . weights is not the noisy label), exactly.

    Both decisions change only where two of their linear functions meet: the circle is cut there,
    and each arc counts by its length.

    >>> round(risk_on_circle(centres(3)), 12) == FLIP
    True
    """
    classes = weights.shape[1]
    truth = centres(classes)
    first, second = np.triu_indices(classes, 1)
    across = np.concatenate([(w[:, first] - w[:, second]).T for w in (weights, truth)])
    cuts = np.arctan2(across[:, 1], across[:, 0]) + np.pi / 2
    cuts = np.sort(np.concatenate([cuts, cuts + np.pi]) % (2 * np.pi))
    length = np.diff(cuts, append=cuts[0] + 2 * np.pi)
    middle = cuts + length / 2
    x = np.stack([np.cos(middle), np.sin(middle)], axis=1)
    right = (x @ weights).argmax(axis=1) == (x @ truth).argmax(axis=1)
    wrong = 1 - FLIP / (classes - 1)
    return float((length * np.where(right, FLIP, wrong)).sum() / (2 * np.pi))
