"""The page on which people judge pairs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kaption.connections.errors import Retry
from kaption.objectstore import CorruptBlobError
from kaption.schemas import BlobRef, CleanPair
from kaption.schemas.address import is_web
from kaption.workers.audit.decision import UnusableText, Verdict
from kaption.workers.audit.desk import AuditDesk, GoneError
from kaption.workers.audit.login import COOKIE, Login
from kaption.workers.audit.security import SecurityHeaders, same_origin
from kaption.workers.policy.audit import AuditPolicy

_HERE = Path(__file__).parent
_BODY_BYTES = 1024 * 1024
_IMAGES = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"}
"""What is shown. An SVG is a document with scripts."""
_VERDICTS = {"accept": Verdict.ACCEPT, "edit": Verdict.EDIT, "reject": Verdict.REJECT}

_log = logging.getLogger(__name__)

Form = dict[str, str]


class AuditPages:
    """The routes. The desk waits for servers, so it is called in threads."""

    def __init__(self, desk: AuditDesk, login: Login, policy: AuditPolicy) -> None:
        self._desk = desk
        self._login = login
        self._policy = policy
        loader = FileSystemLoader(_HERE / "templates")
        self._pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)

    def app(self) -> Starlette:
        """The ASGI application."""
        app = Starlette(
            routes=[
                Route("/", self._index),
                Route("/login", self._enter, methods=["POST"]),
                Route("/logout", self._leave, methods=["POST"]),
                Route("/decide", self._decide, methods=["POST"]),
                Route("/undo", self._undo, methods=["POST"]),
                Route("/image/{signed}", self._image),
                Route("/healthz", lambda _: PlainTextResponse("ok")),
                Mount("/static", StaticFiles(directory=_HERE / "static")),
            ],
            middleware=[Middleware(SecurityHeaders)],
            exception_handlers={HTTPException: self._refusal, Retry: self._later},
        )
        # Starlette would lead /login/ to the host that the request names, whoever named it.
        app.router.redirect_slashes = False
        return app

    async def _index(self, request: Request) -> Response:
        by = self._login.person(request)
        if by is None:
            return self._page("login.html", status=200, wrong=False)
        return await run_in_threadpool(self._work, by)

    def _work(self, by: str, told: str = "", kept: str = "") -> Response:
        """The page with the next pair. `told` says why a form was refused, `kept` is its text."""
        pair = self._desk.next(by)
        last = self._desk.last(by)
        return self._page(
            "pair.html",
            status=409 if told else 200,
            by=by,
            pair=pair,
            image=pair and self._login.sign("image", pair.image.blob.model_dump()),
            page_url=pair and _link(pair),
            # Signed: a browser would change line breaks in a name.
            pair_id=pair and self._login.sign("pair", pair.pair_id),
            seen=pair and self._desk.seen(pair.pair_id, by),
            last=last,
            work=self._desk.work(by),
            csrf=self._login.sign("form", by),
            can_leave=not self._policy.user_header,
            told=told,
            kept=kept,
        )

    async def _enter(self, request: Request) -> Response:
        form = await _form(request)
        session = self._login.session(form.get("token", ""))
        client = request.client.host if request.client else ""
        _log.info("login", extra={"client": client, "allowed": session is not None})
        if session is None:
            return self._page("login.html", status=403, wrong=True)
        answer = RedirectResponse("./", 303)
        secure = _scheme(request, self._login) == "https"
        seconds = int(self._policy.session_s)
        answer.set_cookie(
            COOKIE, session, max_age=seconds, httponly=True, samesite="strict", secure=secure
        )
        return answer

    async def _leave(self, request: Request) -> Response:
        await self._checked(request)
        answer = RedirectResponse("./", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def _decide(self, request: Request) -> Response:
        by, form = await self._checked(request)
        pair_id, text = self._login.read("pair", form.get("pair_id", "")), form.get("text", "")
        if not isinstance(pair_id, str):
            raise HTTPException(400, "the form names no pair that was shown")

        def work() -> Response:
            if form.get("verdict") == "skip":
                self._desk.skip(by, pair_id)
                return RedirectResponse("./", 303)
            verdict = _VERDICTS.get(form.get("verdict", ""))
            if verdict is None:
                raise HTTPException(400, "the form names no decision")
            written = {"text": text, "note": form.get("note", "")}
            try:
                self._desk.decide(by, pair_id, verdict, form.get("seen", ""), **written)
            except (GoneError, UnusableText) as error:
                return self._work(by, f"Nothing was saved: {error}.", text)
            except Retry as error:
                return self._unsaved(error, text)
            return RedirectResponse("./", 303)

        return await run_in_threadpool(work)

    async def _undo(self, request: Request) -> Response:
        by, form = await self._checked(request)

        def work() -> Response:
            if self._desk.undo(by, form.get("seen", "")) is None:
                told = (
                    "Nothing more was undone: this decision no longer stands, or its pair is gone."
                )
                return self._work(by, told)
            return RedirectResponse("./", 303)

        return await run_in_threadpool(work)

    async def _image(self, request: Request) -> Response:
        if self._login.person(request) is None:
            raise HTTPException(401, "log in first")
        try:
            blob = BlobRef.model_validate(self._login.read("image", request.path_params["signed"]))
            data = await run_in_threadpool(self._desk.image, blob)
        except (ValidationError, KeyError, CorruptBlobError) as error:
            raise HTTPException(404, "there is no such image") from error
        if blob.media_type not in _IMAGES:
            raise HTTPException(415, f"images of type {blob.media_type} are not shown")
        headers = {"Cache-Control": "private, max-age=600"}
        return Response(data, media_type=blob.media_type, headers=headers)

    async def _checked(self, request: Request) -> tuple[str, Form]:
        """The person and the form, where a page of ours sent it for this person."""
        form = await _form(request)
        request.state.text = form.get("text", "")
        by = self._login.person(request)
        if by is None:
            raise HTTPException(401, "your session has ended: log in, and decide again")
        if self._login.read("form", form.get("csrf", "")) != by:
            raise HTTPException(403, "this form is too old, or of another page: load it again")
        return by, form

    def _refusal(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = f"{error.detail[:1].upper()}{error.detail[1:]}."
        kept = getattr(request.state, "text", "")
        return self._page("problem.html", status=error.status_code, told=told, kept=kept)

    def _later(self, request: Request, error: Exception) -> Response:
        return self._unsaved(error, "")

    def _unsaved(self, error: Exception, kept: str) -> Response:
        _log.warning("a server is away", extra={"error": str(error)})
        told = "A server does not answer. Nobody knows yet whether your decision was saved: send it"
        told += " again, which saves it once."
        return self._page("problem.html", status=503, told=told, kept=kept)

    def _page(self, name: str, *, status: int, **values: Any) -> Response:
        return HTMLResponse(self._pages.get_template(name).render(values), status)


async def _form(request: Request) -> Form:
    """The form in the body. Raises HTTPException."""
    if not same_origin(request):
        raise HTTPException(403, "another site sent this form")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "send the form as application/x-www-form-urlencoded")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise HTTPException(413, f"a form may have {_BODY_BYTES} bytes")
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise HTTPException(400, "the form cannot be read") from error
    return {name: values[-1] for name, values in found.items()}


def _scheme(request: Request, login: Login) -> str:
    """https also where the reverse proxy says that the browser came so."""
    told = request.headers.get("x-forwarded-proto") if login.from_proxy(request) else None
    return told or request.url.scheme


def _link(pair: CleanPair) -> str | None:
    """The page's address, where a browser may follow it: javascript: is an address too."""
    url = pair.page_url
    return url if url and is_web(url) else None
