"""Outage: a lasting problem, logged once when it begins and once when it ends."""

import logging


class Outage:
    """One kind of problem, reported to `log`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._reported = ""

    def __bool__(self) -> bool:
        """Whether it has been reported and not resolved."""
        return bool(self._reported)

    def report(self, sentence: str, level: int = logging.WARNING) -> None:
        """Log the sentence, unless it is the one logged last."""
        if sentence != self._reported:
            self._log.log(level, sentence)
            self._reported = sentence

    def resolve(self, sentence: str) -> None:
        """Log the end of the problem, if it was reported."""
        if self._reported:
            self._log.info(sentence)
            self._reported = ""
