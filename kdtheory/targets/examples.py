"""What a target provider sees of a batch."""

from typing import NamedTuple

from jaxtyping import Float, Int

from kdtheory.typing import ArrayLike


class Examples(NamedTuple):
    """A batch as the model sees it: images normalised and augmented."""

    images: Float[ArrayLike, "n h w c"]
    labels: Int[ArrayLike, " n"]
    indices: Int[ArrayLike, " n"]
    """Positions in the training split."""
