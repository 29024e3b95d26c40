"""Tiny ImageNet from a small archive in its layout."""

import functools
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from kdtheory.datasets import load, prepare
from kdtheory.datasets.tiny_imagenet import TinyImagenet
from kdtheory.errors import InputError

WNIDS = ("n02", "n01", "n03")
TOP = "tiny-imagenet-200/"


def jpeg(level, *, grey=False):
    pixels = np.full((64, 64) if grey else (64, 64, 3), level, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def level_of(wnid, number):
    """A class and a number show in the grey level, which JPEG keeps to within one."""
    return 60 * WNIDS.index(wnid) + 8 * number + 20


def entries():
    """The archive's files: 4 training images and 2 validation images a class."""
    files = {
        "wnids.txt": "\n".join(WNIDS),
        "words.txt": "n01\tgoldfish, Carassius auratus\n",
        "test/images/test_0.JPEG": jpeg(0),
    }
    annotations = []
    for place, wnid in enumerate(WNIDS):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = ""
        for number in range(4):
            # One of Tiny ImageNet's grey images.
            image = jpeg(level_of(wnid, number), grey=number == 3)
            files[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = image
        for number in range(2):
            name = f"val_{2 * place + number}.JPEG"
            files[f"val/images/{name}"] = jpeg(level_of(wnid, number))
            annotations.append(f"{name}\t{wnid}\t0\t0\t63\t63")
    return files | {"val/val_annotations.txt": "\n".join(annotations) + "\n"}


def archive_of(folder, files, top=TOP):
    path = folder / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(top + name, content)
    return path


def check(data_dir):
    dataset = load("tiny_imagenet", data_dir=data_dir, validation_size=3)
    assert dataset.class_names == WNIDS
    assert dataset.image_shape == (64, 64, 3)
    assert dataset.provenance["origins"]["test"] == "validation"
    for splits, count in (((dataset.train, dataset.validation), 4), ((dataset.test,), 2)):
        read = [
            (int(label), round(float(image.mean())))
            for split in splits
            for image, label in zip(split.images, split.labels, strict=True)
        ]
        expected = sorted((c, level_of(w, i)) for c, w in enumerate(WNIDS) for i in range(count))
        np.testing.assert_allclose(sorted(read), expected, atol=1)


def test_a_given_archive_is_prepared_and_read(tmp_path):
    archive = archive_of(tmp_path, entries())
    prepared = prepare("tiny_imagenet", data_dir=tmp_path / "data", archive=archive)
    assert prepared.full_name == "tiny_imagenet:1.0.0"
    assert prepared.splits == {"train": 12, "validation": 6}
    check(tmp_path / "data")


def test_without_an_archive_it_is_downloaded(tmp_path, monkeypatch):
    archive_of(tmp_path, entries(), top="")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/tiny-imagenet-200.zip"
            monkeypatch.setattr(TinyImagenet, "URL", url)
            prepare("tiny_imagenet", data_dir=tmp_path / "data")
        finally:
            server.shutdown()
            thread.join()
    check(tmp_path / "data")


def without(name):
    return {key: value for key, value in entries().items() if key != name}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (without("wnids.txt"), "0 files wnids.txt, not one"),
        (without("val/val_annotations.txt"), "no val/val_annotations.txt"),
        (without("val/images/val_3.JPEG"), "val_3.JPEG, of val_annotations.txt, is missing"),
        (entries() | {"wnids.txt": "n01\nn02"}, "has the class n03, which is not in wnids.txt"),
        (entries() | {"wnids.txt": "n01 n02 n03 n04"}, "no training images of n04"),
        (entries() | {"wnids.txt": "n01 n02 n03 n03"}, "none of them twice"),
        (entries() | {"val/val_annotations.txt": "val_0.JPEG n01"}, "a line without a tab"),
        ({k: v for k, v in entries().items() if "train/" not in k}, "no images in train"),
    ],
)
def test_an_archive_that_is_something_else_gets_one_line(tmp_path, files, message):
    archive = archive_of(tmp_path, files)
    with pytest.raises(InputError, match=message) as caught:
        prepare("tiny_imagenet", data_dir=tmp_path / "data", archive=archive)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="data prepare tiny_imagenet"):
        load("tiny_imagenet", data_dir=tmp_path / "data")


def test_a_missing_or_damaged_archive_gets_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the archive .*No such file"):
        prepare("tiny_imagenet", data_dir=tmp_path / "data", archive=tmp_path / "no.zip")
    archive = archive_of(tmp_path, entries())
    content = bytearray(archive.read_bytes())
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="no undamaged zip file"):
        prepare("tiny_imagenet", data_dir=tmp_path / "data", archive=archive)
    # Stored uncompressed: the check sum of one image is wrong.
    start = content.index(b"train/n01/images/n01_0.JPEG") + 200
    content[start : start + 50] = bytes(50)
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"n01_0.JPEG is damaged") as caught:
        prepare("tiny_imagenet", data_dir=tmp_path / "data", archive=archive)
    assert "\n" not in str(caught.value)


def test_other_sets_take_no_archive(tmp_path):
    with pytest.raises(InputError, match="given for tiny_imagenet alone"):
        prepare("cifar10", data_dir=tmp_path, archive=tmp_path / "cifar.tar.gz")
