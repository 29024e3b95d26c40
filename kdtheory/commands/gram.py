"""`kdtheory gram`."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from kdtheory.datasets.data_config import DataConfig

if TYPE_CHECKING:
    from kdtheory.ntk.blockwise import Progress
    from kdtheory.ntk.explanation import Explanation


@dataclass(frozen=True, kw_only=True)
class Gram:
    """Compute a model's NTK Gram matrix on training examples, and save it as .npy."""

    out: Path | None = None
    """File to write, such as K.npy; the settings go into a .json beside it."""
    explain: bool = False
    """Only print how the kernel would be computed, in what memory and time."""
    model: str = "lenet5x1"
    """Name of the model; it is taken at its initialisation."""
    ntk_size: int = 512
    """Number of training examples n."""
    outputs: Literal["full", "trace", "diagonal", "sum"] = "full"
    """What is kept of the d outputs: see `kdtheory.ntk.gram`."""
    method: str = "auto"
    """auto, layerwise, neural_tangents (the reference), neural_tangents_vector_products."""
    batch_size: int | None = None
    """Examples a tile (default: chosen from the sizes)."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the entries."""
    precision: Literal["highest", "tensorfloat32", "bfloat16"] = "highest"
    """How GPUs and TPUs multiply float32: tensorfloat32 and bfloat16 are faster, and good to about
    1e-3 and 1e-2. CPUs compute in float32 whatever this says."""
    seed: int = 0
    """Seed of the model's initialisation; the subsample's is --data-seed."""
    targets: Path | None = None
    """Also save the labels as targets (n, d), such as Y.npy."""
    memory_budget: str | None = None
    """Memory to compute in besides the matrix, such as 4GiB (default: at most 4 GiB, and half of
    what is free)."""
    store: Path | None = None
    """Folder for finished tiles: the same command goes on where a killed one was."""
    devices: int | None = None
    """Devices of this process that share the examples (default: all)."""
    coordinator: str | None = None
    """HOST:PORT of process 0, for several processes; with --process-id and --num-processes."""
    process_id: int | None = None
    """This process, 0 to num-processes - 1."""
    num_processes: int | None = None
    """How many processes share the tiles."""
    distributed: Literal["off", "auto"] = "off"
    """auto: one of several processes, as JAX finds out under Slurm or on a TPU pod."""
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)


def gram(options: Gram) -> None:
    """Run `kdtheory gram`."""
    from kdtheory.commands.kernel_progress import gram_bar, told_what_is_kept

    if options.explain:
        print(explained(options))
        return
    several = options.distributed == "auto" or any(
        value is not None
        for value in (options.coordinator, options.process_id, options.num_processes)
    )
    if several:
        import jax

        from kdtheory.ntk.processes import join

        join(
            options.coordinator,
            process_id=options.process_id,
            num_processes=options.num_processes,
        )
        several = jax.process_count() > 1
    kept = None if options.store is None else str(options.store)
    with told_what_is_kept(kept, "--store DIR"), gram_bar() as on_progress:
        shape, seconds = save_gram(options, distributed=several, on_progress=on_progress)
    size = f"{' x '.join(map(str, shape))} {options.dtype}, {seconds:.1f} s"
    if several and jax.process_index() > 0:
        print(f"process {jax.process_index()} of {jax.process_count()}: {size}")
    else:
        print(f"wrote {options.out}: {size}")


def explained(options: Gram) -> "Explanation":
    """Return what the kernel of these settings would be computed from, and what it would take.

    Raises:
      InputError: an unknown name, a size above the data, or a method without an explanation.
    """
    from kdtheory.errors import InputError
    from kdtheory.measure.examples import load_examples, named_network
    from kdtheory.ntk import explain

    if options.method not in ("auto", "layerwise"):
        raise InputError(f"--explain is for --method auto or layerwise, got {options.method}")
    examples = load_examples(options.data, options.ntk_size)
    apply_fn, variables = named_network(options.model, examples.dataset, options.seed)
    return explain(
        apply_fn,
        variables,
        examples.images,
        outputs=options.outputs,
        dtype=options.dtype,
        memory_budget=options.memory_budget,
    )


