#!/usr/bin/env python3
"""Find events in everything that was ever archived.

Searches logs.txt, its rotated files, and those that are only in ARCHIVE_URL, beside a running
consumer. All words and conditions must hold. Events are printed oldest first, in the archive's
order: for people on a terminal, into a pipe and with --json as the bytes of the archive.
"""

import gc
import sys
from collections.abc import Sequence
from contextlib import closing

if __name__ == "__main__":
    gc.disable()  # imports make no garbage, and looking for it takes a tenth of the start

from logpipeline import command_line
from logpipeline.archive.store_error import StoreError
from logpipeline.find.follow import Follower
from logpipeline.find.options import add_options, query_of
from logpipeline.find.output import EventPrinter
from logpipeline.find.query import Matcher
from logpipeline.find.run import UNUSABLE, SearchRun
from logpipeline.find.settings import FindSettings
from logpipeline.find.sources import NoArchive, SearchedFiles, store_of
from logpipeline.find.word import BadQuery
from logpipeline.shutdown import Shutdown
from logpipeline.terminal import coloured

EXAMPLES = """\
examples:
  python find.py "payment failed" --since 2h
  python find.py --where trace_id=4bf92f3577b34da6a3ce929d0e0e4736 --context 5
  python find.py timeout --level ERROR --service payments --where "http.status>=500" --json
  python find.py --level ERROR --since 7d --count
  python find.py --follow --newest 10 --level ERROR
  python find.py --index

exit status: 0 when an event was found, 1 when none was, 2 when the archive cannot be read, or an
option or a setting cannot be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        FindSettings, argv, __doc__ or "", add_options, EXAMPLES, shows_times=True
    )
    try:
        matcher = Matcher(query_of(options))
        if options.index:
            from logpipeline.find import indexes  # numpy takes 0.1 s

            return indexes.make(settings.log_file)
        store = store_of(settings)
        with closing(SearchedFiles(settings.log_file, store, options.follow)) as sources:
            output = EventPrinter(options.json, coloured(sys.stdout))
            run = SearchRun(sources, matcher, output, Shutdown().on_signals())
            if options.count:
                run.count(options.json)
            else:
                run.find(options.newest, options.context, options.context_all)
            if options.follow:
                run.follow(Follower(settings.log_file, sources))
            return run.status
    except (BadQuery, NoArchive, StoreError, OSError) as error:
        command_line.fail("find.py", " ".join(str(error).split()), UNUSABLE)


if __name__ == "__main__":
    gc.freeze()  # what was imported stays, also in processes that are forked
    gc.enable()
    sys.exit(main())
