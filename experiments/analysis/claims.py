"""The paper's nine claims, and what a run says of each.

The rules were written before the first full run, and do not depend on what comes out:

* "A beats B" is reproduced if A is better with p < 0.05 (McNemar, shared test images, first seed), not reproduced if B
  is, and inconclusive otherwise. A claim with several parts is reproduced if all are, and not reproduced if one is not.
* "nearly", "about" and "well" are given a number below, where the claim is judged.

A claim whose experiments are not part of the run is not judged ("not run").
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

ALPHA = 0.05
NEARLY = 0.02           # claim 4: of accuracy below the final one
WELL = 0.75             # claim 5: of the final accuracy
THREE_POINTS = (1.5, 4.5)   # claim 6: about 3
THREE_TIMES = (2.0, 4.0)    # claim 8: about 3

REPRODUCED, NOT, OPEN, NOT_RUN = "reproduced", "not reproduced", "inconclusive", "not run"
NAMES = {"forest": "random forest", "ovr": "one-vs-rest", "ovo": "one-vs-one"}
Found = dict[str, dict[str, Any]]


class Verdict(NamedTuple):
    """What a run says of a claim; `p` is the largest p-value that the verdict rests on, if it rests on one."""

    number: int
    claim: str
    verdict: str
    evidence: str
    p: float | None = None


def judge(found: Found) -> list[Verdict]:
    """Return a verdict on each claim.

    Examples
    --------
    >>> {verdict.verdict for verdict in judge({})}
    {'not run'}
    """
    verdicts = []
    for number, (claim, names, rule) in CLAIMS.items():
        if all(name in found for name in names):
            verdict, evidence, p = rule(*(found[name] for name in names))
            verdicts.append(Verdict(number, claim, verdict, evidence, p))
        else:
            verdicts.append(Verdict(number, claim, NOT_RUN, f"needs {', '.join(names)}"))
    return verdicts


def better(test: dict[str, Any]) -> str:
    """Return whether a comparison shows that the first beats the second."""
    if test["p"] >= ALPHA:
        return OPEN
    return REPRODUCED if test["difference"] > 0 else NOT


def together(parts: list[str]) -> str:
    """Return the verdict on a claim with several parts.

    Examples
    --------
    >>> together(["reproduced", "inconclusive"]), together(["reproduced", "not reproduced"])
    ('inconclusive', 'not reproduced')
    """
    return NOT if NOT in parts else OPEN if OPEN in parts else REPRODUCED


def _points(test: dict[str, Any]) -> str:
    return f"{100 * test['difference']:+.2f} points (p = {test['p']:.2g})"


def _claim_1(fig2: dict[str, Any]) -> tuple[str, str, float | None]:
    tests = fig2["against_network"]
    evidence = (f"on layer {fig2['paper_layer']}, against CNN1's own {fig2['network']['mean']:.4f}: "
                + ", ".join(f"{NAMES[c]} {_points(test)}" for c, test in tests.items()))
    return together([better(test) for test in tests.values()]), evidence, max(test["p"] for test in tests.values())


def _claim_2(fig2: dict[str, Any], fig3: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if the best cells are between pixels and last layer, of classifiers that are worse on the last."""
    parts, evidence, p = [], [], 0.0
    for figure in (fig2, fig3):
        best = figure["best"]
        test = figure["last_against_best"][best["classifier"]]
        last = len(figure["accuracy"]["ovo"]) - 1
        p = max(p, test["p"])
        parts.append(NOT if best["layer"] in (0, last) else better({**test, "difference": -test["difference"]}))
        pixels, top = (figure["accuracy"][best["classifier"]][layer]["mean"] for layer in (0, best["layer"]))
        evidence.append(f"{figure['model'].upper()}: best is layer {best['layer']}, {NAMES[best['classifier']]}, "
                        f"{top:.4f} (pixels {pixels:.4f}; last layer {last} against it {_points(test)}); best layers "
                        + ", ".join(f"{NAMES[c]} {layer}" for c, layer in figure["best_layer"].items()))
    return together(parts), "; ".join(evidence), p


def _claim_3(fig4: dict[str, Any]) -> tuple[str, str, float | None]:
    parts, evidence, p = [], [], 0.0
    for model, test in fig4["comparison"].items():
        connected, below = test["fully_connected"], test["convolution"]
        p = max(p, test["p"])
        parts.append(better({"p": test["p"], "difference": below["share"]["mean"] - connected["share"]["mean"]}))
        evidence.append(f"{model.upper()}: {connected['share']['mean']:.1%} of the features of layer "
                        f"{connected['layer']}, {below['share']['mean']:.1%} of layer {below['layer']} "
                        f"(p = {test['p']:.2g})")
    return together(parts), "; ".join(evidence), p


