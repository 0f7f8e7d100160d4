"""The zip archives of ``torch.save``: a pickle, ``data.pkl``, beside the bytes of each storage."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from infoplane.errors import RunFileError
from infoplane.runs.checksum import crc32
from infoplane.text import one_line

_BLOCK = 1 << 18  # bytes that stay in the processor's cache


def archive_members(path: Path) -> list[zipfile.ZipInfo]:
    """Return the members of a zip archive, as ``torch.save`` writes one; none of another file.

    Raises
    ------
    RunFileError
        If the archive is damaged.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return []
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.infolist()
        except Exception as error:  # damage surfaces in many ways
            raise unreadable(path, error) from error


def check_sums(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Compare members with the checksums beside them; ``torch.load`` reads flipped bits as weights.

    Raises
    ------
    RunFileError
        If one does not match, or the file does not hold it.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if sum(member.file_size for member in members) > size:
            raise unreadable(path, "its members are larger than the file")
        for member in members:
            if not member.CRC:
                continue  # empty, or saved without: torch.serialization.set_crc32_options(False)
            if not 0 <= member.header_offset < size:
                raise unreadable(path, f"{member.filename} begins outside of the file")
            start = _start(file, member)
            if start + member.file_size > size:
                raise unreadable(path, f"the file ends within {member.filename}")
            file.seek(start)
            left, found = member.file_size, 0
            while left:
                block = file.read(min(left, _BLOCK))
                left, found = left - len(block), crc32(block, found)
            if found != member.CRC:
                raise unreadable(path, f"{member.filename} does not match its checksum")


def unreadable(path: Path, error: Exception | str) -> RunFileError:
    """Return the error of a checkpoint that is damaged."""
    text = one_line(error, 160) or type(error).__name__
    return RunFileError(
        f"{path}: not a readable PyTorch checkpoint ({path.stat().st_size:,} bytes; {text})",
        hint="copy the file again from where it was saved, or leave it out of --checkpoints",
    )


def _start(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin: behind its name and what fills up."""
    file.seek(member.header_offset + 26)
    lengths = file.read(2), file.read(2)
    return member.header_offset + 30 + sum(int.from_bytes(n, "little") for n in lengths)
