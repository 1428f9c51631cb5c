"""Revisions of the code that the trials of a store come from."""

import json
from collections.abc import Iterable, Mapping

UNNAMED = "code not recorded"


def revisions(codes: Iterable[object]) -> Mapping[str, tuple[str, ...]]:
    """Return the parts of the code of which there are several digests among `codes`, with those; none for one revision.

    `codes` are those of trials, as `Records.trials` has them. A trial that does not name its code is of another
    revision than one that does.
    """
    digests_by_part: dict[str, dict[str, None]] = {}
    distinct = dict.fromkeys(code if isinstance(code, str) else None for code in codes)
    for code in distinct:
        for name, digest in ({} if code is None else json.loads(code)).items():
            digests_by_part.setdefault(name, {})[digest] = None
    several = {name: tuple(digests) for name, digests in digests_by_part.items() if len(digests) > 1}
    if None in distinct and len(distinct) > 1:
        several[UNNAMED] = ()
    return several


def told(codes: Iterable[object]) -> str:
    """Return a sentence that says that results are of several revisions, and in what these differ; "" for one."""
    several = revisions(codes)
    if not several:
        return ""
    parts = [
        f"{name} ({len(digests)} versions)" if digests else "some trials do not record their code"
        for name, digests in sorted(several.items())
    ]
    return f"These results are of several revisions of the code and are no comparison within one: {', '.join(parts)}."
