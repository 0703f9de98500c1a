from app.csms.throttle import (
    FORGIVEN_AFTER_S,
    FREE_PER_ADDRESS,
    FREE_PER_STATION,
    LONGEST_ADDRESS_WAIT_S,
    LONGEST_WAIT_S,
    MAX_REMEMBERED,
    Flapping,
    LoginThrottle,
)


def after_failures(count: int, station_id: str = "cs01", address: str = "10.0.0.1") -> LoginThrottle:
    throttle = LoginThrottle()
    for number in range(count):
        throttle.failed(station_id.format(number), address.format(number), 0.0)
    return throttle


def test_a_few_failures_are_free_and_then_each_doubles_the_wait() -> None:
    waits = [after_failures(FREE_PER_STATION - 1 + more).wait_s("cs01", "elsewhere", 0.0) for more in range(5)]

    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert after_failures(60).wait_s("cs01", "elsewhere", 0.0) == LONGEST_WAIT_S


def test_who_tries_many_stations_from_one_address_waits_there_only() -> None:
    throttle = after_failures(FREE_PER_ADDRESS, "cs{}")

    assert throttle.wait_s("new", "10.0.0.1", 0.0) == 1.0
    assert throttle.wait_s("new", "10.0.0.2", 0.0) == 0.0
    assert after_failures(500, "cs{}").wait_s("new", "10.0.0.1", 0.0) == LONGEST_ADDRESS_WAIT_S


def test_many_addresses_that_try_one_station_wait_together() -> None:
    throttle = after_failures(FREE_PER_STATION + 3, "cs01", "10.0.0.{}")

    assert throttle.wait_s("cs01", "10.0.9.9", 0.0) == 8.0


def test_the_wait_passes_and_quiet_is_forgiven() -> None:
    throttle = after_failures(FREE_PER_STATION + 3)

    assert throttle.wait_s("cs01", "10.0.0.1", 8.1) == 0.0
    throttle.failed("cs01", "10.0.0.1", FORGIVEN_AFTER_S + 1)
    assert throttle.wait_s("cs01", "10.0.0.1", FORGIVEN_AFTER_S + 1) == 0.0


def test_a_success_wipes_the_slate_of_its_station() -> None:
    throttle = after_failures(FREE_PER_STATION - 1)

    throttle.succeeded("cs01", "10.0.0.1")
    throttle.failed("cs01", "10.0.0.1", 0.0)

    assert throttle.wait_s("cs01", "10.0.0.2", 0.0) == 0.0


def test_where_a_station_last_came_from_it_waits_a_second_at_most() -> None:
    throttle = LoginThrottle()
    throttle.succeeded("cs01", "10.0.0.1")
    for _ in range(30):
        throttle.failed("cs01", "10.6.6.6", 0.0)

    assert throttle.wait_s("cs01", "10.0.0.1", 0.0) == 1.0
    assert throttle.wait_s("cs01", "10.6.6.6", 0.0) == LONGEST_WAIT_S


def test_memory_is_bounded() -> None:
    throttle = after_failures(MAX_REMEMBERED + 100, "cs{}", "10.{}")

    assert len(throttle._by_station) == len(throttle._by_address) == MAX_REMEMBERED


def test_a_station_may_connect_so_often_a_minute_and_its_lock_out_is_news_once() -> None:
    flapping = Flapping(most=3)

    assert [flapping.admits("cs01", at) for at in (0.0, 1.0, 2.0, 3.0, 59.0)] == [True, True, True, False, False]
    assert [flapping.is_news("cs01"), flapping.is_news("cs01")] == [True, False]
    assert flapping.admits("cs02", 3.0)
    assert flapping.admits("cs01", 60.0)
    assert not flapping.admits("cs01", 60.5)
    assert flapping.is_news("cs01")


def test_a_clock_that_is_put_back_keeps_nobody_out() -> None:
    flapping = Flapping(2)
    assert [flapping.admits("cs01", 7200.0 + second) for second in range(3)] == [True, True, False]

    assert flapping.admits("cs01", 3600.0)
