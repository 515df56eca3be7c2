"""How long a LoRa packet holds the channel. Sans-I/O.

The law of this module: the formula of the radio alone, in exact symbols; what a mesh adds to a
packet, its transport knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LOW_RATE = 0.016
"""Seconds of a symbol from which on LoRa's low data rate optimisation is on."""

CODING_RATES = range(5, 9)
"""4/5 to 4/8, written as their denominators."""


@dataclass(frozen=True, slots=True)
class Modem:
    """How a LoRa radio is set.

    Args:
        bandwidth: in Hz.
        spreading_factor: 7 to 12.
        coding_rate: the denominator of 4/5 to 4/8.
        preamble: symbols of preamble.
    """

    bandwidth: float
    spreading_factor: int
    coding_rate: int
    preamble: int = 16

    @property
    def symbol(self) -> float:
        """Seconds of one symbol."""
        return (1 << self.spreading_factor) / self.bandwidth

    def symbols(self, length: int) -> float:
        """Return the symbols of a packet, preamble and sync word included.

        Semtech AN1200.13 and the SX126x data sheet, 6.1.4: explicit header, CRC on.

        Args:
            length: bytes over the air, everything above the radio's own header and CRC.
        """
        low = 2 if self.symbol >= LOW_RATE else 0
        bits = 8 * length - 4 * self.spreading_factor + 28 + 16
        blocks = max(0, math.ceil(bits / (4 * (self.spreading_factor - low))))
        return self.preamble + 4.25 + 8 + blocks * self.coding_rate

    def airtime(self, length: int) -> float:
        """Return the seconds that a packet of ``length`` bytes over the air holds the channel."""
        return self.symbols(length) * self.symbol
