"""How MQTT links are written, and that no password is seen."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from focal.app import App
from focal.core.errors import SettingsError
from focal.transports.mqtt.session import Account, Place
from focal.transports.mqtt.settings import SPECS, MqttTransport
from focal.transports.mqtt.topics import Room

SECRET = "s3cr%40t"
SPELLED = "s3cr@t"


def read(url: str) -> MqttTransport:
    return MqttTransport.from_url(urlsplit(url))


@pytest.mark.parametrize(
    ("url", "place", "root"),
    [
        ("mqtt://localhost/lobby", Place("localhost", 1883), "focal/lobby"),
        ("mqtts://Hill.Example/lobby", Place("hill.example", 8883, True), "focal/lobby"),
        ("mqtt://10.0.0.7:2883/site/7/lobby", Place("10.0.0.7", 2883), "site/7/lobby"),
        ("mqtt://[::1]:2883/a%20b", Place("::1", 2883), "focal/a%20b"),
        ("mqtt://h/%2B", Place("h", 1883), "focal/%2B"),
        ("mqtt://h/+", Place("h", 1883), "focal/%2B"),
        ("mqtt://h/a%2Fb", Place("h", 1883), "focal/a%2Fb"),
    ],
)
def test_a_url_names_broker_and_room(url: str, place: Place, root: str) -> None:
    link = read(url)
    assert (link.place, link.room.root) == (place, root)


def test_the_bare_scheme_is_the_lobby_of_this_machine() -> None:
    assert SPECS[0].default is not None and read(SPECS[0].default).room == Room("lobby")


def test_options_have_their_values() -> None:
    link = read("mqtt://ada@h/lobby?password_file=f&session=60&presence=no&version=3.1.1")
    options = link.options
    assert (options.user, options.password_file) == ("ada", "f")
    assert (options.session, options.presence, options.version) == (60, False, "3.1.1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://h", "the room is missing"),
        ("mqtt://h/", "the room is missing"),
        ("mqtt:///lobby", "the host is missing"),
        ("mqtt:", "the host is missing"),
        ("mqtt://h:0/lobby", "the port is missing"),
        ("mqtt://h:x/lobby", "the port is no number"),
        ("mqtt://h/lobby#1", "# is written %23"),
        ("mqtt://h/%23/lobby", "wildcard"),
        ("mqtt://h/lobby?qos=2", "unknown option 'qos'"),
        ("mqtt://h/lobby?sesion=2", "did you mean 'session'"),
        ("mqtt://h/lobby?session=604801", "from 0 to 604800"),
        ("mqtt://h/lobby?version=4", "expected auto or 5 or 3.1.1"),
        ("mqtt://h/lobby?ca=file", "ca is for mqtts://"),
        ("mqtts://h/lobby?key=file", "a key without its certificate"),
        ("mqtt://ada@h/lobby?user=bo", "the user is given twice"),
        ("mqtt://h/lobby?password_file=f", "a password without a user"),
        ("mqtt://:s3cret@h/lobby", "a password without a user"),
        ("mqtt://a:s3cret@h/lobby?password_env=X", "say the same: one is enough"),
        ("mqtt://a@h/lobby?password_env=X&password_file=f", "say the same: one is enough"),
        ("mqtts://h/lobby?cert=c&key_password_env=X&key_password_file=f", "one is enough"),
    ],
)
def test_what_is_written_wrong_is_told(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        read(url)
    assert "s3cret" not in str(told.value) and "such a link is written mqtt" in str(told.value)


def test_one_broker_and_room_have_one_key() -> None:
    spellings = [
        "mqtt://localhost/lobby",
        "mqtt://127.0.0.1:1883/focal/lobby",
        "mqtt://[::1]/lobby?session=0",
        "mqtt://ada@LOCALHOST/lobby",
        "mqtts://localhost:1883/lobby",
    ]
    assert {read(url).key for url in spellings} == {"mqtt:localhost:1883/focal/lobby"}
    others = ["mqtt://localhost/Lobby", "mqtts://localhost/lobby", "mqtt://hill/lobby"]
    assert len({read(url).key for url in [*others, spellings[0]]}) == 4


def test_a_password_in_a_url_works_and_is_advised_against(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = read(f"mqtt://ada:{SECRET}@h/lobby")
    assert (link.options.user, link.password) == ("ada", SPELLED)
    [record] = caplog.records
    assert record.levelno == logging.WARNING and "use password_file=FILE" in record.getMessage()
    assert SPELLED not in caplog.text and SECRET not in caplog.text


def test_no_password_is_shown() -> None:
    link = read(f"mqtt://ada:{SECRET}@h/lobby")
    account = Account(link.place, "5", "focal", "ada", SPELLED)
    for shown in (repr(link), str(link), repr(account), link.key):
        assert SPELLED not in shown and SECRET not in shown


def test_a_link_is_called_without_its_password(tmp_path: Path) -> None:
    url = f"mqtt://ada:{SECRET}@h/lobby"
    [(name, link)] = App.start(tmp_path, {}, via=(url,)).links().items()
    assert name == "mqtt://ada:***@h/lobby"
    assert isinstance(link, MqttTransport) and link.password == SPELLED
    with pytest.raises(SettingsError) as told:
        App.start(tmp_path, {}, via=(f"{url}?qos=1",)).links()
    assert SPELLED not in str(told.value) and SECRET not in str(told.value)


def test_settings_are_values() -> None:
    link = read("mqtt://h/lobby")
    assert link == read("mqtt://h/lobby") != replace(link, room=Room("other"))
    assert pickle.loads(pickle.dumps(link)) == link
