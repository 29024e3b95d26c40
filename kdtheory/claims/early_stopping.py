"""An early-stopped teacher is simpler: complexity grows along kernel gradient flow."""

from typing import TYPE_CHECKING

import jax
import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.ntk import neural_tangents

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-6


def check(*, quick: bool = False, seed: int = 0, same_kernel: bool = True) -> Outcome:
    """Follow gradient flow on the squared loss in closed form and by neural-tangents.

    Args:
      quick: fewer times.
      seed: of inputs and labels.
      same_kernel: False breaks the premise that complexity is measured by the kernel that made
        the predictions: the measuring kernel finds the half-learnt predictions harder.
    """
    times: np.ndarray = np.geomspace(1e-3, 3e2, 12 if quick else 40)
    rng = np.random.default_rng(seed)
    labels: np.ndarray
    if same_kernel:
        x = rng.normal(size=(20, 3))
        dynamics = measuring = np.exp(-((x[:, None] - x) ** 2).sum(-1)) + 0.01 * np.eye(20)
        labels = rng.choice([-1.0, 1.0], size=20)
    else:
        dynamics, labels = np.diag([10.0, 0.01]), np.ones(2)
        measuring = np.array([[1.0, 0.99], [0.99, 1.0]])
    spectrum = eigendecompose(dynamics)
    coefficients = spectrum.eigenvectors.T @ labels
    learnt = -np.expm1(-times[:, None] * spectrum.eigenvalues)
    predictions = (learnt * coefficients) @ spectrum.eigenvectors.T
    complexity = np.asarray(factorize(measuring).complexity(predictions).complexity)
    with jax.enable_x64(True):
        library = neural_tangents.load()
        # neural-tangents' loss is a mean over examples, so its time runs n times as fast.
        predict = library.predict.gradient_descent_mse(dynamics, labels[:, None])
        start = np.zeros((labels.size, 1))
        simulated = np.stack(
            [np.asarray(predict(float(t) * labels.size, start))[:, 0] for t in times]
        )
    agreement = float(np.abs(simulated - predictions).max())
    growth = float((np.diff(complexity) / complexity[1:]).min())
    return decided(
        min(growth, _TOLERANCE - agreement),
        f"smallest relative growth between two times {growth:.1e}; closed form and neural-tangents "
        f"differ by {agreement:.1e}, allowed {_TOLERANCE:.0e}",
        time=times,
        complexity=complexity,
        final=np.asarray(factorize(measuring).complexity(labels).complexity),
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw complexity against training time."""
    axes.loglog(outcome.series["time"], outcome.series["complexity"], "o-", label="f_t")
    axes.axhline(float(outcome.series["final"]), color="grey", linestyle=":", label="labels")
    axes.set(xlabel="training time", ylabel="complexity", title="Early stopping")
    axes.legend()


CLAIM = Claim(
    name="early_stopping",
    statement=(
        "The complexity of gradient-flow predictions f_t = (I - exp(-K t)) Y, measured by the same "
        "K, grows with t towards that of Y."
    ),
    source="Harutyunyan et al. 2023 (early-stopped teachers); Jacot et al. 2018 for the dynamics",
    varied="training time over five decades",
    check=check,
    draw=draw,
    caveat=(
        "Only for the kernel that made the predictions: another kernel can find half-learnt "
        "predictions harder than learnt ones."
    ),
)
