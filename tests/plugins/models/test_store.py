"""The store: what came in is known by its hash, and what has changed since is not used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import CodecMissing, ModelError
from focal.plugins.models.disk import Stamp, copy_file, hash_file, lock, telling, write_whole
from focal.plugins.models.kinds import model_of, quality_of
from focal.plugins.models.record import Entry, parse_record, read_record, write_record
from focal.plugins.models.store import FOUND, SHELVES, Part, Shelf, Store
from tests.deadline import environment
from tests.unprivileged import ordinary_user

ENCODER, DECODER = "encoder.onnx", "decoder_50hz.onnx"
SIZES = {ENCODER: 5, DECODER: 3, "compressor_50hz.onnx": 4}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store whose published files are of a few bytes."""
    return Store(tmp_path / "models", SIZES, unix=lambda: 1000.0)


def come(store: Store, name: str, data: bytes, shelf: Shelf = "published") -> None:
    """Bring a file in."""
    with store.changing(), store.part(name, shelf) as part:
        part.write_bytes(data)
        store.take([Part(name, part, "hub@1")], shelf)


def refusal(store: Store, name: str, shelf: Shelf = "published") -> str:
    """Return the one line with which a file is not used."""
    with pytest.raises(CodecMissing) as caught:
        store.check(name, shelf)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(path: Path, data: bytes) -> None:
    """Change what is in a file so that it looks untouched."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def everything(folder: Path) -> dict[Path, bytes]:
    """Return all files of a folder and what is in them; locks are empty and do not count."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if path.suffix != ".lock"}


