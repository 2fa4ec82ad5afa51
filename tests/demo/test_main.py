from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grus.demo import main
from grus.demo.model import Settings
from grus.errors import OptionError

if TYPE_CHECKING:
    from playwright.sync_api import Request

TINY = Settings(hidden=4, window=60, warm_up=52, steps=2, batch=2)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "report"
    assert main(str(out), quiet=True, settings=TINY) == 0
    return out / "index.html"


def test_main_says_how_it_scored_and_how_fast_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(str(tmp_path), settings=TINY)
    printed = capsys.readouterr().out
    for part in ("2284 weeks", "59 not measured", "seasonal naive + growth", "torch.nn.GRU", "× as fast", "index.html"):
        assert part in printed


def test_main_when_quiet_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(str(tmp_path), quiet=True, settings=TINY)
    assert capsys.readouterr().out == ""


def test_main_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OptionError, match="out must be a folder"):
        main(str(tmp_path / "taken"), quiet=True, settings=TINY)


def test_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)|url\(|@import|https?:', text)
    assert "nan" not in text
    assert text.count("<svg") == 4
    assert text.count('class="gap"') >= 20


def test_page_in_a_browser_is_silent_and_fits_a_phone(page: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed; apt-get install chromium to look at the page")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install playwright to look at the page")
    requests: list[str] = []
    complaints: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        view = browser.new_page(viewport={"width": 390, "height": 800})
        view.on("request", note)
        view.on("console", lambda message: complaints.append(message.text))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.goto(page.as_uri())
        width = view.evaluate("document.documentElement.scrollWidth")
        shown = view.locator("svg:visible").count()
        browser.close()
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert complaints == []
    assert width == 390
    assert shown == 2
