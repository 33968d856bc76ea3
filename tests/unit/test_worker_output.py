"""What trials print becomes lines: no escapes, no bars, no secrets, also when cut in two."""

from __future__ import annotations

import json
import random

import pytest

from tests.unit.plain_clock import PlainClock
from tuner.secrets import MASK, Masker, is_secret
from tuner.terminal import plain
from tuner.worker.lines import BAR_S, BURST, LONGEST, RATE, Lines

SECRET = "pa55-wörd/with+signs=="
PRIVATE = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nkLp09aaaaaaaaaaaa\n-----END KEY-----"


def lines_of(*written: bytes, secrets: tuple[str, ...] = (SECRET,)) -> list[str]:
    """Return the lines that these writes make."""
    kept: list[str] = []
    lines = Lines(Masker(secrets), kept.append, clock=PlainClock())
    for data in written:
        lines.feed(data)
    lines.finish()
    return kept


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "abcdefgh", True),
        ("TUNER_TOKEN", "abcdefgh", True),
        ("OPENAI_API_KEY", "abcdefgh", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh", True),
        ("AWS_ACCESS_KEY_ID", "abcdefgh", True),
        ("AWS_SESSION_TOKEN", "abcdefgh", True),
        ("db_password", "abcdefgh", True),
        ("PGPASSWORD", "abcdefgh", True),
        ("MYSQL_PWD", "abcdefgh", True),
        ("AWS_SECRET_ACCESS_KEY", "/" + "abcd1234" * 4, True),
        ("CLIENT_SECRET_PROD", "abcdefgh", True),
        ("AWS_REGION", "eu-west-1", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("TOKEN_TYPE", "bearer", False),
        ("KEYBOARD", "qwertz-de", False),
        ("CACHE_KEY", "true", False),  # no secret is a plain word or a short number
        ("MAX_TOKENS", "4096", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json", False),
        ("PWD", "/home/user", False),
    ],
)
def test_names_tell_secrets(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) is secret


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"the password is {SECRET}!", f"the password is {MASK}!"),
        ("pa55-w%C3%B6rd%2Fwith%2Bsigns%3D%3D", MASK),  # as a part of a URL
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {MASK}"),
        ("{'authorization': 'Basic dXNlcjpwdw=='}", f"{{'authorization': 'Basic {MASK}'}}"),
        ('curl -H "X-API-Key: 0123456789"', f'curl -H "X-API-Key: {MASK}"'),
        ("sent bearer eyJhbGciOiJIUzI1NiJ9.e30.x", f"sent bearer {MASK}"),
        ("postgres://ann:hunter2@db/x", f"postgres://ann:{MASK}@db/x"),
        ("https://:hunter2@host", f"https://:{MASK}@host"),
        ("see https://host:8443/a@b", "see https://host:8443/a@b"),
        ("tnr_" + "a1" * 20, MASK),
        ("ghp_" + "a" * 36, MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("epoch 3: val_loss 0.25, a_b-c", "epoch 3: val_loss 0.25, a_b-c"),
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    masker = Masker([SECRET])
    assert masker.mask(text) == masked
    assert masker.mask(masked) == masked


def test_the_environments_secrets_are_known() -> None:
    masker = Masker.of(
        {"MY_TOKEN": "t0k3n-value", "DB_URL": "postgres://u:s3cr3t-pw@h/db", "KEY": PRIVATE},
        "the-workers-own",
        None,
    )
    text = f"t0k3n-value the-workers-own s3cr3t-pw {PRIVATE.splitlines()[1]} u h"
    assert masker.mask(text) == f"{MASK} {MASK} {MASK} {MASK} u h"


def test_a_secret_that_is_quoted_is_masked() -> None:
    secret = 'a"b\\c-wörd'
    masker = Masker([secret])
    assert masker.mask(json.dumps({"k": secret})) == json.dumps({"k": MASK})
    assert masker.mask(repr([secret])) == repr([MASK])


def test_a_token_in_the_place_of_a_user_is_masked() -> None:
    token = "ghp_" + "a1" * 18
    assert Masker().mask(f"https://{token}:{'x' * 4}@host/x.git") == f"https://{MASK}@host/x.git"


def test_a_short_value_is_no_secret() -> None:
    assert Masker.of({"MY_TOKEN": "abc"}).mask("abcabc") == "abcabc"


def test_a_secret_in_pieces_is_masked() -> None:
    data = f"a {SECRET} b Authorization: Bearer abcdefghijk c\n".encode()
    for cut in range(1, len(data)):
        found = lines_of(data[:cut], data[cut:])
        assert found == [f"a {MASK} b Authorization: Bearer {MASK} c"]


def test_a_secret_in_a_line_without_an_end_is_masked() -> None:
    rng = random.Random(5)
    for _ in range(60):
        before = "x" * rng.randrange(6 * LONGEST) + " "
        data = (before + f"{SECRET} https://u:{SECRET[:4]}@h " + "y" * 3 * LONGEST).encode()
        step = rng.choice([1000, 4096, 65536])
        found = lines_of(*(data[i : i + step] for i in range(0, len(data), step)))
        text = "".join(found)
        assert SECRET not in text
        assert "pa55" not in text
        assert MASK in text
        assert all(len(line) <= LONGEST + 200 for line in found)


def test_a_line_without_an_end_keeps_its_letters() -> None:
    data = ("ö€𝄞" * 20_000).encode()
    text = "".join(lines_of(*(data[i : i + 4093] for i in range(0, len(data), 4093))))
    assert text == data.decode()


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"\r 10%\r 50%\r100%\nnext\n", ["100%", "next"]),
        (b"50%\r    \r", ["50%"]),  # a bar that was wiped
        (b"\xff\xfe bad \xc3\n", ["\ufffd\ufffd bad \ufffd"]),
        (b"nul \0 bell \a\n", ["nul \ufffd bell \ufffd"]),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07ok \x1b]8;;http://x\x1b\\link\n", ["red ok link"]),
        (b"\x1b[2J\x1b[H\x1bc\tcleared\n", ["\tcleared"]),
        (b"<script>alert(1)</script>\n", ["<script>alert(1)</script>"]),
        ("turned \u202e round \x9b31m\n".encode(), ["turned \ufffd round \ufffd31m"]),
    ],
)
def test_lines_are_plain(written: bytes, lines: list[str]) -> None:
    assert lines_of(written) == lines
    assert lines_of(*(bytes([byte]) for byte in written)) == lines


