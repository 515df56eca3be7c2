"""The WAV sinks: each message once, whole, under a name that is safe everywhere."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import sys
import tracemalloc
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.audio import Clip
from focal.core.errors import SinkError
from focal.core.message import Kind
from focal.core.ports import Delivery, SinkSpec
from focal.sinks._disk import refused, write_whole
from focal.sinks.wav import Wav, file_name, focal_sinks, wav_bytes
from tests.deadline import environment
from tests.sinks.deliveries import sound, text, undecoded, voice
from tests.unprivileged import ordinary_user

SPECS = {spec.name: spec for spec in focal_sinks()}


def give(spec: SinkSpec, place: object, *deliveries: Delivery) -> list[str | None]:
    """Open a sink, give it messages and return what it says of each."""

    async def main() -> list[str | None]:
        async with spec.open(str(place)) as sink:
            return [await sink.accept(delivery) for delivery in deliveries]

    return asyncio.run(main())


def refusal(spec: SinkSpec, place: object, *deliveries: Delivery) -> str:
    with pytest.raises(SinkError) as caught:
        give(spec, place, *deliveries)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# The folder -------------------------------------------------------------------------------------


def test_a_voice_message_becomes_a_wav_that_says_when_who_and_which(tmp_path: Path) -> None:
    (path,) = give(SPECS["wav"], tmp_path / "in", voice(clip=sound(5.62)))
    assert path == str(tmp_path / "in" / "20270115-075959Z_Ana_5.6s_1a2b3c4d00000001.wav")
    with wave.open(str(path), "rb") as file:
        assert file.getparams()[:4] == (1, 2, 8000, 44960)


def test_the_same_name_in_every_time_zone() -> None:
    program = """
