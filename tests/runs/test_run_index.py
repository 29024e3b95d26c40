"""The page of all runs under a folder."""

import json
import shutil
from html.parser import HTMLParser

import pytest

from kdtheory.cli import main
from kdtheory.runs.config import to_json
from kdtheory.runs.config_file import read_config
from kdtheory.statistics.stored_rows import read_rows, write_rows_file


class Cells(HTMLParser):
    """Collects the table's cells, line by line, with what they are sorted by, and all links."""

    def __init__(self, text):
        super().__init__()
        self.lines, self.links, self.scripts, self.inside = [], [], 0, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.links += [held[name] for name in ("href", "src") if name in held]
        self.scripts += tag == "script"
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append(["", held.get("data-sort")])
        self.inside = tag in ("td", "th", "a", "button") and bool(self.lines)

    def handle_data(self, data):
        if self.inside and self.lines and self.lines[-1]:
            self.lines[-1][-1][0] += data.strip()


def index_of(folder, capsys):
    main(["report", str(folder)])
    assert "runs" in capsys.readouterr().out
    page = Cells((folder / "index.html").read_text())
    head, *lines = page.lines
    headers = [text for text, _ in head]
    return page, {line[0][0]: dict(zip(headers, line, strict=True)) for line in lines}


@pytest.fixture
def folder(sweep, tmp_path):
    """A sweep with a failed case, an interrupted run, a damaged one, and one that collapsed."""
    out = tmp_path / "my runs"
    shutil.copytree(sweep, out / "sweep")
    for name in ("half", "torn", "<b>x"):
        shutil.copytree(sweep / "rate=0.1", out / name)
    for path in out.glob("**/rows.jsonl"):
        # So small a run may have networks at chance: here these are what the test says.
        rows = [
            {name: value for name, value in row.items() if name != "failure"}
            for row in read_rows(path).rows
        ]
        for row in rows:
            ends = row.get("arm") == "labels" and row["kind"] == "student" and row["final"]
            if path.parent.name == "<b>x" and ends:
                row["failure"] = "at chance"
        write_rows_file(path, rows)
    config = read_config(out / "half/config.json").replace(seeds=3)
    (out / "half/config.json").write_text(json.dumps(to_json(config)))
    with (out / "torn/rows.jsonl").open("a") as file:
        file.write("x")
    return out


def test_every_run_is_a_line_that_says_how_it_is(folder, capsys):
    page, lines = index_of(folder, capsys)
    states = {name: line["state"][0] for name, line in lines.items()}
    assert states["sweep/rate=0.02"] == "complete"
    assert states["sweep/bad"] == "FAILED: too large"
    assert states["half"] == "interrupted: 1 of 3 seeds"
    assert states["torn"].startswith("damaged: ")
    assert "has changed since it was written" in states["torn"]
    assert states["<b>x"].startswith("collapsed: 1 of ")
    assert lines["<b>x"]["labels %"][0].endswith("†")
    assert page.scripts == 1


def test_what_differs_is_a_column_that_sorts_as_numbers(folder, capsys):
    _, lines = index_of(folder, capsys)
    rates = {name: line["learning rate"] for name, line in lines.items()}
    assert rates["sweep/rate=0.02"] == ["0.02", "0.02"]
    assert rates["torn"] == ["—", ""]
    assert "epochs" not in lines["half"]
    shown, key = lines["half"]["labels %"]
    assert float(shown) == pytest.approx(100 * float(key), abs=0.01)


def test_links_lead_to_files_beside_the_page_alone(folder, capsys):
    (folder / "half/report.html").unlink()
    (folder / "half/report.html").symlink_to("/etc/passwd")
    page, _ = index_of(folder, capsys)
    assert "./%3Cb%3Ex/report.html" in page.links
    assert "./sweep/rate%3D0.02/accuracy.png" in page.links
    assert "./half/report.html" not in page.links
    assert all(link.startswith("./") for link in page.links)


def test_a_second_page_replaces_the_first_and_no_other_file(folder, capsys):
    index_of(folder, capsys)
    index_of(folder, capsys)
    (folder / "index.html").write_text("mine")
    with pytest.raises(SystemExit):
        main(["report", str(folder)])
    assert "is no page of kdtheory report" in capsys.readouterr().err
    assert (folder / "index.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing"], "is no folder"),
        (["."], "no runs in"),
        ([".", "--out", "page.txt"], "--out must name an .html file"),
    ],
)
def test_wrong_words_are_one_line(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["report", *words])
    assert told in capsys.readouterr().err


def test_a_damaged_sweep_below_is_a_note(folder, capsys):
    (folder / "sweep/sweep.json").write_text('{"cases": 1}')
    _, lines = index_of(folder, capsys)
    assert "sweep/bad" not in lines
    assert "not an object of objects" in (folder / "index.html").read_text()
