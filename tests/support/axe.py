"""Axe: what axe-core finds wrong with a page for people who cannot see it, or use a mouse."""

import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

PACKAGE = "axe-core@4.10.3"  # pinned: a newer one has other rules
STILL = """() => document.getAnimations().every((each) =>
    each.playState !== "running" || each.effect.getComputedTiming().endTime === Infinity)"""
RUN = """async (part) => {
    const rules = { "label-content-name-mismatch": { enabled: true } };
    const exclude = [[".events li:nth-child(n+11)"]]; // the others are like the first
    const { violations } = await axe.run({ include: [[part]], exclude }, { rules });
    return violations.flatMap((rule) =>
        rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 120)}`));
}"""


@cache
def script() -> str:
    """axe-core, from npm: tests need "npm"."""
    with TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", PACKAGE]
        name = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(Path(folder) / name.stdout.split()[-1]) as packed:
            file = packed.extractfile("package/axe.min.js")
            assert file
            return file.read().decode()


def violations(page: Page, part: str = "html") -> list[str]:
    """Those in a `part`, a CSS selector, each as "rule: element"."""
    page.wait_for_function(STILL)  # a new row is pale at first
    page.evaluate(script())
    found: list[str] = page.evaluate(RUN, part)
    return found
