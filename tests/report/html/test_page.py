"""The report: what it says, that it needs nothing but itself, and that a real browser shows it."""

import base64
import csv
import dataclasses
import gzip
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from nowcast.report.estimate_files import write_estimates_csv
from nowcast.report.html.charts import sections
from nowcast.report.html.page import write_report
from nowcast.report.html.pictures import (
    DIFFERENCE_COLOURS,
    difference_classes,
    palette_png,
    rain_classes,
    rain_palette,
    score_maps,
)
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import estimate
from tests.statistics import statistics

BOOTSTRAP = Bootstrap(200, 0.95, 10, 0)
MODELS = {"good": 0.3, "persistence": 3.0, "extrapolation": "shift"}


def report(path, **settings):
    sums, families = statistics(MODELS, **settings)
    numbers = estimate(sums, families, BOOTSTRAP)
    write_estimates_csv(path.with_name("intervals.csv"), numbers, families, sums.lead_times)
    write_report(
        path, sums, families, numbers, BOOTSTRAP,
        downloads=[path.with_name("intervals.csv")], colour_blind_safe=False, main_threshold=0.5,
    )  # fmt: skip
    return path.read_text(encoding="utf-8"), numbers


def test_the_summary_holds_the_numbers_and_their_intervals(tmp_path):
    text, numbers = report(tmp_path / "r.html")
    one = numbers.means["good"]["categorical/csi"]
    assert f">{one.value[0, 0]:.3f}<small>{one.low[0, 0]:.3f} to {one.high[0, 0]:.3f}<" in text
    assert "Intervals: 95%, 200 draws of 12 blocks" in text
    assert "▲ better" in text
    for heading in (
        "Performance diagram",
        "Fractions skill score",
        "Spectra",
        "CSI of each cell",
        "Windows to look at",
    ):
        assert heading in text, heading
    assert "Reliability" not in text


def seldom(sums):
    """The first model forecasts no event of 0.5 mm/h after the first lead time."""
    counts = sums.sums["block"]["categorical/counts"]  # (M, blocks, T, K, 4)
    counts[0, :, 1:, 0, 1] += counts[0, :, 1:, 0, 0]
    counts[0, :, 1:, 0, 3] += counts[0, :, 1:, 0, 2]
    counts[0, :, 1:, 0, [0, 2]] = 0


def test_a_mean_says_how_many_lead_times_it_is_of_and_is_not_best_by_having_fewer(tmp_path):
    sums, families = statistics(MODELS)
    seldom(sums)
    numbers = estimate(sums, families, BOOTSTRAP)
    write_estimates_csv(tmp_path / "intervals.csv", numbers, families, sums.lead_times)
    write_report(
        tmp_path / "r.html", sums, families, numbers, BOOTSTRAP,
        downloads=[], colour_blind_safe=False, main_threshold=0.5,
    )  # fmt: skip
    summary = re.search(r'<table class="sortable" id="summary">.*?</table>', (tmp_path / "r.html").read_text(), re.S)[0]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", summary)
    cells = [re.findall(r"<td.*?</td>", row) for row in re.findall(r"<tr><td>.*?</tr>", summary)]
    far = [row[heads.index("false alarm ratio")] for row in cells]
    assert f"{numbers.means['good']['categorical/far'].value[0, 0]:.3f} (1)<" in far[0]
    assert not any("(" in cell for cell in far[1:])
    assert not any('class="best"' in cell for cell in far)
    assert sum('class="best"' in row[heads.index("CSI")] for row in cells) == 1
    with (tmp_path / "intervals.csv").open() as file:
        means = [row for row in csv.DictReader(file) if (row["score"], row["lead_time"]) == ("far", "mean")]
    assert [row["lead_times"] for row in means if row["threshold_mmh"] == "0.5"] == ["1", "3", "3"]
    pair = numbers.mean_differences["good", "persistence"]["categorical/far"]
    first = numbers.differences["good", "persistence"]["categorical/far"]
    assert (pair.lead_times[0, 0], pair.value[0, 0]) == (1, first.value[0, 0])


def test_ratios_have_an_axis_from_0_to_1():
    sums, families = statistics(MODELS)
    every = [
        chart for section in sections(sums, families, estimate(sums, families, BOOTSTRAP)) for chart in section.charts
    ]
    for label in ("false alarm ratio", "POD"):
        ranges = {chart.y_range for chart in every if chart.y_label == label}
        assert ranges == {(0.0, 1.0)}, label


def test_with_few_blocks_no_number_stands_alone(tmp_path):
    text, _ = report(tmp_path / "r.html", blocks=4)
    assert "4 independent blocks of windows, fewer than 10: no intervals and no verdicts" in text
    summary = re.search(r'<table class="sortable" id="summary">.*?</table>', text, re.S)[0]
    cells = re.findall(r"<td data-value=.*?</td>", summary)
    assert cells
    assert all("4 blocks only" in cell for cell in cells)
    assert "▲ better" not in text
    assert "too few blocks" in text


def test_ensembles_have_their_charts(tmp_path):
    text, _ = report(tmp_path / "r.html", ensemble=True)
    for heading in ("Reliability", "Relative operating characteristic", "Rank histogram", "CRPS"):
        assert heading in text, heading


def test_it_needs_nothing_from_anywhere_and_holds_every_number(tmp_path):
    text, _ = report(tmp_path / "r.html")
    addresses = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"https?://", text)
    packed = re.search(r'data-name="intervals.csv" data-gzip="([^"]+)"', text)[1]
    assert gzip.decompress(base64.b64decode(packed)) == (tmp_path / "intervals.csv").read_bytes()


