"""What each format becomes: headings, tables, lists and places survive; nothing of the text is lost."""

import io
from datetime import date, datetime

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from enablebot.tests.reader.asking import Heard, hear
from enablebot.tests.reader.office_files import changed, sheet_body, with_body, with_parts
from enablebot.tests.reader.pdf_writing import Text, column, pdf

pytestmark = pytest.mark.anyio


def kept(document: object) -> bytes:
    """What a library saves."""
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def placed(heard: Heard) -> list[tuple[tuple[str, ...], dict[str, object], str]]:
    return [(passage.heading, dict(passage.place), passage.text) for passage in heard.passages]


async def test_pdf_pages_headings_and_paragraphs() -> None:
    """A large line is a heading, broken lines are joined, running headers and page numbers go, pages are told."""
    topics = ["Booking", "Hotels", "Trains", "Meals"]
    pages = [
        [
            Text("ACME travel handbook", y=770, size=8),
            Text(topic, y=700, size=18),
            *column(
                f"Whoever thinks of {topic.lower()} asks the travel desk, which ex-",
                "amines the offers and answers within a day of that.",
                "",
                f"The second paragraph of page {number} is about exceptions.",
                y=670,
            ),
            Text(f"{number}", x=300, y=30, size=8),
        ]
        for number, topic in enumerate(topics, 1)
    ]
    heard = await hear(pdf(*pages, title="Travelling for ACME"), "pdf", name="t.pdf")
    assert heard.done is not None
    assert (heard.done.pages, heard.done.title) == (4, "Travelling for ACME")
    assert "Whoever thinks of hotels asks the travel desk, which examines the offers and answers" in heard.text
    assert heard.text.count("ACME travel handbook") <= 1
    headings = {heading for passage in heard.passages for heading in passage.heading}
    assert headings | set(heard.text.split("\n\n")) >= set(topics)
    assert heard.passages[-1].place.get("last_page", heard.passages[-1].place["page"]) == 4
    for number in range(1, 5):
        assert f"The second paragraph of page {number} is about exceptions." in heard.text


async def test_pdf_outline_names_the_headings_and_their_levels() -> None:
    page = [
        *column("Chapter One", "", "Leave of absence", "", *["Thirty days of leave are given to everybody here."] * 30)
    ]
    heard = await hear(pdf(page, [Text("More.")], outline=[("Chapter One", 0), ("Leave of absence", 0)]), "pdf")
    assert [passage.heading for passage in heard.passages][1:] == [("Leave of absence",)]
    assert heard.passages[0].text == "Chapter One"


async def test_pdf_text_without_full_stops_still_says_on_which_page_it_stands() -> None:
    pages = [
        column(*[f"words of page {number} go on and on without ever coming to an end"] * 45) for number in range(1, 31)
    ]
    heard = await hear(pdf(*pages), "pdf")
    for passage in heard.passages:
        first, last = passage.place["page"], passage.place.get("last_page", passage.place["page"])
        assert first - 1 <= int(passage.text.split("page ")[1].split()[0]) <= last + 1
    assert heard.passages[-1].place["page"] >= 28


async def test_a_pdf_that_may_not_be_copied_but_needs_no_password_is_read() -> None:
    heard = await hear(pdf(column("Thirty days of leave."), password=""), "pdf")
    assert heard.text == "Thirty days of leave."


