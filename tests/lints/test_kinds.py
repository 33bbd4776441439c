"""What has the form of personal data or of a secret is found, nothing else; `stdnum` judges check digits."""

from __future__ import annotations

import re
import string
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn as stdnum_luhn
from stdnum.us import ssn as stdnum_ssn

from ftc.lints.kinds import KINDS, available, detect, excerpt, label, replaced
from ftc.lints.personal_formats import luhn
from ftc.lints.scan import Scan
from ftc.lints.secret_formats import TOKENS

RANDOM = Random(1)  # noqa: S311 - the same on every run
ALNUM = string.ascii_letters + string.digits


def word(length: int, alphabet: str = ALNUM) -> str:
    """Random characters, with a digit and two letters among them; no secret stands in this file."""
    return "".join(RANDOM.choice(alphabet) for _ in range(length - 3)) + "".join(
        RANDOM.choice([c for c in alphabet if c in kind] or alphabet)
        for kind in (string.digits, string.ascii_letters, ALNUM)
    )


HEX, BASE32, URL = "0123456789abcdef", string.ascii_uppercase + "234567", ALNUM + "-_"
PEM = "-----{} RSA PRIVATE KEY-----"
SECRETS = {
    "AWS access key": "AK" + "IA" + word(16, BASE32),
    "GitHub token": "gh" + "p_" + word(36),
    "GitHub token ": "github" + "_pat_" + word(22) + "_" + word(59),
    "GitLab token": "gl" + "pat-" + word(20, URL),
    "Slack token": "xo" + "xb-" + "123456789012-" + word(24),
    "Stripe key": "sk" + "_live_" + word(24),
    "OpenAI key": "sk" + "-proj-" + word(48, URL),
    "OpenAI key ": "sk" + "-" + word(48),
    "Anthropic key": "sk" + "-ant-api03-" + word(40, URL),
    "Hugging Face token": "h" + "f_" + "".join(RANDOM.choices(string.ascii_letters, k=34)),
    "Google API key": "AI" + "za" + word(35, URL),
    "npm token": "np" + "m_" + word(36),
    "PyPI token": "py" + "pi-AgEIcHlwaS5vcmc" + word(60, URL),
    "SendGrid key": "S" + "G." + word(22, URL) + "." + word(43, URL),
    "DigitalOcean token": "do" + "p_v1_" + word(64, HEX),
    "Telegram token": "123456789" + ":AA" + word(33, URL),
    "JSON web token": "ey" + "J" + word(30, URL) + ".ey" + "J" + word(40, URL) + "." + word(43, URL),
    "private key": PEM.format("BEGIN")
    + "\n"
    + "\n".join(word(64) for _ in range(4))
    + "\n"
    + PEM.format("END"),
}
PERSONAL = {
    "email": ["ada.lovelace@gmx.co.uk", "o'neil+tag@mail.company.io", "jürgen@bücher.de"],
    "iban": ["DE75512108001245126199", "FR76 3000 6000 0112 3456 7890 189", "NO9386011117947"],
    "credit_card": ["4539578763621486", "5425 2334 3010 9903", "3472-845196-30281"],
    "us_ssn": ["536-22-8726"],
    "ip_address": ["81.2.69.142"],
    "phone": ["+46 8 123 456 78", "+442079460018", "(212) 736-5000", "415-863-3000"],
}
HARMLESS = {
    "email": ["user@", "a @ b.c", "logo@2x.png", "@media (min-width: 3em)", "x@y", "5@3.2"],
    "iban": ["DE75512108001245126198", "SE12 is a size", "GB82"],
    "credit_card": ["4539578763621487", "1234567812345670", "0.4539578763621486", "id-4539578763621486-x"],
    "us_ssn": ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "2024-12-3456", "1-536-22-87261"],
    "ip_address": ["1.2.3", "300.1.2.3", "v1.2.3.4.5"],
    "phone": ["2127365000", "12345-67890-123", "2024-05-06 10:11:12", "100 000 000", "3.14159265358"],
    "secret": [
        "skeleton sk-cube-grid-animation-delay",
        "the token is a word",
        "https://example.com/a:b@c",
        "password = os.environ['PASSWORD_OF_THE_DATABASE']",
        'token = "' + "x" * 24 + '"',
        'api_key = "' + "your-api-key-goes-here" + '"',
        "eyJust a word",
        "-----BEGIN PUBLIC KEY-----",
        "a_very_long_identifier_in_a_program_that_is_no_key",
        "https://user:password@host.example/path",
    ],
}


