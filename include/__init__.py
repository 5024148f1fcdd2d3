"""Retail Lakehouse: the plain Python package behind the DAG. It imports neither Airflow nor Spark."""
