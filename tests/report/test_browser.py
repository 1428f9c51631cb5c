"""The page in a real browser: nothing asked of the network, nothing complained about, and everything on it works."""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.report.render.test_page import page_without_figures
from tngd_bench.analysis.map.cost_map import cheapest
from tngd_bench.analysis.results import Results
from tngd_bench.report.map import map_drawing
from tngd_bench.report.map.map_view import MapView

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Visit:
    """One opened page and what it did: console messages, errors, dialogs and requests other than for itself."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def visit(browser, built):
    opened = Visit(browser, built.html, viewport={"width": 1280, "height": 900})
    yield opened
    opened.context.close()


def test_the_page_asks_for_nothing_and_complains_about_nothing(visit, built):
    visit.page.wait_for_load_state("networkidle")
    assert visit.requests == [built.html.as_uri()]
    assert visit.complaints == []


def test_the_content_security_policy_blocks_what_somebody_adds(visit):
    visit.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.intruder = true';
            document.body.append(script);
            document.body.append(Object.assign(new Image(), {src: 'https://example.invalid/pixel.png'}));
        }"""
    )
    assert visit.page.evaluate("window.intruder === undefined")
    assert all("Content Security Policy" in text for text in visit.complaints)
    assert len(visit.complaints) == 2


def test_the_first_screen_holds_the_answer_and_a_whole_picture(browser, built):
    opened = Visit(browser, built.html, viewport={"width": 1280, "height": 800})
    for place in (".bottom-line", ".facts >> nth=0", "#step svg"):
        box = opened.page.locator(place).bounding_box()
        assert box["y"] + box["height"] <= 800
    assert "a processor that does not exist" in opened.page.locator(".facts").first.inner_text()
    assert len(opened.page.locator(".answer").inner_text().split()) <= 160
    opened.context.close()