def found(text: str, kind: str) -> list[str]:
    return [text[m.start : m.end] for _, m in detect(Scan(text), (kind,)) if not m.public]


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_found_wherever_it_stands(what: str) -> None:
    secret = SECRETS[what]
    for text in (
        secret,
        f"here: {secret}.",
        f'{{"key": "{secret}"}}',
        f"ü {secret} ü",
        f"KEY={secret}\nnext",
    ):
        seen = detect(Scan(text), ("secret",))
        assert [one.match.what for one in seen] == [what.strip()], text
        assert secret not in replaced(text, seen)
        assert found(text, "secret"), text


def test_a_secret_that_is_assigned_or_stands_in_an_address() -> None:
    value = word(24)
    for text in (f'api_key = "{value}"', f"'client_secret': '{value}'", f'DB_PASSWORD="{value}"'):
        assert found(text, "secret") == [value]
    assert found(f"postgres://ada:{value}@db.host.net/x", "secret") == [value]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind in PERSONAL for value in PERSONAL[kind]])
def test_personal_data_is_found_wherever_it_stands(kind: str, value: str) -> None:
    for text in (value, f"it is {value}.", f"({value})", f"a\n{value}\nb", f"ü: {value}, and so on"):
        seen = found(text, kind)
        assert len(seen) == 1, text
        assert value.endswith(seen[0])
        assert value[-4:] not in replaced(text, detect(Scan(text), (kind,)))


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in HARMLESS for text in HARMLESS[kind]])
def test_what_only_looks_like_it_is_left_alone(kind: str, text: str) -> None:
    assert found(text, kind) == []


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "4111 1111 1111 1111",
        "GB82WEST12345698765432",
        "123-45-6789",
        "10.0.0.1",
        "212-555-0123",
    ],
)
def test_what_is_published_for_documentation_is_found_and_is_nobodys(text: str) -> None:
    seen = detect(Scan(text), available(KINDS))
    assert [one.match.public for one in seen] == [True]
    assert replaced(text, seen).startswith("[")


@settings(deadline=None)
@given(st.text("0123456789", min_size=2, max_size=19))
def test_the_check_digit_of_cards(digits: str) -> None:
    assert luhn(digits) == stdnum_luhn.is_valid(digits)


@settings(deadline=None)
@given(st.integers(0, 10**18 - 1), st.integers(0, 99))
def test_the_check_digits_of_accounts(account: int, check: int) -> None:
    number = f"DE{check:02d}{account:018d}"
    assert bool(found(number, "iban")) == stdnum_iban.is_valid(number, check_country=False)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 99), st.integers(0, 9999))
def test_numbers_of_social_security(area: int, group: int, serial: int) -> None:
    text = f"{area:03d}-{group:02d}-{serial:04d}"
    assume(text not in ("078-05-1120", "457-55-5462", "219-09-9999", "123-45-6789", "111-11-1111"))
    assert bool(found(text, "us_ssn")) == stdnum_ssn.is_valid(text)


PROSE = st.text(st.characters(codec="utf-8", exclude_characters="[]"), max_size=60)
PLANTED = st.sampled_from(
    [value for values in PERSONAL.values() for value in values] + list(SECRETS.values())
)


@settings(deadline=None)
@given(st.lists(st.tuples(PROSE, PLANTED), min_size=1, max_size=4), PROSE)
def test_nothing_planted_is_left_and_nothing_else_changes(parts: list[tuple[str, str]], end: str) -> None:
    text = "".join(f"{prose} \n{value} " for prose, value in parts) + end
    seen = detect(Scan(text), available(KINDS))
    clean = replaced(text, seen)
    for _, value in parts:
        assert value.split("@")[0][-6:] + value[-6:] not in clean
        assert value not in clean
    assert detect(Scan(clean), available(KINDS)) == []
    pieces = re.split("|".join(re.escape(label(kind)) for kind in KINDS), clean)
    assert [piece for piece in pieces if piece not in text] == []


def test_an_excerpt_shows_nothing_of_a_secret_that_it_cuts_through() -> None:
    secret = SECRETS["private key"]
    text = f"my key is {secret} and this is what I say"
    for start in range(0, len(text), 7):
        shown = excerpt(text, start, start + 5)
        assert not any(secret[at : at + 8] in shown for at in range(40, len(secret) - 48))
        assert len(shown) <= 72


def test_kinds_do_not_overlap() -> None:
    text = f"https://ada:{word(20)}@mail.host.net"
    assert [one.kind for one in detect(Scan(text), available(KINDS))] == ["secret"]


def test_every_form_of_token_has_its_hint_in_a_word_that_is_long_enough() -> None:
    for what, secret in SECRETS.items():
        if what != "private key":
            scan = Scan(f"a b {secret} c")
            hints = {hint for form in TOKENS if form.what == what.strip() for hint in form.hints}
            assert any(hint in scan.long_words for hint in hints), what
