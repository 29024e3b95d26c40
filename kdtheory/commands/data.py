"""`kdtheory data prepare`, `list`, `show` and `export`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from kdtheory.datasets.data_config import DataConfig
from kdtheory.plain_text import say

#: So many training images are read for their range of values.
_SHOWN = 64


@dataclass(frozen=True, kw_only=True)
class DataPrepare:
    """Download and prepare a TFDS set or Tiny ImageNet, where there is a network."""

    name: tyro.conf.Positional[str]
    """Name of the set, such as cifar100 or tiny_imagenet."""
    data_dir: str | None = None
    """Folder to prepare it in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    archive: str | None = None
    """Archive that was downloaded by other means (tiny_imagenet: tiny-imagenet-200.zip)."""


@dataclass(frozen=True, kw_only=True)
class DataList:
    """List the TFDS sets that are prepared in a folder."""

    data_dir: str | None = None
    """Folder to look in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""


@dataclass(frozen=True, kw_only=True)
class DataShow:
    """Show a data set's classes, splits and image size, and whether it can be read."""

    name: tyro.conf.Positional[str]
    """digits, synthetic, folder:ROOT (ROOT/train/CLASS/*.png), npz:FILE, parquet:FILE, csv:FILE,
    hf:FOLDER (Hugging Face datasets' save_to_disk), or a prepared TFDS set."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    image_size: tuple[int, int] | None = None
    """Height and width to resize to, or one number for both; needed where images differ in size."""
    picture: Path | None = None
    """Also draw some training images, a row a class, into this .png."""


@dataclass(frozen=True, kw_only=True)
class DataExport:
    """Write the images, labels and ids of a data set as .npy files, for a teacher elsewhere.

    kdtheory data export --dataset digits --train-size 512 --out digits (the same flags as
    kdtheory run, which then takes your teacher's logits of them: --teacher-logits FILE).
    """

    out: Path
    """Folder for train/, validation/ and test/, each with images.npy, labels.npy and ids.npy."""
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)


def data_export(options: DataExport) -> None:
    """Run `kdtheory data export`."""
    from kdtheory.datasets.export import DESCRIPTION, export
    from kdtheory.errors import InputError

    if options.out.is_file():
        raise InputError(f"{options.out} is a file; --out must name a folder")
    dataset = options.data.load()
    export(dataset, options.out)
    sizes = ", ".join(f"{name} {n:,}" for name, n in dataset.provenance["sizes"].items())
    say(f"{dataset.name}, {dataset.task}: {sizes} in {options.out} ({DESCRIPTION} says what)")


def data_prepare(options: DataPrepare) -> None:
    """Run `kdtheory data prepare`."""
    from kdtheory.datasets import prepare

    prepared = prepare(options.name, data_dir=options.data_dir, archive=options.archive)
    say(f"prepared {prepared.full_name} in {prepared.path}")


def data_list(options: DataList) -> None:
    """Run `kdtheory data list`."""
    from kdtheory.datasets import list_prepared

    found = list_prepared(options.data_dir)
    for entry in found:
        splits = ", ".join(f"{name} {size:,}" for name, size in entry.splits.items())
        size = f"{entry.num_bytes / 2**20:,.0f} MiB"
        say(f"{entry.full_name}    {splits}    {entry.file_format}, {size}    {entry.path}")
    if not found:
        say("no prepared sets; get one with: kdtheory data prepare NAME")


def data_show(options: DataShow) -> None:
    """Run `kdtheory data show`."""
    import numpy as np

    from kdtheory.datasets.images import checked_images
    from kdtheory.datasets.sources import open_source
    from kdtheory.errors import InputError

    source = open_source(options.name, data_dir=options.data_dir, image_size=options.image_size)
    names = list(source.class_names)
    listed = ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-2:]])
    say(f"{source.name}: {source.provenance['source']}")
    say(f"classes     {len(names)}: {listed}")
    for role, split in (
        ("train", source.train), ("validation", source.validation), ("test", source.test),
    ):  # fmt: skip
        if split is None:
            chosen = "by --validation-size" if role == "validation" else "by --test-fraction"
            say(f"{role:<11} none stored: held out from train, {chosen}")
            continue
        counts = np.bincount(split.labels, minlength=len(names))
        each = f"{np.min(counts):,} to {np.max(counts):,} a class"
        say(f"{role:<11} {len(split.labels):,} examples, {each}, stored as: {split.origin}")
    few = np.arange(min(_SHOWN, len(source.train.labels)))
    first = checked_images(source.train.read_images(few, lambda count: None))
    height, width, channels = first.shape[1:]
    size = len(source.train.labels) * first[:1].nbytes
    # Rows of a table are kept as images of one pixel.
    each = f"images      {height} x {width} x" if (height, width) != (1, 1) else "features   "
    say(f"{each} {channels}, training split {size / 2**20:,.1f} MiB as {first.dtype}")
    say(f"values      {first.min():g} to {first.max():g} in the first {len(few)}")
    if options.picture is not None:
        from kdtheory.datasets.sample_sheet import sample_sheet, sheet_rows
        from kdtheory.files import write_whole

        if options.picture.suffix != ".png":
            raise InputError(f"--picture must name a .png file, got {options.picture}")
        rows = [
            checked_images(source.train.read_images(chosen, lambda count: None))
            for chosen in sheet_rows(source.train.labels)
        ]
        write_whole(options.picture, sample_sheet(rows))
        say(f"picture     {options.picture}")
