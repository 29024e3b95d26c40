"""True labels are less complex than random ones, on real data and a network's kernel."""

from typing import TYPE_CHECKING

import jax
import numpy as np

from kdtheory import datasets, models, ntk
from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize

if TYPE_CHECKING:
    import matplotlib.axes

_STANDARD_DEVIATIONS = 3.0
_NETWORKS = ["mlp", "lenet5x1"]


def check(*, quick: bool = False, seed: int = 0, shuffled: float = 0.0) -> Outcome:
    """Measure digits' even-odd labels against random ones by the NTK of small networks.

    Args:
      quick: fewer examples and networks.
      seed: of examples, networks and random labels.
      shuffled: breaks the premise that labels are true: the share of them that are drawn anew.
    """
    names = _NETWORKS[:1] if quick else _NETWORKS
    size = 128 if quick else 512
    data = datasets.load("digits", task="odd_even", train_size=size, seed=seed)
    images = datasets.normalize(data.train.images, data.mean, data.std)
    rng = np.random.default_rng(seed)
    labels = np.where(data.train.labels == 1, 1.0, -1.0)
    labels = np.where(rng.uniform(size=size) < shuffled, rng.permutation(labels), labels)
    random = rng.choice([-1.0, 1.0], size=(200, size))
    true_values, means, deviations = [], [], []
    for name in names:
        model = models.create(name, num_outputs=1)
        variables = models.init(model, jax.random.key(seed), images.shape[1:])
        gram = ntk.gram(model.apply, variables, images, outputs="trace", dtype="float64")
        factor = factorize(gram)
        true_values.append(factor.complexity(labels).adjusted)
        controls = factor.complexity(random).adjusted
        means.append(np.mean(controls))
        deviations.append(np.std(controls))
    gaps = (np.array(means) - true_values) / deviations
    return decided(
        float(gaps.min()) - _STANDARD_DEVIATIONS,
        f"adjusted complexity of true labels {true_values[0]:.2f}, of random ones {means[0]:.2f}: "
        f"at least {gaps.min():.0f} standard deviations below (needed {_STANDARD_DEVIATIONS:.0f})",
        true=true_values,
        random=means,
        random_deviation=deviations,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw both adjusted complexities for each network."""
    series = outcome.series
    at = np.arange(series["true"].size)
    axes.bar(at - 0.2, series["true"], 0.4, label="true labels")
    axes.bar(at + 0.2, series["random"], 0.4, yerr=series["random_deviation"], label="random")
    axes.set_xticks(at, _NETWORKS[: at.size])
    axes.set(xlabel="network", ylabel="adjusted complexity", title="True labels")
    axes.legend()


CLAIM = Claim(
    name="true_labels",
    statement=(
        "On real data the adjusted complexity of the true labels, measured by the NTK at "
        "initialisation, is below that of random labels."
    ),
    source="Harutyunyan et al. 2023 (random labels as control); Arora et al. 2019",
    varied="network; 200 draws of random labels",
    check=check,
    draw=draw,
)
