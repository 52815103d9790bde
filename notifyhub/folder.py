"""The data folder: what the hub makes for itself on first use, and the secrets it keeps there."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet


def read_secret(path: Path) -> str:
    """Return the text of a secret file, or an empty text when there is none yet."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def write_secret(path: Path, text: str) -> None:
    """Write a secret that only this user may read (mode 0600); never replaces one that stands."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")


def prepare(folder: Path) -> None:
    """Make the data folder and the secrets that are missing in it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # `collectstatic` writes there; WhiteNoise warns of a folder that is not.
    (folder / "static").mkdir(exist_ok=True)
    write_secret(folder / "secret_key", secrets.token_urlsafe(50))
    write_secret(folder / "key_ring", Fernet.generate_key().decode())
    write_secret(folder / "redis_password", secrets.token_urlsafe(24))
