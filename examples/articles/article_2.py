"""Article 2: English to digits, GRU(256) over steps of 10 features. Of "threeoneone…" every letter must tell the digit spelled before its own."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from grus.nn import GRU

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letters, self.gru, self.digits = nn.Embedding(26, 10), GRU(10, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, letters: Tensor) -> Tensor:
        return self.digits(self.gru(self.letters(letters))[0])


def spelled(digits: list[int]) -> list[tuple[int, int]]:
    return [(ord(letter) - ord("a"), before) for before, own in pairwise([0, *digits]) for letter in WORDS[own]][:40]


def main(epochs: int = 10) -> tuple[float, float]:
    torch.manual_seed(0)
    letters, digits = torch.tensor([spelled(row) for row in torch.randint(10, (1500, 15)).tolist()]).unbind(-1)
    network = Translator()
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(epochs):
        for rows in torch.randperm(1280).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(letters[rows]).transpose(1, 2), digits[rows]).backward()
            optimiser.step()
    right = (network(letters[1280:]).argmax(-1) == digits[1280:]).double().mean().item()
    print(f"accuracy {right:.3f} on other digits; a guess has {1 / 10}")
    return right, 1 / 10


if __name__ == "__main__":
    main()
