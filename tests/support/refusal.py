"""Refusal: what producer.py says about options that make no sense."""

import pytest

import producer


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Its one line on stderr, before it ends with status 2."""
    with pytest.raises(SystemExit) as ended:
        producer.main(argv)
    [line] = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    return line
