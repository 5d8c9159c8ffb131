"""Certificates in files of any kind."""

import time

import pytest

from pushcli.migration import trust

HEAD, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def test_each_certificate_is_found_once_whatever_stands_around_it() -> None:
    one, other = f"{HEAD}\nAA+/\nBB==\n{END}", f"{HEAD}\r\nCCCC\r\n{END}"
    key = "-----BEGIN PRIVATE KEY-----\nHUSH\n-----END PRIVATE KEY-----"
    assert trust.certificates([f"Subject: x\n{one}\n{key}\n{other}\n", one]) == [
        f"{HEAD}\nAA+/\nBB==\n{END}\n", f"{HEAD}\nCCCC\n{END}\n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body", [" " * 1_000_000, "\n" * 1_000_000, "A" * 1_000_000, f"\n{HEAD}" * 30_000]
)
def test_one_without_an_end_takes_no_time(body: str) -> None:
    began = time.process_time()
    assert trust.certificates([HEAD + body]) == []
    assert time.process_time() - began < 5
