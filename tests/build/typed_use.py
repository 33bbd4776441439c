"""How a typed program uses the library; checked by mypy, never run."""

from pathlib import Path
from typing import Literal, assert_type

import ftc
from ftc.data.kept.lineage import Lineage
from ftc.data.kept.shown import ShownExample
from ftc.plan.compare import Comparison
from ftc.plan.sampled import Sampling
from ftc.plan.steps import Plan

assert_type(ftc.check("recipe.toml").ok, bool)
assert_type(ftc.plan(Path("recipe.toml"), set=["train.epochs=1"]).plan, Plan | None)
assert_type(ftc.plan("recipe.toml", sample=2000).sampling, Sampling | None)
assert_type(ftc.diff("old.toml", Path("new.toml")).comparison, Comparison | None)
assert_type(ftc.build("recipe.toml").status, Literal["built", "up to date", "stopped", "failed", "invalid"])
assert_type(ftc.examples("recipe.toml", rows=1).examples, tuple[ShownExample, ...])
assert_type(ftc.trace("recipe.toml", ["t:1"]).rows, tuple[Lineage, ...])
