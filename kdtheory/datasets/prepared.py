"""Which TFDS sets lie prepared in a folder; looks at folders alone and imports no TFDS."""

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

from kdtheory.errors import InputError
from kdtheory.files import read_json

#: The environment variable that names the folder of prepared TFDS sets.
DATA_DIR_VARIABLE = "KDTHEORY_DATA_DIR"


@dataclasses.dataclass(frozen=True)
class PreparedDataset:
    """A prepared TFDS set, as its folder describes it.

    - `name`, `config` ("" if the set has none), `version`: TFDS's identifiers.
    """

    name: str
    config: str
    version: str
    path: Path
    """The folder with `dataset_info.json` and the records."""
    file_format: str
    """Either "array_record" or "tfrecord" (or another of TFDS's formats)."""
    splits: dict[str, int]
    """Number of examples of each split."""
    num_bytes: int
    """Size of all files in the folder."""

    @property
    def full_name(self) -> str:
        """The identifier that `load` takes: name[/config]:version."""
        return f"{self.name}/{self.config}:{self.version}" if self.config else self.short_name

    @property
    def short_name(self) -> str:
        """name:version, without the config."""
        return f"{self.name}:{self.version}"


def resolve_data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    """Return the folder of prepared sets: the argument, KDTHEORY_DATA_DIR, or TFDS's default.

    >>> resolve_data_dir("somewhere").name
    'somewhere'
    """
    if data_dir is None:
        data_dir = os.environ.get(DATA_DIR_VARIABLE) or None
    if data_dir is None:
        from tensorflow_datasets.core import constants

        data_dir = constants.DATA_DIR
    return Path(data_dir).expanduser()


def list_prepared(data_dir: str | os.PathLike[str] | None = None) -> list[PreparedDataset]:
    """Return the TFDS sets that lie prepared in a folder, by name and version.

    Args:
      data_dir: as in `load`. A folder that does not exist holds none. Folders whose
        `dataset_info.json` cannot be read are left out; loading such a set names the damage.

    >>> list_prepared("/nonexistent")
    []
    """
    root = resolve_data_dir(data_dir)
    infos = [*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json")]
    found = [prepared for info in infos if (prepared := _describe(root, info)) is not None]
    return sorted(found, key=lambda p: (p.name, p.config, _version_key(p.version)))


def find_prepared(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the newest prepared version of "name[/config][:version]".

    Raises:
      InputError: if the set is not prepared there, its folder is empty, or several of its
        configs are there and none is named.
    """
    root = resolve_data_dir(data_dir)
    base, _, version = name.partition(":")
    base, _, config = base.partition("/")
    folders = [
        info.parent
        for pattern in ("*/dataset_info.json", "*/*/dataset_info.json")
        for info in (root / base).glob(pattern)
        if is_version(info.parent.name)
    ]
    candidates = []
    for folder in folders:
        folder_config = "/".join(folder.relative_to(root / base).parts[:-1])
        if (not config or folder_config == config) and (not version or folder.name == version):
            candidates.append((folder_config, folder))
    configs = sorted({folder_config for folder_config, _ in candidates})
    if len(configs) > 1:
        raise InputError(
            f"data set {name!r} is prepared in several configs in {root}; name one of: "
            + ", ".join(f"{base}/{folder_config}" for folder_config in configs)
        )
    if candidates:
        return max((folder for _, folder in candidates), key=lambda path: _version_key(path.name))
    raise InputError(_why_not_found(name, base, root, bool(folders)))


def _why_not_found(name: str, base: str, root: Path, other_versions: bool) -> str:
    remedy = f"get it with: kdtheory data prepare {name} --data-dir {root}"
    if (root / base).is_dir() and not other_versions:
        return f"folder {root / base} holds no data set whose preparation was finished; {remedy}"
    if not root.is_dir():
        return f"data set {name!r} is not there: folder {root} does not exist; {remedy}"
    listed = _join(prepared.full_name for prepared in list_prepared(root))
    return f"data set {name!r} is not prepared in {root} (prepared there: {listed}); {remedy}"


def _join(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _describe(root: Path, info: Path) -> PreparedDataset | None:
    try:
        content = read_json(info)
        splits = {
            split["name"]: sum(int(length) for length in split.get("shardLengths", []))
            for split in content.get("splits", [])
        }
        file_format = str(content.get("fileFormat", "tfrecord"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    name, *config, version = info.parent.relative_to(root).parts
    if not is_version(version):
        return None
    return PreparedDataset(
        name=name,
        config="/".join(config),
        version=version,
        path=info.parent,
        file_format=file_format,
        splits=splits,
        num_bytes=sum(file.stat().st_size for file in info.parent.iterdir() if file.is_file()),
    )


def is_version(folder: str) -> bool:
    """Return whether a folder is named by a version, and not as TFDS names unfinished ones.

    >>> is_version("3.0.2"), is_version("3.0.2.incomplete4GA7K1")
    (True, False)
    """
    return re.fullmatch(r"\d+\.\d+\.\d+", folder) is not None


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))
