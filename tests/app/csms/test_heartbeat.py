from app.csms.heartbeat import heartbeat_interval_s


def test_intervals_spread_over_a_fifth_and_never_exceed_the_setting() -> None:
    intervals = [heartbeat_interval_s(f"cs{number:05}", 300) for number in range(10_000)]

    assert (min(intervals), max(intervals)) == (240, 300)
    assert all(intervals.count(seconds) < 400 for seconds in set(intervals))  # evenly: 164 each


def test_a_station_is_always_told_the_same() -> None:
    assert heartbeat_interval_s("cs01", 300) == heartbeat_interval_s("cs01", 300)
