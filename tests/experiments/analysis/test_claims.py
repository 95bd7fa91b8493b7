"""Verdicts on the claims, on numbers made by hand: each rule's yes, no and don't know."""
from __future__ import annotations

import copy
from typing import Any

import pytest

from experiments.analysis.claims import CLAIMS, judge
from experiments.analysis.comparison import spread


def compared(difference: float, p: float) -> dict[str, Any]:
    return {"difference": difference, "p": p, "only_a": 0, "only_b": 0}


def layer_figure(model: str, best: int, last: int, p: float = 0.01) -> dict[str, Any]:
    cells = [spread([0.7 if layer == best else 0.5]) for layer in range(last + 1)]
    every = ("forest", "ovr", "ovo")
    return {"model": model, "network": spread([0.6]), "accuracy": dict.fromkeys(every, cells), "paper_layer": 3,
            "best_layer": dict.fromkeys(every, best),
            "best": {"classifier": "ovo", "layer": best, "accuracy": cells[best]},
            "against_network": {c: compared(0.02, 0.001) for c in every},
            "last_against_best": {c: compared(-0.02, p) for c in every}}


def shares(connected: float, below: float, p: float) -> dict[str, Any]:
    return {"fully_connected": {"layer": 4, "share": spread([connected])},
            "convolution": {"layer": 3, "share": spread([below])}, "p": p}


@pytest.fixture
def found() -> dict[str, Any]:
    """Return results in which every claim of the paper comes out."""
    every = ("forest", "ovr", "ovo")
    return copy.deepcopy({
        "fig2": layer_figure("cnn1", 3, 4), "fig3": layer_figure("cnn2", 4, 6),
        "fig4": {"comparison": {"cnn1": shares(0.5, 0.9, 1e-6), "cnn2": shares(0.4, 0.9, 1e-6)}},
        "fig5": {"early": 24, "last": 62, "early_against_last": {c: compared(-0.01, 0.3) for c in (*every, "network")},
                 "untrained": {"accuracy": 0.5, "others": {"last": 0.6, "pixels": 0.45, "chance": 0.06}}},
        "bagging": {"networks": 8, "bagged": 0.64, "gain_points": 2.9,
                    "best": {"classifier": "ovo", "name": "SVM, one-vs-one, layer 3"},
                    "against_classifiers": {c: compared(-0.02, 0.01) for c in every}},
        "table4": {"cnn3_against": {m: compared(0.02, 0.01) for m in ("cnn1", "cnn2", "all")},
                   "all_against": {m: compared(0.02, 0.01) for m in ("cnn1", "cnn2")},
                   "classifiers_against_network": {
                       reading: {"forest": compared(0.02, 0.01), "ovr": compared(0.02, 0.01),
                                 "ovo": compared(-0.07, 0.01)} for reading in ("first", "all")}},
        "timing": {"ratios": {"first": {"median": 1.1}, "all": {"median": 3.1}}, "training_ratio": 8.0},
        "dendrogram": {"features": {"truth": None, "agreement": {"share": 0.7, "chance": 0.05, "p": 0.001}},
                       "pixels": {"truth": None, "agreement": {"share": 0.4, "chance": 0.05, "p": 0.02}},
                       "difference": compared(0.3, 0.01)}})


def verdicts(found: dict[str, Any]) -> dict[int, str]:
    return {verdict.number: verdict.verdict for verdict in judge(found)}


def test_all_claims_of_the_paper_can_be_reproduced(found: dict[str, Any]) -> None:
    assert verdicts(found) == dict.fromkeys(range(1, 10), "reproduced")


def test_a_claim_without_its_experiments_is_not_judged(found: dict[str, Any]) -> None:
    del found["fig3"]
    assert verdicts(found) == {**dict.fromkeys(range(1, 10), "reproduced"), 2: "not run"}
    assert judge({})[1].evidence == "needs fig2, fig3"


