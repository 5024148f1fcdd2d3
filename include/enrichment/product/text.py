"""Brings a catalogue description down to the words that say what the thing is.

Case, accents and punctuation go; abbreviations, joined words and frequent misspellings of catalogues become the plain
word; plurals become singular; counts and measures, colours, sizes, patterns and styles are left out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ABBREVIATIONS = {
    "artiifcial": "artificial",
    "bday": "birthday",
    "bfly": "butterfly",
    "brolly": "umbrella",
    "butterfl": "butterfly",
    "butterfile": "butterfly",
    "boys": "child",
    "braclet": "bracelet",
    "cand": "candle",
    "candl": "candle",
    "cannister": "canister",
    "char": "charm",
    "children": "child",
    "childrens": "child",
    "choc": "chocolate",
    "cinammon": "cinnamon",
    "cush": "cushion",
    "dec": "decoration",
    "expresso": "espresso",
    "flowe": "flower",
    "flowr": "flower",
    "flwr": "flower",
    "garld": "garland",
    "girls": "child",
    "hldr": "holder",
    "hold": "holder",
    "jewel": "jewellery",
    "jeweled": "jewelled",
    "jewelery": "jewellery",
    "jewelry": "jewellery",
    "kid": "child",
    "lilly": "lily",
    "minature": "miniature",
    "mitt": "glove",
    "neckl": "necklace",
    "necklac": "necklace",
    "noel": "christmas",
    "orn": "ornament",
    "pannetone": "panettone",
    "sandlewood": "sandalwood",
    "sharpner": "sharpener",
    "strawbery": "strawberry",
    "strawbry": "strawberry",
    "tidy": "organiser",
    "toadstool": "mushroom",
    "xmas": "christmas",
    "yuletide": "christmas",
}
"""Abbreviation, misspelling or synonym -> the word the model knows."""

PARTS = {
    "bathmat": "bath mat",
    "birdcage": "bird cage",
    "birdfeeder": "bird feeder",
    "birdhouse": "bird house",
    "blackboard": "chalk board",
    "bookcover": "book cover",
    "bookmark": "book mark",
    "cakestand": "cake stand",
    "candlehldr": "candle holder",
    "candleholder": "candle holder",
    "candlepot": "candle pot",
    "candlestand": "candle stand",
    "candlestick": "candle stick",
    "cardholder": "card holder",
    "chalkboard": "chalk board",
    "chocolatecandle": "chocolate candle",
    "coathanger": "coat hanger",
    "coathook": "coat hook",
    "doorbell": "door bell",
    "doorknob": "door knob",
    "doormat": "door mat",
    "doorsign": "door sign",
    "doorstop": "door stop",
    "drawerknob": "drawer knob",
    "earring": "ear ring",
    "eggcup": "egg cup",
    "flowerpot": "flower pot",
    "foodcover": "food cover",
    "footstool": "foot stool",
    "fruitbowl": "fruit bowl",
    "giftbag": "gift bag",
    "giftwrap": "gift wrap",
    "hairband": "hair band",
    "hairclip": "hair clip",
    "hairgrip": "hair grip",
    "hairslide": "hair slide",
    "handbag": "hand bag",
    "keychain": "key ring",
    "keyring": "key ring",
    "lampshade": "lamp shade",
    "lightbulb": "light bulb",
    "lunchbag": "lunch bag",
    "lunchbox": "lunch box",
    "memoboard": "memo board",
    "moneybox": "money box",
    "nightlight": "night light",
    "notebook": "note book",
    "notepad": "note pad",
    "noticeboard": "notice board",
    "papercraft": "paper craft",
    "paperlantern": "paper lantern",
    "paperweight": "paper weight",
    "photoframe": "photo frame",
    "pincushion": "pin cushion",
    "placemat": "place mat",
    "plantpot": "plant pot",
    "postcard": "post card",
    "potpourri": "pot pourri",
    "scentcandle": "scent candle",
    "scrapbook": "scrap book",
    "sketchbook": "sketch book",
    "squarecushion": "cushion",
    "sunglass": "sun glass",
    "sunhat": "sun hat",
    "tablecloth": "table cloth",
    "teacup": "tea cup",
    "teapot": "tea pot",
    "teaspoon": "tea spoon",
    "teatowel": "tea towel",
    "toastrack": "toast rack",
    "wallhanging": "wall hanging",
    "washbag": "wash bag",
    "wastepaper": "waste paper",
    "windchime": "wind chime",
}
"""Joined word, in the singular -> its parts: catalogues write both."""

_NEUTRAL_WORDS = """
red blue green pink white black cream ivory yellow orange purple lilac turquoise turq grey brown gold silver beige
natural multicolour multi pastel mint navy teal fuchsia fuschia pistachio aqua lime burgundy cerise raspberry bright
dark pale colour col coloured colourful

