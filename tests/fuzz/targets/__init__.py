"""Targets: all of them."""

from tests.fuzz.targets import cache, events, files, http, letters, logs, page, people, settings

TARGETS = (
    *events.TARGETS,
    *logs.TARGETS,
    *page.TARGETS,
    *people.TARGETS,
    *letters.TARGETS,
    *files.TARGETS,
    *settings.TARGETS,
    *cache.TARGETS,
    *http.TARGETS,
)
