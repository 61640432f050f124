"""Poisson regression with an exposure: the log of a rate, learned from counts (McCullagh and Nelder 1989, ch. 6)."""

from fusionkit.api import Config, Head, at_least_single
from pydantic import Field
from torch import nn


class PoissonConfig(Config):
    """Options of `head.poisson`."""

    events: list[str] = Field(["events"], min_length=1, max_length=1, description="What is counted, in one word.")


class Poisson(nn.Linear):
    """Features (B, c) to a log rate (B, 1). Missing rows are skipped."""

    def __init__(self, config, inputs):
        super().__init__(inputs[0].width, 1)

    def loss(self, output, target):
        """The negative log likelihood without its constant: (B, 1) and counts and exposures (B, 2) give (B,)."""
        return target[:, 1] * self.decode(output)[:, 0] - target[:, 0] * at_least_single(output)[:, 0]

    def decode(self, output):
        """The rate, (B, 1)."""
        return at_least_single(output).exp()

    def balance(self, counts):
        """Does nothing."""


component = Head("poisson", PoissonConfig, Poisson, rule="B _ -> B 1", task="rate", names="events", category="counts")
