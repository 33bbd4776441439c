"""The library's face: `import ftc` and its functions; `typed_use.py` beside it is for the type checker."""

from __future__ import annotations

import subprocess
import sys


def test_the_functions_stay_functions_whatever_is_imported() -> None:
    code = (
        "import ftc.plan.steps, ftc.plan.pipeline, ftc\n"
        "from ftc.plan import canonical\n"
        "assert ftc.plan.__module__ == 'ftc.api' and callable(ftc.check) and callable(ftc.build)\n"
        "from ftc import plan\nassert plan is ftc.plan\n"
        "assert {'check', 'plan', 'build'} <= set(ftc.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_ftc_loads_almost_nothing() -> None:
    heavy = "('ftc.', 'pydantic', 'torch')"
    code = f"import ftc, sys; print(sorted(m for m in sys.modules if m.startswith({heavy})))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
