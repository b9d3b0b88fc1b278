"""The yardstick: the least that a Flask route can do, under the same server as the BFF."""

from flask import Flask, Response

app = Flask(__name__, static_folder=None)


@app.get("/health")
@app.get("/bare")
def bare() -> Response:
    """Answer at once."""
    return Response(b'{"status":"healthy"}', content_type="application/json")
