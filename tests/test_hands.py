"""The page under a person's fingers while events arrive: keyboard, mouse, what it says."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support import axe
from tests.support.browser import Tab
from tests.support.hands import LIVE, ROWS, boxes
from tests.support.holding import Holding, event
from tests.support.process import ROOT

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.server, pytest.mark.xdist_group("hands")]

# By how many pixels the words in the empty search are wider than it.
CUT = """() => {
    const input = document.querySelector(".search input");
    const measure = document.createElement("canvas").getContext("2d");
    measure.font = getComputedStyle(input).font;
    return measure.measureText(input.placeholder).width - input.clientWidth;
}"""


def test_a_pointer_that_rests_on_the_list_does_not_hold_it_for_ever(
    tab: Tab, holding: Holding
) -> None:
    holding.add(event(message="before"))
    page = tab.open()
    page.locator(ROWS).first.hover()
    expect(page.locator(".status")).to_have_text("Paused")
    holding.add(event(message="after"))
    expect(page.locator(".events .message").first).to_have_text("after")
    expect(page.locator(".status")).to_have_text("Live")


def test_an_empty_list_is_not_paused(tab: Tab, holding: Holding) -> None:
    holding.add(event(message="something else"))
    page = tab.open("/?q=needle")
    expect(page.locator(".note")).to_contain_text("None of the 1 events in Redis match")
    page.keyboard.press("p")
    page.wait_for_timeout(LIVE)
    holding.add(event(message="a needle"))
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".status")).to_have_text("Live")


def test_what_the_search_asks_for_is_not_cut(tab: Tab, holding: Holding) -> None:
    holding.add(event(service="payments"))
    for source, words in (("newest", "Search Redis"), ("all", "Search the archive")):
        page = tab.open(f"/?service=payments&in={source}")
        expect(page.locator(".counted")).to_contain_text(
            "services" if source == "newest" else "found"
        )
        expect(page.get_by_label(words)).to_have_value("")
        for width in (360, 390, 700, 861, 1024, 1101, 1280, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(CUT) <= 0, f"{words}, {width} px"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


def test_text_in_a_row_is_selected_without_opening_it(tab: Tab, holding: Holding) -> None:
    holding.add(event(message="order 4711 was declined by the bank"))
    page = tab.open()
    expect(page.locator(ROWS)).to_contain_text("order 4711")
    box = boxes(page, ".events .message")[0]
    page.mouse.move(box["x"] + 2, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 8, steps=5)
    page.mouse.up()
    assert page.evaluate("getSelection().toString()").startswith("order 4711")
    page.wait_for_timeout(LIVE)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_chart_and_chips_say_what_they_count(tab: Tab, holding: Holding) -> None:
    holding.add(event(service="auth"), event("ERROR", "declined", service="payments"))
    page = tab.open()
    chip = page.get_by_role("button", name=re.compile("^ERROR "))
    expect(chip).to_have_attribute("title", "1 event in the last hour")
    expect(page.locator(".counted")).to_have_text("per hour")
    page.get_by_label("Search").fill("nowhere")
    expect(page.locator(".chart h2")).to_have_text("Events per minute, all services and words")
    expect(page.locator(".counted")).to_have_text("per hour, all services and words")
    page.get_by_role("button", name="Last day").click()
    expect(chip).to_have_attribute("title", "1 event in the last day of all services and words")


def test_long_names_are_whole_in_the_dialog_and_the_panel_filters_by_them(
    tab: Tab, holding: Holding
) -> None:
    name = "a-very-long-service-name-" * 5 + "end"
    holding.add(event("ERROR", service=name), event("ERROR", service=name[:-3] + "other"))
    page = tab.open()
    page.locator(".failing button").filter(has_text=f"{name}:").click()
    expect(page.locator(ROWS)).to_have_count(1)
    page.locator(ROWS).click()
    expect(page.get_by_role("dialog").locator("td").filter(has_text=name)).to_be_visible()


def test_tile_panel_and_alerts_speak_of_one_span(tab: Tab, holding: Holding) -> None:
    holding.add(*[event("ERROR", service="payments")] * 3, *[event()] * 97)
    holding.alert("error-share", "", "16.3% of about 100 events in 60 s are ERROR or CRITICAL")
    page = tab.open()
    errors = page.locator(".tile").filter(has_text="Errors")
    expect(errors).to_contain_text("of the last 60 s")
    expect(errors).to_have_class(re.compile("bad"))
    expect(page.locator(".failing h2")).to_have_text("Errors by service, last 60 s")


def test_what_is_cut_says_so(tab: Tab, holding: Holding) -> None:
    holding.add(event())
    for number in range(20):
        holding.alert(f"rule-{number % 2}", "payments", "many errors " * 20)
    page = tab.open()
    expect(page.locator(".alerts")).to_contain_text("and 8 more")


@pytest.mark.needs("npm")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_on_the_page(tab: Tab, holding: Holding, scheme: str) -> None:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    holding.add(*[event(level, service="payments", n=1) for level in levels] * 20)
    holding.tell(lag=12, broken_JSON=2)
    for number in range(14):
        holding.alert(f"rule-{number % 2}", "payments", "14 times its usual errors")
    page = tab.open(color_scheme=scheme)
    expect(page.locator(ROWS)).to_have_count(100)
    assert axe.violations(page) == []
    page.locator(ROWS).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe.violations(page, "[role=dialog]") == []  # it dims what is behind it


@pytest.mark.needs("npm")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_in_the_report(browser: Browser, tmp_path: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(report(tmp_path, *("s" * number for number in range(100))))
    assert axe.violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_nothing_in_the_report_is_cut_or_wrapped_within_a_word(
    browser: Browser, tmp_path: Path
) -> None:
    services = ("notifications", "inventory", "checkout", "payments", "frontend", "a" * 100)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(report(tmp_path, *services * 8))
    edge = "(svg) => svg.getBoundingClientRect().right"
    for plot in page.locator("svg").all():
        last = plot.locator("text").last.evaluate(edge)
        assert last <= plot.evaluate(edge) + 1
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for name in page.locator(".name").all():
            if len(name.inner_text()) < 20:
                assert name.evaluate(LINES) == 1
        for table in page.locator(".scroll:has(table:not(.heat))").all():
            assert table.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    page.context.close()


LINES = """(cell) => {
    const range = new Range();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map((box) => box.top)).size;
}"""


def report(folder: Path, *services: str) -> str:
    """The address of a report in which each has more errors than the one before. It ends shortly
    after a full hour, whose label is beside the edge."""
    last = datetime(2026, 11, 23, 21, 5, tzinfo=UTC).timestamp()
    lines = [
        {"level": level, "message": f"order {n} lost", "timestamp": last - 600 * n, "service": name}
        for n, name in enumerate(services)
        for level in ["ERROR"] * n + ["INFO", "CRITICAL"]
    ]
    (folder / "logs.txt").write_text("".join(json.dumps(each) + "\n" for each in lines))
    command = [sys.executable, "-m", "logpipeline.report", "--day", "2026-11-23"]
    environment = {"PYTHONPATH": str(ROOT), "TZ": "UTC"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return f"file://{folder}/report-2026-11-23.html"
