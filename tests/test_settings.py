"""Settings: a file, then the environment, then flags; every slip names what was probably meant."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from focal.core.bridge import Full, Rate
from focal.core.errors import SettingsError
from focal.settings import PLAIN, BridgeSettings, Defaults, LinkSettings, Settings, rate_text
from tests.deadline import ROOT
from tests.test_layers import files


def read(tmp_path: Path, text: str = "", **environment: str) -> Settings:
    (tmp_path / "focal.toml").write_text(text, encoding="utf-8")
    return Settings.read([tmp_path], environment)


def refusal(tmp_path: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, **environment)
    line = str(caught.value)
    assert "\n" not in line
    return line


def no_default(scheme: str) -> str:
    return f"{scheme}://by-default"


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    assert Settings.read([tmp_path], {}) == Settings()


def test_the_file_of_the_first_folder_counts(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    for folder, quality in ((near, "c2-700c"), (far, "c2-3200")):
        folder.mkdir()
        (folder / "focal.toml").write_text(f"defaults.quality = '{quality}'")
    assert Settings.read([near, far], {}).defaults.quality == "c2-700c"
    assert Settings.read([tmp_path, far], {}).defaults.quality == "c2-3200"


def test_the_environment_overrides_the_file_and_flags_override_both(tmp_path: Path) -> None:
    text = "[defaults]\nquality = 'c2-3200'\nname = 'Ada'\nlifetime = 60"
    settings = read(tmp_path, text, FOCAL_DEFAULTS__QUALITY="c2-1300", FOCAL_DEFAULTS__NAME="Bo")
    assert settings.defaults == Defaults(quality="c2-1300", name="Bo", lifetime=60.0)
    flagged = settings.with_flags(quality="c2-700c", name=None, via=())
    assert flagged.defaults == Defaults(quality="c2-700c", name="Bo", lifetime=60.0)


def test_via_is_a_text_or_a_list_and_commas_part_it(tmp_path: Path) -> None:
    assert read(tmp_path, "defaults.via = 'hill'").defaults.via == ("hill",)
    assert read(tmp_path, "defaults.via = ['hill', 'udp']").defaults.via == ("hill", "udp")
    assert read(tmp_path, FOCAL_DEFAULTS__VIA="hill,udp").defaults.via == ("hill", "udp")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("yes", True), ("FALSE", False), ("0", False)]
)
def test_a_switch_reads_the_usual_words(tmp_path: Path, text: str, value: bool) -> None:
    assert read(tmp_path, FOCAL_DEFAULTS__PLAY=text).defaults.play is value


def test_a_link_is_a_url_with_options(tmp_path: Path) -> None:
    text = "[links.hill]\nurl = 'udp://hill:5000?listen=5001'\nlisten = 6001\nloud = true"
    url = read(tmp_path, text).links["hill"].address(no_default)
    assert url == "udp://hill:5000?listen=6001&loud=true"


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "::1", "port": 5000, "listen": 5001}, "udp://[::1]:5000?listen=5001"),
        ({"host": "hill", "path": "a room"}, "udp://hill/a%20room"),
        ({"port": 5000}, "udp://localhost:5000"),
        ({"path": "/media/stick"}, "udp:/media/stick"),
        ({"preset": "LONG_FAST"}, "udp://by-default?preset=LONG_FAST"),
    ],
)
def test_a_link_is_a_scheme_with_its_parts(options: dict[str, str | int], url: str) -> None:
    assert LinkSettings("hill", None, "udp", options).address(no_default) == url


def test_the_environment_sets_one_option_of_a_link(tmp_path: Path) -> None:
    text = "[links.My-Hill]\nurl = 'udp://hill:5000'"
    settings = read(tmp_path, text, FOCAL_LINKS__MY_HILL__LISTEN="7")
    assert settings.links["My-Hill"].address(no_default) == "udp://hill:5000?listen=7"


def test_the_environment_makes_a_link(tmp_path: Path) -> None:
    settings = read(tmp_path, FOCAL_LINKS__HILL__URL="file:in")
    assert settings.links["hill"].address(no_default) == "file:in"


def test_the_environment_makes_a_link_and_sets_its_options(tmp_path: Path) -> None:
    given = {"FOCAL_LINKS__HILL__LISTEN": "7", "FOCAL_LINKS__HILL__URL": "udp://hill:5000"}
    link = read(tmp_path, **given).links["hill"]
    assert link.address(no_default) == "udp://hill:5000?listen=7"


def test_other_variables_of_ours_are_left_alone(tmp_path: Path) -> None:
    assert (
        read(tmp_path, FOCAL_HOME="/somewhere", FOCAL_SOAK="300", FOCAL_MY_RADIO="x", PATH="/bin")
        == Settings()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults.qualty = 'c2'", "did you mean 'quality'?"),
        ("[default]\nvia = 'hill'", "did you mean 'defaults'?"),
        ("spool.durability = 'powr'", "[spool]: durability is not 'powr'; did you mean 'power'?"),
        ("defaults.wait = 'deliverd'", "did you mean 'delivered'?"),
        ("defaults.lifetime = 'long'", "lifetime is a number, not 'long'"),
        ("defaults.lifetime = true", "lifetime is a number, not True"),
        ("defaults.lifetime = 700000", "at most 604800 s (7 days)"),
        ("defaults.lifetime = 0", "focal.toml, [defaults]: a message's lifetime"),
        ("defaults.lifetime = nan", "focal.toml, [defaults]: a message's lifetime"),
        ("defaults.play = 'yes'", "play is true or false, without quotes"),
        ("defaults.quality = ''", "focal.toml, [defaults]: quality is empty"),
        ("defaults.play = 'perhaps'", "play is true or false"),
        ("defaults.name = 5", "name is a text"),
        ("defaults.name = ''", "a display name has 1 to"),
        ("defaults = 5", "a table is wanted here"),
        ("[links.hill]\nloss = 1", "say either url or scheme"),
        ("[links.hill]\nurl = 'udp://a:1'\nscheme = 'udp'", "say either url or scheme"),
        ("[links.hill]\nurl = 'udp://a:1'\nlisten = [1]", "listen is a text, a number"),
        ("[links.hill]\nurl = 5", "url is a text"),
        ("[links.hill]\nulr = 'udp://a:1'", "there is 'ulr', did you mean 'url'?"),
        ("[links]\nhill = 'udp://a:1'", "[links.hill]: a table is wanted here"),
        ("spool.durabilty = 'power'", "did you mean 'durability'?"),
        ("defaults = [", "is not TOML"),
    ],
)
def test_a_slip_in_the_file_is_one_line_that_says_what_was_meant(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("FOCAL_DEFAULTS__QUALTY", "did you mean 'quality'?"),
        ("FOCAL_DEFAULT__QUALITY", "did you mean 'defaults'?"),
        ("FOCAL_DEFAULTS_QUALITY", "FOCAL_DEFAULTS__QUALITY"),
        ("FOCAL_SPOOL_DURABILITY", "FOCAL_SPOOL__DURABILITY"),
        ("FOCAL_SPOL__DURABILITY", "did you mean 'spool'?"),
        ("FOCAL_SPOOL__DURABILTY", "did you mean 'durability'?"),
        ("FOCAL_DEFAULT_QUALITY", "did you mean FOCAL_DEFAULTS__QUALITY?"),
        ("FOCAL_QUALITY", "did you mean FOCAL_DEFAULTS__QUALITY?"),
        ("FOCAL_HOMES", "did you mean FOCAL_HOME?"),
        ("FOCAL_PLUGIN_DISABLED", "did you mean FOCAL_PLUGINS_DISABLED?"),
        ("FOCAL_LINKS__HILL", "FOCAL_LINKS__NAME__OPTION"),
        ("FOCAL_LINKS__HIL__LOSS", "did you mean 'hill'?"),
    ],
)
def test_a_slip_in_the_environment_is_one_line_that_says_what_was_meant(
    tmp_path: Path, variable: str, said: str
) -> None:
    assert said in refusal(tmp_path, "links.hill.url = 'udp://a:1'", **{variable: "x"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOCAL_DEFAULTS__WAIT", "soon"),
        ("FOCAL_DEFAULTS__LIFETIME", "-1"),
        ("FOCAL_DEFAULTS__NAME", ""),
        ("FOCAL_DEFAULTS__QUALITY", ""),
        ("FOCAL_SPOOL__DURABILITY", "none"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_variable(
    tmp_path: Path, variable: str, value: str
) -> None:
    assert refusal(tmp_path, **{variable: value}).startswith(f"{variable}: ")


def test_a_value_that_cannot_be_is_told_with_its_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--wait: wait is not 'soon'"):
        Settings().with_flags(wait="soon")


def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "focal.toml").mkdir()
    with pytest.raises(SettingsError, match=r"focal\.toml cannot be read: Is a directory"):
        Settings.read([tmp_path], {})


def test_every_variable_that_the_code_reads_is_known() -> None:
    sources = [path for folder in ("core", "plugins", "focal") for path in files([folder])]
    named = {
        node.value
        for path in sources
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch("FOCAL_[A-Z_]+[A-Z]", node.value)
    }
    assert named - {"FOCAL_CONTRACT"} <= set(PLAIN)  # that one stands in plugins


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "focal.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not TOML"):
        Settings.read([tmp_path], {})


BRIDGE = """
[[bridge]]
from = ["radio", "hill"]
to = "room"
kinds = ["voice", "text"]
codecs = ["12.5hz", 17]
senders = ["~1A2b3c4d", "Anna"]
size = 300
rate = "20/h"
airtime = 36
lifetime = 600
priority = -1
queue = 200
full = "oldest"

