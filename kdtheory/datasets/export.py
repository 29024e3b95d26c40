"""A data set as arrays in files: the images that a run would use, for other frameworks."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from kdtheory.datasets.image_dataset import ImageDataset
from kdtheory.files import write_json, write_whole

#: The file that says what the arrays are.
DESCRIPTION = "dataset.json"
#: The digests of all of them.
SUMS = "SHA256SUMS"


def export(dataset: ImageDataset, out: Path) -> list[Path]:
    """Write a data set's splits as .npy files; return the paths, the description's last.

        out/train/images.npy     (n, h, w, c), uint8 (0 to 255) or float32, before normalisation
        out/train/labels.npy     (n,) int32, the class indices that students are trained on
        out/train/ids.npy        (n,) int64, each image's place in the stored split it is from
        out/validation/..., out/test/...
        out/dataset.json         names of the classes, mean and deviation, sizes, SHA-256
        out/SHA256SUMS           of all of these, which `sha256sum -c` compares

    A split without examples is left out. The images are in the order in which a run looks a
    teacher's logits up: a teacher's logits of train/images.npy, in that order, are what
    `kdtheory run --teacher-logits` takes.

    Raises:
      RunError: a file cannot be written.

    >>> import tempfile
    >>> from kdtheory.datasets import load
    >>> data = load("digits", train_size=20, test_size=10, validation_size=0)
    >>> paths = export(data, Path(tempfile.mkdtemp()))
    >>> len(paths), np.load(paths[0]).shape
    (7, (20, 8, 8, 1))
    """
    paths = []
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        arrays = {"images": split.images, "labels": split.labels, "ids": split.places}
        for kind, array in arrays.items():
            if len(split):
                paths.append(_write_array(out / name / f"{kind}.npy", array))
    # Last: where it stands, the arrays do.
    paths.append(write_json(out / DESCRIPTION, _described(dataset)))
    write_whole(
        out / SUMS, "".join(f"{_sha256(path)}  {path.relative_to(out)}\n" for path in paths)
    )
    return paths


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_array(path: Path, array: np.ndarray) -> Path:
    return write_whole(path, lambda file: np.save(file, np.asarray(array)))


def _described(dataset: ImageDataset) -> dict[str, Any]:
    return {
        "class_names": list(dataset.class_names),
        "num_outputs": dataset.num_outputs,
        # Of pixels / 255: networks are given (x / 255 - mean) / std.
        "mean": dataset.mean.tolist(),
        "std": dataset.std.tolist(),
        **dataset.provenance,
    }
