"""The product model: what it learns from, that it is reproducible, and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.product.model import THRESHOLD, ProductModel, model_version
from include.enrichment.product.packaged import content
from include.enrichment.product.taxonomy import CATEGORIES, UNCATEGORISED
from include.enrichment.product.text import head_noun, words
from include.enrichment.product.training import Fitted, fit, keep, kept_model, load_phrases, train, weights_of

SUBCATEGORIES = {category.name: tuple(category.subcategories) for category in CATEGORIES}

CATALOGUE = [
    ("MEADOW MUG LARGE", "tableware", "cups_and_mugs"),
    ("S/6 XMAS T-LITES ROBIN", "christmas", "lights_and_candles"),
    ("TEALIGHT HLDR LEAF", "candles_and_lighting", "candle_holders"),
    ("SET/20 PAPER NAPKINS HENS", "gift_wrap_and_party", "party_tableware"),
    ("SET/4 LINEN NAPKINS HENS", "tableware", "table_accessories"),
    ("HOT WATER BOTTLE ZEBRA", "bath_and_wellbeing", "hot_water_bottles"),
    ("LUNCH BAG PENGUINS", "bags_and_travel", "lunch_and_cool_bags"),
    ("LUNCH BOX PENGUINS", "kitchen_and_baking", "lunch_boxes_and_bottles"),
    ("GLASS BEAD NECKLACE PLUM", "jewellery_and_accessories", "jewellery"),
    ("KNITTING KIT MITTENS", "craft_and_sewing", "sewing_and_knitting"),
    ("CUSHION COVER FERN", "furniture_and_textiles", "cushions_and_throws"),
    ("NOTEBOOK A6 FERN", "stationery", "notebooks_and_albums"),
    ("EASTER EGG WREATH", "seasonal", "easter"),
    ("CHRISTMAS WREATH FIR", "christmas", "decorations"),
    ("JIGSAW PENGUIN ISLAND", "toys_and_games", "games_and_puzzles"),
    ("WATERING CAN PENGUIN", "garden_and_outdoor", "garden_tools_and_ornaments"),
    ("JEWELLERY BOX PEACOCK", "storage", "trinket_and_money_boxes"),
    ("METAL SIGN BAKERY", "home_decor", "signs_and_wall_art"),
]

WRITTEN = ["SET/6", "RED", "HEART", "MUG", "W/", "XMAS", "T-LIGHT", "XQZ", "OF", "?"]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(load_phrases())


@pytest.fixture(scope="module")
def model(fitted: Fitted) -> ProductModel:
    return ProductModel(weights_of(fitted), model_version())


def test_phrases_are_valid_and_unique() -> None:
    phrases = load_phrases()
    assert len(phrases) >= 4_000
    assert len({phrase.text for phrase in phrases}) == len(phrases)
    for phrase in phrases:
        assert phrase.text == " ".join(phrase.text.split()).upper(), phrase
        if phrase.category == UNCATEGORISED:
            assert phrase.subcategory == "", phrase
        else:
            assert phrase.subcategory in SUBCATEGORIES[phrase.category], phrase


def test_every_subcategory_is_learnt_from_a_dozen_phrases() -> None:
    counts = {(name, part): 0 for name, parts in SUBCATEGORIES.items() for part in parts}
    for phrase in load_phrases():
        if phrase.category != UNCATEGORISED:
            counts[phrase.category, phrase.subcategory] += 1
    assert min(counts.values()) >= 12, min(counts, key=lambda key: counts[key])


def test_the_same_words_have_one_label() -> None:
    labels: dict[tuple[str, ...], tuple[str, str]] = {}
    for phrase in load_phrases():
        label = (phrase.category, phrase.subcategory)
        assert labels.setdefault(tuple(sorted(words(phrase.text))), label) == label, phrase


def test_the_taxonomy_defines_everything_once() -> None:
    assert len(SUBCATEGORIES) == len(CATEGORIES) == 16
    names = [part for category in CATEGORIES for part in category.subcategories]
    assert all(category.definition and all(category.subcategories.values()) for category in CATEGORIES)
    assert all(name.replace("_", "").isalpha() and name.islower() for name in [*SUBCATEGORIES, *names])
    assert UNCATEGORISED not in SUBCATEGORIES


def test_training_is_reproducible(model: ProductModel) -> None:
    again = train()
    descriptions = [phrase.text for phrase in load_phrases()[::7]]
    assert again.version == model.version == model_version()
    assert again.classify(descriptions) == model.classify(descriptions)


@pytest.mark.parametrize("name", ["phrases.tsv", "brands.tsv", "text.py", "model.py", "training.py"])
def test_the_version_follows_what_answers_depend_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_version()
    monkeypatch.setattr(
        "include.enrichment.product.model.content",
        lambda wanted: content(wanted) + (b" " if wanted == name else b""),
    )
    assert model_version() != before


def test_answers_are_those_of_the_library_that_trained(model: ProductModel, fitted: Fitted) -> None:
    texts = [words(phrase.text) for phrase in load_phrases()]
    texts += [one + other for one, other in zip(texts, texts[::-1], strict=True)]
    features = fitted.features.transform(texts)
    margins = np.array([model.margins(text) for text in texts])
    categories, subcategories = model.weights.categories, model.weights.subcategories
    of_category = subcategories == ""
    np.testing.assert_allclose(
        margins[:, of_category], fitted.category.decision_function(features), rtol=1e-9, atol=1e-12
    )
    names = categories[of_category][margins[:, of_category].argmax(axis=1)]
    assert names.tolist() == fitted.category.predict(features).tolist()
    for name, classifier in fitted.subcategory.items():
        columns = np.flatnonzero((categories == name) & ~of_category)
        found = subcategories[columns][margins[:, columns].argmax(axis=1)]
        assert found.tolist() == classifier.predict(features).tolist()


def test_a_kept_model_answers_the_same_without_the_library(model: ProductModel, tmp_path: Path) -> None:
    descriptions = [phrase.text for phrase in load_phrases()[::11]]
    stale = tmp_path / "product-0123456789ab.npz"
    stale.write_bytes(b"an older model")
    keep(model, tmp_path)
    assert kept_model(tmp_path).classify(descriptions) == model.classify(descriptions)
    assert [path.name for path in tmp_path.iterdir()] == [f"{model.version}.npz"]
    code = f"""
