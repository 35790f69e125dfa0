// Sets and gets keys through ioredis's Cluster. Arguments: a node's port, how many keys.
"use strict";

const assert = require("node:assert");
const Redis = require("ioredis");

async function main(port, count) {
    const cluster = new Redis.Cluster([{ host: "127.0.0.1", port }]);
    const batch = 200;
    for (let start = 0; start < count; start += batch) {
        const numbers = Array.from({ length: Math.min(batch, count - start) }, (_, i) => start + i);
        const set = await Promise.all(numbers.map((n) => cluster.set(`js:${n}`, `value:${n}`)));
        assert(set.every((reply) => reply === "OK"));
    }
    for (let start = 0; start < count; start += batch) {
        const numbers = Array.from({ length: Math.min(batch, count - start) }, (_, i) => start + i);
        const got = await Promise.all(numbers.map((n) => cluster.get(`js:${n}`)));
        assert.deepStrictEqual(got, numbers.map((n) => `value:${n}`));
    }

    const primaries = cluster.nodes("master");
    const sizes = await Promise.all(primaries.map((node) => node.dbsize()));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.strictEqual(total, count, `${sizes}`);
    assert(Math.min(...sizes) > count / primaries.length / 2, `${sizes}`);

    const results = await cluster
        .multi()
        .set("{tag}a", 1)
        .incr("{tag}a")
        .get("{tag}a")
        .exec();
    assert.deepStrictEqual(results, [[null, "OK"], [null, 2], [null, "2"]]);
    await cluster.del("{tag}a");
    cluster.disconnect();
    console.log("ok", primaries.length, sizes.join(" "));
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error) => {
    console.error(error);
    process.exit(1);
});
