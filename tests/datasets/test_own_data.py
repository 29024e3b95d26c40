"""Data of one's own without a line of code: arrays, .npz, .parquet and .csv files."""

import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from kdtheory.datasets import default_augmentation, from_arrays, load
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.datasets.sources import open_source
from kdtheory.errors import InputError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), np.tile([0, 1], 20)
IMAGES = RNG.integers(0, 256, size=(40, 8, 8, 3), dtype=np.uint8)


def png(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def test_features_are_images_of_one_pixel_each_with_its_own_deviation():
    data = from_arrays(X * [1, 100, 1e-3] + [0, 5, 9], Y, test=(X, Y))
    assert data.image_shape == (1, 1, 3)
    pixels = data.train.images[:, 0, 0]
    np.testing.assert_allclose(data.mean * 255, pixels.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(data.std * 255, pixels.std(axis=0), rtol=1e-4)
    assert default_augmentation("mine", data.image_shape) == NO_AUGMENTATION


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (Y, ("0", "1")),
        (Y + 1, ("1", "2")),
        (2 * Y - 1, ("-1", "1")),
        (np.where(Y, "yes", "no"), ("no", "yes")),
        (Y.astype(float), ("0", "1")),
        (np.eye(2)[Y], ("0", "1")),
        (Y[:, None], ("0", "1")),
        (Y.astype(bool), ("False", "True")),
    ],
)
def test_distinct_labels_are_classes_in_their_order(labels, names):
    data = from_arrays(X, labels, test=(X, labels))
    assert data.class_names == names
    np.testing.assert_array_equal(data.test.labels, Y[data.test.places])


def test_what_is_not_asked_for_is_held_out():
    data = from_arrays(X, Y)
    assert (len(data.train), len(data.validation), len(data.test)) == (29, 3, 8)
    assert len(from_arrays(X, Y, test_fraction=0.5).test) == 20
    assert from_arrays(X, Y, task="classes:1,0", class_names=["a", "b"]).class_names == ("b", "a")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:-1], "40 images and 39 labels"),
        (X, np.zeros(40), "1 distinct training labels"),
        (X, np.linspace(0, 1, 40), "must be whole numbers or texts, got float64"),
        (X, RNG.normal(size=(40, 2)), r"must have the shape \(n,\) or be one-hot rows"),
        (np.where(X > 2, np.nan, X), Y, "must be finite"),
        (X.astype(str), Y, "must be numbers, got <U"),
        (X[0], Y, r"must have the shape \(n, h, w, c\)"),
    ],
)
def test_what_is_no_data_is_one_line(x, y, message):
    with pytest.raises(InputError, match=message):
        from_arrays(x, y)


def test_a_test_label_that_training_does_not_know():
    with pytest.raises(InputError, match="the test label 2 is not among the training labels"):
        from_arrays(X, Y, test=(X, Y + 1))


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("images", "labels"), ("x", "y")])
def test_an_npz_file_is_its_arrays(tmp_path, names):
    path = tmp_path / "mine.npz"
    np.savez(path, **dict(zip(names, (IMAGES, Y), strict=True)), class_names=["cat", "dog"])
    data = load(f"npz:{path}", test_fraction=0.25)
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.train.images, IMAGES[data.train.places])
    np.savez(path, **dict(zip(names, (IMAGES, Y), strict=True)), x_test=IMAGES, y_test=Y)
    assert len(load(f"npz:{path}").test) == 40


