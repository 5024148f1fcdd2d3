"""Source files of any accepted kind -> one Parquet file of raw text rows each, with the decisions made."""
