"""`cliplab label rename`: a class of a studio gets another name, and its labels follow."""

from __future__ import annotations

from pathlib import Path

from adapters.errors import DatasetError
from cliplab.studio.database import FILE_NAME
from cliplab.studio.store import open_store


def label_rename(data_dir: str | Path, old: str, new: str) -> None:
    """Give a class of a studio another name. Labels follow, also those that a browser still sends by the old name.

    A page that is open shows the new name once it is reloaded.

    Args:
        data_dir: The studio's folder, which has labels.db.
        old: The present name of the class.
        new: Its new name.

    Raises:
        DatasetError: The folder has no labels.db or no such class, or the new name is or was another class.
        StorageError: The store cannot be opened or written.
    """
    if not (Path(data_dir) / FILE_NAME).is_file():
        raise DatasetError(f"{data_dir}: has no {FILE_NAME}. Give the folder that the studio was started with")
    with open_store(data_dir) as store:
        store.rename_class(old, new)
