"""report.html in a real Chromium, on a desktop and on a phone: it must load whole, from nowhere
but the file itself, without an error and without being wider than the window."""

import json
import re
import shutil

import pytest
from selenium import webdriver

from bood_tasks.reporting.figures import figures, gallery
from bood_tasks.reporting.tables.frames import csv_text
from bood_tasks.reporting.tables.published import KEY, compare_with_bood
from tests import fake_artifacts
from tests.reporting import test_figures
from tests.reporting.test_paper_tables import FAR, run_of
from tests.reporting.test_report import made_page, papers
from tests.reporting.test_tables import SETTINGS

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("browser")]
WIDTHS = {"phone": 360, "desktop": 1280}
# Without a sandbox as root; silent, so that what goes to the network is the page's doing.
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
OPEN_ALL = "document.querySelectorAll('details').forEach(item => { item.open = true })"
IMAGES = """return Promise.all([...document.images].map(
    image => image.decode().catch(() => {}).then(() => [image.alt, image.naturalWidth])))"""
SPREAD = "return document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in found.values():
        pytest.fail(
            "tests/browser needs chromium and chromedriver: `make test-browser` installs both on "
            "Debian, or apt-get install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = found["chromium"]
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(found["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of real figures and of every table, each method of the paper's among ours."""
    root = tmp_path_factory.mktemp("page")
    labels = [
        tuple(rule["columns"][key] for key in ("method", "variant", "score"))
        for rule in KEY["rows"]
        if "bood_table1.csv" in rule["files"]
    ]
    ours = run_of(dict.fromkeys(labels), tested=[*FAR, "ninco"], std=0.0123)
    compared = {f"table{number}.csv": csv_text(compare_with_bood(ours, number)) for number in "127"}
    drawn = test_figures.inputs(root)
    albums = {
        "gallery": fake_artifacts.run_stage(
            root, gallery.main, "gallery", test_figures.SETTINGS,
            {role: given for role, given in drawn.items() if role not in ("scores", "pixels")},
        ),
        "figures": fake_artifacts.run_stage(
            root, figures.main, "figures", test_figures.TESTED,
            {role: drawn[role] for role in ("scores", "pixels")},
        ),
    }  # fmt: skip
    path = made_page(
        root,
        tables=fake_artifacts.make(
            root, "tables", settings={"notes": SETTINGS | {"seeds": [0, 1, 2]}},
            files={"summary.csv": csv_text(ours)} | compared,
        ),
        **albums,
        **{role: made for role, made in papers(root).items() if role != "tables"},
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    pictures = sum(len(item.json("captions.json")["figures"]) for item in albums.values())
    assert (text.count("<img"), text.count('class="paper"')) == (pictures, 8)
    return path


def show(browser, path, width):
    """Load a page in a window of this width, everything on it unfolded."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forgets what the page before said
    browser.get(path.as_uri())
    browser.execute_script(OPEN_ALL)


def faults(browser, path, width):
    """What is wrong with a page; nothing for a good one."""
    show(browser, path, width)
    found = [f"not loaded: {alt}" for alt, wide in browser.execute_script(IMAGES) if not wide]
    spread = browser.execute_script(SPREAD)
    found += [f"{spread} pixels wide"] if spread > width else []
    found += [
        f"said: {entry['message']}"
        for entry in browser.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if address != path.as_uri() and not address.startswith("data:"):
                found.append(f"asked for {address}")
    return found


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page_is_whole_at_every_width(browser, page, width):
    assert faults(browser, page, width) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<img alt="torn" src="data:image/png;base64,iVBORw0KGgo=">', "not loaded: torn"),
        ("<script>console.error('oh')</script>", "said: .*oh"),
        ("<script>nowhere()</script>", "said: .*nowhere is not defined"),
        ('<link rel="stylesheet" href="http://example.org/a.css">', "asked for http://example.org"),
        ('<img alt="lost" src="lost.png">', "asked for file:.*lost.png"),
        ('<div style="width: 2000px">wide</div>', "[0-9]+ pixels wide"),
        ('<details><div style="width: 2000px">wide</div></details>', "[0-9]+ pixels wide"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_fault_is_found(browser, page, tmp_path, html, fault, width):
    """The same page with one thing wrong."""
    path = tmp_path / "page.html"
    text = page.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", f"{html}</body>"), encoding="utf-8")
    assert any(re.match(fault, found) for found in faults(browser, path, width))


def test_a_picture_fits_a_phone_and_a_tap_shows_it_in_its_own_size(browser, page):
    show(browser, page, WIDTHS["phone"])
    picture = """const image = [...document.querySelectorAll('figure img')].reduce(
        (one, other) => other.naturalWidth > one.naturalWidth ? other : one);"""
    tap = f"{picture} image.closest('label').click()"
    picture += "return image."
    assert browser.execute_script(f"{picture}width") <= WIDTHS["phone"]
    assert browser.execute_script(f"{picture}naturalWidth") > WIDTHS["phone"]
    browser.execute_script(tap)
    wide = browser.execute_script(f"{picture}width")
    assert wide == browser.execute_script(f"{picture}naturalWidth")
    assert browser.execute_script(SPREAD) == WIDTHS["phone"]  # it scrolls in its own box
