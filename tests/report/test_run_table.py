import re
import statistics
import subprocess
import sys
from io import StringIO

import polars
import pytest
from rich.console import Console

from kdtheory.errors import InputError
from kdtheory.report.columns import COLUMNS, format_column
from kdtheory.report.latex import escape_latex, latex
from kdtheory.report.markdown import findings_markdown, markdown
from kdtheory.report.result_files import write_table
from kdtheory.report.run_report import run_results
from kdtheory.report.run_table import run_table, summarize, summary_csv
from kdtheory.report.terminal import print_results
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.seeds import MeanSd


def line_of(frame, arm, temperature):
    found = [r for r in frame.to_dicts() if (r["arm"], r["temperature"]) == (arm, temperature)]
    assert len(found) == 1
    return found[0]


def test_values_are_means_and_sample_deviations_over_seeds(make_rows):
    rows = make_rows()
    line = line_of(summarize(rows), "online", 4.0)
    accuracies = [
        row["test_accuracy"]
        for row in rows
        if row["kind"] == "student" and (row["arm"], row["temperature"]) == ("online", 4.0)
        if row["final"]
    ]
    assert len(accuracies) == line["seeds"] == 3
    assert line["test_accuracy_mean"] == pytest.approx(statistics.mean(accuracies))
    assert line["test_accuracy_sd"] == pytest.approx(statistics.stdev(accuracies))


def test_complexity_is_that_of_the_arms_own_supervision_averaged_over_its_training(make_rows):
    rows = make_rows()
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row["kind"] == "complexity" and (row["arm"], row["temperature"]) == ("offline", 4.0):
            own = (row["supervision"], row["supervision_temperature"]) == ("offline", 4.0)
            if own:
                by_seed.setdefault(row["seed"], []).append(row["adjusted_complexity"])
    means = [statistics.mean(values) for values in by_seed.values()]
    line = line_of(summarize(rows), "offline", 4.0)
    assert line["adjusted_complexity_mean"] == pytest.approx(statistics.mean(means))
    assert line["adjusted_complexity_sd"] == pytest.approx(statistics.stdev(means))
    assert line["margin_mean"] == pytest.approx(0.25)


def test_a_whole_temperature_may_be_written_as_an_integer(make_rows):
    rows = make_rows(points=2)
    mixed = [
        {key: int(value) if value == 4.0 and "temp" in key else value for key, value in row.items()}
        if row["kind"] == "student"
        else row
        for row in rows
    ]
    assert mixed[0].keys() == rows[0].keys()
    assert summarize(mixed).equals(summarize(rows))
    assert run_table(mixed) == run_table(rows)


def test_the_teacher_has_a_line_of_its_own(make_rows):
    rows = make_rows()
    final = [row for row in rows if row["kind"] == "teacher" and row["final"]]
    line = line_of(summarize(rows), "teacher", None)
    assert line["test_accuracy_mean"] == pytest.approx(
        statistics.mean(row["test_accuracy"] for row in final)
    )
    assert line["complexity_mean"] is None
    assert summarize(rows)["arm"][0] == "teacher"


def test_a_single_seed_has_no_deviation(make_rows):
    frame = summarize(make_rows(seeds=(3,)))
    for column in COLUMNS:
        assert frame[f"{column.name}_sd"].null_count() == len(frame)
    assert frame["test_accuracy_mean"].null_count() == 0
    assert "±" not in str(run_table(make_rows(seeds=(3,))).columns)


def test_what_was_not_measured_is_a_dash(make_rows):
    table = run_table(make_rows(complexity=False))
    assert set(table.columns["complexity"]) == {"—"}
    assert "—" not in table.columns["test accuracy (%)"]


def test_nulls_in_some_seeds_are_said(make_rows):
    rows = make_rows()
    for row in rows:
        if row["kind"] == "student" and row["arm"] == "self" and row["seed"] == 1:
            row["ntk_similarity"] = None
    table = run_table(rows)
    assert [note for note in table.notes if "NTK similarity over 2 of 3 seeds" in note]
    kept = line_of(summarize(rows), "self", 1.0)
    assert kept["seeds"] == 3
    assert kept["ntk_similarity_sd"] is not None


def test_the_centred_similarity_stands_in_the_csv_only(make_rows):
    rows = make_rows(points=2)
    assert "ntk_similarity_centred" not in rows[1]
    frame = summarize(rows)
    assert frame["ntk_similarity_centred_mean"].null_count() == len(frame)
    for row in rows:
        if row["kind"] == "student":
            row["ntk_similarity_centred"] = 0.1 * row["seed"] if row["arm"] == "online" else None
    line = line_of(summarize(rows), "online", 4.0)
    assert line["ntk_similarity_centred_mean"] == pytest.approx(0.1)
    assert line["ntk_similarity_centred_sd"] == pytest.approx(0.1)
    assert line_of(summarize(rows), "labels", None)["ntk_similarity_centred_mean"] is None
    assert run_table(rows) == run_table(make_rows(points=2))


