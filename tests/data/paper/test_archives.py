"""Archives of the paper's days: made once, anew for other pictures or settings, and without clutter."""

import numpy as np
import pytest
from PIL import Image

from nowcast.data.archive.archive import Archive
from nowcast.data.paper.archives import PaperArchives
from nowcast.data.paper.days import ArchiveDays
from nowcast.data.paper.filter import PaperFilter
from nowcast.scaling import GreyScale
from tests.data.archives import frame, write
from tests.data.paper.hko_tree import GREY, archives, day_folder, names, save_over, tree, write_day, write_mask


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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
