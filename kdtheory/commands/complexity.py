"""`kdtheory complexity`."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ComplexityOf:
    """Print the supervision complexity Y^T (K + ridge I)^-1 Y: of files, or of a model on data.

    With --gram, K and Y are files. Without, K is the NTK of --model on --dataset; where it does not
    fit in memory, or with --matrix-free, a certified interval is printed instead of the value.
    Margins are those of the kernel predictor on the targets' own decisions.
    """

    gram: Path | None = None
    """The kernel: .npy of shape (n, n), or (n d, n d) example-major."""
    targets: str | None = None
    """With --gram a .npy file of shape (n,), (n, d), flat (n d,), or a stack (k, n, d), (k, n d).
    Without: labels (the default), random, or such a file, for instance a teacher's outputs."""
    ridge: float | None = None
    """lambda, added to the diagonal (default: 0 with --gram, else see --ridge-fraction)."""
    ridge_fraction: float | None = None
    """Without --gram: lambda in units of the mean of K's diagonal (default 0.001)."""
    num_outputs: int | None = None
    """With --gram: outputs d of each example (default: what the .json beside the kernel says, else
    the last axis of (n, d) targets, else 1)."""
    dataset: str | None = None
    """digits (the default), synthetic, or any TFDS image classification set."""
    task: str = "full"
    """full, first_half, odd_even, even_odd."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    model: str | None = None
    """Name of the model (default lenet5x1)."""
    checkpoint: Path | None = None
    """A folder step-... that `kdtheory run` stored (default: the initialisation of --seed)."""
    seed: int = 0
    """Of the subsample, the initialisation, and random targets."""
    ntk_size: int = 256
    """Number of training examples n."""
    outputs: Literal["full", "sum"] = "full"
    """All d outputs, or their sum over sqrt(d)."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of K or of the products with it."""
    matrix_free: bool = False
    """Bound the complexity from products with K, which is never formed."""
    relative_gap: float = 1e-3
    """Matrix-free: stop at (upper - lower) / lower."""
    max_products: int = 1000
    """Matrix-free: products with K at most."""
    plot: Path | None = None
    """Also draw the spectrum with the targets' energy and complexity (.png, .pdf or .svg)."""
    json: bool = False
    """Print JSON."""


_FILES = ("gram", "targets", "ridge", "num_outputs", "plot", "json")


def complexity(options: ComplexityOf) -> None:
    """Run `kdtheory complexity`."""
    from kdtheory.errors import InputError
    from kdtheory.measure.complexity_files import values_of_files
    from kdtheory.measure.complexity_of_network import values_of_network
    from kdtheory.measure.kernel_files import tile_bar
    from kdtheory.measure.spectrum_figure import check_plot, save_spectrum

    if options.plot is not None:
        check_plot(options.plot)
    if options.gram is not None:
        if options.targets is None:
            raise InputError("--gram needs --targets, a .npy file")
        for field in fields(options):
            if field.name not in _FILES and getattr(options, field.name) != field.default:
                flag = "--" + field.name.replace("_", "-")
                raise InputError(f"{flag} is for a model and data; leave it out, or --gram")
        result = values_of_files(
            options.gram,
            Path(options.targets),
            ridge=options.ridge or 0.0,
            num_outputs=options.num_outputs,
            spectrum=options.plot is not None,
        )
    else:
        if options.num_outputs is not None:
            raise InputError("--num-outputs is for --gram; a data set has its own")
        with tile_bar() as on_tile:
            result = values_of_network(
                dataset=options.dataset or "digits",
                task=options.task,
                data_dir=options.data_dir,
                model=options.model or "lenet5x1",
                checkpoint=options.checkpoint,
                seed=options.seed,
                ntk_size=options.ntk_size,
                outputs=options.outputs,
                targets=options.targets or "labels",
                ridge=options.ridge,
                ridge_fraction=options.ridge_fraction,
                relative_gap=options.relative_gap,
                max_products=options.max_products,
                matrix_free=options.matrix_free,
                dtype=options.dtype,
                spectrum=options.plot is not None,
                on_tile=on_tile,
                on_product=_show,
            )
    if options.plot is not None and result.spectrum is not None:
        save_spectrum(options.plot, result.spectrum, ridge=result.values["ridge"])
    if options.json:
        print(json.dumps(result.values))
        return
    width = max(map(len, result.values))
    for name, value in result.values.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name:>{width}}  {'  '.join(_text(entry) for entry in shown)}")


def _text(entry: float | int | str) -> str:
    return entry if isinstance(entry, str) else f"{entry:.6g}"


def _show(index: int, products: int, lower: float, upper: float) -> None:
    """Show the narrowing bounds on one line of standard error, where that is a terminal."""
    import sys

    if sys.stderr.isatty():
        line = f"set {index}: {products} products, {lower:.6g} to {upper:.6g}"
        print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
