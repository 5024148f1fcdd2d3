"""Enrichment: exchange rates, country facts and product categories, from offline data first."""
