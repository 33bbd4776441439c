"""Rules about [lints] and `data.redact`: names of lints, and kinds of personal data, that there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ftc.diagnostics import Finding
from ftc.lints import LINTS
from ftc.lints.kinds import KINDS, is_installed
from ftc.recipe.settings import Settings
from ftc.recipe.suggest import closest, listed


def unknown_lints(settings: Settings) -> Iterator[Finding]:
    """A level is given to a lint that there is (FTC102)."""
    levels = settings.get("lints")
    for name in levels if isinstance(levels, dict) else ():
        if name not in LINTS:
            span = settings.origins.key("lints", name)
            notes = (f"lints: {listed(LINTS)}",)
            message = f"unknown lint `{name}` in [lints]"
            yield Finding("FTC102", message, span, help=_lint_help(name), notes=notes)


def _lint_help(name: str) -> tuple[str, ...]:
    """The lint that a name may be a slip for, or whose code it is."""
    coded = [known for known, lint in LINTS.items() if lint.code == name.upper()]
    near = coded or closest(name, LINTS)
    return (f"write `{near[0]}`",) if coded else tuple(f"did you mean `{one}`?" for one in near)


def unknown_kinds(settings: Settings) -> Iterator[Finding]:
    """What is redacted is a kind that can be found (FTC105), with the packages there are (FTC814)."""
    kinds = settings.get("data", "redact")
    for index, kind in enumerate(kinds if isinstance(kinds, list) else ()):
        if not isinstance(kind, str):
            continue
        span = settings.origins.value("data", "redact", index)
        package = KINDS[kind].package if kind in KINDS else None
        if kind not in KINDS:
            message = f'`data.redact` cannot be "{kind}"'
            notes = (f"kinds: {', '.join(KINDS)}",)
            yield Finding("FTC105", message, span, help=_near(kind, KINDS), notes=notes)
        elif package is not None and not is_installed(package):
            message = f'"{kind}" is found with the package `{package}`, which is not installed'
            yield Finding("FTC814", message, span, help=("pip install 'ftc[lints]'", f'or remove "{kind}"'))


def _near(name: str, known: Iterable[str]) -> tuple[str, ...]:
    return tuple(f'did you mean "{other}"?' for other in closest(name, known))
