"""Transaction kinds and product types: the declared lists that Silver evaluates."""

from __future__ import annotations

CANCELLATION_INVOICE = r"^C[0-9]+$"
ADJUSTMENT_INVOICE = r"^A[0-9]+$"

NON_PRODUCT_CODES: dict[str, str] = {
    "POST": "postage",
    "DOT": "postage",
    "C2": "postage",
    "C3": "postage",
    "M": "manual",
    "D": "discount",
    "S": "sample",
    "B": "adjustment",
    "ADJUST": "adjustment",
    "ADJUST2": "adjustment",
    "BANK CHARGES": "fee",
    "AMAZONFEE": "fee",
    "CRUK": "fee",
    "SHIPPING": "postage",
    "POSTAGE": "postage",
    "DELIVERY": "postage",
    "FREIGHT": "postage",
    "DISCOUNT": "discount",
    "VAT": "tax",
    "TAX": "tax",
    "SALES TAX": "tax",
}
"""Upper-case stock code -> product type of codes that are not goods."""

TEST_CODE = r"^TEST[0-9]+$"
"""Stock codes of type `test`, which are not goods either."""

PRODUCT = "product"

KINDS = ("sale", "free_of_charge", "return", "cancellation", "adjustment", "fee", "stock_movement")
"""Transaction kinds, mutually exclusive. See `spark_jobs/lines.py` for the order of the decisions."""

UNSPECIFIED_COUNTRY = "Unspecified"
