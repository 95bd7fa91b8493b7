"""The page of a report: what is on it, that everybody can read it, and that it stands alone."""
from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from experiments.figures import experiment
from experiments.report.alternative import SHOWS
from tests.experiments.report.pages import HOSTILE, Element, made_up, written

CSS = files("experiments.report").joinpath("style.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Element:
    """Return the page of contents made by hand."""
    return written(tmp_path_factory.mktemp("page"), made_up())


# -------------------------------------------------------------------------------------------------------- what is there

def test_each_experiment_has_a_section_with_a_picture_and_its_numbers(root: Element) -> None:
    for name in ("fig1", "fig2"):
        section = root.by_id(name)
        assert section.tag == "section"
        assert section.all("h2")[0].text == experiment.module(name).TITLE
        (image,) = section.all("img")
        assert (image["width"], image["height"]) == ("30", "20")
        assert image["src"].startswith("data:image/png;base64,iVBORw0KGgo")
        assert len(section.all("figcaption")[0].text) > 30


def test_numbers_stand_beside_the_papers(root: Element) -> None:
    """0.55 - 0.5263 = 0.0237; 0.6 - 0.65526 = -0.0553. A dash comes with words for those who do not see it."""
    assert root.by_id("fig2").all("table")[0].cells() == [
        ["what", "paper", "ours", "std", "seeds", "ours − paper"],
        ["CNN1 itself", "0.5263", "0.5500", "0.0707", "2", "+0.0237"],
        ["forest <1>", "–not printed", "0.2500", "–one value", "1", "–no number to compare with"],
        ["machine", "0.65526", "0.6000", "–one value", "1", "−0.0553"],
        ["machines", "0.6 or above", "1.0000", "–one value", "1", "–no number to compare with"]]
    assert root.by_id("fig1").all("table")[0].cells()[1:] == [
        ["training images", "25,000", "24,000", "–one value", "1", "−1,000"],
        ["classes", "121", "121", "–one value", "1", "0"]]


def test_chosen_parameters_are_listed(root: Element) -> None:
    assert root.by_id("fig2").all("table")[1].cells() == [
        ["classifier", "C", "gamma", "accuracy"], ["layer 0, SVM, one-vs-one", "10", "0.3", "0.5000"],
        ["layer 1, SVM, one-vs-rest", "1", "1", "0.6100"]]
    assert len(root.by_id("fig1").all("table")) == 1


def test_claims_have_a_verdict_in_words_and_as_a_symbol(root: Element) -> None:
    (table,) = root.by_id("claims").all("table")
    assert table.cells() == [
        ["number", "claim", "verdict", "evidence", "p"],
        ["1", "one beats & anothersee Figure 2", "✓ reproduced", "+3 < 4", "0.012"],
        ["2", "higher is bettersee Figure 2", "✗ not reproduced", "-3 points", "< 0.0001"],     # Figure 3 was not run
        ["3", "a lower share", "– not run", "needs fig4", "–no test"],
        ["4", "early", "? inconclusive", "+0.1 points", "1"]]
    assert "1 reproduced, 1 not reproduced, 1 inconclusive, 1 not run" in root.by_id("claims").text


def test_times_command_settings_and_classes_are_told(root: Element) -> None:
    assert root.by_id("timings").all("table")[0].cells()[1:] == [["train-cnn1-seed0", "1 min 35 s"],
                                                                  ["forest-pixels28-seed0", "8.3 s"]]
    assert "2 stages took 1 min 43 s" in root.by_id("timings").text
    assert root.by_id("environment").all("pre")[0].text == made_up()["command"]
    assert ["cores", "2"] in root.by_id("environment").all("table")[0].cells()
    settings = dict(root.by_id("method").all("table")[0].cells())
    assert (settings["test images"], settings["C tried"], settings["epochs of CNN3"]) == ("3,800", "1, 10", "150")
    assert f"copepod, {HOSTILE}, 0, 1, 2," in root.by_id("method").all("details")[0].text


def test_sections_come_in_the_papers_order(tmp_path: Path) -> None:
    contents = made_up()
    contents["experiments"] = dict(reversed(contents["experiments"].items()))
    ids = [section["id"] for section in written(tmp_path, contents).all("section")]
    assert ids == ["claims", "fig1", "fig2", "method", "timings", "environment"]


# ---------------------------------------------------------------------------------------------------- is it comparable?

@pytest.mark.parametrize("name, images, classes, sizes, words", [
    ("plankton:x.zip", 25000, 121, {}, []),
    ("plankton:x.zip", 24999, 121, {}, ["Only 30,299 images of 121 classes", "of 30,300 of 121"]),
    ("plankton:x.zip", 25000, 120, {}, ["of 120 classes"]),
    ("synthetic", 25000, 121, {}, ["not the paper's", "made-up plankton"]),
    ("mnist:/data", 25000, 121, {}, ["not the paper's", "mnist"]),
    ("plankton:x.zip", 25000, 121, {"epochs": {"cnn1": 4, "cnn2": 62, "cnn3": 150}, "trees": 40},
     ["Sizes are reduced", "CNN1 was trained for 4 epochs instead of 62, trees in a forest: 40 instead of 400."]),
    ("plankton:x.zip", 25000, 121, {"bag": 4}, ["networks averaged: 4 instead of 8"]),
])
def test_a_run_on_other_data_or_sizes_says_so_on_top(tmp_path: Path, name, images, classes, sizes, words) -> None:
    contents = made_up()
    contents["data"] |= {"name": name, "classes": ["x"] * classes,
                         "images": {"training": images, "validation": 1500, "test": 3800}}
    contents["settings"] |= sizes
    root = written(tmp_path, contents)
    warnings = [element for element in root.all("header")[0].walk() if element.attributes.get("class") == "warning"]
    assert len(warnings) == bool(words)
    for word in ["not comparable", *words] if words else []:
        assert word in warnings[0].text
    assert ("not comparable" in root.by_id("fig2").all("caption")[0].text) == bool(words)


# ----------------------------------------------------------------------------------------------- can everybody read it?

def test_headings_go_down_one_level_at_a_time(root: Element) -> None:
    levels = [int(heading.tag[1]) for heading in root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_ids_are_unique_and_every_link_and_label_leads_somewhere(root: Element) -> None:
    ids = [element["id"] for element in root.walk() if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    links = [link["href"] for link in root.all("a")]
    assert links[0] == "#results" and root.by_id("results").tag == "main"
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert [section["aria-labelledby"] for section in root.all("section")] == [
        heading["id"] for heading in root.by_id("results").all("h2")]
    assert [f"#{section['id']}" for section in root.all("section")] == [
        link["href"] for link in root.all("nav")[0].all("a")]


def test_tables_have_captions_scopes_and_full_rows(root: Element) -> None:
    tables = root.all("table")
    assert len(tables) == 7
    for table in tables:
        assert table.inside[0].tag == "caption" and table.inside[0].text
        head, *body = table.all("tr")
        assert [cell["scope"] for cell in head.all("th")] == ["col"] * len(head.all("th", "td"))
        for row in body:
            assert [cell.tag for cell in row.all("th", "td")] == ["th"] + ["td"] * (len(head.all("th")) - 1)
            assert row.all("th")[0]["scope"] == "row"


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(root: Element) -> None:
    regions = [element for element in root.walk() if element.attributes.get("role") == "region"]
    assert all(region["tabindex"] == "0" for region in regions)
    assert len({region["aria-label"] for region in regions}) == len(regions)
    within = {id(element) for region in regions for element in region.walk()}
    assert all(id(table) in within for table in root.all("table") if table.attributes.get("class") != "claims")


def test_the_page_names_its_language_and_fits_a_phone(root: Element) -> None:
    assert root.all("html")[0]["lang"] == "en"
    assert {meta.attributes.get("name"): meta.attributes.get("content") for meta in root.all("meta")}["viewport"]
    assert root.all("title")[0].text


def test_pictures_are_told_in_words(root: Element) -> None:
    one, two = (image["alt"] for image in root.all("img"))
    assert "copepod" in one and HOSTILE in one
    assert "from 0.2500 (forest <1>) to 1.0000 (machines)" in two
    assert set(SHOWS) == set(experiment.EXPERIMENTS)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    srgb = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_has_contrast_in_both_themes() -> None:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    themes = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in blocks]
    assert "prefers-color-scheme: dark" in CSS
    assert luminance(themes[0]["page"]) > 0.9 and luminance(themes[1]["page"]) < 0.02
    assert set(themes[0]) == set(themes[1])
    pairs = [(text, ground) for text in ("text", "quiet", "link") for ground in ("page", "panel")]
    pairs += [("text", "warning"), *((kind, f"{kind}-panel") for kind in ("good", "bad", "open", "unknown"))]
    for theme in themes:
        for text, ground in pairs:
            low, high = sorted(luminance(theme[name]) for name in (text, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


# -------------------------------------------------------------------------------------------- does it stand on its own?

def test_nothing_is_loaded_from_elsewhere(root: Element) -> None:
    for element in root.walk():
        assert element.tag not in ("script", "link", "iframe", "object", "base")
        assert not any(name.startswith("on") for name in element.attributes)
        assert element.attributes.get("src", "data:").startswith("data:")
        assert element.attributes.get("href", "#").startswith("#")
    assert "url(" not in CSS and "@import" not in CSS
    assert root.all("style")[0].text.strip() == CSS.strip()


def test_hostile_text_stays_text(root: Element, tmp_path: Path) -> None:
    contents = made_up()
    contents["experiments"]["fig2"]["rows"][0] |= {"what": '"><img src=x onerror=y>', "paper": HOSTILE}
    contents["claims"][0] |= {"claim": "</td></table>", "evidence": "<b>&lt;"}
    contents["data"]["name"] = contents["settings"]["data"] = "folder:</title><b>"
    contents["environment"]["system"] = "</section>"
    other = written(tmp_path, contents)
    assert [element.tag for element in other.all("section", "table", "img", "b")] == [
        element.tag for element in root.all("section", "table", "img", "b")]
    assert other.by_id("fig2").all("table")[0].cells()[1][:2] == ['"><img src=x onerror=y>', HOSTILE]
    assert other.by_id("claims").all("table")[0].cells()[1][1:4:2] == ["</td></table>see Figure 2", "<b>&lt;"]


def test_a_figure_of_several_versions_says_so(tmp_path: Path) -> None:
    versions = [{"commit": HOSTILE}, {"commit": "b"}, None]
    root = written(tmp_path, made_up(made_by={"fig1": [None], "fig2": versions}))
    told = [element.text for element in root.by_id("fig2").all("p") if "same versions" in element.text]
    assert told == ["The results behind this figure were not all made by the same versions: "
                    f"commit {HOSTILE}; commit b; unknown versions."]
    assert "same versions" not in root.by_id("fig1").text
