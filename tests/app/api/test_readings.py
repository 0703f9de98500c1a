from app.api.readings import EXAMPLE, EXAMPLE_CSV
from app.events import ReadingsArrived
from tests.app.api.builders import NOW, an_api, wrong

PATH = "/v1/sites/depot/readings"
CSV = {"content-type": "text/csv; charset=utf-8"}
RANGE = {"meter_id": "grid", "start": "2026-06-01T00:00:00Z", "end": "2026-06-02T00:00:00Z"}


async def test_readings_come_back_in_utc() -> None:
    async with an_api() as api:
        stored = await api.client.post(PATH, json=EXAMPLE)

        assert (stored.status_code, stored.json()) == (201, {"received": 2, "stored": 2})
        assert (await api.client.get(PATH, params=RANGE)).json() == [
            {"at": "2026-06-01T08:00:00Z", "kw": 31.4},
            {"at": "2026-06-01T08:15:00Z", "kw": 28.9},
        ]
        assert api.heard == [ReadingsArrived("depot", NOW)]


async def test_csv_says_the_same() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json=EXAMPLE)

        again = await api.client.post(PATH, content=EXAMPLE_CSV, headers=CSV)

        assert again.json() == {"received": 2, "stored": 0}


async def test_a_spreadsheets_csv_is_read_with_its_byte_order_mark_and_quotes() -> None:
    text = '\ufeffmeter_id, at, kw\r\n"grid","2026-06-01T10:00:00Z"," 3.5 "\r\n\r\n'
    async with an_api() as api:
        assert (await api.client.post(PATH, content=text.encode(), headers=CSV)).json()["stored"] == 1


async def test_the_end_of_a_range_is_not_in_it() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json=EXAMPLE)

        rows = (await api.client.get(PATH, params=RANGE | {"end": "2026-06-01T08:15:00Z"})).json()

        assert [row["kw"] for row in rows] == [31.4]


async def test_a_wrong_row_of_a_csv_is_named_and_nothing_is_stored() -> None:
    cases = {
        "grid,2026-06-01T10:15:00Z,high": ("readings[1].kw", "high"),
        "grid,2026-06-01T10:15:00,1": ("readings[1].at", "2026-06-01T10:15:00"),
        "grid,2026-06-01T10:15:00Z,nan": ("readings[1].kw", "NaN"),
        "attic,2026-06-01T10:15:00Z,1": ("readings[1].meter_id", "attic"),
        "grid,1": ("readings[1]", "grid,1"),
        '"grid': ("line 3", "CSV"),
    }
    async with an_api() as api:
        for row, (field, value) in cases.items():
            text = f"meter_id,at,kw\ngrid,2026-06-01T10:00:00Z,1\n{row}\n"
            response = await api.client.post(PATH, content=text, headers=CSV)

            assert wrong(response)["field"] == field
            assert value in response.text
        assert (await api.client.get(PATH, params=RANGE)).json() == []


async def test_a_csv_with_another_header_is_refused() -> None:
    async with an_api() as api:
        for text in ("", "time,value\n", "\n", "meter_id;at;kw\n"):
            wrong(await api.client.post(PATH, content=text, headers=CSV))


async def test_a_range_has_an_end() -> None:
    async with an_api() as api:
        error = wrong(await api.client.get(PATH, params=RANGE | {"end": "2027-12-01T00:00:00Z"}))

        assert error["field"] == "end"


async def test_another_content_type_is_refused() -> None:
    async with an_api() as api:
        for headers in ({"content-type": "application/xml"}, {}):
            wrong(await api.client.post(PATH, content=b"<a/>", headers=headers), 415)


async def test_readings_of_a_site_that_does_not_exist_are_refused() -> None:
    async with an_api() as api:
        wrong(await api.client.post("/v1/sites/attic/readings", json=EXAMPLE), 404)