def test_a_phone_has_the_answer_a_picture_and_the_contents_within_two_screens(browser, built):
    opened = Visit(browser, built.html, viewport={"width": 390, "height": 844})
    box = opened.page.locator("#step svg").bounding_box()
    assert box["y"] + box["height"] <= 2 * 844
    contents = opened.page.get_by_role("navigation", name="Contents")
    opened.page.evaluate("window.scrollTo({top: 3000, behavior: 'instant'})")
    assert opened.page.evaluate("window.scrollY") > 1000
    assert contents.bounding_box()["y"] == 0
    opened.context.close()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_contents_of_a_narrow_page_unfold_without_scrolling_sideways_and_fold_again(
    browser, built, width
):
    opened = Visit(browser, built.html, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    contents = opened.page.get_by_role("navigation", name="Contents")
    folded, links = contents.bounding_box()["height"], contents.get_by_role("link")
    assert not links.first.is_visible()
    contents.get_by_text("Contents", exact=True).click()
    boxes = [link.bounding_box() for link in links.all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    wide = "[...document.querySelectorAll('nav *')].filter(each => each.scrollWidth > each.clientWidth + 1)"
    assert (
        opened.page.evaluate(f"{wide}.filter(each => getComputedStyle(each).overflowX !== 'visible')") == []
    )
    links.last.click()
    assert contents.bounding_box()["height"] == folded
    assert opened.page.locator("#appendix > h2").bounding_box()["y"] >= folded
    opened.context.close()


def test_a_wide_page_has_its_contents_in_one_line(visit):
    contents = visit.page.get_by_role("navigation", name="Contents")
    assert not contents.get_by_text("Contents", exact=True).is_visible()
    assert len({link.bounding_box()["y"] for link in contents.get_by_role("link").all()}) == 1


def test_a_link_into_the_appendix_opens_it_and_shows_the_figure(visit):
    folded = visit.page.locator("#scaling")
    hidden = visit.page.locator("#scaling figure").last
    assert not folded.evaluate("node => node.open")
    visit.page.evaluate(f"location.hash = '#{hidden.get_attribute('id')}'")
    hidden.wait_for(state="visible")
    assert folded.evaluate("node => node.open")


def test_the_appendix_shows_the_figure_that_is_chosen(visit):
    noise = visit.page.locator("#noise")
    noise.locator("summary").first.click()
    figures, chooser = noise.locator(".charts figure"), noise.get_by_label("Figure")
    number = figures.count()
    assert number > 2
    assert noise.locator(".charts figure:visible").count() == 1
    chooser.select_option(index=1)
    assert figures.nth(1).is_visible()
    assert not figures.nth(0).is_visible()
    chooser.select_option(index=number)
    assert noise.locator(".charts figure:visible").count() == number


def test_print_has_no_buttons_and_keeps_figures_as_vectors(visit):
    visit.page.emulate_media(media="print")
    assert visit.page.locator("button:not(.sort):visible, select:visible, input:visible").count() == 0
    assert visit.page.locator("#step svg").is_visible()
    assert b"/Subtype /Image" not in visit.page.pdf()


def test_print_has_the_light_colours_whatever_theme_is_chosen(browser, built):
    """Browsers leave out the ground when they print: light text would be lost on white paper."""
    opened = Visit(browser, built.html, color_scheme="dark")
    opened.page.get_by_role("button", name="Light theme").click()
    opened.page.get_by_role("button", name="Dark theme").click()
    opened.page.emulate_media(media="print")
    ink, paper = opened.page.evaluate(
        "(style => [style.color, style.backgroundColor])(getComputedStyle(document.body))"
    )
    assert (ink, paper) == ("rgb(26, 29, 33)", "rgb(255, 255, 255)")
    opened.context.close()


def test_no_table_is_wider_than_the_paper_folded_ones_neither(browser, built):
    """A4 less the browser's own margins: what is wider is cut off."""
    paper = Visit(browser, built.html, viewport={"width": 718, "height": 1000})
    paper.page.emulate_media(media="print")
    paper.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert paper.page.evaluate("document.documentElement.scrollWidth") <= 718
    paper.context.close()


@pytest.mark.parametrize(("width", "text"), [(390, 100), (1280, 100), (768, 200)])
def test_nothing_is_wider_than_the_screen(browser, built, width, text):
    opened = Visit(browser, built.html, viewport={"width": width, "height": 800})
    opened.page.evaluate(f"document.documentElement.style.fontSize = '{text}%'")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.context.close()


def test_a_column_sorts_by_its_numbers_in_both_directions_and_says_so(visit):
    visit.page.locator("#numbers summary").first.click()
    table = visit.page.locator("#cost-per-iteration table")
    head = table.locator("thead th", has_text="digital time")
    column = head.evaluate("node => node.cellIndex")

    def keys():
        cells = table.locator(f"tbody tr td:nth-child({column + 1})")
        return [float(cell.get_attribute("data-sort")) for cell in cells.all()]

    unsorted = keys()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert keys() == sorted(unsorted)
    assert keys() != unsorted
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert keys() == sorted(unsorted, reverse=True)


def test_the_filter_keeps_rows_that_hold_every_word(visit):
    visit.page.locator("#numbers summary").first.click()
    block = visit.page.locator("#cost-per-iteration")
    block.get_by_role("searchbox").fill("gram 1,000,000")
    rows = block.locator("tbody tr:visible")
    texts = [row.inner_text().lower() for row in rows.all()]
    assert texts
    assert all("gram" in text and "1,000,000" in text for text in texts)
    assert f"{len(texts)} of" in block.get_by_role("status").inner_text()
    block.get_by_role("searchbox").fill("")
    assert rows.count() > len(texts)
    assert block.get_by_role("status").inner_text() == f"{rows.count()} rows"


def test_the_theme_is_the_systems_until_the_reader_chooses_and_is_remembered(browser, built):
    opened = Visit(browser, built.html, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = opened.page.evaluate(ground)
    opened.page.get_by_role("button", name="Light theme").click()
    light = opened.page.evaluate(ground)
    assert light != dark
    opened.page.reload()
    assert opened.page.evaluate(ground) == light
    assert opened.page.locator("#theme").get_attribute("aria-pressed") == "false"
    opened.context.close()


@pytest.fixture
def served(built):
    """The report's folder behind an address: a browser opens a file's links and downloads a server's."""
    handler = functools.partial(QuietHandler, directory=built.html.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_figure_comes_in_two_formats_and_its_data_are_those_drawn(browser, served, built):
    page = browser.new_page(accept_downloads=True)
    page.goto(served)
    figure = page.locator("#map-exact-batch")
    for kind, opening in (("SVG", b"<?xml"), ("PNG", b"\x89PNG"), ("CSV", b"para")):
        with page.expect_download() as waiting:
            figure.get_by_role("link", name=kind, exact=False).first.click()
        content = Path(waiting.value.path()).read_bytes()
        assert content.startswith(opening)
        assert waiting.value.suggested_filename == f"{figure.get_attribute('id')}.{kind.lower()}"
    rows = list(csv.DictReader(content.decode().splitlines()))
    cells = page.evaluate("JSON.parse(document.getElementById('explorer-data').textContent)")
    assert len(rows) == len(cells["sizes"]) * len(cells["values"])
    page.close()


def test_the_what_if_panel_starts_where_the_drawn_map_is_and_follows_its_sliders(visit):
    panel = visit.page.locator("#explorer")
    summary = panel.get_by_role("status")
    drawn = visit.page.locator("#map-exact-batch svg").get_attribute("aria-label")
    start = summary.inner_text()
    for share in drawn.split("is the cheapest: ")[1].split("), "):
        title, _, rest = share.rpartition(" % (")[0].rpartition(" ")
        told = int(start.split(f"{title} ")[1].split(" %")[0])
        assert told == pytest.approx(float(rest), abs=0.6)  # whole percents against tenths
    assert panel.locator(".value").first.inner_text() == "50.0 Gb/s"  # and not the slider's nearest step
    rate = panel.get_by_label("Link rate")
    rate.focus()
    rate.press("Home")
    slow = summary.inner_text()
    rate.press("End")
    fast = summary.inner_text()
    assert panel.locator(".value").first.inner_text() == "unlimited"

    def share(text):
        return int(text.split("TNGD ")[1].split(" %")[0]) if "TNGD " in text else 0

    assert share(slow) < share(start) <= share(fast)
    panel.get_by_role("button").click()
    assert summary.inner_text() == start


_CELLS = """() => [...document.querySelectorAll('#explorer rect')].map(each => ({
    shown: each.style.fill !== 'none', faint: each.classList.contains('faint'), opacity: getComputedStyle(each).opacity
}))"""


def panel_cells(page, columns):
    """Return which cells of the panel's map are shown and which of these in full colour, rows upwards as in a map."""
    cells = page.evaluate(_CELLS)
    assert {cell["opacity"] for cell in cells if cell["faint"]} <= {str(map_drawing._UNDECIDED)}
    assert {cell["opacity"] for cell in cells if not cell["faint"]} <= {"1"}
    shown, full = (
        np.reshape([cell["shown"] and also(cell) for cell in cells], (-1, columns))[::-1]
        for also in (lambda cell: True, lambda cell: not cell["faint"])
    )
    return shown, full


def test_the_panel_has_in_full_colour_what_a_test_of_the_device_set_there_confirms(visit, records):
    """Against the map drawn anew for that device: the same leads for the study's, none but those for others."""
    results = Results(records, clocked=True)
    view = MapView(results, results.calibrations)
    panel, device = visit.page.locator("#explorer"), view.use.device
    slower = device.override(link_rate_bits_per_s=10**9.5, word_bits=24)
    faster = device.override(link_rate_bits_per_s=None)
    settings = (
        (device, {}),
        (slower, {"rate": "9.5", "bits": "24"}),
        (device.override(capacitance_farad=1e-4 / device.resistance_ohm), {"tau": "-4"}),
        (faster, {"rate": "14.5"}),
    )
    for without, taken in ((view.approximate, False), ((), True)):
        kept = []
        for changed, moved in settings:
            panel.get_by_role("button").click()
            panel.get_by_label("Rivals too").set_checked(taken)
            for name, value in moved.items():
                panel.locator(f"[name={name}]").fill(value)
            found = cheapest(view.batch, dataclasses.replace(view.use, device=changed), without)
            shown, full = panel_cells(visit.page, len(view.batch.sizes))
            assert (shown == (found.vouched & (found.winner >= 0))).all()
            assert not (full & ~found.confirmed).any()
            kept.append(full)
            if not moved:
                assert (full == found.confirmed).all()
            entries = panel.locator(".legend li").all_inner_texts()
            assert map_drawing.NOT_CONFIRMED in entries
        assert kept[0].any()
        assert kept[1].any()  # digital leads over a slower device are wider still
    panel.get_by_label("Host and rivals on").select_option("h100")
    assert not panel_cells(visit.page, len(view.batch.sizes))[1].any()


def test_the_panel_dots_what_the_device_wins_at_best_and_confirms_none_of_it(browser, records, tmp_path):
    device = records.trials["device"].mask(records.trials["optimizer"] == "tngd", "board")
    page = tmp_path / "index.html"
    unstated = dataclasses.replace(records, trials=records.trials.assign(device=device))
    page.write_text(page_without_figures(unstated)[0], encoding="utf-8")
    opened = Visit(browser, page)
    opened.page.locator("[name=rate]").fill("14.5")
    dotted, won = opened.page.evaluate(
        """() => [document.querySelector('#explorer .dots').getAttribute('d').split('M').slice(1),
            [...document.querySelectorAll('#explorer rect')].filter(each => each.style.fill.includes('tngd'))
                .map(each => [each.getAttribute('x'), each.getAttribute('y'), each.classList.contains('faint')])]"""
    )
    assert [text.split("h")[0] for text in dotted] == [f"{x} {y}" for x, y, _ in won]
    assert won
    assert all(faint for *_, faint in won)
    said = opened.page.locator("#explorer .required").inner_text()
    assert re.search(r"takes ≥ .* host \d.* That is (at least .* slower|at most .* faster) than", said)
    assert map_drawing.UNSTATED in opened.page.locator("#explorer .legend li").all_inner_texts()
    opened.context.close()


def test_the_panel_names_the_quickest_of_the_rivals_that_take_part(visit):
    """Against the page's own data, with the approximate optimizers and without."""
    panel = visit.page.locator("#explorer")
    known = visit.page.evaluate("JSON.parse(document.getElementById('explorer-data').textContent)")
    place = known["start"]["batch"] * len(known["sizes"]) + known["start"]["size"]
    every = {label: values[place] for label, values in known["digital"].items() if values[place] is not None}
    exact = {label: value for label, value in every.items() if label in known["exact"]}
    assert min(every, key=every.get) not in exact
    for rivals, called in ((exact, "exact rival"), (every, "rival")):
        panel.get_by_label("Rivals too").set_checked(rivals is every)
        best = known["titles"][min(rivals, key=rivals.get)]
        assert f"{best}, the quickest {called}, at" in panel.locator(".required").inner_text()


def test_the_panel_says_which_link_and_words_reach_a_target_or_that_none_does(visit):
    """Its sentence against the formula, from the page's own data, on every processor."""
    panel = visit.page.locator("#explorer")
    known = visit.page.evaluate("JSON.parse(document.getElementById('explorer-data').textContent)")
    start, words = known["start"], known["words"]
    place = start["batch"] * len(known["sizes"]) + start["size"]
    rests = known["runs"][place] * start["time"] * 10 ** start["tau"]
    seen = set()
    for processor, target in (("", "0.05"), ("", "1000"), ("h100", "0.001"), ("h100", "1")):
        panel.get_by_label("Host and rivals on").select_option(processor)
        panel.get_by_label("Target").fill(target)
        said = panel.locator(".required").inner_text()
        used = known["rated"].get(processor, known)
        digital = [used["digital"][label][place] for label in known["exact"] if used["digital"][label][place]]
        allowed = min(digital) / float(target)
        for upload, name in (("full", "whole arrays"), ("factored", "factors")):
            left = allowed - used["host"][upload][place] - known["fixed"][upload][place] - rests
            clause = said.split(f"Sending {name}: ")[1].split(". ")[0]
            seen.add(left > 0)
            if left <= 0:
                assert "no link is enough" in clause
                continue
            value, unit = clause.split("a link of ")[1].split()[:2]
            rate = (
                float(value.replace(",", ""))
                * {"b": 1, "kb": 1e3, "Mb": 1e6, "Gb": 1e9, "Tb": 1e12}[unit.partition("/")[0]]
            )
            assert rate == pytest.approx(words[upload][place] * start["bits"] / left, rel=0.01)
        assert ("Energy: host ≥ " in said) == bool(processor)
        assert not re.search(r"\de\+", said)  # thousands as people write them
    assert seen == {True, False}
    panel.get_by_role("button").click()
    assert "cells, tiles" not in panel.locator(".required").inner_text()  # the paper's arrays are whole


@pytest.mark.parametrize("target", ["", "0", "-1", "1e9"])
def test_the_panel_answers_no_target_that_it_does_not_accept(visit, target):
    panel = visit.page.locator("#explorer")
    field, said = panel.get_by_label("Target"), panel.locator(".required")
    asked = said.inner_text()
    field.fill(target)
    refused = said.inner_text()
    assert "The target must be a number from 0.001 to 1,000." in refused
    assert not re.search(r"Infinity|NaN|Sending|Target:|-\d", refused)
    panel.get_by_role("button").click()
    assert said.inner_text() == asked


def test_the_skip_link_is_first_and_leads_to_the_results(visit):
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the results"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("location.hash") == "#content"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, built, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    opened = Visit(browser, built.html, color_scheme=scheme, bypass_csp=True)
    # The schemes differ in colours alone.
    options = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    found = axe.Axe().run(opened.page, options=options).response["violations"]
    told = [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}" for each in found]
    assert [text for text in told if "(serious)" in text or "(critical)" in text] == []
    opened.context.close()


def test_markup_in_a_title_is_shown_as_text(browser, make, tmp_path):
    records = make(title=HOSTILE, optimizers=("sgd", "tngd"), sizes=(1_000,), training=False)
    hostile = dataclasses.replace(records, environment={"cpu": HOSTILE, "dtype": "float32"})
    page = tmp_path / "index.html"
    page.write_text(page_without_figures(hostile)[0], encoding="utf-8")
    opened = Visit(browser, page)
    assert opened.page.locator("h1").inner_text() == HOSTILE
    assert opened.page.title() == HOSTILE
    assert opened.complaints == []
    opened.context.close()
