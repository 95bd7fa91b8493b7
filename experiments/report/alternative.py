"""What stands for each picture of the report where it cannot be seen: its alternative text."""
from __future__ import annotations

from typing import Any

from experiments.report.markup import number

SHOWS = {
    "fig1": "A row of images for each class: up to four plankton of that class, dark on white.",
    "fig2": "Line chart of test accuracy over layers 0 to 4: random forest, one-vs-rest and one-vs-one SVM, and a "
            "dotted horizontal line for CNN1 itself.",
    "fig3": "Line chart of test accuracy over layers 0 to 6: random forest, one-vs-rest and one-vs-one SVM, and a "
            "dotted horizontal line for CNN2 itself.",
    "fig4": "Two bar charts, CNN1 and CNN2: a bar for each layer, as high as its share of significant features; the "
            "first fully connected layer is hatched.",
    "fig5": "Line chart of test accuracy over the epochs of training: CNN1 itself, and random forest, one-vs-rest and "
            "one-vs-one SVM on its layer 3, with a vertical line at the early epoch.",
    "bagging": "Line chart of test accuracy over the number of networks averaged, with a band from the worst to the "
               "best choice of networks, and a horizontal line for the best classifier on one network's features.",
    "table4": "Bar chart of test accuracy, the paper's beside ours: four networks, then three classifiers on the "
              "features of CNN3 in each of its two readings.",
    "dendrogram": "Trees of the classes: above, parts of the tree in feature space; below, both whole trees, in "
                  "feature space and in pixel space, with look-alike groups marked by colour and shape.",
    "scores": "For each of some classes, four sample images, and beside them a bar chart of the class's score on each "
              "feature: the highest bars are coloured and numbered, the features on top in the whole group are shaded.",
    "deconvnet": "A panel for each of some features: the images that excite it most, cropped to what it sees, and "
                 "beside them its projections back to pixels, positive in red, negative in blue.",
    "timing": "Dot plot of the time of each training step of CNN3: without dropout, with dropout of the pixels, with "
              "dropout everywhere; a line marks each median.",
}
ALIKE = ("fig2", "fig3", "fig4", "fig5", "table4")      # all rows are accuracies, or all are shares


def alternative_text(name: str, found: dict[str, Any]) -> str:
    """Return what a picture shows, and where all its numbers are alike, the highest and the lowest.

    Parameters
    ----------
    name : str
        The name of the experiment.
    found : dict
        What it found.

    Examples
    --------
    >>> rows = [{"what": what, "ours": {"mean": mean}} for what, mean in (("layer 0", 0.31), ("layer 1", 0.42))]
    >>> alternative_text("fig4", {"rows": rows})  # doctest: +ELLIPSIS
    'Two bar charts... hatched. The numbers are in the table below, from 0.3100 (layer 0) to 0.4200 (layer 1).'
    """
    if name == "fig1":
        return f"{SHOWS[name]} From top to bottom: {', '.join(kind['name'] for kind in found['classes'])}."
    if name not in ALIKE:
        return f"{SHOWS[name]} Its numbers are in the table below."
    low, high = (pick(found["rows"], key=lambda row: row["ours"]["mean"]) for pick in (min, max))
    return (f"{SHOWS[name]} The numbers are in the table below, from {number(low['ours']['mean'])} ({low['what']}) to "
            f"{number(high['ours']['mean'])} ({high['what']}).")
