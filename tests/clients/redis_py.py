"""Sets and gets keys through redis-py's RedisCluster. Arguments: a node's port, how many keys."""

import sys

from redis.cluster import RedisCluster

port, count = int(sys.argv[1]), int(sys.argv[2])
client = RedisCluster(host="127.0.0.1", port=port)

for number in range(count):
    assert client.set(f"py:{number}", f"value:{number}") is True
for number in range(count):
    assert client.get(f"py:{number}") == f"value:{number}".encode(), number

primaries = client.get_primaries()
sizes = [client.dbsize(target_nodes=node) for node in primaries]
assert sum(sizes) == count, sizes
assert min(sizes) > count / len(primaries) / 2, sizes

# What goes to one slot, and what redis-py splits over slots.
assert client.mset_nonatomic({f"py:{n}": "again" for n in range(100)})
assert client.mget_nonatomic([f"py:{n}" for n in range(100)]) == [b"again"] * 100
assert client.mset({"{tag}a": 1, "{tag}b": 2}) is True
assert client.incr("{tag}a") == 2
with client.pipeline() as pipeline:
    for number in range(100):
        pipeline.incrby(f"py:counter:{number}", number)
    assert pipeline.execute() == list(range(100))
assert client.delete(*[f"py:counter:{number}" for number in range(100)]) == 100
found = sum(1 for _ in client.scan_iter(match="py:*", count=500))
assert found == count, found
print("ok", len(primaries), sizes)
