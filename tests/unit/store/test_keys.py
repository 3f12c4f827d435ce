"""API keys: seen once, verified by digest, revoked for good."""

import asyncio
from pathlib import Path

from onward.store.sqlite.store import open_store


def test_keys_are_created_verified_and_revoked(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_store(tmp_path, node="n") as store:
            assert not await store.keys.any()
            project = await store.project("other")
            assert project != store.default_project == await store.project("default")
            key, secret = await store.keys.create("laptop", project=project)
            assert await store.keys.any()
            assert await store.keys.verify(secret) == project
            assert await store.keys.verify(secret + "x") is None
            assert await store.keys.verify(secret[:-1] + "\ud800") is None
            assert [listed.prefix for listed in await store.keys.list()] == [key.prefix]
            assert secret.startswith(key.prefix) and secret not in str(await store.keys.list())
            assert await store.keys.revoke(key.prefix)
            assert not await store.keys.revoke(key.prefix)
            assert await store.keys.verify(secret) is None
            assert not await store.keys.any()

    asyncio.run(main())
