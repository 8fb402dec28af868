"""Line reader: the lines in a file's bytes, each with its position, in any encoding."""

import re

from logpipeline.events.lines import HELD, Splitter

Line = tuple[bytes, int, int]  # without its newline, its length, the position after it
UTF_8 = "utf-8"
NULS = re.compile(rb"\0*")


class LineReader:
    """Splits chunks of a file from the position `at` on into lines.

    Afterwards `at` is the start of the unfinished line, which has `unfinished` bytes so far. Of
    them it holds HELD at most: then a line's length is more than that of its bytes. NULs before a
    line, which a writer that does not append leaves after a truncation, are dropped, and counted
    in `nuls`.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.nuls = 0
        self.unfinished = 0
        self._splitter = Splitter()

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes."""
        found: list[Line] = []
        begin = 0
        while begin < len(data):
            if not self.unfinished and data[begin] == 0:
                begin = self._after_nuls(data, begin)
            end = data.find(b"\n\0", begin) + 1 or len(data)
            found += self._split(data[begin:end])
            begin = end
        return found

    def whole(self, data: bytes) -> list[bytes]:
        """The lines in `data`, which begins and ends between lines, and has no NULs before them."""
        self.at += len(data)
        return data[:-1].split(b"\n")

    def end(self) -> list[Line]:
        """The last line, when no newline ends it."""
        self.at += self.unfinished
        self.unfinished = 0
        return [(line, size, self.at) for line, size in self._splitter.end()]

    def _after_nuls(self, data: bytes, begin: int) -> int:
        found = NULS.match(data, begin)
        end = found.end() if found else begin
        self.at += end - begin
        self.nuls += end - begin
        return end

    def _split(self, data: bytes) -> list[Line]:
        at = self.at
        found = [(line, size, at := at + size + 1) for line, size in self._splitter.feed(data)]
        self.unfinished += self.at + len(data) - at
        self.at = at
        return found


class WideLineReader(LineReader):
    """Splits UTF-16 or UTF-32, and gives the lines as UTF-8; positions are those in the file."""

    def __init__(self, encoding: str, at: int = 0) -> None:
        super().__init__(at)
        self._encoding = encoding
        self._newline = "\n".encode(encoding)
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Line]:
        found = []
        *pieces, rest = self._pieces(bytes(self._rest) + data)
        lost = self.unfinished - len(self._rest)
        for piece in pieces:
            self.at += len(piece) + lost + len(self._newline)
            found.append(self._line(piece, lost))
            lost = 0
        self.unfinished = len(rest) + lost
        most = HELD + len(rest) % len(self._newline)  # so that what follows stays aligned
        self._rest = bytearray(rest[:most])
        return found

    def end(self) -> list[Line]:
        rest, lost = bytes(self._rest), self.unfinished - len(self._rest)
        self.at += self.unfinished
        self.unfinished, self._rest = 0, bytearray()
        return [self._line(rest, lost)] if rest else []

    def _pieces(self, data: bytes) -> list[bytes]:
        """It split at newlines, but not where two characters look like one."""
        first, *others = data.split(self._newline)
        pieces = [first]
        for piece in others:
            if len(pieces[-1]) % len(self._newline):
                pieces[-1] += self._newline + piece
            else:
                pieces.append(piece)
        return pieces

    def _line(self, raw: bytes, lost: int) -> Line:
        line = raw.decode(self._encoding, "replace").encode()
        return line, len(line) + lost, self.at


def line_reader(encoding: str, at: int = 0) -> LineReader:
    return LineReader(at) if encoding == UTF_8 else WideLineReader(encoding, at)
