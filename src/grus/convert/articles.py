"""Weights as the five articles that Grus began from write them, to and from the neutral form.

Articles 1, 3 and 5 give a gate one matrix over a concatenation: W [h, x] with W [H, H + I] is U h + W x with U the first H columns and W
the others. Articles 2 and 4 give two matrices, and the listing of article 5 shares one set; those cells keep the articles' names.
In article 5, as in ``gru_reset_before``, z = 1 takes the new value; ``flip_update_gate`` turns such a gate into PyTorch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from grus.cells import get
from grus.convert.parameters import Array, Parameters, Sizes, as_array, bind, check_names, check_one_dtype, check_parameters, check_rank, check_shape
from grus.errors import OptionError, ShapeError


@dataclass(frozen=True)
class ArticleForm:
    """``joined``: a matrix over [h, x] and the matrices of its two parts; ``renamed``: an array and its name in the cell."""

    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])


def _gates(letters: str) -> dict[str, tuple[str, str]]:
    return {f"W_{gate}": (f"U_{gate}", f"W_{gate}") for gate in letters}


FORMS = {
    "article_blend": ArticleForm(joined=_gates("fioc") | {"W_y": ("W_y", "V_y")}),
    "rnn_tanh": ArticleForm(renamed={"W_hh": "U", "W_xh": "W", "b_h": "b"}),
    "article_no_carry": ArticleForm(),
    "article_cell_state": ArticleForm(joined=_gates("rzo")),
    "article_cell_state_gated": ArticleForm(joined=_gates("rzo")),
    "article_output_gate": ArticleForm(),
    "gru_reset_before": ArticleForm(joined=_gates("zr") | {"W": ("U_n", "W_n")}, renamed={"b": "b_n"}),
    "article_tied_gates": ArticleForm(),
}


def article_names(cell: str) -> tuple[str, ...]:
    """The names of the arrays in the article's form of ``cell``.

    Example:
        >>> article_names("gru_reset_before")
        ('W_z', 'W_r', 'W', 'b_r', 'b_z', 'b')
    """
    form = _form("article_names", cell)
    parts = {part for pair in form.joined.values() for part in pair}
    originals = {own: name for name, own in form.renamed.items()}
    return (*form.joined, *(originals.get(parameter.name, parameter.name) for parameter in get(cell).parameters if parameter.name not in parts))


def from_article(arrays: Mapping[str, object], cell: str) -> Parameters:
    """The parameters of ``cell`` from the arrays of its article, under the article's names.

    Raises: OptionError for missing or unknown names; ShapeError, DtypeError naming the array.
    Example:
        >>> joined = {"W_z": np.ones((3, 5)), "W_r": np.ones((3, 5)), "W": np.ones((3, 5))}
        >>> parameters = from_article(joined | {"b_z": np.ones(3), "b_r": np.ones(3), "b": np.ones(3)}, "gru_reset_before")
        >>> parameters["U_n"].shape, parameters["W_n"].shape
        ((3, 3), (3, 2))
    """
    who = "from_article"
    form = _form(who, cell)
    names = article_names(cell)
    check_names(who, f"the article's arrays of {cell}", arrays, names)
    given = {name: as_array(who, name, arrays[name]) for name in names}
    check_one_dtype(who, given)
    dims = {parameter.name: parameter.shape for parameter in get(cell).parameters}
    sizes: Sizes = {}
    parameters: Parameters = {}
    for name, array in given.items():
        if name in form.joined:
            state, fresh = form.joined[name]
            parameters[state], parameters[fresh] = _split(who, name, array, dims[state][0], sizes)
        else:
            own = form.renamed.get(name, name)
            bind(who, name, array, dims[own], sizes)
            parameters[own] = array
    return parameters


def to_article(parameters: Mapping[str, object], cell: str) -> dict[str, Array]:
    """The arrays of the article that defines ``cell``, under the article's names: the inverse of ``from_article``.

    Raises: OptionError for missing or unknown names; ShapeError, DtypeError naming the array.
    """
    who = "to_article"
    form = _form(who, cell)
    own, _ = check_parameters(who, cell, parameters)
    names = article_names(cell)
    return {
        name: np.concatenate([own[part] for part in form.joined[name]], axis=1) if name in form.joined else own[form.renamed.get(name, name)]
        for name in names
    }


def _form(who: str, cell: str) -> ArticleForm:
    if cell not in FORMS:
        raise OptionError(f"{who}: cell must be one that an article defines ({', '.join(FORMS)}), got {cell!r}; pass one of those.")
    return FORMS[cell]


def _split(who: str, name: str, joined: Array, rows: str, sizes: Sizes) -> tuple[Array, Array]:
    """The parts of a matrix over [h, x]; the first one, a gate's, tells H and I."""
    letters = f"{rows}, H + I"
    check_rank(who, name, joined, letters)
    hidden = sizes.setdefault("H", joined.shape[0])
    if joined.shape[1] <= hidden:
        raise ShapeError(
            f"{who}: {name} must be [{letters}] over [h, x] with H = {hidden}, got {list(joined.shape)}; transpose it if it is [h, x] first."
        )
    inputs = sizes.setdefault("I", joined.shape[1] - hidden)
    check_shape(who, name, joined, letters, (sizes.setdefault(rows, joined.shape[0]), hidden + inputs))
    return np.ascontiguousarray(joined[:, :hidden]), np.ascontiguousarray(joined[:, hidden:])
