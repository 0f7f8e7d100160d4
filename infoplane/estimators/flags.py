"""The register of flags: what can be wrong with an estimate.

A flag is declared once, with its meaning and its remedy. Warnings of results, the catalogue of
codes and ``docs/flags.md`` are made from it. ``python -m infoplane.estimators.flags >
docs/flags.md`` writes the page again.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from infoplane.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CODE = re.compile(r"IP2\d\d")


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to know before an estimate is trusted.

    Parameters
    ----------
    name : str
        Name in results and rules: lower-case letters, digits and underscores.
    code : str or None
        Code of the warning that counts the flag, ``IP2..``; None if it is not a warning.
    meaning : str
        What it says about the estimate, in one sentence.
    remedy : str
        What to do about it, or how to read the estimate.

    Examples
    --------
    >>> Flag("small_n", None, "too few samples, or classes", "record more samples").name
    'small_n'
    """

    name: str
    code: str | None
    meaning: str
    remedy: str


_MORE = "record more samples"
_DIAG = "see `diag` of each row"

_BUILT_IN = (
    Flag("saturated", "IP201", "estimates at their ceiling, as log2 of N or of the bins: they do "
         "not follow the network", "record more samples, or use another resolution "
         "(`-e binning:bins=10`), or `-e compressed`"),
    Flag("sparse", "IP202", "most samples have a state of their own: I(T;Y) near H(Y) is trivial",
         "record more samples, or lower the resolution"),
    Flag("null_dominates", "IP206", "shuffled labels already give more than half of I(T;Y)",
         "compare it with its null, in `diag` of each row"),
    Flag("order", "IP213", "a deeper layer above an earlier one: estimates, not information",
         "do not read it as a gain: each layer is computed from the one before"),
    Flag("below_probe", "IP214", "a probe reads more than this from the layer: the added noise, or "
         "the estimator, hides it",
         "take the lower bound of `probe` for I(T;Y)"),
    Flag("two_scales", "IP215", "distances of two sizes, within and between clusters: the median, "
         "and with it the noise, follows only one of them, and may jump to the other",
         "read I(X;T) at fixed noise: `ixt_fixed`, or `-e compressed:noise=fixed`"),
    Flag("biased", "IP211", "values that still move with N, by more than 5 % and 0.05 bits or by "
         "their standard error",
         f"{_MORE}; see drift, bias or null in `diag` of each row"),
    Flag("classes_of_targets", None, "I(T;Y) of classes of the real targets, a lower bound: what a "
         "layer tells beyond the class is not counted",
         "compare `-e ksg` and `ity_normal` of `-e probe`; `--label-bins` chooses the classes"),
    Flag("undersampled", "IP216", "a probe of half as many samples reads so much less that "
         "I(T;Y) may be more than 15 % above its bound",
         f"{_MORE}; see rise and to_come in `diag` of each row"),
    Flag("out_of_range", "IP203", "activations outside the bins, or values outside their bounds",
         f"{_DIAG}; for bins `-e binning:mode=ebab`, or give the range"),
    Flag("large_compression_loss", "IP207", "compression may have lost much of the information",
         "`-e compressed:dim=8`, or read the value as a lower bound"),
    Flag("finite_population", "IP208", "more bits than N samples can hold: the density is "
         "extrapolated",
         "read it as a property of the input distribution, or raise the noise"),
    Flag("degenerate", "IP209", "bandwidth or added noise far above the spread of the layer: "
         "nothing is left", "a smaller noise, or the default that follows the layer: "
         "`-e compressed`, `-e dse:sigma=median`"),
    Flag("upper_bound", "IP212", "noise of the network is counted as information: the value is an "
         "upper bound",
         "record several passes (`record --passes 10`) and read `-e noisy`; `compressed` subtracts "
         "noise that the layer itself declares, not that of earlier layers"),
    Flag("deterministic", "IP217", "no noise: I(X;T) of a function of the input is infinite",
         "leave `noise=0` out, or `view=inputs`"),
    Flag("interval_of_tokens", "IP218", "too narrow: tokens of one sequence are alike",
         "read it as the least there can be, or compare seeds"),
    Flag("noise_off", None, "earlier layers declare noise that was off when they were recorded: "
         "the value is of a network without it",
         "record with --keep-dropout, or `GaussianNoise(sigma, always=True)`"),
    Flag("at_chance", "IP230", "no more alike than permuted samples",
         "read it as no similarity; `null` has the value by chance"),
    Flag("failed", "IP204", "cells without a number", "the reason is in `diag` of each row"),
    Flag("nonfinite", "IP205", "layers with NaN or inf",
         "the training diverged there; `infoplane analyze --nan drop`"),
    Flag("timeout", None, "no number within the time allowed",
         "raise the limit, or record fewer samples"),
    Flag("negative", None, "below 0, shown as it is", "read it as 0, within its interval"),
    Flag("constant", None, "the layer does not vary", "nothing to measure"),
    Flag("small_n", None, "too few samples, or classes, for this estimator", _MORE),
    Flag("within_null", None, "data without this structure, of the same shape, read as much: "
         "independent units, or shuffled labels",
         "compare it with its null, in `diag` of each row"),
    Flag("no_simplex", None, "more classes than units + 1, whose means cannot form a simplex",
         "read NC1 of this layer; NC2 cannot reach 0"),
    Flag("rounded", None, "neighbours are as near as the rounding of the stored numbers",
         "record in a wider dtype: distances between neighbours are lost"),
    Flag("scale_dependent", None, "the dimension falls by a quarter and more in neighbourhoods "
         "four times as large: noise, or a curved layer",
         "`-e dimension:scale=1+2+4+8`; read the dimension where it does not change"),
    Flag("zero_rows", None, "rows of zeros, which have no direction, were left out", _DIAG),
    Flag("subsampled", None, "not all samples were used", "`n` of the row says how many"),
    Flag("atoms", None, "repeated rows, which distances between neighbours cannot resolve",
         "`-e binning`, or merge the rows"),
    Flag("degenerate_manifold", None, "the code has fewer dimensions than its coordinates",
         "a smaller `-e compressed:dim=`"),
    Flag("thin_manifold", None, "the code may have fewer dimensions than its coordinates",
         "compare with a smaller `-e compressed:dim=`"),
    Flag("insensitive", None, "a planted dependence is found in part only, or would be in so many "
         "dimensions: the value may be as far from the truth",
         "fewer dimensions, or more samples; compare with a held-out bound"),
    Flag("chain_rule_gap", None, "two ways to I(X;T|Y) disagree", _DIAG),
    Flag("estimators_disagree", None, "two ways to I(X;T) disagree", _DIAG),
    Flag("wide_bracket", None, "the two bounds are far apart", "read the bounds, or take more "
         "samples or more noise: `-e compressed:c=0.35`"),
    Flag("inputs_unused", None, "the inputs that were given have no part in the value: the layer "
         "is taken for a function of them", "`mode=\"joint\"` measures between layer and inputs"),
    Flag("dominant_unit", None, "one unit holds nearly all of the layer's variance, and the noise "
         "drowns the others", "read I(T;Y) by `-e probe`, which scales the units"),
    Flag("below_resolution", None, "the noise is below the spacing of the activations' numbers",
         "record in a wider dtype, or add more noise"),
    Flag("partial_log", None, "the loss log does not begin with the training: its first steps are "
         "most of the area",
         "log every step from the first; compare only logs that begin at the same step"),
    Flag("coarse_log", None, "not every step is in the loss log: trapezoids over a falling curve "
         "lie above it (+8 % at every tenth step, several times the area over a gap near the "
         "start)", "log every step; see `at_half` and `missing`, a share of the area, in `diag`"),
    Flag("passes_unknown", None, "nothing tells whether this is the first pass over the data: "
         "losses of samples that were seen before measure no code length",
         "record epochs with the steps (`epoch=`), counted from 0"),
    Flag("no_tokens", None, "the log has no tokens: the area counts steps, each as one token",
         "log tokens (`tokens=`), or multiply by the tokens of a batch"),
    Flag("final_dominates", None, "the final loss is not known well enough: its error is more than "
         "half of the area", "train on, or take a longer end: `-e prequential:tail=0.1`"),
    Flag("open_fit", None, "the loss curve does not bound the power law: exponents at the ends of "
         "what was tried fit as well", "a longer log, or read the curve without the fit"),
    Flag("rank_deficient", None, "singular values of the weight are below the rounding of its "
         "numbers: its condition number is infinite",
         "read its stable rank; `resolved` in `diag` of each row counts those above"),
    Flag("no_power_law", None, "the largest eigenvalues of the weight do not follow a power law",
         "do not read its exponent; see ks_distance in `diag` of each row"),
    Flag("short_tail", None, "the power law is fitted to fewer than 10 values",
         "read the exponent within its standard error, in `diag` of each row"),
    Flag("poor_fit", None, "the loss curve is no power law: the fit explains less than 90 % of it "
         "over log t", "look at it, `plot -f losses`; a plateau or a change of the learning rate "
         "makes such a curve"),
    Flag("role_unknown", None, "no layer is marked as that of the logits: the last one, which is "
         "linear, was taken", "name it, `-e output:layer=NAME`, or record with --logits NAME"),
    Flag("other_labels", None, "predictions are of outputs that no label has, or go with "
         "the labels in another order",
         "the labels may not be those that the network was trained on: read nothing of them"),
    Flag("batch_loss", None, "the loss of a batch is no mean over its samples, as with weights of "
         "classes: the value depends on the batches",
         "compare at one `batch_size` alone, best with all samples in one batch"),
    Flag("own_derivative", None, "a function of the model has a derivative of its own, and nothing "
         "tells whether that can be differentiated in turn: the Hessian may lack a part",
         "its name is in `own_derivatives` of `diag`; compare with the plain function"),
    Flag("no_bound", None, "the value is no bound: it may lie above the truth, by any amount",
         "read it beside `infonce`, or `gauss`, which are bounds"),
    Flag("repeated_samples", None, "the same samples come again: held-out rows are not new to the "
         "critic, and what it learned by heart counts", "leave the copies out"),
    Flag("train_test_gap", None, "the critic reads far more from samples it was fitted to than "
         "from others: it learns by heart", f"read the lower bound; {_MORE}"),
    Flag("seed_spread", None, "fits that differ in weights and held-out samples read different "
         "values", f"read the lower bound; {_MORE}"),
    Flag("limits_disagree", None, "values at training and on held-out samples do not lead to one "
         "number with more samples: the critic is not right",
         f"read the lower bound; {_MORE}"),
    Flag("not_converged", None, "an iteration, or the clustering of the inputs, did not converge",
         _DIAG),
)  # fmt: skip

