import numpy as np
import pytest
from PIL import Image

from kdtheory.datasets import load
from kdtheory.errors import InputError


def pixels(split, name, index, shape=(6, 5, 3)):
    rng = np.random.default_rng([len(split), ord(name[0]), index])
    return rng.integers(0, 256, shape, dtype=np.uint8)


def write(root, split, name, count, *, shape=(6, 5, 3), suffix=".png", mode=None):
    folder = root / split / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = Image.fromarray(pixels(split, name, index, shape))
        (image.convert(mode) if mode else image).save(folder / f"{index}{suffix}")


@pytest.fixture
def root(tmp_path):
    for name in ("cat", "ant"):
        write(tmp_path, "train", name, 10)
        write(tmp_path, "test", name, 3)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    return tmp_path


def test_every_pixel_and_label_is_read_back(root):
    dataset = load(f"folder:{root}", validation_size=4)
    assert dataset.class_names == ("ant", "cat")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (16, 4, 6)
    for folder, count, splits in (
        ("train", 10, (dataset.train, dataset.validation)),
        ("test", 3, (dataset.test,)),
    ):
        written = {
            pixels(folder, name, index).tobytes(): label
            for label, name in enumerate(dataset.class_names)
            for index in range(count)
        }
        read = {
            image.tobytes(): label
            for split in splits
            for image, label in zip(split.images, split.labels, strict=True)
        }
        assert read == written


def test_a_validation_folder_is_used(root):
    for name in ("cat", "ant"):
        write(root, "val", name, 2)
    dataset = load(f"folder:{root}")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (20, 4, 6)
    assert dataset.provenance["origins"]["validation"] == "val"


def test_without_a_test_folder_a_part_is_held_out_when_asked(tmp_path):
    for name in ("cat", "ant"):
        write(tmp_path, "train", name, 10)
    with pytest.raises(InputError, match="give test_fraction"):
        load(f"folder:{tmp_path}")
    dataset = load(f"folder:{tmp_path}", test_fraction=0.2, validation_size=0)
    assert (len(dataset.train), len(dataset.test)) == (16, 4)


def test_grey_images_have_one_channel_unless_there_are_others(tmp_path):
    for name in ("cat", "ant"):
        write(tmp_path, "train", name, 3, shape=(4, 4))
        write(tmp_path, "test", name, 1, shape=(4, 4))
    grey = load(f"folder:{tmp_path}", train_size=6)
    assert grey.image_shape == (4, 4, 1)
    write(tmp_path, "test", "cat", 1, shape=(4, 4, 3))
    coloured = load(f"folder:{tmp_path}", train_size=6)
    assert coloured.image_shape == (4, 4, 3)
    np.testing.assert_array_equal(coloured.train.images, np.repeat(grey.train.images, 3, axis=-1))


def test_several_sizes_need_an_image_size(root):
    write(root, "test", "cat", 1, shape=(7, 5, 3))
    with pytest.raises(InputError, match=r"is 6x5, .*0.png is 7x5\): pass image_size=") as caught:
        load(f"folder:{root}")
    assert "--image-size HEIGHT WIDTH" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load(f"folder:{root}", image_size=(4, 8)).image_shape == (4, 8, 3)


@pytest.mark.parametrize("mode", ["P", "RGBA", "L"])
def test_other_modes_become_rgb(root, mode):
    write(root, "train", "cat", 10, mode=mode)
    assert load(f"folder:{root}").image_shape == (6, 5, 3)


def test_sixteen_bits_are_refused(root):
    Image.fromarray(np.full((6, 5), 40000, np.uint16)).save(root / "train" / "cat" / "0.png")
    with pytest.raises(InputError, match="only 8 bits a channel"):
        load(f"folder:{root}")


def test_bad_folders_get_one_line(root, tmp_path_factory):
    with pytest.raises(InputError, match="no folder 'train'"):
        load("folder:/nowhere")
    empty = tmp_path_factory.mktemp("empty")
    (empty / "train").mkdir()
    with pytest.raises(InputError, match="no class folders with images"):
        load(f"folder:{empty}")
    (empty / "train" / "cat").mkdir()
    with pytest.raises(InputError, match="cat holds no images"):
        load(f"folder:{empty}")
    write(root, "test", "dog", 1)
    with pytest.raises(InputError, match="dog is a class that 'train' does not have"):
        load(f"folder:{root}")


def test_damaged_files_are_named(root):
    victim = root / "train" / "ant" / "3.png"
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"ant.3\.png is truncated, damaged or missing"):
        load(f"folder:{root}", train_size=20)
    victim.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"ant.3\.png is no image that can be read"):
        load(f"folder:{root}")


def test_what_programs_leave_behind_is_no_image(tmp_path):
    from PIL import Image

    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                Image.fromarray(np.full((4, 4, 3), 10 * index, np.uint8)).save(
                    folder / f"{index}.png"
                )
    expected = load(f"folder:{tmp_path}", validation_size=0)
    one = tmp_path / "train" / "a"
    (one / "._0.png").write_bytes(b"Mac OS X")
    (one / ".ipynb_checkpoints").mkdir()
    (one / ".ipynb_checkpoints" / "0-checkpoint.png").write_bytes((one / "0.png").read_bytes())
    (tmp_path / "train" / "__MACOSX").mkdir()
    (one / "Thumbs.db").touch()
    found = load(f"folder:{tmp_path}", validation_size=0)
    assert found.provenance["sha256"] == expected.provenance["sha256"]


def test_class_folders_alone_are_a_training_split(tmp_path):
    for name in ("cat", "ant"):
        write(tmp_path, ".", name, 10)
    data = load(f"folder:{tmp_path}", test_fraction=0.2, validation_size=0)
    assert data.class_names == ("ant", "cat")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert sorted([*data.train.places, *data.test.places]) == list(range(20))
    write(tmp_path, "test", "cat", 1)
    with pytest.raises(InputError, match="no folder 'train'"):
        load(f"folder:{tmp_path}", test_fraction=0.2)
