"""The context of a figure: group, estimators, layers, style and size, resolved once for all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict, TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from infoplane import layer_patterns
from infoplane.calls import text_or_none, texts
from infoplane.estimators.quantities import Quantity
from infoplane.plots.canvas import clock, page
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.titles import figure_titled, titled
from infoplane.plots.labels import bound_label, middle_cut
from infoplane.plots.many_layers import by_block
from infoplane.plots.view import SIZES, View
from infoplane.results.curves import Curves
from infoplane.results.verdicts import Phase


class Options(TypedDict, total=False):
    """The options of every figure.

    Parameters
    ----------
    ax : Axes, optional
        Where to draw: a panel into these axes; several panels take their place in their figure,
        and the first of them is returned (all are ``.figure.axes``). A new figure by default.
    group : str, optional
        Group of runs; the first by default.
    layers : sequence of str, optional
        Layers to draw, by patterns as in `infoplane.layer_patterns`. By default all, or as many as
        there is room for, evenly taken.
    style : {"paper", "talk", "dark"}, default "paper"
        See `infoplane.plots.canvas.style`.
    size : str or float, default "double"
        Width: a name of `infoplane.plots.canvas.page.SIZES`, or inches.
    """

    ax: Axes | None
    group: str | None
    layers: Sequence[str] | None
    style: str
    size: str | float


class EstimatorOptions(Options, total=False):
    """The options of figures of one estimator: those of every figure and its ``estimator``.

    Parameters
    ----------
    estimator : str, optional
        Its id in the results. By default the one that says most of those that have what the figure
        needs, see `infoplane.results.choice`.
    """

    estimator: str | None


_RETURNS = """
    Returns
    -------
    Axes
        The first panel; all of them are ``.figure.axes``.
