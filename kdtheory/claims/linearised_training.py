"""Wide networks train as their linearisation at initialisation does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.ntk import neural_tangents

if TYPE_CHECKING:
    import matplotlib.axes

_STEPS = 200
_STANDARD_ERRORS = 3.0
_TOLERANCE = 1e-9


def check(*, quick: bool = False, seed: int = 0, output_exponent: float = 0.5) -> Outcome:
    """Train networks of growing width and their linearisations by the same gradient descent.

    Args:
      quick: fewer widths and seeds.
      seed: of inputs, targets and weights.
      output_exponent: of the width in the output's scale, width^(-exponent). 1/2 is the kernel
        regime; 1 breaks that premise (the mean-field regime, in which features are learnt).
    """
    widths = [32, 128, 512] if quick else [64, 128, 256, 512, 1024, 2048, 4096]
    repetitions = 20 if quick else 30
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), 2 + repetitions)
        x = jax.random.normal(keys[0], (12, 3), jnp.float64)
        y = jnp.sign(jax.random.normal(keys[1], (6,), jnp.float64))
        squares = np.stack(
            [
                np.square(_gaps(keys[2:], x, y, width, output_exponent)).mean(axis=1)
                for width in widths
            ]
        )
        difference = _library_difference(keys[2], x, y, widths[0], output_exponent)
    gaps = np.sqrt(squares.mean(axis=1))
    slope = _slope(widths, squares)
    # The same keys at every width: leaving one out after the other gives the standard error.
    without = [_slope(widths, np.delete(squares, i, axis=1)) for i in range(repetitions)]
    error = float(np.sqrt((repetitions - 1) * np.var(without)))
    # Theory bounds the gap by a multiple of width^(-1/2); it may fall faster, up to 1 / width.
    decay = -0.5 + _STANDARD_ERRORS * error - slope
    informative = 0.4 - _STANDARD_ERRORS * error
    return decided(
        min(decay, informative, 1 - difference / _TOLERANCE),
        f"gap on fresh inputs {gaps[0]:.2e} at width {widths[0]}, {gaps[-1]:.2e} at "
        f"{widths[-1]}: exponent {slope:.3f} with standard error {error:.3f}, needed at most -0.5 "
        f"within {_STANDARD_ERRORS:.0f} of them and {_STANDARD_ERRORS:.0f} of them below 0.4; "
        f"nt.linearize differs from the closed form by {difference:.0e}",
        width=widths,
        gap=gaps,
        exponent=slope,
        exponent_error=error,
    )


def _slope(widths: list[int], squares: np.ndarray) -> float:
    return float(np.polyfit(np.log(widths), np.log(squares.mean(axis=1)) / 2, 1)[0])


def _outputs(weights: dict[str, jax.Array], x: jax.Array, scale: float) -> jax.Array:
    hidden = jnp.tanh(x @ weights["first"] / jnp.sqrt(jnp.float64(x.shape[1])))
    return scale * (hidden @ weights["second"])


def _start(key: jax.Array, dimension: int, width: int) -> dict[str, jax.Array]:
    first, second = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (dimension, width), jnp.float64),
        "second": jax.random.normal(second, (width,), jnp.float64),
    }


def _gaps(
    keys: jax.Array, x: jax.Array, y: jax.Array, width: int, output_exponent: float
) -> jax.Array:
    """Difference of network and linearisation on fresh inputs after training, one row a key.

    The first inputs, as many as there are targets, are trained on; the rest are fresh.
    """
    scale = float(width) ** -output_exponent

    def gap(key: jax.Array) -> jax.Array:
        start = _start(key, x.shape[1], width)
        linearised, rate = _closed_form(start, x, y, scale)
        trained = _descend(lambda w: _outputs(w, x, scale), start, y, rate)
        return (trained - linearised)[y.size :]

    return jax.jit(jax.vmap(gap))(keys)


def _closed_form(
    start: dict[str, jax.Array], x: jax.Array, y: jax.Array, scale: float
) -> tuple[jax.Array, jax.Array]:
    """Outputs of the linearisation after all steps, and the rate of the steps."""
    n = y.size
    leaves = jax.tree.leaves(jax.jacrev(lambda w: _outputs(w, x, scale))(start))
    rows = jnp.concatenate([leaf.reshape(x.shape[0], -1) for leaf in leaves], axis=1)
    kernel = rows @ rows.T
    spectrum, q = jnp.linalg.eigh(kernel[:n, :n])
    # The same share of the way to convergence for every width and scale.
    rate = 1 / spectrum[-1]
    initial = _outputs(start, x, scale)
    learnt = 1 - (1 - rate * spectrum) ** _STEPS
    coefficients = (q * (learnt / spectrum)[None, :]) @ (q.T @ (y - initial[:n]))
    return initial + kernel[:, :n] @ coefficients, rate


def _descend(
    outputs: Callable[[dict[str, jax.Array]], jax.Array],
    start: dict[str, jax.Array],
    y: jax.Array,
    rate: jax.Array,
) -> jax.Array:
    """Outputs after gradient descent on the squared loss of the first examples."""

    def step(_: Any, weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
        value, pullback = jax.vjp(outputs, weights)
        residual = value.at[: y.size].add(-y)
        (gradient,) = pullback(jnp.where(jnp.arange(value.size) < y.size, residual, 0.0))
        return jax.tree.map(lambda w, g: w - rate * g, weights, gradient)

    return outputs(jax.lax.fori_loop(0, _STEPS, step, start))


def _library_difference(
    key: jax.Array, x: jax.Array, y: jax.Array, width: int, output_exponent: float
) -> float:
    """Train the linearisation that neural-tangents makes, and compare with the closed form."""
    scale = float(width) ** -output_exponent
    linearize = neural_tangents.load().linearize

    def difference(key: jax.Array) -> jax.Array:
        start = _start(key, x.shape[1], width)
        closed, rate = _closed_form(start, x, y, scale)
        linearised = linearize(lambda w, x: _outputs(w, x, scale), start)
        trained = _descend(lambda w: linearised(w, x), start, y, rate)
        return jnp.abs(trained - closed).max() / jnp.abs(closed).max()

    return float(jax.jit(difference)(key))


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the gap against the width, with the expected slope."""
    width, gap = outcome.series["width"], outcome.series["gap"]
    axes.loglog(width, gap, "o-", label="measured")
    axes.loglog(width, gap[0] * np.sqrt(width[0] / width), ":", label="width^(-1/2)")
    axes.set(xlabel="width", ylabel="gap on fresh inputs", title="Linearised training")
    axes.legend()


CLAIM = Claim(
    name="linearised_training",
    statement=(
        "Gradient descent on a network of width m and on its linearisation at initialisation give "
        "outputs whose distance vanishes as m grows, at least as m^(-1/2)."
    ),
    source="Lee et al. 2019, Wide neural networks of any depth evolve as linear models",
    varied="width of a two-layer tanh network in the kernel parametrisation",
    check=check,
    draw=draw,
    caveat=(
        "The rate m^(-1/2) is an upper bound: at these widths the gap falls faster, between "
        "m^(-1/2) and 1 / m. In the mean-field scaling it does not fall at all."
    ),
)
