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
    """digits, synthetic, or any TFDS image classification set."""
    task: str = "full"
    """full, first_half, odd_even, even_odd."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
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
    seed: int = 0
    """Seed of the subsample and of the model's initialisation."""
    targets: Path | None = None
    """Also save the labels as targets (n, d), such as Y.npy."""


def gram(options: Gram) -> None:
    """Run `kdtheory gram`."""
    from kdtheory.studies.kernel_files import save_gram, tile_bar

    with tile_bar() as on_tile:
        shape, seconds = save_gram(
            options.out, dataset=options.dataset, task=options.task, data_dir=options.data_dir,
            model=options.model, ntk_size=options.ntk_size, outputs=options.outputs,
            method=options.method, batch_size=options.batch_size, dtype=options.dtype,
            seed=options.seed, targets=options.targets, on_tile=on_tile,
        )  # fmt: skip
    print(f"wrote {options.out}: {' x '.join(map(str, shape))} {options.dtype}, {seconds:.1f} s")
