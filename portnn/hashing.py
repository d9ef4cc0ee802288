"""Hashes of bytes. hashlib takes 3 ms to import, a tenth of portnn's time, so it is imported at the first use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib


def sha256(content: bytes = b"") -> "hashlib._Hash":
    """Return hashlib's SHA-256 object of ``content``."""
    import hashlib

    return hashlib.sha256(content)


def blake2b(content: bytes, size: int) -> bytes:
    """Return ``size`` bytes that depend on ``content`` (BLAKE2b)."""
    import hashlib

    return hashlib.blake2b(content, digest_size=size).digest()
