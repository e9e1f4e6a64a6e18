"""The page of `spotward report --html`, as a browser shows it."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import ledgers
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: As much as the goals speak of.
GROUPS, DAYS = 1000, 90
MEGABYTE = 1_000_000
SHOTS = os.environ.get("REPORT_SCREENSHOTS")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def spotward(*arguments):
    binary = ROOT / os.environ.get("SPOTWARD_BIN_DIR", "target/release") / "spotward"
    assert binary.exists(), f"{binary} is missing: run `make build` first"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run([binary, "report", "--offline", *map(str, arguments)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A thousand groups over ninety days: the lines, and the page."""
    directory = tmp_path_factory.mktemp("large")
    lines = directory / "ledger.jsonl"
    lines.write_text(ledgers.ledger(GROUPS, DAYS, step=3))
    spotward("--from", lines, "--html", directory / "page.html")
    return lines, directory / "page.html"


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    lines = directory / "ledger.jsonl"
    lines.write_text(ledgers.ledger(6, 9, step=0.25, seed=3))
    spotward("--from", lines, "--html", directory / "page.html")
    return lines, directory / "page.html"


def opened(chromium, path, size=DESKTOP, scheme="light", **more):
    """The page, ready; nothing may be asked of a network, and nothing may go wrong on the way."""
    page = chromium.new_page(viewport=size, color_scheme=scheme, **more)
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def shoot(page, name):
    if SHOTS:
        pathlib.Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pathlib.Path(SHOTS) / f"{name}.png", full_page=True)


def test_a_thousand_groups_and_ninety_days_weigh_little_and_sort_at_once(chromium, large):
    _, path = large
    assert path.stat().st_size < 3 * MEGABYTE
    page = opened(chromium, path)
    assert page.wrong == []
    # As the browser measures it: from the start of the navigation to the last line of the script.
    assert page.evaluate("performance.now()") < 60_000
    took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    sorting = """() => {
        const [button] = [...document.querySelectorAll('#groups thead button')].filter((one) => one.textContent === 'Paid');
        const start = performance.now(); button.click(); document.body.offsetHeight; return performance.now() - start;
    }"""
    filtering = """() => {
        const field = document.getElementById('filter'), start = performance.now();
        field.value = 'api prod'; field.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - start;
    }"""
    # The best of three: the machine may be busy with other things.
    sort, narrow = (min(page.evaluate(what) for _ in range(3)) for what in (sorting, filtering))
    print(f"size {path.stat().st_size / MEGABYTE:.2f} MB, load {took:.0f} ms, sort {sort:.0f} ms, filter {narrow:.0f} ms")
    assert sort < 1000 and narrow < 1000
    fastest = min([took] + [opened(chromium, path).evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") for _ in range(2)])
    assert fastest < 1000
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everybody_can_read_it(chromium, small, size, scheme):
    _, path = small
    page = opened(chromium, path, size, scheme)
    assert page.wrong == []
    shoot(page, f"small-{size['width']}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nobody scrolls sideways"
    for details in page.locator("summary").all():
        details.click()
    findings = Axe().run(page).response["violations"]
    grave = [(found["id"], found["nodes"][0]["html"][:200]) for found in findings if found["impact"] in ("serious", "critical")]
    assert grave == []
    page.close()


def test_it_is_dark_where_dark_is_wanted_and_light_on_paper(chromium, small):
    _, path = small
    shade = "getComputedStyle(document.body).backgroundColor"
    page = opened(chromium, path, scheme="dark")
    assert page.evaluate(shade) == "rgb(18, 21, 27)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(shade) == "rgb(255, 255, 255)"
    assert not page.locator("#filter").is_visible()
    page.close()


def test_the_page_shows_the_figures_of_the_json(chromium, small):
    lines, path = small
    report = json.loads(spotward("--from", lines, "--json"))
    page = opened(chromium, path)
    assert page.locator("#cards li").first.inner_text().split("\n")[1] == f"${report['total']['saved']:,.2f}"
    shown = {row.locator("th").inner_text(): row.locator("td").first.inner_text() for row in page.locator("#groups tbody tr").all()}
    def money(amount):
        places = 2 if abs(amount) >= 0.1 or amount == 0 else 4
        return ("−" if amount < 0 else "") + f"${abs(amount):,.{places}f}"
    assert shown == {group["group"]: money(group["saved"]) for group in report["groups"]}
    assert abs(sum(day["saved"] for day in report["days"]) - report["total"]["saved"]) < 1e-4
    page.close()


def test_groups_are_sorted_and_filtered(chromium, large):
    _, path = large
    page = opened(chromium, path)
    names = lambda: [cell.inner_text() for cell in page.locator("#groups tbody th").all()]
    heading = page.locator("#groups thead button", has_text="Group")
    heading.click()
    assert page.locator("#groups thead th").first.get_attribute("aria-sort") == "ascending"
    assert names() == sorted(names()) and names()[0].startswith("api-prod")
    heading.click()
    assert page.locator("#groups thead th").first.get_attribute("aria-sort") == "descending"
    assert names()[0].startswith("worker-stage")
    page.locator("#filter").fill("billing stage")
    assert names() and all(name.startswith("billing-stage") for name in names())
    page.locator("#filter").fill("no such group")
    assert names() == [] and page.locator("#count").inner_text().startswith("0 of 1,000")
    page.locator("#filter").fill("")
    page.locator("#all").click()
    assert len(names()) == GROUPS
    page.close()


def test_without_scripts_the_figures_are_there(chromium, small):
    _, path = small
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    # Behind <noscript> the text is part of the page only without scripts.
    assert "Saved $" in page.locator("noscript").inner_text()
    context.close()


def test_names_are_text_whatever_they_hold(chromium, tmp_path):
    hostile = "</script><script>document.title='struck'</script><img src=x onerror=\"document.title='struck'\">{{data}}"
    lines = tmp_path / "ledger.jsonl"
    lines.write_text(ledgers.ledger(1, 3, step=1).replace('"group":"', '"group":' + json.dumps(hostile)[:-1]))
    spotward("--from", lines, "--html", tmp_path / "page.html")
    page = opened(chromium, tmp_path / "page.html")
    time.sleep(0.2)
    assert page.wrong == [] and page.title().startswith("Savings")
    assert hostile in page.locator("#groups tbody th").first.inner_text()
    page.close()
