"""`file:///absolute/folder` or `file:///absolute/archive.zip`: photos of this machine."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from colorize.data.sources import Entry, PhotoUnavailableError, Source, SourceError, SourceUnavailableError
from colorize.data.sources.archive import ArchiveSource, is_archive, not_an_archive
from colorize.data.sources.members import identity, odd_name, printable, read_at
from colorize.settings.sections import ArchiveSettings

_SHORT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_DETAILS: Final = {
    "link-outside": "a link that leaves the folder; put the file itself into the folder",
    "linked-folder": "a link to a folder, whose files would be listed twice or without an end",
    "broken-link": "a link to a file that does not exist",
    "special-file": "a device, FIFO or socket",
}


def local_source(url: str, archives: ArchiveSettings, downloads: Path) -> Source:
    """The source of a `file://` address; %20 and the like are decoded.

    Raises:
        SourceError: the address is not absolute, or means a file that is no archive.
    """
    path = unquote(url.removeprefix("file://"), errors="surrogateescape")
    if not path.startswith("/"):
        raise SourceError(f"{url}: not an absolute path; write file:///home/me/photos (three slashes)")
    return open_local(Path(path), archives, downloads)


def open_local(path: Path, archives: ArchiveSettings, downloads: Path) -> Source:
    """The source that a folder or an archive of this machine is; which one, its content tells.

    A path that does not exist is taken for a folder, and listing it says so.

    Args:
        path: the folder or archive.
        archives: what an archive may ask for.
        downloads: folder for the plain .tar that a .tar.gz is expanded into.

    Raises:
        SourceError: it is a file, but no archive, or cannot be read.
    """
    if not path.is_file():
        return FolderSource(path)
    if not is_archive(path):
        raise SourceError(not_an_archive(path))
    return ArchiveSource(path, archives, downloads)


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Files below one folder. Links to files inside it are followed; all other links are refused.

    Attributes:
        folder: absolute path, or relative to the current folder.
    """

    folder: Path

    def list(self) -> Iterator[Entry]:
        """Every file below the folder; links, special files and odd names come with the reason why they are refused.

        Raises:
            SourceError: the folder is missing, is a file, or cannot be opened.
        """
        yield from _walk(self._root())

    def read(self, entry: Entry) -> bytes:
        """The bytes of one listed file.

        Raises:
            PhotoUnavailableError: "vanished", "changed" (other size, time or place than listed) or "unreadable".
            SourceError: the folder itself is gone, or empty as a mount point is without its disk.
        """
        try:
            return self._read(entry)
        except (OSError, RuntimeError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            if number in _SHORT_OF_RESOURCES:
                raise SourceUnavailableError(f"{self.folder}: {error}; run again with fewer workers") from error
            with os.scandir(self._root()) as children:
                if next(children, None) is None:
                    raise SourceError(f"{self.folder} is empty now; is its disk still mounted?") from error
            if isinstance(error, FileNotFoundError):
                raise PhotoUnavailableError("vanished", "the file was there when it was listed; list again") from error
            reason = error.strerror if isinstance(error, OSError) else error
            raise PhotoUnavailableError("unreadable", f"{reason}; check the file's permissions") from error

    def _read(self, entry: Entry) -> bytes:
        path = (self.folder / entry.path).resolve(strict=True)
        if not path.is_relative_to(self.folder.resolve()):
            raise PhotoUnavailableError("changed", "a link that leaves the folder has taken its place; list again")
        # Not blocking: a FIFO that has taken the file's place would make us wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or identity(status) != entry.version:
                raise PhotoUnavailableError("changed", "the file is not the one that was listed; list again")
            data = read_at(descriptor, 0, status.st_size + 1)
        finally:
            os.close(descriptor)
        if len(data) != status.st_size:
            raise PhotoUnavailableError("changed", "the file changed while it was read; list again")
        return data

    def _root(self) -> Path:
        try:
            root = self.folder.resolve(strict=True)
            os.scandir(root).close()
        except FileNotFoundError as error:
            raise SourceError(f"{self.folder} does not exist; correct the dataset's 'source' in params.yaml") from error
        except NotADirectoryError as error:
            raise SourceError(not_an_archive(self.folder)) from error
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{self.folder} cannot be opened ({error}); check its permissions") from error
        return root


def _walk(root: Path) -> Iterator[Entry]:
    """Depth first, and one folder's names in memory at no time: they come as the system hands them out."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as children:
                for child in children:
                    if child.is_dir(follow_symlinks=False):
                        folders.append(Path(child.path))
                    else:
                        yield _entry(root, Path(child.path))
        except OSError as error:
            detail = f"the folder's files cannot be listed, or not all of them: {error.strerror}"
            yield _refused(root, folder, "unreadable-folder", detail)


def _entry(root: Path, path: Path) -> Entry:
    """One file or link. A link to a folder is a loop or shows its photos twice; one that leaves the folder leaks."""
    name = path.relative_to(root).as_posix()
    if (odd := odd_name(name)) is not None:
        return _refused(root, path, odd.reason, odd.detail)
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = path.resolve(strict=True)
            if not target.is_relative_to(root):
                return _refused(root, path, "link-outside")
            status = target.stat()
    except FileNotFoundError:
        return _refused(root, path, "broken-link")
    except OSError as error:
        return _refused(root, path, "unreadable", f"{error.strerror}")
    except RuntimeError:
        return _refused(root, path, "unreadable", "a link that leads back to itself")
    if stat.S_ISDIR(status.st_mode):
        return _refused(root, path, "linked-folder")
    if not stat.S_ISREG(status.st_mode):
        return _refused(root, path, "special-file")
    return Entry(name, status.st_size, identity(status))


def _refused(root: Path, path: Path, reason: str, detail: str | None = None) -> Entry:
    name = printable(path.relative_to(root).as_posix())
    return Entry(name, None, "", refused=reason, detail=detail or _DETAILS[reason])
