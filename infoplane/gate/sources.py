"""Results of several files as one document: the seeds of a network, analyzed apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infoplane.errors import NotFoundError
from infoplane.results.file import read_results
from infoplane.results.merging import merged


def read_together(paths: Sequence[Path]) -> dict[str, Any]:
    """Read results documents as one; the runs of one group are averaged, whatever their file.

    A file that is named twice counts once.

    Raises
    ------
    RunFileError, DataError
        If a file cannot be read, or the files contradict one another.
    NotFoundError
        If no file holds a row.
    """
    documents = {str(path): read_results(path) for path in paths}
    names = list(documents)
    together = merged(list(documents.values()), names=names)
    if not together["rows"]:
        raise NotFoundError(f"{', '.join(names)}: the results hold no rows", code="IP404")
    return together
