"""Article 1: a softmax at every step. Of 100 images of digits, 64 features each, every step must tell the digit that stood one step before."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from grus.nn import Recurrent
from grus.training import TrainingSettings, fit

IMAGES, DIGITS = (torch.tensor(part, dtype=dtype) for part, dtype in zip(load_digits(return_X_y=True), (torch.float32, torch.int64), strict=True))


class Batches(list[tuple[Tensor, Tensor]]):
    def epoch(self, number: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self)


def draw(low: int, high: int, count: int) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(low, high, (count, 101))
    return IMAGES[chosen[:, 1:]] / 16, DIGITS[chosen[:, :-1]]


def loss(network: Recurrent, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    logits, digits = network(batch[0])[0][:, 1:], batch[1][:, 1:]  # the first step has nothing before it
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), digits, reduction="sum"), torch.tensor(digits.numel())


def main(epochs: int = 10) -> tuple[float, float]:
    torch.manual_seed(0)
    network = Recurrent("article_blend", 64, 128, batch_first=True, sizes={"O": 10})  # with the article's read-out, y = W_y [h', x] + b_y
    fit(network, loss, Batches(draw(0, 1200, 32) for _ in range(20)), None, TrainingSettings(epochs=epochs, learning_rate=1e-2))
    images, digits = draw(1200, len(IMAGES), 50)
    right = (network(images)[0].argmax(-1) == digits)[:, 1:].double().mean().item()
    print(f"accuracy {right:.3f} on images that it has not learnt from; a guess without memory has {1 / 10}")
    return right, 1 / 10


if __name__ == "__main__":
    main()
