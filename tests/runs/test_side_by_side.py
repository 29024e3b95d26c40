"""Runs side by side: what differs is a column, and what went wrong is a row."""

import dataclasses
import json
import re
import shutil
from typing import get_args

import polars
import pytest

from kdtheory.cli import main
from kdtheory.commands.table import ColumnName
from kdtheory.errors import InputError
from kdtheory.report.columns import COLUMNS
from kdtheory.report.figures import accuracy_figure
from kdtheory.report.result_files import TABLE_FORMS, write_one_table
from kdtheory.report.run_table import run_table, summarize, summary_csv
from kdtheory.report.selection import Condition, selected
from kdtheory.rows import json_lines
from kdtheory.runs.config import to_json
from kdtheory.runs.config_file import read_config
from kdtheory.runs.side_by_side import side_by_side
from kdtheory.statistics.groups import group_rows
from kdtheory.statistics.stored_rows import read_rows


def test_what_differs_is_a_column_and_names_the_groups(sweep):
    read = side_by_side([sweep])
    assert set(read.comparison.columns) == {"learning_rate", "batch_size"}
    table = run_table(read.rows, read.comparison)
    assert {"0.1", "0.02"} <= set(table.columns["learning rate"])
    assert "settings" not in table.columns
    titles = [group.title for group in group_rows(read.rows, read.comparison)]
    assert all("learning rate" in title and "settings" not in title for title in titles)
    parts = accuracy_figure(read.rows, read.comparison).subfigs
    assert [part.get_suptitle() for part in parts] == titles


def test_a_failed_run_is_a_row_that_says_so(sweep):
    read = side_by_side([sweep])
    frame = summarize(read.rows, read.comparison)
    (failed,) = frame.filter(polars.col("arm").is_null()).to_dicts()
    assert (failed["state"], failed["batch_size"], failed["seeds"]) == ("FAILED: too large", 64, 0)
    table = run_table(read.rows, read.comparison)
    assert table.columns["state"][-1] == "FAILED: too large"


def test_an_interrupted_run_says_how_far_it_is(sweep, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(sweep / "rate=0.1", folder)
    config = read_config(folder / "config.json").replace(seeds=3)
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    read = side_by_side([folder, sweep / "rate=0.02"])
    states = set(summarize(read.rows, read.comparison)["state"])
    assert any("interrupted: 1 of 3 seeds" in state for state in states)


def test_lines_are_chosen_and_ordered(sweep):
    read = side_by_side([sweep])
    rows, left = selected(
        read.rows, read.comparison, [Condition.of("learning_rate<0.05"), Condition.of("arm=online")]
    )
    frame = summarize(rows, left)
    assert set(frame["arm"]) == {"online"}
    assert set(frame["learning_rate"]) == {0.02}
    with pytest.raises(InputError, match="unknown column 'rate'"):
        selected(read.rows, read.comparison, [Condition.of("rate=1")])
    with pytest.raises(InputError, match="no line of the table is left"):
        selected(read.rows, read.comparison, [Condition.of("arm=nothing")])
    with pytest.raises(InputError, match="is no condition"):
        Condition.of("arm")


def test_every_form_holds_the_columns(sweep, tmp_path):
    read = side_by_side([sweep], {"learning_rate": "rate"})
    comparison = dataclasses.replace(read.comparison, sort=("learning rate",))
    table, frame = run_table(read.rows, comparison), summarize(read.rows, comparison)
    for form in TABLE_FORMS:
        path = write_one_table(
            table, tmp_path / f"t{form}", frame=frame, csv_text=summary_csv(read.rows, comparison)
        )
        if form == ".parquet":
            assert polars.read_parquet(path)["rate"].to_list() == sorted(frame["rate"])
        else:
            assert re.search(r"\brate\b", path.read_text(), re.IGNORECASE)


def test_the_command_writes_the_form_that_is_named(sweep, tmp_path, capsys):
    words = ["table", str(sweep), "--group", "batch_size", "--out"]
    main([*words, str(tmp_path / "t.tex")])
    assert r"\textit{batch size 64}" in (tmp_path / "t.tex").read_text()
    assert "FAILED: too large" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, str(tmp_path / "t.docx")])
    assert "a table is written to .md" in capsys.readouterr().err


def test_columns_are_chosen_and_ordered(sweep, tmp_path, capsys):
    assert get_args(ColumnName) == tuple(column.name for column in COLUMNS)
    words = ["table", str(sweep), "--columns", "test_accuracy", "margin", "--out"]
    main([*words, str(tmp_path)])
    own = ["batch size", "learning rate", "arm", "seeds", "state"]
    header = re.findall(r"^\|.*", (tmp_path / "table.md").read_text(), re.MULTILINE)[0]
    assert header.strip("| ").split(" | ")[: len(own) + 2] == [*own, "test accuracy (%)", "margin"]
    paper = (tmp_path / "table.tex").read_text()
    assert not any(word in paper for word in ("adjusted", "fidelity", "similarity"))
    for frame in (polars.read_csv, polars.read_parquet):
        form = frame.__name__.removeprefix("read_")
        columns = frame(tmp_path / f"table.{form}").columns
        assert columns[-4:] == [
            "test_accuracy_mean",
            "test_accuracy_sd",
            "margin_mean",
            "margin_sd",
        ]
    with pytest.raises(SystemExit) as ended:
        main(["table", str(sweep), "--columns", "accuracy"])
    assert ended.value.code == 2
    assert "'test_accuracy'" in capsys.readouterr().err


def test_what_mixed_columns_have_in_common_is_not_said(sweep):
    read = side_by_side([sweep])
    for shown, said in (
        (("margin", "test_accuracy"), 2),
        (("test_accuracy",), 1),
        (("margin", "test_accuracy", "complexity"), 0),
    ):
        table = run_table(read.rows, dataclasses.replace(read.comparison, shown=shown))
        assert len(table.spanners) == said
    with pytest.raises(InputError, match="unknown column 'accuracy'"):
        run_table(read.rows, dataclasses.replace(read.comparison, shown=("accuracy",)))


def test_figures_of_a_file_are_refused(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["table", str(sweep), "--out", str(tmp_path / "t.tex"), "--figure-forms", "pdf"])
    assert "need --out FOLDER" in capsys.readouterr().err


def test_a_labelled_run_has_its_name_in_a_column(sweep):
    comparison = side_by_side([sweep], {"rate=0.1": "fast"}).comparison
    assert "fast" in {comparison.values(run.key)["run"] for run in comparison.runs}
    with pytest.raises(InputError, match="to be labelled"):
        side_by_side([sweep], {"nobody": "x"})


def test_a_label_never_takes_another_columns_place(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["table", str(sweep), "--out", str(tmp_path / "t.csv"), "--label", "batch_size=arm"])
    assert "'arm' of batch_size is the name of another column" in capsys.readouterr().err


def test_a_damaged_run_in_a_folder_is_a_note_and_named_an_error(sweep, tmp_path):
    out = tmp_path / "two"
    shutil.copytree(sweep / "rate=0.1", out / "good")
    shutil.copytree(sweep / "rate=0.02", out / "torn")
    with (out / "torn" / "rows.jsonl").open("a") as file:
        file.write(json_lines(read_rows(out / "good").rows[:1]))
    assert any("torn" in note and "left out" in note for note in side_by_side([out]).notes)
    with pytest.raises(RuntimeError, match="has changed since it was written"):
        side_by_side([out / "torn"])
