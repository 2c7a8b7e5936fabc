"""A file dropped into the bot's direct messages, in a real browser against a real api process: read, undone, put back.

Set ENABLEBOT_SCREENSHOTS to a directory to keep the pictures.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Locator, Page, expect

from enablebot.tests.database import PostgresServers
from enablebot.tests.faults.workshop import ADA, CHANNEL, TEAM, Workshop, opened_workshop

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.slow]

# A file is read by a process of its own; the two cores of a busy machine take their time.
PATIENCE_MS = 30_000
_DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  for (const type of ["dragover", "drop"]) {
    document.querySelector("#channel").dispatchEvent(
      new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with opened_workshop(postgres_servers, tmp_path_factory.mktemp("workshop"), instances=1) as opened:
        yield opened


@pytest.fixture
async def workshop(house: Workshop) -> AsyncIterator[Workshop]:
    await house.tidy()
    yield house
    house.tell()


def pdf(*pages: str) -> bytes:
    """A PDF of one line a page."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{4 + 2 * at} 0 R' for at in range(len(pages)))}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, line in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 700 Td ({line}) Tj ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * at} 0 R >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    count = len(objects) + 1
    end = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer << /Size {count} /Root 1 0 R >>\n"
    return written + f"{end}startxref\n{len(written)}\n%%EOF\n".encode()


async def open_at(page: Page, workshop: Workshop, *, user: str, channel: str) -> Locator:
    await page.goto(f"{workshop.sandbox.base_url}/#/{TEAM}/{user}/{channel}/")
    await expect(page.locator("body[data-ready]")).to_be_attached()
    return page.locator("#channel-messages")


async def picture(page: Page, name: str) -> None:
    directory = os.environ.get("ENABLEBOT_SCREENSHOTS")
    if directory:
        await page.screenshot(path=Path(directory) / f"files-{name}.png")


async def test_an_admin_adds_a_pdf_takes_it_back_and_puts_it_back(workshop: Workshop, browser_page: Page) -> None:
    page = browser_page
    messages = await open_at(page, workshop, user=ADA, channel="bot")
    async with page.expect_file_chooser() as choosing:
        await page.locator("#channel-foot").get_by_role("button", name="Attach files").click()
    handbook = FilePayload(name="handbook.pdf", mimeType="application/pdf", buffer=pdf("Travel", "Trips", "Hotels"))
    await (await choosing.value).set_files(handbook)
    await expect(page.get_by_role("list", name="Attached files")).to_contain_text("handbook.pdf")
    await page.locator("#channel-foot").get_by_role("button", name="Send").click()
    await expect(messages.get_by_role("list", name="Files")).to_contain_text("handbook.pdf")
    added = messages.get_by_text("Added handbook.pdf: 3 pages")
    await expect(added).to_be_visible(timeout=PATIENCE_MS)
    await picture(page, "added")
    await messages.get_by_role("button", name="Undo").click()
    await expect(messages.get_by_text("Removed handbook.pdf")).to_be_visible(timeout=PATIENCE_MS)
    await expect(added).to_have_count(0)
    await picture(page, "removed")
    await messages.get_by_role("button", name="Put back").click()
    await expect(messages.get_by_text("handbook.pdf is back: 3 pages")).to_be_visible(timeout=PATIENCE_MS)
    # One message told it all.
    assert await messages.locator("article.from-bot").count() == 1
    assert not workshop.broken_rules()


async def test_somebody_elses_file_is_read_for_that_conversation_only(workshop: Workshop, browser_page: Page) -> None:
    page = browser_page
    messages = await open_at(page, workshop, user="U0BEN", channel="bot")
    await page.evaluate(_DROP, ["prices.md", "# Prices\n\nThe Atlas costs 40 EUR.\n"])
    await page.locator("#composer-text").press("Enter")
    await expect(messages.get_by_text("Read prices.md for this conversation only: 1 passage.")).to_be_visible(
        timeout=PATIENCE_MS
    )
    await expect(messages.get_by_role("button", name="Undo")).to_have_count(0)
    await picture(page, "conversation-only")


async def test_a_message_is_added_from_its_menu(workshop: Workshop, browser_page: Page) -> None:
    page = browser_page
    await workshop.sandbox.post(team=TEAM, channel=CHANNEL, user="U0BEN", text="The office in Lyon opens in March.")
    messages = await open_at(page, workshop, user=ADA, channel=CHANNEL)
    said = messages.locator("article", has_text="Lyon").first
    await said.hover()
    await said.get_by_label("More actions").click()
    entry = said.get_by_role("button", name="Add to knowledge")
    await expect(entry).to_be_in_viewport(ratio=1)
    await picture(page, "menu")
    await entry.click()
    await expect(messages.get_by_text("Added “The office in Lyon opens in March.”: 1 passage.")).to_be_visible(
        timeout=PATIENCE_MS
    )
    # For her eyes only.
    await open_at(page, workshop, user="U0BEN", channel=CHANNEL)
    await expect(messages.get_by_text("Lyon")).to_have_count(1)