def test_names_cannot_break_the_page(tmp_path):
    sums, families = statistics({"<script>alert(1)</script>": 0.3, 'a "b"': 2.0})
    numbers = estimate(sums, families, BOOTSTRAP)
    write_report(
        tmp_path / "r.html", sums, families, numbers, BOOTSTRAP,
        downloads=[], colour_blind_safe=True, main_threshold=None,
    )  # fmt: skip
    assert "<script>alert" not in (tmp_path / "r.html").read_text()


def decoded(uri):
    from io import BytesIO

    return Image.open(BytesIO(base64.b64decode(uri.split(",")[1])))


def test_colours_of_rain_and_no_data():
    rain = np.array([[np.nan, 0.0, 0.05, 0.1], [0.19, 0.2, 99.0, 100.0]], dtype=np.float32)
    assert rain_classes(rain).tolist() == [[0, 1, 1, 2], [2, 3, 10, 11]]
    picture = decoded(palette_png(rain_classes(rain), rain_palette(False))).convert("RGB")
    assert picture.getpixel((0, 0)) == (0xB9, 0xB9, 0xB9)
    assert picture.getpixel((1, 0)) == (255, 255, 255)
    assert picture.getpixel((3, 1)) == (0x2B, 0x05, 0x30)
    assert len(set(rain_palette(True))) == len(rain_palette(True)) == 12


def test_colours_of_differences():
    observed = np.zeros(6, dtype=np.float32)
    forecast = np.array([np.nan, -20.0, -0.5, 0.4, 0.5, 10.0], dtype=np.float32)
    assert difference_classes(forecast, observed).tolist() == [0, 1, 5, 5, 6, 9]
    assert DIFFERENCE_COLOURS[5 - 1] == "#ffffff"


def test_a_large_map_keeps_the_cells_of_its_edges():
    sums, _ = statistics({"a": 0.3})
    counts = np.zeros((1, 4, 365, 721), dtype=np.int64)
    counts[0, 0, -1], counts[0, 1, :, -1] = 1, 1  # hits in the last row, misses in the last column
    (panel,) = score_maps(dataclasses.replace(sums, map_counts=counts))
    picture = np.array(decoded(panel.source))  # classes: 0 is no event
    assert picture.shape == (122, 241)
    assert (picture[0, 0], picture[0, -1], picture[-1, 0]) == (0, 1, 10)


# -- in a browser --------------------------------------------------------------------------------------------

PROBE = """
<script>
addEventListener("error", event => errors.push(String(event.message)));
const errors = [];
addEventListener("load", () => setTimeout(() => {
  const column = () => [...document.querySelectorAll("#summary tbody tr")].map(row => row.cells[1].dataset.value);
  const before = column();
  document.querySelector("#summary thead th:nth-child(2)").click();
  const down = column();
  document.querySelector("#summary thead th:nth-child(2)").click();
  const up = column();
  const example = document.querySelector(".example"), image = example.querySelector(".frame img");
  const slider = example.querySelector("input"), clock = example.querySelector(".clock");
  const start = {step: slider.value, clock: clock.textContent, place: image.style.transform};
  setTimeout(() => {
    const later = {step: slider.value, clock: clock.textContent, place: image.style.transform};
    const result = {
      errors, before, down, up, start, later,
      broken: [...document.images].filter(one => !one.complete || !one.naturalWidth).length,
      pictures: document.images.length, charts: document.querySelectorAll("svg.chart").length,
      wide: document.documentElement.scrollWidth, window: innerWidth,
      smallest: Math.min(...[...document.querySelectorAll("details[open] svg.chart")].map(one => one.clientWidth)),
      steps: +example.dataset.steps, frame: example.querySelector(".frame").clientHeight,
    };
    document.title = JSON.stringify(result);
    const pre = document.createElement("pre");
    pre.id = "probe"; pre.textContent = JSON.stringify(result);
    document.body.append(pre);
  }, 450);
}, 200));
</script></body>"""


# A window cannot be as narrow as a phone, but a frame in it can.
FRAME = """<iframe src="probed.html" style="width:{width}px;height:900px;border:0"></iframe>
<script>
setInterval(() => {{
  const probe = document.querySelector("iframe").contentDocument.querySelector("#probe");
  if (probe && !document.querySelector("#probe")) document.body.append(probe.cloneNode(true));
}}, 50);
</script>"""


def browse(path, width):
    """What the page says of itself in headless Chromium, and what the browser complains about."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    path.with_name("probed.html").write_text(path.read_text().replace("</body>", PROBE))
    frame = path.with_name("frame.html")
    frame.write_text(FRAME.format(width=width))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=6000", "--window-size=1300,1000"]
    command += [f"--user-data-dir={path.with_name('profile')}", "--dump-dom", f"file://{frame}"]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=110)
    found = re.search(r'<pre id="probe">(.*?)</pre>', dumped.stdout, re.S)
    assert found, dumped.stderr[-2000:]
    console = [line for line in dumped.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_shows_it_without_a_complaint(tmp_path, width):
    report(tmp_path / "r.html", ensemble=True)
    seen, console = browse(tmp_path / "r.html", width)
    assert console == []
    assert seen["errors"] == []
    assert (seen["broken"], seen["pictures"] > 5, seen["charts"] > 40) == (0, True, True)
    assert seen["down"] == sorted(seen["before"], key=float, reverse=True)
    assert seen["up"] == sorted(seen["before"], key=float)
    # The animation went on by itself, picture and clock together.
    assert seen["start"]["step"] != seen["later"]["step"]
    assert seen["start"]["clock"] != seen["later"]["clock"]
    assert seen["start"]["place"] != seen["later"]["place"]
    assert seen["steps"] == 3
    assert seen["frame"] > 100
    # Nothing sticks out sideways, and charts keep a readable size.
    assert seen["window"] == width
    assert seen["wide"] <= width
    assert seen["smallest"] >= 280
