"""Files: writes that survive a power cut, in folders that other users may write to.

There, one of our names may be a symbolic link to another file, a pipe or a device. `open_file`
opens regular files only, and drafts have random names that nobody can guess.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEW = 0o640  # mode of a new file, less the umask: only its owner and group may read it
PERMISSIONS = 0o666  # bits that a file inherits from the one it replaces
DRAFT = re.compile(r"(.+?)(\.[0-9a-f]{16})?\.tmp", re.DOTALL)  # older versions used no number


def write_all(fd: int, data: bytes) -> None:
    """Call os.write until all of `data` is written. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_file(path: Path, flags: int, mode: int = NEW) -> int:
    """Open the regular file at `path`; `flags` and `mode` are those of os.open.

    Raises OSError, also for a symbolic link, a pipe, a device or a folder.
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
    """The contents of the regular file at `path`. Raises OSError."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read()


@contextmanager
def draft_of(path: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `path`: its descriptor, which the block must close, and its path.

    It replaces `path` when the block ends, and is removed when the block raises. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), draft
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError) and error.filename == str(draft):
            raise OSError(error.errno, error.strerror, str(path)) from None  # the name users know
        raise


def replace_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replace the contents of `path` by `data` atomically, once they are on disk.

    It keeps the permissions of an existing file; a new one gets `mode`, or NEW less the umask.
    Raises OSError.
    """
    with suppress(FileNotFoundError):
        mode = permissions(path.lstat())
    with draft_of(path) as (fd, _):
        try:
            allow(fd, mode)
            write_all(fd, data)
            sync_data(fd)
        finally:
            os.close(fd)


def permissions(state: os.stat_result) -> int | None:
    """The permissions of a regular file, to be given to its replacement; None for another kind."""
    return state.st_mode & PERMISSIONS if stat.S_ISREG(state.st_mode) else None


def allow(fd: int, mode: int | None) -> None:
    """Set the permissions of an open file, where its file system supports them."""
    if mode is not None and permissions(os.fstat(fd)) != mode:
        with suppress(PermissionError):
            os.fchmod(fd, mode)


def remove_drafts(folder: Path, ours: Callable[[str], object]) -> None:
    """Remove drafts that a killed process left in `folder`, of the files whose names are `ours`.

    The caller must be the only writer. A draft that cannot be removed stays. Raises OSError.
    """
    for name in os.listdir(folder):  # noqa: PTH208 - Path objects are slow
        draft = DRAFT.fullmatch(name)
        if draft and ours(draft[1]):
            with suppress(OSError):  # another user's, or a folder
                (folder / name).unlink()


def own_target(path: Path) -> Path:
    """`path`, or the target of the symbolic link there.

    Raises ValueError for a link that belongs to another user, who could change its target, unless
    that is root, and for a target that exists and is not a regular file.
    """
    if path.is_symlink():
        if path.lstat().st_uid not in (os.geteuid(), 0):
            raise ValueError("a symbolic link of another user")
        path = Path(os.path.realpath(path, strict=False))
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError("not a regular file")
    return path


def sync_data(fd: int) -> None:
    """Put an open file's contents and size on disk. Raises OSError."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves them in the drive's cache
        with suppress(OSError):  # a file system, such as a network's, that only has fsync
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    getattr(os, "fdatasync", os.fsync)(fd)


def sync(path: Path) -> None:
    """Put a file's contents, or a folder's entries, on disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
