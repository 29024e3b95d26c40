"""A run's settings of its data reach `load`, from JSON and from the shell."""

import numpy as np
import pytest
from PIL import Image

from kdtheory.cli import parse
from kdtheory.commands.run import Run
from kdtheory.errors import InputError
from kdtheory.runs import RunConfig
from kdtheory.runs.config import from_json, to_json
from kdtheory.runs.loading import load_dataset


@pytest.fixture
def folder(tmp_path):
    """Three classes, images of two sizes, no test split."""
    for label, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.full((6 + index % 2, 6, 3), 80 * label + index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{index}.png")
    return f"folder:{tmp_path}"


def test_a_folder_of_several_sizes_without_a_test_split(folder):
    words = ["--dataset", folder, "--task", "classes:cat,ant", "--image-size", "8", "8",
             "--test-fraction", "0.2", "--label-noise", "0.5", "--noise-kind", "pair",
             "--train-size", "12", "--ntk-size", "4"]  # fmt: skip
    config = parse("run", Run, words).run
    assert from_json(to_json(config)) == config
    dataset = load_dataset(config)
    assert dataset.image_shape == (8, 8, 3)
    assert dataset.class_names == ("cat", "ant")
    # 6 of 30 are held out, evenly from the classes; bees are in neither split.
    assert (len(dataset.train), len(dataset.test)) == (12, 4)
    assert dataset.train.flipped.sum() == 6


def test_an_unknown_noise_gets_one_line():
    with pytest.raises(InputError, match="'odd'; known: pair, symmetric"):
        from_json({"noise_kind": "odd"})


def test_older_configurations_are_read_as_they_were():
    older = to_json(RunConfig())
    for name in ("test_fraction", "image_size", "noise_kind"):
        del older[name]
    assert from_json(older) == RunConfig()
