"""The app as a WSGI server and the `flask` command find it."""

import gc
import sys

from bff import create_app
from config import Config, ConfigError

try:
    app = create_app(Config.from_env())
except ConfigError as error:
    sys.exit(str(error))  # the list of faults, and no traceback

# What is loaded stays, and a collection of garbage, during which no other thread runs, need not
# look through it each time.
gc.collect()
gc.freeze()
