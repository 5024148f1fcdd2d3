"""What is asked of the product search and what it answers. Money is in the base currency, exact."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from include.domain.line import ShopTime
from include.domain.model import Model
from include.domain.money import Money, Quantity

MAX_WINDOW = 10_000
"""How deep answers can be paged through: page x size."""

PRICE_BANDS = (
    (Decimal("1"), "under 1"),
    (Decimal("2.5"), "1 to 2.49"),
    (Decimal("5"), "2.50 to 4.99"),
    (Decimal("10"), "5 to 9.99"),
    (Decimal("25"), "10 to 24.99"),
)
"""Upper bound in the base currency, exclusive -> name of the band in facets."""

HIGHEST_BAND = "25 and over"

Mode = Literal["hybrid", "text", "vector"]
Sort = Literal["relevance", "price:asc", "price:desc", "revenue:desc", "units:desc", "newest"]


class SearchRefused(Exception):
    """A question that breaks a rule of the search; the message says which and what to do."""


class FilterRequired(SearchRefused):
    """Neither a country nor a price bound is given."""


class PriceBoundsReversed(SearchRefused):
    """The least price is above the greatest."""


class WindowExceeded(SearchRefused):
    """The page lies deeper than answers go."""


class ProductUnknown(Exception):
    """There is no such product in the country."""


class SearchUnavailable(Exception):
    """The search cannot answer now.

    Attributes:
        retry_after_seconds: When it makes sense to ask again.
    """

    retry_after_seconds = 5


class NotIndexed(SearchUnavailable):
    """The search service is there and has no products yet."""

    retry_after_seconds = 60


class SearchMisconfigured(SearchUnavailable):
    """The settings name no service, or one that refuses us."""

    retry_after_seconds = 60


def price_band(price: Decimal) -> str:
    """Return the name of the band of a price."""
    return next((name for bound, name in PRICE_BANDS if price < bound), HIGHEST_BAND)


def _unless_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Named = Annotated[Annotated[str, Field(max_length=100)] | None, BeforeValidator(_unless_blank)]
Price = Annotated[
    Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=11, decimal_places=4)] | None,
    BeforeValidator(_unless_blank),
]


class Filtered(Model):
    """The bounds of a question. A country or a price bound is mandatory.

    Names are compared without regard to case, spaces at their ends and repeated spaces.

    Attributes:
        country: A name or code of the country the product is sold in.
        price_min: Least price in the base currency; what counts is the median price of the product in the country.
        price_max: Greatest price.
        category: Category, such as `candles_and_lighting` or `candles and lighting`.
        brand: Brand, licence or line.
    """

    model_config = ConfigDict(frozen=True)

    country: Named = None
    price_min: Price = None
    price_max: Price = None
    category: Named = None
    brand: Named = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.country is None and self.price_min is None and self.price_max is None:
            raise FilterRequired("Give a country, price_min or price_max: one of them is mandatory.")
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise PriceBoundsReversed(
                f"price_min ({self.price_min}) is above price_max ({self.price_max}): exchange them or leave one out."
            )
        return self


class SearchRequest(Filtered):
    """A search.

    Attributes:
        q: What is looked for; empty to browse by revenue.
        page: From 1.
        size: Hits a page.
        sort: Order of the hits; with any but `relevance` a hybrid search answers with the products that match by words.
        mode: By words, by meaning, or by both with their ranks fused.

    Raises:
        SearchRefused: When made without a mandatory filter, with prices reversed, or too deep.
    """

    q: str = Field(default="", max_length=200)
    page: int = Field(default=1, ge=1)
    size: int = Field(default=20, ge=1, le=100)
    sort: Sort = "relevance"
    mode: Mode = "hybrid"

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        if self.page * self.size > MAX_WINDOW:
            raise WindowExceeded(f"Answers go {MAX_WINDOW:,} hits deep: narrow the filters instead of paging on.")
        return self


class SuggestRequest(Filtered):
    """Suggestions for words that are being typed; `q` is what has been typed so far."""

    q: str = Field(min_length=1, max_length=100)
    size: int = Field(default=8, ge=1, le=20)


class SimilarRequest(Model):
    """Products like one that is sold in a country, sold in the same country."""

    model_config = ConfigDict(frozen=True)

    stock_code: str = Field(min_length=1, max_length=30)
    country: str = Field(min_length=1, max_length=100)
    size: int = Field(default=10, ge=1, le=50)


class Product(BaseModel):
    """A product as sold in a country.

    Attributes:
        alternatives: Other descriptions it has been sold under.
        currency: Code of the currency of prices and revenue: the base currency.
        price_minimum: Least unit price of its sales.
        price_maximum: Greatest unit price.
        price_median: Median unit price over the lines; filters, sorting and bands go by it.
        units: Units sold less those returned or cancelled.
        revenue: The same way.
        first_sold_at: Shop time of the first sale.
        last_sold_at: Shop time of the latest sale.
    """

    model_config = ConfigDict(frozen=True)

    stock_code: str
    description: str
    alternatives: list[str] = Field(default_factory=list)
    category: str | None = None
    subcategory: str | None = None
    brand: str | None = None
    country: str
    region: str | None = None
    currency: str
    price_minimum: Money
    price_maximum: Money
    price_median: Money
    price_band: str
    units: Quantity
    revenue: Money
    first_sold_at: ShopTime
    last_sold_at: ShopTime


class ScoreParts(BaseModel):
    """Why a hit stands where it does.

    Attributes:
        score: What the hits are ordered by: the fused score in a hybrid search, else that of the words or the meaning.
        text_rank: Place among the matches by words, from 1.
        text_match: Typesense's score of the match by words.
        vector_rank: Place among the nearest by meaning, from 1.
        vector_distance: Cosine distance of the meanings, 0 to 2.
    """

    score: float
    text_rank: int | None = None
    text_match: int | None = None
    vector_rank: int | None = None
    vector_distance: float | None = None


class Hit(BaseModel):
    """A product that was found; `highlight` is its description as HTML with the matching words in `<mark>`."""

    product: Product
    score: ScoreParts
    highlight: str


class FacetCount(BaseModel):
    """How many of the products found have a value."""

    value: str
    count: int


class SearchAnswer(BaseModel):
    """The answer to a search.

    Attributes:
        found: Products found in all.
        pages: Pages of the size asked for, as far as they can be paged through.
        facets: Field (country, category, brand, price_band) -> its most frequent values among the products found.
        filters: The filters that were applied.
        search_time_ms: What the search took, the way to the service included.
        service_time_ms: What the service says that it took.
    """

    hits: list[Hit]
    found: int
    page: int
    size: int
    pages: int
    mode: Mode
    sort: Sort
    facets: dict[str, list[FacetCount]]
    filters: dict[str, str]
    search_time_ms: float
    service_time_ms: int


class Suggestion(BaseModel):
    """A description that begins or goes on as typed."""

    text: str
    stock_code: str
    category: str | None = None


class SuggestAnswer(BaseModel):
    """Suggestions, the best first."""

    suggestions: list[Suggestion]
    search_time_ms: float


class SimilarAnswer(BaseModel):
    """The nearest products by meaning, nearest first; the product itself is not among them."""

    product: Product
    hits: list[Hit]
    search_time_ms: float