"""

FAR = 1.6
"""Times the highest value: bounds beyond that would press what is drawn together."""

OTHERS = "; --layers chooses others."


class QuantityOptions(EstimatorOptions, total=False):
    """The options of figures of one quantity: those of one estimator and its ``quantity``.

    Parameters
    ----------
    quantity : str, optional
        Its name. By default I(X;T), or DSE without it, or the first that there is.
    """

    quantity: str | None


F = TypeVar("F", bound=Callable[..., Axes])


def figure(options: type) -> Callable[[F], F]:
    """Write the options that figures share into signature and docstring of one.

    Parameters
    ----------
    options : type
        `Options` or what it is extended to; the figure takes them as ``**options``.
    """
    defaults = {"style": "paper", "size": "double"}
    kinds = {
        name: getattr(kind, "__forward_arg__", kind)
        for name, kind in options.__annotations__.items()
    }
    told = f"    **options\n        See `infoplane.plots.drawing.{options.__name__}`.\n"

    def decorate(function: F) -> F:
        signature, keyword = inspect.signature(function), inspect.Parameter.KEYWORD_ONLY
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shared = [
            inspect.Parameter(name, keyword, default=defaults.get(name), annotation=kind)
            for name, kind in kinds.items()
        ]
        parameters = signature.replace(parameters=[*own, *shared])
        function.__signature__ = parameters  # type: ignore[attr-defined]  # read by inspect
        function.__doc__ = function.__doc__ and _completed(function.__doc__, told)
        return function

    return decorate


def _completed(docstring: str, told: str) -> str:
    """Return a docstring with the shared options after its parameters, and what is returned."""
    head, *rest = re.split(r"(?=\n    (?:Returns|Raises)\n)", docstring, maxsplit=1)
    more = told if "Parameters" in head and "**options" not in head else ""
    returns = "" if "    Returns\n" in docstring else _RETURNS
    return "".join([head, more, returns, *rest])


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure: the document, what was chosen of it, and the place to draw in."""

    view: View
    group: str
    estimator: str  # "" where the figure is of several, or chooses it itself
    quantity: str  # name of what the figure is of, "" likewise
    wanted: Sequence[str] | None  # layers
    ax: Axes | None
    size: str | float
    aside: tuple[str, ...] = ()  # what is said of estimators that are not drawn
    plane: tuple[str, str] = ("ixt", "ity")  # quantities of the axes of a plane
    upwards: str = ""  # estimator of the second of them, where that is another one

    @cached_property
    def ceiling(self) -> float | None:
        """log2 N in bits, if all runs share it, it bounds what is drawn, and it is near."""
        if self.plane[0] not in SIZES:
            return None
        ceiling = self.view.ceiling(self.group, self.estimator or None)
        sizes = [c.values for c in self.view.of_group(self.group, self.estimator or None)
                 if c.quantity in SIZES]  # fmt: skip
        highest = max((float(look.finite(size).max(initial=0.0)) for size in sizes), default=0.0)
        return None if ceiling is None or ceiling > FAR * highest else ceiling

    @cached_property
    def label_entropy(self) -> float | None:
        """H(Y) in bits, if all runs share it, and it bounds what is drawn."""
        return self.view.label_entropy(self.group) if self.plane[1] == "ity" else None

    @cached_property
    def units(self) -> dict[str, int]:
        """Units of each layer."""
        return self.view.units(self.group)

    @property
    def about(self) -> Quantity:
        """What the figure is of."""
        return self.view.quantity(self.quantity)

    @property
    def unit(self) -> str:
        """The unit of the information in the document: bits."""
        return self.view.quantity("ixt").unit

    def curve(self, layer: str, quantity: str = "") -> Curves | None:
        """Return the curve of a layer, None where there is neither a number nor a bracket."""
        key = self._key(layer, quantity)
        if self.upwards and quantity == self.plane[1]:
            key = (self.group, layer, self.upwards, quantity)
        found = self.view.curves.get(key)
        return found if found is not None and found.says_something else None

    def phase(self, layer: str, quantity: str = "") -> Phase:
        """Return the phase of a layer, one that says nothing where there is none."""
        key = self._key(layer, quantity)
        return self.view.phases.get(key) or Phase(*key)

    def _key(self, layer: str, quantity: str) -> tuple[str, str, str, str]:
        return self.group, layer, self.estimator, quantity or self.quantity

    def layers(self, quantity: str | None = None) -> list[str]:
        """Return the layers that are wanted, in order of the forward pass.

        Raises
        ------
        NotFoundError
            If one of them is not there.
        """
        return self.view.layers(self.group, self.estimator or None, quantity, among=self.wanted)

    def bounds(self, curves: Sequence[Curves]) -> str:
        """Return the upper bounds of layers as text, nothing where there are none."""
        known = {(c.bound, c.bound_name) for c in curves if c.bound is not None}
        if not known:
            return ""
        low, high = (self.view.bound(self.quantity, end(known)[0]) for end in (min, max))
        name = min(known)[1] if len({name for _, name in known}) == 1 else "bound"
        return bound_label(name, low if low == high else f"{low} … {high}", self.about.unit)

    @property
    def about_labels(self) -> str:
        """What is said where a probe reads more of the label than the I(T;Y) that is drawn."""
        if self.plane[1] != "ity":
            return ""
        return self.view.about_labels(self.group, self.upwards or self.estimator)

    def wants(self, layer: str) -> bool:
        """Tell whether a layer is to be drawn."""
        return self.wanted is None or layer in self._chosen

    @cached_property
    def _chosen(self) -> set[str]:
        return {*self.among(self.view.layers(self.group))}

    def among(self, layers: Sequence[str]) -> list[str]:
        """Return those of some layers that are to be drawn."""
        about = self.view.layer_names.about(self.group, layers)
        return layer_patterns.chosen(self.wanted or (), about)

    def few(self, layers: Sequence[str], most: int) -> list[str]:
        """Return ``most`` of the layers, spread over blocks, or those that are named one by one."""
        chosen = self.among(layers)
        each = self.wanted and all(layer in self.wanted for layer in chosen)
        return chosen if each else by_block(chosen, most)

    def abreast(self, least: float) -> int:
        """Return how many panels stand side by side, see `infoplane.plots.canvas.page.abreast`."""
        return page.abreast(self.width, None, least)

    @cached_property
    def width(self) -> float:
        """Inches across, of the figure or of the axes that it takes the place of."""
        return page.inches(self.size) if self.ax is None else page.width(self.ax)

    def area(self, height: float) -> Figure | SubFigure:
        """Return where several panels are drawn, see `infoplane.plots.canvas.page.area`."""
        return page.area(self.ax, self.size, height)

    def axes(self, height: float) -> Axes:
        """Return the axes of a figure of one panel."""
        return page.axes(self.ax, self.size, height)

    def title(self, ax: Axes, words: str, *, more: str = "", most: int = 48) -> None:
        """Write title and second line above a single panel."""
        titled(ax, self._heading(words, most), self._subtitle() + more)

    def finish(
        self,
        figure: Figure | SubFigure,
        words: str,
        notes: Sequence[str] = (),
        handles: Sequence[Artist] = (),
        *,
        most: int = 48,
    ) -> None:
        """Write title, legend and notes around several panels; it runs the layout."""
        apart = self.view.not_averaged(self.group, self.estimator or None, self.quantity or None)
        notes = [*notes, *(note for text in apart for note in as_note(text))]
        figure_titled(figure, self._heading(words, most), self._subtitle(), notes, handles)

    def _heading(self, words: str, most: int) -> str:
        return f"{words} — {middle_cut(look.drawable(self.group), most)}"

    def _subtitle(self) -> str:
        told = self.view.subtitle(self.group, self.estimator or None)
        return " · ".join([told, *self.view.one_of_groups, *map(look.drawable, self.aside)])


