"""Verbs for those who write plug-ins: templates and their examination."""
