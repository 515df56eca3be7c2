"""Bringing models in from a folder: all of it or nothing, and nothing that was not looked at."""

from __future__ import annotations

import _thread
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper

from focal.core.errors import CodecMissing, ModelError
from focal.plugins.models.bring import (
    Offered,
    bring,
    is_hearsay,
    offered,
    see_inside,
    see_sizes,
)
from focal.plugins.models.catalogue import REPOSITORY, REVISION, SIZES
from focal.plugins.models.graph import Model
from focal.plugins.models.record import RECORD, read_record, write_record
from focal.plugins.models.sessions import Halt, Sessions
from focal.plugins.models.settings import ModelSettings
from focal.plugins.models.store import Part, Store
from tests.plugins.models.graphs import (
    FLOAT,
    INT64,
    asking,
    constant,
    endless,
    graph,
    node,
    out,
    restless,
)

ENCODER, DECODER = "encoder.onnx", "decoder_50hz.onnx"
COMPRESSOR = "compressor_50hz.onnx"


@pytest.fixture
def source(small: Path, tmp_path: Path) -> Path:
    """Return a folder with the seven files that a test may change."""
    return Path(shutil.copytree(small, tmp_path / "source"))


@pytest.fixture
def store(small: Path, tmp_path: Path) -> Store:
    """Return an empty store for which the small models are the published ones."""
    sizes = {name: (small / name).stat().st_size for name in SIZES}
    return Store(tmp_path / "store", sizes, unix=lambda: 1000.0)


@pytest.fixture
def sessions() -> Sessions:
    """Return sessions of one thread."""
    return Sessions(ModelSettings(threads=1))


def names(files: list[Offered]) -> list[str]:
    return [file.name for file in files]


