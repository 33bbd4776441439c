"""Sources: where rows come from. A kind is a file here and a line in `recipe/source_kinds.py`."""

from ftc.facts.sources.base import ResolvedSource, SourceError
from ftc.facts.sources.resolve import resolve_source

__all__ = ["ResolvedSource", "SourceError", "resolve_source"]
