"""The medallion stages: a thin main each over DataFrame -> DataFrame transformations."""
