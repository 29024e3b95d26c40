"""A student linearised at initialisation: its features, and what distillation makes of them."""

import numpy as np
import scipy.linalg
import scipy.special

_DIMENSION = 8


def draw_inputs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return standard normal inputs, shape (size, 8)."""
    return rng.normal(size=(size, _DIMENSION))


def draw_network(rng: np.random.Generator, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (width, 8) and (width,) of f(x) = v . relu(W x / sqrt(8)) / sqrt(width)."""
    return rng.normal(size=(width, _DIMENSION)), rng.normal(size=width)


def features(network: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the gradient of f by all weights at initialisation, shape (n, P), P = 9 width.

    The student is f(x; w0) + phi(x) . (w - w0), with f(x; w0) taken off: it starts at 0.

    >>> rng = np.random.default_rng(0)
    >>> features(draw_network(rng, 8), draw_inputs(rng, 5)).shape
    (5, 72)
    """
    first, second = network
    root, scale = np.sqrt(_DIMENSION), np.sqrt(second.size)
    before = x @ first.T / root
    hidden = np.maximum(before, 0.0)
    inner = second * (before > 0) / (root * scale)
    by_first = (inner[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    return np.concatenate([hidden / scale, by_first], axis=1)


def draw_teacher(rng: np.random.Generator, network: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return weights w of a perfect teacher phi(x) . w, shape (P,), its logits of deviation 4.

    Perfect: a linearised student has these weights too. They are the mean of phi(x) by the sign of
    a function of two inputs, over 2,000 inputs that no student sees.
    """
    x = draw_inputs(rng, 2_000)
    phi = features(network, x)
    weights = phi.T @ np.sign(np.sin(1.5 * x[:, 0]) + x[:, 1])
    return 4 * weights / np.std(phi @ weights)


def displacements(gram: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return ||w_n - w0|| of the student trained on the first n examples, for every n, shape (N,).

    With K = L L^T the square is the sum of the first n squares of L^-1 z: one factor for all n.

    >>> displacements(np.diag([1.0, 4.0]), np.array([3.0, 8.0]))
    array([3., 5.])
    """
    lower = np.linalg.cholesky(gram)
    return np.sqrt(np.cumsum(scipy.linalg.solve_triangular(lower, logits, lower=True) ** 2))


def effective_logits(teacher: np.ndarray, labels: np.ndarray, soft_ratio: float) -> np.ndarray:
    """Return the logits at which the loss of soft and hard labels together is least.

    Args:
      teacher: the teacher's logits z_t, any shape.
      labels: 0 or 1, of the same shape.
      soft_ratio: rho in (0, 1], the weight of the teacher; 1 - rho is that of the labels.

    The minimum of rho CE(sigmoid(z_t), z) + (1 - rho) CE(y, z), both at temperature 1, is where
    sigmoid(z) = rho sigmoid(z_t) + (1 - rho) y. Source: Ji and Zhu 2020 (effective student logits).

    >>> effective_logits(np.array([-1.0]), np.array([1.0]), 0.5).round(6)
    array([0.551445])
    """
    probability = soft_ratio * scipy.special.expit(teacher) + (1 - soft_ratio) * labels
    # 1 - p from its own sum: where p is near 1 the difference would have no digits.
    other = soft_ratio * scipy.special.expit(-teacher) + (1 - soft_ratio) * (1 - labels)
    return np.log(probability) - np.log(other)
