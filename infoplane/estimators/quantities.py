"""The register of quantities: what estimators measure.

A quantity is declared once, by the estimator that returns it. Results carry its declaration, and
tables, figures, rules and exports read that.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from infoplane.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is measured: how it is called, written, counted and drawn.

    Parameters
    ----------
    name : str
        Name in results and rules: lower-case letters, digits and underscores.
    symbol : str
        How tables and figures write it, e.g. "I(X;T)".
    unit : str
        Its unit, e.g. "bits", "dimensions"; "ratio" and "share" are numbers without a unit.
    family : str, optional
        Quantities of one family measure the same thing, and their verdicts are counted together as
        agreement: "size", "labels", "inputs". Without one, only the settings of one estimator are.
    smallest_change : float, optional
        Smallest change over training that counts, in its unit; 5 % of the bound where that is
        less. Where none is given it is 5 % of the largest value, or of the bound if that is less.
    falls : str, default "falls"
        What a verdict calls a fall from the peak: I(X;T) "compresses".
    colour : str, default "#5A5A5A"
        Colour in figures, as "#RRGGBB".
    verdict : bool, default True
        Whether its curve gets a verdict. Parts that other quantities are made of need none.

    Examples
    --------
    >>> Quantity(name="participation_ratio", symbol="PR", unit="dimensions").axis
    'PR  [dimensions]'
    """

    name: str
    symbol: str
    unit: str
    family: str | None = None
    smallest_change: float | None = None
    falls: str = "falls"
    colour: str = "#5A5A5A"
    verdict: bool = True

    @property
    def axis(self) -> str:
        """The label of an axis: symbol and unit."""
        return f"{self.symbol}  [{self.unit}]"

    @property
    def rises(self) -> str:
        """What a verdict calls a rise; it goes with the word for a fall."""
        return {"compresses": "expands", "shrinks": "grows"}.get(self.falls, "rises")

    def word(self, verdict: str) -> str:
        """Return how a verdict of `infoplane.results.phases` is written for this quantity."""
        own = {"compresses": self.falls, "expands": self.rises}
        return own.get(verdict, verdict.replace("_", " "))


_BLUE, _RED, _GREEN, _PURPLE, _GREY = "#0072B2", "#D55E00", "#007A59", "#8F4E8B", "#5A5A5A"

IXT = Quantity("ixt", "I(X;T)", "bits", "size", 0.25, "compresses", _BLUE)
ITY = Quantity("ity", "I(T;Y)", "bits", "labels", 0.25, colour=_RED)
ITT = Quantity("itt", "I(Tᵢ;Tⱼ)", "bits", None, 0.25, colour=_PURPLE)
DSE = Quantity("dse", "DSE", "bits", "size", 0.25, "compresses", _GREEN)
DSMI_Y = Quantity("dsmi_y", "DSMI(T;Y)", "bits", "labels", 0.25, colour=_PURPLE)
DSMI_X = Quantity("dsmi_x", "DSMI(T;X)", "bits", "inputs", 0.25, colour=_PURPLE)
SIZE = Quantity("size", "log₂ D", "octaves", None, 0.25, "shrinks", _GREY)
IXT_FIXED = Quantity("ixt_fixed", "I(X;T) fixed σ", "bits", None, 0.25, "compresses", _BLUE)
IXT_SCALE = Quantity("ixt_scale", "scale part", "bits", None, 0.25, verdict=False)
IXT_GIVEN_Y = Quantity("ixt_given_y", "I(X;T|Y)", "bits", None, 0.25, verdict=False)
HT = Quantity("ht", "H(T)", "bits", None, 0.25, verdict=False)
HT_X = Quantity("ht_x", "H(T|X)", "bits", None, 0.25, verdict=False)
HT_Y = Quantity("ht_y", "H(T|Y)", "bits", None, 0.25, verdict=False)

_COUNT, _SHARE, _RATIO = "dimensions", "share", "ratio"

SPECTRAL = (
    Quantity("effective_rank", "effective rank", _COUNT, colour=_GREEN),
    Quantity("rankme", "RankMe", _COUNT, colour=_BLUE),
    Quantity("participation_ratio", "PR", _COUNT, colour=_GREEN),
    Quantity("stable_rank", "stable rank", _COUNT, colour=_GREEN),
    Quantity("alpha_req", "α", "exponent", smallest_change=0.1, colour=_RED),
    Quantity("vne", "VNE", "bits", smallest_change=0.25, colour=_PURPLE),
    Quantity("vne_centred", "VNE centred", "bits", smallest_change=0.25, colour=_PURPLE),
    Quantity("saturation", "saturation", _SHARE, smallest_change=0.05, colour=_GREY),
)
"""Of the eigenvalues of a layer; `infoplane.numerics.spectral_measures` defines them."""
RENYI_ENTROPY = Quantity("renyi_entropy", "Hₐ(T)", "bits", smallest_change=0.25, verdict=False)

