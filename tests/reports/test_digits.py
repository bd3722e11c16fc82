from __future__ import annotations

import math

import pytest

from modeldyno.reports.text.digits import MISSING, Shown, count, decimals, figures, share, shown, whole
from modeldyno.reports.text.phrases import log_text, moment, price, said

DASH = "\u2013"


@pytest.mark.parametrize(
    ("value", "ends", "unit", "expected"),
    [
        (0.4237, (0.41, 0.44), "$", Shown("$0.42", f"0.41{DASH}0.44")),
        (31.26, (29.8, 33.1), "ms", Shown("31 ms", f"30{DASH}33")),
        (31.26, (31.21, 31.31), "ms", Shown("31.26 ms", f"31.21{DASH}31.31")),
        (1234.5, (1190.0, 1280.0), "", Shown("1,234", f"1,190{DASH}1,280")),
        (0.5, (0.1, 4.0), "$", Shown("$0.50", f"0.10{DASH}4.00")),  # never fewer than two digits of the value
        (48.2, (45.1, None), "ms", Shown("48 ms", "\u2265 45")),
        (12.3456, (None, None), "ms", Shown("12.3 ms")),
        (0.001234, (None, None), "$", Shown("$0.00123")),
        (0.0, (0.0, 0.0), "", Shown("0")),
        # An interval holds its estimate, also where a record's does not.
        (139.0, (144.0, None), "ms", Shown("139 ms", "\u2265 139")),
        (0.9, (0.95, 1.4), "", Shown("0.90", f"0.90{DASH}1.40")),
        # Zeros that bound nothing are not printed.
        (1.3, (0.0, None), "", Shown("1.3")),
        (1.3, (0.001, math.inf), "", Shown("1.3")),
        (1.3, (0.0, 4.0), "", Shown("1.3", "\u2264 4.0")),
        (2e-9, (1e-9, 3e-9), "$", Shown("under $0.000001")),
        (-0.3, (-0.5, 0.1), "", Shown("-0.30", f"-0.50{DASH}0.10")),
    ],
)
def test_digits_match_the_error(
    value: float, ends: tuple[float | None, float | None], unit: str, expected: Shown
) -> None:
    assert shown(value, *ends, unit) == expected


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    assert shown(None, 1.0, 2.0, "ms") == Shown(MISSING)
    assert shown(math.nan).text == whole(None) == share(None) == MISSING


def test_an_infinite_cost_has_no_interval_and_no_unit() -> None:
    assert shown(math.inf, 3.0, math.inf, "$") == Shown("\u221e")


def test_an_interval_open_upwards_says_so() -> None:
    assert shown(2.0, 1.5, math.inf, "$") == Shown("$2.0", "\u2265 1.5")


def test_error_just_below_a_power_of_ten_counts_as_that_power() -> None:
    assert decimals(0.43, 0.43 - 0.01, 0.44) == 2  # 0.43 - 0.42 is 0.0100000000000000009 in binary
    assert decimals(5.0, 4.9000000001, 5.0999999999) == 1


def test_shares_are_worded_in_per_cent() -> None:
    assert [share(value) for value in (0.0, 0.00123, 0.0123, 0.0996, 0.873, 1.0)] == [
        "0 %",
        "0.12 %",
        "1.2 %",
        "10 %",
        "87 %",
        "100 %",
    ]


def test_prices_keep_all_their_digits() -> None:
    assert [price(usd) for usd in (0.10264, 0.34, 1.0, 12.24)] == ["$0.10264", "$0.34", "$1.00", "$12.24"]


def test_things_are_counted_in_the_right_number() -> None:
    assert [count(number, "user") for number in (0, 1, 2, 1500)] == [
        "0 users",
        "1 user",
        "2 users",
        "1,500 users",
    ]


def test_times_are_shown_in_utc_and_nonsense_as_it_is() -> None:
    assert moment("2026-02-03T11:12:59+01:00") == "3 February 2026, 10:12 UTC"
    assert moment("2026-02-03T10:12:59Z") == "3 February 2026, 10:12 UTC"
    assert moment("yesterday") == "yesterday"


def test_terminal_codes_leave_a_log() -> None:
    assert log_text("\x1b[1;31mred\x1b[0m\x00\x08 a\tb\nc\n") == "red a\tb\nc"


def test_no_number_is_a_power_of_ten() -> None:
    assert said("p99 needs 368, so measure 3.7e+02 times as long") == (
        "p99 needs 368, so measure 370 times as long"
    )
    assert said("1e+04 requests/s; c7e+02 and 1e-05 stay") == "10000 requests/s; c7e+02 and 1e-05 stay"
    assert [figures(value) for value in (123456.0, 12.3456, 0.00012345, 100.0)] == [
        "123,456",
        "12.35",
        "0.000123",
        "100",
    ]
