from app.api.dashboard import PLOTLY
from tests.app.api.builders import an_api, wrong


async def test_the_page_may_load_nothing_from_elsewhere_and_be_framed_by_nobody() -> None:
    async with an_api() as api:
        page = await api.anonymous.get("/")

        policy = page.headers["content-security-policy"]
        assert page.status_code == 200
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy.replace("default-src", "")
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"


async def test_plotly_comes_from_the_installed_package_compressed_and_for_ever() -> None:
    async with an_api() as api:
        page = await api.anonymous.get("/")
        assert f"/static/{PLOTLY}" in page.text

        script = await api.anonymous.get(f"/static/{PLOTLY}")
        plain = await api.anonymous.get(f"/static/{PLOTLY}", headers={"Accept-Encoding": "identity"})

        assert script.headers["content-encoding"] == "gzip"
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"].startswith("text/javascript")
        assert int(script.headers["content-length"]) < 2_000_000 < len(plain.content)
        assert plain.content == script.content


async def test_the_dashboards_own_files_are_served_with_their_type() -> None:
    async with an_api() as api:
        script = await api.anonymous.get("/static/app.js")
        style = await api.anonymous.get("/static/style.css")

        assert (script.status_code, style.status_code) == (200, 200)
        assert script.headers["content-type"].startswith("text/javascript")
        assert style.headers["content-type"].startswith("text/css")


async def test_no_path_leads_out_of_the_dashboards_folder() -> None:
    async with an_api() as api:
        for name in (
            "..%2fmain.py",
            "%2e%2e%2fkeys.py",
            ".env",
            "index",
            "main.py",
            "app.js%00",
            "%2fetc%2fpasswd",
        ):
            wrong(await api.anonymous.get(f"/static/{name}"), 404)
