"""Brands, licences and lines are found by their exact words, and only by them."""

from __future__ import annotations

import pytest

from include.enrichment.product.brands import KINDS, BrandFinder, load_brands

FINDER = BrandFinder(load_brands())


def found(description: str) -> str | None:
    brand = FINDER.find(description)
    return brand.name if brand else None


def test_the_list_is_well_formed() -> None:
    brands = load_brands()
    assert len({brand.name for brand in brands}) == len(brands)
    patterns = [pattern for brand in brands for pattern in brand.patterns]
    assert len(set(patterns)) == len(patterns)
    assert all(brand.kind in KINDS for brand in brands)
    for pattern in patterns:
        assert pattern == " ".join(pattern.split())
        assert pattern.replace(" ", "").isalnum()
        assert pattern == pattern.lower()


def test_each_pattern_finds_its_brand() -> None:
    for brand in load_brands():
        for pattern in brand.patterns:
            assert found(f"small {pattern.upper()}, mug") == brand.name


@pytest.mark.parametrize(
    ("description", "brand"),
    [
        ("CHARLIE+LOLA PAPER CUPS", "Charlie and Lola"),
        ("CHARLIE & LOLA TRAY", "Charlie and Lola"),
        ("mug charlie and lola", "Charlie and Lola"),
        ("FLOWER FAIRY,ROSE SOAP", "Flower Fairies"),
        ("F.FAIRY S/3 SOAPS", "Flower Fairies"),
        ("PRICE'S CANDLE PEAR", "Price's Candles"),
        ("LUNCH TIN SPACEBOY", "Spaceboy"),
        ("TOP TRUMPS-DINOSAURS", "Top Trumps"),
        ("STAR WARS MUG", "Star Wars"),
        ("TOP TRUMPS STAR WARS", "Top Trumps"),
        ("RETROSPOT STAR WARS CUSHION", "Star Wars"),
    ],
)
def test_brands_are_found(description: str, brand: str) -> None:
    assert found(description) == brand


@pytest.mark.parametrize(
    "description",
    [
        "CORONATION MUG",
        "CORONA CANDLE RING",
        "T REX DINOSAUR",
        "SUKIYAKI BOWL",
        "FAIRY LIGHTS",
        "FAIRY DREAMS SOAP",
        "CHARLIE BROWN MUG",
        "LOLA DOLL",
        "DOLLY PEGS",
        "GIRL DOLLY",
        "SPACE BOY ROCKET",
        "STAR WREATH",
        "FULL PRICE CANDLE",
        "MINI CASES",
        "BLUE SPOTTY MUG",
        "ROSE ENGLISH",
        "ELVISH CLOAK",
        "GUMBALLS IN JAR",
        "KEEP CALMLY",
        "",
    ],
)
def test_words_that_only_look_like_a_brand(description: str) -> None:
    assert found(description) is None