class TestChecking:
    def test_what_came_in_is_good_and_its_hash_is_known(self, store: Store) -> None:
        come(store, ENCODER, b"hello")
        store.check(ENCODER)
        assert store.sha256(ENCODER) == hashlib.sha256(b"hello").digest()
        entry = store.entry(ENCODER)
        assert (entry.size, entry.source, entry.at) == (5, "hub@1", 1000.0)
        assert (entry.optimized_from, entry.forced) == (None, False)

    def test_shelves_are_kept_apart(self, store: Store) -> None:
        come(store, ENCODER, b"hello")
        come(store, ENCODER, b"mine", "local")
        assert store.sha256(ENCODER) != store.sha256(ENCODER, "local")
        assert store.path(ENCODER, "local").read_bytes() == b"mine"

    def test_what_is_missing_says_how_to_get_it(self, store: Store) -> None:
        path = store.path("compressor_25hz.onnx")
        assert refusal(store, "compressor_25hz.onnx") == (
            f"{path} is not here: `focal models pull 25hz`"
        )
        assert "`focal models import DIR --any-weights`" in refusal(store, ENCODER, "local")
        assert not store.folder.exists()

    def test_other_bytes_are_refused(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        store.path(DECODER).write_bytes(b"abd")
        line = refusal(store, DECODER)
        assert line.startswith(f"{store.path(DECODER)} has changed since it came in")
        assert "focal models pull 50hz" in line
        with pytest.raises(CodecMissing, match="has changed"):
            store.sha256(DECODER)
        come(store, DECODER, b"xyz", "local")
        store.path(DECODER, "local").write_bytes(b"xy")
        assert "import it again, `focal models import DIR" in refusal(store, DECODER, "local")

    def test_what_nobody_touched_is_not_read_again(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        rewrite(store.path(DECODER), b"abd")
        store.check(DECODER)
        assert store.look(DECODER, again=True)[0] == "changed"

    def test_what_was_touched_and_is_the_same_is_read_once(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        os.utime(store.path(DECODER), ns=(5, 5))
        read: list[int] = []
        assert store.look(DECODER, passed=read.append)[0] == "good"
        assert store.look(DECODER, passed=read.append)[0] == "good"
        assert read == [3]
        assert store.record("published")[DECODER].mtime_ns == 5

    def test_another_file_with_the_same_bytes_is_good(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        other = store.folder / "copy"
        other.write_bytes(b"abc")
        other.replace(store.path(DECODER))
        store.check(DECODER)
        assert store.record("published")[DECODER].stamp == Stamp.of(store.path(DECODER))

    def test_a_published_file_put_there_by_hand_is_taken_up(self, store: Store) -> None:
        store.path(DECODER).parent.mkdir(parents=True)
        store.path(DECODER).write_bytes(b"abc")
        store.check(DECODER)
        assert store.entry(DECODER).source == FOUND
        store.path(DECODER).write_bytes(b"abd")
        assert "has changed" in refusal(store, DECODER)

    @pytest.mark.parametrize("data", [b"", b"ab", b"abcd"])
    def test_a_file_of_another_size_put_there_by_hand_is_not(
        self, store: Store, data: bytes
    ) -> None:
        store.path(DECODER).parent.mkdir(parents=True)
        store.path(DECODER).write_bytes(data)
        line = refusal(store, DECODER)
        assert "has not the published 3 bytes" in line and "--any-weights" in line
        assert store.record("published") == {}

    def test_a_local_file_put_there_by_hand_is_not(self, store: Store) -> None:
        store.path(DECODER, "local").parent.mkdir(parents=True)
        store.path(DECODER, "local").write_bytes(b"abc")
        assert "was put there by hand" in refusal(store, DECODER, "local")

    def test_a_folder_in_a_files_place_is_no_model(self, store: Store) -> None:
        store.path(DECODER).mkdir(parents=True)
        assert "has not the published" in refusal(store, DECODER)

    def test_a_file_in_the_stores_place_is_one_line(self, store: Store) -> None:
        store.folder.write_bytes(b"")
        assert "a part of this path is a file" in refusal(store, DECODER)
        with pytest.raises(ModelError, match="cannot be changed: "), store.changing():
            raise AssertionError


class TestWhatMayNotBeWritten:
    def test_what_is_known_is_good(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        with read_only(store), ordinary_user():
            store.check(DECODER)
            with pytest.raises(ModelError, match="permission denied"):
                store.remove([DECODER])
            with pytest.raises(ModelError, match="permission denied"), store.changing():
                raise AssertionError
        store.check(DECODER)

    def test_a_new_stamp_is_kept_for_this_process(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        os.utime(store.path(DECODER), ns=(5, 5))
        before = everything(store.folder)
        read: list[int] = []
        with read_only(store), ordinary_user():
            for _ in range(3):
                assert store.look(DECODER, passed=read.append)[0] == "good"
        assert read == [3] and everything(store.folder) == before

    def test_what_changes_there_all_the_same_is_refused(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        os.utime(store.path(DECODER), ns=(5, 5))
        with read_only(store), ordinary_user():
            store.check(DECODER)
        store.path(DECODER).write_bytes(b"abd")
        with read_only(store), ordinary_user():
            assert "has changed" in refusal(store, DECODER)

    def test_what_may_not_be_read_is_one_line(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        os.utime(store.path(DECODER), ns=(5, 5))
        store.path(DECODER).chmod(0)
        with ordinary_user():
            assert "cannot be read: permission denied" in refusal(store, DECODER)


class read_only:
    """Let nobody write into a store for the time of the context; root may all the same."""

    def __init__(self, store: Store) -> None:
        self._things = [store.folder, *store.folder.rglob("*")]

    def _all(self, folder: int, file: int) -> None:
        for thing in self._things:
            thing.chmod(folder if thing.is_dir() else file)

    def __enter__(self) -> None:
        self._all(0o555, 0o444)
        for parent in self._things[0].parents:
            if parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(0o755)  # pytest's folders are for their owner alone

    def __exit__(self, *_: object) -> None:
        self._all(0o755, 0o644)


class TestComingAndGoing:
    def test_a_part_that_is_not_taken_leaves_nothing(self, store: Store) -> None:
        with store.changing(), store.part(DECODER) as part:
            part.write_bytes(b"half")
        assert everything(store.folder) == {}

    def test_what_a_killed_process_left_is_removed(self, store: Store) -> None:
        with store.changing(), store.part(DECODER) as part:
            name = part
        name.write_bytes(b"half")
        with store.changing(), store.part(DECODER) as part:
            assert part == name and not part.exists()

    @pytest.mark.parametrize("name", [f".{DECODER}.part", f"..{ENCODER}.part.part"])
    def test_whoever_comes_next_removes_it(self, store: Store, name: str) -> None:
        come(store, DECODER, b"abc")
        for kept in (".record.json.part", f"{DECODER}.a683dc2f.part"):
            store.path(kept).write_bytes(b"of somebody else")
        before = everything(store.folder)
        for shelf in SHELVES:
            store.path(name, shelf).write_bytes(b"half")
        assert store.parts() == [store.path(name, shelf) for shelf in SHELVES]
        with store.changing():
            assert everything(store.folder) == before

    def test_one_process_at_a_time_makes_parts(self, store: Store) -> None:
        with store.changing():
            with pytest.raises(ModelError, match="another process is changing"), store.changing():
                raise AssertionError
        with store.changing():
            pass

    def test_interrupted_it_leaves_the_store_as_it_was(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        before = everything(store.folder)

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        with (
            pytest.raises(KeyboardInterrupt),
            store.changing(),
            store.part(DECODER) as one,
            store.part(ENCODER) as other,
        ):
            one.write_bytes(b"new")
            other.write_bytes(b"new")
            store.take([Part(DECODER, one, "x"), Part(ENCODER, other, "x")], passed=interrupt)
        assert everything(store.folder) == before

    def test_what_was_moved_before_a_failure_is_written_down(self, store: Store) -> None:
        (store.path(ENCODER) / "in the way").mkdir(parents=True)
        with store.changing(), store.part(DECODER) as one, store.part(ENCODER) as other:
            one.write_bytes(b"abc")
            other.write_bytes(b"hello")
            with pytest.raises(ModelError, match="cannot be changed"):
                store.take([Part(DECODER, one, "x"), Part(ENCODER, other, "x")])
        store.check(DECODER)
        assert list(store.record("published")) == [DECODER]

    def test_removed_files_go_with_their_parts_and_their_record(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        come(store, ENCODER, b"hello")
        store.path(f"{DECODER}.a683dc2f.part").write_bytes(b"ab")
        store.path(f".{DECODER}.part").write_bytes(b"ab")
        store.remove([DECODER, "compressor_50hz.onnx"])
        assert {path.name for path in everything(store.folder)} == {ENCODER, "record.json"}
        assert list(store.record("published")) == [ENCODER]

    def test_removing_from_nothing_makes_nothing(self, store: Store) -> None:
        store.remove([DECODER])
        assert not store.folder.exists()

    def test_a_file_that_moves_to_its_place_is_waited_for(self, store: Store) -> None:
        """Between a file's move and the record's writing, both are of different files."""
        come(store, DECODER, b"abc")
        entry = store.record("published")[DECODER]
        with ThreadPoolExecutor(1) as pool:
            with lock(store.folder / "record.lock"):
                store.path(DECODER).write_bytes(b"xyz")
                sha256, stamp = hash_file(store.path(DECODER))
                first = pool.submit(store.look, DECODER)
                looked = Store(store.folder, SIZES)
                new = Entry(3, sha256, entry.source, 1.0, stamp.mtime_ns, stamp.inode)
                write_record(store.folder / "published", {DECODER: new})
            assert first.result() == ("good", new)
        assert looked.look(DECODER) == ("good", new)

    def test_threads_lose_no_entry(self, tmp_path: Path) -> None:
        names = [f"file{n}" for n in range(40)]
        store = Store(tmp_path, dict.fromkeys(names, 1))
        (tmp_path / "published").mkdir()

        def take(name: str) -> None:
            part = tmp_path / f"{name}.part"
            part.write_bytes(name.encode())
            Store(tmp_path, store.sizes).take([Part(name, part, "x")])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(take, names))
        assert sorted(store.record("published")) == sorted(names)
        for name in names:
            store.check(name)

    def test_processes_lose_no_entry(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path\n"
            "from focal.plugins.models.store import Part, Store\n"
            "folder, who = Path(sys.argv[1]), sys.argv[2]\n"
            "for n in range(10):\n"
            "    part = folder / f'{who}{n}.part'; part.write_bytes(b'x')\n"
            "    Store(folder).take([Part(f'{who}{n}', part, 'x')])\n"
        )
        started = [
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path), who], env=environment())
            for who in "abc"
        ]
        assert [process.wait(60) for process in started] == [0, 0, 0]
        assert len(Store(tmp_path).record("published")) == 30


class TestRecord:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{",
            '{"version": 2, "files": {}}',
            '{"version": 1}',
            '{"version": 1, "files": {"x": 1}}',
            '{"version": 1, "files": {"x": {"size": 1}}}',
        ],
    )
    def test_a_damaged_one_is_told(self, store: Store, text: str) -> None:
        come(store, DECODER, b"abc")
        (store.folder / "published" / "record.json").write_text(text)
        assert "record.json is damaged" in refusal(store, DECODER)
        with pytest.raises(ModelError, match="is damaged"):
            come(store, DECODER, b"abc")
        assert store.path(DECODER).read_bytes() == b"abc"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"source": ...}, "(source is missing)"),
            ({"sha256": ...}, "(sha256 is missing)"),
            ({"size": "5"}, "(size is '5')"),
            ({"source": 5}, "(source is 5)"),
            ({"source": ["x" * 1000]}, f"(source is ['{'x' * 58}…)"),
            ({"sha256": "0"}, "(sha256 is '0')"),
            ({"sha256": "g" * 64}, f"(sha256 is '{'g' * 59}…)"),
            ({"optimized_from": "who knows"}, "(optimized_from is 'who knows')"),
            ({"at": float("nan")}, "(at is nan)"),
            ({"at": 10**400}, f"(at is 1{'0' * 59}…)"),
        ],
    )
    def test_what_is_wrong_is_told_in_words(
        self, store: Store, change: dict[str, object], why: str
    ) -> None:
        come(store, DECODER, b"abc")
        path = store.folder / "published" / "record.json"
        said = json.loads(path.read_text())
        facts = said["files"][DECODER] | change
        said["files"][DECODER] = {name: fact for name, fact in facts.items() if fact is not ...}
        path.write_text(json.dumps(said))
        assert f"record.json is damaged {why}: remove it" in refusal(store, DECODER)

    def test_one_with_more_in_it_can_be_read(self, store: Store) -> None:
        come(store, DECODER, b"abc")
        path = store.folder / "published" / "record.json"
        said = json.loads(path.read_text())
        said["files"][DECODER]["later"] = 1
        path.write_text(json.dumps({**said, "more": []}))
        store.check(DECODER)

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_are_a_record_or_a_value_error(self, data: bytes) -> None:
        try:
            parse_record(data)
        except ValueError:
            pass

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["size", "sha256", "at", "source", "x"]), inner)
            ),
            max_leaves=8,
        )
    )
    def test_any_facts_are_an_entry_or_a_value_error(self, facts: object) -> None:
        text = json.dumps({"version": 1, "files": {"x": facts}})
        try:
            parse_record(text.encode())
        except ValueError:
            pass

    @given(
        size=st.integers(0, 2**40),
        data=st.binary(),
        source=st.text(max_size=20).filter(lambda text: text.isprintable()),
        at=st.floats(0, 1e10),
        inode=st.integers(0, 2**64),
        forced=st.booleans(),
    )
    def test_what_is_written_is_read(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        size: int,
        data: bytes,
        source: str,
        at: float,
        inode: int,
        forced: bool,
    ) -> None:
        folder = tmp_path_factory.getbasetemp()
        sha256 = hashlib.sha256(data).hexdigest()
        entry = Entry(size, sha256, source, at, inode, inode, sha256, forced)
        write_record(folder, {"x": entry})
        assert read_record(folder) == {"x": entry}


