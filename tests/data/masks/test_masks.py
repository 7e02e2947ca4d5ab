"""Masks: files of ours and of others, and archives that are read as if they held no data where a mask says so."""

import pickle

import netCDF4
import numpy as np
import pytest

from nowcast.config.mistakes import UsageError
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.masks.file import CLUTTER, NO_COVERAGE, read_mask, write_mask
from nowcast.data.masks.given import use_masks
from nowcast.data.zarr.opening import archive_at
from tests.data.archives import grid
from tests.data.masks.clutter import HIDDEN, SHAPE, archive, users_mask
from tests.data.modules import module
from tests.data.zarr.stores import KINDS, mirror
from tests.programs import run

EVERYTHING = (slice(None), slice(None), slice(None))
LAYOUTS = [
    {}, {"ascending": True}, {"transposed": True}, {"km": True}, {"fill": True}, {"name": "clutter_map"},
    {"ascending": True, "transposed": True, "more": ["quality"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The archive, a mask of it, and the archive as the mask has it, of the same name in another folder."""
    folder = tmp_path_factory.mktemp("masks")
    archive(folder / "rain.nc")
    archive(folder / "oracle" / "rain.nc", masked=True)
    users_mask(folder / "mask.nc")
    mirror(Archive(folder / "rain.nc"), folder / "rain.zarr", **KINDS["v3, sharded"])
    mirror(Archive(folder / "rain.nc"), folder / "packed.zarr", **KINDS["v2, packed, from the south east"])
    return folder


def test_a_file_of_ours_is_cf_and_read_back(tmp_path):
    cells = np.zeros(SHAPE, dtype=np.uint8)
    cells[3, 4], cells[5, 6:] = CLUTTER, NO_COVERAGE
    write_mask(tmp_path / "a" / "mask.nc", grid(SHAPE), cells, {"archive": "rain"})
    found, hidden = read_mask(tmp_path / "a" / "mask.nc")
    assert found.same_as(grid(SHAPE))
    assert np.array_equal(hidden, cells > 0)
    with netCDF4.Dataset(tmp_path / "a" / "mask.nc") as file:
        assert file["mask"].flag_meanings == "counted clutter no_coverage"
        assert file["mask"].flag_values.tolist() == [0, 1, 2]
        assert (file.Conventions, file.archive, file["crs"].grid_mapping_name[:7]) == ("CF-1.11", "rain", "lambert")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_of_others_are_read_in_every_layout(folder, tmp_path, layout):
    found, hidden = read_mask(users_mask(tmp_path / "mask.nc", **layout))
    assert found.same_as(Archive(folder / "rain.nc").grid)
    assert np.array_equal(hidden, HIDDEN)


@pytest.mark.parametrize("place", ["rain.nc", "rain.zarr", "packed.zarr"])
def test_what_is_read_is_what_an_archive_without_those_data_holds(folder, place):
    one, other = archive_at(folder / place), Archive(folder / "oracle" / "rain.nc")
    before, content = one.seen, one.fingerprint
    use_masks([one], str(folder / "mask.nc"))
    for copy in (one, pickle.loads(pickle.dumps(one))):
        for block in (
            EVERYTHING,
            (slice(3, 9, 2), slice(1, 4), slice(5, 30)),
            (slice(0, 2), slice(9, 12), slice(0, 3)),
        ):
            assert np.array_equal(copy.read(*block), other.read(*block), equal_nan=True)
        assert np.array_equal(copy.rain_fraction, other.rain_fraction)
        assert np.array_equal(copy.valid_fraction, other.valid_fraction)
    assert (one.fingerprint, one.seen == before) == (content, False)


@pytest.mark.parametrize("changes", [{}, {"cell_km": 2.0}, {"cache": "memmap"}, {"index": "index"}], ids=str)
@pytest.mark.parametrize("place", ["rain.nc", pytest.param("rain.zarr", marks=pytest.mark.thorough)])
def test_windows_are_those_of_an_archive_without_those_data(folder, tmp_path, place, changes):
    """Masked samples of training and of validation; those with too few data are left out in both."""
    common = changes | {"split": "blocks", "min_valid_fraction": 0.6, "random_crops": True, "eval_crop": None}
    if "index" in common:
        common["index"] = str(tmp_path / "index")
    one = module(folder / place, **(common | {"mask": str(folder / "mask.nc")}))
    other = module(folder / "oracle" / "rain.nc", **(common | {"index": None}))
    for split in ("train", "val"):
        found, expected = one.dataset(split), other.dataset(split)
        assert len(found) > 3
        assert np.array_equal(found.samples, expected.samples)
        for k in range(0, len(found), 5):
            for key, values in expected[k].items():
                assert np.array_equal(np.asarray(found[k][key]), np.asarray(values), equal_nan=True), key
    batch, wanted = (data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0) for data in (one, other))
    assert np.array_equal(np.asarray(batch["inputs"]), np.asarray(wanted["inputs"]), equal_nan=True)
    assert np.isnan(np.asarray(batch["inputs"])).any()
    assert np.array_equal(np.asarray(batch["mask"]), np.asarray(wanted["mask"]))


def test_unpacked_copies_hold_what_the_archive_holds(folder, tmp_path):
    path, mask = archive(tmp_path / "rain.nc"), str(folder / "mask.nc")
    masked, plain = (module(path, cache="memmap", mask=one) for one in (mask, None))
    masked.setup()
    plain.setup()
    assert len(list((tmp_path / "unpacked").glob("*.npy"))) == 1
    expected = Archive(path).read(*EVERYTHING)
    assert np.array_equal(plain.regions[0].archive.read(*EVERYTHING), expected, equal_nan=True)


def test_facts_say_which_mask_and_how_much_it_leaves_out(folder, tmp_path):
    path = str(folder / "mask.nc")
    with_mask, without = module(folder / "rain.nc", mask=path), module(folder / "rain.nc")
    facts, plain = with_mask.provenance(), without.provenance()
    assert facts.pop("masks").keys() == {"rain"}
    assert facts == plain
    assert with_mask.caveat == f"data.mask leaves out cells, in inputs and in what is scored: {85 / 1280:.2%} of rain"
    assert without.caveat == ""
    again = module(folder / "rain.nc", mask=str(users_mask(tmp_path / "other_layout.nc", ascending=True, km=True)))
    assert again.provenance()["masks"] == with_mask.provenance()["masks"]
    more = HIDDEN.copy()
    more[0, 0] = True
    other = module(folder / "rain.nc", mask=str(users_mask(tmp_path / "more.nc", more)))
    assert other.provenance()["masks"] != with_mask.provenance()["masks"]


def test_masks_of_one_grid_are_put_together_and_each_grid_has_its_own(folder, tmp_path):
    two = archive(tmp_path / "coarse.nc", cell=2000.0)
    one, more = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    one[0, :3], more[7, 7] = True, True
    users_mask(tmp_path / "a_mask.nc", one)
    users_mask(tmp_path / "b_mask.nc", more)
    users_mask(tmp_path / "c.nc", HIDDEN, cell=2000.0)
    archives = [Archive(folder / "rain.nc"), Archive(two)]
    use_masks(archives, [f"{tmp_path}/*_mask.nc", str(tmp_path / "c.nc")])
    assert np.array_equal(archives[0].mask.hidden, one | more)
    assert np.array_equal(archives[1].mask.hidden, HIDDEN)


def test_a_forecast_is_that_of_an_archive_without_those_data(folder, tmp_path):
    said = {}
    for name, place, masks in (("one", "rain.nc", [f"mask={folder / 'mask.nc'}"]), ("other", "oracle/rain.nc", [])):
        asked = ["model=persistence", "forecast_steps=2", f"input={folder / place}", f"output={tmp_path / name}.nc"]
        assert run("predict", *asked, *masks) == (0, "")
        with netCDF4.Dataset(tmp_path / f"{name}.nc") as file:
            said[name] = file["rain_rate"][:].filled(np.nan)
    assert np.isnan(said["one"][:, HIDDEN]).all()
    assert np.isfinite(said["one"][:, ~HIDDEN]).all()
    assert np.array_equal(said["one"], said["other"], equal_nan=True)
    small = users_mask(tmp_path / "small.nc", np.zeros((8, 9), dtype=bool))
    code, message = run("predict", *asked[:3], f"output={tmp_path / 'third.nc'}", f"mask={small}")
    assert code == 1
    assert "error: mask is of another grid than " in message


def refused(folder, mask, error=UsageError):
    with pytest.raises(error) as caught:
        use_masks([Archive(folder / "rain.nc")], mask)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_masks_that_do_not_fit_are_refused_in_a_line(folder, tmp_path):
    other = str(users_mask(tmp_path / "other.nc", np.zeros((8, 9), dtype=bool)))
    text = refused(folder, other)
    assert f"of another grid than {folder / 'rain.nc'} (32 x 40): {other} 8 x 9. " in text
    assert "statistics=<folder>" in text
    text = refused(folder, str(users_mask(tmp_path / "moved.nc", cell=500.0)))
    assert "as many cells, and lies elsewhere" in text
    assert f"{other} (8 x 9) is of no archive's grid" in refused(folder, [other, str(folder / "mask.nc")])
    everything = str(users_mask(tmp_path / "all.nc", np.ones(SHAPE, dtype=bool)))
    assert "leaves out all cells of rain: in a mask, cells that are to count are 0" in refused(folder, everything)
    assert "data.mask=null" in refused(folder, [])
    assert "no file is called" in refused(folder, f"{tmp_path}/x*.nc", FileNotFoundError)
    assert "no file" in refused(folder, f"{tmp_path}/x.nc", FileNotFoundError)
    several = str(users_mask(tmp_path / "several.nc", name="a", more=["b"]))
    assert "holds 2 variables with rows and columns (a, b): call the one 'mask'" in refused(
        folder, several, DataFormatError
    )
    (tmp_path / "damaged.nc").write_bytes(b"CDF\x01 no")
    assert "not readable as a mask" in refused(folder, str(tmp_path / "damaged.nc"), DataFormatError)
