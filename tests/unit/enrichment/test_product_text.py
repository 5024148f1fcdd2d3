"""What is left of a catalogue description: the words that say what the thing is, and the one that names it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.enrichment.product.text import NEUTRAL, head_noun, singular, words


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("T-LIGHT HLDR STAR", ("tealight", "holder", "star")),
        ("TLIGHTS S/6 OWL", ("tealight", "owl")),
        ("T-LITE HOLDER", ("tealight", "holder")),
        ("TEA LIGHT HOLDER", ("tealight", "holder")),
        ("TEALIGHT HOLDER", ("tealight", "holder")),
        ("XMAS BAUBLE", ("christmas", "bauble")),
        ("P/FRAME SILVER", ("photo", "frame")),
        ("BLUE C/COVER", ("cushion", "cover")),
        ("P'WEIGHT FROG", ("paper", "weight", "frog")),
        ("PAPERWEIGHT FROG", ("paper", "weight", "frog")),
        ("KEY-CHAIN DOG", ("key", "ring", "dog")),
        ("NECKL. SHELL 42CM", ("necklace", "shell")),
        ("HEART DECS ON ROPE", ("heart", "decoration", "rope")),
        ("CANDLEHOLDER", ("candle", "holder")),
        ("HAIRCLIP B'FLY", ("hair", "clip", "butterfly")),
        ("ASSTD COL MUGS W/ SPOTS", ("mug",)),
        ("CHILDREN'S APRON", ("child", "apron")),
        ("CAFÉ CRÈME BOWLS", ("cafe", "creme", "bowl")),
    ],
)
def test_abbreviations_and_joined_words(written: str, plain: tuple[str, ...]) -> None:
    assert words(written) == plain
    assert words(f"  {written.lower()}  ") == plain


@pytest.mark.parametrize(
    "count", ["SET/6", "S/6", "SET OF 6", "SET 6", "SET OF SIX", "PACK OF 6", "PK/6", "BOX/6", "6"]
)
def test_counts_are_left_out(count: str) -> None:
    assert words(f"{count} NAPKIN RINGS") == ("napkin", "ring")


def test_light_is_a_colour_before_a_colour_only() -> None:
    assert words("LIGHT PINK PLUM LIGHTS") == ("plum", "light")


def test_colours_patterns_and_signs_alone_say_nothing() -> None:
    assert words("RED RETROSPOT, LARGE (ASSTD)") == ()
    assert words("? 85123 !!") == ()


@pytest.mark.parametrize(
    ("plural", "one"),
    [("boxes", "box"), ("candles", "candle"), ("berries", "berry"), ("glasses", "glass"), ("christmas", "christmas")],
)
def test_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


@pytest.mark.parametrize(
    ("description", "noun"),
    [
        ("STONEWARE TANKARD BLUE", "tankard"),
        ("BEACH BAG RED RETROSPOT", "bag"),
        ("LANTERN WITH HEARTS", "lantern"),
        ("BASKET OF BERRIES", "basket"),
        ("SET OF 4 COASTERS", "coaster"),
        ("CANDLE IN GLASS, LILY", "candle"),
        ("MUG BUTTERFLY", "mug"),
        ("RED HEART", "heart"),
        ("RED", ""),
    ],
)
def test_head_noun(description: str, noun: str) -> None:
    assert head_noun(description) == noun


@given(st.text())
def test_any_text_has_plain_words(text: str) -> None:
    found = words(text)
    assert all(word.isascii() and word.isalpha() and word.islower() for word in found)
    assert not NEUTRAL.intersection(found)
    assert head_noun(text) in {*found, ""}
    assert (head_noun(text) == "") == (not found)
