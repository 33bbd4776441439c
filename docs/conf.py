"""How the documentation is built: `sphinx-build -W -n -c docs . build/docs`, from the top of the repository.

The source directory is the top, so that links to SECURITY.md and to the examples are links between pages.
"""

from __future__ import annotations

project = "ftc"
author = "the ftc authors"
project_copyright = author
root_doc = "docs/index"
include_patterns = ["docs/**/*.md", "docs/*.md", "SECURITY.md", "examples/*/README.md"]
exclude_patterns = [".*", "build", "dist", "**/runs", "**/node_modules"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # `console` and recipes with … are no programs

html_theme = "furo"
html_title = "ftc"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["style"]
html_css_files = ["docs.css"]
