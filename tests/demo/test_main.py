from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from grus.demo import main
from grus.errors import OptionError
from tests.browser import chromium
from tests.demo.small import SMALL


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "report"
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        assert main(str(out), quiet=True, settings=SMALL) == 0
    assert said.getvalue() == ""
    return out / "index.html"


def test_main_says_how_it_scored_and_how_fast_it_was(tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    main(str(tmp_path), settings=SMALL)
    printed = capsys.readouterr().out
    for part in ("2284 weeks", "59 not measured", "drift", "MASE", "The 80% interval", "2002-12-28", "torch.nn.GRU", "× as fast", "index.html"):
        assert part in printed
    assert torch.get_num_threads() == threads
    # One seed gives one page, byte for byte.
    assert (tmp_path / "index.html").read_bytes() == page.read_bytes()


def test_main_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OptionError, match="out must be a folder"):
        main(str(tmp_path / "taken"), quiet=True, settings=SMALL)


def test_main_refuses_a_seed_below_0(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="seed must be"):
        main(str(tmp_path / "out"), seed=-1, quiet=True, settings=SMALL)


def test_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)|url\((?!#)|@import|https?:', text)
    assert not re.search(r"\b(nan|inf)\b", text)
    for part in (
        "The forecast",
        "Scores beside baselines",
        "Mauna Loa",
        "last value",
        "What the gates did",
        "missing targets: 59 of 2284 rows",
        "ppm",
        "MASE",
        "First training: loss by epoch",
        "Trained anew on the validation part as well, for 1 epoch:",
        "While GRU read Mauna Loa, ",
        "(best baseline)",
    ):
        assert part in text
    assert "There was no validation set" not in text


@pytest.mark.parametrize("width", [360, 1280])
def test_page_in_a_browser_is_silent_and_fits(page: Path, width: int) -> None:
    requests: list[str] = []
    complaints: list[str] = []

    def note(request: Any) -> None:
        requests.append(request.url)

    with chromium() as browser:
        view = browser.new_page(viewport={"width": width, "height": 800}, offline=True)
        view.on("request", note)
        view.on("console", lambda message: complaints.append(message.text))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.goto(page.as_uri())
        reached = view.evaluate("document.documentElement.scrollWidth")
        figures, shown = view.locator("figure").count(), view.locator("svg.chart:visible").count()
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert complaints == []
    assert reached == width
    assert shown == figures >= 10