COLLAPSE = (
    Quantity("nc1", "NC1", _RATIO, colour=_BLUE),
    Quantity("nc1_quotient", "NC1 quotient", _RATIO, colour=_BLUE),
    Quantity("cdnv", "CDNV", _RATIO, colour=_BLUE),
    Quantity("nc2_equinorm", "NC2 norms", _RATIO, colour=_GREEN),
    Quantity("nc2_equiangle", "NC2 angles", _RATIO, colour=_GREEN),
    Quantity("nc2_etf", "NC2 simplex", _RATIO, colour=_GREEN),
    Quantity("label_alignment", "CKA(T,Y)", _RATIO, smallest_change=0.05, colour=_RED),
    Quantity("class_separation", "between classes", _SHARE, smallest_change=0.05, colour=_RED),
    Quantity("centroid_nuclear_norm", "‖C‖∗", "norm", colour=_PURPLE),
)
"""Of the classes in a layer; `infoplane.numerics.collapse` defines them."""
OF_HEAD = (
    Quantity("nc3", "NC3", _RATIO, colour=_PURPLE),
    Quantity("nc4", "NC4", _SHARE, smallest_change=0.02, colour=_PURPLE),
)
"""Of the features and the head that is given them; `infoplane.numerics.collapse` defines them."""
RDM_STABILITY = Quantity("rdm_stability", "RDM stability", _RATIO, None, 0.05, colour=_GREY)

DIMENSIONS = (
    Quantity("intrinsic_dimension", "ID", _COUNT, colour=_GREEN),
    Quantity("intrinsic_dimension_mle", "ID (MLE)", _COUNT, colour=_GREEN, verdict=False),
)
"""Of the neighbours of samples: by the first two of them, and by twenty."""

PROBE = Quantity("probe", "probe accuracy", _SHARE, smallest_change=0.02, colour=_RED)
KNN = Quantity("knn", "kNN accuracy", _SHARE, smallest_change=0.02, colour=_PURPLE)
PROBE_R2 = Quantity("probe_r2", "probe R²", _SHARE, smallest_change=0.02, colour=_RED)
OUTPUT = (
    Quantity("output_entropy", "H(Ŷ|X)", "bits", smallest_change=0.1, colour=_BLUE),
    Quantity("ixy", "I(X;Ŷ)", "bits", smallest_change=0.1, colour=_GREEN),
    Quantity("ixy_given_y", "I(X;Ŷ|Y)", "bits", smallest_change=0.1, colour=_PURPLE),
    Quantity("ity_bound", "H(Y) − CE", "bits", smallest_change=0.1, colour=_RED),
    Quantity("ece", "ECE", _SHARE, smallest_change=0.01, colour=_GREY),
    Quantity("ece_debiased", "ECE debiased", _SHARE, colour=_PURPLE, verdict=False),
    Quantity("output_divergence", "JS of steps", "bits", colour=_BLUE, verdict=False),
)
"""Of what a network predicts; `infoplane.numerics.outputs` defines them."""

CSX = Quantity("csx", "CS(X;T)", "bits", colour=_BLUE)
CSY = Quantity("csy", "CS(T;Y)", "bits", colour=_RED)

ITY_NORMAL = Quantity("ity_normal", "I(T;Y) normal", "bits", smallest_change=0.25, colour=_RED)

ATTENTION_ENTROPY = Quantity(
    "attention_entropy", "attention entropy", "bits", smallest_change=0.25, colour=_PURPLE
)
ATTENTION_SHARE = Quantity(
    "attention_share", "attention share", _SHARE, smallest_change=0.05, colour=_PURPLE
)

LOSSES = (
    Quantity("prequential_excess_bits", "excess bits", "bits", verdict=False),
    Quantity("loss_sharpness", "sharpness", _SHARE, colour=_RED, verdict=False),
    Quantity("loss_exponent", "β", "exponent", colour=_BLUE, verdict=False),
    Quantity("loss_floor", "L∞", "bits", colour=_GREEN, verdict=False),
)
"""Of the loss log; `infoplane.estimators.steps.prequential` defines them."""

CURVATURE = (
    Quantity("hessian_top", "λ₁(H)", "curvature", colour=_RED, verdict=False),
    Quantity("hessian_trace", "tr H", "curvature", colour=_BLUE, verdict=False),
    Quantity("stability_limit", "2/η", "curvature", colour=_GREY, verdict=False),
    Quantity("fisher_trace", "tr F", "curvature", colour=_PURPLE, verdict=False),
)
"""Of the loss on the probe set; `infoplane.recording.curvature` defines them."""

