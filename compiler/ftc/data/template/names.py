"""`dict` and `namespace` as templates are given them."""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2.utils import Namespace


class TemplateDict:
    """`dict` for templates, without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """`dict(…)`."""
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """`dict.fromkeys`."""
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """`namespace` for templates: names that start with an underscore are refused."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # no `self`, so that it may be a keyword
        self, rest = args[0], args[1:]
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(
            f"a namespace cannot hold {name!r}: names must not start with an underscore"
        )
