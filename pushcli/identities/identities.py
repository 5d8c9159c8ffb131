"""Users and clients: listing, showing, creating, deleting them."""

from pathlib import Path
from typing import Any

from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.errors import Conflict, NotFound, PermissionDenied, PushcliError, ServerError
from pushcli.identities.handing_over import Handing, hand_over
from pushcli.identities.new_key import fingerprint, new_key
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.fields import write_fields
from pushcli.terminal.table import write_table

Object = dict[str, Any]


def show_names(app: App, names: list[str]) -> None:
    """A name per line, sorted."""
    if app.is_text:
        write_table(app, ("name",), [(name,) for name in sorted(names)])
    else:
        app.emit(sorted(names))


def client_names(app: App) -> list[str]:
    """Of the organization."""
    return list(checked(app.client.get("clients"), dict[str, str]))


def group_names(app: App) -> list[str]:
    """Of the organization."""
    return list(checked(app.client.get("groups"), dict[str, str]))


def user_names(app: App, *, everywhere: bool = False) -> list[str]:
    """Of the organization, or of the whole server."""
    if everywhere:
        return list(checked(app.client.get("/users"), dict[str, str]))
    members = checked(app.client.get("users"), list[dict[str, dict[str, Any]]])
    try:
        return [str(member["user"]["username"]) for member in members]
    except KeyError as error:
        raise ServerError("unexpected list of users from the server") from error


def show_client(app: App, name: str) -> None:
    """One client."""
    path = f"clients/{quoted(name)}"
    client = _with_key(app, checked(app.client.get(path), Object), path)
    if not app.is_text:
        app.emit(client)
        return
    write_fields(
        app,
        {"name": name, "organization": client.get("orgname"), "admin": client.get("admin"),
         "validator": client.get("validator"), "key": fingerprint(client.get("public_key"))},
    )  # fmt: skip


def show_user(app: App, name: str) -> None:
    """One user of the organization; of the server, for those who may look there."""
    user = _find_user(app, name)
    if not app.is_text:
        app.emit(user)
        return
    write_fields(
        app,
        {"name": name, "display name": user.get("display_name"), "email": user.get("email"),
         "superuser": user.get("superuser"), "key": fingerprint(user.get("public_key"))},
    )  # fmt: skip


def _find_user(app: App, name: str) -> Object:
    path = f"users/{quoted(name)}"
    try:
        return _with_key(app, checked(app.client.get(path), Object), path)
    except NotFound as error:
        try:
            found = checked(app.client.get(f"/{path}"), Object)
        except PushcliError:
            raise error from None
        app.note(f"{name} does not belong to this organization")
        return _with_key(app, found, f"/{path}")


def _with_key(app: App, found: Object, path: str) -> Object:
    """The user or client with the key called `default`, which Chef's servers keep elsewhere."""
    if "public_key" in found:
        return found
    try:
        key = checked(app.client.get(f"{path}/keys/default"), Object)
    except PushcliError:
        # It may have none, or none that whoever asks may see.
        return found
    return {**found, "public_key": key.get("public_key")}


def create_client(
    app: App, name: str, *, file: Path, public_key: Path | None, admin: bool, validator: bool,
    handing: Handing,
) -> None:  # fmt: skip
    """A new client of the organization.

    Raises:
        Conflict: there is one already.
    """
    with new_key(file, public_key) as key:
        wanted = {"name": name, "public_key": key.public_key}
        flags = {flag: True for flag, on in {"admin": admin, "validator": validator}.items() if on}
        try:
            app.client.post("clients", wanted | flags)
        except Conflict as error:
            raise Conflict(
                f"a client named {name} already exists", "choose another name, or delete that one"
            ) from error
    hand_over(app, "client", name, key, handing)


def create_user(
    app: App,
    name: str,
    *,
    file: Path,
    public_key: Path | None,
    display_name: str | None,
    email: str | None,
    associate: bool,
    handing: Handing,
) -> None:
    """A new user of the server, and of the organization.

    Raises:
        Conflict: there is one already.
        PushcliError: it was created, but does not belong to the organization; that is said.
    """
    wanted = {"username": name, "display_name": display_name or name}
    if email is not None:
        wanted["email"] = email
    with new_key(file, public_key) as key:
        wanted["public_key"] = key.public_key
        try:
            app.client.post("/users", wanted)
        except Conflict as error:
            raise Conflict(f"a user named {name} already exists", _adding(name)) from error
        except PermissionDenied as error:
            error.remedy = (
                "on the server's machine add -u pivotal -k DIR/keys/pivotal.pem, DIR being its "
                f"directory; if {name} already exists, {_adding(name)}"
            )
            raise
    if associate:
        try:
            app.client.post("users", {"username": name})
        except PushcliError as error:
            where = f", with the key {key.file}" if key.file else ""
            error.message = f"{name} was created{where}, but is in no organization: {error.message}"
            error.remedy = f"try `pushcli user add {name}`"
            raise
    hand_over(app, "user", name, key, handing)


def create_group(app: App, name: str) -> None:
    """A new group of the organization, without members.

    Raises:
        Conflict: there is one already.
    """
    try:
        app.client.post("groups", {"groupname": name})
    except Conflict as error:
        raise Conflict(f"a group named {name} already exists", "choose another name") from error
    print_done(app, f"Created the group {name}", {"name": name})


def add_user(app: App, name: str) -> None:
    """Take a user of the server into the organization."""
    app.client.post("users", {"username": name})
    print_done(app, f"{name} is now in the organization", {"name": name, "associated": True})


def remove_user(app: App, name: str) -> None:
    """Have a user leave the organization; the user stays."""
    if agrees(app, f"Remove the user {name} from the organization and its groups?"):
        app.client.delete(f"users/{quoted(name)}")
        print_done(
            app, f"Removed {name} from the organization", {"name": name, "associated": False}
        )


def delete(app: App, kind: str, name: str) -> None:
    """Delete a user (of the server), a client or a group (of the organization)."""
    if agrees(app, f"Delete the {kind} {name}?"):
        folder = "/users" if kind == "user" else f"{kind}s"
        app.client.delete(f"{folder}/{quoted(name)}")
        print_done(app, f"Deleted the {kind} {name}", {"name": name, "deleted": True})


def print_done(app: App, line: str, value: Object) -> None:
    """Print what was done: a line, or an object."""
    if app.is_text:
        app.print(line)
    else:
        app.emit(value)


def _adding(name: str) -> str:
    return f"`pushcli user add {name}` adds them to your organization"