import json, sys
from pathlib import Path
from include.enrichment.product.training import kept_model
facts = kept_model(Path({str(tmp_path)!r})).classify(json.load(sys.stdin))
print(json.dumps([[each.category, each.subcategory, each.confidence] for each in facts]))
assert {{"sklearn", "scipy", "pandas"}}.isdisjoint(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(descriptions), capture_output=True, text=True, check=True
    )
    answers = [[facts.category, facts.subcategory, facts.confidence] for facts in model.classify(descriptions)]
    assert json.loads(done.stdout) == answers


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_trained_and_kept_again(
    model: ProductModel, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"{model.version}.npz"
    keep(model, tmp_path)
    sound = path.read_bytes()
    if damage == "other":
        np.savez(path, words=np.array(["mug"]))
    else:
        middle = len(sound) // 2
        flipped = sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :]
        path.write_bytes({"cut": sound[:-1000], "flipped": flipped, "empty": b""}[damage])
    assert kept_model(tmp_path).classify(["MEADOW MUG LARGE"]) == model.classify(["MEADOW MUG LARGE"])
    assert "is trained again" in caplog.text
    caplog.clear()
    kept_model(tmp_path)
    assert not caplog.text


def test_no_code_in_a_file_is_run(model: ProductModel, tmp_path: Path) -> None:
    np.savez(tmp_path / f"{model.version}.npz", words=np.array([Bomb(tmp_path / "run")], dtype=object))
    kept_model(tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("description", "category", "subcategory"), CATALOGUE)
def test_answers(model: ProductModel, description: str, category: str, subcategory: str) -> None:
    (facts,) = model.classify([description])
    assert (facts.category, facts.subcategory) == (category, subcategory)
    assert facts.confidence >= THRESHOLD
    assert facts.model_version == model.version


@pytest.mark.parametrize("motif", ["HEART", "BIRD", "ROSE", "CAKE", "GARDEN", "RETROSPOT", "KITCHEN"])
@pytest.mark.parametrize(
    ("thing", "category"),
    [("MUG", "tableware"), ("CUSHION COVER", "furniture_and_textiles"), ("NOTEBOOK", "stationery")],
)
def test_the_thing_wins_over_its_motif(model: ProductModel, thing: str, category: str, motif: str) -> None:
    answers = model.classify([f"{motif} {thing}", f"{thing} {motif} DESIGN"])
    assert [facts.category for facts in answers] == [category, category]


