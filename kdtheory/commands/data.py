"""`kdtheory data prepare` and `kdtheory data list`."""

from dataclasses import dataclass

import tyro


@dataclass(frozen=True, kw_only=True)
class DataPrepare:
    """Download and prepare a TFDS set, where there is a network."""

    name: tyro.conf.Positional[str]
    """Name of the set, such as cifar100."""
    data_dir: str | None = None
    """Folder to prepare it in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""


@dataclass(frozen=True, kw_only=True)
class DataList:
    """List the TFDS sets that are prepared in a folder."""

    data_dir: str | None = None
    """Folder to look in (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""


def data_prepare(options: DataPrepare) -> None:
    """Run `kdtheory data prepare`."""
    from kdtheory.datasets import prepare

    prepared = prepare(options.name, data_dir=options.data_dir)
    print(f"prepared {prepared.full_name} in {prepared.path}")


def data_list(options: DataList) -> None:
    """Run `kdtheory data list`."""
    from kdtheory.datasets import list_prepared

    found = list_prepared(options.data_dir)
    for entry in found:
        splits = ", ".join(f"{name} {size:,}" for name, size in entry.splits.items())
        size = f"{entry.num_bytes / 2**20:,.0f} MiB"
        print(f"{entry.full_name}    {splits}    {entry.file_format}, {size}    {entry.path}")
    if not found:
        print("no prepared sets; get one with: kdtheory data prepare NAME")
