"""What each provider's format does differently, on tiny files in the documented layout."""

import bz2
import gzip

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError, Packing
from nowcast.units import Quantity
from tests.data.formats import fakes
from tests.data.formats.readers import reader

NAN = np.nan


def one(name, path, *overrides):
    (frame,) = reader(name, *overrides).read(path)
    return frame


# -- KNMI ----------------------------------------------------------------------------------------------------


def test_knmi_stores_hundredths_of_a_millimetre_per_five_minutes(tmp_path):
    frame = one("knmi", fakes.knmi(tmp_path / "a.h5", [[0, 1, 250], [65535, 65534, 7]]))
    np.testing.assert_allclose(frame.values, [[0, 0.01, 2.5], [NAN, 655.34, 0.07]], rtol=1e-6)
    assert (frame.quantity, frame.period, frame.packing) == (Quantity.RAIN_AMOUNT, 300.0, Packing(0.01, 0.0))


def test_knmi_time_is_the_end_of_the_accumulation(tmp_path):
    frame = one("knmi", fakes.knmi(tmp_path / "a.h5", np.zeros((3, 3))))
    assert frame.time == np.datetime64("2010-08-26T00:00:00")


def test_knmi_kilometres_become_metres(tmp_path):
    grid = one("knmi", fakes.knmi(tmp_path / "a.h5", np.zeros((3, 4)))).grid
    assert (grid.x[0], grid.y[0]) == (500.0, -3_650_500.0)
    assert "+a=6378137" in grid.crs
    assert grid.y[0] > grid.y[-1]


