"""What dropout costs: the time of one training step of CNN3 without dropout, at the first layer, and everywhere.

A step is what training does with a batch of 128 images: forward, backward, update, max-norm. The three variants take
turns, so that whatever else the computer does slows them all alike, and each round gives one ratio; the median of the
ratios is what counts. A round is one step of each, and there is one for every five trees of the run's forests.

The paper says that a model with dropout "takes about 3 times longer to train than the original model". A step is one
half of that: the other is how many epochs are needed, and that the original is CNN1, a smaller network. So the whole
trainings of CNN1 and CNN3 stand beside it.

Times are of the computer that ran the stage. They are the one thing here that a second run does not repeat.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.analysis.comparison import spread
from experiments.pipeline.lab import Lab
from experiments.pipeline.stage import Stage, Workplace
from experiments.pipeline.stages import Train
from experiments.pipeline.store import Result
from experiments.settings import SIZES, Preset
from minicnn import recipes
from minicnn.training import fit

TITLE = "Timing: what dropout costs"
MODEL = "cnn3"
VARIANTS = ("none", "first", "all")
BATCH = 128
PAPER = "about 3"


@dataclass(frozen=True)
class StepTime(Stage):
    """Time training steps of CNN3: ``step_seconds`` of each variant, one for each round, and images in a ``batch``."""

    def depends_on(self, lab: Workplace) -> dict[str, Any]:
        return {"rounds": rounds(lab.sizes), "images": lab.fingerprint(SIZES[MODEL])}

    def run(self, lab: Workplace) -> Result:
        train = lab.parts(SIZES[MODEL])[0]
        batch = train.images[:BATCH], train.labels[:BATCH]
        one = train.images[:1], train.labels[:1]        # to validate on, outside the time that is taken
        nets = {variant: Train(MODEL, 0, variant).build(lab) for variant in VARIANTS}
        usual = {variant: recipes.default(net) for variant, net in nets.items()}
        seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(1 + rounds(lab.sizes)):
            for variant, net in nets.items():
                history = fit(net, batch, one, 1, usual[variant].optimizer, usual[variant].constraints, BATCH,
                              progress=False)
                seconds[variant] += history["seconds"]
        total = sum(map(sum, seconds.values()))
        for each in seconds.values():
            del each[0]                                 # it waited for compilers and for memory
        return Result({"step_seconds": seconds, "batch": len(batch[0]), "seconds": total}, {})

    def estimate(self, lab: Workplace) -> tuple[float, float]:
        train = lab.parts(SIZES[MODEL])[0]
        epoch = Train(MODEL).estimate(lab)[0] / lab.sizes.epochs[MODEL]
        return len(VARIANTS) * (1 + rounds(lab.sizes)) * epoch * min(1.0, BATCH / len(train)), 1e9


def rounds(sizes: Preset) -> int:
    """Return how often each variant takes its turn.

    Examples
    --------
    >>> from experiments.settings import PRESETS
    >>> rounds(PRESETS["smoke"]), rounds(PRESETS["paper"])
    (8, 80)
    """
    return max(2, sizes.trees // 5)


def needs(sizes: Preset) -> list[Stage]:
    """Return the timing of steps, and the two whole trainings: those of Figure 2 and Table IV."""
    return [StepTime(), Train("cnn1", 0), Train(MODEL, 0)]


def compute(lab: Lab) -> dict[str, Any]:
    """Return seconds of a step and of whole trainings, and their ratios."""
    plain = lab.result(StepTime()).plain
    seconds = {variant: np.array(plain["step_seconds"][variant]) for variant in VARIANTS}
    ratios = {variant: summary(seconds[variant] / seconds["none"]) for variant in VARIANTS[1:]}
    whole = {model: lab.result(Train(model, 0)).plain for model in ("cnn1", MODEL)}
    training_ratio = whole[MODEL]["seconds"] / whole["cnn1"]["seconds"]
    rows = [{"what": f"seconds of a step, dropout {variant}", "paper": None,
             "ours": spread([np.median(seconds[variant])])} for variant in VARIANTS]
    rows += [{"what": f"times as long with dropout {variant}", "paper": PAPER, "ours": spread([ratio["median"]])}
             for variant, ratio in ratios.items()]
    rows.append({"what": "times as long: whole training of CNN3 and of CNN1", "paper": PAPER,
                 "ours": spread([training_ratio])})
    return {
        "batch": plain["batch"], "rounds": len(seconds["none"]), "ratios": ratios, "training_ratio": training_ratio,
        "step_seconds": {variant: summary(each) for variant, each in seconds.items()},
        "trainings": {model: {"epochs": lab.sizes.epochs[model], "best_epoch": one["best_epoch"],
                              "seconds": one["seconds"]} for model, one in whole.items()},
        "rows": rows,
    }


def summary(values: np.ndarray) -> dict[str, Any]:
    """Return values, median, least and most.

    Examples
    --------
    >>> summary(np.array([1.0, 2.0, 9.0]))
    {'values': [1.0, 2.0, 9.0], 'median': 2.0, 'min': 1.0, 'max': 9.0}
    """
    return {"values": values.tolist(), "median": float(np.median(values)), "min": float(values.min()),
            "max": float(values.max())}


def draw(found: dict[str, Any]) -> Figure:
    """Draw the time of every step, a column for each variant, and the median ratios."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    names = {"none": "no dropout", "first": "dropout of the pixels", "all": "dropout everywhere"}
    styles = zip(VARIANTS, ("#0072B2", "#D55E00", "#009E73"), "os^")
    for column, (variant, colour, marker) in enumerate(styles):
        steps = found["step_seconds"][variant]
        places = column + np.linspace(-0.25, 0.25, len(steps["values"]))
        axes.plot(places, 1000 * np.array(steps["values"]), marker, color=colour, markersize=4)
        axes.plot([column - 0.3, column + 0.3], [1000 * steps["median"]] * 2, color="black")
        ratio = f"\n{found['ratios'][variant]['median']:.2f} times as long" if column else ""
        axes.annotate(f"median {1000 * steps['median']:.0f} ms{ratio}", (column, 0.03), ha="center",
                      xycoords=("data", "axes fraction"), fontsize=9)
    most = max(steps["max"] for steps in found["step_seconds"].values())
    axes.set(ylabel=f"ms for a step of {found['batch']} images", ylim=(0, 1100 * most),
             xlim=(-0.5, len(VARIANTS) - 0.5))
    axes.set_xticks(range(len(VARIANTS)), [names[variant] for variant in VARIANTS])
    axes.grid(axis="y", alpha=0.3)
    return figure