from tests.sinks.deliveries import voice
from focal.sinks.wav import file_name
print(file_name(voice()))
"""
    said = {
        subprocess.check_output(
            [sys.executable, "-c", program], env=environment({"TZ": zone}), text=True, timeout=60
        )
        for zone in ("UTC", "Asia/Kathmandu", "America/Los_Angeles")
    }
    assert said == {"20270115-075959Z_Ana_0.5s_1a2b3c4d00000001.wav\n"}


def test_a_clip_comes_back_from_its_wav_file() -> None:
    values = [-1.0, -0.5, -1 / 32768, 0, 1 / 32768, 0.5, 32767 / 32768, 1.0, 3e38, -3e38]
    data = wav_bytes(Clip(np.array(values, np.float32), 48000))
    samples = np.frombuffer(data[44:], "<i2").tolist()
    assert samples == [-32768, -16384, -1, 0, 1, 16384, 32767, 32767, 32767, -32768]


@pytest.mark.parametrize("samples", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_wav_file_is_the_same_in_blocks_and_as_others_write_it(
    tmp_path: Path, samples: int
) -> None:
    values = np.random.default_rng(samples).uniform(-1.1, 1.1, samples).astype(np.float32)
    clip = Clip(values, 16_000)
    blocks, path = Wav(clip), tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(clip.pcm16().tobytes())
    assert path.read_bytes() == b"".join(blocks) == b"".join(blocks)


def test_a_long_message_is_written_without_a_second_copy(tmp_path: Path) -> None:
    delivery = voice(clip=Clip(np.zeros(300 * 16_000, np.float32), 16_000))
    tracemalloc.start()
    try:
        give(SPECS["wav"], tmp_path, delivery)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000  # the clip has 19 MB
    finally:
        tracemalloc.stop()


def test_ctrl_c_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"a half"
        assert len(names(tmp_path)) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.wav", blocks())
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("delivery", "start"),
    [
        (voice(sent_at=0), "20270115-080059Z_Ana_"),
        (voice(clock_trusted=False, sent_at=86400), "20270115-080059Z_Ana_"),
        (voice(sent_at=2**32 - 1), "21060207-062815Z_Ana_"),
        (voice(sent_at=0, received_at=-5), "19700101-000000Z_Ana_"),
        (voice(sent_at=0, received_at=1e300), "99991231-235959Z_Ana_"),
        (voice(sender=None), "20270115-075959Z_1a2b3c4d_"),
        (voice(sender="../../etc/passwd"), "20270115-075959Z_etc-passwd_"),
        (voice(sender="Jürgen  Groß_1"), "20270115-075959Z_Jurgen-Gro-1_"),
        (voice(sender="花子"), "20270115-075959Z_1a2b3c4d_"),
        (voice(sender="CON: |*?<>\0\n\u202e"), "20270115-075959Z_CON_"),
    ],
)
def test_the_name_says_when_and_who_safely(delivery: Delivery, start: str) -> None:
    assert file_name(delivery) == start + "0.5s_1a2b3c4d00000001.wav"


@given(st.text(min_size=1, max_size=16))
def test_no_sender_name_leads_out_of_the_folder(sender: str) -> None:
    try:
        sender.encode()
    except UnicodeEncodeError:
        return  # a message cannot carry it
    name = file_name(voice(sender=sender))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) and not name.startswith(".")
    assert name.count("_") == 3


def test_a_second_delivery_leaves_one_file_even_at_another_time(tmp_path: Path) -> None:
    first, second = give(
        SPECS["wav"], tmp_path, voice(sent_at=0), voice(sent_at=0, received_at=1_900_000_000.0)
    )
    assert first == second and len(names(tmp_path)) == 1


def test_two_deliveries_at_once_leave_one_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with SPECS["wav"].open(str(tmp_path)) as sink:
            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(sink.accept(voice()))

    asyncio.run(main())
    assert len(names(tmp_path)) == 1


def test_twins_and_other_messages_have_files_of_their_own(tmp_path: Path) -> None:
    give(SPECS["wav"], tmp_path, voice(1), voice(1, twin=1), voice(1, twin=2), voice(2), text())
    assert [name.rpartition("_")[2] for name in names(tmp_path)] == [
        "1a2b3c4d00000001-twin1.wav",
        "1a2b3c4d00000001-twin2.wav",
        "1a2b3c4d00000001.wav",
        "1a2b3c4d00000002.wav",
        "1a2b3c4d00000007.txt",
    ]


def test_a_text_becomes_a_text_file(tmp_path: Path) -> None:
    path, again = give(SPECS["wav"], tmp_path, text(), text())
    assert path == again == str(tmp_path / "20270115-075959Z_Ana_1a2b3c4d00000007.txt")
    assert Path(str(path)).read_bytes() == "Grüße, 4°".encode()


def test_a_text_that_is_not_utf8_is_written_readably(tmp_path: Path) -> None:
    (path,) = give(SPECS["wav"], tmp_path, text(b"a\xff\nb"))
    assert path and Path(path).read_bytes().decode() == "a\N{REPLACEMENT CHARACTER}\nb"


@pytest.mark.parametrize("kind", [Kind.VOICE, Kind.DATA, Kind.SEALED])
def test_what_has_no_sound_writes_nothing(tmp_path: Path, kind: Kind) -> None:
    assert give(SPECS["wav"], tmp_path, undecoded(kind)) == [None]
    assert give(SPECS["wavfile"], tmp_path / "a.wav", undecoded(kind)) == [None]
    assert names(tmp_path) == []


KILLED = """
import asyncio, resource, signal, sys
from focal.sinks.wav import focal_sinks
from tests.sinks.deliveries import voice

async def main():
    spec = next(spec for spec in focal_sinks() if spec.name == sys.argv[1])
    async with spec.open(sys.argv[2]) as sink:
        if sys.argv[3] == "killed":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        await sink.accept(voice())

try:
    asyncio.run(main())
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def write_half(name: str, place: Path, how: str) -> subprocess.CompletedProcess[str]:
    """Let a process write a message of 8 kB where a file may have 4 kB."""
    command = [sys.executable, "-c", KILLED, name, str(place), how]
    return subprocess.run(
        command, env=environment(), timeout=60, capture_output=True, text=True, check=False
    )


