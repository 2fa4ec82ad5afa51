"""Article 3: a number from 10 steps of one feature. From ten years of sunspots, those of the year after; the article's cell with two states."""

import numpy as np
from statsmodels.datasets import sunspots

from grus import SequenceRegressor


def main(epochs: int = 100) -> tuple[float, float]:
    years = np.lib.stride_tricks.sliding_window_view(sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(), 11)
    past, next_year = years[:, :10], years[:, 10]
    model = SequenceRegressor(cell="article_cell_state", epochs=epochs, training={"optimiser": "adam", "learning_rate": 3e-3})
    model.fit(past[:239], next_year[:239])  # learns by the squared error
    ours, naive = (np.sqrt(np.mean((said - next_year[239:]) ** 2)) for said in (model.predict(past[239:]), past[239:, -1]))
    print(f"root mean squared error of the last 60 years: {ours:.1f}; the year before as it was has {naive:.1f}")
    return ours, naive


if __name__ == "__main__":
    main()
