"""A tiny set in TensorFlow Datasets' format, written by its own writers."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

FORMATS = ["array_record", "tfrecord"]


def tiny_image(label, index, size=(6, 5)):
    rng = np.random.default_rng([abs(label), index])
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def write_tiny(data_dir, *, file_format, name="tiny", version="1.0.0", config=None, **changes):
    """Write a TFDS set of 3 classes: 40 training, 10 test examples, or what `changes` say."""
    import tensorflow_datasets as tfds

    settings = {"splits": {"train": 40, "test": 10}, "sizes": [(6, 5)], "labels": None} | changes

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=settings.get("features")
                or tfds.features.FeaturesDict(
                    {
                        "picture": tfds.features.Image(shape=(None, None, 3)),
                        "kind": tfds.features.ClassLabel(names=["ant", "bee", "cow"]),
                        "number": np.int64,
                    }
                ),
                supervised_keys=None if "features" in settings else ("picture", "kind"),
            )

        def _split_generators(self, dl_manager):
            return {
                split: self._generate_examples(split, count)
                for split, count in settings["splits"].items()
            }

        def _generate_examples(self, split, count):
            for index in range(count):
                label = index % 3
                if settings["labels"] is not None:
                    label = settings["labels"](split, index)
                size = settings["sizes"][index % len(settings["sizes"])]
                number = index if split == "train" else 1000 + index
                if "features" in settings:
                    yield index, {"number": number}
                else:
                    picture = tiny_image(label, number, size)
                    yield index, {"picture": picture, "kind": label, "number": number}

    Tiny.name = name
    with warnings.catch_warnings():
        # TensorFlow's and TFDS's own.
        warnings.simplefilter("ignore")
        builder = Tiny(data_dir=data_dir)
        builder.download_and_prepare(file_format=file_format)
    return Path(builder.data_dir)


@pytest.fixture(name="image", scope="session")
def image_fixture():
    """(label, number) -> the pixels of that example."""
    return tiny_image


@pytest.fixture(name="write", scope="session")
def write_fixture():
    return write_tiny


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A folder for each file format, with the same tiny set in it."""
    folders = {file_format: tmp_path_factory.mktemp(file_format) for file_format in FORMATS}
    for file_format, folder in folders.items():
        write_tiny(folder, file_format=file_format)
    return folders


@pytest.fixture(params=FORMATS)
def data_dir(request, written, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(written[request.param], tmp_path / "data")
    return tmp_path / "data"
