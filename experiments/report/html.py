"""The page of a run: what is on ``report.html``, from top to bottom.

The page is one file that holds its pictures and its style, needs no network and no scripts, and can be sent to
somebody as it is. Everything is made of `contents`, the values of ``results.json``, and the pictures. What a screen
reader needs is part of each element: tables have captions and scopes, pictures say what they show, symbols stand
beside words.
"""
from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from experiments.analysis.claims import ALPHA, CLAIMS
from experiments.figures import experiment
from experiments.figures.layers import CLASSIFIERS
from experiments.pipeline.runner import duration
from experiments.pipeline.versions import mixture
from experiments.report.alternative import alternative_text
from experiments.report.markup import Html, difference, is_whole, join, none, number, scrolling, table, tag
from experiments.settings import MODELS, PRESETS
from minicnn.data import PLANKTON_COUNTS
from minicnn.npz import write_atomically

PLANKTON = {"images": sum(PLANKTON_COUNTS), "classes": 121}
SYMBOLS = {"reproduced": "✓", "not reproduced": "✗", "inconclusive": "?", "not run": "–"}


class Picture(NamedTuple):
    """A picture that is part of the page: data URI, and pixels."""

    uri: str
    width: int
    height: int


def write(path: Path, contents: Mapping[str, Any], pictures: Mapping[str, Path]) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    path : path
        Where the HTML file is written.
    contents : dict
        What `contents.gather` returned, or ``results.json`` read again.
    pictures : dict
        The path of the PNG of each experiment, by its name.

    Raises
    ------
    OSError
        A picture cannot be read, or the folder cannot be written.
    ValueError
        A picture is not a PNG.
    """
    images = {name: _picture(file) for name, file in pictures.items()}
    # A path that is not valid Unicode comes from the command line with lone surrogates, which UTF-8 cannot hold.
    write_atomically(path, render(contents, images).encode(errors="backslashreplace"))
    return path


def _picture(path: Path) -> Picture:
    """Return a PNG as a data URI, and its width and height, which let a browser leave the room before it is decoded."""
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path} is not a PNG: expected the picture of an experiment")
    width, height = (int.from_bytes(data[start:start + 4]) for start in (16, 20))
    return Picture("data:image/png;base64," + base64.b64encode(data).decode(), width, height)


def render(contents: Mapping[str, Any], pictures: Mapping[str, Picture]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    contents : dict
        The values of ``results.json``; see `report.contents.gather`.
    pictures : dict
        The picture of each experiment, by its name.
    """
    found = {name: contents["experiments"][name] for name in experiment.EXPERIMENTS if name in contents["experiments"]}
    reasons = caveats(contents)
    sections = {"claims": ("The paper's claims", _claims(contents["claims"], set(found)))}
    for name, values in found.items():
        mixed = mixture(contents.get("made_by", {}).get(name, []))
        sections[name] = (experiment.module(name).TITLE,
                          _experiment(name, values, pictures[name], not reasons, mixed))
    sections |= {"method": ("How it was done", _method(contents)), "timings": ("Times", _timings(contents["timings"])),
                 "environment": ("Command and environment", _environment(contents))}
    links = [tag("li", tag("a", title, href=f"#{key}")) for key, (title, _) in sections.items()]
    body = [tag("section", "\n", tag("h2", title, id=f"{key}-title"), "\n", inside, "\n", id=key,
                aria_labelledby=f"{key}-title") for key, (title, inside) in sections.items()]
    style = Html(files("experiments.report").joinpath("style.css").read_text(encoding="utf-8"))
    heading = "CNN features of plankton: a reproduction"
    page = tag(
        "html", "\n",
        tag("head", tag("meta", charset="utf-8"), tag("title", f"{heading} ({contents['data']['name']})"), "\n",
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"), "\n",
            tag("meta", name="color-scheme", content="light dark"), "\n", tag("style", "\n", style)), "\n",
        tag("body", "\n", tag("a", "Skip to the results", class_="skip", href="#results"), "\n",
            tag("header", tag("h1", heading), "\n", _introduction(contents), "\n", _comparable(reasons)), "\n",
            tag("nav", tag("h2", "Contents"), tag("ol", *links), aria_label="Contents"), "\n",
            tag("main", "\n", join(body, "\n"), id="results", tabindex=-1), "\n"),
        lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _introduction(contents: Mapping[str, Any]) -> Html:
    data, settings = contents["data"], contents["settings"]
    seeds = ", ".join(f"{model.upper()} {count}" for model, count in settings["seeds"].items())
    return tag(
        "p", "A 2015 study trained convolutional networks on 121 classes of plankton, gave the feature maps of their "
             "layers to random forests and support vector machines, and found that these classify better than the "
             "networks themselves. This page holds what came out when its experiments were done again, beside the "
             "paper's numbers. This run: data ", tag("code", data["name"]),
        f", {sum(data['images'].values()):,} images of {len(data['classes']):,} classes; preset {settings['preset']}; "
        f"number of seeds: {seeds}.")


def caveats(contents: Mapping[str, Any]) -> list[str]:
    """Return why the numbers of a run cannot be compared with the paper's: nothing if they can."""
    data, settings, paper = contents["data"], contents["settings"], PRESETS["paper"]
    kind, images, classes = data["name"].split(":")[0], sum(data["images"].values()), len(data["classes"])
    told = []
    if kind == "synthetic":
        told.append(f"The images are not the paper's: they are {images:,} drawings of made-up plankton of {classes} "
                    "classes.")
    elif kind != "plankton":
        told.append(f"The images are not the paper's: they are {images:,} of {classes} classes of {kind}.")
    elif (images, classes) != (PLANKTON["images"], PLANKTON["classes"]):
        told.append(f"Only {images:,} images of {classes} classes were used, of {PLANKTON['images']:,} of "
                    f"{PLANKTON['classes']}.")
    smaller = [f"{model.upper()} was trained for {epochs} epochs instead of {paper.epochs[model]}"
               for model, epochs in settings["epochs"].items() if epochs < paper.epochs[model]]
    smaller += [f"{what} {settings[key]} instead of {full}" for what, key, full in
                (("trees in a forest:", "trees", paper.trees), ("networks averaged:", "bag", paper.bag))
                if settings[key] < full]
    if smaller:
        told.append(f"Sizes are reduced (preset {settings['preset']}): {', '.join(smaller)}.")
    return told


def _comparable(reasons: list[str]) -> Html:
    if reasons:
        return tag("div", tag("p", tag("strong", "The numbers of this run are not comparable with the paper's.")),
                   *(tag("p", reason) for reason in reasons),
                   tag("p", "The paper's numbers stand beside them for orientation, and the verdicts on its claims "
                            "hold for the data and sizes of this run alone."), class_="warning", role="note")
    return tag("p", "Images and sizes are those of the paper, as far as it states them, so the numbers can be "
                    "compared with it. It does not state its split, learning rates, kernel function, C and gamma: "
                    "these are ours.", class_="note")


def _claims(claims: list[dict[str, Any]], sections: set[str]) -> Html:
    """Return the verdicts. On a narrow screen each row becomes a card; the roles keep it a table for screen readers."""
    counts = [f"{sum(claim['verdict'] == verdict for claim in claims)} {verdict}" for verdict in SYMBOLS]
    columns = ("claim", "verdict", "evidence", "p")
    head = tag("tr", *(tag("th", column, scope="col", role="columnheader") for column in ("number", *columns)),
               role="row")
    rows = []
    for claim in claims:
        names = CLAIMS[claim["number"]][1]
        see = join((tag("a", f"see {experiment.module(name).TITLE.split(':')[0]}", href=f"#{name}")
                    for name in names if name in sections), ", ")
        verdict = tag("span", tag("span", SYMBOLS[claim["verdict"]], aria_hidden="true"), f" {claim['verdict']}",
                      class_=f"verdict {claim['verdict'].replace(' ', '-')}")
        p = none("no test") if claim["p"] is None else f"{claim['p']:.2g}" if claim["p"] >= 1e-4 else "< 0.0001"
        cells = zip(columns, (join([claim["claim"], tag("div", see)]), verdict, claim["evidence"], p))
        rows.append(tag("tr", tag("th", claim["number"], scope="row", role="rowheader"),
                        *(tag("td", cell, role="cell", data_label=column) for column, cell in cells), role="row"))
    caption = "What this run says of each claim"
    return join([
        tag("p", "Of the paper's claims: ", ", ".join(counts), ". p is the largest of the p-values that a verdict "
            f"rests on; a difference counts if it is below {ALPHA}."),
        tag("table", tag("caption", caption), tag("thead", head, role="rowgroup"), "\n",
            tag("tbody", join(rows, "\n"), role="rowgroup"), class_="claims", role="table")], "\n")


def _experiment(name: str, found: dict[str, Any], picture: Picture, comparable: bool, mixed: str) -> Html:
    module = experiment.module(name)
    caption = " ".join((module.__doc__ or module.TITLE).split("\n\n")[0].split())
    image = tag("img", src=picture.uri, alt=alternative_text(name, found), width=picture.width, height=picture.height)
    parts = [tag("figure", scrolling(f"Picture: {module.TITLE}", image, "picture"), tag("figcaption", caption)),
             table("The paper's numbers and ours", ROW, map(_row, found["rows"]),
                   "" if comparable else "(not comparable: other data or sizes)", module.TITLE)]
    if mixed:
        parts.append(tag("p", MIXED, mixed, ".", class_="note"))
    chosen = list(_leaves(found.get("chosen", {})))
    if chosen:
        keys = list(chosen[0][1])
        rows = ((" ".join(path), *(_plain(key, leaf[key]) for key in keys)) for path, leaf in chosen)
        parts.append(table("Chosen on the validation images", ("classifier", *keys), rows, of=module.TITLE))
    return join(parts, "\n")


MIXED = "The results behind this figure were not all made by the same versions: "
ROW = ("what", "paper", "ours", "std", "seeds", "ours − paper")


def _row(row: dict[str, Any]) -> list[Any]:
    paper, ours = row["paper"], row["ours"]
    values = ours["values"]
    whole = is_whole(row)
    printed = isinstance(paper, (int, float))
    return [row["what"], none("not printed") if paper is None else f"{paper:,}" if printed else paper,
            number(ours["mean"], whole), none("one value") if ours["std"] is None else number(ours["std"], whole),
            len(values), difference(ours["mean"] - paper, whole) if printed else none("no number to compare with")]


def _leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the innermost dicts, each with the names on the way there."""
    if not any(isinstance(value, dict) for value in tree.values()):
        if tree:
            yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, (*path, f"layer {key}," if key.isdigit() else CLASSIFIERS.get(key, key)))


def _plain(key: str, value: Any) -> str:
    return number(value) if key == "accuracy" else f"{value:g}"


STEPS = (
    "The images are divided once, with seed 0, into training, validation and test images.",
    "Each network is trained on the training images. The validation images choose the epoch whose weights are kept.",
    "The validation images also choose C and gamma of the support vector machines, for each layer once, with the "
    "features of the first seed: first along C, then along gamma.",
    "Random forest and SVMs are then fitted anew to training and validation images together, as in the paper.",
    "The test images are classified with what was chosen: no epoch, C or gamma depends on them.",
    "Numbers are means over seeds, with the standard deviation (n − 1) where there is more than one. A seed decides "
    "first weights, order of the images and the forest. Tests compare classifiers of the first seed.",
)


def _method(contents: Mapping[str, Any]) -> Html:
    data, settings = contents["data"], contents["settings"]
    rows = [
        ("data", data["name"]), ("fingerprint of the images", data["fingerprint"]), ("classes", len(data["classes"])),
        *((f"{part} images", f"{count:,}") for part, count in data["images"].items()),
        *((f"{what} of {model.upper()}", settings[what][model]) for what in ("epochs", "seeds") for model in MODELS),
        ("trees in a forest", settings["trees"]), ("networks averaged", settings["bag"]),
        ("C tried", _listed(settings["C"])),
        ("gamma tried, in units of 1 / (features × their variance)", _listed(settings["gamma"])),
        ("preset", settings["preset"]), ("backend", settings["backend"])]
    return join([tag("ol", *(tag("li", step) for step in STEPS)), table("Data and sizes", ("setting", "value"), rows),
                 tag("details", tag("summary", f"Names of the {len(data['classes'])} classes"),
                     tag("p", ", ".join(data["classes"])))], "\n")


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _timings(timings: dict[str, float]) -> Html:
    caption = "Time of each stage"
    rows = ((name, duration(seconds)) for name, seconds in timings.items())
    return join([
        tag("p", f"{len(timings)} stages took {duration(sum(timings.values()))} in all, without loading and "
                 "drawing. A stage whose result was stored by an earlier run is listed with the time it took then."),
        tag("details", tag("summary", caption), table(caption, ("stage", "time"), rows))], "\n")


def _environment(contents: Mapping[str, Any]) -> Html:
    return join([
        tag("p", "This command made this page. The same command again continues or repeats it from what is stored."),
        scrolling("Command", tag("pre", tag("code", contents["command"])), "command"),
        table("Environment", ("what", "version or value"), contents["environment"].items()),
        tag("p", "Beside this page lie ", tag("code", "results.json"), ", which holds everything shown here and more, "
            "and each picture as PNG and SVG.")], "\n")
