"""The UCI handwritten digits that scikit-learn carries: real images without any download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998; scikit-learn holds its 1,797 test images of 8 by 8 pixels.
"""

from importlib.metadata import version

import numpy as np

from kdtheory.datasets.sampling import generator, stratified_order
from kdtheory.datasets.source import Source, SourceSplit

#: scikit-learn has no test split for these images, so kdtheory fixes one: this many, this seed.
TEST_SIZE = 500
TEST_SEED = 1797


def digits_source() -> Source:
    """Return the digits: 1,297 training and 500 test images, 8 by 8, one channel, ten classes.

    The original pixels are integers 0 to 16, scaled here to 0 to 255. The test split is
    stratified, and always the same.

    >>> source = digits_source()
    >>> len(source.train.labels), len(source.test.labels)
    (1297, 500)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    order = stratified_order(labels, generator(TEST_SEED))
    # Sorted, so that both splits keep scikit-learn's order.
    test, train = np.sort(order[:TEST_SIZE]), np.sort(order[TEST_SIZE:])
    rule = f"stratified, seed {TEST_SEED}"
    return Source(
        name="digits",
        class_names=tuple(str(name) for name in bunch.target_names),
        train=SourceSplit.from_arrays(
            f"all but the test images ({rule})", images[train], labels[train]
        ),
        test=SourceSplit.from_arrays(f"{TEST_SIZE} images ({rule})", images[test], labels[test]),
        validation=None,
        provenance={
            "source": "scikit-learn load_digits (UCI optical recognition of handwritten digits)",
            "version": version("scikit-learn"),
        },
    )
