"""``focal models``: the models of FocalCodec: what is here, and how the rest gets here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._group import FILE, Command, Group
from ._shell import Shell

if TYPE_CHECKING:
    from ..models import Plan
    from ..plugins.models.hub import Progress
    from ..plugins.models.store import Shelf
    from ..results import Removed
    from ._counter import Counter


@click.group("models", cls=Group)
def command() -> None:
    """Look after the models of FocalCodec, which make the qualities 50hz, 25hz and 12.5hz."""


@command.command("list", cls=Command)
@click.pass_obj
def list_(shell: Shell) -> None:
    """List the qualities, what each can do here and what it lacks, then the files."""
    from ..models import listing, unfinished

    store = shell.models().store
    with shell.working("looking"):
        weights, qualities, models = listing(store)
    shell.show_all([weights, *qualities, *models])
    for one in unfinished(store):
        shell.note(str(one))
    if not models:
        shell.note(
            "no models are here: `focal models pull QUALITY` downloads them, "
            "`focal models import DIR` takes them from a folder"
        )


@command.command("pull", cls=Command)
@click.argument("qualities", nargs=-1, required=True, metavar="QUALITY...")
@click.option("--decoder-only", is_flag=True, help="Only what it takes to receive.")
@click.pass_obj
def pull(shell: Shell, qualities: tuple[str, ...], decoder_only: bool) -> None:
    """Download the models of each QUALITY; what was cut off goes on where it was."""
    from ..models import PUBLISHED, fetch, qualities_of, to_pull, wanted

    store, those = shell.models().store, wanted(qualities, PUBLISHED)
    with shell.working("looking"):
        plan = to_pull(store, those, decoder_only)
    _tell_price(shell, plan)
    with shell.counting() as counter:
        came = fetch(store, plan, _telling(shell, counter))
    shell.show_all([*came, *qualities_of(store, those)])


def _tell_price(shell: Shell, plan: Plan) -> None:
    from ..plugins.models.disk import mega

    for one, kept in zip(plan.missing, plan.kept, strict=True):
        here = f", {mega(kept)} are here" if kept else ""
        shell.note(f"{one.file:22} {mega(one.bytes or 0):>9} to download{here}")
    if len(plan.missing) != 1:
        shell.note(f"{mega(plan.bytes)} in all" if plan.missing else "all is here")


def _telling(shell: Shell, counter: Counter) -> Callable[[Progress], None]:
    """Return what shows how a download goes."""
    from ..plugins.models.hub import Checking, Cut, Downloading, Waiting

    def tell(progress: Progress) -> None:
        match progress:
            case Downloading(file, done, total, kept):
                counter.count(file, done, total, kept)
            case Checking(file, done, total):
                counter.count(f"checking {file}", done, total)
            case Waiting(folder):
                shell.note(f"another process pulls into {folder}: waiting for it")
            case Cut(file, reason, wait):
                shell.note(f"{file}: {reason}; again in {wait:g} s")
            case _:
                pass

    return tell


@command.command("import", cls=Command)
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--any-weights", is_flag=True, help="They are weights of your own.")
@click.option("--as-published", is_flag=True, help="They count as published all the same.")
@click.pass_obj
def import_(shell: Shell, folder: str, any_weights: bool, as_published: bool) -> None:
    """Bring in the models that are in DIR: a stick, a copy, another store; all or none.

    Published ones have the published sizes. With --any-weights others are taken too: they make
    the qualities 50hz-local, 25hz-local and 12.5hz-local, which only who has the same weights can
    decode. With --as-published they take the places of the published ones: only for files that
    you know to be the same models.
    """
    from ..models import bring_in, can_look, is_hearsay, look_over

    models = shell.models()
    with shell.working("looking") as say:
        any_sizes = any_weights or as_published
        files = look_over(models.store, models.sessions, Path(folder), say, any_sizes=any_sizes)
    if not can_look():
        shell.note("not tried what is in them: onnxruntime is not installed here")
    for file in files:
        if not any_sizes and is_hearsay(models.store, file):
            shell.note(
                f"{file.name} is optimized: only record.json beside it says that it was made of "
                "the published one"
            )
    shelf: Shelf = "local" if any_weights and not as_published else "published"
    with shell.counting() as counter:
        done = bring_in(models.store, files, shelf, counter.count, forced=as_published)
    for had in done.had:
        shell.note(f"{had.file} was here already")
    shell.show_all([*done.took, *done.qualities])


@command.command("verify", cls=Command)
@click.pass_obj
def verify(shell: Shell) -> None:
    """Hash every file again: good, changed, missing or unknown; exit 1 if one is not good."""
    from ..models import unfinished, verify

    store = shell.models().store
    with shell.counting() as counter:
        models = list(verify(store, counter.count))
    shell.show_all(models, "no models are here")
    for one in unfinished(store):
        shell.note(str(one))
    bad = [model.file for model in models if model.state != "good"]
    if bad:
        raise click.ClickException(f"{len(bad)} not good: {', '.join(bad)}")


@command.command("remove", cls=Command)
@click.argument("qualities", nargs=-1, metavar="[QUALITY...]")
@click.option("--all", "all_", is_flag=True, help="All of them.")
@click.pass_obj
def remove(shell: Shell, qualities: tuple[str, ...], all_: bool) -> None:
    """Remove the models of each QUALITY; the encoder when nothing needs it any more."""
    from ..models import ALL, remove, wanted

    if bool(qualities) == all_:
        raise click.UsageError("name qualities, or say --all")
    removed = remove(shell.models().store, ALL if all_ else wanted(qualities))
    shell.show_all(removed, "nothing of these was here")
    if removed:
        shell.note(_freed(removed))


def _freed(removed: Sequence[Removed]) -> str:
    from ..plugins.models.disk import mega

    freed = sum(row.freed for row in removed)
    linked = sum(row.bytes for row in removed) - freed
    where = f"; {mega(linked)} stay on the disk under other names" if linked else ""
    return f"freed {mega(freed)}{where}"


@command.command("optimize", cls=Command)
@click.pass_obj
def optimize(shell: Shell) -> None:
    """Make the encoder smaller: the same results, less memory, no limit of 41 s."""
    from ..models import optimize

    with shell.working("looking at the encoder"):
        for made in optimize(shell.models()):
            shell.show(made)
