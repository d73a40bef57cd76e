"""The HTML page: what is in it, that nothing of a user's is markup, and that a browser runs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from raycompare.experiment.spec import TF_IDF
from raycompare.report.page.page import html, page
from raycompare.report.page.trials import explorer
from raycompare.report.write import around_figures, write_report
from tests import runs

ATTACK = "<script>document.title='taken'</script>"
MARKUP = '<img src=x onerror="document.title=1">'
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
HARMLESS = "GL Driver Message"
"""What Chromium says of drawing without a GPU."""


def page_of(run: runs.Run) -> str:
    comparison = run.compare()
    return page(comparison, around_figures(comparison))


@pytest.fixture(scope="module")
def typical() -> str:
    run = runs.typical()
    run.baseline(0.76)
    return page_of(run)


def hostile() -> runs.Run:
    run = runs.empty(ATTACK, MARKUP)
    run.manifest.data["labels"] = [ATTACK, MARKUP, "</script>", "<details>"]
    run.tune(ATTACK, 0.8, 0.82)
    run.tune(MARKUP, 0.7, 0.72)
    run.fail(MARKUP, "tune", f"ValueError: {ATTACK} | </details> [x](javascript:alert(1))")
    run.confirm(ATTACK, [0.8, 0.81, 0.82])
    run.confirm(MARKUP, [0.7, 0.71, 0.72])
    run.measure(ATTACK, 12.0)
    run.measure(MARKUP, 6.0)
    return run


class Elements(HTMLParser):
    """Collects the elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def content(text: str) -> dict[str, Any]:
    (data,) = re.findall(r'id="page-data">(.*?)</script>', text, re.DOTALL)
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_page_has_the_tables_and_figures_of_the_report(typical: str) -> None:
    assert {"Leaderboard", "Pairs of models", "All trials", "Reproduce"} <= set(
        re.findall(r"<h2[^>]*>([^<]*)</h2>", typical)
    )
    report = runs.typical_report()
    assert typical.count("<table>") == len(re.findall(r"^\| :---", report, re.MULTILINE))
    assert f">{TF_IDF}</td>" in typical
    assert set(content(typical)["figures"]) == {
        "scores",
        "trial_explorer",
        "learning_curves",
        "best_so_far",
        "expected_best",
        "wall_clock",
        "pareto",
        "confusion",
    }


def test_the_page_asks_the_network_for_nothing(typical: str) -> None:
    for tag, attributes in Elements(typical).found:
        assert "src" not in attributes, tag
        assert tag not in ("link", "iframe", "object", "embed", "img"), tag
    assert "default-src 'none'" in typical


def test_the_page_is_the_same_for_the_same_records(tmp_path: Path) -> None:
    folder = runs.typical().write(tmp_path)
    write_report(folder)
    first = folder.read_bytes("report.html")
    write_report(folder)
    assert folder.read_bytes("report.html") == first


def test_the_page_is_less_than_half_of_plotly(typical: str) -> None:
    assert len(typical) < 2.5e6


def test_the_page_says_its_language_title_and_headings_in_order(typical: str) -> None:
    elements = Elements(typical)
    assert elements.attributes("html") == [{"lang": "en"}]
    assert "<title>ag-news: 20260102-030405-abc123</title>" in typical
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(figure["aria-label"] for figure in elements.attributes("div") if "role" in figure)


def test_no_name_or_error_is_markup() -> None:
    text = page_of(hostile())
    elements = Elements(text)
    assert elements.attributes("img") == []
    assert len(elements.attributes("script")) == 3
    assert len(elements.attributes("details")) == text.count("</details>")
    assert not any(str(a.get("href")).startswith("javascript") for a in elements.attributes("a"))
    assert "&lt;script&gt;" in text
    figures = content(text)["figures"]
    for trace in figures["trial_explorer"]["data"]:
        trace.pop("customdata")  # names the trials of the table, and is never shown
    assert "<script" not in json.dumps(figures)
    assert "&lt;script&gt;" in json.dumps(figures)


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        (
            "<details>\n<summary>3 trials</summary>\n\nx\n\n</details>",
            "<summary>3 trials</summary>",
        ),
        ("<details onclick=x>\n<summary>3</summary>\n\nx", "&lt;details onclick=x&gt;"),
        ("<details>\n<summary><b>3</b></summary>\n\nx", "&lt;b&gt;3&lt;/b&gt;"),
        ("a <b onmouseover=x>b</b>", "&lt;b onmouseover=x&gt;"),
        ("<script>x</script>", "&lt;script&gt;"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
    ],
)
def test_of_raw_html_only_folds_are_kept(markdown: str, shown: str) -> None:
    assert shown in html(markdown)


