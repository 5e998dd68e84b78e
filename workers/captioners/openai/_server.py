"""One OpenAI-compatible server: sends chat requests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.workers.captioners.openai._answer import (
    SECTION,
    Failed,
    RefusedRequest,
    ServerAnswer,
    read_answer,
)
from kaption.workers.policy.recaption import OpenAIPolicy

if TYPE_CHECKING:
    import httpx2

Body = dict[str, Any]
T = TypeVar("T")


class ChatServer:
    """Sends requests to one server, `concurrency` at once, while its caller's thread waits.

    The client is httpx2. The package `openai` was rejected: it is built on the same client, refuses
    what it cannot parse, and sleeps before its own retries where a stop of the worker cannot end
    the sleep.
    """

    def __init__(self, policy: OpenAIPolicy) -> None:
        """Raises Fatal where the settings make no client."""
        try:
            import httpx2
        except ImportError as error:
            raise Fatal(
                "the captioner openai needs the package httpx2: install kaption[worker]"
            ) from error

        self._policy = policy
        self._url = httpx2.URL(policy.base_url)
        shown = self._url.copy_with(query=None, fragment=None)
        self.name = str(shown).rstrip("/")
        """For people: the URL without its query, which may hold a key."""
        self.together = True
        """Whether the server makes several choices of one request."""
        key = policy.api_key.get_secret_value().strip() if policy.api_key else ""
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._key = key
        if not (key.isascii() and key.isprintable()):
            raise Fatal(
                f"{SECTION}.api_key has characters that no HTTP header can hold: copy the key again"
            )
        try:
            self._tls = httpx2.create_ssl_context()
            if policy.ca_file:
                self._tls = ssl.create_default_context(cafile=policy.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(f"{SECTION}.ca_file {policy.ca_file}: {error}") from error

    def models(self) -> list[dict[str, Any]]:
        """The server's list of models; empty where it has none, or shows none. Raises Retry."""

        async def get(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
            response = await self._answered(client, "GET", "models", None)
            try:
                found = response.json()["data"] if response.is_success else []
                return [each for each in found if isinstance(each["id"], str)]
            except (ValueError, LookupError, TypeError):
                return []

        return self._run(get)

    def ask(self, asked: Sequence[tuple[Body, int]]) -> list[ServerAnswer | RefusedRequest | Fault]:
        """What became of each request; the number says how many choices to make of it.

        After a request that finds the server busy or away, those that are not sent yet are left
        out: they have the same Retry.
        """

        async def all_of_them(
            client: httpx2.AsyncClient,
        ) -> list[ServerAnswer | RefusedRequest | Fault]:
            limit, stop = asyncio.Semaphore(self._policy.concurrency), list[Fault]()

            async def one(body: Body, choices: int) -> ServerAnswer | RefusedRequest | Fault:
                try:
                    return await self._choices(client, limit, stop, body, choices)
                except (RefusedRequest, Fault) as error:
                    return error

            return await asyncio.gather(*(one(*each) for each in asked))

        return self._run(all_of_them)

    def _run(self, work: Callable[[httpx2.AsyncClient], Awaitable[T]]) -> T:
        import httpx2

        policy = self._policy
        timeout = httpx2.Timeout(policy.read_timeout_s, connect=policy.connect_timeout_s, pool=None)
        limits = httpx2.Limits(max_connections=policy.concurrency)

        async def with_client() -> T:
            # A client lasts for one batch: connections belong to an event loop, and a loop that
            # outlives the call would need an owner who closes it.
            try:
                client = httpx2.AsyncClient(
                    headers=self._headers, verify=self._tls, timeout=timeout, limits=limits
                )
            except (ValueError, ImportError) as error:  # a proxy's URL, a package for its protocol
                raise Fatal(
                    f"the proxy that the environment names cannot be used ({error}): correct"
                    " HTTPS_PROXY"
                ) from error
            async with client:
                return await work(client)

        return asyncio.run(with_client())

    async def _choices(
        self,
        client: httpx2.AsyncClient,
        limit: asyncio.Semaphore,
        stop: list[Fault],
        body: Body,
        choices: int,
    ) -> ServerAnswer:
        async def post(body: Body) -> ServerAnswer:
            async with limit:
                if stop:
                    raise stop[0]
                try:
                    return read_answer(
                        await self._answered(client, "POST", "chat/completions", body)
                    )
                except Failed:
                    raise
                except Fault as error:
                    stop.append(error)
                    raise

        got: list[ServerAnswer] = []
        if choices == 1 or self.together:
            got.append(await post(body | ({"n": choices} if choices > 1 else {})))
            if choices == 1 or got[0].choices > 1:
                return got[0]
            self.together = False  # the server does not know `n`
        seed = body.get("seed")
        more = [
            body if seed is None else body | {"seed": seed + number}
            for number in range(len(got), choices)
        ]
        rest = await asyncio.gather(*map(post, more), return_exceptions=True)
        got += [each for each in rest if isinstance(each, ServerAnswer)]
        errors = [each for each in rest if isinstance(each, BaseException)]
        worse = [each for each in errors if not isinstance(each, RefusedRequest)]
        if worse or not got:
            raise (worse or errors)[0]
        return sum(got[1:], got[0])

    async def _answered(
        self, client: httpx2.AsyncClient, method: str, path: str, body: Body | None
    ) -> httpx2.Response:
        """Any answer. Raises Retry where none comes, and Fatal where none can come."""
        import httpx2

        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")
        try:
            async with asyncio.timeout(self._policy.total_timeout_s):
                response = await client.request(method, url, json=body)
        except TimeoutError as error:
            raise Retry(
                f"{self.name} gave no whole answer in {SECTION}.total_timeout_s"
                f" ({self._policy.total_timeout_s:g} s)"
            ) from error
        except httpx2.HTTPError as error:
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                raise Fatal(
                    f"the certificate of {self.name} is not trusted ({_root(error)}): set"
                    f" {SECTION}.ca_file"
                ) from error
            raise Retry(
                f"{self.name} cannot be reached: {type(error).__name__}: {error}"
            ) from error
        if not self._key or self._key not in response.text:
            return response
        # Some servers repeat a wrong key, and what they say is logged.
        kept = {
            name: response.headers[name] for name in ("retry-after",) if name in response.headers
        }
        return httpx2.Response(
            response.status_code,
            headers=kept,
            text=response.text.replace(self._key, "***"),
            request=response.request,
        )


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
