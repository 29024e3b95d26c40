"""What `kdtheory complexity` prints: complexity, adjusted complexity and margins."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Real

from kdtheory.analysis import margins
from kdtheory.complexity import eigendecompose
from kdtheory.complexity.fitted import ritz_energy
from kdtheory.measure.certified_kernel import CertifiedKernel
from kdtheory.measure.exact_kernel import ExactKernel
from kdtheory.measure.network_kernel import MeasuredKernel
from kdtheory.measure.spectrum_figure import SpectrumLines


class KernelValues(NamedTuple):
    """Values by name, as JSON's types, and the spectrum where it was asked for."""

    values: dict[str, Any]
    spectrum: SpectrumLines | None


def described(
    kernel: MeasuredKernel,
    targets: Mapping[str, Real[np.ndarray, "n d"]],
    *,
    stacked: bool = True,
    spectrum: bool = False,
) -> KernelValues:
    """Return everything that is known of some sets of targets on a kernel, by name.

    Args:
      kernel: one whose matrix was kept, where the spectrum is asked for.
      targets: the sets, by name.
      stacked: whether values are lists, one entry a set; otherwise those of the only set.
      spectrum: also return the spectrum, and the targets' energy in its directions.

    Raises:
      InputError: targets that do not fit.
      KernelError: products that are not finite.
    """
    of_kernel = _exact if isinstance(kernel, ExactKernel) else _certified
    sets = list(targets.values())
    values, fitted, lines = of_kernel(kernel, sets, spectrum)  # type: ignore[arg-type]
    values |= margins_of(fitted, sets)
    n, d = sets[0].shape
    names = {"targets": list(targets)} if stacked else {}
    if lines is not None:
        lines = lines._replace(names=tuple(targets))
    shown = {
        name: value if stacked or not isinstance(value, list) else value[0]
        for name, value in _json_types(values).items()
    }
    return KernelValues({**names, **shown, "num_outputs": d, "n": n}, lines)


def _exact(
    kernel: ExactKernel, targets: Sequence[np.ndarray], spectrum: bool
) -> tuple[dict[str, Any], list[np.ndarray], SpectrumLines | None]:
    found = kernel.complexities(targets)
    lines = None
    if spectrum:
        assert kernel.matrix is not None
        count, n, d = np.shape(targets)
        decomposed = eigendecompose(kernel.matrix, num_outputs=1 if kernel.shared else d)
        if kernel.shared:
            columns = np.stack(targets).transpose(0, 2, 1).reshape(count * d, n)
            energy = decomposed.energy(columns).reshape(count, d, n).sum(axis=1)
        else:
            energy = decomposed.energy(np.stack(targets)).reshape(count, -1)
        lines = SpectrumLines(decomposed.eigenvalues, energy, exact=True)
    values = {
        "complexity": [one.complexity.lower for one in found],
        "adjusted": [one.adjusted.lower for one in found],
        "target_rms": [one.rms for one in found],
        "adjusted_over_rms": [one.over_rms.lower for one in found],
        "trace": found[0].trace,
        "ridge": kernel.ridge,
        "condition": found[0].condition,
        "residual": [one.residual for one in found],
    }
    return values, kernel.fitted(targets), lines


def _certified(
    kernel: CertifiedKernel, targets: Sequence[np.ndarray], spectrum: bool
) -> tuple[dict[str, Any], list[np.ndarray], SpectrumLines | None]:
    result = kernel.certify(targets)
    found = kernel.described(result, targets)
    conditions = [one.condition for one in found if np.isfinite(one.condition)]
    values = {
        "lower": [one.complexity.lower for one in found],
        "upper": [one.complexity.upper for one in found],
        "relative_gap": result.relative_gap,
        "adjusted_lower": [one.adjusted.lower for one in found],
        "adjusted_upper": [one.adjusted.upper for one in found],
        "target_rms": [one.rms for one in found],
        "trace": kernel.trace,
        "ridge": kernel.ridge,
        "condition": max(conditions, default=1.0),
        "products": result.products,
        "stopped": list(result.stopped),
        "route": result.route,
    }
    lines = _ritz_lines(result.states, ridge=kernel.ridge) if spectrum else None
    return values, kernel.fitted(result, targets), lines


def margins_of(
    fitted: Sequence[Float[np.ndarray, "n d"]], targets: Sequence[Real[np.ndarray, "n d"]]
) -> dict[str, list[float]]:
    """Return smallest and mean margin, and the share not above 0, of predictions on targets.

    The labels are the targets' own decisions: their largest output, or their sign.

    >>> one = margins_of([np.array([[0.5], [-0.2]])], [np.array([[1.0], [1.0]])])
    >>> one["smallest_margin"], np.round(one["mean_margin"], 6).tolist(), one["errors"]
    ([-0.2], [0.15], [0.5])
    """
    found = []
    for logits, aims in zip(fitted, targets, strict=True):
        labels = aims.argmax(axis=1) if aims.shape[1] > 1 else (aims[:, 0] > 0).astype(int)
        found.append(margins(logits, labels))
    return {
        "smallest_margin": [float(one.min()) for one in found],
        "mean_margin": [float(one.mean()) for one in found],
        "errors": [float(np.mean(one <= 0)) for one in found],
    }


def _ritz_lines(states: Sequence[Any], *, ridge: float) -> SpectrumLines | None:
    energies = [ritz_energy(state, ridge=ridge) for state in states if state is not None]
    if not energies:
        return None
    most = max(len(one.eigenvalues) for one in energies)

    def filled(rows: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.pad(r, (0, most - len(r)), constant_values=np.nan) for r in rows])

    return SpectrumLines(
        filled([one.eigenvalues for one in energies]),
        filled([one.energy for one in energies]),
        exact=False,
    )


def _json_types(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str) else np.asarray(value).tolist()
        for name, value in values.items()
    }
