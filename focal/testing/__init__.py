"""What a maker of plugins tests with: contracts to subclass, links to open, small models to load.

The law of this package: it needs nothing but focal.core, asks for no plugin of any test runner,
and reaches for pytest only to skip a check that cannot be made.
"""

from ._checks import free_ports
from ._codec import CodecContract
from ._links import FAR, NEAR, context, envelope_of
from ._models import LOUDEST, TONES, heard, small_models, tone
from ._sink import SinkContract
from ._source import SourceContract
from ._transport import TransportContract

__all__ = [
    "FAR",
    "LOUDEST",
    "NEAR",
    "TONES",
    "CodecContract",
    "SinkContract",
    "SourceContract",
    "TransportContract",
    "context",
    "envelope_of",
    "free_ports",
    "heard",
    "small_models",
    "tone",
]
