"""Signatures of runs, by sigstore's `model-signing`: over the digest of every file of the run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc.artifact.run_directory import SIGNATURE
from ftc.artifact.verify import Check
from ftc.diagnostics import Finding

CODE = "FTC759"
PACKAGE = "model_signing"


def _missing() -> Finding | None:
    if find_spec(PACKAGE) is not None:
        return None
    return Finding(
        CODE,
        "signing needs the package `model-signing`, which is not installed",
        help=("install it: pip install 'ftc[sign]'",),
    )


def _hashing() -> Any:
    """Every file of the run but the signature; links are refused."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def sign(run: Path, key: Path | None, password: str | None = None) -> Finding | None:
    """Write `model.sig` into a run: with a private key, or through sigstore by the signer's identity.

    The key is an elliptic curve key in PEM; sigstore asks for a log-in, and needs the network.
    """
    missing = _missing()
    if missing is not None:
        return missing
    from model_signing import signing

    config = signing.Config().set_hashing_config(_hashing())
    try:
        if key is None:
            config = config.use_sigstore_signer()
        else:
            config = config.use_elliptic_key_signer(private_key=key, password=password)
        config.sign(run, run / SIGNATURE)
    except _failures() as error:
        return _failed("the run cannot be signed", error)
    return None


def check_signature(run: Path, key: Path | None) -> Check:
    """Whether a run's signature is of a public key, and of its files as they are."""
    signed = (run / SIGNATURE).is_file()
    if key is None:
        told = f"there is a {SIGNATURE}: --key checks it" if signed else "not signed"
        return Check("signature", open=told)
    if not signed:
        return Check("signature", findings=(Finding(CODE, f"the run has no {SIGNATURE}", place=str(run)),))
    missing = _missing()
    if missing is not None:
        return Check("signature", findings=(missing,))
    return _checked(run, key)


def _checked(run: Path, key: Path) -> Check:
    from model_signing import verifying

    try:
        config = verifying.Config().set_hashing_config(_hashing())
        config.use_elliptic_key_verifier(public_key=key).verify(run, run / SIGNATURE)
    except _failures() as error:
        return Check("signature", findings=(_broken(error),))
    return Check("signature", f"{SIGNATURE} is of {key.name}, over every file of the run")


def _broken(error: Exception) -> Finding:
    """The finding for a signature that is wrong, with the files that are others than those signed."""
    names = re.findall(r"Hash mismatch for \\?'(.+?)\\?':", str(error))
    names += re.findall(r"(?:Extra|Missing) files (?:found )?in model .+?: (.+?)[\"']", str(error))
    if names:
        return Finding(CODE, f"files are not those that were signed: {', '.join(names[:12])}")
    if not str(error):
        return Finding(CODE, "the signature was not made with this key, or was changed")
    return _failed("the signature does not hold", error)


def _failures() -> tuple[type[Exception], ...]:
    """What the package raises for a wrong key, a damaged signature or a file that changed."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    return (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OSError, *_sigstore())


def _sigstore() -> tuple[Any, ...]:
    """What sigstore raises without a network, or where the log-in fails."""
    from sigstore.errors import Error
    from sigstore.oidc import IdentityError

    return (Error, IdentityError)


def _failed(what: str, error: Exception) -> Finding:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Finding(CODE, f"{what}: {first[:300]}")
