"""Continuation: how a line begins that belongs to the event before it.

Stack traces of Java, Python, Go, .NET, Ruby, Node.js, PHP and Rust, and indented lines.
"""

import re

from logpipeline.events import wrappers

EOL = r"[ \t\r]*(?:\n|\Z)"
INDENTED = r"[ \t]+[^\s]"
JVM = r"Caused by:|Suppressed:|\.\.\."
PYTHON = (
    r"Traceback \(most recent call last\)|During handling of the above"
    r"|The above exception was the direct"
)
DOTNET = rf"--- (?:End of|inner|>)|---> |---{EOL}"
PHP = rf"#\d{{1,4}}[ :]|Stack trace:|\[stacktrace\]|\[previous exception\]|\"\}}{EOL}"
RUST = r"stack backtrace:|note: (?:run with|Some details)"
GOLANG = r"goroutine \d{1,19} \[|created by |\[signal |exit status \d"
RUBY = r"[\w./@-]{1,200}?\.rb:\d{1,9}:in "
NODE = rf"[\])}}][\])}},;]{{0,9}}{EOL}"
# java.io.IOException: reset; System.InvalidOperationException; com.example.Refused: card
EXCEPTION = (
    r"(?:\w[\w$]{0,99}+\.){1,20}[\w$]{0,99}(?:Exception|Error|Throwable)[\w$]{0,40}"
    rf"(?::|{EOL})|(?:[a-z]\w{{0,99}}+\.){{2,20}}[A-Z][\w$]{{0,200}}+(?:: |{EOL})"
)
# java.util.logging writes an event's level and message into its second line.
AFTER_JAVA = r"(?:SEVERE|WARNING|INFO|CONFIG|FINE|FINER|FINEST): "

ANY = "|".join((INDENTED, JVM, PYTHON, DOTNET, PHP, RUST, GOLANG, RUBY, NODE, EXCEPTION))
QUICK = rf"(?:{ANY}|{AFTER_JAVA}|{EOL})"


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


CONTINUES = _compiled(ANY)
MAYBE = _compiled(QUICK)
NEVER = frozenset([b"%d" % digit for digit in range(10)] + [b"<", b"{"])  # first bytes
BLANK = _compiled(r"\s*$")
JAVA = _compiled(
    r"[A-Z][a-z]{2} \d\d?, \d{4},? \d\d?:\d\d:\d\d\W{1,3}[AP]M "
    r"[\w.$]{1,300}(?: [\w.$<>]{1,300})?\s*$"
)
JAVA_LEVEL = _compiled(AFTER_JAVA)
# How an event begins although it has no time and no level.
STARTS = _compiled(
    r"Traceback \(most recent|Exception in thread|panic: |fatal error: |goroutine \d"
    r"|Unhandled [Ee]xception|Uncaught |thread '|PHP |node:[\w/]{1,99}:\d|/\S{1,300}\.[cm]?[jt]s:\d"
    r"|[\w.$]{0,200}(?:Error|Exception): "
)
TRACEBACK = _compiled(r"[ |+]*(?:Exception Group )?Traceback \(most recent")
ERROR_LINE = _compiled(r"[A-Za-z_][\w.]{0,200}+(?:: |\s*$)")  # the last one of a traceback
GO = _compiled(r"panic: |fatal error: |goroutine \d")
# The last line of a program's end in Node.js, whose first names the place, and the message of a
# Rust program's, which has a line of its own.
NODE_BEGINS = _compiled(r"(?:node:[\w/]{1,99}|(?:file://)?/[^\s:]{1,300}\.[cm]?[jt]s):\d{1,9}\s*$")
NODE_ENDS = _compiled(r"Node\.js v\d")
RUST_BEGINS = _compiled(r"thread '.{0,200}' (?:\(\d+\) )?panicked at \S{1,300}:\d+:\d+:\s*$")
ENDS = frozenset(b"tnf/")  # first bytes of these
GO_CALL = _compiled(r"[\w./*()\[\]{}$~%-]{1,300}\([^()]{0,300}\)\s*$")
# A line in a chunk that may be part of another line's event.
FRAMED = re.compile(rb"\n(?:" + wrappers.FRAMED + rb")")
SPECIAL = re.compile(
    rb"\n(?:(?![0-9<{])"
    + QUICK.replace(r"|\Z", "").encode()
    + rb"|thread '|Node\.js v|node:\w|/[^\s:]{1,300}\.[cm]?[jt]s:\d|"
    + wrappers.FRAMED
    + rb")"
)
