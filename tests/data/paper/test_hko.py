"""The HKO-7 tree and the paper's radar data made from it."""

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.paper.archives import PaperArchives
from nowcast.data.paper.days import ArchiveDays
from nowcast.data.paper.filter import PaperFilter
from nowcast.data.paper.hko import HkoTree
from nowcast.scaling import GreyScale
from tests.data.archives import frame, write
from tests.data.modules import radar
from tests.data.paper.hko_tree import archives, day_folder, names, write_day, write_mask


def tree(root, **changes):
    settings = {"folder": str(root), "years": (2011, 2013), "day_count": 2, "day_list": None, "masks": "ignore"}
    return HkoTree(**(settings | changes))


def module(source, **changes):
    settings = {
        "timestep_minutes": None, "allow_mixed_timesteps": False, "cell_km": None, "input_steps": 5,
        "forecast_steps": 15, "stride": 1, "crop": None, "eval_crop": None, "random_crops": False, "augment": "none",
        "min_rain_fraction": 0.0, "min_valid_fraction": 0.0, "importance_floor": None, "samples_per_epoch": None,
        "split": "paper", "val_archives": [], "test_archives": [], "block_minutes": 240.0, "val_fraction": 1 / 6,
        "test_fraction": 1 / 6, "gap_minutes": 0.0, "batch_size": 8, "workers": 0, "seed": 1000,
    }  # fmt: skip
    return radar(source, **(settings | changes))


@pytest.fixture
def days(tmp_path):
    """Three complete days, the second the driest, an incomplete one and one of another year."""
    for date, rain in (("2011-05-03", 0.6), ("2012-06-01", 0.1), ("2013-12-31", 0.5), ("2014-01-01", 0.9)):
        write_day(tmp_path, date, rain)
    write_day(tmp_path, "2012-07-01", 0.9, count=239)
    return tmp_path


def test_the_rainiest_complete_days_of_the_years_are_chosen(days):
    assert [day.name for day in tree(days).days()] == ["hko_20110503", "hko_20131231"]
    assert [day.name for day in tree(days, day_count=3).days()] == ["hko_20110503", "hko_20120601", "hko_20131231"]
    assert [day.name for day in tree(days, years=(2014, 2014), day_count=1).days()] == ["hko_20140101"]


def test_a_single_bright_frame_makes_no_rainy_day(tmp_path):
    write_day(tmp_path, "2011-05-03", 0.3, distinct=240)
    write_day(tmp_path, "2012-06-01", 0.1, distinct=240)
    for k in (0, 7):  # one frame that ranking sees, and one that it does not
        flash = day_folder(tmp_path, "2012-06-01") / names("2012-06-01")[k]
        Image.fromarray(np.full((16, 16), 255, dtype=np.uint8)).save(flash)
    assert [day.name for day in tree(tmp_path, day_count=1).days()] == ["hko_20110503"]


def test_a_day_has_240_frames_of_six_minutes(days):
    day = tree(days).days()[0]
    assert len(day.times) == 240
    assert str(day.times[0]) == "2011-05-03T00:00:00"
    assert str(day.times[-1]) == "2011-05-03T23:54:00"
    frames = list(day.frames())
    assert len(frames) == 240
    assert frames[0].dtype == np.float32
    assert 0.55 < max(float(field.max()) for field in frames) <= 0.6


def test_a_white_pixel_is_grey_one(tmp_path):
    for path in write_day(tmp_path, "2011-05-03", side=4).iterdir():
        Image.fromarray(np.array([[0, 51], [102, 255]], dtype=np.uint8)).save(path)
    grey = next(tree(tmp_path, day_count=1).days()[0].frames())
    np.testing.assert_allclose(grey, [[0, 0.2], [0.4, 1]], rtol=1e-6)
    # dBZ = 70·P - 10, as the archive keeps it
    (path,) = archives(tree(tmp_path, day_count=1), tmp_path / "made", crop=2, disk_radius=0.0, size=2).paths()
    with xr.open_dataset(path, decode_timedelta=False) as content:
        np.testing.assert_allclose(content["reflectivity"][0], [[-10, 4], [18, 60]], atol=1e-3)


