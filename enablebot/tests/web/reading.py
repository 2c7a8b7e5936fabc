"""A page as a browser's parser sees it: its elements, their attributes and their text."""

import re
from html.parser import HTMLParser

_WITHOUT_END = frozenset({"meta", "link", "img", "input", "path", "br"})


class Page(HTMLParser):
    """`elements` lists every start tag with the names of its attributes, in order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._texts: list[tuple[tuple[str, ...], str]] = []
        self.unclosed: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _WITHOUT_END:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _WITHOUT_END:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        self._texts.append((tuple(self._open), data))

    @property
    def text(self) -> str:
        """Everything a person reads, in one line."""
        shown = [text for where, text in self._texts if not {"script", "style", "title"} & set(where)]
        return re.sub(r"\s+", " ", " ".join(shown)).strip()

    def text_of(self, tag: str) -> str:
        """The text inside all elements of one kind."""
        return "".join(text for where, text in self._texts if tag in where).strip()

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.attributes if name == tag]

    def addresses(self) -> list[str]:
        """Every address the page names."""
        names = ("href", "src", "action", "formaction", "srcset", "data", "poster")
        return [attributes[name] for _, attributes in self.attributes for name in names if name in attributes]