def _claim_4(fig5: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if each classifier is at most `NEARLY` below its accuracy at the last epoch."""
    tests = {c: fig5["early_against_last"][c] for c in NAMES}
    parts = [REPRODUCED if test["difference"] >= -NEARLY else NOT for test in tests.values()]
    return together(parts), (f"epoch {fig5['early']} against epoch {fig5['last']}: "
                             + ", ".join(f"{NAMES[c]} {_points(test)}" for c, test in tests.items())), None


def _claim_5(fig5: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if the forest has at least `WELL` of its final accuracy."""
    start, others = fig5["untrained"]["accuracy"], fig5["untrained"]["others"]
    evidence = (f"random forest {start:.4f} on random weights, {others['last']:.4f} at the end, "
                f"{others['pixels']:.4f} on pixels; the most frequent class alone {others['chance']:.4f}")
    return REPRODUCED if start >= WELL * others["last"] else NOT, evidence, None


def _claim_6(bagging: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if the gain is in `THREE_POINTS` and the best classifier on one network's features beats the bag."""
    gain, best = bagging["gain_points"], bagging["best"]
    test = bagging["against_classifiers"][best["classifier"]]
    test = {**test, "difference": -test["difference"]}
    parts = [REPRODUCED if THREE_POINTS[0] <= gain <= THREE_POINTS[1] else NOT, better(test)]
    evidence = (f"{bagging['networks']} networks: {bagging['bagged']:.4f}, {gain:+.2f} points over the mean of one; "
                f"{best['name']}, against the bag {_points(test)}")
    return together(parts), evidence, test["p"]


def _claim_7(table4: dict[str, Any]) -> tuple[str, str, float | None]:
    """CNN3 has dropout on the pixels, the default reading; the other one is told."""
    networks = {model: table4["cnn3_against"][model] for model in ("cnn1", "cnn2")}
    classifiers, on_all = (table4["classifiers_against_network"][reading] for reading in ("first", "all"))
    parts = [better(test) for test in networks.values()] + [better(classifiers[c]) for c in ("forest", "ovr")]
    parts.append(NOT if better(classifiers["ovo"]) == REPRODUCED else REPRODUCED)
    evidence = ", ".join(
        [f"CNN3 against {model.upper()} {_points(test)}" for model, test in networks.items()]
        + [f"{NAMES[c]} against CNN3 {_points(test)}" for c, test in classifiers.items()]
        + [f"CNN3 with dropout everywhere against {model.upper()} {_points(test)}"
           for model, test in table4["all_against"].items()]
        + [f"{NAMES[c]} against that one {_points(test)}" for c, test in on_all.items()])
    return together(parts), evidence, max(test["p"] for test in [*networks.values(), *classifiers.values()])


def _claim_8(timing: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if the ratio is in `THREE_TIMES` for one of the two readings of where dropout is."""
    ratios = {name: timing["ratios"][name]["median"] for name in ("first", "all")}
    verdict = REPRODUCED if any(THREE_TIMES[0] <= ratio <= THREE_TIMES[1] for ratio in ratios.values()) else NOT
    evidence = (f"a training step of CNN3 takes {ratios['first']:.2f} times as long with dropout on the pixels as "
                f"without, {ratios['all']:.2f} times with dropout everywhere; the whole training of CNN3 took "
                f"{timing['training_ratio']:.1f} times as long as that of CNN1")
    return verdict, evidence, None


def _claim_9(dendrogram: dict[str, Any]) -> tuple[str, str, float | None]:
    """Reproduced if the nearest class is a look-alike more often than by chance, and more often than in pixels."""
    features, pixels, test = dendrogram["features"], dendrogram["pixels"], dendrogram["difference"]
    if test is None:
        return OPEN, "no class has a known look-alike", None
    ours, theirs = features["agreement"], pixels["agreement"]
    p = max(ours["p"], test["p"])
    verdict = NOT if test["difference"] <= 0 else REPRODUCED if p < ALPHA else OPEN
    evidence = (f"the nearest class is a look-alike for {ours['share']:.1%} of the classes in feature space (p = "
                f"{ours['p']:.2g}), {theirs['share']:.1%} in pixel space (p = {theirs['p']:.2g}), by chance "
                f"{ours['chance']:.1%}; features against pixels {_points(test)}")
    if features["truth"] is not None and features["truth"]["baker"]["r"] is not None:
        evidence += (f"; Baker's gamma with the true tree {features['truth']['baker']['r']:.3f} in feature space, "
                     f"{pixels['truth']['baker']['r']:.3f} in pixel space")
    return verdict, evidence, p


Rule = Callable[..., tuple[str, str, float | None]]
CLAIMS: dict[int, tuple[str, tuple[str, ...], Rule]] = {
    1: ("Random forest and SVMs on CNN1's features beat CNN1 itself", ("fig2",), _claim_1),
    2: ("Higher layers give better features, but the best is not the last layer", ("fig2", "fig3"), _claim_2),
    3: ("The first fully connected layer has a lower share of significant features than the convolutional layer below "
        "it", ("fig4",), _claim_3),
    4: ("Features of an under-trained CNN1 already give nearly the final accuracy", ("fig5",), _claim_4),
    5: ("A random forest works well even on features of random weights", ("fig5",), _claim_5),
    6: ("Averaging CNNs gains about 3 points, and stays below RF and SVM on one CNN's features", ("bagging",),
        _claim_6),
    7: ("CNN3 beats CNN1 and CNN2; RF and one-vs-rest on its features beat it again; one-vs-one does not", ("table4",),
        _claim_7),
    8: ("A model with dropout takes about 3 times as long to train", ("timing",), _claim_8),
    9: ("Clustering class centroids groups look-alike classes in feature space, and poorly in pixel space",
        ("dendrogram",), _claim_9),
}
