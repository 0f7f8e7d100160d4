"""What is measured: the quantities that estimators return."""

from __future__ import annotations

QUANTITIES = {
    "ixt": "I(X;T)",
    "ity": "I(T;Y)",
    "ixt_given_y": "I(X;T|Y)",
    "ht": "H(T)",
    "ht_x": "H(T|X)",
    "ht_y": "H(T|Y)",
    "dse": "DSE",
    "dsmi_x": "DSMI(T;X)",
    "dsmi_y": "DSMI(T;Y)",
}
"""Quantities of the results document and how they are written in tables and figures."""
