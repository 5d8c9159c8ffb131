"""A request without a signature: by those who are known to nobody yet."""

from pathlib import Path
from typing import Any

import msgspec
import requests

from pushcli import errors, tls
from pushcli.client import http, refusals
from pushcli.client.credentials import Profile


def post(
    server_url: str, path: str, value: object, *, ca_file: Path | None, fingerprint: str | None
) -> Any:
    """POST JSON below an organization's URL; the server is checked as for signed requests.

    Raises:
        PushcliError: anything but a success.
    """
    tls.require_safe_url(server_url)
    base = server_url.rstrip("/")
    nobody = Profile(
        name="", chef_server_url=base, client_name="", client_key="",
        ca_file=ca_file, fingerprint=fingerprint,
    )  # fmt: skip
    with http.session(nobody) as session:
        try:
            response = session.post(
                f"{base}/{path}",
                data=msgspec.json.encode(value),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                timeout=(http.CONNECT_TIMEOUT, http.READ_TIMEOUT),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise refusals.of_failure(error, base) from error
        if not response.ok or response.is_redirect:
            raise refusals.of_answer(response, nobody, base)
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise errors.ServerError("the server's answer is no JSON", "check the URL") from error
