"""Where webhooks may lead."""

from __future__ import annotations

import ipaddress

import pytest

from api.webhooks.address import is_public, target_of
from tuner.errors import InvalidInput

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",  # carrier-grade NAT
    "100.100.100.200",  # a cloud's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # a cloud's host, under a public number
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",  # mapped, whatever it maps
    "64:ff9b::10.0.0.1",  # NAT64 of a private address
    "64:ff9b:1::8.8.8.8",  # local NAT64
    "100::1",
    "2001::1",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"]

REFUSED = [
    *(f"https://{ip}/" if ":" not in ip else f"https://[{ip}]/" for ip in PRIVATE),
    "https://127.0.0.1./",
    "https://2130706433/",  # decimal
    "https://017700000001/",  # octal
    "https://0x7f000001/",  # hexadecimal
    "https://0x7f.1/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.0x1/",
    "https://hooks.example.0x/",
    "https://10.0.0.1:8443/",
    "https://[fe80::1%25eth0]/",
    "https://[::ffff:7f00:1]/",
    "https://[v1.fe]/",
    "https://[127.0.0.1]/",
    "https://[2606:4700::1111].example/",
    "https://x[2606:4700::1111]/",
    "http://hooks.example/",
    "http://8.8.8.8/",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "https:///path",
    "https://",
    "//hooks.example/",
    "hooks.example",
    "",
    "https://user@hooks.example/",
    "https://user:pass@hooks.example/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example\\@127.0.0.1/",
    "https://hooks.example/#x",
    "https://hooks.example/#",
    "https://hooks example/",
    "https://hooks.example/\r\nX: y",
    "https://hooks.example/\x00",
    "https://höoks.example/",
    "https://①②⑦.⓪.⓪.①/",
    "https://hooks..example/",
    "https://-hooks.example/",
    "https://hooks.example:22/",
    "https://hooks.example:0/",
    "https://hooks.example:99999/",
    "https://hooks.example:x/",
    f"https://hooks.example/{'x' * 2000}",
]


@pytest.mark.parametrize("ip", PRIVATE)
def test_addresses_that_are_not_public(ip: str) -> None:
    assert not is_public(ipaddress.ip_address(ip))


@pytest.mark.parametrize("ip", PUBLIC)
def test_addresses_that_are_public(ip: str) -> None:
    assert is_public(ipaddress.ip_address(ip))


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        target_of(url, ())
    assert refused.value.detail


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://Hooks.Example", "hooks.example", 443, "/", "hooks.example"),
        ("https://hooks.example./x", "hooks.example", 443, "/x", "hooks.example"),
        ("https://hooks.example:443/", "hooks.example", 443, "/", "hooks.example"),
        ("https://hooks.example:8443/a?b=c", "hooks.example", 8443, "/a?b=c", "hooks.example:8443"),
        ("https://xn--hks-0na.example/", "xn--hks-0na.example", 443, "/", "xn--hks-0na.example"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
    ],
)
def test_urls_that_are_taken(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = target_of(url, ())
    assert (target.host, target.port, target.path) == (host, port, path)
    assert target.authority == authority
    assert not target.allowed


@pytest.mark.parametrize("allowed", ["127.0.0.1", "::1", "Hooks.Internal", "hooks.internal."])
def test_a_host_the_operator_named_is_free(allowed: str) -> None:
    host = allowed.lower().rstrip(".")
    host = f"[{host}]" if ":" in host else host
    assert target_of(f"http://{host}:81/", [allowed]).allowed
    for other in ("http://127.0.0.2/", f"http://x{host.strip('[]')}/", f"http://{host}.example/"):
        with pytest.raises(InvalidInput):
            target_of(other, [allowed])
