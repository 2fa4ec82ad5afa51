"""Article 5: initialisers, regularisers, a mask and the training strategy, by name. CO₂ half a year on, from one to two years of weeks with gaps."""

import numpy as np
from statsmodels.datasets import co2

from grus import SequenceRegressor


def main(epochs: int = 30) -> tuple[float, float]:
    weeks, draw = co2.load_pandas().data["co2"].to_numpy(), np.random.default_rng(0)
    ends = np.array([end for end in range(104, len(weeks) - 26, 2) if np.isfinite(weeks[[end - 52, end - 26, end, end + 26]]).all()])
    past = [weeks[end - draw.integers(52, 104) : end + 1] - weeks[end] for end in ends]  # of unequal length; NaN is what was not measured
    ahead, count = weeks[ends + 26] - weeks[ends], int(0.8 * len(ends))
    model = SequenceRegressor(
        cell="gru_reset_before",
        missing="linear+mask",
        epochs=epochs,
        model={"initialiser": {"W_*": "glorot_uniform", "U_*": "orthogonal", "b_*": "zeros"}},
        training={
            "optimiser": "rmsprop",
            "schedule": "exponential",
            "clip_norm": 1.0,
            "penalties": [{"kind": "kernel", "l2": 1e-5}, {"kind": "recurrent", "orthogonality": 1e-4}, {"kind": "bias", "l1": 1e-6}],
        },
    ).fit(past[:count], ahead[:count])
    year_before = weeks[ends - 26] - weeks[ends - 52]  # how far the same half of a year went
    ours, naive = (np.abs(said - ahead[count:]).mean() for said in (model.predict(past[count:]), year_before[count:]))
    print(f"mean absolute error {ours:.2f} ppm in the last fifth; the change a year before has {naive:.2f}")
    return ours, naive


if __name__ == "__main__":
    main()
