"""Data folders of strangers: nothing in them is run or followed, and no size is too large."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from kdtheory.datasets import load
from kdtheory.datasets.features import check_features
from kdtheory.datasets.records import open_image
from kdtheory.errors import InputError
from kdtheory.models import create, init


@pytest.fixture
def root(tmp_path):
    for split in ("train", "test"):
        for name in ("ant", "cat"):
            folder = tmp_path / "root" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                Image.fromarray(np.full((6, 6), index, np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "root"


OWN = "tensorflow_datasets.core.features.class_label_feature.ClassLabel"


@pytest.mark.parametrize(
    "content",
    [
        {"pythonClassName": "mine.Feature"},
        {"featuresDict": {"features": {"a": {"python_class_name": "os.path.Feature"}}}},
        {"pythonClassName": OWN, "jsonFeature": {"json": json.dumps({"type": "mine.Feature"})}},
        {"pythonClassName": "tensorflow_datasets.core.features/../mine.F"},
        {"pythonClassName": "tensorflow_datasets.core.features_of_mine.F"},
    ],
)
def test_a_foreign_class_is_never_imported(tmp_path, content):
    (tmp_path / "features.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="would be imported and run"):
        check_features(tmp_path / "features.json")


def test_a_set_that_names_a_foreign_class_runs_nothing(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": "tiny", "version": "1.0.0"}))
    (folder / "features.json").write_text(json.dumps({"pythonClassName": "stranger.Feature"}))
    with pytest.raises(InputError, match=r"'stranger\.Feature', which would be imported"):
        load("tiny", data_dir=tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_eps_under_another_name_starts_no_program(root):
    eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n%%EndComments\nshowpage\n%%EOF\n"
    (root / "train" / "ant" / "x.png").write_text(eps)
    with pytest.raises(InputError, match=r"x\.png is no image that can be read"):
        load(f"folder:{root}")


@pytest.mark.parametrize("size", [(9000, 9000), (30_000, 30_000)])
def test_an_image_bomb_is_one_line_with_the_limit(root, size):
    path = root / "train" / "ant" / "bomb.png"
    # A head alone says the size; the pixels would come after it.
    content = io.BytesIO()
    Image.new("1", size).save(content, "PNG")
    path.write_bytes(content.getvalue())
    with pytest.raises(InputError, match=r"bomb\.png is an image of .* at most 67,108,864") as e:
        load(f"folder:{root}", image_size=(6, 6))
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="at most"):
        open_image(path)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_link_out_of_the_folder_is_not_followed(root, tmp_path, what):
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.fromarray(np.zeros((6, 6), np.uint8)).save(outside / "secret.png")
    if what == "folder":
        (root / "train" / "bat").symlink_to(outside)
    else:
        (root / "train" / "ant" / "9.png").symlink_to(outside / "secret.png")
    with pytest.raises(InputError, match="is a symbolic link out of the image folder"):
        load(f"folder:{root}")


def test_a_link_inside_of_the_folder_is_read(root):
    (root / "train" / "ant" / "9.png").symlink_to(root / "train" / "cat" / "0.png")
    assert len(load(f"folder:{root}").train) == 7


def test_a_pipe_among_the_images_is_not_waited_for(root):
    os.mkfifo(root / "train" / "ant" / "9.png")
    with pytest.raises(InputError, match=r"9\.png is no image"):
        load(f"folder:{root}")


def test_sizes_beyond_the_memory_are_one_line(root):
    with pytest.raises(InputError, match=r"images of 600000 x 600000 needs .* are free"):
        load(f"folder:{root}", image_size=(600_000, 600_000))


@pytest.mark.parametrize(
    "name", ["lenet5x99999999999", "lenet5x" + "9" * 5000, "mlp10x99999999", "resnet9999998"]
)
def test_networks_beyond_the_memory_are_one_line(name):
    import jax

    with pytest.raises(InputError, match=r"the device has|at most|digits"):
        init(create(name, 10), jax.random.key(0), (28, 28, 1))


@pytest.mark.parametrize("name", ["parquet:t.parquet", "csv:t.csv", "npz:t.npz"])
def test_a_table_that_is_a_pipe_or_full_of_holes_is_one_line(tmp_path, name):
    kind, _, file = name.partition(":")
    (tmp_path / file).touch()
    os.truncate(tmp_path / file, 2**43)
    with pytest.raises(InputError):
        load(f"{kind}:{tmp_path / file}")
    (tmp_path / file).unlink()
    os.mkfifo(tmp_path / file)
    with pytest.raises(InputError, match="it is no regular file"):
        load(f"{kind}:{tmp_path / file}")


def test_an_image_full_of_holes_is_refused_before_pillow_reads_it(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / split / "a"
        folder.mkdir(parents=True)
        Image.new("L", (6, 6)).save(folder / "0.webp")
    os.truncate(tmp_path / "train" / "a" / "0.webp", 2**31)
    with pytest.raises(InputError, match=r"0\.webp.* it has more than 268,435,456 bytes"):
        load(f"folder:{tmp_path}")


def test_a_parquet_that_repeats_an_image_beyond_the_memory_is_one_line(tmp_path, monkeypatch):
    import polars

    image = bytes(2**16)
    frame = polars.DataFrame({"image": [image] * 4096, "label": [0, 1] * 2048})
    frame.write_parquet(tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 2**20
    monkeypatch.setattr("kdtheory.memory.available", lambda: 2**27)
    with pytest.raises(InputError, match=r"the images of train needs 256MiB, 128MiB are free"):
        load(f"parquet:{tmp_path / 't.parquet'}", test_fraction=0.5)
