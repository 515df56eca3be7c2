"""What the environment says of downloads: wrong, it is one line that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import ModelError
from focal.plugins.models.variables import see_variables, shown, those_set


def refusal(**env: str) -> str:
    """Return the one line with which an environment is refused."""
    with pytest.raises(ModelError) as caught:
        see_variables(env)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 300
    assert line.startswith(tuple(env))
    return line


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "it does not begin with http:// or https://"),
        ("nonsense", "it does not begin with http:// or https://"),
        ("ftp://x", "it does not begin with http:// or https://"),
        ("http://", "it names no host"),
        ("http://:80", "it names no host"),
        ("http://[", "its host is no name"),
        ("http://a..b", "its host is no name"),
        ("http://127.0.0.1:99999", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1:abc", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1:-1", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1:0", "its port is no number from 1 to 65535"),
        ("http://127.0.0.1\n", "it has a space or something invisible in it"),
        ("http://a b", "it has a space or something invisible in it"),
        ("http://x/?token=1", "it has a ? or # in it"),
    ],
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(address: str, why: str) -> None:
    line = refusal(HF_ENDPOINT=address)
    assert line.startswith("HF_ENDPOINT is ") and f"no address of a hub: {why}; " in line


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co",
        "HTTP://mirror.example:8080/hub/",
        "http://[::1]:80",
        "http://me:password@127.0.0.1",
    ],
)
def test_an_address_of_a_hub_is_taken(address: str) -> None:
    see_variables({"HF_ENDPOINT": address})
    see_variables({"HF_ENDPOINT": "nonsense"}, address)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_proxies_are_looked_at(name: str) -> None:
    for address in ("http://127.0.0.1:3128", "proxy.example:80", "proxy.example"):
        see_variables({name: address})
    see_variables({name: ""})
    see_variables({name: "foo:bar", "NO_PROXY": "127.0.0.1, *"})
    assert "no address of a proxy: its port is no number" in refusal(**{name: "foo:bar"})
    assert "it does not begin with http://" in refusal(**{name: "ftp://x"})
    assert "it names no host" in refusal(**{name: "socks5://"})


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_takes_a_package(scheme: str) -> None:
    """It is not among those that the tests are run with."""
    line = refusal(ALL_PROXY=f"{scheme}://127.0.0.1:9")
    assert (
        line == "ALL_PROXY names a SOCKS proxy, which takes one more package: pip install socksio"
    )


@pytest.mark.parametrize("seconds", ["-1", "0", "long", "1.5", "9" * 30, "²"])
def test_seconds_are_a_number(seconds: str) -> None:
    assert "no whole number from 1 to 999999" in refusal(HF_HUB_DOWNLOAD_TIMEOUT=seconds)


def test_certificates_are_there(tmp_path: Path) -> None:
    there = tmp_path / "certificates"
    assert "cannot be read: No such file" in refusal(SSL_CERT_FILE=str(there))
    there.write_text("none\n")
    assert "has no certificates in it" in refusal(SSL_CERT_FILE=str(there))


def test_what_is_not_set_is_right() -> None:
    see_variables({})
    see_variables({"HF_HUB_DOWNLOAD_TIMEOUT": "10", "SSL_CERT_FILE": "", "ALL_PROXY": ""})


def test_what_is_set_can_be_named() -> None:
    assert those_set({"HF_HOME": "/x", "https_proxy": "y", "HOME": "z"}) == "https_proxy, HF_HOME"
    assert those_set({}) == "the settings of the system"


@pytest.mark.parametrize(
    ("address", "as_shown"),
    [
        ("http://host:80/path", "http://host:80/path"),
        ("http://me:secret@host:80", "http://…@host:80"),
        ("http://me:se/c@r://et@host", "http://…@host"),
        ("me:secret@host", "…@host"),
        ("me:secret@host://x@host", "…@host"),
        ("http://host?token=secret", "http://host"),
    ],
)
def test_passwords_are_not_shown(address: str, as_shown: str) -> None:
    assert shown(address) == as_shown


@given(
    password=st.text(min_size=8, alphabet=st.characters(exclude_characters="?")),
    scheme=st.sampled_from(["http://", "ftp://", ""]),
    rest=st.sampled_from(["host", "host:99999", "", "[", " "]),
)
def test_no_password_gets_into_a_line(password: str, scheme: str, rest: str) -> None:
    try:
        see_variables({"HF_ENDPOINT": f"{scheme}me:{password}@{rest}"})
    except ModelError as error:
        assert password not in str(error) and repr(password)[1:-1] not in str(error)
