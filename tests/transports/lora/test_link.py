"""The link over a radio, in virtual time: what goes to whom, what is refused, what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.draft import padded_size
from focal.core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from focal.core.link import Heard, Refused
from focal.core.runtime import run_virtual, virtual_runtime
from focal.transports.lora.link import (
    ANSWER,
    LEARNING,
    REMEMBERED,
    REST,
    TRUST,
    LoraLink,
    LoraOptions,
    address_of,
    limits_of,
    number_of,
    signs,
)
from focal.transports.lora.plan import air
from focal.transports.lora.ports import Finder, Rivals, port_trouble, the_one
from focal.transports.lora.radio import (
    EVERYONE,
    Acquainted,
    Channel,
    Event,
    Hear,
    Info,
    Known,
    Lost,
    Notice,
    Outgoing,
    Queued,
    Received,
    Routed,
)
from focal.transports.lora.transport import Ble, Cable, LoraTransport, Tcp

OURS, THEIRS = 0x0A0A0A0A, 0x0B0B0B0B
PEER = "!0b0b0b0b"


class Script:
    """A radio whose node answers as a test says."""

    def __init__(self, **about: object) -> None:
        values: dict[str, object] = {"key": True, "firmware": "2.7.15", **about}
        self.info = Info(OURS, air("EU_868", "SHORT_FAST"), **values)  # type: ignore[arg-type]
        self.others: dict[int, Known] = {THEIRS: Known(THEIRS, "Hill top", "HT", True)}
        self.answers: list[tuple[int, int] | None] = []  # code and free; None: it says nothing
        self.sent: list[Outgoing] = []
        self.introduced = 0
        self.closed = False
        self.hear: Hear = print

    @property
    def nodes(self) -> Mapping[int, Known]:
        return self.others

    def attach(self, hear: Hear, /) -> None:
        self.hear = hear

    async def send(self, packet: Outgoing, /) -> None:
        self.sent.append(packet)
        answer = self.answers.pop(0) if self.answers else (0, 16)
        if answer is not None:
            self.hear(Queued(packet.id, *answer))

    async def introduce(self) -> None:
        self.introduced += 1

    async def aclose(self) -> None:
        self.closed = True


def script(
    check: Callable[[LoraLink, Script], Awaitable[None]],
    options: LoraOptions | None = None,
    **about: object,
) -> None:
    """Run a check on a link over such a radio, in virtual time."""

    async def main() -> None:
        radio = Script(**about)
        link = LoraLink(radio, options or LoraOptions(), virtual_runtime(), Random(1))
        try:
            await check(link, radio)
        finally:
            await link.aclose()
        assert radio.closed

    run_virtual(main(), debug=True)


def received(payload: bytes = b"x", **about: object) -> Received:
    return Received(payload, THEIRS, **about)  # type: ignore[arg-type]


# addresses and options ---------------------------------------------------------------------------


@given(st.integers(0, 0xFFFFFFFF))
def test_an_address_says_its_number(number: int) -> None:
    assert number_of(address_of(number)) == number


@given(st.text(max_size=12))
def test_whatever_is_no_address_is_none(text: str) -> None:
    number = number_of(text)
    assert number is None or address_of(number) == text.lower()


def test_urls_say_which_way_and_how() -> None:
    def read(text: str) -> LoraTransport:
        return LoraTransport.from_url(urlsplit(text))

    assert read("lora:").way == Cable()
    assert read("lora:///dev/ttyUSB0?channel=1").way == Cable("/dev/ttyUSB0")
    assert read("lora:///dev/ttyUSB0?channel=1").options == LoraOptions(channel="1")
    assert read("lora://Hill.local").way == Tcp("hill.local", 4403)
    assert read("lora://[::1]:4501").key == "lora:[::1]:4501"
    assert read("lora://h?hops=3&direct=all").options == LoraOptions(None, 3, "all")
    polite = read("lora://h?busy=send&reserve=0.2").options
    assert (polite.busy, polite.reserve) == ("send", 0.2)
    ble = LoraTransport.from_ble_url(urlsplit("lora+ble://Hill_1a2b"))
    assert ble.way == Ble("Hill_1a2b") and ble.key == "lora:ble:Hill_1a2b"


@pytest.mark.parametrize(
    "text, says",
    [
        ("lora://h/path", "no path"),
        ("lora://me@h", "no users"),
        ("lora://me:secret@h", "no users"),
        ("lora:me:secret@h", "no users"),
        ("lora://h:0", "port"),
        ("lora://h?hops=8", "from 0 to 7"),
        ("lora://h?busy=maybe", "wait or ask or send"),
        ("lora://h?reserve=1", "0.9"),
        ("lora://h?direct=maybe", "control or all or none"),
        ("lora://h?chanel=1", "did you mean 'channel'"),
    ],
)
def test_what_is_written_wrong_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LoraTransport.from_url(urlsplit(text))
    with pytest.raises(ValueError, match="name"):
        LoraTransport.from_ble_url(urlsplit("lora+ble:"))


def test_no_password_is_said_again() -> None:
    for url in ("lora://me:secret@h", "lora://h/me:secret@h", "lora:me:secret@h"):
        with pytest.raises(ValueError) as told:
            LoraTransport.from_url(urlsplit(url))
        assert "secret" not in str(told.value)
    with pytest.raises(ValueError, match="no users") as told:
        LoraTransport.from_ble_url(urlsplit("lora+ble://me:secret@h"))
    assert "secret" not in str(told.value)


def test_a_port_has_one_key_however_it_is_called(tmp_path: Path) -> None:
    assert Cable("/dev/../dev/null").key == Cable("/dev/null").key == "lora:/dev/null"
    (tmp_path / "usb-Radio").symlink_to("/dev/null")
    assert Cable(str(tmp_path / "usb-Radio")).key == "lora:/dev/null"
    assert Cable(finder=Finder(lambda: ["/dev/null"])).key == "lora:/dev/null"


@pytest.mark.parametrize("found", [[], ["/dev/null", "/dev/zero"]])
def test_where_no_one_port_is_found_the_key_names_none(found: list[str]) -> None:
    assert Cable(finder=Finder(lambda: found)).key == "lora:serial"


def test_where_the_library_is_missing_the_key_names_no_port() -> None:
    def missing() -> list[str]:
        raise TransportUnavailable("pip install it")

    assert Cable(finder=Finder(missing)).key == "lora:serial"


def test_a_radio_that_is_found_stays_the_one_until_it_is_gone(tmp_path: Path) -> None:
    first, second = tmp_path / "0", tmp_path / "1"

    def ports() -> list[str]:
        return sorted(map(str, tmp_path.iterdir()))

    first.touch()
    finder = Finder(ports)
    assert Cable(finder=finder).key == f"lora:{first}"
    second.touch()
    assert finder.one() == str(first)
    with pytest.raises(TransportUnavailable, match="several serial ports"):
        Finder(ports).one()
    first.unlink()
    assert finder.one() == str(second)
    assert Cable(finder=finder).key == f"lora:{first}"  # what waits there is still this link's
    second.unlink()
    with pytest.raises(TransportUnavailable, match="no radio was found"):
        finder.one()


# limits -----------------------------------------------------------------------------------------


def test_what_is_for_everyone_is_cheapest_where_the_signature_does_not_fit() -> None:
    info = Info(OURS, air("EU_868", "LONG_FAST"), firmware="2.8.1", key=True)
    limits = limits_of(info)
    assert limits.mtu(None) == 231
    assert padded_size(100, limits, None) == 100
    assert padded_size(160, limits, None) == 166
    assert padded_size(14, limits, PEER) == 14


def test_what_goes_to_one_node_alone_has_its_own_size_and_price() -> None:
    info = Info(OURS, air("EU_868", "LONG_FAST"), firmware="2.8.1", key=True)
    limits = limits_of(info, "all")
    assert (limits.mtu(None), limits.mtu(PEER)) == (231, 219)
    control = limits_of(info, "control", frozenset({PEER}))
    assert (control.mtu(PEER), control.airtime(14, PEER)) == (231, limits.airtime(14, PEER))
    assert control.airtime(15, PEER) == limits.airtime(15, None)
    assert limits_of(Info(OURS, info.air), "all").mtu(PEER) == 231  # it has no keys


@pytest.mark.parametrize(
    "firmware, expected",
    [("2.7.15.abc", False), ("2.8.0", True), ("3.0", True), ("", True), ("beta", True)],
)
def test_which_firmware_signs(firmware: str, expected: bool) -> None:
    assert signs(firmware) is expected


def test_all_that_a_packet_may_be_is_told_at_once() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        with pytest.raises(PacketTooBig):
            await link.send(bytes(232))
        with pytest.raises(PacketTooBig):
            await link.send(bytes(220), to=PEER)
        assert not radio.sent

    script(check, LoraOptions(direct="all"))


# channels ---------------------------------------------------------------------------------------


def test_a_channel_goes_by_number_or_name() -> None:
    channels = (Channel(0), Channel(2, "voice", 32))
    for wanted, index in ((None, 0), ("0", 0), ("2", 2), ("voice", 2)):
        radio = Script(channels=channels)
        link = LoraLink(radio, LoraOptions(channel=wanted), virtual_runtime())
        assert link.channel.index == index
    with pytest.raises(TransportUnavailable, match="no channel 1: it has 0, 2 voice"):
        LoraLink(Script(channels=channels), LoraOptions(channel="1"), virtual_runtime())


# whom it goes to --------------------------------------------------------------------------------


def test_a_node_goes_by_its_name() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        for to in (PEER, "Hill top", "HT"):
            await link.send(b"for you", to=to)
        assert [packet.to for packet in radio.sent] == [THEIRS] * 3

    script(check, LoraOptions(direct="all"))


def test_a_question_says_whom_it_asks_by_the_number_of_the_node() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        limits = link.limits
        assert limits.own == radio.info.number == number_of("!0a0a0a0a")
        assert {limits.number(to) for to in (PEER, "Hill top", "HT")} == {THEIRS}
        assert limits.number("nobody") is None

    script(check)


def test_a_name_that_nobody_has_or_several_have_is_refused() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.others[3] = Known(3, "Hill top")
        reports = link.reports()
        for to, says in (
            ("nobody", "knows none"),
            ("Hill top", "several"),
            ("!0a0a0a0a", "itself"),
        ):
            ticket = await link.send(b"x", to=to)
            report = await anext(reports)
            assert isinstance(report, Refused) and (report.ticket, report.retry_after) == (
                ticket,
                None,
            )
            assert says in report.reason
        assert not radio.sent

    script(check)


def test_trust_comes_from_what_they_encrypted_for_us_and_wears_off() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        await link.send(bytes(14), to=PEER)
        radio.hear(received(pki=True, to=OURS))
        for _ in range(TRUST + 1):
            await link.send(bytes(14), to=PEER)
        radio.hear(Acquainted(THEIRS))
        await link.send(bytes(14), to=PEER)
        await link.send(bytes(15), to=PEER)
        alone = [THEIRS] * TRUST
        assert [p.to for p in radio.sent] == [EVERYONE, *alone, EVERYONE, THEIRS, EVERYONE]

    script(check)


def test_without_keys_nothing_goes_alone() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.hear(Acquainted(THEIRS))
        await link.send(bytes(14), to=PEER)
        assert [packet.to for packet in radio.sent] == [EVERYONE]

    script(check, key=False)


# what the node answers --------------------------------------------------------------------------


def test_a_packet_that_a_full_queue_dropped_is_handed_over_again() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.answers = [(32, 0), (32, 0)]
        before = asyncio.get_running_loop().time()
        await link.send(b"x")
        assert len(radio.sent) == 3 and len({packet.id for packet in radio.sent}) == 3
        assert {packet.payload for packet in radio.sent} == {b"x"}
        assert asyncio.get_running_loop().time() - before >= 2  # it was not hurried

    script(check)


def test_a_queue_without_a_place_is_not_tried() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.answers = [(0, 0)]
        await link.send(b"one")
        sending = asyncio.ensure_future(link.send(b"two"))
        await asyncio.sleep(0.5)
        assert len(radio.sent) == 1
        radio.hear(Queued(0, 0, 1))
        await sending
        assert asyncio.get_running_loop().time() == pytest.approx(0.5)

    script(check)


def test_an_old_node_that_never_answers_is_waited_for_once() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.answers = [None] * 5
        for _ in range(5):
            await link.send(b"x")
        assert asyncio.get_running_loop().time() == pytest.approx(ANSWER)

    script(check)


def test_a_node_that_answered_and_does_not_any_more_is_lost() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        await link.send(b"x")
        radio.answers = [None]
        with pytest.raises(LinkLost, match="said nothing"):
            await link.send(b"y")
        with pytest.raises(LinkLost):
            await link.receive()

    script(check)


def test_what_it_answers_at_once_means_other_things_than_what_it_reports() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        reports = link.reports()
        radio.answers = [(33, 16), (34, 16), (0, 16)]
        for says in ("no working radio", "switched off", "NOT_AUTHORIZED"):
            ticket = await link.send(b"x")
            if "NOT" in says:
                radio.hear(Routed(radio.sent[-1].id, 33, OURS))
            report = await anext(reports)
            assert isinstance(report, Refused) and report.ticket == ticket
            assert says in report.reason

    script(check)


def test_one_refusal_is_told_once() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.answers = [(9, 16)]
        await link.send(b"x")
        radio.hear(Routed(radio.sent[0].id, 9, OURS))
        radio.hear(Routed(12345, 9, OURS))  # nothing of ours
        await link.aclose()
        (report,) = [one async for one in link.reports()]
        assert isinstance(report, Refused) and report.retry_after == REST

    script(check)


def test_a_used_up_duty_cycle_lasts_as_long_as_the_node_says() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.hear(Notice("Duty cycle limit exceeded. You can send again in 3 mins"))
        await asyncio.sleep(60)
        radio.answers = [(9, 16)]
        await link.send(b"x")
        report = await anext(link.reports())
        assert isinstance(report, Refused) and report.retry_after == pytest.approx(120)

    script(check)


def test_a_control_frame_that_cannot_be_encrypted_goes_on_the_channel() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.hear(Acquainted(THEIRS))
        await link.send(b"confirm", to=PEER)
        radio.hear(Routed(radio.sent[0].id, 39, OURS))
        await asyncio.sleep(0.1)
        assert [(p.payload, p.to) for p in radio.sent] == [
            (b"confirm", THEIRS),
            (b"confirm", EVERYONE),
        ]
        assert radio.introduced == 1

    script(check)


def test_keys_are_asked_for_once_in_a_while() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        for _ in range(5):
            await link.send(b"x", to=PEER)
            radio.hear(Routed(radio.sent[-1].id, 39, OURS))
            await asyncio.sleep(LEARNING / 4)
        assert radio.introduced == 2
        report = await anext(link.reports())
        assert isinstance(report, Refused) and report.retry_after == LEARNING

    script(check, LoraOptions(direct="all"))


def test_who_heard_it_is_told() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        ticket = await link.send(b"x")
        radio.hear(Routed(radio.sent[0].id, 0, THEIRS))
        radio.hear(Routed(radio.sent[0].id, 0, OURS))
        reports = link.reports()
        assert [await anext(reports), await anext(reports)] == [
            Heard(ticket, PEER),
            Heard(ticket, None),
        ]

    script(check)


# what comes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event, ours",
    [
        (received(), True),
        (received(channel=1), False),
        (received(port=1), False),
        (received(to=OURS, pki=True), True),
        (received(to=0x0C0C0C0C), False),
    ],
)
def test_what_is_for_others_is_ignored(event: Event, ours: bool) -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.hear(event)
        radio.hear(received(b"last"))
        assert ((await link.receive()).data == b"x") is ours
        assert link.ignored == (0 if ours else 1)

    script(check)


def test_what_is_remembered_is_bounded() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        for number in range(2000):
            await link.send(b"x", to=PEER)
            radio.hear(Acquainted(number))
            radio.hear(received())
        radio.hear(Routed(radio.sent[-REMEMBERED - 1].id, 7, OURS))
        radio.hear(Routed(radio.sent[-REMEMBERED].id, 7, OURS))
        await link.aclose()
        assert len([one async for one in link.reports()]) == 1
        assert len(link.limits.proven) == 256

    script(check)


# what ends --------------------------------------------------------------------------------------


def test_a_radio_that_is_gone_ends_all_that_waits() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.answers = [None]
        sending = asyncio.ensure_future(link.send(b"x"))
        reading = asyncio.ensure_future(link.receive())
        await asyncio.sleep(0.1)
        radio.hear(Lost("it was unplugged"))
        for ended in await asyncio.gather(sending, reading, return_exceptions=True):
            assert isinstance(ended, LinkLost) and str(ended) == "it was unplugged"

    script(check)


def test_what_was_to_be_mended_ends_with_the_link() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        radio.hear(Acquainted(THEIRS))
        await link.send(b"confirm", to=PEER)
        radio.answers = [None]
        radio.hear(Routed(radio.sent[0].id, 39, OURS))
        await asyncio.sleep(0.1)
        await link.aclose()
        with pytest.raises(LinkClosed):
            await link.send(b"x")

    script(check)


# ports ------------------------------------------------------------------------------------------


def test_one_port_is_taken_and_several_are_listed() -> None:
    assert the_one(["/dev/ttyUSB0"]) == "/dev/ttyUSB0"
    with pytest.raises(TransportUnavailable, match="/dev/ttyACM0, /dev/ttyUSB0"):
        the_one(["/dev/ttyACM0", "/dev/ttyUSB0"])
    with pytest.raises(TransportUnavailable, match="plug one in"):
        the_one([])


def test_no_permission_names_the_group() -> None:
    assert "only its owner" in port_trouble("/etc/passwd", PermissionError(13, "no"))
    assert "sudo usermod -aG" in port_trouble("/dev/tty", PermissionError(13, "no"))
    assert "no permission" in port_trouble("/no/such/folder/x", PermissionError(13, "no"))


def test_trouble_is_one_line() -> None:
    assert "\n" not in port_trouble("/dev/x", RuntimeError("two\nlines"))
    assert port_trouble("/dev/x", OSError(16, "busy")).startswith("another program uses /dev/x")


def test_rivals_are_told_from_a_restart() -> None:
    rivals = Rivals()
    rivals.met()
    assert "restarted" in rivals.closed("it", 0.0)
    assert "restarted" in rivals.closed("it", 1000.0)
    assert "another program uses it" in rivals.closed("it", 1030.0)


def test_what_never_spoke_as_a_node_has_no_rivals() -> None:
    rivals = Rivals()
    for now in range(5):
        assert rivals.closed("it", now) == (
            "it closed the connection and said nothing: is something else there?"
        )
    rivals.met()
    assert "restarted" in rivals.closed("it", 6.0)


def test_the_user_says_how_polite_it_is_and_what_is_left_for_others() -> None:
    async def check(link: LoraLink, radio: Script) -> None:
        limits = link.limits
        assert (limits.agreed, limits.asks) == (True, False)
        assert (limits.reserve, limits.relays) == (0.25, 2)

    async def asking(link: LoraLink, radio: Script) -> None:
        assert (link.limits.agreed, link.limits.asks) == (False, True)

    script(check, LoraOptions(hops=2, busy="send", reserve=0.25))
    script(asking, LoraOptions(busy="ask"))