NO, OPEN, YES = "not reproduced", "inconclusive", "reproduced"
CHANGES: list[tuple[int, tuple[str, ...], Any, str]] = [
    (1, ("fig2", "against_network", "forest"), compared(0.01, 0.06), OPEN),
    (1, ("fig2", "against_network", "forest"), compared(-0.01, 0.04), NO),
    (2, ("fig2",), layer_figure("cnn1", 4, 4), NO),
    (2, ("fig2",), layer_figure("cnn1", 0, 4), NO),
    (2, ("fig3",), layer_figure("cnn2", 4, 6, p=0.2), OPEN),
    (3, ("fig4", "comparison", "cnn2"), shares(0.8, 0.9, 0.3), OPEN),
    (3, ("fig4", "comparison", "cnn2"), shares(0.9, 0.5, 0.001), NO),
    (4, ("fig5", "early_against_last", "ovo"), compared(-0.03, 0.5), NO),
    (4, ("fig5", "early_against_last", "network"), compared(-0.3, 0.0), YES),       # the claim is not about it
    (5, ("fig5", "untrained", "accuracy"), 0.44, NO),
    (6, ("bagging", "gain_points"), 1.4, NO),
    (6, ("bagging", "gain_points"), 4.6, NO),
    (6, ("bagging", "against_classifiers", "ovo"), compared(0.01, 0.2), OPEN),
    (6, ("bagging", "against_classifiers", "ovo"), compared(0.01, 0.01), NO),
    (6, ("bagging", "against_classifiers", "forest"), compared(0.01, 0.01), YES),   # the best one counts
    (7, ("table4", "cnn3_against", "cnn1"), compared(-0.1, 0.001), NO),
    (7, ("table4", "cnn3_against", "cnn2"), compared(0.01, 0.5), OPEN),
    (7, ("table4", "classifiers_against_network", "first", "ovr"), compared(0.01, 0.5), OPEN),
    (7, ("table4", "classifiers_against_network", "first", "ovo"), compared(0.01, 0.01), NO),
    (7, ("table4", "classifiers_against_network", "first", "ovo"), compared(0.01, 0.5), YES),
    (8, ("timing", "ratios", "all"), {"median": 1.2}, NO),
    (9, ("dendrogram", "difference"), compared(-0.1, 0.5), NO),
    (9, ("dendrogram", "difference"), compared(0.1, 0.2), OPEN),
    (9, ("dendrogram", "features", "agreement", "p"), 0.2, OPEN),
    (9, ("dendrogram", "difference"), None, OPEN),
]


@pytest.mark.parametrize("number, path, value, verdict", CHANGES)
def test_one_number_changes_one_verdict(found: dict[str, Any], number: int, path: tuple[str, ...], value: Any,
                                        verdict: str) -> None:
    inner = found
    for word in path[:-1]:
        inner = inner[word]
    inner[path[-1]] = value
    assert verdicts(found)[number] == verdict


def test_a_true_tree_is_told_where_it_is_known(found: dict[str, Any]) -> None:
    for space, r in (("features", 0.5), ("pixels", 0.25)):
        found["dendrogram"][space]["truth"] = {"baker": {"r": r, "p": 0.001}}
    assert "Baker's gamma with the true tree 0.500 in feature space, 0.250 in pixel" in judge(found)[8].evidence
    found["dendrogram"]["features"]["truth"]["baker"]["r"] = None       # two classes: one pair, no correlation
    assert "Baker" not in judge(found)[8].evidence


def test_evidence_names_the_numbers(found: dict[str, Any]) -> None:
    evidence = {verdict.number: verdict.evidence for verdict in judge(found)}
    assert "one-vs-one +2.00 points (p = 0.001)" in evidence[1] and "0.6000" in evidence[1]
    assert "CNN2: best is layer 4, one-vs-one, 0.7000" in evidence[2]
    assert "50.0% of the features of layer 4, 90.0% of layer 3" in evidence[3]
    assert "8 networks: 0.6400, +2.90 points" in evidence[6] and "against the bag +2.00 points" in evidence[6]
    assert "3.10 times with dropout everywhere" in evidence[8]


def test_p_is_the_weakest_of_those_a_verdict_rests_on(found: dict[str, Any]) -> None:
    found["fig2"]["against_network"]["ovr"] = compared(0.02, 0.04)
    assert judge(found)[0].p == 0.04


def test_there_are_nine_claims() -> None:
    assert list(CLAIMS) == list(range(1, 10))
