"""Tables in Markdown, as docs/reference/evaluation.md has them."""

from collections.abc import Iterable, Sequence

from evaluation.measuring import Measured
from evaluation.place import Workspace, note

_COLUMNS = {
    "ndcg": "nDCG@10",
    "recall": "recall@10",
    "answer@1": "answer@1",
    "answer@5": "answer@5",
    "answer@10": "answer@10",
    "answer in 1500": "answer in 1500 tokens",
}


def show(line: str = "") -> None:
    """Print one line of the report."""
    print(line, flush=True)


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    show(f"| {' | '.join(header)} |")
    show("|" + "---|" * len(header))
    for row in rows:
        show(f"| {' | '.join(row)} |")
    show()


def show_set(workspace: Workspace, measured: Sequence[Measured]) -> None:
    """Print a set's figures, and its nDCG@10 by kind where there are several."""
    questions = workspace.questions
    asked = sum(bool(question.answers) for question in questions.questions)
    show(f"## {questions.name}")
    show()
    show(
        f"{len(questions.documents):,} documents, {len(workspace.passages):,} passages, {asked:,} questions; "
        f"taken in within {workspace.seconds:.0f} s."
    )
    for failure in workspace.failed:
        show(f"Not read: {failure}")
    show()
    columns = [name for name in _COLUMNS if measured[0].whole.mean(name) is not None]
    rows = ([one.name, *(figure(one.whole.mean(name)) for name in columns), str(one.silent)] for one in measured)
    show_table(["", *(_COLUMNS[name] for name in columns), "questions without a hit"], rows)
    if len(questions.kinds) > 1:
        counted = [sum(question.kind == kind for question in questions.questions) for kind in questions.kinds]
        header = [f"{kind} ({many})" for kind, many in zip(questions.kinds, counted, strict=True)]
        for name in columns[:1] + columns[-1:]:
            by_kind = (
                [one.name, *(figure(one.by_kind[kind].mean(name)) for kind in questions.kinds)] for one in measured
            )
            show_table([_COLUMNS[name], *header], by_kind)
    note(f"{questions.name}: measured")


def figure(value: float | None) -> str:
    """Return a figure as tables have it."""
    return "" if value is None else f"{value:.3f}"
