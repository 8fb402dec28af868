"""Log pipeline: log events go through Kafka into a file, each once, and the newest into Redis."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpipeline.producer.handler import KafkaLogHandler

__all__ = ["KafkaLogHandler"]


def __getattr__(name: str) -> Any:
    """Import the handler on first use: other rooms must not need the libraries that it imports."""
    if name == "KafkaLogHandler":
        from logpipeline.producer.handler import KafkaLogHandler

        return KafkaLogHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
