"""Preset: a script of the repository that runs with other values of its modules' constants.

    python tests/support/preset.py JSON SCRIPT [its arguments]

JSON is an object such as {"logpipeline.kafka.outbox.QUIET": 1.0}.
"""

import importlib
import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def preset(constants: Mapping[str, Any]) -> None:
    """Set constants of modules. Raises ImportError, AttributeError if there is no such one."""
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(module)
        getattr(owner, constant)
        setattr(owner, constant, value)


if __name__ == "__main__":
    constants, script = sys.argv[1:3]
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(script).parent)
    preset(json.loads(constants))
    runpy.run_path(script, run_name="__main__")
