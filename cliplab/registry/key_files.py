"""The files of private keys: Ed25519 in PEM, one per key, which only their owner reads."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.errors import ConfigError
from adapters.system import atomic_path, read_regular_bytes, storage_error

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

PASSWORD_VARIABLE = "CLIPLAB_KEY_PASSWORD"
_RETIRED = "retired"
_MOST_KEY_BYTES = 64_000  # a key has some hundred


def new_key(folder: Path, role: str, made: list[str]) -> Signer:
    """Make a private key, which only its owner reads; CLIPLAB_KEY_PASSWORD encrypts it.

    Args:
        folder: Where keys are kept.
        role: Whose key it is.
        made: Gets the path of the new file.

    Raises:
        StorageError: The folder cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

    private = Ed25519PrivateKey.generate()
    password = os.environ.get(PASSWORD_VARIABLE)
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password.encode())
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise storage_error(folder, error) from error
    path = folder / f"{role}-{secrets.token_hex(4)}.pem"
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    made.append(str(path))
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def load_key(path: Path) -> Signer:
    """Read a private key.

    Args:
        path: The file.

    Raises:
        ConfigError: Others can read it, its password is wrong, or it is damaged.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner, SSlibKey

    try:
        mode = path.stat().st_mode
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path}: can be read by other users ({stat.filemode(mode)}). Run: chmod 600 {path}")
        data = read_regular_bytes(path, _MOST_KEY_BYTES, ConfigError)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Run this as the user who owns it") from error
    password = os.environ.get(PASSWORD_VARIABLE)
    try:
        key = load_pem_private_key(data, password.encode() if b"ENCRYPTED" in data and password else None)
    except TypeError as error:
        raise ConfigError(f"{path}: is protected by a password. Set {PASSWORD_VARIABLE}") from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: cannot be opened ({PASSWORD_VARIABLE} is wrong, or the file is damaged). Correct it, or restore "
            "the file"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is not an Ed25519 key. Restore the file that `cliplab registry init` made")
    return CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))


def retire_keys(folder: Path, ids: set[str]) -> list[str]:
    """Move the files of keys that no longer count aside.

    Args:
        folder: Where keys are kept.
        ids: Their ids.

    Returns:
        The new paths.
    """
    moved = []
    for path in sorted(folder.glob("*.pem")):
        if load_key(path).public_key.keyid in ids:
            target = folder / _RETIRED / path.name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                path.rename(target)
            moved.append(str(target))
    return moved
