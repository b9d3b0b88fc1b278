"""The app as a WSGI server and the `flask` command find it."""

import sys

from bff import create_app
from config import Config, ConfigError

try:
    app = create_app(Config.from_env())
except ConfigError as error:
    sys.exit(str(error))  # the list of faults, and no traceback
