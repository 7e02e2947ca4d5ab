"""The HKO-7 tree and the paper's radar data made from it."""

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from nowcast.data.archive.frame import DataFormatError
from tests.data.paper.hko_tree import GREY, archives, day_folder, names, save_over, tree, write_day, write_mask


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


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_pictures_of_another_format_are_refused_whatever_their_name(tmp_path, kind):
    from nowcast.data.paper.hko import _read_grey

    path = tmp_path / "RAD110503000000.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path, format=kind)
    with pytest.raises(DataFormatError, match="cannot be read as a PNG picture: cannot identify") as caught:
        _read_grey(path)
    assert str(caught.value).count(str(path)) == 1
