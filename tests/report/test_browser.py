"""The page in a real browser, at a phone's width and at a desk's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grus.report import write
from tests.browser import chromium
from tests.report.records import backtest, page

LONG = "a_series_with_a_very_long_name_and_no_space_in_it_at_all_0123456789"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = backtest((EVIL, LONG), windows=10)
    forecasts = {LONG if name == "last value" else name: rows for name, rows in record.forecasts.items()}
    sure = {level: rows + (level - 0.5) for level, rows in record.quantiles.items()}
    record = dataclasses.replace(record, forecasts=forecasts, baseline_quantiles={LONG: sure})
    return write(page(record, title=EVIL), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


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


@pytest.mark.parametrize("width", [360, 390, 600, 1280])
def test_table_wider_than_its_box_scrolls_with_a_hint(browser: Any, path: Path, width: int) -> None:
    view = View(browser, path, width)
    view.run("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    boxes = view.run(
        """[...document.querySelectorAll('.box')].map(box => {
            const inner = box.querySelector('.scroll');
            return [inner.scrollWidth > inner.clientWidth, box.querySelector('.hint').getBoundingClientRect().height > 15];
        })"""
    )
    assert [True, True] in boxes
    assert [True, False] not in boxes
    view.page.close()


def test_every_table_is_reached_and_scrolled_by_keyboard(browser: Any, path: Path) -> None:
    view = View(browser, path, 390)
    view.run("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    count = view.page.locator(".scroll").count()
    focused = "[...document.querySelectorAll('.scroll')].indexOf(document.activeElement)"
    reached: set[int] = set()
    for _ in range(2 * count + view.page.locator("nav a").count() + 10):
        view.page.keyboard.press("Tab")
        reached.add(view.run(focused))
    assert reached - {-1} == set(range(count))
    wide = view.page.locator(".scroll").first
    wide.focus()
    view.page.keyboard.press("ArrowRight")
    # Not wait_for_function: where it must look twice it evaluates text, which the page's own policy forbids.
    view.run(
        """new Promise(done => {
            const look = () => document.querySelector('.scroll').scrollLeft > 0 ? done() : requestAnimationFrame(look);
            look();
        })"""
    )
    # The names of the rows stay where they are.
    assert view.run("document.querySelector('.scroll td').getBoundingClientRect().left") == wide.bounding_box()["x"]
    assert view.run("document.querySelectorAll('.scroll:not([aria-label])').length") == 0
    view.page.close()


# Colours over all that lies below them, as the contrast of WCAG 2.2: text 4.5, lines that carry meaning 3.
CONTRASTS = r"""(() => {
    const part = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = rgb => 0.2126 * part(rgb[0] / 255) + 0.7152 * part(rgb[1] / 255) + 0.0722 * part(rgb[2] / 255);
    const read = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
    const over = ([r, g, b, a], base) => [r, g, b].map((value, k) => a * value + (1 - a) * base[k]);
    const below = place => {
        const base = place.parentElement ? below(place.parentElement) : [255, 255, 255];
        return over(read(getComputedStyle(place).backgroundColor), base);
    };
    const ratio = (colour, place) => {
        const base = below(place), [dark, bright] = [light(over(read(colour), base)), light(base)].sort((p, q) => p - q);
        return (bright + 0.05) / (dark + 0.05);
    };
    const said = [...document.querySelectorAll('main *')].filter(place => [...place.childNodes].some(node => node.nodeType == 3 && node.data.trim()));
    const text = said.filter(place => place.checkVisibility() && place.tagName != 'title' && !place.closest('title'));
    const lines = [...document.querySelectorAll('svg path:not(.grid):not(.interval):not(.inner)')].filter(place => place.checkVisibility());
    const ground = place => place.closest('svg')?.parentElement ?? place;
    const worst = (places, colour) => Math.min(...places.map(place => ratio(getComputedStyle(place)[colour], ground(place))));
    return [text.length, lines.length, worst(text.filter(place => !place.closest('svg')), 'color'),
        worst(text.filter(place => place.closest('svg')), 'fill'), worst(lines, 'stroke')];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out(browser: Any, path: Path, scheme: str) -> None:
    view = View(browser, path, 1280, scheme)
    texts, lines, text, letters, stroke = view.run(CONTRASTS)
    assert texts > 200
    assert lines > 50
    assert text >= 4.5
    assert letters >= 4.5
    assert stroke >= 3
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


@pytest.mark.parametrize("width", [360, 1280])
def test_contents_lead_to_every_section(browser: Any, path: Path, width: int) -> None:
    view = View(browser, path, width)
    links = view.page.locator("nav a")
    headings = view.page.locator("h2").all_inner_texts()
    assert links.all_inner_texts() == headings
    for place, heading in enumerate(headings):
        assert links.nth(place).bounding_box()["height"] >= 24  # a thumb's
        links.nth(place).click()
        assert view.run("document.querySelector(':target h2').innerText") == heading
    assert view.run("scrollY") > 1000
    view.page.close()


@pytest.mark.parametrize(("width", "kind"), [(360, "narrow"), (1280, "wide")])
def test_every_grey_line_is_named_at_its_end(browser: Any, path: Path, width: int, kind: str) -> None:
    view = View(browser, path, width)
    chart = view.page.locator(f"#error-by-horizon svg.{kind}").first
    names = chart.locator("text:not([class])").all_text_contents()
    assert len(names) == chart.locator("path.other").count() == 1
    assert LONG.startswith(names[0].removesuffix("…"))
    assert chart.locator("path.other title").text_content() == LONG
    view.page.close()


def test_gates_stand_exactly_under_their_input(browser: Any, path: Path) -> None:
    view = View(browser, path, 1280)
    lefts = view.run(
        """[...document.querySelectorAll('section')].find(part => part.innerText.includes('What the gates did'))
        .querySelectorAll('svg.wide path.tick[d*=H], svg.wide image').values().map(mark => Math.round(mark.getBoundingClientRect().left)).toArray()"""
    )
    assert len(lefts) == 7
    assert len(set(lefts)) == 1
    view.page.close()
