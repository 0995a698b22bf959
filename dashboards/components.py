"""The files of Panel's components that the pages use, and no others.

Panel's own handler imports whatever module an address names and runs its top level (Panel 1.9:
`/components/this/a/b/c` prints the Zen of Python in the server). Here a path is compared before anything is imported.
"""

from __future__ import annotations

from panel.io.server import ComponentResourceHandler
from tornado.web import HTTPError

#: `<module>/<class>/<attribute>/` of the files that the pages load.
ALLOWED: tuple[str, ...] = ()


class Components(ComponentResourceHandler):
    """Panel's handler for the declared files; 404 for anything else, without an import."""

    def parse_url_path(self, path: str) -> str:
        if not allowed(path):
            raise HTTPError(404)
        return super().parse_url_path(path)


def allowed(path: str) -> bool:
    """Whether a page loads that file."""
    return path.startswith(ALLOWED)