async def test_word_order_headings_lists_and_tables() -> None:
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_heading("Leave", 1)
    document.add_paragraph("Thirty days for everybody.")
    document.add_heading("Sick leave", 2)
    document.add_paragraph("Call by nine.", style="List Bullet")
    table = document.add_table(3, 2)
    for row, cells in zip(table.rows, [("City", "Rate"), ("Berlin", "30 EUR"), ("Paris", "45 EUR")], strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    nested = table.cell(2, 1).add_table(1, 2)
    nested.cell(0, 0).text, nested.cell(0, 1).text = "by rail", "by air"
    document.add_paragraph("After the table.")
    heard = await hear(kept(document), "docx", name="h.docx")
    assert heard.done is not None
    assert heard.done.title == "Handbook"
    (passage,) = heard.passages
    assert passage.heading == ("Leave",)
    assert passage.text == (
        "Thirty days for everybody.\n\nSick leave\n\n- Call by nine.\n\n"
        "City: Berlin; Rate: 30 EUR\nCity: Paris; Rate: 45 EUR\nby rail; by air\n\nAfter the table."
    )


async def test_word_text_in_content_controls_boxes_links_and_tracked_changes_is_read_and_deleted_text_is_not() -> None:
    document = docx.Document()
    body = document.element.body
    for xml in (
        "<w:sdt {0}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        "<w:p {0}><w:ins><w:r><w:t>Inserted.</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>Deleted.</w:delText></w:r></w:del></w:p>",
        "<w:p {0}><w:hyperlink><w:r><w:t>A link.</w:t></w:r></w:hyperlink></w:p>",
        "<w:p {0}><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p>"
        "</w:txbxContent></w:pict></w:r></w:p>",
    ):
        body.insert(len(body) - 1, parse_xml(xml.format(nsdecls("w"))))
    text = (await hear(kept(document), "docx")).text
    assert text == "In a control.\n\nInserted.\n\nA link.\n\nIn a box."


async def test_word_cells_merged_downwards_say_the_same_in_each_row() -> None:
    document = docx.Document()
    table = document.add_table(3, 2)
    for at, cells in enumerate([("Country", "City"), ("Germany", "Berlin"), ("", "Köln")]):
        for column_, text in enumerate(cells):
            table.cell(at, column_).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    assert (await hear(kept(document), "docx")).text == "Country: Germany; City: Berlin\nCountry: Germany; City: Köln"


async def test_slides_with_notes_groups_tables_and_charts() -> None:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = "Roadmap", "First\nSecond"
    slide.notes_slide.notes_text_frame.text = "Speak slowly."
    box = slide.shapes.add_group_shape().shapes.add_group_shape().shapes.add_textbox(0, 0, Inches(1), Inches(1))
    box.text_frame.text = "Within two groups."
    table = slide.shapes.add_table(2, 2, 0, 0, Inches(1), Inches(1)).table
    for at, text in enumerate(["Quarter", "Goal", "Q1", "Ship"]):
        table.cell(at // 2, at % 2).text = text
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["2024", "2025"]
    data.add_series("Revenue", (1.5, 2))  # type: ignore[no-untyped-call]
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(1), Inches(1), data)
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Thanks"
    heard = await hear(kept(presentation), "pptx", name="r.pptx")
    assert heard.done is not None
    assert heard.done.pages == 2
    assert placed(heard) == [
        (
            ("Roadmap",),
            {"slide": 1},
            "First\nSecond\nWithin two groups.\n\nQuarter: Q1; Goal: Ship\nRevenue; 2024: 1.5; 2025: 2\n\n"
            "Notes: Speak slowly.",
        ),
        ((), {"slide": 2}, "Thanks"),
    ]


async def test_sheets_rows_under_their_headers() -> None:
    book = openpyxl.Workbook()
    prices = book.worksheets[0]
    prices.title = "Prices"
    prices.append(["Price list 2026"])
    prices.append([])
    prices.append(["Plan", "Price", "From", "VAT", "Open"])
    prices.append(["Pro", 19.9, date(2026, 1, 1), 0.19, True])
    prices.append(["Team", 49, datetime(2026, 2, 1, 8, 30), 0.07, None])
    prices["D4"].number_format = prices["D5"].number_format = "0%"
    people = book.create_sheet("People")
    people.append(["Name", "Mail"])
    people.append(["Jo", "jo@example.com"])
    hidden = book.create_sheet("Hidden")
    hidden.append(["not shown"])
    hidden.sheet_state = "hidden"
    assert placed(await hear(kept(book), "xlsx", name="p.xlsx")) == [
        (
            ("Prices",),
            {"sheet": "Prices", "rows": (1, 5)},
            "Price list 2026\nPlan: Pro; Price: 19.9; From: 2026-01-01; VAT: 19%; Open: yes\n"
            "Plan: Team; Price: 49; From: 2026-02-01 08:30; VAT: 7%",
        ),
        (("People",), {"sheet": "People", "rows": (2, 2)}, "Name: Jo; Mail: jo@example.com"),
    ]


async def test_sheets_whose_words_are_kept_apart_as_excel_keeps_them() -> None:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strings = (
        f'<sst xmlns="{main}"><si><t>Plan</t></si><si><r><t>Pri</t></r><r><t>ce</t></r></si><si><t>Pro</t></si></sst>'
    )
    cells = "".join(
        f'<row r="{row}">' + "".join(f'<c r="{name}{row}" t="s"><v>{at}</v></c>' for name, at in found) + "</row>"
        for row, found in ((1, (("A", 0), ("B", 1))), (2, (("A", 2), ("B", 2))))
    )
    content = with_body("xlsx", sheet_body(cells))
    content = changed(
        content,
        "[Content_Types].xml",
        lambda xml: xml.replace(
            b"</Types>",
            b'<Override PartName="/xl/sharedStrings.xml" ContentType='
            b'"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
        ),
    )
    content = with_parts(content, {"xl/sharedStrings.xml": strings.encode()})
    assert (await hear(content, "xlsx")).text == "Plan: Pro; Price: Pro"


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("Name;Telefon\nMüller;030 12\nMeier;040\n".encode("cp1252"), "Name: Müller; Telefon: 030 12"),
        (b'Name,Note\nJo,"a, b"\nAl,"two\nlines"\n', "Name: Jo; Note: a, b"),
        (b"Name\tMail\r\nJo\tjo@example.com\r\n", "Name: Jo; Mail: jo@example.com"),
        ("Name|Größe\nJo|1,80\n".encode("utf-16"), "Name: Jo; Größe: 1,80"),
        (b"sep=;\nA;B\nx;y\n", "A: x; B: y"),
    ],
)  # fmt: skip
async def test_csv_whatever_its_delimiter_and_encoding(content: bytes, row: str) -> None:
    heard = await hear(content, "csv")
    assert heard.text.split("\n")[0] == row
    assert heard.passages[0].place["rows"][0] == 2


