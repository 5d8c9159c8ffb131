"""What `pushcli server install` and `pushcli agent install` have in common."""
# ruff: noqa: PLC0415

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pushcli.terminal.context import App

if TYPE_CHECKING:
    from pushcli.systemd.install import Service

root_option: Callable[[Any], Any] = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Install into the system below DIR, such as an image, instead of this one.",
)
dry_run_option: Callable[[Any], Any] = click.option(
    "--dry-run", is_flag=True, help="Only say what would be done."
)
force_option: Callable[[Any], Any] = click.option(
    "--force",
    is_flag=True,
    help="Replace a unit that was changed here; it is kept beside the new one as .old.",
)


def run_installation(
    app: App,
    service: "Service",
    root: Path | None,
    *,
    before: list[str],
    dry_run: bool,
    force: bool,
) -> None:
    """Install a service, or say how.

    Args:
        before: commands that are left to do before the service can start.
    """
    from pushcli.systemd.install import carry_out, plan

    made = plan(service, root, force=force)
    verbs = [step.verb[0 if dry_run else 1] for step in made.steps]
    done = made.steps if dry_run else carry_out(made)
    steps = [f"{verb} {step.what}" for verb, step in zip(verbs, done, strict=True)]
    then = [*before, *made.then]
    if not app.is_text:
        app.emit({"unit": str(made.file), "dry_run": dry_run, "steps": steps, "next": then})
        return
    for line in steps:
        app.print(f"Would {line}" if dry_run else f"{line[0].upper()}{line[1:]}")
    if not steps:
        app.print(f"{made.file} is installed already: nothing was changed")
    app.print("\nThen, there:" if root is not None else "\nThen:")
    for command in then:
        app.print(f"  {command}")
