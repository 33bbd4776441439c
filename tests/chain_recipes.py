"""Two recipes over a tiny model, the second of which builds on the first."""

from __future__ import annotations

from pathlib import Path

from fake_runs import rows_of

DOMAIN = """
[model]
base = "{model}"
[data]
sources.docs = "../docs.jsonl"
[tune]
method = "full"
[train]
steps = 2
batch = 4
[lints]
small_eval = "allow"
"""
TICKETS = """
[model]
base = {{ recipe = "../domain" }}
[data]
sources.qa = "../qa.jsonl"
split = {{ eval = 8 }}
[tune]
method = "full"
[train]
steps = 2
batch = 4
[lints]
small_eval = "allow"
"""


class Chain:
    """The directory of the two recipes; each can be written anew with other words in it."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root, self.model = root, model
        self.domain, self.tickets = root / "domain/recipe.toml", root / "tickets/recipe.toml"
        rows_of(root / "docs.jsonl", [{"text": f"the quick brown fox {i} jumps"} for i in range(24)])
        qa = [{"prompt": f"what is {i}", "completion": f"the lazy dog {i}"} for i in range(24)]
        rows_of(root / "qa.jsonl", qa)
        self.write("domain")
        self.write("tickets")

    def write(self, name: str, *changes: tuple[str, str]) -> None:
        text = (DOMAIN if name == "domain" else TICKETS).format(model=self.model)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.root / name).mkdir(exist_ok=True)
        (self.root / name / "recipe.toml").write_text(text)
