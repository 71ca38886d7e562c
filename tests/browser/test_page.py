"""report.html in a real Chromium, on a desktop and on a phone, in light and in dark: it must load
whole, from nowhere but the file itself, without an error and without being wider than the window;
be legible, leave no word unexplained, and be of use by keyboard and to a screen reader."""

import json
import re
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.reporting.figures import figures, gallery
from bood_tasks.reporting.tables.frames import csv_text
from bood_tasks.reporting.tables.published import KEY, compare_with_bood
from tests import fake_artifacts
from tests.reporting import test_figures
from tests.reporting.test_paper_tables import FAR, run_of
from tests.reporting.test_report import made_page, papers
from tests.reporting.test_tables import SETTINGS

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("browser")]
WIDTHS = {"small phone": 360, "phone": 390, "desktop": 1280}
SCHEMES = ("light", "dark")
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
# WCAG 2.2, 1.4.3: of each text that is seen, what stands behind it taken together; inside an SVG a
# text has the colour that it is filled with.
CONTRAST = """
const parts = colour => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
};
const over = (one, other) => one.slice(0, 3).map((c, i) => c * one[3] + other[i] * (1 - one[3]));
const light = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(
        c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const base = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
const behind = element => {
    if (!element) return base;
    return over(parts(getComputedStyle(element).backgroundColor), behind(element.parentElement));
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    const style = getComputedStyle(element);
    const shown = element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
    if (!text || !shown || element.closest('script, style')) continue;
    seen += 1;
    const back = behind(element), ink = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(over(parts(ink), back)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
    const least = size >= 24 || size >= 18.66 && bold ? 3 : 4.5, ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(`${ratio.toFixed(2)}: ${text}`);
}
return seen > 100 ? found : ['hardly any text'];
"""
# What stands at the heads of rows and columns of the run's own tables, and the papers' methods and
# scores beside them, as a reader sees them.
TERMS = """
const clean = element => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll('sup, small').forEach(part => part.remove());
    return copy.textContent.trim();
};
return [...document.querySelectorAll('.own th span')].map(clean).filter(
    text => !text.startsWith('n = '));
"""
EXPLAINED = """
return [...document.querySelectorAll('abbr')].filter(item => item.title.length > 20).map(
    item => item.textContent.trim())"""
LISTED = """
return [...document.querySelectorAll('dt')].filter(
    item => item.nextElementSibling.textContent.length > 20).map(item => item.textContent.trim())"""
UNREADABLE = """
const found = [], all = selector => [...document.querySelectorAll(selector)];
if (!document.documentElement.lang) found.push('no language');
if (all('main').length != 1 || all('h1').length != 1) found.push('not one main part and title');
let last = 0;
for (const head of all('h1, h2, h3, h4, h5, h6')) {
    const level = Number(head.tagName[1]);
    if (level > last + 1) found.push(`level left out: ${head.textContent}`);
    last = level;
}
for (const image of all('img')) if (!image.alt) found.push('picture without words');
for (const cell of all('th')) if (!cell.scope) found.push(`head of nothing: ${cell.textContent}`);
for (const table of all('table'))
    if (!table.querySelector('thead th')) found.push('table without heads');
for (const link of all('nav a'))
    if (!document.querySelector(link.getAttribute('href'))) found.push(`to nowhere: ${link.text}`);
for (const box of all('body *')) {
    const scrolls = ['auto', 'scroll'].includes(getComputedStyle(box).overflowX)
        && box.scrollWidth > box.clientWidth;
    const own = box.tabIndex >= 0 && box.getAttribute('aria-label') || box.querySelector('input');
    if (scrolls && !own) found.push(`no key scrolls ${box.className || box.tagName}`);
    if (box.tabIndex > 0) found.push('order of its own');
}
return found;
"""
FOCUSED = """
const item = document.activeElement;
if (item === document.body) return null;
const drawn = item.matches('figure input') ? item.nextElementSibling : item;
const style = getComputedStyle(drawn);
const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
return [item.outerHTML.slice(0, 80), seen];
"""


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
def ours():
    """A run with each method of the paper's."""
    labels = [
        tuple(rule["columns"][key] for key in ("method", "variant", "score"))
        for rule in KEY["rows"]
        if "bood_table1.csv" in rule["files"]
    ]
    return run_of(dict.fromkeys(labels), tested=[*FAR, "ninco"], std=0.0123)


