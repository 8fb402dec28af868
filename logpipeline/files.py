"""Disk: files that survive a power cut, and that nobody else can put in the way.

In a folder that others write to too, a name of ours may be a symbolic link to somebody's file, a
pipe or a device. None of them is opened: `open_file` takes regular files alone. Drafts have random
names that nobody can guess.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEW = 0o640  # mode of a new file, less the umask: what it holds is for its owner and group
PERMISSIONS = 0o666  # those that a file takes over from another one
DRAFT = re.compile(r"(.+?)(\.[0-9a-f]{16})?\.tmp", re.DOTALL)  # older versions chose no number


def write_all(fd: int, data: bytes) -> None:
    """os.write until everything is written. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_file(path: Path, flags: int, mode: int = NEW) -> int:
    """A descriptor of the regular file at `path`; `flags` and `mode` are those of os.open.

    Raises OSError, also when that is a symbolic link, a pipe, a device or a folder.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(f"{path} is a symbolic link, which is not followed: remove it") from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a regular file: remove it")
    return fd


def read_file(path: Path) -> bytes:
    """All that the regular file at `path` holds. Raises OSError."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read()


@contextmanager
def draft_of(path: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `path`: its descriptor, which the block has to close, and its name.

    It takes the place of `path` when the block ends, or else is removed. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), draft
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError) and error.filename == str(draft):
            raise OSError(error.errno, error.strerror, str(path)) from None  # one that is known
        raise


def replace_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` at `path` in one step, on disk before it replaces what was there.

    It has the permissions of what was there; a new file has `mode`, or else NEW less the umask.
    Raises OSError.
    """
    with suppress(FileNotFoundError):
        mode = permissions(path.lstat())
    with draft_of(path) as (fd, _):
        try:
            allow(fd, mode)
            write_all(fd, data)
            os.fdatasync(fd)
        finally:
            os.close(fd)


def permissions(state: os.stat_result) -> int | None:
    """Those of a regular file, which another one may take over."""
    return state.st_mode & PERMISSIONS if stat.S_ISREG(state.st_mode) else None


def allow(fd: int, mode: int | None) -> None:
    """Give an open file these permissions, where its file system has any."""
    if mode is not None and permissions(os.fstat(fd)) != mode:
        with suppress(PermissionError):
            os.fchmod(fd, mode)


def remove_drafts(folder: Path, ours: Callable[[str], object]) -> None:
    """Remove the drafts that a kill has left, of the files in `folder` whose names are `ours`.

    Nobody else may be writing one. What can't be removed stays. Raises OSError.
    """
    for name in os.listdir(folder):  # noqa: PTH208 - a year of hourly files as objects is slow
        draft = DRAFT.fullmatch(name)
        if draft and ours(draft[1]):
            with suppress(OSError):  # somebody else's, or a folder
                (folder / name).unlink()


def own_target(path: Path) -> Path:
    """What `path` stands for: if it is a symbolic link, where that leads.

    Raises ValueError for a link that is neither yours nor root's, as others may change where it
    leads, and for what is there and is not a regular file.
    """
    if path.is_symlink():
        if path.lstat().st_uid not in (os.geteuid(), 0):
            raise ValueError("a symbolic link of another user")
        path = Path(os.path.realpath(path, strict=False))
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError("not a regular file")
    return path


def sync(path: Path) -> None:
    """Make what a file holds, or which files a folder has, survive a power cut. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
