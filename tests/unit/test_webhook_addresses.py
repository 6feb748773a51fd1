"""Where a webhook may go, as far as the address tells; what DNS says is looked at in the integration tests."""

import pytest

from app.errors import InvalidInput
from app.webhooks.addresses import AddressRule

RULE = AddressRule()
HERE = AddressRule(allow_loopback=True)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address, not a binding
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "",
    ],
)
def test_addresses_that_are_never_reached(address: str) -> None:
    assert not RULE.may_reach(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_addresses_of_the_public_internet(address: str) -> None:
    assert RULE.may_reach(address)


def test_the_setting_opens_this_machine_and_nothing_else() -> None:
    assert HERE.may_reach("127.0.0.1")
    assert HERE.may_reach("::1")
    for address in ("10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.1"):
        assert not HERE.may_reach(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "https://"),
        ("ftp://example.com/hook", "must be an address"),
        ("https://example.com:22/", "port"),
        ("https://example.com:25/", "port"),
        ("https://127.0.0.1/", "private"),
        ("https://[::1]/", "private"),
        ("https://[::ffff:127.0.0.1]/", "private"),
        ("https://10.0.0.1/", "private"),
        ("https://169.254.169.254/latest/meta-data", "private"),
        ("https://localhost/", "private"),
        ("https://LOCALHOST./", "private"),
        ("https://db.localhost:8443/", "private"),
        ("https://127.1/", "name a host"),
        ("https://2130706433/", "name a host"),
        ("https://0x7f.0.0.1/", "name a host"),
        ("https://0x7F000001/", "name a host"),
        ("https://017700000001/", "name a host"),
        ("https://user:secret@example.com/", "login"),
        ("https:///hook", "must be an address"),
        ("https://exa mple.com/", "must be an address"),
    ],
)
def test_addresses_whose_text_is_refused(url: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        RULE.check(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/hook?a=b", "https://example.com:8443/", "https://1.1.1.1/"]
)
def test_addresses_whose_text_is_good(url: str) -> None:
    assert RULE.check(url) == url


def test_plain_http_where_a_setting_allows_it() -> None:
    assert AddressRule(allow_http=True).check("http://example.com/")
    assert HERE.check("http://127.0.0.1:9000/")
    with pytest.raises(InvalidInput):
        HERE.check("http://example.com/")
    with pytest.raises(InvalidInput, match="private"):
        AddressRule(allow_http=True).check("http://127.0.0.1:9000/")
