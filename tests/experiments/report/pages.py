"""What the tests of the report share: contents made by hand, a picture, and a parser of the page."""
from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.report import html
from experiments.report.markup import VOID

HOSTILE = '<script>alert("1")</script>&amp;'


def spread(*values: float, mean: float, std: float | None) -> dict[str, Any]:
    """Return what `experiments.analysis.comparison.spread` would, with mean and deviation reckoned by hand."""
    return {"values": list(values), "mean": mean, "std": std}


def made_up(**changes: Any) -> dict[str, Any]:
    """Return the contents of a run of two experiments."""
    chosen = {"0": {"ovo": {"C": 10.0, "gamma": 0.3, "accuracy": 0.5}}, "1": {"ovr": {"C": 1.0, "gamma": 1.0,
                                                                                      "accuracy": 0.61}}}
    contents = {
        "experiments": {
            "fig1": {"classes": [{"name": "copepod", "images": 7}, {"name": HOSTILE, "images": 5}], "rows": [
                {"what": "training images", "paper": 25000, "ours": spread(24000.0, mean=24000.0, std=None)},
                {"what": "classes", "paper": 121, "ours": spread(121.0, mean=121.0, std=None)}]},
            "fig2": {"chosen": chosen, "rows": [
                {"what": "CNN1 itself", "paper": 0.5263, "ours": spread(0.5, 0.6, mean=0.55, std=0.0707107)},
                {"what": "forest <1>", "paper": None, "ours": spread(0.25, mean=0.25, std=None)},
                {"what": "machine", "paper": 0.65526, "ours": spread(0.6, mean=0.6, std=None)},
                {"what": "machines", "paper": "0.6 or above", "ours": spread(1.0, mean=1.0, std=None)}]},
        },
        "claims": [
            {"number": 1, "claim": "one beats & another", "verdict": "reproduced", "evidence": "+3 < 4", "p": 0.012},
            {"number": 2, "claim": "higher is better", "verdict": "not reproduced", "evidence": "-3 points", "p": 4e-9},
            {"number": 3, "claim": "a lower share", "verdict": "not run", "evidence": "needs fig4", "p": None},
            {"number": 4, "claim": "early", "verdict": "inconclusive", "evidence": "+0.1 points", "p": 1.0}],
        "settings": {"preset": "paper", "backend": "numba", "data": "plankton:x.zip", "images": None,
                     "epochs": {"cnn1": 62, "cnn2": 62, "cnn3": 150}, "seeds": {"cnn1": 2, "cnn2": 1, "cnn3": 1},
                     "trees": 400, "bag": 8, "every": 1, "C": [1.0, 10.0], "gamma": [0.3, 1.0]},
        "data": {"name": "plankton:x.zip", "classes": ["copepod", HOSTILE, *map(str, range(119))],
                 "images": {"training": 25000, "validation": 1500, "test": 3800}, "fingerprint": "28:30300:0badcafe"},
        "environment": {"minicnn": "0.1", "python": "3.12", "cores": 2},
        "command": f"python -m experiments run fig1 --out '{HOSTILE}'",
        "timings": {"train-cnn1-seed0": 95.0, "forest-pixels28-seed0": 8.26},
    }
    return {**contents, **changes}


def picture(folder: Path, width: int = 30, height: int = 20) -> Path:
    """Write a PNG and return its path."""
    path = folder / "picture.png"
    Image.new("RGB", (width, height)).save(path)
    return path


def written(folder: Path, contents: dict[str, Any]) -> Element:
    """Write a report with a picture for each experiment, and return its page."""
    path = html.write(folder / "report.html", contents, dict.fromkeys(contents["experiments"], picture(folder)))
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8")).root


class Element:
    """An element of a page: tag, attributes, elements and texts within."""

    def __init__(self, tag: str, attributes: dict[str, str | None]):
        self.tag, self.attributes, self.inside = tag, attributes, []

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def all(self, *tags: str) -> list[Element]:
        """Return all elements within that have one of some tags, in the order of the page."""
        return [element for element in self.walk() if element.tag in tags]

    def walk(self) -> Iterator[Element]:
        """Yield all elements within."""
        for part in self.inside:
            if isinstance(part, Element):
                yield part
                yield from part.walk()

    @property
    def text(self) -> str:
        """All text within."""
        return "".join(part.text if isinstance(part, Element) else part for part in self.inside)

    def by_id(self, name: str) -> Element:
        """Return the one element within that has an id."""
        (found,) = [element for element in self.walk() if element.attributes.get("id") == name]
        return found

    def cells(self) -> list[list[str]]:
        """Return the texts of a table, row by row."""
        return [[cell.text for cell in row.all("th", "td")] for row in self.all("tr")]


class Page(HTMLParser):
    """A page whose tags must be closed in the order in which they are opened."""

    def __init__(self, text: str):
        super().__init__()
        self.root = Element("page", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"an attribute of {tag} is given twice"
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)
