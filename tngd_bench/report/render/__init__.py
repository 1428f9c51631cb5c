"""Writing a report as HTML, Markdown, LaTeX, PDF and terminal text."""
