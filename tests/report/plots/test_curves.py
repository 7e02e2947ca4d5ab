"""Curves of scores by lead time."""

import dataclasses

import numpy as np
import pytest

from nowcast.report.plots import curves as score_plot
from nowcast.report.plots.curves import plot_scores
from tests.report.test_tables import scores_of


def lines_of(monkeypatch, models, score, path):
    """The figure that plot_scores saves."""
    figures, save = [], score_plot.Figure.savefig

    def keep(self, *args, **kwargs):
        figures.append(self)
        return save(self, *args, **kwargs)

    monkeypatch.setattr(score_plot.Figure, "savefig", keep)
    plot_scores(models, score, path)
    return figures[0]


def test_curves_with_gaps(tmp_path, monkeypatch):
    models = [scores_of("a"), scores_of("b", hole=True)]
    figure = lines_of(monkeypatch, models, "csi", tmp_path / "csi.png")
    assert [axes.get_title() for axes in figure.axes] == [f"rain rate ≥ {k} mm h$^{{-1}}$" for k in ("0.5", "5")]
    for k, axes in enumerate(figure.axes):
        for line, model in zip(axes.get_lines(), models, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), model.lead_minutes)
            np.testing.assert_array_equal(line.get_ydata(), model.scores["csi"][k])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    colours = [[line.get_color() for line in axes.get_lines()] for axes in figure.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2


@pytest.mark.parametrize("score", ["csi", "bias", "hss", "ets"])
def test_every_defined_value_is_inside_its_panel(tmp_path, monkeypatch, score):
    model = scores_of("a", hole=True)
    model.scores[score][0, :3] = [-0.3, 0.0, 7.0]
    for axes in lines_of(monkeypatch, [model, scores_of("b")], score, tmp_path / "s.png").axes:
        low, high = axes.get_ylim()
        values = np.concatenate([line.get_ydata() for line in axes.get_lines()]).astype(float)
        assert low < np.nanmin(values)
        assert high > np.nanmax(values)
        assert axes.get_xlim()[1] > 40


def test_a_panel_without_any_value_says_so(tmp_path, monkeypatch):
    model = scores_of("a")
    model.scores["csi"][1] = np.nan
    figure = lines_of(monkeypatch, [model], "csi", tmp_path / "s.png")
    notes = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert notes == [[], ["undefined (no such rain)"]]
    model.scores["csi"][:] = np.nan
    assert plot_scores([model], "csi", tmp_path / "s.png").exists()


def test_one_threshold_and_one_lead_time(tmp_path):
    assert plot_scores([scores_of("a", steps=1)], "csi", tmp_path / "new" / "s.png").exists()


def test_scores_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no scores"):
        plot_scores([], "csi", tmp_path / "none.png")
    with pytest.raises(ValueError, match="unknown score 'rmse'; known: csi, pod"):
        plot_scores([scores_of("a")], "rmse", tmp_path / "none.png")
    other = dataclasses.replace(scores_of("b"), thresholds=(0.5, 10.0))
    with pytest.raises(ValueError, match="b and a have other thresholds"):
        plot_scores([scores_of("a"), other], "csi", tmp_path / "none.png")
    assert not list(tmp_path.iterdir())