FLAGS: dict[str, Flag] = {flag.name: flag for flag in _BUILT_IN}
"""The flags of the built-in estimators by name, in the order of warnings."""


def declared(flag: Flag) -> Flag:
    """Return a flag that an estimator declares.

    Raises
    ------
    InputError
        If it is none, a member is unfit, or it has another meaning than in the register.
    """
    if not isinstance(flag, Flag):
        raise InputError(f"expected a Flag, got {flag!r:.80}")
    if not isinstance(flag.name, str) or not _NAME.fullmatch(flag.name):
        raise InputError(f"flag {flag.name!r}: expected a name of lower-case letters")
    if flag.code is not None and not _CODE.fullmatch(str(flag.code)):
        raise InputError(f"flag {flag.name}: expected a code IP2.. or None, got {flag.code!r}")
    for taken in FLAGS.values():
        if flag.code is not None and flag.code == taken.code and flag.name != taken.name:
            raise InputError(
                f"flag {flag.name}: the code {flag.code} is that of {taken.name}",
                hint="give it a code of its own, or None",
            )
    if FLAGS.get(flag.name, flag) != flag:
        raise InputError(
            f"flag {flag.name}: the register has another one of this name",
            hint="give the flag another name",
        )
    return flag


def page() -> str:
    """Return the documentation page of all flags."""
    lines = [
        "# Flags",
        "",
        "An estimate that must be read with caution has a flag. `infoplane analyze` counts those",
        "with a code as warnings; `infoplane check --fail-on FLAG` refuses them. This page is made",
        "from the register in `infoplane/estimators/flags.py`.",
        "",
        "| flag | code | meaning | what to do |",
        "| --- | --- | --- | --- |",
    ]
    for flag in FLAGS.values():
        cells = (f"`{flag.name}`", flag.code or "", flag.meaning, flag.remedy)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
