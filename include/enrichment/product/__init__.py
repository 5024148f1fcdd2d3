"""Category, subcategory and brand of a product, read off its description by a model trained from `phrases.tsv`."""
