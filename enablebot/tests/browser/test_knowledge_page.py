"""A person and the workspace's documents, in a real browser, with every service a process of its own.

Set ENABLEBOT_SCREENSHOTS to a directory to keep the pictures that the last test takes.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from enablebot.tests.house import House, Plan, run
from enablebot.tests.reader.pdf_writing import Text, column, pdf

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.slow]

Story = Callable[[House], Coroutine[Any, Any, None]]
PlayStory = Callable[[Story], Coroutine[Any, Any, None]]
Dropped = tuple[str, bytes]

PHONE, DESK = (390, 844), (1280, 800)
PATIENCE = 60_000


def chapter(title: str, *sentences: str) -> list[Text]:
    """A page full of text, with these sentences in the middle of it."""
    filling = [f"{title} is described here at length, in sentence number {n} of this page." for n in range(44)]
    return [Text(title, size=20, bold=True), *column(*filling[:22], *sentences, *filling[22:], y=690)]


HANDBOOK = pdf(
    chapter("Welcome", "This handbook is for everybody who works at Acme."),
    chapter("Travel", "Trains are first class for journeys above four hours."),
    chapter("Leaving", "Whoever leaves gives eight weeks of notice in writing.", "The laptop goes back to IT-4711."),
    title="People handbook",
)
# What a browser does when somebody lets go of files over the page.
DROP = """async (files) => {
  const held = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    held.items.add(new File([bytes], name));
  }
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, { dataTransfer: held, bubbles: true, cancelable: true });
    document.querySelector("h1").dispatchEvent(event);
  }
}"""


@pytest.fixture
def play(services_url: str, admin_url: str, tmp_path: Path) -> PlayStory:
    """Plays a story in front of running services, with the sandbox for Slack."""

    async def play_it(story: Story) -> None:
        plan = Plan(time_scale=0.2)
        await run(story, plan=plan, services_url=services_url, admin_url=admin_url, data_dir=tmp_path / "data")

    return play_it


async def open_knowledge(page: Page, house: House) -> None:
    """Add EnableBot to Acme by Slack's consent page, then go to the documents."""
    await page.goto(house.household.web_url)
    await page.get_by_role("link", name="Add to Slack").first.click()
    await page.get_by_label("as Ada").check()
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url("**/dashboard")
    await page.get_by_role("link", name="Knowledge").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Knowledge")


async def drop(page: Page, *files: Dropped) -> None:
    await page.evaluate(DROP, [[name, b64encode(content).decode()] for name, content in files])


def state_of(page: Page, name: str) -> Any:
    return page.locator("#listing li", has_text=name).locator(".state")


async def test_a_pdf_dragged_onto_the_page_is_read_found_deleted_and_had_back(
    play: PlayStory, browser_page: Page
) -> None:
    page = browser_page

    async def story(house: House) -> None:
        await open_knowledge(page, house)
        await drop(page, ("handbook.pdf", HANDBOOK))
        await expect(page.locator("#uploads")).to_contain_text("It can be searched as soon as it has been read")
        await expect(state_of(page, "handbook.pdf")).to_have_text("Ready", timeout=PATIENCE)
        await expect(page.locator("#said")).to_contain_text("handbook.pdf is ready: 3 pages")

        await page.get_by_label("A question, or words from a document").fill("how many weeks of notice do I give?")
        await page.get_by_role("button", name="Search").click()
        hit = page.locator(".hits li").first
        await expect(hit.get_by_role("heading")).to_have_text("People handbook page 3")
        await expect(hit.locator(".path")).to_contain_text("Leaving")
        await expect(hit.locator("mark").filter(has_text="notice")).to_be_visible()
        assert float((await hit.locator(".score").inner_text()).split()[-1]) > 0
        await hit.get_by_role("link", name="People handbook").click()
        await expect(page.locator(".hits")).to_contain_text("eight weeks of notice in writing")

        await page.goto(f"{house.household.web_url}/dashboard/knowledge")
        await page.get_by_role("button", name="Delete handbook.pdf").click()
        await expect(page.locator("#listing")).to_contain_text("Nothing is here yet")
        await expect(page.locator("#lately")).to_contain_text("handbook.pdf")
        undo = page.locator("#toast").get_by_role("button", name="Undo")
        await expect(undo).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(state_of(page, "handbook.pdf")).to_have_text("Ready")
        await expect(page.locator("#lately")).to_be_empty()
        await page.goto(f"{house.household.web_url}/dashboard/knowledge/search?query=weeks+of+notice")
        await expect(page.locator(".hits li").first).to_contain_text("eight weeks of notice")

    await play(story)


async def test_everything_works_without_script_too(play: PlayStory, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 800})
    page = await context.new_page()

    async def until_ready() -> None:
        for _ in range(200):
            await page.reload()
            if await state_of(page, "handbook.pdf").inner_text() == "Ready":
                return
        raise AssertionError("it was never read")

    async def story(house: House) -> None:
        await open_knowledge(page, house)
        files = [
            {"name": "handbook.pdf", "mimeType": "application/pdf", "buffer": HANDBOOK},
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Lunch is at noon."},
            {"name": "empty.txt", "mimeType": "text/plain", "buffer": b""},
        ]
        await page.get_by_label("Choose files").set_input_files(files)  # type: ignore[arg-type]
        await page.get_by_role("button", name="Add to knowledge").click()
        await expect(page.locator(".told")).to_have_count(3)
        await expect(page.locator(".told-refusal")).to_contain_text("empty.txt")
        await page.goto(f"{house.household.web_url}/dashboard/knowledge")
        await until_ready()
        await page.get_by_role("button", name="Delete handbook.pdf").click()
        await expect(page.locator(".told")).to_contain_text("handbook.pdf: Deleted.")
        await expect(page.locator("#listing")).not_to_contain_text("handbook.pdf")
        await page.locator("#lately").get_by_role("button", name="Undo").click()
        await expect(page.locator(".told")).to_contain_text("It is back")
        await page.get_by_role("link", name="People handbook").click()
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download the original").click()
        kept = await (await download.value).path()
        assert await asyncio.to_thread(Path(kept).read_bytes) == HANDBOOK
        assert (await download.value).suggested_filename == "handbook.pdf"

    try:
        await play(story)
    finally:
        await context.close()


