"""Complexity is the squared distance that the linearised network's weights travel."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-5


def check(*, quick: bool = False, seed: int = 0, start: float = 0.0) -> Outcome:
    """Train linearised tanh networks to convergence and compare C with ||w* - w0||^2.

    Args:
      quick: fewer sizes.
      seed: of inputs, weights and targets.
      start: breaks the premise that training starts at w0: how far away it starts instead, in a
        direction that no output sees.
    """
    sizes = [4, 8] if quick else [4, 8, 16, 24]
    complexities, distances = [], []
    for size in sizes:
        jacobian, residual = _linearised_network(size, seed)
        gram = jacobian @ jacobian.T
        complexities.append(float(factorize(gram).complexity(residual).complexity))
        unseen = np.linalg.svd(jacobian)[2][-1]
        weights = _gradient_descent(jacobian, residual, start * unseen)
        distances.append(float(weights @ weights))
    error = float(np.max(np.abs(np.divide(distances, complexities) - 1)))
    return decided(
        _TOLERANCE - error,
        f"largest relative difference {error:.1e}, allowed {_TOLERANCE:.0e}",
        examples=sizes,
        complexity=complexities,
        squared_distance=distances,
    )


def _linearised_network(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Jacobian (n d, P) at w0 and the targets relative to f(x; w0), of a network of two outputs."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), 4)
        x = jax.random.normal(keys[0], (size, 5), jnp.float64)
        weights = {
            "first": jax.random.normal(keys[1], (5, 64), jnp.float64),
            "second": jax.random.normal(keys[2], (64, 2), jnp.float64),
        }

        def outputs(w: dict[str, jax.Array]) -> jax.Array:
            hidden = jnp.tanh(x @ w["first"] / jnp.sqrt(jnp.float64(5)))
            return (hidden @ w["second"] / 8.0).reshape(-1)

        leaves = jax.tree.leaves(jax.jit(jax.jacrev(outputs))(weights))
        jacobian = jnp.concatenate([leaf.reshape(2 * size, -1) for leaf in leaves], axis=1)
        targets = jax.random.normal(keys[3], (2 * size,), jnp.float64)
        return np.asarray(jacobian), np.asarray(targets - outputs(weights))


def _gradient_descent(jacobian: np.ndarray, residual: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Weights relative to w0 after accelerated gradient descent on the squared loss."""
    spectrum = np.linalg.svd(jacobian, compute_uv=False) ** 2
    rate = 1 / spectrum[0]
    root = np.sqrt(spectrum[-1] / spectrum[0])
    momentum = (1 - root) / (1 + root)
    weights = ahead = start
    for _ in range(int(24 / root)):
        following = ahead - rate * (jacobian.T @ (jacobian @ ahead - residual))
        ahead = following + momentum * (following - weights)
        weights = following
    return weights


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw both sides of the identity against the number of examples."""
    series = outcome.series
    axes.plot(series["examples"], series["complexity"], "o-", label="complexity")
    axes.plot(series["examples"], series["squared_distance"], "x--", label="squared distance")
    axes.set(xlabel="examples", ylabel="value", title="Norm identity")
    axes.legend()


CLAIM = Claim(
    name="norm_identity",
    statement=(
        "Y^T K^-1 Y, with targets relative to f(x; w0), is ||w* - w0||^2 of the linearised network "
        "trained from w0 to convergence on the squared loss."
    ),
    source="Harutyunyan et al. 2023; Bartlett and Mendelson 2002 for the RKHS norm",
    varied="number of examples; two outputs, full kernel",
    check=check,
    draw=draw,
)
