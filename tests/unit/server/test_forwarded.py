"""What `X-Forwarded-*` says of who asked, and who is believed."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.rest.forwarded import INTERVAL, MAX_HOPS, Overlooked, Proxies, parse

PROXIES = Proxies(["10.0.0.0/8", "2001:db8:ffff::/48"])
INNER = st.one_of(
    st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="2001:db8:ffff::/48")
)
OUTER = st.one_of(
    st.ip_addresses(network="192.0.2.0/24"), st.ip_addresses(network="2001:db8:1::/48")
)
WRITTEN = ["{}", " {} ", "[{}]", "{}:443", "[{}]:443"]


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        # Whoever is not trusted says what he likes.
        ("192.0.2.9", ["203.0.113.7"], "192.0.2.9"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        # The client put something in front.
        ("10.0.0.1", ["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["127.0.0.1", "203.0.113.7"], "203.0.113.7"),
        # Several proxies in a row.
        ("10.0.0.1", ["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7", "10.0.0.3,10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # Garbage: who wrote it is all that is known.
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7,"], "10.0.0.1"),
        ("10.0.0.1", ["unix:"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7\t, evil\x1b[2J"], "10.0.0.1"),
        # With ports, and IPv6 in its forms.
        ("10.0.0.1", ["203.0.113.7:5555"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:DB8:1:0::7]:443"], "2001:db8:1::7"),
        ("2001:db8:ffff::1", ["2001:db8:1::7"], "2001:db8:1::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["[203.0.113.7]"], "10.0.0.1"),
        ("", ["203.0.113.7"], ""),
    ],
)
def test_the_client_is_the_last_who_is_no_trusted_proxy(
    peer: str, lines: list[str], client: str
) -> None:
    assert PROXIES.client(peer, lines) == client


@given(
    spoofed=st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=5),
    client=OUTER,
    hops=st.lists(INNER, min_size=1, max_size=6),
    written=st.sampled_from(WRITTEN),
    cut=st.integers(0, 7),
)
def test_nothing_that_a_client_sends_changes_what_the_proxies_saw(
    spoofed: list[str], client: ipaddress.IPv4Address, hops: list[ipaddress.IPv4Address],
    written: str, cut: int,
) -> None:  # fmt: skip
    *before, peer = map(str, hops)
    is_bare = client.version == 6 and written == "{}:443"
    is_boxed = client.version == 4 and "[" in written
    entry = str(client) if is_bare or is_boxed else written.format(client)
    seen = [entry, *before]
    lines = [*spoofed, ",".join(seen[:cut]), ",".join(seen[cut:])]
    assert PROXIES.client(peer, [line for line in lines if line]) == str(client)


@given(
    peer=st.one_of(INNER.map(str), st.text(max_size=20)),
    lines=st.lists(st.text(st.sampled_from("0123456789abcdef.:[], %x\t"), max_size=300)),
)
def test_whatever_comes_the_answer_is_the_peer_or_an_address(peer: str, lines: list[str]) -> None:
    client = PROXIES.client(peer, lines)
    assert client == peer or str(ipaddress.ip_address(client)) == client


def test_only_so_many_entries_are_looked_at() -> None:
    lines = [",".join(["203.0.113.7"] + ["10.0.0.2"] * MAX_HOPS)]
    assert PROXIES.client("10.0.0.1", lines) == "10.0.0.2"
    lines = [",".join(["203.0.113.7"] + ["10.0.0.2"] * (MAX_HOPS - 1))]
    assert PROXIES.client("10.0.0.1", lines) == "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", ["https"], "https"),
        ("10.0.0.1", ["HTTPS"], "https"),
        ("10.0.0.1", ["http", "https"], "https"),
        ("10.0.0.1", ["http, https"], "https"),
        ("10.0.0.1", ["https", "gopher"], "http"),
        ("10.0.0.1", [], "http"),
        ("192.0.2.1", ["https"], "http"),
    ],
)
def test_the_scheme_is_the_trusted_proxys(peer: str, said: list[str], scheme: str) -> None:
    assert PROXIES.scheme(peer, "http", said) == scheme


@pytest.mark.parametrize(
    ("proxies", "peer", "trusted"),
    [
        ([], "127.0.0.1", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "::ffff:127.0.0.1", True),
        (["10.0.0.0/8", "::1"], "10.200.3.4", True),
        (["10.0.0.0/8", "::1"], "::1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "", False),
    ],
)
def test_a_trusted_proxy(proxies: list[str], peer: str, trusted: bool) -> None:
    assert Proxies(proxies).trusts(peer) is trusted


@pytest.mark.parametrize(
    "text",
    ["", "a", "1.2.3", "1.2.3.4:", "1.2.3.4:x", "::1%", "[::1", "1" * 65, "\u0661.1.1.1"],
)
def test_no_address(text: str) -> None:
    assert parse(text) is None


def test_a_proxy_that_is_not_trusted_is_told_once_in_a_while() -> None:
    overlooked = Overlooked()
    names = ["host", "x-forwarded-for"]
    assert overlooked.note("192.0.2.1", ["host", "x-real-ip"], 0.0) is None
    first = overlooked.note("192.0.2.1", names, 0.0)
    assert first is not None
    assert first.startswith("X-Forwarded-For from 192.0.2.1 is not believed (1 such requests")
    assert overlooked.note("192.0.2.1", names, INTERVAL - 1) is None
    later = overlooked.note("192.0.2.2", names, INTERVAL)
    assert later is not None
    assert "192.0.2.2 is not believed (2 such" in later