def test_listed_days(days):
    (days / "list.txt").write_text("2012-06-01\n\n2011-05-03\n")
    chosen = tree(days, day_list=str(days / "list.txt")).days()
    assert [day.name for day in chosen] == ["hko_20110503", "hko_20120601"]
    (days / "list.txt").write_text("2012-07-01\n2011-05-03\n")
    with pytest.raises(ValueError, match=r"1 of 2 days are not complete.*2012-07-01.*YYYY-MM-DD"):
        tree(days, day_list=str(days / "list.txt")).days()


def test_a_missing_tree_says_what_is_expected_and_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"radarPNG/2011/05/03/RAD110503000000\.png.*on request"):
        tree(tmp_path).days()


def test_too_few_days_are_counted(days):
    with pytest.raises(ValueError, match=r"holds 3 complete days .*fewer than the 97.*day_count") as caught:
        tree(days, day_count=97).days()
    assert "Found 5 days: 3 complete, 1 incomplete, 1 of other years" in str(caught.value)
    assert "2012/07/01, lacks 1 of 240 frames, the first RAD120701235400.png" in str(caught.value)
    (days / "empty" / "radarPNG").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds 0 complete days .*Found no day at all"):
        tree(days / "empty").days()


def test_the_folder_of_the_pictures_itself_is_understood(days, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"radarPNG itself; give its parent, {days}$"):
        tree(days / "radarPNG").days()
    monkeypatch.chdir(days / "radarPNG")
    with pytest.raises(FileNotFoundError, match=rf"folder=\. is .* give its parent, {days}$"):
        tree(".").days()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": "none"}, r"data\.archives\.source\.masks must be ignore or no_data, got 'none'"),
        ({"years": 2011}, r"data\.archives\.source\.years must be a pair .*\[first, last\], got 2011"),
        ({"years": [2011]}, r"data\.archives\.source\.years must be a pair .*got \[2011\]"),
        ({"years": "20"}, r"data\.archives\.source\.years must be a pair .*got '20'"),
        ({"years": [2013, 2011]}, r"data\.archives\.source\.years must be \[first, last\], got \[2013, 2011\]"),
        ({"day_count": 0}, r"data\.archives\.source\.day_count must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_name_their_key(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tree(tmp_path, **changes)


def test_a_missing_list_of_days_says_how_to_write_one(days):
    for name in (days / "none.txt", days):
        with pytest.raises(
            FileNotFoundError, match=r"data\.archives\.source\.day_list=.*one YYYY-MM-DD per line, or null"
        ):
            tree(days, day_list=str(name)).days()


def test_missing_masks_can_be_ignored(days):
    with pytest.raises(
        FileNotFoundError, match=r"no mask .*RAD110503000000\.mask; data\.archives\.source\.masks=ignore"
    ):
        next(tree(days, masks="no_data", day_count=1).days()[0].frames())


def test_masks_make_no_data_where_asked_for(days):
    usable = np.ones((16, 16), dtype=bool)
    usable[:4] = False
    for name in names("2011-05-03"):
        write_mask(days, "2011-05-03", name[9:13], usable)
    first = next(tree(days, masks="no_data", day_count=1).days()[0].frames())
    assert np.isnan(first[:4]).all()
    assert np.isfinite(first[4:]).all()
    plain = next(tree(days, day_count=1).days()[0].frames())
    np.testing.assert_array_equal(plain[4:], first[4:])


@pytest.mark.parametrize("content", [b"", b"no mask", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_damaged_masks_are_named(days, content):
    write_mask(days, "2011-05-03", "0000", np.ones((16, 16)))
    next((days / "radarPNG_mask").rglob("*.mask")).write_bytes(content)
    with pytest.raises(DataFormatError, match=r"RAD110503000000\.mask"):
        next(tree(days, masks="no_data", day_count=1).days()[0].frames())


def test_a_damaged_picture_is_named(days):
    path = day_folder(days, "2011-05-03") / names("2011-05-03")[0]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataFormatError, match=r"RAD110503000000\.png"):
        tree(days).days()


def save_over(path, picture):
    path.unlink()  # frames of a day are links to a few files
    picture.save(path)


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(GREY).convert("P"),
        Image.fromarray(GREY.astype(np.uint16) * 200),
        Image.fromarray(np.stack([GREY, GREY, GREY, GREY // 2], -1)),
        Image.fromarray(np.stack([GREY, GREY], -1)),
        Image.fromarray(np.stack([GREY, GREY, GREY.T], -1)),
        Image.fromarray(GREY > 100),
    ],
    ids=["palette", "16 bits", "transparent colours", "transparent grey", "colours", "one bit"],
)
def test_pictures_that_are_not_grey_bytes_are_refused(days, picture):
    save_over(day_folder(days, "2011-05-03") / names("2011-05-03")[0], picture)
    with pytest.raises(DataFormatError, match=r"RAD110503000000\.png: is not a grey picture of 8 bits"):
        tree(days).days()


def test_grey_stored_as_three_equal_colours_is_grey(days):
    save_over(day_folder(days, "2011-05-03") / names("2011-05-03")[0], Image.fromarray(np.stack([GREY] * 3, -1)))
    np.testing.assert_array_equal(np.rint(next(tree(days).days()[0].frames()) * 255), GREY)


@pytest.mark.parametrize("k", [10, 11])  # one that the ranking of days reads, and one that it does not
def test_a_picture_of_another_size_is_named(days, k):
    name = names("2011-05-03")[k]
    save_over(day_folder(days, "2011-05-03") / name, Image.fromarray(GREY[:8]))
    with pytest.raises(DataFormatError, match=rf"{name}: has 8x16 pixels and .*RAD110503000000\.png 16x16; .*one size"):
        list(tree(days).days()[0].frames())


def test_frames_smaller_than_the_crop_are_named_with_the_key(days, tmp_path):
    with pytest.raises(
        ValueError, match=r"radarPNG/2011/05/03: .*16x16 cells.*data\.archives\.crop=330; give .*crop=16 or"
    ):
        archives(tree(days), tmp_path / "made", crop=330, size=100).paths()
    write(tmp_path / "small.nc", [frame(0, np.ones((12, 14)))])
    source = ArchiveDays([str(tmp_path / "small.nc")], 118.239, 1.5241, -10.0, 60.0)
    with pytest.raises(ValueError, match=r"small\.nc: .*12x14 cells"):
        archives(source, tmp_path / "made", crop=330, size=100).paths()


def test_values_pass_through_the_pipeline_and_come_back_as_grey(days, tmp_path):
    source = tree(days)
    (first, _) = archives(source, tmp_path / "made").paths()
    archive = Archive(first)
    assert archive.name == "hko_20110503"
    assert archive.grid.shape == (6, 6)
    assert abs(archive.grid.x[1] - archive.grid.x[0]) == pytest.approx(512 / 480 * 1000 * 12 / 6)
    rain_rate = archive.read(slice(0, 4), slice(None), slice(None))
    import torch

    grey = GreyScale(118.239, 1.5241, -10.0, 60.0).to_grey(torch.from_numpy(rain_rate)).numpy()
    expected = [PaperFilter(12, 1.0, 6)(field) for field, _ in zip(source.days()[0].frames(), range(4), strict=False)]
    np.testing.assert_allclose(grey, np.stack(expected), atol=1.2e-5)  # steps of 1/60000


def test_archives_are_made_once_and_anew_for_other_settings(days, tmp_path):
    paths = archives(tree(days), tmp_path / "made").paths()
    times = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in archives(tree(days), tmp_path / "made").paths()] == times
    assert not list((tmp_path / "made").rglob("*.npy"))
    assert archives(tree(days), tmp_path / "made", disk_radius=2.0).paths() != paths
    assert archives(tree(days, day_count=1), tmp_path / "made").paths() != paths


def test_a_tree_that_has_grown_is_looked_through_again(days, tmp_path):
    source = archives(tree(days), tmp_path / "made")
    assert [path.stem for path in source.paths()] == ["hko_20110503", "hko_20131231"]
    write_day(days, "2012-08-01", 0.9)
    assert [path.stem for path in source.paths()] == ["hko_20110503", "hko_20120801"]


def test_other_pictures_masks_and_lists_give_other_archives(days, tmp_path):
    usable = np.ones((16, 16), dtype=bool)
    for date in ("2011-05-03", "2012-06-01", "2013-12-31"):
        for name in names(date):
            write_mask(days, date, name[9:13], usable)
    (days / "list.txt").write_text("2011-05-03\n")
    masked, plain, listed = tree(days, masks="no_data"), tree(days), tree(days, day_list=str(days / "list.txt"))
    before = [source.fingerprint() for source in (masked, plain, listed)]
    write_mask(days, "2011-05-03", "0000", ~usable)
    assert [masked.fingerprint() == before[0], plain.fingerprint() == before[1]] == [False, True]
    save_over(day_folder(days, "2013-12-31") / names("2013-12-31")[5], Image.fromarray(GREY))
    assert [plain.fingerprint() == before[1], listed.fingerprint() == before[2]] == [False, True]
    (days / "list.txt").write_text("2012-06-01\n")
    assert listed.fingerprint() != before[2]


def interrupted_at_the_second(source, monkeypatch):
    """Prepare archives until the second cannot be written."""
    write, calls = PaperArchives._write, []

    def fail_second(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("disk full")
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PaperArchives, "_write", fail_second)
        with pytest.raises(OSError, match="disk full"):
            source.paths()


def test_an_interruption_leaves_no_old_clutter_when_the_tree_grows(tmp_path, monkeypatch):
    sizes = {"crop": 40, "disk_radius": 0.0, "size": 40, "clutter": "kmeans"}
    for date in ("2011-05-03", "2011-06-03"):
        write_day(tmp_path, date, 0.2, side=40, distinct=240)
    source = archives(tree(tmp_path, day_count=2), tmp_path / "made", **sizes)
    interrupted_at_the_second(source, monkeypatch)
    # The day that replaces the drier one has a bright cell: all archives of the new choice must lack it.
    for path in write_day(tmp_path, "2011-05-04", 0.3, side=40, distinct=240).iterdir():
        grey = np.asarray(Image.open(path)).copy()
        grey[20, 20] = 255
        Image.fromarray(grey).save(path)
    for path in source.paths():
        assert np.isnan(Archive(path).read(slice(None), slice(None), slice(None))[:, 20, 20]).all(), path.name


def test_an_interrupted_preparation_goes_on(days, tmp_path, monkeypatch):
    whole = archives(tree(days), tmp_path / "a").paths()
    interrupted_at_the_second(archives(tree(days), tmp_path / "b"), monkeypatch)
    again = archives(tree(days), tmp_path / "b").paths()
    assert [Archive(path).fingerprint for path in again] == [Archive(path).fingerprint for path in whole]


def test_clutter_becomes_no_data_in_every_frame(tmp_path):
    for date in ("2011-05-03", "2011-06-03"):
        for path in write_day(tmp_path, date, 0.2, side=40, distinct=240).iterdir():
            grey = np.asarray(Image.open(path)).copy()
            grey[20, 20] = 255
            Image.fromarray(grey).save(path)
    sizes = {"crop": 40, "disk_radius": 0.0, "size": 40}
    (path, _) = archives(tree(tmp_path), tmp_path / "made", clutter="kmeans", **sizes).paths()
    values = Archive(path).read(slice(None), slice(None), slice(None))
    assert np.isnan(values[:, 20, 20]).all()
    assert np.isnan(values).sum() == 240
    assert "1 of 1600 cells removed as clutter (kmeans)" in Archive(path).attributes["history"]


def test_clutter_is_judged_by_the_mean_of_every_month(tmp_path, monkeypatch):
    for date, rain in (("2011-05-03", 0.2), ("2011-05-09", 0.6), ("2011-06-03", 0.4), ("2012-06-03", 0.4)):
        write_day(tmp_path, date, rain, distinct=3)
    asked = []

    def nothing(means, clusters, largest_share):
        asked.append(means)
        assert (clusters, largest_share) == (3, 0.25)
        return np.zeros(means.shape[1:], dtype=bool)

    monkeypatch.setattr("nowcast.data.paper.archives.clutter_mask", nothing)
    source = tree(tmp_path, day_count=4)
    settings = {"clutter": "kmeans", "clutter_clusters": 3, "clutter_largest_share": 0.25}
    archives(source, tmp_path / "made", **settings).paths()
    step = PaperFilter(12, 1.0, 6)
    by_day = [np.mean([step(field) for field in day.frames()], axis=0) for day in source.days()]
    assert len(asked) == 1
    expected = np.stack([(by_day[0] + by_day[1]) / 2, by_day[2], by_day[3]])
    np.testing.assert_allclose(asked[0], expected, atol=1e-5)


# -- splits ------------------------------------------------------------------------------------------------


def blocks_of(data, split):
    """Archive and block of every window of a split, from the times of its first and last frame."""
    result = set()
    for region, starts in zip(data.regions, data.starts(split), strict=True):
        minutes = (region.archive.times - region.archive.times[0]).astype(int) // 60
        for start in starts:
            first, last = minutes[start] // 240, minutes[start + 19] // 240
            assert first == last
            result.add((region.archive.name, int(first)))
    return result


@pytest.mark.parametrize(("count", "apart"), [(6, (4, 1, 1)), pytest.param(97, (65, 16, 16), marks=pytest.mark.slow)])
def test_days_give_the_papers_counts(tmp_path, count, apart):
    """97 days: 8148 training sequences, 2037 of validation and of test."""
    dates = (np.datetime64("2011-03-01") + np.arange(count)).astype(str)
    for date in dates:
        write_day(tmp_path, date, side=4, distinct=1)
    sizes = {"crop": 4, "disk_radius": 0.0, "size": 2}
    source = archives(tree(tmp_path, day_count=count), tmp_path / "made", **sizes)
    data = module(source)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [84 * count, 21 * count, 21 * count]
    train, val, test = (blocks_of(data, split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (4 * count, count, count)
    assert not (train & val | train & test | val & test)
    for name in (f"hko_{date.replace('-', '')}" for date in dates):
        assert sum(archive == name for archive, _ in test) == 1
        assert sum(archive == name for archive, _ in val) == 1
    drawn = {block for _, block in test}  # days draw their blocks each for itself
    assert len(drawn) == 6 if count == 97 else len(drawn) > 1
    assert "share days" in data.caveat

    by_day = module(source, split="by_day")
    assert tuple(len(by_day.dataset(split)) for split in ("train", "val", "test")) == tuple(126 * n for n in apart)
    days = [{archive for archive, _ in blocks_of(by_day, split)} for split in ("train", "val", "test")]
    assert not (days[0] & days[1] | days[0] & days[2] | days[1] & days[2])
    assert by_day.caveat == ""


def test_the_draw_depends_on_the_seed(days, tmp_path):
    source = archives(tree(days, day_count=3), tmp_path / "made")
    draws = []
    for seed in (0, 0, 1, 2, 3):
        data = module(source, seed=seed)
        data.setup()
        draws.append(blocks_of(data, "test"))
    assert draws[0] == draws[1]
    assert len({frozenset(draw) for draw in draws}) > 1


def test_gaps_between_blocks_are_refused(days, tmp_path):
    with pytest.raises(ValueError, match=r"data.split.gap_minutes=0"):
        module(archives(tree(days), tmp_path), gap_minutes=30.0)


# -- other data --------------------------------------------------------------------------------------------


def test_archives_are_days_of_24_hours_from_their_first_frame(tmp_path):
    rain = 9 * np.random.default_rng(0).random((300, 12, 12))
    write(tmp_path / "two.nc", [frame(k * 6, field) for k, field in enumerate(rain)])
    source = ArchiveDays([str(tmp_path / "two.nc")], 118.239, 1.5241, -10.0, 60.0)
    days = source.days()
    assert [(day.name, len(day.times)) for day in days] == [("two_000", 240), ("two_001", 60)]
    grey = next(days[1].frames())
    rate = Archive(tmp_path / "two.nc").read(slice(240, 241), slice(None), slice(None))[0]
    dbz = 10 * np.log10(118.239) + 15.241 * np.log10(np.maximum(rate, 1e-9))
    np.testing.assert_allclose(grey, np.clip((dbz + 10) / 70, 0, 1), atol=1e-5)


def test_no_data_of_an_archive_stays_no_data(tmp_path):
    fields = 9 * np.random.default_rng(0).random((20, 12, 12))
    fields[:, :6] = np.nan
    write(tmp_path / "half.nc", [frame(k * 6, field) for k, field in enumerate(fields)])
    source = ArchiveDays([str(tmp_path / "half.nc")], 118.239, 1.5241, -10.0, 60.0)
    (path,) = archives(source, tmp_path / "made", disk_radius=0.0).paths()
    values = Archive(path).read(slice(None), slice(None), slice(None))
    assert np.isnan(values[:, :3]).all()
    assert np.isfinite(values[:, 3:]).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_pictures_of_another_format_are_refused_whatever_their_name(tmp_path, kind):
    from nowcast.data.paper.hko import _read_grey

    path = tmp_path / "RAD110503000000.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path, format=kind)
    with pytest.raises(DataFormatError, match="cannot be read as a PNG picture: cannot identify") as caught:
        _read_grey(path)
    assert str(caught.value).count(str(path)) == 1
