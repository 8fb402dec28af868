"""Clone: the repository's files in another folder, as `git clone` would put them there."""

import shutil
import subprocess
from pathlib import Path

from tests.support.process import ROOT


def copy_files(folder: Path) -> None:
    """What git tracks, and what it would if it were added."""
    which = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    git = ["git", "-c", "safe.directory=*", *which]
    for name in subprocess.check_output(git, cwd=ROOT, text=True).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
