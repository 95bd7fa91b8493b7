"""Writing HTML: elements whose text is always escaped, and numbers as the report prints them.

`tag` nests: what it returns is `Html`, and only `Html` is taken as it is. Every other text, a class named
``<b>`` or a command with quotation marks, is escaped on its way in, so no caller can forget it.

    >>> print(tag("p", "fewer than 3 < 4 of ", tag("b", "R&D"), class_="quiet"))
    <p class="quiet">fewer than 3 &lt; 4 of <b>R&amp;D</b></p>
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

VOID = ("img", "meta")      # elements that have no end


class Html(str):
    """Text that is HTML already."""


def tag(name: str, /, *inside: Any, **attributes: Any) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
        The name of the element.
    inside : str or Html
        What it holds; other values than `Html` are written as escaped text.
    attributes : str, int or None
        An underline at the end is dropped and one within becomes a hyphen: ``class_``, ``aria_label``. None: left out.

    Examples
    --------
    >>> tag("td", 0.5, aria_label='say "half"', id=None)
    '<td aria-label="say &quot;half&quot;">0.5</td>'
    """
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
                    for key, value in attributes.items() if value is not None)
    end = "" if name in VOID else f"</{name}>"
    return Html(f"<{name}{words}>{join(inside)}{end}")


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Return parts after one another, those that are not `Html` escaped."""
    return Html(between.join(part if isinstance(part, Html) else escape(str(part)) for part in parts))


def hidden(text: str) -> Html:
    """Return text for screen readers only."""
    return tag("span", text, class_="hidden")


def none(why: str) -> Html:
    """Return a dash, and for those who cannot see that it is alone in its cell, why nothing is there."""
    return join([tag("span", "–", aria_hidden="true"), hidden(why)])


def scrolling(label: str, inside: Html, class_: str) -> Html:
    """Return what may be wider than the page: it scrolls on its own, also with the keyboard."""
    return tag("div", inside, class_=class_, tabindex=0, role="region", aria_label=label)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], quiet: str = "", of: str = "") -> Html:
    """Return a table whose first column names its rows.

    Parameters
    ----------
    caption : str
        What the table is.
    columns : sequence of str
        Headings. Of two columns the second may be long text; of more, all but the first are numbers or short words.
    rows : iterable of sequences
        Cells.
    quiet : str
        A remark after the caption.
    of : str
        What the table belongs to, for those who go from table to table without reading what is between.
    """
    head = tag("tr", *(tag("th", column, scope="col") for column in columns))
    body = join((tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
                 for first, *rest in rows), "\n")
    remark = join([" ", tag("span", quiet, class_="quiet")]) if quiet else ""
    label = f"{of}: {caption}" if of else caption
    return scrolling(label, tag("table", tag("caption", caption, remark), "\n", tag("thead", head), "\n",
                                tag("tbody", body)), "pairs" if len(columns) == 2 else "wide")


def number(value: float, whole: bool = False) -> str:
    """Return a number as the report prints it: four decimals as the paper, fewer for large ones.

    Parameters
    ----------
    value : float
        Finite.
    whole : bool
        It is a count, or the mean of counts.

    Examples
    --------
    >>> number(0.52631579), number(1.0), number(25000.0), number(2e-5), number(-0.5)
    ('0.5263', '1.0000', '25,000', '2e-05', '−0.5000')
    >>> number(4.0, whole=True), number(13 / 3, whole=True)
    ('4', '4.3')
    """
    if whole or abs(value) >= 10:
        text = f"{value:,.1f}".removesuffix(".0")
    elif 0 < abs(value) < 5e-4:
        text = f"{value:.1g}"
    else:
        text = f"{value:.4f}"
    return f"−{text[1:]}" if text.startswith("-") else text


def is_whole(row: Mapping[str, Any]) -> bool:
    """Return whether the values of a row are counts, and not shares that happen to be 0 or 1.

    Examples
    --------
    >>> is_whole({"paper": None, "ours": {"values": [1.0]}}), is_whole({"paper": 121, "ours": {"values": [1.0]}})
    (False, True)
    """
    values = row["ours"]["values"]
    return all(value == int(value) for value in values) and (isinstance(row["paper"], int) or max(values) > 1)


def difference(value: float, whole: bool = False) -> str:
    """Return a number with its sign.

    Examples
    --------
    >>> difference(0.01), difference(-3.0, whole=True), difference(0.0)
    ('+0.0100', '−3', '0.0000')
    """
    text = number(value, whole)
    return f"+{text}" if value > 0 else text
