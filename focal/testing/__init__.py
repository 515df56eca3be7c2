"""What a maker of plugins tests with: contracts to subclass, and contexts to open links in.

The law of this package: it needs nothing but focal.core, asks for no plugin of any test runner,
and reaches for pytest only to skip a check that cannot be made.
"""

from ._checks import free_ports
from ._codec import CodecContract
from ._links import FAR, NEAR, context, envelope_of
from ._sink import SinkContract
from ._source import SourceContract
from ._transport import TransportContract

__all__ = [
    "FAR",
    "NEAR",
    "CodecContract",
    "SinkContract",
    "SourceContract",
    "TransportContract",
    "context",
    "envelope_of",
    "free_ports",
]