async def test_html_main_content_headings_lists_and_tables() -> None:
    page = f"""<html><head><title>Leave | ACME</title><style>p {{}}</style></head><body><nav>Home</nav>
    <main><h1>Leave <em>rules</em></h1><p>Thirty <b>days</b>
    of leave<br>for everybody.</p><ul><li>one</li><li>two</li></ul>
    <table><tr><th>City<th>Rate</tr><tr><td rowspan=2>Berlin<td>30</tr><tr><td>35</tr></table>
    <pre>code  here</pre><p style="display: none">ghost</p><p>{"Words. " * 40}</p></main>
    <script>x()</script><footer>Imprint</footer></body></html>"""
    heard = await hear(page.encode(), "html")
    assert heard.done is not None
    assert heard.done.title == "Leave | ACME"
    assert heard.passages[0].heading == ("Leave rules",)
    assert heard.text.startswith(
        "Thirty days of leave\nfor everybody.\n\n- one\n- two\n\nCity: Berlin; Rate: 30\nCity: Berlin; Rate: 35\n\n"
        "```\ncode  here\n```"
    )
    assert not {"ghost", "Home", "Imprint", "x()"} & set(heard.text.split())


async def test_html_in_the_encoding_it_claims() -> None:
    page = '<meta charset="iso-8859-2"><p>Zażółć gęślą jaźń.</p>'
    assert (await hear(page.encode("iso-8859-2"), "html")).text == "Zażółć gęślą jaźń."


async def test_markdown_headings_lists_code_tables_and_front_matter() -> None:
    text = (
        "---\ntitle: Runbook\nowner: ops\n---\n# Restart\n\nDo *this* with [the form](https://example.com/f).\n\n"
        "- one `code`\n  - nested\n\n1. first\n2. second\n\n```sh\nkubectl rollout restart\n\n# no heading\n```\n\n"
        "| Host | Port |\n|---|---|\n| db1 | 5432 |\n\n<div>raw <b>html</b></div>\n"
    )
    heard = await hear(text.encode(), "markdown", name="r.md")
    assert heard.done is not None
    assert heard.done.title == "Runbook"
    assert "owner: ops" in heard.text
    assert (
        "Do this with the form (https://example.com/f).\n\n- one code\n  - nested\n1. first\n2. second\n\n"
        "```sh\nkubectl rollout restart\n\n# no heading\n```\n\nHost: db1; Port: 5432\n\nraw html"
    ) in heard.text


async def test_markdown_longer_than_the_parser_takes_at_once_keeps_its_lines_and_paths() -> None:
    text = "".join(f"## Topic {number}\n\n{'Some words about it. ' * 80}\n\n" for number in range(200))
    heard = await hear(text.encode(), "markdown")
    assert heard.passages[-1].heading == ("Topic 199",)
    assert heard.passages[-1].place == {"line": 199 * 4 + 3}


async def test_plain_text_headings_only_where_they_cannot_be_anything_else() -> None:
    text = (
        "Travel\n======\n\nBook early.\nPack light.\n\nHOTELS\n\nThree stars.\n\n1.2 Trains\n\nSecond class.\n\n"
        "This is a sentence.\n\n- one\n- two\n"
    )
    heard = await hear(text.encode(), "text", name="t.txt")
    assert heard.text.split("\n\n") == [
        "Travel", "Book early.\nPack light.", "HOTELS", "Three stars.", "HOTELS › 1.2 Trains", "Second class.",
        "This is a sentence.", "- one\n- two",
    ]  # fmt: skip
    assert heard.passages[0].place == {"line": 4}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Grüße aus Köln."),
        ("utf-8-sig", "Grüße aus Köln."),
        ("utf-16", "Grüße aus Köln."),
        ("utf-16-le", "Plain words without a mark, long enough to be told from others."),
        ("utf-32", "Grüße aus Köln."),
        ("cp1252", "Die Müllabfuhr kommt größtenteils früh. Straße und Büro."),
        ("cp1251", "Политика отпусков: каждый сотрудник имеет право на отпуск."),
        ("shift_jis", "休暇の規定について説明します。社員は年に二十日の休暇があります。"),
        ("gb18030", "员工手册：每位员工每年有二十天假期。请提前申请。"),
        ("euc_kr", "휴가 규정: 모든 직원은 일 년에 이십 일의 휴가가 있습니다."),
    ],
)
async def test_plain_text_in_any_encoding(encoding: str, text: str) -> None:
    assert (await hear(text.encode(encoding), "text")).text == text


async def test_what_nobody_sees_does_not_leave() -> None:
    words = " and so on" * 20
    text = "a\u200bb\u202e c\ufeffd\x07e f\U000e0041g \ufb01n so\u00adft می\u200cخواهم"
    assert (await hear((text + words).encode(), "text")).text == f"ab cde fg fin soft می\u200cخواهم{words}"
