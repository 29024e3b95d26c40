"""`kdtheory complexity`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from kdtheory.datasets.data_config import DataConfig
from kdtheory.measure.spec import KernelSpec

if TYPE_CHECKING:
    from kdtheory.measure.described import KernelValues


@dataclass(frozen=True, kw_only=True)
class ComplexityOf:
    """Print the supervision complexity Y^T (K + lambda I)^-1 Y: of files, or of a model on data.

    With --gram, K and Y are files, and without a ridge lambda is 0. Else K is the NTK of --model on
    the training examples of --dataset; where it does not fit in memory, or with --matrix-free, a
    certified interval is printed instead of the value. Margins are those of the kernel predictor on
    the targets' own decisions.

    kdtheory complexity --dataset digits --model lenet5x1 --train-size 512
    --checkpoints my/checkpoints --teacher-logits teacher.npz --out along measures labels and a
    teacher's targets at each of your checkpoints: one kernel each, a table, and the figure along
    training. The same command continues where it was stopped.
    """

    gram: Path | None = None
    """The kernel: (n, n), or (n d, n d) example-major; .npy, .npz, .csv, .mat or .safetensors."""
    gram_key: str | None = None
    """The kernel's name in a file of several arrays."""
    targets: str | None = None
    """With --gram a file as --gram's, of shape (n,), (n, d), flat (n d,), or a stack (k, n, d),
    (k, n d). Without: labels (the default), random, or such a file. With --checkpoints or
    --teacher-logits both labels and random are the default."""
    targets_key: str | None = None
    """The targets' name in a file of several arrays."""
    teacher_logits: Path | None = None
    """Also measure a teacher's targets: a file of its logits, as kdtheory run takes it (.npy, .npz,
    .safetensors). Of several checkpoints the last is the offline teacher, and with --checkpoints
    all are the online one."""
    temperatures: tuple[float, ...] = (1.0, 4.0)
    """tau of the teacher's targets."""
    centre_targets: bool = False
    """Take each output's mean over the examples off the targets."""
    num_outputs: int | None = None
    """With --gram: outputs d of each example (default: what the .json beside the kernel says, else
    the last axis of (n, d) targets, else 1)."""
    model: str = "lenet5x1"
    """Name of the model."""
    checkpoint: Path | None = None
    """A folder step-... that `kdtheory run` stored, or variables of your own: an orbax folder,
    .msgpack, .safetensors or .npz (default: the initialisation of --seed)."""
    checkpoints: Path | None = None
    """A folder of such checkpoints, whose names end in their steps: measured one by one."""
    out: Path | None = None
    """With --checkpoints: folder for table, figure and rows, and for what is measured so far."""
    seed: int = 0
    """Of the initialisation, and of random targets; the subsample's is --data-seed."""
    ntk_size: int = 256
    """Number of training examples n."""
    plot: Path | None = None
    """Also draw the spectrum with the targets' energy and complexity; with --checkpoints, adjusted
    complexity along training (.png, .pdf or .svg)."""
    json: bool = False
    """Print JSON."""
    kernel: Annotated[KernelSpec, tyro.conf.arg(name="")] = field(default_factory=KernelSpec)
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)


#: What can be said of a kernel in a file.
_OF_FILES = {
    "gram",
    "gram_key",
    "targets",
    "targets_key",
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
    if result is None:
        return
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
        raise InputError("--gram needs --targets, a file")
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
        keys=(options.gram_key, options.targets_key),
    )


def _of_network(options: ComplexityOf) -> "KernelValues | None":
    """Return what is known of a network; None where it was told along its checkpoints."""
    from kdtheory.commands.complexity_along import along_checkpoints
    from kdtheory.commands.complexity_targets import named_targets
    from kdtheory.commands.kernel_progress import show_bounds, tile_bar
    from kdtheory.measure import measured_kernel
    from kdtheory.measure.described import described
    from kdtheory.measure.examples import load_examples, named_network
    from kdtheory.runs.stored_variables import checkpoint_variables

    _check_network(options)
    examples = load_examples(options.data, options.ntk_size)
    # Read here, so that a wrong shape costs no kernel.
    targets = named_targets(options, examples)
    if options.checkpoints is not None:
        along_checkpoints(options, options.checkpoints, examples, targets)
        return None
    apply_fn, variables = named_network(options.model, examples.dataset, options.seed)
    if options.checkpoint is not None:
        variables = checkpoint_variables(options.checkpoint, variables)
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
    return described(kernel, targets.sets, stacked=targets.stacked, spectrum=spectrum)


def _check_network(options: ComplexityOf) -> None:
    """Raise InputError, before anything is read, for options that do not belong together."""
    from kdtheory.errors import InputError

    if options.num_outputs is not None:
        raise InputError("--num-outputs is for --gram; a data set has its own")
    if options.gram_key is not None:
        raise InputError("--gram-key is for --gram")
    if options.checkpoint is not None and options.checkpoints is not None:
        raise InputError("give --checkpoint, or --checkpoints for all in a folder, not both")
    if options.out is not None and options.checkpoints is None:
        raise InputError("--out is for --checkpoints; --json prints the numbers of one kernel")
    if not options.temperatures or min(options.temperatures) <= 0:
        raise InputError(f"--temperatures must be above 0, got {list(options.temperatures)}")


def _text(entry: Any) -> str:
    return entry if isinstance(entry, str) else f"{entry:.6g}"
