"""Pulling models from a hub on loopback, through the real client of huggingface_hub."""

from __future__ import annotations

import hashlib
import logging
import random
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focal.core.errors import ModelError
from focal.plugins.models.catalogue import REPOSITORY, REVISION
from focal.plugins.models.hub import (
    Checking,
    Cut,
    Downloading,
    Progress,
    Pulled,
    part_path,
    pull,
)
from focal.plugins.models.store import Store
from tests.deadline import Deadline, running
from tests.plugins.models.hubserver import Answer, Hub, serving

ENCODER, DECODER = "encoder.onnx", "decoder_50hz.onnx"
FILES = {ENCODER: random.Random(1).randbytes(200_000), DECODER: random.Random(2).randbytes(50_000)}
WHOLE = FILES[ENCODER]
SIZE = len(WHOLE)
OTHER = random.Random(3).randbytes(SIZE)


class Pulls:
    """Pulls from one hub into one folder, and what they told."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.hub = hub
        self.store = Store(folder, {name: len(data) for name, data in FILES.items()})
        self.told: list[Progress] = []

    def run(self, *files: str, waits: tuple[float, ...] = ()) -> tuple[str, ...]:
        names = files or (ENCODER,)
        return pull(
            self.store, names, endpoint=self.hub.endpoint, tell=self.told.append, waits=waits
        )

    def fails(self, *files: str, waits: tuple[float, ...] = ()) -> str:
        """Return the one line that a pull fails with."""
        with pytest.raises(ModelError) as caught:
            self.run(*files, waits=waits)
        line = str(caught.value)
        assert "\n" not in line and len(line) < 300
        return line

    @property
    def part(self) -> Path:
        return part_path(self.store, ENCODER)

    def is_here(self, name: str = ENCODER) -> bool:
        """Tell whether a file is in its place, after a look at its bytes."""
        path = self.store.path(name)
        return path.exists() and path.read_bytes() == FILES[name] and not path.is_symlink()

    def starts(self) -> list[int]:
        """Return where the bytes began that were asked for."""
        return [request.start for request in self.hub.asked]


@pytest.fixture(autouse=True)
def closed() -> Generator[None]:
    """Close the client that huggingface_hub keeps open."""
    yield
    from huggingface_hub import close_session

    close_session()


@pytest.fixture
def pulls(tmp_path: Path) -> Generator[Pulls]:
    with serving(FILES) as hub:
        yield Pulls(tmp_path / "models", hub)


# What comes -----------------------------------------------------------------------------------


def test_what_is_missing_comes_and_nothing_else_stays(pulls: Pulls) -> None:
    assert pulls.run(ENCODER, DECODER, ENCODER) == (ENCODER, DECODER)
    assert pulls.is_here(ENCODER) and pulls.is_here(DECODER)
    left = {path.name for path in pulls.part.parent.iterdir()}
    assert left == {ENCODER, DECODER, "record.json"}
    assert pulls.hub.served == sum(map(len, FILES.values()))


def test_a_hash_is_written_down_with_where_the_file_came_from(pulls: Pulls) -> None:
    pulls.run()
    entry = pulls.store.record("published")[ENCODER]
    assert entry.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert (entry.size, entry.source) == (SIZE, f"{REPOSITORY}@{REVISION}")


def test_what_is_here_is_not_asked_for(pulls: Pulls) -> None:
    pulls.run(ENCODER)
    assert pulls.run(ENCODER) == ()
    assert pulls.run(ENCODER, DECODER) == (DECODER,)
    assert [Path(request.path).name for request in pulls.hub.asked] == [ENCODER, DECODER]


def test_a_file_that_has_changed_comes_again(pulls: Pulls) -> None:
    pulls.run()
    pulls.store.path(ENCODER).write_bytes(OTHER)
    assert pulls.run() == (ENCODER,) and pulls.is_here()


def test_progress_is_told_from_the_first_byte_to_the_last(pulls: Pulls) -> None:
    pulls.run()
    coming = [told for told in pulls.told if isinstance(told, Downloading)]
    assert [told.done for told in coming] == sorted(told.done for told in coming)
    assert coming[0] == Downloading(ENCODER, 0, SIZE, 0)
    assert coming[-1] == Downloading(ENCODER, SIZE, SIZE, 0)
    assert len(coming) > 3
    assert pulls.told[len(coming) :] == [Checking(ENCODER, SIZE, SIZE), Pulled(ENCODER, SIZE)]


def test_the_librarys_logger_is_as_it_was(pulls: Pulls) -> None:
    pulls.run()
    logger = logging.getLogger("huggingface_hub")
    logger.setLevel(logging.INFO)
    pulls.run(DECODER)
    assert logger.level == logging.INFO


# What is cut ----------------------------------------------------------------------------------


def test_a_pull_that_was_cut_goes_on_where_it_ended(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(cut=70_000))
    line = pulls.fails()
    assert "70,000 of 200,000 bytes are here" in line and "the same command goes on" in line
    assert not pulls.store.path(ENCODER).exists()
    pulls.told.clear()
    pulls.run()
    assert pulls.told[0] == Downloading(ENCODER, 70_000, SIZE, 70_000)
    assert pulls.starts() == [0, 70_000] and pulls.hub.served == SIZE
    assert pulls.is_here()


def test_a_cut_connection_is_taken_up_as_long_as_each_brings_something(pulls: Pulls) -> None:
    pulls.hub.answers(*[Answer(cut=30_000)] * 5)
    assert pulls.run(waits=(0.0,)) == (ENCODER,) and pulls.is_here()
    assert pulls.starts() == [0, 30_000, 60_000, 90_000, 120_000, 150_000]
    assert sum(isinstance(told, Cut) for told in pulls.told) == 5


def test_a_hub_that_brings_nothing_more_is_given_up(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(cut=30_000), *[Answer(503)] * 3)
    assert "it answers 503" in pulls.fails(waits=(0.0, 0.0))
    assert len(pulls.hub.asked) == 1 + 2
    assert pulls.part.stat().st_size == 30_000


def test_a_hub_that_brings_nothing_at_all_is_not_waited_for(pulls: Pulls) -> None:
    pulls.hub.usual = Answer(503)
    assert "it answers 503; try again later" in pulls.fails(waits=(0.0, 0.0))
    assert len(pulls.hub.asked) == 1 and not pulls.part.exists()


def test_a_hub_that_brought_one_file_is_waited_for_with_the_next(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(), Answer(503), Answer(503))
    assert pulls.run(DECODER, ENCODER, waits=(0.0, 0.0)) == (DECODER, ENCODER)


def test_a_hub_that_cannot_give_a_part_gives_all(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(cut=70_000), Answer(ranges=False))
    pulls.fails()
    pulls.run()
    assert pulls.is_here() and pulls.hub.served == SIZE + 70_000


def test_a_part_that_is_whole_costs_one_byte(pulls: Pulls) -> None:
    pulls.part.parent.mkdir(parents=True)
    pulls.part.write_bytes(WHOLE)
    pulls.run()
    assert pulls.is_here() and pulls.hub.served == 1


def test_a_part_of_another_revision_is_not_gone_on_with_and_does_not_stay(pulls: Pulls) -> None:
    old = part_path(pulls.store, ENCODER, "0" * 40)
    old.parent.mkdir(parents=True)
    old.write_bytes(OTHER[:1000])
    pulls.run()
    assert pulls.is_here() and pulls.starts() == [0] and not old.exists()


def test_who_interrupts_keeps_what_came_and_no_lock(pulls: Pulls) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, Downloading) and progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(pulls.store, [ENCODER], endpoint=pulls.hub.endpoint, tell=interrupt)
    here = pulls.part.stat().st_size
    assert 0 < here < SIZE
    pulls.run()
    assert pulls.is_here() and pulls.starts() == [0, here]


def test_what_a_listener_raises_is_its_own(pulls: Pulls) -> None:
    def broken(progress: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        pull(pulls.store, [ENCODER], endpoint=pulls.hub.endpoint, tell=broken)


@given(
    answers=st.lists(
        st.builds(
            Answer,
            status=st.sampled_from([302, 302, 302, 503]),
            cut=st.integers(0, SIZE) | st.none(),
            ranges=st.booleans(),
            silent=st.booleans(),
        ),
        max_size=6,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_however_a_line_is_cut_what_comes_in_the_end_is_the_file(
    tmp_path_factory: pytest.TempPathFactory, answers: list[Answer]
) -> None:
    with serving(FILES) as hub:
        pulls = Pulls(tmp_path_factory.mktemp("models"), hub)
        hub.answers(*answers)
        while not pulls.is_here():
            asked = len(hub.asked)
            try:
                pulls.run()
            except ModelError:
                assert asked < len(hub.asked) <= len(answers)


# What is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "announced",
    [Answer(size=5), Answer(size=SIZE + 1), Answer(body=OTHER[:5]), Answer(body=OTHER + b"x")],
)
def test_a_file_that_is_announced_with_another_size_does_not_come(
    pulls: Pulls, announced: Answer
) -> None:
    pulls.hub.usual = announced
    size = announced.size or len(announced.body or b"")
    assert f"it has {size:,} bytes, the published one 200,000" in pulls.fails()
    assert not pulls.part.exists()


def test_a_file_that_does_not_end_is_refused_and_removed(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(body=WHOLE + b"more", silent=True))
    assert "does not end after the 200,000 bytes" in pulls.fails()
    assert not pulls.part.exists()
    assert pulls.run() == (ENCODER,) and pulls.is_here()


def test_a_file_that_ends_early_is_refused_and_removed(pulls: Pulls) -> None:
    pulls.hub.usual = Answer(body=WHOLE[:1000], silent=True)
    assert "it ended early" in pulls.fails()
    assert "it has 1,000 bytes" in pulls.fails()
    assert not pulls.part.exists()


def test_bytes_that_are_not_what_was_announced_are_removed(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(body=OTHER))
    line = pulls.fails()
    assert "came damaged" in line and "afresh" in line
    assert not pulls.part.exists() and not pulls.store.path(ENCODER).exists()
    assert pulls.run() == (ENCODER,) and pulls.is_here()
    assert pulls.starts() == [0, 0]


def test_a_part_that_begins_elsewhere_is_refused(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(cut=70_000), Answer(shift=1))
    pulls.fails()
    assert "does not answer as a hub does" in pulls.fails()
    assert pulls.part.read_bytes() == WHOLE[:70_000]


def test_a_part_that_is_damaged_on_the_disk_is_found(pulls: Pulls) -> None:
    pulls.hub.answers(Answer(cut=70_000))
    pulls.fails()
    pulls.part.write_bytes(OTHER[:70_000])
    assert "came damaged" in pulls.fails()
    assert pulls.run() == (ENCODER,) and pulls.is_here()


def test_a_hub_without_hashes_is_believed_the_first_time_only(pulls: Pulls) -> None:
    pulls.hub.usual = Answer(etag="a git hash")
    pulls.run()
    pulls.store.path(ENCODER).unlink()
    pulls.hub.files[ENCODER] = OTHER
    assert "not the file that came from there before" in pulls.fails()
    assert not pulls.part.exists() and not pulls.store.path(ENCODER).exists()
    pulls.hub.files[ENCODER] = WHOLE
    assert pulls.run() == (ENCODER,) and pulls.is_here()


REFUSALS = [
    (Answer(404, "EntryNotFound"), f"has no {ENCODER} of {REPOSITORY}@"),
    (Answer(404, "RepoNotFound"), f"has no {ENCODER} of {REPOSITORY}@"),
    (Answer(404, "RevisionNotFound"), f"has no {ENCODER} of {REPOSITORY}@"),
    (Answer(404), f"has no {ENCODER} of {REPOSITORY}@"),
    (Answer(401, "GatedRepo"), "ask there for access"),
    (Answer(403, "GatedRepo"), "ask there for access"),
    (Answer(401), "(401): log in with `hf auth login`"),
    (Answer(403), "(403): log in with `hf auth login`"),
    (Answer(418), "it answers 418"),
    (Answer(204), "it answers 204"),
    (Answer(429), "it answers 429; try again later"),
    (Answer(500), "it answers 500; try again later"),
    (Answer(503), "it answers 503; try again later"),
    (Answer(200, commit=None), "is a login page in the way"),
    (Answer(302, commit=None), "is a login page in the way"),
    (Answer(302, commit="0" * 40), "is a login page in the way"),
]


@pytest.mark.parametrize(("answer", "said"), REFUSALS)
def test_a_refusal_is_told_in_one_line(pulls: Pulls, answer: Answer, said: str) -> None:
    pulls.hub.answers(answer)
    line = pulls.fails()
    assert said in line and f"127.0.0.1:{pulls.hub.port}" in line
    assert not pulls.part.exists()
    assert pulls.run() == (ENCODER,)


@pytest.mark.parametrize("answer", [answer for answer, _ in REFUSALS])
def test_a_refusal_takes_nothing_of_what_came(pulls: Pulls, answer: Answer) -> None:
    pulls.hub.answers(Answer(cut=70_000), answer)
    pulls.fails()
    pulls.fails()
    assert pulls.part.read_bytes() == WHOLE[:70_000]


@pytest.mark.parametrize("user", ["", "me:secret@"])
def test_a_hub_that_is_not_there_is_named(tmp_path: Path, user: str) -> None:
    endpoint = f"http://{user}nosuch.invalid"
    with pytest.raises(ModelError) as caught:
        pull(Store(tmp_path, {ENCODER: SIZE}), [ENCODER], endpoint=endpoint, waits=(9.0,))
    line = str(caught.value)
    assert line.startswith(f"{ENCODER} cannot be had from nosuch.invalid: ")
    assert "\n" not in line and "Errno" not in line and "focal models import" in line


@pytest.mark.parametrize("endpoint", ["http://[", "", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_what_is_no_address_of_a_hub_is_not_asked(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(ModelError, match=r"^the endpoint is .*, which is no address of a hub: "):
        pull(Store(tmp_path, {ENCODER: SIZE}), [ENCODER], endpoint=endpoint)


def test_a_hub_that_refuses_connections_is_named(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ModelError, match=r"127\.0\.0\.1:\d+: Connection refused"):
            pull(Store(tmp_path, {ENCODER: SIZE}), [ENCODER], endpoint=endpoint)


# Where it goes --------------------------------------------------------------------------------


def test_no_room_is_told_before_anything_is_asked(pulls: Pulls) -> None:
    def room(count: int) -> None:
        pull(
            pulls.store,
            [ENCODER, DECODER],
            endpoint=pulls.hub.endpoint,
            free=lambda _: count,
            waits=(),
        )

    with pytest.raises(ModelError, match=r"0\.2 MB are to come and 0\.1 MB are free; free some"):
        room(100_000)
    assert not pulls.hub.asked
    pulls.hub.answers(Answer(cut=170_000))
    with pytest.raises(ModelError, match="170,000 of 200,000"):
        room(250_000)
    room(80_000)  # what came counts
    assert pulls.is_here(ENCODER) and pulls.is_here(DECODER)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/proc/focal", "nothing can be written to /proc/focal (FOCAL_MODELS_DIR names another"),
        ("file/models", "a part of this path is a file, not a folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_asked(
    tmp_path: Path, folder: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    with serving(FILES) as hub:
        assert said in Pulls(tmp_path / folder, hub).fails()
    assert not hub.asked


def test_without_huggingface_hub_its_extra_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from pathlib import Path\n"
        "from focal.core.errors import ModelError\n"
        "from focal.plugins.models.hub import pull\n"
        "from focal.plugins.models.store import Store\n"
        "try: pull(Store(Path(sys.argv[1])), ['encoder.onnx'], free=lambda _: 10**9)\n"
        "except ModelError as error: print(error)\n"
    )
    with running([sys.executable, "-c", script, str(tmp_path)], Deadline()) as process:
        assert process.wait() == 0, process.story()
    (line,) = process.out
    assert "pip install 'focal-voice[focalcodec]'" in line and "focal models import" in line