def test_knmi_calibration_is_the_files_own(tmp_path):
    changes = {"image1/calibration/calibration_formulas": "GEO = 0.5 * PV + -1.0"}
    frame = one("knmi", fakes.knmi(tmp_path / "a.h5", [[2, 4], [6, 8]], **changes))
    np.testing.assert_allclose(frame.values, [[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image1/calibration/calibration_formulas": "GEO=log(PV)"}, "calibration"),
        ({"image1/image_geo_parameter": "REFLECTIVITY_[DBZ]"}, "REFLECTIVITY"),
        ({"overview/product_datetime_end": "yesterday"}, "yesterday"),
        ({"overview/product_datetime_end": "25-AUG-2010;23:55:00.000"}, "no length"),
        ({"geographic/geo_pixel_size_x": float("nan")}, "finite"),
        ({"geographic/geo_row_offset": None}, "geo_row_offset"),
        ({"geographic/map_projection/projection_proj4_params": "+proj=nonsense"}, "projection"),
    ],
)
def test_knmi_defects_are_named(tmp_path, changes, message):
    with pytest.raises(DataFormatError, match=rf"a\.h5: .*{message}"):
        reader("knmi").read(fakes.knmi(tmp_path / "a.h5", np.zeros((3, 3)), **changes))


# -- ODIM ----------------------------------------------------------------------------------------------------


def test_odim_rate_knows_no_data_from_no_rain(tmp_path):
    stored = np.array([[-9999000.0, -8888000.0], [0.0, 2.5]])
    frame = one("odim", fakes.odim(tmp_path / "a.h5", stored))
    np.testing.assert_allclose(frame.values, [[NAN, 0], [0, 2.5]])
    assert (frame.quantity, frame.packing) == (Quantity.RAIN_RATE, None)
    assert frame.time == np.datetime64("2018-08-24T18:00:00")


def test_odim_accumulation_takes_its_period_from_the_file(tmp_path):
    stored = np.array([[255, 0], [10, 20]], dtype=np.uint8)
    path = fakes.odim(tmp_path / "a.h5", stored, "ACRR", gain=0.1, nodata=255.0, undetect=0.0)
    frame = one("odim", path)
    np.testing.assert_allclose(frame.values, [[NAN, 0], [1, 2]])
    assert (frame.quantity, frame.period, frame.packing) == (Quantity.RAIN_AMOUNT, 900.0, Packing(0.1, 0.0))


def test_odim_reflectivity_below_detection_is_no_rain(tmp_path):
    stored = np.array([[255, 0], [1, 100]], dtype=np.uint8)
    path = fakes.odim(tmp_path / "a.h5", stored, "DBZH", gain=0.5, offset=-32.0, nodata=255.0, undetect=0.0)
    frame = one("odim", path)
    assert np.isnan(frame.values[0, 0])
    assert frame.values[0, 1] <= frame.no_echo < frame.values[1, 0] == -31.5
    assert frame.values[1, 1] == 18.0
    assert (frame.zr.a, frame.zr.b) == (200.0, 1.6)


def test_odim_quality_is_never_rain_and_the_quantity_can_be_chosen(tmp_path):
    path = fakes.odim(tmp_path / "a.h5", np.ones((2, 2)), "TH", gain=0.5, offset=-32.0)
    assert one("odim", path).quantity is Quantity.REFLECTIVITY
    with pytest.raises(DataFormatError, match="holds TH, QIND; expected ACRR"):
        reader("odim", "source.quantity=ACRR").read(path)
    with pytest.raises(ValueError, match=r"source\.quantity must be one of"):
        reader("odim", "source.quantity=VRAD")


def test_odim_corner_lies_where_the_projection_puts_it(tmp_path):
    grid = one("odim", fakes.odim(tmp_path / "a.h5", np.ones((4, 5)))).grid
    np.testing.assert_allclose(grid.x[:2], [1000, 3000], atol=1)
    np.testing.assert_allclose(grid.y[:2], [-1000, -3000], atol=1)


def test_odim_polar_volumes_are_refused(tmp_path):
    with pytest.raises(DataFormatError, match="PVOL"):
        reader("odim").read(fakes.odim(tmp_path / "a.h5", np.ones((2, 2)), what__object="PVOL"))


# -- FMI -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_fmi_pgm_is_half_decibels(tmp_path, packed):
    frame = one("fmi_pgm", fakes.fmi_pgm(tmp_path / "a.pgm.gz", [[0, 1, 2], [64, 110, 255]], packed=packed))
    np.testing.assert_allclose(frame.values, [[-32, -31.5, -31], [0, 23, NAN]])
    assert frame.no_echo == -32.0  # 0 is no echo: 0 mm/h, not the rate of -32 dBZ
    assert (frame.zr.a, frame.zr.b) == (223.0, 1.53)
    assert frame.time == np.datetime64("2016-09-28T14:45:00")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b[:-3], "truncated: 3 of 6"),
        (lambda b: b.replace(b"P5", b"P2"), "no PGM header"),
        (lambda b: b.replace(b"3 2\n", b"300000 200000\n"), "cells"),
        (lambda b: b.replace(b"stereographic", b"mercator"), "not stereographic"),
        (lambda b: b.replace(b"# obstime 201609281445\n", b""), "obstime"),
        (lambda b: b.replace(b"201609281445", b"201613281445"), "no time"),
    ],
)
def test_fmi_pgm_defects_are_named(tmp_path, spoil, message):
    path = fakes.fmi_pgm(tmp_path / "a.pgm", np.zeros((2, 3)), packed=False)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataFormatError, match=message):
        reader("fmi_pgm").read(path)


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = fakes.fmi_pgm(tmp_path / "a.pgm.gz", np.zeros((20, 30)))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataFormatError, match="damaged gzip"):
        reader("fmi_pgm").read(path)


# -- MeteoSwiss ----------------------------------------------------------------------------------------------


def test_mch_gif_index_is_a_logarithmic_amount(tmp_path):
    frame = one("mch_gif", fakes.gif(tmp_path / "AQC151351545F_00005.801.gif", [[0, 1, 2], [150, 250, 255]]))
    # (10^((150 - 71.5)/20) / 316)^(2/3) mm in five minutes, by hand: 10^3.925 = 8414; /316 = 26.63; ^(2/3) = 8.917
    np.testing.assert_allclose(frame.values[1, 0], 8.917, rtol=1e-3)
    assert frame.values[0].tolist()[:2] == [0, 0]
    assert 0 < frame.values[0, 2] < 0.001
    assert np.isnan(frame.values[1, 2])
    assert frame.period == 300.0


