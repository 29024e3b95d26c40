"""A teacher that is any function of a NumPy batch: asked once, outside of the compiled step."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from kdtheory.arguments import as_array, check_count
from kdtheory.errors import InputError
from kdtheory.targets.tabulated import TabulatedTeacher, tabulate, tabulated
from kdtheory.typing import AnyArray

#: NumPy images (m, h, w, c) -> logits (m, d), any array that NumPy or DLPack takes (a tensor of
#: PyTorch, with a gradient or not); what is in between is the function's affair.
BatchFunction = Callable[[np.ndarray], AnyArray]

#: Functions by the names that their files gave them.
TEACHERS: dict[str, BatchFunction] = {}


def register_teacher(name: str) -> Callable[[BatchFunction], BatchFunction]:
    """Give a function of a NumPy batch a name for `kdtheory run --teacher-function NAME`.

    Args:
      name: how rows and tables call the teacher; not empty.

    Returns:
      A decorator that returns the function unchanged.

    Raises:
      InputError: no name.

    >>> @register_teacher("brightest")
    ... def brightest(images):
    ...     return images.reshape(len(images), -1)[:, :10].astype(float)
    >>> teacher_function("brightest") is brightest
    True
    """
    if not name:
        raise InputError("a teacher's function needs a name")

    def decorate(function: BatchFunction) -> BatchFunction:
        TEACHERS[name] = function
        return function

    return decorate


def teacher_function(name: str) -> BatchFunction:
    """Return the function that was registered by a name; of several, the last.

    Raises:
      InputError: an unknown name.
    """
    if name not in TEACHERS:
        known = ", ".join(sorted(TEACHERS)) or "none"
        raise InputError(
            f"unknown teacher function {name!r}; known: {known}; a file for --import gives it "
            "its name by @kdtheory.targets.register_teacher"
        )
    return TEACHERS[name]


def function_logits(
    function: BatchFunction, images: Shaped[np.ndarray, "n ..."], *, batch_size: int = 256
) -> Float[np.ndarray, "n d"]:
    """Return the logits of a function of images, batch after batch, as float32.

    Args:
      function: (m, h, w, c) -> (m, d), for instance of a network in another framework.
      images: (n, h, w, c), as the function wants them.
      batch_size: examples a call.

    Raises:
      InputError: what it returns is not floating numbers, one row an image.

    >>> function_logits(lambda x: x.reshape(len(x), -1) / 255.0, np.ones((3, 1, 2, 1), np.uint8))
    array([[0.00392157, 0.00392157], ...
    """
    check_count("batch_size", batch_size)
    found = []
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        logits = as_array("what a teacher's function returns", function(batch))
        floating = jnp.issubdtype(logits.dtype, jnp.floating)
        if logits.ndim != 2 or len(logits) != len(batch) or not floating:
            raise InputError(
                f"a teacher's function must return floating logits ({len(batch)}, d) of "
                f"{len(batch)} images, got {logits.dtype} of {logits.shape}"
            )
        found.append(logits.astype(np.float32))
    if not found:
        raise InputError("there are no images to ask a teacher's function about")
    return np.concatenate(found)


def offline_function(
    function: BatchFunction,
    images: Shaped[np.ndarray, "n ..."],
    *,
    temperature: float = 1.0,
    alpha: float = 1.0,
    batch_size: int = 256,
) -> TabulatedTeacher:
    """Return the offline teacher that a function of NumPy batches is.

    It is asked once about every training image, here; training looks its logits up. So the images
    must not be augmented, which is refused.

    Args:
      function: images (m, h, w, c) -> logits (m, d), in any framework.
      images: of the training split, in its order: `dataset.train.images`.
      temperature: tau > 0.
      alpha: weight of the teacher beside the labels, in [0, 1].
      batch_size: examples a call.

    Raises:
      InputError: as `function_logits` and `tabulated`: NaN, probabilities, another shape.

    >>> teacher = offline_function(
    ...     lambda x: x.reshape(len(x), -1).astype(float), np.ones((3, 1, 2, 1)), temperature=4.0
    ... )
    >>> teacher.table.variables.shape
    (1, 3, 2)
    """
    logits = function_logits(function, images, batch_size=batch_size)
    return tabulated(tabulate([logits], [1]), temperature=temperature, alpha=alpha)
