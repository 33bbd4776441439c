"""`ftc sign`: sign a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import epilog, json_option, terminal_options
from ftc.cli.status import FAILED, FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.diagnostics import Finding

PASSWORD = "FTC_SIGN_PASSWORD"  # noqa: S105 - the name of a variable


@click.command(
    "sign", epilog=epilog("ftc sign RUN --key release.pem", "ftc sign RUN          through sigstore")
)
@click.argument("run", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Private elliptic curve key in PEM; without it sigstore signs for who logs in, over the network.",
)
@json_option
@terminal_options
def command(terminal: Terminal, run: Path, key: Path | None, *, json: bool) -> int:
    """Sign a finished run: every file of it, with its manifest, provenance.json and the times of its build.

    The run is verified first. The signature is written to model.sig in the run, as a sigstore bundle that
    `model_signing verify` reads too; `ftc verify RUN --key` checks it. A key with a password is opened with
    that in the environment variable FTC_SIGN_PASSWORD. Needs model-signing: pip install 'ftc[sign]'.

    --json prints {"ftc", "command", "ok", "results": [{"run", "ok", "findings", "signature"}]}.
    """
    import os

    from ftc.artifact.run_directory import SIGNATURE
    from ftc.artifact.sign import sign
    from ftc.jobs.verifying import verify_run

    found = verify_run(run)
    if not found.ok:
        return _told(terminal, run, found.findings, RECIPE_WRONG, json=json)
    problem = sign(run, key, os.environ.get(PASSWORD))
    if problem is not None:
        return _told(terminal, run, (problem,), FAILED, json=json)
    if not json and not terminal.quiet:
        terminal.out(f"wrote {run / SIGNATURE}")
    return _told(terminal, run, (), FINE, json=json)


def _told(terminal: Terminal, run: Path, findings: tuple[Finding, ...], code: int, *, json: bool) -> int:
    """Say what came of it, and return the exit code."""
    from ftc.artifact.run_directory import SIGNATURE
    from ftc.cli.findings import document, report_findings
    from ftc.diagnostics.json import to_json

    if not json:
        report_findings(findings, "full", terminal)
        return code
    signature = str(run / SIGNATURE) if code == FINE else None
    listed = [to_json(finding) for finding in findings]
    result = {"run": str(run), "ok": code == FINE, "findings": listed, "signature": signature}
    terminal.document(document("sign", [result]))
    return code
