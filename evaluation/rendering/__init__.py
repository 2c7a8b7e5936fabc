"""Documents written as Markdown or CSV, rendered into the formats that people send."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evaluation.questions import SourceDocument
from evaluation.rendering.pages import as_pdf
from evaluation.rendering.sheet import as_xlsx
from evaluation.rendering.slides import as_pptx
from evaluation.rendering.word import as_docx

# Named by the folder that a document lies in.
_RENDERED: Mapping[str, tuple[str, Callable[[str], bytes]]] = {
    "as-docx": (".docx", as_docx),
    "as-pdf": (".pdf", as_pdf),
    "as-pptx": (".pptx", as_pptx),
    "as-xlsx": (".xlsx", as_xlsx),
}


def rendered(path: Path) -> SourceDocument:
    """Return a document in the format that its folder names, under the ending of that format."""
    if path.parent.name not in _RENDERED:
        return SourceDocument(path.name, path.read_bytes())
    ending, render = _RENDERED[path.parent.name]
    return SourceDocument(path.with_suffix(ending).name, render(path.read_text(encoding="utf-8")))