def test_a_process_killed_half_way_leaves_one_whole_file_in_the_end(tmp_path: Path) -> None:
    assert write_half("wav", tmp_path, "killed").returncode < 0
    (left,) = names(tmp_path)
    assert re.fullmatch(r"\.1a2b3c4d00000001\.wav\.[0-9a-f]{8}\.part", left)
    assert (tmp_path / left).stat().st_size == 4096
    (path,) = give(SPECS["wav"], tmp_path, voice(sent_at=0, received_at=5.0))
    assert [str(tmp_path / name) for name in names(tmp_path)] == [path]
    assert path and Path(path).read_bytes() == wav_bytes(sound())


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    done = write_half("wav", tmp_path, "refused")
    assert done.stdout.startswith("SinkError: ") and "larger than is allowed" in done.stdout
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_is_refused_on_opening(tmp_path: Path) -> None:
    assert "no such folder: make it first" in refusal(SPECS["wav"], tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert "it is a file, not a folder" in refusal(SPECS["wav"], tmp_path / "file")
    assert "is a file, not a folder" in refusal(SPECS["wav"], tmp_path / "file" / "in")
    assert "write wav:FOLDER" in refusal(SPECS["wav"], "")
    assert "write wav:FOLDER" in refusal(SPECS["wav"], "~nobody-of-this-name/in")


@pytest.mark.parametrize(("name", "place"), [("wav", ""), ("wav", "in"), ("wavfile", "a.wav")])
def test_a_read_only_folder_is_refused_on_opening(tmp_path: Path, name: str, place: str) -> None:
    tmp_path.chmod(0o555)
    with ordinary_user():
        assert "may not be written" in refusal(SPECS[name], tmp_path / place)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "in"

    async def main() -> None:
        async with SPECS["wav"].open(str(folder)) as sink:
            folder.rmdir()
            with pytest.raises(SinkError, match="no such folder"):
                await sink.accept(voice())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")],
)
def test_what_a_disk_says_is_put_into_words(number: int, cure: str) -> None:
    assert cure in str(refused("in/a.wav", OSError(number, os.strerror(number))))
    assert str(refused("a", OSError(errno.EIO, "I/O error"))) == "a cannot be written: I/O error"


def test_the_key_is_the_folder_however_it_is_written(tmp_path: Path) -> None:
    async def key(name: str, place: object) -> str:
        async with SPECS[name].open(str(place)) as sink:
            assert not sink.speaks
            return sink.key

    relative = os.path.relpath(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    assert asyncio.run(key("wav", tmp_path)) == f"wav:{tmp_path}"
    assert (
        asyncio.run(key("wav", tmp_path / "link" / ".." / tmp_path.name / "link"))
        == f"wav:{tmp_path}"
    )
    assert asyncio.run(key("wav", relative)) == f"wav:{tmp_path}"
    assert asyncio.run(key("wavfile", f"{relative}/a.wav")) == f"wavfile:{tmp_path}/a.wav"


# The single file --------------------------------------------------------------------------------


def test_the_file_holds_the_latest_message(tmp_path: Path) -> None:
    path = tmp_path / "latest.wav"
    assert give(SPECS["wavfile"], path, voice(1), voice(2, clip=sound(1.0)), text()) == [
        str(path),
        str(path),
        None,
    ]
    assert names(tmp_path) == ["latest.wav"]
    assert path.read_bytes() == wav_bytes(sound(1.0))


def test_a_process_killed_half_way_leaves_the_last_message(tmp_path: Path) -> None:
    path = tmp_path / "latest.wav"
    path.write_bytes(wav_bytes(sound(0.1)))
    assert write_half("wavfile", path, "killed").returncode < 0
    assert path.read_bytes() == wav_bytes(sound(0.1))
    give(SPECS["wavfile"], path, voice())
    assert names(tmp_path) == ["latest.wav"] and path.read_bytes() == wav_bytes(sound())


def test_a_file_that_cannot_be_is_refused_on_opening(tmp_path: Path) -> None:
    assert "is a folder: name a file in it" in refusal(SPECS["wavfile"], tmp_path)
    assert "no such folder: make it first" in refusal(SPECS["wavfile"], tmp_path / "a" / "b.wav")
    assert "is a device or a pipe" in refusal(SPECS["wavfile"], "/dev/null")
    assert "write wavfile:FILE" in refusal(SPECS["wavfile"], "")


def test_knowing_the_sinks_loads_nothing_heavy() -> None:
    program = "import sys; from focal.sinks.wav import focal_sinks; focal_sinks();"
    program += "print({'numpy', 'soundfile', 'sounddevice'} & set(sys.modules))"
    said = subprocess.check_output([sys.executable, "-c", program], env=environment(), timeout=60)
    assert said == b"set()\n"
