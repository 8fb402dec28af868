"""Rebuild: the lists and counts of the events at the end of logs.txt."""

import time

from logpipeline.archive.archive import ArchiveTail
from logpipeline.events.event import InvalidRecord, parse
from logpipeline.recent import minutes
from logpipeline.recent.backlog import NOWHERE, News
from logpipeline.supervision import Supervision


def rebuilt(tail: ArchiveTail, cap: int, supervision: Supervision) -> News:
    """The events of `tail`, to replace lists of at most `cap` lines."""
    news = News(cap)
    counted = minutes.counted(time.time())
    for line in tail.lines:
        try:
            event = parse(line)
        except InvalidRecord:
            continue
        except Exception as error:  # noqa: BLE001 - one line must not keep the others away
            supervision.note("redis", error)
            continue
        news.add_lines([(event.level, line)])
        minute = int(event.timestamp // 60)
        news.counts[minute if minute in counted else minutes.OTHER, event.level] += 1
    news.spans = {partition: [NOWHERE, place.offset] for partition, place in tail.places.items()}
    news.epochs = {partition: place.epoch for partition, place in tail.places.items()}
    return news
