"""The figure of `kdtheory complexity --plot`: which directions make targets complex."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kdtheory.errors import InputError
from kdtheory.palette import CYCLE, DARK_GREY

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class SpectrumLines(NamedTuple):
    """A spectrum to draw, descending; for k sets of targets."""

    eigenvalues: np.ndarray
    """Shape (m,), or (k, m) for Ritz values, which depend on the targets."""
    energy: np.ndarray
    """Of the targets, shape (k, m); each row sums to ||Y||^2."""
    exact: bool
    """Eigenvalues, not Ritz values."""
    names: tuple[str, ...] = ()
    """Of the sets."""


def spectrum_figure(lines: SpectrumLines, *, ridge: float) -> "matplotlib.figure.Figure":
    """Draw the spectrum, and the targets' energy and complexity summed over its directions.

    Left: eigenvalues, with the ridge. Right: the share of ||Y||^2 (dashed) and of the complexity
    (solid) that lies in the leading directions; complexity that rises late is made by directions in
    which the kernel is small.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    kind = "eigenvalue" if lines.exact else "Ritz value"
    style = "-" if lines.exact else "o-"
    spectra = np.atleast_2d(lines.eigenvalues)
    for index, values in enumerate(spectra):
        # What is below this is the rounding of a zero.
        floor = values.size * float(np.finfo(np.float64).eps) * np.nanmax(values)
        shown = values[np.isfinite(values) & (values > floor)]
        left.plot(np.arange(1, len(shown) + 1), shown, style, color=_color(index), markersize=2.5)
    if ridge > 0:
        left.axhline(ridge, color=DARK_GREY, linestyle=":", label=f"ridge {ridge:.3g}")
        left.legend(frameon=False)
    _logarithmic(left)
    left.set_xlabel(f"index of the {kind}")
    left.set_ylabel(kind)
    for index, energy in enumerate(lines.energy):
        values = np.maximum(spectra[min(index, len(spectra) - 1)], 0.0)
        found = np.isfinite(energy) & (values + ridge > 0)
        terms = energy[found] / (values[found] + ridge)
        order = np.arange(1, found.sum() + 1)
        name = f"{lines.names[index]}: " if len(lines.energy) > 1 else ""
        right.plot(
            order, np.cumsum(terms) / max(terms.sum(), 1e-300), color=_color(index),
            label=f"{name}complexity",
        )  # fmt: skip
        right.plot(
            order, np.cumsum(energy[found]) / max(energy[found].sum(), 1e-300), "--",
            color=_color(index), label=f"{name}energy",
        )  # fmt: skip
    right.set_xscale("log")
    right.set_ylim(0, 1.02)
    right.set_xlabel(f"leading {kind}s")
    right.set_ylabel("share of the whole")
    right.legend(frameon=False)
    return figure


def check_plot(path: Path) -> None:
    """Raise InputError, before anything is computed, for a figure that could not be written.

    >>> check_plot(Path("figure.txt"))
    Traceback (most recent call last):
    ...
    kdtheory.errors.InputError: --plot must end in .pdf, .png or .svg, got figure.txt
    """
    if path.suffix not in (".pdf", ".png", ".svg"):
        raise InputError(f"--plot must end in .pdf, .png or .svg, got {path}")
    if path.is_dir():
        raise InputError(f"--plot must name a file, {path} is a folder")


def _color(index: int) -> str:
    return CYCLE[index % len(CYCLE)]


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