@contextmanager
def drawing(
    results: Mapping[str, Any] | View,
    *needs: str,
    quantity: str | None = None,
    first: Sequence[str] = (),
    ax: Axes | None = None,
    estimator: str | None = None,
    group: str | None = None,
    layers: Sequence[str] | None = None,
    style: str = "paper",
    size: str | float = "double",
) -> Iterator[Drawing]:
    """Resolve what a figure is drawn of, and apply its style as long as it is drawn.

    Parameters
    ----------
    results : mapping or View
        A results document.
    *needs : str
        Quantities that the estimator must have.
    quantity : str, optional
        The one quantity that the figure is of.
    first : sequence of str
        What a figure of one quantity is of by default, the first that is there.
    ax, estimator, group, layers, style, size
        See `Options` and `EstimatorOptions`.

    Raises
    ------
    InputError
        If there is no such quantity.
    NotFoundError
        If there is no such group, or no estimator with these quantities.
    """
    layers = None if layers is None else texts(layers, "layers")
    for argument, value in (("quantity", quantity), ("estimator", estimator), ("group", group)):
        text_or_none(value, argument)
    view = View.of(results)
    group = view.group(group)
    with look.context(style), clock.counting(view.epochs):
        if first:
            needs = (view.main_quantity(quantity, first, group, estimator),)
        aside: tuple[str, ...] = ()
        if needs:
            chosen = view.estimator(estimator, *needs, group=group)
            if estimator is None:
                able, choice = view.estimators(*needs, group=group), view.choice(group, *needs)
                aside = tuple(text for e, text in choice.folded.items() if e in able)
            estimator = chosen
        yield Drawing(view, group, estimator or "", (*needs, "")[0], layers, ax, size, aside)


def as_note(text: str) -> list[str]:
    """Return a text as the note of a figure; none of an empty one."""
    return [look.drawable(f"{text[0].upper()}{text[1:]}.")] if text else []


def left_out(
    shown: Sequence[object], have: Sequence[object], tail: str = ".", what: str = "layers"
) -> list[str]:
    """Return the note that some layers, or others of a kind, are not drawn."""
    if len(shown) == len(have):
        return []
    return [f"{len(shown)} of {len(have)} {what} shown{tail}"]
