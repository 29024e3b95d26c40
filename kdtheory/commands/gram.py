"""`kdtheory gram`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Gram:
    """Compute a model's NTK Gram matrix on training examples, and save it as .npy."""

    out: Path
    """File to write, such as K.npy; the settings go into a .json beside it."""
    dataset: str = "digits"
    """digits, synthetic, folder:ROOT, or any TFDS image classification set."""
    task: str = "full"
    """full, first_half, odd_even, even_odd, classes:A,B,..."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    test_fraction: float | None = None
    """Part of the training split that is held out for testing, as in a run, for sets without a
    test split."""
    image_size: tuple[int, int] | None = None
    """Height and width to resize to; needed where images differ in size."""
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
    """Seed of the subsample and of the model's initialisation."""
    targets: Path | None = None
    """Also save the labels as targets (n, d), such as Y.npy."""
    memory_budget: str | None = None
    """Memory to compute in besides the matrix, such as 4GiB (default: half of what is free)."""
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


def gram(options: Gram) -> None:
    """Run `kdtheory gram`."""
    from kdtheory.measure.kernel_files import gram_bar, save_gram

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
    with gram_bar() as on_progress:
        shape, seconds = save_gram(
            options.out, dataset=options.dataset, task=options.task, data_dir=options.data_dir,
            test_fraction=options.test_fraction, image_size=options.image_size,
            model=options.model, ntk_size=options.ntk_size, outputs=options.outputs,
            method=options.method, batch_size=options.batch_size, dtype=options.dtype,
            precision=options.precision, seed=options.seed, targets=options.targets,
            memory_budget=options.memory_budget, store=options.store, devices=options.devices,
            distributed=several, on_progress=on_progress,
        )  # fmt: skip
    size = f"{' x '.join(map(str, shape))} {options.dtype}, {seconds:.1f} s"
    if several and jax.process_index() > 0:
        print(f"process {jax.process_index()} of {jax.process_count()}: {size}")
    else:
        print(f"wrote {options.out}: {size}")
