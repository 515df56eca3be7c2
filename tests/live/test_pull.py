"""Pulls in processes of their own: two at once, killed, interrupted, without room, offline.

The law of this module: what a pull had when it ended, whatever ended it, the next one does not
ask for again.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from focal.plugins.models.hub import part_path
from focal.plugins.models.store import Store
from tests.deadline import Deadline, Process, running
from tests.plugins.models.hubserver import Answer, Hub, serving

NAME = "encoder.onnx"
DATA = random.Random(4).randbytes(300_000)
HALF = 150_000


class Pulls:
    """Pulls from a hub into one folder."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.store = Store(folder / "models", {NAME: len(DATA)})
        self.part = part_path(self.store, NAME)
        self.hub = hub
        self._deadline = Deadline(60)

    def run(self, *before: str, **more: str) -> AbstractContextManager[Process]:
        """Run a pull, by the command ``before`` and with ``more`` in its environment."""
        line = [sys.executable, "-m", "tests.live.pulling", str(self.store.folder)]
        env = {"HF_ENDPOINT": self.hub.endpoint, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*", **more}
        return running([*before, *line, NAME, str(len(DATA))], self._deadline, env=env)

    def until_here(self, count: int) -> None:
        """Wait until so many bytes are on the disk."""
        self._deadline.until(f"{count} bytes are here", lambda: self._here() == count)

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def fails(self, said: str, *before: str, **more: str) -> None:
        """See that a pull fails with one line."""
        with self.run(*before, **more) as pulling:
            assert pulling.wait() == 1, pulling.story()
            (line,) = pulling.err
            assert line.startswith("focal: ") and said in line

    def succeeds(self, *before: str, **more: str) -> None:
        """See that a pull brings the file, whole and checked, and that nothing else is said."""
        with self.run(*before, **more) as pulling:
            assert pulling.wait() == 0, pulling.story()
            assert not pulling.err and pulling.out[-1] == f"pulled {NAME}\n", pulling.story()
        self.check()

    def check(self) -> None:
        """See that the file is there, and nothing that is left of a pull."""
        assert self.store.path(NAME).read_bytes() == DATA
        self.store.check(NAME)
        left = {path.name for path in self.store.path(NAME).parent.iterdir()}
        assert left == {NAME, "record.json"}


@pytest.fixture
def pulls(tmp_path: Path) -> Generator[Pulls]:
    with serving({NAME: DATA}) as hub:
        yield Pulls(tmp_path, hub)


def starts(hub: Hub) -> Sequence[int]:
    """Return where the bytes began that were asked for."""
    return [request.start for request in hub.asked]


def test_of_two_pulls_at_once_one_downloads_and_the_other_finds_it(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(hold=HALF))
    with pulls.run() as one:
        pulls.until_here(HALF)
        with pulls.run() as two:
            two.line("Waiting")
            pulls.hub.go.set()
            assert one.wait() == two.wait() == 0, one.story() + two.story()
            assert one.out[-1] == f"pulled {NAME}\n" and two.out[-1] == "pulled\n"
    assert pulls.hub.served == len(DATA)
    pulls.check()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_is_ended_half_way_is_gone_on_with(pulls: Pulls, end: signal.Signals) -> None:
    pulls.hub.answers(Answer(hold=HALF))
    with pulls.run() as pulling:
        pulls.until_here(HALF)
        pulling.signal(end)
        assert pulling.wait() != 0
    assert pulls.part.read_bytes() == DATA[:HALF]
    pulls.succeeds()
    assert starts(pulls.hub) == [0, HALF]


def test_who_waits_for_a_pull_that_is_killed_goes_on_with_it(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(hold=HALF))
    with pulls.run() as one:
        pulls.until_here(HALF)
        with pulls.run() as two:
            two.line("Waiting")
            one.signal(signal.SIGKILL)
            assert two.wait() == 0, two.story()
    assert starts(pulls.hub) == [0, HALF]
    pulls.check()


def test_a_disk_that_becomes_full_is_told_and_what_came_stays(pulls: Pulls) -> None:
    limited = ["sh", "-c", 'ulimit -f 64; exec "$@"', "sh"]
    pulls.fails("(ulimit -f)", *limited)
    here = pulls.part.stat().st_size
    assert 0 < here < len(DATA) and DATA.startswith(pulls.part.read_bytes())
    pulls.succeeds()
    assert starts(pulls.hub) == [0, here]


def test_offline_mode_says_so_and_what_helps(pulls: Pulls) -> None:
    pulls.fails("unset HF_HUB_OFFLINE, or `focal models import", HF_HUB_OFFLINE="1")
    assert not pulls.hub.asked


def test_what_is_here_is_found_offline(pulls: Pulls) -> None:
    pulls.succeeds()
    with pulls.run(HF_HUB_OFFLINE="1") as pulling:
        assert pulling.wait() == 0, pulling.story()
        assert pulling.out == ["pulled\n"] and not pulling.err


def test_a_line_that_goes_dead_is_given_up_after_the_time_that_the_user_set(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(hold=HALF))
    pulls.fails("150,000 of 300,000 bytes are here", HF_HUB_DOWNLOAD_TIMEOUT="1")
    pulls.succeeds()
    assert starts(pulls.hub) == [0, HALF]


def test_the_library_says_nothing_by_itself_and_asks_for_nothing_but_files(pulls: Pulls) -> None:
    pulls.succeeds(HF_HUB_ENABLE_HF_TRANSFER="1", HF_DEBUG="1", HF_HUB_VERBOSITY="debug")
    assert all("/resolve/" in request.path for request in pulls.hub.asked)
    assert {request.headers["user-agent"] for request in pulls.hub.asked} == {"focal"}


def test_a_token_goes_to_the_hub_and_not_to_where_it_leads(pulls: Pulls) -> None:
    pulls.succeeds(HF_TOKEN="secret")
    assert pulls.hub.asked[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in pulls.hub.fetched[0].headers


def test_a_variable_that_should_be_a_number_is_told_in_one_line(pulls: Pulls) -> None:
    pulls.fails("look at the variables HF_", HF_HUB_ETAG_TIMEOUT="long")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HF_ENDPOINT", "http://127.0.0.1:99999", "HF_ENDPOINT is 'http://127.0.0.1:99999', "),
        ("HF_ENDPOINT", "http://me:secret@x:abc", "HF_ENDPOINT is 'http://…@x:abc', "),
        ("HTTPS_PROXY", "foo:bar", "HTTPS_PROXY is 'http://foo:bar', "),
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ALL_PROXY names a SOCKS proxy, "),
        ("SSL_CERT_FILE", "/nonexistent", "SSL_CERT_FILE is '/nonexistent', "),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "-1", "HF_HUB_DOWNLOAD_TIMEOUT is '-1', "),
        ("HF_TOKEN", "ä", "look at HF_TOKEN, or log in again"),
        ("HF_TOKEN_PATH", "/", "look at "),
        ("SSLKEYLOGFILE", "/nonexistent/keys", "SSLKEYLOGFILE"),
    ],
)
def test_a_variable_that_cannot_be_is_named_in_one_line(
    pulls: Pulls, name: str, value: str, said: str
) -> None:
    """Some are looked at beforehand; others the client trips over, wherever it reads them."""
    pulls.fails(said, **{"NO_PROXY": "127.0.0.1", name: value})
    assert not pulls.hub.asked
