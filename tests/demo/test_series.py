from __future__ import annotations

import numpy as np

from grus.demo.series import read_co2


def test_read_co2_has_its_gaps() -> None:
    panel = read_co2()
    (series,) = panel
    assert len(series) == 2284
    assert np.isnan(series.target).sum() == 59
    assert (panel.step.name, panel.step.season) == ("W-SAT", 52)
    assert str(series.times[0].astype("datetime64[D]")) == "1958-03-29"
    # The first and the last week as statsmodels has them.
    assert (series.target[0], series.target[-1]) == (316.1, 371.5)
