"""The page of `bood serve` and that of `bood score --html` in a real Chromium: pictures that are
chosen get their scores, names run nothing, and nothing outside is asked."""

import shutil

import numpy as np
import PIL.Image
import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.inputs import PictureInput
from bood_tasks.deploy.items import items_of
from bood_tasks.deploy.score import score
from bood_tasks.deploy.serve import application
from tests.browser.test_page import ARGUMENTS
from tests.deploy.test_serve import Server

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("browser")]
EVIL = "<img src=x onerror=document.title='run'>.png"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert None not in found.values(), "apt-get install chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = found["chromium"]
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        if "host-resolver" not in argument:
            options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(found["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture
def detector() -> Detector:
    def run(batch):
        return batch.mean((1, 2, 3)), np.zeros((len(batch), 2))

    held_out = np.arange(50, 250, dtype=np.float32)
    return Detector(
        "energy", ["<b>a", "b"], PictureInput(8, "resize"), run, "x/validation", held_out
    )


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "dark.png", tmp_path / "light.png", tmp_path / EVIL, tmp_path / "bad.png"]
    for grey, path in zip((10, 200, 220), paths, strict=False):
        PIL.Image.new("RGB", (40, 20), (grey,) * 3).save(path)
    paths[3].write_bytes(b"no picture")
    return paths


def test_chosen_pictures_get_their_scores(browser, detector, files):
    with Server(application(detector)) as server:
        browser.get(f"http://127.0.0.1:{server.port}/")
        chooser = browser.find_element("css selector", "input[type=file]")
        chooser.send_keys("\n".join(map(str, files)))
        WebDriverWait(browser, 10).until(
            lambda page: len(page.find_elements("css selector", "figure")) == 4
        )
        told = [item.text for item in browser.find_elements("css selector", "figcaption")]
    assert any(text.startswith("OOD 10.00 · <b>a") and "dark.png" in text for text in told)
    assert any(text.startswith("ID 220.0") and EVIL in text for text in told)
    assert any(text.startswith("unreadable") for text in told)
    assert browser.title == "In or out of distribution?"
    assert [line for line in browser.get_log("browser") if "favicon" not in line["message"]] == []


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_of_a_scoring_is_whole(browser, detector, files, tmp_path, width):
    items, _ = items_of(files, kind="pictures", suffixes=(".png",))
    page = tmp_path / "page.html"
    score(detector, items, tmp_path / "s.csv", kind="csv", tpr=0.95, page=page)
    browser.set_window_size(width, 900)
    browser.get(page.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    pictures = "return [...document.images].map(image => [image.naturalWidth, image.naturalHeight])"
    assert browser.execute_script(pictures) == [[40, 20]] * 6  # three at either end
    captions = [item.text for item in browser.find_elements("css selector", "figcaption")]
    assert captions[0].startswith("OOD 10 · <b>a")
    assert captions[3].startswith("ID 220 · <b>a")
    assert EVIL in captions[3]
    assert browser.title == "Scores of pictures"
    assert browser.get_log("browser") == []
