"""ftc: a declarative dataset-to-model compiler for fine-tuning language models.

>>> import ftc
>>> ftc.check("recipe.toml").ok  # doctest: +SKIP
True
"""

__version__ = "0.1.0"
