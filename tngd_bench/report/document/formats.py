"""The formats in which a report can be written."""

FORMATS = ("html", "md", "pdf", "tex")
DEFAULT_FORMATS = ("html", "md")
