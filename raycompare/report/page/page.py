"""The report as one HTML file with sortable, filterable tables and interactive figures.

The page needs no network. Text from users is never markup: of raw HTML, only the report's own
elements are kept, and the page's policy allows only its own two scripts.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import unbroken_values
from raycompare.report.drawing.figure import Place
from raycompare.report.drawing.plot import Plot
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.drawing.style import DARK, LIGHT, Theme
from raycompare.report.page.trials import explain_explorer, explorer

_fold = re.compile(r"<details>\n<summary>([^<>]*)</summary>\n?")
_unfold = re.compile(r"</details>\n?")
SECTION = "section-"
_section = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>')
_no_letters = re.compile(r"[^a-z0-9]+")


class AroundFigures(NamedTuple):
    """The report's Markdown around its figures."""

    first: str
    """Title, verdict and overview; the figure of the scores comes after it."""
    pairs: str
    """Leaderboard, warnings and pairs of models; the figure of the pairs comes after it."""
    before: str
    after: str


class _Shown(NamedTuple):
    title: str
    caption: str
    plot: Plot
    place: Place = "figures"


def page(comparison: Comparison, text: AroundFigures) -> str:
    """Return the page."""
    script = _file("page.js")
    figures = _shown(comparison)
    lead, pairs = _figures_at("verdict", figures), _figures_at("pairs", figures)
    before = f"{html(text.pairs)}{pairs}{html(text.before)}"
    shown, after = _headed(_figures_at("figures", figures)), html(text.after)
    return Template(_file("page.html")).substitute(
        title=escape(f"{comparison.experiment.name}: {comparison.manifest.run_id}"),
        policy=_policy(script, _plotly()),
        style=_colours() + _file("page.css"),
        first=html(text.first) + lead,
        contents=_contents(before + shown + after),
        before=before,
        figures=shown,
        after=after,
        data=_data(
            {
                "figures": {name: _to_json(figure.plot) for name, figure in figures.items()},
                "themes": {"light": _theme(LIGHT), "dark": _theme(DARK)},
            }
        ),
        plotly=_compress_plotly(),
        script=script,
    )


def html(markdown: str) -> str:
    """Render Markdown; of raw HTML, only the report's folds are kept, everything else is text."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.add_render_rule("html_inline", _as_text)
    parser.add_render_rule("html_block", _folds_only)
    parser.add_render_rule("table_open", _wide)
    parser.add_render_rule("table_close", _wide_end)
    tokens = parser.parse(markdown)
    _name_headings(tokens)
    _link_sections(tokens)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _as_text(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    return escape(tokens[index].content)


def _folds_only(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    content = tokens[index].content
    if _fold.fullmatch(content) or _unfold.fullmatch(content):
        return content
    return f"<p>{escape(content)}</p>\n"


def _wide(*_: object) -> str:
    return '<div class="wide"><table>\n'


def _wide_end(*_: object) -> str:
    return "</table></div>\n"


def _name_headings(tokens: Sequence[Token]) -> None:
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            name = _no_letters.sub("-", inside.content.lower()).strip("-")
            token.attrSet("id", f"{SECTION}{name}")  # can't be the id of a script


def _link_sections(tokens: Sequence[Token]) -> None:
    """Point links such as #warnings to the sections of the page."""
    links = (child for token in tokens for child in token.children or () if "href" in child.attrs)
    for link in links:
        href = str(link.attrs["href"])
        if href.startswith("#"):
            link.attrSet("href", f"#{SECTION}{href[1:]}")


def _shown(comparison: Comparison) -> dict[str, _Shown]:
    """Return the figures that have data keyed by name, the trial explorer first."""
    trials = explorer(comparison)
    shown = {}
    if trials.traces:
        shown["trial_explorer"] = _Shown("Trial explorer", explain_explorer(comparison), trials)
    for figure in shown_figures(comparison):
        shown[figure.name] = _Shown(
            figure.title, figure.page_caption(), figure.plot(), figure.place
        )
    return shown


def _to_json(plot: Plot) -> Any:
    """Return a plot as Plotly's JSON, checked by Plotly, with null for non-finite numbers."""
    import plotly.graph_objects as go

    return json.loads(go.Figure(plot.traces, plot.layout).to_json())


def _figures_at(place: Place, figures: Mapping[str, _Shown]) -> str:
    """Return the figures that belong to a place of the page."""
    own = (_figure(name, figure) for name, figure in figures.items() if figure.place == place)
    return "\n".join(own)


def _headed(figures: str) -> str:
    return f'<h2 id="section-figures">Figures</h2>\n{figures}' if figures else ""


def _contents(body: str) -> str:
    """Return links to the sections of the page."""
    links = [f'<li><a href="#{name}">{title}</a></li>' for name, title in _section.findall(body)]
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def _figure(name: str, figure: _Shown) -> str:
    title = figure.title
    level = "h2" if figure.place == "verdict" else "h3"
    return (
        f'<figure>\n<{level} id="figure-{name}">{title}</{level}>\n'
        f'<div class="wide"><div class="plot" role="group" aria-label="{title}" '
        f'data-figure="{name}"></div></div>\n'
        f"<figcaption>{html(unbroken_values(figure.caption))}</figcaption>\n</figure>"
    )


def _theme(theme: Theme) -> dict[str, Any]:
    return {
        "paper": theme.paper,
        "ink": theme.ink,
        "grid": theme.grid,
        "pale": DARK.grid if theme is DARK else "#cccccc",
        "colours": theme.colours,
    }


def _colours() -> str:
    """Return the colours of both themes as CSS variables; the reader's choice takes precedence."""
    light, dark = _variables(LIGHT), _variables(DARK)
    return (
        f":root {{ {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f':root[data-theme="light"] {{ {light} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n'
    )


def _variables(theme: Theme) -> str:
    scheme = "dark" if theme is DARK else "light"
    return (
        f"--paper: {theme.paper}; --ink: {theme.ink}; --grid: {theme.grid}; "
        f"--link: {theme.colours[0]}; color-scheme: {scheme};"
    )


def _data(content: Mapping[str, Any]) -> str:
    """Return JSON that can't close the element around it."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _policy(*scripts: str) -> str:
    """Return a policy that allows only these scripts; Plotly needs eval to compile shaders."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _compress_plotly() -> str:
    """Return Plotly's script compressed to 40 % of its size; the page unpacks it."""
    return base64.b64encode(gzip.compress(_plotly().encode(), mtime=0)).decode()


@cache
def _file(name: str) -> str:
    return files("raycompare.report.page").joinpath(name).read_text(encoding="utf-8")
