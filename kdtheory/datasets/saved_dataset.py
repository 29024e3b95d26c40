"""Folders that Hugging Face's `datasets` wrote by `save_to_disk`: which files they are of.

    FOLDER/dataset_dict.json              {"splits": ["train", "test"]}; else FOLDER is one split
    FOLDER/train/state.json               the names of its arrow files
    FOLDER/train/dataset_info.json        its features, with the classes' names
    FOLDER/train/data-00000-of-00001.arrow

They are read as what they are, JSON and arrow's streams, without that package.
"""

from pathlib import Path
from typing import Any

from kdtheory.errors import InputError
from kdtheory.files import read_json

#: What a split of each role may be called.
_NAMES = {"train": ("train",), "test": ("test",), "validation": ("validation", "val", "valid")}


def saved_files(folder: Path) -> dict[str, list[Path]]:
    """Return the arrow files of "train", and of "test" and "validation" where there are such.

    Raises:
      InputError: no such folder, none of `save_to_disk`, or one that names other files than its
        own.
    """
    if not (folder / "dataset_dict.json").is_file():
        return {"train": _files(folder)}
    splits = _json(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not all(isinstance(name, str) for name in splits):
        raise InputError(f"{folder}/dataset_dict.json names no splits")
    found = {
        role: _files(folder / name)
        for role, names in _NAMES.items()
        for name in names
        if name in splits
    }
    if "train" not in found:
        raise InputError(f"{folder} has no split named train; it has {', '.join(splits)}")
    return found


def saved_class_names(file: Path, label: str) -> list[str] | None:
    """Return the classes' names by the description beside a split's arrow file, or None."""
    try:
        names = _json(file.parent / "dataset_info.json")["features"][label]["names"]
    except (InputError, KeyError, TypeError):
        return None
    return list(names) if isinstance(names, list) else None


def _files(folder: Path) -> list[Path]:
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise InputError(
            f"{folder} is a selection of rows; call flatten_indices() before save_to_disk"
        )
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}/state.json names no arrow files") from error
    for name in names:
        path = folder / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            raise InputError(f"{folder} names {name!r}, which is no file of its own")
    if not names:
        raise InputError(f"{folder} has no examples")
    return [folder / name for name in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except OSError as error:
        raise InputError(
            f"{path.parent} is no folder of datasets' save_to_disk ({path.name}: {error.strerror})"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: no JSON object")
    return content
