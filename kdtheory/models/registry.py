"""Models by name: the registry that every family adds itself to."""

import re
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from kdtheory.errors import InputError, unknown_name
from kdtheory.models.requirements import require_linen

#: Builds a module: (num_outputs, *groups of the family's pattern) -> nn.Module.
Builder = Callable[..., nn.Module]


class Family(NamedTuple):
    """A family of models: the pattern of its names, how to build one, and what is said of it.

    Attributes:
      pattern: matches the whole name.
      build: builds a model from num_outputs and the pattern's groups.
      examples: names to list.
      source: where the architecture is published.
      image_shape: (h, w, c) that the published form is for.
    """

    pattern: re.Pattern[str]
    build: Builder
    examples: tuple[str, ...]
    source: str
    image_shape: tuple[int, int, int]


_FAMILIES: list[Family] = []

#: Of a number in a name; more are no network's that fits anywhere.
_MOST_DIGITS = 12


def register(
    pattern: str,
    *,
    examples: tuple[str, ...],
    source: str = "",
    image_shape: tuple[int, int, int] = (32, 32, 3),
) -> Callable[[Builder], Builder]:
    """Register a family of models under a pattern of names.

    Args:
      pattern: regular expression for the whole name; its groups are passed on to the builder as
        strings, after `num_outputs`. Where several patterns fit a name, the last one wins.
      examples: names to list where a name is unknown.
      source: where the architecture is published, for `kdtheory models`.
      image_shape: (h, w, c) of the images that parameters are counted for by default; a model
        takes other sizes too, where its family allows.

    Returns:
      A decorator that returns the builder unchanged.

    >>> @register(r"linear", examples=("linear",))
    ... def build_linear(num_outputs):
    ...     return nn.Dense(num_outputs)
    >>> create("linear", 3).features
    3
    """

    def decorate(build: Builder) -> Builder:
        _FAMILIES.append(Family(re.compile(pattern), build, examples, source, image_shape))
        return build

    return decorate


def known_models() -> tuple[str, ...]:
    """Return an example name or more of every registered family, in order of registration.

    >>> "lenet5x1" in known_models()
    True
    """
    # A name once, though a family may be registered again under the same name.
    return tuple(dict.fromkeys(name for family in _FAMILIES for name in family.examples))


def family_of(name: str) -> Family:
    """Return the family that a name belongs to.

    Raises:
      InputError: an unknown name; the known ones are listed.

    >>> family_of("lenet5x3").examples
    ('lenet5x1', 'lenet5x8')
    """
    for family in reversed(_FAMILIES):  # so that a later registration wins
        if family.pattern.fullmatch(name):
            return family
    raise unknown_name("model", name, known_models(), registered=True)


def create(name: str, num_outputs: int) -> nn.Module:
    """Create a Flax (linen) model by name.

    Every model maps images (n, h, w, c) to logits (n, num_outputs), takes `train: bool = False`,
    and in inference mode has no interaction between the examples of a batch. The size of the images
    is that of the ones it is initialised with; its width is part of the name.

    Args:
      name: such as "mlp", "lenet5x8" (LeNet-5 with 8 times the filters) or "resnet20".
      num_outputs: number of logits d; 1 for a binary task.

    Raises:
      InputError: an unknown name (the known ones are listed), a size that the family does not
        have, num_outputs < 1, or a registered builder that makes no linen module.

    >>> create("resnet20", 10).blocks_per_stage
    3
    """
    if not isinstance(num_outputs, int | np.integer) or num_outputs < 1:
        raise InputError(f"num_outputs must be at least 1, a whole number, got {num_outputs!r}")
    family = family_of(name)
    match = family.pattern.fullmatch(name)
    assert match is not None
    if any(len(group or "") > _MOST_DIGITS for group in match.groups()):
        raise InputError(f"model {name[:40]!r}...: sizes have at most {_MOST_DIGITS} digits")
    model = family.build(num_outputs, *match.groups())
    require_linen(model)
    return model
