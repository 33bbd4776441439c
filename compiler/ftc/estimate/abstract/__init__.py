"""The very training step that is to run, run abstractly: shapes without values, every byte counted."""