def test_mch_gif_steps_are_eight_percent(tmp_path):
    frame = one("mch_gif", fakes.gif(tmp_path / "AQC151351545F_00005.801.gif", [np.arange(100, 130)] * 2))
    np.testing.assert_allclose(frame.values[0, 1:] / frame.values[0, :-1], 10 ** (1 / 30), rtol=1e-5)


def test_mch_gif_name_holds_the_day_of_the_year(tmp_path):
    def time(name):
        return one("mch_gif", fakes.gif(tmp_path / name, np.zeros((2, 2)))).time

    assert time("AQC151351545F_00005.801.gif") == np.datetime64("2015-05-15T15:45:00")
    assert time("AQC161940000V_00005.801.gif") == np.datetime64("2016-07-12T00:00:00")  # leap year
    with pytest.raises(DataFormatError, match="no time"):
        time("AQC153990000F.gif")
    with pytest.raises(DataFormatError, match="name is not like"):
        time("rain.gif")


# -- Environment Canada --------------------------------------------------------------------------------------

ECCC = "20240710T2106Z_MSC_Radar-DPQPE_CASCM_Rain.gif"


def eccc(tmp_path, pixels, palette, name=ECCC):
    index = np.zeros((480, 580), dtype=np.uint8)
    for (row, column), value in pixels.items():
        index[row, column] = value
    return one(
        "eccc_gif",
        fakes.gif(tmp_path / name, index, np.array(palette + [[0, 0, 0]] * (256 - len(palette)), dtype=np.uint8)),
    )


LAND, WATER, LIGHT, RED, WHITE = [0x99, 0x99, 0x66], [0x33, 0x33, 0x66], [0x99, 0xCC, 0xFF], [255, 0, 0], [255] * 3


def test_eccc_colours_are_classes_whatever_the_order_of_the_palette(tmp_path):
    pixels = {(240, 100): 1, (240, 101): 2, (240, 102): 3}
    first = eccc(tmp_path, pixels, [LAND, LIGHT, RED, WATER])
    assert first.values[240, 100] == pytest.approx((0.1 * 1) ** 0.5)
    assert first.values[240, 101] == pytest.approx((64 * 100) ** 0.5)
    assert first.values[240, 102] == first.values[240, 103] == 0
    swapped = eccc(tmp_path, {(240, 100): 2, (240, 101): 1, (240, 102): 3}, [LAND, RED, LIGHT, WATER])
    np.testing.assert_array_equal(first.values, swapped.values)


def test_eccc_logo_frame_letters_and_legend_are_no_rain_and_no_data(tmp_path):
    pixels = {(10, 100): 1, (0, 240): 1, (300, 1): 1, (240, 240): 2, (200, 200): 3, (240, 500): 1}
    frame = eccc(tmp_path, pixels, [LAND, RED, WHITE, [0, 0, 0]])
    assert frame.values.shape == (480, 480)
    assert not (frame.values > 0).any()  # the same red is rain elsewhere, but not here
    assert np.isnan(frame.values[[10, 0, 300, 240, 200], [100, 240, 1, 240, 200]]).all()
    assert frame.values[240, 239] == 0


def test_eccc_covers_a_disc(tmp_path):
    frame = eccc(tmp_path, {}, [LAND])
    assert np.isnan(frame.values[[30, 30, 450, 450], [30, 450, 30, 450]]).all()
    assert np.isfinite(frame.values).mean() == pytest.approx(np.pi / 4, abs=0.02)
    assert frame.time == np.datetime64("2024-07-10T21:06:00")


def test_eccc_unknown_site_names_the_setting_that_works(tmp_path):
    name = ECCC.replace("CASCM", "CASXX")
    with pytest.raises(DataFormatError, match=r"'\+source\.sites\.CASXX=") as caught:
        eccc(tmp_path, {}, [LAND], name)
    typed = str(caught.value).split("'")[1].replace("<latitude>", "45.5").replace("<longitude>", "-63.25")
    (frame,) = reader("eccc_gif", typed).read(tmp_path / name)
    assert "+lat_0=45.5 +lon_0=-63.25" in frame.grid.crs