def test_a_run_without_an_evaluation_has_a_page_without_figures() -> None:
    run = runs.empty("a")
    run.fail("a", "tune", "ValueError: no")
    text = page_of(run)
    assert content(text)["figures"] == {}
    assert "Trial explorer" not in text


def test_a_value_that_is_no_number_is_null_in_the_page() -> None:
    run = runs.empty("a")
    run.tune("a", 0.5, float("nan"))
    assert "NaN" not in json.dumps(content(page_of(run)))


def test_each_line_of_the_explorer_is_a_trial_of_the_tune_stage() -> None:
    run = runs.typical()
    (lines,) = explorer(run.compare()).traces
    evaluated = [t for t in run.trials if t.stage == "tune" and t.best_value is not None]
    assert sorted(lines["customdata"]) == sorted(trial.trial_id for trial in evaluated)
    assert [axis["label"] for axis in lines["dimensions"]] == [
        "model",
        "learning_rate",
        "warmup_steps",
        "steps",
        "minutes",
        "validation MCC",
    ]
    rates = next(axis for axis in lines["dimensions"] if axis["label"] == "learning_rate")
    default = next(t.trial_id for t in run.trials if t.is_default)
    assert rates["values"][lines["customdata"].index(default)] == pytest.approx(5e-5)


def test_a_trial_without_a_value_stands_under_the_axis() -> None:
    (lines,) = explorer(runs.typical().compare()).traces
    steps = next(axis for axis in lines["dimensions"] if axis["label"] == "warmup_steps")
    assert min(steps["values"]) < 0
    assert steps["ticktext"][0] == "not set"
    assert steps["range"][0] == min(steps["values"])


def test_a_wide_range_has_powers_of_ten() -> None:
    run = runs.empty("a")
    run.tune("a", 0.5)
    for number, rate in enumerate((1e-6, 1e-4, 1e-2)):
        run.tune("a", 0.5 + 0.1 * number)
        trial = run.trials[-1]
        run.trials[-1] = runs.replace(trial, hyperparameters=json.dumps({"learning_rate": rate}))
    (lines,) = explorer(run.compare()).traces
    rates = next(axis for axis in lines["dimensions"] if axis["label"] == "learning_rate")
    assert sorted(rates["values"])[::3] == pytest.approx([-6, -2])
    assert rates["ticktext"][0] == "1e-06"


