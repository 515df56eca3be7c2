"""What is installed is found as the standard library finds it, and nothing is imported for it."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from focal.plugins.builtins import BUILTINS, OURS, Known
from focal.plugins.installed import entry_points, normal, single_files
from focal.plugins.roster import DISABLED, found, roster
from tests.plugins.dists import RAISES, fifty, good, install


class TestEntryPoints:
    def test_they_are_those_that_the_standard_library_finds(self, tmp_path: Path) -> None:
        fifty(tmp_path)
        theirs = {
            (entry.name, entry.value, dist.name, dist.version)
            for dist in importlib.metadata.distributions(path=[str(tmp_path)])
            for entry in dist.entry_points
            if entry.group == "focal"
        }
        ours = entry_points([str(tmp_path)])
        assert len(ours) == len(theirs) == 50
        assert {(one.name, one.module, one.version) for one in ours} == {
            (name, module, version) for name, module, _, version in theirs
        }
        assert {one.distribution for one in ours} == {normal(name) for _, _, name, _ in theirs}

    def test_nothing_is_imported_for_them(self, tmp_path: Path) -> None:
        module = install(tmp_path, "transport.radio", RAISES)
        (one,) = entry_points([str(tmp_path)])
        assert one == Known("transport.radio", module, "focal-transport-radio", "1.0")
        assert module not in sys.modules

    def test_the_first_of_two_installations_counts(self, tmp_path: Path) -> None:
        for folder, version in (("first", "2.0"), ("second", "1.0")):
            install(tmp_path / folder, "sink.x", "", version=version, distribution="focal-x")
        path = [str(tmp_path / folder) for folder in ("first", "second", "first")]
        assert [one.version for one in entry_points(path)] == ["2.0"]
        assert [one.version for one in entry_points(reversed(path[1:]))] == ["2.0"]

    @pytest.mark.parametrize(
        ("folder", "distribution", "version"),
        [
            ("Focal_Hum.Too-1.0.post1.dist-info", "focal-hum-too", "1.0.post1"),
            ("focal_hum-1.0-py3.11.egg-info", "focal-hum", "1.0"),
            ("focal_hum.egg-info", "focal-hum", None),
        ],
    )
    def test_metadata_folders_of_every_form(
        self, tmp_path: Path, folder: str, distribution: str, version: str | None
    ) -> None:
        (tmp_path / folder).mkdir()
        text = "# made by hand\n[ focal ]\n[focal]\n; no\nsink.x=acme.x [extra]\n\n[other]\na = b\n"
        (tmp_path / folder / "entry_points.txt").write_text(text)
        assert entry_points([str(tmp_path)]) == [Known("sink.x", "acme.x", distribution, version)]

    def test_what_cannot_be_read_is_nobodys_plugin(self, tmp_path: Path) -> None:
        archive = tmp_path / "lib.zip"
        archive.write_bytes(b"PK")
        metadata = tmp_path / "a-1.dist-info"
        metadata.mkdir()
        (metadata / "entry_points.txt").write_bytes(b"[focal]\nsink.x = \xff\xfe")
        (tmp_path / "b-1.dist-info").write_text("a file")
        assert entry_points([str(tmp_path), str(archive), str(tmp_path / "gone")]) == []

    def test_focals_own_distribution_declares_nothing(self, tmp_path: Path) -> None:
        install(tmp_path, "sink.x", "", distribution="focal-voice")
        assert entry_points([str(tmp_path)]) == []


class TestSingleFiles:
    def test_a_file_is_called_as_the_plugin_it_is(self, tmp_path: Path) -> None:
        for name in ("transport.hum.py", "sink.x.py", "_helper.py", ".sink.y.py", "notes.txt"):
            (tmp_path / name).write_text("raise AssertionError('imported to be found')")
        ones = single_files(tmp_path)
        assert [one.name for one in ones] == ["sink.x", "transport.hum"]
        assert [one.file for one in ones] == [tmp_path / "sink.x.py", tmp_path / "transport.hum.py"]

    def test_files_of_two_homes_are_two_modules(self, tmp_path: Path) -> None:
        for home in ("a", "b"):
            (tmp_path / home).mkdir()
            (tmp_path / home / "sink.x.py").write_text("")
        modules = {single_files(tmp_path / home)[0].module for home in ("a", "b")}
        assert len(modules) == 2 and all(module.isidentifier() for module in modules)

    def test_a_folder_need_not_be_there(self, tmp_path: Path) -> None:
        assert single_files(tmp_path / "plugins") == []


class TestRoster:
    def test_focals_own_wins_whatever_the_order(self) -> None:
        theirs = Known("transport.udp", "evil", "focal-evil", "1.0")
        for known in ([*BUILTINS, theirs], [theirs, *BUILTINS]):
            there = roster(known)
            assert there.usable["transport.udp"].distribution == OURS
            (out,) = there.left_out
            assert out.known == theirs and "transport.udp is focal's own" in out.reason

    def test_of_two_from_outside_neither_is_used_and_both_are_named(self) -> None:
        one = Known("sink.x", "a", "focal-a", "1.0")
        two = Known("sink.x", "b", file=Path("/home/plugins/sink.x.py"))
        for known in ([one, two], [two, one]):
            there = roster(known)
            assert not there.usable and {out.known for out in there.left_out} == {one, two}
            for out in there.left_out:
                assert "2 plugins are called 'sink.x'" in out.reason
                assert "/home/plugins/sink.x.py and focal-a 1.0" in out.reason
            assert there.why_not("sink.x") == there.left_out[0].reason

    @pytest.mark.parametrize("word", ["sink.x", "focal-a", "Focal_A", " sink.x "])
    def test_one_is_disabled_by_its_own_or_its_distributions_name(self, word: str) -> None:
        one, two = Known("sink.x", "a", "focal-a", "1.0"), Known("sink.y", "b", "focal-b", "1.0")
        there = roster([one, two], ["", word])
        assert list(there.usable) == ["sink.y"]
        assert [(out.known, out.wanted) for out in there.left_out] == [(one, True)]

    def test_disabling_one_of_two_lets_the_other_be_used(self) -> None:
        one, two = Known("sink.x", "a", "focal-a", "1.0"), Known("sink.x", "b", "focal-b", "1.0")
        assert roster([one, two], ["focal-a"]).usable == {"sink.x": two}

    @pytest.mark.parametrize(
        ("name", "module", "said"),
        [
            ("carrier.pigeon", "birds", "named kind.name, and the kinds are transport,"),
            ("sink", "x", "kind.name"),
            ("sink.", "x", "kind.name"),
            ("sink.x", "acme:plugin", "'acme:plugin'; it has to be a module"),
            ("sink.x", "", "has to be a module"),
        ],
    )
    def test_what_is_named_wrongly_is_left_out(self, name: str, module: str, said: str) -> None:
        there = roster([Known(name, module, "focal-a", "1.0")])
        assert not there.usable
        assert said in there.left_out[0].reason

    def test_all_that_is_there_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "sink.x.py").write_text("")
        there = found(tmp_path, {DISABLED: "codec.c2,sink.y"})
        assert there.names("sink") == ["sink.jsonl", "sink.speaker", "sink.wav", "sink.x"]
        assert there.names("codec") == ["codec.focalcodec"]
        assert good("x")
