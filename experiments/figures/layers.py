"""What Figures 2 and 3 have in common: how well each layer's features are classified, layer by layer."""
from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.analysis.comparison import mcnemar, spread
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage
from experiments.pipeline.stages import STRATEGIES, Choose, Forest, Machines, Train, all_layers
from experiments.settings import SIZES, Preset

CLASSIFIERS = {"forest": "random forest", "ovr": "SVM, one-vs-rest", "ovo": "SVM, one-vs-one"}
STYLES = {"forest": ("#009E73", "o", "-"), "ovr": ("#0072B2", "s", "--"), "ovo": ("#D55E00", "^", "-.")}


def needs(sizes: Preset, model: str) -> list[Stage]:
    """Return the stages: for each layer the choice of C and gamma, then forest and SVMs of each seed."""
    stages: list[Stage] = [Train(model, seed) for seed in range(sizes.seeds[model])]
    for layer in all_layers(model):
        stages.append(Choose(model, 0, layer))
        for seed in range(sizes.seeds[model]):
            stages += [Machines(model, seed, layer), Forest(model, seed, layer)]
    return stages


def right(lab: Lab, classifier: str, model: str, seed: int, layer: int, epoch: int | None = None,
          dropout: str | None = None) -> np.ndarray:
    """Return which test images a classifier on features gets right."""
    if classifier == "forest":
        predicted = lab.result(Forest(model, seed, layer, epoch, dropout)).arrays["predicted"]
    else:
        predicted = lab.result(Machines(model, seed, layer, epoch, dropout)).arrays[classifier]
    return lab.right(predicted, SIZES[model])


def network_right(lab: Lab, stage: Train) -> np.ndarray:
    """Return which test images a trained network itself gets right."""
    return lab.right(lab.result(stage).arrays["test_proba"].argmax(axis=1), SIZES[stage.model])


def compute(lab: Lab, model: str, paper: dict[Any, Any]) -> dict[str, Any]:
    """Return test accuracies of all classifiers on all layers, and how they compare with the network.

    Parameters
    ----------
    lab : Lab
        The lab, in which all stages of `needs` are done.
    model : str
        "cnn1" or "cnn2".
    paper : dict
        The numbers that the paper prints: of the network, of (classifier, layer), and the layer it calls best.
    """
    seeds = range(lab.sizes.seeds[model])
    network = spread([network_right(lab, Train(model, seed)).mean() for seed in seeds])
    accuracy = {c: [spread([right(lab, c, model, seed, layer).mean() for seed in seeds])
                    for layer in all_layers(model)] for c in CLASSIFIERS}
    best_layer = {c: int(np.argmax([cell["mean"] for cell in accuracy[c]])) for c in CLASSIFIERS}
    best = max(CLASSIFIERS, key=lambda c: accuracy[c][best_layer[c]]["mean"])
    rows = [{"what": f"{model.upper()} itself", "paper": paper["network"], "ours": network}]
    rows += [{"what": f"{name}, layer {layer}", "paper": paper.get((c, layer)), "ours": accuracy[c][layer]}
             for c, name in CLASSIFIERS.items() for layer in all_layers(model)]
    chosen = {layer: {s: {key: lab.result(Choose(model, 0, layer)).plain[s][key] for key in ("C", "gamma", "accuracy")}
                      for s in STRATEGIES} for layer in all_layers(model)}
    return {
        "model": model, "network": network, "accuracy": accuracy, "best_layer": best_layer,
        "best": {"classifier": best, "layer": best_layer[best], "accuracy": accuracy[best][best_layer[best]]},
        # On the paper's layer, which no result of ours has chosen: the best of ours would have luck on its side.
        "against_network": {c: mcnemar(right(lab, c, model, 0, paper["layer"]), network_right(lab, Train(model)))
                            for c in CLASSIFIERS},
        "paper_layer": paper["layer"],
        "last_against_best": {c: mcnemar(right(lab, c, model, 0, all_layers(model)[-1]),
                                         right(lab, c, model, 0, best_layer[c])) for c in CLASSIFIERS},
        "chosen": chosen, "rows": rows,
    }


def draw(found: dict[str, Any]) -> Figure:
    """Draw accuracy over layers, a line for each classifier, and the network's own as the baseline."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for classifier, name in CLASSIFIERS.items():
        colour, marker, line = STYLES[classifier]
        cells = found["accuracy"][classifier]
        axes.errorbar(range(len(cells)), [cell["mean"] for cell in cells], [cell["std"] or 0.0 for cell in cells],
                      color=colour, marker=marker, linestyle=line, capsize=3, label=name)
    axes.axhline(found["network"]["mean"], color="black", linestyle=":",
                 label=f"{found['model'].upper()} itself, {found['network']['mean']:.4f}")
    axes.set(xlabel="layer (0: pixels)", ylabel="test accuracy", xticks=range(len(cells)))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