asst asstd assorted ass small large medium mini giant big little tiny sml med lge tall long short huge round square
squ rnd oval rect rectangle rectangular shape shaped piece pc pcs set pack pk pair assortment cm m ml g inch s x

design designs des style print printed pattern finish effect vintage retro retrospot polkadot polka dot dots spot
spots spotty spotted stripe stripes striped stripey stripy check gingham paisley antique ant classic modern
traditional contemporary baroque victorian edwardian georgian regency rococo shabby chic rustic distressed folkart
folk funky lovely cute pretty french english danish moroccan

the a an and of from by to my your no
"""

NEUTRAL = frozenset(_NEUTRAL_WORDS.split())
"""Colours, sizes, counts, patterns, styles and particles: words that do not tell what a thing is."""

PREPOSITIONS = frozenset({"with", "in", "on", "for"})
"""What follows one describes the thing that stands before it."""

MOTIFS = (
    "heart",
    "bird",
    "flower",
    "rose",
    "butterfly",
    "star",
    "owl",
    "cake",
    "strawberry",
    "daisy",
    "rabbit",
    "cat",
    "dog",
    "skull",
    "garden",
    "kitchen",
    "home",
    "circus",
    "london",
    "teatime",
)
"""Words that are a thing's motif more often than the thing."""

_WRITTEN = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\bt\s?-?\s?(?:light|lite)s?\b|\btea[ -]?lights?\b", " tealight "),
        (r"\blight (?=pink|blue|green|brown|grey|rose|purple|yellow|lilac)", " "),
        (r"\bp\s?/\s?frames?\b", " photo frame "),
        (r"\bc\s?/\s?covers?\b", " cushion cover "),
        (r"\bp'weights?\b", " paper weight "),
        (r"\bb'fly\b", " butterfly "),
        (r"\bb'draw\b", " drawer "),
        (r"\bw/|\bw\b", " with "),
        (r"\bkey[ -]chains?\b", " key ring "),
        (r"\b(?:set|s|pack|pk|box|bag|tube|bundle|pair)\s*(?:of|/)\s*[0-9]+\b", " "),
        (r"\b(?:set|s|pack|pk)\s?/?\s?[0-9]+\b", " "),
        (r"\b(?:set|pack|pair|box|bundle) of (?:two|three|four|five|six|eight|ten|twelve)\b", " "),
        (r"['\u2019`]", ""),
    )
)
_TOKEN = re.compile(r"[a-z]+|[,(]")
_KEEP_S = ("ss", "us", "is", "as")


@lru_cache(maxsize=65_536)
def singular(word: str) -> str:
    """Return the singular of a lower-case English noun, by its ending."""
    if len(word) < 4 or word.endswith(_KEEP_S):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word.removesuffix("s")


@lru_cache(maxsize=65_536)
def _plain(word: str) -> tuple[str, ...]:
    """Return the plain words of one written word, none if it is neutral."""
    word = ABBREVIATIONS.get(word, word)
    word = singular(word)
    word = ABBREVIATIONS.get(word, word)
    parts = PARTS.get(word, word).split()
    return tuple(part for part in parts if part not in _NEUTRAL)


_NEUTRAL = NEUTRAL | {singular(word) for word in NEUTRAL}


def _tokens(description: str) -> list[str]:
    """Return words and the marks that end a noun group, in the order they are written."""
    decomposed = unicodedata.normalize("NFKD", description.lower())
    text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    for pattern, plain in _WRITTEN:
        text = pattern.sub(plain, text)
    return _TOKEN.findall(text)


def words(description: str) -> tuple[str, ...]:
    """Return the words of a description that tell what it is, in order; empty if none does."""
    found: list[str] = []
    for token in _tokens(description):
        if token not in PREPOSITIONS and token not in ",(":
            found.extend(_plain(token))
    return tuple(found)


def head_position(description: str) -> int | None:
    """Return the index into `words(description)` of the word that names the thing, None if there are no words.

    It is the last word before a comma, a bracket, `of`, or a preposition, motifs left out where another word remains.
    """
    group: list[str] = []
    for token in _tokens(description):
        if token in PREPOSITIONS or token in ",(" or token == "of":
            if group:
                break
            continue
        group.extend(_plain(token))
    if not group:
        return None
    named = [index for index, word in enumerate(group) if word not in MOTIFS]
    return (named or [len(group) - 1])[-1]


def head_noun(description: str) -> str:
    """Return the word that seems to name the thing, to ask a thesaurus about; empty if there are no words."""
    position = head_position(description)
    return "" if position is None else words(description)[position]
