"""``focal models``: what is here is told, what comes is looked at, and nothing is half done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import compose, helper

from focal.core.errors import ModelError
from focal.models import Wanted, fetch, look_over, remove, to_pull, wanted
from focal.plugins.models.catalogue import ENCODER, SIZES
from focal.plugins.models.disk import lock
from focal.plugins.models.hub import LOCK, Progress, Pulled, part_path
from focal.plugins.models.sessions import Sessions
from focal.plugins.models.settings import ModelSettings
from focal.plugins.models.store import Store
from focal.results import Lacking
from tests.cli.conftest import Done, Focal
from tests.deadline import Deadline, environment, running
from tests.deadline import focal as focal_command
from tests.plugins.models.graphs import endless
from tests.plugins.models.hubserver import serving
from tests.plugins.models.test_slim import Graph, positions
from tests.unprivileged import ordinary_user

QUALITIES = ["50hz", "25hz", "12.5hz"]
DECODER = "decoder_50hz.onnx"
STAT = Path("/proc/self/stat")


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """Have models kept in a folder that is not there yet."""
    os.environ["FOCAL_MODELS_DIR"] = str(tmp_path / "models")
    yield tmp_path / "models"
    del os.environ["FOCAL_MODELS_DIR"]


@pytest.fixture
def source(small: Path, tmp_path: Path) -> Path:
    """Return a folder with the seven files that a test may change."""
    return Path(shutil.copytree(small, tmp_path / "source"))


def rows(done: Done, event: str) -> list[dict[str, Any]]:
    return [row for row in done.objects if row["event"] == event]


def good(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def ticks(pid: int) -> int:
    """Return the processor's time that a process has had, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder and what is in them; locks are empty and do not count."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".lock"}


