"""How the parts in this room talk to Redis."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# What has run out may meanwhile be somebody else's.
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
# A shorter time does not take the place of a longer one.
HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], 'hold', 'PX', ARGV[1])
end
return 1
"""


def briefly(client: redis.Redis) -> redis.Redis:
    """Return the client, which from now on tries twice at most.

    By itself it tries eleven times with pauses: 3.5 s for each operation while
    Redis is gone. Once more, at once, is enough for a connection that Redis has
    closed because it was idle.
    """
    client.set_retry(Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))
    return client