async def test_an_upload_shows_its_progress_can_be_cancelled_and_leaves_nothing(
    play: PlayStory, browser_page: Page
) -> None:
    page = browser_page

    async def story(house: House) -> None:
        await open_knowledge(page, house)
        network = await page.context.new_cdp_session(page)
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000}
        await network.send("Network.emulateNetworkConditions", slow)
        await drop(page, ("large.txt", b"A line of a long text.\n" * 200_000))
        line = page.locator("#uploads li")
        await expect(line.locator("progress")).to_have_js_property("max", 100)
        while await page.evaluate("document.querySelector('#uploads progress').value") <= 10:
            await asyncio.sleep(0.05)
        await page.get_by_role("button", name="Cancel: large.txt").click()
        await expect(line).to_contain_text("Cancelled")
        await network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
        await drop(page, ("program.exe", b"MZ"), ("empty.pdf", b""), ("false.pdf", b"MZ\x90\x00" + bytes(500)))
        for name, words in (("program.exe", "not this kind"), ("empty.pdf", "empty"), ("false.pdf", "PDF")):
            await expect(page.locator("#uploads li", has_text=name)).to_contain_text(words)
        await page.reload()
        await expect(page.locator("#listing")).to_contain_text("Nothing is here yet")
        await drop(page, ("notes.txt", b"Lunch is at noon."))
        await expect(state_of(page, "notes.txt")).to_have_text("Ready", timeout=PATIENCE)
        await drop(page, ("copy.txt", b"Lunch is at noon."))
        await expect(page.locator("#uploads")).to_contain_text("Exactly this content is here already, as “notes.txt”")
        await expect(page.locator("#listing li")).to_have_count(1)

    await play(story)


HOSTILE = '<img src=x onerror="document.title=1">\'"><svg onload=document.title=1><script>document.title=1.txt'


async def test_names_and_texts_that_are_code_do_nothing_in_a_browser(play: PlayStory, browser_page: Page) -> None:
    page = browser_page
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))

    async def story(house: House) -> None:
        await open_knowledge(page, house)
        await drop(page, (HOSTILE, HOSTILE.encode() + b" canary"), (HOSTILE.replace("txt", "exe"), b"MZ"))
        await expect(page.locator("#listing .state")).to_have_text("Ready", timeout=PATIENCE)
        addresses = [page.url, f"{page.url}/search?query=canary+onerror+script", f"{page.url}?q=%3Cimg"]
        shown = await page.locator("#listing h3 a").get_attribute("href")
        for address in [*addresses, f"{house.household.web_url}{shown}"]:
            await page.goto(address)
            await expect(page.locator("main")).to_contain_text("onerror")
            assert await page.locator("main img, main script, main svg[onload]").count() == 0
            assert await page.title() != "1"
        await page.goto(addresses[0])
        await page.get_by_role("button", name="Delete").click()
        await expect(page.locator("#toast")).to_contain_text("onerror")
        assert await page.locator("main img, #toast img").count() == 0
        assert dialogs == []

    await play(story)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[str], Path]:
    directory = Path(os.environ.get("ENABLEBOT_SCREENSHOTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)
    return lambda name: directory / f"{name}.png"


async def test_every_page_of_it_fits_its_screen(
    play: PlayStory, browser: Browser, pictures: Callable[[str], Path]
) -> None:
    async def look(page: Page, name: str, width: int) -> None:
        picture = pictures(name)
        await page.screenshot(path=picture, full_page=True)
        assert int.from_bytes(picture.read_bytes()[16:20], "big") == width, f"{name} is wider than its screen"

    async def story(house: House) -> None:
        for size, scheme in ((DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")):
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = await context.new_page()
            await open_knowledge(page, house)
            if (size, scheme) == (DESK, "light"):
                await look(page, "knowledge-empty-light-desk", size[0])
                await drop(
                    page,
                    ("handbook.pdf", HANDBOOK),
                    ("a-name-without-any-place-to-break-it-" * 5 + ".txt", b"Something about nothing."),
                    ("broken.pdf", b"%PDF-1.7\n" + b"nothing that a PDF has\n" * 20),
                )
                for name, state in (("handbook.pdf", "Ready"), ("broken.pdf", "Could not be read")):
                    await expect(state_of(page, name)).to_have_text(state, timeout=PATIENCE)
                await page.get_by_role("button", name="Delete a-name").click()
                await expect(page.locator("#toast")).to_contain_text("Deleted")
            where = f"{scheme}-{'phone' if size == PHONE else 'desk'}"
            await look(page, f"knowledge-{where}", size[0])
            address = page.url
            await page.get_by_role("link", name="People handbook").click()
            await expect(page.get_by_role("heading", name="Who sees it")).to_be_visible()
            await look(page, f"document-{where}", size[0])
            await page.goto(f"{address}/search?query=notice+period+of+eight+weeks")
            await look(page, f"search-{where}", size[0])
            await context.close()

    await play(story)
