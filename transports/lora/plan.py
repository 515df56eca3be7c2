"""Meshtastic's band plan and packets: regions, presets, and what a payload costs on air.

The law of this module: the firmware's tables and formulas (2.8), values in and values out; nothing
here knows a device. Sizes are bytes, times seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeVar

from ...core.airtime import CODING_RATES, Modem
from ...core.errors import PacketTooBig

T = TypeVar("T")

HEADER = 16
"""Bytes over the air before the encrypted part: to, from, id, flags, channel, next hop, relay."""

FRAME = 255
"""Bytes over the air at most."""

PRIVATE_APP = 256
"""The port of applications that have none of their own."""

PKI = 12
"""Bytes that encrypting for one node adds: tag and nonce."""

SIGNATURE = 66
"""Bytes that firmware 2.8 adds to what is for everyone, where it fits."""

BITFIELD = 2
"""Bytes that the sending node always adds to the protobuf."""

SLOT_SYMBOLS = 2.5
SLOT_OVERHEAD = 0.0076
"""A contention slot: time to sense the channel, to turn round and to process."""

WIDE = 3.25
"""How much wider the channels of the 2.4 GHz band are."""

WIDE_PREAMBLE = 12


@dataclass(frozen=True, slots=True)
class Region:
    """One row of the firmware's table.

    Args:
        name: as in ``--region``.
        low: of the band, in MHz.
        high: of the band, in MHz.
        duty: share of the time that a node may send.
        dbm: the most power.
        profile: which presets there are.
        licensed: only for licensed amateurs.
    """

    name: str
    low: float
    high: float
    duty: float
    dbm: int
    profile: str = "STD"
    licensed: bool = False

    @property
    def wide(self) -> bool:
        """Whether it is the 2.4 GHz band, with its wider channels."""
        return self.low >= 2000

    @property
    def preset(self) -> str:
        """How a new node is set there."""
        return DEFAULTS[self.profile]


PRESETS = {
    "SHORT_TURBO": Modem(500e3, 7, 5),
    "SHORT_FAST": Modem(250e3, 7, 5),
    "SHORT_SLOW": Modem(250e3, 8, 5),
    "MEDIUM_TURBO": Modem(500e3, 9, 5),
    "MEDIUM_FAST": Modem(250e3, 9, 5),
    "MEDIUM_SLOW": Modem(250e3, 10, 5),
    "LONG_TURBO": Modem(500e3, 11, 8),
    "LONG_FAST": Modem(250e3, 11, 5),
    "LONG_MODERATE": Modem(125e3, 11, 8),
    "LONG_SLOW": Modem(125e3, 12, 8),
    "LITE_FAST": Modem(125e3, 9, 5),
    "LITE_SLOW": Modem(125e3, 10, 5),
    "NARROW_FAST": Modem(62.5e3, 7, 6),
    "NARROW_SLOW": Modem(62.5e3, 8, 6),
    "TINY_FAST": Modem(15.6e3, 7, 5),
    "TINY_SLOW": Modem(15.6e3, 8, 6),
}
"""Below 1 GHz; the 2.4 GHz band takes them with wider channels."""

_ORDINARY = tuple(name for name in PRESETS if name.startswith(("SHORT", "MEDIUM", "LONG")))
PROFILES = {
    "STD": _ORDINARY,
    "EU868": tuple(name for name in _ORDINARY if not name.endswith("TURBO")),
    "LITE": ("LITE_FAST", "LITE_SLOW"),
    "NARROW": ("NARROW_FAST", "NARROW_SLOW"),
    "HAM20": ("TINY_FAST", "TINY_SLOW"),
    "HAM100": ("NARROW_FAST", "NARROW_SLOW"),
    "UNSET": ("LONG_FAST",),
}
"""Which presets a region has; 500 kHz, for one, does not fit the 250 kHz of EU_868."""

DEFAULTS = {
    "STD": "LONG_FAST",
    "EU868": "LONG_FAST",
    "LITE": "LITE_FAST",
    "NARROW": "NARROW_SLOW",
    "HAM20": "TINY_FAST",
    "HAM100": "NARROW_SLOW",
    "UNSET": "LONG_FAST",
}
"""The preset of a region where nothing else is said."""

_REGIONS = (
    Region("US", 902, 928, 1, 30),
    Region("EU_433", 433, 434, 0.1, 10),
    Region("EU_868", 869.4, 869.65, 0.1, 27, "EU868"),
    Region("EU_866", 865.6, 867.6, 0.025, 27, "LITE"),
    Region("EU_N_868", 869.4, 869.65, 0.1, 27, "NARROW"),
    Region("CN", 470, 510, 1, 19),
    Region("JP", 920.5, 923.5, 1, 13),
    Region("ANZ", 915, 928, 1, 30),
    Region("ANZ_433", 433.05, 434.79, 1, 14),
    Region("RU", 868.7, 869.2, 1, 20),
    Region("KR", 920, 923, 1, 23),
    Region("TW", 920, 925, 1, 27),
    Region("IN", 865, 867, 1, 30),
    Region("NZ_865", 864, 868, 1, 36),
    Region("TH", 920, 925, 0.1, 27),
    Region("UA_433", 433, 434.7, 0.1, 10),
    Region("MY_433", 433, 435, 1, 20),
    Region("MY_919", 919, 924, 1, 27),
    Region("SG_923", 917, 925, 1, 20),
    Region("PH_433", 433, 434.7, 1, 10),
    Region("PH_868", 868, 869.4, 1, 14),
    Region("PH_915", 915, 918, 1, 24),
    Region("KZ_433", 433.075, 434.775, 1, 10),
    Region("KZ_863", 863, 868, 1, 30),
    Region("NP_865", 865, 868, 1, 30),
    Region("BR_902", 902, 907.5, 1, 30),
    Region("ITU1_2M", 144, 146, 1, 30, "HAM20", licensed=True),
    Region("ITU2_2M", 144, 148, 1, 30, "HAM20", licensed=True),
    Region("ITU3_2M", 144, 148, 1, 30, "HAM20", licensed=True),
    Region("ITU2_125CM", 220, 225, 1, 30, "HAM100", licensed=True),
    Region("ITU1_70CM", 430, 440, 1, 30, "HAM100", licensed=True),
    Region("ITU2_70CM", 420, 450, 1, 30, "HAM100", licensed=True),
    Region("ITU3_70CM", 430, 450, 1, 30, "HAM100", licensed=True),
    Region("LORA_24", 2400, 2483.5, 1, 10),
    Region("UNSET", 902, 928, 1, 30, "UNSET"),
)
REGIONS = {region.name: region for region in _REGIONS}
ALIASES = {"TR": "EU_868"}
"""Names of countries that have no row of their own: Turkey's 869.4 to 869.65 MHz, 500 mW, 10 %."""


