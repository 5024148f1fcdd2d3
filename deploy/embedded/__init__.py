"""The embedded default: PostgreSQL and Airflow's four components on this machine, below the data folder."""
