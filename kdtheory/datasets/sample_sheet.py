"""A picture of some of a data set's images: a row a class."""

import io

import numpy as np
from jaxtyping import Int, Shaped

from kdtheory.errors import InputError

#: Pixels that a small image's longer side is enlarged to, at least.
_SIDE = 48
_GAP = 2


def sheet_rows(
    labels: Int[np.ndarray, " n"], *, most_classes: int = 12, columns: int = 10
) -> list[Int[np.ndarray, " m"]]:
    """Return which examples a picture shows: the first ones of each of the first classes.

    >>> [rows.tolist() for rows in sheet_rows(np.array([1, 0, 1, 1]), columns=2)]
    [[1], [0, 2]]
    """
    classes = np.unique(labels)[:most_classes]
    return [np.flatnonzero(labels == one)[:columns] for one in classes]


def sample_sheet(rows: list[Shaped[np.ndarray, "..."]]) -> bytes:
    """Return a PNG file of images, a row each, grey or in colour.

    Floating images are shown from their least to their largest value.

    Args:
      rows: images (m, h, w, c) of one row each, c of 1 or 3.

    Raises:
      InputError: what has no picture: features, or another number of channels.

    >>> sample_sheet([np.zeros((3, 8, 8, 1), np.uint8)])[:4]
    b'\\x89PNG'
    """
    from PIL import Image

    height, width, channels = rows[0].shape[1:]
    if channels not in (1, 3) or height * width == 1:
        raise InputError(
            f"{height} x {width} x {channels} has no picture: images of 1 or 3 channels have"
        )
    low = min(float(one.min()) for one in rows)
    high = max(float(one.max()) for one in rows)
    times = max(1, _SIDE // max(height, width))
    high_cell, wide_cell = height * times + _GAP, width * times + _GAP
    sheet = np.full((len(rows) * high_cell, max(map(len, rows)) * wide_cell, 3), 255, np.uint8)
    for y, images in enumerate(rows):
        for x, image in enumerate(images):
            if image.dtype != np.uint8:
                image = 255 * (image - low) / max(high - low, 1e-12)
            shown = np.broadcast_to(image.astype(np.uint8), (height, width, 3))
            shown = shown.repeat(times, axis=0).repeat(times, axis=1)
            top, left = y * high_cell, x * wide_cell
            sheet[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG")
    return file.getvalue()
