import json

import numpy as np
import pytest

from kdtheory.claims import CLAIMS, run_claims, select_claims, write_page
from kdtheory.claims.claim import Claim, decided
from kdtheory.errors import InputError

BROKEN_PREMISES = {
    "norm_identity": {"start": 0.5},
    "margin_bounds": {"kernel_depends_on_sample": True},
    "random_labels": {"dependence": 0.5},
    "temperature": {"smooth_teacher": False},
    "early_stopping": {"same_kernel": False},
    "online_teacher": {"related_kernels": False},
    "self_distillation": {"ridge": 0.0},
    "linear_distillation": {"start": 1.0},
    "bayes_teacher": {"teacher_bias": 0.2},
    "infinite_width": {"weight_scale": 1.2},
    "linearised_training": {"output_exponent": 1.0},
    "true_labels": {"shuffled": 1.0},
    "transfer_risk": {"start": 2.0},
    "parameter_displacement": {"teacher_noise": 1.0},
    "data_inefficiency": {"teacher_noise": 2.0},
    "imperfect_teacher": {"teacher_bias": 0.0},
    "chain_rule": {"refit_factor": 1.1},
    "mistake_bound": {"diagonal": 100.0},
    "certificate_coverage": {"kernel_depends_on_sample": True},
    "self_distillation_weight": {"student_factor": 3.0},
    "repeated_self_distillation": {"distinct": False},
    "surrogate_targets": {"exponent": 0.0},
    "top_directions": {"teacher_time": 1e12},
    "exaggerated_confidence": {"own_teacher": False},
    "weak_to_strong": {"hidden_overlap": 5},
    "early_stopped_student": {"exponent": 0.0},
    "teacher_capacity": {"limited": False},
}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_claim_holds_and_leaves_its_numbers_and_figure(claim, tmp_path):
    (result,) = run_claims([claim], quick=True, out=tmp_path)
    assert result.outcome.holds, result.line
    assert result.outcome.margin > 0
    assert "\n" not in result.line
    record = json.loads((tmp_path / f"{claim.name}.json").read_text())
    assert record["holds"] is True
    assert record["statement"] == claim.statement
    for name, values in result.outcome.series.items():
        np.testing.assert_array_equal(record["series"][name], values)
    assert (tmp_path / f"{claim.name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_claim_fails_where_a_premise_is_broken(claim):
    outcome = claim.check(quick=True, seed=0, **BROKEN_PREMISES[claim.name])
    assert not outcome.holds, outcome.detail
    assert outcome.margin < 0


def test_names_are_unique_and_documented():
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert set(BROKEN_PREMISES) == set(names)


def test_claims_are_chosen_by_name():
    assert select_claims(CLAIMS) == list(CLAIMS)
    assert [c.name for c in select_claims(CLAIMS, ["temperature", "norm_identity"])] == [
        "norm_identity",
        "temperature",
    ]
    with pytest.raises(
        InputError,
        match=r"unknown claim 'tempreature'; did you mean 'temperature'. known: bayes_teacher",
    ):
        select_claims(CLAIMS, ["tempreature"])


def test_a_failing_claim_is_reported_and_the_others_still_run(tmp_path):
    def claim(name, margin):
        return Claim(
            name=name, statement="s", source="s", varied="v",
            check=lambda *, quick, seed: decided(margin, "d", x=[1.0, 2.0]),
            draw=lambda outcome, axes: axes.plot(outcome.series["x"]),
        )  # fmt: skip

    claims = [claim("bad", -1.0), claim("undecided", float("nan")), claim("good", 1.0)]
    results = list(run_claims(claims, out=tmp_path))
    assert [r.outcome.holds for r in results] == [False, False, True]
    assert "FAILS" in results[0].line
    assert json.loads((tmp_path / "bad.json").read_text())["holds"] is False


def test_page_shows_every_claim_that_ran_and_what_failed(tmp_path):
    def claim(name, margin, caveat=""):
        return Claim(
            name=name, statement=f"statement of {name}", source="S", varied="v",
            check=lambda *, quick, seed: decided(margin, f"detail of {name}", x=[1.0, 2.0]),
            draw=lambda outcome, axes: axes.plot(outcome.series["x"]), caveat=caveat,
        )  # fmt: skip

    claims = [claim("good", 1.0, caveat="but not always"), claim("bad", -1.0), claim("later", 1.0)]
    list(run_claims(claims[:2], quick=True, seed=3, out=tmp_path))
    text = write_page(tmp_path, claims).read_text()
    assert "1 of 2 hold (seed 3, quick" in text
    assert "| [bad](#bad) | **fails** | -1 | detail of bad |" in text
    assert "statement of good" in text
    assert "- **good**: but not always" in text
    assert "later" not in text
    for name in ("good", "bad"):
        assert f"![{name}]({name}.png)" in text
        assert (tmp_path / f"{name}.png").exists()


def test_page_without_files_or_with_damaged_ones_is_refused(tmp_path):
    with pytest.raises(InputError, match="no claim's file"):
        write_page(tmp_path, CLAIMS)
    (tmp_path / "temperature.json").write_text("{")
    with pytest.raises(InputError, match="cannot read"):
        write_page(tmp_path, CLAIMS)