def browse(path: Path, *options: str) -> tuple[str, list[str]]:
    """Open a page; return its DOM when scripts are done, and what the console said."""
    command = [
        str(BROWSER),
        *("--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"),
        *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=30000"),
        f"--user-data-dir={path.parent / 'profile'}",
        *(*options, "--dump-dom", path.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, [line for line in said if HARMLESS not in line]


def scripted(text: str, script: str) -> str:
    """Add a script to a page that allows none but its own, to be run when these are done."""
    waiting = (
        "const wait = setInterval(() => {"
        "if (document.documentElement.dataset.ready !== 'yes') return;"
        f"clearInterval(wait); {script}; document.documentElement.dataset.tested = 'yes'}}, 50);"
    )
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    return open_page.replace("</body>", f"<script>{waiting}</script></body>")


@needs_browser
@pytest.mark.timeout(120)
def test_a_browser_draws_every_figure_and_has_nothing_to_complain_of(
    typical: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(typical, encoding="utf-8")
    dom, said = browse(path)
    assert said == []
    assert 'data-ready="yes"' in dom
    assert dom.count("main-svg") >= len(content(typical)["figures"])
    assert 'data-title="Share chart' not in dom
    assert dom.count('scope="col"') == dom.count("<th ") > 50


@needs_browser
@pytest.mark.timeout(120)
def test_names_of_users_are_text_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of(hostile()), encoding="utf-8")
    dom, said = browse(path)
    assert said == []
    assert "<title>ag-news: 20260102-030405-abc123</title>" in dom
    assert 'src="x"' not in dom


@needs_browser
@pytest.mark.timeout(120)
def test_a_narrow_page_scrolls_down_only_and_shortens_long_names(tmp_path: Path) -> None:
    run = runs.many(9)
    path = tmp_path / "report.html"
    script = """
    const root = document.documentElement;
    root.dataset.width = `${root.clientWidth} ${root.scrollWidth}`;
    const plot = document.querySelector('[data-figure="scores"]');
    const lengths = plot.layout.yaxis.ticktext.map((name) => name.length);
    root.dataset.longest = Math.max(...lengths)"""
    path.write_text(scripted(page_of(run), script), encoding="utf-8")
    dom, said = browse(path, "--window-size=500,900")
    assert said == []
    width, scrolled = re.findall(r'data-width="(\d+) (\d+)"', dom)[0]
    assert int(width) < 700
    assert scrolled == width
    assert 'data-longest="24"' in dom


def table_after(dom: str, heading: str) -> list[list[str]]:
    body = dom.split(f">{heading}</h2>")[1].split("<tbody>")[1].partition("</tbody>")[0]
    rows = re.findall(r"<tr([^>]*)>(.*?)</tr>", body, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for mark, row in rows if "hidden" not in mark]


HEAD = """
const heading = [...document.querySelectorAll('h2')].find((h) => h.textContent === '{heading}');
let place = heading.nextElementSibling;
while (!place.querySelector('table')) place = place.nextElementSibling;
const table = place.querySelector('table');
const head = (name) =>
  [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name).querySelector('button');
"""


@needs_browser
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("clicks", "models"),
    [
        (["training"], [TF_IDF, "minilm-2", "minilm-3", "bert|tiny", "majority class (Sports)"]),
        (
            ["training"] * 2,
            ["bert|tiny", "minilm-3", "minilm-2", TF_IDF, "majority class (Sports)"],
        ),
        (
            ["training"] * 3,
            ["minilm-3", "minilm-2", TF_IDF, "bert|tiny", "majority class (Sports)"],
        ),
    ],
)
def test_a_click_on_a_heading_sorts_by_time_up_down_and_back(
    clicks: list[str], models: list[str], typical: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    script = HEAD.replace("{heading}", "Leaderboard") + "".join(
        f"head('{name}').click();" for name in clicks
    )
    path.write_text(scripted(typical, script), encoding="utf-8")
    dom, said = browse(path)
    assert said == []
    assert 'data-tested="yes"' in dom
    assert [row[1] for row in table_after(dom, "Leaderboard")] == models


@needs_browser
@pytest.mark.timeout(120)
def test_words_and_the_explorer_filter_the_trials(typical: str, tmp_path: Path) -> None:
    script = """
    const explorer = document.querySelector('[data-figure="trial_explorer"]');
    Plotly.restyle(explorer, {'dimensions[5].constraintrange': [[0.8, 0.86]]}).then(() => {
      const box = [...document.querySelectorAll('.filter input')].at(-1);
      box.value = 'minilm-3'; box.dispatchEvent(new Event('input'));
    })"""
    path = tmp_path / "report.html"
    path.write_text(scripted(typical, script), encoding="utf-8")
    dom, said = browse(path)
    assert said == []
    best = {
        trial.trial_id
        for trial in runs.typical().trials
        if trial.stage == "tune" and trial.best_value and trial.best_value >= 0.8
    }
    shown = {row[2] for row in table_after(dom, "All trials")}
    assert shown == {name for name in best if name.startswith("minilm-3")}
    assert shown
