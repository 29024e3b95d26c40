"""`kdtheory complexity`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from kdtheory.datasets.data_config import DataConfig
from kdtheory.measure.spec import KernelSpec

if TYPE_CHECKING:
    import numpy as np

    from kdtheory.measure.described import KernelValues
    from kdtheory.measure.examples import KernelExamples


@dataclass(frozen=True, kw_only=True)
class ComplexityOf:
    """Print the supervision complexity Y^T (K + lambda I)^-1 Y: of files, or of a model on data.

    With --gram, K and Y are files, and without a ridge lambda is 0. Else K is the NTK of --model on
    the training examples of --dataset; where it does not fit in memory, or with --matrix-free, a
    certified interval is printed instead of the value. Margins are those of the kernel predictor on
    the targets' own decisions.
    """

    gram: Path | None = None
    """The kernel: .npy of shape (n, n), or (n d, n d) example-major."""
    targets: str | None = None
    """With --gram a .npy file of shape (n,), (n, d), flat (n d,), or a stack (k, n, d), (k, n d).
    Without: labels (the default), random, or such a file, for instance a teacher's outputs."""
    num_outputs: int | None = None
    """With --gram: outputs d of each example (default: what the .json beside the kernel says, else
    the last axis of (n, d) targets, else 1)."""
    model: str = "lenet5x1"
    """Name of the model."""
    checkpoint: Path | None = None
    """A folder step-... that `kdtheory run` stored (default: the initialisation of --seed)."""
    seed: int = 0
    """Of the initialisation, and of random targets; the subsample's is --data-seed."""
    ntk_size: int = 256
    """Number of training examples n."""
    plot: Path | None = None
    """Also draw the spectrum with the targets' energy and complexity (.png, .pdf or .svg)."""
    json: bool = False
    """Print JSON."""
    kernel: Annotated[KernelSpec, tyro.conf.arg(name="")] = field(default_factory=KernelSpec)
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)


#: What can be said of a kernel in a file.
_OF_FILES = {
    "gram",
    "targets",
    "num_outputs",
    "plot",
    "json",
    "ridge",
    "ridge_absolute",
    "kernel",
    "data",
}


def complexity(options: ComplexityOf) -> None:
    """Run `kdtheory complexity`."""
    from kdtheory.files import json_text
    from kdtheory.measure.spectrum_figure import check_plot, spectrum_figure

    if options.plot is not None:
        check_plot(options.plot)
    result = _of_network(options) if options.gram is None else _of_files(options, options.gram)
    if options.plot is not None and result.spectrum is not None:
        from kdtheory.files import write_whole

        figure = spectrum_figure(result.spectrum, ridge=result.values["ridge"])
        kind = options.plot.suffix[1:]
        write_whole(options.plot, lambda file: figure.savefig(file, format=kind, dpi=150))
    if options.json:
        print(json_text(result.values))
        return
    width = max(map(len, result.values))
    for name, value in result.values.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name:>{width}}  {'  '.join(map(_text, shown))}")


def _of_files(options: ComplexityOf, gram: Path) -> "KernelValues":
    from kdtheory.errors import InputError
    from kdtheory.measure.kernel_file import values_of_files

    if options.targets is None:
        raise InputError("--gram needs --targets, a .npy file")
    given = [(entry, getattr(options, entry.name)) for entry in fields(options)]
    for group in (options.kernel, options.data):
        given += [(entry, getattr(group, entry.name)) for entry in fields(group)]
    for entry, value in given:
        if entry.name not in _OF_FILES and value != entry.default:
            flag = "--" + entry.name.replace("_", "-")
            raise InputError(f"{flag} is for a model and data; leave it out, or --gram")
    none = options.kernel.ridge is None and options.kernel.ridge_absolute is None
    return values_of_files(
        gram,
        Path(options.targets),
        KernelSpec(ridge_absolute=0.0) if none else options.kernel,
        num_outputs=options.num_outputs,
        spectrum=options.plot is not None,
    )


def _of_network(options: ComplexityOf) -> "KernelValues":
    from kdtheory.commands.kernel_progress import show_bounds, tile_bar
    from kdtheory.errors import InputError
    from kdtheory.measure import measured_kernel
    from kdtheory.measure.described import described
    from kdtheory.measure.examples import load_examples, named_network
    from kdtheory.runs.stored_variables import stored_variables

    if options.num_outputs is not None:
        raise InputError("--num-outputs is for --gram; a data set has its own")
    examples = load_examples(options.data, options.ntk_size)
    apply_fn, variables = named_network(options.model, examples.dataset, options.seed)
    if options.checkpoint is not None:
        variables = stored_variables(options.checkpoint, variables)
    # Read here, so that a wrong shape costs no kernel.
    sets, stacked = _targets(options, examples)
    spectrum = options.plot is not None
    with tile_bar() as on_tile:
        kernel = measured_kernel(
            apply_fn,
            variables,
            examples.images,
            options.kernel,
            keep_matrix=spectrum,
            on_tile=on_tile,
            on_product=show_bounds,
        )
    return described(kernel, sets, stacked=stacked, spectrum=spectrum)


def _targets(options: ComplexityOf, examples: "KernelExamples") -> "tuple[list[np.ndarray], bool]":
    """Return the sets of targets, each (n, d), and whether there may be several."""
    import numpy as np

    from kdtheory.complexity.stacks import stack_targets
    from kdtheory.datasets import encode_labels
    from kdtheory.errors import InputError
    from kdtheory.measure.kernel_file import load_array

    name, outputs = options.targets or "labels", options.kernel.outputs
    of_data, n = examples.dataset.num_outputs, len(examples.labels)
    d = 1 if outputs == "sum" else of_data
    if name not in ("labels", "random"):
        path = Path(name)
        if path.suffix != ".npy":
            raise InputError(f"--targets must be labels, random or a .npy file, got {name!r}")
        values = load_array(path)
        if values.shape not in ((n * d,), (n, d)) and values.shape[1:] not in ((n, d), (n * d,)):
            raise InputError(
                f"{path} has shape {values.shape}; allowed: ({n}, {d}), ({n * d},), or a stack of "
                "such"
            )
        stack = stack_targets(values, size=n * d, num_outputs=d)
        return list(stack.columns.T.reshape(-1, n, d)), stack.stacked
    if d != of_data:
        raise InputError(
            f"--targets {name} has {of_data} outputs an example, --outputs {outputs} one; give a "
            ".npy file, or --outputs full"
        )
    labels = examples.labels
    if name == "random":
        drawn = np.random.default_rng(options.seed).integers(0, max(d, 2), size=n)
        labels = drawn.astype(labels.dtype)
    encoded = np.asarray(encode_labels(labels, d), np.float64).reshape(n, d)
    return [encoded if d == 1 else encoded - encoded.mean(axis=0)], False


def _text(entry: Any) -> str:
    return entry if isinstance(entry, str) else f"{entry:.6g}"
