"""The report page: charts and pictures in one file, without a script."""
