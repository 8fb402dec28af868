"""Stack: Kafka, Redis and the two scripts, started, watched and stopped together."""

from pathlib import Path

from config import Settings

ROOT = Path(__file__).resolve().parent.parent
HERE = ("localhost", "127.0.0.1")


def variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for a subprocess."""
    return {name.upper(): str(value) for name, value in settings}
