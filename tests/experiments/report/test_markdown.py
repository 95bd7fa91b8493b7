"""The report in Markdown: its tables, what it says of runs that cannot be compared, and names that would break it."""
from __future__ import annotations

from pathlib import Path

from experiments.report import markdown
from tests.experiments.report.pages import made_up


def test_numbers_stand_beside_the_papers() -> None:
    """0.55 - 0.5263 = 0.0237; 0.6 - 0.65526 = -0.0553; 24,000 - 25,000 = -1,000."""
    lines = markdown.render(made_up()).splitlines()
    for line in ("| what | paper | ours | std | seeds | ours − paper |", "|---|---|---|---|---|---|",
                 "| CNN1 itself | 0.5263 | 0.5500 | 0.0707 | 2 | +0.0237 |", "| forest <1> | | 0.2500 | | 1 | |",
                 "| machine | 0.65526 | 0.6000 | | 1 | −0.0553 |", "| machines | 0.6 or above | 1.0000 | | 1 | |",
                 "| training images | 25,000 | 24,000 | | 1 | −1,000 |"):
        assert line in lines, line


def test_claims_and_pictures_are_there_in_order() -> None:
    text = markdown.render(made_up())
    assert "| 1 | one beats & another | reproduced | +3 < 4 | 0.012 |" in text
    assert "| 3 | a lower share | not run | needs fig4 | |" in text
    assert text.index("The paper's claims") < text.index("](fig1.png)") < text.index("](fig2.png)")
    assert "Not comparable" not in text


MIXED = "The results behind this figure were not all made by the same versions: numpy 2.0; numpy 2.1."


def test_a_figure_of_several_versions_says_so() -> None:
    one, other = {"minicnn": "0.1", "numpy": "2.0"}, {"minicnn": "0.1", "numpy": "2.1"}
    text = markdown.render(made_up(made_by={"fig1": [one], "fig2": [one, other]}))
    assert text.count(MIXED) == 1 and text.index("](fig2.png)") < text.index(MIXED)
    assert "same versions" not in markdown.render(made_up())        # a results.json from before versions were recorded


def test_a_run_that_cannot_be_compared_says_so() -> None:
    contents = made_up(data={"name": "mnist:m", "classes": list("0123456789"), "fingerprint": "",
                             "images": {"training": 60, "validation": 1, "test": 10}})
    assert "**Not comparable with the paper.** The images are not the paper's" in markdown.render(contents)


def test_a_bar_or_a_new_line_does_not_break_a_table() -> None:
    assert markdown.table(("a", "b"), [("x|y", "1\n2")]).splitlines()[2] == r"| x\|y | 1 2 |"


def test_a_command_that_is_not_unicode_can_be_written(tmp_path: Path) -> None:
    path = markdown.write(tmp_path / "report.md", made_up(command="run --out \udcff"))
    assert r"run --out \udcff" in path.read_text(encoding="utf-8")
