"""What is built for others to install: the wheel, the sdist, and the files beside them."""

import datetime
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import kdtheory

ROOT = Path(__file__).parent.parent


def python(*words, cwd, interpreter=sys.executable, environment=None):
    done = subprocess.run(
        [interpreter, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built by the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(built):
    names = {name for name in contents(built[0]) if ".dist-info/" not in name}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kdtheory").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == ours
    assert "kdtheory/py.typed" in names


@pytest.mark.slow
def test_sdist_builds_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "docs/cli.md"):
        assert (source / name).is_file(), name
    python("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=source)
    assert contents(tmp_path / wheel.name) == contents(wheel)


@pytest.mark.slow
def test_wheel_works_where_only_its_requirements_are(built, tmp_path):
    """In a fresh environment that borrows the requirements of the tests' own, and not the clone."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    interpreter = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    python(
        "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index",
        built[0], cwd=tmp_path,
    )  # fmt: skip
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {"PATH": f"{interpreter.parent}:/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    where = "import kdtheory; print(kdtheory.__file__)"
    place = python("-c", where, cwd=tmp_path, interpreter=interpreter, environment=environment)
    assert Path(place).is_relative_to(site)
    command = [interpreter.parent / "kdtheory"]
    for words, expected in (
        (["--version"], kdtheory.__version__),
        (["data", "show", "digits"], "digits"),
        (["gram", "--dataset", "digits", "--model", "mlp8x1", "--ntk-size", "8", "--out", "K.npy"],
         "K.npy"),
    ):  # fmt: skip
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout + done.stderr


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == kdtheory.__version__


def test_changes_name_the_version_or_what_is_unreleased():
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads
    for head in heads[heads[0] == "Unreleased" :]:
        version, date = head.split(" — ")
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        datetime.date.fromisoformat(date)
