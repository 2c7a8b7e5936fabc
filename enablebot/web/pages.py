"""HTML out of templates: autoescaped, with the addresses of the current style sheet."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from enablebot.web import paths
from enablebot.web.assets import Assets
from enablebot.web.notices import Notice

TEMPLATE_DIRECTORY = Path(__file__).parent / "templates"


class Pages:
    """Compiles each template once; a name that a template asks for and nobody gives is an error."""

    def __init__(self, assets: Assets, directory: Path = TEMPLATE_DIRECTORY) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(directory),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"asset": assets.url, "paths": paths.BY_NAME}

    def render(self, template: str, context: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
        return HTMLResponse(self._environment.get_template(template).render(context), status_code=status)

    def notice(self, notice: Notice, *, request_id: str | None = None) -> HTMLResponse:
        """The page for an outcome; the reference appears where the reader may need to quote it."""
        shown_reference = request_id if notice.status >= 500 else None
        context = {"notice": notice, "request_id": shown_reference}
        return self.render("notice.html", context, status=notice.status)
