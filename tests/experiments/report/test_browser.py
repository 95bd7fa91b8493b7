"""The report in a real browser, where one is installed: pictures load, nothing is missing, nothing is too wide."""
from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from experiments.report import html
from tests.experiments.report.pages import made_up, picture

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (375, 1280)    # pixels, of a phone and of a desktop
LOOK = """
addEventListener("load", () => {
  const look = (frame) => {
    const page = frame.contentDocument;
    return {
      width: page.documentElement.scrollWidth,
      pictures: [...page.images].map((image) => image.naturalWidth),
      rows: [...page.querySelectorAll("figure + .wide tbody tr")].map((row) => row.cells[0].textContent),
      claims: page.querySelectorAll(".claims tbody tr").length,
      background: getComputedStyle(page.body).backgroundColor,
    };
  };
  document.getElementById("found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
});
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome is installed")


def looked_at(html: str, folder: Path, dark: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what a browser makes of a page at each width, and what it says on its console.

    A window cannot be as narrow as a phone, but a frame within one can.
    """
    frames = "".join(f'<iframe width="{width}" height="800" style="border: 0" srcdoc="{escape(html)}"></iframe>'
                     for width in WIDTHS)
    outer = folder / "outer.html"
    outer.write_text(f'<!DOCTYPE html><meta charset="utf-8">{frames}<pre id="found"></pre><script>{LOOK}</script>',
                     encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
         "--dump-dom", outer.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout)
    return json.loads(unescape(found)), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("dark, background", [(False, "rgb(255, 255, 255)"), (True, "rgb(18, 22, 27)")])
def test_a_browser_shows_everything(tmp_path: Path, dark: bool, background: str) -> None:
    contents = made_up(command="python -m experiments run " + "fig1 " * 50)
    contents["experiments"]["fig2"]["rows"] += [{**contents["experiments"]["fig2"]["rows"][0], "what": f"row {i}"}
                                                for i in range(100)]
    image = picture(tmp_path, width=1100, height=400)
    path = html.write(tmp_path / "report.html", contents, {"fig1": image, "fig2": image})
    looks, console = looked_at(path.read_text(encoding="utf-8"), tmp_path, dark)
    assert not console
    assert len(looks) == len(WIDTHS)
    for look, width in zip(looks, WIDTHS):
        assert look["width"] <= width
        assert look["pictures"] == [1100, 1100]
        assert look["rows"] == [row["what"] for values in contents["experiments"].values() for row in values["rows"]]
        assert look["claims"] == len(contents["claims"])
        assert look["background"] == background
