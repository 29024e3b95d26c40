"""Reading TFDS folders: a tiny set written by TFDS's own writers, and the real CIFAR-100."""

import functools
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from kdtheory.datasets import list_prepared, load
from kdtheory.errors import InputError


def test_every_pixel_and_label_is_read_back(data_dir, image):
    dataset = load("tiny", data_dir=data_dir, validation_size=4)
    assert dataset.class_names == ("ant", "bee", "cow")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (36, 4, 10)
    for numbers, splits in (
        (range(40), (dataset.train, dataset.validation)),
        (range(1000, 1010), (dataset.test,)),
    ):
        written = {
            image(number % 1000 % 3, number).tobytes(): number % 1000 % 3 for number in numbers
        }
        read = {
            image.tobytes(): label
            for split in splits
            for image, label in zip(split.images, split.labels, strict=True)
        }
        assert read == written


def test_both_file_formats_give_the_same_examples(written):
    first, second = (load("tiny", data_dir=folder, train_size=40) for folder in written.values())
    np.testing.assert_array_equal(first.test.images, second.test.images)
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.train.labels, second.train.labels)
    assert first.provenance["source"] == "TensorFlow Datasets tiny/1.0.0 (array_record)"
    assert second.provenance["source"] == "TensorFlow Datasets tiny/1.0.0 (tfrecord)"


def test_subsets_are_nested(data_dir):
    small = load("tiny", data_dir=data_dir, train_size=7, test_size=3)
    large = load("tiny", data_dir=data_dir, train_size=30)
    np.testing.assert_array_equal(small.train.images, large.train.images[:7])
    np.testing.assert_array_equal(small.test.images, large.test.images[:3])


def test_progress_counts_only_the_images_that_are_needed(data_dir):
    calls = []
    load(
        "tiny",
        data_dir=data_dir,
        train_size=6,
        validation_size=2,
        test_size=3,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(6, 11), (8, 11), (11, 11)]


