"""Who may use the API: tokens, sessions of browsers, other sites, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.http import TOKEN, HttpEnv
from wfe.config import GatewayOptions
from wfe.errors import ConfigError
from wfe.gateway import sessions as module
from wfe.gateway.process import check_place, listen, parse_http, url_of
from wfe.gateway.sessions import COOKIE, Sessions
from wfe.limits import SESSION_S


@pytest.fixture(scope="module")
def http() -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        yield http


def test_every_route_below_the_api_needs_the_token_but_those_about_sessions(http: HttpEnv) -> None:
    schema = http.app.openapi_schema.to_schema()
    checked = 0
    for path, item in schema["paths"].items():
        for method in {"get", "post", "put", "delete"} & item.keys():
            if path.startswith("/api/v1/session") or path in ("/healthz", "/readyz") or path.startswith("/hooks"):
                continue
            answer = http.ask(method.upper(), path.replace("{", "").replace("}", ""), token=None)
            assert answer.status == 401, (method, path, answer)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            checked += 1
    assert checked > 20


def test_a_wrong_token_is_refused_even_beside_a_good_session(http: HttpEnv) -> None:
    cookie = f"{COOKIE}={http.gateway.sessions.cookie()}"
    assert http.get("/api/v1/runs", token=None, headers={"cookie": cookie}).status == 200
    assert http.get("/api/v1/runs", token="wrong", headers={"cookie": cookie}).status == 401
    assert http.get("/api/v1/runs", token="wröng").status == 401


def test_a_browser_logs_in_with_the_printed_code_once(http: HttpEnv) -> None:
    code = http.gateway.sessions.login_code
    answer = http.get("/login", query={"code": code}, token=None)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    (cookie,) = answer.cookies
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    session = cookie.partition(";")[0]
    assert http.get("/api/v1/session", token=None, headers={"cookie": session}).json() == {"authenticated": True}
    assert http.get("/login", query={"code": code}, token=None).cookies == []
    assert http.get("/login", token=None).cookies == []
    assert http.get("/api/v1/session", token=None).json() == {"authenticated": False}


def test_a_browser_logs_in_with_the_token_and_out(http: HttpEnv) -> None:
    assert http.post("/api/v1/session", {"token": "nonsense"}, token=None).status == 401
    answer = http.post("/api/v1/session", {"token": TOKEN}, token=None)
    assert answer.json() == {"authenticated": True}
    assert len(answer.cookies) == 1
    (gone,) = http.post("/api/v1/session/end", token=None).cookies
    assert "Max-Age=0" in gone
    elsewhere = http.post("/api/v1/session/end", token=None, headers={"origin": "https://elsewhere.example"})
    assert (elsewhere.status, elsewhere.cookies) == (403, [])


def test_a_session_changes_something_only_from_the_gateways_own_pages(http: HttpEnv) -> None:
    headers = {"cookie": f"{COOKIE}={http.gateway.sessions.cookie()}"}
    body = {"workflow": "nothing"}
    assert http.post("/api/v1/runs", body, token=None, headers=headers).status == 403
    for origin in ("https://elsewhere.example", "null", "http://127.0.0.1:7781"):
        assert http.post("/api/v1/runs", body, token=None, headers={**headers, "origin": origin}).status == 403
    own = {**headers, "origin": "http://127.0.0.1:7780"}
    assert http.post("/api/v1/runs", body, token=None, headers=own).status == 404


def test_a_session_ends_with_its_time_and_cannot_be_forged() -> None:
    now = [1_000.0]
    sessions = Sessions(TOKEN, lambda: now[0])
    cookie = sessions.cookie()
    assert Sessions(TOKEN, lambda: now[0]).is_session(cookie)
    assert not Sessions("another-token-of-16", lambda: now[0]).is_session(cookie)
    until, dice, signature = cookie.split(".")
    rest = f"{dice}.{signature}"
    for forged in (
        "",
        ".",
        "..",
        f"{until}.",
        f"{until}.{rest[:-1]}",
        f"{until}.{signature}",
        f"٣.{rest}",
        f"-{cookie}",
    ):
        assert not sessions.is_session(forged)
    assert not sessions.is_session(f"{int(until) + 1}.{rest}")
    now[0] += SESSION_S
    assert not sessions.is_session(cookie)


def test_a_copied_cookie_is_void_once_its_browser_logged_out_and_others_stay(http: HttpEnv) -> None:
    def cookie() -> str:
        (answer,) = http.post("/api/v1/session", {"token": TOKEN}, token=None).cookies
        return answer.partition(";")[0]

    def reads(session: str) -> int:
        return http.get("/api/v1/runs", token=None, headers={"cookie": session}).status

    mine, other = cookie(), cookie()
    assert [reads(mine), reads(other)] == [200, 200]
    elsewhere = {"cookie": mine, "origin": "https://elsewhere.example"}
    assert http.post("/api/v1/session/end", token=None, headers=elsewhere).status == 403
    assert reads(mine) == 200
    for _ in range(2):
        assert http.post("/api/v1/session/end", token=None, headers={"cookie": mine}).status == 200
        assert [reads(mine), reads(other)] == [401, 200]


def test_sessions_that_ended_are_forgotten_with_their_time_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_ENDED_MAX", 2)
    now = [1_000.0]
    sessions = Sessions(TOKEN, lambda: now[0])
    first = sessions.cookie()
    sessions.end(first)
    sessions.end("forged")
    now[0] += SESSION_S - 1
    second, third, fourth = (sessions.cookie() for _ in range(3))
    sessions.end(second)
    now[0] += 1
    sessions.end(third)
    assert not any(map(sessions.is_session, (first, second, third))), "the first one's time was over, room was its"
    sessions.end(fourth)
    assert not any(map(sessions.is_session, (third, fourth)))
    assert sessions.is_session(second), "past the bound the oldest is forgotten"


def test_without_a_token_nobody_is_let_in() -> None:
    sessions = Sessions("", lambda: 0.0)
    assert not sessions.is_token("")
    assert not sessions.is_session(sessions.cookie())


def test_all_answers_carry_the_policy_errors_and_files_too(http: HttpEnv) -> None:
    for path in ("/healthz", "/api/v1/nothing", "/api.css", "/api/v1/openapi", "/api/v1/runs/x"):
        answer = http.get(path)
        assert "script-src 'self'" in answer.headers["content-security-policy"], path
        assert "unsafe" not in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_origins_get_no_permission_unless_they_are_named(http: HttpEnv) -> None:
    asked = {"origin": "https://ours.example", "access-control-request-method": "GET"}
    assert "access-control-allow-origin" not in http.ask("OPTIONS", "/api/v1/runs", headers=asked).headers
    with HttpEnv(cors=["https://ours.example"]) as open_one:
        answer = open_one.ask("OPTIONS", "/api/v1/runs", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://ours.example"


def test_the_documentation_page_names_every_route_and_loads_nothing_from_elsewhere(http: HttpEnv) -> None:
    page = http.get("/api/v1/openapi", token=None)
    assert page.headers["content-type"].startswith("text/html")
    for path in http.app.openapi_schema.to_schema()["paths"]:
        assert path in page.text
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert 'href="http' not in page.text
    document = http.get("/api/v1/openapi/openapi.json", token=None).json()
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:99999", "127.0.0.1:8x"])
def test_what_is_no_place_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_http(text)


def test_beyond_loopback_it_listens_only_with_tls_or_on_a_trusted_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clear text"):
        check_place(GatewayOptions(http="0.0.0.0:7780"))
    check_place(GatewayOptions(http="0.0.0.0:7780", trusted_network=True))
    check_place(GatewayOptions(http="[::1]:7780"))
    with pytest.raises(ConfigError, match="both"):
        check_place(GatewayOptions(http="0.0.0.0:7780", tls_cert="cert.pem"))
    with pytest.raises(ConfigError, match="cannot be read"):
        check_place(GatewayOptions(tls_cert=str(tmp_path / "cert"), tls_key=str(tmp_path / "key")))


def test_a_port_that_is_taken_is_said() -> None:
    with listen("127.0.0.1:0") as listener:
        url = url_of(listener, secure=False)
        with pytest.raises(OSError, match="in use"):
            listen(url.removeprefix("http://"))
