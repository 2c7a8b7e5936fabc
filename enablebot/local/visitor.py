"""A person's browser, as far as the demo needs one: cookies, redirects and the forms on a page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp


@dataclass
class Form:
    """One form of a page: where it goes, and the fields it would send if nothing were touched."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """What the browser shows after following redirects."""

    url: str
    status: int
    html: str

    def forms(self) -> list[Form]:
        reader = _FormReader()
        reader.feed(self.html)
        return reader.forms


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._button: list[str] | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        if not self.forms:
            return
        form = self.forms[-1]
        if tag == "input" and given.get("name"):
            kind = given.get("type", "text")
            if (
                kind not in ("radio", "checkbox")
                or "checked" in given
                or (kind == "radio" and given["name"] not in form.fields)
            ):
                form.fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given.get("name")
        elif tag == "option" and self._select and ("selected" in given or self._select not in form.fields):
            form.fields[self._select] = given.get("value", "")
        elif tag == "button":
            form.buttons.append((given.get("name", ""), given.get("value", ""), ""))
            self._button = []

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self._button.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        if tag == "button" and self._button is not None and self.forms:
            name, value, _ = self.forms[-1].buttons[-1]
            self.forms[-1].buttons[-1] = (name, value, " ".join("".join(self._button).split()))
            self._button = None


class Visitor:
    """Opens pages, follows redirects, keeps cookies, presses buttons."""

    async def __aenter__(self) -> Self:
        # unsafe: cookies of an address without a domain name, which localhost and 127.0.0.1 are
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=20)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def open(self, url: str) -> Page:
        async with self._session.get(url, headers={"Accept": "text/html"}) as response:
            return Page(str(response.url), response.status, await response.text())

    async def press(self, page: Page, button: str, **changed: str) -> Page:
        """Send the form that has a button with this label; raises LookupError where the page has none."""
        for form in page.forms():
            for name, value, label in form.buttons:
                if label.lower().startswith(button.lower()):
                    fields = form.fields | ({name: value} if name else {}) | changed
                    target = urljoin(page.url, form.action)
                    async with self._session.request(
                        form.method,
                        target,
                        data=fields if form.method == "post" else None,
                        params=None if form.method == "post" else fields,
                        headers={"Accept": "text/html", "Origin": _origin(page.url), "Sec-Fetch-Site": "same-origin"},
                    ) as response:
                        return Page(str(response.url), response.status, await response.text())
        raise LookupError(f"{page.url} has no button that starts with {button!r}")


def _origin(url: str) -> str:
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{rest.split('/', 1)[0]}"
