"""The page's files, read once at the start: what is served then needs no disk, and no path leads out of the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from maker.edge.http_messages import Request, Response

FOLDER: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"
FILE_BYTES_MAX: Final = 2 << 20  # the chart library has 60 kB
TYPES: Final = {  # by ending; a file of any other is not served
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


@attrs.frozen
class File:
    """One file as it is served."""

    body: bytes
    kind: str
    etag: str

    @classmethod
    def of(cls, path: Path) -> File:
        """Read a file. Raises OSError."""
        body = path.read_bytes()
        return cls(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        headers = (("Content-Type", self.kind), ("ETag", self.etag), ("Cache-Control", "no-cache"))
        if self.etag in (one.strip() for one in request.headers.get("if-none-match", "").split(",")):
            return Response(304, headers)
        return Response(200, headers, self.body)


def load(folder: Path = FOLDER) -> Mapping[str, File]:
    """Every file of the page by the path it is asked for, the index also by "/". Raises OSError."""
    files = {
        f"/{path.relative_to(folder).as_posix()}": File.of(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES and path.is_file() and path.stat().st_size <= FILE_BYTES_MAX
    }
    if f"/{INDEX}" in files:
        files["/"] = files[f"/{INDEX}"]
    return files
