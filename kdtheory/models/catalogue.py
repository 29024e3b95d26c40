"""What is known of a model before it is made: its parameters and where it is published."""

from typing import NamedTuple

from kdtheory.models.initialize import abstract_variables, num_params
from kdtheory.models.registry import create, family_of


class ModelSummary(NamedTuple):
    """A model's size.

    Attributes:
      name: as for `create`.
      num_params: number of parameters P.
      num_outputs: number of logits d that it is counted for.
      image_shape: (h, w, c) that it is counted for.
      source: where the architecture is published.
    """

    name: str
    num_params: int
    num_outputs: int
    image_shape: tuple[int, int, int]
    source: str


def summarize(
    name: str, *, num_outputs: int = 100, image_shape: tuple[int, int, int] | None = None
) -> ModelSummary:
    """Return a model's size, by abstract evaluation alone.

    Args:
      name: as for `create`.
      num_outputs: number of logits d.
      image_shape: (h, w, c); the one that the family is published for if None.

    Raises:
      InputError: as `create`, or images that the model does not take.

    >>> summarize("resnet20").num_params
    278324
    """
    model, family = create(name, num_outputs), family_of(name)
    shape = family.image_shape if image_shape is None else image_shape
    params = num_params(abstract_variables(model, shape))
    return ModelSummary(name, params, num_outputs, shape, family.source)
