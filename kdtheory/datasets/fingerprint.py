"""The fingerprint of a data set's arrays."""

import hashlib

import numpy as np

from kdtheory.datasets.image_dataset import Split


def fingerprint(*splits: Split) -> str:
    """Return the SHA-256 over the splits' shapes, images, labels and clean labels, in hex.

    >>> image = np.zeros((1, 2, 2, 1), np.uint8)
    >>> zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    >>> fingerprint(Split(image, zero, zero)) == fingerprint(Split(image, one, zero))
    False
    """
    digest = hashlib.sha256()
    for split in splits:
        for array in (split.images, split.labels, split.clean_labels):
            digest.update(repr(array.shape).encode())
            # "<": the same bytes on machines of either byte order.
            digest.update(
                np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
            )
    return digest.hexdigest()
