"""The page in a real browser, at a phone's width and at a desk's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grus.report import write
from tests.report.records import backtest, page

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LONG = "a_series_with_a_very_long_name_and_no_space_in_it_at_all_0123456789"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = backtest((EVIL, LONG), windows=10)
    record.forecasts[LONG] = record.forecasts.pop("last value")
    return write(page(record, title=EVIL), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed; apt-get install chromium to look at the page")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install playwright to look at the page")
    with api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


class View:
    """A page opened at a width and in a colour scheme, with all that it asked for, said or popped up."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str = "light") -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_silent_and_asks_for_nothing(browser: Any, path: Path, width: int) -> None:
    view = View(browser, path, width)
    assert [url for url in view.requests if not url.startswith("data:")] == [path.as_uri()]
    assert view.complaints == []
    assert view.page.title() == EVIL
    view.page.close()


@pytest.mark.parametrize("width", [360, 600, 1280])
def test_page_fits_its_width_with_all_numbers_open(browser: Any, path: Path, width: int) -> None:
    view = View(browser, path, width)
    view.run("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    assert view.run("document.documentElement.scrollWidth") == width
    view.page.close()


@pytest.mark.parametrize(("width", "shown", "hidden"), [(360, "narrow", "wide"), (700, "narrow", "wide"), (1280, "wide", "narrow")])
def test_each_chart_is_seen_once_with_legible_letters(browser: Any, path: Path, width: int, shown: str, hidden: str) -> None:
    view = View(browser, path, width)
    figures = view.page.locator("figure").count()
    assert view.page.locator(f"svg.{shown}:visible").count() == figures
    assert view.page.locator(f"svg.{hidden}:visible").count() == 0
    # A text's height on screen, in CSS pixels; 12 px letters have boxes of 13 to 15.
    heights = view.run(f"[...document.querySelectorAll('svg.{shown} text')].map(text => text.getBoundingClientRect().height)")
    assert 11 < min(heights) <= max(heights) < 24
    view.page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_no_label_is_cut_off_and_none_lie_on_each_other(browser: Any, path: Path, width: int) -> None:
    view = View(browser, path, width)
    cut = view.run(
        """[...document.querySelectorAll('svg.chart text')].filter(text => {
            const box = text.getBoundingClientRect(), frame = text.closest('svg').getBoundingClientRect();
            return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
        }).map(text => text.textContent)"""
    )
    assert cut == []
    touching = view.run(
        """[...document.querySelectorAll('svg.chart')].flatMap(chart => {
            const boxes = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
            const meet = (p, q) => p.width && q.width && p.left < q.right && q.left < p.right && p.top + 4 < q.bottom && q.top + 4 < p.bottom;
            return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) => meet(p, q)).map(([b]) => a + ' on ' + b));
        })"""
    )
    assert touching == []
    view.page.close()


def test_dark_mode_turns_page_and_charts_dark(browser: Any, path: Path) -> None:
    looks: dict[str, tuple[str, str]] = {}
    for scheme in ("light", "dark"):
        view = View(browser, path, 1280, scheme)
        looks[scheme] = (
            view.run("getComputedStyle(document.body).backgroundColor"),
            view.run("getComputedStyle(document.querySelector('svg path.truth')).stroke"),
        )
        view.page.close()
    brightness = {scheme: [sum(int(part) for part in colour[4:-1].split(",")) for colour in pair] for scheme, pair in looks.items()}
    assert brightness["light"][0] > 700 > 200 > brightness["dark"][0]
    assert brightness["light"][1] < 200 < 600 < brightness["dark"][1]


def test_gates_stand_exactly_under_their_input(browser: Any, path: Path) -> None:
    view = View(browser, path, 1280)
    lefts = view.run(
        """[...document.querySelectorAll('section')].find(part => part.innerText.includes('What the gates did'))
        .querySelectorAll('svg.wide path.tick[d*=H], svg.wide image').values().map(mark => Math.round(mark.getBoundingClientRect().left)).toArray()"""
    )
    assert len(lefts) == 7
    assert len(set(lefts)) == 1
    view.page.close()
