"""Where the API's data is: repositories over both sides of the warehouse, the lake, folders and Airflow."""
