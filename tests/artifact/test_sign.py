"""Signatures of runs with a key of one's own: held against the package's own command, and against changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ftc.artifact.run_directory import SIGNATURE
from ftc.artifact.sign import sign
from ftc.cli.main import run as command
from ftc.jobs.verifying import verify_run


def write_keys(directory: Path, name: str) -> tuple[Path, Path]:
    """A new private key and its public one, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def said(run: Path, public: Path) -> list[str]:
    return [one.message for one in verify_run(run, key=public).findings if one.code == "FTC759"]


def test_a_signed_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = write_keys(tmp_path, "mine")
    other = write_keys(tmp_path, "other")[1]
    assert said(run, public) == [f"the run has no {SIGNATURE}"]
    assert command(["sign", str(run), "--key", str(private)]) == 0
    assert capsys.readouterr().out == f"wrote {run / SIGNATURE}\n"
    assert verify_run(run, key=public).findings == ()
    assert verify_run(run).findings == ()  # a signature is no file too many
    (mismatch,) = said(run, other)
    assert mismatch.startswith("the signature does not hold: Key mismatch")
    theirs = [sys.executable, "-m", "model_signing", "verify", "key", str(run)]
    theirs += ["--signature", str(run / SIGNATURE), "--public_key", str(public)]
    done = subprocess.run(theirs, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded"), done.stderr

    (run / "timing.json").write_text("{}")  # which the manifest does not list, and the signature does
    assert said(run, public) == ["files are not those that were signed: timing.json"]
    signature = run / SIGNATURE
    signature.write_bytes(signature.read_bytes()[:-40])
    assert len(said(run, public)) == 1


def test_what_is_not_whole_is_not_signed(run: Path, tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, "mine")
    (run / "README.md").write_text("mine")
    assert command(["sign", str(run), "--key", str(private)]) == 1
    assert not (run / SIGNATURE).exists()


def test_a_key_that_is_none(run: Path) -> None:
    problem = sign(run, run / "README.md")
    assert problem is not None
    assert problem.code == "FTC759"
    assert problem.message.startswith("the run cannot be signed: ")
