"""Sharing: one server for all workers of a test run."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path


@contextmanager
def shared(
    folder: Path, name: str, start: Callable[[], AbstractContextManager[str]]
) -> Iterator[str]:
    """The address of a server, which the first of the processes that share `folder` starts.

    The same one stops it, after all others have left. Who comes later starts another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / f"{name}.address"
    with (
        ExitStack() as server,
        (folder / f"{name}.users").open("w") as users,
        (folder / f"{name}.lock").open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        mine = not address.exists()
        if mine:
            address.write_text(server.enter_context(start()))
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield address.read_text()
        fcntl.flock(users, fcntl.LOCK_UN)
        if mine:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_EX)
            address.unlink()
