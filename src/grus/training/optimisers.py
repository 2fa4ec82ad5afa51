"""Optimisers by name: PyTorch's own, with their own options, over groups of parameters."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop

from grus.errors import OptionError
from grus.training.named import nearest, unknown_option

if TYPE_CHECKING:
    from grus.training.settings import ParameterGroup, TrainingSettings

OPTIMISERS: dict[str, type[Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "nadam": NAdam,
    "radam": RAdam,
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "lbfgs": LBFGS,
}
FUSED = ("adamw", "adam", "sgd", "adagrad")  # a quarter of the time per step of a small network
GIVEN = ("params", "lr", "weight_decay")  # have settings of their own
NOT_HERE = ("foreach", "fused", "capturable", "differentiable", "maximize")  # how it is computed, or not a descent


def options_of(optimiser: str) -> dict[str, Any]:
    """The options that PyTorch's optimiser of that name takes beside the rate and the decay, with their defaults."""
    parameters = inspect.signature(OPTIMISERS[optimiser]).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in (*GIVEN, *NOT_HERE)}


def check_options(optimiser: str, options: Mapping[str, Any]) -> None:
    """Raises: OptionError for an option that the optimiser does not have, with the nearest that it has, or for a value that it refuses."""
    allowed = options_of(optimiser)
    for name in options:
        if name not in allowed:
            raise unknown_option("optimiser", optimiser, allowed, name)
    if not options:  # PyTorch's own; to make an optimiser brings its compiler, which takes as long to import as PyTorch
        return
    make: Any = OPTIMISERS[optimiser]
    try:
        make([nn.Parameter(torch.zeros(1))], lr=1.0, **options)
    except (ValueError, TypeError, RuntimeError) as error:  # PyTorch's own words say which one
        raise OptionError(
            f"TrainingSettings: optimiser_options must be values that {make.__name__} takes, got {dict(options)} ({error}); change or leave them out."
        ) from error


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser over the parameters that learn. A parameter belongs to the first of the settings' groups that names it; weight decay is on
    matrices only, unless a group says otherwise for its own.

    Raises: OptionError where no parameter learns, a group names none, or the optimiser cannot do what is asked.
    """
    learning = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if not learning:
        raise OptionError("fit: network must have parameters that learn, got none with requires_grad; unfreeze some of them.")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, group in _grouped(list(learning), settings.groups).items():
        factor = 1.0 if group is None else group.rate_factor
        decay = settings.weight_decay if learning[name].dim() > 1 else 0.0
        if group is not None and group.weight_decay is not None:
            decay = group.weight_decay
        if factor > 0:
            groups.setdefault((factor, decay), []).append(learning[name])
    if not groups:
        raise OptionError("fit: groups must leave a parameter that learns, got a rate_factor of 0 for all; give one a factor above 0.")
    options: dict[str, Any] = dict(settings.optimiser_options)
    if settings.optimiser == "lbfgs":
        if len(groups) > 1 or next(iter(groups))[1] > 0:
            raise OptionError("fit: optimiser 'lbfgs' must have one group without weight decay, got others; leave groups and weight_decay out.")
        ((factor, _), weights) = next(iter(groups.items()))
        return LBFGS(weights, lr=settings.learning_rate * factor, **options)
    parts = [
        {"params": weights, "lr": settings.learning_rate * factor, "weight_decay": decay}
        for (factor, decay), weights in sorted(groups.items(), reverse=True)
    ]
    if settings.optimiser in FUSED:
        options["fused"] = True
    make: Any = OPTIMISERS[settings.optimiser]
    return make(parts, lr=settings.learning_rate, **options)


def _grouped(names: Sequence[str], groups: Sequence[ParameterGroup]) -> dict[str, ParameterGroup | None]:
    """The group of each parameter.

    Raises: OptionError for a group that names no parameter which no group before it names.
    """
    found = {name: next((group for group in groups if fnmatchcase(name, group.names)), None) for name in names}
    for group in groups:
        if group not in found.values():
            remedy = nearest(group.names, names, f"they are {', '.join(names[:8])}{' …' if len(names) > 8 else ''}.")
            raise OptionError(f"fit: groups must name parameters that learn and no group before names, got none for {group.names!r}; {remedy}")
    return found