@pytest.mark.parametrize("thing", ["MUG", "CUSHION", "CANDLE", "JIGSAW", "CARD", "MAGNET"])
def test_christmas_wins_over_the_thing(model: ProductModel, thing: str) -> None:
    assert model.classify([f"CHRISTMAS {thing}"])[0].category == "christmas"


@pytest.mark.parametrize("description", ["", "   ", "?", "85123A", "RED", "茶", "xq zvkw", "DAMAGED GOODS", "lost?"])
def test_what_names_no_product_is_uncategorised(model: ProductModel, description: str) -> None:
    (facts,) = model.classify([description])
    assert (facts.category, facts.subcategory) == (UNCATEGORISED, None)


def test_the_brand_is_independent_of_the_category(model: ProductModel) -> None:
    mug, nothing, plain = model.classify(["SPACEBOY MUG", "SPACEBOY", "MUG"])
    assert (mug.category, mug.brand) == ("tableware", "Spaceboy")
    assert nothing.brand == "Spaceboy"
    assert plain.brand is None


def test_facts_are_frozen(model: ProductModel) -> None:
    (facts,) = model.classify(["MUG"])
    with pytest.raises(FrozenInstanceError):
        facts.category = "storage"  # type: ignore[misc]


def test_no_descriptions_no_facts(model: ProductModel) -> None:
    assert model.classify([]) == []
    assert model.classify([], {"MUG": ["cup"]}) == []


def test_answers_do_not_depend_on_the_company(model: ProductModel) -> None:
    descriptions = [description for description, _, _ in CATALOGUE]
    assert model.classify(descriptions) == [model.classify([description])[0] for description in descriptions]


@pytest.mark.parametrize(
    ("description", "noun", "related", "category", "subcategory"),
    [
        ("STONEWARE TANKARD BLUE", "tankard", ["stein", "mug", "jug", "cup"], "tableware", "cups_and_mugs"),
        ("VALISE BROWN", "valise", ["suitcase", "luggage", "bag"], "bags_and_travel", "travel"),
        ("OAK SETTLE", "settle", ["bench", "sofa", "chair"], "furniture_and_textiles", "furniture"),
    ],
)
def test_related_words_lift_a_rare_noun(
    model: ProductModel, description: str, noun: str, related: list[str], category: str, subcategory: str
) -> None:
    assert head_noun(description) == noun
    alone, helped = model.classify([description]), model.classify([description], {description: related})
    assert alone[0].category == UNCATEGORISED
    assert (helped[0].category, helped[0].subcategory) == (category, subcategory)
    assert helped[0].confidence >= THRESHOLD > alone[0].confidence


def test_related_words_change_no_confident_answer(model: ProductModel) -> None:
    descriptions = [description for description, _, _ in CATALOGUE]
    misleading = {description: ["necklace", "bauble", "stapler"] for description in descriptions}
    assert model.classify(descriptions, misleading) == model.classify(descriptions)


def test_unknown_related_words_change_nothing(model: ProductModel) -> None:
    description = "STONEWARE TANKARD BLUE"
    alone = model.classify([description])
    for related in ([], ["zzyzx", "qwrt"], ["?"], [""]):
        assert model.classify([description], {description: related}) == alone
    assert model.classify([description], {"MUG": ["cup"]}) == alone
    assert model.classify([""], {"": ["cup"]}) == model.classify([""])


@settings(deadline=None, max_examples=200)
@given(
    descriptions=st.lists(st.one_of(st.text(), st.lists(st.sampled_from(WRITTEN)).map(" ".join)), max_size=4),
    related=st.lists(st.sampled_from(["mug", "candle", "zzyzx", ""]), max_size=3),
)
def test_any_text_gets_a_valid_answer(model: ProductModel, descriptions: list[str], related: list[str]) -> None:
    alone = model.classify(descriptions)
    helped = model.classify(descriptions, dict.fromkeys(descriptions, related))
    assert len(alone) == len(helped) == len(descriptions)
    for facts in (*alone, *helped):
        assert 0.0 <= facts.confidence <= 1.0
        assert (facts.category == UNCATEGORISED) == (facts.subcategory is None)
        assert facts.subcategory is None or facts.subcategory in SUBCATEGORIES[facts.category]
        assert facts.category == UNCATEGORISED or facts.confidence >= THRESHOLD
    for before, after in zip(alone, helped, strict=True):
        assert after == before or before.confidence < THRESHOLD <= after.confidence
