"""How Sphinx builds the pages into a site: ``make docs``."""

project = "focal"
author = "the authors of focal"
extensions = ["myst_parser"]
exclude_patterns = ["conf.py", "generate.py"]

html_theme = "furo"
html_title = "focal"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

highlight_language = "none"  # what has no language named is a drawing or a message
myst_heading_anchors = 4
