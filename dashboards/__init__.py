"""The application: pages, HTTP routes and the server, run with `python -m dashboards`."""
