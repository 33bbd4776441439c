"""What TRL's own parser makes of configurations: run as a process, as it loads torch.

Arguments are pairs of a config's class and a file; printed is a JSON list with the parsed fields of each.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any

import trl
from trl.scripts.grpo import GRPOScriptArguments


def parsed(name: str, file: str) -> dict[str, Any]:
    """The fields of the config, of the model's arguments and of the script's, by name."""
    script = GRPOScriptArguments if name == "GRPOConfig" else trl.ScriptArguments
    kinds = (script, getattr(trl, name), trl.ModelConfig, trl.DatasetMixtureConfig)
    parts = trl.TrlParser(kinds).parse_args_and_config(["--config", file])
    return {one.name: getattr(part, one.name) for part in parts for one in fields(part)}


if __name__ == "__main__":
    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    sys.stdout.write(json.dumps([parsed(name, file) for name, file in pairs], default=str))
