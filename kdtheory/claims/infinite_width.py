"""The empirical kernel of wide networks tends to the infinite-width kernel at a known rate."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.ntk import neural_tangents

if TYPE_CHECKING:
    import matplotlib.axes

# Of the exponent's confidence interval: its half-width in standard errors (99.9 %), and the largest
# one that still tells -1/2 from -1/3.
_STANDARD_ERRORS = 3.29
_WIDEST = 0.15


def check(*, quick: bool = False, seed: int = 0, weight_scale: float = 1.0) -> Outcome:
    """Measure the distance of empirical kernels at initialisation from the analytic one.

    Args:
      quick: fewer widths and seeds.
      seed: of inputs and weights.
      weight_scale: breaks the premise that the network is initialised as the analytic kernel
        assumes: multiplies the empirical networks' weights.
    """
    widths = [32, 128, 512] if quick else [32, 64, 128, 256, 512, 1024]
    repetitions = 50 if quick else 100
    library = neural_tangents.load()
    stax = library.stax
    distances, errors = [], []
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(seed), (6, 4), jnp.float64)
        x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        for width in widths:
            init, apply, kernel = stax.serial(
                stax.Dense(width), stax.Relu(), stax.Dense(width), stax.Relu(), stax.Dense(1)
            )
            with (
                jax.numpy_dtype_promotion("standard"),
                jax.numpy_rank_promotion("allow"),
            ):
                limit = np.asarray(jax.jit(functools.partial(kernel, x2=None, get="ntk"))(x))

                def empirical(key: jax.Array, init: Any = init, apply: Any = apply) -> jax.Array:
                    weights = init(key, x.shape)[1]
                    weights = jax.tree.map(lambda w: weight_scale * w, weights)
                    leaves = jax.tree.leaves(jax.jacobian(lambda w: apply(w, x)[:, 0])(weights))
                    rows = [leaf.reshape(len(x), -1) for leaf in leaves]
                    return sum(row @ row.T for row in rows)

                # Independent weights at every width: so the slope has a standard error.
                keys = jax.random.split(jax.random.PRNGKey(seed + width), repetitions)
                compiled = jax.jit(empirical)
                kernels = np.stack([np.asarray(compiled(key)) for key in keys])
            squares = ((kernels - limit) ** 2).sum(axis=(1, 2))
            distances.append(np.sqrt(squares.mean()) / np.linalg.norm(limit))
            # Of ln sqrt(mean square), by the delta method.
            errors.append(squares.std(ddof=1) / squares.mean() / (2 * np.sqrt(repetitions)))
    slope, error = _slope(np.log(widths), np.log(distances), np.array(errors))
    half = _STANDARD_ERRORS * error
    return decided(
        min(half - abs(slope + 0.5), _WIDEST - half),
        f"relative distance {distances[0]:.3f} at width {widths[0]}, {distances[-1]:.3f} at "
        f"{widths[-1]}: exponent {slope:.3f}, 99.9 % interval {slope - half:.3f} to "
        f"{slope + half:.3f}, which must hold -0.5 and be within {_WIDEST} of its centre",
        width=widths,
        distance=distances,
        relative_error=errors,
        exponent=slope,
        exponent_error=error,
    )


def _slope(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Return the weighted least-squares slope of y against x, and its standard error."""
    weights = errors**-2
    centred = x - np.average(x, weights=weights)
    spread = (weights * centred**2).sum()
    return float((weights * centred * y).sum() / spread), float(spread**-0.5)


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the distance against the width, with the expected slope."""
    width, distance = outcome.series["width"], outcome.series["distance"]
    axes.set(xscale="log", yscale="log")
    bars = 2 * distance * outcome.series["relative_error"]
    axes.errorbar(width, distance, bars, fmt="o-", label="measured, two standard errors")
    axes.loglog(width, distance[0] * np.sqrt(width[0] / width), ":", label="width^(-1/2)")
    axes.set(xlabel="width", ylabel="relative distance", title="Infinite-width limit")
    axes.legend()


CLAIM = Claim(
    name="infinite_width",
    statement=(
        "The empirical NTK at initialisation tends to the infinite-width kernel; the root mean "
        "square distance falls as width^(-1/2) (99.9 % confidence interval of the exponent)."
    ),
    source="Jacot, Gabriel, Hongler 2018; rate: Huang and Yau 2020, Hanin and Nica 2020",
    varied="width of a network of three layers (ReLU)",
    check=check,
    draw=draw,
    caveat=(
        "The rate is that of one network's distance; it needs the initialisation that the "
        "infinite-width kernel assumes."
    ),
)