TRAINING = tuple(quantity.name for quantity in (*LOSSES, *CURVATURE))
"""Names of what is read of the training itself, not of layers."""

WEIGHTS = (
    Quantity("condition_number", "κ(W)", _RATIO, colour=_RED),
    Quantity("log_volume", "log-volume", "ln", smallest_change=0.05, colour=_PURPLE),
    Quantity("weight_stable_rank", "stable rank W", _COUNT, colour=_GREEN),
    Quantity("spectral_norm", "‖W‖₂", "norm", colour=_BLUE),
    Quantity("frobenius_norm", "‖W‖", "norm", colour=_BLUE),
    Quantity("weight_alpha", "α(W)", "exponent", smallest_change=0.1, colour=_RED),
    Quantity("weight_distance", "‖ΔW‖/‖W₀‖", _RATIO, colour=_GREY),
)
"""Of the singular values of a weight; `infoplane.numerics.weight_measures` defines them."""

_OF_LAYERS = (*SPECTRAL, *DIMENSIONS, *COLLAPSE, *OF_HEAD, RDM_STABILITY, PROBE, KNN, PROBE_R2)
REPRESENTATION = tuple(quantity.name for quantity in _OF_LAYERS)
"""Names of the measures of a representation, which tables and figures show side by side."""

OUTPUTS = tuple(quantity.name for quantity in OUTPUT)
"""Names of the measures of outputs, which one table and one figure show."""

QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        IXT,
        ITY,
        ITT,
        DSE,
        DSMI_Y,
        DSMI_X,
        IXT_GIVEN_Y,
        IXT_FIXED,
        IXT_SCALE,
        SIZE,
        HT,
        HT_X,
        HT_Y,
        *SPECTRAL,
        RENYI_ENTROPY,
        *DIMENSIONS,
        *COLLAPSE,
        *OF_HEAD,
        RDM_STABILITY,
        PROBE,
        KNN,
        PROBE_R2,
        ITY_NORMAL,
        CSX,
        CSY,
        *LOSSES,
        *CURVATURE,
        *WEIGHTS,
        *OUTPUT,
        ATTENTION_ENTROPY,
        ATTENTION_SHARE,
    )
}
"""The quantities of the built-in estimators by name, in the order of tables and figures."""


def declared(quantity: Quantity | str) -> Quantity:
    """Return a quantity that an estimator declares; a text is the name of a registered one.

    Raises
    ------
    InputError
        If there is no quantity of this name, a member is unfit, or it is declared otherwise than in
        the register.
    """
    if isinstance(quantity, str):
        if quantity not in QUANTITIES:
            raise InputError(
                f"expected a Quantity or the name of one, got {quantity!r}",
                hint=f"names: {', '.join(QUANTITIES)}; declare another as "
                "Quantity(name=..., symbol=..., unit=...)",
            )
        return QUANTITIES[quantity]
    if not isinstance(quantity, Quantity):
        raise InputError(f"expected a Quantity, got {quantity!r:.80}")
    if mistake := _mistake(quantity):
        raise InputError(f"quantity {quantity.name!r}: expected {mistake}")
    known = QUANTITIES.get(quantity.name)
    if known is not None and (difference := contradiction(quantity, known)):
        raise InputError(
            f"quantity {quantity.name}: {difference} in the register of infoplane",
            hint="give the quantity another name",
        )
    return known or quantity


def contradiction(one: Quantity, other: Quantity) -> str | None:
    """Return how two declarations of one name contradict each other, None if they do not."""
    for what in ("symbol", "unit"):
        mine, theirs = getattr(one, what), getattr(other, what)
        if mine != theirs:
            return f"its {what} is {mine!r}, but {theirs!r}"
    return None


def _mistake(quantity: Any) -> str | None:
    """Return what was expected of the members of a quantity, None if all are fit."""
    if not isinstance(quantity.name, str) or not _NAME.fullmatch(quantity.name):
        return "a name of lower-case letters, digits and underscores"
    for member in ("symbol", "unit", "falls"):
        text = getattr(quantity, member)
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            return f"a {member} in words, got {text!r}"
    if quantity.family is not None and not isinstance(quantity.family, str):
        return f"a family in a word or None, got {quantity.family!r}"
    if not isinstance(quantity.verdict, bool):
        return f"True or False as verdict, got {quantity.verdict!r}"
    if not isinstance(quantity.colour, str) or not COLOUR.fullmatch(quantity.colour):
        return f"a colour as '#RRGGBB', got {quantity.colour!r}"
    change = quantity.smallest_change
    if change is not None and not (isinstance(change, (int, float)) and 0 < change < math.inf):
        return f"a smallest change above 0 or None, got {change!r}"
    return None
