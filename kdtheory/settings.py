"""Nested settings with one flat name each: on the command line, in files and in sweeps.

A configuration is a dataclass of groups, each a dataclass of settings; no two settings of a
configuration have one name. Python code reads `config.training.epochs`; flags (`--epochs`),
config.json (`"epochs"`) and `replace` know the setting by its name alone. This file is the one
place that maps one to the other.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, dataclass_transform, get_args, get_origin

import dacite
import numpy as np
import tyro
from dacite.types import is_instance

from kdtheory.errors import InputError, unknown_name

Group = TypeVar("Group")
Config = TypeVar("Config", bound="Groups")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings_group(cls: type[Group]) -> type[Group]:
    """Make a class a group of settings: a frozen dataclass whose flags have no prefix.

    Paths and NumPy's numbers become Python's own values, and whole numbers real ones where these
    are wanted, so that a setting is in JSON, and in a run's identity, what it is when it is read
    back. One of another type is an InputError; `check`, where a group has one, judges the rest.
    """
    cls.__annotations__ = {
        name: Annotated[kind, tyro.conf.arg(prefix_name=False)]
        for name, kind in cls.__annotations__.items()
    }
    check = getattr(cls, "check", None)

    def finish(self: Any) -> None:
        for entry in dataclasses.fields(self):
            value = _plain(entry, getattr(self, entry.name))
            _check_type(entry, value)
            object.__setattr__(self, entry.name, value)
        if check is not None:
            check(self)

    cls.__post_init__ = finish  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


class Groups:
    """Base of a configuration: a frozen dataclass whose fields are groups of settings."""

    @classmethod
    def of(cls: type[Config], **settings: Any) -> Config:
        """Return the configuration with these settings, by their own names, and the defaults.

        Raises:
          InputError: a setting that does not exist, or a value that does not fit.
        """
        return cls().replace(**settings)

    def replace(self: Config, **settings: Any) -> Config:
        """Return the configuration with some settings changed, by their own names.

        Raises:
          InputError: as `of`.
        """
        changes: dict[str, dict[str, Any]] = {}
        groups = group_of(type(self))
        for name, value in settings.items():
            if name not in groups:
                raise unknown_name("setting", name, groups)
            group = getattr(self, groups[name])
            entry = next(entry for entry in dataclasses.fields(group) if entry.name == name)
            changes.setdefault(groups[name], {})[name] = _plain(entry, value)
        changed = {
            group: dataclasses.replace(getattr(self, group), **values)
            for group, values in changes.items()
        }
        return dataclasses.replace(self, **changed)  # type: ignore[type-var]


def group_of(kind: type[Groups]) -> dict[str, str]:
    """Return the name of each setting's group, by the setting's name."""
    return {
        setting.name: group.name
        for group in dataclasses.fields(kind)  # type: ignore[arg-type]
        for setting in dataclasses.fields(group.type)  # type: ignore[arg-type]
    }


def flat(config: Groups) -> dict[str, Any]:
    """Return all settings by name, as JSON's types."""
    values = {
        name: value
        for group in dataclasses.asdict(config).values()  # type: ignore[call-overload]
        for name, value in group.items()
    }
    return dict(json.loads(json.dumps(values)))


def nested(kind: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """Return the configuration that `flat` described; settings not named keep their defaults.

    Args:
      kind: the configuration's class.
      values: settings by name.
      source: where they come from, for error messages.

    Raises:
      InputError: a setting that does not exist, or a value of the wrong type or out of range.
    """
    groups = group_of(kind)
    for name in values:
        if name not in groups:
            raise unknown_name(f"setting in {source}:", name, groups)
    made = {}
    for group in dataclasses.fields(kind):  # type: ignore[arg-type]
        entries = dataclasses.fields(group.type)  # type: ignore[arg-type]
        own = {e.name: _plain(e, values[e.name], source) for e in entries if e.name in values}
        for entry in entries:
            inside, value = _without_annotation(entry.type), own.get(entry.name)
            if dataclasses.is_dataclass(inside) and isinstance(value, dict):
                names = [one.name for one in dataclasses.fields(inside)]
                for name in value:
                    if name not in names:
                        raise unknown_name(f"setting of {entry.name} in {source}:", name, names)
        made[group.name] = _group(group.type, own, source)
    return kind(**made)


def _group(kind: Any, values: dict[str, Any], source: str) -> Any:
    try:
        return dacite.from_dict(kind, values, dacite.Config(cast=[tuple, float], strict=True))
    except dacite.WrongTypeError as error:
        choices = get_args(error.field_type)
        if all(isinstance(choice, str) for choice in choices) and choices:
            name = f"{error.field_path} in {source}:"
            raise unknown_name(name, str(error.value), choices) from error
        raise InputError(f"{source}: {error}") from error
    except InputError:
        raise
    except (dacite.DaciteError, ValueError, TypeError) as error:
        raise InputError(f"{source}: {error}") from error


def _plain(entry: Any, value: Any, source: str | None = None) -> Any:
    """Return a setting as Python's own value; raise InputError for one value in place of a list."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
        value = tuple(value) if isinstance(value, list) else value
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, list):
        value = tuple(value)
    inner = [kind for outer in get_args(entry.type) for kind in (outer, *get_args(outer))]
    wants_list = any(get_origin(kind) is tuple for kind in (entry.type, *inner))
    if wants_list and value is not None and not isinstance(value, tuple):
        where = "" if source is None else f"{source}: "
        example = json.dumps([value], default=str)
        raise InputError(f"{where}{entry.name} must be a list, such as {example}")
    if isinstance(value, tuple):
        return tuple(_real(one, inner) for one in value)
    return _real(value, (_without_annotation(entry.type), *inner))


def _real(value: Any, kinds: Sequence[Any]) -> Any:
    """Return a number as Python's, and as a real one where that is wanted."""
    if isinstance(value, np.generic):
        value = value.item()
    wanted = float in kinds and isinstance(value, int) and not isinstance(value, bool)
    return float(value) if wanted else value


def _without_annotation(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


#: What a setting of a type is called.
_WORDS: Mapping[Any, str] = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false",
    type(None): "None",
}  # fmt: skip


def _check_type(entry: Any, value: Any) -> None:
    """Raise InputError unless a setting has its type; choices are judged by its group's `check`."""
    kind = _without_annotation(entry.type)
    allowed = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if any("Literal" in str(one) for one in allowed):
        return
    fits = is_instance(value, kind)
    if isinstance(value, bool) and bool not in allowed:
        fits = False
    if not fits:
        words = " or ".join(
            _WORDS.get(one, str(one) if get_args(one) else one.__name__) for one in allowed
        )
        raise InputError(f"{entry.name} must be {words}, got {value!r}")


def check_choices(group: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raise InputError if a setting of a group has none of its choices."""
    for name, known in choices.items():
        if getattr(group, name) not in known:
            raise unknown_name(name, str(getattr(group, name)), known)


def check_minimum(group: Any, **least: int) -> None:
    """Raise InputError if a setting of a group is below its least value; None always passes."""
    for name, bound in least.items():
        value = getattr(group, name)
        if value is not None and not value >= bound:
            raise InputError(f"{name} must be at least {bound}, got {value}")
