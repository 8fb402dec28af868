"""LivePart: a part of the page that is updated while people use it."""

from nicegui import ui


class LivePart(ui.html, component="live.js"):
    """An element whose content is HTML that markupsafe has escaped. The browser merges it into
    what it shows, and elements with the same data-key are the same. With `holds`, it stands still
    while the browser holds the list, unless `show` is called with another `version`."""

    def __init__(self, tag: str, holds: bool = False) -> None:
        super().__init__(tag=tag, sanitize=False)
        self._props["holds"] = holds
        self._props["version"] = ""

    def show(self, content: str, version: str) -> None:
        """`version` names what the viewer has asked for."""
        self._props["version"] = version
        self.content = content
