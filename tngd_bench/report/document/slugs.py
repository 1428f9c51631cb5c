"""Names of files and page anchors made from names that users wrote."""

import hashlib
import re


def slug(*parts: object) -> str:
    """Return lower-case letters, digits and hyphens; text that loses a character gets a digest to stay unique."""
    text = "-".join(str(part) for part in parts).lower()
    clean = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    if clean == text.replace("_", "-"):
        return clean
    return f"{clean[:60].strip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