@dataclass(frozen=True, slots=True)
class Air:
    """What packets cost in a region with a preset.

    Args:
        region: where.
        preset: its name.
        modem: how the radio is set, the region's and the user's changes included.
    """

    region: Region
    preset: str
    modem: Modem

    @property
    def slot(self) -> float:
        """Seconds of a contention slot; the firmware cuts it to whole milliseconds."""
        return int(1000 * (SLOT_SYMBOLS * self.modem.symbol + SLOT_OVERHEAD)) / 1000

    def coded(self, coding_rate: int | None) -> Air:
        """Return it with a coding rate of 5 to 8, where that is above its own; None: as it is.

        Raises:
            ValueError: another number.
        """
        if coding_rate is None:
            return self
        if coding_rate not in CODING_RATES:
            raise ValueError(f"a coding rate is 5 to 8 (4/5 to 4/8), not {coding_rate}")
        rate = max(coding_rate, self.modem.coding_rate)
        return replace(self, modem=replace(self.modem, coding_rate=rate))

    def airtime(
        self, payload: int, *, direct: bool = False, signed: bool = False, port: int = PRIVATE_APP
    ) -> float:
        """Return the seconds that a packet holds the channel, sent once.

        Raises:
            PacketTooBig: a payload that no packet carries.
        """
        return self.modem.airtime(length(payload, direct=direct, signed=signed, port=port))


def region_named(name: str) -> Region:
    """Return the region that a name of ``REGIONS`` or ``ALIASES`` means. Raises ValueError."""
    return _named("region", ALIASES.get(name, name), REGIONS, (*REGIONS, *ALIASES))


def air(region: str, preset: str | None = None, coding_rate: int | None = None) -> Air:
    """Return what packets cost.

    Args:
        region: a name of ``REGIONS`` or ``ALIASES``.
        preset: a name of ``PRESETS``; None: the region's own default.
        coding_rate: 5 to 8; one above the preset's own is used instead of it.

    Raises:
        ValueError: a name that is none, or a preset that the region does not have.
    """
    row = region_named(region)
    preset = row.preset if preset is None else preset
    modem = _named("preset", preset, PRESETS, PROFILES[row.profile])
    if preset not in PROFILES[row.profile]:
        there = ", ".join(PROFILES[row.profile])
        raise ValueError(f"{preset} is no preset of region {region}: there are {there}")
    if row.wide:
        modem = replace(modem, bandwidth=WIDE * modem.bandwidth, preamble=WIDE_PREAMBLE)
    return Air(row, preset, modem).coded(coding_rate)


def length(
    payload: int, *, direct: bool = False, signed: bool = False, port: int = PRIVATE_APP
) -> int:
    """Return the bytes over the air of a payload.

    Args:
        payload: bytes of it.
        direct: encrypted for one node, where both keys are known.
        signed: by a node that signs what is for everyone wherever the signature fits.
        port: the application's number.

    Raises:
        PacketTooBig: more than a packet carries.
    """
    most = max_payload(direct=direct, port=port)
    if not 0 <= payload <= most:
        raise PacketTooBig(payload, most)
    plain = _encoded(payload, port) + (PKI if direct else 0)
    if signed and not direct and plain + SIGNATURE <= FRAME:
        return plain + SIGNATURE
    return plain


def max_payload(*, direct: bool = False, port: int = PRIVATE_APP) -> int:
    """Return the most bytes of payload that a packet carries: 231, direct 219."""
    return FRAME - _encoded(FRAME, port) + FRAME - (PKI if direct else 0)


def _encoded(payload: int, port: int) -> int:
    """Return header and protobuf: port and payload are a tag and a number of 1 or 2 bytes each."""
    said = _field(payload) + payload if payload else 0  # protobuf leaves an empty field away
    return HEADER + _field(port) + said + BITFIELD


def _field(number: int) -> int:
    return 2 if number < 128 else 3


def _named(what: str, name: str, table: Mapping[str, T], names: Iterable[str]) -> T:
    if name in table:
        return table[name]
    there = tuple(names)
    near = get_close_matches(name.upper(), there, n=1, cutoff=0.7)
    said = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
    raise ValueError(f"there is no {what} {name!r}: {said}")
