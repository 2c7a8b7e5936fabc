"""One library alone, in a process of its own: takes the text of every page of a PDF; prints seconds and megabytes."""

import sys
import time
from pathlib import Path


def with_pypdfium2(path: Path) -> int:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    return sum(len(page.get_textpage().get_text_range()) for page in document)


def with_pypdf(path: Path) -> int:
    import pypdf

    return sum(len(page.extract_text()) for page in pypdf.PdfReader(path).pages)


def main() -> None:
    name, path = sys.argv[1], Path(sys.argv[2])
    began = time.perf_counter()
    characters = {"pypdfium2": with_pypdfium2, "pypdf": with_pypdf}[name](path)
    seconds = time.perf_counter() - began
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(seconds, peak, characters)


if __name__ == "__main__":
    main()