def test_eccc_draws_class_100_in_another_colour_than_its_legend(tmp_path):
    pixels = {(240, 100): 1, (240, 101): 2, (240, 102): 3}
    frame = eccc(tmp_path, pixels, [LAND, [0xFF, 0x02, 0x99], [0xFF, 0x00, 0x99], [0xFF, 0x03, 0x99]])
    np.testing.assert_allclose(frame.values[240, 100:103], [np.sqrt(100 * 125), np.sqrt(100 * 125), NAN])


# -- RADOLAN -------------------------------------------------------------------------------------------------


def radolan_cells(values, dtype="<u2"):
    cells = np.zeros((900, 900), dtype=dtype)
    cells[0, : len(values)] = values  # first stored row = southern edge
    return cells


def test_radolan_two_bytes_hold_value_and_flags(tmp_path):
    cells = radolan_cells([123, 0x1000 | 50, 0x2000 | 2500, 0x8000 | 7, 4095])
    frame = one("radolan", fakes.radolan(tmp_path / "raa01-ry---bin", cells))
    south = frame.values[-1]
    np.testing.assert_allclose(south[:6], [1.23, 0.5, NAN, NAN, 40.95, 0], rtol=1e-6)
    assert (frame.quantity, frame.period, frame.packing) == (Quantity.RAIN_AMOUNT, 300.0, Packing(0.01, 0.0))
    assert not frame.values[0].any()


def test_radolan_negative_values_are_below_the_physical_range(tmp_path):
    frame = one("radolan", fakes.radolan(tmp_path / "a-bin", radolan_cells([0x4000 | 5])))
    assert frame.values[-1, 0] == pytest.approx(-0.05)


def test_radolan_precision_and_interval_are_the_headers(tmp_path):
    path = fakes.radolan(tmp_path / "a-bin", radolan_cells([25]), "RW", precision="E-01", minutes=60)
    frame = one("radolan", path)
    assert frame.values[-1, 0] == pytest.approx(2.5)
    assert frame.period == 3600.0
    assert frame.time == np.datetime64("2016-12-21T00:55:00")


def test_radolan_rx_is_reflectivity_in_one_byte(tmp_path):
    frame = one("radolan", fakes.radolan(tmp_path / "a-bin", radolan_cells([0, 66, 249, 250], "u1"), "RX"))
    np.testing.assert_allclose(frame.values[-1, :4], [-32.5, 0.5, NAN, NAN])
    assert frame.no_echo == -32.5


def test_radolan_corner_is_that_of_the_format_description(tmp_path):
    grid = one("radolan", fakes.radolan(tmp_path / "a-bin", radolan_cells([]))).grid
    assert grid.x[0] - 500 == pytest.approx(-523_462.2, abs=1)
    assert grid.y[-1] - 500 == pytest.approx(-4_658_645, abs=1)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_radolan_may_be_packed(tmp_path, pack):
    path = fakes.radolan(tmp_path / "a-bin", radolan_cells([5]))
    path.write_bytes(pack(path.read_bytes()))
    assert one("radolan", path).values[-1, 0] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b[:-2], "expected 1620000 for 900 x 900"),
        (lambda b: b.replace(b"\x03", b" ", 1), "ETX"),
        (lambda b: b.replace(b"PR E-02", b"       "), "PR E-01"),
        (lambda b: b.replace(b"INT   5", b"INT   0"), "interval of 0"),
        (lambda b: b.replace(b"GP 900x 900", b"GP 100x 100"), "none of RADOLAN's"),
        (lambda b: b"xx" + b, "not like RY"),
        (lambda b: b.replace(b"RY2100", b"RY9900"), "holds no time"),
    ],
)
def test_radolan_defects_are_named(tmp_path, spoil, message):
    path = fakes.radolan(tmp_path / "a-bin", radolan_cells([]))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataFormatError, match=message):
        reader("radolan").read(path)


# -- UK Met Office -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lwe_precipitation_rate", "rainfall_rate"])
def test_ukmo_calls_its_rain_by_one_of_two_names(tmp_path, name):
    stored = np.array([[[0, 1e-6], [2e-6, 3e-6]]], dtype=np.float32)
    path = fakes.cf(tmp_path / "a.nc", stored, name=name, attributes={"units": "m s-1", "standard_name": name})
    np.testing.assert_allclose(one("ukmo_netcdf", path).values, [[0, 3.6], [7.2, 10.8]], rtol=1e-5)
