import json

import numpy as np
import pytest

from kdtheory.claims import CLAIMS, run_claims, select_claims
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
    with pytest.raises(InputError, match="unknown claim 'tempreature'; known: bayes_teacher"):
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
