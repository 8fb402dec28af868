"""Complaint: a problem that lasts, said once when it begins and once when it is over."""

import logging


class Outage:
    """One kind of problem. `log` is where it is said."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said = ""

    def __bool__(self) -> bool:
        """Whether it has been said and is not over."""
        return bool(self._said)

    def report(self, sentence: str, level: int = logging.WARNING) -> None:
        """Say it, unless that is what was said last."""
        if sentence != self._said:
            self._log.log(level, sentence)
            self._said = sentence

    def resolve(self, sentence: str) -> None:
        """Say the end of it, if it was said."""
        if self._said:
            self._log.info(sentence)
            self._said = ""