class TestList:
    def test_nothing_there_says_how_to_get_it(self, focal: Focal, folder: Path) -> None:
        done = good(focal("models", "list"))
        first, *qualities = done.out.splitlines()
        assert first == f"{folder}: 0 files, 0 bytes"
        assert qualities[0] == (
            "50hz         neither sends nor receives; missing: encoder.onnx (623.5 MB), "
            "compressor_50hz.onnx (73.5 MB), decoder_50hz.onnx (141.1 MB)"
        )
        assert "focal models pull QUALITY" in done.err and "focal models import DIR" in done.err
        assert not folder.exists()

    def test_every_value_is_in_the_objects(self, focal: Focal, folder: Path, source: Path) -> None:
        good(focal("models", "import", source, "--as-published"))
        (source / DECODER).write_bytes(b"x")
        done = good(focal("--json", "models", "list"))
        (weights,) = rows(done, "weights")
        assert weights["folder"] == str(folder) and weights["files"] == 7
        qualities = rows(done, "quality")
        assert [quality["name"] for quality in qualities] == QUALITIES
        assert qualities[0] == {
            "event": "quality",
            "name": "50hz",
            "shelf": "published",
            "send": True,
            "receive": False,
            "missing": [{"file": DECODER, "bytes": SIZES[DECODER]}],
        }
        models = {row["file"]: row for row in rows(done, "model")}
        assert models[DECODER]["state"] == "changed"
        encoder = models[ENCODER]
        assert encoder.pop("at") > 0 and len(encoder.pop("sha256")) == 64
        assert encoder == {
            "event": "model",
            "file": ENCODER,
            "shelf": "published",
            "state": "good",
            "path": str(folder / "published" / ENCODER),
            "bytes": (source / ENCODER).stat().st_size,
            "source": str(source),
            "optimized_from": None,
            "forced": True,
        }

    def test_local_weights_are_qualities_of_their_own(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        (source / "decoder_25hz.onnx").unlink()
        good(focal("models", "import", source, "--any-weights"))
        done = good(focal("models", "list"))
        assert "50hz-local   sends and receives" in done.out
        assert "25hz-local   neither sends nor receives; missing: decoder_25hz.onnx" in done.out

    @pytest.mark.parametrize("command", [["list"], ["verify"], ["remove", "--all"], ["optimize"]])
    def test_a_file_in_the_folders_place_is_one_line(
        self, focal: Focal, folder: Path, command: list[str]
    ) -> None:
        folder.write_bytes(b"")
        done = focal("models", *command)
        assert done.code == 1 and len(done.line) < 200


class TestImport:
    def test_a_folder_comes_in_and_says_what_it_makes(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        done = good(focal("models", "import", source, "--any-weights", "--json"))
        assert [row["file"] for row in rows(done, "model")] == list(SIZES)
        assert {row["shelf"] for row in rows(done, "model")} == {"local"}
        qualities = rows(done, "quality")
        assert [quality["name"] for quality in qualities] == [f"{q}-local" for q in QUALITIES]
        assert all(quality["send"] and quality["receive"] for quality in qualities)
        assert good(focal("models", "verify")).out.count(" good ") == 7

    def test_decoders_alone_receive(self, focal: Focal, folder: Path, source: Path) -> None:
        for path in source.iterdir():
            if not path.name.startswith("decoder"):
                path.unlink()
        done = good(focal("models", "import", source, "--as-published"))
        assert "50hz         receives only; missing: encoder.onnx (623.5 MB), comp" in done.out
        assert done.out.count("receives only") == 3

    def test_other_sizes_need_a_word(self, focal: Focal, folder: Path, source: Path) -> None:
        done = focal("models", "import", source)
        size = (source / ENCODER).stat().st_size
        assert (done.code, done.line) == (
            1,
            f"{source / ENCODER} has {size:,} bytes and the published encoder.onnx 623,470,690: "
            "--any-weights if these are weights of your own; nothing was taken",
        )
        assert not folder.exists()

    def test_one_wrong_file_and_nothing_is_taken(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        shutil.copyfile(source / DECODER, source / "compressor_25hz.onnx")
        done = focal("models", "import", source, "--any-weights")
        last = done.err.splitlines()[-1]
        assert done.code == 1 and done.out == ""
        assert last.startswith(f"focal: {source}/compressor_25hz.onnx cannot be used as compressor")
        assert not folder.exists()

    def test_again_it_was_here(self, focal: Focal, folder: Path, source: Path) -> None:
        good(focal("models", "import", source, "--any-weights"))
        done = good(focal("models", "import", source, "--any-weights"))
        assert f"{DECODER} was here already" in done.err
        assert "decoder" not in done.out and "50hz-local   sends and receives" in done.out

    def test_while_another_process_brings_models_in_it_is_refused(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        with Store(folder).changing():
            done = focal("models", "import", source, "--any-weights")
        assert done.code == 1
        assert "another process is changing the models" in done.err.splitlines()[-1]

    def test_a_folder_that_may_not_be_written_is_one_line(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        for parent in (source, *source.parents):
            if parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(0o755)
        with ordinary_user():
            done = focal("models", "import", source, "--any-weights")
        assert done.code == 1
        last = done.err.splitlines()[-1]
        assert last == f"focal: the models in {folder} cannot be changed: permission denied"
        source.chmod(0o700)
        with ordinary_user():
            done = focal("models", "import", source, "--any-weights")
        assert done.line == f"{source} cannot be read: permission denied"

    def test_published_sizes_are_all_it_takes(self, source: Path, tmp_path: Path) -> None:
        store, sessions = of_these_sizes(tmp_path, source), Sessions(ModelSettings())
        said: list[str] = []
        files = look_over(store, sessions, source, said.append, any_sizes=False)
        assert said == [f"looking at {name}" for name in SIZES] and len(files) == 7

    def test_what_came_on_somebodys_word_takes_it_again(
        self, focal: Focal, folder: Path, source: Path, tmp_path: Path
    ) -> None:
        """Also where it was optimized since: only its record tells what it is."""
        with_table(source / ENCODER)
        good(focal("models", "import", source, "--as-published"))
        good(focal("models", "optimize"))
        stick = tmp_path / "stick"
        stick.mkdir()
        for name in (ENCODER, "record.json"):
            shutil.copyfile(folder / "published" / name, stick / name)
        os.environ["FOCAL_MODELS_DIR"] = str(tmp_path / "another")
        done = focal("models", "import", stick)
        assert (done.code, done.line) == (
            1,
            f"{stick / ENCODER} came to where it is by --as-published: say so again if you too "
            "know what it is; nothing was taken",
        )
        (row,) = rows(good(focal("models", "import", stick, "--as-published", "--json")), "model")
        assert row["forced"] and row["optimized_from"]

    def test_a_record_makes_no_published_ones_of_others(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        record = json.loads((folder / "local" / "record.json").read_text())
        for facts in record["files"].values():
            facts["optimized_from"] = "0" * 64
        (source / "record.json").write_text(json.dumps(record))
        for name in SIZES:
            done = focal("models", "import", source)
            assert done.code == 1 and f"{source / name} has " in done.line
            (source / name).unlink()

    def test_an_optimized_encoder_of_unknown_origin_is_told(
        self, focal: Focal, folder: Path, source: Path, tmp_path: Path
    ) -> None:
        with_table(source / ENCODER)
        good(focal("models", "import", source, "--any-weights"))
        good(focal("models", "optimize"))
        stick = tmp_path / "stick"
        stick.mkdir()
        for name in (ENCODER, "record.json"):
            shutil.copyfile(folder / "local" / name, stick / name)
        done = good(focal("models", "import", stick))
        said = "is optimized: only record.json beside it says that it was made of the published one"
        assert f"{ENCODER} {said}" in done.err
        assert said not in good(focal("models", "import", stick)).err

    @pytest.mark.skipif(not STAT.exists(), reason="this system does not say what a process does")
    def test_ctrl_c_ends_a_model_that_does_not_end(self, source: Path, tmp_path: Path) -> None:
        deadline = Deadline()
        (source / DECODER).write_bytes(endless().SerializeToString())
        command = running(
            focal_command("models", "import", str(source), "--any-weights"),
            deadline,
            env={"FOCAL_MODELS_DIR": str(tmp_path / "models")},
        )
        with command as importing:
            importing.line(f"looking at {DECODER}", of="err")
            enough = ticks(importing.pid) + 100  # far more than it takes to get there
            deadline.until("it runs", lambda: ticks(importing.pid) > enough)
            importing.signal(signal.SIGINT)
            assert importing.wait() == 130, importing.story()
        assert not (tmp_path / "models").exists()


class TestVerify:
    def test_what_is_not_good_is_named(self, focal: Focal, folder: Path, source: Path) -> None:
        good(focal("models", "import", source, "--as-published"))
        (source / DECODER).write_bytes(b"x")
        (folder / "published" / "decoder_25hz.onnx").unlink()
        (folder / "local" / ENCODER).write_bytes(b"by hand")
        done = focal("--json", "models", "verify")
        states = {(row["shelf"], row["file"]): row["state"] for row in done.objects}
        assert states["published", DECODER] == "changed"
        assert states["published", "decoder_25hz.onnx"] == "missing"
        assert states["local", ENCODER] == "unknown"
        assert list(states.values()).count("good") == 5
        assert (done.code, done.line) == (
            1, f"3 not good: {DECODER}, decoder_25hz.onnx, {ENCODER}"
        )  # fmt: skip

    def test_bytes_that_changed_behind_our_back_are_found(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        path = source / DECODER
        before = path.stat()
        with path.open("r+b") as file:
            file.write(b"?")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert " changed " not in good(focal("models", "list")).out
        assert focal("models", "verify").code == 1

    def test_nothing_is_no_error(self, focal: Focal, folder: Path) -> None:
        done = good(focal("models", "verify"))
        assert (done.out, done.err) == ("", "no models are here\n")


class TestRemove:
    def test_the_encoder_goes_with_the_last_quality(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        shutil.rmtree(source)
        done = good(focal("models", "remove", "50hz-local", "25hz-local", "--json"))
        assert [row["file"] for row in done.objects] == [
            "compressor_50hz.onnx",
            "decoder_50hz.onnx",
            "compressor_25hz.onnx",
            "decoder_25hz.onnx",
        ]
        assert all(row["bytes"] == row["freed"] > 0 for row in done.objects)
        assert done.err.startswith("freed ") and "other names" not in done.err
        done = good(focal("models", "remove", "12.5hz-local"))
        assert "removed encoder.onnx (local)" in done.out
        assert set(tree(folder)) == {"record.json"}

    def test_what_has_another_name_frees_nothing(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        done = good(focal("models", "remove", "--all"))
        assert done.err.startswith("freed 0 bytes; ")
        assert (source / ENCODER).exists()

    def test_words_are_checked(self, focal: Focal, folder: Path) -> None:
        done = focal("models", "remove", "50")
        assert (done.code, done.line) == (2, "there are no models of '50'; did you mean '50hz'?")
        assert focal("models", "remove").code == 2
        assert focal("models", "remove", "50hz", "--all").code == 2
        assert good(focal("models", "remove", "50hz")).err == "nothing of these was here\n"
        assert not folder.exists()

    def test_a_download_is_not_disturbed(self, folder: Path) -> None:
        store = Store(folder)
        folder.mkdir()
        with lock(folder / LOCK), pytest.raises(ModelError, match="another process pulls models"):
            remove(store, wanted(["50hz"]))


def of_these_sizes(folder: Path, source: Path) -> Store:
    """Return an empty store for which a folder has the published files."""
    return Store(folder, {name: (source / name).stat().st_size for name in SIZES})


def from_nowhere(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a pull, in a process of its own, from a hub that is not there."""
    env = {"FOCAL_MODELS_DIR": str(folder), "HF_ENDPOINT": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-m", "focal", "models", "pull", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(env),
    )


class TestPull:
    def test_it_brings_what_is_missing(self, folder: Path, source: Path) -> None:
        store = of_these_sizes(folder, source)
        told: list[Progress] = []
        with serving({path.name: path.read_bytes() for path in source.iterdir()}) as hub:
            plan = to_pull(store, wanted(["25hz"]), decoder_only=True)
            assert plan.names == ("decoder_25hz.onnx",)
            fetch(store, plan, told.append, endpoint=hub.endpoint)
            plan = to_pull(store, wanted(["25hz"]), decoder_only=False)
            assert plan.missing == tuple(
                Lacking(name, store.sizes[name]) for name in (ENCODER, "compressor_25hz.onnx")
            )
            assert plan.bytes == sum(one.bytes or 0 for one in plan.missing)
            models = fetch(store, plan, told.append, endpoint=hub.endpoint)
        assert [model.file for model in models] == [*wanted(["25hz"])[0].quality.files]
        assert {model.state for model in models} == {"good"}
        assert [one.file for one in told if isinstance(one, Pulled)] == [
            "decoder_25hz.onnx", ENCODER, "compressor_25hz.onnx",
        ]  # fmt: skip

    def test_an_optimized_encoder_is_not_pulled_again(self, folder: Path, source: Path) -> None:
        with_table(source / ENCODER)
        store = of_these_sizes(folder, source)
        shutil.copytree(source, folder / "published")
        assert to_pull(store, wanted(QUALITIES), decoder_only=False).missing == ()
        (folder / "published" / ENCODER).unlink()
        assert [one.file for one in to_pull(store, wanted(["50hz"]), False).missing] == [ENCODER]

    def test_what_is_here_is_not_asked_for(self, focal: Focal, folder: Path, source: Path) -> None:
        good(focal("models", "import", source, "--as-published"))
        done = good(focal("models", "pull", "50hz", "12.5hz"))
        assert "all is here" in done.err
        assert done.out.count(" good ") == 5 and done.out.count("sends and receives") == 2

    def test_what_an_earlier_pull_brought_is_here_and_not_to_come(
        self, focal: Focal, folder: Path
    ) -> None:
        name = "decoder_12_5hz.onnx"
        part = part_path(Store(folder), name)
        part.parent.mkdir(parents=True)
        with part.open("wb") as file:
            file.truncate(95_000_000)
        plan = to_pull(Store(folder), wanted(["12.5hz"]), decoder_only=True)
        assert plan.missing == (Lacking(name, SIZES[name] - 95_000_000),)
        assert plan.bytes + 95_000_000 == SIZES[name] and plan.kept == (95_000_000,)
        done = from_nowhere(folder, "12.5hz", "--decoder-only")
        assert done.stderr.startswith(f"{name}      52.4 MB to download, 95.0 MB are here\n")
        says = (
            f"{part} has 95.0 MB: {name} has come so far of 147.4 MB; "
            "`focal models pull 12.5hz` goes on from there\n"
        )
        assert good(focal("models", "verify")).err == f"no models are here\n{says}"
        listed = good(focal("models", "list"))
        assert says in listed.err and f"{name} (52.4 MB)" in listed.out

    def test_what_else_is_not_whole_is_told(self, focal: Focal, folder: Path, source: Path) -> None:
        good(focal("models", "import", source, "--as-published"))
        of_no_use = part_path(Store(folder), ENCODER)
        of_no_use.write_bytes(b"abc")
        left = folder / "local" / f"..{ENCODER}.part.part"
        left.write_bytes(b"abcd")
        done = good(focal("models", "list"))
        assert f"{of_no_use} has 3 bytes: no pull needs it any more, delete it" in done.err
        assert f"{left} has 4 bytes: it is being made, or was left; the next " in done.err
        assert focal("models", "optimize").code == 1
        assert not left.exists() and of_no_use.exists()

    def test_a_hub_out_of_reach_is_one_line_after_the_price(self, folder: Path) -> None:
        done = from_nowhere(folder, "50hz", "--json")
        *price, line = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (1, "")
        assert price == [
            "encoder.onnx            623.5 MB to download",
            "compressor_50hz.onnx     73.5 MB to download",
            "decoder_50hz.onnx       141.1 MB to download",
            "838.1 MB in all",
        ]
        assert line.startswith("focal: ") and "127.0.0.1:9" in line

    def test_words_are_checked(self, focal: Focal, folder: Path) -> None:
        done = focal("models", "pull", "25")
        assert (done.code, done.line) == (2, "there are no models of '25'; did you mean '25hz'?")
        done = focal("models", "pull", "25hz-local")
        assert done.code == 2 and "--any-weights" in done.line
        assert focal("models", "pull").code == 2
        done = focal("models", "pull", "nix")
        assert (done.code, done.line) == (
            2, "there are no models of 'nix'; there is 12.5hz, 25hz, 50hz"
        )  # fmt: skip


class TestOptimize:
    def test_the_encoder_gets_smaller_and_is_known(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        with_table(source / ENCODER)
        size = (source / ENCODER).stat().st_size
        good(focal("models", "import", source, "--any-weights"))
        done = good(focal("models", "optimize", "--json"))
        (row,) = done.objects
        assert row["bytes_before"] == size and row["bytes"] < size
        assert (source / ENCODER).stat().st_size == size
        (encoder,) = [
            row for row in good(focal("models", "verify", "--json")).objects
            if row["file"] == ENCODER
        ]  # fmt: skip
        assert encoder["state"] == "good" and encoder["bytes"] == row["bytes"]
        assert encoder["optimized_from"] == row["optimized_from"]
        assert encoder["sha256"] == row["sha256"] != row["optimized_from"]
        assert " optimized from " in good(focal("models", "list")).out
        again = focal("models", "optimize")
        assert (again.code, again.line) == (1, f"{folder / 'local' / ENCODER} is optimized already")
        had = good(focal("models", "import", source, "--any-weights"))
        assert f"{ENCODER} was here already" in had.err
        assert {path.suffix for path in folder.rglob("*")} == {"", ".onnx", ".json", ".lock"}

    def test_one_that_is_not_understood_stays(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        before = tree(folder)
        done = focal("models", "optimize")
        assert done.code == 1 and "stays as it is" in done.line
        assert tree(folder) == before

    def test_without_an_encoder_it_says_how_to_get_one(self, focal: Focal, folder: Path) -> None:
        done = focal("models", "optimize")
        assert done.code == 1 and "focal models pull 50hz" in done.line

    def test_one_that_changed_is_not_touched(
        self, focal: Focal, folder: Path, source: Path
    ) -> None:
        good(focal("models", "import", source, "--any-weights"))
        (source / ENCODER).write_bytes(b"x")
        assert "has changed since it came in" in focal("models", "optimize").line


def with_table(encoder: Path) -> None:
    """Give an encoder a table of positions as WavLM's has, which changes nothing of its results."""
    model = onnx.ModelProto.FromString(encoder.read_bytes())
    at = encoder.with_name("table.onnx")
    Graph(positions()).save(at)
    plain = onnx.ModelProto.FromString(at.read_bytes())
    table = compose.add_prefix(plain, "table_", rename_inputs=False).graph
    at.unlink()
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "features" else name for name in node.output]
        node.input[:] = ["plain" if name == "features" else name for name in node.input]
    nodes = [
        helper.make_node("ReduceSum", ["table_features"], ["table_sum"], keepdims=0),
        helper.make_node("Mul", ["table_sum", "table_zero"], ["table_nothing"]),
        helper.make_node("Add", ["plain", "table_nothing"], ["features"]),
    ]
    model.graph.node.extend([*table.node, *nodes])
    zero = helper.make_tensor("table_zero", onnx.TensorProto.FLOAT, [], [0.0])
    model.graph.initializer.extend([*table.initializer, zero])
    encoder.write_bytes(model.SerializeToString())


def test_local_qualities_send_only_with_their_decoder() -> None:
    published, local = wanted(["50hz", "50hz-local"])
    assert published.to_send == (ENCODER, "compressor_50hz.onnx")
    assert local.to_send == (ENCODER, "compressor_50hz.onnx", DECODER)
    assert isinstance(local, Wanted) and local.name == "50hz-local"
