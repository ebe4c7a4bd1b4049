"""`file:///absolute/folder`: photos in a folder of this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from colorize.data.sources import Entry, PhotoUnavailableError, SourceError


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files below one folder. Links to files inside it are followed; all other links are refused.

    Attributes:
        folder: absolute path.
    """

    folder: Path

    @classmethod
    def from_url(cls, url: str) -> FileSource:
        """The source of a `file://` address; %20 and the like are decoded.

        Raises:
            SourceError: the address names no absolute folder.
        """
        path = unquote(url.removeprefix("file://"))
        if not path.startswith("/"):
            raise SourceError(f"{url}: not an absolute folder; write file:///home/me/photos (three slashes)")
        return cls(Path(path))

    def list(self) -> Iterator[Entry]:
        """Every file below the folder; links and special files come with the reason why they are refused.

        Raises:
            SourceError: the folder is missing, is a file, or cannot be opened.
        """
        try:
            root = self.folder.resolve(strict=True)
            os.scandir(root).close()
        except FileNotFoundError as error:
            raise SourceError(f"{self.folder} does not exist; correct the dataset's 'source' in params.yaml") from error
        except NotADirectoryError as error:
            raise SourceError(f"{self.folder} is a file; a source is a folder with photos in it") from error
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{self.folder} cannot be opened ({error}); check its permissions") from error
        yield from _walk(root)

    def read(self, entry: Entry) -> bytes:
        """The bytes of one listed file.

        Raises:
            PhotoUnavailableError: "vanished", "changed" (other size or time than listed) or "unreadable".
        """
        try:
            with (self.folder / entry.path).open("rb") as file:
                if _version(os.fstat(file.fileno())) != entry.version:
                    raise PhotoUnavailableError("changed", "the file is not the one that was listed; list again")
                data = file.read()
        except FileNotFoundError as error:
            raise PhotoUnavailableError("vanished", "the file was there when it was listed; list again") from error
        except OSError as error:
            raise PhotoUnavailableError("unreadable", f"{error.strerror}; check the file's permissions") from error
        if len(data) != entry.size:
            raise PhotoUnavailableError("changed", "the file changed while it was read; list again")
        return data


def _walk(root: Path) -> Iterator[Entry]:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            children = list(os.scandir(folder))
        except OSError:
            yield _ignored(root, folder, "unreadable-folder")
            continue
        for child in children:
            if child.is_dir(follow_symlinks=False):
                folders.append(Path(child.path))
            else:
                yield _entry(root, Path(child.path))


def _entry(root: Path, path: Path) -> Entry:
    """One file or link. A link to a folder is a loop or shows its photos twice; one that leaves the folder leaks."""
    try:
        str(path).encode()
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = path.resolve(strict=True)
            if not target.is_relative_to(root):
                return _ignored(root, path, "link-outside")
            status = target.stat()
    except UnicodeEncodeError:
        return _ignored(root, path, "name-not-utf8")
    except FileNotFoundError:
        return _ignored(root, path, "broken-link")
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError in some versions of Python
        return _ignored(root, path, "unreadable")
    if stat.S_ISDIR(status.st_mode):
        return _ignored(root, path, "linked-folder")
    if not stat.S_ISREG(status.st_mode):
        return _ignored(root, path, "special-file")
    return Entry(path.relative_to(root).as_posix(), status.st_size, _version(status))


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _ignored(root: Path, path: Path, reason: str) -> Entry:
    return Entry(path.relative_to(root).as_posix(), None, "", ignored=reason)
