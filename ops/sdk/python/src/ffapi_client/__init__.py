"""Client of ffapi: FFmpeg as a service."""

from . import models
from ._source import Progress, Source
from ._steps import Reply
from ._target import Target
from .async_client import AsyncClient
from .client import Client
from .errors import ProblemError, WebhookError
from .events import JobEvent
from .webhook import WebhookEvent, verify_webhook

__all__ = [
    "AsyncClient",
    "Client",
    "JobEvent",
    "ProblemError",
    "Progress",
    "Reply",
    "Source",
    "Target",
    "WebhookError",
    "WebhookEvent",
    "models",
    "verify_webhook",
]
