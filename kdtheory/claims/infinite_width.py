"""The empirical kernel of wide networks tends to the infinite-width kernel at a known rate."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.ntk import neural_tangents

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 0.15


def check(*, quick: bool = False, seed: int = 0, weight_scale: float = 1.0) -> Outcome:
    """Measure the distance of empirical kernels at initialisation from the analytic one.

    Args:
        quick: fewer widths and seeds.
        seed: of inputs and weights.
        weight_scale: breaks the premise that the network is initialised as the analytic kernel
            assumes: multiplies the empirical networks' weights.
    """
    widths = [32, 128, 512] if quick else [32, 64, 128, 256, 512, 1024]
    repetitions = 8 if quick else 30
    library = neural_tangents.load()
    stax = library.stax
    distances = []
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
                limit = np.asarray(kernel(x, None, "ntk"))

                def empirical(key: jax.Array, init: Any = init, apply: Any = apply) -> jax.Array:
                    weights = init(key, x.shape)[1]
                    weights = jax.tree.map(lambda w: weight_scale * w, weights)
                    leaves = jax.tree.leaves(jax.jacobian(lambda w: apply(w, x)[:, 0])(weights))
                    rows = [leaf.reshape(len(x), -1) for leaf in leaves]
                    return sum(row @ row.T for row in rows)

                keys = jax.random.split(jax.random.PRNGKey(seed + 1), repetitions)
                kernels = np.stack([np.asarray(jax.jit(empirical)(key)) for key in keys])
            squares = ((kernels - limit) ** 2).sum(axis=(1, 2))
            distances.append(np.sqrt(squares.mean()) / np.linalg.norm(limit))
    slope = float(np.polyfit(np.log(widths), np.log(distances), 1)[0])
    return decided(
        _TOLERANCE - abs(slope + 0.5),
        f"relative distance {distances[0]:.3f} at width {widths[0]}, {distances[-1]:.3f} at "
        f"{widths[-1]}: slope {slope:.2f}, expected -0.5 within {_TOLERANCE}",
        width=widths,
        distance=distances,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the distance against the width, with the expected slope."""
    width, distance = outcome.series["width"], outcome.series["distance"]
    axes.loglog(width, distance, "o-", label="measured")
    axes.loglog(width, distance[0] * np.sqrt(width[0] / width), ":", label="width^(-1/2)")
    axes.set(xlabel="width", ylabel="relative distance", title="Infinite-width limit")
    axes.legend()


CLAIM = Claim(
    name="infinite_width",
    statement=(
        "The empirical NTK at initialisation tends to the infinite-width kernel; the root mean "
        "square distance falls as width^(-1/2)."
    ),
    source="Jacot, Gabriel, Hongler 2018; rate: Huang and Yau 2020, Hanin and Nica 2020",
    varied="width of a network of three layers (ReLU)",
    check=check,
    draw=draw,
)
