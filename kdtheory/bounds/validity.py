"""When a bound is a theorem about the predictor at hand, and when it is only a diagnostic."""

from typing import Literal, NamedTuple, TypeAlias

#: "certificate": the bound's premises hold. "diagnostic": one is known to be broken (the kernel is
#: the NTK of a network trained on these examples), so the number is a measurement and not a bound.
Validity: TypeAlias = Literal["certificate", "diagnostic"]

#: What every bound here takes on the caller's word.
INDEPENDENT_SAMPLE = "the examples are independent draws from the distribution of the risk"
NORM_IS_BOUNDED = "||f||_H^2 <= squared_norm"


class Premises(NamedTuple):
    """What a bound rests on."""

    assumed: tuple[str, ...]
    """What the caller vouches for; no function can check it."""
    broken: tuple[str, ...]
    """What the caller said does not hold. Empty for a theorem."""

    @property
    def validity(self) -> Validity:
        """Whether the result is a "certificate" or only a "diagnostic"."""
        return "diagnostic" if self.broken else "certificate"

    def breaking(self, *broken: str) -> "Premises":
        """Return the premises with further ones broken."""
        return self._replace(broken=(*self.broken, *broken))


def premises_of(*, kernel_depends_on_sample: bool, assumed: tuple[str, ...] = ()) -> Premises:
    """Return the premises of a bound that holds for all functions of a ball at once.

    The targets may depend on the sample, since the bound is uniform over the ball. The ball, and
    so the kernel, may not: it is the NTK at initialisation, or one learnt from other examples.

    >>> premises_of(kernel_depends_on_sample=True).validity
    'diagnostic'
    """
    kernel = "the kernel was fixed before the sample was drawn"
    common = (INDEPENDENT_SAMPLE, NORM_IS_BOUNDED, *assumed)
    if kernel_depends_on_sample:
        return Premises(assumed=common, broken=(kernel,))
    return Premises(assumed=(*common, kernel), broken=())