def test_a_secret_with_colours_in_it_is_masked() -> None:
    assert lines_of(b"pa55-\x1b[31mw\xc3\xb6rd/with+signs==\n") == [MASK]


def test_a_bar_shows_now_and_then() -> None:
    kept: list[str] = []
    clock = PlainClock()
    lines = Lines(Masker(), kept.append, clock=clock)
    for percent in range(101):
        clock.seconds += BAR_S / 20
        lines.feed(f"\r{percent:3}%|####|".encode())
    assert 3 <= len(kept) <= 6
    lines.feed(b"\n")
    assert kept[-1] == "100%|####|"


def test_a_flood_is_skipped_and_its_end_is_kept() -> None:
    kept: list[str] = []
    clock = PlainClock()
    lines = Lines(Masker([SECRET]), kept.append, clock=clock)
    line = b"0123456789" * 99 + b"\n"
    block = line * 66
    total = 3 * BURST // len(block)
    for _ in range(total):
        lines.feed(block)
    few = len(kept)
    assert few * len(line) <= BURST
    lines.feed(f"{SECRET}\nthe end".encode())
    lines.finish()
    assert kept[-1] == "the end"
    assert kept[-2] == MASK
    note = kept[few]
    assert "left out" in note
    assert int(note.split()[1]) > BURST
    clock.seconds += 2 * BURST / RATE
    lines.feed(b"after it\n")
    assert kept[-1] == "after it"


@pytest.mark.parametrize("back", [1, 5, 11, 22])
def test_a_secret_where_a_flood_is_cut_is_masked(back: int) -> None:
    kept: list[str] = []
    masker, ring = Masker([SECRET]), 64 << 10
    lines = Lines(masker, kept.append, clock=PlainClock())
    for _ in range(BURST // ring + 1):
        lines.feed((b"x" * 1023 + b"\n") * 64)
    over = masker.longest + (2 << 10)
    for place in (0, over):  # where the end begins, and where it is cut again
        end = bytearray(b"y" * ring)
        at = max(0, place - back)
        part = SECRET.encode()[back if not place else 0 :]
        end[at : at + len(part)] = part
        lines.feed(bytes(end[:ring]))
    lines.finish()
    text = "".join(kept)
    assert "pa55" not in text
    assert "signs==" not in text


def test_a_flood_that_goes_on_shows_now_and_then() -> None:
    kept: list[str] = []
    clock = PlainClock()
    lines = Lines(Masker(), kept.append, clock=clock)
    block = (b"x" * 999 + b"\n") * 64
    for _ in range(400):
        clock.seconds += 0.05
        for _ in range(3):
            lines.feed(block)
    assert sum("left out" in line for line in kept) >= 3
    assert sum(len(line) + 1 for line in kept) < BURST + 20 * RATE


@pytest.mark.parametrize("part", ["\x1b", "\x1b[", "\x1b]", "\x1b[0", "a.b-", "://a:", "bearer "])
def test_odd_text_takes_no_time(part: str) -> None:
    # A pattern that tries every start against every end would take minutes.
    text = plain(part * 50_000)
    assert Masker([SECRET]).mask(f"{text}://").endswith("://")
