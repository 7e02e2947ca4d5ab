"""scripts/report_tables.py: the tables of pages, out of the files that an evaluation wrote."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "report_tables.py"
INTERVALS = """model,family,score,threshold_mmh,axis,position,lead_time,value,low,high,blocks,lead_times
ours,categorical,csi,0.5,,,30,0.5554,0.5,0.6,16,1
ours,categorical,csi,0.5,,,60,nan,nan,nan,16,0
ours,categorical,csi,0.5,,,mean,0.9,0.5,0.6,16,1
ours,categorical,bias,0.5,,,30,1.0449,1,1.1,16,1
ours,probability,brier,0.5,,,30,0.03178,0.03,0.04,16,1
ours,fractions,fss,0.5,window_cells,3,30,0.7,0.6,0.8,16,1
flow,categorical,csi,0.5,,,30,1,0.4,0.6,16,1
flow,probability,brier,0.5,,,30,0.0371,0.03,0.04,16,1
"""
DIFFERENCES = """\
model,other,family,score,threshold_mmh,axis,position,lead_time,difference,gain,low,high,verdict,blocks,lead_times
ours,flow,categorical,csi,0.5,,,30,-0.0223,-0.0223,-0.0385,0.009,level,16,1
ours,flow,probability,brier,0.5,,,30,-0.00532,0.00532,0.0035,0.0063,better,16,1
"""
EVENTS = """model,other,threshold_mmh,lead_time,ahead,level,behind
ours,flow,0.5,30,13,1,4
flow,ours,0.5,30,4,1,13
"""
TABLES = """\
| CSI (frequency bias) | ≥ 0.5, 30 min | ≥ 0.5, 60 min |
| --- | --- | --- |
| ours | .555 (1.04) | - |
| flow | 1.000 | - |

| ours - | ≥ 0.5, 30 min | ≥ 0.5, 60 min |
| --- | --- | --- |
| flow | -.022 (-.038 to .009) | - (- to -) |

| BRIER x 100 | ≥ 0.5, 30 min | ≥ 0.5, 60 min |
| --- | --- | --- |
| ours | 3.18 | - |
| flow | 3.71 | - |

| ours - | ≥ 0.5, 30 min | ≥ 0.5, 60 min |
| --- | --- | --- |
| flow | -0.53 (-0.63 to -0.35) | - (- to -) |

| ahead / level / behind | ≥ 0.5, 30 min | ≥ 0.5, 60 min |
| --- | --- | --- |
| flow | 13 / 1 / 4 | - |

"""


def tables(folder, monkeypatch, *arguments):
    for name, text in (("intervals", INTERVALS), ("differences", DIFFERENCES), ("events", EVENTS)):
        (folder / f"{name}.csv").write_text(text)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(folder), "--thresholds", "0.5", *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_tables_hold_what_the_files_do(tmp_path, monkeypatch, capsys):
    tables(tmp_path, monkeypatch, "--model", "ours", "--scores", "csi", "brier")
    signs = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{MULTIPLICATION SIGN}": "x"})
    assert capsys.readouterr().out.translate(signs) == TABLES


def test_a_model_that_was_not_scored_is_refused_with_those_that_were(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        tables(tmp_path, monkeypatch, "--model", "theirs")
    assert "--model theirs: scored were ours, flow" in capsys.readouterr().err
