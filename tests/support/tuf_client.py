"""A client of a signed repository in a folder: python-tuf's own, without a network, and with the clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class FolderFetcher(FetcherInterface):
    """Reads folder:///PATH; what is missing is a 404, as of a server."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlsplit(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"{path} is missing", 404)
        yield path.read_bytes()


class Device:
    """A device that keeps its trusted metadata in a folder."""

    def __init__(self, home: Path, repository: Path) -> None:
        self.home, self.repository = home, repository
        (home / "targets").mkdir(parents=True, exist_ok=True)
        self.root = (repository / "metadata" / "1.root.json").read_bytes()

    def updater(self) -> Updater:
        """An updater that has read what is new."""
        updater = Updater(
            str(self.home / "metadata"),
            f"folder://{self.repository / 'metadata'}/",
            str(self.home / "targets"),
            f"folder://{self.repository / 'targets'}/",
            fetcher=FolderFetcher(),
            bootstrap=self.root,
        )
        updater.refresh()
        return updater

    def read(self, target: str) -> bytes:
        """A target's verified content."""
        updater = self.updater()
        info = updater.get_targetinfo(target)
        assert info is not None, target
        return Path(updater.download_target(info, str(self.home / "targets" / "file"))).read_bytes()