def everything(folder: Path) -> dict[Path, bytes]:
    """Return all files of a folder and what is in them; locks are empty and do not count."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if path.suffix != ".lock"}


def no_link(source: Path, target: Path) -> None:
    raise OSError(errno.EXDEV, "other disk")


class TestFinding:
    def test_all_that_is_there_is_offered(self, source: Path, store: Store) -> None:
        assert names(offered(source, store.sizes)) == list(SIZES)
        (source / ENCODER).unlink()
        assert names(offered(source, store.sizes)) == list(SIZES)[1:]

    @pytest.mark.parametrize("place", ["published", f"snapshots/{REVISION}"])
    def test_a_folder_in_it_is_found(
        self, source: Path, store: Store, tmp_path: Path, place: str
    ) -> None:
        (tmp_path / "outer" / place).parent.mkdir(parents=True)
        source.rename(tmp_path / "outer" / place)
        assert names(offered(tmp_path / "outer", store.sizes)) == list(SIZES)

    def test_links_of_a_snapshot_are_followed(
        self, source: Path, store: Store, tmp_path: Path
    ) -> None:
        snapshot = tmp_path / "snapshot"
        snapshot.mkdir()
        for n, name in enumerate(SIZES):
            (source / name).rename(source / f"blob{n}")
            (snapshot / name).symlink_to(Path("..") / "source" / f"blob{n}")
        files = offered(snapshot, store.sizes)
        assert [file.path.name for file in files] == [f"blob{n}" for n in range(7)]
        assert bring(store, files, "published") == list(SIZES)
        assert not store.path(ENCODER).is_symlink()
        store.check(ENCODER)

    def test_a_folder_without_models_is_told(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"there are no models in .*: none of encoder.onnx, "):
            offered(tmp_path, store.sizes)

    def test_what_is_no_folder_is_told(self, source: Path, store: Store, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="nowhere cannot be read: it is not there"):
            offered(tmp_path / "nowhere", store.sizes)
        with pytest.raises(ModelError, match="cannot be read: a part of this path is a file"):
            offered(source / ENCODER, store.sizes)

    def test_what_is_no_file_is_told(self, source: Path, store: Store) -> None:
        (source / DECODER).unlink()
        (source / DECODER).symlink_to("gone")
        with pytest.raises(ModelError, match=f"{DECODER} is a link to nothing"):
            offered(source, store.sizes)
        (source / DECODER).unlink()
        (source / DECODER).mkdir()
        with pytest.raises(ModelError, match=f"{DECODER} is no file"):
            offered(source, store.sizes)


class TestLooking:
    def test_published_sizes_are_exact(self, source: Path, store: Store) -> None:
        see_sizes(store, offered(source, store.sizes))
        size = store.sizes[DECODER]
        with (source / DECODER).open("ab") as file:
            file.write(b"x")
        with pytest.raises(ModelError) as caught:
            see_sizes(store, offered(source, store.sizes))
        assert str(caught.value) == (
            f"{source / DECODER} has {size + 1:,} bytes and the published {DECODER} {size:,}: "
            "--any-weights if these are weights of your own; nothing was taken"
        )

    def test_each_file_is_a_model_of_its_kind(
        self, source: Path, store: Store, sessions: Sessions
    ) -> None:
        for file in offered(source, store.sizes):
            see_inside(file, sessions)

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            ("encoder.onnx", "decoder_50hz.onnx"),
            ("decoder_50hz.onnx", "compressor_50hz.onnx"),
            ("decoder_50hz.onnx", "decoder_25hz.onnx"),
            ("decoder_12_5hz.onnx", "decoder_25hz.onnx"),
            ("compressor_25hz.onnx", "compressor_50hz.onnx"),
        ],
    )
    def test_a_model_of_another_kind_is_refused(
        self, source: Path, store: Store, sessions: Sessions, name: str, other: str
    ) -> None:
        shutil.copyfile(source / other, source / name)
        (file,) = offered(source, [name])
        with pytest.raises(ModelError) as caught:
            see_inside(file, sessions)
        line = str(caught.value)
        assert line.startswith(f"{source / name} cannot be used as ")
        assert line.endswith("; nothing was taken") and "focal models" not in line

    @pytest.mark.parametrize("data", [b"", b"hello", bytes(1000), b"<html>not found</html>"])
    def test_what_is_no_model_is_refused(
        self, source: Path, sessions: Sessions, data: bytes
    ) -> None:
        (source / DECODER).write_bytes(data)
        (file,) = offered(source, [DECODER])
        with pytest.raises(ModelError, match=f"^{source / DECODER}.*nothing was taken$"):
            see_inside(file, sessions)

    def test_a_model_in_two_files_is_refused(self, source: Path, sessions: Sessions) -> None:
        (source / "weights").write_bytes(bytes(4))
        (source / DECODER).write_bytes(asking("weights").SerializeToString())
        (file,) = offered(source, [DECODER])
        with pytest.raises(ModelError, match="keeps weights in 'weights'"):
            see_inside(file, sessions)


class Interrupting(Sessions):
    """Sessions in which Ctrl-C is pressed while a model is loaded or run."""

    def run_until(
        self, halt: Halt, model: Model, given: NDArray[Any]
    ) -> Mapping[str, NDArray[Any]]:
        """As in ``Sessions``."""
        _thread.interrupt_main()
        return super().run_until(halt, model, given)


class TestTrying:
    """What a file says of itself may be right, and the file of no use all the same."""

    def refusal(self, path: Path, sessions: Sessions, limit: float = 60) -> str:
        (file,) = offered(path.parent, [path.name])
        with pytest.raises(ModelError) as caught:
            see_inside(file, sessions, limit)
        line = str(caught.value)
        assert line.startswith(f"{path} cannot be used as ") and line.endswith("nothing was taken")
        return line

    def test_one_that_does_not_end_is_ended(self, tmp_path: Path, sessions: Sessions) -> None:
        (tmp_path / DECODER).write_bytes(endless().SerializeToString())
        assert "it did not come to an end within 0 s" in self.refusal(
            tmp_path / DECODER, sessions, limit=0
        )

    def test_ctrl_c_ends_one_that_does_not_end(self, tmp_path: Path) -> None:
        (tmp_path / DECODER).write_bytes(endless().SerializeToString())
        (file,) = offered(tmp_path, [DECODER])
        with pytest.raises(KeyboardInterrupt):
            see_inside(file, Interrupting(ModelSettings(threads=1)), limit=60)

    @pytest.mark.parametrize("wrong", ["Sqrt", "Log"])
    def test_a_decoder_that_gives_no_numbers_of_some_tokens(
        self, tmp_path: Path, sessions: Sessions, wrong: str
    ) -> None:
        (tmp_path / DECODER).write_bytes(restless(wrong).SerializeToString())
        assert "it gives magnitude that are no numbers" in self.refusal(
            tmp_path / DECODER, sessions
        )

    @pytest.mark.parametrize("most", [8192, -1, 2**40])
    def test_a_compressor_that_gives_what_is_no_token(
        self, tmp_path: Path, sessions: Sessions, most: int
    ) -> None:
        path = tmp_path / COMPRESSOR
        path.write_bytes(compressor(most).SerializeToString())
        line = self.refusal(path, sessions)
        assert f"it gives the token {most}, and there are 0 to 8191" in line

    def test_a_compressor_that_gives_the_last_token(
        self, tmp_path: Path, sessions: Sessions
    ) -> None:
        (tmp_path / COMPRESSOR).write_bytes(compressor(8191).SerializeToString())
        (file,) = offered(tmp_path, [COMPRESSOR])
        see_inside(file, sessions)

    def test_a_folder_whose_name_is_no_text_is_what_is_wrong(
        self, small: Path, tmp_path: Path, sessions: Sessions
    ) -> None:
        folder = tmp_path / os.fsdecode(b"caf\xe9")
        folder.mkdir()
        shutil.copyfile(small / DECODER, folder / DECODER)
        line = self.refusal(folder / DECODER, sessions)
        assert "its path is not UTF-8" in line and "constructor" not in line


class TestBringing:
    def test_on_one_disk_files_are_linked(self, source: Path, store: Store) -> None:
        assert bring(store, offered(source, store.sizes), "published") == list(SIZES)
        for name in SIZES:
            assert store.path(name).samefile(source / name)
            assert store.entry(name).source == str(source)

    def test_a_source_that_changes_later_is_noticed(self, source: Path, store: Store) -> None:
        bring(store, offered(source, store.sizes), "published")
        data = bytearray((source / DECODER).read_bytes())
        data[-1] ^= 1
        (source / DECODER).write_bytes(data)
        with pytest.raises(CodecMissing, match="has changed since it came in"):
            store.check(DECODER)

    def test_from_another_disk_they_are_copied(self, source: Path, store: Store) -> None:
        files = offered(source, store.sizes)
        passed: list[int] = []
        assert bring(store, files, "local", link=no_link, passed=passed.append) == list(SIZES)
        for name in SIZES:
            assert not store.path(name, "local").samefile(source / name)
            data = (source / name).read_bytes()
            assert store.sha256(name, "local") == hashlib.sha256(data).digest()
        assert sum(passed) == sum(store.sizes.values())

    def test_where_there_is_no_room_nothing_comes(self, source: Path, store: Store) -> None:
        files = offered(source, store.sizes)
        with pytest.raises(ModelError, match=r"no room in .* 10 bytes are free; nothing was taken"):
            bring(store, files, "published", link=no_link, free=lambda _: 10)
        assert everything(store.folder) == {}
        bring(store, files, "published", free=lambda _: 10)  # links take none

    def test_on_another_disk_only_what_is_not_here_needs_room(
        self, source: Path, store: Store
    ) -> None:
        files = offered(source, store.sizes)
        bring(store, files, "published", link=no_link)
        assert bring(store, files, "published", link=no_link, free=lambda _: 0) == []
        store.path(DECODER).write_bytes(b"damaged")
        size = store.sizes[DECODER]
        with pytest.raises(ModelError, match=f"no room in .*: {size:,} bytes are to come"):
            bring(store, files, "published", link=no_link, free=lambda _: size - 1)
        passed: list[int] = []
        took = bring(
            store, files, "published", link=no_link, free=lambda _: size, passed=passed.append
        )
        assert took == [DECODER] and sum(passed) == sum(store.sizes.values())
        store.check(DECODER)

    def test_another_file_of_the_same_size_comes(self, source: Path, store: Store) -> None:
        bring(store, offered(source, store.sizes), "local", link=no_link)
        data = bytearray((source / DECODER).read_bytes())
        data[-1] ^= 1
        (source / DECODER).write_bytes(data)
        files = offered(source, store.sizes)
        assert bring(store, files, "local", link=no_link) == [DECODER]

    def test_interrupted_anywhere_it_leaves_the_store_as_it_was(
        self, source: Path, store: Store
    ) -> None:
        bring(store, offered(source, [DECODER]), "published")
        before = everything(store.folder)
        (source / DECODER).unlink()
        shutil.copyfile(source / "decoder_25hz.onnx", source / DECODER)
        files = offered(source, store.sizes)
        for linking in (os.link, no_link):
            for count in range(len(files)):
                steps = countdown(count)
                with pytest.raises(KeyboardInterrupt):
                    bring(store, files, "published", link=linking, passed=lambda _: next(steps))  # noqa: B023
                assert everything(store.folder) == before

    def test_what_cannot_be_read_stops_all(self, source: Path, store: Store) -> None:
        files = offered(source, store.sizes)
        (source / "decoder_25hz.onnx").unlink()
        with pytest.raises(ModelError, match=r"decoder_25hz.onnx cannot be copied to .*not there"):
            bring(store, files, "published", link=no_link)
        assert everything(store.folder) == {}

    def test_again_there_is_nothing_to_bring(self, source: Path, store: Store) -> None:
        bring(store, offered(source, store.sizes), "published")
        shutil.copytree(source, store.folder / "copy")
        assert bring(store, offered(store.folder / "copy", store.sizes), "published") == []
        assert store.entry(ENCODER).source == str(source)

    def test_a_changed_file_is_brought_in_again(self, source: Path, store: Store) -> None:
        bring(store, offered(source, store.sizes), "published", link=no_link)
        store.path(DECODER).write_bytes(b"x")
        assert bring(store, offered(source, store.sizes), "published") == [DECODER]
        store.check(DECODER)

    def test_the_stores_own_folder_can_be_brought_in(self, source: Path, store: Store) -> None:
        shutil.copytree(source, store.folder / "local")
        files = offered(store.folder / "local", store.sizes)
        assert bring(store, files, "local") == list(SIZES)
        store.check(DECODER, "local")
        assert len(everything(store.folder)) == 8

    def test_other_sizes_count_as_published_if_somebody_says_so(
        self, source: Path, tmp_path: Path
    ) -> None:
        store = Store(tmp_path / "store")
        bring(store, offered(source, store.sizes), "published", forced=True)
        store.check(ENCODER)
        assert store.entry(ENCODER).forced
        assert not Store(store.folder).entry(DECODER).optimized_from

    def test_who_says_so_of_published_ones_says_nothing(self, source: Path, store: Store) -> None:
        bring(store, offered(source, store.sizes), "published", forced=True)
        assert not store.entry(ENCODER).forced


class TestOptimized:
    @pytest.fixture
    def slim(self, source: Path, store: Store) -> Store:
        """Return a store in which the encoder is another one, made from the published one."""
        bring(store, offered(source, store.sizes), "published")
        optimize(store)
        return store

    def test_the_encoder_that_it_was_made_from_is_not_taken(
        self, slim: Store, source: Path
    ) -> None:
        before = slim.entry(ENCODER)
        assert bring(slim, offered(source, slim.sizes), "published") == []
        assert slim.entry(ENCODER) == before

    def test_it_can_be_carried_to_another_store(self, slim: Store, tmp_path: Path) -> None:
        other = Store(tmp_path / "other", slim.sizes)
        files = offered(slim.folder, slim.sizes)
        see_sizes(other, files)
        assert bring(other, files, "published") == list(SIZES)
        entry = other.entry(ENCODER)
        assert entry.optimized_from == slim.entry(ENCODER).optimized_from
        assert entry.source == str(slim.folder / "published") and not entry.forced

    def test_that_it_was_made_of_the_published_one_is_hearsay_elsewhere(
        self, slim: Store, tmp_path: Path
    ) -> None:
        (file,) = offered(slim.folder, [ENCODER])
        assert is_hearsay(Store(tmp_path / "other", slim.sizes), file)
        assert not is_hearsay(slim, file)

    def test_one_that_was_made_of_another_than_the_hubs_is_refused(
        self, slim: Store, tmp_path: Path
    ) -> None:
        other = Store(tmp_path / "other", slim.sizes)
        with other.changing(), other.part(ENCODER) as part:
            part.write_bytes(bytes(slim.sizes[ENCODER]))
            other.take([Part(ENCODER, part, f"{REPOSITORY}@{REVISION}")])
        with pytest.raises(ModelError, match="was optimized from another encoder than the hub's"):
            see_sizes(other, offered(slim.folder, slim.sizes))

    def test_one_on_somebodys_word_takes_that_word_again(
        self, source: Path, tmp_path: Path
    ) -> None:
        """All that came of --as-published is so, also what was made of it afterwards."""
        mine, other = Store(tmp_path / "mine"), Store(tmp_path / "other")
        bring(mine, offered(source, mine.sizes), "published", forced=True)
        optimize(mine)
        assert mine.entry(ENCODER).forced
        stick = tmp_path / "stick"
        stick.mkdir()
        for name in (ENCODER, RECORD):
            shutil.copyfile(mine.folder / "published" / name, stick / name)
        files = offered(stick, SIZES)
        with pytest.raises(ModelError, match=r"came to where it is by --as-published"):
            see_sizes(other, files)
        bring(other, files, "published", forced=True)
        entry = other.entry(ENCODER)
        assert entry.forced and entry.optimized_from == mine.entry(ENCODER).optimized_from

    @pytest.mark.parametrize("name", SIZES)
    def test_no_other_file_can_be_optimized(self, source: Path, store: Store, name: str) -> None:
        """Nor can an encoder that lacks the mark of what was."""
        bring(store, offered(source, store.sizes), "published", link=no_link)
        folder = store.folder / "published"
        store.path(name).write_bytes(b"small")
        entry = replace(
            store.record("published")[name],
            size=5,
            sha256=hashlib.sha256(b"small").hexdigest(),
            optimized_from="0" * 64,
        )
        write_record(folder, read_record(folder) | {name: entry})
        with pytest.raises(ModelError, match=f"{name} has 5 bytes and the published {name} "):
            see_sizes(store, offered(folder, SIZES))

    def test_none_is_larger_than_the_published_one(self, slim: Store) -> None:
        smaller = Store(slim.folder, {**slim.sizes, ENCODER: 100})
        with pytest.raises(ModelError, match=r"and the published encoder.onnx 100: --any"):
            see_sizes(smaller, offered(slim.folder, slim.sizes))

    def test_without_its_record_it_is_a_file_of_the_wrong_size(
        self, slim: Store, tmp_path: Path
    ) -> None:
        (slim.folder / "published" / "record.json").unlink()
        with pytest.raises(ModelError, match=r"and the published encoder.onnx"):
            see_sizes(slim, offered(slim.folder, slim.sizes))

    def test_a_record_of_other_bytes_is_not_believed(self, slim: Store, tmp_path: Path) -> None:
        data = bytearray(slim.path(ENCODER).read_bytes())
        data[0] ^= 1
        slim.path(ENCODER).write_bytes(data)
        other = Store(tmp_path / "other", slim.sizes)
        with pytest.raises(ModelError, match=r"is not what record.json beside it says"):
            bring(other, offered(slim.folder, slim.sizes), "published")
        assert everything(other.folder) == {}


def optimize(store: Store) -> None:
    """Put a smaller encoder in the place of the one that is there, with the mark of such."""
    before = store.entry(ENCODER)
    with store.changing(), store.part(ENCODER) as part:
        part.write_bytes(store.path(ENCODER).read_bytes()[:-20] + b"focal_slim.row")
        origin = before.sha256
        store.take(
            [Part(ENCODER, part, before.source, optimized_from=origin, forced=before.forced)]
        )


def compressor(most: int) -> ModelProto:
    """Make a compressor that gives token 0 of silence and one other token of all else."""
    steps = [
        node("ReduceMax", "features", "loudest", axes=[2], keepdims=0),
        node("Greater", "loudest nought", "loud"),
        node("Where", "loud most none", "tokens"),
    ]
    given = helper.make_tensor_value_info("features", FLOAT, [1, "F", 1024])
    tensors = [
        helper.make_tensor("nought", FLOAT, [], [0.0]),
        constant("most", most),
        constant("none", 0),
    ]
    tokens = out("tokens", (1, "T"), INT64)
    return graph(steps, inputs=[given], outputs=[tokens], tensors=tensors)


def countdown(count: int) -> Iterator[None]:
    """Count so many times, then be interrupted."""
    yield from [None] * count
    raise KeyboardInterrupt
