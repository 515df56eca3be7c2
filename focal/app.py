"""The composition root: settings, plugins and home are put together here and nowhere else.

The law of this module: it makes objects and opens nothing; what runs, blocks or waits is in the
modules beside it (packets, sending, listening, demo), which are given an ``App``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import urlsplit

from .config import hidden
from .core.clocks import moment
from .core.errors import SettingsError, SpoolError
from .core.ledger import Ledger
from .core.link import Transport
from .core.message import MessageId
from .core.ports import Source
from .core.spool import Spool
from .home import Home, home_folder
from .plugins.manager import Plugins
from .plugins.models import Models
from .settings import Settings, nearest
from .where import PLUGINS


def models_of(home: Path | None, environment: Mapping[str, str]) -> Models:
    """Return the models as the settings say; ``home`` from ``--home``. Raises SettingsError."""
    folders = [Path.cwd(), home_folder(home, environment)]
    return Models.here(Settings.read(folders, environment).models)


@dataclass
class App:
    """What a command works with.

    Args:
        settings: what is configured, flags included.
        plugins: what there is to choose from.
        folder: where the home is or will be.
    """

    settings: Settings
    plugins: Plugins
    folder: Path

    @classmethod
    def start(
        cls,
        home: Path | None,
        environment: Mapping[str, str],
        *,
        plugins: Plugins | None = None,
        **flags: object,
    ) -> App:
        """Put an app together; ``flags`` override the settings' defaults.

        Args:
            home: from ``--home``.
            environment: of the process.
            plugins: those to use; without it focal's own, the installed ones and the home's.
            flags: settings of the table defaults.

        Raises:
            SettingsError: what is configured cannot be.
        """
        folder = home_folder(home, environment)
        settings = Settings.read([Path.cwd(), folder], environment)
        models = partial(Models.here, settings.models)
        plugins = plugins or Plugins.found(folder / PLUGINS, environment, models)
        return cls(settings.with_flags(**flags), plugins, folder)

    @cached_property
    def home(self) -> Home:
        """This node's home, made on first use. Raises SpoolError: it cannot be written."""
        return Home.open(self.folder)

    def spool(self) -> Spool:
        """Open this node's spool, a connection of its own. Raises SpoolError."""
        return self.home.spool(self.settings.spool.durability)

    def ledger(self) -> Ledger:
        """Open what this home's radios have sent; made if there is none. Raises SpoolError."""
        return Ledger.open(self.home.ledger_path, moment)

    def kept(self) -> Spool:
        """Open the spool to look after what is in it. Raises SpoolError: also if there is none."""
        if not self.folder.exists():
            raise SpoolError(f"there is no home {self.folder}: nothing was sent or received there")
        return self.spool()

    def new_id(self) -> MessageId:
        """Return the id of a new message of this node, never given before. Raises SpoolError."""
        with self.spool() as spool:
            return MessageId(spool.origin, spool.next_sequence())

    def links(self) -> dict[str, Transport]:
        """Return the links that the user asked for, by name, none of them open.

        A link is called as the user called it: by its configured name, scheme or URL. What is
        secret in a URL is hidden, because names are shown, logged and kept.

        Raises:
            SettingsError: none was asked for, or one is unknown or not written as it should be.
        """
        words = self.settings.defaults.via
        if not words:
            raise SettingsError(
                "no link: say --via LINK (for example --via udp://127.0.0.1:5001?listen=5000), "
                "or set via under [defaults] in focal.toml"
            )
        return {str(hidden("link", word)): self._transport(word) for word in words}

    def url(self, word: str) -> str:
        """Return the URL of a LINK: a configured name, a scheme with a default, or a URL."""
        if configured := self.settings.links.get(word):
            return configured.address(self._default_url)
        return word if ":" in word else self._default_url(word)

    def _transport(self, word: str) -> Transport:
        url = self.url(word)
        try:
            parts = urlsplit(url)
        except ValueError as error:  # what it says may have a password in it
            raise SettingsError(
                f"link {hidden('link', word)!r} is not written as URLs are"
            ) from error
        try:
            transport = self.plugins.transport(parts.scheme).from_url(parts)
        except ValueError as error:
            raise SettingsError(f"link {hidden('link', word)!r}: {error}") from error
        return self.plugins.wrap_transport(str(hidden("link", word)), transport)

    def _default_url(self, scheme: str) -> str:
        try:
            spec = self.plugins.transport(scheme)
        except SettingsError:
            words = [spec.scheme for spec in self.plugins.transports()]
            near = nearest(scheme, [*words, *self.settings.links])
            raise SettingsError(f"there is no link {scheme!r}{near}") from None
        return spec.default or f"{scheme}:"

    def source(self, file: str, raw: int | None) -> Source:
        """Return the source of a FILE argument; ``raw``: stdin has bare samples at this rate.

        ``name:rest`` is a source of that name (``mic:5``), unless there is a file called so.

        Raises:
            SettingsError: bare samples in a file.
        """
        if raw is None:
            return self.plugins.source(self._source_name(file))
        if file != "-":
            raise SettingsError("--raw is for standard input: name it - instead of a file")
        return self.plugins.source(f"stdin:raw:{raw}")

    def _source_name(self, file: str) -> str:
        if file == "-":
            return "stdin:wav"
        name, colon, _ = file.partition(":")
        if not colon or Path(file).exists():
            return f"file:{file}"
        known = name in {spec.name for spec in self.plugins.sources()}
        return file if known else f"file:{file}"
