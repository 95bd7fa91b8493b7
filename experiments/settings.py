"""What a run is: a preset, which may be changed on the command line.

========  ==================================================  ==========================================
preset    data                                                for
========  ==================================================  ==========================================
smoke     900 synthetic images of 6 classes                   does everything work? under 90 s
quick     7,000 synthetic images of 121 classes               a look at every figure, under 10 minutes
paper     all images, the paper's sizes                       the results
========  ==================================================  ==========================================

Other data keep a preset's sizes: ``--preset quick --data mnist:PATH`` takes 7,000 images of MNIST.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

MODELS = ("cnn1", "cnn2", "cnn3")
SIZES = {"cnn1": 28, "cnn2": 40, "cnn3": 28}    # pixels, height and width, of the paper's images
LAYERS = {"cnn1": 5, "cnn2": 7, "cnn3": 4}      # the paper's numbering; 0 is the pixels, the last are the logits


@dataclass(frozen=True)
class Preset:
    """Sizes of a run.

    Attributes
    ----------
    data : str
        The data that images come from, unless ``--data`` names others.
    images : int or None
        The largest number of images that are used; None uses all. They are divided into training, validation and
        test images in the proportions of the paper's 25,000 / 1,500 / 3,800.
    epochs, seeds : dict
        The number of epochs, and of trainings, of each network, by its name. Training k of a network has seed k,
        which decides its first weights, the order of its images, and the forests on its features.
    trees : int
        The number of trees in a forest.
    bag : int
        The number of networks whose probabilities are averaged.
    every : int
        Figure 5 looks at epoch 0, at each `every`-th epoch after it, and at the last one.
    C, gamma : tuple of float
        The values that are tried on the validation images. The unit of gamma is 1 / (features * their variance).
    """

    data: str
    images: int | None
    epochs: dict[str, int]
    seeds: dict[str, int]
    trees: int
    bag: int
    every: int
    C: tuple[float, ...]
    gamma: tuple[float, ...]


PRESETS = {
    "smoke": Preset("synthetic:n=900,classes=6", 900, {"cnn1": 4, "cnn2": 2, "cnn3": 2},
                    {"cnn1": 1, "cnn2": 1, "cnn3": 1}, trees=40, bag=3, every=2, C=(1.0, 10.0), gamma=(1.0,)),
    "quick": Preset("synthetic:n=7000", 7000, {"cnn1": 16, "cnn2": 8, "cnn3": 16},
                    {"cnn1": 1, "cnn2": 1, "cnn3": 1}, trees=100, bag=4, every=4, C=(1.0, 10.0), gamma=(1.0,)),
    # Figure 5 runs to epoch 62. The paper does not say how long CNN2 and CNN3 were trained. After these epochs the
    # learning rates of their recipes have fallen to 2 and 6 % of the first; with dropout everywhere, CNN3 still rises
    # then.
    "paper": Preset("synthetic", None, {"cnn1": 62, "cnn2": 30, "cnn3": 60},
                    {"cnn1": 3, "cnn2": 1, "cnn3": 1}, trees=400, bag=8, every=1, C=(1.0, 10.0, 100.0),
                    gamma=(0.3, 1.0, 3.0)),
}


@dataclass(frozen=True)
class Settings:
    """A run: what decides its results (`preset` and the next three), and how and where it is done."""

    preset: str = "quick"
    data: str = ""
    seeds: int | None = None
    backend: str = "numba"
    jobs: int = -1
    out: Path = Path("runs/experiments")
    sizes: Preset = field(init=False)

    def __post_init__(self) -> None:
        sizes = PRESETS[self.preset]
        if self.seeds is not None:
            sizes = replace(sizes, seeds=dict.fromkeys(MODELS, self.seeds), bag=max(sizes.bag, self.seeds))
        object.__setattr__(self, "sizes", replace(sizes, data=self.data or sizes.data))