[[bridge]]
"""


def test_a_bridge_has_any_number_of_tables(tmp_path: Path) -> None:
    said, rest = read(tmp_path, BRIDGE).bridge
    assert rest == BridgeSettings()
    assert said == BridgeSettings(
        from_=("radio", "hill"),
        to=("room",),
        kinds=("voice", "text"),
        codecs=("12.5hz", 17),
        senders=("~1A2b3c4d", "Anna"),
        size=300,
        rate="20/h",
        airtime=36.0,
        lifetime=600.0,
        priority=-1,
        queue=200,
        full=Full.OLDEST,
    )


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("5/s", Rate(5, 1.0)),
        ("30/min", Rate(30, 60.0)),
        ("20/h", Rate(20, 3600.0)),
        ("100/d", Rate(100, 86_400.0)),
    ],
)
def test_a_rate_is_read_and_written_alike(tmp_path: Path, written: str, rate: Rate) -> None:
    [table] = read(tmp_path, f"[[bridge]]\nrate = '{written}'").bridge
    assert table.per == rate and rate_text(rate) == written


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kind = 'text'", "no setting 'kind'; did you mean 'kinds'?"),
        ("from_ = 'hill'", "no setting 'from_'; did you mean 'from'?"),
        ("kinds = ['txt']", "a kind of message is not 'txt'; did you mean 'text'?"),
        ("kinds = []", "kinds is empty: name one, or leave it away"),
        ("from = []", "from is empty"),
        ("codecs = [0]", "a codec's number is 1 to 255, not 0"),
        ("codecs = [true]", "codecs is a text, a whole number, or a list of them"),
        ("senders = ['~1a2b']", "'~1a2b' is no origin: one is written ~1a2b3c4d"),
        ("size = 0", "size is 1 at least"),
        ("size = 1.5", "size is a whole number, not 1.5"),
        ("rate = '20'", "rate is written 5/s, 30/min, 20/h or 100/d, not '20'"),
        ("rate = '0/h'", "rate is written"),
        ("rate = '20/m'", "rate is written"),
        ("rate = '''20/h\n'''", "rate is written"),
        ("rate = 20", "rate is a text, not 20"),
        ("airtime = 0", "airtime is a number of seconds above 0"),
        ("airtime = inf", "airtime is a number of seconds above 0"),
        ("lifetime = nan", "lifetime is above 0 and at most"),
        ("priority = 1001", "priority is a number from -1000 to 1000"),
        ("queue = 0", "queue is 1 at least"),
        ("full = 'olders'", "full is wait, oldest, newest or largest, not 'olders'"),
    ],
)
def test_a_slip_in_a_bridge_is_one_line_with_its_place(
    tmp_path: Path, line: str, said: str
) -> None:
    told = refusal(tmp_path, f"[[bridge]]\n[[bridge]]\n{line}")
    assert told.startswith(f"{tmp_path / 'focal.toml'}, [[bridge]] 2: ") and said in told


def test_a_bridge_is_written_with_two_brackets(tmp_path: Path) -> None:
    assert "write [[bridge]], with two brackets" in refusal(tmp_path, "[bridge]\nto = 'hill'")
    assert "a table is wanted here" in refusal(tmp_path, "bridge = [1]")


def test_no_variable_sets_a_bridge_and_none_breaks_it(tmp_path: Path) -> None:
    assert "under [[bridge]]" in refusal(tmp_path, FOCAL_BRIDGE__KINDS="text")
    others = {"FOCAL_BRIDGE_UNIT": "x", "FOCAL_DEFAULTS__NAME": "Bo"}
    assert len(read(tmp_path, BRIDGE, **others).bridge) == 2


@pytest.mark.parametrize(("said", "public"), [("true", True), ("false", False)])
def test_whether_a_link_is_public_is_no_option_of_its_transport(
    tmp_path: Path, said: str, public: bool
) -> None:
    [link] = read(tmp_path, f"[links.hill]\nurl = 'udp://a:1'\npublic = {said}").links.values()
    assert link.public is public and link.address(no_default) == "udp://a:1"
    [link] = read(
        tmp_path, "links.hill.url = 'udp://a:1'", FOCAL_LINKS__HILL__PUBLIC=said
    ).links.values()
    assert link.public is public and link.address(no_default) == "udp://a:1"
    again = {"FOCAL_LINKS__HILL__URL": "udp://b:1"}
    text = f"[links.hill]\nurl = 'udp://a:1'\npublic = {said}"
    assert read(tmp_path, text, **again).links["hill"].public is public


def test_public_is_true_or_false(tmp_path: Path) -> None:
    text = "links.hill.url = 'udp://a:1'"
    told = refusal(tmp_path, text, FOCAL_LINKS__HILL__PUBLIC="so")
    assert "public is true or false, not 'so'" in told
    assert "[links.hill]: public is true or false" in refusal(
        tmp_path, f"{text}\nlinks.hill.public = 1"
    )
