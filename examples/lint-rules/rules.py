"""Write rules.jsonl: what the linter ruff says of its rules, each with code it objects to and better code.

The texts are those of the installed package `ruff` (Astral Software, MIT licence), which prints them itself:
`ruff rule --all --output-format json`. Run it once: python rules.py
"""

import json
import re
import subprocess
from pathlib import Path

EXAMPLE = re.compile(r"## Examples?\s+```python\n(.*?)```\s+Use instead:\s+```python\n(.*?)```", re.DOTALL)
SECTION = re.compile(r"## What it does\s+(.*?)(?=\n## |\Z)", re.DOTALL)
REASON = re.compile(r"## Why is this bad\?\s+(.*?)(?=\n## |\Z)", re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])?")


def plain(text: str) -> str:
    """A paragraph without line breaks inside it and without links."""
    return LINK.sub(r"\1", " ".join(text.split()))


def rows() -> list[dict[str, str]]:
    """A row for each rule that shows what it objects to, and what to write instead."""
    command = ["ruff", "rule", "--all", "--output-format", "json"]
    rules = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = []
    for rule in rules:
        text = rule["explanation"] or ""
        shown, said, why = EXAMPLE.search(text), SECTION.search(text), REASON.search(text)
        if shown is None or said is None or why is None:
            continue
        bad, good = (part.strip("\n") for part in shown.groups())
        row = {"rule": rule["name"], "does": plain(said[1]), "why": plain(why[1]), "bad": bad, "good": good}
        found.append(row)
    return sorted(found, key=lambda row: row["rule"])


if __name__ == "__main__":
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows()]
    Path(__file__).with_name("rules.jsonl").write_text("".join(lines), encoding="utf-8")