def test_the_margin_is_said_to_be_that_of_the_labels_trained_on(make_rows):
    meanings = run_table(make_rows(points=1, seeds=(0,))).meanings
    assert "the labels that were trained on, label noise included" in meanings["margin"]


def test_a_training_that_did_not_end_is_left_out_and_named(make_rows):
    rows = make_rows()
    cut = [
        row
        for row in rows
        if not (row["final"] and row["seed"] == 2 and row.get("arm") == "labels")
    ]
    table = run_table(cut)
    assert any("labels: training not finished for seed 2" in note for note in table.notes)
    expected = line_of(summarize([row for row in rows if row["seed"] != 2]), "labels", None)
    line = line_of(summarize(cut), "labels", None)
    for column in COLUMNS:
        for part in ("mean", "sd"):
            name = f"{column.name}_{part}"
            assert line[name] == pytest.approx(expected[name])
    assert line["seeds"] == 2


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no rows"):
        summarize([])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([(1234.56, 7.8), (12.345, 0.1)], ["1234.6 ± 7.8", "12.3 ± 0.1"]),
        ([(0.00123, 0.0001)], ["0.00123 ± 0.00010"]),
        ([(1e-9, 1e-10), (3.0, 0.5)], ["1.00e-09 ± 1.00e-10", "3.00e+00 ± 5.00e-01"]),
        ([(0.0, 0.0)], ["0 ± 0"]),
        ([(-1e-30, None), (5.0, None)], ["-1.00e-30", "5.00e+00"]),
    ],
)
def test_numbers_are_printed_with_three_digits_of_the_smallest(values, texts):
    cells = [MeanSd(mean, sd, 3 if sd is not None else 1) for mean, sd in values]
    assert format_column(COLUMNS[0], cells) == texts


def test_all_forms_are_written_and_agree(tmp_path, make_rows):
    rows = [*make_rows(), *make_rows(task="even_odd", seeds=(0,))]
    out = tmp_path / "new" / "folder"
    paths = write_table(run_table(rows), out, found=findings(rows), data=summary_csv(rows))
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.tex", "table.html"]
    frame = polars.read_csv(paths[1])
    assert frame.columns == summarize(rows).columns
    assert len(frame) == 14
    labels = frame.filter(task="ten", arm="labels").to_dicts()[0]
    shown = f"{100 * labels['test_accuracy_mean']:.2f} ± {100 * labels['test_accuracy_sd']:.2f}"
    assert f"| {shown} |" in paths[0].read_text()
    assert shown.replace("±", r"$\pm$") in paths[2].read_text()
    assert shown in paths[3].read_text()
    for path in (paths[0], paths[3]):
        text = path.read_text()
        for finding in findings(rows):
            assert finding.evidence in text.replace("&#x27;", "'")
        assert "after the last epoch (not the best one)" in text
    assert not re.search(r"""(src|href)=["']?https?:|@import|url\(""", paths[3].read_text())


def test_markdown_cells_cannot_break_the_table(make_rows):
    rows = make_rows(teacher="res|net_8*", seeds=(0, 1), points=2)
    text = markdown(run_table(rows)) + findings_markdown(findings(rows))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {11}
    assert r"res\|net\_8\*" in text


def test_latex_escapes_every_special():
    escaped = escape_latex(r"a_b & 5% $x$ #1 {y} ~ ^ \ ±")
    assert escaped == (
        r"a\_b \& 5\% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} $\pm$"
    )


def test_latex_is_plain_ascii_and_every_line_has_all_cells(make_rows):
    rows = [*make_rows(teacher="r_8 & 50%"), *make_rows(task="odd_even")]
    text = latex(run_table(rows))
    assert text.isascii()
    body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    cells = [line for line in body.splitlines() if line.endswith(r"\\")]
    titles = [line for line in cells if line.startswith(r"\multicolumn{10}")]
    assert len(titles) == 2
    assert {len(re.findall(r"(?<!\\)&", line)) for line in cells if line not in titles} == {9}
    # One that is wider than the page is made smaller, not run over its edge.
    assert r"\ifdim\wd0>\linewidth\resizebox{\linewidth}" in text
    for rule in (r"\toprule", r"\bottomrule", r"\begin{table*}", r"\end{table*}"):
        assert text.count(rule) == 1


@pytest.mark.parametrize("width", [60, 100, 200])
def test_nothing_is_cut_off_in_the_terminal(make_rows, width):
    rows = [*make_rows(points=2), *make_rows(task="even_odd", points=2)]
    console = Console(file=StringIO(), width=width)
    print_results(run_results(rows), console)
    text = console.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for line in run_table(rows).lines():
        assert all(cell in text for cell in line)
    flat = " ".join(text.split())
    for finding in findings(rows):
        assert finding.hypothesis in flat
        # What contradicts the theory is printed with its numbers.
        assert finding.verdict != "not seen" or finding.evidence in flat


def test_importing_the_report_loads_no_plotting_or_table_library():
    code = (
        "import sys, kdtheory.report;"
        "print([m for m in ('matplotlib', 'polars', 'great_tables', 'rich', 'scipy', 'jax')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
