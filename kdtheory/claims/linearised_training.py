"""Wide networks train as their linearisation at initialisation does."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

_STEPS = 200


def check(*, quick: bool = False, seed: int = 0, output_exponent: float = 0.5) -> Outcome:
    """Train networks of growing width and their linearisations by the same gradient descent.

    Args:
        quick: fewer widths and seeds.
        seed: of inputs, targets and weights.
        output_exponent: of the width in the output's scale, width^(-exponent). 1/2 is the kernel
            regime; 1 breaks that premise (the mean-field regime, in which features are learnt).
    """
    widths = [64, 256, 1024] if quick else [64, 128, 256, 512, 1024, 2048, 4096]
    repetitions = 4 if quick else 10
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), 2 + repetitions)
        x = jax.random.normal(keys[0], (12, 3), jnp.float64)
        y = jnp.sign(jax.random.normal(keys[1], (6,), jnp.float64))
        gaps = [
            float(np.sqrt(np.mean(np.square(_gaps(keys[2:], x, y, width, output_exponent)))))
            for width in widths
        ]
    slope = float(np.polyfit(np.log(widths), np.log(gaps), 1)[0])
    # Theory bounds the gap by a multiple of width^(-1/2); it may fall faster, up to 1 / width.
    return decided(
        -0.35 - slope,
        f"gap on fresh inputs {gaps[0]:.2e} at width {widths[0]}, {gaps[-1]:.2e} at "
        f"{widths[-1]}: slope {slope:.2f}, needed at most -0.35 (theory: -0.5)",
        width=widths,
        gap=gaps,
    )


def _gaps(
    keys: jax.Array, x: jax.Array, y: jax.Array, width: int, output_exponent: float
) -> jax.Array:
    """Difference of network and linearisation on fresh inputs after training, one row a key.

    The first inputs, as many as there are targets, are trained on; the rest are fresh.
    """
    n, scale = y.size, float(width) ** -output_exponent
    labels, seen = jnp.pad(y, (0, x.shape[0] - n)), jnp.arange(x.shape[0]) < n

    def outputs(weights: dict[str, jax.Array]) -> jax.Array:
        hidden = jnp.tanh(x @ weights["first"] / jnp.sqrt(jnp.float64(x.shape[1])))
        return scale * (hidden @ weights["second"])

    def gap(key: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        start = {
            "first": jax.random.normal(first, (x.shape[1], width), jnp.float64),
            "second": jax.random.normal(second, (width,), jnp.float64),
        }
        leaves = jax.tree.leaves(jax.jacrev(outputs)(start))
        rows = jnp.concatenate([leaf.reshape(x.shape[0], -1) for leaf in leaves], axis=1)
        kernel = rows @ rows.T
        spectrum, q = jnp.linalg.eigh(kernel[:n, :n])
        # The same share of the way to convergence for every width and scale.
        rate = 1 / spectrum[-1]

        def step(_: Any, weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
            value, pullback = jax.vjp(outputs, weights)
            (gradient,) = pullback(jnp.where(seen, value - labels, 0.0))
            return jax.tree.map(lambda w, g: w - rate * g, weights, gradient)

        trained = outputs(jax.lax.fori_loop(0, _STEPS, step, start))
        initial = outputs(start)
        learnt = 1 - (1 - rate * spectrum) ** _STEPS
        coefficients = (q * (learnt / spectrum)[None, :]) @ (q.T @ (y - initial[:n]))
        linearised = initial + kernel[:, :n] @ coefficients
        return (trained - linearised)[n:]

    return jax.jit(jax.vmap(gap))(keys)


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
)