class TestDisk:
    def test_a_file_that_is_being_written_has_no_hash(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"abc")

        def write(_: int) -> None:
            path.write_bytes(b"abcd")

        with pytest.raises(OSError, match="is being written"):
            hash_file(path, write)

    def test_a_copy_is_hashed_as_it_is_made(self, tmp_path: Path) -> None:
        data = os.urandom(3_000_000)
        (tmp_path / "x").write_bytes(data)
        passed: list[int] = []
        made = copy_file(tmp_path / "x", tmp_path / "y", passed.append)
        assert made == (hashlib.sha256(data).hexdigest(), Stamp.of(tmp_path / "y"))
        assert (tmp_path / "y").read_bytes() == data
        assert sum(passed) == len(data) and len(passed) > 1

    def test_a_file_that_cannot_be_written_whole_is_as_it_was(self, tmp_path: Path) -> None:
        (tmp_path / "x" / "y").mkdir(parents=True)
        with pytest.raises(OSError):
            write_whole(tmp_path / "x", b"data")
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    @pytest.mark.parametrize(("number", "cure"), [(28, "the disk is full"), (30, "read-only")])
    def test_what_the_disk_refuses_is_told_in_words(self, number: int, cure: str) -> None:
        with pytest.raises(ModelError, match=f"^it: .*{cure}"), telling("it"):
            raise OSError(number, "unlucky")

    def test_a_lock_is_owned_once_and_waited_for(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            with lock(tmp_path / "x") as first, lock(tmp_path / "x", wait=False) as second:
                assert (first, second) == (True, False)
                waiting = pool.submit(_owned, tmp_path / "x")
                assert not waiting.done()
            assert waiting.result()


def _owned(path: Path) -> bool:
    with lock(path) as ours:
        return ours


def test_each_file_has_its_kind() -> None:
    path = Path("x")
    assert quality_of(ENCODER).name == "50hz"
    assert model_of(ENCODER, path).given == (1, 1360)
    compressor = model_of("compressor_12_5hz.onnx", path)
    assert (compressor.graph.what, compressor.given, compressor.gives) == (
        "compressor", (1, 16, 1024), 4,
    )  # fmt: skip
    decoder = model_of("decoder_25hz.onnx", path)
    assert (decoder.graph.what, decoder.given, decoder.gives) == ("decoder", (1, 4), 8)
