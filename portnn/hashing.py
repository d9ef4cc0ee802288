"""Hashes of bytes: hashlib takes 3 ms to import, as long as a tenth of portnn, and is imported at the first use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib


def sha256(content: bytes = b"") -> "hashlib._Hash":
    """Return a SHA-256 hash object of ``content``, as of hashlib."""
    import hashlib

    return hashlib.sha256(content)


def blake2b(content: bytes, size: int) -> bytes:
    """Return ``size`` bytes that depend on ``content`` (BLAKE2b)."""
    import hashlib

    return hashlib.blake2b(content, digest_size=size).digest()