def save_gram(
    options: Gram,
    *,
    distributed: bool = False,
    on_tile: "Callable[[int, int], None] | None" = None,
    on_progress: "Callable[[Progress], None] | None" = None,
) -> tuple[tuple[int, ...], float]:
    """Compute the NTK Gram matrix of a model at initialisation, and save it.

    Beside it goes a .json file with the settings, the number of outputs d, and where they ran, and
    the digests of both.
    Sizes, paths and memory are checked before anything is computed. Of several processes the first
    one saves.

    Returns:
      The matrix's shape, and the seconds that its computation took, compilation included.

    Raises:
      InputError: an unknown name, a size above the data or above the memory, or files that cannot
        be written or are one and the same.
      RunError: writing fails later.
    """
    import jax
    import numpy as np

    from kdtheory.datasets import encode_labels
    from kdtheory.errors import InputError, RunError
    from kdtheory.file_digests import write_with_digest
    from kdtheory.files import check_space, json_text
    from kdtheory.measure.examples import load_examples, named_network
    from kdtheory.measure.spec import device_mesh
    from kdtheory.memory import check_fits, making_bytes
    from kdtheory.ntk import gram
    from kdtheory.ntk.engines import kernel_shape
    from kdtheory.runs.provenance import provenance

    if options.out is None:
        raise InputError("--out is missing: the file to write, such as K.npy")
    _check_paths(options.out, options.targets)
    mesh = device_mesh(options.devices)
    examples = load_examples(options.data, options.ntk_size)
    num_outputs = examples.dataset.num_outputs
    shape = kernel_shape(options.outputs, options.ntk_size, options.ntk_size, num_outputs)
    check_fits(
        f"a kernel of {' x '.join(map(str, shape))} {options.dtype}",
        making_bytes(shape, options.dtype),
        "take a smaller --ntk-size, --outputs trace, or --dtype float32",
    )
    check_space(options.out, math.prod(shape) * np.dtype(options.dtype).itemsize)
    apply_fn, variables = named_network(options.model, examples.dataset, options.seed)
    began = time.perf_counter()
    kernel = gram(
        apply_fn,
        variables,
        examples.images,
        outputs=options.outputs,
        method=options.method,
        batch_size=options.batch_size,
        dtype=options.dtype,
        precision=options.precision,
        memory_budget=options.memory_budget,
        store=options.store,
        mesh=mesh,
        distributed=distributed,
        on_tile=on_tile,
        on_progress=on_progress,
    )
    seconds = time.perf_counter() - began
    if distributed and jax.process_index() > 0:
        return kernel.shape, seconds
    if options.targets is not None:
        labels = np.asarray(encode_labels(examples.labels, num_outputs))
        write_with_digest(options.targets, lambda file: np.save(file, labels))
    own = ("model", "ntk_size", "outputs", "method", "batch_size", "dtype", "precision", "seed")
    settings = {
        **{name: getattr(options, name) for name in (*own, "memory_budget")},
        **dataclasses.asdict(options.data),
        "num_outputs": num_outputs,
        "shape": list(kernel.shape),
        "devices": 1 if mesh is None else int(mesh.devices.size),
        "processes": jax.process_count() if distributed else 1,
        "seconds": seconds,
        "data": dict(examples.dataset.provenance),
        "provenance": provenance(),
    }
    settings_path = options.out.with_suffix(".json")
    try:
        # The old one would describe the new kernel, if we were killed before it is replaced.
        settings_path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot replace {settings_path}: {error.strerror}") from error
    write_with_digest(
        options.out,
        lambda file: np.save(file, kernel),
        also={settings_path: json_text(settings, indent=2) + "\n"},
    )
    return kernel.shape, seconds


def _check_paths(out: Path, targets: Path | None) -> None:
    """Raise InputError, naming the flag, for files that could not be written in the end."""
    from kdtheory.errors import InputError

    if out.suffix == ".json":
        raise InputError(f"--out must name the .npy file of the kernel, got {out}")
    _check_writable("--out", out)
    settings_path = out.with_suffix(".json")
    _check_writable("--out", settings_path)
    if targets is not None:
        _check_writable("--targets", targets)
        for taken, what in ((out, "the kernel (--out)"), (settings_path, "the kernel's settings")):
            if targets.resolve() == taken.resolve():
                raise InputError(f"--targets {targets} is the file of {what}; name another")


def _check_writable(flag: str, path: Path) -> None:
    from kdtheory.errors import InputError

    try:
        if path.is_dir():
            raise InputError(f"{flag} must name a file, {path} is a folder")
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        # The rights alone do not tell of a read-only or a virtual file system.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{flag}: cannot write {path}: {error.strerror}") from error
