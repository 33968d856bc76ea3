"""Secrets are taken out of text that is stored, and nothing else is."""

from __future__ import annotations

import pytest

from tuner.secrets import MASK, Masker, is_secret

WORD = "x7Kq9LmN2pRs4TuV6wYz8AbC"


def mask(text: str) -> tuple[str, int]:
    return Masker().mask_code(text)


@pytest.mark.parametrize(
    "secret",
    [
        "AK" + "IA" + "IOSFODNN7EXAMPLE",  # AWS
        "gh" + "p_" + WORD,  # GitHub
        "github" + "_pat_" + WORD,
        "hf" + "_" + WORD,  # Hugging Face
        "sk" + "-" + WORD,  # OpenAI
        "xo" + "xb-" + "123456789-" + WORD,  # Slack
        "tn" + "r_" + WORD,  # ours
        "ey" + "Jhbgciojiuz.ey" + "Jzdwiiojxmj." + WORD,  # a JSON web token
    ],
)
def test_secrets_of_known_form(secret: str) -> None:
    assert mask(f"+key = load({secret})\n") == (f"+key = load({MASK})\n", 1)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f'password = "{WORD}"', f'password = "{MASK}"'),
        (f"api_key: '{WORD}'", f"api_key: '{MASK}'"),
        (f'"client_secret": "{WORD}"', f'"client_secret": "{MASK}"'),
        (f'HF_TOKEN="{WORD}"', f'HF_TOKEN="{MASK}"'),
        (f"https://ann:{WORD}@host/x", f"https://ann:{MASK}@host/x"),
        (f"https://{WORD}:{WORD[:8]}@host/x", f"https://{MASK}@host/x"),
    ],
)
def test_values_given_to_secret_names(text: str, masked: str) -> None:
    assert mask(text) == (masked, 1)


@pytest.mark.parametrize(
    "text",
    [
        "tokens = tokenizer(text)",
        'author = "jane.doe@example"',
        "token_count = 5120000000",
        "https://host:8080/path?x=1@2",
        "commit 5b2f0c4a9e7d1f3b6a8c0d2e4f60718293a4b5c6",
        "learning_rate = 0.001",
        "authorization = header_of(request)",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == (text, 0)


def test_a_private_key_loses_its_lines_and_keeps_their_number() -> None:
    head, tail = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"
    text = f"+{head}\n+{WORD}\n+{WORD}\n+{tail}\n"
    masked, count = mask(text)
    assert count == 1
    assert WORD not in masked
    assert masked == f"+{head}\n+{MASK}\n+{MASK}\n+{tail}\n"


def test_values_of_secret_variables_go_wherever_they_stand() -> None:
    masker = Masker.of({"WANDB_API_KEY": WORD, "HOME": "/home/ann", "SHORT_TOKEN": "abc"})
    assert masker.mask_code(f"a {WORD} b {WORD} abc /home/ann") == (
        f"a {MASK} b {MASK} abc /home/ann",
        2,
    )


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "GH_TOKEN", "DB_PASSWORD", "OPENAI_API_KEY"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name, WORD)
    assert not is_secret("CUDA_VISIBLE_DEVICES", WORD)


def test_a_megabyte_without_line_ends_is_masked_in_good_time() -> None:
    text = ("token" * 200_000) + ("a" * 100_000)
    assert mask(text) == (text, 0)
