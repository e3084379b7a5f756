"""The page of `azfuse stats --html`: whole, on its own, and safe to look at."""

import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from azfuse.cli.stats_page import page
from tests.unit.test_stats_view import figures, later

__all__ = ["figures"]
BROWSER = (
    shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("headless_shell")
)


class Reader(HTMLParser):
    """Collects the text, and the elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data + "\n"


def tags(reader: Reader) -> list[str]:
    return [tag for tag, _ in reader.elements]


def test_one_sample(figures):
    reader = Reader(page([figures]))
    for text in ("/mnt/share", "account/share", "1,234,567", "3.0 MiB", "PutRange", "mounted"):
        assert text in reader.text
    assert "polyline" not in tags(reader)


def test_charts_of_several_samples(figures):
    second = later(figures)
    third = later(second)
    reader = Reader(page([figures, second, third], refresh=2))
    lines = [attributes["points"] for tag, attributes in reader.elements if tag == "polyline"]
    assert len(lines) == 4
    assert "Sent each second: 1.0 MiB, at most 1.0 MiB" in reader.text
    assert ("meta", {"http-equiv": "refresh", "content": "2"}) in reader.elements


def test_nothing_comes_from_elsewhere_and_nothing_runs(figures):
    figures["mount"]["source"] = "https://a.file.core.windows.net/<script>alert(1)</script>"
    figures["writes"]["failing"][0]["path"] = "<img src=x onerror=alert(1)>"
    reader = Reader(page([figures]))
    assert not {"script", "img", "link", "iframe", "object"} & set(tags(reader))
    assert not any({"src", "href"} & set(attributes) for _, attributes in reader.elements)
    assert "<img src=x onerror=alert(1)>" in reader.text


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_it(figures, tmp_path):
    second = later(figures)
    (tmp_path / "page.html").write_text(page([figures, second, later(second)]))
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path}/profile", f"--screenshot={tmp_path}/page.png",
         "--dump-dom", f"file://{tmp_path}/page.html"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "ListDirectoriesAndFiles" in done.stdout
    assert "CONSOLE" not in done.stderr