def test_array_record_is_read_without_tensorflow(written):
    code = (
        "import sys; from kdtheory.datasets import load;"
        f"load('tiny', data_dir={str(written['array_record'])!r});"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_tfrecord_without_tensorflow_says_what_to_do(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match=r"need TensorFlow: .*prepare the set as array_record"):
        load("tiny", data_dir=written["tfrecord"])


def test_the_environment_names_the_folder(written, monkeypatch):
    monkeypatch.setenv("KDTHEORY_DATA_DIR", str(written["array_record"]))
    assert len(load("tiny").test) == 10


def test_image_size_resizes(written):
    dataset = load("tiny", data_dir=written["array_record"], image_size=(8, 4))
    assert dataset.image_shape == (8, 4, 3)


def test_an_empty_folder_says_so(tmp_path):
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(InputError, match=r"cifar10 holds no data set whose .*data prepare cifar10"):
        load("cifar10", data_dir=tmp_path)


def test_a_set_that_is_not_prepared_says_how_to_get_it_and_what_is_there(written):
    folder = written["array_record"]
    with pytest.raises(
        InputError,
        match=rf"'cifar10' is not prepared in .*there: tiny:1\.0\.0.*"
        rf"kdtheory data prepare cifar10 --data-dir {folder}",
    ):
        load("cifar10", data_dir=folder)
    with pytest.raises(InputError, match=r"'tiny:2\.0\.0' is not prepared"):
        load("tiny:2.0.0", data_dir=folder)


def test_a_folder_that_does_not_exist_says_so(tmp_path):
    with pytest.raises(InputError, match=r"folder .*nowhere does not exist.*data prepare cifar10"):
        load("cifar10", data_dir=tmp_path / "nowhere")


def test_an_unknown_name_suggests_near_ones(tmp_path):
    with pytest.raises(InputError, match=r"unknown data set 'cifar_100'; did you mean 'cifar100'"):
        load("cifar_100", data_dir=tmp_path)
    with pytest.raises(InputError, match=r"unknown data set 'svhn'; did you mean 'svhn_cropped'"):
        load("svhn", data_dir=tmp_path)
    with pytest.raises(InputError, match=r"known: .*digits, .*synthetic, image folders as folder:"):
        load("qqqqqqqqqq", data_dir=tmp_path)


def test_the_newest_version_is_read_unless_one_is_named(tmp_path, write):
    for version in ("1.9.0", "1.10.0"):
        write(tmp_path, file_format="array_record", version=version)
    assert load("tiny", data_dir=tmp_path).provenance["version"] == "1.10.0"
    assert load("tiny:1.9.0", data_dir=tmp_path).provenance["version"] == "1.9.0"


def test_configs_are_named_or_asked_for(tmp_path, write):
    write(tmp_path, file_format="array_record", config="small")
    assert len(load("tiny", data_dir=tmp_path).test) == 10
    write(tmp_path, file_format="array_record", config="large", splits={"train": 12, "test": 5})
    assert len(load("tiny/large:1.0.0", data_dir=tmp_path).test) == 5
    with pytest.raises(InputError, match=r"several configs .*: tiny/large, tiny/small"):
        load("tiny", data_dir=tmp_path)


def test_images_of_differing_size_need_an_image_size(tmp_path, write):
    write(tmp_path, file_format="array_record", sizes=[(6, 5), (7, 5)])
    with pytest.raises(InputError, match=r"differ in size \(.*pass image_size=\(height, width\)"):
        load("tiny", data_dir=tmp_path)
    assert load("tiny", data_dir=tmp_path, image_size=(6, 6)).image_shape == (6, 6, 3)


def test_validation_serves_as_test_where_there_is_no_test(tmp_path, write):
    write(tmp_path, file_format="array_record", splits={"train": 20, "validation": 6})
    dataset = load("tiny", data_dir=tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (18, 2, 6)
    assert dataset.provenance["origins"] == {
        "train": "train",
        "validation": "held out from: train",
        "test": "validation",
    }


def test_an_unlabelled_test_split_is_not_used(tmp_path, write):
    write(
        tmp_path,
        file_format="array_record",
        splits={"train": 20, "test": 5, "validation": 6},
        labels=lambda split, index: -1 if split == "test" else index % 3,
    )
    assert load("tiny", data_dir=tmp_path).provenance["origins"]["test"] == "validation"


def test_a_sets_own_validation_split_is_used(tmp_path, write):
    splits = {"train": 20, "test": 5, "validation": 6}
    write(tmp_path, file_format="array_record", splits=splits)
    dataset = load("tiny", data_dir=tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (20, 6, 5)
    assert len(load("tiny", data_dir=tmp_path, validation_size=3).validation) == 3
    with pytest.raises(InputError, match="validation_size must be 1 to 6"):
        load("tiny", data_dir=tmp_path, validation_size=7)


def test_a_set_without_a_split_to_test_on_is_refused(tmp_path, write):
    write(tmp_path, file_format="array_record", splits={"train": 9})
    with pytest.raises(
        InputError, match=r"no labelled split 'test' or 'validation'.*give test_fraction"
    ):
        load("tiny", data_dir=tmp_path)


def test_a_set_without_a_split_to_test_on_gets_one_held_out_when_asked(tmp_path, write):
    write(tmp_path, file_format="array_record", splits={"train": 30})
    load_it = functools.partial(load, "tiny", data_dir=tmp_path, test_fraction=0.2)
    dataset = load_it(validation_size=4)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (20, 4, 6)
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
    every = [image.tobytes() for split in (dataset.train, dataset.validation, dataset.test)
             for image in split.images]  # fmt: skip
    assert len(set(every)) == 30
    # Another seed chooses other training examples, and never one to test on.
    other = load_it(seed=1)
    np.testing.assert_array_equal(other.test.images, dataset.test.images)
    assert not np.array_equal(other.train.images[:20], dataset.train.images)
    assert dataset.provenance["origins"]["test"] == "6 held out from: train (stratified, seed 0)"
    for fraction, message in ((0.01, "leaves one side empty"), (1.0, "between 0 and 1")):
        with pytest.raises(InputError, match=message):
            load("tiny", data_dir=tmp_path, test_fraction=fraction)


def test_a_test_fraction_is_refused_where_there_is_a_test_split(written):
    with pytest.raises(InputError, match=r"has a split to test on \('test'\): leave test_fraction"):
        load("tiny", data_dir=written["array_record"], test_fraction=0.5)


@pytest.mark.parametrize(
    ("name", "shape", "num_classes"),
    [
        ("cifar10", (32, 32, 3), 10),
        ("cifar100", (32, 32, 3), 100),
        ("svhn_cropped", (32, 32, 3), 10),
        ("fashion_mnist", (28, 28, 1), 10),
    ],
)
def test_the_usual_sets_are_read_by_name(tmp_path, name, shape, num_classes):
    """TFDS's own features and splits of each set, filled with our pixels."""
    import tensorflow_datasets as tfds

    class Filled(tfds.builder_cls(name), skip_registration=True):
        def _split_generators(self, dl_manager):
            names = ["train", "test", *(["extra"] if name == "svhn_cropped" else [])]
            return {split: self._generate_examples(split) for split in names}

        def _generate_examples(self, split):
            for index in range(24):
                image = np.full(shape, index + 100 * (split == "test"), np.uint8)
                others = {"id": str(index), "coarse_label": 0}
                wanted = {key: others[key] for key in others if key in self.info.features}
                yield index, {"image": image, "label": index % 4} | wanted

    Filled.name = name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Filled(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    dataset = load(name, data_dir=tmp_path, train_size=20)
    assert dataset.image_shape == shape
    # TFDS takes CIFAR's class names from the archive; the others' stand in its code.
    assert dataset.num_classes == num_classes
    if name == "fashion_mnist":
        assert dataset.class_names[:2] == ("T-shirt/top", "Trouser")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (20, 2, 24)
    # The label that belongs to the pixels: the fine one, in CIFAR-100.
    for split, offset in ((dataset.train, 0), (dataset.test, 100)):
        np.testing.assert_array_equal((split.images[:, 0, 0, 0] - offset) % 4, split.labels)


def test_a_set_without_images_is_refused(tmp_path, write):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"number": np.int64})
    write(tmp_path, file_format="array_record", features=features)
    with pytest.raises(InputError, match=r"no image classification set.*features are number"):
        load("tiny", data_dir=tmp_path)


def test_a_preparation_that_was_not_finished_is_no_version(tmp_path, write):
    write(tmp_path, file_format="array_record", version="3.0.2")
    unfinished = tmp_path / "tiny" / "3.0.2.incomplete4GA7K1"
    shutil.copytree(tmp_path / "tiny" / "3.0.2", unfinished)
    assert load("tiny", data_dir=tmp_path).provenance["version"] == "3.0.2"
    assert [found.version for found in list_prepared(tmp_path)] == ["3.0.2"]
    shutil.rmtree(tmp_path / "tiny" / "3.0.2")
    with pytest.raises(InputError, match="no data set whose preparation was finished"):
        load("tiny", data_dir=tmp_path)
