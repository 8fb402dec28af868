"""Hands: what tests do on the page as a person would, and what they look at."""

from typing import Any

from playwright.sync_api import Page

ROWS = ".events li button"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
# What a thumb would miss.
SMALL = """() => [...document.querySelectorAll("button, a[href], input, [role=combobox]")]
    .filter((each) => each.checkVisibility() && !each.closest("[aria-hidden=true]"))
    .map((each) => [each, (each.closest(".q-field__control") ?? each).getBoundingClientRect()])
    .filter(([each, box]) => box.width && (box.height < 43.5 || box.width < 43.5))
    .map(([each, box]) => `${each.className} ${box.width} x ${box.height} ${each.innerText}`)"""
HITS = '() => [...CSS.highlights.get("hit")].map(String)'
BOXES = """(selector) => [...document.querySelectorAll(selector)]
    .map((each) => each.getBoundingClientRect().toJSON())"""
# Whether the focus is in one of these.
FOCUS = "(selector) => !!document.activeElement.closest(selector)"
LIVE = 2_500  # milliseconds in which a live page is drawn again at least once


def boxes(page: Page, selector: str) -> list[dict[str, float]]:
    """Where all of `selector` are, in pixels, at one moment: a live page replaces its elements."""
    found: list[dict[str, float]] = page.evaluate(BOXES, selector)
    return found


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """With the keyboard alone, until something of it has the focus."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate(FOCUS, selector):
            return
    raise AssertionError(f"{selector} was not reached")