@pytest.fixture(scope="module")
def words(ours):
    """The names of a run's rows, scores and sets, as its file and the titles have them."""
    lines = ours[ours["score"] != ""]
    return (
        {row_name(*row) for row in zip(lines["method"], lines["variant"], strict=True)}
        | {score_name(score) for score in lines["score"]}
        | set(lines["ood_dataset"]) - {AVERAGE}
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory, ours):
    """A page of real figures and of every table."""
    root = tmp_path_factory.mktemp("page")
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
    sets = {*ours["ood_dataset"], *ours["id_dataset"]}
    path = made_page(
        root,
        config={"id": "cifar100", "datasets": {name: {"kind": "folder"} for name in sets}},
        intervals=ours[ours["score"] != ""].assign(low=0.123, high=0.987),
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


def show(browser, path, width, scheme="light"):
    """Load a page in a window of this width, everything on it unfolded."""
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forgets what the page before said
    browser.get(path.as_uri())
    browser.execute_script(OPEN_ALL)


def faults(browser, path, width, scheme="light"):
    """What is wrong with a page; nothing for a good one."""
    show(browser, path, width, scheme)
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
    found += [f"faint, {said}" for said in browser.execute_script(CONTRAST)]
    found += browser.execute_script(UNREADABLE)
    terms, explained = browser.execute_script(TERMS), browser.execute_script(EXPLAINED)
    found += [f"unexplained: {term}" for term in dict.fromkeys(terms) if term not in explained]
    listed = {*browser.execute_script(LISTED), "Method", "Score", "Average", "ID accuracy"}
    found += [f"not listed: {term}" for term in dict.fromkeys(terms) if term not in listed]
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page_is_whole_and_legible_at_every_width(browser, page, width, scheme):
    assert faults(browser, page, width, scheme) == []


def test_every_word_of_the_results_file_stands_in_the_page_and_is_explained(browser, page, words):
    show(browser, page, WIDTHS["desktop"])
    assert words <= {*browser.execute_script(LISTED)}
    assert words <= {*browser.execute_script(EXPLAINED)}


@pytest.mark.parametrize("width", [WIDTHS["phone"], WIDTHS["small phone"]])
def test_a_phone_shows_the_average_beside_names_that_stay(browser, page, width):
    show(browser, page, width)
    browser.execute_script("document.querySelector('.main').scrollIntoView()")
    edges = """const box = document.querySelector('.main');
        return [...box.querySelectorAll(arguments[0])].map(
            cell => [cell.getBoundingClientRect().left, cell.getBoundingClientRect().right])"""
    for _, right in browser.execute_script(edges, "tr > :nth-child(2)"):
        assert right <= width
    before = browser.execute_script(edges, "tr > :first-child")
    browser.execute_script("document.querySelector('.main').scrollLeft = 150")
    assert browser.execute_script(edges, "tr > :first-child") == before
    assert all(right < width for _, right in browser.execute_script(edges, "tr > :nth-child(2)"))


def test_a_desktop_is_used_in_its_whole_width(browser, tmp_path):
    """By a table of few columns, too."""
    show(browser, made_page(tmp_path), WIDTHS["desktop"])
    wide = "return document.querySelector('.main table').getBoundingClientRect().width"
    assert browser.execute_script(wide) > 0.95 * WIDTHS["desktop"]


def test_keys_reach_everything_and_show_where_they_are(browser, page):
    show(browser, page, WIDTHS["desktop"])
    reached = {}
    for _ in range(600):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        item = browser.execute_script(FOCUSED)
        if item is None:
            break
        reached[item[0]] = reached.get(item[0], True) and item[1]
    assert [item for item, seen in reached.items() if not seen] == []
    assert {re.match(r"<(\w+)", item)[1] for item in reached} >= {
        "a", "abbr", "div", "summary", "input", "pre",
    }  # fmt: skip


def test_a_tap_on_a_word_shows_what_it_means_within_the_window(browser, page):
    show(browser, page, WIDTHS["phone"])
    word = browser.find_element("css selector", ".main abbr")
    word.click()
    assert browser.switch_to.active_element == word
    shown = """const style = getComputedStyle(document.querySelector('.main abbr'), '::after');
        return [style.content, style.position, parseFloat(style.width)]"""
    content, position, width = browser.execute_script(shown)
    assert len(content) > 20
    assert (position, width <= WIDTHS["phone"]) == ("fixed", True)


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
        ('<p style="color: #888; background: #777">grey</p>', r"faint, 1\.\d+: grey"),
        ('<svg><text y="9" style="fill: #ddd">s</text><rect/></svg><style>:root {'
         "color-scheme: light; background: #fff }</style>", "faint, .*: s"),
        ('<div class="own"><table><thead><tr><th scope="col"><span>Xyz</span></th></tr></thead>'
         "</table></div>", "unexplained: Xyz"),
        ('<img src="data:,">', "picture without words"),
        ("<h4>deep</h4>", "level left out: deep"),
        ("<table><tr><th>a</th></tr></table>", "head of nothing: a"),
        ('<div style="overflow-x: auto"><p style="width: 3000px; max-width: none">w</p></div>',
         "no key scrolls DIV"),
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
