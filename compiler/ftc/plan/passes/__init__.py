"""The passes: one module each, each with one function `run(plan, context) -> Outcome`."""