def test_npz_files_that_are_none(tmp_path):
    path = tmp_path / "mine.npz"
    for arrays, message in (
        ({"a": X}, "has a; wanted: x_train with y_train"),
        ({"x": X, "y": Y, "images": X, "labels": Y}, "has two train splits, x and images"),
        ({"x": np.array([{}]), "y": Y}, "cannot be read as .npz"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            open_source(f"npz:{path}")
    path.write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        open_source(f"npz:{path}")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(InputError, match=r"is one array; wanted: an \.npz file"):
        open_source(f"npz:{tmp_path / 'one.npy'}")
    with pytest.raises(InputError, match="No such file"):
        open_source("npz:none.npz")
    with pytest.raises(InputError, match="leave image_size out"):
        open_source("npz:none.npz", image_size=(4, 4))


def test_parquet_images_as_hubs_ship_them(tmp_path):
    rows = [{"bytes": png(image), "path": None} for image in IMAGES]
    frame = pl.DataFrame({"image": rows, "label": Y})
    told = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    (tmp_path / "data").mkdir()
    for role in ("train", "test"):
        frame.write_parquet(
            tmp_path / f"data/{role}-00000-of-00001.parquet",
            metadata={"huggingface": json.dumps(told)},
        )
    data = load(f"parquet:{tmp_path}")
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.test.images, IMAGES[data.test.places])
    alone = load(f"parquet:{tmp_path}/data/train-00000-of-00001.parquet", test_fraction=0.25)
    assert len(alone.test) == 10
    small = load(f"parquet:{tmp_path}", image_size=(4, 4))
    assert small.image_shape == (4, 4, 3)


def test_tables_of_numbers_are_features(tmp_path):
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "class": np.where(Y, "good", "bad")})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    for name in (f"csv:{tmp_path}/t.csv", f"parquet:{tmp_path}/t.parquet"):
        data = load(name, test_fraction=0.25)
        assert data.class_names == ("bad", "good")
        pixels = data.train.images[:, 0, 0]
        np.testing.assert_allclose(pixels, X[data.train.places, :2], rtol=1e-5)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": X[:, 0]}, "has no column of labels"),
        ({"a": ["x"] * 40, "label": Y}, "column 'a' is String, neither a number nor an image"),
        ({"label": Y}, "has no columns besides the labels"),
        ({"a": [None, *X[1:, 0]], "label": Y}, "column 'a' has 1 empty cells"),
        ({"image": [b"no image"] * 40, "label": Y}, "its first image cannot be read"),
        ({"image": [None, *[png(i) for i in IMAGES[1:]]], "label": Y}, "1 rows without an image"),
    ],
)
def test_tables_that_are_no_data(tmp_path, columns, message):
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=message):
        open_source(f"parquet:{tmp_path}/t.parquet")


def test_files_that_are_no_tables(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        open_source(f"parquet:{tmp_path}/t.parquet")
    with pytest.raises(InputError, match="no such file or folder"):
        open_source("csv:none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no train\*.parquet"):
        open_source(f"parquet:{tmp_path}/empty")


def saved(folder, splits):
    """Write what datasets.DatasetDict.save_to_disk does, by its documented layout."""
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    info = {"features": {"image": {"_type": "Image"},
                         "label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}  # fmt: skip
    for name, rows in splits.items():
        inner = folder / name
        inner.mkdir()
        frame = pl.DataFrame(
            {"image": [{"bytes": png(IMAGES[i]), "path": None} for i in rows],
             "label": [int(Y[i]) for i in rows]}
        )  # fmt: skip
        frame.write_ipc_stream(inner / "data-00000-of-00001.arrow")
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        (inner / "state.json").write_text(json.dumps(state))
        (inner / "dataset_info.json").write_text(json.dumps(info))
    return folder


def test_a_folder_of_save_to_disk(tmp_path):
    folder = saved(tmp_path / "all", {"train": range(30), "test": range(30, 40)})
    data = load(f"hf:{folder}", validation_size=0)
    assert data.class_names == ("ant", "bee")
    np.testing.assert_array_equal(data.train.images, IMAGES[data.train.places])
    np.testing.assert_array_equal(data.test.labels, Y[30:][data.test.places])
    assert len(load(f"hf:{folder / 'train'}", test_fraction=0.5).test) == 15


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train/state.json", {"_data_files": [{"filename": "../x"}]}, "is no file of its own"),
        ("train/state.json", {"_indices_data_files": [1]}, "flatten_indices"),
        ("train/state.json", {}, "names no arrow files"),
        ("train/state.json", 3, "is damaged"),
        ("train/data-00000-of-00001.arrow", 3, "cannot be read as hf"),
        ("dataset_dict.json", {"splits": ["dev"]}, "no split named train; it has dev"),
    ],
)
def test_a_damaged_or_hostile_folder_is_one_line(file, content, message, tmp_path):
    folder = saved(tmp_path / "all", {"train": range(4)})
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        open_source(f"hf:{folder}")


def test_another_folder_is_none_of_save_to_disk(tmp_path):
    with pytest.raises(InputError, match="is no folder of datasets' save_to_disk"):
        open_source(f"hf:{tmp_path}")
