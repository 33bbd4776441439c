"""The settings that a recipe gives, as rules about several of them ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.layers import Key, Origins, Values, lookup


@dataclass(frozen=True)
class Settings:
    """The merged settings of a recipe, typed or not, with their places."""

    values: Values
    origins: Origins

    def get(self, *path: str | int) -> Any:
        """The value of a setting, or None where it is not given."""
        return lookup(self.values, path)

    def has(self, *path: str | int) -> bool:
        """Whether a setting is given."""
        return self.get(*path) is not None

    def has_any(self, *paths: Key) -> bool:
        """Whether any of several settings is given."""
        return any(self.has(*path) for path in paths)

    def whole(self, *path: str | int, default: int | None = None) -> int | None:
        """A setting that is a whole number; `default` where it is not given, None for other types."""
        value = self.get(*path)
        if value is None:
            return default
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def is_text(self) -> bool:
        """Whether rows become whole documents, as far as the recipe itself tells."""
        answers = (
            ("render", "user"),
            ("render", "assistant"),
            ("render", "prompt"),
            ("render", "completion"),
            ("render", "chosen"),
            ("render", "rejected"),
        )
        stated = self.has("render", "text") or self.objective == "cpt"
        return stated and not self.has_any(*answers)

    @property
    def objective(self) -> Any:
        """The name of the stated objective, however it is stated; None without one."""
        stated = self.get("train", "objective")
        return stated.get("name") if isinstance(stated, dict) else stated

    def wrong(self, message: str, path: Key, help_line: str, *, notes: tuple[str, ...] = ()) -> Finding:
        """A contradiction (FTC107) that shows at one setting."""
        span = self.origins.value(*path) if isinstance(path[-1], int) else self.origins.key(*path)
        return Finding("FTC107", message, span, help=(help_line,), notes=notes)
