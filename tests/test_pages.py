"""The pages in Markdown name files that exist, and keep a reader's first code on the first screen."""
from __future__ import annotations

import re

import pytest

from tests.processes import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r'\]\(([^)#]+)[^)]*\)|src="([^"]+)"')
NAMED = re.compile(r"`((?:minicnn|classifiers|experiments|benchmarks|tests|docs)/[\w/.-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    links = {link or image for link, image in LINK.findall(text)}
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing + [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []


def test_the_readers_first_code_is_on_the_first_screen():
    """A picture shows beside about 20 lines of text on a screen; the ten lines of code begin within 40."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").split("\n")
    assert lines.index("import minicnn") < 40
