"""A user's own prices in a file: what is taken of it, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.api import check
from ftc.estimate.catalogue import find, price_range
from ftc.estimate.own_prices import VARIABLE, shared_prices


def given(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(path))


def test_no_file_no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert shared_prices().prices == {}
    monkeypatch.setenv(VARIABLE, "")
    assert shared_prices().findings == ()


def test_a_good_file_is_taken_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(monkeypatch, tmp_path / "prices.toml", 'L4 = 0.65\n"nvidia h100 80gb hbm3" = 2\n')
    found = shared_prices()
    assert found.findings == ()
    assert found.prices == {"L4": 0.65, "nvidia h100 80gb hbm3": 2.0}
    device = find("H100")
    assert device is not None
    price = price_range(device, {}, found.prices)
    assert price is not None
    assert price.likely == 2.0


def test_each_mistake_is_said_and_its_line_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = 'L4 = 0.65\nT4 = -1\nA40 = "1.0"\nA10 = true\nA10G = inf\nL40S = nan\nQ9 = 3\n"nvidia-l4" = 0.7\n'
    given(monkeypatch, tmp_path / "prices.toml", text)
    found = shared_prices()
    assert found.prices == {"L4": 0.65}
    assert {finding.code for finding in found.findings} == {"FTC854"}
    said = [finding.message for finding in found.findings]
    assert len(said) == 7
    for name, message in zip(["T4", "A40", "A10", "A10G", "L40S", "Q9", "nvidia-l4"], said, strict=True):
        assert f"`{name}`" in message
    assert all(finding.place == str(tmp_path / "prices.toml") for finding in found.findings)


@pytest.mark.parametrize("content", [b"L4 = ", b"\xff", None])
def test_a_file_that_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "prices.toml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    (finding,) = shared_prices().findings
    assert (finding.code, finding.place) == ("FTC854", str(path))
    assert "cannot be read" in finding.message


def test_a_check_says_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(monkeypatch, tmp_path / "prices.toml", "L4 = 0\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nbase = "a/b"\n[data]\nsources.rows = "rows.csv"\n', encoding="utf-8")
    assert "FTC854" in {finding.code for finding in check(recipe).findings}
