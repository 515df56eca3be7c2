"""What packets cost: the firmware's figures, to the millisecond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import PacketTooBig
from focal.transports.lora.plan import (
    DEFAULTS,
    PRESETS,
    PROFILES,
    REGIONS,
    air,
    length,
    max_payload,
)

# Payload bytes on PRIVATE_APP to everyone, unsigned: 16, 64, 128, 200, 219, 231; then packets of 29
# (an acknowledgement) and 253 bytes over the air. Milliseconds, from the firmware's own formula.
TABLE = {
    "SHORT_TURBO": (23, 41, 64, 90, 97, 102, 19, 101),
    "SHORT_FAST": (45, 81, 127, 181, 194, 204, 38, 201),
    "SHORT_SLOW": (85, 147, 229, 321, 346, 362, 70, 357),
    "MEDIUM_TURBO": (75, 131, 203, 285, 311, 321, 65, 321),
    "MEDIUM_FAST": (150, 263, 406, 570, 621, 642, 130, 642),
    "MEDIUM_SLOW": (280, 484, 751, 1037, 1119, 1181, 239, 1160),
    "LONG_TURBO": (378, 640, 1033, 1459, 1590, 1656, 312, 1623),
    "LONG_FAST": (559, 887, 1378, 1911, 2075, 2157, 477, 2116),
    "LONG_MODERATE": (1642, 3084, 4919, 7016, 7541, 7934, 1380, 7934),
    "LONG_SLOW": (3023, 5644, 9052, 12722, 13771, 14295, 2499, 14295),
    "LITE_FAST": (300, 525, 812, 1140, 1242, 1283, 259, 1283),
    "LITE_SLOW": (559, 969, 1501, 2075, 2238, 2361, 477, 2320),
    "NARROW_FAST": (205, 377, 599, 857, 918, 967, 168, 955),
    "NARROW_SLOW": (386, 681, 1074, 1517, 1639, 1713, 312, 1689),
    "TINY_FAST": (724, 1298, 2037, 2898, 3104, 3268, 601, 3227),
    "TINY_SLOW": (1842, 3417, 5584, 7947, 8537, 8931, 1547, 8833),
}
SLOTS = {
    "SHORT_TURBO": 8, "SHORT_FAST": 8, "SHORT_SLOW": 10, "MEDIUM_TURBO": 10, "MEDIUM_FAST": 12,
    "MEDIUM_SLOW": 17, "LONG_TURBO": 17, "LONG_FAST": 28, "LONG_MODERATE": 48, "LONG_SLOW": 89,
    "LITE_FAST": 17, "LITE_SLOW": 28, "NARROW_FAST": 12, "NARROW_SLOW": 17, "TINY_FAST": 28,
    "TINY_SLOW": 48,
}  # fmt: skip


def region_of(preset: str) -> str:
    return next(name for name, region in REGIONS.items() if preset in PROFILES[region.profile])


@pytest.mark.parametrize("preset", PRESETS)
def test_airtime_is_the_firmwares_to_the_millisecond(preset: str) -> None:
    here = air(region_of(preset), preset)
    times = [here.airtime(payload) for payload in (16, 64, 128, 200, 219, 231)]
    times += [here.modem.airtime(29), here.modem.airtime(253)]
    assert tuple(round(1000 * seconds) for seconds in times) == TABLE[preset]
    assert round(1000 * here.slot) == SLOTS[preset]


def test_every_preset_is_in_the_table() -> None:
    assert TABLE.keys() == SLOTS.keys() == PRESETS.keys()
    assert {preset for presets in PROFILES.values() for preset in presets} == PRESETS.keys()


def test_every_region_has_a_preset_of_its_own() -> None:
    assert DEFAULTS.keys() == PROFILES.keys()
    for name, region in REGIONS.items():
        assert air(name).preset == region.preset in PROFILES[region.profile]


@pytest.mark.parametrize(
    ("region", "preset", "said"),
    [
        ("tr", None, "there is no region 'tr': did you mean TR?"),
        ("eu868", None, "did you mean EU_868?"),
        ("XX", None, "there is no region 'XX': there are US, EU_433"),
        ("US", "LONGFAST", "there is no preset 'LONGFAST': did you mean LONG_FAST?"),
        ("EU_866", "quick", "there is no preset 'quick': there are LITE_FAST, LITE_SLOW"),
    ],
)
def test_a_slip_is_told_with_the_nearest_name(region: str, preset: str | None, said: str) -> None:
    with pytest.raises(ValueError) as told:
        air(region, preset)
    assert said in str(told.value)


def test_what_the_mesh_adds() -> None:
    assert [length(n) for n in (0, 1, 127, 128, 231)] == [21, 24, 150, 152, 255]
    assert (max_payload(), max_payload(direct=True), max_payload(port=9)) == (231, 219, 232)
    assert length(219, direct=True) == 255
    assert length(100, direct=True) == length(100) + 12
    assert length(64, port=9) == length(64) - 1


def test_a_signature_goes_with_what_it_fits() -> None:
    assert (length(165, signed=True), length(166, signed=True)) == (255, 190)
    assert length(64, signed=True) == length(64) + 66
    assert length(64, signed=True, direct=True) == length(64, direct=True)


@pytest.mark.parametrize(("payload", "direct"), [(232, False), (220, True), (-1, False)])
def test_what_no_packet_carries_is_refused(payload: int, direct: bool) -> None:
    with pytest.raises(PacketTooBig):
        length(payload, direct=direct)


@given(st.integers(0, 231), st.booleans())
def test_nothing_is_longer_than_a_frame(payload: int, signed: bool) -> None:
    assert length(payload) <= length(payload, signed=signed) <= 255


def test_turkey_is_the_row_of_eu_868() -> None:
    here = air("TR", "LONG_FAST")
    assert here == air("EU_868", "LONG_FAST")
    assert (here.region.low, here.region.high, here.region.dbm) == (869.4, 869.65, 27)
    assert here.region.duty == 0.1


@pytest.mark.parametrize(
    ("name", "duty"),
    [("US", 1), ("EU_433", 0.1), ("EU_866", 0.025), ("EU_N_868", 0.1), ("TH", 0.1), ("JP", 1)],
)
def test_duty_cycles(name: str, duty: float) -> None:
    assert REGIONS[name].duty == duty


def test_a_coding_rate_above_the_presets_counts() -> None:
    plain = air("US", "LONG_FAST")
    assert air("US", "LONG_FAST", 5) == plain
    assert air("US", "LONG_FAST", 8).airtime(200) > plain.airtime(200)
    assert air("US", "LONG_TURBO", 5) == air("US", "LONG_TURBO")


def test_channels_at_2_4_ghz_are_wider() -> None:
    wide, plain = air("LORA_24", "LONG_FAST").modem, air("US", "LONG_FAST").modem
    assert (wide.bandwidth, wide.preamble) == (3.25 * plain.bandwidth, 12)


@pytest.mark.parametrize(
    ("region", "preset", "rate", "said"),
    [
        ("EU868", "LONG_FAST", None, "there is no region 'EU868'"),
        ("US", "LONGFAST", None, "there is no preset 'LONGFAST'"),
        ("EU_868", "SHORT_TURBO", None, "SHORT_TURBO is no preset of region EU_868"),
        ("US", "LONG_FAST", 4, "a coding rate is 5 to 8"),
    ],
)
def test_what_is_not_there_is_named(region: str, preset: str, rate: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        air(region, preset, rate)
