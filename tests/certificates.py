"""Certificates made on the spot by the ``openssl`` command, for brokers and clients of one test.

The law of this module: nothing made here is good for longer than a test, or for another machine.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.needs import needs

_CONFIG = """\
[ca]
default_ca = here
[here]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[broker]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

_LONG_AGO = ("20200101000000Z", "20200102000000Z")
_NOW = ("20200101000000Z", "20991231000000Z")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files: a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Who signs certificates; skips where there is no ``openssl``.

    Args:
        folder: where its files are; made here.
    """

    def __init__(self, folder: Path) -> None:
        needs("openssl")
        folder.mkdir(parents=True)
        self._folder = folder
        (folder / "index.txt").touch()
        self._configure("IP:127.0.0.1")
        self.own = Certificate(folder / "ca.pem", folder / "ca.key")
        self._run("req", "-x509", "-days", "2", *self._new(self.own, "focal test authority"))

    @property
    def ca(self) -> Path:
        """Its own certificate."""
        return self.own.cert

    def sign(
        self,
        name: str,
        kind: Literal["broker", "client"] = "broker",
        *,
        names: str = "IP:127.0.0.1",
        expired: bool = False,
        password: str | None = None,
    ) -> Certificate:
        """Return a new certificate.

        Args:
            name: its common name, and that of its files.
            kind: what it is for.
            names: the host names and addresses that a broker's is for, as OpenSSL writes them.
            expired: it was good long ago.
            password: its key wants one.
        """
        self._configure(names)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        self._run("req", *self._new(Certificate(request, made.key), name, password))
        start, end = _LONG_AGO if expired else _NOW
        self._run(
            *("ca", "-batch", "-notext", "-in", str(request), "-out", str(made.cert)),
            *("-cert", str(self.own.cert), "-keyfile", str(self.own.key)),
            *("-startdate", start, "-enddate", end, "-extensions", kind),
        )
        return made

    def _new(self, made: Certificate, name: str, password: str | None = None) -> list[str]:
        closed = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *closed]
        return [*curve, "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.cert)]

    def _configure(self, names: str) -> None:
        text = _CONFIG.format(folder=self._folder, names=names)
        (self._folder / "openssl.cnf").write_text(text)

    def _run(self, command: str, *arguments: str) -> None:
        words = ["openssl", command, "-config", str(self._folder / "openssl.cnf"), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
