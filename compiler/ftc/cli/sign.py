"""`ftc sign`: sign a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from ftc.cli.options import epilog, terminal_options
from ftc.cli.status import FAILED, FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

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
@terminal_options
def command(terminal: Terminal, run: Path, key: Path | None) -> int:
    """Sign a finished run: every file of it, with its manifest, provenance.json and the times of its build.

    The run is verified first. The signature is written to model.sig in the run, as a sigstore bundle that
    `model_signing verify` reads too; `ftc verify RUN --key` checks it. A key with a password is opened with
    that in the environment variable FTC_SIGN_PASSWORD. Needs model-signing: pip install 'ftc[sign]'.
    """
    import os

    from ftc.artifact.run_directory import SIGNATURE
    from ftc.artifact.sign import sign
    from ftc.cli.findings import report_findings
    from ftc.verifying import verify_run

    found = verify_run(run)
    if not found.ok:
        report_findings(found.findings, "full", terminal)
        return RECIPE_WRONG
    problem = sign(run, key, os.environ.get(PASSWORD))
    if problem is not None:
        report_findings((problem,), "full", terminal)
        return FAILED
    if not terminal.quiet:
        terminal.out(f"wrote {run / SIGNATURE}")
    return FINE
