"""Settings of every program, composed of those that the rooms declare.

A room declares what it needs in its `settings.py`, beside the code that uses it: the name, the
default, what it means and what it must be. A program takes each setting from the first of: a
command-line flag (``--kafka-topic``), an environment variable (``KAFKA_TOPIC``), the ``.env`` file
of the current folder, the default. Its ``--help`` lists those that it uses.
"""

from logpipeline.alerts.settings import AlertsSettings
from logpipeline.archive.settings import RotationSettings, StoreSettings
from logpipeline.collector.settings import CollectorSettings
from logpipeline.consumer.settings import ConsumerSettings
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.events.settings import RedactionSettings
from logpipeline.find.settings import FindSettings
from logpipeline.producer.settings import ProducerSettings
from logpipeline.recent.settings import RedisSettings
from logpipeline.replay.settings import ReplaySettings
from logpipeline.settings import MetricsSettings
from logpipeline.verify.settings import VerifySettings


class Producer(MetricsSettings, RedactionSettings, ProducerSettings):
    """producer.py: log files and simulated events → Kafka."""


class Collector(RedactionSettings, CollectorSettings):
    """collector.py: HTTP, OpenTelemetry, Loki, bulk and syslog → Kafka."""


class Consumer(MetricsSettings, StoreSettings, RotationSettings, RedisSettings, ConsumerSettings):
    """consumer.py: Kafka → logs.txt and Redis."""


class Alerts(MetricsSettings, AlertsSettings):
    """alerts.py: Redis → people."""


class Dashboard(DashboardSettings):
    """dashboard.py: Redis → a web page."""


class Verify(VerifySettings):
    """verify.py: Kafka = logs.txt = Redis?"""


class Replay(ReplaySettings):
    """replay.py: dead letters and rotated files → Kafka again."""


class Find(FindSettings):
    """find.py: logs.txt and its rotated files → a terminal."""


class Settings(Dashboard, Alerts, Collector, Producer, Consumer, Replay, Verify, Find):
    """All of them: what `.env` may hold."""
