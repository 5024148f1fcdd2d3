"""The categories and subcategories of a gift and homeware shop.

Where two fit: Christmas wins over everything; the thing itself wins over its motif and its material (a mug with hearts
is tableware); a set of X is X; a kit to make X is a craft kit; patterns such as polka dots are no category.
"""

from __future__ import annotations

from dataclasses import dataclass

UNCATEGORISED = "uncategorised"
"""Answer for a description that names no product, or none that the model recognises."""


@dataclass(frozen=True)
class Category:
    """One category.

    Attributes:
        name: Identifier, lower case with underscores.
        definition: What belongs to it.
        subcategories: Name -> definition.
    """

    name: str
    definition: str
    subcategories: dict[str, str]


CATEGORIES = (
    Category(
        "christmas",
        "anything made for Christmas, whatever its kind",
        {
            "decorations": "baubles, wreaths, stockings, garlands, trees, advent calendars",
            "lights_and_candles": "Christmas lights, candles and their holders",
            "cards_and_wrap": "Christmas cards, wrap, ribbons, tags and gift bags",
            "tableware": "crackers, napkins, plates, baking things and table decorations for Christmas",
            "toys_and_gifts": "Christmas toys, craft kits and other gifts",
        },
    ),
    Category(
        "seasonal",
        "goods for Easter, Halloween, weddings and other occasions that are neither Christmas nor party paper goods",
        {
            "easter": "Easter eggs, chicks, bunnies and decorations",
            "halloween": "pumpkins, ghosts, bats and costumes for Halloween",
            "valentine_and_wedding": "Valentine, wedding, christening and other family occasions",
        },
    ),
    Category(
        "candles_and_lighting",
        "candles and what holds or lights them, lamps and lights, home fragrance",
        {
            "candles": "candles, t-lights and scented candles",
            "candle_holders": "holders for candles and t-lights, candlesticks, candle plates",
            "lanterns": "lanterns of metal, glass and paper",
            "lamps_and_lights": "lamps, shades, string lights, night lights, torches",
            "fragrance": "incense, oil burners, potpourri, matches and lighters",
        },
    ),
    Category(
        "kitchen_and_baking",
        "preparing, baking and keeping food",
        {
            "bakeware": "cake tins, cases, moulds, pans, cake stands and domes",
            "utensils": "kitchen tools, scales, boards, cleaning things, recipe boxes, food covers",
            "food_storage": "jars, tins, bins and bottles for food",
            "kitchen_textiles": "aprons, tea towels, oven gloves, ironing board covers",
            "lunch_boxes_and_bottles": "lunch boxes, flasks and drinking bottles",
        },
    ),
    Category(
        "tableware",
        "eating and drinking",
        {
            "cups_and_mugs": "mugs, cups, beakers and egg cups",
            "plates_and_bowls": "plates, bowls, dishes, pet bowls",
            "glassware": "drinking glasses, goblets, glass jugs",
            "tea_and_coffee": "teapots, milk jugs, sugar bowls, tea and coffee sets, cosies",
            "table_accessories": "cutlery, trays, coasters, place mats, cloth napkins, table cloths",
        },
    ),
    Category(
        "home_decor",
        "what decorates a home and its walls and doors",
        {
            "signs_and_wall_art": "signs, plaques, letters, pictures, mirrors",
            "frames": "photo and picture frames, photo clips",
            "clocks": "wall, table and alarm clocks",
            "ornaments": "ornaments, hanging decorations, mobiles, door stops, doormats",
            "hooks_and_hardware": "hooks, knobs, racks for coats and keys, magnets",
            "flowers_and_vases": "artificial flowers and vases",
        },
    ),
    Category(
        "furniture_and_textiles",
        "furniture, cushions, curtains and bedding",
        {
            "cushions_and_throws": "cushions and their covers, throws, blankets, poufs",
            "furniture": "tables, chairs, stools, cabinets, chests of drawers, shelves, screens",
            "rugs_and_bedding": "rugs, quilts, curtains, canopies",
        },
    ),
    Category(
        "storage",
        "what keeps things other than food in order",
        {
            "boxes_and_tins": "boxes, tins, cases and crates",
            "baskets": "baskets of wicker, wire and fabric",
            "organisers": "tidies, letter racks, hangers, pegs, laundry and waste bins",
            "trinket_and_money_boxes": "trinket, jewellery and money boxes",
        },
    ),
    Category(
        "bags_and_travel",
        "bags, purses and what one takes on a journey",
        {
            "shopping_bags": "jumbo, shopping, tote, shoulder and hand bags",
            "lunch_and_cool_bags": "lunch bags, cool bags, picnic bags and baskets",
            "purses_and_wallets": "purses, wallets, wash and cosmetic bags",
            "travel": "luggage tags, passport covers, backpacks, travel bags",
        },
    ),
    Category(
        "jewellery_and_accessories",
        "what is worn or carried on the body, by people and pets",
        {
            "jewellery": "necklaces, bracelets, earrings, rings, brooches, badges",
            "hair_accessories": "hair clips, slides, combs and bands",
            "key_rings_and_charms": "key rings, bag and phone charms",
            "clothing_and_umbrellas": "umbrellas, scarves, hats, slippers, hand warmers, collars",
        },
    ),
    Category(
        "stationery",
        "writing, drawing and keeping dates; cards other than Christmas cards",
        {
            "cards": "greeting cards, postcards, invitations, writing sets",
            "notebooks_and_albums": "notebooks, pads, address books, albums",
            "pens_and_pencils": "pens, pencils and their cases, erasers, rulers, scissors, chalk",
            "stickers_and_stamps": "stickers, stamps, decorated tape",
            "boards_and_calendars": "memo, chalk and notice boards, calendars",
        },
    ),
    Category(
        "gift_wrap_and_party",
        "wrapping presents and giving parties",
        {
            "wrap_and_ribbon": "wrapping paper, tissue paper, ribbons, bows",
            "gift_bags_and_tags": "gift and party bags, gift boxes, tags",
            "party_tableware": "paper napkins, plates and cups, straws, doilies, cake candles",
            "bunting_and_garlands": "bunting, balloons, paper chains, garlands, confetti",
        },
    ),
    Category(
        "toys_and_games",
        "playing",
        {
            "games_and_puzzles": "games, jigsaws, playing cards, jokes",
            "soft_toys_and_dolls": "soft toys, dolls, puppets",
            "childrens_play": "toys, drawing and paint sets, musical and outdoor toys",
        },
    ),
    Category(
        "craft_and_sewing",
        "making things by hand",
        {
            "sewing_and_knitting": "sewing and knitting kits, patches, measuring tapes",
            "craft_kits": "felt, paper, stencil and other craft kits and materials",
        },
    ),
    Category(
        "garden_and_outdoor",
        "gardens, birds and life outdoors",
        {
            "planters": "planters, pots, plant markers, seeds and growing kits",
            "birds": "bird houses, feeders, tables and baths",
            "garden_tools_and_ornaments": "tools, watering cans, gnomes, thermometers, wind chimes",
            "outdoor_living": "parasols, hammocks, garden furniture, picnic rugs, bicycle and camping things",
        },
    ),
    Category(
        "bath_and_wellbeing",
        "bathing, toiletries, warmth and health",
        {
            "bath_and_body": "soap, towels, flannels, bathroom fittings, cosmetics",
            "hot_water_bottles": "hot water bottles and heat pads",
            "health": "plasters, first aid, tissues, manicure and massage",
        },
    ),
)
"""Every category, in the order of the documentation."""
