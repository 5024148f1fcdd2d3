from __future__ import annotations

import pytest

from include.search.language import canonical, country_identity, highlighted, identity, related


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("T-LIGHT HOLDERS", "tea light holder"),
        ("S/3 XMAS TINS", "set of 3 christmas tins"),
        ("LUNCH BOXES", "lunchbox"),
        ("KEY CHAIN", "keyring"),
        ("P/FRAME", "picture frames"),
        ("CHILD'S BROLLY", "kids umbrella"),
        ("CAFÉ", "cafes"),
        ("WC SIGN", "loo signs"),
    ],
)
def test_different_writings_have_one_form(written: str, same: str) -> None:
    assert canonical(written) == canonical(same)


def test_the_longest_phrase_is_taken() -> None:
    assert canonical("hot water bottle") == ("hotwaterbottle",)
    assert canonical("hot water") == ("hot", "water")


def test_joined_words_are_found_by_their_parts() -> None:
    assert {"tea", "pot"} <= {*related(canonical("TEAPOT BLUE"))}
    assert "candle" in related(canonical("t-light holder"))
    assert related(()) == []


def test_matching_words_are_marked_and_the_rest_is_escaped() -> None:
    assert highlighted("TEA-TIME & <BIG> CANDLES", ["candle"]) == "TEA-TIME &amp; &lt;BIG&gt; <mark>CANDLES</mark>"
    assert highlighted("RED T-LIGHT HOLDER", ["tealight"]) == "RED <mark>T-LIGHT</mark> HOLDER"
    assert highlighted("LUNCH BOX RED", ["lunchbox"]) == "<mark>LUNCH BOX</mark> RED"
    assert highlighted("", ["x"]) == ""


def test_an_identity_is_digits_whatever_the_name_holds() -> None:
    assert identity("United Kingdom") == identity(" united   KINGDOM ")
    assert identity("home_decor") == identity("Home decor")
    assert identity("France") != identity("France`")
    for name in ("`) || (x:=`", "&&", "", "\x00"):
        assert len(identity(name)) == 32
        assert int(identity(name), 16) >= 0


def test_names_and_codes_of_one_country_are_compared_alike() -> None:
    assert country_identity("UK") == country_identity(" united  kingdom ") == identity("United Kingdom")
    assert country_identity("Atlantis") == identity("atlantis") != country_identity("Ireland")
