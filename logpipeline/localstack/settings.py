"""Settings of the local stack: those of the programs that it starts."""

from logpipeline.alerts.settings import AlertsSettings
from logpipeline.archive.settings import RotationSettings, StoreSettings
from logpipeline.collector.settings import CollectorSettings
from logpipeline.consumer.settings import ConsumerSettings
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.events.settings import RedactionSettings
from logpipeline.producer.settings import ProducerSettings
from logpipeline.settings import MetricsSettings


class StackSettings(
    DashboardSettings,
    AlertsSettings,
    MetricsSettings,
    StoreSettings,
    RotationSettings,
    RedactionSettings,
    ProducerSettings,
    CollectorSettings,
    ConsumerSettings,
):
    """All settings."""
